/* SPDX-License-Identifier: MIT */
/* Consuming beside the model: what a handler is handed, what a puller takes, what becomes of it. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "executor.h"

struct queue *queue_of(const struct member *m)
{
    return &w.queue[m->queue];
}

/* A member whose handle is ours, of that kind (-1: any); -1: there is none. */
int pick_member(int kind)
{
    uint32_t start = w.members != 0 ? below(w.members) : 0;

    for (uint32_t i = 0; i < w.members; i++) {
        const struct member *m = &w.member[(start + i) % w.members];

        if (m->handle && (kind < 0 || (int)m->kind == kind)) return (int)(m - w.member);
    }
    return -1;
}

/* ---- handlers ---- */

static uint32_t flags_of(const struct item *item)
{
    return (item->redelivered ? (uint32_t)EVB_EVENT_REDELIVERED : 0) |
           (item->redriven ? (uint32_t)EVB_EVENT_REDRIVEN : 0) |
           (item->retained ? (uint32_t)EVB_EVENT_RETAINED : 0);
}

/* What is handed out is the head of ready, as it must look. */
static bool check_handed_out(const evb_event *ev, struct queue *q, const struct item *item, const char *where)
{
    uint32_t number = number_in(ev);
    int at = (int)(q - w.queue);

    if (item == NULL || number != item->message) {
        differs("%s of queue %d: message %u, expected %d", where, at, number,
                item != NULL ? (int)item->message : -1);
        return false;
    }
    if (!check_event(ev, number, where)) return false;
    if (ev->attempt != item->attempt)
        differs("%s of queue %d: message %u, attempt %u, expected %u", where, at, number, ev->attempt,
                item->attempt);
    if (ev->flags != flags_of(item))
        differs("%s of queue %d: message %u, flags %u, expected %u", where, at, number, ev->flags,
                flags_of(item));
    saw_sequence(number, ev->sequence);
    return !wrong();
}

static bool defer(const evb_event *ev, struct queue *q, struct item *item)
{
    uint64_t number = 0, other;
    int32_t answer = evb_defer(ev, &number), expected;

    expected = (q->opts.flags & EVB_SUB_AT_MOST_ONCE) != 0 ? EVB_ENOTSUP
               : w.member[item->member].left               ? EVB_ECLOSED
               : q->open >= q->opts.max_in_flight          ? EVB_EFULL
                                                           : EVB_OK;
    note("defer: %s", status(answer));
    want("evb_defer", answer, expected);
    if (answer != EVB_OK || wrong()) return false;
    open_item(q, item, number, ev);
    if (one_in(4)) want("a second evb_defer", evb_defer(ev, &other), EVB_EEXIST);
    return true;
}

static int32_t some_result(void)
{
    static const int32_t results[] = {EVB_OK,   EVB_OK,    EVB_OK,     EVB_OK,      EVB_OK,
                                      EVB_NACK, EVB_NACK,  EVB_REJECT, EVB_RELEASE, EVB_DEFER,
                                      9,        EVB_EBUSY, -1000,      EVB_OK};

    static const int32_t failures[] = {EVB_NACK, EVB_REJECT, -7};

    if (one_in(w.fail_odds)) return failures[below(COUNT(failures))];
    return results[below(COUNT(results))];
}

/* The handler has answered and kept nothing. */
static void settle_by_result(struct queue *q, struct item *item, int32_t result)
{
    struct settling s = {.result = result, .delay_ns = EVB_DELAY_POLICY, .code = result};

    if (result == EVB_DEFER) s.code = EVB_NACK;
    if (result < 0 || result >= EVB_DEFER) s.result = EVB_NACK;
    settle(q, item, &s);
}

int32_t on_handler(const evb_event *ev, void *user)
{
    struct member *m = user;
    struct queue *q = queue_of(m);
    struct item *item;
    uint32_t number = number_in(ev);
    bool deferred = false;
    int32_t result;

    if (wrong() || w.ending) return EVB_OK;
    if (m->kind == DISPATCHED) {
        fall_due(q, executor_now());
        w.dispatched++;
    }
    note("member %d of queue %d handles %u", (int)(m - w.member), m->queue, number);
    if (m->left || !q->live) differs("the handler of a member that has left is called");
    if (m->freed != 0) differs("a handler is called after free_user");
    if (q->paused) differs("the handler of a paused queue is called");
    if (m->running >= m->concurrency) differs("more handlers at once than %u", m->concurrency);
    item = head(q);
    if (item != NULL && !wrong()) hand_out(q, item, (int)(m - w.member));
    if (wrong() || !check_handed_out(ev, q, item, "handler")) return EVB_OK;
    w.total.handled++;
    m->running++;
    w.depth++;
    w.serving++;
    if (one_in(8)) deferred = defer(ev, q, item);
    if (one_in(3)) act(3);
    if (!deferred && q->live && one_in(8)) deferred = defer(ev, q, item);
    if (!deferred && !wrong() && one_in(10)) do_keep(ev, number);
    if (!deferred && !wrong()) (void)check_event(ev, number, "handler, at its end");
    w.depth--;
    w.serving--;
    m->running--;
    result = some_result();
    note("member %d answers %d%s", (int)(m - w.member), (int)result, deferred ? " (deferred)" : "");
    if (!deferred && q->live && !wrong()) settle_by_result(q, item, result);
    return result;
}

