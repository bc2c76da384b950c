/* SPDX-License-Identifier: MIT */
/* Reader slots: claiming them, observing them, and what fork and thread exit do to them. */
#include "base/reader.h"

#include "evbus/base.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/park.h"
#include "base/thread.h"

#include <string.h>

/* Slots never move and are never given back to the allocator: an observer may look at any of them at any
 * time. */
struct slot_chunk {
    struct evb__slot slots[EVB__READER_STATIC];
    EVB__ATOMIC(struct slot_chunk *) next;
};

static struct {
    struct slot_chunk first;
    EVB__ATOMIC(uint32_t) high; /* slots [0, high) have been claimed at some time */
    struct evb__mutex lock;     /* stamps, tickets, marks */
    uint64_t ticket;
    void (*serve)(void *mark);
    void (*finish)(struct evb__self *self);
} readers = {.lock = EVB__MUTEX_INIT};

uint32_t evb__generation_now = 1;

#ifndef EVB__EXPLORE
EVB__TLS_MODEL _Thread_local struct evb__self evb__self_storage;
#endif

void evb__readers_lock(void)
{
    evb__mutex_lock(&readers.lock);
}

void evb__readers_unlock(void)
{
    evb__mutex_unlock(&readers.lock);
}

/* The slot with this index, or NULL where its chunk does not exist (yet). */
static struct evb__slot *slot_at(uint32_t index)
{
    struct slot_chunk *chunk = &readers.first;

    for (; index >= EVB__READER_STATIC && chunk != NULL; index -= EVB__READER_STATIC)
        chunk = evb__ld_acq(&chunk->next); /* pairs with append_chunk's CAS: the zeroed chunk */
    return chunk != NULL ? &chunk->slots[index] : NULL;
}

/* Sees to it that slot `index` exists. Of threads that need it at the same time one adds the chunk. */
static int32_t append_chunk(uint32_t index)
{
    struct slot_chunk *chunk, *tail = &readers.first, *next;

    while ((next = evb__ld_acq(&tail->next)) != NULL) /* pairs with the CAS below */
        tail = next;
    if (slot_at(index) != NULL) return EVB_OK; /* another thread has been here since the caller looked */
    chunk = evb__zalloc(sizeof *chunk, EVB__CACHE_LINE);
    if (chunk == NULL) return EVB_ENOMEM;
    /* release: the zeroes; pairs with slot_at */
    if (!evb__cas_acqrel(&tail->next, &next, chunk)) evb__free(chunk, sizeof *chunk);
    return EVB_OK;
}

/* Lock-free, because it happens inside a thread's first emit. */
static int32_t claim_slot(struct evb__slot **ret_slot, uint32_t *ret_number)
{
    for (uint32_t i = 0;; i++) {
        struct evb__slot *slot = slot_at(i);
        uint32_t unused = 0, high;

        if (slot == NULL) {
            if (append_chunk(i) != EVB_OK) return EVB_ENOMEM;
            slot = slot_at(i);
        }
        /* acquire: what the thread before us left; pairs with the release in evb__reader_thread_exit */
        if (!evb__cas_acqrel(&slot->used, &unused, 1)) continue;
        slot->top = slot->entry; /* the owner before may have vanished in a fork, in the middle of an emit */
        slot->deep = 0;
        slot->skipped = false;
        slot->running = NULL;
        for (uint32_t d = 0; d <= EVB__READER_DEPTHS; d++)
            evb__st_rlx(&slot->entry[d].holds, EVB__HOLDS_ALL); /* published by the hazard's release store */
        /* Before the first hazard: an observer that misses the new height comes before us, as with a hazard.
         * Pairs with height(). */
        /* acquire also where another thread has raised it: the chain is what orders us */
        high = evb__ld_acq(&readers.high);
        while (high <= i && !evb__cas_sc(&readers.high, &high, i + 1)) {
        }
        evb__st_rlx(&slot->plain_end, slot->entry + (evb__barrier_asymmetric() ? EVB__READER_DEPTHS : 0));
        *ret_slot = slot;
        *ret_number = i;
        return EVB_OK;
    }
}

/* ---- the reader's cold half ---- */

struct evb__slot_entry *evb__reader_enter(struct evb__slot *slot, uintptr_t hazard)
{
    struct evb__slot_entry *entry = evb__reader_enter_plain(slot, hazard);

