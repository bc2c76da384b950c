/* SPDX-License-Identifier: MIT */
/* The places in which requesters wait (bus/request.h), by themselves: numbers, growth, the end of an epoch.
 */
#include <stdlib.h>

#include "bus/request.h"
#include "evb_test.h"

#define PLACES ((1u << EVB__REQUEST_CHUNKS) - 1) * EVB__REQUEST_FIRST
#define EPOCH  (UINT64_C(1) << EVB__REQUEST_PLACE_BITS)

static struct evb__requests requests;

/* What replies are made of does not matter here. */
static const evb_event first_reply, second_reply;

static struct evb__request *open_one(void)
{
    struct evb__request *r = NULL;

    OK(evb__request_open(&requests, &r));
    return r;
}

static void close_empty(struct evb__request *r)
{
    const evb_event *reply = NULL;

    FAILS(evb__request_close(&requests, r, &reply), EVB_ETIMEDOUT);
    EQ_PTR(reply, NULL);
}

TEST(a_number_is_never_zero_and_gone_with_its_request)
{
    struct evb__request *r;
    uint64_t number;

    evb__requests_init(&requests);
    r = open_one();
    number = r->number;
    NE(number, 0);
    close_empty(r);
    FAILS(evb__request_answer(&requests, number, &first_reply), EVB_ESTALE);
    r = open_one();
    NE(r->number, number);
    FAILS(evb__request_answer(&requests, number, &first_reply), EVB_ESTALE);
    close_empty(r);
    EQ(requests.late, 2);
    evb__requests_fini(&requests);
}

TEST(numbers_that_never_were_find_nobody)
{
    struct evb__request *r;

    evb__requests_init(&requests);
    FAILS(evb__request_answer(&requests, EPOCH, &first_reply), EVB_ESTALE); /* there is no place at all */
    r = open_one();
    FAILS(evb__request_answer(&requests, 0, &first_reply), EVB_ESTALE);
    FAILS(evb__request_answer(&requests, r->number + EPOCH, &first_reply), EVB_ESTALE);
    FAILS(evb__request_answer(&requests, r->number + 1, &first_reply), EVB_ESTALE); /* a free place */
    FAILS(evb__request_answer(&requests, EPOCH + EVB__REQUEST_FIRST, &first_reply), EVB_ESTALE);
    FAILS(evb__request_answer(&requests, UINT64_MAX, &first_reply), EVB_ESTALE);
    close_empty(r);
    evb__requests_fini(&requests);
}

TEST(the_first_answer_is_what_a_place_gives)
{
    const evb_event *reply = NULL;
    struct evb__request *r;

    evb__requests_init(&requests);
    r = open_one();
    OK(evb__request_answer(&requests, r->number, &first_reply));
    FAILS(evb__request_answer(&requests, r->number, &second_reply), EVB_ESTALE);
    evb__request_wait(&requests, r, EVB_FOREVER); /* returns at once */
    OK(evb__request_close(&requests, r, &reply));
    EQ_PTR(reply, &first_reply);
    evb__requests_fini(&requests);
}

TEST(an_answer_in_time_counts_although_the_requester_looks_too_late)
{
    const evb_event *reply = NULL;
    struct evb__request *r;

    evb__requests_init(&requests);
    r = open_one();
    evb__request_wait(&requests, r, 1); /* long over: on the way home */
    OK(evb__request_answer(&requests, r->number, &first_reply));
    OK(evb__request_close(&requests, r, &reply));
    EQ_PTR(reply, &first_reply);
    evb__requests_fini(&requests);
}

TEST(when_it_is_over_who_waits_is_sent_home_and_nobody_begins)
{
    struct evb__request *answered, *waiting, *none = NULL;
    const evb_event *reply = NULL;

    evb__requests_init(&requests);
    answered = open_one();
    waiting = open_one();
    OK(evb__request_answer(&requests, answered->number, &first_reply));
    evb__requests_end(&requests);
    evb__requests_end(&requests);
    FAILS(evb__request_answer(&requests, waiting->number, &second_reply), EVB_ESTALE);
    evb__request_wait(&requests, waiting, EVB_FOREVER);
    FAILS(evb__request_close(&requests, waiting, &reply), EVB_ECLOSED);
    EQ_PTR(reply, NULL);
    OK(evb__request_close(&requests, answered, &reply)); /* what was there before stays there */
    EQ_PTR(reply, &first_reply);
    FAILS(evb__request_open(&requests, &none), EVB_ECLOSED);
    EQ_PTR(none, NULL);
    evb__requests_fini(&requests);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = (*(struct evb__request *const *)a)->number, y = (*(struct evb__request *const *)b)->number;

    return x < y ? -1 : x > y;
}

TEST(all_places_have_numbers_of_their_own_and_the_next_is_refused)
{
    struct evb__request **all = calloc(PLACES, sizeof *all), *none = NULL;
    const evb_event *reply;

    assert_non_null(all);
    evb__requests_init(&requests);
    for (uint32_t i = 0; i < PLACES; i++)
        all[i] = open_one();
    FAILS(evb__request_open(&requests, &none), EVB_ENOMEM);
    EQ_PTR(none, NULL);
    qsort(all, PLACES, sizeof *all, by_number);
    for (uint32_t i = 0; i < PLACES; i++) {
        if (i != 0) CHECK(all[i]->number != all[i - 1]->number);
        OK(evb__request_answer(&requests, all[i]->number, (const evb_event *)(const void *)all[i]));
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        OK(evb__request_close(&requests, all[i], &reply));
        EQ_PTR(reply, all[i]);
    }
    close_empty(open_one());
    evb__requests_fini(&requests);
    free(all);
}

TEST(a_place_whose_numbers_are_used_up_is_not_used_again)
{
    struct evb__request *r, *other;
    uint64_t last;

    evb__requests_init(&requests);
    r = open_one();
    r->number |= UINT64_MAX - (EPOCH - 1); /* the last epoch: so many requests have been here */
    last = r->number;
    close_empty(r);
    FAILS(evb__request_answer(&requests, last, &first_reply), EVB_ESTALE);
    for (uint32_t i = 0; i < 2 * EVB__REQUEST_FIRST; i++) {
        other = open_one();
        CHECK(other != r);
        if (i % 2 != 0) close_empty(other);
    }
    evb__requests_fini(&requests);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_never_zero_and_gone_with_its_request),
        cmocka_unit_test(numbers_that_never_were_find_nobody),
        cmocka_unit_test(the_first_answer_is_what_a_place_gives),
        cmocka_unit_test(an_answer_in_time_counts_although_the_requester_looks_too_late),
        cmocka_unit_test(when_it_is_over_who_waits_is_sent_home_and_nobody_begins),
        cmocka_unit_test(all_places_have_numbers_of_their_own_and_the_next_is_refused),
        cmocka_unit_test(a_place_whose_numbers_are_used_up_is_not_used_again),
    };
    return EVB_TEST_MAIN("request_places", tests, argc, argv);
}
