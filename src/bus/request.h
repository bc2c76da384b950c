/* SPDX-License-Identifier: MIT */
/* Requests: the places in which requesters wait for their reply.
 *
 *      requester                                              whoever replies
 *      open: a place, number n = epoch | place                the event says n, in its message or origin
 *      publish an event that says n                           makes the reply, then under the lock:
 *      wait: look around, then ASLEEP and park on state  <--  n is the place's number and nobody has
 *      take what is there; close: the epoch steps             answered: the reply goes in, ANSWERED, wake
 *
 * An event names the place by its number, never by an address, so a reply that comes a year later finds a
 * number that has gone, and nothing else. Numbers do not come again: a place whose epochs are used up is not
 * used any more. What a reply needs of the bus (this table, its lock) is the bus' memory, which everything
 * that leads to a request keeps: an announcement, the queue, or, for a retained one, a reference of its own.
 *
 * Invariant: under the lock a place is free (and in the list), or its requester's; its number is that of the
 * request that has it, or the next one's. A reply in it belongs to the requester from ANSWERED on. Only the
 * requester gives a place back, so the word he sleeps on is his until then. state is written under the lock,
 * and read without it by its requester. Threads: any. The lock is a leaf: nothing is called under it but the
 * allocator and the kernel.
 */
#ifndef EVB__BUS_REQUEST_H
#define EVB__BUS_REQUEST_H

#include <evbus/base.h>
#include <stdbool.h>
#include "base/atomic.h"
#include "base/platform.h"
#include "base/thread.h"

#define EVB__REQUEST_PLACE_BITS 16
#define EVB__REQUEST_FIRST      8u  /* places of the first chunk; each one has twice as many as the last */
#define EVB__REQUEST_CHUNKS     13u /* 65 528 places: as many threads may wait at the same time */

struct evb__request {
    _Alignas(EVB__CACHE_LINE) EVB__ATOMIC(uint32_t) state; /* the word to sleep on */
    uint64_t number;
    const evb_event *reply;
    struct evb__request *next; /* free */
};

struct evb__requests {
    struct evb__mutex lock;
    struct evb__request *chunk[EVB__REQUEST_CHUNKS];
    uint32_t chunks;
    bool over; /* nobody waits any more */
    struct evb__request *free;
    uint64_t late; /* replies that nobody waited for any more */
};

void evb__requests_init(struct evb__requests *requests);
void evb__requests_fini(struct evb__requests *requests); /* nobody else is left */
void evb__requests_end(struct evb__requests *requests);  /* who waits goes home, nobody else begins */

/* A place. EVB_ENOMEM; EVB_ECLOSED: it is over. */
int32_t evb__request_open(struct evb__requests *requests, struct evb__request **ret_request);
/* Until there is a reply, or it is over, or the deadline. */
void evb__request_wait(struct evb__requests *requests, struct evb__request *request, int64_t deadline_ns);
/* Gives the place back. EVB_OK: *ret_reply is the caller's; EVB_ECLOSED; EVB_ETIMEDOUT: there is none. */
int32_t evb__request_close(struct evb__requests *requests, struct evb__request *request,
                           const evb_event **ret_reply);
/* EVB_OK: the reply is the requester's. EVB_ESTALE, counted: it stays the caller's. */
int32_t evb__request_answer(struct evb__requests *requests, uint64_t number, const evb_event *reply);

#endif
