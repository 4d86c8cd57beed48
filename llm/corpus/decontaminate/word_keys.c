/* Keys of words, marked characters and seeds of many texts at once: what word_keys.py and search.py
   define, number for number, each in one pass over the code units of texts. */

#include <stdint.h>

static const uint64_t BASE = 0x9E3779B97F4A7C15u, FACTOR = 0xD6E8FEB86659FD93u;

enum { SHORT = 64, AHEAD = 64 };

static uint64_t finished(uint64_t key) {
    key ^= key >> 32;
    key *= FACTOR;
    return key ^ (key >> 32);
}

/* Keys of words, and where they begin. `values` has one number a code unit: 0 of those outside of
   words, `skipped` of those that no word is cut at and none has. `keys` and `starts` have room for
   (size + 1) / 2 words; of a word longer than `longest` the first so many count. Returns how many. */
int64_t keys_of_units(const uint16_t *codes, int64_t size, const uint64_t *values, uint64_t skipped,
                      int64_t longest, uint64_t *keys, int64_t *starts) {
    uint64_t powers[SHORT];
    powers[0] = 1;
    for (int n = 1; n < SHORT; n++) powers[n] = powers[n - 1] * BASE;
    int64_t words = 0, at = 0;
    while (at < size) {
        uint64_t value = values[codes[at]];
        if (!value || value == skipped) {
            at++;
            continue;
        }
        uint64_t key = 0, power = 0;
        int64_t start = at, length = 0;
        do {
            if (value == skipped) continue;
            power = length < SHORT ? powers[length] : power * BASE;
            if (length++ < longest) key += value * power;
        } while (++at < size && (value = values[codes[at]]));
        keys[words] = finished(key);
        starts[words++] = start;
    }
    return words;
}

/* Where a code unit's kind is not 0; `places` has room for `size`. Returns how many. */
int64_t marked_units(const uint16_t *codes, int64_t size, const uint8_t *kinds, int64_t *places) {
    int64_t count = 0;
    for (int64_t at = 0; at < size; at++) {
        places[count] = at;
        count += kinds[codes[at]] != 0;
    }
    return count;
}

/* Runs of `size` words that are seeds: where they begin and their keys; `places` and `found` have
   room for `words - size + 1`. A seed has its bit set in `bits`, at its key's highest bits; of those
   that have, `sorted` decides, from `first` of the key's highest bits on: the place in `sorted` of
   the first key that begins with them or with more. Returns how many. */
int64_t seeds(const uint64_t *keys, int64_t words, int64_t size, const uint8_t *bits, int64_t shift,
              const uint64_t *sorted, int64_t known, const int32_t *first, int64_t first_shift,
              int64_t *places, uint64_t *found) {
    int64_t count = 0;
    uint64_t near[AHEAD];
    for (int64_t begin = 0; begin + size <= words; begin += AHEAD) {
        int64_t here = words - size + 1 - begin < AHEAD ? words - size + 1 - begin : AHEAD;
        for (int64_t at = 0; at < here; at++) {
            const uint64_t *run = keys + begin + at;
            uint64_t key = run[0];
            for (int64_t next = 1; next < size; next++) key = key * FACTOR + run[next];
            near[at] = key ^ (key >> 29);
            __builtin_prefetch(bits + (near[at] >> shift >> 3));
        }
        for (int64_t at = 0; at < here; at++) {
            uint64_t key = near[at], bit = key >> shift;
            if (!(bits[bit >> 3] >> (bit & 7) & 1)) continue;
            int64_t place = first[key >> first_shift];
            while (place < known && sorted[place] < key) place++;
            if (place == known || sorted[place] != key) continue;
            places[count] = begin + at;
            found[count++] = key;
        }
    }
    return count;
}
