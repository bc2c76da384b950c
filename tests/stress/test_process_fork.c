/* SPDX-License-Identifier: MIT */
/* fork: in the child every inherited handle answers EVB_EFORKED, void calls on it do nothing, and a bus of
 * its own works, wherever the parent's threads were at that moment. */
#include "evb_test.h"

#include "base/platform.h"

#include <evbus.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"

#define BUSY_FORKS 100

static const char *self_path; /* argv[0] */

static int32_t count_event(const evb_event *ev, void *user)
{
    (void)ev;
    ++*(int *)user;
    return EVB_OK;
}

static int32_t no_pattern(const char *pattern, uint32_t listeners, void *user)
{
    (void)pattern;
    (void)listeners;
    (void)user;
    return 0;
}

/* A whole life of a bus; 0 = all as it should be, else the step that was not. off_wait: what evb_off_wait
 * must answer; inside a listener it may not wait. */
static int life_of_a_bus(int32_t off_wait)
{
    evb_bus *bus;
    evb_topic *topic;
    int events = 0;
    int64_t id;

    if (evb_bus_create(NULL, &bus) < 0) return 1;
    id = evb_on(bus, "own.*", count_event, &events);
    if (id < 0) return 2;
    if (evb_emit(bus, "own.event", NULL, 0) != 1) return 3;
    if (evb_topic_open(bus, "own.event", &topic) < 0) return 4;
    if (evb_topic_emit(topic, NULL, 0) != 1) return 5;
    if (evb_off_wait(bus, id) != off_wait) return 6;
    if (evb_emit(bus, "own.event", NULL, 0) != 0) return 7;
    evb_topic_close(topic);
    evb_bus_destroy(bus);
    return events == 2 ? 0 : 8;
}

static int bus_of_ones_own(void)
{
    return life_of_a_bus(EVB_OK);
}

