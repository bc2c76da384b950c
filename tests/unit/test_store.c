/* SPDX-License-Identifier: MIT */
/* The store as its header says: appending, versions, reading, following, closing. */
#include "evb_test.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "store_kit.h"

static evb_store *open_with(const evb_store_opts *opts)
{
    evb_store *store = NULL;

    OK(evb_store_open(store_kit_dir(), opts, &store));
    return store;
}

static int64_t put(evb_store *store, const char *stream, const char *topic, const char *text)
{
    evb_record record = {.topic = topic, .data = text, .size = strlen(text)};
    evb_append_result done = {.struct_size = sizeof done};

    OK(evb_store_append(store, stream, EVB_ANY_VERSION, &record, 1, &done));
    return (int64_t)done.position;
}

static evb_reader *read_with(evb_store *store, evb_read_opts opts)
{
    evb_reader *reader = NULL;

    OK(evb_store_read(store, &opts, &reader));
    return reader;
}

/* The texts that a read brings, each followed by a space. */
static const char *texts(evb_store *store, evb_read_opts opts)
{
    static char all[4096];
    evb_reader *reader = read_with(store, opts);
    evb_record record;
    size_t size = 0;
    int32_t rc;

    while ((rc = evb_reader_next(reader, 0, &record)) == EVB_OK)
        size += (size_t)snprintf(all + size, sizeof all - size, "%.*s ", (int)record.size,
                                 (const char *)record.data);
    EQ(rc, EVB_EEMPTY);
    evb_reader_close(reader);
    all[size] = '\0';
    return all;
}

/* ---- appending ---- */

TEST(a_new_store_is_empty_and_its_first_append_has_position_and_version_one)
{
    evb_store *store = open_with(NULL);
    evb_record record = {.topic = "a.b"};
    evb_append_result done = {.struct_size = sizeof done};

    EQ(evb_store_last_position(store), 0);
    EQ(evb_store_first_position(store), 0);
    EQ(evb_store_version(store, "s"), 0);
    EQ_STR(texts(store, (evb_read_opts){0}), "");
    OK(evb_store_append(store, "s", EVB_NO_STREAM, &record, 1, &done));
    EQ(done.position, 1);
    EQ(done.version, 1);
    EQ(done.flags, 0);
    EQ(evb_store_last_position(store), 1);
    EQ(evb_store_first_position(store), 1);
    EQ(evb_store_version(store, "s"), 1);
    OK(evb_store_close(store));
}

TEST(an_append_goes_in_only_at_the_version_that_it_expects)
{
    evb_store *store = open_with(NULL);
    evb_record records[3] = {{.topic = "t"}, {.topic = "t"}, {.topic = "t"}};
    evb_append_result done = {.struct_size = sizeof done};

    FAILS(evb_store_append(store, "s", EVB_STREAM_EXISTS, records, 1, &done), EVB_ECONFLICT);
    EQ(done.version, 0);
    FAILS(evb_store_append(store, "s", 1, records, 1, &done), EVB_ECONFLICT);
    OK(evb_store_append(store, "s", EVB_NO_STREAM, records, 3, &done));
    EQ(done.version, 3);
    EQ(done.position, 3);
    FAILS(evb_store_append(store, "s", EVB_NO_STREAM, records, 1, &done), EVB_ECONFLICT);
    EQ(done.version, 3);
    FAILS(evb_store_append(store, "s", 2, records, 1, &done), EVB_ECONFLICT);
    FAILS(evb_store_append(store, "s", 4, records, 1, NULL), EVB_ECONFLICT);
    OK(evb_store_append(store, "s", 3, records, 1, NULL));
    OK(evb_store_append(store, "s", EVB_STREAM_EXISTS, records, 1, NULL));
    OK(evb_store_append(store, "s", EVB_ANY_VERSION, records, 1, &done));
    EQ(done.version, 6);
    EQ(evb_store_version(store, "s"), 6);
    EQ(evb_store_last_position(store), 6);
    OK(evb_store_close(store));
}

