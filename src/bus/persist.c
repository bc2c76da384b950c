/* SPDX-License-Identifier: MIT */
/* Persisted patterns, and the step of a publish that appends. */
#include "bus/persist.h"

#include "base/alloc.h"
#include "bus/publish.h"
#include "store/store.h"

#include <string.h>

struct evb__persisted_pattern {
    struct evb__persisted_pattern *next;
    size_t size; /* of this block */
    char text[];
};

/* ---- a sink that takes nothing ---- */

static bool nothing_is_wanted(struct evb__sink *sink, const evb_event *event)
{
    (void)sink;
    (void)event;
    return false;
}

/* wants: a topic with it does not take the short way to its only queue. */
static const struct evb__sink_ops no_queue = {.wants = nothing_is_wanted};

void evb__persist_init(struct evb__persist *persist, evb_store *store)
{
    persist->store = store;
    persist->sink.ops = &no_queue;
    persist->patterns = NULL;
    evb__turns_init(&persist->turns);
    if (store != NULL) evb__store_hold(store);
}

void evb__persist_end(struct evb__persist *persist)
{
    if (persist->store != NULL) evb__store_release(persist->store);
}

void evb__persist_fini(struct evb__persist *persist)
{
    while (persist->patterns != NULL) {
        struct evb__persisted_pattern *pattern = persist->patterns;

        persist->patterns = pattern->next;
        evb__free(pattern, pattern->size);
    }
    evb__turns_destroy(&persist->turns);
}

static bool is_persisted_locked(const evb_bus *bus, const char *pattern)
{
    const struct evb__persisted_pattern *p = bus->persist.patterns;

    while (p != NULL && strcmp(p->text, pattern) != 0)
        p = p->next;
    return p != NULL;
}

int32_t evb_bus_persist(evb_bus *bus, const char *pattern)
{
    struct evb__persisted_pattern *made;
    int32_t status = evb__bus_enter(bus);
    int64_t id;
    size_t size;
    bool again;

    if (status != EVB_OK) return status;
    if (pattern == NULL || bus->persist.store == NULL) return EVB_EINVAL;
    size = strnlen(pattern, EVB__NAME_MAX + 1);
    if (evb__pattern_check(bus->dialect, pattern, size) != EVB_OK) return EVB_EINVAL;
    made = evb__alloc(sizeof *made + size + 1, EVB__ALIGN_MIN);
    if (made == NULL) return EVB_ENOMEM;
    made->size = sizeof *made + size + 1;
    memcpy(made->text, pattern, size);
    made->text[size] = '\0';
    evb__bus_lock(bus);
    again = is_persisted_locked(bus, pattern);
    evb__bus_unlock(bus);
    /* Twice at the same time, it is there twice: that does no harm. */
    status = again ? EVB_OK : evb__sink_listen(bus, pattern, &bus->persist.sink, NULL, &id);
    if (again || status != EVB_OK) {
        evb__free(made, made->size);
        return status;
    }
    evb__bus_lock(bus);
    made->next = bus->persist.patterns;
    bus->persist.patterns = made;
    evb__bus_unlock(bus);
    return EVB_OK;
}

/* ---- the step of a publish ---- */

void evb__persist_record(const struct evb__draft *draft, evb_record *ret)
{
    *ret = (evb_record){.topic = draft->event.topic,
                        .data = draft->event.data,
                        .size = draft->event.size,
                        .key = draft->event.key,
                        .key_len = draft->event.key_len,
                        .headers = draft->headers,
                        .header_count = draft->header_count};
}

int32_t evb__persist_all(struct evb__publish *p, struct evb__append *appends, uint32_t count,
                         struct evb__persisted *ret)
{
    struct evb__persist *persist = &p->bus->persist;
    int32_t status;

    ret->turn = 0;
    status = evb__store_append_all(persist->store, appends, count, (p->flags & EVB_DURABLE) != 0,
                                   &persist->turns, &ret->turn);
    ret->untold = status == EVB_EIO;
    return status;
}

int32_t evb__persist_event(struct evb__publish *p, struct evb__persisted *ret)
{
    evb_record record;
    struct evb__append append = {.stream = p->stream != NULL ? p->stream : p->draft.event.topic,
                                 .expected = EVB_ANY_VERSION,
                                 .records = &record,
                                 .n = 1};
    int32_t status;

    *ret = (struct evb__persisted){0};
    if (append.stream[0] == '\0') return EVB_EINVAL; /* AMQP's empty name is a topic, but no stream */
    evb__persist_record(&p->draft, &record);
    status = evb__persist_all(p, &append, 1, ret);
    if (status == EVB_OK) p->draft.event.position = append.position;
    return status;
}

void evb__persist_wait(evb_bus *bus, const struct evb__persisted *persisted)
{
    if (persisted->turn == 0) return;
    evb__turns_wait(&bus->persist.turns, persisted->turn);
    evb__self()->quiet = true;
}

void evb__persist_pass(evb_bus *bus, const struct evb__persisted *persisted)
{
    if (persisted->turn == 0) return;
    evb__self()->quiet = false;
    evb__turns_pass(&bus->persist.turns);
}

int32_t evb__persist_refused(evb_bus *bus, const struct evb__persisted *persisted, int32_t status)
{
    evb__persist_wait(bus, persisted);
    evb__persist_pass(bus, persisted);
    if (persisted->untold) evb__store_tell(bus->persist.store);
    return status;
}
