/* SPDX-License-Identifier: MIT */
/* kill -9, again and again on one directory: a process appends with one to four threads at a level that
 * loses nothing when a process dies; this one hears through a pipe what it begins and what it is promised,
 * kills it at a random moment, opens what is left and compares. The process is this binary again.
 *
 * EVB_TEST_SEED repeats the choices; when the signal comes is the scheduler's choice.
 */
#include "evb_test.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "store_kit.h"
#include "store_oracle.h"

#define NOTES_FD 3
#define SEGMENT  16384u

static const char *self_path; /* argv[0] */

/* What the process that appends is told, through its standard input. */
struct orders {
    uint32_t sync, writers;
    uint64_t seed;
    struct oracle_plan plans[ORACLE_WRITERS];
};

/* ---- the process that appends ---- */

static struct orders orders;
static evb_store *store;

static void note(const struct oracle_note *what)
{
    if (write(NOTES_FD, what, sizeof *what) != (ssize_t)sizeof *what) _exit(3);
}

static void must(int32_t rc, const char *what)
{
    if (rc >= 0) return;
    fprintf(stderr, "in the process that appends, %s answers %s\n", what, evb_err_name(rc));
    _exit(2);
}

/* Answers the version of the stream after it. */
static int64_t append_one(uint32_t writer, uint32_t seq, const char *stream, int64_t expected)
{
    struct oracle_bytes bytes[ORACLE_RECORDS];
    evb_record records[ORACLE_RECORDS];
    evb_append_result result = {.struct_size = sizeof result};
    uint32_t n = oracle_count(writer, seq);
    int32_t rc;

    for (uint32_t i = 0; i < n; i++)
        oracle_record(writer, seq, i, &bytes[i], &records[i]);
    note(&(struct oracle_note){.what = ORACLE_BEGUN, .writer = writer, .seq = seq, .expected = expected});
    rc = evb_store_append(store, stream, expected, records, n, &result);
    if (rc == EVB_ECONFLICT) {
        note(&(struct oracle_note){.what = ORACLE_REFUSED, .writer = writer, .seq = seq});
        return result.version;
    }
    must(rc, "append");
    note(&(struct oracle_note){.what = ORACLE_ACKED,
                               .writer = writer,
                               .seq = seq,
                               .duplicate = (result.flags & EVB_APPEND_DUPLICATE) != 0,
                               .version = result.version,
                               .position = result.position});
    return result.version;
}

static void save_snapshot(uint32_t writer, int64_t version)
{
    char state[64];
    size_t size = oracle_state(writer, version, state, sizeof state);

    note(&(struct oracle_note){.what = ORACLE_SNAP, .writer = writer, .version = version});
    must(evb_snapshot_save(store, oracle_own(writer), version, 1, state, size), "snapshot_save");
    note(&(struct oracle_note){.what = ORACLE_SNAPPED, .writer = writer, .version = version});
}

static void trim(void)
{
    uint64_t last = evb_store_last_position(store), before = last > 300 ? last - 300 : 1;

    note(&(struct oracle_note){.what = ORACLE_TRIM, .position = before});
    must(evb_store_trim(store, before), "trim");
    note(&(struct oracle_note){.what = ORACLE_TRIMMED, .position = evb_store_first_position(store)});
}

static void write_on(uint32_t writer, void *arg)
{
    struct oracle_plan *plan = &orders.plans[writer];
    struct evb__rng rng;

    (void)arg;
    evb__rng_init(&rng, orders.seed + writer);
    for (;; plan->seq++, plan->again = false) {
        bool shared = oracle_is_shared(writer, plan->seq);
        uint64_t dice = evb__rng_below(&rng, 100);

        if (!shared) {
            int64_t version = append_one(writer, plan->seq, oracle_own(writer), plan->version);

            plan->version = version;
        } else {
            int64_t expected = dice < 50 ? EVB_ANY_VERSION : evb_store_version(store, ORACLE_SHARED);

            (void)append_one(writer, plan->seq, ORACLE_SHARED, plan->again ? plan->expected : expected);
        }
        if (dice < 3 && plan->version > 0) save_snapshot(writer, plan->version);
        if (dice == 99 && writer == 0) trim();
    }
}

