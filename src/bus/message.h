/* SPDX-License-Identifier: MIT */
/* Events that outlive the call that published them, and the views of events that user code gets.
 *
 *      | event | refs, time, delivery | payload | topic | rest |                       a plain one: 16 bytes
 *      | event | refs, time, delivery | more | deliveries | payload | topic | key | headers | rests |
 *
 * A message is one block of memory, made once by the publisher and shared by all queues that took the event.
 * It has room for one delivery a queue: what a queue has to remember of the event lies there, so that taking,
 * retrying or giving up an event never needs memory. (A loan is a message whose payload was there first; what
 * comes later lies in a second block, aside.) Every line of memory of a message moves from the publisher's
 * CPU to the consumer's and back, and that takes longer than all the rest: an event that has nothing but a
 * payload stays in the first lines, and nobody writes what it does not need.
 *
 * Invariant: everything but refs and the deliveries is written before the first queue gets the message, and
 * read only from then on. It lives while refs > 0; each delivery that a queue holds counts one. Every
 * evb_event that user code is handed is the first member of an evb__view; a NULL origin means an emit:
 * nothing behind it but the emitter's own bytes. Threads: any; a delivery belongs to its queue.
 */
#ifndef EVB__BUS_MESSAGE_H
#define EVB__BUS_MESSAGE_H

#include <evbus/bus.h>
#include <stdbool.h>
#include "base/atomic.h"
#include "base/platform.h"

#define EVB__KEY_MAX     255u
#define EVB__HEADERS_MAX 8192u /* bytes of names and values, SEMANTICS 1.2 */

struct evb__handling;

/* Why an event died; the words are evb__death_word's. */
enum evb__reason {
    EVB__REASON_NONE = 0,
    EVB__REASON_DELIVERY_LIMIT,
    EVB__REASON_REJECTED,
    EVB__REASON_EXPIRED,
    EVB__REASON_MAXLEN,
    EVB__REASON_DECODE_ERROR,
    EVB__REASON_UPCAST_FAILED,
    EVB__REASON_UNKNOWN_TYPE,
    EVB__REASONS
};

/* When a delivery is to be looked at: a node of the queue's heap (queue/due.c). */
struct evb__due {
    int64_t at_ns;  /* monotonic */
    uint64_t order; /* of those due at the same moment */
    struct evb__due *next, *prev, *child;
    struct evb__delivery *delivery;
};

/* What only some deliveries need: memory of its own, behind the payload, so that the others do not touch it.
 * Nothing is written here when a message is made; the flags of the delivery say what is valid. */
struct evb__delivery_rest {
    struct evb__due due; /* while timed */
    int64_t expires_ns;  /* monotonic; with expires */

    /* lanes.c says when */
    struct evb__delivery *turn_next, *turn_prev; /* among those whose turn it may be, or that wait */
    struct evb__delivery *behind, *last;         /* a leader's: who waits for it */
    struct evb__delivery *lane_next;             /* a leader's: its hash chain */

    /* conflating queues, while ready */
    struct evb__delivery *hash_next;
    uint32_t hash;

    /* dead.c: with died */
    uint32_t redrives;
    int32_t error_code;
    uint16_t times[EVB__REASONS];
    char *error_text;                      /* own memory, may be NULL */
    int64_t letter;                        /* its number among the dead letters */
    int64_t first_death_ns, last_death_ns; /* realtime */
};

/* One event in one queue. Zero but for message and rest when a queue gets it; all of it is the queue's, under
 * its lock (queue/queue.h says what is valid when). */
struct evb__delivery {
    struct evb__message *message;
    struct evb__delivery *next; /* its list */
    union {
        struct evb__delivery *prev;     /* its list */
        struct evb__handling *handling; /* who has it, in flight: then it is in no list */
    };
    struct evb__delivery_rest *rest;
    uint32_t attempt; /* deliveries begun */
    uint8_t state, reason;
    uint8_t lane; /* lanes.c */
    bool redelivered : 1, redriven : 1;
    bool retained : 1; /* the event that its topic kept for newcomers */
    bool timed : 1;    /* in the heap of what is due */
    bool expires : 1;  /* at rest->expires_ns, unless it is in flight */
    bool died : 1;     /* has been a dead letter */
};

struct evb__message {
    _Alignas(16) evb_event event; /* as published: attempt 0, flags 0 or EVB_EVENT_REQUEST */
    EVB__ATOMIC(uint32_t) refs;
    uint8_t block;   /* what kind of block it lies in, bus/blocks.h */
    bool plain;      /* it has nothing of evb__message_more */
    size_t bytes;    /* payload, key, names and values of headers: what capacity_bytes counts */
    int64_t time_ns; /* realtime of publication */
    struct evb__delivery first;
};

