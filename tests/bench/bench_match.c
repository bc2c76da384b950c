/* SPDX-License-Identifier: MIT */
/* Cold wildcard matching through the public API: bench_match DIRECTORY-OF-WORKLOADS.
 *
 * Each pattern is one evb_on, each topic one evb_emit by name; no topic handle exists while cold topics are
 * measured. A listener adds up the number of its pattern, and each batch compares count and sum with the
 * workload's expectation.
 *
 *      match/N/cold       the topics in turn: one comes again after 199 999 others
 *      match/N/hot        256 topics again and again, by name; `handle`: by handle
 *      match/N/replace    evb_off of a random pattern and evb_on of the same
 *      match/N/subscribe  a new bus and N x evb_on, ns a pattern; with it
 *          bytes_hook         per subscription: sizes asked of the allocator hook
 *          bytes_heap         the same by mallinfo2
 *          bytes_rss          the same by the resident set
 *          bytes_hook_walked  bytes_hook after every topic was emitted once
 *          first_pass_ns      a topic in that first pass
 *          destroy_ns         evb_bus_destroy of the bus before, per pattern
 */
#include <evbus.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "workload.h"

#define IMPL "evbus"
#define HOT  256u

struct match_state {
    const char *label, *path;
    struct workload w;
    evb_bus *bus;
    int64_t *ids;
    evb_topic *hot[HOT];
    uint64_t position; /* next cold topic */
    uint32_t random;
    uint64_t cold_slice, hot_slice, handle_slice, replace_slice;
};

static uint64_t matches, match_sum, hook_bytes;

static int32_t count_match(const evb_event *ev, void *user)
{
    (void)ev;
    matches++;
    match_sum += (uintptr_t)user; /* the number of its pattern */
    return EVB_OK;
}

/* ---- memory ---- */

static void *hook_alloc(size_t size, size_t align, void *user)
{
    void *p = NULL;

    (void)user;
    if (align <= 16)
        p = malloc(size);
    else if (posix_memalign(&p, align, size) != 0)
        p = NULL;
    if (p != NULL) hook_bytes += size;
    return p;
}

static void hook_free(void *ptr, size_t size, void *user)
{
    (void)user;
    if (ptr == NULL) return;
    hook_bytes -= size;
    free(ptr);
}

struct footprint {
    double hook, heap, rss;
};

static struct footprint footprint(void)
{
    struct mallinfo2 info = mallinfo2();
    struct footprint f = {(double)hook_bytes, (double)info.uordblks + (double)info.hblkhd, 0};
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long size, resident;

    if (statm == NULL) return f;
    if (fscanf(statm, "%lu %lu", &size, &resident) == 2)
        f.rss = (double)resident * (double)sysconf(_SC_PAGESIZE);
    fclose(statm);
    return f;
}

/* ---- batches ---- */

static bool cold_batch(void *arg, uint64_t n)
{
    struct match_state *s = arg;
    uint64_t count = matches, sum = match_sum, first = s->position, reached = 0, want_count, want_sum;
    uint64_t at = first;

    for (uint64_t i = 0; i < n; i++) {
        reached += (uint64_t)evb_emit(s->bus, s->w.topic[at], NULL, 0);
        if (++at == s->w.topics) at = 0;
    }
    s->position = at;
    workload_expect(&s->w, first, n, &want_count, &want_sum);
    return matches - count == want_count && match_sum - sum == want_sum && reached == want_count;
}

/* The first HOT topics of the file in turn. */
static bool hot_batch(void *arg, uint64_t n)
{
    struct match_state *s = arg;
    uint64_t count = matches, sum = match_sum, want_count, want_sum;

    for (uint64_t i = 0; i < n; i++)
        evb_emit(s->bus, s->w.topic[i % HOT], NULL, 0);
    want_count = n / HOT * s->w.count_before[HOT] + s->w.count_before[n % HOT];
    want_sum = n / HOT * s->w.sum_before[HOT] + s->w.sum_before[n % HOT];
    return matches - count == want_count && match_sum - sum == want_sum;
}

static bool handle_batch(void *arg, uint64_t n)
{
    struct match_state *s = arg;
    uint64_t count = matches, sum = match_sum, want_count, want_sum;

    for (uint64_t i = 0; i < n; i++)
        evb_topic_emit(s->hot[i % HOT], NULL, 0);
    want_count = n / HOT * s->w.count_before[HOT] + s->w.count_before[n % HOT];
    want_sum = n / HOT * s->w.sum_before[HOT] + s->w.sum_before[n % HOT];
    return matches - count == want_count && match_sum - sum == want_sum;
}

static int64_t subscribe(struct match_state *s, uint32_t i)
{
    return evb_on(s->bus, s->w.pattern[i], count_match, (void *)((uintptr_t)i + 1));
}

static bool replace_batch(void *arg, uint64_t n)
{
    struct match_state *s = arg;
    uint64_t failed = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint32_t k = bench_pick(&s->random, s->w.patterns);

        failed += evb_off(s->bus, s->ids[k]) != EVB_OK;
        s->ids[k] = subscribe(s, k);
        failed += s->ids[k] <= 0;
    }
    return failed == 0;
}

/* ---- building ---- */

