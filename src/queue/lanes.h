/* SPDX-License-Identifier: MIT */
/* Lanes: at most one event of a key is in flight, and no key holds up another.
 *
 *      turns   | A1 | B1 | (no key) | D3 |          whose turn it is, in this order
 *      leaders   A1   B1   C2 in flight   D3   E1 waits for its retry, or is the dead letter that stopped E
 *      behind    A2        C3, C4              E2
 *
 * A lane is its leader: the event of its key that comes next, is in flight, or keeps the others waiting. It
 * is found by hash, and holds the list of those that wait behind it; when it is gone for good the next of
 * them leads, and takes its turn behind all others: round robin over the keys that somebody has looked at;
 * the mailbox is looked into every EVB__LANES_GATHER events, and when nobody has a turn. So a lane needs no
 * memory of its own, and there are never more than there are events. The table grows a bucket at a time
 * (linear hashing, Litwin, VLDB 1980), and goes on as it is when there is no memory.
 *
 * Invariant, once a queue has seen a key (used): every ready event is among the turns or waits behind the
 * leader of its key; a key has one leader and it is in the table, whatever its state. Before: there are no
 * turns, `ready` is the order. Threads: under the queue's lock.
 */
#ifndef EVB__QUEUE_LANES_H
#define EVB__QUEUE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVB__LANES_FEW    16u  /* buckets that are always there */
#define EVB__LANES_CHUNK  256u /* buckets that come at once */
#define EVB__LANES_GATHER 32u  /* events that may have their turn before one that lies in the mailbox */

struct evb__delivery;
struct evb__queue;

/* evb__delivery.lane */
enum {
    EVB__LANE_NONE = 0,
    EVB__LANE_LEADS,
    EVB__LANE_WAITS /* turn_next, turn_prev: others that wait behind the same leader */
};

struct evb__lanes {
    bool used;
    struct evb__delivery *head, *tail; /* the turns: turn_next, turn_prev */
    uint64_t turns;
    uint32_t count;   /* leaders */
    uint32_t buckets; /* EVB__LANES_FEW at first */
    uint32_t low;     /* the largest power of two up to buckets, less one */
    uint32_t room;    /* of chunk */
    uint32_t leaves;  /* so far */
    struct evb__delivery ***chunk;
    struct evb__delivery *few[EVB__LANES_FEW];
};

void evb__lanes_init(struct evb__lanes *lanes);
void evb__lanes_free(struct evb__lanes *lanes);

/* The queue's first key: what is ready gets its turns. Nothing when it has seen one before. */
void evb__lanes_begin_locked(struct evb__queue *queue);
/* An event with a key and without a lane. true: it leads; false: it waits behind another one. */
bool evb__lane_enter_locked(struct evb__queue *queue, struct evb__delivery *d);
/* A leader is gone for good: the next of its key leads and gets its turn. Nothing for any other event. */
void evb__lane_leave_locked(struct evb__queue *queue, struct evb__delivery *d);
/* The leader of a key, or NULL. */
struct evb__delivery *evb__lane_find_locked(const struct evb__queue *queue, const void *key, uint32_t key_len,
                                            uint32_t hash);

void evb__turn_append_locked(struct evb__queue *queue, struct evb__delivery *d);
void evb__turn_prepend_locked(struct evb__queue *queue, struct evb__delivery *d);
/* Not ready any more: out of the turns, or out of those that wait; then it has no lane. */
void evb__turn_remove_locked(struct evb__queue *queue, struct evb__delivery *d);

#endif
