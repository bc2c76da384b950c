/* SPDX-License-Identifier: MIT */
/* What is in flight: handing out, and the table of deliveries that are settled by their number. */
#include "queue/queue.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "ring/eventcount.h"

/* A delivery's number: tag of the queue | epoch of the slot | slot. */
#define SLOT_BITS  21 /* EVB__OPEN_MAX, and the runners' own */
#define EPOCH_BITS 31
#define EPOCH_MASK ((UINT32_C(1) << EPOCH_BITS) - 1)

/* ---- memory ---- */

static int32_t grow(struct evb__queue *q)
{
    struct evb__handling *chunk;

    if (q->table_chunks == q->table_room) {
        uint32_t room = q->table_room != 0 ? 2 * q->table_room : 8;
        struct evb__handling **table;

        if (room > (1u << SLOT_BITS) / EVB__OPEN_CHUNK) return EVB_ENOMEM;
        table = evb__zalloc(room * sizeof *table, EVB__ALIGN_MIN);
        if (table == NULL) return EVB_ENOMEM;
        for (uint32_t i = 0; i < q->table_chunks; i++)
            table[i] = q->table[i];
        evb__free(q->table, q->table_room * sizeof(struct evb__handling *));
        q->table = table;
        q->table_room = room;
    }
    chunk = evb__zalloc(EVB__OPEN_CHUNK * sizeof *chunk, EVB__CACHE_LINE);
    if (chunk == NULL) return EVB_ENOMEM;
    for (uint32_t i = EVB__OPEN_CHUNK; i-- > 0;) {
        chunk[i].slot = q->table_chunks * EVB__OPEN_CHUNK + i;
        chunk[i].epoch = 1;
        chunk[i].next = q->free_handlings;
        q->free_handlings = &chunk[i];
    }
    q->table[q->table_chunks++] = chunk;
    return EVB_OK;
}

struct evb__handling *evb__handling_get_locked(struct evb__queue *q)
{
    struct evb__handling *h;

    if (q->free_handlings == NULL && grow(q) != EVB_OK) return NULL;
    h = q->free_handlings;
    q->free_handlings = h->next;
    h->next = NULL;
    return h;
}

void evb__handling_put_locked(struct evb__queue *q, struct evb__handling *h)
{
    if (h->message != NULL) evb__message_unref(h->message);
    h->message = NULL;
    h->delivery = NULL;
    h->call = NULL;
    h->epoch++; /* what was its number is stale */
    h->next = q->free_handlings;
    q->free_handlings = h;
}

/* ---- lapsed ---- */

static void recycle_locked(struct evb__queue *q, struct evb__handling **at)
{
    struct evb__handling *h = *at;

    *at = h->next;
    if (q->lapsed_end == &h->next) q->lapsed_end = at;
    q->lapsed_count--;
    h->lapsed = false;
    evb__handling_put_locked(q, h);
}

void evb__handling_lapse_locked(struct evb__queue *q, struct evb__handling *h)
{
    h->lapsed = true;
    h->next = NULL;
    if (q->lapsed_end == NULL) q->lapsed_end = &q->lapsed;
    *q->lapsed_end = h;
    q->lapsed_end = &h->next;
    if (++q->lapsed_count > q->opts.max_in_flight) recycle_locked(q, &q->lapsed);
}

void evb__handling_forget_locked(struct evb__queue *q, const evb_sub *member)
{
    struct evb__handling **at = &q->lapsed;

    while (*at != NULL) {
        if ((*at)->member == member)
            recycle_locked(q, at);
        else
            at = &(*at)->next;
    }
}

/* He has learnt that it is not his any more. */
static void forget_one_locked(struct evb__queue *q, struct evb__handling *h)
{
    struct evb__handling **at = &q->lapsed;

    while (*at != h)
        at = &(*at)->next;
    recycle_locked(q, at);
}

void evb__handlings_free(struct evb__queue *q)
{
    for (uint32_t i = 0; i < q->table_chunks; i++)
        evb__free(q->table[i], EVB__OPEN_CHUNK * sizeof(struct evb__handling));
    evb__free(q->table, q->table_room * sizeof(struct evb__handling *));
}

/* ---- handing out ---- */

uint32_t evb__delivery_flags(const struct evb__delivery *d)
{
    return (d->redelivered ? (uint32_t)EVB_EVENT_REDELIVERED : 0) |
           (d->redriven ? (uint32_t)EVB_EVENT_REDRIVEN : 0) |
           (d->retained ? (uint32_t)EVB_EVENT_RETAINED : 0);
}

static void show(struct evb__queue *q, struct evb__handling *h, struct evb__delivery *d)
{
    struct evb__message *message = d->message;

    h->origin = (struct evb__origin){.bus = q->bus, .message = message, .delivery = d};
    h->view.event = message->event;
    h->view.event.attempt = d->attempt;
    h->view.event.flags = message->event.flags | evb__delivery_flags(d);
    h->view.origin = &h->origin;
}

/* The next in order while nothing is ready; not put there first. NULL: there is none. Ends: the queue is
 * bounded. */
