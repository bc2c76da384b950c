/* SPDX-License-Identifier: MIT */
/* A round: a bus, a random program, an end. Each operation has a random generator of its own, so that
 * leaving one out leaves the others nearly as they were: that is how a failing program is made short.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "evb_test.h"
#include "executor.h"
#include "topic_oracle.h"

/* ---- operations ---- */

static void do_step(void)
{
    uint32_t n = 1 + below(4);

    for (uint32_t i = 0; i < n && !wrong(); i++) {
        note("step, of %u", executor_ready());
        if (!executor_step()) return;
        w.total.steps++;
    }
}

static void do_run_all(void)
{
    note("runs all");
    while (!wrong() && executor_step())
        w.total.steps++;
}

static void do_time(void)
{
    int64_t next = executor_next_alarm(), now = executor_now(), by = 1 + (int64_t)below(5000000);

    if (one_in(2) && next != INT64_MAX && next > now) by = next - now + (int64_t)below(3) - 1;
    if (one_in(12)) by = (int64_t)below(one_in(3) ? 2 * ID_SECONDS : 40) * SECOND;
    note("time goes on by %lld", (long long)by);
    executor_advance(by);
}

static const struct {
    void (*fn)(void);
    uint32_t weight, inside; /* at the top; in a callback */
} operations[] = {
    {do_publish, 26, 22}, {do_publish_many, 6, 4}, {do_next, 12, 8},  {do_settle, 16, 16}, {do_take, 4, 4},
    {do_burst, 1, 0},     {do_dispatch, 5, 1},     {do_step, 14, 12}, {do_run_all, 3, 0},  {do_time, 10, 4},
    {do_subscribe, 5, 2}, {do_unsubscribe, 2, 3},  {do_pause, 5, 5},  {do_purge, 1, 1},    {do_letters, 4, 3},
    {do_redrive, 3, 3},   {do_descriptor, 3, 2},   {do_forget, 3, 2}, {do_refused, 1, 1},  {look, 2, 2},
    {do_skip_key, 2, 1},
};

static void operation(void)
{
    uint32_t sum = 0, pick;

    for (uint32_t i = 0; i < COUNT(operations); i++)
        sum += w.depth != 0 ? operations[i].inside : operations[i].weight;
    pick = below(sum);
    for (uint32_t i = 0; i < COUNT(operations); i++) {
        uint32_t weight = w.depth != 0 ? operations[i].inside : operations[i].weight;

        if (pick < weight) {
            operations[i].fn();
            break;
        }
        pick -= weight;
    }
    executor_advance(1 + (int64_t)below(3)); /* no two things are due at the same time */
    w.total.operations++;
    w.total.nested += w.depth != 0;
}

void act(uint32_t most)
{
    uint32_t n = 1 + below(most);

    if (w.ending || w.depth > 4) return;
    for (uint32_t i = 0; i < n && w.budget != 0 && !wrong(); i++) {
        w.budget--;
        operation();
    }
}

/* ---- sleeping ---- */

/* A worker looks whether others need it: what another thread might do now. */
static void on_look(const struct evb__runnable *runnable)
{
    if (w.budget == 0 || wrong() || w.ending || w.gone || !one_in(8) || is_locked(runnable)) return;
    note("meanwhile");
    act(2);
}

static void on_sleep(void)
{
    if (w.frame != NULL) w.frame->again = w.frame->slept = true;
    w.slept = w.sleeper >= 0;
    if (w.sleeper >= 0) fall_due(queue_of(&w.member[w.sleeper]), executor_now());
}

static void on_stuck(void)
{
    differs("a call sleeps for ever");
    fprintf(stderr, "round 0x%llx: %s\n", (unsigned long long)w.seed, what_differs());
    notes_print();
}

/* ---- begin ---- */

static void silent(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)name;
    (void)line;
    (void)user;
}

static void match_names(void)
{
    for (uint32_t p = 0; p < PATTERNS; p++)
        for (uint32_t t = 0; t < TOPICS; t++)
            w.matches[p][t] = topic_oracle_matches(EVB_TOPICS_DOT, pattern_names[p], topic_names[t]) == 1;
}

