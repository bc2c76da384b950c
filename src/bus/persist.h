/* SPDX-License-Identifier: MIT */
/* Events that are appended to the store before anybody gets them.
 *
 *      reserve --> message --> append --> my turn --> position into the queues --> the next one's turn
 *                                 | refused: the message goes, reservations are undone
 *
 * A persisted pattern is a sink without queue behind it (reserve is NULL): so every topic that matches has
 * it in its snapshot, emits to such a topic become publishes, and takers.c says `persisted` instead of
 * counting it. EVB_DURABLE and a stream persist a single event.
 *
 * Invariant: an event that a queue or a listener gets as persisted is in the store at its level; an append
 * that is refused has reached nobody. Queues get persisted events in the order of their positions: publishers
 * draw turns with their positions (store/turns.h), and between an append and the end of the turn there is no
 * user code and nothing that waits. Patterns are only ever added. Threads: any; the list of patterns is
 * under the bus' lock.
 */
#ifndef EVB__BUS_PERSIST_H
#define EVB__BUS_PERSIST_H

#include <evbus/store.h>
#include <stdbool.h>
#include "bus/bus.h"
#include "store/turns.h"

struct evb__publish;
struct evb__append;
struct evb__draft;

/* An event is in the store; its turn has to be waited for and passed. */
struct evb__persisted {
    uint64_t turn; /* 0: none was drawn */
    bool untold;   /* the store has failed, and nobody has logged it */
};

void evb__persist_init(struct evb__persist *persist, evb_store *store);
void evb__persist_end(struct evb__persist *persist);  /* the store is free; no publisher is under way */
void evb__persist_fini(struct evb__persist *persist); /* with the bus' memory */

/* Appends the publish's event and fills in its position. May run under a lock: logs nothing. */
int32_t evb__persist_event(struct evb__publish *p, struct evb__persisted *ret);
/* The same for appends made by the caller. */
int32_t evb__persist_all(struct evb__publish *p, struct evb__append *appends, uint32_t count,
                         struct evb__persisted *ret);
void evb__persist_wait(evb_bus *bus, const struct evb__persisted *persisted);
void evb__persist_pass(evb_bus *bus, const struct evb__persisted *persisted);
/* After an append that was refused, not under a lock; status comes back. */
int32_t evb__persist_refused(evb_bus *bus, const struct evb__persisted *persisted, int32_t status);

/* After the turn. */
EVB__INLINE void evb__sink_report(struct evb__sink *sink)
{
    if (sink->ops->report != NULL) sink->ops->report(sink);
}

/* The record of a draft, which keeps what it points to. */
void evb__persist_record(const struct evb__draft *draft, evb_record *ret);

#endif
