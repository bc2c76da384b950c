/* SPDX-License-Identifier: MIT */
/* A power cut after every call of a salvage: another salvage finishes it, and every record that was good
 * is still there. The same around trims.
 */
#include "evb_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/platform.h"
#include "fault_fs.h"
#include "store_kit.h"

enum { ACKED, BEGUN, DAMAGED, SALVAGED, TRIMMED };

static const evb_store_opts small = {.segment_bytes = 16384};

static evb_store *open_at(const evb_store_opts *opts)
{
    evb_store *store = NULL;

    OK(evb_store_open("/d", opts, &store));
    return store;
}

/* ---- salvage ---- */

struct wound {
    const char *path; /* NULL: the segment in the middle */
    uint64_t offset;
    uint32_t size;
    uint64_t good; /* records that a salvage without a power cut keeps */
};

static char middle[64]; /* path of the second segment */

static int32_t note_middle(const char *name, void *user)
{
    uint64_t base = strtoull(name, NULL, 10), *lowest = user;

    if (strstr(name, ".seg") == NULL || strlen(name) != 24 || base == 1 || base > *lowest) return 0;
    *lowest = base;
    (void)snprintf(middle, sizeof middle, "/d/seg/%s", name);
    return 0;
}

/* Through the disk's own calls, so that it is on the medium of every image from there on. */
static void hurt(const struct wound *wound)
{
    const struct evb__files *files = evb__files();
    const char *path = wound->path != NULL ? wound->path : middle;
    uint8_t noise[4096];
    int32_t fd = files->open(path, EVB__FILE_READ | EVB__FILE_WRITE, files->arg);

    CHECK(fd >= 0);
    memset(noise, 0x5A, sizeof noise);
    OK(evb__pwrite_full(fd, noise, wound->size, wound->offset));
    OK(files->datasync(fd, files->arg));
    OK(files->close(fd, files->arg));
}

static void make_and_hurt(const struct wound *wound)
{
    evb_store *store = open_at(&small);
    uint64_t lowest = UINT64_MAX;

    for (uint32_t j = 0; j < 90; j++)
        OK(store_kit_append(store, j, true));
    OK(evb_store_close(store));
    OK(evb__files()->list("/d/seg", note_middle, &lowest, evb__files()->arg));
    hurt(wound);
    FAILS(evb_store_verify("/d", NULL), EVB_ECORRUPT);
}

static void hurt_and_salvage(struct fault_fs *fs, void *arg)
{
    const struct wound *wound = arg;
    evb_verify_report report = {.struct_size = sizeof report};

    make_and_hurt(wound);
    fault_fs_note(fs, DAMAGED, 1);
    OK(evb_store_salvage("/d", &report));
    fault_fs_note(fs, SALVAGED, 1);
}

/* Every record is one of the history, in order; how many. */
static const char *count_records(uint64_t *ret)
{
    uint64_t next = 1;
    evb_reader *reader;
    evb_record record;
    evb_store *store;
    const char *what = NULL;
    int32_t rc = evb_store_open("/d", &small, &store);

    *ret = 0;
    if (rc != EVB_OK) return fault_fs_wrong("open answers %s", evb_err_name(rc));
    OK(evb_store_read(store, NULL, &reader));
    while (what == NULL && (rc = evb_reader_next(reader, 0, &record)) == EVB_OK) {
        what = record.position < next ? "out of order" : store_kit_is(&record);
        next = record.position + 1;
        ++*ret;
    }
    if (what == NULL && rc != EVB_EEMPTY) what = fault_fs_wrong("next answers %s", evb_err_name(rc));
    evb_reader_close(reader);
    rc = evb_store_close(store);
    return what == NULL && rc != EVB_OK ? "close fails" : what;
}

static const char *check_salvage(struct fault_fs *image, const struct fault_fs_point *at, void *arg)
{
    const struct wound *wound = arg;
    const char *what;
    uint64_t good;
    int32_t rc;

    if (fault_fs_noted(at, DAMAGED) == 0) return NULL;
    if (fault_fs_noted(at, SALVAGED) != 0 && (rc = evb_store_verify("/d", NULL)) != EVB_OK)
        return fault_fs_wrong("after salvage verify answers %s", evb_err_name(rc));
    rc = evb_store_salvage("/d", NULL);
    if (rc != EVB_OK) return fault_fs_wrong("salvage answers %s", evb_err_name(rc));
    what = count_records(&good);
    if (what == NULL && good != wound->good)
        what = fault_fs_wrong("%" PRIu64 " records instead of %" PRIu64, good, wound->good);
    if (what == NULL && fault_fs_open_files(image) != 0) what = "descriptors are left";
    return what;
}

static void salvage_again(struct fault_fs *image, void *arg)
{
    (void)image;
    (void)arg;
    (void)evb_store_salvage("/d", NULL);
}

