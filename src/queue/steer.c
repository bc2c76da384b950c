/* SPDX-License-Identifier: MIT */
/* Steering a group: pause, resume, purge, open a key. And draining all of a bus, and its end. */
#include "queue/set.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/park.h"

int32_t evb_sub_pause(evb_sub *sub)
{
    int32_t rc = evb__sub_enter(sub);

    if (rc != EVB_OK) return rc;
    evb__queue_lock(sub->queue);
    sub->queue->paused = true;
    evb__queue_unlock(sub->queue);
    return EVB_OK;
}

int32_t evb_sub_resume(evb_sub *sub)
{
    int32_t rc = evb__sub_enter(sub);

    if (rc != EVB_OK) return rc;
    evb__queue_lock(sub->queue);
    sub->queue->paused = false;
    evb__queue_unlock(sub->queue);
    return EVB_OK;
}

int64_t evb_sub_purge(evb_sub *sub)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__queue *q;
    uint64_t removed;

    if (rc != EVB_OK) return rc;
    q = sub->queue;
    evb__queue_lock(q);
    removed = evb__remove_all_locked(q);
    q->counted.purged += removed;
    evb__queue_unlock(q);
    return (int64_t)removed;
}

int32_t evb_sub_skip_key(evb_sub *sub, const void *key, uint32_t key_len)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__delivery *leader;
    struct evb__queue *q;

    if (rc != EVB_OK) return rc;
    if (key == NULL || key_len > EVB__KEY_MAX) return EVB_EINVAL;
    q = sub->queue;
    evb__queue_lock(q);
    leader = evb__lane_find_locked(q, key, key_len, (uint32_t)evb__hash(key, key_len, q->bus->seed));
    if (leader != NULL && leader->state == EVB__DEAD)
        evb__lane_leave_locked(q, leader);
    else
        rc = EVB_ENOTFOUND;
    evb__queue_unlock(q);
    return rc;
}

/* ---- drain ---- */

void evb__queues_changed(evb_bus *bus)
{
    struct evb__queue_set *set = evb__queue_set_of(bus);

    (void)evb__add_rel(&set->drained, 1); /* pairs with the load in drain */
    evb__wake_all(&set->drained);
}

/* Nothing anywhere, in one look after the other. *ret_reserved: how much has ever come in. */
static bool looks_dry_locked(const struct evb__queue_set *set, uint64_t *ret_reserved)
{
    bool dry = true;

    *ret_reserved = 0;
    for (const struct evb__queue *q = set->queues; q != NULL; q = q->next) {
        dry = dry && evb__queue_is_dry(q);
        *ret_reserved += evb__ld_sc(&q->credit.reserved);
    }
    return dry;
}

/* A handler may put an event into a queue that has been looked at before its own event goes: so it takes two
 * passes between which nothing has come in anywhere. */
static bool is_dry(struct evb__queue_set *set)
{
    uint64_t before, after;
    bool dry;

    evb__mutex_lock(&set->lock);
    dry = looks_dry_locked(set, &before) && looks_dry_locked(set, &after) && before == after;
    evb__mutex_unlock(&set->lock);
    return dry;
}

/* Everybody looks again: pullers of queues that are empty go home, blocked publishers too. */
static void announce(struct evb__queue_set *set)
{
    evb__mutex_lock(&set->lock);
    for (struct evb__queue *q = set->queues; q != NULL; q = q->next) {
        evb__queue_lock(q);
        (void)evb__add_rel(&q->pull_epoch, 1); /* pairs with who goes to sleep */
        evb__bias_unlock(&q->lock);            /* the set's lock is held: nothing else to see to */
        evb__wake_all(&q->pull_epoch);
        evb__eventcount_wake(&q->room_waiters, &q->room_epoch);
    }
    evb__mutex_unlock(&set->lock);
}

static int32_t drain(evb_bus *bus, int64_t timeout_ns)
{
    struct evb__queue_set *set;
    int64_t deadline = evb__deadline(timeout_ns);

    /* seq_cst: a publisher whose reservation we do not see sees this. Pairs with its look at draining */
    evb__st_sc(&bus->draining, 1);
    evb__dedup_wake(&bus->dedup);
    set = evb__queue_set_of(bus);
    if (set == NULL) return EVB_OK;
    announce(set);
    for (;;) {
        uint32_t key = evb__ld_acq(&set->drained); /* pairs with evb__queues_changed */
        int64_t left;

        if (is_dry(set)) return EVB_OK;
        left = evb__remaining(deadline);
        if (left == 0) return timeout_ns == 0 ? EVB_EAGAIN : EVB_ETIMEDOUT;
        (void)evb__park(&set->drained, key, left);
    }
}

int32_t evb_bus_drain(evb_bus *bus, int64_t timeout_ns)
{
    int32_t rc = evb__bus_enter(bus);

    if (rc != EVB_OK) return rc;
    if (timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if (evb__in_callback(evb__self())) return EVB_EDEADLK;
    rc = drain(bus, timeout_ns);
    if (rc != EVB_EAGAIN) evb__requests_end(&bus->requests); /* no handler will reply any more */
    if (rc == EVB_ETIMEDOUT) {
        struct evb__queue_set *set = evb__queue_set_of(bus);

        evb__mutex_lock(&set->lock);
        set->gave_up = true;
        evb__mutex_unlock(&set->lock);
    }
    return rc;
}

/* ---- the end ---- */

/* One queue: its members leave, their handlers are waited for, the rest is discarded. */
static void end_queue(struct evb__queue *q)
{
    evb_sub *member;

    for (;;) {
        uint32_t key = 0;
        bool over = false, busy = false;

        evb__queue_lock(q);
        member = q->members;
        if (member != NULL) {
            (void)evb__add_rlx(&member->refs, 1); /* relaxed: it is a member */
            member->waited = true;
            evb__member_leave_locked(member);
        }
        evb__queue_unlock(q);
        if (member == NULL) break;
        do {
            if (busy) (void)evb__park(&member->idle_epoch, key, EVB_FOREVER);
            key = evb__ld_acq(&member->idle_epoch); /* pairs with who ends a handler */
            evb__queue_lock(q);
            busy = member->running != 0;
            if (!busy) {
                member->waited = false;
                over = evb__member_over_locked(member);
            }
            evb__queue_unlock(q);
        } while (busy);
        if (over) evb__member_finish(member);
        evb__member_unref(member);
    }
    evb__queue_stop(q);
}

void evb__queues_end(evb_bus *bus)
{
    struct evb__queue_set *set = evb__queue_set_of(bus);
    struct evb__queue *q;

    bool gave_up;

    evb__mutex_lock(&set->lock);
    gave_up = set->gave_up;
    evb__mutex_unlock(&set->lock);
    (void)drain(bus, gave_up ? 0 : bus->drain_timeout_ns);
    evb__mutex_lock(&set->lock);
    set->ended = true;
    evb__mutex_unlock(&set->lock);
    for (;;) {
        evb__mutex_lock(&set->lock);
        q = set->queues;
        if (q != NULL) evb__set_remove_locked(q);
        evb__mutex_unlock(&set->lock);
        if (q == NULL) break;
        evb__st_rel(&q->ended, 1); /* pairs with evb__sub_enter */
        end_queue(q);
        evb__queue_unref(q); /* the set's */
    }
    if (set->pool_own) set->base.own_pool = set->pool;
}
