/* SPDX-License-Identifier: MIT */
/* Where the deliveries of a queue are: the ready list, what is delayed, and their way in and out. */
#include "queue/queue.h"

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
    struct evb__delivery **bucket;

    if (q->hash == NULL) return;
    d->hash = hash_of(q, d);
    bucket = &q->hash[d->hash & q->hash_mask];
    d->hash_next = *bucket;
    *bucket = d;
}

static void hash_remove(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__delivery **at;

    if (q->hash == NULL) return;
    at = &q->hash[d->hash & q->hash_mask];
    while (*at != d)
        at = &(*at)->hash_next;
    *at = d->hash_next;
}

struct evb__delivery *evb__conflated_locked(const struct evb__queue *q, const struct evb__delivery *d)
{
    uint32_t hash = hash_of(q, d);

    for (struct evb__delivery *other = q->hash[hash & q->hash_mask]; other != NULL; other = other->hash_next)
        if (other->hash == hash && same_place(other, d)) return other;
    return NULL;
}

/* ---- ready ---- */

void evb__ready_append_locked(struct evb__queue *q, struct evb__delivery *d)
{
    d->state = EVB__READY;
    evb__list_append(&q->ready, d);
    hash_add(q, d);
}

void evb__ready_prepend_locked(struct evb__queue *q, struct evb__delivery *d)
{
    d->state = EVB__READY;
    list_prepend(&q->ready, d);
    hash_add(q, d);
}

void evb__ready_remove_locked(struct evb__queue *q, struct evb__delivery *d)
{
    evb__list_remove(&q->ready, d);
    hash_remove(q, d);
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
    d->due_ns = due_ns;
    evb__due_add(&q->due, d);
    q->delayed++;
    evb__alarm_locked(q);
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
    evb__message_unref(d->message);
}

/* Delayed ones, out of the heap: leased ones that come up are put back. */
static uint64_t remove_delayed(struct evb__queue *q)
{
    struct evb__delivery *leased = NULL, *d;
    uint64_t removed = 0;

    while ((d = q->due) != NULL) {
        evb__due_remove(&q->due, d);
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
        evb__due_add(&q->due, d);
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
