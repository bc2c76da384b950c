/* SPDX-License-Identifier: MIT */
/* The same bytes with bare system calls: the floor under every store.
 *
 * raw         one file, allocated ahead; under a mutex a pwrite, and an fdatasync if that is asked for
 * raw-each    a file for each thread, so that nobody waits for anybody but the disk
 *
 * No frame, no checksum, no index: a scan only knows where the events are because all are of one size.
 */
#include "bench_store_own.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AHEAD  (8 * 1024 * 1024)
#define WINDOW (256 * 1024)

struct raw_file {
    int fd;
    off_t end, allocated;
};

struct raw {
    struct raw_file file[STORE_THREADS];
    pthread_mutex_t lock;
    bool sync, each;
    unsigned char window[WINDOW];
};

static bool open_file(struct raw_file *file, const char *dir, uint32_t which)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%u", dir, (unsigned)which);
    file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file->fd < 0) return false;
    file->end = file->allocated = lseek(file->fd, 0, SEEK_END);
    return true;
}

static struct raw *raw_make(const char *dir, uint32_t level, bool each)
{
    struct raw *raw = calloc(1, sizeof *raw);

    bench_require(raw != NULL, "no memory");
    pthread_mutex_init(&raw->lock, NULL);
    raw->sync = level == STORE_DURABLE;
    raw->each = each;
    for (uint32_t i = 0; i < (each ? STORE_THREADS : 1); i++)
        bench_require(open_file(&raw->file[i], dir, i), "cannot make a file");
    return raw;
}

static void *raw_open(const char *dir, uint32_t level, const char **ret_why)
{
    (void)ret_why;
    return raw_make(dir, level, false);
}

static void *raw_open_each(const char *dir, uint32_t level, const char **ret_why)
{
    (void)ret_why;
    return raw_make(dir, level, true);
}

static bool write_file(struct raw *raw, struct raw_file *file, const void *data, size_t size)
{
    if (file->end + (off_t)size > file->allocated) {
        if (posix_fallocate(file->fd, file->allocated, AHEAD) != 0) return false;
        file->allocated += AHEAD;
    }
    if (pwrite(file->fd, data, size, file->end) != (ssize_t)size) return false;
    file->end += (off_t)size;
    return !raw->sync || fdatasync(file->fd) == 0;
}

static bool raw_append(void *store, uint32_t which, const void *data, uint32_t size, uint32_t n)
{
    struct raw *raw = store;
    unsigned char bytes[STORE_MANY * STORE_LARGE];
    bool ok;

    for (uint32_t i = 0; i < n; i++)
        memcpy(bytes + i * size, data, size);
    if (raw->each) return write_file(raw, &raw->file[which], bytes, n * size);
    pthread_mutex_lock(&raw->lock);
    ok = write_file(raw, &raw->file[0], bytes, n * size);
    pthread_mutex_unlock(&raw->lock);
    return ok;
}

static bool raw_sync(void *store)
{
    struct raw *raw = store;

    return ftruncate(raw->file[0].fd, raw->file[0].end) == 0 && fsync(raw->file[0].fd) == 0;
}

static bool scan(struct raw *raw, uint32_t size, struct store_scan *ret)
{
    size_t window = WINDOW - WINDOW % size;

    for (off_t at = 0; at < raw->file[0].end; at += (off_t)window) {
        ssize_t got = pread(raw->file[0].fd, raw->window, window, at);

        if (got < 0) return false;
        for (size_t i = 0; i < (size_t)got; i += size) {
            ret->events++;
            ret->bytes += size;
            ret->sum += raw->window[i];
        }
    }
    return true;
}

/* The log has been closed since it was written: its size says what its events' is. */
static bool raw_scan(void *store, struct store_scan *ret)
{
    struct raw *raw = store;
    uint64_t end = (uint64_t)raw->file[0].end;
    bool large = end == store_log_events(STORE_LARGE) * STORE_LARGE;

    return scan(raw, large ? STORE_LARGE : STORE_SMALL, ret);
}

static void raw_close(void *store)
{
    struct raw *raw = store;

    for (uint32_t i = 0; i < (raw->each ? STORE_THREADS : 1); i++)
        close(raw->file[i].fd);
    pthread_mutex_destroy(&raw->lock);
    free(raw);
}

static const struct store_system raw = {.impl = "raw",
                                        .open = raw_open,
                                        .append = raw_append,
                                        .scan = raw_scan,
                                        .sync = raw_sync,
                                        .close = raw_close};
static const struct store_system each = {
    .impl = "raw-each", .open = raw_open_each, .append = raw_append, .sync = raw_sync, .close = raw_close};

void raw_add(void)
{
    store_add_appends(&raw, STORE_DURABLE);
    store_add_append(&each, "store/durable/t16", STORE_DURABLE);
    store_add_appends(&raw, STORE_KILL);
    store_add_scans(&raw);
}
