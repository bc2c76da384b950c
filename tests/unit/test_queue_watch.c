/* SPDX-License-Identifier: MIT */
/* The descriptor of a subscription: a hint for poll and epoll that is never missed. */
#include "queue_kit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/epoll.h>
#endif

#define SCALE(n) (EVB__TSAN ? (n) / 10 : (n))

static struct catcher seen;
static evb_sub *sub;
static int fd;

static void open_watched(evb_sub_opts opts)
{
    kit_open(1);
    sub = kit_sub("a", opts);
    fd = evb_sub_fd(sub);
    CHECK(fd >= 0);
}

static bool readable(void)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

static void wait_readable(void)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    EQ(poll(&p, 1, -1), 1); /* the test's time limit is the limit */
}

/* As an event loop does that empties what it was woken by. */
static void drain_bytes(void)
{
    char bytes[64];

    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        continue;
}

TEST(the_descriptor_is_the_same_on_every_call_and_closed_at_the_end)
{
    open_watched((evb_sub_opts){0});
    EQ(evb_sub_fd(sub), fd);
    EQ(evb_sub_fd(sub), fd);
    CHECK(!readable());
    CHECK(fcntl(fd, F_GETFD) >= 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    kit_leave(sub);
    EQ(fcntl(fd, F_GETFD), -1);
    kit_close();
}

TEST(it_becomes_readable_when_there_is_something_to_take)
{
    open_watched((evb_sub_opts){0});
    kit_put("a", "x");
    wait_readable();
    EQ_STR(kit_rest(sub), "x"); /* until EVB_EEMPTY */
    drain_bytes();
    CHECK(!readable());
    kit_put("a", "y");
    wait_readable();
    EQ_STR(kit_rest(sub), "y");
    kit_leave(sub);
    kit_close();
}

TEST(what_is_there_before_the_first_look_makes_it_readable)
{
    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){0});
    kit_put("a", "before");
    fd = evb_sub_fd(sub);
    CHECK(fd >= 0);
    wait_readable();
    EQ_STR(kit_rest(sub), "before");
    kit_leave(sub);
    kit_close();
}

TEST(it_fires_again_after_eempty_whether_its_bytes_were_read_or_not)
{
    for (int reads = 0; reads < 3; reads++) {
        open_watched((evb_sub_opts){0});
        for (int i = 0; i < 50; i++) {
            kit_put("a", "x");
            wait_readable();
            if (reads == 1) drain_bytes(); /* before it takes */
            EQ_STR(kit_rest(sub), "x");
            if (reads == 2) drain_bytes(); /* after */
        }
        kit_leave(sub);
        kit_close();
    }
}

TEST(who_does_not_take_until_eempty_finds_the_rest_all_the_same)
{
    open_watched((evb_sub_opts){0});
    kit_put("a", "1");
    kit_put("a", "2");
    wait_readable();
    OK(evb_ack(sub, kit_take(sub, "1")));
    OK(evb_ack(sub, kit_take(sub, "2")));
    kit_none(sub); /* that is what arms it */
    drain_bytes();
    kit_put("a", "3");
    wait_readable();
    kit_leave(sub);
    kit_close();
}

TEST(ten_thousand_events_that_nobody_takes_do_not_fill_the_socket)
{
    open_watched((evb_sub_opts){.capacity = 10000});
    for (int i = 0; i < 10000; i++)
        kit_put("a", "x");
    wait_readable();
    EQ(evb_sub_purge(sub), 10000);
    kit_none(sub);
    drain_bytes();
    kit_put("a", "y");
    wait_readable();
    kit_leave(sub);
    kit_close();
}

TEST(a_retry_a_delay_a_release_and_a_resume_fire_it_too)
{
    open_watched((evb_sub_opts){0});
    kit_none(sub);
    kit_put("a", "x");
    for (int how = 0; how < 5; how++) {
        uint64_t delivery = kit_take(sub, "x");

        kit_none(sub);
        drain_bytes();
        CHECK(!readable());
        switch (how) {
        case 0:
            OK(evb_nack(sub, delivery, 0));
            break;
        case 1:
            OK(evb_nack(sub, delivery, MS));
            break;
        case 2:
            OK(evb_release(sub, delivery));
            break;
        case 3:
            OK(evb_reject(sub, delivery, 1, NULL));
            EQ(evb_dlq_redrive(sub, 1), 1);
            break;
        default:
            OK(evb_sub_pause(sub));
            OK(evb_release(sub, delivery));
            kit_none(sub);
            drain_bytes();
            OK(evb_sub_resume(sub));
        }
        wait_readable();
    }
    (void)kit_take(sub, "x");
    kit_leave(sub);
    kit_close();
}

TEST(room_in_the_window_fires_it)
{
    uint64_t delivery;

    open_watched((evb_sub_opts){.max_in_flight = 1});
    kit_put("a", "1");
    kit_put("a", "2");
    delivery = kit_take(sub, "1");
    kit_none(sub);
    drain_bytes();
    OK(evb_ack(sub, delivery));
    wait_readable();
    (void)kit_take(sub, "2");
    kit_leave(sub);
    kit_close();
}

TEST(a_dispatching_subscription_has_a_descriptor)
{
    kit_open(1);
    catcher_reset(&seen);
    sub = kit_sub("a", (evb_sub_opts){.handler = catch_event, .user = &seen, .flags = EVB_SUB_DISPATCH});
    fd = evb_sub_fd(sub);
    CHECK(fd >= 0);
    for (int i = 0; i < 20; i++) {
        kit_put("a", "x");
        wait_readable();
        drain_bytes();
        EQ(evb_sub_dispatch(sub, 0), 1);
        FAILS(evb_sub_dispatch(sub, 0), EVB_EEMPTY);
    }
    EQ(catcher_count(&seen), 20);
    kit_leave(sub);
    kit_close();
}

