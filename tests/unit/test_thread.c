/* SPDX-License-Identifier: MIT */
/* Threads and mutexes of the seam: names, stacks, signals, exclusion. */
#include "evb_test.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/atomic.h"
#include "base/platform.h"
#include "base/thread.h"

static void set_flag(void *arg)
{
    *(int *)arg = 7;
}

TEST(join_waits_for_the_end_and_shows_what_the_thread_did)
{
    struct evb__thread thread;
    int flag = 0;

    OK(evb__thread_create(&thread, set_flag, &flag, NULL, 0));
    evb__thread_join(&thread);
    EQ(flag, 7);
}

static void read_name(void *arg)
{
    char *name = arg;

    (void)pthread_getname_np(pthread_self(), name, EVB__THREAD_NAME);
}

TEST(a_thread_has_its_name_from_its_first_line_on)
{
    struct evb__thread thread;
    char name[EVB__THREAD_NAME] = "";

    OK(evb__thread_create(&thread, read_name, name, "evb-worker", 0));
    evb__thread_join(&thread);
    EQ_STR(name, "evb-worker");
}

TEST(a_long_name_is_cut_to_fifteen_bytes)
{
    struct evb__thread thread;
    char name[EVB__THREAD_NAME] = "";

    OK(evb__thread_create(&thread, read_name, name, "a name of far more than fifteen bytes", 0));
    evb__thread_join(&thread);
    EQ_STR(name, "a name of far m");
}

TEST(without_a_name_it_keeps_its_creators)
{
    struct evb__thread thread;
    char name[EVB__THREAD_NAME] = "", mine[EVB__THREAD_NAME] = "";

    read_name(mine);
    OK(evb__thread_create(&thread, read_name, name, NULL, 0));
    evb__thread_join(&thread);
    EQ_STR(name, mine);
    OK(evb__thread_create(&thread, read_name, name, "", 0));
    evb__thread_join(&thread);
    EQ_STR(name, mine);
}

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

static bool is_fault(int number)
{
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        if (faults[i] == number) return true;
    }
    return false;
}

static void read_mask(void *arg)
{
    (void)pthread_sigmask(SIG_SETMASK, NULL, arg);
}

TEST(a_thread_takes_no_signal_of_the_application_but_keeps_its_crash_handlers)
{
    struct evb__thread thread;
    sigset_t mask, before, after, mine;

    (void)sigemptyset(&before);
    (void)sigaddset(&before, SIGUSR2);
    (void)pthread_sigmask(SIG_SETMASK, &before, &mine);
    OK(evb__thread_create(&thread, read_mask, &mask, NULL, 0));
    evb__thread_join(&thread);
    (void)pthread_sigmask(SIG_SETMASK, &mine, &after);
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (number == SIGKILL || number == SIGSTOP || (number >= 32 && number < SIGRTMIN))
            continue; /* nobody blocks these */
        EQ(sigismember(&mask, number), is_fault(number) ? 0 : 1);
        EQ(sigismember(&after, number), sigismember(&before, number)); /* the creator's mask is as it was */
    }
}

static void note_stack(void *arg)
{
    pthread_attr_t attr;

    EQ(pthread_getattr_np(pthread_self(), &attr), 0);
    EQ(pthread_attr_getstacksize(&attr, arg), 0);
    (void)pthread_attr_destroy(&attr);
}

TEST(the_stack_has_the_size_asked_for)
{
    struct evb__thread thread;
    size_t size = 0;

    OK(evb__thread_create(&thread, note_stack, &size, NULL, 1 << 20));
    evb__thread_join(&thread);
    CHECK(size >= 1 << 20 && size < 2 << 20);
}

TEST(a_stack_too_small_for_any_thread_is_refused)
{
    struct evb__thread thread;
    int flag = 0;

    FAILS(evb__thread_create(&thread, set_flag, &flag, NULL, 1), EVB_EINVAL);
    EQ(flag, 0);
}

