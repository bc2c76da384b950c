/* SPDX-License-Identifier: MIT */
/* Faults that are planned and damage that is done: each kind alone. */
#include "evb_test.h"

#include <string.h>
#include "fault_fs.h"

#define RW (EVB__FILE_READ | EVB__FILE_WRITE)

static struct fault_fs *fs;
static const struct evb__files *files;
static int32_t fd;

/* A disk with "/a": 'o' x 8192, synced, open as fd. */
static int make_disk(void **state)
{
    static uint8_t bytes[2 * FAULT_FS_PAGE];

    (void)state;
    memset(bytes, 'o', sizeof bytes);
    fs = fault_fs_new();
    files = fault_fs_files(fs);
    fault_fs_put(fs, "/a", bytes, sizeof bytes);
    fd = files->open("/a", RW, files->arg);
    return fd > 0 ? 0 : -1;
}

static void plan(uint32_t what, int32_t status, uint32_t kinds, uint64_t nth, uint64_t times)
{
    fault_fs_plan(fs, &(struct fault_fs_fault){
                          .what = what, .status = status, .kinds = kinds, .nth = nth, .times = times});
}

static int64_t put(int byte, size_t size, uint64_t offset)
{
    static uint8_t bytes[65536];

    memset(bytes, byte, size);
    return files->pwrite(fd, bytes, size, offset, files->arg);
}

static int sees(uint64_t offset)
{
    uint8_t byte = 0;

    EQ(files->pread(fd, &byte, 1, offset, files->arg), 1);
    return byte;
}

/* What of "/a" is on the medium at the offset, -1 behind its end. */
static int on_medium(uint64_t offset)
{
    static uint8_t bytes[65536];
    struct fault_fs *image = fault_fs_crash(fs, 0, FAULT_FS_NOTHING);
    int64_t size = fault_fs_get(image, "/a", bytes, sizeof bytes);

    fault_fs_free(image);
    return (int64_t)offset < size ? bytes[offset] : -1;
}

static int32_t sync_it(void)
{
    return files->datasync(fd, files->arg);
}

/* ---- failing calls ---- */

TEST(the_nth_call_of_a_kind_fails_once_or_for_ever)
{
    plan(FAULT_FS_FAIL, EVB_EIO, FAULT_FS_KIND(FAULT_FS_PWRITE), 2, 1);
    EQ(put('1', 1, 0), 1);
    OK(sync_it()); /* not one of them */
    EQ(put('2', 1, 0), EVB_EIO);
    EQ(sees(0), '1');
    EQ(put('3', 1, 0), 1);
    EQ(fault_fs_hits(fs), 1);
    plan(FAULT_FS_FAIL, EVB_ENOSPC, FAULT_FS_ANY, 3, 0);
    EQ(sees(0), '3');
    OK(sync_it());
    for (int i = 0; i < 3; i++) {
        FAILS(sync_it(), EVB_ENOSPC);
        FAILS(files->unlink("/a", files->arg), EVB_ENOSPC);
    }
    fault_fs_plan_clear(fs);
    OK(sync_it());
}

TEST(a_plan_can_be_for_some_paths_only)
{
    fault_fs_plan(fs, &(struct fault_fs_fault){.what = FAULT_FS_FAIL, .status = EVB_EIO, .path = "/b"});
    EQ(put('1', 1, 0), 1);
    FAILS(files->open("/b", RW | EVB__FILE_CREATE, files->arg), EVB_EIO);
    FAILS(files->rename("/a", "/b", files->arg), EVB_EIO);
    OK(files->rename("/a", "/c", files->arg));
    EQ(fault_fs_get(fs, "/b", NULL, 0), -1);
}

