/* SPDX-License-Identifier: MIT */
/* The file table on the real system, and the calls that complete short transfers on a table that moves
 * little. */
#include "evb_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/atomic.h"
#include "base/file.h"
#include "base/platform.h"

/* ---- a directory for each test ---- */

static char dir[256];
static const struct evb__files *sys;

static int make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    sys = evb__files_system();
    (void)snprintf(dir, sizeof dir, "%s/evb_file.XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static const char *in_dir(const char *name)
{
    static char paths[4][600];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static int remove_dir(void **state)
{
    char command[300];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* A new file with these bytes in it, open for both. */
static int32_t new_file(const char *name, const char *bytes)
{
    int32_t fd =
        sys->open(in_dir(name), EVB__FILE_READ | EVB__FILE_WRITE | EVB__FILE_CREATE | EVB__FILE_EXCL, NULL);

    CHECK(fd > 2);
    EQ(sys->pwrite(fd, bytes, strlen(bytes), 0, NULL), strlen(bytes));
    return fd;
}

/* ---- open and close ---- */

TEST(what_is_written_can_be_read_where_it_was_written)
{
    int32_t fd = new_file("a", "0123456789");
    char buf[16];

    EQ(sys->size(fd, NULL), 10);
    EQ(sys->pread(fd, buf, 4, 3, NULL), 4);
    EQ_MEM(buf, "3456", 4);
    EQ(sys->pread(fd, buf, 16, 8, NULL), 2); /* short at the end */
    EQ(sys->pread(fd, buf, 16, 10, NULL), 0);
    EQ(sys->pread(fd, buf, 16, 1000, NULL), 0);
    EQ(sys->pwrite(fd, "xy", 2, 12, NULL), 2); /* a hole reads as zeros */
    EQ(sys->pread(fd, buf, 16, 8, NULL), 6);
    EQ_MEM(buf, "89\0\0xy", 6);
    OK(sys->datasync(fd, NULL));
    OK(sys->close(fd, NULL));
}

TEST(what_was_synced_can_be_forgotten_and_reads_as_before)
{
    int32_t fd = new_file("a", "0123456789");
    char buf[16];

    OK(sys->datasync(fd, NULL));
    if (sys->hurry != NULL) { /* a wish, like the next one: no answer, and what is read stays */
        sys->hurry(fd, 0, 1 << 20, NULL);
        sys->hurry(fd, UINT64_MAX, 1, NULL);
        sys->hurry(-1, 0, 1, NULL);
    }
    OK(sys->forget(fd, 0, 0, NULL));
    EQ(sys->pread(fd, buf, 16, 0, NULL), 10);
    EQ_MEM(buf, "0123456789", 10);
    FAILS(sys->forget(fd, UINT64_MAX, 1, NULL), EVB_EINVAL);
    FAILS(sys->forget(fd, 0, UINT64_MAX, NULL), EVB_EINVAL);
    OK(sys->close(fd, NULL));
    FAILS(sys->forget(fd, 0, 0, NULL), EVB_EINVAL);
}

TEST(open_makes_a_file_only_when_told_to)
{
    int32_t fd;

    FAILS(sys->open(in_dir("a"), EVB__FILE_READ, NULL), EVB_ENOTFOUND);
    FAILS(sys->open(in_dir("a"), EVB__FILE_WRITE, NULL), EVB_ENOTFOUND);
    fd = (int32_t)ID(sys->open(in_dir("a"), EVB__FILE_WRITE | EVB__FILE_CREATE, NULL));
    OK(sys->close(fd, NULL));
    fd = (int32_t)ID(sys->open(in_dir("a"), EVB__FILE_WRITE | EVB__FILE_CREATE, NULL));
    OK(sys->close(fd, NULL));
    FAILS(sys->open(in_dir("a"), EVB__FILE_WRITE | EVB__FILE_CREATE | EVB__FILE_EXCL, NULL), EVB_EEXIST);
}

TEST(a_descriptor_does_only_what_it_was_opened_for)
{
    int32_t fd = new_file("a", "abc"), reader, writer;
    char buf[4];

    reader = (int32_t)ID(sys->open(in_dir("a"), EVB__FILE_READ, NULL));
    writer = (int32_t)ID(sys->open(in_dir("a"), EVB__FILE_WRITE, NULL));
    FAILS((int32_t)sys->pwrite(reader, "x", 1, 0, NULL), EVB_EINVAL);
    FAILS((int32_t)sys->pread(writer, buf, 1, 0, NULL), EVB_EINVAL);
    OK(sys->close(reader, NULL));
    OK(sys->close(writer, NULL));
    OK(sys->close(fd, NULL));
}

TEST(open_refuses_flags_that_make_no_sense)
{
    FAILS(sys->open(in_dir("a"), 0, NULL), EVB_EINVAL);
    FAILS(sys->open(in_dir("a"), EVB__FILE_CREATE, NULL), EVB_EINVAL);
    FAILS(sys->open(dir, EVB__FILE_DIR | EVB__FILE_WRITE, NULL), EVB_EINVAL);
    FAILS(sys->open(dir, EVB__FILE_DIR | EVB__FILE_CREATE, NULL), EVB_EINVAL);
}

TEST(open_says_why_it_could_not)
{
    char longest[300];

    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    OK(sys->close(new_file("plain", "x"), NULL));
    FAILS(sys->open(in_dir("plain/below"), EVB__FILE_READ, NULL), EVB_ENOTFOUND); /* ENOTDIR */
    FAILS(sys->open(in_dir("plain"), EVB__FILE_DIR, NULL), EVB_ENOTFOUND);
    FAILS(sys->open(dir, EVB__FILE_WRITE, NULL), EVB_EINVAL); /* EISDIR */
    FAILS(sys->open(in_dir(longest), EVB__FILE_READ, NULL), EVB_EINVAL);
    EQ(symlink("loop", in_dir("loop")), 0);
    FAILS(sys->open(in_dir("loop"), EVB__FILE_READ, NULL), EVB_EINVAL);
}

TEST(descriptors_do_not_survive_exec)
{
    int32_t fd = new_file("a", ""), directory = (int32_t)ID(sys->open(dir, EVB__FILE_DIR, NULL));

    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((fcntl(directory, F_GETFD) & FD_CLOEXEC) != 0);
    OK(sys->close(fd, NULL));
    OK(sys->close(directory, NULL));
}

static int open_without_standard_streams(void *arg)
{
    int32_t fd;

    (void)arg;
    for (int i = 0; i <= 2; i++)
        (void)close(i);
    fd = sys->open(in_dir("a"), EVB__FILE_WRITE | EVB__FILE_CREATE, NULL);
    if (fd <= 2) return 1;
    if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) return 2;
    for (int i = 0; i <= 2; i++) {
        if (fcntl(i, F_GETFD) != -1)
            return 3; /* and the low one that the system gave first is closed again */
    }
    return sys->close(fd, NULL) == EVB_OK ? 0 : 4;
}

TEST(a_file_never_takes_the_place_of_a_closed_standard_stream)
{
    EQ(evb_test_in_child(open_without_standard_streams, NULL), 0);
}

static int open_too_many(void *arg)
{
    struct rlimit limit = {16, 16};
    int32_t fd = 0;

    (void)arg;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 77;
    for (int i = 0; i < 20 && fd >= 0; i++)
        fd = sys->open(in_dir("a"), EVB__FILE_WRITE | EVB__FILE_CREATE, NULL);
    FAILS(fd, EVB_EAGAIN);
    FAILS(sys->list(dir, NULL, NULL, NULL), EVB_EAGAIN);
    return 0;
}

TEST(no_descriptor_left_is_a_reason_to_try_again)
{
    int rc = evb_test_in_child(open_too_many, NULL);

    if (rc == 77) SKIP("limits cannot be set here");
    EQ(rc, 0);
}

static int open_as_nobody(void *arg)
{
    (void)arg;
    if (chmod(dir, 0700) != 0 || (getuid() == 0 && setuid(65534) != 0)) return 77;
    FAILS(sys->open(in_dir("a"), EVB__FILE_READ, NULL), EVB_EIO);
    FAILS(sys->mkdir(in_dir("b"), NULL), EVB_EIO);
    FAILS(sys->unlink(in_dir("a"), NULL), EVB_EIO);
    FAILS(sys->rename(in_dir("a"), in_dir("b"), NULL), EVB_EIO);
    FAILS(sys->list(dir, NULL, NULL, NULL), EVB_EIO);
    return 0;
}

TEST(no_permission_is_an_input_output_error)
{
    if (getuid() != 0) SKIP("only root can become somebody without permission here");
    OK(sys->close(new_file("a", "x"), NULL));
    EQ(evb_test_in_child(open_as_nobody, NULL), 0);
}

TEST(a_closed_descriptor_is_refused_by_every_call)
{
    int32_t fd = new_file("a", "abc");
    const void *addr = &fd;
    char buf[4] = "";

    OK(sys->close(fd, NULL));
    FAILS(sys->close(fd, NULL), EVB_EINVAL);
    FAILS((int32_t)sys->pread(fd, buf, 1, 0, NULL), EVB_EINVAL);
    FAILS((int32_t)sys->pwrite(fd, buf, 1, 0, NULL), EVB_EINVAL);
    FAILS(sys->datasync(fd, NULL), EVB_EINVAL);
    FAILS(sys->truncate(fd, 0, NULL), EVB_EINVAL);
    FAILS(sys->allocate(fd, 0, 1, NULL), EVB_EINVAL);
    FAILS((int32_t)sys->size(fd, NULL), EVB_EINVAL);
    FAILS(sys->lock(fd, NULL), EVB_EINVAL);
    FAILS(sys->map(fd, 4096, &addr, NULL), EVB_EINVAL);
    EQ_PTR(addr, &fd); /* untouched on failure */
}

/* ---- sizes and offsets ---- */

TEST(sizes_change_and_space_is_reserved)
{
    int32_t fd = new_file("a", "0123456789");
    char buf[8];

    OK(sys->truncate(fd, 4, NULL));
    EQ(sys->size(fd, NULL), 4);
    OK(sys->truncate(fd, 100, NULL));
    EQ(sys->size(fd, NULL), 100);
    EQ(sys->pread(fd, buf, 8, 2, NULL), 8);
    EQ_MEM(buf, "23\0\0\0\0\0\0", 8);
    OK(sys->allocate(fd, 0, 65536, NULL));
    EQ(sys->size(fd, NULL), 65536);
    OK(sys->allocate(fd, 1000, 1000, NULL)); /* is there already */
    EQ(sys->size(fd, NULL), 65536);
    OK(sys->close(fd, NULL));
}

TEST(offsets_beyond_two_gibibytes_are_fine)
{
    int32_t fd = new_file("a", "");
    const uint64_t far = UINT64_C(5) << 30;
    char buf[4];

    OK(sys->truncate(fd, far + 10, NULL)); /* a hole: takes no space */
    EQ(sys->size(fd, NULL), far + 10);
    EQ(sys->pwrite(fd, "abcd", 4, far, NULL), 4);
    EQ(sys->pread(fd, buf, 4, far, NULL), 4);
    EQ_MEM(buf, "abcd", 4);
    OK(sys->close(fd, NULL));
}

TEST(offsets_that_no_file_can_have_are_refused)
{
    int32_t fd = new_file("a", "");
    char buf[4] = "";

    FAILS((int32_t)sys->pread(fd, buf, 1, UINT64_C(1) << 63, NULL), EVB_EINVAL);
    FAILS((int32_t)sys->pwrite(fd, buf, 1, UINT64_MAX, NULL), EVB_EINVAL);
    FAILS(sys->truncate(fd, UINT64_C(1) << 63, NULL), EVB_ETOOBIG);
    FAILS(sys->allocate(fd, UINT64_C(1) << 63, 1, NULL), EVB_ETOOBIG);
    FAILS(sys->allocate(fd, 1, INT64_MAX, NULL), EVB_ETOOBIG);
    FAILS(sys->allocate(fd, 0, 0, NULL), EVB_EINVAL);
    OK(sys->close(fd, NULL));
}

static int grow_beyond_the_limit(void *arg)
{
    struct rlimit limit = {4096, 4096};
    int32_t fd = *(int32_t *)arg;

    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 77;
    FAILS((int32_t)sys->pwrite(fd, "x", 1, 4096, NULL), EVB_ETOOBIG);
    EQ(sys->pwrite(fd, "xyz", 3, 4094, NULL), 2); /* up to the limit: a short write on a real disk */
    FAILS(evb__pwrite_full(fd, "xyz", 3, 4094), EVB_ETOOBIG);
    FAILS(sys->truncate(fd, 4097, NULL), EVB_ETOOBIG);
    FAILS(sys->allocate(fd, 0, 4097, NULL), EVB_ETOOBIG);
    return 0;
}

TEST(the_systems_limit_of_file_sizes_is_too_big)
{
    int32_t fd = new_file("a", "");

    EQ(evb_test_in_child(grow_beyond_the_limit, &fd), 0);
    OK(sys->close(fd, NULL));
}

TEST(a_full_device_is_no_space)
{
    int32_t fd = sys->open("/dev/full", EVB__FILE_WRITE, NULL);

    if (fd == EVB_ENOTFOUND) SKIP("no /dev/full here");
    CHECK(fd > 2);
    FAILS((int32_t)sys->pwrite(fd, "x", 1, 0, NULL), EVB_ENOSPC);
    FAILS(evb__pwrite_full(fd, "x", 1, 0), EVB_ENOSPC);
    OK(sys->close(fd, NULL));
}

TEST(a_read_error_of_the_system_is_an_input_output_error)
{
    int32_t fd = sys->open("/proc/self/mem", EVB__FILE_READ, NULL);
    char buf[4];

    if (fd < 0) SKIP("no /proc/self/mem here");
    FAILS((int32_t)sys->pread(fd, buf, 1, 0, NULL), EVB_EIO); /* nothing is mapped at address 0 */
    OK(sys->close(fd, NULL));
}

TEST(a_pipe_has_no_places_to_read_or_write_at)
{
    int32_t fd;
    char buf[4] = "";

    EQ(mkfifo(in_dir("fifo"), 0600), 0);
    fd = (int32_t)ID(sys->open(in_dir("fifo"), EVB__FILE_READ | EVB__FILE_WRITE, NULL));
    FAILS((int32_t)sys->pread(fd, buf, 1, 0, NULL), EVB_EINVAL);
    FAILS((int32_t)sys->pwrite(fd, buf, 1, 0, NULL), EVB_EINVAL);
    FAILS(sys->datasync(fd, NULL), EVB_EINVAL);
    OK(sys->close(fd, NULL));
}

/* ---- names ---- */

TEST(rename_replaces_and_says_why_it_could_not)
{
    char buf[4];
    int32_t fd;

    OK(sys->close(new_file("a", "aaa"), NULL));
    OK(sys->close(new_file("b", "bbb"), NULL));
    OK(sys->rename(in_dir("a"), in_dir("b"), NULL));
    fd = (int32_t)ID(sys->open(in_dir("b"), EVB__FILE_READ, NULL));
    EQ(sys->pread(fd, buf, 4, 0, NULL), 3);
    EQ_MEM(buf, "aaa", 3);
    OK(sys->close(fd, NULL));
    FAILS(sys->rename(in_dir("a"), in_dir("c"), NULL), EVB_ENOTFOUND);
    OK(sys->mkdir(in_dir("one"), NULL));
    OK(sys->mkdir(in_dir("two"), NULL));
    OK(sys->mkdir(in_dir("two/inside"), NULL));
    FAILS(sys->rename(in_dir("one"), in_dir("two"), NULL), EVB_EEXIST); /* ENOTEMPTY */
    FAILS(sys->rename(in_dir("two"), in_dir("two/inside/x"), NULL), EVB_EINVAL);
}

TEST(unlink_removes_a_file_and_only_a_file)
{
    OK(sys->close(new_file("a", ""), NULL));
    OK(sys->unlink(in_dir("a"), NULL));
    FAILS(sys->unlink(in_dir("a"), NULL), EVB_ENOTFOUND);
    NE(sys->unlink(dir, NULL), EVB_OK);
}

TEST(mkdir_makes_one_directory)
{
    struct stat st;
    mode_t mask = umask(027);
    int32_t rc = sys->mkdir(in_dir("sub"), NULL), fd = new_file("file", "");

    (void)umask(mask);
    OK(rc);
    FAILS(sys->mkdir(in_dir("sub"), NULL), EVB_EEXIST);
    FAILS(sys->mkdir(in_dir("none/sub"), NULL), EVB_ENOTFOUND);
    EQ(stat(in_dir("sub"), &st), 0);
    EQ(st.st_mode & 0777, 0750); /* the umask decides who may look in */
    EQ(fstat(fd, &st), 0);
    EQ(st.st_mode & 0777, 0640);
    OK(sys->close(fd, NULL));
}

TEST(a_directory_can_be_synced)
{
    int32_t fd = (int32_t)ID(sys->open(dir, EVB__FILE_DIR, NULL));

    OK(sys->datasync(fd, NULL));
    OK(sys->close(fd, NULL));
    fd = (int32_t)ID(sys->open(dir, EVB__FILE_DIR | EVB__FILE_READ, NULL));
    OK(sys->close(fd, NULL));
}

struct names {
    char seen[8][16];
    uint32_t count, stop_at;
};

static int32_t note_name(const char *name, void *user)
{
    struct names *names = user;

    CHECK(names->count < 8);
    (void)snprintf(names->seen[names->count++], sizeof names->seen[0], "%s", name);
    return names->count == names->stop_at ? 42 : 0;
}

TEST(list_names_everything_but_the_two_dots)
{
    struct names names = {.count = 0};
    uint32_t found = 0;

    OK(sys->list(dir, note_name, &names, NULL));
    EQ(names.count, 0);
    OK(sys->close(new_file("a", ""), NULL));
    OK(sys->close(new_file(".hidden", ""), NULL));
    OK(sys->mkdir(in_dir("sub"), NULL));
    OK(sys->list(dir, note_name, &names, NULL));
    EQ(names.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        found |= strcmp(names.seen[i], "a") == 0         ? 1
                 : strcmp(names.seen[i], ".hidden") == 0 ? 2
                 : strcmp(names.seen[i], "sub") == 0     ? 4
                                                         : 8;
    }
    EQ(found, 7);
}

TEST(list_ends_when_it_is_told_to_and_answers_that)
{
    struct names names = {.stop_at = 2};

    OK(sys->close(new_file("a", ""), NULL));
    OK(sys->close(new_file("b", ""), NULL));
    OK(sys->close(new_file("c", ""), NULL));
    EQ(sys->list(dir, note_name, &names, NULL), 42);
    EQ(names.count, 2);
    FAILS(sys->list(in_dir("none"), note_name, &names, NULL), EVB_ENOTFOUND);
    FAILS(sys->list(in_dir("a"), note_name, &names, NULL), EVB_ENOTFOUND);
    EQ(names.count, 2);
}

/* ---- locks ---- */

static int lock_in_child(void *arg)
{
    int32_t fd = sys->open(arg, EVB__FILE_READ, NULL);

    FAILS(sys->lock(fd, NULL), EVB_EBUSY);
    return sys->close(fd, NULL) == EVB_OK ? 0 : 1;
}

TEST(one_open_file_holds_the_lock_at_a_time_in_this_process_and_others)
{
    char path[600];
    int32_t one = new_file("lock", ""), two, three;

    (void)snprintf(path, sizeof path, "%s", in_dir("lock"));
    two = (int32_t)ID(sys->open(path, EVB__FILE_READ | EVB__FILE_WRITE, NULL));
    three = (int32_t)ID(sys->open(path, EVB__FILE_READ, NULL));
    OK(sys->lock(one, NULL));
    OK(sys->lock(one, NULL)); /* mine already */
    FAILS(sys->lock(two, NULL), EVB_EBUSY);
    EQ(evb_test_in_child(lock_in_child, path), 0);
    OK(sys->close(three, NULL)); /* a POSIX record lock would be gone now */
    FAILS(sys->lock(two, NULL), EVB_EBUSY);
    OK(sys->close(one, NULL));
    OK(sys->lock(two, NULL));
    OK(sys->close(two, NULL));
}

/* ---- maps ---- */

TEST(a_map_shows_the_file_and_what_is_written_later)
{
    int32_t fd = new_file("a", "0123456789");
    const void *addr = NULL;

    OK(sys->map(fd, 10, &addr, NULL));
    EQ_MEM(addr, "0123456789", 10);
    EQ(sys->pwrite(fd, "AB", 2, 4, NULL), 2);
    EQ_MEM(addr, "0123AB6789", 10);
    OK(sys->close(fd, NULL)); /* the map stays */
    EQ_MEM(addr, "0123AB6789", 10);
    OK(sys->unmap(addr, 10, NULL));
}

TEST(maps_that_cannot_be_are_refused)
{
    int32_t fd = new_file("a", "0123456789"), directory = (int32_t)ID(sys->open(dir, EVB__FILE_DIR, NULL));
    const void *addr = NULL;

    FAILS(sys->map(fd, 0, &addr, NULL), EVB_EINVAL);
    /* valgrind answers this one for the system, and otherwise */
    if (!evb_test_plain_alloc()) FAILS(sys->map(fd, PTRDIFF_MAX / 4096 * 4096, &addr, NULL), EVB_ENOMEM);
    NE(sys->map(directory, 4096, &addr, NULL), EVB_OK);
    EQ_PTR(addr, NULL);
    FAILS(sys->unmap((const char *)dir + 1, 4096, NULL), EVB_EINVAL); /* no page begins there */
    OK(sys->close(fd, NULL));
    OK(sys->close(directory, NULL));
}

/* ---- interrupted ---- */

static EVB__ATOMIC(uint32_t) signals_seen;

static void on_signal(int number)
{
    (void)number;
    (void)evb__add_rlx(&signals_seen, 1); /* relaxed: a counter */
}

struct interrupted {
    char fifo[600];
    EVB__ATOMIC(int) tid;
    pthread_t reader;
    struct evb_test_line line;
};

/* Is the reader asleep in the kernel? The only thing it can sleep in is open. */
static bool reader_sleeps(void *arg)
{
    struct interrupted *in = arg;
    char path[64], text[256] = "", *after;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat",
                   evb__ld_rlx(&in->tid)); /* relaxed: set before the line */
    f = fopen(path, "r");
    if (f == NULL) return false;
    (void)!fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    after = strrchr(text, ')');
    return after != NULL && after[1] == ' ' && after[2] == 'S';
}

static void open_or_interrupt(uint32_t index, void *arg)
{
    struct interrupted *in = arg;
    int32_t fd;

    if (index == 0) {
        in->reader = pthread_self();
        evb__st_rlx(&in->tid, (int)gettid()); /* relaxed: the line orders it */
        evb_test_line_wait(&in->line);
        fd = sys->open(in->fifo, EVB__FILE_READ, NULL); /* waits for a writer */
        CHECK(fd > 2);
        OK(sys->close(fd, NULL));
        return;
    }
    evb_test_line_wait(&in->line);
    for (uint32_t i = 1; i <= 5; i++) {
        CHECK(evb_test_eventually(reader_sleeps, in));
        EQ(pthread_kill(in->reader, SIGUSR1), 0);
        while (!EVB__TSAN && evb__ld_rlx(&signals_seen) < i)
            (void)sched_yield(); /* relaxed: a counter */
    }
    CHECK(evb_test_eventually(reader_sleeps, in)); /* still in there */
    fd = sys->open(in->fifo, EVB__FILE_WRITE, NULL);
    CHECK(fd > 2);
    OK(sys->close(fd, NULL));
}

TEST(an_open_that_a_signal_interrupts_goes_on)
{
    struct interrupted in;
    struct sigaction action, before;

    if (access("/proc/self/task", F_OK) != 0) SKIP("no /proc here");
    memset(&in, 0, sizeof in);
    (void)snprintf(in.fifo, sizeof in.fifo, "%s", in_dir("fifo"));
    EQ(mkfifo(in.fifo, 0600), 0);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* without SA_RESTART */
    EQ(sigaction(SIGUSR1, &action, &before), 0);
    evb_test_line_init(&in.line, 2);
    evb_test_run_threads(2, open_or_interrupt, &in);
    evb_test_line_destroy(&in.line);
    EQ(sigaction(SIGUSR1, &before, NULL), 0);
}

/* ---- the full forms, on a table that moves as little as it may ---- */

static struct {
    char bytes[64];
    uint64_t size;
    size_t at_most; /* bytes a call */
    uint32_t calls, fail_at;
    int32_t fail_with;
} tiny;

static int64_t tiny_pread(int32_t fd, void *buf, size_t size, uint64_t offset, void *arg)
{
    size_t n = size < tiny.at_most ? size : tiny.at_most;

    EQ(fd, 99);
    EQ_PTR(arg, &tiny);
    if (++tiny.calls == tiny.fail_at) return tiny.fail_with;
    if (offset >= tiny.size) return 0;
    if (n > tiny.size - offset) n = (size_t)(tiny.size - offset);
    memcpy(buf, tiny.bytes + offset, n);
    return (int64_t)n;
}

static int64_t tiny_pwrite(int32_t fd, const void *buf, size_t size, uint64_t offset, void *arg)
{
    size_t n = size < tiny.at_most ? size : tiny.at_most;

    EQ(fd, 99);
    EQ_PTR(arg, &tiny);
    if (++tiny.calls == tiny.fail_at) return tiny.fail_with;
    CHECK(offset + n <= sizeof tiny.bytes);
    memcpy(tiny.bytes + offset, buf, n);
    return (int64_t)n;
}

static const struct evb__files tiny_files = {.pread = tiny_pread, .pwrite = tiny_pwrite, .arg = &tiny};

static int tiny_table(void **state)
{
    (void)state;
    memset(&tiny, 0, sizeof tiny);
    tiny.at_most = 1;
    evb__files_set(&tiny_files);
    return 0;
}

static int system_table(void **state)
{
    (void)state;
    evb__files_set(NULL);
    return 0;
}

TEST(the_table_in_force_is_the_systems_until_another_is_set)
{
    EQ_PTR(evb__files(), evb__files_system());
    evb__files_set(&tiny_files);
    EQ_PTR(evb__files(), &tiny_files);
    evb__files_set(NULL);
    EQ_PTR(evb__files(), evb__files_system());
}

TEST(short_writes_are_completed)
{
    static const char text[] = "the quick brown fox jumps";

    for (tiny.at_most = 1; tiny.at_most <= sizeof text; tiny.at_most++) {
        memset(tiny.bytes, 0, sizeof tiny.bytes);
        OK(evb__pwrite_full(99, text, sizeof text, 7));
        EQ_MEM(tiny.bytes + 7, text, sizeof text);
        EQ(tiny.bytes[6], 0);
        EQ(tiny.bytes[7 + sizeof text], 0);
    }
}

TEST(short_reads_are_completed)
{
    char buf[32] = "";

    for (size_t i = 0; i < sizeof tiny.bytes; i++)
        tiny.bytes[i] = (char)i;
    tiny.size = sizeof tiny.bytes;
    for (tiny.at_most = 1; tiny.at_most <= 21; tiny.at_most++) {
        memset(buf, 0, sizeof buf);
        OK(evb__pread_full(99, buf, 20, 5));
        EQ_MEM(buf, tiny.bytes + 5, 20);
        EQ(buf[20], 0);
    }
}

TEST(a_file_that_ends_too_early_is_truncated)
{
    char buf[32] = "";

    tiny.size = 24;
    OK(evb__pread_full(99, buf, 20, 4));
    FAILS(evb__pread_full(99, buf, 21, 4), EVB_ETRUNCATED);
    FAILS(evb__pread_full(99, buf, 1, 24), EVB_ETRUNCATED);
}

TEST(nothing_to_move_is_no_call)
{
    OK(evb__pread_full(99, NULL, 0, 0));
    OK(evb__pwrite_full(99, NULL, 0, 0));
    EQ(tiny.calls, 0);
}

TEST(an_error_in_the_middle_is_the_answer)
{
    static const int32_t errors[] = {EVB_EIO, EVB_ENOSPC, EVB_EINVAL};
    char buf[32] = "";

    tiny.size = sizeof tiny.bytes;
    for (uint32_t at = 1; at <= 20; at++) {
        for (int i = 0; i < 3; i++) {
            tiny.calls = 0;
            tiny.fail_at = at;
            tiny.fail_with = errors[i];
            FAILS(evb__pread_full(99, buf, 20, 0), errors[i]);
            EQ(tiny.calls, at); /* nothing more is asked */
            tiny.calls = 0;
            FAILS(evb__pwrite_full(99, buf, 20, 0), errors[i]);
            EQ(tiny.calls, at);
        }
    }
}

TEST(a_write_that_makes_no_progress_is_an_error_and_not_a_loop)
{
    tiny.fail_at = 3;
    tiny.fail_with = 0;
    FAILS(evb__pwrite_full(99, "0123456789", 10, 0), EVB_EIO);
    EQ(tiny.calls, 3);
}

#define IN_DIR(name)                                                                                         \
    {                                                                                                        \
#name, name, make_dir, remove_dir, NULL                                                              \
    }
#define TINY(name)                                                                                           \
    {                                                                                                        \
#name, name, tiny_table, system_table, NULL                                                          \
    }

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        IN_DIR(what_is_written_can_be_read_where_it_was_written),
        IN_DIR(what_was_synced_can_be_forgotten_and_reads_as_before),
        IN_DIR(open_makes_a_file_only_when_told_to),
        IN_DIR(a_descriptor_does_only_what_it_was_opened_for),
        IN_DIR(open_refuses_flags_that_make_no_sense),
        IN_DIR(open_says_why_it_could_not),
        IN_DIR(descriptors_do_not_survive_exec),
        IN_DIR(a_file_never_takes_the_place_of_a_closed_standard_stream),
        IN_DIR(no_descriptor_left_is_a_reason_to_try_again),
        IN_DIR(no_permission_is_an_input_output_error),
        IN_DIR(a_closed_descriptor_is_refused_by_every_call),
        IN_DIR(sizes_change_and_space_is_reserved),
        IN_DIR(offsets_beyond_two_gibibytes_are_fine),
        IN_DIR(offsets_that_no_file_can_have_are_refused),
        IN_DIR(the_systems_limit_of_file_sizes_is_too_big),
        IN_DIR(a_full_device_is_no_space),
        IN_DIR(a_read_error_of_the_system_is_an_input_output_error),
        IN_DIR(a_pipe_has_no_places_to_read_or_write_at),
        IN_DIR(rename_replaces_and_says_why_it_could_not),
        IN_DIR(unlink_removes_a_file_and_only_a_file),
        IN_DIR(mkdir_makes_one_directory),
        IN_DIR(a_directory_can_be_synced),
        IN_DIR(list_names_everything_but_the_two_dots),
        IN_DIR(list_ends_when_it_is_told_to_and_answers_that),
        IN_DIR(one_open_file_holds_the_lock_at_a_time_in_this_process_and_others),
        IN_DIR(a_map_shows_the_file_and_what_is_written_later),
        IN_DIR(maps_that_cannot_be_are_refused),
        IN_DIR(an_open_that_a_signal_interrupts_goes_on),
        cmocka_unit_test(the_table_in_force_is_the_systems_until_another_is_set),
        TINY(short_writes_are_completed),
        TINY(short_reads_are_completed),
        TINY(a_file_that_ends_too_early_is_truncated),
        TINY(nothing_to_move_is_no_call),
        TINY(an_error_in_the_middle_is_the_answer),
        TINY(a_write_that_makes_no_progress_is_an_error_and_not_a_loop),
    };

    return EVB_TEST_MAIN("file", tests, argc, argv);
}
