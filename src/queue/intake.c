/* SPDX-License-Identifier: MIT */
/* How events come in: the queue as the bus sees it. Filter, reservation, commit, and what overflow means.
 *
 * REJECT and BLOCK take their credit when they are asked (reserve), because they may refuse the whole
 * publish. The others never refuse: they take it when the event is handed over, and make room or drop it
 * then.
 */
#include "queue/queue.h"

#include "base/clock.h"
#include "ring/eventcount.h"

/* Looking around for as long as waking takes, before sleeping for room; as in ring/wait.c. */
#define SPIN_NS    20000
#define SPIN_TURNS 256u

static struct evb__queue *queue_of(const struct evb__sink *sink)
{
    return EVB__CONTAINER(sink, struct evb__queue, sink);
}

static bool sink_wants(struct evb__sink *sink, const evb_event *event)
{
    struct evb__queue *q = queue_of(sink);

    /* relaxed: a hint, reserve decides */
    return evb__ld_rlx(&q->closed) == 0 && q->filter(event, q->filter_user) != 0;
}

static int32_t sink_reserve(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    struct evb__queue *q = queue_of(sink);

    if (evb__unlikely(evb__ld_acq(&q->closed) != 0)) return EVB_ECLOSED; /* pairs with who closes it */
    if (evb__unlikely(n > EVB__CREDIT_EVENTS_MAX || bytes > EVB__CREDIT_BYTES_MAX)) return EVB_ETOOBIG;
    if (evb__likely(evb__credit_take(&q->credit, evb__credit_cost(n, bytes)))) return EVB_OK;
    if (!evb__credit_possible(&q->credit, n, bytes)) return EVB_ETOOBIG;
    return q->opts.overflow == EVB_OVERFLOW_BLOCK ? EVB_EAGAIN : EVB_EFULL;
}

/* Of those that never refuse. */
static int32_t sink_reserve_nothing(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    (void)bytes;
    (void)n;
    return evb__ld_acq(&queue_of(sink)->closed) != 0 ? EVB_ECLOSED : EVB_OK; /* as above */
}

static void sink_undo_nothing(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    (void)sink;
    (void)bytes;
    (void)n;
}

/* A credit is free again: who waits for room may go on. */
static void notify_room(struct evb__queue *q)
{
    if (q->opts.overflow == EVB_OVERFLOW_BLOCK &&
        evb__unlikely(evb__eventcount_look(&q->room_waiters, q->lock.asymmetric)))
        evb__eventcount_wake(&q->room_waiters, &q->room_epoch);
}

static void sink_undo(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    struct evb__queue *q = queue_of(sink);

    evb__credit_undo(&q->credit, evb__credit_cost(n, bytes));
    notify_room(q);
    /* It may have been the last thing there: who drains, and who pulls, looks again. seq_cst: pairs with
     * drain, which looks at the credits afterwards. */
    if (evb__ld_sc(&q->bus->draining) != 0) {
        evb__queue_lock(q);
        evb__queue_unlock(q);
    }
}

/* ---- commit ---- */

/* Not taken: counted, or kept as a dead letter. */
static void drop_locked(struct evb__queue *q, struct evb__delivery *d)
{
    if ((q->opts.flags & EVB_SUB_DEAD_LETTER_DROPS) != 0 && !q->stopped) {
        evb__bury_locked(q, d, EVB__REASON_MAXLEN, EVB_EFULL, NULL);
        return;
    }
    q->counted.dropped++;
    q->dropped++;
    evb__lane_leave_locked(q, d);
    evb__message_unref(d->message);
}

static void accept_locked(struct evb__queue *q, struct evb__delivery *d)
{
    int64_t delay = evb__message_more(d->message)->delay_ns, now;

    q->counted.enqueued++;
    if (delay == 0) {
        evb__ready_append_locked(q, d);
        return;
    }
    now = evb__clock_mono();
    evb__delay_locked(q, d, delay < INT64_MAX - now ? now + delay : INT64_MAX);
}

static bool is_immediate(const struct evb__message *message)
{
    return evb__likely(message->plain) || evb__message_more(message)->delay_ns == 0;
}

/* With a credit in hand. */
static bool hand_over(struct evb__queue *q, struct evb__delivery *d)
{
    if (evb__likely(is_immediate(d->message) && !d->expires && evb__mailbox_push(&q->mailbox, d))) {
        if (evb__likely(!evb__mailbox_told(&q->mailbox))) return true;
        evb__queue_lock(q);
    } else {
        evb__queue_lock(q);
        evb__mailbox_empty_locked(q); /* this thread's earlier ones come first */
        accept_locked(q, d);
    }
    evb__queue_unlock(q);
    return true;
}

