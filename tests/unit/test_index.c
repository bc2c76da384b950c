/* SPDX-License-Identifier: MIT */
/* The topic index: which of the topics in it does a pattern match? */
#include "topic/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <evbus/bus.h>
#include "base/platform.h"
#include "evb_test.h"

#define NAME_BYTES 64
#define SEED       UINT64_C(0x1dec5)

struct record {
    struct evb__named named;
    bool present;
    uint32_t seen; /* by the match under way */
    char name[NAME_BYTES];
};

/* A list of all topics there could be, a set of which is in the index: the model. */
struct world {
    struct evb__index index;
    const struct evb__dialect *dialect;
    uint32_t number, count, present;
    struct record *record;
};

static void start(struct world *w, uint32_t dialect, uint32_t capacity)
{
    *w = (struct world){.dialect = evb__dialect(dialect), .number = dialect};
    w->record = calloc(capacity, sizeof *w->record);
    assert_non_null(w->record);
    evb__index_init(&w->index, w->dialect, SEED);
}

static void finish(struct world *w)
{
    evb__index_fini(&w->index);
    EQ(w->index.nodes, 0);
    free(w->record);
}

static struct record *add_topic(struct world *w, const char *name)
{
    struct record *record = &w->record[w->count++];

    record->named.size = (uint16_t)strlen(name);
    record->named.name_offset = offsetof(struct record, name);
    CHECK(record->named.size < NAME_BYTES);
    memcpy(record->name, name, record->named.size + 1u);
    OK(evb__topic_check(w->dialect, name, record->named.size));
    return record;
}

static int32_t reserve(struct world *w, const struct record *record)
{
    return evb__index_reserve(&w->index, record->name, record->named.size);
}

static void insert_reserved(struct world *w, struct record *record)
{
    evb__index_insert(&w->index, &record->named);
    record->present = true;
    w->present++;
}

static void insert(struct world *w, struct record *record)
{
    OK(reserve(w, record));
    insert_reserved(w, record);
}

static void remove_topic(struct world *w, struct record *record)
{
    evb__index_remove(&w->index, &record->named);
    record->present = false;
    w->present--;
}

static int32_t see(struct evb__named *named, void *arg)
{
    struct record *record = (struct record *)(void *)named;

    record->seen++;
    ++*(uint32_t *)arg;
    return 0;
}

/* The index reports each topic that is in it and matches, once, and no other. Answers how many. */
static uint32_t check_pattern(struct world *w, const char *pattern)
{
    struct evb__tokens tokens;
    size_t size = strlen(pattern);
    uint32_t reported = 0;

    OK(evb__pattern_split(w->dialect, pattern, size, &tokens));
    for (uint32_t i = 0; i < w->count; i++)
        w->record[i].seen = 0;
    EQ(evb__index_match(&w->index, &tokens, see, &reported), 0);
    for (uint32_t i = 0; i < w->count; i++) {
        const struct record *r = &w->record[i];
        uint32_t want = r->present && evb__matches(w->dialect, pattern, size, r->name, r->named.size);

        if (r->seen != want)
            evb_test_fail(__FILE__, __LINE__,
                          "seed %llu: pattern \"%s\" topic \"%s\" (%s): reported %u times, not %u",
                          (unsigned long long)evb_test_seed(), pattern, r->name,
                          r->present ? "in the index" : "not there", r->seen, want);
    }
    return reported;
}

static void check_world(struct world *w)
{
    EQ(evb__index_audit(&w->index), w->present);
}

TEST(an_empty_index_matches_nothing_and_has_no_memory)
{
    struct world w;

    start(&w, EVB_TOPICS_DOT, 1);
    EQ(check_pattern(&w, ">"), 0);
    EQ(evb_test_alloc_live(), 0);
    OK(evb__index_reserve(&w.index, "a", 1));
    EQ(check_pattern(&w, ">"), 0);
    finish(&w);
}

TEST(a_topic_is_reported_to_the_patterns_that_match_it)
{
    struct world w;

    start(&w, EVB_TOPICS_DOT, 8);
    insert(&w, add_topic(&w, "flight.JFK.LAX"));
    insert(&w, add_topic(&w, "flight.JFK.SFO"));
    insert(&w, add_topic(&w, "flight.BOS.LAX"));
    insert(&w, add_topic(&w, "flight"));
    insert(&w, add_topic(&w, "hello"));
    EQ(check_pattern(&w, "flight.JFK.*"), 2);
    EQ(check_pattern(&w, "flight.*.LAX"), 2);
    EQ(check_pattern(&w, "flight.>"), 3);
    EQ(check_pattern(&w, "*"), 2);
    EQ(check_pattern(&w, ">"), 5);
    EQ(check_pattern(&w, "hello"), 1);
    EQ(check_pattern(&w, "*.*"), 0);
    check_world(&w);
    finish(&w);
}

