/* SPDX-License-Identifier: MIT */
/* The pattern trie: that it forgets what is gone, gives memory back, and survives when there is none. */
#include "topic/trie.h"

#include <evbus/bus.h>
#include "evb_test.h"
#include "topic/trie_table.h"
#include "trie_owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_patterns(struct trie_owner *o, const char *const *patterns)
{
    for (uint32_t i = 0; i < o->entries; i++)
        snprintf(o->entry[i].text, sizeof o->entry[i].text, "%s", patterns[i]);
}

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

/* ---- forgetting ---- */

TEST(releasing_a_pattern_prunes_what_no_other_pattern_needs)
{
    static const char *const patterns[] = {"a.b.*", "a.b.*.d", "a.>", "x.*"};
    struct trie_owner o;

    trie_owner_start(&o, EVB_TOPICS_DOT, COUNT(patterns));
    set_patterns(&o, patterns);
    CHECK(trie_owner_add(&o, 0));
    EQ(o.trie.nodes, 3);
    CHECK(trie_owner_add(&o, 1));
    EQ(o.trie.nodes, 4);
    CHECK(trie_owner_add(&o, 2));
    EQ(o.trie.nodes, 4);
    CHECK(trie_owner_add(&o, 3));
    EQ(o.trie.nodes, 6);
    EQ(evb__trie_tokens(&o.trie), 4);
    trie_owner_drop(&o, 0); /* is on the way to a.b.*.d */
    EQ(o.trie.nodes, 6);
    trie_owner_drop(&o, 1);
    EQ(o.trie.nodes, 3);
    EQ(evb__trie_tokens(&o.trie), 2);
    trie_owner_drop(&o, 3);
    EQ(o.trie.nodes, 1);
    EQ(trie_matches_as_defined(&o, "a.b.c"), 1);
    trie_owner_drop(&o, 2);
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

TEST(releasing_a_place_in_use_or_twice_changes_nothing)
{
    static const char *const patterns[] = {"a.*", "a.*.c", "b.*"};
    struct trie_owner o;
    uint32_t place;

    trie_owner_start(&o, EVB_TOPICS_DOT, COUNT(patterns));
    set_patterns(&o, patterns);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(trie_owner_add(&o, i));
    evb__trie_release(&o.trie, o.entry[0].place);
    EQ(o.trie.nodes, 5);
    trie_reads_back(&o);
    place = o.entry[2].place;
    trie_owner_drop(&o, 2);
    EQ(o.trie.nodes, 3);
    evb__trie_release(&o.trie, place);
    EQ(o.trie.nodes, 3);
    trie_reads_back(&o);
    trie_owner_finish(&o);
}

TEST(an_add_that_is_given_up_leaves_nothing)
{
    struct trie_owner o;
    struct evb__tokens pattern;
    uint32_t place;

    trie_owner_start(&o, EVB_TOPICS_DOT, 1);
    pattern = trie_pattern(&o, "a.b.*");
    place = evb__trie_add(&o.trie, &pattern);
    CHECK(place != 0);
    EQ(evb__trie_add(&o.trie, &pattern), place); /* still the same one */
    EQ(evb__trie_find(&o.trie, &pattern), 0);    /* the list is empty */
    EQ(o.trie.nodes, 3);
    evb__trie_release(&o.trie, place);
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

TEST(coming_and_going_of_one_pattern_neither_allocates_nor_rebuilds)
{
    static const char *const patterns[] = {"a.b.*", "a.>"};
    struct trie_owner o;
    uint64_t calls;

    trie_owner_start(&o, EVB_TOPICS_DOT, COUNT(patterns));
    set_patterns(&o, patterns);
    CHECK(trie_owner_add(&o, 0));
    CHECK(trie_owner_add(&o, 1));
    calls = evb_test_alloc_calls();
    for (uint32_t i = 0; i < 1000; i++) {
        trie_owner_drop(&o, i % 2);
        EQ(trie_matches_as_defined(&o, "a.b.c"), 1);
        CHECK(trie_owner_add(&o, i % 2));
        EQ(trie_matches_as_defined(&o, "a.b.c"), 2);
    }
    EQ(evb_test_alloc_calls(), calls);
    EQ(o.moves, 0);
    trie_owner_finish(&o);
}

TEST(tokens_that_never_come_back_are_forgotten)
{
    struct trie_owner o;
    int64_t most = 0;

    /* user.<unique>.*: one at a time, the tokens as long as they can be. */
    trie_owner_start(&o, EVB_TOPICS_DOT, 2);
    strcpy(o.entry[1].text, "fixed.*");
    CHECK(trie_owner_add(&o, 1));
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(o.entry[0].text, sizeof o.entry[0].text, "user.%0200u.*", i);
        CHECK(trie_owner_add(&o, 0));
        trie_owner_drop(&o, 0);
        if (evb_test_alloc_live_bytes() > most) most = evb_test_alloc_live_bytes();
    }
    EQ(o.trie.nodes, 2);
    EQ(evb__trie_tokens(&o.trie), 1);
    CHECK(most > 0 && most < 16 * 1024);
    trie_owner_drop(&o, 1);
    trie_is_empty(&o);
    EQ(evb_test_alloc_live_bytes(), evb__trie_bytes(&o.trie));
    trie_owner_finish(&o);
}

TEST(a_large_trie_gives_its_memory_back)
{
    struct trie_owner o;
    uint32_t n = 20000;
    int64_t full;

    trie_owner_start(&o, EVB_TOPICS_DOT, n);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(o.entry[i].text, sizeof o.entry[i].text, "device.%08x.*", i * 2654435761u);
        CHECK(trie_owner_add(&o, i));
    }
    full = evb_test_alloc_live_bytes();
    EQ(full, evb__trie_bytes(&o.trie));
    for (uint32_t i = 1; i < n; i++) {
        trie_owner_drop(&o, i);
        CHECK(evb_test_alloc_live_bytes() <= full); /* releases alone never take more */
        if (i != n * 3 / 4 && i != n - n / 20) continue;
        CHECK(trie_owner_add(&o, i));
        CHECK(evb_test_alloc_live_bytes() < (i == n * 3 / 4 ? full / 2 : full / 4));
        trie_owner_drop(&o, i);
    }
    trie_owner_drop(&o, 0);
    trie_is_empty(&o);
    EQ(evb_test_alloc_live_bytes(), evb__trie_bytes(&o.trie));
    trie_owner_finish(&o);
}

