// driver.cpp - run a list of cases through one host-compiled kernel library.
//
//   driver CASES RESULTS
//
// CASES: int32 count, then per case the int32 fields of Case, the byte counts and bytes of w, w2, masks, x.
// RESULTS: int32 ABI version, 32 bytes of mask layout and 32 of weight format, then per case int32 status, int64 bytes of workspace, y of each launch.
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "launch_abi.h"
#include "simt.h"

namespace {

struct Case {
    int32_t h, d, nm, batch, w_row_stride, activation, split_k, sm_count;
    int32_t order, seed, concurrent_blocks, launches, x_offset, y_offset, zero_bytes, prepare, fault, y_elements;
};

void read_exactly(FILE* file, void* to, size_t bytes) {
    if (bytes && fread(to, 1, bytes, file) != bytes) {
        fprintf(stderr, "driver: case file is too short\n");
        exit(2);
    }
}

// A buffer of exact size, `offset` bytes off its alignment. A sanitizer watches heap blocks; without one, the buffer ends
// within 16 bytes of a page that nobody may touch, the rest of its pages hold 0xff (NaN in every float format) and must
// still do so afterwards, and what a kernel may only read is write-protected.
class Buffer {
  public:
    Buffer(size_t bytes, size_t offset) : bytes_(bytes), offset_(offset) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (posix_memalign(reinterpret_cast<void**>(&base_), 256, offset + (bytes ? bytes : 1))) abort();
        data_ = base_ + offset;
#else
        pages_ = (bytes + offset + 16 + kPage - 1) / kPage * kPage;
        base_ = static_cast<char*>(mmap(nullptr, pages_ + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (base_ == MAP_FAILED || mprotect(base_ + kPage, pages_, PROT_READ | PROT_WRITE)) abort();
        memset(base_ + kPage, 0xff, pages_);
        data_ = base_ + kPage + (pages_ - bytes - offset) / 16 * 16 + offset;
#endif
    }
    ~Buffer() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        free(base_);
#else
        munmap(base_, pages_ + 2 * kPage);
#endif
    }
    Buffer(const Buffer&) = delete;
    char* data() { return bytes_ ? data_ : nullptr; }
    void protect() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        mprotect(base_ + kPage, pages_, PROT_READ);
#endif
    }
    void check(const char* name) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        for (char* p = base_ + kPage; p < base_ + kPage + pages_; p++) {
            if (p == data_) p += bytes_;
            if (p < base_ + kPage + pages_ && *p != char(0xff))
                simt::fail("%s was written %td bytes from its start, it has %zu", name, p - data_, bytes_);
        }
#else
        (void)name;
#endif
    }

  private:
    static constexpr size_t kPage = 4096;
    size_t bytes_, offset_, pages_ = 0;
    char *base_ = nullptr, *data_ = nullptr;
};

std::unique_ptr<Buffer> read_buffer(FILE* file, size_t offset = 0) {
    int64_t bytes;
    read_exactly(file, &bytes, sizeof bytes);
    auto buffer = std::make_unique<Buffer>(bytes, offset);
    read_exactly(file, buffer->data(), bytes);
    buffer->protect();
    return buffer;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    FILE* in = fopen(argv[1], "rb");
    FILE* out = fopen(argv[2], "wb");
    if (!in || !out) return 2;
    int32_t count;
    read_exactly(in, &count, sizeof count);
    const int32_t abi = mglu_abi_version();
    char layout[32] = {}, format[32] = {};
    strncpy(layout, mglu_mask_layout(), sizeof layout - 1);
    strncpy(format, mglu_weight_format(), sizeof format - 1);
    fwrite(&abi, sizeof abi, 1, out);
    fwrite(layout, sizeof layout, 1, out);
    fwrite(format, sizeof format, 1, out);
    for (int32_t i = 0; i < count; i++) {
        Case c;
        read_exactly(in, &c, sizeof c);
        const auto w = read_buffer(in), w2 = read_buffer(in), masks = read_buffer(in);
        const auto x = read_buffer(in, 2 * c.x_offset);
        const size_t y_bytes = size_t(2) * c.y_elements;
        Buffer y(y_bytes, 2 * c.y_offset);
        MgluArgs args = {w->data(), w2->data(), masks->data(), x->data(),        y.data(),     nullptr,   c.h,
                         c.d,       c.nm,       c.batch,       c.w_row_stride, c.activation, c.split_k, c.sm_count};
        const size_t workspace_bytes = mglu_workspace_bytes(&args);
        Buffer workspace(workspace_bytes, 0);
        if (workspace_bytes) {
            memset(workspace.data(), 0xff, workspace_bytes);  // only what must be zero is zeroed
            const size_t zeroed = c.zero_bytes < 0 ? workspace_bytes : size_t(c.zero_bytes);
            memset(workspace.data(), 0, zeroed < workspace_bytes ? zeroed : workspace_bytes);
            args.workspace = workspace.data();
        }
        const void** const pointers[] = {&args.w,
                                         &args.w2,
                                         &args.masks,
                                         &args.x,
                                         const_cast<const void**>(&args.y),
                                         const_cast<const void**>(&args.workspace)};
        const int off_by[] = {2, 2, 8, 1, 1, 8};
        if (c.fault >= 7) {
            const void** const p = pointers[c.fault - 7];
            *p = static_cast<const char*>(*p) + off_by[c.fault - 7];
        } else if (c.fault > 0) {
            *pointers[c.fault - 1] = nullptr;
        }
        simt::set_order(static_cast<simt::Order>(c.order), c.seed);
        simt::set_concurrent_blocks(c.concurrent_blocks != 0);
        int32_t status = c.prepare ? mglu_prepare(&args) : MGLU_OK;
        std::vector<char> results;
        for (int launch = 0; launch < c.launches; launch++) {
            memset(y.data(), 0xff, y_bytes);
            if (status == MGLU_OK) status = mglu_launch(&args, nullptr);
            results.insert(results.end(), y.data(), y.data() + y_bytes);
            y.check("y");
            workspace.check("workspace");
        }
        fwrite(&status, sizeof status, 1, out);
        const int64_t asked = static_cast<int64_t>(workspace_bytes);
        fwrite(&asked, sizeof asked, 1, out);
        fwrite(results.data(), 1, results.size(), out);
        fflush(out);
    }
    fclose(in);
    return fclose(out);
}
