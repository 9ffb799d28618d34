// mma_tile.cuh - the 16-row weight tile on tensor cores: loads, sign flips, sums, and the way from sums to y.
//
// One warp step is a chunk: 16 rows x 64 columns of w, as two halves of 32 columns. Lane 4 g + t holds (codes lie in another
// way, formats.cuh)
//
//        columns   0..7    8..15   16..23  24..31 | 32..39  40..47  48..55  56..63
//   row g          t=0     t=1     t=2     t=3    | t=0     t=1     t=2     t=3        16 bytes each: one LDG.E.128
//   row g + 8      t=0     t=1     t=2     t=3    | t=0     t=1     t=2     t=3
//
// so a warp-wide load takes 64 contiguous bytes of 8 rows, and the next one the other half of the same 128-byte lines.
//
// NOTES
//   The k order of an MMA is free as long as A and B agree. Feeding the lane's 8 contiguous elements of w as the pairs
//   (0, 1), (2, 3), (4, 5), (6, 7) of two k-steps, and the lane's 8 contiguous elements of x likewise, pairs column
//   8 t + e of w with element 8 t + e of x; no shuffle is needed.
//   Sign flip: with S_i = 1 - 2 M_i and U_i = x (S_i * W), gate_i = (T - U_i) / 2 and value_i = (T + U_i) / 2. Flipping
//   signs is exact, and T and U_i add the same products in the same order: a mask of zeros gives U_i = T and gate_i = 0
//   to the bit, a mask of ones U_i = -T and value_i = 0.
//   Masks (layout "mma-16x64"): the chunk's nm bits per element are nm 32-bit words per lane, one word per mask. Bit p of
//   the low half-word belongs to the even element of register p, bit p of the high half-word to the odd one; register
//   p = 8 half + 4 (lower rows) + pair. One shift by 15 - p puts both on the sign bits.
#pragma once
#include "config.cuh"
#include "element.cuh"
#include "formats.cuh"
#include "mask_words.cuh"
#include "ptx.cuh"
#include "tile_grid.cuh"

namespace mglu {

constexpr int kTileRows = 16;
constexpr int kChunk = 64;                          // columns of one warp step
constexpr int kMaskChunkBytes = 128 * kMasks;       // kTileRows * kChunk * kMasks / 8
constexpr uint32_t kSigns = 0x80008000u;

// Registers of one chunk; x apart, because it is loaded later (see pipeline).
template <int kMatrices>
struct Chunk {
    uint4 w[kMatrices][Format::kVectors];
    uint32_t scale[kMatrices];  // of formats whose scales are of groups
    uint32_t mask[kMasks];      // one word per mask
};
template <int kTokenTiles>
struct Tokens {
    uint4 x[kTokenTiles][2];  // [tokens 8 n + g][half]: 8 elements each
};

// Weights of a tile: chunks first, first + kWarps, ... in that order, then perhaps the tail.
template <int kMatrices, bool kCoded>
struct WeightReader {  // elements
    const element_t* w[kMatrices][2];  // row g | g + 8 of the tile, column 8 t of the next chunk

    __device__ __forceinline__ WeightReader(const void* const (&matrices)[kMatrices],  // [d, w_row_stride]
                                            int tile, int first, int d, int, int64_t w_row_stride, int lane) {
        const int group = lane / 4, column = first * kChunk + lane % 4 * 8;
#pragma unroll
        for (int rows = 0; rows < 2; rows++) {
            const int row = min(tile * kTileRows + rows * 8 + group, d - 1);
#pragma unroll
            for (int m = 0; m < kMatrices; m++)
                w[m][rows] = static_cast<const element_t*>(matrices[m]) + row * w_row_stride + column;
        }
    }

    // Weights of a chunk that lies wholly within h.
    __device__ __forceinline__ void load(Chunk<kMatrices>& to, int) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int m = 0; m < kMatrices; m++) {
#pragma unroll
                for (int rows = 0; rows < 2; rows++) to.w[m][half * 2 + rows] = ptx::ld_stream_v4(w[m][rows] + half * 32);
            }
        }
