/* SPDX-License-Identifier: MIT */
/* The judge: pairs each pop with its push, then looks at all operations in the order of the clock.
 *
 * An event is the start or the end of an operation. Events are sorted once by (time, starts before ends): so
 * an operation that ends at the moment another one starts overlaps it, which is the careful reading of a
 * clock with ticks. One sweep backwards finds what came out too late, one sweep forwards keeps what is surely
 * and possibly inside and judges EMPTY, FULL, CLOSED and the capacity at the end of each operation.
 */
#include "history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE  UINT32_MAX
#define NEVER INT64_MAX

struct keyed {
    uint64_t key;
    uint32_t op;
};

struct judge {
    const struct history_op *ops;
    uint32_t count;
    const struct history_rules *rules;
    struct history_verdict *verdict;
    int64_t zero;      /* the earliest start */
    uint32_t *push_of; /* the values: their pushes, in the order of ops ... */
    uint32_t *pop_of;  /* ... and their pops, or NONE */
    uint32_t values;
    uint32_t *value_of;   /* by operation: what a successful push or the first pop of a value moved; NONE */
    struct keyed *events; /* 2 x count; key = time x 2 + 1 at an end */
    struct keyed *spare;  /* for sorting */
};

const char *history_class_name(enum history_class c)
{
    static const char *const names[HISTORY_CLASSES] = {
        "INVENTED",    "DEQ-BEFORE-ENQ", "DUPLICATED", "LOST",         "ORDER",
        "WRONG-EMPTY", "WRONG-FULL",     "OVERFULL",   "WRONG-CLOSED", "UNUSABLE",
    };

    return names[c];
}

static void *need(size_t count, size_t size)
{
    void *p = calloc(count + 1, size);

    if (p == NULL) {
        fputs("history: out of memory\n", stderr);
        abort();
    }
    return p;
}

/* Bytes from the lowest to the highest; a byte that all keys share is skipped, which most are. Stable. */
static void sort_keyed(struct keyed *a, struct keyed *spare, size_t n)
{
    struct keyed *from = a, *to = spare;

    for (unsigned shift = 0; n > 1 && shift < 64; shift += 8) {
        size_t at[256] = {0}, sum = 0;

        for (size_t i = 0; i < n; i++)
            at[(from[i].key >> shift) & 0xff]++;
        if (at[(from[0].key >> shift) & 0xff] == n) continue;
        for (size_t b = 0; b < 256; b++) {
            size_t here = at[b];

            at[b] = sum;
            sum += here;
        }
        for (size_t i = 0; i < n; i++)
            to[at[(from[i].key >> shift) & 0xff]++] = from[i];
        struct keyed *swap = from;

        from = to;
        to = swap;
    }
    if (from != a) memcpy(a, from, n * sizeof *a);
}

/* ---- findings ---- */

static void describe(const struct judge *j, uint32_t op, char *text, size_t size)
{
    static const char *const kinds[] = {"push", "pop", "close"};
    const struct history_op *o = &j->ops[op];

    (void)snprintf(text, size, "%s of thread %u [%" PRId64 ", %" PRId64 "]", kinds[o->kind], o->thread,
                   o->start - j->zero, o->end - j->zero);
}

/* op: the operation found wrong; other: the one that shows it, or NONE. */
static void found(struct judge *j, enum history_class c, uint32_t op, uint32_t other)
{
    char a[80] = "", b[80] = "";

    j->verdict->wrong[c]++;
    if (j->verdict->first[0] != '\0') return;
    describe(j, op, a, sizeof a);
    if (other != NONE) describe(j, other, b, sizeof b);
    (void)snprintf(j->verdict->first, sizeof j->verdict->first, "%s: %s, value %" PRIx64 "%s%s",
                   history_class_name(c), a, j->ops[op].value, other != NONE ? "; see " : "", b);
}

/* ---- values ---- */

static bool moved(const struct history_op *op, int kind)
{
    return op->kind == kind && op->result == HISTORY_OK;
}

