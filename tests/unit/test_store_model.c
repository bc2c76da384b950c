/* SPDX-License-Identifier: MIT */
/* Random lives of a store against a slow obvious model: appends at right and wrong versions,
 * retries, reads of every kind, trims, rolls, closing, kill -9 and power cuts, at every level.
 */
#include "evb_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault_fs.h"
#include "store_kit.h"

#define STREAMS 6u
#define EVENTS  4000u

/* An event as the model keeps it; its text follows from `id`. */
struct event {
    uint64_t id;
    uint32_t stream, batch; /* batch: which append */
    int64_t version;
};

static struct {
    struct event events[EVENTS];
    uint32_t count;   /* position of events[i] is i + 1 */
    uint32_t durable; /* events that a power cut may not take */
    uint32_t appends;
    uint64_t first; /* position */
    uint64_t ids;
} model;

static struct fault_fs *fs;
static evb_store *store;
static evb_store_opts opts;

static uint32_t below(uint32_t n)
{
    return (uint32_t)evb__rng_below(evb_test_rng(), n);
}

static const char *name_of(uint32_t stream)
{
    static const char *names[STREAMS] = {"a", "b", "c-with-a-longer-name", "d", "e", "f"};

    return names[stream];
}

static int64_t version_of(uint32_t stream)
{
    int64_t version = 0;

    for (uint32_t i = 0; i < model.count; i++)
        if (model.events[i].stream == stream) version = model.events[i].version;
    return version;
}

static size_t text_of(uint64_t id, char *text)
{
    size_t size = (size_t)(id * 2654435761u % 300);

    for (size_t i = 0; i < size; i++)
        text[i] = (char)(id + i * 7);
    return size;
}

static void open_store(void)
{
    opts.sync = below(5);
    opts.flags = below(4) == 0 ? EVB_STORE_ZERO_FILL : 0;
    OK(evb_store_open("/d", &opts, &store));
}

static void append(void)
{
    static char texts[8][300];
    char ids[8][16] = {{0}};
    evb_record records[8] = {{0}};
    evb_append_result done = {.struct_size = sizeof done};
    uint32_t stream = below(STREAMS), n = 1 + below(below(4) == 0 ? 8 : 2);
    int64_t version = version_of(stream), expected = below(2) != 0 ? version : EVB_ANY_VERSION;
    bool again;

    if (model.count + n > EVENTS) return;
    if (below(8) == 0) expected = version + 1 + below(3);
    if (below(8) == 0) expected = EVB_STREAM_EXISTS;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t id = model.ids + i + 1;

        memcpy(ids[i], &id, 8);
        records[i] = (evb_record){.topic = i % 2 == 0 ? "odd.t" : name_of(stream), .event_id = ids[i]};
        records[i].size = text_of(id, texts[i]);
        records[i].data = texts[i];
    }
    again = expected == version;
    if (expected > version || (expected == EVB_STREAM_EXISTS && version == 0)) {
        FAILS(evb_store_append(store, name_of(stream), expected, records, n, &done), EVB_ECONFLICT);
        EQ(done.version, version);
        return;
    }
    OK(evb_store_append(store, name_of(stream), expected, records, n, &done));
    EQ(done.flags, 0);
    EQ(done.position, model.count + n);
    EQ(done.version, version + n);
    for (uint32_t i = 0; i < n; i++)
        model.events[model.count + i] =
            (struct event){model.ids + i + 1, stream, model.appends, version + 1 + (int64_t)i};
    model.count += n;
    model.ids += n;
    model.appends++;
    if (opts.sync <= EVB_SYNC_EACH) model.durable = model.count;
    if (again && below(3) == 0) {
        OK(evb_store_append(store, name_of(stream), expected, records, n, &done));
        EQ(done.flags, EVB_APPEND_DUPLICATE);
        EQ(done.version, version + n);
    }
}

static void is_event(const evb_record *record)
{
    const struct event *event;
    char text[300];

    CHECK(record->position >= 1 && record->position <= model.count);
    event = &model.events[record->position - 1];
    EQ_STR(record->stream, name_of(event->stream));
    EQ(record->version, event->version);
    EQ(record->size, text_of(event->id, text));
    EQ_MEM(record->data, text, record->size);
}

static bool wanted(const evb_read_opts *o, uint64_t position)
{
    const struct event *event = &model.events[position - 1];
    bool back = (o->flags & EVB_READ_BACKWARDS) != 0;
    uint32_t in_batch = 0;

    if (position < model.first) return false;
    if (o->stream != NULL && strcmp(o->stream, name_of(event->stream)) != 0) return false;
    if (o->from_position != 0 && (back ? position > o->from_position : position < o->from_position))
        return false;
    if (o->from_version != 0 && (back ? event->version > o->from_version : event->version < o->from_version))
        return false;
    if (o->topic_pattern != NULL) {
        for (uint64_t i = position - 1; i > 0 && model.events[i - 1].batch == event->batch; i--)
            in_batch++;
        if (in_batch % 2 != 0) return false; /* its topic is the stream's name */
    }
    return true;
}

