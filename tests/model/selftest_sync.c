/* SPDX-License-Identifier: MIT */
/* Does the explorer find what goes wrong with locks, sleeping, threads and freed memory? */
#include <evbus/base.h>
#include <string.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "base/park.h"
#include "base/platform.h"
#include "base/thread.h"
#include "explore.h"

static struct evb__mutex left, right;
static EVB__ATOMIC(uint32_t) word, done, waiters;
static uint32_t counter;
static EVB__ATOMIC(uint32_t *) shared;

/* ---- mutex ---- */

static void increment_locked(void)
{
    evb__mutex_lock(&left);
    EVB__PLAIN_WRITE(counter, EVB__PLAIN_READ(counter) + 1);
    evb__mutex_unlock(&left);
}

static void increment_unlocked(void)
{
    EVB__PLAIN_WRITE(counter, EVB__PLAIN_READ(counter) + 1);
}

static void counted_three(void)
{
    explore_check(counter == 3, "an increment was lost");
}

static void lock_left_right(void)
{
    evb__mutex_lock(&left);
    evb__mutex_lock(&right);
    evb__mutex_unlock(&right);
    evb__mutex_unlock(&left);
}

static void lock_right_left(void)
{
    evb__mutex_lock(&right);
    evb__mutex_lock(&left);
    evb__mutex_unlock(&left);
    evb__mutex_unlock(&right);
}

static void lock_twice(void)
{
    evb__mutex_lock(&left);
    evb__mutex_lock(&left);
}

static void unlock_only(void)
{
    evb__mutex_unlock(&left);
}

static void lock_only(void)
{
    evb__mutex_lock(&left);
}

static void try_increment(void)
{
    while (!evb__mutex_trylock(&left)) {
        explore_cover("refused");
        evb__thread_yield();
    }
    EVB__PLAIN_WRITE(counter, EVB__PLAIN_READ(counter) + 1);
    evb__mutex_unlock(&left);
}

/* ---- spinning ---- */

static void spin_until_done(void)
{
    for (uint32_t turn = 0; evb__ld_acq(&done) == 0; turn++)
        evb__spin_pause(turn);
    explore_check(EVB__PLAIN_READ(counter) == 1, "done before it was");
}

static void do_it(void)
{
    EVB__PLAIN_WRITE(counter, 1);
    evb__st_rel(&done, 1);
}

static void spin_for_ever(void)
{
    while (evb__ld_acq(&done) == 0)
        evb__thread_yield();
}

static void nothing(void)
{
}

/* Two that wait and write something at each turn: each finds news, neither gets anywhere. */
static void busy_for_ever(void)
{
    while (evb__ld_acq(&done) == 0) {
        (void)evb__add_rlx(&word, 1);
        evb__thread_yield();
    }
}

/* ---- park ---- */

/* Right: the word changes first, and a sleeper looks again. */
static void sleep_until_done(void)
{
    while (evb__ld_acq(&word) == 0) {
        int32_t status = evb__park(&word, 0, EVB_FOREVER);

        if (status == EVB_EAGAIN) explore_cover("had changed");
        if (status == EVB_OK) explore_cover("woken");
    }
    explore_check(EVB__PLAIN_READ(counter) == 1, "done before it was");
}

static void finish_and_wake(void)
{
    EVB__PLAIN_WRITE(counter, 1);
    evb__st_rel(&word, 1);
    evb__wake_all(&word);
}

static void wake_then_finish(void)
{
    EVB__PLAIN_WRITE(counter, 1);
    evb__wake_all(&word);
    evb__st_rel(&word, 1);
}

static void wake_only_one(void)
{
    EVB__PLAIN_WRITE(counter, 1);
    evb__st_rel(&word, 1);
    evb__wake_one(&word);
}

static void sleep_without_loop(void)
{
    if (evb__ld_acq(&word) == 0) (void)evb__park(&word, 0, EVB_FOREVER);
    explore_check(evb__ld_acq(&word) == 1, "went on although nobody woke it");
}

