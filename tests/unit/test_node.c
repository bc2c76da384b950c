/* SPDX-License-Identifier: MIT */
/* clang-format off: the table
 *
 * What Node's own tests pin about EventEmitter, on this bus: what carries over to listeners in C has a test of that name.
 *
 * behaviour of EventEmitter                                  test
 * listeners run synchronously, in registration order        listeners_run_synchronously_in_registration_order
 * emit says whether there was a listener                    emit_answers_how_many_listeners_it_called
 * a function registered n times is called n times           the_same_function_registered_n_times_is_called_n_times
 * off of an unknown listener or event does nothing          off_of_something_unknown_does_nothing
 * a listener must be a function (on, once, prepend, off)    a_listener_must_be_a_function
 * prependListener: before all others, the last one first    prepended_listeners_run_first_the_last_prepended_before_all
 * prependOnceListener                                       a_prepended_once_runs_first_and_once
 * once is removed before its callback runs                  a_once_is_removed_before_it_is_called
 * off finds a listener registered by once                   off_finds_a_once_that_has_not_fired
 * added during emit: not called in it                       a_listener_added_during_emit_is_not_called_in_it
 * removes itself during emit: the next is not skipped       a_listener_that_removes_itself_does_not_hide_the_next
 * nested emit of the same event, depth first                a_nested_emit_of_the_same_event_runs_depth_first
 * hooks run outside the registry's lock and may change it   callbacks_of_the_bus_may_change_it
 * removeAllListeners(name), removeAllListeners()            all_listeners_of_a_name_or_of_the_bus_can_be_removed
 * what listeners() returned is a copy                       the_walk_over_patterns_is_over_a_copy
 * listenerCount(name)                                       listener_count_counts_the_listeners_of_a_name
 * eventNames(): by first registration, gone with the last   pattern_names_come_in_order_of_first_registration
 * "__proto__", "toString" and the like are ordinary         names_of_javascript_are_ordinary
 * too many listeners: one warning per event, or none        too_many_listeners_are_warned_of_once_per_name
 * setMaxListeners does nothing else; no special names       the_limit_changes_nothing_but_the_warning
 * errorMonitor is called and does not count as handling     a_monitor_is_called_and_does_not_count
 * getEventListeners                                         who_listens_can_be_asked
 *
 * Different on purpose: Node                                here
 * removed during emit: still called                         a_removed_listener_is_not_called_any_more: its context may be gone
 * off(event, fn) removes the latest registration of fn      off_removes_the_one_registration_it_names: by id
 * 'error' without a listener throws                         an_error_nobody_listens_to_is_no_disaster: counted, told to the hook
 * a listener that throws ends the emit                      a_listeners_error_does_not_stop_the_others: it returns its error
 * emit passes any number of arguments                       emit_passes_one_payload_unchanged
 * max listeners: 10, 0 = unlimited, per emitter             64, UINT32_MAX = unlimited, per bus: test_leak_guard.c
 *
 * Not here: newListener and removeListener events (free_user tells of a removal), rawListeners (there are no wrappers), symbols
 * as names, `this`, chaining, captureRejections, AsyncResource, domains, EventTarget, addAbortListener. once(emitter, name) and
 * on(emitter, name), the promise and the iterator, belong to queues.
 *
 * clang-format on
 */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

static evb_bus *bus;
static char trace[128];

static void begin(void)
{
    trace[0] = '\0';
    OK(evb_bus_create(NULL, &bus));
}

static void end(void)
{
    evb_bus_destroy(bus);
}

static void *word(const char *text)
{
    return (void *)(uintptr_t)text;
}

static int32_t say(const evb_event *ev, void *user)
{
    size_t n = strlen(trace);

    (void)ev;
    (void)snprintf(trace + n, sizeof trace - n, "%s ", (const char *)user);
    return EVB_OK;
}

static int32_t emit(const char *name)
{
    return evb_emit(bus, name, NULL, 0);
}

/* ---- as in Node ---- */

TEST(listeners_run_synchronously_in_registration_order)
{
    begin();
    (void)ID(evb_on(bus, "foo", say, word("1")));
    (void)ID(evb_on(bus, "foo", say, word("2")));
    (void)ID(evb_on(bus, "foo", say, word("3")));
    EQ(emit("foo"), 3);
    EQ_STR(trace, "1 2 3 "); /* at once: nothing else has run in between */
    end();
}

