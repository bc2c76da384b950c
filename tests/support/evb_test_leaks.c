/* SPDX-License-Identifier: MIT */
/* Descriptors and threads that a test leaves behind, read from /proc/self. */
#include "evb_test_internal.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FDS 1024 /* descriptors beyond are not looked at */

static bool open_before[FDS];
static int threads_before;

/* Marks the open descriptors; false where there is no /proc. */
static bool look_at_fds(bool open_now[FDS])
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;

    memset(open_now, 0, FDS * sizeof open_now[0]);
    if (dir == NULL) return false;
    while ((entry = readdir(dir)) != NULL) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);

        if (end != entry->d_name && *end == '\0' && fd != dirfd(dir) && fd >= 0 && fd < FDS)
            open_now[fd] = true;
    }
    (void)closedir(dir);
    return true;
}

static int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *entry;
    int n = 0;

    if (dir == NULL) return 0;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') n++;
    }
    (void)closedir(dir);
    return n;
}

void evb_test_leaks_begin(void)
{
    (void)look_at_fds(open_before);
    threads_before = count_threads();
}

static bool threads_are_back(void *arg)
{
    (void)arg;
    return count_threads() <= threads_before;
}

const char *evb_test_leaks_end(void)
{
    static char text[256];
    bool open_now[FDS];

    if (look_at_fds(open_now)) {
        for (int fd = 0; fd < FDS; fd++) {
            char link[40], target[128] = "?";

            if (open_now[fd] == open_before[fd]) continue;
            (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            if (open_now[fd]) (void)!readlink(link, target, sizeof target - 1);
            (void)snprintf(text, sizeof text, "descriptor %d %s (%s)", fd,
                           open_now[fd] ? "is open that was not before the test" : "was closed by the test",
                           target);
            return text;
        }
    }
    /* A joined thread leaves /proc a moment after the join: the kernel wakes the joiner first. */
    if (count_threads() > threads_before && !evb_test_eventually(threads_are_back, NULL)) {
        (void)snprintf(text, sizeof text, "%d threads are running, %d were before the test", count_threads(),
                       threads_before);
        return text;
    }
    return NULL;
}
