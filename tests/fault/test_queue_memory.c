/* SPDX-License-Identifier: MIT */
/* Queues when memory runs out: a call that answers EVB_ENOMEM has done nothing, and no event is
 * lost. */
#include <string.h>

#include "queue_kit.h"

static struct catcher seen;
static evb_sub *subs[3];

static int32_t nothing(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

static int32_t wanted(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 1;
}

/* ---- subscribe ---- */

static struct freed freed;

static void join_and_leave(void *arg)
{
    evb_sub_opts opts = *(const evb_sub_opts *)arg;
    evb_sub *untouched = (evb_sub *)(void *)&freed, *sub = untouched;
    uint32_t before = freed_times(&freed);
    int32_t reached = evb_listener_count(kit.bus, "a.b");

    opts.user = &freed;
    opts.free_user = count_freed;
    if (!OK_OR_NOMEM(evb_subscribe(kit.bus, "a.*", &opts, &sub))) {
        EQ_PTR(sub, untouched);
        EQ(freed_times(&freed), before);
        EQ(evb_listener_count(kit.bus, "a.b"), reached);
        return;
    }
    EQ(evb_listener_count(kit.bus, "a.b"), opts.name != NULL ? 1 : reached + 1);
    evb_test_alloc_fail_off();
    OK(evb_unsubscribe(sub)); /* needs no memory, but freeing may come later when it tidies up */
    EQ(freed_times(&freed), before + 1);
}

TEST(a_subscription_that_cannot_be_made_leaves_nothing_behind)
{
    static evb_sub_opts kinds[] = {
        {0},
        {.name = "named"},
        {.handler = nothing, .concurrency = 3},
        {.handler = nothing, .concurrency = 100, .filter = wanted},
        {.handler = nothing, .flags = EVB_SUB_DISPATCH},
        {.overflow = EVB_OVERFLOW_CONFLATE},
    };

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    evb__st_rlx(&freed.times, 0);
    kit_open(1);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        join_and_leave(&kinds[i]); /* what a bus keeps is there from now on */
        for (uint64_t k = 1;; k++) {
            bool hit;

            evb_test_alloc_fail_once_at(k);
            join_and_leave(&kinds[i]);
            hit = evb_test_alloc_faults() != 0;
            evb_test_alloc_fail_from(k);
            join_and_leave(&kinds[i]);
            hit = hit || evb_test_alloc_faults() != 0;
            evb_test_alloc_fail_off();
            if (!hit) break;
            CHECK(k < 10000);
        }
        EQ(evb_listener_count(kit.bus, "a.b"), 0);
    }
    kit_close();
}

static void life(void *arg)
{
    const evb_sub_opts *opts = arg;
    evb_bus *bus;
    evb_sub *sub = NULL;

    if (!OK_OR_NOMEM(evb_bus_create(&(evb_bus_opts){.workers = 2, .drain_timeout_ns = INT64_MAX}, &bus)))
        return;
    if (OK_OR_NOMEM(evb_subscribe(bus, "a.>", opts, &sub))) {
        bool published = OK_OR_NOMEM(evb_publish(bus, "a.b", "x", 1, NULL));

        EQ(assert_law(sub).enqueued, published ? 1 : 0);
        if (opts->handler == NULL) {
            const evb_event *ev;
            uint64_t delivery;
            int32_t rc = evb_sub_next(sub, 0, &delivery, &ev);

            if (published && OK_OR_NOMEM(rc)) OK(evb_ack(sub, delivery));
            if (published && rc == EVB_ENOMEM) EQ(evb_sub_purge(sub), 1);
        }
        OK(evb_unsubscribe(sub));
    }
    evb_bus_destroy(bus);
}

TEST(at_every_allocation_of_a_life_no_memory_means_no_trace)
{
    CHECK(evb_test_alloc_sweep(life, &(evb_sub_opts){0}) > 0);
    CHECK(evb_test_alloc_sweep(life, &(evb_sub_opts){.lease_ns = INT64_MAX, .name = "named"}) > 0);
    CHECK(evb_test_alloc_sweep(life, &(evb_sub_opts){.handler = nothing}) > 0);
}

/* ---- publish ---- */

enum { WAYS = 6 };

static evb_topic *topic;

