/* Signatures of texts, in one pass over their UTF-8: lower case, words, shingles, hashes, minima.

The definitions are those of llm/corpus/dedup/shingles.py, llm/corpus/words.py and
llm/corpus/dedup/minhash.py; what is known of characters comes from Python's own tables
(llm/corpus/dedup/characters.py), so that both ways agree whatever Unicode says next. A text that is
not in normal form C as it stands, or whose lower case hangs on more than one character, is left to
Python: it comes a second time, normalised.

Hashes: xxHash by Yann Collet, xxh32 and xxh64 with seed 0, as its specification has them. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A character: the code point of its lower case, and what that is. */
#define LOWER(entry) ((uint32_t)(entry) & 0x1fffff)
#define COMBINING(entry) ((uint32_t)((entry) >> 32)) /* canonical combining class */
enum {
    SPACED = 1 << 21,   /* letter or digit of a script with spaces */
    UNSPACED = 1 << 22, /* letter of a script without */
    INSIDE = 1 << 23,   /* continues a piece of such a script */
    MARK = 1 << 24,     /* continues a word */
    FORMAT = 1 << 25,   /* is seen by nobody, and left out of words */
    SPACE = 1 << 26,
    HARD = 1 << 27, /* may change by normalisation, or has no lower case of its own */
};
enum { MAX_MARKS = 30, LANES = 32 };
enum { DONE, LEFT_TO_PYTHON, PAGE_MISSING };

typedef struct {
    const uint8_t *data;     /* UTF-8 of all texts */
    const int64_t *offsets;  /* rows + 1 */
    const uint64_t *pages;   /* 256 characters each */
    const int32_t *page_of;  /* of each code point / 256; -1 where it is not there yet */
    int64_t rows;
    int64_t words;           /* a shingle */
    int64_t normalised;      /* whether the texts are normalised and in lower case */
    uint8_t *left;           /* out, (rows,): 1 where a text is left to Python */
    int64_t missing;         /* out: the page that is needed to go on */
} Texts;

typedef struct {
    uint8_t *joined; /* words with a space between */
    int64_t *starts, *ends;
    int64_t words;
    uint32_t *hashes, *slots;
    int64_t *places; /* of each distinct shingle: its first word */
    int64_t room;    /* slots */
} Scratch;

static uint32_t read32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, 4);
    return value;
}

static uint64_t read64(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, 8);
    return value;
}

static uint32_t turn32(uint32_t value, int by) { return value << by | value >> (32 - by); }

static uint64_t turn64(uint64_t value, int by) { return value << by | value >> (64 - by); }

static const uint32_t A1 = 0x9E3779B1u, A2 = 0x85EBCA77u, A3 = 0xC2B2AE3Du, A4 = 0x27D4EB2Fu,
                      A5 = 0x165667B1u;

static uint32_t xxh32(const uint8_t *at, int64_t length) {
    const uint8_t *end = at + length;
    uint32_t hash = A5;
    if (length >= 16) {
        uint32_t lane[4] = {A1 + A2, A2, 0, 0u - A1};
        for (; end - at >= 16; at += 16)
            for (int i = 0; i < 4; i++) lane[i] = turn32(lane[i] + read32(at + 4 * i) * A2, 13) * A1;
        hash = turn32(lane[0], 1) + turn32(lane[1], 7) + turn32(lane[2], 12) + turn32(lane[3], 18);
    }
    hash += (uint32_t)length;
    for (; end - at >= 4; at += 4) hash = turn32(hash + read32(at) * A3, 17) * A4;
    for (; at < end; at++) hash = turn32(hash + *at * A5, 11) * A1;
    hash = (hash ^ hash >> 15) * A2;
    hash = (hash ^ hash >> 13) * A3;
    return hash ^ hash >> 16;
}

static const uint64_t B1 = 0x9E3779B185EBCA87u, B2 = 0xC2B2AE3D27D4EB4Fu,
                      B3 = 0x165667B19E3779F9u, B4 = 0x85EBCA77C2B2AE63u, B5 = 0x27D4EB2F165667C5u;

