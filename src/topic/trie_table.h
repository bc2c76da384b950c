/* SPDX-License-Identifier: MIT */
/* The table behind the pattern trie: buckets of one cache line, three entries each.
 *
 *      bucket   token[3] parent[3] links[3] exact[3] many[3] passed      16 words, 64 bytes
 *      node     bucket << 2 | slot        1 = the root, alone in bucket 0; 0 = none
 *      place    node << 1 | list          0 = exact, 1 = many
 *
 * An entry's home is the bucket of its *path hash*: the hash of the parent's path folded with that of the
 * token. It does not depend on node numbers, so all buckets on the way of a pattern can be fetched at once,
 * and a rebuild into a larger table writes in about the order in which it reads. A full bucket passes entries
 * on to the next one and remembers it in `passed`, a filter of 32 bits: a search that finds nothing touches
 * one line, hardly ever two, even when four of five slots are taken. Linear probing over single entries
 * needed six at that load. Most such searches are not even begun: the links of a node hint at the tokens that
 * its children stand behind.
 *
 * Invariant: an entry with a token is never overwritten and never moved; its parent's entry is in the same
 * table; slots of a bucket are filled in order; `passed` is 0 unless it is full; at least one bucket is not
 * full, which bounds every search.
 */
#ifndef EVB__TOPIC_TRIE_TABLE_H
#define EVB__TOPIC_TRIE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/atomic.h"
#include "base/hash.h"
#include "base/platform.h"
#include "topic/limbo.h"
#include "topic/tokens.h"
#include "topic/trie.h"

#define EVB__TRIE_ROOT        ((uint32_t)1)
#define EVB__TRIE_SLOTS       3
#define EVB__TRIE_BUCKETS_MIN 8
#define EVB__TRIE_BUCKETS_MAX ((uint32_t)100000000) /* fewer than 2^28 nodes: what links can count */

/* What is not worth a rebuild: so many pruned entries, so many units (4 KiB) of tokens out of use. */
#define EVB__TRIE_DEAD_FREE        16
#define EVB__TOKEN_UNITS_DEAD_FREE 1024

/* Links of a node, one word so that it changes at once. Children behind literal tokens are counted, and
 * hinted at: bit (token hash & 15) is set for each child that came since the node last had none. A node with
 * thousands of them gives its hints up for a larger count.
 *
 *      31    30    29    28    27 ... 16         15 ... 0
 *      star  hash  live  0     children          hints
 *      star  hash  live  1     children, 28 bits
 */
#define EVB__LINK_STAR  ((uint32_t)1 << 31) /* has a child behind the one-token wildcard */
#define EVB__LINK_HASH  ((uint32_t)1 << 30) /* has a child behind a many-token wildcard in the middle */
#define EVB__LINK_LIVE  ((uint32_t)1 << 29) /* in use; without it the entry is pruned */
#define EVB__LINK_WIDE  ((uint32_t)1 << 28)
#define EVB__LINK_CHILD ((uint32_t)1 << 16)  /* one child, when not wide */
#define EVB__LINK_COUNT (EVB__LINK_WIDE - 1) /* children when wide; children and hints when not */

enum { EVB__LIST_EXACT = 0, EVB__LIST_MANY = 1 };

struct evb__trie_bucket {
    EVB__ATOMIC(uint32_t) token[EVB__TRIE_SLOTS]; /* EVB__TOKEN_NONE = empty; published last */
    EVB__ATOMIC(uint32_t) parent[EVB__TRIE_SLOTS];
    EVB__ATOMIC(uint32_t) links[EVB__TRIE_SLOTS];
    EVB__ATOMIC(uint32_t) list[2][EVB__TRIE_SLOTS]; /* heads: EVB__LIST_EXACT, EVB__LIST_MANY */
    EVB__ATOMIC(uint32_t) passed; /* evb__trie_passed_bit of each entry that found this bucket full */
};
_Static_assert(sizeof(struct evb__trie_bucket) == EVB__CACHE_LINE, "a bucket is one cache line");
_Static_assert(sizeof(EVB__ATOMIC(uint32_t)) == 4, "words are lock-free and carry nothing else");

struct evb__trie_table {
    struct evb__limbo limbo;
    /* Replaced by a larger one under the same numbers, never by one with others. */
    EVB__ATOMIC(struct evb__token_map *) map;
    uint32_t bucket_count; /* without the root's */
    _Alignas(EVB__CACHE_LINE) struct evb__trie_bucket buckets[];
};

EVB__INLINE struct evb__trie_bucket *evb__trie_bucket_of(const struct evb__trie_table *table, uint32_t node)
{
    return (struct evb__trie_bucket *)(uintptr_t)&table->buckets[node >> 2];
}

/* Hash of the path that goes on from a path by a token. */
EVB__INLINE uint32_t evb__trie_step(uint32_t path_hash, uint32_t token_hash)
{
    return (uint32_t)(evb__mix(((uint64_t)path_hash << 32) | token_hash, EVB__HASH_K1) >> 32);
}

EVB__INLINE uint32_t evb__trie_root_hash(uint64_t seed)
{
    return (uint32_t)seed;
}

/* What stands for the hash of a wildcard, whose token has no bytes. */
EVB__INLINE uint32_t evb__trie_wildcard_hash(uint64_t seed, uint32_t token)
{
    return (uint32_t)(seed >> 16) + token * 0x9e3779b9u;
}

