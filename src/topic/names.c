/* SPDX-License-Identifier: MIT */
/* The name table's writers: insert, remove, and rebuilding into another table. */
#include "topic/names.h"

#include <evbus/base.h>
#include "base/alloc.h"

/* Up to this many slots (16 000 names) a table is roomy: its memory is little, and at 10 000 names a find
 * takes 15 ns instead of 20, one that finds nothing 13 instead of 31. Above, a name costs 12 to 16 bytes: a
 * rebuild makes the table half full, and at two thirds the next one is due. */
#define SMALL_SLOTS 65536
#define MIN_SLOTS   32

/* How many slots may be other than EMPTY. */
static uint32_t limit(uint32_t slots)
{
    return slots <= SMALL_SLOTS ? slots / 2 : slots - slots / 3 - 1;
}

static uint64_t slots_for(uint64_t names)
{
    if (names * 4 <= MIN_SLOTS) return MIN_SLOTS;
    if (names * 4 <= SMALL_SLOTS) return names * 4;
    if (names * 2 <= SMALL_SLOTS) return SMALL_SLOTS + 1; /* not small: two thirds of it may be used */
    return names * 2;
}

static size_t table_bytes(uint32_t slots)
{
    return sizeof(struct evb__names_table) + slots * sizeof(((struct evb__names_table *)0)->slot[0]);
}

static void free_table(struct evb__limbo *limbo)
{
    struct evb__names_table *table = EVB__CONTAINER(limbo, struct evb__names_table, limbo);

    evb__free(table, table_bytes(table->slots));
}

static struct evb__named *record_of(uintptr_t slot)
{
    return (void *)(slot & ~EVB__NAMES_TAG);
}

static uintptr_t slot_of(const struct evb__named *record)
{
    evb__assert(((uintptr_t)record & EVB__NAMES_TAG) == 0);
    return (uintptr_t)record | (record->hash & EVB__NAMES_TAG);
}

static uint32_t after(const struct evb__names_table *table, uint32_t i)
{
    return i + 1 == table->slots ? 0 : i + 1;
}

static uint32_t before(const struct evb__names_table *table, uint32_t i)
{
    return i == 0 ? table->slots - 1 : i - 1;
}

/* The table as its only writer sees it. Relaxed here and below: the owner's lock orders writers among each
 * other. */
static struct evb__names_table *own(const struct evb__names *names)
{
    return evb__ld_rlx(&names->table);
}

bool evb__names_valid(const struct evb__names *names)
{
    struct evb__names_table *table = own(names);

    if (!table) return names->live == 0 && names->used == 0;
    return names->live <= names->used && names->used <= limit(table->slots);
}

void evb__names_init(struct evb__names *names, uint64_t seed, struct evb__retirer retirer)
{
    evb__init(&names->table, NULL);
    names->retirer = retirer;
    names->seed = seed;
    names->live = names->used = 0;
}

void evb__names_fini(struct evb__names *names)
{
    struct evb__names_table *table = own(names);

    if (table) free_table(&table->limbo);
    evb__names_init(names, names->seed, names->retirer);
}

/* Copies every live record. The new table's order is nearly that of the old one, since both follow the hash's
 * high bits: only the records are a cache miss each, so they are asked for ahead. */
static void fill(struct evb__names_table *table, const struct evb__names_table *old)
{
    const uint32_t ahead = 8;

    for (uint32_t i = 0; i < old->slots; i++) {
        uintptr_t slot = evb__ld_rlx(&old->slot[i]);
        uint32_t to;

        if (i + ahead < old->slots) EVB__PREFETCH(record_of(evb__ld_rlx(&old->slot[i + ahead])));
        if (slot == EVB__NAMES_EMPTY || slot == EVB__NAMES_DEAD) continue;
        to = evb__names_home(record_of(slot)->hash, table->slots);
        while (evb__ld_rlx(&table->slot[to]) != EVB__NAMES_EMPTY)
            to = after(table, to);
        evb__st_rlx(&table->slot[to], slot); /* nobody else sees it yet: published by replace() */
    }
}

