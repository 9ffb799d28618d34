// device.h - a stand-in for one CUDA device: memory, streams, events, graphs and kernels, all on the host.
//
// It lets the CUDA build of torch, and everything above it, run where there is no GPU. What it keeps to:
//   * Work waits in its stream until something synchronises. Order comes only from streams, events and legacy-stream
//     rules: a missing dependency shows as stale data, as on a device.
//   * Device memory can be touched by enqueued work alone; the host gets a segmentation fault.
//   * Capture records instead of running, refuses what CUDA documents as illegal in it, and is replayed as recorded.
//   * A kernel of kernels_cuda/ runs by host emulation (../kernels_cuda/emu), from the arguments that reached the
//   launch.
//     Any other kernel is logged and left out, but for torch's fill and spin.
// It says nothing about speed.
#pragma once
#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "twin.h"

namespace standin {

using Work = std::function<void()>;

struct Stream;
struct Capture;

struct EventState {
    uint64_t recorded = 0, done = 0;  // how often it was recorded, and up to which of them work has come
    double seconds = 0;               // when
    bool timing = true;
    Stream* at = nullptr;
    Capture* capture = nullptr;  // in which it was recorded last
    uint64_t captured_ops = 0;   // operations of its stream in that capture by then
};
using EventPointer = std::shared_ptr<EventState>;

struct Operation {
    Work work;
    EventPointer record, wait;
    uint64_t generation = 0;
};

struct Stream {
    std::deque<Operation> pending;
    bool blocking = false;
    int priority = 0, number = 0;
    Capture* capture = nullptr;
    uint64_t captured_ops = 0, joined_ops = 0;  // operations in the capture, and how many of them the origin waits for
};

struct Graph {
    std::vector<Work> work;
};

struct Capture {
    unsigned long long id = 0;
    Stream* origin = nullptr;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    bool invalid = false;
    std::shared_ptr<Graph> graph = std::make_shared<Graph>();
};

struct Kernel {
    std::string name, library;     // mangled; shared library that registered it, if any
    int shared_limit = 48 * 1024;  // dynamic shared memory that a launch may ask for
    bool looked_up = false;
    void* twin = nullptr;  // the kernel compiled for the host
    RunTwin* run_twin = nullptr;
};

struct Limits {
    static constexpr int threads = 1024, shared_optin = 227 * 1024;
    static constexpr unsigned grid_x = 2147483647u, grid_yz = 65535u;
};

std::recursive_mutex& lock();
cudaError_t last(cudaError_t status);  // remember as the thread's last error, and return it
cudaError_t& last_error();

// memory
void* allocate(size_t bytes);  // null when the device is full
bool release(void* pointer);
void* allocate_pinned(size_t bytes);
bool release_pinned(void* pointer);
bool on_device(const void* pointer);
bool pinned(const void* pointer);
size_t memory_total();
size_t memory_free();

// streams: null is the legacy default stream
Stream* stream_of(void* handle);
Stream* make_stream(bool blocking, int priority);
void destroy(Stream* stream);
cudaError_t enqueue(Stream* stream, Work work);
void drain(Stream* stream);
void drain_all();
bool step(Stream* stream);  // one operation; false when there was none
void record(Stream* stream, const EventPointer& event);
cudaError_t wait(Stream* stream, const EventPointer& event);
void finish(const EventPointer& event);
cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, Stream* stream, bool blocks);
cudaError_t fill(void* to, int value, size_t bytes, Stream* stream);

// capture
cudaStreamCaptureMode& thread_mode();
cudaError_t unsafe_now(Stream* stream = nullptr);  // an error, and the capture invalid, if a capture forbids this call
cudaError_t begin_capture(Stream* stream, cudaStreamCaptureMode mode);
cudaError_t end_capture(Stream* stream, std::shared_ptr<Graph>& graph);

// kernels
cudaError_t launch(Kernel& kernel, dim3 grid, dim3 block, void** args, size_t shared, Stream* stream);
void note(const char* format, ...) __attribute__((format(printf, 1, 2)));  // a line in STANDIN_LOG

}  // namespace standin