/* The successful operations of one kind, sorted by value; equal values stay in the order of ops. */
static uint32_t by_value(struct judge *j, int kind, struct keyed *ret)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < j->count; i++)
        if (moved(&j->ops[i], kind)) ret[n++] = (struct keyed){j->ops[i].value, i};
    sort_keyed(ret, j->spare, n);
    return n;
}

/* Gives each pop the push of its value: both lists are sorted, so one walk does it. */
static void pair_values(struct judge *j)
{
    struct keyed *pushes = need(j->count, sizeof *pushes), *pops = need(j->count, sizeof *pops);
    uint32_t n = by_value(j, HISTORY_PUSH, pushes), m = by_value(j, HISTORY_POP, pops), p = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && pushes[i].key == pushes[i - 1].key)
            found(j, HISTORY_UNUSABLE, pushes[i].op, pushes[i - 1].op);
    }
    for (uint32_t k = 0; k < m; k++) {
        uint32_t value;

        while (p < n && pushes[p].key < pops[k].key)
            p++;
        if (p == n || pushes[p].key != pops[k].key) {
            found(j, HISTORY_INVENTED, pops[k].op, NONE);
            continue;
        }
        value = j->value_of[pushes[p].op];
        if (j->pop_of[value] != NONE) {
            found(j, HISTORY_DUPLICATED, pops[k].op, j->pop_of[value]);
            continue;
        }
        j->pop_of[value] = pops[k].op;
        j->value_of[pops[k].op] = value;
        if (j->ops[pops[k].op].end < j->ops[pushes[p].op].start)
            found(j, HISTORY_DEQ_BEFORE_ENQ, pops[k].op, pushes[p].op);
    }
    free(pushes);
    free(pops);
}

static void number_values(struct judge *j)
{
    for (uint32_t i = 0; i < j->count; i++) {
        j->value_of[i] = NONE;
        if (!moved(&j->ops[i], HISTORY_PUSH)) continue;
        j->value_of[i] = j->values;
        j->pop_of[j->values] = NONE;
        j->push_of[j->values++] = i;
    }
    pair_values(j);
    for (uint32_t v = 0; v < j->values; v++) {
        if (j->pop_of[v] != NONE) continue;
        j->verdict->missing++;
        if (j->rules->drained && !j->rules->lossy) found(j, HISTORY_LOST, j->push_of[v], NONE);
    }
    j->verdict->pushed = j->values;
    j->verdict->popped = j->values - j->verdict->missing;
}

/* A value that did not come out: still inside, or gone (LOST was said, or the queue may drop). */
static bool gone(const struct judge *j, uint32_t value)
{
    return j->pop_of[value] == NONE && (j->rules->drained || j->rules->lossy);
}

static int64_t popped_from(const struct judge *j, uint32_t value)
{
    return j->pop_of[value] == NONE ? NEVER : j->ops[j->pop_of[value]].start;
}

/* ---- order ---- */

struct lateness {
    struct judge *j;
    bool *late; /* by value: each is reported once */
};

/* Of two values, in this order, the first came out behind the second. */
static void too_late(struct lateness *l, uint32_t value, uint32_t overtaker)
{
    struct judge *j = l->j;
    uint32_t op = j->pop_of[value] != NONE ? j->pop_of[value] : j->push_of[value];

    if (l->late[value]) return;
    l->late[value] = true;
    found(j, HISTORY_ORDER, op, j->pop_of[overtaker]);
}

/* Pushes ordered by the clock, pops ordered by the clock. Backwards over the events: at the end of a push,
 * all pushes that started later have been seen, and of those the value whose pop ended first. */
static void order_by_clock(struct lateness *l)
{
    struct judge *j = l->j;
    int64_t first_end = NEVER;
    uint32_t first = NONE;

    for (size_t i = 2 * (size_t)j->count; i-- > 0;) {
        uint32_t op = j->events[i].op, value = j->value_of[op];

        if (j->ops[op].kind != HISTORY_PUSH || value == NONE) continue;
        if ((j->events[i].key & 1) == 0) {
            uint32_t pop = j->pop_of[value];

            if (pop != NONE && j->ops[pop].end < first_end) {
                first_end = j->ops[pop].end;
                first = value;
            }
        } else if (!gone(j, value) && first_end < popped_from(j, value)) {
            too_late(l, value, first);
        }
    }
}