static void read_some(void)
{
    evb_read_opts o = {0};
    evb_reader *reader;
    evb_record record;
    bool back;
    int32_t rc;

    if (below(2) == 0) o.flags = EVB_READ_BACKWARDS;
    if (below(2) == 0) o.stream = name_of(below(STREAMS));
    if (below(3) == 0) o.topic_pattern = "odd.*";
    if (below(2) == 0) {
        o.from_position = 1 + below(model.count + 3);
    } else if (o.stream != NULL && below(2) == 0) {
        o.from_version = 1 + below(40);
    }
    back = o.flags != 0;
    rc = evb_store_read(store, &o, &reader);
    if (rc == EVB_ETRUNCATED) {
        CHECK(model.first > 1);
        return;
    }
    OK(rc);
    CHECK(o.from_position == 0 || o.from_position >= model.first);
    for (uint64_t i = 0; i < model.count; i++) {
        uint64_t position = back ? model.count - i : i + 1;

        if (!wanted(&o, position)) continue;
        OK(evb_reader_next(reader, 0, &record));
        EQ(record.position, position);
        is_event(&record);
    }
    FAILS(evb_reader_next(reader, 0, &record), EVB_EEMPTY);
    evb_reader_close(reader);
}

static void trim(void)
{
    OK(evb_store_trim(store, 1 + below(model.count + 1)) >= 0 ? EVB_OK : EVB_EIO);
    CHECK(evb_store_first_position(store) >= model.first || evb_store_first_position(store) == 0);
    model.first = evb_store_first_position(store);
    if (model.first == 0) model.first = model.count + 1;
}

/* The store that is open is left as it is, and what the next process finds is opened. */
static void end_abruptly(void)
{
    static const uint32_t modes[] = {FAULT_FS_SECTORS, FAULT_FS_TORN, FAULT_FS_GARBLED, FAULT_FS_NOTHING,
                                     FAULT_FS_ALL};
    bool power = below(2) == 0;
    struct fault_fs *next =
        power ? fault_fs_crash(fs, evb__rng_next(evb_test_rng()), modes[below(5)]) : fault_fs_clone(fs);
    uint32_t level = opts.sync;
    uint64_t last;

    OK(evb_store_close(store)); /* of the old disk */
    fault_fs_use(next);
    fault_fs_free(fs);
    fs = next;
    open_store();
    last = evb_store_last_position(store);
    CHECK(last <= model.count);
    CHECK(last >= model.durable);
    if (!power && level != EVB_SYNC_MEM) EQ(last, model.count);
    if (last > 0 && last < model.count) NE(model.events[last - 1].batch, model.events[last].batch);
    model.count = (uint32_t)last;
    model.durable = model.count;
    if (evb_store_first_position(store) > model.first) model.first = evb_store_first_position(store);
    for (uint32_t i = 0; i < STREAMS; i++)
        EQ(evb_store_version(store, name_of(i)), version_of(i));
}

static void live(uint32_t steps)
{
    memset(&model, 0, sizeof model);
    model.first = 1;
    opts = (evb_store_opts){.segment_bytes = 16384, .interval_ns = INT64_C(3600000000000)};
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fs = fault_fs_new();
    fault_fs_use(fs);
    open_store();
    for (uint32_t step = 0; step < steps; step++) {
        switch (below(40)) {
        case 0:
            OK(evb_store_close(store));
            model.durable = model.count;
            open_store();
            break;
        case 1:
            end_abruptly();
            break;
        case 2:
            if (below(4) == 0) trim();
            break;
        case 3:
            OK(evb_store_sync(store));
            model.durable = model.count;
            break;
        case 4:
        case 5:
        case 6:
            read_some();
            break;
        default:
            append();
            break;
        }
        EQ(evb_store_last_position(store), model.count);
    }
    OK(evb_store_close(store));
    fault_fs_use(NULL);
    fault_fs_free(fs);
}

TEST(random_lives_go_as_the_model_says)
{
    uint32_t lives = getenv("EVB_TEST_LONG") != NULL ? 2000 : 60;

    for (uint32_t i = 0; i < lives; i++)
        live(300);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(random_lives_go_as_the_model_says, fault_fs_after),
    };

    return EVB_TEST_MAIN("store_model", tests, argc, argv);
}
