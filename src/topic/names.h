/* SPDX-License-Identifier: MIT */
/* The name table: from a topic's name to its record, for readers that take no lock.
 *
 * Open addressing, linear probing, one pointer a slot. Records are at least 16-aligned, so the low 4 bits of
 * a slot carry 4 bits of the hash: one probe in sixteen looks at a record in vain. EMPTY = 0, DEAD = 1. Each
 * record holds its full hash, length and bytes.
 *
 *      hash   0xac31a50b: high bits -> slot 5 (of 8), low bits -> tag b
 *      slot   0     1     2     3     4     5     6     7
 *             -     -     r7|2  -     -     r3|1  r1|b  dead     find: 5 wrong tag, 6 same tag, same name
 *
 * Invariant: a slot changes by one atomic store, so a reader sees the old record or the new one, and compares
 * the whole name; between the slot where a record's hash points and the record no slot is EMPTY, at any
 * moment, so a name that is in the table all the while is found. A record that left the table is retired by
 * its owner, the table itself when it is replaced. Live plus dead slots stay below two thirds. Threads: find
 * any (announced, base/reader.h), the rest under the owner's lock.
 */
#ifndef EVB__TOPIC_NAMES_H
#define EVB__TOPIC_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/hash.h"
#include "base/platform.h"
#include "topic/limbo.h"

/* What the table knows of a record; the owner embeds it at the record's start, followed somewhere by the
 * name. */
struct evb__named {
    uint32_t hash;        /* low 32 bits of evb__hash(name) under the table's seed */
    uint16_t size;        /* bytes of the name */
    uint16_t name_offset; /* from this struct to the bytes, which are NUL-terminated */
};

#define EVB__NAMES_EMPTY ((uintptr_t)0)
#define EVB__NAMES_DEAD  ((uintptr_t)1)
#define EVB__NAMES_TAG   ((uintptr_t)15)

struct evb__names_table {
    struct evb__limbo limbo;
    uint32_t slots; /* constant; any number */
    EVB__ATOMIC(uintptr_t) slot[];
};

struct evb__names {
    EVB__ATOMIC(struct evb__names_table *) table; /* NULL until the first reserve */
    struct evb__retirer retirer;
    uint64_t seed;
    uint32_t live, used; /* used: live + dead slots */
};

void evb__names_init(struct evb__names *names, uint64_t seed, struct evb__retirer retirer);
void evb__names_fini(struct evb__names *names);       /* frees the table, not the records */
int32_t evb__names_reserve(struct evb__names *names); /* room for one more insert: EVB_OK or EVB_ENOMEM */
/* After a reserve; the name is not there yet. Publishes the record (release). */
void evb__names_insert(struct evb__names *names, struct evb__named *record);
/* The record is there. May retire the table for a smaller one; without memory for that it stays. */
void evb__names_remove(struct evb__names *names, struct evb__named *record);
/* The counters against the table, O(1): for assertions. */
bool evb__names_valid(const struct evb__names *names);
/* Stops at non-zero and answers it. fn must not change the table. */
int32_t evb__names_each(const struct evb__names *names, int32_t (*fn)(struct evb__named *record, void *arg),
                        void *arg);

EVB__INLINE const char *evb__named_name(const struct evb__named *record)
{
    return (const char *)record + record->name_offset;
}

/* The table is not a power of two large: it would waste up to half its memory. The product's high half
 * spreads the hash over any number of slots by its high bits; the tag is the low ones. */
EVB__INLINE uint32_t evb__names_home(uint32_t hash, uint32_t slots)
{
    return (uint32_t)(((uint64_t)hash * slots) >> 32);
}

/* memcmp() == 0 without the call: names are short. Overlapping words for the tail, as in evb__hash. */
EVB__INLINE bool evb__names_same(const char *a, const char *b, size_t size)
{
    const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;

    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8)
            if (evb__read64(p + i) != evb__read64(q + i)) return false;
        return evb__read64(p + size - 8) == evb__read64(q + size - 8);
    }
    if (size >= 4) {
        return evb__read32(p) == evb__read32(q) && evb__read32(p + size - 4) == evb__read32(q + size - 4);
    }
    for (size_t i = 0; i < size; i++)
        if (p[i] != q[i]) return false;
    return true;
}

/* Inline: this is most of what an emit by name costs. Readers and writers. acquire: pairs with the release of
 * insert, of remove and of the table's publication in names.c. That a reader who comes after a removal does
 * not see what was removed is the announcement's business (base/reader.h, Orders), not these loads'. */
EVB__INLINE struct evb__named *evb__names_find(const struct evb__names *names, const char *name, size_t size,
                                               uint32_t hash)
{
    struct evb__names_table *table = evb__ld_acq(&names->table);
    uint32_t slots, i;

    if (evb__unlikely(table == NULL)) return NULL;
    slots = table->slots;
    for (i = evb__names_home(hash, slots);;) {
        uintptr_t slot = evb__ld_acq(&table->slot[i]);

        if (slot == EVB__NAMES_EMPTY) return NULL;
        if (((slot ^ hash) & EVB__NAMES_TAG) == 0 && slot != EVB__NAMES_DEAD) {
            struct evb__named *record = (void *)(slot & ~EVB__NAMES_TAG);

            if (record->hash == hash && record->size == size &&
                evb__names_same(evb__named_name(record), name, size))
                return record;
        }
        if (++i == slots) i = 0; /* ends: a third of the slots at least is EMPTY */
    }
}

#endif
