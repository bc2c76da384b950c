/* SPDX-License-Identifier: MIT */
/* The queues of a bus, and how queues and members are made, joined and taken apart.
 *
 * Invariant: a queue is in the set from the moment it may be joined until its last member leaves or the bus
 * ends; only while it is there does it take events. A member belongs to one queue for its whole life.
 * Threads: any; the set's lock comes before a queue's and before the pool's, and is never held while the bus'
 * lock is taken.
 */
#ifndef EVB__QUEUE_SET_H
#define EVB__QUEUE_SET_H

#include "queue/queue.h"
#include "ring/eventcount.h"

struct evb__queue_set {
    struct evb__queues base; /* first: what the bus sees */
    struct evb__mutex lock;
    struct evb__queue *queues;
    evb_pool *pool; /* own, or the user's; NULL: not needed so far */
    bool pool_own;
    bool ended;
    bool gave_up;                  /* a drain has run out of time: the end does not try again */
    EVB__ATOMIC(uint32_t) drained; /* steps when a queue may have run dry */
};

EVB__INLINE struct evb__queue_set *evb__queue_set_of(const evb_bus *bus)
{
    return (struct evb__queue_set *)(void *)evb__ld_acq(&bus->queues); /* pairs with evb__queue_set_make */
}

int32_t evb__queue_set_make(evb_bus *bus, struct evb__queue_set **ret_set); /* or finds it */

/* queue.c */
int32_t evb__queue_make(evb_bus *bus, const char *pattern, const char *name, const evb_sub_opts *opts,
                        struct evb__queue **ret_queue);
void evb__queue_stop(struct evb__queue *queue);      /* closed: discards what it has and what still comes */
evb_sub *evb__member_make(const evb_sub_opts *opts); /* NULL: no memory */
void evb__member_drop(evb_sub *member);              /* no handle, nobody uses it: no free_user */
int32_t evb__member_join_locked(struct evb__queue *queue, evb_sub *member); /* EVB_OK or EVB_ENOMEM */
void evb__member_leave_locked(evb_sub *member);

/* subscribe.c: with the set's lock and the queue's */
void evb__set_remove_locked(struct evb__queue *queue);

#endif
