/* SPDX-License-Identifier: MIT */
/* The explorer as a test program: one test a shape, output and exit codes as tests/run.sh wants them. */
#include "explore.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RANDOM_DEFAULT = 20000 };

struct options {
    const char *filter, *replay;
    int preemptions; /* INT32_MIN = as the shape says */
    uint64_t executions, seed;
    bool list, schedule, seeded;
    const char *only; /* dfs, random, pct; NULL = all */
};

static const char usage[] =
    "usage: %s [FILTER] [options]    FILTER chooses shapes by name (* and ?)\n"
    "  --list           names of the shapes\n"
    "  --mode=M         dfs, random or pct only\n"
    "  --preemptions=N  bound of the depth-first search (-1: none)\n"
    "  --executions=N   stop after N\n"
    "  --seed=N         of the random walks\n"
    "  --schedule       print the schedule of a failing execution even where a bug is expected\n"
    "  --replay=STRING  run one execution again and print it; FILTER must name one shape\n"
    "  --seeded         the source has a seeded bug: pass if and only if one of the chosen shapes finds a "
    "bug\n";

static double now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.filter = "*", .preemptions = INT32_MIN, .seed = 1};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = strchr(a, '=');

        value = value != NULL ? value + 1 : "";
        if (strcmp(a, "--list") == 0)
            o->list = true;
        else if (strcmp(a, "--schedule") == 0)
            o->schedule = true;
        else if (strcmp(a, "--seeded") == 0)
            o->seeded = true;
        else if (strncmp(a, "--mode=", 7) == 0)
            o->only = value;
        else if (strncmp(a, "--preemptions=", 14) == 0)
            o->preemptions = atoi(value);
        else if (strncmp(a, "--executions=", 13) == 0)
            o->executions = strtoull(value, NULL, 0);
        else if (strncmp(a, "--seed=", 7) == 0)
            o->seed = strtoull(value, NULL, 0);
        else if (strncmp(a, "--replay=", 9) == 0)
            o->replay = value;
        else if (a[0] != '-')
            o->filter = a;
        else
            return false;
    }
    return true;
}

/* Prints the schedule of a replay string. */
static void show(const struct explore_shape *shape, const char *replay)
{
    struct explore_how how = {.mode = EXPLORE_REPLAY, .replay = replay, .schedule = stdout};
    struct explore_result result;

    explore_run(shape, &how, &result);
    free(result.replay);
}

static void say(const struct explore_how *how, const struct explore_result *r, double seconds)
{
    static const char *const mode[] = {"dfs", "random", "pct", "replay"};
    char bound[32] = "";

    if (how->mode == EXPLORE_DFS) (void)snprintf(bound, sizeof bound, " %d preemptions,", how->preemptions);
    if (how->mode == EXPLORE_RANDOM || how->mode == EXPLORE_PCT)
        (void)snprintf(bound, sizeof bound, " seed %llu,", (unsigned long long)how->seed);
    printf("    %-6s %-10s%s %llu executions%s%s, %.2f s, %.0f k/s\n", mode[how->mode],
           how->asymmetric ? "membarrier" : "seq_cst", bound, (unsigned long long)r->executions,
           r->complete ? ", complete" : "", r->bug[0] != '\0' ? ", then a bug" : "", seconds,
           seconds > 0 ? (double)r->executions / seconds / 1000 : 0.0);
    if (r->bug[0] != '\0') printf("    %s\n    --replay=%s\n", r->bug, r->replay != NULL ? r->replay : "");
}

static void run(const struct explore_shape *shape, const struct explore_how *how,
                struct explore_result *ret_result)
{
    double began = now();

    explore_run(shape, how, ret_result);
    say(how, ret_result, now() - began);
}

/* A bug nobody wanted: the schedule with the fewest preemptions that shows it says most. */
static void explain(const struct explore_shape *shape, const struct explore_how *how,
                    const struct explore_result *found)
{
    for (int bound = 0; how->mode == EXPLORE_DFS && bound < how->preemptions; bound++) {
        struct explore_how less = *how;
        struct explore_result r;

        less.preemptions = bound;
        explore_run(shape, &less, &r);
        if (r.bug[0] != '\0') {
            printf("    with %d preemptions: %s\n    --replay=%s\n", bound, r.bug, r.replay);
            show(shape, r.replay);
            free(r.replay);
            return;
        }
    }
    if (found->replay != NULL) show(shape, found->replay);
}

/* Every outcome that the shape demands must have been seen in one of the searches of this back end. */
static bool covered(const struct explore_shape *shape, uint32_t seen)
{
    bool all = true;

    for (unsigned i = 0; i < EXPLORE_COVERS && shape->covers[i] != NULL; i++) {
        if (seen >> i & 1) continue;
        printf("    never happened: %s\n", shape->covers[i]);
        all = false;
    }
    return all;
}

/* A bug is expected: the depth-first search must find it. */
static bool judge_bug(const struct explore_shape *shape, const struct explore_how *how,
                      const struct explore_result *r, const struct options *o)
{
    const char *text = shape->bug != NULL ? shape->bug : "";

    (void)how;
    if (o->schedule && r->replay != NULL) show(shape, r->replay);
    if (strncmp(r->bug, "explorer:", 9) == 0) return false;
    if (r->bug[0] != '\0' && strstr(r->bug, text) != NULL) return true;
    printf("    expected a bug%s%s\n", *text != '\0' ? ": " : "", text);
    return false;
}

