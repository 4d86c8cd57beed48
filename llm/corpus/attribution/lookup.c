/* Look-ups in a suffix array: how far a query goes on in a text, and between which suffixes a
   pattern stands. block.py calls it; what a file holds is in block_file.py.

   The text ends with bytes that no query has, so that a comparison ends before the text does. */

#include <stdint.h>

typedef struct {
    const uint8_t *text;
    const uint8_t *pointers;
    int64_t count;
    int64_t width; /* bytes of a pointer, the lowest first */
} Block;

static const uint8_t *suffix(const Block *block, int64_t rank) {
    const uint8_t *at = block->pointers + rank * block->width;
    uint64_t place = 0;
    for (int64_t byte = 0; byte < block->width; byte++) place |= (uint64_t)at[byte] << (8 * byte);
    return block->text + place;
}

/* How many bytes of the query, from the `known`th on, a suffix has too. */
static int64_t common(const uint8_t *suffix, const uint8_t *query, int64_t size, int64_t known) {
    while (known < size && suffix[known] == query[known]) known++;
    return known;
}

/* The longest beginning of query[start:] that stands in the text, for each start.

   What both ends of the range have in common with the query is not compared again (Manber and
   Myers 1993, "Suffix arrays: a new method for on-line string searches"). */
void longest(const Block *block, const uint8_t *query, int64_t length, const int64_t *starts,
             int64_t asked, int64_t *found) {
    for (int64_t place = 0; place < asked; place++) {
        const uint8_t *sought = query + starts[place];
        int64_t size = length - starts[place], low = -1, high = block->count;
        int64_t below = 0, above = 0;
        while (high - low > 1) {
            int64_t middle = low + (high - low) / 2;
            const uint8_t *at = suffix(block, middle);
            int64_t same = common(at, sought, size, below < above ? below : above);
            if (same == size || at[same] > sought[same]) {
                high = middle;
                above = same;
            } else {
                low = middle;
                below = same;
            }
        }
        found[place] = below > above ? below : above;
    }
}

/* The rank of the first suffix that begins with the pattern or comes behind it; with `behind`, of
   the first that comes behind all that begin with it. */
int64_t rank_of(const Block *block, const uint8_t *pattern, int64_t size, int64_t behind) {
    int64_t low = -1, high = block->count;
    int64_t below = 0, above = 0;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        const uint8_t *at = suffix(block, middle);
        int64_t same = common(at, pattern, size, below < above ? below : above);
        if (same == size ? !behind : at[same] > pattern[same]) {
            high = middle;
            above = same;
        } else {
            low = middle;
            below = same;
        }
    }
    return high;
}
