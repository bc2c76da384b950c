/* SPDX-License-Identifier: MIT */
/* The bus: what its parts share. Listener records, topic records, snapshots, and the lock that orders their
 * writers.
 *
 *      name table --> topic record --> snapshot { fn,user | fn,user | ... }   what an emit runs through
 *                        |   ^                     |
 *                        |  home                index[]: which listener each entry is
 *                        v   |                     v
 *                   literal listeners <---> listener records (by number) <---> lists of the pattern trie
 *
 * Invariant: (1) a topic's snapshot holds exactly the live listeners whose pattern matches it, in order
 * (priority descending, then order ascending), plus dead entries whose fn is evb__dead_listener; NULL when
 * there are none. (2) A record exists for a topic that has a handle or a literal listener, for no other. (3)
 * What an emit may still see is in limbo, never freed: listeners, blocks and topics each carry the ticket of
 * the observation after they became unreachable (base/reader.h). (4) All writers hold bus->lock; no user code
 * runs under it; an emit never waits for it: what an emit has to leave behind goes to bus->work, which
 * whoever unlocks must look at.
 * Threads: emit.c and named_emit.c run in any thread, announced; everything
 * with _locked under bus->lock.
 */
#ifndef EVB__BUS_BUS_H
#define EVB__BUS_BUS_H

#include "evbus/bus.h"

#include "base/atomic.h"
#include "base/reader.h"
#include "base/thread.h"
#include "bus/dedup.h"
#include "bus/retained.h"
#include "bus/request.h"
#include "store/turns.h"
#include "topic/dialect.h"
#include "topic/index.h"
#include "topic/limbo.h"
#include "topic/names.h"
#include "topic/trie.h"

/* What our own thunk and the dead entry answer: "do not count me". Any value but 0 would do: the flag tells
 * it from a handler's error. Looked at right after the call, by evb__odd_answer. */
static inline int32_t evb__skip(struct evb__slot *slot)
{
    slot->skipped = true;
    return 1;
}

/* ---- snapshots: snapshot.c ---- */

struct evb__entry {
    EVB__ATOMIC(evb_handler) fn;
    void *user;
};

/* Followed by its entries. flags is 0 for all but the shared snapshot of closed topics and those with queues:
 * one test covers every special case. Constant from birth: an emit under way has looked at it. */
struct evb__snapshot {
    EVB__ATOMIC(uint32_t) count;
    uint32_t flags;
};
enum {
    EVB__SNAPSHOT_CLOSED = 1,
    EVB__SNAPSHOT_QUEUES = 2 /* sinks among the entries: the emit goes over to publish.c */
};

/* A snapshot of its own memory. limbo.hazard is the topic, from birth. After the entries: uint32_t
 * index[capacity], 0 = dead. */
struct evb__snapshot_block {
    struct evb__limbo limbo;
    uint32_t capacity, dead;
    struct evb__snapshot head;
};

/* ---- listeners: listener.c ---- */

struct evb__sink;

enum {
    EVB__LISTENER_FREE = 0,
    EVB__LISTENER_LIVE = 1,
    EVB__LISTENER_CLAIMED = 2, /* a once whose call has been won; its removal is on the way */
    EVB__LISTENER_REMOVED = 3  /* in limbo */
};

/* One cache line. A listener alone on its topic is its own snapshot: {one, entry} is laid out as a snapshot
 * of one entry. */
struct evb__listener {
    struct evb__snapshot one;
    struct evb__entry entry;
    union {
        int64_t order;   /* registration number, negative when prepended */
        uint64_t ticket; /* literal in limbo; 0 = not observed yet */
    } u;
    union {
        evb_topic *topic; /* literal */
        struct {
            uint32_t place, rank; /* wildcard: in the trie; length of its list when it was added, or more */
        } wild;
        uint64_t ticket; /* wildcard in limbo: emits by name may still read its order */
    } home;
    struct evb__extra *extra;   /* rarely used fields, NULL for a plain listener */
    EVB__ATOMIC(uint32_t) next; /* older listener of the same pattern */
    uint32_t prev;              /* newer one; in limbo and in the free list: the next record */
    uint32_t generation;        /* upper half of the id; steps when the record is freed */
    EVB__ATOMIC(uint8_t) state;
    uint8_t wild, in_limbo, counted; /* counted: inspect.c, under the lock */
};