TEST(the_same_events_appended_again_at_the_same_version_are_a_success_and_there_once)
{
    evb_store *store = open_with(NULL);
    evb_record records[2] = {{.topic = "t", .data = "one", .size = 3, .event_id = "0000000000000001"},
                             {.topic = "t", .data = "two", .size = 3, .event_id = "0000000000000002"}};
    evb_record other = {.topic = "t", .data = "other", .size = 5, .event_id = "0000000000000003"};
    evb_append_result done = {.struct_size = sizeof done};

    OK(evb_store_append(store, "s", EVB_NO_STREAM, records, 2, NULL));
    OK(evb_store_append(store, "s", 2, &other, 1, NULL));
    OK(evb_store_append(store, "s", EVB_NO_STREAM, records, 2, &done));
    EQ(done.flags, EVB_APPEND_DUPLICATE);
    EQ(done.version, 2);
    EQ(done.position, 2);
    OK(evb_store_append(store, "s", 1, &records[1], 1, &done)); /* the second alone */
    EQ(done.flags, EVB_APPEND_DUPLICATE);
    FAILS(evb_store_append(store, "s", 1, records, 2, &done), EVB_ECONFLICT); /* not at this version */
    EQ(done.version, 3);
    FAILS(evb_store_append(store, "s", EVB_NO_STREAM, &other, 1, NULL), EVB_ECONFLICT);
    records[1].event_id = NULL;
    FAILS(evb_store_append(store, "s", EVB_NO_STREAM, records, 2, NULL), EVB_ECONFLICT);
    OK(evb_store_append(store, "s", EVB_ANY_VERSION, &other, 1,
                        &done)); /* without a version nothing is compared */
    EQ(done.flags, 0);
    EQ_STR(texts(store, (evb_read_opts){0}), "one two other other ");
    OK(evb_store_close(store));
}

TEST(what_is_out_of_range_is_refused_and_nothing_happens)
{
    static char longest[300], big[5000];
    static const char *const no_topics[] = {"", "a..b", "a.*", "a.>", longest};
    evb_store *store = open_with(&(evb_store_opts){.segment_bytes = 16384}), *other = NULL;
    evb_record good = {.topic = "t"}, bad;
    evb_record many[70];

    memset(longest, 'n', sizeof longest - 1);
    FAILS(evb_store_append(NULL, "s", 0, &good, 1, NULL), EVB_EINVAL);
    FAILS(evb_store_append(store, NULL, 0, &good, 1, NULL), EVB_EINVAL);
    FAILS(evb_store_append(store, "", 0, &good, 1, NULL), EVB_EINVAL);
    FAILS(evb_store_append(store, longest, 0, &good, 1, NULL), EVB_EINVAL);
    FAILS(evb_store_append(store, "s", -3, &good, 1, NULL), EVB_EINVAL);
    FAILS(evb_store_append(store, "s", 0, NULL, 1, NULL), EVB_EINVAL);
    FAILS(evb_store_append(store, "s", 0, &good, 0, NULL), EVB_EINVAL);
    FAILS(evb_store_append(store, "s", 0, &good, 1, &(evb_append_result){.struct_size = 4}), EVB_EINVAL);
    bad = (evb_record){.topic = NULL};
    FAILS(evb_store_append(store, "s", 0, &bad, 1, NULL), EVB_EINVAL);
    for (size_t i = 0; i < sizeof no_topics / sizeof no_topics[0]; i++) {
        bad = (evb_record){.topic = no_topics[i]};
        FAILS(evb_store_append(store, "s", 0, &bad, 1, NULL), EVB_EINVAL);
    }
    bad = (evb_record){.topic = "t", .data = big, .size = 4096};
    FAILS(evb_store_append(store, "s", 0, &bad, 1, NULL), EVB_ETOOBIG);
    for (int i = 0; i < 70; i++)
        many[i] = (evb_record){.topic = "t", .data = big, .size = 64};
    FAILS(evb_store_append(store, "s", 0, many, 70, NULL), EVB_ETOOBIG);
    bad.size = 4000; /* a quarter of a segment, with what stands around it */
    OK(evb_store_append(store, "s", 0, &bad, 1, NULL));
    EQ(evb_store_version(store, "s"), 1);
    FAILS(evb_store_version(store, ""), EVB_EINVAL);
    FAILS(evb_store_version(store, NULL), EVB_EINVAL);
    FAILS(evb_store_version(NULL, "s"), EVB_EINVAL);
    EQ(evb_store_last_position(NULL), 0);
    EQ(evb_store_first_position(NULL), 0);
    FAILS(evb_store_sync(NULL), EVB_EINVAL);
    FAILS(evb_store_open(NULL, NULL, &other), EVB_EINVAL);
    FAILS(evb_store_open("", NULL, &other), EVB_EINVAL);
    FAILS(evb_store_open(store_kit_dir(), NULL, NULL), EVB_EINVAL);
    FAILS(evb_store_open(store_kit_dir(), &(evb_store_opts){.sync = 5}, &other), EVB_EINVAL);
    FAILS(evb_store_open(store_kit_dir(), &(evb_store_opts){.flags = 4}, &other), EVB_EINVAL);
    FAILS(evb_store_open(store_kit_dir(), &(evb_store_opts){.segment_bytes = 1000}, &other), EVB_EINVAL);
    FAILS(evb_store_open(store_kit_dir(), &(evb_store_opts){.interval_ns = -1}, &other), EVB_EINVAL);
    FAILS(evb_store_open(store_kit_dir(), &(evb_store_opts){.struct_size = 1}, &other), EVB_EINVAL);
    FAILS(evb_store_close(NULL), EVB_EINVAL);
    EQ_PTR(other, NULL);
    OK(evb_store_close(store));
}

