/* SPDX-License-Identifier: MIT */
/* What a publish refuses before anything happens: bad arguments, options, keys, headers, sizes. Every way to
 * publish is asked the same. */
#include "evb_test.h"

#include <evbus.h>
#include <string.h>

#include "bus/message.h"
#include "fake_sink.h"

static evb_topic *handle; /* of "a.b" */
static struct fake *taker;

static void start(void)
{
    begin();
    OK(evb_topic_open(bus, "a.b", &handle));
    taker = fake_on("q", "a.*");
    (void)listen_to("a.*", "x", (evb_listen_opts){0});
    trace[0] = '\0';
}

static void stop(void)
{
    evb_topic_close(handle);
    fake_end();
    end();
}

/* By name, by handle, and as the payload of a loan. */
static void refused(const void *data, size_t size, const evb_publish_opts *opts, int32_t status)
{
    void *loan;

    FAILS(evb_publish(bus, "a.b", data, size, opts), status);
    FAILS(evb_topic_publish(handle, data, size, opts), status);
    if (size < 100) {
        OK(evb_loan(bus, 100, &loan));
        if (data != NULL || size == 0) FAILS(evb_publish_loan(bus, "a.b", loan, size, opts), status);
        evb_loan_cancel(bus, loan);
    }
    EQ_STR(trace, ""); /* nothing happened */
    EQ(bus->sequence + bus->published + bus->unroutable, 0);
}

static void accepted(const void *data, size_t size, const evb_publish_opts *opts)
{
    EQ(evb_publish(bus, "a.b", data, size, opts), opts != NULL && opts->delay_ns != 0 ? 1 : 2);
    EQ(evb_topic_publish(handle, data, size, opts), opts != NULL && opts->delay_ns != 0 ? 1 : 2);
    fake_empty(taker);
    evb__st_rlx(&bus->sequence, 0);
    trace[0] = '\0';
}

TEST(null_arguments_are_refused)
{
    void *data = NULL;

    start();
    FAILS(evb_publish(NULL, "a.b", NULL, 0, NULL), EVB_EINVAL);
    FAILS(evb_publish(bus, NULL, NULL, 0, NULL), EVB_EINVAL);
    FAILS(evb_topic_publish(NULL, NULL, 0, NULL), EVB_EINVAL);
    FAILS(evb_publish_many(NULL, NULL, 0, NULL), EVB_EINVAL);
    FAILS(evb_publish_many(bus, NULL, 1, NULL), EVB_EINVAL);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = NULL}, 1, NULL), EVB_EINVAL);
    FAILS(evb_loan(NULL, 1, &data), EVB_EINVAL);
    FAILS(evb_loan(bus, 1, NULL), EVB_EINVAL);
    FAILS(evb_publish_loan(bus, "a.b", NULL, 0, NULL), EVB_EINVAL);
    EQ_PTR(data, NULL);
    refused(NULL, 1, NULL, EVB_EINVAL);
    accepted(NULL, 0, NULL);
    stop();
}

TEST(names_are_checked_as_an_emit_does)
{
    static const char *const bad[] = {"", "a.*", "a..b", ">", "$a", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"};
    char longest[300];

    start();
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FAILS(evb_publish(bus, bad[i], NULL, 0, NULL), EVB_EINVAL);
        FAILS(evb_publish_many(bus, (evb_message[]){{.topic = "a.b"}, {.topic = bad[i]}}, 2, NULL),
              EVB_EINVAL);
    }
    FAILS(evb_publish(bus, longest, NULL, 0, NULL), EVB_EINVAL);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = longest}, 1, NULL), EVB_EINVAL);
    EQ_STR(trace, "");
    longest[255] = '\0';
    EQ(evb_publish(bus, longest, NULL, 0, NULL), 0);
    stop();
}

TEST(the_largest_payload_is_the_one_of_an_emit)
{
    static char payload[1001];
    void *data;

    begin();
    evb_bus_destroy(bus);
    OK(evb_bus_create(&(evb_bus_opts){.max_payload_bytes = 1000}, &bus));
    OK(evb_topic_open(bus, "a.b", &handle));
    taker = fake_on("q", "a.*");
    (void)listen_to("a.*", "x", (evb_listen_opts){0});
    refused(payload, 1001, NULL, EVB_ETOOBIG);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b", .data = payload, .size = 1001}, 1, NULL),
          EVB_ETOOBIG);
    FAILS(evb_loan(bus, 1001, &data), EVB_ETOOBIG);
    accepted(payload, 1000, NULL);
    stop();
}

TEST(flags_and_reserved_fields_are_checked)
{
    start();
    refused("", 0, &(evb_publish_opts){.flags = 16}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.flags = 0x80000000u | EVB_MANDATORY}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.reserved = 1}, EVB_EINVAL);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, &(evb_publish_opts){.flags = 16}),
          EVB_EINVAL);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b", .reserved = {0, 1}}, 1, NULL), EVB_EINVAL);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b", .reserved = {1, 0}}, 1, NULL), EVB_EINVAL);
    accepted("", 0, &(evb_publish_opts){.flags = EVB_MANDATORY | EVB_NOWAIT});
    stop();
}

