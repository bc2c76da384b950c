/* SPDX-License-Identifier: MIT */
/* Requests after fork: the child can neither ask nor reply, and the parent notices nothing. */
#include "request_kit.h"

static int try_in_the_child(void *arg)
{
    const evb_event *again;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        request_fails("q", "x", EVB_FOREVER, EVB_EFORKED);
        request_fails("nobody", "x", EVB_FOREVER, EVB_EFORKED);
        FAILS(evb_reply(kept(), "child", 5), EVB_EFORKED);
    }
    CHECK(kit_is(kept(), "waits")); /* its copy of the memory */
    again = evb_event_retain(kept());
    EQ_PTR(again, kept());
    evb_event_release(again);
    evb_bus_destroy(kit.bus); /* left alone */
    FAILS(evb_reply(kept(), "child", 5), EVB_EFORKED);
    drop_kept();
    return 0;
}

TEST(in_a_child_requests_and_replies_are_refused_and_the_parent_goes_on)
{
    struct asked a;

    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    asked_begin(&a, "q", "waits", EVB_FOREVER);
    EQ(evb_test_in_child(try_in_the_child, NULL), 0);
    CHECK(!sleeper_is_over(&a.sleeper));
    OK(evb_reply(kept(), "parent", 6));
    asked_ends(&a, EVB_OK, "parent");
    drop_kept();
    kit_close();
}

static int reply_to_an_old_one(void *arg)
{
    (void)arg;
    FAILS(evb_reply(kept(), "child", 5), EVB_EFORKED);
    drop_kept(); /* the last that kept the memory of the bus */
    return 0;
}

TEST(in_a_child_a_request_of_a_bus_that_had_ended_is_refused_and_can_be_released)
{
    kit_open(1);
    ID(evb_on(kit.bus, "q", keep_it, NULL));
    request_fails("q", "x", MS, EVB_ETIMEDOUT);
    kit_close();
    EQ(evb_test_in_child(reply_to_an_old_one, NULL), 0);
    FAILS(evb_reply(kept(), "late", 4), EVB_ECLOSED);
    drop_kept();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_child_requests_and_replies_are_refused_and_the_parent_goes_on),
        cmocka_unit_test(in_a_child_a_request_of_a_bus_that_had_ended_is_refused_and_can_be_released),
    };
    return EVB_TEST_MAIN("request_fork", tests, argc, argv);
}