/* Pushes ordered by their thread, pops by the clock or by their thread. Backwards over each producer's
 * values. */
static void order_by_producer(struct lateness *l)
{
    struct judge *j = l->j;
    uint32_t
        behind[HISTORY_MAX_THREADS]; /* by popping thread: the next of this producer's values it popped */
    int64_t first_end = NEVER;
    uint32_t first = NONE, producer = NONE;

    for (uint32_t value = j->values; value-- > 0;) {
        const struct history_op *push = &j->ops[j->push_of[value]];
        uint32_t pop = j->pop_of[value];

        if (push->thread != producer) {
            producer = push->thread;
            first_end = NEVER;
            memset(behind, 0xff, sizeof behind);
        }
        if (!gone(j, value) && first_end < popped_from(j, value)) too_late(l, value, first);
        if (pop == NONE) continue;
        if (behind[j->ops[pop].thread] < pop) too_late(l, value, j->value_of[behind[j->ops[pop].thread]]);
        if (behind[j->ops[pop].thread] > pop) behind[j->ops[pop].thread] = pop;
        if (j->ops[pop].end < first_end) {
            first_end = j->ops[pop].end;
            first = value;
        }
    }
}

/* Pushes ordered by the clock, pops by their thread. Forwards over each consumer's values. */
static void order_by_consumer(struct lateness *l)
{
    struct judge *j = l->j;
    int64_t last_start = INT64_MIN;
    uint32_t last = NONE, consumer = NONE;

    for (uint32_t op = 0; op < j->count; op++) {
        const struct history_op *push;

        if (j->ops[op].thread != consumer) {
            consumer = j->ops[op].thread;
            last_start = INT64_MIN;
        }
        if (!moved(&j->ops[op], HISTORY_POP) || j->value_of[op] == NONE) continue;
        push = &j->ops[j->push_of[j->value_of[op]]];
        if (push->end < last_start) too_late(l, j->value_of[op], last);
        if (push->start > last_start) {
            last_start = push->start;
            last = j->value_of[op];
        }
    }
}

static void check_order(struct judge *j)
{
    struct lateness l = {j, need(j->values, sizeof *l.late)};

    order_by_producer(&l);
    if (j->rules->order == HISTORY_GLOBAL) {
        order_by_clock(&l);
        order_by_consumer(&l);
    }
    free(l.late);
}

/* ---- what is inside, moment by moment ---- */

/* Lists are in the order of the clock and only ever grow at their end; what has left is skipped at the front
 * when somebody asks for the oldest. Moments: time x 2, the open stretch behind a time + 1; like the keys. */
struct moments {
    struct judge *j;
    bool *left;           /* by operation: ended; of a push also: its pop has started */
    uint32_t *inside;     /* pushes of the values that are surely inside, by their ends */
    uint32_t *pushing;    /* successful pushes in progress, by their starts */
    uint32_t *popping;    /* successful pops in progress, by their starts ... */
    uint32_t *ended_then; /* ... and how many pops had ended when each started */
    bool *done;           /* by operation: ended */
    uint32_t inside_from, inside_to, pushing_from, pushing_to, popping_from, popping_to;
    uint32_t in_progress[HISTORY_MAX_THREADS + 1]; /* operations of a thread; the last: of all */
    uint32_t inside_now, started, ended;           /* values; pushes started and pops ended so far */
    int64_t empty_at, forgiven_at, full_at;        /* the last moment that explains the answer */
};

static const struct history_op *oldest(const struct judge *j, const uint32_t *list, uint32_t *from,
                                       uint32_t to, const bool *left)
{
    while (*from < to && left[list[*from]])
        ++*from;
    return *from < to ? &j->ops[list[*from]] : NULL;
}