static bool judge_pass(const struct explore_shape *shape, const struct explore_how *how,
                       const struct explore_result *r)
{
    if (r->bug[0] != '\0') {
        explain(shape, how, r);
        return false;
    }
    if (how->mode != EXPLORE_DFS) return r->executions != 0;
    /* A pass says something only if the search was one. */
    if (r->executions == 0 || (!r->complete && r->executions < EXPLORE_ENOUGH)) {
        printf("    too few executions: neither complete nor %u\n", EXPLORE_ENOUGH);
        return false;
    }
    return true;
}

static bool one_back_end(const struct explore_shape *shape, const struct options *o, bool asymmetric,
                         uint64_t *executions)
{
    bool expect_bug = shape->bug != NULL, ok = true;
    uint64_t random = shape->random == UINT64_MAX ? 0 : shape->random == 0 ? RANDOM_DEFAULT : shape->random;
    static const char *const name[] = {"dfs", "random", "pct"};
    uint32_t seen = 0;

    for (int mode = EXPLORE_DFS; mode <= EXPLORE_PCT && ok; mode++) {
        struct explore_how how;
        struct explore_result r;

        explore_how_default(shape, &how);
        how.mode = (enum explore_mode)mode;
        how.asymmetric = asymmetric;
        how.seed = o->seed;
        if (mode != EXPLORE_DFS) {
            how.preemptions = how.stale_reads = -1;
            how.executions = random / 2;
        } else if (o->preemptions != INT32_MIN) {
            how.preemptions = o->preemptions;
        }
        if (o->executions != 0) how.executions = o->executions;
        if (o->only != NULL ? strcmp(o->only, name[mode]) != 0
                            : mode != EXPLORE_DFS && (expect_bug || random == 0))
            continue;
        run(shape, &how, &r);
        ok = expect_bug ? judge_bug(shape, &how, &r, o) : judge_pass(shape, &how, &r);
        seen |= r.covered;
        *executions += r.executions;
        free(r.replay);
    }
    if (ok && !expect_bug && o->only == NULL) ok = covered(shape, seen);
    return ok;
}

static bool test(const struct explore_shape *shape, const struct options *o, uint64_t *executions)
{
    bool ok = true;

    printf("[ RUN      ] %s\n", shape->name);
    if (shape->barrier != EXPLORE_MEMBARRIER) ok = one_back_end(shape, o, false, executions);
    if (shape->barrier != EXPLORE_SEQ_CST) ok = one_back_end(shape, o, true, executions) && ok;
    printf("[  %s ] %s\n", ok ? "     OK" : "FAILED ", shape->name);
    return ok;
}

/* The source has a seeded bug; true: this shape finds it, in one back end or the other, depth first or at
 * random. */
static bool finds_seeded(const struct explore_shape *shape, const struct options *o)
{
    for (int i = 0; i < 6; i++) {
        bool asymmetric = i % 2 != 0;
        struct explore_how how;
        struct explore_result r;
        bool found;

        if (shape->barrier == (asymmetric ? EXPLORE_SEQ_CST : EXPLORE_MEMBARRIER)) continue;
        explore_how_default(shape, &how);
        how.mode = (enum explore_mode)(i / 2);
        how.asymmetric = asymmetric;
        how.seed = o->seed;
        if (how.executions == 0 || how.executions > EXPLORE_ENOUGH) how.executions = EXPLORE_ENOUGH;
        if (how.mode != EXPLORE_DFS) how.preemptions = how.stale_reads = -1;
        run(shape, &how, &r);
        found = r.bug[0] != '\0' && strncmp(r.bug, "explorer:", 9) != 0;
        if (found) {
            printf("BUG FOUND by %s: %s\n", shape->name, r.bug);
            if (o->schedule) show(shape, r.replay);
        }
        free(r.replay);
        if (found) return true;
    }
    return false;
}

static int seeded(const struct explore_shape *shapes, size_t count, const struct options *o)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(o->filter, shapes[i].name, 0) == 0 && finds_seeded(&shapes[i], o)) return 0;
    printf("no bug found\n");
    return 1;
}

int explore_main(int argc, char **argv, const struct explore_shape *shapes, size_t count)
{
    struct options o;
    unsigned passed = 0, failed = 0;
    uint64_t executions = 0;
    double began = now();

    if (!parse(argc, argv, &o)) {
        (void)fprintf(stderr, usage, argv[0]);
        return 2;
    }
    if (o.seeded) return seeded(shapes, count, &o);
    for (size_t i = 0; i < count; i++) {
        if (fnmatch(o.filter, shapes[i].name, 0) != 0) continue;
        if (o.list) {
            puts(shapes[i].name);
            passed++;
        } else if (o.replay != NULL) {
            show(&shapes[i], o.replay);
            return 0;
        } else if (test(&shapes[i], &o, &executions)) {
            passed++;
        } else {
            failed++;
        }
        (void)fflush(stdout);
    }
    if (o.list) return passed != 0 ? 0 : 1;
    printf("%llu executions in %.1f s\n", (unsigned long long)executions, now() - began);
    printf("[  PASSED  ] %u test(s).\n", passed);
    if (failed != 0) printf("[  FAILED  ] %u test(s).\n", failed);
    return passed != 0 && failed == 0 ? 0 : 1;
}