/* A thousand below one token: more than a bucket holds, all of one next token, then of many. */
TEST(topics_below_a_common_prefix_move_to_a_node_of_their_own)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_DOT, 1100);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "device.%u", i);
        insert(&w, add_topic(&w, name));
    }
    insert(&w, add_topic(&w, "device"));
    insert(&w, add_topic(&w, "device.7.temperature"));
    CHECK(w.index.nodes >= 2);
    CHECK(w.index.nodes <= 3); /* one for `device`, none for its thousand children */
    EQ(check_pattern(&w, "device.*"), 1000);
    EQ(check_pattern(&w, "device.>"), 1001);
    EQ(check_pattern(&w, "device.7.*"), 1);
    EQ(check_pattern(&w, "device.7.>"), 1);
    EQ(check_pattern(&w, "*.7"), 1);
    EQ(check_pattern(&w, "*"), 1);
    check_world(&w);
    for (uint32_t i = 0; i < w.count; i++)
        remove_topic(&w, &w.record[i]);
    EQ(w.index.nodes, 1); /* the root */
    check_world(&w);
    finish(&w);
}

/* Sixteen levels of one token each: nodes in a row. */
TEST(a_deep_prefix_is_followed_node_by_node)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_MQTT, 3000);
    for (uint32_t depth = 0; depth <= 14; depth++) {
        for (uint32_t i = 0; i < 160; i++) {
            int n = 0;

            for (uint32_t k = 0; k < depth; k++)
                n += snprintf(name + n, sizeof name - (size_t)n, "l%u/", k);
            snprintf(name + n, sizeof name - (size_t)n, "x%u", i);
            insert(&w, add_topic(&w, name));
        }
    }
    EQ(w.index.nodes, 15);
    EQ(check_pattern(&w, "l0/#"), 14 * 160);
    EQ(check_pattern(&w, "l0/l1/l2/l3/l4/l5/l6/l7/l8/l9/l10/l11/l12/l13/+"), 160);
    EQ(check_pattern(&w, "+/+/+/x5"), 1);
    check_world(&w);
    for (uint32_t i = w.count; i-- > 0;) {
        remove_topic(&w, &w.record[i]);
        if (i % 97 == 0) check_world(&w);
    }
    EQ(w.index.nodes, 1);
    finish(&w);
}

TEST(wildcards_do_not_see_dollar_topics_in_mqtt)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_MQTT, 700);
    for (uint32_t i = 0; i < 300; i++) { /* enough for a node of `$SYS`, one of `a` and some at the root */
        snprintf(name, sizeof name, "$SYS/%u", i);
        insert(&w, add_topic(&w, name));
        snprintf(name, sizeof name, "a/%u", i);
        insert(&w, add_topic(&w, name));
    }
    insert(&w, add_topic(&w, "$other"));
    insert(&w, add_topic(&w, "a/$b"));
    EQ(w.index.nodes, 3);
    EQ(check_pattern(&w, "#"), 301);
    EQ(check_pattern(&w, "+/7"), 1);
    EQ(check_pattern(&w, "+"), 0);
    EQ(check_pattern(&w, "$SYS/#"), 300);
    EQ(check_pattern(&w, "$SYS/+"), 300);
    EQ(check_pattern(&w, "a/#"), 301);
    finish(&w);
}

/* In DOT `$` is the bus' business: the index answers as evb_topic_matches does. */
TEST(wildcards_see_dollar_topics_in_dot)
{
    struct world w;

    start(&w, EVB_TOPICS_DOT, 2);
    insert(&w, add_topic(&w, "$bus.drop"));
    EQ(check_pattern(&w, ">"), 1);
    EQ(check_pattern(&w, "*.drop"), 1);
    finish(&w);
}

