/* SPDX-License-Identifier: MIT */
/* Requests and replies when memory runs out: EVB_ENOMEM, nothing has happened, and the next try works. */
#include "request_kit.h"

static bool queued, retains;
static int32_t reply_status;

static int32_t try_to_reply(const evb_event *ev, void *user)
{
    (void)user;
    if (!retains) {
        reply_status = evb_reply(ev, "reply", 5);
        return EVB_OK;
    }
    reply_status = keep_it(ev, NULL);
    if (reply_status == EVB_OK) reply_status = evb_reply(kept(), "reply", 5);
    drop_kept();
    return EVB_OK;
}

/* The reply comes inside the request, so the time does not run out before it. */
static bool ask(void)
{
    const evb_event *reply = NULL;
    int32_t status;

    reply_status = EVB_OK;
    status = evb_request(kit.bus, "q", "x", 1, MS, &reply);
    if (status == EVB_OK) {
        CHECK(kit_is(reply, "reply"));
        evb_event_release(reply);
        return true;
    }
    EQ_PTR(reply, NULL);
    if (status == EVB_ETIMEDOUT)
        FAILS(reply_status, EVB_ENOMEM); /* the request has arrived, the reply could not be made */
    else
        FAILS(status, EVB_ENOMEM);
    return false;
}

/* A new bus, so that it has no places yet. false: there was no k-th allocation. */
static bool ask_with_fault(uint64_t k, void (*arm)(uint64_t k))
{
    evb_sub *sub = NULL;
    bool hit, ok;

    kit_open(1);
    if (queued) sub = kit_sub("q", (evb_sub_opts){0});
    ID(evb_on(kit.bus, "q", try_to_reply, NULL));
    arm(k);
    ok = ask();
    hit = evb_test_alloc_faults() != 0;
    evb_test_alloc_fail_off();
    CHECK(ok || hit);
    CHECK(ask());
    EQ(late_replies(), 0);
    if (queued) kit_leave(sub);
    kit_close();
    return hit;
}

static uint64_t sweep(void)
{
    bool once, from;
    uint64_t k = 0;

    do {
        CHECK(++k < 100);
        once = ask_with_fault(k, evb_test_alloc_fail_once_at);
        from = ask_with_fault(k, evb_test_alloc_fail_from);
    } while (once || from);
    return k - 1;
}

TEST(without_memory_a_request_or_its_reply_fails_and_the_next_works)
{
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    for (int with = 0; with < 4; with++) {
        queued = (with & 1) != 0;
        retains = (with & 2) != 0;
        CHECK(sweep() >= (retains ? 4u : 3u)); /* the places, the reply's two blocks; what is retained */
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_a_request_or_its_reply_fails_and_the_next_works),
    };
    return EVB_TEST_MAIN("request_memory", tests, argc, argv);
}
