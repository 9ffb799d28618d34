// simt.cpp - thread blocks as fibers on one OS thread: barriers, warp rendezvous, bulk copies, deadlock detection.
//
// NOTES
//   Build without sanitizer flags: the hooks below are weak, so one object serves plain, ASan and TSan programs. Under
//   TSan a fiber is a thread of its own, and only barriers, __syncwarp, mbarrier waits and atomics order its accesses.
//   Shared memory is filled with 0xff (a NaN in every float format) for each block, and exactly as large as requested.
#include "simt.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#ifndef __x86_64__
#include <ucontext.h>
#endif

#define WEAK __attribute__((weak))
extern "C" {
WEAK void __sanitizer_start_switch_fiber(void**, const void*, size_t);
WEAK void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
WEAK void* __tsan_create_fiber(unsigned);
WEAK void __tsan_destroy_fiber(void*);
WEAK void __tsan_switch_to_fiber(void*, unsigned);
WEAK void* __tsan_get_current_fiber();
WEAK void __tsan_acquire(void*);
WEAK void __tsan_release(void*);
WEAK void __tsan_ignore_thread_begin();
WEAK void __tsan_ignore_thread_end();
}

namespace simt {
namespace {

// ---- stack switching -------------------------------------------------------------------------------------------------

constexpr size_t kStackBytes = 256 * 1024;

#ifdef __x86_64__
using Context = void*;
extern "C" void simt_swap(void** save, void* to);
asm(".text\n.globl simt_swap\n.type simt_swap,@function\nsimt_swap:\n"
    " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    " mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
    " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");
void swap(Context& from, Context& to) { simt_swap(&from, to); }
void make(Context& context, char* stack, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack + kStackBytes);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    context = top;
}
#else
using Context = ucontext_t;
void swap(Context& from, Context& to) { swapcontext(&from, &to); }
void make(Context& context, char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = kStackBytes;
    makecontext(&context, entry, 0);
}
#endif

char* new_stack() {
    void* p = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) abort();
    return static_cast<char*>(p);
}

// ---- state -----------------------------------------------------------------------------------------------------------

enum class State { ready, in_barrier, in_warp_operation, in_mbarrier_wait, exited };

struct Fiber {
    Thread thread;
    Context context;
    char* stack = nullptr;
    void *tsan = nullptr, *fake_stack = nullptr;
    State state = State::ready;
    const char* what = "";
    uint32_t mask = 0;
    void* slot = nullptr;
};

struct Warp {
    uint32_t waiting = 0, exited = 0;
    char* order = nullptr;  // addresses for the race detector's happens-before edges, one per generation
    int generation = 0;
};

constexpr long kMostOfPhase = (1 << 20) - 1;  // arrivals, and bytes, that an mbarrier can count

struct Mbarrier {
    unsigned arrivals = 0, pending = 0, phase = 0;
    long bytes = 0;
    int unfenced_by = -1;
};

struct BulkCopy {
    void* shared;
    const void* global;
    unsigned bytes;
    void* bar;
    char order;
};

struct Block {
    std::vector<Fiber> fibers;
    std::vector<int> ready;
    std::vector<int> barrier_waiters;
    std::vector<Warp> warps;
    std::map<void*, Mbarrier> mbarriers;
    std::vector<BulkCopy*> copies;
    char* barrier_order = nullptr;
    int barrier_generation = 0;
    int threads = 0, alive = 0, current = -1;
    long idle_polls = 0;
};

Block block;
Context scheduler;
void *scheduler_tsan, *scheduler_fake;
const void* scheduler_stack;
size_t scheduler_stack_bytes;
void (*kernel_body)(void*);
void* kernel_argument;
std::vector<char*> stacks;
std::mt19937 rng;
Order order_mode = Order::forward;
bool concurrent_blocks = false;
char between_blocks;

void acquire(void* p) {
    if (__tsan_acquire) __tsan_acquire(p);
}
void release(void* p) {
    if (__tsan_release) __tsan_release(p);
}

struct HiddenFromTsan {  // the runtime's own libc calls and the cross-fiber reads of a rendezvous are not races
    HiddenFromTsan() {
        if (__tsan_ignore_thread_begin) __tsan_ignore_thread_begin();
    }
    ~HiddenFromTsan() {
        if (__tsan_ignore_thread_end) __tsan_ignore_thread_end();
    }
};

Fiber& current() { return block.fibers[block.current]; }

// ---- scheduling ------------------------------------------------------------------------------------------------------

void run(int index) {
    block.current = index;
    Fiber& fiber = block.fibers[index];
    if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(fiber.tsan, 1);
    if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&scheduler_fake, fiber.stack, kStackBytes);
    swap(scheduler, fiber.context);
    if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
    block.current = -1;
}

