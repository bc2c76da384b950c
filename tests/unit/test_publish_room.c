/* SPDX-License-Identifier: MIT */
/* Full queues: a publisher that may wait does so with nothing in its hands, starts again from the beginning,
 * and has one deadline. And what filters can do to a publish: remove queues, close topics, destroy the bus.
 */
#include "evb_test.h"

#include <evbus.h>
#include <string.h>

#include "base/clock.h"
#include "base/reader.h"
#include "fake_sink.h"

static struct fake *full(const char *name, const char *pattern)
{
    struct fake *f = fake_on(name, pattern);

    f->room = 0;
    f->full_status = EVB_EAGAIN;
    return f;
}

static int32_t makes_room(struct fake *f, int64_t deadline_ns)
{
    (void)deadline_ns;
    f->room++;
    return EVB_OK;
}

static const char *put(const evb_publish_opts *opts, int32_t expected)
{
    trace[0] = '\0';
    EQ(evb_publish(bus, "a.b", "xyz", 3, opts), expected);
    return trace;
}

/* ---- waiting ---- */

TEST(a_publisher_waits_with_nothing_reserved_and_starts_again)
{
    struct fake *b;

    begin();
    fake_filter(fake_on("a", "a.b"));
    b = full("b", "a.b");
    b->in_wait = makes_room;
    (void)listen_to("a.b", "x", (evb_listen_opts){0});
    EQ_STR(put(NULL, 3), "a?a+b#a-b~a?a+b+a=b=x");
    EQ(bus->sequence, 1);
    fake_end();
    end();
}

TEST(every_way_to_publish_waits)
{
    static const char payload[] = "xyz";
    evb_message message = {.topic = "a.b", .data = payload, .size = 3};
    struct evb__message *m;
    evb_topic *topic;
    struct fake *a;
    void *data;

    begin();
    OK(evb_topic_open(bus, "a.b", &topic));
    a = full("a", "a.*");
    a->in_wait = makes_room;
    EQ(evb_topic_publish(topic, payload, 3, NULL), 1);
    EQ(evb_topic_emit(topic, payload, 3), 1);
    EQ(evb_emit(bus, "a.b", payload, 3), 1);
    EQ(evb_emit(bus, "a.unlisted", payload, 3), 1);
    EQ(evb_publish(bus, "a.unlisted", payload, 3, NULL), 1);
    EQ(evb_publish_many(bus, &message, 1, NULL), 1);
    OK(evb_loan(bus, 3, &data));
    memcpy(data, payload, 3);
    EQ(evb_publish_loan(bus, "a.b", data, 3, NULL), 1);
    EQ_STR(trace, "a#a~a+a=a#a~a+a=a#a~a+a=a#a~a+a=a#a~a+a=a#a~a+a=a#a~a+a=");
    for (int i = 0; i < 7; i++) {
        m = fake_take(a);
        EQ_MEM(m->event.data, payload, 3);
        EQ_STR(m->event.topic, i == 3 || i == 4 ? "a.unlisted" : "a.b");
        evb__message_unref(m);
    }
    evb_topic_close(topic);
    fake_end();
    end();
}

static int64_t deadlines[2];
static int waits;

static int32_t room_the_second_time(struct fake *f, int64_t deadline_ns)
{
    deadlines[waits++] = deadline_ns;
    evb_test_clock_advance(10);
    if (waits == 2) f->room = 1;
    return EVB_OK;
}

TEST(there_is_one_deadline_however_often_it_waits)
{
    struct fake *a;

    evb_test_clock_install(1000);
    begin();
    a = full("a", "a.b");
    a->in_wait = room_the_second_time;
    waits = 0;
    EQ_STR(put(&(evb_publish_opts){.timeout_ns = 50}, 1), "a#a~a#a~a+a=");
    EQ(deadlines[0], 1050);
    EQ(deadlines[1], 1050);
    waits = 0;
    a->room = 0;
    fake_empty(a);
    EQ_STR(put(NULL, 1), "a#a~a#a~a+a=");
    EQ(deadlines[0], EVB_FOREVER);
    waits = 0;
    a->room = 0;
    fake_empty(a);
    EQ_STR(put(&(evb_publish_opts){.timeout_ns = EVB_FOREVER}, 1), "a#a~a#a~a+a=");
    EQ(deadlines[1], EVB_FOREVER);
    fake_end();
    end();
}

TEST(a_queue_that_stays_full_times_the_publish_out_and_is_named)
{
    char name[8] = "-------";
    struct fake *b;

    begin();
    (void)fake_on("a", "a.b");
    b = full("bbbbbbbbbb", "a.b"); /* longer than there is room for */
    EQ_STR(put(&(evb_publish_opts){.timeout_ns = 5, .ret_refused = name, .refused_cap = 5}, EVB_ETIMEDOUT),
           "a+b#a-b~");
    EQ_STR(name, "bbbb");
    EQ(name[6], '-');
    EQ(b->refs, 0);
    fake_end();
    end();
}

