/* SPDX-License-Identifier: MIT */
/* Pools when memory or threads run out: what is refused has done nothing, and works when there is some again.
 */
#include "evb_test.h"

#include <evbus/pool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/platform.h"
#include "pool/timer.h"

#define HOUR   INT64_C(3600000000000)
#define CHUNK  256u /* timers that one allocation brings */
#define MIB    ((size_t)1 << 20)
#define STACK  (64 * MIB) /* more than the C library keeps for later */
#define WANTED 8u

static evb_pool *pool;
static EVB__ATOMIC(uint32_t) ran, starts, discarded; /* relaxed: read when the pool is idle or has ended */

static void count(void *arg)
{
    (void)arg;
    (void)evb__add_rlx(&ran, 1);
}

static void count_start(void *arg)
{
    (void)arg;
    (void)evb__add_rlx(&starts, 1);
}

static void count_discarded(void *arg)
{
    (void)arg;
    (void)evb__add_rlx(&discarded, 1);
}

static void open_pool(uint32_t threads, size_t stack_bytes)
{
    evb__st_rlx(&ran, 0);
    evb__st_rlx(&starts, 0);
    evb__st_rlx(&discarded, 0);
    OK(evb_pool_create(&(evb_pool_opts){.threads = threads,
                                        .stack_bytes = stack_bytes,
                                        .on_thread_start = count_start,
                                        .on_discard = count_discarded},
                       &pool));
}

/* ---- memory ---- */

static void create_and_destroy(void *arg)
{
    evb_pool *untouched = (evb_pool *)(void *)&ran, *made = untouched;

    if (!OK_OR_NOMEM(evb_pool_create(arg, &made))) {
        EQ_PTR(made, untouched);
        return;
    }
    evb_pool_destroy(made);
}

TEST(a_pool_that_cannot_be_made_leaves_nothing_behind)
{
    CHECK(evb_test_alloc_sweep(create_and_destroy, NULL) > 0);
    CHECK(evb_test_alloc_sweep(create_and_destroy,
                               &(evb_pool_opts){.threads = 7, .queue_capacity = 1000, .name = "seven"}) > 0);
}

static void strand_life(void *arg)
{
    evb_strand *untouched = (evb_strand *)(void *)&ran, *strand = untouched;

    (void)arg;
    if (!OK_OR_NOMEM(evb_strand_create(pool, 64, &strand))) {
        EQ_PTR(strand, untouched);
        return;
    }
    /* From here on nothing allocates. */
    for (int i = 0; i < 64; i++)
        OK(evb_strand_submit(strand, count, NULL, EVB_FOREVER));
    CHECK(evb_strand_submit_many(strand, count, (void *[1]){NULL}, 1) != EVB_ENOMEM);
    evb_strand_destroy(strand);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
}

static void start_threads(void)
{
    OK(evb_pool_submit(pool, count, NULL, EVB_FOREVER));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
}

TEST(a_strand_that_cannot_be_made_leaves_nothing_behind_and_one_that_was_made_needs_no_memory)
{
    open_pool(2, 0);
    start_threads();
    CHECK(evb_test_alloc_sweep(strand_life, NULL) >= 2);
    evb_pool_destroy(pool);
}

TEST(a_timer_that_finds_no_memory_is_not_set_and_the_next_one_is)
{
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    open_pool(1, 0);
    start_threads();
    evb_test_alloc_fail_from(1);
    FAILS(evb_pool_submit_after(pool, HOUR, count, NULL), EVB_ENOMEM);
    FAILS(evb_pool_submit_every(pool, HOUR, count, NULL), EVB_ENOMEM);
    EQ(evb_test_alloc_faults(), 2);
    evb_test_alloc_fail_off();
    OK(evb_pool_wait_idle(pool, EVB_FOREVER)); /* nothing is outstanding */
    FAILS(evb_pool_cancel(pool, 1), EVB_ENOTFOUND);
    (void)ID(evb_pool_submit_after(pool, 0, count, NULL));
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 2);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&discarded), 0);
}

