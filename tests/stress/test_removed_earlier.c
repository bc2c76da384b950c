/* SPDX-License-Identifier: MIT */
/* evb_off_wait of a listener that evb_off removed before: it waits all the same, whatever has become of the record meanwhile. */
#include "evb_test.h"

#include <evbus.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/thread.h"

static struct {
    evb_bus *bus;
    evb_topic *topic;
    struct evb_test_line line;
    EVB__ATOMIC(uint32_t) inside, go;
} world;

/* Runs until it is told to go; then touches its context, which must still be there. */
static int32_t linger(const evb_event *event, void *user)
{
    (void)event;
    evb__st_rel(&world.inside, 1); /* pairs with is_inside */
    while (evb__ld_acq(&world.go) == 0) /* pairs with the release in let_go */
        evb__thread_yield();
    ++*(int *)user;
    return EVB_OK;
}

static int32_t nothing(const evb_event *event, void *user)
{
    (void)event;
    (void)user;
    return EVB_OK;
}

static void give_back(void *user)
{
    (void)user;
}

static bool is_inside(void *arg)
{
    (void)arg;
    return evb__ld_acq(&world.inside) != 0; /* pairs with linger */
}

static void *emitter(void *arg)
{
    (void)arg;
    EQ(evb_topic_emit(world.topic, NULL, 0), 1);
    return NULL;
}

/* Lets the listener go while the main thread waits, or is about to. */
static void *let_go(void *arg)
{
    (void)arg;
    evb_test_line_wait(&world.line);
    for (int i = 0; i < 1000; i++)
        evb__thread_yield();
    evb__st_rel(&world.go, 1); /* pairs with linger */
    return NULL;
}

static void waits_for(const char *pattern)
{
    pthread_t emitting, opening;
    int *context = calloc(1, sizeof *context);
    int64_t id, other;

    CHECK(context != NULL);
    evb__init(&world.inside, 0);
    evb__init(&world.go, 0);
    evb_test_line_init(&world.line, 2);
    OK(evb_bus_create(NULL, &world.bus));
    OK(evb_topic_open(world.bus, "a.b", &world.topic));
    id = ID(evb_on(world.bus, pattern, linger, context));
    CHECK(pthread_create(&emitting, NULL, emitter, NULL) == 0);
    CHECK(pthread_create(&opening, NULL, let_go, NULL) == 0);
    CHECK(evb_test_eventually(is_inside, NULL));
    OK(evb_off(world.bus, id));
    other = ID(evb_listen(world.bus, "z", &(evb_listen_opts){.free_user = give_back}, nothing, NULL));
    OK(evb_off(world.bus, other)); /* the records of all that nobody holds are freed */
    evb_test_line_wait(&world.line);
    FAILS(evb_off_wait(world.bus, id), EVB_ENOTFOUND);
    EQ(*context, 1);
    free(context);
    (void)pthread_join(emitting, NULL);
    (void)pthread_join(opening, NULL);
    evb_topic_close(world.topic);
    evb_bus_destroy(world.bus);
    evb_test_line_destroy(&world.line);
}

TEST(off_wait_waits_for_a_wildcard_that_off_had_removed_while_it_ran)
{
    waits_for("a.*");
}

TEST(off_wait_waits_for_a_literal_that_off_had_removed_while_it_ran)
{
    waits_for("a.b");
}

TEST(off_wait_of_an_id_that_was_never_issued_waits_for_nobody)
{
    OK(evb_bus_create(NULL, &world.bus));
    FAILS(evb_off_wait(world.bus, ((int64_t)7 << 22) | 99), EVB_ENOTFOUND);
    evb_bus_destroy(world.bus);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_wait_waits_for_a_wildcard_that_off_had_removed_while_it_ran),
        cmocka_unit_test(off_wait_waits_for_a_literal_that_off_had_removed_while_it_ran),
        cmocka_unit_test(off_wait_of_an_id_that_was_never_issued_waits_for_nobody),
    };
    return EVB_TEST_MAIN("removed_earlier", tests, argc, argv);
}
