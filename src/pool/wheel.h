/* SPDX-License-Identifier: MIT */
/* The timer wheel: which timers are due, in constant time for adding and taking out (Varghese, Lauck, SOSP
 * 1987, scheme 7: hierarchical wheels).
 *
 *      level 0   64 slots of 1 tick      ticks that share all but the lowest 6 bits with `now`
 *      level 1   64 slots of 64 ticks    ... all but the lowest 12
 *      ...
 *      level 7   64 slots of 64^7 ticks  ... all but the lowest 48: later ticks do not exist
 *
 * A timer stands at the level of the highest group of 6 bits in which its tick differs from now, in the slot
 * that this group of its tick names, behind those that were added before it.
 *
 * Invariant: every timer inside has tick >= now; in a slot of level 0 all have the same tick; timers of one
 * tick share a slot at any time, and keep their order. Advancing to the start of a slot of a higher level
 * spreads that slot over the levels below, so each timer moves at most LEVELS - 1 times. occupied[level] has
 * a bit for every slot that is not empty, levels one for every such level. Threads: none; the caller's lock.
 * Allocates nothing: entries are the caller's, and have numbers, so that what is looked at to take one out at
 * random, the entry and its two neighbours, is small enough for a cache.
 */
#ifndef EVB__POOL_WHEEL_H
#define EVB__POOL_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define EVB__WHEEL_LEVELS 8 /* of 6 bits: more milliseconds than an int64_t of nanoseconds has */
#define EVB__WHEEL_SLOTS  64
#define EVB__WHEEL_CHUNK  256u /* entries that lie together */
#define EVB__WHEEL_NONE   UINT32_MAX

struct evb__wheel_entry {
    uint32_t next, prev; /* numbers, or NONE */
    uint64_t tick;
    /* the caller's, who needs them wherever the wheel needs the others */
    uint32_t generation;
    uint8_t state, kind;
    bool canceled;
};

struct evb__wheel {
    uint64_t now; /* ticks below it have been expired */
    uint64_t occupied[EVB__WHEEL_LEVELS];
    uint32_t levels;
    struct {
        uint32_t first, last; /* of a slot that is occupied */
    } slot[EVB__WHEEL_LEVELS][EVB__WHEEL_SLOTS];
    struct evb__wheel_entry *const *chunk; /* the caller's: entry n is chunk[n / CHUNK][n % CHUNK] */
};

void evb__wheel_init(struct evb__wheel *wheel, uint64_t now, struct evb__wheel_entry *const *chunk);

/* The entry's tick is set; one in the past is due at once. The entry is not inside. Answers a tick at which
 * evb__wheel_expire has something to do for it, not later than its own. */
uint64_t evb__wheel_add(struct evb__wheel *wheel, uint32_t number);
/* Inside. Answers what evb__wheel_add would answer now if the slot has become empty, else UINT64_MAX: only
 * then may evb__wheel_next have changed, from this. */
uint64_t evb__wheel_remove(struct evb__wheel *wheel, uint32_t number);

/* The next entry whose tick is <= upto, taken out; NONE: none. Moves now forward to upto as it finds none. */
uint32_t evb__wheel_expire(struct evb__wheel *wheel, uint64_t upto);

/* A tick at which evb__wheel_expire has something to do, not later than the earliest entry's; UINT64_MAX:
 * empty. */
uint64_t evb__wheel_next(const struct evb__wheel *wheel);

#endif
