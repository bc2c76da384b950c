/* SPDX-License-Identifier: MIT */
/* The places of requests (src/bus/request.{h,c}): requesters that wait, replies that come from several sides,
 * time that runs out, and the end.
 *
 * A reply is a block of the explorer's heap that whoever replies has written, and the requester reads and
 * frees; one that is refused stays with who made it. So a reply that two own, that nobody owns, or that comes
 * to another one than was asked, is a use after free, a block left over, or a wrong number. Who is not woken
 * is a deadlock.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "bus/request.h"
#include "explore.h"

enum { REQUESTERS = 2 };

struct reply {
    uint64_t number; /* that it answers */
};

static struct evb__requests requests;
static struct evb__request *place[REQUESTERS];
static uint64_t number[REQUESTERS];
static uint32_t accepted[REQUESTERS], received[REQUESTERS]; /* plain: for the end */

static void open_place(uint32_t n)
{
    explore_check(evb__request_open(&requests, &place[n]) == EVB_OK, "no place");
    number[n] = place[n]->number;
}

/* ---- setups ---- */

static void one(void)
{
    evb__requests_init(&requests);
    open_place(0);
}

static void two(void)
{
    one();
    open_place(1);
}

static void none(void)
{
    evb__requests_init(&requests);
}

static void finish(void)
{
    for (uint32_t n = 0; n < REQUESTERS; n++)
        explore_check(accepted[n] == received[n], "a reply that was accepted has not been received");
    evb__requests_fini(&requests);
}

/* ---- threads ---- */

/* Gives the place back. Answers what evb__request_close has. */
static int32_t take(uint32_t n)
{
    const evb_event *event = NULL;
    int32_t status = evb__request_close(&requests, place[n], &event);
    struct reply *reply = (struct reply *)(uintptr_t)event;

    if (status != EVB_OK) {
        explore_check(reply == NULL, "no reply, but one was given");
        return status;
    }
    explore_check(EVB__PLAIN_READ(reply->number) == number[n], "the reply to another request");
    received[n]++;
    evb__free(reply, sizeof *reply);
    return EVB_OK;
}

static int32_t wait_and_take(uint32_t n, int64_t timeout_ns)
{
    int32_t status;

    evb__request_wait(&requests, place[n], evb__deadline(timeout_ns));
    status = take(n);
    explore_cover(status == EVB_OK ? "reply" : status == EVB_ECLOSED ? "closed" : "timed out");
    return status;
}

static void wait_for_ever(void)
{
    explore_check(wait_and_take(0, EVB_FOREVER) != EVB_ETIMEDOUT, "home without a reason");
}

static void second_waits_for_ever(void)
{
    explore_check(wait_and_take(1, EVB_FOREVER) != EVB_ETIMEDOUT, "home without a reason");
}

/* Over after the first time that he wakes without a reason: the clock moves 1000 at each look. */
static void wait_a_little(void)
{
    (void)wait_and_take(0, 2500);
}

/* A new request in the place of the first one, which nobody replies to. */
static void wait_a_little_and_ask_again(void)
{
    wait_a_little();
    open_place(1);
    explore_check(place[1] == place[0], "another place: nothing is tried");
    explore_check(take(1) != EVB_OK, "the reply to another request");
}

static void open_and_wait(void)
{
    if (evb__request_open(&requests, &place[0]) != EVB_OK) {
        explore_cover("not begun");
        return;
    }
    number[0] = place[0]->number;
    explore_check(wait_and_take(0, EVB_FOREVER) == EVB_ECLOSED, "nobody replies");
}

static void reply_to(uint32_t n)
{
    struct reply *reply = evb__alloc(sizeof *reply, EVB__ALIGN_MIN);
    uint64_t to = number[n];

    EVB__PLAIN_WRITE(reply->number, to);
    if (evb__request_answer(&requests, to, (const evb_event *)(const void *)reply) == EVB_OK) {
        accepted[n]++;
        explore_cover("accepted");
    } else {
        explore_cover("stale");
        evb__free(reply, sizeof *reply);
    }
}

static void reply_to_first(void)
{
    /* what was said before the threads began, whatever the requester does with it meanwhile */
    reply_to(0);
}

static void reply_to_both(void)
{
    reply_to(1);
    reply_to(0);
}

static void end(void)
{
    evb__requests_end(&requests);
}

/* ---- shapes ---- */

static const struct explore_shape shapes[] = {
    {.name = "a_reply_reaches_who_waits",
     .setup = one,
     .threads = {wait_for_ever, reply_to_first},
     .finish = finish,
     .preemptions = 3,
     .covers = {"reply", "accepted"}},
    {.name = "of_two_replies_one_is_taken",
     .setup = one,
     .threads = {wait_for_ever, reply_to_first, reply_to_first},
     .finish = finish,
     .covers = {"reply", "accepted", "stale"}},
    {.name = "a_reply_against_the_time",
     .setup = one,
     .threads = {wait_a_little, reply_to_first},
     .finish = finish,
     .preemptions = 3,
     .covers = {"reply", "timed out", "accepted", "stale"}},
    {.name = "a_late_reply_does_not_reach_the_next_in_its_place",
     .setup = one,
     .threads = {wait_a_little_and_ask_again, reply_to_first},
     .finish = finish,
     .preemptions = 3,
     .covers = {"reply", "timed out", "accepted", "stale"}},
    {.name = "a_reply_against_the_end",
     .setup = one,
     .threads = {wait_for_ever, reply_to_first, end},
     .finish = finish,
     .covers = {"reply", "closed", "accepted", "stale"}},
    {.name = "a_request_against_the_end",
     .setup = none,
     .threads = {open_and_wait, end},
     .finish = finish,
     .preemptions = 3,
     .covers = {"closed", "not begun"}},
    {.name = "two_wait_and_each_gets_its_own",
     .setup = two,
     .threads = {wait_for_ever, second_waits_for_ever, reply_to_both},
     .finish = finish,
     .covers = {"reply", "accepted"}},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
