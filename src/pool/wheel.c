/* SPDX-License-Identifier: MIT */
/* The timer wheel: bits of the tick choose level and slot. */
#include "pool/wheel.h"

#include "base/platform.h"

#include <string.h>

#define GROUP_BITS 6u

static struct evb__wheel_entry *at(const struct evb__wheel *wheel, uint32_t number)
{
    return &wheel->chunk[number / EVB__WHEEL_CHUNK][number % EVB__WHEEL_CHUNK];
}

static uint32_t group(uint64_t tick, uint32_t level)
{
    return (uint32_t)(tick >> (GROUP_BITS * level)) & (EVB__WHEEL_SLOTS - 1);
}

/* The level of the highest group in which the two differ; 0 when none does. */
static uint32_t level_of(uint64_t now, uint64_t tick)
{
    uint64_t differ = now ^ tick;

    return differ < EVB__WHEEL_SLOTS ? 0 : (63 - (uint32_t)__builtin_clzll(differ)) / GROUP_BITS;
}

/* Where the slot of this level begins that the tick falls into. */
static uint64_t start_of(uint64_t tick, uint32_t level)
{
    return tick >> (GROUP_BITS * level) << (GROUP_BITS * level);
}

void evb__wheel_init(struct evb__wheel *wheel, uint64_t now, struct evb__wheel_entry *const *chunk)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->now = now;
    wheel->chunk = chunk;
}

uint64_t evb__wheel_add(struct evb__wheel *wheel, uint32_t number)
{
    struct evb__wheel_entry *entry = at(wheel, number);
    uint32_t level, slot;
    uint64_t bit;

    if (entry->tick < wheel->now) entry->tick = wheel->now;
    level = level_of(wheel->now, entry->tick);
    evb__assert(level < EVB__WHEEL_LEVELS);
    slot = group(entry->tick, level);
    bit = UINT64_C(1) << slot;
    entry->next = EVB__WHEEL_NONE;
    if (wheel->occupied[level] & bit) {
        entry->prev = wheel->slot[level][slot].last;
        at(wheel, entry->prev)->next = number;
    } else {
        entry->prev = EVB__WHEEL_NONE;
        wheel->slot[level][slot].first = number;
        wheel->occupied[level] |= bit;
        wheel->levels |= 1u << level;
    }
    wheel->slot[level][slot].last = number;
    return start_of(entry->tick, level);
}

/* The first or the last of its slot. */
static uint64_t remove_end(struct evb__wheel *wheel, const struct evb__wheel_entry *entry)
{
    uint32_t level = level_of(wheel->now, entry->tick), slot = group(entry->tick, level);

    if (entry->prev != EVB__WHEEL_NONE) {
        at(wheel, entry->prev)->next = EVB__WHEEL_NONE;
        wheel->slot[level][slot].last = entry->prev;
        return UINT64_MAX;
    }
    if (entry->next != EVB__WHEEL_NONE) {
        at(wheel, entry->next)->prev = EVB__WHEEL_NONE;
        wheel->slot[level][slot].first = entry->next;
        return UINT64_MAX;
    }
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    if (wheel->occupied[level] == 0) wheel->levels &= ~(1u << level);
    return start_of(entry->tick, level);
}

uint64_t evb__wheel_remove(struct evb__wheel *wheel, uint32_t number)
{
    const struct evb__wheel_entry *entry = at(wheel, number);

    if (entry->prev == EVB__WHEEL_NONE || entry->next == EVB__WHEEL_NONE) return remove_end(wheel, entry);
    at(wheel, entry->prev)->next = entry->next;
    at(wheel, entry->next)->prev = entry->prev;
    return UINT64_MAX;
}

uint64_t evb__wheel_next(const struct evb__wheel *wheel)
{
    uint32_t level, slot;

    if (wheel->levels == 0) return UINT64_MAX;
    /* The lowest one: what stands there shares more of its tick with now. All its slots lie before us. */
    level = (uint32_t)__builtin_ctz(wheel->levels);
    slot = (uint32_t)__builtin_ctzll(wheel->occupied[level]);
    return start_of(wheel->now, level + 1) + ((uint64_t)slot << (GROUP_BITS * level));
}

/* now becomes tick, which is that of the next occupied slot: the slots that begin there are spread over the
 * levels below. */
static void advance(struct evb__wheel *wheel, uint64_t tick)
{
    wheel->now = tick;
    for (uint32_t level = EVB__WHEEL_LEVELS - 1; level > 0; level--) {
        uint32_t slot = group(tick, level), number;

        if (!(wheel->occupied[level] >> slot & 1)) continue;
        number = wheel->slot[level][slot].first;
        wheel->occupied[level] &= ~(UINT64_C(1) << slot);
        if (wheel->occupied[level] == 0) wheel->levels &= ~(1u << level);
        while (number != EVB__WHEEL_NONE) {
            uint32_t next = at(wheel, number)->next;

            (void)evb__wheel_add(wheel, number); /* lower: it shares this group with now */
            number = next;
        }
    }
}

uint32_t evb__wheel_expire(struct evb__wheel *wheel, uint64_t upto)
{
    for (;;) {
        uint64_t next = evb__wheel_next(wheel);
        uint32_t slot;

        if (next > upto) {
            if (upto > wheel->now) wheel->now = upto; /* no slot begins in between */
            return EVB__WHEEL_NONE;
        }
        if (next != wheel->now) advance(wheel, next);
        slot = group(wheel->now, 0);
        if (wheel->occupied[0] >> slot & 1) {
            uint32_t number = wheel->slot[0][slot].first;

            (void)evb__wheel_remove(wheel, number);
            return number;
        }
    }
}