static bool subscribe_all(struct match_state *s)
{
    /* Threshold warnings would be about the workload, not about a leak. */
    evb_bus_opts opts = {.struct_size = sizeof opts, .listener_warning = UINT32_MAX};

    if (evb_bus_create(&opts, &s->bus) != EVB_OK) return false;
    for (uint32_t i = 0; i < s->w.patterns; i++) {
        s->ids[i] = subscribe(s, i);
        if (s->ids[i] <= 0) return false;
    }
    return true;
}

static void build(struct match_state *s, struct bench_result *ret)
{
    struct footprint before, subscribed, walked;
    int64_t start;
    double n;

    if (s->w.patterns == 0) {
        bench_require(workload_load(&s->w, s->path), s->path);
        s->ids = calloc(s->w.patterns, sizeof *s->ids);
        bench_require(s->ids != NULL, "no memory");
    }
    n = s->w.patterns;
    if (s->bus != NULL) {
        start = bench_now_ns();
        evb_bus_destroy(s->bus);
        bench_extra(ret, "destroy_ns", (double)(bench_now_ns() - start) / n);
    }
    malloc_trim(0); /* what the destroyed bus left free would hide what the new one takes */
    before = footprint();
    start = bench_now_ns();
    if (!subscribe_all(s)) {
        bench_wrong(ret, "a subscription failed");
        return;
    }
    ret->ns = (double)(bench_now_ns() - start) / n;
    subscribed = footprint();
    s->position = 0;
    start = bench_now_ns();
    if (!cold_batch(s, s->w.topics))
        bench_wrong(ret, "the first pass over all topics does not match the oracle");
    bench_extra(ret, "first_pass_ns", (double)(bench_now_ns() - start) / s->w.topics);
    walked = footprint();
    bench_extra(ret, "bytes_hook", (subscribed.hook - before.hook) / n);
    bench_extra(ret, "bytes_heap", (subscribed.heap - before.heap) / n);
    bench_extra(ret, "bytes_rss", (subscribed.rss - before.rss) / n);
    bench_extra(ret, "bytes_hook_walked", (walked.hook - before.hook) / n);
    bench_extra(ret, "matches", (double)s->w.count_before[s->w.topics] / s->w.topics);
}

/* The bus of this size exists and every topic has been emitted once. */
static bool ready(struct match_state *s, struct bench_result *ret)
{
    struct bench_result built = {.ns = 0};

    if (s->bus == NULL) build(s, &built);
    if (built.wrong[0] != '\0') bench_wrong(ret, "%s", built.wrong);
    return ret->wrong[0] == '\0';
}

static void measure_subscribe(void *arg, struct bench_result *ret)
{
    build(arg, ret);
}

static void measure_cold(void *arg, struct bench_result *ret)
{
    struct match_state *s = arg;

    if (ready(s, ret)) bench_time(cold_batch, s, &s->cold_slice, ret);
}

static void measure_hot(void *arg, struct bench_result *ret)
{
    struct match_state *s = arg;

    if (ready(s, ret)) bench_time(hot_batch, s, &s->hot_slice, ret);
}

/* The handles live only here: an interned topic is found by its name, and `cold` and `hot` would no longer
 * match. */
static void measure_handle(void *arg, struct bench_result *ret)
{
    struct match_state *s = arg;

    if (!ready(s, ret)) return;
    for (uint32_t i = 0; i < HOT; i++)
        bench_require(evb_topic_open(s->bus, s->w.topic[i], &s->hot[i]) == EVB_OK, "evb_topic_open");
    bench_time(handle_batch, s, &s->handle_slice, ret);
    for (uint32_t i = 0; i < HOT; i++)
        evb_topic_close(s->hot[i]);
}

static void measure_replace(void *arg, struct bench_result *ret)
{
    struct match_state *s = arg;

    if (ready(s, ret)) bench_time(replace_batch, s, &s->replace_slice, ret);
}

static void add_size(struct match_state *s, const char *directory, const char *label,
                     uint32_t subscribe_every)
{
    static const struct {
        const char *name;
        bench_measure_fn measure;
    } rows[] = {{"cold", measure_cold},
                {"hot", measure_hot},
                {"handle", measure_handle},
                {"replace", measure_replace},
                {"subscribe", measure_subscribe}};
    char text[512];

    snprintf(text, sizeof text, "%s/match-%s.txt", directory, label);
    s->label = label;
    s->path = strdup(text);
    s->random = 2463534242u;
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "match/%s/%s", label, rows[i].name);
        bench_add_measured(text, IMPL, rows[i].measure == measure_subscribe ? subscribe_every : 1,
                           rows[i].measure, s);
    }
}

int main(int argc, char **argv)
{
    static const evb_allocator counting = {
        .struct_size = sizeof counting, .alloc = hook_alloc, .free = hook_free};
    static struct match_state states[3];

    bench_require(argc == 2, "usage: bench_match DIRECTORY");
    bench_require(evb_set_allocator(&counting) == EVB_OK, "evb_set_allocator");
    bench_info("evbus", evb_version_string());
    add_size(&states[0], argv[1], "1k", 1);
    add_size(&states[1], argv[1], "100k", 3);
    add_size(&states[2], argv[1], "1M", 5);
    return bench_main(1, argv);
}