TEST(the_empty_amqp_topic_is_one)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_AMQP, 300);
    insert(&w, add_topic(&w, ""));
    insert(&w, add_topic(&w, "."));
    insert(&w, add_topic(&w, ".."));
    for (uint32_t i = 0; i < 200; i++) { /* a node for the empty token */
        snprintf(name, sizeof name, ".%u", i);
        insert(&w, add_topic(&w, name));
    }
    EQ(check_pattern(&w, "#"), 203);
    EQ(check_pattern(&w, ""), 1);
    EQ(check_pattern(&w, "*"), 0);
    EQ(check_pattern(&w, "*.*"), 201);
    EQ(check_pattern(&w, "#.#"), 203);
    EQ(check_pattern(&w, ".7"), 1);
    EQ(check_pattern(&w, "#.7"), 1);
    check_world(&w);
    finish(&w);
}

struct stop {
    uint32_t calls, at;
};

static int32_t stop(struct evb__named *named, void *arg)
{
    struct stop *s = arg;

    (void)named;
    return ++s->calls == s->at ? -7 : 0;
}

/* Of 20 000 topics: with a literal token only its bucket counts, with a literal last token only the topics
 * whose last token has the same byte of hash, and below a tail wildcard no name is read at all. */
TEST(a_match_reads_hardly_a_name_that_it_does_not_report)
{
    struct world w;
    struct evb__tokens tokens;
    char name[NAME_BYTES];
    uint32_t reported;
    static const struct {
        const char *pattern;
        uint32_t reported, at_most;
    } cases[] = {
        {"a.7.*", 1, 6},   {"a.7.>", 1, 6},         {"*.7.x", 2, 12}, {"a.*.y", 0, 150}, {"*.*.y", 0, 300},
        {"a.>", 10000, 0}, {"*.*.*", 20000, 20000}, {">", 20000, 0},  {"c.*", 0, 0},
    };

    start(&w, EVB_TOPICS_DOT, 20000);
    for (uint32_t i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "a.%u.x", i);
        insert(&w, add_topic(&w, name));
        snprintf(name, sizeof name, "b.%u.x", i);
        insert(&w, add_topic(&w, name));
    }
    EQ(w.index.nodes, 3);
    CHECK(evb__index_longest(&w.index) <= EVB__INDEX_FULL);
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OK(evb__pattern_split(w.dialect, cases[i].pattern, strlen(cases[i].pattern), &tokens));
        reported = w.index.looks = 0;
        EQ(evb__index_match(&w.index, &tokens, see, &reported), 0);
        EQ(reported, cases[i].reported);
        CHECK(w.index.looks <= cases[i].at_most);
    }
    finish(&w);
}

/* 300 prefixes with more topics each than a bucket holds, one after the other: the root keeps hardly a topic
 * and gets many children. */
TEST(children_are_found_by_hash)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_DOT, 60000);
    for (uint32_t i = 0; i < 60000; i++) {
        snprintf(name, sizeof name, "p%u.%u", i / 200, i);
        insert(&w, add_topic(&w, name));
    }
    EQ(w.index.nodes, 301);
    CHECK(evb__index_longest(&w.index) <= EVB__INDEX_FULL);
    EQ(check_pattern(&w, "p77.*"), 200);
    EQ(check_pattern(&w, "*.77"), 1);
    check_world(&w);
    finish(&w);
}

/* At every place where topics are kept: buckets of the root and of a child, `here`. */
TEST(a_match_stops_when_told_and_answers_why)
{
    struct world w;
    struct evb__tokens tokens;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_MQTT, 400);
    for (uint32_t i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "a/%u", i);
        insert(&w, add_topic(&w, name));
        snprintf(name, sizeof name, "%u", i);
        insert(&w, add_topic(&w, name));
    }
    insert(&w, add_topic(&w, "a"));
    OK(evb__pattern_split(w.dialect, "#", 1, &tokens));
    for (uint32_t at = 1; at <= 301; at++) {
        struct stop s = {.at = at};

        EQ(evb__index_match(&w.index, &tokens, stop, &s), -7);
        EQ(s.calls, at);
    }
    finish(&w);
}

/* The bound that the struct comment states, with room for chance. */
TEST(a_topic_costs_less_than_14_bytes)
{
    const uint32_t n = 60000;
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_DOT, n);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t r = evb__rng_next(evb_test_rng());

        snprintf(name, sizeof name, "r%u.device%u.s%u.v%u.%u", (unsigned)(r % 20), (unsigned)(r >> 8) % 100,
                 (unsigned)(r >> 24) % 1000, (unsigned)(r >> 48) % 50, i);
        insert(&w, add_topic(&w, name));
    }
    CHECK(evb_test_alloc_live_bytes() < 14 * (int64_t)n);
    check_world(&w);
    finish(&w);
}

