/* SPDX-License-Identifier: MIT */
/* Queues under everything at once: publishers, handlers, pullers, settlers, operators, members that
 * come and go. At the end every event is accounted for exactly once. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_kit.h"

#define SCALE(n)   (EVB__TSAN ? (n) / 6 : EVB_TEST_ASAN ? (n) / 3 : (n))
#define PUBLISHERS 3u
#define EACH       2000u
#define QUEUES     4u

static evb_sub *subs[QUEUES];
/* Of each event in each queue: how often somebody was done with it. relaxed: read when all is over */
static EVB__ATOMIC(uint8_t) done[QUEUES][PUBLISHERS][EACH];
static EVB__ATOMIC(uint32_t) done_count[QUEUES], redriven[QUEUES], dice, publishing, working;
static uint32_t each;

struct payload {
    uint32_t publisher, number;
};

static void begin(void)
{
    each = SCALE(EACH);
    memset(done, 0, sizeof done);
    for (uint32_t q = 0; q < QUEUES; q++) {
        evb__st_rlx(&done_count[q], 0);
        evb__st_rlx(&redriven[q], 0);
    }
    evb__st_rlx(&publishing, PUBLISHERS);
    evb__st_rlx(&working, 1);
    evb__st_rlx(&dice, (uint32_t)evb__rng_next(evb_test_rng()));
    kit_open(3);
}

/* Good enough for any thread: which one gets which number is chance anyway. */
static uint32_t roll(uint32_t sides)
{
    uint32_t x = evb__add_rlx(&dice, 0x9E3779B9u);

    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return (x ^ x >> 16) % sides;
}

static void is_done(uint32_t q, const struct payload *p)
{
    (void)evb__add_rlx(&done[q][p->publisher][p->number], 1);
    (void)evb__add_rlx(&done_count[q], 1);
}

static struct payload payload_of(const evb_event *ev)
{
    struct payload p = {0, 0};

    EQ(ev->size, sizeof p);
    memcpy(&p, ev->data, sizeof p);
    CHECK(p.publisher < PUBLISHERS && p.number < each);
    return p;
}

static uint32_t number_of(const void *queue)
{
    return (uint32_t)((evb_sub *const *)queue - subs);
}

/* ---- who works ---- */

/* user says which queue: &subs[n]. */
static int32_t work(const evb_event *ev, void *user)
{
    struct payload p = payload_of(ev);

    switch (roll(12)) {
    case 0:
        return EVB_NACK;
    case 1:
        return EVB_RELEASE;
    case 2:
        return EVB_EIO;
    case 3:
        sched_yield();
        break;
    default:
        break;
    }
    is_done(number_of(user), &p);
    return EVB_OK;
}

static int32_t work_or_reject(const evb_event *ev, void *user)
{
    return roll(8) == 0 ? EVB_REJECT : work(ev, user);
}

/* What has been deferred, for the settler. */
static struct {
    pthread_mutex_t lock;
    struct {
        uint64_t delivery;
        struct payload payload;
    } open[512];
    uint32_t count;
} shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int32_t defer(const evb_event *ev, void *user)
{
    struct payload p = payload_of(ev);
    int32_t rc;

    (void)user;
    (void)pthread_mutex_lock(&shelf.lock);
    rc = shelf.count < COUNT(shelf.open) ? evb_defer(ev, &shelf.open[shelf.count].delivery) : EVB_EFULL;
    if (rc == EVB_OK) shelf.open[shelf.count++].payload = p;
    (void)pthread_mutex_unlock(&shelf.lock);
    if (rc == EVB_OK) return (int32_t)roll(5); /* does not matter */
    FAILS(rc, EVB_EFULL);
    return EVB_RELEASE;
}

static bool settle_one(evb_sub *sub)
{
    uint64_t delivery = 0;
    struct payload p = {0, 0};

    (void)pthread_mutex_lock(&shelf.lock);
    if (shelf.count != 0) {
        shelf.count--;
        delivery = shelf.open[shelf.count].delivery;
        p = shelf.open[shelf.count].payload;
    }
    (void)pthread_mutex_unlock(&shelf.lock);
    if (delivery == 0) return false;
    switch (roll(8)) {
    case 0:
        OK(evb_nack(sub, delivery, roll(2)));
        break;
    case 1:
        OK(evb_release(sub, delivery));
        break;
    case 2:
        OK(evb_extend(sub, delivery, HOUR));
        OK(evb_reject(sub, delivery, 7, "another time"));
        break;
    default:
        is_done(number_of(&subs[3]), &p);
        OK(evb_ack(sub, delivery));
        break;
    }
    FAILS(evb_ack(sub, delivery), EVB_ESTALE);
    return true;
}