/* See HISTORY_WEAK. The oldest push in progress is the best excuse: it has the fewest values before it. */
static bool empty_is_forgiven(struct moments *m)
{
    const struct history_op *value = oldest(m->j, m->inside, &m->inside_from, m->inside_to, m->left);
    const struct history_op *push = oldest(m->j, m->pushing, &m->pushing_from, m->pushing_to, m->done);

    return value == NULL || (push != NULL && push->start <= value->end);
}

static bool full_is_forgiven(struct moments *m)
{
    const struct history_op *pop = oldest(m->j, m->popping, &m->popping_from, m->popping_to, m->done);

    return pop != NULL && m->started - m->ended_then[m->popping_from] >= m->j->rules->capacity;
}

static void look(struct moments *m, int64_t moment)
{
    const struct history_rules *rules = m->j->rules;

    if (m->inside_now == 0) m->empty_at = moment;
    if (m->inside_now == 0 || (rules->empty == HISTORY_WEAK && empty_is_forgiven(m))) m->forgiven_at = moment;
    if (rules->capacity == 0) return;
    if (m->started - m->ended >= rules->capacity || (rules->full == HISTORY_WEAK && full_is_forgiven(m)))
        m->full_at = moment;
}

static void starts(struct moments *m, uint32_t op)
{
    uint32_t value = m->j->value_of[op];

    m->j->verdict->overlapping +=
        m->in_progress[HISTORY_MAX_THREADS]++ != m->in_progress[m->j->ops[op].thread]++;
    if (value == NONE) return;
    if (m->j->ops[op].kind == HISTORY_PUSH) {
        m->started++;
        m->pushing[m->pushing_to++] = op;
        return;
    }
    m->ended_then[m->popping_to] = m->ended;
    m->popping[m->popping_to++] = op;
    if (m->done[m->j->push_of[value]]) m->inside_now--;
    m->left[m->j->push_of[value]] = true;
}

static void judge_failure(struct moments *m, uint32_t op)
{
    struct judge *j = m->j;
    int64_t from = (j->ops[op].start - j->zero) * 2;

    switch (j->ops[op].result) {
    case HISTORY_EMPTY:
        if (j->rules->empty != HISTORY_OFF && m->forgiven_at < from) found(j, HISTORY_WRONG_EMPTY, op, NONE);
        break;
    case HISTORY_FULL:
        if (j->rules->full != HISTORY_OFF && m->full_at < from) found(j, HISTORY_WRONG_FULL, op, NONE);
        break;
    default: /* CLOSED: a pop says that nothing is inside; weak rules do not soften it */
        if (j->ops[op].kind == HISTORY_POP && m->empty_at < from) found(j, HISTORY_WRONG_CLOSED, op, NONE);
    }
}

static void ends(struct moments *m, uint32_t op)
{
    struct judge *j = m->j;
    uint32_t value = j->value_of[op];

    if (j->ops[op].result != HISTORY_OK) judge_failure(m, op);
    m->done[op] = true;
    m->in_progress[HISTORY_MAX_THREADS]--;
    m->in_progress[j->ops[op].thread]--;
    if (value == NONE) return;
    if (j->ops[op].kind == HISTORY_POP) {
        m->ended++;
        return;
    }
    if (m->left[op] || gone(j, value)) return;
    m->inside[m->inside_to++] = op;
    m->inside_now++;
    if (j->rules->capacity != 0 && m->inside_now > j->rules->capacity) found(j, HISTORY_OVERFULL, op, NONE);
}