static int32_t publish_somehow(uint32_t way)
{
    static const evb_header header = {.name = "name", .value = "value", .value_len = 5};
    static const evb_message batch[] = {{.topic = "a.b", .data = "x", .size = 1}};
    static const evb_publish_opts all = {.key = "key", .key_len = 3, .headers = &header, .header_count = 1};
    int32_t rc;
    void *loan;

    switch (way) {
    case 0:
        return evb_publish(kit.bus, "a.b", "x", 1, NULL);
    case 1:
        return evb_publish(kit.bus, "a.b", "x", 1, &all);
    case 2:
        return evb_emit(kit.bus, "a.b", "x", 1);
    case 3:
        return evb_topic_publish(topic, "x", 1, &all);
    case 4:
        return evb_publish_many(kit.bus, batch, 1, NULL);
    default:
        if ((rc = evb_loan(kit.bus, 1, &loan)) != EVB_OK) return rc;
        memcpy(loan, "x", 1);
        rc = evb_publish_loan(kit.bus, "a.b", loan, 1, &all);
        if (rc < 0) {
            EQ_MEM(loan, "x", 1);
            evb_loan_cancel(kit.bus, loan);
        }
        return rc;
    }
}

TEST(a_publish_without_memory_reaches_nobody_and_the_next_one_everybody)
{
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    kit_open(1);
    catcher_reset(&seen);
    OK(evb_topic_open(kit.bus, "a.b", &topic));
    subs[0] = kit_sub("a.b", (evb_sub_opts){0});
    subs[1] = kit_sub("a.*", (evb_sub_opts){.overflow = EVB_OVERFLOW_DROP_OLDEST});
    subs[2] = kit_sub(">", (evb_sub_opts){.overflow = EVB_OVERFLOW_CONFLATE});
    (void)ID(evb_on(kit.bus, "a.b", catch_event, &seen));
    for (uint32_t way = 0; way < WAYS; way++) {
        for (uint32_t from = 0; from < 2; from++) {
            for (uint64_t k = 1;; k++) {
                uint64_t enqueued[3];
                uint32_t heard = catcher_count(&seen);
                int32_t rc;

                for (int i = 0; i < 3; i++)
                    enqueued[i] = assert_law(subs[i]).enqueued;
                if (from != 0)
                    evb_test_alloc_fail_from(k);
                else
                    evb_test_alloc_fail_once_at(k);
                rc = publish_somehow(way);
                evb_test_alloc_fail_off();
                if (rc != 4) FAILS(rc, EVB_ENOMEM);
                for (int i = 0; i < 3; i++)
                    EQ(assert_law(subs[i]).enqueued, enqueued[i] + (rc == 4 ? 1 : 0));
                EQ(catcher_count(&seen), heard + (rc == 4 ? 1 : 0));
                for (int i = 0; i < 3; i++)
                    EQ_STR(kit_rest(subs[i]), rc == 4 ? "x" : "");
                if (evb_test_alloc_faults() == 0) break;
            }
        }
    }
    for (int i = 0; i < 3; i++)
        kit_leave(subs[i]);
    evb_topic_close(topic);
    kit_close();
}

TEST(of_a_batch_without_memory_nothing_is_delivered)
{
    static const evb_message batch[] = {{.topic = "a.b", .data = "1", .size = 1},
                                        {.topic = "c", .data = "2", .size = 1},
                                        {.topic = "a.d", .data = "3", .size = 1}};
    uint32_t failed = 0;

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    kit_open(1);
    subs[0] = kit_sub("a.*", (evb_sub_opts){.capacity = 2});
    subs[1] = kit_sub(">", (evb_sub_opts){.capacity = 3});
    for (uint64_t k = 1;; k++) {
        int32_t rc;

        evb_test_alloc_fail_once_at(k);
        rc = evb_publish_many(kit.bus, batch, 3, NULL);
        evb_test_alloc_fail_off();
        if (rc != 5) {
            FAILS(rc, EVB_ENOMEM);
            failed++;
        }
        EQ_STR(kit_rest(subs[0]), rc == 5 ? "1 3" : "");
        EQ_STR(kit_rest(subs[1]), rc == 5 ? "1 2 3" : "");
        if (evb_test_alloc_faults() == 0) break;
    }
    CHECK(failed >= 3);
    kit_leave(subs[0]);
    kit_leave(subs[1]);
    kit_close();
}

/* ---- pull and settle ---- */