void to_scheduler(bool exiting = false) {
    Fiber& fiber = current();
    if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(scheduler_tsan, 1);
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(exiting ? nullptr : &fiber.fake_stack, scheduler_stack, scheduler_stack_bytes);
    swap(fiber.context, scheduler);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(fiber.fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

void wake(std::vector<int>& sleepers) {
    std::sort(sleepers.begin(), sleepers.end());
    if (order_mode == Order::forward) std::reverse(sleepers.begin(), sleepers.end());  // `ready` is taken from its end
    if (order_mode == Order::random) std::shuffle(sleepers.begin(), sleepers.end(), rng);
    for (int index : sleepers) block.fibers[index].state = State::ready;
    block.ready.insert(block.ready.begin(), sleepers.begin(), sleepers.end());
    sleepers.clear();
    block.idle_polls = 0;
}

void open_barrier_if_complete() {
    const int waiting = static_cast<int>(block.barrier_waiters.size());
    if (waiting == 0 || waiting < block.alive) return;
    block.barrier_generation ^= 1;
    wake(block.barrier_waiters);
}

void fiber_main() {
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
    kernel_body(kernel_argument);
    release(&between_blocks);
    {
        HiddenFromTsan hidden;
        Fiber& fiber = current();
        fiber.state = State::exited;
        block.warps[fiber.thread.warp].exited |= 1u << fiber.thread.lane;
        block.alive--;
        block.idle_polls = 0;
        open_barrier_if_complete();
    }
    to_scheduler(true);
    abort();
}

const char* name_of(State state) {
    static const char* const names[] = {"ready", "barrier", "warp operation", "mbarrier wait", "exited"};
    return names[static_cast<int>(state)];
}

[[noreturn]] void report_deadlock() {
    std::string text;
    std::map<std::string, int> places;
    for (const Fiber& fiber : block.fibers)
        if (fiber.state != State::exited) places[std::string(name_of(fiber.state)) + " " + fiber.what]++;
    for (const auto& [place, count] : places) text += " " + std::to_string(count) + " threads in " + place + ";";
    fail("deadlock, no thread can proceed:%s", text.c_str());
}

// ---- bulk copies -----------------------------------------------------------------------------------------------------

void settle(Mbarrier& bar) {
    if (bar.pending != 0 || bar.bytes != 0) return;
    bar.phase ^= 1;
    bar.pending = bar.arrivals;
    block.idle_polls = 0;
}

// Whether so many bytes lie in this block's shared memory.
bool in_shared(const void* p, size_t bytes) {
    const Thread& t = current().thread;
    const auto* first = static_cast<const unsigned char*>(p);
    return first >= t.shared && first + bytes <= t.shared + t.shared_bytes;
}

Mbarrier& find_mbarrier(void* bar) {
    auto it = block.mbarriers.find(bar);
    if (it == block.mbarriers.end()) fail("mbarrier %p used before mbarrier.init", bar);
    if (it->second.unfenced_by >= 0) fail("mbarrier %p used before fence.mbarrier_init", bar);
    return it->second;
}

void deliver(BulkCopy* copy) {
    acquire(&copy->order);
    memcpy(copy->shared, copy->global, copy->bytes);
    release(copy->bar);
    HiddenFromTsan hidden;
    Mbarrier& bar = find_mbarrier(copy->bar);
    bar.bytes -= copy->bytes;
    block.copies.erase(std::find(block.copies.begin(), block.copies.end(), copy));
    delete copy;
    settle(bar);
}

// ---- shared memory ---------------------------------------------------------------------------------------------------
// Without a sanitizer it ends within 128 bytes of a page that nobody may touch; those bytes must stay 0xff.

constexpr size_t kArena = 256 * 1024, kSharedAlignment = 128;

bool sanitized() { return __tsan_create_fiber || __sanitizer_start_switch_fiber; }

unsigned char* allocate_shared(size_t bytes) {
    if (bytes == 0) return nullptr;
    unsigned char* shared = nullptr;
    if (sanitized()) {
        if (posix_memalign(reinterpret_cast<void**>(&shared), 1024, bytes)) abort();
        memset(shared, 0xff, bytes);
        return shared;
    }
    static unsigned char* const arena = [] {
        void* p = mmap(nullptr, kArena + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p, kArena, PROT_READ | PROT_WRITE)) abort();
        return static_cast<unsigned char*>(p);
    }();
    shared = arena + (kArena - bytes) / kSharedAlignment * kSharedAlignment;
    memset(shared, 0xff, arena + kArena - shared);
    return shared;
}

void check_shared(const unsigned char* shared, size_t bytes) {
    if (sanitized() || bytes == 0) return;
    const size_t beyond = (kSharedAlignment - bytes % kSharedAlignment) % kSharedAlignment;
    for (size_t i = 0; i < beyond; i++)
        if (shared[bytes + i] != 0xff) fail("shared memory was written %zu bytes beyond its end", i);
}

void free_shared(unsigned char* shared) {
    if (sanitized()) free(shared);
}

// ---- one block -------------------------------------------------------------------------------------------------------

void run_block(Index3 grid, Index3 block_shape, Index3 block_index, size_t shared_bytes) {
    const int threads = static_cast<int>(block_shape.x * block_shape.y * block_shape.z);
    unsigned char* const shared = allocate_shared(shared_bytes);
    block = Block();
    block.threads = block.alive = threads;
    block.fibers.resize(threads);
    block.warps.resize((threads + 31) / 32);
    char* const orders = static_cast<char*>(malloc(2 + 2 * block.warps.size()));
    block.barrier_order = orders;
    for (size_t i = 0; i < block.warps.size(); i++) block.warps[i].order = orders + 2 + 2 * i;
    if (!concurrent_blocks) acquire(&between_blocks);
    while (static_cast<int>(stacks.size()) < threads) stacks.push_back(new_stack());
    std::vector<int> all;
    for (int i = 0; i < threads; i++) {
        Fiber& fiber = block.fibers[i];
        const unsigned u = i;
        const Index3 thread_index = {u % block_shape.x, u / block_shape.x % block_shape.y,
                                     u / block_shape.x / block_shape.y};
        fiber.thread = {thread_index, block_index, block_shape, grid, u, u % 32, u / 32, shared, shared_bytes};
        fiber.stack = concurrent_blocks ? new_stack() : stacks[i];
        make(fiber.context, fiber.stack, fiber_main);
        if (__tsan_create_fiber) fiber.tsan = __tsan_create_fiber(0);
        all.push_back(i);
    }
    wake(all);
    for (int done = 0; done < threads;) {
        if (block.ready.empty()) report_deadlock();
        if (order_mode == Order::random) std::swap(block.ready.back(), block.ready[rng() % block.ready.size()]);
        const int index = block.ready.back();
        block.ready.pop_back();
        run(index);
        if (block.fibers[index].state != State::exited) continue;
        done++;
        if (__tsan_destroy_fiber && !concurrent_blocks) __tsan_destroy_fiber(block.fibers[index].tsan);
    }
    check_shared(shared, shared_bytes);
    if (!block.copies.empty()) fail("%zu bulk copies still in flight when the block ended", block.copies.size());
    if (concurrent_blocks) return;  // keep the addresses unique
    free_shared(shared);
    free(orders);
}

}  // namespace