TEST(a_refusing_queue_is_named)
{
    char name[64] = "untouched";
    evb_publish_opts opts = {.ret_refused = name, .refused_cap = sizeof name};
    struct fake *b;

    begin();
    (void)fake_on("a", "a.b");
    b = fake_on("billing", "a.b");
    EQ_STR(put(&opts, 2), "a+b+a=b=");
    EQ_STR(name, "untouched");
    b->refuse = EVB_EFULL;
    EQ_STR(put(&opts, EVB_EFULL), "a+b#a-");
    EQ_STR(name, "billing");
    opts.refused_cap = 1;
    EQ_STR(put(&opts, EVB_EFULL), "a+b#a-");
    EQ_STR(name, "");
    opts.refused_cap = 0;
    strcpy(name, "untouched");
    EQ_STR(put(&opts, EVB_EFULL), "a+b#a-");
    EQ_STR(name, "untouched");
    EQ_STR(put(&(evb_publish_opts){.refused_cap = 64}, EVB_EFULL), "a+b#a-");
    fake_end();
    end();
}

TEST(with_nowait_a_blocking_queue_refuses)
{
    char name[8];

    begin();
    (void)full("a", "a.b");
    EQ_STR(put(&(evb_publish_opts){.flags = EVB_NOWAIT, .ret_refused = name, .refused_cap = 8}, EVB_EFULL),
           "a#");
    EQ_STR(name, "a");
    fake_end();
    end();
}

static int32_t expected_inside;

static int32_t publish_inside(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    EQ(evb_publish(bus, "a.b", NULL, 0, NULL), expected_inside);
    EQ(evb_emit(bus, "a.b", NULL, 0), expected_inside);
    EQ(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, NULL), expected_inside);
    EQ(evb_publish(bus, "a.b", NULL, 0, &(evb_publish_opts){.flags = EVB_NOWAIT}),
       expected_inside < 0 ? EVB_EFULL : expected_inside);
    return EVB_OK;
}

static void publish_inside_free_user(void *user)
{
    (void)publish_inside(NULL, user);
}

TEST(inside_any_callback_a_publish_never_waits)
{
    evb_bus *other;
    struct fake *a;
    int64_t id;

    begin();
    a = full("a", "a.b");
    OK(evb_bus_create(NULL, &other));
    (void)ID(evb_on(other, "t", publish_inside, NULL));
    expected_inside = EVB_EDEADLK;
    EQ(evb_emit(other, "t", NULL, 0), 1);
    EQ_STR(trace, "a#a#a#a#");
    a->room = UINT32_MAX;
    expected_inside = 1;
    EQ(evb_emit(other, "t", NULL, 0), 1);
    a->room = 0;
    expected_inside = EVB_EDEADLK;
    id = ID(evb_listen(other, "u", &(evb_listen_opts){.free_user = publish_inside_free_user}, ignore, NULL));
    OK(evb_off(other, id));
    evb_bus_destroy(other);
    fake_end();
    end();
}

static int32_t leaves(struct fake *f, int64_t deadline_ns)
{
    (void)deadline_ns;
    fake_off(f);
    return EVB_ECLOSED;
}

TEST(a_queue_that_goes_while_somebody_waits_for_it_is_not_waited_for_any_more)
{
    struct fake *a;

    begin();
    a = full("a", "a.b");
    a->in_wait = leaves;
    (void)listen_to("a.b", "x", (evb_listen_opts){0});
    EQ_STR(put(NULL, 1), "a#a~a!x");
    fake_end();
    end();
}

static evb_topic *handle;

static int32_t closes_the_handle(struct fake *f, int64_t deadline_ns)
{
    evb_topic_close(handle);
    return makes_room(f, deadline_ns);
}

/* By "one of its listeners" or of what runs inside: the name is copied before the record can go. */
TEST(the_record_may_go_while_a_publisher_waits)
{
    struct evb__message *m;
    struct fake *a;

    begin();
    a = full("a", "a.*");
    a->in_wait = closes_the_handle;
    OK(evb_topic_open(bus, "a.b", &handle));
    EQ(evb_topic_publish(handle, "xyz", 3, NULL), 1);
    EQ(bus->topics, 0);
    m = fake_take(a);
    EQ_STR(m->event.topic, "a.b");
    evb__message_unref(m);
    OK(evb_topic_open(bus, "a.b", &handle));
    a->room = 0;
    EQ(evb_topic_emit(handle, "xyz", 3), 1);
    m = fake_take(a);
    EQ_STR(m->event.topic, "a.b");
    evb__message_unref(m);
    fake_end();
    end();
}

