/* SPDX-License-Identifier: MIT */
/* splitmix64, and a seed from the system. */
#include "base/rng.h"

#include "base/atomic.h"
#include "base/clock.h"

#if defined(__linux__)
#include <errno.h>
#include <sys/random.h>
#endif
#include <stdbool.h>
#include <unistd.h>

void evb__rng_init(struct evb__rng *rng, uint64_t seed)
{
    rng->state = seed;
}

uint64_t evb__rng_next(struct evb__rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t evb__rng_below(struct evb__rng *rng, uint64_t bound)
{
    uint64_t r, reject;

    if (bound == 0) return 0;
    /* 2^64 mod bound: the values that would make the low results more likely. Plain 64-bit arithmetic rather
     * than a 128-bit product, so that every host draws the same number of times and the sequences stay equal.
     */
    reject = (0 - bound) % bound;
    do {
        r = evb__rng_next(rng);
    } while (r < reject); /* at most one half is rejected: two draws on average, whatever the bound */
    return r % bound;
}

static bool ask_system(uint64_t *ret)
{
#if defined(__linux__)
    int saved = errno;
    /* Does not wait for the entropy pool at boot: a seed that is merely different each time is enough then.
     */
    ssize_t got = getrandom(ret, sizeof *ret, GRND_NONBLOCK);

    errno = saved;
    return got == (ssize_t)sizeof *ret;
#else
    (void)ret;
    return false;
#endif
}

static EVB__ATOMIC(const struct evb__seed_source *) seed_source; /* NULL: the system */

void evb__seed_set(const struct evb__seed_source *source)
{
    evb__st_rel(&seed_source, source); /* release: its fields come first; pairs with evb__rng_seed_random */
}

uint64_t evb__rng_seed_random(void)
{
    const struct evb__seed_source *source = evb__ld_acq(&seed_source); /* pairs with evb__seed_set */
    struct evb__rng mixed;
    uint64_t seed;

    if (source != NULL) return source->next_seed(source->arg);

    if (ask_system(&seed)) return seed;
    /* No getrandom: time, process and the address of a local (moved by the kernel) through the generator's
     * mixer. */
    seed = (uint64_t)evb__clock_wall() ^ ((uint64_t)evb__clock_mono() << 20) ^ (uint64_t)(uintptr_t)&mixed;
    evb__rng_init(&mixed, seed ^ ((uint64_t)getpid() << 40));
    return evb__rng_next(&mixed);
}
