/* SPDX-License-Identifier: MIT */
/* What a power cut leaves on the disk in memory: each rule alone, over many seeds. A rule says what may
 * happen, so both are looked at: that it happens in some image, and that nothing else does in any. */
#include "evb_test.h"

#include <string.h>
#include "fault_fs.h"

#define RW    (EVB__FILE_READ | EVB__FILE_WRITE)
#define SEEDS 400

static struct fault_fs *fs;
static const struct evb__files *files;

static int make_disk(void **state)
{
    (void)state;
    fs = fault_fs_new();
    files = fault_fs_files(fs);
    return 0;
}

static int32_t make(const char *path)
{
    return (int32_t)ID(files->open(path, RW | EVB__FILE_CREATE, files->arg));
}

static void fill(int32_t fd, int byte, size_t size, uint64_t offset)
{
    static uint8_t bytes[65536];

    memset(bytes, byte, size);
    EQ(files->pwrite(fd, bytes, size, offset, files->arg), size);
}

static void sync_dir(const char *path)
{
    int32_t fd = (int32_t)ID(files->open(path, EVB__FILE_DIR, files->arg));

    OK(files->datasync(fd, files->arg));
    OK(files->close(fd, files->arg));
}

/* A file whose name and first bytes are on the medium. */
static int32_t synced(const char *path, int byte, size_t size)
{
    int32_t fd = make(path);

    if (size > 0) fill(fd, byte, size, 0);
    OK(files->datasync(fd, files->arg));
    sync_dir("/");
    return fd;
}

static bool exists(struct fault_fs *disk, const char *path)
{
    return fault_fs_get(disk, path, NULL, 0) >= 0;
}

/* What the file holds in the image of this seed, or -1. */
static int64_t after(uint64_t seed, uint32_t mode, const char *path, uint8_t *buf, size_t room)
{
    struct fault_fs *image = fault_fs_crash(fs, seed, mode);
    int64_t size = fault_fs_get(image, path, buf, room);

    fault_fs_free(image);
    return size;
}

/* ---- bytes ---- */

TEST(what_was_synced_stays_in_every_image)
{
    int32_t fd = synced("/a", 'x', 3000);
    uint8_t buf[3000], want[3000];

    memset(want, 'x', sizeof want);
    CHECK(fault_fs_settled(fs));
    for (uint32_t i = 0; i < SEEDS; i++) {
        EQ(after(i, i % FAULT_FS_MODES, "/a", buf, sizeof buf), 3000);
        EQ_MEM(buf, want, sizeof want);
    }
    OK(files->close(fd, files->arg));
}

/* Four sectors of 'o' on the medium, 'n' written over them: which patterns come up? */
TEST(a_sector_is_kept_or_lost_by_itself)
{
    int32_t fd = synced("/a", 'o', 4 * FAULT_FS_SECTOR);
    uint8_t buf[4 * FAULT_FS_SECTOR];
    bool seen[16] = {false};

    fill(fd, 'n', sizeof buf, 0);
    for (uint32_t i = 0; i < SEEDS; i++) {
        uint32_t mask = 0;

        EQ(after(i, FAULT_FS_SECTORS, "/a", buf, sizeof buf), sizeof buf);
        for (uint32_t j = 0; j < sizeof buf; j++) {
            CHECK(buf[j] == buf[j / FAULT_FS_SECTOR * FAULT_FS_SECTOR]);
            CHECK(buf[j] == 'o' || buf[j] == 'n');
            if (buf[j] == 'n') mask |= 1u << (j / FAULT_FS_SECTOR);
        }
        seen[mask] = true;
    }
    for (uint32_t mask = 0; mask < 16; mask++)
        CHECK(seen[mask]);
    OK(files->close(fd, files->arg));
}

TEST(a_later_write_to_a_sector_never_comes_without_the_earlier_one)
{
    int32_t fd = synced("/a", '.', 200);
    uint8_t buf[200];
    uint32_t neither = 0, first = 0, both = 0;

    fill(fd, '1', 100, 0);
    fill(fd, '2', 100, 100);
    for (uint32_t i = 0; i < SEEDS; i++) {
        EQ(after(i, FAULT_FS_SECTORS, "/a", buf, sizeof buf), sizeof buf);
        neither += buf[0] == '.' && buf[100] == '.';
        first += buf[0] == '1' && buf[100] == '.';
        both += buf[0] == '1' && buf[100] == '2';
    }
    EQ(neither + first + both, SEEDS);
    CHECK(neither > 0 && first > 0 && both > 0);
    OK(files->close(fd, files->arg));
}

