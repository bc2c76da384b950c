/* SPDX-License-Identifier: MIT */
/* What the files of the topic index (index.h) share: its nodes, and the small steps along tokens and buckets.
 *
 * Private to index*.c. The comment of index.h has the picture and the invariant.
 */
#ifndef EVB__TOPIC_INDEX_NODE_H
#define EVB__TOPIC_INDEX_NODE_H

#include <string.h>

#include "base/hash.h"
#include "topic/index.h"

struct evb__index_bucket {
    struct evb__index_node *children; /* those whose token falls into this bucket */
    struct evb__named **records;      /* `capacity` of them, then as many next tags, then as many last tags */
    uint32_t count, capacity;
};

struct evb__index_node {
    struct evb__index_node *parent;
    struct evb__index_node *sibling;   /* the next child in the same bucket of the parent */
    struct evb__named *here;           /* the topic that ends with this node's token */
    struct evb__index_bucket *buckets; /* or &first */
    struct evb__index_bucket first;
    uint32_t bucket_count; /* a power of two */
    uint32_t topics;       /* in buckets */
    uint32_t children;
    uint32_t hash;  /* of the token that leads here */
    uint16_t start; /* where the next token begins in the name of everything below */
    uint16_t token_size;
    char token[];
};

/* The token of a name that follows a node's path. */
struct evb__index_token {
    const char *text; /* NULL: the name ends at the node */
    size_t size;
    uint32_t hash;
};

/* ---- tokens ---- */

/* One byte of the hash that has no part in choosing the bucket. */
static inline uint8_t evb__index_tag(uint32_t hash)
{
    return (uint8_t)(hash >> 24);
}

static inline uint32_t evb__index_hash(const struct evb__index *index, const char *text, size_t size)
{
    return (uint32_t)evb__hash(text, size, index->seed);
}

static inline struct evb__index_token evb__index_token_at(const struct evb__index *index,
                                                          const struct evb__index_node *node,
                                                          const char *name, size_t size)
{
    struct evb__index_token token = {0};
    const char *end;

    /* A place behind a last separator is an empty token; only a name without bytes has none at the root. */
    if (size == 0 || node->start > size) return token;
    token.text = name + node->start;
    token.size = size - node->start;
    end = memchr(token.text, index->dialect->separator, token.size);
    if (end) token.size = (size_t)(end - token.text);
    token.hash = evb__index_hash(index, token.text, token.size);
    return token;
}

static inline struct evb__index_token evb__index_token_of(const struct evb__index *index,
                                                          const struct evb__index_node *node,
                                                          const struct evb__named *record)
{
    return evb__index_token_at(index, node, evb__named_name(record), record->size);
}

static inline uint8_t evb__index_last_tag(const struct evb__index *index, const struct evb__named *record)
{
    const char *name = evb__named_name(record);
    uint32_t size = record->size, start;

    for (start = size; start > 0 && name[start - 1] != index->dialect->separator; start--)
        continue;
    return evb__index_tag(evb__index_hash(index, name + start, size - start));
}

static inline bool evb__index_same(const struct evb__index_token *a, uint32_t hash, const char *text,
                                   size_t size)
{
    return a->hash == hash && a->size == size && memcmp(a->text, text, size) == 0;
}

/* ---- buckets ---- */

static inline struct evb__index_bucket *evb__index_bucket_of(const struct evb__index_node *node,
                                                             uint32_t hash)
{
    return &node->buckets[hash & (node->bucket_count - 1)];
}

static inline uint8_t *evb__index_next_tags(const struct evb__index_bucket *bucket)
{
    return (uint8_t *)(bucket->records + bucket->capacity);
}

static inline uint8_t *evb__index_last_tags(const struct evb__index_bucket *bucket)
{
    return evb__index_next_tags(bucket) + bucket->capacity;
}

static inline struct evb__index_node *evb__index_child(const struct evb__index_node *node,
                                                       const struct evb__index_token *token)
{
    struct evb__index_node *child = evb__index_bucket_of(node, token->hash)->children;

    while (child && !evb__index_same(token, child->hash, child->token, child->token_size))
        child = child->sibling;
    return child;
}

#endif
