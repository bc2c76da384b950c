/* SPDX-License-Identifier: MIT */
/* Requests that are made here or in a thread of their own, and listeners that reply, or keep. */
#include "request_kit.h"

#include <string.h>

#include "bus/bus.h"

static EVB__ATOMIC(const evb_event *) last_kept; /* written by who publishes, read by who saw him sleep */

static const evb_event untouched;

static int32_t request_text(const char *topic, const char *text, int64_t timeout_ns,
                            const evb_event **ret_reply)
{
    return evb_request(kit.bus, topic, text, strlen(text), timeout_ns, ret_reply);
}

int32_t request_try(const char *topic, const char *text, int64_t timeout_ns)
{
    const evb_event *reply = NULL;
    int32_t status = request_text(topic, text, timeout_ns, &reply);

    CHECK((status == EVB_OK) == (reply != NULL));
    evb_event_release(reply);
    return status;
}

void request_gives(const char *topic, const char *text, const char *reply)
{
    const evb_event *ev = NULL;

    OK(request_text(topic, text, EVB_FOREVER, &ev));
    CHECK(kit_is(ev, reply));
    evb_event_release(ev);
}

void request_fails(const char *topic, const char *text, int64_t timeout_ns, int32_t status)
{
    const evb_event *ev = &untouched;

    FAILS(request_text(topic, text, timeout_ns, &ev), status);
    EQ_PTR(ev, &untouched);
}

static void ask(void *arg)
{
    struct asked *a = arg;

    a->status = request_text(a->topic, a->text, a->timeout_ns, &a->reply);
}

void asked_begin(struct asked *a, const char *topic, const char *text, int64_t timeout_ns)
{
    *a = (struct asked){.topic = topic, .text = text, .timeout_ns = timeout_ns, .reply = &untouched};
    sleeper_start(&a->sleeper, ask, a);
}

void asked_ends(struct asked *a, int32_t status, const char *reply)
{
    sleeper_join(&a->sleeper);
    FAILS(a->status, status);
    if (reply == NULL) {
        EQ_PTR(a->reply, &untouched);
    } else {
        CHECK(kit_is(a->reply, reply));
        evb_event_release(a->reply);
    }
}

int32_t echo(const evb_event *ev, void *user)
{
    (void)user;
    return evb_reply(ev, ev->data, ev->size);
}

int32_t keep_it(const evb_event *ev, void *user)
{
    const evb_event *retained = evb_event_retain(ev);

    (void)user;
    evb__st_rel(&last_kept, retained); /* pairs with kept */
    return retained != NULL ? EVB_OK : EVB_ENOMEM;
}

const evb_event *kept(void)
{
    return evb__ld_acq(&last_kept); /* pairs with keep_it */
}

void forget_kept(void)
{
    evb__st_rlx(&last_kept, NULL);
}

void drop_kept(void)
{
    evb_event_release(kept());
    forget_kept();
}

uint64_t late_replies(void)
{
    uint64_t late;

    evb__mutex_lock(&kit.bus->requests.lock);
    late = kit.bus->requests.late;
    evb__mutex_unlock(&kit.bus->requests.lock);
    return late;
}
