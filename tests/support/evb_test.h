/* SPDX-License-Identifier: MIT */
/* The test layer: a thin coat over cmocka that every test binary of the project wears.
 *
 *      #include "evb_test.h"
 *
 *      TEST(a_full_ring_refuses_the_next_push)
 *      {
 *          evb_ring *ring;
 *          OK(evb_ring_create(&(evb_ring_opts){.capacity = 2}, &ring));
 *          ...
 *          FAILS(evb_ring_try_push(ring, &x), EVB_EFULL);
 *          EQ(evb_ring_count(ring), 2);
 *          evb_ring_destroy(ring);
 *      }
 *
 *      int main(int argc, char **argv)
 *      {
 *          static const struct CMUnitTest tests[] = {cmocka_unit_test(a_full_ring_refuses_the_next_push)};
 *          return EVB_TEST_MAIN("ring", tests, argc, argv);
 *      }
 *
 * What the runner does around each test, without being asked:
 *   - a hard timeout, 60 s times EVB_TEST_TIMEOUT_SCALE (0 = none, for a debugger): prints the test's name
 * and aborts;
 *   - every allocation of the library goes through the counting allocator: a block that is still alive at the
 * end, a wrong size or pointer given back, or a write after free fails the test. Freed memory reads as 0xDD;
 *   - file descriptors and threads that are there at the end and were not at the start (or the other way
 * round) fail the test;
 *   - the failing allocator and the virtual clock are off again at the end, the log goes to stderr again, and
 *     its limit per name counts from 0;
 *   - the random generator starts from a seed; a failing test prints the EVB_TEST_SEED that repeats it.
 * Exit code: 0 = all that ran passed, 1 = a failure or nothing ran at all, 77 = everything that ran was
 * skipped. The reason of a skip is on stdout. argv[1] is a cmocka filter (* and ?) on test names.
 *
 * Checks may stand in any thread. In the test's own thread a failed check ends the test; in another thread it
 * is printed, the check's function goes on, and the test fails when it ends; in a forked child
 * (evb_test_in_child) it ends the child.
 */
#ifndef EVB_TEST_H
#define EVB_TEST_H

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <evbus/base.h>
#include <pthread.h>
#include <stdbool.h>
#include "base/rng.h"

/* 1 under AddressSanitizer; base/platform.h has EVB__TSAN. For the few tests that a sanitizer would end. */
#if defined(__SANITIZE_ADDRESS__)
#define EVB_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EVB_TEST_ASAN 1
#endif
#endif
#ifndef EVB_TEST_ASAN
#define EVB_TEST_ASAN 0
#endif

#define TEST(name) static void name(void **state __attribute__((unused)))

#define EVB_TEST_MAIN(name, tests, argc, argv)                                                               \
    evb_test_main((name), (tests), sizeof(tests) / sizeof((tests)[0]), (argc), (argv))
int evb_test_main(const char *name, const struct CMUnitTest *tests, size_t count, int argc, char **argv);

/* ---- checks: both sides are evaluated once, both values are printed ---- */

/* The call answers exactly EVB_OK. */
#define OK(call) evb_test_status((call), EVB_OK, #call, __FILE__, __LINE__)
/* The call answers exactly this status: FAILS(evb_off(bus, id), EVB_ENOTFOUND). */
#define FAILS(call, status) evb_test_status((call), (status), #call, __FILE__, __LINE__)
/* The call answers more than 0; the value is the macro's value: int64_t id = ID(evb_on(...)). */
#define ID(call) evb_test_id((call), #call, __FILE__, __LINE__)

/* Integers of any width and sign (compared as 64 bits), pointers, texts, bytes. */
#define EQ(a, b)           evb_test_eq((int64_t)(a), (int64_t)(b), true, #a " == " #b, __FILE__, __LINE__)
#define NE(a, b)           evb_test_eq((int64_t)(a), (int64_t)(b), false, #a " != " #b, __FILE__, __LINE__)
#define EQ_PTR(a, b)       evb_test_eq_ptr((a), (b), #a " == " #b, __FILE__, __LINE__)
#define EQ_STR(a, b)       evb_test_eq_str((a), (b), #a " == " #b, __FILE__, __LINE__)
#define EQ_MEM(a, b, size) evb_test_eq_mem((a), (b), (size), #a " == " #b, __FILE__, __LINE__)
#define CHECK(condition)   evb_test_check((condition), #condition, __FILE__, __LINE__)

/* Ends the test as skipped; the reason goes to stdout. Only in the test's own thread, before anything needs
 * cleaning up. */
#define SKIP(reason) evb_test_skip((reason), __FILE__, __LINE__)

