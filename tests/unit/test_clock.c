/* SPDX-License-Identifier: MIT */
/* The clocks and the arithmetic of deadlines. */
#include "evb_test.h"

#include <time.h>
#include "base/clock.h"

static int64_t system_ns(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

TEST(the_monotonic_clock_is_the_systems_and_never_goes_back)
{
    int64_t before = system_ns(CLOCK_MONOTONIC), last = before;

    for (int i = 0; i < 1000; i++) {
        int64_t now = evb__clock_mono();

        CHECK(now >= last);
        last = now;
    }
    CHECK(last <= system_ns(CLOCK_MONOTONIC));
}

TEST(the_wall_clock_is_the_systems)
{
    int64_t before = system_ns(CLOCK_REALTIME), now = evb__clock_wall();

    CHECK(now > INT64_C(1600000000) * 1000000000); /* after 2020: nanoseconds, since 1970 */
    /* An hour of grace: somebody may set the date while this runs. */
    CHECK(now > before - INT64_C(3600) * 1000000000 && now < before + INT64_C(3600) * 1000000000);
}

TEST(the_coarse_wall_clock_is_the_systems_too)
{
    int64_t before = system_ns(CLOCK_REALTIME), now = evb__clock_wall_coarse();

    /* As in the_wall_clock_is_the_systems; a tick is milliseconds. */
    CHECK(now > before - INT64_C(3600) * 1000000000 && now < before + INT64_C(3600) * 1000000000);
}

static int64_t seven(void *arg)
{
    return 7 + *(int64_t *)arg;
}

static int64_t eight(void *arg)
{
    return 8 + *(int64_t *)arg;
}

TEST(a_source_that_is_set_answers_for_both_clocks_until_it_is_taken_out)
{
    int64_t base = 100;
    struct evb__clock_source source = {seven, eight, &base};

    evb__clock_set(&source);
    EQ(evb__clock_mono(), 107);
    EQ(evb__clock_wall(), 108);
    EQ(evb__clock_wall_coarse(), 108);
    base = 200;
    EQ(evb__clock_mono(), 207);
    evb__clock_set(NULL);
    CHECK(evb__clock_mono() > 1000);
}

TEST(a_deadline_is_now_plus_the_timeout)
{
    evb_test_clock_install(1000);
    EQ(evb__deadline(0), 1000);
    EQ(evb__deadline(1), 1001);
    EQ(evb__deadline(INT64_C(3600000000000)), INT64_C(3600000001000));
}

TEST(forever_stays_forever)
{
    evb_test_clock_install(1000);
    EQ(evb__deadline(EVB_FOREVER), EVB_FOREVER);
    EQ(evb__remaining(EVB_FOREVER), EVB_FOREVER);
}

TEST(a_negative_timeout_other_than_forever_is_none_at_all)
{
    evb_test_clock_install(1000);
    EQ(evb__deadline(-2), 1000);
    EQ(evb__deadline(INT64_MIN), 1000);
}

TEST(a_deadline_beyond_the_end_of_time_is_the_end_of_time)
{
    evb_test_clock_install(1000);
    EQ(evb__deadline(INT64_MAX), INT64_MAX);
    EQ(evb__deadline(INT64_MAX - 1000), INT64_MAX);
    EQ(evb__deadline(INT64_MAX - 1001), INT64_MAX - 1);
    EQ(evb__remaining(INT64_MAX), INT64_MAX - 1000);
}

TEST(what_remains_shrinks_to_zero_and_stays_there)
{
    int64_t deadline;

    evb_test_clock_install(1000);
    deadline = evb__deadline(50);
    EQ(evb__remaining(deadline), 50);
    evb_test_clock_advance(49);
    EQ(evb__remaining(deadline), 1);
    evb_test_clock_advance(1);
    EQ(evb__remaining(deadline), 0);
    evb_test_clock_advance(1000);
    EQ(evb__remaining(deadline), 0);
}

TEST(setting_the_date_moves_no_deadline)
{
    int64_t deadline;

    evb_test_clock_install(1000);
    deadline = evb__deadline(50);
    evb_test_clock_step_wall(INT64_C(86400) * 1000000000);
    EQ(evb__remaining(deadline), 50);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_monotonic_clock_is_the_systems_and_never_goes_back),
        cmocka_unit_test(the_wall_clock_is_the_systems),
        cmocka_unit_test(the_coarse_wall_clock_is_the_systems_too),
        cmocka_unit_test(a_source_that_is_set_answers_for_both_clocks_until_it_is_taken_out),
        cmocka_unit_test(a_deadline_is_now_plus_the_timeout),
        cmocka_unit_test(forever_stays_forever),
        cmocka_unit_test(a_negative_timeout_other_than_forever_is_none_at_all),
        cmocka_unit_test(a_deadline_beyond_the_end_of_time_is_the_end_of_time),
        cmocka_unit_test(what_remains_shrinks_to_zero_and_stays_there),
        cmocka_unit_test(setting_the_date_moves_no_deadline),
    };

    return EVB_TEST_MAIN("clock", tests, argc, argv);
}
