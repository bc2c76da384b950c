/* SPDX-License-Identifier: MIT */
/* What is wrong with a publish before anything happens: its bus, its options, its event. */
#include "base/hash.h"
#include "base/opts.h"
#include "bus/publish.h"

#include <string.h>

#define DELAY_MAX_NS (INT64_C(10) * 365 * 86400 * 1000000000)
#define FLAGS        ((uint32_t)(EVB_MANDATORY | EVB_RETAIN | EVB_NOWAIT | EVB_DURABLE))

static bool stream_is_bad(const evb_bus *bus, const evb_publish_opts *o)
{
    if ((o->flags & EVB_DURABLE) == 0 && o->stream == NULL) return false;
    if (bus->persist.store == NULL) return true;
    return o->stream != NULL &&
           (o->stream[0] == '\0' || strnlen(o->stream, EVB__NAME_MAX + 1) > EVB__NAME_MAX);
}

static int32_t check_opts(const evb_bus *bus, const evb_publish_opts *o, bool many)
{
    if ((o->flags & ~FLAGS) != 0 || o->reserved != 0) return EVB_EINVAL;
    if (o->delay_ns < 0 || o->delay_ns > DELAY_MAX_NS || o->ttl_ns < 0) return EVB_EINVAL;
    if (o->timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if ((o->flags & EVB_RETAIN) != 0 && o->delay_ns != 0) return EVB_EINVAL;
    if (stream_is_bad(bus, o)) return EVB_EINVAL;
    if (o->dedup_id == NULL || many) return EVB_OK; /* of an event, not of a batch */
    if (o->dedup_id[0] == '\0') return EVB_EINVAL;
    return strnlen(o->dedup_id, EVB__DEDUP_ID_MAX + 1) > EVB__DEDUP_ID_MAX ? EVB_ETOOBIG : EVB_OK;
}

static void take_opts(struct evb__publish *p, const evb_publish_opts *o, bool many)
{
    p->flags = o->flags;
    p->timeout_ns = o->timeout_ns == 0 ? EVB_FOREVER : o->timeout_ns;
    p->ret_refused = o->refused_cap != 0 ? o->ret_refused : NULL;
    p->refused_cap = o->refused_cap;
    p->ret_sequence = o->ret_sequence;
    p->ret_position = o->ret_position;
    p->stream = o->stream;
    p->draft.delay_ns = o->delay_ns;
    p->draft.ttl_ns = o->ttl_ns;
    if (many) return; /* each message brings its own */
    p->dedup_id = o->dedup_id;
    p->dedup_size = o->dedup_id != NULL ? strlen(o->dedup_id) : 0;
    p->draft.event.key = o->key;
    p->draft.event.key_len = o->key_len;
    p->draft.headers = o->headers;
    p->draft.header_count = o->header_count;
}

/* The first event that its topic is to keep: whoever registers from now on looks for such. The lock's release
 * may run a free_user that destroys the bus. */
static EVB__COLD int32_t begin_to_retain(evb_bus *bus)
{
    bool closed;

    (void)evb__add_rlx(&bus->refs, 1); /* the owner's is still there */
    evb__bus_lock(bus);
    evb__st_rel(&bus->retained.used, 1u); /* pairs with the load in evb__publish_check */
    evb__bus_unlock(bus);
    closed = evb__ld_acq(&bus->closed) != 0; /* pairs with evb_bus_destroy */
    evb__bus_unref(bus);
    return closed ? EVB_ECLOSED : EVB_OK;
}

int32_t evb__publish_check(struct evb__publish *p, evb_bus *bus, const evb_publish_opts *opts, bool many)
{
    struct evb__self *self = evb__self();
    int32_t status;

    if (bus == NULL) return EVB_EINVAL;
    if (evb__unlikely(self->generation != bus->generation)) {
        status = evb__reader_ready(self, bus->generation);
        if (status != EVB_OK) return status;
    }
    *p = (struct evb__publish){.bus = bus,
                               .slot = self->slot,
                               .counted = true,
                               .may_wait = !evb__in_callback(self),
                               .timeout_ns = EVB_FOREVER};
    if (opts != NULL) {
        evb_publish_opts o;

        status = EVB__OPTS_READ(&o, opts);
        if (status == EVB_OK) status = check_opts(bus, &o, many);
        if (status != EVB_OK) return status;
        take_opts(p, &o, many);
        if (evb__unlikely((o.flags & EVB_RETAIN) != 0)) {
            /* pairs with begin_to_retain */
            if (evb__ld_acq(&bus->retained.used) == 0) status = begin_to_retain(bus);
            if (status == EVB_OK) p->newcomers = evb__retained_newcomers(&bus->retained);
        }
        return status;
    }
    return EVB_OK;
}

int32_t evb__publish_check_event(struct evb__draft *draft, const evb_bus *bus, const char *topic,
                                 size_t length, const void *data, size_t size)
{
    if (data == NULL && size != 0) return EVB_EINVAL;
    if (draft->delay_ns != 0 && draft->event.key != NULL) return EVB_EINVAL;
    if (size > bus->max_payload) return EVB_ETOOBIG;
    draft->event.data = data;
    draft->event.size = size;
    draft->event.topic = topic;
    draft->event.topic_len = (uint32_t)length;
    if (evb__unlikely(draft->event.key != NULL) && draft->event.key_len <= EVB__KEY_MAX)
        draft->key_hash = (uint32_t)evb__hash(draft->event.key, draft->event.key_len, bus->seed);
    return evb__draft_check(draft);
}