TEST(emit_answers_how_many_listeners_it_called)
{
    begin();
    EQ(emit("foo"), 0);
    (void)ID(evb_on(bus, "foo", say, word("x")));
    EQ(emit("foo"), 1);
    EQ(emit("bar"), 0);
    EQ(evb_off_all(bus, "foo"), 1);
    EQ(emit("foo"), 0);
    end();
}

TEST(the_same_function_registered_n_times_is_called_n_times)
{
    begin();
    for (int i = 0; i < 3; i++)
        (void)ID(evb_on(bus, "foo", say, word("x")));
    EQ(emit("foo"), 3);
    EQ_STR(trace, "x x x ");
    end();
}

TEST(off_of_something_unknown_does_nothing)
{
    int64_t id;

    begin();
    id = ID(evb_on(bus, "foo", say, word("x")));
    FAILS(evb_off(bus, id + 1), EVB_ENOTFOUND);
    EQ(evb_off_all(bus, "bar"), 0);
    EQ(evb_off_owner(bus, &id), 0);
    EQ(emit("foo"), 1);
    OK(evb_off(bus, id));
    FAILS(evb_off(bus, id), EVB_ENOTFOUND);
    end();
}

TEST(a_listener_must_be_a_function)
{
    begin();
    FAILS(evb_on(bus, "foo", NULL, NULL), EVB_EINVAL);
    FAILS(evb_once(bus, "foo", NULL, NULL), EVB_EINVAL);
    FAILS(evb_prepend(bus, "foo", NULL, NULL), EVB_EINVAL);
    FAILS(evb_off(bus, 0), EVB_EINVAL);
    EQ(evb_listener_count(bus, "foo"), 0);
    end();
}

TEST(prepended_listeners_run_first_the_last_prepended_before_all)
{
    begin();
    (void)ID(evb_on(bus, "foo", say, word("on")));
    (void)ID(evb_prepend(bus, "foo", say, word("first")));
    (void)ID(evb_prepend(bus, "foo", say, word("second")));
    EQ(emit("foo"), 3);
    EQ_STR(trace, "second first on ");
    end();
}

TEST(a_prepended_once_runs_first_and_once)
{
    begin();
    (void)ID(evb_on(bus, "foo", say, word("on")));
    (void)ID(evb_listen(bus, "foo", &(evb_listen_opts){.flags = EVB_ONCE | EVB_PREPEND}, say, word("once")));
    EQ(emit("foo"), 2);
    EQ(emit("foo"), 1);
    EQ_STR(trace, "once on on ");
    end();
}

static int32_t emit_foo_again(const evb_event *ev, void *user)
{
    (void)say(ev, user);
    (void)emit("foo");
    return EVB_OK;
}

TEST(a_once_is_removed_before_it_is_called)
{
    begin();
    (void)ID(evb_once(bus, "foo", emit_foo_again, word("once")));
    EQ(emit("foo"), 1);
    EQ_STR(trace, "once ");
    EQ(evb_listener_count(bus, "foo"), 0);
    end();
}

TEST(off_finds_a_once_that_has_not_fired)
{
    int64_t id;

    begin();
    id = ID(evb_once(bus, "foo", say, word("x")));
    EQ(evb_listener_count(bus, "foo"), 1);
    OK(evb_off(bus, id));
    EQ(emit("foo"), 0);
    EQ_STR(trace, "");
    end();
}

static int32_t add_another(const evb_event *ev, void *user)
{
    (void)say(ev, user);
    (void)ID(evb_on(bus, "foo", say, word("added")));
    return EVB_OK;
}

TEST(a_listener_added_during_emit_is_not_called_in_it)
{
    begin();
    (void)ID(evb_once(bus, "foo", add_another, word("adder")));
    EQ(emit("foo"), 1);
    EQ_STR(trace, "adder ");
    EQ(emit("foo"), 1);
    EQ_STR(trace, "adder added ");
    end();
}

static int64_t target;

static int32_t off_target(const evb_event *ev, void *user)
{
    (void)say(ev, user);
    return evb_off(bus, target);
}

