/* SPDX-License-Identifier: MIT */
/* Taking listeners out: off, off_wait, off_all, off_owner, fired onces, and all of them when the bus ends.
 *
 * Removal is: out of the list of its pattern, dead in every snapshot that holds it, into limbo. Nothing here
 * can fail, because nothing here needs memory: tidying up does without.
 */
#include "bus/bus.h"

#include "base/alloc.h"

#include <string.h>

/* ---- out of the lists ---- */

/* Lists run from new to old. The neighbours' links are followed by readers (emit by name): release, as when
 * they were made. */
static uint32_t unlink_from(evb_bus *bus, struct evb__listener *listener, uint32_t head, uint32_t number)
{
    uint32_t next = evb__ld_rlx(&listener->next); /* writers are under the lock */

    if (next != 0) evb__listener(bus, next)->prev = listener->prev;
    if (head == number) return next;
    evb__st_rel(&evb__listener(bus, listener->prev)->next, next); /* pairs with the walk in named_emit.c */
    return head;
}

struct killing {
    evb_bus *bus;
    struct evb__listener *listener;
    uint32_t number;
};

static int32_t kill_in_topic(struct evb__named *named, void *arg)
{
    struct killing *k = arg;

    evb__snapshot_kill_locked(k->bus, EVB__CONTAINER(named, evb_topic, named), k->listener, k->number);
    return 0;
}

static void remove_literal(evb_bus *bus, struct evb__listener *listener, uint32_t number)
{
    evb_topic *topic = listener->home.topic;

    topic->u.list.first = unlink_from(bus, listener, topic->u.list.first, number);
    if (--topic->u.list.listeners == 0) topic->warned = 0; /* the next one begins anew */
    evb__snapshot_kill_locked(bus, topic, listener, number);
    evb__topic_settle_locked(bus, topic);
}

static void remove_wild(evb_bus *bus, struct evb__listener *listener, uint32_t number)
{
    struct killing k = {bus, listener, number};
    uint32_t place = listener->home.wild.place, head = evb__trie_head(&bus->trie, place), rest;
    char text[EVB__NAME_MAX + 1];
    struct evb__tokens tokens;
    uint32_t size = evb__trie_text(&bus->trie, place, text);

    if (evb__pattern_split(bus->dialect, text, size, &tokens) == EVB_OK)
        (void)evb__index_match(&bus->index, &tokens, kill_in_topic, &k);
    rest = unlink_from(bus, listener, head, number);
    if (rest != 0 && head == number)
        evb__listener(bus, rest)->home.wild.rank |= listener->home.wild.rank & EVB__RANK_WARNED;
    if (rest != head) evb__trie_set_head(&bus->trie, place, rest);
    if (rest == 0) evb__trie_release(&bus->trie, place);
}

/* Which entries of this thread's slot are inside this very listener: only those keep its context from being
 * freed. */
static void note_running(struct evb__extra *extra, const struct evb__listener *listener)
{
    /* A sink is in the hands of every publish that has gathered it, this thread's too. */
    struct evb__slot *slot = extra->sink == NULL ? evb__self()->slot : NULL;

    extra->own_slot = slot;
    extra->own_running = 0;
    if (slot == NULL) return;
    for (const struct evb__running *call = slot->running; call != NULL; call = call->outer)
        if (call->listener == listener) extra->own_running |= 1u << call->entry;
}

/* The listener itself: not live, not called, of no owner. Answers whether it was live until now. */
static bool retract(evb_bus *bus, struct evb__listener *listener)
{
    uint8_t state = EVB__LISTENER_LIVE;
    /* Against the claim in thunk.c: a once has fired or it is removed. One that has fired is owed to
     * bus->fired and keeps its state until it has come from there, so that its record is not freed while the
     * stack links through it. */
    bool live = evb__cas_rlx(&listener->state, &state, EVB__LISTENER_REMOVED);

    evb__st_rlx(&listener->entry.fn, evb__dead_listener); /* relaxed: as in kill_in (snapshot.c) */
    if (listener->extra != NULL) {
        note_running(listener->extra, listener);
        evb__owner_remove_locked(bus, listener->extra);
        if (listener->extra->sink != NULL) (void)evb__sub_rel(&bus->sinks, 1); /* a hint for emits by name */
    }
    bus->listeners--;
    return live;
}

bool evb__listener_remove_locked(evb_bus *bus, struct evb__listener *listener, uint32_t number)
{
    bool live = retract(bus, listener);

    evb__assert(evb__ld_rlx(&listener->state) != EVB__LISTENER_FREE && !listener->in_limbo);
    if (listener->wild)
        remove_wild(bus, listener, number);
    else
        remove_literal(bus, listener, number);
    evb__snapshot_kill_limbo_locked(bus, number);
    evb__limbo_listener_locked(bus, listener, number);
    return live;
}

