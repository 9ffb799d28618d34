// ptx.cuh - all inline PTX of the project, one function per instruction, each with a host twin.
//
// The twin under CUDA_EMU follows the PTX ISA's documented semantics, for the host emulation of the tests. What the
// twins cannot check is the asm string itself: that is left to ptxas and to a run on a GPU.
#pragma once
#include "config.cuh"

namespace ptx {

// ---- loads -----------------------------------------------------------------------------------------------------------
// ld_stream_*: read once, so neither kept in L1 nor written to. ld_cached_v4: read by every tile, so kept in L1.
// NOTES volatile keeps the loads where the source puts them: ahead of the arithmetic of the stage before.

#ifndef CUDA_EMU
#if MGLU_L2_PREFETCH == 0
#define MGLU_LD_STREAM "ld.global.nc.L1::no_allocate"
#elif MGLU_L2_PREFETCH == 64
#define MGLU_LD_STREAM "ld.global.nc.L1::no_allocate.L2::64B"
#elif MGLU_L2_PREFETCH == 128
#define MGLU_LD_STREAM "ld.global.nc.L1::no_allocate.L2::128B"
#elif MGLU_L2_PREFETCH == 256
#define MGLU_LD_STREAM "ld.global.nc.L1::no_allocate.L2::256B"
#else
#error "MGLU_L2_PREFETCH must be 0, 64, 128 or 256"
#endif
#endif

__device__ __forceinline__ uint4 ld_stream_v4(const void* p) {
#ifdef CUDA_EMU
    return *static_cast<const uint4*>(p);
#else
    uint4 v;
    asm volatile(MGLU_LD_STREAM ".v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
#endif
}

__device__ __forceinline__ uint2 ld_stream_v2(const void* p) {
#ifdef CUDA_EMU
    return *static_cast<const uint2*>(p);
#else
    uint2 v;
    asm volatile(MGLU_LD_STREAM ".v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
    return v;
#endif
}

__device__ __forceinline__ uint32_t ld_stream_u32(const void* p) {
#ifdef CUDA_EMU
    return *static_cast<const uint32_t*>(p);
#else
    uint32_t v;
    asm volatile(MGLU_LD_STREAM ".u32 %0, [%1];" : "=r"(v) : "l"(p));
    return v;
#endif
}

__device__ __forceinline__ uint4 ld_cached_v4(const void* p) {
#ifdef CUDA_EMU
    return *static_cast<const uint4*>(p);
#else
    uint4 v;
    asm volatile("ld.global.nc.L1::evict_last.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
#endif
}

// A value that another block of this launch has written (never from L1).
__device__ __forceinline__ float ld_other_block_f32(const float* p) {
#ifdef CUDA_EMU
    return *p;
#else
    float v;
    asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
    return v;
#endif
}

// ---- atomics ---------------------------------------------------------------------------------------------------------

// *p += v; returns the old value. Orders this thread's (and, after a barrier, its block's) writes before it and its
// reads after it, device-wide.
__device__ __forceinline__ uint32_t atom_add_acq_rel_gpu(uint32_t* p, uint32_t v) {
#ifdef CUDA_EMU
    return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL);
#else
    uint32_t old;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(v) : "memory");
    return old;
#endif
}

// *p += v without a result, unordered.
__device__ __forceinline__ void red_add_f32(float* p, float v) {
#ifdef CUDA_EMU
    float old, next;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do {
        next = old + v;
    } while (!__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
#else
    asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(p), "f"(v) : "memory");
#endif
}

// ---- arithmetic ------------------------------------------------------------------------------------------------------

// a ^ (b & c) in one LOP3.
__device__ __forceinline__ uint32_t xor_and(uint32_t a, uint32_t b, uint32_t c) {
#ifdef CUDA_EMU
    return a ^ (b & c);
#else
    uint32_t r;
    asm("lop3.b32 %0, %1, %2, %3, 0x78;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
#endif
}

// c[16x8] += a[16x16] b[16x8], fp16 or bf16 factors, fp32 sums, the 32 lanes of a warp together.
//   lane = 4 g + t;   columns and k count from 0
//   a[0]: a(g, 2t..2t+1)    a[1]: a(g+8, 2t..)    a[2]: a(g, 2t+8..)    a[3]: a(g+8, 2t+8..)
//   b0:   b(2t..2t+1, g)    b1:   b(2t+8.., g)    c[0..1]: c(g, 2t..2t+1)    c[2..3]: c(g+8, 2t..2t+1)
__device__ __forceinline__ void mma_m16n8k16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                             uint32_t b0, uint32_t b1) {
#ifdef CUDA_EMU
    cuda_emu::MmaLane lane = {{a0, a1, a2, a3}, {b0, b1}, c};
    simt::warp_collective(0xffffffffu, &lane, cuda_emu::mma_combine<mglu::kBf16>, "mma.sync");
#else
#if MGLU_BF16
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#endif
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#endif
}

// ---- bulk copies and mbarriers (sm_90 and newer) ---------------------------------------------------------------------

#if defined(CUDA_EMU) || !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define PTX_HAS_BULK_COPY 1

#ifndef CUDA_EMU
__device__ __forceinline__ uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

// Make `bar` complete a phase after `arrivals` arrivals and all announced bytes. Follow with fence_mbarrier_init.
__device__ __forceinline__ void mbarrier_init(uint64_t* bar, uint32_t arrivals) {
#ifdef CUDA_EMU
    *bar = 0;
    simt::mbarrier_init(bar, arrivals);
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(bar)), "r"(arrivals) : "memory");
#endif
}

// Make initialised mbarriers visible to the bulk copy engine (the async proxy).
__device__ __forceinline__ void fence_mbarrier_init() {
#ifndef CUDA_EMU
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Arrive once and announce `bytes` that bulk copies will bring in this phase.
__device__ __forceinline__ void mbarrier_arrive_expect_tx(uint64_t* bar, uint32_t bytes) {
#ifdef CUDA_EMU
    simt::mbarrier_arrive_expect_tx(bar, bytes);
#else
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(bar)),
                 "r"(bytes)
                 : "memory");
#endif
}

// Wait until the phase of the given parity has completed; what its copies brought is then visible to this thread.
__device__ __forceinline__ void mbarrier_wait_parity(uint64_t* bar, uint32_t parity) {
#ifdef CUDA_EMU
    (void)*static_cast<volatile uint64_t*>(bar);
    simt::mbarrier_wait(bar, parity);
#else
    asm volatile(
        "{\n\t.reg .pred done;\n"
        "again:\n\t"
        "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n\t"
        "@!done bra again;\n\t}" ::"r"(shared_address(bar)),
        "r"(parity)
        : "memory");
#endif
}

// Start copying `bytes` from global to shared memory; `bar` is told when they have landed. All multiples of 16.
__device__ __forceinline__ void bulk_copy_to_shared(void* shared, const void* global, uint32_t bytes, uint64_t* bar) {
#ifdef CUDA_EMU
    simt::bulk_copy(shared, global, bytes, bar);
#else
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(shared)),
                 "l"(global), "r"(bytes), "r"(shared_address(bar))
                 : "memory");
#endif
}

#endif  // PTX_HAS_BULK_COPY

}  // namespace ptx