TEST(a_listener_that_removes_itself_does_not_hide_the_next)
{
    begin();
    target = ID(evb_on(bus, "foo", off_target, word("goes")));
    (void)ID(evb_on(bus, "foo", say, word("stays")));
    EQ(emit("foo"), 2);
    EQ(emit("foo"), 1);
    EQ_STR(trace, "goes stays stays ");
    end();
}

TEST(a_nested_emit_of_the_same_event_runs_depth_first)
{
    begin();
    (void)ID(evb_once(bus, "foo", emit_foo_again, word("outer")));
    (void)ID(evb_on(bus, "foo", say, word("last")));
    EQ(emit("foo"), 2);
    EQ_STR(trace, "outer last last ");
    end();
}

static void hook_adds_and_removes(const evb_hook_info *info, void *user)
{
    (void)user;
    (void)ID(evb_on(info->bus, "from.hook", say, word("hook")));
    (void)evb_off(info->bus, target);
}

static void free_adds(void *user)
{
    (void)ID(evb_on(bus, "from.free", say, user));
}

static int32_t filter_adds(const evb_event *ev, void *user)
{
    (void)ev;
    (void)ID(evb_on(bus, "from.filter", say, user));
    return 1;
}

static int32_t go_wrong(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return -1;
}

TEST(callbacks_of_the_bus_may_change_it)
{
    int64_t id;

    trace[0] = '\0';
    OK(evb_bus_create(&(evb_bus_opts){.hook = hook_adds_and_removes}, &bus));
    (void)ID(evb_once(bus, "foo", go_wrong, NULL));
    target = ID(evb_on(bus, "foo", say, word("removed by the hook")));
    id = ID(evb_listen(bus, "foo", &(evb_listen_opts){.filter = filter_adds, .free_user = free_adds}, say,
                       word("x")));
    EQ(emit("foo"), 2);
    OK(evb_off(bus, id));
    EQ_STR(trace, "x ");
    EQ(emit("from.hook"), 1);
    EQ(emit("from.filter"), 1);
    EQ(emit("from.free"), 1);
    end();
}

TEST(all_listeners_of_a_name_or_of_the_bus_can_be_removed)
{
    begin();
    for (int i = 0; i < 2; i++) {
        (void)ID(evb_on(bus, "foo", say, word("foo")));
        (void)ID(evb_on(bus, "bar", say, word("bar")));
        (void)ID(evb_once(bus, "baz", say, word("baz")));
    }
    EQ(evb_off_all(bus, "foo"), 2);
    EQ(emit("foo"), 0);
    EQ(evb_listener_count(bus, "bar"), 2);
    EQ(evb_off_all(bus, NULL), 4);
    EQ(emit("bar") + emit("baz"), 0);
    EQ(evb_off_all(bus, NULL), 0);
    EQ_STR(trace, "");
    end();
}

static int32_t remove_while_walking(const char *pattern, uint32_t listeners, void *user)
{
    EQ(evb_off_all(bus, NULL), *(int *)user == 0 ? 3 : 0);
    ++*(int *)user;
    EQ(listeners, pattern[0] == 'f' ? 2 : 1);
    return 0;
}

TEST(the_walk_over_patterns_is_over_a_copy)
{
    int walked = 0;

    begin();
    (void)ID(evb_on(bus, "foo", say, word("x")));
    (void)ID(evb_on(bus, "bar", say, word("x")));
    (void)ID(evb_on(bus, "foo", say, word("x")));
    OK(evb_patterns(bus, remove_while_walking, &walked));
    EQ(walked, 2);
    OK(evb_patterns(bus, remove_while_walking, &walked));
    EQ(walked, 2);
    end();
}

TEST(listener_count_counts_the_listeners_of_a_name)
{
    int64_t id;

    begin();
    EQ(evb_listener_count(bus, "foo"), 0);
    id = ID(evb_on(bus, "foo", say, word("x")));
    (void)ID(evb_once(bus, "foo", say, word("x")));
    (void)ID(evb_on(bus, "bar", say, word("x")));
    EQ(evb_listener_count(bus, "foo"), 2);
    OK(evb_off(bus, id));
    EQ(evb_listener_count(bus, "foo"), 1);
    EQ(emit("foo"), 1);
    EQ(evb_listener_count(bus, "foo"), 0);
    EQ(evb_listener_count(bus, "baz"), 0);
    end();
}

