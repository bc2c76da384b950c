/* SPDX-License-Identifier: MIT */
/* Does the explorer explore everything, the same way each time, and refuse to pass when it did not? Exact
 * counts, replay, bounds, random modes. */
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "explore.h"

#define ENSURE(cond)                                                                                         \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            printf("    not so: %s (line %d)\n", #cond, __LINE__);                                           \
            return false;                                                                                    \
        }                                                                                                    \
    } while (0)

static EVB__ATOMIC(uint32_t) own[3], x, y;

/* ---- how many executions ---- */

static void access_own(void)
{
    for (int i = 0; i < 3; i++)
        (void)evb__add_rlx(&own[explore_thread()], 1);
}

static uint64_t count(const struct explore_shape *shape, int preemptions)
{
    struct explore_how how;
    struct explore_result r;

    explore_how_default(shape, &how);
    how.preemptions = preemptions;
    explore_run(shape, &how, &r);
    free(r.replay);
    return r.complete && r.bug[0] == '\0' ? r.executions : 0;
}

/* Two threads of three accesses: words over {a, b} with three of each; a preemption is a change away from a
 * thread that is not done. */
static bool every_interleaving_is_run_once(void)
{
    static const struct explore_shape two = {.threads = {access_own, access_own}};
    static const struct explore_shape three = {.threads = {access_own, access_own, access_own}};

    ENSURE(count(&two, -1) == 20);     /* 6! / (3! 3!) */
    ENSURE(count(&three, -1) == 1680); /* 9! / (3! 3! 3!) */
    return true;
}

static bool preemption_bound_counts_exactly(void)
{
    static const struct explore_shape two = {.threads = {access_own, access_own}};
    uint64_t expected[6] = {0};

    for (unsigned w = 0; w < 64; w++) {
        unsigned done[2] = {0, 0}, preemptions = 0;

        if (__builtin_popcount(w) != 3) continue;
        for (unsigned i = 0; i < 6; i++) {
            unsigned t = w >> i & 1;

            if (i > 0 && t != (w >> (i - 1) & 1) && done[!t] < 3) preemptions++;
            done[t]++;
        }
        expected[preemptions]++;
    }
    for (int bound = 0; bound < 6; bound++) {
        if (bound > 0) expected[bound] += expected[bound - 1];
        ENSURE(count(&two, bound) == expected[bound]);
    }
    return true;
}

/* ---- what comes out ---- */

static uint32_t r1, r2;

static void store_x_load_y(void)
{
    evb__st_rlx(&x, 1);
    r1 = evb__ld_rlx(&y);
}

static void store_y_load_x(void)
{
    evb__st_rlx(&y, 1);
    r2 = evb__ld_rlx(&x);
}

static void outcome(void)
{
    static const char *const text[] = {"00", "01", "10", "11"};

    explore_cover(text[r1 << 1 | r2]);
}

static bool stale_reads_are_what_makes_memory_weak(void)
{
    static const struct explore_shape sb = {
        .threads = {store_x_load_y, store_y_load_x}, .finish = outcome, .covers = {"00", "01", "10", "11"}};
    struct explore_how how;
    struct explore_result r;

    explore_how_default(&sb, &how);
    explore_run(&sb, &how, &r);
    ENSURE(r.complete && r.covered == 15);
    how.stale_reads = 0; /* sequential consistency */
    explore_run(&sb, &how, &r);
    ENSURE(r.complete && r.covered == 14);
    return true;
}

/* ---- replay ---- */

static void both_zero(void)
{
    explore_check(r1 != 0 || r2 != 0, "both zero");
}

static const struct explore_shape failing = {.threads = {store_x_load_y, store_y_load_x},
                                             .finish = both_zero};

static bool replay_string_brings_the_bug_back(void)
{
    struct explore_how how;
    struct explore_result found, again;

    for (int mode = EXPLORE_DFS; mode <= EXPLORE_PCT; mode++) {
        explore_how_default(&failing, &how);
        how.mode = (enum explore_mode)mode;
        how.seed = 42;
        how.executions = 10000;
        explore_run(&failing, &how, &found);
        ENSURE(found.bug[0] != '\0' && found.replay != NULL);
        how = (struct explore_how){.mode = EXPLORE_REPLAY, .replay = found.replay};
        explore_run(&failing, &how, &again);
        ENSURE(strcmp(found.bug, again.bug) == 0 && strcmp(found.replay, again.replay) == 0);
        free(found.replay);
        free(again.replay);
    }
    return true;
}

