/* SPDX-License-Identifier: MIT */
/* Promises of a process that is dead, and the store that it left. */
#include "store_oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN, ACKED, REFUSED, THERE, GONE }; /* OPEN: begun; the last two: nobody said, but it was looked */

struct promise {
    uint32_t state;
    uint32_t met; /* the check that has met it */
    int64_t expected;
    int64_t version;   /* of its last record */
    uint64_t position; /* likewise; 0: not known, it has been trimmed away */
};

struct oracle {
    struct promise *promises[ORACLE_WRITERS];
    uint32_t count[ORACLE_WRITERS], room[ORACLE_WRITERS];
    uint64_t trim_begun, trim_done;
    int64_t snap_begun[ORACLE_WRITERS], snap_done[ORACLE_WRITERS];
    uint32_t checks;
    struct oracle_totals totals;
};

static char text[300];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

/* ---- what an append is ---- */

static uint64_t mix_of(uint32_t writer, uint32_t seq)
{
    uint64_t z = ((uint64_t)writer << 32 | seq) + UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

bool oracle_is_shared(uint32_t writer, uint32_t seq)
{
    return mix_of(writer, seq) % 4 == 0;
}

uint32_t oracle_count(uint32_t writer, uint32_t seq)
{
    uint64_t mix = mix_of(writer, seq) >> 8;

    return mix % 3 != 0 ? 1 : 1 + (uint32_t)(mix / 3 % ORACLE_RECORDS);
}

const char *oracle_own(uint32_t writer)
{
    static const char *names[ORACLE_WRITERS] = {"own-0", "own-1", "own-2", "own-3"};

    return names[writer];
}

void oracle_record(uint32_t writer, uint32_t seq, uint32_t index, struct oracle_bytes *b, evb_record *ret)
{
    uint32_t id[4] = {writer, seq, index, oracle_count(writer, seq)};
    uint64_t mix = mix_of(writer, seq) >> 16 ^ index * 77u;

    (void)snprintf(b->topic, sizeof b->topic, "topic.%u", (unsigned)writer);
    memcpy(b->id, id, sizeof id);
    *ret = (evb_record){
        .topic = b->topic, .data = b->data, .size = (size_t)(mix % ORACLE_PAYLOAD), .event_id = b->id};
    for (size_t i = 0; i < ret->size; i++)
        b->data[i] = (unsigned char)(mix >> (i % 32) ^ i);
}

size_t oracle_state(uint32_t writer, int64_t version, char *buf, size_t room)
{
    return (size_t)snprintf(buf, room, "writer %u was here at version %" PRId64, (unsigned)writer, version);
}

/* ---- hearing ---- */

struct oracle *oracle_new(void)
{
    struct oracle *o = calloc(1, sizeof *o);

    if (o == NULL) abort();
    return o;
}

void oracle_free(struct oracle *o)
{
    if (o == NULL) return;
    for (uint32_t w = 0; w < ORACLE_WRITERS; w++)
        free(o->promises[w]);
    free(o);
}

static struct promise *promise_new(struct oracle *o, uint32_t w)
{
    if (o->count[w] == o->room[w]) {
        o->room[w] = o->room[w] == 0 ? 256 : 2 * o->room[w];
        o->promises[w] = realloc(o->promises[w], o->room[w] * sizeof *o->promises[w]);
        if (o->promises[w] == NULL) abort();
    }
    return memset(&o->promises[w][o->count[w]++], 0, sizeof(struct promise));
}

static const char *hear_begun(struct oracle *o, const struct oracle_note *note)
{
    struct promise *p;

    if (note->seq == o->count[note->writer]) {
        p = promise_new(o, note->writer);
        p->state = OPEN;
        p->expected = note->expected;
        return NULL;
    }
    if (note->seq + 1 != o->count[note->writer]) return wrong("begun out of order");
    p = &o->promises[note->writer][note->seq];
    if (p->state == ACKED || p->state == REFUSED) return wrong("begun again after an answer");
    if (p->state == GONE) p->state = OPEN;
    return NULL;
}

static const char *hear_acked(struct oracle *o, const struct oracle_note *note, struct promise *p)
{
    if (p->state != OPEN && p->state != THERE) return wrong("acknowledged twice");
    if (note->duplicate != (p->state == THERE))
        return wrong("append %u of writer %u %s before the crash, and is told to be %s", note->seq,
                     note->writer, p->state == THERE ? "was there" : "was not there",
                     note->duplicate ? "a duplicate" : "new");
    if (p->state == THERE && (p->position != note->position || p->version != note->version))
        return wrong("the duplicate is said to be elsewhere");
    if (p->state == THERE) o->totals.again++;
    p->state = ACKED;
    p->position = note->position;
    p->version = note->version;
    o->totals.acked++;
    return NULL;
}

const char *oracle_hear(struct oracle *o, const struct oracle_note *note)
{
    struct promise *p;

    if (note->writer >= ORACLE_WRITERS) return wrong("no such writer");
    switch (note->what) {
    case ORACLE_BEGUN:
        return hear_begun(o, note);
    case ORACLE_ACKED:
    case ORACLE_REFUSED:
        if (note->seq + 1 != o->count[note->writer]) return wrong("an answer that nobody asked for");
        p = &o->promises[note->writer][note->seq];
        if (note->what == ORACLE_ACKED) return hear_acked(o, note, p);
        if (p->state == OPEN && !oracle_is_shared(note->writer, note->seq))
            return wrong("a conflict in a stream of one writer");
        /* What has been trimmed away can no longer be compared with. */
        if (p->state == THERE && p->position >= o->trim_begun) return wrong("a duplicate is refused");
        if (p->state == OPEN) p->state = REFUSED;
        o->totals.refused++;
        return NULL;
    case ORACLE_TRIM:
        if (note->position > o->trim_begun) o->trim_begun = note->position;
        return NULL;
    case ORACLE_TRIMMED:
        if (note->position > o->trim_done) o->trim_done = note->position;
        o->totals.trims++;
        return NULL;
    case ORACLE_SNAP:
        o->snap_begun[note->writer] = note->version;
        return NULL;
    case ORACLE_SNAPPED:
        o->snap_done[note->writer] = note->version;
        o->totals.snapshots++;
        return NULL;
    default:
        return NULL;
    }
}

/* ---- checking ---- */

struct look {
    uint64_t first, next; /* positions */
    int64_t shared, own[ORACLE_WRITERS];
    int64_t seq[ORACLE_WRITERS]; /* the last one met in the own stream */
    /* the append that is being met */
    uint32_t writer, number, index, count;
};

static const char *bytes_are_right(const struct look *l, const evb_record *r)
{
    struct oracle_bytes bytes;
    evb_record want;

    oracle_record(l->writer, l->number, l->index, &bytes, &want);
    if (r->size != want.size || memcmp(r->data, want.data, want.size) != 0 ||
        strcmp(r->topic, want.topic) != 0)
        return wrong("record %" PRIu64 " has other bytes", r->position);
    if (strcmp(r->stream, oracle_is_shared(l->writer, l->number) ? ORACLE_SHARED : oracle_own(l->writer)) !=
        0)
        return wrong("record %" PRIu64 " is in %s", r->position, r->stream);
    return NULL;
}

/* The first record of an append. */
static const char *meet(struct oracle *o, struct look *l, const evb_record *r)
{
    uint32_t id[4];
    struct promise *p;

    memcpy(id, r->event_id, sizeof id);
    if (id[0] >= ORACLE_WRITERS || id[1] >= o->count[id[0]])
        return wrong("record %" PRIu64 " was never begun", r->position);
    if (id[2] != 0) return wrong("record %" PRIu64 ": an append without its beginning", r->position);
    l->writer = id[0];
    l->number = id[1];
    l->count = oracle_count(id[0], id[1]);
    p = &o->promises[id[0]][id[1]];
    if (p->met == o->checks)
        return wrong("append %u of writer %u is there twice", (unsigned)id[1], (unsigned)id[0]);
    p->met = o->checks;
    if (p->state == REFUSED || p->state == GONE)
        return wrong("append %u of writer %u %s, and is there", (unsigned)id[1], (unsigned)id[0],
                     p->state == GONE ? "was gone" : "was refused");
    if (p->state == OPEN) {
        p->state = THERE;
        p->position = r->position + l->count - 1;
        p->version = r->version + l->count - 1;
        o->totals.kept++;
    }
    if (p->position != r->position + l->count - 1 || p->version != r->version + l->count - 1)
        return wrong("append %u of writer %u is at another place than was said", (unsigned)id[1],
                     (unsigned)id[0]);
    if (p->expected >= 0 && r->version != p->expected + 1)
        return wrong("append %u of writer %u is not at the version it expected", (unsigned)id[1],
                     (unsigned)id[0]);
    return NULL;
}

static const char *look_at(struct oracle *o, struct look *l, const evb_record *r)
{
    const char *what;
    bool shared = strcmp(r->stream, ORACLE_SHARED) == 0;
    int64_t *version;

    if (r->position != l->next) return wrong("position %" PRIu64 " is not there", l->next);
    l->next++;
    if (r->event_id == NULL) return wrong("record %" PRIu64 " without an id", r->position);
    if (l->index == l->count) {
        l->index = 0;
        what = meet(o, l, r);
        if (what != NULL) return what;
        if (!shared && l->seq[l->writer] >= (int64_t)l->number)
            return wrong("the own stream is out of order");
        if (!shared) l->seq[l->writer] = l->number;
    } else {
        uint32_t id[4];

        memcpy(id, r->event_id, sizeof id);
        if (id[0] != l->writer || id[1] != l->number || id[2] != l->index)
            return wrong("record %" PRIu64 ": the append before it is not whole", r->position);
    }
    what = bytes_are_right(l, r);
    if (what != NULL) return what;
    l->index++;
    version = shared ? &l->shared : &l->own[l->writer];
    if (r->version != *version + 1 && (*version != 0 || l->first == 1))
        return wrong("%s: version %" PRId64 " behind %" PRId64, r->stream, r->version, *version);
    *version = r->version;
    return NULL;
}

static const char *read_all(struct oracle *o, evb_store *store, struct look *l)
{
    evb_reader *reader;
    evb_record record;
    const char *what = NULL;
    int32_t rc = evb_store_read(store, NULL, &reader);

    if (rc != EVB_OK) return wrong("read answers %s", evb_err_name(rc));
    while (what == NULL && (rc = evb_reader_next(reader, 0, &record)) == EVB_OK)
        what = look_at(o, l, &record);
    evb_reader_close(reader);
    if (what == NULL && rc != EVB_EEMPTY) what = wrong("next answers %s", evb_err_name(rc));
    if (what == NULL && l->index != l->count) what = wrong("the last append is not whole");
    if (what == NULL && evb_store_last_position(store) + 1 != l->next)
        what = wrong("the last position is %" PRIu64 ", not %" PRIu64, evb_store_last_position(store),
                     l->next - 1);
    return what;
}

/* What was not met: it may not have happened, or have been trimmed away, or it is lost. */
static const char *look_at_rest(struct oracle *o, evb_store *store, const struct look *l, uint32_t w)
{
    int64_t version = 0, now = evb_store_version(store, oracle_own(w));

    for (uint32_t seq = 0; seq < o->count[w]; seq++) {
        struct promise *p = &o->promises[w][seq];
        bool shared = oracle_is_shared(w, seq);
        uint32_t n = oracle_count(w, seq);

        if (p->state == OPEN) {
            /* Appended, trimmed by another writer, and the process died before it said so: only the
             * version of the stream knows. */
            p->state = !shared && now == p->expected + n && l->first > 1 ? THERE : GONE;
            if (p->state == GONE) o->totals.vanished++;
            p->version = p->state == THERE ? now : 0;
        }
        if ((p->state == ACKED || p->state == THERE) && p->met != o->checks && p->position >= l->first)
            return wrong("append %u of writer %u, at %" PRIu64 ", was %s and is lost", (unsigned)seq,
                         (unsigned)w, p->position, p->state == ACKED ? "acknowledged" : "there");
        if (!shared && (p->state == ACKED || p->state == THERE)) version += n;
    }
    if (now != version) return wrong("%s has version %" PRId64 ", not %" PRId64, oracle_own(w), now, version);
    if (l->own[w] != 0 && l->own[w] != now) return wrong("%s ends before its version", oracle_own(w));
    return NULL;
}

static const char *look_at_snapshot(const struct oracle *o, evb_store *store, uint32_t w)
{
    const char *what = NULL;
    char state[64];
    evb_record record = {0};
    size_t size;
    int32_t rc = evb_snapshot_load(store, oracle_own(w), 1, &record);

    if (rc == EVB_ENOTFOUND) return o->snap_done[w] == 0 ? NULL : wrong("a snapshot is lost");
    if (rc != EVB_OK) return wrong("a snapshot cannot be loaded: %s", evb_err_name(rc));
    size = oracle_state(w, record.version, state, sizeof state);
    if (record.version < o->snap_done[w] || record.version > o->snap_begun[w])
        what = wrong("a snapshot of version %" PRId64 ", saved were %" PRId64 " and maybe %" PRId64,
                     record.version, o->snap_done[w], o->snap_begun[w]);
    if (what == NULL && (size != record.size || memcmp(state, record.data, size) != 0))
        what = wrong("a snapshot of other bytes");
    evb_record_free(&record);
    return what;
}

const char *oracle_check(struct oracle *o, evb_store *store)
{
    struct look l = {.first = evb_store_first_position(store), .seq = {-1, -1, -1, -1}};
    const char *what;

    o->checks++;
    if (l.first == 0) l.first = 1;
    l.next = l.first;
    if (l.first > 1 && l.first > o->trim_begun) return wrong("more was trimmed than anybody asked for");
    if (l.first < o->trim_done) return wrong("what was trimmed is there again");
    what = read_all(o, store, &l);
    for (uint32_t w = 0; w < ORACLE_WRITERS && what == NULL; w++) {
        what = look_at_rest(o, store, &l, w);
        if (what == NULL) what = look_at_snapshot(o, store, w);
    }
    if (what == NULL && l.shared != 0 && l.shared != evb_store_version(store, ORACLE_SHARED))
        what = wrong("the shared stream ends before its version");
    return what;
}

struct oracle_plan oracle_plan(const struct oracle *o, uint32_t w)
{
    struct oracle_plan plan = {.seq = o->count[w]};
    const struct promise *last = o->count[w] != 0 ? &o->promises[w][o->count[w] - 1] : NULL;

    for (uint32_t seq = 0; seq < o->count[w]; seq++)
        if (!oracle_is_shared(w, seq) &&
            (o->promises[w][seq].state == ACKED || o->promises[w][seq].state == THERE))
            plan.version += oracle_count(w, seq);
    if (last != NULL && last->expected >= 0 &&
        (last->state == GONE || (last->state == THERE && last->position != 0))) {
        plan.again = true;
        plan.seq--;
        plan.expected = last->expected;
        if (!oracle_is_shared(w, plan.seq)) plan.version = last->expected;
    }
    return plan;
}

struct oracle_totals oracle_totals(const struct oracle *o)
{
    return o->totals;
}
