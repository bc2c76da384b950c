/* SPDX-License-Identifier: MIT */
/* Token maps: creation, growth under the same numbers, compaction under new ones. */
#include "topic/tokens.h"

#include "base/alloc.h"

#include <string.h>

/* Slots for so many tokens: filled to 4/9, so that half as many again fit below two thirds. 0: too many. */
static uint32_t slots_for(uint32_t tokens)
{
    uint64_t slots = ((uint64_t)tokens * 9 + 3) / 4;

    if (slots < EVB__TOKEN_SLOTS_MIN) return EVB__TOKEN_SLOTS_MIN;
    return slots > EVB__TOKEN_SLOTS_MAX ? 0 : (uint32_t)slots;
}

static uint32_t units_for(uint32_t units)
{
    uint64_t wanted = EVB__TOKEN_FIRST + (uint64_t)units + units / 2;

    if (wanted < EVB__TOKEN_UNITS_MIN) return EVB__TOKEN_UNITS_MIN;
    return wanted > EVB__TOKEN_UNITS_MAX ? 0 : (uint32_t)wanted;
}

/* 0: more than size_t can say. */
static size_t block_bytes(uint32_t slot_count, uint32_t unit_count)
{
    uint64_t bytes = sizeof(struct evb__token_map) + (uint64_t)slot_count * sizeof(struct evb__token_slot) +
                     (uint64_t)unit_count * sizeof(uint32_t);

    return bytes > SIZE_MAX / 2 ? 0 : (size_t)bytes;
}

struct evb__token_map *evb__token_map_create(uint32_t tokens, uint32_t units)
{
    uint32_t slot_count = slots_for(tokens), unit_count = units_for(units);
    size_t bytes;
    struct evb__token_map *map;

    if (slot_count == 0 || unit_count == 0) return NULL;
    bytes = block_bytes(slot_count, unit_count);
    if (bytes == 0) return NULL;
    map = evb__zalloc(bytes, EVB__ALIGN_MIN);
    if (map == NULL) return NULL;
    map->slot_count = slot_count;
    map->unit_count = unit_count;
    map->used_units = EVB__TOKEN_FIRST;
    return map;
}

size_t evb__token_map_bytes(const struct evb__token_map *map)
{
    return block_bytes(map->slot_count, map->unit_count);
}

void evb__token_map_free(struct evb__token_map *map)
{
    if (map != NULL) evb__free(map, evb__token_map_bytes(map));
}

static void free_map(struct evb__limbo *limbo)
{
    evb__token_map_free(EVB__CONTAINER(limbo, struct evb__token_map, limbo));
}

void evb__token_map_retire(struct evb__token_map *map, struct evb__retirer retirer)
{
    map->limbo.hazard = 0;
    map->limbo.free = free_map;
    retirer.retire(retirer.arg, &map->limbo);
}

bool evb__token_map_has_room(const struct evb__token_map *map, uint32_t tokens, uint32_t units)
{
    return ((uint64_t)map->used_slots + tokens) * 3 <= (uint64_t)map->slot_count * 2 &&
           (uint64_t)map->used_units + units <= map->unit_count;
}

/* Where the search for a hash begins: its high bits, scaled, so that the number of slots may be any. */
static uint32_t home(const struct evb__token_map *map, uint32_t hash)
{
    return (uint32_t)(((uint64_t)hash * map->slot_count) >> 32);
}

uint32_t evb__token_find(const struct evb__token_map *map, const char *bytes, uint32_t size, uint32_t hash)
{
    for (uint32_t i = home(map, hash);;) { /* bounded: a third of the slots is empty */
        const struct evb__token_slot *slot = &map->slots[i];

        if (slot->number == EVB__TOKEN_NONE) return EVB__TOKEN_NONE;
        if (slot->hash == hash) {
            const struct evb__token *token = evb__token_at(map, slot->number);

            if (token->size == size && memcmp(token->bytes, bytes, size) == 0) return slot->number;
        }
        if (++i == map->slot_count) i = 0;
    }
}

/* Puts a number into the first empty slot of its hash. */
static void enter(struct evb__token_map *map, uint32_t number, uint32_t hash)
{
    uint32_t i = home(map, hash);

    while (map->slots[i].number != EVB__TOKEN_NONE) /* bounded as above */
        if (++i == map->slot_count) i = 0;
    map->slots[i] = (struct evb__token_slot){.number = number, .hash = hash};
    map->used_slots++;
}

uint32_t evb__token_intern(struct evb__token_map *map, const char *bytes, uint32_t size, uint32_t hash)
{
    uint32_t number = evb__token_find(map, bytes, size, hash);
    struct evb__token *token;

    if (number != EVB__TOKEN_NONE) return number;
    evb__assert(size <= UINT8_MAX);
    evb__assert(evb__token_map_has_room(map, 1, evb__token_units(size)));
    number = map->used_units;
    token = evb__token_at(map, number);
    /* Plain stores into memory that no reader knows yet: the entry in the trie that will carry the number
     * releases them. */
    token->references = 0;
    token->hash = hash;
    token->size = (uint8_t)size;
    memcpy(token->bytes, bytes, size);
    map->used_units += evb__token_units(size);
    enter(map, number, hash);
    return number;
}

void evb__token_hold(struct evb__token_map *map, uint32_t number)
{
    struct evb__token *token;

    if (number < EVB__TOKEN_FIRST) return;
    token = evb__token_at(map, number);
    if (token->references++ > 0) return;
    map->live++;
    map->live_units += evb__token_units(token->size);
}

void evb__token_drop(struct evb__token_map *map, uint32_t number)
{
    struct evb__token *token;

    if (number < EVB__TOKEN_FIRST) return;
    token = evb__token_at(map, number);
    evb__assert(token->references > 0);
    if (--token->references > 0) return;
    map->live--;
    map->live_units -= evb__token_units(token->size);
}

struct evb__token_map *evb__token_map_grow(const struct evb__token_map *map, uint32_t tokens, uint32_t units)
{
    struct evb__token_map *larger;

    if (tokens > EVB__TOKEN_SLOTS_MAX - map->used_slots || units > EVB__TOKEN_UNITS_MAX - map->used_units)
        return NULL;
    larger = evb__token_map_create(map->used_slots + tokens, map->used_units + units);
    if (larger == NULL) return NULL;
    /* Records stay in their places, hence their numbers. Slots are dealt anew. */
    memcpy(evb__token_arena(larger), evb__token_arena(map), (size_t)map->used_units * sizeof(uint32_t));
    larger->used_units = map->used_units;
    larger->live = map->live;
    larger->live_units = map->live_units;
    for (uint32_t number = EVB__TOKEN_FIRST; number < map->used_units;) {
        const struct evb__token *token = evb__token_at(map, number);

        enter(larger, number, token->hash);
        number += evb__token_units(token->size);
    }
    return larger;
}

void evb__token_map_compact(struct evb__token_map *from, struct evb__token_map *to)
{
    for (uint32_t number = EVB__TOKEN_FIRST; number < from->used_units;) {
        struct evb__token *token = evb__token_at(from, number);

        if (token->references > 0) {
            uint32_t moved = evb__token_intern(to, token->bytes, token->size, token->hash);

            evb__token_at(to, moved)->references = token->references;
            to->live++;
            to->live_units += evb__token_units(token->size);
            /* Readers of the old map never look at references: the field is free to carry the new number. */
            token->references = moved;
        }
        number += evb__token_units(token->size);
    }
}
