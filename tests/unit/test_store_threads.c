/* SPDX-License-Identifier: MIT */
/* Many threads append, follow, sync and trim one store: every append is there once, in the order of
 * versions and positions, at every level.
 */
#include "evb_test.h"

#include <evbus/store.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/atomic.h"
#include "base/platform.h"
#include "store_kit.h"

#define APPENDERS 4u
#define APPENDS   (EVB__TSAN ? 150u : 400u)

struct scene {
    evb_store *store;
    uint32_t sync;
    EVB__ATOMIC(uint32_t) conflicts;
};

static evb_store *open_level(uint32_t sync, uint64_t segment_bytes)
{
    char path[600];
    evb_store *store = NULL;

    (void)snprintf(path, sizeof path, "%s/%u", store_kit_dir(), (unsigned)sync);
    OK(evb_store_open(path,
                      &(evb_store_opts){.sync = sync, .segment_bytes = segment_bytes, .interval_ns = 1000000},
                      &store));
    return store;
}

/* Its own stream, at exact versions; now and then one that all share, at whatever version is there. */
static void append_some(uint32_t index, struct scene *scene)
{
    char stream[16], text[24];
    evb_record record = {.topic = "t", .data = text};

    (void)snprintf(stream, sizeof stream, "own-%u", (unsigned)index);
    for (uint32_t i = 0; i < APPENDS; i++) {
        record.size = (size_t)snprintf(text, sizeof text, "%u/%u", (unsigned)index, (unsigned)i);
        OK(evb_store_append(scene->store, stream, i, &record, 1, NULL));
        if (i % 8 == 0) {
            int64_t version = evb_store_version(scene->store, "shared");
            int32_t rc = evb_store_append(scene->store, "shared", version, &record, 1, NULL);

            if (rc == EVB_ECONFLICT) {
                (void)evb__add_rlx(&scene->conflicts, 1); /* a counter */
            } else {
                EQ(rc, EVB_OK);
            }
        }
        if (i % 50 == 49) OK(evb_store_sync(scene->store));
    }
}

/* All own events, as they come: each thread's in order, positions without a hole. */
static void follow_all(struct scene *scene)
{
    uint32_t own[APPENDERS] = {0}, left = APPENDERS * APPENDS;
    uint64_t next = 1;
    evb_reader *reader = NULL;
    evb_record record;

    OK(evb_store_read(scene->store, &(evb_read_opts){.flags = EVB_READ_FOLLOW}, &reader));
    while (left > 0) {
        int32_t rc = evb_reader_next(reader, EVB_FOREVER, &record);
        unsigned index, i;

        if (rc == EVB_EAGAIN) continue;
        EQ(rc, EVB_OK);
        if (rc != EVB_OK) break;
        EQ(record.position, next);
        next++;
        if (strcmp(record.stream, "shared") == 0) continue;
        CHECK(sscanf(record.data, "%u/%u", &index, &i) == 2 && index < APPENDERS);
        EQ(i, own[index]);
        EQ(record.version, i + 1);
        own[index]++;
        left--;
    }
    evb_reader_close(reader);
}

static void follow_one(struct scene *scene)
{
    evb_reader *reader = NULL;
    evb_record record;
    uint32_t version = 0;

    OK(evb_store_read(scene->store, &(evb_read_opts){.flags = EVB_READ_FOLLOW, .stream = "own-1"}, &reader));
    while (version < APPENDS) {
        int32_t rc = evb_reader_next(reader, EVB_FOREVER, &record);

        if (rc == EVB_EAGAIN) continue;
        EQ(rc, EVB_OK);
        if (rc != EVB_OK) break;
        EQ(record.version, ++version);
    }
    evb_reader_close(reader);
}

static void part(uint32_t index, void *arg)
{
    if (index < APPENDERS) {
        append_some(index, arg);
    } else if (index == APPENDERS) {
        follow_all(arg);
    } else {
        follow_one(arg);
    }
}

static void all_at_once(uint32_t sync)
{
    struct scene scene = {.store = open_level(sync, 16384), .sync = sync};
    int64_t shared;

    evb_test_run_threads(APPENDERS + 2, part, &scene);
    for (uint32_t i = 0; i < APPENDERS; i++) {
        char stream[16];

        (void)snprintf(stream, sizeof stream, "own-%u", (unsigned)i);
        EQ(evb_store_version(scene.store, stream), APPENDS);
    }
    shared = evb_store_version(scene.store, "shared");
    EQ(shared + evb__ld_rlx(&scene.conflicts), APPENDERS * ((APPENDS + 7) / 8));
    OK(evb_store_close(scene.store));
    scene.store = open_level(sync, 16384);
    EQ(evb_store_last_position(scene.store), APPENDERS * APPENDS + (uint64_t)shared);
    OK(evb_store_close(scene.store));
}

