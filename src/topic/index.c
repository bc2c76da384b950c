/* SPDX-License-Identifier: MIT */
/* The topic index: a burst trie of existing topics, walked with a pattern. */
#include "topic/index.h"

#include <string.h>

#include <evbus/base.h>
#include "base/alloc.h"
#include "base/hash.h"
#include "base/platform.h"

/* A child is made for EVB__INDEX_BURST topics and folded back at this many, so that neither happens again and again. */
#define FOLD_TOPICS (EVB__INDEX_BURST / 4)

struct bucket {
    struct evb__index_node *children; /* those whose token falls into this bucket */
    struct evb__indexed **records;    /* `capacity` of them, then as many next tags, then as many last tags */
    uint32_t count, capacity;
};

struct evb__index_node {
    struct evb__index_node *parent;
    struct evb__index_node *sibling; /* the next child in the same bucket of the parent */
    struct evb__indexed *here;       /* the topic that ends with this node's token */
    struct evb__indexed *overflow;   /* topics that no array had memory for */
    struct bucket *buckets;          /* or &first */
    struct bucket first;
    uint32_t bucket_count; /* a power of two */
    uint32_t topics;       /* in buckets and overflow */
    uint32_t children;
    uint32_t hash;  /* of the token that leads here */
    uint16_t start; /* where the next token begins in the name of everything below */
    uint16_t token_size;
    char token[];
};

/* The token of a name that follows a node's path. */
struct token {
    const char *text; /* NULL: the name ends at the node */
    size_t size;
    uint32_t hash;
};

/* ---- tokens ---- */

/* One byte of the hash that has no part in choosing the bucket. */
static uint8_t tag_of(uint32_t hash)
{
    return (uint8_t)(hash >> 24);
}

static uint32_t hash_of(const struct evb__index *index, const char *text, size_t size)
{
    return (uint32_t)evb__hash(text, size, index->seed);
}

static struct token token_at(const struct evb__index *index, const struct evb__index_node *node, const char *name, size_t size)
{
    struct token token = {0};
    const char *end;

    /* A place behind a last separator is an empty token; only a name without bytes has none at the root. */
    if (size == 0 || node->start > size) return token;
    token.text = name + node->start;
    token.size = size - node->start;
    end = memchr(token.text, index->dialect->separator, token.size);
    if (end) token.size = (size_t)(end - token.text);
    token.hash = hash_of(index, token.text, token.size);
    return token;
}

static struct token token_of(const struct evb__index *index, const struct evb__index_node *node, const struct evb__indexed *record)
{
    uint32_t size;
    const char *name = index->name_of(record, &size);

    return token_at(index, node, name, size);
}

static uint8_t last_tag(const struct evb__index *index, const struct evb__indexed *record)
{
    uint32_t size, start;
    const char *name = index->name_of(record, &size);

    for (start = size; start > 0 && name[start - 1] != index->dialect->separator; start--) continue;
    return tag_of(hash_of(index, name + start, size - start));
}

static bool same_token(const struct token *a, uint32_t hash, const char *text, size_t size)
{
    return a->hash == hash && a->size == size && memcmp(a->text, text, size) == 0;
}

/* ---- buckets ---- */

static struct bucket *bucket_of(const struct evb__index_node *node, uint32_t hash)
{
    return &node->buckets[hash & (node->bucket_count - 1)];
}

static uint8_t *next_tags(const struct bucket *bucket)
{
    return (uint8_t *)(bucket->records + bucket->capacity);
}

static uint8_t *last_tags(const struct bucket *bucket)
{
    return next_tags(bucket) + bucket->capacity;
}

static size_t array_bytes(uint32_t capacity)
{
    return capacity * (sizeof(struct evb__indexed *) + 2);
}

/* count <= capacity. false: no memory, nothing changed. */
static bool set_capacity(struct bucket *bucket, uint32_t capacity)
{
    struct bucket to = {.count = bucket->count, .capacity = capacity};

    if (capacity > 0) {
        to.records = evb__alloc(array_bytes(capacity), EVB__ALIGN_MIN);
        if (!to.records) return false;
    }
    if (bucket->count > 0) {
        memcpy(to.records, bucket->records, bucket->count * sizeof to.records[0]);
        memcpy(next_tags(&to), next_tags(bucket), bucket->count);
        memcpy(last_tags(&to), last_tags(bucket), bucket->count);
    }
    evb__free(bucket->records, array_bytes(bucket->capacity));
    bucket->records = to.records;
    bucket->capacity = capacity;
    return true;
}

