/* SPDX-License-Identifier: MIT */
/* The whole bus: who is called. Registration, removal and once against emits under way. */
#include "bus_shape.h"

static evb_topic *topic;
static int32_t reached[EXPLORE_THREADS]; /* what the emit of each thread answered */
static int32_t off_status;
static EVB__ATOMIC(uint32_t) removed; /* evb_off has returned */
static bool saw_removed;

static void end(void)
{
    evb_topic_close(topic);
    bus_end();
}

static uint32_t calls(void)
{
    uint32_t sum = 0;

    for (uint32_t n = 0; n < CONTEXTS; n++)
        sum += called[n];
    return sum;
}

/* ---- threads ---- */

static void emit(void)
{
    bus_here();
    reached[explore_thread()] = evb_topic_emit(topic, NULL, 0);
}

static void emit_by_name(void)
{
    bus_here();
    reached[explore_thread()] = evb_emit(bus, "a", NULL, 0);
}

static void append(void)
{
    const struct evb__snapshot *before = topic->snapshot;

    bus_on("a", 2);
    explore_cover(topic->snapshot == before ? "in place" : "replaced");
}

static void append_wild(void)
{
    bus_on("*", 2);
}

/* In front means a new block; the pass then meets the old one in limbo. */
static void prepend_and_sweep(void)
{
    bus_prepend("a", 2);
    bus_sweep();
}

static void off_second(void)
{
    explore_check(evb_off(bus, ids[1]) == EVB_OK, "not removed");
    evb__st_rel(&removed, 1); /* pairs with look_for_removal */
}

static void replace_then_off_second(void)
{
    bus_prepend("a", 2);
    off_second();
}

static void off_once(void)
{
    off_status = evb_off(bus, ids[0]);
}

static void register_elsewhere(void)
{
    bus_on("b", 1);
}

/* ---- setups and what listeners do ---- */

static void one_listener(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_on("a", 0);
}

static void two_listeners(void)
{
    one_listener();
    bus_on("a", 1);
}

static void two_listeners_and_one_elsewhere(void)
{
    two_listeners();
    bus_listen("b", 3, 0);
}

/* Its snapshot is a block with room: only a literal listener is its own snapshot. */
static void room_for_another(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_on("*", 0);
}

static void one_wildcard(void)
{
    bus_make(1);
    topic = bus_topic("b");
    bus_on(">", 0);
}

static void look_for_removal(void)
{
    saw_removed = evb__ld_acq(&removed) != 0;
}

static void must_not_be_removed(void)
{
    explore_check(!saw_removed, "called although evb_off had returned");
}

static void two_in_a_row(void)
{
    two_listeners();
    inside[0] = look_for_removal;
    inside[1] = must_not_be_removed;
}

static void look_for_the_removal_of_a_once(void)
{
    explore_cover(bus->fired != 0 ? "removal left to the holder" : "removed by the winner");
    explore_point();
}

static void once(void)
{
    bus_make(2);
    topic = bus_topic("a");
    bus_listen("a", 0, EVB_ONCE);
    inside[0] = look_for_the_removal_of_a_once;
}

/* ---- finishes ---- */

static void finish_counted(void)
{
    explore_check(reached[0] == (int32_t)calls(), "wrong count");
    explore_check(called[0] == 1, "an old listener was not called once");
    explore_check(called[2] <= 1, "called twice");
    explore_cover(called[2] != 0 ? "new one called" : "new one not called");
    end();
}

static void finish_two_counted(void)
{
    explore_check(called[1] == 1, "an old listener was not called once");
    finish_counted();
}

static void finish_removed(void)
{
    explore_check(reached[0] == (int32_t)calls(), "wrong count");
    explore_cover(called[1] != 0 ? "called" : "not called");
    if (saw_removed) explore_cover("removed between two calls");
    end();
}

static void check_once(void)
{
    explore_check(reached[0] + reached[1] == (int32_t)called[0], "wrong count");
    explore_check(freed[0] == 1, "a once that has fired or was removed is still there");
    explore_check(bus->fired == 0 && bus->work == 0, "work was left behind");
}

static void finish_once(void)
{
    check_once();
    explore_check(called[0] == 1, "a once was not called once");
    end();
}

static void finish_once_or_off(void)
{
    check_once();
    explore_check(off_status == EVB_OK || off_status == EVB_ENOTFOUND, "evb_off answers something else");
    explore_check(called[0] == (off_status == EVB_OK ? 0 : 1),
                  "evb_off and the call both happened, or neither");
    explore_cover(called[0] != 0 ? "called" : "removed");
    end();
}

static const struct explore_shape shapes[] = {
    {.name = "listener_appended_during_an_emit_is_called_or_not",
     .setup = room_for_another,
     .threads = {emit, append},
     .finish = finish_counted,
     BUS_SHAPE,
     .preemptions = 3,
     .covers = {"new one called", "new one not called", "in place"}},
    {.name = "second_listener_during_an_emit_is_called_or_not",
     .setup = one_listener,
     .threads = {emit, append},
     .finish = finish_counted,
     BUS_SHAPE,
     .preemptions = 3,
     .covers = {"new one called", "new one not called", "replaced"}},
    {.name = "listeners_that_are_replaced_during_an_emit_are_called_once_each",
     .setup = two_listeners_and_one_elsewhere,
     .threads = {emit, prepend_and_sweep},
     .finish = finish_two_counted,
     BUS_SHAPE,
     .covers = {"new one called", "new one not called"}},
    {.name = "wildcard_registered_during_an_unlisted_emit_is_called_or_not",
     .setup = one_wildcard,
     .threads = {emit_by_name, append_wild},
     .finish = finish_counted,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"new one called", "new one not called"}},
    {.name = "listener_is_not_called_after_evb_off_has_returned",
     .setup = two_in_a_row,
     .threads = {emit, off_second},
     .finish = finish_removed,
     BUS_SHAPE,
     .preemptions = 3,
     .covers = {"called", "not called", "removed between two calls"}},
    {.name = "listener_of_a_replaced_snapshot_is_not_called_after_evb_off_has_returned",
     .setup = two_in_a_row,
     .threads = {emit, replace_then_off_second},
     .finish = finish_removed,
     BUS_SHAPE,
     .covers = {"called", "not called", "removed between two calls"}},
    {.name = "once_of_two_emits_is_called_by_one",
     .setup = once,
     .threads = {emit, emit},
     .finish = finish_once,
     BUS_SHAPE,
     .preemptions = 3,
     .executions = EXPLORE_ENOUGH,
     .covers = {"removed by the winner"}},
    {.name = "once_is_called_or_removed",
     .setup = once,
     .threads = {emit, off_once},
     .finish = finish_once_or_off,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"called", "removed", "removal left to the holder", "removed by the winner"}},
    {.name = "once_of_two_emits_is_called_by_one_or_removed",
     .setup = once,
     .threads = {emit, emit, off_once},
     .finish = finish_once_or_off,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .random = 60000,
     .covers = {"called", "removed", "removal left to the holder", "removed by the winner"}},
    {.name = "once_that_fires_while_the_lock_is_held_is_removed_by_the_holder",
     .setup = once,
     .threads = {emit, register_elsewhere},
     .finish = finish_once,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"removal left to the holder", "removed by the winner"}},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
