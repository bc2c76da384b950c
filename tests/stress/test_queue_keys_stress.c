/* SPDX-License-Identifier: MIT */
/* Keys under everything at once: order per key, whoever handles it and whatever fails on the way. */
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "queue_kit.h"

#define SCALE(n) (EVB__TSAN ? (n) / 10 : EVB_TEST_ASAN ? (n) / 5 : (n))

struct payload {
    uint32_t key, number;
};

static EVB__ATOMIC(uint32_t) dice;

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

static void work_for(uint32_t turns)
{
    for (volatile uint32_t i = 0; i < turns; i++)
        continue;
}

static struct payload payload_of(const evb_event *ev)
{
    struct payload p = {0, 0};

    EQ(ev->size, sizeof p);
    EQ(ev->key_len, sizeof p.key);
    memcpy(&p, ev->data, sizeof p);
    EQ_MEM(ev->key, &p.key, sizeof p.key);
    return p;
}

static int32_t publish(uint32_t key, uint32_t number)
{
    struct payload p = {key, number};

    return evb_publish(kit.bus, "k.x", &p, sizeof p, &(evb_publish_opts){.key = &key, .key_len = sizeof key});
}

/* ---- 4 workers, 8 keys, 100 events of each ---- */

#define KEYS    8u
#define EACH    100u
#define FAILING 3u /* of key 2: number 40 fails this often */

static struct {
    EVB__ATOMIC(uint32_t) inside; /* relaxed: the queue's lock is between two of a key */
    uint32_t next, failures, log[EACH + FAILING], calls;
} lanes[KEYS];
static EVB__ATOMIC(uint32_t) inside, most_inside, together;

static bool fails(const struct payload *p)
{
    return p->key == 2 && p->number == 40 && lanes[2].failures < FAILING;
}

static bool is_poison(const struct payload *p)
{
    return p->key == 5 && p->number == 60;
}

/* Plain accesses to what belongs to a key: a second handler of it would be a data race. */
static int32_t handle(const evb_event *ev, void *user)
{
    struct payload p = payload_of(ev);
    uint32_t now, most;

    (void)user;
    CHECK(p.key < KEYS && p.number < EACH);
    EQ(evb__add_rlx(&lanes[p.key].inside, 1), 0);
    now = evb__add_acqrel(&inside, 1) + 1;
    most = evb__ld_rlx(&most_inside);
    while (now > most && !evb__cas_rlx(&most_inside, &most, now))
        continue;
    if (now > 1) evb__st_rlx(&together, 1);
    /* until two have met, handlers wait a while for company: on one core, too */
    for (uint32_t i = 0; i < 1000 && evb__ld_rlx(&together) == 0; i++)
        (void)sched_yield();
    work_for(roll(20000));
    EQ(p.number, lanes[p.key].next);
    if (lanes[p.key].calls < COUNT(lanes[p.key].log)) lanes[p.key].log[lanes[p.key].calls] = p.number;
    lanes[p.key].calls++;
    (void)evb__sub_acqrel(&inside, 1);
    (void)evb__add_rlx(&lanes[p.key].inside, (uint32_t)-1);
    if (fails(&p)) {
        EQ(ev->attempt, ++lanes[p.key].failures);
        return EVB_NACK;
    }
    lanes[p.key].next++;
    return is_poison(&p) ? EVB_REJECT : EVB_OK;
}

