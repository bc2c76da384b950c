/* SPDX-License-Identifier: MIT */
/* What is refused, and that nothing has changed then. */
#include "queue_kit.h"

#include <stdio.h>
#include <string.h>

#define YEAR (INT64_C(8760) * HOUR)

static struct freed freed;
static evb_sub *sub;

static int32_t nothing(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

/* ---- subscribe ---- */

static void refused(const char *pattern, evb_sub_opts opts, int32_t status)
{
    evb_sub *none = NULL;

    opts.user = &freed;
    opts.free_user = count_freed;
    FAILS(evb_subscribe(kit.bus, pattern, &opts, &none), status);
    EQ_PTR(none, NULL);
    EQ(freed_times(&freed), 0);
}

static void open_fresh(void)
{
    evb__st_rlx(&freed.times, 0);
    kit_open(1);
}

TEST(patterns_that_evb_on_refuses_are_refused)
{
    static const char *const patterns[] = {"", "a..b", ".a", "a.", "a.>.b", ">.a"};
    char longest[300];

    open_fresh();
    for (size_t i = 0; i < COUNT(patterns); i++)
        refused(patterns[i], (evb_sub_opts){0}, EVB_EINVAL);
    memset(longest, 'a', sizeof longest);
    longest[256] = '\0';
    refused(longest, (evb_sub_opts){0}, EVB_EINVAL);
    refused("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17", (evb_sub_opts){0}, EVB_EINVAL);
    FAILS(evb_subscribe(kit.bus, NULL, NULL, &sub), EVB_EINVAL);
    FAILS(evb_subscribe(NULL, "a", NULL, &sub), EVB_EINVAL);
    kit_close();
}

TEST(options_that_make_no_sense_are_refused)
{
    static const struct {
        evb_sub_opts opts;
        int32_t status;
    } cases[] = {
        {{.flags = 128}, EVB_EINVAL},
        {{.flags = UINT32_C(1) << 31}, EVB_EINVAL},
        {{.flags = EVB_SUB_DISPATCH}, EVB_EINVAL}, /* without handler */
        {{.handler = nothing, .concurrency = 1025}, EVB_EINVAL},
        {{.handler = nothing, .concurrency = UINT32_MAX}, EVB_EINVAL},
        {{.overflow = 5}, EVB_EINVAL},
        {{.overflow = UINT32_MAX}, EVB_EINVAL},
        {{.capacity = (1u << 24)}, EVB_EINVAL},
        {{.max_in_flight = (1u << 20) + 1}, EVB_EINVAL},
        {{.retry.jitter = 3}, EVB_EINVAL},
        {{.retry.base_ns = -1}, EVB_EINVAL},
        {{.retry.cap_ns = -1}, EVB_EINVAL},
        {{.retry.min_ns = -1}, EVB_EINVAL},
        {{.retry = {.base_ns = 2 * MS, .cap_ns = MS}}, EVB_EINVAL},
        {{.lease_ns = -1}, EVB_EINVAL},
        {{.flags = EVB_SUB_AT_MOST_ONCE, .lease_ns = SECOND}, EVB_EINVAL},
        {{.ttl_ns = -1}, EVB_EINVAL},
        {{.durable = 1}, EVB_EINVAL},              /* without a name */
        {{.durable = 1, .name = "d"}, EVB_EINVAL}, /* without a store */
        {{.name = ""}, EVB_EINVAL},
        {{.name = "tab\there"}, EVB_EINVAL},
        {{.name = "\x7f"}, EVB_EINVAL},
        {{.struct_size = 8}, EVB_EINVAL},
        {{.struct_size = sizeof(evb_sub_opts) - 1}, EVB_EINVAL},
    };
    char name[300];

    open_fresh();
    for (size_t i = 0; i < COUNT(cases); i++)
        refused("a", cases[i].opts, cases[i].status);
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    refused("a", (evb_sub_opts){.name = name}, EVB_EINVAL);
    name[255] = '\0';
    sub = kit_sub("a", (evb_sub_opts){.name = name});
    kit_leave(sub);
    EQ(evb_listener_count(kit.bus, "a"), 0);
    EQ(kit_try("a", "nobody"), 0);
    kit_close();
}

TEST(what_is_pulled_or_dispatched_needs_a_handle)
{
    open_fresh();
    FAILS(evb_subscribe(kit.bus, "a", NULL, NULL), EVB_EINVAL);
    FAILS(evb_subscribe(kit.bus, "a", &(evb_sub_opts){0}, NULL), EVB_EINVAL);
    FAILS(evb_subscribe(kit.bus, "a", &(evb_sub_opts){.handler = nothing, .flags = EVB_SUB_DISPATCH}, NULL),
          EVB_EINVAL);
    EQ(evb_listener_count(kit.bus, "a"), 0);
    OK(evb_subscribe(kit.bus, "a", NULL, &sub));
    EQ(assert_law(sub).capacity, 1024);
    kit_leave(sub);
    kit_close();
}

TEST(the_largest_values_are_accepted)
{
    static const evb_sub_opts accepted[] = {
        {.capacity = (1u << 24) - 1, .capacity_bytes = UINT64_MAX, .max_in_flight = 1u << 20},
        {.capacity = UINT32_MAX,
         .max_in_flight = UINT32_MAX,
         .dlq_capacity = UINT32_MAX,
         .dlq_bytes = UINT64_MAX},
        {.lease_ns = INT64_MAX},
        {.retry.base_ns = HOUR},   /* above the default cap, which goes along */
        {.retry.cap_ns = 99 * MS}, /* below the default base */
        {.retry = {.max_attempts = UINT32_MAX,
                   .jitter = EVB_JITTER_EQUAL,
                   .base_ns = INT64_MAX,
                   .cap_ns = INT64_MAX,
                   .min_ns = INT64_MAX}},
        {.handler = nothing, .concurrency = 1024},
        {.ttl_ns = INT64_MAX, .flags = EVB_SUB_KEY_HALT | EVB_SUB_DEAD_LETTER_EXPIRED},
        {.struct_size = sizeof(evb_sub_opts)},
        {.name = "with spaces, \xc3\xa4 and \"quotes\""},
    };

    open_fresh();
    for (size_t i = 0; i < COUNT(accepted); i++) {
        sub = kit_sub("a", accepted[i]);
        kit_put("a", "x");
        if (accepted[i].handler == NULL)
            OK(evb_nack(sub, kit_take(sub, "x"), EVB_DELAY_POLICY));
        else
            SOON(kit_settled(sub));
        kit_leave(sub);
    }
    kit_close();
}

struct larger {
    evb_sub_opts opts;
    uint64_t unknown[2];
};

TEST(a_larger_struct_is_accepted_when_the_unknown_part_is_zero)
{
    struct larger larger;

    open_fresh();
    memset(&larger, 0, sizeof larger);
    larger.opts.struct_size = sizeof larger;
    OK(evb_subscribe(kit.bus, "a", &larger.opts, &sub));
    kit_leave(sub);
    larger.unknown[1] = 1;
    FAILS(evb_subscribe(kit.bus, "a", &larger.opts, &sub), EVB_ENOTSUP);
    kit_close();
}

/* ---- publish ---- */

static void publish_refused(evb_publish_opts opts, int32_t status)
{
    uint64_t sequence = 77, position = 77;
    evb_queue_stats before = assert_law(sub);

    opts.ret_sequence = &sequence;
    opts.ret_position = &position;
    FAILS(kit_put_with("a", "x", opts), status);
    EQ(sequence, 77);
    EQ(position, 77);
    NOTHING_CHANGED(sub, before);
}

TEST(a_publish_that_makes_no_sense_reaches_nobody)
{
    static char big[9000];
    const evb_header nameless = {.name = NULL, .value = "v", .value_len = 1};
    const evb_header valueless = {.name = "n", .value = NULL, .value_len = 1};
    const evb_header large = {.name = "n", .value = big, .value_len = 8192};
    const evb_header half[] = {{.name = "n", .value = big, .value_len = 4090},
                               {.name = "n", .value = big, .value_len = 4101}};
    static const char *const topics[] = {"", "a..b", "a.*", ">", "$x", ".a"};

    open_fresh();
    sub = kit_sub(">", (evb_sub_opts){0});
    for (size_t i = 0; i < COUNT(topics); i++)
        FAILS(kit_try(topics[i], "x"), EVB_EINVAL);
    FAILS(evb_publish(kit.bus, NULL, "x", 1, NULL), EVB_EINVAL);
    FAILS(evb_publish(NULL, "a", "x", 1, NULL), EVB_EINVAL);
    FAILS(evb_publish(kit.bus, "a", NULL, 1, NULL), EVB_EINVAL);
    FAILS(evb_topic_publish(NULL, "x", 1, NULL), EVB_EINVAL);
    publish_refused((evb_publish_opts){.flags = 16}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.delay_ns = -1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.delay_ns = 10 * YEAR + 30 * 24 * HOUR}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.delay_ns = MS, .key = "k", .key_len = 1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.ttl_ns = -1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.timeout_ns = -2}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.key = NULL, .key_len = 1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.key = big, .key_len = 256}, EVB_ETOOBIG);
    publish_refused((evb_publish_opts){.headers = NULL, .header_count = 1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.headers = &nameless, .header_count = 1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.headers = &valueless, .header_count = 1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.headers = &large, .header_count = 1}, EVB_ETOOBIG);
    publish_refused((evb_publish_opts){.headers = half, .header_count = 2}, EVB_ETOOBIG);
    publish_refused((evb_publish_opts){.struct_size = 8}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.flags = EVB_DURABLE}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.stream = "s"}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.flags = EVB_RETAIN, .delay_ns = 1}, EVB_EINVAL);
    publish_refused((evb_publish_opts){.dedup_id = ""}, EVB_EINVAL);
    EQ(assert_law(sub).enqueued, 0);
    EQ(kit_put_with("a", "x", (evb_publish_opts){.key = big, .key_len = 255}), 1);
    kit_leave(sub);
    kit_close();
}

