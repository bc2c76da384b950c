/* SPDX-License-Identifier: MIT */
/* A whole queue, src/queue, on a bus: publishers, pullers, workers, who waits for room, who drains, who
 * leaves. An event that nobody hears of, or room that nobody hears of, leaves somebody asleep for ever: a
 * deadlock.
 *
 * Publishers come in as the bus comes: reserve and commit of the queue's sink, or by evb_publish where a
 * shape is about that. The pool is a list of what has been scheduled, which the shape's workers take; time
 * moves on by a whole look-around at each look, so that nobody looks around twice.
 *
 * A thread's script:
 *      p  publishes; b waits for room; P by evb_publish
 *      u  reserves and undoes
 *      n  waits for the next one and acks it; N without the ack, k acks it; c until the queue is over
 *      t  takes one if there is any
 *      w  works until all is done
 *      d  drains
 *      o  leaves; O when a puller waits
 *      f  waits for the end of the first thread
 *      z  pauses and resumes; Z pauses
 *      x  purges; l asks for the counters
 */
#include "explore.h"

#include <evbus/bus.h>
#include <evbus/queue.h>
#include <string.h>
#include "base/clock.h"
#include "base/park.h"
#include "base/reader.h"
#include "base/thread.h"
#include "base/wakefd.h"
#include "queue/queue.h"

static int64_t case_clock(void);

#define evb__clock_mono       case_clock
#define evb__thread_yield()   ((void)0)
#define evb__spin_pause(turn) ((void)(turn))
#include "queue/intake.c"
#include "queue/pull.c"
#include "queue/worker.c"
#undef evb__clock_mono
#undef evb__thread_yield
#undef evb__spin_pause

#define ENOUGH .executions = EXPLORE_ENOUGH

enum { CASE_THREADS = 4, BY_SETUP = CASE_THREADS, BY_HANDLER, BY_ALL, EVENTS = 4, TOKENS = 64 };

struct wake_case {
    const char *name, *script[CASE_THREADS];
    uint32_t concurrency; /* of a handler; 0: pulled */
    uint32_t overflow, capacity, max_in_flight, inside;
    bool some_are_lost; /* purged, dropped, discarded: not all come out */
    bool in_order;      /* one consumer */
    bool paused;
    bool group;     /* with a second member, who stays */
    bool small_box; /* two events: the queue has room for more */
    bool rests;     /* a worker looks around before it goes idle: else there seems to be other work */
    bool once;      /* at most once: settled when it is handed out */
    bool relays;    /* the handler publishes once more, into a second queue with a handler */
    enum explore_barrier barrier;
    int preemptions, stale_reads, spurious;
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct wake_case cases[];

/* Plain words are no part of the model: one fiber runs at a time. */
static struct {
    evb_bus *bus;
    evb_sub *sub, *second;
    struct evb__queue *q;
    evb_pool pool;
    struct evb__self selves[CASE_THREADS];
    int64_t now;

    uint64_t payload[BY_ALL][EVENTS];
    uint32_t published[BY_ALL], came[BY_ALL]; /* came: bits */
    uint32_t begun, accepted, handled, inside, finished, others;
    uint64_t delivery[CASE_THREADS];
    bool left, drained, first_is_over;

