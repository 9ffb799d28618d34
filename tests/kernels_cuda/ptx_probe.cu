// ptx_probe.cu - a kernel around each function of ptx.cuh: the tests read what nvcc makes of its asm (ptx_text.py).
#include "ptx.cuh"

#define PROBE extern "C" __global__ void

PROBE ld_stream_v4(const uint4* p, uint32_t* out) {
    const uint4 v = ptx::ld_stream_v4(p);
    out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}
PROBE ld_stream_v2(const uint2* p, uint32_t* out) {
    const uint2 v = ptx::ld_stream_v2(p);
    out[0] = v.x, out[1] = v.y;
}
PROBE ld_stream_u32(const uint32_t* p, uint32_t* out) { out[0] = ptx::ld_stream_u32(p); }
PROBE ld_cached_v4(const uint4* p, uint32_t* out) {
    const uint4 v = ptx::ld_cached_v4(p);
    out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}
PROBE ld_other_block_f32(const float* p, float* out) { out[0] = ptx::ld_other_block_f32(p); }
PROBE atom_add_acq_rel_gpu(uint32_t* p, uint32_t v, uint32_t* out) { out[0] = ptx::atom_add_acq_rel_gpu(p, v); }
PROBE red_add_f32(float* p, float v) { ptx::red_add_f32(p, v); }
PROBE xor_and(uint32_t a, uint32_t b, uint32_t c, uint32_t* out) { out[0] = ptx::xor_and(a, b, c); }
PROBE permute_bytes(uint32_t a, uint32_t b, uint32_t* out) { out[0] = ptx::permute_bytes<0x4140>(a, b); }
PROBE sub_f16x2(uint32_t a, uint32_t b, uint32_t* out) { out[0] = ptx::sub_f16x2(a, b); }
PROBE fma_f16x2(uint32_t a, uint32_t b, uint32_t c, uint32_t* out) { out[0] = ptx::fma_f16x2(a, b, c); }
PROBE e4m3x2_to_f16x2(uint32_t a, uint32_t* out) { out[0] = ptx::e4m3x2_to_f16x2(a); }
PROBE mma_m16n8k16(float c0, float c1, float c2, float c3, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                   uint32_t b0, uint32_t b1, float* out) {
    float c[4] = {c0, c1, c2, c3};
    ptx::mma_m16n8k16(c, a0, a1, a2, a3, b0, b1);
    out[0] = c[0], out[1] = c[1], out[2] = c[2], out[3] = c[3];
}
PROBE mbarrier_init(uint64_t* bar, uint32_t arrivals) { ptx::mbarrier_init(bar, arrivals); }
PROBE fence_mbarrier_init() { ptx::fence_mbarrier_init(); }
PROBE mbarrier_arrive_expect_tx(uint64_t* bar, uint32_t bytes) { ptx::mbarrier_arrive_expect_tx(bar, bytes); }
PROBE mbarrier_wait_parity(uint64_t* bar, uint32_t parity) { ptx::mbarrier_wait_parity(bar, parity); }
PROBE bulk_copy_to_shared(void* shared, const void* global, uint32_t bytes, uint64_t* bar) {
    ptx::bulk_copy_to_shared(shared, global, bytes, bar);
}
