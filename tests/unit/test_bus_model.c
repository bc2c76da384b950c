/* SPDX-License-Identifier: MIT */
/* Random operations on a bus against a slow, obvious model of it.
 *
 * The model is an array of registrations: pattern, priority, order, flags, owner, filter. An emit filters it
 * with the matcher of topic_oracle.h, sorts, and holds the list as a *frame*; every call that the library
 * makes must be the next one of the innermost frame that is still registered. So additions, removals, onces
 * and nested emits inside listeners, filters and free_user functions are predicted call by call, whatever
 * they do. Registrations are never reused within a round.
 *
 * A failure prints the seed of the test and the round: EVB_TEST_SEED repeats all of it. Callbacks cannot end
 * a test (the library would stay inside its emit), so the first difference is noted, the callbacks fall
 * silent, and the round fails when its operation has returned.
 */
#include "evb_test.h"

#include <evbus.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "topic_oracle.h"

#define ROUNDS     110 /* of each dialect: 330 in all */
#define OPERATIONS 400
#define RECORDS    8192
#define PATTERNS   28
#define TOPICS     12
#define HANDLES    16
#define NAME       32
#define DEPTH      12 /* deeper than the eight nestings that have an entry of their own */

enum { BY_HANDLE, BY_NAME };

struct record {
    int64_t id; /* 0 until the call that makes it has returned */
    int64_t order;
    int32_t priority;
    uint32_t pattern, flags,
        mask;  /* mask: the filter accepts payloads that have one of its bits; 0 = no filter */
    int owner; /* -1 = none */
    bool live, gives_back, freed;
    int running; /* calls of it (or of its filter) that are under way */
};

struct frame {
    struct frame *outer;
    uint32_t topic;
    int value;
    uint32_t *list;
    uint32_t count, at, called;
    bool filtered; /* the filter of list[at] has accepted: its call comes next */
};

static struct model {
    uint32_t dialect, round;
    struct evb__rng rng;
    evb_bus *bus;
    char pattern[PATTERNS][NAME], topic[TOPICS][NAME];
    bool matches[PATTERNS][TOPICS];
    struct record record[RECORDS];
    uint32_t records, live, crowd;
    int64_t orders;
    struct {
        evb_topic *topic;
        uint32_t name, opens;
    } handle[HANDLES];
    struct frame *frame;
    int depth;
    bool ending; /* callbacks change nothing any more */
    int owners[3];
    uint64_t operations, calls, nested;
    char wrong[512];
} m;

