/* SPDX-License-Identifier: MIT */
/* Limbo: what was taken out of the bus and may still be under the eyes of an emit.
 *
 * Three lists: listeners (by number), blocks (snapshots, tables), topics. A thing enters without a ticket;
 * the next observation gives all of them one. Things that nobody waits for are observed in batches, so that
 * one barrier serves EVB__LIMBO_BATCH of them; free_user, off_wait and destroy are urgent: observed at once,
 * and the emits in the way are marked, so that the last of them does the rest when it leaves.
 *
 * A listener with an extra record leaves in two steps. First its context: no emit of another thread can call
 * it any more and it is not running in this one, so free_user may run. Then its memory: no emit at all still
 * holds its number.
 */
#include "bus/bus.h"

#include "base/alloc.h"
#include "base/park.h"

#define EVB__LIMBO_BATCH 64
#define LOOK_AGAIN_NS                                                                                        \
    1000000 /* where an emit in the way cannot be marked: two buses, nested past the slot's depths */

static uint64_t *ticket_of(struct evb__listener *listener)
{
    return listener->wild ? &listener->home.ticket : &listener->u.ticket;
}

void evb__limbo_listener_locked(evb_bus *bus, struct evb__listener *listener, uint32_t number)
{
    *ticket_of(listener) = 0;
    listener->prev = bus->limbo_listeners;
    listener->in_limbo = 1;
    bus->limbo_listeners = number;
    bus->limbo_new++;
    bus->limbo_unswept++;
    if (listener->extra != NULL && listener->extra->free_user != NULL) bus->urgent = 1;
}

void evb__limbo_block_locked(evb_bus *bus, struct evb__limbo *block)
{
    block->ticket = 0;
    block->next = bus->limbo_blocks;
    bus->limbo_blocks = block;
    /* Tables are large and rare: each is worth a pass of its own. */
    bus->limbo_new++;
    bus->limbo_unswept += block->hazard == 0 ? EVB__LIMBO_BATCH : 1;
}

/* A topic's ticket has 48 bits: nine years of an observation each microsecond, and after them topics only
 * stay in limbo longer, until no emit at all is in their way. */
#define TOPIC_TICKET_MAX (((uint64_t)1 << 48) - 1)

static void set_topic_ticket(evb_topic *topic, uint64_t ticket)
{
    if (ticket > TOPIC_TICKET_MAX) ticket = TOPIC_TICKET_MAX;
    topic->ticket_low = (uint32_t)ticket;
    topic->ticket_high = (uint16_t)(ticket >> 32);
}

static uint64_t topic_ticket(const evb_topic *topic)
{
    uint64_t ticket = (uint64_t)topic->ticket_high << 32 | topic->ticket_low;

    return ticket == TOPIC_TICKET_MAX ? UINT64_MAX : ticket;
}

void evb__limbo_topic_locked(evb_bus *bus, evb_topic *topic)
{
    evb__assert(topic->refs == 0); /* a handle is closed by its count */
    set_topic_ticket(topic, 0);
    topic->u.next = bus->limbo_topics;
    bus->limbo_topics = topic;
    bus->limbo_new++;
    bus->limbo_unswept++;
}

/* ---- who is in the way of what ---- */

/* An emit that looks names up, or runs through listeners it found in the trie. */
static bool names_of(uintptr_t hazard, const evb_bus *bus)
{
    return hazard == evb__bus_hazard(bus);
}

bool evb__hazard_of_bus(uintptr_t hazard, const evb_bus *bus)
{
    if (hazard == EVB__HAZARD_ALL || names_of(hazard, bus)) return true;
    if ((hazard & 2) != 0) return false; /* another bus */
    /* a topic that is announced is not freed, see topic_covers */
    return ((const evb_topic *)hazard)->bus == bus;
}

struct listener_arg {
    const evb_bus *bus;
    struct evb__listener *listener;
    uint32_t number;
    bool context; /* step one: the context; own emits matter only where the listener itself runs */
};

