/* SPDX-License-Identifier: MIT */
/* Where the deliveries of a queue are: the ready list, what is delayed, and their way in and out. */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/hash.h"

#include <string.h>

/* ---- lists ---- */

static uint64_t cost_of(const struct evb__delivery *d)
{
    return evb__credit_cost(1, d->message->bytes);
}

void evb__list_append(struct evb__deliveries *list, struct evb__delivery *d)
{
    d->next = NULL;
    d->prev = list->tail;
    if (list->tail != NULL)
        list->tail->next = d;
    else
        list->head = d;
    list->tail = d;
    list->count++;
    list->bytes += d->message->bytes;
}

static void list_prepend(struct evb__deliveries *list, struct evb__delivery *d)
{
    d->prev = NULL;
    d->next = list->head;
    if (list->head != NULL)
        list->head->prev = d;
    else
        list->tail = d;
    list->head = d;
    list->count++;
    list->bytes += d->message->bytes;
}

void evb__list_remove(struct evb__deliveries *list, struct evb__delivery *d)
{
    if (d->next != NULL)
        d->next->prev = d->prev;
    else
        list->tail = d->prev;
    if (d->prev != NULL)
        d->prev->next = d->next;
    else
        list->head = d->next;
    d->next = d->prev = NULL;
    list->count--;
    list->bytes -= d->message->bytes;
}

/* ---- conflating queues: ready deliveries by key, or by topic where there is none ---- */

static const void *hash_text(const struct evb__delivery *d, size_t *ret_size)
{
    const evb_event *ev = &d->message->event;

    *ret_size = ev->key != NULL ? ev->key_len : ev->topic_len;
    return ev->key != NULL ? ev->key : ev->topic;
}

static bool same_place(const struct evb__delivery *a, const struct evb__delivery *b)
{
    size_t a_size, b_size;
    const void *x = hash_text(a, &a_size), *y = hash_text(b, &b_size);

    if ((a->message->event.key != NULL) != (b->message->event.key != NULL)) return false;
    return a_size == b_size && memcmp(x, y, a_size) == 0;
}

static uint32_t hash_of(const struct evb__queue *q, const struct evb__delivery *d)
{
    size_t size;
    const void *text = hash_text(d, &size);

    return (uint32_t)evb__hash(text, size, q->bus->seed);
}

static void hash_add(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__delivery **at;

    if (q->hash == NULL) return;
    d->rest->hash = hash_of(q, d);
    at = &q->hash[d->rest->hash & q->hash_mask];
    d->rest->hash_next = *at;
    *at = d;
}

static void hash_remove(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__delivery **at;

    if (q->hash == NULL) return;
    at = &q->hash[d->rest->hash & q->hash_mask];
    while (*at != d)
        at = &(*at)->rest->hash_next;
    *at = d->rest->hash_next;
}

struct evb__delivery *evb__conflated_locked(const struct evb__queue *q, const struct evb__delivery *d)
{
    uint32_t hash = hash_of(q, d);

    for (struct evb__delivery *other = q->hash[hash & q->hash_mask]; other != NULL;
         other = other->rest->hash_next)
        if (other->rest->hash == hash && same_place(other, d)) return other;
    return NULL;
}

/* ---- ready ---- */

static bool has_key(const struct evb__delivery *d)
{
    return d->message->event.key != NULL;
}

/* false: it waits for another one of its key. */
static bool may_have_its_turn(struct evb__queue *q, struct evb__delivery *d)
{
    return !has_key(d) || d->lane == EVB__LANE_LEADS || evb__lane_enter_locked(q, d);
}

static void become_ready(struct evb__queue *q, struct evb__delivery *d)
{
    d->state = EVB__READY;
    if (evb__unlikely(has_key(d)))
        evb__lanes_begin_locked(q); /* what is ready gets its turns before this one */
    hash_add(q, d);
    if (evb__unlikely(d->expires)) {
        evb__due_add_locked(q, d, d->rest->expires_ns);
        evb__alarm_locked(q);
    }
}

void evb__ready_append_locked(struct evb__queue *q, struct evb__delivery *d)
{
    become_ready(q, d);
    evb__list_append(&q->ready, d);
    if (q->lanes.used && may_have_its_turn(q, d)) evb__turn_append_locked(q, d);
}

