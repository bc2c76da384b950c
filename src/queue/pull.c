/* SPDX-License-Identifier: MIT */
/* Consumers that come by themselves: next, take, dispatch, and the descriptor that says when it is worth it.
 */
#include "queue/queue.h"

#include "base/clock.h"
#include "base/thread.h"
#include "base/wakefd.h"

#include <string.h>

#define DISPATCH_DEFAULT 64u
#define TAKE_TURN        64u   /* records under one lock */
#define SPIN_NS          20000 /* looking around before sleeping: what waking takes; as in ring/wait.c */
#define SPIN_TURNS       256u

/* ---- what they share ---- */

void evb__tell_watchers_locked(struct evb__queue *q, bool full)
{
    for (evb_sub *m = q->members; m != NULL && q->watchers != 0; m = m->next) {
        if (m->fd[0] < 0 || m->told || (full && m->handler == NULL)) continue;
        m->told = true;
        q->watchers--;
        evb__wakefd_tell(m->fd);
    }
}

/* A call of this member has found nothing: its descriptor is to fire for what comes next. The unlock that
 * follows looks whether that is there already. */
static void rearm_locked(evb_sub *member)
{
    if (member->fd[0] < 0 || !member->told) return;
    evb__wakefd_clear(member->fd);
    member->told = false;
    member->queue->watchers++;
}

/* Delays that are over, in case that no alarm is set or it is late. */
static void look_at_clock_locked(struct evb__queue *q)
{
    if (q->due != NULL) evb__due_locked(q, evb__clock_mono());
}

static bool is_over(evb_sub *member)
{
    return member->left || evb__queue_is_over_locked(member->queue);
}

/* ---- next ---- */

static int32_t check_pulled(const evb_sub *sub)
{
    int32_t rc = evb__sub_enter(sub);

    if (rc != EVB_OK) return rc;
    return sub->handler != NULL ? EVB_ENOTSUP : EVB_OK;
}

struct pulled {
    uint64_t number;
    const evb_event *event;
};

/* EVB_OK, or EVB_EEMPTY: nothing, or the window is full. */
static int32_t pull_locked(evb_sub *sub, struct pulled *ret)
{
    struct evb__queue *q = sub->queue;
    struct evb__handling *h;

    if (is_over(sub)) return EVB_ECLOSED;
    look_at_clock_locked(q);
    if (q->paused || q->open >= q->opts.max_in_flight) return EVB_EEMPTY;
    h = evb__handling_get_locked(q);
    if (h == NULL) return EVB_ENOMEM;
    if (evb__hand_out_locked(q, sub, h) == NULL) {
        evb__handling_put_locked(q, h);
        return EVB_EEMPTY;
    }
    evb__handling_open_locked(h);
    ret->number = evb__handling_number(h);
    ret->event = &h->view.event;
    return EVB_OK;
}

/* With stays, and nothing there, the member is referenced: from here on another thread may give the handle
 * back while we wait. */
static int32_t try_next(evb_sub *sub, bool stays, struct pulled *ret)
{
    int32_t rc;

    evb__queue_lock(sub->queue);
    rc = pull_locked(sub, ret);
    if (rc == EVB_EEMPTY && stays)
        (void)evb__add_rlx(&sub->refs, 1); /* relaxed: the handle is one */
    else if (rc == EVB_EEMPTY)
        rearm_locked(sub);
    evb__queue_unlock(sub->queue);
    return rc;
}

/* Until something seems to be there. */
static void spin(struct evb__queue *q, int64_t timeout_ns)
{
    int64_t limit = timeout_ns != EVB_FOREVER && timeout_ns < SPIN_NS ? timeout_ns : SPIN_NS;
    int64_t start = evb__clock_mono();

    for (uint32_t turn = 0; turn < SPIN_TURNS; turn++) {
        evb__thread_yield();
        if (evb__swap_filled(q->mailbox.ring) || evb__clock_mono() - start >= limit) return;
    }
}

/* Until the alarm's time: without an alarm nobody else would see to what is due. */
static int64_t until_due(const struct evb__queue *q, int64_t left)
{
    int64_t due;

    if (q->due == NULL) return left;
    due = q->due->at_ns - evb__clock_mono() + 1;
    if (due < 1) due = 1;
    return left == EVB_FOREVER || due < left ? due : left;
}