TEST(next_without_memory_hands_out_nothing_and_the_event_stays)
{
    uint32_t failed = 0;

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    kit_open(1);
    subs[0] = kit_sub("a", (evb_sub_opts){.max_in_flight = 500, .capacity = 500});
    for (int i = 0; i < 500; i++)
        kit_put("a", "x");
    for (int i = 0; i < 500; i++) { /* new places for numbers are needed again and again */
        const evb_event *ev = NULL;
        uint64_t delivery = 77;
        int32_t rc;

        evb_test_alloc_fail_from(1);
        rc = evb_sub_next(subs[0], 0, &delivery, &ev);
        evb_test_alloc_fail_off();
        if (rc != EVB_OK) {
            FAILS(rc, EVB_ENOMEM);
            EQ(delivery, 77);
            EQ_PTR(ev, NULL);
            EQ(assert_law(subs[0]).in_flight, i);
            (void)kit_take(subs[0], "x");
            failed++;
        }
        EQ(assert_law(subs[0]).in_flight, i + 1);
    }
    CHECK(failed >= 3);
    kit_leave(subs[0]);
    kit_close();
}

TEST(settling_without_memory_loses_nothing)
{
    struct letter letters[2];

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    for (uint32_t how = 0; how < 6; how++) {
        uint64_t delivery;
        int32_t rc;

        kit_open(1);
        subs[0] = kit_sub("a", (evb_sub_opts){.lease_ns = INT64_MAX}); /* no pool yet: a delay needs one */
        kit_put("a", "x");
        delivery = kit_take(subs[0], "x");
        evb_test_alloc_fail_from(1);
        switch (how) {
        case 0:
            rc = evb_ack(subs[0], delivery);
            break;
        case 1:
            rc = evb_nack(subs[0], delivery, 0);
            break;
        case 2:
            rc = evb_release(subs[0], delivery);
            break;
        case 3:
            rc = evb_reject(subs[0], delivery, 7, "a text that needs memory");
            break;
        case 4:
            rc = evb_extend(subs[0], delivery, HOUR);
            break;
        default:
            rc = evb_nack(subs[0], delivery, HOUR);
        }
        evb_test_alloc_fail_off();
        if (how != 3 && how != 5 && how != 4) OK(rc);
        if (rc != EVB_OK) {
            FAILS(rc, EVB_ENOMEM);
            EQ(assert_law(subs[0]).in_flight, 1);
            OK(evb_ack(subs[0], delivery)); /* still open */
        } else if (how == 3) {
            EQ(kit_letters(subs[0], letters, 2), 1); /* perhaps without its text */
            EQ(letters[0].death.error_code, 7);
        }
        EQ(assert_law(subs[0]).enqueued, 1);
        kit_leave(subs[0]);
        kit_close();
    }
}

static EVB__ATOMIC(uint32_t) deferred, refused;
static uint64_t numbers[128];

static int32_t defer_without_memory(const evb_event *ev, void *user)
{
    uint64_t delivery = 77;
    int32_t rc;

    (void)user;
    evb_test_alloc_fail_from(1);
    rc = evb_defer(ev, &delivery);
    evb_test_alloc_fail_off();
    if (rc == EVB_OK) {
        numbers[evb__ld_rlx(&deferred)] = delivery;
        (void)evb__add_acqrel(&deferred, 1); /* pairs with the test's look */
        return EVB_DEFER;
    }
    FAILS(rc, EVB_ENOMEM);
    EQ(delivery, 77);
    (void)evb__add_acqrel(&refused, 1);
    return EVB_RELEASE; /* it is the handler's as before */
}

TEST(defer_without_memory_leaves_the_event_to_its_handler)
{
    const uint32_t many = 100;
    uint32_t spare = 0;

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    evb__st_rlx(&deferred, 0);
    evb__st_rlx(&refused, 0);
    kit_open(1);
    subs[0] = kit_sub(
        "a", (evb_sub_opts){.handler = defer_without_memory, .max_in_flight = many, .flags = EVB_SUB_PAUSED});
    for (uint32_t i = 0; i < many; i++)
        kit_put("a", "x");
    OK(evb_sub_resume(subs[0]));
    SOON(evb__ld_acq(&refused) > 3 || evb__ld_acq(&deferred) == many);
    OK(evb_sub_pause(subs[0]));
    SOON(assert_law(subs[0]).in_flight == evb__ld_acq(&deferred));
    EQ(assert_law(subs[0]).ready, many - evb__ld_acq(&deferred));
    spare = evb__ld_acq(&deferred);
    for (uint32_t i = 0; i < spare; i++)
        OK(evb_ack(subs[0], numbers[i]));
    EQ(assert_law(subs[0]).acked, spare);
    kit_leave(subs[0]);
    kit_close();
}

