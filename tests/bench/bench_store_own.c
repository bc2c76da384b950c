/* SPDX-License-Identifier: MIT */
/* Cases of evb_store alone: expected versions, a stream, a pattern, following, opening after a close,
 * snapshots; beside bare system calls where they can do something like it. */
#include "bench_store_own.h"

#include <evbus/base.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_MAX   512
#define FOLLOWED  200  /* events of a measurement */
#define NAP_US    100  /* between them: the follower sleeps */
#define SNAPSHOTS 50   /* of a measurement */
#define STATE     4096 /* bytes of a snapshot */

/* ---- expected versions ---- */

static bool append_expected(void *store, uint32_t which, const void *data, uint32_t size, uint32_t n)
{
    static int64_t version; /* one thread, and a store that begins empty */
    evb_record record = {.topic = "orders.1", .data = data, .size = size};
    evb_append_result result = {.struct_size = sizeof result};
    int32_t rc =
        evb_store_append(store, "orders.1", version != 0 ? version : EVB_NO_STREAM, &record, n, &result);

    (void)which;
    if (rc == EVB_ECONFLICT) { /* a new store */
        version = evb_store_version(store, "orders.1");
        return version == 0 && append_expected(store, which, data, size, n);
    }
    version = result.version;
    return rc == EVB_OK;
}

static struct store_system expected;

/* ---- one stream of a hundred, one topic of a hundred ---- */

static void measure_some(struct bench_result *ret, const evb_read_opts *opts)
{
    struct store_scan found = {0, 0, 0};
    uint64_t events;
    void *log = store_log(&own_system, STORE_SMALL, &events);
    double times[3];

    bench_pin(0);
    for (uint32_t i = 0; i < 3; i++) {
        int64_t start = bench_now_ns();

        memset(&found, 0, sizeof found);
        if (!own_scan_as(log, opts, &found) || found.events != events / STORE_STREAMS) {
            bench_wrong(ret, "%llu of %llu events", (unsigned long long)found.events,
                        (unsigned long long)(events / STORE_STREAMS));
            return;
        }
        times[i] = (double)(bench_now_ns() - start) / (double)(opts->stream != NULL ? found.events : events);
    }
    ret->ns = bench_median(times + 1, 2);
}

static void measure_stream(void *state, struct bench_result *ret)
{
    evb_read_opts opts = {.struct_size = sizeof opts, .stream = "orders.42"};

    (void)state;
    measure_some(ret, &opts);
}

static void measure_pattern(void *state, struct bench_result *ret)
{
    evb_read_opts opts = {.struct_size = sizeof opts, .topic_pattern = "*.42"};

    (void)state;
    measure_some(ret, &opts);
}

/* ---- following ---- */

struct chase {
    evb_reader *reader;
    int fd; /* of the raw one: a pipe */
    double late[FOLLOWED];
    bool wrong;
};

