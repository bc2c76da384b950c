/* SPDX-License-Identifier: MIT */
/* A disk that is really full: a file size limit of the process, and a small file system of its own.
 * Appends that find no room have not happened, none that was acknowledged is lost, nothing is for
 * good: with room the same appends succeed. Each scene is a child process, whose limits and mounts
 * go with it.
 */
#include "evb_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store_kit.h"

#define SEGMENT   16384u
#define NO_CHANCE 77 /* a child's code: this system does not let us */

static char place[300]; /* of the store */

struct scene {
    evb_store_opts opts;
    bool limited; /* by RLIMIT_FSIZE; else the file system is small */
    uint32_t number;
};

/* ---- room: taken and given ---- */

static void limit_files(bool on)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = on ? 11000 : limit.rlim_max; /* below a segment's size, and in the middle of a page */
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void ballast_path(char path[400], uint32_t which)
{
    (void)snprintf(path, 400, "%s/m/ballast%u", store_kit_dir(), (unsigned)which);
}

static void add_ballast(uint32_t which, size_t size)
{
    static const char zeros[4096];
    char path[400];
    int fd;

    ballast_path(path, which);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    for (; size > 0; size -= sizeof zeros)
        CHECK(write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros);
    CHECK(close(fd) == 0);
}

static void drop_ballast(uint32_t which)
{
    char path[400];

    ballast_path(path, which);
    CHECK(unlink(path) == 0);
}

static bool put_number(const char *path, const char *format, unsigned number)
{
    char text[40];
    int fd = open(path, O_WRONLY | O_CLOEXEC), size = snprintf(text, sizeof text, format, number);
    bool done = fd >= 0 && write(fd, text, (size_t)size) == size;

    if (fd >= 0) (void)close(fd);
    return done;
}

