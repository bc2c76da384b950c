/* SPDX-License-Identifier: MIT */
/* Queues after fork: the child has none of them, the parent notices nothing. A program of its own:
 * where threads have ended that nobody joined, ThreadSanitizer takes the first write of a child for
 * a race with them. */
#include <string.h>
#include <unistd.h>

#include "queue_kit.h"

static struct catcher seen;
static struct gate gate = GATE_SHUT;

struct family {
    evb_sub *pulled, *handled, *dispatched;
    evb_topic *topic;
    const evb_event *ev;
    void *loan;
    uint64_t delivery;
};

static int32_t look(const evb_event *ev, const evb_death *death, void *user)
{
    (void)ev;
    (void)death;
    (void)user;
    return 0;
}

static void refused_by_the_bus(const struct family *f)
{
    evb_sub *none = NULL;
    void *loan = NULL;
    evb_message message = {.topic = "a", .data = "x", .size = 1};

    FAILS(evb_subscribe(kit.bus, "a", NULL, &none), EVB_EFORKED);
    FAILS(evb_subscribe(kit.bus, "a", &(evb_sub_opts){.handler = catch_event, .user = &seen}, NULL),
          EVB_EFORKED);
    EQ_PTR(none, NULL);
    FAILS(kit_try("a", "x"), EVB_EFORKED);
    FAILS(kit_try("nobody", "x"), EVB_EFORKED);
    FAILS(evb_emit(kit.bus, "a", "x", 1), EVB_EFORKED);
    FAILS(evb_topic_publish(f->topic, "x", 1, NULL), EVB_EFORKED);
    FAILS(evb_topic_emit(f->topic, "x", 1), EVB_EFORKED);
    FAILS(evb_publish_many(kit.bus, &message, 1, NULL), EVB_EFORKED);
    FAILS(evb_loan(kit.bus, 1, &loan), EVB_EFORKED);
    EQ_PTR(loan, NULL);
    FAILS(evb_publish_loan(kit.bus, "a", f->loan, 1, NULL), EVB_EFORKED);
    FAILS(evb_bus_drain(kit.bus, EVB_FOREVER), EVB_EFORKED);
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EFORKED);
}

static void refused_by(evb_sub *sub, uint64_t delivery)
{
    static _Alignas(8) unsigned char room[64];
    evb_queue_stats s = {.struct_size = sizeof s};
    const evb_event *ev;
    uint64_t got;

    FAILS(evb_sub_pause(sub), EVB_EFORKED);
    FAILS(evb_sub_resume(sub), EVB_EFORKED);
    FAILS(evb_sub_purge(sub), EVB_EFORKED);
    FAILS(evb_sub_next(sub, 0, &got, &ev), EVB_EFORKED);
    FAILS(evb_sub_next(sub, EVB_FOREVER, &got, &ev), EVB_EFORKED);
    FAILS(evb_sub_take(sub, room, sizeof room, 1), EVB_EFORKED);
    FAILS(evb_sub_fd(sub), EVB_EFORKED);
    FAILS(evb_sub_dispatch(sub, 1), EVB_EFORKED);
    FAILS(evb_ack(sub, delivery), EVB_EFORKED);
    FAILS(evb_nack(sub, delivery, 0), EVB_EFORKED);
    FAILS(evb_nack(sub, delivery, HOUR), EVB_EFORKED);
    FAILS(evb_release(sub, delivery), EVB_EFORKED);
    FAILS(evb_reject(sub, delivery, 1, "text"), EVB_EFORKED);
    FAILS(evb_extend(sub, delivery, 0), EVB_EFORKED);
    FAILS(evb_sub_skip_key(sub, "k", 1), EVB_EFORKED);
    FAILS(evb_dlq_count(sub), EVB_EFORKED);
    FAILS(evb_dlq_browse(sub, look, NULL), EVB_EFORKED);
    FAILS(evb_dlq_redrive(sub, 1), EVB_EFORKED);
    FAILS(evb_dlq_purge(sub), EVB_EFORKED);
    FAILS(evb_sub_stats(sub, &s), EVB_EFORKED);
    FAILS(evb_unsubscribe(sub), EVB_EFORKED);
}

