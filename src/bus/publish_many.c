/* SPDX-License-Identifier: MIT */
/* Many events as one: all of them reach their queues, or none does.
 *
 *      parts   queue A: 0 2 3 | queue B: 0 1 2 3 | ...        sorted by queue, then by message
 *              one reservation  one reservation               a run
 *
 * The messages have topics of their own, so the publish announces everything while it gathers, reserves and
 * commits (base/reader.h: the hazard that covers all). The listeners come afterwards, message by message,
 * each under the announcement of its own topic.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "bus/persist.h"
#include "bus/publish.h"
#include "store/store.h"

#include <string.h>

#define MESSAGES_MAX ((uint32_t)1 << 24)
#define PARTS_MIN    64
#define PARTS_MAX    ((uint32_t)1 << 26) /* a gigabyte */

/* One message for one queue. */
struct part {
    struct evb__sink *sink; /* NULL: takes nothing any more */
    uint32_t message;
};

struct one {
    struct evb__message *message; /* NULL: no queue takes it, or not made yet */
    size_t bytes;                 /* as its draft's */
    uint32_t queues;              /* how many will take it */
    uint32_t committed;
    uint64_t position; /* of a persisted one */
    bool persisted;
    bool listeners; /* somebody besides queues */
    bool heard;     /* of them one that counts; only looked at for EVB_MANDATORY */
};

struct many {
    struct evb__publish p;
    const evb_message *msgs;
    uint32_t n;
    struct one *ones;
    struct part *parts;
    uint32_t count, capacity;
    int64_t reached;
};

/* ---- each message ---- */

/* Checked and complete but for the sequence. */
static int32_t draft_of(const struct many *m, uint32_t i, struct evb__draft *draft)
{
    const evb_message *msg = &m->msgs[i];
    size_t length;

    if (msg->topic == NULL || msg->reserved[0] != 0 || msg->reserved[1] != 0) return EVB_EINVAL;
    length = strnlen(msg->topic, EVB__NAME_MAX + 1);
    if (length > EVB__NAME_MAX || (unsigned char)msg->topic[0] == m->p.bus->reserved_first) return EVB_EINVAL;
    *draft = m->p.draft;
    draft->event.key = msg->key;
    draft->event.key_len = msg->key_len;
    draft->headers = msg->headers;
    draft->header_count = msg->header_count;
    return evb__publish_check_event(draft, m->p.bus, msg->topic, length, msg->data, msg->size);
}

static int32_t add_part(struct many *m, struct evb__sink *sink, uint32_t message)
{
    if (m->count == m->capacity) {
        uint32_t capacity = m->capacity == 0 ? PARTS_MIN : m->capacity * 2;
        struct part *parts;

        if (capacity > PARTS_MAX) return EVB_ENOMEM;
        parts = evb__alloc(capacity * sizeof *parts, EVB__ALIGN_MIN);
        if (parts == NULL) return EVB_ENOMEM;
        if (m->count != 0) memcpy(parts, m->parts, m->count * sizeof *parts);
        evb__free(m->parts, m->capacity * sizeof *parts);
        m->parts = parts;
        m->capacity = capacity;
    }
    m->parts[m->count++] = (struct part){sink, message};
    return EVB_OK;
}

static int32_t match_one(struct many *m, uint32_t i)
{
    struct evb__publish *p = &m->p;
    struct evb__target target;
    struct evb__takers takers;
    struct evb__draft draft;
    struct one *one = &m->ones[i];
    int32_t status;

    (void)draft_of(m, i, &draft); /* has been checked */
    status = evb__publish_find(p, NULL, draft.event.topic, draft.event.topic_len, &target);
    if (status != EVB_OK) return status;
    *one = (struct one){.bytes = draft.bytes};
    evb__takers_init(&takers);
    status = evb__takers_gather(&takers, p->bus, &target);
    if (status == EVB_OK && takers.count != 0) status = evb__publish_filter(p, &draft, &takers);
    for (uint32_t k = 0; status == EVB_OK && k < takers.count; k++)
        status = add_part(m, takers.sink[k], i);
    one->queues = takers.count;
    one->persisted = takers.persisted || p->stream != NULL || (p->flags & EVB_DURABLE) != 0;
    one->listeners = takers.listeners && draft.delay_ns == 0;
    if ((p->flags & EVB_MANDATORY) != 0) one->heard = one->listeners && evb__target_listens(p->bus, &target);
    evb__takers_free(&takers);
    return status;
}

/* ---- the queues ---- */

