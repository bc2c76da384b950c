/* SPDX-License-Identifier: MIT */
/* Threads and the bookkeeping mutex, behind a seam so that the explorer and the failure sweeps can stand in
 * for them.
 *
 * Invariant: an evb__mutex is held for bookkeeping only: never while user code runs and never while the
 * holder waits for anything. Its owner is the locking thread; it is not recursive. Static storage that is
 * zero is a valid unlocked mutex on the platforms we support, but evb__mutex_init is called all the same.
 * evb__thread_create may fail (EVB_EAGAIN), everything else cannot.
 */
#ifndef EVB__BASE_THREAD_H
#define EVB__BASE_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef EVB__EXPLORE
#include "explore_thread.h" /* tests/model: same names */
#else
#include <pthread.h>

#define EVB__THREAD_NAME 16 /* Linux shows 15 bytes and a NUL */

struct evb__mutex {
    pthread_mutex_t m;
};

/* What the new thread needs is kept here, so that creating one allocates nothing: it stays where it is until
 * it is joined. */
struct evb__thread {
    pthread_t t;
    void (*main)(void *arg);
    void *arg;
    char name[EVB__THREAD_NAME];
};
#define EVB__MUTEX_INIT                                                                                      \
    {                                                                                                        \
        PTHREAD_MUTEX_INITIALIZER                                                                            \
    }

void evb__mutex_init(struct evb__mutex *mutex);
void evb__mutex_destroy(struct evb__mutex *mutex);
void evb__mutex_lock(struct evb__mutex *mutex);
bool evb__mutex_trylock(struct evb__mutex *mutex);
void evb__mutex_unlock(struct evb__mutex *mutex);

/* name: up to 15 bytes are shown by the system, NULL = none. stack_bytes 0 = the system's default. In the new
 * thread every signal is blocked that a process can be sent, so that the library never takes one away from
 * the application; the ones a fault raises in the thread itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
 * SIGSYS, SIGABRT) stay open for the application's crash handler. EVB_EAGAIN: the system refuses. EVB_EINVAL:
 * it does not take stacks of this size. */
int32_t evb__thread_create(struct evb__thread *thread, void (*main)(void *arg), void *arg, const char *name,
                           size_t stack_bytes);
void evb__thread_join(struct evb__thread *thread);
void evb__thread_detach(struct evb__thread *thread); /* instead of a join, by the thread itself */
#endif

void evb__thread_yield(void);

#endif
