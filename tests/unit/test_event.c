/* SPDX-License-Identifier: MIT */
/* Events kept beyond their callback: from an emit, from a publish that only listeners got, from one that
 * queues hold, from a loan; after the queues are through with them and after the bus has gone. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

#include "bus/message.h"
#include "fake_sink.h"

static const evb_event *kept;
static char payload[8], key[8], value[8];

static int32_t keep(const evb_event *ev, void *user)
{
    (void)user;
    kept = evb_event_retain(ev);
    return EVB_OK;
}

static void fill(void)
{
    strcpy(payload, "payload");
    strcpy(key, "key");
    strcpy(value, "value");
}

/* The publisher's bytes are its own again. */
static void overwrite(void)
{
    memset(payload, '-', sizeof payload);
    memset(key, '-', sizeof key);
    memset(value, '-', sizeof value);
}

static void check_kept(bool with_key, bool with_header)
{
    uint32_t length = 77;

    CHECK(kept != NULL);
    EQ_STR(kept->topic, "a.b");
    EQ(kept->topic_len, 3);
    EQ(kept->size, 8);
    EQ_STR(kept->data, "payload");
    EQ(kept->key_len, with_key ? 4 : 0);
    if (with_key)
        EQ_STR(kept->key, "key");
    else
        CHECK(kept->key == NULL);
    if (with_header) {
        EQ_STR(evb_event_header(kept, "name", &length), "value");
        EQ(length, 6);
    } else {
        CHECK(evb_event_header(kept, "name", &length) == NULL);
        EQ(length, 77);
    }
}

TEST(an_event_of_an_emit_is_copied)
{
    static const char *const patterns[] = {"a.b", "a.*"};

    for (int p = 0; p < 2; p++) {
        begin();
        fill();
        (void)ID(evb_on(bus, patterns[p], keep, NULL));
        EQ(evb_emit(bus, "a.b", payload, sizeof payload), 1);
        overwrite();
        end();
        check_kept(false, false);
        EQ(kept->sequence, 0);
        EQ(evb_event_time_ns(kept), 0);
        evb_event_release(kept);
    }
}

TEST(an_event_that_only_listeners_get_is_copied_with_key_and_headers)
{
    evb_header header = {"name", value, 6, 0};
    evb_publish_opts opts = {.key = key, .key_len = 4, .headers = &header, .header_count = 1};

    begin();
    fill();
    (void)ID(evb_on(bus, "a.b", keep, NULL));
    EQ(evb_publish(bus, "a.b", payload, sizeof payload, &opts), 1);
    overwrite();
    end();
    check_kept(true, true);
    EQ(evb_event_time_ns(kept), 0);
    evb_event_release(kept);
}

TEST(an_event_that_queues_hold_is_counted_not_copied)
{
    evb_header header = {"name", value, 6, 0};
    evb_publish_opts opts = {.key = key, .key_len = 4, .headers = &header, .header_count = 1};
    struct evb__message *m;
    struct fake *a;

    begin();
    fill();
    a = fake_on("a", "a.b");
    (void)ID(evb_on(bus, "a.b", keep, NULL));
    EQ(evb_publish(bus, "a.b", payload, sizeof payload, &opts), 2);
    overwrite();
    m = fake_take(a);
    EQ_PTR(kept->data, m->event.data);
    EQ(evb_event_time_ns(kept), m->time_ns);
    evb__message_unref(m);
    fake_end();
    end();
    check_kept(true, true);
    EQ(kept->sequence, 1);
    CHECK(evb_event_time_ns(kept) > 0);
    evb_event_release(kept);
}

TEST(an_event_of_a_loan_can_be_kept)
{
    for (int queues = 0; queues < 2; queues++) {
        void *data;

        begin();
        if (queues) (void)fake_on("a", "a.b");
        (void)ID(evb_on(bus, "a.b", keep, NULL));
        OK(evb_loan(bus, 8, &data));
        memcpy(data, "payload", 8);
        EQ(evb_publish_loan(bus, "a.b", data, 8, NULL), 1 + queues);
        if (queues) EQ_PTR(kept->data, data);
        fake_end();
        end();
        check_kept(false, false);
        evb_event_release(kept);
    }
}