TEST(an_index_that_emptied_has_given_its_memory_back)
{
    const uint32_t n = 20000;
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_DOT, n);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s%u.x%u", i % 2 ? "a" : "b.", i % 200, i);
        insert(&w, add_topic(&w, name));
    }
    for (uint32_t i = 0; i < n - 1; i++)
        remove_topic(&w, &w.record[i]);
    check_world(&w);
    EQ(w.index.nodes, 1);
    CHECK(evb_test_alloc_live_bytes() < 512);
    remove_topic(&w, &w.record[n - 1]);
    finish(&w);
}

/* ---- random operations ---- */

/* Names of 1 to 6 tokens from a few words, so that prefixes are shared and patterns match. */
static void random_topic(struct world *w, char *name)
{
    static const char *const words[] = {"a", "b", "c", "$d", "ee", "ab", "", "fff"};
    uint32_t tokens = 1 + (uint32_t)evb__rng_below(evb_test_rng(), 6);
    int n = 0;

    for (uint32_t i = 0; i < tokens; i++) {
        const char *word = words[evb__rng_below(evb_test_rng(), sizeof words / sizeof words[0])];

        if (*word == '\0' && (!w->dialect->empty_tokens || (tokens == 1 && !w->dialect->empty_name)))
            word = "g";
        n += snprintf(name + n, NAME_BYTES - (size_t)n, "%s%s",
                      i > 0 ? (char[]){w->dialect->separator, '\0'} : "", word);
        if (evb__rng_below(evb_test_rng(), 3) == 0)
            n += snprintf(name + n, NAME_BYTES - (size_t)n, "%u",
                          (unsigned)evb__rng_below(evb_test_rng(), 30));
    }
}

/* A topic some of whose tokens have become wildcards. */
static void random_pattern(struct world *w, char *pattern)
{
    struct evb__tokens t;
    char name[NAME_BYTES];
    int n = 0;

    do {
        random_topic(w, name);
        n = 0;
        OK(evb__topic_split(w->dialect, name, strlen(name), &t));
        pattern[0] = '\0';
        for (uint32_t i = 0; i < t.count; i++) {
            uint64_t kind = evb__rng_below(evb_test_rng(), 6);
            const char wild[] = {kind == 0 ? w->dialect->many : w->dialect->one, '\0'};

            n += snprintf(pattern + n, NAME_BYTES - (size_t)n, "%s%.*s",
                          i > 0 ? (char[]){w->dialect->separator, '\0'} : "", kind < 3 ? 1 : (int)t.length[i],
                          kind < 3 ? wild : name + t.start[i]);
        }
    } while (evb__pattern_split(w->dialect, pattern, strlen(pattern), &t) != EVB_OK);
}

static void fill_random(struct world *w, uint32_t n)
{
    char name[NAME_BYTES];

    while (w->count < n) {
        bool known = false;

        random_topic(w, name);
        for (uint32_t i = 0; i < w->count && !known; i++)
            known = strcmp(w->record[i].name, name) == 0;
        if (!known) (void)add_topic(w, name);
    }
}

static void random_walk(uint32_t dialect)
{
    const uint32_t n = 2500, steps = 20000;
    struct world w;
    char pattern[NAME_BYTES];
    uint64_t chance = 50;
    uint32_t reported = 0;

    start(&w, dialect, n);
    fill_random(&w, n);
    for (uint32_t step = 0; step < steps; step++) {
        struct record *one = &w.record[evb__rng_below(evb_test_rng(), n)];

        if (step % (steps / 8) == 0) chance = evb__rng_below(evb_test_rng(), 101);
        if (one->present != (evb__rng_below(evb_test_rng(), 100) < chance)) {
            if (one->present)
                remove_topic(&w, one);
            else
                insert(&w, one);
        }
        if (step % 10 == 0) {
            random_pattern(&w, pattern);
            reported += check_pattern(&w, pattern);
        }
        if (step % 500 == 0) check_world(&w);
    }
    CHECK(reported > 0);
    for (uint32_t i = 0; i < n; i++)
        if (w.record[i].present) remove_topic(&w, &w.record[i]);
    EQ(w.index.nodes, 1);
    finish(&w);
}

TEST(random_operations_agree_with_a_list_in_dot)
{
    random_walk(EVB_TOPICS_DOT);
}

TEST(random_operations_agree_with_a_list_in_mqtt)
{
    random_walk(EVB_TOPICS_MQTT);
}

