// twin.cpp - linked to a kernel compiled for the host: runs it as the stand-in's launches ask.
#include <cstddef>

#include "simt.h"

namespace {
struct Parameters {
    unsigned char bytes[256];
};
struct Call {
    void (*kernel)(Parameters);
    const Parameters* parameters;
};
}  // namespace

extern "C" void standin_run_twin(void* kernel, const unsigned* grid, const unsigned* block, size_t shared,
                                 const void* p) {
    Call call = {reinterpret_cast<void (*)(Parameters)>(kernel), static_cast<const Parameters*>(p)};
    simt::launch(
        {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, shared,
        [](void* argument) {
            const Call* c = static_cast<Call*>(argument);
            c->kernel(*c->parameters);
        },
        &call);
}