TEST(sizes_and_data_are_kept_apart)
{
    int32_t fd = synced("/a", 'o', 100);
    uint8_t buf[300] = {0};
    uint32_t zeros = 0, data = 0, sizes[3] = {0};

    fill(fd, 'n', 100, 100);
    fill(fd, 'N', 100, 200);
    for (uint32_t i = 0; i < SEEDS; i++) {
        int64_t size = after(i, FAULT_FS_SECTORS, "/a", buf, sizeof buf);

        CHECK(size == 100 || size == 200 || size == 300);
        EQ(buf[99], 'o');
        sizes[size / 100 - 1]++;
        if (size == 100) continue;
        CHECK(buf[150] == 'n' || buf[150] == 0);
        zeros += buf[150] == 0;
        data += buf[150] == 'n';
    }
    CHECK(zeros > 0 && data > 0 && sizes[0] > 0 && sizes[1] > 0 && sizes[2] > 0);
    OK(files->close(fd, files->arg));
}

TEST(a_truncation_is_kept_or_lost_and_growing_again_shows_zeros)
{
    int32_t fd = synced("/a", 'o', 1000);
    uint8_t buf[1000];
    uint32_t lost = 0, kept = 0;

    OK(files->truncate(fd, 600, files->arg));
    OK(files->truncate(fd, 1000, files->arg));
    for (uint32_t i = 0; i < SEEDS; i++) {
        int64_t size = after(i, FAULT_FS_SECTORS, "/a", buf, sizeof buf);

        CHECK(size == 1000 || size == 600);
        EQ(buf[599], 'o');
        if (size < 1000) continue;
        CHECK(buf[600] == buf[999] && (buf[600] == 0 || buf[600] == 'o'));
        lost += buf[600] == 'o';
        kept += buf[600] == 0;
    }
    CHECK(lost > 0 && kept > 0);
    OK(files->close(fd, files->arg));
}

TEST(an_allocation_grows_by_zeros_and_leaves_what_is_there)
{
    int32_t fd = synced("/a", 'o', 100);
    uint8_t buf[100];
    uint32_t small = 0, large = 0;

    OK(files->allocate(fd, 0, 1 << 20, files->arg));
    for (uint32_t i = 0; i < SEEDS; i++) {
        int64_t size = after(i, FAULT_FS_SECTORS, "/a", buf, sizeof buf);

        EQ(buf[99], 'o');
        small += size == 100;
        large += size == 1 << 20;
    }
    EQ(small + large, SEEDS);
    CHECK(small > 0 && large > 0);
    OK(files->datasync(fd, files->arg));
    EQ(after(1, FAULT_FS_NOTHING, "/a", buf, sizeof buf), 1 << 20);
    OK(files->close(fd, files->arg));
}

/* Cut: new on one side of a byte, old on the other. Garbled: neither old nor new. */
TEST(torn_and_garbled_sectors_hurt_only_what_is_un_synced)
{
    int32_t fd = synced("/a", 'o', FAULT_FS_SECTOR);
    uint8_t buf[FAULT_FS_SECTOR];
    uint32_t torn = 0, garbled = 0;

    fill(fd, 'n', 400, 100);
    for (uint32_t i = 0; i < SEEDS; i++) {
        uint32_t changes = 0;

        EQ(after(i, FAULT_FS_TORN, "/a", buf, sizeof buf), sizeof buf);
        EQ(buf[99], 'o');
        EQ(buf[500], 'o');
        for (uint32_t j = 100; j < 500; j++) {
            CHECK(buf[j] == 'o' || buf[j] == 'n');
            changes += j > 100 && buf[j] != buf[j - 1];
        }
        CHECK(changes <= 1);
        torn += changes;
        EQ(after(i, FAULT_FS_GARBLED, "/a", buf, sizeof buf), sizeof buf);
        EQ(buf[99], 'o');
        EQ(buf[500], 'o');
        garbled += buf[300] != 'o' && buf[300] != 'n';
    }
    CHECK(torn > 0 && garbled > 0);
    fill(fd, 'o', FAULT_FS_SECTOR, 0);
    OK(files->datasync(fd, files->arg));
    fill(fd, 'o', FAULT_FS_SECTOR, 0); /* the same once more changes nothing in any image */
    for (uint32_t i = 0; i < SEEDS; i++) {
        EQ(after(i, FAULT_FS_GARBLED, "/a", buf, sizeof buf), sizeof buf);
        CHECK(buf[0] == 'o' && buf[511] == 'o' && memcmp(buf, buf + 1, sizeof buf - 1) == 0);
    }
    OK(files->close(fd, files->arg));
}

