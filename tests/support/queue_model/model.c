/* SPDX-License-Identifier: MIT */
/* The model: what must become of each event in each queue. It calls nothing but the clock. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "executor.h"

struct world w;

uint32_t below(uint32_t n)
{
    return (uint32_t)evb__rng_below(&w.rng, n);
}

bool one_in(uint32_t n)
{
    return below(n) == 0;
}

uint32_t count_in(const struct queue *q, enum item_state state)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ITEMS; i++)
        n += q->item[i].state == state;
    return n;
}

/* ---- room ---- */

size_t message_bytes(const struct message *m)
{
    uint32_t key_len, number = (uint32_t)(m - w.message);
    evb_header headers[4];
    size_t bytes = m->size;

    (void)key_of(m->key, &key_len);
    for (uint32_t i = 0, n = headers_of(m, number, headers); i < n; i++)
        bytes += strlen(headers[i].name) + headers[i].value_len;
    return bytes + key_len;
}

static bool holds_room(const struct item *item)
{
    return item->state == READY || item->state == DELAYED || item->state == IN_FLIGHT;
}

uint32_t held(const struct queue *q)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ITEMS; i++)
        n += holds_room(&q->item[i]);
    return n;
}

/* What a drain waits for: at most once, too, while the handler runs. */
uint32_t undone(const struct queue *q)
{
    uint32_t n = held(q);

    for (uint32_t i = 0; i < ITEMS; i++)
        n += q->item[i].state == HANDED_OVER && !q->item[i].open;
    return n;
}

bool has_room(const struct queue *q, uint32_t events, size_t bytes)
{
    for (uint32_t i = 0; i < ITEMS; i++)
        if (holds_room(&q->item[i])) {
            events++;
            bytes += message_bytes(&w.message[q->item[i].message]);
        }
    return events <= q->opts.capacity && bytes <= q->opts.capacity_bytes;
}

bool has_place(const struct queue *q, uint32_t events, size_t bytes)
{
    return events <= q->opts.capacity && bytes <= q->opts.capacity_bytes;
}

/* ---- ready ---- */

struct item *head(struct queue *q)
{
    struct item *first = NULL;

    for (uint32_t i = 0; i < ITEMS; i++) {
        struct item *item = &q->item[i];

        if (item->state != READY || item->turn == NO_TURN) continue;
        if (first == NULL || item->turn < first->turn) first = item;
    }
    return first;
}

/* In the order of acceptance, whoever's turn it is. */
static struct item *oldest_ready(struct queue *q)
{
    struct item *first = NULL;

    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state == READY && (first == NULL || q->item[i].place < first->place))
            first = &q->item[i];
    return first;
}

/* Of the events in the lane of that key, the one that entered it first. NULL: nobody is there. */
static struct item *leader(struct queue *q, uint32_t key)
{
    struct item *first = NULL;

    for (uint32_t i = 0; i < ITEMS; i++) {
        struct item *item = &q->item[i];

        if (item->lane == 0 || w.message[item->message].key != key) continue;
        if (first == NULL || item->lane < first->lane) first = item;
    }
    return first;
}

/* Behind all others: of the queue; its turn, when it leads its key. */
static void to_tail(struct queue *q, struct item *item)
{
    uint32_t key = w.message[item->message].key;

    item->state = READY;
    item->place = ++q->last;
    if (key != 0 && item->lane == 0) item->lane = ++q->entered;
    item->turn = key == 0 || leader(q, key) == item ? q->last : NO_TURN;
}

/* Only what has been handed out comes back so: it leads its key. */
static void to_head(struct queue *q, struct item *item)
{
    item->state = READY;
    item->place = item->turn = --q->first;
}

/* It is gone for good: when it was the leader the next of its key gets its turn, behind all others. */
static void leave_lane(struct queue *q, struct item *item)
{
    uint32_t key = w.message[item->message].key;
    struct item *before = leader(q, key), *after;

    if (item->lane == 0) return;
    item->lane = 0;
    after = leader(q, key);
    if (after != NULL && after != before) after->turn = ++q->last;
}

void free_item(struct queue *q, struct item *item)
{
    item->state = FREE_ITEM;
    leave_lane(q, item);
}

static void delay(struct item *item, int64_t delay_ns)
{
    int64_t now = executor_now();

    item->state = DELAYED;
    item->due_ns = delay_ns < NEVER - now ? now + delay_ns : NEVER;
}

/* ---- dead letters ---- */

struct item *oldest_dead(struct queue *q)
{
    struct item *first = NULL;

    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state == DEAD && (first == NULL || q->item[i].place < first->place))
            first = &q->item[i];
    return first;
}

