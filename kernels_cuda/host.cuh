// host.cuh - the host half of every library: argument checks, checked launches.
#pragma once
#include <stddef.h>

#include "config.cuh"
#include "formats.cuh"
#include "launch_abi.h"

namespace mglu {

inline bool aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

// MGLU_OK, or the first thing that is wrong with the arguments.
inline int check_args(const MgluArgs& a, bool needs_masks, bool needs_w2, bool needs_x, size_t workspace_bytes) {
    if (!a.w || !a.y || (needs_masks && !a.masks) || (needs_w2 && !a.w2) || (needs_x && !a.x))
        return MGLU_ERR_NULL_POINTER;
    if (a.h < 1 || a.d < 1 || a.batch < 1 || a.batch > kMaxBatch) return MGLU_ERR_SHAPE;
    if (needs_masks && a.nm != kMasks) return MGLU_ERR_NM;
    const bool fits = Format::kCoded ? a.w_row_stride == ceil_div(a.h, 64) * 64
                                     : a.w_row_stride >= a.h && a.w_row_stride % 8 == 0;
    if (!fits) return MGLU_ERR_ROW_STRIDE;
    if (!aligned(a.w, 16) || !aligned(a.y, 2) || (needs_masks && !aligned(a.masks, 16)) ||
        (needs_w2 && !aligned(a.w2, 16)) || (needs_x && !aligned(a.x, 2)))
        return MGLU_ERR_ALIGNMENT;
    if (a.activation < MGLU_SILU || a.activation > MGLU_RELU) return MGLU_ERR_ACTIVATION;
    if (workspace_bytes > 0 && !a.workspace) return MGLU_ERR_WORKSPACE;
    if (workspace_bytes > 0 && !aligned(a.workspace, 16)) return MGLU_ERR_ALIGNMENT;
    return MGLU_OK;
}

// Whether every row of x starts on a 16-byte boundary, so that it can be loaded 16 bytes at a time.
inline bool vector_x(const MgluArgs& a) { return aligned(a.x, 16) && (a.h % 8 == 0 || a.batch == 1); }

// kernel<<<grid, block, shared_bytes, stream>>>(args...) with its error code.
template <class... Params, class... Args>
int launch_kernel(void (*kernel)(Params...), dim3 grid, int threads, size_t shared_bytes, void* stream, Args... args) {
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared_bytes;
    config.stream = static_cast<cudaStream_t>(stream);
    return static_cast<int>(cudaLaunchKernelEx(&config, kernel, Params(args)...));
}

// Let the kernel use `shared_bytes` of dynamic shared memory (needed above 48 KB), if the current device has as much.
template <class Kernel>
int allow_shared_memory(Kernel* kernel, size_t shared_bytes) {
    int device = 0, most = 0;
    cudaError_t status = cudaGetDevice(&device);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (status != cudaSuccess) return static_cast<int>(status);
    if (shared_bytes > static_cast<size_t>(most)) return MGLU_ERR_SHARED_MEMORY;
    return static_cast<int>(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 static_cast<int>(shared_bytes)));
}

}  // namespace mglu

// What a library says of itself: see launch_abi.h.
#define MGLU_EXPORT_IDENTITY(layout)                                 \
    int mglu_abi_version(void) { return MGLU_ABI_VERSION; }          \
    const char* mglu_weight_format(void) { return MGLU_FORMAT_NAME; } \
    const char* mglu_mask_layout(void) { return layout; }
