/* SPDX-License-Identifier: MIT */
/* The asymmetric barrier: that it is one, what is chosen where it is missing, and what happens when the
 * kernel takes it away. */
#include "evb_test.h"

#include <errno.h>
#include <string.h>
#include "base/atomic.h"
#include "base/barrier.h"
#include "base/log.h"
#include "base/park.h"
#include "base/platform.h"
#include "base/thread.h"

#if defined(__linux__)
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Every test makes the choice anew; what the process chose before is of no use to it. */
static int undecided(void **state)
{
    (void)state;
    evb__barrier_force_seq_cst(false);
    return 0;
}

static bool kernel_has_it(void)
{
#if defined(SYS_membarrier)
    long known = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    return known > 0 && (known & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
#else
    return false;
#endif
}

TEST(where_the_kernel_has_membarrier_it_is_used_except_under_threadsanitizer)
{
    evb__barrier_init();
    EQ(evb__barrier_asymmetric(), kernel_has_it() && !EVB__TSAN);
    OK(evb__barrier_heavy());
    evb__barrier_init(); /* idempotent */
    EQ(evb__barrier_asymmetric(), kernel_has_it() && !EVB__TSAN);
}

TEST(forced_the_seq_cst_back_end_stays_whatever_the_kernel_has)
{
    evb__barrier_force_seq_cst(true);
    evb__barrier_init();
    CHECK(!evb__barrier_asymmetric());
    OK(evb__barrier_heavy()); /* nothing to do, and that worked */
    evb__barrier_force_seq_cst(false);
}

TEST(before_init_nobody_is_told_to_rely_on_it)
{
    CHECK(!evb__barrier_asymmetric());
    OK(evb__barrier_heavy());
}

TEST(the_barrier_keeps_errno)
{
    errno = 77;
    evb__barrier_init();
    OK(evb__barrier_heavy());
    EQ(errno, 77);
}

/* ---- the promise: store buffering ----
 *
 * Reader: x = round; light barrier; r = y.   Writer: y = round; heavy barrier; w = x.   Not both may see the
 * other's old value. Without the barrier x86 shows that outcome within a few thousand rounds (the control
 * below shows it).
 */
struct litmus {
    EVB__ATOMIC(uint32_t) x;
    char apart_1[EVB__CACHE_LINE];
    EVB__ATOMIC(uint32_t) y;
    char apart_2[EVB__CACHE_LINE];
    EVB__ATOMIC(uint32_t) turn[2];
    uint32_t rounds;
    bool with_barrier;
    uint32_t saw[2]; /* plain: handed over by turn[] */
    uint32_t both_old;
};

/* Both are at the line when both have come; a spin, because sleeping would make the rounds miss each other.
 */
static void meet(struct litmus *t, uint32_t me, uint32_t number)
{
    evb__st_rel(&t->turn[me], number); /* pairs with the other's load */
    for (uint32_t i = 0; evb__ld_acq(&t->turn[1 - me]) < number; i++)
        evb__spin_pause(i); /* pairs with the other's store */
}

static void litmus_side(uint32_t me, void *arg)
{
    struct litmus *t = arg;

    for (uint32_t round = 1; round <= t->rounds; round++) {
        meet(t, me, 2 * round - 1);
        if (me == 0) {
            if (evb__barrier_asymmetric() || !t->with_barrier) {
                evb__st_rlx(&t->x, round); /* relaxed: ordered by the barriers, which is what is tested */
                evb__compiler_barrier();
                t->saw[0] = evb__ld_rlx(&t->y); /* relaxed: as above */
            } else {
                (void)evb__xchg_sc(&t->x, round);
                t->saw[0] = evb__ld_sc(&t->y);
            }
        } else {
            evb__st_sc(&t->y, round);
            if (t->with_barrier) OK(evb__barrier_heavy());
            t->saw[1] = evb__ld_sc(&t->x);
        }
        meet(t, me, 2 * round);
        if (me == 0 && t->saw[0] < round && t->saw[1] < round) t->both_old++;
    }
}

static uint32_t both_old(uint32_t rounds, bool with_barrier)
{
    struct litmus t = {.rounds = rounds, .with_barrier = with_barrier};

    evb_test_run_threads(2, litmus_side, &t);
    return t.both_old;
}

#define LITMUS_ROUNDS 20000

TEST(a_light_and_a_heavy_barrier_never_both_miss_the_other_side)
{
    evb__barrier_init();
    EQ(both_old(LITMUS_ROUNDS, true), 0);
}

/* The control: the same loop without the heavy barrier. Where it never shows the outcome the test above
 * proves nothing, which is said as a skip: one core, an emulator that runs one thread at a time. */
TEST(without_the_heavy_barrier_both_can_miss_the_other_side)
{
    uint32_t seen = 0;

    for (int i = 0; i < 10 && seen == 0; i++)
        seen = both_old(LITMUS_ROUNDS, false);
    if (seen == 0) SKIP("no reordering in 200 000 rounds: here the litmus test proves nothing");
}

TEST(the_seq_cst_back_end_never_both_misses_either)
{
    evb__barrier_force_seq_cst(true);
    evb__barrier_init();
    EQ(both_old(LITMUS_ROUNDS, true), 0);
    evb__barrier_force_seq_cst(false);
}

/* ---- fork ---- */

static int child_has_the_barrier(void *arg)
{
    bool *before = arg;

    evb__barrier_init();
    return evb__barrier_asymmetric() == *before && evb__barrier_heavy() == EVB_OK ? 0 : 1;
}

TEST(a_child_of_fork_keeps_the_choice_and_the_barrier)
{
    bool before;

    evb__barrier_init();
    before = evb__barrier_asymmetric();
    EQ(evb_test_in_child(child_has_the_barrier, &before), 0);
}

/* ---- a kernel that refuses ---- */

#if defined(SYS_membarrier)

/* From here on this process' membarrier answers err; 77 when filters cannot be installed. */
static int refuse_membarrier(int err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 77;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0 ? 77 : 0;
}

static int init_without_membarrier(void *arg)
{
    if (refuse_membarrier(*(int *)arg) != 0) return 77;
    evb__barrier_init();
    CHECK(!evb__barrier_asymmetric());
    OK(evb__barrier_heavy());
    return 0;
}

TEST(refused_from_the_start_the_seq_cst_back_end_is_chosen)
{
    static const int errors[] = {ENOSYS, EPERM};

    for (int i = 0; i < 2; i++) {
        int err = errors[i], rc = evb_test_in_child(init_without_membarrier, &err);

        if (rc == 77) SKIP("system call filters cannot be installed here");
        EQ(rc, 0);
    }
}

static struct {
    uint32_t lines;
    int32_t level;
    char name[64];
} logged;

static void note_line(int32_t level, const char *name, const char *line, void *user)
{
    (void)line;
    (void)user;
    logged.lines++;
    logged.level = level;
    (void)strncpy(logged.name, name, sizeof logged.name - 1);
}

static int lose_membarrier(void *arg)
{
    (void)arg;
    evb_set_log(note_line, NULL, EVB_LOG_DEBUG);
    evb__barrier_init();
    CHECK(evb__barrier_asymmetric());
    evb__barrier_report();
    EQ(logged.lines, 0); /* nothing was refused yet */
    if (refuse_membarrier(EPERM) != 0) return 77;
    FAILS(evb__barrier_heavy(), EVB_ENOTSUP);
    FAILS(evb__barrier_heavy(), EVB_ENOTSUP);
    CHECK(evb__barrier_asymmetric()); /* the readers rely on it: constant */
    EQ(logged.lines, 0);              /* locks are held in there */
    evb__barrier_report();
    evb__barrier_report();
    FAILS(evb__barrier_heavy(), EVB_ENOTSUP);
    evb__barrier_report();
    EQ(logged.lines, 1); /* once for the life of the process */
    EQ(logged.level, EVB_LOG_ERROR);
    EQ_STR(logged.name, "barrier_refused");
    evb__barrier_init(); /* as in a child of fork: the choice stands */
    CHECK(evb__barrier_asymmetric());
    return 0;
}

TEST(refused_later_the_writer_is_told_and_the_log_once)
{
    int rc;

    evb__barrier_init();
    if (!evb__barrier_asymmetric()) SKIP("no asymmetric barrier in this build or on this kernel");
    rc = evb_test_in_child(lose_membarrier, NULL);
    if (rc == 77) SKIP("system call filters cannot be installed here");
    EQ(rc, 0);
}

#endif

#define FRESH(name) cmocka_unit_test_setup(name, undecided)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        FRESH(where_the_kernel_has_membarrier_it_is_used_except_under_threadsanitizer),
        FRESH(forced_the_seq_cst_back_end_stays_whatever_the_kernel_has),
        FRESH(before_init_nobody_is_told_to_rely_on_it),
        FRESH(the_barrier_keeps_errno),
        FRESH(a_light_and_a_heavy_barrier_never_both_miss_the_other_side),
        FRESH(without_the_heavy_barrier_both_can_miss_the_other_side),
        FRESH(the_seq_cst_back_end_never_both_misses_either),
        FRESH(a_child_of_fork_keeps_the_choice_and_the_barrier),
#if defined(SYS_membarrier)
        FRESH(refused_from_the_start_the_seq_cst_back_end_is_chosen),
        FRESH(refused_later_the_writer_is_told_and_the_log_once),
#endif
    };

    return EVB_TEST_MAIN("barrier", tests, argc, argv);
}
