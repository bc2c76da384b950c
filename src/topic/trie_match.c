/* SPDX-License-Identifier: MIT */
/* The pattern trie, readers' side: which lists belong to a topic.
 *
 * The walk keeps for each node the *set* of positions in the topic at which it can stand, as a mask of 17
 * bits: bit p = p tokens are used up. Without a many-token wildcard in the middle there is one bit. Below an
 * AMQP `#` there may be many, and the set moves as one:
 *
 *      `*` child        every position goes on by one
 *      literal child    the positions whose token it is go on by one
 *      `#` child        the lowest position and all behind it
 *
 * So a node is visited once, whatever the number of ways in which the `#` can be stretched, and a list is
 * reported once.
 *
 * Children are not looked up at once: each becomes a probe whose bucket is prefetched, and probes wait in a
 * queue. First in, first out while few wait, so that the misses of a level overlap; last in, first out beyond
 * that, so that the queue stays small: depth first adds at most three probes a level.
 */
#include "topic/trie.h"

#include "topic/names.h"
#include "topic/trie_table.h"

#include <string.h>

#define UNKNOWN UINT32_MAX /* a token whose number is not known; the number of none */
#define BREADTH 12         /* probes that may wait before the walk goes depth first */
#define PROBES  64         /* a power of two */
_Static_assert(PROBES >= BREADTH + 3 * (EVB__TOKENS_MAX + 1),
               "depth first from BREADTH on never overflows the queue");

/* What stands behind an edge: a token of the topic by its position, or a wildcard. */
#define EDGE_STAR (EVB__TOKENS_MAX + 0)
#define EDGE_HASH (EVB__TOKENS_MAX + 1)
#define EDGES     (EVB__TOKENS_MAX + 2)

struct probe {
    const struct evb__trie_bucket *home;
    uint32_t parent, edge, path_hash; /* the child that is looked for */
    uint32_t at;                      /* where it can stand, if it is there */
    uint32_t rest;        /* literal: positions of the parent whose tokens are still to be looked for */
    uint32_t parent_hash; /* for these */
};

struct walk {
    const struct evb__trie_table *table;
    const struct evb__tokens *topic;
    void (*fn)(uint32_t head, void *arg);
    void *arg;
    uint32_t end;                   /* the position behind the last token */
    uint32_t many;                  /* positions at which a many list matches */
    uint32_t token[EDGES];          /* by edge; UNKNOWN: not met in the trie yet */
    uint32_t token_hash[EDGES];     /* by edge */
    uint32_t hint[EVB__TOKENS_MAX]; /* evb__trie_hint */
    uint32_t same[EVB__TOKENS_MAX]; /* positions with the same token, itself included */
    uint32_t first, next;           /* of the queue: count = next - first */
    struct probe queue[PROBES];
};

/* Is this interned token the one at the topic's position? */
EVB__INLINE bool is_token_at(const struct walk *w, uint32_t number, uint32_t p)
{
    /* acquire: the map is complete. Loaded after the entry with the number, hence not older than the map in
     * which that token was first. Pairs with the release in make_room, trie.c. */
    const struct evb__token *token = evb__token_at(evb__ld_acq(&w->table->map), number);

    evb__assert(p < w->topic->count);
    return token->size == w->topic->length[p] &&
           evb__names_same(token->bytes, w->topic->name + w->topic->start[p], token->size);
}

/* The child that a probe asks for, or 0. As evb__trie_child, but a token of the topic is looked up in no
 * table of its own: its bytes are compared with those of the first entry that may be it, and then its number
 * is known. */
EVB__INLINE uint32_t answer(struct walk *w, const struct probe *probe)
{
    const struct evb__trie_bucket *bucket = probe->home;
    uint32_t parent = probe->parent, known = w->token[probe->edge];

    for (;;) { /* bounded as evb__trie_child */
        uint32_t found = evb__trie_siblings(bucket, parent);

        for (; found != 0; found &= found - 1) {
            uint32_t i = evb__trie_lowest(found);
            uint32_t token = evb__ld_acq(&bucket->token[i]); /* as in evb__trie_child */

            if (token != known) {
                if (known != UNKNOWN || token < EVB__TOKEN_FIRST || !is_token_at(w, token, probe->edge))
                    continue;
                w->token[probe->edge] = token;
            }
            return (uint32_t)(bucket - w->table->buckets) << 2 | i;
        }
        /* relaxed: as in evb__trie_child. */
        if ((evb__ld_rlx(&bucket->passed) & evb__trie_passed_bit(probe->path_hash)) == 0) return 0;
        if (++bucket > w->table->buckets + w->table->bucket_count) bucket = w->table->buckets + 1;
    }
}

/* A probe for the child behind an edge. */
EVB__INLINE struct probe *push(struct walk *w, uint32_t parent, uint32_t parent_hash, uint32_t edge,
                               uint32_t at)
{
    struct probe *probe = &w->queue[w->next++ % PROBES];

    evb__assert(w->next - w->first <= PROBES);
    probe->parent = parent;
    probe->edge = edge;
    probe->path_hash = evb__trie_step(parent_hash, w->token_hash[edge]);
    probe->at = at;
    probe->home = &w->table->buckets[evb__trie_home(w->table, probe->path_hash)];
    EVB__PREFETCH(probe->home);
    return probe;
}

/* The children behind the tokens at these positions: one probe, for the first of them. */
EVB__INLINE void push_literals(struct walk *w, uint32_t parent, uint32_t parent_hash, uint32_t positions)
{
    uint32_t same = w->same[evb__trie_lowest(positions)];
    struct probe *probe = push(w, parent, parent_hash, evb__trie_lowest(same), (positions & same) << 1);

    probe->rest = positions & ~same;
    probe->parent_hash = parent_hash;
}