/* ---- dead letters, kept events, the descriptor ---- */

static int32_t count_letters(const evb_event *ev, const evb_death *death, void *user)
{
    (void)ev;
    (void)death;
    ++*(uint32_t *)user;
    return 0;
}

TEST(redrive_and_purge_need_no_memory_and_browsing_says_when_there_is_none)
{
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    kit_open(1);
    subs[0] = kit_sub("a", (evb_sub_opts){0});
    for (int i = 0; i < 3; i++) {
        kit_put("a", (const char *[]){"1", "2", "3"}[i]);
        OK(evb_reject(subs[0], kit_take(subs[0], (const char *[]){"1", "2", "3"}[i]), 1, "text"));
    }
    for (uint64_t k = 1;; k++) {
        uint32_t shown = 0;
        int32_t rc;

        evb_test_alloc_fail_from(k);
        rc = evb_dlq_browse(subs[0], count_letters, &shown);
        evb_test_alloc_fail_off();
        if (rc != EVB_OK) FAILS(rc, EVB_ENOMEM);
        EQ(shown, rc == EVB_OK ? 3 : 0);
        EQ_STR(kit_dead(subs[0]), "1 2 3");
        if (rc == EVB_OK) break;
    }
    evb_test_alloc_fail_from(1);
    EQ(evb_dlq_redrive(subs[0], 2), 2);
    EQ(evb_dlq_count(subs[0]), 1);
    EQ(evb_dlq_purge(subs[0]), 1);
    evb_test_alloc_fail_off();
    EQ_STR(kit_rest(subs[0]), "1 2");
    kit_leave(subs[0]);
    kit_close();
}

static int32_t keep_without_memory(const evb_event *ev, void *user)
{
    const evb_event *kept;

    evb_test_alloc_fail_from(1);
    kept = evb_event_retain(ev);
    evb_test_alloc_fail_off();
    if (kept != NULL) {
        CHECK(kit_is(kept, "x"));
        evb_event_release(kept);
    } else {
        (void)evb__add_acqrel((EVB__ATOMIC(uint32_t) *)user, 1);
    }
    return EVB_OK;
}

TEST(an_event_that_cannot_be_kept_is_null)
{
    EVB__ATOMIC(uint32_t) nulls = 0;

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    kit_open(1);
    (void)ID(evb_on(kit.bus, "a", keep_without_memory, &nulls));
    EQ(kit_try("a", "x"), 1);
    EQ(evb__ld_acq(&nulls), 1); /* an emitter's own bytes need a copy */
    kit_close();
}

TEST(a_descriptor_without_memory_is_refused_and_there_later)
{
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    kit_open(1);
    subs[0] = kit_sub("a", (evb_sub_opts){0});
    evb_test_alloc_fail_from(1);
    {
        int32_t fd = evb_sub_fd(subs[0]);

        if (fd < 0) FAILS(fd, EVB_ENOMEM);
    }
    evb_test_alloc_fail_off();
    CHECK(evb_sub_fd(subs[0]) >= 0);
    kit_leave(subs[0]);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription_that_cannot_be_made_leaves_nothing_behind),
        cmocka_unit_test(at_every_allocation_of_a_life_no_memory_means_no_trace),
        cmocka_unit_test(a_publish_without_memory_reaches_nobody_and_the_next_one_everybody),
        cmocka_unit_test(of_a_batch_without_memory_nothing_is_delivered),
        cmocka_unit_test(next_without_memory_hands_out_nothing_and_the_event_stays),
        cmocka_unit_test(settling_without_memory_loses_nothing),
        cmocka_unit_test(defer_without_memory_leaves_the_event_to_its_handler),
        cmocka_unit_test(redrive_and_purge_need_no_memory_and_browsing_says_when_there_is_none),
        cmocka_unit_test(an_event_that_cannot_be_kept_is_null),
        cmocka_unit_test(a_descriptor_without_memory_is_refused_and_there_later),
    };
    return EVB_TEST_MAIN("queue_memory", tests, argc, argv);
}
