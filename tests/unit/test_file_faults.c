/* SPDX-License-Identifier: MIT */
/* Every system call of the file table failing with every errno we have an answer for: the shipped source,
 * compiled once more with its system calls led through this file.
 */
#include "evb_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the calls: each may be told to fail ---- */

static struct {
    const char *call; /* which one */
    int err;
    uint32_t times; /* how often, then it works */
    uint32_t calls; /* of that one */
    size_t size;    /* that pread or pwrite was asked for last */
} inject;

static bool fails(const char *call)
{
    if (inject.call == NULL || strcmp(inject.call, call) != 0) return false;
    if (inject.calls++ >= inject.times) return false;
    errno = inject.err;
    return true;
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    return fails("open") ? -1 : open(path, flags, mode);
}

static int faulty_close(int fd)
{
    int rc = close(fd); /* the descriptor is gone also when close fails */

    return fails("close") ? -1 : rc;
}

static int faulty_fcntl(int fd, int command, int arg)
{
    return fails("fcntl") ? -1 : fcntl(fd, command, arg);
}

static ssize_t faulty_pread(int fd, void *buf, size_t size, off_t offset)
{
    inject.size = size;
    return fails("pread") ? -1 : pread(fd, buf, size < 4096 ? size : 0, offset);
}

static ssize_t faulty_pwrite(int fd, const void *buf, size_t size, off_t offset)
{
    inject.size = size;
    return fails("pwrite") ? -1 : pwrite(fd, buf, size < 4096 ? size : 0, offset);
}

static int faulty_fdatasync(int fd)
{
    return fails("fdatasync") ? -1 : fdatasync(fd);
}

static int faulty_ftruncate(int fd, off_t size)
{
    return fails("ftruncate") ? -1 : ftruncate(fd, size);
}

static int faulty_posix_fallocate(int fd, off_t offset, off_t size)
{
    errno = 77; /* this one answers the error and says nothing about errno */
    return fails("posix_fallocate") ? inject.err : posix_fallocate(fd, offset, size);
}

static int faulty_fstat(int fd, struct stat *st)
{
    return fails("fstat") ? -1 : fstat(fd, st);
}

static int faulty_rename(const char *from, const char *to)
{
    return fails("rename") ? -1 : rename(from, to);
}

static int faulty_unlink(const char *path)
{
    return fails("unlink") ? -1 : unlink(path);
}

static int faulty_mkdir(const char *path, mode_t mode)
{
    return fails("mkdir") ? -1 : mkdir(path, mode);
}

static int faulty_flock(int fd, int how)
{
    return fails("flock") ? -1 : flock(fd, how);
}

static DIR *faulty_opendir(const char *path)
{
    return fails("opendir") ? NULL : opendir(path);
}

static struct dirent *faulty_readdir(DIR *stream)
{
    return fails("readdir") ? NULL : readdir(stream);
}

static void *faulty_mmap(void *addr, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails("mmap") ? MAP_FAILED : mmap(addr, size, protection, flags, fd, offset);
}

static int faulty_munmap(void *addr, size_t size)
{
    int rc = munmap(addr, size);

    return fails("munmap") ? -1 : rc;
}

/* The names stand for the calls and for the members of the table alike, here and in the source below. */
#define open            faulty_open
#define close           faulty_close
#define fcntl           faulty_fcntl
#define pread           faulty_pread
#define pwrite          faulty_pwrite
#define fdatasync       faulty_fdatasync
#define ftruncate       faulty_ftruncate
#define posix_fallocate faulty_posix_fallocate
#define fstat           faulty_fstat
#define rename          faulty_rename
#define unlink          faulty_unlink
#define mkdir           faulty_mkdir
#define flock           faulty_flock
#define opendir         faulty_opendir
#define readdir         faulty_readdir
#define mmap            faulty_mmap
#define munmap          faulty_munmap

#define evb__files           evb__faulty_files
#define evb__files_set       evb__faulty_files_set
#define evb__files_system    evb__faulty_files_system
#define evb__pread_full      evb__faulty_pread_full
#define evb__pwrite_full     evb__faulty_pwrite_full
#define evb__status_of_errno evb__faulty_status_of_errno

#include "base/file.c"

/* ---- the table of file.h, written a second time ---- */

