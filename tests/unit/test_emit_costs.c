/* SPDX-License-Identifier: MIT */
/* What an emit must not do, and what must not stay behind: no allocation, no clock, no lock, no name kept, no
 * empty node, no heap of garbage. */
#include "evb_test.h"

#include <evbus.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "bus/bus.h"

static evb_bus *bus;
static evb_topic *opened; /* "c.opened" */

static int32_t ignore(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

static int32_t refuse(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 0;
}

static int32_t answer_error(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return -1;
}

static int32_t emit_deeper(const evb_event *ev, void *user)
{
    (void)user;
    if (ev->size < 12) (void)evb_emit(bus, ev->topic, "nested.nested", ev->size + 1);
    return EVB_OK;
}

/* Listeners of every kind on an opened name, a literal one, and names that only wildcards know; more of the
 * last than are gathered at once. */
static void begin(void)
{
    static const char *const patterns[] = {"c.opened", "c.literal", "c.*", "c.>", "*.*"};

    OK(evb_bus_create(&(evb_bus_opts){.listener_warning = UINT32_MAX}, &bus));
    OK(evb_topic_open(bus, "c.opened", &opened));
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        for (int i = 0; i < 20; i++)
            (void)ID(evb_on(bus, patterns[p], ignore, NULL));
        (void)ID(evb_listen(bus, patterns[p], &(evb_listen_opts){.flags = EVB_MONITOR}, ignore, NULL));
        (void)ID(evb_listen(bus, patterns[p], &(evb_listen_opts){.filter = refuse}, ignore, NULL));
        (void)ID(evb_listen(bus, patterns[p], &(evb_listen_opts){.priority = 5, .owner = bus}, answer_error,
                            NULL));
    }
    (void)ID(evb_on(bus, "nest", emit_deeper, NULL));
    (void)ID(evb_on(bus, "nest.*", emit_deeper, NULL));
}

static void end(void)
{
    evb_topic_close(opened);
    evb_bus_destroy(bus);
}

static void emit_every_kind(void)
{
    CHECK(evb_topic_emit(opened, "e", 1) > 60);
    CHECK(evb_emit(bus, "c.opened", "e", 1) > 60);
    CHECK(evb_emit(bus, "c.literal", "e", 1) > 60);
    CHECK(evb_emit(bus, "c.unlisted", "e", 1) > 60);
    EQ(evb_emit(bus, "nobody", NULL, 0), 0);
    EQ(evb_emit(bus, "nest", "n", 1), 1);
    EQ(evb_emit(bus, "nest.unlisted", "n", 1), 1 + 21); /* "*.*" matches too */
    FAILS(evb_emit(bus, "in..valid", NULL, 0), EVB_EINVAL);
    FAILS(evb_emit(bus, "c.opened", NULL, 1), EVB_EINVAL);
    FAILS(evb_topic_emit(opened, "e", (size_t)-1), EVB_ETOOBIG);
}

/* ---- allocation ---- */

TEST(emits_of_every_kind_allocate_nothing)
{
    uint64_t calls;

    begin();
    emit_every_kind();
    calls = evb_test_alloc_calls();
    for (int i = 0; i < 1000; i++)
        emit_every_kind();
    EQ(evb_test_alloc_calls(), calls);
    end();
}

static void first_emit_of_a_thread(uint32_t index, void *arg)
{
    (void)index;
    (void)arg;
    emit_every_kind();
}

TEST(the_first_emits_of_a_few_threads_allocate_nothing)
{
    uint64_t calls;

    begin();
    calls = evb_test_alloc_calls();
    evb_test_run_threads(8, first_emit_of_a_thread, NULL);
    EQ(evb_test_alloc_calls(), calls);
    end();
}

/* The emit removes what has fired. */
static void onces_fire(const char *pattern, const char *name)
{
    uint64_t calls;

    begin();
    for (int i = 0; i < 100; i++) {
        (void)ID(evb_once(bus, pattern, ignore, NULL));
        (void)ID(evb_once(bus, "rare.*.x", ignore, NULL));
        (void)ID(evb_once(bus, "rare.x", ignore, NULL));
    }
    calls = evb_test_alloc_calls();
    CHECK(evb_emit(bus, name, NULL, 0) >= 100);
    EQ(evb_emit(bus, "rare.y.x", NULL, 0), 100);
    EQ(evb_emit(bus, "rare.x", NULL, 0), 120 + 1); /* and those of "*.*" but the refusing one */
    EQ(evb_test_alloc_calls(), calls);
    end();
}

TEST(an_emit_in_which_onces_fire_allocates_nothing)
{
    onces_fire("c.opened", "c.opened");
    onces_fire("c.literal", "c.literal");
    onces_fire("c.*", "c.unlisted");
    onces_fire("c.*", "c.opened");
}

/* ---- clock ---- */

static int clock_reads;

static int64_t counting_clock(void *arg)
{
    (void)arg;
    return ++clock_reads;
}

