/* SPDX-License-Identifier: MIT */
/* Listeners, call by call: what each one does, in which order listeners run, what an event looks like, what
 * is counted, and how every bad argument is answered. What happens when the registry changes during an emit
 * is in test_mutation.c.
 */
#include "evb_test.h"

#include <evbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "heard.h" /* last: its bus would stand in the shadow of parameters */

/* ---- on, once, prepend, off ---- */

TEST(on_calls_the_listener_for_every_event_until_off)
{
    int64_t id;

    begin();
    id = ID(evb_on(bus, "a.b", say, letter("x")));
    EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    EQ(evb_emit(bus, "a.c", NULL, 0), 0);
    EQ(evb_emit(bus, "a", NULL, 0), 0);
    EQ_STR(trace, "xx");
    OK(evb_off(bus, id));
    EQ(evb_emit(bus, "a.b", NULL, 0), 0);
    EQ_STR(trace, "xx");
    end();
}

TEST(once_calls_the_listener_for_one_event_of_any_matching_topic)
{
    begin();
    (void)ID(evb_once(bus, "a.b", say, letter("l")));
    (void)ID(evb_once(bus, "a.*", say, letter("w")));
    EQ(evb_emit(bus, "a.c", NULL, 0), 1);
    EQ(evb_emit(bus, "a.b", NULL, 0), 1);
    EQ(evb_emit(bus, "a.b", NULL, 0), 0);
    EQ_STR(trace, "wl");
    end();
}

TEST(listeners_run_in_the_order_of_registration_literal_and_wildcard_alike)
{
    static const char *const patterns[] = {"a.b", "a.*", ">", "a.b", "*.b", "a.>", "a.b"};

    begin();
    for (int i = 0; i < 7; i++)
        (void)ID(evb_on(bus, patterns[i], say, letter(&"0123456"[i])));
    EQ_STR(heard("a.b"), "0123456");
    EQ_STR(heard("a.c"), "125");
    end();
}

TEST(prepended_listeners_run_first_the_last_one_prepended_before_the_others)
{
    begin();
    (void)ID(evb_on(bus, "a.b", say, letter("1")));
    (void)ID(evb_prepend(bus, "a.*", say, letter("2")));
    (void)ID(evb_prepend(bus, "a.b", say, letter("3")));
    (void)ID(evb_on(bus, ">", say, letter("4")));
    EQ_STR(heard("a.b"), "3214");
    end();
}

TEST(higher_priorities_run_first_and_prepending_stays_within_one_priority)
{
    begin();
    listen_to("p", "a", (evb_listen_opts){.priority = 0});
    listen_to("p", "b", (evb_listen_opts){.priority = 1});
    listen_to("p", "c", (evb_listen_opts){.priority = -1});
    listen_to(">", "d", (evb_listen_opts){.priority = 1});
    listen_to("p", "e", (evb_listen_opts){.priority = INT32_MAX});
    listen_to("*", "f", (evb_listen_opts){.priority = INT32_MIN});
    listen_to("p", "g", (evb_listen_opts){.priority = 1, .flags = EVB_PREPEND});
    listen_to("*", "h", (evb_listen_opts){.flags = EVB_PREPEND});
    listen_to("p", "i", (evb_listen_opts){.priority = -1, .flags = EVB_PREPEND});
    listen_to("p", "j", (evb_listen_opts){.priority = INT32_MIN});
    EQ_STR(heard("p"), "egbdhaicfj");
    EQ_STR(heard("q"), "dhf");
    end();
}

/* The same order through a handle that was open before, one opened after, and a name nobody holds. */
TEST(the_order_is_the_same_by_every_way)
{
    evb_topic *before, *after;

    begin();
    OK(evb_topic_open(bus, "o.x", &before));
    listen_to("o.*", "a", (evb_listen_opts){.priority = 0});
    listen_to("*.*", "b", (evb_listen_opts){.priority = 3});
    listen_to("o.>", "c", (evb_listen_opts){.flags = EVB_PREPEND});
    listen_to("o.*", "d", (evb_listen_opts){.priority = 3});
    listen_to(">", "e", (evb_listen_opts){.priority = -3});
    OK(evb_topic_open(bus, "o.y", &after));
    EQ_STR(heard("o.x"), "bdcae");
    EQ_STR(heard("o.y"), "bdcae");
    EQ_STR(heard("o.z"), "bdcae");
    trace[0] = '\0';
    EQ(evb_topic_emit(before, NULL, 0), 5);
    EQ_STR(trace, "bdcae");
    trace[0] = '\0';
    EQ(evb_topic_emit(after, NULL, 0), 5);
    EQ_STR(trace, "bdcae");
    evb_topic_close(before);
    evb_topic_close(after);
    end();
}

