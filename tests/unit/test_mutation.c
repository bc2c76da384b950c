/* SPDX-License-Identifier: MIT */
/* Semantics under mutation: what happens when the registry is changed while an emit is under way. The table stands in
 * include/evbus/bus.h; each of its rows is a test here, under the row's words.
 *
 * Every row that can is run three times, because there are three ways to the listeners: through a handle, by a name that has a record, and by a name
 * that has none (then the listeners come from the pattern trie).
 */
#include "evb_test.h"

#include <evbus.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BY_HANDLE, BY_NAME, BY_UNLISTED_NAME, WAYS };

/* What a listener does when it is called, and what it saw. */
struct actor {
    int32_t (*act)(struct actor *self);
    int64_t id, other_id;
    struct actor *other;
    int calls, value;
};

static struct world {
    evb_bus *bus;
    evb_topic *topic;
    int way;
    const char *pattern, *name;
    char trace[128]; /* one letter per call */
    int freed;
} world;

static void trace(char letter)
{
    size_t n = strlen(world.trace);

    if (n + 1 < sizeof world.trace) world.trace[n] = letter;
}

static void world_begin(int way)
{
    memset(&world, 0, sizeof world);
    world.way = way;
    world.pattern = way == BY_UNLISTED_NAME ? "m.*" : "m.x";
    world.name = "m.x";
    OK(evb_bus_create(NULL, &world.bus));
    if (way == BY_HANDLE) OK(evb_topic_open(world.bus, world.name, &world.topic));
}

static void world_end(void)
{
    evb_bus_destroy(world.bus);
    evb_topic_close(world.topic);
}

static int32_t emit(void)
{
    return world.way == BY_HANDLE ? evb_topic_emit(world.topic, "e", 1) : evb_emit(world.bus, world.name, "e", 1);
}

static int32_t run(const evb_event *event, void *user)
{
    struct actor *a = user;

    (void)event;
    a->calls++;
    return a->act != NULL ? a->act(a) : EVB_OK;
}

static void on_free(void *user)
{
    (void)user;
    world.freed++;
}

static void add(struct actor *a)
{
    a->id = ID(evb_on(world.bus, world.pattern, run, a));
}

static void add_owned(struct actor *a, uint32_t flags)
{
    a->id = ID(evb_listen(world.bus, world.pattern, &(evb_listen_opts){.flags = flags, .free_user = on_free}, run, a));
}

#define EACH_WAY for (int way = 0; way < WAYS; way++)

/* ---- adding ---- */

static int32_t add_other(struct actor *self)
{
    if (self->calls == 1) add(self->other);
    return EVB_OK;
}

TEST(a_listener_added_during_an_emit_is_not_called_in_it)
{
    EACH_WAY {
        struct actor late = {0}, first = {.act = add_other, .other = &late};

        world_begin(way);
        add(&first);
        EQ(emit(), 1);
        EQ(late.calls, 0);
        EQ(emit(), 2);
        EQ(late.calls, 1);
        world_end();
    }
}

static int32_t prepend_other(struct actor *self)
{
    if (self->calls == 1) self->other->id = ID(evb_prepend(world.bus, world.pattern, run, self->other));
    return EVB_OK;
}

TEST(a_listener_prepended_during_an_emit_is_not_called_in_it)
{
    EACH_WAY {
        struct actor late = {0}, first = {.act = prepend_other, .other = &late}, second = {0};

        world_begin(way);
        add(&first);
        add(&second);
        EQ(emit(), 2);
        EQ(late.calls, 0);
        EQ(second.calls, 1);
        EQ(emit(), 3);
        EQ(late.calls, 1);
        world_end();
    }
}

static int32_t add_matching_wildcard(struct actor *self)
{
    if (self->calls == 1) self->other->id = ID(evb_on(world.bus, ">", run, self->other));
    return EVB_OK;
}

