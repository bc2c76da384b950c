/* SPDX-License-Identifier: MIT */
/* Which queues an event has to reach: gathered from the topic's snapshot, or from the trie where the name has
 * no record. */
#include "base/alloc.h"
#include "bus/publish.h"

#include <string.h>

void evb__takers_free_many(struct evb__takers *takers)
{
    evb__free(takers->sink, takers->capacity * sizeof(struct evb__sink *));
}

static EVB__COLD int32_t grow(struct evb__takers *takers)
{
    uint32_t capacity = takers->capacity * 2; /* bounded: there are fewer than 2^22 listeners */
    struct evb__sink **sink = evb__alloc(capacity * sizeof(struct evb__sink *), EVB__ALIGN_MIN);

    if (sink == NULL) return EVB_ENOMEM;
    memcpy(sink, takers->sink, takers->count * sizeof(struct evb__sink *));
    evb__takers_free(takers);
    takers->sink = sink;
    takers->capacity = capacity;
    return EVB_OK;
}

EVB__INLINE int32_t add(struct evb__takers *takers, struct evb__sink *sink)
{
    if (evb__unlikely(sink->ops->reserve == NULL)) { /* no queue: persist.c */
        takers->persisted = true;
        return EVB_OK;
    }
    if (evb__unlikely(takers->count == takers->capacity) && grow(takers) != EVB_OK) return EVB_ENOMEM;
    takers->sink[takers->count++] = sink;
    return EVB_OK;
}

/* ---- snapshots ---- */

static int32_t gather_snapshot(struct evb__takers *takers, const struct evb__target *target)
{
    struct evb__entry *entry, *end;

    if (target->snapshot == NULL) return EVB_OK;
    if (target->snapshot->flags == 0) {
        takers->listeners = true;
        return EVB_OK;
    }
    entry = evb__snapshot_entries(target->snapshot);
    for (end = entry + target->count; entry < end; entry++) {
        evb_handler fn = evb__ld_rlx(&entry->fn); /* as in emit.c */

        if (fn == evb__sink_listener) {
            if (add(takers, EVB__PLAIN_READ(entry->user)) != EVB_OK) return EVB_ENOMEM;
        } else if (fn != evb__dead_listener) {
            takers->listeners = true;
        }
    }
    return EVB_OK;
}

/* A listener whose entry leads to its record: thunk.c. What it reads is kept by the announcement. */
static bool is_monitor(evb_handler fn, const void *user)
{
    const struct evb__listener *listener = user;

    return fn == evb__thunk && (listener->extra->flags & EVB_MONITOR) != 0;
}

static bool entry_listens(struct evb__entry *entry)
{
    evb_handler fn = evb__ld_rlx(&entry->fn); /* as in emit.c */

    return fn != evb__sink_listener && fn != evb__dead_listener &&
           !is_monitor(fn, EVB__PLAIN_READ(entry->user));
}

static bool snapshot_listens(struct evb__snapshot *snapshot, uint32_t count)
{
    if (snapshot == NULL) return false;
    for (uint32_t i = 0; i < count; i++)
        if (entry_listens(evb__snapshot_entries(snapshot) + i)) return true;
    return false;
}

/* ---- the trie ---- */

struct walk {
    const evb_bus *bus;
    size_t registered;
    struct evb__takers *takers; /* NULL: only asks whether somebody listens */
    bool repeats;               /* AMQP lists may be reported more than once */
    bool listens;
    int32_t status;
};

static bool is_known(const struct evb__takers *takers, const struct evb__sink *sink)
{
    for (uint32_t i = 0; i < takers->count; i++)
        if (takers->sink[i] == sink) return true;
    return false;
}

static void visit(struct walk *w, struct evb__entry *entry)
{
    struct evb__sink *sink;

    if (w->takers == NULL) {
        w->listens = w->listens || entry_listens(entry);
    } else if (evb__ld_rlx(&entry->fn) != evb__sink_listener) { /* as in emit.c */
        w->takers->listeners = true;
    } else {
        sink = EVB__PLAIN_READ(entry->user);
        if (!w->repeats || !is_known(w->takers, sink))
            if (add(w->takers, sink) != EVB_OK) w->status = EVB_ENOMEM;
    }
}

static void walk_list(uint32_t head, void *arg)
{
    struct walk *w = arg;
    uint32_t next;

    for (uint32_t number = head; number != 0; number = next) {
        struct evb__listener *listener = evb__listener(w->bus, number);
        int64_t order = listener->u.order;

        next = evb__ld_acq(&listener->next); /* pairs with unlink_from (remove.c) */
        if (evb__ld_rlx(&listener->state) != EVB__LISTENER_LIVE) continue; /* a hint, as in named_emit.c */
        if ((ptrdiff_t)((size_t)(order < 0 ? -order : order) - w->registered) > 0) continue;
        visit(w, &listener->entry);
    }
}

/* ---- either ---- */

int32_t evb__takers_gather(struct evb__takers *takers, const evb_bus *bus, const struct evb__target *target)
{
    struct walk w = {.bus = bus, .registered = target->registered, .takers = takers};

    if (evb__likely(target->topic != NULL)) return gather_snapshot(takers, target);
    w.repeats = !bus->dialect->many_only_last;
    evb__trie_match(&bus->trie, &target->tokens, walk_list, &w);
    return w.status;
}

bool evb__target_listens(const evb_bus *bus, const struct evb__target *target)
{
    struct walk w = {.bus = bus, .registered = target->registered};

    if (target->topic != NULL) return snapshot_listens(target->snapshot, target->count);
    evb__trie_match(&bus->trie, &target->tokens, walk_list, &w);
    return w.listens;
}
