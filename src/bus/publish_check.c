/* SPDX-License-Identifier: MIT */
/* What is wrong with a publish before anything happens: its bus, its options, its event. */
#include "base/opts.h"
#include "bus/publish.h"

#define DELAY_MAX_NS (INT64_C(10) * 365 * 86400 * 1000000000)
#define FLAGS        ((uint32_t)(EVB_MANDATORY | EVB_RETAIN | EVB_NOWAIT | EVB_DURABLE))

/* Mistakes first, then what this version does not do. */
static int32_t check_opts(const evb_publish_opts *o, bool many)
{
    if ((o->flags & ~FLAGS) != 0 || o->reserved != 0) return EVB_EINVAL;
    if (o->delay_ns < 0 || o->delay_ns > DELAY_MAX_NS || o->ttl_ns < 0) return EVB_EINVAL;
    if (o->timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if ((o->flags & EVB_DURABLE) != 0 || o->stream != NULL) return EVB_EINVAL; /* there is no store */
    if ((o->flags & EVB_RETAIN) != 0 || o->ttl_ns != 0) return EVB_ENOTSUP;
    return o->dedup_id != NULL && !many ? EVB_ENOTSUP : EVB_OK; /* of an event, not of a batch */
}

static void take_opts(struct evb__publish *p, const evb_publish_opts *o, bool many)
{
    p->flags = o->flags;
    p->timeout_ns = o->timeout_ns == 0 ? EVB_FOREVER : o->timeout_ns;
    p->ret_refused = o->refused_cap != 0 ? o->ret_refused : NULL;
    p->refused_cap = o->refused_cap;
    p->ret_sequence = o->ret_sequence;
    p->ret_position = o->ret_position;
    p->draft.delay_ns = o->delay_ns;
    if (many) return; /* each message brings its own */
    p->draft.event.key = o->key;
    p->draft.event.key_len = o->key_len;
    p->draft.headers = o->headers;
    p->draft.header_count = o->header_count;
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
        if (status == EVB_OK) status = check_opts(&o, many);
        if (status != EVB_OK) return status;
        take_opts(p, &o, many);
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
    return evb__draft_check(draft);
}
