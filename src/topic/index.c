/* SPDX-License-Identifier: MIT */
/* The topic index: a burst trie of existing topics. Here what changes it; index_match.c walks it with a
 * pattern. */
#include "topic/index.h"

#include <evbus/base.h>
#include "base/alloc.h"
#include "base/platform.h"
#include "topic/index_node.h"

/* A child is made for EVB__INDEX_BURST topics and folded back at this many, so that neither happens again and
 * again. */
#define FOLD_TOPICS (EVB__INDEX_BURST / 4)

/* A bucket keeps room for this many topics even when it is empty. */
#define KEPT_CAPACITY 8

/* ---- arrays of a bucket ---- */

static size_t array_bytes(uint32_t capacity)
{
    return capacity * (sizeof(struct evb__named *) + 2);
}

/* count <= capacity, capacity > 0. false: no memory, nothing changed. */
static bool set_capacity(struct evb__index_bucket *bucket, uint32_t capacity)
{
    struct evb__index_bucket to = {.count = bucket->count, .capacity = capacity};

    to.records = evb__alloc(array_bytes(capacity), EVB__ALIGN_MIN);
    if (!to.records) return false;
    if (bucket->count > 0) {
        memcpy(to.records, bucket->records, bucket->count * sizeof to.records[0]);
        memcpy(evb__index_next_tags(&to), evb__index_next_tags(bucket), bucket->count);
        memcpy(evb__index_last_tags(&to), evb__index_last_tags(bucket), bucket->count);
    }
    evb__free(bucket->records, array_bytes(bucket->capacity));
    bucket->records = to.records;
    bucket->capacity = capacity;
    return true;
}

/* Room for so many topics more; false: no memory, nothing changed. Grows by a sixteenth: copying ten bytes a
 * topic sixteen times over is cheap beside the cache misses of an insert, unused memory is not. */
static bool make_room(struct evb__index_bucket *bucket, uint32_t more)
{
    if (bucket->capacity - bucket->count >= more) return true;
    return set_capacity(bucket, bucket->count + more + bucket->count / 16 + 1);
}

/* There is room. */
static void append(struct evb__index_bucket *bucket, struct evb__named *record, uint8_t next, uint8_t last)
{
    uint32_t count = bucket->count++;

    evb__assert(count < bucket->capacity);
    bucket->records[count] = record;
    evb__index_next_tags(bucket)[count] = next;
    evb__index_last_tags(bucket)[count] = last;
}

static void take_out(struct evb__index_bucket *bucket, uint32_t i)
{
    uint32_t end = --bucket->count;

    bucket->records[i] = bucket->records[end];
    evb__index_next_tags(bucket)[i] = evb__index_next_tags(bucket)[end];
    evb__index_last_tags(bucket)[i] = evb__index_last_tags(bucket)[end];
}

/* Gives back what a bucket does not need any more, but for so little that a topic which comes and goes would
 * pay more for it. */
static void trim(struct evb__index_bucket *bucket)
{
    if (bucket->capacity > KEPT_CAPACITY && bucket->count < bucket->capacity / 2)
        (void)set_capacity(bucket, bucket->count + bucket->count / 8 + 2);
}

/* The record is there. */
static void take_record(struct evb__index_bucket *bucket, const struct evb__named *record, uint8_t next)
{
    const uint8_t *tags = evb__index_next_tags(bucket), *at = tags, *end = tags + bucket->count;

    for (;; at++) {
        at = memchr(at, next, (size_t)(end - at));
        evb__assert(at != NULL);
        if (bucket->records[at - tags] == record) break;
    }
    take_out(bucket, (uint32_t)(at - tags));
}

/* ---- nodes ---- */

static struct evb__index_node *new_node(struct evb__index *index, struct evb__index_node *parent,
                                        const struct evb__index_token *token)
{
    struct evb__index_node *node = evb__zalloc(sizeof *node + token->size, EVB__ALIGN_MIN);

    if (!node) return NULL;
    node->buckets = &node->first;
    node->bucket_count = 1;
    node->parent = parent;
    node->hash = token->hash;
    node->token_size = (uint16_t)token->size;
    node->start = (uint16_t)(parent ? parent->start + token->size + 1 : 0);
    if (token->size > 0) memcpy(node->token, token->text, token->size);
    index->nodes++;
    return node;
}

/* The arrays of the buckets, then the buckets. Topics and children are somewhere else by now. */
static void free_buckets(struct evb__index_bucket *buckets, uint32_t count,
                         const struct evb__index_bucket *first)
{
    for (uint32_t i = 0; i < count; i++)
        evb__free(buckets[i].records, array_bytes(buckets[i].capacity));
    if (buckets != first) evb__free(buckets, count * sizeof *buckets);
}

static void free_node(struct evb__index *index, struct evb__index_node *node)
{
    free_buckets(node->buckets, node->bucket_count, &node->first);
    evb__free(node, sizeof *node + node->token_size);
    index->nodes--;
}

