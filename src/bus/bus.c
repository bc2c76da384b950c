/* SPDX-License-Identifier: MIT */
/* The bus itself: creating it, its lock and what must not be left undone when it is released, destroying it.
 */
#include "bus/bus.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/opts.h"
#include "base/park.h"
#include "base/rng.h"
#include "bus/blocks.h"
#include "bus/persist.h"
#include "pool/pool.h"
#include "store/store.h"

#include <string.h>

#define PAYLOAD_DEFAULT ((uint32_t)1 << 20)
#define WARNING_DEFAULT 64
#define DRAIN_DEFAULT   INT64_C(5000000000)

/* ---- leaving ---- */

static void finish_deferred(struct evb__self *self);

/* The mark that a thread leaves for itself, on its outermost emit. */
static char own_mark;

void evb__serve_mark(void *mark)
{
    struct evb__self *self = evb__self();
    evb_bus *bus = mark;

    if (mark == &own_mark) {
        bus = self->owed;
        self->owed = NULL;
        if (bus == NULL) return;
    }
    evb__bus_request(bus);
    evb__bus_unref(bus);
}

void evb__emit_left(struct evb__self *self, void *mark)
{
    evb__serve_mark(mark);
    if (self->deferred != NULL && !evb__in_callback(self)) finish_deferred(self);
}

/* Another's mark that stood there is owed its service all the same. A marker that comes later is refused, and
 * looks again by itself. */
void evb__mark_deferred(struct evb__self *self)
{
    void *other;

    /* no emit: the callback's end will do it */
    if (self->slot == NULL || self->slot->top == self->slot->entry) return;
    /* as in evb__readers_mark and evb__readers_unmark */
    other = evb__xchg_acqrel(&self->slot->entry[0].mark, &own_mark);
    if (other != NULL && other != &own_mark) self->owed = other;
}

/* ---- the lock ---- */

void evb__bus_lock(evb_bus *bus)
{
    evb__mutex_lock(&bus->lock);
    evb__fired_remove_locked(bus); /* so that what follows does not see a once that has fired */
}

/* free_user runs here and nowhere else: unlocked, counted, and as a callback. A bus destroyed by one of them
 * is finished by the callback's end, which therefore comes after this batch has been given back: it may be
 * the same bus. */
static void finish_extras(evb_bus *bus, struct evb__extra *due)
{
    struct evb__self *self = evb__self();

    evb__callback_begin(self);
    while (due != NULL) {
        struct evb__extra *extra = due;

        due = extra->finish_next;
        if (extra->free_user != NULL) extra->free_user(extra->user);
        /* pairs with evb__departure_wait, which wakes at the end */
        if (extra->finished != NULL) evb__st_rel(extra->finished, 1);
        evb__free(extra, sizeof *extra + extra->text_size + 1);
    }
    (void)evb__sub_rel(&bus->finishing, 1); /* pairs with destroy's load: the calls are over */
    evb__serve_mark(bus);                   /* wakes it, with the reference of serve_locked */
    evb__callback_end(self);
}

/* What emits left behind, then limbo. Answers extras to finish; *ret_wake: somebody waits for news and there
 * are some. */
static struct evb__extra *serve_locked(evb_bus *bus, bool *ret_wake)
{
    struct evb__extra *due;

    if (evb__xchg_acqrel(&bus->work, 0) != 0) { /* pairs with evb__bus_request */
        evb__fired_remove_locked(bus);
        if (bus->waiters != 0) *ret_wake = true;
        if (bus->pending) bus->look_again = true; /* an emit that was in the way may have left */
    }
    evb__reclaim_locked(bus);
    due = bus->due;
    bus->due = NULL;
    if (due != NULL) {
        (void)evb__add_rlx(&bus->finishing, 1); /* before the unlock, which publishes it to destroy */
        /* for finish_extras: destroy may be waiting for just that; ours is held */
        (void)evb__add_rlx(&bus->refs, 1);
    }
    return due;
}

void evb__bus_unlock(evb_bus *bus)
{
    bool held = false;

    for (;;) {
        bool wake = false;
        struct evb__extra *due = serve_locked(bus, &wake);

        if (due != NULL && !held) {
            held = true;
            /* a free_user may destroy the bus; the caller's reference is still there */
            (void)evb__add_rlx(&bus->refs, 1);
        }
        /* pairs with evb__departure_wait's load before its look */
        if (wake) (void)evb__add_rel(&bus->epoch, 1);
        evb__mutex_unlock(&bus->lock);
        if (wake) evb__wake_all(&bus->epoch);
        evb__barrier_report();
        if (due != NULL) finish_extras(bus, due);
        /* A read-modify-write, not a load: an emit that left work and found us still holding the lock is
         * ordered before it. Pairs with the exchange in evb__bus_request. */
        if (evb__add_acqrel(&bus->work, 0) == 0) break;
        if (!evb__mutex_trylock(&bus->lock)) break; /* then the holder will */
    }
    if (held) evb__bus_unref(bus);
}