static int32_t list_name(const char *pattern, uint32_t listeners, void *user)
{
    (void)listeners;
    (void)user;
    return say(NULL, word(pattern));
}

TEST(pattern_names_come_in_order_of_first_registration)
{
    int64_t id;

    begin();
    OK(evb_patterns(bus, list_name, NULL));
    (void)ID(evb_on(bus, "zulu", say, NULL));
    id = ID(evb_on(bus, "alpha", say, NULL));
    (void)ID(evb_on(bus, "zulu", say, NULL));
    (void)ID(evb_on(bus, "mike", say, NULL));
    OK(evb_patterns(bus, list_name, NULL));
    EQ_STR(trace, "zulu alpha mike ");
    OK(evb_off(bus, id));
    trace[0] = '\0';
    OK(evb_patterns(bus, list_name, NULL));
    EQ_STR(trace, "zulu mike ");
    end();
}

TEST(names_of_javascript_are_ordinary)
{
    static const char *const names[] = {
        "__proto__", "__defineGetter__", "toString", "constructor", "hasOwnProperty",
        "null",      "undefined",        "0"};

    begin();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        EQ(evb_listener_count(bus, names[i]), 0);
        (void)ID(evb_on(bus, names[i], say, word(names[i])));
        trace[0] = '\0';
        EQ(emit(names[i]), 1);
        EQ_MEM(trace, names[i], strlen(names[i]));
    }
    EQ(evb_off_all(bus, NULL), (int)(sizeof names / sizeof names[0]));
    end();
}

static void count_line(int32_t level, const char *name, const char *line, void *user)
{
    EQ(level, EVB_LOG_WARN);
    EQ_STR(name, "listener_leak_suspected");
    CHECK(strstr(line, "pattern=") != NULL);
    ++*(int *)user;
}

static int warnings(uint32_t limit)
{
    int lines = 0;

    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = limit}, &bus));
    evb_set_log(count_line, &lines, EVB_LOG_WARN);
    for (int i = 0; i < 20; i++) {
        (void)ID(evb_on(bus, "foo", say, word("x")));
        (void)ID(evb_on(bus, "bar", say, word("x")));
    }
    evb_set_log(NULL, NULL, EVB_LOG_WARN);
    end();
    return lines;
}

TEST(too_many_listeners_are_warned_of_once_per_name)
{
    EQ(warnings(10), 2);
    EQ(warnings(UINT32_MAX), 0);
}

TEST(the_limit_changes_nothing_but_the_warning)
{
    int lines = 0;

    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = 1}, &bus));
    evb_set_log(count_line, &lines, EVB_LOG_WARN);
    trace[0] = '\0';
    for (int i = 0; i < 3; i++)
        (void)ID(evb_on(bus, "maxListeners", say, word("x")));
    EQ(lines, 1);
    EQ(emit("maxListeners"), 3);
    EQ(evb_listener_count(bus, "maxListeners"), 3);
    end();
}

TEST(a_monitor_is_called_and_does_not_count)
{
    begin();
    (void)ID(evb_listen(bus, "error", &(evb_listen_opts){.flags = EVB_MONITOR, .priority = 1}, say,
                        word("monitor")));
    EQ(emit("error"), 0); /* seen, not handled */
    EQ_STR(trace, "monitor ");
    (void)ID(evb_on(bus, "error", say, word("handler")));
    EQ(emit("error"), 1);
    EQ_STR(trace, "monitor monitor handler ");
    end();
}

TEST(who_listens_can_be_asked)
{
    begin();
    (void)ID(evb_on(bus, "foo", say, NULL));
    (void)ID(evb_on(bus, "*", say, NULL));
    EQ(evb_listener_count(bus, "foo"), 2);
    EQ(evb_listener_count(bus, "bar"), 1);
    OK(evb_patterns(bus, list_name, NULL));
    EQ_STR(trace, "foo * ");
    end();
}

/* ---- different on purpose ---- */

TEST(a_removed_listener_is_not_called_any_more)
{
    begin();
    (void)ID(evb_on(bus, "foo", off_target, word("remover")));
    target = ID(evb_on(bus, "foo", say, word("removed")));
    EQ(emit("foo"), 1); /* Node would call both this time */
    EQ_STR(trace, "remover ");
    end();
}