struct evb__extra {
    evb_bus *bus;
    evb_handler fn;
    void *user;
    evb_free_fn free_user;
    evb_filter_fn filter;
    struct evb__sink *sink; /* NULL: a listener */
    /* sequence up to which it has been shown what topics keep; UINT64_MAX: it is being shown that, and takes
     * nothing else (retained.h) */
    EVB__ATOMIC(uint64_t) shown_to;
    const void *owner;
    struct evb__extra *owner_next, **owner_link;
    struct evb__extra *finish_next;
    /* NULL, or where an off_wait wants to hear that free_user has returned */
    EVB__ATOMIC(uint32_t) *finished;
    /* removed inside a callback: of this thread, where only own_running matters for free_user */
    struct evb__slot *own_slot;
    uint32_t own_running; /* bit per entry of the slot in which the listener itself was running */
    uint32_t once_next;   /* fired onces waiting for their removal */
    uint32_t number;      /* of the listener */
    int32_t priority;
    uint32_t flags;     /* EVB_ONCE, EVB_MONITOR */
    uint32_t text_size; /* wildcard: the pattern, for whom it matches while it is in limbo */
    char text[];
};

#define EVB__RANK_WARNED                                                                                     \
    ((uint32_t)1 << 31) /* in home.wild.rank of a list's newest: the leak guard has spoken */

#define EVB__LISTENER_BITS  22
#define EVB__LISTENER_MAX   (((uint32_t)1 << EVB__LISTENER_BITS) - 1)
#define EVB__LISTENER_CHUNK 64
#define EVB__LISTENER_FAN   256

struct evb__listener_fan {
    EVB__ATOMIC(struct evb__listener *) chunk[EVB__LISTENER_FAN];
};

/* ---- queues, as the bus sees them: sink.c, publish.c ---- */

struct evb__message;
struct evb__delivery;

/* What a queue puts behind its pattern, or, without a reserve, evb_bus_persist. It has a listener record, whose entries in snapshots publishers
 * gather; no emit calls it. The order of a publish: wants; reserve in every sink, without waiting; message
 * and sequence; commit in every sink; listeners. reserve, undo and commit never wait and run no user code. */
struct evb__sink_ops {
    bool (*wants)(struct evb__sink *sink, const evb_event *event); /* the filter: user code. NULL: all */
    /* Room for n events of bytes in all. EVB_OK, or nothing reserved and: EVB_EFULL; EVB_EAGAIN: full, and a
     * publisher may wait for room; EVB_ETOOBIG: can never have room; EVB_ECLOSED: takes nothing any more
     * (skipped). */
    int32_t (*reserve)(struct evb__sink *sink, size_t bytes, uint32_t n);
    void (*undo)(struct evb__sink *sink, size_t bytes, uint32_t n);
    /* Uses up what was reserved for one event. The delivery, with its reference of the message, is the sink's
     * in either case. false: dropped, not taken. */
    bool (*commit)(struct evb__sink *sink, struct evb__delivery *delivery);
    /* After EVB_EAGAIN: until there may be room. EVB_OK, EVB_ETIMEDOUT, EVB_ECLOSED. Not announced, holds no
     * reservation. */
    int32_t (*wait)(struct evb__sink *sink, size_t bytes, uint32_t n, int64_t deadline_ns);
    void (*ref)(struct evb__sink *sink);
    void (*unref)(struct evb__sink *sink);             /* may free it */
    const char *(*name)(const struct evb__sink *sink); /* for ret_refused */
    /* What commits have left to be logged, as evb__self()->quiet asked for it. NULL: nothing ever is. */
    void (*report)(struct evb__sink *sink);
};