/* Grows by an eighth: copying ten bytes a topic eight times over is cheap beside the cache misses of an insert, unused memory is not. */
static bool append(struct bucket *bucket, struct evb__indexed *record, uint8_t next, uint8_t last)
{
    uint32_t count = bucket->count;

    if (count == bucket->capacity && !set_capacity(bucket, count + count / 8 + 2)) return false;
    bucket->records[count] = record;
    next_tags(bucket)[count] = next;
    last_tags(bucket)[count] = last;
    bucket->count++;
    return true;
}

static void take_out(struct bucket *bucket, uint32_t i)
{
    uint32_t end = --bucket->count;

    bucket->records[i] = bucket->records[end];
    next_tags(bucket)[i] = next_tags(bucket)[end];
    last_tags(bucket)[i] = last_tags(bucket)[end];
}

/* Gives back what a bucket does not need any more. */
static void trim(struct bucket *bucket)
{
    if (bucket->count == 0) (void)set_capacity(bucket, 0);
    else if (bucket->count < bucket->capacity / 2) (void)set_capacity(bucket, bucket->count + bucket->count / 8 + 2);
}

static bool take_record(struct bucket *bucket, const struct evb__indexed *record, uint8_t next)
{
    const uint8_t *tags, *at, *end;

    if (bucket->count == 0) return false;
    tags = next_tags(bucket);
    end = tags + bucket->count;
    for (at = tags; at < end && (at = memchr(at, next, (size_t)(end - at))) != NULL; at++) {
        if (bucket->records[at - tags] != record) continue;
        take_out(bucket, (uint32_t)(at - tags));
        return true;
    }
    return false;
}

/* ---- nodes ---- */

static struct evb__index_node *new_node(struct evb__index *index, struct evb__index_node *parent, const struct token *token)
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
static void free_buckets(struct bucket *buckets, uint32_t count, const struct bucket *first)
{
    for (uint32_t i = 0; i < count; i++) evb__free(buckets[i].records, array_bytes(buckets[i].capacity));
    if (buckets != first) evb__free(buckets, count * sizeof *buckets);
}

static void free_node(struct evb__index *index, struct evb__index_node *node)
{
    free_buckets(node->buckets, node->bucket_count, &node->first);
    evb__free(node, sizeof *node + node->token_size);
    index->nodes--;
}

static struct evb__index_node *find_child(const struct evb__index_node *node, const struct token *token)
{
    struct evb__index_node *child = bucket_of(node, token->hash)->children;

    while (child && !same_token(token, child->hash, child->token, child->token_size)) child = child->sibling;
    return child;
}

static void link_child(struct evb__index_node *node, struct evb__index_node *child)
{
    struct bucket *bucket = bucket_of(node, child->hash);

    child->sibling = bucket->children;
    bucket->children = child;
}

static void unlink_child(struct evb__index_node *node, const struct evb__index_node *child)
{
    struct evb__index_node **link = &bucket_of(node, child->hash)->children;

    while (*link != child) link = &(*link)->sibling;
    *link = child->sibling;
}

/* The deepest node on the record's path; *ret_token is what follows there. */
static struct evb__index_node *descend(const struct evb__index *index, const struct evb__indexed *record, struct token *ret_token)
{
    struct evb__index_node *node = index->root, *child;
    uint32_t size;
    const char *name = index->name_of(record, &size);

    for (;; node = child) {
        *ret_token = token_at(index, node, name, size);
        if (!ret_token->text) return node;
        child = find_child(node, ret_token);
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

static void place(struct evb__index_node *node, struct evb__indexed *record, const struct token *token, uint8_t last)
{
    if (!token->text) {
        chain(&node->here, record);
        return;
    }
    node->topics++;
    if (!append(bucket_of(node, token->hash), record, tag_of(token->hash), last)) chain(&node->overflow, record);
}

/* There may be memory again. */
static void place_overflow(const struct evb__index *index, struct evb__index_node *node)
{
    while (node->overflow) {
        struct evb__indexed *record = node->overflow;
        struct token token = token_of(index, node, record);

        if (!append(bucket_of(node, token.hash), record, tag_of(token.hash), last_tag(index, record))) return;
        node->overflow = record->next;
    }
}

/* ---- making room ---- */

/* Gives a node another number of buckets. Without memory it keeps those it has, and works. */
static void resize(struct evb__index *index, struct evb__index_node *node, uint32_t count)
{
    struct bucket *old = node->buckets, *buckets, saved = node->first;
    uint32_t old_count = node->bucket_count;

    buckets = count > 1 ? evb__zalloc(count * sizeof *buckets, EVB__ALIGN_MIN) : &node->first;
    if (!buckets) return;
    if (old == &node->first) old = &saved;
    node->first = (struct bucket){0};
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
            struct token token = token_of(index, node, record);

            if (r + 4 < old[i].count) EVB__PREFETCH(old[i].records[r + 4]);
            if (!append(bucket_of(node, token.hash), record, tag_of(token.hash), last_tags(&old[i])[r]))
                chain(&node->overflow, record);
        }
    }
    free_buckets(old, old_count, &saved);
}

