/* SPDX-License-Identifier: MIT */
/* Events in the hands of users: kept beyond their callback, asked for time and headers.
 *
 * A retained event is a small object of its own that looks as the event did (its attempt, its flags) and
 * holds a reference of the message behind it. An event without a message is copied into one, which no queue
 * knows.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "bus/bus.h"
#include "bus/message.h"

#include <string.h>

struct retained {
    struct evb__view view; /* first: its event is what users have */
    struct evb__origin origin;
    EVB__ATOMIC(uint32_t) refs;
};

static struct retained *retained_of(const evb_event *ev)
{
    return (struct retained *)(uintptr_t)ev; /* the event is const to users only */
}

static struct evb__message *copy_of(const evb_event *ev, const struct evb__origin *origin)
{
    struct evb__draft draft = {.event = *ev};
    struct evb__message *message;

    if (origin != NULL) {
        draft.headers = origin->headers;
        draft.header_count = origin->header_count;
        draft.request = origin->request;
    }
    if (evb__draft_check(&draft) != EVB_OK) return NULL; /* cannot be: publish has checked them */
    message = evb__message_new(&draft, 0, true);
    if (message != NULL && origin != NULL) message->time_ns = origin->time_ns;
    return message;
}

/* Takes the message's reference, also where there is no memory: NULL. */
static struct retained *keep(struct evb__message *message, const evb_event *looks)
{
    struct retained *r = evb__zalloc(sizeof *r, EVB__ALIGN_MIN);

    if (r == NULL) {
        evb__message_unref(message);
        return NULL;
    }
    r->view.event = *looks;
    r->view.event.data = message->event.data; /* a listener's is the publisher's own */
    r->view.event.topic = message->event.topic;
    r->view.event.key = message->event.key;
    r->view.origin = &r->origin;
    r->origin.message = message;
    r->origin.retained = true;
    evb__init(&r->refs, 1);
    return r;
}

const evb_event *evb__event_new(const struct evb__draft *draft)
{
    struct evb__message *message = evb__message_new(draft, 0, true);
    struct retained *r;

    if (message == NULL) return NULL;
    message->time_ns = evb__clock_wall_coarse();
    r = keep(message, &message->event);
    return r != NULL ? &r->view.event : NULL;
}

const evb_event *evb_event_retain(const evb_event *ev)
{
    const struct evb__origin *origin;
    struct evb__message *message;
    struct retained *r;

    if (ev == NULL) return NULL;
    origin = evb__event_origin(ev);
    if (origin != NULL && origin->retained) {
        (void)evb__add_rlx(&retained_of(ev)->refs, 1); /* relaxed: the caller has one */
        return ev;
    }
    message = origin != NULL ? origin->message : NULL;
    if (message != NULL)
        evb__message_ref(message);
    else if ((message = copy_of(ev, origin)) == NULL)
        return NULL;
    r = keep(message, ev);
    if (r == NULL) return NULL;
    if (evb__origin_request(origin) != 0) { /* a reply looks into the bus' memory, which stays with this */
        r->origin.bus = origin->bus;
        (void)evb__add_rlx(&r->origin.bus->refs, 1); /* relaxed: whoever called back has one */
    }
    return &r->view.event;
}

void evb_event_release(const evb_event *ev)
{
    struct retained *r = retained_of(ev);

    if (ev == NULL || r->view.origin == NULL || !r->view.origin->retained) return; /* never retained */
    /* acq_rel: what the other holders have read comes first */
    if (evb__sub_acqrel(&r->refs, 1) != 1) return;
    evb__message_unref(r->origin.message);
    if (r->origin.bus != NULL) evb__bus_unref(r->origin.bus);
    evb__free(r, sizeof *r);
}

int64_t evb_event_time_ns(const evb_event *ev)
{
    const struct evb__origin *origin = ev != NULL ? evb__event_origin(ev) : NULL;

    if (origin == NULL) return 0;
    return origin->message != NULL ? origin->message->time_ns : origin->time_ns;
}

const void *evb_event_header(const evb_event *ev, const char *name, uint32_t *ret_len)
{
    const struct evb__origin *origin = ev != NULL ? evb__event_origin(ev) : NULL;

    if (origin == NULL || name == NULL) return NULL;
    if (origin->message != NULL) return evb__message_header(origin->message, name, ret_len);
    for (uint32_t i = 0; i < origin->header_count; i++) {
        const evb_header *h = &origin->headers[i];

        if (strcmp(h->name, name) != 0) continue;
        if (ret_len != NULL) *ret_len = h->value_len;
        return h->value_len != 0 ? h->value : "";
    }
    return NULL;
}