/* ---- opening and closing ---- */

TEST(a_store_can_be_open_once_for_writing)
{
    evb_store *store = open_with(NULL), *second = NULL;

    FAILS(evb_store_open(store_kit_dir(), NULL, &second), EVB_EBUSY);
    EQ_PTR(second, NULL);
    OK(evb_store_close(store));
    store = open_with(NULL);
    OK(evb_store_close(store));
}

TEST(a_store_whose_parent_directory_is_missing_is_not_made)
{
    char path[600];
    evb_store *store = NULL;

    (void)snprintf(path, sizeof path, "%s/no/where", store_kit_dir());
    FAILS(evb_store_open(path, NULL, &store), EVB_ENOTFOUND);
    FAILS(evb_store_open(path, &(evb_store_opts){.flags = EVB_STORE_READ_ONLY}, &store), EVB_ENOTFOUND);
    (void)snprintf(path, sizeof path, "%s/one", store_kit_dir());
    OK(evb_store_open(path, NULL, &store));
    OK(evb_store_close(store));
}

static evb_store_opts level(uint32_t sync, uint32_t flags)
{
    return (evb_store_opts){.sync = sync, .flags = flags, .segment_bytes = 65536, .interval_ns = 1000000};
}

TEST(a_history_survives_closing_and_opening_at_every_level)
{
    for (uint32_t round = 0; round < 6; round++) {
        evb_store_opts opts = level(round % 5, round == 5 ? EVB_STORE_ZERO_FILL : 0);
        char path[600];
        uint32_t end = 0;

        (void)snprintf(path, sizeof path, "%s/%u", store_kit_dir(), (unsigned)round);
        for (uint32_t session = 0; session < 4; session++) {
            evb_store *store = NULL;

            OK(evb_store_open(path, &opts, &store));
            EQ_PTR(store_kit_check(store, 0, &end), NULL);
            EQ(end, session * 200);
            for (uint32_t j = end; j < end + 200; j++)
                OK(store_kit_append(store, j, j % 2 == 0));
            EQ_PTR(store_kit_check(store, 0, &end), NULL);
            EQ(end, session * 200 + 200);
            OK(evb_store_sync(store));
            OK(evb_store_close(store));
        }
    }
}

TEST(a_closed_store_opened_and_closed_again_does_not_grow)
{
    evb_store *store = open_with(NULL);
    struct stat before, after;
    char path[600];

    (void)put(store, "s", "t", "text");
    OK(evb_store_close(store));
    (void)snprintf(path, sizeof path, "%s/seg/00000000000000000001.seg", store_kit_dir());
    EQ(stat(path, &before), 0);
    CHECK(before.st_size < 8192); /* nothing ahead of the frames is left either */
    for (int i = 0; i < 3; i++) {
        evb_store *again = open_with(NULL);

        EQ_STR(texts(again, (evb_read_opts){0}), "text ");
        OK(evb_store_close(again));
        EQ(stat(path, &after), 0);
        EQ(after.st_size, before.st_size);
    }
}