static bool topic_matches_listener(const evb_topic *topic, const struct evb__listener *listener,
                                   const evb_bus *bus)
{
    const struct evb__extra *extra = listener->extra;

    if (!listener->wild) return listener->home.topic == topic;
    /* A plain wildcard listener's record is never reached through a topic: its entries carry fn and user
     * themselves. */
    if (extra == NULL || topic->bus != bus) return false;
    return evb__matches(bus->dialect, extra->text, extra->text_size, topic->name, topic->named.size);
}

static bool listener_covers(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg)
{
    const struct listener_arg *a = arg;

    if (a->context && slot == a->listener->extra->own_slot &&
        (a->listener->extra->own_running & (1u << entry)) == 0)
        return false;
    if (hazard == EVB__HAZARD_ALL) return true;
    if (names_of(hazard, a->bus)) return evb__reader_holds(slot, entry, a->listener->wild ? a->number : 0);
    if ((hazard & 2) != 0) return false;
    return topic_matches_listener((const evb_topic *)hazard, a->listener, a->bus);
}

struct block_arg {
    const evb_bus *bus;
    uintptr_t hazard;
};

static bool block_covers(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg)
{
    const struct block_arg *a = arg;

    if (hazard == EVB__HAZARD_ALL) return true;
    if (a->hazard != 0) return hazard == a->hazard;
    /* Tables: an emit that has found its listeners does not come back to them. Pairs with the release in
     * emit_unlisted. */
    return names_of(hazard, a->bus) && evb__reader_holds(slot, entry, 0);
}

/* A topic is reached by name (then the bus is announced until the topic is) or by handle (then the topic is).
 */
static bool topic_covers(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg)
{
    const struct block_arg *a = arg;

    return hazard == EVB__HAZARD_ALL || hazard == a->hazard ||
           (names_of(hazard, a->bus) && evb__reader_holds(slot, entry, 0));
}

static bool listener_blocked(const struct listener_arg *arg)
{
    struct evb__readers_query query = {
        .covers = listener_covers, .arg = arg, .ticket = *ticket_of(arg->listener)};

    return evb__readers_blocked(&query);
}

/* ---- the pass ---- */

/* What came into limbo since the last observation stands first in each list: those without a ticket. */
static void observe(evb_bus *bus)
{
    uint64_t ticket = evb__readers_observe();

    for (uint32_t number = bus->limbo_listeners; number != 0; number = evb__listener(bus, number)->prev) {
        if (*ticket_of(evb__listener(bus, number)) != 0) break;
        *ticket_of(evb__listener(bus, number)) = ticket;
    }
    for (struct evb__limbo *block = bus->limbo_blocks; block != NULL && block->ticket == 0;
         block = block->next)
        block->ticket = ticket;
    for (evb_topic *topic = bus->limbo_topics; topic != NULL && topic_ticket(topic) == 0;
         topic = topic->u.next)
        set_topic_ticket(topic, ticket);
    bus->limbo_new = 0;
}

/* References travel with marks, and an emit may take a mark and give its reference back the moment it is
 * placed: so they are taken before, more than enough, and what was not used is returned afterwards. */
#define MARKS_MAX ((uint32_t)1 << 24)

struct marks {
    evb_bus *bus;
    uint32_t unused;
};

static struct marks marks_begin(evb_bus *bus)
{
    (void)evb__add_rlx(&bus->refs, MARKS_MAX); /* we hold a reference already: nothing to order */
    return (struct marks){bus, MARKS_MAX};
}

static bool marks_put(struct marks *marks, const struct evb__readers_query *query, bool *ret_refused)
{
    uint32_t marked = evb__readers_mark(query, marks->bus, ret_refused);

    marks->unused -= marked;
    return marked != 0;
}

/* An emit that left between the look and now may lose a mark that another waiter had put there: then that
 * waiter is served here. */
