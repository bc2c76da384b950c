/* SPDX-License-Identifier: MIT */
/* Who is reading what: the per-thread slots that make it safe to free what an emit may still be looking at.
 *
 * Every thread that emits owns one slot. Entering an emit announces a *hazard* (the topic, or the bus while a
 * name is looked up) at the thread's nesting depth; leaving clears it and steps that depth's generation.
 * Nobody locks, counts or waits on the way in or out. A writer first makes the thing unreachable, then
 * evb__readers_observe() puts a barrier into every running reader and *stamps* each emit under way with a
 * ticket: the number of the observation that first saw it. Garbage carries the ticket of the observation
 * after it became unreachable.
 *
 *      slot of thread 1          depth   0        1        2   ...  7        8 (every deeper emit)
 *      announced by the reader   hazard  topic A  topic B  -        -        -
 *                                gen     17       4        0        0        0
 *      written by the observer   seen    17:#90   4:#93        emit 17 was seen first by observation 90
 *
 * Invariant: garbage with ticket n is free of a reader when no slot shows a matching hazard whose emit
 * carries a stamp <= n. An emit seen first after n began after the thing was unreachable, so it delays
 * nothing: a busy topic cannot starve its writers, and a long callback on one topic cannot delay garbage of
 * another. A reader in the way is *marked*; it finds the mark when it leaves and does the waiting work
 * itself. Generations are per depth: a nested emit that ends says nothing about the outer one. Threads:
 * enter/leave only the slot's owner; everything called *_observe, *_blocked, *_mark under
 * evb__readers_lock().
 *
 * Orders (both back ends of barrier.h), R = reader, W = writer:
 *      asymmetric:  R  st.rel hazard; compiler barrier; look around    W  unlink; heavy barrier; ld hazard
 *      otherwise:   R  xchg.acqrel hazard; look around      W  unlink; fetch_add.acqrel(hazard, 0)
 *
 * In the second both sides modify the same word: either W's operation comes later and sees the hazard, or
 * R's comes later and has synchronized with W's, so R cannot see what was unlinked, whatever the order of its
 * loads. The same pair serves for leaving: R clears the hazard, then looks at its mark; W marks, then looks
 * at the hazard again.
 */
#ifndef EVB__BASE_READER_H
#define EVB__BASE_READER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/barrier.h"
#include "base/platform.h"

/* The explorer compiles with smaller ones, so that a pass over the slots stays short. */
#ifndef EVB__READER_DEPTHS
#define EVB__READER_DEPTHS 8  /* emits nested deeper share one entry that names everything */
#define EVB__READER_STATIC 64 /* slots that need no allocation; beyond, chunks of as many */
#endif
#define EVB__HELD_MAX   32 /* what an emit by name gathers at a time */
#define EVB__HOLDS_ALL  UINT32_MAX
#define EVB__EMIT_DEPTH 64 /* SEMANTICS 1.1: a deeper nested emit answers EVB_ERECURSION */

#define EVB__HAZARD_ALL ((uintptr_t)1) /* no object has this address */

/* One nesting depth. Together, so that an emit that is not nested stays in one cache line of its slot. */
struct evb__slot_entry {
    EVB__ATOMIC(uintptr_t) hazard;
    EVB__ATOMIC(void *) mark; /* who wants to be told when this depth leaves */
    EVB__ATOMIC(uint32_t) gen;
    /* how many of held[] an emit by name still holds; EVB__HOLDS_ALL while it is looking around */
    EVB__ATOMIC(uint32_t) holds;
};

struct evb__slot {
    /* the owner's: entry[] is loaded by observers */
    /* the entry of the next emit: entry + how many are under way, up to EVB__READER_DEPTHS */
    struct evb__slot_entry *top;
    /* before it plain stores announce: all but the deep entry, or none without heavy barrier */
    EVB__ATOMIC(struct evb__slot_entry *) plain_end;
    uint32_t deep; /* emits under way beyond those */
    bool skipped;  /* the call that just returned was none, bus/bus.h */
    void *running; /* innermost tracked listener call, bus/thunk.c */
    struct evb__slot_entry entry[EVB__READER_DEPTHS + 1];

