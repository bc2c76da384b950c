/* SPDX-License-Identifier: MIT */
/* Publishing while queues come and go in other threads: every reservation is used up or undone, no queue is
 * touched after free_user, one thread's events arrive in its order. */
#include "evb_test.h"

#include <evbus.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "bus/bus.h"
#include "bus/message.h"

enum { PUBLISHERS = 2, ROUNDS = 4000, CHANGES = 300 };

static evb_bus *bus;
static evb_topic *handle;
static EVB__ATOMIC(uint32_t) publishing, freed, registered;

/* A queue that checks and forgets what it gets. refs: as a queue's, one for its place among the listeners. */
struct counter {
    struct evb__sink sink; /* first */
    EVB__ATOMIC(uint32_t) refs;
    EVB__ATOMIC(int32_t) reserved;
    EVB__ATOMIC(uint32_t) taken, gone, room;
    bool blocks;
    EVB__ATOMIC(uint32_t) last[PUBLISHERS]; /* number of a publisher's last event */
};

struct payload {
    uint32_t publisher, number;
};

static struct counter *counter_of(struct evb__sink *sink)
{
    return (struct counter *)(void *)sink;
}

static bool wants(struct evb__sink *sink, const evb_event *event)
{
    EQ(evb__ld_rlx(&counter_of(sink)->gone), 0);
    return event->size == sizeof(struct payload);
}

static int32_t reserve(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    struct counter *c = counter_of(sink);

    EQ(evb__ld_rlx(&c->gone), 0);
    EQ(bytes, n * sizeof(struct payload));
    /* every fifth time it is full */
    if (c->blocks && evb__add_rlx(&c->room, 1) % 5 == 4) return EVB_EAGAIN;
    (void)evb__add_rlx(&c->reserved, (int32_t)n);
    return EVB_OK;
}

static void undo(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    (void)bytes;
    (void)evb__add_rlx(&counter_of(sink)->reserved, -(int32_t)n);
}

static bool commit(struct evb__sink *sink, struct evb__delivery *delivery)
{
    struct counter *c = counter_of(sink);
    const struct payload *p = delivery->message->event.data;

    EQ(evb__ld_rlx(&c->gone), 0);
    CHECK(p->publisher < PUBLISHERS);
    CHECK(p->number > evb__ld_rlx(&c->last[p->publisher])); /* its thread is the only writer */
    evb__st_rlx(&c->last[p->publisher], p->number);
    (void)evb__add_rlx(&c->reserved, -1);
    (void)evb__add_rlx(&c->taken, 1);
    evb__message_unref(delivery->message);
    return true;
}

static int32_t wait_for_room(struct evb__sink *sink, size_t bytes, uint32_t n, int64_t deadline_ns)
{
    (void)sink;
    (void)bytes;
    (void)n;
    (void)deadline_ns;
    evb__thread_yield();
    return EVB_OK;
}

static void ref(struct evb__sink *sink)
{
    (void)evb__add_rlx(&counter_of(sink)->refs, 1);
}

static void unref(struct evb__sink *sink)
{
    struct counter *c = counter_of(sink);

    if (evb__sub_acqrel(&c->refs, 1) != 1) return;
    EQ(evb__ld_rlx(&c->reserved), 0);
    evb__free(c, sizeof *c);
    (void)evb__add_rlx(&freed, 1);
}

static const char *name_of(const struct evb__sink *sink)
{
    (void)sink;
    return "counter";
}

static const struct evb__sink_ops ops[] = {
    {wants, reserve, undo, commit, wait_for_room, ref, unref, name_of, NULL},
    {NULL, reserve, undo, commit, wait_for_room, ref, unref, name_of, NULL},
};

static void gone(void *sink)
{
    struct counter *c = sink;

    EQ(evb__ld_rlx(&c->reserved), 0); /* nobody is between reserve and commit any more */
    evb__st_rlx(&c->gone, 1);
    unref(sink);
}

static int64_t join(const char *pattern, bool blocks)
{
    struct counter *c = evb__zalloc(sizeof *c, EVB__ALIGN_MIN);
    int64_t id = 0;

    CHECK(c != NULL);
    c->sink.ops = &ops[blocks ? 1 : 0];
    c->blocks = blocks;
    evb__init(&c->refs, 1);
    OK(evb__sink_listen(bus, pattern, &c->sink, gone, &id));
    (void)evb__add_rlx(&registered, 1);
    return id;
}