/* ---- reading ---- */

static evb_store *small_history(void)
{
    evb_store *store = open_with(NULL);

    (void)put(store, "a", "order.made", "a1");
    (void)put(store, "b", "order.paid", "b1");
    (void)put(store, "a", "order.paid", "a2");
    (void)put(store, "c", "user.new", "c1");
    (void)put(store, "a", "user.new", "a3");
    return store;
}

TEST(everything_is_read_in_order_forward_and_backwards)
{
    evb_store *store = small_history();

    EQ_STR(texts(store, (evb_read_opts){0}), "a1 b1 a2 c1 a3 ");
    EQ_STR(texts(store, (evb_read_opts){.flags = EVB_READ_BACKWARDS}), "a3 c1 a2 b1 a1 ");
    EQ_STR(texts(store, (evb_read_opts){.from_position = 3}), "a2 c1 a3 ");
    EQ_STR(texts(store, (evb_read_opts){.from_position = 3, .flags = EVB_READ_BACKWARDS}), "a2 b1 a1 ");
    EQ_STR(texts(store, (evb_read_opts){.from_position = 6}), "");
    EQ_STR(texts(store, (evb_read_opts){.from_position = 60, .flags = EVB_READ_BACKWARDS}),
           "a3 c1 a2 b1 a1 ");
    OK(evb_store_close(store));
}

TEST(a_stream_is_read_from_a_version_or_a_position_forward_and_backwards)
{
    evb_store *store = small_history();

    EQ_STR(texts(store, (evb_read_opts){.stream = "a"}), "a1 a2 a3 ");
    EQ_STR(texts(store, (evb_read_opts){.stream = "a", .flags = EVB_READ_BACKWARDS}), "a3 a2 a1 ");
    EQ_STR(texts(store, (evb_read_opts){.stream = "a", .from_version = 2}), "a2 a3 ");
    EQ_STR(texts(store, (evb_read_opts){.stream = "a", .from_version = 2, .flags = EVB_READ_BACKWARDS}),
           "a2 a1 ");
    EQ_STR(texts(store, (evb_read_opts){.stream = "a", .from_version = 9}), "");
    EQ_STR(texts(store, (evb_read_opts){.stream = "a", .from_position = 2}), "a2 a3 ");
    EQ_STR(texts(store, (evb_read_opts){.stream = "a", .from_position = 4, .flags = EVB_READ_BACKWARDS}),
           "a2 a1 ");
    EQ_STR(texts(store, (evb_read_opts){.stream = "nobody"}), "");
    EQ_STR(texts(store, (evb_read_opts){.stream = "nobody", .flags = EVB_READ_BACKWARDS}), "");
    OK(evb_store_close(store));
}

TEST(a_follower_from_a_version_that_is_still_to_come_passes_over_what_is_there)
{
    evb_store *store = small_history();
    evb_read_opts opts = {.stream = "a", .from_version = 4, .flags = EVB_READ_FOLLOW};
    evb_record more = {.topic = "t", .data = "a4", .size = 2}, record;
    evb_reader *reader;

    OK(evb_store_read(store, &opts, &reader));
    EQ(evb_reader_next(reader, 0, &record), EVB_EAGAIN);
    EQ(evb_reader_next(reader, 0, &record), EVB_EEMPTY);
    OK(evb_store_append(store, "a", EVB_ANY_VERSION, &more, 1, NULL));
    OK(evb_reader_next(reader, 0, &record));
    EQ(record.version, 4);
    EQ_MEM(record.data, "a4", 2);
    evb_reader_close(reader);
    OK(evb_store_close(store));
}