struct evb__sink {
    const struct evb__sink_ops *ops;
};

/* The bus' store and what of its events goes there: persist.h. */
struct evb__persist {
    evb_store *store; /* constant; NULL: none */
    struct evb__turns turns;
    struct evb__sink sink;                   /* behind every persisted pattern */
    struct evb__persisted_pattern *patterns; /* under the bus' lock */
};

/* What the queue floor keeps for a bus; made by the first subscription. */
struct evb__queues {
    /* evb_bus_destroy: no callback of this thread is under way, publishes are refused (one that had begun may
     * still be between reserve and commit). Drains for drain_timeout_ns, waits for handlers, discards.
     * Listeners and sinks are still there, unless the bus was destroyed inside a callback: then they went at
     * once, and free_user of a sink may have run. */
    void (*end)(evb_bus *bus);
    void (*free)(struct evb__queues *queues); /* with the bus' memory */
    evb_pool *own_pool; /* set by end: goes when no publisher is under way, who may be waking a worker */
};

/* Puts a sink behind a pattern, as evb_listen would. free_user(sink) when no publisher can see it any more,
 * in whatever thread finds that out; it counts as a callback. EVB_ECLOSED: draining, too. */
int32_t evb__sink_listen(evb_bus *bus, const char *pattern, struct evb__sink *sink, evb_free_fn free_user,
                         int64_t *ret_id);
/* What evb_off refuses to do: a sink's id is nobody else's. free_user may run before it returns. Again, or
 * after the bus has ended, it is nothing; the caller has a reference of the bus' memory. */
void evb__sink_off(evb_bus *bus, int64_t id);
int32_t evb__sink_listener(const evb_event *event, void *sink); /* entry.fn of sinks; skips */

/* A call that is running now, for listeners with a record (thunk.c): innermost first, on the stacks of the
 * thunks. */
struct evb__running {
    const struct evb__listener *listener;
    uint32_t entry; /* of the slot */
    struct evb__running *outer;
};

/* ---- topics: topics.c ---- */

/* There may be a million of them, so nothing is padding: in limbo, where listeners and handles are not
 * counted any more, link and ticket lie in their place. An emit looks at the first three fields and the name.
 */
struct evb_topic {
    struct evb__named named;
    EVB__ATOMIC(struct evb__snapshot *) snapshot;
    evb_bus *bus;
    union {
        struct {
            uint32_t first;     /* newest literal listener, 0 = none */
            uint32_t listeners; /* how many */
        } list;
        evb_topic *next; /* in limbo */
    } u;
    union {
        uint32_t refs;       /* handles */
        uint32_t ticket_low; /* in limbo; reclaim.c reads and writes both parts */
    };
    union {
        uint16_t warned; /* the leak guard has spoken */
        uint16_t ticket_high;
    };
    char name[];
};

/* ---- the bus ---- */

#define EVB__OWNER_BUCKETS_MIN 16

struct evb_bus {
    /* read by every emit, constant after create */
    uint32_t generation;
    int reserved_first; /* first byte of names that nobody may publish ('$' in DOT), or -1 */
    size_t max_payload;
    const struct evb__dialect *dialect;
    uint64_t seed;
    struct evb__names names;
    struct evb__trie trie;
    EVB__ATOMIC(size_t) registered; /* registrations so far: emits by name skip what came after their start */
    EVB__ATOMIC(struct evb__listener_fan *) fans[EVB__LISTENER_FAN];

