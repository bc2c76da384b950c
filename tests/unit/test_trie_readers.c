/* SPDX-License-Identifier: MIT */
/* The pattern trie with readers on other threads while it is changed, rebuilt and freed. */
#include "topic/trie.h"

#include <evbus/bus.h>
#include "base/atomic.h"
#include "base/reader.h"
#include "evb_test.h"
#include "topic/trie_table.h"
#include "topic_oracle.h"
#include "trie_owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAYING 40  /* patterns that are there all the time: the first ones */
#define COMING  400 /* patterns that come and go; the first of them all the time */
#define TOPICS  64
#define READERS 2

/* What all threads know beforehand, and what they tell each other. */
struct crowd {
    struct trie_owner owner; /* the writer's, but for matching */
    char topic[TOPICS][64];
    bool expected[TOPICS][STAYING + COMING];
    bool reclaim; /* free what is retired as soon as no reader is in the way, and not at the end */
    uint32_t rounds, freed;
    EVB__ATOMIC(uint32_t) matches[READERS];
    EVB__ATOMIC(uint32_t) finished; /* the writer is */
};

/* One match under way. */
struct sighting {
    const struct crowd *crowd;
    uint32_t topic, strangers, repeated;
    bool seen[STAYING + COMING];
};

static void see(uint32_t head, void *arg)
{
    struct sighting *s = arg;

    if (head == 0 || head > STAYING + COMING || !s->crowd->expected[s->topic][head - 1]) {
        s->strangers++;
        return;
    }
    s->repeated += s->seen[head - 1];
    s->seen[head - 1] = true;
}

static void match_one(const struct crowd *c, uint32_t topic)
{
    struct evb__tokens tokens = trie_topic(&c->owner, c->topic[topic]);
    struct sighting s = {.crowd = c, .topic = topic};
    uint32_t missed = 0;

    evb__trie_match(&c->owner.trie, &tokens, see, &s);
    for (uint32_t i = 0; i < STAYING; i++)
        missed += c->expected[topic][i] && !s.seen[i];
    EQ(s.strangers, 0); /* nothing that does not match, whatever came and went meanwhile */
    EQ(s.repeated, 0);
    EQ(missed, 0); /* and all that was there before and after */
}

static void read_until_told(struct crowd *c, uint32_t reader)
{
    struct evb__self *self = evb__self();
    uint32_t generation = evb__process_generation();

    if (self->generation != generation) OK(evb__reader_ready(self, generation));
    /* relaxed: a hint to end; and a counter that says only that we are running. */
    for (uint32_t n = 0; evb__ld_rlx(&c->finished) == 0; n++) {
        struct evb__slot_entry *entry = evb__reader_enter(self->slot, (uintptr_t)c);

        match_one(c, (n * 7 + reader) % TOPICS);
        EQ_PTR(evb__reader_leave(self->slot, entry), NULL); /* nobody marks here */
        evb__st_rlx(&c->matches[reader], n + 1);
    }
}

static bool in_the_way(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg)
{
    (void)slot;
    (void)entry;
    return hazard == (uintptr_t)arg || hazard == EVB__HAZARD_ALL;
}

/* What the bus does with retired blocks, in short. */
static void reclaim(struct crowd *c)
{
    struct evb__limbo *block, **link = &c->owner.retired;
    uint64_t ticket;

    evb__readers_lock();
    ticket = evb__readers_observe();
    while ((block = *link) != NULL) {
        struct evb__readers_query query = {.covers = in_the_way, .arg = c};

        if (block->ticket == 0) block->ticket = ticket;
        query.ticket = block->ticket;
        if (evb__readers_blocked(&query)) {
            link = &block->next;
            continue;
        }
        *link = block->next;
        block->free(block);
        c->freed++;
    }
    evb__readers_unlock();
}

/* Not before each reader has matched often: the two really ran side by side. */
static bool readers_are_through(const struct crowd *c)
{
    for (uint32_t i = 0; i < READERS; i++)
        if (evb__ld_rlx(&c->matches[i]) < c->rounds / 10) return false; /* relaxed: see above */
    return true;
}

static void write_until_read(struct crowd *c)
{
    struct trie_owner *o = &c->owner;

    for (uint32_t n = 0; n < c->rounds || !readers_are_through(c); n++) {
        /* Swings between none and all of them, so that the table grows and shrinks. */
        uint32_t index = STAYING + 1 + n % (COMING - 1);
        bool in = o->entry[index].place != 0, growing = n / (COMING - 1) % 2 == 0;

        if (growing && !in) CHECK(trie_owner_add(o, index));
        if (!growing && in) trie_owner_drop(o, index);
        if (o->entry[STAYING].place != 0) trie_owner_drop(o, STAYING); /* comes back in place */
        if (n % 2 == 0) CHECK(trie_owner_add(o, STAYING));
        if (n % 500 == 0) CHECK(evb__trie_rebuild(&o->trie, 0, 0, 0));
        if (c->reclaim && n % 16 == 0) reclaim(c);
    }
    evb__st_rlx(&c->finished, 1); /* relaxed: see read_until_told */
}

static void take_part(uint32_t index, void *arg)
{
    struct crowd *c = arg;

    if (index == 0)
        write_until_read(c);
    else
        read_until_told(c, index - 1);
}

static void serve_nobody(void *mark)
{
    (void)mark;
}

static void finish_nothing(struct evb__self *self)
{
    (void)self;
}

