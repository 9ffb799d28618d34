// runtime.cpp - libcudart.so.13 of the stand-in: the part of the CUDA runtime that torch and our kernels call.
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "device.h"
#include "device_facts.h"

using namespace standin;
namespace facts = standin::facts;

namespace {

using Lock = std::lock_guard<std::recursive_mutex>;
#define LOCKED Lock guard(standin::lock())

std::unordered_map<const void*, Kernel>& kernels() {
    static auto* m = new std::unordered_map<const void*, Kernel>;
    return *m;
}

struct EventHandle {
    EventPointer state;
};
struct GraphHandle {
    std::shared_ptr<Graph> graph;
};

EventPointer& state(cudaEvent_t event) { return reinterpret_cast<EventHandle*>(event)->state; }
std::shared_ptr<Graph>& graph_of(void* handle) { return static_cast<GraphHandle*>(handle)->graph; }

struct Configuration {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
};
thread_local Configuration configuration;

cudaError_t make_event(cudaEvent_t* event, unsigned flags) {
    auto* handle = new EventHandle{std::make_shared<EventState>()};
    handle->state->timing = !(flags & cudaEventDisableTiming);
    *event = reinterpret_cast<cudaEvent_t>(handle);
    return cudaSuccess;
}

}  // namespace

extern "C" {

// ---- errors ---------------------------------------------------------------------------------------------------------

cudaError_t cudaGetLastError() { return std::exchange(last_error(), cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error(); }
const char* cudaGetErrorName(cudaError_t e) { return e == cudaSuccess ? "cudaSuccess" : "cudaError"; }
const char* cudaGetErrorString(cudaError_t e) {
    static thread_local char text[64];
    snprintf(text, sizeof text, e == cudaSuccess ? "no error" : "stand-in CUDA error %d", int(e));
    return text;
}

// ---- device ---------------------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return last(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaDriverGetVersion(int* version) { return *version = facts::kDriver, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = facts::kDriver, cudaSuccess; }
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
    return *least = 0, *greatest = -5, cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 0, cudaSuccess; }
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int) {
    return snprintf(text, length, "0000:00:00.0"), cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
    if (device != 0) return last(cudaErrorInvalidDevice);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", facts::kName);
    memcpy(p->uuid.bytes, facts::kUuidBytes, sizeof facts::kUuidBytes);
    p->totalGlobalMem = memory_total();
    p->sharedMemPerBlock = facts::kSharedPerBlock;
    p->sharedMemPerBlockOptin = Limits::shared_optin;
    p->sharedMemPerMultiprocessor = facts::kSharedPerMultiprocessor;
    p->regsPerBlock = p->regsPerMultiprocessor = facts::kRegisters;
    p->warpSize = 32;
    p->maxThreadsPerBlock = Limits::threads;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = Limits::threads, p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = Limits::grid_x, p->maxGridSize[1] = p->maxGridSize[2] = Limits::grid_yz;
    p->major = facts::kMajor, p->minor = facts::kMinor;
    p->textureAlignment = 512;
    p->multiProcessorCount = facts::kMultiprocessors;
    p->maxThreadsPerMultiProcessor = facts::kThreadsPerMultiprocessor;
    p->maxBlocksPerMultiProcessor = 32;
    p->l2CacheSize = facts::kL2Bytes;
    p->memoryBusWidth = facts::kBusBits;
    p->unifiedAddressing = p->concurrentKernels = p->canMapHostMemory = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    switch (attribute) {
        case cudaDevAttrMultiProcessorCount:
            *value = facts::kMultiprocessors;
            break;
        case cudaDevAttrComputeCapabilityMajor:
            *value = facts::kMajor;
            break;
        case cudaDevAttrComputeCapabilityMinor:
            *value = facts::kMinor;
            break;
        case cudaDevAttrMaxThreadsPerBlock:
            *value = Limits::threads;
            break;
        case cudaDevAttrMaxThreadsPerMultiProcessor:
            *value = facts::kThreadsPerMultiprocessor;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *value = facts::kSharedPerBlock;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = Limits::shared_optin;
            break;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
            *value = facts::kSharedPerMultiprocessor;
            break;
        case cudaDevAttrMaxRegistersPerBlock:
        case cudaDevAttrMaxRegistersPerMultiprocessor:
            *value = facts::kRegisters;
            break;
        case cudaDevAttrWarpSize:
            *value = 32;
            break;
        case cudaDevAttrL2CacheSize:
            *value = facts::kL2Bytes;
            break;
        case cudaDevAttrClockRate:
            *value = facts::kClockKhz;
            break;
        case cudaDevAttrMemoryClockRate:
            *value = facts::kMemoryClockKhz;
            break;
        case cudaDevAttrGlobalMemoryBusWidth:
            *value = facts::kBusBits;
            break;
        case cudaDevAttrMaxGridDimX:
            *value = Limits::grid_x;
            break;
        case cudaDevAttrMaxGridDimY:
        case cudaDevAttrMaxGridDimZ:
            *value = Limits::grid_yz;
            break;
        case cudaDevAttrUnifiedAddressing:
            *value = 1;
            break;
        default:
            *value = 0;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    LOCKED;
    if (const cudaError_t status = unsafe_now()) return last(status);
    drain_all();
    return cudaSuccess;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
    LOCKED;
    if (const cudaError_t status = unsafe_now()) return last(status);
    *pointer = allocate(bytes);
    return last(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* pointer) {
    LOCKED;
    if (!pointer) return cudaSuccess;
    if (const cudaError_t status = unsafe_now()) return last(status);
    return last(release(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
    LOCKED;
    return *pointer = allocate_pinned(bytes), last(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* pointer) {
    LOCKED;
    return last(!pointer || release_pinned(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
    LOCKED;
    return *free_bytes = memory_free(), *total = memory_total(), cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    LOCKED;
    memset(attributes, 0, sizeof *attributes);
    const bool device = on_device(pointer), host = pinned(pointer);
    attributes->type = device ? cudaMemoryTypeDevice : host ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    attributes->device = device || host ? 0 : -1;
    attributes->devicePointer = device || host ? const_cast<void*>(pointer) : nullptr;
    attributes->hostPointer = device ? nullptr : const_cast<void*>(pointer);
    return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    LOCKED;
    return last(copy(to, from, bytes, kind, stream_of(nullptr), true));
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    LOCKED;
    return last(copy(to, from, bytes, kind, stream_of(stream), false));
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
    LOCKED;
    cudaError_t status = cudaSuccess;
    for (size_t row = 0; row < height && !status; row++)
        status = copy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width,
                      kind, stream_of(stream), false);
    return last(status);
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
    LOCKED;
    return last(fill(to, value, bytes, stream_of(nullptr)));
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
    LOCKED;
    return last(fill(to, value, bytes, stream_of(stream)));
}

// ---- streams and events ---------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
    LOCKED;
    *stream = reinterpret_cast<cudaStream_t>(make_stream(!(flags & cudaStreamNonBlocking), priority));
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    LOCKED;
    return destroy(stream_of(stream)), cudaSuccess;
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
    return *priority = stream_of(stream)->priority, cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    LOCKED;
    if (const cudaError_t status = unsafe_now(stream_of(stream))) return last(status);
    drain(stream_of(stream));
    return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    LOCKED;
    if (const cudaError_t status = unsafe_now(stream_of(stream))) return last(status);
    return step(stream_of(stream)) ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) { return make_event(event, flags); }
cudaError_t cudaEventCreate(cudaEvent_t* event) { return make_event(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete reinterpret_cast<EventHandle*>(event), cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    LOCKED;
    return standin::record(stream_of(stream), state(event)), cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
    return cudaEventRecord(event, stream);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    LOCKED;
    if (state(event)->capture) return last(cudaErrorCapturedEvent);
    if (const cudaError_t status = unsafe_now()) return last(status);
    finish(state(event));
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    LOCKED;
    const EventPointer& it = state(event);
    if (it->capture) return last(cudaErrorCapturedEvent);
    if (it->done >= it->recorded) return cudaSuccess;
    step(it->at);  // time passes: who polls must come to an end
    return it->done >= it->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
    LOCKED;
    const EventPointer &a = state(start), &b = state(stop);
    if (!a->timing || !b->timing || !a->recorded || !b->recorded) return last(cudaErrorInvalidResourceHandle);
    if (a->done < a->recorded || b->done < b->recorded) return last(cudaErrorNotReady);
    return *milliseconds = float(1e3 * (b->seconds - a->seconds)), cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    LOCKED;
    return last(wait(stream_of(stream), state(event)));
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
    LOCKED;
    return last(enqueue(stream_of(stream), [=] { function(data); }));
}

// ---- graphs ---------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    LOCKED;
    return last(begin_capture(stream_of(stream), mode));
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    LOCKED;
    std::shared_ptr<Graph> made;
    const cudaError_t status = end_capture(stream_of(stream), made);
    *graph = status ? nullptr : reinterpret_cast<cudaGraph_t>(new GraphHandle{made});
    return last(status);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    LOCKED;
    const Capture* capture = stream_of(stream)->capture;
    *status = !capture           ? cudaStreamCaptureStatusNone
              : capture->invalid ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
    LOCKED;
    cudaStreamIsCapturing(stream, status);
    const Capture* capture = stream_of(stream)->capture;
    if (id) *id = capture ? capture->id : 0;
    if (graph) *graph = nullptr;
    if (dependencies) *dependencies = nullptr;
    if (edges) *edges = nullptr;
    if (count) *count = 0;
    return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
    return std::swap(*mode, thread_mode()), cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
    if (!nodes) *count = graph_of(graph)->work.size();
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
    return *made = reinterpret_cast<cudaGraphExec_t>(new GraphHandle{graph_of(graph)}), cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete reinterpret_cast<GraphHandle*>(graph), cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    return delete reinterpret_cast<GraphHandle*>(graph), cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    LOCKED;
    const std::shared_ptr<Graph> held = graph_of(graph);
    note("replay %zu operations stream %d", held->work.size(), stream_of(stream)->number);
    return last(enqueue(stream_of(stream), [held] {
        for (const Work& work : held->work) work();
    }));
}

// ---- kernels --------------------------------------------------------------------------------------------------------

void** __cudaRegisterFatBinary(void*) { return reinterpret_cast<void**>(new void*[1]()); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
    LOCKED;
    Kernel& kernel = kernels()[host];
    kernel.name = name;
    Dl_info where;
    if (dladdr(host, &where) && where.dli_fname) kernel.library = where.dli_fname;
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
    return configuration = {grid, block, shared, stream}, 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
    *grid = configuration.grid, *block = configuration.block, *shared = configuration.shared;
    *static_cast<cudaStream_t*>(stream) = configuration.stream;
    return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
    LOCKED;
    auto found = kernels().find(host);
    if (found == kernels().end()) return last(cudaErrorInvalidDeviceFunction);
    return *kernel = reinterpret_cast<cudaKernel_t>(&found->second), cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** args, size_t shared,
                               cudaStream_t stream) {
    LOCKED;
    return last(launch(*reinterpret_cast<Kernel*>(kernel), grid, block, args, shared, stream_of(stream)));
}
cudaError_t cudaLaunchKernel(const void* host, dim3 grid, dim3 block, void** args, size_t shared, cudaStream_t stream) {
    LOCKED;
    auto found = kernels().find(host);
    if (found == kernels().end()) return last(cudaErrorInvalidDeviceFunction);
    return last(launch(found->second, grid, block, args, shared, stream_of(stream)));
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* host, void** args) {
    return cudaLaunchKernel(host, config->gridDim, config->blockDim, args, config->dynamicSmemBytes, config->stream);
}
cudaError_t cudaFuncSetAttribute(const void* host, cudaFuncAttribute attribute, int value) {
    LOCKED;
    auto found = kernels().find(host);
    if (found == kernels().end()) return last(cudaErrorInvalidDeviceFunction);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || value > Limits::shared_optin) return last(cudaErrorInvalidValue);
    return found->second.shared_limit = std::max(value, facts::kSharedPerBlock), cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = Limits::threads;
    attributes->numRegs = 32;
    attributes->binaryVersion = attributes->ptxVersion = 10 * facts::kMajor + facts::kMinor;
    return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads, size_t) {
    return *blocks = facts::kThreadsPerMultiprocessor / std::max(threads, 1), cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* f, int threads, size_t s,
                                                                   unsigned) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, f, threads, s);
}
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** pointer, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
    *pointer = dlsym(RTLD_DEFAULT, symbol);
    if (!*pointer) note("no driver function %s", symbol);
    if (result) *result = *pointer ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

int standin_unsupported(const char* name) {
    note("not supported: %s", name);
    return cudaErrorNotSupported;
}

}  // extern "C"

// Linked against by torch and never needed here.
#define NOT_SUPPORTED(NAME)                                                         \
    asm(".text\n.globl " #NAME "\n.type " #NAME ",@function\n" #NAME                \
        ":\n lea .Lname_" #NAME "(%rip), %rdi\n jmp standin_unsupported@PLT\n"      \
        ".section .rodata\n.Lname_" #NAME ": .asciz \"" #NAME "\"\n.text\n")
NOT_SUPPORTED(cudaIpcOpenMemHandle);
NOT_SUPPORTED(cudaIpcOpenEventHandle);
NOT_SUPPORTED(cudaIpcGetMemHandle);
NOT_SUPPORTED(cudaIpcGetEventHandle);
NOT_SUPPORTED(cudaIpcCloseMemHandle);
NOT_SUPPORTED(cudaHostRegister);
NOT_SUPPORTED(cudaHostUnregister);
NOT_SUPPORTED(cudaGetSymbolAddress);
NOT_SUPPORTED(cudaDeviceEnablePeerAccess);
NOT_SUPPORTED(cudaStreamAddCallback);
NOT_SUPPORTED(cudaMemcpyToSymbol);
NOT_SUPPORTED(cudaMemcpyPeerAsync);
NOT_SUPPORTED(cudaMemPoolTrimTo);
NOT_SUPPORTED(cudaMemPoolSetAttribute);
NOT_SUPPORTED(cudaMemPoolSetAccess);
NOT_SUPPORTED(cudaMemPoolGetAttribute);
NOT_SUPPORTED(cudaMallocAsync);
NOT_SUPPORTED(cudaFreeAsync);
NOT_SUPPORTED(cudaLaunchCooperativeKernel);
NOT_SUPPORTED(cudaGraphNodeGetDependencies);
NOT_SUPPORTED(cudaGraphDebugDotPrint);
NOT_SUPPORTED(cudaDeviceGetDefaultMemPool);
NOT_SUPPORTED(cudaDeviceGetGraphMemAttribute);
NOT_SUPPORTED(cudaDeviceSetGraphMemAttribute);
NOT_SUPPORTED(cudaGraphAddNode);
NOT_SUPPORTED(cudaGraphConditionalHandleCreate);
NOT_SUPPORTED(cudaGraphRetainUserObject);
NOT_SUPPORTED(cudaKernelSetAttributeForDevice);
NOT_SUPPORTED(cudaLibraryGetKernel);
NOT_SUPPORTED(cudaLibraryLoadData);
NOT_SUPPORTED(cudaLibraryUnload);
NOT_SUPPORTED(cudaStreamBeginCaptureToGraph);
NOT_SUPPORTED(cudaStreamUpdateCaptureDependencies);
NOT_SUPPORTED(cudaUserObjectCreate);
NOT_SUPPORTED(cudaUserObjectRelease);
