/* SPDX-License-Identifier: MIT */
/* The three dialects: cutting names into tokens, validity, matching. */
#include "topic/dialect.h"

#include <evbus/bus.h>
#include "base/hash.h"

static const struct evb__dialect dialects[] = {
    [EVB_TOPICS_DOT] = {.separator = '.', .one = '*', .many = '>', .many_only_last = true},
    [EVB_TOPICS_MQTT] = {.separator = '/',
                         .one = '+',
                         .many = '#',
                         .many_may_be_empty = true,
                         .many_only_last = true,
                         .empty_tokens = true,
                         .hide_dollar = true,
                         .strict_wildcards = true},
    [EVB_TOPICS_AMQP] = {.separator = '.',
                         .one = '*',
                         .many = '#',
                         .many_may_be_empty = true,
                         .empty_tokens = true,
                         .plain_topics = true,
                         .empty_name = true},
};

const struct evb__dialect *evb__dialect(uint32_t number)
{
    return number < sizeof(dialects) / sizeof(dialects[0]) ? &dialects[number] : NULL;
}

/* ---- cutting ---- */

/* Names are read eight bytes at a time, and the pieces of the cut are inlined into each of its four forms: an
 * emit of a name that nobody interned begins with it. A byte at a time takes 37 ns for a topic of 30 bytes,
 * this 14. */
#define ONES UINT64_C(0x0101010101010101)
#define HIGH (ONES << 7)

/* 0x80 in every byte of word that is c. Exact in every byte, unlike the shorter formula that may borrow from
 * a neighbour. */
static uint64_t bytes_equal(uint64_t word, char c)
{
    uint64_t x = word ^ (ONES * (unsigned char)c);

    return ~(((x & ~HIGH) + ~HIGH) | x) & HIGH;
}

/* The marks of eight bytes as eight bits. The products of the multiplication do not overlap, so nothing
 * carries. */
