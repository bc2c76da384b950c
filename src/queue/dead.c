/* SPDX-License-Identifier: MIT */
/* Dead letters: a bounded list of deliveries that were given up, each with its history. */
#include "queue/queue.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

#define TEXT_MAX 256u
#define CHUNK    16u /* letters that are shown, or moved, under one lock */

static const char *const words[EVB__REASONS] = {"",       "delivery_limit", "rejected",      "expired",
                                                "maxlen", "decode_error",   "upcast_failed", "unknown_type"};

static void keep_text(struct evb__delivery *d, const char *text)
{
    size_t size = text != NULL ? strnlen(text, TEXT_MAX) : 0;
    char *copy =
        size != 0 ? evb__alloc(size + 1, EVB__ALIGN_MIN) : NULL; /* no memory: a letter without text */

    if (d->rest->error_text != NULL) evb__free(d->rest->error_text, strlen(d->rest->error_text) + 1);
    d->rest->error_text = copy;
    if (copy == NULL) return;
    memcpy(copy, text, size);
    copy[size] = '\0';
}

void evb__dead_free_locked(struct evb__queue *q, struct evb__delivery *d)
{
    evb__list_remove(&q->dead, d);
    keep_text(d, NULL);
    evb__lane_leave_locked(q, d); /* it may have stopped its key */
    evb__message_unref(d->message);
}

/* The next of its key goes on, unless this was the failed head of a key that stops then (SEMANTICS 1.6). */
static bool stops_its_key(const struct evb__queue *q, enum evb__reason reason)
{
    return (q->opts.flags & EVB_SUB_KEY_HALT) != 0 &&
           (reason == EVB__REASON_DELIVERY_LIMIT || reason == EVB__REASON_REJECTED);
}

static void begin_history(struct evb__delivery_rest *rest, int64_t now)
{
    memset(rest->times, 0, sizeof rest->times);
    rest->first_death_ns = now;
    rest->error_text = NULL;
    rest->redrives = 0;
}

void evb__bury_locked(struct evb__queue *q, struct evb__delivery *d, enum evb__reason reason, int32_t code,
                      const char *text)
{
    struct evb__delivery_rest *rest = d->rest;
    int64_t now = evb__clock_wall();

    q->counted.dead_lettered++;
    q->buried++;
    if (!stops_its_key(q, reason)) evb__lane_leave_locked(q, d);
    if (!d->died) begin_history(rest, now);
    d->died = true;
    d->expires = false; /* or it would expire again when it is redriven late */
    d->state = EVB__DEAD;
    d->reason = (uint8_t)reason;
    rest->error_code = code;
    if (rest->times[reason] < UINT16_MAX) rest->times[reason]++;
    rest->last_death_ns = now;
    keep_text(d, text);
    rest->letter = ++q->letters; /* its place in the order, for who walks over them */
    evb__list_append(&q->dead, d);
    while (q->dead.count > q->opts.dlq_capacity || q->dead.bytes > q->opts.dlq_bytes) {
        evb__dead_free_locked(q, q->dead.head);
        q->forgotten++;
    }
    q->counted.dlq_depth = q->dead.count;
}

/* ---- the calls ---- */

int64_t evb_dlq_count(evb_sub *sub)
{
    int32_t rc = evb__sub_enter(sub);
    int64_t count;

    if (rc != EVB_OK) return rc;
    evb__queue_lock(sub->queue);
    count = (int64_t)sub->queue->dead.count;
    evb__queue_unlock(sub->queue);
    return count;
}

struct shown {
    struct evb__view view;
    struct evb__origin origin;
    evb_death death;
    char text[TEXT_MAX + 1];
};

static void show(const struct evb__queue *q, const struct evb__delivery *d, struct shown *s)
{
    const struct evb__delivery_rest *rest = d->rest;

    s->origin = (struct evb__origin){.bus = q->bus, .message = d->message};
    s->view.event = d->message->event;
    s->view.event.attempt = d->attempt;
    s->view.event.flags |= d->redriven ? (uint32_t)EVB_EVENT_REDRIVEN : 0;
    s->view.origin = &s->origin;
    s->death = (evb_death){.struct_size = sizeof s->death,
                           .error_code = rest->error_code,
                           .reason = words[d->reason],
                           .topic = d->message->event.topic,
                           .subscription = q->name,
                           .attempts = d->attempt,
                           .redrives = rest->redrives,
                           .times = rest->times[d->reason],
                           .sequence = d->message->event.sequence,
                           .first_time_ns = rest->first_death_ns,
                           .last_time_ns = rest->last_death_ns};
    s->text[0] = '\0';
    if (rest->error_text != NULL) {
        memcpy(s->text, rest->error_text, strlen(rest->error_text) + 1);
        s->death.error_text = s->text;
    }
}

