/* SPDX-License-Identifier: MIT */
/* The pattern trie, writers' side: adding, heads of lists, pruning, and reading it back. All under the
 * owner's lock; loads are relaxed because only writers store, unless said otherwise. */
#include "topic/trie.h"

#include <evbus/base.h>
#include "topic/trie_table.h"

#include <string.h>

/* A pattern as edges: what hangs below them is the list. */
struct path {
    uint32_t depth;                       /* edges */
    uint32_t which;                       /* EVB__LIST_*: of the last node */
    uint32_t token[EVB__TOKENS_MAX];      /* EVB__TOKEN_NONE: not interned (yet) */
    uint32_t token_hash[EVB__TOKENS_MAX]; /* literal tokens */
    uint32_t path_hash[EVB__TOKENS_MAX];
    uint32_t node[EVB__TOKENS_MAX]; /* set by locate() */
};

static void path_of(const struct evb__trie *trie, const struct evb__tokens *pattern, struct path *path)
{
    uint32_t hash = evb__trie_root_hash(trie->seed);

    evb__assert(pattern->count >= 1 && pattern->count <= EVB__TOKENS_MAX);
    path->which = pattern->kind[pattern->count - 1] == EVB__TOKEN_MANY ? EVB__LIST_MANY : EVB__LIST_EXACT;
    path->depth = pattern->count - (path->which == EVB__LIST_MANY);
    for (uint32_t i = 0; i < path->depth; i++) {
        uint32_t token_hash;

        path->token[i] = EVB__TOKEN_NONE;
        if (pattern->kind[i] == EVB__TOKEN_ONE) path->token[i] = EVB__TOKEN_STAR;
        if (pattern->kind[i] == EVB__TOKEN_MANY) path->token[i] = EVB__TOKEN_HASH;
        if (path->token[i] == EVB__TOKEN_NONE)
            token_hash = evb__token_hash(pattern->name + pattern->start[i], pattern->length[i], trie->seed);
        else
            token_hash = evb__trie_wildcard_hash(trie->seed, path->token[i]);
        path->token_hash[i] = token_hash;
        path->path_hash[i] = hash = evb__trie_step(hash, token_hash);
    }
}

/* Finds the tokens and as many entries of the path as there are, pruned ones included; answers how many. */
static uint32_t locate(const struct evb__trie_table *table, const struct evb__tokens *pattern,
                       struct path *path)
{
    const struct evb__token_map *map = evb__ld_rlx(&table->map);
    uint32_t parent = EVB__TRIE_ROOT, found;

    for (uint32_t i = 0; i < path->depth; i++)
        EVB__PREFETCH(&table->buckets[evb__trie_home(table, path->path_hash[i])]);
    for (uint32_t i = 0; i < path->depth; i++) {
        if (pattern->kind[i] == EVB__TOKEN_LITERAL)
            path->token[i] = evb__token_find(map, pattern->name + pattern->start[i], pattern->length[i],
                                             path->token_hash[i]);
    }
    for (found = 0; found < path->depth && path->token[found] != EVB__TOKEN_NONE; found++) {
        parent = evb__trie_child(table, parent, path->token[found], path->path_hash[found]);
        if (parent == 0) break;
        path->node[found] = parent;
    }
    return found;
}

/* Room for the rest of a path of which `found` entries are there. A rebuild drops those of them that are
 * pruned, and all tokens out of use, so it is asked for room for the whole path. */
static bool make_room(struct evb__trie *trie, const struct evb__tokens *pattern, const struct path *path,
                      uint32_t found)
{
    struct evb__trie_table *table = evb__ld_rlx(&trie->table);
    struct evb__token_map *map, *larger;
    uint32_t tokens = 0, units = 0;
    bool full =
        table == NULL || trie->nodes + trie->dead + (path->depth - found) > evb__trie_table_limit(table);

    for (uint32_t i = 0; i < path->depth; i++) {
        if (pattern->kind[i] != EVB__TOKEN_LITERAL || (!full && path->token[i] != EVB__TOKEN_NONE)) continue;
        tokens++;
        units += evb__token_units(pattern->length[i]);
    }
    if (full) return evb__trie_rebuild(trie, path->depth > 0 ? path->depth : 1, tokens, units);
    map = evb__ld_rlx(&table->map);
    if (evb__token_map_has_room(map, tokens, units)) return true;
    larger = evb__token_map_grow(map, tokens, units);
    if (larger == NULL) return false;
    /* release: the copy is complete. Pairs with the acquire in is_token_at, trie_match.c. */
    evb__st_rel(&table->map, larger);
    evb__token_map_retire(map, trie->retirer);
    return true;
}

