/* SPDX-License-Identifier: MIT */
/* The topic index: which existing topics does a new pattern touch? Writers only.
 *
 * A burst trie (Heinz, Zobel, Williams, 2002) whose containers are small hash tables: a node keeps the topics
 * that share its prefix of tokens in buckets, by the hash of their next token. A bucket is an array of
 * pointers beside one byte of the hash of the next token and one of the last token of each, so that a search
 * reads bytes that lie together and looks at a record, a cache miss each, hardly ever in vain. When a bucket
 * is full, the topics of a token that many of them share move to a child node; where no token is so frequent
 * the node gets twice the buckets. An ordinary topic thus costs 10 to 12 bytes, not a node.
 *
 *      root  [0] child "flight"         [1] hello, ...
 *               |
 *               node  [0] flight.LAX.SFO, flight.BOS, ...; child "JFK"            here: flight
 *                                                             |
 *                                                             node  [0] flight.JFK.LAX, flight.JFK.BOS, ...
 *
 * A literal token of a pattern leads to one bucket, a wildcard to all of a node.
 *
 * Invariant: a topic is in exactly one node, the deepest existing one whose path is a prefix of its tokens:
 * in the bucket of its next token, or it is the node's `here` when it has none. A node other than the root
 * without topics and children is freed. Reserve makes all the room that an insert needs; what is for speed
 * and room only (a child, more buckets, folding a child with few topics and no children back into its parent)
 * waits when there is no memory, so insert and remove never fail. Threads: under the owner's lock.
 */
#ifndef EVB__TOPIC_INDEX_H
#define EVB__TOPIC_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "topic/dialect.h"
#include "topic/names.h"

#define EVB__INDEX_FULL  128 /* topics in a bucket: time to move some */
#define EVB__INDEX_BURST 16  /* those that share the next token, for a node of their own */

struct evb__index_node; /* index_node.h */

struct evb__index {
    struct evb__index_node *root;
    const struct evb__dialect *dialect;
    uint64_t seed;
    uint32_t nodes; /* the root included */
    uint32_t looks; /* names that matches have read so far; tests look at it */
};

void evb__index_init(struct evb__index *index, const struct evb__dialect *dialect, uint64_t seed);
/* Frees the nodes; looks at no record: they may be gone already. */
void evb__index_fini(struct evb__index *index);
/* Room for the insert of this name, a valid topic that is not in the index, if that is the next change:
 * EVB_OK or EVB_ENOMEM. */
int32_t evb__index_reserve(struct evb__index *index, const char *name, size_t size);
/* After a reserve for its name; never fails. The name stays the same as long as the record is in the index.
 */
void evb__index_insert(struct evb__index *index, struct evb__named *record);
void evb__index_remove(struct evb__index *index, struct evb__named *record);
/* Calls fn for every topic that evb__matches says the pattern matches, each once, in no particular order. fn
 * must not insert or remove. Stops at non-zero and answers it. */
int32_t evb__index_match(struct evb__index *index, const struct evb__tokens *pattern,
                         int32_t (*fn)(struct evb__named *record, void *arg), void *arg);

#ifdef EVB_TESTING
/* Walks everything: the number of topics, or -1 when the invariant does not hold. */
int64_t evb__index_audit(const struct evb__index *index);
/* The longest search that a literal token leads to: topics of one bucket, or EVB__INDEX_BURST times the
 * children of one. */
uint32_t evb__index_longest(const struct evb__index *index);
#endif

#endif