static int32_t close_topic(struct evb__named *named, void *bus)
{
    evb__snapshot_close_locked(bus, EVB__CONTAINER(named, evb_topic, named));
    return 0;
}

void evb__silence_locked(evb_bus *bus)
{
    (void)evb__names_each(&bus->names, close_topic, bus);
    evb__snapshot_silence_limbo_locked(bus);
    for (uint32_t number = bus->high; number > 0; number--) {
        struct evb__listener *listener = evb__listener(bus, number);

        /* under the lock */
        if (evb__ld_rlx(&listener->state) == EVB__LISTENER_FREE || listener->in_limbo) continue;
        (void)retract(bus, listener);
        evb__limbo_listener_locked(bus, listener, number);
    }
}

void evb__fired_remove_locked(evb_bus *bus)
{
    uint32_t number = evb__ld_rlx(&bus->fired); /* a hint: the exchange decides */

    if (number == 0) return;
    number = evb__xchg_acqrel(&bus->fired, 0); /* acquire: the links; pairs with the push in thunk.c */
    /* an emit may be doing this; what would tidy up does without, until another removal */
    evb__alloc_pause(true);
    while (number != 0) {
        struct evb__listener *listener = evb__listener(bus, number);
        uint32_t next = listener->extra->once_next;

        /* under the lock, and nobody claims a second time */
        evb__st_rlx(&listener->state, EVB__LISTENER_REMOVED);
        /* In limbo already: removed by hand between its claim and now. */
        if (!listener->in_limbo) (void)evb__listener_remove_locked(bus, listener, number);
        number = next;
    }
    evb__alloc_pause(false);
}

/* ---- the calls ---- */

/* Sinks are their queues' business: for users there is no such listener. */
static struct evb__listener *find_locked(const evb_bus *bus, int64_t id, uint32_t *ret_number)
{
    struct evb__listener *listener = evb__listener_by_id_locked(bus, id, ret_number);

    return listener != NULL && !evb__listener_is_sink(listener) ? listener : NULL;
}

static int32_t remove_id_locked(evb_bus *bus, int64_t id, struct evb__listener **ret_listener,
                                uint32_t *ret_number)
{
    struct evb__listener *listener = find_locked(bus, id, ret_number);

    *ret_listener = listener;
    if (listener == NULL || listener->in_limbo) return EVB_ENOTFOUND;
    return evb__listener_remove_locked(bus, listener, *ret_number) ? EVB_OK : EVB_ENOTFOUND;
}

int32_t evb_off(evb_bus *bus, int64_t id)
{
    int32_t status = evb__bus_enter(bus);
    struct evb__listener *listener;
    uint32_t number;

    if (status != EVB_OK) return status;
    if (id <= 0) return EVB_EINVAL;
    evb__bus_lock(bus);
    status = remove_id_locked(bus, id, &listener, &number);
    evb__bus_unlock(bus);
    return status;
}

/* What off_wait waits for. Kept on the waiter's stack, because the record may be freed while it waits. */
struct departing {
    const evb_bus *bus;
    const evb_topic *topic; /* literal: only compared */
    bool any_topic;         /* removed earlier, and its pattern is gone: every topic of the bus counts */
    uint32_t number;        /* wildcard: as emits by name hold it; literal: 0 */
    uint32_t text_size;
    char text[EVB__NAME_MAX + 1];
};

static bool departing_covers(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg)
{
    const struct departing *d = arg;
    const evb_topic *topic;

    if (hazard == EVB__HAZARD_ALL) return true;
    if (hazard == evb__bus_hazard(d->bus)) return evb__reader_holds(slot, entry, d->number);
    if (!evb__hazard_of_bus(hazard, d->bus)) return false;
    if (d->any_topic) return true;
    topic = (const evb_topic *)hazard; /* alive: announced */
    if (d->topic != NULL) return topic == d->topic;
    return evb__matches(d->bus->dialect, d->text, d->text_size, topic->name, topic->named.size);
}

static void describe_locked(struct departing *d, const struct evb__listener *listener, uint32_t number)
{
    d->number = listener->wild ? number : 0;
    if (!listener->wild) {
        d->topic = listener->home.topic;
    } else if (listener->extra != NULL) {
        d->text_size = listener->extra->text_size;
        memcpy(d->text, listener->extra->text, d->text_size);
    } else if (!listener->in_limbo) {
        d->text_size = evb__trie_text(&d->bus->trie, listener->home.wild.place, d->text);
    } else {
        d->any_topic = true;
    }
}