TEST(random_operations_agree_with_a_list_in_amqp)
{
    random_walk(EVB_TOPICS_AMQP);
}

/* ---- no memory ---- */

/* Whatever fails, insert and remove work; only reserve may say so, and then nothing has changed. */
static void scenario(void *arg)
{
    static const char *const patterns[] = {">", "*", "a.>", "a.*", "b.*.>", "a.7", "b.3.*", "*.3.x"};
    struct world *w = arg;

    evb__index_init(&w->index, w->dialect, SEED);
    w->present = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        if (OK_OR_NOMEM(reserve(w, &w->record[i]))) {
            insert_reserved(w, &w->record[i]);
        } else {
            EQ(evb__index_audit(&w->index), w->present);
        }
    }
    check_world(w);
    for (uint32_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        (void)check_pattern(w, patterns[i]);
    for (uint32_t i = 0; i < w->count - 3; i++)
        if (w->record[i].present) remove_topic(w, &w->record[i]);
    check_world(w);
    for (uint32_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        (void)check_pattern(w, patterns[i]);
    for (uint32_t i = w->count - 3; i < w->count; i++)
        if (w->record[i].present) remove_topic(w, &w->record[i]);
    CHECK(w->index.nodes <= 1);
    evb__index_fini(&w->index);
}

TEST(failing_allocations_lose_no_topic)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_DOT, 700);
    for (uint32_t i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "a.%u", i);
        (void)add_topic(&w, name);
        snprintf(name, sizeof name, "b.%u.x", i % 40 + (i / 40) * 1000);
        (void)add_topic(&w, name);
        snprintf(name, sizeof name, "b.3.%u", i);
        (void)add_topic(&w, name);
        snprintf(name, sizeof name, "r%u", i);
        (void)add_topic(&w, name);
    }
    CHECK(evb_test_alloc_sweep(scenario, &w) >= 40);
    free(w.record);
}

TEST(a_reserve_without_memory_changes_nothing)
{
    struct world w;
    struct record *last;
    char name[NAME_BYTES];
    uint32_t taken = 0;

    start(&w, EVB_TOPICS_DOT, 1000);
    evb_test_alloc_fail_from(1);
    FAILS(evb__index_reserve(&w.index, "a", 1), EVB_ENOMEM);
    EQ(w.index.nodes, 0);
    evb_test_alloc_fail_off();
    insert(&w, add_topic(&w, "a"));
    evb_test_alloc_fail_from(1);
    do {
        CHECK(taken < EVB__INDEX_FULL);
        snprintf(name, sizeof name, "b.%u", taken++);
        last = add_topic(&w, name);
        if (reserve(&w, last) != EVB_OK) break;
        insert_reserved(&w, last);
    } while (true);
    FAILS(reserve(&w, last), EVB_ENOMEM);
    check_world(&w);
    EQ(check_pattern(&w, "b.*"), taken - 1);
    remove_topic(&w, &w.record[0]);
    insert(&w, last); /* its place needs no memory */
    evb_test_alloc_fail_off();
    insert(&w, &w.record[0]);
    check_world(&w);
    EQ(check_pattern(&w, ">"), taken + 1);
    finish(&w);
}

/* Inserts with all memory that reserve wants and none beyond. */
static void insert_poorly(struct world *w, struct record *record)
{
    OK(reserve(w, record));
    evb_test_alloc_fail_from(1);
    insert_reserved(w, record);
    evb_test_alloc_fail_off();
}

TEST(a_node_that_finds_no_memory_is_made_later)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_DOT, 500);
    for (uint32_t i = 0; i < 490; i++) {
        snprintf(name, sizeof name, "%s.%u", i % 2 ? "a" : "b", i);
        insert_poorly(&w, add_topic(&w, name));
    }
    EQ(w.index.nodes, 1);
    EQ(evb__index_longest(&w.index), 490);
    check_world(&w);
    EQ(check_pattern(&w, "a.*"), 245);
    OK(reserve(&w, add_topic(&w, "c")));
    evb_test_alloc_fail_from(2); /* the child is there, its array is not */
    insert_reserved(&w, &w.record[490]);
    CHECK(evb_test_alloc_faults() > 0);
    evb_test_alloc_fail_off();
    EQ(w.index.nodes, 1);
    check_world(&w);
    insert(&w, add_topic(&w, "d"));
    EQ(w.index.nodes, 3); /* root, a, b */
    check_world(&w);
    EQ(check_pattern(&w, "a.*"), 245);
    EQ(check_pattern(&w, ">"), 492);
    finish(&w);
}

