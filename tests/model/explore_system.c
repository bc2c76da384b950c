/* SPDX-License-Identifier: MIT */
/* What the library asks of the system beside memory and threads, in the explorer: a clock that moves at each
 * look, one seed, no log.
 *
 * The seed is fixed, because everything that follows from it (hashes, hence places in tables) has to be the
 * same on replay.
 */
#include "explore_engine.h"

#include <evbus/base.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"

/* Moves a little at each look, so that time stamps differ and are the same on replay. */
int64_t evb__clock_mono(void)
{
    return ex.now += 1000;
}

int64_t evb__clock_wall(void)
{
    return ex.now += 1000;
}

int64_t evb__clock_wall_coarse(void)
{
    return evb__clock_wall();
}

void evb__clock_set(const struct evb__clock_source *source)
{
    (void)source;
}

int64_t evb__deadline(int64_t timeout_ns)
{
    if (timeout_ns == EVB_FOREVER) return -1;
    if (timeout_ns < 0) timeout_ns = 0;
    return evb__clock_mono() + timeout_ns;
}

int64_t evb__remaining(int64_t deadline_ns)
{
    int64_t now;

    if (deadline_ns < 0) return -1;
    now = evb__clock_mono();
    return deadline_ns > now ? deadline_ns - now : 0;
}

uint64_t evb__rng_seed_random(void)
{
    return 0x9e3779b97f4a7c15u;
}

/* A log line is no bug by itself: what is logged has its own tests. */
void evb__log(int32_t level, const char *name, const char *format, ...)
{
    (void)level;
    x_trace(NULL, NULL, "log: %s %s", name, format);
}

const char *evb__log_quote(char *buf, size_t cap, const char *text, size_t size)
{
    (void)text;
    (void)size;
    (void)cap;
    buf[0] = '\0';
    return buf;
}