static int32_t sleep_for_next(evb_sub *sub, int64_t deadline, struct pulled *ret)
{
    struct evb__queue *q = sub->queue;
    bool slept = false;
    int32_t rc;

    for (;;) {
        uint32_t key;
        int64_t left;

        evb__queue_lock(q);
        if (slept) q->pullers--;
        rc = pull_locked(sub, ret);
        left = evb__remaining(deadline);
        if (rc != EVB_EEMPTY || left == 0) break;
        key = evb__ld_acq(&q->pull_epoch); /* pairs with evb__queue_look_locked */
        left = until_due(q, left);
        q->pullers++;
        slept = true;
        evb__queue_unlock(q);
        (void)evb__park(&q->pull_epoch, key, left);
    }
    if (rc == EVB_EEMPTY) {
        rearm_locked(sub);
        rc = EVB_ETIMEDOUT;
    }
    evb__queue_unlock(q);
    return rc;
}

int32_t evb_sub_next(evb_sub *sub, int64_t timeout_ns, uint64_t *ret_delivery, const evb_event **ret_event)
{
    int32_t rc = check_pulled(sub);
    struct pulled pulled;
    bool stays;

    if (rc != EVB_OK) return rc;
    if (ret_delivery == NULL || ret_event == NULL || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if (sub->queue->opts.lease_ns != INT64_MAX && (rc = evb__queue_pool(sub->queue)) != EVB_OK) return rc;
    stays = timeout_ns != 0 && !evb__in_callback(evb__self());
    rc = try_next(sub, stays, &pulled);
    if (rc == EVB_EEMPTY && timeout_ns != 0) {
        if (!stays) return EVB_EDEADLK;
        spin(sub->queue, timeout_ns);
        rc = sleep_for_next(sub, evb__deadline(timeout_ns), &pulled);
        evb__member_unref(sub);
    }
    if (rc != EVB_OK) return rc;
    *ret_delivery = pulled.number;
    *ret_event = pulled.event;
    return EVB_OK;
}

/* ---- take ---- */

static size_t packed_size(const evb_event *ev)
{
    size_t size = sizeof(evb_packed) + ev->topic_len + 1 + ev->key_len + ev->size;

    return (size + 7) / 8 * 8;
}

static void pack(char *at, const struct evb__delivery *d, size_t size)
{
    const evb_event *ev = &d->message->event;
    evb_packed head = {.size = (uint32_t)size,
                       .topic_len = ev->topic_len,
                       .key_len = ev->key_len,
                       .data_len = (uint32_t)ev->size,
                       .sequence = ev->sequence,
                       .time_ns = d->message->time_ns,
                       .flags = ev->flags | evb__delivery_flags(d),
                       .attempt = d->attempt + 1};
    char *p = at + sizeof head;

    memcpy(at, &head, sizeof head);
    memcpy(p, ev->topic, ev->topic_len);
    p += ev->topic_len;
    *p++ = '\0';
    if (ev->key_len != 0) memcpy(p, ev->key, ev->key_len);
    p += ev->key_len;
    if (ev->size != 0) memcpy(p, ev->data, ev->size);
    p += ev->size;
    memset(p, 0, (size_t)(at + size - p));
}

/* One event into buf, done with. Its size; 0: nothing there; -1: it does not fit. */
static int64_t take_one_locked(struct evb__queue *q, char *at, size_t cap)
{
    struct evb__delivery *d;
    size_t size;

    if (q->paused) return 0;
    d = evb__ready_next_locked(q);
    if (d == NULL) return 0;
    size = packed_size(&d->message->event);
    if (size > cap || size > UINT32_MAX) return -1;
    pack(at, d, size);
    evb__ready_remove_locked(q, d);
    q->counted.delivered++;
    if (d->attempt > 0) q->counted.redelivered++;
    q->counted.acked++;
    evb__gone_locked(q, d);
    return (int64_t)size;
}

int32_t evb_sub_take(evb_sub *sub, void *buf, size_t cap, uint32_t max)
{
    int32_t rc = check_pulled(sub), taken = 0;
    struct evb__queue *q;
    int64_t size = 1;
    char *at = buf;

    if (rc != EVB_OK) return rc;
    if (buf == NULL || (uintptr_t)buf % 8 != 0 || max == 0) return EVB_EINVAL;
    if (max > INT32_MAX) max = INT32_MAX;
    q = sub->queue;
    while (size > 0 && (uint32_t)taken < max) {
        evb__queue_lock(q);
        look_at_clock_locked(q);
        if (taken == 0 && is_over(sub)) rc = EVB_ECLOSED;
        for (uint32_t i = 0; rc == EVB_OK && i < TAKE_TURN && (uint32_t)taken < max; i++) {
            size = take_one_locked(q, at, cap);
            if (size <= 0) break;
            at += size;
            cap -= (size_t)size;
            taken++;
        }
        if (size == 0 && taken == 0 && rc == EVB_OK) rearm_locked(sub);
        evb__queue_unlock(q);
        if (rc != EVB_OK) return rc;
    }
    if (taken != 0) return taken;
    return size == 0 ? EVB_EEMPTY : EVB_ETOOBIG;
}

/* ---- the descriptor ---- */

int32_t evb_sub_fd(evb_sub *sub)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__queue *q;

    if (rc != EVB_OK) return rc;
    if (sub->handler != NULL && (sub->flags & EVB_SUB_DISPATCH) == 0) return EVB_ENOTSUP;
    q = sub->queue;
    evb__queue_lock(q);
    if (is_over(sub)) {
        rc = EVB_ECLOSED;
    } else if (sub->fd[0] < 0) {
        rc = evb__wakefd_open(sub->fd);
        if (rc == EVB_OK) q->watchers++; /* the unlock tells it when something is there */
    }
    if (rc == EVB_OK) rc = sub->fd[0];
    evb__queue_unlock(q);
    return rc;
}