static bool comes_before(const struct part *a, const struct part *b)
{
    if (a->sink != b->sink) return (uintptr_t)a->sink < (uintptr_t)b->sink;
    return a->message < b->message;
}

/* Shell sort, as in snapshot.c. */
static void sort_parts(struct part *parts, uint32_t count)
{
    uint32_t gap = 1;

    while (gap < count / 3)
        gap = gap * 3 + 1;
    for (; gap > 0; gap /= 3) {
        for (uint32_t i = gap; i < count; i++) {
            struct part part = parts[i];
            uint32_t j = i;

            for (; j >= gap && comes_before(&part, &parts[j - gap]); j -= gap)
                parts[j] = parts[j - gap];
            parts[j] = part;
        }
    }
}

/* The parts of one queue: [begin, end). */
struct run {
    struct evb__sink *sink;
    uint32_t begin, end;
    size_t bytes;
};

static bool next_run(const struct many *m, struct run *run)
{
    run->begin = run->end;
    run->bytes = 0;
    if (run->begin == m->count) return false;
    run->sink = m->parts[run->begin].sink;
    for (; run->end < m->count && m->parts[run->end].sink == run->sink; run->end++) {
        size_t bytes = m->ones[m->parts[run->end].message].bytes;

        run->bytes =
            run->bytes > SIZE_MAX - bytes ? SIZE_MAX : run->bytes + bytes; /* no queue has that much */
    }
    return true;
}

static void undo_runs(struct many *m, uint32_t end)
{
    struct run run = {.end = 0};

    while (run.end < end && next_run(m, &run))
        if (run.sink != NULL) run.sink->ops->undo(run.sink, run.bytes, run.end - run.begin);
}

/* Takes nothing any more: its parts stay, without it. */
static void skip_run(struct many *m, const struct run *run)
{
    for (uint32_t i = run->begin; i < run->end; i++) {
        m->parts[i].sink = NULL;
        m->ones[m->parts[i].message].queues--;
    }
}

static int32_t reserve_runs(struct many *m)
{
    struct run run = {.end = 0};

    while (next_run(m, &run)) {
        int32_t status = run.sink->ops->reserve(run.sink, run.bytes, run.end - run.begin);

        if (status == EVB_ECLOSED) {
            skip_run(m, &run);
        } else if (status != EVB_OK) {
            undo_runs(m, run.begin);
            return evb__publish_refused(&m->p, run.sink, status, run.bytes, run.end - run.begin);
        }
    }
    if (evb__bus_refuses(m->p.bus)) { /* as in publish.c */
        undo_runs(m, run.end);
        return EVB_ECLOSED;
    }
    return EVB_OK;
}

static int32_t check_mandatory(struct many *m)
{
    if ((m->p.flags & EVB_MANDATORY) == 0) return EVB_OK;
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->ones[i].queues != 0 || m->ones[i].heard) continue;
        evb__publish_count(&m->p, 0);
        return EVB_ENOROUTE;
    }
    return EVB_OK;
}

/* All or none. *ret_made: how many. */
static int32_t make_messages(struct many *m, uint32_t *ret_made)
{
    bool retains = (m->p.flags & EVB_RETAIN) != 0;
    uint32_t made = 0, i;

    for (i = 0; i < m->n; i++) {
        struct evb__draft draft;

        if (m->ones[i].queues == 0 && !retains) continue;
        (void)draft_of(m, i, &draft); /* has been checked */
        m->ones[i].message = evb__message_new(&draft, m->ones[i].queues, true);
        if (m->ones[i].message == NULL) break;
        made++;
    }
    *ret_made = made;
    if (i == m->n) return EVB_OK;
    while (i-- > 0) {
        if (m->ones[i].message != NULL) evb__message_drop(m->ones[i].message);
        m->ones[i].message = NULL;
    }
    return EVB_ENOMEM;
}

/* As in publish.c; theirs follow each other. */
static void number_messages(struct many *m, uint32_t made)
{
    uint64_t sequence = made != 0 ? evb__add_rlx(&m->p.bus->sequence, made) : 0;
    int64_t now = evb__clock_wall_coarse();

    for (uint32_t i = 0; i < m->n; i++) {
        if (m->ones[i].message == NULL) continue;
        m->ones[i].message->event.sequence = ++sequence;
        m->ones[i].message->time_ns = now;
    }
    m->p.draft.event.sequence = sequence;
}

static void drop_messages(struct many *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->ones[i].message != NULL) evb__message_drop(m->ones[i].message);
        m->ones[i].message = NULL;
    }
}