static bool broken_replay_string_is_refused(void)
{
    static const char *const broken[] = {"",
                                         "p2,s2",
                                         "p2,s2,w1,m0",
                                         "p2,s2,w1,m0:1.",
                                         "p2,s2,w1,m0:a",
                                         "p2,s2,w1,m0:0x99999999",
                                         "p2,s2,w1,m0:300"};

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct explore_how how = {.mode = EXPLORE_REPLAY, .replay = broken[i]};
        struct explore_result r;

        explore_run(&failing, &how, &r);
        free(r.replay);
        if (i == 3) continue; /* a trailing dot is harmless */
        ENSURE(strncmp(r.bug, "explorer:", 9) == 0 && r.executions == 0);
    }
    return true;
}

static bool schedule_names_thread_place_and_value(void)
{
    struct explore_how how;
    struct explore_result r;
    char *text = NULL, *replay;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    ENSURE(out != NULL);
    explore_how_default(&failing, &how);
    explore_run(&failing, &how, &r);
    ENSURE(r.replay != NULL);
    replay = r.replay;
    how = (struct explore_how){.mode = EXPLORE_REPLAY, .replay = replay, .schedule = out};
    explore_run(&failing, &how, &r);
    free(r.replay);
    free(replay);
    (void)fclose(out);
    ENSURE(strstr(text, "T1   st.rlx") != NULL && strstr(text, "selftest_engine.c:") != NULL);
    ENSURE(strstr(text, "-> 0 (stale)") != NULL && strstr(text, "BUG: check failed: both zero") != NULL);
    free(text);
    return true;
}

/* ---- random modes ---- */

static uint64_t until_found(enum explore_mode mode, uint64_t seed)
{
    struct explore_how how;
    struct explore_result r;

    explore_how_default(&failing, &how);
    how.mode = mode;
    how.seed = seed;
    how.executions = 100000;
    explore_run(&failing, &how, &r);
    free(r.replay);
    return r.bug[0] != '\0' ? r.executions + 1 : 0;
}

static bool random_modes_depend_on_the_seed_alone(void)
{
    uint64_t different = 0;

    for (int mode = EXPLORE_RANDOM; mode <= EXPLORE_PCT; mode++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            uint64_t first = until_found((enum explore_mode)mode, seed);

            ENSURE(first != 0 && first == until_found((enum explore_mode)mode, seed));
            different += first != until_found((enum explore_mode)mode, seed + 1);
        }
    }
    ENSURE(different > 10);
    return true;
}

/* ---- clean starts ---- */

static uint32_t left_over;

static void leave_over(void)
{
    explore_check(left_over == 0 && evb__ld_rlx(&x) == 0, "static data of the execution before");
    left_over = 1;
    evb__st_rlx(&x, 1);
}

static void allocate_same(void)
{
    uint64_t *p = evb__zalloc(sizeof *p, 8);

    explore_check(*p == 0, "not zeroed");
    *p = 1;
    evb__free(p, sizeof *p);
}

static bool every_execution_starts_from_scratch(void)
{
    static const struct explore_shape shape = {.setup = leave_over,
                                               .threads = {access_own, access_own, allocate_same}};

    ENSURE(count(&shape, 2) > 10);
    return true;
}

/* ---- a pass that is none ---- */

static void many_steps(void)
{
    for (int i = 0; i < 20; i++)
        (void)evb__add_rlx(&x, 1);
}

static void quiet(void)
{
    evb__st_rlx(&x, 1);
}

/* What explore_main answers for one shape; what it prints goes nowhere. */
static int verdict(const struct explore_shape *shape, char *option)
{
    char name[] = "selftest";
    char *argv[] = {name, option, NULL};
    int out, err, nowhere = open("/dev/null", O_WRONLY), rc;

    (void)fflush(stdout);
    out = dup(1);
    err = dup(2);
    if (nowhere < 0 || dup2(nowhere, 1) < 0 || dup2(nowhere, 2) < 0) abort();
    rc = explore_main(option != NULL ? 2 : 1, argv, shape, 1);
    (void)fflush(stdout);
    if (dup2(out, 1) < 0 || dup2(err, 2) < 0) abort();
    (void)close(out);
    (void)close(err);
    (void)close(nowhere);
    return rc;
}