static size_t dead_bytes(const struct queue *q)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state == DEAD) bytes += message_bytes(&w.message[q->item[i].message]);
    return bytes;
}

/* The failed head of a key keeps its lane. */
static bool stops_its_key(const struct queue *q, int reason)
{
    return (q->opts.flags & EVB_SUB_KEY_HALT) != 0 && (reason == DELIVERY_LIMIT || reason == REJECTED);
}

static void bury(struct queue *q, struct item *item, int reason, int32_t code, const char *text)
{
    int64_t now = evb__clock_wall();

    q->want.dead_lettered++;
    w.total.dead++;
    if (!stops_its_key(q, reason)) leave_lane(q, item);
    w.total.stopped += item->lane != 0;
    item->state = DEAD;
    item->expires_ns = NEVER;
    item->place = ++q->last;
    item->reason = reason;
    item->code = code;
    item->times[reason]++;
    if (item->first_death_ns == 0) item->first_death_ns = now;
    item->last_death_ns = now;
    (void)snprintf(item->text, sizeof item->text, "%.256s", text != NULL ? text : "");
    while (count_in(q, DEAD) > q->opts.dlq_capacity || dead_bytes(q) > q->opts.dlq_bytes)
        free_item(q, oldest_dead(q));
}

/* ---- times to live ---- */

static void begin_ttl(const struct queue *q, struct item *item)
{
    int64_t now = executor_now(), ttl_ns = item->ttl_ns;

    if (ttl_ns == 0) ttl_ns = NEVER;
    if (q->opts.ttl_ns != 0 && q->opts.ttl_ns < ttl_ns) ttl_ns = q->opts.ttl_ns;
    item->expires_ns = ttl_ns < NEVER - now ? now + ttl_ns : NEVER;
}

static void expire(struct queue *q, struct item *item)
{
    w.total.expired++;
    if ((q->opts.flags & EVB_SUB_DEAD_LETTER_EXPIRED) != 0) {
        bury(q, item, EXPIRED, EVB_ETIMEDOUT, NULL);
    } else {
        q->want.expired++;
        free_item(q, item);
    }
}

void expire_heads(struct queue *q, int64_t now)
{
    struct item *item;

    while ((item = head(q)) != NULL && item->expires_ns <= now)
        expire(q, item);
}

/* ---- back from the dead ---- */

/* The oldest letter that the queue can hold at all. */
static struct item *next_to_redrive(struct queue *q)
{
    struct item *first = NULL;

    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state == DEAD && has_place(q, 1, message_bytes(&w.message[q->item[i].message])) &&
            (first == NULL || q->item[i].place < first->place))
            first = &q->item[i];
    return first;
}

int32_t redrive(struct queue *q, uint32_t max)
{
    uint32_t moved = 0, there = count_in(q, DEAD);
    struct item *item;

    for (; moved < max && moved < there; moved++) {
        item = next_to_redrive(q);
        if (item == NULL) return moved != 0 ? (int32_t)moved : EVB_ETOOBIG;
        if (!has_room(q, 1, message_bytes(&w.message[item->message])))
            return moved != 0 ? (int32_t)moved : EVB_EFULL;
        item->attempt = 0;
        item->redelivered = false;
        item->redriven = true;
        item->redrives++;
        q->want.enqueued++;
        w.total.redriven++;
        begin_ttl(q, item);
        to_tail(q, item);
    }
    return (int32_t)moved;
}

/* ---- accepted, or dropped ---- */

static struct item *new_item(struct queue *q, uint32_t message)
{
    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state == FREE_ITEM) {
            q->item[i] =
                (struct item){.message = message, .due_ns = NEVER, .expires_ns = NEVER, .member = -1};
            return &q->item[i];
        }
    differs("the model has no room for an item");
    return &q->item[0];
}

static void drop(struct queue *q, struct item *item)
{
    w.total.dropped++;
    if ((q->opts.flags & EVB_SUB_DEAD_LETTER_DROPS) != 0) {
        bury(q, item, MAXLEN, EVB_EFULL, NULL);
    } else {
        q->want.dropped++;
        free_item(q, item);
    }
}

/* A conflating queue takes the new one in the place of all ready ones with its key; without key: of its
 * topic. */
static void conflate(struct queue *q, const struct message *m)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        const struct message *other = &w.message[q->item[i].message];

        if (q->item[i].state != READY || other->key != m->key || (m->key == 0 && other->topic != m->topic))
            continue;
        q->want.conflated++;
        w.total.conflated++;
        free_item(q, &q->item[i]);
    }
}

