/* SPDX-License-Identifier: MIT */
/* One thread: emit by handle beside the raw loop, emit by name, on and off.
 *
 * Built twice, against the static library (with the raw loop) and against the shared one (BENCH_IMPL
 * evbus.so), so that a call through the exported function has its own row. Each listener adds its argument to
 * a counter, the same one for all listeners of a topic, as in the raw loop; each batch compares the counter
 * with what n emits must give.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_raw.h"

#ifndef BENCH_IMPL
#define BENCH_IMPL "evbus"
#endif
#define NAMES_MAX 10000
#define NAME_SIZE 16

static int32_t add(const evb_event *ev, void *user)
{
    *(uint64_t *)user += *(const uint64_t *)ev->data;
    return EVB_OK;
}

/* ---- by handle ---- */

struct emit_state {
    uint32_t listeners;
    evb_topic *topic;
    uint64_t counter;
    struct raw_list raw;
};

static bool emit_batch(void *arg, uint64_t n)
{
    struct emit_state *s = arg;
    uint64_t one = 1, before = s->counter, reached = 0;

    for (uint64_t i = 0; i < n; i++)
        reached += (uint64_t)evb_topic_emit(s->topic, &one, sizeof one);
    return reached == n * s->listeners && s->counter - before == n * s->listeners;
}

#ifndef BENCH_SHARED
static bool raw_batch(void *arg, uint64_t n)
{
    struct emit_state *s = arg;
    uint64_t one = 1, before = s->counter;
    evb_event event = {.data = &one, .size = sizeof one, .topic = "raw", .topic_len = 3};

    for (uint64_t i = 0; i < n; i++)
        raw_emit(&s->raw, &event);
    return s->counter - before == n * s->listeners;
}
#endif

static void add_emit_cases(evb_bus *bus)
{
    static const uint32_t counts[] = {0, 1, 4, 16, 64};
    static struct emit_state states[5];

    for (uint32_t i = 0; i < 5; i++) {
        struct emit_state *s = &states[i];
        char name[32];

        s->listeners = counts[i];
        s->raw.count = counts[i];
        snprintf(name, sizeof name, "emit.%u", counts[i]);
        bench_require(evb_topic_open(bus, name, &s->topic) == EVB_OK, "evb_topic_open");
        for (uint32_t k = 0; k < counts[i]; k++) {
            s->raw.entries[k].fn = add;
            s->raw.entries[k].user = &s->counter;
            bench_require(evb_on(bus, name, add, &s->counter) > 0, "evb_on");
        }
        snprintf(name, sizeof name, "emit/%u", counts[i]);
        bench_add(name, BENCH_IMPL, emit_batch, s);
#ifndef BENCH_SHARED
        bench_add(name, "raw", raw_batch, s);
#endif
    }
}

/* ---- by name: a random one of `count` names an emit, one listener each ---- */

struct name_state {
    evb_bus *bus;
    uint32_t count, random;
    uint64_t counter;
    char (*names)[NAME_SIZE];
    evb_topic **topics;
};

static bool name_batch(void *arg, uint64_t n)
{
    struct name_state *s = arg;
    uint64_t one = 1, before = s->counter, reached = 0;

    for (uint64_t i = 0; i < n; i++)
        reached += (uint64_t)evb_emit(s->bus, s->names[bench_pick(&s->random, s->count)], &one, sizeof one);
    return reached == n && s->counter - before == n;
}

static bool handle_batch(void *arg, uint64_t n)
{
    struct name_state *s = arg;
    uint64_t one = 1, before = s->counter, reached = 0;

    for (uint64_t i = 0; i < n; i++)
        reached += (uint64_t)evb_topic_emit(s->topics[bench_pick(&s->random, s->count)], &one, sizeof one);
    return reached == n && s->counter - before == n;
}

#ifndef BENCH_SHARED
/* What picking a name and any call cost; it is part of the two rows above and not subtracted from them. */
static bool loop_batch(void *arg, uint64_t n)
{
    struct name_state *s = arg;

    for (uint64_t i = 0; i < n; i++)
        raw_nothing(s->names[bench_pick(&s->random, s->count)]);
    return s->random != 0;
}
#endif

