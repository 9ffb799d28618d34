// tile_grid.cuh - which part of which 16-row tile a block works on: tiles of their own first, then tiles that blocks share.
//
//   blockIdx.x   0 .. whole - 1        |  whole ..
//   tile         blockIdx.x, all of it |  the others, each shared by `split` blocks along k: all first parts, then all
//                                      |  second ones, ...
//
// NOTES
//   Tiles are dealt out in waves of as many blocks as are resident. What a last wave lacks is made up by parts: 896 tiles
//   on 528 slots are 528 tiles and 368 x 4 quarters, whose last wave is a quarter as long as that of whole tiles; 320
//   tiles on 528 slots, whose only wave is not full, are 320 x 3 parts.
#pragma once
#include "host.cuh"

namespace mglu {

struct TileGrid {
    int tiles, whole, split;  // all tiles; those with a block of their own; blocks that share one of the others
    int units_per_part;       // steps along k of such a block
};

struct Part {
    int tile;
    int index, count;  // which of the blocks that share it
    int slot, slots;   // which of the shared tiles it is
};

__device__ __forceinline__ Part part_of(const TileGrid& grid, int block) {
    const int slots = grid.tiles - grid.whole;
    if (block < grid.whole) return {block, 0, 1, 0, slots};
    const int rest = block - grid.whole;
    return {grid.whole + rest % slots, rest / slots, grid.split, rest % slots, slots};
}

__host__ __device__ constexpr int blocks_of(const TileGrid& grid) { return grid.whole + (grid.tiles - grid.whole) * grid.split; }

// The grid for tiles of `units` steps. A part has at least `min_units` of them and costs half as many beside its own;
// with split_k every tile is shared by so many blocks.
constexpr TileGrid choose_grid(const MgluArgs& a, int tiles, int units, int min_units, int blocks_per_sm) {
    const int slots = a.sm_count * blocks_per_sm;
    const bool chosen = a.split_k <= 0 && slots > 0;
    const int rest = chosen ? tiles % slots : tiles;
    const int launchable = 0x7fffffff / tiles;  // parts of every tile
    int cap = chosen ? units / min_units : a.split_k < units ? a.split_k : units;
    if (cap > launchable) cap = launchable;
    // Of equal parts as few as are needed, so that none is left without a step.
    int split = !chosen && cap > 1 ? ceil_div(units, ceil_div(units, cap)) : 1;
    int64_t least = INT64_MAX;
    for (int parts = 1; chosen && (parts == 1 || parts <= cap); parts++) {
        const int64_t waves = ceil_div<int64_t>(static_cast<int64_t>(rest) * parts, slots);
        const int64_t steps = waves * (2 * ceil_div(units, parts) + min_units);
        if (steps < least) {
            least = steps;
            split = parts;
        }
    }
    return {tiles, split == 1 ? tiles : tiles - rest, split, ceil_div(units, split)};
}

}  // namespace mglu