/* Would it fit if nothing were ready? What is in flight or delayed is not evicted. */
static bool could_fit(const struct queue *q, size_t bytes)
{
    uint32_t events = 1;

    for (uint32_t i = 0; i < ITEMS; i++)
        if (holds_room(&q->item[i]) && q->item[i].state != READY) {
            events++;
            bytes += message_bytes(&w.message[q->item[i].message]);
        }
    return has_place(q, events, bytes);
}

static bool take_in(struct queue *q, uint32_t message, int64_t ttl_ns, bool retained)
{
    const struct message *m = &w.message[message];
    size_t bytes = message_bytes(m);
    bool room = true;
    struct item *item;

    q->want.enqueued++;
    if (q->opts.overflow == EVB_OVERFLOW_DROP_NEWEST || retained) room = has_room(q, 1, bytes);
    if (q->opts.overflow >= EVB_OVERFLOW_DROP_OLDEST && q->opts.overflow != EVB_OVERFLOW_DROP_NEWEST)
        room = could_fit(q, bytes);
    if (room && q->opts.overflow == EVB_OVERFLOW_CONFLATE && m->delay_ns == 0) conflate(q, m);
    while (room && !has_room(q, 1, bytes))
        drop(q, oldest_ready(q));
    item = new_item(q, message);
    item->ttl_ns = ttl_ns;
    item->retained = retained;
    if (!room) {
        drop(q, item);
        return false;
    }
    begin_ttl(q, item);
    if (m->delay_ns != 0)
        delay(item, m->delay_ns);
    else
        to_tail(q, item);
    return true;
}

bool accept(struct queue *q, uint32_t message)
{
    return take_in(q, message, w.message[message].ttl_ns, false);
}

void admit(struct queue *q, uint32_t message, int64_t ttl_ns)
{
    w.total.retained++;
    (void)take_in(q, message, ttl_ns, true);
}

/* ---- in flight ---- */

void hand_out(struct queue *q, struct item *item, int member)
{
    item->attempt++;
    q->want.delivered++;
    if (item->attempt > 1) q->want.redelivered++;
    item->state = IN_FLIGHT;
    item->member = member;
    item->open = false;
    item->event = NULL;
    item->due_ns = NEVER;
    if ((q->opts.flags & EVB_SUB_AT_MOST_ONCE) == 0) return;
    q->want.acked++;
    item->state = HANDED_OVER;
    if (w.member[member].kind == PULLS) leave_lane(q, item); /* a handler keeps it until it returns */
}

/* No number comes again. */
static void check_new(uint64_t number)
{
    for (uint32_t i = 0; i < OLD && i < w.olds; i++)
        if (w.old[i].number == number) differs("a delivery has the number of one that is settled");
}

void open_item(struct queue *q, struct item *item, uint64_t number, const evb_event *event)
{
    check_new(number);
    item->open = true;
    item->number = number;
    item->opened = ++w.opened;
    item->event = event;
    q->open++;
    lease(q, item, q->opts.lease_ns);
}

void lease(struct queue *q, struct item *item, int64_t lease_ns)
{
    int64_t now = executor_now();

    (void)q;
    if (item->state != IN_FLIGHT) return;
    item->due_ns = lease_ns < NEVER - now ? now + lease_ns : NEVER;
}

static int64_t retry_delay(const evb_retry *r, uint32_t failures)
{
    int64_t e = r->base_ns;

    while (--failures > 0 && e < r->cap_ns)
        e = e > r->cap_ns / 2 ? r->cap_ns : 2 * e;
    if (e > r->cap_ns) e = r->cap_ns;
    return e > r->min_ns ? e : r->min_ns;
}

static void fail(struct queue *q, struct item *item, const struct settling *s)
{
    int64_t after = s->delay_ns;

    q->want.nacked++;
    if (q->opts.retry.max_attempts != UINT32_MAX && item->attempt >= q->opts.retry.max_attempts) {
        bury(q, item, DELIVERY_LIMIT, s->code, s->text);
        return;
    }
    if (after == EVB_DELAY_POLICY) after = retry_delay(&q->opts.retry, item->attempt);
    if (after == 0)
        to_tail(q, item);
    else
        delay(item, after);
}

void remember_old(int queue, uint64_t number)
{
    w.old[w.olds % OLD].queue = queue;
    w.old[w.olds % OLD].number = number;
    w.olds++;
}