/* ---- pulling ---- */

static bool can_pull(struct queue *q)
{
    return !q->paused && q->open < q->opts.max_in_flight && head(q) != NULL;
}

static int32_t expected_of_next(struct queue *q)
{
    if (is_over(q)) return EVB_ECLOSED;
    fall_due(q, executor_now());
    return can_pull(q) ? EVB_OK : EVB_EEMPTY;
}

void do_next(void)
{
    int at = pick_member(PULLS);
    struct member *m = &w.member[at < 0 ? 0 : at];
    struct queue *q = queue_of(m);
    int64_t timeout_ns = one_in(4) ? 1 + (int64_t)below(3000000) : 0;
    const evb_event *ev = NULL;
    uint64_t number = 0;
    int32_t answer, expected;
    struct item *item;

    if (at < 0 || w.sleeper >= 0) return;
    note("next of member %d, queue %d%s", at, m->queue, timeout_ns != 0 ? ", waits" : "");
    if (w.depth == 0 && timeout_ns != 0) w.sleeper = at; /* what it does to what is due: on_sleep */
    answer = evb_sub_next(m->sub, timeout_ns, &number, &ev);
    w.sleeper = -1;
    if (wrong()) return;
    if (w.slept && executor_slept_in_vain() && can_pull(q))
        differs("queue %d: message %u is ready, and nobody has told the call that waits for it", m->queue,
                head(q)->message);
    w.slept = false;
    expected = expected_of_next(q);
    /* What was due may have been the last thing there: then it depends on whether it has looked once
     * more. */
    if (expected == EVB_EEMPTY && timeout_ns != 0 && w.depth == 0 && is_over(q) && answer == EVB_ECLOSED)
        return;
    if (expected == EVB_EEMPTY) {
        m->fd_read = false;
        if (timeout_ns != 0) expected = w.depth != 0 ? EVB_EDEADLK : EVB_ETIMEDOUT;
    }
    note("= %s", status(answer));
    want("evb_sub_next", answer, expected);
    if (wrong() || answer != EVB_OK) return;
    w.total.pulled++;
    item = head(q);
    hand_out(q, item, at);
    if (!check_handed_out(ev, q, item, "next")) return;
    note("= message %u", item->message);
    open_item(q, item, number, ev);
    if (one_in(12)) do_keep(ev, item->message);
}

static const char *check_record(const evb_packed *r, size_t left, const struct item *item)
{
    const struct message *m = &w.message[item->message];
    const char *text = (const char *)(r + 1);
    uint32_t key_len, topic_len = (uint32_t)strlen(topic_names[m->topic]);
    const void *key = key_of(m->key, &key_len);
    size_t size = (sizeof *r + topic_len + 1 + key_len + m->size + 7) / 8 * 8;

    if (r->size != size || size > left) return "size";
    if (r->topic_len != topic_len || strcmp(text, topic_names[m->topic]) != 0) return "topic";
    text += topic_len + 1;
    if (r->key_len != key_len || (key_len != 0 && memcmp(text, key, key_len) != 0)) return "key";
    text += key_len;
    if (r->data_len != m->size || memcmp(text, payload(item->message), m->size) != 0) return "payload";
    if (r->attempt != item->attempt) return "attempt";
    if (r->flags != flags_of(item)) return "flags";
    saw_sequence(item->message, r->sequence);
    return NULL;
}

static size_t record_size(const struct item *item)
{
    const struct message *m = &w.message[item->message];
    uint32_t key_len;

    (void)key_of(m->key, &key_len);
    return (sizeof(evb_packed) + strlen(topic_names[m->topic]) + 1 + key_len + m->size + 7) / 8 * 8;
}

