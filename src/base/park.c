/* SPDX-License-Identifier: MIT */
/* Park and wake: the futex back end, the pthread back end, and the polite spin. */
#include "base/park.h"

#include <evbus/base.h>
#include <errno.h>
#include <limits.h>
#include <time.h>
#include "base/platform.h"
#include "base/thread.h"

#if defined(__linux__) && !defined(EVB__NO_FUTEX)
#define PARK_FUTEX 1
#else
#define PARK_FUTEX 0
#endif

/* Longer waits are cut to this: 31 years, after which the caller looks at its own clock again. It keeps the
 * seconds within 32 bits. */
#define PARK_LONGEST_SECONDS INT64_C(1000000000)

#define PARK_YIELD_EVERY 64 /* turns of a spin: about a microsecond of pauses on current processors */

#if PARK_FUTEX

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel's call takes, which is not libc's timespec everywhere: a 32-bit program may be built with a
 * 64-bit time_t while SYS_futex still reads two longs. Newer 32-bit architectures have only the call with
 * 64-bit members. */
#if defined(SYS_futex)
#define FUTEX_CALL SYS_futex
struct futex_time {
    long sec, nsec;
};
#define FUTEX_LONG(x) ((long)(x))
#else
#define FUTEX_CALL    SYS_futex_time64
struct futex_time {
    int64_t sec, nsec;
};
#define FUTEX_LONG(x) (x)
#endif

_Static_assert(sizeof(EVB__ATOMIC(uint32_t)) == 4, "a futex is 32 bits");

int32_t evb__park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns)
{
    struct futex_time time, *limit = NULL;
    int saved = errno, err;
    long answer;

    if (timeout_ns != EVB_FOREVER) {
        int64_t ns = timeout_ns > 0 ? timeout_ns : 0;
        int64_t sec = ns / 1000000000;

        time.sec = FUTEX_LONG(sec < PARK_LONGEST_SECONDS ? sec : PARK_LONGEST_SECONDS);
        time.nsec = FUTEX_LONG(ns % 1000000000);
        limit = &time; /* FUTEX_WAIT takes a relative time, on the monotonic clock */
    }
    /* The kernel compares *word and goes to sleep as one step against FUTEX_WAKE: our invariant. */
    answer = syscall(FUTEX_CALL, word, FUTEX_WAIT_PRIVATE, expected, limit, NULL, 0);
    err = answer == 0 ? 0 : errno;
    errno = saved;
    switch (err) {
    case EAGAIN:
        return EVB_EAGAIN;
    case ETIMEDOUT:
        return EVB_ETIMEDOUT;
    default:
        evb__assert(err == 0 || err == EINTR);
        return EVB_OK; /* EINTR: a signal handler ran; for the caller a spurious wake-up */
    }
}

