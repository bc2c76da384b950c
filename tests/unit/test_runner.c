/* SPDX-License-Identifier: MIT */
/* The test layer itself: what it must call a failure is given to it, in a process of its own, and its verdict
 * is read.
 *
 * The program calls itself with EVB_RUNNER_CASES=1: then it holds the cases below, most of which are wrong on
 * purpose.
 */
#include "evb_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/platform.h"

/* ---- the cases ---- */

TEST(case_good)
{
    void *p = evb__alloc(100, 64);

    CHECK(p != NULL);
    EQ((uintptr_t)p % 64, 0);
    evb__free(p, 100);
}

TEST(case_status)
{
    OK(EVB_EFULL);
}

TEST(case_other_status)
{
    FAILS(EVB_EFULL, EVB_EEMPTY);
}

TEST(case_success_where_failure_was_expected)
{
    FAILS(EVB_OK, EVB_EFULL);
}

TEST(case_no_id)
{
    (void)ID((int64_t)EVB_EINVAL);
}

TEST(case_eq)
{
    EQ(UINT64_MAX, 7);
}

TEST(case_ne)
{
    NE(7u, (int8_t)7);
}

TEST(case_eq_ptr)
{
    EQ_PTR(state, NULL);
}

TEST(case_eq_str)
{
    EQ_STR("one", "two");
}

TEST(case_eq_str_null)
{
    EQ_STR("one", NULL);
}

TEST(case_eq_mem)
{
    EQ_MEM("abc", "abd", 3);
}

TEST(case_check)
{
    CHECK(1 > 2);
}

TEST(case_hang)
{
    for (;;)
        (void)pause();
}

TEST(case_fd_leak)
{
    CHECK(open("/dev/null", O_RDONLY) >= 0);
}

TEST(case_fd_closed)
{
    CHECK(close(0) == 0);
}

static void *sleep_for_ever(void *arg)
{
    for (;;)
        (void)pause();
    return arg;
}

TEST(case_thread_leak)
{
    pthread_t thread;

    EQ(pthread_create(&thread, NULL, sleep_for_ever, NULL), 0);
}

/* Atomic only so that the compiler keeps the store: LeakSanitizer finds the block through it. */
static EVB__ATOMIC(void *) kept;

TEST(case_memory_leak)
{
    evb__st_rlx(&kept, evb__alloc(100, 16)); /* relaxed: one thread */
}

TEST(case_excused_memory)
{
    evb__st_rlx(&kept, evb__alloc(100, 16)); /* relaxed: one thread */
    evb_test_alloc_expect_kept(1);
}

TEST(case_excused_for_nothing)
{
    evb_test_alloc_expect_kept(1);
}

TEST(case_wrong_size)
{
    evb__free(evb__alloc(100, 16), 101);
}

TEST(case_freed_twice)
{
    void *p = evb__alloc(100, 16);

    evb__free(p, 100);
    evb__free(p, 100);
}

TEST(case_written_behind)
{
    char *p = evb__alloc(100, 16);

    p[100] = 0;
    evb__free(p, 100);
}

TEST(case_written_after_free)
{
    char *p = evb__alloc(100, 16);

    evb__free(p, 100);
    p[50] = 0;
}

TEST(case_foreign_pointer)
{
    static char block[256];

    evb__free(block + 128, 100);
}

static void fail_a_check(uint32_t index, void *arg)
{
    (void)arg;
    EQ(index, 0);
}

TEST(case_check_in_thread)
{
    evb_test_run_threads(2, fail_a_check, NULL);
}

static int fail_in_child(void *arg)
{
    (void)arg;
    OK(EVB_EIO);
    return 0;
}

TEST(case_child)
{
    EQ(evb_test_in_child(fail_in_child, NULL), 0);
}

TEST(case_skip)
{
    SKIP("no wind today");
}

TEST(case_crash)
{
    abort();
}

TEST(case_nothing)
{
    CHECK(true);
}

static int setup_fails(void **state)
{
    (void)state;
    return -1;
}

static int teardown_leaks(void **state)
{
    *state = NULL;
    return open("/dev/null", O_RDONLY) >= 0 ? 0 : -1;
}

static int teardown_fails(void **state)
{
    (void)state;
    return -1;
}

static int teardown_speaks(void **state)
{
    (void)state;
    printf("torn down\n");
    return 0;
}

