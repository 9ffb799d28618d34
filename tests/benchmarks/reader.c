/* What reading alone gives: every thread sums its part of a matrix, as one stream or as several that lie far apart. */
typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));

static float total(vec v) {
    float sum = 0;
    for (int i = 0; i < 16; i++) sum += v[i];
    return sum;
}

#define READ(STREAMS, ASK)                                                    \
    {                                                                         \
        long run = (last - first) / STREAMS;                                  \
        vec sums[STREAMS][2] = {};                                            \
        for (long i = 0; i < run; i += 32)                                    \
            for (int s = 0; s < STREAMS; s++) {                               \
                const float *at = w + first + s * run + i;                    \
                ASK;                                                          \
                sums[s][0] += *(const vec *)at;                               \
                sums[s][1] += *(const vec *)(at + 16);                        \
            }                                                                 \
        for (int s = 0; s < STREAMS; s++) sum += total(sums[s][0] + sums[s][1]); \
    }
#define AHEAD(KEEP) __builtin_prefetch(at + 128, 0, KEEP), __builtin_prefetch(at + 144, 0, KEEP)

/* n floats, a multiple of 2 * 8 * 32; form: 0 plain, 1 asking ahead, 2 asking ahead and not keeping, 3 one stream,
   4 eight streams, asking ahead. */
float read_all(const float *w, long n, int form) {
    float sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(2)
    for (int part = 0; part < 2; part++) {
        long first = n * part / 2, last = n * (part + 1) / 2;
        if (form == 0) READ(4, )
        if (form == 1) READ(4, AHEAD(3))
        if (form == 2) READ(4, AHEAD(0))
        if (form == 3) READ(1, )
        if (form == 4) READ(8, AHEAD(0))
    }
    return sum;
}
