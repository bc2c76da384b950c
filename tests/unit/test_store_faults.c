/* SPDX-License-Identifier: MIT */
/* The disk refuses: every call of the store failing once and for ever, with every status; a full
 * disk; a sync that fails. What was acknowledged is there afterwards, what was refused is there
 * never again, nobody waits for ever.
 */
#include "evb_test.h"

#include <string.h>
#include "base/platform.h"
#include "fault_fs.h"
#include "store_kit.h"

enum { ACKED, BEGUN };

static const evb_store_opts small = {.segment_bytes = 16384};

/* Appends until something is refused, goes on a little, closes. Only the history's next append is
 * ever tried, so that what is found is a beginning of it. */
static void live(struct fault_fs *fs, void *arg)
{
    const evb_store_opts *opts = arg;
    evb_store *store = NULL;
    uint32_t j = 0, refused = 0;

    if (evb_store_open("/d", opts, &store) != EVB_OK) return;
    while (j < 70 && refused < 6) {
        int32_t rc;

        fault_fs_note(fs, BEGUN, j + 1);
        rc = store_kit_append(store, j, true);
        if (rc != EVB_OK) {
            refused++;
            continue;
        }
        j++;
        if (opts->sync <= EVB_SYNC_EACH) fault_fs_note(fs, ACKED, j);
    }
    if (evb_store_close(store) == EVB_OK) fault_fs_note(fs, ACKED, j);
}

static const char *check(struct fault_fs *image, const struct fault_fs_point *at, void *arg)
{
    evb_store *store;
    const char *what = NULL;
    uint32_t end = 0;

    for (int round = 0; round < 2 && what == NULL; round++) {
        int32_t rc = evb_store_open("/d", arg, &store);

        if (rc != EVB_OK) return fault_fs_wrong("open answers %s", evb_err_name(rc));
        what = store_kit_check(store, 0, &end);
        if (what == NULL && end < fault_fs_noted(at, ACKED))
            what = fault_fs_wrong("%u appends of %u", end, (unsigned)fault_fs_noted(at, ACKED));
        if (what == NULL && round == 0 && end > fault_fs_noted(at, BEGUN)) what = "more than was begun";
        if (what == NULL && store_kit_append(store, end, true) != EVB_OK) what = "the next append is refused";
        rc = evb_store_close(store);
        if (what == NULL && rc != EVB_OK) what = fault_fs_wrong("close answers %s", evb_err_name(rc));
    }
    if (what == NULL && fault_fs_open_files(image) != 0) what = "descriptors are left";
    return what;
}

static void fail_each(uint32_t sync, uint32_t kinds, int32_t status)
{
    evb_store_opts opts = small;
    struct fault_fs_drive drive = {
        .script = live, .check = check, .arg = &opts, .seed = evb_test_seed(), .images = 1};
    struct fault_fs_verdict verdict;

    opts.sync = sync;
    drive.stride = EVB__TSAN ? 8 : 1; /* one thread: its races are soon found, or there are none */
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    verdict = fault_fs_each_failure(&drive, kinds, status);
    evb_set_log(NULL, NULL, EVB_LOG_WARN);
    EQ(verdict.violations, 0);
    CHECK(verdict.faults > 20);
}

TEST(any_call_may_fail_with_an_input_output_error_once_or_for_ever)
{
    fail_each(EVB_SYNC_GROUP, FAULT_FS_ANY, EVB_EIO);
}

TEST(any_call_may_find_no_room_once_or_for_ever)
{
    fail_each(EVB_SYNC_GROUP, FAULT_FS_ANY, EVB_ENOSPC);
}

TEST(any_call_may_fail_with_what_else_there_is)
{
    static const int32_t statuses[] = {EVB_EAGAIN, EVB_ENOMEM, EVB_ETOOBIG, EVB_EINVAL, EVB_EBUSY};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        fail_each(EVB_SYNC_OS, FAULT_FS_ANY, statuses[i]);
}

/* ---- one at a time ---- */

static struct fault_fs *fs;
static evb_store *store;

static void begin(uint32_t sync)
{
    evb_store_opts opts = small;

    opts.sync = sync;
    opts.interval_ns = INT64_C(3600000000000);
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fs = fault_fs_new();
    fault_fs_use(fs);
    OK(evb_store_open("/d", &opts, &store));
}