TEST(a_listener_registered_for_two_matching_patterns_is_two_listeners)
{
    begin();
    (void)ID(evb_on(bus, "a.b", say, letter("x")));
    (void)ID(evb_on(bus, "a.*", say, letter("x")));
    (void)ID(evb_on(bus, "a.*", say, letter("x")));
    EQ(evb_emit(bus, "a.b", NULL, 0), 3);
    EQ_STR(trace, "xxx");
    end();
}

/* ---- ids ---- */

TEST(ids_are_positive_different_and_exact_in_a_double)
{
    int64_t ids[300];

    begin();
    for (int i = 0; i < 300; i++) {
        ids[i] = ID(evb_on(bus, i % 2 != 0 ? "a.*" : "a.b", ignore, NULL));
        CHECK(ids[i] < INT64_C(1) << 53);
        for (int j = 0; j < i; j++)
            NE(ids[i], ids[j]);
    }
    end();
}

TEST(a_stale_id_is_refused_even_when_its_place_is_used_again)
{
    int64_t first, again = 0;
    bool reused = false;

    begin();
    first = ID(evb_on(bus, "a", ignore, NULL));
    OK(evb_off(bus, first));
    FAILS(evb_off(bus, first), EVB_ENOTFOUND);
    for (int i = 0; i < 300 && !reused; i++) {
        if (again != 0) OK(evb_off(bus, again));
        again = ID(evb_on(bus, "a", ignore, NULL));
        reused = (again & EVB__LISTENER_MAX) == (first & EVB__LISTENER_MAX);
    }
    CHECK(reused);
    NE(again, first);
    FAILS(evb_off(bus, first), EVB_ENOTFOUND);
    FAILS(evb_off_wait(bus, first), EVB_ENOTFOUND);
    EQ(evb_listener_count(bus, "a"), 1);
    OK(evb_off(bus, again));
    end();
}

TEST(an_id_that_was_never_issued_is_not_found)
{
    int64_t id;

    begin();
    FAILS(evb_off(bus, 1), EVB_ENOTFOUND);
    FAILS(evb_off_wait(bus, 1), EVB_ENOTFOUND);
    id = ID(evb_on(bus, "a", ignore, NULL));
    FAILS(evb_off(bus, id + 1), EVB_ENOTFOUND);
    FAILS(evb_off(bus, id + ((int64_t)1 << EVB__LISTENER_BITS)), EVB_ENOTFOUND);
    FAILS(evb_off(bus, id & EVB__LISTENER_MAX), EVB_ENOTFOUND);           /* generation 0 */
    FAILS(evb_off(bus, id & ~(int64_t)EVB__LISTENER_MAX), EVB_ENOTFOUND); /* place 0 */
    FAILS(evb_off(bus, id | (int64_t)1 << 53), EVB_ENOTFOUND);            /* bits no id has */
    FAILS(evb_off(bus, id | (int64_t)1 << 62), EVB_ENOTFOUND);
    FAILS(evb_off(bus, INT64_MAX), EVB_ENOTFOUND);
    FAILS(evb_off_wait(bus, INT64_MAX), EVB_ENOTFOUND);
    FAILS(evb_off(bus, (int64_t)1 << 52), EVB_ENOTFOUND);
    OK(evb_off(bus, id));
    end();
}

TEST(an_id_of_zero_or_less_is_invalid)
{
    begin();
    FAILS(evb_off(bus, 0), EVB_EINVAL);
    FAILS(evb_off(bus, -1), EVB_EINVAL);
    FAILS(evb_off(bus, INT64_MIN), EVB_EINVAL);
    FAILS(evb_off_wait(bus, 0), EVB_EINVAL);
    FAILS(evb_off_wait(bus, -1), EVB_EINVAL);
    FAILS(evb_off_wait(bus, INT64_MIN), EVB_EINVAL);
    end();
}

TEST(an_id_belongs_to_its_bus)
{
    evb_bus *first;
    int64_t id, other;

    begin();
    first = bus;
    id = ID(evb_on(first, "a", ignore, NULL));
    OK(evb_bus_create(NULL, &bus));
    FAILS(evb_off(bus, id), EVB_ENOTFOUND);
    other = ID(evb_on(bus, "a", ignore, NULL));
    OK(evb_off(bus, other));
    EQ(evb_listener_count(first, "a"), 1);
    evb_bus_destroy(first);
    end();
}

