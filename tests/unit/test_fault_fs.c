/* SPDX-License-Identifier: MIT */
/* The disk in memory answers its calls as the system's table does: random scripts on both, and what the
 * system's cannot show. */
#include "evb_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fault_fs.h"

#define RW    (EVB__FILE_READ | EVB__FILE_WRITE)
#define FILES 6 /* descriptors held by a script at a time */
#define MOST  20000

/* ---- the same calls on both ---- */

static char dir[256];
static const struct evb__files *sys, *mem;
static struct fault_fs *fs;

static int make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(dir, sizeof dir, "%s/evb_fault.XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) return -1;
    fs = fault_fs_new();
    mem = fault_fs_files(fs);
    sys = evb__files_system();
    return 0;
}

static int remove_dir(void **state)
{
    char command[300];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return fault_fs_after(state) + system(command);
}

static const char *const names[] = {"/a", "/b", "/c", "/d", "/d/a", "/d/b", "/a/x", "/none/a"};
#define NAMES (sizeof names / sizeof names[0])

static const char *in_dir(const char *name)
{
    static char paths[2][300];
    static unsigned turn;

    (void)snprintf(paths[turn ^= 1], sizeof paths[0], "%s%s", dir, name);
    return paths[turn];
}

struct pair {
    int32_t sys, mem;
};

static uint32_t below(uint32_t bound)
{
    return (uint32_t)evb__rng_below(evb_test_rng(), bound);
}

static void same_bytes(const struct pair *file)
{
    static uint8_t one[MOST * 2], two[MOST * 2];
    size_t size = 1 + below(MOST), offset = below(MOST);
    int64_t got = sys->pread(file->sys, one, size, offset, sys->arg);

    EQ(mem->pread(file->mem, two, size, offset, mem->arg), got);
    if (got > 0) EQ_MEM(two, one, (size_t)got);
}

static void same_size(const struct pair *file, bool is_dir)
{
    if (!is_dir) EQ(mem->size(file->mem, mem->arg), sys->size(file->sys, sys->arg));
}

static int32_t collect(const char *name, void *user)
{
    char *text = user;

    CHECK(strlen(name) == 1);
    text[(uint8_t)name[0]] = 1;
    return 0;
}

static void same_names(const char *name)
{
    char one[256] = {0}, two[256] = {0};

    EQ(mem->list(name, collect, two, mem->arg), sys->list(in_dir(name), collect, one, sys->arg));
    EQ_MEM(one, two, sizeof one);
}

static void same_map(const struct pair *file)
{
    int64_t size = sys->size(file->sys, sys->arg);
    const void *one = NULL, *two = NULL;

    if (size == 0) return;
    EQ(mem->map(file->mem, (size_t)size, &two, mem->arg), sys->map(file->sys, (size_t)size, &one, sys->arg));
    if (one == NULL) return;
    EQ_MEM(one, two, (size_t)size);
    OK(sys->unmap(one, (size_t)size, sys->arg));
    OK(mem->unmap(two, (size_t)size, mem->arg));
}

static void write_both(const struct pair *file)
{
    static uint8_t bytes[MOST];
    size_t size = below(4) == 0 ? below(MOST) : below(300), offset = below(MOST);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)evb__rng_next(evb_test_rng());
    EQ(mem->pwrite(file->mem, bytes, size, offset, mem->arg),
       sys->pwrite(file->sys, bytes, size, offset, sys->arg));
}

/* Renaming directories is left out: the system allows more than this disk. */
static bool renamable(const char *from, const char *to)
{
    return strcmp(from, "/d") != 0 && strcmp(to, "/d") != 0;
}

