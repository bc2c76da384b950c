/* SPDX-License-Identifier: MIT */
/* Monotonic and wall time from the system, or from the source that a test has set. */
#include "base/clock.h"

#include <evbus/base.h>
#include <time.h>
#include "base/atomic.h"
#include "base/platform.h"

static int64_t clock_read(clockid_t id)
{
    struct timespec ts = {0, 0};

    (void)clock_gettime(id, &ts); /* fails only for a clock the system lacks; POSIX.1-2008 has both */
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t clock_system_mono(void *arg)
{
    (void)arg;
    return clock_read(CLOCK_MONOTONIC);
}

static int64_t clock_system_wall(void *arg)
{
    (void)arg;
    return clock_read(CLOCK_REALTIME);
}

static const struct evb__clock_source clock_system = {clock_system_mono, clock_system_wall, NULL};

static EVB__ATOMIC(const struct evb__clock_source *) clock_source = &clock_system;

void evb__clock_set(const struct evb__clock_source *source)
{
    /* release: the source's fields come first; pairs with the acquire loads below. */
    evb__st_rel(&clock_source, source != NULL ? source : &clock_system);
}

int64_t evb__clock_mono(void)
{
    const struct evb__clock_source *source = evb__ld_acq(&clock_source); /* pairs with evb__clock_set */

    return source->mono_ns(source->arg);
}

int64_t evb__clock_wall(void)
{
    const struct evb__clock_source *source = evb__ld_acq(&clock_source); /* pairs with evb__clock_set */

    return source->wall_ns(source->arg);
}

int64_t evb__clock_wall_coarse(void)
{
#ifdef CLOCK_REALTIME_COARSE
    /* pairs with evb__clock_set */
    if (evb__ld_acq(&clock_source) == &clock_system) return clock_read(CLOCK_REALTIME_COARSE);
#endif
    return evb__clock_wall();
}

int64_t evb__deadline(int64_t timeout_ns)
{
    int64_t now;

    if (timeout_ns == EVB_FOREVER) return EVB_FOREVER;
    now = evb__clock_mono();
    evb__assert(now >= 0); /* else a deadline could be taken for EVB_FOREVER */
    if (timeout_ns <= 0) return now;
    return timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
}

int64_t evb__remaining(int64_t deadline_ns)
{
    int64_t now;

    if (deadline_ns == EVB_FOREVER) return EVB_FOREVER;
    now = evb__clock_mono();
    return deadline_ns > now ? deadline_ns - now : 0;
}