/* How many topics of a bucket have this next token. */
static uint32_t alike(const struct evb__index *index, const struct evb__index_node *node, const struct bucket *bucket,
                      const struct token *token)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < bucket->count; i++) {
        struct token other;

        if (next_tags(bucket)[i] != tag_of(token->hash)) continue;
        other = token_of(index, node, bucket->records[i]);
        n += same_token(&other, token->hash, token->text, token->size);
    }
    return n;
}

/* A child of its own for a token, and to it whatever has that token. Without memory all stays as it is. */
static void burst(struct evb__index *index, struct evb__index_node *node, struct bucket *bucket, const struct token *token)
{
    struct evb__index_node *child = new_node(index, node, token);
    struct evb__indexed **link = &node->overflow, *record;
    struct token other, below;

    if (!child) return;
    for (uint32_t i = 0; i < bucket->count;) {
        record = bucket->records[i];
        other = token_of(index, node, record);
        if (!same_token(&other, token->hash, token->text, token->size)) {
            i++;
            continue;
        }
        below = token_of(index, child, record);
        place(child, record, &below, last_tags(bucket)[i]);
        take_out(bucket, i);
        node->topics--;
    }
    while ((record = *link) != NULL) {
        other = token_of(index, node, record);
        if (!same_token(&other, token->hash, token->text, token->size)) {
            link = &record->next;
            continue;
        }
        *link = record->next;
        below = token_of(index, child, record);
        place(child, record, &below, last_tag(index, record));
        node->topics--;
    }
    trim(bucket);
    link_child(node, child);
    node->children++;
}

/* A bucket is full: children for the tokens that many of its topics share. The tags tell which need not be looked at. */
static void burst_frequent(struct evb__index *index, struct evb__index_node *node, struct bucket *bucket)
{
    uint32_t tally[UINT8_MAX + 1] = {0};

    for (uint32_t i = 0; i < bucket->count; i++) tally[next_tags(bucket)[i]]++;
    for (uint32_t i = 0; i < bucket->count;) {
        uint8_t tag = next_tags(bucket)[i];
        uint32_t before = bucket->count, n;
        struct token token;

        if (tally[tag] >= EVB__INDEX_BURST) {
            token = token_of(index, node, bucket->records[i]);
            n = alike(index, node, bucket, &token);
            if (n >= EVB__INDEX_BURST) burst(index, node, bucket, &token);
            tally[tag] -= before - bucket->count;
        }
        if (before == bucket->count) i++; /* else another topic is at i now */
    }
}

/* After an insert into a bucket. */
static void relieve(struct evb__index *index, struct evb__index_node *node, struct bucket *bucket)
{
    uint32_t count = node->bucket_count;

    /* Not at every insert while it stays full for lack of memory. */
    if (bucket->count >= EVB__INDEX_FULL && bucket->count % EVB__INDEX_BURST == 0) burst_frequent(index, node, bucket);
    if (count > UINT32_MAX / 2 / sizeof *bucket) return;
    /* More buckets help when the topics are many; one bucket that is full beside empty ones holds what only a child could take. */
    if ((bucket->count >= EVB__INDEX_FULL && node->topics / count >= EVB__INDEX_FULL / 4) || node->children > count)
        resize(index, node, count * 2);
}

/* Takes a node without children out of the tree. What few topics it has go back to the parent, where they would be without it. */
static void fold(struct evb__index *index, struct evb__index_node *node)
{
    struct evb__index_node *parent = node->parent;
    struct token token = {.text = node->token, .size = node->token_size, .hash = node->hash};
    struct evb__indexed *lists[] = {node->here, node->overflow};

    unlink_child(parent, node);
    parent->children--;
    for (uint32_t i = 0; i < 2; i++) {
        for (struct evb__indexed *record = lists[i], *next; record; record = next) {
            next = record->next;
            place(parent, record, &token, last_tag(index, record));
        }
    }
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        const struct bucket *bucket = &node->buckets[i];

        for (uint32_t r = 0; r < bucket->count; r++) place(parent, bucket->records[r], &token, last_tags(bucket)[r]);
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
    static const struct token none;

    if (!index->root) index->root = new_node(index, NULL, &none);
    return index->root ? EVB_OK : EVB_ENOMEM;
}

