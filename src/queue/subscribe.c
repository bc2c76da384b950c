/* SPDX-License-Identifier: MIT */
/* Subscribing and leaving: options, groups, the queue in its place on the bus. */
#include "queue/arrivals.h"
#include "queue/set.h"

#include "base/alloc.h"
#include "base/opts.h"
#include "base/park.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES    255u
#define CAPACITY_DEFAULT  1024u
#define BYTES_DEFAULT     (UINT64_C(16) << 20)
#define IN_FLIGHT_DEFAULT 256u
#define ATTEMPTS_DEFAULT  5u
#define BASE_DEFAULT      INT64_C(100000000)
#define CAP_DEFAULT       INT64_C(30000000000)
#define LEASE_DEFAULT     INT64_C(30000000000)
#define DLQ_DEFAULT       10000u
#define DLQ_BYTES_DEFAULT (UINT64_C(64) << 20)
#define KNOWN_FLAGS                                                                                          \
    ((uint32_t)(EVB_SUB_DISPATCH | EVB_SUB_AT_MOST_ONCE | EVB_SUB_KEY_HALT | EVB_SUB_DEAD_LETTER_DROPS |     \
                EVB_SUB_DEAD_LETTER_EXPIRED | EVB_SUB_NO_ATTEMPT_RECORD | EVB_SUB_PAUSED))
/* A member's own, everything else is the group's. */
#define MEMBER_FLAGS ((uint32_t)(EVB_SUB_DISPATCH | EVB_SUB_PAUSED))

/* ---- options ---- */

static bool name_is_bad(const char *name)
{
    size_t size = strnlen(name, NAME_MAX_BYTES + 1);

    if (size == 0 || size > NAME_MAX_BYTES) return true;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return true;
    return false;
}

static int32_t check_retry(evb_retry *r)
{
    if (r->jitter > EVB_JITTER_EQUAL || r->base_ns < 0 || r->cap_ns < 0 || r->min_ns < 0) return EVB_EINVAL;
    if (r->max_attempts == 0) r->max_attempts = ATTEMPTS_DEFAULT;
    if (r->base_ns == 0) r->base_ns = r->cap_ns != 0 && r->cap_ns < BASE_DEFAULT ? r->cap_ns : BASE_DEFAULT;
    if (r->cap_ns == 0) r->cap_ns = r->base_ns > CAP_DEFAULT ? r->base_ns : CAP_DEFAULT;
    return r->base_ns > r->cap_ns ? EVB_EINVAL : EVB_OK;
}

/* 0 = fallback; UINT32_MAX = as much as there can be. */
static int32_t check_count(uint32_t *count, uint32_t fallback, uint32_t most)
{
    if (*count == 0) *count = fallback;
    if (*count == UINT32_MAX) *count = most;
    return *count > most ? EVB_EINVAL : EVB_OK;
}

static int32_t check_consumer(const evb_sub_opts *o, bool has_handle)
{
    bool dispatched = (o->flags & EVB_SUB_DISPATCH) != 0;

    if (dispatched && o->handler == NULL) return EVB_EINVAL;
    if ((dispatched || o->handler == NULL) && !has_handle) return EVB_EINVAL;
    return o->concurrency > EVB__CONCURRENCY_MAX ? EVB_EINVAL : EVB_OK;
}

/* Fills the defaults in. */
static int32_t check_opts(evb_sub_opts *o, bool has_handle)
{
    int32_t rc = check_consumer(o, has_handle);

    if (rc != EVB_OK) return rc;
    if ((o->flags & ~KNOWN_FLAGS) != 0 || o->overflow > EVB_OVERFLOW_CONFLATE || o->durable > 1)
        return EVB_EINVAL;
    if (o->lease_ns < 0 || o->ttl_ns < 0 || (o->name != NULL && name_is_bad(o->name))) return EVB_EINVAL;
    if ((o->flags & EVB_SUB_AT_MOST_ONCE) != 0 && o->lease_ns != 0)
        return EVB_EINVAL;                  /* nothing to come back */
    if (o->durable != 0) return EVB_EINVAL; /* without a store */
    if (check_retry(&o->retry) != EVB_OK) return EVB_EINVAL;
    if (check_count(&o->capacity, CAPACITY_DEFAULT, EVB__CREDIT_EVENTS_MAX) != EVB_OK) return EVB_EINVAL;
    if (check_count(&o->max_in_flight, IN_FLIGHT_DEFAULT, EVB__OPEN_MAX) != EVB_OK) return EVB_EINVAL;
    if (o->concurrency == 0) o->concurrency = 1;
    if (o->capacity_bytes == 0) o->capacity_bytes = BYTES_DEFAULT;
    if (o->capacity_bytes > EVB__CREDIT_BYTES_MAX) o->capacity_bytes = EVB__CREDIT_BYTES_MAX;
    if (o->lease_ns == 0) o->lease_ns = (o->flags & EVB_SUB_AT_MOST_ONCE) != 0 ? INT64_MAX : LEASE_DEFAULT;
    if (o->dlq_capacity == 0) o->dlq_capacity = DLQ_DEFAULT;
    if (o->dlq_bytes == 0) o->dlq_bytes = DLQ_BYTES_DEFAULT;
    if (o->schema != NULL) return EVB_ENOTSUP; /* not in this version */
    return EVB_OK;
}

