/* SPDX-License-Identifier: MIT */
/* Requests from many threads at once: to workers, to one who pulls, to a listener; against time, against
 * each other, against the end of the bus. Every requester gets his own reply, once, or a reason. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "request_kit.h"

#define SCALE(n)   (EVB__TSAN ? (n) / 8 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define LONG(n)    (getenv("EVB_TEST_LONG") != NULL ? 20 * (n) : (n))
#define REQUESTERS 8u
#define REQUESTS   LONG(SCALE(2000u))
#define ROUNDS     LONG(SCALE(300u))

static EVB__ATOMIC(uint32_t) replied, stale, got, timed_out, over;

static void reset(void)
{
    evb__st_rlx(&replied, 0);
    evb__st_rlx(&stale, 0);
    evb__st_rlx(&got, 0);
    evb__st_rlx(&timed_out, 0);
    evb__st_rlx(&over, 0);
}

/* The number asked for, and one more; relaxed, here and below: counts for the end. */
static void reply_to(const evb_event *ev)
{
    uint64_t number;
    int32_t status;

    memcpy(&number, ev->data, sizeof number);
    number++;
    status = evb_reply(ev, &number, sizeof number);
    if (status == EVB_OK)
        (void)evb__add_rlx(&replied, 1);
    else if (status == EVB_ESTALE)
        (void)evb__add_rlx(&stale, 1);
    else
        OK(status);
}

static int32_t answer(const evb_event *ev, void *user)
{
    (void)user;
    reply_to(ev);
    return EVB_OK;
}

static int32_t ask(const char *topic, uint64_t number, int64_t timeout_ns)
{
    const evb_event *reply = NULL;
    int32_t status = evb_request(kit.bus, topic, &number, sizeof number, timeout_ns, &reply);

    if (status != EVB_OK) return status;
    number++;
    EQ(reply->size, sizeof number);
    EQ_MEM(reply->data, &number, sizeof number);
    evb_event_release(reply);
    (void)evb__add_rlx(&got, 1);
    return EVB_OK;
}

/* Pulls, replies and acknowledges until the bus is drained. */
static void serve(evb_sub *sub)
{
    const evb_event *ev;
    uint64_t delivery;
    int32_t rc;

    while ((rc = evb_sub_next(sub, EVB_FOREVER, &delivery, &ev)) == EVB_OK) {
        reply_to(ev);
        OK(evb_ack(sub, delivery));
    }
    FAILS(rc, EVB_ECLOSED);
}

/* ---- everybody gets his own ---- */

static evb_sub *pulled;

static void ask_or_serve(uint32_t index, void *arg)
{
    static const char *const topics[] = {"worker", "pulled", "listener"};

    (void)arg;
    if (index == REQUESTERS) {
        serve(pulled);
        return;
    }
    for (uint32_t i = 0; i < REQUESTS; i++)
        OK(ask(topics[(index + i) % 3], (uint64_t)index << 32 | i, EVB_FOREVER));
    if (evb__add_rlx(&over, 1) + 1 == REQUESTERS) OK(evb_bus_drain(kit.bus, EVB_FOREVER));
}

TEST(many_requesters_each_get_their_own_replies)
{
    evb_sub *worked;

    reset();
    kit_open(2);
    worked = kit_sub("worker", (evb_sub_opts){.handler = answer, .concurrency = 4});
    pulled = kit_sub("pulled", (evb_sub_opts){0});
    ID(evb_on(kit.bus, "listener", answer, NULL));
    evb_test_run_threads(REQUESTERS + 1, ask_or_serve, NULL);
    EQ(evb__ld_rlx(&got), REQUESTERS * REQUESTS);
    EQ(evb__ld_rlx(&replied), REQUESTERS * REQUESTS);
    EQ(late_replies(), 0);
    kit_leave(worked);
    kit_leave(pulled);
    kit_close();
}

/* ---- against time ---- */

static void ask_in_a_hurry(uint32_t index, void *arg)
{
    struct evb__rng rng;

    (void)arg;
    evb__rng_init(&rng, evb_test_seed() + index);
    for (uint32_t i = 0; i < REQUESTS / 4; i++) {
        int32_t status = ask("worker", i, 1 + (int64_t)evb__rng_below(&rng, UINT64_C(1) << (i % 18)));

        if (status == EVB_ETIMEDOUT)
            (void)evb__add_rlx(&timed_out, 1);
        else
            OK(status);
    }
}