static bool keep_second;

/* Forgets to free the first block when the second cannot be had. */
static void leaky_scenario(void *arg)
{
    void *first = evb__alloc(10, 16), *second = evb__alloc(10, 16);

    (void)arg;
    evb__free(second, 10);
    if (second != NULL || !keep_second) evb__free(first, 10);
}

TEST(case_sweep_leak)
{
    keep_second = true;
    (void)evb_test_alloc_sweep(leaky_scenario, NULL);
}

static void nomem_for_nothing(void *arg)
{
    (void)arg;
    (void)OK_OR_NOMEM(EVB_ENOMEM);
}

TEST(case_nomem_without_fault)
{
    evb_test_alloc_fail_off();
    nomem_for_nothing(NULL);
}

TEST(case_other_error_in_sweep)
{
    (void)OK_OR_NOMEM(EVB_EIO);
}

TEST(case_seed)
{
    printf("drew %llu\n", (unsigned long long)evb__rng_next(evb_test_rng()));
    CHECK(false);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(case_good),
    cmocka_unit_test(case_status),
    cmocka_unit_test(case_other_status),
    cmocka_unit_test(case_success_where_failure_was_expected),
    cmocka_unit_test(case_no_id),
    cmocka_unit_test(case_eq),
    cmocka_unit_test(case_ne),
    cmocka_unit_test(case_eq_ptr),
    cmocka_unit_test(case_eq_str),
    cmocka_unit_test(case_eq_str_null),
    cmocka_unit_test(case_eq_mem),
    cmocka_unit_test(case_check),
    cmocka_unit_test(case_hang),
    cmocka_unit_test(case_fd_leak),
    cmocka_unit_test(case_fd_closed),
    cmocka_unit_test(case_thread_leak),
    cmocka_unit_test(case_memory_leak),
    cmocka_unit_test(case_excused_memory),
    cmocka_unit_test(case_excused_for_nothing),
    cmocka_unit_test(case_wrong_size),
    cmocka_unit_test(case_freed_twice),
    cmocka_unit_test(case_written_behind),
    cmocka_unit_test(case_written_after_free),
    cmocka_unit_test(case_foreign_pointer),
    cmocka_unit_test(case_check_in_thread),
    cmocka_unit_test(case_child),
    cmocka_unit_test(case_skip),
    cmocka_unit_test(case_crash),
    {"case_setup_fails", case_nothing, setup_fails, NULL, NULL},
    {"case_teardown_leaks", case_nothing, NULL, teardown_leaks, NULL},
    {"case_teardown_fails", case_nothing, NULL, teardown_fails, NULL},
    {"case_teardown_after_success", case_nothing, NULL, teardown_speaks, NULL},
    {"case_teardown_after_failure", case_check, NULL, teardown_speaks, NULL},
    {"case_teardown_after_skip", case_skip, NULL, teardown_speaks, NULL},
    cmocka_unit_test(case_sweep_leak),
    cmocka_unit_test(case_nomem_without_fault),
    cmocka_unit_test(case_other_error_in_sweep),
    cmocka_unit_test(case_seed),
};

/* ---- running a case ---- */

static char output[16384];

