// simt.h - what host-compiled kernel source may ask of the SIMT runtime (simt.cpp).
//
// Host emulation of kernel source, not a GPU run: one fiber per CUDA thread, blocks one after another, on one OS thread.
// It checks control flow, indexing, synchronisation and arithmetic against the documented semantics. It says nothing
// about speed, nor about what ptxas makes of the inline PTX.
#pragma once
#include <cstddef>
#include <cstdint>

namespace simt {

struct Index3 {
    unsigned x, y, z;
};

struct Thread {
    Index3 thread_index, block_index, block_shape, grid_shape;
    unsigned linear, lane, warp;
    unsigned char* shared;  // this block's dynamic shared memory, exactly shared_bytes long
    size_t shared_bytes;
};

Thread& self();

// Block-wide barrier. `where` names the call site: threads that meet at different sites are an error (divergence).
void barrier(const char* where);

// Rendezvous of the lanes in `mask`. The last to arrive runs combine(slots, mask), where slots[lane] is what that lane
// passed; then all go on. With `orders_memory` it also orders memory (as __syncwarp does; shuffles and mma do not).
using Combine = void (*)(void** slots, uint32_t mask);
void warp_collective(uint32_t mask, void* slot, Combine combine, const char* what, bool orders_memory = false);

// mbarrier objects (8 bytes of shared memory each) and the bulk copy engine that completes on them.
void mbarrier_init(void* bar, unsigned arrivals);
void mbarrier_fence();  // by the thread that initialised: before it, neither copies nor other threads may use them
void mbarrier_arrive_expect_tx(void* bar, unsigned bytes);
void mbarrier_wait(void* bar, unsigned parity);
void bulk_copy(void* shared, const void* global, unsigned bytes, void* bar);

// Report a broken CUDA rule with the thread at fault, and exit with status 77.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Run body(argument) once per thread of the grid.
void launch(Index3 grid, Index3 block, size_t shared_bytes, void (*body)(void*), void* argument);

// Thread order: how runnable threads are picked, and with it when bulk copies land (at once | when waited for | either).
enum class Order { forward, reverse, random };
void set_order(Order order, unsigned seed);

// Treat blocks as concurrent for the race detector (needs fresh stacks: tiny grids only). Otherwise blocks are ordered.
void set_concurrent_blocks(bool on);

}  // namespace simt
