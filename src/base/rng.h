/* SPDX-License-Identifier: MIT */
/* A small seeded generator (splitmix64: Steele, Lea, Flood, OOPSLA 2014) for jitter, seeds and tests.
 *
 * Invariant: the same seed gives the same sequence on every host. Not for secrets. evb__rng_seed_random asks
 * the system for a seed (getrandom) and falls back to clock and address, never failing; a test installs a
 * source of its own with evb__seed_set, NULL brings the system back. Threads: one owner per evb__rng;
 * evb__seed_set only while no other thread is in the library, and its source is used in place.
 */
#ifndef EVB__BASE_RNG_H
#define EVB__BASE_RNG_H

#include <stdint.h>

struct evb__rng {
    uint64_t state;
};

void evb__rng_init(struct evb__rng *rng, uint64_t seed);
uint64_t evb__rng_next(struct evb__rng *rng);
uint64_t evb__rng_below(struct evb__rng *rng,
                        uint64_t bound); /* uniform in [0, bound), unbiased; bound 0 gives 0 */
uint64_t evb__rng_seed_random(void);

struct evb__seed_source {
    uint64_t (*next_seed)(void *arg);
    void *arg;
};
void evb__seed_set(const struct evb__seed_source *source);

#endif
