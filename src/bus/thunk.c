/* SPDX-License-Identifier: MIT */
/* The call of a listener that needs more than its function: filter, once, monitor, free_user. Its entries
 * carry this function and its record. */
#include "bus/bus.h"

/* The winner of a once hands the removal to whoever holds the bus' lock next, which is this thread if nobody
 * does: an emit never waits for a lock. */
static void fire(evb_bus *bus, struct evb__listener *listener)
{
    struct evb__extra *extra = listener->extra;
    uint32_t head = evb__ld_rlx(&bus->fired); /* a hint: the CAS decides */

    do {
        extra->once_next = head;
        /* release: once_next; pairs with evb__fired_remove_locked */
    } while (!evb__cas_acqrel(&bus->fired, &head, extra->number));
    evb__bus_request(bus);
}

/* It is being shown what topics keep, or has been shown this event. */
static bool is_not_for(const struct evb__extra *extra, const evb_event *event)
{
    uint64_t shown_to = evb__ld_acq(&extra->shown_to); /* pairs with evb__newcomer_show */

    if (evb__likely(shown_to == 0) || (event->flags & EVB_EVENT_RETAINED) != 0) return false;
    return shown_to == UINT64_MAX || (event->sequence != 0 && event->sequence <= shown_to);
}

int32_t evb__thunk(const evb_event *event, void *user)
{
    struct evb__listener *listener = user;
    struct evb__extra *extra = listener->extra;
    struct evb__slot *slot = evb__self()->slot;
    /* Copied: a listener that removes itself may have its record changed while it runs. */
    evb_bus *bus = extra->bus;
    evb_handler fn = extra->fn;
    void *context = extra->user;
    uint32_t flags = extra->flags;
    struct evb__running call = {listener, evb__slot_current(slot), slot->running};
    bool counts = false;
    int32_t answer;

    slot->running = &call;
    if (is_not_for(extra, event)) goto out;
    if (extra->filter != NULL && extra->filter(event, context) == 0) goto out;
    /* The filter may have removed its own listener; a once may be claimed by another emit at this moment. */
    if ((flags & EVB_ONCE) != 0) {
        uint8_t live = EVB__LISTENER_LIVE;

        /* the one winner; nothing else is published */
        if (!evb__cas_rlx(&listener->state, &live, EVB__LISTENER_CLAIMED)) goto out;
        fire(bus, listener);
        /* same thread, or a call that began before the removal */
    } else if (evb__ld_rlx(&listener->state) != EVB__LISTENER_LIVE) {
        goto out;
    }
    answer = fn(event, context);
    if (answer != 0) evb__bus_error(bus, event, answer);
    counts = (flags & EVB_MONITOR) == 0;
out:
    slot->running = call.outer;
    return counts ? EVB_OK : evb__skip(slot);
}
