/* SPDX-License-Identifier: MIT */
/* The window of a bus in which an event that is published twice is recognised by its dedup_id.
 *
 *      claim --> pending --- done ----> remembered --- older than 2 minutes, or one id too many --> gone
 *        ^          \------ abandon --> gone
 *        |              (the publish failed)
 *      another thread's publish of the same id waits for one or the other
 *
 * Invariant: an id is there at most once. Whose claim it is decides what becomes of it, once: so of any
 * number of publishes of one id exactly one succeeds as the first, and the others learn its sequence. At most
 * `window` ids are remembered, oldest first to go; pending ones come on top, one a thread. The memory grows
 * with what is remembered and is given back with it, but for the table, which stays as large as it was.
 * Forgetting by age happens when somebody claims: no timer, no thread.
 *
 * Threads: any. The lock is a leaf, for a few loads and stores and an allocation: it is not held while a
 * publisher waits, nor while user code runs. A sleeper looks at its id and takes the epoch under the lock,
 * and every change that may end its wait steps the epoch under the lock: no wake-up is lost.
 */
#ifndef EVB__BUS_DEDUP_H
#define EVB__BUS_DEDUP_H

#include <stdint.h>
#include "base/atomic.h"
#include "base/platform.h"
#include "base/thread.h"

#define EVB__DEDUP_ID_MAX 255u
#define EVB__DEDUP_WINDOW 65536u
#define EVB__DEDUP_NS     INT64_C(120000000000)

struct evb__dedup_id;

struct evb__dedup {
    struct evb__mutex lock;
    EVB__ATOMIC(uint32_t) epoch; /* steps when sleepers should look again */
    uint32_t window;             /* constant, as the next one */
    uint64_t seed;
    /* under lock */
    uint32_t sleepers;
    uint32_t remembered, pending;
    uint32_t buckets;                      /* 0: nothing so far; a power of two */
    struct evb__dedup_id **table;          /* chains */
    struct evb__dedup_id *oldest, *newest; /* of the remembered */
    uint64_t duplicates;                   /* found so far */
};

void evb__dedup_init(struct evb__dedup *dedup, uint32_t window, uint64_t seed); /* window 0: the default */
void evb__dedup_forget(struct evb__dedup *dedup);                               /* all that is remembered */
void evb__dedup_fini(struct evb__dedup *dedup);                                 /* nothing is pending */
uint64_t evb__dedup_duplicates(struct evb__dedup *dedup);

/* EVB_OK: *ret_claim is the caller's, who ends it by done or abandon. EVB_EEXIST: a duplicate, and
 * *ret_sequence is the first one's. EVB_EAGAIN: it is pending. EVB_ENOMEM: nothing happened. */
int32_t evb__dedup_claim(struct evb__dedup *dedup, const char *id, size_t size,
                         struct evb__dedup_id **ret_claim, uint64_t *ret_sequence);
void evb__dedup_done(struct evb__dedup *dedup, struct evb__dedup_id *claim, uint64_t sequence);
void evb__dedup_abandon(struct evb__dedup *dedup, struct evb__dedup_id *claim);
/* Until the id is not pending. EVB_OK, EVB_ETIMEDOUT; EVB_ECLOSED: *closed is not 0, which who sets it tells
 * by evb__dedup_wake. */
int32_t evb__dedup_wait(struct evb__dedup *dedup, const char *id, size_t size, int64_t deadline_ns,
                        EVB__ATOMIC(uint32_t) *closed);
void evb__dedup_wake(struct evb__dedup *dedup);

#endif
