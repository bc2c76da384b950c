/* SPDX-License-Identifier: MIT */
/* Snapshots: saved, loaded, replaced, refused; and power cuts while one is saved. */
#include "evb_test.h"

#include <stdio.h>
#include <string.h>
#include "fault_fs.h"
#include "store_kit.h"

static const evb_store_opts small = {.segment_bytes = 16384};
static evb_store *store;

static void begin(uint32_t sync)
{
    evb_store_opts opts = small;

    opts.sync = sync;
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fault_fs_use(fault_fs_new());
    OK(evb_store_open("/d", &opts, &store));
    for (uint32_t j = 0; j < 20; j++)
        OK(store_kit_append(store, j, true));
}

static void is_snapshot(const char *stream, uint32_t schema_version, int64_t version, const char *text)
{
    evb_record record;

    OK(evb_snapshot_load(store, stream, schema_version, &record));
    EQ(record.version, version);
    EQ(record.schema_version, schema_version);
    EQ(record.size, strlen(text));
    EQ_MEM(record.data, text, record.size);
    EQ((uintptr_t)record.data % 8, 0);
    evb_record_free(&record);
    EQ_PTR(record.data, NULL);
    evb_record_free(&record);
}

TEST(a_snapshot_comes_back_and_a_newer_one_takes_its_place)
{
    evb_record record;

    begin(EVB_SYNC_GROUP);
    FAILS(evb_snapshot_load(store, "stream-0", 1, &record), EVB_ENOTFOUND);
    OK(evb_snapshot_save(store, "stream-0", 2, 1, "two", 3));
    OK(evb_snapshot_save(store, "stream-1", 3, 7, "other", 5));
    is_snapshot("stream-0", 1, 2, "two");
    is_snapshot("stream-1", 7, 3, "other");
    OK(evb_snapshot_save(store, "stream-0", 4, 1, "four", 4));
    is_snapshot("stream-0", 1, 4, "four");
    FAILS(evb_snapshot_load(store, "stream-0", 2, &record), EVB_ENOTFOUND); /* of another schema */
    OK(evb_store_close(store));
    OK(evb_store_open("/d", &small, &store));
    is_snapshot("stream-0", 1, 4, "four");
    OK(evb_snapshot_save(store, "stream-0", 1, 1, NULL, 0));
    is_snapshot("stream-0", 1, 1, "");
    OK(evb_store_close(store));
}

TEST(a_snapshot_of_what_the_stream_has_not_reached_is_refused)
{
    int64_t version;

    begin(EVB_SYNC_GROUP);
    version = evb_store_version(store, "stream-0");
    FAILS(evb_snapshot_save(store, "stream-0", version + 1, 1, "x", 1), EVB_ECONFLICT);
    FAILS(evb_snapshot_save(store, "nobody", 1, 1, "x", 1), EVB_ECONFLICT);
    FAILS(evb_snapshot_save(store, "stream-0", 0, 1, "x", 1), EVB_EINVAL);
    FAILS(evb_snapshot_save(store, NULL, 1, 1, "x", 1), EVB_EINVAL);
    FAILS(evb_snapshot_save(store, "", 1, 1, "x", 1), EVB_EINVAL);
    FAILS(evb_snapshot_save(store, "stream-0", 1, 1, NULL, 1), EVB_EINVAL);
    FAILS(evb_snapshot_save(NULL, "stream-0", 1, 1, "x", 1), EVB_EINVAL);
    FAILS(evb_snapshot_load(store, "stream-0", 1, NULL), EVB_EINVAL);
    OK(evb_snapshot_save(store, "stream-0", version, 1, "x", 1));
    OK(evb_store_close(store));
}

static int32_t take_name(const char *file, void *user)
{
    (void)snprintf(user, 48, "%s", file);
    return EVB_OK;
}

