// flash_mglu_routed.cu - Top-K: the sums of flash_mglu_mma, weighed per token and mask, without masks that nobody keeps.
//
//   y[b, r] = sum_i G[b, i] g(gate_i) value_i,   G[b, i] = 0 where token b does not keep mask i       (see mma_tile.cuh)
//
// Partition: that of flash_mglu_mma. Each mask is a plane of its own, so that a mask no token of the launch keeps costs
// neither its bytes nor its products.
//
// NOTES
//   G comes from a router on the same stream, so the host knows nothing of it: every warp reads it (batch * nm elements,
//   512 at most) and goes without the planes whose column is all zeros. The choice is the same in all lanes, and
//   flash_mglu_mma's one load of four words becomes four of one, each contiguous over the warp.
#include "masked_launch.cuh"

namespace mglu {

static_assert(!Format::kCoded, "reads weights of the dtype of x");

constexpr int kSums = kMasks + 1;
constexpr int kPlaneChunkBytes = 128;  // of one mask: a word per lane

struct Params {
    const element_t* w;      // [d, w_row_stride]
    const uint8_t* masks;    // layout "mma-16x64-planes": [nm][tiles][chunks][kPlaneChunkBytes]
    const element_t* gates;  // G [batch, nm]
    const element_t* x;      // [batch, h]
    element_t* y;            // [batch, d]
    uint8_t* workspace;      // see split_workspace_bytes; null when no tile is split
    int h, d, batch;
    TileGrid grid;
    int64_t w_row_stride;  // elements
    int activation;
};

// Bit i: some token keeps mask i.
__device__ __forceinline__ uint32_t kept_masks(const element_t* gates, int batch) {
    uint32_t kept = 0;
    for (int k = threadIdx.x % 32; k < batch * kMasks; k += 32) {
        if (gates[k] & 0x7fff) kept |= 1u << k % kMasks;  // neither 0 nor -0
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) kept |= __shfl_xor_sync(0xffffffffu, kept, distance);
    return kept;
}

// y from T = sum[0] and U_i = sum[1 + i] of the kept masks; g: a token's row of G.
__device__ __forceinline__ float combine_kept(const float (&sum)[kSums], const element_t* g, uint32_t kept,
                                              int activation) {
    const float t = sum[0];
    float y = 0.0f;
#pragma unroll
    for (int i = 0; i < kMasks; i++) {
        if (!(kept >> i & 1)) continue;
        y += pair_to_float2(g[i]).x * masked_term(t, sum[1 + i], activation);
    }
    return nan_unless_finite(y, t);
}

template <int kTokenTiles, bool kVectorX>
__global__ void __launch_bounds__(kThreads, min_blocks<kTokenTiles, kVectorX>()) flash_mglu_routed(const Params p) {
    MGLU_DYNAMIC_SHARED(float, shared);
    const int lane = threadIdx.x % 32;
    // 1. This warp's share, and the planes that count.
    const Part part = part_of(p.grid, blockIdx.x);
    const WarpShare share = warp_share(p.h, part, p.grid.units_per_part);
    const void* const w[1] = {p.w};
    TileReader<1, kTokenTiles, kVectorX> reader(w, p.masks, p.x, part.tile, share.first, p.d, p.h, p.batch,
                                                p.w_row_stride);
    const int chunks = ceil_div(p.h, kChunk);
    const int64_t plane = static_cast<int64_t>(p.grid.tiles) * chunks * kPlaneChunkBytes;
    const uint8_t* masks =
        p.masks + (static_cast<int64_t>(part.tile) * chunks + share.first) * kPlaneChunkBytes + lane * 4;
    const uint32_t kept = kept_masks(p.gates, p.batch);

    // 2. T and the kept U_i over that share.
    Tokens<kTokenTiles> tokens;
    float sums[kSums][kTokenTiles][4] = {};
    auto load_masks = [&](Chunk<1>& chunk) {
#pragma unroll
        for (int i = 0; i < kMasks; i++) chunk.mask[i] = kept >> i & 1 ? ptx::ld_stream_u32(masks + i * plane) : 0;
        masks += kWarps * kPlaneChunkBytes;
    };
    auto load = [&](Chunk<1>& chunk) {
        reader.load_w(chunk);
        load_masks(chunk);
    };
    auto begin = [&] { reader.load_x(tokens); };
    auto use = [&](const Chunk<1>& chunk) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t plain[8];
            Format::decode(plain, chunk.w[0], half);
            accumulate_masked(sums, plain, tokens.x, chunk.mask, half, make_float2(1.0f, 1.0f), kept);
        }
    };
    pipeline<stages<kTokenTiles>(), Chunk<1>>(share.whole, load, begin, use);
    if (share.tail) {
        Chunk<1> chunk;
        reader.load_w_tail(chunk, p.h % kChunk);
        load_masks(chunk);
        reader.load_x_tail(tokens, p.h % kChunk);
        use(chunk);
    }

    // 3. Add the warps (and the blocks that share the tile), activate, weigh, store.
    reduce_and_store(sums, shared, p.workspace, part, p.d, p.batch,
                     [&](const float(&total)[kSums], int row, int token) {
                         const float y = combine_kept(total, p.gates + token * kMasks, kept, p.activation);
                         p.y[static_cast<int64_t>(token) * p.d + row] = float_to_element(y);
                     });
}

template <int kTokenTiles>
int launch(const MgluArgs& a, void* stream) {
    static_assert(reduction_bytes<kSums>() <= 48 * 1024, "MGLU_WARPS is too large for this nm: sums exceed 48 KB");
    const Params p = {static_cast<const element_t*>(a.w), static_cast<const uint8_t*>(a.masks),
                      static_cast<const element_t*>(a.w2), static_cast<const element_t*>(a.x),
                      static_cast<element_t*>(a.y), static_cast<uint8_t*>(a.workspace), a.h, a.d, a.batch,
                      masked_grid(a), a.w_row_stride, a.activation};
    return launch_kernel(vector_x(a) ? flash_mglu_routed<kTokenTiles, true> : flash_mglu_routed<kTokenTiles, false>,
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
    const int status = mglu::check_args(*args, true, true, true, mglu_workspace_bytes(args));
    if (status != MGLU_OK) return status;
    return args->batch > 8 ? mglu::launch<2>(*args, stream) : mglu::launch<1>(*args, stream);
}

int mglu_prepare(const MgluArgs*) { return MGLU_OK; }

MGLU_EXPORT_IDENTITY("mma-16x64-planes")

}  // extern "C"
