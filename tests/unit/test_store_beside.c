/* SPDX-License-Identifier: MIT */
/* The store beside others: read-only openers, another process, callbacks, those who use it. */
#include "evb_test.h"

#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include "base/atomic.h"
#include "base/reader.h"
#include "store/store.h"
#include "store_kit.h"

static const evb_store_opts small = {.segment_bytes = 16384, .sync = EVB_SYNC_OS};
static const evb_store_opts read_only = {.segment_bytes = 16384, .flags = EVB_STORE_READ_ONLY};

static evb_store *open_with(const evb_store_opts *opts)
{
    evb_store *store = NULL;

    OK(evb_store_open(store_kit_dir(), opts, &store));
    return store;
}

TEST(a_read_only_store_follows_the_writer_over_segments)
{
    evb_store *writer = open_with(&small), *viewer;
    evb_reader *all = NULL, *stream = NULL;
    evb_record record;
    uint64_t next = 1;
    uint32_t end;

    OK(store_kit_append(writer, 0, true));
    viewer = open_with(&read_only);
    OK(evb_store_read(viewer, &(evb_read_opts){.flags = EVB_READ_FOLLOW}, &all));
    OK(evb_store_read(viewer, &(evb_read_opts){.flags = EVB_READ_FOLLOW, .stream = "stream-3"}, &stream));
    for (uint32_t j = 1; j < 250; j++) {
        int32_t rc;

        OK(store_kit_append(writer, j, true));
        while ((rc = evb_reader_next(all, 0, &record)) == EVB_OK) {
            EQ(record.position, next++);
            EQ_PTR(store_kit_is(&record), NULL);
        }
        CHECK(rc == EVB_EAGAIN || rc == EVB_EEMPTY);
        EQ(next, store_kit_position(j + 1));
    }
    EQ_PTR(store_kit_check(viewer, 0, &end), NULL);
    EQ(end, 250);
    for (int64_t version = 1; version <= evb_store_version(writer, "stream-3"); version++) {
        OK(evb_reader_next(stream, EVB_FOREVER, &record));
        EQ(record.version, version);
    }
    FAILS(evb_reader_next(stream, EVB_FOREVER, &record), EVB_EAGAIN);
    FAILS(evb_reader_next(stream, 2000000, &record), EVB_ETIMEDOUT);
    evb_reader_close(all);
    evb_reader_close(stream);
    OK(evb_store_close(viewer));
    OK(evb_store_close(writer));
}

static evb_store *parents;
static evb_reader *parents_reader;

static int in_the_child(void *arg)
{
    evb_record record = {.topic = "t"};
    evb_reader *reader = NULL;

    (void)arg;
    FAILS(evb_store_append(parents, "s", 0, &record, 1, NULL), EVB_EFORKED);
    FAILS(evb_store_sync(parents), EVB_EFORKED);
    FAILS(evb_store_version(parents, "s"), EVB_EFORKED);
    FAILS(evb_store_read(parents, NULL, &reader), EVB_EFORKED);
    FAILS(evb_reader_next(parents_reader, EVB_FOREVER, &record), EVB_EFORKED);
    FAILS(evb_store_trim(parents, 1), EVB_EFORKED);
    FAILS(evb_snapshot_save(parents, "s", 1, 1, "x", 1), EVB_EFORKED);
    FAILS(evb_snapshot_load(parents, "s", 1, &record), EVB_EFORKED);
    FAILS(evb_store_close(parents), EVB_EFORKED);
    EQ(evb_store_last_position(parents), 0);
    evb_reader_close(parents_reader);
    return 0;
}

TEST(in_a_forked_child_the_store_is_the_parents_and_the_parent_goes_on)
{
    uint32_t end;

    parents = open_with(&(evb_store_opts){.segment_bytes = 16384, .sync = EVB_SYNC_MEM});
    OK(store_kit_append(parents, 0, true));
    OK(evb_store_read(parents, NULL, &parents_reader));
    EQ(evb_test_in_child(in_the_child, NULL), 0);
    OK(store_kit_append(parents, 1, true));
    EQ_PTR(store_kit_check(parents, 0, &end), NULL);
    EQ(end, 2);
    evb_reader_close(parents_reader);
    OK(evb_store_close(parents));
}

/* ---- kill -9 ---- */

static int append_until_killed(void *arg)
{
    evb_store *store;
    int *pipe_ends = arg;

    if (evb_store_open(store_kit_dir(), &(evb_store_opts){.segment_bytes = 16384, .sync = EVB_SYNC_OS},
                       &store) != EVB_OK)
        return 1;
    for (uint32_t j = 0; j < 4000; j++) {
        if (j < 4000 - 1 && evb_store_last_position(store) >= store_kit_position(j + 1) - 1)
            continue; /* there already */
        if (store_kit_append(store, j, true) != EVB_OK) return 2;
        if (write(pipe_ends[1], &j, sizeof j) != sizeof j) return 3;
        if (j % 97 == 96) raise(SIGKILL);
    }
    return 0;
}

TEST(what_was_acknowledged_is_there_after_kill_9)
{
    uint32_t last = 0, rounds = 0;
    int pipe_ends[2];

    EQ(pipe(pipe_ends), 0);
    for (; rounds < 12; rounds++) {
        uint32_t j, end;
        evb_store *store;
        int status = evb_test_in_child(append_until_killed, pipe_ends);

        EQ(status, 128 + SIGKILL);
        do {
            EQ(read(pipe_ends[0], &j, sizeof j), sizeof j);
        } while (j % 97 != 96);
        last = j;
        store = open_with(&small);
        EQ_PTR(store_kit_check(store, 0, &end), NULL);
        EQ(end, last + 1);
        OK(evb_store_close(store));
    }
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

/* ---- users and callbacks ---- */

TEST(a_store_that_somebody_uses_is_not_closed)
{
    evb_store *store = open_with(&small);

    evb__store_hold(store);
    FAILS(evb_store_close(store), EVB_EBUSY);
    OK(store_kit_append(store, 0, true)); /* nothing happened */
    evb__store_release(store);
    OK(evb_store_close(store));
}

TEST(inside_a_callback_a_store_is_not_closed_and_nobody_waits_for_more)
{
    evb_store *store = open_with(&small);
    evb_reader *reader = NULL;
    evb_record record;

    OK(evb_store_read(store, &(evb_read_opts){.flags = EVB_READ_FOLLOW}, &reader));
    evb__callback_begin(evb__self());
    FAILS(evb_store_close(store), EVB_EDEADLK);
    OK(store_kit_append(store, 0, true));
    OK(evb_reader_next(reader, EVB_FOREVER, &record));
    FAILS(evb_reader_next(reader, EVB_FOREVER, &record), EVB_EAGAIN);
    FAILS(evb_reader_next(reader, EVB_FOREVER, &record), EVB_EDEADLK);
    FAILS(evb_reader_next(reader, 0, &record), EVB_EEMPTY);
    evb__callback_end(evb__self());
    evb_reader_close(reader);
    OK(evb_store_close(store));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, store_kit_setup, store_kit_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_read_only_store_follows_the_writer_over_segments),
        EACH(in_a_forked_child_the_store_is_the_parents_and_the_parent_goes_on),
        EACH(what_was_acknowledged_is_there_after_kill_9),
        EACH(a_store_that_somebody_uses_is_not_closed),
        EACH(inside_a_callback_a_store_is_not_closed_and_nobody_waits_for_more),
    };

    return EVB_TEST_MAIN("store_beside", tests, argc, argv);
}