static const struct {
    int err;
    int32_t status;
} answers[] = {
    {ENOSPC, EVB_ENOSPC},    {EDQUOT, EVB_ENOSPC},     {EFBIG, EVB_ETOOBIG},  {EOVERFLOW, EVB_ETOOBIG},
    {ENOENT, EVB_ENOTFOUND}, {ENOTDIR, EVB_ENOTFOUND}, {EEXIST, EVB_EEXIST},  {ENOTEMPTY, EVB_EEXIST},
    {ENOMEM, EVB_ENOMEM},    {EAGAIN, EVB_EAGAIN},     {EMFILE, EVB_EAGAIN},  {ENFILE, EVB_EAGAIN},
    {EBUSY, EVB_EBUSY},      {ETXTBSY, EVB_EBUSY},     {ENOSYS, EVB_ENOTSUP}, {EOPNOTSUPP, EVB_ENOTSUP},
    {EXDEV, EVB_ENOTSUP},    {EINVAL, EVB_EINVAL},     {EBADF, EVB_EINVAL},   {EFAULT, EVB_EINVAL},
    {EISDIR, EVB_EINVAL},    {ESPIPE, EVB_EINVAL},     {ELOOP, EVB_EINVAL},   {ENAMETOOLONG, EVB_EINVAL},
    {EIO, EVB_EIO},          {EACCES, EVB_EIO},        {EPERM, EVB_EIO},      {EROFS, EVB_EIO},
    {ENODEV, EVB_EIO},       {ENXIO, EVB_EIO},         {ESTALE, EVB_EIO},     {ECONNRESET, EVB_EIO},
};
#define ANSWERS (sizeof answers / sizeof answers[0])

TEST(every_errno_has_the_status_that_the_header_says)
{
    for (size_t i = 0; i < ANSWERS; i++)
        FAILS(evb__status_of_errno(answers[i].err), answers[i].status);
    OK(evb__status_of_errno(0));
    FAILS(evb__status_of_errno(EINTR), EVB_EAGAIN);
    FAILS(evb__status_of_errno(12345), EVB_EIO);
    FAILS(evb__status_of_errno(-1), EVB_EIO);
}

/* ---- one operation for each call, on a real directory ---- */

static char dir[256], path[300], other[300];
static int32_t file = -1, folder = -1;
static char buf[16];

static int32_t do_open(const struct evb__files *t)
{
    int32_t fd = t->open(path, EVB__FILE_READ, t->arg);

    return fd < 0 ? fd : t->close(fd, t->arg);
}

static int32_t do_close(const struct evb__files *t)
{
    return t->close(open(path, O_RDONLY, 0), t->arg);
}

static int32_t do_pread(const struct evb__files *t)
{
    int64_t got = t->pread(file, buf, 3, 0, t->arg);

    return got == 3 ? EVB_OK : (int32_t)got;
}

static int32_t do_pwrite(const struct evb__files *t)
{
    int64_t put = t->pwrite(file, "abc", 3, 0, t->arg);

    return put == 3 ? EVB_OK : (int32_t)put;
}

static int32_t do_pread_full(const struct evb__files *t)
{
    (void)t;
    return evb__pread_full(file, buf, 3, 0);
}

static int32_t do_pwrite_full(const struct evb__files *t)
{
    (void)t;
    return evb__pwrite_full(file, "abc", 3, 0);
}

static int32_t do_datasync(const struct evb__files *t)
{
    return t->datasync(file, t->arg);
}

static int32_t do_truncate(const struct evb__files *t)
{
    return t->truncate(file, 3, t->arg);
}

static int32_t do_allocate(const struct evb__files *t)
{
    return t->allocate(file, 0, 3, t->arg);
}

static int32_t do_size(const struct evb__files *t)
{
    int64_t size = t->size(file, t->arg);

    return size == 3 ? EVB_OK : (int32_t)size;
}

/* These three put things back by themselves when they have worked. */
static int32_t do_rename(const struct evb__files *t)
{
    int32_t rc = t->rename(path, other, t->arg);

    return rc < 0 ? rc : t->rename(other, path, t->arg);
}

static int32_t do_unlink(const struct evb__files *t)
{
    int32_t rc;

    (void)close(open(other, O_WRONLY | O_CREAT, 0600));
    rc = t->unlink(other, t->arg);
    (void)remove(other);
    return rc;
}

static int32_t do_mkdir(const struct evb__files *t)
{
    int32_t rc = t->mkdir(other, t->arg);

    (void)rmdir(other);
    return rc;
}

static int32_t do_lock(const struct evb__files *t)
{
    return t->lock(file, t->arg);
}

static int32_t no_stop(const char *name, void *user)
{
    (void)name;
    ++*(uint32_t *)user;
    return 0;
}

static int32_t do_list(const struct evb__files *t)
{
    uint32_t names = 0;
    int32_t rc = t->list(dir, no_stop, &names, t->arg);

    if (rc == EVB_OK) EQ(names, 1);
    return rc;
}

static int32_t do_map(const struct evb__files *t)
{
    const void *addr;
    int32_t rc = t->map(file, 3, &addr, t->arg);

    return rc < 0 ? rc : t->unmap(addr, 3, t->arg);
}

