/* SPDX-License-Identifier: MIT */
/* A power cut after every call that the store makes, with everything that it may leave: what was
 * acknowledged is there, what was begun is there whole or not at all, nothing else is, and it goes
 * on.
 */
#include "evb_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/platform.h"
#include "fault_fs.h"
#include "store_kit.h"

enum { ACKED, BEGUN }; /* appends */

struct life {
    evb_store_opts opts;
    uint32_t appends, sessions; /* the store is closed and opened again that many times */
    bool sync;                  /* after each append */
};

static evb_store *open_at(const evb_store_opts *opts)
{
    evb_store *store = NULL;

    OK(evb_store_open("/d", opts, &store));
    return store;
}

static void live(struct fault_fs *fs, void *arg)
{
    const struct life *life = arg;
    uint32_t j = 0;

    for (uint32_t session = 1; session <= life->sessions; session++) {
        evb_store *store = open_at(&life->opts);

        for (; j < life->appends * session / life->sessions; j++) {
            fault_fs_note(fs, BEGUN, j + 1);
            OK(store_kit_append(store, j, true));
            if (life->sync) OK(evb_store_sync(store));
            if (life->sync || life->opts.sync <= EVB_SYNC_EACH) fault_fs_note(fs, ACKED, j + 1);
        }
        OK(evb_store_close(store));
        fault_fs_note(fs, ACKED, j);
    }
}

/* The last complaint of the library goes into the text of a failure. */
static char complaint[400];

static void keep_complaint(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)name;
    (void)user;
    (void)snprintf(complaint, sizeof complaint, "%s", line);
}

/* What is in the image, compared with what was promised. */
static const char *look(const struct fault_fs_point *at, const evb_store_opts *opts, uint32_t more,
                        uint32_t *ret_end)
{
    evb_store *store;
    const char *what;
    uint32_t first = 0; /* append that is kept */
    int32_t rc = evb_store_open("/d", opts, &store);

    if (rc != EVB_OK) return fault_fs_wrong("open answers %s, %s", evb_err_name(rc), complaint);
    while (store_kit_position(first) < evb_store_first_position(store))
        first++;
    what = store_kit_check(store, first, ret_end);
    if (what == NULL && *ret_end < fault_fs_noted(at, ACKED))
        what = fault_fs_wrong("%u appends of %u that were acknowledged", *ret_end,
                              (unsigned)fault_fs_noted(at, ACKED));
    if (what == NULL && *ret_end > fault_fs_noted(at, BEGUN) + more)
        what = fault_fs_wrong("more than was begun");
    for (uint32_t i = 0; i < 3 && what == NULL; i++) {
        rc = store_kit_append(store, *ret_end + i, true);
        if (rc != EVB_OK) what = fault_fs_wrong("the next append answers %s", evb_err_name(rc));
    }
    rc = evb_store_close(store);
    if (what == NULL && rc != EVB_OK) what = fault_fs_wrong("close answers %s", evb_err_name(rc));
    return what;
}

static const char *check(struct fault_fs *image, const struct fault_fs_point *at, void *arg)
{
    const struct life *life = arg;
    uint32_t end, again;
    const char *what = NULL;
    int32_t verified = evb_store_verify("/d", NULL); /* no power cut is damage */

    if (verified != EVB_OK && verified != EVB_ENOTFOUND)
        what = fault_fs_wrong("verify answers %s", evb_err_name(verified));
    if (what == NULL) what = look(at, &life->opts, 0, &end);
    if (what == NULL) what = look(at, &life->opts, 3, &again);
    if (what == NULL && again != end + 3)
        what = fault_fs_wrong("%u appends, then %u more, then %u", end, 3u, again);
    if (what == NULL && fault_fs_open_files(image) != 0) what = "descriptors are left";
    if (what == NULL && fault_fs_misuses(image) != 0) what = "a descriptor that is none was used";
    return what;
}

static void recover(struct fault_fs *image, void *arg)
{
    const struct life *life = arg;
    evb_store *store;

    (void)image;
    if (evb_store_open("/d", &life->opts, &store) == EVB_OK) (void)evb_store_close(store);
}

