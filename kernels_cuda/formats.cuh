// formats.cuh - weights in memory by MGLU_FORMAT, and how a lane makes pairs of fp16 (or bf16) of them.
//
// A step of a warp is a chunk of 16 rows x 64 columns (mma_tile.cuh). `vector` v of a lane is 16 bytes of it; lane 4 g + t
// holds columns 8 t .. 8 t + 7 of both halves, of the rows g and g + 8:
//
//   format      vector v                                                            scale
//   elements    half v / 2, row g + 8 (v % 2)                                       none
//   bytes       half v: row g in the words 0 and 1, row g + 8 in 2 and 3            fp32 of a row, on its sums
//   nibbles     a word each: half 0 rows g, g + 8, half 1 rows g, g + 8;            of a group, on sums of a half
//               columns 8 t + 2 j and 8 t + 2 j + 1 in the nibbles j and j + 4
//
// Elements lie in rows. Codes lie as they are loaded, padded to whole tiles and steps: layout "tiles" of
// mglubench.layer.formats, of each tile [step][vector][lane][16 bytes], then its scales.
//
// NOTES
//   Codes become fp16 exactly: an integer u is 1024 + u once it lies in the mantissa of 1024, and a subtraction takes
//   off what was added. Sums are of products of codes, in fp32; scales are applied to sums.
#pragma once
#include "config.cuh"
#include "element.cuh"
#include "ptx.cuh"

#ifndef MGLU_FORMAT  // of the weights: 0 as x, 1 int8, 2 fp8-e4m3, 3 int4, 4 mxfp4
#define MGLU_FORMAT 0
#endif
static_assert(MGLU_FORMAT >= 0 && MGLU_FORMAT <= 4, "MGLU_FORMAT must be 0..4");
static_assert(MGLU_FORMAT == 0 || MGLU_BF16 == 0, "codes become fp16 pairs: x must be fp16");

namespace mglu {

__device__ __forceinline__ void unpack_registers(uint32_t (&r)[8], const uint4& upper, const uint4& lower) {
    r[0] = upper.x, r[1] = upper.y, r[2] = upper.z, r[3] = upper.w;
    r[4] = lower.x, r[5] = lower.y, r[6] = lower.z, r[7] = lower.w;
}

// Formats whose scales, if any, are of rows. kGroupSteps: steps that share a word of scales, one per lane group g.
struct Ungrouped {
    static constexpr int kGroupSteps = 0;
    static __device__ __forceinline__ float2 scales(uint32_t, int) { return make_float2(1.0f, 1.0f); }
};

struct ElementFormat : Ungrouped {
    static constexpr int kVectors = 4;
    static constexpr bool kCoded = false, kRowScale = false;

    static __device__ __forceinline__ void decode(uint32_t (&r)[8], const uint4 (&vector)[kVectors], int half) {
        unpack_registers(r, vector[2 * half], vector[2 * half + 1]);
    }
};

template <class Pairs>  // of two bytes
struct ByteFormat : Ungrouped {
    static constexpr int kVectors = 2;
    static constexpr bool kCoded = true, kRowScale = true;

    static __device__ __forceinline__ void decode(uint32_t (&r)[8], const uint4 (&vector)[kVectors], int half) {
        const uint32_t word[4] = {vector[half].x, vector[half].y, vector[half].z, vector[half].w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            r[2 * i] = Pairs::low(word[i]);
            r[2 * i + 1] = Pairs::high(word[i]);
        }
    }
};

// Codes n + 128, bytes.
struct Int8Pairs {
    static __device__ __forceinline__ uint32_t low(uint32_t codes) {
        return ptx::sub_f16x2(ptx::permute_bytes<0x4140>(codes, 0x64646464u), 0x64806480u);
    }
    static __device__ __forceinline__ uint32_t high(uint32_t codes) {
        return ptx::sub_f16x2(ptx::permute_bytes<0x4342>(codes, 0x64646464u), 0x64806480u);
    }
};
#if MGLU_FORMAT == 2  // no instruction for it below sm_89
// e4m3, bytes.
struct Fp8Pairs {
    static __device__ __forceinline__ uint32_t low(uint32_t codes) { return ptx::e4m3x2_to_f16x2(codes & 0xffffu); }
    static __device__ __forceinline__ uint32_t high(uint32_t codes) { return ptx::e4m3x2_to_f16x2(codes >> 16); }
};
#endif

template <class Pairs>  // four of a word, and what a word of scales says
struct NibbleFormat : Pairs {
    static constexpr int kVectors = 1;
    static constexpr bool kCoded = true, kRowScale = false;