/* retried: goes on after EINTR. */
static const struct {
    const char *call;
    int32_t (*run)(const struct evb__files *t);
    bool retried;
} operations[] = {
    {"open", do_open, true},
    {"close", do_close, false},
    {"pread", do_pread, true},
    {"pwrite", do_pwrite, true},
    {"pread", do_pread_full, true},
    {"pwrite", do_pwrite_full, true},
    {"fdatasync", do_datasync, true},
    {"ftruncate", do_truncate, true},
    {"posix_fallocate", do_allocate, true},
    {"fstat", do_size, false},
    {"rename", do_rename, false},
    {"unlink", do_unlink, false},
    {"mkdir", do_mkdir, false},
    {"flock", do_lock, true},
    {"opendir", do_list, false},
    {"readdir", do_list, false},
    {"mmap", do_map, false},
    {"munmap", do_map, false},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

static int make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    memset(&inject, 0, sizeof inject);
    (void)snprintf(dir, sizeof dir, "%s/evb_faults.XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) return -1;
    (void)snprintf(path, sizeof path, "%s/a", dir);
    (void)snprintf(other, sizeof other, "%s/b", dir);
    file = evb__files()->open(path, EVB__FILE_READ | EVB__FILE_WRITE | EVB__FILE_CREATE, NULL);
    folder = evb__files()->open(dir, EVB__FILE_DIR, NULL);
    return file >= 0 && folder >= 0 && evb__pwrite_full(file, "abc", 3, 0) == EVB_OK ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    memset(&inject, 0, sizeof inject);
    (void)close(file);
    (void)close(folder);
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(dir);
}

static void fail_next(const char *call, int err, uint32_t times)
{
    memset(&inject, 0, sizeof inject);
    inject.call = call;
    inject.err = err;
    inject.times = times;
}

TEST(without_a_fault_every_operation_works)
{
    for (size_t i = 0; i < OPERATIONS; i++) {
        fail_next(operations[i].call, EIO, 0);
        OK(operations[i].run(evb__files()));
        CHECK(inject.calls > 0); /* it is this call that the next test will fail */
    }
}

TEST(every_call_reports_every_errno_as_its_status)
{
    for (size_t i = 0; i < OPERATIONS; i++) {
        for (size_t j = 0; j < ANSWERS; j++) {
            int32_t expected = answers[j].status;

            if (strcmp(operations[i].call, "flock") == 0 && answers[j].err == EAGAIN) expected = EVB_EBUSY;
            fail_next(operations[i].call, answers[j].err, 1);
            FAILS(operations[i].run(evb__files()), expected);
            EQ(inject.calls, 1);                 /* an error is final: no second try of our own */
            OK(operations[i].run(evb__files())); /* and the next call works */
        }
    }
}

TEST(calls_that_a_signal_can_interrupt_are_repeated_until_they_are_through)
{
    for (size_t i = 0; i < OPERATIONS; i++) {
        fail_next(operations[i].call, EINTR, 3);
        if (operations[i].retried) {
            OK(operations[i].run(evb__files()));
            EQ(inject.calls, 4);
        } else if (strcmp(operations[i].call, "close") == 0) {
            /* A second close could close a descriptor that another thread has got meanwhile. */
            OK(operations[i].run(evb__files()));
            EQ(inject.calls, 1);
        } else {
            FAILS(operations[i].run(evb__files()), EVB_EAGAIN); /* POSIX: cannot happen */
        }
    }
}

TEST(a_directory_that_cannot_be_synced_says_so)
{
    fail_next("fdatasync", EIO, 1);
    FAILS(evb__files()->datasync(folder, NULL), EVB_EIO);
    OK(evb__files()->datasync(folder, NULL));
}

/* Linux moves at most 0x7ffff000 bytes a call, others refuse more than INT_MAX. */
TEST(a_giant_transfer_is_asked_for_in_parts)
{
    EQ(evb__files()->pread(file, buf, SIZE_MAX / 2, 0, NULL), 0);
    EQ(inject.size, 0x7ffff000);
    EQ(evb__files()->pwrite(file, buf, SIZE_MAX / 2, 0, NULL), 0);
    EQ(inject.size, 0x7ffff000);
    EQ(evb__files()->pread(file, buf, 3, 0, NULL), 3);
    EQ(inject.size, 3);
}

static int open_low_and_fail(void *arg)
{
    int32_t rc;

    (void)arg;
    (void)close(STDIN_FILENO);
    fail_next("fcntl", EMFILE, 1);
    rc = evb__files()->open(path, EVB__FILE_READ, NULL);
    FAILS(rc, EVB_EAGAIN);
    EQ(inject.calls, 1);
    return open("/dev/null", O_RDONLY, 0) == STDIN_FILENO ? 0 : 1; /* the low descriptor is free again */
}

TEST(a_low_descriptor_that_cannot_be_moved_is_given_back)
{
    EQ(evb_test_in_child(open_low_and_fail, NULL), 0);
}

#define IN_DIR(name)                                                                                         \
    {                                                                                                        \
#name, name, make_dir, remove_dir, NULL                                                              \
    }

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_errno_has_the_status_that_the_header_says),
        IN_DIR(without_a_fault_every_operation_works),
        IN_DIR(every_call_reports_every_errno_as_its_status),
        IN_DIR(calls_that_a_signal_can_interrupt_are_repeated_until_they_are_through),
        IN_DIR(a_directory_that_cannot_be_synced_says_so),
        IN_DIR(a_giant_transfer_is_asked_for_in_parts),
        IN_DIR(a_low_descriptor_that_cannot_be_moved_is_given_back),
    };

    return EVB_TEST_MAIN("file_faults", tests, argc, argv);
}
