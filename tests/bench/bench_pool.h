/* SPDX-License-Identifier: MIT */
/* Thread pools, measured: one harness for ours and for the peers in C and C++.
 *
 * A pool comes as a table of loops, each compiled around the pool's own calls, so that nothing stands between
 * two of them but what the pool asks for. The harness makes the pool, runs the loops, waits until what they
 * brought has run, and compares: each task adds its number to the tally of its thread, a strand's tasks look
 * whether they come in order. A difference is a wrong result.
 *
 * Names of the cases, P producers that are not the pool's, W workers:
 *
 *      pool/submit/PpWw    empty tasks, until all have run                                 ns a task
 *      pool/many/PpWw      the same, 64 in a call                                          ns a task
 *      pool/tree/Ww        tasks that each submit two more                                 ns a task
 *      pool/strand/Ww      1000 strands (serial lanes) by turns, one message a call        ns a message
 *      pool/strand8/Ww     the same, 8 messages to a strand in a call                      ns a message
 *      pool/hop/Ww         one message that goes to and fro between two strands            ns a hop
 *      pool/wake/Ww        from a submit to sleeping workers until the task begins         ns
 *      pool/cpu/Ww         a task a millisecond                                    ns of CPU a task
 *      pool/idle/Ww        nothing to do                                          ns of CPU a second
 *      pool/timer/add/N    N timers between one second and one hour                        ns a timer
 *      pool/timer/stop/N   stopping them, in an order of its own                           ns a timer
 *      pool/timer/both/1   one timer set and stopped                                       ns a pair
 *
 * No thread is pinned: the pools start theirs as they like. Threads: this is called from the main thread.
 * Compiles as C11 and C++11; gcc and clang.
 */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WORK_STRANDS 1000u
#define WORK_MANY    64u /* tasks of a submit_many */
#define WORK_POSTS   8u  /* messages of a post_many */

/* A loop that brings n tasks or messages numbered from `first`, and may wait for room. */
typedef void (*work_loop)(void *of, uint64_t first, uint64_t n);

/* NULL: it has no such thing. */
struct work_pool {
    const char *impl;      /* the column "by" */
    uint32_t only_workers; /* not 0: it can have so many and no others; timers ask for 1 */
    void *(*make)(uint32_t threads);
    void (*end)(void *pool);
    work_loop submit;      /* work_task((void *)number) */
    work_loop submit_many; /* WORK_MANY at a time */
    void (*submit_one)(void *pool, void (*fn)(void *arg), void *arg);
    void (*tree)(void *pool, uint32_t depth); /* 2^depth - 1 tasks, each of which calls work_task */

    void *(*make_strands)(void *pool); /* WORK_STRANDS */
    void (*end_strands)(void *strands);
    work_loop post;      /* message i to strand i % WORK_STRANDS: work_message(i) */
    work_loop post_many; /* WORK_POSTS to each strand in turn: work_message in the order of work_nth */
    void (*hop)(void *strands, uint64_t n); /* from strand 0 to strand 1 and back, n times work_task(1) */

    void *(*make_timers)(void *pool, uint32_t n);
    void (*end_timers)(void *timers);
    bool (*add_timer)(void *timers, const int64_t *delay_ns, uint32_t n); /* numbers 0 to n - 1 */
    bool (*stop_timer)(void *timers, const uint32_t *number, uint32_t n);
};

void work_add(const struct work_pool *pool);

void work_task(void *number);
void work_message(uint64_t message); /* strand in the low 16 bits, its number in that strand above */

/* The message that the i-th of all is: by turns, or WORK_POSTS at a time. */
static inline uint64_t work_nth(uint64_t i, uint32_t at_a_time)
{
    uint64_t turn = i / at_a_time;

    return (turn / WORK_STRANDS * at_a_time + i % at_a_time) << 16 | turn % WORK_STRANDS;
}

#ifdef __cplusplus
}
#endif
#endif