/* The next letters behind `after`, copied, each with a reference of its message. */
static uint32_t look(struct evb__queue *q, int64_t *after, struct shown *shown)
{
    struct evb__delivery *d;
    uint32_t count = 0;

    evb__queue_lock(q);
    for (d = q->dead.head; d != NULL && count < CHUNK; d = d->next) {
        if (d->rest->letter <= *after) continue;
        evb__message_ref(d->message);
        show(q, d, &shown[count++]);
        *after = d->rest->letter;
    }
    evb__queue_unlock(q);
    return count;
}

int32_t evb_dlq_browse(evb_sub *sub, int32_t (*fn)(const evb_event *ev, const evb_death *death, void *user),
                       void *user)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__self *self = evb__self();
    struct shown *shown;
    int64_t after = 0;
    uint32_t count;

    if (rc != EVB_OK) return rc;
    if (fn == NULL) return EVB_EINVAL;
    shown = evb__alloc(CHUNK * sizeof *shown, EVB__ALIGN_MIN);
    if (shown == NULL) return EVB_ENOMEM;
    while (rc == 0 && (count = look(sub->queue, &after, shown)) != 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (rc == 0) {
                evb__callback_begin(self);
                rc = fn(&shown[i].view.event, &shown[i].death, user);
                evb__callback_end(self);
            }
            evb__message_unref(shown[i].origin.message);
        }
    }
    evb__free(shown, CHUNK * sizeof *shown);
    return rc;
}

/* The oldest letter back to the tail, or to the head of the key that it has stopped; one that the queue can
 * never hold stays where it is. EVB_OK, EVB_EEMPTY, EVB_EFULL or EVB_ETOOBIG: there are only such. */
static int32_t redrive_one_locked(struct evb__queue *q)
{
    struct evb__delivery *d = q->dead.head;

    if (d == NULL) return EVB_EEMPTY;
    while (d != NULL && !evb__credit_possible(&q->credit, 1, d->message->bytes))
        d = d->next;
    if (d == NULL) return EVB_ETOOBIG;
    if (!evb__credit_take(&q->credit, evb__credit_cost(1, d->message->bytes))) return EVB_EFULL;
    evb__mailbox_empty_locked(q);
    evb__list_remove(&q->dead, d);
    q->counted.dlq_depth = q->dead.count;
    keep_text(d, NULL);
    d->attempt = 0;
    d->redelivered = 0;
    d->redriven = 1;
    d->rest->redrives++;
    q->counted.enqueued++;
    evb__expiry_begin(q, d);
    evb__ready_append_locked(q, d);
    return EVB_OK;
}

int32_t evb_dlq_redrive(evb_sub *sub, uint32_t max)
{
    int32_t rc = evb__sub_enter(sub), moved = 0;
    struct evb__queue *q;

    if (rc != EVB_OK) return rc;
    q = sub->queue;
    if (max > INT32_MAX) max = INT32_MAX;
    evb__queue_lock(q);
    rc = q->redriving                                                          ? EVB_EBUSY
         : evb__ld_rlx(&q->closed) != 0 || evb__ld_acq(&q->bus->draining) != 0 ? EVB_ECLOSED
                                                                               : EVB_OK;
    if (rc == EVB_OK) q->redriving = true;
    /* letters that die again meanwhile are not sent round once more */
    if (rc == EVB_OK && max > q->dead.count) max = (uint32_t)q->dead.count;
    evb__queue_unlock(q);
    if (rc != EVB_OK) return rc;
    while (rc == EVB_OK && (uint32_t)moved < max) {
        evb__queue_lock(q);
        if (evb__ld_rlx(&q->closed) != 0 || evb__ld_acq(&q->bus->draining) != 0)
            rc = EVB_ECLOSED; /* as above: a drain has begun meanwhile */
        for (uint32_t i = 0; rc == EVB_OK && i < CHUNK && (uint32_t)moved < max; i++) {
            rc = redrive_one_locked(q);
            if (rc == EVB_OK) moved++;
        }
        evb__queue_unlock(q);
    }
    evb__queue_lock(q);
    q->redriving = false;
    evb__queue_unlock(q);
    return moved == 0 && rc != EVB_EEMPTY ? rc : moved;
}

int64_t evb_dlq_purge(evb_sub *sub)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__queue *q;
    int64_t count = 0;

    if (rc != EVB_OK) return rc;
    q = sub->queue;
    evb__queue_lock(q);
    for (; q->dead.head != NULL; count++)
        evb__dead_free_locked(q, q->dead.head);
    q->counted.dlq_depth = 0;
    evb__queue_unlock(q);
    return count;
}
