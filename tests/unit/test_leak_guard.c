/* SPDX-License-Identifier: MIT */
/* The leak guard: one log line when a pattern gets more listeners than listener_warning, once for each
 * pattern as long as it has any. */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

static struct heard {
    int lines;
    int32_t level;
    char name[64], line[512];
    void (*act)(void);
} heard;

static void on_log(int32_t level, const char *name, const char *line, void *user)
{
    EQ_PTR(user, &heard);
    heard.lines++;
    heard.level = level;
    (void)snprintf(heard.name, sizeof heard.name, "%s", name);
    (void)snprintf(heard.line, sizeof heard.line, "%s", line);
    if (heard.act != NULL) heard.act();
}

static evb_bus *bus;

static void begin(uint32_t limit)
{
    memset(&heard, 0, sizeof heard);
    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = limit, .name = "the \"bus\""}, &bus));
    evb_set_log(on_log, &heard, EVB_LOG_DEBUG);
}

static void end(void)
{
    evb_bus_destroy(bus);
}

static int32_t ignore(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

static int64_t add(const char *pattern)
{
    return ID(evb_on(bus, pattern, ignore, NULL));
}

/* Both kinds of patterns keep their count in different places. */
static const char *const patterns[] = {"leak.y", "leak.*"};
#define EACH_PATTERN for (const char *const *pattern = patterns; pattern < patterns + 2; pattern++)

TEST(the_listener_that_passes_the_limit_is_reported_and_no_later_one)
{
    EACH_PATTERN
    {
        begin(3);
        for (int i = 0; i < 3; i++)
            (void)add(*pattern);
        EQ(heard.lines, 0);
        (void)add(*pattern);
        EQ(heard.lines, 1);
        for (int i = 0; i < 20; i++)
            (void)add(*pattern);
        EQ(heard.lines, 1);
        end();
    }
}

TEST(the_line_names_bus_pattern_count_and_limit)
{
    begin(2);
    for (int i = 0; i < 3; i++)
        (void)add("leak.y");
    EQ(heard.level, EVB_LOG_WARN);
    EQ_STR(heard.name, "listener_leak_suspected");
    EQ_STR(heard.line, "bus=\"the \\\"bus\\\"\" pattern=\"leak.y\" listeners=3 limit=2");
    for (int i = 0; i < 3; i++)
        (void)add("leak.>");
    EQ_STR(heard.line, "bus=\"the \\\"bus\\\"\" pattern=\"leak.>\" listeners=3 limit=2");
    EQ(heard.lines, 2);
    end();
}

TEST(every_pattern_has_a_line_of_its_own)
{
    begin(1);
    for (int i = 0; i < 2; i++) {
        (void)add("a");
        (void)add("b");
        (void)add("*");
        (void)add(">");
        (void)add("a.*");
    }
    EQ(heard.lines, 5);
    end();
}

TEST(the_default_limit_is_64)
{
    EACH_PATTERN
    {
        begin(0);
        for (int i = 0; i < 64; i++)
            (void)add(*pattern);
        EQ(heard.lines, 0);
        (void)add(*pattern);
        EQ(heard.lines, 1);
        CHECK(strstr(heard.line, " listeners=65 limit=64") != NULL);
        end();
    }
}

TEST(no_limit_means_no_line)
{
    EACH_PATTERN
    {
        begin(UINT32_MAX);
        for (int i = 0; i < 300; i++)
            (void)add(*pattern);
        EQ(heard.lines, 0);
        end();
    }
}

TEST(listeners_that_come_and_go_below_the_limit_are_no_leak)
{
    EACH_PATTERN
    {
        begin(3);
        for (int i = 0; i < 200; i++) {
            int64_t a = add(*pattern), b = add(*pattern), c = add(*pattern);

            OK(evb_off(bus, i % 2 == 0 ? a : c));
            OK(evb_off(bus, b));
            (void)add(*pattern);
            EQ(evb_off_all(bus, *pattern), 2);
        }
        EQ(heard.lines, 0);
        end();
    }
}

/* One that stays keeps the pattern in use, so nothing is forgotten in between. */
TEST(a_busy_pattern_that_never_passes_the_limit_is_no_leak)
{
    EACH_PATTERN
    {
        begin(3);
        (void)add(*pattern);
        for (int i = 0; i < 200; i++) {
            int64_t a = add(*pattern), b = add(*pattern);

            OK(evb_off(bus, a));
            OK(evb_off(bus, b));
        }
        EQ(heard.lines, 0);
        end();
    }
}

TEST(a_pattern_is_reported_once_as_long_as_it_has_listeners)
{
    EACH_PATTERN
    {
        begin(2);
        for (int i = 0; i < 2; i++)
            (void)add(*pattern);
        for (int i = 0; i < 10; i++) {
            int64_t third = add(*pattern);

            EQ(heard.lines, 1);
            OK(evb_off(bus, third));
        }
        end();
    }
}

TEST(a_pattern_that_has_lost_all_its_listeners_is_reported_anew)
{
    EACH_PATTERN
    {
        begin(2);
        for (int round = 1; round <= 3; round++) {
            for (int i = 0; i < 3; i++)
                (void)add(*pattern);
            EQ(heard.lines, round);
            EQ(evb_off_all(bus, *pattern), 3);
        }
        end();
    }
}

TEST(a_pattern_whose_topic_is_kept_open_is_reported_anew_too)
{
    evb_topic *topic;

    begin(2);
    OK(evb_topic_open(bus, "leak.y", &topic));
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 3; i++)
            (void)add("leak.y");
        EQ(heard.lines, round);
        EQ(evb_off_all(bus, "leak.y"), 3);
    }
    evb_topic_close(topic);
    end();
}

