// twin.cpp - linked to a kernel compiled for the host: runs it as the stand-in's launches ask.
#include "twin.h"

#include "simt.h"

namespace {
struct Call {
    void (*kernel)(standin::Parameters);
    const standin::Parameters& parameters;
};
}  // namespace

extern "C" void standin_run_twin(void* kernel, const unsigned* grid, const unsigned* block, size_t shared,
                                 const standin::Parameters& parameters) {
    Call call = {reinterpret_cast<void (*)(standin::Parameters)>(kernel), parameters};
    simt::launch(
        {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, shared,
        [](void* argument) {
            const Call& c = *static_cast<Call*>(argument);
            c.kernel(c.parameters);
        },
        &call);
}
