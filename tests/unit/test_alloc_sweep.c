/* SPDX-License-Identifier: MIT */
/* No memory, at every allocation of every call: EVB_ENOMEM without a trace, and the next try works. Removing,
 * emitting, closing and destroying need no memory at all.
 *
 * A *case* is a state of the bus and one call in it. The state is built with memory; then the call runs with
 * its first allocation failing, its second, and so on, once alone and once with all that follow, until it
 * meets no failure. Around a failed call a *picture* of the bus is compared: who is called by emits on a set
 * of names, in which order, what counts and patterns say, and what the tables hold.
 */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "bus/bus.h"

static evb_bus *bus;
static evb_topic *handles[80];
static uint32_t handle_count;
static int given_back;
static uint64_t trace;
static int owners[40];

/* user is a number that says who was called. */
static int32_t note(const evb_event *ev, void *user)
{
    trace = evb__mix(trace ^ (uint64_t)(uintptr_t)user, EVB__HASH_K0) + ev->topic_len;
    return EVB_OK;
}

static int32_t accept_all(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 1;
}

static void give_back(void *user)
{
    (void)user;
    given_back++;
}

static void *number(uintptr_t n)
{
    return (void *)n;
}

/* ---- the picture ---- */

static const char *const probes[] = {"a",  "a.b",  "a.c",  "a.b.c", "x.y",
                                     "n0", "n1.a", "w1.a", "new",   "new.a.b"};
#define PROBES (sizeof probes / sizeof probes[0])

struct picture {
    int32_t count[PROBES], called[PROBES];
    uint64_t order[PROBES], patterns, by_handle;
    uint32_t listeners, topics, names, nodes, tokens, owned;
};

static int32_t add_pattern(const char *pattern, uint32_t listeners, void *user)
{
    struct picture *p = user;

    p->patterns = evb__hash(pattern, strlen(pattern), p->patterns + listeners);
    return 0;
}

static struct picture take_picture(void)
{
    struct picture p;

    memset(&p, 0, sizeof p);
    for (size_t i = 0; i < PROBES; i++) {
        trace = 0;
        p.count[i] = evb_listener_count(bus, probes[i]);
        p.called[i] = evb_emit(bus, probes[i], NULL, 0);
        p.order[i] = trace;
    }
    trace = 0;
    for (uint32_t h = 0; h < handle_count; h++)
        (void)evb_topic_emit(handles[h], NULL, 0);
    p.by_handle = trace;
    EQ(evb_patterns(bus, add_pattern, &p), 0);
    p.listeners = bus->listeners;
    p.topics = bus->topics;
    p.names = bus->names.live;
    p.nodes = bus->trie.nodes;
    p.tokens = evb__trie_tokens(&bus->trie);
    p.owned = bus->owned;
    return p;
}

/* ---- states ---- */

static void open_topic(const char *name)
{
    OK(evb_topic_open(bus, name, &handles[handle_count++]));
}

static void add(const char *pattern, uintptr_t n)
{
    (void)ID(evb_on(bus, pattern, note, number(n)));
}

static void state_empty(uint32_t n)
{
    (void)n;
}

static void state_opened(uint32_t n)
{
    (void)n;
    open_topic("a.b");
    open_topic("a.c");
    open_topic("x.y");
}

/* Each topic has n listeners: none, its own record, blocks with room, full ones. */
static void state_listened(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        add("a", 10 + i);
        add("a.b", 20 + i);
        add("a.c", 30 + i);
        add("a.b.c", 40 + i);
    }
    open_topic("a.b");
}

static void state_wildcards(uint32_t n)
{
    open_topic("a.c");
    for (uint32_t i = 0; i < n; i++) {
        add("a.*", 50 + i);
        add(">", 60 + i);
        add("a.b", 70 + i);
        if (i % 3 == 0)
            (void)ID(
                evb_listen(bus, "a.>", &(evb_listen_opts){.priority = (int32_t)i - 2}, note, number(80 + i)));
    }
}

/* Blocks with dead entries in them. */
static void state_gaps(uint32_t n)
{
    int64_t ids[16];

    open_topic("a.b");
    for (uint32_t i = 0; i < n && i < 16; i++)
        ids[i] = ID(evb_on(bus, i % 2 != 0 ? "a.*" : "a.b", note, number(90 + i)));
    for (uint32_t i = 0; i < n && i < 16; i += 3)
        OK(evb_off(bus, ids[i]));
}