    if (entry != NULL) return entry;
    entry = slot->top;
    if (entry == &slot->entry[EVB__READER_DEPTHS]) {
        if (slot->deep++ != 0) return entry; /* it already names everything */
        hazard = EVB__HAZARD_ALL;
    } else {
        slot->top = entry + 1;
    }
    (void)evb__xchg_acqrel(&entry->hazard, hazard); /* full strength for both back ends; pairs with look */
    return entry;
}

void *evb__reader_leave(struct evb__slot *slot, struct evb__slot_entry *entry)
{
    if (entry == &slot->entry[EVB__READER_DEPTHS]) {
        if (--slot->deep != 0) return NULL; /* an outer emit still holds the entry */
    } else {
        slot->top = entry;
    }
    /* pairs with look, which follows marking: ordered by the word itself */
    (void)evb__xchg_acqrel(&entry->hazard, (uintptr_t)0);
    evb__st_rel(&entry->gen, evb__ld_rlx(&entry->gen) + 1); /* as in evb__reader_leave_plain */
    evb__compiler_barrier();
    /* a hint, then the exchange */
    return evb__ld_rlx(&entry->mark) != NULL ? evb__reader_take_mark(entry) : NULL;
}

bool evb__reader_holds(const struct evb__slot *slot, uint32_t entry, uint32_t number)
{
    /* pairs with hold_only in bus/named_emit.c: the walk is over */
    uint32_t holds = evb__ld_acq(&slot->entry[entry].holds);

    if (holds == EVB__HOLDS_ALL) return true;
    for (uint32_t i = 0; i < holds && number != 0; i++)
        if (evb__ld_rlx(&slot->held[entry][i]) == number) return true; /* written before holds */
    return false;
}

void evb__callback_begin(struct evb__self *self)
{
    self->callbacks++;
}

void evb__callback_end(struct evb__self *self)
{
    self->callbacks--;
    if (evb__unlikely(self->deferred != NULL) && !evb__in_callback(self)) readers.finish(self);
}

/* What readers announce, seen after the heavy barrier or, without one, by a read-modify-write of the same
 * word (reader.h, Orders). acquire in both: pairs with the release of leave, so that what is freed next has
 * been read. */
static uintptr_t look(EVB__ATOMIC(uintptr_t) *hazard)
{
    return evb__barrier_asymmetric() ? evb__ld_acq(hazard) : evb__add_acqrel(hazard, (uintptr_t)0);
}

static uint32_t height(void)
{
    /* as look */
    return evb__barrier_asymmetric() ? evb__ld_acq(&readers.high) : evb__add_acqrel(&readers.high, 0u);
}

/* An emit that an observer sees: its slot and entry, what it announces, and the generation that goes with it.
 */
struct seen {
    struct evb__slot *slot;
    uint32_t entry, gen;
    uintptr_t hazard;
};

/* Calls fn for every announced hazard; stops when it answers true, and answers that. */
static bool for_each_entry(bool (*fn)(const struct seen *seen, void *arg), void *arg)
{
    uint32_t high = height();

    for (uint32_t i = 0; i < high; i++) {
        struct seen seen = {.slot = slot_at(i)};

        for (seen.entry = 0; seen.entry <= EVB__READER_DEPTHS; seen.entry++) {
            /* Hazard first, generation second: the generation read is then that of the emit that announced
             * the hazard, or a later one. */
            seen.hazard = look(&seen.slot->entry[seen.entry].hazard);
            if (seen.hazard == 0) continue;
            seen.gen = evb__ld_acq(&seen.slot->entry[seen.entry].gen); /* pairs with leave's release store */
            if (fn(&seen, arg)) return true;
        }
    }
    return false;
}

static bool stamp(const struct seen *seen, void *arg)
{
    struct evb__slot *slot = seen->slot;

    /* Gone between the look at its hazard and the look at its generation? Then that generation is of an emit
     * that has not begun, and a stamp now would make it one that was under way. */
    if (look(&slot->entry[seen->entry].hazard) == 0) return false;
    if (slot->seen_ticket[seen->entry] == 0 || slot->seen_gen[seen->entry] != seen->gen) {
        slot->seen_gen[seen->entry] = seen->gen;
        slot->seen_ticket[seen->entry] = *(const uint64_t *)arg;
    }
    return false;
}

