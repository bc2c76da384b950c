/* SPDX-License-Identifier: MIT */
/* Publishing: from an event to the queues and listeners that match it.
 *
 *      takers --> filters --> reserve in all --> message, sequence --> commit in all --> listeners
 *        ^                       | full, and the publisher may wait
 *        +-- announce again <-- leave, wait <-- undo all
 *
 * Invariant: sinks are touched only while the publish is announced (base/reader.h) or by a reference. Nothing
 * is reserved while user code runs, while it waits, or when it fails; nothing fails once the first sink has
 * committed. A publish that has waited may come back to a bus that has ended: then it touches nothing of it
 * any more. No lock is taken. Threads: any, each its own struct evb__publish, on its stack.
 */
#ifndef EVB__BUS_PUBLISH_H
#define EVB__BUS_PUBLISH_H

#include "bus/bus.h"
#include "bus/message.h"

/* ---- who takes an event: takers.c ---- */

#define EVB__TAKERS_FEW 32

/* The sinks that match a topic, each once. On the publisher's stack; memory of its own only beyond a few. */
struct evb__takers {
    uint32_t count, capacity;
    bool listeners; /* there are entries besides sinks */
    bool persisted; /* evb_bus_persist has been said */
    struct evb__sink **sink;
    struct evb__sink *few[EVB__TAKERS_FEW];
};

EVB__INLINE void evb__takers_init(struct evb__takers *takers)
{
    takers->count = 0;
    takers->capacity = EVB__TAKERS_FEW;
    takers->listeners = takers->persisted = false;
    takers->sink = takers->few;
}

void evb__takers_free_many(struct evb__takers *takers);
EVB__INLINE void evb__takers_free(struct evb__takers *takers)
{
    if (evb__unlikely(takers->sink != takers->few)) evb__takers_free_many(takers);
}

/* Where an announced publish found its topic. */
struct evb__target {
    evb_topic *topic;               /* NULL: no record */
    struct evb__snapshot *snapshot; /* of the record; NULL: nobody */
    uint32_t count;                 /* its entries when the publish began */
    size_t registered;              /* without record: registrations when the publish began */
    struct evb__tokens tokens;      /* likewise */
};

/* EVB_ENOMEM: too many. */
int32_t evb__takers_gather(struct evb__takers *takers, const evb_bus *bus, const struct evb__target *target);
/* For EVB_MANDATORY: a listener that is no monitor. */
bool evb__target_listens(const evb_bus *bus, const struct evb__target *target);

/* ---- publish.c ---- */

struct evb__publish {
    evb_bus *bus;
    struct evb__slot *slot;
    struct evb__slot_entry *entry; /* announced */
    bool plain;                    /* by plain stores */
    bool counted;                  /* in bus->published and bus->unroutable: not an emit */
    bool may_wait;                 /* no callback of this thread is under way */
    uint32_t flags;                /* as evb_publish_opts */
    int64_t timeout_ns;            /* EVB_FOREVER: no limit */
    int64_t deadline_ns;           /* 0: not needed so far */
    char *ret_refused;             /* NULL: not asked for */
    uint32_t refused_cap;
    uint64_t *ret_sequence, *ret_position; /* likewise */
    const char *dedup_id;                  /* likewise */
    size_t dedup_size;
    struct evb__dedup_id *claim; /* of dedup_id, until the publish has succeeded or failed */
    const char *stream;          /* likewise */
    uint32_t newcomers;          /* EVB_RETAIN: as they were before it looked who matches */
    struct evb__draft draft;

    /* with EVB__RETRY: what to wait for, and room for how much */
    struct evb__sink *full; /* a reference; NULL: another publish of dedup_id */
    bool at_once;           /* nothing: somebody has come to whom the topic has to show what it keeps */
    size_t full_bytes;
    uint32_t full_events;
};

#define EVB__RETRY INT32_MIN /* no status and no count: undone, to be tried again after evb__publish_wait */

/* The bus by name, the whole way. loan: data is one of this bus'. */
int32_t evb__publish_named(evb_bus *bus, const char *topic, void *data, size_t size,
                           const evb_publish_opts *opts, bool loan);

/* The bus by name, without options: the event says that it is the request of that number (bus/request.h). */
int32_t evb__publish_request(evb_bus *bus, const char *topic, const void *data, size_t size,
                             uint64_t number, int64_t deadline_ns);

/* What its parts share with publish_many.c. */
int32_t evb__publish_find(const struct evb__publish *p, struct evb__slot_entry *entry, const char *name,
                          size_t length, struct evb__target *target);
int32_t evb__publish_enter(struct evb__publish *p, uintptr_t hazard);
void evb__publish_leave(struct evb__publish *p);
int32_t evb__publish_filter(const struct evb__publish *p, const struct evb__draft *draft,
                            struct evb__takers *takers);
int32_t evb__publish_refused(struct evb__publish *p, struct evb__sink *sink, int32_t status, size_t bytes,
                             uint32_t n);
int32_t evb__publish_wait(struct evb__publish *p, uintptr_t hazard);
uint32_t evb__publish_tell(struct evb__publish *p, const struct evb__draft *draft,
                           const struct evb__target *target, struct evb__message *message);
void evb__publish_count(struct evb__publish *p, uint32_t reached);

/* ---- publish_check.c: before anything happens ---- */

/* The bus and the options. Fills all of p but entry, plain, the draft's event and what belongs to EVB__RETRY.
 */
int32_t evb__publish_check(struct evb__publish *p, evb_bus *bus, const evb_publish_opts *opts, bool many);
/* The event itself, with the key and headers that are in the draft. */
int32_t evb__publish_check_event(struct evb__draft *draft, const evb_bus *bus, const char *topic,
                                 size_t length, const void *data, size_t size);

#endif