static void names_for(struct crowd *c, uint32_t dialect)
{
    const struct evb__dialect *d = evb__dialect(dialect);
    const char *const middle = dialect == EVB_TOPICS_AMQP ? "#" : "b";
    struct trie_owner *o = &c->owner;

    for (uint32_t i = 0; i < o->entries; i++) {
        char *text = o->entry[i].text;

        /* Few tokens at the beginning, so that all share paths; one of its own at the end of those that come
         * and go. */
        if (i < STAYING)
            snprintf(text, EVB__NAME_MAX, "%c.%c.%c.%c", "abc*"[i % 4], "abc*"[i / 4 % 4], "xyz*"[i / 16],
                     '*');
        else if (i % 2 == 0)
            snprintf(text, EVB__NAME_MAX, "%c.%s.*.unique-token-%u", "abc*"[i / 2 % 4], middle, i);
        else
            snprintf(text, EVB__NAME_MAX, "%c.*.%c%u.%c", "abc*"[i / 2 % 4], 't', i, d->many);
        for (char *p = text; *p != '\0'; p++) {
            if (*p == '.') *p = d->separator;
            if (*p == '*') *p = d->one;
        }
    }
    for (uint32_t t = 0; t < TOPICS; t++) {
        uint32_t i = STAYING + t * 6;

        if (t % 4 == 0)
            snprintf(c->topic[t], sizeof c->topic[t], "%c.%c.%c.last", "abc"[t % 3], "abc"[t / 3 % 3],
                     "xyz"[t / 9 % 3]);
        else if (t % 4 == 1)
            snprintf(c->topic[t], sizeof c->topic[t], "%c.b.x.unique-token-%u", "abc"[t % 3], i);
        else if (t % 4 == 2)
            snprintf(c->topic[t], sizeof c->topic[t], "%c.b.t%u.more", "abc"[t % 3], i + 1);
        else
            snprintf(c->topic[t], sizeof c->topic[t], "%c.b.unique-token-%u", "abc"[t % 3], STAYING + t);
        for (char *p = c->topic[t]; *p != '\0'; p++)
            if (*p == '.') *p = d->separator;
    }
    for (uint32_t t = 0; t < TOPICS; t++)
        for (uint32_t i = 0; i < o->entries; i++)
            c->expected[t][i] = topic_oracle_matches(dialect, o->entry[i].text, c->topic[t]) == 1;
}

static void crowd_agrees(uint32_t dialect, bool reclaims)
{
    struct crowd *c = calloc(1, sizeof *c);
    uint32_t staying = 0, coming = 0;

    CHECK(c != NULL);
    trie_owner_start(&c->owner, dialect, STAYING + COMING);
    c->owner.free_at_once = false;
    c->reclaim = reclaims;
    c->rounds = getenv("EVB_TEST_LONG") ? 200000 : 8000;
    names_for(c, dialect);
    for (uint32_t t = 0; t < TOPICS; t++) {
        for (uint32_t i = 0; i < STAYING + COMING; i++) {
            if (i < STAYING)
                staying += c->expected[t][i];
            else
                coming += c->expected[t][i];
        }
    }
    CHECK(staying > TOPICS && coming > TOPICS / 4); /* or nothing much would be compared */
    for (uint32_t i = 0; i < STAYING; i++)
        CHECK(trie_owner_add(&c->owner, i));
    OK(evb__readers_init(serve_nobody, finish_nothing));
    evb_test_run_threads(1 + READERS, take_part, c);
    trie_reads_back(&c->owner); /* moved() kept up with every rebuild */
    CHECK(c->owner.moves > 0 && c->owner.retirements > 20);
    if (reclaims) {
        reclaim(c); /* no reader is left */
        EQ_PTR(c->owner.retired, NULL);
        EQ(c->freed, c->owner.retirements);
    }
    trie_owner_finish(&c->owner);
    free(c);
}

TEST(readers_beside_rebuilds_see_all_that_stays_and_no_stranger_in_dot)
{
    crowd_agrees(EVB_TOPICS_DOT, false);
}

TEST(readers_beside_rebuilds_see_all_that_stays_and_no_stranger_in_mqtt)
{
    crowd_agrees(EVB_TOPICS_MQTT, false);
}

TEST(readers_beside_rebuilds_see_all_that_stays_and_no_stranger_in_amqp)
{
    crowd_agrees(EVB_TOPICS_AMQP, false);
}

TEST(what_is_retired_can_be_freed_when_no_announced_reader_is_in_the_way)
{
    crowd_agrees(EVB_TOPICS_DOT, true);
}

TEST(what_is_retired_can_be_freed_beside_readers_of_amqp_patterns)
{
    crowd_agrees(EVB_TOPICS_AMQP, true);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_beside_rebuilds_see_all_that_stays_and_no_stranger_in_dot),
        cmocka_unit_test(readers_beside_rebuilds_see_all_that_stays_and_no_stranger_in_mqtt),
        cmocka_unit_test(readers_beside_rebuilds_see_all_that_stays_and_no_stranger_in_amqp),
        cmocka_unit_test(what_is_retired_can_be_freed_when_no_announced_reader_is_in_the_way),
        cmocka_unit_test(what_is_retired_can_be_freed_beside_readers_of_amqp_patterns),
    };
    return EVB_TEST_MAIN("trie_readers", tests, argc, argv);
}
