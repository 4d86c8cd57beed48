/* Products of a few rows and a matrix: out[row][o] = sum over i of weights[o][i] * rows[row][i],
   where there are 32 * n inputs.

   A matrix is read once, in order, and each of its rows meets all rows while it is near, four of
   them at a time. What a row gets does not depend on how many others there are: each is summed in
   two times so many lanes as a vector of the machine has, which are added up in one order. */

#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif

typedef float lanes __attribute__((vector_size(4 * LANES)));
static inline lanes from_f32(const float *at) {
    lanes found;
    memcpy(&found, at, sizeof found);
    return found;
}

/* Loops, since compilers make better vectors of them than of a conversion of vectors. */

static inline lanes from_bf16(const uint16_t *at) {
    uint32_t bits[LANES];
    for (int lane = 0; lane < LANES; lane++) bits[lane] = (uint32_t)at[lane] << 16;
    lanes found;
    memcpy(&found, bits, sizeof found);
    return found;
}

static inline lanes from_int8(const int8_t *at) {
    typedef int32_t ints __attribute__((vector_size(4 * LANES)));
    int32_t values[LANES];
    for (int lane = 0; lane < LANES; lane++) values[lane] = at[lane];
    ints read;
    memcpy(&read, values, sizeof read);
    return __builtin_convertvector(read, lanes);
}

static inline float total(lanes one, lanes other) {
    float sums[LANES];
    one += other;
    memcpy(sums, &one, sizeof sums);
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    return sums[0];
}

/* Sums of `together` rows, from `row` on, with one row of the matrix. */
#define SUMS(together, read)                                                                      \
    {                                                                                             \
        lanes one[together] = {0}, other[together] = {0};                                         \
        for (long i = 0; i < inputs; i += 2 * LANES) {                                                   \
            const lanes first = read(w + i), second = read(w + i + LANES);                           \
            _Pragma("GCC unroll 4") for (int k = 0; k < together; k++) {                          \
                const float *x = rows + (row + k) * inputs + i;                                   \
                one[k] += first * from_f32(x);                                                    \
                other[k] += second * from_f32(x + LANES);                                            \
            }                                                                                     \
        }                                                                                         \
        for (int k = 0; k < together; k++)                                                        \
            out[(row + k) * outputs + o] = total(one[k], other[k]) * scale;                       \
    }

#define PRODUCTS(name, type, read)                                                                \
    void name(const type *restrict weights, const float *restrict scales,                         \
              const float *restrict rows, float *restrict out, long count, long outputs,          \
              long inputs) {                                                                      \
        for (long o = 0; o < outputs; o++) {                                                      \
            const type *w = weights + o * inputs;                                                 \
            const float scale = scales ? scales[o] : 1.0f;                                        \
            long row = 0;                                                                         \
            for (; row + 4 <= count; row += 4) SUMS(4, read)                                      \
            for (; row < count; row++) SUMS(1, read)                                              \
        }                                                                                         \
    }

PRODUCTS(rows_f32, float, from_f32)
PRODUCTS(rows_bf16, uint16_t, from_bf16)
PRODUCTS(rows_int8, int8_t, from_int8)