static void link_child(struct evb__index_node *node, struct evb__index_node *child)
{
    struct evb__index_bucket *bucket = evb__index_bucket_of(node, child->hash);

    child->sibling = bucket->children;
    bucket->children = child;
}

static void unlink_child(struct evb__index_node *node, const struct evb__index_node *child)
{
    struct evb__index_node **link = &evb__index_bucket_of(node, child->hash)->children;

    while (*link != child)
        link = &(*link)->sibling;
    *link = child->sibling;
}

/* The deepest node on the path of a name; *ret_token is what follows there. */
static struct evb__index_node *descend(const struct evb__index *index, const char *name, size_t size,
                                       struct evb__index_token *ret_token)
{
    struct evb__index_node *node = index->root, *child;

    for (;; node = child) {
        *ret_token = evb__index_token_at(index, node, name, size);
        if (!ret_token->text) return node;
        child = evb__index_child(node, ret_token);
        if (!child) return node;
    }
}

/* There is room. */
static void place(struct evb__index_node *node, struct evb__named *record,
                  const struct evb__index_token *token, uint8_t last)
{
    if (!token->text) {
        evb__assert(!node->here); /* a name is there once */
        node->here = record;
        return;
    }
    append(evb__index_bucket_of(node, token->hash), record, evb__index_tag(token->hash), last);
    node->topics++;
}

/* ---- more buckets, more nodes ---- */

/* Copies a node's topics into other, empty buckets. false: no memory. */
static bool spread(const struct evb__index *index, const struct evb__index_node *node,
                   struct evb__index_bucket *buckets, uint32_t count)
{
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        const struct evb__index_bucket *from = &node->buckets[i];

        for (uint32_t r = 0; r < from->count; r++) {
            struct evb__index_token token = evb__index_token_of(index, node, from->records[r]);
            struct evb__index_bucket *to = &buckets[token.hash & (count - 1)];

            if (r + 4 < from->count) EVB__PREFETCH(from->records[r + 4]);
            if (!make_room(to, 1)) return false;
            append(to, from->records[r], evb__index_next_tags(from)[r], evb__index_last_tags(from)[r]);
        }
    }
    return true;
}

/* Gives a node another number of buckets. Without memory it keeps those it has, and works. */
static void resize(struct evb__index *index, struct evb__index_node *node, uint32_t count)
{
    struct evb__index_bucket *old = node->buckets, *buckets, first = {0}, saved = node->first;
    uint32_t old_count = node->bucket_count;

    buckets = count > 1 ? evb__zalloc(count * sizeof *buckets, EVB__ALIGN_MIN) : &first;
    if (!buckets) return;
    if (!spread(index, node, buckets, count)) {
        free_buckets(buckets, count, &first);
        return;
    }
    if (old == &node->first) old = &saved;
    node->first = first;
    node->buckets = count > 1 ? buckets : &node->first;
    node->bucket_count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct evb__index_node *child = old[i].children, *sibling; child; child = sibling) {
            sibling = child->sibling;
            link_child(node, child);
        }
    }
    free_buckets(old, old_count, &saved);
}

/* Does topic i of a bucket have this next token? Mostly its tag says no, and its name is not read. */
static bool has_token(const struct evb__index *index, const struct evb__index_node *node,
                      const struct evb__index_bucket *bucket, uint32_t i,
                      const struct evb__index_token *token)
{
    struct evb__index_token other;

    if (evb__index_next_tags(bucket)[i] != evb__index_tag(token->hash)) return false;
    other = evb__index_token_of(index, node, bucket->records[i]);
    return evb__index_same(&other, token->hash, token->text, token->size);
}

static uint32_t count_alike(const struct evb__index *index, const struct evb__index_node *node,
                            const struct evb__index_bucket *bucket, const struct evb__index_token *token)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < bucket->count; i++)
        n += has_token(index, node, bucket, i, token);
    return n;
}

/* A child of its own for a token, and to it the topics of the bucket that have that token, `alike` of them.
 * false: no memory, all stays as it is. */
static bool burst(struct evb__index *index, struct evb__index_node *node, struct evb__index_bucket *bucket,
                  const struct evb__index_token *token, uint32_t alike)
{
    struct evb__index_node *child = new_node(index, node, token);

    if (!child) return false;
    if (!set_capacity(&child->first, alike)) {
        free_node(index, child);
        return false;
    }
    for (uint32_t i = 0; i < bucket->count;) {
        struct evb__named *record = bucket->records[i];
        struct evb__index_token below;

        if (!has_token(index, node, bucket, i, token)) {
            i++;
            continue;
        }
        below = evb__index_token_of(index, child, record);
        place(child, record, &below, evb__index_last_tags(bucket)[i]);
        take_out(bucket, i);
        node->topics--;
    }
    trim(bucket);
    link_child(node, child);
    node->children++;
    return true;
}

/* A bucket is full: children for the tokens that many of its topics share. The tags tell which need not be
 * looked at. */
