/* SPDX-License-Identifier: MIT */
/* Publishing beside the model. A publish under way is a *frame*: filters are asked, then room is
 * reserved and the event handed over, then listeners are called; filters and listeners may do anything.
 * So the model decides what becomes of the event at the first call of a listener or, where there is
 * none, when the publish returns: between the last filter and that moment nothing else happens. */
#include "world.h"

#include <string.h>

#include "executor.h"

bool refuses(void)
{
    return w.draining && w.serving == 0;
}

/* ---- frames ---- */

/* Which queues match the messages below n, as it is now. Each message is looked up when the filters of
 * those before it have been asked. */
static void look_up(struct frame *f, uint32_t n)
{
    for (uint32_t i = f->looked_up; i < n; i++)
        for (uint32_t q = 0; q < QUEUES; q++) {
            f->answer[i][q] = -1;
            f->sinks[i][q] = q < w.queues && w.queue[q].live &&
                             w.matches[w.queue[q].pattern][w.message[f->message[i]].topic];
            f->any_sink = f->any_sink || f->sinks[i][q];
        }
    if (n > f->looked_up) f->looked_up = n;
}

/* It has slept: everything begins anew. */
static void look_up_again(struct frame *f)
{
    if (!f->again) return;
    f->again = f->anew = false;
    f->looked_up = 0;
}

static bool wants(const struct frame *f, uint32_t i, uint32_t q)
{
    return f->sinks[i][q] && w.queue[q].live && (!w.queue[q].filtered || f->answer[i][q] == 1);
}

static void may(struct frame *f, int32_t refusal)
{
    f->may[-refusal] = true;
    f->refused = true;
}

/* What one queue says to all of the frame's events together. */
static void ask_for_room(struct frame *f, uint32_t q)
{
    const struct queue *queue = &w.queue[q];
    uint32_t n = 0;
    size_t bytes = 0;

    for (uint32_t i = 0; i < f->count; i++)
        if (wants(f, i, q)) {
            n++;
            bytes += message_bytes(&w.message[f->message[i]]);
        }
    if (n == 0) return;
    if (queue->opts.overflow > EVB_OVERFLOW_BLOCK) return;
    if (!has_place(queue, n, bytes)) {
        may(f, EVB_ETOOBIG);
    } else if (!has_room(queue, n, bytes)) {
        if (queue->opts.overflow == EVB_OVERFLOW_REJECT || (f->flags & EVB_NOWAIT) != 0)
            may(f, EVB_EFULL);
        else
            may(f, f->inside ? EVB_EDEADLK : EVB_ETIMEDOUT);
    }
}

static void check_filters(const struct frame *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        for (uint32_t q = 0; q < w.queues; q++)
            if (f->sinks[i][q] && w.queue[q].live && w.queue[q].filtered && f->answer[i][q] < 0)
                differs("the filter of queue %u was not asked about message %u", q, f->message[i]);
}

static bool listens(const struct frame *f, uint32_t i, uint32_t l)
{
    const struct message *m = &w.message[f->message[i]];

    return m->delay_ns == 0 && w.matches[w.listener[l].pattern][m->topic];
}

static bool somebody_there(const struct frame *f, uint32_t i)
{
    for (uint32_t q = 0; q < w.queues; q++)
        if (wants(f, i, q)) return true;
    for (uint32_t l = 0; l < w.listeners; l++)
        if (listens(f, i, l)) return true;
    return false;
}

/* The topic keeps it for newcomers. */
static void keep(uint32_t number)
{
    const struct message *m = &w.message[number];
    int64_t now = executor_now();

    w.retained[m->topic].there = true;
    w.retained[m->topic].message = number;
    w.retained[m->topic].expires_ns = m->ttl_ns != 0 && m->ttl_ns < NEVER - now ? now + m->ttl_ns : NEVER;
}

static void hand_over(struct frame *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct message *m = &w.message[f->message[i]];

        if (f->retains) {
            m->order = ++w.commits;
            keep(f->message[i]);
        }
        for (uint32_t q = 0; q < w.queues; q++) {
            if (!wants(f, i, q)) continue;
            if (m->order == 0) m->order = ++w.commits;
            f->took += accept(&w.queue[q], f->message[i]);
        }
    }
}

