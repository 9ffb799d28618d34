// flash_mglu_paper.cu - the published kernel (arXiv 2506.23225, Algorithms 1 and 3), which the paper's tables measure.
//
//   pass 1   t, s_i of one row and one chunk of columns;   z[b, i, r] += s_i,   z[b, nm + i, r] += t - s_i
//   pass 2   y[b, r] = sum_i g(z[b, i, r]) * z[b, nm + i, r]
//
// As published: a block per (row, chunk), pairs of weights per load, a mask byte per element whatever nm is and a load
// for each, nm + 1 sums, value = total - gate, shuffles and a block reduction, one fp32 atomic per row and sum, 2 nm
// partial vectors, and the activation apart. So it moves 24 bits per element where bit-packed masks move 16 + nm.
// Block size and split are stated nowhere: MGLU_WARPS and split_k, which `mglubench tune` searches.
//
// Partition of pass 1: blockIdx.x is the row, blockIdx.y the chunk, blockIdx.z the token.
//
//   row r  |  chunk 0: thread 0..kThreads - 1, a pair each, again ...  |  chunk 1  |  ...
//
// NOTES
//   What is not the listing's: an odd number of columns (which there loses its last element), x off 4 bytes, 16 masks
//   (a 16-bit word each), several tokens, and pass 2, which leaves z zeroed for the next launch.
//   __fmul_rn and one addition after the other: s_i adds the very products of t in the same order, so a mask of ones
//   gives t - s_i = 0 to the bit, in whatever order atomics land. Otherwise that order shows in the last bits.
#include <type_traits>

#include "element.cuh"
#include "host.cuh"
#include "ptx.cuh"

#ifndef MGLU_SPLIT_COLUMNS  // columns of one block in pass 1, unless args->split_k says otherwise
#define MGLU_SPLIT_COLUMNS 1024
#endif

namespace mglu {

static_assert(!Format::kCoded, "reads weights of the dtype of x");

constexpr int kSums = kMasks + 1;     // the gates, then the total
constexpr int kVectors = 2 * kMasks;  // of z
constexpr int kActivateThreads = 256;

using mask_t = std::conditional_t<kMasks <= 8, uint8_t, uint16_t>;  // of one element, bit i is mask i

struct Params {
    const element_t* w;   // [d, w_row_stride]
    const mask_t* masks;  // layout "bytes": [d, h]
    const element_t* x;   // [batch, h]
    element_t* y;         // [batch, d]
    float* z;             // [batch, kVectors, d]
    int h, d, batch, columns_per_block;
    int64_t w_row_stride;  // elements
    int activation;
};

__device__ __forceinline__ void add_term(float (&sums)[kSums], float w, float x, uint32_t bits) {
    const float product = __fmul_rn(w, x);
    sums[kMasks] += product;
#pragma unroll
    for (int i = 0; i < kMasks; i++) {
        if (bits >> i & 1) sums[i] += product;
    }
}

// kPairs: h is even and x aligned to 4 bytes.
template <bool kPairs>
__global__ void __launch_bounds__(kThreads) flash_mglu_paper_sums(const Params p) {
    MGLU_DYNAMIC_SHARED(float, shared);  // [kWarps][kSums]
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.x, token = blockIdx.z;
    const int begin = blockIdx.y * p.columns_per_block, end = min(begin + p.columns_per_block, p.h);
    const element_t* const w = p.w + row * p.w_row_stride;
    const element_t* const x = p.x + static_cast<int64_t>(token) * p.h;
    const mask_t* const masks = p.masks + static_cast<int64_t>(row) * p.h;

    // 1. This thread's terms.
    float sums[kSums] = {};
    if constexpr (kPairs) {
        for (int k = begin + 2 * threadIdx.x; k < end; k += 2 * kThreads) {
            const float2 wf = pair_to_float2(*reinterpret_cast<const uint32_t*>(w + k));
            const float2 xf = pair_to_float2(*reinterpret_cast<const uint32_t*>(x + k));
            const uint32_t even = __ldg(masks + k), odd = __ldg(masks + k + 1);
            add_term(sums, wf.x, xf.x, even);
            add_term(sums, wf.y, xf.y, odd);
        }
    } else {
        for (int k = begin + threadIdx.x; k < end; k += kThreads)
            add_term(sums, pair_to_float2(w[k]).x, pair_to_float2(x[k]).x, __ldg(masks + k));
    }

    // 2. Add the lanes, then the warps, then (in z) the chunks.
#pragma unroll
    for (int s = 0; s < kSums; s++) {
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2)
            sums[s] += __shfl_xor_sync(0xffffffffu, sums[s], distance);
        if (lane == 0) shared[warp * kSums + s] = sums[s];
    }
    __syncthreads();
    if (threadIdx.x >= kMasks) return;
    float gate = 0.0f, total = 0.0f;
#pragma unroll
    for (int i = 0; i < kWarps; i++) {
        gate += shared[i * kSums + threadIdx.x];
        total += shared[i * kSums + kMasks];
    }
    float* const z = p.z + (static_cast<int64_t>(token) * kVectors + threadIdx.x) * p.d + row;
    ptx::red_add_f32(z, gate);
    ptx::red_add_f32(z + static_cast<int64_t>(kMasks) * p.d, total - gate);
}