    /* any thread */
    EVB__ATOMIC(uint32_t) closed;
    EVB__ATOMIC(uint32_t) draining; /* publishes are refused; also when it is closed */
    EVB__ATOMIC(uint32_t) sinks;    /* live: an emit by a name without record has to look for them */
    EVB__ATOMIC(struct evb__queues *) queues; /* NULL: no subscription yet; set once, under lock */
    EVB__ATOMIC(uint32_t) holds_blocks;       /* blocks.h: from its first sink to the end of its memory */
    int64_t drain_timeout_ns;                 /* constant, as the next two. EVB_FOREVER: no limit */
    uint32_t workers;
    evb_pool *pool;                  /* the user's, held; or NULL */
    EVB__ATOMIC(uint32_t) work;      /* something for the next unlock: fired onces, an emit that left */
    EVB__ATOMIC(uint32_t) fired;     /* stack of onces that have fired, by number */
    EVB__ATOMIC(uint32_t) epoch;     /* steps when waiters should look again */
    EVB__ATOMIC(uint32_t) refs;      /* of this memory: the owner, topic handles, marks, requests */
    EVB__ATOMIC(uint32_t) finishing; /* free_user calls under way */
    EVB__ATOMIC(size_t) errors;      /* handlers that returned non-zero */
    evb_hook_fn hook;
    void *hook_user;
    uint32_t hook_mask, listener_warning;

    /* publishers write here; on a line of its own */
    _Alignas(EVB__CACHE_LINE) EVB__ATOMIC(uint64_t) sequence; /* of the last event that a queue was offered */
    /* Publishes that only listeners got (those with queues have a sequence), and that nobody matched. Emits
     * to listeners are not counted. */
    EVB__ATOMIC(uint32_t) named_queues; /* names made up so far */
    EVB__ATOMIC(size_t) published, unroutable;

    struct evb__dedup dedup;       /* its own lock, */
    struct evb__retained retained; /* too */

    struct evb__requests requests; /* its own lock */
    struct evb__persist persist;

    /* under lock */
    _Alignas(EVB__CACHE_LINE) struct evb__mutex lock;
    struct evb__index index;
    int64_t order;      /* registrations so far */
    uint32_t listeners; /* live */
    uint32_t topics;    /* records */
    uint32_t high, free_listener;
    uint32_t waiters; /* threads in off_wait and destroy */
    /* things put into limbo since the last observation; unswept: since the last pass over all */
    uint32_t limbo_new;
    uint32_t limbo_unswept;
    uint32_t limbo_listeners;
    uint32_t urgent; /* a context has come into limbo: it wants to be freed now */
    /* contexts in limbo were blocked at the last pass over all; look_again: look at all of them */
    bool pending;
    bool look_again;
    struct evb__limbo *limbo_blocks;
    evb_topic *limbo_topics;
    struct evb__extra *due;     /* contexts to free at the next unlock */
    struct evb__extra **owners; /* hash by owner */
    uint32_t owner_buckets, owned;
    bool finished; /* destroyed to the end: only topic handles and this memory are left */
    evb_bus *deferred_next;
    char name[64];
};

/* Announced while a name is being looked up and while an emit has no topic record. */
static inline uintptr_t evb__bus_hazard(const evb_bus *bus)
{
    return (uintptr_t)bus | 2;
}

/* Draining, and the caller is not one of those whose events the drain waits for: handlers of the bus' own
 * queues publish on, or what they do would fail for nothing. seq_cst: after a reservation; pairs with
 * evb_bus_drain, which looks at reservations afterwards. */
static inline bool evb__bus_refuses(const evb_bus *bus)
{
    return evb__unlikely(evb__ld_sc(&bus->draining) != 0) && evb__self()->serves != bus;
}

/* bus.c */
void evb__bus_lock(evb_bus *bus);
void evb__bus_unlock(
    evb_bus *bus); /* serves bus->work, then runs the free_user calls that became due, unlocked */
int32_t evb__bus_enter(
    evb_bus *bus); /* what every call on the listener side begins with: EVB_EINVAL, EVB_EFORKED or EVB_OK */
void evb__bus_request(
    evb_bus *bus); /* work has been left: serve it now if the lock is free, else its holder will */
void evb__bus_unref(evb_bus *bus);
void evb__emit_left(struct evb__self *self, void *mark); /* an emit found a mark when it left */
void evb__mark_deferred(struct evb__self *self); /* so that the outermost emit finishes what was deferred */
void evb__serve_mark(
    void *mark); /* a bus, with the reference that came with the mark; or a thread's own, see defer_destroy */