static uint64_t round64(uint64_t lane, uint64_t value) { return turn64(lane + value * B2, 31) * B1; }

static uint64_t xxh64(const uint8_t *at, int64_t length) {
    const uint8_t *end = at + length;
    uint64_t hash = B5;
    if (length >= 32) {
        uint64_t lane[4] = {B1 + B2, B2, 0, 0u - B1};
        for (; end - at >= 32; at += 32)
            for (int i = 0; i < 4; i++) lane[i] = round64(lane[i], read64(at + 8 * i));
        hash = turn64(lane[0], 1) + turn64(lane[1], 7) + turn64(lane[2], 12) + turn64(lane[3], 18);
        for (int i = 0; i < 4; i++) hash = (hash ^ round64(0, lane[i])) * B1 + B4;
    }
    hash += (uint64_t)length;
    for (; end - at >= 8; at += 8) hash = turn64(hash ^ round64(0, read64(at)), 27) * B1 + B4;
    if (end - at >= 4) {
        hash = turn64(hash ^ read32(at) * B1, 23) * B2 + B3;
        at += 4;
    }
    for (; at < end; at++) hash = turn64(hash ^ *at * B5, 11) * B1;
    hash = (hash ^ hash >> 33) * B2;
    hash = (hash ^ hash >> 29) * B3;
    return hash ^ hash >> 32;
}

/* The code point that begins at `at`, and how many bytes it has; 0 bytes where it is none. */
static int decode(const uint8_t *at, const uint8_t *end, uint32_t *code) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    int size = *at < 0xc2 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;
    if (!size || end - at < size) return 0;
    uint32_t value = *at & (0xff >> (size + 1));
    for (int i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    if (value < least[size] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return 0;
    *code = value;
    return size;
}

static int encode(uint32_t code, uint8_t *to) {
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    int size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = size - 1; i > 0; i--, code >>= 6) to[i] = (uint8_t)(0x80 | (code & 0x3f));
    to[0] = (uint8_t)(code | (0xf00u >> size));
    return size;
}

/* Fill `scratch` with the words of a text. `collapsed` (or none): where the text goes with white
space collapsed; `*length` is then its bytes. */
static int read_words(Texts *texts, int64_t row, Scratch *scratch, uint8_t *collapsed,
                      int64_t *length) {
    const uint8_t *at = texts->data + texts->offsets[row], *end = texts->data + texts->offsets[row + 1];
    const uint64_t *ascii = texts->pages + 256 * (int64_t)texts->page_of[0];
    uint8_t *word = scratch->joined, *out = collapsed;
    enum { NONE, IN_WORD, IN_PIECE } state = NONE;
    uint32_t last_class = 0;
    int run = 0, gap = 0;
    int64_t found = 0;
    while (at < end) {
        uint64_t entry;
        uint8_t lower[4];
        int size = 1;
        if (*at < 0x80) {
            entry = ascii[*at++];
            lower[0] = (uint8_t)LOWER(entry);
            last_class = 0;
            run = 0;
        } else {
            uint32_t code = 0;
            int bytes = decode(at, end, &code);
            if (!bytes) return LEFT_TO_PYTHON;
            int32_t page = texts->page_of[code >> 8];
            if (page < 0) {
                texts->missing = code >> 8;
                return PAGE_MISSING;
            }
            entry = texts->pages[256 * (int64_t)page + (code & 0xff)];
            if (!texts->normalised) {
                /* UAX 15, section 9, the quick check; and section 13. */
                uint32_t class = COMBINING(entry);
                if (entry & HARD || (class && (class < last_class || ++run > MAX_MARKS)))
                    return LEFT_TO_PYTHON;
                if (!class) run = 0;
                last_class = class;
            }
            size = encode(LOWER(entry), lower);
            at += bytes;
        }
        if (out) {
            if (entry & SPACE) {
                gap = out > collapsed;
            } else {
                if (gap) *out++ = ' ';
                gap = 0;
                for (int i = 0; i < size; i++) *out++ = lower[i];
            }
        }
        if (entry & FORMAT) continue;
        int begins = 0;
        if (state == IN_WORD && entry & (SPACED | MARK)) {
        } else if (state == IN_PIECE && entry & INSIDE) {
        } else if (entry & UNSPACED) {
            begins = IN_PIECE;
        } else if (entry & SPACED) {
            begins = IN_WORD;
        } else {
            if (state != NONE) scratch->ends[found++] = word - scratch->joined;
            state = NONE;
            continue;
        }
        if (begins) {
            if (state != NONE) scratch->ends[found++] = word - scratch->joined;
            if (found) *word++ = ' ';
            scratch->starts[found] = word - scratch->joined;
            state = begins;
        }
        for (int i = 0; i < size; i++) *word++ = lower[i];
    }
    if (state != NONE) scratch->ends[found++] = word - scratch->joined;
    scratch->words = found;
    if (out) *length = out - collapsed;
    return DONE;
}

