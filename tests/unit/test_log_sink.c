/* SPDX-License-Identifier: MIT */
/* Setting the log sink in the middle of a line, at every point where it could happen: the shipped source,
 * compiled once more with a hook before each of its acquire loads. A thread that sets the sink is too quick
 * for chance to find the middle (a version check that was taken out survived 20 000 lines against two
 * threads).
 */
#include "evb_test.h"

#include "base/atomic.h"

static void before_load(void);

#undef evb__ld_acq
#define evb__ld_acq(p) (before_load(), atomic_load_explicit((p), memory_order_acquire))

#define evb_set_log              evb__hooked_set_log
#define evb__log                 evb__hooked_log
#define evb__log_after_fork      evb__hooked_log_after_fork
#define evb__log_reset_for_tests evb__hooked_log_reset_for_tests

void evb_set_log(evb_log_fn fn, void *user, int32_t min_level);

#include "base/log.c"

static int left_user, right_user;
static uint32_t lines, loads, act_at;

static void left_sink(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)name;
    (void)line;
    EQ_PTR(user, &left_user);
    lines++;
}

static void right_sink(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)name;
    (void)line;
    EQ_PTR(user, &right_user);
    lines++;
}

/* What another thread does just here. */
static void (*act)(void);

static void before_load(void)
{
    if (++loads == act_at) act();
}

static void set_right(void)
{
    evb_set_log(right_sink, &right_user, EVB_LOG_WARN);
}

static void set_right_and_back(void)
{
    evb_set_log(right_sink, &right_user, EVB_LOG_WARN);
    evb_set_log(left_sink, &left_user, EVB_LOG_WARN);
}

/* One line with `act` before its at-th load; false when it has fewer. */
static bool log_with_act_at(uint32_t at)
{
    evb__log_reset_for_tests();
    evb_set_log(left_sink, &left_user, EVB_LOG_WARN);
    loads = lines = 0;
    act_at = at;
    evb__log(EVB_LOG_WARN, "x", "a=1");
    act_at = 0;
    EQ(lines, 1); /* one of the two got it */
    return loads >= at;
}

TEST(a_sink_set_in_the_middle_of_a_line_is_used_whole_or_not_at_all)
{
    uint32_t at;

    act = set_right;
    for (at = 1; log_with_act_at(at); at++) {
    }
    CHECK(at > 3); /* version, function, user: the middle was reached */
    act = set_right_and_back;
    for (at = 1; log_with_act_at(at); at++) {
    }
    CHECK(at > 3);
}

/* What a child of fork finds when the thread that was setting the sink is gone. */
TEST(a_half_set_sink_is_none_after_fork)
{
    evb_set_log(left_sink, &left_user, EVB_LOG_WARN);
    evb__log_after_fork();
    EQ_PTR(log_sink_now().user, &left_user);                            /* set whole: kept */
    evb__st_rlx(&log_sink_version, evb__ld_rlx(&log_sink_version) + 1); /* relaxed, both: one thread */
    evb__st_rlx(&log_sink_fn, right_sink);
    evb__log_after_fork();
    CHECK(log_sink_now().fn == NULL);
    EQ_PTR(log_sink_now().user, NULL);
    evb_set_log(right_sink, &right_user, EVB_LOG_WARN); /* and it can be set again */
    EQ_PTR(log_sink_now().user, &right_user);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sink_set_in_the_middle_of_a_line_is_used_whole_or_not_at_all),
        cmocka_unit_test(a_half_set_sink_is_none_after_fork),
    };

    return EVB_TEST_MAIN("log_sink", tests, argc, argv);
}