/* Follows the records in the buffer. How many there should be; or the error. */
static int32_t check_records(struct queue *q, int member, const char *at, size_t cap, uint32_t max,
                             int32_t answer)
{
    int32_t taken = 0;
    struct item *item;

    fall_due(q, executor_now());
    if (is_over(q)) return EVB_ECLOSED;
    while ((uint32_t)taken < max && !q->paused && (item = head(q)) != NULL) {
        size_t size = record_size(item);
        const char *what;

        if (size > cap) return taken != 0 ? taken : EVB_ETOOBIG;
        hand_out(q, item, member);
        if (taken < answer && (what = check_record((const evb_packed *)(const void *)at, cap, item)) != NULL)
            differs("record %d of a take: message %u has another %s", (int)taken, item->message, what);
        settle(q, item, &(struct settling){.result = EVB_OK});
        at += size;
        cap -= size;
        taken++;
    }
    return taken != 0 ? taken : EVB_EEMPTY;
}

void do_take(void)
{
    static _Alignas(8) char buf[1024];
    int at = pick_member(PULLS);
    struct member *m = &w.member[at < 0 ? 0 : at];
    size_t cap = one_in(3) ? below(200) : sizeof buf;
    uint32_t max = 1 + below(5);
    int32_t answer, expected;

    if (at < 0) return;
    answer = evb_sub_take(m->sub, buf, cap, max);
    note("take of member %d, queue %d, %u bytes, %u: %s", at, m->queue, (uint32_t)cap, max, status(answer));
    expected = check_records(queue_of(m), at, buf, cap, max, answer);
    if (expected == EVB_EEMPTY) m->fd_read = false;
    if (answer > 0) w.total.taken += (uint64_t)answer;
    want("evb_sub_take", answer, expected);
}

void do_dispatch(void)
{
    int at = pick_member(DISPATCHED);
    struct member *m = &w.member[at < 0 ? 0 : at];
    struct queue *q = queue_of(m);
    uint32_t max = one_in(3) ? 0 : 1 + below(4);
    int32_t answer;

    if (at < 0) return;
    note("dispatch of member %d, queue %d, %u", at, m->queue, max);
    if (w.depth != 0) {
        want("evb_sub_dispatch in a callback", evb_sub_dispatch(m->sub, max), EVB_EDEADLK);
        return;
    }
    w.dispatched = 0;
    if (is_over(q)) {
        want("evb_sub_dispatch", evb_sub_dispatch(m->sub, max), EVB_ECLOSED);
        return;
    }
    w.dispatching = true;
    answer = evb_sub_dispatch(m->sub, max);
    w.dispatching = false;
    note("= %s", status(answer));
    if (w.dispatched < (max == 0 ? 64 : max)) {
        if (q->live) fall_due(q, executor_now());
        m->fd_read = false;
        if (!m->left && q->live && !q->paused && head(q) != NULL)
            differs("a dispatch ended with something ready");
    }
    want("evb_sub_dispatch", answer, w.dispatched != 0 ? (int32_t)w.dispatched : EVB_EEMPTY);
}

/* ---- settling ---- */

static struct item *pick_open(int *ret_queue)
{
    uint32_t start = w.queues != 0 ? below(w.queues) : 0;

    for (uint32_t i = 0; i < w.queues; i++) {
        struct queue *q = &w.queue[(start + i) % w.queues];
        uint32_t from = below(ITEMS);

        for (uint32_t k = 0; q->live && k < ITEMS; k++) {
            struct item *item = &q->item[(from + k) % ITEMS];

            if (item->state == FREE_ITEM || !item->open) continue;
            *ret_queue = (int)(q - w.queue);
            return item;
        }
    }
    return NULL;
}

static int member_of_queue(int queue)
{
    for (uint32_t i = 0, start = below(w.members); i < w.members; i++) {
        const struct member *m = &w.member[(start + i) % w.members];

        if (m->handle && m->queue == queue) return (int)(m - w.member);
    }
    return -1;
}

/* A number and a handle for it: mostly the right one, sometimes stale, of another queue, or nonsense.
 */
static int pick_number(uint64_t *ret_number, int *ret_owner)
{
    struct item *item;
    uint32_t kind = below(10), old = w.olds != 0 ? below(w.olds < OLD ? w.olds : OLD) : 0;

    *ret_owner = -1;
    if (kind == 0) {
        *ret_number = one_in(2) ? 0 : evb__rng_next(&w.rng);
        return pick_member(-1);
    }
    if (kind < 3 && w.olds != 0) {
        *ret_number = w.old[old].number;
        *ret_owner = w.old[old].queue;
    } else if ((item = pick_open(ret_owner)) != NULL) {
        *ret_number = item->number;
    } else {
        return -1;
    }
    return one_in(8) ? pick_member(-1) : member_of_queue(*ret_owner);
}