/* 2^31 - 1 uses of one place are too many to make; the last one is put there by hand. */
TEST(the_last_generation_of_a_place_is_followed_by_the_first)
{
    int64_t id, next = 0;
    uint32_t place;

    begin();
    id = ID(evb_on(bus, "a", ignore, NULL));
    place = (uint32_t)(id & EVB__LISTENER_MAX);
    evb__listener(bus, place)->generation = INT32_MAX;
    id = evb__listener_id(bus, place);
    CHECK(id > 0 && id < INT64_C(1) << 53);
    OK(evb_off(bus, id));
    for (int i = 0; i < 300; i++) {
        next = ID(evb_on(bus, "a", ignore, NULL));
        if ((next & EVB__LISTENER_MAX) == place) break;
        OK(evb_off(bus, next));
    }
    EQ(next, ((int64_t)1 << EVB__LISTENER_BITS) | place);
    FAILS(evb_off(bus, id), EVB_ENOTFOUND);
    OK(evb_off(bus, next));
    end();
}

/* ---- filter, monitor, owner, free_user ---- */

struct sieve {
    int asked, called, accept;
};

static int32_t sift(const evb_event *ev, void *user)
{
    struct sieve *s = user;

    s->asked++;
    EQ(ev->size, 1);
    return s->accept;
}

static int32_t sifted(const evb_event *ev, void *user)
{
    (void)ev;
    ((struct sieve *)user)->called++;
    return EVB_OK;
}

TEST(a_filter_is_asked_first_and_any_non_zero_answer_accepts)
{
    static const int32_t accepting[] = {1, -1, INT32_MIN, INT32_MAX};
    struct sieve s = {0};

    begin();
    (void)ID(evb_listen(bus, "f.*", &(evb_listen_opts){.filter = sift}, sifted, &s));
    EQ(evb_emit(bus, "f.x", "e", 1), 0);
    EQ(s.asked, 1);
    EQ(s.called, 0);
    for (int i = 0; i < 4; i++) {
        s.accept = accepting[i];
        EQ(evb_emit(bus, "f.x", "e", 1), 1);
        EQ(s.called, i + 1);
    }
    EQ(s.asked, 5);
    EQ(evb_listener_count(bus, "f.x"), 1); /* counted as if no filter refused */
    end();
}

TEST(a_refusal_of_the_filter_does_not_use_up_a_once)
{
    struct sieve s = {0};

    begin();
    (void)ID(evb_listen(bus, "f", &(evb_listen_opts){.filter = sift, .flags = EVB_ONCE}, sifted, &s));
    EQ(evb_emit(bus, "f", "e", 1), 0);
    EQ(evb_emit(bus, "f", "e", 1), 0);
    EQ(evb_listener_count(bus, "f"), 1);
    s.accept = 1;
    EQ(evb_emit(bus, "f", "e", 1), 1);
    EQ(evb_emit(bus, "f", "e", 1), 0);
    EQ(s.asked, 3);
    EQ(s.called, 1);
    end();
}

TEST(a_monitor_is_called_but_counted_nowhere)
{
    int64_t id;

    begin();
    listen_to("m", "1", (evb_listen_opts){.flags = EVB_MONITOR});
    EQ(evb_emit(bus, "m", NULL, 0), 0);
    EQ_STR(trace, "1");
    EQ(evb_listener_count(bus, "m"), 0);
    listen_to("m", "2", (evb_listen_opts){0});
    id = listen_to("*", "3", (evb_listen_opts){.flags = EVB_MONITOR | EVB_ONCE, .priority = 9});
    EQ(evb_listener_count(bus, "m"), 1);
    EQ(evb_listener_count(bus, "other"), 0);
    trace[0] = '\0';
    EQ(evb_emit(bus, "m", NULL, 0), 1);
    EQ_STR(trace, "312");
    FAILS(evb_off(bus, id), EVB_ENOTFOUND); /* it was a once too */
    EQ(evb_off_all(bus, "m"), 2);           /* here monitors are included */
    end();
}

TEST(off_owner_removes_what_the_owner_has_and_nothing_else)
{
    int owner, other;

    begin();
    listen_to("a", "1", (evb_listen_opts){.owner = &owner});
    listen_to("b.*", "2", (evb_listen_opts){.owner = &owner, .flags = EVB_MONITOR});
    listen_to("a", "3", (evb_listen_opts){.owner = &other});
    listen_to("a", "4", (evb_listen_opts){0});
    for (int i = 0; i < 50; i++)
        listen_to(">", "5", (evb_listen_opts){.owner = &trace[i]});
    EQ(evb_off_owner(bus, &owner), 2);
    EQ(evb_off_owner(bus, &owner), 0);
    EQ_STR(heard("b.x"), "55555555555555555555555555555555555555555555555555");
    for (int i = 0; i < 50; i++)
        EQ(evb_off_owner(bus, &trace[i]), 1);
    EQ_STR(heard("a"), "34");
    EQ(evb_off_owner(bus, "nobody"), 0);
    end();
}