TEST(timers_beyond_those_that_there_is_room_for_are_refused_one_by_one)
{
    static int64_t ids[CHUNK];

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    open_pool(1, 0);
    start_threads();
    ids[0] = ID(evb_pool_submit_after(pool, HOUR, count, NULL));
    evb_test_alloc_fail_from(1);
    for (uint32_t i = 1; i < CHUNK; i++)
        ids[i] = ID(evb_pool_submit_after(pool, HOUR, count, NULL));
    for (int i = 0; i < 3; i++)
        FAILS(evb_pool_submit_after(pool, HOUR, count, NULL), EVB_ENOMEM);
    OK(evb_pool_cancel(pool, ids[7])); /* cancel allocates nothing, and makes room */
    ids[7] = ID(evb_pool_submit_every(pool, HOUR, count, NULL));
    FAILS(evb_pool_submit_after(pool, HOUR, count, NULL), EVB_ENOMEM);
    OK(evb_pool_cancel_wait(pool, ids[7]));
    evb_pool_destroy(pool); /* nor does the end */
    evb_test_alloc_fail_off();
    EQ(evb__ld_rlx(&discarded), CHUNK - 1);
}

TEST(an_alarm_that_cannot_be_made_leaves_nothing_behind_and_one_that_was_made_needs_no_memory)
{
    struct evb__alarm *alarm;

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    open_pool(1, 0);
    start_threads();
    evb_test_alloc_fail_from(1);
    EQ_PTR(evb__alarm_make(pool, count, NULL), NULL);
    evb_test_alloc_fail_off();
    alarm = evb__alarm_make(pool, count, NULL);
    CHECK(alarm != NULL);
    evb_test_alloc_fail_from(1);
    for (uint32_t i = 2; i < 100; i++) {
        evb__alarm_set(alarm, HOUR);
        evb__alarm_set(alarm, 0);
        while (evb__ld_rlx(&ran) < i)
            (void)evb_pool_wait_idle(pool, EVB_FOREVER);
    }
    EQ(evb_test_alloc_faults(), 0);
    evb_test_alloc_fail_off();
    evb_pool_destroy(pool);
    CHECK(evb__alarm_free(alarm, NULL));
}

/* ---- threads ---- */

TEST(stacks_that_no_thread_can_have_are_told_by_every_call_that_would_start_one)
{
    evb_strand *strand;

    open_pool(2, 1);
    for (int again = 0; again < 2; again++) {
        FAILS(evb_pool_submit(pool, count, NULL, EVB_FOREVER), EVB_EINVAL);
        FAILS(evb_pool_submit_many(pool, count, (void *[1]){NULL}, 1), EVB_EINVAL);
        OK(evb_strand_create(pool, 4, &strand));
        FAILS(evb_strand_submit(strand, count, NULL, EVB_FOREVER), EVB_EINVAL);
        FAILS(evb_strand_submit_many(strand, count, (void *[1]){NULL}, 1), EVB_EINVAL);
        evb_strand_destroy(strand);
        CHECK(evb_pool_submit_after(pool, 0, count, NULL) < 0);
        OK(evb_pool_wait_idle(pool, 0)); /* what was refused is not there */
    }
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    FAILS(evb_pool_submit(pool, count, NULL, 0), EVB_ECLOSED);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&ran) + evb__ld_rlx(&starts) + evb__ld_rlx(&discarded), 0);
}

static struct rlimit all_memory;

/* The system maps so much more for us, and no more. */
static bool leave_address_space(size_t bytes)
{
    struct rlimit limit;
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    if (statm == NULL) return false;
    if (fscanf(statm, "%lu", &pages) != 1) pages = 0;
    (void)fclose(statm);
    if (pages == 0 || getrlimit(RLIMIT_AS, &all_memory) != 0) return false;
    limit = all_memory;
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
    return setrlimit(RLIMIT_AS, &limit) == 0;
}

static void leave_all_address_space(void)
{
    EQ(setrlimit(RLIMIT_AS, &all_memory), 0);
}

static bool can_limit(void)
{
    return !EVB_TEST_ASAN && !EVB__TSAN && !evb_test_plain_alloc();
}

#define NEEDS_LIMIT()                                                                                        \
    if (!can_limit()) SKIP("a sanitizer ends the program when a stack cannot be mapped")

