/* SPDX-License-Identifier: MIT */
/* Full queues with EVB_OVERFLOW_BLOCK: who waits, for how long, and what wakes him. */
#include "queue_kit.h"

#include <string.h>

static struct catcher seen;
static evb_sub *sub, *other;

static void open_full(uint32_t capacity)
{
    kit_open(2);
    catcher_reset(&seen);
    sub =
        kit_sub("a", (evb_sub_opts){.capacity = capacity, .overflow = EVB_OVERFLOW_BLOCK, .name = "narrow"});
    for (uint32_t i = 0; i < capacity; i++)
        kit_put("a", "first");
}

struct blocked {
    struct sleeper sleeper;
    const char *text;
    int64_t timeout_ns;
    int32_t answer;
};

static void publish(void *arg)
{
    struct blocked *b = arg;

    b->answer = kit_put_with("a", b->text, (evb_publish_opts){.timeout_ns = b->timeout_ns});
}

/* A publisher that waits, as far as can be seen from outside. */
static void block(struct blocked *b, const char *text)
{
    b->text = text;
    b->timeout_ns = 0;
    sleeper_start(&b->sleeper, publish, b);
    CHECK(!sleeper_is_over(&b->sleeper));
}

static void answers(struct blocked *b, int32_t answer)
{
    sleeper_join(&b->sleeper);
    EQ(b->answer, answer);
}

/* ---- not waiting ---- */

TEST(with_nowait_a_full_blocking_queue_refuses)
{
    char refused[16] = "x";

    open_full(2);
    FAILS(
        kit_put_with("a", "no",
                     (evb_publish_opts){
                         .flags = EVB_NOWAIT, .timeout_ns = HOUR, .ret_refused = refused, .refused_cap = 16}),
        EVB_EFULL);
    EQ_STR(refused, "narrow");
    EQ(assert_law(sub).enqueued, 2);
    EQ_STR(kit_rest(sub), "first first");
    EQ(kit_put_with("a", "yes", (evb_publish_opts){.flags = EVB_NOWAIT}), 1);
    kit_leave(sub);
    kit_close();
}

TEST(a_publisher_that_has_waited_long_enough_has_done_nothing)
{
    char refused[16] = "x";

    open_full(1);
    other = kit_sub("*", (evb_sub_opts){.capacity = 1});
    FAILS(kit_put_with("a", "no",
                       (evb_publish_opts){.timeout_ns = 20 * MS, .ret_refused = refused, .refused_cap = 16}),
          EVB_ETIMEDOUT);
    EQ_STR(refused, "narrow");
    EQ(assert_law(sub).enqueued, 1);
    EQ(assert_law(other).enqueued, 0);
    EQ(kit_try("b", "the other one has its room again"), 1);
    kit_leave(other);
    kit_leave(sub);
    kit_close();
}

TEST(a_queue_with_room_is_not_waited_for)
{
    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    EQ(kit_put_with("a", "1", (evb_publish_opts){.timeout_ns = 1}), 1);
    FAILS(kit_put_with("a", "2", (evb_publish_opts){.timeout_ns = 1}), EVB_ETIMEDOUT);
    EQ_STR(kit_rest(sub), "1");
    EQ(kit_put_with("a", "3", (evb_publish_opts){.timeout_ns = 1}), 1);
    kit_leave(sub);
    kit_close();
}

static int32_t publish_inside(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    FAILS(kit_try("a", "inside"), EVB_EDEADLK);
    FAILS(kit_put_with("a", "inside", (evb_publish_opts){.timeout_ns = HOUR}), EVB_EDEADLK);
    FAILS(evb_emit(kit.bus, "a", "inside", 6), EVB_EDEADLK);
    FAILS(kit_put_with("a", "inside", (evb_publish_opts){.flags = EVB_NOWAIT}), EVB_EFULL);
    return EVB_OK;
}

static int32_t filter_inside(const evb_event *ev, void *user)
{
    (void)publish_inside(ev, user);
    return 1;
}

TEST(inside_a_callback_nobody_waits)
{
    open_full(1);
    (void)ID(evb_on(kit.bus, "listener", publish_inside, &seen));
    EQ(kit_try("listener", "x"), 1);
    other = kit_sub("handler", (evb_sub_opts){.handler = publish_inside, .user = &seen});
    kit_put("handler", "x");
    SOON(kit_settled(other));
    kit_leave(other);
    other = kit_sub("filter", (evb_sub_opts){.filter = filter_inside, .user = &seen});
    kit_put("filter", "x");
    kit_leave(other);
    EQ(catcher_count(&seen), 3);
    EQ(assert_law(sub).enqueued, 1);
    kit_leave(sub);
    kit_close();
}

