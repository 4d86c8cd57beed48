/* The merges of byte-pair encoding, learned from words and how often each occurs.

   Of all pairs of neighbours the most frequent is merged, of equally frequent ones that of the
   smaller ids; then counts are brought up to date in the words that have it. That is how
   `tokenizers` does it, and the merges are the same. merging.py calls it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t pair; /* left << 32 | right */
    int64_t count;
} Slot;

typedef struct {
    uint64_t pair;
    int64_t word;
} Place;

typedef struct {
    uint64_t pair;
    int64_t count;
    int64_t *words; /* that have or had it */
    int64_t size;
} Candidate;

static Slot *slots;
static int64_t slot_size, slot_used;
static Place *places;
static int64_t place_size, place_used;
static Candidate *heap;
static int64_t heap_size, heap_used;

#define EMPTY UINT64_MAX

static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static int64_t *count_of(uint64_t pair) {
    if (2 * slot_used >= slot_size) {
        int64_t old_size = slot_size;
        Slot *old = slots;
        slot_size = old_size ? 2 * old_size : 1 << 16;
        slots = malloc((size_t)slot_size * sizeof(Slot));
        if (!slots) {
            slots = old;
            slot_size = old_size;
            return NULL;
        }
        for (int64_t i = 0; i < slot_size; i++) slots[i].pair = EMPTY;
        for (int64_t i = 0; i < old_size; i++) {
            if (old[i].pair == EMPTY) continue;
            int64_t at = (int64_t)(mixed(old[i].pair) & (uint64_t)(slot_size - 1));
            while (slots[at].pair != EMPTY) at = (at + 1) & (slot_size - 1);
            slots[at] = old[i];
        }
        free(old);
    }
    int64_t at = (int64_t)(mixed(pair) & (uint64_t)(slot_size - 1));
    while (slots[at].pair != EMPTY && slots[at].pair != pair) at = (at + 1) & (slot_size - 1);
    if (slots[at].pair == EMPTY) {
        slots[at].pair = pair;
        slots[at].count = 0;
        slot_used++;
    }
    return &slots[at].count;
}

/* 0 where there is no memory. */
static int change(uint32_t left, uint32_t right, int64_t by, int64_t word) {
    uint64_t pair = (uint64_t)left << 32 | right;
    int64_t *count = count_of(pair);
    if (!count) return 0;
    *count += by;
    if (by < 0) return 1;
    if (place_used == place_size) {
        int64_t size = place_size ? 2 * place_size : 1 << 16;
        Place *more = realloc(places, (size_t)size * sizeof(Place));
        if (!more) return 0;
        places = more;
        place_size = size;
    }
    places[place_used].pair = pair;
    places[place_used++].word = word;
    return 1;
}

static int by_pair(const void *one, const void *other) {
    const Place *a = one, *b = other;
    if (a->pair != b->pair) return a->pair < b->pair ? -1 : 1;
    return a->word < b->word ? -1 : a->word > b->word;
}

static int before(const Candidate *a, const Candidate *b) {
    return a->count != b->count ? a->count > b->count : a->pair < b->pair;
}

