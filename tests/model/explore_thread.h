/* SPDX-License-Identifier: MIT */
/* The explorer's side of base/thread.h: mutexes that it schedules, threads that are fibers. */
#ifndef EXPLORE_THREAD_H
#define EXPLORE_THREAD_H

#include "explore_atomic.h"

struct evb__mutex {
    uint32_t owner; /* fiber + 1; 0 = unlocked */
};
struct evb__thread {
    uint32_t fiber;
};
#define EVB__MUTEX_INIT                                                                                      \
    {                                                                                                        \
        0                                                                                                    \
    }

void evb__x_lock(struct evb__mutex *mutex, const struct evb__x_site *site);
bool evb__x_trylock(struct evb__mutex *mutex, const struct evb__x_site *site);
void evb__x_unlock(struct evb__mutex *mutex, const struct evb__x_site *site);
void evb__x_mutex_init(struct evb__mutex *mutex, bool destroy, const struct evb__x_site *site);

#define evb__mutex_init(m)    evb__x_mutex_init((m), false, X__SITE("mutex.init", #m))
#define evb__mutex_destroy(m) evb__x_mutex_init((m), true, X__SITE("mutex.destroy", #m))
#define evb__mutex_lock(m)    evb__x_lock((m), X__SITE("lock", #m))
#define evb__mutex_trylock(m) evb__x_trylock((m), X__SITE("trylock", #m))
#define evb__mutex_unlock(m)  evb__x_unlock((m), X__SITE("unlock", #m))

int32_t evb__thread_create(struct evb__thread *thread, void (*main)(void *arg), void *arg, const char *name,
                           size_t stack_bytes);
void evb__thread_join(struct evb__thread *thread);

#endif