static void reopen_as(uint32_t appends)
{
    uint32_t end;

    OK(evb_store_open("/d", &small, &store));
    EQ_PTR(store_kit_check(store, 0, &end), NULL);
    EQ(end, appends);
    OK(store_kit_append(store, end, true));
    OK(evb_store_close(store));
    EQ(fault_fs_misuses(fs), 0);
}

TEST(a_failed_sync_poisons_the_store_for_good_and_reads_go_on)
{
    uint32_t end;

    begin(EVB_SYNC_GROUP);
    for (uint32_t j = 0; j < 10; j++)
        OK(store_kit_append(store, j, true));
    fault_fs_plan(fs, &(struct fault_fs_fault){.what = FAULT_FS_GATE,
                                               .status = EVB_EIO,
                                               .kinds = FAULT_FS_KIND(FAULT_FS_DATASYNC),
                                               .times = 1});
    FAILS(store_kit_append(store, 10, true), EVB_EIO);
    for (int i = 0; i < 3; i++)
        FAILS(store_kit_append(store, 10, true), EVB_EPOISONED); /* though the next sync would succeed */
    FAILS(evb_store_sync(store), EVB_EPOISONED);
    FAILS(evb_store_trim(store, 5), EVB_EPOISONED);
    EQ_PTR(store_kit_check(store, 0, &end), NULL);
    EQ(end, 10);
    FAILS(evb_store_close(store), EVB_EPOISONED);
    fault_fs_crash_here(fs, 1, FAULT_FS_NOTHING);
    reopen_as(10);
}

TEST(what_a_failed_sync_has_left_in_memory_is_not_taken_for_durable_by_the_next_process)
{
    static const char big[12000];
    evb_record lost = {.topic = "t", .data = big, .size = sizeof big}, record;
    evb_append_result done = {.struct_size = sizeof done};
    evb_store_opts large = {.segment_bytes = 65536};
    struct fault_fs *later;
    evb_reader *reader;

    begin(EVB_SYNC_GROUP);
    OK(evb_store_close(store));
    OK(evb_store_open("/d", &large, &store));
    OK(store_kit_append(store, 0, true));
    fault_fs_plan(fs, &(struct fault_fs_fault){.what = FAULT_FS_GATE,
                                               .status = EVB_EIO,
                                               .kinds = FAULT_FS_KIND(FAULT_FS_DATASYNC),
                                               .times = 1});
    FAILS(evb_store_append(store, "big", EVB_ANY_VERSION, &lost, 1, NULL), EVB_EIO);
    FAILS(evb_store_close(store), EVB_EPOISONED);
    fault_fs_kill(
        fs); /* the cache still shows the big one; three of its pages are clean and not on the disk */
    OK(evb_store_open("/d", &large, &store));
    record = (evb_record){.topic = "t", .data = "last", .size = 4};
    OK(evb_store_append(store, "s", EVB_ANY_VERSION, &record, 1, &done)); /* durable, and all before it */
    later = fault_fs_crash(fs, 7, FAULT_FS_NOTHING);
    OK(evb_store_close(store));
    fault_fs_use(later);
    OK(evb_store_open("/d", &large, &store));
    EQ(evb_store_last_position(store), done.position);
    OK(evb_store_read(store, &(evb_read_opts){.from_position = done.position}, &reader));
    OK(evb_reader_next(reader, 0, &record));
    EQ_MEM(record.data, "last", 4);
    evb_reader_close(reader);
    OK(evb_store_close(store));
}

TEST(a_full_disk_refuses_appends_until_there_is_room_again)
{
    for (uint32_t sync = EVB_SYNC_GROUP; sync <= EVB_SYNC_OS; sync++) {
        uint32_t j = 0, end;
        int32_t rc = EVB_OK;

        begin(sync);
        fault_fs_budget(fs, fault_fs_used(fs) + 40000);
        while (j < 1000 && (rc = store_kit_append(store, j, true)) == EVB_OK)
            j++;
        EQ(rc, EVB_ENOSPC);
        CHECK(j > 10);
        EQ_PTR(store_kit_check(store, 0, &end), NULL); /* nothing of the refused one is to be seen */
        EQ(end, j);
        FAILS(store_kit_append(store, j, true), EVB_ENOSPC);
        fault_fs_budget(fs, UINT64_MAX);
        for (end = j + 50; j < end; j++)
            OK(store_kit_append(store, j, true));
        OK(evb_store_close(store));
        reopen_as(j);
        fault_fs_after(NULL);
    }
}