/* ---- what topics keep ---- */

/* The next of what is kept for that pattern, in order of publication; -1: that was all. */
static int next_kept(uint32_t pattern, uint64_t after)
{
    int next = -1;

    for (uint32_t t = 0; t < TOPICS; t++) {
        uint64_t order = w.message[w.retained[t].message].order;

        if (!w.retained[t].there || !w.matches[pattern][t] || w.retained[t].expires_ns <= executor_now())
            continue;
        if (order > after && (next < 0 || order < w.message[w.retained[next].message].order)) next = (int)t;
    }
    return next;
}

void newcomer(struct queue *q)
{
    uint64_t after = 0;
    uint32_t asked = 0;
    int t;

    while ((t = next_kept(q->pattern, after)) >= 0 && !wrong()) {
        uint32_t number = w.retained[t].message;
        int64_t left = w.retained[t].expires_ns;

        after = w.message[number].order;
        left = left != NEVER ? left - executor_now() : 0;
        if (q->filtered && (asked == w.asks || w.asked[asked] != number))
            differs("the filter of a new queue was not asked about message %u, which is kept", number);
        if (!q->filtered || w.wanted[asked++]) admit(q, number, left);
    }
    if (q->filtered && asked != w.asks) differs("the filter of a new queue was asked about too much");
    for (struct frame *f = w.frame; f != NULL; f = f->outer)
        f->anew = f->anew || (f->retains && !f->decided);
}

static int32_t filter_of_newcomer(const evb_event *ev)
{
    uint32_t number = number_in(ev);

    if (w.asks == TOPICS || number == MESSAGES || (ev->flags & EVB_EVENT_RETAINED) == 0) {
        differs("the filter of a new queue is asked about message %u", number);
        return 0;
    }
    if (!check_event(ev, number, "filter of a new queue")) return 0;
    w.asked[w.asks] = number;
    w.wanted[w.asks] = !one_in(3);
    return w.wanted[w.asks++] ? 1 : 0;
}

/* ---- duplicates ---- */

static void forget_first_known(void)
{
    w.knowns--;
    memmove(&w.known[0], &w.known[1], w.knowns * sizeof w.known[0]);
}

static const struct known *find_known(uint32_t id)
{
    while (w.knowns != 0 && w.known[0].expires_ns <= executor_now())
        forget_first_known();
    for (uint32_t i = 0; i < w.knowns; i++)
        if (w.known[i].id == id) return &w.known[i];
    return NULL;
}

static void remember(uint32_t id, uint32_t message)
{
    w.known[w.knowns++] =
        (struct known){.id = id, .message = message, .expires_ns = executor_now() + ID_SECONDS * SECOND};
    if (w.knowns > w.id_window) forget_first_known();
}

/* A publish that sleeps, further out: it has claimed the id, and nobody knows what becomes of it. */
static bool is_claimed(const struct frame *inner, uint32_t id)
{
    for (const struct frame *f = inner; f != NULL; f = f->outer)
        if (f->id == id && (f->slept || f->second) && !f->decided) return true;
    return false;
}

static void claim(struct frame *f)
{
    if (f->id == 0 || f->slept || f->second) return;
    f->duplicate = find_known(f->id) != NULL;
    if (f->duplicate) f->first = find_known(f->id)->message;
    w.total.duplicates += f->duplicate;
    if (!f->duplicate && is_claimed(f->outer, f->id)) may(f, EVB_EAGAIN);
}

/* A queue has come while its filters were asked: what keeps its event begins anew. */
static void begin_anew(struct frame *f)
{
    f->anew = false;
    f->second = true;
    f->looked_up = 0;
}

/* What becomes of it, by what has been looked up. */
static void ask_all(struct frame *f)
{
    look_up(f, f->count);
    check_filters(f);
    claim(f);
    if (f->duplicate || f->refused) return;
    for (uint32_t q = 0; q < w.queues; q++)
        ask_for_room(f, q);
    for (uint32_t i = 0; i < f->count && (f->flags & EVB_MANDATORY) != 0; i++)
        if (!somebody_there(f, i)) may(f, EVB_ENOROUTE);
}

