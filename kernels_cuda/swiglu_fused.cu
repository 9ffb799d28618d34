// swiglu_fused.cu - SwiGLU in one pass: the baseline that MGLU is compared with, of the same make as flash_mglu_mma.
//
//   y[b, r] = g( x[b] . Wg[r] ) * ( x[b] . Wv[r] )        args->w is Wg (gate), args->w2 is Wv (value)
//
// Partition, loads and reductions are those of flash_mglu_mma: a block owns the same 16 rows of both matrices, its warps
// take 64-column chunks of both in turn. Twice the weight bytes per step, so twice the loads in flight: eight 16-byte
// loads per lane and stage.
#include "host.cuh"
#include "mma_tile.cuh"

#ifndef MGLU_STAGES  // register stages of the main loop: 1 or 2
#define MGLU_STAGES 2
#endif

namespace mglu {

constexpr int kSums = 2;  // gate, value

template <int kTokenTiles>
__host__ __device__ constexpr int min_blocks() {
    if (MGLU_MIN_BLOCKS != 0) return MGLU_MIN_BLOCKS;
    const int of_4_warps = Format::kCoded      ? blocks_of_codes(kTokenTiles, kSums, 0, 2)
                           : kTokenTiles == 1 ? 4
                                              : 3;
    return ceil_div(of_4_warps * 4, kWarps);
}

struct Params {
    const void* gate;   // [d, w_row_stride], or layout "tiles"
    const void* value;  // likewise
    const element_t* x;      // [batch, h]
    element_t* y;            // [batch, d]
    uint8_t* workspace;      // see split_workspace_bytes; null when no tile is split
    int h, d, batch;
    TileGrid grid;
    int64_t w_row_stride;    // elements
    int activation;
};

template <int kTokenTiles, bool kVectorX>
__global__ void __launch_bounds__(kThreads, min_blocks<kTokenTiles>()) swiglu_fused(const Params p) {
    MGLU_DYNAMIC_SHARED(float, shared);
    // 1. This warp's share: chunks first, first + kWarps, ... of the block's range.
    const Part part = part_of(p.grid, blockIdx.x);
    const WarpShare share = warp_share(p.h, part, p.grid.units_per_part);
    const void* const w[2] = {p.gate, p.value};
    TileReader<2, kTokenTiles, kVectorX> reader(w, nullptr, p.x, part.tile, share.first, p.d, p.h, p.batch,
                                                p.w_row_stride);

    // 2. Both sums over that share.
    Tokens<kTokenTiles> tokens;
    float sums[kSums][kTokenTiles][4] = {};
    auto load = [&](Chunk<2>& chunk) {
        reader.load_w(chunk);
    };
    auto begin = [&] { reader.load_x(tokens); };
    auto use = [&](const Chunk<2>& chunk) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int m = 0; m < 2; m++) {
                uint32_t r[8];
                Format::decode(r, chunk.w[m], half);
                multiply_scaled(sums[m], r, tokens.x, half, Format::scales(chunk.scale[m], half));
            }
        }
    };
    pipeline<MGLU_STAGES, Chunk<2>>(share.whole, load, begin, use);
    if (share.tail) {
        Chunk<2> chunk;
        reader.load_w_tail(chunk, p.h % kChunk);
        reader.load_x_tail(tokens, p.h % kChunk);
        use(chunk);
    }

    // 3. Add the warps (and the blocks that share the tile), activate, store.
    reduce_and_store(sums, shared, p.workspace, part, p.d, p.batch,
                     [&](float(&total)[kSums], int row, int token) {
                         total[0] *= row_scale(p.gate, row, ceil_div(p.h, kChunk));
                         total[1] *= row_scale(p.value, row, ceil_div(p.h, kChunk));
                         p.y[static_cast<int64_t>(token) * p.d + row] =
                             float_to_element(activate(total[0], p.activation) * total[1]);
                     });
}

inline TileGrid grid(const MgluArgs& a) {
    const int blocks_per_sm = a.batch > 8 ? min_blocks<2>() : min_blocks<1>();
    return choose_grid(a, tiles(a), ceil_div(a.h, kChunk), 2 * kWarps, blocks_per_sm);
}

template <int kTokenTiles>
int launch(const MgluArgs& a, void* stream) {
    const Params p = {a.w, a.w2,
                      static_cast<const element_t*>(a.x), static_cast<element_t*>(a.y),
                      static_cast<uint8_t*>(a.workspace), a.h, a.d, a.batch, grid(a), a.w_row_stride, a.activation};
    return launch_kernel(vector_x(a) ? swiglu_fused<kTokenTiles, true> : swiglu_fused<kTokenTiles, false>,
                         dim3(blocks_of(p.grid)), kThreads, reduction_bytes<kSums>(), stream, p);
}

}  // namespace mglu

extern "C" {

size_t mglu_workspace_bytes(const MgluArgs* args) {
    if (!args || args->d < 1 || args->h < 1) return 0;
    return mglu::grid_workspace_bytes<mglu::kSums>(mglu::grid(*args), mglu::token_tiles(*args));
}

int mglu_launch(const MgluArgs* args, void* stream) {
    if (!args) return MGLU_ERR_NULL_POINTER;
    const int status = mglu::check_args(*args, false, true, true, mglu_workspace_bytes(args));
    if (status != MGLU_OK) return status;
    return args->batch > 8 ? mglu::launch<2>(*args, stream) : mglu::launch<1>(*args, stream);
}

int mglu_prepare(const MgluArgs*) { return MGLU_OK; }

MGLU_EXPORT_IDENTITY("")

}  // extern "C"
