/* Products of a few rows and a matrix: out[row][o] = sum over i of weights[o][i] * rows[row][i].

   A matrix is read once, in order, four of its rows at a time, and each of them meets the rows
   while it is near. What a row gets does not depend on how many others there are, nor on where a
   thread's share of the matrix begins: each output is summed in as many lanes as a vector of the
   machine has, in order, and the lanes are added up in one order. Inputs are whole vectors. */

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

static inline float total(lanes one) {
    float sums[LANES];
    memcpy(sums, &one, sizeof sums);
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    return sums[0];
}

/* `together` rows from `row` on with `abreast` rows of the matrix from `o` on. */
#define SUMS(abreast, together, type, read)                                                       \
    {                                                                                             \
        lanes sums[abreast][together] = {0};                                                      \
        for (long i = 0; i < inputs; i += LANES) {                                                \
            lanes x[together];                                                                    \
            _Pragma("GCC unroll 4") for (int k = 0; k < together; k++)                            \
                x[k] = from_f32(rows + (row + k) * inputs + i);                                   \
            _Pragma("GCC unroll 4") for (int j = 0; j < abreast; j++) {                           \
                const lanes w = read(weights + (o + j) * inputs + i);                             \
                _Pragma("GCC unroll 4") for (int k = 0; k < together; k++) sums[j][k] += w * x[k]; \
            }                                                                                     \
        }                                                                                         \
        _Pragma("GCC unroll 4") for (int j = 0; j < abreast; j++)                                 \
            _Pragma("GCC unroll 4") for (int k = 0; k < together; k++) {                          \
                const float scale = m->scales ? m->scales[o + j] : 1.0f;                          \
                out[(row + k) * stride + o + j - from] = total(sums[j][k]) * scale;               \
            }                                                                                     \
    }

#define PRODUCTS(name, type, read)                                                                \
    static void name(const Matrix *m, const float *restrict rows, long count, long from, long to, \
                     float *restrict out, long stride) {                                          \
        const type *restrict weights = m->weights;                                                \
        const long inputs = m->inputs;                                                            \
        long o = from;                                                                            \
        for (; o + ABREAST <= to; o += ABREAST) {                                                 \
            long row = 0;                                                                         \
            for (; row + AT_ONCE <= count; row += AT_ONCE) SUMS(ABREAST, AT_ONCE, type, read)     \
            for (; row < count; row++) SUMS(ABREAST, 1, type, read)                               \
        }                                                                                         \
        for (; o < to; o++)                                                                       \
            for (long row = 0; row < count; row++) SUMS(1, 1, type, read)                         \
    }

PRODUCTS(products_f32, float, from_f32)
PRODUCTS(products_bf16, uint16_t, from_bf16)
PRODUCTS(products_int8, int8_t, from_int8)

/* Outputs `from` to `to` of all rows: out[row * stride + o - from]. */
static void products(const Matrix *m, const float *rows, long count, long from, long to,
                     float *out, long stride) {
    if (m->kind == F32) products_f32(m, rows, count, from, to, out, stride);
    else if (m->kind == BF16) products_bf16(m, rows, count, from, to, out, stride);
    else products_int8(m, rows, count, from, to, out, stride);
}