static void pull_one(uint32_t q, evb_sub *sub, int64_t timeout_ns)
{
    const evb_event *ev;
    uint64_t delivery;
    struct payload p;
    int32_t rc = evb_sub_next(sub, timeout_ns, &delivery, &ev);

    if (rc != EVB_OK) {
        if (rc != EVB_EEMPTY) FAILS(rc, EVB_ETIMEDOUT);
        return;
    }
    p = payload_of(ev);
    switch (roll(10)) {
    case 0:
        OK(evb_nack(sub, delivery, EVB_DELAY_POLICY));
        break;
    case 1:
        OK(evb_release(sub, delivery));
        break;
    case 2:
        break; /* keeps it: whoever leaves gives it back, see visit */
    default:
        is_done(q, &p);
        OK(evb_ack(sub, delivery));
        break;
    }
}

/* Joins the group of a pulled queue for a while and leaves with things in hand. */
static void visit(uint32_t q, const char *name, const evb_sub_opts *opts)
{
    evb_sub_opts o = *opts;
    evb_sub *member;
    uint32_t n = roll(40);

    o.name = name;
    OK(evb_subscribe(kit.bus, "n.*", &o, &member));
    for (uint32_t i = 0; i < n; i++) {
        if (o.handler != NULL)
            sched_yield();
        else
            pull_one(q, member, i % 2 ? 0 : MS);
    }
    (void)assert_law(member);
    OK(evb_unsubscribe(member));
}

/* ---- who publishes ---- */

static void publish_all(uint32_t publisher, int32_t expected)
{
    for (uint32_t i = 0; i < each;) {
        struct payload p = {publisher, i};
        int32_t rc =
            evb_publish(kit.bus, "n.x", &p, sizeof p, &(evb_publish_opts){.timeout_ns = roll(4) ? 0 : MS});

        if (rc >= 0) {
            if (expected >= 0) EQ(rc, expected);
            i++;
        } else if (rc == EVB_EFULL) {
            sched_yield();
        } else {
            FAILS(rc, EVB_ETIMEDOUT);
        }
    }
    (void)evb__add_acqrel(&publishing, (uint32_t)-1); /* pairs with all_published */
}

static bool all_published(void)
{
    return evb__ld_acq(&publishing) == 0; /* pairs with publish_all */
}

static bool all_settled(void)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        evb_queue_stats s = assert_law(subs[q]);

        if (queue_held(&s) != 0 || s.dlq_depth != 0) return false;
    }
    return true;
}

static void redrive(uint32_t q)
{
    int32_t rc = evb_dlq_redrive(subs[q], 1 + roll(50));

    if (rc > 0)
        (void)evb__add_rlx(&redriven[q], (uint32_t)rc);
    else if (rc != 0 && rc != EVB_EBUSY)
        FAILS(rc, EVB_EFULL);
}

/* ---- nothing is lost ---- */

/* Attempts without limit, retries at once or nearly. */
#define TRY_AGAIN                                                                                            \
    {                                                                                                        \
        .max_attempts = UINT32_MAX, .base_ns = 1, .cap_ns = 1                                                \
    }

static const evb_sub_opts blocking = {.capacity = 30, .overflow = EVB_OVERFLOW_BLOCK, .retry = TRY_AGAIN};
static const evb_sub_opts pulled = {
    .capacity = 40, .overflow = EVB_OVERFLOW_BLOCK, .retry = TRY_AGAIN, .lease_ns = INT64_MAX};

static void operate(void)
{
    while (evb__ld_rlx(&working) != 0) { /* relaxed: only has to be seen */
        uint32_t q = roll(QUEUES);

        switch (roll(6)) {
        case 0:
            OK(evb_sub_pause(subs[q]));
            sched_yield();
            OK(evb_sub_resume(subs[q]));
            break;
        case 1:
            redrive(3);
            break;
        case 2: {
            evb_sub_opts o = blocking;

            o.handler = work;
            o.user = &subs[1];
            o.concurrency = 1 + roll(3);
            visit(1, "workers", &o);
            break;
        }
        case 3:
            visit(2, "pullers", &pulled);
            break;
        default:
            (void)assert_law(subs[q]);
            break;
        }
        if (all_published() && all_settled()) evb__st_rlx(&working, 0);
    }
}

static void take_part(uint32_t index, void *arg)
{
    (void)arg;
    if (index < PUBLISHERS) {
        publish_all(index, QUEUES);
    } else if (index == PUBLISHERS) {
        operate();
    } else if (index == PUBLISHERS + 1) {
        while (evb__ld_rlx(&working) != 0)
            if (!settle_one(subs[3])) sched_yield();
    } else {
        while (evb__ld_rlx(&working) != 0)
            visit(2, "pullers", &pulled);
    }
}

