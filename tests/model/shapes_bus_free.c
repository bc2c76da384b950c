/* SPDX-License-Identifier: MIT */
/* The whole bus: when things are freed. free_user, topic records, and the bus itself against emits under way.
 */
#include "bus_shape.h"

static evb_topic *topic;
static EVB__ATOMIC(uint32_t) off_returned, first_freed;

static void end(void)
{
    if (topic != NULL) evb_topic_close(topic);
    bus_end();
}

static void close_topic(void)
{
    evb_topic_close(topic);
    topic = NULL;
}

/* ---- threads ---- */

static void emit(void)
{
    bus_here();
    explore_check(evb_topic_emit(topic, NULL, 0) >= 0, "emit failed");
}

static void emit_by_name(void)
{
    int32_t reached;

    bus_here();
    reached = evb_emit(bus, "a", NULL, 0);
    explore_check(reached == (int32_t)called[0], "wrong count");
    explore_cover(reached != 0 ? "called" : "not called");
}

static void off(uint32_t n)
{
    if (running[n] != 0) explore_cover("was running");
    explore_check(evb_off(bus, ids[n]) == EVB_OK, "not removed");
    explore_cover(freed[n] != 0 ? "freed before evb_off returned" : "left to the emit");
}

static void off_first(void)
{
    off(0);
}

static void off_second(void)
{
    off(1);
}

static void off_then_say_so(void)
{
    off(0);
    evb__st_rel(&off_returned, 1); /* pairs with emit_after_off */
}

/* An emit that begins after evb_off and ends only when free_user has run: it must not be waited for. */
static void emit_after_off(void)
{
    while (evb__ld_acq(&off_returned) == 0)
        evb__thread_yield();
    emit();
}

static void stay_until_first_is_freed(void)
{
    if (explore_thread() != 2) return;
    explore_cover("stayed");
    while (freed[0] == 0 && evb__ld_acq(&first_freed) == 0) {
        evb__st_rlx(&first_freed, freed[0]); /* a write: what we wait for is none */
        evb__thread_yield();
    }
}

static void close_and_sweep(void)
{
    evb_topic *closed = topic;

    topic = NULL;
    evb_topic_close(closed);
    bus_sweep();
    explore_cover(explore_blocks_alive(closed) ? "record was kept" : "record was freed");
}

static void emit_and_close(void)
{
    int32_t status;

    bus_here();
    status = evb_topic_emit(topic, NULL, 0);
    explore_check(status == EVB_ECLOSED || (status >= 0 && status == (int32_t)called[0]), "wrong count");
    explore_cover(status == EVB_ECLOSED ? "closed" : status == 0 ? "not called" : "called");
    close_topic();
}

static void destroy(void)
{
    evb_bus *destroyed = bus;

    if (running[0] != 0) explore_cover("was running");
    bus = NULL; /* bus_end has nothing to destroy */
    evb_bus_destroy(destroyed);
    explore_check(running[0] == 0, "still running");
    explore_cover(explore_blocks_alive(destroyed) ? "handle outlived the bus" : "memory is gone");
}

static void destroy_and_drop(void)
{
    destroy();
    bus_drop(0);
}

static void destroy_owner(void)
{
    destroy();
    explore_check(freed[0] == 1, "free_user has not run when the bus is destroyed");
}

/* ---- setups and what listeners do ---- */

static void owned(unsigned emitters)
{
    bus_make(emitters);
    topic = bus_topic("a");
    bus_listen("a", 0, 0);
}

static void one_emitter(void)
{
    owned(1);
}

static void two_emitters(void)
{
    owned(2);
}

static void two_owned(void)
{
    owned(1);
    bus_listen("a", 1, 0);
}

static void one_that_stays(void)
{
    owned(3);
    bus_on("a", 1);
    inside[1] = stay_until_first_is_freed;
}

static void remove_itself(void)
{
    if (explore_thread() != 0) {
        explore_point();
        return;
    }
    explore_check(evb_off(bus, ids[0]) == EVB_OK, "not removed");
    explore_check(freed[0] == 0, "freed under its own call");
}

static void one_that_removes_itself(void)
{
    owned(2);
    inside[0] = remove_itself;
}

static void handle_and_wildcard(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_on("*", 0);
    bus_listen("b.c", 1, 0);
}

static void only_a_literal(void)
{
    bus_make(1);
    bus_listen("a", 0, 0);
}

static void plain(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_on("a", 0);
}

static void owned_once(void)
{
    bus_make(1);
    topic = bus_topic("a");
    bus_listen("a", 0, EVB_ONCE);
}

/* ---- finishes ---- */

static void finish_freed(void)
{
    explore_check(freed[0] == 1, "free_user has not run when the last emit has left");
    end();
}

static void finish_both_freed(void)
{
    explore_check(freed[1] == 1, "free_user has not run when the last emit has left");
    finish_freed();
}

#define FREED_COVERS .covers = {"was running", "freed before evb_off returned", "left to the emit"}

static const struct explore_shape shapes[] = {
    {.name = "free_user_runs_when_the_emit_has_left",
     .setup = one_emitter,
     .threads = {emit, off_first},
     .finish = finish_freed,
     BUS_SHAPE,
     FREED_COVERS},
    {.name = "free_user_runs_when_the_last_of_two_emits_has_left",
     .setup = two_emitters,
     .threads = {emit, emit, off_first},
     .finish = finish_freed,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     FREED_COVERS},
    {.name = "free_user_of_two_listeners_removed_by_two_threads",
     .setup = two_owned,
     .threads = {emit, off_first, off_second},
     .finish = finish_both_freed,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .random = 60000,
     FREED_COVERS},
    {.name = "free_user_does_not_wait_for_an_emit_that_began_later",
     .setup = one_that_stays,
     .threads = {emit, off_then_say_so, emit_after_off},
     .finish = finish_freed,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"was running", "freed before evb_off returned", "left to the emit", "stayed"}},
    {.name = "free_user_of_a_listener_that_removes_itself_during_another_emit",
     .setup = one_that_removes_itself,
     .threads = {emit, emit},
     .finish = finish_freed,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH},
    {.name = "topic_closed_during_an_emit_by_name",
     .setup = handle_and_wildcard,
     .threads = {emit_by_name, close_and_sweep},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"called", "record was kept", "record was freed"}},
    {.name = "topic_that_goes_with_its_last_listener_during_an_emit_by_name",
     .setup = only_a_literal,
     .threads = {emit_by_name, off_first},
     .finish = finish_freed,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"called", "not called", "was running"}},
    {.name = "bus_destroyed_during_an_emit",
     .setup = plain,
     .threads = {emit_and_close, destroy_and_drop},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"called", "closed", "was running", "handle outlived the bus", "memory is gone"}},
    {.name = "bus_destroyed_during_an_emit_frees_contexts_first",
     .setup = one_emitter,
     .threads = {emit_and_close, destroy_owner},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"called", "closed", "was running", "handle outlived the bus", "memory is gone"}},
    {.name = "bus_destroyed_while_a_once_fires",
     .setup = owned_once,
     .threads = {emit_and_close, destroy_owner},
     .finish = end,
     BUS_SHAPE,
     .executions = EXPLORE_ENOUGH,
     .covers = {"called", "closed", "was running"}},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
