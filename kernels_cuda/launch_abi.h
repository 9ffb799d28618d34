// launch_abi.h - the one C interface that every kernel library of this folder exports (loadable by ctypes).
//
// A library is one .cu file compiled for one (nm, dtype) by -DMGLU_NM=.. -DMGLU_BF16=..; see README.md.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define MGLU_ABI_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

enum MgluActivation {
    MGLU_SILU = 0,
    MGLU_GELU = 1,  // exact form, 0.5 v (1 + erf(v / sqrt 2))
    MGLU_RELU = 2,
};

// Results of mglu_launch and mglu_prepare: 0, a positive cudaError_t, or one of these.
enum MgluStatus {
    MGLU_OK = 0,
    MGLU_ERR_NULL_POINTER = -1,     // a pointer that this kernel needs is null
    MGLU_ERR_SHAPE = -2,            // h or d below 1, batch outside 1..16, or a grid beyond the launch limits
    MGLU_ERR_NM = -3,               // args->nm is not the MGLU_NM that the library was compiled for
    MGLU_ERR_ROW_STRIDE = -4,       // w_row_stride below h or not a multiple of 8; of codes, not h in whole steps
    MGLU_ERR_ALIGNMENT = -5,        // w, w2, masks or workspace not aligned to 16 bytes (x, y: to 2)
    MGLU_ERR_ACTIVATION = -6,       // not a MgluActivation
    MGLU_ERR_ARCH = -7,             // the kernel needs sm_90 or newer and was compiled for an older one
    MGLU_ERR_WORKSPACE = -8,        // workspace is null although mglu_workspace_bytes is not 0
    MGLU_ERR_SHARED_MEMORY = -9,    // the tuning macros ask for more shared memory than a block may have
};

typedef struct MgluArgs {
    const void* w;        // [d, w_row_stride] fp16 | bf16, row-major; elements h.. of a row are never used. Of a library
                          // for a format of codes, what mglubench.layer.formats lays out as "tiles"
    const void* w2;       // second matrix of swiglu_fused (the value branch), same shape and stride; the router's weights
                          // of flash_mglu_routed, [batch, nm] fp16 | bf16, contiguous; else null
    const void* masks;    // bytes of the layout that mglu_mask_layout() names; null where that is ""
    const void* x;        // [batch, h] fp16 | bf16, contiguous
    void* y;              // [batch, d] fp16 | bf16, contiguous
    void* workspace;      // mglu_workspace_bytes() bytes, zeroed once by the caller; each launch leaves it reusable
    int32_t h;            // hidden size: columns of w
    int32_t d;            // intermediate size: rows of w
    int32_t nm;           // number of masks; must equal MGLU_NM
    int32_t batch;        // tokens, 1..16
    int32_t w_row_stride; // elements from one row of w to the next: >= h, a multiple of 8; of codes, h in whole steps
    int32_t activation;   // MgluActivation
    int32_t split_k;      // blocks that share one row tile; 0: chosen from d and sm_count
    int32_t sm_count;     // multiprocessors of the device, for that choice; 0: no split
} MgluArgs;

// Enqueue y = MGLU(x) on `stream` (a cudaStream_t). No synchronisation, no allocation: capturable in a CUDA graph.
int mglu_launch(const MgluArgs* args, void* stream);

// One-time set-up of the kernels (shared-memory opt-in). Call once per process and device, outside a capture.
int mglu_prepare(const MgluArgs* args);

// Bytes of device workspace that mglu_launch needs for these arguments; 0 if none.
size_t mglu_workspace_bytes(const MgluArgs* args);

int mglu_abi_version(void);

// Name of the format of the weights in mglubench.layer.formats, or "same" as x.
const char* mglu_weight_format(void);

// Name of the mask layout in mglubench.layer.masks, or "" for a kernel without masks.
const char* mglu_mask_layout(void);

#ifdef __cplusplus
}
#endif