static bool same_group(const struct evb__queue *q, const char *pattern, const evb_sub_opts *o)
{
    const evb_sub_opts *g = &q->opts;

    return strcmp(q->pattern, pattern) == 0 && (g->flags & ~MEMBER_FLAGS) == (o->flags & ~MEMBER_FLAGS) &&
           q->filter == o->filter && g->capacity == o->capacity && g->capacity_bytes == o->capacity_bytes &&
           g->overflow == o->overflow && g->max_in_flight == o->max_in_flight &&
           g->retry.max_attempts == o->retry.max_attempts && g->retry.jitter == o->retry.jitter &&
           g->retry.base_ns == o->retry.base_ns && g->retry.cap_ns == o->retry.cap_ns &&
           g->retry.min_ns == o->retry.min_ns && g->lease_ns == o->lease_ns && g->ttl_ns == o->ttl_ns &&
           g->dlq_capacity == o->dlq_capacity && g->dlq_bytes == o->dlq_bytes && g->durable == o->durable &&
           g->start == o->start && g->schema == o->schema;
}

/* ---- the set ---- */

static void free_set(struct evb__queues *queues)
{
    struct evb__queue_set *set = (struct evb__queue_set *)(void *)queues;

    evb__mutex_destroy(&set->lock);
    evb__free(set, sizeof *set);
}

int32_t evb__queue_set_make(evb_bus *bus, struct evb__queue_set **ret_set)
{
    struct evb__queue_set *set = evb__queue_set_of(bus), *other;

    if (set == NULL) {
        set = evb__zalloc(sizeof *set, EVB__CACHE_LINE);
        if (set == NULL) return EVB_ENOMEM;
        set->base.end = evb__queues_end;
        set->base.free = free_set;
        evb__mutex_init(&set->lock);
        evb__bus_lock(bus);
        other = evb__queue_set_of(bus);
        if (other == NULL) evb__st_rel(&bus->queues, &set->base); /* pairs with evb__queue_set_of */
        evb__bus_unlock(bus);
        if (other != NULL) {
            free_set(&set->base);
            set = other;
        }
    }
    *ret_set = set;
    return EVB_OK;
}

static struct evb__queue *find_locked(const struct evb__queue_set *set, const char *name)
{
    for (struct evb__queue *q = set->queues; q != NULL; q = q->next)
        if (q->named && strcmp(q->name, name) == 0) return q;
    return NULL;
}

static void insert_locked(struct evb__queue_set *set, struct evb__queue *q)
{
    q->next = set->queues;
    q->link = &set->queues;
    if (q->next != NULL) q->next->link = &q->next;
    set->queues = q;
}

void evb__set_remove_locked(struct evb__queue *q)
{
    if (q->link == NULL) return;
    if (q->next != NULL) q->next->link = q->link;
    *q->link = q->next;
    q->link = NULL;
    evb__st_rel(&q->closed, 1); /* pairs with reserve */
}

/* ---- subscribe ---- */

struct joining {
    evb_bus *bus;
    struct evb__queue_set *set;
    const char *pattern;
    evb_sub_opts opts;
    evb_sub *member;
};

/* What the unlock of the queue has to wake waits until the set's lock is free. */
static int32_t join_locked(struct joining *j, struct evb__queue *q, struct evb__wakes *wakes)
{
    int32_t rc;

    if (!same_group(q, j->pattern, &j->opts)) return EVB_ECONFLICT;
    evb__queue_lock(q);
    rc = evb__member_join_locked(q, j->member);
    evb__queue_look_locked(q, wakes);
    evb__bias_unlock(&q->lock);
    return rc;
}