static int back;

static void give_back(void *user)
{
    EQ_PTR(user, &back);
    back++;
}

TEST(free_user_gets_user_once_whichever_way_the_listener_goes)
{
    int owner;
    int64_t id;

    begin();
    back = 0;
    for (int wild = 0; wild < 2; wild++) {
        const char *pattern = wild ? "f.*" : "f.x";
        evb_listen_opts o = {.free_user = give_back, .owner = &owner};

        back = 0;
        id = ID(evb_listen(bus, pattern, &o, ignore, &back));
        OK(evb_off(bus, id));
        EQ(back, 1);
        id = ID(evb_listen(bus, pattern, &o, ignore, &back));
        OK(evb_off_wait(bus, id));
        EQ(back, 2);
        (void)ID(evb_listen(bus, pattern, &o, ignore, &back));
        EQ(evb_off_all(bus, pattern), 1);
        EQ(back, 3);
        (void)ID(evb_listen(bus, pattern, &o, ignore, &back));
        EQ(evb_off_owner(bus, &owner), 1);
        EQ(back, 4);
        o.flags = EVB_ONCE;
        (void)ID(evb_listen(bus, pattern, &o, ignore, &back));
        EQ(evb_emit(bus, "f.x", NULL, 0), 1);
        EQ(back, 5);
    }
    back = 0;
    (void)ID(evb_listen(bus, "left", &(evb_listen_opts){.free_user = give_back}, ignore, &back));
    end();
    EQ(back, 1);
}

TEST(a_failed_registration_never_gives_user_back)
{
    evb_listen_opts o = {.free_user = give_back};

    begin();
    back = 0;
    FAILS(evb_listen(bus, "bad..pattern", &o, ignore, &back), EVB_EINVAL);
    FAILS(evb_listen(bus, NULL, &o, ignore, &back), EVB_EINVAL);
    FAILS(evb_listen(bus, "a", &o, NULL, &back), EVB_EINVAL);
    FAILS(evb_listen(NULL, "a", &o, ignore, &back), EVB_EINVAL);
    o.flags = 8;
    FAILS(evb_listen(bus, "a", &o, ignore, &back), EVB_EINVAL);
    end();
    EQ(back, 0);
}

/* ---- removals that meet: found by test_bus_model.c ---- */

static struct {
    evb_topic *topic;
    int64_t literal, victim;
} meeting;

static int32_t topic_goes_then_victim(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    if (meeting.literal != 0)
        (void)evb_off(bus, meeting.literal);
    else
        evb_topic_close(meeting.topic);
    return evb_off(bus, meeting.victim);
}

static int32_t must_not_run(const evb_event *ev, void *user)
{
    (void)ev;
    strcat(trace, user != NULL ? "!" : "?");
    return EVB_OK;
}

static void topic_goes(bool by_handle, evb_free_fn free_user)
{
    begin();
    memset(&meeting, 0, sizeof meeting);
    back = 0;
    listen_to("g.*", "a", (evb_listen_opts){.priority = 2});
    (void)ID(evb_listen(bus, "g.*", &(evb_listen_opts){.priority = 1}, topic_goes_then_victim, NULL));
    if (by_handle)
        OK(evb_topic_open(bus, "g.x", &meeting.topic));
    else
        meeting.literal = ID(evb_on(bus, "g.x", ignore, NULL));
    meeting.victim =
        ID(evb_listen(bus, "g.*", &(evb_listen_opts){.free_user = free_user}, must_not_run, &back));
    EQ(by_handle ? evb_topic_emit(meeting.topic, NULL, 0) : evb_emit(bus, "g.x", NULL, 0), 2);
    EQ_STR(trace, "a");
    EQ(back, free_user != NULL ? 1 : 0);
    end();
}

TEST(a_wildcard_removed_after_its_topic_was_closed_in_the_same_emit_is_not_called)
{
    topic_goes(true, NULL);
}

TEST(a_wildcard_removed_after_the_last_literal_of_its_topic_in_the_same_emit_is_not_called)
{
    topic_goes(false, NULL);
}

TEST(a_wildcard_with_free_user_removed_after_its_topic_in_the_same_emit_is_not_called)
{
    topic_goes(true, give_back);
    topic_goes(false, give_back);
}