static void sleep_with_limit(void)
{
    int32_t status = evb__park(&word, 0, 1000000);

    if (status == EVB_ETIMEDOUT) explore_cover("timed out");
    if (status == EVB_OK) explore_cover("woken");
    if (status == EVB_EAGAIN) explore_cover("had changed");
}

static void sleep_not_at_all(void)
{
    explore_check(evb__park(&word, 0, 0) == EVB_ETIMEDOUT, "a limit of zero waits");
}

/* The waker looks whether anybody sleeps: two variables, so both sides must be seq_cst. */
static void register_and_sleep(void)
{
    bool sc = explore_variant() == 0;

    if (sc)
        evb__st_sc(&waiters, 1);
    else
        evb__st_rel(&waiters, 1);
    if ((sc ? evb__ld_sc(&done) : evb__ld_acq(&done)) != 0) return;
    while (evb__ld_acq(&word) == 0)
        (void)evb__park(&word, 0, EVB_FOREVER);
}

static void finish_and_look(void)
{
    bool sc = explore_variant() == 0;

    if (sc)
        evb__st_sc(&done, 1);
    else
        evb__st_rel(&done, 1);
    if ((sc ? evb__ld_sc(&waiters) : evb__ld_acq(&waiters)) == 0) return;
    evb__st_rel(&word, 1);
    evb__wake_all(&word);
    explore_cover("saw a sleeper");
}

/* ---- threads ---- */

static struct evb__thread thread;

static void created(void *arg)
{
    EVB__PLAIN_WRITE(*(uint32_t *)arg, EVB__PLAIN_READ(counter) + 1);
}

static void create_and_join(void)
{
    EVB__PLAIN_WRITE(counter, 1);
    explore_check(evb__thread_create(&thread, created, &counter, "t", 0) == EVB_OK, "no thread");
    if (explore_variant() == 0) evb__thread_join(&thread);
    explore_check(EVB__PLAIN_READ(counter) == 2, "not joined");
}

static void worker(void *arg)
{
    (void)arg;
    while (evb__ld_acq(&word) == 0)
        (void)evb__park(&word, 0, EVB_FOREVER);
}

static void create_worker(void)
{
    explore_check(evb__thread_create(&thread, worker, NULL, NULL, 0) == EVB_OK, "no thread");
}

static void stop_worker(void)
{
    if (explore_variant() != 0) return;
    evb__st_rel(&word, 1);
    evb__wake_one(&word);
    evb__thread_join(&thread);
}

static void local_is_ones_own(void)
{
    uint32_t *mine = evb__explore_local(sizeof *mine);

    explore_check(*mine == 0, "not zeroed");
    *mine = explore_thread() + 1;
    explore_point();
    explore_check(*(uint32_t *)evb__explore_local(sizeof *mine) == explore_thread() + 1, "somebody else's");
}

static void exit_hook(void)
{
    (void)evb__add_rlx(&done, 1);
}

static void exits_counted(void)
{
    explore_check(evb__ld_rlx(&done) == 2, "thread_exit runs once a thread");
}

/* ---- the heap ---- */

static void allocate(void)
{
    uint32_t *p = evb__alloc(sizeof *p, 16);

    EVB__PLAIN_WRITE(*p, 1);
    evb__st_rel(&shared, p);
}

static void use(void)
{
    uint32_t *p = evb__ld_acq(&shared);

    if (p != NULL) (void)EVB__PLAIN_READ(*p);
}

static void use_relaxed(void)
{
    uint32_t *p = evb__ld_rlx(&shared);

    if (p != NULL) (void)evb__ld_rlx(p + 0);
}

static void unpublish_and_free(void)
{
    uint32_t *p = evb__xchg_acqrel(&shared, NULL);

    if (p != NULL) evb__free(p, sizeof *p);
}

static void load_and_free(void)
{
    uint32_t *p = evb__ld_acq(&shared);

    if (p != NULL) evb__free(p, sizeof *p);
}

