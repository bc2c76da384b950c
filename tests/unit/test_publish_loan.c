/* SPDX-License-Identifier: MIT */
/* Loans: payloads written where they stay. */
#include "evb_test.h"

#include <evbus.h>
#include <string.h>

#include "bus/message.h"
#include "fake_sink.h"

static void *lend(size_t size, const char *text)
{
    void *data = NULL;

    OK(evb_loan(bus, size, &data));
    CHECK(data != NULL);
    EQ((uintptr_t)data % 16, 0);
    if (text != NULL) memcpy(data, text, strlen(text));
    return data;
}

TEST(a_loan_is_published_without_a_copy)
{
    evb_header header = {"name", "value", 5, 0};
    evb_publish_opts opts = {.key = "key", .key_len = 3, .headers = &header, .header_count = 1};

    for (int queues = 1; queues < 4; queues++) {
        struct evb__message *m = NULL;
        struct fake *f[3];
        void *data;

        begin();
        for (int i = 0; i < queues; i++)
            f[i] = fake_on("q", "a.b");
        data = lend(100, "payload");
        EQ(evb_publish_loan(bus, "a.b", data, 7, &opts), queues);
        for (int i = 0; i < queues; i++) {
            m = fake_take(f[i]);
            EQ_PTR(m->event.data, data);
            EQ(m->event.size, 7);
            EQ_MEM(m->event.data, "payload", 7);
            EQ_STR(m->event.topic, "a.b");
            EQ_MEM(m->event.key, "key", 3);
            EQ_MEM(evb__message_header(m, "name", NULL), "value", 5);
            EQ(m->bytes, 7 + 3 + 4 + 5);
            EQ(m->event.sequence, 1);
            evb__message_unref(m);
        }
        fake_end();
        end();
    }
}

static const void *seen;

static int32_t look(const evb_event *ev, void *user)
{
    (void)user;
    seen = ev->data;
    EQ_MEM(ev->data, "payload", ev->size);
    return EVB_OK;
}

TEST(listeners_get_the_loan_itself_with_queues_and_without)
{
    for (int queues = 0; queues < 2; queues++) {
        struct fake *f = NULL;
        void *data;

        begin();
        if (queues) f = fake_on("q", "a.*");
        (void)ID(evb_on(bus, "a.*", look, NULL));
        data = lend(7, "payload");
        EQ(evb_publish_loan(bus, "a.b", data, 7, NULL), 1 + queues);
        EQ_PTR(seen, data);
        if (queues) EQ_PTR(f->first->message->event.data, data);
        fake_end();
        end();
    }
}

TEST(a_loan_that_reaches_nobody_is_over_too)
{
    begin();
    EQ(evb_publish_loan(bus, "a.b", lend(100, NULL), 100, NULL), 0);
    EQ(evb_publish_loan(bus, "a.b", lend(0, NULL), 0, NULL), 0);
    EQ(evb_publish_loan(bus, "a.b", lend(100, NULL), 100, &(evb_publish_opts){.delay_ns = 1}), 0);
    end();
}

TEST(a_canceled_loan_is_given_back)
{
    void *data;

    begin();
    data = lend(1000, NULL);
    memset(data, 1, 1000);
    evb_loan_cancel(bus, data);
    evb_loan_cancel(bus, NULL);
    end();
}

TEST(a_failed_publish_leaves_the_loan_with_the_caller)
{
    struct fake *a;
    void *data;

    begin();
    a = fake_on("a", "a.b");
    data = lend(7, "payload");
    a->refuse = EVB_EFULL;
    FAILS(evb_publish_loan(bus, "a.b", data, 7, NULL), EVB_EFULL);
    FAILS(evb_publish_loan(bus, "a..b", data, 7, NULL), EVB_EINVAL);
    FAILS(evb_publish_loan(bus, NULL, data, 7, NULL), EVB_EINVAL);
    FAILS(evb_publish_loan(bus, "c", data, 7, &(evb_publish_opts){.flags = EVB_MANDATORY}), EVB_ENOROUTE);
    FAILS(evb_publish_loan(bus, "a.b", data, 7, &(evb_publish_opts){.flags = 64}), EVB_EINVAL);
    a->refuse = EVB_OK;
    evb_test_alloc_fail_from(1);
    FAILS(evb_publish_loan(bus, "a.b", data, 7, NULL), EVB_ENOMEM);
    evb_test_alloc_fail_off();
    EQ_MEM(data, "payload", 7);
    EQ(a->events, 0);
    EQ(evb_publish_loan(bus, "a.b", data, 7, NULL), 1);
    fake_end();
    end();
}

