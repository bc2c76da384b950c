/* SPDX-License-Identifier: MIT */
/* The trie's table: creation, insertion, and the rebuild that renumbers its nodes. */
#include "topic/trie_table.h"

#include "base/alloc.h"

uint32_t evb__trie_table_limit(const struct evb__trie_table *table)
{
    /* Four of five slots. Less than all, so that one bucket is never full. */
    return (uint32_t)((uint64_t)table->bucket_count * EVB__TRIE_SLOTS * 4 / 5);
}

/* Buckets for so many entries and six tenths more, which is how many insertions pay for the next rebuild. 0:
 * too many. */
static uint32_t buckets_for(uint32_t nodes)
{
    uint64_t buckets = ((uint64_t)nodes * 2 + 2) / 3;

    if (buckets < EVB__TRIE_BUCKETS_MIN) return EVB__TRIE_BUCKETS_MIN;
    return buckets > EVB__TRIE_BUCKETS_MAX ? 0 : (uint32_t)buckets;
}

/* 0: more than size_t can say. */
static size_t block_bytes(uint32_t bucket_count)
{
    uint64_t bytes =
        sizeof(struct evb__trie_table) + ((uint64_t)bucket_count + 1) * sizeof(struct evb__trie_bucket);

    return bytes > SIZE_MAX / 2 ? 0 : (size_t)bytes;
}

struct evb__trie_table *evb__trie_table_create(uint32_t nodes)
{
    uint32_t bucket_count = buckets_for(nodes);
    size_t bytes = block_bytes(bucket_count);
    struct evb__trie_table *table;

    if (bucket_count == 0 || bytes == 0) return NULL;
    table = evb__zalloc(bytes, EVB__CACHE_LINE);
    if (table != NULL) table->bucket_count = bucket_count;
    return table;
}

size_t evb__trie_table_bytes(const struct evb__trie_table *table)
{
    return block_bytes(table->bucket_count);
}

void evb__trie_table_free(struct evb__trie_table *table)
{
    if (table == NULL) return;
    evb__token_map_free(evb__ld_rlx(&table->map)); /* relaxed: nobody else is left */
    evb__free(table, evb__trie_table_bytes(table));
}

static void free_table(struct evb__limbo *limbo)
{
    struct evb__trie_table *table = EVB__CONTAINER(limbo, struct evb__trie_table, limbo);

    evb__free(table, evb__trie_table_bytes(table)); /* the map has a limbo of its own */
}

void evb__trie_table_retire(struct evb__trie_table *table, struct evb__retirer retirer)
{
    struct evb__token_map *map = evb__ld_rlx(&table->map); /* relaxed: stored by writers only */

    if (map != NULL) evb__token_map_retire(map, retirer);
    table->limbo.hazard = 0;
    table->limbo.free = free_table;
    retirer.retire(retirer.arg, &table->limbo);
}

uint32_t evb__trie_table_insert(struct evb__trie_table *table, uint32_t parent, uint32_t token,
                                uint32_t path_hash, uint32_t links)
{
    uint32_t b = evb__trie_home(table, path_hash);

    for (;;) { /* bounded: one bucket is not full */
        struct evb__trie_bucket *bucket = &table->buckets[b];

        for (uint32_t i = 0; i < EVB__TRIE_SLOTS; i++) {
            /* relaxed: only writers store tokens, and we hold their lock. */
            if (evb__ld_rlx(&bucket->token[i]) != EVB__TOKEN_NONE) continue;
            evb__st_rlx(&bucket->parent[i], parent); /* these two are published by the token */
            evb__st_rlx(&bucket->links[i], links);
            /* release: the entry is complete. Pairs with the acquire in evb__trie_child. */
            evb__st_rel(&bucket->token[i], token);
            return b << 2 | i;
        }
        /* relaxed: see evb__trie_child. */
        evb__st_rlx(&bucket->passed, evb__ld_rlx(&bucket->passed) | evb__trie_passed_bit(path_hash));
        if (++b > table->bucket_count) b = 1;
    }
}

