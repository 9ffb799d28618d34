// ptx_twins.h - host twins of the functions of kernels_cuda/ptx.cuh, after the PTX ISA's documented semantics.
//
// Same names and parameters: a kernel that compiles with one compiles with the other. What a GPU refuses (an address off
// its vector's alignment, an mbarrier that no fence has shown to the copy engine) is refused here.
#pragma once
#include <cuda_fp16.h>

#include "config.cuh"

#define PTX_HAS_BULK_COPY 1

namespace ptx {

inline uint4 ld_stream_v4(const void* p) { return cuda_emu::load<uint4>(p); }
inline uint2 ld_stream_v2(const void* p) { return cuda_emu::load<uint2>(p); }
inline uint32_t ld_stream_u32(const void* p) { return cuda_emu::load<uint32_t>(p); }
inline uint4 ld_cached_v4(const void* p) { return cuda_emu::load<uint4>(p); }
inline float ld_other_block_f32(const float* p) { return cuda_emu::load<float>(p); }

inline uint32_t atom_add_acq_rel_gpu(uint32_t* p, uint32_t v) {
    cuda_emu::check_aligned(p, sizeof *p);
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
}

inline void red_add_f32(float* p, float v) {
    cuda_emu::check_aligned(p, sizeof *p);
    float old, next;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do {
        next = old + v;
    } while (!__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

inline uint32_t xor_and(uint32_t a, uint32_t b, uint32_t c) { return a ^ (b & c); }

template <int kSelector>
uint32_t permute_bytes(uint32_t a, uint32_t b) {
    static_assert((kSelector & ~0x7777) == 0, "a selector's fourth bit spreads a sign, which is not done here");
    const uint64_t both = static_cast<uint64_t>(b) << 32 | a;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) r |= static_cast<uint32_t>(both >> (8 * (kSelector >> (4 * i) & 7)) & 0xff) << (8 * i);
    return r;
}
inline uint32_t sub_f16x2(uint32_t a, uint32_t b) {
    return cuda_emu::by_halves([](double x, double y, double) { return x - y; }, a, b, 0);
}
inline uint32_t fma_f16x2(uint32_t a, uint32_t b, uint32_t c) {
    return cuda_emu::by_halves([](double x, double y, double z) { return x * y + z; }, a, b, c);
}
inline uint32_t e4m3x2_to_f16x2(uint32_t pair) {
    return cuda_emu::half_of_e4m3(pair & 0xff) | cuda_emu::half_of_e4m3(pair >> 8) << 16;
}

inline void mma_m16n8k16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    cuda_emu::MmaLane lane = {{a0, a1, a2, a3}, {b0, b1}, c};
    simt::warp_collective(0xffffffffu, &lane, cuda_emu::mma_combine<mglu::kBf16>, "mma.sync");
}

inline void mbarrier_init(uint64_t* bar, uint32_t arrivals) {
    *bar = 0;
    simt::mbarrier_init(bar, arrivals);
}
inline void fence_mbarrier_init() { simt::mbarrier_fence(); }
inline void mbarrier_arrive_expect_tx(uint64_t* bar, uint32_t bytes) { simt::mbarrier_arrive_expect_tx(bar, bytes); }
inline void mbarrier_wait_parity(uint64_t* bar, uint32_t parity) {
    (void)*static_cast<volatile uint64_t*>(bar);
    simt::mbarrier_wait(bar, parity);
}
inline void bulk_copy_to_shared(void* shared, const void* global, uint32_t bytes, uint64_t* bar) {
    simt::bulk_copy(shared, global, bytes, bar);
}

}  // namespace ptx