static int work(const char *dir)
{
    evb_store_opts opts = {.segment_bytes = SEGMENT};

    if (read(STDIN_FILENO, &orders, sizeof orders) != (ssize_t)sizeof orders) return 4;
    opts.sync = orders.sync;
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    note(&(struct oracle_note){.what = ORACLE_OPENING});
    must(evb_store_open(dir, &opts, &store), "open");
    note(&(struct oracle_note){.what = ORACLE_OPENED});
    evb_test_run_threads(orders.writers, write_on, NULL);
    return 0;
}

/* ---- the one that kills ---- */

struct worker {
    pid_t pid;
    int notes;
};

static struct worker start(const struct orders *o)
{
    int notes[2], in[2];
    struct worker worker = {.notes = -1};

    CHECK(pipe(notes) == 0 && pipe(in) == 0);
    CHECK(write(in[1], o, sizeof *o) == (ssize_t)sizeof *o); /* less than a pipe holds */
    (void)fflush(NULL);
    worker.pid = fork();
    CHECK(worker.pid >= 0);
    if (worker.pid == 0) {
        /* Neither descriptor is the other's number: both were made after 0 to 2. */
        if (dup2(in[0], STDIN_FILENO) < 0) _exit(127);
        if (notes[1] != NOTES_FD && dup2(notes[1], NOTES_FD) < 0) _exit(127);
        for (int fd = NOTES_FD + 1; fd < 64; fd++)
            (void)close(fd);
        (void)execl(self_path, self_path, "--append", store_kit_dir(), (char *)NULL);
        _exit(127);
    }
    (void)close(notes[1]);
    (void)close(in[0]);
    (void)close(in[1]);
    worker.notes = notes[0];
    return worker;
}

/* false: the other end is closed. */
static bool next_note(int fd, struct oracle_note *ret)
{
    size_t have = 0;

    while (have < sizeof *ret) {
        ssize_t got = read(fd, (char *)ret + have, sizeof *ret - have);

        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        have += (size_t)got;
    }
    return true;
}

/* Not to wait for anything: the moment of the signal is to be any. */
static void waste(uint64_t ns)
{
    struct timespec t = {.tv_nsec = (long)ns};

    (void)nanosleep(&t, NULL);
}

/* Hears `notes` notes after the store was opened, or none at all if early, waits a little, kills, and hears
 * the rest. NULL or what is wrong. */
static const char *one_life(struct oracle *oracle, const struct orders *o, uint64_t notes, bool early)
{
    struct evb__rng *rng = evb_test_rng();
    struct worker worker = start(o);
    struct oracle_note heard;
    const char *what = NULL;
    bool open = false;
    int status = 0;

    while (what == NULL && notes > 0 && next_note(worker.notes, &heard)) {
        what = oracle_hear(oracle, &heard);
        if (heard.what == ORACLE_OPENED) open = true;
        if (early && heard.what == ORACLE_OPENING) break;
        if (open) notes--;
    }
    waste(evb__rng_below(rng, early ? 3000000 : 400000));
    CHECK(kill(worker.pid, SIGKILL) == 0);
    while (what == NULL && next_note(worker.notes, &heard))
        what = oracle_hear(oracle, &heard);
    while (waitpid(worker.pid, &status, 0) < 0 && errno == EINTR) {
    }
    (void)close(worker.notes);
    if (what == NULL && !WIFSIGNALED(status)) what = "it ended by itself";
    return what;
}

/* The store as the dead process left it, looked at in each of the ways there are. */
static const char *look(struct oracle *oracle)
{
    static char text[300];
    evb_store_opts opts = {.segment_bytes = SEGMENT};
    evb_verify_report report = {.struct_size = sizeof report};
    const char *what;
    evb_store *found;
    int32_t rc = evb_store_verify(store_kit_dir(), &report);

    /* EVB_ENOTFOUND: killed before there was a store. */
    if (rc != EVB_OK && rc != EVB_ENOTFOUND) {
        (void)snprintf(text, sizeof text, "verify answers %s: %s at %" PRIu64, evb_err_name(rc),
                       report.segment, report.offset);
        return text;
    }
    rc = evb_store_open(store_kit_dir(), &opts, &found);
    if (rc != EVB_OK) {
        (void)snprintf(text, sizeof text, "open answers %s", evb_err_name(rc));
        return text;
    }
    what = oracle_check(oracle, found);
    rc = evb_store_close(found);
    return what == NULL && rc != EVB_OK ? "close fails" : what;
}

