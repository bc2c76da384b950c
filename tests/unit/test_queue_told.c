/* SPDX-License-Identifier: MIT */
/* What queues tell without being asked: hooks, log lines, counters. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

static struct catcher seen;
static evb_sub *sub;

/* ---- the hook ---- */

static struct {
    EVB__ATOMIC(uint32_t) count; /* the rest is written before it is counted */
    int32_t kind, status, emit;
    char text[16], data[16];
} hooked;

static void hook(const evb_hook_info *info, void *user)
{
    EQ_PTR(user, &hooked);
    EQ_PTR(info->bus, kit.bus);
    hooked.kind = info->kind;
    hooked.status = info->status;
    (void)snprintf(hooked.text, sizeof hooked.text, "%s", info->text);
    if (info->event != NULL)
        (void)snprintf(hooked.data, sizeof hooked.data, "%.*s", (int)info->event->size,
                       (const char *)info->event->data);
    hooked.emit = evb_publish(kit.bus, "elsewhere", NULL, 0, NULL);
    (void)evb__add_acqrel(&hooked.count, 1); /* pairs with the test's look */
}

TEST(the_hook_hears_of_every_failed_attempt_and_may_not_publish)
{
    static const int32_t answers[] = {EVB_OK, EVB_NACK, EVB_EIO, -77};

    for (uint32_t i = 0; i < COUNT(answers); i++) {
        memset(&hooked, 0, sizeof hooked);
        catcher_reset(&seen);
        seen.answer = answers[i];
        kit_open_with(
            (evb_bus_opts){.workers = 1, .hook = hook, .hook_user = &hooked, .drain_timeout_ns = 1});
        sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .retry.max_attempts = 1});
        kit_put("a", "x");
        SOON(kit_settled(sub));
        EQ(evb__ld_acq(&hooked.count), i == 0 ? 0 : 1);
        if (i != 0) {
            EQ(hooked.kind, EVB_HOOK_ERROR);
            EQ(hooked.status, answers[i]);
            EQ_STR(hooked.text, "a");
            EQ_STR(hooked.data, "x");
            EQ(hooked.emit, EVB_ERECURSION);
        }
        kit_leave(sub);
        kit_close();
    }
}

/* ---- the log ---- */

static struct {
    pthread_mutex_t lock;
    uint32_t dead, dropped, stuck;
    char line[128]; /* of the last of these */
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note(int32_t level, const char *name, const char *line, void *user)
{
    (void)user;
    (void)pthread_mutex_lock(&logged.lock);
    if (strcmp(name, "message_dead_lettered") == 0) logged.dead++;
    if (strcmp(name, "messages_dropped") == 0) logged.dropped++;
    if (strcmp(name, "handler_stuck") == 0) logged.stuck++;
    (void)snprintf(logged.line, sizeof logged.line, "%s", line);
    (void)pthread_mutex_unlock(&logged.lock);
    EQ(level, EVB_LOG_WARN);
}

static void watch_log(void)
{
    logged.dead = logged.dropped = logged.stuck = 0;
    logged.line[0] = '\0';
    evb_set_log(note, NULL, EVB_LOG_WARN);
}

static uint32_t lines_of_stuck(void)
{
    uint32_t n;

    (void)pthread_mutex_lock(&logged.lock);
    n = logged.stuck;
    (void)pthread_mutex_unlock(&logged.lock);
    return n;
}

TEST(a_dead_letter_is_logged_with_the_name_of_its_subscription)
{
    watch_log();
    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.name = "billing"});
    kit_put("a", "x");
    OK(evb_reject(sub, kit_take(sub, "x"), 1, NULL));
    EQ(logged.dead, 1);
    CHECK(strstr(logged.line, "billing") != NULL);
    kit_leave(sub);
    kit_close();
}

TEST(what_overflow_drops_is_logged)
{
    watch_log();
    kit_open(1);
    sub = kit_sub(
        "a", (evb_sub_opts){.name = "lossy \"one\"", .capacity = 1, .overflow = EVB_OVERFLOW_DROP_OLDEST});
    kit_put("a", "1");
    EQ(logged.dropped, 0);
    kit_put("a", "2");
    EQ(logged.dropped, 1);
    CHECK(strstr(logged.line, "lossy") != NULL);
    kit_leave(sub);
    kit_close();
}

