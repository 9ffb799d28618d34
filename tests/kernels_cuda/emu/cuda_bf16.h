// cuda_bf16.h - in the place of CUDA's, for g++: the bfloat16 names that the kernels use, every rounding of them.
#pragma once
#include "cuda_emu.h"

struct __attribute__((may_alias)) __nv_bfloat16 {
    uint16_t bits;
};

namespace cuda_emu {

inline __nv_bfloat16 round_bfloat16(float value, uint32_t (*carry)(uint32_t bits)) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (std::isnan(value)) return {0x7fff};
    return {static_cast<uint16_t>((bits + carry(bits)) >> 16)};
}

}  // namespace cuda_emu

inline __nv_bfloat16 __float2bfloat16_rn(float v) {
    return cuda_emu::round_bfloat16(v, [](uint32_t bits) { return 0x7fff + (bits >> 16 & 1); });
}
inline __nv_bfloat16 __float2bfloat16(float v) { return __float2bfloat16_rn(v); }
inline __nv_bfloat16 __float2bfloat16_rz(float v) {
    return cuda_emu::round_bfloat16(v, [](uint32_t) { return 0u; });
}
inline __nv_bfloat16 __float2bfloat16_ru(float v) {
    return cuda_emu::round_bfloat16(v, [](uint32_t bits) { return bits >> 31 ? 0u : 0xffffu; });
}
inline __nv_bfloat16 __float2bfloat16_rd(float v) {
    return cuda_emu::round_bfloat16(v, [](uint32_t bits) { return bits >> 31 ? 0xffffu : 0u; });
}
inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 v) { return v.bits; }
