/* SPDX-License-Identifier: MIT */
/* What becomes of a delivery: acknowledged, tried again, given back, given up. And the calls that say so. */
#include "queue/queue.h"

#include "base/clock.h"

/* ---- the retry policy: SEMANTICS 4 ---- */

/* min(cap, base x 2^(failures - 1)), jittered; never less than min. */
static int64_t retry_delay(struct evb__queue *q, uint32_t failures)
{
    const evb_retry *r = &q->opts.retry;
    int64_t delay = r->base_ns;

    for (uint32_t i = 1; i < failures && delay < r->cap_ns; i++)
        delay = delay <= r->cap_ns / 2 ? delay * 2 : r->cap_ns;
    if (delay > r->cap_ns) delay = r->cap_ns;
    if (r->jitter == EVB_JITTER_FULL)
        delay = (int64_t)evb__rng_below(&q->rng, (uint64_t)delay + 1);
    else if (r->jitter == EVB_JITTER_EQUAL)
        delay = delay / 2 + (int64_t)evb__rng_below(&q->rng, (uint64_t)(delay - delay / 2) + 1);
    return delay > r->min_ns ? delay : r->min_ns;
}

static void fail(struct evb__queue *q, struct evb__delivery *d, const struct evb__outcome *o)
{
    int64_t delay = o->delay_ns, now;

    q->counted.nacked++;
    if (q->opts.retry.max_attempts != UINT32_MAX && d->attempt >= q->opts.retry.max_attempts) {
        evb__credit_back_locked(q, d);
        evb__bury_locked(q, d, EVB__REASON_DELIVERY_LIMIT, o->code, o->text);
        return;
    }
    if (delay == EVB_DELAY_POLICY) delay = retry_delay(q, d->attempt);
    if (delay == 0) {
        evb__mailbox_empty_locked(q); /* the tail is behind what has been accepted */
        evb__ready_append_locked(q, d);
        return;
    }
    now = evb__clock_mono();
    evb__delay_locked(q, d, delay < INT64_MAX - now ? now + delay : INT64_MAX);
}

static void close_open(struct evb__queue *q, struct evb__handling *h)
{
    if (!h->open) return;
    h->open = false;
    if (h->next != NULL) h->next->link = h->link;
    *h->link = h->next;
    q->open--;
}

void evb__settle_locked(struct evb__queue *q, struct evb__handling *h, const struct evb__outcome *o)
{
    struct evb__delivery *d = h->delivery;

    close_open(q, h);
    h->delivery = NULL;
    if (evb__unlikely(o->keep) && h->message == NULL) {
        h->message = d->message;
        evb__message_ref(h->message);
    }
    if (d == NULL) return; /* at most once: settled when it was handed out */
    if (h->leased) evb__due_remove_locked(q, d);
    h->leased = false;
    d->handling = NULL;
    q->in_flight--;
    if (q->stopped && o->result != EVB_OK) { /* nobody will take it any more */
        q->counted.discarded++;
        evb__gone_locked(q, d);
        return;
    }
    switch (o->result) {
    case EVB_OK:
        q->counted.acked++;
        evb__gone_locked(q, d);
        break;
    case EVB_RELEASE:
        q->counted.released++;
        d->attempt--;
        evb__ready_prepend_locked(q, d);
        break;
    case EVB_REJECT:
        evb__credit_back_locked(q, d);
        evb__bury_locked(q, d, EVB__REASON_REJECTED, o->code, o->text);
        break;
    default:
        fail(q, d, o);
        break;
    }
}

/* ---- time ---- */

void evb__due_locked(struct evb__queue *q, int64_t now_ns)
{
    static const struct evb__outcome expired = {.result = EVB_NACK,
                                                .delay_ns = EVB_DELAY_POLICY,
                                                .text = "lease expired",
                                                .code = EVB_ETIMEDOUT,
                                                .keep = true};

    while (q->due != NULL && q->due->at_ns <= now_ns) {
        struct evb__delivery *d = q->due->delivery;

        if (d->state == EVB__READY) {
            evb__ready_remove_locked(q, d);
            evb__expire_locked(q, d);
        } else if (d->state == EVB__DELAYED) {
            evb__due_remove_locked(q, d);
            q->delayed--;
            if (evb__expires_by(d, now_ns)) {
                evb__expire_locked(q, d);
                continue;
            }
            evb__mailbox_empty_locked(q);
            evb__ready_append_locked(q, d);
        } else {
            struct evb__handling *h = d->handling;

            evb__settle_locked(q, h, &expired);
            evb__handling_lapse_locked(q, h);
        }
    }
}

void evb__alarm_locked(struct evb__queue *q)
{
    int64_t due = q->due != NULL && q->due->at_ns < q->look_ns ? q->due->at_ns : q->look_ns;

    if (q->alarm == NULL || due >= q->alarm_ns) return; /* an alarm that comes too early sets itself anew */
    q->alarm_ns = due;
    evb__alarm_set(q->alarm, due);
}