static void sink(int64_t at) {
    Candidate moved = heap[at];
    for (int64_t child; (child = 2 * at + 1) < heap_used; at = child) {
        if (child + 1 < heap_used && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &moved)) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void rise(int64_t at) {
    Candidate moved = heap[at];
    while (at && before(&moved, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moved;
}

/* Every pair that grew becomes a candidate, with its words. 0 where there is no memory. */
static int gather(void) {
    qsort(places, (size_t)place_used, sizeof(Place), by_pair);
    for (int64_t first = 0, last; first < place_used; first = last) {
        int64_t different = 0;
        for (last = first; last < place_used && places[last].pair == places[first].pair; last++)
            different += last == first || places[last].word != places[last - 1].word;
        int64_t *count = count_of(places[first].pair);
        if (!count) return 0;
        if (*count <= 0) continue;
        if (heap_used == heap_size) {
            int64_t size = heap_size ? 2 * heap_size : 1 << 16;
            Candidate *more = realloc(heap, (size_t)size * sizeof(Candidate));
            if (!more) return 0;
            heap = more;
            heap_size = size;
        }
        int64_t *words = malloc((size_t)different * sizeof(int64_t));
        if (!words) return 0;
        int64_t n = 0;
        for (int64_t i = first; i < last; i++)
            if (i == first || places[i].word != places[i - 1].word) words[n++] = places[i].word;
        heap[heap_used] = (Candidate){places[first].pair, *count, words, n};
        rise(heap_used++);
    }
    place_used = 0;
    return 1;
}

/* The token of these bytes, or -1: a chained table by their hash. */
static int64_t find_token(const int64_t *table, int64_t size, const int64_t *next,
                          const uint8_t *bytes, int64_t length, const uint8_t *arena,
                          const int64_t *starts, const int32_t *lengths, uint64_t *hash) {
    uint64_t h = 1469598103934665603ULL;
    for (int64_t i = 0; i < length; i++) h = (h ^ bytes[i]) * 1099511628211ULL;
    *hash = mixed(h) & (uint64_t)(size - 1);
    for (int64_t id = table[*hash]; id >= 0; id = next[id])
        if (lengths[id] == length && !memcmp(arena + starts[id], bytes, (size_t)length)) return id;
    return -1;
}

/* bytes, starts (words + 1): of the words; counts (words).
   ids (256): the token of each byte; first: the id of the first token that is made.
   merges (2 * room): pairs of ids, in order. Returns how many; -1 without memory, -2 without room. */
int64_t learn_merges(const uint8_t *bytes, const int64_t *starts, const int64_t *counts,
                     int64_t words, const int32_t *ids, int32_t first, int32_t vocabulary,
                     int64_t min_frequency, int32_t longest, uint32_t *merges, int64_t room) {
    int64_t made = -1, total = starts[words], chain = 1, arena_size = 0, arena_used = 256;
    while (chain < 2 * (int64_t)vocabulary) chain *= 2;
    uint32_t *symbols = malloc((size_t)(total + 1) * sizeof(uint32_t));
    int64_t *sizes = malloc((size_t)(words + 1) * sizeof(int64_t));
    int64_t *table = malloc((size_t)chain * sizeof(int64_t));
    int64_t *next = malloc((size_t)vocabulary * sizeof(int64_t));
    int64_t *begins = malloc((size_t)vocabulary * sizeof(int64_t));
    int32_t *lengths = calloc((size_t)vocabulary, sizeof(int32_t));
    uint8_t *arena = malloc((size_t)(arena_size = 1 << 16));
    slots = NULL, places = NULL, heap = NULL;
    slot_size = slot_used = place_size = place_used = heap_size = heap_used = 0;
    if (!symbols || !sizes || !table || !next || !begins || !lengths || !arena) goto done;
    for (int64_t i = 0; i < chain; i++) table[i] = -1;
    for (int byte = 0; byte < 256; byte++) {
        arena[byte] = (uint8_t)byte;
        begins[ids[byte]] = byte;
        lengths[ids[byte]] = 1;
    }
    for (int64_t word = 0; word < words; word++) {
        sizes[word] = starts[word + 1] - starts[word];
        for (int64_t i = starts[word]; i < starts[word + 1]; i++) {
            symbols[i] = (uint32_t)ids[bytes[i]];
            if (i > starts[word] && !change(symbols[i - 1], symbols[i], counts[word], word))
                goto done;
        }
    }
    if (!gather()) goto done;
    int32_t known = first;
    int64_t so_far = 0;
    while (known < vocabulary && heap_used) {
        int64_t *now = count_of(heap[0].pair);
        if (!now) goto done;
        if (heap[0].count != *now) {
            heap[0].count = *now;
            sink(0);
            continue;
        }
        if (heap[0].count < 1 || heap[0].count < min_frequency) break;
        Candidate best = heap[0];
        heap[0] = heap[--heap_used];
        if (heap_used) sink(0);
        uint32_t left = (uint32_t)(best.pair >> 32), right = (uint32_t)best.pair;
        int64_t length = lengths[left] + lengths[right];
        if (arena_used + length > arena_size) {
            uint8_t *more = realloc(arena, (size_t)(arena_size = 2 * arena_size + length));
            if (!more) {
                free(best.words);
                goto done;
            }
            arena = more;
        }
        memcpy(arena + arena_used, arena + begins[left], (size_t)lengths[left]);
        memcpy(arena + arena_used + lengths[left], arena + begins[right], (size_t)lengths[right]);
        uint64_t hash;
        int64_t token = find_token(table, chain, next, arena + arena_used, length, arena, begins,
                                   lengths, &hash);
        if (token < 0) {
            token = known++;
            begins[token] = arena_used;
            lengths[token] = (int32_t)length;
            next[token] = table[hash];
            table[hash] = token;
            arena_used += length;
        }
        if (so_far == room) {
            made = -2;
            free(best.words);
            goto done;
        }
        merges[2 * so_far] = left;
        merges[2 * so_far++ + 1] = right;
        for (int64_t w = 0; w < best.size; w++) {
            int64_t word = best.words[w], size = sizes[word], count = counts[word];
            uint32_t *s = symbols + starts[word];
            for (int64_t i = 0; i + 1 < size; i++) {
                if (s[i] != left || s[i + 1] != right) continue;
                int good = 1;
                if (i) {
                    good &= change(s[i - 1], left, -count, word);
                    if (lengths[s[i - 1]] + length < longest)
                        good &= change(s[i - 1], (uint32_t)token, count, word);
                }
                s[i] = (uint32_t)token;
                memmove(s + i + 1, s + i + 2, (size_t)(--size - i - 1) * sizeof(uint32_t));
                if (i + 1 < size) {
                    good &= change(right, s[i + 1], -count, word);
                    if (lengths[s[i + 1]] + length < longest)
                        good &= change((uint32_t)token, s[i + 1], count, word);
                }
                if (!good) {
                    free(best.words);
                    goto done;
                }
            }
            sizes[word] = size;
        }
        free(best.words);
        if (!gather()) goto done;
    }
    made = so_far;
done:
    for (int64_t i = 0; i < heap_used; i++) free(heap[i].words);
    free(heap), free(places), free(slots);
    free(symbols), free(sizes), free(table), free(next), free(begins), free(lengths), free(arena);
    return made;
}