/* The other half: what is still registered is still called. */
static int32_t topic_goes_alone(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    if (meeting.literal == 0)
        evb_topic_close(meeting.topic);
    else if (evb_off(bus, meeting.literal) != EVB_OK)
        return -1;
    return EVB_OK;
}

TEST(a_wildcard_that_stays_is_called_when_its_topic_goes_in_the_same_emit)
{
    for (int by_handle = 0; by_handle < 2; by_handle++) {
        begin();
        memset(&meeting, 0, sizeof meeting);
        (void)ID(evb_listen(bus, "g.*", &(evb_listen_opts){.priority = 1}, topic_goes_alone, NULL));
        if (by_handle)
            OK(evb_topic_open(bus, "g.x", &meeting.topic));
        else
            meeting.literal = ID(evb_on(bus, "g.x", ignore, NULL));
        listen_to("g.*", "s", (evb_listen_opts){0});
        listen_to("g.>", "t", (evb_listen_opts){.flags = EVB_ONCE});
        EQ(by_handle ? evb_topic_emit(meeting.topic, NULL, 0) : evb_emit(bus, "g.x", NULL, 0), 3);
        EQ_STR(trace, "st");
        end();
    }
}

/* The emit runs through a snapshot that was replaced before its topic went. */
static int32_t snapshot_goes_then_topic_then_victim(const evb_event *ev, void *user)
{
    int64_t id = evb_prepend(bus, "g.x", ignore, NULL);

    (void)ev;
    (void)user;
    evb_topic_close(meeting.topic);
    return evb_off(bus, id) == EVB_OK ? evb_off(bus, meeting.victim) : -1;
}

TEST(a_wildcard_removed_after_snapshot_and_topic_in_the_same_emit_is_not_called)
{
    begin();
    memset(&meeting, 0, sizeof meeting);
    (void)ID(evb_listen(bus, "g.*", &(evb_listen_opts){.priority = 1}, snapshot_goes_then_topic_then_victim,
                        NULL));
    OK(evb_topic_open(bus, "g.x", &meeting.topic));
    meeting.victim = ID(evb_on(bus, "g.*", must_not_run, NULL));
    listen_to("g.*", "s", (evb_listen_opts){0});
    EQ(evb_topic_emit(meeting.topic, NULL, 0), 2);
    EQ_STR(trace, "s");
    end();
}

/* ---- off_all ---- */

TEST(off_all_removes_exactly_the_text_of_a_pattern)
{
    begin();
    listen_to("a.b", "1", (evb_listen_opts){0});
    listen_to("a.b", "2", (evb_listen_opts){.flags = EVB_MONITOR});
    listen_to("a.*", "3", (evb_listen_opts){0});
    listen_to("a.>", "4", (evb_listen_opts){.flags = EVB_ONCE});
    EQ(evb_off_all(bus, "a.c"), 0);
    EQ(evb_off_all(bus, "*.b"), 0);
    EQ(evb_off_all(bus, "a"), 0);
    EQ(evb_off_all(bus, "a.*"), 1);
    EQ(evb_off_all(bus, "a.*"), 0);
    EQ_STR(heard("a.b"), "124");
    EQ(evb_off_all(bus, "a.>"), 0); /* the once has fired */
    EQ(evb_off_all(bus, "a.b"), 2);
    EQ_STR(heard("a.b"), "");
    end();
}

TEST(off_all_of_the_bus_removes_everything)
{
    begin();
    EQ(evb_off_all(bus, NULL), 0);
    for (int i = 0; i < 100; i++)
        listen_to(i % 3 == 0   ? "a"
               : i % 3 == 1 ? "a.*"
                            : ">",
               "1", (evb_listen_opts){.flags = i % 5 == 0 ? EVB_MONITOR : 0});
    EQ(evb_off_all(bus, NULL), 100);
    EQ(evb_off_all(bus, NULL), 0);
    EQ_STR(heard("a"), "");
    EQ_STR(heard("a.b"), "");
    EQ(evb_listener_count(bus, "a"), 0);
    end();
}

/* ---- listener_count ---- */

