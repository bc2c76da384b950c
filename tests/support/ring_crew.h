/* SPDX-License-Identifier: MIT */
/* Rings between threads: every kind of ring with its pushers and poppers, with the asymmetric barrier and
 * without, where the system has it.
 *
 * What decides in these tests is the moment of one call relative to another, so threads let random times up
 * to some ten microseconds pass between calls, on both sides of the time that a call spins before it sleeps.
 */
#ifndef RING_CREW_H
#define RING_CREW_H

#include "evb_test.h"

#include "base/platform.h"
#include "base/rng.h"
#include "ring_kinds.h"

/* How much of n rounds: sanitizers make threads slow. */
#define SCALE(n) (EVB__TSAN ? (n) / 10 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define CREW_MAX 8

#define CREW_TEST(test) cmocka_unit_test_teardown(test, say_crew)
int say_crew(void **state); /* the teardown: a failing check prints the ring it was about */

/* What a test is about now. */
struct ring_crew {
    const struct kind *kind; /* NULL: none */
    bool asymmetric;
    evb_ring *ring, *back; /* back: for answers */
};
extern struct ring_crew crew;

void in_each_crew(bool (*chosen)(const struct kind *kind), void (*test)(void));
void open_ring(evb_ring **ret_ring, uint32_t elem_bytes, uint32_t capacity); /* of crew.kind */

int64_t now_ns(void);

/* Runs end early on a busy machine, where every hand-over between threads takes a turn of the scheduler. */
#define RUN_NS INT64_C(200000000)
bool in_time(uint32_t i, int64_t until); /* looks at the clock now and then only; i: which turn it is */

void rng_of(struct evb__rng *rng, uint32_t index); /* each thread its own */
/* Lets a random time pass: which of two calls comes first is what the tests are about. */
void dawdle(struct evb__rng *rng);
int64_t some_timeout(struct evb__rng *rng);

#endif
