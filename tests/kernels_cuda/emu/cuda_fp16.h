// cuda_fp16.h - in the place of CUDA's, for g++: the half-precision names that the kernels use, every rounding of them.
#pragma once
#include "cuda_emu.h"

struct __attribute__((may_alias)) __half {
    uint16_t bits;
};
struct __attribute__((may_alias, aligned(4))) __half2 {
    __half x, y;
};

namespace cuda_emu {

struct HalfTable {
    float value[65536];
    HalfTable() {
        for (uint32_t i = 0; i < 65536; i++) {
            const uint16_t bits = static_cast<uint16_t>(i);
            _Float16 h;
            memcpy(&h, &bits, sizeof h);
            value[i] = static_cast<float>(h);
        }
    }
};
inline const HalfTable half_table;

// The neighbours of a finite non-zero half, by its bits: away from zero, towards zero.
inline __half round_half(float value, int direction) {  // direction: 0 nearest even, 1 up, -1 down, 2 towards zero
    if (std::isnan(value)) return {0x7fff};
    uint16_t bits;
    const _Float16 nearest = static_cast<_Float16>(value);
    memcpy(&bits, &nearest, sizeof bits);
    const float got = half_table.value[bits];
    if (direction == 2) direction = value < 0 ? 1 : -1;
    if (direction == 0 || got == value) return {bits};
    if (direction > 0 && got < value) bits = got == 0 ? 0x0001 : got < 0 ? bits - 1 : bits + 1;
    if (direction < 0 && got > value) bits = got == 0 ? 0x8001 : got > 0 ? bits - 1 : bits + 1;
    return {bits};
}

// An operation on both halves of a word. Exact results alone are rounded right, and there are no others here.
template <class Operation>
uint32_t by_halves(Operation operation, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t r = 0;
    for (int shift = 0; shift < 32; shift += 16) {
        const auto value = [shift](uint32_t word) { return double(half_table.value[word >> shift & 0xffff]); };
        r |= uint32_t(round_half(float(operation(value(a), value(b), value(c))), 0).bits) << shift;
    }
    return r;
}

// e4m3: 4 bits of exponent with a bias of 7, 3 of mantissa, no infinities, NaN where all bits but the sign are set.
inline uint32_t half_of_e4m3(uint32_t code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    float value = exponent ? std::ldexp(8.0f + mantissa, exponent - 10) : std::ldexp(float(mantissa), -9);
    if ((code & 0x7f) == 0x7f) value = NAN;
    return round_half(code & 0x80 ? -value : value, 0).bits;
}

}  // namespace cuda_emu

inline __half __float2half_rn(float v) { return cuda_emu::round_half(v, 0); }
inline __half __float2half(float v) { return cuda_emu::round_half(v, 0); }
inline __half __float2half_rz(float v) { return cuda_emu::round_half(v, 2); }
inline __half __float2half_ru(float v) { return cuda_emu::round_half(v, 1); }
inline __half __float2half_rd(float v) { return cuda_emu::round_half(v, -1); }
inline uint16_t __half_as_ushort(__half h) { return h.bits; }
inline float __half2float(__half h) { return cuda_emu::half_table.value[h.bits]; }
inline float2 __half22float2(__half2 pair) { return {__half2float(pair.x), __half2float(pair.y)}; }