void evb__index_insert(struct evb__index *index, struct evb__indexed *record)
{
    struct token token;
    struct evb__index_node *node = descend(index, record, &token);

    place(node, record, &token, last_tag(index, record));
    if (!token.text) return;
    if (node->overflow) place_overflow(index, node);
    relieve(index, node, bucket_of(node, token.hash));
}

void evb__index_remove(struct evb__index *index, struct evb__indexed *record)
{
    struct token token;
    struct evb__index_node *node = descend(index, record, &token);
    struct bucket *bucket = bucket_of(node, token.hash);

    if (!token.text) {
        unchain(&node->here, record);
    } else {
        if (!take_record(bucket, record, tag_of(token.hash))) unchain(&node->overflow, record);
        node->topics--;
        trim(bucket);
    }
    while (node->parent && node->children == 0 && node->topics + (node->here != NULL) <= FOLD_TOPICS) {
        struct evb__index_node *parent = node->parent;

        fold(index, node);
        node = parent;
    }
    if (node->bucket_count > 1 && node->topics / node->bucket_count < EVB__INDEX_FULL / 16 && node->children < node->bucket_count / 4)
        resize(index, node, node->bucket_count / 2);
}

/* ---- matching ---- */

/* A set of positions in the pattern, as bits: where it may stand after the tokens of a node's path. Bit `count` = the pattern has ended. One
 * set for all ways in which several `#` can divide the path between them, so no node is visited twice. */
struct match {
    const struct evb__index *index;
    const struct evb__tokens *pattern;
    int32_t (*fn)(struct evb__indexed *record, void *arg);
    void *arg;
    uint32_t one, many; /* positions of wildcards */
    uint32_t ended;     /* the bit behind the last token */
    uint32_t all;       /* the many-wildcard at the end, if there: whatever has one token more matches */
    bool hide_dollar;   /* at the root */
    bool last_known;    /* the pattern's last token is literal, so the topic's is the same */
    uint8_t last;       /* its tag */
    uint32_t hash[EVB__TOKENS_MAX];
};

/* A wildcard that may stand for nothing can be stepped over at once. */
static uint32_t closure(const struct match *m, uint32_t set)
{
    if (m->index->dialect->many_may_be_empty && (set & m->many))
        for (uint32_t bit = 1; bit < m->ended; bit <<= 1)
            if (set & m->many & bit) set |= bit << 1;
    return set;
}

/* Where the pattern may stand after one token more. */
static uint32_t step(const struct match *m, uint32_t set, const struct evb__index_node *child)
{
    const struct token token = {.text = child->token, .size = child->token_size, .hash = child->hash};
    uint32_t many = set & m->many, next = (set & m->one) << 1 | many | many << 1;
    uint32_t literal = set & ~m->one & ~many & ~m->ended;

    for (uint32_t p = 0; literal >> p != 0; p++) {
        if (!(literal & (UINT32_C(1) << p))) continue;
        if (same_token(&token, m->hash[p], m->pattern->name + m->pattern->start[p], m->pattern->length[p])) next |= UINT32_C(2) << p;
    }
    return closure(m, next);
}

static int32_t offer(const struct match *m, struct evb__indexed *record)
{
    uint32_t size;
    const char *name = m->index->name_of(record, &size);

    if (!evb__matches(m->index->dialect, m->pattern->name, m->pattern->size, name, size)) return 0;
    return m->fn(record, m->arg);
}

/* Offers the topics with this tag. */
static int32_t scan(const struct match *m, const struct bucket *bucket, const uint8_t *tags, uint8_t tag)
{
    const uint8_t *at = tags, *end = tags + bucket->count, *last = last_tags(bucket);
    int32_t rc = 0;

    for (; rc == 0 && at < end && (at = memchr(at, tag, (size_t)(end - at))) != NULL; at++)
        if (!m->last_known || last[at - tags] == m->last) rc = offer(m, bucket->records[at - tags]);
    return rc;
}

/* The topics of a bucket under a wildcard. */
static int32_t sweep(const struct match *m, const struct bucket *bucket, bool all)
{
    int32_t rc = 0;

    if (m->last_known) return scan(m, bucket, last_tags(bucket), m->last);
    for (uint32_t i = 0; i < bucket->count && rc == 0; i++) {
        if (i + 4 < bucket->count) EVB__PREFETCH(bucket->records[i + 4]);
        rc = all ? m->fn(bucket->records[i], m->arg) : offer(m, bucket->records[i]);
    }
    return rc;
}

