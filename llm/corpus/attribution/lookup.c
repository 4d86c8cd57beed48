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

/* A search in progress: the query's place is between the suffixes of rank `low` and `high`, with
   which it has `below` and `above` bytes in common. */
typedef struct {
    const uint8_t *sought;
    int64_t size, low, high, below, above;
    const uint8_t *at; /* the suffix in the middle */
} Search;

/* Searches that go on side by side: each waits for memory, and so they wait together. */
enum { TOGETHER = 16 };

static int open(const Search *search) { return search->high - search->low > 1; }

static int64_t middle(const Search *search) {
    return search->low + (search->high - search->low) / 2;
}

/* What both ends of the range have in common with the query is not compared again (Manber and
   Myers 1993, "Suffix arrays: a new method for on-line string searches"). */
static int64_t known(const Search *search) {
    return search->below < search->above ? search->below : search->above;
}

/* Halve the range of each search that is open; false where none was. What is read is asked for in
   a pass before. */
static int halve(const Block *block, Search *searches, int64_t count) {
    int halved = 0;
    for (Search *one = searches; one < searches + count; one++)
        if (open(one)) __builtin_prefetch(block->pointers + middle(one) * block->width);
    for (Search *one = searches; one < searches + count; one++) {
        if (!open(one)) continue;
        one->at = suffix(block, middle(one));
        __builtin_prefetch(one->at + known(one));
    }
    for (Search *one = searches; one < searches + count; one++) {
        if (!open(one)) continue;
        halved = 1;
        int64_t same = common(one->at, one->sought, one->size, known(one));
        if (same == one->size || one->at[same] > one->sought[same]) {
            one->high = middle(one);
            one->above = same;
        } else {
            one->low = middle(one);
            one->below = same;
        }
    }
    return halved;
}

/* The longest beginning of query[start:] that stands in the text, for each start. */
void longest(const Block *block, const uint8_t *query, int64_t length, const int64_t *starts,
             int64_t asked, int64_t *found) {
    Search searches[TOGETHER];
    for (int64_t first = 0; first < asked; first += TOGETHER) {
        int64_t count = asked - first < TOGETHER ? asked - first : TOGETHER;
        for (int64_t place = 0; place < count; place++)
            searches[place] = (Search){.sought = query + starts[first + place],
                                       .size = length - starts[first + place],
                                       .low = -1,
                                       .high = block->count};
        while (halve(block, searches, count)) continue;
        for (int64_t place = 0; place < count; place++) {
            const Search *one = searches + place;
            found[first + place] = one->below > one->above ? one->below : one->above;
        }
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