TEST(the_order_of_each_key_is_exact_while_keys_run_beside_each_other)
{
    struct letter letter;
    evb_queue_stats s;
    evb_sub *sub;

    memset(lanes, 0, sizeof lanes);
    evb__st_rlx(&most_inside, 0);
    evb__st_rlx(&together, 0);
    evb__st_rlx(&dice, (uint32_t)evb__rng_next(evb_test_rng()));
    kit_open(4);
    evb_set_log(NULL, NULL, EVB_LOG_ERROR);
    sub = kit_sub("k.*", (evb_sub_opts){.handler = handle,
                                        .concurrency = 4,
                                        .retry = {.max_attempts = FAILING + 1, .base_ns = 1, .cap_ns = MS}});
    for (uint32_t number = 0; number < EACH; number++)
        for (uint32_t key = 0; key < KEYS; key++)
            EQ(publish(key, number), 1);
    SOON(kit_settled(sub));
    s = assert_law(sub);
    EQ(s.acked, KEYS * EACH - 1);
    EQ(s.nacked, FAILING);
    EQ(s.dead_lettered, 1);
    EQ(s.delivered, KEYS * EACH + FAILING);
    CHECK(evb__ld_rlx(&most_inside) > 1);
    CHECK(evb__ld_rlx(&most_inside) <= 4);
    for (uint32_t key = 0; key < KEYS; key++) {
        EQ(lanes[key].next, EACH); /* the poisoned key, too, went on to its end */
        EQ(lanes[key].calls, key == 2 ? EACH + FAILING : EACH);
    }
    for (uint32_t i = 0; i < EACH + FAILING; i++)
        EQ(lanes[2].log[i], i <= 40 ? i : i <= 40 + FAILING ? 40 : i - FAILING);
    EQ(kit_letters(sub, &letter, 1), 1);
    EQ_STR(letter.reason, "rejected");
    EQ(letter.death.attempts, 1);
    kit_leave(sub);
    kit_close();
}

/* ---- a group whose members come and go, and die with events in hand ---- */

#define GROUP_KEYS 64u
#define PUBLISHERS 2u
#define VISITORS   4u
#define EVENTS     100000u

static struct {
    EVB__ATOMIC(uint32_t) next; /* relaxed: of a key one at a time, the queue's lock in between */
} done[PUBLISHERS][GROUP_KEYS];
static EVB__ATOMIC(uint32_t) done_count, publishing;
static uint32_t events;
static evb_sub *anchor; /* stays: the group does not end */

static const evb_sub_opts group = {
    .name = "group",
    .capacity = 500,
    .max_in_flight = 64,
    .overflow = EVB_OVERFLOW_BLOCK,
    .lease_ns = INT64_MAX,
    .retry = {.max_attempts = UINT32_MAX, .base_ns = 1, .cap_ns = 1},
};

/* It is the next one of its key, and will not come again. */
static void is_done(const evb_event *ev)
{
    struct payload p = payload_of(ev);
    uint32_t publisher = p.key / GROUP_KEYS, key = p.key % GROUP_KEYS, next;

    CHECK(publisher < PUBLISHERS);
    next = evb__ld_rlx(&done[publisher][key].next);
    if (next != p.number) EQ(next, p.number);
    evb__st_rlx(&done[publisher][key].next, next + 1);
    (void)evb__add_rlx(&done_count, 1);
}

static bool all_done(void)
{
    return evb__ld_acq(&publishing) == 0 && evb__ld_rlx(&done_count) >= events; /* pairs with publish_all */
}

static void publish_all(uint32_t publisher)
{
    uint32_t numbers[GROUP_KEYS] = {0};

    for (uint32_t i = 0; i < events / PUBLISHERS; i++) {
        uint32_t key = roll(4) == 0 ? 0 : roll(GROUP_KEYS); /* one is hot */

        EQ(publish(publisher * GROUP_KEYS + key, numbers[key]++), 1);
    }
    (void)evb__sub_acqrel(&publishing, 1); /* pairs with all_done */
}

static int32_t maybe_done(const evb_event *ev, void *user)
{
    (void)user;
    switch (roll(16)) {
    case 0:
        return EVB_NACK;
    case 1:
        return EVB_RELEASE;
    case 2:
        work_for(roll(2000));
        break;
    default:
        break;
    }
    is_done(ev);
    return EVB_OK;
}

/* Takes the event over and dies with it: the member that leaves gives it back. */
static int32_t maybe_keep(const evb_event *ev, void *user)
{
    uint64_t delivery;
    int32_t rc;

    if (roll(8) != 0) return maybe_done(ev, user);
    rc = evb_defer(ev, &delivery);
    if (rc == EVB_OK) return EVB_DEFER;
    if (rc != EVB_EFULL) FAILS(rc, EVB_ECLOSED);
    return EVB_RELEASE;
}