TEST(a_handler_that_runs_for_more_than_half_a_minute_is_told_once)
{
    struct gate gate = GATE_SHUT;

    watch_log();
    kit_open_by_hand_with(2);
    catcher_reset(&seen);
    seen.gate = &gate;
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .name = "slow"});
    kit_put("a", "x");
    gate_wait_held(&gate, 1);
    for (int i = 0; i < 14; i++) {
        kit_pass(2 * SECOND);
        EQ(lines_of_stuck(), 0); /* 28 s */
    }
    for (int i = 0; i < 20; i++)
        kit_pass(2 * SECOND);
    SOON(lines_of_stuck() == 1);
    CHECK(strstr(logged.line, "slow") != NULL);
    for (int i = 0; i < 30; i++)
        kit_pass(10 * SECOND);
    EQ(lines_of_stuck(), 1);
    EQ(assert_law(sub).in_flight, 1); /* it keeps its event */
    gate_open(&gate);
    SOON(kit_settled(sub));
    EQ(assert_law(sub).acked, 1);
    kit_leave(sub);
    kit_close();
}

TEST(handlers_that_return_in_time_are_not_told_however_long_they_go_on)
{
    watch_log();
    kit_open_by_hand_with(2);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen});
    for (uint32_t i = 0; i < 20; i++) {
        struct gate gate = GATE_SHUT;

        seen.gate = &gate;
        kit_put("a", "x");
        gate_wait_held(&gate, 1);
        kit_pass(12 * SECOND);
        gate_open(&gate);
        SOON(kit_settled(sub));
    }
    EQ(lines_of_stuck(), 0);
    kit_leave(sub);
    kit_close();
}

/* ---- counters ---- */

TEST(the_age_of_the_oldest_ready_event_is_told)
{
    uint64_t delivery;

    kit_open_by_hand();
    sub = kit_sub("a", (evb_sub_opts){0});
    EQ(assert_law(sub).oldest_age_ns, 0);
    kit_put("a", "1");
    evb_test_clock_advance(3 * SECOND);
    kit_put("a", "2");
    evb_test_clock_advance(SECOND);
    EQ(assert_law(sub).oldest_age_ns, 4 * SECOND);
    delivery = kit_take(sub, "1");
    EQ(assert_law(sub).oldest_age_ns, SECOND);
    OK(evb_release(sub, delivery));
    EQ(assert_law(sub).oldest_age_ns, 4 * SECOND); /* since it was published */
    EQ_STR(kit_rest(sub), "1 2");
    EQ(assert_law(sub).oldest_age_ns, 0);
    kit_leave(sub);
    kit_close();
}

TEST(counters_tell_what_has_become_of_each_attempt)
{
    evb_queue_stats s;
    uint64_t delivery;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 7, .retry.max_attempts = 3});
    for (int i = 0; i < 4; i++)
        kit_put("a", (const char *[]){"1", "2", "3", "4"}[i]);
    delivery = kit_take(sub, "1");
    OK(evb_ack(sub, delivery));
    FAILS(evb_ack(sub, delivery), EVB_ESTALE);
    OK(evb_nack(sub, kit_take(sub, "2"), 0));
    OK(evb_release(sub, kit_take(sub, "3")));
    OK(evb_reject(sub, kit_take(sub, "3"), 1, NULL));
    (void)kit_take(sub, "4");
    (void)kit_take(sub, "2");
    EQ(kit_put_with("a", "later", (evb_publish_opts){.delay_ns = HOUR}), 1);
    s = assert_law(sub);
    EQ(s.capacity, 7);
    EQ(s.enqueued, 5);
    EQ(s.acked, 1);
    EQ(s.dead_lettered, 1);
    EQ(s.ready, 0);
    EQ(s.delayed, 1);
    EQ(s.in_flight, 2);
    EQ(s.delivered, 6);
    EQ(s.redelivered, 1);
    EQ(s.nacked, 1);
    EQ(s.released, 1);
    EQ(s.stale, 1);
    EQ(s.dlq_depth, 1);
    EQ(s.lag, 0);
    EQ(s.expired + s.dropped + s.conflated + s.purged + s.discarded, 0);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hook_hears_of_every_failed_attempt_and_may_not_publish),
        cmocka_unit_test(a_dead_letter_is_logged_with_the_name_of_its_subscription),
        cmocka_unit_test(what_overflow_drops_is_logged),
        cmocka_unit_test(a_handler_that_runs_for_more_than_half_a_minute_is_told_once),
        cmocka_unit_test(handlers_that_return_in_time_are_not_told_however_long_they_go_on),
        cmocka_unit_test(the_age_of_the_oldest_ready_event_is_told),
        cmocka_unit_test(counters_tell_what_has_become_of_each_attempt),
    };
    return EVB_TEST_MAIN("queue_told", tests, argc, argv);
}