TEST(onces_monitors_and_prepended_listeners_count_too)
{
    EACH_PATTERN
    {
        begin(3);
        (void)ID(evb_once(bus, *pattern, ignore, NULL));
        (void)ID(evb_prepend(bus, *pattern, ignore, NULL));
        (void)ID(
            evb_listen(bus, *pattern, &(evb_listen_opts){.flags = EVB_MONITOR, .priority = 5}, ignore, NULL));
        EQ(heard.lines, 0);
        (void)ID(evb_once(bus, *pattern, ignore, NULL));
        EQ(heard.lines, 1);
        end();
    }
}

TEST(onces_that_have_fired_do_not_count)
{
    EACH_PATTERN
    {
        begin(2);
        for (int i = 0; i < 50; i++) {
            (void)ID(evb_once(bus, *pattern, ignore, NULL));
            (void)ID(evb_once(bus, *pattern, ignore, NULL));
            EQ(evb_emit(bus, "leak.y", NULL, 0), 2);
        }
        EQ(heard.lines, 0);
        end();
    }
}

/* ---- the log function is a callback ---- */

static void change_listeners(void)
{
    heard.act = NULL;
    (void)add("from.the.log");
    EQ(evb_emit(bus, "from.the.log", NULL, 0), 1);
    FAILS(evb_off_wait(bus, add("x")), EVB_EDEADLK);
    EQ(evb_off_all(bus, "leak.y"), 3);
}

TEST(the_log_function_may_use_the_bus_but_not_wait)
{
    begin(2);
    heard.act = change_listeners;
    for (int i = 0; i < 3; i++)
        (void)add("leak.y");
    EQ(evb_emit(bus, "leak.y", NULL, 0), 0);
    end();
}

static evb_bus *victim;
static int given_back;

static void give_back(void *user)
{
    (void)user;
    given_back++;
}

static void destroy_victim(void)
{
    heard.act = NULL;
    evb_bus_destroy(victim);
}

TEST(a_bus_destroyed_inside_the_log_function_is_gone_when_the_call_that_logged_returns)
{
    begin(2);
    given_back = 0;
    OK(evb_bus_create(NULL, &victim));
    (void)ID(evb_listen(victim, "a", &(evb_listen_opts){.free_user = give_back}, ignore, NULL));
    for (int i = 0; i < 2; i++)
        (void)add("leak.y");
    heard.act = destroy_victim;
    (void)add("leak.y");
    EQ(given_back, 1);
    end(); /* that the memory is back too is what the runner checks around each test */
}

TEST(its_own_bus_destroyed_inside_the_log_function_is_gone_when_the_registration_returns)
{
    begin(2);
    victim = bus;
    given_back = 0;
    (void)ID(evb_listen(bus, "leak.y", &(evb_listen_opts){.free_user = give_back}, ignore, NULL));
    (void)add("leak.y");
    heard.act = destroy_victim;
    (void)add("leak.y");
    EQ(given_back, 1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_listener_that_passes_the_limit_is_reported_and_no_later_one),
        cmocka_unit_test(the_line_names_bus_pattern_count_and_limit),
        cmocka_unit_test(every_pattern_has_a_line_of_its_own),
        cmocka_unit_test(the_default_limit_is_64),
        cmocka_unit_test(no_limit_means_no_line),
        cmocka_unit_test(listeners_that_come_and_go_below_the_limit_are_no_leak),
        cmocka_unit_test(a_busy_pattern_that_never_passes_the_limit_is_no_leak),
        cmocka_unit_test(a_pattern_is_reported_once_as_long_as_it_has_listeners),
        cmocka_unit_test(a_pattern_that_has_lost_all_its_listeners_is_reported_anew),
        cmocka_unit_test(a_pattern_whose_topic_is_kept_open_is_reported_anew_too),
        cmocka_unit_test(onces_monitors_and_prepended_listeners_count_too),
        cmocka_unit_test(onces_that_have_fired_do_not_count),
        cmocka_unit_test(the_log_function_may_use_the_bus_but_not_wait),
        cmocka_unit_test(a_bus_destroyed_inside_the_log_function_is_gone_when_the_call_that_logged_returns),
        cmocka_unit_test(its_own_bus_destroyed_inside_the_log_function_is_gone_when_the_registration_returns),
    };
    return EVB_TEST_MAIN("leak_guard", tests, argc, argv);
}
