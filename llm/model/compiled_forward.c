/* New tokens of rows through the whole model: a step of generation, or prompts.

   A step is bound by how fast the weights are read, and by whatever lies between the products; so
   all of it is here, and Python is asked once. Threads share out the outputs of each product, and
   the pairs of a token and a key head in attention; what they compute depends neither on their
   number nor on which tokens come together. Numbers are float32, and weights are read as they are
   kept.

   Shapes: N tokens, D hidden, H heads, K key heads, d head size, I intermediate. */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "row_functions.h"

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

/* What threads share. */
typedef struct {
    const Model *model;
    long count, threads, wanted;
    const long *tokens, *rows, *positions; /* (N,); a row is a place of the cache */
    const long *of;                        /* (wanted,): tokens whose logits are asked for */
    float *stream;                         /* (N, D) */
    float *found; /* (N, (H + 2 K) d): queries, keys, values; then what attention gives */
    float *gated; /* (N, I) */
    float *logits; /* (wanted, vocabulary) */
    float *own;    /* of each thread, `own_size` */
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

/* Where a thread's share of so many begins; of outputs, in whole panels but for the last one. */
static inline long share(long all, long number, long threads) {
    return all * number / threads;
}

static inline long share_of_outputs(long all, long number, long threads) {
    const long from = share((all + PANEL - 1) / PANEL, number, threads) * PANEL;
    return from < all ? from : all;
}

static inline long block_end(long first, long count) {
    return first + BLOCK < count ? first + BLOCK : count;
}

static void normalise_block(const Step *s, long first, long end, const float *weight, float *own) {
    const long hidden = s->model->hidden;
    for (long at = first; at < end; at++)
        normalise(s->stream + at * hidden, weight, hidden, s->model->eps,
                  own + (at - first) * hidden);
}

/* Queries, keys and values of some heads of all tokens; keys and values go into the cache. */
static void project(Step *s, const Layer *layer, long number, long thread, float *own) {
    const Model *m = s->model;
    const long d = m->head_size, both = m->heads + m->key_heads, width = (both + m->key_heads) * d;
    const long from = share(both + m->key_heads, thread, s->threads);
    const long to = share(both + m->key_heads, thread + 1, s->threads);
    for (long first = 0; first < s->count && from < to; first += BLOCK) {
        const long end = block_end(first, s->count);
        normalise_block(s, first, end, layer->into_attention, own);
        products(&layer->queries_keys_values, own, m->hidden, end - first, from * d, to * d,
                 s->found + first * width + from * d, width);
        for (long at = first; at < end; at++) {
            const long position = s->positions[at];
            const float *cos = m->cos + position * d, *sin = m->sin + position * d;
            const long pair = (number * m->places + s->rows[at]) * m->key_heads;
            for (long head = from; head < to; head++) {
                float *x = s->found + at * width + head * d;
                if (head >= both) {
                    const long place = (pair + head - both) * m->longest + position;
                    memcpy(m->values + place * d, x, d * sizeof *x);
                    continue;
                }
                if (layer->queries_keys) normalise(x, layer->queries_keys + head * d, d, m->eps, x);
                for (long i = 0; i < d / 2; i++) {
                    const float one = x[i], other = x[i + d / 2];
                    x[i] = one * cos[i] - other * sin[i];
                    x[i + d / 2] = other * cos[i + d / 2] + one * sin[i + d / 2];
                }
                if (head < m->heads) continue;
                const long place = (pair + head - m->heads) * m->longest + position;
                memcpy(m->keys + place * d, x, d * sizeof *x);
            }
        }
    }
}

/* Queries of tokens `at` to `end`, of one row, and one key head on what is in the cache up to each;
   results take their place. */
static void look(Step *s, long number, long at, long end, long head, float *own) {
    const Model *m = s->model;
    const long d = m->head_size, groups = m->heads / m->key_heads, apart = m->longest + 2 * LANES;
    const long width = (m->heads + 2 * m->key_heads) * d;
    const long pair = (number * m->places + s->rows[at]) * m->key_heads + head;
    Queries queries = {.number = 0, .most = 0};
    for (long token = at; token < end; token++)
        for (long group = 0; group < groups; group++) {
            const long looks = s->positions[token] + 1;
            queries.at[queries.number] = s->found + token * width + (head * groups + group) * d;
            queries.looks[queries.number++] = looks;
            queries.most = looks > queries.most ? looks : queries.most;
            if (queries.number < QUERIES && (token + 1 < end || group + 1 < groups)) continue;
            score(&queries, m->keys + pair * m->longest * d, d, own, apart);
            for (long q = 0; q < queries.number; q++)
                soften(own + q * apart, queries.looks[q], queries.most);
            average(&queries, m->values + pair * m->longest * d, d, own, apart);
            queries.number = queries.most = 0;
        }
}

/* Attention of a thread's share of tokens and key heads. Tokens of a row come together, as long as
   their queries are at most so many. */
static void attend(Step *s, long number, long thread, float *own) {
    const Model *m = s->model;
    const long groups = m->heads / m->key_heads, together = groups < QUERIES ? QUERIES / groups : 1;
    for (long at = 0, end, turn = 0; at < s->count; at = end) {
        for (end = at + 1; end < s->count && end - at < together; end++)
            if (s->rows[end] != s->rows[at]) break;
        for (long head = 0; head < m->key_heads; head++, turn++)
            if (turn % s->threads == thread) look(s, number, at, end, head, own);
    }
}

/* Some outputs of a product, added to the stream. What is read lies `apart`, token from token. */
static void add(Step *s, const Matrix *matrix, const float *read, long apart, long thread,
                float *own) {
    const long hidden = s->model->hidden;
    const long from = share_of_outputs(hidden, thread, s->threads);
    const long width = share_of_outputs(hidden, thread + 1, s->threads) - from;
    for (long first = 0; first < s->count && width; first += BLOCK) {
        const long end = block_end(first, s->count);
        products(matrix, read + first * apart, apart, end - first, from, from + width, own, width);
        for (long at = first; at < end; at++)
            for (long o = 0; o < width; o++)
                s->stream[at * hidden + from + o] += own[(at - first) * width + o];
    }
}

/* Some of the MLP's gated values, of all tokens. */
static void gate(Step *s, const Layer *layer, long thread, float *own) {
    const Model *m = s->model;
    const long from = share_of_outputs(m->intermediate, thread, s->threads);
    const long width = share_of_outputs(m->intermediate, thread + 1, s->threads) - from;
    const long behind = m->intermediate + from;
    float *gates = own + BLOCK * m->hidden, *values = gates + BLOCK * width;
    for (long first = 0; first < s->count && width; first += BLOCK) {
        const long end = block_end(first, s->count), count = end - first;
        const Matrix *matrix = &layer->gates_values;
        normalise_block(s, first, end, layer->into_mlp, own);
        products(matrix, own, m->hidden, count, from, from + width, gates, width);
        products(matrix, own, m->hidden, count, behind, behind + width, values, width);
        for (long at = 0; at < count; at++)
            for (long i = 0; i < width; i++) {
                const float x = gates[at * width + i];
                s->gated[(first + at) * m->intermediate + from + i] =
                    x / (1.0f + exponential(-x)) * values[at * width + i];
            }
    }
}

/* Some of the vocabulary's logits, of the tokens that they are asked of. */
static void predict(Step *s, long thread, float *own) {
    const Model *m = s->model;
    const long vocabulary = m->head.outputs;
    const long from = share_of_outputs(vocabulary, thread, s->threads);
    const long to = share_of_outputs(vocabulary, thread + 1, s->threads);
    for (long first = 0; first < s->wanted; first += BLOCK) {
        const long end = block_end(first, s->wanted);
        for (long at = first; at < end; at++)
            normalise(s->stream + s->of[at] * m->hidden, m->norm, m->hidden, m->eps,
                      own + (at - first) * m->hidden);
        products(&m->head, own, m->hidden, end - first, from, to,
                 s->logits + first * vocabulary + from, vocabulary);
    }
}

static void *work(void *argument) {
    const Worker *worker = argument;
    Step *s = worker->step;
    while (!atomic_load(&s->ready)) sched_yield();
    const Model *m = s->model;
    const long thread = worker->number, width = (m->heads + 2 * m->key_heads) * m->head_size;
    float *own = s->own + thread * s->own_size;
    for (long number = 0; number < m->layers; number++) {
        const Layer *layer = m->layer + number;
        project(s, layer, number, thread, own);
        meet(s);
        attend(s, number, thread, own);
        meet(s);
        add(s, &layer->out, s->found, width, thread, own);
        meet(s);
        gate(s, layer, thread, own);
        meet(s);
        add(s, &layer->down, s->gated, m->intermediate, thread, own);
        meet(s);
    }
    predict(s, thread, own);
    return NULL;
}

/* Floats that a thread needs for itself: a block's normalised stream and its gates and values, or
   the scores of a query. */
static long own_size(const Model *m) {
    const long block = BLOCK * (m->hidden + 2 * m->intermediate);
    const long scores = QUERIES * (m->longest + 2 * LANES);
    return block > scores ? block : scores;
}

/* Floats that so many tokens and threads need beside the logits. */
long scratch(const Model *m, long count, long threads) {
    const long width = (m->heads + 2 * m->key_heads) * m->head_size;
    return count * (m->hidden + width + m->intermediate) + threads * own_size(m);
}

/* Take in `count` tokens, each of a row and at a position of it; those of a row in one call follow
   each other. Logits (wanted, vocabulary) are those behind the tokens `of`. `memory` holds as much
   as `scratch` says. */
void forward(const Model *m, long count, const long *tokens, const long *rows,
             const long *positions, long wanted, const long *of, long threads, float *memory,
             float *logits) {
    const long width = (m->heads + 2 * m->key_heads) * m->head_size;
    Step s = {.model = m, .count = count, .threads = threads, .wanted = wanted, .tokens = tokens,
              .rows = rows, .positions = positions, .of = of, .stream = memory, .logits = logits,
              .own_size = own_size(m)};
    s.found = s.stream + count * m->hidden;
    s.gated = s.found + count * width;
    s.own = s.gated + count * m->intermediate;
    for (long at = 0; at < count; at++)
        memcpy(s.stream + at * m->hidden, m->embedding + tokens[at] * m->hidden,
               m->hidden * sizeof(float));
    Worker workers[threads];
    pthread_t others[threads];
    long running = 1; /* a machine may give fewer threads than were asked for */
    for (long thread = 0; thread < threads; thread++) workers[thread] = (Worker){&s, thread};
    while (running < threads && !pthread_create(&others[running], NULL, work, &workers[running]))
        running++;
    s.threads = running;
    atomic_store(&s.ready, 1);
    work(&workers[0]);
    for (long thread = 1; thread < running; thread++) pthread_join(others[thread], NULL);
}