static bool pass_without_enough_executions_fails(void)
{
    static const struct explore_shape fine = {.name = "fine", .threads = {quiet}, .random = UINT64_MAX};
    static const struct explore_shape cut = {
        .name = "cut", .threads = {many_steps, many_steps}, .executions = 50, .random = UINT64_MAX};
    static const struct explore_shape enough = {.name = "enough",
                                                .threads = {many_steps, many_steps, many_steps},
                                                .executions = EXPLORE_ENOUGH,
                                                .preemptions = 5,
                                                .random = UINT64_MAX};
    static const struct explore_shape uncovered = {
        .name = "uncovered", .threads = {quiet}, .covers = {"never"}, .random = UINT64_MAX};
    static const struct explore_shape missed = {
        .name = "missed", .threads = {quiet}, .bug = "", .random = UINT64_MAX};
    static const struct explore_shape other = {.name = "other",
                                               .threads = {store_x_load_y, store_y_load_x},
                                               .finish = both_zero,
                                               .bug = "another text",
                                               .random = UINT64_MAX};
    char nothing[] = "no_such_shape", seeded[] = "--seeded", unknown[] = "--unknown";

    ENSURE(verdict(&fine, NULL) == 0);
    ENSURE(verdict(&enough, NULL) == 0);
    ENSURE(verdict(&fine, nothing) == 1);
    ENSURE(verdict(&fine, seeded) == 1);
    ENSURE(verdict(&other, seeded) == 0);
    ENSURE(verdict(&fine, unknown) == 2);
    ENSURE(verdict(&cut, NULL) == 1);
    ENSURE(verdict(&uncovered, NULL) == 1);
    ENSURE(verdict(&missed, NULL) == 1);
    ENSURE(verdict(&other, NULL) == 1);
    return true;
}

static int coin;

static void toss(void)
{
    explore_point();
    if (coin) evb__st_rlx(&x, 1);
    evb__st_rlx(&y, 1);
}

/* libc's own state is not put back between executions. */
static void toss_setup(void)
{
    coin = rand() / 8 & 1;
}

static bool program_that_is_not_deterministic_is_refused(void)
{
    static const struct explore_shape shape = {.setup = toss_setup, .threads = {toss, toss, toss}};
    struct explore_how how;
    struct explore_result r;

    explore_how_default(&shape, &how);
    explore_run(&shape, &how, &r);
    free(r.replay);
    ENSURE(strstr(r.bug, "not deterministic") != NULL);
    return true;
}

/* ---- the program ---- */

static const struct {
    const char *name;
    bool (*run)(void);
} tests[] = {
    {"every_interleaving_is_run_once", every_interleaving_is_run_once},
    {"preemption_bound_counts_exactly", preemption_bound_counts_exactly},
    {"stale_reads_are_what_makes_memory_weak", stale_reads_are_what_makes_memory_weak},
    {"replay_string_brings_the_bug_back", replay_string_brings_the_bug_back},
    {"broken_replay_string_is_refused", broken_replay_string_is_refused},
    {"schedule_names_thread_place_and_value", schedule_names_thread_place_and_value},
    {"random_modes_depend_on_the_seed_alone", random_modes_depend_on_the_seed_alone},
    {"every_execution_starts_from_scratch", every_execution_starts_from_scratch},
    {"pass_without_enough_executions_fails", pass_without_enough_executions_fails},
    {"program_that_is_not_deterministic_is_refused", program_that_is_not_deterministic_is_refused},
};

int main(int argc, char **argv)
{
    const char *filter = argc > 1 ? argv[1] : "*";
    unsigned passed = 0, failed = 0;

    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        bool ok;

        if (fnmatch(filter, tests[i].name, 0) != 0) continue;
        printf("[ RUN      ] %s\n", tests[i].name);
        ok = tests[i].run();
        printf("[  %s ] %s\n", ok ? "     OK" : "FAILED ", tests[i].name);
        if (ok)
            passed++;
        else
            failed++;
    }
    printf("[  PASSED  ] %u test(s).\n", passed);
    if (failed != 0) printf("[  FAILED  ] %u test(s).\n", failed);
    return passed != 0 && failed == 0 ? 0 : 1;
}
