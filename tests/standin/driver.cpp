// driver.cpp - libcuda.so.1 of the stand-in: the part of the driver interface that Numba, Triton and torch call.
#include <cuda.h>
#include <dlfcn.h>

#include <cstring>
#include <map>
#include <string>

#include "device.h"
#include "device_facts.h"

using namespace standin;
namespace facts = standin::facts;

namespace {
using Lock = std::lock_guard<std::recursive_mutex>;
#define LOCKED Lock guard(standin::lock())

char the_context;
thread_local CUcontext current = nullptr;
CUcontext context() { return reinterpret_cast<CUcontext>(&the_context); }

// Runtime and driver errors have the same numbers.
CUresult result(cudaError_t status) { return static_cast<CUresult>(status); }

struct Module {
    std::map<std::string, Kernel> kernels;
};
Kernel* kernel_of(void* handle) { return static_cast<Kernel*>(handle); }

CUresult launch_function(void* f, dim3 grid, dim3 block, unsigned shared, CUstream stream, void** args) {
    LOCKED;
    return result(launch(*kernel_of(f), grid, block, args, shared, stream_of(stream)));
}

EventPointer& state(CUevent event) { return *reinterpret_cast<EventPointer*>(event); }
}  // namespace

extern "C" {

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int* version) { return *version = facts::kDriver, CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult e, const char** text) {
    return *text = e ? "CUDA_ERROR" : "CUDA_SUCCESS", CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult e, const char** text) {
    return *text = e ? "stand-in error" : "no error", CUDA_SUCCESS;
}
CUresult cuDeviceGetCount(int* count) { return *count = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char* text, int length, CUdevice) {
    return snprintf(text, length, "%s", facts::kName), CUDA_SUCCESS;
}
CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice) {
    return memcpy(uuid->bytes, facts::kUuidBytes, sizeof facts::kUuidBytes), CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) { return *bytes = memory_total(), CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
    return result(cudaDeviceGetAttribute(value, static_cast<cudaDeviceAttr>(attribute), 0));
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* made, CUdevice) { return *made = context(), CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxGetState(CUdevice, unsigned* flags, int* active) {
    return *flags = 0, *active = 1, CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext* c) { return *c = current, CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext c) { return current = c, CUDA_SUCCESS; }
CUresult cuCtxPushCurrent_v2(CUcontext c) { return current = c, CUDA_SUCCESS; }
CUresult cuCtxPopCurrent_v2(CUcontext* c) { return *c = current, CUDA_SUCCESS; }
CUresult cuCtxGetDevice(CUdevice* device) { return *device = 0, CUDA_SUCCESS; }
CUresult cuCtxGetApiVersion(CUcontext, unsigned* version) { return *version = facts::kDriver, CUDA_SUCCESS; }
CUresult cuCtxGetId(CUcontext, unsigned long long* id) { return *id = 1, CUDA_SUCCESS; }
CUresult cuCtxGetLimit(size_t* value, CUlimit) { return *value = 1 << 20, CUDA_SUCCESS; }
CUresult cuCtxSetLimit(CUlimit, size_t) { return CUDA_SUCCESS; }
CUresult cuTensorMapEncodeTiled(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                                CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
    return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult cuCtxSynchronize() { return result(cudaDeviceSynchronize()); }
CUresult cuCtxResetPersistingL2Cache() { return CUDA_SUCCESS; }
CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total) { return result(cudaMemGetInfo(free_bytes, total)); }

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
    LOCKED;
    const void* p = reinterpret_cast<void*>(pointer);
    if (!on_device(p) && !pinned(p)) return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
        case CU_POINTER_ATTRIBUTE_CONTEXT:
            *static_cast<CUcontext*>(data) = context();
            break;
        case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
            *static_cast<unsigned*>(data) = on_device(p) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
            break;
        case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
            *static_cast<int*>(data) = 0;
            break;
        case CU_POINTER_ATTRIBUTE_IS_MANAGED:
            *static_cast<unsigned*>(data) = 0;
            break;
        default:
            *static_cast<CUdeviceptr*>(data) = pointer;
    }
    return CUDA_SUCCESS;
}

