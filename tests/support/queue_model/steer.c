/* SPDX-License-Identifier: MIT */
/* Steering beside the model: members that come and go, pause, purge, dead letters, descriptors. */
#include "world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "executor.h"
#include "queue/queue.h"

/* ---- members ---- */

static evb_sub_opts some_opts(void)
{
    evb_sub_opts o = {.capacity = one_in(10) ? 100 : 1 + below(8),
                      .overflow = below(5),
                      .retry = {.jitter = EVB_JITTER_NONE}};

    if (one_in(4)) o.capacity_bytes = 12 + below(90);
    if (one_in(2)) o.max_in_flight = 1 + below(4);
    o.retry.max_attempts = one_in(8) ? UINT32_MAX : 1 + below(4);
    o.retry.base_ns = 1 + (int64_t)below(40) * 1000003;
    o.retry.cap_ns = o.retry.base_ns + (int64_t)below(4) * o.retry.base_ns + below(1000);
    if (one_in(4)) o.retry.min_ns = 1 + (int64_t)below(60) * 999983;
    o.lease_ns = one_in(4) ? NEVER : one_in(3) ? 0 : 1 + (int64_t)below(100) * 1000033;
    o.dlq_capacity = 1 + below(one_in(2) ? 4 : 150);
    if (one_in(6)) o.dlq_bytes = 10 + below(80);
    if (one_in(4)) o.flags |= EVB_SUB_DEAD_LETTER_DROPS;
    if (one_in(3)) o.flags |= EVB_SUB_DEAD_LETTER_EXPIRED;
    if (one_in(2)) o.flags |= EVB_SUB_KEY_HALT;
    if (one_in(3)) o.ttl_ns = some_time();
    if (one_in(10)) o.flags |= EVB_SUB_PAUSED;
    if (one_in(8)) {
        o.flags |= EVB_SUB_AT_MOST_ONCE;
        o.lease_ns = 0;
    }
    return o;
}

/* What the zeros of the options stand for. */
static void fill_in(evb_sub_opts *o)
{
    if (o->capacity_bytes == 0) o->capacity_bytes = 16 << 20;
    if (o->max_in_flight == 0) o->max_in_flight = 256;
    if (o->lease_ns == 0) o->lease_ns = (o->flags & EVB_SUB_AT_MOST_ONCE) != 0 ? NEVER : 30 * SECOND;
    if (o->dlq_capacity == 0) o->dlq_capacity = 10000;
    if (o->dlq_bytes == 0) o->dlq_bytes = 64 << 20;
}

static void choose_consumer(struct member *m, evb_sub_opts *o)
{
    static const enum member_kind kinds[] = {RUNS, RUNS, RUNS, PULLS, PULLS, DISPATCHED};

    m->kind = kinds[below(COUNT(kinds))];
    m->concurrency = m->kind == RUNS && one_in(2) ? 1 + below(4) : 1;
    m->gives_back = one_in(2);
    m->fd = -1;
    o->concurrency = m->kind == RUNS ? m->concurrency : 0;
    o->handler = m->kind != PULLS ? on_handler : NULL;
    o->user = m;
    o->free_user = m->gives_back ? on_free : NULL;
    o->flags &= ~(uint32_t)EVB_SUB_DISPATCH;
    if (m->kind == DISPATCHED) o->flags |= EVB_SUB_DISPATCH;
}

static uint32_t live_queues(void)
{
    uint32_t n = 0;

    for (uint32_t q = 0; q < w.queues; q++)
        n += w.queue[q].live;
    return n;
}

/* The group that the new member will join; NULL: makes a queue of its own. */
static struct queue *pick_group(void)
{
    uint32_t start = w.queues != 0 ? below(w.queues) : 0;

    for (uint32_t i = 0; i < w.queues; i++) {
        struct queue *q = &w.queue[(start + i) % w.queues];

        if (q->live && q->name[0] != '\0') return q;
    }
    return NULL;
}

