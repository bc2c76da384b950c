/* SPDX-License-Identifier: MIT */
/* What the targets share: copies, checksums put right, a disk in memory with a store on it. */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/rng.h"
#include "fault_fs.h"
#include "store/crc32c.h"
#include "store/format.h"

#define SEGMENT_BYTES 16384u

static const evb_store_opts small = {.segment_bytes = SEGMENT_BYTES};

unsigned char *fuzz_copy(const uint8_t *data, size_t size)
{
    unsigned char *bytes = malloc(size != 0 ? size : 1);

    if (bytes == NULL) abort();
    if (size != 0) memcpy(bytes, data, size);
    return bytes;
}

void fuzz_must(bool condition, const char *what)
{
    if (condition) return;
    (void)fprintf(stderr, "fuzz: does not hold: %s\n", what);
    abort();
}

/* ---- checksums ---- */

void fuzz_fix_header(unsigned char *bytes, size_t size)
{
    if (size >= EVB__META_BYTES) evb__put32(bytes + 124, evb__crc32c(0, bytes, 124));
}

/* Numbers of streams stay small: a table has a place for each number below, and what 2^28 of them cost
 * is known. */
static void tame_number(unsigned char *at)
{
    evb__put32(at, evb__get32(at) & 0xFFFF);
}

static void fix_segment(unsigned char *bytes, size_t size)
{
    size_t at = EVB__SEGMENT_HEADER;
    uint32_t salt;

    if (size < EVB__SEGMENT_HEADER) return;
    fuzz_fix_header(bytes, EVB__META_BYTES);
    fuzz_fix_header(bytes + 2048, EVB__META_BYTES);
    salt = evb__get32(bytes + 60);
    while (at + EVB__FRAME_HEADER <= size) {
        uint32_t len = evb__get32(bytes + at);

        if (len < EVB__FRAME_HEADER || len % 8 != 0 || len > size - at) break;
        tame_number(bytes + at + 40);
        evb__frame_seal(bytes + at, evb__get64(bytes + at + 16), salt);
        at += len;
    }
}

/* Streams one behind the other, from `at` on. */
static void tame_streams(unsigned char *bytes, size_t size, size_t at)
{
    while (at + 18 <= size) {
        tame_number(bytes + at + 8);
        at += evb__round8(18u + evb__get16(bytes + at + 16));
    }
}

static void fix_end(unsigned char *bytes, size_t size, size_t tail)
{
    if (size >= tail) evb__put32(bytes + size - tail, evb__crc32c(0, bytes, size - tail));
}

void fuzz_fix(uint32_t kind, unsigned char *bytes, size_t size)
{
    if (kind == FUZZ_META) fuzz_fix_header(bytes, size);
    if (kind == FUZZ_SEGMENT) fix_segment(bytes, size);
    if (kind == FUZZ_HEADS) tame_streams(bytes, size, 40);
    if (kind == FUZZ_INDEX && size >= 88) tame_streams(bytes, size, 88 + (size_t)evb__get32(bytes + 76) * 24);
    if (kind == FUZZ_HEADS || kind == FUZZ_INDEX) fix_end(bytes, size, 8);
    if (kind == FUZZ_SNAPSHOT) fix_end(bytes, size, 4);
}

/* ---- the sample ---- */

struct sample_file {
    uint32_t kind;
    char path[64];
    unsigned char *bytes;
    size_t size;
};

/* Kept for the life of the process. */
static struct sample_file samples[16];
static uint32_t sample_count;

static int64_t pinned_time(void *arg)
{
    (void)arg;
    return INT64_C(1767225600000000000);
}

static uint64_t pinned_seed(void *arg)
{
    return evb__rng_next(arg);
}

static void append(evb_store *store, const char *stream, uint32_t n)
{
    static const evb_header header = {.name = "h", .value = "v", .value_len = 1};
    evb_record records[3];

    for (uint32_t i = 0; i < n; i++)
        records[i] = (evb_record){.topic = i == 1 ? stream : "topic.one",
                                  .data = "payload of a record",
                                  .size = 7 + i * 6,
                                  .key = "key",
                                  .key_len = 3,
                                  .headers = &header,
                                  .header_count = i % 2,
                                  .event_id = i == 2 ? "0123456789abcdef" : NULL,
                                  .time_ns = i == 2 ? 5 : 0,
                                  .schema_type = i};
    fuzz_must(evb_store_append(store, stream, EVB_ANY_VERSION, records, n, NULL) == EVB_OK, "append");
}