TEST(without_a_single_thread_nothing_is_accepted_and_a_later_call_starts_them)
{
    int32_t answers[3];
    int64_t timer;

    NEEDS_LIMIT();
    open_pool(2, STACK);
    if (!leave_address_space(STACK / 2)) {
        evb_pool_destroy(pool);
        SKIP("no /proc, or no limit for address space");
    }
    answers[0] = evb_pool_submit(pool, count, NULL, EVB_FOREVER);
    answers[1] = evb_pool_submit_many(pool, count, (void *[1]){NULL}, 1);
    timer = evb_pool_submit_after(pool, 0, count, NULL);
    answers[2] = evb_pool_wait_idle(pool, EVB_FOREVER);
    leave_all_address_space();
    FAILS(answers[0], EVB_EAGAIN);
    FAILS(answers[1], EVB_EAGAIN);
    FAILS(timer, EVB_EAGAIN);
    OK(answers[2]);
    EQ(evb__ld_rlx(&starts), 0);
    start_threads();
    EQ(evb__ld_rlx(&ran), 1); /* what was refused has left nothing */
    EQ(evb__ld_rlx(&starts), 2);
    evb_pool_destroy(pool);
    EQ(evb__ld_rlx(&discarded), 0);
}

TEST(an_alarm_set_where_no_thread_can_be_had_runs_when_there_is_one)
{
    struct evb__alarm *alarm;
    int32_t ready;

    NEEDS_LIMIT();
    open_pool(2, STACK);
    alarm = evb__alarm_make(pool, count, NULL);
    CHECK(alarm != NULL);
    if (!leave_address_space(STACK / 2)) {
        CHECK(evb__alarm_free(alarm, NULL));
        evb_pool_destroy(pool);
        SKIP("no /proc, or no limit for address space");
    }
    evb__alarm_set(alarm, 0);
    ready = evb__alarm_ready(alarm);
    leave_all_address_space();
    FAILS(ready, EVB_EAGAIN);
    EQ(evb__ld_rlx(&starts), 0);
    OK(evb__alarm_ready(alarm));
    while (evb__ld_rlx(&ran) == 0)
        (void)evb_pool_wait_idle(pool, EVB_FOREVER);
    evb_pool_destroy(pool);
    CHECK(evb__alarm_free(alarm, NULL));
    EQ(evb__ld_rlx(&ran), 1);
}

TEST(with_fewer_threads_than_wanted_a_pool_works_and_ends)
{
    evb_strand *strand;
    int32_t answer;

    NEEDS_LIMIT();
    open_pool(WANTED, STACK);
    if (!leave_address_space(3 * STACK)) {
        evb_pool_destroy(pool);
        SKIP("no /proc, or no limit for address space");
    }
    answer = evb_pool_submit(pool, count, NULL, EVB_FOREVER);
    leave_all_address_space();
    OK(answer);
    OK(evb_strand_create(pool, 0, &strand));
    for (int i = 0; i < 1000; i++) {
        OK(evb_pool_submit(pool, count, NULL, EVB_FOREVER));
        OK(evb_strand_submit(strand, count, NULL, EVB_FOREVER));
        if (i % 100 == 0) (void)ID(evb_pool_submit_after(pool, i, count, NULL));
    }
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    EQ(evb__ld_rlx(&ran), 2011);
    evb_strand_destroy(strand);
    evb_pool_destroy(pool);
    CHECK(evb__ld_rlx(&starts) >= 1 && evb__ld_rlx(&starts) < WANTED);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_that_cannot_be_made_leaves_nothing_behind),
        cmocka_unit_test(
            a_strand_that_cannot_be_made_leaves_nothing_behind_and_one_that_was_made_needs_no_memory),
        cmocka_unit_test(a_timer_that_finds_no_memory_is_not_set_and_the_next_one_is),
        cmocka_unit_test(timers_beyond_those_that_there_is_room_for_are_refused_one_by_one),
        cmocka_unit_test(
            an_alarm_that_cannot_be_made_leaves_nothing_behind_and_one_that_was_made_needs_no_memory),
        cmocka_unit_test(stacks_that_no_thread_can_have_are_told_by_every_call_that_would_start_one),
        cmocka_unit_test(without_a_single_thread_nothing_is_accepted_and_a_later_call_starts_them),
        cmocka_unit_test(an_alarm_set_where_no_thread_can_be_had_runs_when_there_is_one),
        cmocka_unit_test(with_fewer_threads_than_wanted_a_pool_works_and_ends),
    };
    return EVB_TEST_MAIN("pool_memory", tests, argc, argv);
}
