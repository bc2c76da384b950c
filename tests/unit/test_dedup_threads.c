/* SPDX-License-Identifier: MIT */
/* Publishes of one id on several threads: exactly one is the first, the others wait for what becomes of it.
 */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"
#include "queue_kit.h"

/* One publish, on a thread of its own or not. */
struct sending {
    const char *topic, *id;
    uint32_t flags;
    int64_t timeout_ns;
    int32_t answer;
    uint64_t sequence;
};

static void send(void *arg)
{
    struct sending *s = arg;

    s->answer = evb_publish(
        kit.bus, s->topic, "x", 1,
        &(evb_publish_opts){
            .flags = s->flags, .timeout_ns = s->timeout_ns, .dedup_id = s->id, .ret_sequence = &s->sequence});
}

/* A queue that holds one event, which is there, and a publish of "one" that waits for its place. */
static evb_sub *full_queue(struct sleeper *first, struct sending *sending)
{
    evb_sub *sub;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = 1, .overflow = EVB_OVERFLOW_BLOCK});
    kit_put("a", "before");
    *sending = (struct sending){.topic = "a", .id = "one", .timeout_ns = sending->timeout_ns};
    sleeper_start(first, send, sending);
    return sub;
}

static void make_room(evb_sub *sub)
{
    const evb_event *ev;

    OK(evb_ack(sub, kit_take_event(sub, "before", &ev)));
}

TEST(the_second_waits_for_the_first_and_is_a_duplicate)
{
    struct sending one = {0}, two = {.topic = "b", .id = "one", .answer = -1};
    struct sleeper first, second;
    evb_sub *sub = full_queue(&first, &one);

    (void)ID(evb_on(kit.bus, "b", catch_event, NULL)); /* would crash: it is not called */
    sleeper_start(&second, send, &two);
    CHECK(!sleeper_is_over(&second));
    make_room(sub);
    sleeper_join(&first);
    sleeper_join(&second);
    EQ(one.answer, 1);
    EQ(one.sequence, 2);
    EQ(two.answer, 0);
    EQ(two.sequence, 2);
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    kit_close();
}

TEST(when_the_first_fails_the_second_publishes_itself)
{
    struct sending one = {.timeout_ns = 50 * MS}, two = {.topic = "b", .id = "one", .answer = -1};
    struct sleeper first, second;
    evb_sub *sub = full_queue(&first, &one), *other;

    other = kit_sub("b", (evb_sub_opts){0});
    sleeper_start(&second, send, &two);
    sleeper_join(&first);
    EQ(one.answer, EVB_ETIMEDOUT);
    sleeper_join(&second);
    EQ(two.answer, 1);
    EQ_STR(kit_rest(other), "x");
    EQ_STR(kit_rest(sub), "before");
    kit_leave(sub);
    kit_leave(other);
    kit_close();
}

TEST(the_second_waits_as_long_as_its_own_timeout)
{
    struct sending one = {0}, two = {.topic = "b", .id = "one", .timeout_ns = MS};
    struct sleeper first;
    evb_sub *sub = full_queue(&first, &one);

    two.sequence = 99;
    send(&two);
    EQ(two.answer, EVB_ETIMEDOUT);
    EQ(two.sequence, 99);
    make_room(sub);
    sleeper_join(&first);
    EQ(one.answer, 1);
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    kit_close();
}

TEST(the_second_does_not_wait_with_nowait)
{
    struct sending one = {0}, two = {.topic = "b", .id = "one", .flags = EVB_NOWAIT};
    struct sleeper first;
    evb_sub *sub = full_queue(&first, &one);

    send(&two);
    EQ(two.answer, EVB_EAGAIN);
    make_room(sub);
    sleeper_join(&first);
    send(&two);
    EQ(two.answer, 0);
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    kit_close();
}

static int32_t send_inside(const evb_event *ev, void *user)
{
    (void)ev;
    send(user);
    return EVB_OK;
}

TEST(inside_a_callback_the_second_does_not_wait)
{
    struct sending one = {0}, two = {.topic = "b", .id = "one"};
    struct sleeper first;
    evb_sub *sub = full_queue(&first, &one);

    (void)ID(evb_on(kit.bus, "c", send_inside, &two));
    EQ(evb_emit(kit.bus, "c", NULL, 0), 1);
    EQ(two.answer, EVB_EAGAIN);
    make_room(sub);
    sleeper_join(&first);
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    kit_close();
}

TEST(a_drain_wakes_the_first_and_who_waits_for_it)
{
    struct sending one = {0}, two = {.topic = "b", .id = "one"}, three = two;
    struct sleeper first, second, third;
    evb_sub *sub = full_queue(&first, &one);

    sleeper_start(&second, send, &two);
    sleeper_start(&third, send, &three);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    sleeper_join(&first);
    sleeper_join(&second);
    sleeper_join(&third);
    EQ(one.answer, EVB_ECLOSED);
    EQ(two.answer, EVB_ECLOSED);
    EQ(three.answer, EVB_ECLOSED);
    EQ(kit.bus->dedup.pending + kit.bus->dedup.remembered, 0);
    EQ(evb_sub_purge(sub), 1);
    kit_leave(sub);
    kit_close();
}

