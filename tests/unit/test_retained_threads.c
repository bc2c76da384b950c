/* SPDX-License-Identifier: MIT */
/* Newcomers while others publish what topics keep: each gets every value from the first one it sees on
 * exactly once and in order. */
#include "evb_test.h"

#include <evbus.h>
#include <string.h>

#include "base/atomic.h"
#include "queue_kit.h"

enum { VALUES = 3000 };

static EVB__ATOMIC(uint32_t) over;

/* One publisher: its values rise by one. */
static void publish_values(void)
{
    for (uint32_t value = 1; value <= VALUES; value++)
        CHECK(evb_publish(kit.bus, "config.a", &value, sizeof value,
                          &(evb_publish_opts){.flags = EVB_RETAIN}) >= 0);
    evb__st_rel(&over, 1u); /* pairs with the newcomers' load */
}

struct seen {
    uint32_t last, wrong, live;
};

static int32_t see(const evb_event *ev, void *user)
{
    struct seen *seen = user;
    uint32_t value;

    memcpy(&value, ev->data, sizeof value);
    if ((ev->flags & EVB_EVENT_RETAINED) != 0) {
        if (value <= seen->last) seen->wrong++; /* the newest at each look: some may be left out */
    } else {
        seen->live++;
        if (seen->last != 0 && value != seen->last + 1) seen->wrong++;
    }
    seen->last = value;
    return EVB_OK;
}

static void come_as_listeners(uint32_t index, void *arg)
{
    uint32_t *came = arg;

    if (index == 0) {
        publish_values();
        return;
    }
    while (evb__ld_acq(&over) == 0) { /* pairs with publish_values */
        struct seen seen = {0};
        int64_t id = ID(evb_on(kit.bus, index == 1 ? "config.*" : "config.a", see, &seen));

        for (int i = 0; i < 20; i++)
            (void)evb_listener_count(kit.bus, "config.a"); /* a while in which it is called */
        OK(evb_off_wait(kit.bus, id));
        EQ(seen.wrong, 0);
        came[index]++;
    }
}

TEST(listeners_that_come_while_values_are_kept_miss_none_and_see_none_twice_or_late)
{
    uint32_t came[3] = {0};

    evb__init(&over, 0u);
    kit_open(1);
    evb_test_run_threads(3, come_as_listeners, came);
    kit_close();
}

static void come_as_queues(uint32_t index, void *arg)
{
    (void)arg;
    if (index == 0) {
        publish_values();
        return;
    }
    while (evb__ld_acq(&over) == 0) { /* pairs with publish_values */
        struct seen seen = {0};
        const evb_event *ev;
        uint64_t delivery;
        evb_sub *sub;

        OK(evb_subscribe(kit.bus, "config.*", &(evb_sub_opts){.capacity = VALUES + 1}, &sub));
        for (int i = 0; i < 20; i++)
            (void)evb_listener_count(kit.bus, "config.a");
        while (evb_sub_next(sub, 0, &delivery, &ev) == EVB_OK) {
            (void)see(ev, &seen);
            OK(evb_ack(sub, delivery));
        }
        EQ(seen.wrong, 0);
        OK(evb_unsubscribe(sub));
    }
}

TEST(queues_that_come_while_values_are_kept_miss_none_and_see_none_twice_or_late)
{
    evb__init(&over, 0u);
    kit_open(1);
    evb_test_run_threads(3, come_as_queues, NULL);
    kit_close();
}

/* What the last publisher leaves is what everybody has in the end: a late one or one that is lost would
 * show. */
struct latest {
    uint32_t value;
};

static int32_t keep_latest(const evb_event *ev, void *user)
{
    struct latest *latest = user;

    latest->value = 0;
    if (ev->size == sizeof latest->value) memcpy(&latest->value, ev->data, sizeof latest->value);
    return EVB_OK;
}

static void set_clear_and_come(uint32_t index, void *arg)
{
    struct latest *latest = arg;

    if (index == 0) {
        for (uint32_t i = 1; i <= 7; i++)
            CHECK(evb_publish(kit.bus, "config.a", &i, i % 2 != 0 ? sizeof i : 0,
                              &(evb_publish_opts){.flags = EVB_RETAIN}) >= 0);
        CHECK(evb_publish(kit.bus, "config.a", NULL, 0, &(evb_publish_opts){.flags = EVB_RETAIN}) >= 0);
    } else {
        (void)ID(evb_on(kit.bus, index == 1 ? "config.*" : "config.a", keep_latest, &latest[index]));
    }
}

TEST(a_listener_that_comes_while_a_value_is_cleared_ends_without_it)
{
    for (int round = 0; round < 200; round++) {
        struct latest latest[3] = {{0}, {0}, {0}};

        kit_open(1);
        evb_test_run_threads(3, set_clear_and_come, latest);
        EQ(latest[1].value, 0);
        EQ(latest[2].value, 0);
        kit_close();
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_that_come_while_values_are_kept_miss_none_and_see_none_twice_or_late),
        cmocka_unit_test(queues_that_come_while_values_are_kept_miss_none_and_see_none_twice_or_late),
        cmocka_unit_test(a_listener_that_comes_while_a_value_is_cleared_ends_without_it),
    };
    return EVB_TEST_MAIN("retained_threads", tests, argc, argv);
}
