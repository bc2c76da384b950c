/* SPDX-License-Identifier: MIT */
/* The file I/O table: every system call the store will make, behind function pointers, so that tests replace
 * the disk.
 *
 * Invariant: no other file of the library opens, writes, syncs, renames or maps. Calls answer >= 0 or a
 * negative EVB_E* status (never errno); EINTR is retried here; short reads and writes are visible to the
 * caller of pread/pwrite and completed by the _full forms. Descriptors are opened O_CLOEXEC and are never 0,
 * 1 or 2: whoever closed stderr would otherwise write his messages into the store. Files and directories are
 * made with the modes 0666 and 0777 less the umask: who may read them is the process' decision. Threads: any;
 * evb__files_set only while no store is open.
 */
#ifndef EVB__BASE_FILE_H
#define EVB__BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

enum {
    EVB__FILE_READ = 1,
    EVB__FILE_WRITE = 2,
    EVB__FILE_CREATE = 4,
    EVB__FILE_EXCL = 8,
    EVB__FILE_DIR = 16
};

struct evb__files {
    /* A descriptor. READ and/or WRITE; CREATE and EXCL as O_CREAT and O_EXCL; DIR alone: a directory, for
     * datasync and lock. */
    int32_t (*open)(const char *path, uint32_t flags, void *arg);
    int32_t (*close)(int32_t fd, void *arg); /* the descriptor is gone whatever the answer */
    /* Bytes moved, at least 1 but maybe fewer than asked (0 for size 0); pread: 0 = end of file. */
    int64_t (*pread)(int32_t fd, void *buf, size_t size, uint64_t offset, void *arg);
    int64_t (*pwrite)(int32_t fd, const void *buf, size_t size, uint64_t offset, void *arg);
    int32_t (*datasync)(int32_t fd, void *arg); /* fdatasync; also a directory */
    int32_t (*truncate)(int32_t fd, uint64_t size, void *arg);
    int32_t (*allocate)(int32_t fd, uint64_t offset, uint64_t size, void *arg); /* posix_fallocate */
    int64_t (*size)(int32_t fd, void *arg);
    int32_t (*rename)(const char *from, const char *to, void *arg);
    int32_t (*unlink)(const char *path, void *arg);
    int32_t (*mkdir)(const char *path, void *arg); /* EVB_EEXIST when there */
    /* Exclusive, never waits: EVB_EBUSY. It belongs to the open file: closing it, or the end of the process,
     * gives it back. */
    int32_t (*lock)(int32_t fd, void *arg);
    /* Names without . and .., in no order; fn's non-zero ends the walk and is the answer. */
    int32_t (*list)(const char *dir, int32_t (*fn)(const char *name, void *user), void *user, void *arg);
    int32_t (*map)(int32_t fd, size_t size, const void **ret_addr,
                   void *arg); /* read-only, shared; size > 0 */
    int32_t (*unmap)(const void *addr, size_t size, void *arg);
    /* A wish: whole pages within are read from the disk next time, as far as they have been synced. size 0: up
     * to the end. May be NULL: a table without it has no memory that could differ. */
    int32_t (*forget)(int32_t fd, uint64_t offset, uint64_t size, void *arg);
    /* A wish: these bytes go to the disk now, so that a datasync finds less to do; waits for nothing and
     * promises nothing. May be NULL. */
    void (*hurry)(int32_t fd, uint64_t offset, uint64_t size, void *arg);
    void *arg;
};

const struct evb__files *evb__files(void);           /* the table in force */
void evb__files_set(const struct evb__files *files); /* NULL = the system's; used in place, not copied */
const struct evb__files *evb__files_system(void);

/* All size bytes or an error; on an error nothing is known about how much was moved. */
int32_t evb__pread_full(int32_t fd, void *buf, size_t size,
                        uint64_t offset); /* EVB_ETRUNCATED at the end of the file */
int32_t evb__pwrite_full(int32_t fd, const void *buf, size_t size, uint64_t offset);

/* errno as a status, by what the caller can do about it:
 *      ENOSPC EDQUOT               EVB_ENOSPC      make room
 *      EFBIG EOVERFLOW             EVB_ETOOBIG     a limit of the system, not of the disk
 *      ENOENT ENOTDIR              EVB_ENOTFOUND
 *      EEXIST ENOTEMPTY            EVB_EEXIST
 *      ENOMEM                      EVB_ENOMEM
 *      EAGAIN EINTR EMFILE ENFILE  EVB_EAGAIN      later it may work
 *      EBUSY ETXTBSY               EVB_EBUSY
 *      ENOSYS EOPNOTSUPP EXDEV     EVB_ENOTSUP     not on this file system
 *      EINVAL EBADF EFAULT EISDIR ESPIPE ELOOP ENAMETOOLONG    EVB_EINVAL
 *      0                           EVB_OK
 * and everything else EVB_EIO, EACCES, EPERM and EROFS among them: the disk does not do what it was told. */
int32_t evb__status_of_errno(int err);

#endif