static void begin_round(uint64_t seed)
{
    evb_bus_opts opts = {.drain_timeout_ns = 5 * MS};

    notes_begin();
    memset(&w, 0, offsetof(struct world, total));
    w.seed = seed;
    w.sleeper = -1;
    evb__rng_init(&w.rng, seed);
    executor_begin(seed);
    executor_on_alarm = on_alarm;
    executor_rank = rank;
    executor_on_hand_out = on_hand_out;
    executor_on_look = on_look;
    executor_on_sleep = on_sleep;
    executor_stuck = on_stuck;
    evb_set_log(silent, NULL, EVB_LOG_WARN);
    match_names();
    w.look_odds = one_in(2) ? 1 : 3 + below(12);
    w.id_window = opts.dedup_window = 1 + below(IDS - 1);
    w.keys = one_in(8) ? KEYS : 1 + below(FEW_KEYS);
    w.key_odds = 1 + below(4);
    w.fail_odds = one_in(2) ? 3 : 50;
    if (one_in(2)) {
        if (evb_pool_create(NULL, &w.pool) != EVB_OK) differs("no pool");
        opts.pool = w.pool;
    }
    if (evb_bus_create(&opts, &w.bus) != EVB_OK) differs("no bus");
    w.listeners = below(LISTENERS + 1);
    for (uint32_t l = 0; l < w.listeners && !wrong(); l++) {
        w.listener[l].pattern = below(PATTERNS);
        w.listener[l].id = evb_on(w.bus, pattern_names[w.listener[l].pattern], on_listener, &w.listener[l]);
        if (w.listener[l].id <= 0) differs("no listener");
    }
    for (uint32_t t = 0; t < TOPICS && !wrong(); t++) /* the others are matched anew each time */
        if (one_in(2) && evb_topic_open(w.bus, topic_names[t], &w.topic[t]) != EVB_OK) differs("no topic");
}

/* ---- end ---- */

static void leave_all(void)
{
    for (uint32_t i = 0; i < w.members && !wrong(); i++)
        (void)leave_member((int)i);
}

static void settle_all_open(void)
{
    for (uint32_t i = 0; i < w.members; i++) {
        struct member *m = &w.member[i];
        struct queue *q = queue_of(m);

        for (uint32_t k = 0; m->handle && q->live && k < ITEMS; k++) {
            if (q->item[k].state == FREE_ITEM || !q->item[k].open) continue;
            want("the last evb_ack", evb_ack(m->sub, q->item[k].number), EVB_OK);
            settle(q, &q->item[k], &(struct settling){.result = EVB_OK});
        }
    }
}

static uint32_t all_undone(void)
{
    uint32_t n = 0;

    for (uint32_t q = 0; q < w.queues; q++)
        if (w.queue[q].live) n += undone(&w.queue[q]);
    return n;
}

/* Refuses from now on; what is there goes its way, and then the pullers hear that it is over. */
static void drain(uint32_t steps)
{
    int32_t answer;
    int64_t begun;
    uint32_t left = all_undone();

    w.draining = true;
    note("drain begins");
    answer = evb_bus_drain(w.bus, 0);
    want("evb_bus_drain(0)", answer, left != 0 ? EVB_EAGAIN : EVB_OK);
    for (uint32_t i = 0; i < steps && !wrong(); i++) {
        w.budget = 12;
        operation();
    }
    if (wrong()) return;
    w.budget = 12;
    settle_all_open();
    note("drain");
    begun = executor_now();
    answer = evb_bus_drain(w.bus, 1000 * SECOND);
    if (!wrong() && answer == EVB_OK && executor_now() - begun >= 1000 * SECOND)
        differs("nobody has told evb_bus_drain that all is done");
    if (!wrong()) want("evb_bus_drain", answer, all_undone() != 0 ? EVB_ETIMEDOUT : EVB_OK);
    note("= %s", status(answer));
}

/* The user ends his pool under the bus: what is ready stays, and everything else goes on. */
static void end_pool(void)
{
    uint32_t mode = one_in(2) ? EVB_DRAIN : EVB_DISCARD;

    note("shuts the pool down, %s", mode == EVB_DRAIN ? "drain" : "discard");
    w.budget = 12;
    want("evb_pool_shutdown", evb_pool_shutdown(w.pool, mode, EVB_FOREVER), EVB_OK);
    w.pool_ended = true;
    w.budget = 0;
    for (uint32_t i = 0; i < 8 && !wrong(); i++) {
        do_publish();
        if (one_in(3)) do_purge();
        if (!wrong()) look();
    }
    if (!wrong() && one_in(2)) leave_all();
}

/* What a member has open it may read until it gives its handle back. */
static void check_open_events(int member)
{
    const struct queue *q = queue_of(&w.member[member]);

    for (uint32_t i = 0; i < ITEMS; i++)
        if (q->item[i].state != FREE_ITEM && q->item[i].open && q->item[i].member == member)
            (void)check_event(q->item[i].event, q->item[i].message, "an open delivery of a bus that is gone");
}