static void differs(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void differs(const char *format, ...)
{
    va_list args;

    if (m.wrong[0] != '\0') return;
    va_start(args, format);
    (void)vsnprintf(m.wrong, sizeof m.wrong, format, args);
    va_end(args);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)evb__rng_below(&m.rng, n);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

/* ---- names ---- */

static const struct {
    char separator;
    const char *one, *many;
    bool empty_tokens, many_anywhere;
} dialects[] = {{'.', "*", ">", false, false}, {'/', "+", "#", true, false}, {'.', "*", "#", true, true}};

/* Valid by construction, so that every round works with names the bus accepts. */
static void random_name(char *name, bool pattern)
{
    static const char *const words[] = {"a", "b", "c", "aa"};
    uint32_t tokens = 1 + below(4), many = 0;
    size_t n = 0;

    for (uint32_t i = 0; i < tokens; i++) {
        const char *token = words[below(4)];
        bool last = i + 1 == tokens;

        if (i == 0 && one_in(10) && (pattern || m.dialect != EVB_TOPICS_DOT)) token = "$s";
        if (dialects[m.dialect].empty_tokens && one_in(9) && (tokens > 1 || m.dialect == EVB_TOPICS_AMQP))
            token = "";
        if (pattern && one_in(3)) token = dialects[m.dialect].one;
        if (pattern && one_in(4) && (last || dialects[m.dialect].many_anywhere) && many < 2) {
            token = dialects[m.dialect].many;
            many++;
        }
        if (i != 0) name[n++] = dialects[m.dialect].separator;
        n += (size_t)snprintf(name + n, NAME - n, "%s", token);
    }
    name[n] = '\0';
}

static void make_names(void)
{
    for (uint32_t t = 0; t < TOPICS; t++)
        random_name(m.topic[t], false);
    for (uint32_t p = 0; p < PATTERNS; p++) {
        if (one_in(3))
            memcpy(m.pattern[p], m.topic[below(TOPICS)], NAME); /* literal, and one that is emitted */
        else
            random_name(m.pattern[p], true);
        for (uint32_t t = 0; t < TOPICS; t++) {
            int32_t matches = topic_oracle_matches(m.dialect, m.pattern[p], m.topic[t]);

            if (matches < 0)
                differs("the model made an invalid name: \"%s\" or \"%s\"", m.pattern[p], m.topic[t]);
            m.matches[p][t] = matches == 1;
        }
    }
    /* The same text twice would be two patterns to the model and one to the bus. */
    for (uint32_t p = 1; p < PATTERNS; p++)
        for (uint32_t q = 0; q < p; q++)
            if (strcmp(m.pattern[p], m.pattern[q]) == 0) {
                (void)snprintf(m.pattern[p], NAME, "only%c%u", dialects[m.dialect].separator, (unsigned)p);
                memset(m.matches[p], 0, sizeof m.matches[p]);
                break;
            }
}

/* ---- what must happen ---- */

static bool before(const struct record *a, const struct record *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

static void begin_frame(struct frame *f, uint32_t topic, int value)
{
    *f = (struct frame){.outer = m.frame, .topic = topic, .value = value};
    f->list = malloc((m.live + 1) * sizeof *f->list);
    for (uint32_t r = 0; r < m.records; r++) {
        uint32_t at = f->count;

        if (!m.record[r].live || !m.matches[m.record[r].pattern][topic]) continue;
        for (; at > 0 && before(&m.record[r], &m.record[f->list[at - 1]]); at--)
            f->list[at] = f->list[at - 1];
        f->list[at] = r;
        f->count++;
    }
    m.frame = f;
    m.depth++;
    if (m.depth > 1) m.nested++;
}

static void skip_removed(struct frame *f)
{
    while (f->at < f->count && !m.record[f->list[f->at]].live) {
        f->at++;
        f->filtered = false;
    }
}

static void end_frame(struct frame *f, int32_t answer)
{
    skip_removed(f);
    if (f->at != f->count)
        differs("emit on \"%s\" ended before it called listener %u (pattern \"%s\")", m.topic[f->topic],
                f->list[f->at], m.pattern[m.record[f->list[f->at]].pattern]);
    if (answer != (int32_t)f->called)
        differs("emit on \"%s\" answered %d, %u listeners were called that count", m.topic[f->topic],
                (int)answer, f->called);
    m.frame = f->outer;
    m.depth--;
    free(f->list);
}

static void removed(uint32_t r)
{
    m.record[r].live = false;
    m.live--;
}

/* After a call that removed r: its context is back unless the thread is inside r. */
static void check_freed(uint32_t r)
{
    const struct record *rec = &m.record[r];

    if (rec->gives_back && rec->running == 0 && !rec->freed)
        differs("listener %u (pattern \"%s\") was removed, is not running, and free_user has not run", r,
                m.pattern[rec->pattern]);
}

/* ---- what the library calls ---- */

static void act(uint32_t odds);

static void check_view(const evb_event *ev, const struct frame *f)
{
    const char *name = m.topic[f->topic];

    if (ev->data != &f->value || ev->size != sizeof f->value)
        differs("another payload than the emitter's own bytes");
    if (strcmp(ev->topic, name) != 0 || ev->topic_len != strlen(name))
        differs("event of \"%s\" says \"%s\"", name, ev->topic);
}

/* The innermost frame when its next live listener is r, else NULL. */
static struct frame *expect(uint32_t r, const char *what)
{
    struct frame *f = m.frame;

    if (f == NULL) {
        differs("%s of listener %u without an emit", what, r);
        return NULL;
    }
    skip_removed(f);
    if (f->at == f->count || f->list[f->at] != r) {
        differs("%s of listener %u (pattern \"%s\", %s) on \"%s\", expected listener %d", what, r,
                m.pattern[m.record[r].pattern], m.record[r].live ? "live" : "removed", m.topic[f->topic],
                f->at == f->count ? -1 : (int)f->list[f->at]);
        return NULL;
    }
    return f;
}

static int32_t on_filter(const evb_event *ev, void *user)
{
    uint32_t r = (uint32_t)((struct record *)user - m.record);
    struct frame *f;
    int value;

    if (m.wrong[0] != '\0') return 0;
    f = expect(r, "filter");
    if (f == NULL) return 0;
    if (f->filtered) differs("filter of listener %u asked twice", r);
    check_view(ev, f);
    m.record[r].running++;
    if (one_in(20)) act(4);
    m.record[r].running--;
    value = f->value & (int)m.record[r].mask;
    /* The filter's own deeds may have removed the listener: then expect() has to skip it. */
    f->filtered = value != 0;
    if (value == 0 && m.record[r].live) f->at++;
    return value != 0 ? 7 : 0;
}

static int32_t on_event(const evb_event *ev, void *user)
{
    uint32_t r = (uint32_t)((struct record *)user - m.record);
    struct record *rec = &m.record[r];
    struct frame *f;

    if (m.wrong[0] != '\0') return EVB_OK;
    f = expect(r, "call");
    if (f == NULL) return EVB_OK;
    if ((rec->mask != 0) != f->filtered) differs("listener %u was called without its filter", r);
    if (rec->freed) differs("listener %u was called after its free_user", r);
    check_view(ev, f);
    f->at++;
    f->filtered = false;
    if ((rec->flags & EVB_MONITOR) == 0) f->called++;
    if ((rec->flags & EVB_ONCE) != 0) removed(r);
    m.calls++;
    rec->running++;
    if (one_in(4)) act(3);
    rec->running--;
    return one_in(20) ? INT32_MIN + (int32_t)below(3) : EVB_OK; /* counted all the same */
}

static void on_free(void *user)
{
    struct record *rec = user;
    uint32_t r = (uint32_t)(rec - m.record);

    if (m.wrong[0] != '\0') return;
    if (rec->live) differs("free_user of listener %u, which is registered", r);
    if (rec->freed) differs("free_user of listener %u ran twice", r);
    if (rec->running != 0) differs("free_user of listener %u ran while it is running", r);
    rec->freed = true;
    if (one_in(8) && !m.ending) act(3);
}

/* ---- operations ---- */

static void do_listen(uint32_t pattern)
{
    static const int32_t priorities[] = {0, 0, 0, 0, 1, -1, 5, INT32_MIN, INT32_MAX};
    struct record *rec = &m.record[m.records];
    evb_listen_opts o = {0};
    int64_t id;

    if (m.records == RECORDS) return;
    *rec = (struct record){.pattern = pattern, .owner = -1};
    if (one_in(6)) rec->flags |= EVB_ONCE;
    if (one_in(8)) rec->flags |= EVB_MONITOR;
    if (one_in(6)) rec->flags |= EVB_PREPEND;
    if (one_in(3)) rec->priority = priorities[below(9)];
    if (one_in(4)) rec->mask = 1 + below(15);
    if (one_in(4)) rec->owner = (int)below(3);
    rec->gives_back = one_in(3);
    m.orders++;
    rec->order = (rec->flags & EVB_PREPEND) != 0 ? -m.orders : m.orders;
    rec->live = true;
    m.records++;
    m.live++;

    o.flags = rec->flags;
    o.priority = rec->priority;
    o.filter = rec->mask != 0 ? on_filter : NULL;
    o.owner = rec->owner >= 0 ? &m.owners[rec->owner] : NULL;
    o.free_user = rec->gives_back ? on_free : NULL;
    if (o.priority == 0 && o.filter == NULL && o.owner == NULL && o.free_user == NULL && o.flags == 0)
        id = evb_on(m.bus, m.pattern[pattern], on_event, rec);
    else
        id = evb_listen(m.bus, m.pattern[pattern], &o, on_event, rec);
    if (id <= 0 || id >= (int64_t)1 << 53)
        differs("registering \"%s\" answered %lld", m.pattern[pattern], (long long)id);
    rec->id = id;
}

/* A live record whose id is known, or RECORDS. */
static uint32_t pick_live(void)
{
    uint32_t start = m.records != 0 ? below(m.records) : 0;

    for (uint32_t i = 0; i < m.records; i++) {
        uint32_t r = (start + i) % m.records;

        if (m.record[r].live && m.record[r].id != 0) return r;
    }
    return RECORDS;
}

static void do_off(void)
{
    uint32_t r = pick_live();
    bool wait = one_in(4), inside = m.depth != 0 || evb__in_callback(evb__self());
    int32_t answer, expected;

    if (r == RECORDS) return;
    removed(r);
    answer = wait ? evb_off_wait(m.bus, m.record[r].id) : evb_off(m.bus, m.record[r].id);
    expected = wait && inside ? EVB_EDEADLK : EVB_OK;
    if (answer != expected)
        differs("%s answered %d, expected %d", wait ? "off_wait" : "off", (int)answer, (int)expected);
    check_freed(r);
}

static void do_off_stale(void)
{
    uint32_t r;
    int32_t answer;

    if (m.records == 0) return;
    r = below(m.records);
    if (m.record[r].live || m.record[r].id == 0) return;
    answer = one_in(2) ? evb_off(m.bus, m.record[r].id) : evb_off_wait(m.bus, m.record[r].id);
    if (answer != EVB_ENOTFOUND) differs("a stale id was answered with %d", (int)answer);
}

static void do_off_many(void)
{
    uint32_t kind = below(12), pattern = below(PATTERNS), first = 0;
    int owner = (int)below(3);
    int32_t expected = 0, answer;
    uint32_t *gone = malloc((m.live + 1) * sizeof *gone);

    for (uint32_t r = first; r < m.records; r++) {
        struct record *rec = &m.record[r];

        if (!rec->live || (kind >= 1 && kind < 7 && rec->pattern != pattern) ||
            (kind >= 7 && rec->owner != owner))
            continue;
        gone[expected++] = r;
    }
    for (int32_t i = 0; i < expected; i++)
        removed(gone[i]);
    answer = kind == 0  ? evb_off_all(m.bus, NULL)
             : kind < 7 ? evb_off_all(m.bus, m.pattern[pattern])
                        : evb_off_owner(m.bus, &m.owners[owner]);
    if (answer != expected)
        differs("off_%s removed %d, expected %d", kind < 7 ? "all" : "owner", (int)answer, (int)expected);
    for (int32_t i = 0; i < expected; i++)
        check_freed(gone[i]);
    free(gone);
}

static void do_emit(int way)
{
    struct frame f;
    uint32_t topic = below(TOPICS), h = below(HANDLES);
    int32_t answer;

    if (m.depth >= DEPTH) return;
    if (way == BY_HANDLE && m.handle[h].opens == 0) way = BY_NAME;
    if (way == BY_HANDLE) topic = m.handle[h].name;
    begin_frame(&f, topic, (int)below(16));
    answer = way == BY_HANDLE ? evb_topic_emit(m.handle[h].topic, &f.value, sizeof f.value)
                              : evb_emit(m.bus, m.topic[topic], &f.value, sizeof f.value);
    end_frame(&f, answer);
}

static void do_open(void)
{
    uint32_t h = below(HANDLES);
    evb_topic *topic = NULL;
    int32_t answer;

    if (m.handle[h].opens == 0) m.handle[h].name = below(TOPICS);
    answer = evb_topic_open(m.bus, m.topic[m.handle[h].name], &topic);
    if (answer != EVB_OK) {
        differs("open of \"%s\" answered %d", m.topic[m.handle[h].name], (int)answer);
        return;
    }
    for (uint32_t i = 0; i < HANDLES; i++)
        if (m.handle[i].opens != 0 && m.handle[i].name == m.handle[h].name && m.handle[i].topic != topic)
            differs("\"%s\" opened twice has two handles", m.topic[m.handle[h].name]);
    m.handle[h].topic = topic;
    m.handle[h].opens++;
}

static void do_close(uint32_t h)
{
    if (m.handle[h].opens == 0) return;
    m.handle[h].opens--;
    evb_topic_close(m.handle[h].topic);
}

static void do_count(void)
{
    uint32_t topic = below(TOPICS);
    int32_t expected = 0, answer;

    for (uint32_t r = 0; r < m.records; r++) {
        const struct record *rec = &m.record[r];

        if (rec->live && m.matches[rec->pattern][topic] && (rec->flags & EVB_MONITOR) == 0) expected++;
    }
    answer = evb_listener_count(m.bus, m.topic[topic]);
    if (answer != expected)
        differs("listener_count of \"%s\" is %d, expected %d", m.topic[topic], (int)answer, (int)expected);
}

struct walk {
    struct {
        uint32_t pattern, listeners;
        int64_t oldest;
    } want[PATTERNS];
    uint32_t count, at;
};

static int32_t next_pattern(const char *pattern, uint32_t listeners, void *user)
{
    struct walk *w = user;

    if (w->at >= w->count || strcmp(pattern, m.pattern[w->want[w->at].pattern]) != 0 ||
        listeners != w->want[w->at].listeners)
        differs("patterns: number %u is \"%s\" with %u, expected \"%s\" with %u", w->at, pattern, listeners,
                w->at < w->count ? m.pattern[w->want[w->at].pattern] : "no more",
                w->at < w->count ? w->want[w->at].listeners : 0);
    w->at++;
    return 0;
}

static void do_patterns(void)
{
    struct walk w = {.count = 0};

    for (uint32_t p = 0; p < PATTERNS; p++) {
        uint32_t listeners = 0, at;
        int64_t oldest = INT64_MAX;

        for (uint32_t r = 0; r < m.records; r++) {
            int64_t order = m.record[r].order < 0 ? -m.record[r].order : m.record[r].order;

            if (!m.record[r].live || m.record[r].pattern != p) continue;
            listeners++;
            if (order < oldest) oldest = order;
        }
        if (listeners == 0) continue;
        for (at = w.count++; at > 0 && oldest < w.want[at - 1].oldest; at--)
            w.want[at] = w.want[at - 1];
        w.want[at].pattern = p;
        w.want[at].listeners = listeners;
        w.want[at].oldest = oldest;
    }
    if (evb_patterns(m.bus, next_pattern, &w) != 0) differs("patterns did not answer 0");
    if (w.at != w.count) differs("patterns told of %u, expected %u", w.at, w.count);
}

static void operation(void)
{
    uint32_t what = below(100);
    uint32_t full = m.crowd != 0 ? 220 : 60;

    m.operations++;
    if (what < 30)
        do_emit(one_in(2) ? BY_HANDLE : BY_NAME);
    else if (what < 60 && m.live < full)
        do_listen(below(PATTERNS));
    else if (what < 76)
        do_off();
    else if (what < 79)
        do_off_stale();
    else if (what < 82)
        do_off_many();
    else if (what < 87)
        do_open();
    else if (what < 92)
        do_close(below(HANDLES));
    else if (what < 97)
        do_count();
    else
        do_patterns();
}

/* Inside a callback: some operations, fewer the deeper. */
static void act(uint32_t odds)
{
    uint32_t n = 1 + below(odds);

    if (m.depth > 3 && !one_in((uint32_t)m.depth - 1)) return;
    for (uint32_t i = 0; i < n && m.wrong[0] == '\0'; i++)
        operation();
}

/* ---- rounds ---- */

/* Between operations, outside of any callback. */
static void check_at_rest(void)
{
    if (m.bus->listeners != m.live)
        differs("the bus counts %u listeners, the model %u", m.bus->listeners, m.live);
    for (uint32_t r = 0; r < m.records; r++)
        if (!m.record[r].live) check_freed(r);
}

static void begin_round(uint32_t dialect, uint32_t round)
{
    memset(m.handle, 0, sizeof m.handle);
    m.dialect = dialect;
    m.round = round;
    m.records = m.live = 0;
    m.orders = 0;
    m.frame = NULL;
    m.depth = 0;
    m.ending = false;
    m.wrong[0] = '\0';
    evb__rng_init(&m.rng, evb__rng_next(evb_test_rng()));
    OK(evb_bus_create(&(evb_bus_opts){.dialect = dialect, .listener_warning = UINT32_MAX}, &m.bus));
    make_names();
    m.crowd = one_in(3) ? 40 + below(60) : 0;
    for (uint32_t i = 0; i < m.crowd; i++)
        do_listen(below(PATTERNS));
}

static void close_all(bool bus_is_gone)
{
    for (uint32_t h = 0; h < HANDLES; h++)
        while (m.handle[h].opens != 0) {
            if (bus_is_gone && evb_topic_emit(m.handle[h].topic, NULL, 0) != EVB_ECLOSED)
                differs("a handle of a destroyed bus still works");
            do_close(h);
        }
}

/* Everything that was made can be taken away again, to the last node; or destroy does it. */
static void end_round(void)
{
    bool destroy = one_in(3);

    m.ending = true;
    for (uint32_t r = 0; r < m.records; r++)
        if (m.record[r].live) removed(r);
    if (!destroy) {
        close_all(false);
        (void)evb_off_all(m.bus, NULL);
        if (m.bus->topics != 0 || m.bus->names.live != 0) differs("%u topics are left", m.bus->topics);
        if (m.bus->trie.nodes != 0 || evb__trie_tokens(&m.bus->trie) != 0)
            differs("%u trie nodes are left", m.bus->trie.nodes);
        if (evb__index_audit(&m.bus->index) != 0) differs("topics are left in the index");
    }
    evb_bus_destroy(m.bus);
    if (destroy) close_all(true);
    for (uint32_t r = 0; r < m.records; r++)
        check_freed(r);
}

static void rounds(uint32_t dialect)
{
    uint32_t count = getenv("EVB_TEST_LONG") != NULL ? ROUNDS * 30 : ROUNDS;

    m.operations = m.calls = m.nested = 0;
    for (uint32_t round = 0; round < count; round++) {
        begin_round(dialect, round);
        for (uint32_t i = 0; i < OPERATIONS && m.wrong[0] == '\0'; i++) {
            operation();
            check_at_rest();
        }
        if (m.wrong[0] == '\0')
            end_round();
        else
            evb_bus_destroy(m.bus);
        if (m.wrong[0] != '\0')
            evb_test_fail(__FILE__, __LINE__, "seed 0x%llx, round %u: %s",
                          (unsigned long long)evb_test_seed(), round, m.wrong);
    }
    printf("%u rounds, %llu operations, %llu calls, %llu nested emits, seed 0x%llx\n", count,
           (unsigned long long)m.operations, (unsigned long long)m.calls, (unsigned long long)m.nested,
           (unsigned long long)evb_test_seed());
    CHECK(m.calls > count * 100 &&
          m.nested > count * 10); /* a model that does nothing agrees with everything */
}

TEST(random_operations_on_a_dot_bus_agree_with_the_model)
{
    rounds(EVB_TOPICS_DOT);
}

TEST(random_operations_on_an_mqtt_bus_agree_with_the_model)
{
    rounds(EVB_TOPICS_MQTT);
}

TEST(random_operations_on_an_amqp_bus_agree_with_the_model)
{
    rounds(EVB_TOPICS_AMQP);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_on_a_dot_bus_agree_with_the_model),
        cmocka_unit_test(random_operations_on_an_mqtt_bus_agree_with_the_model),
        cmocka_unit_test(random_operations_on_an_amqp_bus_agree_with_the_model),
    };
    return EVB_TEST_MAIN("bus_model", tests, argc, argv);
}