// ---- interface -------------------------------------------------------------------------------------------------------

Thread& self() { return current().thread; }

void set_order(Order order, unsigned seed) {
    order_mode = order;
    rng.seed(seed);
}

void set_concurrent_blocks(bool on) { concurrent_blocks = on; }

void fail(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "SIMT ERROR: ");
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (block.current >= 0) {
        const Thread& t = self();
        fprintf(stderr, " [block %u,%u thread %u]", t.block_index.x, t.block_index.y, t.linear);
    }
    fprintf(stderr, "\n");
    fflush(nullptr);
    _Exit(77);
}

void barrier(const char* where) {
    HiddenFromTsan hidden;
    Fiber& fiber = current();
    if (!block.barrier_waiters.empty()) {
        const Fiber& first = block.fibers[block.barrier_waiters.front()];
        if (strcmp(first.what, where) != 0)
            fail("divergent barrier: thread %u waits at %s, this one at %s", first.thread.linear, first.what, where);
    }
    char* order = &block.barrier_order[block.barrier_generation];
    release(order);
    fiber.state = State::in_barrier;
    fiber.what = where;
    block.barrier_waiters.push_back(block.current);
    open_barrier_if_complete();
    to_scheduler();
    acquire(order);
}

void warp_collective(uint32_t mask, void* slot, Combine combine, const char* what, bool orders_memory) {
    HiddenFromTsan hidden;
    Fiber& fiber = current();
    Warp& warp = block.warps[fiber.thread.warp];
    const int first = static_cast<int>(fiber.thread.warp) * 32;
    const uint32_t self_bit = 1u << fiber.thread.lane;
    if (!(mask & self_bit)) fail("%s: lane %u is not in its own mask %08x", what, fiber.thread.lane, mask);
    if (mask & warp.exited) fail("%s: mask %08x names a lane that has exited", what, mask);
    fiber.state = State::in_warp_operation;
    fiber.what = what;
    fiber.mask = mask;
    fiber.slot = slot;
    char* order = &warp.order[warp.generation];
    if (orders_memory) release(order);
    warp.waiting |= self_bit;
    if ((warp.waiting & mask) == mask) {
        void* slots[32] = {};
        std::vector<int> sleepers;
        for (int lane = 0; lane < 32; lane++) {
            if (!(mask >> lane & 1)) continue;
            const Fiber& other = block.fibers[first + lane];
            if (strcmp(other.what, what) != 0 || other.mask != mask)
                fail("lanes %u and %d meet in different warp operations: %s %08x, %s %08x", fiber.thread.lane, lane,
                     what, mask, other.what, other.mask);
            slots[lane] = other.slot;
            sleepers.push_back(first + lane);
        }
        warp.waiting &= ~mask;
        warp.generation ^= 1;
        if (combine) combine(slots, mask);
        wake(sleepers);
    }
    to_scheduler();
    if (orders_memory) acquire(order);
}