TEST(every_kind_of_call_can_fail_and_then_does_nothing)
{
    struct fault_fs *before = fault_fs_clone(fs);
    const void *addr = NULL;
    uint8_t byte;

    plan(FAULT_FS_FAIL, EVB_EIO, FAULT_FS_ANY, 1, 0);
    FAILS(files->open("/new", RW | EVB__FILE_CREATE, files->arg), EVB_EIO);
    FAILS(files->pread(fd, &byte, 1, 0, files->arg), EVB_EIO);
    FAILS(put('n', 1, 0), EVB_EIO);
    FAILS(sync_it(), EVB_EIO);
    FAILS(files->truncate(fd, 1, files->arg), EVB_EIO);
    FAILS(files->allocate(fd, 0, 100000, files->arg), EVB_EIO);
    FAILS(files->size(fd, files->arg), EVB_EIO);
    FAILS(files->rename("/a", "/b", files->arg), EVB_EIO);
    FAILS(files->unlink("/a", files->arg), EVB_EIO);
    FAILS(files->mkdir("/d", files->arg), EVB_EIO);
    FAILS(files->lock(fd, files->arg), EVB_EIO);
    FAILS(files->list("/", NULL, NULL, files->arg), EVB_EIO);
    FAILS(files->map(fd, 1, &addr, files->arg), EVB_EIO);
    FAILS(files->unmap(&byte, 1, files->arg), EVB_EIO);
    CHECK(fault_fs_same(fs, before));
    FAILS(files->forget(fd, 0, 0, files->arg), EVB_EIO);
    EQ(fault_fs_hits(fs), 15);
    EQ(fault_fs_open_files(fs), 1);
    FAILS(files->close(fd, files->arg), EVB_EIO);
    EQ(fault_fs_open_files(fs), 0); /* a close that fails has closed */
    fault_fs_free(before);
}

TEST(short_transfers_move_one_byte_or_half)
{
    uint8_t buf[8];

    plan(FAULT_FS_SHORT_ONE, 0, FAULT_FS_ANY, 1, 2);
    EQ(put('n', 8, 0), 1);
    EQ(files->pread(fd, buf, 8, 0, files->arg), 1);
    EQ(sees(1), 'o');
    plan(FAULT_FS_SHORT_HALF, 0, FAULT_FS_ANY, 1, 0);
    EQ(put('n', 8, 0), 4);
    EQ(put('n', 1, 0), 1);
    EQ(files->pread(fd, buf, 7, 0, files->arg), 4);
    fault_fs_use(fs);
    OK(evb__pwrite_full(fd, "abcdefgh", 8, 0));
    OK(evb__pread_full(fd, buf, 8, 0));
    EQ_MEM(buf, "abcdefgh", 8);
}

/* ---- the fsync-gate ---- */

TEST(after_a_failed_datasync_the_next_one_succeeds_and_saves_nothing)
{
    EQ(put('n', 10, 0), 10);
    EQ(put('e', 10, 3 * FAULT_FS_PAGE), 10);
    plan(FAULT_FS_GATE, EVB_EIO, FAULT_FS_ANY, 1, 1);
    FAILS(sync_it(), EVB_EIO);
    OK(sync_it());
    EQ(sees(0), 'n'); /* as if all were well */
    EQ(on_medium(0), 'o');
    EQ(on_medium(3 * FAULT_FS_PAGE), 0); /* the size is there, the data is not */
    fault_fs_evict(fs);
    EQ(sees(0), 'o');
    EQ(sees(3 * FAULT_FS_PAGE), 0);
}

TEST(forgotten_pages_show_what_a_failed_datasync_lost)
{
    EQ(put('n', 2 * FAULT_FS_PAGE, 0), 2 * FAULT_FS_PAGE);
    plan(FAULT_FS_GATE, EVB_EIO, FAULT_FS_ANY, 1, 1);
    FAILS(sync_it(), EVB_EIO);
    OK(files->forget(fd, 1, FAULT_FS_PAGE, files->arg)); /* no whole page */
    EQ(sees(0), 'n');
    OK(files->forget(fd, 0, FAULT_FS_PAGE, files->arg));
    EQ(sees(0), 'o');
    EQ(sees(FAULT_FS_PAGE), 'n');
    EQ(put('N', 1, FAULT_FS_PAGE + 9), 1);
    OK(files->forget(fd, 0, 0, files->arg)); /* that one is dirty now */
    EQ(sees(FAULT_FS_PAGE), 'n');
}

