/* SPDX-License-Identifier: MIT */
/* A bus with nothing to do: how often its threads wake up. The number of this row is wake-ups a second, of
 * all workers together, by the kernel's count of voluntary switches.
 *
 * The bus has been at work just before: subscriptions with handlers, four at once each, that have had events,
 * a delayed one among them, and one that retried.
 */
#include <dirent.h>
#include <evbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "bench_queue_systems.h"

#define WORKERS     4
#define SUBS        8
#define EVENTS      1000
#define WATCH       25 /* batches */
#define THREADS_MAX 64

static int32_t handle(const evb_event *ev, void *user)
{
    (void)user;
    return *(const uint64_t *)ev->data == 0 && ev->attempt == 1 ? EVB_NACK : EVB_OK;
}

static uint64_t switches_of(const char *task)
{
    char path[300], line[128];
    unsigned long long count = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1) break;
    if (f != NULL) fclose(f);
    return count;
}

struct threads {
    uint32_t count;
    long id[THREADS_MAX];
};

static bool is_among(const struct threads *threads, long id)
{
    for (uint32_t i = 0; i < threads->count; i++)
        if (threads->id[i] == id) return true;
    return false;
}

/* Of all threads but the others, which are those that were there before. */
static uint64_t switches(const struct threads *others, struct threads *ret_threads)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    uint64_t sum = 0;

    ret_threads->count = 0;
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        long id = atol(task->d_name);

        if (id == 0 || is_among(others, id) || ret_threads->count == THREADS_MAX) continue;
        sum += switches_of(task->d_name);
        ret_threads->id[ret_threads->count++] = id;
    }
    if (tasks != NULL) closedir(tasks);
    return sum;
}

static void nap_ms(uint32_t ms)
{
    const struct timespec nap = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    nanosleep(&nap, NULL);
}

static bool all_acked(evb_sub *const *subs)
{
    for (uint32_t i = 0; i < SUBS; i++) {
        evb_queue_stats stats = {.struct_size = sizeof stats};

        if (evb_sub_stats(subs[i], &stats) != EVB_OK || stats.acked != EVENTS) return false;
    }
    return true;
}

/* Publishes, and waits until everything has been handled. */
static bool work(evb_bus *bus, evb_sub *const *subs)
{
    evb_publish_opts opts = {.struct_size = sizeof opts};
    int64_t start = bench_now_ns();

    for (uint64_t i = 0; i < EVENTS; i++) {
        opts.delay_ns = i == 1 ? 2000000 : 0;
        if (evb_publish(bus, "idle.events", &i, sizeof i, &opts) != SUBS) return false;
    }
    while (!all_acked(subs)) {
        if (bench_now_ns() - start > INT64_C(20000000000)) return false;
        nap_ms(1);
    }
    return true;
}

static void measure(void *state, struct bench_result *ret)
{
    evb_bus_opts opts = {.struct_size = sizeof opts, .workers = WORKERS};
    evb_sub_opts sub_opts = {.struct_size = sizeof sub_opts,
                             .handler = handle,
                             .concurrency = 4,
                             .overflow = EVB_OVERFLOW_BLOCK,
                             .retry = {.base_ns = 1000000}};
    struct threads none = {0}, others, ours, ours_after;
    uint64_t before, after;
    evb_sub *subs[SUBS];
    int64_t start;
    evb_bus *bus;

    (void)state;
    bench_unpin(); /* the workers take it from here */
    (void)switches(&none, &others);
    bench_require(evb_bus_create(&opts, &bus) == EVB_OK, "evb_bus_create");
    for (uint32_t i = 0; i < SUBS; i++)
        bench_require(evb_subscribe(bus, "idle.>", &sub_opts, &subs[i]) == EVB_OK, "evb_subscribe");
    if (!work(bus, subs)) bench_wrong(ret, "the events were not handled");
    nap_ms(bench_batch_ms()); /* who was about to sleep sleeps */
    before = switches(&others, &ours);
    start = bench_now_ns();
    nap_ms(WATCH * bench_batch_ms());
    after = switches(&others, &ours_after);
    ret->ns = (double)(after - before) * 1e9 / (double)(bench_now_ns() - start);
    if (ours.count != WORKERS || ours_after.count != WORKERS)
        bench_wrong(ret, "%u threads, then %u", ours.count, ours_after.count);
    for (uint32_t i = 0; i < SUBS; i++)
        evb_unsubscribe(subs[i]);
    evb_bus_destroy(bus);
    bench_pin(0);
}

void queue_add_idle(void)
{
    bench_add_measured("queue/idle/4", "evbus", 1, measure, NULL);
}