static void *follow(void *arg)
{
    struct chase *chase = arg;

    for (uint32_t i = 0; i < FOLLOWED; i++) {
        unsigned char bytes[STORE_SMALL];
        const void *data = bytes;
        int64_t sent;

        if (chase->reader != NULL) {
            evb_record record;
            int32_t rc;

            do {
                rc = evb_reader_next(chase->reader, EVB_FOREVER, &record);
            } while (rc == EVB_EAGAIN); /* caught up */
            chase->wrong = chase->wrong || rc != EVB_OK;
            if (rc != EVB_OK) break;
            data = record.data;
        } else if (read(chase->fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes) {
            chase->wrong = true;
            break;
        }
        memcpy(&sent, data, sizeof sent);
        chase->late[i] = (double)(bench_now_ns() - sent);
    }
    return NULL;
}

static void measure_chase(struct bench_result *ret, struct chase *chase, evb_store *store, int fd)
{
    unsigned char bytes[STORE_SMALL] = {0};
    pthread_t thread;

    bench_require(pthread_create(&thread, NULL, follow, chase) == 0, "pthread_create");
    for (uint32_t i = 0; i < FOLLOWED; i++) {
        evb_record record = {.topic = "orders.1", .data = bytes, .size = sizeof bytes};
        int64_t now;

        usleep(NAP_US);
        now = bench_now_ns();
        memcpy(bytes, &now, sizeof now);
        if (store != NULL)
            bench_require(evb_store_append(store, "orders.1", EVB_ANY_VERSION, &record, 1, NULL) == EVB_OK,
                          "append");
        else
            bench_require(write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes, "write");
    }
    pthread_join(thread, NULL);
    if (chase->wrong) bench_wrong(ret, "an event did not come");
    ret->ns = bench_median(chase->late, FOLLOWED); /* sorts */
    bench_extra(ret, "p99", chase->late[FOLLOWED * 99 / 100]);
}

static void measure_follow(void *state, struct bench_result *ret)
{
    evb_read_opts opts = {.struct_size = sizeof opts, .flags = EVB_READ_FOLLOW};
    struct chase chase = {.fd = -1};
    char dir[DIR_MAX];
    const char *why = "";
    evb_store *store;

    bench_unpin();
    store = own_system.open(store_dir(dir, sizeof dir, "follow"), *(const uint32_t *)state, &why);
    bench_require(store != NULL, why);
    bench_require(evb_store_read(store, &opts, &chase.reader) == EVB_OK, "evb_store_read");
    measure_chase(ret, &chase, store, -1);
    evb_reader_close(chase.reader);
    (void)evb_store_close(store);
    store_remove(dir);
}

static void measure_pipe(void *state, struct bench_result *ret)
{
    struct chase chase = {.reader = NULL};
    int fds[2];

    (void)state;
    bench_unpin();
    bench_require(pipe(fds) == 0, "pipe");
    chase.fd = fds[0];
    measure_chase(ret, &chase, NULL, fds[1]);
    close(fds[0]);
    close(fds[1]);
}

/* ---- opening after a close ---- */

static void measure_open(void *state, struct bench_result *ret)
{
    char dir[DIR_MAX];
    struct stat info;
    const char *why = "";
    evb_store *store;
    double times[5];

    (void)state;
    bench_unpin();
    if (stat(store_path(dir, sizeof dir, "closed"), &info) != 0) {
        static unsigned char data[STORE_LARGE];

        store = own_system.open(store_dir(dir, sizeof dir, "closed"), STORE_UNSAFE, &why);
        bench_require(store != NULL, why);
        for (uint64_t i = 0; i < store_log_events(STORE_LARGE); i++)
            bench_require(own_system.append(store, (uint32_t)(i % STORE_STREAMS), data, sizeof data, 1),
                          "append");
        own_system.close(store);
    }
    for (uint32_t i = 0; i < 5; i++) {
        int64_t start = bench_now_ns();

        store = own_system.open(dir, STORE_DURABLE, &why);
        times[i] = (double)(bench_now_ns() - start);
        bench_require(store != NULL, why);
        if (evb_store_last_position(store) != store_log_events(STORE_LARGE))
            bench_wrong(ret, "events are missing");
        own_system.close(store);
    }
    ret->ns = bench_median(times, 5);
    bench_extra(ret, "MB", (double)store_megabytes());
}

/* ---- snapshots ---- */

enum { SAVE, LOAD };

static bool snapshot(evb_store *store, const void *data, uint32_t what)
{
    evb_record record;

    if (what == SAVE) return evb_snapshot_save(store, "orders.1", 1, 1, data, STATE) == EVB_OK;
    if (evb_snapshot_load(store, "orders.1", 1, &record) != EVB_OK) return false;
    evb_record_free(&record);
    return true;
}

/* A file that is replaced as a whole. */
static bool raw_snapshot(const char *dir, void *data, uint32_t what)
{
    char path[DIR_MAX + 8], made[DIR_MAX + 8];
    bool ok;
    int fd;

    snprintf(path, sizeof path, "%s/state", dir);
    snprintf(made, sizeof made, "%s/tmp", dir);
    fd = what == SAVE ? open(made, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                      : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ok = what == SAVE ? pwrite(fd, data, STATE, 0) == STATE && fsync(fd) == 0
                      : pread(fd, data, STATE, 0) == STATE;
    ok = close(fd) == 0 && ok;
    if (what == LOAD || !ok) return ok;
    if (rename(made, path) != 0) return false;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

static void measure_snapshot(struct bench_result *ret, uint32_t what, bool bare)
{
    static unsigned char data[STATE];
    char dir[DIR_MAX];
    const char *why = "";
    evb_store *store = NULL;
    bool ok = true;
    int64_t start;

    bench_unpin();
    store_dir(dir, sizeof dir, "snapshot");
    if (!bare) {
        store = own_system.open(dir, STORE_DURABLE, &why);
        bench_require(store != NULL, why);
        ok = own_system.append(store, 1, data, STORE_SMALL, 1);
    }
    ok = ok && (bare ? raw_snapshot(dir, data, SAVE) : snapshot(store, data, SAVE));
    start = bench_now_ns();
    for (uint32_t i = 0; i < SNAPSHOTS && ok; i++)
        ok = bare ? raw_snapshot(dir, data, what) : snapshot(store, data, what);
    ret->ns = (double)(bench_now_ns() - start) / SNAPSHOTS;
    if (!ok) bench_wrong(ret, "a snapshot failed");
    if (store != NULL) own_system.close(store);
    store_remove(dir);
}

static void measure_save(void *state, struct bench_result *ret)
{
    measure_snapshot(ret, SAVE, *(const bool *)state);
}

static void measure_load(void *state, struct bench_result *ret)
{
    measure_snapshot(ret, LOAD, *(const bool *)state);
}

void own_add(void)
{
    static uint32_t levels[] = {STORE_KILL, STORE_DURABLE};
    static bool bare[] = {false, true};

    expected = own_system;
    expected.append = append_expected;
    store_add_append(&expected, "store/version/1", STORE_KILL);
    bench_add_measured("store/stream/100", "evbus", 1, measure_stream, NULL);
    bench_add_measured("store/pattern/100", "evbus", 1, measure_pattern, NULL);
    bench_add_measured("store/follow/kill", "evbus", 1, measure_follow, &levels[0]);
    bench_add_measured("store/follow/kill", "pipe", 1, measure_pipe, NULL);
    bench_add_measured("store/follow/durable", "evbus", 1, measure_follow, &levels[1]);
    bench_add_measured("store/open/closed", "evbus", 1, measure_open, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        bench_add_measured("store/snapshot/save", bare[i] ? "raw" : "evbus", 1, measure_save, &bare[i]);
        bench_add_measured("store/snapshot/load", bare[i] ? "raw" : "evbus", 1, measure_load, &bare[i]);
    }
}