/* Those of the positions behind whose tokens the node may have a child. */
EVB__INLINE uint32_t hinted(const struct walk *w, uint32_t links, uint32_t positions)
{
    for (uint32_t left = positions; left != 0; left &= left - 1) {
        uint32_t p = evb__trie_lowest(left);

        if ((links & w->hint[p]) == 0) positions &= ~((uint32_t)1 << p);
    }
    return positions;
}

/* Reports the lists of a node that can stand `at` these positions and sends out probes for its children.
 * hidden: wildcards do not count. sets: `at` may have more than one bit. */
EVB__INLINE void visit(struct walk *w, uint32_t node, uint32_t path_hash, uint32_t at, bool hidden, bool sets)
{
    const struct evb__trie_bucket *bucket = evb__trie_bucket_of(w->table, node);
    uint32_t i = node & 3, before_end = at & ~w->end;
    /* acquire: the entries of the children that the links speak of are there. Pairs with the release in
     * link_child. */
    uint32_t links = evb__ld_acq(&bucket->links[i]);
    /* acquire: what the head leads to. Pairs with the release in evb__trie_set_head. */
    uint32_t many = evb__ld_acq(&bucket->list[EVB__LIST_MANY][i]);

    if (many != 0 && (at & w->many) && !hidden) w->fn(many, w->arg);
    if (at & w->end) {
        uint32_t exact = evb__ld_acq(&bucket->list[EVB__LIST_EXACT][i]); /* as above */

        if (exact != 0) w->fn(exact, w->arg);
        if (!sets) return;
    }
    if (sets && (links & EVB__LINK_HASH)) /* from the lowest position to the end */
        push(w, node, path_hash, EDGE_HASH, (w->end | (w->end - 1)) & ~((at & -at) - 1))->rest = 0;
    if (sets && before_end == 0) return;
    if ((links & EVB__LINK_STAR) && !hidden) push(w, node, path_hash, EDGE_STAR, before_end << 1)->rest = 0;
    if (sets) {
        before_end = hinted(w, links, before_end);
        if (before_end != 0) push_literals(w, node, path_hash, before_end);
    } else {
        uint32_t p = evb__trie_lowest(at);

        if (links & w->hint[p]) push(w, node, path_hash, p, at << 1);
    }
}

static void note_tokens(struct walk *w, const struct evb__tokens *topic, uint64_t seed, bool sets)
{
    for (uint32_t p = 0; p < topic->count; p++) {
        w->token_hash[p] = evb__token_hash(topic->name + topic->start[p], topic->length[p], seed);
        w->token[p] = UNKNOWN;
        w->hint[p] = evb__trie_hint(w->token_hash[p]);
        if (!sets) continue;
        w->same[p] = (uint32_t)1 << p;
        for (uint32_t q = 0; q < p; q++) {
            if (w->token_hash[q] != w->token_hash[p] || topic->length[q] != topic->length[p] ||
                memcmp(topic->name + topic->start[q], topic->name + topic->start[p], topic->length[p]) != 0)
                continue;
            w->same[p] |= w->same[q];
            w->same[q] |= w->same[p];
        }
    }
    w->token[EDGE_STAR] = EVB__TOKEN_STAR;
    w->token_hash[EDGE_STAR] = evb__trie_wildcard_hash(seed, EVB__TOKEN_STAR);
    w->token[EDGE_HASH] = EVB__TOKEN_HASH;
    w->token_hash[EDGE_HASH] = evb__trie_wildcard_hash(seed, EVB__TOKEN_HASH);
}

EVB__INLINE void walk(struct walk *w, uint64_t seed, bool hidden, bool sets)
{
    note_tokens(w, w->topic, seed, sets);
    visit(w, EVB__TRIE_ROOT, evb__trie_root_hash(seed), 1, hidden, sets);
    while (w->next != w->first) { /* bounded: a probe leads to one node, a node is reached by one probe */
        uint32_t index = w->next - w->first < BREADTH ? w->first++ : --w->next;
        const struct probe *probe = &w->queue[index % PROBES];
        /* Copies: the place in the queue may be given away by the next push. */
        uint32_t path_hash = probe->path_hash, at = probe->at, node = answer(w, probe);

        if (sets && probe->rest != 0) push_literals(w, probe->parent, probe->parent_hash, probe->rest);
        if (node != 0) visit(w, node, path_hash, at, false, sets);
    }
}

void evb__trie_match(const struct evb__trie *trie, const struct evb__tokens *topic,
                     void (*fn)(uint32_t head, void *arg), void *arg)
{
    const struct evb__dialect *d = trie->dialect;
    struct walk w;

    /* acquire: the table is complete. Pairs with the release in evb__trie_rebuild. */
    w.table = evb__ld_acq(&trie->table);
    if (w.table == NULL) return;
    w.topic = topic;
    w.fn = fn;
    w.arg = arg;
    w.end = (uint32_t)1 << topic->count;
    w.many = d->many_may_be_empty ? w.end | (w.end - 1) : w.end - 1;
    w.first = w.next = 0;
    /* Two copies of the walk: where a `#` stands only at the end, positions need no sets. */
    if (d->many_only_last)
        walk(&w, trie->seed, d->hide_dollar && topic->size > 0 && topic->name[0] == '$', false);
    else
        walk(&w, trie->seed, false, true);
}