TEST(a_payload_above_the_limit_is_too_big_for_every_way_to_publish)
{
    static char data[101];
    evb_topic *topic;

    evb__st_rlx(&freed.times, 0);
    kit_open_with((evb_bus_opts){.max_payload_bytes = 100, .drain_timeout_ns = 1});
    sub = kit_sub("a", (evb_sub_opts){0});
    OK(evb_topic_open(kit.bus, "a", &topic));
    FAILS(evb_publish(kit.bus, "a", data, 101, NULL), EVB_ETOOBIG);
    FAILS(evb_topic_publish(topic, data, 101, NULL), EVB_ETOOBIG);
    FAILS(evb_emit(kit.bus, "a", data, 101), EVB_ETOOBIG);
    FAILS(evb_topic_emit(topic, data, 101), EVB_ETOOBIG);
    FAILS(evb_publish_many(kit.bus, &(evb_message){.topic = "a", .data = data, .size = 101}, 1, NULL),
          EVB_ETOOBIG);
    FAILS(evb_publish(kit.bus, "a", data, SIZE_MAX, NULL), EVB_ETOOBIG);
    EQ(assert_law(sub).enqueued, 0);
    EQ(evb_publish(kit.bus, "a", data, 100, NULL), 1);
    evb_topic_close(topic);
    kit_leave(sub);
    kit_close();
}

