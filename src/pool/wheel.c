/* SPDX-License-Identifier: MIT */
/* The timer wheel: bits of the tick choose level and slot. */
#include "pool/wheel.h"

#include "base/platform.h"

#include <stddef.h>
#include <string.h>

#define GROUP_BITS 6u

static uint32_t group(uint64_t tick, uint32_t level)
{
    return (uint32_t)(tick >> (GROUP_BITS * level)) & (EVB__WHEEL_SLOTS - 1);
}

/* The level of the highest group in which the two differ; 0 when none does. */
static uint32_t level_of(uint64_t now, uint64_t tick)
{
    uint64_t differ = now ^ tick;
    uint32_t level = 0;

    while (level + 1 < EVB__WHEEL_LEVELS && differ >> (GROUP_BITS * (level + 1)) != 0)
        level++;
    return level;
}

void evb__wheel_init(struct evb__wheel *wheel, uint64_t now)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->now = now;
}

void evb__wheel_add(struct evb__wheel *wheel, struct evb__wheel_entry *entry)
{
    uint32_t level, slot;
    struct evb__wheel_entry **first;

    if (entry->tick < wheel->now) entry->tick = wheel->now;
    level = level_of(wheel->now, entry->tick);
    slot = group(entry->tick, level);
    first = &wheel->slots[level][slot];
    entry->next = *first;
    entry->prev = first;
    if (entry->next != NULL) entry->next->prev = &entry->next;
    *first = entry;
    entry->level_slot = (uint16_t)(level * EVB__WHEEL_SLOTS + slot);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void evb__wheel_remove(struct evb__wheel *wheel, struct evb__wheel_entry *entry)
{
    uint32_t level = entry->level_slot / EVB__WHEEL_SLOTS, slot = entry->level_slot % EVB__WHEEL_SLOTS;

    evb__assert(entry->prev != NULL);
    *entry->prev = entry->next;
    if (entry->next != NULL) entry->next->prev = entry->prev;
    entry->prev = NULL;
    if (wheel->slots[level][slot] == NULL) wheel->occupied[level] &= ~(UINT64_C(1) << slot);
}

uint64_t evb__wheel_next(const struct evb__wheel *wheel)
{
    for (uint32_t level = 0; level < EVB__WHEEL_LEVELS; level++) {
        uint32_t at = group(wheel->now, level), shift = GROUP_BITS * level;
        /* level 0: from now's slot on; above: behind it, because what shares this group stands lower */
        uint64_t later = wheel->occupied[level] & (level == 0 ? ~UINT64_C(0) << at : ~UINT64_C(1) << at);
        uint64_t above =
            level + 1 < EVB__WHEEL_LEVELS ? wheel->now >> (shift + GROUP_BITS) << (shift + GROUP_BITS) : 0;

        if (later != 0) return above + ((uint64_t)(ffsll((long long)later) - 1) << shift);
    }
    return UINT64_MAX;
}

/* now becomes tick, which is that of the next occupied slot: the slots that begin there are spread over the
 * levels below. */
static void advance(struct evb__wheel *wheel, uint64_t tick)
{
    wheel->now = tick;
    for (uint32_t level = EVB__WHEEL_LEVELS - 1; level > 0; level--) {
        struct evb__wheel_entry **first = &wheel->slots[level][group(tick, level)];

        while (*first != NULL) {
            struct evb__wheel_entry *entry = *first;

            evb__wheel_remove(wheel, entry);
            evb__wheel_add(wheel, entry); /* lower: it shares this group with now */
        }
    }
}

struct evb__wheel_entry *evb__wheel_expire(struct evb__wheel *wheel, uint64_t upto)
{
    for (;;) {
        uint64_t next = evb__wheel_next(wheel);
        struct evb__wheel_entry *entry;

        if (next > upto) {
            if (upto > wheel->now) wheel->now = upto; /* no slot begins in between */
            return NULL;
        }
        if (next != wheel->now) advance(wheel, next);
        entry = wheel->slots[0][group(wheel->now, 0)];
        if (entry != NULL) {
            evb__wheel_remove(wheel, entry);
            return entry;
        }
    }
}