/* ---- rebuild ---- */

/* Where an old node has gone. */
struct carried {
    uint32_t node; /* 0: not carried yet */
    uint32_t path_hash;
};

struct rebuild {
    const struct evb__trie *trie;
    const struct evb__trie_table *old;
    const struct evb__token_map *old_map; /* compacted: tokens know their new numbers */
    struct evb__trie_table *table;
    struct carried *carried; /* by old node number */
};

#define FETCH_AHEAD 16 /* buckets */

/* Everything below reads and writes relaxed: the old table is stored to by writers only, the new one is
 * nobody else's yet. */
static void carry_lists(struct rebuild *r, uint32_t old, uint32_t node)
{
    for (uint32_t which = 0; which < 2; which++) {
        uint32_t head = evb__ld_rlx(&evb__trie_bucket_of(r->old, old)->list[which][old & 3]);

        if (head == 0) continue;
        evb__st_rlx(&evb__trie_bucket_of(r->table, node)->list[which][node & 3], head);
        r->trie->moved(r->trie->arg, head, node << 1 | which);
    }
}

/* The parent has been carried. */
static void carry_node(struct rebuild *r, uint32_t old)
{
    const struct evb__trie_bucket *bucket = evb__trie_bucket_of(r->old, old);
    const struct carried *parent = &r->carried[evb__ld_rlx(&bucket->parent[old & 3])];
    uint32_t token = evb__ld_rlx(&bucket->token[old & 3]);
    uint32_t token_hash = token < EVB__TOKEN_FIRST ? evb__trie_wildcard_hash(r->trie->seed, token)
                                                   : evb__token_at(r->old_map, token)->hash;
    uint32_t path_hash = evb__trie_step(parent->path_hash, token_hash);
    /* Only nodes in use are carried, and links count only such children: they hold as they are. */
    uint32_t node = evb__trie_table_insert(r->table, parent->node, evb__token_moved(r->old_map, token),
                                           path_hash, evb__ld_rlx(&bucket->links[old & 3]));

    r->carried[old] = (struct carried){.node = node, .path_hash = path_hash};
    carry_lists(r, old, node);
}

static void carry_with_ancestors(struct rebuild *r, uint32_t old)
{
    uint32_t way[EVB__TOKENS_MAX], depth = 0;

    while (r->carried[old].node == 0) {
        evb__assert(depth < EVB__TOKENS_MAX);
        way[depth++] = old;
        old = evb__ld_rlx(&evb__trie_bucket_of(r->old, old)->parent[old & 3]);
    }
    while (depth > 0)
        carry_node(r, way[--depth]);
}

/* Nodes are met in the order of the table, their parents lie anywhere: what has become of a parent is fetched
 * some buckets ahead, and then, where nothing has yet, the parent itself. Worth a quarter of the time of a
 * large rebuild. */
static void fetch_ahead(const struct rebuild *r, uint32_t b)
{
    if (b + FETCH_AHEAD > r->old->bucket_count) return;
    for (uint32_t i = 0; i < EVB__TRIE_SLOTS; i++) {
        uint32_t parent = evb__ld_rlx(&r->old->buckets[b + FETCH_AHEAD].parent[i]);

        EVB__PREFETCH(&r->carried[parent]);
        parent = evb__ld_rlx(&r->old->buckets[b + FETCH_AHEAD / 2].parent[i]);
        if (r->carried[parent].node == 0) EVB__PREFETCH(evb__trie_bucket_of(r->old, parent));
    }
}

static void carry_all(struct rebuild *r)
{
    const struct evb__trie_table *old = r->old;

    r->carried[EVB__TRIE_ROOT] =
        (struct carried){.node = EVB__TRIE_ROOT, .path_hash = evb__trie_root_hash(r->trie->seed)};
    evb__st_rlx(&r->table->buckets[0].links[EVB__TRIE_ROOT],
                evb__ld_rlx(&old->buckets[0].links[EVB__TRIE_ROOT]));
    carry_lists(r, EVB__TRIE_ROOT, EVB__TRIE_ROOT);
    for (uint32_t b = 1; b <= old->bucket_count; b++) {
        fetch_ahead(r, b);
        for (uint32_t i = 0; i < EVB__TRIE_SLOTS; i++) {
            if (evb__ld_rlx(&old->buckets[b].links[i]) & EVB__LINK_LIVE) carry_with_ancestors(r, b << 2 | i);
        }
    }
}