/* ---- a bus that drains, a bus that ends ---- */

TEST(a_draining_bus_refuses_publishes_and_emits_to_queues_but_not_those_to_listeners)
{
    evb_topic *topic;
    void *data;
    int64_t id;

    begin();
    (void)listen_to("a.*", "x", (evb_listen_opts){0});
    OK(evb_topic_open(bus, "a.handle", &topic));
    evb__st_rel(&bus->draining, 1); /* as evb_bus_drain does */
    FAILS(evb_publish(bus, "a.b", NULL, 0, NULL), EVB_ECLOSED);
    FAILS(evb_topic_publish(topic, NULL, 0, NULL), EVB_ECLOSED);
    FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, NULL), EVB_ECLOSED);
    FAILS(evb_loan(bus, 1, &data), EVB_ECLOSED);
    EQ_STR(trace, "");
    EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    EQ(evb_topic_emit(topic, NULL, 0), 1);
    EQ_STR(trace, "xx");
    evb__st_rel(&bus->draining, 0);
    (void)fake_on("a", "a.*");
    evb__st_rel(&bus->draining, 1);
    FAILS(evb_emit(bus, "a.b", NULL, 0), EVB_ECLOSED);
    FAILS(evb_topic_emit(topic, NULL, 0), EVB_ECLOSED);
    EQ_STR(trace, "xx");
    FAILS(evb__sink_listen(bus, "a", &(struct evb__sink){NULL}, NULL, &id), EVB_ECLOSED);
    evb_topic_close(topic);
    fake_end();
    end();
}

static void destroys_the_bus(struct fake *f, const evb_event *ev)
{
    (void)f;
    (void)ev;
    evb_bus_destroy(bus);
}

TEST(a_filter_that_destroys_the_bus_ends_the_publish)
{
    for (int way = 0; way < 3; way++) {
        struct fake *a;

        begin();
        a = fake_on("a", way == 1 ? "a.*" : "a.b");
        fake_filter(a);
        a->in_filter = destroys_the_bus;
        (void)listen_to("a.b", "x", (evb_listen_opts){0});
        trace[0] = '\0';
        if (way == 2)
            FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, NULL), EVB_ECLOSED);
        else
            FAILS(evb_emit(bus, way == 1 ? "a.unlisted" : "a.b", NULL, 0), EVB_ECLOSED);
        EQ_STR(trace, "a?a!");
        fake_forget();
    }
}

static int32_t destroy_in_listener(const evb_event *ev, void *user)
{
    (void)say(ev, user);
    evb_bus_destroy(bus);
    return EVB_OK;
}

TEST(a_listener_that_destroys_the_bus_ends_the_publish_and_the_queues_have_the_event)
{
    for (int way = 0; way < 3; way++) {
        uint64_t sequence = 0;
        struct fake *a;

        begin();
        a = fake_on("a", "a.*");
        (void)ID(evb_on(bus, "a.*", destroy_in_listener, letter("x")));
        (void)listen_to("a.*", "y", (evb_listen_opts){0});
        trace[0] = '\0';
        if (way == 2)
            EQ(evb_publish_many(bus, (evb_message[]){{.topic = "a.b"}, {.topic = "a.c"}}, 2, NULL), 3);
        else
            EQ(evb_publish(bus, "a.b", NULL, 0, &(evb_publish_opts){.ret_sequence = &sequence}), 2);
        EQ_STR(trace, way == 2 ? "a+a=a=xa!" : "a+a=xa!");
        EQ(sequence, way == 2 ? 0 : 1);
        EQ(a->events, way == 2 ? 2 : 1);
        fake_forget();
    }
}

static int32_t the_bus_ends(struct fake *f, int64_t deadline_ns)
{
    (void)f;
    (void)deadline_ns;
    evb_bus_destroy(bus);
    return EVB_OK;
}