TEST(a_pattern_chooses_topics)
{
    evb_store *store = small_history();

    EQ_STR(texts(store, (evb_read_opts){.topic_pattern = "order.*"}), "a1 b1 a2 ");
    EQ_STR(texts(store, (evb_read_opts){.topic_pattern = "*.paid", .flags = EVB_READ_BACKWARDS}), "a2 b1 ");
    EQ_STR(texts(store, (evb_read_opts){.topic_pattern = ">", .from_position = 4}), "c1 a3 ");
    EQ_STR(texts(store, (evb_read_opts){.topic_pattern = "user.new", .stream = "a"}), "a3 ");
    EQ_STR(texts(store, (evb_read_opts){.topic_pattern = "nothing"}), "");
    OK(evb_store_close(store));
}

TEST(a_read_from_a_time_begins_with_the_first_record_of_that_time_or_later)
{
    evb_store *store = open_with(NULL);
    static const int64_t times[] = {10, 20, 15, 40, 40, 50};
    char text[8];

    for (int i = 0; i < 6; i++) {
        evb_record record = {.topic = "t", .data = text, .size = 2, .time_ns = times[i]};

        (void)snprintf(text, sizeof text, "%d", (int)times[i]);
        OK(evb_store_append(store, i % 2 == 0 ? "even" : "odd", EVB_ANY_VERSION, &record, 1, NULL));
    }
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 1}), "10 20 15 40 40 50 ");
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 11}), "20 15 40 40 50 ");
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 30}), "40 40 50 ");
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 51}), "");
    EQ_STR(texts(store, (evb_read_opts){.stream = "even", .from_time_ns = 30}), "40 ");
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 40, .flags = EVB_READ_BACKWARDS}), "40 40 15 20 10 ");
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 45, .flags = EVB_READ_BACKWARDS}), "40 40 15 20 10 ");
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 5, .flags = EVB_READ_BACKWARDS}), "");
    EQ_STR(texts(store, (evb_read_opts){.from_time_ns = 99, .flags = EVB_READ_BACKWARDS}),
           "50 40 40 15 20 10 ");
    OK(evb_store_close(store));
}

TEST(a_read_that_makes_no_sense_is_refused)
{
    static char longest[300];
    evb_store *store = open_with(NULL);
    evb_reader *reader = NULL;
    evb_record record;

    memset(longest, 'n', sizeof longest - 1);
#define REFUSED(...) FAILS(evb_store_read(store, &(evb_read_opts){__VA_ARGS__}, &reader), EVB_EINVAL)
    REFUSED(.flags = 4);
    REFUSED(.flags = EVB_READ_BACKWARDS | EVB_READ_FOLLOW);
    REFUSED(.from_version = 1);
    REFUSED(.stream = "s", .from_version = -1);
    REFUSED(.stream = "s", .from_version = 1, .from_position = 1);
    REFUSED(.from_time_ns = 1, .from_position = 1);
    REFUSED(.stream = "");
    REFUSED(.stream = longest);
    REFUSED(.topic_pattern = "");
    REFUSED(.topic_pattern = "a..b");
#undef REFUSED
    FAILS(evb_store_read(NULL, NULL, &reader), EVB_EINVAL);
    FAILS(evb_store_read(store, NULL, NULL), EVB_EINVAL);
    EQ_PTR(reader, NULL);
    OK(evb_store_read(store, NULL, &reader));
    FAILS(evb_reader_next(reader, -2, &record), EVB_EINVAL);
    FAILS(evb_reader_next(reader, 0, NULL), EVB_EINVAL);
    FAILS(evb_reader_next(NULL, 0, &record), EVB_EINVAL);
    evb_reader_close(reader);
    evb_reader_close(NULL);
    OK(evb_store_close(store));
}