/* One event pulled, and most times settled. false: there was none. */
static bool pull(evb_sub *sub, int64_t timeout_ns)
{
    const evb_event *ev;
    uint64_t delivery;
    int32_t rc = evb_sub_next(sub, timeout_ns, &delivery, &ev);

    if (rc != EVB_OK) {
        if (rc != EVB_EEMPTY) FAILS(rc, EVB_ETIMEDOUT);
        return false;
    }
    switch (roll(12)) {
    case 0:
        OK(evb_nack(sub, delivery, roll(2) ? 0 : EVB_DELAY_POLICY));
        break;
    case 1:
        OK(evb_release(sub, delivery));
        break;
    case 2:
        break; /* dies with it */
    default:
        is_done(ev);
        OK(evb_ack(sub, delivery));
        FAILS(evb_ack(sub, delivery), EVB_ESTALE);
        break;
    }
    return true;
}

static void visit_as_handler(void)
{
    evb_sub_opts o = group;
    evb_sub *sub;

    o.handler = roll(2) ? maybe_done : maybe_keep;
    o.concurrency = 1 + roll(3);
    OK(evb_subscribe(kit.bus, "k.*", &o, &sub));
    for (uint32_t i = roll(60); i > 0; i--)
        (void)sched_yield();
    OK(evb_unsubscribe(sub));
}

static void visit_as_puller(void)
{
    evb_sub *sub;

    OK(evb_subscribe(kit.bus, "k.*", &group, &sub));
    for (uint32_t i = roll(200); i > 0; i--)
        (void)pull(sub, i % 8 == 0 ? MS : 0);
    OK(evb_unsubscribe(sub));
}

static void visit_as_watcher(void)
{
    struct pollfd fd = {.events = POLLIN};
    evb_sub *sub;

    OK(evb_subscribe(kit.bus, "k.*", &group, &sub));
    fd.fd = (int)ID(evb_sub_fd(sub));
    for (uint32_t i = roll(20); i > 0; i--) {
        if (poll(&fd, 1, 1) != 1) continue;
        for (uint32_t n = roll(30); n > 0 && pull(sub, 0); n--)
            continue;
    }
    OK(evb_unsubscribe(sub));
}

static void visit_as_dispatcher(void)
{
    evb_sub_opts o = group;
    evb_sub *sub;

    o.handler = maybe_keep;
    o.flags = EVB_SUB_DISPATCH;
    OK(evb_subscribe(kit.bus, "k.*", &o, &sub));
    for (uint32_t i = roll(20); i > 0; i--) {
        int32_t rc = evb_sub_dispatch(sub, 1 + roll(20));

        if (rc < 0) FAILS(rc, EVB_EEMPTY);
    }
    OK(evb_unsubscribe(sub));
}

static void take_part(uint32_t index, void *arg)
{
    static void (*const visits[])(void) = {visit_as_handler, visit_as_puller, visit_as_watcher,
                                           visit_as_dispatcher};

    (void)arg;
    if (index < PUBLISHERS) {
        publish_all(index);
        return;
    }
    if (index == PUBLISHERS) {
        while (!all_done()) {
            (void)assert_law(anchor);
            (void)sched_yield();
        }
        return;
    }
    while (!all_done())
        visits[roll(COUNT(visits))]();
}

TEST(a_group_whose_members_die_with_events_loses_none_doubles_none_and_keeps_the_order_of_keys)
{
    evb_queue_stats s;

    events = SCALE(EVENTS);
    memset(done, 0, sizeof done);
    evb__st_rlx(&done_count, 0);
    evb__st_rlx(&publishing, PUBLISHERS);
    evb__st_rlx(&dice, (uint32_t)evb__rng_next(evb_test_rng()));
    kit_open(3);
    anchor = kit_sub("k.*", group); /* takes nothing itself */
    evb_test_run_threads(PUBLISHERS + 1 + VISITORS, take_part, NULL);
    s = assert_law(anchor);
    EQ(evb__ld_rlx(&done_count), events);
    EQ(s.enqueued, events);
    EQ(s.acked, events);
    EQ(queue_held(&s), 0);
    EQ(s.dead_lettered + s.expired + s.dropped + s.purged + s.discarded, 0);
    CHECK(s.released > 0 && s.nacked > 0);
    kit_leave(anchor);
    kit_close();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_each_key_is_exact_while_keys_run_beside_each_other),
        cmocka_unit_test(
            a_group_whose_members_die_with_events_loses_none_doubles_none_and_keeps_the_order_of_keys),
    };
    return EVB_TEST_MAIN("queue_keys_stress", tests, argc, argv);
}
