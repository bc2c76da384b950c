/* SPDX-License-Identifier: MIT */
/* Dead letters: what they say, how they are looked at, sent back, deleted, and how many are kept. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

static struct catcher seen;
static evb_sub *sub;

static void open_pulled(evb_sub_opts opts)
{
    kit_open(1);
    sub = kit_sub("a.*", opts);
}

static void kill_event(const char *text)
{
    kit_put("a.b", text);
    OK(evb_reject(sub, kit_take(sub, text), 1, "a text of its own memory"));
}

/* ---- what a letter says ---- */

TEST(a_dead_letter_is_the_whole_event_with_its_history)
{
    const evb_header header = {.name = "traceparent", .value = "00-4bf9", .value_len = 7};
    struct letter letter;
    uint64_t sequence;

    open_pulled((evb_sub_opts){.name = "billing"});
    EQ(kit_put_with(
           "a.b", "payload",
           (evb_publish_opts){
               .key = "key", .key_len = 3, .headers = &header, .header_count = 1, .ret_sequence = &sequence}),
       1);
    OK(evb_nack(sub, kit_take(sub, "payload"), 0));
    OK(evb_reject(sub, kit_take(sub, "payload"), -77, "out of order"));
    EQ(kit_letters(sub, &letter, 1), 1);
    EQ_STR(letter.event.data, "payload");
    EQ_STR(letter.event.topic, "a.b");
    EQ_STR(letter.event.key, "key");
    EQ(letter.event.sequence, sequence);
    EQ(letter.death.sequence, sequence);
    EQ_STR(letter.topic, "a.b");
    EQ_STR(letter.subscription, "billing");
    EQ_STR(letter.reason, "rejected");
    EQ_STR(letter.text, "out of order");
    EQ(letter.death.error_code, -77);
    EQ(letter.death.attempts, 2);
    EQ(letter.death.redrives, 0);
    EQ(letter.death.times, 1);
    EQ(letter.death.reserved, 0);
    CHECK(letter.death.struct_size >= sizeof(evb_death));
    CHECK(letter.death.first_time_ns > 0);
    EQ(letter.death.first_time_ns, letter.death.last_time_ns);
    kit_leave(sub);
    kit_close();
}

static int32_t has_header(const evb_event *ev, const evb_death *death, void *user)
{
    uint32_t len;

    (void)death;
    EQ_MEM(evb_event_header(ev, "traceparent", &len), "00-4bf9", 7);
    EQ(len, 7);
    *(const evb_event **)user = evb_event_retain(ev);
    return 0;
}

TEST(the_event_of_a_dead_letter_has_its_headers_and_may_be_kept)
{
    const evb_header header = {.name = "traceparent", .value = "00-4bf9", .value_len = 7};
    const evb_event *kept = NULL;

    open_pulled((evb_sub_opts){0});
    EQ(kit_put_with("a.b", "payload", (evb_publish_opts){.headers = &header, .header_count = 1}), 1);
    OK(evb_reject(sub, kit_take(sub, "payload"), 0, NULL));
    OK(evb_dlq_browse(sub, has_header, (void *)&kept));
    EQ(evb_dlq_purge(sub), 1);
    CHECK(kept != NULL && kit_is(kept, "payload"));
    kit_leave(sub);
    kit_close();
    EQ_STR(kept->topic, "a.b");
    evb_event_release(kept);
}

TEST(times_of_death_are_by_the_wall_clock)
{
    struct letter letter;

    kit_open_by_hand();
    sub = kit_sub("a.*", (evb_sub_opts){0});
    evb_test_clock_advance(SECOND);
    kill_event("x");
    EQ(kit_letters(sub, &letter, 1), 1);
    EQ(letter.death.first_time_ns, EVB_TEST_WALL_START + SECOND);
    EQ(evb_dlq_redrive(sub, 1), 1);
    evb_test_clock_advance(SECOND);
    OK(evb_reject(sub, kit_take(sub, "x"), 2, NULL));
    EQ(kit_letters(sub, &letter, 1), 1);
    EQ(letter.death.first_time_ns, EVB_TEST_WALL_START + SECOND);
    EQ(letter.death.last_time_ns, EVB_TEST_WALL_START + 2 * SECOND);
    kit_leave(sub);
    kit_close();
}

TEST(a_subscription_without_a_name_has_one_in_its_letters)
{
    struct letter letter;

    open_pulled((evb_sub_opts){0});
    kill_event("x");
    EQ(kit_letters(sub, &letter, 1), 1);
    CHECK(letter.subscription[0] != '\0');
    kit_leave(sub);
    kit_close();
}

/* ---- browse ---- */

static int32_t stop_at(const evb_event *ev, const evb_death *death, void *user)
{
    (void)death;
    return kit_is(ev, user) ? 42 : 0;
}