static void decide(struct frame *f)
{
    if (f->decided) return;
    look_up_again(f);
    if (!f->closed) ask_all(f);
    if (f->anew && !f->closed && !f->refused && !f->duplicate) { /* and nobody has been asked since */
        begin_anew(f);
        ask_all(f);
    }
    f->decided = true;
    if (f->closed || f->refused || f->duplicate) return;
    hand_over(f);
    if (f->id != 0) remember(f->id, f->message[0]);
}

static void begin(struct frame *f)
{
    f->outer = w.frame;
    f->depth = w.depth;
    f->inside = w.depth != 0;
    f->closed = refuses();
    w.frame = f;
    look_up(f, 1);
}

/* The listener that is to be called next; LISTENERS: none. */
static uint32_t next_listener(struct frame *f)
{
    if (f->duplicate) return LISTENERS;
    for (; f->at < f->count; f->at++, f->listener = 0)
        for (; f->listener < w.listeners; f->listener++)
            if (listens(f, f->at, f->listener)) return f->listener;
    return LISTENERS;
}

/* The time ran out while it slept: then one of the queues that block has no room. */
static void check_timed_out(const struct frame *f)
{
    w.total.refused++;
    for (uint32_t q = 0; q < w.queues; q++) {
        const struct queue *queue = &w.queue[q];
        uint32_t n = 0;
        size_t bytes = 0;

        if (!queue->live || queue->opts.overflow != EVB_OVERFLOW_BLOCK) continue;
        for (uint32_t i = 0; i < f->count; i++) {
            const struct message *m = &w.message[f->message[i]];

            if (!w.matches[queue->pattern][m->topic] || (queue->filtered && f->answer[i][q] == 0)) continue;
            n++;
            bytes += message_bytes(m);
        }
        if (n != 0 && !has_room(queue, n, bytes)) return;
    }
    differs("a publish timed out, and there is room");
}

static void end(struct frame *f, int32_t answer)
{
    w.frame = f->outer;
    if (answer == EVB_ETIMEDOUT && f->slept && !f->decided) {
        check_timed_out(f);
        return;
    }
    decide(f);
    if (wrong()) return;
    if (f->closed && (!f->emit || f->any_sink)) {
        want("a publish while the bus drains", answer, EVB_ECLOSED);
        return;
    }
    if (f->slept && !f->refused && answer >= 0 && executor_slept_in_vain())
        differs("there is room, and nobody has told the publish that waits for it");
    if (f->refused) {
        w.total.refused++;
        if (answer >= 0 || answer < -31 || !f->may[-answer]) {
            for (int i = 1; i < 32; i++)
                if (f->may[i]) differs("a publish answered %s, expected %s", status(answer), status(-i));
        }
        return;
    }
    w.total.published += f->count;
    if (next_listener(f) != LISTENERS) differs("a publish ended before listener %u was called", f->listener);
    if (answer != (int32_t)(f->called + f->took))
        differs("a publish answered %s, but reached %u listeners and %u queues", status(answer), f->called,
                f->took);
}

/* ---- callbacks ---- */

static int32_t filter(const evb_event *ev, const struct member *m)
{
    uint32_t number = number_in(ev), q = (uint32_t)m->queue, i = 0;
    struct frame *f = w.frame;
    int32_t answer;

    if (wrong() || w.ending) return 0;
    if (w.arriving == m) return filter_of_newcomer(ev);
    while (f != NULL && i < f->count && f->message[i] != number)
        i++;
    if (f == NULL || i == f->count || f->decided) {
        differs("filter of queue %u: message %u is not being published", q, number);
        return 0;
    }
    look_up_again(f);
    if (f->anew && (!f->sinks[i][q] || f->answer[i][q] >= 0)) begin_anew(f);
    look_up(f, i + 1);
    if (!w.queue[q].live || !f->sinks[i][q])
        differs("the filter of queue %u was asked, which is not concerned", q);
    if (f->answer[i][q] >= 0) differs("the filter of queue %u was asked twice about message %u", q, number);
    if (m->freed != 0) differs("the filter of queue %u was asked after free_user", q);
    if (!check_event(ev, number, "filter")) return 0;
    w.depth++;
    if (one_in(12)) act(2);
    if (f->retains && w.budget != 0 && one_in(6))
        do_subscribe(); /* somebody comes while the event is on its way */
    w.depth--;
    answer = !one_in(3);
    f->answer[i][q] = answer;
    note("filter of queue %u: %d", q, answer);
    return answer * 7;
}