TEST(listener_count_says_what_an_emit_would_reach)
{
    evb_topic *topic;

    begin();
    EQ(evb_listener_count(bus, "a.b"), 0);
    (void)ID(evb_on(bus, "a.b", ignore, NULL));
    EQ(evb_listener_count(bus, "a.b"), 1);
    (void)ID(evb_on(bus, "a.*", ignore, NULL));
    (void)ID(evb_once(bus, ">", ignore, NULL));
    (void)ID(evb_listen(bus, "a.b", &(evb_listen_opts){.flags = EVB_MONITOR}, ignore, NULL));
    EQ(evb_listener_count(bus, "a.b"), 3);
    EQ(evb_listener_count(bus, "a.c"), 2);
    EQ(evb_listener_count(bus, "b"), 1);
    OK(evb_topic_open(bus, "a.c", &topic));
    EQ(evb_listener_count(bus, "a.c"), 2);
    EQ(evb_emit(bus, "b", NULL, 0), 1);
    EQ(evb_listener_count(bus, "a.c"), 1);
    evb_topic_close(topic);
    end();
}

TEST(an_amqp_pattern_that_matches_in_two_ways_is_one_listener)
{
    begin_dialect(EVB_TOPICS_AMQP);
    (void)ID(evb_on(bus, "#.#", say, letter("x")));
    (void)ID(evb_on(bus, "#.a.#", say, letter("y")));
    EQ(evb_listener_count(bus, "a.a.a.a"), 2);
    EQ_STR(heard("a.a.a.a"), "xy");
    end();
}

/* ---- patterns ---- */

struct list {
    char text[256];
    int stop_after, stop_with;
};

static int32_t append(const char *pattern, uint32_t listeners, void *user)
{
    struct list *l = user;
    size_t n = strlen(l->text);

    (void)snprintf(l->text + n, sizeof l->text - n, "%s=%u ", pattern, (unsigned)listeners);
    return --l->stop_after == 0 ? l->stop_with : 0;
}

static const char *patterns(void)
{
    static struct list l;

    memset(&l, 0, sizeof l);
    OK(evb_patterns(bus, append, &l));
    return l.text;
}

TEST(patterns_tells_of_each_pattern_once_the_one_with_the_oldest_listener_first)
{
    evb_topic *topic;
    int64_t first, second;

    begin();
    EQ_STR(patterns(), "");
    OK(evb_topic_open(bus, "opened.only", &topic));
    EQ_STR(patterns(), "");
    first = ID(evb_on(bus, "b.>", ignore, NULL));
    second = ID(evb_prepend(bus, "a.a", ignore, NULL));
    (void)ID(evb_listen(bus, "b.>", &(evb_listen_opts){.flags = EVB_MONITOR, .priority = 7}, ignore, NULL));
    (void)ID(evb_once(bus, "*", ignore, NULL));
    (void)ID(evb_on(bus, "a.a", ignore, NULL));
    EQ_STR(patterns(), "b.>=2 a.a=2 *=1 ");
    OK(evb_off(bus, first)); /* then the oldest of "b.>" is younger than that of "a.a" */
    EQ_STR(patterns(), "a.a=2 b.>=1 *=1 ");
    OK(evb_off(bus, second));
    EQ_STR(patterns(), "b.>=1 *=1 a.a=1 ");
    EQ(evb_emit(bus, "one", NULL, 0), 1);
    EQ_STR(patterns(), "b.>=1 a.a=1 ");
    EQ(evb_off_all(bus, NULL), 2);
    EQ_STR(patterns(), "");
    evb_topic_close(topic);
    end();
}

TEST(patterns_stops_at_the_first_answer_that_is_not_zero_and_returns_it)
{
    static const int32_t answers[] = {1, -1, INT32_MAX, INT32_MIN, EVB_ENOMEM};

    begin();
    (void)ID(evb_on(bus, "a", ignore, NULL));
    (void)ID(evb_on(bus, "b.*", ignore, NULL));
    (void)ID(evb_on(bus, "c", ignore, NULL));
    for (int i = 0; i < 5; i++) {
        struct list l = {.stop_after = 2, .stop_with = answers[i]};

        EQ(evb_patterns(bus, append, &l), answers[i]);
        EQ_STR(l.text, "a=1 b.*=1 ");
    }
    end();
}

TEST(patterns_shows_names_of_any_bytes_as_they_are)
{
    begin_dialect(EVB_TOPICS_AMQP);
    (void)ID(evb_on(bus, "", ignore, NULL));
    (void)ID(evb_on(bus, "\xff\x01 \n%s.*", ignore, NULL));
    (void)ID(evb_on(bus, "..", ignore, NULL));
    EQ_STR(patterns(), "=1 \xff\x01 \n%s.*=1 ..=1 ");
    end();
}

/* ---- the event ---- */

static evb_event seen;
static const evb_event *seen_at;

static int32_t copy_event(const evb_event *ev, void *user)
{
    (void)user;
    seen = *ev;
    EQ(ev->topic[ev->topic_len], 0);
    seen_at = ev;
    return EVB_OK;
}