TEST(with_group_commit_every_append_of_many_threads_is_there_once_and_in_order)
{
    all_at_once(EVB_SYNC_GROUP);
}

TEST(the_same_holds_when_each_append_syncs_by_itself)
{
    all_at_once(EVB_SYNC_EACH);
}

TEST(the_same_holds_for_the_level_os)
{
    all_at_once(EVB_SYNC_OS);
}

TEST(the_same_holds_for_the_level_interval)
{
    all_at_once(EVB_SYNC_INTERVAL);
}

TEST(the_same_holds_for_the_level_mem)
{
    all_at_once(EVB_SYNC_MEM);
}

/* ---- close wakes ---- */

static void wait_or_close(uint32_t index, void *arg)
{
    struct scene *scene = arg;
    evb_record record;

    if (index == 0) {
        OK(evb_store_close(scene->store));
        return;
    }
    /* made before the store was closed; whoever sleeps is woken, whoever comes later does not sleep */
    {
        evb_reader *reader = ((evb_reader **)(void *)(scene + 1))[index - 1];
        int32_t rc = evb_reader_next(reader, EVB_FOREVER, &record);

        if (rc == EVB_EAGAIN) rc = evb_reader_next(reader, EVB_FOREVER, &record);
        EQ(rc, EVB_ECLOSED);
        evb_reader_close(reader);
    }
}

TEST(closing_the_store_wakes_its_followers)
{
    for (uint32_t round = 0; round < 20; round++) {
        struct {
            struct scene scene;
            evb_reader *readers[3];
        } all = {.scene = {.store = open_level(round % 5, 16384)}};

        for (int i = 0; i < 3; i++)
            OK(evb_store_read(all.scene.store, &(evb_read_opts){.flags = EVB_READ_FOLLOW}, &all.readers[i]));
        evb_test_run_threads(4, wait_or_close, &all);
    }
}

/* ---- trim beside everything else ---- */

static void trim_beside(uint32_t index, void *arg)
{
    struct scene *scene = arg;
    evb_record record = {.topic = "t", .data = "0123456789012345678901234567890123456789", .size = 40};

    if (index == 0) {
        for (uint32_t i = 0; i < 1500; i++)
            OK(evb_store_append(scene->store, "s", EVB_ANY_VERSION, &record, 1, NULL));
    } else if (index == 1) {
        for (uint32_t i = 0; i < 200; i++)
            CHECK(evb_store_trim(scene->store, evb_store_last_position(scene->store)) >= 0);
    } else {
        evb_reader *reader = NULL;
        uint64_t last = 0;

        OK(evb_store_read(scene->store,
                          &(evb_read_opts){.flags = EVB_READ_FOLLOW, .stream = index == 2 ? "s" : NULL},
                          &reader));
        while (last < 1500) {
            int32_t rc = evb_reader_next(reader, EVB_FOREVER, &record);

            if (rc == EVB_EAGAIN || rc == EVB_ETRUNCATED) continue;
            EQ(rc, EVB_OK);
            if (rc != EVB_OK) break;
            CHECK(record.position > last);
            last = record.position;
        }
        evb_reader_close(reader);
    }
}

TEST(trimming_beside_appends_and_readers_disturbs_neither)
{
    struct scene scene = {.store = open_level(EVB_SYNC_OS, 16384)};

    evb_test_run_threads(4, trim_beside, &scene);
    OK(evb_store_close(scene.store));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, store_kit_setup, store_kit_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(with_group_commit_every_append_of_many_threads_is_there_once_and_in_order),
        EACH(the_same_holds_when_each_append_syncs_by_itself),
        EACH(the_same_holds_for_the_level_os),
        EACH(the_same_holds_for_the_level_interval),
        EACH(the_same_holds_for_the_level_mem),
        EACH(closing_the_store_wakes_its_followers),
        EACH(trimming_beside_appends_and_readers_disturbs_neither),
    };

    return EVB_TEST_MAIN("store_threads", tests, argc, argv);
}