TEST(a_stack_beyond_the_address_space_is_a_refusal_of_the_system)
{
    struct evb__thread thread;
    sigset_t before, after, mine;
    int flag = 0;

    if (EVB_TEST_ASAN || EVB__TSAN) SKIP("a sanitizer ends the program when a stack cannot be mapped");
    if (evb_test_plain_alloc()) SKIP("valgrind answers for the system, and otherwise");
    (void)sigemptyset(&before);
    (void)pthread_sigmask(SIG_SETMASK, &before, &mine);
    FAILS(evb__thread_create(&thread, set_flag, &flag, NULL, PTRDIFF_MAX / 4096 * 4096), EVB_EAGAIN);
    EQ(flag, 0);
    (void)pthread_sigmask(SIG_SETMASK, &mine, &after);
    for (int number = 1; number < 32; number++)
        EQ(sigismember(&after, number), sigismember(&before, number));
}

/* ---- mutexes ---- */

struct counter {
    struct evb__mutex lock;
    uint32_t value; /* plain: without exclusion counts are lost, and ThreadSanitizer sees a race */
    EVB__ATOMIC(uint32_t) busy;
};

#define ROUNDS 20000

static void count_up(uint32_t index, void *arg)
{
    struct counter *c = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (index % 2 == 0) {
            evb__mutex_lock(&c->lock);
        } else {
            while (!evb__mutex_trylock(&c->lock))
                evb__thread_yield();
        }
        c->value++;
        evb__mutex_unlock(&c->lock);
    }
}

TEST(one_thread_at_a_time_holds_a_mutex)
{
    static struct counter c = {.lock = EVB__MUTEX_INIT};

    evb_test_run_threads(4, count_up, &c);
    EQ(c.value, 4 * ROUNDS);
}

static void try_it(void *arg)
{
    struct counter *c = arg;

    c->value = evb__mutex_trylock(&c->lock);
    if (c->value != 0) evb__mutex_unlock(&c->lock);
}

TEST(trylock_does_not_wait_and_says_whether_it_got_the_mutex)
{
    struct evb__thread thread;
    struct counter c;

    memset(&c, 0xA5, sizeof c);
    evb__mutex_init(&c.lock);
    CHECK(evb__mutex_trylock(&c.lock));
    OK(evb__thread_create(&thread, try_it, &c, NULL, 0));
    evb__thread_join(&thread);
    EQ(c.value, 0);
    evb__mutex_unlock(&c.lock);
    OK(evb__thread_create(&thread, try_it, &c, NULL, 0));
    evb__thread_join(&thread);
    EQ(c.value, 1);
    evb__mutex_destroy(&c.lock);
}

TEST(a_zeroed_mutex_is_an_open_one)
{
    static struct evb__mutex zeroed;

    evb__mutex_lock(&zeroed);
    CHECK(!evb__mutex_trylock(&zeroed));
    evb__mutex_unlock(&zeroed);
}

static int unlock_in_child(void *arg)
{
    struct evb__mutex *mutex = arg;

    evb__mutex_unlock(mutex);
    evb__mutex_lock(mutex);
    evb__mutex_unlock(mutex);
    return 0;
}

TEST(the_child_of_fork_can_unlock_what_its_parents_thread_locked)
{
    struct evb__mutex mutex;

    evb__mutex_init(&mutex);
    evb__mutex_lock(&mutex);
    EQ(evb_test_in_child(unlock_in_child, &mutex), 0);
    evb__mutex_unlock(&mutex);
    evb__mutex_destroy(&mutex);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_waits_for_the_end_and_shows_what_the_thread_did),
        cmocka_unit_test(a_thread_has_its_name_from_its_first_line_on),
        cmocka_unit_test(a_long_name_is_cut_to_fifteen_bytes),
        cmocka_unit_test(without_a_name_it_keeps_its_creators),
        cmocka_unit_test(a_thread_takes_no_signal_of_the_application_but_keeps_its_crash_handlers),
        cmocka_unit_test(the_stack_has_the_size_asked_for),
        cmocka_unit_test(a_stack_too_small_for_any_thread_is_refused),
        cmocka_unit_test(a_stack_beyond_the_address_space_is_a_refusal_of_the_system),
        cmocka_unit_test(one_thread_at_a_time_holds_a_mutex),
        cmocka_unit_test(trylock_does_not_wait_and_says_whether_it_got_the_mutex),
        cmocka_unit_test(a_zeroed_mutex_is_an_open_one),
        cmocka_unit_test(the_child_of_fork_can_unlock_what_its_parents_thread_locked),
    };

    return EVB_TEST_MAIN("thread", tests, argc, argv);
}
