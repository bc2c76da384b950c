/* SPDX-License-Identifier: MIT */
/* The pattern trie: what it matches, by rules, by comparison with a slow model, and in extreme shapes. */
#include "topic/trie.h"

#include <evbus/bus.h>
#include "evb_test.h"
#include "topic/trie_table.h"
#include "trie_owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_patterns(struct trie_owner *o, const char *const *patterns)
{
    for (uint32_t i = 0; i < o->entries; i++)
        snprintf(o->entry[i].text, sizeof o->entry[i].text, "%s", patterns[i]);
}

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

/* ---- the rules, one by one ---- */

/* All patterns against all topics, and once more after a rebuild. */
static void table_holds(uint32_t dialect, const char *const *patterns, uint32_t n, const char *const *topics,
                        uint32_t m, uint32_t matches)
{
    struct trie_owner o;

    trie_owner_start(&o, dialect, n);
    set_patterns(&o, patterns);
    for (uint32_t i = 0; i < n; i++)
        CHECK(trie_owner_add(&o, i));
    for (int round = 0; round < 2; round++) {
        uint32_t found = 0;

        for (uint32_t k = 0; k < m; k++)
            found += trie_matches_as_defined(&o, topics[k]);
        EQ(found, matches); /* the oracle is not asked whether the table is what it is meant to be */
        trie_reads_back(&o);
        CHECK(evb__trie_rebuild(&o.trie, 0, 0, 0));
    }
    CHECK(o.moves >= 2 * n);
    for (uint32_t i = 0; i < n; i++)
        trie_owner_drop(&o, i);
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

TEST(dot_one_is_one_token_and_many_is_one_or_more)
{
    static const char *const patterns[] = {">",   "*",     "a.>", "a.*",   "*.b",
                                           "*.*", "a.*.c", "*.>", "a.b.>", "*.*.*.d"};
    static const char *const topics[] = {"a", "a.b", "a.b.c", "b", "b.a", "a.b.c.d"};

    /* a: > *   a.b: > a.> a.* *.b *.* *.>   a.b.c: > a.> a.*.c *.> a.b.>   b: > *   b.a: > *.* *.>   a.b.c.d:
     * > a.> *.> a.b.> *.*.*.d */
    table_holds(EVB_TOPICS_DOT, patterns, COUNT(patterns), topics, COUNT(topics), 2 + 6 + 5 + 2 + 3 + 5);
}

TEST(mqtt_many_matches_the_level_above_it_and_levels_may_be_empty)
{
    static const char *const patterns[] = {"#", "+", "a/#", "a/+", "/#", "/+", "+/+", "a//+", "+/#", "a/+/"};
    static const char *const topics[] = {"a", "a/", "/", "a/b", "/b", "a//b", "a/b/"};

    /* a: # + a/# +/#   a/: # a/# a/+ +/+ +/#   /: # /# /+ +/+ +/#   a/b: # a/# a/+ +/+ +/#   /b: # /# /+ +/+
     * +/# a//b: # a/# a//+ +/#   a/b/: # a/# +/# a/+/ */
    table_holds(EVB_TOPICS_MQTT, patterns, COUNT(patterns), topics, COUNT(topics), 4 + 5 + 5 + 5 + 5 + 4 + 4);
}

TEST(mqtt_dollar_topics_are_hidden_from_wildcards_in_the_first_level_only)
{
    static const char *const patterns[] = {"#", "+", "+/a", "+/#", "$SYS/#", "$SYS/+", "a/+"};
    static const char *const topics[] = {"$SYS", "$SYS/a", "$", "a/$x"};

    /* $SYS: $SYS/#   $SYS/a: $SYS/# $SYS/+   $: nothing   a/$x: # +/# a/+ */
    table_holds(EVB_TOPICS_MQTT, patterns, COUNT(patterns), topics, COUNT(topics), 1 + 2 + 0 + 3);
}

TEST(amqp_many_is_zero_or_more_words_anywhere)
{
    static const char *const patterns[] = {"#",   "#.#",   "#.b", "a.#",   "a.#.b", "#.a.#",
                                           "*.#", "*.#.b", "#.*", "#.*.#", "a.#.#"};
    static const char *const topics[] = {"", "a", "b", "a.b", "b.a", "a.a.b", "a..b"};

    /* "": # #.#   a: # #.# a.# #.a.# *.# #.* #.*.# a.#.#   b: # #.# #.b *.# #.* #.*.#
     * a.b: all eleven   b.a: # #.# #.a.# *.# #.* #.*.#   a.a.b, a..b: all eleven */
    table_holds(EVB_TOPICS_AMQP, patterns, COUNT(patterns), topics, COUNT(topics),
                2 + 8 + 6 + 11 + 6 + 11 + 11);
}

TEST(amqp_two_manys_report_each_list_once_whatever_the_ways_to_match)
{
    struct trie_owner o;
    char token[3] = {'a', '*', '#'};
    uint32_t n = 0;

    /* Every pattern of up to five words over a, * and #, with one or two # (or a * and no #). */
    trie_owner_start(&o, EVB_TOPICS_AMQP, 500);
    for (uint32_t length = 1; length <= 5; length++) {
        uint32_t combinations = 1;

        for (uint32_t i = 0; i < length; i++)
            combinations *= 3;
        for (uint32_t c = 0; c < combinations; c++) {
            char *text = o.entry[n].text;
            uint32_t manys = 0, wild = 0;

            for (uint32_t i = 0, rest = c; i < length; i++, rest /= 3) {
                text[2 * i] = token[rest % 3];
                text[2 * i + 1] = i + 1 < length ? '.' : '\0';
                manys += rest % 3 == 2;
                wild += rest % 3 != 0;
            }
            if (wild == 0 || manys > 2) continue;
            CHECK(trie_owner_add(&o, n++));
        }
    }
    o.entries = n;
    /* Sixteen equal words: a list could be reached in up to sixteen ways. matches_as_defined demands one
     * report. */
    CHECK(trie_matches_as_defined(&o, "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a") > 200);
    CHECK(trie_matches_as_defined(&o, "a.b.a.b.a.b.a.b.a.b.a.b.a.b.a.b") > 100);
    CHECK(trie_matches_as_defined(&o, "b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b") > 30);
    CHECK(trie_matches_as_defined(&o, "a.a") > 20);
    EQ(trie_matches_as_defined(&o, ""), 2); /* # and #.# */
    trie_reads_back(&o);
    trie_owner_finish(&o);
}

TEST(an_empty_token_is_not_taken_for_the_wildcard_beside_it)
{
    static const char *const patterns[] = {"a/+", "a//+", "a/+/+"};

    for (uint64_t seed = 1; seed <= 200;
         seed++) { /* in some of them the two children of `a` share a bucket */
        struct trie_owner o;

        trie_owner_start(&o, EVB_TOPICS_MQTT, COUNT(patterns));
        o.trie.seed = seed * UINT64_C(0x9e3779b97f4a7c15);
        set_patterns(&o, patterns);
        for (uint32_t i = 0; i < COUNT(patterns); i++)
            CHECK(trie_owner_add(&o, i));
        EQ(trie_matches_as_defined(&o, "a//x"), 2);
        EQ(trie_matches_as_defined(&o, "a/"), 1);
        trie_owner_finish(&o);
    }
}

TEST(a_trie_without_patterns_matches_nothing_and_holds_nothing)
{
    struct trie_owner o;

    trie_owner_start(&o, EVB_TOPICS_DOT, 1);
    EQ(trie_matches_as_defined(&o, "a.b"), 0);
    trie_reads_back(&o);
    EQ(evb__trie_bytes(&o.trie), 0);
    EQ(evb__trie_tokens(&o.trie), 0);
    EQ(evb_test_alloc_live(), 0);
    trie_owner_finish(&o);
}

static int32_t stop_at_second(uint32_t place, uint32_t head, void *arg)
{
    (void)place;
    (void)head;
    return ++*(int32_t *)arg == 2 ? 77 : 0;
}

TEST(each_stops_when_the_callback_says_so)
{
    static const char *const patterns[] = {"a.*", "b.*", "c.*"};
    struct trie_owner o;
    int32_t calls = 0;

    trie_owner_start(&o, EVB_TOPICS_DOT, COUNT(patterns));
    set_patterns(&o, patterns);
    for (uint32_t i = 0; i < o.entries; i++)
        CHECK(trie_owner_add(&o, i));
    EQ(evb__trie_each(&o.trie, stop_at_second, &calls), 77);
    EQ(calls, 2);
    trie_owner_finish(&o);
}

/* ---- against the slow model ---- */

/* Few different tokens, so that paths are shared; prefixes of each other; now and then an empty one. */
static uint32_t random_token(const struct trie_owner *o, char *text)
{
    static const char *const tokens[] = {
        "a", "b", "c", "aa", "ab", "aab", "a-longer-token", "a-longer-toker"};
    bool empty = evb__dialect(o->dialect)->empty_tokens && evb__rng_below(evb_test_rng(), 8) == 0;

    return empty ? 0 : (uint32_t)sprintf(text, "%s", tokens[evb__rng_below(evb_test_rng(), COUNT(tokens))]);
}

/* A random valid pattern with a wildcard. */
static void random_pattern(const struct trie_owner *o, char *text)
{
    const struct evb__dialect *d = evb__dialect(o->dialect);
    struct evb__tokens tokens;

    do {
        uint32_t count = 1 + (uint32_t)evb__rng_below(evb_test_rng(), 6), size = 0;

        for (uint32_t i = 0; i < count; i++) {
            uint32_t kind = (uint32_t)evb__rng_below(evb_test_rng(), 10);

            if (i > 0) text[size++] = d->separator;
            if (kind < 3)
                text[size++] = d->one;
            else if (kind < 5)
                text[size++] = d->many;
            else if (kind < 9)
                size += random_token(o, text + size);
            else
                size += (uint32_t)sprintf(text + size, "x%u", (uint32_t)evb__rng_below(evb_test_rng(), 1000));
        }
        text[size] = '\0';
    } while (evb__pattern_split(d, text, strlen(text), &tokens) != EVB_OK || tokens.wild == 0);
}

static void random_topic(const struct trie_owner *o, char *text)
{
    const struct evb__dialect *d = evb__dialect(o->dialect);
    uint32_t count = (uint32_t)evb__rng_below(evb_test_rng(), 7), size = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) text[size++] = d->separator;
        if (d->hide_dollar && i == 0 && evb__rng_below(evb_test_rng(), 8) == 0) text[size++] = '$';
        size += random_token(o, text + size);
    }
    if (size == 0 && !d->empty_name) text[size++] = 'a';
    text[size] = '\0';
}