#pragma unroll
        for (int m = 0; m < kMatrices; m++) {
            w[m][0] += kWarps * kChunk;
            w[m][1] += kWarps * kChunk;
        }
    }

    // Weights of the chunk that h ends in, `columns` before its end. Whole 16-byte vectors are read while they start
    // below h (the row stride covers them); what they hold beyond h is blanked, because 0 * NaN would reach the sums.
    __device__ __forceinline__ void load_tail(Chunk<kMatrices>& to, int columns, int lane) const {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int count = columns - half * 32 - lane % 4 * 8;
#pragma unroll
            for (int m = 0; m < kMatrices; m++) {
#pragma unroll
                for (int rows = 0; rows < 2; rows++) {
                    uint4 v = make_uint4(0, 0, 0, 0);
                    if (count > 0) v = ptx::ld_stream_v4(w[m][rows] + half * 32);
                    to.w[m][half * 2 + rows] = keep_first(v, count);
                }
            }
        }
    }
};

// Codes are padded, so that the last chunk is as good as any other.
template <int kMatrices>
struct WeightReader<kMatrices, true> {
    const uint8_t* codes[kMatrices];   // the lane's first vector of the next chunk
    const uint8_t* scales[kMatrices];  // the word of scales of the lane's rows, of the tile's first chunks
    int next;                          // the next chunk

    __device__ __forceinline__ WeightReader(const void* const (&matrices)[kMatrices],  // layout "tiles"
                                            int tile, int first, int, int h, int64_t, int lane) {
        const int steps = ceil_div(h, kChunk);
        next = first;
#pragma unroll
        for (int m = 0; m < kMatrices; m++) {
            const uint8_t* const at = static_cast<const uint8_t*>(matrices[m]) + tile * tile_bytes(steps);
            codes[m] = at + code_bytes(first) + lane * 16;
            scales[m] = at + code_bytes(steps) + lane / 4 * 4;
        }
    }
    __device__ __forceinline__ void load(Chunk<kMatrices>& to, int) {
        load_tail(to, 0, 0);
#pragma unroll
        for (int m = 0; m < kMatrices; m++) codes[m] += kWarps * kStepBytes;
        next += kWarps;
    }
    __device__ __forceinline__ void load_tail(Chunk<kMatrices>& to, int, int) const {
#pragma unroll
        for (int m = 0; m < kMatrices; m++) {
#pragma unroll
            for (int v = 0; v < Format::kVectors; v++) to.w[m][v] = ptx::ld_stream_v4(codes[m] + v * 512);
            if (Format::kGroupSteps == 1) to.scale[m] = ptx::ld_stream_u32(scales[m] + next * 32);
            if (Format::kGroupSteps == 2) to.scale[m] = ptx::ld_stream_u32(scales[m] + next / 2 * 32);
        }
    }
};

// What one warp reads of a tile: chunks first, first + kWarps, ... in that order, then perhaps the tail.
//
// NOTES
//   Rows beyond d and tokens beyond the batch are clamped to the last one: that costs no traffic, and what they sum up to
//   is never stored. So no zeros are needed for the unused columns of an MMA either.
//   Pointers advance by a constant, which keeps address arithmetic out of the way of the sign flips.
//   kVectorX: every row of x is aligned to 16 bytes (h is a multiple of 8, or there is one row).
template <int kMatrices, int kTokenTiles, bool kVectorX>
struct TileReader {
    int lane;
    WeightReader<kMatrices, Format::kCoded> weights;
    const uint8_t* masks;             // of the next chunk (not offset by lane)
    const element_t* x[kTokenTiles];  // token 8 n + g, element 8 t of the next chunk

    __device__ __forceinline__ TileReader(const void* const (&matrices)[kMatrices],
                                          const uint8_t* packed,  // [ceil(d/16), chunks, kMaskChunkBytes] or null
                                          const element_t* tokens,  // [batch, h]
                                          int tile, int first, int d, int h, int batch, int64_t w_row_stride)
        : lane(threadIdx.x % 32), weights(matrices, tile, first, d, h, w_row_stride, lane) {
        const int group = lane / 4, column = first * kChunk + lane % 4 * 8;
        const int chunks = ceil_div(h, kChunk);
        masks = packed + (static_cast<int64_t>(tile) * chunks + first) * kMaskChunkBytes;
#pragma unroll
        for (int n = 0; n < kTokenTiles; n++)
            x[n] = tokens + static_cast<int64_t>(min(n * 8 + group, batch - 1)) * h + column;
    }

