// flash_mglu_paper.cu - MGLU after the published kernel (arXiv 2506.23225, Algorithms 1 and 3): the paper's tables.
//
//   pass 1   partial[b, s, r] += the terms of x[b] . W[r] that mask bit sends to sum s       (fp32 atomics, split-K)
//   pass 2   y[b, r] = sum_i g(gate_i) * value_i,   gate_i = sum 2 i, value_i = sum 2 i + 1
//
// Kept as published: one mask byte per element whatever nm is (16-bit words for nm = 16), pairs of elements per load,
// a split along k whose blocks meet in atomics, and the activation in a second kernel. So it moves 24 bits per element
// where bit-packed masks move 16 + nm, and 2 nm partial vectors where the fused kernels move none.
//
// Partition of pass 1: a warp owns one row (blockIdx.x, warp) and one range of k (blockIdx.y); blockIdx.z is the token.
//
//   row r  |  blockIdx.y = 0: lane 0..31, a pair each, ...  |  blockIdx.y = 1  |  ...
//
// NOTES
//   gate_i and value_i are separate sums, so masks of all ones or all zeros give exactly 0 in whatever order the atomics
//   land. The sums themselves depend on that order: results are not reproducible to the last bit when split.
//   Pass 2 leaves the partial sums zeroed for the next launch.
#include "element.cuh"
#include "host.cuh"
#include "ptx.cuh"

#ifndef MGLU_SPLIT_COLUMNS  // columns of one block in pass 1, unless args->split_k says otherwise
#define MGLU_SPLIT_COLUMNS 1024
#endif

namespace mglu {

constexpr int kSums = 2 * kMasks;
constexpr int kMaskBytes = kMasks <= 8 ? 1 : 2;  // per element
constexpr int kActivateThreads = 256;

struct Params {
    const element_t* w;    // [d, w_row_stride]
    const uint8_t* masks;  // layout "bytes": [d, h] of kMaskBytes, bit i is mask i
    const element_t* x;    // [batch, h]
    element_t* y;          // [batch, d]
    float* partial;        // [batch, kSums, d]
    int h, d, batch, columns_per_block;
    int64_t w_row_stride;  // elements
    int activation;
};

__device__ __forceinline__ void add_term(float (&sums)[kSums], float product, uint32_t bits) {
#pragma unroll
    for (int i = 0; i < kMasks; i++) {
        if (bits >> i & 1) {
            sums[2 * i] += product;
        } else {
            sums[2 * i + 1] += product;
        }
    }
}

__device__ __forceinline__ uint32_t load_mask(const uint8_t* masks, int64_t element) {
    if constexpr (kMaskBytes == 1) return masks[element];
    return reinterpret_cast<const uint16_t*>(masks)[element];
}

// Masks of two neighbours, the even element's in the low half; the address is aligned to both.
__device__ __forceinline__ uint32_t load_mask_pair(const uint8_t* masks, int64_t element) {
    if constexpr (kMaskBytes == 1) return *reinterpret_cast<const uint16_t*>(masks + element);
    return *reinterpret_cast<const uint32_t*>(masks + 2 * element);
}

// kPairs: h is even and x aligned to 4 bytes, so that pairs of x and of masks can be loaded as one.
template <bool kPairs>
__global__ void __launch_bounds__(kThreads) flash_mglu_paper_sums(const Params p) {
    const int lane = threadIdx.x % 32, row = blockIdx.x * kWarps + threadIdx.x / 32, token = blockIdx.z;
    if (row >= p.d) return;
    const int begin = blockIdx.y * p.columns_per_block, end = min(begin + p.columns_per_block, p.h);
    const element_t* const w = p.w + row * p.w_row_stride;
    const element_t* const x = p.x + static_cast<int64_t>(token) * p.h;
    const int64_t first_mask = static_cast<int64_t>(row) * p.h;

    // 1. This lane's terms.
    float sums[kSums] = {};
    if constexpr (kPairs) {
#pragma unroll 4
        for (int k = begin + 2 * lane; k < end; k += 64) {
            const float2 wf = pair_to_float2(*reinterpret_cast<const uint32_t*>(w + k));
            const float2 xf = pair_to_float2(*reinterpret_cast<const uint32_t*>(x + k));
            const uint32_t bits = load_mask_pair(p.masks, first_mask + k);
            add_term(sums, wf.x * xf.x, bits);
            add_term(sums, wf.y * xf.y, bits >> (8 * kMaskBytes));
        }
    } else {
        for (int k = begin + lane; k < end; k += 32)
            add_term(sums, pair_to_float2(w[k]).x * pair_to_float2(x[k]).x, load_mask(p.masks, first_mask + k));
    }

    // 2. Add the lanes, then the blocks.
#pragma unroll
    for (int s = 0; s < kSums; s++) {
        float sum = sums[s];
#pragma unroll
        for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        if (lane == 0) ptx::red_add_f32(p.partial + (static_cast<int64_t>(token) * kSums + s) * p.d + row, sum);
    }
}

__global__ void __launch_bounds__(kActivateThreads) flash_mglu_paper_activate(const Params p) {
    const int row = blockIdx.x * kActivateThreads + threadIdx.x, token = blockIdx.y;
    if (row >= p.d) return;
    float y = 0.0f, t = 0.0f;
#pragma unroll
    for (int i = 0; i < kMasks; i++) {
        float* const gate = p.partial + (static_cast<int64_t>(token) * kSums + 2 * i) * p.d + row;
        float* const value = gate + p.d;
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
    return sizeof(float) * mglu::kSums * static_cast<size_t>(args->d) * args->batch;
}

int mglu_launch(const MgluArgs* args, void* stream) {
    using namespace mglu;
    if (!args) return MGLU_ERR_NULL_POINTER;
    const MgluArgs& a = *args;
    const int status = check_args(a, true, false, true, mglu_workspace_bytes(args));
    if (status != MGLU_OK) return status;
    const int columns = columns_per_block(a);
    const Params p = {static_cast<const element_t*>(a.w), static_cast<const uint8_t*>(a.masks),
                      static_cast<const element_t*>(a.x), static_cast<element_t*>(a.y),
                      static_cast<float*>(a.workspace), a.h, a.d, a.batch, columns, a.w_row_stride, a.activation};
    const bool pairs = a.h % 2 == 0 && aligned(a.x, 4);
    const dim3 grid(ceil_div(a.d, kWarps), ceil_div(a.h, columns), a.batch);
    const int summed = launch_kernel(pairs ? flash_mglu_paper_sums<true> : flash_mglu_paper_sums<false>, grid, kThreads,
                                     0, stream, p);
    if (summed != MGLU_OK) return summed;
    return launch_kernel(flash_mglu_paper_activate, dim3(ceil_div(a.d, kActivateThreads), a.batch), kActivateThreads, 0,
                         stream, p);
}

int mglu_prepare(const MgluArgs*) { return MGLU_OK; }

MGLU_EXPORT_IDENTITY("bytes")

}  // extern "C"
