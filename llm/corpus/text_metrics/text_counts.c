/* What can be counted in texts, for llm.corpus.text_metrics: words, lines, paragraphs, stop words and
   repeated n-grams. The definitions are those of segmentation.py, heuristics.py and repetition.py;
   every count is exact (nothing is taken for equal because its hash is), so the hash's key, which
   is drawn anew by each process, changes nothing but who can make it slow. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SPACE = 1, LETTER = 2, UNSPACED = 4, INSIDE = 8, TAIL = 16, TERMINAL = 32, EDGE = 64, ALNUM = 128 };

enum {
    WORDS, WORD_CHARS, LONGEST_WORD, HASHES, ELLIPSES, ALPHABETIC, STOP_WORDS, CHARS, ALNUMS,
    LINES, BULLETS, ELLIPSIS_ENDS, TERMINALS, SHORT, LONGEST_LINE, NEWLINES, PARAGRAPHS,
    LINE_CHARS, SAME_LINES, SAME_LINE_CHARS, PARAGRAPH_CHARS, SAME_PARAGRAPHS,
    SAME_PARAGRAPH_CHARS, GRAMS, AT_SIGNS = GRAMS + 9, DIGITS, COUNTS
};

#define SHORT_LINE 30
#define MOST_CODES 0x110000
#define LONGEST_WORD_LOOKED_UP 248 /* bytes; no stop word has a third of it */

typedef uint8_t byte;

/* Of a text: no text of an Arrow array has 2 GiB, so 32 bits suffice. */
typedef int32_t place;

typedef struct {
    place start, end, chars;
} Piece;

typedef struct {
    const byte *classes;    /* of every code point */
    const uint32_t *folded; /* of the first `foldable` code points, their lower case */
    uint32_t foldable;
    uint64_t key;
    /* Stop words one after the other; list i is words[list[i]] to words[list[i + 1]]. */
    const byte *stop_bytes;
    const int64_t *stop_ends; /* one more than there are words */
    const int64_t *list;
    const byte *inside_words; /* of each list: its words are looked for inside of words too */
    long lists;
} Setting;

typedef struct {
    Piece *words, *lines, *paragraphs, *vocabulary;
    place *ids;              /* of each word */
    place *times;            /* that a word of the vocabulary occurs */
    place *gram;             /* of each word, the number of the n-gram that it begins, or -1 */
    place *ends;             /* characters of words before each, and of all */
    place *starts, *number;  /* of an n-gram's occurrences */
    place *group_times, *group_first;
    uint64_t *keys;          /* a hash table: what lies in a slot, */
    place *slots;            /* and its number; -1 = nothing */
    int64_t *stop_slots, *stop_seen, stop_size, stamp;
} Memory;

static inline uint64_t mixed(uint64_t a, uint64_t b) {
    const __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_of(const byte *text, int64_t size, uint64_t key) {
    uint64_t hash = key ^ (uint64_t)size * 0x9E3779B97F4A7C15u;
    while (size >= 8) {
        uint64_t eight;
        memcpy(&eight, text, 8);
        hash = mixed(hash ^ eight, 0xD6E8FEB86659FD93u ^ key);
        text += 8;
        size -= 8;
    }
    uint64_t rest = 0;
    memcpy(&rest, text, (size_t)size);
    hash = mixed(hash ^ rest, 0xA0761D6478BD642Fu ^ key);
    return hash ^ hash >> 32;
}

/* The code point at `at`, and where the next one begins. Never reads behind `end`. */
static inline uint32_t code_at(const byte *text, int64_t at, int64_t end, int64_t *next) {
    const uint32_t first = text[at];
    if (first < 0x80) {
        *next = at + 1;
        return first;
    }
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (at + more >= end) {
        *next = end;
        return 0xFFFD;
    }
    uint32_t code = first & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) code = code << 6 | (text[at + i] & 0x3F);
    *next = at + more + 1;
    return code < MOST_CODES ? code : 0xFFFD;
}

static inline int64_t start_of_last(const byte *text, int64_t start, int64_t end) {
    int64_t at = end - 1;
    while (at > start && (text[at] & 0xC0) == 0x80) at--;
    return at;
}

static inline int starts(const byte *text, int64_t size, const char *with) {
    const int64_t wanted = (int64_t)strlen(with);
    return size >= wanted && !memcmp(text, with, (size_t)wanted);
}