static void release(Scratch *scratch) {
    free(scratch->joined);
    free(scratch->starts);
    free(scratch->ends);
    free(scratch->hashes);
    free(scratch->places);
    free(scratch->slots);
}

/* Room for the longest text: of every word some letter and what ends it, of which a change of
script may be the one that takes no byte; a lower case of one byte more. Pages that no text reaches
are never touched. */
static int reserve(const Texts *texts, Scratch *scratch) {
    int64_t longest = 0;
    for (int64_t row = 0; row < texts->rows; row++) {
        int64_t bytes = texts->offsets[row + 1] - texts->offsets[row];
        if (bytes > longest) longest = bytes;
    }
    size_t words = (size_t)longest + 1;
    memset(scratch, 0, sizeof *scratch);
    scratch->joined = malloc(2 * words + 16);
    scratch->starts = malloc(words * sizeof *scratch->starts);
    scratch->ends = malloc(words * sizeof *scratch->ends);
    scratch->hashes = malloc(words * sizeof *scratch->hashes);
    scratch->places = malloc(words * sizeof *scratch->places);
    return scratch->joined && scratch->starts && scratch->ends && scratch->hashes &&
           scratch->places;
}

static int64_t shingles_of(const Scratch *scratch, int64_t words) {
    return scratch->words > words ? scratch->words - words + 1 : scratch->words > 0;
}

static const uint8_t *shingle(const Scratch *scratch, int64_t first, int64_t words,
                              int64_t *length) {
    int64_t last = first + words < scratch->words ? first + words : scratch->words;
    *length = scratch->ends[last - 1] - scratch->starts[first];
    return scratch->joined + scratch->starts[first];
}

/* Hashes of the distinct shingles, in `scratch->hashes`; how many, or -1 for want of memory. */
static int64_t distinct(Scratch *scratch, int64_t words) {
    int64_t count = shingles_of(scratch, words), room = 16, kept = 0;
    while (room < 2 * count) room *= 2;
    if (room > scratch->room) {
        free(scratch->slots);
        scratch->slots = malloc((size_t)room * sizeof *scratch->slots);
        scratch->room = scratch->slots ? room : 0;
        if (!scratch->slots) return -1;
    }
    memset(scratch->slots, 0, (size_t)room * sizeof *scratch->slots);
    for (int64_t first = 0; first < count; first++) {
        int64_t length, other_length;
        const uint8_t *bytes = shingle(scratch, first, words, &length);
        uint32_t hash = xxh32(bytes, length), slot;
        for (uint64_t place = hash * 0x9E3779B97F4A7C15u >> 20;; place++) {
            place &= (uint64_t)room - 1;
            slot = scratch->slots[place];
            if (!slot) {
                scratch->slots[place] = (uint32_t)(kept + 1);
                break;
            }
            if (scratch->hashes[slot - 1] != hash) continue;
            const uint8_t *other = shingle(scratch, scratch->places[slot - 1], words, &other_length);
            if (other_length == length && !memcmp(other, bytes, (size_t)length)) break;
        }
        if (slot) continue;
        scratch->hashes[kept] = hash;
        scratch->places[kept++] = first;
    }
    return kept;
}