static void check_event(const void *data, size_t size, const char *topic)
{
    CHECK(seen_at != NULL);
    EQ_PTR(seen.data, data);
    EQ(seen.size, size);
    EQ(seen.topic_len, strlen(topic));
    EQ(seen.flags, 0);
    EQ(seen.attempt, 0);
    EQ_PTR(seen.key, NULL);
    EQ(seen.key_len, 0);
    EQ(seen.sequence, 0);
    EQ(seen.position, 0);
    seen_at = NULL;
}

static int32_t topic_text_is(const evb_event *ev, void *user)
{
    EQ_STR(ev->topic, (const char *)user);
    return EVB_OK;
}

TEST(an_event_shows_the_emitters_own_bytes_and_nothing_else)
{
    evb_topic *topic;
    char payload[3] = "xy";

    begin();
    OK(evb_topic_open(bus, "e.opened", &topic));
    (void)ID(evb_on(bus, "e.*", copy_event, NULL));
    (void)ID(evb_on(bus, "e.literal", topic_text_is, letter("e.literal")));
    (void)ID(evb_on(bus, "e.opened", topic_text_is, letter("e.opened")));
    EQ(evb_topic_emit(topic, payload, 2), 2);
    check_event(payload, 2, "e.opened");
    EQ(evb_emit(bus, "e.opened", payload, 1), 2);
    check_event(payload, 1, "e.opened");
    EQ(evb_emit(bus, "e.literal", payload, 3), 2);
    check_event(payload, 3, "e.literal");
    EQ(evb_emit(bus, "e.unlisted", payload, 2), 1);
    check_event(payload, 2, "e.unlisted");
    EQ(evb_emit(bus, "e.unlisted", payload, 0), 1);
    check_event(payload, 0, "e.unlisted"); /* the pointer is handed on as it came */
    EQ(evb_emit(bus, "e.unlisted", NULL, 0), 1);
    check_event(NULL, 0, "e.unlisted");
    EQ(evb_topic_emit(topic, NULL, 0), 2);
    check_event(NULL, 0, "e.opened");
    evb_topic_close(topic);
    end();
}

static int32_t ask_event(const evb_event *ev, void *user)
{
    uint32_t length = 77;

    EQ(evb_event_time_ns(ev), 0);
    EQ_PTR(evb_event_header(ev, "name", &length), NULL);
    EQ(length, 77);
    return say(ev, user);
}

TEST(nothing_else_is_known_of_an_event_of_emit)
{
    begin();
    (void)ID(evb_on(bus, "e.f", ask_event, letter("f")));
    (void)ID(evb_on(bus, "e.*", ask_event, letter("*")));
    EQ_STR(heard("e.f"), "f*");
    EQ_STR(heard("e.unlisted"), "*");
    end();
}

/* ---- results and errors ---- */

static int32_t answer(const evb_event *ev, void *user)
{
    (void)ev;
    return *(const int32_t *)user;
}

static struct {
    int calls;
    evb_hook_info info;
    char topic[64];
} hooked;

static void on_hook(const evb_hook_info *info, void *user)
{
    EQ_PTR(user, &hooked);
    hooked.calls++;
    hooked.info = *info;
    (void)snprintf(hooked.topic, sizeof hooked.topic, "%s", info->text);
    EQ_STR(info->event->topic, info->text);
    EQ_PTR(info->event->data, &hooked);
}

static int32_t accept_all(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return 1;
}

/* A listener with a filter is called by another way than a plain one. */
TEST(a_listeners_error_is_reported_and_the_others_run_and_all_count)
{
    static int32_t answers[] = {-77, 1, INT32_MIN, INT32_MAX, EVB_ENOMEM};

    OK(evb_bus_create(&(evb_bus_opts){.hook = on_hook, .hook_user = &hooked}, &bus));
    for (int i = 0; i < 10; i++) {
        trace[0] = '\0';
        memset(&hooked, 0, sizeof hooked);
        (void)ID(evb_listen(bus, "r.*", &(evb_listen_opts){.filter = i < 5 ? NULL : accept_all}, answer,
                            &answers[i % 5]));
        listen_to("r.x", "2", (evb_listen_opts){0});
        EQ(evb_emit(bus, "r.x", &hooked, 1), 2);
        EQ_STR(trace, "2");
        EQ(hooked.calls, 1);
        EQ(hooked.info.struct_size, sizeof hooked.info);
        EQ(hooked.info.kind, EVB_HOOK_ERROR);
        EQ(hooked.info.status, answers[i % 5]);
        EQ_PTR(hooked.info.bus, bus);
        EQ_PTR(hooked.info.sub, NULL);
        EQ_STR(hooked.topic, "r.x");
        CHECK(hooked.info.time_ns > 0);
        EQ(evb_off_all(bus, NULL), 2);
    }
    end();
}

