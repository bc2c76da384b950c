/* SPDX-License-Identifier: MIT */
/* A closed store, and something on the disk that is not what was written: flipped bits in every
 * file, lost and exchanged sectors, files cut, missing, doubled. What the store then shows is the
 * whole history, or it says that it is damaged; verify sees the same; salvage makes it usable and
 * says what that cost.
 */
#include "evb_test.h"

#include <stdio.h>
#include <string.h>
#include "fault_fs.h"
#include "store_kit.h"

#define APPENDS 110u

static const evb_store_opts small = {.segment_bytes = 16384};
static struct fault_fs *good;

/* Four segments or so, closed as it should be. */
static void make_good(void)
{
    evb_store *store;

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    good = fault_fs_new();
    fault_fs_use(good);
    OK(evb_store_open("/d", &small, &store));
    for (uint32_t j = 0; j < APPENDS; j++)
        OK(store_kit_append(store, j, true));
    OK(evb_store_close(store));
    fault_fs_sync(good);
}

/* Reads everything: 1 = the whole history, 0 = it says that it is damaged. Anything else fails the
 * test. */
static int read_all(evb_store *store, const char *what)
{
    uint64_t next = 1;
    evb_reader *reader;
    evb_record record;
    int32_t rc;

    OK(evb_store_read(store, NULL, &reader));
    while ((rc = evb_reader_next(reader, 0, &record)) == EVB_OK) {
        if (record.position != next++) evb_test_fail(__FILE__, __LINE__, "%s: a record is missing", what);
        if (store_kit_is(&record) != NULL)
            evb_test_fail(__FILE__, __LINE__, "%s: %s", what, store_kit_is(&record));
    }
    evb_reader_close(reader);
    if (rc == EVB_ECORRUPT) return 0;
    if (rc != EVB_EEMPTY || next != store_kit_position(APPENDS))
        evb_test_fail(__FILE__, __LINE__, "%s: it ends at %u with %s", what, (unsigned)next,
                      evb_err_name(rc));
    return 1;
}

static int look(const char *what)
{
    evb_store *store;
    int32_t rc = evb_store_open("/d", &small, &store);
    int whole;

    if (rc == EVB_ECORRUPT) return 0;
    if (rc != EVB_OK) evb_test_fail(__FILE__, __LINE__, "%s: open answers %s", what, evb_err_name(rc));
    whole = read_all(store, what);
    OK(evb_store_close(store));
    return whole;
}

/* After salvage: good records only, in order, and as many as it says. */
static uint64_t look_at_rest(const char *what)
{
    uint64_t next = 1, records = 0, last;
    evb_store *store;
    evb_reader *reader;
    evb_record record, more = {.topic = "t", .data = "more", .size = 4};
    int32_t rc = evb_store_open("/d", &small, &store);

    if (rc != EVB_OK)
        evb_test_fail(__FILE__, __LINE__, "%s: after salvage open answers %s", what, evb_err_name(rc));
    if (rc != EVB_OK) return 0;
    last = evb_store_last_position(store);
    OK(evb_store_read(store, NULL, &reader));
    while ((rc = evb_reader_next(reader, 0, &record)) == EVB_OK) {
        if (record.position < next || store_kit_is(&record) != NULL)
            evb_test_fail(__FILE__, __LINE__, "%s: after salvage %u is wrong", what,
                          (unsigned)record.position);
        next = record.position + 1;
        records++;
    }
    EQ(rc, EVB_EEMPTY);
    EQ(next, records == 0 ? next : last + 1);
    evb_reader_close(reader);
    OK(evb_store_append(store, "new", EVB_ANY_VERSION, &more, 1, NULL));
    OK(evb_store_close(store));
    OK(evb_store_open("/d", &small, &store));
    EQ(evb_store_last_position(store), last + 1);
    OK(evb_store_close(store));
    return records;
}

