/* Products of rows and a matrix: out[row][o] = sum over i of weights[o][i] * rows[row][i].

   A matrix lies in panels of PANEL outputs, (panels, inputs, PANEL), the last one filled up with
   zeros: so it is read once and in order, and lanes are outputs, which nothing has to be added
   across. A panel meets all rows while it is near; so there should be few. What a row gets does not
   depend on how many others there are, nor on where a thread's share of the outputs begins: each
   output is summed over its even and over its odd inputs, in order. Inputs are even in number. */

#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define PANEL 32
#define BLOCK 96 /* rows that are multiplied at once at most */

/* Vectors of outputs, and rows, whose sums fit into the registers; vectors for a single row. */
#ifdef __AVX512F__
#define LANES 16
#define ABREAST 2
#define AT_ONCE 6
#define ABREAST_ALONE 2
#else
#define LANES 8
#define ABREAST 2
#define AT_ONCE 3
#define ABREAST_ALONE 4
#endif

typedef float lanes __attribute__((vector_size(4 * LANES)));

enum kind { F32, BF16, INT8 };

typedef struct {
    const void *weights; /* in panels */
    const float *scales; /* (outputs,) up to a whole panel: what a step of int8 is worth; or null */
    long outputs, inputs, kind;
} Matrix;

static inline lanes from_f32(const float *at) {
    lanes found;
    memcpy(&found, at, sizeof found);
    return found;
}

/* With names of the machine's own where compilers make poor code of the loops. */
#if defined(__AVX512F__)
static inline lanes from_bf16(const uint16_t *at) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)at));
    return (lanes)_mm512_slli_epi32(wide, 16);
}
static inline lanes from_int8(const int8_t *at) {
    return (lanes)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)at)));
}
#elif defined(__AVX2__)
static inline lanes from_bf16(const uint16_t *at) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at));
    return (lanes)_mm256_slli_epi32(wide, 16);
}
static inline lanes from_int8(const int8_t *at) {
    return (lanes)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at)));
}
#else
static inline lanes from_bf16(const uint16_t *at) {
    uint32_t bits[LANES];
    for (int lane = 0; lane < LANES; lane++) bits[lane] = (uint32_t)at[lane] << 16;
    lanes found;
    memcpy(&found, bits, sizeof found);
    return found;
}
static inline lanes from_int8(const int8_t *at) {
    float values[LANES];
    for (int lane = 0; lane < LANES; lane++) values[lane] = at[lane];
    return from_f32(values);
}
#endif

/* What a single row reads of two inputs so many bytes later: the machine fetches too little ahead
   of one stream. */
#define AHEAD 2048
#define FETCH                                                                                     \
    for (long at = 0; at < 2 * PANEL * (long)sizeof *panel; at += 64)                             \
        __builtin_prefetch((const char *)(panel + i * PANEL) + AHEAD + at);