TEST(a_large_record_and_a_batch_of_many_come_back)
{
    static unsigned char big[3 << 20];
    static evb_record batch[5000];
    evb_store *store = open_with(&(evb_store_opts){.segment_bytes = 16 << 20});
    evb_record record = {.topic = "t", .data = big, .size = sizeof big}, back;
    evb_reader *reader;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (unsigned char)(i * 7 + i / 4096);
    for (int i = 0; i < 5000; i++)
        batch[i] = (evb_record){.topic = "t", .data = big + i, .size = (size_t)(i % 200)};
    for (int round = 0; round < 6; round++) { /* into a second segment */
        OK(evb_store_append(store, "s", EVB_ANY_VERSION, &record, 1, NULL));
        OK(evb_store_append(store, "s", EVB_ANY_VERSION, batch, 5000, NULL));
    }
    for (uint32_t flags = 0; flags <= EVB_READ_BACKWARDS; flags += EVB_READ_BACKWARDS) {
        uint64_t position = flags == 0 ? 1 : 6 * 5001;

        reader = read_with(store, (evb_read_opts){.flags = flags});
        for (int i = 0; i < 6 * 5001; i++, position += flags == 0 ? 1 : (uint64_t)-1) {
            uint64_t in_round = (position - 1) % 5001;

            OK(evb_reader_next(reader, 0, &back));
            EQ(back.position, position);
            EQ(back.size, in_round == 0 ? sizeof big : (in_round - 1) % 200);
            if (back.size != 0) EQ_MEM(back.data, in_round == 0 ? big : big + in_round - 1, back.size);
        }
        FAILS(evb_reader_next(reader, 0, &back), EVB_EEMPTY);
        evb_reader_close(reader);
    }
    OK(evb_store_close(store));
}

/* ---- following ---- */

TEST(a_follower_is_told_once_that_it_has_caught_up_and_then_gets_what_comes)
{
    for (uint32_t sync = EVB_SYNC_GROUP; sync <= EVB_SYNC_MEM; sync++) {
        evb_store_opts opts = level(sync, 0);
        evb_store *store = NULL;
        evb_reader *all, *stream;
        evb_record record;
        char path[600];

        (void)snprintf(path, sizeof path, "%s/%u", store_kit_dir(), (unsigned)sync);
        OK(evb_store_open(path, &opts, &store));
        (void)put(store, "a", "t", "a1");
        all = read_with(store, (evb_read_opts){.flags = EVB_READ_FOLLOW});
        stream = read_with(store, (evb_read_opts){.flags = EVB_READ_FOLLOW, .stream = "b"});
        OK(evb_reader_next(all, EVB_FOREVER, &record));
        for (int round = 0; round < 3; round++) {
            FAILS(evb_reader_next(all, EVB_FOREVER, &record), EVB_EAGAIN);
            FAILS(evb_reader_next(all, 0, &record), EVB_EEMPTY);
            FAILS(evb_reader_next(all, 1000, &record), EVB_ETIMEDOUT);
            FAILS(evb_reader_next(stream, EVB_FOREVER, &record), EVB_EAGAIN);
            FAILS(evb_reader_next(stream, 1000, &record), EVB_ETIMEDOUT);
            (void)put(store, "b", "t", "b");
            OK(evb_reader_next(all, EVB_FOREVER, &record));
            EQ(record.position, 2 + round);
            OK(evb_reader_next(stream, EVB_FOREVER, &record));
            EQ(record.version, 1 + round);
        }
        OK(evb_store_close(store));
        FAILS(evb_reader_next(all, EVB_FOREVER, &record), EVB_ECLOSED);
        FAILS(evb_reader_next(stream, 0, &record), EVB_ECLOSED);
        evb_reader_close(all);
        evb_reader_close(stream);
    }
}

/* ---- trim ---- */

