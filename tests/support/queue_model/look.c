/* SPDX-License-Identifier: MIT */
/* What there is to see beside the model: counters and descriptors; and where nothing is to be seen,
 * whether somebody sleeps who should work. */
#include "world.h"

#include <errno.h>
#include <poll.h>

#include "executor.h"
#include "queue/queue.h"

/* The alarm of a queue has begun: what is due is looked at first of all. */
void on_alarm(void *queue)
{
    for (uint32_t q = 0; q < w.queues && !w.gone; q++)
        if (w.queue[q].live && w.queue[q].real == queue) {
            note("alarm of queue %u", q);
            fall_due(&w.queue[q], executor_now());
        }
}

/* A worker takes the next one, and what is too old on the way there goes. Pullers have looked at the
 * clock before: the model does the same when their call answers. */
void on_hand_out(const struct evb_sub *member)
{
    struct member *m = member->user;
    struct queue *q = queue_of(m);

    if (m->kind != RUNS || w.gone || wrong() || !q->live) return;
    expire_heads(q, executor_now());
}

/* For the executor: addresses differ from run to run, numbers do not. */
uint64_t rank(const struct evb__runnable *runnable, void *alarm_arg)
{
    const struct evb__runner *runner = (const void *)runnable;

    if (runner != NULL) return (uint64_t)((struct member *)runner->member->user - w.member);
    for (uint32_t q = 0; q < w.queues; q++)
        if (w.queue[q].live && w.queue[q].real == alarm_arg) return MEMBERS + q;
    return MEMBERS + QUEUES;
}

bool is_locked(const struct evb__runnable *runnable)
{
    struct evb__queue *q = ((const struct evb__runner *)(const void *)runnable)->member->queue;

    if (evb__ld_rlx(&q->lock.inside) != 0 || !evb__mutex_trylock(&q->lock.mutex))
        return true; /* relaxed: one thread */
    evb__mutex_unlock(&q->lock.mutex);
    return false;
}

static void compare(const char *what, int queue, uint64_t is, uint64_t should)
{
    if (is != should)
        differs("queue %d: %s is %llu, expected %llu", queue, what, (unsigned long long)is,
                (unsigned long long)should);
}

static void look_at(int at)
{
    int queue = w.member[at].queue;
    struct queue *q = &w.queue[queue];
    evb_queue_stats s = {.struct_size = sizeof s};

    want("evb_sub_stats", evb_sub_stats(w.member[at].sub, &s), EVB_OK);
    if (wrong()) return;
    compare("capacity", queue, s.capacity, q->opts.capacity);
    compare("enqueued", queue, s.enqueued, q->want.enqueued);
    compare("acked", queue, s.acked, q->want.acked);
    compare("dead_lettered", queue, s.dead_lettered, q->want.dead_lettered);
    compare("expired", queue, s.expired, q->want.expired);
    compare("dropped", queue, s.dropped, q->want.dropped);
    compare("conflated", queue, s.conflated, q->want.conflated);
    compare("purged", queue, s.purged, q->want.purged);
    compare("discarded", queue, s.discarded, 0);
    compare("ready", queue, s.ready, count_in(q, READY));
    compare("delayed", queue, s.delayed, count_in(q, DELAYED));
    compare("in_flight", queue, s.in_flight, count_in(q, IN_FLIGHT));
    compare("delivered", queue, s.delivered, q->want.delivered);
    compare("redelivered", queue, s.redelivered, q->want.redelivered);
    compare("nacked", queue, s.nacked, q->want.nacked);
    compare("released", queue, s.released, q->want.released);
    compare("stale", queue, s.stale, q->want.stale);
    compare("dlq_depth", queue, s.dlq_depth, count_in(q, DEAD));
    compare("lag", queue, s.lag, 0);
    compare("the sum of all ends", queue,
            s.acked + s.dead_lettered + s.expired + s.dropped + s.conflated + s.purged + s.discarded +
                s.ready + s.delayed + s.in_flight,
            s.enqueued);
}

void look(void)
{
    bool seen[QUEUES] = {false};

    for (uint32_t i = 0; i < w.members && !wrong(); i++) {
        if (!w.member[i].handle || seen[w.member[i].queue]) continue;
        seen[w.member[i].queue] = true;
        look_at((int)i);
    }
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, 0);
    while (n < 0 && errno == EINTR);
    return n == 1 && (p.revents & POLLIN) != 0;
}

static bool is_overdue(const struct queue *q)
{
    int64_t now = executor_now();

    for (uint32_t i = 0; i < ITEMS; i++)
        if (due_at(&q->item[i]) <= now) return true;
    return false;
}

/* Nothing is scheduled and nothing is due: then nobody who could work sleeps. */
static void look_for_sleepers(const struct member *m)
{
    struct queue *q = &w.queue[m->queue];

    if (m->kind == RUNS && !q->paused && m->running < m->concurrency && head(q) != NULL)
        differs("queue %d: message %u is ready, member %d is idle, and nobody is on his way", m->queue,
                head(q)->message, (int)(m - w.member));
    if ((m->kind == RUNS || m->fd >= 0) && is_overdue(q))
        differs("queue %d: something is overdue, and no alarm is set", m->queue);
}

static void look_at_descriptor(const struct member *m)
{
    struct queue *q = &w.queue[m->queue];

    if (m->fd < 0 || m->fd_read || q->paused || head(q) == NULL) return;
    if (m->kind == PULLS && q->open >= q->opts.max_in_flight) return;
    if (!is_readable(m->fd))
        differs("queue %d: message %u is ready, and the descriptor of member %d is not readable", m->queue,
                head(q)->message, (int)(m - w.member));
}

void look_quietly(void)
{
    bool at_rest = executor_ready() == 0;

    for (uint32_t i = 0; i < w.members && !wrong(); i++) {
        const struct member *m = &w.member[i];

        if (m->handle) look_at_descriptor(m);
        if (!at_rest) continue;
        if ((m->handle || m->kept) && !w.pool_ended) look_for_sleepers(m);
        if (m->left && m->gives_back && m->freed == 0 && !filters(m))
            differs("member %u has left, nothing of it runs, and free_user has not run", i);
    }
}
