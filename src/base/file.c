/* SPDX-License-Identifier: MIT */
/* The system's file I/O behind the table, and the calls that complete short transfers. */
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64 /* files beyond 2 GiB on 32-bit hosts */
#endif
#include "base/file.h"

#include <evbus/base.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/atomic.h"
#include "base/platform.h"

_Static_assert(sizeof(off_t) == 8, "build with -D_FILE_OFFSET_BITS=64");

/* Linux moves at most this many bytes in one call; others refuse more than INT_MAX. The caller sees a short
 * transfer. */
#define FILE_LARGEST_TRANSFER ((size_t)0x7ffff000)

int32_t evb__status_of_errno(int err)
{
    switch (err) {
    case 0:
        return EVB_OK;
    case ENOSPC:
    case EDQUOT:
        return EVB_ENOSPC;
    case EFBIG:
    case EOVERFLOW:
        return EVB_ETOOBIG;
    case ENOENT:
    case ENOTDIR:
        return EVB_ENOTFOUND;
    case EEXIST:
    case ENOTEMPTY:
        return EVB_EEXIST;
    case ENOMEM:
        return EVB_ENOMEM;
    case EAGAIN:
    case EINTR:
    case EMFILE:
    case ENFILE:
        return EVB_EAGAIN;
    case EBUSY:
    case ETXTBSY:
        return EVB_EBUSY;
    case ENOSYS:
    case EOPNOTSUPP:
    case EXDEV:
        return EVB_ENOTSUP;
    case EINVAL:
    case EBADF:
    case EFAULT:
    case EISDIR:
    case ESPIPE:
    case ELOOP:
    case ENAMETOOLONG:
        return EVB_EINVAL;
    default:
        return EVB_EIO;
    }
}

/* Evaluates the call until it is not interrupted by a signal handler. */
#define FILE_RETRY(result, call)                                                                             \
    do {                                                                                                     \
        (result) = (call);                                                                                   \
    } while ((result) < 0 && errno == EINTR)

/* The status of a call that answers -1 and errno. */
static int32_t file_answer(int64_t result)
{
    return result < 0 ? evb__status_of_errno(errno) : EVB_OK;
}

static int32_t file_open(const char *path, uint32_t flags, void *arg)
{
    int how = O_CLOEXEC, fd, high;

    (void)arg;
    if ((flags & EVB__FILE_DIR) != 0) {
        if (flags != EVB__FILE_DIR && flags != (EVB__FILE_DIR | EVB__FILE_READ)) return EVB_EINVAL;
        how |= O_RDONLY | O_DIRECTORY;
    } else {
        switch (flags & (EVB__FILE_READ | EVB__FILE_WRITE)) {
        case EVB__FILE_READ:
            how |= O_RDONLY;
            break;
        case EVB__FILE_WRITE:
            how |= O_WRONLY;
            break;
        case EVB__FILE_READ | EVB__FILE_WRITE:
            how |= O_RDWR;
            break;
        default:
            return EVB_EINVAL;
        }
    }
    if ((flags & EVB__FILE_CREATE) != 0) how |= O_CREAT;
    if ((flags & EVB__FILE_EXCL) != 0) how |= O_EXCL;
    FILE_RETRY(fd, open(path, how, 0666));
    if (fd < 0) return evb__status_of_errno(errno);
    if (fd > STDERR_FILENO) return fd;
    /* SQLite learnt this one the hard way (its SQLITE_MINIMUM_FILE_DESCRIPTOR). */
    high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (high < 0) high = evb__status_of_errno(errno);
    (void)close(fd);
    return high;
}

static int32_t file_close(int32_t fd, void *arg)
{
    (void)arg;
    /* Not retried: on Linux the descriptor is free after EINTR, and another thread may have it by now. */
    if (close(fd) == 0 || errno == EINTR) return EVB_OK;
    return evb__status_of_errno(errno);
}

static int64_t file_pread(int32_t fd, void *buf, size_t size, uint64_t offset, void *arg)
{
    ssize_t got;

    (void)arg;
    if (offset > INT64_MAX) return EVB_EINVAL;
    if (size > FILE_LARGEST_TRANSFER) size = FILE_LARGEST_TRANSFER;
    FILE_RETRY(got, pread(fd, buf, size, (off_t)offset));
    return got < 0 ? evb__status_of_errno(errno) : got;
}

static int64_t file_pwrite(int32_t fd, const void *buf, size_t size, uint64_t offset, void *arg)
{
    ssize_t put;

    (void)arg;
    if (offset > INT64_MAX) return EVB_EINVAL;
    if (size > FILE_LARGEST_TRANSFER) size = FILE_LARGEST_TRANSFER;
    FILE_RETRY(put, pwrite(fd, buf, size, (off_t)offset));
    return put < 0 ? evb__status_of_errno(errno) : put;
}

static int32_t file_datasync(int32_t fd, void *arg)
{
    int rc;

    (void)arg;
    FILE_RETRY(rc, fdatasync(fd));
    return file_answer(rc);
}

static int32_t file_truncate(int32_t fd, uint64_t size, void *arg)
{
    int rc;

    (void)arg;
    if (size > INT64_MAX) return EVB_ETOOBIG;
    FILE_RETRY(rc, ftruncate(fd, (off_t)size));
    return file_answer(rc);
}

