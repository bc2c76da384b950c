/* SPDX-License-Identifier: MIT */
/* The topic index looked over from outside, for tests. */
#include "topic/index.h"

#include "topic/index_node.h"

#ifdef EVB_TESTING

static int64_t audit(const struct evb__index *index, const struct evb__index_node *node)
{
    int64_t total = 0, below;
    uint32_t topics = 0, children = 0;
    struct evb__index_token token;

    if (node->here) {
        if (evb__index_token_of(index, node, node->here).text) return -1;
        total++;
    }
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        const struct evb__index_bucket *bucket = &node->buckets[i];

        if (bucket->count > bucket->capacity) return -1;
        for (uint32_t r = 0; r < bucket->count; r++, topics++) {
            token = evb__index_token_of(index, node, bucket->records[r]);
            if (!token.text || evb__index_bucket_of(node, token.hash) != bucket ||
                evb__index_child(node, &token))
                return -1;
            if (evb__index_next_tags(bucket)[r] != evb__index_tag(token.hash)) return -1;
            if (evb__index_last_tags(bucket)[r] != evb__index_last_tag(index, bucket->records[r])) return -1;
        }
        for (const struct evb__index_node *child = bucket->children; child;
             child = child->sibling, children++) {
            if (child->parent != node || evb__index_bucket_of(node, child->hash) != bucket) return -1;
            if ((below = audit(index, child)) <= 0) return -1; /* 0: it should be gone */
            total += below;
        }
    }
    return topics == node->topics && children == node->children ? total + topics : -1;
}

int64_t evb__index_audit(const struct evb__index *index)
{
    return index->root ? audit(index, index->root) : 0;
}

static uint32_t longest(const struct evb__index_node *node)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < node->bucket_count; i++) {
        uint32_t children = 0;

        for (const struct evb__index_node *child = node->buckets[i].children; child; child = child->sibling) {
            uint32_t below = longest(child);

            if (below > most) most = below;
            children++;
        }
        if (node->buckets[i].count > most) most = node->buckets[i].count;
        if (children * EVB__INDEX_BURST > most) most = children * EVB__INDEX_BURST;
    }
    return most;
}

uint32_t evb__index_longest(const struct evb__index *index)
{
    return index->root ? longest(index->root) : 0;
}

#endif
