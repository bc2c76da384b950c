/* SPDX-License-Identifier: MIT */
/* Lanes: order per key, and whose turn it is. */
#include "queue/queue.h"

#include "base/alloc.h"

#include <string.h>

/* ---- the table of leaders ---- */

void evb__lanes_init(struct evb__lanes *l)
{
    l->buckets = EVB__LANES_FEW;
    l->low = EVB__LANES_FEW - 1;
}

static uint32_t chunks_of(uint32_t buckets)
{
    return (buckets - EVB__LANES_FEW + EVB__LANES_CHUNK - 1) / EVB__LANES_CHUNK;
}

void evb__lanes_free(struct evb__lanes *l)
{
    for (uint32_t i = 0; i < l->room && l->chunk[i] != NULL; i++)
        evb__free(l->chunk[i], EVB__LANES_CHUNK * sizeof(struct evb__delivery *));
    if (l->chunk != NULL) evb__free(l->chunk, l->room * sizeof(struct evb__delivery **));
}

static struct evb__delivery **bucket(const struct evb__lanes *l, uint32_t i)
{
    if (i < EVB__LANES_FEW) return (struct evb__delivery **)&l->few[i];
    i -= EVB__LANES_FEW;
    return &l->chunk[i / EVB__LANES_CHUNK][i % EVB__LANES_CHUNK];
}

static struct evb__delivery **bucket_for(const struct evb__lanes *l, uint32_t hash)
{
    uint32_t i = hash & (2 * l->low + 1);

    return bucket(l, i < l->buckets ? i : i & l->low);
}

/* Room for one more bucket. */
static bool make_room(struct evb__lanes *l)
{
    uint32_t at = chunks_of(l->buckets + 1) - 1;

    if (at >= l->room) {
        uint32_t room = l->room != 0 ? 2 * l->room : 8;
        struct evb__delivery ***chunk = evb__zalloc(room * sizeof *chunk, EVB__ALIGN_MIN);

        if (chunk == NULL) return false;
        if (l->room != 0) {
            memcpy(chunk, l->chunk, l->room * sizeof *chunk);
            evb__free(l->chunk, l->room * sizeof *chunk);
        }
        l->chunk = chunk;
        l->room = room;
    }
    if (l->chunk[at] == NULL)
        l->chunk[at] = evb__zalloc(EVB__LANES_CHUNK * sizeof(struct evb__delivery *), EVB__CACHE_LINE);
    return l->chunk[at] != NULL;
}

/* One bucket more: the leaders of another one are shared out between the two. */
static void split(struct evb__lanes *l)
{
    uint32_t mask = 2 * l->low + 1, to = l->buckets;
    struct evb__delivery **from, *d, *next;

    if (!make_room(l)) return;
    l->buckets++;
    from = bucket(l, to & l->low);
    d = *from;
    *from = NULL;
    for (; d != NULL; d = next) {
        struct evb__delivery **head =
            (evb__message_more(d->message)->key_hash & mask) == to ? bucket(l, to) : from;

        next = d->rest->lane_next;
        d->rest->lane_next = *head;
        *head = d;
    }
    if (l->buckets == mask + 1) l->low = mask;
}

struct evb__delivery *evb__lane_find_locked(const struct evb__queue *q, const void *key, uint32_t key_len,
                                            uint32_t hash)
{
    struct evb__delivery *d = *bucket_for(&q->lanes, hash);

    for (; d != NULL; d = d->rest->lane_next) {
        const struct evb__message *m = d->message;

        if (evb__message_more(m)->key_hash == hash && m->event.key_len == key_len &&
            (key_len == 0 || memcmp(m->event.key, key, key_len) == 0))
            return d;
    }
    return NULL;
}

static struct evb__delivery *leader_of(const struct evb__queue *q, const struct evb__delivery *d)
{
    const struct evb__message *m = d->message;

    return evb__lane_find_locked(q, m->event.key, m->event.key_len, evb__message_more(m)->key_hash);
}