/* The damage is done to the disk in force: open, verify, salvage. Answers whether all was there. */
static int outcome(struct fault_fs *disk, const char *what)
{
    struct fault_fs *copy = fault_fs_clone(disk);
    evb_verify_report found = {.struct_size = sizeof found}, saved = {.struct_size = sizeof saved};
    int32_t verified, salvaged;
    uint64_t records;
    int whole;

    fault_fs_use(copy);
    verified = evb_store_verify("/d", &found);
    if (verified != EVB_OK && verified != EVB_ECORRUPT)
        evb_test_fail(__FILE__, __LINE__, "%s: verify answers %s", what, evb_err_name(verified));
    EQ(found.damaged, verified == EVB_ECORRUPT);
    CHECK(fault_fs_same(copy, disk)); /* it has changed nothing */
    whole = look(what);
    if (!whole && verified == EVB_OK) evb_test_fail(__FILE__, __LINE__, "%s: verify sees nothing", what);
    fault_fs_free(copy);

    if (!whole) {
        fault_fs_use(disk);
        salvaged = evb_store_salvage("/d", &saved);
        if (salvaged != EVB_OK)
            evb_test_fail(__FILE__, __LINE__, "%s: salvage answers %s", what, evb_err_name(salvaged));
        records = look_at_rest(what);
        if (records != saved.records)
            evb_test_fail(__FILE__, __LINE__, "%s: salvage says %u records, there are %u", what,
                          (unsigned)saved.records, (unsigned)records);
        if (records + saved.lost_positions > store_kit_position(APPENDS) - 1)
            evb_test_fail(__FILE__, __LINE__, "%s: more is lost than there was", what);
    }
    EQ(fault_fs_open_files(disk), 0);
    return whole;
}

static const char *const files[] = {
    "/d/META",
    "/d/seg/00000000000000000001.seg",
    "/d/seg/00000000000000000001.idx",
};

/* The name of the last segment, and of the ones between, by the first positions that the history
 * gives them.
 */
static uint32_t segments(char names[8][64])
{
    uint32_t n = 0;

    for (uint64_t base = 1; base < store_kit_position(APPENDS) && n < 8; base++) {
        char name[64];

        (void)snprintf(name, sizeof name, "/d/seg/%020u.seg", (unsigned)base);
        if (fault_fs_get(good, name, NULL, 0) >= 0) (void)snprintf(names[n++], 64, "%s", name);
    }
    return n;
}

static void flip_bits_of(const char *path, uint32_t step)
{
    int64_t size = fault_fs_get(good, path, NULL, 0);
    uint32_t intact = 0, told = 0;

    CHECK(size > 0);
    for (uint64_t bit = evb__rng_below(evb_test_rng(), step); bit < (uint64_t)size * 8;
         bit += 1 + evb__rng_below(evb_test_rng(), 2 * step)) {
        struct fault_fs *disk = fault_fs_clone(good);
        char what[120];

        (void)snprintf(what, sizeof what, "%s bit %u", path, (unsigned)bit);
        fault_fs_flip(disk, path, bit);
        if (outcome(disk, what)) {
            intact++;
        } else {
            told++;
        }
        fault_fs_use(good);
        fault_fs_free(disk);
    }
    printf("%s: %u flips made no difference, %u were reported\n", path, intact, told);
    CHECK(intact + told > 5);
}

TEST(a_flipped_bit_anywhere_makes_no_difference_or_is_reported)
{
    char names[8][64];
    uint32_t n;

    make_good();
    n = segments(names);
    CHECK(n >= 3);
    flip_bits_of(files[0], 40);
    flip_bits_of(files[1], 500);
    flip_bits_of(files[2], 200);
    flip_bits_of(names[n - 1], 300);
    flip_bits_of(names[1], 500);
}

static void damaged(void (*damage)(struct fault_fs *disk, const char *path, uint64_t at), const char *how,
                    uint32_t step, uint64_t unit)
{
    char names[8][64];
    uint32_t n, whole = 0, told = 0;

    make_good();
    n = segments(names);
    for (uint32_t i = 0; i < n; i++) {
        int64_t size = fault_fs_get(good, names[i], NULL, 0);

        for (uint64_t at = 0; at * unit < (uint64_t)size; at += step) {
            struct fault_fs *disk = fault_fs_clone(good);
            char what[120];

            (void)snprintf(what, sizeof what, "%.60s %.30s %u", names[i], how, (unsigned)at);
            damage(disk, names[i], at);
            if (outcome(disk, what)) {
                whole++;
            } else {
                told++;
            }
            fault_fs_use(good);
            fault_fs_free(disk);
        }
    }
    CHECK(told > 3);
    printf("%s: %u made no difference, %u were reported\n", how, whole, told);
}

static void zero(struct fault_fs *disk, const char *path, uint64_t sector)
{
    fault_fs_zero(disk, path, sector);
}

TEST(a_sector_of_zeros_makes_no_difference_or_is_reported)
{
    damaged(zero, "zeroed sector", 1, FAULT_FS_SECTOR);
}

static void cut(struct fault_fs *disk, const char *path, uint64_t size)
{
    fault_fs_cut(disk, path, size);
}

TEST(a_file_cut_anywhere_makes_no_difference_or_is_reported)
{
    damaged(cut, "cut at", 397, 1);
}

