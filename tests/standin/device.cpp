// device.cpp - see device.h.
#include "device.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <thread>

namespace standin {
namespace {

constexpr size_t kArena = size_t(8) << 30, kGranularity = 512;
constexpr size_t kPendingMost = 4096;  // as a device's queue, a stream's is finite: the host then waits for the oldest

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// ---- memory ---------------------------------------------------------------------------------------------------------

char* arena() {
    static char* const base =
        static_cast<char*>(mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    return base;
}
std::map<char*, size_t>& blocks() {
    static auto* m = new std::map<char*, size_t>;
    return *m;
}
std::map<char*, size_t>& pinned_blocks() {
    static auto* m = new std::map<char*, size_t>;
    return *m;
}
size_t high_water = 0;

// Device memory is open while work runs.
struct Access {
    static int depth;
    Access() {
        if (depth++ == 0 && high_water) mprotect(arena(), high_water, PROT_READ | PROT_WRITE);
    }
    ~Access() {
        if (--depth == 0 && high_water) mprotect(arena(), high_water, PROT_NONE);
    }
};
int Access::depth = 0;

bool inside(const std::map<char*, size_t>& in, const void* pointer) {
    char* const p = static_cast<char*>(const_cast<void*>(pointer));
    auto after = in.upper_bound(p);
    if (after == in.begin()) return false;
    --after;
    return p < after->first + after->second;
}

// ---- streams --------------------------------------------------------------------------------------------------------

std::set<Stream*>& streams() {
    static auto* s = new std::set<Stream*>;
    return *s;
}
std::set<Capture*>& captures() {
    static auto* s = new std::set<Capture*>;
    return *s;
}
int streams_made = 0;

Stream* legacy() {
    static Stream* const stream = [] {
        auto* made = new Stream;
        made->blocking = true;
        streams().insert(made);
        return made;
    }();
    return stream;
}

void push(Stream* stream, Operation operation) {
    stream->pending.push_back(std::move(operation));
    while (stream->pending.size() > kPendingMost) step(stream);
}

void wait_for_tail(Stream* stream, Stream* other) {
    if (other == stream || other->pending.empty()) return;
    auto tail = std::make_shared<EventState>();
    tail->at = other;
    tail->recorded = 1;
    other->pending.push_back({nullptr, tail, nullptr, 1});
    stream->pending.push_back({nullptr, nullptr, tail, 1});
}

// The legacy stream waits for every blocking stream, and they for it.
void order_with_legacy(Stream* stream) {
    if (stream == legacy()) {
        for (Stream* other : streams())
            if (other->blocking) wait_for_tail(stream, other);
    } else if (stream->blocking) {
        wait_for_tail(stream, legacy());
    }
}

// ---- kernels --------------------------------------------------------------------------------------------------------

std::string readable(const std::string& name) {
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    std::string result = status == 0 ? text : name;
    free(text);
    return result;
}

void look_up(Kernel& kernel) {
    kernel.looked_up = true;
    if (kernel.library.empty()) return;
    void* library = dlopen(kernel.library.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (!library) return;
    const char* path = static_cast<const char*>(dlsym(library, "standin_twin"));
    if (!path) return;
    void* twins = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!twins) {
        fprintf(stderr, "stand-in: %s\n", dlerror());
        return;
    }
    kernel.twin = dlsym(twins, kernel.name.c_str());
    kernel.run_twin = reinterpret_cast<RunTwin*>(dlsym(twins, "standin_run_twin"));
    if (!kernel.twin) fprintf(stderr, "stand-in: %s has no kernel %s\n", path, kernel.name.c_str());
}

// torch's fill: vectorized_elementwise_kernel<N, FillFunctor<T>, std::array<char*, 1>>(count, functor, addresses)
Work torch_fill(const std::string& name, void** args) {
    const auto at = name.find("FillFunctor<");
    if (name.find("vectorized_elementwise_kernel<") == std::string::npos || at == std::string::npos) return nullptr;
    const std::string type = name.substr(at + 12, name.find('>', at) - at - 12);
    static const std::map<std::string, size_t> sizes = {{"float", 4},     {"double", 8},        {"int", 4},
                                                        {"long", 8},      {"unsigned char", 1}, {"bool", 1},
                                                        {"c10::Half", 2}, {"c10::BFloat16", 2}, {"short", 2}};
    if (!sizes.count(type)) return nullptr;
    const size_t size = sizes.at(type);
    const int count = *static_cast<int*>(args[0]);
    std::string value(static_cast<char*>(args[1]), size);
    char* to = *static_cast<char**>(args[2]);
    return [=] {
        for (int i = 0; i < count; i++) memcpy(to + size * i, value.data(), size);
    };
}

Work torch_spin(const std::string& name, void** args) {
    if (name.find("spin_kernel") == std::string::npos) return nullptr;
    const long cycles = *static_cast<long*>(args[0]);
    return [=] { std::this_thread::sleep_for(std::chrono::nanoseconds(cycles / 2)); };
}

}  // namespace

std::recursive_mutex& lock() {
    static auto* m = new std::recursive_mutex;
    return *m;
}
cudaError_t& last_error() {
    static thread_local cudaError_t e = cudaSuccess;
    return e;
}
cudaError_t last(cudaError_t status) {
    if (status != cudaSuccess) last_error() = status;
    return status;
}

void* allocate(size_t bytes) {
    const size_t size = (std::max<size_t>(bytes, 1) + kGranularity - 1) / kGranularity * kGranularity;
    char* at = arena();
    for (const auto& [start, length] : blocks()) {
        if (size_t(start - at) >= size) break;
        at = start + length;
    }
    if (size_t(arena() + kArena - at) < size) return nullptr;
    blocks()[at] = size;
    const size_t page = sysconf(_SC_PAGESIZE);
    high_water = std::max(high_water, (size_t(at - arena()) + size + page - 1) / page * page);
    Access access;
    memset(at, 0xff, size);  // NaN in every float format: what was never written must not be used
    return at;
}

bool release(void* pointer) {
    drain_all();
    return blocks().erase(static_cast<char*>(pointer)) == 1;
}

void* allocate_pinned(size_t bytes) {
    void* p = nullptr;
    if (posix_memalign(&p, 4096, std::max<size_t>(bytes, 1))) return nullptr;
    pinned_blocks()[static_cast<char*>(p)] = std::max<size_t>(bytes, 1);
    return p;
}

bool release_pinned(void* pointer) {
    drain_all();
    if (!pinned_blocks().erase(static_cast<char*>(pointer))) return false;
    free(pointer);
    return true;
}

bool on_device(const void* pointer) { return inside(blocks(), pointer); }
bool pinned(const void* pointer) { return inside(pinned_blocks(), pointer); }
size_t memory_total() { return kArena; }
size_t memory_free() {
    size_t used = 0;
    for (const auto& block : blocks()) used += block.second;
    return kArena - used;
}

Stream* stream_of(void* handle) {
    return handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread
               ? legacy()
               : static_cast<Stream*>(handle);
}

Stream* make_stream(bool blocking, int priority) {
    auto* stream = new Stream;
    stream->blocking = blocking;
    stream->priority = priority;
    stream->number = ++streams_made;
    streams().insert(stream);
    return stream;
}

void destroy(Stream* stream) {
    drain(stream);
    streams().erase(stream);
    delete stream;
}

cudaError_t enqueue(Stream* stream, Work work) {
    if (stream->capture) {
        if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
        stream->capture->graph->work.push_back(std::move(work));
        stream->captured_ops++;
        return cudaSuccess;
    }
    order_with_legacy(stream);
    push(stream, {std::move(work), nullptr, nullptr, 0});
    return cudaSuccess;
}

bool step(Stream* stream) {
    if (stream->pending.empty()) return false;
    const Operation operation = std::move(stream->pending.front());
    stream->pending.pop_front();
    if (operation.wait)
        while (operation.wait->done < operation.generation && step(operation.wait->at)) {
        }
    if (operation.work) {
        Access access;
        operation.work();
    }
    if (operation.record) {
        operation.record->done = operation.generation;
        operation.record->seconds = now();
    }
    return true;
}

void drain(Stream* stream) {
    while (step(stream)) {
    }
}
void drain_all() {
    for (Stream* stream : streams()) drain(stream);
}

void record(Stream* stream, const EventPointer& event) {
    event->at = stream;
    event->capture = stream->capture;
    if (stream->capture) {
        event->captured_ops = stream->captured_ops;
        return;
    }
    order_with_legacy(stream);
    push(stream, {nullptr, event, nullptr, ++event->recorded});
}

cudaError_t wait(Stream* stream, const EventPointer& event) {
    if (event->capture) {
        if (stream->capture && stream->capture != event->capture) return cudaErrorStreamCaptureMerge;
        if (!stream->capture) {
            stream->capture = event->capture;
            stream->captured_ops = stream->joined_ops = 0;
        }
        if (stream == event->capture->origin && event->at)
            event->at->joined_ops = std::max(event->at->joined_ops, event->captured_ops);
        return cudaSuccess;
    }
    if (event->recorded == 0) return cudaSuccess;
    if (stream->capture) {
        stream->capture->invalid = true;
        return cudaErrorStreamCaptureIsolation;
    }
    push(stream, {nullptr, nullptr, event, event->recorded});
    return cudaSuccess;
}

void finish(const EventPointer& event) {
    while (event->at && event->done < event->recorded && step(event->at)) {
    }
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, Stream* stream, bool blocks_host) {
    const bool to_device = on_device(to), from_device = on_device(from);
    const bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (bytes && kind != cudaMemcpyDefault && (wants_to != to_device || wants_from != from_device))
        return cudaErrorInvalidValue;
    if (!to_device && !pinned(to))
        blocks_host = true;  // pageable memory: the driver copies through a buffer of its own
    if (blocks_host)
        if (const cudaError_t status = unsafe_now(stream)) return status;
    cudaError_t status;
    if (!from_device && !pinned(from)) {
        auto held = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
        status = enqueue(stream, [=] { memcpy(to, held->data(), bytes); });
    } else {
        status = enqueue(stream, [=] { memmove(to, from, bytes); });
    }
    if (blocks_host) drain(stream);
    return status;
}

cudaError_t fill(void* to, int value, size_t bytes, Stream* stream) {
    if (bytes && !on_device(to)) return cudaErrorInvalidValue;
    return enqueue(stream, [=] { memset(to, value, bytes); });
}

cudaStreamCaptureMode& thread_mode() {
    static thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    return mode;
}

cudaError_t unsafe_now(Stream* stream) {
    if (stream && stream->capture) {
        stream->capture->invalid = true;
        return cudaErrorStreamCaptureUnsupported;
    }
    if (thread_mode() == cudaStreamCaptureModeRelaxed) return cudaSuccess;
    for (Capture* capture : captures())
        if (capture->mode != cudaStreamCaptureModeRelaxed) {
            capture->invalid = true;
            return cudaErrorStreamCaptureUnsupported;
        }
    return cudaSuccess;
}

cudaError_t begin_capture(Stream* stream, cudaStreamCaptureMode mode) {
    static unsigned long long made = 0;
    if (stream == legacy()) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture) return cudaErrorIllegalState;
    auto* capture = new Capture;
    capture->id = ++made;
    capture->origin = stream;
    capture->mode = mode;
    captures().insert(capture);
    stream->capture = capture;
    stream->captured_ops = stream->joined_ops = 0;
    return cudaSuccess;
}

cudaError_t end_capture(Stream* stream, std::shared_ptr<Graph>& graph) {
    Capture* const capture = stream->capture;
    if (!capture) return cudaErrorIllegalState;
    if (capture->origin != stream) return cudaErrorStreamCaptureUnmatched;
    cudaError_t status = capture->invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
    for (Stream* other : streams()) {
        if (other->capture != capture) continue;
        if (other != stream && other->captured_ops > other->joined_ops && !status)
            status = cudaErrorStreamCaptureUnjoined;
        other->capture = nullptr;
    }
    captures().erase(capture);
    graph = capture->graph;
    note("graph %zu operations status %d", graph->work.size(), int(status));
    return status;
}

cudaError_t launch(Kernel& kernel, dim3 grid, dim3 block, void** args, size_t shared, Stream* stream) {
    const size_t threads = size_t(block.x) * block.y * block.z;
    if (threads == 0 || threads > Limits::threads || !grid.x || !grid.y || !grid.z || grid.x > Limits::grid_x ||
        grid.y > Limits::grid_yz || grid.z > Limits::grid_yz)
        return cudaErrorInvalidConfiguration;
    if (shared > size_t(kernel.shared_limit)) return cudaErrorInvalidValue;
    if (!kernel.looked_up) look_up(kernel);
    const std::string name = readable(kernel.name);
    Work work;
    const char* how = "emulated";
    if (kernel.twin) {
        auto held = std::make_shared<Parameters>();
        memcpy(held->bytes, args[0], sizeof held->bytes);
        work = [=, &kernel] {
            const unsigned g[3] = {grid.x, grid.y, grid.z}, b[3] = {block.x, block.y, block.z};
            kernel.run_twin(kernel.twin, g, b, shared, *held);
        };
    } else if ((work = torch_fill(name, args)) || (work = torch_spin(name, args))) {
        how = "built in";
    } else {
        how = "left out";
        work = [] {};
    }
    note("launch %s grid %u %u %u block %u %u %u shared %zu stream %d capture %llu: %s", how, grid.x, grid.y, grid.z,
         block.x, block.y, block.z, shared, stream->number, stream->capture ? stream->capture->id : 0, name.c_str());
    return enqueue(stream, std::move(work));
}

void note(const char* format, ...) {
    static FILE* const file = [] {
        const char* path = getenv("STANDIN_LOG");
        return path ? fopen(path, "a") : nullptr;
    }();
    if (!file) return;
    char line[2048];
    va_list list;
    va_start(list, format);
    const int length = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    fprintf(file, "%.*s\n", std::min<int>(length, sizeof line - 1), line);
    fflush(file);
}

}  // namespace standin