TEST(what_is_pruned_never_outweighs_what_is_in_use)
{
    struct trie_owner o;

    /* Many nodes, few tokens: it is the entries that must go. */
    trie_owner_start(&o, EVB_TOPICS_DOT, 30 * 30);
    for (uint32_t i = 0; i < o.entries; i++) {
        snprintf(o.entry[i].text, sizeof o.entry[i].text, "t%u.t%u.*", i % 30, i / 30);
        CHECK(trie_owner_add(&o, i));
    }
    for (uint32_t i = 0; i < o.entries; i++) {
        trie_owner_drop(&o, i);
        if (i % 2 == 0) continue;
        CHECK(trie_owner_add(&o, i)); /* it is an add that pays */
        CHECK(o.trie.dead <= o.trie.nodes + EVB__TRIE_DEAD_FREE);
        trie_owner_drop(&o, i);
    }
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

TEST(long_tokens_are_forgotten_while_many_short_ones_stay)
{
    struct trie_owner o;
    size_t most = 0;

    trie_owner_start(&o, EVB_TOPICS_DOT, 301);
    for (uint32_t i = 0; i < 300; i++) {
        snprintf(o.entry[i].text, sizeof o.entry[i].text, "a.%u.*", i);
        CHECK(trie_owner_add(&o, i));
    }
    for (uint32_t i = 0; i < 250; i++) { /* fewer than would outweigh the entries in use */
        size_t bytes;

        snprintf(o.entry[300].text, sizeof o.entry[300].text, "a.%0240u.*", i);
        CHECK(trie_owner_add(&o, 300));
        trie_owner_drop(&o, 300);
        bytes = evb__token_map_bytes(evb__ld_rlx(&evb__ld_rlx(&o.trie.table)->map));
        if (bytes > most) most = bytes;
    }
    CHECK(most < 28 * 1024); /* 250 tokens of 240 bytes are 60 000 */
    trie_reads_back(&o);
    trie_owner_finish(&o);
}

TEST(one_pattern_of_long_tokens_leaves_nothing)
{
    struct trie_owner o;

    trie_owner_start(&o, EVB_TOPICS_DOT, 1);
    snprintf(o.entry[0].text, sizeof o.entry[0].text, "%080u.%080u.%080u.*", 1u, 2u, 3u);
    CHECK(trie_owner_add(&o, 0));
    CHECK(evb__trie_bytes(&o.trie) > trie_smallest_bytes());
    trie_owner_drop(&o, 0);
    EQ(evb__trie_bytes(&o.trie), 0);
    EQ(evb_test_alloc_live(), 0);
    trie_owner_finish(&o);
}

TEST(many_nodes_of_one_token_leave_nothing)
{
    struct trie_owner o;

    trie_owner_start(&o, EVB_TOPICS_DOT, 255);
    for (uint32_t i = 0; i < o.entries; i++) {
        for (uint32_t k = 0; k < 8; k++)
            snprintf(o.entry[i].text + 2 * k, 3, "%c.", i >> k & 1 ? 'a' : '*');
        o.entry[i].text[15] = '\0';
        CHECK(trie_owner_add(&o, i));
    }
    EQ(evb__trie_tokens(&o.trie), 1);
    for (uint32_t i = 0; i < o.entries; i++)
        trie_owner_drop(&o, i);
    EQ(evb__trie_bytes(&o.trie), 0);
    trie_owner_finish(&o);
}

TEST(a_rebuild_makes_room_for_tokens_that_it_has_forgotten)
{
    struct trie_owner o;

    trie_owner_start(&o, EVB_TOPICS_DOT, 9);
    strcpy(o.entry[0].text, ">"); /* keeps the table */
    CHECK(trie_owner_add(&o, 0));
    snprintf(o.entry[1].text, sizeof o.entry[1].text, "%080u.%080u.%080u.*", 1u, 2u, 3u);
    CHECK(trie_owner_add(&o, 1));
    trie_owner_drop(&o, 1);
    for (uint32_t i = 2; i < 8; i++) {
        snprintf(o.entry[i].text, sizeof o.entry[i].text, "q%u.*", i);
        CHECK(trie_owner_add(&o, i));
        trie_owner_drop(&o, i);
    }
    EQ(o.trie.dead, EVB__TRIE_DEAD_FREE);
    /* The same tokens in other nodes: they are in the map, nobody refers to them, and the table is full. */
    snprintf(o.entry[8].text, sizeof o.entry[8].text, "%080u.%080u.%080u.*", 3u, 2u, 1u);
    CHECK(trie_owner_add(&o, 8));
    EQ(o.trie.dead, 0);
    trie_reads_back(&o);
    trie_owner_finish(&o);
}

TEST(a_token_map_that_was_outgrown_is_retired_and_not_freed)
{
    struct trie_owner o;
    const struct evb__trie_table *table;
    const struct evb__token_map *map;
    uint32_t first;

    trie_owner_start(&o, EVB_TOPICS_DOT, 2);
    o.free_at_once = false;
    strcpy(o.entry[0].text, "first.*");
    CHECK(trie_owner_add(&o, 0));
    table = evb__ld_rlx(&o.trie.table);
    map = evb__ld_rlx(&table->map);
    first = evb__token_find(map, "first", 5, evb__token_hash("first", 5, o.trie.seed));
    NE(first, EVB__TOKEN_NONE);
    snprintf(o.entry[1].text, sizeof o.entry[1].text, "%0240u.*", 1u);
    CHECK(trie_owner_add(&o, 1));
    EQ_PTR(evb__ld_rlx(&o.trie.table), table); /* the map alone was replaced */
    CHECK(evb__ld_rlx(&table->map) != map);
    EQ(o.retirements, 1);
    EQ_MEM(evb__token_at(map, first)->bytes, "first", 5); /* as a reader may still find it */
    EQ_MEM(evb__token_at(evb__ld_rlx(&table->map), first)->bytes, "first", 5);
    trie_owner_finish(&o);
}

/* ---- failures ---- */

TEST(a_table_beyond_the_limit_is_refused_without_asking_for_memory)
{
    uint64_t calls = evb_test_alloc_calls();

    CHECK(evb__trie_table_create(UINT32_MAX) == NULL);
    CHECK(evb__trie_table_create(EVB__TRIE_BUCKETS_MAX / 2 * 3 + 3) == NULL);
    EQ(evb_test_alloc_calls(), calls);
}

/* Adds, and takes half of it back, with allocations failing: whatever happens, the trie agrees with what was
 * answered. */
static void add_and_drop(void *arg)
{
    struct trie_owner o;
    char topic[64];

    (void)arg;
    trie_owner_start(&o, EVB_TOPICS_DOT, 60);
    for (uint32_t i = 0; i < o.entries; i++) {
        uint32_t nodes = o.trie.nodes, tokens = evb__trie_tokens(&o.trie);

        snprintf(o.entry[i].text, sizeof o.entry[i].text, "topic.%u.*.with-a-token-of-its-own-%u.>", i % 7,
                 i);
        if (!OK_OR_NOMEM(trie_owner_add(&o, i) ? EVB_OK : EVB_ENOMEM)) {
            EQ(o.trie.nodes, nodes);
            EQ(evb__trie_tokens(&o.trie), tokens);
        }
        if (i % 2 == 1 && o.entry[i / 2].place != 0) trie_owner_drop(&o, i / 2); /* never fails */
        snprintf(topic, sizeof topic, "topic.%u.x.with-a-token-of-its-own-%u.y", i % 7, i);
        (void)trie_matches_as_defined(&o, topic);
    }
    trie_reads_back(&o);
    for (uint32_t i = 0; i < o.entries; i++)
        if (o.entry[i].place != 0) trie_owner_drop(&o, i);
    trie_is_empty(&o);
    trie_owner_finish(&o);
}

TEST(an_add_without_memory_answers_so_and_changes_nothing)
{
    CHECK(evb_test_alloc_sweep(add_and_drop, NULL) > 20);
}

TEST(a_release_allocates_nothing_and_moves_nothing)
{
    struct trie_owner o;
    uint32_t n = 500, moves;
    uint64_t calls;

    trie_owner_start(&o, EVB_TOPICS_DOT, n);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(o.entry[i].text, sizeof o.entry[i].text, "a.%u.*", i);
        CHECK(trie_owner_add(&o, i));
    }
    calls = evb_test_alloc_calls();
    moves = o.moves;
    for (uint32_t i = 0; i < n; i++) {
        trie_owner_drop(&o, i);
        if (i == n - 2) trie_reads_back(&o);
    }
    EQ(evb_test_alloc_calls(), calls);
    EQ(o.moves, moves);
    EQ(evb__trie_bytes(&o.trie), 0); /* and yet all is given back */
    trie_owner_finish(&o);
}