static int begins_with_bullet(const byte *text, int64_t size) {
    static const char *const marks[] = {"•", "‣", "▪", "■", "●", "○", "◦", "▶", "►", "·",
                                        "- ", "* ", "– ", "— ", "-\t", "*\t"};
    const byte first = text[0];
    if (first < 0x80 && first != '-' && first != '*') return 0;
    for (unsigned i = 0; i < sizeof marks / sizeof *marks; i++)
        if (starts(text, size, marks[i])) return 1;
    return 0;
}

static inline int64_t table_size(int64_t entries) {
    int64_t size = 16;
    while (size < entries * 2) size *= 2;
    return size;
}

/* The number of a piece among those in the table; a new one gets the number `known`. */
static inline place find(const byte *text, Piece piece, const Piece *all, place known,
                         place *slots, uint64_t *keys, int64_t mask, uint64_t key) {
    const int64_t size = piece.end - piece.start;
    const uint64_t hash = hash_of(text + piece.start, size, key);
    int64_t slot = (int64_t)(hash & (uint64_t)mask);
    while (slots[slot] >= 0) {
        if (keys[slot] == hash) {
            const Piece other = all[slots[slot]];
            if (other.end - other.start == size &&
                !memcmp(text + other.start, text + piece.start, (size_t)size))
                return slots[slot];
        }
        slot = (slot + 1) & mask;
    }
    slots[slot] = known;
    keys[slot] = hash;
    return known;
}

static void repeated(const byte *text, const Piece *pieces, place number, Memory *m, uint64_t key,
                     int64_t *counts) {
    const int64_t size = table_size(number);
    memset(m->slots, 0xFF, (size_t)size * sizeof *m->slots);
    int64_t same = 0, same_chars = 0, chars = 0;
    for (place i = 0; i < number; i++) {
        chars += pieces[i].chars;
        if (number > 1 &&
            find(text, pieces[i], pieces, i, m->slots, m->keys, size - 1, key) != i) {
            same++;
            same_chars += pieces[i].chars;
        }
    }
    counts[0] = chars;
    counts[1] = same;
    counts[2] = same_chars;
}

/* Characters of the words in the n-grams at `starts` (ascending), each word once. */
static int64_t covered(const place *starts, place number, const place *ends, int n) {
    int64_t sum = 0;
    place until = 0;
    for (place i = 0; i < number; i++) {
        const place from = starts[i] > until ? starts[i] : until;
        until = starts[i] + n;
        sum += ends[until] - ends[from];
    }
    return sum;
}

static void count_grams(Memory *m, place words, uint64_t key, int64_t *counts) {
    for (place i = 0; i < words; i++) m->gram[i] = m->times[m->ids[i]] > 1 ? m->ids[i] : -1;
    for (int n = 2; n <= 10; n++) {
        place number = 0;
        /* An n-gram can only repeat where both (n-1)-grams inside it do. */
        for (place i = 0; i + n <= words; i++)
            if (m->gram[i] >= 0 && m->gram[i + 1] >= 0) m->starts[number++] = i;
        if (number < 2) return;
        const int64_t size = table_size(number), mask = size - 1;
        memset(m->slots, 0xFF, (size_t)size * sizeof *m->slots);
        place groups = 0, most = 0;
        for (place i = 0; i < number; i++) {
            const place at = m->starts[i];
            /* Both are below the number of words, so the product is exact in 64 bits. */
            const uint64_t pair = (uint64_t)m->gram[at] * (uint64_t)words + (uint64_t)m->ids[at + n - 1];
            int64_t slot = (int64_t)(mixed(pair ^ key, 0x9E3779B97F4A7C15u) &
                                     (uint64_t)mask);
            while (m->slots[slot] >= 0 && m->keys[slot] != pair) slot = (slot + 1) & mask;
            if (m->slots[slot] < 0) {
                m->slots[slot] = groups;
                m->keys[slot] = pair;
                m->group_first[groups] = at;
                m->group_times[groups++] = 0;
            }
            m->number[i] = m->slots[slot];
            if (++m->group_times[m->number[i]] > most) most = m->group_times[m->number[i]];
        }
        if (most < 2) return;
        place top = -1, longest = -1;
        if (n <= 4)
            for (place g = 0; g < groups; g++) {
                const place chars = m->ends[m->group_first[g] + n] - m->ends[m->group_first[g]];
                if (m->group_times[g] == most && chars > longest) {
                    longest = chars;
                    top = g;
                }
            }
        /* Whose next words are looked at, and what is covered: in place, as the one is no more
           than the other. */
        for (place i = 0; i < words; i++) m->gram[i] = -1;
        place covering = 0;
        for (place i = 0; i < number; i++) {
            const place at = m->starts[i], group = m->number[i];
            if (m->group_times[group] > 1) m->gram[at] = group;
            if (n <= 4 ? group == top : m->group_times[group] > 1) m->starts[covering++] = at;
        }
        counts[n - 2] = covered(m->starts, covering, m->ends, n);
    }
}