static void subscribed(struct member *m, evb_sub *sub)
{
    struct queue *q = queue_of(m);

    m->sub = sub;
    m->handle = sub != NULL;
    m->kept = sub == NULL;
    if (sub != NULL) q->real = sub->queue;
    w.members++;
    if (q->members++ == 0 && q->filtered) q->filter_member = (int)(m - w.member);
}

static void join(struct queue *q)
{
    struct member *m = &w.member[w.members];
    evb_sub_opts o = q->opts;
    uint32_t pattern = q->pattern, conflict = one_in(4) ? 1 + below(5) : 0;
    evb_sub *sub = NULL;
    int32_t answer;

    *m = (struct member){.queue = (int)(q - w.queue)};
    o.name = q->name;
    if ((o.flags & EVB_SUB_AT_MOST_ONCE) != 0) o.lease_ns = 0; /* there is none to ask for */
    choose_consumer(m, &o);
    if (one_in(4)) o.flags ^= EVB_SUB_PAUSED; /* a member's own, and only the first one's matters */
    if (conflict == 1) pattern = (pattern + 1) % PATTERNS;
    if (conflict == 2) o.capacity++;
    if (conflict == 3) o.filter = o.filter == on_filter_too ? NULL : on_filter_too;
    if (conflict == 4) o.retry.cap_ns++;
    if (conflict == 5) o.ttl_ns++;
    answer = evb_subscribe(w.bus, pattern_names[pattern], &o, m->kind == RUNS && one_in(8) ? NULL : &sub);
    note("member %u joins queue %d (%s), kind %d, %u at once: %s", w.members, m->queue, o.name, (int)m->kind,
         m->concurrency, status(answer));
    want("evb_subscribe to a group", answer,
         w.draining      ? EVB_ECLOSED
         : conflict != 0 ? EVB_ECONFLICT
                         : EVB_OK);
    if (answer == EVB_OK) subscribed(m, sub);
}

static const char *const policies[] = {"reject", "block", "drop_oldest", "drop_newest", "conflate"};

static void make(void)
{
    static uint32_t names;
    struct queue *q = &w.queue[w.queues];
    struct member *m = &w.member[w.members];
    evb_sub_opts o = some_opts();
    evb_sub *sub = NULL;
    int32_t answer;

    *q = (struct queue){.pattern = below(PATTERNS), .filter_member = -1};
    *m = (struct member){.queue = (int)w.queues};
    if (one_in(2)) (void)snprintf(q->name, sizeof q->name, "group-%u", names++);
    o.name = q->name[0] != '\0' ? q->name : NULL;
    choose_consumer(m, &o);
    q->filtered = one_in(4);
    if (q->filtered) o.filter = on_filter;
    if (one_in(20) && m->kind == RUNS) executor_refuse_threads(1); /* others go on without an alarm */
    w.asks = 0;
    w.arriving = m;
    answer = evb_subscribe(w.bus, pattern_names[q->pattern], &o, &sub);
    w.arriving = NULL;
    note("member %u makes queue %u: %s, %s, %u events, %u bytes, kind %d, %u at once, ttl %lld%s%s%s: %s",
         w.members, w.queues, pattern_names[q->pattern], policies[o.overflow], o.capacity,
         (uint32_t)o.capacity_bytes, (int)m->kind, m->concurrency, (long long)o.ttl_ns,
         q->filtered ? ", filtered" : "", (o.flags & EVB_SUB_KEY_HALT) != 0 ? ", stops keys" : "",
         (o.flags & EVB_SUB_AT_MOST_ONCE) != 0 ? ", at most once" : "", status(answer));
    if (answer == EVB_EAGAIN && executor_refused()) return;
    executor_refuse_threads(0);
    want("evb_subscribe", answer, w.draining ? EVB_ECLOSED : EVB_OK);
    if (answer != EVB_OK) return;
    q->opts = o;
    fill_in(&q->opts);
    q->opts.name = NULL;
    q->paused = (o.flags & EVB_SUB_PAUSED) != 0;
    q->live = true;
    w.queues++;
    subscribed(m, sub);
    newcomer(q);
}