static int32_t put(uint32_t round, const struct payload *p)
{
    evb_message both[] = {{.topic = "a.b", .data = p, .size = sizeof *p},
                          {.topic = "a.c", .data = p + 1, .size = sizeof *p}};
    void *data;

    switch (round % 6) {
    case 0:
        return evb_publish(bus, "a.b", p, sizeof *p, NULL);
    case 1:
        return evb_topic_publish(handle, p, sizeof *p, NULL);
    case 2:
        return evb_emit(bus, "a.b", p, sizeof *p);
    case 3:
        return evb_publish(bus, "a.unlisted", p, sizeof *p, NULL);
    case 4:
        return evb_publish_many(bus, both, 2, NULL);
    default:
        OK(evb_loan(bus, sizeof *p, &data));
        memcpy(data, p, sizeof *p);
        return evb_publish_loan(bus, "a.b", data, sizeof *p, NULL);
    }
}

static void come_and_go(uint32_t index)
{
    static const char *const patterns[] = {"a.b", "a.*", ">", "a.c"};
    int64_t ids[8] = {0};

    for (uint32_t i = 0; i < CHANGES || evb__ld_acq(&publishing) != 0; i++) {
        uint32_t slot = i % 8;

        if (ids[slot] != 0) evb__sink_off(bus, ids[slot]);
        ids[slot] = join(patterns[(i + index) % 4], i % 3 == 0);
        if (i % 16 == 0) evb__thread_yield();
    }
    for (uint32_t slot = 0; slot < 8; slot++)
        if (ids[slot] != 0) evb__sink_off(bus, ids[slot]);
}

static void work(uint32_t index, void *arg)
{
    (void)arg;
    if (index >= PUBLISHERS) {
        come_and_go(index);
        return;
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct payload p[2] = {{index, 2 * i + 1}, {index, 2 * i + 2}};

        CHECK(put(i, p) >= 1);
    }
    (void)evb__sub_rel(&publishing, 1); /* pairs with come_and_go */
}

TEST(queues_come_and_go_under_publishers)
{
    int64_t stays;

    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = UINT32_MAX}, &bus));
    OK(evb_topic_open(bus, "a.b", &handle));
    evb__st_rlx(&freed, 0);
    evb__st_rlx(&registered, 0);
    evb__st_rlx(&publishing, PUBLISHERS);
    stays = join(">", true); /* reached by every publish */
    evb_test_run_threads(PUBLISHERS + 1, work, NULL);
    evb__sink_off(bus, stays);
    EQ(bus->sinks, 0);
    EQ(evb__ld_rlx(&freed), evb__ld_rlx(&registered));
    evb_topic_close(handle);
    evb_bus_destroy(bus);
}

static void put_until_closed(uint32_t index, void *arg)
{
    (void)arg;
    if (index == 0) {
        while (evb__ld_acq(&publishing) < PUBLISHERS) /* pairs with the adds below */
            evb__thread_yield();
        evb_bus_destroy(bus);
        return;
    }
    for (uint32_t i = 1;; i++) {
        struct payload p = {index - 1, i};
        int32_t reached =
            i % 2 != 0 ? evb_topic_emit(handle, &p, sizeof p) : evb_topic_publish(handle, &p, sizeof p, NULL);

        if (i == 100) (void)evb__add_rel(&publishing, 1);
        if (reached == EVB_ECLOSED) return;
        CHECK(reached >= 1 || i >= 100);
    }
}

TEST(a_bus_ends_under_publishers_with_a_handle)
{
    OK(evb_bus_create(NULL, &bus));
    OK(evb_topic_open(bus, "a.b", &handle));
    evb__st_rlx(&freed, 0);
    evb__st_rlx(&publishing, 0);
    (void)join("a.b", true);
    (void)join("a.*", false);
    evb_test_run_threads(PUBLISHERS + 1, put_until_closed, NULL);
    evb_topic_close(handle);
    EQ(evb__ld_rlx(&freed), 2);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues_come_and_go_under_publishers),
        cmocka_unit_test(a_bus_ends_under_publishers_with_a_handle),
    };
    return EVB_TEST_MAIN("publish_threads", tests, argc, argv);
}
