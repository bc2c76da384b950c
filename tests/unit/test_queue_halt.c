/* SPDX-License-Identifier: MIT */
/* EVB_SUB_KEY_HALT: what fails for good stops its key, and what opens it again. */
#include "queue_keyed.h"

#include <string.h>

static struct catcher seen;
static evb_sub *sub;

static void open_halting(evb_sub_opts opts)
{
    opts.flags |= EVB_SUB_KEY_HALT;
    kit_open(1);
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    sub = kit_sub("k", opts);
}

static void end(void)
{
    kit_leave(sub);
    kit_close();
}

static void reject(const char *text)
{
    OK(evb_reject(sub, kit_take(sub, text), 1, NULL));
}

static int32_t skip_key(const char *key)
{
    return evb_sub_skip_key(sub, key, (uint32_t)strlen(key));
}

/* ---- what stops a key ---- */

TEST(a_rejected_event_stops_its_key_and_no_other)
{
    open_halting((evb_sub_opts){0});
    put("A1 A2 B1 -1 A3 B2");
    reject("A1");
    EQ_STR(kit_rest(sub), "B1 -1 B2");
    put("A4 B3");
    EQ_STR(kit_rest(sub), "B3");
    EQ(assert_law(sub).ready, 3);
    EQ_STR(kit_dead(sub), "A1");
    end();
}