    /* the observers': under the readers' lock */
    uint32_t seen_gen[EVB__READER_DEPTHS + 1];
    uint64_t seen_ticket[EVB__READER_DEPTHS + 1]; /* 0: this entry was never seen in use */

    EVB__ATOMIC(uint32_t) used; /* claimed by a thread */

    /* what an emit by name holds, beside the entries: numbers of listeners; bus/named_emit.c */
    EVB__ATOMIC(uint32_t) held[EVB__READER_DEPTHS + 1][EVB__HELD_MAX];
};

/* What a thread knows of itself. generation equals that of every object made in this process image; after
 * fork the child's differs from all it inherited, and before the first emit it is 0: one comparison covers
 * both. */
struct evb__self {
    struct evb__slot *slot;
    uint32_t generation;
    uint32_t number;    /* of the slot: small, and no other living thread's; valid with it */
    uint32_t callbacks; /* hooks, free_user, iteration callbacks of this thread: waiting is refused inside */
    void *deferred;     /* buses destroyed inside a callback, finished when the outermost returns */
    bool no_memory;     /* evb__alloc_pause */
    bool quiet;         /* what there is to log waits: others wait for this thread (bus/persist.c) */
    void *worker;       /* of a pool, pool/pool.h; NULL: none of ours */
    const void *serves; /* a bus, one of whose queues' handlers runs here; NULL: none */
    void *owed;         /* a mark that gave way to the thread's own, see bus.c */
};

#ifdef EVB__EXPLORE
#define evb__self() ((struct evb__self *)evb__explore_local(sizeof(struct evb__self)))
#else
extern EVB__TLS_MODEL _Thread_local struct evb__self evb__self_storage;
#define evb__self() (&evb__self_storage)
#endif

/* Before the first object: barrier choice, fork handlers, key for thread exit; again is nothing. serve gets
 * every mark that a vanishing thread left unserved, finish what a thread deferred when its outermost callback
 * is over; NULL, both: the caller leaves no marks and defers nothing. EVB_OK, or EVB_ENOMEM when the system
 * has no thread key left (a later call tries again). */
int32_t evb__readers_init(void (*serve)(void *mark), void (*finish)(struct evb__self *self));

/* Written before the first object and in a forked child, by the only thread there is. */
extern uint32_t evb__generation_now;
EVB__INLINE uint32_t evb__process_generation(void) /* steps in a forked child; never 0 after init */
{
    return evb__generation_now;
}

/* The cold half of the generation check: gives this thread its slot. EVB_EFORKED when the object is of the
 * parent process, EVB_ENOMEM when a 65th simultaneous thread cannot get one. */
int32_t evb__reader_ready(struct evb__self *self, uint32_t object_generation);

/* Emits under way on the slot's thread. */
EVB__INLINE uint32_t evb__slot_depth(const struct evb__slot *slot)
{
    return (uint32_t)(slot->top - slot->entry) + slot->deep;
}

/* The entry of the innermost emit; one is under way. */
EVB__INLINE uint32_t evb__slot_current(const struct evb__slot *slot)
{
    return slot->deep != 0 ? EVB__READER_DEPTHS : (uint32_t)(slot->top - slot->entry) - 1;
}

/* Announces hazard by plain stores. NULL: not possible here (nested too deep, or no heavy barrier); take
 * evb__reader_enter. */
EVB__INLINE struct evb__slot_entry *evb__reader_enter_plain(struct evb__slot *slot, uintptr_t hazard)
{
    struct evb__slot_entry *entry = slot->top;

    /* relaxed: constant once the slot is claimed */
    if (evb__unlikely(entry >= evb__ld_rlx(&slot->plain_end))) return NULL;
    slot->top = entry + 1;
    /* release: an observer that reads this hazard reads the holds of this emit or later. Pairs with look
     * (reader.c). */
    evb__st_rel(&entry->hazard, hazard);
    evb__compiler_barrier(); /* pairs with evb__barrier_heavy in evb__readers_observe */
    return entry;
}