TEST(browsing_goes_from_the_oldest_letter_and_stops_when_it_is_told)
{
    open_pulled((evb_sub_opts){0});
    OK(evb_dlq_browse(sub, stop_at, (void *)"2"));
    kill_event("1");
    kill_event("2");
    kill_event("3");
    EQ_STR(kit_dead(sub), "1 2 3");
    EQ_STR(kit_dead(sub), "1 2 3"); /* they stay */
    EQ(evb_dlq_browse(sub, stop_at, (void *)"2"), 42);
    OK(evb_dlq_browse(sub, stop_at, (void *)"4"));
    FAILS(evb_dlq_browse(sub, NULL, NULL), EVB_EINVAL);
    kit_leave(sub);
    kit_close();
}

static int32_t change_while_looking(const evb_event *ev, const evb_death *death, void *user)
{
    uint32_t *turn = user;

    (void)death;
    switch ((*turn)++) {
    case 0:
        CHECK(kit_is(ev, "1"));
        EQ(evb_dlq_count(sub), 3);
        kit_put("a.b", "4");                              /* a callback may publish, */
        OK(evb_reject(sub, kit_take(sub, "4"), 1, NULL)); /* settle */
        break;
    case 1:
        CHECK(kit_is(ev, "2"));
        CHECK(evb_dlq_purge(sub) >= 3); /* and delete what it looks at */
        CHECK(kit_is(ev, "2"));
        EQ_STR(ev->topic, "a.b");
        FAILS(evb_bus_drain(kit.bus, EVB_FOREVER), EVB_EDEADLK);
        break;
    default:
        break;
    }
    return 0;
}

TEST(the_function_that_looks_at_letters_may_change_them)
{
    uint32_t turn = 0;

    open_pulled((evb_sub_opts){0});
    kill_event("1");
    kill_event("2");
    kill_event("3");
    OK(evb_dlq_browse(sub, change_while_looking, &turn));
    CHECK(turn >= 2);
    EQ(evb_dlq_count(sub), 0);
    (void)assert_law(sub);
    kit_leave(sub);
    kit_close();
}

/* ---- redrive ---- */

TEST(a_redrive_goes_to_its_own_subscription_only)
{
    evb_sub *healthy;
    const evb_event *ev;
    uint64_t sequence, delivery;
    evb_queue_stats s;

    open_pulled((evb_sub_opts){0});
    healthy = kit_sub("a.b", (evb_sub_opts){0});
    catcher_reset(&seen);
    (void)ID(evb_on(kit.bus, "a.b", catch_event, &seen));
    EQ(kit_put_with("a.b", "x", (evb_publish_opts){.ret_sequence = &sequence, .key = "k", .key_len = 1}), 3);
    OK(evb_reject(sub, kit_take(sub, "x"), 1, NULL));
    EQ_STR(kit_rest(healthy), "x");
    EQ(evb_dlq_redrive(sub, UINT32_MAX), 1);
    EQ(evb_dlq_count(sub), 0);
    s = assert_law(sub);
    EQ(s.enqueued, 2); /* a redrive counts again */
    EQ(s.dead_lettered, 1);
    delivery = kit_take_event(sub, "x", &ev);
    EQ(ev->attempt, 1);
    CHECK((ev->flags & EVB_EVENT_REDRIVEN) != 0);
    CHECK((ev->flags & EVB_EVENT_REDELIVERED) == 0);
    EQ(ev->sequence, sequence);
    EQ_MEM(ev->key, "k", 1);
    OK(evb_ack(sub, delivery));
    kit_none(healthy);
    EQ(assert_law(healthy).enqueued, 1);
    EQ(catcher_count(&seen), 1);
    EQ(evb_dlq_redrive(sub, UINT32_MAX), 0);
    kit_leave(sub);
    kit_leave(healthy);
    kit_close();
}

TEST(a_redrive_takes_the_oldest_and_no_more_than_it_was_told)
{
    open_pulled((evb_sub_opts){0});
    for (int i = 0; i < 5; i++)
        kill_event((const char *[]){"1", "2", "3", "4", "5"}[i]);
    kit_put("a.b", "new");
    EQ(evb_dlq_redrive(sub, 2), 2);
    EQ_STR(kit_dead(sub), "3 4 5");
    EQ_STR(kit_rest(sub), "new 1 2"); /* at the tail */
    EQ(evb_dlq_redrive(sub, 100), 3);
    EQ_STR(kit_rest(sub), "3 4 5");
    kit_leave(sub);
    kit_close();
}