TEST(an_add_that_could_tidy_but_has_no_memory_still_works)
{
    struct trie_owner o;
    uint32_t n = 100;

    trie_owner_start(&o, EVB_TOPICS_DOT, n);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(o.entry[i].text, sizeof o.entry[i].text, "a.%u.*", i);
        CHECK(trie_owner_add(&o, i));
    }
    for (uint32_t i = 1; i < n; i++)
        trie_owner_drop(&o, i);
    CHECK(o.trie.dead > o.trie.nodes + EVB__TRIE_DEAD_FREE);
    evb_test_alloc_fail_from(1);
    CHECK(trie_owner_add(&o, 1)); /* its pruned nodes are still there */
    evb_test_alloc_fail_off();
    CHECK(evb_test_alloc_faults() > 0);
    trie_reads_back(&o);
    CHECK(trie_owner_add(&o, 2)); /* with memory again */
    EQ(o.trie.dead, 0);
    trie_reads_back(&o);
    EQ(trie_matches_as_defined(&o, "a.2.x"), 1);
    trie_owner_finish(&o);
}

TEST(a_match_allocates_nothing)
{
    static const char *const patterns[] = {"a.*", "a.>", "*.b"};
    struct trie_owner o;
    uint64_t calls;

    trie_owner_start(&o, EVB_TOPICS_DOT, COUNT(patterns));
    set_patterns(&o, patterns);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(trie_owner_add(&o, i));
    calls = evb_test_alloc_calls();
    EQ(trie_matches_as_defined(&o, "a.b"), 3);
    EQ(evb_test_alloc_calls(), calls);
    trie_owner_finish(&o);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(releasing_a_pattern_prunes_what_no_other_pattern_needs),
        cmocka_unit_test(releasing_a_place_in_use_or_twice_changes_nothing),
        cmocka_unit_test(an_add_that_is_given_up_leaves_nothing),
        cmocka_unit_test(coming_and_going_of_one_pattern_neither_allocates_nor_rebuilds),
        cmocka_unit_test(tokens_that_never_come_back_are_forgotten),
        cmocka_unit_test(a_large_trie_gives_its_memory_back),
        cmocka_unit_test(what_is_pruned_never_outweighs_what_is_in_use),
        cmocka_unit_test(long_tokens_are_forgotten_while_many_short_ones_stay),
        cmocka_unit_test(one_pattern_of_long_tokens_leaves_nothing),
        cmocka_unit_test(many_nodes_of_one_token_leave_nothing),
        cmocka_unit_test(a_rebuild_makes_room_for_tokens_that_it_has_forgotten),
        cmocka_unit_test(a_token_map_that_was_outgrown_is_retired_and_not_freed),
        cmocka_unit_test(a_table_beyond_the_limit_is_refused_without_asking_for_memory),
        cmocka_unit_test(an_add_without_memory_answers_so_and_changes_nothing),
        cmocka_unit_test(a_release_allocates_nothing_and_moves_nothing),
        cmocka_unit_test(an_add_that_could_tidy_but_has_no_memory_still_works),
        cmocka_unit_test(a_match_allocates_nothing),
    };
    return EVB_TEST_MAIN("trie_memory", tests, argc, argv);
}