/* Positions follow each other, in the order of the messages. */
static void place_messages(struct many *m, uint64_t position)
{
    for (uint32_t i = 0; i < m->n; i++) {
        struct one *one = &m->ones[i];

        if (!one->persisted) continue;
        one->position = position++;
        if (one->message != NULL) one->message->event.position = one->position;
    }
    m->p.draft.event.position = position - 1;
}

/* One append for each run of messages of the same stream. */
static int32_t append_records(struct many *m, evb_record *records, struct evb__append *appends, uint32_t n,
                              struct evb__persisted *persisted)
{
    uint32_t filled = 0, count = 0;
    int32_t status;

    for (uint32_t i = 0; i < m->n; i++) {
        const char *stream = m->p.stream != NULL ? m->p.stream : m->msgs[i].topic;
        struct evb__append *last = count != 0 ? &appends[count - 1] : NULL;
        struct evb__draft draft;

        if (!m->ones[i].persisted) continue;
        if (stream[0] == '\0') return EVB_EINVAL; /* as in persist.c */
        (void)draft_of(m, i, &draft);             /* has been checked */
        evb__persist_record(&draft, &records[filled]);
        if (last == NULL || last->n == EVB__FRAME_EVENTS || strcmp(last->stream, stream) != 0) {
            last = &appends[count++];
            *last = (struct evb__append){
                .stream = stream, .expected = EVB_ANY_VERSION, .records = &records[filled]};
        }
        last->n++;
        filled++;
    }
    status = evb__persist_all(&m->p, appends, count, persisted);
    if (status == EVB_OK) place_messages(m, appends[count - 1].position - n + 1);
    return status;
}

/* What is persisted of them, in the store, or nothing. */
static int32_t append_messages(struct many *m, struct evb__persisted *persisted)
{
    struct evb__append *appends;
    evb_record *records;
    uint32_t n = 0;
    int32_t status;

    m->p.draft.event.position = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->ones[i].persisted) n++;
    if (n == 0) return EVB_OK;
    records = evb__alloc(n * sizeof *records, EVB__ALIGN_MIN);
    appends = evb__alloc(n * sizeof *appends, EVB__ALIGN_MIN);
    status =
        records != NULL && appends != NULL ? append_records(m, records, appends, n, persisted) : EVB_ENOMEM;
    evb__free(appends, n * sizeof *appends);
    evb__free(records, n * sizeof *records);
    return status;
}

/* Messages of events that their topics keep. EVB__RETRY: as in publish.c. */
static EVB__COLD int32_t make_kept_messages(struct many *m, struct evb__persisted *persisted)
{
    struct evb__retained *retained = &m->p.bus->retained;
    int32_t status = EVB_OK;
    uint32_t made;

    if (evb__retained_begin(retained, m->p.newcomers) != EVB_OK) {
        m->p.at_once = true;
        return EVB__RETRY;
    }
    for (uint32_t i = 0; i < m->n && status == EVB_OK; i++) {
        const char *topic = m->msgs[i].topic;

        status = evb__retained_reserve_locked(retained, topic, strlen(topic), m->msgs[i].size == 0);
    }
    if (status == EVB_OK) status = make_messages(m, &made);
    if (status == EVB_OK) {
        number_messages(m, made);
        status = append_messages(m, persisted);
        if (status != EVB_OK) drop_messages(m);
    }
    if (status == EVB_OK) {
        for (uint32_t i = 0; i < m->n; i++)
            evb__retained_keep_locked(retained, m->ones[i].message);
    }
    evb__retained_end(retained);
    return status;
}

static int32_t make_all(struct many *m, struct evb__persisted *persisted)
{
    uint32_t made;
    int32_t status;

    if (evb__unlikely((m->p.flags & EVB_RETAIN) != 0)) return make_kept_messages(m, persisted);
    status = make_messages(m, &made);
    if (status != EVB_OK) return status;
    number_messages(m, made);
    status = append_messages(m, persisted);
    if (status != EVB_OK) drop_messages(m);
    return status;
}

static void commit_runs(struct many *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct evb__sink *sink = m->parts[i].sink;
        struct one *one = &m->ones[m->parts[i].message];

        if (sink == NULL) continue;
        m->reached +=
            sink->ops->commit(sink, &evb__message_deliveries(one->message)[one->committed++]) ? 1 : 0;
    }
}

static void report_runs(struct many *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->parts[i].sink != NULL && (i == 0 || m->parts[i].sink != m->parts[i - 1].sink))
            evb__sink_report(m->parts[i].sink);
}