TEST(a_destroy_wakes_the_first_and_who_waits_for_it)
{
    struct sending one = {0}, two = {.topic = "b", .id = "one"};
    struct sleeper first, second;
    evb_sub *sub = full_queue(&first, &one);

    sleeper_start(&second, send, &two);
    kit_close();
    sleeper_join(&first);
    sleeper_join(&second);
    EQ(one.answer, EVB_ECLOSED);
    EQ(two.answer, EVB_ECLOSED);
    (void)evb_unsubscribe(sub);
}

/* ---- many at once ---- */

enum { THREADS = 4, IDS = 300 };

struct crowd {
    uint64_t sequence[THREADS][IDS];
    uint32_t firsts[THREADS][IDS];
};

static void publish_all_ids(uint32_t index, void *arg)
{
    struct crowd *crowd = arg;

    for (uint32_t i = 0; i < IDS; i++) {
        uint64_t *sequence = &crowd->sequence[index][i];
        char id[16];
        int32_t answer;

        (void)snprintf(id, sizeof id, "%u", (unsigned)i);
        answer = evb_publish(kit.bus, i % 2 != 0 ? "a" : "b", id, strlen(id),
                             &(evb_publish_opts){.dedup_id = id, .ret_sequence = sequence});
        CHECK(answer == 0 || answer == 1);
        crowd->firsts[index][i] = (uint32_t)answer;
    }
}

TEST(of_many_threads_that_publish_the_same_ids_each_id_is_published_once)
{
    static struct crowd crowd;
    static struct catcher catcher;
    evb_sub *sub;

    memset(&crowd, 0, sizeof crowd);
    catcher_reset(&catcher);
    kit_open(2);
    /* so narrow that the firsts wait for room, and the others for them */
    sub = kit_sub(
        ">", (evb_sub_opts){
                 .capacity = 2, .overflow = EVB_OVERFLOW_BLOCK, .handler = catch_event, .user = &catcher});
    evb_test_run_threads(THREADS, publish_all_ids, &crowd);
    catcher_wait(&catcher, IDS);
    SOON(kit_settled(sub));
    EQ(catcher_count(&catcher), IDS);
    for (uint32_t i = 0; i < IDS; i++) {
        uint32_t firsts = 0;

        for (uint32_t t = 0; t < THREADS; t++) {
            firsts += crowd.firsts[t][i];
            EQ(crowd.sequence[t][i], crowd.sequence[0][i]);
        }
        EQ(firsts, 1);
    }
    EQ(evb__dedup_duplicates(&kit.bus->dedup), (THREADS - 1) * IDS);
    kit_leave(sub);
    kit_close();
}

/* One id again and again, of which half the publishes fail: nobody waits for ever, and nobody is lost. */
static void publish_or_fail(uint32_t index, void *arg)
{
    EVB__ATOMIC(uint32_t) *published = arg;

    for (uint32_t i = 0; i < IDS; i++) {
        char id[16];
        int32_t answer;

        (void)snprintf(id, sizeof id, "%u", (unsigned)i);
        answer = evb_publish(kit.bus, index % 2 != 0 ? "a" : "nobody", id, strlen(id),
                             &(evb_publish_opts){.dedup_id = id, .flags = EVB_MANDATORY});
        if (answer == 1) (void)evb__add_rlx(published, 1);
        CHECK(answer == 1 || answer == 0 || (answer == EVB_ENOROUTE && index % 2 == 0));
    }
}

TEST(ids_whose_publishes_fail_on_some_threads_are_published_by_the_others)
{
    EVB__ATOMIC(uint32_t) published;
    evb_sub *sub;

    evb__init(&published, 0);
    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.capacity = IDS});
    evb_test_run_threads(THREADS, publish_or_fail, &published);
    EQ(evb__ld_rlx(&published), IDS);
    EQ(kit.bus->dedup.remembered, IDS);
    EQ(kit.bus->dedup.pending, 0);
    (void)evb_sub_purge(sub);
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_waits_for_the_first_and_is_a_duplicate),
        cmocka_unit_test(when_the_first_fails_the_second_publishes_itself),
        cmocka_unit_test(the_second_waits_as_long_as_its_own_timeout),
        cmocka_unit_test(the_second_does_not_wait_with_nowait),
        cmocka_unit_test(inside_a_callback_the_second_does_not_wait),
        cmocka_unit_test(a_drain_wakes_the_first_and_who_waits_for_it),
        cmocka_unit_test(a_destroy_wakes_the_first_and_who_waits_for_it),
        cmocka_unit_test(of_many_threads_that_publish_the_same_ids_each_id_is_published_once),
        cmocka_unit_test(ids_whose_publishes_fail_on_some_threads_are_published_by_the_others),
    };
    return EVB_TEST_MAIN("dedup_threads", tests, argc, argv);
}
