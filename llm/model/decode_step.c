/* A step of generation: one new token of each row through the whole model.

   It is bound by how fast the weights are read, and by whatever lies between the products; so all
   of it is here, and Python is asked once a step. Threads share out the outputs of each product,
   and the pairs of a row and a key head in attention; what they compute does not depend on their
   number. Numbers are float32, and weights, keys and values are read as they are kept.

   Shapes: N rows, D hidden, H heads, K key heads, d head size, I intermediate. */

#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "row_products.h"

typedef struct {
    const float *into_attention; /* (D,) */
    const float *queries_keys;   /* (H + K, d): norms, queries scaled; null where there are none */
    const float *into_mlp;       /* (D,) */
    Matrix queries_keys_values, out, gates_values, down;
} Layer;

typedef struct {
    long layers, hidden, heads, key_heads, head_size, intermediate, longest, places;
    double eps;
    const Layer *layer;
    const float *embedding; /* (vocabulary, D) */
    const float *norm;      /* (D,) */
    Matrix head;
    const float *cos, *sin; /* (longest, d), halves repeated */
    float *keys, *values;   /* (layers, places, K, longest, d) */
} Model;

/* What the threads of a step share. */
typedef struct {
    const Model *model;
    long rows, first, threads;
    const long *tokens, *positions;
    float *stream;      /* (N, D) */
    float *found;       /* (N, (H + 2 K) d): queries, keys, values; then what attention gives */
    float *gated;       /* (N, I) */
    float *logits;      /* (N, vocabulary) */
    float *own;         /* of each thread, `own_size` */
    long own_size;
    atomic_long arrived, turn, ready;
} Step;

typedef struct {
    Step *step;
    long number;
} Worker;

/* All threads wait for the last one. They look for a while before they let others run: the
   products between two meetings take microseconds. */
static void meet(Step *s) {
    if (s->threads == 1) return;
    const long turn = atomic_load(&s->turn);
    if (atomic_fetch_add(&s->arrived, 1) + 1 == s->threads) {
        atomic_store(&s->arrived, 0);
        atomic_store(&s->turn, turn + 1);
        return;
    }
    for (long looks = 0; atomic_load(&s->turn) == turn; looks++)
        if (looks > 20000) sched_yield();
}

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

/* x / rms(x) * weight, of `size` numbers, whole vectors. */
static void normalise(const float *x, const float *weight, long size, float eps, float *out) {
    lanes squares = {0};
    for (long i = 0; i < size; i += LANES) squares += from_f32(x + i) * from_f32(x + i);
    const float scale = 1.0f / sqrtf(total(squares) / size + eps);
    for (long i = 0; i < size; i++) out[i] = x[i] * scale * weight[i];
}

/* Where a thread's share of so many begins; in whole groups of outputs that are summed abreast,
   but for the last ones. */
static inline long share(long all, long number, long threads) {
    return all * number / threads;
}

static inline long share_of_outputs(long all, long number, long threads) {
    return number == threads ? all : share(all / ABREAST, number, threads) * ABREAST;
}

