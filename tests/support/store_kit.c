/* SPDX-License-Identifier: MIT */
/* The fixed history: written, checked. */
#include "store_kit.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char text[256];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

/* ---- the history ---- */

uint32_t store_kit_count(uint32_t j)
{
    return j % 7 == 3 ? STORE_KIT_RECORDS : 1 + j % 3;
}

#define KNOWN 8192u

static struct {
    pthread_once_t once;
    uint64_t position[KNOWN];
    int64_t version[KNOWN];
} known = {.once = PTHREAD_ONCE_INIT};

static uint32_t stream_number(uint32_t j)
{
    return (j / 2) % STORE_KIT_STREAMS;
}

static void know(void)
{
    int64_t versions[STORE_KIT_STREAMS] = {0};
    uint64_t position = 1;

    for (uint32_t j = 0; j < KNOWN; j++) {
        known.position[j] = position;
        known.version[j] = versions[stream_number(j)] + 1;
        position += store_kit_count(j);
        versions[stream_number(j)] += store_kit_count(j);
    }
}

uint64_t store_kit_position(uint32_t j)
{
    (void)pthread_once(&known.once, know);
    if (j >= KNOWN) abort(); /* a longer history needs a longer table */
    return known.position[j];
}

const char *store_kit_stream(uint32_t j)
{
    static const char *names[STORE_KIT_STREAMS] = {"stream-0", "stream-1", "stream-2", "stream-3",
                                                   "stream-4"};

    return names[stream_number(j)];
}

