/* SPDX-License-Identifier: MIT */
/* The crash tests are not blind: a store whose syncs do nothing, or do nothing for directories, or
 * whose writes behind a failed one are not cut back, is found out by the same driver and the same
 * check.
 */
#include "evb_test.h"

#include <string.h>
#include "fault_fs.h"
#include "store_kit.h"

enum { ACKED };

static const evb_store_opts small = {.segment_bytes = 16384};

/* The disk with one call that lies. */
static struct {
    struct evb__files files;
    const struct evb__files *disk;
    int32_t directories[64]; /* descriptors of directories */
    uint32_t next;
} liar;

static int32_t note_directory(const char *path, uint32_t flags, void *arg)
{
    int32_t fd = liar.disk->open(path, flags, arg);

    if (fd >= 0) liar.directories[liar.next++ % 64] = (flags & EVB__FILE_DIR) != 0 ? fd : -1;
    return fd;
}

static bool is_directory(int32_t fd)
{
    for (int i = 0; i < 64; i++)
        if (liar.directories[i] == fd) return true;
    return false;
}

static int32_t sync_nothing(int32_t fd, void *arg)
{
    return is_directory(fd) ? liar.disk->datasync(fd, arg) : EVB_OK;
}

static int32_t sync_files_only(int32_t fd, void *arg)
{
    return is_directory(fd) ? EVB_OK : liar.disk->datasync(fd, arg);
}

static uint32_t syncs;

static int32_t sync_every_third(int32_t fd, void *arg)
{
    return syncs++ % 3 != 0 ? EVB_OK : liar.disk->datasync(fd, arg);
}

static void live(struct fault_fs *fs, void *arg)
{
    evb_store *store;

    liar.disk = fault_fs_files(fs);
    liar.files = *liar.disk;
    liar.files.open = note_directory;
    memset(liar.directories, 0xff, sizeof liar.directories);
    memcpy(&liar.files.datasync, arg, sizeof liar.files.datasync);
    evb__files_set(&liar.files);
    OK(evb_store_open("/d", &small, &store));
    for (uint32_t j = 0; j < 60; j++) {
        OK(store_kit_append(store, j, true));
        fault_fs_note(fs, ACKED, j + 1);
    }
    OK(evb_store_close(store));
    fault_fs_use(fs);
}

static const char *check(struct fault_fs *image, const struct fault_fs_point *at, void *arg)
{
    const char *what;
    evb_store *store;
    uint32_t end = 0;
    int32_t rc = evb_store_open("/d", &small, &store);

    (void)image;
    (void)arg;
    if (rc != EVB_OK) return fault_fs_wrong("open answers %s", evb_err_name(rc));
    what = store_kit_check(store, 0, &end);
    if (what == NULL && end < fault_fs_noted(at, ACKED)) what = "acknowledged appends are gone";
    rc = evb_store_close(store);
    return what != NULL || rc == EVB_OK ? what : "close fails";
}

static bool is_found_out(int32_t (*datasync)(int32_t fd, void *arg))
{
    struct fault_fs_drive drive = {.script = live,
                                   .check = check,
                                   .arg = &datasync,
                                   .seed = evb_test_seed(),
                                   .images = 10,
                                   .expect_violations = true};

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    return fault_fs_each_crash_point(&drive).violations > 0;
}

static int32_t sync_honestly(int32_t fd, void *arg)
{
    return liar.disk->datasync(fd, arg);
}

TEST(a_store_that_does_not_sync_its_files_is_found_out)
{
    CHECK(is_found_out(sync_nothing));
}

TEST(a_store_that_does_not_sync_its_directories_is_found_out)
{
    CHECK(is_found_out(sync_files_only));
}

TEST(a_store_that_leaves_out_some_syncs_is_found_out)
{
    syncs = 0;
    CHECK(is_found_out(sync_every_third));
}

TEST(the_store_as_it_is_is_not)
{
    CHECK(!is_found_out(sync_honestly));
}

/* ---- old frames behind a tear ---- */

/* A torn tail, behind which a whole frame of an unacknowledged append still lies: it must not come
 * back when the store goes on. A store that cut the tear and appended there would find it again.
 */
TEST(a_frame_behind_a_torn_one_never_comes_back)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fault_fs *fs = fault_fs_new(), *image, *killed;
        evb_store_opts os = {.segment_bytes = 16384, .sync = EVB_SYNC_OS};
        evb_store *store;
        uint32_t end = 0, again = 0;

        evb_set_log(NULL, NULL, EVB_LOG_NONE);
        fault_fs_use(fs);
        OK(evb_store_open("/d", &os, &store));
        for (uint32_t j = 0; j < 12; j++)
            OK(store_kit_append(store, j, true));
        image = fault_fs_crash(fs, seed, FAULT_FS_SECTORS); /* holes among what was never synced */
        OK(evb_store_close(store));
        fault_fs_use(image);
        OK(evb_store_open("/d", &os, &store));
        EQ_PTR(store_kit_check(store, 0, &end), NULL);
        OK(store_kit_append(store, end, true));
        killed = fault_fs_clone(image); /* what the next process finds after kill -9 */
        OK(evb_store_close(store));
        fault_fs_use(killed);
        OK(evb_store_open("/d", &os, &store));
        EQ_PTR(store_kit_check(store, 0, &again), NULL);
        EQ(again, end + 1);
        OK(evb_store_close(store));
        fault_fs_use(NULL);
        fault_fs_free(killed);
        fault_fs_free(image);
        fault_fs_free(fs);
    }
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_store_that_does_not_sync_its_files_is_found_out),
        EACH(a_store_that_does_not_sync_its_directories_is_found_out),
        EACH(a_store_that_leaves_out_some_syncs_is_found_out),
        EACH(the_store_as_it_is_is_not),
        EACH(a_frame_behind_a_torn_one_never_comes_back),
    };

    return EVB_TEST_MAIN("store_controls", tests, argc, argv);
}