TEST(recycled_sectors_show_a_deleted_file)
{
    int32_t fd = synced("/old", 'x', 3 * FAULT_FS_PAGE);
    uint8_t buf[3 * FAULT_FS_PAGE];
    uint32_t shown = 0, zeros = 0;

    OK(files->close(fd, files->arg));
    OK(files->unlink("/old", files->arg));
    fd = synced("/new", 'h', 100);
    fill(fd, 'n', FAULT_FS_PAGE, FAULT_FS_PAGE);
    for (uint32_t i = 0; i < SEEDS; i++) {
        if (after(i, FAULT_FS_RECYCLED, "/new", buf, sizeof buf) < 2 * FAULT_FS_PAGE) continue;
        shown += memchr(buf, 'x', 2 * FAULT_FS_PAGE) != NULL;
        if (after(i, FAULT_FS_SECTORS, "/new", buf, sizeof buf) < 2 * FAULT_FS_PAGE) continue;
        CHECK(memchr(buf, 'x', 2 * FAULT_FS_PAGE) == NULL);
        zeros += buf[FAULT_FS_PAGE] == 0;
    }
    CHECK(shown > 0 && zeros > 0);
    OK(files->close(fd, files->arg));
}

/* ---- names ---- */

TEST(a_name_is_not_saved_by_the_datasync_of_its_file)
{
    int32_t fd = make("/a");
    uint32_t there = 0;

    fill(fd, 'x', 10, 0);
    OK(files->datasync(fd, files->arg));
    CHECK(!fault_fs_settled(fs));
    for (uint32_t i = 0; i < SEEDS; i++)
        there += after(i, FAULT_FS_SECTORS, "/a", NULL, 0) == 10;
    CHECK(there > 0 && there < SEEDS);
    sync_dir("/");
    EQ(after(1, FAULT_FS_NOTHING, "/a", NULL, 0), 10);
    OK(files->close(fd, files->arg));
}

TEST(a_rename_is_old_or_new_and_never_nothing)
{
    int32_t fd = synced("/a", 'o', 10), other;
    uint8_t byte = 0;
    uint32_t old = 0, new = 0;

    other = make("/tmp");
    fill(other, 'n', 10, 0);
    OK(files->datasync(other, files->arg));
    OK(files->rename("/tmp", "/a", files->arg));
    for (uint32_t i = 0; i < SEEDS; i++) {
        EQ(after(i, FAULT_FS_SECTORS, "/a", &byte, 1), 10);
        old += byte == 'o';
        new += byte == 'n';
        if (byte == 'n') EQ(after(i, FAULT_FS_SECTORS, "/tmp", NULL, 0), -1); /* one file has one name */
    }
    EQ(old + new, SEEDS);
    CHECK(old > 0 && new > 0);
    OK(files->close(fd, files->arg));
    OK(files->close(other, files->arg));
}

TEST(operations_of_a_directory_are_kept_independently)
{
    bool seen[8] = {false};

    OK(files->close(synced("/a", 'a', 1), files->arg));
    OK(files->unlink("/a", files->arg));
    OK(files->close(make("/b"), files->arg));
    OK(files->mkdir("/c", files->arg));
    for (uint32_t i = 0; i < SEEDS; i++) {
        struct fault_fs *image = fault_fs_crash(fs, i, FAULT_FS_SECTORS);

        seen[(exists(image, "/a") ? 1 : 0) + (exists(image, "/b") ? 2 : 0) + (exists(image, "/c") ? 4 : 0)] =
            true;
        fault_fs_free(image);
    }
    for (uint32_t i = 0; i < 8; i++)
        CHECK(seen[i]);
}

TEST(what_is_in_a_lost_directory_is_lost)
{
    uint32_t there = 0;

    OK(files->mkdir("/d", files->arg));
    OK(files->close(make("/d/a"), files->arg));
    sync_dir("/d");
    for (uint32_t i = 0; i < SEEDS; i++)
        there += after(i, FAULT_FS_SECTORS, "/d/a", NULL, 0) == 0;
    CHECK(there > 0 && there < SEEDS);
    sync_dir("/");
    EQ(after(0, FAULT_FS_NOTHING, "/d/a", NULL, 0), 0);
}