TEST(buckets_that_find_no_memory_are_made_later)
{
    struct world w;
    char name[NAME_BYTES];

    start(&w, EVB_TOPICS_DOT, 500);
    for (uint32_t i = 0; i < 400; i++) { /* no token is frequent */
        snprintf(name, sizeof name, "%u", i);
        insert_poorly(&w, add_topic(&w, name));
    }
    EQ(evb__index_longest(&w.index), 400);
    for (uint32_t k = 1; k <= 4; k++) { /* the buckets themselves, the array of one of them */
        snprintf(name, sizeof name, "x%u", k);
        OK(reserve(&w, add_topic(&w, name)));
        evb_test_alloc_fail_once_at(k);
        insert_reserved(&w, &w.record[399 + k]);
        EQ(evb_test_alloc_faults(), 1);
        evb_test_alloc_fail_off();
        EQ(evb__index_longest(&w.index), 400 + k);
        check_world(&w);
        EQ(check_pattern(&w, "*"), 400 + k);
    }
    insert(&w, add_topic(&w, "y"));
    CHECK(evb__index_longest(&w.index) < 300);
    check_world(&w);
    EQ(check_pattern(&w, "*"), 405);
    finish(&w);
}

TEST(a_node_is_folded_later_when_its_parent_has_no_room)
{
    struct world w;
    char name[NAME_BYTES];
    uint32_t spare = 0;

    start(&w, EVB_TOPICS_DOT, 1000);
    for (uint32_t i = 0; i < 140; i++) {
        snprintf(name, sizeof name, "a.%u", i);
        insert(&w, add_topic(&w, name));
    }
    EQ(w.index.nodes, 2);
    evb_test_alloc_fail_from(1);
    for (;; spare++) { /* until the root's bucket is full */
        snprintf(name, sizeof name, "r%u", spare);
        if (reserve(&w, add_topic(&w, name)) != EVB_OK) break;
        insert_reserved(&w, &w.record[140 + spare]);
    }
    for (uint32_t i = 0; i < 139; i++)
        remove_topic(&w, &w.record[i]);
    EQ(w.index.nodes, 2);
    check_world(&w);
    EQ(check_pattern(&w, "a.*"), 1);
    remove_topic(&w, &w.record[139]); /* a node that is empty goes without memory */
    EQ(w.index.nodes, 1);
    check_world(&w);
    evb_test_alloc_fail_off();
    for (uint32_t i = 0; i < 140; i++)
        insert(&w, &w.record[i]);
    for (uint32_t i = 0; i < 139; i++)
        remove_topic(&w, &w.record[i]);
    EQ(w.index.nodes, 1);
    check_world(&w);
    EQ(check_pattern(&w, "a.*"), 1);
    finish(&w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_index_matches_nothing_and_has_no_memory),
        cmocka_unit_test(a_topic_is_reported_to_the_patterns_that_match_it),
        cmocka_unit_test(topics_below_a_common_prefix_move_to_a_node_of_their_own),
        cmocka_unit_test(a_deep_prefix_is_followed_node_by_node),
        cmocka_unit_test(wildcards_do_not_see_dollar_topics_in_mqtt),
        cmocka_unit_test(wildcards_see_dollar_topics_in_dot),
        cmocka_unit_test(the_empty_amqp_topic_is_one),
        cmocka_unit_test(a_match_reads_hardly_a_name_that_it_does_not_report),
        cmocka_unit_test(children_are_found_by_hash),
        cmocka_unit_test(a_match_stops_when_told_and_answers_why),
        cmocka_unit_test(a_topic_costs_less_than_14_bytes),
        cmocka_unit_test(an_index_that_emptied_has_given_its_memory_back),
        cmocka_unit_test(random_operations_agree_with_a_list_in_dot),
        cmocka_unit_test(random_operations_agree_with_a_list_in_mqtt),
        cmocka_unit_test(random_operations_agree_with_a_list_in_amqp),
        cmocka_unit_test(failing_allocations_lose_no_topic),
        cmocka_unit_test(a_reserve_without_memory_changes_nothing),
        cmocka_unit_test(a_node_that_finds_no_memory_is_made_later),
        cmocka_unit_test(buckets_that_find_no_memory_are_made_later),
        cmocka_unit_test(a_node_is_folded_later_when_its_parent_has_no_room),
    };

    return EVB_TEST_MAIN("index", tests, argc, argv);
}