/* Name table, trie, tokens, owners and listener records are about to grow. */
static void state_many(uint32_t n)
{
    char name[32];

    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "n%u", (unsigned)i);
        add(name, 100 + i);
        (void)snprintf(name, sizeof name, "w%u.*", (unsigned)i);
        (void)ID(evb_listen(bus, name, &(evb_listen_opts){.owner = &owners[i % 40]}, note, number(200 + i)));
        if (i % 4 == 0) {
            (void)snprintf(name, sizeof name, "n%u.a", (unsigned)i);
            open_topic(name);
        }
    }
}

static const struct {
    const char *name;
    void (*build)(uint32_t n);
    uint32_t from, to, step;
} states[] = {
    {"empty", state_empty, 0, 0, 1},        {"opened", state_opened, 0, 0, 1},
    {"listened", state_listened, 1, 10, 1}, {"wildcards", state_wildcards, 1, 10, 1},
    {"gaps", state_gaps, 2, 16, 1},         {"many", state_many, 1, 70, 3},
};

/* ---- calls ---- */

static int64_t call_on_literal(void)
{
    return evb_on(bus, "a.b", note, number(1));
}

static int64_t call_on_new_literal(void)
{
    return evb_on(bus, "new.a.b", note, number(1));
}

static int64_t call_on_wildcard(void)
{
    return evb_on(bus, "a.*", note, number(1));
}

static int64_t call_on_new_wildcard(void)
{
    return evb_on(bus, "new.*.b", note, number(1));
}

static int64_t call_on_everything(void)
{
    return evb_on(bus, ">", note, number(1));
}

static int64_t call_once(void)
{
    return evb_once(bus, "x.*", note, number(1));
}

static int64_t call_prepend_literal(void)
{
    return evb_prepend(bus, "a.b", note, number(1));
}

static int64_t call_prepend_wildcard(void)
{
    return evb_prepend(bus, "*.*", note, number(1));
}

static int64_t call_listen_literal(void)
{
    return evb_listen(
        bus, "a.b",
        &(evb_listen_opts){.owner = &bus, .free_user = give_back, .filter = accept_all, .priority = 1}, note,
        number(1));
}

static int64_t call_listen_wildcard(void)
{
    return evb_listen(
        bus, "*.>",
        &(evb_listen_opts){.owner = &bus, .free_user = give_back, .flags = EVB_MONITOR, .priority = -1}, note,
        number(1));
}

static int64_t call_open(void)
{
    evb_topic *topic = (evb_topic *)&bus;
    int32_t status = evb_topic_open(bus, "a.b", &topic);

    if (status != EVB_OK)
        EQ_PTR(topic, &bus); /* untouched */
    else
        handles[handle_count++] = topic;
    return status;
}

static int64_t call_open_new(void)
{
    evb_topic *topic = (evb_topic *)&bus;
    int32_t status = evb_topic_open(bus, "w1.a.new", &topic);

    if (status != EVB_OK)
        EQ_PTR(topic, &bus); /* untouched */
    else
        handles[handle_count++] = topic;
    return status;
}

static int32_t no_pattern(const char *pattern, uint32_t listeners, void *user)
{
    (void)pattern;
    (void)listeners;
    (void)user;
    return 0;
}

static int64_t call_patterns(void)
{
    return evb_patterns(bus, no_pattern, NULL);
}

static const struct {
    const char *name;
    int64_t (*call)(void);
} calls[] = {
    {"on literal", call_on_literal},
    {"on new literal", call_on_new_literal},
    {"on wildcard", call_on_wildcard},
    {"on new wildcard", call_on_new_wildcard},
    {"on everything", call_on_everything},
    {"once", call_once},
    {"prepend literal", call_prepend_literal},
    {"prepend wildcard", call_prepend_wildcard},
    {"listen literal", call_listen_literal},
    {"listen wildcard", call_listen_wildcard},
    {"open", call_open},
    {"open new", call_open_new},
    {"patterns", call_patterns},
};

/* ---- the sweep ---- */

static uint32_t faults_met;
static const char *where;