TEST(a_redrive_into_a_full_queue_sends_what_there_is_room_for)
{
    open_pulled((evb_sub_opts){.capacity = 3});
    for (int i = 0; i < 4; i++)
        kill_event((const char *[]){"1", "2", "3", "4"}[i]);
    kit_put("a.b", "new");
    EQ(evb_dlq_redrive(sub, UINT32_MAX), 2);
    FAILS(evb_dlq_redrive(sub, UINT32_MAX), EVB_EFULL);
    EQ_STR(kit_dead(sub), "3 4");
    FAILS(kit_try("a.b", "no"), EVB_EFULL);
    EQ_STR(kit_rest(sub), "new 1 2");
    EQ(evb_dlq_redrive(sub, 1), 1);
    kit_leave(sub);
    kit_close();
}

TEST(what_dies_again_keeps_its_history)
{
    struct letter letter;

    open_pulled((evb_sub_opts){.retry.max_attempts = 2});
    kill_event("x");
    for (uint32_t n = 1; n <= 3; n++) {
        EQ(evb_dlq_redrive(sub, 1), 1);
        OK(evb_reject(sub, kit_take(sub, "x"), (int32_t)n, "again"));
        EQ(kit_letters(sub, &letter, 1), 1);
        EQ(letter.death.redrives, n);
        EQ(letter.death.times, n + 1); /* of this reason, here */
        EQ(letter.death.error_code, n);
        EQ(letter.death.attempts, 1);
        EQ(letter.event.flags & EVB_EVENT_REDRIVEN, EVB_EVENT_REDRIVEN);
    }
    EQ(evb_dlq_redrive(sub, 1), 1);
    OK(evb_nack(sub, kit_take(sub, "x"), 0));
    OK(evb_nack(sub, kit_take(sub, "x"), 0)); /* attempts began anew: it had two more */
    EQ(kit_letters(sub, &letter, 1), 1);
    EQ_STR(letter.reason, "delivery_limit");
    EQ(letter.death.times, 1); /* of this reason for the first time */
    EQ(letter.death.redrives, 4);
    EQ(letter.death.attempts, 2);
    CHECK(!letter.has_text); /* the old text was about another death */
    EQ(assert_law(sub).enqueued, 5);
    EQ(assert_law(sub).dead_lettered, 5);
    kit_leave(sub);
    kit_close();
}

static int32_t redrive_inside(const evb_event *ev, void *user)
{
    (void)catch_event(ev, user);
    if (kit_is(ev, "poison") && (ev->flags & EVB_EVENT_REDRIVEN) == 0) return EVB_REJECT;
    if (kit_is(ev, "operator")) EQ(evb_dlq_redrive(sub, UINT32_MAX), 1);
    return EVB_OK;
}

TEST(a_handler_may_redrive_its_own_letters)
{
    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = redrive_inside, .user = &seen});
    kit_put("a", "poison");
    kit_put("a", "operator");
    catcher_wait(&seen, 3);
    SOON(kit_settled(sub));
    EQ_STR(catcher_said(&seen), "poison operator poison");
    EQ(evb_dlq_count(sub), 0);
    EQ(assert_law(sub).acked, 2);
    kit_leave(sub);
    kit_close();
}

/* ---- purge, bounds ---- */

TEST(a_purge_of_the_letters_deletes_them_and_nothing_else)
{
    evb_queue_stats before;

    open_pulled((evb_sub_opts){0});
    EQ(evb_dlq_purge(sub), 0);
    kill_event("1");
    kill_event("2");
    kit_put("a.b", "ready");
    before = assert_law(sub);
    EQ(evb_dlq_purge(sub), 2);
    EQ(evb_dlq_count(sub), 0);
    before.dlq_depth = 0;
    NOTHING_CHANGED(sub, before);
    EQ(evb_dlq_redrive(sub, UINT32_MAX), 0);
    EQ_STR(kit_rest(sub), "ready");
    kit_leave(sub);
    kit_close();
}

TEST(a_purge_of_the_queue_leaves_the_letters_alone)
{
    open_pulled((evb_sub_opts){0});
    kill_event("1");
    kit_put("a.b", "ready");
    EQ(evb_sub_purge(sub), 1);
    EQ_STR(kit_dead(sub), "1");
    kit_leave(sub);
    kit_close();
}

TEST(of_more_letters_than_dlq_capacity_the_oldest_go)
{
    open_pulled((evb_sub_opts){.dlq_capacity = 3});
    for (int i = 0; i < 7; i++)
        kill_event((const char *[]){"1", "2", "3", "4", "5", "6", "7"}[i]);
    EQ_STR(kit_dead(sub), "5 6 7");
    EQ(assert_law(sub).dead_lettered, 7);
    EQ(evb_dlq_redrive(sub, 2), 2);
    EQ_STR(kit_rest(sub), "5 6");
    kill_event("8");
    EQ_STR(kit_dead(sub), "7 8");
    kit_leave(sub);
    kit_close();
}

