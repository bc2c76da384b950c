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
    return capacity * (sizeof(struct evb__indexed *) + 2);
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

/* Grows by an eighth: copying ten bytes a topic eight times over is cheap beside the cache misses of an
 * insert, unused memory is not. */
static bool append(struct evb__index_bucket *bucket, struct evb__indexed *record, uint8_t next, uint8_t last)
{
    uint32_t count = bucket->count;

    if (count == bucket->capacity && !set_capacity(bucket, count + count / 8 + 2)) return false;
    bucket->records[count] = record;
    evb__index_next_tags(bucket)[count] = next;
    evb__index_last_tags(bucket)[count] = last;
    bucket->count++;
    return true;
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

static bool take_record(struct evb__index_bucket *bucket, const struct evb__indexed *record, uint8_t next)
{
    const uint8_t *tags, *at, *end;

    if (bucket->count == 0) return false;
    tags = evb__index_next_tags(bucket);
    end = tags + bucket->count;
    for (at = tags; at < end && (at = memchr(at, next, (size_t)(end - at))) != NULL; at++) {
        if (bucket->records[at - tags] != record) continue;
        take_out(bucket, (uint32_t)(at - tags));
        return true;
    }
    return false;
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

/* The deepest node on the record's path; *ret_token is what follows there. */
static struct evb__index_node *descend(const struct evb__index *index, const struct evb__indexed *record,
                                       struct evb__index_token *ret_token)
{
    struct evb__index_node *node = index->root, *child;
    uint32_t size;
    const char *name = index->name_of(record, &size);

    for (;; node = child) {
        *ret_token = evb__index_token_at(index, node, name, size);
        if (!ret_token->text) return node;
        child = evb__index_child(node, ret_token);
        if (!child) return node;
    }
}

static void chain(struct evb__indexed **list, struct evb__indexed *record)
{
    record->next = *list;
    *list = record;
}

static void unchain(struct evb__indexed **list, const struct evb__indexed *record)
{
    while (*list != record) {
        evb__assert(*list != NULL); /* it is in the index */
        list = &(*list)->next;
    }
    *list = record->next;
}

static void place(struct evb__index_node *node, struct evb__indexed *record,
                  const struct evb__index_token *token, uint8_t last)
{
    if (!token->text) {
        chain(&node->here, record);
        return;
    }
    node->topics++;
    if (!append(evb__index_bucket_of(node, token->hash), record, evb__index_tag(token->hash), last))
        chain(&node->overflow, record);
}

/* There may be memory again. */
static void place_overflow(const struct evb__index *index, struct evb__index_node *node)
{
    while (node->overflow) {
        struct evb__indexed *record = node->overflow;
        struct evb__index_token token = evb__index_token_of(index, node, record);

        if (!append(evb__index_bucket_of(node, token.hash), record, evb__index_tag(token.hash),
                    evb__index_last_tag(index, record)))
            return;
        node->overflow = record->next;
    }
}

/* ---- making room ---- */

/* Gives a node another number of buckets. Without memory it keeps those it has, and works. */
static void resize(struct evb__index *index, struct evb__index_node *node, uint32_t count)
{
    struct evb__index_bucket *old = node->buckets, *buckets, saved = node->first;
    uint32_t old_count = node->bucket_count;

    buckets = count > 1 ? evb__zalloc(count * sizeof *buckets, EVB__ALIGN_MIN) : &node->first;
    if (!buckets) return;
    if (old == &node->first) old = &saved;
    node->first = (struct evb__index_bucket){0};
    node->buckets = buckets;
    node->bucket_count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        struct evb__index_node *child = old[i].children, *sibling;

        for (; child; child = sibling) {
            sibling = child->sibling;
            link_child(node, child);
        }
        for (uint32_t r = 0; r < old[i].count; r++) {
            struct evb__indexed *record = old[i].records[r];
            struct evb__index_token token = evb__index_token_of(index, node, record);

            if (r + 4 < old[i].count) EVB__PREFETCH(old[i].records[r + 4]);
            if (!append(evb__index_bucket_of(node, token.hash), record, evb__index_tag(token.hash),
                        evb__index_last_tags(&old[i])[r]))
                chain(&node->overflow, record);
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

/* A child of its own for a token, and to it whatever has that token. false: no memory, all stays as it is. */
static bool burst(struct evb__index *index, struct evb__index_node *node, struct evb__index_bucket *bucket,
                  const struct evb__index_token *token)
{
    struct evb__index_node *child = new_node(index, node, token);
    struct evb__indexed **link = &node->overflow, *record;
    struct evb__index_token other, below;

    if (!child) return false;
    for (uint32_t i = 0; i < bucket->count;) {
        if (!has_token(index, node, bucket, i, token)) {
            i++;
            continue;
        }
        record = bucket->records[i];
        below = evb__index_token_of(index, child, record);
        place(child, record, &below, evb__index_last_tags(bucket)[i]);
        take_out(bucket, i);
        node->topics--;
    }
    while ((record = *link) != NULL) {
        other = evb__index_token_of(index, node, record);
        if (!evb__index_same(&other, token->hash, token->text, token->size)) {
            link = &record->next;
            continue;
        }
        *link = record->next;
        below = evb__index_token_of(index, child, record);
        place(child, record, &below, evb__index_last_tag(index, record));
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
        uint32_t before = bucket->count;
        struct evb__index_token token;

        if (tally[tag] >= EVB__INDEX_BURST) {
            token = evb__index_token_of(index, node, bucket->records[i]);
            if (count_alike(index, node, bucket, &token) >= EVB__INDEX_BURST &&
                !burst(index, node, bucket, &token))
                return;
            tally[tag] -= before - bucket->count;
        }
        if (before == bucket->count) i++; /* else another topic is at i now */
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
 * would be without it. */
static void fold(struct evb__index *index, struct evb__index_node *node)
{
    struct evb__index_node *parent = node->parent;
    struct evb__index_token token = {.text = node->token, .size = node->token_size, .hash = node->hash};
    struct evb__indexed *lists[] = {node->here, node->overflow};

    unlink_child(parent, node);
    parent->children--;
    for (uint32_t i = 0; i < 2; i++) {
        for (struct evb__indexed *record = lists[i], *next; record; record = next) {
            next = record->next;
            place(parent, record, &token, evb__index_last_tag(index, record));
        }
    }
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        const struct evb__index_bucket *bucket = &node->buckets[i];

        for (uint32_t r = 0; r < bucket->count; r++)
            place(parent, bucket->records[r], &token, evb__index_last_tags(bucket)[r]);
    }
    free_node(index, node);
}

/* ---- the calls ---- */

int32_t evb__index_init(struct evb__index *index, const struct evb__dialect *dialect, uint64_t seed,
                        const char *(*name_of)(const struct evb__indexed *record, uint32_t *ret_size))
{
    *index = (struct evb__index){.dialect = dialect, .name_of = name_of, .seed = seed};
    return EVB_OK;
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

int32_t evb__index_reserve(struct evb__index *index)
{
    static const struct evb__index_token none;

    if (!index->root) index->root = new_node(index, NULL, &none);
    return index->root ? EVB_OK : EVB_ENOMEM;
}

void evb__index_insert(struct evb__index *index, struct evb__indexed *record)
{
    struct evb__index_token token;
    struct evb__index_node *node = descend(index, record, &token);

    place(node, record, &token, evb__index_last_tag(index, record));
    if (!token.text) return;
    if (node->overflow) place_overflow(index, node);
    relieve(index, node, evb__index_bucket_of(node, token.hash));
}

void evb__index_remove(struct evb__index *index, struct evb__indexed *record)
{
    struct evb__index_token token;
    struct evb__index_node *node = descend(index, record, &token);
    struct evb__index_bucket *bucket = evb__index_bucket_of(node, token.hash);

    if (!token.text) {
        unchain(&node->here, record);
    } else {
        if (!take_record(bucket, record, evb__index_tag(token.hash))) unchain(&node->overflow, record);
        node->topics--;
        trim(bucket);
    }
    while (node->parent && node->children == 0 && node->topics + (node->here != NULL) <= FOLD_TOPICS) {
        struct evb__index_node *parent = node->parent;

        fold(index, node);
        node = parent;
    }
    if (node->bucket_count > 1 && node->topics / node->bucket_count < EVB__INDEX_FULL / 16 &&
        node->children < node->bucket_count / 4)
        resize(index, node, node->bucket_count / 2);
}