static const struct evb__clock_source counting_source = {counting_clock, counting_clock, NULL};

TEST(an_emit_reads_no_clock)
{
    begin();
    evb__clock_set(&counting_source);
    clock_reads = 0;
    for (int i = 0; i < 10; i++)
        emit_every_kind();
    (void)ID(evb_once(bus, "c.*", ignore, NULL));
    emit_every_kind();
    EQ(clock_reads, 0);
    end();
    evb__clock_set(NULL);
}

static void count_hook(const evb_hook_info *info, void *user)
{
    (void)info;
    ++*(int *)user;
}

TEST(the_error_hook_is_told_the_time_and_nothing_else_reads_it)
{
    int told = 0;

    OK(evb_bus_create(&(evb_bus_opts){.hook = count_hook, .hook_user = &told}, &bus));
    (void)ID(evb_on(bus, "a", answer_error, NULL));
    (void)ID(evb_on(bus, "a", ignore, NULL));
    evb__clock_set(&counting_source);
    clock_reads = 0;
    EQ(evb_emit(bus, "a", NULL, 0), 2);
    EQ(told, 1);
    EQ(clock_reads, 1);
    evb__clock_set(NULL);
    evb_bus_destroy(bus);
}

/* ---- locks ---- */

static struct worker {
    pthread_t thread;
    void (*fn)(void);
    EVB__ATOMIC(uint32_t) done;
    int busy; /* looks at the bus' lock that found it taken, one after the other */
} worker;

static void *work(void *arg)
{
    (void)arg;
    worker.fn();
    evb__st_rel(&worker.done, 1); /* pairs with is_done */
    return NULL;
}

static bool is_done(void *arg)
{
    (void)arg;
    return evb__ld_acq(&worker.done) != 0; /* pairs with work */
}

static void begin_work(void (*fn)(void))
{
    worker.fn = fn;
    worker.busy = 0;
    evb__st_rlx(&worker.done, 0); /* the thread does not exist yet */
    if (pthread_create(&worker.thread, NULL, work, NULL) != 0) abort();
}

static int onces_called, returned;

static int32_t count_once(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    onces_called++;
    return EVB_OK;
}

static void count_return(void *user)
{
    (void)user;
    returned++;
}

static void emit_with_onces(void)
{
    emit_every_kind();
    CHECK(evb_emit(bus, "c.unlisted", NULL, 0) > 60);
    EQ(evb_topic_emit(opened, NULL, 0), evb_topic_emit(opened, NULL, 0));
}

TEST(an_emit_in_another_thread_completes_while_the_lock_of_the_bus_is_held)
{
    bool completed;

    begin();
    onces_called = returned = 0;
    (void)ID(evb_listen(bus, "c.opened", &(evb_listen_opts){.flags = EVB_ONCE, .free_user = count_return},
                        count_once, NULL));
    (void)ID(evb_listen(bus, "c.*", &(evb_listen_opts){.flags = EVB_ONCE, .free_user = count_return},
                        count_once, NULL));
    evb__bus_lock(bus);
    begin_work(emit_with_onces);
    completed = evb_test_eventually(is_done, NULL);
    EQ(bus->listeners > 100, true);
    evb__bus_unlock(bus); /* does what the emit has left behind */
    (void)pthread_join(worker.thread, NULL);
    CHECK(completed);
    EQ(onces_called, 2);
    EQ(returned, 2);
    end();
}

/* ---- what stays behind ---- */

struct residents {
    uint32_t topics, names, nodes, tokens, index;
    int64_t bytes;
};

static struct residents residents(void)
{
    return (struct residents){bus->topics,      bus->names.live,
                              bus->trie.nodes,  evb__trie_tokens(&bus->trie),
                              bus->index.nodes, evb_test_alloc_live_bytes()};
}

TEST(names_never_seen_before_are_not_kept)
{
    struct residents before, after;
    char name[64];

    begin();
    before = residents();
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(name, sizeof name, "c.new%d", i);
        EQ(evb_emit(bus, name, NULL, 0), 3 * 21);
        (void)snprintf(name, sizeof name, "new%d", i);
        EQ(evb_emit(bus, name, NULL, 0), 0);
        EQ(evb_listener_count(bus, name), 0);
    }
    after = residents();
    EQ_MEM(&before, &after, sizeof before);
    end();
}

static void random_name(char *name, size_t cap, bool pattern)
{
    static const char *const tokens[] = {"a", "b", "c", "d", "*"};
    size_t n = 0;

    for (uint32_t i = 0, count = 1 + (uint32_t)evb__rng_below(evb_test_rng(), 5); i < count; i++)
        n += (size_t)snprintf(name + n, cap - n, "%s%s", i != 0 ? "." : "",
                              tokens[evb__rng_below(evb_test_rng(), pattern ? 5 : 4)]);
    if (pattern && evb__rng_below(evb_test_rng(), 4) == 0) (void)snprintf(name + n, cap - n, ".>");
}