static uint32_t append_of(uint64_t position)
{
    uint32_t low = 0, high = position < KNOWN ? (uint32_t)position : KNOWN - 1; /* a record each, at least */

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (store_kit_position(mid) <= position) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Of the first record of append j. */
static int64_t version_of(uint32_t j)
{
    (void)store_kit_position(j);
    return known.version[j];
}

struct content {
    char topic[32], key[16], id[16];
    unsigned char data[STORE_KIT_PAYLOAD];
    evb_header header;
    evb_record record;
};

static void content_at(uint64_t position, struct content *c)
{
    uint64_t mix = position * UINT64_C(0x9E3779B97F4A7C15);

    memset(c, 0, sizeof *c);
    (void)snprintf(c->topic, sizeof c->topic, "topic.%u", (unsigned)(position % 4));
    c->record.topic = position % 8 == 5 ? store_kit_stream(append_of(position)) : c->topic;
    c->record.size = (size_t)(mix >> 40) % (position % 16 == 7 ? STORE_KIT_PAYLOAD : 200);
    for (size_t i = 0; i < c->record.size; i++)
        c->data[i] = (unsigned char)(mix >> (8 * (i % 8)) ^ i);
    c->record.data = c->data;
    if (position % 3 == 0) {
        (void)snprintf(c->key, sizeof c->key, "key %u", (unsigned)(position % 100));
        c->record.key = c->key;
        c->record.key_len = (uint32_t)strlen(c->key);
    }
    if (position % 4 == 1) {
        c->header = (evb_header){.name = "name", .value = c->data, .value_len = (uint32_t)(position % 30)};
        if (c->header.value_len > c->record.size) c->header.value_len = (uint32_t)c->record.size;
        c->record.headers = &c->header;
        c->record.header_count = 1;
    }
    if (position % 2 == 0) {
        memcpy(c->id, &mix, 8);
        memcpy(c->id + 8, &position, 8);
        c->record.event_id = c->id;
    }
    c->record.time_ns = (int64_t)position * 1000;
    c->record.schema_type = (uint32_t)(position % 5);
    c->record.schema_version = (uint32_t)(position % 2);
}

int32_t store_kit_append(evb_store *store, uint32_t j, bool exact)
{
    static _Thread_local struct content contents[STORE_KIT_RECORDS];
    evb_record records[STORE_KIT_RECORDS];
    evb_append_result done = {.struct_size = sizeof done};
    uint32_t n = store_kit_count(j);
    int64_t expected = exact ? version_of(j) - 1 : EVB_ANY_VERSION;
    int32_t rc;

    for (uint32_t i = 0; i < n; i++) {
        content_at(store_kit_position(j) + i, &contents[i]);
        records[i] = contents[i].record;
    }
    rc = evb_store_append(store, store_kit_stream(j), expected, records, n, &done);
    if (rc == EVB_OK &&
        (done.position != store_kit_position(j) + n - 1 || done.version != version_of(j) + n - 1))
        return EVB_ESTALE; /* no status of an append: it got another place than the history has */
    return rc;
}

/* ---- is it the history? ---- */

static bool same(const void *a, size_t a_size, const void *b, size_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

const char *store_kit_is(const evb_record *r)
{
    static _Thread_local struct content c;
    uint32_t j = append_of(r->position);

    content_at(r->position, &c);
    if (strcmp(r->stream, store_kit_stream(j)) != 0)
        return wrong("%" PRIu64 " is of %s", r->position, r->stream);
    if (r->version != version_of(j) + (int64_t)(r->position - store_kit_position(j)))
        return wrong("%" PRIu64 " has version %" PRId64, r->position, r->version);
    if (strcmp(r->topic, c.record.topic) != 0)
        return wrong("%" PRIu64 " has topic %s", r->position, r->topic);
    if (!same(r->data, r->size, c.data, c.record.size))
        return wrong("%" PRIu64 " has other data", r->position);
    if ((r->key == NULL) != (c.record.key == NULL) || !same(r->key, r->key_len, c.key, c.record.key_len))
        return wrong("%" PRIu64 " has another key", r->position);
    if ((r->event_id == NULL) != (c.record.event_id == NULL) ||
        (r->event_id != NULL && memcmp(r->event_id, c.id, 16) != 0))
        return wrong("%" PRIu64 " has another id", r->position);
    if (r->header_count != c.record.header_count) return wrong("%" PRIu64 " has other headers", r->position);
    if (r->header_count == 1 &&
        (strcmp(r->headers[0].name, "name") != 0 ||
         !same(r->headers[0].value, r->headers[0].value_len, c.header.value, c.header.value_len)))
        return wrong("%" PRIu64 " has another header", r->position);
    if (r->time_ns != c.record.time_ns || r->schema_type != c.record.schema_type ||
        r->schema_version != c.record.schema_version)
        return wrong("%" PRIu64 " has another time or schema", r->position);
    return NULL;
}

/* Reads from `next` on, each step positions apart by `by`, until the end. *ret: the position that
 * was not there. */
static const char *walk(evb_store *store, const evb_read_opts *opts, uint64_t next, int64_t by, uint64_t *ret)
{
    evb_reader *reader;
    evb_record record;
    const char *what = NULL;
    int32_t rc = evb_store_read(store, opts, &reader);

    if (rc != EVB_OK) return wrong("read answers %s", evb_err_name(rc));
    while (what == NULL && (rc = evb_reader_next(reader, 0, &record)) == EVB_OK) {
        if (record.position != next)
            what = wrong("position %" PRIu64 " instead of %" PRIu64, record.position, next);
        if (what == NULL) what = store_kit_is(&record);
        next += (uint64_t)by;
    }
    if (what == NULL && rc != EVB_EEMPTY) what = wrong("next answers %s at %" PRIu64, evb_err_name(rc), next);
    evb_reader_close(reader);
    *ret = next;
    return what;
}

const char *store_kit_forward(evb_store *store, uint32_t first, uint32_t *ret_end)
{
    uint64_t end = store_kit_position(first);
    const char *what = walk(store, NULL, end, 1, &end);

    if (what != NULL) return what;
    *ret_end = append_of(end);
    if (store_kit_position(*ret_end) != end) return wrong("half an append: up to %" PRIu64, end);
    if (evb_store_last_position(store) != end - 1)
        return wrong("the last position is %" PRIu64 ", not %" PRIu64, evb_store_last_position(store),
                     end - 1);
    return NULL;
}

static const char *check_stream(evb_store *store, uint32_t first, uint32_t end, uint32_t number)
{
    evb_reader *forward, *backwards;
    evb_record record;
    const char *name = NULL, *what = NULL;
    int64_t version = 0, lowest = 0;

    for (uint32_t j = 0; j < end; j++) {
        if (stream_number(j) != number) continue;
        name = store_kit_stream(j);
        if (j >= first && lowest == 0) lowest = version_of(j);
        version = version_of(j) + (int64_t)store_kit_count(j) - 1;
    }
    if (name == NULL) return NULL;
    if (evb_store_version(store, name) != version)
        return wrong("%s has version %" PRId64 ", not %" PRId64, name, evb_store_version(store, name),
                     version);
    if (lowest == 0) return NULL;
    if (evb_store_read(store, &(evb_read_opts){.stream = name, .from_version = lowest}, &forward) != EVB_OK ||
        evb_store_read(store, &(evb_read_opts){.stream = name, .flags = EVB_READ_BACKWARDS}, &backwards) !=
            EVB_OK)
        return wrong("%s cannot be read", name);
    for (int64_t v = lowest; v <= version && what == NULL; v++) {
        int32_t rc = evb_reader_next(forward, 0, &record);

        if (rc != EVB_OK || record.version != v)
            what = wrong("%s: no version %" PRId64 ": %s", name, v, evb_err_name(rc));
        if (what == NULL) what = store_kit_is(&record);
    }
    for (int64_t v = version; v >= lowest && what == NULL; v--) {
        int32_t rc = evb_reader_next(backwards, 0, &record);

        if (rc != EVB_OK || record.version != v)
            what = wrong("%s backwards: no version %" PRId64 ": %s", name, v, evb_err_name(rc));
        if (what == NULL) what = store_kit_is(&record);
    }
    if (what == NULL && (evb_reader_next(forward, 0, &record) != EVB_EEMPTY ||
                         evb_reader_next(backwards, 0, &record) != EVB_EEMPTY))
        what = wrong("%s has more than its versions", name);
    evb_reader_close(forward);
    evb_reader_close(backwards);
    return what;
}

const char *store_kit_check(evb_store *store, uint32_t first, uint32_t *ret_end)
{
    const char *what = store_kit_forward(store, first, ret_end);
    uint64_t begin = store_kit_position(first), end = store_kit_position(*ret_end), left;

    if (what != NULL) return what;
    what = walk(store, &(evb_read_opts){.flags = EVB_READ_BACKWARDS}, end - 1, -1, &left);
    if (what == NULL && left != begin - 1) what = wrong("backwards it ends at %" PRIu64, left + 1);
    for (uint32_t number = 0; number < STORE_KIT_STREAMS && what == NULL; number++)
        what = check_stream(store, first, *ret_end, number);
    return what;
}

/* ---- a directory ---- */

static char dir[256];

const char *store_kit_dir(void)
{
    return dir;
}

static void remove_it(void)
{
    char command[300];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (dir[0] != '\0' && system(command) != 0) (void)fprintf(stderr, "%s is still there\n", dir);
    dir[0] = '\0';
}

int store_kit_setup(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(dir, sizeof dir - 8, "%s/evb_store.XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) return -1;
    return 0;
}

int store_kit_teardown(void **state)
{
    (void)state;
    remove_it();
    return 0;
}
