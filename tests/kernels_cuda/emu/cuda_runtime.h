// cuda_runtime.h - in the place of CUDA's, for g++.
#pragma once
#include "cuda_emu.h"