    EVB__ATOMIC(struct evb__runnable *) token[TOKENS];
    EVB__ATOMIC(uint32_t) work;
    uint32_t tokens, taken, running;
} st;

static const struct wake_case *this_case(void)
{
    return &cases[explore_variant()];
}

/* ---- the pool, time, descriptors ---- */

static int64_t case_clock(void)
{
    return st.now += SPIN_NS;
}

static void step(void)
{
    (void)evb__add_acqrel(&st.work, 1);
    evb__wake_all(&st.work);
}

void evb__pool_schedule(evb_pool *pool, struct evb__runnable *runnable)
{
    uint32_t number = st.tokens++;

    explore_check(pool == &st.pool, "another pool");
    explore_check(number < TOKENS, "explorer: too many tokens");
    evb__st_rel(&st.token[number], runnable);
    step();
}

bool evb__pool_has_work(const evb_pool *pool)
{
    (void)pool;
    return !this_case()->rests || st.tokens != st.taken;
}

int32_t evb__pool_admit_slow(evb_pool *pool)
{
    (void)pool;
    return EVB_OK;
}

void evb__pool_hold(evb_pool *pool)
{
    (void)pool;
}

void evb__pool_release(evb_pool *pool)
{
    (void)pool;
}

int32_t evb_pool_create(const evb_pool_opts *opts, evb_pool **ret_pool)
{
    (void)opts;
    (void)ret_pool;
    return EVB_ENOMEM; /* the bus has been given one */
}

void evb_pool_destroy(evb_pool *pool)
{
    (void)pool;
}

/* No time passes that anybody waits for. */
struct evb__alarm *evb__alarm_make(evb_pool *pool, evb_task_fn fn, void *arg)
{
    (void)fn;
    (void)arg;
    return (struct evb__alarm *)(void *)pool;
}

void evb__alarm_set(struct evb__alarm *alarm, int64_t due_ns)
{
    (void)alarm;
    (void)due_ns;
}

bool evb__alarm_free(struct evb__alarm *alarm, evb_task_fn gone)
{
    (void)alarm;
    (void)gone;
    return true;
}

int32_t evb__wakefd_open(int fd[2])
{
    (void)fd;
    return EVB_EAGAIN;
}

void evb__wakefd_tell(const int fd[2])
{
    (void)fd;
}

void evb__wakefd_clear(const int fd[2])
{
    (void)fd;
}

void evb__wakefd_close(int fd[2])
{
    (void)fd;
}

/* Nothing is retried here. */
void evb__rng_init(struct evb__rng *rng, uint64_t seed)
{
    rng->state = seed;
}

uint64_t evb__rng_below(struct evb__rng *rng, uint64_t bound)
{
    (void)rng;
    (void)bound;
    return 0;
}

/* ---- publishers ---- */

struct id {
    uint32_t by, number;
};

static struct id next_id(uint32_t by)
{
    struct id id = {by, st.published[by]++};

