/* SPDX-License-Identifier: MIT */
/* What tests are built from: the virtual clock, threads that start together, forked children. */
#include "evb_test_internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include "base/atomic.h"
#include "base/clock.h"

/* ---- the virtual clock ---- */

static EVB__ATOMIC(int64_t) mono_now, wall_now;

/* Relaxed everywhere: like a real clock it orders nothing between threads. */
static int64_t virtual_mono(void *arg)
{
    (void)arg;
    return evb__ld_rlx(&mono_now);
}

static int64_t virtual_wall(void *arg)
{
    (void)arg;
    return evb__ld_rlx(&wall_now);
}

void evb_test_clock_install(int64_t mono_start_ns)
{
    static const struct evb__clock_source source = {virtual_mono, virtual_wall, NULL};

    evb__st_rlx(&mono_now, mono_start_ns);
    evb__st_rlx(&wall_now, EVB_TEST_WALL_START);
    evb__clock_set(&source);
}

void evb_test_clock_advance(int64_t ns)
{
    (void)evb__add_rlx(&mono_now, ns);
    (void)evb__add_rlx(&wall_now, ns);
}

void evb_test_clock_step_wall(int64_t ns)
{
    (void)evb__add_rlx(&wall_now, ns);
}

void evb_test_clock_remove(void)
{
    evb__clock_set(NULL);
}

/* ---- threads ---- */

void evb_test_line_init(struct evb_test_line *line, uint32_t n)
{
    if (pthread_barrier_init(&line->barrier, NULL, n) != 0) abort();
}

void evb_test_line_wait(struct evb_test_line *line)
{
    (void)pthread_barrier_wait(&line->barrier);
}

void evb_test_line_destroy(struct evb_test_line *line)
{
    (void)pthread_barrier_destroy(&line->barrier);
}

struct crew {
    struct evb_test_line line;
    void (*fn)(uint32_t index, void *arg);
    void *arg;
};

struct member {
    struct crew *crew;
    uint32_t index;
    pthread_t thread;
};

static void *member_main(void *arg)
{
    struct member *me = arg;

    evb_test_line_wait(&me->crew->line);
    me->crew->fn(me->index, me->crew->arg);
    return NULL;
}

void evb_test_run_threads(uint32_t n, void (*fn)(uint32_t index, void *arg), void *arg)
{
    struct crew crew = {.fn = fn, .arg = arg};
    struct member *members = calloc(n, sizeof *members);

    if (members == NULL) abort();
    evb_test_line_init(&crew.line, n);
    for (uint32_t i = 0; i < n; i++) {
        members[i].crew = &crew;
        members[i].index = i;
        /* A machine that cannot start a few threads cannot run this test, and those already at the line would
         * wait for ever. */
        if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0) {
            fprintf(stderr, "cannot start thread %u of %u\n", (unsigned)i, (unsigned)n);
            abort();
        }
    }
    for (uint32_t i = 0; i < n; i++)
        (void)pthread_join(members[i].thread, NULL);
    evb_test_line_destroy(&crew.line);
    free(members);
}

static double seconds_now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

bool evb_test_eventually(bool (*condition)(void *arg), void *arg)
{
    const struct timespec pause = {0, 200000};
    double limit = evb_test_time_limit();
    double until = seconds_now() + (limit > 0 ? limit / 2 : 3600);

    while (!condition(arg)) {
        if (seconds_now() > until) return condition(arg);
        (void)nanosleep(&pause, NULL); /* not synchronisation: the condition is asked again until it holds */
    }
    return true;
}

/* ---- processes ---- */

static bool child;

bool evb_test_is_child(void)
{
    return child;
}

/* gcov writes its counts at exit, which a child must not run: what is registered there is the parent's. A
 * coverage build says CPPFLAGS=-DEVB_COVERAGE. */
#ifdef EVB_COVERAGE
extern void __gcov_dump(void);
#define DUMP_COVERAGE() __gcov_dump()
#else
#define DUMP_COVERAGE() ((void)0)
#endif

int evb_test_in_child(int (*fn)(void *arg), void *arg)
{
    int status = 0;
    pid_t pid, got;

    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        evb_test_fail(__FILE__, __LINE__, "fork failed: errno %d", errno);
        return -1;
    }
    if (pid == 0) {
        int rc;

        child = true;
#if defined(__linux__)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a parent that ran out of time takes us with it */
#endif
        evb_test_start_alarm();
        rc = fn(arg);
        fflush(NULL);
        DUMP_COVERAGE();
        _exit(rc);
    }
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