/* Answers the mark found, which evb__reader_take_mark must then take, or NULL. */
EVB__INLINE void *evb__reader_leave_plain(struct evb__slot *slot, struct evb__slot_entry *entry)
{
    slot->top = entry;
    /* release: all reads of this emit come first; pairs with look */
    evb__st_rel(&entry->hazard, (uintptr_t)0);
    evb__st_rel(&entry->gen, evb__ld_rlx(&entry->gen) + 1); /* the owner alone writes it; release as above */
    evb__compiler_barrier();                                /* pairs with evb__readers_settle */
    return evb__ld_rlx(&entry->mark);                       /* a hint; taken by exchange */
}

/* NULL when the marker has taken it back in the meantime. */
EVB__INLINE void *evb__reader_take_mark(struct evb__slot_entry *entry)
{
    /* one side takes it; pairs with the CAS in evb__readers_unmark */
    return evb__xchg_acqrel(&entry->mark, NULL);
}

/* Any depth, either back end. The caller has checked evb__slot_depth() < EVB__EMIT_DEPTH. Answers the entry,
 * which leave wants back. */
struct evb__slot_entry *evb__reader_enter(struct evb__slot *slot, uintptr_t hazard);
void *evb__reader_leave(struct evb__slot *slot, struct evb__slot_entry *entry); /* the mark, taken, or NULL */

/* The same emit goes on to protect something else (name looked up: from the bus to its topic). What the old
 * hazard protected must not be touched any more. The entry for deep emits names everything already. */
EVB__INLINE void evb__reader_move_plain(struct evb__slot_entry *entry, uintptr_t hazard)
{
    evb__st_rel(&entry->hazard, hazard); /* as in enter */
    evb__compiler_barrier();
}

EVB__INLINE void evb__reader_move(struct evb__slot *slot, struct evb__slot_entry *entry, uintptr_t hazard)
{
    if (entry < evb__ld_rlx(&slot->plain_end)) { /* as in enter */
        evb__reader_move_plain(entry, hazard);
    } else if (entry != &slot->entry[EVB__READER_DEPTHS]) {
        (void)evb__xchg_acqrel(&entry->hazard, hazard); /* as in enter */
    }
}

/* For an emit that announces its bus: does it hold number, or (number 0) is it still looking around? */
bool evb__reader_holds(const struct evb__slot *slot, uint32_t entry, uint32_t number);

/* ---- callbacks of this thread that are no listeners: hooks, free_user, log and iteration functions ---- */

EVB__INLINE bool evb__in_callback(const struct evb__self *self)
{
    return self->callbacks != 0 || (self->slot != NULL && self->slot->top != self->slot->entry);
}

void evb__callback_begin(struct evb__self *self);
void evb__callback_end(struct evb__self *self); /* the outermost finishes what was deferred */

/* ---- writers ---- */

void evb__readers_lock(void);
void evb__readers_unlock(void);

/* A barrier into every reader, then stamps what is under way. Answers the ticket for everything made
 * unreachable before the call. */
uint64_t evb__readers_observe(void);

/* Which emits are in the way of some garbage: those stamped <= ticket for which covers() is true. covers sees
 * only hazards != 0, EVB__HAZARD_ALL included. */
struct evb__readers_query {
    bool (*covers)(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg);
    const void *arg;
    uint64_t ticket;
};
bool evb__readers_blocked(const struct evb__readers_query *query);

/* Telling those emits that somebody waits, in three steps under one lock: mark them all; settle; then ask
 * blocked again. Blocked now means that the mark will be found, and unmark takes back those that came too
 * late. A mark is owed exactly one service: by the leaving emit, by thread exit, or by unmark's caller. An
 * entry has room for one marker: only the deep entry, which names every bus, can be taken by another one;
 * then mark sets *ret_refused and the caller must look again by itself. */
uint32_t evb__readers_mark(const struct evb__readers_query *query, void *marker,
                           bool *ret_refused); /* new marks */
void evb__readers_settle(void);
uint32_t evb__readers_unmark(const void *marker); /* marks taken back */

/* Thread exit (pthread key destructor; the explorer calls it itself). Clears what a thread that vanished
 * inside a callback left. */
void evb__reader_thread_exit(struct evb__self *self);

#endif
