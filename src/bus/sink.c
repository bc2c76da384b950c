/* SPDX-License-Identifier: MIT */
/* Sinks: what a queue puts behind its pattern. To the registry they are listeners (a record, a place in lists
 * and snapshots, a context that is given back when nobody can see it); to an emit they are a reason to become
 * a publish; and the calls that remove listeners do not know them. */
#include "bus/bus.h"

#include "bus/blocks.h"

int32_t evb__sink_listener(const evb_event *event, void *sink)
{
    (void)event;
    (void)sink;
    return evb__skip(evb__self()->slot);
}

int32_t evb__sink_listen(evb_bus *bus, const char *pattern, struct evb__sink *sink, evb_free_fn free_user,
                         int64_t *ret_id)
{
    evb_listen_opts opts = {.free_user = free_user};
    int64_t id = evb__register(bus, pattern, &opts, evb__sink_listener, sink, sink);

    if (id < 0) return (int32_t)id;
    /* acq_rel: one of them; nothing else is published */
    if (evb__ld_rlx(&bus->holds_blocks) == 0 && evb__xchg_acqrel(&bus->holds_blocks, 1) == 0)
        evb__blocks_hold();
    *ret_id = id;
    return EVB_OK;
}

void evb__sink_off(evb_bus *bus, int64_t id)
{
    struct evb__listener *listener;
    uint32_t number;

    if (evb__bus_enter(bus) != EVB_OK) return;
    evb__bus_lock(bus);
    listener = evb__listener_by_id_locked(bus, id, &number);
    if (listener != NULL && !listener->in_limbo) (void)evb__listener_remove_locked(bus, listener, number);
    evb__bus_unlock(bus);
}