int32_t evb_off_wait(evb_bus *bus, int64_t id)
{
    int32_t status = evb__bus_enter(bus);
    struct departing d = {.bus = bus};
    struct evb__departure departure = {.query = {departing_covers, &d, 0}, .bus = bus};
    EVB__ATOMIC(uint32_t) finished;
    struct evb__listener *listener;
    uint32_t number;

    if (status != EVB_OK) return status;
    if (id <= 0) return EVB_EINVAL;
    evb__init(&finished, 0);
    evb__bus_lock(bus);
    listener = find_locked(bus, id, &number);
    d.any_topic = listener == NULL && evb__listener_was_issued_locked(bus, id);
    if (listener != NULL) describe_locked(&d, listener, number);
    if (listener != NULL && !evb__in_callback(evb__self()) && listener->extra != NULL &&
        listener->extra->free_user != NULL && listener->extra->finished == NULL)
        departure.finished = listener->extra->finished = &finished;
    status = remove_id_locked(bus, id, &listener, &number);
    /* until the wait is over: a free_user may destroy the bus; the caller's is still there */
    (void)evb__add_rlx(&bus->refs, 1);
    evb__bus_unlock(bus);
    /* A record that is gone says that no emit will come back to it, not that a plain wildcard is not running:
     * its entries need no record. */
    if (listener != NULL || d.any_topic) {
        if (!evb__in_callback(evb__self()))
            evb__departure_wait(&departure);
        else if (status == EVB_OK)
            status = EVB_EDEADLK;
    }
    evb__bus_unref(bus);
    return status;
}

static uint32_t remove_all_locked(evb_bus *bus)
{
    uint32_t removed = 0;

    for (uint32_t number = bus->high; number > 0; number--) {
        struct evb__listener *listener = evb__listener(bus, number);

        /* under the lock */
        if (evb__ld_rlx(&listener->state) == EVB__LISTENER_FREE || listener->in_limbo) continue;
        if (evb__listener_is_sink(listener)) continue;
        if (evb__listener_remove_locked(bus, listener, number)) removed++;
        evb__reclaim_batch_locked(bus);
    }
    return removed;
}

static uint32_t list_head_locked(evb_bus *bus, const struct evb__tokens *tokens)
{
    if (tokens->wild == 0) {
        const evb_topic *topic = evb__topic_find_locked(bus, tokens->name, tokens->size);

        return topic != NULL ? topic->u.list.first : 0;
    } else {
        uint32_t place = evb__trie_find(&bus->trie, tokens);

        return place != 0 ? evb__trie_head(&bus->trie, place) : 0;
    }
}

/* The newest that is no sink. */
static uint32_t list_first_locked(evb_bus *bus, const struct evb__tokens *tokens)
{
    uint32_t number = list_head_locked(bus, tokens);

    while (number != 0 && evb__listener_is_sink(evb__listener(bus, number)))
        number = evb__ld_rlx(&evb__listener(bus, number)->next); /* under the lock */
    return number;
}

static uint32_t remove_pattern_locked(evb_bus *bus, const struct evb__tokens *tokens)
{
    uint32_t removed = 0, number;

    /* The list is looked up again each time: removing its last member may prune or move the place. */
    while ((number = list_first_locked(bus, tokens)) != 0) {
        if (evb__listener_remove_locked(bus, evb__listener(bus, number), number)) removed++;
        evb__reclaim_batch_locked(bus);
    }
    return removed;
}

int32_t evb_off_all(evb_bus *bus, const char *pattern)
{
    int32_t status = evb__bus_enter(bus);
    struct evb__tokens tokens;
    uint32_t removed = 0;

    if (status != EVB_OK) return status;
    if (pattern != NULL) {
        status = evb__pattern_split(bus->dialect, pattern, strnlen(pattern, EVB__NAME_MAX + 1), &tokens);
        if (status != EVB_OK) return status;
    }
    evb__bus_lock(bus);
    /* under the lock; destroyed inside a callback: there is nothing left */
    if (evb__ld_rlx(&bus->closed) == 0)
        removed = pattern == NULL ? remove_all_locked(bus) : remove_pattern_locked(bus, &tokens);
    evb__bus_unlock(bus);
    return (int32_t)removed;
}

int32_t evb_off_owner(evb_bus *bus, const void *owner)
{
    int32_t status = evb__bus_enter(bus);
    struct evb__extra *extra;
    int32_t removed = 0;

    if (status != EVB_OK) return status;
    if (owner == NULL) return EVB_EINVAL;
    evb__bus_lock(bus);
    while ((extra = evb__owner_first_locked(bus, owner)) != NULL) {
        if (evb__listener_remove_locked(bus, evb__listener(bus, extra->number), extra->number)) removed++;
        evb__reclaim_batch_locked(bus);
    }
    evb__bus_unlock(bus);
    return removed;
}
