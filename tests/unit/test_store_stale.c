/* SPDX-License-Identifier: MIT */
/* Stores that nobody closed: frames of appends that were refused never come back, and damage of what was
 * acknowledged is not taken for a torn tail.
 */
#include "evb_test.h"

#include <string.h>
#include "fault_fs.h"
#include "store/store.h"
#include "store_kit.h"

#define SEGMENT_PATH "/d/seg/00000000000000000001.seg"

static const evb_store_opts small = {.segment_bytes = 16384};

static evb_store *open_it(void)
{
    evb_store *store = NULL;

    OK(evb_store_open("/d", &small, &store));
    return store;
}

static int32_t append(evb_store *store, const char *stream, int64_t expected, const char *text)
{
    evb_record record = {.topic = "t", .data = text, .size = strlen(text)};

    return evb_store_append(store, stream, expected, &record, 1, NULL);
}

/* Three appends go to the disk together, and there is room for two of them: all are refused. Then one comes
 * that is as long as the first: behind it on the disk stands what the second one would be. */
TEST(a_frame_that_was_refused_never_comes_back_behind_one_that_was_not)
{
    struct fault_fs *fs = fault_fs_new(), *killed;
    static char large[2000];
    evb_record records[3] = {{.topic = "t", .data = "first one", .size = 9},
                             {.topic = "t", .data = "second one", .size = 10},
                             {.topic = "t", .data = large, .size = sizeof large}};
    struct evb__append appends[3];
    evb_store *store;

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fault_fs_use(fs);
    store = open_it();
    OK(append(store, "a", 0, "declared"));
    OK(append(store, "b", 0, "declared"));
    OK(append(store, "c", 0, "declared"));
    for (uint32_t i = 0; i < 3; i++)
        appends[i] = (struct evb__append){.stream = i == 0   ? "a"
                                                    : i == 1 ? "b"
                                                             : "c",
                                          .expected = 1,
                                          .records = &records[i],
                                          .n = 1};
    fault_fs_plan(fs, &(struct fault_fs_fault){
                          .what = FAULT_FS_SHORT_HALF, .kinds = FAULT_FS_KIND(FAULT_FS_PWRITE), .times = 1});
    fault_fs_plan(fs, &(struct fault_fs_fault){.what = FAULT_FS_FAIL,
                                               .status = EVB_ENOSPC,
                                               .kinds = FAULT_FS_KIND(FAULT_FS_PWRITE),
                                               .nth = 2,
                                               .times = 1});
    FAILS(evb__store_append_all(store, appends, 3, false, NULL, NULL), EVB_ENOSPC);
    EQ(evb_store_version(store, "b"), 1);
    OK(append(store, "a", 1, "other one"));
    killed = fault_fs_clone(fs);
    OK(evb_store_close(store));
    fault_fs_use(killed);
    store = open_it();
    EQ(evb_store_version(store, "a"), 2);
    EQ(evb_store_version(store, "b"), 1);
    EQ(evb_store_last_position(store), 4);
    OK(append(store, "b", 1, "not twice"));
    OK(evb_store_close(store));
}

/* Each append says that the ones before it are durable: only the last one is anybody's guess. */
TEST(a_flipped_bit_of_an_append_that_another_followed_is_reported_without_a_clean_end)
{
    struct fault_fs *fs = fault_fs_new(), *killed;
    uint64_t behind[21] = {4096};
    evb_store *store;

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fault_fs_use(fs);
    store = open_it();
    for (uint32_t j = 0; j < 20; j++) {
        OK(store_kit_append(store, j, true));
        behind[j + 1] = evb__segment_last(store)->end_offset;
    }
    killed = fault_fs_clone(fs);
    OK(evb_store_close(store));
    for (uint32_t j = 0; j < 20; j++) {
        for (uint64_t bit = behind[j] * 8 + evb__rng_below(evb_test_rng(), 90); bit < behind[j + 1] * 8;
             bit += 1 + evb__rng_below(evb_test_rng(), 500)) {
            struct fault_fs *disk = fault_fs_clone(killed);
            uint32_t end = 0;
            int32_t rc;

            fault_fs_flip(disk, SEGMENT_PATH, bit);
            fault_fs_use(disk);
            rc = evb_store_open("/d", &small, &store);
            EQ(rc, j < 19 ? EVB_ECORRUPT : EVB_OK);
            if (rc == EVB_OK) {
                EQ_PTR(store_kit_check(store, 0, &end), NULL);
                EQ(end, 19);
                OK(evb_store_close(store));
            }
            fault_fs_use(killed);
            fault_fs_free(disk);
        }
    }
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_frame_that_was_refused_never_comes_back_behind_one_that_was_not),
        EACH(a_flipped_bit_of_an_append_that_another_followed_is_reported_without_a_clean_end),
    };

    return EVB_TEST_MAIN("store_stale", tests, argc, argv);
}
