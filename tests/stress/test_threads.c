/* SPDX-License-Identifier: MIT */
/* The bus under several threads: what each call promises to the others, and a mix of everything at once.
 *
 * Two kinds of tests. Those about one promise stop threads inside callbacks, so that the order of things is
 * the same each time; no thread sleeps, what has not happened yet is polled for. Those about everything let
 * threads run for a bounded number of turns, with contexts that are poisoned and freed the moment the bus
 * gives them back: a call that comes too late meets the poison, or the sanitizer.
 */
#include "evb_test.h"

#include <evbus.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "bus/bus.h"

enum { BY_HANDLE, BY_NAME, BY_UNLISTED_NAME, WAYS };
#define EACH_WAY for (int way = 0; way < WAYS; way++)

static evb_bus *bus;
static evb_topic *topic;
static int current_way;

/* The three ways to the same listeners: "t.x" is opened, named by a literal listener, or known to wildcards
 * only. */
static const char *pattern_of(int way)
{
    return way == BY_UNLISTED_NAME ? "t.*" : "t.x";
}

static void begin(int way)
{
    current_way = way;
    topic = NULL;
    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = UINT32_MAX}, &bus));
    if (way == BY_HANDLE) OK(evb_topic_open(bus, "t.x", &topic));
}

static void end(void)
{
    evb_topic_close(topic);
    evb_bus_destroy(bus);
}

static int32_t emit(void)
{
    return current_way == BY_HANDLE ? evb_topic_emit(topic, "e", 1) : evb_emit(bus, "t.x", "e", 1);
}

