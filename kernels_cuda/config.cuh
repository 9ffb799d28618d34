// config.cuh - what a library is specialised for: the -D macros, their defaults and their checks.
#pragma once
#include <cuda_runtime.h>
#include <stdint.h>

#ifndef MGLU_DYNAMIC_SHARED  // the block's dynamic shared memory; the host emulation of the tests brings its own
#define MGLU_DYNAMIC_SHARED(type, name) extern __shared__ __align__(128) type name[]
#endif

#ifndef MGLU_NM  // masks per weight element: 1..8 or 16
#define MGLU_NM 1
#endif
#ifndef MGLU_BF16  // 0: fp16, 1: bf16 (w, x and y alike)
#define MGLU_BF16 0
#endif
#ifndef MGLU_WARPS  // warps per block
#define MGLU_WARPS 4
#endif
#ifndef MGLU_MIN_BLOCKS  // blocks per multiprocessor that registers must allow; 0: the kernel's own choice
#define MGLU_MIN_BLOCKS 0
#endif
#ifndef MGLU_L2_PREFETCH  // bytes that a weight load asks L2 to fetch from DRAM: 0 (no hint), 64, 128 or 256
#define MGLU_L2_PREFETCH 128
#endif

static_assert((MGLU_NM >= 1 && MGLU_NM <= 8) || MGLU_NM == 16, "MGLU_NM must be 1..8 or 16");
static_assert(MGLU_BF16 == 0 || MGLU_BF16 == 1, "MGLU_BF16 must be 0 or 1");
static_assert(MGLU_WARPS == 1 || MGLU_WARPS == 2 || MGLU_WARPS == 4 || MGLU_WARPS == 8 || MGLU_WARPS == 16,
              "MGLU_WARPS must be 1, 2, 4, 8 or 16");

namespace mglu {

constexpr int kMasks = MGLU_NM;
constexpr bool kBf16 = MGLU_BF16 != 0;
constexpr int kWarps = MGLU_WARPS;
constexpr int kThreads = 32 * kWarps;
constexpr int kMaxBatch = 16;

template <class T>
__host__ __device__ constexpr T ceil_div(T value, T by) {
    return (value + by - 1) / by;
}

}  // namespace mglu