/* ---- dispatch ---- */

/* false: nothing there. */
static bool begin_dispatch_locked(evb_sub *sub, struct evb__call *call)
{
    struct evb__queue *q = sub->queue;

    look_at_clock_locked(q);
    if (q->paused || is_over(sub) || evb__hand_out_locked(q, sub, call->handling) == NULL) {
        rearm_locked(sub);
        return false;
    }
    call->handling->call = call;
    sub->running++;
    return true;
}

/* Runs handlers until nothing is there, or max have run. Enters and leaves with the lock. Settling one event
 * and taking the next is one visit; the unlock before each handler tells others what there is. */
static uint32_t dispatch_locked(evb_sub *sub, struct evb__call *call, uint32_t max)
{
    struct evb__self *self = evb__self();
    struct evb__queue *q = sub->queue;
    uint32_t count;

    for (count = 0; count < max && begin_dispatch_locked(sub, call); count++) {
        struct evb__handling *h = call->handling;
        int32_t result;

        evb__queue_unlock(q);
        result = evb__call_handler(sub, call);
        if (result != EVB_OK)
            (void)evb__queue_pool(q); /* for the alarm of its retry; without it: the next call looks */
        evb__queue_lock(q);
        evb__call_settle_locked(sub, call, result, h);
        if (evb__unlikely(self->deferred != NULL)) { /* a bus that it has destroyed ends here */
            evb__queue_unlock(q);
            evb__callback_end(self);
            evb__queue_lock(q);
        } else {
            self->callbacks--;
        }
    }
    return count;
}

int32_t evb_sub_dispatch(evb_sub *sub, uint32_t max)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__call call = {NULL, false};
    struct evb__queue *q;
    uint32_t count;
    bool over;

    if (rc != EVB_OK) return rc;
    if ((sub->flags & EVB_SUB_DISPATCH) == 0) return EVB_ENOTSUP;
    if (evb__in_callback(evb__self())) return EVB_EDEADLK;
    if (max == 0) max = DISPATCH_DEFAULT;
    if (max > INT32_MAX) max = INT32_MAX;
    rc = evb__reader_ready(evb__self(), sub->generation);
    if (rc != EVB_OK) return rc;
    q = sub->queue;
    evb__queue_lock(q);
    over = is_over(sub);
    call.handling = over ? NULL : evb__handling_get_locked(q);
    evb__queue_unlock(q);
    if (over) return EVB_ECLOSED;
    if (call.handling == NULL) return EVB_ENOMEM;
    (void)evb__add_rlx(&sub->refs, 1); /* relaxed: the handle is one */
    evb__queue_lock(q);
    count = dispatch_locked(sub, &call, max);
    evb__handling_put_locked(q, call.handling);
    over = sub->left && evb__member_over_locked(sub);
    if (sub->left) (void)evb__add_rel(&sub->idle_epoch, 1); /* pairs with who waits for its handlers */
    evb__queue_unlock(q);
    evb__wake_all(&sub->idle_epoch);
    if (over) evb__member_finish(sub);
    evb__member_unref(sub);
    return count != 0 ? (int32_t)count : EVB_EEMPTY;
}