/* A new table of as many slots as `room` names want, without the dead. EVB_ENOMEM: the old one stays. */
static int32_t replace(struct evb__names *names, uint64_t room)
{
    struct evb__names_table *old = own(names), *table;
    uint64_t slots = slots_for(room);

    if (slots > UINT32_MAX || slots > (SIZE_MAX - sizeof *table) / sizeof table->slot[0]) return EVB_ENOMEM;
    table = evb__zalloc(table_bytes((uint32_t)slots), EVB__ALIGN_MIN);
    if (!table) return EVB_ENOMEM;
    table->slots = (uint32_t)slots;
    table->limbo.free = free_table;
    if (old) fill(table, old);
    names->used = names->live;
    evb__st_rel(&names->table, table); /* the slots; pairs with the load in evb__names_find */
    if (old) names->retirer.retire(names->retirer.arg, &old->limbo);
    return EVB_OK;
}

int32_t evb__names_reserve(struct evb__names *names)
{
    struct evb__names_table *table = own(names);

    evb__assert(evb__names_valid(names));
    if (table && names->used < limit(table->slots)) return EVB_OK;
    return replace(names, (uint64_t)names->live + 1);
}

void evb__names_insert(struct evb__names *names, struct evb__named *record)
{
    struct evb__names_table *table = own(names);
    uint32_t i = evb__names_home(record->hash, table->slots);
    uintptr_t slot;

    while ((slot = evb__ld_rlx(&table->slot[i])) > EVB__NAMES_DEAD)
        i = after(table, i);
    names->used += slot == EVB__NAMES_EMPTY;
    names->live++;
    /* release: the record is complete. Pairs with the slot's load in evb__names_find. */
    evb__st_rel(&table->slot[i], slot_of(record));
    evb__assert(evb__names_valid(names));
}

/* Slot i has just died. If nothing follows it, no record lies beyond it on the way from where its hash
 * points, so it may be EMPTY instead, and so may the dead slots before it, one after the other. What comes
 * and goes again and again then leaves no dead. */
static void bury(struct evb__names *names, struct evb__names_table *table, uint32_t i)
{
    if (evb__ld_rlx(&table->slot[after(table, i)]) != EVB__NAMES_EMPTY) return;
    while (evb__ld_rlx(&table->slot[i]) == EVB__NAMES_DEAD) {
        evb__st_rlx(&table->slot[i], EVB__NAMES_EMPTY); /* says no more than DEAD did: nothing is published */
        names->used--;
        i = before(table, i);
    }
}

void evb__names_remove(struct evb__names *names, struct evb__named *record)
{
    struct evb__names_table *table = own(names);
    uint32_t i = evb__names_home(record->hash, table->slots);
    uintptr_t slot = slot_of(record);

    while (evb__ld_rlx(&table->slot[i]) != slot) {
        evb__assert(evb__ld_rlx(&table->slot[i]) != EVB__NAMES_EMPTY); /* the record is in the table */
        i = after(table, i);
    }
    evb__st_rel(&table->slot[i], EVB__NAMES_DEAD); /* pairs with the slot's load in evb__names_find */
    names->live--;
    bury(names, table, i);
    /* Most of a large table is unused: a smaller one, if there is memory for it just now. */
    if (table->slots > MIN_SLOTS * 4 && (uint64_t)names->live * 8 < table->slots)
        (void)replace(names, (uint64_t)names->live + 1);
    evb__assert(evb__names_valid(names));
}

int32_t evb__names_each(const struct evb__names *names, int32_t (*fn)(struct evb__named *record, void *arg),
                        void *arg)
{
    struct evb__names_table *table = own(names);
    int32_t rc = 0;

    for (uint32_t i = 0; table && i < table->slots && rc == 0; i++) {
        uintptr_t slot = evb__ld_rlx(&table->slot[i]);

        if (slot != EVB__NAMES_EMPTY && slot != EVB__NAMES_DEAD) rc = fn(record_of(slot), arg);
    }
    return rc;
}
