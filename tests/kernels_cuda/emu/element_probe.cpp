// element_probe.cpp - the device functions of element.cuh for ctypes, over arrays. Compiled as a shared library.
#include "element.cuh"

extern "C" {

void probe_activate(const float* v, float* out, int count, int activation) {
    for (int i = 0; i < count; i++) out[i] = mglu::activate(v[i], activation);
}

void probe_from_float(const float* v, uint16_t* out, int count) {
    for (int i = 0; i < count; i++) out[i] = mglu::float_to_element(v[i]);
}

void probe_to_float(const uint32_t* pairs, float* out, int count) {
    for (int i = 0; i < count; i++) {
        const float2 two = mglu::pair_to_float2(pairs[i]);
        out[2 * i] = two.x;
        out[2 * i + 1] = two.y;
    }
}

void probe_keep_first(const uint16_t* eight, uint16_t* out, int kept) {
    uint4 v;
    memcpy(&v, eight, sizeof v);
    v = mglu::keep_first(v, kept);
    memcpy(out, &v, sizeof v);
}

void probe_gather_first(const uint16_t* from, uint16_t* out, int count) {
    const uint4 v = mglu::gather_first(from, count);
    memcpy(out, &v, sizeof v);
}

float probe_nan_unless_finite(float y, float t) { return mglu::nan_unless_finite(y, t); }

}