TEST(a_matching_wildcard_added_during_an_emit_is_not_called_in_it)
{
    EACH_WAY {
        struct actor late = {0}, first = {.act = add_matching_wildcard, .other = &late};

        world_begin(way);
        add(&first);
        EQ(emit(), 1);
        EQ(late.calls, 0);
        EQ(emit(), 2);
        world_end();
    }
}

static int32_t add_then_emit(struct actor *self)
{
    if (self->calls != 1) return EVB_OK;
    add(self->other);
    EQ(emit(), 2); /* the nested emit begins after the registration */
    return EVB_OK;
}

TEST(a_nested_emit_calls_a_listener_added_before_it)
{
    EACH_WAY {
        struct actor late = {0}, first = {.act = add_then_emit, .other = &late};

        world_begin(way);
        add(&first);
        EQ(emit(), 1);
        EQ(late.calls, 1);
        EQ(first.calls, 2);
        world_end();
    }
}

/* ---- removing ---- */

static int32_t off_self(struct actor *self)
{
    OK(evb_off(world.bus, self->id));
    FAILS(evb_off(world.bus, self->id), EVB_ENOTFOUND);
    return EVB_OK;
}

TEST(a_listener_that_removes_itself_finishes_and_the_next_is_not_skipped)
{
    EACH_WAY {
        struct actor first = {.act = off_self}, second = {0};

        world_begin(way);
        add(&first);
        add(&second);
        EQ(emit(), 2);
        EQ(second.calls, 1);
        EQ(emit(), 1);
        EQ(first.calls, 1);
        world_end();
    }
}

static int32_t off_other(struct actor *self)
{
    if (self->calls == 1) OK(evb_off(world.bus, self->other->id));
    return EVB_OK;
}

TEST(a_listener_removed_during_an_emit_is_not_called_any_more)
{
    EACH_WAY {
        struct actor second = {0}, first = {.act = off_other, .other = &second}, third = {0};

        world_begin(way);
        add(&first);
        add(&second);
        add(&third);
        EQ(emit(), 2); /* the removed one is not counted */
        EQ(second.calls, 0);
        EQ(third.calls, 1);
        world_end();
    }
}

TEST(removing_a_listener_that_has_been_called_changes_nothing_in_the_emit)
{
    EACH_WAY {
        struct actor first = {0}, second = {.act = off_other, .other = &first}, third = {0};

        world_begin(way);
        add(&first);
        add(&second);
        add(&third);
        EQ(emit(), 3);
        EQ(emit(), 2);
        EQ(first.calls, 1);
        world_end();
    }
}

static int32_t replace_other(struct actor *self)
{
    if (self->calls != 1) return EVB_OK;
    OK(evb_off(world.bus, self->other->id));
    add(self->other);
    return EVB_OK;
}

TEST(a_listener_removed_and_added_again_waits_for_the_next_emit)
{
    EACH_WAY {
        struct actor second = {0}, first = {.act = replace_other, .other = &second};

        world_begin(way);
        add(&first);
        add(&second);
        EQ(emit(), 1);
        EQ(second.calls, 0);
        EQ(emit(), 2);
        EQ(second.calls, 1);
        world_end();
    }
}

static int32_t off_pattern(struct actor *self)
{
    EQ(evb_off_all(world.bus, world.pattern), self->value);
    return EVB_OK;
}

TEST(off_all_of_the_pattern_during_an_emit_stops_it)
{
    EACH_WAY {
        struct actor first = {.act = off_pattern, .value = 3}, second = {0}, third = {0};

        world_begin(way);
        add(&first);
        add(&second);
        add(&third);
        EQ(emit(), 1);
        EQ(second.calls + third.calls, 0);
        EQ(emit(), 0);
        EQ(evb_listener_count(world.bus, world.name), 0);
        world_end();
    }
}

static int32_t off_everything(struct actor *self)
{
    EQ(evb_off_all(world.bus, NULL), self->value);
    return EVB_OK;
}