TEST(a_later_write_to_the_page_brings_what_the_failed_datasync_lost)
{
    EQ(put('n', 10, 0), 10);
    EQ(put('n', 10, FAULT_FS_PAGE), 10);
    plan(FAULT_FS_GATE, EVB_EIO, FAULT_FS_ANY, 1, 1);
    FAILS(sync_it(), EVB_EIO);
    EQ(put('N', 1, 100), 1); /* page 0 */
    fault_fs_evict(fs);      /* not page 0: it is dirty */
    EQ(sees(0), 'n');
    EQ(sees(FAULT_FS_PAGE), 'o');
    OK(sync_it());
    EQ(on_medium(0), 'n');
    EQ(on_medium(100), 'N');
    EQ(on_medium(FAULT_FS_PAGE), 'o');
}

TEST(a_datasync_that_fails_without_the_gate_leaves_all_to_the_next)
{
    EQ(put('n', 10, 0), 10);
    plan(FAULT_FS_FAIL, EVB_EIO, FAULT_FS_KIND(FAULT_FS_DATASYNC), 1, 1);
    FAILS(sync_it(), EVB_EIO);
    EQ(on_medium(0), 'o');
    OK(sync_it());
    EQ(on_medium(0), 'n');
}

TEST(a_disk_can_lie)
{
    plan(FAULT_FS_LOST, 0, FAULT_FS_ANY, 1, 1);
    EQ(put('n', 10, 0), 10);
    OK(sync_it());
    EQ(sees(0), 'n');
    for (uint32_t i = 0; i < 100; i++)
        EQ(on_medium(0), 'o');
    fault_fs_plan(fs, &(struct fault_fs_fault){.what = FAULT_FS_MISDIRECTED, .shift = 512, .times = 1});
    EQ(put('m', 10, 1024), 10);
    EQ(sees(1024), 'o');
    EQ(sees(1536), 'm');
}

/* ---- room ---- */

TEST(a_full_disk_writes_what_fits_then_nothing_and_heals)
{
    EQ(fault_fs_used(fs), 2 * FAULT_FS_PAGE);
    fault_fs_budget(fs, 4 * FAULT_FS_PAGE);
    EQ(put('n', 5000, 0), 5000); /* where there are bytes already there is room */
    EQ(put('n', 3 * FAULT_FS_PAGE, 2 * FAULT_FS_PAGE + 100), 2 * FAULT_FS_PAGE - 100);
    FAILS((int32_t)put('n', 1, 4 * FAULT_FS_PAGE), EVB_ENOSPC);
    FAILS(files->allocate(fd, 0, 5 * FAULT_FS_PAGE, files->arg), EVB_ENOSPC);
    EQ(files->size(fd, files->arg), 4 * FAULT_FS_PAGE);
    fault_fs_budget(fs, 5 * FAULT_FS_PAGE);
    OK(files->allocate(fd, 0, 5 * FAULT_FS_PAGE, files->arg));
    EQ(put('n', FAULT_FS_PAGE, 4 * FAULT_FS_PAGE), FAULT_FS_PAGE); /* allocated is promised */
    OK(files->unlink("/a", files->arg));
    EQ(fault_fs_used(fs), 5 * FAULT_FS_PAGE); /* it is open still */
    OK(files->close(fd, files->arg));
    EQ(fault_fs_used(fs), 0);
}

TEST(bad_bytes_cannot_be_read_until_healed)
{
    uint8_t buf[1000];

    fault_fs_bad(fs, "/a", 600, 10);
    EQ(files->pread(fd, buf, sizeof buf, 0, files->arg), 600);
    FAILS((int32_t)files->pread(fd, buf, 1, 609, files->arg), EVB_EIO);
    EQ(files->pread(fd, buf, sizeof buf, 610, files->arg), sizeof buf);
    fault_fs_bad(fs, "/a", 0, 0);
    EQ(files->pread(fd, buf, sizeof buf, 0, files->arg), sizeof buf);
}