/* A file system of 256 KiB in memory, which only this process sees. */
static bool mount_small(void)
{
    unsigned uid = getuid(), gid = getgid();
    char path[300];

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    (void)put_number("/proc/self/setgroups", "deny", 0); /* not everywhere */
    if (!put_number("/proc/self/uid_map", "0 %u 1", uid) || !put_number("/proc/self/gid_map", "0 %u 1", gid))
        return false;
    (void)snprintf(path, sizeof path, "%s/m", store_kit_dir());
    if ((mkdir(path, 0700) != 0 && errno != EEXIST) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    return mount("tmpfs", path, "tmpfs", 0, "size=256k") == 0;
}

/* Little room from now on. false: this system does not let us. */
static bool take_room(const struct scene *scene)
{
    (void)snprintf(place, sizeof place, "%s/%s%u", store_kit_dir(), scene->limited ? "store" : "m/store",
                   (unsigned)scene->number);
    if (scene->limited) {
        (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit is an answer then, and no death */
        limit_files(true);
        return true;
    }
    if (!mount_small()) return false;
    add_ballast(0, 128u * 1024);
    add_ballast(1, 16u * 1024);
    return true;
}

static void give_room(const struct scene *scene, uint32_t ballast)
{
    if (scene->limited) {
        limit_files(false);
    } else {
        drop_ballast(ballast);
    }
}

/* What calls answer: make room, or a limit of the system. */
static int32_t no_room(const struct scene *scene)
{
    return scene->limited ? EVB_ETOOBIG : EVB_ENOSPC;
}

/* ---- the scenes ---- */

static evb_store *open_it(const struct scene *scene)
{
    evb_store *store = NULL;

    OK(evb_store_open(place, &scene->opts, &store));
    return store;
}

/* The store is exactly the appends [first, end). */
static void is_whole(evb_store *store, uint32_t first, uint32_t end)
{
    uint32_t found = 0;
    const char *what = store_kit_check(store, first, &found);

    if (what != NULL) evb_test_fail(__FILE__, __LINE__, "%s", what);
    EQ(found, end);
}

/* Appends from `next` on until there is no room; answers the one that had none. */
static uint32_t fill(const struct scene *scene, evb_store *store, uint32_t next)
{
    int32_t rc;

    while ((rc = store_kit_append(store, next, true)) == EVB_OK)
        next++;
    EQ(rc, no_room(scene));
    for (int again = 0; again < 3; again++)
        FAILS(store_kit_append(store, next, true), no_room(scene));
    return next;
}

/* Levels that acknowledge what is written. */
static int fill_and_heal(void *arg)
{
    const struct scene *scene = arg;
    uint32_t end, more;
    evb_store *store;

    if (!take_room(scene)) return NO_CHANCE;
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    store = open_it(scene);
    end = fill(scene, store, 0);
    CHECK(end > 5);
    is_whole(store, 0, end);
    OK(evb_store_close(store)); /* without room, too */
    store = open_it(scene);
    is_whole(store, 0, end);
    end = fill(scene, store, end); /* not the same: what was made ahead is gone */
    give_room(scene, 0);
    for (more = 0; more < 40; more++)
        OK(store_kit_append(store, end + more, true));
    is_whole(store, 0, end + more);
    OK(evb_store_sync(store));
    OK(evb_store_close(store));
    store = open_it(scene);
    is_whole(store, 0, end + more);
    OK(evb_store_close(store));
    OK(evb_store_verify(place, NULL));
    return 0;
}

/* EVB_SYNC_MEM acknowledges what is in memory: that stays there until there is room. */
static int fill_memory_and_heal(void *arg)
{
    const struct scene *scene = arg;
    uint32_t end = 0;
    evb_store *store;
    int32_t rc = EVB_OK;

    if (!take_room(scene)) return NO_CHANCE;
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    store = open_it(scene);
    while (rc == EVB_OK) {
        rc = store_kit_append(store, end, true);
        if (rc != EVB_OK) break;
        end++;
        if (end % 8 == 0) rc = evb_store_sync(store);
    }
    EQ(rc, no_room(scene));
    FAILS(evb_store_sync(store), no_room(scene));
    CHECK(end > 5);
    give_room(scene, 0);
    OK(evb_store_sync(store));
    is_whole(store, 0, end);
    for (uint32_t more = 0; more < 40; more++)
        OK(store_kit_append(store, end++, true));
    OK(evb_store_close(store));
    store = open_it(scene);
    is_whole(store, 0, end);
    OK(evb_store_close(store));
    return 0;
}

static void save(evb_store *store, int32_t want, unsigned char fill_byte)
{
    static unsigned char state[12000];

    memset(state, fill_byte, sizeof state);
    FAILS(evb_snapshot_save(store, store_kit_stream(0), 1, 1, state, sizeof state), want);
}

static void loads(evb_store *store, unsigned char fill_byte)
{
    evb_record record;

    OK(evb_snapshot_load(store, store_kit_stream(0), 1, &record));
    EQ(((const unsigned char *)record.data)[11999], fill_byte);
    evb_record_free(&record);
}

/* A snapshot that finds no room leaves the one before; old segments that go are room; a store that
 * finds none when it is made can be made later. */
static int snapshots_trims_and_new_stores(void *arg)
{
    const struct scene *scene = arg;
    evb_store *store, *other = NULL;
    uint32_t end, first = 0;
    char elsewhere[320];

    if (!take_room(scene)) return NO_CHANCE;
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    (void)snprintf(elsewhere, sizeof elsewhere, "%s2", place);
    store = open_it(scene);
    OK(store_kit_append(store, 0, true));
    save(store, EVB_OK, 1);
    end = fill(scene, store, 1);
    save(store, EVB_ENOSPC, 2);
    loads(store, 1);
    FAILS(evb_store_open(elsewhere, &scene->opts, &other), EVB_ENOSPC);
    FAILS(evb_store_open(elsewhere, &scene->opts, &other), EVB_ENOSPC);
    is_whole(store, 0, end);
    give_room(scene, 1); /* a little, for HEADS */
    CHECK(ID(evb_store_trim(store, store_kit_position(end) / 2)) >= 1);
    while (store_kit_position(first) < evb_store_first_position(store))
        first++;
    is_whole(store, first, end);
    for (uint32_t more = 0; more < 8; more++)
        OK(store_kit_append(store, end++, true));
    is_whole(store, first, end);
    give_room(scene, 0);
    save(store, EVB_OK, 3);
    loads(store, 3);
    OK(evb_store_open(elsewhere, &scene->opts, &other));
    OK(evb_store_close(other));
    OK(evb_store_close(store));
    store = open_it(scene);
    is_whole(store, first, end);
    loads(store, 3);
    OK(evb_store_close(store));
    return 0;
}

static void play(int (*scene_of)(void *arg), uint32_t sync, uint32_t flags, bool limited)
{
    static uint32_t scenes;
    struct scene scene = {.opts = {.segment_bytes = SEGMENT, .sync = sync, .flags = flags},
                          .limited = limited,
                          .number = scenes++};
    int code = evb_test_in_child(scene_of, &scene);

    if (code == NO_CHANCE) SKIP("no user and mount namespace here, or no tmpfs in it");
    if (code != 0) printf("level %u, flags %u\n", (unsigned)sync, (unsigned)flags);
    EQ(code, 0);
}

/* ---- the tests ---- */

TEST(behind_a_limit_on_file_sizes_nothing_acknowledged_is_lost_and_it_goes_on_without_the_limit)
{
    play(fill_and_heal, EVB_SYNC_GROUP, 0, true);
    play(fill_and_heal, EVB_SYNC_EACH, 0, true);
    play(fill_and_heal, EVB_SYNC_OS, 0, true);
    play(fill_and_heal, EVB_SYNC_INTERVAL, 0, true);
    play(fill_and_heal, EVB_SYNC_GROUP, EVB_STORE_ZERO_FILL, true);
}

TEST(behind_a_limit_on_file_sizes_what_is_in_memory_waits_for_room)
{
    play(fill_memory_and_heal, EVB_SYNC_MEM, 0, true);
}

TEST(on_a_full_disk_nothing_acknowledged_is_lost_and_it_goes_on_when_there_is_room)
{
    play(fill_and_heal, EVB_SYNC_GROUP, 0, false);
    play(fill_and_heal, EVB_SYNC_EACH, 0, false);
    play(fill_and_heal, EVB_SYNC_OS, 0, false);
    play(fill_and_heal, EVB_SYNC_INTERVAL, 0, false);
    play(fill_and_heal, EVB_SYNC_GROUP, EVB_STORE_ZERO_FILL, false);
}

TEST(on_a_full_disk_what_is_in_memory_waits_for_room)
{
    play(fill_memory_and_heal, EVB_SYNC_MEM, 0, false);
}

TEST(on_a_full_disk_the_old_snapshot_stays_and_old_segments_that_go_are_room)
{
    play(snapshots_trims_and_new_stores, EVB_SYNC_GROUP, 0, false);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, store_kit_setup, store_kit_teardown)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(behind_a_limit_on_file_sizes_nothing_acknowledged_is_lost_and_it_goes_on_without_the_limit),
        EACH(behind_a_limit_on_file_sizes_what_is_in_memory_waits_for_room),
        EACH(on_a_full_disk_nothing_acknowledged_is_lost_and_it_goes_on_when_there_is_room),
        EACH(on_a_full_disk_what_is_in_memory_waits_for_room),
        EACH(on_a_full_disk_the_old_snapshot_stays_and_old_segments_that_go_are_room),
    };

    return EVB_TEST_MAIN("store_space", tests, argc, argv);
}