static bool holds_nothing(const struct evb__trie *trie, const struct evb__trie_table *table)
{
    /* relaxed: stored by writers only. The root's list: of the pattern that is only a many-token wildcard. */
    return trie->nodes == 0 &&
           (table == NULL || evb__ld_rlx(&table->buckets[0].list[EVB__LIST_MANY][EVB__TRIE_ROOT]) == 0);
}

bool evb__trie_rebuild(struct evb__trie *trie, uint32_t nodes, uint32_t tokens, uint32_t units)
{
    struct evb__trie_table *old = evb__ld_rlx(&trie->table), *table = NULL; /* relaxed: our own stores */
    struct evb__token_map *old_map = old == NULL ? NULL : evb__ld_rlx(&old->map), *map = NULL;
    size_t carried_bytes = 0;
    struct carried *carried = NULL;

    if (nodes > 0 || !holds_nothing(trie, old)) {
        table = evb__trie_table_create(trie->nodes + nodes);
        map = evb__token_map_create((old_map == NULL ? 0 : old_map->live) + tokens,
                                    (old_map == NULL ? 0 : old_map->live_units) + units);
        if (table == NULL || map == NULL) goto no_memory;
        evb__st_rlx(&table->map, map); /* published with the table */
        if (old != NULL) {
            carried_bytes = ((size_t)old->bucket_count + 1) * 4 * sizeof(*carried);
            carried = evb__zalloc(carried_bytes, EVB__ALIGN_MIN);
            if (carried == NULL) goto no_memory;
            evb__token_map_compact(old_map, map); /* from here on nothing fails */
            carry_all(&(struct rebuild){
                .trie = trie, .old = old, .old_map = old_map, .table = table, .carried = carried});
            evb__free(carried, carried_bytes);
        }
    }
    trie->dead = 0;
    /* release: table and map are complete. Pairs with the acquire in evb__trie_match. */
    evb__st_rel(&trie->table, table);
    if (old != NULL) evb__trie_table_retire(old, trie->retirer);
    return true;

no_memory:
    if (table != NULL) evb__free(table, evb__trie_table_bytes(table));
    evb__token_map_free(map);
    return false;
}

void evb__trie_tidy(struct evb__trie *trie)
{
    const struct evb__trie_table *table = evb__ld_rlx(&trie->table); /* relaxed: stored by writers only */
    const struct evb__token_map *map;

    if (table == NULL) return;
    map = evb__ld_rlx(&table->map); /* as above */
    /* Paid for by the releases that made the dead entries, and the dead tokens, which may be long. */
    if (trie->dead > trie->nodes + EVB__TRIE_DEAD_FREE ||
        map->used_units > 2 * (uint64_t)map->live_units + EVB__TOKEN_UNITS_DEAD_FREE)
        (void)evb__trie_rebuild(trie, 0, 0, 0); /* without memory: the next add tries again */
}

void evb__trie_forget(struct evb__trie *trie)
{
    const struct evb__trie_table *table = evb__ld_rlx(&trie->table); /* relaxed: stored by writers only */
    const struct evb__token_map *map;

    if (table == NULL || !holds_nothing(trie, table)) return;
    map = evb__ld_rlx(&table->map); /* as above */
    /* The smallest ones stay for a while, so that a single pattern can come and go without allocating. */
    if (table->bucket_count > EVB__TRIE_BUCKETS_MIN || map->slot_count > EVB__TOKEN_SLOTS_MIN ||
        map->unit_count > EVB__TOKEN_UNITS_MIN)
        (void)evb__trie_rebuild(trie, 0, 0, 0); /* to nothing: needs no memory */
}