TEST(option_structs_of_other_ages_are_read_as_base_h_says)
{
    struct {
        evb_publish_opts known;
        uint64_t more;
    } newer = {.known.struct_size = sizeof newer};

    start();
    accepted("", 0, &newer.known);
    newer.more = 1;
    refused("", 0, &newer.known, EVB_ENOTSUP);
    refused("", 0, &(evb_publish_opts){.struct_size = 8}, EVB_EINVAL);
    accepted("", 0, &(evb_publish_opts){.struct_size = sizeof(evb_publish_opts)});
    stop();
}

TEST(times_are_checked)
{
    int64_t ten_years = INT64_C(10) * 365 * 86400 * 1000000000;

    start();
    refused("", 0, &(evb_publish_opts){.delay_ns = -1}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.delay_ns = ten_years + 1}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.delay_ns = INT64_MIN}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.ttl_ns = -1}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.timeout_ns = -2}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.timeout_ns = INT64_MIN}, EVB_EINVAL);
    accepted("", 0, &(evb_publish_opts){.delay_ns = ten_years});
    accepted("", 0, &(evb_publish_opts){.timeout_ns = EVB_FOREVER});
    accepted("", 0, &(evb_publish_opts){.timeout_ns = INT64_MAX});
    stop();
}

TEST(a_delay_with_a_key_is_refused)
{
    evb_message message = {.topic = "a.b", .key = "k", .key_len = 1};

    start();
    refused("", 0, &(evb_publish_opts){.delay_ns = 1, .key = "k", .key_len = 1}, EVB_EINVAL);
    FAILS(evb_publish_many(bus, &message, 1, &(evb_publish_opts){.delay_ns = 1}), EVB_EINVAL);
    EQ_STR(trace, "");
    stop();
}

TEST(what_comes_later_is_not_supported_and_what_needs_a_store_is_invalid)
{
    start();
    refused("", 0, &(evb_publish_opts){.dedup_id = ""}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.flags = EVB_RETAIN, .delay_ns = 1}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.flags = EVB_DURABLE}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.stream = "s"}, EVB_EINVAL);
    refused("", 0, &(evb_publish_opts){.flags = EVB_RETAIN, .ttl_ns = -1}, EVB_EINVAL); /* mistakes first */
    stop();
}

TEST(keys_have_up_to_255_bytes)
{
    char key[256] = {0};
    struct evb__message *m;

    start();
    refused("", 0, &(evb_publish_opts){.key = key, .key_len = 256}, EVB_ETOOBIG);
    refused("", 0, &(evb_publish_opts){.key_len = 1}, EVB_EINVAL);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b", .key = key, .key_len = 256}, 1, NULL),
          EVB_ETOOBIG);
    key[254] = 'e';
    EQ(evb_publish(bus, "a.b", NULL, 0, &(evb_publish_opts){.key = key, .key_len = 255}), 2);
    m = fake_take(taker);
    EQ(m->event.key_len, 255);
    EQ_MEM(m->event.key, key, 255);
    evb__message_unref(m);
    EQ(evb_publish(bus, "a.b", NULL, 0, &(evb_publish_opts){.key = key, .key_len = 0}),
       2); /* an empty key is one */
    m = fake_take(taker);
    EQ(m->event.key_len, 0);
    CHECK(m->event.key != NULL);
    evb__message_unref(m);
    EQ(evb_publish(bus, "a.b", NULL, 0, NULL), 2);
    m = fake_take(taker);
    CHECK(m->event.key == NULL);
    evb__message_unref(m);
    stop();
}

static void headers_refused(evb_header header, int32_t status)
{
    evb_message message = {.topic = "a.b", .headers = &header, .header_count = 1};

    refused("", 0, &(evb_publish_opts){.headers = &header, .header_count = 1}, status);
    FAILS(evb_publish_many(bus, &message, 1, NULL), status);
}

TEST(headers_are_checked)
{
    char value[8192] = {0};

    start();
    refused("", 0, &(evb_publish_opts){.header_count = 1}, EVB_EINVAL);
    headers_refused((evb_header){NULL, "v", 1, 0}, EVB_EINVAL);
    headers_refused((evb_header){"", "v", 1, 0}, EVB_EINVAL);
    headers_refused((evb_header){"n", NULL, 1, 0}, EVB_EINVAL);
    headers_refused((evb_header){"n", "v", 1, 1}, EVB_EINVAL);
    headers_refused((evb_header){"n", value, 8192, 0}, EVB_ETOOBIG);
    headers_refused((evb_header){"n", value, UINT32_MAX, 0}, EVB_ETOOBIG);
    accepted("", 0, &(evb_publish_opts){.headers = &(evb_header){"n", value, 8191, 0}, .header_count = 1});
    accepted("", 0, &(evb_publish_opts){.headers = &(evb_header){"n", NULL, 0, 0}, .header_count = 1});
    stop();
}