void do_subscribe(void)
{
    struct queue *group = one_in(2) ? pick_group() : NULL;

    if (w.members == MEMBERS || w.queues == QUEUES) return;
    if (group != NULL)
        join(group);
    else if (live_queues() < LIVE_MAX)
        make();
}

bool leave_member(int member)
{
    struct member *m = &w.member[member];
    struct queue *q = queue_of(m);
    int32_t answer;

    if (!m->handle || member == w.sleeper) return false;
    note("member %d leaves queue %d", member, m->queue);
    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state != FREE_ITEM && q->item[i].open && q->item[i].event != NULL && q->live)
            (void)check_event(q->item[i].event, q->item[i].message, "an open delivery");
    m->handle = false;
    if (!w.gone) leave(m);
    answer = evb_unsubscribe(m->sub);
    want("evb_unsubscribe", answer, w.depth != 0 ? EVB_EDEADLK : EVB_OK);
    return true;
}

void do_unsubscribe(void)
{
    int at = pick_member(-1);

    if (at >= 0 && (live_queues() > 1 || one_in(3))) (void)leave_member(at);
}

/* Is the filter of a queue that takes events this member's? */
bool filters(const struct member *m)
{
    const struct queue *q = queue_of(m);

    return q->live && q->filter_member == (int)(m - w.member);
}

void on_free(void *user)
{
    struct member *m = user;
    int at = (int)(m - w.member);

    note("free_user of member %d", at);
    m->freed++;
    if (wrong()) return;
    if (m->freed != 1) differs("free_user of member %d ran twice", at);
    if (!m->left && !w.gone) differs("free_user of member %d, which has not left", at);
    if (m->running != 0) differs("free_user of member %d while its handler runs", at);
    if (!w.gone && filters(m)) differs("free_user of member %d, whose filter is in use", at);
    /* Called by a publish itself, which leaves: whether it has handed over cannot be seen here. */
    if (w.frame != NULL && w.frame->depth == w.depth) return;
    if (w.dispatching && w.depth == 0) return; /* likewise: its last look is over */
    w.depth++;
    if (one_in(6) && !w.ending) act(1);
    w.depth--;
}

/* ---- pause, purge ---- */

void do_pause(void)
{
    int at = pick_member(-1);
    bool pause = one_in(2);
    struct queue *q;

    if (at < 0) return;
    q = queue_of(&w.member[at]);
    if (q->paused) pause = one_in(4);
    note("%s queue %d", pause ? "pause" : "resume", w.member[at].queue);
    want("pause or resume", pause ? evb_sub_pause(w.member[at].sub) : evb_sub_resume(w.member[at].sub),
         EVB_OK);
    q->paused = pause;
}

void do_purge(void)
{
    int at = pick_member(-1);
    int64_t answer;

    if (at < 0) return;
    answer = evb_sub_purge(w.member[at].sub);
    note("purge of queue %d: %s", w.member[at].queue, status(answer));
    want("evb_sub_purge", answer, purge(queue_of(&w.member[at])));
}

/* ---- dead letters ---- */

struct browsing {
    struct queue *q;
    int64_t after; /* place of the last letter */
    uint32_t shown, stop_at;
};

static struct item *dead_after(struct queue *q, int64_t place)
{
    struct item *next = NULL;

    for (uint32_t i = 0; i < ITEMS; i++) {
        struct item *item = &q->item[i];

        if (item->state == DEAD && item->place > place && (next == NULL || item->place < next->place))
            next = item;
    }
    return next;
}