void settle(struct queue *q, struct item *item, const struct settling *s)
{
    bool handed_over = item->state == HANDED_OVER;

    if (item->open) {
        q->open--;
        remember_old((int)(q - w.queue), item->number);
    }
    item->open = false;
    item->due_ns = NEVER;
    item->redelivered = true;
    item->event = NULL;
    if (handed_over || s->result == EVB_OK) {
        if (!handed_over) q->want.acked++;
        free_item(q, item);
    } else if (s->result == EVB_RELEASE) {
        q->want.released++;
        w.total.released++;
        item->attempt--;
        to_head(q, item);
    } else if (s->result == EVB_REJECT) {
        bury(q, item, REJECTED, s->code, s->text);
    } else {
        fail(q, item, s);
    }
}

struct item *find_number(struct queue *q, uint64_t number)
{
    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].open && q->item[i].state != FREE_ITEM && q->item[i].number == number)
            return &q->item[i];
    return NULL;
}

/* ---- leases that have run out ---- */

static void drop_lapsed(uint32_t at)
{
    w.lapses--;
    memmove(&w.lapsed[at], &w.lapsed[at + 1], (w.lapses - at) * sizeof w.lapsed[0]);
}

void forget_lapsed(int member, uint64_t number)
{
    for (uint32_t i = 0; i < w.lapses;)
        if (w.lapsed[i].member == member || (member < 0 && w.lapsed[i].number == number))
            drop_lapsed(i);
        else
            i++;
}

/* The library keeps max_in_flight of them for a queue. */
static void lapse(const struct queue *q, const struct item *item)
{
    int queue = (int)(q - w.queue);
    uint32_t oldest = LAPSED, n = 1;

    for (uint32_t i = w.lapses; i-- > 0;)
        if (w.lapsed[i].queue == queue) {
            oldest = i;
            n++;
        }
    if (n > q->opts.max_in_flight) drop_lapsed(oldest);
    if (w.lapses == LAPSED) drop_lapsed(0);
    w.lapsed[w.lapses++] = (struct lapsed){.queue = queue,
                                           .member = item->member,
                                           .number = item->number,
                                           .event = item->event,
                                           .message = item->message};
}

/* ---- time ---- */

int64_t due_at(const struct item *item)
{
    if (item->state == IN_FLIGHT) return item->due_ns; /* nothing expires there */
    if (item->state == DELAYED && item->due_ns < item->expires_ns) return item->due_ns;
    return item->state == READY || item->state == DELAYED ? item->expires_ns : NEVER;
}

static struct item *due_first(struct queue *q)
{
    struct item *first = NULL;

    for (uint32_t i = 0; i < ITEMS; i++) {
        struct item *item = &q->item[i];

        if (due_at(item) == NEVER) continue;
        if (first == NULL || due_at(item) < due_at(first) ||
            (due_at(item) == due_at(first) &&
             w.message[item->message].order < w.message[first->message].order))
            first = item;
    }
    return first;
}

void fall_due(struct queue *q, int64_t now)
{
    static const struct settling lapsed = {EVB_NACK, EVB_DELAY_POLICY, EVB_ETIMEDOUT, "lease expired"};
    struct item *item;

    while ((item = due_first(q)) != NULL && due_at(item) <= now) {
        if (item->state != IN_FLIGHT && item->expires_ns <= now) {
            expire(q, item);
        } else if (item->state == DELAYED) {
            item->due_ns = NEVER;
            to_tail(q, item);
        } else {
            w.total.lapsed++;
            lapse(q, item);
            settle(q, item, &lapsed);
        }
    }
}

/* ---- steering ---- */

int64_t purge(struct queue *q)
{
    int64_t gone = 0;

    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state == READY || q->item[i].state == DELAYED) {
            free_item(q, &q->item[i]);
            gone++;
        }
    q->want.purged += (uint64_t)gone;
    return gone;
}

int32_t skip_key(struct queue *q, uint32_t key)
{
    struct item *item = leader(q, key);

    if (item == NULL || item->state != DEAD) return EVB_ENOTFOUND;
    leave_lane(q, item);
    w.total.skipped++;
    return EVB_OK;
}

/* What a leaver has open goes back, so that it lies as it was. */
void leave(struct member *m)
{
    struct queue *q = queue_of(m);
    int member = (int)(m - w.member);

    m->left = true;
    for (;;) {
        struct item *newest = NULL;

        for (uint32_t i = 0; i < ITEMS; i++) {
            struct item *item = &q->item[i];

            if (!item->open || item->member != member || item->state == FREE_ITEM) continue;
            if (newest == NULL || item->opened > newest->opened) newest = item;
        }
        if (newest == NULL) break;
        lapse(q, newest);
        settle(q, newest, &(struct settling){.result = EVB_RELEASE});
    }
    forget_lapsed(member, 0); /* it gives its handle back */
    if (--q->members == 0) q->live = false;
}

bool is_over(const struct queue *q)
{
    return w.draining && undone(q) == 0;
}