TEST(off_all_of_the_bus_during_an_emit_stops_it)
{
    EACH_WAY {
        struct actor first = {.act = off_everything, .value = 3}, second = {0}, wide = {0};

        world_begin(way);
        add(&first);
        add(&second);
        wide.id = ID(evb_on(world.bus, ">", run, &wide));
        EQ(emit(), 1);
        EQ(second.calls + wide.calls, 0);
        world_end();
    }
}

static int32_t off_my_owner(struct actor *self)
{
    EQ(evb_off_owner(world.bus, self), 2);
    return EVB_OK;
}

TEST(off_owner_during_an_emit_removes_all_that_the_owner_has)
{
    EACH_WAY {
        struct actor first = {.act = off_my_owner}, second = {0}, third = {0};

        world_begin(way);
        add(&first);
        (void)ID(evb_listen(world.bus, world.pattern, &(evb_listen_opts){.owner = &first}, run, &second));
        (void)ID(evb_listen(world.bus, "elsewhere", &(evb_listen_opts){.owner = &first}, run, &second));
        add(&third);
        EQ(emit(), 2);
        EQ(second.calls, 0);
        EQ(third.calls, 1);
        EQ(evb_emit(world.bus, "elsewhere", NULL, 0), 0);
        world_end();
    }
}

static int32_t off_wait_other(struct actor *self)
{
    if (self->calls == 1) FAILS(evb_off_wait(world.bus, self->other->id), EVB_EDEADLK);
    return EVB_OK;
}

TEST(off_wait_inside_a_callback_refuses_to_wait_and_has_behaved_as_off)
{
    EACH_WAY {
        struct actor second = {0}, first = {.act = off_wait_other, .other = &second};

        world_begin(way);
        add(&first);
        add(&second);
        EQ(emit(), 1);
        EQ(second.calls, 0);
        FAILS(evb_off_wait(world.bus, second.id), EVB_ENOTFOUND);
        world_end();
    }
}

/* ---- once ---- */

static int32_t emit_again(struct actor *self)
{
    if (self->calls < 3) (void)emit();
    return EVB_OK;
}

TEST(a_once_is_removed_before_its_call_so_a_nested_emit_does_not_call_it_again)
{
    EACH_WAY {
        struct actor once = {.act = emit_again}, always = {0};

        world_begin(way);
        once.id = ID(evb_once(world.bus, world.pattern, run, &once));
        add(&always);
        EQ(emit(), 2);
        EQ(once.calls, 1);
        EQ(always.calls, 2);
        EQ(emit(), 1);
        world_end();
    }
}

static int32_t count_and_off_self(struct actor *self)
{
    EQ(evb_listener_count(world.bus, world.name), 0);
    FAILS(evb_off(world.bus, self->id), EVB_ENOTFOUND);
    return EVB_OK;
}

TEST(a_once_is_not_registered_any_more_while_it_runs)
{
    EACH_WAY {
        struct actor once = {.act = count_and_off_self};

        world_begin(way);
        once.id = ID(evb_once(world.bus, world.pattern, run, &once));
        EQ(emit(), 1);
        EQ(once.calls, 1);
        FAILS(evb_off_wait(world.bus, once.id), EVB_ENOTFOUND);
        world_end();
    }
}

static int32_t add_once_self(struct actor *self)
{
    if (self->calls < 3) self->id = ID(evb_once(world.bus, world.pattern, run, self));
    return EVB_OK;
}

TEST(a_once_that_registers_itself_again_is_called_once_per_emit)
{
    EACH_WAY {
        struct actor once = {.act = add_once_self};

        world_begin(way);
        once.id = ID(evb_once(world.bus, world.pattern, run, &once));
        EQ(emit(), 1);
        EQ(once.calls, 1);
        EQ(emit(), 1);
        EQ(emit(), 1);
        EQ(emit(), 0);
        EQ(once.calls, 3);
        world_end();
    }
}

