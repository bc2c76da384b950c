/* SPDX-License-Identifier: MIT */
/* The runner: every cmocka test wrapped in time limit, leak checks and seed; the exit code that the build
 * relies on. */
#include "evb_test_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "base/atomic.h"
#include "base/hash.h"
#include "base/log.h"

#define LIMIT_SECONDS 60.0

/* One per test: cmocka gets the wrapper's functions, the wrapper knows the test's own. */
struct wrapped {
    const struct CMUnitTest *test;
    void *state; /* what the test's own fixtures see */
};

static struct {
    const char *program;
    pthread_t thread; /* the one that runs the tests */
    double limit;
    uint64_t seed;
    struct evb__rng rng;
    const char *test; /* running now */
    bool ended;       /* the test function came back: it did not fail and was not skipped */
    bool skipped;
    bool torn_down; /* the test's own teardown has been called */
    uint32_t ran, skips;
    EVB__ATOMIC(uint32_t) failed_elsewhere;
} runner;

double evb_test_time_limit(void)
{
    return runner.limit;
}

bool evb_test_in_own_thread(void)
{
    return pthread_equal(pthread_self(), runner.thread) != 0;
}

void evb_test_failed_elsewhere(void)
{
    evb__st_rlx(&runner.failed_elsewhere, 1); /* relaxed: read after the thread was joined, or by chance */
}

uint64_t evb_test_seed(void)
{
    return runner.seed;
}

struct evb__rng *evb_test_rng(void)
{
    return &runner.rng;
}

/* ---- the time limit ---- */

/* In whatever thread the signal met; only calls that may stand in a signal handler. */
static void out_of_time(int signal_number)
{
    static const char head[] = "\nTIME LIMIT exceeded in test ";

    (void)signal_number;
    (void)!write(STDERR_FILENO, head, sizeof head - 1);
    if (runner.test != NULL) (void)!write(STDERR_FILENO, runner.test, strlen(runner.test));
    (void)!write(STDERR_FILENO, "\n", 1);
    (void)signal(SIGABRT, SIG_DFL);
    abort();
}

static void set_alarm(double seconds)
{
    struct itimerval timer = {{0, 0}, {0, 0}};

    timer.it_value.tv_sec = (time_t)seconds;
    timer.it_value.tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6);
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

void evb_test_start_alarm(void)
{
    set_alarm(runner.limit);
}

/* ---- around each test ---- */

static int before_test(void **state)
{
    struct wrapped *w = *state;

    runner.test = w->test->name;
    runner.ended = runner.skipped = runner.torn_down = false;
    runner.ran++;
    evb__st_rlx(&runner.failed_elsewhere, 0); /* relaxed: no other thread of the test exists yet */
    /* The name is mixed in, so that a test draws the same numbers alone and among others. */
    evb__rng_init(&runner.rng, evb__hash(w->test->name, strlen(w->test->name), runner.seed));
    evb_test_leaks_begin();
    evb_test_alloc_begin();
    evb__log_reset_for_tests(); /* lines of the tests before do not count toward the limit per name */
    set_alarm(runner.limit);
    w->state = w->test->initial_state;
    return w->test->setup_func != NULL ? w->test->setup_func(&w->state) : 0;
}

static void put_back(void)
{
    evb_test_alloc_fail_off();
    evb_test_clock_remove();
    evb_set_log(NULL, NULL, EVB_LOG_WARN);
}

static int tear_down(struct wrapped *w)
{
    runner.torn_down = true;
    return w->test->teardown_func != NULL ? w->test->teardown_func(&w->state) : 0;
}

