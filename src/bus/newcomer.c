/* SPDX-License-Identifier: MIT */
/* A listener that comes to a bus whose topics keep something for it: it is called with that, in the thread
 * that registers it, and then let in (retained.h).
 *
 * It has its place already, so that whatever its calls do finds it there: remove it, destroy the bus, use it
 * up. What keeps it alive meanwhile is an announcement as of an emit that calls it.
 */
#include "bus/bus.h"

#include "bus/message.h"

int32_t evb__newcomer_ready(evb_bus *bus)
{
    struct evb__self *self = evb__self();

    if (self->generation != bus->generation) {
        int32_t status = evb__reader_ready(self, bus->generation);

        if (status != EVB_OK) return status;
    }
    return evb__slot_depth(self->slot) >= EVB__EMIT_DEPTH ? EVB_ERECURSION : EVB_OK;
}

struct evb__slot_entry *evb__newcomer_hold_locked(evb_bus *bus, const struct evb__listener *listener,
                                                  uint32_t number)
{
    struct evb__slot *slot = evb__self()->slot;
    struct evb__slot_entry *entry;
    uint32_t at;

    /* as an emit on its topic, or one that has found it in the trie */
    if (!listener->wild) return evb__reader_enter(slot, (uintptr_t)listener->home.topic);
    entry = evb__reader_enter(slot, evb__bus_hazard(bus));
    at = (uint32_t)(entry - slot->entry);
    evb__st_rlx(&slot->held[at][0], number); /* published by holds */
    evb__st_rel(&entry->holds, 1u);          /* as in named_emit.c */
    return entry;
}

static void release(struct evb__slot_entry *entry)
{
    struct evb__self *self = evb__self();
    void *mark = evb__reader_leave(self->slot, entry);

    evb__st_rel(&entry->holds, EVB__HOLDS_ALL); /* as in named_emit.c */
    if (mark != NULL) evb__emit_left(self, mark);
}

static bool is_live(struct evb__listener *listener)
{
    return evb__ld_rlx(&listener->state) == EVB__LISTENER_LIVE; /* a hint; the thunk decides */
}

static void call(evb_bus *bus, struct evb__listener *listener, struct evb__message *message)
{
    struct evb__origin origin = {.bus = bus, .message = message};
    struct evb__view view = {.event = message->event, .origin = &origin};
    int32_t answer;

    view.event.flags |= EVB_EVENT_RETAINED;
    answer = evb__thunk(&view.event, listener);
    if (answer != 0) (void)evb__odd_answer(bus, &view.event, answer);
}

void evb__newcomer_show(evb_bus *bus, struct evb__listener *listener, struct evb__newcomer *newcomer,
                        struct evb__slot_entry *entry)
{
    struct evb__retained *retained = &bus->retained;
    struct evb__kept kept[EVB__SHOW_BATCH];
    uint32_t count;

    do { /* ends: it has seen all, or enters after so many rounds, and then there is an end of what it sees */
        evb__retained_lock(retained);
        count = is_live(listener) ? evb__newcomer_look_locked(newcomer, kept, EVB__SHOW_BATCH) : 0;
        if (newcomer->until == UINT64_MAX && (count == 0 || evb__newcomer_has_waited(newcomer))) {
            evb__newcomer_enters_locked(newcomer);
            /* pairs with the thunk; what it has been shown came before */
            evb__st_rel(&listener->extra->shown_to, newcomer->until);
        }
        if (count == 0) evb__newcomer_ends_locked(newcomer);
        evb__retained_unlock(retained);
        for (uint32_t i = 0; i < count; i++) {
            if (is_live(listener)) call(bus, listener, kept[i].message);
            evb__message_unref(kept[i].message);
        }
    } while (count != 0);
    release(entry);
}
