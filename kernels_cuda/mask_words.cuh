// mask_words.cuh - the bit-packed masks of one chunk of 1024 elements: one 32-bit word per lane and mask.
#pragma once
#include "config.cuh"
#include "ptx.cuh"

namespace mglu {

// The lane's words of one chunk: as many 16-byte loads as fit, then 8 and 4 bytes. Each is contiguous over the warp:
//   [32 lanes][4 words] x nm / 4, then [32][2] if nm % 4 >= 2, then [32][1] if nm is odd.
template <class LoadV4, class LoadV2, class LoadU32>
__device__ __forceinline__ void load_mask_words(uint32_t (&word)[kMasks], const uint8_t* chunk, int lane,
                                                LoadV4 load_v4, LoadV2 load_v2, LoadU32 load_u32) {
#pragma unroll
    for (int i = 0; i + 4 <= kMasks; i += 4) {
        const uint4 v = load_v4(chunk + i * 128 + lane * 16);
        word[i] = v.x;
        word[i + 1] = v.y;
        word[i + 2] = v.z;
        word[i + 3] = v.w;
    }
    if constexpr (kMasks % 4 >= 2) {
        constexpr int i = kMasks / 4 * 4;
        const uint2 v = load_v2(chunk + i * 128 + lane * 8);
        word[i] = v.x;
        word[i + 1] = v.y;
    }
    if constexpr (kMasks % 2 == 1) word[kMasks - 1] = load_u32(chunk + (kMasks - 1) * 128 + lane * 4);
}

__device__ __forceinline__ void load_mask_words_from_global(uint32_t (&word)[kMasks], const uint8_t* chunk, int lane) {
    load_mask_words(
        word, chunk, lane, [](const uint8_t* p) { return ptx::ld_stream_v4(p); },
        [](const uint8_t* p) { return ptx::ld_stream_v2(p); }, [](const uint8_t* p) { return ptx::ld_stream_u32(p); });
}

}  // namespace mglu