static void nothing_is_lost(void)
{
    evb_sub_opts o = blocking;

    begin();
    shelf.count = 0;
    subs[0] =
        kit_sub("n.x", (evb_sub_opts){.capacity = 50, .handler = work, .user = &subs[0], .retry = TRY_AGAIN});
    o.handler = work;
    o.user = &subs[1];
    o.name = "workers";
    subs[1] = kit_sub("n.*", o);
    o = pulled;
    o.name = "pullers";
    subs[2] = kit_sub("n.*", o); /* takes nothing itself */
    subs[3] = kit_sub(">", (evb_sub_opts){.capacity = 100,
                                          .handler = defer,
                                          .concurrency = 2,
                                          .max_in_flight = 20,
                                          .dlq_capacity = 1u << 20,
                                          .retry = TRY_AGAIN});
    evb_test_run_threads(PUBLISHERS + 4, take_part, NULL);
    for (uint32_t q = 0; q < QUEUES; q++) {
        evb_queue_stats s = assert_law(subs[q]);

        EQ(s.acked, (uint64_t)PUBLISHERS * each);
        EQ(s.dropped + s.purged + s.conflated + s.expired + s.discarded, 0);
        EQ(s.enqueued, s.acked + evb__ld_rlx(&redriven[q]));
        for (uint32_t p = 0; p < PUBLISHERS; p++)
            for (uint32_t i = 0; i < each; i++)
                if (evb__ld_rlx(&done[q][p][i]) != 1) EQ(evb__ld_rlx(&done[q][p][i]), 1);
        kit_leave(subs[q]);
    }
    kit_close();
}

#define TIMES (getenv("EVB_TEST_LONG") != NULL ? 20 : 1)

TEST(every_event_is_done_exactly_once_in_every_queue_whatever_happens_on_the_way)
{
    for (int i = 0; i < TIMES; i++)
        nothing_is_lost();
}

/* ---- losses are counted ---- */

static void spoil(void)
{
    while (evb__ld_rlx(&working) != 0) { /* relaxed: only has to be seen */
        uint32_t q = roll(QUEUES);

        switch (roll(8)) {
        case 0:
            OK(evb_sub_pause(subs[q]));
            sched_yield();
            OK(evb_sub_resume(subs[q]));
            break;
        case 1:
            CHECK(evb_sub_purge(subs[q]) >= 0);
            break;
        case 2:
            CHECK(evb_dlq_purge(subs[q]) >= 0);
            break;
        case 3:
            redrive(q);
            break;
        default:
            (void)assert_law(subs[q]);
            break;
        }
        if (all_published()) {
            for (q = 0; q < QUEUES; q++)
                CHECK(evb_dlq_purge(subs[q]) >= 0);
            if (all_settled()) evb__st_rlx(&working, 0);
        }
    }
}

static void lose_some(uint32_t index, void *arg)
{
    (void)arg;
    if (index < PUBLISHERS)
        publish_all(index, -1);
    else
        spoil();
}

static void losses_are_counted(void)
{
    static const uint32_t overflows[QUEUES] = {EVB_OVERFLOW_DROP_OLDEST, EVB_OVERFLOW_DROP_NEWEST,
                                               EVB_OVERFLOW_CONFLATE, EVB_OVERFLOW_DROP_OLDEST};

    begin();
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    for (uint32_t q = 0; q < QUEUES; q++) {
        subs[q] = kit_sub("n.*", (evb_sub_opts){.capacity = 4 + 20 * q,
                                                .overflow = overflows[q],
                                                .flags = q == 3 ? EVB_SUB_DEAD_LETTER_DROPS : 0,
                                                .handler = work_or_reject,
                                                .user = &subs[q],
                                                .concurrency = 1 + q % 2,
                                                .dlq_capacity = 50,
                                                .retry = {.max_attempts = 3, .base_ns = 1, .cap_ns = 1000}});
    }
    evb_test_run_threads(PUBLISHERS + 1, lose_some, NULL);
    for (uint32_t q = 0; q < QUEUES; q++) {
        evb_queue_stats s = assert_law(subs[q]);

        EQ(s.enqueued, (uint64_t)PUBLISHERS * each + evb__ld_rlx(&redriven[q]));
        EQ(s.acked, evb__ld_rlx(&done_count[q]));
        EQ(queue_held(&s), 0);
        for (uint32_t p = 0; p < PUBLISHERS; p++)
            for (uint32_t i = 0; i < each; i++)
                if (evb__ld_rlx(&done[q][p][i]) > 1) EQ(evb__ld_rlx(&done[q][p][i]), 1);
        kit_leave(subs[q]);
    }
    kit_close();
}

TEST(what_is_dropped_conflated_purged_or_given_up_is_counted_once)
{
    for (int i = 0; i < TIMES; i++)
        losses_are_counted();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_is_done_exactly_once_in_every_queue_whatever_happens_on_the_way),
        cmocka_unit_test(what_is_dropped_conflated_purged_or_given_up_is_counted_once),
    };
    return EVB_TEST_MAIN("queue_stress", tests, argc, argv);
}
