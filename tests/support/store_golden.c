/* SPDX-License-Identifier: MIT */
/* The golden store: written, printed. */
#include "store_golden.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include "base/clock.h"
#include "base/rng.h"

static char wrong_text[200];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(wrong_text, sizeof wrong_text, format, args);
    va_end(args);
    return wrong_text;
}

/* ---- what is pinned ---- */

static int64_t pinned_now;

static int64_t pinned_mono(void *arg)
{
    (void)arg;
    return pinned_now;
}

static int64_t pinned_wall(void *arg)
{
    (void)arg;
    pinned_now += 1000;
    return INT64_C(1767225600000000000) + pinned_now;
}

static uint64_t pinned_seed(void *arg)
{
    return evb__rng_next(arg);
}

/* ---- writing ---- */

static const evb_header headers[2] = {{.name = "trace", .value = "00-abc", .value_len = 6},
                                      {.name = "empty"}};

/* One with everything, one with nothing, and some between. */
static evb_record record_of(uint32_t i, char data[1000])
{
    static const unsigned char id[16] = "identity-of-one";
    static const char topics[4][16] = {"order.made", "order.paid", "order.sent", "golden"};
    evb_record r = {.topic = topics[i % 4], .data = data, .size = i % 5 == 4 ? 0 : 40 + i * 37 % 900};

    for (size_t k = 0; k < r.size; k++)
        data[k] = (char)('a' + (i + k) % 26);
    if (i % 3 == 0) {
        r.key = "customer-7";
        r.key_len = 10;
    }
    if (i % 4 == 1) {
        r.headers = headers;
        r.header_count = 2;
    }
    if (i % 2 == 0) r.event_id = id;
    if (i % 5 == 2) r.time_ns = INT64_C(1700000000000000000) + i;
    if (i % 6 == 3) {
        r.schema_type = 7;
        r.schema_version = 1 + i;
    }
    return r;
}

/* Two segments that are full, of which the first is trimmed away, and one that is not. */
static int32_t fill(evb_store *store)
{
    static const char names[3][16] = {"golden", "account-1", "\xc3\xa4\xc3\xb6\xc3\xbc"};
    static char data[3][1000];
    evb_record records[3];
    int32_t rc = EVB_OK;

    for (uint32_t i = 0; i < 48 && rc == EVB_OK; i++) {
        uint32_t n = i % 7 == 6 ? 3 : 1;

        for (uint32_t k = 0; k < n; k++)
            records[k] = record_of(i + k, data[k]);
        rc = evb_store_append(store, names[i % 3], EVB_ANY_VERSION, records, n, NULL);
        if (rc == EVB_OK && i == 30) rc = evb_snapshot_save(store, names[1], 5, 2, "state of account-1", 18);
    }
    return rc;
}

static const char *write_it(const char *dir)
{
    evb_store *store;
    int32_t rc = evb_store_open(dir, &STORE_GOLDEN_OPTS, &store), trimmed, closed;

    if (rc != EVB_OK) return wrong("open answers %s", evb_err_name(rc));
    rc = fill(store);
    trimmed = rc == EVB_OK ? evb_store_trim(store, evb_store_last_position(store) / 2) : rc;
    closed = evb_store_close(store);
    if (trimmed != 1) return wrong("trim answers %d", (int)trimmed);
    /* Opened once more, so that a MARK stands between frames, too. */
    if (closed == EVB_OK) closed = evb_store_open(dir, &STORE_GOLDEN_OPTS, &store);
    if (closed != EVB_OK) return wrong("close or open answers %s", evb_err_name(closed));
    rc = evb_store_append(store, "late", EVB_NO_STREAM,
                          &(evb_record){.topic = "late", .data = "!", .size = 1}, 1, NULL);
    closed = evb_store_close(store);
    return rc == EVB_OK && closed == EVB_OK ? NULL : wrong("the second life fails");
}

const char *store_golden_write(const char *dir)
{
    struct evb__rng rng;
    const struct evb__clock_source clock = {pinned_mono, pinned_wall, NULL};
    const struct evb__seed_source seeds = {pinned_seed, &rng};
    const char *what;

    evb__rng_init(&rng, 20260101);
    pinned_now = 0;
    evb__clock_set(&clock);
    evb__seed_set(&seeds);
    what = write_it(dir);
    evb__seed_set(NULL);
    evb__clock_set(NULL);
    return what;
}

/* ---- printing ---- */

static void print_bytes(FILE *out, const char *name, const void *bytes, size_t size)
{
    const unsigned char *p = bytes;

    (void)fprintf(out, " %s=", name);
    for (size_t i = 0; i < size; i++)
        (void)fprintf(out, p[i] >= '!' && p[i] <= '~' && p[i] != '%' ? "%c" : "%%%02x", p[i]);
}

/* The beginning, the size, and a sum over all of it (FNV-1a). */
static void print_data(FILE *out, const evb_record *r)
{
    const unsigned char *p = r->data;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < r->size; i++)
        sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
    print_bytes(out, "data", r->data, r->size < 16 ? r->size : 16);
    (void)fprintf(out, " size=%u sum=%016" PRIx64 "\n", (unsigned)r->size, sum);
}

static void print_record(FILE *out, const evb_record *r)
{
    (void)fprintf(out, "%" PRIu64, r->position);
    print_bytes(out, "stream", r->stream, strlen(r->stream));
    (void)fprintf(out, " version=%" PRId64 " topic=%s time=%" PRId64, r->version, r->topic, r->time_ns);
    if (r->key != NULL) print_bytes(out, "key", r->key, r->key_len);
    for (uint32_t i = 0; i < r->header_count; i++)
        print_bytes(out, r->headers[i].name, r->headers[i].value, r->headers[i].value_len);
    if (r->event_id != NULL) print_bytes(out, "id", r->event_id, 16);
    if (r->schema_type != 0 || r->schema_version != 0)
        (void)fprintf(out, " schema=%" PRIu32 "/%" PRIu32, r->schema_type, r->schema_version);
    print_data(out, r);
}

static const char *print_store(evb_store *store, FILE *out)
{
    evb_reader *reader;
    evb_record record;
    int32_t rc = evb_store_read(store, NULL, &reader);

    if (rc != EVB_OK) return wrong("read answers %s", evb_err_name(rc));
    (void)fprintf(out, "positions %" PRIu64 " to %" PRIu64 "\n", evb_store_first_position(store),
                  evb_store_last_position(store));
    while ((rc = evb_reader_next(reader, 0, &record)) == EVB_OK)
        print_record(out, &record);
    evb_reader_close(reader);
    if (rc != EVB_EEMPTY) return wrong("next answers %s", evb_err_name(rc));
    rc = evb_snapshot_load(store, "account-1", 2, &record);
    if (rc != EVB_OK) return wrong("snapshot_load answers %s", evb_err_name(rc));
    (void)fprintf(out, "snapshot version=%" PRId64, record.version);
    print_data(out, &record);
    evb_record_free(&record);
    return NULL;
}

const char *store_golden_print(const char *dir, FILE *out)
{
    evb_store_opts opts = STORE_GOLDEN_OPTS;
    const char *what;
    evb_store *store;
    int32_t rc;

    opts.flags = EVB_STORE_READ_ONLY;
    rc = evb_store_open(dir, &opts, &store);
    if (rc != EVB_OK) return wrong("open answers %s", evb_err_name(rc));
    what = print_store(store, out);
    rc = evb_store_close(store);
    return what == NULL && rc != EVB_OK ? wrong("close answers %s", evb_err_name(rc)) : what;
}