/* Of LANES permutations each the smallest value; `hashes` are mixed once, as datasketch does. */
static void minima(const uint32_t *hashes, int64_t count, const uint32_t *a, const uint32_t *b,
                   uint32_t *least) {
    uint32_t low[LANES];
    for (int i = 0; i < LANES; i++) low[i] = UINT32_MAX;
    for (int64_t at = 0; at < count; at++) {
        uint32_t hash = hashes[at];
        for (int i = 0; i < LANES; i++) {
            uint32_t value = a[i] * hash + b[i];
            low[i] = value < low[i] ? value : low[i];
        }
    }
    memcpy(least, low, sizeof low);
}

static uint32_t mixed(uint32_t hash) {
    hash = (hash ^ hash >> 16) * 0x85EBCA6Bu;
    hash = (hash ^ hash >> 13) * 0xC2B2AE35u;
    return hash ^ hash >> 16;
}

/* Signs the texts from `row` on. Returns the row it came to: `rows` when all are done, an earlier
one where a page is missing; -1 for want of memory.

a, b: (num_perm,), a multiple of LANES. collapsed: room for twice the bytes of all texts, and
collapsed_ends (rows + 1,), whose first ones say where those of earlier rows end. Of a text that is
left to Python all results are empty. */
int64_t sign_texts(Texts *texts, int64_t row, const uint32_t *a, const uint32_t *b,
                   int64_t num_perm, uint8_t *collapsed, int64_t *collapsed_ends,
                   int64_t *shingles, uint32_t *signatures) {
    Scratch scratch;
    if (!reserve(texts, &scratch)) row = -1;
    while (row >= 0 && row < texts->rows) {
        int64_t length = 0, count = 0;
        int how = read_words(texts, row, &scratch, collapsed + collapsed_ends[row], &length);
        if (how == PAGE_MISSING) break;
        texts->left[row] = how == LEFT_TO_PYTHON;
        if (how == LEFT_TO_PYTHON) length = 0;
        else count = distinct(&scratch, texts->words);
        if (count < 0) {
            row = -1;
            break;
        }
        for (int64_t at = 0; at < count; at++) scratch.hashes[at] = mixed(scratch.hashes[at]);
        for (int64_t lane = 0; lane < num_perm; lane += LANES)
            minima(scratch.hashes, count, a + lane, b + lane, signatures + row * num_perm + lane);
        shingles[row] = count;
        collapsed_ends[row + 1] = collapsed_ends[row] + length;
        row++;
    }
    release(&scratch);
    return row;
}

/* xxh64 of each shingle of the texts from `row` on, repeated ones too; `ends` (rows + 1,) as above.
hashes: room for as many as there are bytes, and one a text. */
int64_t hash_texts(Texts *texts, int64_t row, uint64_t *hashes, int64_t *ends) {
    Scratch scratch;
    if (!reserve(texts, &scratch)) row = -1;
    while (row >= 0 && row < texts->rows) {
        int64_t count = 0, length;
        int how = read_words(texts, row, &scratch, NULL, NULL);
        if (how == PAGE_MISSING) break;
        texts->left[row] = how == LEFT_TO_PYTHON;
        if (how == DONE) count = shingles_of(&scratch, texts->words);
        for (int64_t first = 0; first < count; first++) {
            const uint8_t *bytes = shingle(&scratch, first, texts->words, &length);
            hashes[ends[row] + first] = xxh64(bytes, length);
        }
        ends[row + 1] = ends[row] + count;
        row++;
    }
    release(&scratch);
    return row;
}
