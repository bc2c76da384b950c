/* SPDX-License-Identifier: MIT */
/* Writes a workload file: bench_workload PATTERNS FILE.
 *
 * Patterns have 4 or 5 tokens out of vocabularies of 20, 100, 1000, 50 (and 10) words: 70 % literal, 20 %
 * with one `*` at any place, 5 % with two (the first and the last place), 5 % with three tokens and `>`. Half
 * of the 200 000 topics are derived from a pattern, half are random. The same seed gives the same file.
 *
 * The oracle: a topic is matched by exactly those patterns that one gets by replacing any subset of its
 * tokens by `*`, or any proper tail by `>` and any subset before it by `*`. All these texts are looked up in
 * a hash of the patterns: 31 + 32 for five tokens. No matcher works like that, so an error in common is
 * unlikely.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS   200000u
#define TEXT_MAX 64
#define LEVELS   5

static const uint32_t words[LEVELS] = {20, 100, 1000, 50, 10};
static const char *const forms[LEVELS] = {"site%02u", "line%02u", "dev%03u", "ch%02u", "v%u"};

typedef char text[TEXT_MAX];

/* A text of the pattern list, and what all patterns with this text add to a topic they match. */
struct entry {
    const char *pattern; /* NULL: free */
    uint64_t count, sum;
};

static text *patterns;
static struct entry *table;
static uint64_t table_mask, random_state = 20240229;

static uint64_t random_next(void) /* splitmix64 */
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t below(uint32_t bound)
{
    return (uint32_t)(random_next() % bound);
}

static void word(char *token, uint32_t level)
{
    /* The format strings are the constants above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(token, 16, forms[level], below(words[level]));
#pragma GCC diagnostic pop
}

static void join(char *ret, char tokens[][16], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) *ret++ = '.';
        ret = stpcpy(ret, tokens[i]); /* at most 5 x 7 bytes */
    }
}

static void make_pattern(char *ret)
{
    char tokens[LEVELS][16];
    uint32_t count = 4 + below(2), kind = below(100);

    for (uint32_t i = 0; i < count; i++)
        word(tokens[i], i);
    if (kind < 20) {
        strcpy(tokens[below(count)], "*");
    } else if (kind < 25) {
        strcpy(tokens[0], "*");
        strcpy(tokens[count - 1], "*");
    } else if (kind < 30) {
        strcpy(tokens[3], ">");
        count = 4;
    }
    join(ret, tokens, count);
}

static uint32_t split(const char *name, char tokens[][16])
{
    uint32_t count = 0;

    for (const char *p = name;; p++) {
        size_t size = strcspn(p, ".");

        memcpy(tokens[count], p, size);
        tokens[count++][size] = '\0';
        p += size;
        if (*p == '\0') return count;
    }
}

static void make_topic(char *ret, uint32_t pattern_count)
{
    char tokens[LEVELS][16];
    uint32_t count = 4 + below(2);

    if (below(2) == 0) {
        for (uint32_t i = 0; i < count; i++)
            word(tokens[i], i);
    } else {
        uint32_t size = split(patterns[below(pattern_count)], tokens);

        if (strcmp(tokens[size - 1], ">") != 0) count = size;
        for (uint32_t i = 0; i < count; i++) {
            if (i >= size || tokens[i][0] == '*' || tokens[i][0] == '>') word(tokens[i], i);
        }
    }
    join(ret, tokens, count);
}

/* ---- the oracle ---- */

static struct entry *look_up(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (const char *p = key; *p != '\0'; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    for (hash ^= hash >> 32;; hash++) {
        struct entry *e = &table[hash & table_mask];

        if (e->pattern == NULL || strcmp(e->pattern, key) == 0) return e;
    }
}

static void expect(const char *topic, uint64_t *ret_count, uint64_t *ret_sum)
{
    char tokens[LEVELS][16], masked[LEVELS][16];
    uint32_t count = split(topic, tokens);
    text key = "";

    *ret_count = *ret_sum = 0;
    /* The first `head` tokens stand or become `*`; what follows them becomes `>` when there is anything. */
    for (uint32_t head = 0; head <= count; head++) {
        for (uint32_t mask = 0; mask < 1u << head; mask++) {
            const struct entry *e;

            for (uint32_t i = 0; i < head; i++)
                strcpy(masked[i], (mask >> i & 1u) != 0 ? "*" : tokens[i]);
            if (head < count) strcpy(masked[head], ">");
            join(key, masked, head < count ? head + 1 : head);
            e = look_up(key);
            *ret_count += e->count;
            *ret_sum += e->sum;
        }
    }
}

static bool write_file(const char *path, uint32_t count)
{
    FILE *f = fopen(path, "w");
    uint64_t matches = 0;

    if (f == NULL) return false;
    fprintf(f, "patterns %u topics %u\n", count, TOPICS);
    for (uint32_t i = 0; i < count; i++)
        fprintf(f, "%s\n", patterns[i]);
    for (uint32_t i = 0; i < TOPICS; i++) {
        text topic;
        uint64_t n, sum;

        make_topic(topic, count);
        expect(topic, &n, &sum);
        matches += n;
        fprintf(f, "%s %llu %llu\n", topic, (unsigned long long)n, (unsigned long long)sum);
    }
    printf("%u patterns, %u topics, %.2f matches a topic\n", count, TOPICS, (double)matches / TOPICS);
    return fclose(f) == 0;
}

int main(int argc, char **argv)
{
    uint32_t count = argc == 3 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;

    if (count == 0 || count > 10000000) {
        fprintf(stderr, "usage: bench_workload PATTERNS FILE\n");
        return 2;
    }
    for (table_mask = 1; table_mask < 2 * (uint64_t)count;)
        table_mask *= 2;
    table = calloc(table_mask, sizeof *table);
    patterns = calloc(count, sizeof *patterns);
    table_mask--;
    if (table == NULL || patterns == NULL) return 1;
    for (uint32_t i = 0; i < count; i++) {
        struct entry *e;

        make_pattern(patterns[i]);
        e = look_up(patterns[i]);
        e->pattern = patterns[i];
        e->count++;
        e->sum += i + 1;
    }
    return write_file(argv[2], count) ? 0 : 1;
}
