// cuda_emu.h - the CUDA C++ names that the kernels use, for g++. Force-included (-include) before the kernel source.
//
// Host emulation of kernel source, not a GPU run. Needs no CUDA headers: only what kernels_cuda/ uses is here.
#pragma once
#define CUDA_EMU 1

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "simt.h"

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

#define threadIdx (simt::self().thread_index)
#define blockIdx (simt::self().block_index)
#define blockDim (simt::self().block_shape)
#define gridDim (simt::self().grid_shape)

#define CUDA_EMU_TEXT_(x) #x
#define CUDA_EMU_TEXT(x) CUDA_EMU_TEXT_(x)
#define __syncthreads() simt::barrier(__FILE__ ":" CUDA_EMU_TEXT(__LINE__))

using std::isfinite;
using std::max;
using std::min;
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __expf(float v) { return std::exp(v); }
inline float __uint_as_float(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

inline void __syncwarp(uint32_t mask = 0xffffffffu) {
    simt::warp_collective(mask, nullptr, nullptr, "__syncwarp", true);
}

namespace cuda_emu {

// ---- numbers ---------------------------------------------------------------------------------------------------------

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

template <bool kBf16>
float to_float(uint32_t bits) {
    return kBf16 ? __uint_as_float(bits << 16) : half_table.value[bits];
}

template <bool kBf16>
uint16_t from_float(float value) {
    uint16_t bits;
    if constexpr (kBf16) {
        uint32_t u;
        memcpy(&u, &value, sizeof u);
        if (std::isnan(value)) return 0x7fff;
        bits = static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
    } else {
        const _Float16 h = static_cast<_Float16>(value);
        memcpy(&bits, &h, sizeof bits);
    }
    return bits;
}

// ---- warp operations -------------------------------------------------------------------------------------------------

struct MmaLane {
    uint32_t a[4], b[2];
    float* c;
};

template <bool kBf16>
void mma_combine(void** slots, uint32_t) {
    float a[16][16], b[8][16];  // b is stored by column
    for (int lane = 0; lane < 32; lane++) {
        const MmaLane& in = *static_cast<const MmaLane*>(slots[lane]);
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 2; i++) {
            const int shift = 16 * i;
            a[g][2 * t + i] = to_float<kBf16>(in.a[0] >> shift & 0xffff);
            a[g + 8][2 * t + i] = to_float<kBf16>(in.a[1] >> shift & 0xffff);
            a[g][2 * t + 8 + i] = to_float<kBf16>(in.a[2] >> shift & 0xffff);
            a[g + 8][2 * t + 8 + i] = to_float<kBf16>(in.a[3] >> shift & 0xffff);
            b[g][2 * t + i] = to_float<kBf16>(in.b[0] >> shift & 0xffff);
            b[g][2 * t + 8 + i] = to_float<kBf16>(in.b[1] >> shift & 0xffff);
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        float* c = static_cast<MmaLane*>(slots[lane])->c;
        for (int q = 0; q < 4; q++) {
            const float* row = a[lane / 4 + 8 * (q / 2)];
            const float* column = b[lane % 4 * 2 + q % 2];
            double sum = 0;
            for (int k = 0; k < 16; k++) sum += double(row[k]) * double(column[k]);
            c[q] = static_cast<float>(double(c[q]) + sum);
        }
    }
}

template <class T>
struct ShuffleLane {
    T in, out;
    int source;
};

template <class T>
void shuffle_combine(void** slots, uint32_t mask) {
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) continue;
        ShuffleLane<T>& self = *static_cast<ShuffleLane<T>*>(slots[lane]);
        if (!(mask >> self.source & 1)) simt::fail("shfl: lane %d reads lane %d, not in the mask", lane, self.source);
        self.out = static_cast<ShuffleLane<T>*>(slots[self.source])->in;
    }
}

// ---- launch ----------------------------------------------------------------------------------------------------------

inline unsigned char* dynamic_shared() { return simt::self().shared; }

template <class... Params>
int launch(void (*kernel)(Params...), dim3 grid, int threads, size_t shared_bytes, Params... params) {
    auto body = [&] { kernel(params...); };
    simt::launch({grid.x, grid.y, grid.z}, {static_cast<unsigned>(threads), 1, 1}, shared_bytes,
                 [](void* p) { (*static_cast<decltype(body)*>(p))(); }, &body);
    return 0;
}

}  // namespace cuda_emu

template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask) {
    cuda_emu::ShuffleLane<T> lane = {value, value, static_cast<int>(simt::self().lane) ^ lane_mask};
    simt::warp_collective(mask, &lane, cuda_emu::shuffle_combine<T>, "shfl.xor");
    return lane.out;
}
