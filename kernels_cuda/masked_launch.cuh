// masked_launch.cuh - register stages, resident blocks and the grid of the kernels that flip signs by registers.
#pragma once
#include "host.cuh"
#include "mma_tile.cuh"

#ifndef MGLU_STAGES  // register stages of the main loop: 1 or 2; 0: 2 unless registers would not suffice
#define MGLU_STAGES 0
#endif

namespace mglu {

template <int kTokenTiles>
__host__ __device__ constexpr int stages() {
    const bool many = kMasks == 16 || (Format::kGroupSteps > 0 && kMasks > 4);
    return MGLU_STAGES != 0 ? MGLU_STAGES : many && kTokenTiles == 2 ? 1 : 2;
}

// Resident blocks that the registers must allow: 4 blocks of 4 warps leave 128 registers per thread, 3 leave 168, 2 255.
template <int kTokenTiles, bool kVectorX>
__host__ __device__ constexpr int min_blocks() {
    if (MGLU_MIN_BLOCKS != 0) return MGLU_MIN_BLOCKS;
    const int live = 4 * kTokenTiles * (kMasks + 1) + 2 * kMasks + 48;  // sums, two stages of masks and weights, x
    const int slack = 20 * (kTokenTiles - 1);  // by the compiler's own use of registers
    const int of_elements = live > 132 - slack ? 2 : live > 104 - slack ? 3 : 4;
    const int of_codes = blocks_of_codes(kTokenTiles, kMasks + 1, kMasks, 1);
    const int of_4_warps = !kVectorX ? 2 : Format::kCoded ? of_codes : of_elements;
    const int blocks = of_4_warps * 4 / kWarps;
    return blocks < 1 ? 1 : blocks;
}

inline TileGrid masked_grid(const MgluArgs& a) {
    const int blocks_per_sm = a.batch > 8 ? min_blocks<2, true>() : min_blocks<1, true>();
    return choose_grid(a, tiles(a), ceil_div(a.h, kChunk), 2 * kWarps, blocks_per_sm);
}

}  // namespace mglu
