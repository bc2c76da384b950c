/* SPDX-License-Identifier: MIT */
/* A pool after fork: the child has none of it, the parent notices nothing. A program of its own: where
 * threads have ended that nobody joined, ThreadSanitizer takes the first write of a child for a race with
 * them. */
#include "evb_test.h"

#include <evbus/pool.h>

#include "base/atomic.h"
#include "base/platform.h"
#include "gate.h"
#include "pool/timer.h"

#define MANY 300

static evb_pool *pool;
static EVB__ATOMIC(uint32_t) ran, fate[MANY]; /* relaxed: read when the pool is idle */
static void *args[MANY];

static void run(void *arg)
{
    (void)evb__add_rlx((EVB__ATOMIC(uint32_t) *)arg, 1);
    (void)evb__add_rlx(&ran, 1);
}

static void open_pool(void)
{
    for (uint32_t i = 0; i < MANY; i++) {
        evb__st_rlx(&fate[i], 0);
        args[i] = &fate[i];
    }
    evb__st_rlx(&ran, 0);
    OK(evb_pool_create(&(evb_pool_opts){.threads = 2}, &pool));
}

static void all_ran(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        EQ(evb__ld_rlx(&fate[i]), 1);
    EQ(evb__ld_rlx(&ran), n);
}

struct family {
    evb_strand *strand;
    int64_t timer;
    struct evb__alarm *alarm;
};

static int calls_in_the_child(void *arg)
{
    const struct family *family = arg;
    int64_t blocks = evb_test_alloc_live();
    evb_strand *strand = NULL;
    uint32_t before = evb__ld_rlx(&ran);

    for (int again = 0; again < 2; again++) {
        FAILS(evb_pool_submit(pool, run, args[0], 0), EVB_EFORKED);
        FAILS(evb_pool_submit(pool, run, args[0], EVB_FOREVER), EVB_EFORKED);
        FAILS(evb_pool_submit_many(pool, run, args, 2), EVB_EFORKED);
        FAILS(evb_pool_submit_many(pool, run, NULL, 0), EVB_EFORKED);
        FAILS(evb_pool_submit_after(pool, 0, run, args[0]), EVB_EFORKED);
        FAILS(evb_pool_submit_every(pool, 1, run, args[0]), EVB_EFORKED);
        FAILS(evb_pool_cancel(pool, family->timer), EVB_EFORKED);
        FAILS(evb_pool_cancel_wait(pool, family->timer), EVB_EFORKED);
        FAILS(evb_pool_wait_idle(pool, EVB_FOREVER), EVB_EFORKED);
        FAILS(evb_pool_wait_idle(pool, 0), EVB_EFORKED);
        FAILS(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER), EVB_EFORKED);
        FAILS(evb_pool_shutdown(pool, EVB_DISCARD, 0), EVB_EFORKED);
        FAILS(evb_strand_create(pool, 0, &strand), EVB_EFORKED);
        FAILS(evb_strand_submit(family->strand, run, args[0], 0), EVB_EFORKED);
        FAILS(evb_strand_submit(family->strand, run, args[0], EVB_FOREVER), EVB_EFORKED);
        FAILS(evb_strand_submit_many(family->strand, run, args, 2), EVB_EFORKED);
        FAILS(evb_strand_submit_many(family->strand, run, NULL, 0), EVB_EFORKED);
    }
    evb_strand_destroy(family->strand);
    FAILS(evb__alarm_ready(family->alarm), EVB_EFORKED);
    evb__alarm_set(family->alarm, 0);
    evb__alarm_stop(family->alarm);
    CHECK(evb__alarm_free(family->alarm, run));
    evb_pool_destroy(pool);
    evb__pool_release(pool);
    EQ(evb_test_alloc_live(), blocks); /* void calls do nothing: the memory stays */
    EQ(evb__ld_rlx(&ran), before);

    if (EVB__TSAN) return 0; /* it ends a child of many threads that starts one */
    open_pool();             /* one of its own */
    EQ(evb_pool_submit_many(pool, run, args, MANY), MANY);
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    all_ran(MANY);
    evb_pool_destroy(pool);
    return 0;
}

TEST(in_a_child_an_inherited_pool_answers_eforked_and_the_parent_goes_on)
{
    struct gate gate = GATE_SHUT;
    struct family family;

    open_pool();
    for (int i = 0; i < 2; i++)
        OK(evb_pool_submit(pool, gate_hold, &gate, 0));
    gate_wait_held(&gate, 2);
    OK(evb_strand_create(pool, 4, &family.strand));
    family.timer = ID(evb_pool_submit_after(pool, 1, run, args[0]));
    family.alarm = evb__alarm_make(pool, run, args[0]);
    CHECK(family.alarm != NULL);
    evb__alarm_set(family.alarm, INT64_MAX);
    OK(evb_strand_submit(family.strand, run, args[1], 0));
    OK(evb_pool_submit(pool, run, args[2], 0));
    EQ(evb_test_in_child(calls_in_the_child, &family), 0);
    gate_open(&gate);
    EQ(evb_test_in_child(calls_in_the_child, &family), 0); /* while it works, or when it has */
    OK(evb_pool_wait_idle(pool, EVB_FOREVER));
    all_ran(3);
    OK(evb_pool_shutdown(pool, EVB_DRAIN, EVB_FOREVER));
    EQ(evb_test_in_child(calls_in_the_child, &family), 0);
    evb_strand_destroy(family.strand);
    CHECK(evb__alarm_free(family.alarm, run));
    evb_pool_destroy(pool);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_child_an_inherited_pool_answers_eforked_and_the_parent_goes_on),
    };
    return EVB_TEST_MAIN("pool_fork", tests, argc, argv);
}