TEST(everything_that_was_registered_and_opened_can_leave_without_a_trace)
{
    enum { KEPT = 300 };
    int64_t ids[KEPT] = {0};
    evb_topic *topics[KEPT] = {NULL};
    char name[64];

    OK(evb_bus_create(NULL, &bus));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10000; i++) {
            uint32_t k = (uint32_t)evb__rng_below(evb_test_rng(), KEPT);

            if (ids[k] != 0) OK(evb_off(bus, ids[k]));
            evb_topic_close(topics[k]);
            ids[k] = 0;
            topics[k] = NULL;
            random_name(name, sizeof name, i % 2 == 0);
            if (i % 3 == 0 && i % 2 != 0)
                OK(evb_topic_open(bus, name, &topics[k]));
            else
                ids[k] = ID(evb_on(bus, name, ignore, NULL));
        }
        CHECK(bus->topics > 20 && bus->trie.nodes > 20);
        for (int k = 0; k < KEPT; k++) {
            if (ids[k] != 0) OK(evb_off(bus, ids[k]));
            evb_topic_close(topics[k]);
            ids[k] = 0;
            topics[k] = NULL;
        }
        EQ(bus->listeners, 0);
        EQ(bus->topics, 0);
        EQ(bus->names.live, 0);
        EQ(bus->trie.nodes, 0);
        EQ(evb__trie_tokens(&bus->trie), 0);
        EQ(evb__index_audit(&bus->index), 0);
        CHECK(bus->index.nodes <= 1); /* the root may stay */
    }
    evb_bus_destroy(bus);
}

/* ---- limbo ---- */

static uint32_t limbo_size(void)
{
    uint32_t n = 0;

    for (uint32_t l = bus->limbo_listeners; l != 0; l = evb__listener(bus, l)->prev)
        n++;
    for (const struct evb__limbo *b = bus->limbo_blocks; b != NULL; b = b->next)
        n++;
    for (const evb_topic *t = bus->limbo_topics; t != NULL; t = t->u.next)
        n++;
    return n;
}

/* Registers and removes, and answers the most that has ever been in limbo. */
static uint32_t churn(const char *literal, const char *wildcard)
{
    uint32_t most = 0;

    for (int i = 0; i < 3000; i++) {
        int64_t a = ID(evb_on(bus, literal, ignore, NULL)), b = ID(evb_on(bus, wildcard, ignore, NULL));
        evb_topic *t;

        OK(evb_topic_open(bus, "churn.opened", &t));
        OK(evb_off(bus, a));
        OK(evb_off(bus, b));
        evb_topic_close(t);
        if (limbo_size() > most) most = limbo_size();
    }
    return most;
}

/* What is removed is freed in batches of 64 things; one removal may add a few to a full batch. */
#define LIMBO_MOST 80

TEST(what_was_removed_does_not_pile_up)
{
    OK(evb_bus_create(NULL, &bus));
    CHECK(churn("churn.x", "churn.*") <= LIMBO_MOST);
    evb_bus_destroy(bus);
}

static uint32_t most_inside;

static int32_t churn_inside(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    most_inside = churn("churn.x", "churn.*");
    return EVB_OK;
}

TEST(what_was_removed_does_not_pile_up_behind_an_emit_on_another_topic)
{
    static const char *const patterns[] = {"held", "held.*", "held.*"};
    static const char *const names[] = {"held", "held.opened", "held.unlisted"};
    evb_topic *t;

    for (int i = 0; i < 3; i++) {
        OK(evb_bus_create(NULL, &bus));
        OK(evb_topic_open(bus, "held.opened", &t));
        (void)ID(evb_on(bus, patterns[i], churn_inside, NULL));
        EQ(evb_emit(bus, names[i], NULL, 0), 1);
        if (most_inside > LIMBO_MOST)
            print_message("held \"%s\": %u things in limbo\n", names[i], most_inside);
        CHECK(most_inside <= LIMBO_MOST);
        evb_topic_close(t);
        evb_bus_destroy(bus);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(emits_of_every_kind_allocate_nothing),
        cmocka_unit_test(the_first_emits_of_a_few_threads_allocate_nothing),
        cmocka_unit_test(an_emit_in_which_onces_fire_allocates_nothing),
        cmocka_unit_test(an_emit_reads_no_clock),
        cmocka_unit_test(the_error_hook_is_told_the_time_and_nothing_else_reads_it),
        cmocka_unit_test(an_emit_in_another_thread_completes_while_the_lock_of_the_bus_is_held),
        cmocka_unit_test(names_never_seen_before_are_not_kept),
        cmocka_unit_test(everything_that_was_registered_and_opened_can_leave_without_a_trace),
        cmocka_unit_test(what_was_removed_does_not_pile_up),
        cmocka_unit_test(what_was_removed_does_not_pile_up_behind_an_emit_on_another_topic),
    };
    return EVB_TEST_MAIN("emit_costs", tests, argc, argv);
}