__global__ void __launch_bounds__(kActivateThreads) flash_mglu_paper_activate(const Params p) {
    const int row = blockIdx.x * kActivateThreads + threadIdx.x, token = blockIdx.y;
    if (row >= p.d) return;
    float y = 0.0f, t = 0.0f;
#pragma unroll
    for (int i = 0; i < kMasks; i++) {
        float* const gate = p.z + (static_cast<int64_t>(token) * kVectors + i) * p.d + row;
        float* const value = gate + static_cast<int64_t>(kMasks) * p.d;
        t = *gate + *value;
        y += activate(*gate, p.activation) * *value;
        *gate = 0.0f;
        *value = 0.0f;
    }
    p.y[static_cast<int64_t>(token) * p.d + row] = float_to_element(nan_unless_finite(y, t));
}

inline int columns_per_block(const MgluArgs& a) {
    const int wanted = a.split_k > 0 ? ceil_div(a.h, a.split_k) : MGLU_SPLIT_COLUMNS;
    const int least = ceil_div(a.h, 65535);  // gridDim.y
    return ceil_div(wanted > least ? wanted : least, 2) * 2;
}

}  // namespace mglu

extern "C" {

size_t mglu_workspace_bytes(const MgluArgs* args) {
    if (!args || args->d < 1 || args->batch < 1) return 0;
    return sizeof(float) * mglu::kVectors * static_cast<size_t>(args->d) * args->batch;
}

int mglu_launch(const MgluArgs* args, void* stream) {
    using namespace mglu;
    if (!args) return MGLU_ERR_NULL_POINTER;
    const MgluArgs& a = *args;
    const int status = check_args(a, true, false, true, mglu_workspace_bytes(args));
    if (status != MGLU_OK) return status;
    const int columns = columns_per_block(a);
    const Params p = {static_cast<const element_t*>(a.w), static_cast<const mask_t*>(a.masks),
                      static_cast<const element_t*>(a.x), static_cast<element_t*>(a.y),
                      static_cast<float*>(a.workspace), a.h, a.d, a.batch, columns, a.w_row_stride, a.activation};
    const bool pairs = a.h % 2 == 0 && aligned(a.x, 4);
    const dim3 grid(a.d, ceil_div(a.h, columns), a.batch);
    const int summed = launch_kernel(pairs ? flash_mglu_paper_sums<true> : flash_mglu_paper_sums<false>, grid, kThreads,
                                     sizeof(float) * kWarps * kSums, stream, p);
    if (summed != MGLU_OK) return summed;
    return launch_kernel(flash_mglu_paper_activate, dim3(ceil_div(a.d, kActivateThreads), a.batch), kActivateThreads, 0,
                         stream, p);
}

int mglu_prepare(const MgluArgs*) { return MGLU_OK; }

MGLU_EXPORT_IDENTITY("bytes")

}  // extern "C"