    __device__ __forceinline__ void load_w(Chunk<kMatrices>& to) { weights.load(to, lane); }
    __device__ __forceinline__ void load_w_tail(Chunk<kMatrices>& to, int columns) const {
        weights.load_tail(to, columns, lane);
    }

    __device__ __forceinline__ void load_masks(Chunk<kMatrices>& to) {
        load_mask_words_from_global(to.mask, masks, lane);
        masks += kWarps * kMaskChunkBytes;
    }

    __device__ __forceinline__ void load_x(Tokens<kTokenTiles>& to) {
#pragma unroll
        for (int n = 0; n < kTokenTiles; n++) {
#pragma unroll
            for (int half = 0; half < 2; half++)
                to.x[n][half] = kVectorX ? ptx::ld_cached_v4(x[n] + half * 32) : gather_first(x[n] + half * 32, 8);
            x[n] += kWarps * kChunk;
        }
    }

    // x of the chunk that h ends in, zeros beyond.
    __device__ __forceinline__ void load_x_tail(Tokens<kTokenTiles>& to, int columns) const {
        for (int n = 0; n < kTokenTiles; n++) {
            for (int half = 0; half < 2; half++)
                to.x[n][half] = gather_first(x[n] + half * 32, columns - half * 32 - lane % 4 * 8);
        }
    }
};

// sums += one half chunk (16 rows x 32 columns) times x: two k-steps of 16.
//   r: the lane's 8 registers, rows g: r[0..3], rows g + 8: r[4..7]
template <int kTokenTiles>
__device__ __forceinline__ void multiply(float (&sums)[kTokenTiles][4], const uint32_t (&r)[8],
                                         const uint4 (&x)[kTokenTiles][2], int half) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; n++)
        ptx::mma_m16n8k16(sums[n], r[0], r[4], r[1], r[5], x[n][half].x, x[n][half].y);
#pragma unroll
    for (int n = 0; n < kTokenTiles; n++)
        ptx::mma_m16n8k16(sums[n], r[2], r[6], r[3], r[7], x[n][half].z, x[n][half].w);
}

// sums += half a chunk times x times the scales of its rows, where those are of groups.
template <int kTokenTiles>
__device__ __forceinline__ void multiply_scaled(float (&sums)[kTokenTiles][4], const uint32_t (&r)[8],
                                                const uint4 (&x)[kTokenTiles][2], int half, const float2& scale) {
    if constexpr (Format::kGroupSteps == 0) {
        multiply(sums, r, x, half);
    } else {
        float of_half[kTokenTiles][4] = {};
        multiply(of_half, r, x, half);
#pragma unroll
        for (int n = 0; n < kTokenTiles; n++) {
#pragma unroll
            for (int q = 0; q < 4; q++) sums[n][q] = fmaf(q < 2 ? scale.x : scale.y, of_half[n][q], sums[n][q]);
        }
    }
}

// sums[0] += T, sums[1 + i] += U_i of one half chunk, of masks i whose bit of `kept` is set.
template <int kTokenTiles>
__device__ __forceinline__ void accumulate_masked(float (&sums)[kMasks + 1][kTokenTiles][4], const uint32_t (&plain)[8],
                                                  const uint4 (&x)[kTokenTiles][2],
                                                  const uint32_t (&mask)[kMasks], int half, const float2& scale,
                                                  uint32_t kept = 0xffffffffu) {
    multiply_scaled(sums[0], plain, x, half, scale);
#pragma unroll
    for (int i = 0; i < kMasks; i++) {
        if (!(kept >> i & 1)) continue;
        uint32_t flipped[8];
#pragma unroll
        for (int j = 0; j < 8; j++) flipped[j] = ptx::xor_and(plain[j], mask[i] << (15 - (half * 8 + j)), kSigns);
        multiply_scaled(sums[1 + i], flipped, x, half, scale);
    }
}

