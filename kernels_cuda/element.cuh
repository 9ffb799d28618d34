// element.cuh - fp16 | bf16 elements as raw bits: conversion, blanking of tails, and the activations.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "config.cuh"
#include "launch_abi.h"

namespace mglu {

using element_t = uint16_t;  // bits of an fp16 or bf16 number, by MGLU_BF16

// Two elements, the even one in the low half-word.
__device__ __forceinline__ float2 pair_to_float2(uint32_t pair) {
#if MGLU_BF16
    return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
#else
    return __half22float2(*reinterpret_cast<const __half2*>(&pair));
#endif
}

__device__ __forceinline__ element_t float_to_element(float value) {
#if MGLU_BF16
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
    return __half_as_ushort(__float2half_rn(value));
#endif
}

// Keep the first `count` of 8 elements and set the others to +0 (count may be negative or above 8).
__device__ __forceinline__ uint4 keep_first(const uint4& v, int count) {
    uint32_t word[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int kept = count - 2 * i;
        word[i] &= kept >= 2 ? 0xffffffffu : kept == 1 ? 0x0000ffffu : 0u;
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
}

// The first `count` elements at p, which may be aligned to 2 bytes only, then zeros.
__device__ __forceinline__ uint4 gather_first(const element_t* p, int count) {
    uint32_t word[4] = {};
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (i < count) word[i / 2] |= static_cast<uint32_t>(p[i]) << (16 * (i % 2));
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
}

// NOTES silu: __expf(-v) overflows to inf for v < -88, and v / inf is -0, the right limit. relu: v < 0 ? 0 : v so that a
// NaN passes, as it does in torch.
__device__ __forceinline__ float activate(float v, int activation) {
    if (activation == MGLU_SILU) return v / (1.0f + __expf(-v));
    if (activation == MGLU_GELU) return 0.5f * v * (1.0f + erff(v * 0.70710678118654752f));
    return v < 0.0f ? 0.0f : v;
}

// The definition multiplies masked-out elements by 0, and 0 * inf = NaN: whatever a non-finite weight or input touches
// is NaN. Masked sums skip those elements, so the plain sum T decides.
__device__ __forceinline__ float nan_unless_finite(float y, float t) {
    return isfinite(t) ? y : __uint_as_float(0x7fffffffu);
}

}  // namespace mglu