void evb__alarm_rang(void *queue)
{
    struct evb__queue *q = queue;
    int64_t now = evb__clock_mono();

    evb__queue_lock(q);
    q->alarm_ns = INT64_MAX;
    evb__due_locked(q, now);
    if (now >= q->look_ns) evb__stuck_look_locked(q, now);
    evb__alarm_locked(q);
    evb__queue_unlock(q);
}

/* ---- the calls ---- */

static int32_t settle(evb_sub *sub, uint64_t delivery, const struct evb__outcome *o)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__queue *q;
    struct evb__handling *h;

    if (rc != EVB_OK) return rc;
    q = sub->queue;
    if (o->result == EVB_NACK && o->delay_ns != 0 && (rc = evb__queue_pool(q)) != EVB_OK)
        return rc; /* its alarm */
    evb__queue_lock(q);
    rc = evb__handling_find_locked(q, delivery, &h);
    if (rc == EVB_OK && h->delivery == NULL && o->result != EVB_OK) rc = EVB_ENOTSUP; /* at most once */
    if (rc == EVB_OK) {
        evb__settle_locked(q, h, o);
        evb__handling_put_locked(q, h);
    }
    evb__queue_unlock(q);
    return rc;
}

int32_t evb_ack(evb_sub *sub, uint64_t delivery)
{
    return settle(sub, delivery, &(struct evb__outcome){.result = EVB_OK});
}

int32_t evb_nack(evb_sub *sub, uint64_t delivery, int64_t delay_ns)
{
    if (delay_ns < EVB_DELAY_POLICY) return EVB_EINVAL;
    return settle(sub, delivery,
                  &(struct evb__outcome){.result = EVB_NACK, .delay_ns = delay_ns, .code = EVB_NACK});
}

int32_t evb_release(evb_sub *sub, uint64_t delivery)
{
    return settle(sub, delivery, &(struct evb__outcome){.result = EVB_RELEASE});
}

int32_t evb_reject(evb_sub *sub, uint64_t delivery, int32_t code, const char *text)
{
    return settle(sub, delivery, &(struct evb__outcome){.result = EVB_REJECT, .text = text, .code = code});
}

int32_t evb_extend(evb_sub *sub, uint64_t delivery, int64_t lease_ns)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__queue *q;
    struct evb__handling *h;

    if (rc != EVB_OK) return rc;
    if (lease_ns < 0) return EVB_EINVAL;
    q = sub->queue;
    if (lease_ns == 0) lease_ns = q->opts.lease_ns;
    if (lease_ns != INT64_MAX && (rc = evb__queue_pool(q)) != EVB_OK) return rc; /* its alarm */
    evb__queue_lock(q);
    rc = evb__handling_find_locked(q, delivery, &h);
    if (rc == EVB_OK && h->delivery == NULL) rc = EVB_ENOTSUP; /* at most once: no lease */
    if (rc == EVB_OK) evb__handling_lease_locked(h, evb__clock_mono(), lease_ns);
    evb__queue_unlock(q);
    return rc;
}

int32_t evb_defer(const evb_event *ev, uint64_t *ret_delivery)
{
    const struct evb__origin *origin;
    struct evb__handling *h, *other;
    struct evb__queue *q;
    int32_t rc = EVB_OK;

    if (ev == NULL || ret_delivery == NULL) return EVB_EINVAL;
    origin = evb__event_origin(ev);
    if (origin == NULL || origin->delivery == NULL) return EVB_ENOTSUP;
    h = EVB__CONTAINER((const struct evb__view *)(const void *)ev, struct evb__handling, view);
    q = h->member->queue;
    if (q->generation != evb__process_generation()) return EVB_EFORKED;
    if (q->opts.lease_ns != INT64_MAX && (rc = evb__queue_pool(q)) != EVB_OK) return rc; /* its alarm */
    evb__queue_lock(q);
    if (h->open) {
        rc = h->call == NULL ? EVB_EEXIST : EVB_ENOTSUP;
    } else if (h->call == NULL) {
        rc = EVB_ENOTSUP; /* its handler has returned */
    } else if (h->member->left) {
        rc = EVB_ECLOSED; /* nobody would ever get it back: what the handler returns settles it */
    } else if (q->open >= q->opts.max_in_flight) {
        rc = EVB_EFULL;
    } else {
        other = evb__handling_get_locked(q);
        if (other == NULL) rc = EVB_ENOMEM;
    }
    if (rc == EVB_OK) {
        h->call->handling = other;
        h->call->deferred = true;
        h->call = NULL;
        evb__handling_open_locked(h);
        *ret_delivery = evb__handling_number(h);
    }
    evb__queue_unlock(q);
    return rc;
}