/* Announced. */
static int32_t attempt(struct many *m)
{
    struct evb__persisted persisted = {0};
    int32_t status = EVB_OK;

    m->count = 0;
    for (uint32_t i = 0; i < m->n && status == EVB_OK; i++)
        status = match_one(m, i);
    if (status != EVB_OK) return status;
    sort_parts(m->parts, m->count);
    status = reserve_runs(m);
    if (status != EVB_OK) return status;
    status = check_mandatory(m);
    if (status == EVB_OK) status = make_all(m, &persisted);
    if (status != EVB_OK) {
        undo_runs(m, m->count);
        return evb__persist_refused(m->p.bus, &persisted, status);
    }
    evb__persist_wait(m->p.bus, &persisted);
    commit_runs(m);
    evb__persist_pass(m->p.bus, &persisted);
    if (persisted.turn != 0) report_runs(m);
    return EVB_OK;
}

/* ---- the listeners ---- */

/* false: the bus has been destroyed by one of them. */
static bool tell_one(struct many *m, uint32_t i, uint32_t *ret_called)
{
    struct evb__publish *p = &m->p;
    struct evb__target target;
    struct evb__draft draft;
    int32_t status;

    (void)draft_of(m, i, &draft); /* has been checked */
    draft.event.position = m->ones[i].position;
    draft.event.sequence = m->ones[i].message != NULL ? m->ones[i].message->event.sequence : 0;
    status = evb__publish_enter(p, evb__bus_hazard(p->bus)); /* not deeper than before */
    if (status != EVB_OK) return false;
    status = evb__publish_find(p, p->entry, draft.event.topic, draft.event.topic_len, &target);
    if (status == EVB_OK) *ret_called = evb__publish_tell(p, &draft, &target, m->ones[i].message);
    evb__publish_leave(p);
    return status == EVB_OK;
}

static void tell_all(struct many *m)
{
    bool there = true;

    for (uint32_t i = 0; i < m->n; i++) {
        struct one *one = &m->ones[i];
        uint32_t called = 0;

        if (one->listeners && there) there = tell_one(m, i, &called);
        if (one->message != NULL)
            evb__message_unref(one->message);
        else
            evb__publish_count(&m->p, called);
        m->reached += called;
    }
}

/* ---- the call ---- */

static int32_t publish_all(struct many *m)
{
    struct evb__publish *p = &m->p;
    evb_bus *bus = p->bus;
    int32_t status = evb__publish_enter(p, EVB__HAZARD_ALL);

    if (status != EVB_OK) return status;
    status = attempt(m);
    while (status == EVB__RETRY) { /* ends: room, an error, or the deadline */
        status = evb__publish_wait(p, EVB__HAZARD_ALL);
        if (status == EVB_OK) status = attempt(m);
    }
    /* for the listeners, any of which may destroy the bus; announced still, so the owner's is there */
    if (status == EVB_OK) (void)evb__add_rlx(&bus->refs, 1);
    evb__publish_leave(p);
    if (status != EVB_OK) return status;
    if (p->ret_sequence != NULL) *p->ret_sequence = p->draft.event.sequence;
    if (p->ret_position != NULL) *p->ret_position = p->draft.event.position;
    tell_all(m);
    evb__bus_unref(bus);
    return m->reached > INT32_MAX ? INT32_MAX : (int32_t)m->reached;
}

static int32_t check_all(const struct many *m)
{
    int32_t status = EVB_OK;

    for (uint32_t i = 0; i < m->n && status == EVB_OK; i++) {
        struct evb__draft draft;

        status = draft_of(m, i, &draft);
    }
    return status;
}

int32_t evb_publish_many(evb_bus *bus, const evb_message *msgs, uint32_t n, const evb_publish_opts *opts)
{
    struct many m = {.msgs = msgs, .n = n};
    int32_t status = evb__publish_check(&m.p, bus, opts, true);

    if (status != EVB_OK) return status;
    if (msgs == NULL && n != 0) return EVB_EINVAL;
    if (n > MESSAGES_MAX) return EVB_ETOOBIG;
    status = check_all(&m);
    if (status == EVB_OK && evb__bus_refuses(bus)) status = EVB_ECLOSED; /* as in publish.c */
    if (status != EVB_OK || n == 0) return status;
    m.ones = evb__alloc(n * sizeof *m.ones, EVB__ALIGN_MIN);
    if (m.ones == NULL) return EVB_ENOMEM;
    status = publish_all(&m);
    evb__free(m.parts, m.capacity * sizeof *m.parts);
    evb__free(m.ones, n * sizeof *m.ones);
    return status;
}