static void marks_settle(struct marks *marks)
{
    uint32_t taken;

    evb__readers_settle();
    taken = evb__readers_unmark(marks->bus);
    marks->unused += taken;
    /* we hold the lock: our unlock looks at it */
    if (taken != 0) (void)evb__xchg_acqrel(&marks->bus->work, 1);
}

static void marks_end(struct marks *marks)
{
    (void)evb__sub_rel(&marks->bus->refs, marks->unused); /* not the last one: the caller holds his own */
}

/* Marks the emits in the way of contexts until either none is left or all that are left carry a mark they
 * will find. Ends: an emit that begins now is never in the way, so each turn marks emits out of a set that
 * only shrinks. Answers true when one could not be marked. */
static bool mark_contexts(evb_bus *bus, uint32_t end)
{
    struct marks marks = marks_begin(bus);
    bool marked, refused = false;

    do {
        marked = false;
        for (uint32_t number = bus->limbo_listeners; number != end;
             number = evb__listener(bus, number)->prev) {
            struct listener_arg arg = {bus, evb__listener(bus, number), number, true};
            struct evb__readers_query query = {listener_covers, &arg, *ticket_of(arg.listener)};

            if (arg.listener->extra == NULL || arg.listener->extra->free_user == NULL || query.ticket == 0)
                continue;
            if (marks_put(&marks, &query, &refused)) marked = true;
        }
        if (marked) marks_settle(&marks);
    } while (marked);
    marks_end(&marks);
    return refused;
}

/* Frees what no emit can see, from the newest to the one before end; extras go to bus->due. Answers true when
 * a context stays blocked. */
static bool sweep_listeners(evb_bus *bus, uint32_t end)
{
    uint32_t number = bus->limbo_listeners, next, kept = end;
    bool blocked = false;

    for (; number != end; number = next) {
        struct listener_arg arg = {bus, evb__listener(bus, number), number, false};
        struct evb__extra *extra = arg.listener->extra;
        uint64_t ticket = *ticket_of(arg.listener);
        /* relaxed: under the lock; see evb__listener_remove_locked for those that are still on the stack of
         * fired onces */
        bool owed = evb__ld_rlx(&arg.listener->state) == EVB__LISTENER_CLAIMED;
        bool stays = ticket == 0 || owed || listener_blocked(&arg);

        next = arg.listener->prev;
        if (extra != NULL) {
            arg.context = true;
            if (!stays || (ticket != 0 && !owed && !listener_blocked(&arg))) {
                arg.listener->extra = NULL;
                extra->finish_next = bus->due;
                bus->due = extra;
            } else if (extra->free_user != NULL) {
                blocked = true;
            }
        }
        if (stays) {
            arg.listener->prev = kept;
            kept = number;
        } else {
            evb__listener_free_locked(bus, number);
        }
    }
    bus->limbo_listeners = kept;
    return blocked;
}

static void sweep_blocks(evb_bus *bus)
{
    struct evb__limbo **link = &bus->limbo_blocks, *block;

    while ((block = *link) != NULL) {
        struct block_arg arg = {bus, block->hazard};
        struct evb__readers_query query = {block_covers, &arg, block->ticket};

        if (block->ticket == 0 || evb__readers_blocked(&query)) {
            link = &block->next;
        } else {
            *link = block->next;
            block->free(block);
        }
    }
}

static void sweep_topics(evb_bus *bus)
{
    evb_topic *topic = bus->limbo_topics, *next;

    bus->limbo_topics = NULL;
    for (; topic != NULL; topic = next) {
        struct block_arg arg = {bus, (uintptr_t)topic};
        struct evb__readers_query query = {topic_covers, &arg, topic_ticket(topic)};

        next = topic->u.next;
        if (query.ticket == 0 || evb__readers_blocked(&query)) {
            topic->u.next = bus->limbo_topics;
            bus->limbo_topics = topic;
        } else {
            evb__topic_free(topic);
        }
    }
}

