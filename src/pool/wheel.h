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
 * that this group of its tick names.
 *
 * Invariant: every timer inside has expiry >= now; in a slot of level 0 all have the same tick. Advancing to
 * the start of a slot of a higher level spreads that slot over the levels below, so each timer moves at most
 * LEVELS - 1 times. occupied[level] has a bit for every slot that is not empty. Threads: none; the caller's
 * lock. Allocates nothing: timers are the caller's.
 */
#ifndef EVB__POOL_WHEEL_H
#define EVB__POOL_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define EVB__WHEEL_LEVELS 8 /* of 6 bits: more milliseconds than an int64_t of nanoseconds has */
#define EVB__WHEEL_SLOTS  64

struct evb__wheel_entry {
    struct evb__wheel_entry *next, **prev; /* prev NULL: not in the wheel */
    uint64_t tick;
    uint16_t level_slot;
};

struct evb__wheel {
    uint64_t now; /* ticks below it have been expired */
    uint64_t occupied[EVB__WHEEL_LEVELS];
    struct evb__wheel_entry *slots[EVB__WHEEL_LEVELS][EVB__WHEEL_SLOTS];
};

void evb__wheel_init(struct evb__wheel *wheel, uint64_t now);

/* entry->tick is set; one in the past is due at once. The entry is not inside. */
void evb__wheel_add(struct evb__wheel *wheel, struct evb__wheel_entry *entry);
void evb__wheel_remove(struct evb__wheel *wheel, struct evb__wheel_entry *entry); /* inside */

/* The next entry whose tick is <= upto, taken out; NULL: none. Moves now forward to upto as it finds none. */
struct evb__wheel_entry *evb__wheel_expire(struct evb__wheel *wheel, uint64_t upto);

/* A tick at which evb__wheel_expire has something to do, not later than the earliest entry's; UINT64_MAX:
 * empty. */
uint64_t evb__wheel_next(const struct evb__wheel *wheel);

#endif