/* EVB_OK: joined. EVB_ENOTFOUND: there is no group of that name. */
static int32_t try_join(struct joining *j)
{
    struct evb__wakes wakes;
    struct evb__queue *q;
    int32_t rc;

    if (j->opts.name == NULL) return EVB_ENOTFOUND;
    for (;;) {
        bool ready;

        evb__mutex_lock(&j->set->lock);
        q = find_locked(j->set, j->opts.name);
        rc = q != NULL ? EVB_OK : EVB_ENOTFOUND;
        if (q != NULL) evb__queue_ref(q);
        /* a handler needs the pool, and the queue may have been without */
        ready = q != NULL && (j->member->runners == NULL || evb__ld_acq(&q->timed) != 0);
        if (ready) rc = join_locked(j, q, &wakes);
        evb__mutex_unlock(&j->set->lock);
        if (q == NULL) return rc;
        if (ready && rc != EVB_ECONFLICT) evb__queue_wake(q, &wakes);
        if (!ready) rc = evb__queue_pool(q);
        evb__queue_unref(q);
        if (ready || rc != EVB_OK) return rc;
    }
}

/* No publisher can see the queue any more, nor its filter. */
static void sink_gone(void *sink)
{
    struct evb__queue *q = EVB__CONTAINER((struct evb__sink *)sink, struct evb__queue, sink);
    evb_sub *member = q->filter_member;
    bool over = false;

    if (member != NULL) {
        evb__queue_lock(q);
        member->filtering = false;
        over = evb__member_over_locked(member);
        evb__queue_unlock(q);
        if (over) evb__member_finish(member);
        evb__member_unref(member);
    }
    evb__queue_unref(q);
}

static void open_locked(struct joining *j, struct evb__queue *q, struct evb__arrivals *arrivals,
                        struct evb__wakes *wakes)
{
    evb__queue_lock(q);
    if (q->filter != NULL) {
        q->filter_member = j->member;
        j->member->filtering = true;
        (void)evb__add_rlx(&j->member->refs, 1); /* relaxed: nobody else has it */
    }
    insert_locked(j->set, q);
    evb__arrivals_enter_locked(arrivals, q);
    evb__st_rel(&q->closed, 0); /* pairs with reserve */
    evb__queue_ref(q);          /* for the wakes */
    evb__queue_look_locked(q, wakes);
    evb__bias_unlock(&q->lock);
}

/* The new queue is in its place among the listeners, closed; now it opens, unless somebody else has made one
 * of its name meanwhile: then this is for nothing and we join that one. */
static int32_t try_open(struct joining *j, struct evb__queue *q, struct evb__arrivals *arrivals)
{
    struct evb__retained *retained = &j->bus->retained;
    struct evb__wakes wakes;
    int32_t rc;

    evb__mutex_lock(&j->set->lock);
    evb__retained_lock(retained);
    rc = evb__arrivals_settle_locked(arrivals, q);
    if (j->set->ended)
        rc = EVB_ECLOSED;
    else if (q->named && find_locked(j->set, q->name) != NULL)
        rc = EVB_EEXIST;
    else if (rc == EVB_OK)
        open_locked(j, q, arrivals, &wakes);
    evb__retained_unlock(retained);
    evb__mutex_unlock(&j->set->lock);
    if (rc != EVB_OK) return rc;
    evb__queue_wake(q, &wakes);
    evb__queue_unref(q);
    return EVB_OK;
}

/* First of all it gets what is kept for its pattern. */
static int32_t open_queue(struct joining *j, struct evb__queue *q)
{
    struct evb__arrivals arrivals = {.end = NULL};
    int32_t rc;

    do { /* ends: settle gives up after EVB__SHOW_ROUNDS */
        rc = evb__arrivals_gather(&arrivals, q);
        if (rc == EVB_OK && arrivals.first != NULL && (arrivals.timed || q->opts.ttl_ns != 0))
            (void)evb__queue_pool(q); /* as in intake.c */
        if (rc == EVB_OK) rc = try_open(j, q, &arrivals);
    } while (rc == EVB_EAGAIN);
    evb__arrivals_end(&arrivals, q);
    return rc == EVB_EBUSY ? EVB_EAGAIN : rc;
}

static int32_t make_queue(struct joining *j)
{
    struct evb__queue *q;
    char name[EVB__NAME_MAX + 16];
    int32_t rc;

    /* without a name of its own: the pattern and a number, for logs and ret_refused. Relaxed: it only counts
     */
    (void)snprintf(name, sizeof name, "%s#%u", j->pattern,
                   (unsigned)evb__add_rlx(&j->bus->named_queues, 1) + 1);
    rc = evb__queue_make(j->bus, j->pattern, j->opts.name != NULL ? j->opts.name : name, &j->opts, &q);
    if (rc != EVB_OK) return rc;
    if (j->member->runners != NULL) rc = evb__queue_pool(q);
    evb__queue_lock(q);
    if (rc == EVB_OK) rc = evb__member_join_locked(q, j->member);
    evb__queue_unlock(q);
    evb__queue_ref(q); /* the listener's */
    if (rc == EVB_OK) rc = evb__sink_listen(j->bus, j->pattern, &q->sink, sink_gone, &q->listener);
    if (rc != EVB_OK) {
        evb__queue_unref(q);
    } else {
        rc = open_queue(j, q);
        if (rc != EVB_OK) evb__sink_off(j->bus, q->listener);
    }
    if (rc == EVB_OK) return EVB_OK;
    evb__queue_lock(q);
    if (j->member->queue != NULL) evb__member_leave_locked(j->member);
    evb__queue_unlock(q);
    evb__queue_stop(q);
    evb__queue_unref(q); /* the set's; the member's goes with it */
    return rc;
}

