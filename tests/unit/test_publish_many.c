/* SPDX-License-Identifier: MIT */
/* Many events as one publish: all of them or none, one reservation a queue, each queue in the order of the
 * messages, then the listeners message by message. */
#include "evb_test.h"

#include <evbus.h>
#include <string.h>

#include "bus/message.h"
#include "fake_sink.h"

static const evb_message letters[] = {
    {.topic = "a.1", .data = "1", .size = 1},
    {.topic = "b.2", .data = "22", .size = 2},
    {.topic = "a.3", .data = "333", .size = 3, .key = "key", .key_len = 3},
    {.topic = "b.4", .data = "4444", .size = 4},
};

static const char *many(const evb_publish_opts *opts, int32_t expected)
{
    trace[0] = '\0';
    EQ(evb_publish_many(bus, letters, 4, opts), expected);
    return trace;
}

/* Of the queues, in memory order: fakes are made in rising order of addresses. */
TEST(each_queue_is_asked_once_for_all_and_gets_the_events_in_order)
{
    struct fake *a, *b, *all;
    uint64_t before = 0;

    begin();
    a = fake_on("a", "a.*");
    b = fake_on("b", "b.2");
    all = fake_on("*", ">");
    EQ_STR(many(NULL, 7), "a+b+*+a=a=b=*=*=*=*=");
    EQ(a->events, 2);
    EQ(a->bytes, 1 + 3 + 3);
    EQ(b->events, 1);
    EQ(b->bytes, 2);
    EQ(all->bytes, 1 + 2 + 3 + 3 + 4);
    for (int i = 0; i < 4; i++) {
        struct evb__message *m = fake_take(all);

        EQ_STR(m->event.topic, letters[i].topic);
        EQ(m->event.size, letters[i].size);
        EQ_MEM(m->event.data, letters[i].data, letters[i].size);
        EQ(m->event.key_len, letters[i].key_len);
        CHECK(m->event.sequence > before);
        before = m->event.sequence;
        evb__message_unref(m);
    }
    fake_end();
    end();
}

TEST(listeners_hear_of_it_afterwards_message_by_message)
{
    begin();
    (void)fake_on("a", "a.*");
    (void)listen_to("a.1", "1", (evb_listen_opts){0});
    (void)listen_to("b.*", "2", (evb_listen_opts){0});
    (void)listen_to("a.*", "3", (evb_listen_opts){0});
    EQ_STR(many(NULL, 2 + 5), "a+a=a=13232");
    fake_end();
    end();
}

static uint64_t sequences[4];
static uint32_t heard_events;
static char keys[4];

static int32_t note(const evb_event *ev, void *user)
{
    (void)user;
    EQ_STR(ev->topic, letters[heard_events].topic);
    EQ_MEM(ev->data, letters[heard_events].data, ev->size);
    keys[heard_events] = ev->key != NULL ? *(const char *)ev->key : '-';
    sequences[heard_events++] = ev->sequence;
    return EVB_OK;
}

TEST(listeners_see_each_messages_own_key_and_sequence)
{
    uint64_t last = 77, position = 77;

    begin();
    (void)fake_on("a", "a.*");
    (void)ID(evb_on(bus, ">", note, NULL));
    heard_events = 0;
    EQ(evb_publish_many(bus, letters, 4,
                        &(evb_publish_opts){
                            .key = "unused", .key_len = 6, .ret_sequence = &last, .ret_position = &position}),
       6);
    EQ(heard_events, 4);
    EQ_MEM(keys, "--k-", 4);
    CHECK(sequences[0] > 0);
    EQ(sequences[1], 0); /* only listeners match */
    EQ(sequences[2], sequences[0] + 1);
    EQ(sequences[3], 0);
    EQ(last, sequences[2]);
    EQ(position, 0);
    EQ(bus->published, 2);
    fake_end();
    end();
}

TEST(a_refusal_undoes_all)
{
    char name[8] = "-";
    struct fake *b;

    begin();
    (void)fake_on("a", "a.*");
    b = fake_on("b", ">");
    (void)fake_on("c", ">");
    (void)listen_to(">", "x", (evb_listen_opts){0});
    b->room = 3;
    EQ_STR(many(&(evb_publish_opts){.ret_refused = name, .refused_cap = 8}, EVB_EFULL), "a+b#a-");
    EQ_STR(name, "b");
    b->room = 4;
    EQ_STR(many(NULL, 2 + 4 + 4 + 4), "a+b+c+a=a=b=b=b=b=c=c=c=c=xxxx");
    fake_end();
    end();
}

TEST(closed_queues_are_skipped_wherever_they_stand)
{
    for (int closed = 1; closed < 8; closed++) {
        struct fake *f[3];
        int32_t expected = 0;

        begin();
        for (int i = 0; i < 3; i++) {
            f[i] = fake_on((const char *[]){"a", "b", "c"}[i], ">");
            if ((closed & 1 << i) != 0)
                f[i]->refuse = EVB_ECLOSED;
            else
                expected += 4;
        }
        fake_quiet = true;
        EQ(evb_publish_many(bus, letters, 4, NULL), expected);
        EQ(bus->sequence, expected != 0 ? 4 : 0);
        EQ(bus->unroutable, expected != 0 ? 0 : 4);
        for (int i = 0; i < 3; i++)
            EQ(f[i]->events, (closed & 1 << i) != 0 ? 0 : 4);
        if (f[2]->refuse == EVB_OK) { /* the undo passes them by as well */
            f[2]->refuse = EVB_EFULL;
            FAILS(evb_publish_many(bus, letters, 4, NULL), EVB_EFULL);
        }
        fake_end();
        end();
    }
}