/* A word in lower case without the marks around it; its size, 0 if too long to be a stop word. */
static int64_t bare(const Setting *s, const byte *text, Piece piece, byte *out) {
    int64_t start = piece.start, end = piece.end, next;
    while (start < end && s->classes[code_at(text, start, end, &next)] & EDGE) start = next;
    while (start < end) {
        const int64_t last = start_of_last(text, start, end);
        if (!(s->classes[code_at(text, last, end, &next)] & EDGE)) break;
        end = last;
    }
    if (end - start > LONGEST_WORD_LOOKED_UP) return 0;
    int64_t size = 0;
    while (start < end) {
        uint32_t code = code_at(text, start, end, &start);
        if (code < s->foldable) code = s->folded[code];
        if (code < 0x80) {
            out[size++] = (byte)code;
        } else if (code < 0x800) {
            out[size++] = (byte)(0xC0 | code >> 6);
            out[size++] = (byte)(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            out[size++] = (byte)(0xE0 | code >> 12);
            out[size++] = (byte)(0x80 | (code >> 6 & 0x3F));
            out[size++] = (byte)(0x80 | (code & 0x3F));
        } else {
            out[size++] = (byte)(0xF0 | code >> 18);
            out[size++] = (byte)(0x80 | (code >> 12 & 0x3F));
            out[size++] = (byte)(0x80 | (code >> 6 & 0x3F));
            out[size++] = (byte)(0x80 | (code & 0x3F));
        }
        if (size > LONGEST_WORD_LOOKED_UP) return 0;
    }
    return size;
}

static inline uint64_t stop_hash(const Setting *s, const byte *word, int64_t size, int64_t list) {
    return hash_of(word, size, s->key + (uint64_t)list * 0x9E3779B97F4A7C15u);
}

static int contains(const byte *text, int64_t size, const byte *word, int64_t wanted) {
    const byte *at = text, *const last = text + size - wanted;
    while (wanted && at <= last) {
        at = memchr(at, word[0], (size_t)(last - at) + 1);
        if (!at) return 0;
        if (!memcmp(at, word, (size_t)wanted)) return 1;
        at++;
    }
    return 0;
}

static int64_t stop_words(const Setting *s, Memory *m, const byte *text, int64_t size,
                          place vocabulary, int64_t list) {
    int64_t found = 0;
    if (s->inside_words[list]) {
        for (int64_t w = s->list[list]; w < s->list[list + 1]; w++)
            found += contains(text, size, s->stop_bytes + s->stop_ends[w],
                              s->stop_ends[w + 1] - s->stop_ends[w]);
        return found;
    }
    m->stamp++;
    byte word[LONGEST_WORD_LOOKED_UP + 4];
    for (place v = 0; v < vocabulary; v++) {
        const int64_t letters = bare(s, text, m->vocabulary[v], word);
        if (!letters) continue;
        int64_t slot = (int64_t)(stop_hash(s, word, letters, list) & (uint64_t)(m->stop_size - 1));
        for (; m->stop_slots[slot] >= 0; slot = (slot + 1) & (m->stop_size - 1)) {
            const int64_t w = m->stop_slots[slot];
            if (w < s->list[list] || w >= s->list[list + 1]) continue;
            if (s->stop_ends[w + 1] - s->stop_ends[w] != letters) continue;
            if (memcmp(s->stop_bytes + s->stop_ends[w], word, (size_t)letters)) continue;
            if (m->stop_seen[w] != m->stamp) found++;
            m->stop_seen[w] = m->stamp;
            break;
        }
    }
    return found;
}

static inline void add(Piece *pieces, place *number, int64_t start, int64_t end, int64_t chars) {
    pieces[*number].start = (place)start;
    pieces[*number].end = (place)end;
    pieces[(*number)++].chars = (place)chars;
}

static void count_text(const Setting *s, Memory *m, const byte *text, int64_t end, int64_t list,
                       int64_t *counts) {
    memset(counts, 0, COUNTS * sizeof *counts);
    place words = 0, lines = 0, paragraphs = 0;
    int64_t chars = 0, at = 0;
    int64_t line_start = -1, line_chars = 0, paragraph_start = -1, paragraph_chars = 0;
    int64_t last_end = 0, last_chars = 0;
    int64_t alnums = 0, word_chars = 0, with_letter = 0, dots = 0, longest_word = 0;
    while (at < end) {
        /* White space. */
        int64_t breaks = 0, next;
        while (at < end) {
            const uint32_t code = code_at(text, at, end, &next);
            if (!(s->classes[code] & SPACE)) break;
            breaks += code == '\n';
            chars++;
            at = next;
        }
        counts[NEWLINES] += breaks;
        if (breaks && line_start >= 0) {
            add(m->lines, &lines, line_start, last_end, last_chars - line_chars);
            line_start = -1;
        }
        if (breaks > 1 && paragraph_start >= 0) {
            add(m->paragraphs, &paragraphs, paragraph_start, last_end,
                        last_chars - paragraph_chars);
            paragraph_start = -1;
        }
        if (at >= end) break;
        if (line_start < 0) line_start = at, line_chars = chars;
        if (paragraph_start < 0) paragraph_start = at, paragraph_chars = chars;
        /* A run without any: a word, or several in scripts without spaces. */
        int64_t word = at, before = chars;
        int letter = 0, where = 0; /* 0 = spaced, 1 = inside a piece, 2 = at its tail */
        while (at < end) {
            const uint32_t code = code_at(text, at, end, &next);
            const byte class = s->classes[code];
            if (class & SPACE) break;
            if (class & (UNSPACED | INSIDE) || where) {
                const int begins = where == 1   ? !(class & INSIDE) && !(class & TAIL)
                                   : where == 2 ? !(class & TAIL)
                                                : class & UNSPACED;
                if (begins && at > word) {
                    add(m->words, &words, word, at, chars - before);
                    with_letter += letter;
                    if (chars - before > longest_word) longest_word = chars - before;
                    word = at;
                    before = chars;
                    letter = 0;
                    where = 0;
                }
                if (!where)
                    where = class & UNSPACED ? 1 : 0;
                else if (where == 1 && !(class & INSIDE))
                    where = 2;
            }
            letter |= (class & LETTER) != 0;
            alnums += (class & ALNUM) != 0;
            if (code == '.') {
                if (++dots == 3) counts[ELLIPSES]++, dots = 0;
            } else {
                dots = 0;
                if (code < 0x80) {
                    counts[HASHES] += code == '#';
                    counts[AT_SIGNS] += code == '@';
                    counts[DIGITS] += code - '0' < 10;
                } else if (code == 0x2026) {
                    counts[ELLIPSES]++;
                }
            }
            chars++;
            at = next;
        }
        dots = 0;
        add(m->words, &words, word, at, chars - before);
        if (chars - before > longest_word) longest_word = chars - before;
        with_letter += letter;
        last_end = at;
        last_chars = chars;
    }
    if (line_start >= 0)
        add(m->lines, &lines, line_start, last_end, last_chars - line_chars);
    if (paragraph_start >= 0)
        add(m->paragraphs, &paragraphs, paragraph_start, last_end,
                    last_chars - paragraph_chars);

    for (place i = 0; i < lines; i++) {
        const Piece line = m->lines[i];
        const int64_t last = start_of_last(text, line.start, line.end);
        int64_t next;
        const uint32_t code = code_at(text, last, line.end, &next);
        counts[BULLETS] += begins_with_bullet(text + line.start, line.end - line.start);
        counts[TERMINALS] += (s->classes[code] & TERMINAL) != 0;
        counts[ELLIPSIS_ENDS] +=
            code == 0x2026 ||
            (line.end - line.start >= 3 && !memcmp(text + line.end - 3, "...", 3));
        counts[SHORT] += line.chars <= SHORT_LINE;
        if (line.chars > counts[LONGEST_LINE]) counts[LONGEST_LINE] = line.chars;
    }
    repeated(text, m->lines, lines, m, s->key, counts + LINE_CHARS);
    repeated(text, m->paragraphs, paragraphs, m, s->key, counts + PARAGRAPH_CHARS);

    const int64_t size = table_size(words);
    memset(m->slots, 0xFF, (size_t)size * sizeof *m->slots);
    place vocabulary = 0;
    m->ends[0] = 0;
    for (place i = 0; i < words; i++) {
        const place id = find(text, m->words[i], m->vocabulary, vocabulary, m->slots, m->keys,
                                size - 1, s->key);
        if (id == vocabulary) {
            m->vocabulary[vocabulary] = m->words[i];
            m->times[vocabulary++] = 0;
        }
        m->times[id]++;
        m->ids[i] = id;
        word_chars += m->words[i].chars;
        m->ends[i + 1] = (place)word_chars;
    }
    counts[WORDS] = words;
    counts[WORD_CHARS] = word_chars;
    counts[LONGEST_WORD] = longest_word;
    counts[ALPHABETIC] = with_letter;
    counts[CHARS] = chars;
    counts[ALNUMS] = alnums;
    counts[LINES] = lines;
    counts[PARAGRAPHS] = paragraphs;
    counts[STOP_WORDS] = list < 0 ? -1 : stop_words(s, m, text, end, vocabulary, list);
    count_grams(m, words, s->key, counts + GRAMS);
}

static void *of(byte **rest, int64_t entries, size_t size) {
    void *const found = *rest;
    *rest += ((size_t)entries * size + 63) / 64 * 64;
    return found;
}

/* Counts of texts: `counts` is (texts, COUNTS). `lists` has for each text the list of stop words,
   -1 for none. Returns 0, or -1 where there is not enough memory. */
int text_counts(const Setting *s, const byte *data, const int64_t *offsets, int64_t texts,
                const int64_t *lists, int64_t *counts) {
    int64_t most = 0;
    for (int64_t i = 0; i < texts; i++) {
        const int64_t size = offsets[i + 1] - offsets[i];
        if (size > most) most = size;
    }
    /* A word, or a piece of one and what follows it, has two bytes or more, white space included. */
    most = most / 2 + 2;
    const int64_t slots = table_size(most), stops = s->list[s->lists];
    const size_t bytes = (size_t)most * (4 * sizeof(Piece) + 8 * sizeof(place)) +
                         (size_t)slots * (sizeof(uint64_t) + sizeof(place)) +
                         (size_t)(table_size(stops) + stops) * sizeof(int64_t) + 64 * 20;
    byte *const block = malloc(bytes);
    if (!block) return -1;
    byte *rest = block;
    Memory m;
    m.words = of(&rest, most, sizeof(Piece));
    m.lines = of(&rest, most, sizeof(Piece));
    m.paragraphs = of(&rest, most, sizeof(Piece));
    m.vocabulary = of(&rest, most, sizeof(Piece));
    place **const numbers[] = {&m.ids,    &m.gram,        &m.ends,        &m.starts,
                               &m.number, &m.group_times, &m.group_first, &m.times};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i] = of(&rest, most, sizeof(place));
    m.keys = of(&rest, slots, sizeof(uint64_t));
    m.slots = of(&rest, slots, sizeof(place));
    m.stop_size = table_size(stops);
    m.stop_slots = of(&rest, m.stop_size, sizeof(int64_t));
    m.stop_seen = of(&rest, stops, sizeof(int64_t));
    m.stamp = 0;
    memset(m.stop_slots, 0xFF, (size_t)m.stop_size * sizeof *m.stop_slots);
    memset(m.stop_seen, 0, (size_t)stops * sizeof *m.stop_seen);
    for (int64_t list = 0; list < s->lists; list++)
        for (int64_t w = s->list[list]; w < s->list[list + 1]; w++) {
            const int64_t size = s->stop_ends[w + 1] - s->stop_ends[w];
            int64_t slot = (int64_t)(stop_hash(s, s->stop_bytes + s->stop_ends[w], size, list) &
                                     (uint64_t)(m.stop_size - 1));
            while (m.stop_slots[slot] >= 0) slot = (slot + 1) & (m.stop_size - 1);
            m.stop_slots[slot] = w;
        }
    for (int64_t i = 0; i < texts; i++)
        count_text(s, &m, data + offsets[i], offsets[i + 1] - offsets[i], lists[i],
                   counts + i * COUNTS);
    free(block);
    return 0;
}
