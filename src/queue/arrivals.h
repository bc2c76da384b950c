/* SPDX-License-Identifier: MIT */
/* What topics keep for a new queue (bus/retained.h): gathered while the queue is in its place and closed, and
 * put into it in the moment in which it opens, ahead of everything else.
 *
 * Each event becomes a message of its own that shares all but its delivery with the one that the topic keeps.
 * What does not fit is dropped by the queue's policy and counted as dropped: a new queue cannot refuse.
 *
 * Invariant: nothing has been put anywhere before the queue opens, so that a failure leaves nothing behind.
 * Threads: the one that subscribes.
 */
#ifndef EVB__QUEUE_ARRIVALS_H
#define EVB__QUEUE_ARRIVALS_H

#include "queue/queue.h"

struct evb__arrivals {
    struct evb__newcomer newcomer;
    struct evb__tokens tokens; /* of the pattern */
    bool shown;                /* the newcomer has to be ended */
    bool timed;                /* some live for a time */
    struct evb__delivery *first, **end;
};

/* No lock is held: asks the queue's filter. EVB_OK or EVB_ENOMEM; ended in either case. */
int32_t evb__arrivals_gather(struct evb__arrivals *arrivals, struct evb__queue *queue);
/* With the lock of what is retained. EVB_OK: there is nothing else. EVB_EAGAIN: gather again; EVB_EBUSY: and
 * that has happened too often. EVB_ENOMEM. */
int32_t evb__arrivals_settle_locked(struct evb__arrivals *arrivals, struct evb__queue *queue);
/* With that of the queue, too, which opens: they are its. */
void evb__arrivals_enter_locked(struct evb__arrivals *arrivals, struct evb__queue *queue);
/* What has not entered goes. */
void evb__arrivals_end(struct evb__arrivals *arrivals, struct evb__queue *queue);

#endif