/* The first listener that was in limbo at the last pass already. What came since stands before it. */
static uint32_t first_seen(const evb_bus *bus)
{
    uint32_t number = bus->limbo_listeners;

    while (number != 0 && *ticket_of(evb__listener(bus, number)) == 0)
        number = evb__listener(bus, number)->prev;
    return number;
}

/* Old contexts are blocked by marked emits, which ask for a pass when they leave; until then only what is new
 * is looked at, so that many removals behind one long callback cost no more than few. */
void evb__reclaim_locked(evb_bus *bus)
{
    bool all = bus->look_again || bus->limbo_unswept >= EVB__LIMBO_BATCH, blocked;
    uint32_t end;

    if (!all && bus->urgent == 0) return;
    evb__readers_lock();
    end = all ? 0 : first_seen(bus);
    if (bus->limbo_new != 0) observe(bus);
    /* one could not be marked and will not ask: every unlock looks */
    bus->look_again = mark_contexts(bus, end);
    blocked = sweep_listeners(bus, end);
    bus->pending = blocked || (!all && bus->pending);
    if (all) {
        sweep_blocks(bus);
        sweep_topics(bus);
        bus->limbo_unswept = 0;
    }
    evb__readers_unlock();
    bus->urgent = 0;
}

void evb__reclaim_batch_locked(evb_bus *bus)
{
    if (bus->limbo_unswept >= EVB__LIMBO_BATCH) evb__reclaim_locked(bus);
}

void evb__reclaim_everything(evb_bus *bus)
{
    uint32_t number = bus->limbo_listeners;

    bus->limbo_listeners = 0;
    while (bus->limbo_blocks != NULL) {
        struct evb__limbo *block = bus->limbo_blocks;

        bus->limbo_blocks = block->next;
        block->free(block);
    }
    while (bus->limbo_topics != NULL) {
        evb_topic *topic = bus->limbo_topics;

        bus->limbo_topics = topic->u.next;
        evb__topic_free(topic);
    }
    for (uint32_t next; number != 0; number = next) {
        next = evb__listener(bus, number)->prev;
        evb__assert(evb__listener(bus, number)->extra == NULL);
        evb__listener_free_locked(bus, number);
    }
}

/* ---- waiting ---- */

/* One look under the readers' lock: is somebody in the way, and if so, will he tell us? */
static bool still_there(struct evb__departure *departure, bool *ret_refused)
{
    struct evb__readers_query *query = &departure->query;
    struct marks marks = marks_begin(departure->bus);
    bool blocked;

    *ret_refused = false;
    evb__readers_lock();
    if (query->ticket == 0) query->ticket = evb__readers_observe();
    /* As in mark_contexts; asked last, so that whoever is still there was there after the marks had settled.
     */
    while (marks_put(&marks, query, ret_refused))
        marks_settle(&marks);
    blocked = evb__readers_blocked(query);
    evb__readers_unlock();
    marks_end(&marks);
    return blocked;
}

void evb__departure_wait(struct evb__departure *departure)
{
    evb_bus *bus = departure->bus;

    evb__bus_lock(bus);
    bus->waiters++;
    /* finished: destroyed by a free_user that this very wait ran; then nobody is left to wait for */
    while (!bus->finished) {
        /* before the look; pairs with the step in evb__bus_unlock */
        uint32_t epoch = evb__ld_acq(&bus->epoch);
        bool refused, blocked = still_there(departure, &refused);

        /* acquire: what free_user did; pairs with finish_extras */
        if (!blocked && (departure->finished == NULL || evb__ld_acq(departure->finished) != 0)) break;
        evb__bus_unlock(bus);
        (void)evb__park(&bus->epoch, epoch, refused ? LOOK_AGAIN_NS : EVB_FOREVER);
        evb__bus_lock(bus);
    }
    bus->waiters--;
    evb__bus_unlock(bus);
}