/* Right behind a message that is not plain. */
struct evb__message_more {
    const void *headers; /* packed, see evb__message_header */
    uint32_t header_bytes;
    uint32_t key_hash; /* with a key: seeded by the bus */
    int64_t ttl_ns, delay_ns;
    uint64_t request;  /* with EVB_EVENT_REQUEST: who waits, bus/request.h */
    size_t block_size; /* of this block */
    void *aside;       /* a loan's second block, or NULL */
    size_t aside_size;
    uint8_t aside_block;
    struct evb__delivery *deliveries; /* one a queue; of one queue: first */
};

extern const struct evb__message_more evb__message_nothing;

/* What a message is made of. event is complete but for sequence, which evb__message_new is not told. */
struct evb__draft {
    evb_event event; /* data, size, topic, topic_len, flags, key, key_len */
    const evb_header *headers;
    uint32_t header_count, header_bytes; /* header_bytes: packed */
    uint32_t key_hash;                   /* with a key */
    size_t bytes;                        /* as the message's */
    int64_t ttl_ns, delay_ns;
    uint64_t request;          /* with EVB_EVENT_REQUEST in the event */
    struct evb__message *loan; /* whose payload it is, or NULL: copied */
};

/* Behind the event of a view. */
struct evb__origin {
    evb_bus *bus;
    struct evb__message *message; /* NULL: only listeners matched */
    const evb_header *headers;    /* the publisher's own, while message is NULL */
    uint32_t header_count;
    uint64_t request;               /* while message is NULL: the draft's. Else the message knows */
    int64_t time_ns;                /* while message is NULL: of a stored event, or 0 */
    struct evb__delivery *delivery; /* in a queue: with the handling around it, queue/handling.h */
    bool retained;                  /* event.c: the view is one that evb_event_retain has made */
};

struct evb__view {
    evb_event event;
    const struct evb__origin *origin; /* NULL: an emit */
};

EVB__INLINE const struct evb__origin *evb__event_origin(const evb_event *event)
{
    return ((const struct evb__view *)(const void *)event)->origin;
}

EVB__INLINE const struct evb__message_more *evb__message_more(const struct evb__message *message)
{
    if (evb__likely(message->plain)) return &evb__message_nothing;
    return (const struct evb__message_more *)(const void *)(message + 1);
}

/* One a queue; of a message that is not plain. */
EVB__INLINE struct evb__delivery *evb__message_deliveries(const struct evb__message *message)
{
    return evb__message_more(message)->deliveries;
}

/* The number of the request that the event is (bus/request.h), and then origin->bus is valid; 0: it is none.
 */
EVB__INLINE uint64_t evb__origin_request(const struct evb__origin *origin)
{
    if (origin == NULL) return 0;
    if (origin->message == NULL) return origin->request;
    return (origin->message->event.flags & EVB_EVENT_REQUEST) != 0
               ? evb__message_more(origin->message)->request
               : 0;
}

/* An event that no queue knows, which evb_event_release gives back. NULL: no memory. */
const evb_event *evb__event_new(const struct evb__draft *draft);

/* Checks key and headers; fills header_bytes and bytes. EVB_EINVAL: NULL with a length, a header without
 * name. EVB_ETOOBIG: above a limit. */
int32_t evb__draft_check(struct evb__draft *draft);

/* refs = queues + (keep ? 1 : 0), at least 1. Without sequence and time. NULL: no memory. A draft's loan
 * becomes the message; on failure it stays a loan. */
struct evb__message *evb__message_new(const struct evb__draft *draft, uint32_t queues, bool keep);
/* For one queue, of an event without key, headers, loan and delay: the same, quicker. */
struct evb__message *evb__message_plain(const evb_topic *topic, const void *data, size_t size);
/* The same event once more, for one queue that has come later: it shares all but the delivery with the first
 * one, and keeps it. NULL: no memory. */
struct evb__message *evb__message_again(struct evb__message *first, int64_t ttl_ns);
void evb__message_unref(struct evb__message *message);
void evb__message_drop(struct evb__message *message); /* nobody has got it yet */
EVB__INLINE void evb__message_ref(struct evb__message *message)
{
    (void)evb__add_rlx(&message->refs, 1); /* relaxed: the caller has one */
}

/* A message that is lent: nothing but its payload. NULL: no memory. */
struct evb__message *evb__loan_new(const evb_bus *bus, size_t size, void **ret_data);
/* NULL: data is no loan of this bus. What lies before it must be readable, as it is before anything that has
 * been allocated. */
struct evb__message *evb__loan_of(const evb_bus *bus, void *data, size_t *ret_size);
void evb__loan_again(const evb_bus *bus, struct evb__message *message); /* nobody has got it yet */
void evb__loan_take(struct evb__message *loan); /* no loan any more: as a message, or to be freed */

/* The first header of that name; NULL: none. */
const void *evb__message_header(const struct evb__message *message, const char *name, uint32_t *ret_len);

#endif