static void futex_wake(EVB__ATOMIC(uint32_t) *word, int count)
{
    int saved = errno;

    /* Fails only with EFAULT, when the woken thread has unmapped the word: then nobody sleeps there. */
    (void)syscall(FUTEX_CALL, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

void evb__wake_one(EVB__ATOMIC(uint32_t) *word)
{
    futex_wake(word, 1);
}

void evb__wake_all(EVB__ATOMIC(uint32_t) *word)
{
    futex_wake(word, INT_MAX);
}

void evb__park_after_fork(void)
{
    /* The kernel's queues belong to the parent's address space; the child starts with none. */
}

#else

#include <stdbool.h>

/* Sleepers stand in a queue per bucket, first come, first woken; the bucket is chosen by the address of the
 * word, so several words may share one.
 *
 *      bucket  lock, cond -> sleeper{word A} -> sleeper{word B} -> sleeper{word A}
 *
 * The sleeper compares the word while it holds the bucket's lock, and the waker takes that lock after it has
 * changed the word: either the sleeper sees the change, or the waker sees the sleeper. All sleepers of a
 * bucket share its condition variable, so wake_one marks whom it means and wakes the bucket: a signal could
 * reach the sleeper of another word and be lost.
 */
#define PARK_BUCKETS 64

struct park_sleeper {
    EVB__ATOMIC(uint32_t) *word;
    struct park_sleeper *next;
    bool woken; /* no longer in the queue */
};

struct park_bucket {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct park_sleeper *first, **last;
};

static struct park_bucket park_table[PARK_BUCKETS];
static pthread_once_t park_table_once = PTHREAD_ONCE_INIT;

static void park_table_init(void)
{
    pthread_condattr_t attr;
    int err = pthread_condattr_init(&attr);

    if (err == 0) err = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    for (int i = 0; i < PARK_BUCKETS; i++) {
        struct park_bucket *b = &park_table[i];

        b->first = NULL;
        b->last = &b->first;
        if (err == 0) err = pthread_mutex_init(&b->lock, NULL);
        if (err == 0) err = pthread_cond_init(&b->cond, &attr);
    }
    evb__assert(err == 0); /* on the systems we know these set fields and do nothing else */
    (void)err;
    (void)pthread_condattr_destroy(&attr);
}

static struct park_bucket *park_bucket_of(const EVB__ATOMIC(uint32_t) *word)
{
    uintptr_t at = (uintptr_t)word;

    (void)pthread_once(&park_table_once, park_table_init);
    return &park_table[((at >> 2) ^ (at >> 8) ^ (at >> 16)) % PARK_BUCKETS];
}

static struct timespec park_limit_of(int64_t timeout_ns)
{
    struct timespec limit;
    int64_t ns = timeout_ns > 0 ? timeout_ns : 0;
    int64_t sec = ns / 1000000000;

    (void)clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += (time_t)(sec < PARK_LONGEST_SECONDS ? sec : PARK_LONGEST_SECONDS);
    limit.tv_nsec += (long)(ns % 1000000000);
    if (limit.tv_nsec >= 1000000000) {
        limit.tv_nsec -= 1000000000;
        limit.tv_sec++;
    }
    return limit;
}

/* Takes the sleeper out of the queue; the lock is held. */
static void park_leave_queue(struct park_bucket *b, struct park_sleeper *me)
{
    struct park_sleeper **at = &b->first;

    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
    if (b->last == &me->next) b->last = at;
}

int32_t evb__park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns)
{
    struct park_bucket *b = park_bucket_of(word);
    struct park_sleeper me = {.word = word};
    struct timespec limit = {0, 0};
    int err = 0;

    if (timeout_ns != EVB_FOREVER) limit = park_limit_of(timeout_ns);
    (void)pthread_mutex_lock(&b->lock);
    /* relaxed: the waker's change comes before its lock of the bucket, so the lock orders it. Pairs with
     * wake's lock. */
    if (evb__ld_rlx(word) != expected) {
        (void)pthread_mutex_unlock(&b->lock);
        return EVB_EAGAIN;
    }
    *b->last = &me;
    b->last = &me.next;
    while (!me.woken && err == 0) {
        err = timeout_ns == EVB_FOREVER ? pthread_cond_wait(&b->cond, &b->lock)
                                        : pthread_cond_timedwait(&b->cond, &b->lock, &limit);
    }
    if (!me.woken) park_leave_queue(b, &me);
    (void)pthread_mutex_unlock(&b->lock);
    evb__assert(me.woken || err == ETIMEDOUT);
    return me.woken ? EVB_OK : EVB_ETIMEDOUT; /* woken wins over the clock: the waker counted on us */
}

static void park_wake(EVB__ATOMIC(uint32_t) *word, bool all)
{
    struct park_bucket *b = park_bucket_of(word);
    bool any = false;

    (void)pthread_mutex_lock(&b->lock);
    for (struct park_sleeper **at = &b->first; *at != NULL && (all || !any);) {
        struct park_sleeper *s = *at;

        if (s->word != word) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        if (b->last == &s->next) b->last = at;
        s->woken = any = true;
    }
    if (any) (void)pthread_cond_broadcast(&b->cond);
    (void)pthread_mutex_unlock(&b->lock);
}

void evb__wake_one(EVB__ATOMIC(uint32_t) *word)
{
    park_wake(word, false);
}

void evb__wake_all(EVB__ATOMIC(uint32_t) *word)
{
    park_wake(word, true);
}

void evb__park_after_fork(void)
{
    /* A bucket may have been locked, and its queue hold stacks of threads that are gone: begin anew. Not by
     * destroying: what "others" hold may not be destroyed. If the once was never entered this fills the
     * table, and the once fills it again. */
    park_table_init();
}

#endif

void evb__spin_pause(uint32_t turn)
{
    if (turn % PARK_YIELD_EVERY == PARK_YIELD_EVERY - 1) {
        evb__thread_yield();
        return;
    }
#if defined(__i386__) || defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__("yield" ::: "memory"); /* no output: the compiler keeps it where it is */
#else
    evb__compiler_barrier();
#endif
}