static void add_name_cases(void)
{
    static const struct {
        uint32_t count;
        const char *label;
    } sizes[] = {{1, "1"}, {100, "100"}, {NAMES_MAX, "10k"}};
    static struct name_state states[3];

    for (uint32_t i = 0; i < 3; i++) {
        struct name_state *s = &states[i];
        char label[32];

        s->count = sizes[i].count;
        s->random = 2463534242u;
        s->names = calloc(s->count, sizeof *s->names);
        s->topics = calloc(s->count, sizeof(evb_topic *));
        bench_require(s->names != NULL && s->topics != NULL, "no memory");
        bench_require(evb_bus_create(NULL, &s->bus) == EVB_OK, "evb_bus_create");
        for (uint32_t k = 0; k < s->count; k++) {
            snprintf(s->names[k], NAME_SIZE, "sensor-%05u-on", k % 100000);
            bench_require(evb_on(s->bus, s->names[k], add, &s->counter) > 0, "evb_on");
            bench_require(evb_topic_open(s->bus, s->names[k], &s->topics[k]) == EVB_OK, "evb_topic_open");
        }
        snprintf(label, sizeof label, "name/%s", sizes[i].label);
        bench_add(label, BENCH_IMPL, name_batch, s);
        snprintf(label, sizeof label, "handle/%s", sizes[i].label);
        bench_add(label, BENCH_IMPL, handle_batch, s);
#ifndef BENCH_SHARED
        snprintf(label, sizeof label, "loop/%s", sizes[i].label);
        bench_add(label, "loop", loop_batch, s);
#endif
    }
}

/* ---- on and off of a fifth listener, nobody emitting ---- */

struct pair_state {
    evb_bus *bus;
    uint64_t counter, freed;
    uint32_t listeners; /* on the topic before and after */
};

static void count_free(void *user)
{
    ((struct pair_state *)user)->freed++;
}

static bool pair_batch(void *arg, uint64_t n)
{
    struct pair_state *s = arg;
    uint64_t failed = 0;

    for (uint64_t i = 0; i < n; i++) {
        int64_t id = evb_on(s->bus, "pair.topic", add, &s->counter);

        failed += id <= 0 || evb_off(s->bus, id) != EVB_OK;
    }
    return failed == 0 && evb_listener_count(s->bus, "pair.topic") == (int32_t)s->listeners;
}

static bool free_user_batch(void *arg, uint64_t n)
{
    static const evb_listen_opts opts = {.struct_size = sizeof opts, .free_user = count_free};
    struct pair_state *s = arg;
    uint64_t failed = 0, before = s->freed;

    for (uint64_t i = 0; i < n; i++) {
        int64_t id = evb_listen(s->bus, "pair.topic", &opts, add, s);

        failed += id <= 0 || evb_off(s->bus, id) != EVB_OK;
    }
    /* Nobody emits, so free_user has run before each evb_off returned. */
    return failed == 0 && s->freed - before == n &&
           evb_listener_count(s->bus, "pair.topic") == (int32_t)s->listeners;
}

static bool wildcard_pair_batch(void *arg, uint64_t n)
{
    struct pair_state *s = arg;
    uint64_t failed = 0;

    for (uint64_t i = 0; i < n; i++) {
        int64_t id = evb_on(s->bus, "pair.*", add, &s->counter);

        failed += id <= 0 || evb_off(s->bus, id) != EVB_OK;
    }
    return failed == 0 && evb_listener_count(s->bus, "pair.topic") == (int32_t)s->listeners;
}

static void add_pair_cases(evb_bus *bus)
{
    static struct pair_state s;

    s.bus = bus;
    s.listeners = 4;
    for (uint32_t i = 0; i < s.listeners; i++)
        bench_require(evb_on(bus, "pair.topic", add, &s.counter) > 0, "evb_on");
    bench_add("onoff/plain", BENCH_IMPL, pair_batch, &s);
    bench_add("onoff/free_user", BENCH_IMPL, free_user_batch, &s);
    bench_add("onoff/wildcard", BENCH_IMPL, wildcard_pair_batch, &s);
}

int main(int argc, char **argv)
{
    evb_bus_opts opts = {.struct_size = sizeof opts, .listener_warning = UINT32_MAX};
    evb_bus *bus;

    bench_info("evbus", evb_version_string());
    bench_require(evb_bus_create(&opts, &bus) == EVB_OK, "evb_bus_create");
    /* Counting instructions is slow: only what is asked for is set up then. */
    if (bench_wants(argc, argv, "emit/")) add_emit_cases(bus);
    if (bench_wants(argc, argv, "name/")) add_name_cases();
    if (bench_wants(argc, argv, "onoff/")) add_pair_cases(bus);
    return bench_main(argc, argv);
}