static void use_then_tell(void)
{
    (void)EVB__PLAIN_READ(*evb__ld_acq(&shared));
    if (explore_variant() == 0)
        evb__st_rel(&done, 1);
    else
        evb__st_rlx(&done, 1);
}

static void free_when_told(void)
{
    while (evb__ld_acq(&done) == 0)
        evb__thread_yield();
    evb__free(evb__ld_acq(&shared), sizeof(uint32_t));
}

static void free_wrong_size(void)
{
    evb__free(evb__zalloc(8, 8), 4);
}

static void free_middle(void)
{
    char *p = evb__zalloc(32, 8);

    evb__free(p + 16, 16);
}

static void allocate_and_forget(void)
{
    (void)evb__zalloc(8, 8);
}

static void read_beyond(void)
{
    uint32_t *p = evb__zalloc(sizeof *p, 64);

    explore_check((uintptr_t)p % 64 == 0 && *p == 0, "aligned and zeroed");
    (void)EVB__PLAIN_READ(p[1]);
}

static void lock_freed(void)
{
    struct evb__mutex *m = evb__zalloc(sizeof *m, 8);

    evb__free(m, sizeof *m);
    evb__mutex_lock(m);
}

/* Without the seam: only what the block was filled with gives it away. */
struct node {
    struct node *next;
    uint32_t value;
};

static void follow_freed(void)
{
    struct node *first = evb__zalloc(sizeof *first, 8), *second = evb__zalloc(sizeof *second, 8);

    first->next = second;
    evb__free(first, sizeof *first);
    explore_check(first->next->value == 0, "read through a freed block");
}

static void assert_wrong(void)
{
    evb__assert(explore_thread() == 7);
}

static void overflow_stack(void)
{
    char page[65536];

    memset(page, (int)explore_thread(), sizeof page);
    if (explore_thread() < 7) overflow_stack();
    explore_check(page[0] != 7, "never");
}