void evb__bus_request(evb_bus *bus)
{
    (void)evb__xchg_acqrel(&bus->work, 1); /* pairs with serve_locked and the last look of evb__bus_unlock */
    if (evb__mutex_trylock(&bus->lock)) evb__bus_unlock(bus);
}

void evb__bus_unref(evb_bus *bus)
{
    struct evb__queues *queues;

    /* acquire: what the other holders did; pairs with their release */
    if (evb__sub_acqrel(&bus->refs, 1) != 1) return;
    queues = evb__ld_rlx(&bus->queues); /* nobody else is left */
    if (queues != NULL) queues->free(queues);
    if (evb__ld_rlx(&bus->holds_blocks) != 0) evb__blocks_release(); /* as above */
    evb__dedup_fini(&bus->dedup);
    evb__retained_fini(&bus->retained);
    evb__requests_fini(&bus->requests);
    evb__persist_fini(&bus->persist);
    evb__mutex_destroy(&bus->lock);
    evb__free(bus, sizeof *bus);
}

int32_t evb__bus_enter(evb_bus *bus)
{
    if (bus == NULL) return EVB_EINVAL;
    if (bus->generation != evb__process_generation()) return EVB_EFORKED;
    return EVB_OK;
}

/* ---- create ---- */

static void retire_block(void *arg, struct evb__limbo *block)
{
    evb__limbo_block_locked(arg, block);
}

static void place_moved(void *arg, uint32_t head, uint32_t place)
{
    evb_bus *bus = arg;

    for (uint32_t number = head; number != 0;) {
        struct evb__listener *listener = evb__listener(bus, number);

        listener->home.wild.place = place;
        number = evb__ld_rlx(&listener->next); /* writers are under the lock */
    }
}