static int32_t fill_own(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    if (!kit_is(ev, "first")) return EVB_OK;
    EQ(kit_try("a", "second"), 1);
    FAILS(kit_try("a", "third"), EVB_EDEADLK);
    return EVB_OK;
}

TEST(a_handler_that_would_wait_for_its_own_queue_is_told_so)
{
    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub(
        "a",
        (evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_BLOCK, .handler = fill_own, .user = &seen});
    kit_put("a", "first");
    catcher_wait(&seen, 2);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "first second");
    kit_leave(sub);
    kit_close();
}

/* ---- what wakes ---- */

TEST(an_ack_lets_a_blocked_publisher_go_on)
{
    struct blocked b;

    open_full(1);
    block(&b, "second");
    EQ(assert_law(sub).enqueued, 1);
    OK(evb_ack(sub, kit_take(sub, "first")));
    answers(&b, 1);
    EQ_STR(kit_rest(sub), "second");
    kit_leave(sub);
    kit_close();
}

TEST(handing_out_alone_makes_no_room)
{
    struct blocked b;
    uint64_t delivery;

    open_full(1);
    delivery = kit_take(sub, "first");
    block(&b, "second");
    OK(evb_release(sub, delivery));
    delivery = kit_take(sub, "first");
    CHECK(!sleeper_is_over(&b.sleeper));
    EQ(assert_law(sub).enqueued, 1);
    OK(evb_reject(sub, delivery, 0, NULL));
    answers(&b, 1);
    EQ_STR(kit_rest(sub), "second");
    kit_leave(sub);
    kit_close();
}

TEST(a_purge_lets_blocked_publishers_go_on)
{
    struct blocked b[3];

    open_full(3);
    for (int i = 0; i < 3; i++)
        block(&b[i], "second");
    EQ(evb_sub_purge(sub), 3);
    for (int i = 0; i < 3; i++)
        answers(&b[i], 1);
    EQ_STR(kit_rest(sub), "second second second");
    kit_leave(sub);
    kit_close();
}

TEST(each_room_is_for_one_of_the_blocked_publishers)
{
    struct blocked b[4];
    const evb_event *ev;

    open_full(1);
    for (int i = 0; i < 4; i++)
        block(&b[i], "later");
    OK(evb_ack(sub, kit_take(sub, "first")));
    for (int i = 0; i < 4; i++)
        OK(evb_ack(sub, kit_take_soon(sub, "later", &ev)));
    for (int i = 0; i < 4; i++)
        answers(&b[i], 1);
    kit_none(sub);
    EQ(assert_law(sub).enqueued, 5);
    kit_leave(sub);
    kit_close();
}

TEST(a_handler_that_returns_lets_a_blocked_publisher_go_on)
{
    struct gate gate = GATE_SHUT;
    struct blocked b;

    kit_open(1);
    catcher_reset(&seen);
    seen.gate = &gate;
    sub = kit_sub(
        "a",
        (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK, .handler = catch_event, .user = &seen});
    kit_put("a", "first");
    gate_wait_held(&gate, 1);
    block(&b, "second");
    gate_open(&gate);
    answers(&b, 1);
    catcher_wait(&seen, 2);
    kit_leave(sub);
    kit_close();
}

TEST(a_publisher_blocked_by_one_queue_holds_no_room_in_another)
{
    struct blocked b;

    open_full(1);
    other = kit_sub("*", (evb_sub_opts){.capacity = 1});
    block(&b, "both");
    EQ(kit_try("b", "meanwhile"), 1); /* EVB_EFULL if the blocked one sat on that room */
    EQ_STR(kit_rest(other), "meanwhile");
    OK(evb_ack(sub, kit_take(sub, "first")));
    answers(&b, 2);
    EQ_STR(kit_rest(sub), "both");
    EQ_STR(kit_rest(other), "both");
    kit_leave(other);
    kit_leave(sub);
    kit_close();
}

TEST(a_publisher_that_starts_again_may_find_another_queue_full)
{
    struct blocked b;

    open_full(1);
    other = kit_sub("*", (evb_sub_opts){.capacity = 1});
    block(&b, "both");
    EQ(kit_try("b", "meanwhile"), 1);
    OK(evb_ack(sub, kit_take(sub, "first")));
    answers(&b, EVB_EFULL);
    EQ_STR(kit_rest(sub), "");
    EQ_STR(kit_rest(other), "meanwhile");
    EQ(assert_law(sub).enqueued, 1);
    kit_leave(other);
    kit_leave(sub);
    kit_close();
}