// Run use(stage) `count` times, each after its load(stage) and begin(). With two stages a load runs one unit ahead, so
// that a unit's bytes are in flight while the unit before it is multiplied.
//
// NOTES
//   begin() loads x, which comes from L1: it is issued ahead of the next unit's weight loads, back before the products
//   start, and takes the registers of one unit only.
template <int kStages, class Stage, class Load, class Begin, class Use>
__device__ __forceinline__ void pipeline(int count, Load load, Begin begin, Use use) {
    static_assert(kStages == 1 || kStages == 2, "one or two register stages");
    if (count <= 0) return;
    Stage a;
    if constexpr (kStages == 1) {
#pragma unroll 1
        for (; count > 0; count--) {
            load(a);
            begin();
            use(a);
        }
    } else {
        Stage b;
        load(a);
#pragma unroll 1
        for (; count > 2; count -= 2) {
            begin();
            load(b);
            use(a);
            begin();
            load(a);
            use(b);
        }
        begin();
        if (count == 2) load(b);
        use(a);
        if (count == 2) {
            begin();
            use(b);
        }
    }
}

// The chunks of one warp: `whole` of them within h, and whether it also takes the chunk that h ends in.
struct WarpShare {
    int first;  // whole chunks first, first + kWarps, ...
    int whole;
    bool tail;
};
__device__ __forceinline__ WarpShare warp_share(int h, const Part& part, int chunks_per_part) {
    const int whole_chunks = h / kChunk;
    const int begin = part.index * chunks_per_part;
    const int end = part.count == 1 ? whole_chunks + 1 : begin + chunks_per_part;
    const int first = begin + static_cast<int>(threadIdx.x / 32);
    const int whole = max(0, (min(end, whole_chunks) - first + kWarps - 1) / kWarps);
    const int next = first + whole * kWarps;
    return {first, whole, h % kChunk != 0 && next == whole_chunks && next < end};
}

// ---- from the warps' sums to y ---------------------------------------------------------------------------------------

// Output element of accumulator q of a lane: C fragment of mma.m16n8k16.
struct OutputIndex {
    int row, token;
};
__device__ __forceinline__ OutputIndex output_index(int tile, int token_tile, int q, int lane) {
    return {tile * kTileRows + lane / 4 + 8 * (q / 2), token_tile * 8 + lane % 4 * 2 + q % 2};
}

template <int kSums>
constexpr size_t reduction_bytes() {
    return sizeof(float) * kWarps * kSums * 4 * 32;
}

// Workspace of a split launch: one arrival counter per shared tile (padded to 16 bytes), then the partial sums.
//   partial[slot][part][token tile][sum][q][lane], fp32
__host__ __device__ inline size_t counter_bytes(int tiles) { return ceil_div<size_t>(tiles, 4) * 16; }
template <int kSums>
__host__ __device__ size_t split_workspace_bytes(int tiles, int split, int token_tiles) {
    if (split == 1) return 0;
    return counter_bytes(tiles) + sizeof(float) * 128 * kSums * static_cast<size_t>(tiles) * split * token_tiles;
}
template <int kSums>
size_t grid_workspace_bytes(const TileGrid& grid, int token_tiles) {
    return split_workspace_bytes<kSums>(grid.tiles - grid.whole, grid.split, token_tiles);
}

// Add the warps' sums in warp order, then, when blocks share the tile along k, the blocks' sums in the order of parts,
// and call store(total, row, token) once per element of the tile.
//
// NOTES
//   Both orders are fixed, so results are reproducible to the bit, and T and U_i keep adding alike.
//   Split tiles meet through global memory rather than a cluster: it works on sm_80 and sm_120 alike and any number of
//   blocks can share a tile. The last block to arrive (an acq_rel counter) finishes the tile and clears the counter, so
//   the workspace needs zeroing once only.
//   Warp q takes accumulator q of all lanes: with 4 warps each thread ends up with one element of y.
template <int kSums, int kTokenTiles, class Store>
__device__ __forceinline__ void reduce_and_store(const float (&sums)[kSums][kTokenTiles][4],
                                                 float* shared,     // [kWarps][kSums][4][32]
                                                 uint8_t* workspace, const Part& part, int d, int batch, Store store) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int split = part.count, tile = part.tile;
    float* partial = nullptr;
    if (split > 1) {
        partial = reinterpret_cast<float*>(workspace + counter_bytes(part.slots)) +
                  static_cast<int64_t>(part.slot) * split * kTokenTiles * kSums * 128;
    }
    auto partial_at = [&](int s, int n, int i, int q) {
        return partial + (((static_cast<int64_t>(s) * kTokenTiles + n) * kSums + i) * 4 + q) * 32 + lane;
    };

    // 1. Add the warps of this block.