TEST(headers_have_up_to_8_kib_in_all)
{
    static evb_header headers[4097];
    struct evb__message *m;
    uint32_t length = 77;

    start();
    for (size_t i = 0; i < 4097; i++)
        headers[i] = (evb_header){i == 4095 ? "l" : "n", i % 2 != 0 ? "1" : "0", 1, 0};
    refused("", 0, &(evb_publish_opts){.headers = headers, .header_count = 4097}, EVB_ETOOBIG);
    EQ(evb_publish(bus, "a.b", NULL, 0, &(evb_publish_opts){.headers = headers, .header_count = 4096}), 2);
    m = fake_take(taker);
    EQ(m->bytes, 8192);
    EQ_MEM(evb__message_header(m, "l", &length), "1", 1);
    EQ(length, 1);
    EQ_MEM(evb__message_header(m, "n", NULL), "0", 1); /* the first one */
    evb__message_unref(m);
    stop();
}

TEST(header_values_are_aligned_and_found_by_their_whole_name)
{
    uint64_t number = 7;
    evb_header headers[] = {{"a", "x", 1, 0}, {"abc", &number, sizeof number, 0}, {"ab", "ab", 3, 0}};
    struct evb__message *m;
    uint32_t length = 77;
    const void *value;

    start();
    EQ(evb_publish(bus, "a.b", "p", 1, &(evb_publish_opts){.headers = headers, .header_count = 3}), 2);
    m = fake_take(taker);
    value = evb__message_header(m, "abc", &length);
    EQ((uintptr_t)value % 8, 0);
    EQ(length, 8);
    EQ(*(const uint64_t *)value, 7);
    EQ_STR(evb__message_header(m, "ab", &length), "ab");
    EQ(length, 3);
    length = 77;
    CHECK(evb__message_header(m, "abcd", &length) == NULL);
    CHECK(evb__message_header(m, "", &length) == NULL);
    EQ(length, 77);
    evb__message_unref(m);
    stop();
}

TEST(a_batch_does_not_look_at_what_belongs_to_one_event)
{
    evb_publish_opts opts = {.key_len = 1000, .header_count = 1000, .dedup_id = "id"};

    start();
    EQ(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, &opts), 2);
    EQ(taker->first->message->event.key_len, 0);
    stop();
}

TEST(of_a_batch_every_message_is_checked_before_anything_happens)
{
    evb_message messages[3] = {{.topic = "a.b"}, {.topic = "a.c"}, {.topic = "a.d", .size = 1}};

    start();
    fake_filter(taker);
    FAILS(evb_publish_many(bus, messages, 3, NULL), EVB_EINVAL);
    EQ_STR(trace, ""); /* not even a filter */
    FAILS(evb_publish_many(bus, messages, (1u << 24) + 1, NULL), EVB_ETOOBIG);
    stop();
}

static int publishes_in_the_child(void *unused)
{
    void *data = NULL;

    (void)unused;
    FAILS(evb_publish(bus, "a.b", NULL, 0, NULL), EVB_EFORKED);
    FAILS(evb_topic_publish(handle, NULL, 0, NULL), EVB_EFORKED);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, NULL), EVB_EFORKED);
    FAILS(evb_loan(bus, 1, &data), EVB_EFORKED);
    FAILS(evb_publish_loan(bus, "a.b", &data, 0, NULL), EVB_EFORKED);
    evb_loan_cancel(bus, &data);
    return 0;
}

TEST(a_forked_child_is_refused)
{
    start();
    EQ(evb_test_in_child(publishes_in_the_child, NULL), 0);
    accepted("", 0, NULL);
    stop();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_arguments_are_refused),
        cmocka_unit_test(names_are_checked_as_an_emit_does),
        cmocka_unit_test(the_largest_payload_is_the_one_of_an_emit),
        cmocka_unit_test(flags_and_reserved_fields_are_checked),
        cmocka_unit_test(option_structs_of_other_ages_are_read_as_base_h_says),
        cmocka_unit_test(times_are_checked),
        cmocka_unit_test(a_delay_with_a_key_is_refused),
        cmocka_unit_test(what_comes_later_is_not_supported_and_what_needs_a_store_is_invalid),
        cmocka_unit_test(keys_have_up_to_255_bytes),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(headers_have_up_to_8_kib_in_all),
        cmocka_unit_test(header_values_are_aligned_and_found_by_their_whole_name),
        cmocka_unit_test(a_batch_does_not_look_at_what_belongs_to_one_event),
        cmocka_unit_test(of_a_batch_every_message_is_checked_before_anything_happens),
        cmocka_unit_test(a_forked_child_is_refused),
    };
    return EVB_TEST_MAIN("publish_arguments", tests, argc, argv);
}