static int32_t check(struct joining *j, const evb_sub_opts *opts, bool has_handle)
{
    struct evb__tokens tokens;
    int32_t rc = evb__bus_enter(j->bus);

    if (rc != EVB_OK) return rc;
    if (j->pattern == NULL) return EVB_EINVAL;
    if ((rc = EVB__OPTS_READ(&j->opts, opts)) != EVB_OK) return rc;
    if ((rc = check_opts(&j->opts, has_handle)) != EVB_OK) return rc;
    rc = evb__pattern_split(j->bus->dialect, j->pattern, strnlen(j->pattern, EVB__NAME_MAX + 1), &tokens);
    if (rc != EVB_OK) return rc;
    if (evb__ld_acq(&j->bus->draining) != 0 || evb__ld_acq(&j->bus->closed) != 0) return EVB_ECLOSED;
    return evb__queue_set_make(j->bus, &j->set);
}

int32_t evb_subscribe(evb_bus *bus, const char *pattern, const evb_sub_opts *opts, evb_sub **ret_sub)
{
    struct joining j = {.bus = bus, .pattern = pattern};
    int32_t rc = check(&j, opts, ret_sub != NULL);

    if (rc != EVB_OK) return rc;
    do {
        j.member = evb__member_make(&j.opts);
        if (j.member == NULL) return EVB_ENOMEM;
        rc = try_join(&j);
        if (rc == EVB_ENOTFOUND) rc = make_queue(&j);
        if (rc != EVB_OK) evb__member_drop(j.member);
        if (rc != EVB_OK) j.member = NULL;
    } while (rc == EVB_EEXIST);
    if (rc != EVB_OK) return rc;
    if (ret_sub != NULL)
        *ret_sub = j.member;
    else
        evb__member_unref(j.member); /* the handle's */
    return EVB_OK;
}

/* ---- leave ---- */

static bool has_run_out(struct evb__queue *q, evb_sub *member)
{
    bool idle;

    evb__queue_lock(q);
    idle = member->running == 0;
    evb__queue_unlock(q);
    return idle;
}

static void wait_for_handlers(struct evb__queue *q, evb_sub *member)
{
    for (;;) {
        uint32_t key = evb__ld_acq(&member->idle_epoch); /* pairs with who ends a handler */

        if (has_run_out(q, member)) return;
        (void)evb__park(&member->idle_epoch, key, EVB_FOREVER);
    }
}

int32_t evb_unsubscribe(evb_sub *sub)
{
    bool waits = !evb__in_callback(evb__self()), last, over;
    struct evb__queue_set *set;
    struct evb__wakes wakes;
    struct evb__queue *q;

    if (sub == NULL) return EVB_EINVAL;
    if (sub->generation != evb__process_generation()) return EVB_EFORKED;
    q = sub->queue;
    set = evb__queue_set_of(q->bus);
    evb__queue_ref(q);
    evb__mutex_lock(&set->lock);
    evb__queue_lock(q);
    last = !sub->left && q->member_count == 1;
    sub->waited = waits;
    evb__member_leave_locked(sub);
    if (last) evb__set_remove_locked(q);
    evb__queue_look_locked(q, &wakes);
    evb__bias_unlock(&q->lock);
    evb__mutex_unlock(&set->lock);
    evb__queue_wake(q, &wakes);
    evb__wake_all(&q->pull_epoch);
    if (last) evb__sink_off(q->bus, q->listener);
    if (waits) wait_for_handlers(q, sub);
    if (last) {
        evb__queue_stop(q);
        evb__queue_unref(q); /* the set's */
    }
    evb__queue_lock(q);
    sub->waited = false;
    over = evb__member_over_locked(sub);
    evb__handling_forget_locked(q, sub);
    evb__queue_unlock(q);
    if (over) evb__member_finish(sub);
    evb__member_unref(sub); /* the handle's */
    evb__queue_unref(q);
    return evb__in_callback(evb__self()) ? EVB_EDEADLK : EVB_OK;
}
