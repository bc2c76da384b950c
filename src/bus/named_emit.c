/* SPDX-License-Identifier: MIT */
/* An emit whose topic has no record: the listeners come straight from the pattern trie. Nothing is interned,
 * nothing allocated.
 *
 * Matches are gathered into a small array on the stack, in calling order; when more match than fit, the first
 * GATHER_MAX are called and the trie is asked again for those that come after the last one. While it gathers,
 * the emit holds everything that is reached by name; once it has a batch it publishes which listeners (held
 * in its slot), so that a long callback delays the removal of those only.
 */
#include "bus/bus.h"

#define GATHER_MAX EVB__HELD_MAX

struct found {
    struct evb__listener *listener;
    int64_t order;
    int32_t priority;
    uint32_t number;
};

struct gather {
    evb_bus *bus;
    size_t registered; /* registrations before this emit began: what is newer is not called */
    bool again;        /* a batch has been called: last is its end */
    bool more;         /* something did not fit */
    struct found last;
    uint32_t count;
    struct found batch[GATHER_MAX];
};

static bool comes_before(const struct found *a, const struct found *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

/* Keeps the batch sorted and free of repetitions (AMQP lists may be reported twice); what falls off its end
 * is for the next round. */
static void keep(struct gather *g, const struct found *f)
{
    uint32_t at = g->count, i;

    while (at > 0 && comes_before(f, &g->batch[at - 1]))
        at--;
    if (at > 0 && g->batch[at - 1].order == f->order) return;
    if (at == GATHER_MAX) {
        g->more = true;
        return;
    }
    if (g->count == GATHER_MAX)
        g->more = true;
    else
        g->count++;
    for (i = g->count - 1; i > at; i--)
        g->batch[i] = g->batch[i - 1];
    g->batch[at] = *f;
}

static void gather_list(uint32_t head, void *arg)
{
    struct gather *g = arg;
    uint32_t next;

    for (uint32_t number = head; number != 0; number = next) {
        struct evb__listener *listener = evb__listener(g->bus, number);
        struct found f = {listener, listener->u.order, evb__listener_priority(listener), number};

        next = evb__ld_acq(&listener->next); /* pairs with unlink_from (remove.c) */
        /* a hint: the entry's fn decides */
        if (evb__ld_rlx(&listener->state) != EVB__LISTENER_LIVE) continue;
        /* Its queue has the event already. */
        if (evb__ld_rlx(&listener->entry.fn) == evb__sink_listener) continue;
        if ((ptrdiff_t)((size_t)(f.order < 0 ? -f.order : f.order) - g->registered) > 0) continue;
        if (g->again && !comes_before(&g->last, &f)) continue;
        keep(g, &f);
    }
}

/* The batch is in hand: from here on only its members are held, whatever happens in the callbacks. */
static void hold_only(struct evb__slot *slot, struct evb__slot_entry *entry, const struct gather *g)
{
    uint32_t at = (uint32_t)(entry - slot->entry);

    for (uint32_t i = 0; i < g->count; i++)
        evb__st_rlx(&slot->held[at][i], g->batch[i].number); /* published by holds */
    evb__st_rel(&entry->holds, g->count); /* release: the walk is over, too; pairs with evb__reader_holds */
}

/* Holding everything again is a new emit to the observers: within one, what is held only shrinks, so whoever
 * found us not in his way need not look again; and what was freed since the last batch could not be seen any
 * more. */
static void announce_again(evb_bus *bus, struct evb__slot *slot, struct evb__slot_entry *entry)
{
    struct evb__self *self = evb__self();
    void *mark;

    self->callbacks++; /* this emit is not over: nothing that was deferred may be finished in between */
    mark = evb__reader_leave(slot, entry);
    /* after the generation has stepped; pairs with the last look of in_the_way (reader.c) */
    evb__st_rel(&entry->holds, EVB__HOLDS_ALL);
    if (mark != NULL) evb__serve_mark(mark);
    (void)evb__reader_enter(slot, evb__bus_hazard(bus));
    if (self->deferred != NULL) evb__mark_deferred(self);
    self->callbacks--;
}

static uint32_t call_batch(evb_bus *bus, const struct gather *g, const evb_event *event)
{
    uint32_t called = g->count;

    for (uint32_t i = 0; i < g->count; i++) {
        struct evb__entry *entry = &g->batch[i].listener->entry;
        int32_t answer = evb__ld_rlx(&entry->fn)(event, EVB__PLAIN_READ(entry->user)); /* as in emit.c */

        if (evb__unlikely(answer != 0)) called -= evb__odd_answer(bus, event, answer);
    }
    return called;
}

int32_t evb__emit_unlisted(evb_bus *bus, struct evb__slot *slot, struct evb__slot_entry *entry,
                           const struct evb__tokens *tokens, const evb_event *event, size_t registered)
{
    struct gather g;
    uint32_t called = 0;

    g.bus = bus;
    g.registered = registered;
    g.again = false;
    for (;;) {
        g.more = false;
        g.count = 0;
        evb__trie_match(&bus->trie, tokens, gather_list, &g);
        if (g.count == 0) break;
        hold_only(slot, entry, &g);
        called += call_batch(bus, &g, event);
        announce_again(bus, slot, entry);
        if (!g.more) break;
        if (evb__ld_acq(&bus->closed) != 0) break; /* destroyed by a callback; pairs with evb_bus_destroy */
        g.last = g.batch[g.count - 1];
        g.again = true;
    }
    return (int32_t)called;
}