static const char *some_text(void)
{
    static char text[400];
    static const uint32_t lengths[] = {0, 1, 17, 255, 256, 257, 399};
    uint32_t length = lengths[below(COUNT(lengths))];

    if (one_in(4)) return NULL;
    memset(text, 'a' + (int)below(26), length);
    text[length] = '\0';
    return text;
}

static int64_t some_lease(void)
{
    return one_in(4) ? 0 : one_in(6) ? NEVER : 1 + (int64_t)below(100) * 1000003;
}

struct call {
    const char *name;
    int32_t answer;
    struct settling s;
    bool extends;
    int64_t lease_ns;
};

static void call_settle(struct call *c, evb_sub *sub, uint64_t number)
{
    uint32_t way = below(20);

    c->s = (struct settling){.result = EVB_OK, .delay_ns = EVB_DELAY_POLICY, .code = EVB_NACK};
    if (one_in(w.fail_odds)) way = one_in(2) ? 7 : 14;
    if (way < 7) {
        c->name = "evb_ack";
        c->answer = evb_ack(sub, number);
    } else if (way < 11) {
        c->name = "evb_nack";
        c->s.result = EVB_NACK;
        c->s.delay_ns = one_in(3) ? 0 : one_in(2) ? EVB_DELAY_POLICY : 1 + (int64_t)below(50) * 1000003;
        c->answer = evb_nack(sub, number, c->s.delay_ns);
    } else if (way < 14) {
        c->name = "evb_release";
        c->s.result = EVB_RELEASE;
        c->answer = evb_release(sub, number);
    } else if (way < 16) {
        c->name = "evb_reject";
        c->s.result = EVB_REJECT;
        c->s.code = (int32_t)below(2000) - 1000;
        c->s.text = some_text();
        c->answer = evb_reject(sub, number, c->s.code, c->s.text);
    } else {
        c->name = "evb_extend";
        c->extends = true;
        c->lease_ns = some_lease();
        c->answer = evb_extend(sub, number, c->lease_ns);
    }
}

/* While it is open it is readable. */
static void check_open_event(const struct item *item)
{
    if (item != NULL && item->event != NULL)
        (void)check_event(item->event, item->message, "an open delivery");
}

void do_settle(void)
{
    uint64_t number;
    int owner, at = pick_number(&number, &owner);
    struct call c = {.extends = false};
    struct queue *q;
    struct item *item;
    int32_t expected;

    if (at < 0) return;
    q = queue_of(&w.member[at]);
    item = find_number(q, number);
    check_open_event(item);
    call_settle(&c, w.member[at].sub, number);
    note("%s by member %d, queue %d, of %s %d: %s", c.name, at, w.member[at].queue,
         item != NULL ? "message" : "a number of queue", item != NULL ? (int)item->message : owner,
         status(c.answer));
    if (item == NULL) {
        expected = owner == w.member[at].queue ? EVB_ESTALE : EVB_EINVAL;
        if (expected == EVB_ESTALE) q->want.stale++;
        if (expected == EVB_ESTALE) forget_lapsed(-1, number);
        w.total.stale++;
    } else {
        bool handed_over = item->state == HANDED_OVER;

        expected = handed_over && (c.extends || c.s.result != EVB_OK) ? EVB_ENOTSUP : EVB_OK;
        if (expected == EVB_OK && c.extends)
            lease(q, item, c.lease_ns != 0 ? c.lease_ns : q->opts.lease_ns);
        else if (expected == EVB_OK)
            settle(q, item, &c.s);
    }
    want(c.name, c.answer, expected);
}

/* ---- kept events ---- */

void do_keep(const evb_event *ev, uint32_t message)
{
    for (uint32_t i = 0; i < KEPT; i++) {
        if (w.kept[i].event != NULL) continue;
        w.kept[i].event = evb_event_retain(ev);
        w.kept[i].message = message;
        note("keeps message %u", message);
        if (w.kept[i].event == NULL) differs("evb_event_retain answered NULL");
        return;
    }
}

void do_forget(void)
{
    struct kept *k = &w.kept[below(KEPT)];

    if (w.lapses != 0) {
        const struct lapsed *l = &w.lapsed[below(w.lapses)];

        (void)check_event(l->event, l->message, "an event whose lease has run out");
    }
    if (k->event == NULL) return;
    (void)check_event(k->event, k->message, "a kept event");
    evb_event_release(k->event);
    k->event = NULL;
}