TEST(a_bad_event_anywhere_in_a_batch_refuses_all_of_it)
{
    static char big[300];
    const evb_message bad[] = {
        {.topic = NULL},
        {.topic = "a..b"},
        {.topic = "a", .data = NULL, .size = 1},
        {.topic = "a", .key = NULL, .key_len = 1},
        {.topic = "a", .headers = NULL, .header_count = 1},
    };

    open_fresh();
    sub = kit_sub("a", (evb_sub_opts){0});
    for (size_t i = 0; i < COUNT(bad); i++) {
        for (size_t at = 0; at < 3; at++) {
            evb_message batch[3] = {{.topic = "a"}, {.topic = "a"}, {.topic = "a"}};

            batch[at] = bad[i];
            FAILS(evb_publish_many(kit.bus, batch, 3, NULL), EVB_EINVAL);
        }
    }
    FAILS(evb_publish_many(kit.bus, &(evb_message){.topic = "a", .key = big, .key_len = 256}, 1, NULL),
          EVB_ETOOBIG);
    FAILS(evb_publish_many(kit.bus, &(evb_message){.topic = "a", .key = big, .key_len = 1}, 1,
                           &(evb_publish_opts){.delay_ns = MS}),
          EVB_EINVAL);
    FAILS(evb_publish_many(kit.bus, NULL, 1, NULL), EVB_EINVAL);
    FAILS(evb_publish_many(NULL, bad, 1, NULL), EVB_EINVAL);
    EQ(assert_law(sub).enqueued, 0);
    kit_leave(sub);
    kit_close();
}

/* ---- NULL and what is none ---- */

static int32_t look(const evb_event *ev, const evb_death *death, void *user)
{
    (void)ev;
    (void)death;
    (void)user;
    return 0;
}