/* The kernel may take the heavy barrier away after start-up (a seccomp filter installed later). What is left
 * is time: a reader between its plain announcement and its loads has at most a store in its processor's
 * buffer, which becomes visible in finite time (C11 7.17.3p16; nanoseconds on real processors, and any
 * interrupt does it). So each observation then waits a hundredth of a second. */
static void heavy(void)
{
    static EVB__ATOMIC(uint32_t) nobody;

    if (evb__likely(evb__barrier_heavy() == EVB_OK)) return;
    while (evb__park(&nobody, 0, 10000000) != EVB_ETIMEDOUT) {
    }
}

uint64_t evb__readers_observe(void)
{
    heavy();
    readers.ticket++;
    (void)for_each_entry(stamp, &readers.ticket);
    return readers.ticket;
}

static bool in_the_way(const struct seen *seen, const struct evb__readers_query *query)
{
    const struct evb__slot *slot = seen->slot;
    uint64_t ticket = slot->seen_ticket[seen->entry];

    if (ticket == 0 || ticket > query->ticket || slot->seen_gen[seen->entry] != seen->gen) return false;
    if (!query->covers(seen->hazard, slot, seen->entry, query->arg)) return false;
    /* covers may have read what the next emit holds: then this one is gone. Within one emit what it holds
     * only shrinks. Pairs with leave. */
    return evb__ld_acq(&slot->entry[seen->entry].gen) == seen->gen;
}

static bool blocks(const struct seen *seen, void *arg)
{
    return in_the_way(seen, arg);
}

bool evb__readers_blocked(const struct evb__readers_query *query)
{
    struct evb__readers_query q = *query;

    return for_each_entry(blocks, &q);
}

struct marking {
    const struct evb__readers_query *query;
    void *marker;
    uint32_t count;
    bool refused;
};

static bool put_mark(const struct seen *seen, void *arg)
{
    struct marking *m = arg;
    void *none = NULL;

    if (!in_the_way(seen, m->query)) return false;
    /* release: what the marker points at; pairs with the exchange that takes the mark. That the mark is found
     * is settled afterwards. */
    if (evb__cas_sc(&seen->slot->entry[seen->entry].mark, &none, m->marker))
        m->count++;
    else if (none != m->marker)
        m->refused = true;
    return false;
}

uint32_t evb__readers_mark(const struct evb__readers_query *query, void *marker, bool *ret_refused)
{
    struct marking m = {.query = query, .marker = marker};

    (void)for_each_entry(put_mark, &m);
    if (m.refused) *ret_refused = true;
    return m.count;
}

void evb__readers_settle(void)
{
    heavy(); /* pairs with the compiler barrier in leave */
}

uint32_t evb__readers_unmark(const void *marker)
{
    uint32_t high = height(), taken = 0;

    for (uint32_t i = 0; i < high; i++) {
        struct evb__slot *slot = slot_at(i);

        for (uint32_t d = 0; d <= EVB__READER_DEPTHS; d++) {
            void *mark = evb__ld_rlx(&slot->entry[d].mark); /* a hint: the CAS decides */

            if (mark != marker) continue;
            if (look(&slot->entry[d].hazard) != 0 && evb__ld_acq(&slot->entry[d].gen) == slot->seen_gen[d])
                continue;
            if (evb__cas_acqrel(&slot->entry[d].mark, &mark, NULL))
                taken++; /* against the xchg in leave: one takes it */
        }
    }
    return taken;
}

void evb__reader_thread_exit(struct evb__self *self)
{
    struct evb__slot *slot = self->slot;
    void *mark;

    if (slot == NULL) return;
    /* pthread_exit inside a callback: its emits are gone, so are their claims. Entries above the depth
     * reached are clear already. */
    for (uint32_t d = EVB__READER_DEPTHS + 1; d-- > 0;) {
        if (evb__ld_rlx(&slot->entry[d].hazard) != 0) {
            (void)evb__xchg_acqrel(&slot->entry[d].hazard, (uintptr_t)0);           /* as in leave */
            evb__st_rel(&slot->entry[d].gen, evb__ld_rlx(&slot->entry[d].gen) + 1); /* as in leave */
        }
    }
    slot->top = slot->entry;
    slot->deep = 0;
    slot->running = NULL;
    self->callbacks = 0;
    for (uint32_t d = 0; d <= EVB__READER_DEPTHS; d++) {
        mark = evb__xchg_acqrel(&slot->entry[d].mark, NULL); /* as in leave */
        if (mark != NULL && readers.serve != NULL) readers.serve(mark);
    }
    if (self->deferred != NULL) readers.finish(self);
    self->slot = NULL;
    self->generation = 0;
    evb__st_rel(&slot->used, 0); /* pairs with the CAS in claim_slot */
}