/* The publisher waits unannounced: what it comes back to must not be touched. */
TEST(a_bus_that_ends_while_a_publisher_waits_answers_closed)
{
    for (int way = 0; way < 6; way++) {
        evb_topic *topic;
        struct fake *a;
        void *data;

        begin();
        a = full("a", "a.*");
        a->in_wait = the_bus_ends;
        OK(evb_topic_open(bus, "a.handle", &topic));
        OK(evb_loan(bus, 5, &data));
        switch (way) {
        case 0:
            FAILS(evb_publish(bus, "a.b", "xyz", 3, NULL), EVB_ECLOSED);
            break;
        case 1:
            FAILS(evb_emit(bus, "a.b", "xyz", 3), EVB_ECLOSED);
            break;
        case 2:
            FAILS(evb_topic_publish(topic, "xyz", 3, NULL), EVB_ECLOSED);
            break;
        case 3:
            FAILS(evb_topic_emit(topic, "xyz", 3), EVB_ECLOSED);
            break;
        case 4:
            FAILS(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, NULL), EVB_ECLOSED);
            break;
        default:
            FAILS(evb_publish_loan(bus, "a.b", data, 5, NULL), EVB_ECLOSED);
        }
        FAILS(evb_topic_publish(topic, NULL, 0, NULL), EVB_ECLOSED);
        FAILS(evb_topic_emit(topic, NULL, 0), EVB_ECLOSED);
        evb_topic_close(topic);
        FAILS(evb_publish_loan(bus, "a.b", data, 5, NULL), EVB_ECLOSED); /* it holds the memory of the bus */
        evb_loan_cancel(bus, data);
        fake_forget();
    }
}

/* ---- queues that go during a publish ---- */

static struct fake *victim;

static void removes_the_victim(struct fake *f, const evb_event *ev)
{
    (void)f;
    (void)ev;
    fake_off(victim);
}

TEST(a_queue_removed_by_a_filter_is_not_given_back_before_the_publish_is_over)
{
    for (int way = 0; way < 3; way++) {
        struct fake *a;

        begin();
        victim = fake_on("v", way == 0 ? "a.b" : "a.*");
        a = fake_on("a", way == 0 ? "a.b" : "a.*");
        fake_filter(a);
        a->in_filter = removes_the_victim;
        trace[0] = '\0';
        if (way == 2)
            EQ(evb_publish_many(bus, &(evb_message){.topic = "a.b"}, 1, NULL), 2);
        else
            EQ(evb_publish(bus, "a.b", NULL, 0, NULL), 2);
        CHECK(victim->freed);
        EQ(trace[strlen(trace) - 2], 'v'); /* last of all */
        EQ(trace[strlen(trace) - 1], '!');
        trace[0] = '\0';
        EQ(evb_publish(bus, "a.b", NULL, 0, NULL), 1);
        EQ_STR(trace, "a?a+a=");
        fake_end();
        end();
    }
}

TEST(a_queue_that_removes_itself_in_its_filter_still_gets_the_event)
{
    begin();
    victim = fake_on("v", "a.b");
    fake_filter(victim);
    victim->in_filter = removes_the_victim;
    EQ_STR(publish("a.b", NULL), "v?v+v=v!");
    EQ_STR(publish("a.b", NULL), "");
    fake_end();
    end();
}

static int32_t removes_in_listener(const evb_event *ev, void *user)
{
    (void)say(ev, user);
    fake_off(victim);
    return EVB_OK;
}

TEST(a_queue_removed_by_a_listener_has_the_event)
{
    begin();
    victim = fake_on("v", "a.b");
    (void)ID(evb_on(bus, "a.b", removes_in_listener, letter("x")));
    EQ_STR(publish("a.b", NULL), "v+v=xv!");
    EQ(victim->events, 1);
    fake_end();
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publisher_waits_with_nothing_reserved_and_starts_again),
        cmocka_unit_test(every_way_to_publish_waits),
        cmocka_unit_test(there_is_one_deadline_however_often_it_waits),
        cmocka_unit_test(a_queue_that_stays_full_times_the_publish_out_and_is_named),
        cmocka_unit_test(a_refusing_queue_is_named),
        cmocka_unit_test(with_nowait_a_blocking_queue_refuses),
        cmocka_unit_test(inside_any_callback_a_publish_never_waits),
        cmocka_unit_test(a_queue_that_goes_while_somebody_waits_for_it_is_not_waited_for_any_more),
        cmocka_unit_test(the_record_may_go_while_a_publisher_waits),
        cmocka_unit_test(a_draining_bus_refuses_publishes_and_emits_to_queues_but_not_those_to_listeners),
        cmocka_unit_test(a_filter_that_destroys_the_bus_ends_the_publish),
        cmocka_unit_test(a_listener_that_destroys_the_bus_ends_the_publish_and_the_queues_have_the_event),
        cmocka_unit_test(a_bus_that_ends_while_a_publisher_waits_answers_closed),
        cmocka_unit_test(a_queue_removed_by_a_filter_is_not_given_back_before_the_publish_is_over),
        cmocka_unit_test(a_queue_that_removes_itself_in_its_filter_still_gets_the_event),
        cmocka_unit_test(a_queue_removed_by_a_listener_has_the_event),
    };
    return EVB_TEST_MAIN("publish_room", tests, argc, argv);
}
