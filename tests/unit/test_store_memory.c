/* SPDX-License-Identifier: MIT */
/* Every call of the store with every allocation failing: it answers EVB_ENOMEM and has done nothing,
 * and works afterwards. */
#include "evb_test.h"

#include <string.h>
#include "fault_fs.h"
#include "store_kit.h"

static const evb_store_opts small = {.segment_bytes = 16384};
static evb_store *store;

static void begin(uint32_t appends)
{
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    fault_fs_use(fault_fs_new());
    OK(evb_store_open("/d", &small, &store));
    for (uint32_t j = 0; j < appends; j++)
        OK(store_kit_append(store, j, true));
}

static void end(uint32_t appends)
{
    uint32_t found;

    EQ_PTR(store_kit_check(store, 0, &found), NULL);
    EQ(found, appends);
    OK(evb_store_close(store));
    OK(evb_store_open("/d", &small, &store));
    EQ_PTR(store_kit_check(store, 0, &found), NULL);
    EQ(found, appends);
    OK(evb_store_close(store));
}

static void open_and_close(void *arg)
{
    evb_store *opened = NULL;

    if (!OK_OR_NOMEM(evb_store_open("/d", arg, &opened))) {
        EQ_PTR(opened, NULL);
        return;
    }
    OK(evb_store_close(opened));
}

TEST(a_store_that_finds_no_memory_to_open_is_not_open_and_opens_later)
{
    evb_store_opts read_only = small, mem = small;

    begin(100);
    OK(evb_store_close(store));
    read_only.flags = EVB_STORE_READ_ONLY;
    mem.sync = EVB_SYNC_MEM;
    CHECK(evb_test_alloc_sweep(open_and_close, (void *)&small) > 5);
    CHECK(evb_test_alloc_sweep(open_and_close, &read_only) > 5);
    CHECK(evb_test_alloc_sweep(open_and_close, &mem) > 5);
    OK(evb_store_open("/d", &small, &store));
    end(100);
}

static void make_new(void *arg)
{
    evb_store *opened = NULL;

    (void)arg;
    fault_fs_use(fault_fs_new());
    if (!OK_OR_NOMEM(evb_store_open("/d", &small, &opened))) return;
    OK(evb_store_close(opened));
}

TEST(a_store_that_finds_no_memory_to_be_made_is_made_later)
{
    begin(0);
    OK(evb_store_close(store));
    CHECK(evb_test_alloc_sweep(make_new, NULL) > 5);
}

TEST(an_append_that_finds_no_memory_has_not_happened)
{
    uint32_t j = 0, refused = 0;

    begin(0);
    /* each append with its k-th allocation failing, then again; rolls to new segments are among them */
    for (; j < 150; j++) {
        for (uint64_t k = 1;; k++) {
            int32_t rc;

            evb_test_alloc_fail_once_at(k);
            rc = store_kit_append(store, j, true);
            if (evb_test_alloc_faults() == 0) {
                evb_test_alloc_fail_off();
                EQ(rc, EVB_OK);
                break;
            }
            evb_test_alloc_fail_off();
            if (rc == EVB_OK) break; /* it could do without */
            EQ(rc, EVB_ENOMEM);
            refused++;
            CHECK(k < 100);
        }
    }
    CHECK(refused > 10);
    end(j);
}

struct reading {
    evb_read_opts opts;
    uint32_t records;
};

/* Whatever fails is asked again: no record is lost or doubled by it. */
static void read_through(void *arg)
{
    struct reading *reading = arg;
    evb_reader *reader = NULL;
    evb_record record;
    uint64_t last = 0;
    uint32_t n = 0, failures = 0;
    int32_t rc;

    if (!OK_OR_NOMEM(evb_store_read(store, &reading->opts, &reader))) return;
    while ((rc = evb_reader_next(reader, 0, &record)) != EVB_EEMPTY) {
        if (rc == EVB_ENOMEM && failures++ < 1000) {
            if (failures == 3) evb_test_alloc_fail_off(); /* it will not get better by itself */
            continue;
        }
        EQ(rc, EVB_OK);
        if (rc != EVB_OK) break;
        EQ_PTR(store_kit_is(&record), NULL);
        CHECK(last == 0 || (reading->opts.flags != 0 ? record.position < last : record.position > last));
        last = record.position;
        n++;
    }
    if (reading->records == 0) reading->records = n;
    EQ(n, reading->records);
    evb_reader_close(reader);
}

TEST(a_read_that_finds_no_memory_goes_on_where_it_was)
{
    static const evb_read_opts ways[] = {{0},
                                         {.flags = EVB_READ_BACKWARDS},
                                         {.stream = "stream-2"},
                                         {.stream = "stream-2", .from_version = 9},
                                         {.stream = "stream-2", .flags = EVB_READ_BACKWARDS},
                                         {.topic_pattern = "topic.*", .from_position = 30},
                                         {.from_time_ns = 40000, .flags = EVB_READ_BACKWARDS}};

    begin(100);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct reading reading = {.opts = ways[i]};

        read_through(&reading);
        CHECK(reading.records > 5);
        for (uint64_t k = 1; k < 30; k++) {
            evb_test_alloc_fail_once_at(k);
            read_through(&reading);
            evb_test_alloc_fail_from(k);
            read_through(&reading);
            evb_test_alloc_fail_off();
        }
    }
    end(100);
}

static void snapshot(void *arg)
{
    evb_record record = {.size = 99};

    (void)arg;
    if (!OK_OR_NOMEM(evb_snapshot_save(store, "stream-1", 3, 1, "state", 5))) return;
    if (!OK_OR_NOMEM(evb_snapshot_load(store, "stream-1", 1, &record))) {
        EQ(record.size, 99);
        return;
    }
    evb_record_free(&record);
}

static void check_and_mend(void *arg)
{
    (void)arg;
    if (!OK_OR_NOMEM(evb_store_verify("/d", NULL))) return;
    (void)OK_OR_NOMEM(evb_store_salvage("/d", NULL));
}

TEST(snapshots_trim_verify_and_salvage_find_no_memory_and_do_nothing)
{
    begin(100);
    CHECK(evb_test_alloc_sweep(snapshot, NULL) >= 2);
    evb_test_alloc_fail_from(1);
    FAILS(evb_store_trim(store, store_kit_position(60)), EVB_ENOMEM);
    evb_test_alloc_fail_off();
    EQ(evb_store_first_position(store), 1);
    CHECK(evb_store_trim(store, store_kit_position(60)) > 0);
    CHECK(evb_store_first_position(store) > 1);
    OK(evb_store_close(store));
    CHECK(evb_test_alloc_sweep(check_and_mend, NULL) >= 5);
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_store_that_finds_no_memory_to_open_is_not_open_and_opens_later),
        EACH(a_store_that_finds_no_memory_to_be_made_is_made_later),
        EACH(an_append_that_finds_no_memory_has_not_happened),
        EACH(a_read_that_finds_no_memory_goes_on_where_it_was),
        EACH(snapshots_trim_verify_and_salvage_find_no_memory_and_do_nothing),
    };

    return EVB_TEST_MAIN("store_memory", tests, argc, argv);
}
