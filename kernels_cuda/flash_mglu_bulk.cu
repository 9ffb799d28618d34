// flash_mglu_bulk.cu - the arithmetic of flash_mglu_mma fed by the bulk copy engine (sm_90 and newer).
//
// Partition: a block owns tiles of 16 rows, or, of tiles that blocks share (tile_grid.cuh), a range of segments; its warps
// share the chunks of a segment. A block feeds itself through a ring:
//
//   global   16 rows x MGLU_SEGMENT columns of w, and the masks of the same chunks (contiguous)
//      |     17 bulk copies per segment, dealt out to the warps: row r is copied by warp r % MGLU_WARPS
//   shared   stage 0 | stage 1 | ...      MGLU_RING stages per block, one mbarrier each
//      |     LDS.128, sign flips, mma.sync
//   sums
//
// NOTES
//   The ring runs across tiles: while a block reduces and stores one tile, the segments of the next are on their way.
//   That, and bytes in flight that cost no registers, is what the copy engine can bring over plain loads.
//   A multiprocessor starts its copies one after another, whatever their size: a ring for the block, not one per warp,
//   makes them MGLU_WARPS times as large. Its price is a barrier per segment, between its last read and its refill.
//   Rows are stored MGLU_SEGMENT * 2 + 64 bytes apart: the two rows that a quarter-warp of an LDS.128 touches then fall
//   on different banks.
//   Launch persistent: as many blocks as fit on the card by shared memory, at most one per tile or part.
#include "host.cuh"
#include "mma_tile.cuh"

#ifndef MGLU_SEGMENT  // columns of one ring stage: a multiple of 64 * MGLU_WARPS
#define MGLU_SEGMENT (MGLU_NM <= 4 || MGLU_WARPS > 8 ? 1024 : 512)
#endif
#ifndef MGLU_RING  // stages; the defaults let two blocks share a multiprocessor of 228 KB
#define MGLU_RING (MGLU_NM <= 4 || MGLU_NM == 16 || MGLU_WARPS > 8 ? 2 : 3)
#endif

static_assert(MGLU_SEGMENT >= 64 && MGLU_SEGMENT % (64 * MGLU_WARPS) == 0,
              "MGLU_SEGMENT must be a multiple of 64 * MGLU_WARPS");
static_assert(MGLU_RING >= 1 && MGLU_RING <= 8, "MGLU_RING must be 1..8");

namespace mglu {

static_assert(!Format::kCoded, "reads weights of the dtype of x");

constexpr int kSums = kMasks + 1;
constexpr int kSegment = MGLU_SEGMENT;
constexpr int kRing = MGLU_RING;
constexpr int kSegmentChunks = kSegment / kChunk;
[[maybe_unused]] constexpr int kOwnChunks = kSegmentChunks / kWarps;  // of a segment, those of a warp

// Shared memory of a block: [kRing] stages, then the sums, then the mbarriers.
constexpr int kRowPitch = kSegment * 2 + 64;
constexpr int kStageRowBytes = kTileRows * kRowPitch;
constexpr int kStageBytes = kStageRowBytes + kSegmentChunks * kMaskChunkBytes;
constexpr size_t kSumsOffset = static_cast<size_t>(kRing) * kStageBytes;
constexpr size_t kBarrierOffset = kSumsOffset + sizeof(float) * kWarps * kSums * 128;
constexpr size_t kSharedBytes = kBarrierOffset + sizeof(uint64_t) * kRing;

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
    uint8_t* workspace;    // see split_workspace_bytes; null when no tile is split
    int h, d, batch;
    TileGrid grid;
    int64_t w_row_stride;  // elements
    int activation;
};

// Segments begin .. end - 1 of a tile; no part of a tile is without any.
struct Range {
    int begin, end;
};
__device__ __forceinline__ Range segments_of(const Params& p, const Part& part) {
    const int begin = part.count == 1 ? 0 : part.index * p.grid.units_per_part;
    return {begin, part.count == 1 ? ceil_div(p.h, kSegment) : min(begin + p.grid.units_per_part, ceil_div(p.h, kSegment))};
}

// The segments of a block in the order in which its ring carries them: those of one tile or part after another.
struct Cursor {
    int work;  // which tile or part
    int tile, segment, end;

    __device__ __forceinline__ Cursor(const Params& p) : work(blockIdx.x) { enter(p); }
    __device__ __forceinline__ void enter(const Params& p) {
        const Part part = part_of(p.grid, work);
        const Range range = segments_of(p, part);
        tile = part.tile, segment = range.begin, end = range.end;
    }
    __device__ __forceinline__ bool more(const Params& p) const { return work < blocks_of(p.grid); }
    __device__ __forceinline__ void advance(const Params& p) {
        if (++segment < end) return;
        work += gridDim.x;
        if (more(p)) enter(p);
    }
};

#ifdef PTX_HAS_BULK_COPY
constexpr int kRowsPerWarp = kTileRows / kWarps;

