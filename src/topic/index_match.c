/* SPDX-License-Identifier: MIT */
/* Walking the topic index with a pattern. */
#include "topic/index.h"

#include "base/platform.h"
#include "topic/index_node.h"

/* A set of positions in the pattern, as bits: where it may stand after the tokens of a node's path. Bit
 * `count` = the pattern has ended. One set for all ways in which several `#` can divide the path between
 * them, so no node is visited twice. */
struct match {
    struct evb__index *index;
    const struct evb__tokens *pattern;
    int32_t (*fn)(struct evb__named *record, void *arg);
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
    const struct evb__index_token token = {
        .text = child->token, .size = child->token_size, .hash = child->hash};
    uint32_t many = set & m->many, next = (set & m->one) << 1 | many | many << 1;
    uint32_t literal = set & ~m->one & ~many & ~m->ended;

    for (uint32_t p = 0; literal >> p != 0; p++) {
        if (!(literal & (UINT32_C(1) << p))) continue;
        if (evb__index_same(&token, m->hash[p], m->pattern->name + m->pattern->start[p],
                            m->pattern->length[p]))
            next |= UINT32_C(2) << p;
    }
    return closure(m, next);
}

static int32_t offer(const struct match *m, struct evb__named *record)
{
    const char *name = evb__named_name(record);

    m->index->looks++;
    if (!evb__matches(m->index->dialect, m->pattern->name, m->pattern->size, name, record->size)) return 0;
    return m->fn(record, m->arg);
}

/* Offers the topics with this tag. */
static int32_t scan(const struct match *m, const struct evb__index_bucket *bucket, const uint8_t *tags,
                    uint8_t tag)
{
    const uint8_t *at = tags, *end = tags + bucket->count, *last = evb__index_last_tags(bucket);
    int32_t rc = 0;

    for (; rc == 0 && at < end && (at = memchr(at, tag, (size_t)(end - at))) != NULL; at++)
        if (!m->last_known || last[at - tags] == m->last) rc = offer(m, bucket->records[at - tags]);
    return rc;
}

/* The topics of a bucket under a wildcard. */
static int32_t sweep(const struct match *m, const struct evb__index_bucket *bucket, bool all)
{
    int32_t rc = 0;

    if (m->last_known) return scan(m, bucket, evb__index_last_tags(bucket), m->last);
    for (uint32_t i = 0; i < bucket->count && rc == 0; i++) {
        if (i + 4 < bucket->count) EVB__PREFETCH(bucket->records[i + 4]);
        rc = all ? m->fn(bucket->records[i], m->arg) : offer(m, bucket->records[i]);
    }
    return rc;
}

static int32_t visit(const struct match *m, const struct evb__index_node *node, uint32_t set);

static int32_t visit_children(const struct match *m, const struct evb__index_node *node,
                              const struct evb__index_bucket *bucket, uint32_t set)
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
    int32_t rc = 0;

    if ((set & m->ended) && node->here) rc = m->fn(node->here, m->arg);
    if (set & (m->one | m->many)) {
        for (uint32_t i = 0; i < node->bucket_count && rc == 0; i++) {
            rc = visit_children(m, node, &node->buckets[i], set);
            if (rc == 0 && node->buckets[i].count > 0) rc = sweep(m, &node->buckets[i], all);
        }
        return rc;
    }
    /* A set without wildcards is a single position: nothing but a wildcard puts the pattern in two places,
     * and a `#` once reached stays. */
    evb__assert((literal & (literal - 1)) == 0);
    for (uint32_t p = 0; literal >> p != 0 && rc == 0; p++) {
        const struct evb__index_bucket *bucket = evb__index_bucket_of(node, m->hash[p]);

        if (!(literal & (UINT32_C(1) << p))) continue;
        rc = visit_children(m, node, bucket, set);
        if (rc == 0 && bucket->count > 0)
            rc = scan(m, bucket, evb__index_next_tags(bucket), evb__index_tag(m->hash[p]));
    }
    return rc;
}

int32_t evb__index_match(struct evb__index *index, const struct evb__tokens *pattern,
                         int32_t (*fn)(struct evb__named *record, void *arg), void *arg)
{
    struct match m = {
        .index = index, .pattern = pattern, .fn = fn, .arg = arg, .ended = UINT32_C(1) << pattern->count};

    if (!index->root) return 0;
    for (uint32_t p = 0; p < pattern->count; p++) {
        uint32_t bit = UINT32_C(1) << p;

        if (pattern->kind[p] == EVB__TOKEN_ONE) m.one |= bit;
        if (pattern->kind[p] == EVB__TOKEN_MANY) m.many |= bit;
        if (pattern->kind[p] == EVB__TOKEN_LITERAL)
            m.hash[p] = evb__index_hash(index, pattern->name + pattern->start[p], pattern->length[p]);
    }
    m.all = m.many & (m.ended >> 1);
    m.hide_dollar = index->dialect->hide_dollar && ((m.one | m.many) & 1);
    if (pattern->count > 0 && !((m.one | m.many) & (m.ended >> 1))) {
        m.last_known = true;
        m.last = evb__index_tag(m.hash[pattern->count - 1]);
    }
    return visit(&m, index->root, closure(&m, 1));
}