/* ---- nesting ---- */

static int32_t nest_b(struct actor *self)
{
    trace('a');
    if (self->calls == 1) EQ(emit(), 2);
    trace('A');
    return EVB_OK;
}

static int32_t say_b(struct actor *self)
{
    (void)self;
    trace('b');
    return EVB_OK;
}

TEST(a_nested_emit_runs_at_once_and_depth_first)
{
    EACH_WAY {
        struct actor first = {.act = nest_b}, second = {.act = say_b};

        world_begin(way);
        add(&first);
        add(&second);
        EQ(emit(), 2);
        EQ_STR(world.trace, "aaAbAb");
        world_end();
    }
}

static int32_t dig(struct actor *self)
{
    int32_t status;

    self->value++;
    status = emit();
    self->value--;
    if (status < 0) {
        FAILS(status, EVB_ERECURSION);
        EQ(self->value, 63); /* this is the 64th emit on the thread; the 65th was refused */
    }
    return EVB_OK;
}

TEST(emits_nest_64_deep_and_the_next_is_refused)
{
    EACH_WAY {
        struct actor miner = {.act = dig};

        world_begin(way);
        add(&miner);
        EQ(emit(), 1);
        EQ(miner.calls, 64);
        EQ(emit(), 1); /* and the thread is as it was */
        world_end();
    }
}

/* ---- destroy ---- */

static int32_t destroy_bus(struct actor *self)
{
    evb_bus_destroy(world.bus);
    self->value = world.freed;
    if (world.way == BY_HANDLE) FAILS(evb_topic_emit(world.topic, "e", 1), EVB_ECLOSED);
    return EVB_OK;
}

TEST(a_bus_destroyed_inside_a_callback_calls_nobody_else_and_ends_when_it_returns)
{
    EACH_WAY {
        struct actor first = {.act = destroy_bus}, second = {0};

        world_begin(way);
        add_owned(&first, 0);
        add_owned(&second, 0);
        EQ(emit(), 1);
        EQ(second.calls, 0);
        EQ(first.value, 1); /* the second's context went at once, the first's when its call was over */
        EQ(world.freed, 2);
        if (way == BY_HANDLE) FAILS(evb_topic_emit(world.topic, "e", 1), EVB_ECLOSED);
        evb_topic_close(world.topic);
    }
}

static int32_t destroy_from_below(struct actor *self)
{
    if (self->calls == 1) {
        (void)emit();
    } else if (self->calls == 2) {
        evb_bus_destroy(world.bus);
        evb_bus_destroy(world.bus); /* still inside: a second time is nothing */
    }
    return EVB_OK;
}

TEST(a_bus_destroyed_in_a_nested_emit_ends_with_the_outermost)
{
    EACH_WAY {
        struct actor first = {.act = destroy_from_below}, second = {0};

        world_begin(way);
        add_owned(&first, 0);
        add(&second);
        EQ(emit(), 1);
        EQ(second.calls, 0);
        EQ(world.freed, 1);
        evb_topic_close(world.topic);
    }
}

static evb_bus *other_bus;

static int32_t destroy_other_bus(struct actor *self)
{
    evb_bus_destroy(other_bus);
    self->value = world.freed;
    return EVB_OK;
}

TEST(another_bus_destroyed_inside_a_callback_is_gone_when_the_callback_has_returned)
{
    EACH_WAY {
        struct actor first = {.act = destroy_other_bus}, there = {0};

        world_begin(way);
        OK(evb_bus_create(NULL, &other_bus));
        (void)ID(evb_listen(other_bus, "there", &(evb_listen_opts){.free_user = on_free}, run, &there));
        add(&first);
        EQ(emit(), 1);
        EQ(world.freed, 1);
        world_end();
    }
}

/* ---- topics ---- */