static evb_store *open_it(void)
{
    evb_store *store = NULL;

    fuzz_must(evb_store_open("/d", &small, &store) == EVB_OK, "open");
    return store;
}

static char last_segment[64];

static int32_t note_segment(const char *name, void *user)
{
    (void)user;
    if (strstr(name, ".seg") != NULL && strlen(name) == 24 && strcmp(name, last_segment) > 0)
        (void)snprintf(last_segment, sizeof last_segment, "%s", name);
    return 0;
}

/* What is not a frame stands behind the last one: the next open goes on in a segment of its own. */
static void tear(struct fault_fs *disk)
{
    char path[96];
    int64_t size;

    fuzz_must(evb__files()->list("/d/seg", note_segment, NULL, evb__files()->arg) == 0, "list");
    (void)snprintf(path, sizeof path, "/d/seg/%s", last_segment);
    size = fault_fs_get(disk, path, NULL, 0);
    fault_fs_cut(disk, path, (uint64_t)size + 16);
    fault_fs_flip(disk, path, (uint64_t)size * 8 + 3);
}

static int32_t keep_file(const char *name, void *folder)
{
    struct sample_file *f = &samples[sample_count];
    const char *const names[FUZZ_KINDS] = {"META", "HEADS", ".seg", ".idx", ".snap"};
    char path[300];

    for (f->kind = 0; f->kind < FUZZ_KINDS && strstr(name, names[f->kind]) == NULL; f->kind++) {
    }
    if (f->kind == FUZZ_KINDS || sample_count + 1 == sizeof samples / sizeof(samples[0])) return 0;
    (void)snprintf(path, sizeof path, "%s/%s", (const char *)folder, name);
    (void)snprintf(f->path, sizeof f->path, "%.63s", path);
    f->size = strlen(f->path); /* the bytes come when nobody lists */
    sample_count++;
    return 0;
}

/* Three segments, of which the first is trimmed away. */
static void make_sample(void)
{
    const struct evb__clock_source clock = {pinned_time, pinned_time, NULL};
    struct evb__rng rng;
    const struct evb__seed_source seeds = {pinned_seed, &rng};
    struct fault_fs *disk = fuzz_disk();
    char folders[3][8] = {"/d", "/d/seg", "/d/snap"};
    evb_store *store;

    evb__rng_init(&rng, 1);
    evb__clock_set(&clock);
    evb__seed_set(&seeds);
    for (uint32_t life = 0; life < 3; life++) {
        store = open_it();
        append(store, "one", 3);
        append(store, "two", 1);
        append(store, "one", 2);
        if (life == 1) (void)evb_snapshot_save(store, "one", 4, 1, "state", 5);
        if (life == 2) fuzz_must(evb_store_trim(store, 8) == 1, "trim");
        fuzz_must(evb_store_close(store) == EVB_OK, "close");
        if (life < 2) tear(disk);
    }
    evb__seed_set(NULL);
    evb__clock_set(NULL);
    for (int i = 0; i < 3; i++)
        fuzz_must(evb__files()->list(folders[i], keep_file, folders[i], evb__files()->arg) == 0, "list");
    for (uint32_t i = 0; i < sample_count; i++) {
        samples[i].size = (size_t)fault_fs_get(disk, samples[i].path, NULL, 0);
        samples[i].bytes = malloc(samples[i].size);
        (void)fault_fs_get(disk, samples[i].path, samples[i].bytes, samples[i].size);
    }
    fault_fs_use(NULL);
    fault_fs_free(disk);
}

const unsigned char *fuzz_sample(uint32_t kind, uint32_t which, size_t *ret_size)
{
    if (sample_count == 0) make_sample();
    for (uint32_t i = 0; i < sample_count; i++) {
        if (samples[i].kind != kind || which-- != 0) continue;
        *ret_size = samples[i].size;
        return samples[i].bytes;
    }
    return NULL;
}

void fuzz_put_sample(struct fault_fs *disk, uint32_t without)
{
    size_t size;

    (void)fuzz_sample(FUZZ_META, 0, &size);
    fault_fs_use(disk);
    for (uint32_t i = 0; i < sample_count; i++)
        if (samples[i].kind != without)
            fault_fs_put(disk, samples[i].path, samples[i].bytes, samples[i].size);
}

/* ---- the disk ---- */

struct fault_fs *fuzz_disk(void)
{
    struct fault_fs *disk = fault_fs_new();

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fault_fs_put(disk, "/d/LOCK", "", 0);
    fault_fs_use(disk);
    return disk;
}

