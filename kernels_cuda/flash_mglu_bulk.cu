// flash_mglu_bulk.cu - the arithmetic of flash_mglu_mma fed by the bulk copy engine (sm_90 and newer).
//
// Partition: a block owns tiles blockIdx.x, blockIdx.x + gridDim.x, ... of 16 rows (and, when split, one of gridDim.y
// ranges of segments); its warps take the segments of a tile in turn. Each warp feeds itself through a ring of its own:
//
//   global   16 rows x MGLU_SEGMENT columns of w, and the masks of the same chunks (contiguous)
//      |     17 bulk copies per segment: lane r copies row r, lane 16 the masks
//   shared   stage 0 | stage 1 | ...      MGLU_RING stages per warp, one mbarrier each
//      |     LDS.128, sign flips, mma.sync
//   sums
//
// NOTES
//   The ring runs across tiles: while a block reduces and stores one tile, the segments of the next are on their way.
//   That, and bytes in flight that cost no registers, is what the copy engine can bring over plain loads.
//   A ring per warp needs no barrier among warps: __syncwarp after the last read of a stage, then the refill.
//   Rows are stored MGLU_SEGMENT * 2 + 64 bytes apart: the two rows that a quarter-warp of an LDS.128 touches then fall
//   on different banks.
//   Launch persistent: as many blocks as fit on the card by shared memory, at most one per tile.
#include "host.cuh"
#include "mma_tile.cuh"

#ifndef MGLU_SEGMENT  // columns of one ring stage: a multiple of 64
#define MGLU_SEGMENT (MGLU_NM <= 4 ? 256 : 128)
#endif
#ifndef MGLU_RING  // stages per warp; the defaults let two blocks of 4 warps share a multiprocessor of 228 KB
#define MGLU_RING (MGLU_NM <= 4 || MGLU_NM == 16 ? 2 : 3)
#endif

static_assert(MGLU_SEGMENT >= 64 && MGLU_SEGMENT % 64 == 0, "MGLU_SEGMENT must be a multiple of 64");
static_assert(MGLU_RING >= 1 && MGLU_RING <= 8, "MGLU_RING must be 1..8");

namespace mglu {

static_assert(!Format::kCoded, "reads weights of the dtype of x");

constexpr int kSums = kMasks + 1;
constexpr int kSegment = MGLU_SEGMENT;
constexpr int kRing = MGLU_RING;
constexpr int kSegmentChunks = kSegment / kChunk;

// Shared memory of a block: [kWarps][kRing] stages, then the sums, then the mbarriers.
constexpr int kRowPitch = kSegment * 2 + 64;
constexpr int kStageRowBytes = kTileRows * kRowPitch;
constexpr int kStageBytes = kStageRowBytes + kSegmentChunks * kMaskChunkBytes;
constexpr size_t kSumsOffset = static_cast<size_t>(kWarps) * kRing * kStageBytes;
constexpr size_t kBarrierOffset = kSumsOffset + sizeof(float) * kWarps * kSums * 128;
constexpr size_t kSharedBytes = kBarrierOffset + sizeof(uint64_t) * kWarps * kRing;

// Oldest architecture that the library was compiled for, e.g. 800.
constexpr int oldest_arch() {
#ifdef __CUDA_ARCH_LIST__
    constexpr int archs[] = {__CUDA_ARCH_LIST__};
    int oldest = archs[0];
    for (int arch : archs) oldest = arch < oldest ? arch : oldest;
    return oldest;
#else
    return 900;
#endif
}

// Of the architecture that the library is for: sm_12x has 100 KB per multiprocessor, sm_90 to sm_11x have 228 KB; the
// system keeps 1 KB of it for each block.
constexpr size_t kSharedBytesPerSm = (oldest_arch() >= 1200 ? 100 : 228) * 1024;
constexpr size_t kSharedBytesPerBlock = kSharedBytesPerSm - 1024;

struct Params {
    const element_t* w;    // [d, w_row_stride]
    const uint8_t* masks;  // layout "mma-16x64"
    const element_t* x;    // [batch, h]
    element_t* y;          // [batch, d]
    uint8_t* workspace;    // see split_workspace_bytes; null when gridDim.y is 1
    int h, d, batch, tiles;
    int64_t w_row_stride;  // elements
    int activation;
};

// The segments of one warp, in the order in which its ring carries them.
struct Cursor {
    int tile, segment;
    int tile_step, first_segment, end_segment;