static void one_step(struct pair *file, bool *is_dir)
{
    const char *name = names[below(NAMES)], *other = names[below(NAMES)];
    uint32_t flags = below(16), size = below(MOST), offset = below(MOST);

    switch (below(12)) {
    case 0:
        if (file->sys > 0) {
            OK(sys->close(file->sys, sys->arg));
            OK(mem->close(file->mem, mem->arg));
        }
        *is_dir = below(5) == 0;
        if (*is_dir) flags = EVB__FILE_DIR | (flags & 1);
        file->sys = sys->open(in_dir(name), flags, sys->arg);
        file->mem = mem->open(name, flags, mem->arg);
        if (file->sys > 0 && strcmp(name, "/d") == 0) *is_dir = true; /* it may be opened as a file too */
        if (file->sys > 0)
            CHECK(file->mem >= 1000);
        else
            EQ(file->mem, file->sys);
        break;
    case 1:
        name = below(2) == 0 ? "/d" : "/none/a";
        EQ(mem->mkdir(name, mem->arg), sys->mkdir(in_dir(name), sys->arg));
        break;
    case 2:
        EQ(mem->unlink(name, mem->arg), sys->unlink(in_dir(name), sys->arg));
        break;
    case 3:
        if (renamable(name, other))
            EQ(mem->rename(name, other, mem->arg), sys->rename(in_dir(name), in_dir(other), sys->arg));
        break;
    case 4:
        same_names(below(2) == 0 ? "/" : "/d");
        break;
    case 5:
        if (file->sys > 0)
            EQ(mem->truncate(file->mem, size, mem->arg), sys->truncate(file->sys, size, sys->arg));
        break;
    case 6:
        if (file->sys > 0 && !*is_dir)
            EQ(mem->allocate(file->mem, offset, size / 4, mem->arg),
               sys->allocate(file->sys, offset, size / 4, sys->arg));
        break;
    case 7:
        if (file->sys > 0) OK(mem->datasync(file->mem, mem->arg));
        break;
    case 8:
        if (file->sys > 0 && !*is_dir) same_map(file);
        break;
    case 9:
        if (file->sys > 0) EQ(mem->lock(file->mem, mem->arg), sys->lock(file->sys, sys->arg));
        break;
    default:
        if (file->sys > 0) write_both(file);
    }
    if (file->sys <= 0) return;
    same_size(file, *is_dir);
    same_bytes(file);
}

TEST(random_scripts_get_the_same_answers_from_the_system)
{
    struct pair files[FILES] = {{0, 0}};
    bool is_dir[FILES] = {false};
    const void *addr;

    for (uint32_t step = 0; step < 3000; step++) {
        uint32_t i = below(FILES);

        one_step(&files[i], &is_dir[i]);
    }
    for (uint32_t i = 0; i < FILES; i++) {
        if (files[i].sys <= 0) continue;
        FAILS(mem->map(files[i].mem, 0, &addr, mem->arg), EVB_EINVAL);
        OK(sys->close(files[i].sys, sys->arg));
        OK(mem->close(files[i].mem, mem->arg));
    }
    EQ(fault_fs_open_files(fs), 0);
}

/* ---- what only this one does ---- */

static int32_t new_file(const char *path, const char *bytes)
{
    int32_t fd = (int32_t)ID(mem->open(path, RW | EVB__FILE_CREATE | EVB__FILE_EXCL, mem->arg));

    EQ(mem->pwrite(fd, bytes, strlen(bytes), 0, mem->arg), strlen(bytes));
    return fd;
}

TEST(a_descriptor_that_is_none_is_noticed_and_no_number_comes_twice)
{
    int32_t one = new_file("/one", "1"), two;
    char byte;

    OK(mem->close(one, mem->arg));
    two = new_file("/two", "2");
    NE(one, two);
    EQ(fault_fs_misuses(fs), 0);
    FAILS(mem->pread(one, &byte, 1, 0, mem->arg), EVB_EINVAL);
    FAILS(mem->close(one, mem->arg), EVB_EINVAL);
    FAILS(mem->datasync(0, mem->arg), EVB_EINVAL);
    FAILS(mem->unmap(&byte, 1, mem->arg), EVB_EINVAL);
    EQ(fault_fs_misuses(fs), 4);
    EQ(fault_fs_open_files(fs), 1);
    OK(mem->close(two, mem->arg));
    EQ(fault_fs_open_files(fs), 0);
}

TEST(a_map_shows_later_writes_and_dd_behind_the_last_page)
{
    int32_t fd = new_file("/m", "0123456789");
    const void *addr = NULL;
    const uint8_t *bytes;

    OK(mem->map(fd, 2 * FAULT_FS_PAGE, &addr, mem->arg));
    bytes = addr;
    EQ_MEM(bytes, "0123456789", 11); /* the rest of the page is zeros */
    EQ(bytes[FAULT_FS_PAGE], 0xDD);
    EQ(mem->pwrite(fd, "AB", 2, 4, mem->arg), 2);
    EQ_MEM(bytes, "0123AB6789", 10);
    EQ(mem->pwrite(fd, "z", 1, FAULT_FS_PAGE, mem->arg), 1);
    EQ(bytes[FAULT_FS_PAGE], 'z');
    OK(mem->truncate(fd, 5, mem->arg));
    EQ_MEM(bytes, "0123A\0\0\0", 8);
    EQ(bytes[FAULT_FS_PAGE], 0xDD);
    OK(mem->close(fd, mem->arg)); /* the map stays */
    EQ(fault_fs_open_files(fs), 1);
    OK(mem->unmap(addr, 2 * FAULT_FS_PAGE, mem->arg));
    EQ(fault_fs_open_files(fs), 0);
}