/* A child comes to a node, or leaves it. */
static void link_child(struct evb__trie_table *table, uint32_t parent, uint32_t token, bool comes)
{
    EVB__ATOMIC(uint32_t) *word = &evb__trie_bucket_of(table, parent)->links[parent & 3];
    uint32_t links = evb__ld_rlx(word);

    if (token == EVB__TOKEN_STAR) {
        links ^= EVB__LINK_STAR;
    } else if (token == EVB__TOKEN_HASH) {
        links ^= EVB__LINK_HASH;
    } else if (comes) {
        links = evb__trie_more(links, evb__token_at(evb__ld_rlx(&table->map), token)->hash);
    } else {
        links = evb__trie_less(links);
    }
    /* release: the child's entry is there for who sees the link. Pairs with the acquire in visit(),
     * trie_match.c. */
    evb__st_rel(word, links);
}

/* Puts a node to use that was made just now, or pruned: then it comes back as what it was. */
static void use_node(struct evb__trie *trie, struct evb__trie_table *table, uint32_t node)
{
    struct evb__trie_bucket *bucket = evb__trie_bucket_of(table, node);
    uint32_t token = evb__ld_rlx(&bucket->token[node & 3]);

    if (evb__ld_rlx(&bucket->links[node & 3]) & EVB__LINK_LIVE) return;
    evb__st_rlx(&bucket->links[node & 3], EVB__LINK_LIVE); /* relaxed: only writers look at this bit */
    evb__token_hold(evb__ld_rlx(&table->map), token);
    link_child(table, evb__ld_rlx(&bucket->parent[node & 3]), token, true);
    trie->nodes++;
    trie->dead--;
}

uint32_t evb__trie_add(struct evb__trie *trie, const struct evb__tokens *pattern)
{
    struct evb__trie_table *table, *before;
    struct path path;
    uint32_t found = 0, parent = EVB__TRIE_ROOT;

    evb__trie_tidy(trie);
    before = table = evb__ld_rlx(&trie->table);
    path_of(trie, pattern, &path);
    if (table != NULL) found = locate(table, pattern, &path);
    if (!make_room(trie, pattern, &path, found)) return 0;
    table = evb__ld_rlx(&trie->table);
    if (table != before) found = locate(table, pattern, &path); /* rebuilt: other numbers */
    for (uint32_t i = 0; i < path.depth; i++) {
        if (i >= found) {
            if (path.token[i] == EVB__TOKEN_NONE)
                path.token[i] = evb__token_intern(evb__ld_rlx(&table->map), pattern->name + pattern->start[i],
                                                  pattern->length[i], path.token_hash[i]);
            path.node[i] = evb__trie_table_insert(table, parent, path.token[i], path.path_hash[i], 0);
            trie->dead++;
        }
        use_node(trie, table, path.node[i]);
        parent = path.node[i];
    }
    return parent << 1 | path.which;
}

uint32_t evb__trie_find(const struct evb__trie *trie, const struct evb__tokens *pattern)
{
    const struct evb__trie_table *table = evb__ld_rlx(&trie->table);
    struct path path;
    uint32_t place;

    if (table == NULL) return 0;
    path_of(trie, pattern, &path);
    if (locate(table, pattern, &path) < path.depth) return 0;
    place = (path.depth == 0 ? EVB__TRIE_ROOT : path.node[path.depth - 1]) << 1 | path.which;
    return evb__trie_head(trie, place) == 0 ? 0 : place;
}

static EVB__ATOMIC(uint32_t) *list_of(const struct evb__trie *trie, uint32_t place)
{
    uint32_t node = place >> 1;

    return &evb__trie_bucket_of(evb__ld_rlx(&trie->table), node)->list[place & 1][node & 3];
}

uint32_t evb__trie_head(const struct evb__trie *trie, uint32_t place)
{
    return evb__ld_rlx(list_of(trie, place));
}

void evb__trie_set_head(struct evb__trie *trie, uint32_t place, uint32_t head)
{
    /* release: what the head leads to is complete. Pairs with the acquire in visit(), trie_match.c. */
    evb__st_rel(list_of(trie, place), head);
}