/* reclaim.c */
void evb__limbo_listener_locked(evb_bus *bus, struct evb__listener *listener, uint32_t number);
void evb__limbo_block_locked(evb_bus *bus, struct evb__limbo *block);
void evb__limbo_topic_locked(evb_bus *bus, evb_topic *topic);
/* One pass: observes if there is something new, frees what no emit can see, tells the emits in the way of
 * what is urgent. Extras whose listeners are gone go to bus->due: evb__bus_unlock runs their free_user. */
void evb__reclaim_locked(evb_bus *bus);
void evb__reclaim_batch_locked(
    evb_bus *bus); /* in the middle of a long removal: keeps limbo short, and what walks it quick */
void evb__reclaim_everything(evb_bus *bus); /* destroy: no emit of this bus is left, no lock needed */
bool evb__hazard_of_bus(uintptr_t hazard, const evb_bus *bus);

/* Waiting for emits to leave: off_wait and destroy. The query's ticket is filled in here. */
struct evb__departure {
    struct evb__readers_query query;
    evb_bus *bus;
    EVB__ATOMIC(uint32_t) *finished; /* NULL, or set when the free_user that is waited for has returned */
};
void evb__departure_wait(struct evb__departure *departure);

/* listener.c */
struct evb__listener *evb__listener(const evb_bus *bus,
                                    uint32_t number); /* any thread; number != 0 and allocated */
int32_t evb__listener_alloc_locked(evb_bus *bus, uint32_t *ret_number);
void evb__listener_free_locked(evb_bus *bus, uint32_t number);
int64_t evb__listener_id(const evb_bus *bus, uint32_t number);
/* The record behind an id, live or in limbo; NULL: nothing, and *ret_number untouched. */
struct evb__listener *evb__listener_by_id_locked(const evb_bus *bus, int64_t id, uint32_t *ret_number);
bool evb__listener_was_issued_locked(const evb_bus *bus,
                                     int64_t id); /* of a record that is not there any more */
int32_t evb__listener_priority(const struct evb__listener *listener);
bool evb__listener_before(const struct evb__listener *a, const struct evb__listener *b);
bool evb__listener_counts(const struct evb__listener *listener); /* not a monitor */
EVB__INLINE bool evb__listener_is_sink(const struct evb__listener *listener)
{
    return listener->extra != NULL && listener->extra->sink != NULL;
}
void evb__listeners_fini(evb_bus *bus);

/* owner.c */
int32_t evb__owner_add_locked(evb_bus *bus, struct evb__extra *extra);
void evb__owner_remove_locked(evb_bus *bus, struct evb__extra *extra);
struct evb__extra *evb__owner_first_locked(const evb_bus *bus, const void *owner);

/* listen.c: evb_listen, for a listener or a sink */
int64_t evb__register(evb_bus *bus, const char *pattern, const evb_listen_opts *opts, evb_handler fn,
                      void *user, struct evb__sink *sink);

/* snapshot.c */
extern struct evb__snapshot evb__closed_snapshot;
int32_t evb__dead_listener(const evb_event *event, void *user); /* what a removed entry calls: skips */
struct evb__entry *evb__snapshot_entries(struct evb__snapshot *snapshot);
/* Makes room for a listener in the topic's snapshot. *ret_block: a new block, complete with the listener, to
 * be committed or dropped; NULL when it fits in place. EVB_ENOMEM: nothing happened. */
int32_t evb__snapshot_prepare_locked(evb_bus *bus, evb_topic *topic, const struct evb__listener *listener,
                                     uint32_t number, struct evb__snapshot_block **ret_block);
void evb__snapshot_commit_locked(evb_bus *bus, evb_topic *topic, struct evb__listener *listener,
                                 uint32_t number, struct evb__snapshot_block *block);