/* Waits for a child. Answers its exit code, or 128 + the signal that killed it. */
static int result_of(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- what the child may do with what it inherited ---- */

struct inherited {
    evb_bus *bus;
    evb_topic *topic;
    int64_t id;
    int events;
};

static int every_call_says_forked(void *arg)
{
    struct inherited *in = arg;
    evb_topic *topic = NULL;

    FAILS(evb_emit(in->bus, "a.b", NULL, 0), EVB_EFORKED);
    FAILS(evb_topic_emit(in->topic, NULL, 0), EVB_EFORKED);
    FAILS(evb_on(in->bus, "a.b", count_event, &in->events), EVB_EFORKED);
    FAILS(evb_once(in->bus, "a.b", count_event, &in->events), EVB_EFORKED);
    FAILS(evb_prepend(in->bus, "a.b", count_event, &in->events), EVB_EFORKED);
    FAILS(evb_listen(in->bus, "a.b", NULL, count_event, &in->events), EVB_EFORKED);
    FAILS(evb_off(in->bus, in->id), EVB_EFORKED);
    FAILS(evb_off_wait(in->bus, in->id), EVB_EFORKED);
    FAILS(evb_off_all(in->bus, NULL), EVB_EFORKED);
    FAILS(evb_off_owner(in->bus, in), EVB_EFORKED);
    FAILS(evb_listener_count(in->bus, "a.b"), EVB_EFORKED);
    FAILS(evb_patterns(in->bus, no_pattern, NULL), EVB_EFORKED);
    FAILS(evb_topic_open(in->bus, "a.b", &topic), EVB_EFORKED);
    EQ(in->events, 1); /* none of them called the listener; the 1 is the parent's */
    evb_topic_close(in->topic);
    evb_bus_destroy(in->bus);
    return 0;
}

static int own_bus_beside_the_inherited(void *arg)
{
    (void)arg;
    return bus_of_ones_own();
}

/* A grandchild is a child: its generation is yet another one. */
static int fork_again(void *arg)
{
    struct inherited *in = arg;
    evb_bus *bus;
    pid_t child;

    OK(evb_bus_create(NULL, &bus));
    child = fork();
    if (child == 0) {
        if (evb_emit(bus, "a.b", NULL, 0) != EVB_EFORKED) _exit(1);
        if (evb_emit(in->bus, "a.b", NULL, 0) != EVB_EFORKED) _exit(2);
        _exit(10 + bus_of_ones_own());
    }
    EQ(result_of(child), 10);
    EQ(evb_emit(bus, "a.b", NULL, 0), 0);
    evb_bus_destroy(bus);
    return 0;
}

static void with_a_bus(int (*in_child)(void *))
{
    struct inherited in = {0};

    OK(evb_bus_create(NULL, &in.bus));
    in.id = ID(evb_on(in.bus, "a.*", count_event, &in.events));
    OK(evb_topic_open(in.bus, "a.b", &in.topic));
    EQ(evb_topic_emit(in.topic, NULL, 0), 1);
    EQ(evb_test_in_child(in_child, &in), 0);
    /* The parent notices nothing. */
    EQ(evb_topic_emit(in.topic, NULL, 0), 1);
    EQ(evb_emit(in.bus, "a.b", NULL, 0), 1);
    OK(evb_off_wait(in.bus, in.id));
    EQ(in.events, 3);
    evb_topic_close(in.topic);
    evb_bus_destroy(in.bus);
}

TEST(every_call_on_an_inherited_handle_answers_eforked)
{
    with_a_bus(every_call_says_forked);
}

TEST(the_child_makes_a_bus_of_its_own)
{
    with_a_bus(own_bus_beside_the_inherited);
}

TEST(a_grandchild_is_told_from_its_parent_too)
{
    with_a_bus(fork_again);
}

/* The first bus of all may be made in the child, too. */
static int first_bus_in_child(void *arg)
{
    (void)arg;
    return bus_of_ones_own();
}

TEST(the_first_bus_of_the_program_may_be_made_in_a_child)
{
    EQ(evb_test_in_child(first_bus_in_child, NULL), 0);
    EQ(bus_of_ones_own(), 0);
}

/* ---- fork inside a callback: the child returns through the frames of an emit that belongs to its parent
 * ---- */

struct forking {
    evb_bus *bus;
    pid_t child;
    int in_child; /* result inside the listener */
};

static int32_t fork_here(const evb_event *ev, void *user)
{
    struct forking *f = user;

    (void)ev;
    f->child = fork();
    if (f->child == 0) {
        f->in_child = evb_emit(f->bus, "other", NULL, 0) == EVB_EFORKED ? life_of_a_bus(EVB_EDEADLK) : 20;
    }
    return EVB_OK;
}

TEST(a_child_forked_inside_a_listener_returns_from_the_emit_and_goes_on)
{
    struct forking f = {.child = -1};
    int events = 0;

    OK(evb_bus_create(NULL, &f.bus));
    (void)ID(evb_on(f.bus, "fork", fork_here, &f));
    (void)ID(evb_on(f.bus, "fork", count_event, &events));
    (void)evb_emit(f.bus, "fork", NULL, 0);
    if (f.child == 0) {
        int code = f.in_child != 0 ? f.in_child : bus_of_ones_own();

        if (code == 0 && evb_emit(f.bus, "fork", NULL, 0) != EVB_EFORKED) code = 30;
        _exit(code);
    }
    CHECK(f.child > 0);
    EQ(result_of(f.child), 0);
    EQ(events, 1);
    evb_bus_destroy(f.bus);
}

/* ---- fork while other threads are anywhere in the library: no lock may be left locked in the child ---- */

static evb_bus *busy_bus;
static EVB__ATOMIC(uint32_t) stop, running;

static void *busy_emit(void *arg)
{
    (void)arg;
    evb__add_rel(&running, 1);        /* pairs with the acquire in busy_scenario */
    while (evb__ld_acq(&stop) == 0) { /* pairs with the release in busy_scenario */
        if (evb_emit(busy_bus, "own.event", NULL, 0) < 0) abort();
    }
    return NULL;
}

static void *busy_listeners(void *arg)
{
    int events = 0;

    (void)arg;
    evb__add_rel(&running, 1); /* as in busy_emit */
    while (evb__ld_acq(&stop) == 0) {
        int64_t id = evb_on(busy_bus, "other.*", count_event, &events);

        if (id < 0 || evb_off_wait(busy_bus, id) < 0) abort();
    }
    return NULL;
}

static void *busy_buses(void *arg)
{
    (void)arg;
    evb__add_rel(&running, 1); /* as in busy_emit */
    while (evb__ld_acq(&stop) == 0) {
        if (bus_of_ones_own() != 0) abort();
    }
    return NULL;
}

/* In a process of its own: the test allocator has a lock that knows nothing of fork. */
static int busy_scenario(void)
{
    void *(*const mains[])(void *) = {busy_emit, busy_listeners, busy_buses};
    pthread_t threads[3];
    int code = 0;

    if (evb_bus_create(NULL, &busy_bus) < 0) return 40;
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&threads[i], NULL, mains[i], NULL) != 0) return 41;
    }
    while (evb__ld_acq(&running) < 3) /* pairs with the adds */
        (void)sched_yield();
    for (int i = 0; i < BUSY_FORKS && code == 0; i++) {
        pid_t child = fork();

        if (child == 0) {
            alarm(30); /* a child that hangs is killed: 128 + SIGALRM */
            _exit(evb_emit(busy_bus, "own.event", NULL, 0) == EVB_EFORKED ? bus_of_ones_own() : 42);
        }
        code = child > 0 ? result_of(child) : 43;
    }
    evb__st_rel(&stop, 1); /* pairs with the loops' acquire */
    for (int i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    evb_bus_destroy(busy_bus);
    return code;
}

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifndef ASAN
#define ASAN 0
#endif

TEST(a_fork_while_other_threads_emit_and_register_leaves_nothing_locked)
{
    pid_t child;

    /* Seen in a debugger: the child waits in posix_memalign for a lock of the sanitizer that another thread
     * held at the fork. */
    if (EVB__TSAN) SKIP("ThreadSanitizer's own locks may be held in a child of many threads");
    if (ASAN) SKIP("AddressSanitizer's allocator may be locked in a child of many threads");
    child = fork();
    if (child == 0) {
        (void)execl(self_path, self_path, "--busy", (char *)NULL);
        _exit(127);
    }
    CHECK(child > 0);
    EQ(result_of(child), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_bus_of_the_program_may_be_made_in_a_child),
        cmocka_unit_test(every_call_on_an_inherited_handle_answers_eforked),
        cmocka_unit_test(the_child_makes_a_bus_of_its_own),
        cmocka_unit_test(a_grandchild_is_told_from_its_parent_too),
        cmocka_unit_test(a_child_forked_inside_a_listener_returns_from_the_emit_and_goes_on),
        cmocka_unit_test(a_fork_while_other_threads_emit_and_register_leaves_nothing_locked),
    };

    self_path = argv[0];
    if (argc > 1 && strcmp(argv[1], "--busy") == 0) return busy_scenario();
    return EVB_TEST_MAIN("process_fork", tests, argc, argv);
}
