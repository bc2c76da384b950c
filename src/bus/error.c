/* SPDX-License-Identifier: MIT */
/* What happens when a handler answers non-zero: it is counted, the error hook hears of it, the others still
 * run. */
#include "bus/bus.h"

#include "base/clock.h"

/* A hook may not emit: for its time the thread stands at the depth limit, so an emit answers EVB_ERECURSION
 * without a test of its own. */
static void call_hook(evb_bus *bus, const evb_hook_info *info)
{
    struct evb__self *self = evb__self();
    struct evb__slot *slot = self->slot;
    struct evb__slot_entry *top = slot->top;

    slot->top = &slot->entry[EVB__READER_DEPTHS];
    slot->deep += EVB__EMIT_DEPTH;
    evb__callback_begin(self);
    bus->hook(info, bus->hook_user);
    slot->deep -= EVB__EMIT_DEPTH; /* first: the end of the callback looks at the depth */
    slot->top = top;
    evb__callback_end(self);
}

void evb__bus_error(evb_bus *bus, const evb_event *event, int32_t status)
{
    evb_hook_info info = {.struct_size = sizeof info,
                          .kind = EVB_HOOK_ERROR,
                          .status = status,
                          .count = 1,
                          .bus = bus,
                          .event = event};

    (void)evb__add_rlx(&bus->errors, 1); /* a statistic */
    if (bus->hook == NULL || (bus->hook_mask & (1u << EVB_HOOK_ERROR)) == 0) return;
    info.text = event->topic;
    info.time_ns = evb__clock_wall();
    call_hook(bus, &info);
}

EVB__COLD uint32_t evb__odd_answer(evb_bus *bus, const evb_event *event, int32_t answer)
{
    struct evb__slot *slot = evb__self()->slot;

    if (slot->skipped) {
        slot->skipped = false;
        return 1;
    }
    evb__bus_error(bus, event, answer);
    return 0;
}
