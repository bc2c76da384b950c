/* SPDX-License-Identifier: MIT */
/* The two clocks, in nanoseconds, and the test's hand on them.
 *
 * Invariant: evb__clock_mono never goes back and is the only clock that time-outs and delays use;
 * evb__clock_wall is for time stamps people read. A test installs a virtual clock with evb__clock_set; NULL
 * brings the real one back. The hot paths of emit never call either. Threads: any; evb__clock_set only while
 * no other thread is in the library. The source is used in place, not copied: it must live until another one
 * is set.
 */
#ifndef EVB__BASE_CLOCK_H
#define EVB__BASE_CLOCK_H

#include <stdint.h>

struct evb__clock_source {
    int64_t (*mono_ns)(void *arg);
    int64_t (*wall_ns)(void *arg);
    void *arg;
};

int64_t evb__clock_mono(void);
int64_t evb__clock_wall(void);
int64_t evb__clock_wall_coarse(void); /* as of the kernel's last tick, where it keeps that; cheaper */
void evb__clock_set(const struct evb__clock_source *source);

/* Deadline arithmetic that cannot overflow. EVB_FOREVER in, EVB_FOREVER out; a negative other than -1 counts
 * as 0. */
int64_t evb__deadline(int64_t timeout_ns);   /* absolute monotonic time, or -1 */
int64_t evb__remaining(int64_t deadline_ns); /* >= 0, or -1 = forever */

#endif