/* Queries, keys and values of some heads of all rows; keys and values go into the cache. */
static void project(Step *s, const Layer *layer, long at, long number, float *own) {
    const Model *m = s->model;
    const long d = m->head_size, both = m->heads + m->key_heads, width = (both + m->key_heads) * d;
    const long from = share(both + m->key_heads, number, s->threads);
    const long to = share(both + m->key_heads, number + 1, s->threads);
    for (long row = 0; row < s->rows; row++)
        normalise(s->stream + row * m->hidden, layer->into_attention, m->hidden, m->eps,
                  own + row * m->hidden);
    products(&layer->queries_keys_values, own, s->rows, from * d, to * d, s->found + from * d,
             width);
    for (long row = 0; row < s->rows; row++) {
        const long place = s->positions[row];
        const float *cos = m->cos + place * d, *sin = m->sin + place * d;
        for (long head = from; head < to; head++) {
            float *x = s->found + row * width + head * d;
            const long pair = ((at * m->places + s->first + row) * m->key_heads);
            if (head >= both) {
                memcpy(m->values + ((pair + head - both) * m->longest + place) * d, x, d * 4);
                continue;
            }
            if (layer->queries_keys) normalise(x, layer->queries_keys + head * d, d, m->eps, x);
            for (long i = 0; i < d / 2; i++) {
                const float one = x[i], other = x[i + d / 2];
                x[i] = one * cos[i] - other * sin[i];
                x[i + d / 2] = other * cos[i + d / 2] + one * sin[i + d / 2];
            }
            if (head >= m->heads)
                memcpy(m->keys + ((pair + head - m->heads) * m->longest + place) * d, x, d * 4);
        }
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

/* Means of values, weighted by `own`, in so many vectors from `i` on. */
#define MEANS(vectors)                                                                            \
    {                                                                                             \
        lanes means[vectors] = {0};                                                               \
        for (long place = 0; place < count; place++)                                              \
            _Pragma("GCC unroll 4") for (int k = 0; k < vectors; k++)                             \
                means[k] += own[place] * from_f32(values + place * d + i + k * LANES);            \
        for (int k = 0; k < vectors; k++) {                                                       \
            means[k] /= sum;                                                                      \
            memcpy(x + i + k * LANES, &means[k], sizeof means[k]);                                \
        }                                                                                         \
    }

/* Queries of some pairs of row and key head on what is in the cache; results take their place. */
static void attend(Step *s, long at, long number, float *own) {
    const Model *m = s->model;
    const long d = m->head_size, groups = m->heads / m->key_heads;
    const long width = (m->heads + 2 * m->key_heads) * d, pairs = s->rows * m->key_heads;
    const long last = share(pairs, number + 1, s->threads);
    for (long pair = share(pairs, number, s->threads); pair < last; pair++) {
        const long row = pair / m->key_heads, head = pair % m->key_heads;
        const long count = s->positions[row] + 1;
        const long from = ((at * m->places + s->first + row) * m->key_heads + head) * m->longest;
        const float *keys = m->keys + from * d, *values = m->values + from * d;
        for (long group = 0; group < groups; group++) {
            float *x = s->found + row * width + (head * groups + group) * d;
            for (long place = 0; place < count; place++) {
                lanes score = {0};
                for (long i = 0; i < d; i += LANES)
                    score += from_f32(x + i) * from_f32(keys + place * d + i);
                own[place] = total(score);
            }
            const float sum = soften(own, count);
            long i = 0;
            for (; i + 4 * LANES <= d; i += 4 * LANES) MEANS(4)
            for (; i < d; i += LANES) MEANS(1)
        }
    }
}

/* Some outputs of a product, added to the stream. The rows of what it reads lie `apart`. */
static void add(Step *s, const Matrix *matrix, const float *read, long apart, long number,
                float *own) {
    const long inputs = matrix->inputs, hidden = s->model->hidden;
    const long from = share_of_outputs(hidden, number, s->threads);
    const long to = share_of_outputs(hidden, number + 1, s->threads);
    if (apart != inputs) {
        for (long row = 0; row < s->rows; row++)
            memcpy(own + row * inputs, read + row * apart, inputs * 4);
        read = own;
    }
    float *sums = own + s->rows * inputs;
    products(matrix, read, s->rows, from, to, sums, to - from);
    for (long row = 0; row < s->rows; row++)
        for (long o = from; o < to; o++)
            s->stream[row * hidden + o] += sums[row * (to - from) + o - from];
}

/* Some of the MLP's gated values, of all rows. */
static void gate(Step *s, const Layer *layer, long number, float *own) {
    const Model *m = s->model;
    const long from = share_of_outputs(m->intermediate, number, s->threads);
    const long count = share_of_outputs(m->intermediate, number + 1, s->threads) - from;
    for (long row = 0; row < s->rows; row++)
        normalise(s->stream + row * m->hidden, layer->into_mlp, m->hidden, m->eps,
                  own + row * m->hidden);
    float *gates = own + s->rows * m->hidden, *values = gates + s->rows * count;
    products(&layer->gates_values, own, s->rows, from, from + count, gates, count);
    const long behind = m->intermediate + from;
    products(&layer->gates_values, own, s->rows, behind, behind + count, values, count);
    for (long row = 0; row < s->rows; row++)
        for (long i = 0; i < count; i++) {
            const float x = gates[row * count + i];
            s->gated[row * m->intermediate + from + i] =
                x / (1.0f + exponential(-x)) * values[row * count + i];
        }
}

static void *work(void *argument) {
    const Worker *worker = argument;
    Step *s = worker->step;
    while (!atomic_load(&s->ready)) sched_yield();
    const Model *m = s->model;
    const long number = worker->number, vocabulary = m->head.outputs;
    const long width = (m->heads + 2 * m->key_heads) * m->head_size;
    float *own = s->own + number * s->own_size;
    for (long at = 0; at < m->layers; at++) {
        const Layer *layer = m->layer + at;
        project(s, layer, at, number, own);
        meet(s);
        attend(s, at, number, own);
        meet(s);
        add(s, &layer->out, s->found, width, number, own);
        meet(s);
        gate(s, layer, number, own);
        meet(s);
        add(s, &layer->down, s->gated, m->intermediate, number, own);
        meet(s);
    }
    for (long row = 0; row < s->rows; row++)
        normalise(s->stream + row * m->hidden, m->norm, m->hidden, m->eps, own + row * m->hidden);
    const long from = share_of_outputs(vocabulary, number, s->threads);
    const long to = share_of_outputs(vocabulary, number + 1, s->threads);
    products(&m->head, own, s->rows, from, to, s->logits + from, vocabulary);
    return NULL;
}

/* Floats that a step of so many rows needs beside its results. */
static long own_size(const Model *m, long rows) {
    long attention = m->heads * m->head_size + m->hidden, mlp = m->hidden + 2 * m->intermediate;
    long size = rows * (attention > mlp ? attention : mlp);
    return size > m->longest + LANES ? size : m->longest + LANES;
}

long scratch(const Model *m, long rows, long threads) {
    const long width = (m->heads + 2 * m->key_heads) * m->head_size;
    return rows * (m->hidden + width + m->intermediate) + threads * own_size(m, rows);
}

/* One token of each of `rows` rows, whose places follow `first`, at a position of each: logits
   (N, vocabulary). `memory` holds as much as `scratch` says. */
void step(const Model *m, long rows, long first, const long *tokens, const long *positions,
          long threads, float *memory, float *logits) {
    const long width = (m->heads + 2 * m->key_heads) * m->head_size;
    Step s = {.model = m, .rows = rows, .first = first, .threads = threads, .tokens = tokens,
              .positions = positions, .stream = memory, .logits = logits,
              .own_size = own_size(m, rows)};
    s.found = s.stream + rows * m->hidden;
    s.gated = s.found + rows * width;
    s.own = s.gated + rows * m->intermediate;
    for (long row = 0; row < rows; row++)
        memcpy(s.stream + row * m->hidden, m->embedding + tokens[row] * m->hidden, m->hidden * 4);
    Worker workers[threads];
    pthread_t others[threads];
    long running = 1; /* a machine may give fewer threads than were asked for */
    for (long number = 0; number < threads; number++) workers[number] = (Worker){&s, number};
    while (running < threads && !pthread_create(&others[running], NULL, work, &workers[running]))
        running++;
    s.threads = running;
    atomic_store(&s.ready, 1);
    work(&workers[0]);
    for (long number = 1; number < running; number++) pthread_join(others[number], NULL);
}

/* Products alone, of prompts that are short. */
void few_rows(const Matrix *m, const float *rows, long count, float *out) {
    products(m, rows, count, 0, m->outputs, out, m->outputs);
}