static int calls_in_the_child(void *arg)
{
    const struct family *f = arg;
    int64_t blocks = evb_test_alloc_live();
    uint32_t before = seen.count;
    uint64_t number = 77;

    for (int again = 0; again < 2; again++) {
        refused_by_the_bus(f);
        refused_by(f->pulled, f->delivery);
        refused_by(f->handled, f->delivery);
        refused_by(f->dispatched, f->delivery);
        FAILS(evb_defer(f->ev, &number), EVB_EFORKED);
        EQ(number, 77);
    }
    CHECK(kit_is(f->ev, "in flight")); /* its copy of the memory */
    evb_loan_cancel(kit.bus, f->loan);
    evb_topic_close(f->topic);
    evb_bus_destroy(kit.bus);
    EQ(evb_test_alloc_live(), blocks); /* void calls do nothing: the memory stays */
    EQ(seen.count, before);

    if (EVB__TSAN) return 0; /* it ends a child of many threads that starts one */
    kit_open(2);             /* one of its own */
    catcher_reset(&seen);
    {
        evb_sub *own = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .name = "group"});

        for (int i = 0; i < 100; i++)
            kit_put("a", "x");
        OK(evb_bus_drain(kit.bus, EVB_FOREVER));
        EQ(catcher_count(&seen), 100);
        kit_leave(own);
    }
    kit_close();
    return 0;
}

static void open_family(struct family *f)
{
    kit_open(2);
    catcher_reset(&seen);
    gate_shut(&gate);
    seen.gate = &gate;
    f->pulled = kit_sub("p", (evb_sub_opts){.name = "pulled"});
    f->handled = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen});
    f->dispatched =
        kit_sub("d", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH});
    CHECK(evb_sub_fd(f->pulled) >= 0);
    OK(evb_topic_open(kit.bus, "a", &f->topic));
    OK(evb_loan(kit.bus, 10, &f->loan));
    kit_put("p", "in flight");
    kit_put("p", "ready");
    f->delivery = kit_take_event(f->pulled, "in flight", &f->ev);
    kit_put("a", "1");
    kit_put("a", "2");
    EQ(kit_put_with("a", "later", (evb_publish_opts){.delay_ns = MS}), 1);
    gate_wait_held(&gate, 1);
}

TEST(in_a_child_every_call_answers_eforked_and_the_parent_goes_on)
{
    struct family f;

    open_family(&f);
    EQ(evb_test_in_child(calls_in_the_child, &f), 0);
    EQ(assert_law(f.handled).in_flight, 1);
    gate_open(&gate);
    SOON(kit_settled(f.handled));
    EQ(catcher_count(&seen), 3);
    EQ(evb_test_in_child(calls_in_the_child, &f), 0);
    OK(evb_ack(f.pulled, f.delivery));
    EQ_STR(kit_rest(f.pulled), "ready");
    evb_loan_cancel(kit.bus, f.loan);
    evb_topic_close(f.topic);
    kit_leave(f.pulled);
    kit_leave(f.handled);
    kit_leave(f.dispatched);
    kit_close();
}

/* ---- while threads work and wait ---- */

static EVB__ATOMIC(uint32_t) published;
static evb_sub *box;

#define FORKS 20

static int look_in_the_child(void *arg)
{
    const evb_event *ev;
    uint64_t delivery;

    (void)arg;
    FAILS(evb_sub_next(box, EVB_FOREVER, &delivery, &ev), EVB_EFORKED);
    FAILS(kit_try("box", "x"), EVB_EFORKED);
    FAILS(evb_bus_drain(kit.bus, EVB_FOREVER), EVB_EFORKED);
    FAILS(evb_unsubscribe(box), EVB_EFORKED);
    evb_bus_destroy(kit.bus);
    return 0;
}

/* 0 forks, 1 publishes until then and a bit, the others pull. */
static void take_part(uint32_t index, void *arg)
{
    const evb_event *ev;
    uint64_t delivery;
    int32_t rc;

    (void)arg;
    if (index == 0) {
        for (int i = 0; i < FORKS; i++)
            EQ(evb_test_in_child(look_in_the_child, NULL), 0);
        OK(evb_bus_drain(kit.bus, EVB_FOREVER));
    } else if (index == 1) {
        while ((rc = kit_try("box", "x")) == 1)
            (void)evb__add_rlx(&published, 1);
        FAILS(rc, EVB_ECLOSED);
    } else {
        while ((rc = evb_sub_next(box, EVB_FOREVER, &delivery, &ev)) == EVB_OK)
            OK(evb_ack(box, delivery));
        FAILS(rc, EVB_ECLOSED);
    }
}

TEST(a_fork_in_the_middle_of_publishing_and_pulling_harms_neither_side)
{
    kit_open(1);
    evb__st_rlx(&published, 0);
    box = kit_sub("box", (evb_sub_opts){.capacity = 2, .overflow = EVB_OVERFLOW_BLOCK});
    evb_test_run_threads(4, take_part, NULL);
    EQ(assert_law(box).acked, evb__ld_rlx(&published));
    kit_leave(box);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_child_every_call_answers_eforked_and_the_parent_goes_on),
        cmocka_unit_test(a_fork_in_the_middle_of_publishing_and_pulling_harms_neither_side),
    };
    return EVB_TEST_MAIN("queue_fork", tests, argc, argv);
}
