/* SPDX-License-Identifier: MIT */
/* What a key may be, and how many there may be. */
#include "queue_keyed.h"

#include <stdlib.h>
#include <string.h>

#define SCALE(n) (EVB__TSAN || EVB_TEST_ASAN ? (n) / 10 : (n))

static evb_sub *sub;

static void open_pulled(evb_sub_opts opts)
{
    kit_open(1);
    sub = kit_sub("k", opts);
}

static void end(void)
{
    kit_leave(sub);
    kit_close();
}

static int32_t try_key(const char *text, const void *key, uint32_t key_len)
{
    return kit_put_with("k", text, (evb_publish_opts){.key = key, .key_len = key_len});
}

static void put_key(const char *text, const void *key, uint32_t key_len)
{
    EQ(try_key(text, key, key_len), 1);
}

/* ---- what a key may be ---- */

TEST(the_empty_key_is_a_key_like_any_other)
{
    const evb_event *ev;
    uint64_t one;

    open_pulled((evb_sub_opts){0});
    put_key("1", "", 0);
    put_key("2", "not looked at", 0);
    put_key("3", NULL, 0); /* no key */
    put_key("4", "\0", 1); /* another one */
    one = kit_take_event(sub, "1", &ev);
    CHECK(ev->key != NULL);
    EQ(ev->key_len, 0);
    (void)kit_take(sub, "3");
    (void)kit_take(sub, "4");
    kit_none(sub);
    OK(evb_ack(sub, one));
    (void)kit_take(sub, "2");
    end();
}

TEST(keys_are_bytes_up_to_the_last_one)
{
    char a[255], b[255], twin[255];
    const evb_event *ev;
    uint64_t one;

    memset(a, 'x', sizeof a);
    memcpy(b, a, sizeof b);
    memcpy(twin, a, sizeof twin);
    b[254] = 'y';
    open_pulled((evb_sub_opts){0});
    put_key("a1", a, 255);
    put_key("b1", b, 255);
    put_key("a2", twin, 255);
    put_key("shorter", a, 254);
    put_key("zeros", "\0\0\0", 3);
    put_key("zeros too", "\0\0\0\0", 4);
    put_key("middle", "x\0y", 3);
    put_key("middle too", "x\0z", 3);
    memset(a, 'z', sizeof a); /* it was copied */
    one = kit_take_event(sub, "a1", &ev);
    EQ(ev->key_len, 255);
    EQ_MEM(ev->key, twin, 255);
    EQ_STR(kit_rest(sub), "b1 shorter zeros zeros too middle middle too");
    OK(evb_ack(sub, one));
    EQ_STR(kit_rest(sub), "a2");
    end();
}

TEST(a_bad_key_reaches_nobody)
{
    char large[256] = {0};
    evb_queue_stats before;

    open_pulled((evb_sub_opts){0});
    before = assert_law(sub);
    FAILS(try_key("x", large, sizeof large), EVB_ETOOBIG);
    FAILS(try_key("x", NULL, 1), EVB_EINVAL);
    /* SQS forbids it, too: what waits for its time would have to hold up all others of its key */
    FAILS(kit_put_with("k", "x", (evb_publish_opts){.key = "k", .key_len = 1, .delay_ns = 1}), EVB_EINVAL);
    FAILS(kit_put_with("k", "x", (evb_publish_opts){.key = "", .delay_ns = 1}), EVB_EINVAL);
    NOTHING_CHANGED(sub, before);
    end();
}

TEST(each_of_many_messages_has_its_own_key)
{
    evb_message msgs[] = {
        {.topic = "k", .data = "A1", .size = 2, .key = "A", .key_len = 1},
        {.topic = "k", .data = "A2", .size = 2, .key = "A", .key_len = 1},
        {.topic = "k", .data = "B1", .size = 2, .key = "B", .key_len = 1},
        {.topic = "k", .data = "-1", .size = 2},
    };
    uint64_t a;

    open_pulled((evb_sub_opts){0});
    EQ(evb_publish_many(kit.bus, msgs, COUNT(msgs), NULL), 4);
    a = kit_take(sub, "A1");
    EQ_STR(kit_rest(sub), "B1 -1");
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "A2");
    end();
}

