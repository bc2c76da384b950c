/* SPDX-License-Identifier: MIT */
/* Handlers on the pool. A runner takes one event at a time, calls its member's handler, settles, and goes on
 * until nothing is left; then it is idle, in the queue's list, until an unlock schedules it again (wake.c).
 *
 * The only runner of a queue has the bias of its lock: an event costs it no locked instruction. Before it
 * goes idle it looks around for a moment: who looks as fast as he can meets the publisher in the same cache
 * lines, and both become slow; a short rest lets a batch come together. The rest grows while that pays, and
 * shrinks when not.
 */
#include "queue/queue.h"

#include "base/clock.h"
#include "ring/eventcount.h"

#define TURN             64u  /* events; then others in the pool may have the worker */
#define REST_MAX         64u  /* pauses at a look */
#define REST_TOTAL       160u /* before it goes idle */
#define REST_PROBE       64u
#define REST_PROBE_EVERY 32u
#define STUCK_NS         INT64_C(10000000000)
#define STUCK_LOOKS      3u /* without a change: 30 to 40 s */

/* ---- calling a handler ---- */

/* Until evb__call_over the thread is inside a callback. */
int32_t evb__call_handler(evb_sub *member, struct evb__call *call)
{
    struct evb__self *self = evb__self();
    struct evb__handling *h = call->handling;
    const void *outer = self->serves;
    int32_t result;

    self->serves =
        member->queue->bus; /* it may publish while the bus drains: its event keeps the drain waiting */
    self->callbacks++;
    result = member->handler(&h->view.event, member->user);
    if (evb__unlikely(result != EVB_OK && result != EVB_RELEASE && result != EVB_DEFER) && !call->deferred)
        evb__bus_error(member->queue->bus, &h->view.event, result);
    self->serves = outer;
    return result;
}

/* After the handler: h is what it was called with. */
void evb__call_settle_locked(evb_sub *member, struct evb__call *call, int32_t result, struct evb__handling *h)
{
    struct evb__queue *q = member->queue;

    if (evb__unlikely(call->deferred)) {
        call->deferred = false; /* h is not ours any more; call->handling is another one */
    } else if (evb__unlikely(h->message != NULL)) {
        if (h->leader != NULL) evb__lane_leave_locked(q, h->leader);
        h->leader = NULL;
        evb__message_unref(h->message); /* at most once: whatever the handler says */
        (void)evb__sub_rel(&q->once_running, 1);
        h->message = NULL;
    } else if (evb__likely(result == EVB_OK)) {
        struct evb__delivery *d = h->delivery;

        h->delivery = NULL;
        q->in_flight--;
        q->counted.acked++;
        evb__gone_locked(q, d);
    } else {
        struct evb__outcome o = {.result = result, .delay_ns = EVB_DELAY_POLICY, .code = result};

        if (result == EVB_DEFER) o.code = EVB_NACK; /* without evb_defer */
        if (result > EVB_DEFER) o.result = EVB_NACK;
        evb__settle_locked(q, h, &o);
    }
    member->running--;
}

/* ---- the runner ---- */

/* Inside the lock. true: an event is in hand. */
static bool take_locked(struct evb__queue *q, struct evb__runner *r)
{
    evb_sub *member = r->member;

    if (evb__unlikely(q->paused || q->stopped || member->left)) return false;
    if (evb__hand_out_locked(q, member, r->call.handling) == NULL) return false;
    r->call.handling->call = &r->call;
    member->running++;
    return true;
}

static int32_t run_handler(struct evb__runner *r)
{
    uint32_t calls = evb__ld_rlx(&r->calls); /* ours; others only look */
    int32_t result;

    evb__st_rlx(&r->calls, calls + 1);
    result = evb__call_handler(r->member, &r->call);
    evb__st_rlx(&r->calls, calls + 2);
    return result;
}

/* Looks around before it goes idle, for about as long as going idle and being woken costs both sides. true:
 * something has come. A look that finds several lengthens the next rest, one that finds a single one shortens
 * it; now and then a long rest is tried, because short ones never find several. */
static bool rest(struct evb__queue *q, struct evb__runner *r)
{
    uint32_t pauses = ++r->rests % REST_PROBE_EVERY == 0 ? REST_PROBE : r->rest;

    if (evb__pool_has_work(q->pool)) return false; /* running others is the rest */
    for (uint32_t spent = 0; spent < REST_TOTAL; spent += pauses) {
        uint32_t found;

        for (uint32_t p = 0; p < pauses; p++)
            evb__spin_pause(0);
        if (!evb__swap_filled(q->mailbox.ring)) {
            pauses = 2 * pauses + 1 < REST_MAX ? 2 * pauses + 1 : REST_MAX;
            continue;
        }
        found = evb__swap_about(q->mailbox.ring);
        if (found >= 4) r->rest = pauses < REST_MAX ? pauses + 1 : REST_MAX;
        if (found < 2) r->rest /= 2;
        return true;
    }
    return false;
}

/* The owner of the bias: events one after the other without a lock, until there is nothing, it is not the
 * only runner any more, or something has come up that a full unlock has to report. true: its turn is over. */