    __device__ __forceinline__ void advance() {
        segment += kWarps;
        if (segment >= end_segment) {
            segment = first_segment;
            tile += tile_step;
        }
    }
};

#ifdef PTX_HAS_BULK_COPY
// Start the copies of one segment into a stage. All lanes call it, after the last read of the stage.
__device__ __forceinline__ void fill_stage(const Params& p, const Cursor& at, int chunks, uint8_t* stage,
                                           uint64_t* bar, int lane) {
    const int column = at.segment * kSegment;
    const int segment_chunks = min(kSegmentChunks, chunks - at.segment * kSegmentChunks);
    const int row_bytes = min(kSegment, ceil_div(p.h - column, 8) * 8) * 2;
    const int mask_bytes = segment_chunks * kMaskChunkBytes;
    if (lane == 0) ptx::mbarrier_arrive_expect_tx(bar, kTileRows * row_bytes + mask_bytes);
    __syncwarp();
    if (lane < kTileRows) {
        const int row = min(at.tile * kTileRows + lane, p.d - 1);
        ptx::bulk_copy_to_shared(stage + lane * kRowPitch, p.w + row * p.w_row_stride + column, row_bytes, bar);
    } else if (lane == kTileRows) {
        const int64_t chunk = static_cast<int64_t>(at.tile) * chunks + at.segment * kSegmentChunks;
        ptx::bulk_copy_to_shared(stage + kStageRowBytes, p.masks + chunk * kMaskChunkBytes, mask_bytes, bar);
    }
}
#endif

template <bool kVectorX, int kTokenTiles>
__device__ __forceinline__ void load_tokens(Tokens<kTokenTiles>& to, const element_t* const (&x)[kTokenTiles],
                                            int column) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; n++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const element_t* const at = x[n] + column + half * 32;
            to.x[n][half] = kVectorX ? ptx::ld_cached_v4(at) : gather_first(at, 8);
        }
    }
}

// sums += chunk c of a stage times x; what the stage holds beyond `columns` is blanked.
template <int kTokenTiles>
__device__ __forceinline__ void multiply_chunk(float (&sums)[kSums][kTokenTiles][4], const uint8_t* stage, int c,
                                               const Tokens<kTokenTiles>& tokens, int columns, int lane) {
    uint32_t mask[kMasks];
    load_mask_words(
        mask, stage + kStageRowBytes + c * kMaskChunkBytes, lane,
        [](const uint8_t* p) { return *reinterpret_cast<const uint4*>(p); },
        [](const uint8_t* p) { return *reinterpret_cast<const uint2*>(p); },
        [](const uint8_t* p) { return *reinterpret_cast<const uint32_t*>(p); });
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const uint8_t* const at = stage + lane / 4 * kRowPitch + c * kChunk * 2 + half * 64 + lane % 4 * 16;
        uint4 upper = *reinterpret_cast<const uint4*>(at);
        uint4 lower = *reinterpret_cast<const uint4*>(at + 8 * kRowPitch);
        if (columns < kChunk) {
            upper = keep_first(upper, columns - half * 32 - lane % 4 * 8);
            lower = keep_first(lower, columns - half * 32 - lane % 4 * 8);
        }
        uint32_t plain[8];
        unpack_registers(plain, upper, lower);
        accumulate_masked(sums, plain, tokens.x, mask, half, make_float2(1.0f, 1.0f));
    }
}

template <int kTokenTiles, bool kVectorX>
__global__ void __launch_bounds__(kThreads, 1) flash_mglu_bulk(const Params p) {
#ifdef PTX_HAS_BULK_COPY
    MGLU_DYNAMIC_SHARED(uint8_t, shared);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int group = lane / 4, quarter = lane % 4;
    uint8_t* const ring = shared + static_cast<size_t>(warp) * kRing * kStageBytes;
    float* const sums_area = reinterpret_cast<float*>(shared + kSumsOffset);
    uint64_t* const bars = reinterpret_cast<uint64_t*>(shared + kBarrierOffset) + warp * kRing;

    // 1. This warp's segments: begin + warp, begin + warp + kWarps, ... below end, of every tile of the block.
    const int chunks = ceil_div(p.h, kChunk), segments = ceil_div(p.h, kSegment);
    const int per_block = ceil_div(segments, static_cast<int>(gridDim.y));
    const int begin = blockIdx.y * per_block, end = min(begin + per_block, segments);
    const bool any = begin + warp < end;
    Cursor ahead = {static_cast<int>(blockIdx.x), begin + warp, static_cast<int>(gridDim.x), begin + warp, end};

    // 2. Fill the ring.
    if (lane == 0) {
        for (int s = 0; s < kRing; s++) ptx::mbarrier_init(&bars[s], 1);
        ptx::fence_mbarrier_init();
    }
    __syncwarp();
    for (int s = 0; s < kRing; s++) {
        if (any && ahead.tile < p.tiles) {
            fill_stage(p, ahead, chunks, ring + s * kStageBytes, &bars[s], lane);
            ahead.advance();
        }
    }

    const element_t* x[kTokenTiles];
#pragma unroll
    for (int n = 0; n < kTokenTiles; n++)
        x[n] = p.x + static_cast<int64_t>(min(n * 8 + group, p.batch - 1)) * p.h + quarter * 8;

    int stage = 0;
    uint32_t parity = 0;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
        // 3. T and U_i of this warp's segments of the tile.
        float sums[kSums][kTokenTiles][4] = {};
        for (int segment = begin + warp; segment < end; segment += kWarps) {
            const uint8_t* const from = ring + stage * kStageBytes;
            if ((segment + 1) * kSegment <= p.h) {
                // x first: its way from L1 or L2 overlaps the wait for the copies.
                Tokens<kTokenTiles> tokens[kSegmentChunks];
#pragma unroll
                for (int c = 0; c < kSegmentChunks; c++)
                    load_tokens<kVectorX>(tokens[c], x, segment * kSegment + c * kChunk);
                ptx::mbarrier_wait_parity(&bars[stage], parity);
#pragma unroll
                for (int c = 0; c < kSegmentChunks; c++)
                    multiply_chunk(sums, from, c, tokens[c], kChunk, lane);
            } else {
                ptx::mbarrier_wait_parity(&bars[stage], parity);
#pragma unroll 1
                for (int c = 0; segment * kSegment + c * kChunk < p.h; c++) {
                    const int columns = p.h - segment * kSegment - c * kChunk;
                    Tokens<kTokenTiles> tokens;
                    for (int n = 0; n < kTokenTiles; n++) {
                        for (int half = 0; half < 2; half++) {
                            const element_t* const at = x[n] + segment * kSegment + c * kChunk + half * 32;
                            tokens.x[n][half] = gather_first(at, columns - half * 32 - quarter * 8);
                        }
                    }
                    multiply_chunk(sums, from, c, tokens, columns, lane);
                }
            }

            // 4. Hand the stage back and ask for the segment kRing ahead.
            __syncwarp();
            if (ahead.tile < p.tiles) {
                fill_stage(p, ahead, chunks, ring + stage * kStageBytes, &bars[stage], lane);
                ahead.advance();
            }
            stage++;
            if (stage == kRing) {
                stage = 0;
                parity ^= 1;
            }
        }

        // 5. Add the warps (and the blocks that share the tile), activate, store.
        const Part part = {tile, static_cast<int>(blockIdx.y), static_cast<int>(gridDim.y), tile, p.tiles};
        reduce_and_store(sums, sums_area, p.workspace, part, p.d, p.batch,
                         [&](const float(&total)[kSums], int row, int token) {
                             p.y[static_cast<int64_t>(token) * p.d + row] =
                                 float_to_element(combine_masked(total, p.activation));
                         });
        __syncthreads();  // the sums area is free again
    }