static void check_moments(struct judge *j)
{
    size_t n = 2 * (size_t)j->count;
    struct moments m = {.j = j, .empty_at = INT64_MIN, .forgiven_at = INT64_MIN, .full_at = INT64_MIN};

    m.left = need(j->count, sizeof *m.left);
    m.done = need(j->count, sizeof *m.done);
    m.inside = need(j->values, sizeof *m.inside);
    m.pushing = need(j->values, sizeof *m.pushing);
    m.popping = need(j->values, sizeof *m.popping);
    m.ended_then = need(j->values, sizeof *m.ended_then);
    for (size_t i = 0; i < n;) {
        int64_t time = (int64_t)(j->events[i].key >> 1);

        for (; i < n && j->events[i].key == (uint64_t)time * 2; i++)
            starts(&m, j->events[i].op);
        look(&m, time * 2);
        for (; i < n && j->events[i].key == (uint64_t)time * 2 + 1; i++)
            ends(&m, j->events[i].op);
        look(&m, time * 2 + 1);
    }
    free(m.left);
    free(m.done);
    free(m.inside);
    free(m.pushing);
    free(m.popping);
    free(m.ended_then);
}

/* ---- close ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void check_closed(struct judge *j)
{
    int64_t closing = NEVER, shut = NEVER, drained = NEVER;

    for (uint32_t i = 0; i < j->count; i++) {
        const struct history_op *o = &j->ops[i];

        if (o->kind == HISTORY_CLOSE) closing = earlier(closing, o->start);
        if (o->kind == HISTORY_CLOSE || o->result == HISTORY_IS_CLOSED) shut = earlier(shut, o->end);
        if (o->kind == HISTORY_POP && o->result == HISTORY_IS_CLOSED) drained = earlier(drained, o->end);
    }
    for (uint32_t i = 0; i < j->count; i++) {
        const struct history_op *o = &j->ops[i];
        bool wrong = (o->result == HISTORY_IS_CLOSED && o->end < closing) ||
                     (moved(o, HISTORY_PUSH) && o->start > shut) ||
                     (moved(o, HISTORY_POP) && o->start > drained);

        if (wrong) found(j, HISTORY_WRONG_CLOSED, i, NONE);
    }
}

/* ---- the whole ---- */

static void sort_events(struct judge *j)
{
    for (uint32_t i = 0; i < j->count; i++) {
        j->events[2 * i] = (struct keyed){(uint64_t)(j->ops[i].start - j->zero) * 2, i};
        j->events[2 * i + 1] = (struct keyed){(uint64_t)(j->ops[i].end - j->zero) * 2 + 1, i};
    }
    sort_keyed(j->events, j->spare, 2 * (size_t)j->count);
}

static void check_input(struct judge *j)
{
    j->zero = NEVER;
    for (uint32_t i = 0; i < j->count; i++)
        j->zero = earlier(j->zero, j->ops[i].start);
    for (uint32_t i = 0; i < j->count; i++) {
        const struct history_op *o = &j->ops[i];

        if (o->end < o->start || o->thread >= HISTORY_MAX_THREADS) found(j, HISTORY_UNUSABLE, i, NONE);
        j->verdict->empties += o->result == HISTORY_EMPTY;
        j->verdict->fulls += o->result == HISTORY_FULL;
        j->verdict->closed += o->result == HISTORY_IS_CLOSED;
    }
}

bool history_check(const struct history_op *ops, size_t count, const struct history_rules *rules,
                   struct history_verdict *ret_verdict)
{
    struct judge j = {.ops = ops, .count = (uint32_t)count, .rules = rules, .verdict = ret_verdict};

    if (count >= NONE / 2) abort();
    *ret_verdict = (struct history_verdict){.pushed = 0};
    j.push_of = need(count, sizeof *j.push_of);
    j.pop_of = need(count, sizeof *j.pop_of);
    j.value_of = need(count, sizeof *j.value_of);
    j.events = need(2 * count, sizeof *j.events);
    j.spare = need(2 * count, sizeof *j.spare);
    check_input(&j);
    if (ret_verdict->wrong[HISTORY_UNUSABLE] == 0) number_values(&j);
    if (ret_verdict->wrong[HISTORY_UNUSABLE] == 0) {
        sort_events(&j);
        check_order(&j);
        check_moments(&j);
        check_closed(&j);
    }
    free(j.push_of);
    free(j.pop_of);
    free(j.value_of);
    free(j.events);
    free(j.spare);
    return ret_verdict->first[0] == '\0';
}