/* `together` rows from `row` on with `abreast` vectors of a panel's outputs from `v` on. */
#define SUMS(abreast, together, read)                                                             \
    {                                                                                             \
        lanes even[together][abreast] = {0}, odd[together][abreast] = {0};                        \
        for (long i = 0; i < inputs; i += 2) {                                                    \
            if (abreast * LANES == PANEL && together == 1) FETCH                       \
            lanes one[abreast], two[abreast];                                                     \
            _Pragma("GCC unroll 4") for (int j = 0; j < abreast; j++) {                           \
                one[j] = read(panel + i * PANEL + (v + j) * LANES);                               \
                two[j] = read(panel + (i + 1) * PANEL + (v + j) * LANES);                         \
            }                                                                                     \
            _Pragma("GCC unroll 8") for (int k = 0; k < together; k++) {                          \
                const float *x = rows + (row + k) * apart + i;                                    \
                _Pragma("GCC unroll 4") for (int j = 0; j < abreast; j++) {                       \
                    even[k][j] += x[0] * one[j];                                                  \
                    odd[k][j] += x[1] * two[j];                                                   \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
        _Pragma("GCC unroll 8") for (int k = 0; k < together; k++)                                \
            _Pragma("GCC unroll 4") for (int j = 0; j < abreast; j++) {                           \
                lanes sum = even[k][j] + odd[k][j];                                               \
                if (scales) sum *= from_f32(scales + (v + j) * LANES);                            \
                memcpy(out + (row + k) * stride + (v + j) * LANES, &sum, sizeof sum);             \
            }                                                                                     \
    }

/* All vectors of a panel, and meanwhile the next panel's part for these rows is fetched. */
#define ROWS(together, read)                                                                      \
    for (; row + together <= count; row += together) {                                            \
        const long bytes = inputs * PANEL * (long)sizeof *panel;                                  \
        const char *next = (const char *)panel + bytes;                                           \
        for (long at = bytes * row / count; at < bytes * (row + together) / count; at += 64)      \
            __builtin_prefetch(next + at, 0, 2);                                                  \
        for (int v = 0; v < PANEL / LANES; v += ABREAST) SUMS(ABREAST, together, read)            \
    }

#define PANEL_PRODUCTS(name, type, read)                                                          \
    static void name(const type *panel, const float *scales, const float *rows, long apart,       \
                     long count, long inputs, float *out, long stride) {                          \
        long row = 0;                                                                             \
        if (count == 1) {                                                                         \
            for (int v = 0; v < PANEL / LANES; v += ABREAST_ALONE) SUMS(ABREAST_ALONE, 1, read)   \
            return;                                                                               \
        }                                                                                         \
        ROWS(AT_ONCE, read)                                                                       \
        if (AT_ONCE > 4) ROWS(4, read)                                                            \
        ROWS(2, read)                                                                             \
        ROWS(1, read)                                                                             \
    }

PANEL_PRODUCTS(panel_f32, float, from_f32)
PANEL_PRODUCTS(panel_bf16, uint16_t, from_bf16)
PANEL_PRODUCTS(panel_int8, int8_t, from_int8)

static void panel_products(const Matrix *m, long panel, const float *rows, long apart, long count,
                           float *out, long stride) {
    const long at = panel * PANEL * m->inputs;
    const float *scales = m->scales ? m->scales + panel * PANEL : NULL;
    if (m->kind == F32)
        panel_f32((const float *)m->weights + at, scales, rows, apart, count, m->inputs, out,
                  stride);
    else if (m->kind == BF16)
        panel_bf16((const uint16_t *)m->weights + at, scales, rows, apart, count, m->inputs, out,
                   stride);
    else
        panel_int8((const int8_t *)m->weights + at, scales, rows, apart, count, m->inputs, out,
                   stride);
}

/* Outputs `from` to `to` of up to BLOCK rows that lie `apart`: out[row * stride + o - from]. */
static void products(const Matrix *m, const float *rows, long apart, long count, long from, long to,
                     float *out, long stride) {
    float aside[BLOCK * PANEL]; /* a panel of which a part is asked for */
    for (long panel = from / PANEL; panel * PANEL < to; panel++) {
        const long first = panel * PANEL, last = first + PANEL;
        if (from <= first && last <= to) {
            panel_products(m, panel, rows, apart, count, out + first - from, stride);
            continue;
        }
        panel_products(m, panel, rows, apart, count, aside, PANEL);
        const long begin = from > first ? from : first, end = to < last ? to : last;
        for (long row = 0; row < count; row++)
            memcpy(out + row * stride + begin - from, aside + row * PANEL + begin - first,
                   (end - begin) * sizeof(float));
    }
}

/* The lanes of four vectors, added up. */
static inline void totals(lanes one, lanes two, lanes three, lanes four, float *out) {
#if defined(__AVX512F__)
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4((__m512)one, (__m512)two, 0x44),
                                    _mm512_shuffle_f32x4((__m512)one, (__m512)two, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4((__m512)three, (__m512)four, 0x44),
                                    _mm512_shuffle_f32x4((__m512)three, (__m512)four, 0xee));
    __m512 all = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88),
                               _mm512_shuffle_f32x4(ab, cd, 0xdd));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0x4e));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0xb1));
    const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, all)));
#elif defined(__AVX2__)
    const __m256 ab = _mm256_hadd_ps((__m256)one, (__m256)two);
    const __m256 cd = _mm256_hadd_ps((__m256)three, (__m256)four);
    const __m256 all = _mm256_hadd_ps(ab, cd);
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
#else
    const lanes each[4] = {one, two, three, four};
    for (int at = 0; at < 4; at++) {
        float sums[LANES];
        memcpy(sums, &each[at], sizeof sums);
        for (int half = LANES / 2; half; half /= 2)
            for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
        out[at] = sums[0];
    }
#endif
}

static inline float total(lanes one) {
    const lanes none = {0};
    float sums[4];
    totals(one, none, none, none, sums);
    return sums[0];
}