void mbarrier_init(void* bar, unsigned arrivals) {
    HiddenFromTsan hidden;
    if (reinterpret_cast<uintptr_t>(bar) % 8) fail("mbarrier %p is not aligned to 8 bytes", bar);
    if (!in_shared(bar, 8)) fail("mbarrier %p is not in shared memory", bar);
    if (arrivals < 1 || arrivals > kMostOfPhase) fail("mbarrier %p of %u arrivals", bar, arrivals);
    if (block.mbarriers.count(bar)) fail("mbarrier %p initialised twice", bar);
    Mbarrier fresh;
    fresh.arrivals = fresh.pending = arrivals;
    fresh.unfenced_by = block.current;
    block.mbarriers[bar] = fresh;
}

void mbarrier_fence() {
    HiddenFromTsan hidden;
    for (auto& [bar, state] : block.mbarriers)
        if (state.unfenced_by == block.current) state.unfenced_by = -1;
}

void mbarrier_arrive_expect_tx(void* bar, unsigned bytes) {
    release(bar);
    HiddenFromTsan hidden;
    Mbarrier& state = find_mbarrier(bar);
    if (state.pending == 0) fail("mbarrier %p: more arrivals than the %u of its phase", bar, state.arrivals);
    state.pending--;
    state.bytes += bytes;
    if (state.bytes > kMostOfPhase) fail("mbarrier %p expects %ld bytes in a phase", bar, state.bytes);
    settle(state);
}

void bulk_copy(void* shared, const void* global, unsigned bytes, void* bar) {
    const uintptr_t all = reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global) | bytes;
    if (all % 16 || bytes == 0)
        fail("cp.async.bulk: %p <- %p, %u bytes: all three must be multiples of 16", shared, global, bytes);
    if (!in_shared(shared, bytes)) fail("cp.async.bulk: %u bytes at %p are not in shared memory", bytes, shared);
    BulkCopy* copy;
    {
        HiddenFromTsan hidden;
        find_mbarrier(bar);
        copy = new BulkCopy{shared, global, bytes, bar, 0};
        block.copies.push_back(copy);
    }
    release(&copy->order);
    if (order_mode == Order::forward || (order_mode == Order::random && rng() % 2)) deliver(copy);
}

void mbarrier_wait(void* bar, unsigned parity) {
    for (;;) {
        if (find_mbarrier(bar).phase != parity) break;
        BulkCopy* landed = nullptr;
        for (BulkCopy* copy : block.copies)
            if (copy->bar == bar) landed = copy;  // newest first: completion order is not issue order
        if (landed) {
            deliver(landed);
            continue;
        }
        HiddenFromTsan hidden;
        if (++block.idle_polls > 100L * block.threads) {
            current().state = State::in_mbarrier_wait;
            current().what = "that no copy and no arrival will complete";
            report_deadlock();
        }
        block.ready.insert(block.ready.begin(), block.current);
        to_scheduler();
    }
    acquire(bar);
}

void launch(Index3 grid, Index3 block_shape, size_t shared_bytes, void (*body)(void*), void* argument) {
    HiddenFromTsan hidden;
    const size_t threads = size_t(block_shape.x) * block_shape.y * block_shape.z;
    if (threads < 1 || threads > 1024 || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535)
        fail("bad launch: grid %u,%u,%u of blocks of %zu threads", grid.x, grid.y, grid.z, threads);
    if (shared_bytes > 227 * 1024) fail("dynamic shared memory %zu exceeds 227 KiB", shared_bytes);
    if (__tsan_get_current_fiber) scheduler_tsan = __tsan_get_current_fiber();
    kernel_body = body;
    kernel_argument = argument;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) run_block(grid, block_shape, {x, y, z}, shared_bytes);
    acquire(&between_blocks);
}

}  // namespace simt