static void lives(struct oracle *oracle, uint32_t rounds)
{
    static const uint32_t levels[] = {EVB_SYNC_GROUP, EVB_SYNC_OS, EVB_SYNC_EACH, EVB_SYNC_OS};
    struct evb__rng *rng = evb_test_rng();

    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    for (uint32_t round = 0; round < rounds; round++) {
        struct orders o;
        uint64_t notes = 1 + evb__rng_below(rng, 600);
        bool early = evb__rng_below(rng, 6) == 0;
        const char *what;

        memset(&o, 0, sizeof o);
        o.sync = levels[evb__rng_below(rng, 4)];
        o.writers = 1 + (uint32_t)evb__rng_below(rng, ORACLE_WRITERS);
        o.seed = evb__rng_next(rng);
        for (uint32_t w = 0; w < ORACLE_WRITERS; w++)
            o.plans[w] = oracle_plan(oracle, w);
        what = one_life(oracle, &o, notes, early);
        if (what == NULL) what = look(oracle);
        if (what != NULL)
            evb_test_fail(__FILE__, __LINE__, "round %u, level %u, %u writers, seed %" PRIu64 ": %s", round,
                          (unsigned)o.sync, (unsigned)o.writers, evb_test_seed(), what);
    }
}

TEST(killed_at_any_moment_a_process_leaves_all_that_was_acknowledged_and_no_half_of_anything)
{
    struct oracle *oracle = oracle_new();
    uint32_t rounds = getenv("EVB_TEST_LONG") != NULL ? 300 : 25;
    struct oracle_totals t;

    lives(oracle, rounds);
    t = oracle_totals(oracle);
    printf("%u rounds, seed %" PRIu64 ": %" PRIu64 " acknowledged, %" PRIu64 " in flight and there, %" PRIu64
           " in flight and not, %" PRIu64 " asked again and known, %" PRIu64 " refused, %" PRIu64
           " snapshots, %" PRIu64 " trims\n",
           rounds, evb_test_seed(), t.acked, t.kept, t.vanished, t.again, t.refused, t.snapshots, t.trims);
    CHECK(t.acked > rounds);
    oracle_free(oracle);
}

/* ---- it is not blind ---- */

static struct oracle_note note_of(uint32_t what, uint32_t seq, uint64_t position, int64_t version)
{
    return (struct oracle_note){.what = what,
                                .writer = 3,
                                .seq = seq,
                                .expected = EVB_ANY_VERSION,
                                .version = version,
                                .position = position};
}

TEST(a_promise_that_is_not_kept_is_found_out)
{
    struct oracle *oracle = oracle_new();
    struct oracle_plan plan;
    struct oracle_note begun, acked;

    lives(oracle, 2);
    EQ_PTR(look(oracle), NULL);
    plan = oracle_plan(oracle, 3);
    begun = note_of(ORACLE_BEGUN, plan.seq, 0, 0);
    acked = note_of(ORACLE_ACKED, plan.seq, 1000000, 1000000);
    EQ_PTR(oracle_hear(oracle, &begun), NULL);
    EQ_PTR(oracle_hear(oracle, &acked), NULL);
    CHECK(look(oracle) != NULL);
    oracle_free(oracle);
}

TEST(what_nobody_began_is_found_out)
{
    struct oracle *oracle = oracle_new(), *deaf = oracle_new();

    lives(oracle, 3);
    EQ_PTR(look(oracle), NULL);
    CHECK(oracle_totals(oracle).acked > 0);
    CHECK(look(deaf) != NULL);
    oracle_free(deaf);
    oracle_free(oracle);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, store_kit_setup, store_kit_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(killed_at_any_moment_a_process_leaves_all_that_was_acknowledged_and_no_half_of_anything),
        EACH(a_promise_that_is_not_kept_is_found_out),
        EACH(what_nobody_began_is_found_out),
    };

    self_path = argv[0];
    if (argc > 2 && strcmp(argv[1], "--append") == 0) return work(argv[2]);
    return EVB_TEST_MAIN("store_kill", tests, argc, argv);
}