#pragma unroll
    for (int n = 0; n < kTokenTiles; n++) {
        if (n > 0) __syncthreads();
#pragma unroll
        for (int i = 0; i < kSums; i++) {
#pragma unroll
            for (int q = 0; q < 4; q++) shared[((warp * kSums + i) * 4 + q) * 32 + lane] = sums[i][n][q];
        }
        __syncthreads();
        for (int q = warp; q < 4; q += kWarps) {
            const OutputIndex out = output_index(tile, n, q, lane);
            if (out.row >= d || out.token >= batch) continue;
            float total[kSums];
#pragma unroll
            for (int i = 0; i < kSums; i++) {
                total[i] = 0.0f;
#pragma unroll
                for (int w = 0; w < kWarps; w++) total[i] += shared[((w * kSums + i) * 4 + q) * 32 + lane];
            }
            if (split == 1) {
                store(total, out.row, out.token);
            } else {
#pragma unroll
                for (int i = 0; i < kSums; i++) *partial_at(part.index, n, i, q) = total[i];
            }
        }
    }
    if (split == 1) return;

    // 2. The last block of the tile adds the blocks.
    __syncthreads();
    uint32_t* const counter = reinterpret_cast<uint32_t*>(workspace) + part.slot;
    uint32_t* const arrived = reinterpret_cast<uint32_t*>(shared);
    if (threadIdx.x == 0) *arrived = ptx::atom_add_acq_rel_gpu(counter, 1);
    __syncthreads();
    if (*arrived != static_cast<uint32_t>(split - 1)) return;
    if (threadIdx.x == 0) *counter = 0;
    for (int n = 0; n < kTokenTiles; n++) {
        for (int q = warp; q < 4; q += kWarps) {
            const OutputIndex out = output_index(tile, n, q, lane);
            if (out.row >= d || out.token >= batch) continue;
            float total[kSums];
#pragma unroll
            for (int i = 0; i < kSums; i++) total[i] = 0.0f;
            for (int s = 0; s < split; s++) {
#pragma unroll
                for (int i = 0; i < kSums; i++) total[i] += ptx::ld_other_block_f32(partial_at(s, n, i, q));
            }
            store(total, out.row, out.token);
        }
    }
}

// g(gate) value of one mask.
__device__ __forceinline__ float masked_term(float t, float u, int activation) {
    const float gate = 0.5f * (t - u), value = 0.5f * (t + u);
    return activate(gate, activation) * value;
}

// y from T = sum[0] and U_i = sum[1 + i].
__device__ __forceinline__ float combine_masked(const float (&sum)[kMasks + 1], int activation) {
    const float t = sum[0];
    float y = 0.0f;
#pragma unroll
    for (int i = 0; i < kMasks; i++) y += masked_term(t, sum[1 + i], activation);
    return nan_unless_finite(y, t);
}

// Blocks of 4 warps whose registers a multiprocessor has room for, of a kernel over codes: by what lives through a step,
// sums, two stages of weights and masks, x. What the compiler needs beside that was found by trying.
__host__ __device__ constexpr int blocks_of_codes(int token_tiles, int sums, int masks, int matrices) {
    const int live = 4 * token_tiles * sums + 2 * masks + 8 * Format::kVectors * matrices + 8 * token_tiles +
                     (Format::kGroupSteps ? 6 * token_tiles * sums + 16 : 0) +  // sums of a half
                     16 * (token_tiles - 1);
    return live <= 50 ? 6 : live <= 62 ? 5 : live <= 84 ? 4 : live <= 120 ? 3 : 2;
}

// ---- the host half of a tiled kernel ---------------------------------------------------------------------------------

inline int token_tiles(const MgluArgs& a) { return a.batch > 8 ? 2 : 1; }
inline int tiles(const MgluArgs& a) { return ceil_div(a.d, kTileRows); }

}  // namespace mglu
