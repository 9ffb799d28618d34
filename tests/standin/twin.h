// twin.h - what the stand-in's launches and a kernel compiled for the host (twin.cpp) agree on.
#pragma once
#include <cstddef>

namespace standin {

// Kernels of kernels_cuda/ take one struct; it is passed on the stack, of which the callee reads what is its own.
struct Parameters {
    unsigned char bytes[256];
};

// Run `kernel` over grid[3] blocks of block[3] threads.
using RunTwin = void(void* kernel, const unsigned* grid, const unsigned* block, size_t shared,
                     const Parameters& parameters);

}  // namespace standin