static int32_t close_topic(struct actor *self)
{
    (void)self;
    evb_topic_close(world.topic);
    world.topic = NULL;
    return EVB_OK;
}

TEST(a_handle_closed_inside_its_own_emit_lets_the_emit_finish)
{
    struct actor first = {.act = close_topic}, second = {0};

    world_begin(BY_HANDLE);
    add(&first);
    add(&second);
    EQ(emit(), 2);
    EQ(second.calls, 1);
    EQ(evb_emit(world.bus, world.name, NULL, 0), 2);
    world_end();
}

static int32_t open_again(struct actor *self)
{
    evb_topic *again;

    if (self->calls > 1) return EVB_OK;
    OK(evb_topic_open(world.bus, world.name, &again));
    if (world.way == BY_HANDLE) EQ_PTR(again, world.topic);
    EQ(evb_topic_emit(again, NULL, 0), 2);
    evb_topic_close(again);
    return EVB_OK;
}

TEST(a_topic_opened_and_closed_inside_its_own_emit_changes_nothing_in_it)
{
    EACH_WAY {
        struct actor first = {.act = open_again}, second = {0};

        world_begin(way);
        add(&first);
        add(&second);
        EQ(emit(), 2);
        EQ(first.calls, 2);
        EQ(second.calls, 2);
        world_end();
    }
}

/* ---- contexts ---- */

TEST(free_user_runs_before_off_returns_when_no_emit_is_under_way)
{
    EACH_WAY {
        struct actor first = {0};

        world_begin(way);
        add_owned(&first, 0);
        EQ(emit(), 1);
        OK(evb_off(world.bus, first.id));
        EQ(world.freed, 1);
        world_end();
        EQ(world.freed, 1);
    }
}

static int32_t off_other_and_look(struct actor *self)
{
    OK(evb_off(world.bus, self->other->id));
    self->value = world.freed;
    return EVB_OK;
}

TEST(free_user_of_another_listener_runs_before_off_returns_inside_a_callback_too)
{
    EACH_WAY {
        struct actor second = {0}, first = {.act = off_other_and_look, .other = &second};

        world_begin(way);
        add(&first);
        add_owned(&second, 0);
        EQ(emit(), 1);
        EQ(first.value, 1);
        world_end();
    }
}

static int32_t off_self_and_look(struct actor *self)
{
    OK(evb_off(world.bus, self->id));
    self->value = world.freed;
    return EVB_OK;
}

TEST(free_user_of_a_listener_that_removes_itself_waits_for_its_own_call)
{
    EACH_WAY {
        struct actor first = {.act = off_self_and_look};

        world_begin(way);
        add_owned(&first, 0);
        EQ(emit(), 1);
        EQ(first.value, 0);
        EQ(world.freed, 1);
        world_end();
        EQ(world.freed, 1);
    }
}

TEST(free_user_of_a_once_runs_after_its_call)
{
    EACH_WAY {
        struct actor first = {0};

        world_begin(way);
        add_owned(&first, EVB_ONCE);
        EQ(emit(), 1);
        EQ(world.freed, 1);
        world_end();
        EQ(world.freed, 1);
    }
}

static void free_and_register(void *user)
{
    struct actor *a = user;

    world.freed++;
    add(a->other);
    EQ(emit(), 1);
    FAILS(evb_off_wait(world.bus, a->other->id), EVB_EDEADLK);
}

TEST(free_user_may_register_emit_and_remove_but_not_wait)
{
    EACH_WAY {
        struct actor other = {0}, first = {.other = &other};

        world_begin(way);
        first.id = ID(evb_listen(world.bus, world.pattern, &(evb_listen_opts){.free_user = free_and_register}, run, &first));
        OK(evb_off(world.bus, first.id));
        EQ(world.freed, 1);
        EQ(other.calls, 1);
        EQ(emit(), 0);
        world_end();
    }
}

static void free_and_destroy(void *user)
{
    (void)user;
    world.freed++;
    evb_bus_destroy(world.bus);
}

