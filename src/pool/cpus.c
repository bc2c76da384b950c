/* SPDX-License-Identifier: MIT */
/* CPUs online, allowed and paid for. */
#include "pool/cpus.h"

#include "base/file.h"

#include <evbus/base.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A small file as text; false: not there. */
static bool read_text(const char *path, char *buf, size_t cap)
{
    const struct evb__files *files = evb__files();
    int32_t fd = files->open(path, EVB__FILE_READ, files->arg);
    int64_t got;

    if (fd < 0) return false;
    got = files->pread(fd, buf, cap - 1, 0, files->arg);
    (void)files->close(fd, files->arg);
    if (got < 0) return false;
    buf[got] = '\0';
    return true;
}

uint32_t evb__cpus_of_quota(const char *text)
{
    char *end;
    long long quota = strtoll(text, &end, 10), period;

    if (end == text || *end != ' ') return 0; /* "max": no limit */
    period = strtoll(end, NULL, 10);
    if (quota <= 0 || period <= 0) return 0;
    quota = (quota - 1) / period + 1;
    return quota < INT32_MAX ? (uint32_t)quota : INT32_MAX;
}

/* cgroup v2 (kernel documentation, "cpu.max"): every group from ours up to the root may limit; v1 mounts have
 * one file each for quota and period, and containers usually show their own group as the root. */
static uint32_t quota_cpus(void)
{
    char line[512], path[600], text[64], quota[32], period[32];
    uint32_t least = 0;

    if (read_text("/proc/self/cgroup", line, sizeof line) && strncmp(line, "0::", 3) == 0) {
        char *group = line + 3;

        group[strcspn(group, "\n")] = '\0';
        for (;;) {
            char *slash;
            uint32_t cpus;

            (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max",
                           strcmp(group, "/") == 0 ? "" : group);
            cpus = read_text(path, text, sizeof text) ? evb__cpus_of_quota(text) : 0;
            if (cpus != 0 && (least == 0 || cpus < least)) least = cpus;
            slash = strrchr(group, '/');
            if (slash == NULL || group[1] == '\0') break;
            slash[slash == group] = '\0';
        }
        return least;
    }
    if (read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) &&
        read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) {
        quota[strcspn(quota, "\n")] = '\0';
        (void)snprintf(text, sizeof text, "%s %s", quota, period);
        return evb__cpus_of_quota(text);
    }
    return 0;
}

uint32_t evb__cpus(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t cpus = online > 0 ? (uint32_t)online : 1, quota = quota_cpus();
#if defined(__linux__)
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 &&
        (uint32_t)CPU_COUNT(&set) < cpus)
        cpus = (uint32_t)CPU_COUNT(&set);
#endif
    if (quota != 0 && quota < cpus) cpus = quota;
    return cpus;
}