static bool keeps_in_filter(const evb_event *ev)
{
    (void)keep(ev, NULL);
    return true;
}

static void filter_keeps(struct fake *fake, const evb_event *ev)
{
    (void)fake;
    (void)keeps_in_filter(ev);
}

TEST(a_filter_may_keep_what_it_sees)
{
    evb_header header = {"name", value, 6, 0};
    evb_publish_opts opts = {.key = key, .key_len = 4, .headers = &header, .header_count = 1};
    struct fake *a;

    begin();
    fill();
    a = fake_on("a", "a.b");
    fake_filter(a);
    a->in_filter = filter_keeps;
    EQ(evb_publish(bus, "a.b", payload, sizeof payload, &opts), 1);
    overwrite();
    fake_end();
    end();
    check_kept(true, true);
    EQ(kept->sequence, 0);
    evb_event_release(kept);
}

TEST(an_event_can_be_kept_many_times)
{
    const evb_event *again;

    begin();
    fill();
    (void)ID(evb_on(bus, "a.b", keep, NULL));
    EQ(evb_emit(bus, "a.b", payload, sizeof payload), 1);
    again = evb_event_retain(kept);
    EQ_PTR(again, kept);
    evb_event_release(again);
    check_kept(false, false);
    evb_event_release(kept);
    end();
}

static const evb_event *two[2];

static int32_t keep_twice(const evb_event *ev, void *user)
{
    (void)user;
    two[0] = evb_event_retain(ev);
    two[1] = evb_event_retain(ev);
    return EVB_OK;
}

TEST(keeping_the_callbacks_event_twice_gives_two)
{
    begin();
    fill();
    (void)ID(evb_on(bus, "a.b", keep_twice, NULL));
    EQ(evb_emit(bus, "a.b", payload, sizeof payload), 1);
    evb_event_release(two[0]);
    kept = two[1];
    check_kept(false, false);
    evb_event_release(two[1]);
    end();
}

static const evb_event *inner;

static int32_t keep_inner(const evb_event *ev, void *user)
{
    (void)user;
    inner = evb_event_retain(ev);
    return EVB_OK;
}

static int32_t emit_on(const evb_event *ev, void *user)
{
    EQ(evb_emit(bus, "c", ev->data, ev->size), 1);
    return keep(ev, user);
}

TEST(a_nested_emit_of_the_same_bytes_is_an_event_of_its_own)
{
    begin();
    fill();
    (void)ID(evb_on(bus, "c", keep_inner, NULL));
    (void)ID(evb_on(bus, "a.b", emit_on, NULL));
    EQ(evb_emit(bus, "a.b", payload, sizeof payload), 1);
    overwrite();
    check_kept(false, false);
    EQ_STR(inner->topic, "c");
    EQ_STR(inner->data, "payload");
    evb_event_release(kept);
    evb_event_release(inner);
    end();
}

static int32_t release_what_is_not_kept(const evb_event *ev, void *user)
{
    (void)user;
    evb_event_release(ev); /* a mistake without effect */
    return keep(ev, user);
}

TEST(releasing_an_event_that_was_not_kept_does_nothing)
{
    for (int queues = 0; queues < 2; queues++) {
        begin();
        fill();
        if (queues) (void)fake_on("a", "a.b");
        (void)ID(evb_on(bus, "a.b", release_what_is_not_kept, NULL));
        EQ(evb_publish(bus, "a.b", payload, sizeof payload, NULL), 1 + queues);
        check_kept(false, false);
        evb_event_release(kept);
        fake_end();
        end();
    }
}

TEST(nothing_is_asked_of_no_event)
{
    CHECK(evb_event_retain(NULL) == NULL);
    evb_event_release(NULL);
    EQ(evb_event_time_ns(NULL), 0);
    CHECK(evb_event_header(NULL, "name", NULL) == NULL);
}