static const char *check_death(const evb_death *d, const struct item *item, const struct queue *q)
{
    static const char *const reasons[] = {"", "delivery_limit", "rejected", "expired", "maxlen"};

    if (strcmp(d->reason, reasons[item->reason]) != 0) return "reason";
    if (d->error_code != item->code) return "error_code";
    if ((d->error_text != NULL ? d->error_text : "") != NULL &&
        strcmp(d->error_text != NULL ? d->error_text : "", item->text) != 0)
        return "error_text";
    if (d->attempts != item->attempt) return "attempts";
    if (d->redrives != item->redrives) return "redrives";
    if (d->times != item->times[item->reason]) return "times";
    if (d->first_time_ns != item->first_death_ns) return "first_time_ns";
    if (d->last_time_ns != item->last_death_ns) return "last_time_ns";
    if (strcmp(d->topic, topic_names[w.message[item->message].topic]) != 0) return "topic";
    if (q->name[0] != '\0' && strcmp(d->subscription, q->name) != 0) return "subscription";
    if (d->struct_size != sizeof *d) return "struct_size";
    saw_sequence(item->message, d->sequence);
    return NULL;
}

static int32_t on_letter(const evb_event *ev, const evb_death *death, void *user)
{
    struct browsing *b = user;
    const struct item *item = dead_after(b->q, b->after);
    uint64_t number;
    const char *what;

    if (wrong()) return 1;
    if (item == NULL || number_in(ev) != item->message) {
        differs("a letter of queue %d is message %u, expected %d", (int)(b->q - w.queue), number_in(ev),
                item != NULL ? (int)item->message : -1);
        return 1;
    }
    if (!check_event(ev, item->message, "a letter")) return 1;
    if ((what = check_death(death, item, b->q)) != NULL)
        differs("the letter of message %u has another %s", item->message, what);
    b->after = item->place;
    if (one_in(10)) want("evb_defer of a letter", evb_defer(ev, &number), EVB_ENOTSUP);
    w.depth++;
    if (one_in(10)) do_keep(ev, item->message);
    if (one_in(10)) {
        act(2); /* what is shown afterwards may be gone already: no more of it */
        b->stop_at = b->shown;
    }
    w.depth--;
    return b->shown++ == b->stop_at ? 7 : 0;
}

static void browse(int at)
{
    struct queue *q = queue_of(&w.member[at]);
    struct browsing b = {.q = q, .after = INT64_MIN, .stop_at = one_in(3) ? below(3) : UINT32_MAX};
    uint32_t there = count_in(q, DEAD);
    int32_t answer = evb_dlq_browse(w.member[at].sub, on_letter, &b);

    note("browse of queue %d: %u letters, %s", w.member[at].queue, b.shown, status(answer));
    want("evb_dlq_browse", answer, b.stop_at < there ? 7 : 0);
    if (!wrong() && b.stop_at == UINT32_MAX && b.shown != there)
        differs("a browse has shown %u letters, expected %u", b.shown, there);
}

void do_letters(void)
{
    int at = pick_member(-1);
    int64_t answer, expected;
    struct queue *q;
    struct item *item;

    if (at < 0) return;
    q = queue_of(&w.member[at]);
    expected = count_in(q, DEAD);
    switch (below(6)) {
    case 0:
        answer = evb_dlq_purge(w.member[at].sub);
        note("purge of the letters of queue %d: %s", w.member[at].queue, status(answer));
        while ((item = oldest_dead(q)) != NULL)
            free_item(q, item);
        want("evb_dlq_purge", answer, expected);
        break;
    case 1:
        want("evb_dlq_count", evb_dlq_count(w.member[at].sub), expected);
        break;
    default:
        browse(at);
        break;
    }
}

void do_redrive(void)
{
    int at = pick_member(-1);
    uint32_t max = one_in(2) ? UINT32_MAX : below(4);
    int32_t answer;

    if (at < 0) return;
    answer = evb_dlq_redrive(w.member[at].sub, max);
    note("redrive of %u letters of queue %d: %s", max, w.member[at].queue, status(answer));
    want("evb_dlq_redrive", answer, w.draining ? EVB_ECLOSED : redrive(queue_of(&w.member[at]), max));
}