    static __device__ __forceinline__ void decode(uint32_t (&r)[8], const uint4 (&vector)[kVectors], int half) {
        Pairs::unpack(r, half == 0 ? vector[0].x : vector[0].z);
        Pairs::unpack(r + 4, half == 0 ? vector[0].y : vector[0].w);
    }
};

// Codes n + 8. A nibble at bit 4 of a half-word counts 16 times: that much less is taken off, and a sixteenth of it.
struct Int4Pairs {
    static constexpr int kGroupSteps = 2;  // bf16 of row g, of row g + 8

    static __device__ __forceinline__ void unpack(uint32_t* r, uint32_t codes) {
#pragma unroll
        for (int j = 0; j < 4; j += 2) {
            const uint32_t four = codes >> (4 * j);
            r[j] = ptx::sub_f16x2((four & 0x000f000fu) | 0x64006400u, 0x64086408u);
            r[j + 1] = ptx::fma_f16x2((four & 0x00f000f0u) | 0x64006400u, 0x2c002c00u, 0xd480d480u);
        }
    }
    static __device__ __forceinline__ float2 scales(uint32_t word, int) {
        return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
    }
};
// e2m1: sign, exponent and mantissa at their places in fp16, whose exponent counts from 2^-14 of theirs.
struct Mxfp4Pairs {
    static constexpr int kGroupSteps = 1;  // E8M0 of both halves: of row g, of row g + 8

    static __device__ __forceinline__ void unpack(uint32_t* r, uint32_t codes) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const uint32_t top = codes << (12 - 4 * j);
            r[j] = (top & 0x80008000u) | ((top >> 3) & 0x0e000e00u);
        }
    }
    static __device__ __forceinline__ float2 scales(uint32_t word, int half) {
        return make_float2(scale(word >> (8 * half)), scale(word >> (8 * half + 16)));
    }
    static __device__ __forceinline__ float scale(uint32_t exponent) {
        return __uint_as_float(((exponent & 0xffu) + 14) << 23);
    }
};

#if MGLU_FORMAT == 0
using Format = ElementFormat;
#define MGLU_FORMAT_NAME "same"
#elif MGLU_FORMAT == 1
using Format = ByteFormat<Int8Pairs>;
#define MGLU_FORMAT_NAME "int8"
#elif MGLU_FORMAT == 2
using Format = ByteFormat<Fp8Pairs>;
#define MGLU_FORMAT_NAME "fp8-e4m3"
#elif MGLU_FORMAT == 3
using Format = NibbleFormat<Int4Pairs>;
#define MGLU_FORMAT_NAME "int4"
#else
using Format = NibbleFormat<Mxfp4Pairs>;
#define MGLU_FORMAT_NAME "mxfp4"
#endif

constexpr int kStepBytes = 512 * Format::kVectors;

// Bytes of a tile's codes and of its scales, behind them.
__host__ __device__ constexpr int64_t code_bytes(int steps) { return static_cast<int64_t>(steps) * kStepBytes; }
__host__ __device__ constexpr int64_t tile_bytes(int steps) {
    if (Format::kRowScale) return code_bytes(steps) + 16 * sizeof(float);
    return code_bytes(steps) + (Format::kGroupSteps ? ceil_div(steps, Format::kGroupSteps + !Format::kGroupSteps) * 32 : 0);
}

// The scale of a row's sums, 1 where scales are not of rows.
__device__ __forceinline__ float row_scale(const void* weights, int row, int steps) {
    if (!Format::kRowScale) return 1.0f;
    const uint8_t* const tile = static_cast<const uint8_t*>(weights) + row / 16 * tile_bytes(steps);
    return reinterpret_cast<const float*>(tile + code_bytes(steps))[row % 16];
}

}  // namespace mglu