/* ---- turns ---- */

void evb__turn_append_locked(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__lanes *l = &q->lanes;

    d->rest->turn_next = NULL;
    d->rest->turn_prev = l->tail;
    if (l->tail != NULL)
        l->tail->rest->turn_next = d;
    else
        l->head = d;
    l->tail = d;
    l->turns++;
}

void evb__turn_prepend_locked(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__lanes *l = &q->lanes;

    d->rest->turn_prev = NULL;
    d->rest->turn_next = l->head;
    if (l->head != NULL)
        l->head->rest->turn_prev = d;
    else
        l->tail = d;
    l->head = d;
    l->turns++;
}

/* Out of a list whose ends are head and tail. */
static void unlink_turn(struct evb__delivery *d, struct evb__delivery **head, struct evb__delivery **tail)
{
    struct evb__delivery *next = d->rest->turn_next, *prev = d->rest->turn_prev;

    if (next != NULL)
        next->rest->turn_prev = prev;
    else
        *tail = prev;
    if (prev != NULL)
        prev->rest->turn_next = next;
    else
        *head = next;
}

void evb__turn_remove_locked(struct evb__queue *q, struct evb__delivery *d)
{
    if (d->lane == EVB__LANE_WAITS) {
        struct evb__delivery_rest *leader = leader_of(q, d)->rest;

        unlink_turn(d, &leader->behind, &leader->last);
        d->lane = EVB__LANE_NONE;
    } else {
        unlink_turn(d, &q->lanes.head, &q->lanes.tail);
        q->lanes.turns--;
    }
}

void evb__lanes_begin_locked(struct evb__queue *q)
{
    if (evb__likely(q->lanes.used)) return;
    q->lanes.used = true;
    for (struct evb__delivery *d = q->ready.head; d != NULL; d = d->next)
        evb__turn_append_locked(q, d);
}

/* ---- lanes ---- */

static void wait_behind(struct evb__delivery *leader, struct evb__delivery *d)
{
    struct evb__delivery *last = leader->rest->last;

    d->lane = EVB__LANE_WAITS;
    d->rest->turn_next = NULL;
    d->rest->turn_prev = last;
    if (last != NULL)
        last->rest->turn_next = d;
    else
        leader->rest->behind = d;
    leader->rest->last = d;
}

bool evb__lane_enter_locked(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__delivery *leader = leader_of(q, d), **head;

    if (leader != NULL) {
        wait_behind(leader, d);
        return false;
    }
    if (q->lanes.count >= q->lanes.buckets) split(&q->lanes);
    q->lanes.count++;
    head = bucket_for(&q->lanes, evb__message_more(d->message)->key_hash);
    d->lane = EVB__LANE_LEADS;
    d->rest->behind = d->rest->last = NULL;
    d->rest->lane_next = *head;
    *head = d;
    return true;
}

void evb__lane_leave_locked(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__delivery **at, *next;

    if (d->lane != EVB__LANE_LEADS) return;
    /* Whoever looks at every event meets the publishers in the same cache lines: now and then will do. */
    if (++q->lanes.leaves % EVB__LANES_GATHER == 0) evb__mailbox_empty_locked(q);
    d->lane = EVB__LANE_NONE;
    at = bucket_for(&q->lanes, evb__message_more(d->message)->key_hash);
    while (*at != d)
        at = &(*at)->rest->lane_next;
    next = d->rest->behind;
    if (next == NULL) {
        *at = d->rest->lane_next;
        q->lanes.count--;
        return;
    }
    next->lane = EVB__LANE_LEADS;
    next->rest->behind = next->rest->turn_next;
    next->rest->last = next->rest->behind != NULL ? d->rest->last : NULL;
    if (next->rest->behind != NULL) next->rest->behind->rest->turn_prev = NULL;
    next->rest->lane_next = d->rest->lane_next;
    *at = next;
    evb__turn_append_locked(q, next);
}
