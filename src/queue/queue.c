/* SPDX-License-Identifier: MIT */
/* Queues and members: what they are made of, who keeps them, and when they go. */
#include "queue/set.h"

#include "base/alloc.h"
#include "base/wakefd.h"

#include <string.h>

/* ---- members ---- */

int32_t evb__sub_enter(const evb_sub *sub)
{
    if (sub == NULL) return EVB_EINVAL;
    if (sub->generation != evb__process_generation()) return EVB_EFORKED;
    if (evb__ld_acq(&sub->queue->ended) != 0) return EVB_ECLOSED; /* pairs with evb__queues_end */
    return EVB_OK;
}

static void free_member(evb_sub *member)
{
    struct evb__queue *q = member->queue;

    evb__wakefd_close(member->fd);
    evb__free(member->runners, member->concurrency * sizeof *member->runners);
    evb__free(member, sizeof *member);
    if (q != NULL) evb__queue_unref(q);
}

void evb__member_unref(evb_sub *member)
{
    /* acq_rel: whoever frees it comes after all who have used it */
    if (evb__sub_acqrel(&member->refs, 1) == 1) free_member(member);
}

bool evb__member_over_locked(evb_sub *member)
{
    if (!member->left || member->running != 0 || member->filtering || member->waited || member->finished)
        return false;
    member->finished = true;
    return true;
}

void evb__member_finish(evb_sub *member)
{
    struct evb__self *self = evb__self();

    if (member->free_user != NULL) {
        evb__callback_begin(self);
        member->free_user(member->user);
        evb__callback_end(self);
    }
    evb__member_unref(member);
}

evb_sub *evb__member_make(const evb_sub_opts *opts)
{
    evb_sub *m = evb__zalloc(sizeof *m, EVB__CACHE_LINE);

    if (m == NULL) return NULL;
    m->generation = evb__process_generation();
    m->handler = opts->handler;
    m->user = opts->user;
    m->free_user = opts->free_user;
    m->flags = opts->flags & EVB_SUB_DISPATCH;
    m->fd[0] = m->fd[1] = -1;
    evb__init(&m->refs, 2); /* the handle, and one until it is finished */
    if (opts->handler == NULL || m->flags != 0) return m;
    m->concurrency = opts->concurrency;
    m->runners = evb__zalloc(m->concurrency * sizeof *m->runners, EVB__CACHE_LINE);
    if (m->runners == NULL) {
        evb__free(m, sizeof *m);
        return NULL;
    }
    return m;
}

/* Before anybody knows of it. */
void evb__member_drop(evb_sub *member)
{
    struct evb__queue *q = member->queue;

    member->queue = NULL;
    free_member(member);
    if (q != NULL) evb__queue_unref(q);
}

/* The only runner of the only member passes the lock without locked instructions; where publishers take the
 * lock all the time that would cost more than it saves. */
static void decide_bias_locked(struct evb__queue *q)
{
    const evb_sub *m = q->members;

    q->sole = q->member_count == 1 && m->concurrency == 1 && q->opts.overflow != EVB_OVERFLOW_DROP_OLDEST &&
              q->opts.overflow != EVB_OVERFLOW_CONFLATE && (q->opts.flags & EVB_SUB_AT_MOST_ONCE) == 0;
}

int32_t evb__member_join_locked(struct evb__queue *q, evb_sub *m)
{
    for (uint32_t i = 0; i < m->concurrency; i++) {
        struct evb__runner *r = &m->runners[i];

        r->runnable.run = evb__runner_run;
        r->member = m;
        r->call.handling = evb__handling_get_locked(q);
        if (r->call.handling == NULL) {
            while (i-- > 0)
                evb__handling_put_locked(q, m->runners[i].call.handling);
            return EVB_ENOMEM;
        }
    }
    for (uint32_t i = m->concurrency; i-- > 0;) {
        m->runners[i].next = q->idle;
        q->idle = &m->runners[i];
    }
    evb__queue_ref(q);
    m->queue = q;
    m->next = q->members;
    m->link = &q->members;
    if (m->next != NULL) m->next->link = &m->next;
    q->members = m;
    q->member_count++;
    decide_bias_locked(q);
    return EVB_OK;
}

