/* SPDX-License-Identifier: MIT */
/* The pattern trie: which wildcard patterns match a topic, for readers that take no lock.
 *
 *      pattern         path                                  where its list hangs
 *      flight.JFK.*    root -flight- n1 -JFK- n2 -*- n3      n3, "exact" list: the topic ends here
 *      flight.>        root -flight- n1                      n1, "many" list: any tail, in DOT not none
 *      a.#.b  (AMQP)   root -a- m1 -#- m2 -b- m3             `#` in the middle is an edge, m2 loops
 *
 * One flat hash table of edges, an entry per node: {token, parent, links, exact head, many head}. A node's
 * number is the place of its entry, so node data live in the edge that leads to it: one cache miss a level,
 * and the way up costs no other table. Tokens are interned (tokens.h); a topic token nobody interned can only
 * follow a wildcard. A *place* names one list: node number and which of its two lists. List heads are 32-bit
 * numbers that belong to the owner (0 = empty); the trie never looks behind them. Nodes without lists and
 * children are pruned at once.
 *
 * Invariant: a reader that loaded the table sees each entry complete (token published last, release), follows
 * it to children of the same table only, and never meets a node number that was reused: an entry keeps its
 * key until the table is rebuilt, a pruned one has empty lists, no children, and can only come back as the
 * same node of the same pattern. A rebuild gives the nodes new numbers in a new table and retires the old one
 * whole. A match is not a picture of one moment: of patterns that are added or released meanwhile each may be
 * reported or not. A reader of a table that is being replaced may still report a head that evb__trie_set_head
 * has replaced: what a head leads to must outlive such readers, as always. Threads: writers under the owner's
 * lock, evb__trie_match any.
 */
#ifndef EVB__TOPIC_TRIE_H
#define EVB__TOPIC_TRIE_H

#include <stddef.h>
#include <stdint.h>
#include "base/atomic.h"
#include "topic/dialect.h"
#include "topic/limbo.h"

struct evb__trie_table; /* trie_table.h */

struct evb__trie {
    EVB__ATOMIC(struct evb__trie_table *) table; /* NULL: no pattern */
    const struct evb__dialect *dialect;
    struct evb__retirer retirer;
    /* A rebuild gives the list at `head` another place: the owner corrects what its members remember. Under
     * the owner's lock, in the middle of the rebuild: it must not call the trie. */
    void (*moved)(void *arg, uint32_t head, uint32_t place);
    void *arg;
    uint64_t seed;
    uint32_t nodes, dead; /* entries of the table: in use (the root is none), and pruned but still there */
};

/* EVB_OK; allocates nothing yet. */
int32_t evb__trie_init(struct evb__trie *trie, const struct evb__dialect *dialect, uint64_t seed,
                       struct evb__retirer retirer, void (*moved)(void *arg, uint32_t head, uint32_t place),
                       void *arg);
void evb__trie_fini(struct evb__trie *trie); /* no reader left: frees at once, nothing goes to the retirer */

/* Makes the path of a valid pattern that has a wildcard. Answers its place (never 0), or 0: no memory,
 * nothing changed. May rebuild. The place stays valid until a rebuild moves it (moved, for the places of
 * non-empty lists; those of empty ones are void then) or evb__trie_release prunes it. */
uint32_t evb__trie_add(struct evb__trie *trie, const struct evb__tokens *pattern);
/* The place of a non-empty list; 0: not there. */
uint32_t evb__trie_find(const struct evb__trie *trie, const struct evb__tokens *pattern);
uint32_t evb__trie_head(const struct evb__trie *trie, uint32_t place);
/* Publishes what is behind the head, and what was behind the old one may be retired then. */
void evb__trie_set_head(struct evb__trie *trie, uint32_t place, uint32_t head);
/* Prunes the place's node and its ancestors as far as they hold nothing; a place that is in use stays. Never
 * fails, never allocates, moves nothing. What is pruned is given back with the last pattern, else by an add.
 */
void evb__trie_release(struct evb__trie *trie, uint32_t place);
/* The pattern's text into buf (EVB__NAME_MAX + 1 bytes, NUL-terminated); answers its length. */
uint32_t evb__trie_text(const struct evb__trie *trie, uint32_t place, char *buf);
/* Every place with a non-empty list, in no particular order; the callback must not change the trie. Stops at
 * non-zero and answers it. */
int32_t evb__trie_each(const struct evb__trie *trie, int32_t (*fn)(uint32_t place, uint32_t head, void *arg),
                       void *arg);

/* For statistics and tests. An empty trie holds at most one table and one token map of the smallest size. */
uint32_t evb__trie_tokens(const struct evb__trie *trie); /* literal tokens in use */
size_t evb__trie_bytes(const struct evb__trie *trie);    /* allocated now, without what the retirer holds */

/* Readers: calls fn with the head of every list whose pattern matches the topic, each once. No allocation,
 * about 3 KiB of stack, no lock; time at most in proportion to the nodes whose path matches a prefix of the
 * topic. The caller is announced (base/reader.h). */
void evb__trie_match(const struct evb__trie *trie, const struct evb__tokens *topic,
                     void (*fn)(uint32_t head, void *arg), void *arg);

#endif