static int32_t file_allocate(int32_t fd, uint64_t offset, uint64_t size, void *arg)
{
    int err;

    (void)arg;
    if (offset > INT64_MAX || size > INT64_MAX - offset) return EVB_ETOOBIG;
    do {
        err = posix_fallocate(fd, (off_t)offset, (off_t)size); /* answers the error, leaves errno alone */
    } while (err == EINTR);
    return evb__status_of_errno(err);
}

static int64_t file_size(int32_t fd, void *arg)
{
    struct stat st;

    (void)arg;
    if (fstat(fd, &st) != 0) return evb__status_of_errno(errno);
    return st.st_size;
}

static int32_t file_rename(const char *from, const char *to, void *arg)
{
    (void)arg;
    return file_answer(rename(from, to));
}

static int32_t file_unlink(const char *path, void *arg)
{
    (void)arg;
    return file_answer(unlink(path));
}

static int32_t file_mkdir(const char *path, void *arg)
{
    (void)arg;
    return file_answer(mkdir(path, 0777));
}

static int32_t file_lock(int32_t fd, void *arg)
{
    int rc;

    (void)arg;
    /* flock and not fcntl: a POSIX record lock is lost when any descriptor of the file is closed anywhere in
     * the process. */
    FILE_RETRY(rc, flock(fd, LOCK_EX | LOCK_NB));
    return rc < 0 && errno == EWOULDBLOCK ? EVB_EBUSY : file_answer(rc);
}

static int32_t file_list(const char *dir, int32_t (*fn)(const char *name, void *user), void *user, void *arg)
{
    DIR *stream = opendir(dir);
    int32_t rc = EVB_OK;

    (void)arg;
    if (stream == NULL) return evb__status_of_errno(errno);
    while (rc == EVB_OK) {
        const struct dirent *entry;

        errno = 0; /* the end of the directory and an error are both NULL */
        entry = readdir(stream);
        if (entry == NULL) {
            rc = evb__status_of_errno(errno);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        rc = fn(entry->d_name, user);
    }
    (void)closedir(stream);
    return rc;
}

static int32_t file_map(int32_t fd, size_t size, const void **ret_addr, void *arg)
{
    void *addr = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    (void)arg;
    if (addr == MAP_FAILED) return evb__status_of_errno(errno);
    *ret_addr = addr;
    return EVB_OK;
}

static int32_t file_unmap(const void *addr, size_t size, void *arg)
{
    (void)arg;
    return file_answer(munmap((void *)(uintptr_t)addr, size));
}

static int32_t file_forget(int32_t fd, uint64_t offset, uint64_t size, void *arg)
{
    (void)arg;
    if (offset > INT64_MAX || size > INT64_MAX) return EVB_EINVAL;
    return evb__status_of_errno(posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED));
}

#if defined(__linux__) && defined(SYNC_FILE_RANGE_WRITE)
static void file_hurry(int32_t fd, uint64_t offset, uint64_t size, void *arg)
{
    (void)arg;
    if (offset > INT64_MAX || size > INT64_MAX - offset) return;
    /* An error of the disk stays with the file, for the next datasync to tell. */
    (void)sync_file_range(fd, (off64_t)offset, (off64_t)size, SYNC_FILE_RANGE_WRITE);
}
#else
#define file_hurry NULL
#endif

static const struct evb__files files_system = {
    .open = file_open,
    .close = file_close,
    .pread = file_pread,
    .pwrite = file_pwrite,
    .datasync = file_datasync,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .size = file_size,
    .rename = file_rename,
    .unlink = file_unlink,
    .mkdir = file_mkdir,
    .lock = file_lock,
    .list = file_list,
    .map = file_map,
    .unmap = file_unmap,
    .forget = file_forget,
    .hurry = file_hurry,
};

static EVB__ATOMIC(const struct evb__files *) files_now = &files_system;

const struct evb__files *evb__files(void)
{
    return evb__ld_acq(&files_now); /* the table's fields come with it; pairs with evb__files_set */
}

void evb__files_set(const struct evb__files *files)
{
    evb__st_rel(&files_now, files != NULL ? files : &files_system); /* pairs with evb__files */
}

const struct evb__files *evb__files_system(void)
{
    return &files_system;
}

int32_t evb__pread_full(int32_t fd, void *buf, size_t size, uint64_t offset)
{
    const struct evb__files *files = evb__files();
    char *to = buf;

    while (size > 0) {
        int64_t got = files->pread(fd, to, size, offset, files->arg);

        if (got < 0) return (int32_t)got;
        if (got == 0) return EVB_ETRUNCATED;
        evb__assert((uint64_t)got <= size);
        to += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return EVB_OK;
}

int32_t evb__pwrite_full(int32_t fd, const void *buf, size_t size, uint64_t offset)
{
    const struct evb__files *files = evb__files();
    const char *from = buf;

    while (size > 0) {
        int64_t put = files->pwrite(fd, from, size, offset, files->arg);

        if (put < 0) return (int32_t)put;
        if (put == 0) return EVB_EIO; /* no error and no progress: asking again could go on for ever */
        evb__assert((uint64_t)put <= size);
        from += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return EVB_OK;
}
