/* SPDX-License-Identifier: MIT */
/* Random programs of publish, subscribe, settle, pause, purge, redrive, drain and destroy, on one
 * thread with a seeded schedule and a virtual clock, against the model of tests/support/queue_model
 * (world.h).
 *
 * A round that differs prints its seed, is made shorter, and tells the operations that are left.
 *     EVB_SEED=0x... build/tests/test_queue_model     that round alone
 *     EVB_ROUNDS=n                                    so many rounds
 *     EVB_SHORTEN=0                                   the seed is enough
 */
#include "evb_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue_model/world.h"

#define ROUNDS      1500
#define ROUNDS_LONG 20000
#define STEPS       200

/* ---- a round that fails, made shorter ---- */

static struct {
    uint64_t seed;
    uint32_t steps;
    bool skip[STEPS];
    bool print;
} trial;

static void crashed_in_child(int number)
{
    notes_print();
    fprintf(stderr, "    signal %d\n", number);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* In a child: what fails may crash. */
static int try_it(void *unused)
{
    uint32_t done;
    bool good;

    (void)unused;
    (void)signal(SIGSEGV, trial.print ? crashed_in_child : SIG_DFL); /* not cmocka's */
    (void)signal(SIGABRT, trial.print ? crashed_in_child : SIG_DFL);
    good = run_round(trial.seed, trial.steps, trial.skip, &done);
    if (!good && trial.print) {
        notes_print();
        fprintf(stderr, "    %s\n", what_differs());
    }
    return good ? 0 : 1;
}

static void be_silent(void)
{
    fflush(NULL);
    if (!trial.print && freopen("/dev/null", "w", stderr) == NULL) return;
}

static int try_silently(void *unused)
{
    be_silent();
    return try_it(unused);
}

static bool still_fails(void)
{
    return evb_test_in_child(try_silently, NULL) != 0;
}

/* Leaves out what can be left out, size operations at a time. */
static bool leave_out(uint32_t size)
{
    bool shorter = false;

    for (uint32_t from = 0; from < trial.steps; from += size) {
        bool before[STEPS], changes = false;

        memcpy(before, trial.skip, sizeof before);
        for (uint32_t i = from; i < from + size && i < trial.steps; i++) {
            changes = changes || !trial.skip[i];
            trial.skip[i] = true;
        }
        if (!changes) continue;
        if (still_fails())
            shorter = true;
        else
            memcpy(trial.skip, before, sizeof before);
    }
    return shorter;
}

static uint32_t shorten(void)
{
    uint32_t left = 0;

    for (uint32_t size = STEPS / 2; size > 0; size /= 2)
        (void)leave_out(size);
    while (leave_out(1)) {
    }
    for (uint32_t i = 0; i < trial.steps; i++)
        left += !trial.skip[i];
    return left;
}

/* true: it fails. */
static bool explain(uint64_t seed)
{
    trial.seed = seed;
    trial.steps = STEPS;
    memset(trial.skip, 0, sizeof trial.skip);
    trial.print = false;
    if (!still_fails()) {
        fprintf(stderr, "EVB_SEED=0x%llx: it does not fail alone\n", (unsigned long long)seed);
        return false;
    }
    fprintf(stderr, "EVB_SEED=0x%llx, made shorter: %u operations\n", (unsigned long long)seed, shorten());
    trial.print = true;
    (void)evb_test_in_child(try_it, NULL);
    return true;
}

/* ---- rounds ---- */

static uint64_t running;

/* A crash tells its seed; EVB_SEED then tells the rest. */
static void crashed(int number)
{
    char text[80];
    int size = snprintf(text, sizeof text, "\nsignal %d in the round EVB_SEED=0x%llx\n", number,
                        (unsigned long long)running);

    (void)!write(STDERR_FILENO, text, (size_t)size);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void say_what_was_done(void)
{
    printf("%llu rounds, %llu operations (%llu in callbacks), %llu steps: %llu published, %llu "
           "refused, %llu handled, "
           "%llu pulled, %llu taken, %llu dead, %llu redriven, %llu lapsed, %llu expired, %llu "
           "stopped, %llu skipped, %llu dropped, %llu conflated, %llu released, "
           "%llu stale, %llu duplicates, %llu retained\n",
           (unsigned long long)w.total.rounds, (unsigned long long)w.total.operations,
           (unsigned long long)w.total.nested, (unsigned long long)w.total.steps,
           (unsigned long long)w.total.published, (unsigned long long)w.total.refused,
           (unsigned long long)w.total.handled, (unsigned long long)w.total.pulled,
           (unsigned long long)w.total.taken, (unsigned long long)w.total.dead,
           (unsigned long long)w.total.redriven, (unsigned long long)w.total.lapsed,
           (unsigned long long)w.total.expired, (unsigned long long)w.total.stopped,
           (unsigned long long)w.total.skipped, (unsigned long long)w.total.dropped,
           (unsigned long long)w.total.conflated, (unsigned long long)w.total.released,
           (unsigned long long)w.total.stale, (unsigned long long)w.total.duplicates,
           (unsigned long long)w.total.retained);
}

/* A model that does nothing agrees with everything. */
static void check_that_it_works(uint64_t rounds)
{
    CHECK(w.total.published > 20 * rounds);
    CHECK(w.total.nested > 10 * rounds);
    CHECK(w.total.handled > 5 * rounds);
    CHECK(w.total.pulled > rounds && w.total.taken > rounds / 2);
    CHECK(w.total.refused > rounds && w.total.dropped > rounds / 2 && w.total.conflated > rounds / 4);
    CHECK(w.total.dead > rounds && w.total.redriven > rounds / 4);
    CHECK(w.total.released > rounds / 2 && w.total.lapsed > rounds / 4 && w.total.stale > rounds / 2);
    CHECK(w.total.expired > rounds / 2 && w.total.stopped > rounds / 8 && w.total.skipped >= rounds / 400);
    CHECK(w.total.duplicates > rounds && w.total.retained > rounds / 4);
}

TEST(random_programs_of_queues_agree_with_the_model)
{
    const char *one = getenv("EVB_SEED"), *many = getenv("EVB_ROUNDS");
    uint64_t rounds = getenv("EVB_TEST_LONG") != NULL ? ROUNDS_LONG : ROUNDS, wrongs = 0;
    bool brief = getenv("EVB_SHORTEN") != NULL && strcmp(getenv("EVB_SHORTEN"), "0") == 0;
    uint32_t done;

    if (many != NULL) rounds = strtoull(many, NULL, 0);
    if (one != NULL) {
        rounds = 1;
        wrongs = explain(strtoull(one, NULL, 0));
    }
    (void)signal(SIGSEGV, crashed);
    (void)signal(SIGABRT, crashed);
    for (uint64_t r = 0; r < rounds && wrongs == 0; r++) {
        running = one != NULL ? strtoull(one, NULL, 0) : evb__rng_next(evb_test_rng());
        if (run_round(running, STEPS, NULL, &done)) continue;
        fprintf(stderr, "round EVB_SEED=0x%llx, operation %u: %s\n", (unsigned long long)running, done,
                what_differs());
        if (!brief) (void)explain(running);
        wrongs++;
    }
    (void)signal(SIGSEGV, SIG_DFL);
    (void)signal(SIGABRT, SIG_DFL);
    say_what_was_done();
    EQ(wrongs, 0);
    if (rounds >= 100) check_that_it_works(rounds);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_of_queues_agree_with_the_model),
    };
    return EVB_TEST_MAIN("queue_model", tests, argc, argv);
}