TEST(a_hook_that_is_not_asked_for_errors_hears_none)
{
    int32_t status = -1;

    memset(&hooked, 0, sizeof hooked);
    OK(evb_bus_create(
        &(evb_bus_opts){.hook = on_hook, .hook_user = &hooked, .hook_mask = 1u << EVB_HOOK_PUBLISH}, &bus));
    (void)ID(evb_on(bus, "a", answer, &status));
    EQ(evb_emit(bus, "a", &hooked, 1), 1);
    EQ(hooked.calls, 0);
    end();
    OK(evb_bus_create(&(evb_bus_opts){.hook = on_hook, .hook_user = &hooked, .hook_mask = UINT32_MAX}, &bus));
    (void)ID(evb_on(bus, "a", answer, &status));
    EQ(evb_emit(bus, "a", &hooked, 1), 1);
    EQ(hooked.calls, 1);
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_calls_the_listener_for_every_event_until_off),
        cmocka_unit_test(once_calls_the_listener_for_one_event_of_any_matching_topic),
        cmocka_unit_test(listeners_run_in_the_order_of_registration_literal_and_wildcard_alike),
        cmocka_unit_test(prepended_listeners_run_first_the_last_one_prepended_before_the_others),
        cmocka_unit_test(higher_priorities_run_first_and_prepending_stays_within_one_priority),
        cmocka_unit_test(the_order_is_the_same_by_every_way),
        cmocka_unit_test(a_listener_registered_for_two_matching_patterns_is_two_listeners),
        cmocka_unit_test(ids_are_positive_different_and_exact_in_a_double),
        cmocka_unit_test(a_stale_id_is_refused_even_when_its_place_is_used_again),
        cmocka_unit_test(an_id_that_was_never_issued_is_not_found),
        cmocka_unit_test(an_id_of_zero_or_less_is_invalid),
        cmocka_unit_test(an_id_belongs_to_its_bus),
        cmocka_unit_test(the_last_generation_of_a_place_is_followed_by_the_first),
        cmocka_unit_test(a_filter_is_asked_first_and_any_non_zero_answer_accepts),
        cmocka_unit_test(a_refusal_of_the_filter_does_not_use_up_a_once),
        cmocka_unit_test(a_monitor_is_called_but_counted_nowhere),
        cmocka_unit_test(off_owner_removes_what_the_owner_has_and_nothing_else),
        cmocka_unit_test(free_user_gets_user_once_whichever_way_the_listener_goes),
        cmocka_unit_test(a_failed_registration_never_gives_user_back),
        cmocka_unit_test(a_wildcard_removed_after_its_topic_was_closed_in_the_same_emit_is_not_called),
        cmocka_unit_test(
            a_wildcard_removed_after_the_last_literal_of_its_topic_in_the_same_emit_is_not_called),
        cmocka_unit_test(a_wildcard_that_stays_is_called_when_its_topic_goes_in_the_same_emit),
        cmocka_unit_test(a_wildcard_removed_after_snapshot_and_topic_in_the_same_emit_is_not_called),
        cmocka_unit_test(off_all_removes_exactly_the_text_of_a_pattern),
        cmocka_unit_test(off_all_of_the_bus_removes_everything),
        cmocka_unit_test(listener_count_says_what_an_emit_would_reach),
        cmocka_unit_test(an_amqp_pattern_that_matches_in_two_ways_is_one_listener),
        cmocka_unit_test(patterns_tells_of_each_pattern_once_the_one_with_the_oldest_listener_first),
        cmocka_unit_test(patterns_stops_at_the_first_answer_that_is_not_zero_and_returns_it),
        cmocka_unit_test(patterns_shows_names_of_any_bytes_as_they_are),
        cmocka_unit_test(an_event_shows_the_emitters_own_bytes_and_nothing_else),
        cmocka_unit_test(nothing_else_is_known_of_an_event_of_emit),
        cmocka_unit_test(a_listeners_error_is_reported_and_the_others_run_and_all_count),
        cmocka_unit_test(a_hook_that_is_not_asked_for_errors_hears_none),
        cmocka_unit_test(a_wildcard_with_free_user_removed_after_its_topic_in_the_same_emit_is_not_called),
    };
    return EVB_TEST_MAIN("listeners", tests, argc, argv);
}
