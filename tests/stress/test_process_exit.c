/* SPDX-License-Identifier: MIT */
/* A process that ends while its threads are inside the library: the library registers nothing that runs at
 * exit and frees nothing behind their backs, so the exit code is the program's own. Each scenario is this
 * binary again, started anew, because what is tested is the whole life of a process. */
#include "evb_test.h"

#include <evbus.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"

#define RUNS     50
#define EMITTERS 3
#define WARM_UP  200 /* turns that every thread has made before the process ends */
#define EXIT_OK  23  /* not 0: a child that never got so far cannot look like a good one */

static const char *self_path; /* argv[0] */

/* ---- the scenario: runs in the new process ---- */

static evb_bus *bus; /* never destroyed: it is alive when the process ends */
static EVB__ATOMIC(uint32_t) turns[EMITTERS + 2], inside;

static int32_t take(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

/* Stays inside the listener for good. */
static int32_t stay(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    evb__st_rel(&inside, 1); /* pairs with the acquire in wait_until_all_work */
    for (;;)
        pause();
    return EVB_OK;
}

static int32_t leave_process(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    exit(EXIT_OK);
}

static void turn(uint32_t index)
{
    evb__add_rlx(&turns[index], 1); /* a counter that only the main thread reads, as a hint of progress */
}

static void *emit_by_name(void *arg)
{
    uint32_t index = *(uint32_t *)arg;

    while (evb_emit(bus, "work.done", "x", 1) >= 0)
        turn(index);
    return NULL;
}

static void *emit_by_handle(void *arg)
{
    evb_topic *topic;

    (void)arg;
    if (evb_topic_open(bus, "work.done", &topic) < 0) abort();
    while (evb_topic_emit(topic, "x", 1) >= 0)
        turn(EMITTERS);
    return NULL;
}

static void *come_and_go(void *arg)
{
    (void)arg;
    for (;;) {
        int64_t id = evb_on(bus, "work.*", take, NULL);

        if (id < 0 || evb_off(bus, id) < 0) abort();
        turn(EMITTERS + 1);
    }
    return NULL;
}

static void *emit_and_stay(void *arg)
{
    (void)arg;
    (void)evb_emit(bus, "stay", NULL, 0);
    return NULL;
}

static void *emit_exit(void *arg)
{
    (void)arg;
    (void)evb_emit(bus, "leave", NULL, 0);
    return NULL;
}

static void spawn(void *(*main)(void *), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, main, arg) != 0) abort();
    (void)pthread_detach(thread);
}

static void wait_until_all_work(void)
{
    for (uint32_t i = 0; i < EMITTERS + 2; i++) {
        while (evb__ld_rlx(&turns[i]) < WARM_UP) /* see turn */
            (void)sched_yield();
    }
    while (evb__ld_acq(&inside) == 0) /* pairs with stay */
        (void)sched_yield();
}

static int scenario(const char *how)
{
    static uint32_t index[EMITTERS];

    if (evb_bus_create(NULL, &bus) < 0) return 1;
    if (evb_on(bus, "work.done", take, NULL) < 0 || evb_on(bus, ">", take, NULL) < 0) return 1;
    if (evb_on(bus, "stay", stay, NULL) < 0 || evb_on(bus, "leave", leave_process, NULL) < 0) return 1;
    for (uint32_t i = 0; i < EMITTERS; i++) {
        index[i] = i;
        spawn(emit_by_name, &index[i]);
    }
    spawn(emit_by_handle, NULL);
    spawn(come_and_go, NULL);
    spawn(emit_and_stay, NULL);
    wait_until_all_work();
    if (strcmp(how, "--listener-exits") == 0) {
        spawn(emit_exit, NULL);
        for (;;)
            pause();
    }
    if (strcmp(how, "--crash") == 0) abort();
    return EXIT_OK; /* main returns; seven threads are in the library */
}

/* ---- the tests ---- */

/* Starts this binary with one argument. Answers its exit code, or 128 + the signal that killed it. */
static int run_scenario(const char *how)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        (void)execl(self_path, self_path, how, (char *)NULL);
        _exit(127);
    }
    CHECK(child > 0);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(main_returns_while_other_threads_are_inside_emits)
{
    for (int i = 0; i < RUNS; i++)
        EQ(run_scenario("--main-returns"), EXIT_OK);
}

TEST(a_listener_calls_exit_while_other_threads_are_inside_emits)
{
    for (int i = 0; i < RUNS; i++)
        EQ(run_scenario("--listener-exits"), EXIT_OK);
}

/* The negative control: what a crash at exit looks like to the two tests above. */
TEST(a_process_that_crashes_is_told_from_one_that_exits)
{
    EQ(run_scenario("--crash"), 128 + SIGABRT);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(main_returns_while_other_threads_are_inside_emits),
        cmocka_unit_test(a_listener_calls_exit_while_other_threads_are_inside_emits),
        cmocka_unit_test(a_process_that_crashes_is_told_from_one_that_exits),
    };

    self_path = argv[0];
    if (argc > 1 && strncmp(argv[1], "--", 2) == 0) return scenario(argv[1]);
    return EVB_TEST_MAIN("process_exit", tests, argc, argv);
}