/* Would it fit if nothing were ready? What is in flight or delayed is not evicted. */
static bool could_fit_locked(const struct evb__queue *q, size_t bytes)
{
    uint64_t ready = q->ready.count * EVB__CREDIT_ONE + q->ready.bytes;

    return evb__credit_possible(&q->credit, 1, bytes) &&
           evb__credit_fits(&q->credit, evb__credit_used(&q->credit) - ready, evb__credit_cost(1, bytes));
}

/* Makes room for one more, which could fit, by evicting what is ready, oldest first. */
static void evict_for_locked(struct evb__queue *q, uint64_t cost)
{
    while (!evb__credit_take(&q->credit, cost)) {
        struct evb__delivery *oldest = q->ready.head;

        evb__ready_remove_locked(q, oldest);
        evb__credit_back_locked(q, oldest);
        drop_locked(q, oldest);
    }
}

/* A publish that drain has not seen: its queue does not take credits before it commits. */
static bool is_late(const struct evb__queue *q)
{
    return evb__bus_refuses(q->bus);
}

static void discard_locked(struct evb__queue *q, struct evb__delivery *d)
{
    q->counted.enqueued++;
    q->counted.discarded++;
    evb__message_unref(d->message);
}

/* A credit for it, if it has to be by evicting what is ready. */
static bool make_room_locked(struct evb__queue *q, const struct evb__delivery *d)
{
    size_t bytes = d->message->bytes;
    struct evb__delivery *old;

    if (!could_fit_locked(q, bytes)) return false;
    while (q->opts.overflow == EVB_OVERFLOW_CONFLATE && is_immediate(d->message) &&
           (old = evb__conflated_locked(q, d)) != NULL) {
        evb__ready_remove_locked(q, old);
        q->counted.conflated++;
        evb__gone_locked(q, old);
    }
    evict_for_locked(q, evb__credit_cost(1, bytes));
    return true;
}

static void not_taken_locked(struct evb__queue *q, struct evb__delivery *d)
{
    if (is_late(q)) {
        discard_locked(q, d);
        return;
    }
    q->counted.enqueued++;
    drop_locked(q, d);
}

static bool commit_evicting(struct evb__queue *q, struct evb__delivery *d)
{
    bool taken;

    evb__queue_lock(q);
    taken = !is_late(q) && make_room_locked(q, d);
    if (taken)
        accept_locked(q, d);
    else
        not_taken_locked(q, d);
    evb__queue_unlock(q);
    return taken;
}

static bool take_credit(struct evb__queue *q, const struct evb__delivery *d)
{
    size_t bytes = d->message->bytes;

    return evb__credit_possible(&q->credit, 1, bytes) &&
           evb__credit_take(&q->credit, evb__credit_cost(1, bytes));
}

/* For newcomer.c: the queue is about to open, so nobody is refused and nobody waits. */
void evb__queue_admit_locked(struct evb__queue *q, struct evb__delivery *d)
{
    bool evicts = q->opts.overflow == EVB_OVERFLOW_DROP_OLDEST || q->opts.overflow == EVB_OVERFLOW_CONFLATE;

    d->retained = true;
    evb__expiry_begin(q, d);
    if (!is_late(q) && (evicts ? make_room_locked(q, d) : take_credit(q, d)))
        accept_locked(q, d);
    else
        not_taken_locked(q, d);
}

static bool commit_newest(struct evb__queue *q, struct evb__delivery *d)
{
    bool taken = take_credit(q, d);

    if (evb__likely(taken && !is_late(q))) return hand_over(q, d);
    if (taken) evb__credit_undo(&q->credit, evb__credit_cost(1, d->message->bytes));
    evb__queue_lock(q);
    not_taken_locked(q, d);
    evb__queue_unlock(q);
    return false;
}

static EVB__NOINLINE void begin_time(struct evb__queue *q, struct evb__delivery *d)
{
    const struct evb__message_more *more = evb__message_more(d->message);

    if ((more->delay_ns | more->ttl_ns | q->opts.ttl_ns) == 0) return;
    (void)evb__queue_pool(q); /* without it, who waits in evb_sub_next sees to the time himself */
    evb__expiry_begin(q, d);
}

/* The event's own is behind a message that is not plain. */
static bool may_have_time(const struct evb__queue *q, const struct evb__delivery *d)
{
    return !d->message->plain || q->opts.ttl_ns != 0;
}

static bool sink_commit(struct evb__sink *sink, struct evb__delivery *d)
{
    struct evb__queue *q = queue_of(sink);

    if (evb__unlikely(may_have_time(q, d))) begin_time(q, d);
    return hand_over(q, d);
}

