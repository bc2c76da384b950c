/* SPDX-License-Identifier: MIT */
/* How many threads a pool of its own choice has: the least of the CPUs that are online, those that the
 * process may run on, and what the cgroup's quota pays for, rounded up; at least 1. Threads: any; reads
 * files. */
#ifndef EVB__POOL_CPUS_H
#define EVB__POOL_CPUS_H

#include <stdint.h>

uint32_t evb__cpus(void);

/* Tests: the quota in `text` as cgroup v2's cpu.max has it ("max 100000", "150000 100000"); 0: none. */
uint32_t evb__cpus_of_quota(const char *text);

#endif