// ---- streams and events ---------------------------------------------------------------------------------------------

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
    return result(cudaStreamCreateWithPriority(stream, flags, 0));
}
CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int p) {
    return result(cudaStreamCreateWithPriority(stream, flags, p));
}
CUresult cuStreamDestroy_v2(CUstream stream) { return result(cudaStreamDestroy(stream)); }
CUresult cuStreamSynchronize(CUstream stream) { return result(cudaStreamSynchronize(stream)); }
CUresult cuStreamQuery(CUstream stream) { return result(cudaStreamQuery(stream)); }
CUresult cuStreamGetCtx(CUstream, CUcontext* c) { return *c = context(), CUDA_SUCCESS; }
CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
    return result(cudaStreamIsCapturing(stream, reinterpret_cast<cudaStreamCaptureStatus*>(status)));
}
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    LOCKED;
    return result(wait(stream_of(stream), state(event)));
}
CUresult cuEventCreate(CUevent* event, unsigned) {
    return *event = reinterpret_cast<CUevent>(new EventPointer(std::make_shared<EventState>())), CUDA_SUCCESS;
}
CUresult cuEventDestroy_v2(CUevent event) { return delete reinterpret_cast<EventPointer*>(event), CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent event, CUstream stream) {
    LOCKED;
    return standin::record(stream_of(stream), state(event)), CUDA_SUCCESS;
}
CUresult cuEventSynchronize(CUevent event) {
    LOCKED;
    return finish(state(event)), CUDA_SUCCESS;
}

// ---- modules and launches -------------------------------------------------------------------------------------------

CUresult cuModuleLoadData(CUmodule* module, const void*) {
    return *module = reinterpret_cast<CUmodule>(new Module), CUDA_SUCCESS;
}
CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned, CUjit_option*, void**) {
    return cuModuleLoadData(module, image);
}
CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    LOCKED;
    Kernel& kernel = reinterpret_cast<Module*>(module)->kernels[name];
    kernel.name = name;
    return *function = reinterpret_cast<CUfunction>(&kernel), CUDA_SUCCESS;
}
CUresult cuLibraryLoadData(CUlibrary* library, const void*, CUjit_option*, void**, unsigned, CUlibraryOption*, void**,
                           unsigned) {
    return *library = reinterpret_cast<CUlibrary>(new Module), CUDA_SUCCESS;
}
CUresult cuLibraryUnload(CUlibrary) { return CUDA_SUCCESS; }
CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
    return cuModuleGetFunction(reinterpret_cast<CUfunction*>(kernel), reinterpret_cast<CUmodule>(library), name);
}
CUresult cuLibraryGetModule(CUmodule* module, CUlibrary library) {
    return *module = reinterpret_cast<CUmodule>(library), CUDA_SUCCESS;
}
CUresult cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
    return *function = reinterpret_cast<CUfunction>(kernel), CUDA_SUCCESS;
}
CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel, CUdevice) {
    return *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? Limits::threads
                    : attribute == CU_FUNC_ATTRIBUTE_NUM_REGS            ? 32
                                                                         : 0,
           CUDA_SUCCESS;
}
CUresult cuKernelSetAttribute(CUfunction_attribute, int, CUkernel, CUdevice) { return CUDA_SUCCESS; }
CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction) {
    return cuKernelGetAttribute(value, attribute, nullptr, 0);
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value > Limits::shared_optin) return CUDA_ERROR_INVALID_VALUE;
        kernel_of(function)->shared_limit = std::max(value, facts::kSharedPerBlock);
    }
    return CUDA_SUCCESS;
}
CUresult cuFuncSetCacheConfig(CUfunction, CUfunc_cache) { return CUDA_SUCCESS; }
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int threads, size_t) {
    return *blocks = facts::kThreadsPerMultiprocessor / std::max(threads, 1), CUDA_SUCCESS;
}
CUresult cuOccupancyMaxActiveClusters(int* clusters, CUfunction, const CUlaunchConfig*) {
    return *clusters = 1, CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void** args, void**) {
    return launch_function(f, {gx, gy, gz}, {bx, by, bz}, shared, stream, args);
}
CUresult cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction f, void** args, void**) {
    return launch_function(f, {c->gridDimX, c->gridDimY, c->gridDimZ}, {c->blockDimX, c->blockDimY, c->blockDimZ},
                           c->sharedMemBytes, c->hStream, args);
}

CUresult cuGetProcAddress_v2(const char* symbol, void** function, int, cuuint64_t,
                             CUdriverProcAddressQueryResult* found) {
    for (const char* suffix : {"_v2", ""}) {
        *function = dlsym(RTLD_DEFAULT, (std::string(symbol) + suffix).c_str());
        if (*function) break;
    }
    if (found) *found = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    if (!*function) note("no driver function %s", symbol);
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

}  // extern "C"