static void random_operations_agree(uint32_t dialect, uint32_t operations)
{
    char text[EVB__NAME_MAX + 1];
    struct trie_owner o;
    uint32_t matches = 0;

    trie_owner_start(&o, dialect, 150);
    for (uint32_t n = 0; n < operations; n++) {
        /* The number of patterns swings: up, down, up, so that tables grow, shrink and are rebuilt for their
         * dead. */
        uint32_t i = (uint32_t)evb__rng_below(evb_test_rng(), o.entries), growing = n / 1500 % 2 == 0;
        bool in = o.entry[i].place != 0, want_in = evb__rng_below(evb_test_rng(), 10) < (growing ? 8u : 3u);

        if (in && !want_in) {
            trie_owner_drop(&o, i);
        } else if (!in && want_in) {
            random_pattern(&o, text);
            if (trie_owner_has(&o, text)) continue;
            strcpy(o.entry[i].text, text);
            CHECK(trie_owner_add(&o, i));
        }
        random_topic(&o, text);
        matches += trie_matches_as_defined(&o, text);
        if (n % 100 == 0) trie_reads_back(&o);
    }
    CHECK(matches > operations);
    CHECK(o.moves > 0);
    for (uint32_t i = 0; i < o.entries; i++)
        if (o.entry[i].place != 0) trie_owner_drop(&o, i);
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

static uint32_t operations(void)
{
    return getenv("EVB_TEST_LONG") ? 60000 : 6000;
}

TEST(random_operations_agree_with_the_definition_in_dot)
{
    random_operations_agree(EVB_TOPICS_DOT, operations());
}

TEST(random_operations_agree_with_the_definition_in_mqtt)
{
    random_operations_agree(EVB_TOPICS_MQTT, operations());
}

TEST(random_operations_agree_with_the_definition_in_amqp)
{
    random_operations_agree(EVB_TOPICS_AMQP, operations());
}

/* ---- shapes ---- */

TEST(sixteen_tokens_deep_works_to_the_last)
{
    static const char *const patterns[] = {
        "*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*",     "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.>",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.*",     "*.b.*.d.*.f.*.h.*.j.*.l.*.n.*.p",
        "*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.>",     "a.b.c.d.e.f.g.h.i.j.k.l.m.n.*.q",
        "tokens.of.several.bytes.in.a.deep.>",
    };
    static const char *const topics[] = {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o",
                                         "tokens.of.several.bytes.in.a.deep.topic"};

    table_holds(EVB_TOPICS_DOT, patterns, COUNT(patterns), topics, COUNT(topics), 5 + 0 + 1);
}

TEST(all_of_four_thousand_patterns_on_one_topic_are_found)
{
    struct trie_owner o;

    /* Every way to put wildcards into twelve tokens: the walk is wider than its queue and must go depth
     * first. */
    trie_owner_start(&o, EVB_TOPICS_DOT, (1u << 12) - 1);
    for (uint32_t i = 0; i < o.entries; i++) {
        for (uint32_t k = 0; k < 12; k++) {
            o.entry[i].text[2 * k] = (i + 1) >> k & 1 ? '*' : (char)('a' + k);
            o.entry[i].text[2 * k + 1] = k < 11 ? '.' : '\0';
        }
        CHECK(trie_owner_add(&o, i));
    }
    EQ(trie_matches_as_defined(&o, "a.b.c.d.e.f.g.h.i.j.k.l"), o.entries);
    EQ(trie_matches_as_defined(&o, "a.b.c.d.e.f.g.h.i.j.k.x"), 1u << 11);
    EQ(trie_matches_as_defined(&o, "a.b.c.d.e.f.g.h.i.j.k"), 0);
    for (uint32_t i = 0; i < o.entries; i++)
        trie_owner_drop(&o, i);
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

TEST(a_node_with_thousands_of_children_counts_them_exactly)
{
    static const char *const outer[] = {"user.*", "user.>"};
    struct trie_owner o;
    uint32_t n = 9000; /* beyond 4095 a node counts in another way */

    trie_owner_start(&o, EVB_TOPICS_DOT, n + 2);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(o.entry[i].text, sizeof o.entry[i].text, "user.%u.*", i);
        CHECK(trie_owner_add(&o, i));
    }
    for (uint32_t i = 0; i < 2; i++) {
        strcpy(o.entry[n + i].text, outer[i]);
        CHECK(trie_owner_add(&o, n + i));
    }
    EQ(o.trie.nodes, 1 + 2 * n + 1);
    EQ(evb__trie_tokens(&o.trie), n + 1);
    for (uint32_t i = 0; i < n; i += 1000) {
        char topic[32];

        snprintf(topic, sizeof topic, "user.%u.login", i);
        EQ(trie_matches_as_defined(&o, topic), 2);
    }
    EQ(trie_matches_as_defined(&o, "user.9000"), 2);
    trie_reads_back(&o);
    for (uint32_t i = 0; i < n - 1; i++)
        trie_owner_drop(&o, i);
    EQ(o.trie.nodes, 1 + 2 + 1);
    EQ(trie_matches_as_defined(&o, "user.8999.login"), 2);
    trie_owner_drop(&o, n - 1);
    EQ(o.trie.nodes, 2);
    EQ(trie_matches_as_defined(&o, "user.8999"), 2);
    for (uint32_t i = 0; i < 200; i++)
        CHECK(trie_owner_add(&o, i)); /* and it can begin again */
    EQ(trie_matches_as_defined(&o, "user.199.login"), 2);
    for (uint32_t i = 0; i < 200; i++)
        trie_owner_drop(&o, i);
    trie_owner_drop(&o, n);
    trie_owner_drop(&o, n + 1);
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(dot_one_is_one_token_and_many_is_one_or_more),
        cmocka_unit_test(mqtt_many_matches_the_level_above_it_and_levels_may_be_empty),
        cmocka_unit_test(mqtt_dollar_topics_are_hidden_from_wildcards_in_the_first_level_only),
        cmocka_unit_test(amqp_many_is_zero_or_more_words_anywhere),
        cmocka_unit_test(amqp_two_manys_report_each_list_once_whatever_the_ways_to_match),
        cmocka_unit_test(an_empty_token_is_not_taken_for_the_wildcard_beside_it),
        cmocka_unit_test(a_trie_without_patterns_matches_nothing_and_holds_nothing),
        cmocka_unit_test(each_stops_when_the_callback_says_so),
        cmocka_unit_test(random_operations_agree_with_the_definition_in_dot),
        cmocka_unit_test(random_operations_agree_with_the_definition_in_mqtt),
        cmocka_unit_test(random_operations_agree_with_the_definition_in_amqp),
        cmocka_unit_test(sixteen_tokens_deep_works_to_the_last),
        cmocka_unit_test(all_of_four_thousand_patterns_on_one_topic_are_found),
        cmocka_unit_test(a_node_with_thousands_of_children_counts_them_exactly),
    };
    return EVB_TEST_MAIN("trie", tests, argc, argv);
}