TEST(two_blocking_queues_are_waited_for_one_after_the_other)
{
    struct blocked b;

    open_full(1);
    other = kit_sub("*", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    kit_put("b", "full too");
    block(&b, "both");
    OK(evb_ack(sub, kit_take(sub, "first")));
    CHECK(!sleeper_is_over(&b.sleeper));
    EQ(assert_law(sub).enqueued, 1);
    OK(evb_ack(other, kit_take(other, "full too")));
    answers(&b, 2);
    EQ_STR(kit_rest(sub), "both");
    EQ_STR(kit_rest(other), "both");
    kit_leave(other);
    kit_leave(sub);
    kit_close();
}

TEST(the_last_member_that_leaves_lets_blocked_publishers_go)
{
    struct blocked b[2];

    open_full(1);
    for (int i = 0; i < 2; i++)
        block(&b[i], "nobody");
    kit_leave(sub);
    for (int i = 0; i < 2; i++)
        answers(&b[i], 0);
    kit_close();
}

TEST(a_drain_answers_blocked_publishers_that_it_is_closed)
{
    struct blocked b[2];

    open_full(1);
    for (int i = 0; i < 2; i++)
        block(&b[i], "closed");
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    for (int i = 0; i < 2; i++)
        answers(&b[i], EVB_ECLOSED);
    EQ(assert_law(sub).enqueued, 1);
    OK(evb_ack(sub, kit_take(sub, "first")));
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    kit_leave(sub);
    kit_close();
}

TEST(bytes_that_are_given_back_let_a_blocked_publisher_go_on)
{
    static const char bytes[90];
    struct blocked b;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity_bytes = 100, .overflow = EVB_OVERFLOW_BLOCK});
    EQ(evb_publish(kit.bus, "a", bytes, 90, NULL), 1);
    kit_put("a", "tiny");
    block(&b, "seven b");
    {
        const evb_event *ev;
        uint64_t delivery;

        OK(evb_sub_next(sub, 0, &delivery, &ev));
        EQ(ev->size, 90);
        OK(evb_ack(sub, delivery));
    }
    answers(&b, 1);
    EQ_STR(kit_rest(sub), "tiny seven b");
    kit_leave(sub);
    kit_close();
}

/* ---- many ---- */

#define PUBLISHERS 3u
#define EACH       300u

static void publish_each(uint32_t index, void *arg)
{
    (void)arg;
    (void)index;
    for (uint32_t i = 0; i < EACH; i++)
        EQ(kit_try(i % 2 ? "a" : "b", "x"), 2);
}

TEST(publishers_that_block_on_several_small_queues_lose_nothing_and_come_to_an_end)
{
    evb_sub *subs[3];

    kit_open(2);
    catcher_reset(&seen);
    for (uint32_t i = 0; i < 3; i++) {
        subs[i] = kit_sub((const char *[]){"a", "b", "*"}[i], (evb_sub_opts){.capacity = 1 + i,
                                                                             .overflow = EVB_OVERFLOW_BLOCK,
                                                                             .handler = catch_event,
                                                                             .user = &seen,
                                                                             .concurrency = 1 + i});
    }
    evb_test_run_threads(PUBLISHERS, publish_each, NULL);
    for (int i = 0; i < 3; i++)
        SOON(kit_settled(subs[i]));
    EQ(assert_law(subs[0]).acked, PUBLISHERS * EACH / 2);
    EQ(assert_law(subs[1]).acked, PUBLISHERS * EACH / 2);
    EQ(assert_law(subs[2]).acked, PUBLISHERS * EACH);
    for (int i = 0; i < 3; i++)
        kit_leave(subs[i]);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_nowait_a_full_blocking_queue_refuses),
        cmocka_unit_test(a_publisher_that_has_waited_long_enough_has_done_nothing),
        cmocka_unit_test(a_queue_with_room_is_not_waited_for),
        cmocka_unit_test(inside_a_callback_nobody_waits),
        cmocka_unit_test(a_handler_that_would_wait_for_its_own_queue_is_told_so),
        cmocka_unit_test(an_ack_lets_a_blocked_publisher_go_on),
        cmocka_unit_test(handing_out_alone_makes_no_room),
        cmocka_unit_test(a_purge_lets_blocked_publishers_go_on),
        cmocka_unit_test(each_room_is_for_one_of_the_blocked_publishers),
        cmocka_unit_test(a_handler_that_returns_lets_a_blocked_publisher_go_on),
        cmocka_unit_test(a_publisher_blocked_by_one_queue_holds_no_room_in_another),
        cmocka_unit_test(a_publisher_that_starts_again_may_find_another_queue_full),
        cmocka_unit_test(two_blocking_queues_are_waited_for_one_after_the_other),
        cmocka_unit_test(the_last_member_that_leaves_lets_blocked_publishers_go),
        cmocka_unit_test(a_drain_answers_blocked_publishers_that_it_is_closed),
        cmocka_unit_test(bytes_that_are_given_back_let_a_blocked_publisher_go_on),
        cmocka_unit_test(publishers_that_block_on_several_small_queues_lose_nothing_and_come_to_an_end),
    };
    return EVB_TEST_MAIN("queue_block", tests, argc, argv);
}