static void wrapped_test(void **state)
{
    struct wrapped *w = *state;
    const char *wrong;

    w->test->test_func(&w->state);
    evb_test_alloc_fail_off(); /* what the fixture frees or asks for is not part of the injection */
    /* The test's own teardown runs here and not in after_test, so that leaks are looked for after it. */
    if (tear_down(w) != 0) fail_msg("%s", "teardown failed");
    put_back();
    if ((wrong = evb_test_leaks_end()) != NULL) fail_msg("%s", wrong);
    if ((wrong = evb_test_alloc_end()) != NULL) fail_msg("%s", wrong);
    if (evb__ld_rlx(&runner.failed_elsewhere) != 0) { /* relaxed: as above */
        fail_msg("%s", "a check failed in another thread, see above");
    }
    runner.ended = true;
}

static int after_test(void **state)
{
    struct wrapped *w = *state;

    if (!runner.torn_down) { /* failed or skipped: leaks are no news any more, but files on disk must go */
        evb_test_alloc_fail_off();
        (void)tear_down(w);
    }
    set_alarm(0);
    put_back();
    if (runner.ended) return 0;
    if (runner.skipped) {
        runner.skips++;
    } else {
        fprintf(stderr, "repeat: EVB_TEST_SEED=0x%" PRIx64 " %s '%s'\n", runner.seed, runner.program,
                w->test->name);
    }
    return 0;
}

void evb_test_skip(const char *reason, const char *file, int line)
{
    if (evb_test_is_child() || !evb_test_in_own_thread()) {
        fprintf(stderr, "%s:%d: SKIP outside the test's own thread\n", file, line);
        abort();
    }
    printf("skip: %s: %s\n", runner.test, reason);
    fflush(stdout);
    runner.skipped = true;
    _skip(file, line);
    abort(); /* not reached: _skip jumps */
}

/* ---- the program ---- */

static void *nothing(void *arg)
{
    return arg;
}

static void read_environment(void)
{
    const char *scale = getenv("EVB_TEST_TIMEOUT_SCALE");
    const char *seed = getenv("EVB_TEST_SEED");

    runner.limit = LIMIT_SECONDS * (scale != NULL ? strtod(scale, NULL) : 1.0);
    runner.seed = seed != NULL ? strtoull(seed, NULL, 0) : evb__rng_seed_random();
}

static void prepare(const char *program)
{
    struct sigaction action;
    pthread_t thread;

    runner.program = program;
    runner.thread = pthread_self();
    read_environment();
    memset(&action, 0, sizeof action);
    action.sa_handler = out_of_time;
    (void)sigaction(SIGALRM, &action, NULL);
    /* ThreadSanitizer starts a thread of its own with the first one of the program: before it could look like
     * a leak. */
    if (pthread_create(&thread, NULL, nothing, NULL) == 0) (void)pthread_join(thread, NULL);
    evb_test_alloc_install();
}

int evb_test_main(const char *name, const struct CMUnitTest *tests, size_t count, int argc, char **argv)
{
    struct wrapped *wrappers = calloc(count + 1, sizeof *wrappers);
    struct CMUnitTest *wrapped_tests = calloc(count + 1, sizeof *wrapped_tests);
    int failed;

    if (wrappers == NULL || wrapped_tests == NULL) abort();
    prepare(argc > 0 ? argv[0] : name);
    for (size_t i = 0; i < count; i++) {
        wrappers[i].test = &tests[i];
        wrapped_tests[i].name = tests[i].name;
        wrapped_tests[i].test_func = wrapped_test;
        wrapped_tests[i].setup_func = before_test;
        wrapped_tests[i].teardown_func = after_test;
        wrapped_tests[i].initial_state = &wrappers[i];
    }
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    failed = _cmocka_run_group_tests(name, wrapped_tests, count, NULL, NULL);
    fflush(NULL);
    free(wrapped_tests);
    free(wrappers);
    if (failed != 0) return 1;
    if (runner.ran == 0) {
        fprintf(stderr, "%s: no test ran%s%s\n", name, argc > 1 ? ": none is named like " : "",
                argc > 1 ? argv[1] : "");
        return 1;
    }
    return runner.skips == runner.ran ? 77 : 0;
}