    explore_check(id.number < EVENTS, "explorer: too many events");
    EVB__PLAIN_WRITE(st.payload[by][id.number], id.number + 100);
    return id;
}

static int32_t reserve_for(struct evb__sink *sink, size_t bytes, bool waits)
{
    for (;;) {
        int32_t rc = sink->ops->reserve(sink, bytes, 1);

        if (rc != EVB_EAGAIN || !waits) return rc;
        rc = sink->ops->wait(sink, bytes, 1, EVB_FOREVER);
        explore_cover("waited for room");
        if (rc != EVB_OK) return rc;
    }
}

static void publish_into_sink(uint32_t by, bool waits)
{
    struct id id = next_id(by);
    struct evb__sink *sink = &st.q->sink;
    struct evb__draft draft = {.event = {.data = &id, .size = sizeof id, .topic = "t", .topic_len = 1}};
    struct evb__message *message;
    int32_t rc;

    explore_check(evb__draft_check(&draft) == EVB_OK, "a draft is refused");
    rc = reserve_for(sink, draft.bytes, waits);
    if (rc != EVB_OK) {
        explore_cover(rc == EVB_ECLOSED ? "closed" : "refused");
        st.published[by]--;
        return;
    }
    message = evb__message_new(&draft, 1, false);
    explore_check(message != NULL, "no memory");
    st.begun++;
    if (!sink->ops->commit(sink, &evb__message_deliveries(message)[0]))
        explore_check(this_case()->some_are_lost, "dropped");
    st.accepted++;
}

static void publish(uint32_t by)
{
    struct id id = next_id(by);
    evb_publish_opts opts = {.flags = EVB_MANDATORY};
    uint32_t epoch = st.q->room_epoch; /* past the model */
    int64_t rc;

    st.begun++;
    rc = evb_publish(st.bus, "t", &id, sizeof id, &opts);
    if (st.q->room_epoch != epoch) explore_cover("waited for room");
    if (rc >= 0) {
        st.accepted++;
        return;
    }
    explore_check(rc == EVB_ECLOSED || rc == EVB_ENOROUTE, "refused");
    explore_cover(rc == EVB_ECLOSED ? "closed" : "nobody is there");
    st.begun--;
    st.published[by]--;
}

static void undo_one(void)
{
    struct evb__sink *sink = &st.q->sink;

    if (sink->ops->reserve(sink, 8, 1) != EVB_OK) return;
    explore_cover("undone");
    sink->ops->undo(sink, 8, 1);
}

/* ---- consumers ---- */

static void receive(const evb_event *event)
{
    struct id id;

    memcpy(&id, event->data, sizeof id);
    explore_check(EVB__PLAIN_READ(st.payload[id.by][id.number]) == id.number + 100,
                  "not what the publisher left");
    explore_check((st.came[id.by] >> id.number & 1) == 0, "an event came twice");
    if (this_case()->in_order) explore_check(st.came[id.by] == (1u << id.number) - 1, "out of order");
    st.came[id.by] |= 1u << id.number;
    st.handled++;
}

static int32_t relayed_to(const evb_event *event, void *user)
{
    (void)user;
    receive(event);
    explore_cover("relayed");
    return EVB_OK;
}

static void relay(void)
{
    struct id id = next_id(BY_HANDLER);

    st.begun++;
    if (evb_publish(st.bus, "v", &id, sizeof id, NULL) >= 0) st.accepted++;
}

static int32_t handler(const evb_event *event, void *user)
{
    (void)user;
    explore_check(++st.inside <= this_case()->concurrency, "more handlers than there may be");
    receive(event);
    if (this_case()->relays)
        relay();
    else
        explore_point();
    explore_cover("handled");
    st.inside--;
    return EVB_OK;
}

/* false: the queue is over. */
static bool next(uint32_t me, bool acks)
{
    const evb_event *event;
    uint64_t delivery;
    uint32_t epoch = st.q->pull_epoch; /* past the model */
    int32_t rc = evb_sub_next(st.sub, EVB_FOREVER, &delivery, &event);

    if (st.q->pull_epoch != epoch) explore_cover("a puller waited");
    if (rc == EVB_ECLOSED) {
        explore_cover("over");
        return false;
    }
    explore_check(rc == EVB_OK, "next failed");
    receive(event);
    st.delivery[me] = delivery;
    if (acks) explore_check(evb_ack(st.sub, delivery) == EVB_OK, "ack failed");
    return true;
}

static void take(void)
{
    _Alignas(8) char buffer[256];
    int32_t rc = evb_sub_take(st.sub, buffer, sizeof buffer, 1);

    explore_check(rc == 1 || rc == EVB_EEMPTY || rc == EVB_ECLOSED, "take failed");
    if (rc == 1) st.handled++;
}

static bool all_done(void)
{
    if (st.finished != st.others || st.tokens != st.taken || st.running != 0) return false;
    return this_case()->some_are_lost || st.left || st.handled == st.accepted;
}

static void run_next(void)
{
    EVB__ATOMIC(struct evb__runnable *) *token = &st.token[st.taken++];
    struct evb__runnable *runnable;

    while ((runnable = evb__ld_acq(token)) == NULL) /* about to be there, or seen late */
        evb__thread_yield();
    st.running++;
    runnable->run(runnable, false);
    st.running--;
    step();
}

static void work(void)
{
    for (;;) {
        uint32_t seen = evb__ld_acq(&st.work);

        if (st.taken != st.tokens) {
            run_next();
        } else if (all_done()) {
            return;
        } else {
            (void)evb__park(&st.work, seen, EVB_FOREVER);
        }
    }
}

/* ---- the others ---- */

static void drain(void)
{
    explore_check(evb_bus_drain(st.bus, EVB_FOREVER) == EVB_OK, "not drained");
    explore_check(st.handled >= st.accepted || this_case()->some_are_lost, "drained, and something is left");
    explore_check(st.inside == 0, "drained, and a handler runs");
    st.drained = true;
    explore_cover("drained");
}

static void leave(void)
{
    explore_check(evb_unsubscribe(st.sub) == EVB_OK, "cannot leave");
    explore_check(st.inside == 0, "has left, and a handler runs");
    st.left = true;
}

static void wait_for_the_first(void)
{
    for (;;) {
        uint32_t seen = evb__ld_acq(&st.work);

        if (st.first_is_over) return;
        (void)evb__park(&st.work, seen, EVB_FOREVER);
    }
}

/* Whoever waits in the call, with a reference of his own, is sent home. Looks past the model: that he waits
 * is not to order anything. */
static void leave_when_one_waits(void)
{
    while (*(volatile uint32_t *)&st.sub->refs < 3 && *(volatile uint32_t *)&st.q->pullers == 0)
        evb__thread_yield();
    leave();
}

static void check_stats(void)
{
    evb_queue_stats s = {0};

    explore_check(evb_sub_stats(st.sub, &s) == EVB_OK, "no stats");
    explore_check(s.enqueued == s.acked + s.dead_lettered + s.expired + s.dropped + s.conflated + s.purged +
                                    s.discarded + s.ready + s.delayed + s.in_flight,
                  "the counters do not add up");
    explore_check(s.enqueued <= st.begun, "more than were published");
}

static void call(uint32_t me, char what)
{
    switch (what) {
    case 'p':
    case 'b':
        publish_into_sink(me, what == 'b');
        break;
    case 'P':
        publish(me);
        break;
    case 'u':
        undo_one();
        break;
    case 'n':
    case 'N':
        (void)next(me, what == 'n');
        break;
    case 'k':
        explore_check(evb_ack(st.sub, st.delivery[me]) == EVB_OK, "ack failed");
        break;
    case 'c':
        while (next(me, true))
            continue;
        break;
    case 't':
        take();
        break;
    case 'w':
        work();
        break;
    case 'd':
        drain();
        break;
    case 'o':
        leave();
        break;
    case 'O':
        leave_when_one_waits();
        break;
    case 'f':
        wait_for_the_first();
        break;
    case 'z':
    case 'Z':
        explore_check(evb_sub_pause(st.sub) == EVB_OK, "no pause");
        if (what == 'z') explore_check(evb_sub_resume(st.sub) == EVB_OK, "no resume");
        break;
    case 'x':
        explore_check(evb_sub_purge(st.sub) >= 0, "no purge");
        break;
    case 'l':
        check_stats();
        break;
    default:
        explore_check(false, "explorer: no such call");
    }
}

static void thread(void)
{
    uint32_t me = explore_thread();
    const char *script = this_case()->script[me];
    bool works = *script == 'w';

    *evb__self() = st.selves[me];
    for (; *script != '\0'; script++)
        call(me, *script);
    if (me == 0) st.first_is_over = true;
    if (!works) st.finished++;
    step();
}

/* ---- before and after ---- */

static void make_box_small(void)
{
    evb_ring_opts opts = {.mode = EVB_RING_MPSC, .capacity = 2};

    evb_ring_destroy(st.q->mailbox.ring);
    explore_check(evb_ring_create(&opts, &st.q->mailbox.ring) == EVB_OK, "no ring");
}

static void setup(void)
{
    const struct wake_case *c = this_case();
    evb_bus_opts bus = {.pool = &st.pool, .drain_timeout_ns = 1};
    evb_sub_opts opts = {.handler = c->concurrency != 0 ? handler : NULL,
                         .concurrency = c->concurrency,
                         .name = c->group ? "g" : NULL,
                         .capacity = c->capacity != 0 ? c->capacity : 4,
                         .overflow = c->overflow,
                         .max_in_flight = c->max_in_flight,
                         .lease_ns = c->once ? 0 : INT64_MAX,
                         .flags = (c->paused ? EVB_SUB_PAUSED : 0) | (c->once ? EVB_SUB_AT_MOST_ONCE : 0)};

    st.pool.generation = evb__process_generation();
    evb__init(&st.pool.state, EVB__POOL_RUNNING);
    for (uint32_t t = 0; t < CASE_THREADS; t++) {
        explore_check(evb__reader_ready(&st.selves[t], evb__process_generation()) == EVB_OK, "no slot");
        if (c->script[t] != NULL && *c->script[t] != 'w') st.others++;
    }
    *evb__self() = st.selves[0];
    explore_check(evb_bus_create(&bus, &st.bus) == EVB_OK, "no bus");
    explore_check(evb_subscribe(st.bus, "t", &opts, &st.sub) == EVB_OK, "no subscription");
    st.q = st.sub->queue;
    if (c->relays) opts.handler = relayed_to;
    if (c->relays || c->group)
        explore_check(evb_subscribe(st.bus, c->relays ? "v" : "t", &opts, &st.second) == EVB_OK,
                      "no second subscription");
    explore_name(st.q, sizeof *st.q, "queue");
    if (c->small_box) make_box_small();
    for (uint32_t i = 0; i < c->inside; i++)
        publish_into_sink(BY_SETUP, false);
}

static void finish(void)
{
    if (st.second != NULL) explore_check(evb_unsubscribe(st.second) == EVB_OK, "cannot leave");
    if (!st.left) {
        explore_check(!st.q->lock.granted, "nobody runs, and the lock is biased");
        check_stats();
        explore_check(!st.drained || evb__credit_used(&st.q->credit) == 0 || this_case()->some_are_lost,
                      "something was accepted after the drain");
        explore_check(st.q->pullers == 0, "a puller has left and is counted");
        (void)evb_sub_purge(st.sub);
        explore_check(evb__credit_used(&st.q->credit) == 0, "a credit is lost");
        explore_check(evb_unsubscribe(st.sub) == EVB_OK, "cannot leave");
    }
    evb_bus_destroy(st.bus);
}

const struct wake_case cases[] = {
    /* pullers */
    {.name = "a_puller_hears_of_an_event",
     .in_order = true,
     .script = {"p", "n"},
     .covers = {"a puller waited"}},
    {.name = "a_puller_hears_of_two_publishers",
     .preemptions = 1,
     .in_order = true,
     ENOUGH,
     .script = {"p", "p", "nn"},
     .covers = {"a puller waited"}},
    {.name = "two_pullers_hear_of_two_events",
     .preemptions = 1,
     ENOUGH,
     .script = {"pp", "n", "n"},
     .covers = {"a puller waited"}},
    {.name = "a_full_window_opens_for_another_puller",
     .max_in_flight = 1,
     .inside = 2,
     ENOUGH,
     .script = {"Nk", "n"},
     .covers = {"a puller waited"}},
    {.name = "a_paused_queue_wakes_pullers_when_it_goes_on",
     .preemptions = 1,
     .paused = true,
     ENOUGH,
     .script = {"p", "n", "z"},
     .covers = {"a puller waited"}},
    {.name = "a_full_box_goes_through_the_lock_in_order",
     .capacity = 4,
     .small_box = true,
     .in_order = true,
     ENOUGH,
     .script = {"ppp", "nnn"},
     .covers = {"a puller waited"}},
    {.name = "stats_beside_a_puller",
     .preemptions = 1,
     ENOUGH,
     .script = {"p", "n", "l"},
     .covers = {"a puller waited"}},

    /* room */
    {.name = "room_wakes_who_waits_for_it",
     .overflow = EVB_OVERFLOW_BLOCK,
     .capacity = 1,
     .inside = 1,
     .in_order = true,
     .barrier = EXPLORE_BOTH,
     .preemptions = 1,
     ENOUGH,
     .script = {"b", "nn"},
     .covers = {"waited for room"}},
    {.name = "room_for_two_who_wait",
     .spurious = EXPLORE_NONE,
     .preemptions = 1,
     .overflow = EVB_OVERFLOW_BLOCK,
     .capacity = 1,
     .inside = 1,
     .in_order = true,
     .barrier = EXPLORE_MEMBARRIER,
     ENOUGH,
     .script = {"b", "b", "nnn"},
     .covers = {"waited for room"}},
    {.name = "an_undone_reservation_wakes_who_waits_for_room",
     .overflow = EVB_OVERFLOW_BLOCK,
     .capacity = 1,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"b", "u"},
     .covers = {"waited for room"}},
    {.name = "a_purge_wakes_who_waits_for_room",
     .overflow = EVB_OVERFLOW_BLOCK,
     .capacity = 1,
     .inside = 1,
     .some_are_lost = true,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"b", "x"},
     .covers = {"waited for room"}},
    {.name = "a_drain_sends_away_who_waits_for_room",
     .spurious = EXPLORE_NONE,
     .preemptions = 1,
     .overflow = EVB_OVERFLOW_BLOCK,
     .capacity = 1,
     .inside = 1,
     ENOUGH,
     .script = {"P", "d", "c"},
     .covers = {"waited for room", "closed", "drained", "over"}},
    {.name = "a_drain_sends_away_who_waits_though_no_room_comes",
     .spurious = EXPLORE_NONE,
     .overflow = EVB_OVERFLOW_BLOCK,
     .preemptions = 1,
     .capacity = 1,
     .inside = 1,
     .barrier = EXPLORE_MEMBARRIER,
     ENOUGH,
     .script = {"P", "d", "Nfk"},
     .covers = {"waited for room", "closed", "drained"}},
    {.name = "leaving_sends_away_who_waits_for_room",
     .preemptions = 1,
     .overflow = EVB_OVERFLOW_BLOCK,
     .capacity = 1,
     .inside = 1,
     .some_are_lost = true,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"P", "o"},
     .covers = {"waited for room", "nobody is there"}},

    /* workers */
    {.name = "a_worker_hears_of_two_events",
     .concurrency = 1,
     .rests = true,
     .in_order = true,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"pp", "w"},
     .covers = {"handled"}},
    {.name = "a_worker_hears_of_two_publishers",
     .spurious = EXPLORE_NONE,
     .preemptions = 1,
     .concurrency = 1,
     .in_order = true,
     .barrier = EXPLORE_MEMBARRIER,
     ENOUGH,
     .script = {"p", "p", "w"},
     .covers = {"handled"}},
    {.name = "two_workers_of_two_runners",
     .spurious = EXPLORE_NONE,
     .preemptions = 1,
     .concurrency = 2,
     ENOUGH,
     .script = {"pp", "w", "w"},
     .covers = {"handled"}},
    {.name = "a_worker_makes_room",
     .preemptions = 1,
     .concurrency = 1,
     .overflow = EVB_OVERFLOW_BLOCK,
     .capacity = 1,
     .in_order = true,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"bb", "w"},
     .covers = {"handled", "waited for room"}},
    {.name = "a_worker_of_a_queue_that_is_paused_and_goes_on",
     .preemptions = 1,
     .concurrency = 1,
     .in_order = true,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"p", "w", "z"},
     .covers = {"handled"}},
    {.name = "a_worker_leaves_a_paused_queue_alone",
     .preemptions = 1,
     .concurrency = 1,
     .rests = true,
     .some_are_lost = true,
     .in_order = true,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"pp", "w", "Z"},
     .covers = {"handled"}},
    {.name = "stats_beside_a_worker",
     .spurious = EXPLORE_NONE,
     .preemptions = 1,
     .concurrency = 1,
     .in_order = true,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"pp", "w", "l"},
     .covers = {"handled"}},
    {.name = "a_purge_beside_a_worker",
     .concurrency = 1,
     .inside = 1,
     .some_are_lost = true,
     .preemptions = 1,
     .spurious = EXPLORE_NONE,
     .barrier = EXPLORE_MEMBARRIER,
     ENOUGH,
     .script = {"p", "w", "x"},
     .covers = {"handled"}},
    {.name = "leaving_beside_a_worker",
     .spurious = EXPLORE_NONE,
     .preemptions = 1,
     .concurrency = 1,
     .some_are_lost = true,
     .barrier = EXPLORE_MEMBARRIER,
     ENOUGH,
     .script = {"P", "w", "o"},
     .covers = {"handled", "nobody is there"}},

    /* drain */
    {.name = "a_drain_waits_for_pullers_who_then_go_home",
     .spurious = EXPLORE_NONE,
     .preemptions = 1,
     .inside = 1,
     ENOUGH,
     .script = {"c", "c", "d"},
     .covers = {"drained", "over", "a puller waited"}},
    {.name = "a_drain_waits_for_the_worker",
     .preemptions = 1,
     .concurrency = 1,
     .inside = 1,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"d", "w"},
     .covers = {"handled", "drained"}},
    {.name = "a_drain_waits_for_what_handlers_publish",
     .preemptions = 1,
     .spurious = EXPLORE_NONE,
     .concurrency = 1,
     .inside = 1,
     .relays = true,
     ENOUGH,
     .script = {"d", "w"},
     .covers = {"handled", "drained", "relayed"}},
    {.name = "a_drain_waits_for_what_handlers_publish_of_two_workers",
     .spurious = EXPLORE_NONE,
     .concurrency = 1,
     .inside = 1,
     .relays = true,
     .preemptions = 1,
     ENOUGH,
     .script = {"d", "w", "w"},
     .covers = {"handled", "drained", "relayed"}},
    {.name = "a_drain_waits_for_handlers_of_events_that_are_gone",
     .spurious = EXPLORE_NONE,
     .concurrency = 1,
     .inside = 1,
     .once = true,
     .relays = true,
     .preemptions = 1,
     ENOUGH,
     .script = {"d", "w", "w"},
     .covers = {"handled", "drained", "relayed"}},
    {.name = "a_drain_beside_an_undone_reservation",
     .preemptions = 1,
     ENOUGH,
     .script = {"u", "d", "c"},
     .covers = {"drained", "undone", "over"}},
    {.name = "nothing_is_accepted_after_a_drain",
     .preemptions = 1,
     .barrier = EXPLORE_BOTH,
     ENOUGH,
     .script = {"P", "d", "c"},
     .covers = {"drained", "closed", "over"}},
    {.name = "leaving_sends_a_waiting_puller_home",
     .some_are_lost = true,
     ENOUGH,
     .script = {"c", "O"},
     .covers = {"over"}},
    {.name = "leaving_a_group_sends_a_waiting_puller_home",
     .group = true,
     .some_are_lost = true,
     .preemptions = 1,
     ENOUGH,
     .script = {"c", "O"},
     .covers = {"over"}},
    {.name = "leaving_beside_a_publisher",
     .preemptions = 1,
     .some_are_lost = true,
     ENOUGH,
     .script = {"PP", "o"},
     .covers = {"nobody is there"}},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct wake_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .stale_reads = c->stale_reads,
                                           .spurious = c->spurious,
                                           .barrier = c->barrier,
                                           .trylock = true,
                                           .random = 4000,
                                           .executions = c->executions};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
        memcpy(shapes[i].covers, c->covers, sizeof c->covers);
    }
    return explore_main(argc, argv, shapes, count);
}