TEST(a_bus_destroyed_by_free_user_ends_when_the_call_that_removed_returns)
{
    EACH_WAY {
        struct actor first = {0}, second = {0};

        world_begin(way);
        first.id = ID(evb_listen(world.bus, world.pattern, &(evb_listen_opts){.free_user = free_and_destroy}, run, &first));
        add_owned(&second, 0);
        OK(evb_off(world.bus, first.id));
        EQ(world.freed, 2);
        evb_topic_close(world.topic);
    }
}

/* ---- filters and hooks ---- */

static int32_t filter_removes_itself(const evb_event *event, void *user)
{
    struct actor *a = user;

    (void)event;
    OK(evb_off(world.bus, a->id));
    return 1;
}

TEST(a_filter_that_removes_its_listener_keeps_it_from_being_called)
{
    EACH_WAY {
        struct actor first = {0}, second = {0};

        world_begin(way);
        first.id = ID(evb_listen(world.bus, world.pattern,
                                 &(evb_listen_opts){.filter = filter_removes_itself, .free_user = on_free}, run, &first));
        add(&second);
        EQ(emit(), 1);
        EQ(first.calls, 0);
        EQ(world.freed, 1);
        world_end();
    }
}

static void hook_changes_things(const evb_hook_info *info, void *user)
{
    struct actor *a = user;

    EQ(info->kind, EVB_HOOK_ERROR);
    a->calls++;
    FAILS(emit(), EVB_ERECURSION);
    FAILS(evb_off_wait(world.bus, a->other->id), EVB_EDEADLK);
    a->id = ID(evb_on(world.bus, world.pattern, run, a));
}

static int32_t answer_error(struct actor *self)
{
    (void)self;
    return -77;
}

TEST(an_error_hook_may_change_listeners_but_neither_emit_nor_wait)
{
    EACH_WAY {
        struct actor second = {0}, hook = {.other = &second}, first = {.act = answer_error};

        world_begin(way);
        evb_topic_close(world.topic);
        evb_bus_destroy(world.bus);
        OK(evb_bus_create(&(evb_bus_opts){.hook = hook_changes_things, .hook_user = &hook}, &world.bus));
        if (way == BY_HANDLE) OK(evb_topic_open(world.bus, world.name, &world.topic));
        add(&first);
        add(&second);
        EQ(emit(), 1); /* the hook removed the second */
        EQ(hook.calls, 1);
        EQ(second.calls, 0);
        world_end();
    }
}

/* ---- iteration ---- */

static int32_t change_while_iterating(const char *pattern, uint32_t listeners, void *user)
{
    struct actor *a = user;

    a->calls++;
    EQ(evb_off_all(world.bus, pattern), listeners);
    (void)ID(evb_on(world.bus, "added.while.iterating", run, a));
    FAILS(evb_off_wait(world.bus, 1), EVB_ENOTFOUND);
    return 0;
}

TEST(patterns_walks_over_a_copy)
{
    struct actor a = {0};

    world_begin(BY_NAME);
    (void)ID(evb_on(world.bus, "one", run, &a));
    (void)ID(evb_on(world.bus, "two.*", run, &a));
    (void)ID(evb_on(world.bus, "two.*", run, &a));
    EQ(evb_patterns(world.bus, change_while_iterating, &a), 0);
    EQ(a.calls, 2);
    EQ(evb_listener_count(world.bus, "two.x"), 0);
    EQ(evb_listener_count(world.bus, "added.while.iterating"), 2);
    world_end();
}

/* ---- fork ---- */

static int child_of_a_callback(void *arg)
{
    evb_bus *fresh;

    (void)arg;
    FAILS(emit(), EVB_EFORKED);
    FAILS(evb_off_all(world.bus, NULL), EVB_EFORKED);
    OK(evb_bus_create(NULL, &fresh));
    EQ(evb_emit(fresh, "a", NULL, 0), 0);
    evb_bus_destroy(fresh);
    return 0;
}