static const struct explore_shape shapes[] = {
    {.name = "mutex_excludes",
     .threads = {increment_locked, increment_locked, increment_locked},
     .finish = counted_three},
    {.name = "missing_lock_is_found", .threads = {increment_locked, increment_unlocked}, .bug = "data race"},
    {.name = "lock_order_inversion_is_found",
     .threads = {lock_left_right, lock_right_left},
     .bug = "deadlock"},
    {.name = "one_lock_order_is_right", .threads = {lock_left_right, lock_left_right}},
    {.name = "recursive_lock_is_found", .threads = {lock_twice}, .bug = "again"},
    {.name = "unlock_by_a_stranger_is_found", .threads = {unlock_only}, .bug = "does not hold"},
    {.name = "thread_that_ends_with_a_lock_is_found", .threads = {lock_only}, .bug = "ends holding"},
    {.name = "trylock_excludes",
     .threads = {try_increment, try_increment, try_increment},
     .finish = counted_three,
     .trylock = true,
     .covers = {"refused"}},
    {.name = "spinning_ends_when_somebody_writes", .threads = {spin_until_done, do_it}},
    {.name = "spinning_for_what_never_comes_is_found",
     .threads = {spin_for_ever, nothing},
     .bug = "livelock"},
    {.name = "two_that_only_keep_each_other_busy_are_found",
     .threads = {busy_for_ever, busy_for_ever},
     .bug = "livelock: more than"},

    {.name = "sleeper_is_woken",
     .threads = {sleep_until_done, finish_and_wake},
     .covers = {"woken", "had changed"}},
    {.name = "all_sleepers_are_woken", .threads = {sleep_until_done, sleep_until_done, finish_and_wake}},
    {.name = "wake_before_the_change_is_found",
     .threads = {sleep_until_done, wake_then_finish},
     .bug = "deadlock"},
    {.name = "waking_one_of_two_is_found",
     .threads = {sleep_until_done, sleep_until_done, wake_only_one},
     .bug = "deadlock"},
    {.name = "sleeper_that_trusts_its_wake_up_is_found",
     .threads = {sleep_without_loop, finish_and_wake},
     .bug = "nobody woke it"},
    {.name = "no_spurious_wake_up_without_a_ration",
     .threads = {sleep_without_loop, finish_and_wake},
     .spurious = EXPLORE_NONE,
     .stale_reads = EXPLORE_NONE,
     .random = UINT64_MAX},
    {.name = "a_wake_up_orders_nothing",
     .threads = {sleep_without_loop, finish_and_wake},
     .spurious = EXPLORE_NONE,
     .bug = "nobody woke it"},
    {.name = "wait_with_a_limit_may_end_in_any_way",
     .threads = {sleep_with_limit, finish_and_wake},
     .covers = {"timed out", "woken", "had changed"}},
    {.name = "wait_with_a_limit_of_zero_ends_at_once", .threads = {sleep_not_at_all}},
    {.name = "wait_with_a_limit_ends_alone",
     .threads = {sleep_with_limit},
     .spurious = EXPLORE_NONE,
     .covers = {"timed out"}},
    {.name = "looking_for_sleepers_with_seq_cst_loses_none",
     .threads = {register_and_sleep, finish_and_look},
     .covers = {"saw a sleeper"}},
    {.name = "looking_for_sleepers_with_acquire_release_is_found",
     .threads = {register_and_sleep, finish_and_look},
     .variant = 1,
     .bug = "deadlock"},

    {.name = "join_sees_what_the_thread_did", .threads = {create_and_join}},
    {.name = "reading_before_the_join_is_found", .threads = {create_and_join}, .variant = 1, .bug = ""},
    {.name = "thread_of_setup_is_joined_in_finish",
     .setup = create_worker,
     .threads = {nothing},
     .finish = stop_worker},
    {.name = "thread_that_outlives_the_shape_is_found",
     .setup = create_worker,
     .threads = {nothing},
     .finish = stop_worker,
     .variant = 1,
     .bug = "still runs"},
    {.name = "local_storage_is_per_thread", .threads = {local_is_ones_own, local_is_ones_own}},
    {.name = "exit_hook_runs_once_a_thread",
     .threads = {nothing, nothing},
     .thread_exit = exit_hook,
     .finish = exits_counted},

    {.name = "use_after_free_is_found",
     .setup = allocate,
     .threads = {use, unpublish_and_free},
     .bug = "use after free"},
    {.name = "use_after_free_is_named",
     .setup = allocate,
     .threads = {unpublish_and_free, use},
     .bug = "use after free"},
    {.name = "double_free_is_found",
     .setup = allocate,
     .threads = {load_and_free, load_and_free},
     .bug = "double free"},
    {.name = "free_after_the_last_use_is_right",
     .setup = allocate,
     .threads = {use_then_tell, free_when_told}},
    {.name = "free_that_is_not_ordered_after_a_use_is_found",
     .setup = allocate,
     .threads = {use_then_tell, free_when_told},
     .variant = 1,
     .bug = "use after free"},
    {.name = "block_reached_without_acquire_is_found",
     .threads = {allocate, use_relaxed},
     .bug = "data race"},
    {.name = "free_with_another_size_is_found", .threads = {free_wrong_size}, .bug = "free with size"},
    {.name = "free_of_a_middle_is_found", .threads = {free_middle}, .bug = "never allocated"},
    {.name = "leak_is_found", .threads = {allocate_and_forget}, .bug = "leak"},
    {.name = "read_beyond_a_block_is_found", .threads = {read_beyond}, .bug = "out of bounds"},
    {.name = "freed_block_leads_nowhere", .threads = {follow_freed}, .bug = "crash"},
    {.name = "stack_overflow_is_found", .threads = {overflow_stack}, .bug = "crash"},
    {.name = "failed_assertion_is_found", .threads = {assert_wrong}, .bug = "assertion failed"},
    {.name = "lock_in_freed_memory_is_found", .threads = {lock_freed}, .bug = "use after free"},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