/* Segments and indexes have the names that go with the positions in them. */
void fuzz_put(struct fault_fs *disk, uint32_t kind, const unsigned char *bytes, size_t size)
{
    char path[64] = "/d/META";
    uint64_t base = size >= 48 ? evb__get64(bytes + 40) : 1;
    size_t any;

    (void)fuzz_sample(FUZZ_META, 0, &any);
    fault_fs_use(disk);
    if (kind == FUZZ_HEADS) (void)snprintf(path, sizeof path, "/d/HEADS");
    if (kind == FUZZ_SEGMENT) (void)snprintf(path, sizeof path, "/d/seg/%020" PRIu64 ".seg", base);
    if (kind == FUZZ_INDEX) (void)snprintf(path, sizeof path, "/d/seg/%020" PRIu64 ".idx", base);
    for (uint32_t i = 0; kind == FUZZ_SNAPSHOT && i < sample_count; i++)
        if (samples[i].kind == kind) (void)snprintf(path, sizeof path, "%.63s", samples[i].path);
    fault_fs_put(disk, path, bytes, size);
}

/* ---- everything that a program may do with it ---- */

#define RECORDS_MOST 100000u /* more than FUZZ_MOST bytes can hold: a read ends */

static void read_it(evb_store *store, const evb_read_opts *opts)
{
    evb_reader *reader;
    evb_record record;
    uint32_t n = 0;

    if (evb_store_read(store, opts, &reader) != EVB_OK) return;
    while (evb_reader_next(reader, 0, &record) == EVB_OK) {
        volatile unsigned char sum = 0; /* the bytes are there */

        for (size_t i = 0; i < record.size; i++)
            sum = (unsigned char)(sum + ((const unsigned char *)record.data)[i]);
        for (uint32_t i = 0; i < record.header_count; i++)
            sum = (unsigned char)(sum + strlen(record.headers[i].name));
        sum = (unsigned char)(sum + strlen(record.stream) + strlen(record.topic));
        fuzz_must(++n < RECORDS_MOST, "a read ends");
    }
    evb_reader_close(reader);
}

static void read_every_way(evb_store *store)
{
    evb_record snapshot = {0};

    read_it(store, NULL);
    read_it(store, &(evb_read_opts){.flags = EVB_READ_BACKWARDS});
    read_it(store, &(evb_read_opts){.stream = "one"});
    read_it(store, &(evb_read_opts){.stream = "one", .flags = EVB_READ_BACKWARDS, .from_version = 5});
    read_it(store, &(evb_read_opts){.topic_pattern = "topic.*", .from_time_ns = 6});
    read_it(store, &(evb_read_opts){.from_position = evb_store_last_position(store)});
    if (evb_snapshot_load(store, "one", 1, &snapshot) == EVB_OK) evb_record_free(&snapshot);
    (void)evb_store_version(store, "two");
}

static void open_and_read(uint32_t flags)
{
    evb_store_opts opts = small;
    evb_store *store;

    opts.flags = flags;
    if (evb_store_open("/d", &opts, &store) != EVB_OK) return;
    read_every_way(store);
    if (flags == 0) {
        (void)evb_store_append(store, "one", EVB_ANY_VERSION,
                               &(evb_record){.topic = "t", .data = "x", .size = 1}, 1, NULL);
        (void)evb_store_trim(store, evb_store_last_position(store));
        read_every_way(store);
    }
    (void)evb_store_close(store);
}

void fuzz_use(struct fault_fs *disk)
{
    struct fault_fs *before = fault_fs_clone(disk), *salvaged = fault_fs_clone(disk);

    fault_fs_use(disk);
    (void)evb_store_verify("/d", NULL);
    open_and_read(EVB_STORE_READ_ONLY);
    fuzz_must(fault_fs_same(before, disk), "verify and a read-only store change nothing");
    open_and_read(0);
    open_and_read(0);
    fuzz_must(fault_fs_open_files(disk) == 0 && fault_fs_misuses(disk) == 0, "descriptors are given back");
    fault_fs_use(salvaged);
    if (evb_store_salvage("/d", NULL) == EVB_OK) {
        open_and_read(0);
        (void)evb_store_verify("/d", NULL);
    }
    fuzz_must(fault_fs_open_files(salvaged) == 0 && fault_fs_misuses(salvaged) == 0,
              "descriptors are given back after salvage");
    fault_fs_use(NULL);
    fault_fs_free(before);
    fault_fs_free(salvaged);
    fault_fs_free(disk);
}