static int32_t ask_headers(const evb_event *ev, void *user)
{
    uint32_t length = 77;

    (void)user;
    CHECK(evb_event_header(ev, NULL, &length) == NULL);
    CHECK(evb_event_header(ev, "nam", &length) == NULL);
    CHECK(evb_event_header(ev, "names", &length) == NULL);
    EQ(length, 77);
    EQ_MEM(evb_event_header(ev, "name", &length), "first", 5);
    EQ(length, 5);
    CHECK(evb_event_header(ev, "empty", &length) != NULL);
    EQ(length, 0);
    EQ_MEM(evb_event_header(ev, "name", NULL), "first", 5);
    return EVB_OK;
}

TEST(headers_are_found_by_name_the_first_of_several)
{
    evb_header headers[] = {{"name", "first", 5, 0}, {"empty", NULL, 0, 0}, {"name", "second", 6, 0}};
    evb_publish_opts opts = {.headers = headers, .header_count = 3};

    for (int queues = 0; queues < 2; queues++) {
        begin();
        if (queues) (void)fake_on("a", "a.b");
        (void)ID(evb_on(bus, "a.b", ask_headers, NULL));
        (void)ID(evb_on(bus, "a.b", keep, NULL));
        EQ(evb_publish(bus, "a.b", NULL, 0, &opts), 2 + queues);
        (void)ask_headers(kept, NULL);
        EQ(kept->size, 0);
        evb_event_release(kept);
        fake_end();
        end();
    }
}

static int32_t keep_without_memory(const evb_event *ev, void *user)
{
    (void)user;
    for (uint64_t k = 1; k < 3; k++) {
        evb_test_alloc_fail_once_at(k);
        kept = evb_event_retain(ev);
        evb_test_alloc_fail_off();
        if (kept != NULL) break;
        EQ(k, evb_test_alloc_faults() != 0 ? k : 0);
    }
    return EVB_OK;
}

TEST(without_memory_an_event_is_not_kept_and_nothing_is_lost)
{
    for (int queues = 0; queues < 2; queues++) {
        begin();
        fill();
        if (queues) (void)fake_on("a", "a.b");
        (void)ID(evb_on(bus, "a.b", keep_without_memory, NULL));
        EQ(evb_publish(bus, "a.b", payload, sizeof payload, NULL), 1 + queues);
        if (queues) { /* one allocation, not two */
            check_kept(false, false);
            evb_event_release(kept);
        } else {
            CHECK(kept == NULL);
        }
        fake_end();
        end();
    }
}

static void release_in_thread(uint32_t index, void *arg)
{
    const evb_event *mine;

    (void)index;
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        mine = evb_event_retain(kept);
        EQ_MEM(mine->data, "payload", 7);
        evb_event_release(mine);
    }
    evb_event_release(kept);
}

TEST(any_thread_may_release)
{
    begin();
    fill();
    (void)ID(evb_on(bus, "a.b", keep, NULL));
    EQ(evb_emit(bus, "a.b", payload, sizeof payload), 1);
    for (int i = 0; i < 3; i++)
        (void)evb_event_retain(kept);
    evb_test_run_threads(4, release_in_thread, NULL);
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_of_an_emit_is_copied),
        cmocka_unit_test(an_event_that_only_listeners_get_is_copied_with_key_and_headers),
        cmocka_unit_test(an_event_that_queues_hold_is_counted_not_copied),
        cmocka_unit_test(an_event_of_a_loan_can_be_kept),
        cmocka_unit_test(a_filter_may_keep_what_it_sees),
        cmocka_unit_test(an_event_can_be_kept_many_times),
        cmocka_unit_test(keeping_the_callbacks_event_twice_gives_two),
        cmocka_unit_test(a_nested_emit_of_the_same_bytes_is_an_event_of_its_own),
        cmocka_unit_test(releasing_an_event_that_was_not_kept_does_nothing),
        cmocka_unit_test(nothing_is_asked_of_no_event),
        cmocka_unit_test(headers_are_found_by_name_the_first_of_several),
        cmocka_unit_test(without_memory_an_event_is_not_kept_and_nothing_is_lost),
        cmocka_unit_test(any_thread_may_release),
    };
    return EVB_TEST_MAIN("event", tests, argc, argv);
}