/* EVB_TEST_ALLOC=libc is set: this runs under valgrind or the like, which takes a few bold things for errors.
 */
bool evb_test_plain_alloc(void);

/* ---- repeatable randomness ---- */

struct evb__rng *evb_test_rng(void); /* starts each test from the seed; the test's own thread only */
uint64_t evb_test_seed(void); /* EVB_TEST_SEED, else random; derive one per thread: evb_test_seed() + index */

/* ---- the counting, failing allocator (installed before the first test through evb_set_allocator) ---- */

int64_t evb_test_alloc_live(void); /* blocks alive now */
int64_t evb_test_alloc_live_bytes(void);
uint64_t
evb_test_alloc_calls(void); /* allocations asked for since the program began: "emit allocates nothing" */
void evb_test_alloc_fail_once_at(uint64_t k); /* the k-th allocation from now answers NULL, k >= 1 */
void evb_test_alloc_fail_from(uint64_t k);    /* the k-th and all after it */
void evb_test_alloc_fail_off(void);
uint64_t
evb_test_alloc_faults(void); /* failures delivered since the last fail_* call; fail_off keeps the number */

/* The library keeps something for the life of the process (a chunk of thread slots): these blocks are no
 * leak. Call it in the test after the allocation was made: blocks more than before the call to excuse. */
void evb_test_alloc_expect_kept(int64_t blocks);

/* Runs the scenario with the k-th allocation failing, for k = 1, 2, ... until no fault is hit any more: once
 * with only that one failing, once with all from it on. After each run nothing may be left allocated. Answers
 * the number of runs that hit a fault (0: the scenario allocates nothing). The scenario uses OK_OR_NOMEM:
 * true = worked; false = EVB_ENOMEM, which is a failure of the test unless a fault was hit; ids and counts (>
 * 0) are fine too. It must clean up after itself. */
#define OK_OR_NOMEM(call) evb_test_ok_or_nomem((call), #call, __FILE__, __LINE__)
uint32_t evb_test_alloc_sweep(void (*scenario)(void *arg), void *arg);

/* ---- the virtual clock: stands still until told; the runner takes it out after each test ---- */

#define EVB_TEST_WALL_START                                                                                  \
    INT64_C(1767225600000000000) /* 2026-01-01T00:00:00Z, in ns: what evb__clock_wall answers first */
void evb_test_clock_install(int64_t mono_start_ns); /* only while no other thread is in the library */
void evb_test_clock_advance(int64_t ns);            /* any thread; the wall clock moves along */
void evb_test_clock_step_wall(int64_t ns);          /* somebody set the date: only the wall clock moves */
void evb_test_clock_remove(void);

/* ---- threads ---- */

/* Starts n threads, holds them at one line until all are there, runs fn(index, arg) in each, joins them. */
void evb_test_run_threads(uint32_t n, void (*fn)(uint32_t index, void *arg), void *arg);

/* A line of its own: everybody waits until n have come; can be used again and again by the same n. */
struct evb_test_line {
    pthread_barrier_t barrier;
};
void evb_test_line_init(struct evb_test_line *line, uint32_t n);
void evb_test_line_wait(struct evb_test_line *line);
void evb_test_line_destroy(struct evb_test_line *line);

/* Polls condition(arg) until it is true, giving the core away in between: for what another thread or the
 * kernel will do soon without telling. false after the test's time limit is half gone. Never a stand-in for a
 * call that waits. */
bool evb_test_eventually(bool (*condition)(void *arg), void *arg);

/* ---- processes ---- */

/* Runs fn(arg) in a forked child under its own time limit. Answers the child's exit code (fn's value, 0..98),
 * 99 for a failed check, 128 + signal when it was killed. stdout and stderr are the parent's. */
int evb_test_in_child(int (*fn)(void *arg), void *arg);

/* ---- what the macros call ---- */

void evb_test_status(int64_t got, int64_t want, const char *text, const char *file, int line);
int64_t evb_test_id(int64_t got, const char *text, const char *file, int line);
void evb_test_eq(int64_t a, int64_t b, bool equal, const char *text, const char *file, int line);
void evb_test_eq_ptr(const void *a, const void *b, const char *text, const char *file, int line);
void evb_test_eq_str(const char *a, const char *b, const char *text, const char *file, int line);
void evb_test_eq_mem(const void *a, const void *b, size_t size, const char *text, const char *file, int line);
void evb_test_check(bool condition, const char *text, const char *file, int line);
bool evb_test_ok_or_nomem(int64_t got, const char *text, const char *file, int line);
void evb_test_skip(const char *reason, const char *file, int line) __attribute__((noreturn));
void evb_test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