#ifdef EVB__EXPLORE

int32_t evb__readers_init(void (*serve)(void *mark), void (*finish)(struct evb__self *self))
{
    if (serve != NULL) readers.serve = serve;
    if (finish != NULL) readers.finish = finish;
    return EVB_OK;
}

static void exit_register(void)
{
}

#else

#include <pthread.h>

static struct {
    struct evb__mutex lock;
    bool done;
    pthread_key_t key;
} start = {.lock = EVB__MUTEX_INIT};

static void on_thread_exit(void *self)
{
    evb__reader_thread_exit(self);
}

/* The destructor of the key runs only for threads that have set a value. */
static void exit_register(void)
{
    /* Failure (no memory, or the library is being unloaded) costs the slot when the thread ends, nothing
     * else. */
    (void)pthread_setspecific(start.key, evb__self());
}

static void fork_prepare(void)
{
    evb__mutex_lock(&start.lock);
    evb__readers_lock();
}

static void fork_parent(void)
{
    evb__readers_unlock();
    evb__mutex_unlock(&start.lock);
}

/* The child has one thread, this one. It keeps its own slot (it may be inside callbacks whose frames return
 * here); the others vanished, and what they announced or were owed with them. A new generation makes every
 * inherited object answer EVB_EFORKED. */
static void fork_child(void)
{
    struct evb__self *self = evb__self();
    uint32_t high = evb__ld_rlx(&readers.high); /* one thread: no partner */

    for (uint32_t i = 0; i < high; i++) {
        struct evb__slot *slot = slot_at(i);

        for (uint32_t d = 0; d <= EVB__READER_DEPTHS; d++) {
            evb__st_rlx(&slot->entry[d].mark, NULL); /* one thread */
            if (slot != self->slot) evb__st_rlx(&slot->entry[d].hazard, (uintptr_t)0);
        }
        if (slot != self->slot) evb__st_rlx(&slot->used, 0); /* one thread */
    }
    evb__generation_now = evb__generation_now == UINT32_MAX ? 1 : evb__generation_now + 1;
    self->generation = self->slot != NULL ? evb__generation_now : 0;
    self->deferred = self->owed = NULL;
    evb__barrier_init();
    evb__park_after_fork();
    evb__log_after_fork();
    fork_parent();
}

int32_t evb__readers_init(void (*serve)(void *mark), void (*finish)(struct evb__self *self))
{
    int32_t status = EVB_OK;

    evb__mutex_lock(&start.lock);
    /* Once: threads that have a mark or something deferred read them. */
    if (serve != NULL && readers.serve == NULL) readers.serve = serve;
    if (finish != NULL && readers.finish == NULL) readers.finish = finish;
    if (!start.done) {
        evb__barrier_init();
        if (pthread_key_create(&start.key, on_thread_exit) != 0) {
            status = EVB_ENOMEM;
        } else if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0) {
            (void)pthread_key_delete(start.key);
            status = EVB_ENOMEM;
        } else {
            start.done = true;
        }
    }
    evb__mutex_unlock(&start.lock);
    return status;
}

#if defined(__GNUC__)
/* dlclose: threads that exit later must not jump into code that is gone. glibc drops the fork handlers by
 * itself. */
__attribute__((destructor)) static void unload(void)
{
    if (start.done) (void)pthread_key_delete(start.key);
}
#endif

#endif /* EVB__EXPLORE */

int32_t evb__reader_ready(struct evb__self *self, uint32_t object_generation)
{
    struct evb__slot *slot = NULL;

    if (object_generation != evb__generation_now) return EVB_EFORKED;
    if (self->slot == NULL) {
        if (claim_slot(&slot, &self->number) != EVB_OK) return EVB_ENOMEM;
        self->slot = slot;
        exit_register();
    }
    self->generation = evb__generation_now;
    return EVB_OK;
}