TEST(events_on_different_topics_share_a_key)
{
    uint64_t a;

    kit_open(1);
    sub = kit_sub(">", (evb_sub_opts){0});
    EQ(kit_put_key("order.placed", "1", "anna"), 1);
    EQ(kit_put_key("order.paid", "2", "anna"), 1);
    EQ(kit_put_key("order.placed", "3", "bert"), 1);
    a = kit_take(sub, "1");
    EQ_STR(kit_rest(sub), "3");
    OK(evb_ack(sub, a));
    EQ_STR(kit_rest(sub), "2");
    end();
}

/* ---- many ---- */

static void put_number(uint32_t key, uint32_t number)
{
    EQ(evb_publish(kit.bus, "k", &number, sizeof number,
                   &(evb_publish_opts){.key = &key, .key_len = sizeof key}),
       1);
}

static uint64_t take_number(uint32_t *ret_key, uint32_t *ret_number)
{
    const evb_event *ev = NULL;
    uint64_t delivery = 0;

    OK(evb_sub_next(sub, 0, &delivery, &ev));
    memcpy(ret_key, ev->key, sizeof *ret_key);
    memcpy(ret_number, ev->data, sizeof *ret_number);
    return delivery;
}

TEST(keys_that_come_and_go_leave_nothing_behind)
{
    const uint32_t rounds = SCALE(200), width = 1000;
    int64_t bytes = 0, blocks = 0;
    uint32_t key, number;

    open_pulled((evb_sub_opts){.capacity = 1000});
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < width; i++)
            put_number(round * width + i, i);
        for (uint32_t i = 0; i < width; i++) {
            OK(evb_ack(sub, take_number(&key, &number)));
            EQ(key, round * width + i);
        }
        kit_none(sub);
        if (round == 0) bytes = evb_test_alloc_live_bytes();
        if (round == 0) blocks = evb_test_alloc_live();
    }
    EQ(evb_test_alloc_live(), blocks);
    EQ(evb_test_alloc_live_bytes(), bytes);
    EQ(assert_law(sub).acked, (uint64_t)rounds * width);
    end();
}

TEST(two_hundred_thousand_keys_at_once_are_as_many_lanes)
{
    const uint32_t keys = SCALE(200000);
    uint32_t key, number, left = keys;
    uint64_t *held = calloc(keys, sizeof *held);
    int64_t before;

    CHECK(held != NULL);
    open_pulled((evb_sub_opts){.capacity = UINT32_MAX,
                               .capacity_bytes = UINT64_C(1) << 32,
                               .max_in_flight = 1u << 20,
                               .lease_ns = INT64_MAX});
    before = evb_test_alloc_live();
    for (uint32_t n = 0; n < 2; n++)
        for (uint32_t k = 0; k < keys; k++)
            put_number(k, n);
    for (uint32_t i = 0; i < keys; i++) {
        held[i] = take_number(&key, &number);
        EQ(key, i);
        EQ(number, 0);
    }
    kit_none(sub); /* one of each is in flight */
    for (uint32_t i = keys; i-- > 0;)
        OK(evb_ack(sub, held[i]));
    for (; left > 0; left--) {
        OK(evb_ack(sub, take_number(&key, &number)));
        EQ(key, left - 1); /* in the order in which they became free */
        EQ(number, 1);
    }
    kit_none(sub);
    /* the table, the numbers, the mailbox; not a block an event */
    CHECK(evb_test_alloc_live() - before < (int64_t)keys / 4 + 8192);
    end();
    free(held);
}