static void swap(struct fault_fs *disk, const char *path, uint64_t sector)
{
    if (sector > 0) fault_fs_swap(disk, path, sector, sector - 1);
}

TEST(exchanged_sectors_make_no_difference_or_are_reported)
{
    damaged(swap, "swapped sector", 1, FAULT_FS_SECTOR);
}

static void drop(struct fault_fs *disk, const char *path, uint64_t at)
{
    (void)at;
    fault_fs_delete(disk, path);
}

TEST(a_missing_segment_is_reported)
{
    damaged(drop, "deleted", UINT32_MAX, 1);
}

TEST(a_segment_in_place_of_another_is_reported)
{
    char names[8][64];
    uint32_t n;

    make_good();
    n = segments(names);
    for (uint32_t i = 0; i < n; i++) {
        struct fault_fs *disk = fault_fs_clone(good);

        fault_fs_duplicate(disk, names[i], names[(i + 1) % n]);
        EQ(outcome(disk, "doubled"), 0);
        fault_fs_use(good);
        fault_fs_free(disk);
    }
}

TEST(verify_and_salvage_of_a_sound_store_find_nothing_and_change_nothing)
{
    evb_verify_report report = {.struct_size = sizeof report};
    struct fault_fs *before;
    evb_store *store;

    make_good();
    before = fault_fs_clone(good);
    OK(evb_store_verify("/d", &report));
    EQ(report.damaged, 0);
    EQ(report.records, store_kit_position(APPENDS) - 1);
    CHECK(report.segments >= 3);
    EQ(report.torn_bytes, 0);
    EQ(report.first_bad_position, 0);
    OK(evb_store_salvage("/d", &report));
    EQ(report.lost_positions, 0);
    CHECK(fault_fs_same(before, good));
    FAILS(evb_store_verify("/nowhere", NULL), EVB_ENOTFOUND);
    FAILS(evb_store_salvage("/nowhere", NULL), EVB_ENOTFOUND);
    FAILS(evb_store_verify(NULL, NULL), EVB_EINVAL);
    FAILS(evb_store_salvage(NULL, NULL), EVB_EINVAL);
    OK(evb_store_open("/d", &small, &store));
    FAILS(evb_store_verify("/d", NULL), EVB_EBUSY);
    FAILS(evb_store_salvage("/d", NULL), EVB_EBUSY);
    OK(evb_store_close(store));
}

TEST(a_read_only_store_shows_what_is_before_the_damage_and_says_where_that_ends)
{
    evb_store_opts read_only = small;
    char names[8][64];
    evb_store *store;
    evb_reader *reader;
    evb_record record;
    uint64_t next = 1;
    int32_t rc;

    make_good();
    (void)segments(names);
    fault_fs_flip(good, names[1], 8 * (4096 + 5000));
    fault_fs_delete(good, "/d/seg/00000000000000000001.idx");
    memcpy(names[1] + strlen(names[1]) - 3, "idx", 3);
    fault_fs_delete(good, names[1]);
    FAILS(evb_store_open("/d", &small, &store), EVB_ECORRUPT);
    read_only.flags = EVB_STORE_READ_ONLY;
    OK(evb_store_open("/d", &read_only, &store));
    OK(evb_store_read(store, NULL, &reader));
    while ((rc = evb_reader_next(reader, 0, &record)) == EVB_OK) {
        EQ(record.position, next++);
        EQ_PTR(store_kit_is(&record), NULL);
    }
    EQ(rc, EVB_ECORRUPT);
    CHECK(next > 50);
    evb_reader_close(reader);
    FAILS(evb_store_append(store, "s", 0, &(evb_record){.topic = "t"}, 1, NULL), EVB_ENOTSUP);
    FAILS(evb_store_sync(store), EVB_ENOTSUP);
    FAILS(evb_store_trim(store, 9), EVB_ENOTSUP);
    OK(evb_store_close(store));
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_flipped_bit_anywhere_makes_no_difference_or_is_reported),
        EACH(a_sector_of_zeros_makes_no_difference_or_is_reported),
        EACH(a_file_cut_anywhere_makes_no_difference_or_is_reported),
        EACH(exchanged_sectors_make_no_difference_or_are_reported),
        EACH(a_missing_segment_is_reported),
        EACH(a_segment_in_place_of_another_is_reported),
        EACH(verify_and_salvage_of_a_sound_store_find_nothing_and_change_nothing),
        EACH(a_read_only_store_shows_what_is_before_the_damage_and_says_where_that_ends),
    };

    return EVB_TEST_MAIN("store_damage", tests, argc, argv);
}