TEST(a_synced_unlink_is_final_whatever_was_un_synced_before)
{
    OK(files->close(make("/a"), files->arg));
    OK(files->rename("/a", "/b", files->arg));
    OK(files->unlink("/b", files->arg));
    sync_dir("/");
    CHECK(!exists(fs, "/a") && !exists(fs, "/b"));
    for (uint32_t i = 0; i < SEEDS; i++) {
        EQ(after(i, FAULT_FS_SECTORS, "/a", NULL, 0), -1);
        EQ(after(i, FAULT_FS_SECTORS, "/b", NULL, 0), -1);
    }
}

/* ---- processes and images ---- */

TEST(the_same_seed_gives_the_same_image_and_the_disk_is_unharmed)
{
    int32_t fd = synced("/a", 'o', 5000);
    struct fault_fs *before = fault_fs_clone(fs);
    uint32_t differ = 0;

    fill(fd, 'n', 5000, 2000);
    OK(files->close(make("/b"), files->arg));
    CHECK(!fault_fs_same(fs, before));
    for (uint32_t i = 0; i < 50; i++) {
        struct fault_fs *one = fault_fs_crash(fs, i, i % 3), *two = fault_fs_crash(fs, i, i % 3);
        struct fault_fs *other = fault_fs_crash(fs, i + 1000, i % 3);

        CHECK(fault_fs_same(one, two));
        CHECK(fault_fs_settled(one));
        differ += !fault_fs_same(one, other);
        fault_fs_zero(one, "/a", 0); /* an image's bytes are its own */
        fault_fs_free(one);
        fault_fs_free(two);
        fault_fs_free(other);
    }
    CHECK(differ > 20);
    EQ(files->size(fd, files->arg), 7000);
    OK(files->close(fd, files->arg));
    fault_fs_free(before);
}

TEST(a_crash_ends_descriptors_and_locks_and_a_kill_keeps_the_cache)
{
    int32_t fd = synced("/a", 'o', 100), again;

    OK(files->lock(fd, files->arg));
    fill(fd, 'n', 100, 0);
    fault_fs_kill(fs);
    FAILS(files->close(fd, files->arg), EVB_EIO); /* one of before: no misuse */
    EQ(fault_fs_misuses(fs), 0);
    EQ(fault_fs_open_files(fs), 0);
    again = (int32_t)ID(files->open("/a", RW, files->arg));
    NE(again, fd);
    OK(files->lock(again, files->arg));
    CHECK(!fault_fs_settled(fs));
    {
        uint8_t byte;

        EQ(files->pread(again, &byte, 1, 0, files->arg), 1);
        EQ(byte, 'n');
        fault_fs_crash_here(fs, 1, FAULT_FS_NOTHING);
        FAILS((int32_t)files->pread(again, &byte, 1, 0, files->arg), EVB_EIO);
        EQ(fault_fs_get(fs, "/a", &byte, 1), 100);
        EQ(byte, 'o');
    }
    again = (int32_t)ID(files->open("/a", RW, files->arg));
    OK(files->lock(again, files->arg));
    OK(files->close(again, files->arg));
}

int main(int argc, char **argv)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, make_disk, fault_fs_after)
    static const struct CMUnitTest tests[] = {
        ON_DISK(what_was_synced_stays_in_every_image),
        ON_DISK(a_sector_is_kept_or_lost_by_itself),
        ON_DISK(a_later_write_to_a_sector_never_comes_without_the_earlier_one),
        ON_DISK(sizes_and_data_are_kept_apart),
        ON_DISK(a_truncation_is_kept_or_lost_and_growing_again_shows_zeros),
        ON_DISK(an_allocation_grows_by_zeros_and_leaves_what_is_there),
        ON_DISK(torn_and_garbled_sectors_hurt_only_what_is_un_synced),
        ON_DISK(recycled_sectors_show_a_deleted_file),
        ON_DISK(a_name_is_not_saved_by_the_datasync_of_its_file),
        ON_DISK(a_rename_is_old_or_new_and_never_nothing),
        ON_DISK(operations_of_a_directory_are_kept_independently),
        ON_DISK(what_is_in_a_lost_directory_is_lost),
        ON_DISK(a_synced_unlink_is_final_whatever_was_un_synced_before),
        ON_DISK(the_same_seed_gives_the_same_image_and_the_disk_is_unharmed),
        ON_DISK(a_crash_ends_descriptors_and_locks_and_a_kill_keeps_the_cache),
    };
    return EVB_TEST_MAIN("fault_fs_crash", tests, argc, argv);
}
