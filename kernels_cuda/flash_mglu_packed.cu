// flash_mglu_packed.cu - MGLU on CUDA cores: bit-packed masks, fp32 sums, activation fused, no atomics.
//
//   y[b, r] = sum_i g(gate_i) * (T - gate_i),   T = x[b] . W[r],   gate_i = the terms of T whose mask bit is set
//
// Partition: a warp owns MGLU_ROWS rows (one row from 3 tokens on) and steps through chunks of 1024 columns. Up to 8 tokens,
// as many as their sums leave registers for, share a pass over w; gridDim.y walks the passes.
//
//   row r  |  u = 0: lanes 0..31, 8 elements each  |  u = 1  |  u = 2  |  u = 3  |     four 16-byte loads per lane
//
// NOTES
//   gate_i adds the very products of T in the same order, so a mask of ones gives T - gate_i = 0 to the bit. __fmul_rn
//   keeps the compiler from fusing the product into one of the sums only.
//   The bit tests become predicates (R2P sets several at once), so an element costs about 1.2 instructions per mask and
//   token: cheap for one token and few masks, and the reason why flash_mglu_mma exists.
#include "element.cuh"
#include "host.cuh"
#include "mask_words.cuh"
#include "ptx.cuh"

#ifndef MGLU_ROWS  // rows per warp: 1 or 2
#define MGLU_ROWS (MGLU_NM > 8 ? 1 : 2)
#endif

namespace mglu {

static_assert(!Format::kCoded, "reads weights of the dtype of x");

constexpr int kSums = kMasks + 1;
constexpr int kChunk = 1024;
constexpr int kMaskChunkBytes = kChunk * kMasks / 8;

constexpr int kTokensMost = kMasks <= 8 ? 8 : 4;  // of a pass: 72 and 68 sums
__host__ __device__ constexpr int rows(int tokens) { return tokens > 2 ? 1 : MGLU_ROWS; }

struct Params {
    const element_t* w;    // [d, w_row_stride]
    const uint8_t* masks;  // layout "row-1024": [d, chunks, kMaskChunkBytes]
    const element_t* x;    // [batch, h]
    element_t* y;          // [batch, d]
    int h, d, batch;
    int64_t w_row_stride;  // elements
    int activation;
};

__device__ __forceinline__ void to_floats(float (&to)[8], const uint4& v) {
    const uint32_t pair[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 f = pair_to_float2(pair[i]);
        to[2 * i] = f.x;
        to[2 * i + 1] = f.y;
    }
}

__device__ __forceinline__ float add_lanes(float v) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) v += __shfl_xor_sync(0xffffffffu, v, distance);
    return v;
}