static void check_gone(void)
{
    uint64_t number;
    const evb_event *ev;
    evb_queue_stats s = {.struct_size = sizeof s};

    for (uint32_t i = 0; i < w.members; i++) {
        struct member *m = &w.member[i];

        if (!m->handle) continue;
        check_open_events((int)i);
        want("next of a bus that is gone", evb_sub_next(m->sub, 0, &number, &ev), EVB_ECLOSED);
        want("ack of a bus that is gone", evb_ack(m->sub, 1), EVB_ECLOSED);
        want("purge of a bus that is gone", evb_sub_purge(m->sub), EVB_ECLOSED);
        want("stats of a bus that is gone", evb_sub_stats(m->sub, &s), EVB_ECLOSED);
        want("a key of a bus that is gone", evb_sub_skip_key(m->sub, "k1", 2), EVB_ECLOSED);
        want("letters of a bus that is gone", evb_dlq_count(m->sub), EVB_ECLOSED);
    }
    for (uint32_t t = 0; t < TOPICS; t++)
        if (w.topic[t] != NULL)
            want("an emit of a bus that is gone", evb_topic_emit(w.topic[t], "x", 1), EVB_ECLOSED);
}

static void destroy(void)
{
    note("destroy");
    w.ending = true;
    w.draining = true;
    w.gone = true;
    evb_bus_destroy(w.bus);
}

static int32_t destroy_inside(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    destroy();
    return EVB_OK;
}

static void end_round(void)
{
    uint32_t way = below(w.pool != NULL ? 6 : 5);

    w.budget = 20;
    if (way == 0) {
        leave_all();
        do_run_all();
        if (!wrong()) look_quietly();
    } else if (way == 1 || way == 2) {
        drain(below(30));
        if (way == 1 && !wrong()) leave_all();
    }
    if (way == 5) end_pool();
    if (wrong()) return;
    if (way == 3 && evb_on(w.bus, "d", destroy_inside, NULL) > 0) {
        w.ending = true;
        (void)evb_publish(w.bus, "d", "x", 1, &(evb_publish_opts){.flags = EVB_NOWAIT});
    }
    if (!w.gone) destroy();
}

static void clean_up(void)
{
    if (!w.gone) {
        w.ending = w.gone = true; /* it has failed: as much as possible goes */
        evb_bus_destroy(w.bus);
    } else {
        check_gone();
    }
    for (uint32_t i = 0; i < w.members; i++)
        if (w.member[i].handle) {
            w.member[i].handle = false;
            (void)evb_unsubscribe(w.member[i].sub);
        }
    for (uint32_t t = 0; t < TOPICS; t++)
        evb_topic_close(w.topic[t]);
    if (w.pool != NULL) evb_pool_destroy(w.pool);
    for (uint32_t n = 0; n < 10000 && executor_step(); n++) {
    }
    w.lapses = 0;
    for (uint32_t i = 0; i < KEPT; i++)
        do_forget();
    for (uint32_t i = 0; i < KEPT; i++)
        if (w.kept[i].event != NULL) evb_event_release(w.kept[i].event);
    for (uint32_t i = 0; i < w.members && !wrong(); i++)
        if (w.member[i].freed != w.member[i].gives_back)
            differs("free_user of member %u ran %u times", i, w.member[i].freed);
    if (!wrong() && executor_left() != NULL) differs("in the end there is still %s", executor_left());
}

/* ---- a round ---- */

bool run_round(uint64_t seed, uint32_t steps, const bool *skip, uint32_t *ret_done)
{
    int64_t blocks = evb_test_alloc_live();
    uint32_t done = 0;

    begin_round(seed);
    for (; done < steps && !wrong(); done++) {
        evb__rng_init(&w.rng, seed ^ (done + UINT64_C(1)) * UINT64_C(0x9E3779B97F4A7C15));
        executor_reseed(evb__rng_next(&w.rng));
        if (skip != NULL && skip[done]) continue;
        w.budget = 12;
        operation();
        if (!wrong()) look_quietly();
        if (!wrong() && one_in(w.look_odds)) look();
    }
    evb__rng_init(&w.rng, ~seed);
    if (!wrong()) end_round();
    clean_up();
    w.total.rounds++;
    if (!wrong() && w.total.rounds > 1 && evb_test_alloc_live() != blocks)
        differs("%lld blocks of memory are left", (long long)(evb_test_alloc_live() - blocks));
    if (!wrong()) executor_end();
    *ret_done = done;
    return !wrong();
}