static int32_t check_opts(const evb_bus_opts *given, evb_bus_opts *opts)
{
    int32_t status = evb__opts_read(opts, sizeof *opts, sizeof *opts, given);

    if (status != EVB_OK) return status;
    if (evb__dialect(opts->dialect) == NULL || opts->flags != 0) return EVB_EINVAL;
    if (opts->drain_timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if (opts->schemas != NULL) return EVB_ENOTSUP;
    if (opts->store != NULL && evb__store_enter(opts->store) != EVB_OK) return EVB_EFORKED;
    return opts->pool == NULL || evb__pool_ours(opts->pool) ? EVB_OK : EVB_EFORKED;
}

static int32_t build(evb_bus *bus, const evb_bus_opts *opts)
{
    struct evb__retirer retirer = {retire_block, bus};

    bus->generation = evb__process_generation();
    bus->dialect = evb__dialect(opts->dialect);
    bus->reserved_first = opts->dialect == EVB_TOPICS_DOT ? '$' : -1;
    bus->max_payload = opts->max_payload_bytes == 0            ? PAYLOAD_DEFAULT
                       : opts->max_payload_bytes == UINT32_MAX ? SIZE_MAX
                                                               : opts->max_payload_bytes;
    bus->listener_warning = opts->listener_warning == 0 ? WARNING_DEFAULT : opts->listener_warning;
    bus->hook = opts->hook;
    bus->hook_user = opts->hook_user;
    bus->hook_mask = opts->hook_mask == 0 ? 1u << EVB_HOOK_ERROR : opts->hook_mask;
    bus->seed = evb__rng_seed_random();
    bus->workers = opts->workers;
    bus->drain_timeout_ns = opts->drain_timeout_ns == 0           ? DRAIN_DEFAULT
                            : opts->drain_timeout_ns == INT64_MAX ? EVB_FOREVER
                                                                  : opts->drain_timeout_ns;
    if (opts->name != NULL) memcpy(bus->name, opts->name, strnlen(opts->name, sizeof bus->name - 1));
    evb__init(&bus->refs, 1);
    evb__mutex_init(&bus->lock);
    evb__requests_init(&bus->requests);
    evb__dedup_init(&bus->dedup, opts->dedup_window, bus->seed);
    evb__retained_init(&bus->retained, bus->dialect, bus->seed);
    evb__names_init(&bus->names, bus->seed, retirer);
    evb__index_init(&bus->index, bus->dialect, bus->seed);
    return evb__trie_init(&bus->trie, bus->dialect, bus->seed, retirer, place_moved, bus);
}

int32_t evb_bus_create(const evb_bus_opts *opts, evb_bus **ret_bus)
{
    evb_bus_opts o;
    evb_bus *bus;
    int32_t status;

    if (ret_bus == NULL) return EVB_EINVAL;
    status = check_opts(opts, &o);
    if (status != EVB_OK) return status;
    evb__alloc_pin();
    status = evb__readers_init(evb__serve_mark, finish_deferred);
    if (status != EVB_OK) return status;
    bus = evb__zalloc(sizeof *bus, EVB__CACHE_LINE);
    if (bus == NULL) return EVB_ENOMEM;
    status = build(bus, &o);
    if (status != EVB_OK) {
        evb__dedup_fini(&bus->dedup);
        evb__retained_fini(&bus->retained);
        evb__requests_fini(&bus->requests);
        evb__mutex_destroy(&bus->lock);
        evb__free(bus, sizeof *bus);
        return status;
    }
    bus->pool = o.pool;
    if (bus->pool != NULL) evb__pool_hold(bus->pool);
    evb__persist_init(&bus->persist, o.store);
    *ret_bus = bus;
    return EVB_OK;
}

/* ---- destroy ---- */

/* No callback of this thread is under way. Whoever might reply has had his chance then. */
static void end_queues(evb_bus *bus)
{
    struct evb__queues *queues = evb__ld_acq(&bus->queues); /* pairs with who made them */

    if (queues != NULL) queues->end(bus);
    evb__requests_end(&bus->requests);
}

static bool covers_bus(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *bus)
{
    (void)slot;
    (void)entry;
    return evb__hazard_of_bus(hazard, bus);
}

/* Topics with handles stay, without a bus to reach; the others go. */
static int32_t leave_topic(struct evb__named *named, void *bus)
{
    evb_topic *topic = EVB__CONTAINER(named, evb_topic, named);

    if (topic->refs == 0) evb__limbo_topic_locked(bus, topic);
    return 0;
}

/* Contexts that another thread is freeing right now. */
static void wait_finishing(evb_bus *bus)
{
    evb__bus_lock(bus);
    bus->waiters++;
    bus->look_again = true; /* one more pass over everything, now that no emit is in the way */
    for (;;) {
        uint32_t epoch = evb__ld_acq(&bus->epoch); /* pairs with evb__bus_unlock, as in evb__departure_wait */

        evb__bus_unlock(bus);
        if (evb__ld_acq(&bus->finishing) == 0) break; /* pairs with finish_extras */
        (void)evb__park(&bus->epoch, epoch, EVB_FOREVER);
        evb__bus_lock(bus);
    }
}

/* The second half: no listener is left to be called, the queues have ended, no callback of this thread is
 * under way.
 */
static void finish_destroy(evb_bus *bus)
{
    struct evb__departure departure = {.query = {covers_bus, bus, 0}, .bus = bus};

    evb__departure_wait(&departure);
    wait_finishing(bus);
    evb__mutex_lock(&bus->lock);
    (void)evb__names_each(&bus->names, leave_topic, bus);
    evb__names_fini(&bus->names);
    evb__trie_fini(&bus->trie);
    evb__index_fini(&bus->index);
    evb__reclaim_everything(bus);
    evb__listeners_fini(bus);
    evb__free(bus->owners, sizeof(*bus->owners) * bus->owner_buckets);
    bus->owners = NULL;
    bus->owner_buckets = bus->high = 0;
    evb__dedup_forget(&bus->dedup);
    evb__retained_forget(&bus->retained);
    bus->finished = true;
    evb__mutex_unlock(&bus->lock);
    evb__bus_unref(bus);
}

static void finish(evb_bus *bus)
{
    struct evb__queues *queues = evb__ld_acq(&bus->queues); /* as in end_queues */
    evb_pool *pool = bus->pool, *own = queues != NULL ? queues->own_pool : NULL;

    (void)evb__add_rlx(&bus->refs, 1); /* for the store that it holds; the owner's is there */
    finish_destroy(bus);
    evb__persist_end(&bus->persist);
    evb__bus_unref(bus);
    if (pool != NULL) evb__pool_release(pool);
    if (own != NULL) evb_pool_destroy(own);
}

static void finish_deferred(struct evb__self *self)
{
    while (self->deferred != NULL && !evb__in_callback(self)) {
        evb_bus *bus = self->deferred;

        self->deferred = bus->deferred_next;
        end_queues(bus);
        finish(bus);
    }
}

/* Inside a callback the rest waits for the outermost one to return. */
static void defer_destroy(struct evb__self *self, evb_bus *bus)
{
    bus->deferred_next = self->deferred;
    self->deferred = bus;
    evb__mark_deferred(self);
}

void evb_bus_destroy(evb_bus *bus)
{
    struct evb__self *self = evb__self();
    bool again;

    if (evb__bus_enter(bus) != EVB_OK) return;
    /* pairs with the loads in publish.c: publishes that begin from here on are refused */
    evb__st_rel(&bus->draining, 1);
    evb__dedup_wake(&bus->dedup);
    if (!evb__in_callback(self)) end_queues(bus); /* while its handlers may still reach listeners */
    evb__bus_lock(bus);
    again = evb__ld_rlx(&bus->closed) != 0; /* under the lock */
    if (!again) {
        evb__st_rel(&bus->closed, 1); /* pairs with evb_emit's load: a hint, the closed snapshots decide */
        evb__silence_locked(bus);
    }
    evb__bus_unlock(bus);
    if (again) return; /* a second time from inside a callback */
    if (evb__in_callback(self))
        defer_destroy(self, bus);
    else
        finish(bus);
}