EVB__INLINE uint32_t evb__trie_home(const struct evb__trie_table *table, uint32_t path_hash)
{
    return 1 + (uint32_t)(((uint64_t)path_hash * table->bucket_count) >> 32);
}

/* Links that have none of these bits have no child behind a token of this hash. */
EVB__INLINE uint32_t evb__trie_hint(uint32_t token_hash)
{
    return EVB__LINK_WIDE | (uint32_t)1 << (token_hash & 15);
}

EVB__INLINE uint32_t evb__trie_passed_bit(uint32_t path_hash)
{
    return (uint32_t)1 << (path_hash & 31); /* the low bits: home takes the high ones */
}

/* Number of the lowest bit; mask != 0. */
EVB__INLINE uint32_t evb__trie_lowest(uint32_t mask)
{
#if defined(__GNUC__)
    return (uint32_t)__builtin_ctz(mask);
#else
    uint32_t p = 0;

    while ((mask >> p & 1) == 0)
        p++;
    return p;
#endif
}

/* A bit for each slot whose entry has this parent, without a branch: which slot it is cannot be predicted. */
EVB__INLINE uint32_t evb__trie_siblings(const struct evb__trie_bucket *bucket, uint32_t parent)
{
    /* relaxed: the caller loads the token next; and no parent is 0, so what matches was written, for good. */
    return (uint32_t)(evb__ld_rlx(&bucket->parent[0]) == parent) |
           (uint32_t)(evb__ld_rlx(&bucket->parent[1]) == parent) << 1 |
           (uint32_t)(evb__ld_rlx(&bucket->parent[2]) == parent) << 2;
}

/* The child's node number, pruned or not; 0: never was one in this table. */
EVB__INLINE uint32_t evb__trie_child(const struct evb__trie_table *table, uint32_t parent, uint32_t token,
                                     uint32_t path_hash)
{
    uint32_t b = evb__trie_home(table, path_hash);

    for (;;) {
        const struct evb__trie_bucket *bucket = &table->buckets[b];

        for (uint32_t found = evb__trie_siblings(bucket, parent); found != 0; found &= found - 1) {
            uint32_t i = evb__trie_lowest(found);

            /* acquire: the entry is complete. Pairs with the release in evb__trie_table_insert. */
            if (evb__ld_acq(&bucket->token[i]) == token) return b << 2 | i;
        }
        /* relaxed: the bit of an entry whose add has returned is seen because the add is; one that is being
         * added may be missed. */
        if ((evb__ld_rlx(&bucket->passed) & evb__trie_passed_bit(path_hash)) == 0) return 0;
        if (++b > table->bucket_count) b = 1;
    }
}

/* ---- writers ---- */

/* Links with one more child behind a token of this hash, or one less. A hint stays until the last child goes:
 * others may share it. */
EVB__INLINE uint32_t evb__trie_more(uint32_t links, uint32_t token_hash)
{
    if (links & EVB__LINK_WIDE) return links + 1;
    if ((links & EVB__LINK_COUNT) + EVB__LINK_CHILD <= EVB__LINK_COUNT)
        return (links + EVB__LINK_CHILD) | (evb__trie_hint(token_hash) & ~EVB__LINK_WIDE);
    /* 4095 and this one */
    return (links & ~EVB__LINK_COUNT) | EVB__LINK_WIDE | (EVB__LINK_WIDE / EVB__LINK_CHILD);
}

EVB__INLINE uint32_t evb__trie_less(uint32_t links)
{
    links -= links & EVB__LINK_WIDE ? 1 : EVB__LINK_CHILD;
    if ((links & EVB__LINK_COUNT) < (links & EVB__LINK_WIDE ? 1 : EVB__LINK_CHILD))
        links &= ~(EVB__LINK_WIDE | EVB__LINK_COUNT);
    return links;
}

/* Entries, pruned ones included, that the table takes before it must be rebuilt. */
uint32_t evb__trie_table_limit(const struct evb__trie_table *table);
/* With room for 60 % more, no map yet. NULL: no memory, or too many. */
struct evb__trie_table *evb__trie_table_create(uint32_t nodes);
void evb__trie_table_free(struct evb__trie_table *table); /* with its map; no reader left; NULL is nothing */
void evb__trie_table_retire(struct evb__trie_table *table, struct evb__retirer retirer); /* with its map */
size_t evb__trie_table_bytes(const struct evb__trie_table *table);
/* An entry that is not there yet, in a table below its limit. Answers its number. */
uint32_t evb__trie_table_insert(struct evb__trie_table *table, uint32_t parent, uint32_t token,
                                uint32_t path_hash, uint32_t links);

/* A new table and map of what is in use, with room for so many more nodes, tokens and units of token records;
 * publishes them and retires the old ones. false: no memory, nothing changed. Without anything in use and
 * wanted: no table at all, which cannot fail. */
bool evb__trie_rebuild(struct evb__trie *trie, uint32_t nodes, uint32_t tokens, uint32_t units);
/* Rebuilds when what is pruned outweighs what is in use; without memory it does nothing. Before an add: a
 * release must not allocate, because a once-listener goes in the middle of an emit. */
void evb__trie_tidy(struct evb__trie *trie);
/* Gives everything back when no pattern is left. Allocates nothing. */
void evb__trie_forget(struct evb__trie *trie);

#endif