TEST(every_member_of_a_group_has_a_descriptor_of_its_own_that_fires)
{
    evb_sub *second;
    int first_fd;

    kit_open(1);
    sub = kit_sub("a", (evb_sub_opts){.name = "group"});
    second = kit_sub("a", (evb_sub_opts){.name = "group"});
    first_fd = evb_sub_fd(sub);
    fd = evb_sub_fd(second);
    NE(fd, first_fd);
    kit_leave(sub); /* the other one stays */
    EQ(fcntl(first_fd, F_GETFD), -1);
    kit_put("a", "x");
    wait_readable();
    EQ_STR(kit_rest(second), "x");
    kit_leave(second);
    kit_close();
}

TEST(closing_the_bus_fires_the_descriptor_that_somebody_watches)
{
    const evb_event *ev;
    uint64_t delivery;

    open_watched((evb_sub_opts){0});
    kit_none(sub);
    kit_close();
    wait_readable();
    FAILS(evb_sub_next(sub, 0, &delivery, &ev), EVB_ECLOSED);
    OK(evb_unsubscribe(sub));
    EQ(fcntl(fd, F_GETFD), -1);
}

TEST(draining_the_bus_fires_the_descriptor_when_there_is_nothing_left_to_take)
{
    const evb_event *ev;
    uint64_t delivery;

    open_watched((evb_sub_opts){0});
    kit_put("a", "x");
    delivery = kit_take(sub, "x");
    kit_none(sub);
    drain_bytes();
    FAILS(evb_bus_drain(kit.bus, 0), EVB_EAGAIN);
    OK(evb_ack(sub, delivery));
    wait_readable();
    FAILS(evb_sub_next(sub, 0, &delivery, &ev), EVB_ECLOSED);
    kit_leave(sub);
    kit_close();
}

/* ---- a loop with edge-triggered epoll: a wake-up that is lost ends in the time limit ---- */

#if defined(__linux__)

enum { ROUNDS = 20000 };

static void publish_rounds(uint32_t n)
{
    for (uint32_t i = 0; i < n;) {
        int32_t rc = evb_publish(kit.bus, "a", &i, sizeof i, NULL);

        if (rc == 1)
            i++;
        else
            FAILS(rc, EVB_EFULL);
    }
}

static void take_rounds(uint32_t n, bool packed)
{
    static _Alignas(8) unsigned char room[4096];
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    uint32_t next = 0;
    int loop = epoll_create1(EPOLL_CLOEXEC);

    CHECK(loop >= 0);
    EQ(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), 0);
    while (next < n) {
        int32_t rc;

        EQ(epoll_wait(loop, &event, 1, -1), 1);
        drain_bytes();
        for (;;) {
            const evb_event *ev;
            uint64_t delivery;

            if (packed) {
                if ((rc = evb_sub_take(sub, room, sizeof room, 16)) < 0) break;
                next += (uint32_t)rc;
            } else {
                uint32_t got;

                if ((rc = evb_sub_next(sub, 0, &delivery, &ev)) < 0) break;
                memcpy(&got, ev->data, sizeof got);
                EQ(got, next);
                next++;
                OK(evb_ack(sub, delivery));
            }
        }
        FAILS(rc, EVB_EEMPTY);
    }
    (void)close(loop);
}

static void publish_or_take(uint32_t index, void *arg)
{
    uint32_t n = SCALE(ROUNDS);

    if (index == 0)
        publish_rounds(n);
    else
        take_rounds(n, arg != NULL);
}

TEST(an_event_loop_that_takes_until_eempty_misses_no_wake_up)
{
    static bool packed = true;

    for (int way = 0; way < 2; way++) {
        open_watched((evb_sub_opts){.capacity = 4});
        evb_test_run_threads(2, publish_or_take, way ? &packed : NULL);
        EQ(assert_law(sub).acked, SCALE(ROUNDS));
        kit_leave(sub);
        kit_close();
    }
}

#endif

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_descriptor_is_the_same_on_every_call_and_closed_at_the_end),
        cmocka_unit_test(it_becomes_readable_when_there_is_something_to_take),
        cmocka_unit_test(what_is_there_before_the_first_look_makes_it_readable),
        cmocka_unit_test(it_fires_again_after_eempty_whether_its_bytes_were_read_or_not),
        cmocka_unit_test(who_does_not_take_until_eempty_finds_the_rest_all_the_same),
        cmocka_unit_test(ten_thousand_events_that_nobody_takes_do_not_fill_the_socket),
        cmocka_unit_test(a_retry_a_delay_a_release_and_a_resume_fire_it_too),
        cmocka_unit_test(room_in_the_window_fires_it),
        cmocka_unit_test(a_dispatching_subscription_has_a_descriptor),
        cmocka_unit_test(every_member_of_a_group_has_a_descriptor_of_its_own_that_fires),
        cmocka_unit_test(draining_the_bus_fires_the_descriptor_when_there_is_nothing_left_to_take),
        cmocka_unit_test(closing_the_bus_fires_the_descriptor_that_somebody_watches),
#if defined(__linux__)
        cmocka_unit_test(an_event_loop_that_takes_until_eempty_misses_no_wake_up),
#endif
    };
    return EVB_TEST_MAIN("queue_watch", tests, argc, argv);
}