TEST(random_turns_of_many_keys_end_as_a_slow_model_says)
{
    enum { KEYS = 300, EVENTS = 8000, WINDOW = 200 };
    struct {
        uint64_t delivery;
        uint32_t key, number;
    } held[WINDOW];
    static uint32_t put_of[KEYS], next[KEYS];
    static bool taken[KEYS];
    struct evb__rng *rng = evb_test_rng();
    uint32_t published = 0, done = 0, inside = 0;

    memset(put_of, 0, sizeof put_of);
    memset(next, 0, sizeof next);
    memset(taken, 0, sizeof taken);
    open_pulled((evb_sub_opts){.capacity = UINT32_MAX, .retry = {.max_attempts = UINT32_MAX}});
    while (done < EVENTS) {
        uint64_t what = evb__rng_below(rng, 3);

        if (what == 0 && published < EVENTS) {
            uint32_t key = (uint32_t)evb__rng_below(rng, 1 + evb__rng_below(rng, KEYS));

            put_number(key, put_of[key]++);
            published++;
        } else if (what == 1 && inside < WINDOW && assert_law(sub).ready != 0) {
            const evb_event *ev;
            int32_t rc = evb_sub_next(sub, 0, &held[inside].delivery, &ev);

            if (rc == EVB_EEMPTY) { /* all that is ready must wait behind what is held */
                uint64_t waits = 0;

                for (uint32_t k = 0; k < KEYS; k++)
                    waits += taken[k] ? put_of[k] - next[k] - 1 : 0;
                EQ(waits, assert_law(sub).ready);
                continue;
            }
            OK(rc);
            memcpy(&held[inside].key, ev->key, sizeof(uint32_t));
            memcpy(&held[inside].number, ev->data, sizeof(uint32_t));
            CHECK(!taken[held[inside].key]);
            EQ(held[inside].number, next[held[inside].key]);
            taken[held[inside++].key] = true;
        } else if (what == 2 && inside != 0) {
            uint32_t i = (uint32_t)evb__rng_below(rng, inside), how = (uint32_t)evb__rng_below(rng, 4);

            if (how == 0) {
                OK(evb_release(sub, held[i].delivery));
            } else if (how == 1) {
                OK(evb_nack(sub, held[i].delivery, 0));
            } else {
                OK(evb_ack(sub, held[i].delivery));
                next[held[i].key]++;
                done++;
            }
            taken[held[i].key] = false;
            held[i] = held[--inside];
        }
    }
    kit_none(sub);
    EQ(assert_law(sub).acked, EVENTS);
    end();
}

/* ---- without memory ---- */

static void keys_without_memory(void *arg)
{
    evb_sub_opts opts = {.capacity = 2000, .max_in_flight = 2000, .lease_ns = INT64_MAX};
    uint32_t put_in = 0, key, number;

    (void)arg;
    if (!OK_OR_NOMEM(evb_bus_create(NULL, &kit.bus))) return;
    if (OK_OR_NOMEM(evb_subscribe(kit.bus, "k", &opts, &sub))) {
        for (uint32_t i = 0; i < 300; i++) {
            key = i % 280;
            if (OK_OR_NOMEM(evb_publish(kit.bus, "k", &i, sizeof i,
                                        &(evb_publish_opts){.key = &key, .key_len = sizeof key})))
                put_in++;
        }
        EQ(assert_law(sub).ready, put_in);
        while (put_in > 0) { /* a table that could not grow is slower, no more */
            const evb_event *ev;
            uint64_t delivery;

            if (!OK_OR_NOMEM(evb_sub_next(sub, 0, &delivery, &ev))) break;
            memcpy(&key, ev->key, sizeof key);
            memcpy(&number, ev->data, sizeof number);
            EQ(number % 280, key);
            OK(evb_ack(sub, delivery));
            put_in--;
        }
        kit_leave(sub);
    }
    evb_bus_destroy(kit.bus);
}

TEST(without_memory_for_its_table_a_queue_goes_on_and_keys_stay_keys)
{
    CHECK(evb_test_alloc_sweep(keys_without_memory, NULL) > 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_empty_key_is_a_key_like_any_other),
        cmocka_unit_test(keys_are_bytes_up_to_the_last_one),
        cmocka_unit_test(a_bad_key_reaches_nobody),
        cmocka_unit_test(each_of_many_messages_has_its_own_key),
        cmocka_unit_test(events_on_different_topics_share_a_key),
        cmocka_unit_test(keys_that_come_and_go_leave_nothing_behind),
        cmocka_unit_test(two_hundred_thousand_keys_at_once_are_as_many_lanes),
        cmocka_unit_test(random_turns_of_many_keys_end_as_a_slow_model_says),
        cmocka_unit_test(without_memory_for_its_table_a_queue_goes_on_and_keys_stay_keys),
    };
    return EVB_TEST_MAIN("queue_keys_many", tests, argc, argv);
}