static struct evb__delivery *pop_mailbox_locked(struct evb__queue *q)
{
    struct evb__delivery *d;

    while ((d = evb__mailbox_pop(&q->mailbox)) != NULL) {
        q->counted.enqueued++;
        if (evb__likely(d->message->event.key == NULL)) break;
        evb__lanes_begin_locked(q);
        if (evb__lane_enter_locked(q, d)) break;
        evb__ready_wait_locked(q, d);
    }
    return d;
}

/* NULL: nobody's turn. */
static struct evb__delivery *next_turn_locked(struct evb__queue *q)
{
    for (;;) {
        struct evb__delivery *d = evb__unlikely(q->lanes.used) ? q->lanes.head : q->ready.head;

        if (d == NULL) return pop_mailbox_locked(q);
        evb__ready_remove_locked(q, d);
        if (evb__likely(!d->expires) || !evb__expires_by(d, evb__clock_mono())) return d;
        evb__expire_locked(q, d);
        /* now: a biased owner wakes nobody until the next handler has returned */
        if (q->opts.overflow == EVB_OVERFLOW_BLOCK &&
            evb__eventcount_look(&q->room_waiters, q->lock.asymmetric))
            evb__eventcount_wake(&q->room_waiters, &q->room_epoch);
    }
}

/* At most once: settled now. Its key stays taken while a handler has it. */
static void settle_now_locked(struct evb__queue *q, struct evb__handling *h, struct evb__delivery *d)
{
    q->counted.acked++;
    h->message = d->message; /* its reference goes over */
    h->delivery = NULL;
    h->origin.delivery = NULL;
    if (h->member->handler == NULL) {
        evb__lane_leave_locked(q, d);
    } else {
        h->leader = d->lane == EVB__LANE_LEADS ? d : NULL;
        /* before the credit goes: a drain waits for handlers, too. Release: pairs with looks_dry_locked */
        (void)evb__add_rel(&q->once_running, 1);
    }
    evb__credit_back_locked(q, d);
}

struct evb__delivery *evb__hand_out_locked(struct evb__queue *q, evb_sub *member, struct evb__handling *h)
{
    struct evb__delivery *d = next_turn_locked(q);

    if (d == NULL) return NULL;
    d->attempt++;
    q->counted.delivered++;
    if (d->attempt > 1) q->counted.redelivered++;
    show(q, h, d);
    d->redelivered = 1;
    d->state = EVB__IN_FLIGHT;
    d->handling = h;
    h->delivery = d;
    h->member = member;
    if ((q->opts.flags & EVB_SUB_AT_MOST_ONCE) != 0)
        settle_now_locked(q, h, d);
    else
        q->in_flight++;
    return d;
}

/* ---- by number ---- */

uint64_t evb__handling_number(const struct evb__handling *h)
{
    return (uint64_t)h->member->queue->tag << (SLOT_BITS + EPOCH_BITS) |
           (uint64_t)(h->epoch & EPOCH_MASK) << SLOT_BITS | h->slot;
}

int32_t evb__handling_find_locked(struct evb__queue *q, uint64_t number, struct evb__handling **ret_h)
{
    uint32_t slot = (uint32_t)(number & ((1u << SLOT_BITS) - 1)),
             epoch = (uint32_t)(number >> SLOT_BITS) & EPOCH_MASK;
    struct evb__handling *h;

    if (number >> (SLOT_BITS + EPOCH_BITS) != q->tag) return EVB_EINVAL;
    if (slot / EVB__OPEN_CHUNK >= q->table_chunks) return EVB_EINVAL;
    h = &q->table[slot / EVB__OPEN_CHUNK][slot % EVB__OPEN_CHUNK];
    if (!h->open || (h->epoch & EPOCH_MASK) != epoch) {
        q->counted.stale++;
        if (h->lapsed && (h->epoch & EPOCH_MASK) == epoch) forget_one_locked(q, h);
        return EVB_ESTALE;
    }
    *ret_h = h;
    return EVB_OK;
}

void evb__handling_lease_locked(struct evb__handling *h, int64_t now_ns, int64_t lease_ns)
{
    struct evb__queue *q = h->member->queue;
    struct evb__delivery *d = h->delivery;

    if (d == NULL) return; /* at most once: nothing to come back */
    if (h->leased) evb__due_remove_locked(q, d);
    h->leased = lease_ns != INT64_MAX;
    if (!h->leased) return;
    evb__due_add_locked(q, d, lease_ns < INT64_MAX - now_ns ? now_ns + lease_ns : INT64_MAX);
    evb__alarm_locked(q);
}

void evb__handling_open_locked(struct evb__handling *h)
{
    evb_sub *member = h->member;
    struct evb__queue *q = member->queue;

    h->open = true;
    h->leased = false;
    h->next = member->open;
    h->link = &member->open;
    if (h->next != NULL) h->next->link = &h->next;
    member->open = h;
    q->open++;
    if (q->opts.lease_ns != INT64_MAX) evb__handling_lease_locked(h, evb__clock_mono(), q->opts.lease_ns);
}
