// driver.cpp - run a list of cases through one host-compiled kernel library.
//
//   driver CASES RESULTS
//
// CASES: int32 count, then per case the int32 fields of Case, the byte counts and bytes of w, w2, masks, x.
// RESULTS: per case int32 status, then y of each launch.
// Every buffer is a heap block of its exact size, so that the address sanitizer sees the first byte beyond it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "launch_abi.h"
#include "simt.h"

namespace {

struct Case {
    int32_t h, d, nm, batch, w_row_stride, activation, split_k, sm_count;
    int32_t order, seed, concurrent_blocks, launches, x_offset, zero_bytes;
};

void read_exactly(FILE* file, void* to, size_t bytes) {
    if (bytes && fread(to, 1, bytes, file) != bytes) {
        fprintf(stderr, "driver: case file is too short\n");
        exit(2);
    }
}

void* allocate(size_t bytes) {
    void* p = nullptr;
    if (posix_memalign(&p, 256, bytes ? bytes : 1)) abort();
    return p;
}

void* read_buffer(FILE* file, size_t offset = 0) {
    int64_t bytes;
    read_exactly(file, &bytes, sizeof bytes);
    if (bytes == 0) return nullptr;
    char* p = static_cast<char*>(allocate(offset + bytes));
    read_exactly(file, p + offset, bytes);
    return p;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    FILE* in = fopen(argv[1], "rb");
    FILE* out = fopen(argv[2], "wb");
    if (!in || !out) return 2;
    int32_t count;
    read_exactly(in, &count, sizeof count);
    for (int32_t i = 0; i < count; i++) {
        Case c;
        read_exactly(in, &c, sizeof c);
        void* w = read_buffer(in);
        void* w2 = read_buffer(in);
        void* masks = read_buffer(in);
        char* x = static_cast<char*>(read_buffer(in, 2 * c.x_offset));
        const size_t y_bytes = size_t(2) * c.batch * c.d;
        void* y = allocate(y_bytes);
        MgluArgs args = {w,   w2,  masks,   x ? x + 2 * c.x_offset : nullptr, y, nullptr, c.h, c.d, c.nm,
                         c.batch, c.w_row_stride, c.activation, c.split_k, c.sm_count};
        const size_t workspace_bytes = mglu_workspace_bytes(&args);
        char* workspace = nullptr;
        if (workspace_bytes) {
            workspace = static_cast<char*>(allocate(workspace_bytes));
            memset(workspace, 0xff, workspace_bytes);  // only what must be zero is zeroed
            const size_t zeroed = c.zero_bytes < 0 ? workspace_bytes : size_t(c.zero_bytes);
            memset(workspace, 0, zeroed < workspace_bytes ? zeroed : workspace_bytes);
            args.workspace = workspace;
        }
        simt::set_order(static_cast<simt::Order>(c.order), c.seed);
        simt::set_concurrent_blocks(c.concurrent_blocks != 0);
        int32_t status = mglu_prepare(&args);
        std::vector<char> results;
        for (int launch = 0; launch < c.launches; launch++) {
            memset(y, 0xff, y_bytes);
            if (status == MGLU_OK) status = mglu_launch(&args, nullptr);
            results.insert(results.end(), static_cast<char*>(y), static_cast<char*>(y) + y_bytes);
        }
        fwrite(&status, sizeof status, 1, out);
        fwrite(results.data(), 1, results.size(), out);
        fflush(out);
        free(w), free(w2), free(masks), free(x), free(y), free(workspace);
    }
    fclose(in);
    return fclose(out);
}