// Start this warp's copies of one segment into a stage. All warps call it, after the block's last read of the stage.
__device__ __forceinline__ void fill_stage(const Params& p, const Cursor& at, uint8_t* stage, uint64_t* bar, int warp,
                                           int lane) {
    const int chunks = ceil_div(p.h, kChunk), column = at.segment * kSegment;
    const int row_bytes = min(kSegment, ceil_div(p.h - column, 8) * 8) * 2;
    const int mask_bytes = min(kSegmentChunks, chunks - at.segment * kSegmentChunks) * kMaskChunkBytes;
    const int own_mask_bytes = warp == kWarps - 1 ? mask_bytes : 0;
    if (lane == 0) ptx::mbarrier_arrive_expect_tx(bar, kRowsPerWarp * row_bytes + own_mask_bytes);
    __syncwarp();
    if (lane < kRowsPerWarp) {
        const int row_of_tile = lane * kWarps + warp;
        const int row = min(at.tile * kTileRows + row_of_tile, p.d - 1);
        ptx::bulk_copy_to_shared(stage + row_of_tile * kRowPitch, p.w + row * p.w_row_stride + column, row_bytes, bar);
    } else if (lane == kRowsPerWarp && own_mask_bytes > 0) {
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
    float* const sums_area = reinterpret_cast<float*>(shared + kSumsOffset);
    uint64_t* const bars = reinterpret_cast<uint64_t*>(shared + kBarrierOffset);
    // Chunks whose x is loaded at once: one where registers are scarce.
    constexpr int kAhead = !kVectorX || kTokenTiles * kMasks > 16 ? 1 : kOwnChunks % 4 == 0 ? 4 : kOwnChunks % 2 == 0 ? 2 : 1;

    // 1. Fill the ring; each warp announces what it copies itself.
    if (threadIdx.x == 0) {
        for (int s = 0; s < kRing; s++) ptx::mbarrier_init(&bars[s], kWarps);
        ptx::fence_mbarrier_init();
    }
    __syncthreads();
    Cursor ahead(p);
    for (int s = 0; s < kRing && ahead.more(p); s++) {
        fill_stage(p, ahead, shared + s * kStageBytes, &bars[s], warp, lane);
        ahead.advance(p);
    }

    const element_t* x[kTokenTiles];
#pragma unroll
    for (int n = 0; n < kTokenTiles; n++)
        x[n] = p.x + static_cast<int64_t>(min(n * 8 + group, p.batch - 1)) * p.h + quarter * 8;

    int stage = 0;
    uint32_t parity = 0;
    for (int work = blockIdx.x; work < blocks_of(p.grid); work += gridDim.x) {
        // 2. T and U_i of this warp's chunks, every kWarps-th of each segment.
        const Part part = part_of(p.grid, work);
        const Range range = segments_of(p, part);
        float sums[kSums][kTokenTiles][4] = {};
        for (int segment = range.begin; segment < range.end; segment++) {
            const uint8_t* const from = shared + stage * kStageBytes;
            if ((segment + 1) * kSegment <= p.h) {
#pragma unroll 1
                for (int own = 0; own < kOwnChunks; own += kAhead) {
                    // x first: its way from L1 or L2 overlaps the wait for the copies.
                    Tokens<kTokenTiles> tokens[kAhead];
#pragma unroll
                    for (int c = 0; c < kAhead; c++)
                        load_tokens<kVectorX>(tokens[c], x, segment * kSegment + ((own + c) * kWarps + warp) * kChunk);
                    ptx::mbarrier_wait_parity(&bars[stage], parity);
#pragma unroll
                    for (int c = 0; c < kAhead; c++)
                        multiply_chunk(sums, from, (own + c) * kWarps + warp, tokens[c], kChunk, lane);
                }
            } else {
                ptx::mbarrier_wait_parity(&bars[stage], parity);
#pragma unroll 1
                for (int c = warp; segment * kSegment + c * kChunk < p.h; c += kWarps) {
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

            // 3. Once every warp has read the stage, ask for the segment kRing ahead.
            __syncthreads();
            if (ahead.more(p)) {
                fill_stage(p, ahead, shared + stage * kStageBytes, &bars[stage], warp, lane);
                ahead.advance(p);
            }
            stage++;
            if (stage == kRing) {
                stage = 0;
                parity ^= 1;
            }
        }

        // 4. Add the warps (and the blocks that share the tile), activate, store. The barrier of the next segment keeps the
        //    sums area until all have read it.
        reduce_and_store(sums, sums_area, p.workspace, part, p.d, p.batch,
                         [&](const float(&total)[kSums], int row, int token) {
                             p.y[static_cast<int64_t>(token) * p.d + row] =
                                 float_to_element(combine_masked(total, p.activation));
                         });
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

inline TileGrid bulk_grid(const MgluArgs& a) {
    return choose_grid(a, tiles(a), ceil_div(a.h, kSegment), 1, blocks_per_sm());
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
    return mglu::grid_workspace_bytes<mglu::kSums>(mglu::bulk_grid(*args), mglu::token_tiles(*args));
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
                      static_cast<uint8_t*>(a.workspace), a.h, a.d, a.batch, bulk_grid(a), a.w_row_stride, a.activation};
    const int works = blocks_of(p.grid), resident = a.sm_count > 0 ? a.sm_count * blocks_per_sm() : works;
    return launch_kernel(kernel_for(a), dim3(min(resident, works)), kThreads, kSharedBytes, stream, p);
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
