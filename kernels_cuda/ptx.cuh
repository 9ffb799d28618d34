// ptx.cuh - all inline PTX of the project, one function per instruction.
//
// The tests compile everything else of this folder for the host. This file is the one that they replace, by twins after
// the PTX ISA's documented semantics (tests/kernels_cuda/emu/ptx_twins.h); its asm strings they read in nvcc's PTX.
#pragma once
#ifdef CUDA_EMU
#include "ptx_twins.h"
#else
#include "config.cuh"

namespace ptx {

// ---- loads -----------------------------------------------------------------------------------------------------------
// ld_stream_*: read once, so neither kept in L1 nor written to. ld_cached_v4: read by every tile, so kept in L1.
// NOTES volatile keeps the loads where the source puts them: ahead of the arithmetic of the stage before.

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

__device__ __forceinline__ uint4 ld_stream_v4(const void* p) {
    uint4 v;
    asm volatile(MGLU_LD_STREAM ".v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

__device__ __forceinline__ uint2 ld_stream_v2(const void* p) {
    uint2 v;
    asm volatile(MGLU_LD_STREAM ".v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
    return v;
}

__device__ __forceinline__ uint32_t ld_stream_u32(const void* p) {
    uint32_t v;
    asm volatile(MGLU_LD_STREAM ".u32 %0, [%1];" : "=r"(v) : "l"(p));
    return v;
}

__device__ __forceinline__ uint4 ld_cached_v4(const void* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::evict_last.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

// A value that another block of this launch has written (never from L1).
__device__ __forceinline__ float ld_other_block_f32(const float* p) {
    float v;
    asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
    return v;
}

// ---- atomics ---------------------------------------------------------------------------------------------------------

// *p += v; returns the old value. Orders this thread's (and, after a barrier, its block's) writes before it and its
// reads after it, device-wide.
__device__ __forceinline__ uint32_t atom_add_acq_rel_gpu(uint32_t* p, uint32_t v) {
    uint32_t old;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(v) : "memory");
    return old;
}

// *p += v without a result, unordered.
__device__ __forceinline__ void red_add_f32(float* p, float v) {
    asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(p), "f"(v) : "memory");
}

// ---- arithmetic ------------------------------------------------------------------------------------------------------

// a ^ (b & c) in one LOP3.
__device__ __forceinline__ uint32_t xor_and(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t r;
    asm("lop3.b32 %0, %1, %2, %3, 0x78;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

// Bytes of {b, a} by the nibbles of kSelector, the lowest first: 0 to 3 are a's, 4 to 7 b's.
template <int kSelector>
__device__ __forceinline__ uint32_t permute_bytes(uint32_t a, uint32_t b) {
    uint32_t r;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "n"(kSelector));
    return r;
}

// Pairs of fp16: a - b, and a b + c rounded once.
__device__ __forceinline__ uint32_t sub_f16x2(uint32_t a, uint32_t b) {
    uint32_t r;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
}
__device__ __forceinline__ uint32_t fma_f16x2(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
// Two e4m3 numbers in the low half-word as fp16, the low byte's in the low half-word; exact.
__device__ __forceinline__ uint32_t e4m3x2_to_f16x2(uint32_t pair) {
    uint32_t r;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(static_cast<uint16_t>(pair)));
    return r;
}
#endif

// c[16x8] += a[16x16] b[16x8], fp16 or bf16 factors, fp32 sums, the 32 lanes of a warp together.
//   lane = 4 g + t;   columns and k count from 0
//   a[0]: a(g, 2t..2t+1)    a[1]: a(g+8, 2t..)    a[2]: a(g, 2t+8..)    a[3]: a(g+8, 2t+8..)
//   b0:   b(2t..2t+1, g)    b1:   b(2t+8.., g)    c[0..1]: c(g, 2t..2t+1)    c[2..3]: c(g+8, 2t..2t+1)
__device__ __forceinline__ void mma_m16n8k16(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                             uint32_t b0, uint32_t b1) {
#if MGLU_BF16
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#endif
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// ---- bulk copies and mbarriers (sm_90 and newer) ---------------------------------------------------------------------

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define PTX_HAS_BULK_COPY 1

__device__ __forceinline__ uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Make `bar` complete a phase after `arrivals` arrivals and all announced bytes. Follow with fence_mbarrier_init.
__device__ __forceinline__ void mbarrier_init(uint64_t* bar, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(bar)), "r"(arrivals) : "memory");
}

// Make initialised mbarriers visible to the bulk copy engine (the async proxy).
__device__ __forceinline__ void fence_mbarrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Arrive once and announce `bytes` that bulk copies will bring in this phase.
__device__ __forceinline__ void mbarrier_arrive_expect_tx(uint64_t* bar, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(bar)),
                 "r"(bytes)
                 : "memory");
}

// Wait until the phase of the given parity has completed; what its copies brought is then visible to this thread.
__device__ __forceinline__ void mbarrier_wait_parity(uint64_t* bar, uint32_t parity) {
    asm volatile(
        "{\n\t.reg .pred done;\n"
        "again:\n\t"
        "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n\t"
        "@!done bra again;\n\t}" ::"r"(shared_address(bar)),
        "r"(parity)
        : "memory");
}

// Start copying `bytes` from global to shared memory; `bar` is told when they have landed. All multiples of 16.
__device__ __forceinline__ void bulk_copy_to_shared(void* shared, const void* global, uint32_t bytes, uint64_t* bar) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(shared)),
                 "l"(global), "r"(bytes), "r"(shared_address(bar))
                 : "memory");
}

#endif  // PTX_HAS_BULK_COPY

}  // namespace ptx
#endif  // CUDA_EMU
