/* SPDX-License-Identifier: MIT */
/* Inside the explorer: its state and what its files ask of each other. Shapes do not include this.
 *
 *      explore.c          choices, scheduling, the search
 *      explore_memory.c   locations, stores, views, races; the atomics
 *      explore_heap.c     evb__alloc: blocks that are never reused within an execution
 *      explore_sync.c     mutex, park, barrier, threads, yield
 *      explore_system.c   clock, seed, log
 *      explore_trace.c    the schedule in words, the replay string
 *      explore_main.c     the command line
 *
 * Invariant: everything that outlives an execution is in `ex` (its own section) or behind its pointers; all
 * other static data of the program is put back before each execution.
 */
#ifndef EXPLORE_ENGINE_H
#define EXPLORE_ENGINE_H

#include <setjmp.h>
#include <ucontext.h>
#include "explore.h"
#include "explore_atomic.h"

enum {
    X_FIBERS = 8, /* 0 is the main fiber: setup and finish */
    X_STACK = 256 * 1024,
    X_ATOMICS = 2048, /* locations that were accessed atomically, an execution */
    X_LOCS = 8192,
    X_HASH = 16384,
    X_STORES = 32768,
    X_VIEW_WORDS = 8 << 20,
    X_CHOICES = 65536,
    X_BLOCKS = 4096,
    X_ARENA = 64 << 20,
    X_NAMES = 256,
    X_LOCAL = 256,
    X_STEPS = 20000, /* an execution that takes more is a livelock */
};

/* ---- views ---- */

/* What a thread knows: per fiber the epoch up to which it happened before, per location the oldest store it
 * may still read. int16_t, because that is what SSE2 can take the maximum of. */
struct x_view {
    int16_t clock[X_FIBERS];
    int16_t time[X_ATOMICS];
};

/* A view that a store, an unlock or a fence has released: as many locations as there were then. */
struct x_message {
    int16_t clock[X_FIBERS];
    int16_t count;
    int16_t time[];
};

struct x_store {
    uint64_t value;
    const struct x_message *message; /* NULL: releases nothing */
    uint32_t older;                  /* index of the store before it */
    int16_t time;
    uint8_t fiber;
};

/* ---- memory ---- */

enum x_access { X_PLAIN_WRITE, X_PLAIN_READ, X_ATOMIC_WRITE, X_ATOMIC_READ, X_ACCESSES };

struct x_loc {
    uintptr_t addr;
    struct x_block *block;               /* NULL: static memory or a stack */
    int16_t atomic;                      /* index in views; -1 = never accessed atomically */
    uint16_t size;                       /* of atomic accesses */
    uint32_t newest;                     /* index in ex.stores */
    uint8_t by[X_ACCESSES];              /* bit f: fiber f did so */
    int16_t epoch[X_ACCESSES][X_FIBERS]; /* when, by its own clock */
    const struct evb__x_site *last[X_ACCESSES];
    const struct x_message *unlocked; /* mutexes */
};

struct x_block {
    uintptr_t start;
    size_t size;
    bool freed;
    uint8_t fiber; /* that allocated it, and at which epoch of it */
    int16_t epoch;
};

/* ---- fibers ---- */

enum x_state { X_UNUSED, X_READY, X_LOCKING, X_PARKED, X_SPINNING, X_JOINING, X_WAITING, X_DONE };

struct x_fiber {
    jmp_buf at;
    ucontext_t start;
    void *stack;
    uint8_t id;
    bool fresh;   /* has no frames worth returning to: enter through start */
    bool resting; /* at the end of its loop, where the next execution picks it up */
    enum x_state state;
    void (*body)(void *arg);
    void *arg;

    bool turn_begins; /* it was just chosen and has done nothing since: another choice would be the same one
                         again */
    int stale_left, spurious_left;
    bool stale_since_yield;
    uint64_t own_writes, others_writes; /* see x_yield */
    uint32_t locks;
    bool no_memory;     /* evb__alloc_pause */
    struct x_loc *lock; /* X_LOCKING */
    const void *parked; /* X_PARKED */
    bool park_timed;
    int32_t park_result;
    uint8_t joining;                /* X_JOINING */
    int priority;                   /* PCT */
    const struct evb__x_site *site; /* last access: for deadlock reports */