static void burst_frequent(struct evb__index *index, struct evb__index_node *node,
                           struct evb__index_bucket *bucket)
{
    uint32_t tally[UINT8_MAX + 1] = {0};

    for (uint32_t i = 0; i < bucket->count; i++)
        tally[evb__index_next_tags(bucket)[i]]++;
    for (uint32_t i = 0; i < bucket->count;) {
        uint8_t tag = evb__index_next_tags(bucket)[i];
        if (tally[tag] >= EVB__INDEX_BURST) {
            struct evb__index_token token = evb__index_token_of(index, node, bucket->records[i]);
            uint32_t alike = count_alike(index, node, bucket, &token);

            if (alike >= EVB__INDEX_BURST) {
                if (!burst(index, node, bucket, &token, alike)) return;
                tally[tag] -= alike;
                continue; /* another topic is at i now */
            }
        }
        i++;
    }
}

/* After an insert into a bucket. */
static void relieve(struct evb__index *index, struct evb__index_node *node, struct evb__index_bucket *bucket)
{
    uint32_t count = node->bucket_count;

    if (bucket->count >= EVB__INDEX_FULL) burst_frequent(index, node, bucket);
    if (count > UINT32_MAX / 2 / sizeof *bucket) return;
    /* More buckets help when the topics are many; one bucket that is full beside empty ones holds what only a
     * child could take. */
    if ((bucket->count >= EVB__INDEX_FULL && node->topics / count >= EVB__INDEX_FULL / 4) ||
        node->children > count)
        resize(index, node, count * 2);
}

/* Takes a node without children out of the tree. What few topics it has go back to the parent, where they
 * would be without it. false: no memory for them there, nothing changed. */
static bool fold(struct evb__index *index, struct evb__index_node *node)
{
    struct evb__index_node *parent = node->parent;
    struct evb__index_token token = {.text = node->token, .size = node->token_size, .hash = node->hash};

    if (!make_room(evb__index_bucket_of(parent, node->hash), node->topics + (node->here != NULL)))
        return false;
    unlink_child(parent, node);
    parent->children--;
    if (node->here) place(parent, node->here, &token, evb__index_last_tag(index, node->here));
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        const struct evb__index_bucket *bucket = &node->buckets[i];

        for (uint32_t r = 0; r < bucket->count; r++)
            place(parent, bucket->records[r], &token, evb__index_last_tags(bucket)[r]);
    }
    free_node(index, node);
    return true;
}

/* ---- the calls ---- */

void evb__index_init(struct evb__index *index, const struct evb__dialect *dialect, uint64_t seed)
{
    *index = (struct evb__index){.dialect = dialect, .seed = seed};
}

/* Recursion, here and in visit(): as deep as names have tokens. */
static void free_tree(struct evb__index *index, struct evb__index_node *node)
{
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        struct evb__index_node *child = node->buckets[i].children, *sibling;

        for (; child; child = sibling) {
            sibling = child->sibling;
            free_tree(index, child);
        }
    }
    free_node(index, node);
}

void evb__index_fini(struct evb__index *index)
{
    if (index->root) free_tree(index, index->root);
    index->root = NULL;
}

int32_t evb__index_reserve(struct evb__index *index, const char *name, size_t size)
{
    static const struct evb__index_token none;
    struct evb__index_token token;
    struct evb__index_node *node;

    if (!index->root) index->root = new_node(index, NULL, &none);
    if (!index->root) return EVB_ENOMEM;
    node = descend(index, name, size, &token);
    if (!token.text) return EVB_OK; /* it will be `here` */
    return make_room(evb__index_bucket_of(node, token.hash), 1) ? EVB_OK : EVB_ENOMEM;
}

void evb__index_insert(struct evb__index *index, struct evb__named *record)
{
    struct evb__index_token token;
    struct evb__index_node *node = descend(index, evb__named_name(record), record->size, &token);

    place(node, record, &token, evb__index_last_tag(index, record));
    if (token.text) relieve(index, node, evb__index_bucket_of(node, token.hash));
}

void evb__index_remove(struct evb__index *index, struct evb__named *record)
{
    struct evb__index_token token;
    struct evb__index_node *node = descend(index, evb__named_name(record), record->size, &token);

    if (!token.text) {
        evb__assert(node->here == record);
        node->here = NULL;
    } else {
        struct evb__index_bucket *bucket = evb__index_bucket_of(node, token.hash);

        take_record(bucket, record, evb__index_tag(token.hash));
        node->topics--;
        trim(bucket);
    }
    while (node->parent && node->children == 0 && node->topics + (node->here != NULL) <= FOLD_TOPICS) {
        struct evb__index_node *parent = node->parent;

        if (!fold(index, node)) break;
        node = parent;
    }
    if (node->bucket_count > 1 && node->topics / node->bucket_count < EVB__INDEX_FULL / 16 &&
        node->children < node->bucket_count / 4)
        resize(index, node, node->bucket_count / 2);
}