static int32_t visit(const struct match *m, const struct evb__index_node *node, uint32_t set);

static int32_t visit_children(const struct match *m, const struct evb__index_node *node, const struct bucket *bucket, uint32_t set)
{
    bool hide_dollar = m->hide_dollar && !node->parent;
    struct evb__index_node *child = bucket->children;
    int32_t rc = 0;

    for (; child && rc == 0; child = child->sibling) {
        uint32_t next = step(m, set, child);

        if (hide_dollar && child->token_size > 0 && child->token[0] == '$') continue;
        if (next != 0) rc = visit(m, child, next);
    }
    return rc;
}

static int32_t visit(const struct match *m, const struct evb__index_node *node, uint32_t set)
{
    bool all = (set & m->all) && !(m->hide_dollar && !node->parent);
    uint32_t literal = set & ~m->one & ~m->many & ~m->ended;
    struct evb__indexed *record;
    int32_t rc = 0;

    if (set & m->ended)
        for (record = node->here; record && rc == 0; record = record->next) rc = m->fn(record, m->arg);
    for (record = node->overflow; record && rc == 0; record = record->next) rc = offer(m, record);

    if (set & (m->one | m->many)) {
        for (uint32_t i = 0; i < node->bucket_count && rc == 0; i++) {
            rc = visit_children(m, node, &node->buckets[i], set);
            if (rc == 0 && node->buckets[i].count > 0) rc = sweep(m, &node->buckets[i], all);
        }
        return rc;
    }
    /* A set without wildcards is a single position: nothing but a wildcard puts the pattern in two places, and a `#` once reached stays. */
    evb__assert((literal & (literal - 1)) == 0);
    for (uint32_t p = 0; literal >> p != 0 && rc == 0; p++) {
        const struct bucket *bucket = bucket_of(node, m->hash[p]);

        if (!(literal & (UINT32_C(1) << p))) continue;
        rc = visit_children(m, node, bucket, set);
        if (rc == 0 && bucket->count > 0) rc = scan(m, bucket, next_tags(bucket), tag_of(m->hash[p]));
    }
    return rc;
}

int32_t evb__index_match(const struct evb__index *index, const struct evb__tokens *pattern,
                         int32_t (*fn)(struct evb__indexed *record, void *arg), void *arg)
{
    struct match m = {.index = index, .pattern = pattern, .fn = fn, .arg = arg, .ended = UINT32_C(1) << pattern->count};

    if (!index->root) return 0;
    for (uint32_t p = 0; p < pattern->count; p++) {
        uint32_t bit = UINT32_C(1) << p;

        if (pattern->kind[p] == EVB__TOKEN_ONE) m.one |= bit;
        if (pattern->kind[p] == EVB__TOKEN_MANY) m.many |= bit;
        if (pattern->kind[p] == EVB__TOKEN_LITERAL) m.hash[p] = hash_of(index, pattern->name + pattern->start[p], pattern->length[p]);
    }
    m.all = m.many & (m.ended >> 1);
    m.hide_dollar = index->dialect->hide_dollar && ((m.one | m.many) & 1);
    if (pattern->count > 0 && !((m.one | m.many) & (m.ended >> 1))) {
        m.last_known = true;
        m.last = tag_of(m.hash[pattern->count - 1]);
    }
    return visit(&m, index->root, closure(&m, 1));
}

#ifdef EVB_TESTING

static int64_t audit(const struct evb__index *index, const struct evb__index_node *node)
{
    int64_t total = 0, below;
    uint32_t topics = 0, children = 0;
    const struct evb__indexed *record;
    struct token token;

    for (record = node->here; record; record = record->next, total++)
        if (token_of(index, node, record).text) return -1;
    for (record = node->overflow; record; record = record->next, topics++) {
        token = token_of(index, node, record);
        if (!token.text || find_child(node, &token)) return -1;
    }
    for (uint32_t i = 0; i < node->bucket_count; i++) {
        const struct bucket *bucket = &node->buckets[i];

        if (bucket->count > bucket->capacity) return -1;
        for (uint32_t r = 0; r < bucket->count; r++, topics++) {
            token = token_of(index, node, bucket->records[r]);
            if (!token.text || bucket_of(node, token.hash) != bucket || find_child(node, &token)) return -1;
            if (next_tags(bucket)[r] != tag_of(token.hash)) return -1;
            if (last_tags(bucket)[r] != last_tag(index, bucket->records[r])) return -1;
        }
        for (const struct evb__index_node *child = bucket->children; child; child = child->sibling, children++) {
            if (child->parent != node || bucket_of(node, child->hash) != bucket) return -1;
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

#endif