static bool sink_commit_newest(struct evb__sink *sink, struct evb__delivery *d)
{
    struct evb__queue *q = queue_of(sink);

    if (evb__unlikely(may_have_time(q, d))) begin_time(q, d);
    return commit_newest(q, d);
}

static bool sink_commit_evicting(struct evb__sink *sink, struct evb__delivery *d)
{
    struct evb__queue *q = queue_of(sink);

    if (evb__unlikely(may_have_time(q, d))) begin_time(q, d);
    return commit_evicting(q, d);
}

/* ---- waiting for room ---- */

static bool has_room(struct evb__queue *q, uint64_t cost)
{
    return evb__credit_fits(&q->credit, evb__credit_used(&q->credit), cost);
}

static bool is_closed(const struct evb__queue *q)
{
    return evb__ld_acq(&q->closed) != 0 || evb__ld_acq(&q->bus->draining) != 0;
}

static bool spin_for_room(struct evb__queue *q, uint64_t cost, int64_t deadline)
{
    int64_t start = evb__clock_mono();

    for (uint32_t turn = 0; turn < SPIN_TURNS; turn++) {
        int64_t now;

        evb__thread_yield();
        if (has_room(q, cost) || is_closed(q)) return true;
        now = evb__clock_mono();
        if (now - start >= SPIN_NS || (deadline != EVB_FOREVER && now >= deadline)) return false;
    }
    return false;
}

static int32_t wait_for_room(struct evb__sink *sink, size_t bytes, uint32_t n, int64_t deadline_ns)
{
    struct evb__queue *q = queue_of(sink);
    uint64_t cost = evb__credit_cost(n, bytes);

    (void)spin_for_room(q, cost, deadline_ns);
    for (;;) {
        bool sure;
        uint32_t key = evb__eventcount_prepare(&q->room_waiters, &q->room_epoch, q->lock.asymmetric, &sure);
        int64_t left;

        if (evb__ld_acq(&q->bus->draining) != 0) return EVB_ECLOSED; /* pairs with evb_bus_drain */
        if (is_closed(q)) return EVB_OK; /* gone: it is not among those who match any more */
        if (has_room(q, cost)) return EVB_OK;
        left = evb__remaining(deadline_ns);
        if (left == 0) return EVB_ETIMEDOUT;
        if (!sure && (left == EVB_FOREVER || left > 1000000)) left = 1000000; /* as in ring/wait.c */
        (void)evb__park(&q->room_epoch, key, left);
    }
}

static void sink_ref(struct evb__sink *sink)
{
    evb__queue_ref(queue_of(sink));
}

static void sink_unref(struct evb__sink *sink)
{
    evb__queue_unref(queue_of(sink));
}

static const char *name_of(const struct evb__sink *sink)
{
    return queue_of(sink)->name;
}

static void sink_report(struct evb__sink *sink)
{
    struct evb__queue *q = queue_of(sink);

    evb__queue_lock(q);
    evb__queue_unlock(q);
}

/* An expired event of any queue may have become a dead letter. */
#define SINK_OPS                                                                                             \
    .wait = wait_for_room, .ref = sink_ref, .unref = sink_unref, .name = name_of, .report = sink_report
#define RESERVING_OPS SINK_OPS, .reserve = sink_reserve, .undo = sink_undo, .commit = sink_commit
#define NEWEST_OPS                                                                                           \
    SINK_OPS, .reserve = sink_reserve_nothing, .undo = sink_undo_nothing, .commit = sink_commit_newest
#define EVICTING_OPS                                                                                         \
    SINK_OPS, .reserve = sink_reserve_nothing, .undo = sink_undo_nothing, .commit = sink_commit_evicting

const struct evb__sink_ops *evb__queue_sink_ops(uint32_t overflow, bool filtering)
{
    static const struct evb__sink_ops reserving[] = {{RESERVING_OPS}, {.wants = sink_wants, RESERVING_OPS}};
    static const struct evb__sink_ops newest[] = {{NEWEST_OPS}, {.wants = sink_wants, NEWEST_OPS}};
    static const struct evb__sink_ops evicting[] = {{EVICTING_OPS}, {.wants = sink_wants, EVICTING_OPS}};

    switch (overflow) {
    case EVB_OVERFLOW_DROP_NEWEST:
        return &newest[filtering];
    case EVB_OVERFLOW_DROP_OLDEST:
    case EVB_OVERFLOW_CONFLATE:
        return &evicting[filtering];
    default:
        return &reserving[filtering];
    }
}