template <int kTokens, bool kVectorX>
__global__ void __launch_bounds__(kThreads, MGLU_MIN_BLOCKS) flash_mglu_packed(const Params p) {
    constexpr int kRows = rows(kTokens);
    // x is loaded with the weights for few tokens; for many a vector at a time, when it is used.
    constexpr bool kTokensAhead = kTokens <= 2;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int first_row = (blockIdx.x * kWarps + warp) * kRows;
    const int first_token = blockIdx.y * kTokens;
    if (first_row >= p.d) return;
    const int chunks = ceil_div(p.h, kChunk), whole_chunks = p.h / kChunk;

    // 1. This lane's pointers; rows and tokens out of range are clamped, and not stored in step 3.
    const element_t* w[kRows];
    const uint8_t* masks[kRows];
    const element_t* x[kTokens];
#pragma unroll
    for (int r = 0; r < kRows; r++) {
        const int row = min(first_row + r, p.d - 1);
        w[r] = p.w + row * p.w_row_stride + lane * 8;
        masks[r] = p.masks + static_cast<int64_t>(row) * chunks * kMaskChunkBytes;
    }
#pragma unroll
    for (int n = 0; n < kTokens; n++)
        x[n] = p.x + static_cast<int64_t>(min(first_token + n, p.batch - 1)) * p.h + lane * 8;

    // 2. T and gate_i of this lane's columns.
    float sums[kRows][kTokens][kSums] = {};
    for (int chunk = 0; chunk < chunks; chunk++) {
        uint4 wv[kRows][4], xv[kTokens][4];
        auto load_x = [&](int u) {
            const int column = chunk * kChunk + u * 256;
#pragma unroll
            for (int n = 0; n < kTokens; n++) {
                if (kVectorX && chunk < whole_chunks) {
                    xv[n][u] = ptx::ld_cached_v4(x[n] + column);
                } else {
                    xv[n][u] = gather_first(x[n] + column, p.h - column - lane * 8);
                }
            }
        };
        uint32_t word[kRows][kMasks];
#pragma unroll
        for (int u = 0; u < 4; u++) {
            const int column = chunk * kChunk + u * 256;
            const int count = p.h - column - lane * 8;
#pragma unroll
            for (int r = 0; r < kRows; r++) {
                if (chunk < whole_chunks) {
                    wv[r][u] = ptx::ld_stream_v4(w[r] + column);
                } else {
                    wv[r][u] = make_uint4(0, 0, 0, 0);
                    if (count > 0) wv[r][u] = keep_first(ptx::ld_stream_v4(w[r] + column), count);
                }
            }
            if (kTokensAhead) load_x(u);
        }
#pragma unroll
        for (int r = 0; r < kRows; r++)
            load_mask_words_from_global(word[r], masks[r] + static_cast<int64_t>(chunk) * kMaskChunkBytes, lane);

#pragma unroll
        for (int u = 0; u < 4; u++) {
            float wf[kRows][8], xf[kTokens][8];
            if (!kTokensAhead) load_x(u);
#pragma unroll
            for (int r = 0; r < kRows; r++) to_floats(wf[r], wv[r][u]);
#pragma unroll
            for (int n = 0; n < kTokens; n++) to_floats(xf[n], xv[n][u]);
#pragma unroll
            for (int e = 0; e < 8; e++) {
#pragma unroll
                for (int r = 0; r < kRows; r++) {
#pragma unroll
                    for (int n = 0; n < kTokens; n++) {
                        const float product = __fmul_rn(wf[r][e], xf[n][e]);
                        sums[r][n][0] += product;
#pragma unroll
                        for (int i = 0; i < kMasks; i++) {
                            if (word[r][i] >> (8 * u + e) & 1) sums[r][n][1 + i] += product;
                        }
                    }
                }
            }
        }
    }

    // 3. Add the lanes, activate one mask per lane, store.
#pragma unroll
    for (int r = 0; r < kRows; r++) {
#pragma unroll
        for (int n = 0; n < kTokens; n++) {
            const float t = add_lanes(sums[r][n][0]);
            float gate = 0.0f;
#pragma unroll
            for (int i = 0; i < kMasks; i++) {
                const float sum = add_lanes(sums[r][n][1 + i]);
                if (lane == i) gate = sum;
            }
            const float term = lane < kMasks ? activate(gate, p.activation) * (t - gate) : 0.0f;
            const float y = nan_unless_finite(add_lanes(term), t);
            const int row = first_row + r, token = first_token + n;
            if (lane == 0 && row < p.d && token < p.batch)
                p.y[static_cast<int64_t>(token) * p.d + row] = float_to_element(y);
        }
    }
}

template <int kTokens>
int launch(const MgluArgs& a, void* stream) {
    const Params p = {static_cast<const element_t*>(a.w), static_cast<const uint8_t*>(a.masks),
                      static_cast<const element_t*>(a.x), static_cast<element_t*>(a.y),
                      a.h, a.d, a.batch, a.w_row_stride, a.activation};
    return launch_kernel(vector_x(a) ? flash_mglu_packed<kTokens, true> : flash_mglu_packed<kTokens, false>,
                         dim3(ceil_div(a.d, kWarps * rows(kTokens)), ceil_div(a.batch, kTokens)), kThreads, 0, stream, p);
}

// With the fewest tokens a pass that make the fewest passes.
template <int kTokens = 1>
int launch_fewest(const MgluArgs& a, void* stream) {
    if constexpr (kTokens < kTokensMost) {
        if (ceil_div(a.batch, kTokens) > ceil_div(a.batch, kTokensMost)) return launch_fewest<2 * kTokens>(a, stream);
    }
    return launch<kTokens>(a, stream);
}

}  // namespace mglu

extern "C" {

size_t mglu_workspace_bytes(const MgluArgs*) { return 0; }

int mglu_launch(const MgluArgs* args, void* stream) {
    if (!args) return MGLU_ERR_NULL_POINTER;
    const int status = mglu::check_args(*args, true, false, true, 0);
    if (status != MGLU_OK) return status;
    return mglu::launch_fewest(*args, stream);
}

int mglu_prepare(const MgluArgs*) { return MGLU_OK; }

MGLU_EXPORT_IDENTITY("row-1024")

}  // extern "C"
