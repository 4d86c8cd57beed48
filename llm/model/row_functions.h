/* What a model does to a row besides products: norms, and a query's attention. Rows are whole
   vectors. */

#include <math.h>

#include "row_products.h"

#define QUERIES (LANES / 4) /* that meet keys at once, four by four or two by four */

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

/* Queries that share a key head, up to QUERIES: where they lie, how many positions each looks at,
   and the most of these. What is said of them is for each of them the same, whoever comes with it.
*/
typedef struct {
    float *at[QUERIES];
    long looks[QUERIES], number, most;
} Queries;

/* Scores of queries with keys (most, d): those of query q from scores[q * apart] on. */
#define SCORES(queries)                                                                           \
    for (long place = 0; place < q->most; place += 4) {                                           \
        lanes sums[queries][4] = {0};                                                             \
        const float *key[4];                                                                      \
        for (long k = 0; k < 4; k++)                                                              \
            key[k] = keys + (place + k < q->most ? place + k : q->most - 1) * d;                  \
        for (long i = 0; i < d; i += LANES) {                                                     \
            lanes y[4];                                                                           \
            _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) y[k] = from_f32(key[k] + i);      \
            _Pragma("GCC unroll 4") for (int j = 0; j < queries; j++) {                           \
                const lanes x = from_f32(q->at[first + j] + i);                                   \
                _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) sums[j][k] += x * y[k];       \
            }                                                                                     \
        }                                                                                         \
        _Pragma("GCC unroll 4") for (int j = 0; j < queries; j++)                                 \
            totals(sums[j][0], sums[j][1], sums[j][2], sums[j][3],                                \
                   scores + (first + j) * apart + place);                                         \
    }

static void score(const Queries *q, const float *keys, long d, float *scores, long apart) {
    long first = 0;
    if (QUERIES > 2)
        for (; first + QUERIES <= q->number; first += QUERIES) SCORES(QUERIES)
    for (; first + 2 <= q->number; first += 2) SCORES(2)
    for (; first < q->number; first++) SCORES(1)
}

/* `count` scores to their shares, and up to `most` to none. There is room for another vector behind
   them. */
static void soften(float *scores, long count, long most) {
    float greatest[LANES];
    for (long lane = 0; lane < LANES; lane++) scores[count + lane] = -INFINITY;
    memcpy(greatest, scores, sizeof greatest);
    for (long at = LANES; at < count; at += LANES)
        for (long lane = 0; lane < LANES; lane++) {
            const float score = scores[at + lane];
            greatest[lane] = score > greatest[lane] ? score : greatest[lane];
        }
    float top = greatest[0];
    for (long lane = 1; lane < LANES; lane++) top = greatest[lane] > top ? greatest[lane] : top;
    for (long at = 0; at < count; at++) scores[at] = exponential(scores[at] - top);
    for (long lane = 0; lane < LANES; lane++) scores[count + lane] = 0.0f;
    for (long at = count + LANES; at < most; at++) scores[at] = 0.0f;
    lanes sum = {0};
    for (long at = 0; at < count; at += LANES) sum += from_f32(scores + at);
    const float scale = 1.0f / total(sum);
    for (long at = 0; at < count; at++) scores[at] *= scale;
}

/* The means of values (most, d) by shares, of queries from `first` on, in so many vectors from `i`
   on; they take the queries' place. */
#define MEANS(queries, vectors)                                                                   \
    {                                                                                             \
        lanes means[queries][vectors] = {0};                                                      \
        for (long place = 0; place < q->most; place++) {                                          \
            lanes y[vectors];                                                                     \
            _Pragma("GCC unroll 4") for (int k = 0; k < vectors; k++)                             \
                y[k] = from_f32(values + place * d + i + k * LANES);                              \
            _Pragma("GCC unroll 4") for (int j = 0; j < queries; j++) {                           \
                const float share = shares[(first + j) * apart + place];                          \
                _Pragma("GCC unroll 4") for (int k = 0; k < vectors; k++)                         \
                    means[j][k] += share * y[k];                                                  \
            }                                                                                     \
        }                                                                                         \
        _Pragma("GCC unroll 4") for (int j = 0; j < queries; j++)                                 \
            _Pragma("GCC unroll 4") for (int k = 0; k < vectors; k++)                             \
                memcpy(q->at[first + j] + i + k * LANES, &means[j][k], sizeof(lanes));            \
    }
#define WHOLE_MEANS(queries)                                                                      \
    {                                                                                             \
        long i = 0;                                                                               \
        for (; i + 4 * LANES <= d; i += 4 * LANES) MEANS(queries, 4)                              \
        for (; i < d; i += LANES) MEANS(queries, 1)                                               \
    }

static void average(const Queries *q, const float *values, long d, const float *shares,
                    long apart) {
    long first = 0;
    if (QUERIES > 2)
        for (; first + QUERIES <= q->number; first += QUERIES) WHOLE_MEANS(QUERIES)
    for (; first + 2 <= q->number; first += 2) WHOLE_MEANS(2)
    for (; first < q->number; first++) WHOLE_MEANS(1)
}