TEST(trim_takes_whole_segments_and_reads_that_begin_before_say_so)
{
    evb_store *store = open_with(&(evb_store_opts){.segment_bytes = 16384, .sync = EVB_SYNC_OS});
    evb_reader *reader, *stream;
    evb_record record;
    uint64_t first;
    uint32_t end, from = 0;
    int64_t low;
    int32_t rc;

    for (uint32_t j = 0; j < 300; j++)
        OK(store_kit_append(store, j, true));
    EQ(evb_store_trim(store, 1), 0);
    EQ(evb_store_first_position(store), 1);
    reader = read_with(store, (evb_read_opts){0});
    stream = read_with(store, (evb_read_opts){.stream = "stream-1"});
    OK(evb_reader_next(stream, 0, &record));
    CHECK(ID(evb_store_trim(store, store_kit_position(250))) >= 2);
    first = evb_store_first_position(store);
    CHECK(first > 1 && first <= store_kit_position(250));
    FAILS(evb_store_read(store, &(evb_read_opts){.from_position = first - 1}, &reader), EVB_ETRUNCATED);
    FAILS(evb_store_read(store, &(evb_read_opts){.stream = "stream-0", .from_version = 1}, &stream),
          EVB_ETRUNCATED);
    /* Readers that were on their way. */
    FAILS(evb_reader_next(reader, 0, &record), EVB_ETRUNCATED);
    OK(evb_reader_next(reader, 0, &record));
    EQ(record.position, first);
    low = record.version;
    CHECK(low >= 1);
    while ((rc = evb_reader_next(stream, 0, &record)) == EVB_OK) /* the append that it is in the middle of */
        CHECK(record.version <= (int64_t)STORE_KIT_RECORDS);
    EQ(rc, EVB_ETRUNCATED);
    OK(evb_reader_next(stream, 0, &record));
    EQ_PTR(store_kit_is(&record), NULL);
    CHECK(record.position >= first);
    evb_reader_close(reader);
    evb_reader_close(stream);
    while (store_kit_position(from) < first)
        from++;
    EQ(store_kit_position(from), first);
    EQ_PTR(store_kit_check(store, from, &end), NULL);
    OK(evb_store_close(store));
    store = open_with(&(evb_store_opts){.segment_bytes = 16384});
    EQ(evb_store_first_position(store), first);
    EQ_PTR(store_kit_check(store, from, &end), NULL);
    EQ(end, 300);
    OK(store_kit_append(store, 300, true));
    OK(evb_store_close(store));
}

TEST(retention_by_size_and_by_age_drops_the_oldest_segments)
{
    evb_store *store =
        open_with(&(evb_store_opts){.segment_bytes = 16384, .sync = EVB_SYNC_OS, .retain_bytes = 40000});
    evb_record record = {.topic = "t", .data = "x", .size = 1};
    uint64_t first;

    for (uint32_t j = 0; j < 400; j++)
        OK(store_kit_append(store, j, true));
    first = evb_store_first_position(store);
    CHECK(first > store_kit_position(250));
    OK(evb_store_close(store));
    /* the records of the history are of 1970 */
    store = open_with(
        &(evb_store_opts){.segment_bytes = 16384, .sync = EVB_SYNC_OS, .retain_ns = INT64_C(3600000000000)});
    for (uint32_t i = 0; i < 300; i++)
        OK(evb_store_append(store, "s", EVB_ANY_VERSION, &record, 1, NULL));
    CHECK(evb_store_first_position(store) > first);
    CHECK(evb_store_version(store, "stream-0") > 0);
    OK(evb_store_close(store));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, store_kit_setup, store_kit_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_new_store_is_empty_and_its_first_append_has_position_and_version_one),
        EACH(an_append_goes_in_only_at_the_version_that_it_expects),
        EACH(the_same_events_appended_again_at_the_same_version_are_a_success_and_there_once),
        EACH(what_is_out_of_range_is_refused_and_nothing_happens),
        EACH(a_store_can_be_open_once_for_writing),
        EACH(a_store_whose_parent_directory_is_missing_is_not_made),
        EACH(a_history_survives_closing_and_opening_at_every_level),
        EACH(a_closed_store_opened_and_closed_again_does_not_grow),
        EACH(everything_is_read_in_order_forward_and_backwards),
        EACH(a_stream_is_read_from_a_version_or_a_position_forward_and_backwards),
        EACH(a_follower_from_a_version_that_is_still_to_come_passes_over_what_is_there),
        EACH(a_pattern_chooses_topics),
        EACH(a_read_from_a_time_begins_with_the_first_record_of_that_time_or_later),
        EACH(a_read_that_makes_no_sense_is_refused),
        EACH(a_large_record_and_a_batch_of_many_come_back),
        EACH(a_follower_is_told_once_that_it_has_caught_up_and_then_gets_what_comes),
        EACH(trim_takes_whole_segments_and_reads_that_begin_before_say_so),
        EACH(retention_by_size_and_by_age_drops_the_oldest_segments),
    };

    return EVB_TEST_MAIN("store", tests, argc, argv);
}