static void begin_state(size_t s, uint32_t n)
{
    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = UINT32_MAX}, &bus));
    handle_count = 0;
    given_back = 0;
    states[s].build(n);
}

static void end_state(void)
{
    for (uint32_t h = 0; h < handle_count; h++)
        evb_topic_close(handles[h]);
    evb_bus_destroy(bus);
}

/* One call with its k-th allocation failing. Answers false when it has so many no more. */
static bool fails_cleanly(size_t s, uint32_t n, size_t c, uint64_t k, bool all)
{
    struct picture before, after;
    int64_t answer;
    bool met;

    begin_state(s, n);
    before = take_picture();
    if (all)
        evb_test_alloc_fail_from(k);
    else
        evb_test_alloc_fail_once_at(k);
    answer = calls[c].call();
    evb_test_alloc_fail_off();
    met = evb_test_alloc_faults() != 0;
    if (answer < 0) {
        if (answer != EVB_ENOMEM || !met)
            evb_test_fail(__FILE__, __LINE__, "%s: answered %lld, %s", where, (long long)answer,
                          met ? "not EVB_ENOMEM" : "without a fault");
        after = take_picture();
        if (memcmp(&before, &after, sizeof before) != 0)
            evb_test_fail(__FILE__, __LINE__, "%s: allocation %u failed, and the bus is not as before", where,
                          (unsigned)k);
        if (given_back != 0)
            evb_test_fail(__FILE__, __LINE__, "%s: the failed call has run free_user", where);
        answer = calls[c].call();
        if (answer < 0)
            evb_test_fail(__FILE__, __LINE__, "%s: the second try answered %lld", where, (long long)answer);
    }
    end_state();
    faults_met += met;
    return met;
}

static void sweep(size_t s)
{
    char text[128];

    faults_met = 0;
    where = text;
    for (uint32_t n = states[s].from; n <= states[s].to; n += states[s].step)
        for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
            (void)snprintf(text, sizeof text, "%s in state %s(%u)", calls[c].name, states[s].name,
                           (unsigned)n);
            for (int all = 0; all < 2; all++)
                for (uint64_t k = 1; fails_cleanly(s, n, c, k, all != 0); k++) {
                }
        }
    printf("%u calls met a fault\n", faults_met);
    CHECK(faults_met > 20);
}

TEST(every_call_on_an_empty_bus_survives_every_failed_allocation)
{
    sweep(0);
}

TEST(every_call_beside_opened_topics_survives_every_failed_allocation)
{
    sweep(1);
}

TEST(every_call_beside_literal_listeners_survives_every_failed_allocation)
{
    sweep(2);
}

TEST(every_call_beside_wildcards_survives_every_failed_allocation)
{
    sweep(3);
}

TEST(every_call_beside_removed_listeners_survives_every_failed_allocation)
{
    sweep(4);
}

TEST(every_call_that_makes_tables_grow_survives_every_failed_allocation)
{
    sweep(5);
}

/* ---- from create to destroy ---- */

static void whole_life(void *arg)
{
    static const char *const patterns[] = {"a.b", "a.*", "a.b", ">", "a.>", "x", "a.*"};
    evb_topic *topic = NULL, *second = NULL;
    int expected_back = 0;

    (void)arg;
    given_back = 0;
    if (!OK_OR_NOMEM(evb_bus_create(NULL, &bus))) return;
    (void)OK_OR_NOMEM(evb_topic_open(bus, "a.b", &topic));
    for (uintptr_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        evb_listen_opts o = {
            .flags = i == 2 ? EVB_ONCE : 0, .owner = i % 2 != 0 ? &owners[i] : NULL, .free_user = give_back};

        expected_back += OK_OR_NOMEM(evb_listen(bus, patterns[i], &o, note, number(i)));
    }
    (void)OK_OR_NOMEM(evb_topic_open(bus, "a.c", &second));
    CHECK(evb_emit(bus, "a.b", NULL, 0) <= 6);
    if (topic != NULL) CHECK(evb_topic_emit(topic, NULL, 0) <= 5);
    (void)OK_OR_NOMEM(evb_patterns(bus, no_pattern, NULL));
    CHECK(evb_off_all(bus, "a.*") <= 2);
    CHECK(evb_off_owner(bus, &owners[3]) <= 1);
    evb_topic_close(topic);
    evb_topic_close(second);
    evb_bus_destroy(bus);
    EQ(given_back, expected_back);
}

