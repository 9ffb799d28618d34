// flash_mglu_mma.cu - MGLU in one pass over w: sign flips on bit-packed masks, sums on tensor cores.
//
//   y[b, r] = sum_i g(gate_i) * value_i,   gate_i = (T - U_i) / 2,   value_i = (T + U_i) / 2        (see mma_tile.cuh)
//
// Partition: a block owns 16 rows of w or, of tiles that blocks share (tile_grid.cuh), a range of 64-column chunks; its
// warps take the chunks in turn.
//
//              chunk 0   1   2   3   4   5   6   7  ...
//   16 rows  |  w0  | w1 | w2 | w3 | w0 | w1 | w2 | w3 |     a tile, 4 warps
//
// NOTES
//   No staging of x: a lane's x fragment is one 16-byte load of 64 contiguous bytes per token, and x (h * batch * 2
//   bytes) stays in L1, which the weight loads do not touch. So the first weight loads leave as soon as a block starts,
//   shared memory is used by the final sums only, and batch 1 costs no more x traffic than it needs.
//   Two register stages: while a chunk is multiplied, the lane's four 16-byte weight loads of its next chunk are in
//   flight (plus masks and x).
#include "masked_launch.cuh"

namespace mglu {

constexpr int kSums = kMasks + 1;

struct Params {
    const void* w;         // [d, w_row_stride], or layout "tiles"
    const uint8_t* masks;  // layout "mma-16x64"
    const element_t* x;    // [batch, h]
    element_t* y;          // [batch, d]
    uint8_t* workspace;    // see split_workspace_bytes; null when no tile is split
    int h, d, batch;
    TileGrid grid;
    int64_t w_row_stride;  // elements
    int activation;
};

template <int kTokenTiles, bool kVectorX>
__global__ void __launch_bounds__(kThreads, min_blocks<kTokenTiles, kVectorX>()) flash_mglu_mma(const Params p) {
    MGLU_DYNAMIC_SHARED(float, shared);
    // 1. This warp's share: chunks first, first + kWarps, ... of the block's range.
    const Part part = part_of(p.grid, blockIdx.x);
    const WarpShare share = warp_share(p.h, part, p.grid.units_per_part);
    const void* const w[1] = {p.w};
    TileReader<1, kTokenTiles, kVectorX> reader(w, p.masks, p.x, part.tile, share.first, p.d, p.h, p.batch,
                                                p.w_row_stride);

    // 2. T and U_i over that share.
    Tokens<kTokenTiles> tokens;
    float sums[kSums][kTokenTiles][4] = {};
    auto load = [&](Chunk<1>& chunk) {
        reader.load_w(chunk);
        reader.load_masks(chunk);
    };
    auto begin = [&] { reader.load_x(tokens); };
    auto use = [&](const Chunk<1>& chunk) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t plain[8];
            Format::decode(plain, chunk.w[0], half);
            const float2 scale = Format::scales(chunk.scale[0], half);
            accumulate_masked(sums, plain, tokens.x, chunk.mask, half, scale);
        }
    };
    pipeline<stages<kTokenTiles>(), Chunk<1>>(share.whole, load, begin, use);
    if (share.tail) {
        Chunk<1> chunk;
        reader.load_w_tail(chunk, p.h % kChunk);
        reader.load_masks(chunk);
        reader.load_x_tail(tokens, p.h % kChunk);
        use(chunk);
    }

    // 3. Add the warps (and the blocks that share the tile), activate, store.
    reduce_and_store(sums, shared, p.workspace, part, p.d, p.batch,
                     [&](float(&total)[kSums], int row, int token) {
                         const float scale = row_scale(p.w, row, ceil_div(p.h, kChunk));
                         for (float& sum : total) sum *= scale;
                         p.y[static_cast<int64_t>(token) * p.d + row] =
                             float_to_element(combine_masked(total, p.activation));
                     });
}

template <int kTokenTiles>
int launch(const MgluArgs& a, void* stream) {
    static_assert(reduction_bytes<kSums>() <= 48 * 1024, "MGLU_WARPS is too large for this nm: sums exceed 48 KB");
    const Params p = {a.w, static_cast<const uint8_t*>(a.masks),
                      static_cast<const element_t*>(a.x), static_cast<element_t*>(a.y),
                      static_cast<uint8_t*>(a.workspace), a.h, a.d, a.batch, masked_grid(a), a.w_row_stride, a.activation};
    return launch_kernel(vector_x(a) ? flash_mglu_mma<kTokenTiles, true> : flash_mglu_mma<kTokenTiles, false>,
                         dim3(blocks_of(p.grid)), kThreads, reduction_bytes<kSums>(), stream, p);
}

}  // namespace mglu

extern "C" {

size_t mglu_workspace_bytes(const MgluArgs* args) {
    if (!args || args->d < 1 || args->h < 1) return 0;
    return mglu::grid_workspace_bytes<mglu::kSums>(mglu::masked_grid(*args), mglu::token_tiles(*args));
}

int mglu_launch(const MgluArgs* args, void* stream) {
    if (!args) return MGLU_ERR_NULL_POINTER;
    const int status = mglu::check_args(*args, true, false, true, mglu_workspace_bytes(args));
    if (status != MGLU_OK) return status;
    return args->batch > 8 ? mglu::launch<2>(*args, stream) : mglu::launch<1>(*args, stream);
}

int mglu_prepare(const MgluArgs*) { return MGLU_OK; }

MGLU_EXPORT_IDENTITY("mma-16x64")

}  // extern "C"