/* Runs this program with one case, or "*"; its exit code (128 + signal), its output in `output`. */
static int run_case(const char *filter, const char *scale, const char *seed)
{
    char script[512];
    FILE *from;
    size_t size;
    int status;

    /* A shell, because popen closes what it opened and waits by itself. The environment of the outer run
     * stays out of it. */
    (void)snprintf(
        script, sizeof script,
        "EVB_RUNNER_CASES=1 EVB_TEST_TIMEOUT_SCALE=%s EVB_TEST_SEED=%s exec /proc/%ld/exe '%s' 2>&1", scale,
        seed, (long)getpid(), filter);
    from = popen(script, "r");
    CHECK(from != NULL);
    size = fread(output, 1, sizeof output - 1, from);
    output[size] = '\0';
    status = pclose(from);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The case is called failed, and the output says why. */
static void must_fail(const char *filter, const char *says)
{
    int rc = run_case(filter, "10", "1");

    if (rc == 0 || strstr(output, says) == NULL || strstr(output, "[  PASSED  ] 0 test(s)") == NULL) {
        evb_test_fail(__FILE__, __LINE__, "%s: exit %d, wanted a failure that says \"%s\"; its output:\n%s",
                      filter, rc, says, output);
    }
}

/* ---- the tests ---- */

TEST(a_good_test_passes)
{
    EQ(run_case("case_good", "1", "1"), 0);
    CHECK(strstr(output, "[  PASSED  ] 1 test(s)") != NULL);
}

TEST(every_failed_check_fails_the_test_and_prints_both_sides)
{
    must_fail("case_status", "EVB_EFULL answered EVB_EFULL (-3), expected EVB_OK (0)");
    must_fail("case_other_status", "EVB_EFULL answered EVB_EFULL (-3), expected EVB_EEMPTY (-4)");
    must_fail("case_success_where*", "EVB_OK answered EVB_OK (0), expected EVB_EFULL (-3)");
    must_fail("case_no_id", "answered EVB_EINVAL (-1), expected an id");
    must_fail("case_eq", "left -1 (0xffffffffffffffff), right 7 (0x7)");
    must_fail("case_ne", "7u != (int8_t)7");
    must_fail("case_eq_ptr", "state == NULL");
    must_fail("case_eq_str", "right \"two\"");
    must_fail("case_eq_str_null", "right \"(NULL)\"");
    must_fail("case_eq_mem", "byte 2 of 3");
    must_fail("case_check", "not true: 1 > 2");
}

TEST(a_test_that_hangs_is_named_and_killed)
{
    int rc = run_case("case_hang", "0.005", "1");

    EQ(rc, 128 + SIGABRT);
    CHECK(strstr(output, "TIME LIMIT exceeded in test case_hang") != NULL);
}

TEST(a_descriptor_left_open_fails_the_test)
{
    must_fail("case_fd_leak", "is open that was not before the test (/dev/null)");
}

TEST(a_descriptor_of_others_closed_fails_the_test)
{
    must_fail("case_fd_closed", "descriptor 0 was closed by the test");
}

TEST(a_thread_left_running_fails_the_test)
{
    int rc = run_case("case_thread_leak", "0.02", "1");

    EQ(rc, 1);
    CHECK(strstr(output, "threads are running") != NULL);
}

TEST(memory_left_over_fails_the_test)
{
    must_fail("case_memory_leak",
              "1 blocks of the library are alive that were not before the test, expected 0");
}

TEST(memory_that_is_kept_on_purpose_is_excused_exactly)
{
    int rc = run_case("case_excused_memory", "1", "1");

    EQ(rc, 0);
    must_fail("case_excused_for_nothing", "0 blocks of the library are alive");
}

TEST(misuse_of_memory_fails_the_test)
{
    must_fail("case_wrong_size", "another size");
    must_fail("case_foreign_pointer", "was not allocated here");
}

/* With AddressSanitizer the process ends at the spot, with a better report than ours. */
TEST(memory_errors_fail_the_test)
{
    const char *behind = EVB_TEST_ASAN ? "heap-buffer-overflow" : "behind a block overwritten";
    const char *twice = EVB_TEST_ASAN ? "heap-use-after-free" : "freed twice";
    const char *after = EVB_TEST_ASAN ? "heap-use-after-free" : "written after it was freed";

    NE(run_case("case_written_behind", "1", "1"), 0);
    CHECK(strstr(output, behind) != NULL);
    if (EVB__TSAN) return; /* frees at once and looks for races, not for lifetimes */
    NE(run_case("case_freed_twice", "1", "1"), 0);
    CHECK(strstr(output, twice) != NULL);
    NE(run_case("case_written_after_free", "1", "1"), 0);
    CHECK(strstr(output, after) != NULL);
}

TEST(a_check_that_fails_in_another_thread_fails_the_test)
{
    must_fail("case_check_in_thread", "failed in another thread");
}

TEST(a_check_that_fails_in_a_child_fails_the_child_only)
{
    must_fail("case_child", "failed in a forked child");
    CHECK(strstr(output, "left 99") != NULL);
}

TEST(a_program_that_ran_nothing_has_failed)
{
    EQ(run_case("no_such_case", "1", "1"), 1);
    CHECK(strstr(output, "no test ran") != NULL);
}

TEST(a_skipped_test_says_why_and_is_no_success)
{
    EQ(run_case("case_skip", "1", "1"), 77);
    CHECK(strstr(output, "skip: case_skip: no wind today\n") != NULL);
}

TEST(a_crash_is_no_success)
{
    EQ(run_case("case_crash", "1", "1"), 128 + SIGABRT);
}

TEST(fixtures_that_fail_or_leak_fail_the_test)
{
    must_fail("case_setup_fails", "setup failed");
    must_fail("case_teardown_leaks", "is open that was not before the test");
    must_fail("case_teardown_fails", "teardown failed");
}

static uint32_t times(const char *word)
{
    uint32_t n = 0;

    for (const char *p = output; (p = strstr(p, word)) != NULL; p++)
        n++;
    return n;
}

TEST(a_teardown_runs_once_whatever_became_of_the_test)
{
    EQ(run_case("case_teardown_after_success", "1", "1"), 0);
    EQ(times("torn down"), 1);
    EQ(run_case("case_teardown_after_failure", "1", "1"), 1);
    EQ(times("torn down"), 1);
    EQ(run_case("case_teardown_after_skip", "1", "1"), 77);
    EQ(times("torn down"), 1);
    EQ(run_case("case_teardown_fails", "1", "1"), 1);
    EQ(times("teardown failed"), 1);
}

TEST(a_failure_prints_the_seed_and_the_seed_repeats_the_numbers)
{
    char first[64] = "", *line;

    must_fail("case_seed", "repeat: EVB_TEST_SEED=0x1 ");
    line = strstr(output, "drew ");
    CHECK(line != NULL);
    (void)sscanf(line, "drew %63s", first);
    must_fail("case_seed", first);
    EQ(run_case("case_seed", "1", "2"), 1);
    CHECK(strstr(output, first) == NULL); /* another seed, other numbers */
}

static uint32_t scenario_calls;

static void three_allocations(void *arg)
{
    void *p[3];

    (void)arg;
    scenario_calls++;
    for (int i = 0; i < 3; i++) {
        p[i] = evb__alloc(8, 8);
        (void)OK_OR_NOMEM(p[i] != NULL ? EVB_OK : EVB_ENOMEM);
    }
    for (int i = 0; i < 3; i++)
        evb__free(p[i], 8);
}

TEST(a_sweep_fails_every_allocation_once_and_from_there_on)
{
    /* 3 alone, 3 from there on, and one run of each kind that hits nothing and ends it */
    EQ(evb_test_alloc_sweep(three_allocations, NULL), 6);
    EQ(scenario_calls, 8);
    EQ(evb_test_alloc_live(), 0);
}

TEST(a_sweep_finds_what_is_left_over_after_a_failure)
{
    must_fail("case_sweep_leak", "allocation only 2 failed: 1 blocks left over");
    must_fail("case_nomem_without_fault", "no allocation has failed");
    must_fail("case_other_error_in_sweep", "expected success or EVB_ENOMEM");
}

TEST(the_failing_allocator_counts_from_the_call)
{
    uint64_t calls = evb_test_alloc_calls();
    void *p, *q;

    evb_test_alloc_fail_once_at(2);
    p = evb__alloc(8, 8);
    EQ_PTR(evb__alloc(8, 8), NULL);
    q = evb__alloc(8, 8);
    CHECK(p != NULL && q != NULL);
    EQ(evb_test_alloc_faults(), 1);
    EQ(evb_test_alloc_live(), 2);
    EQ(evb_test_alloc_live_bytes(), 16);
    evb__free(p, 8);
    evb__free(q, 8);
    evb_test_alloc_fail_from(1);
    EQ_PTR(evb__alloc(8, 8), NULL);
    EQ_PTR(evb__alloc(8, 8), NULL);
    EQ(evb_test_alloc_faults(), 2);
    evb_test_alloc_fail_off();
    p = evb__alloc(8, 8);
    CHECK(p != NULL);
    EQ(evb_test_alloc_calls() - calls, 6);
    evb__free(p, 8);
}

TEST(freed_memory_is_poisoned_and_fresh_memory_is_not_zero)
{
    unsigned char *p = evb__alloc(64, 16);

    EQ(p[0], 0xA5);
    EQ(p[63], 0xA5);
    evb__free(p, 64);
    if (EVB_TEST_ASAN || EVB__TSAN) return; /* gone at once: the sanitizer has its own quarantine */
    EQ(p[0], 0xDD);                         /* in quarantine: still ours to look at */
    EQ(p[63], 0xDD);
}

TEST(the_virtual_clock_moves_only_when_told)
{
    int64_t mono;

    evb_test_clock_install(1000);
    EQ(evb__clock_mono(), 1000);
    EQ(evb__clock_wall(), EVB_TEST_WALL_START);
    evb_test_clock_advance(5);
    EQ(evb__clock_mono(), 1005);
    EQ(evb__clock_wall(), EVB_TEST_WALL_START + 5);
    evb_test_clock_step_wall(-7);
    EQ(evb__clock_mono(), 1005);
    EQ(evb__clock_wall(), EVB_TEST_WALL_START - 2);
    evb_test_clock_remove();
    mono = evb__clock_mono();
    CHECK(mono > 1005);
    evb_test_clock_install(1); /* and the runner takes it out */
}

TEST(the_clock_is_the_real_one_again_in_the_next_test)
{
    CHECK(evb__clock_mono() > 1000000);
}

static EVB__ATOMIC(uint32_t) present[8];
static EVB__ATOMIC(uint32_t) begun;

static void mark_present(uint32_t index, void *arg)
{
    EQ_PTR(arg, present);
    (void)evb__add_rlx(&present[index], 1); /* relaxed: read after the joins */
    (void)evb__add_rlx(&begun, 1);          /* relaxed: as above */
}

TEST(threads_get_each_index_once)
{
    evb_test_run_threads(8, mark_present, present);
    EQ(evb__ld_rlx(&begun), 8); /* relaxed: joined */
    for (int i = 0; i < 8; i++)
        EQ(evb__ld_rlx(&present[i]), 1);
}

static int child_answers(void *arg)
{
    return *(int *)arg;
}

static int child_dies(void *arg)
{
    (void)arg;
    return raise(SIGKILL);
}

TEST(a_child_answers_with_its_exit_code_or_signal)
{
    int seven = 7;

    EQ(evb_test_in_child(child_answers, &seven), 7);
    EQ(evb_test_in_child(child_dies, NULL), 128 + SIGKILL);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_test_passes),
        cmocka_unit_test(every_failed_check_fails_the_test_and_prints_both_sides),
        cmocka_unit_test(a_test_that_hangs_is_named_and_killed),
        cmocka_unit_test(a_descriptor_left_open_fails_the_test),
        cmocka_unit_test(a_descriptor_of_others_closed_fails_the_test),
        cmocka_unit_test(a_thread_left_running_fails_the_test),
        cmocka_unit_test(memory_left_over_fails_the_test),
        cmocka_unit_test(memory_that_is_kept_on_purpose_is_excused_exactly),
        cmocka_unit_test(misuse_of_memory_fails_the_test),
        cmocka_unit_test(memory_errors_fail_the_test),
        cmocka_unit_test(a_check_that_fails_in_another_thread_fails_the_test),
        cmocka_unit_test(a_check_that_fails_in_a_child_fails_the_child_only),
        cmocka_unit_test(a_program_that_ran_nothing_has_failed),
        cmocka_unit_test(a_skipped_test_says_why_and_is_no_success),
        cmocka_unit_test(a_crash_is_no_success),
        cmocka_unit_test(fixtures_that_fail_or_leak_fail_the_test),
        cmocka_unit_test(a_teardown_runs_once_whatever_became_of_the_test),
        cmocka_unit_test(a_failure_prints_the_seed_and_the_seed_repeats_the_numbers),
        cmocka_unit_test(a_sweep_fails_every_allocation_once_and_from_there_on),
        cmocka_unit_test(a_sweep_finds_what_is_left_over_after_a_failure),
        cmocka_unit_test(the_failing_allocator_counts_from_the_call),
        cmocka_unit_test(freed_memory_is_poisoned_and_fresh_memory_is_not_zero),
        cmocka_unit_test(the_virtual_clock_moves_only_when_told),
        cmocka_unit_test(the_clock_is_the_real_one_again_in_the_next_test),
        cmocka_unit_test(threads_get_each_index_once),
        cmocka_unit_test(a_child_answers_with_its_exit_code_or_signal),
    };

    if (getenv("EVB_RUNNER_CASES") != NULL) return EVB_TEST_MAIN("cases", cases, argc, argv);
    return EVB_TEST_MAIN("runner", tests, argc, argv);
}