TEST(the_last_attempt_stops_the_key_and_those_before_do_not)
{
    open_halting((evb_sub_opts){.retry = {.max_attempts = 2}});
    put("A1 A2");
    OK(evb_nack(sub, kit_take(sub, "A1"), 0));
    FAILS(skip_key("A"), EVB_ENOTFOUND); /* not stopped: it waits for its turn */
    OK(evb_nack(sub, kit_take(sub, "A1"), 0));
    kit_none(sub);
    EQ(assert_law(sub).ready, 1);
    OK(skip_key("A"));
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(a_handler_that_fails_for_good_stops_the_key)
{
    static const int32_t answers[] = {EVB_OK, EVB_REJECT};

    for (uint32_t concurrency = 1; concurrency <= 2; concurrency++) {
        catcher_reset(&seen);
        seen.answers = answers;
        seen.answer_count = COUNT(answers);
        open_halting((evb_sub_opts){.handler = catch_event, .user = &seen, .concurrency = concurrency});
        put("A1");
        catcher_wait(&seen, 1);
        SOON(kit_settled(sub));
        put("A2");
        SOON(evb_dlq_count(sub) == 1);
        put("A3 A4 B1");
        SOON(assert_law(sub).acked == 2);
        EQ(assert_law(sub).ready, 2);
        OK(skip_key("A"));
        SOON(kit_settled(sub));
        EQ_STR(catcher_said(&seen), "A1 A2 B1 A3 A4");
        end();
    }
}

TEST(without_a_key_nothing_stops)
{
    open_halting((evb_sub_opts){0});
    put("-1 -2 -3");
    reject("-1");
    reject("-2");
    EQ_STR(kit_rest(sub), "-3");
    EQ(evb_dlq_redrive(sub, UINT32_MAX), 2);
    EQ_STR(kit_rest(sub), "-1 -2");
    end();
}

TEST(the_empty_key_stops_too)
{
    open_halting((evb_sub_opts){0});
    EQ(kit_put_with("k", "1", (evb_publish_opts){.key = ""}), 1);
    EQ(kit_put_with("k", "2", (evb_publish_opts){.key = ""}), 1);
    reject("1");
    put("-1");
    EQ_STR(kit_rest(sub), "-1");
    FAILS(evb_sub_skip_key(sub, NULL, 0), EVB_EINVAL);
    OK(evb_sub_skip_key(sub, "", 0));
    EQ_STR(kit_rest(sub), "2");
    end();
}

TEST(what_overflow_drops_does_not_stop_its_key)
{
    open_halting((evb_sub_opts){
        .capacity = 2, .overflow = EVB_OVERFLOW_DROP_OLDEST, .flags = EVB_SUB_DEAD_LETTER_DROPS});
    put("A1 A2 A3");
    EQ_STR(kit_dead(sub), "A1");
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    EQ_STR(kit_rest(sub), "A2 A3");
    end();
}

TEST(what_expires_does_not_stop_its_key)
{
    kit_open_by_hand();
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    sub = kit_sub("k", (evb_sub_opts){.flags = EVB_SUB_KEY_HALT | EVB_SUB_DEAD_LETTER_EXPIRED});
    put_with("A1", (evb_publish_opts){.ttl_ns = SECOND});
    put("A2");
    kit_pass(SECOND);
    SOON(evb_dlq_count(sub) == 1);
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(at_most_once_nothing_fails_and_nothing_stops)
{
    open_halting((evb_sub_opts){.flags = EVB_SUB_AT_MOST_ONCE});
    put("A1 A2");
    FAILS(evb_reject(sub, kit_take(sub, "A1"), 1, NULL), EVB_ENOTSUP);
    (void)kit_take(sub, "A2");
    end();
}

/* ---- what opens it ---- */

TEST(a_redriven_letter_comes_before_all_others_of_its_key)
{
    const evb_event *ev;
    uint64_t a;

    open_halting((evb_sub_opts){0});
    put("A1 A2 A3 B1 B2");
    reject("A1");
    EQ(evb_dlq_redrive(sub, UINT32_MAX), 1);
    put("A4");
    (void)kit_take(sub, "B1");
    a = kit_take_event(sub, "A1", &ev);
    EQ(ev->attempt, 1);
    EQ(ev->flags, EVB_EVENT_REDRIVEN);
    kit_none(sub);
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A2 A3 A4");
    end();
}

TEST(a_letter_that_dies_again_stops_its_key_again)
{
    struct letter letter;

    open_halting((evb_sub_opts){0});
    put("A1 A2");
    reject("A1");
    for (uint32_t round = 1; round <= 3; round++) {
        EQ(evb_dlq_redrive(sub, UINT32_MAX), 1);
        reject("A1");
        kit_none(sub);
        EQ(kit_letters(sub, &letter, 1), 1);
        EQ(letter.death.redrives, round);
        EQ(letter.death.times, round + 1);
    }
    EQ(assert_law(sub).ready, 1);
    OK(skip_key("A"));
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(redriving_some_letters_opens_their_keys_only)
{
    open_halting((evb_sub_opts){0});
    put("A1 A2 B1 B2 C1 C2");
    reject("A1");
    reject("B1");
    reject("C1");
    kit_none(sub);
    EQ(evb_dlq_redrive(sub, 2), 2);
    EQ_STR(kit_rest(sub), "A1 B1 A2 B2");
    OK(skip_key("C"));
    EQ_STR(kit_rest(sub), "C2");
    end();
}

TEST(a_purge_of_the_letters_opens_every_key)
{
    open_halting((evb_sub_opts){0});
    put("A1 A2 B1 B2");
    reject("A1");
    reject("B1");
    kit_none(sub);
    EQ(evb_dlq_purge(sub), 2);
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    EQ_STR(kit_rest(sub), "A2 B2");
    end();
}

TEST(a_letter_that_gives_way_to_newer_ones_opens_its_key)
{
    open_halting((evb_sub_opts){.dlq_capacity = 2});
    put("A1 A2 B1 B2 C1 C2");
    reject("A1");
    reject("B1");
    reject("C1");
    EQ_STR(kit_dead(sub), "B1 C1");
    EQ_STR(kit_rest(sub), "A2");
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    OK(skip_key("B"));
    OK(skip_key("C"));
    EQ_STR(kit_rest(sub), "B2 C2");
    end();
}

TEST(a_letter_that_is_never_kept_stops_nothing)
{
    open_halting((evb_sub_opts){.dlq_bytes = 1});
    put("A1 A2");
    reject("A1");
    EQ(evb_dlq_count(sub), 0);
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(a_skip_opens_the_key_and_leaves_the_letter)
{
    open_halting((evb_sub_opts){0});
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    put("A1 A2 A3");
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    reject("A1");
    FAILS(skip_key("B"), EVB_ENOTFOUND);
    OK(skip_key("A"));
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    EQ_STR(kit_dead(sub), "A1");
    EQ_STR(kit_rest(sub), "A2 A3");
    EQ(evb_dlq_purge(sub), 1);
    put("A4");
    EQ_STR(kit_rest(sub), "A4");
    end();
}

TEST(of_two_letters_of_a_key_only_the_one_that_stopped_it_opens_it)
{
    open_halting((evb_sub_opts){.dlq_capacity = 2});
    put("A1 A2 A3");
    reject("A1");
    OK(skip_key("A"));
    reject("A2"); /* A1 lies there, too, and means nothing any more */
    kit_none(sub);
    put("B1");
    reject("B1"); /* A1 gives way */
    EQ_STR(kit_dead(sub), "A2 B1");
    kit_none(sub);
    OK(skip_key("A"));
    EQ_STR(kit_rest(sub), "A3");
    end();
}

TEST(bad_arguments_open_nothing)
{
    char large[256] = {0};

    open_halting((evb_sub_opts){0});
    put("A1 A2");
    reject("A1");
    FAILS(evb_sub_skip_key(NULL, "A", 1), EVB_EINVAL);
    FAILS(evb_sub_skip_key(sub, NULL, 0), EVB_EINVAL);
    FAILS(evb_sub_skip_key(sub, NULL, 1), EVB_EINVAL);
    FAILS(evb_sub_skip_key(sub, large, sizeof large), EVB_EINVAL);
    FAILS(evb_sub_skip_key(sub, large, 255), EVB_ENOTFOUND);
    FAILS(evb_sub_skip_key(sub, "A", 0), EVB_ENOTFOUND);
    FAILS(evb_sub_skip_key(sub, "A\0", 2), EVB_ENOTFOUND);
    kit_none(sub);
    end();
}

TEST(a_queue_that_does_not_halt_has_no_stopped_keys)
{
    kit_open(1);
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    sub = kit_sub("k", (evb_sub_opts){0});
    put("A1 A2");
    reject("A1");
    FAILS(skip_key("A"), EVB_ENOTFOUND);
    EQ_STR(kit_rest(sub), "A2");
    end();
}

/* ---- while a key is stopped ---- */

TEST(a_purge_of_the_queue_leaves_the_key_stopped)
{
    open_halting((evb_sub_opts){0});
    put("A1 A2 A3");
    reject("A1");
    EQ(evb_sub_purge(sub), 2);
    put("A4");
    kit_none(sub);
    EQ(evb_dlq_redrive(sub, 1), 1);
    EQ_STR(kit_rest(sub), "A1 A4");
    end();
}

TEST(those_that_wait_behind_a_stopped_key_expire)
{
    kit_open_by_hand();
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    sub = kit_sub("k", (evb_sub_opts){.flags = EVB_SUB_KEY_HALT});
    put("A1");
    put_with("A2", (evb_publish_opts){.ttl_ns = SECOND});
    put("A3");
    put_with("A4", (evb_publish_opts){.ttl_ns = SECOND});
    reject("A1");
    kit_pass(SECOND);
    SOON(assert_law(sub).expired == 2);
    put("A5");
    OK(skip_key("A"));
    EQ_STR(kit_rest(sub), "A3 A5");
    end();
}

TEST(overflow_takes_those_that_wait_behind_a_stopped_key)
{
    open_halting((evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_DROP_OLDEST});
    put("A1 A2");
    reject("A1");
    put("A3 A4");
    kit_none(sub);
    EQ(assert_law(sub).dropped, 1);
    EQ(evb_dlq_purge(sub), 1);
    EQ_STR(kit_rest(sub), "A3 A4");
    end();
}

TEST(a_sleeping_handler_is_woken_when_its_key_is_opened)
{
    static const int32_t answers[] = {EVB_REJECT};

    for (int how = 0; how < 3; how++) {
        catcher_reset(&seen);
        seen.answers = answers;
        seen.answer_count = 1;
        open_halting((evb_sub_opts){.handler = catch_event, .user = &seen});
        put("A1");
        SOON(evb_dlq_count(sub) == 1);
        put("A2");
        EQ(assert_law(sub).ready, 1);
        if (how == 0) OK(skip_key("A"));
        if (how == 1) EQ(evb_dlq_purge(sub), 1);
        if (how == 2) EQ(evb_dlq_redrive(sub, 1), 1);
        SOON(kit_settled(sub));
        EQ_STR(catcher_said(&seen), how == 2 ? "A1 A1 A2" : "A1 A2");
        end();
    }
}

TEST(the_last_leaver_discards_what_waits_behind_a_stopped_key)
{
    open_halting((evb_sub_opts){0});
    put("A1 A2 A3");
    reject("A1");
    kit_leave(sub);
    EQ(kit_try("k", "nobody"), 0);
    kit_close();
}

TEST(members_that_come_and_go_leave_a_stopped_key_stopped)
{
    evb_sub *other;

    open_halting((evb_sub_opts){.name = "group"});
    put("A1 A2");
    reject("A1");
    other = kit_sub("k", (evb_sub_opts){.name = "group", .flags = EVB_SUB_KEY_HALT});
    kit_leave(sub);
    sub = other;
    kit_none(sub);
    EQ_STR(kit_dead(sub), "A1");
    OK(skip_key("A"));
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(a_drain_does_not_end_by_itself_while_events_wait_behind_a_stopped_key)
{
    open_halting((evb_sub_opts){0});
    put("A1 A2");
    reject("A1");
    FAILS(evb_bus_drain(kit.bus, MS), EVB_ETIMEDOUT);
    OK(skip_key("A"));
    EQ_STR(kit_dead(sub), "A1");
    OK(evb_ack(sub, kit_take(sub, "A2")));
    OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rejected_event_stops_its_key_and_no_other),
        cmocka_unit_test(the_last_attempt_stops_the_key_and_those_before_do_not),
        cmocka_unit_test(a_handler_that_fails_for_good_stops_the_key),
        cmocka_unit_test(without_a_key_nothing_stops),
        cmocka_unit_test(the_empty_key_stops_too),
        cmocka_unit_test(what_overflow_drops_does_not_stop_its_key),
        cmocka_unit_test(what_expires_does_not_stop_its_key),
        cmocka_unit_test(at_most_once_nothing_fails_and_nothing_stops),
        cmocka_unit_test(a_redriven_letter_comes_before_all_others_of_its_key),
        cmocka_unit_test(a_letter_that_dies_again_stops_its_key_again),
        cmocka_unit_test(redriving_some_letters_opens_their_keys_only),
        cmocka_unit_test(a_purge_of_the_letters_opens_every_key),
        cmocka_unit_test(a_letter_that_gives_way_to_newer_ones_opens_its_key),
        cmocka_unit_test(a_letter_that_is_never_kept_stops_nothing),
        cmocka_unit_test(a_skip_opens_the_key_and_leaves_the_letter),
        cmocka_unit_test(of_two_letters_of_a_key_only_the_one_that_stopped_it_opens_it),
        cmocka_unit_test(bad_arguments_open_nothing),
        cmocka_unit_test(a_queue_that_does_not_halt_has_no_stopped_keys),
        cmocka_unit_test(a_purge_of_the_queue_leaves_the_key_stopped),
        cmocka_unit_test(those_that_wait_behind_a_stopped_key_expire),
        cmocka_unit_test(overflow_takes_those_that_wait_behind_a_stopped_key),
        cmocka_unit_test(a_sleeping_handler_is_woken_when_its_key_is_opened),
        cmocka_unit_test(the_last_leaver_discards_what_waits_behind_a_stopped_key),
        cmocka_unit_test(members_that_come_and_go_leave_a_stopped_key_stopped),
        cmocka_unit_test(a_drain_does_not_end_by_itself_while_events_wait_behind_a_stopped_key),
    };
    return EVB_TEST_MAIN("queue_halt", tests, argc, argv);
}