TEST(of_more_bytes_of_letters_than_dlq_bytes_the_oldest_go)
{
    static char data[400];
    struct letter letters[4];
    const evb_event *ev;
    uint64_t delivery;

    open_pulled((evb_sub_opts){.dlq_bytes = 1000});
    for (int i = 0; i < 4; i++) {
        memset(data, '1' + i, sizeof data);
        EQ(evb_publish(kit.bus, "a.b", data, sizeof data, NULL), 1);
        OK(evb_sub_next(sub, 0, &delivery, &ev));
        OK(evb_reject(sub, delivery, 1, NULL));
    }
    EQ(kit_letters(sub, letters, 4), 2);
    EQ(letters[0].event.data[0], '3');
    EQ(letters[1].event.data[0], '4');
    EQ(assert_law(sub).dead_lettered, 4);
    kit_leave(sub);
    kit_close();
}

TEST(a_letter_larger_than_dlq_bytes_is_not_kept_and_does_no_harm)
{
    static const char data[2000];
    const evb_event *ev;
    uint64_t delivery;

    open_pulled((evb_sub_opts){.dlq_bytes = 1000});
    EQ(evb_publish(kit.bus, "a.b", data, sizeof data, NULL), 1);
    OK(evb_sub_next(sub, 0, &delivery, &ev));
    OK(evb_reject(sub, delivery, 1, NULL));
    EQ(evb_dlq_count(sub), 0);
    EQ(assert_law(sub).dead_lettered, 1);
    kill_event("small");
    EQ_STR(kit_dead(sub), "small");
    kit_leave(sub);
    kit_close();
}

TEST(dead_letters_go_with_the_last_member)
{
    evb_sub *second;

    open_pulled((evb_sub_opts){.name = "group"});
    second = kit_sub("a.*", (evb_sub_opts){.name = "group"});
    kill_event("1");
    kit_leave(sub);
    EQ_STR(kit_dead(second), "1"); /* they are the group's */
    kit_leave(second);
    sub = kit_sub("a.*", (evb_sub_opts){.name = "group"});
    EQ(evb_dlq_count(sub), 0);
    kit_leave(sub);
    kit_close();
}

static struct {
    EVB__ATOMIC(uint32_t) sent, busy;
} redrivers;

static void redrive_until_none(uint32_t index, void *arg)
{
    (void)arg;
    (void)index;
    for (int32_t rc = 1; rc != 0;) {
        rc = evb_dlq_redrive(sub, 7);
        if (rc == EVB_EBUSY)
            (void)evb__add_rlx(&redrivers.busy, 1);
        else if (rc < 0)
            OK(rc);
        else
            (void)evb__add_rlx(&redrivers.sent, (uint32_t)rc);
    }
}

TEST(letters_that_several_send_back_at_the_same_time_come_once_each)
{
    open_pulled((evb_sub_opts){.capacity = 2000});
    evb__st_rlx(&redrivers.sent, 0);
    for (int i = 0; i < 1000; i++)
        kill_event("x");
    evb_test_run_threads(4, redrive_until_none, NULL);
    EQ(evb__ld_rlx(&redrivers.sent), 1000);
    EQ(evb_dlq_count(sub), 0);
    EQ(assert_law(sub).ready, 1000);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_letter_is_the_whole_event_with_its_history),
        cmocka_unit_test(the_event_of_a_dead_letter_has_its_headers_and_may_be_kept),
        cmocka_unit_test(times_of_death_are_by_the_wall_clock),
        cmocka_unit_test(a_subscription_without_a_name_has_one_in_its_letters),
        cmocka_unit_test(browsing_goes_from_the_oldest_letter_and_stops_when_it_is_told),
        cmocka_unit_test(the_function_that_looks_at_letters_may_change_them),
        cmocka_unit_test(a_redrive_goes_to_its_own_subscription_only),
        cmocka_unit_test(a_redrive_takes_the_oldest_and_no_more_than_it_was_told),
        cmocka_unit_test(a_redrive_into_a_full_queue_sends_what_there_is_room_for),
        cmocka_unit_test(what_dies_again_keeps_its_history),
        cmocka_unit_test(a_handler_may_redrive_its_own_letters),
        cmocka_unit_test(a_purge_of_the_letters_deletes_them_and_nothing_else),
        cmocka_unit_test(a_purge_of_the_queue_leaves_the_letters_alone),
        cmocka_unit_test(of_more_letters_than_dlq_capacity_the_oldest_go),
        cmocka_unit_test(of_more_bytes_of_letters_than_dlq_bytes_the_oldest_go),
        cmocka_unit_test(a_letter_larger_than_dlq_bytes_is_not_kept_and_does_no_harm),
        cmocka_unit_test(dead_letters_go_with_the_last_member),
        cmocka_unit_test(letters_that_several_send_back_at_the_same_time_come_once_each),
    };
    return EVB_TEST_MAIN("queue_dead", tests, argc, argv);
}