TEST(a_whole_life_survives_every_failed_allocation)
{
    CHECK(evb_test_alloc_sweep(whole_life, NULL) > 20);
}

static void create_fails(void *arg)
{
    evb_bus *untouched = arg, *made = arg;

    if (OK_OR_NOMEM(evb_bus_create(&(evb_bus_opts){.dialect = EVB_TOPICS_AMQP, .name = "n"}, &made)))
        evb_bus_destroy(made);
    else
        EQ_PTR(made, untouched);
}

TEST(a_bus_that_cannot_be_created_is_none)
{
    CHECK(evb_test_alloc_sweep(create_fails, &bus) > 0);
}

/* ---- what needs no memory ---- */

static int64_t add_owned(const char *pattern, uint32_t flags, const void *owner)
{
    return ID(evb_listen(bus, pattern,
                         &(evb_listen_opts){.flags = flags, .owner = owner, .free_user = give_back}, note,
                         NULL));
}

TEST(emits_removals_closes_and_destroy_work_without_any_memory)
{
    static const char *const patterns[] = {"a.b", "a.*", "a.>", "a.c", "*.*"};
    evb_topic *topic[2];
    int64_t ids[100];

    for (int round = 0; round < 4; round++) {
        given_back = 0;
        OK(evb_bus_create(&(evb_bus_opts){.listener_warning = UINT32_MAX}, &bus));
        OK(evb_topic_open(bus, "a.b", &topic[0]));
        OK(evb_topic_open(bus, "a.d", &topic[1]));
        for (int i = 0; i < 100; i++)
            ids[i] = add_owned(patterns[i % 5], i % 7 == 0 ? EVB_ONCE : 0, i % 4 == 0 ? &owners[0] : NULL);
        evb_test_alloc_fail_from(1);
        EQ(evb_listener_count(bus, "a.b"), 80);
        EQ(evb_listener_count(bus, "a.unlisted"), 60);
        EQ(evb_emit(bus, "a.unlisted", NULL, 0), 60);
        EQ(evb_topic_emit(topic[0], NULL, 0), 80 - 9); /* the nine onces of the wildcards have fired */
        EQ(evb_emit(bus, "a.c", NULL, 0), 80 - 9);
        EQ(given_back, 15);
        FAILS(evb_on(bus, "a.b.c.d", note, NULL), EVB_ENOMEM);
        FAILS(evb_off(bus, ids[7]), EVB_ENOTFOUND);
        for (int i = 1; i < 20; i += 2)
            if (i % 7 != 0) OK(evb_off(bus, ids[i]));
        OK(evb_off_wait(bus, ids[22]));
        if (round == 1) evb_topic_close(topic[0]);
        if (round != 0) CHECK(evb_off_owner(bus, &owners[0]) > 10);
        if (round != 0) CHECK(evb_off_all(bus, "a.*") > 5);
        if (round == 2) CHECK(evb_off_all(bus, NULL) > 20);
        if (round == 2) EQ(bus->topics, 2);
        if (round == 2) EQ(bus->trie.nodes, 0);
        evb_bus_destroy(bus);
        EQ(given_back, 100);
        if (round != 1) evb_topic_close(topic[0]);
        FAILS(evb_topic_emit(topic[1], NULL, 0), EVB_ECLOSED);
        evb_topic_close(topic[1]);
        evb_test_alloc_fail_off();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_on_an_empty_bus_survives_every_failed_allocation),
        cmocka_unit_test(every_call_beside_opened_topics_survives_every_failed_allocation),
        cmocka_unit_test(every_call_beside_literal_listeners_survives_every_failed_allocation),
        cmocka_unit_test(every_call_beside_wildcards_survives_every_failed_allocation),
        cmocka_unit_test(every_call_beside_removed_listeners_survives_every_failed_allocation),
        cmocka_unit_test(every_call_that_makes_tables_grow_survives_every_failed_allocation),
        cmocka_unit_test(a_whole_life_survives_every_failed_allocation),
        cmocka_unit_test(a_bus_that_cannot_be_created_is_none),
        cmocka_unit_test(emits_removals_closes_and_destroy_work_without_any_memory),
    };
    return EVB_TEST_MAIN("alloc_sweep", tests, argc, argv);
}