int32_t on_filter(const evb_event *ev, void *user)
{
    return filter(ev, user);
}

/* Another function, so that groups can differ in it. */
int32_t on_filter_too(const evb_event *ev, void *user)
{
    return filter(ev, user);
}

int32_t on_listener(const evb_event *ev, void *user)
{
    uint32_t l = (uint32_t)((struct listener *)user - w.listener), number = number_in(ev);
    struct frame *f = w.frame;

    if (wrong() || w.ending) return EVB_OK;
    if (f == NULL) {
        differs("a listener is called without a publish");
        return EVB_OK;
    }
    decide(f);
    if (f->refused) differs("a listener is called by a publish that must be refused");
    if (wrong()) return EVB_OK;
    if (next_listener(f) != l || f->message[f->at] != number) {
        differs("listener %u is called with message %u, expected listener %u with %u", l, number, f->listener,
                f->at < f->count ? f->message[f->at] : MESSAGES);
        return EVB_OK;
    }
    if (!check_event(ev, number, "listener")) return EVB_OK;
    if (ev->attempt != 0 || ev->flags != 0) differs("a listener's event has an attempt or flags");
    if (w.message[number].order != 0 || ev->sequence != 0) saw_sequence(number, ev->sequence);
    f->listener++;
    f->called++;
    w.depth++;
    if (one_in(10)) act(2);
    if (one_in(20)) do_keep(ev, number);
    w.depth--;
    return EVB_OK;
}

/* ---- operations ---- */

static uint32_t new_message(bool keyed, bool headers)
{
    uint32_t number = w.messages++;
    struct message *m = &w.message[number];

    *m = (struct message){.topic = below(TOPICS), .size = 4 + below(12)};
    if (one_in(6)) m->size = 4 + below(PAYLOAD_MAX - 3);
    if (keyed && !one_in(w.key_odds)) m->key = below(w.keys);
    m->headers = headers && one_in(5);
    return number;
}

/* Would a publish without time limit have to wait? Then it might for ever. */
static bool may_block(const struct frame *f)
{
    if (w.depth != 0) return false;
    for (uint32_t i = 0; i < f->count; i++)
        for (uint32_t q = 0; q < w.queues; q++)
            if (w.queue[q].live && w.queue[q].opts.overflow == EVB_OVERFLOW_BLOCK &&
                w.matches[w.queue[q].pattern][w.message[f->message[i]].topic])
                return true;
    return false;
}

struct publishing {
    evb_publish_opts opts;
    evb_header headers[4];
    uint64_t sequence;
    char refused[32];
};

static void make_opts(struct publishing *p, struct frame *f)
{
    if (one_in(8)) f->flags |= EVB_MANDATORY;
    if (one_in(3)) f->flags |= EVB_NOWAIT;
    p->opts.flags = f->flags;
    p->opts.ret_sequence = one_in(2) ? &p->sequence : NULL;
    p->sequence = 77;
    if (one_in(2)) {
        p->opts.ret_refused = p->refused;
        p->opts.refused_cap = sizeof p->refused;
    }
    if (may_block(f) && (f->flags & EVB_NOWAIT) == 0) p->opts.timeout_ns = 1 + below(5000000);
}

int64_t some_time(void)
{
    return one_in(3) ? 1 + (int64_t)below(1000) : (int64_t)below(2000) * 1000003;
}