TEST(with_the_level_mem_a_full_disk_keeps_what_was_acknowledged_until_there_is_room)
{
    uint32_t j, end;

    begin(EVB_SYNC_MEM);
    fault_fs_budget(fs, fault_fs_used(fs));
    for (j = 0; j < 10; j++)
        OK(store_kit_append(store, j, true));
    FAILS(evb_store_sync(store), EVB_ENOSPC);
    for (; j < 15; j++)
        OK(store_kit_append(store, j, true));
    FAILS(evb_store_sync(store), EVB_ENOSPC);
    fault_fs_budget(fs, UINT64_MAX);
    OK(evb_store_sync(store));
    EQ_PTR(store_kit_check(store, 0, &end), NULL);
    EQ(end, j);
    OK(evb_store_close(store));
    reopen_as(j);
}

TEST(a_write_that_was_cut_short_leaves_no_frame_that_could_come_back)
{
    struct fault_fs *image;
    uint32_t end;

    begin(EVB_SYNC_GROUP);
    for (uint32_t j = 0; j < 5; j++)
        OK(store_kit_append(store, j, true));
    /* Half of the frames of append 5 .. are written, then there is no room; what follows is shorter. */
    fault_fs_plan(fs, &(struct fault_fs_fault){
                          .what = FAULT_FS_SHORT_HALF, .kinds = FAULT_FS_KIND(FAULT_FS_PWRITE), .times = 1});
    fault_fs_plan(fs, &(struct fault_fs_fault){.what = FAULT_FS_FAIL,
                                               .status = EVB_ENOSPC,
                                               .kinds = FAULT_FS_KIND(FAULT_FS_PWRITE),
                                               .nth = 2,
                                               .times = 1});
    FAILS(store_kit_append(store, 5, true), EVB_ENOSPC);
    for (uint32_t seed = 0; seed < 50; seed++) {
        image = fault_fs_crash(fs, seed, FAULT_FS_SECTORS);
        fault_fs_use(image);
        {
            evb_store *second;

            OK(evb_store_open("/d", &small, &second));
            EQ_PTR(store_kit_check(second, 0, &end), NULL);
            EQ(end, 5);
            OK(evb_store_close(second));
        }
        fault_fs_use(fs);
        fault_fs_free(image);
    }
    OK(store_kit_append(store, 5, true));
    OK(evb_store_close(store));
    reopen_as(6);
}

/* ---- costs: what the disk is asked for ---- */

TEST(an_append_is_one_write_and_one_sync_and_one_at_the_level_os_only_the_write)
{
    for (uint32_t sync = EVB_SYNC_GROUP; sync <= EVB_SYNC_MEM; sync++) {
        struct fault_fs_counts before;
        uint64_t calls;

        begin(sync);
        OK(store_kit_append(store, 0, true));
        OK(evb_store_sync(store));
        before = fault_fs_counts(fs);
        for (uint32_t j = 1; j <= 20; j++)
            OK(store_kit_append(store, j, true));
        calls = fault_fs_since(fs, &before, FAULT_FS_CALLS);
        EQ(fault_fs_since(fs, &before, FAULT_FS_PWRITE), sync == EVB_SYNC_MEM ? 0 : 20);
        EQ(fault_fs_since(fs, &before, FAULT_FS_DATASYNC), sync <= EVB_SYNC_EACH ? 20 : 0);
        EQ(calls, sync == EVB_SYNC_MEM ? 0 : sync <= EVB_SYNC_EACH ? 40 : 20);
        OK(evb_store_close(store));
        fault_fs_after(NULL);
    }
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(any_call_may_fail_with_an_input_output_error_once_or_for_ever),
        EACH(any_call_may_find_no_room_once_or_for_ever),
        EACH(any_call_may_fail_with_what_else_there_is),
        EACH(a_failed_sync_poisons_the_store_for_good_and_reads_go_on),
        EACH(what_a_failed_sync_has_left_in_memory_is_not_taken_for_durable_by_the_next_process),
        EACH(a_full_disk_refuses_appends_until_there_is_room_again),
        EACH(with_the_level_mem_a_full_disk_keeps_what_was_acknowledged_until_there_is_room),
        EACH(a_write_that_was_cut_short_leaves_no_frame_that_could_come_back),
        EACH(an_append_is_one_write_and_one_sync_and_one_at_the_level_os_only_the_write),
    };

    return EVB_TEST_MAIN("store_faults", tests, argc, argv);
}
