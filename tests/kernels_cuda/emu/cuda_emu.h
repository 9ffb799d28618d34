// cuda_emu.h - the CUDA C++ names that the kernels use, for g++. Force-included (-include) before the kernel source.
//
// Host emulation of kernel source, not a GPU run. Needs no CUDA headers: only what kernels_cuda/ uses is here (and in the headers
// beside this one that take the names of CUDA's).
#pragma once
#define CUDA_EMU 1

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
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

namespace cuda_emu {
template <simt::Index3 simt::Thread::*kWhich, unsigned simt::Index3::*kAxis>
struct Axis {
    operator unsigned() const { return simt::self().*kWhich.*kAxis; }
};
template <simt::Index3 simt::Thread::*kWhich>
struct Axes {
    Axis<kWhich, &simt::Index3::x> x;
    Axis<kWhich, &simt::Index3::y> y;
    Axis<kWhich, &simt::Index3::z> z;
};
}  // namespace cuda_emu
inline const cuda_emu::Axes<&simt::Thread::thread_index> threadIdx{};
inline const cuda_emu::Axes<&simt::Thread::block_index> blockIdx{};
inline const cuda_emu::Axes<&simt::Thread::block_shape> blockDim{};
inline const cuda_emu::Axes<&simt::Thread::grid_shape> gridDim{};

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

#include "cuda_fp16.h"

namespace cuda_emu {

// A GPU stops at an address that is not a multiple of what it accesses there.
inline void check_aligned(const void* p, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(p) % bytes) simt::fail("%zu-byte access at %p", bytes, p);
}

template <class T>
T load(const void* p) {
    check_aligned(p, sizeof(T));
    return *static_cast<const T*>(p);
}

// ---- warp operations -------------------------------------------------------------------------------------------------

template <bool kBf16>
float to_float(uint32_t bits) {
    return kBf16 ? __uint_as_float(bits << 16) : half_table.value[bits];
}

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

inline unsigned char* dynamic_shared() { return simt::self().shared; }

}  // namespace cuda_emu

#define MGLU_DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(cuda_emu::dynamic_shared())

// ---- launch ----------------------------------------------------------------------------------------------------------

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaLaunchConfig_t {
    dim3 gridDim = 0, blockDim = 0;
    size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
};

namespace cuda_emu {
#ifndef CUDA_EMU_SHARED_MOST  // bytes that a block of the device can have by opting in: sm_90's
#define CUDA_EMU_SHARED_MOST (227 * 1024)
#endif
constexpr int kSharedUnasked = 48 * 1024, kSharedMost = CUDA_EMU_SHARED_MOST;
inline std::map<const void*, int> shared_limits;
}  // namespace cuda_emu

inline cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
    *value = cuda_emu::kSharedMost;
    return cudaSuccess;
}
inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int bytes) {
    if (bytes > cuda_emu::kSharedMost) return cudaErrorInvalidValue;
    cuda_emu::shared_limits[kernel] = bytes;
    return cudaSuccess;
}

template <class... Params>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Params... params) {
    const dim3 grid = config->gridDim, shape = config->blockDim;
    const size_t threads = size_t(shape.x) * shape.y * shape.z;
    if (!threads || threads > 1024 || shape.z > 64 || grid.x > 0x7fffffffu || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    const auto asked = cuda_emu::shared_limits.find(reinterpret_cast<const void*>(kernel));
    const int limit = asked == cuda_emu::shared_limits.end() ? cuda_emu::kSharedUnasked : asked->second;
    if (config->dynamicSmemBytes > size_t(limit)) return cudaErrorInvalidValue;
    auto body = [&] { kernel(params...); };
    simt::launch({grid.x, grid.y, grid.z}, {shape.x, shape.y, shape.z}, config->dynamicSmemBytes,
                 [](void* p) { (*static_cast<decltype(body)*>(p))(); }, &body);
    return cudaSuccess;
}

template <class T>
T __ldg(const T* p) {
    return cuda_emu::load<T>(p);
}

template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask) {
    cuda_emu::ShuffleLane<T> lane = {value, value, static_cast<int>(simt::self().lane) ^ lane_mask};
    simt::warp_collective(mask, &lane, cuda_emu::shuffle_combine<T>, "shfl.xor");
    return lane.out;
}