/* Without a name of its own a queue is called after its pattern. */
static bool is_name_of(const struct queue *q, const char *name)
{
    size_t size = strlen(pattern_names[q->pattern]);

    if (q->name[0] != '\0') return strcmp(q->name, name) == 0;
    return strncmp(name, pattern_names[q->pattern], size) == 0 && name[size] == '#';
}

/* A refused publish names a queue that has no room. */
static void check_refused(const struct publishing *p, const struct frame *f, int32_t answer)
{
    if (p->opts.ret_refused == NULL || (answer != EVB_EFULL && answer != EVB_ETIMEDOUT)) {
        if (answer >= 0 && p->refused[0] != '\0') differs("a publish that succeeded has written ret_refused");
        return;
    }
    for (uint32_t q = 0; q < w.queues; q++) {
        const struct queue *queue = &w.queue[q];

        if (!queue->live || queue->opts.overflow > EVB_OVERFLOW_BLOCK) continue;
        if (is_name_of(queue, p->refused)) {
            if (held(queue) != 0) return;
        }
    }
    (void)f;
    differs("ret_refused is \"%s\", which is not full", p->refused);
}

static void check_sequence(const struct publishing *p, const struct frame *f, int32_t answer)
{
    uint32_t last = f->count - 1;

    if (p->opts.ret_sequence == NULL || wrong()) return;
    if (f->duplicate && answer == 0) {
        if (w.message[f->first].order != 0)
            saw_sequence(f->first, p->sequence);
        else if (p->sequence != 0)
            differs("a duplicate of an event that no queue took has sequence %u", (unsigned)p->sequence);
        return;
    }
    while (last > 0 && w.message[f->message[last]].order == 0)
        last--;
    if (answer < 0) {
        if (p->sequence != 77) differs("a refused publish has written ret_sequence");
    } else if (w.message[f->message[last]].order == 0) {
        if (p->sequence != 0)
            differs("ret_sequence of an event that no queue took is %u", (unsigned)p->sequence);
    } else {
        saw_sequence(f->message[last], p->sequence);
    }
}

static int32_t publish_loan(struct frame *f, uint32_t number, const struct publishing *p)
{
    const struct message *m = &w.message[number];
    void *data = NULL;
    int32_t answer = evb_loan(w.bus, m->size + below(40), &data);

    if (answer != EVB_OK) {
        want("evb_loan", answer, refuses() ? EVB_ECLOSED : EVB_OK);
        w.frame = f->outer;
        return answer;
    }
    memcpy(data, payload(number), m->size);
    answer = evb_publish_loan(w.bus, topic_names[m->topic], data, m->size, &p->opts);
    if (answer < 0) evb_loan_cancel(w.bus, data);
    return answer;
}