void evb__trie_release(struct evb__trie *trie, uint32_t place)
{
    struct evb__trie_table *table = evb__ld_rlx(&trie->table);
    uint32_t node = place >> 1;

    while (node != EVB__TRIE_ROOT) { /* bounded by the depth of a pattern */
        struct evb__trie_bucket *bucket = evb__trie_bucket_of(table, node);
        uint32_t i = node & 3, token = evb__ld_rlx(&bucket->token[i]);

        if (evb__ld_rlx(&bucket->links[i]) != EVB__LINK_LIVE) break; /* has children, or is pruned */
        if (evb__ld_rlx(&bucket->list[EVB__LIST_EXACT][i]) != 0 ||
            evb__ld_rlx(&bucket->list[EVB__LIST_MANY][i]) != 0)
            break;
        evb__st_rlx(&bucket->links[i], 0); /* relaxed: to readers it was a node without children before */
        evb__token_drop(evb__ld_rlx(&table->map), token);
        node = evb__ld_rlx(&bucket->parent[i]);
        link_child(table, node, token, false);
        trie->nodes--;
        trie->dead++;
    }
    evb__trie_forget(trie);
}

/* ---- reading back ---- */

uint32_t evb__trie_text(const struct evb__trie *trie, uint32_t place, char *buf)
{
    const struct evb__trie_table *table = evb__ld_rlx(&trie->table);
    const struct evb__token_map *map = evb__ld_rlx(&table->map);
    const struct evb__dialect *d = trie->dialect;
    uint32_t way[EVB__TOKENS_MAX], depth = 0, size = 0;

    for (uint32_t node = place >> 1; node != EVB__TRIE_ROOT; depth++) {
        const struct evb__trie_bucket *bucket = evb__trie_bucket_of(table, node);

        way[depth] = evb__ld_rlx(&bucket->token[node & 3]);
        node = evb__ld_rlx(&bucket->parent[node & 3]);
    }
    for (uint32_t i = depth; i-- > 0;) {
        if (i + 1 < depth) buf[size++] = d->separator;
        if (way[i] < EVB__TOKEN_FIRST) {
            buf[size++] = way[i] == EVB__TOKEN_STAR ? d->one : d->many;
        } else {
            const struct evb__token *token = evb__token_at(map, way[i]);

            memcpy(buf + size, token->bytes, token->size);
            size += token->size;
        }
    }
    if ((place & 1) == EVB__LIST_MANY) {
        if (depth > 0) buf[size++] = d->separator;
        buf[size++] = d->many;
    }
    evb__assert(size <= EVB__NAME_MAX);
    buf[size] = '\0';
    return size;
}

int32_t evb__trie_each(const struct evb__trie *trie, int32_t (*fn)(uint32_t place, uint32_t head, void *arg),
                       void *arg)
{
    const struct evb__trie_table *table = evb__ld_rlx(&trie->table);

    for (uint32_t b = 0; table != NULL && b <= table->bucket_count; b++) {
        for (uint32_t i = 0; i < EVB__TRIE_SLOTS; i++) {
            for (uint32_t which = 0; which < 2; which++) {
                uint32_t head = evb__ld_rlx(&table->buckets[b].list[which][i]);
                int32_t rc = head == 0 ? 0 : fn((b << 2 | i) << 1 | which, head, arg);

                if (rc != 0) return rc;
            }
        }
    }
    return 0;
}

uint32_t evb__trie_tokens(const struct evb__trie *trie)
{
    const struct evb__trie_table *table = evb__ld_rlx(&trie->table);

    return table == NULL ? 0 : evb__ld_rlx(&table->map)->live;
}

size_t evb__trie_bytes(const struct evb__trie *trie)
{
    const struct evb__trie_table *table = evb__ld_rlx(&trie->table);

    return table == NULL ? 0 : evb__trie_table_bytes(table) + evb__token_map_bytes(evb__ld_rlx(&table->map));
}

/* ---- life ---- */

int32_t evb__trie_init(struct evb__trie *trie, const struct evb__dialect *dialect, uint64_t seed,
                       struct evb__retirer retirer, void (*moved)(void *arg, uint32_t head, uint32_t place),
                       void *arg)
{
    *trie =
        (struct evb__trie){.dialect = dialect, .retirer = retirer, .moved = moved, .arg = arg, .seed = seed};
    evb__init(&trie->table, NULL);
    return EVB_OK;
}

void evb__trie_fini(struct evb__trie *trie)
{
    evb__trie_table_free(evb__ld_rlx(&trie->table));
    evb__init(&trie->table, NULL);
    trie->nodes = trie->dead = 0;
}
