/* SPDX-License-Identifier: MIT */
/* Events from publishers to handlers, measured: one harness for our queues, a reference and the peers.
 *
 * A system takes events in by `send` and brings each to a handler, which calls post_got. The harness says how
 * many publishers, subscriptions and consuming threads there are and where they run, lets the publishers send
 * for a while, waits until everything has been handled, and compares what went in with what came out: number,
 * sum, and both ends of each payload. Nothing may be lost: who finds no room waits. A difference is a wrong
 * result.
 *
 * Names of the cases: queue/SHAPE/BYTES, SHAPE one of
 *
 *      one-N     one thread: publish N, then take N and handle them               ns an event, all of it CPU
 *      1cpu      a publisher and a consuming thread by turns on one CPU           ns of CPU an event
 *      1-1       the same, each on a CPU of its own                               ns an event
 *      burst-N   the same, N events at once, the next N when these are handled    ns an event
 *      1-4       a publisher, four subscriptions, one consuming thread            ns an event to all four
 *      1-4x4     the same, a thread for each subscription, free to move           ns an event to all four
 *      2-1 2-c4  two publishers; c4: four handlers of one subscription at once; free to move    ns an event
 *      pingpong  to a handler that publishes an answer                            ns there and back, p50, p99
 *      request   a request to a handler that replies                              ns there and back, p50, p99
 *      wake      an event to a consumer that sleeps                               ns to its handler, p50, p99
 *
 * Threads: called from the main thread; what is for the systems from any.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <string.h>

#include "bench.h"

#define POST_CAPACITY  1024 /* events that a subscription holds */
#define POST_SENDERS   2
#define POST_CONSUMERS 4
#define POST_FAN       4
#define POST_CHUNK     64   /* events between two looks at the stop flag; the most in one call of send */
#define POST_BYTES_MAX 1024 /* the largest payload */
#define POST_SAMPLES   65536

/* What handlers count, each in a line of its own. One writer at a time; count is written last. */
struct post_tally {
    _Alignas(128) uint64_t count; /* atomic */
    uint64_t sum;
    uint64_t torn; /* not 0: the two ends of a payload differed, or its size was another */
};

struct post {
    uint32_t bytes, senders;
    uint32_t fan;                            /* subscriptions, each of which gets every event */
    uint32_t consumers;                      /* threads that run handlers; 0: nobody, `take` does */
    int32_t cpu;                             /* of the first consumer; -1: any CPU */
    bool answers;                            /* the handler sends the value back (pingpong, request) */
    bool requests;                           /* by whatever the system has for requests and replies */
    bool stamps;                             /* the value of an event is the time at which it was sent */
    struct post_tally tally[POST_CONSUMERS]; /* one a subscription, or one a consumer: as the system likes */
    uint32_t samples;
    int64_t *sample; /* stamps: POST_SAMPLES times from publish to handler */
};

struct post_system {
    const char *impl; /* the column "by" */
    /* The consumers run when it returns. NULL: skipped, *ret_why says why. */
    void *(*open)(const struct post_system *system, struct post *post, const char **ret_why);
    /* Events value + 1 to value + n, waiting for room. Called by the which-th publisher only. */
    bool (*send)(void *state, uint32_t which, uint64_t value, uint32_t n);
    bool (*take)(void *state, uint32_t n);      /* handles n events in this thread; NULL: it cannot */
    bool (*await)(void *state, uint64_t value); /* pingpong, request: waits for the answer; NULL: it cannot */
    bool (*close)(void *state, uint64_t published); /* false: its own count of events is another */
    uint32_t param[3];                              /* for open */
    bool threads; /* it has threads of its own besides: that those wait for a CPU belongs to it */
};

/* Each adds a case; system stays the caller's and must last. */
void post_add_one(const struct post_system *system, uint32_t bytes, uint32_t n);
void post_add_1cpu(const struct post_system *system, uint32_t bytes);
void post_add_burst(const struct post_system *system, uint32_t bytes, uint32_t n);
/* shape: 1-1, 1-4, 1-4x4, 2-1, 2-c4 */
void post_add_stream(const struct post_system *system, const char *shape, uint32_t bytes);
void post_add_pingpong(const struct post_system *system, uint32_t bytes);
void post_add_request(const struct post_system *system, uint32_t bytes);
void post_add_wake(const struct post_system *system, uint32_t bytes);
/* What every system is measured with: one subscription, in one thread, in two, in several, and there and
 * back. */
void post_add_all(const struct post_system *system, uint32_t bytes);

/* ---- for the systems ---- */

/* The payload of an event: value at both ends. */
static inline void post_fill(void *data, uint32_t bytes, uint64_t value)
{
    memcpy(data, &value, sizeof value);
    memcpy((char *)data + bytes - sizeof value, &value, sizeof value);
}

static inline uint64_t post_value(const void *data)
{
    uint64_t value;

    memcpy(&value, data, sizeof value);
    return value;
}

/* What every handler does. */
static inline void post_got(const struct post *post, struct post_tally *tally, const void *data, size_t size)
{
    uint64_t value = post_value(data);

    tally->torn |= (value ^ post_value((const char *)data + size - sizeof value)) | (size ^ post->bytes);
    tally->sum += value;
    /* release: pairs with the look of the harness, which then reads the rest */
    __atomic_store_n(&tally->count, tally->count + 1, __ATOMIC_RELEASE);
}

/* The same, where a value is the time at which it was sent: with one consumer only. */
static inline void post_got_stamp(struct post *post, const void *data, size_t size)
{
    post->sample[post->samples++ % POST_SAMPLES] = bench_now_ns() - (int64_t)post_value(data);
    post_got(post, &post->tally[0], data, size);
}

/* For a peer's consuming thread. */
static inline void post_handle(struct post *post, struct post_tally *tally, const void *data, size_t size)
{
    if (post->stamps)
        post_got_stamp(post, data, size);
    else
        post_got(post, tally, data, size);
}

/* The consuming thread goes where the case wants it. */
static inline void post_settle_in(const struct post *post)
{
    if (post->cpu >= 0)
        bench_pin((uint32_t)post->cpu);
    else
        bench_unpin();
}

#endif
