/* Products of rows and a matrix: out[row][o] = sum over i of weights[o][i] * rows[row][i].

   A matrix is read once, in order, four of its rows at a time, and each of them meets all rows
   while it is near; so there should be few. What a row gets does not depend on how many others
   there are, nor on where a thread's share of the matrix begins: each output is summed in as many
   lanes as a vector of the machine has, in order, and the lanes are added up in one order. Inputs
   are whole vectors. */

#include <stdint.h>
#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#ifdef __AVX512F__
#define LANES 16
#define AT_ONCE 4 /* rows that meet four rows of the matrix: as many sums as registers hold */
#else
#define LANES 8
#define AT_ONCE 2
#endif
#define ABREAST 4

typedef float lanes __attribute__((vector_size(4 * LANES)));

enum kind { F32, BF16, INT8 };

/* (outputs, inputs), in rows; what a step is worth for each output, where weights are int8. */
typedef struct {
    const void *weights;
    const float *scales;
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

/* The lanes of four vectors, added up: halves, then quarters, then neighbours. */
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

/* `together` rows from `row` on with `abreast` rows of the matrix, up to four, from `o` on. */
#define SUMS(abreast, together, read)                                                             \
    {                                                                                             \
        lanes sums[ABREAST][together] = {0};                                                      \
        for (long i = 0; i < inputs; i += LANES) {                                                \
            lanes x[together];                                                                    \
            _Pragma("GCC unroll 4") for (int k = 0; k < together; k++)                            \
                x[k] = from_f32(rows + (row + k) * apart + i);                                    \
            _Pragma("GCC unroll 4") for (int j = 0; j < abreast; j++) {                           \
                const lanes w = read(weights + (o + j) * inputs + i);                             \
                _Pragma("GCC unroll 4") for (int k = 0; k < together; k++) sums[j][k] += w * x[k]; \
            }                                                                                     \
        }                                                                                         \
        _Pragma("GCC unroll 4") for (int k = 0; k < together; k++) {                              \
            float found[ABREAST];                                                                 \
            totals(sums[0][k], sums[1][k], sums[2][k], sums[3][k], found);                        \
            for (int j = 0; j < abreast; j++)                                                     \
                out[(row + k) * stride + o + j - from] =                                          \
                    m->scales ? found[j] * m->scales[o + j] : found[j];                           \
        }                                                                                         \
    }

#define PRODUCTS(name, type, read)                                                                \
    static void name(const Matrix *m, const float *restrict rows, long apart, long count,         \
                     long from, long to, float *restrict out, long stride) {                      \
        const type *restrict weights = m->weights;                                                \
        const long inputs = m->inputs;                                                            \
        long o = from;                                                                            \
        for (; o + ABREAST <= to; o += ABREAST) {                                                 \
            const char *next = (const char *)(weights + (o + ABREAST) * inputs);                  \
            const long bytes = ABREAST * inputs * (long)sizeof *weights;                          \
            long row = 0;                                                                         \
            for (; row + AT_ONCE <= count; row += AT_ONCE) {                                      \
                for (long at = bytes * row / count; at < bytes * (row + AT_ONCE) / count; at += 64) \
                    __builtin_prefetch(next + at);                                                \
                SUMS(ABREAST, AT_ONCE, read)                                                      \
            }                                                                                     \
            for (; row < count; row++) SUMS(ABREAST, 1, read)                               \
        }                                                                                         \
        for (; o < to; o++)                                                                       \
            for (long row = 0; row < count; row++) SUMS(1, 1, read)                         \
    }

PRODUCTS(products_f32, float, from_f32)
PRODUCTS(products_bf16, uint16_t, from_bf16)
PRODUCTS(products_int8, int8_t, from_int8)

/* Outputs `from` to `to` of rows that lie `apart`: out[row * stride + o - from]. */
static void products(const Matrix *m, const float *rows, long apart, long count, long from, long to,
                     float *out, long stride) {
    if (m->kind == F32) products_f32(m, rows, apart, count, from, to, out, stride);
    else if (m->kind == BF16) products_bf16(m, rows, apart, count, from, to, out, stride);
    else products_int8(m, rows, apart, count, from, to, out, stride);
}