TEST(a_null_subscription_is_invalid)
{
    evb_queue_stats s = {.struct_size = sizeof s};
    const evb_event *ev;
    uint64_t got, room[8];

    FAILS(evb_unsubscribe(NULL), EVB_EINVAL);
    FAILS(evb_sub_pause(NULL), EVB_EINVAL);
    FAILS(evb_sub_resume(NULL), EVB_EINVAL);
    FAILS(evb_sub_purge(NULL), EVB_EINVAL);
    FAILS(evb_sub_next(NULL, 0, &got, &ev), EVB_EINVAL);
    FAILS(evb_sub_take(NULL, room, sizeof room, 1), EVB_EINVAL);
    FAILS(evb_sub_fd(NULL), EVB_EINVAL);
    FAILS(evb_sub_dispatch(NULL, 1), EVB_EINVAL);
    FAILS(evb_ack(NULL, 1), EVB_EINVAL);
    FAILS(evb_nack(NULL, 1, 0), EVB_EINVAL);
    FAILS(evb_release(NULL, 1), EVB_EINVAL);
    FAILS(evb_reject(NULL, 1, 0, NULL), EVB_EINVAL);
    FAILS(evb_extend(NULL, 1, 0), EVB_EINVAL);
    FAILS(evb_dlq_count(NULL), EVB_EINVAL);
    FAILS(evb_dlq_browse(NULL, look, NULL), EVB_EINVAL);
    FAILS(evb_dlq_redrive(NULL, 1), EVB_EINVAL);
    FAILS(evb_dlq_purge(NULL), EVB_EINVAL);
    FAILS(evb_sub_stats(NULL, &s), EVB_EINVAL);
}

TEST(bad_arguments_of_calls_on_a_subscription_change_nothing)
{
    const evb_event *ev = NULL;
    evb_queue_stats before;
    uint64_t delivery = 77;

    open_fresh();
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "x");
    before = assert_law(sub);
    FAILS(evb_sub_next(sub, -2, &delivery, &ev), EVB_EINVAL);
    FAILS(evb_sub_next(sub, INT64_MIN, &delivery, &ev), EVB_EINVAL);
    FAILS(evb_sub_next(sub, 0, NULL, &ev), EVB_EINVAL);
    FAILS(evb_sub_next(sub, 0, &delivery, NULL), EVB_EINVAL);
    FAILS(evb_sub_stats(sub, NULL), EVB_EINVAL);
    FAILS(evb_dlq_browse(sub, NULL, NULL), EVB_EINVAL);
    EQ(delivery, 77);
    EQ_PTR(ev, NULL);
    NOTHING_CHANGED(sub, before);
    kit_leave(sub);
    kit_close();
}

TEST(counters_are_filled_in_up_to_the_size_of_the_callers_struct)
{
    union {
        evb_queue_stats s;
        unsigned char bytes[sizeof(evb_queue_stats)];
    } u;
    size_t part = offsetof(evb_queue_stats, expired);

    open_fresh();
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "x");
    memset(&u, 0xEE, sizeof u);
    u.s.struct_size = 0; /* the first release's */
    OK(evb_sub_stats(sub, &u.s));
    EQ(u.s.enqueued, 1);
    EQ(u.s.lag, 0);
    memset(&u, 0xEE, sizeof u);
    u.s.struct_size = (uint32_t)part;
    (void)evb_sub_stats(sub, &u.s); /* below the first release's: refused, or a part of it */
    for (size_t i = part; i < sizeof u; i++)
        EQ(u.bytes[i], 0xEE);
    kit_leave(sub);
    kit_close();
}

TEST(what_this_version_does_not_have_says_so_and_does_nothing)
{
    open_fresh();
    sub = kit_sub("a", (evb_sub_opts){.name = "memory"});
    kit_put("a", "x");
    FAILS(evb_sub_seek(sub, EVB_START_BEGIN), EVB_ENOTSUP);
    FAILS(evb_sub_forget(kit.bus, "memory", 1), EVB_ENOTSUP);
    EQ(assert_law(sub).ready, 1);
    EQ_STR(kit_rest(sub), "x");
    kit_leave(sub);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_that_evb_on_refuses_are_refused),
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(what_is_pulled_or_dispatched_needs_a_handle),
        cmocka_unit_test(the_largest_values_are_accepted),
        cmocka_unit_test(a_larger_struct_is_accepted_when_the_unknown_part_is_zero),
        cmocka_unit_test(a_publish_that_makes_no_sense_reaches_nobody),
        cmocka_unit_test(a_payload_above_the_limit_is_too_big_for_every_way_to_publish),
        cmocka_unit_test(a_bad_event_anywhere_in_a_batch_refuses_all_of_it),
        cmocka_unit_test(a_null_subscription_is_invalid),
        cmocka_unit_test(bad_arguments_of_calls_on_a_subscription_change_nothing),
        cmocka_unit_test(counters_are_filled_in_up_to_the_size_of_the_callers_struct),
        cmocka_unit_test(what_this_version_does_not_have_says_so_and_does_nothing),
    };
    return EVB_TEST_MAIN("queue_bad_input", tests, argc, argv);
}