void do_publish(void)
{
    enum { EMIT, TOPIC_EMIT, PUBLISH, TOPIC_PUBLISH, LOAN } way = below(5);
    static const char *const ids[IDS] = {"", "i", "id", "another", "a.x", "id-with-a-longer-name"};
    static const char *const words[] = {"emit", "topic_emit", "publish", "topic_publish", "publish_loan"};
    struct publishing p = {.refused = ""};
    struct frame f = {.count = 1};
    struct message *m;
    uint8_t bytes[PAYLOAD_MAX];
    uint32_t number;
    int32_t answer;
    bool plain;

    if (w.messages + MANY >= MESSAGES) return;
    number = f.message[0] = new_message(way >= PUBLISH, way >= PUBLISH);
    m = &w.message[number];
    if (way < PUBLISH && may_block(&f)) way = PUBLISH;
    if (w.topic[m->topic] == NULL && (way == TOPIC_EMIT || way == TOPIC_PUBLISH)) way--;
    f.emit = way < PUBLISH;
    plain = (way == PUBLISH || way == TOPIC_PUBLISH) && !may_block(&f) && one_in(3);
    if (plain) {
        m->key = 0;
        m->headers = false;
    } else if (!f.emit) {
        make_opts(&p, &f);
        if (one_in(8)) f.retains = true;
        if (f.retains) p.opts.flags |= EVB_RETAIN;
        if (f.retains && p.opts.timeout_ns == 0)
            p.opts.timeout_ns = 1 + below(5000000); /* who knows who comes */
        if (m->key == 0 && !f.retains && one_in(5)) m->delay_ns = some_time();
        if (one_in(6)) {
            f.id = 1 + below(IDS - 1);
            p.opts.dedup_id = ids[f.id];
            if (is_claimed(w.frame, f.id)) f.flags |= EVB_NOWAIT;
            p.opts.flags |= f.flags;
        }
        if (one_in(4)) m->ttl_ns = 1 + some_time();
        p.opts.delay_ns = m->delay_ns;
        p.opts.ttl_ns = m->ttl_ns;
        p.opts.key = key_of(m->key, &p.opts.key_len);
        p.opts.header_count = headers_of(m, number, p.headers);
        p.opts.headers = p.headers;
    }
    note("%s %u on %s: %u bytes, key %u, delay %lld, ttl %lld, id %u%s%s%s", words[way], number,
         topic_names[m->topic], m->size, m->key, (long long)m->delay_ns, (long long)m->ttl_ns, f.id,
         (f.flags & EVB_NOWAIT) != 0 ? ", nowait" : "", f.retains ? ", retains" : "",
         p.opts.timeout_ns != 0 ? ", waits" : "");
    memcpy(bytes, payload(number), m->size);
    begin(&f);
    switch (way) {
    case EMIT:
        answer = evb_emit(w.bus, topic_names[m->topic], bytes, m->size);
        break;
    case TOPIC_EMIT:
        answer = evb_topic_emit(w.topic[m->topic], bytes, m->size);
        break;
    case PUBLISH:
        answer = evb_publish(w.bus, topic_names[m->topic], bytes, m->size, plain ? NULL : &p.opts);
        break;
    case TOPIC_PUBLISH:
        answer = evb_topic_publish(w.topic[m->topic], bytes, m->size, plain ? NULL : &p.opts);
        break;
    default:
        answer = publish_loan(&f, number, &p);
        if (answer == EVB_ECLOSED && refuses()) return;
        break;
    }
    end(&f, answer);
    note("= %s", status(answer));
    check_refused(&p, &f, answer);
    check_sequence(&p, &f, answer);
}

/* More than a runner handles in one turn. */
void do_burst(void)
{
    for (uint32_t i = 0, n = 60 + below(30); i < n && !wrong(); i++)
        do_publish();
}

void do_publish_many(void)
{
    struct publishing p = {.refused = ""};
    struct frame f = {.count = 1 + below(MANY)};
    evb_message msgs[MANY];
    evb_header headers[MANY][4];
    uint8_t bytes[MANY][PAYLOAD_MAX];
    int64_t delay_ns = one_in(6) ? some_time() : 0, ttl_ns = one_in(4) ? 1 + some_time() : 0;
    int32_t answer;

    if (w.messages + MANY >= MESSAGES) return;
    memset(msgs, 0, sizeof msgs);
    for (uint32_t i = 0; i < f.count; i++) {
        uint32_t number = f.message[i] = new_message(delay_ns == 0, true);
        struct message *m = &w.message[number];

        m->delay_ns = delay_ns;
        m->ttl_ns = ttl_ns;
        memcpy(bytes[i], payload(number), m->size);
        msgs[i].topic = topic_names[m->topic];
        msgs[i].data = bytes[i];
        msgs[i].size = m->size;
        msgs[i].key = key_of(m->key, &msgs[i].key_len);
        msgs[i].header_count = headers_of(m, number, headers[i]);
        msgs[i].headers = headers[i];
    }
    make_opts(&p, &f);
    p.opts.delay_ns = delay_ns;
    p.opts.ttl_ns = ttl_ns;
    note("publish_many of %u from %u, delay %lld, ttl %lld", f.count, f.message[0], (long long)delay_ns,
         (long long)ttl_ns);
    begin(&f);
    answer = evb_publish_many(w.bus, msgs, f.count, &p.opts);
    end(&f, answer);
    note("= %s", status(answer));
    check_refused(&p, &f, answer);
    check_sequence(&p, &f, answer);
}