void evb__ready_wait_locked(struct evb__queue *q, struct evb__delivery *d)
{
    become_ready(q, d);
    evb__list_append(&q->ready, d);
}

/* It has been handed out before: it has its lane. */
void evb__ready_prepend_locked(struct evb__queue *q, struct evb__delivery *d)
{
    become_ready(q, d);
    list_prepend(&q->ready, d);
    if (q->lanes.used) evb__turn_prepend_locked(q, d);
}

void evb__ready_remove_locked(struct evb__queue *q, struct evb__delivery *d)
{
    evb__list_remove(&q->ready, d);
    hash_remove(q, d);
    if (q->lanes.used) evb__turn_remove_locked(q, d);
    if (evb__unlikely(d->timed)) evb__due_remove_locked(q, d);
}

struct evb__delivery *evb__ready_next_locked(struct evb__queue *q)
{
    if (evb__ready_is_empty_locked(q)) evb__mailbox_empty_locked(q);
    return q->lanes.used ? q->lanes.head : q->ready.head;
}

void evb__mailbox_empty_locked(struct evb__queue *q)
{
    struct evb__delivery *d;

    while ((d = evb__mailbox_pop(&q->mailbox)) != NULL) {
        q->counted.enqueued++;
        evb__ready_append_locked(q, d);
    }
}

void evb__delay_locked(struct evb__queue *q, struct evb__delivery *d, int64_t due_ns)
{
    d->state = EVB__DELAYED;
    evb__due_add_locked(q, d, evb__expires_by(d, due_ns) ? d->rest->expires_ns : due_ns);
    q->delayed++;
    evb__alarm_locked(q);
}

/* ---- time to live ---- */

void evb__expiry_begin(const struct evb__queue *q, struct evb__delivery *d)
{
    int64_t ttl = evb__message_more(d->message)->ttl_ns, now;

    if (ttl == 0 || (q->opts.ttl_ns != 0 && q->opts.ttl_ns < ttl)) ttl = q->opts.ttl_ns;
    if (ttl == 0) return;
    now = evb__clock_mono();
    d->expires = true;
    d->rest->expires_ns = ttl < INT64_MAX - now ? now + ttl : INT64_MAX;
}

void evb__expire_locked(struct evb__queue *q, struct evb__delivery *d)
{
    if ((q->opts.flags & EVB_SUB_DEAD_LETTER_EXPIRED) != 0) {
        evb__credit_back_locked(q, d);
        evb__bury_locked(q, d, EVB__REASON_EXPIRED, EVB_ETIMEDOUT, NULL);
        return;
    }
    q->counted.expired++;
    evb__gone_locked(q, d);
}

/* ---- out ---- */

void evb__credit_back_locked(struct evb__queue *q, const struct evb__delivery *d)
{
    evb__credit_give(&q->credit, cost_of(d));
    q->room = true;
}

void evb__gone_locked(struct evb__queue *q, struct evb__delivery *d)
{
    evb__credit_back_locked(q, d);
    evb__lane_leave_locked(q, d);
    evb__message_unref(d->message);
}

/* Delayed ones, out of the heap: leased ones that come up are put back. */
static uint64_t remove_delayed(struct evb__queue *q)
{
    struct evb__delivery *leased = NULL, *d;
    uint64_t removed = 0;

    while (q->due != NULL) {
        d = q->due->delivery;
        evb__due_remove_locked(q, d);
        if (d->state == EVB__DELAYED) {
            q->delayed--;
            removed++;
            evb__gone_locked(q, d);
        } else {
            d->next = leased;
            leased = d;
        }
    }
    while (leased != NULL) {
        d = leased;
        leased = d->next;
        evb__due_add_locked(q, d, d->rest->due.at_ns);
    }
    return removed;
}

uint64_t evb__remove_all_locked(struct evb__queue *q)
{
    struct evb__delivery *d;
    uint64_t removed = 0;

    evb__mailbox_empty_locked(q);
    while ((d = q->ready.head) != NULL) {
        evb__ready_remove_locked(q, d);
        evb__gone_locked(q, d);
        removed++;
    }
    return removed + remove_delayed(q);
}