static int32_t ignore(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

/* ---- a place inside a callback where a thread can be held ---- */

struct gate {
    EVB__ATOMIC(uint32_t) inside, open, left;
};

static int32_t pass_gate(const evb_event *ev, void *user)
{
    struct gate *g = user;

    (void)ev;
    (void)evb__add_acqrel(&g->inside, 1); /* pairs with is_inside */
    while (evb__ld_acq(&g->open) == 0)    /* pairs with open_gate */
        evb__thread_yield();
    (void)evb__add_acqrel(&g->left, 1); /* pairs with the checks of the tests */
    return EVB_OK;
}

static void open_gate(struct gate *g)
{
    evb__st_rel(&g->open, 1); /* pairs with pass_gate */
}

static bool is_inside(void *gate)
{
    return evb__ld_acq(&((struct gate *)gate)->inside) != 0; /* pairs with pass_gate */
}

static bool is_set(void *flag)
{
    return evb__ld_acq((EVB__ATOMIC(uint32_t) *)flag) !=
           0; /* pairs with the store of the thread that tells */
}

/* ---- a thread with one thing to do ---- */

struct job {
    pthread_t thread;
    void (*fn)(struct job *job);
    const char *name; /* of a topic */
    int64_t id;
    int64_t answer;
    EVB__ATOMIC(uint32_t) done;
};

static void *job_main(void *arg)
{
    struct job *job = arg;

    job->fn(job);
    evb__st_rel(&job->done, 1); /* pairs with is_set */
    return NULL;
}

static void start(struct job *job)
{
    if (pthread_create(&job->thread, NULL, job_main, job) != 0) abort();
}

static void join(struct job *job)
{
    (void)pthread_join(job->thread, NULL);
}

static void job_emit(struct job *job)
{
    job->answer = job->name != NULL ? evb_emit(bus, job->name, "e", 1) : emit();
}

static void job_off_wait(struct job *job)
{
    job->answer = evb_off_wait(bus, job->id);
}

static bool somebody_waits(void)
{
    bool waits;

    evb__bus_lock(bus);
    waits =
        bus->waiters != 0; /* the lock was given away in between: his first look found an emit in the way */
    evb__bus_unlock(bus);
    return waits;
}

static bool waits_or_is_done(void *arg)
{
    return is_set(&((struct job *)arg)->done) || somebody_waits();
}

/* ---- names that come and go ---- */

enum { TURNS = EVB__TSAN ? 30000 : 400000, CHANGERS = 2, HEARERS = 2 };

struct coming {
    EVB__ATOMIC(uint32_t) done, missed;
    int how;
};

static void come_and_go(uint32_t index, void *arg)
{
    struct coming *c = arg;

    if (index < HEARERS) {
        for (int i = 0; i < TURNS; i++)
            if (evb_emit(bus, "t.x", NULL, 0) < 1)
                (void)evb__add_rlx(&c->missed, 1); /* read after the join */
        (void)evb__add_rel(&c->done, 1);           /* pairs with the load below */
        return;
    }
    while (evb__ld_acq(&c->done) != HEARERS) { /* pairs with the add above */
        if (c->how == 0) {
            evb_topic *t;

            OK(evb_topic_open(bus, "t.x", &t));
            evb_topic_close(t);
        } else {
            OK(evb_off(bus, ID(evb_on(bus, "t.x", ignore, NULL))));
        }
    }
}

static void wildcards_hear_all(int how)
{
    struct coming c = {.how = how};

    begin(BY_UNLISTED_NAME);
    (void)ID(evb_on(bus, "t.*", ignore, NULL));
    evb_test_run_threads(HEARERS + CHANGERS, come_and_go, &c);
    EQ(evb__ld_rlx(&c.missed), 0);
    end();
}

TEST(a_wildcard_hears_every_emit_while_another_thread_opens_and_closes_the_topic)
{
    wildcards_hear_all(0);
}

TEST(a_wildcard_hears_every_emit_while_another_thread_adds_and_removes_a_literal_listener)
{
    wildcards_hear_all(1);
}

/* ---- off_wait waits for what it must ---- */

TEST(off_wait_returns_when_the_listener_has_returned_in_the_other_thread)
{
    EACH_WAY
    {
        struct gate g = {0};
        struct job emitter = {.fn = job_emit}, waiter = {.fn = job_off_wait};

        begin(way);
        waiter.id = ID(evb_on(bus, pattern_of(way), pass_gate, &g));
        start(&emitter);
        CHECK(evb_test_eventually(is_inside, &g));
        start(&waiter);
        CHECK(evb_test_eventually(waits_or_is_done, &waiter));
        CHECK(!is_set(&waiter.done)); /* the listener is still running */
        open_gate(&g);
        join(&waiter);
        EQ(waiter.answer, EVB_OK);
        join(&emitter);
        EQ(emitter.answer, 1);
        end();
    }
}

TEST(off_wait_of_a_listener_removed_before_waits_for_the_call_that_still_runs)
{
    EACH_WAY
    {
        struct gate g = {0};
        struct job emitter = {.fn = job_emit}, waiter = {.fn = job_off_wait};

        begin(way);
        waiter.id = ID(evb_on(bus, pattern_of(way), pass_gate, &g));
        start(&emitter);
        CHECK(evb_test_eventually(is_inside, &g));
        OK(evb_off(bus, waiter.id));
        start(&waiter);
        CHECK(evb_test_eventually(waits_or_is_done, &waiter));
        CHECK(!is_set(&waiter.done));
        open_gate(&g);
        join(&waiter);
        EQ(waiter.answer, EVB_ENOTFOUND);
        join(&emitter);
        end();
    }
}

TEST(off_wait_of_a_once_waits_for_its_call)
{
    EACH_WAY
    {
        struct gate g = {0};
        struct job emitter = {.fn = job_emit}, waiter = {.fn = job_off_wait};

        begin(way);
        waiter.id = ID(evb_once(bus, pattern_of(way), pass_gate, &g));
        start(&emitter);
        CHECK(evb_test_eventually(is_inside, &g));
        start(&waiter);
        CHECK(evb_test_eventually(waits_or_is_done, &waiter));
        CHECK(!is_set(&waiter.done));
        open_gate(&g);
        join(&waiter);
        EQ(waiter.answer, EVB_ENOTFOUND); /* it had fired */
        join(&emitter);
        end();
    }
}

/* ---- off_wait and free_user ---- */

struct slow_free {
    struct gate gate; /* first: what the listener gets */
    EVB__ATOMIC(uint32_t) returned, freed, too_early;
};

/* Gives off_wait every chance to return before us. */
static void free_slowly(void *user)
{
    struct slow_free *s = user;

    for (int i = 0; i < 3000 && evb__ld_acq(&s->returned) == 0; i++) /* pairs with job_off_wait_and_tell */
        evb__thread_yield();
    if (evb__ld_acq(&s->returned) != 0) evb__st_rlx(&s->too_early, 1); /* as above; read after the join */
    evb__st_rel(&s->freed, 1);                                         /* pairs with the test's check */
}

static struct slow_free *slow;

static void job_off_wait_and_tell(struct job *job)
{
    job->answer = evb_off_wait(bus, job->id);
    evb__st_rel(&slow->returned, 1); /* pairs with free_slowly */
}

TEST(off_wait_returns_after_free_user_has_run_in_whatever_thread)
{
    EACH_WAY
    {
        struct slow_free s = {0};
        struct job emitter = {.fn = job_emit}, waiter = {.fn = job_off_wait_and_tell};

        slow = &s;
        begin(way);
        waiter.id =
            ID(evb_listen(bus, pattern_of(way), &(evb_listen_opts){.free_user = free_slowly}, pass_gate, &s));
        start(&emitter);
        CHECK(evb_test_eventually(is_inside, &s.gate));
        start(&waiter);
        CHECK(evb_test_eventually(waits_or_is_done, &waiter));
        open_gate(&s.gate);
        join(&waiter);
        join(&emitter);
        end();
        EQ(waiter.answer, EVB_OK);
        EQ(evb__ld_acq(&s.freed), 1); /* pairs with free_slowly */
        EQ(evb__ld_rlx(&s.too_early), 0);
    }
}

/* ---- off_wait waits for nobody else ---- */

/* With emit() held inside a listener, off_wait of another one must come back. */
static void is_not_held_up(int64_t id, struct gate *g)
{
    struct job emitter = {.fn = job_emit}, waiter = {.fn = job_off_wait, .id = id};
    bool held_up;

    start(&emitter);
    CHECK(evb_test_eventually(is_inside, g));
    start(&waiter);
    CHECK(evb_test_eventually(waits_or_is_done, &waiter));
    held_up = !is_set(&waiter.done) && somebody_waits();
    open_gate(g);
    join(&waiter);
    join(&emitter);
    EQ(waiter.answer, EVB_OK);
    CHECK(!held_up);
}

static void unrelated(int way, const char *pattern, const evb_listen_opts *opts)
{
    struct gate g = {0};

    begin(way);
    (void)ID(evb_on(bus, pattern_of(way), pass_gate, &g));
    is_not_held_up(ID(evb_listen(bus, pattern, opts, ignore, NULL)), &g);
    end();
}

static void no_free(void *user)
{
    (void)user;
}

TEST(off_wait_of_a_literal_on_another_topic_is_not_held_up)
{
    EACH_WAY
    {
        unrelated(way, "other", NULL);
        unrelated(way, "other", &(evb_listen_opts){.free_user = no_free});
    }
}

TEST(off_wait_of_a_wildcard_that_does_not_match_is_not_held_up)
{
    EACH_WAY
    {
        unrelated(way, "other.*", NULL);
        unrelated(way, "other.>", &(evb_listen_opts){.free_user = no_free});
    }
}

/* Which listeners an emit on an unlisted name holds is remembered in 32 bits: a number beyond that shares its
 * bit with another. */
TEST(off_wait_among_many_listeners_is_not_held_up_by_an_emit_that_does_not_see_it)
{
    struct gate g;
    int64_t other[70];

    for (uint32_t k = 0; k < 70; k++) {
        g = (struct gate){0};
        begin(BY_UNLISTED_NAME);
        (void)ID(evb_on(bus, "t.*", pass_gate, &g));
        for (uint32_t i = 0; i < 70; i++)
            other[i] = ID(evb_on(bus, i % 2 != 0 ? "other.*" : "other", ignore, NULL));
        is_not_held_up(other[k], &g);
        end();
    }
}

/* More listeners than an emit on an unlisted name gathers at once. */
TEST(off_wait_is_not_held_up_by_an_emit_with_many_wildcard_listeners)
{
    struct gate g = {0};

    begin(BY_UNLISTED_NAME);
    (void)ID(evb_on(bus, "t.*", pass_gate, &g));
    for (uint32_t i = 0; i < 100; i++)
        (void)ID(evb_on(bus, "t.*", ignore, NULL));
    is_not_held_up(ID(evb_on(bus, "other", ignore, NULL)), &g);
    end();
}

TEST(off_wait_is_not_held_up_by_a_busy_topic_whose_emits_began_later)
{
    EACH_WAY
    {
        struct gate first = {0}, later = {0};
        struct job emitter = {.fn = job_emit}, waiter = {.fn = job_off_wait}, busy = {.fn = job_emit};

        begin(way);
        waiter.id = ID(evb_on(bus, pattern_of(way), pass_gate, &first));
        start(&emitter);
        CHECK(evb_test_eventually(is_inside, &first));
        start(&waiter);
        CHECK(evb_test_eventually(waits_or_is_done, &waiter));
        (void)ID(evb_on(bus, pattern_of(way), pass_gate, &later));
        start(&busy); /* the removed one is not called, the new one holds the emit */
        CHECK(evb_test_eventually(is_inside, &later));
        open_gate(&first);
        join(&waiter);                   /* with the later emit still inside */
        EQ(evb__ld_acq(&later.left), 0); /* pairs with pass_gate */
        open_gate(&later);
        join(&emitter);
        join(&busy);
        end();
    }
}

/* ---- free_user ---- */

static EVB__ATOMIC(uint32_t) given_back;

static void count_back(void *user)
{
    (void)user;
    (void)evb__add_acqrel(&given_back, 1); /* pairs with back */
}

static uint32_t back(void)
{
    return evb__ld_acq(&given_back); /* pairs with count_back */
}

TEST(free_user_runs_when_the_emit_that_could_see_the_listener_leaves_while_a_later_one_stays)
{
    EACH_WAY
    {
        struct gate first = {0}, later = {0};
        struct job emitter = {.fn = job_emit}, busy = {.fn = job_emit};
        int64_t id;

        evb__st_rlx(&given_back, 0); /* no other thread yet */
        begin(way);
        id = ID(
            evb_listen(bus, pattern_of(way), &(evb_listen_opts){.free_user = count_back}, pass_gate, &first));
        start(&emitter);
        CHECK(evb_test_eventually(is_inside, &first));
        OK(evb_off(bus, id));
        EQ(back(), 0);
        (void)ID(evb_on(bus, pattern_of(way), pass_gate, &later));
        start(&busy);
        CHECK(evb_test_eventually(is_inside, &later));
        EQ(back(), 0);
        open_gate(&first);
        join(&emitter);
        EQ(back(), 1);                   /* by the emitter itself as it left: nobody else has done anything */
        EQ(evb__ld_acq(&later.left), 0); /* pairs with pass_gate */
        open_gate(&later);
        join(&busy);
        end();
        EQ(back(), 1);
    }
}

TEST(free_user_waits_for_every_emit_that_can_see_the_listener)
{
    EACH_WAY
    {
        struct gate g[3] = {{0}};
        struct job emitter[3];
        int64_t id;

        evb__st_rlx(&given_back, 0); /* no other thread yet */
        begin(way);
        for (int i = 0; i < 3; i++) { /* each emit is held by a listener of its own, which fires once */
            (void)ID(evb_once(bus, pattern_of(way), pass_gate, &g[i]));
            emitter[i] = (struct job){.fn = job_emit};
            if (i == 0)
                id = ID(evb_listen(bus, pattern_of(way), &(evb_listen_opts){.free_user = count_back}, ignore,
                                   NULL));
            start(&emitter[i]);
            CHECK(evb_test_eventually(is_inside, &g[i]));
        }
        OK(evb_off(bus, id));
        for (int i = 0; i < 3; i++) {
            EQ(back(), 0);
            open_gate(&g[2 - i]);
            join(&emitter[2 - i]);
        }
        EQ(back(), 1);
        end();
    }
}

/* ---- once ---- */

struct onces {
    struct evb_test_line line;
    EVB__ATOMIC(uint32_t) calls, counted;
};

enum { ONCE_ROUNDS = 300, ONCE_THREADS = 4 };

static int32_t call_once(const evb_event *ev, void *user)
{
    (void)ev;
    (void)evb__add_rlx(&((struct onces *)user)->calls, 1); /* read behind the line */
    return EVB_OK;
}

static void race_for_once(uint32_t index, void *arg)
{
    struct onces *o = arg;

    for (int i = 0; i < ONCE_ROUNDS; i++) {
        if (index == 0) {
            evb__st_rlx(&o->calls, 0); /* the others are behind the line */
            evb__st_rlx(&o->counted, 0);
            (void)ID(
                evb_listen(bus, pattern_of(current_way),
                           &(evb_listen_opts){.flags = EVB_ONCE, .free_user = i % 2 != 0 ? count_back : NULL},
                           call_once, o));
        }
        evb_test_line_wait(&o->line);
        (void)evb__add_rlx(&o->counted, (uint32_t)emit()); /* read behind the line */
        evb_test_line_wait(&o->line);
        if (index == 0) {
            EQ(evb__ld_rlx(&o->calls), 1); /* the line orders it */
            EQ(evb__ld_rlx(&o->counted), 1);
        }
        evb_test_line_wait(&o->line);
    }
}

TEST(of_emits_on_several_threads_exactly_one_calls_a_once)
{
    EACH_WAY
    {
        struct onces o;

        evb__st_rlx(&given_back, 0); /* no other thread yet */
        evb_test_line_init(&o.line, ONCE_THREADS);
        begin(way);
        evb_test_run_threads(ONCE_THREADS, race_for_once, &o);
        end();
        evb_test_line_destroy(&o.line);
        EQ(back(), ONCE_ROUNDS / 2);
    }
}

/* ---- nesting ---- */

struct digger {
    struct gate gate;
    int depth, at;
};

/* Emits into itself; the innermost call stops at the gate. */
static int32_t dig(const evb_event *ev, void *user)
{
    struct digger *d = user;

    if (++d->at < d->depth)
        (void)emit();
    else
        (void)pass_gate(ev, &d->gate);
    return EVB_OK;
}

TEST(off_wait_waits_for_emits_nested_deeper_than_eight)
{
    static const int depths[] = {1, 7, 8, 9, 10, 40, 64};

    EACH_WAY for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
    {
        struct digger d = {.depth = depths[i]};
        struct job emitter = {.fn = job_emit}, waiter = {.fn = job_off_wait};

        evb__st_rlx(&given_back, 0); /* no other thread yet */
        begin(way);
        waiter.id =
            ID(evb_listen(bus, pattern_of(way), &(evb_listen_opts){.free_user = count_back}, dig, &d));
        start(&emitter);
        CHECK(evb_test_eventually(is_inside, &d.gate));
        start(&waiter);
        CHECK(evb_test_eventually(waits_or_is_done, &waiter));
        CHECK(!is_set(&waiter.done));
        EQ(back(), 0);
        open_gate(&d.gate);
        join(&waiter);
        EQ(waiter.answer, EVB_OK);
        join(&emitter);
        EQ(back(), 1);
        end();
    }
}

/* ---- destroy ---- */

static void job_destroy(struct job *job)
{
    (void)job;
    evb_bus_destroy(bus);
}

TEST(destroy_waits_for_the_callbacks_of_other_threads)
{
    EACH_WAY
    {
        struct gate g = {0};
        struct job emitter[2] = {{.fn = job_emit}, {.fn = job_emit}}, destroyer = {.fn = job_destroy};

        evb__st_rlx(&given_back, 0); /* no other thread yet */
        begin(way);
        (void)ID(
            evb_listen(bus, pattern_of(way), &(evb_listen_opts){.free_user = count_back}, pass_gate, &g));
        (void)ID(evb_listen(bus, "t.>", &(evb_listen_opts){.free_user = count_back}, ignore, &g));
        for (int i = 0; i < 2; i++)
            start(&emitter[i]);
        while (evb__ld_acq(&g.inside) != 2) /* pairs with pass_gate */
            evb__thread_yield();
        start(&destroyer);
        CHECK(evb_test_eventually(waits_or_is_done, &destroyer));
        CHECK(!is_set(&destroyer.done));
        if (way == BY_HANDLE) FAILS(evb_topic_emit(topic, NULL, 0), EVB_ECLOSED);
        open_gate(&g);
        join(&destroyer);
        EQ(evb__ld_acq(&g.left), 2); /* pairs with pass_gate */
        EQ(back(), 2);
        for (int i = 0; i < 2; i++) {
            join(&emitter[i]);
            EQ(emitter[i].answer, 1); /* the second listener was removed before its turn */
        }
        evb_topic_close(topic);
    }
}

/* ---- threads that end inside a callback ---- */

static int32_t leave_thread(const evb_event *ev, void *user)
{
    struct digger *d = user;

    (void)ev;
    if (++d->at < d->depth) (void)emit();
    pthread_exit(NULL);
    return EVB_OK;
}

static void *emit_and_never_return(void *arg)
{
    (void)arg;
    (void)emit();
    return arg;
}

static void end_a_thread_inside(struct digger *d)
{
    pthread_t thread;

    d->at = 0;
    if (pthread_create(&thread, NULL, emit_and_never_return, NULL) != 0) abort();
    (void)pthread_join(thread, NULL);
}

TEST(nobody_waits_for_a_thread_that_ended_inside_a_callback)
{
    static const int depths[] = {1, 3, 12};

    EACH_WAY for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
    {
        struct digger d = {.depth = depths[i]};
        int64_t id;

        evb__st_rlx(&given_back, 0); /* no other thread yet */
        begin(way);
        id = ID(
            evb_listen(bus, pattern_of(way), &(evb_listen_opts){.free_user = count_back}, leave_thread, &d));
        end_a_thread_inside(&d);
        end_a_thread_inside(&d);
        OK(evb_off_wait(bus, id));
        EQ(back(), 1);
        (void)ID(evb_on(bus, pattern_of(way), leave_thread, &d));
        end_a_thread_inside(&d);
        end(); /* destroy does not wait either */
    }
}

static int32_t leave_thread_when_removed(const evb_event *ev, void *user)
{
    (void)pass_gate(ev, user);
    pthread_exit(NULL);
    return EVB_OK;
}

/* The thread takes a mark with it: its end has to do what its emit would have done. */
TEST(a_thread_that_ends_inside_a_callback_gives_back_what_was_removed_meanwhile)
{
    EACH_WAY
    {
        struct gate g = {0};
        pthread_t thread;
        int64_t id;

        evb__st_rlx(&given_back, 0); /* no other thread yet */
        begin(way);
        id = ID(evb_listen(bus, pattern_of(way), &(evb_listen_opts){.free_user = count_back},
                           leave_thread_when_removed, &g));
        if (pthread_create(&thread, NULL, emit_and_never_return, NULL) != 0) abort();
        CHECK(evb_test_eventually(is_inside, &g));
        OK(evb_off(bus, id));
        EQ(back(), 0);
        open_gate(&g);
        (void)pthread_join(thread, NULL);
        EQ(back(), 1);
        end();
    }
}

/* ---- more threads than slots ---- */

enum { CROWD = 80 };

struct crowd {
    struct evb_test_line line;
    EVB__ATOMIC(uint32_t) calls;
};

static int32_t meet(const evb_event *ev, void *user)
{
    struct crowd *c = user;

    (void)ev;
    evb_test_line_wait(&c->line);     /* all of them are inside an emit now */
    (void)evb__add_rlx(&c->calls, 1); /* read after the join */
    return EVB_OK;
}

static void emit_in_a_crowd(uint32_t index, void *arg)
{
    (void)index;
    (void)arg;
    EQ(emit(), 1);
    EQ(emit(), 1);
}

TEST(more_than_64_threads_emit_at_once)
{
    int64_t blocks = evb_test_alloc_live();

    EACH_WAY
    {
        struct crowd c = {0};

        evb_test_line_init(&c.line, CROWD);
        begin(way);
        (void)ID(evb_on(bus, pattern_of(way), meet, &c));
        evb_test_run_threads(CROWD, emit_in_a_crowd, NULL);
        EQ(evb__ld_rlx(&c.calls), 2 * CROWD);
        end();
        evb_test_line_destroy(&c.line);
    }
    blocks = evb_test_alloc_live() - blocks;
    CHECK(blocks >= 1 &&
          blocks <= 16); /* a chunk of slots for the 65th thread; several when threads race for it */
    evb_test_alloc_expect_kept(blocks);
}

/* ---- everything at once ---- */

#define ALIVE UINT32_C(0xa11fe)
enum { MIX_TURNS = 1500, MIX_EMITTERS = 2, MIX_CHANGERS = 2 };

/* A context that must not be touched once it was given back. */
struct context {
    uint32_t alive;
    EVB__ATOMIC(uint32_t) inside;
};

static struct {
    EVB__ATOMIC(uint32_t) stop, made, freed, nested;
} mix;

static struct context *make_context(void)
{
    struct context *c = malloc(sizeof *c);

    c->alive = ALIVE;
    evb__init(&c->inside, 0);
    (void)evb__add_rlx(&mix.made, 1); /* a counter */
    return c;
}

static void free_context(void *user)
{
    struct context *c = user;

    EQ(c->alive, ALIVE);
    EQ(evb__ld_acq(&c->inside), 0); /* pairs with use_context: nobody is in */
    c->alive = 0;
    free(c);
    (void)evb__add_rlx(&mix.freed, 1); /* a counter */
}

static int32_t use_context(const evb_event *ev, void *user)
{
    struct context *c = user;

    (void)evb__add_acqrel(&c->inside, 1); /* pairs with free_context */
    EQ(c->alive, ALIVE);
    /* Some calls emit again, at most three deep. */
    if (ev->size < 3 && (evb__add_rlx(&mix.nested, 1) & 7) == 0)
        (void)evb_emit(bus, "t.y", "nest", ev->size + 1);
    evb__thread_yield();
    (void)evb__add_acqrel(&c->inside, (uint32_t)-1); /* pairs with free_context */
    return EVB_OK;
}

static void mix_emitter(uint32_t index, struct evb__rng *rng)
{
    static const char *const names[] = {"t.x", "t.y", "t.z", "u", "t.x.y"};
    evb_topic *t = NULL;

    while (evb__ld_acq(&mix.stop) < MIX_CHANGERS) { /* pairs with mix_changer's end */
        uint32_t what = (uint32_t)evb__rng_below(rng, 8);

        CHECK(evb_emit(bus, names[evb__rng_below(rng, 5)], "e", 1) >= 0);
        if (t != NULL) CHECK(evb_topic_emit(t, "e", 1) >= 0);
        if (what == 0 && t == NULL) OK(evb_topic_open(bus, names[evb__rng_below(rng, 5)], &t));
        if (what == 1) {
            evb_topic_close(t);
            t = NULL;
        }
    }
    (void)index;
    evb_topic_close(t);
}

static void mix_changer(struct evb__rng *rng)
{
    static const char *const patterns[] = {"t.x", "t.y", "t.*", ">", "u", "t.>", "t.*.y"};
    enum { KEEP = 12 };
    struct {
        int64_t id;
        struct context *own; /* not given to free_user: ours after off_wait */
    } kept[KEEP] = {{0}};

    for (int i = 0; i < MIX_TURNS; i++) {
        uint32_t k = (uint32_t)evb__rng_below(rng, KEEP), flags = evb__rng_below(rng, 3) == 0 ? EVB_ONCE : 0;
        const char *pattern = patterns[evb__rng_below(rng, 7)];

        if (kept[k].own != NULL) {
            int32_t status = evb_off_wait(bus, kept[k].id);

            CHECK(status == EVB_OK || status == EVB_ENOTFOUND); /* a once may have fired */
            free_context(kept[k].own);
        } else if (kept[k].id != 0) {
            (void)(evb__rng_below(rng, 2) == 0 ? evb_off(bus, kept[k].id) : evb_off_wait(bus, kept[k].id));
        }
        if (evb__rng_below(rng, 40) == 0) CHECK(evb_off_all(bus, "u") >= 0);
        if (evb__rng_below(rng, 40) == 0) CHECK(evb_listener_count(bus, "t.y") >= 0);
        kept[k].own = NULL;
        if (evb__rng_below(rng, 2) == 0 && pattern[0] != 'u') { /* nobody but us removes it */
            kept[k].own = make_context();
            kept[k].id =
                ID(evb_listen(bus, pattern, &(evb_listen_opts){.flags = flags}, use_context, kept[k].own));
        } else {
            evb_listen_opts o = {
                .flags = flags, .free_user = free_context, .priority = (int32_t)evb__rng_below(rng, 3) - 1};

            kept[k].id = ID(evb_listen(bus, pattern, &o, use_context, make_context()));
        }
    }
    for (uint32_t k = 0; k < KEEP; k++) {
        if (kept[k].own == NULL) continue;
        (void)evb_off_wait(bus, kept[k].id);
        free_context(kept[k].own);
    }
    (void)evb__add_rel(&mix.stop, 1); /* pairs with mix_emitter */
}

static void mix_main(uint32_t index, void *arg)
{
    struct evb__rng rng;

    (void)arg;
    evb__rng_init(&rng, evb_test_seed() + index);
    if (index < MIX_EMITTERS)
        mix_emitter(index, &rng);
    else
        mix_changer(&rng);
}

TEST(emits_and_changes_of_all_kinds_at_once_meet_no_dead_context)
{
    memset(&mix, 0, sizeof mix);
    begin(BY_NAME);
    evb_test_run_threads(MIX_EMITTERS + MIX_CHANGERS, mix_main, NULL);
    end();
    EQ(evb__ld_rlx(&mix.made), evb__ld_rlx(&mix.freed)); /* every thread has been joined */
    printf("%u contexts, seed 0x%llx\n", evb__ld_rlx(&mix.made),
           (unsigned long long)evb_test_seed()); /* as above */
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wildcard_hears_every_emit_while_another_thread_opens_and_closes_the_topic),
        cmocka_unit_test(
            a_wildcard_hears_every_emit_while_another_thread_adds_and_removes_a_literal_listener),
        cmocka_unit_test(off_wait_returns_when_the_listener_has_returned_in_the_other_thread),
        cmocka_unit_test(off_wait_of_a_listener_removed_before_waits_for_the_call_that_still_runs),
        cmocka_unit_test(off_wait_of_a_once_waits_for_its_call),
        cmocka_unit_test(off_wait_returns_after_free_user_has_run_in_whatever_thread),
        cmocka_unit_test(off_wait_of_a_literal_on_another_topic_is_not_held_up),
        cmocka_unit_test(off_wait_of_a_wildcard_that_does_not_match_is_not_held_up),
        cmocka_unit_test(off_wait_among_many_listeners_is_not_held_up_by_an_emit_that_does_not_see_it),
        cmocka_unit_test(off_wait_is_not_held_up_by_an_emit_with_many_wildcard_listeners),
        cmocka_unit_test(off_wait_is_not_held_up_by_a_busy_topic_whose_emits_began_later),
        cmocka_unit_test(
            free_user_runs_when_the_emit_that_could_see_the_listener_leaves_while_a_later_one_stays),
        cmocka_unit_test(free_user_waits_for_every_emit_that_can_see_the_listener),
        cmocka_unit_test(of_emits_on_several_threads_exactly_one_calls_a_once),
        cmocka_unit_test(off_wait_waits_for_emits_nested_deeper_than_eight),
        cmocka_unit_test(destroy_waits_for_the_callbacks_of_other_threads),
        cmocka_unit_test(nobody_waits_for_a_thread_that_ended_inside_a_callback),
        cmocka_unit_test(a_thread_that_ends_inside_a_callback_gives_back_what_was_removed_meanwhile),
        cmocka_unit_test(more_than_64_threads_emit_at_once),
        cmocka_unit_test(emits_and_changes_of_all_kinds_at_once_meet_no_dead_context),
    };
    return EVB_TEST_MAIN("threads", tests, argc, argv);
}