TEST(a_reply_is_either_received_or_stale_however_close_the_time)
{
    evb_sub *worked;

    reset();
    kit_open(2);
    worked = kit_sub(
        "worker",
        (evb_sub_opts){.handler = answer, .concurrency = 2, .capacity = 16, .overflow = EVB_OVERFLOW_BLOCK});
    evb_test_run_threads(4, ask_in_a_hurry, NULL);
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    EQ(evb__ld_rlx(&got) + evb__ld_rlx(&timed_out), 4 * (REQUESTS / 4));
    EQ(evb__ld_rlx(&got), evb__ld_rlx(&replied));
    EQ(late_replies(), evb__ld_rlx(&stale));
    kit_leave(worked);
    kit_close();
}

/* ---- against each other ---- */

static struct evb_test_line line;

static void reply_at_once(uint32_t index, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (index == 0) {
            OK(ask("kept", i, EVB_FOREVER));
            evb_test_line_wait(&line);
            drop_kept();
        } else {
            const evb_event *ev;

            evb_test_line_wait(&line);
            ev = kept(); /* written before the line, by the listener */
            reply_to(ev);
            evb_test_line_wait(&line);
        }
        evb_test_line_wait(&line);
    }
}

static int32_t keep_and_let_go(const evb_event *ev, void *user)
{
    int32_t status = keep_it(ev, user);

    evb_test_line_wait(&line);
    return status;
}

TEST(of_many_who_reply_at_the_same_time_one_wins)
{
    reset();
    kit_open(1);
    evb_test_line_init(&line, 4);
    ID(evb_on(kit.bus, "kept", keep_and_let_go, NULL));
    evb_test_run_threads(4, reply_at_once, NULL);
    EQ(evb__ld_rlx(&replied), ROUNDS);
    EQ(evb__ld_rlx(&stale), 2 * ROUNDS);
    EQ(late_replies(), 2 * ROUNDS);
    evb_test_line_destroy(&line);
    kit_close();
}

/* ---- against the end ---- */

static uint32_t delay;

/* A moment that is another one each time. */
static void choose_a_while(void)
{
    struct evb__rng *rng = evb_test_rng();

    delay = (uint32_t)evb__rng_below(rng, UINT64_C(1) << evb__rng_below(rng, 16));
}

static void wait_a_while(void)
{
    for (uint32_t i = 0; i < delay; i++)
        evb__compiler_barrier();
}

static void ask_until_the_end(uint32_t index, void *arg)
{
    int32_t status;

    (void)arg;
    if (index == 0) {
        serve(pulled);
        return;
    }
    if (index == 1) {
        wait_a_while();
        OK(evb_bus_drain(kit.bus, EVB_FOREVER));
        return;
    }
    do
        status = ask(index % 2 != 0 ? "pulled" : "worker", index, EVB_FOREVER);
    while (status == EVB_OK);
    FAILS(status, EVB_ECLOSED);
}

TEST(a_drain_at_any_moment_leaves_nobody_waiting_and_loses_no_reply)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        evb_sub *worked;

        reset();
        choose_a_while();
        kit_open(1);
        worked = kit_sub("worker", (evb_sub_opts){.handler = answer});
        pulled = kit_sub("pulled", (evb_sub_opts){0});
        evb_test_run_threads(5, ask_until_the_end, NULL);
        EQ(evb__ld_rlx(&got), evb__ld_rlx(&replied));
        EQ(evb__ld_rlx(&stale), 0); /* what was accepted was handled before the end */
        kit_leave(worked);
        kit_leave(pulled);
        kit_close();
    }
}

static int32_t reply_status;

static void reply_or_destroy(uint32_t index, void *arg)
{
    (void)arg;
    wait_a_while();
    if (index == 0)
        reply_status = evb_reply(kept(), "reply", 5);
    else
        evb_bus_destroy(kit.bus);
}

TEST(of_a_reply_and_the_end_of_the_bus_one_wins)
{
    for (uint32_t i = 0; i < ROUNDS / 4; i++) {
        struct asked a;

        choose_a_while();
        kit_open(1);
        ID(evb_on(kit.bus, "q", keep_it, NULL));
        asked_begin(&a, "q", "x", EVB_FOREVER);
        evb_test_run_threads(2, reply_or_destroy, NULL);
        kit.bus = NULL;
        if (reply_status == EVB_OK) {
            asked_ends(&a, EVB_OK, "reply");
        } else {
            CHECK(reply_status == EVB_ESTALE || reply_status == EVB_ECLOSED);
            asked_ends(&a, EVB_ECLOSED, NULL);
        }
        drop_kept();
        kit_close();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_requesters_each_get_their_own_replies),
        cmocka_unit_test(a_reply_is_either_received_or_stale_however_close_the_time),
        cmocka_unit_test(of_many_who_reply_at_the_same_time_one_wins),
        cmocka_unit_test(a_drain_at_any_moment_leaves_nobody_waiting_and_loses_no_reply),
        cmocka_unit_test(of_a_reply_and_the_end_of_the_bus_one_wins),
    };
    return EVB_TEST_MAIN("request_threads", tests, argc, argv);
}