TEST(a_damaged_snapshot_is_none)
{
    evb_record record;
    struct fault_fs *fs = fault_fs_new();
    char name[64];

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fault_fs_use(fs);
    OK(evb_store_open("/d", &small, &store));
    for (uint32_t j = 0; j < 20; j++)
        OK(store_kit_append(store, j, true));
    OK(evb_snapshot_save(store, "stream-0", 2, 1, "state", 5));
    /* the only file in snap */
    {
        const struct evb__files *files = evb__files();
        char found[48] = "";

        OK(files->list("/d/snap", take_name, found, files->arg));
        (void)snprintf(name, sizeof name, "/d/snap/%s", found);
    }
    for (uint64_t bit = 0; bit < 8 * 53; bit++) {
        fault_fs_flip(fs, name, bit);
        FAILS(evb_snapshot_load(store, "stream-0", 1, &record), EVB_ENOTFOUND);
        fault_fs_flip(fs, name, bit);
    }
    is_snapshot("stream-0", 1, 2, "state");
    fault_fs_cut(fs, name, 10);
    FAILS(evb_snapshot_load(store, "stream-0", 1, &record), EVB_ENOTFOUND);
    fault_fs_cut(fs, name, 0);
    FAILS(evb_snapshot_load(store, "stream-0", 1, &record), EVB_ENOTFOUND);
    OK(evb_store_close(store));
}

/* ---- power cuts ---- */

enum { SAVED, BEGUN };

static void save_some(struct fault_fs *fs, void *arg)
{
    evb_store_opts opts = small;

    (void)arg;
    opts.sync = EVB_SYNC_OS; /* the log may be behind: then the snapshot must not be ahead of it */
    OK(evb_store_open("/d", &opts, &store));
    for (uint32_t j = 0; j < 20; j++) {
        char text[16];
        int64_t version;

        OK(store_kit_append(store, j, true));
        version = evb_store_version(store, "stream-0");
        if (j % 4 != 1) continue;
        (void)snprintf(text, sizeof text, "state %u", (unsigned)version);
        fault_fs_note(fs, BEGUN, (uint64_t)version);
        OK(evb_snapshot_save(store, "stream-0", version, 1, text, strlen(text)));
        fault_fs_note(fs, SAVED, (uint64_t)version);
    }
    OK(evb_store_close(store));
}

static const char *check_saved(struct fault_fs *image, const struct fault_fs_point *at, void *arg)
{
    evb_record record;
    char text[16];
    const char *what = NULL;
    int32_t rc = evb_store_open("/d", &small, &store);

    (void)image;
    (void)arg;
    if (rc != EVB_OK) return fault_fs_wrong("open answers %s", evb_err_name(rc));
    rc = evb_snapshot_load(store, "stream-0", 1, &record);
    if (rc == EVB_ENOTFOUND) {
        if (fault_fs_noted(at, SAVED) != 0) what = "a saved snapshot is gone";
    } else if (rc != EVB_OK) {
        what = fault_fs_wrong("load answers %s", evb_err_name(rc));
    } else {
        (void)snprintf(text, sizeof text, "state %u", (unsigned)record.version);
        if (record.size != strlen(text) || memcmp(record.data, text, record.size) != 0)
            what = "it is another";
        if (record.version < (int64_t)fault_fs_noted(at, SAVED)) what = "it is an older one";
        if (record.version > (int64_t)fault_fs_noted(at, BEGUN)) what = "nobody has saved it";
        if (record.version > evb_store_version(store, "stream-0")) what = "it is ahead of its stream";
        evb_record_free(&record);
    }
    rc = evb_store_close(store);
    return what != NULL || rc == EVB_OK ? what : "close fails";
}

TEST(a_power_cut_while_a_snapshot_is_saved_leaves_the_old_one_or_the_new_one)
{
    struct fault_fs_drive drive = {
        .script = save_some, .check = check_saved, .seed = evb_test_seed(), .images = 10};
    struct fault_fs_verdict verdict;

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    verdict = fault_fs_each_crash_point(&drive);
    EQ(verdict.violations, 0);
    CHECK(verdict.images > 200);
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_snapshot_comes_back_and_a_newer_one_takes_its_place),
        EACH(a_snapshot_of_what_the_stream_has_not_reached_is_refused),
        EACH(a_damaged_snapshot_is_none),
        EACH(a_power_cut_while_a_snapshot_is_saved_leaves_the_old_one_or_the_new_one),
    };

    return EVB_TEST_MAIN("store_snapshots", tests, argc, argv);
}
