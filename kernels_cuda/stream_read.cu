// stream_read.cu - read a [d, h] matrix as fast as the card can; the row sums prove that it was read.
//
//   y[b, r] = sum_k W[r, k]   for every b < batch        (args->x and args->activation play no part)
//
// Partition: one warp per row; a lane takes 16-byte vectors lane, lane + 32, ..., MGLU_UNROLL of them in flight.
//
//   row r  |  lane 0..31, 16 B each  |  lane 0..31  |  ...     512 contiguous bytes per warp-wide load
#include "element.cuh"
#include "host.cuh"
#include "ptx.cuh"

#ifndef MGLU_UNROLL  // 16-byte loads in flight per lane
#define MGLU_UNROLL 8
#endif

namespace mglu {

static_assert(!Format::kCoded, "reads weights of the dtype of x");

struct Params {
    const element_t* w;  // [d, w_row_stride]
    element_t* y;        // [batch, d]
    int h, d, batch;
    int64_t w_row_stride;
};

__device__ __forceinline__ float sum_of(const uint4& v) {
    const float2 a = pair_to_float2(v.x), b = pair_to_float2(v.y), c = pair_to_float2(v.z), e = pair_to_float2(v.w);
    return ((a.x + a.y) + (b.x + b.y)) + ((c.x + c.y) + (e.x + e.y));
}

__global__ void __launch_bounds__(kThreads, MGLU_MIN_BLOCKS) stream_read(const Params p) {
    const int lane = threadIdx.x % 32, row = blockIdx.x * kWarps + threadIdx.x / 32;
    if (row >= p.d) return;
    const element_t* const w = p.w + row * p.w_row_stride;
    const int vectors = p.h / 8;

    // 1. Whole groups of MGLU_UNROLL vectors per lane, all loads before the first sum.
    float sum = 0.0f;
    int v = lane;
    for (; v - lane + 32 * MGLU_UNROLL <= vectors; v += 32 * MGLU_UNROLL) {
        uint4 loaded[MGLU_UNROLL];
#pragma unroll
        for (int u = 0; u < MGLU_UNROLL; u++) loaded[u] = ptx::ld_stream_v4(w + (v + 32 * u) * 8);
#pragma unroll
        for (int u = 0; u < MGLU_UNROLL; u++) sum += sum_of(loaded[u]);
    }

    // 2. What is left of the row; the vector that h ends in is blanked beyond h.
    for (; v * 8 < p.h; v += 32) sum += sum_of(keep_first(ptx::ld_stream_v4(w + v * 8), p.h - v * 8));

    // 3. Add the lanes.
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    if (lane < p.batch) p.y[static_cast<int64_t>(lane) * p.d + row] = float_to_element(sum);
}

}  // namespace mglu

extern "C" {

size_t mglu_workspace_bytes(const MgluArgs*) { return 0; }

int mglu_launch(const MgluArgs* args, void* stream) {
    if (!args) return MGLU_ERR_NULL_POINTER;
    const int status = mglu::check_args(*args, false, false, false, 0);
    if (status != MGLU_OK) return status;
    const mglu::Params p = {static_cast<const mglu::element_t*>(args->w), static_cast<mglu::element_t*>(args->y),
                            args->h, args->d, args->batch, args->w_row_stride};
    return mglu::launch_kernel(mglu::stream_read, dim3(mglu::ceil_div(args->d, mglu::kWarps)), mglu::kThreads, 0,
                               stream, p);
}

int mglu_prepare(const MgluArgs*) { return MGLU_OK; }

MGLU_EXPORT_IDENTITY("")

}  // extern "C"
