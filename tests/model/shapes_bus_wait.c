/* SPDX-License-Identifier: MIT */
/* The whole bus: emits against evb_off_wait. When it has returned, the listener is not running and never runs
 * again, so the waiter frees its context at once; and it does return, whoever leaves first. */
#include "bus_shape.h"

static evb_topic *topic, *inner;

static void end(void)
{
    if (topic != NULL) evb_topic_close(topic);
    if (inner != NULL) evb_topic_close(inner);
    bus_end();
}

/* ---- threads ---- */

static void emit_by_handle(void)
{
    uint32_t before = called[0] + called[1];
    int32_t reached;

    bus_here();
    reached = evb_topic_emit(topic, NULL, 0);
    explore_check(reached >= 0 && (uint32_t)reached == called[0] + called[1] - before, "wrong count");
    explore_cover(reached != 0 ? "called" : "not called");
}

static void emit_by_name(void)
{
    uint32_t before = called[0];
    int32_t reached;

    bus_here();
    reached = evb_emit(bus, "a.b", NULL, 0);
    explore_check(reached >= 0 && (uint32_t)reached == called[0] - before, "wrong count");
    explore_cover(reached != 0 ? "called" : "not called");
}

/* The first holds another listener than the second. */
static void emit_two_names(void)
{
    bus_here();
    explore_check(evb_emit(bus, "b.c", NULL, 0) == 1, "wrong count");
    emit_by_name();
}

static void off_wait(uint32_t n)
{
    if (running[n] != 0) explore_cover("was running");
    explore_check(evb_off_wait(bus, ids[n]) == EVB_OK, "not removed");
    explore_check(running[n] == 0, "still running");
}

static void off_wait_first(void)
{
    off_wait(0);
    bus_drop(0);
}

static void off_wait_second(void)
{
    off_wait(1);
    bus_drop(1);
}

/* The context is the bus'. */
static void off_wait_owned(void)
{
    off_wait(0);
    explore_check(freed[0] == 1, "free_user has not run when evb_off_wait returns");
}

/* Removed before: there is nothing to remove, and all the same it waits. */
static void off_then_wait(void)
{
    explore_check(evb_off(bus, ids[0]) == EVB_OK, "not removed");
    if (running[0] != 0) explore_cover("was running");
    explore_check(evb_off_wait(bus, ids[0]) == EVB_ENOTFOUND, "found again");
    explore_check(running[0] == 0, "still running");
    bus_drop(0);
}

/* ---- setups ---- */

static void one_plain(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_on("a", 0);
}

static void one_owned(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_listen("a", 0, 0);
}

static void wild_with_record(void)
{
    bus_make(1);
    topic = bus_topic("a.b");
    bus_on("a.*", 0);
}

static void wild_unlisted(void)
{
    bus_make(1);
    bus_on("a.*", 0);
}

static void two_wild_unlisted(void)
{
    wild_unlisted();
    bus_on("b.*", 1);
}

static void wild_unlisted_owned(void)
{
    bus_make(1);
    bus_listen("a.*", 0, 0);
}

static void two_plain(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_on("a", 0);
    bus_on("a", 1);
}

static void emit_inner(void)
{
    (void)evb_topic_emit(inner, NULL, 0);
}

static void two_inside(void)
{
    bus_make(2);
    topic = bus_topic("a");
    inner = bus_topic("b");
    bus_on("a", 0);
    bus_on("b", 1);
    bus_inside(0, topic);
    bus_inside(1, inner);
}

static void nested(void)
{
    bus_make(1);
    topic = bus_topic("a");
    inner = bus_topic("i");
    bus_on("a", 0);
    bus_on("i", 1);
    inside[0] = emit_inner;
}

static void emit_outer(void)
{
    bus_here();
    explore_cover(evb_topic_emit(topic, NULL, 0) != 0 ? "called" : "not called");
}

static void finish_owned(void)
{
    explore_check(freed[0] == 1, "free_user has not run when the last emit has left");
    end();
}

#define COVERS .covers = {"called", "not called", "was running"}

static const struct explore_shape shapes[] = {
    {.name = "off_wait_against_an_emit_by_handle",
     .setup = one_plain,
     .threads = {emit_by_handle, off_wait_first},
     .finish = end,
     BUS_SHAPE,
     COVERS},
    {.name = "off_wait_of_an_owned_listener_against_an_emit_by_handle",
     .setup = one_owned,
     .threads = {emit_by_handle, off_wait_owned},
     .finish = finish_owned,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    {.name = "off_wait_of_a_wildcard_against_an_emit_by_name",
     .setup = wild_with_record,
     .threads = {emit_by_name, off_wait_first},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    {.name = "off_wait_of_a_wildcard_against_an_unlisted_emit",
     .setup = wild_unlisted,
     .threads = {emit_by_name, off_wait_first},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    {.name = "off_wait_of_an_owned_wildcard_against_an_unlisted_emit",
     .setup = wild_unlisted_owned,
     .threads = {emit_by_name, off_wait_owned},
     .finish = finish_owned,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    {.name = "off_wait_against_the_second_of_two_unlisted_emits",
     .setup = two_wild_unlisted,
     .threads = {emit_two_names, off_wait_first},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    {.name = "off_wait_of_a_listener_that_was_removed_before",
     .setup = one_plain,
     .threads = {emit_by_handle, off_then_wait},
     .finish = end,
     BUS_SHAPE,
     COVERS},
    {.name = "off_wait_of_a_wildcard_that_was_removed_before",
     .setup = wild_with_record,
     .threads = {emit_by_name, off_then_wait},
     .finish = end,
     BUS_SHAPE,
     COVERS},
    {.name = "off_wait_of_a_wildcard_that_was_removed_before_against_an_unlisted_emit",
     .setup = wild_unlisted,
     .threads = {emit_by_name, off_then_wait},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    {.name = "off_waits_of_two_listeners_of_one_topic_both_return",
     .setup = two_plain,
     .threads = {emit_by_handle, off_wait_first, off_wait_second},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    /* A waiter takes back marks that came too late, the other's as well: then it owes him the wake-up. Little
     * else is left open, so that the search gets that far. */
    {.name = "off_waits_of_two_topics_whose_emits_leave_both_return",
     .setup = two_inside,
     .threads = {bus_leave, bus_leave, off_wait_first, off_wait_second},
     .finish = end,
     BUS_SHAPE,
     .stale_reads = EXPLORE_NONE,
     .spurious = EXPLORE_NONE,
     .executions = EXPLORE_ENOUGH,
     .random = 40000},
    {.name = "off_wait_of_the_outer_of_two_nested_emits",
     .setup = nested,
     .threads = {emit_outer, off_wait_first},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     COVERS},
    {.name = "off_wait_of_the_inner_of_two_nested_emits",
     .setup = nested,
     .threads = {emit_outer, off_wait_second},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"called", "was running"}},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