static bool run_biased(struct evb__queue *q, struct evb__runner *r)
{
    bool blocks = q->opts.overflow == EVB_OVERFLOW_BLOCK;
    bool slow = evb__bias_enter(&q->lock);
    struct evb__self *self = evb__self();
    uint32_t turn = 0;

    while (q->sole && q->buried == 0 && !r->member->left) {
        struct evb__handling *h = r->call.handling;
        bool taken = take_locked(q, r), stands = q->paused || q->stopped;
        int32_t result;

        evb__bias_leave(&q->lock, slow);
        if (!taken) {
            if (stands || !rest(q, r)) return false;
            slow = evb__bias_enter(&q->lock);
            continue;
        }
        result = run_handler(r);
        slow = evb__bias_enter(&q->lock);
        evb__call_settle_locked(r->member, &r->call, result, h);
        if (evb__unlikely(self->deferred != NULL)) { /* a bus is destroyed when its callback is over */
            evb__bias_leave(&q->lock, slow);
            evb__callback_end(self);
            return false;
        }
        self->callbacks--;
        /* The credit is given back before the look: pairs with the registration of who waits for room. */
        if (blocks && evb__unlikely(evb__eventcount_look(&q->room_waiters, q->lock.asymmetric)))
            evb__eventcount_wake(&q->room_waiters, &q->room_epoch);
        if (++turn % TURN == 0 && evb__pool_has_work(q->pool)) break;
    }
    evb__bias_leave(&q->lock, slow);
    return turn != 0 && turn % TURN == 0;
}

/* One event with the lock. Enters and leaves with the mutex held, no bias granted. */
static bool run_one_locked(struct evb__queue *q, struct evb__runner *r)
{
    struct evb__handling *h = r->call.handling;
    int32_t result;

    if (!take_locked(q, r)) return false;
    evb__queue_unlock(q); /* what else is ready goes to others */
    result = run_handler(r);
    evb__queue_lock(q);
    evb__call_settle_locked(r->member, &r->call, result, h);
    if (evb__unlikely(evb__self()->deferred != NULL)) {
        evb__queue_unlock(q);
        evb__callback_end(evb__self());
        evb__queue_lock(q);
    } else {
        evb__self()->callbacks--;
    }
    return true;
}

static void go_idle(struct evb__queue *q, struct evb__runner *r)
{
    evb_sub *member = r->member;
    bool left = member->left, over = left && evb__member_over_locked(member);

    q->active--;
    if (left) {
        (void)evb__add_rel(&member->idle_epoch, 1); /* pairs with the load of who waits for its handlers */
    } else {
        r->next = q->idle;
        q->idle = r;
    }
    evb__queue_unlock(q);
    if (left) evb__wake_all(&member->idle_epoch);
    if (over) evb__member_finish(member);
    evb__member_unref(member);
}

/* A handler that runs for too long is looked for while any runner is active. */
static void expect_stuck_locked(struct evb__queue *q)
{
    if (q->look_ns != INT64_MAX || q->alarm == NULL) return;
    q->look_ns = evb__clock_mono() + STUCK_NS;
    evb__alarm_locked(q);
}

void evb__runner_run(struct evb__runnable *runnable, bool discard)
{
    struct evb__runner *r = EVB__CONTAINER(runnable, struct evb__runner, runnable);
    struct evb__queue *q = r->member->queue;
    uint32_t turn = 0;
    bool over = false;

    (void)evb__reader_ready(evb__self(),
                            q->generation); /* a thread without a slot cannot publish; it can do this */
    evb__queue_lock(q);
    if (discard) q->pool_gone = true; /* the user has shut it down: what is ready stays */
    expect_stuck_locked(q);
    while (!discard && !over) {
        if (q->sole && !r->member->left) {
            evb__bias_grant(&q->lock);
            evb__bias_unlock(&q->lock);
            over = run_biased(q, r);
            evb__bias_revoke(&q->lock);
            if (over) break;
        }
        if (!run_one_locked(q, r)) break;
        over = ++turn % TURN == 0 && evb__pool_has_work(q->pool);
    }
    if (!over) {
        go_idle(q, r);
        return;
    }
    evb__queue_unlock(q);
    evb__pool_schedule(q->pool, runnable); /* to the end of the line */
}

/* ---- stuck handlers ---- */

static void look_at(struct evb__queue *q, struct evb__runner *r)
{
    uint32_t calls = evb__ld_rlx(&r->calls); /* relaxed: only compared with itself */

    if (calls % 2 == 0 || calls != r->calls_seen) {
        r->calls_seen = calls;
        r->looks = 0;
    } else if (++r->looks == STUCK_LOOKS) {
        q->stuck++;
    }
}

void evb__stuck_look_locked(struct evb__queue *q, int64_t now_ns)
{
    for (evb_sub *member = q->members; member != NULL; member = member->next)
        for (uint32_t i = 0; member->runners != NULL && i < member->concurrency; i++)
            look_at(q, &member->runners[i]);
    q->look_ns = q->active != 0 ? now_ns + STUCK_NS : INT64_MAX;
}