static void take_from_idle(struct evb__queue *q, const evb_sub *member)
{
    struct evb__runner **at = &q->idle;

    while (*at != NULL) {
        if ((*at)->member == member)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

/* What it holds goes back, so that it lies as it was: the oldest first. */
static void release_open(struct evb__queue *q, evb_sub *member)
{
    static const struct evb__outcome release = {.result = EVB_RELEASE, .keep = true};

    while (member->open != NULL) { /* the newest first, each to the head */
        struct evb__handling *h = member->open;

        evb__settle_locked(q, h, &release);
        evb__handling_lapse_locked(q, h); /* until the handle is given back */
    }
}

void evb__member_leave_locked(evb_sub *m)
{
    struct evb__queue *q = m->queue;

    if (m->left) return;
    m->left = true;
    if (m->next != NULL) m->next->link = m->link;
    *m->link = m->next;
    q->member_count--;
    q->sole = false;
    if (q->member_count != 0) decide_bias_locked(q);
    take_from_idle(q, m);
    release_open(q, m);
    if (m->fd[0] >= 0 && !m->told) { /* it has something to hear */
        q->watchers--;
        evb__wakefd_tell(m->fd);
    }
    (void)evb__add_rel(&q->pull_epoch, 1); /* its pullers go home; pairs with their load */
}

/* ---- queues ---- */

void evb__queue_ref(struct evb__queue *q)
{
    (void)evb__add_rlx(&q->refs, 1); /* relaxed: the caller has one */
}

static void free_queue(struct evb__queue *q)
{
    evb_bus *bus = q->bus;

    while (q->lapsed != NULL)
        evb__handling_forget_locked(q, q->lapsed->member); /* nobody else is here any more */
    evb__handlings_free(q);
    evb__lanes_free(&q->lanes);
    if (q->mailbox.ring != NULL) evb_ring_destroy(q->mailbox.ring);
    if (q->hash != NULL) evb__free(q->hash, (q->hash_mask + (size_t)1) * sizeof(struct evb__delivery *));
    if (q->name != NULL) evb__free(q->name, strlen(q->name) + 1);
    if (q->pattern != NULL) evb__free(q->pattern, strlen(q->pattern) + 1);
    evb__bias_destroy(&q->lock);
    evb__free(q, sizeof *q);
    evb__bus_unref(bus);
}

void evb__queue_unref(struct evb__queue *q)
{
    /* acq_rel: whoever frees it comes after all who have used it */
    if (evb__sub_acqrel(&q->refs, 1) == 1) free_queue(q);
}

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = evb__alloc(size, EVB__ALIGN_MIN);

    if (copy != NULL) memcpy(copy, text, size);
    return copy;
}

static int32_t make_parts(struct evb__queue *q, const char *pattern, const char *name)
{
    uint32_t room = q->opts.capacity < EVB__MAILBOX_MAX ? q->opts.capacity : EVB__MAILBOX_MAX;
    evb_ring_opts ring = {.mode = EVB_RING_MPSC, .capacity = room < 2 ? 2 : room, .elem_bytes = 8};
    int32_t rc;

    q->name = copy_text(name);
    q->pattern = copy_text(pattern);
    if (q->name == NULL || q->pattern == NULL) return EVB_ENOMEM;
    if ((rc = evb_ring_create(&ring, &q->mailbox.ring)) != EVB_OK) return rc;
    if (q->opts.overflow != EVB_OVERFLOW_CONFLATE) return EVB_OK;
    q->hash_mask = 15;
    while (q->hash_mask < q->opts.capacity && q->hash_mask < UINT16_MAX)
        q->hash_mask = 2 * q->hash_mask + 1;
    q->hash = evb__zalloc((q->hash_mask + (size_t)1) * sizeof(struct evb__delivery *), EVB__CACHE_LINE);
    return q->hash != NULL ? EVB_OK : EVB_ENOMEM;
}

/* Numbers of deliveries carry it, so that one of another queue is recognized; 0 is no queue's. */
static uint16_t next_tag(void)
{
    static EVB__ATOMIC(uint32_t) tags;

    return (uint16_t)(evb__add_rlx(&tags, 1) % 4095 + 1); /* relaxed: only has to differ */
}

int32_t evb__queue_make(evb_bus *bus, const char *pattern, const char *name, const evb_sub_opts *opts,
                        struct evb__queue **ret_queue)
{
    struct evb__queue *q = evb__zalloc(sizeof *q, 128);
    int32_t rc;

    if (q == NULL) return EVB_ENOMEM;
    (void)evb__add_rlx(&bus->refs, 1); /* relaxed: the caller has one */
    q->sink.ops = evb__queue_sink_ops(opts->overflow, opts->filter != NULL);
    q->bus = bus;
    q->generation = bus->generation;
    q->tag = next_tag();
    q->named = opts->name != NULL;
    q->opts = *opts;
    q->opts.handler = NULL;
    q->opts.user = NULL;
    q->opts.free_user = NULL;
    q->opts.name = NULL;
    q->filter = opts->filter;
    q->filter_user = opts->user;
    q->paused = (opts->flags & EVB_SUB_PAUSED) != 0;
    q->alarm_ns = q->look_ns = INT64_MAX;
    evb__init(&q->refs, 1);
    evb__init(&q->closed, 1); /* until it is in its place */
    evb__bias_init(&q->lock);
    evb__credit_init(&q->credit, opts->capacity, opts->capacity_bytes, 0);
    evb__rng_init(&q->rng, bus->seed + q->tag);
    evb__lanes_init(&q->lanes);
    rc = make_parts(q, pattern, name);
    if (rc != EVB_OK)
        free_queue(q);
    else
        *ret_queue = q;
    return rc;
}

static void alarm_gone(void *queue)
{
    evb__queue_unref(queue);
}

void evb__queue_stop(struct evb__queue *q)
{
    struct evb__alarm *alarm;

    evb__queue_lock(q);
    q->stopped = true;
    while (q->dead.head != NULL)
        evb__dead_free_locked(q, q->dead.head);
    q->counted.dlq_depth = 0;
    alarm = q->alarm;
    q->alarm = NULL;
    (void)evb__add_rel(&q->pull_epoch, 1); /* pairs with who goes to sleep */
    evb__queue_unlock(q);                  /* sweeps */
    evb__wake_all(&q->pull_epoch);
    evb__eventcount_wake(&q->room_waiters, &q->room_epoch);
    if (alarm != NULL && evb__alarm_free(alarm, alarm_gone)) evb__queue_unref(q);
}

/* ---- the pool, once it is needed ---- */

static int32_t make_pool(evb_bus *bus, struct evb__queue_set *set)
{
    evb_pool_opts opts = {.threads = bus->workers, .name = bus->name[0] != '\0' ? bus->name : NULL};
    int32_t rc;

    if (set->pool != NULL) return EVB_OK;
    if (bus->pool != NULL) {
        set->pool = bus->pool;
        return EVB_OK;
    }
    rc = evb_pool_create(&opts, &set->pool);
    set->pool_own = rc == EVB_OK;
    return rc;
}

static int32_t take_pool(struct evb__queue *q, evb_pool *pool, struct evb__alarm *alarm)
{
    bool stopped;

    evb__queue_lock(q);
    stopped = q->stopped;
    if (!stopped) {
        q->pool = pool;
        q->alarm = alarm;
        evb__alarm_locked(q);
    }
    evb__bias_unlock(&q->lock); /* nothing to wake anybody for; the set's lock is held */
    if (stopped) {
        if (evb__alarm_free(alarm, alarm_gone)) evb__queue_unref(q);
        return EVB_ECLOSED;
    }
    evb__st_rel(&q->timed, 1); /* pairs with the load in evb__queue_pool */
    return EVB_OK;
}

int32_t evb__queue_pool(struct evb__queue *q)
{
    struct evb__queue_set *set = evb__queue_set_of(q->bus);
    struct evb__alarm *alarm;
    int32_t rc;

    if (evb__likely(evb__ld_acq(&q->timed) != 0)) return EVB_OK; /* pairs with take_pool */
    evb__mutex_lock(&set->lock);
    rc = set->ended ? EVB_ECLOSED : make_pool(q->bus, set);
    if (rc == EVB_OK && evb__ld_rlx(&q->timed) == 0) { /* changes under the lock */
        rc = evb__pool_admit(set->pool);
        alarm = rc == EVB_OK ? evb__alarm_make(set->pool, evb__alarm_rang, q) : NULL;
        if (rc == EVB_OK && alarm == NULL) rc = EVB_ENOMEM;
        if (rc == EVB_OK) {
            evb__queue_ref(q);
            rc = take_pool(q, set->pool, alarm);
        }
    }
    evb__mutex_unlock(&set->lock);
    return rc;
}