void do_skip_key(void)
{
    int at = pick_member(-1);
    uint32_t key = 1 + below(FEW_KEYS - 1), key_len;
    const void *bytes;
    const struct item *letter;
    int32_t answer;

    if (at < 0) return;
    letter = oldest_dead(queue_of(&w.member[at]));
    if (letter != NULL && w.message[letter->message].key != 0) key = w.message[letter->message].key;
    bytes = key_of(key, &key_len);
    answer = evb_sub_skip_key(w.member[at].sub, bytes, key_len);
    note("skip of key %u of queue %d: %s", key, w.member[at].queue, status(answer));
    want("evb_sub_skip_key", answer, skip_key(queue_of(&w.member[at]), key));
}

/* ---- descriptors ---- */

void do_descriptor(void)
{
    int at = pick_member(-1);
    struct member *m = &w.member[at < 0 ? 0 : at];
    char bytes[64];
    int32_t answer;

    if (at < 0) return;
    answer = evb_sub_fd(m->sub);
    note("descriptor of member %d, queue %d: %s", at, m->queue, status(answer));
    if (m->kind == RUNS) {
        want("evb_sub_fd of a handler", answer, EVB_ENOTSUP);
        return;
    }
    if (is_over(queue_of(m))) {
        want("evb_sub_fd", answer, EVB_ECLOSED);
        return;
    }
    if (answer < 0 || (m->fd >= 0 && answer != m->fd)) differs("evb_sub_fd answered %s", status(answer));
    m->fd = answer;
    if (!one_in(3)) return;
    if (read(m->fd, bytes, sizeof bytes) > 0)
        m->fd_read = true; /* anybody may; it fires anew after an EVB_EEMPTY */
    note("its bytes are read away");
}

/* ---- calls that must not do anything ---- */

void do_refused(void)
{
    int at = pick_member(-1);
    evb_sub *sub = at >= 0 ? w.member[at].sub : NULL;
    uint64_t number;
    const evb_event *ev;
    evb_publish_opts o = {0};
    char buf[8];

    if (at < 0) return;
    switch (below(8)) {
    case 0:
        if (w.member[at].kind == PULLS) break;
        want("next of a handler", evb_sub_next(sub, 0, &number, &ev), EVB_ENOTSUP);
        want("take of a handler", evb_sub_take(sub, buf, 0, 1), EVB_ENOTSUP);
        break;
    case 1:
        if (w.member[at].kind == DISPATCHED) break;
        want("dispatch of another kind", evb_sub_dispatch(sub, 1), EVB_ENOTSUP);
        break;
    case 2:
        want("a negative delay", evb_nack(sub, 1, -2), EVB_EINVAL);
        want("a negative lease", evb_extend(sub, 1, -1), EVB_EINVAL);
        want("no key to skip", evb_sub_skip_key(sub, NULL, 0), EVB_EINVAL);
        want("a key that is too long", evb_sub_skip_key(sub, "k", 256), EVB_EINVAL);
        break;
    case 3:
        o.delay_ns = -1;
        want("a negative delay", evb_publish(w.bus, "a.x", "x", 1, &o), EVB_EINVAL);
        break;
    case 4:
        o.delay_ns = 1;
        o.key = "k";
        o.key_len = 1;
        want("a delay with a key", evb_publish(w.bus, "a.x", "x", 1, &o), EVB_EINVAL);
        break;
    case 5:
        o.flags = 1u << 20;
        want("an unknown flag", evb_publish(w.bus, "a.x", "x", 1, &o), EVB_EINVAL);
        break;
    case 6:
        want("a drain in a callback", w.depth != 0 ? evb_bus_drain(w.bus, 0) : EVB_EDEADLK, EVB_EDEADLK);
        break;
    default:
        want("a wildcard in a topic", evb_publish(w.bus, "a.*", "x", 1, NULL),
             refuses() ? EVB_ECLOSED : EVB_EINVAL);
        break;
    }
}