    struct x_view view, pending,
        fenced; /* pending: read relaxed, not acquired; fenced: released by the last fence */
    bool has_fenced;
    _Alignas(16) unsigned char local[X_LOCAL];
};

/* ---- the whole ---- */

struct x_choice {
    uint8_t taken, options;
};

enum x_why { X_POINT, X_FREE_POINT, X_YIELD, X_BLOCK };

struct x_named {
    uintptr_t addr;
    size_t size;
    char text[48];
};

struct explore_state {
    /* the search */
    const struct explore_shape *shape;
    struct explore_how how;
    struct explore_result *result;
    struct x_choice *trail;
    uint32_t trail_length, trail_known; /* choices below trail_known are replayed */
    uint64_t rng;
    uint32_t switches, switches_most, change_at[3];
    int lowest_priority;
    jmp_buf home;

    /* one execution */
    bool active, exploring;
    uint32_t execution; /* stamps the hash */
    uint32_t steps;
    int preempted;
    bool refused; /* the barrier */
    struct x_fiber *fibers, *cur;
    unsigned shape_threads, shape_running;
    uint8_t enabled, spinning; /* bits by fiber */
    uint64_t writes;

    /* memory */
    struct {
        uint32_t execution;
        uint32_t loc;
    } * hash;
    struct x_loc *locs;
    uint32_t loc_count;
    int16_t atomic_count;
    struct x_store *stores;
    uint32_t store_count;
    int16_t *words; /* messages */
    uint32_t word_count;
    int16_t sc[X_ATOMICS]; /* what SC stores and fences have made known to SC loads and fences */

    unsigned char *arena;
    size_t arena_used;
    struct x_block *blocks;
    uint32_t block_count;

    /* words */
    struct x_named *names;
    uint32_t name_count;
    uint32_t trace_line;

    /* static data of the program */
    unsigned char *pristine, *signal_stack;
    int64_t now;
};

extern struct explore_state ex;

#define X_BIT(f) ((uint8_t)(1u << (f)->id))

/* explore.c */
_Noreturn void x_bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
unsigned x_choose(unsigned options); /* 0 is the tame one: newest store, no surprise */
void x_reschedule(enum x_why why);   /* returns when the calling fiber goes on */
struct x_fiber *x_spawn(void (*body)(void *arg), void *arg);
static inline void x_point(void)
{
    if (++ex.steps > X_STEPS) x_bug("livelock: more than %d steps in one execution", X_STEPS);
    if (ex.exploring && !ex.cur->turn_begins && (ex.enabled & (ex.enabled - 1)) != 0) x_reschedule(X_POINT);
    ex.cur->turn_begins = false;
}

/* explore_memory.c */
void x_memory_reset(void);
struct x_loc *x_loc(const void *addr, const struct evb__x_site *site);
const struct x_message *x_release(struct x_fiber *f);
void x_acquire(struct x_view *view, const struct x_message *message);
void x_view_join(struct x_view *view, const struct x_view *other);
void x_fence(struct x_fiber *f);
void x_wrote(struct x_fiber *f);
uint32_t x_word(struct x_fiber *f, const uint32_t *word); /* its newest value, as a futex call reads it */
void x_check_free(struct x_block *block);

/* explore_heap.c */
void x_heap_reset(void);
void x_heap_check_leaks(void);
struct x_block *x_block_of(const void *addr);

/* explore_trace.c */
#define x_trace(...)                                                                                         \
    do {                                                                                                     \
        if (__builtin_expect(ex.how.schedule != NULL, 0)) x_trace_line(__VA_ARGS__);                         \
    } while (0)
void x_trace_line(const struct evb__x_site *site, const void *addr, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *x_describe(const void *addr, char *buf, size_t size);
const char *x_base(const char *path); /* its last part */
const char *x_fiber_name(const struct x_fiber *f);
char *x_replay_write(void);
bool x_replay_read(const char *text);

#endif