static int32_t fork_here(struct actor *self)
{
    if (self->calls == 1) self->value = evb_test_in_child(child_of_a_callback, NULL);
    return EVB_OK;
}

TEST(a_fork_inside_a_callback_leaves_the_parent_alone_and_refuses_the_child)
{
    EACH_WAY {
        struct actor first = {.act = fork_here, .value = -1}, second = {0};

        world_begin(way);
        add(&first);
        add(&second);
        EQ(emit(), 2);
        EQ(first.value, 0);
        EQ(emit(), 2);
        world_end();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_added_during_an_emit_is_not_called_in_it),
        cmocka_unit_test(a_listener_prepended_during_an_emit_is_not_called_in_it),
        cmocka_unit_test(a_matching_wildcard_added_during_an_emit_is_not_called_in_it),
        cmocka_unit_test(a_nested_emit_calls_a_listener_added_before_it),
        cmocka_unit_test(a_listener_that_removes_itself_finishes_and_the_next_is_not_skipped),
        cmocka_unit_test(a_listener_removed_during_an_emit_is_not_called_any_more),
        cmocka_unit_test(removing_a_listener_that_has_been_called_changes_nothing_in_the_emit),
        cmocka_unit_test(a_listener_removed_and_added_again_waits_for_the_next_emit),
        cmocka_unit_test(off_all_of_the_pattern_during_an_emit_stops_it),
        cmocka_unit_test(off_all_of_the_bus_during_an_emit_stops_it),
        cmocka_unit_test(off_owner_during_an_emit_removes_all_that_the_owner_has),
        cmocka_unit_test(off_wait_inside_a_callback_refuses_to_wait_and_has_behaved_as_off),
        cmocka_unit_test(a_once_is_removed_before_its_call_so_a_nested_emit_does_not_call_it_again),
        cmocka_unit_test(a_once_is_not_registered_any_more_while_it_runs),
        cmocka_unit_test(a_once_that_registers_itself_again_is_called_once_per_emit),
        cmocka_unit_test(a_nested_emit_runs_at_once_and_depth_first),
        cmocka_unit_test(emits_nest_64_deep_and_the_next_is_refused),
        cmocka_unit_test(a_bus_destroyed_inside_a_callback_calls_nobody_else_and_ends_when_it_returns),
        cmocka_unit_test(a_bus_destroyed_in_a_nested_emit_ends_with_the_outermost),
        cmocka_unit_test(another_bus_destroyed_inside_a_callback_is_gone_when_the_callback_has_returned),
        cmocka_unit_test(a_handle_closed_inside_its_own_emit_lets_the_emit_finish),
        cmocka_unit_test(a_topic_opened_and_closed_inside_its_own_emit_changes_nothing_in_it),
        cmocka_unit_test(free_user_runs_before_off_returns_when_no_emit_is_under_way),
        cmocka_unit_test(free_user_of_another_listener_runs_before_off_returns_inside_a_callback_too),
        cmocka_unit_test(free_user_of_a_listener_that_removes_itself_waits_for_its_own_call),
        cmocka_unit_test(free_user_of_a_once_runs_after_its_call),
        cmocka_unit_test(free_user_may_register_emit_and_remove_but_not_wait),
        cmocka_unit_test(a_bus_destroyed_by_free_user_ends_when_the_call_that_removed_returns),
        cmocka_unit_test(a_filter_that_removes_its_listener_keeps_it_from_being_called),
        cmocka_unit_test(an_error_hook_may_change_listeners_but_neither_emit_nor_wait),
        cmocka_unit_test(patterns_walks_over_a_copy),
        cmocka_unit_test(a_fork_inside_a_callback_leaves_the_parent_alone_and_refuses_the_child),
    };
    return EVB_TEST_MAIN("mutation", tests, argc, argv);
}