static uint64_t bits_of(uint64_t marks)
{
    return (marks >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/* The number of the lowest bit set; bits != 0. */
static size_t first_bit(uint64_t bits)
{
#if defined(__GNUC__)
    return (size_t)__builtin_ctzll(bits);
#else
    size_t n = 0;

    for (; !(bits & 1); bits >>= 1)
        n++;
    return n;
#endif
}

/* Bytes at .. at + 7, the first lowest; zeros, which equal no separator or wildcard, beyond the name. at <
 * size. */
EVB__INLINE uint64_t word_at(const char *name, size_t size, size_t at)
{
    const unsigned char *p = (const unsigned char *)name;
    size_t rest = size - at;
    uint64_t word = 0;

    if (rest >= 8) return evb__read64(p + at);
    if (size >= 8) return evb__read64(p + size - 8) >> (64 - 8 * rest);
    while (rest-- > 0)
        word = word << 8 | p[at + rest];
    return word;
}

struct cutter {
    const struct evb__dialect *dialect;
    struct evb__tokens
        *ret; /* NULL: is the name valid, without the limits that the arrays and the trie have */
    const char *name;
    uint32_t count, wild, many;
    bool pattern;
};

/* Takes the token [start, end). false: no name of this dialect has it there. */
EVB__INLINE bool take(struct cutter *c, size_t start, size_t end)
{
    const struct evb__dialect *d = c->dialect;
    enum evb__token_kind kind = EVB__TOKEN_LITERAL;

    if (c->many > 0 && d->many_only_last) return false; /* a token behind the last one */
    if (end == start && !d->empty_tokens) return false;
    if (end - start == 1 && (c->pattern || !d->plain_topics)) {
        if (c->name[start] == d->one) kind = EVB__TOKEN_ONE;
        if (c->name[start] == d->many) kind = EVB__TOKEN_MANY;
        if (kind != EVB__TOKEN_LITERAL && !c->pattern) return false;
        c->wild += kind != EVB__TOKEN_LITERAL;
        c->many += kind == EVB__TOKEN_MANY;
    }
    if (c->ret) {
        if (c->count == EVB__TOKENS_MAX || c->many > EVB__MANY_MAX) return false;
        c->ret->start[c->count] = (uint16_t)start;
        c->ret->length[c->count] = (uint16_t)(end - start);
        c->ret->kind[c->count] = (uint8_t)kind;
    }
    c->count++;
    return true;
}

/* Wildcard characters of the name, alone in their token or not. */
static uint32_t wildcard_characters(const struct evb__dialect *d, const char *name, size_t size)
{
    uint32_t n = 0;
    uint64_t marks;

    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = word_at(name, size, at);

        for (marks = bytes_equal(word, d->one) | bytes_equal(word, d->many); marks; marks &= marks - 1)
            n++;
    }
    return n;
}

EVB__INLINE int32_t cut(const struct evb__dialect *d, const char *name, size_t size, bool pattern,
                        struct evb__tokens *ret)
{
    struct cutter c = {.dialect = d, .ret = ret, .name = name, .pattern = pattern};
    size_t start = 0;

    if (size > EVB__NAME_MAX || (size == 0 && !d->empty_name)) return EVB_EINVAL;
    for (size_t base = 0; base < size; base += 64) {
        uint64_t separators = 0;

        /* all of 64 bytes first: a branch per separator, not one per word */
        for (size_t at = base; at < size && at < base + 64; at += 8)
            separators |= bits_of(bytes_equal(word_at(name, size, at), d->separator)) << (at - base);
        for (; separators; separators &= separators - 1) {
            size_t end = base + first_bit(separators);

            if (!take(&c, start, end)) return EVB_EINVAL;
            start = end + 1;
        }
    }
    /* the last token, empty behind a last separator; a name without bytes has no token at all */
    if (size > 0 && !take(&c, start, size)) return EVB_EINVAL;
    if (d->strict_wildcards && wildcard_characters(d, name, size) != c.wild) return EVB_EINVAL;
    if (ret) {
        ret->name = name;
        ret->size = (uint32_t)size;
        ret->count = c.count;
        ret->wild = c.wild;
    }
    return EVB_OK;
}

int32_t evb__pattern_split(const struct evb__dialect *d, const char *name, size_t size,
                           struct evb__tokens *ret)
{
    return cut(d, name, size, true, ret);
}

int32_t evb__topic_split(const struct evb__dialect *d, const char *name, size_t size, struct evb__tokens *ret)
{
    return cut(d, name, size, false, ret);
}

int32_t evb__pattern_check(const struct evb__dialect *d, const char *name, size_t size)
{
    return cut(d, name, size, true, NULL);
}

int32_t evb__topic_check(const struct evb__dialect *d, const char *name, size_t size)
{
    return cut(d, name, size, false, NULL);
}

/* ---- matching ---- */

/* A place in a name is the index at which a token starts. The empty token behind a last separator starts at
 * size, and the place behind all tokens is size + 1, where the place of a name of zero tokens lies from the
 * start. */
struct cursor {
    const char *name;
    size_t size, at;
    char separator;
};

static struct cursor cursor(const struct evb__dialect *d, const char *name, size_t size)
{
    return (struct cursor){.name = name, .size = size, .at = size == 0, .separator = d->separator};
}

static bool ended(const struct cursor *c)
{
    return c->at > c->size;
}

/* Is the token here the wildcard w? */
static bool is(const struct cursor *c, char w)
{
    return c->at < c->size && c->name[c->at] == w &&
           (c->at + 1 == c->size || c->name[c->at + 1] == c->separator);
}

static void skip(struct cursor *c)
{
    while (c->at < c->size && c->name[c->at] != c->separator)
        c->at++;
    c->at++;
}

/* Steps over one token in both names if it is the same text. */
static bool same(struct cursor *a, struct cursor *b)
{
    size_t i = a->at, j = b->at;

    while (i < a->size && j < b->size && a->name[i] == b->name[j] && a->name[i] != a->separator) {
        i++;
        j++;
    }
    if (i < a->size && a->name[i] != a->separator) return false;
    if (j < b->size && b->name[j] != b->separator) return false;
    a->at = i + 1;
    b->at = j + 1;
    return true;
}

bool evb__matches(const struct evb__dialect *d, const char *pattern, size_t pattern_size, const char *topic,
                  size_t topic_size)
{
    struct cursor p = cursor(d, pattern, pattern_size), t = cursor(d, topic, topic_size);
    struct cursor back_p = p, back_t = t; /* behind the last `#`, and where what follows it was last tried */
    bool back = false;

    if (d->hide_dollar && topic_size > 0 && topic[0] == '$' && (is(&p, d->one) || is(&p, d->many)))
        return false;
    while (!ended(&t)) {
        if (is(&p, d->many)) {
            skip(&p);
            if (ended(&p)) return true; /* takes all that is left, at least one token */
            back_p = p;
            back_t = t;
            back = true;
        } else if (is(&p, d->one)) {
            skip(&p);
            skip(&t);
        } else if (ended(&p) || !same(&p, &t)) {
            /* The last `#` takes one token more. An earlier one need not: whatever it could take, the last
             * can. */
            if (!back) return false;
            skip(&back_t);
            p = back_p;
            t = back_t;
        }
    }
    while (d->many_may_be_empty && is(&p, d->many))
        skip(&p);
    return ended(&p);
}