bool evb__snapshot_fits_locked(const evb_bus *bus, evb_topic *topic, const struct evb__listener *listener);
void evb__snapshot_drop(struct evb__snapshot_block *block);
/* A block with the given listeners, sorted and without repetitions. NULL: no memory. */
struct evb__snapshot_block *evb__snapshot_make_locked(evb_bus *bus, evb_topic *topic, uint32_t *numbers,
                                                      uint32_t count);
/* The listener's entry in the topic's snapshot dies. Never fails. */
void evb__snapshot_kill_locked(evb_bus *bus, evb_topic *topic, const struct evb__listener *listener,
                               uint32_t number);
/* And those in limbo, which emits that began earlier run through: blocks that were replaced, and what topics
 * in limbo still have. */
void evb__snapshot_kill_limbo_locked(evb_bus *bus, uint32_t number);
void evb__snapshot_silence_limbo_locked(evb_bus *bus); /* every entry of theirs */
void evb__snapshot_close_locked(evb_bus *bus,
                                evb_topic *topic); /* from now on emits on it answer EVB_ECLOSED */
void evb__snapshot_free_left(evb_topic *topic);    /* with a topic that leaves limbo */
uint32_t evb__snapshot_count_locked(const evb_bus *bus, evb_topic *topic); /* live, monitors not counted */

/* topics.c */
evb_topic *evb__topic_find_locked(const evb_bus *bus, const char *name, size_t size);
int32_t evb__topic_make_locked(evb_bus *bus, const char *name, size_t size,
                               evb_topic **ret_topic);         /* finds or makes */
void evb__topic_settle_locked(evb_bus *bus, evb_topic *topic); /* removes the record when nobody needs it */
void evb__topic_free(evb_topic *topic);

/* remove.c */
/* false: a once that had fired already, whose removal this was. */
bool evb__listener_remove_locked(evb_bus *bus, struct evb__listener *listener, uint32_t number);
void evb__fired_remove_locked(evb_bus *bus); /* the onces that have fired */
/* For destroy: nobody is called any more and every listener is in limbo, but lists and tables are left as
 * they are. */
void evb__silence_locked(evb_bus *bus);

/* thunk.c */
int32_t evb__thunk(const evb_event *event, void *listener);

/* newcomer.c: a listener to which topics have something to show. */
int32_t evb__newcomer_ready(evb_bus *bus); /* EVB_OK: it may call listeners; EVB_ERECURSION, EVB_ENOMEM */
/* Announces the listener before anybody can remove it. */
struct evb__slot_entry *evb__newcomer_hold_locked(evb_bus *bus, const struct evb__listener *listener,
                                                  uint32_t number);
/* Calls it with all that is kept and lets it in; the bus may be gone afterwards. */
void evb__newcomer_show(evb_bus *bus, struct evb__listener *listener, struct evb__newcomer *newcomer,
                        struct evb__slot_entry *entry);

/* named_emit.c: the listeners, of those that were registered before. Answers how many it called. */
int32_t evb__emit_unlisted(evb_bus *bus, struct evb__slot *slot, struct evb__slot_entry *entry,
                           const struct evb__tokens *tokens, const evb_event *event, size_t registered);

/* publish.c: what an emit has to do that has met a snapshot with flags, or a name that queues may match. It
 * has announced itself in entry and leaves it when this has returned, but may not touch the bus any more. */
int32_t evb__emit_special(struct evb__slot *slot, struct evb__slot_entry *entry, evb_topic *topic,
                          struct evb__snapshot *snapshot, const void *data, size_t size);
int32_t evb__emit_special_unlisted(evb_bus *bus, struct evb__slot *slot, struct evb__slot_entry *entry,
                                   const struct evb__tokens *tokens, const void *data, size_t size);

/* error.c */
void evb__bus_error(evb_bus *bus, const evb_event *event, int32_t status);
/* Cold half of every loop over listeners: one answered non-zero. Answers 1 when the call does not count, else
 * reports it and answers 0. */
uint32_t evb__odd_answer(evb_bus *bus, const evb_event *event, int32_t answer);

#endif
