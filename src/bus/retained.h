/* SPDX-License-Identifier: MIT */
/* The events that topics keep for newcomers: EVB_RETAIN.
 *
 *      oldest -> [a: message 7] -> [c: message 9] -> [b: message 12] -> newest      by sequence
 *                     ^ table by name
 *
 * A newcomer (a listener that is registered, a queue with its first member) gets every event that is kept for
 * a topic of its pattern exactly once, in order of publication: shown inside its call, or as everybody gets
 * it. That takes three agreements, all under the lock:
 *
 *   publisher   reads `newcomers`; looks who matches; reserves; lock: if `newcomers` has changed, undo all
 * and begin anew, else message, sequence, keep; unlock; hands over to whom it has found. newcomer    is found
 * by publishers, but takes nothing ("quiet": extra->shown_to, a queue's `closed`). lock: is something kept
 * that it has not seen? Then copy references, unlock, show, again. Else it is not quiet any more, newcomers +
 * 1, unlock.
 *
 * Who found the newcomer quiet, or not at all, has either kept its event before the newcomer's last look, and
 * then it is shown; or sees that `newcomers` has changed. A listener that finds itself in the hands of a
 * publisher whose event it has been shown skips it by its sequence, which is given under the lock. Somebody
 * who publishes faster than a newcomer looks cannot hold it for ever: after EVB__SHOW_ROUNDS it is let in,
 * and what it has not seen by then is shown while newer events may already reach it.
 *
 * While somebody is being shown events, a topic that is cleared keeps the clearing event: who has seen the
 * old one has to see that, too. It is shown to nobody who has come later, and goes with the last of them.
 *
 * Invariant: a topic is there at most once, at most EVB__RETAINED_MAX of them; sequences rise along the list.
 * Each holds one reference of its message. Threads: any. The lock comes after the bus' and the set's, before
 * a queue's; nobody waits and no user code runs under it. It costs a newcomer a walk over all names, a
 * literal one a look-up.
 */
#ifndef EVB__BUS_RETAINED_H
#define EVB__BUS_RETAINED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/platform.h"
#include "base/thread.h"
#include "topic/dialect.h"

#define EVB__RETAINED_MAX 65536u
#define EVB__SHOW_BATCH   64u /* references copied at a time */
#define EVB__SHOW_ROUNDS  64u /* looks at what has come since */

struct evb__message;
struct evb__retained_event;

struct evb__retained {
    struct evb__mutex lock;
    EVB__ATOMIC(uint32_t) used;      /* a publish with EVB_RETAIN has begun; set once, under the bus' lock */
    EVB__ATOMIC(uint32_t) newcomers; /* written under lock */
    uint64_t seed;                   /* constant */
    const struct evb__dialect *dialect;
    /* under lock */
    uint64_t last; /* sequence of the latest that was kept or cleared */
    uint32_t count;
    uint32_t timed;   /* of them with a time to live */
    uint32_t cleared; /* of them that only those being shown events see */
    uint32_t showing; /* newcomers */
    uint32_t buckets; /* 0: nothing so far; a power of two */
    struct evb__retained_event **table;
    struct evb__retained_event *oldest, *newest;
    struct evb__retained_event *spare; /* for what is about to be kept */
};

void evb__retained_init(struct evb__retained *retained, const struct evb__dialect *dialect, uint64_t seed);
void evb__retained_forget(struct evb__retained *retained); /* all that is kept */
void evb__retained_fini(struct evb__retained *retained);

/* ---- publishers ---- */

EVB__INLINE uint32_t evb__retained_newcomers(const struct evb__retained *retained)
{
    /* pairs with evb__newcomer_enters_locked: who has come before is found by what is looked at next */
    return evb__ld_acq(&retained->newcomers);
}

/* EVB_OK: locked, until evb__retained_end. EVB_EAGAIN: not locked, somebody has come. */
int32_t evb__retained_begin(struct evb__retained *retained, uint32_t newcomers);
/* Memory for one topic, so that keeping its event cannot fail. EVB_ENOMEM: end it. */
int32_t evb__retained_reserve_locked(struct evb__retained *retained, const char *topic, size_t length,
                                     bool clears);
/* With its sequence. Of an empty payload: the topic keeps nothing. */
void evb__retained_keep_locked(struct evb__retained *retained, struct evb__message *message);
void evb__retained_end(struct evb__retained *retained);

/* ---- newcomers ---- */

/* What it is to be shown: a reference, and how long it still lives. */
struct evb__kept {
    struct evb__message *message;
    int64_t ttl_ns; /* 0: for ever */
};

struct evb__newcomer {
    struct evb__retained *retained;
    const struct evb__tokens *pattern; /* lives as long */
    uint64_t came;                     /* sequence of the latest when it came */
    uint64_t seen;                     /* of the last one it has got */
    uint64_t until;                    /* of the latest when it entered; UINT64_MAX: it has not */
    uint32_t rounds;
};

EVB__INLINE void evb__retained_lock(struct evb__retained *retained)
{
    evb__mutex_lock(&retained->lock);
}

EVB__INLINE void evb__retained_unlock(struct evb__retained *retained)
{
    evb__mutex_unlock(&retained->lock);
}

/* Somebody comes. true: something is kept for it; then evb__newcomer_ends_locked has to be called, too. */
bool evb__newcomer_comes_locked(struct evb__newcomer *newcomer, struct evb__retained *retained,
                                const struct evb__tokens *pattern);
/* What it is to be shown next, up to max. 0: it has seen all there is; entered: all there was then. */
uint32_t evb__newcomer_look_locked(struct evb__newcomer *newcomer, struct evb__kept *ret_kept, uint32_t max);
/* Whether there is more than it has seen, without counting as a look. */
bool evb__newcomer_misses_locked(const struct evb__newcomer *newcomer);
bool evb__newcomer_has_waited(const struct evb__newcomer *newcomer); /* EVB__SHOW_ROUNDS are over */
/* From here on it gets what is published. */
void evb__newcomer_enters_locked(struct evb__newcomer *newcomer);
void evb__newcomer_ends_locked(struct evb__newcomer *newcomer);

#endif
