/* SPDX-License-Identifier: MIT */
/* Rings between threads, see ring_crew.h. */
#include "ring_crew.h"

#include <string.h>
#include <time.h>

#include "base/barrier.h"
#include "base/park.h"

struct ring_crew crew;

void open_ring(evb_ring **ret_ring, uint32_t elem_bytes, uint32_t capacity)
{
    evb_ring_opts opts = opts_of(crew.kind, elem_bytes, capacity);

    OK(evb_ring_create(&opts, ret_ring));
}

void in_each_crew(bool (*chosen)(const struct kind *kind), void (*test)(void))
{
    for (int back_end = 0; back_end < 2; back_end++) {
        evb__barrier_force_seq_cst(back_end != 0);
        evb__barrier_init();
        if (back_end == 0 && !evb__barrier_asymmetric()) continue; /* there is only the other */
        for (size_t k = 0; k < COUNT(kinds); k++) {
            if (!chosen(&kinds[k])) continue;
            crew.kind = &kinds[k];
            crew.asymmetric = back_end == 0;
            test();
        }
    }
    memset(&crew, 0, sizeof crew);
    evb__barrier_force_seq_cst(false);
    evb__barrier_init();
}

int say_crew(void **state)
{
    (void)state;
    if (crew.kind != NULL)
        print_error("the ring: %s, %s barrier\n", crew.kind->name,
                    crew.asymmetric ? "asymmetric" : "seq_cst");
    memset(&crew, 0, sizeof crew);
    return 0;
}

int64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

bool in_time(uint32_t i, int64_t until)
{
    return i % 16 != 15 || now_ns() < until;
}

void rng_of(struct evb__rng *rng, uint32_t index)
{
    evb__rng_init(rng, evb_test_seed() + index);
}

void dawdle(struct evb__rng *rng)
{
    static const uint64_t most[] = {1, 1000, 10000, 40000};
    int64_t until = now_ns() + (int64_t)evb__rng_below(rng, most[evb__rng_below(rng, COUNT(most))]);

    for (uint32_t turn = 0; now_ns() < until; turn++)
        evb__spin_pause(turn);
}

int64_t some_timeout(struct evb__rng *rng)
{
    static const int64_t timeouts[] = {0, 1, 3000, 20000, 100000, EVB_FOREVER};

    return timeouts[evb__rng_below(rng, COUNT(timeouts))];
}
