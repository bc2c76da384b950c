/* SPDX-License-Identifier: MIT */
/* A new queue gets what the topics of its pattern keep. */
#include "queue/arrivals.h"

#include <string.h>

/* Taken over: the reference goes, whatever becomes of it. */
static int32_t add(struct evb__arrivals *a, const struct evb__kept *kept, bool wanted)
{
    struct evb__message *message = wanted ? evb__message_again(kept->message, kept->ttl_ns) : NULL;

    evb__message_unref(kept->message);
    if (message == NULL) return wanted ? EVB_ENOMEM : EVB_OK;
    a->timed = a->timed || kept->ttl_ns != 0;
    *a->end = &message->first;
    a->end = &message->first.next;
    return EVB_OK;
}

static bool is_wanted(struct evb__queue *q, struct evb__message *message)
{
    struct evb__origin origin = {.bus = q->bus, .message = message};
    struct evb__view view = {.event = message->event, .origin = &origin};
    struct evb__self *self = evb__self();
    bool wanted;

    if (q->filter == NULL) return true;
    view.event.flags |= EVB_EVENT_RETAINED;
    evb__callback_begin(self);
    wanted = q->filter(&view.event, q->filter_user) != 0;
    evb__callback_end(self);
    return wanted;
}

/* EVB_ENOMEM: the others are given back. */
static int32_t add_all(struct evb__arrivals *a, struct evb__queue *q, const struct evb__kept *kept,
                       uint32_t count)
{
    int32_t rc = EVB_OK;

    for (uint32_t i = 0; i < count; i++) {
        if (rc == EVB_OK)
            rc = add(a, &kept[i], is_wanted(q, kept[i].message));
        else
            evb__message_unref(kept[i].message);
    }
    return rc;
}

static int32_t begin(struct evb__arrivals *a, struct evb__queue *q)
{
    struct evb__retained *retained = &q->bus->retained;
    int32_t rc = evb__pattern_split(q->bus->dialect, q->pattern, strlen(q->pattern), &a->tokens);

    a->first = NULL;
    a->end = &a->first;
    a->timed = false;
    evb__retained_lock(retained);
    a->shown = evb__newcomer_comes_locked(&a->newcomer, retained, &a->tokens);
    evb__retained_unlock(retained);
    return rc; /* EVB_OK: it has been split before */
}

int32_t evb__arrivals_gather(struct evb__arrivals *a, struct evb__queue *q)
{
    struct evb__retained *retained = &q->bus->retained;
    struct evb__kept kept[EVB__SHOW_BATCH];
    int32_t rc = a->end == NULL ? begin(a, q) : EVB_OK;
    uint32_t count = a->shown ? 1 : 0;

    while (rc == EVB_OK && count != 0 && !evb__newcomer_has_waited(&a->newcomer)) {
        evb__retained_lock(retained);
        count = evb__newcomer_look_locked(&a->newcomer, kept, EVB__SHOW_BATCH);
        evb__retained_unlock(retained);
        rc = add_all(a, q, kept, count);
    }
    return rc;
}

int32_t evb__arrivals_settle_locked(struct evb__arrivals *a, struct evb__queue *q)
{
    struct evb__kept kept[EVB__SHOW_BATCH];
    uint32_t count;

    if (!evb__newcomer_misses_locked(&a->newcomer)) return EVB_OK;
    if (!a->shown) { /* the first one has come since */
        a->newcomer.retained->showing++;
        a->shown = true;
    }
    if (q->filter != NULL) return evb__newcomer_has_waited(&a->newcomer) ? EVB_EBUSY : EVB_EAGAIN;
    while ((count = evb__newcomer_look_locked(&a->newcomer, kept, EVB__SHOW_BATCH)) != 0) {
        int32_t rc = add_all(a, q, kept, count);

        if (rc != EVB_OK) return rc;
    }
    return EVB_OK;
}

void evb__arrivals_enter_locked(struct evb__arrivals *a, struct evb__queue *q)
{
    struct evb__delivery *next;

    for (struct evb__delivery *d = a->first; d != NULL; d = next) {
        next = d->next;
        d->next = NULL;
        evb__queue_admit_locked(q, d);
    }
    a->first = NULL;
    a->end = &a->first;
    evb__newcomer_enters_locked(&a->newcomer);
}

void evb__arrivals_end(struct evb__arrivals *a, struct evb__queue *q)
{
    struct evb__retained *retained = &q->bus->retained;
    struct evb__delivery *next;

    for (struct evb__delivery *d = a->first; d != NULL; d = next) {
        next = d->next;
        evb__message_unref(d->message);
    }
    if (!a->shown) return;
    evb__retained_lock(retained);
    evb__newcomer_ends_locked(&a->newcomer);
    evb__retained_unlock(retained);
    a->shown = false;
}