static void drive_cuts(struct life *life, void (*script)(struct fault_fs *fs, void *arg), uint32_t images,
                       uint32_t images2, uint64_t at_least)
{
    struct fault_fs_drive drive = {.script = script,
                                   .check = check,
                                   .recover = images2 != 0 ? recover : NULL,
                                   .arg = life,
                                   .seed = evb_test_seed(),
                                   .images = images,
                                   .images2 = images2,
                                   .every2 = 5};
    struct fault_fs_verdict verdict;

    if (EVB__TSAN) { /* one thread only: a look at each point will do */
        drive.images = 2;
        drive.images2 = images2 != 0;
        at_least /= 30;
    } else if (getenv("EVB_TEST_LONG") != NULL) {
        drive.images *= 10;
        at_least *= 10;
    }
    evb_set_log(keep_complaint, NULL, EVB_LOG_ERROR);
    verdict = fault_fs_each_crash_point(&drive);
    evb_set_log(NULL, NULL, EVB_LOG_WARN);
    printf("%u images, %u of two cuts\n", (unsigned)verdict.images, (unsigned)verdict.images2);
    EQ(verdict.violations, 0);
    CHECK(verdict.images + verdict.images2 >= at_least);
}

static void cut_power(struct life *life, uint32_t images, uint32_t images2, uint64_t at_least)
{
    drive_cuts(life, live, images, images2, at_least);
}

TEST(a_power_cut_after_any_call_loses_nothing_that_was_acknowledged)
{
    cut_power(&(struct life){.opts = {.segment_bytes = 16384}, .appends = 60, .sessions = 1}, 50, 0, 5000);
}

TEST(a_power_cut_while_the_store_recovers_from_one_loses_nothing_either)
{
    cut_power(&(struct life){.opts = {.segment_bytes = 16384}, .appends = 30, .sessions = 2}, 8, 5, 5000);
}

/* Behind the header of the only segment stands what a torn first frame leaves. */
static void begin_anew(struct fault_fs *fs, void *arg)
{
    const struct life *life = arg;
    const struct evb__files *files = evb__files();
    uint8_t noise[4096];
    int32_t fd;

    (void)fs;
    OK(evb_store_close(open_at(&life->opts)));
    memset(noise, 0x5A, sizeof noise);
    fd = files->open("/d/seg/00000000000000000001.seg", EVB__FILE_READ | EVB__FILE_WRITE, files->arg);
    CHECK(fd >= 0);
    OK(evb__pwrite_full(fd, noise, sizeof noise, 4096));
    OK(files->datasync(fd, files->arg));
    OK(files->close(fd, files->arg));
    OK(evb_store_close(open_at(&life->opts)));
}

TEST(a_segment_without_an_event_that_is_begun_anew_is_lost_at_no_moment_of_it)
{
    drive_cuts(&(struct life){.opts = {.segment_bytes = 16384}}, begin_anew, 200, 0, 1000);
}

TEST(with_the_level_os_a_power_cut_leaves_a_beginning_at_least_up_to_the_last_sync)
{
    cut_power(
        &(struct life){.opts = {.segment_bytes = 16384, .sync = EVB_SYNC_OS}, .appends = 60, .sessions = 2},
        6, 0, 500);
}

TEST(a_power_cut_while_old_segments_are_dropped_loses_no_other)
{
    cut_power(&(struct life){.opts = {.segment_bytes = 16384, .sync = EVB_SYNC_OS, .retain_bytes = 30000},
                             .appends = 260,
                             .sessions = 2},
              6, 0, 1000);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_power_cut_after_any_call_loses_nothing_that_was_acknowledged,
                                  fault_fs_after),
        cmocka_unit_test_teardown(a_power_cut_while_the_store_recovers_from_one_loses_nothing_either,
                                  fault_fs_after),
        cmocka_unit_test_teardown(a_segment_without_an_event_that_is_begun_anew_is_lost_at_no_moment_of_it,
                                  fault_fs_after),
        cmocka_unit_test_teardown(
            with_the_level_os_a_power_cut_leaves_a_beginning_at_least_up_to_the_last_sync, fault_fs_after),
        cmocka_unit_test_teardown(a_power_cut_while_old_segments_are_dropped_loses_no_other, fault_fs_after),
    };

    return EVB_TEST_MAIN("store_crash", tests, argc, argv);
}