/* ---- damage ---- */

TEST(damage_is_seen_at_once_and_after_a_crash)
{
    struct fault_fs *older = fault_fs_clone(fs);

    EQ(put('1', FAULT_FS_SECTOR, 0), FAULT_FS_SECTOR);
    EQ(put('2', FAULT_FS_SECTOR, FAULT_FS_SECTOR), FAULT_FS_SECTOR);
    OK(sync_it());
    fault_fs_flip(fs, "/a", 8 * 5 + 1);
    EQ(sees(5), '1' ^ 2);
    EQ(on_medium(5), '1' ^ 2);
    fault_fs_flip(fs, "/a", 8 * 5 + 1);
    fault_fs_swap(fs, "/a", 0, 1);
    EQ(sees(0), '2');
    EQ(on_medium(FAULT_FS_SECTOR), '1');
    fault_fs_copy_sector(fs, "/a", 0, older, "/a", 0); /* stale */
    EQ(on_medium(0), 'o');
    EQ(on_medium(FAULT_FS_SECTOR - 1), 'o');
    fault_fs_copy_sector(fs, "/a", 7, fs, "/a", 1); /* misdirected */
    EQ(on_medium(7 * FAULT_FS_SECTOR), '1');
    fault_fs_zero(fs, "/a", 7);
    EQ(on_medium(7 * FAULT_FS_SECTOR), 0);
    EQ(on_medium(8 * FAULT_FS_SECTOR), 'o');
    fault_fs_cut(fs, "/a", 700);
    EQ(on_medium(700), -1);
    EQ(files->size(fd, files->arg), 700);
    fault_fs_zero(fs, "/a", 1); /* the half that is there */
    EQ(sees(699), 0);
    fault_fs_free(older);
}

TEST(files_can_be_deleted_duplicated_and_put)
{
    struct fault_fs *image;
    char buf[8];

    fault_fs_duplicate(fs, "/a", "/d/e/copy");
    fault_fs_put(fs, "/b", "first", 5);
    fault_fs_put(fs, "/b", "bytes", 5);
    fault_fs_delete(fs, "/a");
    CHECK(fault_fs_settled(fs));
    image = fault_fs_crash(fs, 0, FAULT_FS_NOTHING);
    CHECK(fault_fs_same(fs, image));
    EQ(fault_fs_get(image, "/a", NULL, 0), -1);
    EQ(fault_fs_get(image, "/d/e/copy", NULL, 0), 2 * FAULT_FS_PAGE);
    EQ(fault_fs_get(image, "/b", buf, sizeof buf), 5);
    EQ_MEM(buf, "bytes", 5);
    fault_fs_flip(image, "/d/e/copy", 0);
    CHECK(!fault_fs_same(fs, image));
    fault_fs_free(image);
}

int main(int argc, char **argv)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, make_disk, fault_fs_after)
    static const struct CMUnitTest tests[] = {
        ON_DISK(the_nth_call_of_a_kind_fails_once_or_for_ever),
        ON_DISK(a_plan_can_be_for_some_paths_only),
        ON_DISK(every_kind_of_call_can_fail_and_then_does_nothing),
        ON_DISK(short_transfers_move_one_byte_or_half),
        ON_DISK(after_a_failed_datasync_the_next_one_succeeds_and_saves_nothing),
        ON_DISK(forgotten_pages_show_what_a_failed_datasync_lost),
        ON_DISK(a_later_write_to_the_page_brings_what_the_failed_datasync_lost),
        ON_DISK(a_datasync_that_fails_without_the_gate_leaves_all_to_the_next),
        ON_DISK(a_disk_can_lie),
        ON_DISK(a_full_disk_writes_what_fits_then_nothing_and_heals),
        ON_DISK(bad_bytes_cannot_be_read_until_healed),
        ON_DISK(damage_is_seen_at_once_and_after_a_crash),
        ON_DISK(files_can_be_deleted_duplicated_and_put),
    };
    return EVB_TEST_MAIN("fault_fs_plan", tests, argc, argv);
}