TEST(more_than_was_lent_is_refused_and_less_is_fine)
{
    struct fake *a;
    void *data;

    begin();
    a = fake_on("a", "a.b");
    data = lend(7, "payload");
    FAILS(evb_publish_loan(bus, "a.b", data, 8, NULL), EVB_EINVAL);
    FAILS(evb_publish_loan(bus, "a.b", data, SIZE_MAX, NULL), EVB_EINVAL);
    EQ(evb_publish_loan(bus, "a.b", data, 3, NULL), 1);
    EQ(a->bytes, 3);
    fake_end();
    end();
}

TEST(what_is_no_loan_of_this_bus_is_refused)
{
    _Alignas(16) static char bytes[256];
    evb_bus *other;
    void *data;

    begin();
    OK(evb_bus_create(NULL, &other));
    data = lend(100, NULL);
    FAILS(evb_publish_loan(other, "a.b", data, 1, NULL), EVB_EINVAL);
    evb_loan_cancel(other, data); /* nothing */
    for (size_t i = 16; i < 64; i++) {
        FAILS(evb_publish_loan(bus, "a.b", bytes + i, 1, NULL), EVB_EINVAL);
        FAILS(evb_publish_loan(bus, "a.b", (char *)data + i, 1, NULL), EVB_EINVAL);
        evb_loan_cancel(bus, bytes + i);
        evb_loan_cancel(bus, (char *)data + i);
    }
    evb_loan_cancel(bus, data);
    evb_bus_destroy(other);
    end();
}

TEST(a_published_loan_is_none_any_more)
{
    struct fake *a;
    void *data;

    begin();
    a = fake_on("a", "a.b");
    data = lend(100, NULL);
    EQ(evb_publish_loan(bus, "a.b", data, 1, NULL), 1);
    FAILS(evb_publish_loan(bus, "a.b", data, 1, NULL), EVB_EINVAL); /* it is still there: the queue has it */
    evb_loan_cancel(bus, data);
    EQ(a->events, 1);
    fake_end();
    end();
}

static int32_t cancel(const evb_event *ev, void *user)
{
    evb_loan_cancel(bus, user);
    EQ_MEM(ev->data, "payload", 7);
    return EVB_OK;
}

TEST(a_listener_cannot_cancel_the_loan_it_is_called_with)
{
    for (int queues = 0; queues < 2; queues++) {
        void *data;

        begin();
        if (queues) (void)fake_on("q", "a.b");
        data = lend(7, "payload");
        (void)ID(evb_on(bus, "a.b", cancel, data));
        EQ(evb_publish_loan(bus, "a.b", data, 7, NULL), 1 + queues);
        fake_end();
        end();
    }
}

TEST(loans_outlive_the_bus)
{
    void *first, *second;

    begin();
    first = lend(10, NULL);
    second = lend(20, NULL);
    end();
    FAILS(evb_publish_loan(bus, "a.b", first, 1, NULL), EVB_ECLOSED);
    memset(second, 1, 20);
    evb_loan_cancel(bus, second);
    evb_loan_cancel(bus, first);
}

static int32_t destroy(const evb_event *ev, void *user)
{
    (void)user;
    evb_bus_destroy(bus);
    EQ_MEM(ev->data, "payload", 7);
    return EVB_OK;
}

TEST(a_listener_may_destroy_the_bus_during_the_publish_of_a_loan)
{
    begin();
    (void)ID(evb_on(bus, "a.b", destroy, NULL));
    EQ(evb_publish_loan(bus, "a.b", lend(7, "payload"), 7, NULL), 1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loan_is_published_without_a_copy),
        cmocka_unit_test(listeners_get_the_loan_itself_with_queues_and_without),
        cmocka_unit_test(a_loan_that_reaches_nobody_is_over_too),
        cmocka_unit_test(a_canceled_loan_is_given_back),
        cmocka_unit_test(a_failed_publish_leaves_the_loan_with_the_caller),
        cmocka_unit_test(more_than_was_lent_is_refused_and_less_is_fine),
        cmocka_unit_test(what_is_no_loan_of_this_bus_is_refused),
        cmocka_unit_test(a_published_loan_is_none_any_more),
        cmocka_unit_test(a_listener_cannot_cancel_the_loan_it_is_called_with),
        cmocka_unit_test(loans_outlive_the_bus),
        cmocka_unit_test(a_listener_may_destroy_the_bus_during_the_publish_of_a_loan),
    };
    return EVB_TEST_MAIN("publish_loan", tests, argc, argv);
}