static int32_t makes_room(struct fake *f, int64_t deadline_ns)
{
    (void)deadline_ns;
    f->room++;
    return EVB_OK;
}

TEST(it_waits_for_a_blocking_queue_until_all_have_room)
{
    struct fake *b;

    begin();
    (void)fake_on("a", "a.*");
    b = fake_on("b", "b.*");
    b->room = 0;
    b->full_status = EVB_EAGAIN;
    b->in_wait = makes_room;
    EQ_STR(many(NULL, 4), "a+b#a-b~a+b#a-b~a+b+a=a=b=b=");
    fake_empty(b);
    b->room = 0;
    EQ_STR(many(&(evb_publish_opts){.flags = EVB_NOWAIT}, EVB_EFULL), "a+b#a-");
    b->in_wait = NULL;
    EQ_STR(many(&(evb_publish_opts){.timeout_ns = 1}, EVB_ETIMEDOUT), "a+b#a-b~");
    b->refuse = EVB_ETOOBIG; /* never room for its share */
    EQ_STR(many(NULL, EVB_ETOOBIG), "a+b#a-");
    fake_end();
    end();
}

TEST(a_mandatory_batch_needs_somebody_for_every_message)
{
    evb_publish_opts opts = {.flags = EVB_MANDATORY};
    struct fake *b;
    int64_t id;

    begin();
    (void)fake_on("a", "a.*");
    EQ_STR(many(&opts, EVB_ENOROUTE), "a+a-");
    id = listen_to("b.*", "m", (evb_listen_opts){.flags = EVB_MONITOR});
    EQ_STR(many(&opts, EVB_ENOROUTE), "a+a-");
    OK(evb_off(bus, id));
    (void)listen_to("b.4", "x", (evb_listen_opts){0});
    EQ_STR(many(&opts, EVB_ENOROUTE), "a+a-");
    b = fake_on("b", "b.2");
    EQ_STR(many(&opts, 4), "a+b+a=a=b=x");
    b->refuse = EVB_ECLOSED;
    EQ_STR(many(&opts, EVB_ENOROUTE), "a+b#a-");
    fake_end();
    end();
}

TEST(filters_are_asked_for_each_message)
{
    struct fake *a;

    begin();
    a = fake_on("a", ">");
    fake_filter(a);
    a->wanted = false;
    EQ_STR(many(NULL, 0), "a?a?a?a?");
    EQ(bus->unroutable, 4);
    a->wanted = true;
    EQ_STR(many(NULL, 4), "a?a?a?a?a+a=a=a=a=");
    fake_end();
    end();
}

TEST(delayed_batches_reach_queues_only)
{
    begin();
    (void)fake_on("a", "a.1");
    (void)listen_to(">", "x", (evb_listen_opts){0});
    trace[0] = '\0';
    EQ(evb_publish_many(bus, letters, 2, &(evb_publish_opts){.delay_ns = 5}), 1);
    EQ_STR(trace, "a+a=");
    fake_end();
    end();
}

TEST(a_batch_of_none_is_nothing)
{
    begin();
    (void)fake_on("a", ">");
    trace[0] = '\0';
    EQ(evb_publish_many(bus, NULL, 0, NULL), 0);
    EQ(evb_publish_many(bus, letters, 0, &(evb_publish_opts){.flags = EVB_MANDATORY}), 0);
    FAILS(evb_publish_many(bus, NULL, 0, &(evb_publish_opts){.flags = 64}), EVB_EINVAL);
    EQ_STR(trace, "");
    fake_end();
    end();
}

TEST(a_long_batch_over_many_queues_keeps_every_order)
{
    enum { N = 2000, QUEUES = 50 };
    static evb_message messages[N];
    static uint32_t numbers[N];
    struct fake *f[QUEUES];

    begin();
    for (uint32_t i = 0; i < N; i++) {
        numbers[i] = i;
        messages[i] = (evb_message){.topic = i % 3 != 0 ? "a.b" : "c.d", .data = &numbers[i], .size = 4};
    }
    for (int i = 0; i < QUEUES; i++)
        f[i] = fake_on("q", i % 2 != 0 ? ">" : "c.d");
    fake_quiet = true;
    EQ(evb_publish_many(bus, messages, N, NULL), 25 * N + 25 * ((N + 2) / 3));
    for (int i = 0; i < QUEUES; i++) {
        struct evb__message *m;

        for (uint32_t at = 0; (m = fake_take(f[i])) != NULL; at += i % 2 != 0 ? 1 : 3) {
            EQ(*(const uint32_t *)m->event.data, at);
            evb__message_unref(m);
        }
    }
    fake_end();
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_queue_is_asked_once_for_all_and_gets_the_events_in_order),
        cmocka_unit_test(listeners_hear_of_it_afterwards_message_by_message),
        cmocka_unit_test(listeners_see_each_messages_own_key_and_sequence),
        cmocka_unit_test(a_refusal_undoes_all),
        cmocka_unit_test(closed_queues_are_skipped_wherever_they_stand),
        cmocka_unit_test(it_waits_for_a_blocking_queue_until_all_have_room),
        cmocka_unit_test(a_mandatory_batch_needs_somebody_for_every_message),
        cmocka_unit_test(filters_are_asked_for_each_message),
        cmocka_unit_test(delayed_batches_reach_queues_only),
        cmocka_unit_test(a_batch_of_none_is_nothing),
        cmocka_unit_test(a_long_batch_over_many_queues_keeps_every_order),
    };
    return EVB_TEST_MAIN("publish_many", tests, argc, argv);
}
