/* SPDX-License-Identifier: MIT */
/* Interned tokens: each token of a wildcard pattern once, under a number that stands for it in the trie.
 *
 * A map is one block: open-addressing slots {number, hash}, then an arena of token records, appended to and
 * never changed but for what only writers look at. A token's number is the place of its record in the arena,
 * counted in units of four bytes, so there is no third table from numbers to records.
 *
 *      slots   | 4, #a1 |   -   | 9, #7c | ...      writers: bytes to number; two thirds full at most
 *      arena   4: {references 2, hash, "flight"}   9: {references 1, hash, "JFK"}   ...
 *
 * Readers look no token up. They meet a number in an entry of the trie and compare the bytes behind it
 * (trie_match.c).
 *
 * Invariant: a map belongs to one trie table. Under that table numbers mean what they meant at first: a map
 * that is full is replaced by a larger copy with the same numbers, and a token without references stays where
 * it is (it may come back). Only the rebuild of the trie leaves such tokens behind and gives new numbers,
 * together with a new table. So a reader who takes a number from an entry (acquire) and then the map from the
 * same table (acquire) finds the right record: the map was published before the entry that needs it, a later
 * one says the same, and no map of that table is freed while the reader is announced. Numbers 1 and 2 are the
 * wildcards. Threads: readers evb__token_at, for size and bytes, the rest under the owner's lock.
 */
#ifndef EVB__TOPIC_TOKENS_H
#define EVB__TOPIC_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/hash.h"
#include "base/platform.h"
#include "topic/limbo.h"

#define EVB__TOKEN_NONE  ((uint32_t)0)
#define EVB__TOKEN_STAR  ((uint32_t)1)
#define EVB__TOKEN_HASH  ((uint32_t)2)
#define EVB__TOKEN_FIRST ((uint32_t)4) /* the first record: numbers below are reserved */

#define EVB__TOKEN_UNITS_MIN 64 /* the smallest map: 16 slots and 256 bytes of records */
#define EVB__TOKEN_SLOTS_MIN 16
#define EVB__TOKEN_UNITS_MAX ((uint32_t)1 << 31)
#define EVB__TOKEN_SLOTS_MAX ((uint32_t)1 << 31)

struct evb__token_slot { /* writers */
    uint32_t number;     /* EVB__TOKEN_NONE = empty */
    uint32_t hash;
};

/* A record in the arena. Readers look at size and bytes only. */
struct evb__token {
    uint32_t references; /* writers: nodes behind the token; in a map that was compacted: its new number */
    uint32_t hash;       /* writers: for the path hash of a rebuild */
    uint8_t size;
    char bytes[];
};

struct evb__token_map {
    struct evb__limbo limbo;
    uint32_t slot_count, unit_count; /* capacity */
    uint32_t used_slots, used_units; /* writers: records with and without references */
    uint32_t live, live_units;       /* writers: records with references */
    struct evb__token_slot slots[];  /* then the arena */
};

EVB__INLINE uint32_t evb__token_hash(const char *bytes, size_t size, uint64_t seed)
{
    return (uint32_t)evb__hash(bytes, size, seed);
}

EVB__INLINE uint32_t *evb__token_arena(const struct evb__token_map *map)
{
    return (uint32_t *)(void *)(uintptr_t)(const void *)(map->slots + map->slot_count);
}

EVB__INLINE struct evb__token *evb__token_at(const struct evb__token_map *map, uint32_t number)
{
    return (struct evb__token *)(void *)(evb__token_arena(map) + number);
}

/* Units that the record of a token takes. */
EVB__INLINE uint32_t evb__token_units(uint32_t size)
{
    return (uint32_t)((offsetof(struct evb__token, bytes) + size + 3) / 4);
}

/* A map for so many tokens whose records take so many units together, and half as much again. NULL: no
 * memory, or beyond the limits. */
struct evb__token_map *evb__token_map_create(uint32_t tokens, uint32_t units);
void evb__token_map_free(struct evb__token_map *map); /* no reader left; NULL is nothing */
void evb__token_map_retire(struct evb__token_map *map, struct evb__retirer retirer);
size_t evb__token_map_bytes(const struct evb__token_map *map);

/* Room for so many more? */
bool evb__token_map_has_room(const struct evb__token_map *map, uint32_t tokens, uint32_t units);
/* A larger copy under the same numbers, with room for so many more. NULL: no memory. The old one is the
 * caller's to retire. */
struct evb__token_map *evb__token_map_grow(const struct evb__token_map *map, uint32_t tokens, uint32_t units);
/* Carries the tokens with references into an empty map that has room, under new numbers: from now on the old
 * map answers with evb__token_moved and is for readers only. */
void evb__token_map_compact(struct evb__token_map *from, struct evb__token_map *to);
EVB__INLINE uint32_t evb__token_moved(const struct evb__token_map *from, uint32_t number)
{
    return number < EVB__TOKEN_FIRST ? number : evb__token_at(from, number)->references;
}

/* The token's number or EVB__TOKEN_NONE. */
uint32_t evb__token_find(const struct evb__token_map *map, const char *bytes, uint32_t size, uint32_t hash);
/* The token's number; it becomes part of the map, without a reference, if it is not: the caller has made
 * room. */
uint32_t evb__token_intern(struct evb__token_map *map, const char *bytes, uint32_t size, uint32_t hash);
/* One reference more or less. The record of a token without references stays until a rebuild. Wildcards are
 * not counted. */
void evb__token_hold(struct evb__token_map *map, uint32_t number);
void evb__token_drop(struct evb__token_map *map, uint32_t number);

#endif
