/* What a model does to a row besides products: norms, and a query's attention. Rows are whole
   vectors. */

#include <math.h>

#include "row_products.h"

/* e to the x, of float32's precision; below -87 as at -87. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float whole = rintf(x * 1.44269504f);
    const float rest = x - whole * 0.693359375f + whole * 2.12194440e-4f; /* log 2 in two parts */
    float sum = 1.0f / 5040;
    sum = sum * rest + 1.0f / 720;
    sum = sum * rest + 1.0f / 120;
    sum = sum * rest + 1.0f / 24;
    sum = sum * rest + 1.0f / 6;
    sum = sum * rest + 0.5f;
    sum = sum * rest + 1.0f;
    sum = sum * rest + 1.0f;
    const int32_t bits = ((int32_t)whole + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

/* x / rms(x) * weight, of `size` numbers, whole vectors; `out` may be x. */
static void normalise(const float *x, const float *weight, long size, float eps, float *out) {
    lanes squares = {0};
    for (long i = 0; i < size; i += LANES) squares += from_f32(x + i) * from_f32(x + i);
    const float scale = 1.0f / sqrtf(total(squares) / size + eps);
    for (long i = 0; i < size; i++) out[i] = x[i] * scale * weight[i];
}

/* Scores of a query x with so many keys. */
static void score(const float *x, const float *keys, long count, long d, float *scores) {
    const lanes none = {0};
    for (long place = 0; place < count; place += 4) {
        lanes sums[4] = {none, none, none, none};
        if (place + 4 <= count)
            for (long i = 0; i < d; i += LANES)
                for (int k = 0; k < 4; k++)
                    sums[k] += from_f32(x + i) * from_f32(keys + (place + k) * d + i);
        else
            for (int k = 0; k < count - place; k++)
                for (long i = 0; i < d; i += LANES)
                    sums[k] += from_f32(x + i) * from_f32(keys + (place + k) * d + i);
        totals(sums[0], sums[1], sums[2], sums[3], scores + place);
    }
}

/* Scores to e to the power of how far they lie from the greatest; returns their sum. There is room
   for another vector behind them. */
static float soften(float *scores, long count) {
    float greatest[LANES];
    for (long lane = 0; lane < LANES; lane++) scores[count + lane] = -INFINITY;
    memcpy(greatest, scores, sizeof greatest);
    for (long at = LANES; at < count; at += LANES)
        for (long lane = 0; lane < LANES; lane++) {
            const float score = scores[at + lane];
            greatest[lane] = score > greatest[lane] ? score : greatest[lane];
        }
    float most = greatest[0];
    for (long lane = 1; lane < LANES; lane++) most = greatest[lane] > most ? greatest[lane] : most;
    for (long at = 0; at < count; at++) scores[at] = exponential(scores[at] - most);
    for (long lane = 0; lane < LANES; lane++) scores[count + lane] = 0.0f;
    lanes sum = {0};
    for (long at = 0; at < count; at += LANES) sum += from_f32(scores + at);
    return total(sum);
}

/* The mean of so many values, weighted by shares of which `sum` is the whole, in so many vectors from
   `i` on. */
#define MEANS(vectors)                                                                            \
    {                                                                                             \
        lanes means[vectors] = {0};                                                               \
        for (long place = 0; place < count; place++)                                              \
            _Pragma("GCC unroll 4") for (int k = 0; k < vectors; k++)                             \
                means[k] += shares[place] * from_f32(values + place * d + i + k * LANES);         \
        for (int k = 0; k < vectors; k++) {                                                       \
            means[k] /= sum;                                                                      \
            memcpy(out + i + k * LANES, &means[k], sizeof means[k]);                              \
        }                                                                                         \
    }

static void average(const float *shares, float sum, const float *values, long count, long d,
                    float *out) {
    long i = 0;
    for (; i + 4 * LANES <= d; i += 4 * LANES) MEANS(4)
    for (; i < d; i += LANES) MEANS(1)
}
