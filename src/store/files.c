/* SPDX-License-Identifier: MIT */
/* Files of a store as wholes. */
#include "store/files.h"

#include <evbus/base.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/file.h"
#include "base/platform.h"

const char *evb__path(struct evb__path *path, const char *dir, const char *name)
{
    int size = snprintf(path->text, sizeof path->text, "%s/%s", dir, name);

    evb__assert(size > 0 && (size_t)size < sizeof path->text);
    (void)size;
    return path->text;
}

const char *evb__segment_path(struct evb__path *path, const char *dir, uint64_t base, const char *kind)
{
    char name[40];

    (void)snprintf(name, sizeof name, "seg/%020" PRIu64 ".%s", base, kind);
    return evb__path(path, dir, name);
}

static int32_t read_all(int32_t fd, uint64_t most, unsigned char **ret_bytes, size_t *ret_size)
{
    const struct evb__files *files = evb__files();
    int64_t size = files->size(fd, files->arg);
    unsigned char *bytes;
    int32_t rc;

    if (size < 0) return (int32_t)size;
    if ((uint64_t)size > most || (uint64_t)size > SIZE_MAX / 2) return EVB_ECORRUPT;
    *ret_size = (size_t)size;
    *ret_bytes = NULL;
    if (size == 0) return EVB_OK;
    bytes = evb__alloc((size_t)size, EVB__ALIGN_MIN);
    if (bytes == NULL) return EVB_ENOMEM;
    rc = evb__pread_full(fd, bytes, (size_t)size, 0);
    if (rc != EVB_OK) {
        evb__free(bytes, (size_t)size);
        return rc == EVB_ETRUNCATED ? EVB_ECORRUPT : rc;
    }
    *ret_bytes = bytes;
    return EVB_OK;
}

int32_t evb__file_read(const char *path, uint64_t most, unsigned char **ret_bytes, size_t *ret_size)
{
    const struct evb__files *files = evb__files();
    int32_t fd = files->open(path, EVB__FILE_READ, files->arg), rc;

    if (fd < 0) return fd;
    rc = read_all(fd, most, ret_bytes, ret_size);
    (void)files->close(fd, files->arg); /* nothing was written */
    return rc;
}

static int32_t write_new(const char *path, const void *bytes, size_t size)
{
    const struct evb__files *files = evb__files();
    int32_t fd = files->open(path, EVB__FILE_WRITE | EVB__FILE_CREATE, files->arg), rc, closed;

    if (fd < 0) return fd;
    rc = files->truncate(fd, 0, files->arg);
    if (rc == EVB_OK) rc = evb__pwrite_full(fd, bytes, size, 0);
    if (rc == EVB_OK) rc = files->datasync(fd, files->arg);
    closed = files->close(fd, files->arg);
    return rc == EVB_OK ? closed : rc;
}

int32_t evb__file_replace(const char *dir, const char *name, const void *bytes, size_t size, uint32_t turn)
{
    const struct evb__files *files = evb__files();
    struct evb__path path, temporary;
    char temporary_name[24];
    int32_t rc;

    (void)snprintf(temporary_name, sizeof temporary_name, "%" PRIu32 ".tmp", turn);
    (void)evb__path(&path, dir, name);
    (void)evb__path(&temporary, dir, temporary_name);
    rc = write_new(temporary.text, bytes, size);
    if (rc == EVB_OK) rc = files->rename(temporary.text, path.text, files->arg);
    if (rc != EVB_OK) {
        (void)files->unlink(temporary.text, files->arg); /* if it cannot go it means nothing all the same */
        return rc;
    }
    return evb__dir_sync(dir);
}

int32_t evb__dir_sync(const char *dir)
{
    const struct evb__files *files = evb__files();
    int32_t fd = files->open(dir, EVB__FILE_DIR, files->arg), rc;

    if (fd < 0) return fd;
    rc = files->datasync(fd, files->arg);
    (void)files->close(fd, files->arg);
    return rc;
}

int32_t evb__dir_sync_parent(const char *dir)
{
    struct evb__path parent;
    size_t size = strlen(dir);

    while (size > 1 && dir[size - 1] == '/')
        size--;
    while (size > 0 && dir[size - 1] != '/')
        size--;
    while (size > 1 && dir[size - 1] == '/')
        size--;
    if (size == 0) return evb__dir_sync(".");
    memcpy(parent.text, dir, size);
    parent.text[size] = '\0';
    return evb__dir_sync(parent.text);
}

int32_t evb__dir_make(const char *dir)
{
    const struct evb__files *files = evb__files();
    int32_t rc = files->mkdir(dir, files->arg);

    return rc == EVB_EEXIST ? EVB_OK : rc;
}