#endif
}

constexpr int unsupported() {
    return oldest_arch() < 900 ? MGLU_ERR_ARCH : kSharedBytes > kSharedBytesPerBlock ? MGLU_ERR_SHARED_MEMORY : MGLU_OK;
}

constexpr int blocks_per_sm() {
    if (MGLU_MIN_BLOCKS != 0) return MGLU_MIN_BLOCKS;
    const int by_shared = static_cast<int>(kSharedBytesPerSm / (kSharedBytes + 1024));
    const int by_threads = 2048 / kThreads / 4;  // about 128 registers per thread
    const int blocks = by_shared < by_threads ? by_shared : by_threads;
    return blocks < 1 ? 1 : blocks;
}

inline int split(const MgluArgs& a) {
    return choose_split(a, tiles(a), ceil_div(a.h, kSegment), kWarps, blocks_per_sm());
}

using Kernel = void(Params);
inline Kernel* kernel_for(const MgluArgs& a) {
    if (a.batch > 8) return vector_x(a) ? flash_mglu_bulk<2, true> : flash_mglu_bulk<2, false>;
    return vector_x(a) ? flash_mglu_bulk<1, true> : flash_mglu_bulk<1, false>;
}

}  // namespace mglu

extern "C" {

size_t mglu_workspace_bytes(const MgluArgs* args) {
    if (!args || args->d < 1 || args->h < 1) return 0;
    return mglu::split_workspace_bytes<mglu::kSums>(mglu::tiles(*args), mglu::split(*args), mglu::token_tiles(*args));
}

int mglu_launch(const MgluArgs* args, void* stream) {
    using namespace mglu;
    if (!args) return MGLU_ERR_NULL_POINTER;
    if (unsupported() != MGLU_OK) return unsupported();
    const MgluArgs& a = *args;
    const int status = check_args(a, true, false, true, mglu_workspace_bytes(args));
    if (status != MGLU_OK) return status;
    const Params p = {static_cast<const element_t*>(a.w), static_cast<const uint8_t*>(a.masks),
                      static_cast<const element_t*>(a.x), static_cast<element_t*>(a.y),
                      static_cast<uint8_t*>(a.workspace), a.h, a.d, a.batch, tiles(a), a.w_row_stride, a.activation};
    const int resident = a.sm_count > 0 ? a.sm_count * blocks_per_sm() : tiles(a);
    return launch_kernel(kernel_for(a), dim3(min(resident, tiles(a)), split(a)), kThreads, kSharedBytes, stream, p);
}

int mglu_prepare(const MgluArgs*) {
    using namespace mglu;
    if (unsupported() != MGLU_OK) return unsupported();
    Kernel* const kernels[] = {flash_mglu_bulk<1, true>, flash_mglu_bulk<1, false>, flash_mglu_bulk<2, true>,
                               flash_mglu_bulk<2, false>};
    for (Kernel* kernel : kernels) {
        const int status = allow_shared_memory(kernel, kSharedBytes);
        if (status != MGLU_OK) return status;
    }
    return MGLU_OK;
}

MGLU_EXPORT_IDENTITY("mma-16x64")

}  // extern "C"