static void cut_salvage(struct wound *wound)
{
    struct fault_fs *fs = fault_fs_new();
    struct fault_fs_drive drive = {.script = hurt_and_salvage,
                                   .check = check_salvage,
                                   .recover = EVB__TSAN ? NULL : salvage_again,
                                   .arg = wound,
                                   .seed = evb_test_seed(),
                                   .images = EVB__TSAN ? 2 : 6,
                                   .images2 = 1,
                                   .every2 = 400};
    struct fault_fs_verdict verdict;

    if (getenv("EVB_TEST_LONG") != NULL) drive.images *= 10;
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fault_fs_use(fs);
    hurt_and_salvage(fs, wound);
    EQ_PTR(count_records(&wound->good), NULL);
    CHECK(wound->good > 0 && wound->good < store_kit_position(90));
    fault_fs_use(NULL);
    fault_fs_free(fs);
    verdict = fault_fs_each_crash_point(&drive);
    printf("%" PRIu64 " records kept, %u images, %u of two cuts\n", wound->good, (unsigned)verdict.images,
           (unsigned)verdict.images2);
    EQ(verdict.violations, 0);
    CHECK(verdict.images > 100);
}

TEST(a_power_cut_while_a_store_is_salvaged_loses_no_good_record)
{
    cut_salvage(&(struct wound){.offset = 4096 + 3000, .size = 24});
}

TEST(a_power_cut_while_a_segment_without_a_header_is_given_up_loses_no_record_of_another)
{
    cut_salvage(&(struct wound){.offset = 0, .size = 4096});
}

TEST(a_power_cut_while_the_first_segment_is_given_up_loses_no_record_of_another)
{
    cut_salvage(&(struct wound){.path = "/d/seg/00000000000000000001.seg", .offset = 0, .size = 4096});
}

TEST(a_power_cut_while_a_lost_meta_is_made_anew_loses_no_record)
{
    cut_salvage(&(struct wound){.path = "/d/META", .offset = 30, .size = 4});
}

/* ---- trim ---- */

static const evb_store_opts by_the_system = {.segment_bytes = 16384, .sync = EVB_SYNC_OS};

static void append_and_trim(struct fault_fs *fs, void *arg)
{
    evb_store *store = open_at(&by_the_system);

    (void)arg;
    for (uint32_t j = 0; j < 120; j++) {
        fault_fs_note(fs, BEGUN, j + 1);
        OK(store_kit_append(store, j, true));
        if (j % 30 != 29) continue;
        CHECK(evb_store_trim(store, store_kit_position(j - 10)) >= 0);
        fault_fs_note(fs, ACKED, j + 1); /* it syncs */
        fault_fs_note(fs, TRIMMED, evb_store_first_position(store));
    }
    OK(evb_store_close(store));
    fault_fs_note(fs, ACKED, 120);
}

static const char *check_trim(struct fault_fs *image, const struct fault_fs_point *at, void *arg)
{
    uint32_t first = 0, end = 0;
    const char *what = NULL;
    evb_store *store;
    int32_t rc = evb_store_open("/d", &by_the_system, &store);

    (void)image;
    (void)arg;
    if (rc != EVB_OK) return fault_fs_wrong("open answers %s", evb_err_name(rc));
    while (store_kit_position(first) < evb_store_first_position(store))
        first++;
    what = store_kit_check(store, first, &end);
    if (what == NULL && (end < fault_fs_noted(at, ACKED) || end > fault_fs_noted(at, BEGUN)))
        what = fault_fs_wrong("%u appends", (unsigned)end);
    if (what == NULL && store_kit_position(first) < fault_fs_noted(at, TRIMMED))
        what = "what was trimmed is there again";
    if (what == NULL && (rc = store_kit_append(store, end, true)) != EVB_OK)
        what = fault_fs_wrong("the next append answers %s", evb_err_name(rc));
    rc = evb_store_close(store);
    return what == NULL && rc != EVB_OK ? "close fails" : what;
}

TEST(a_power_cut_around_a_trim_takes_no_version_back_and_brings_nothing_back)
{
    struct fault_fs_drive drive = {.script = append_and_trim,
                                   .check = check_trim,
                                   .seed = evb_test_seed(),
                                   .images = EVB__TSAN ? 2 : 12};
    struct fault_fs_verdict verdict;

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    verdict = fault_fs_each_crash_point(&drive);
    printf("%u images\n", (unsigned)verdict.images);
    EQ(verdict.violations, 0);
    CHECK(verdict.images > 200);
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_power_cut_while_a_store_is_salvaged_loses_no_good_record),
        EACH(a_power_cut_while_a_segment_without_a_header_is_given_up_loses_no_record_of_another),
        EACH(a_power_cut_while_the_first_segment_is_given_up_loses_no_record_of_another),
        EACH(a_power_cut_while_a_lost_meta_is_made_anew_loses_no_record),
        EACH(a_power_cut_around_a_trim_takes_no_version_back_and_brings_nothing_back),
    };

    return EVB_TEST_MAIN("store_salvage_crash", tests, argc, argv);
}