TEST(off_removes_the_one_registration_it_names)
{
    int64_t first;

    begin();
    first = ID(evb_on(bus, "foo", say, word("first")));
    (void)ID(evb_on(bus, "foo", say, word("second")));
    (void)ID(evb_on(bus, "foo", say, word("third")));
    OK(evb_off(bus, first)); /* off(fn) of Node would remove the third */
    EQ(emit("foo"), 2);
    EQ_STR(trace, "second third ");
    end();
}

static void hear_error(const evb_hook_info *info, void *user)
{
    EQ_STR(info->text, "foo");
    EQ(info->status, -1);
    ++*(int *)user;
}

TEST(an_error_nobody_listens_to_is_no_disaster)
{
    begin();
    EQ(emit("error"), 0);
    (void)ID(evb_on(bus, "foo", go_wrong, NULL)); /* no hook on this bus */
    EQ(emit("foo"), 1);
    EQ(emit("error"), 0);
    end();
}

TEST(a_listeners_error_does_not_stop_the_others)
{
    int errors = 0;

    trace[0] = '\0';
    OK(evb_bus_create(&(evb_bus_opts){.hook = hear_error, .hook_user = &errors}, &bus));
    (void)ID(evb_on(bus, "foo", say, word("before")));
    (void)ID(evb_on(bus, "foo", go_wrong, NULL));
    (void)ID(evb_on(bus, "foo", say, word("after")));
    EQ(emit("foo"), 3);
    EQ(errors, 1);
    EQ_STR(trace, "before after ");
    end();
}

static int32_t take_payload(const evb_event *ev, void *user)
{
    EQ(ev->size, 3 * sizeof(int));
    EQ_MEM(ev->data, user, ev->size);
    EQ_PTR(ev->data, user);
    return say(ev, word("got"));
}

TEST(emit_passes_one_payload_unchanged)
{
    int arguments[] = {1, 2, 3};

    begin();
    (void)ID(evb_on(bus, "foo", take_payload, arguments));
    EQ(evb_emit(bus, "foo", arguments, sizeof arguments), 1);
    EQ_STR(trace, "got ");
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_run_synchronously_in_registration_order),
        cmocka_unit_test(emit_answers_how_many_listeners_it_called),
        cmocka_unit_test(the_same_function_registered_n_times_is_called_n_times),
        cmocka_unit_test(off_of_something_unknown_does_nothing),
        cmocka_unit_test(a_listener_must_be_a_function),
        cmocka_unit_test(prepended_listeners_run_first_the_last_prepended_before_all),
        cmocka_unit_test(a_prepended_once_runs_first_and_once),
        cmocka_unit_test(a_once_is_removed_before_it_is_called),
        cmocka_unit_test(off_finds_a_once_that_has_not_fired),
        cmocka_unit_test(a_listener_added_during_emit_is_not_called_in_it),
        cmocka_unit_test(a_listener_that_removes_itself_does_not_hide_the_next),
        cmocka_unit_test(a_nested_emit_of_the_same_event_runs_depth_first),
        cmocka_unit_test(callbacks_of_the_bus_may_change_it),
        cmocka_unit_test(all_listeners_of_a_name_or_of_the_bus_can_be_removed),
        cmocka_unit_test(the_walk_over_patterns_is_over_a_copy),
        cmocka_unit_test(listener_count_counts_the_listeners_of_a_name),
        cmocka_unit_test(pattern_names_come_in_order_of_first_registration),
        cmocka_unit_test(names_of_javascript_are_ordinary),
        cmocka_unit_test(too_many_listeners_are_warned_of_once_per_name),
        cmocka_unit_test(the_limit_changes_nothing_but_the_warning),
        cmocka_unit_test(a_monitor_is_called_and_does_not_count),
        cmocka_unit_test(who_listens_can_be_asked),
        cmocka_unit_test(a_removed_listener_is_not_called_any_more),
        cmocka_unit_test(off_removes_the_one_registration_it_names),
        cmocka_unit_test(an_error_nobody_listens_to_is_no_disaster),
        cmocka_unit_test(a_listeners_error_does_not_stop_the_others),
        cmocka_unit_test(emit_passes_one_payload_unchanged),
    };
    return EVB_TEST_MAIN("node", tests, argc, argv);
}