static int32_t unlink_it(const char *name, void *user)
{
    char path[80];

    (void)user;
    (void)snprintf(path, sizeof path, "/%s", name);
    return mem->unlink(path, mem->arg);
}

TEST(the_function_of_a_walk_may_call_the_disk)
{
    char sorted[3][2] = {"a", "b", "c"};

    for (int i = 0; i < 3; i++) {
        char path[80];

        (void)snprintf(path, sizeof path, "/%s", sorted[i]);
        OK(mem->close(new_file(path, "x"), mem->arg));
    }
    OK(mem->list("/", unlink_it, NULL, mem->arg));
    FAILS(mem->open("/b", EVB__FILE_READ, mem->arg), EVB_ENOTFOUND);
}

static void bump(uint32_t index, void *arg)
{
    char path[80], buf[100] = {0};
    int32_t shared = *(int32_t *)arg;

    (void)snprintf(path, sizeof path, "/t%u", index);
    for (uint32_t i = 0; i < 50; i++) {
        int32_t fd = (int32_t)ID(mem->open(path, RW | EVB__FILE_CREATE, mem->arg));

        EQ(mem->pwrite(fd, buf, sizeof buf, i * sizeof buf, mem->arg), sizeof buf);
        EQ(mem->pwrite(shared, buf, sizeof buf, index * 100, mem->arg), sizeof buf);
        OK(mem->datasync(fd, mem->arg));
        OK(mem->close(fd, mem->arg));
    }
}

TEST(threads_share_a_disk)
{
    int32_t shared = new_file("/shared", "");
    struct fault_fs_counts then = fault_fs_counts(fs);

    evb_test_run_threads(4, bump, &shared);
    EQ(fault_fs_since(fs, &then, FAULT_FS_PWRITE), 400);
    EQ(fault_fs_since(fs, &then, FAULT_FS_DATASYNC), 200);
    EQ(mem->size(shared, mem->arg), 400);
    EQ(fault_fs_get(fs, "/t3", NULL, 0), 5000);
    OK(mem->close(shared, mem->arg));
}

TEST(the_trace_names_the_last_calls)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out;

    OK(mem->close(new_file("/one", "1"), mem->arg));
    FAILS(mem->rename("/two", "/three", mem->arg), EVB_ENOTFOUND);
    for (int round = 0; round < 2; round++) {
        out = open_memstream(&text, &size);
        CHECK(out != NULL);
        fault_fs_trace(fs, out, round == 0 ? 0 : 2);
        EQ(fclose(out), 0);
        if (round == 0)
            EQ_STR(text,
                   "  #1 open /one = 1000 (new)\n  #2 pwrite /one 1 bytes at 0 = 1\n  #3 close /one = 0\n"
                   "  #4 rename /two to /three = EVB_ENOTFOUND\n");
        else
            EQ_STR(text, "  #3 close /one = 0\n  #4 rename /two to /three = EVB_ENOTFOUND\n");
        free(text);
    }
    for (int i = 0; i < 1000; i++) /* without a record the last ones are kept */
        FAILS(mem->unlink("/none", mem->arg), EVB_ENOTFOUND);
    out = open_memstream(&text, &size);
    CHECK(out != NULL);
    fault_fs_trace(fs, out, 0);
    EQ(fclose(out), 0);
    EQ_MEM(text, "  #749 unlink /none = EVB_ENOTFOUND\n", 36);
    free(text);
}

int main(int argc, char **argv)
{
#define ON_BOTH(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
    static const struct CMUnitTest tests[] = {
        ON_BOTH(random_scripts_get_the_same_answers_from_the_system),
        ON_BOTH(a_descriptor_that_is_none_is_noticed_and_no_number_comes_twice),
        ON_BOTH(a_map_shows_later_writes_and_dd_behind_the_last_page),
        ON_BOTH(the_function_of_a_walk_may_call_the_disk),
        ON_BOTH(threads_share_a_disk),
        ON_BOTH(the_trace_names_the_last_calls),
    };
    return EVB_TEST_MAIN("fault_fs", tests, argc, argv);
}
