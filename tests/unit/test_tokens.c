/* SPDX-License-Identifier: MIT */
/* Token maps: numbers for tokens, growth that keeps them, compaction that changes them. */
#include "topic/tokens.h"

#include "evb_test.h"

#include <stdio.h>
#include <string.h>

#define SEED UINT64_C(0x70ce5)

static uint32_t hash_of(const char *token)
{
    return evb__token_hash(token, strlen(token), SEED);
}

static uint32_t find(const struct evb__token_map *map, const char *token)
{
    return evb__token_find(map, token, (uint32_t)strlen(token), hash_of(token));
}

static uint32_t intern(struct evb__token_map *map, const char *token)
{
    return evb__token_intern(map, token, (uint32_t)strlen(token), hash_of(token));
}

static uint32_t units_of(const char *token)
{
    return evb__token_units((uint32_t)strlen(token));
}

static void has_bytes(const struct evb__token_map *map, uint32_t number, const char *token)
{
    EQ(evb__token_at(map, number)->size, strlen(token));
    EQ_MEM(evb__token_at(map, number)->bytes, token, strlen(token));
}

TEST(the_same_bytes_get_the_same_number_and_others_another)
{
    struct evb__token_map *map = evb__token_map_create(4, 100);
    uint32_t a = intern(map, "flight"), b = intern(map, "flights"), c = intern(map, "");

    CHECK(a >= EVB__TOKEN_FIRST && b >= EVB__TOKEN_FIRST && c >= EVB__TOKEN_FIRST);
    CHECK(a != b && b != c && a != c);
    EQ(intern(map, "flight"), a);
    EQ(find(map, "flights"), b);
    EQ(find(map, ""), c);
    EQ(find(map, "flightz"), EVB__TOKEN_NONE);
    has_bytes(map, a, "flight");
    has_bytes(map, c, "");
    evb__token_map_free(map);
}

TEST(tokens_of_every_size_are_kept_whole)
{
    struct evb__token_map *map = evb__token_map_create(256, 256 * evb__token_units(255));
    uint32_t number[256];
    char token[256];

    memset(token, 'x', sizeof token);
    for (uint32_t size = 0; size < 256; size++)
        number[size] = evb__token_intern(map, token, size, evb__token_hash(token, size, SEED));
    for (uint32_t size = 0; size < 256; size++) {
        EQ(evb__token_find(map, token, size, evb__token_hash(token, size, SEED)), number[size]);
        EQ(evb__token_at(map, number[size])->size, size);
        EQ_MEM(evb__token_at(map, number[size])->bytes, token, size);
    }
    evb__token_map_free(map);
}

TEST(tokens_with_the_same_hash_are_told_apart_by_their_bytes)
{
    struct evb__token_map *map = evb__token_map_create(4, 100);
    uint32_t last = UINT32_MAX; /* its home is the last slot: the second one wraps around */
    uint32_t a = evb__token_intern(map, "aa", 2, last), b = evb__token_intern(map, "bb", 2, last);
    uint32_t c = evb__token_intern(map, "c", 1, last);

    EQ(evb__token_find(map, "aa", 2, last), a);
    EQ(evb__token_find(map, "bb", 2, last), b);
    EQ(evb__token_find(map, "c", 1, last), c);
    EQ(evb__token_find(map, "cc", 2, last), EVB__TOKEN_NONE);
    CHECK(a != b && b != c);
    evb__token_map_free(map);
}

TEST(a_token_without_references_stays_and_comes_back_under_its_number)
{
    struct evb__token_map *map = evb__token_map_create(4, 100);
    uint32_t a = intern(map, "a");

    EQ(map->live, 0); /* interned is not yet in use */
    evb__token_hold(map, a);
    evb__token_hold(map, a);
    EQ(map->live, 1);
    EQ(map->live_units, units_of("a"));
    evb__token_drop(map, a);
    EQ(map->live, 1);
    evb__token_drop(map, a);
    EQ(map->live, 0);
    EQ(map->live_units, 0);
    EQ(find(map, "a"), a);
    EQ(intern(map, "a"), a);
    evb__token_hold(map, a);
    EQ(map->live, 1);
    evb__token_map_free(map);
}

TEST(wildcards_are_not_counted)
{
    struct evb__token_map *map = evb__token_map_create(4, 100);

    evb__token_hold(map, EVB__TOKEN_STAR);
    evb__token_hold(map, EVB__TOKEN_HASH);
    EQ(map->live, 0);
    evb__token_drop(map, EVB__TOKEN_STAR);
    evb__token_drop(map, EVB__TOKEN_HASH);
    EQ(map->live, 0);
    evb__token_map_free(map);
}

TEST(a_map_says_when_it_is_full)
{
    struct evb__token_map *map = evb__token_map_create(0, 0);
    char token[16];
    uint32_t n = 0;

    EQ(map->slot_count, EVB__TOKEN_SLOTS_MIN);
    EQ(map->unit_count, EVB__TOKEN_UNITS_MIN);
    while (evb__token_map_has_room(map, 1, evb__token_units(1))) {
        snprintf(token, sizeof token, "%c", 'a' + (int)n++);
        (void)intern(map, token);
    }
    EQ(n, EVB__TOKEN_SLOTS_MIN * 2 / 3); /* short tokens: it is the slots that run out */
    CHECK(evb__token_map_has_room(map, 0, 0));
    CHECK(!evb__token_map_has_room(map, UINT32_MAX, 0));
    CHECK(!evb__token_map_has_room(map, 0, UINT32_MAX));
    evb__token_map_free(map);

    map = evb__token_map_create(0, 0);
    CHECK(evb__token_map_has_room(map, 1, EVB__TOKEN_UNITS_MIN - EVB__TOKEN_FIRST));
    CHECK(!evb__token_map_has_room(map, 1, EVB__TOKEN_UNITS_MIN - EVB__TOKEN_FIRST + 1));
    evb__token_map_free(map);
}

/* A map of n tokens "t0", "t1", ...; those with an even number are in use, twice. Grown as often as needed.
 */
static struct evb__token_map *make_many(uint32_t n, uint32_t *number)
{
    struct evb__token_map *map = evb__token_map_create(0, 0);
    char token[16];

    for (uint32_t i = 0; i < n; i++) {
        snprintf(token, sizeof token, "t%u", i);
        if (!evb__token_map_has_room(map, 1, units_of(token))) {
            struct evb__token_map *larger = evb__token_map_grow(map, 1, units_of(token));

            CHECK(larger != NULL);
            evb__token_map_free(map);
            map = larger;
        }
        number[i] = intern(map, token);
        for (uint32_t k = 0; i % 2 == 0 && k < 2; k++)
            evb__token_hold(map, number[i]);
    }
    return map;
}

#define MANY 3000

TEST(growth_keeps_numbers_and_references)
{
    static uint32_t number[MANY];
    struct evb__token_map *map = make_many(MANY, number);
    char token[16];

    EQ(map->used_slots, MANY);
    EQ(map->live, MANY / 2);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(token, sizeof token, "t%u", i);
        EQ(find(map, token), number[i]);
        has_bytes(map, number[i], token);
        EQ(evb__token_at(map, number[i])->references, i % 2 == 0 ? 2 : 0);
    }
    for (uint32_t i = 0; i < MANY; i += 2) {
        evb__token_drop(map, number[i]);
        evb__token_drop(map, number[i]);
    }
    EQ(map->live, 0);
    EQ(map->live_units, 0);
    evb__token_map_free(map);
}

TEST(compaction_leaves_behind_what_nobody_refers_to_and_tells_the_new_numbers)
{
    static uint32_t number[MANY];
    struct evb__token_map *from = make_many(MANY, number),
                          *to = evb__token_map_create(from->live, from->live_units);
    char token[16];

    evb__token_map_compact(from, to);
    EQ(to->used_slots, MANY / 2);
    EQ(to->live, MANY / 2);
    EQ(to->live_units, from->live_units);
    EQ(to->used_units, EVB__TOKEN_FIRST + from->live_units);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(token, sizeof token, "t%u", i);
        if (i % 2 == 1) {
            EQ(find(to, token), EVB__TOKEN_NONE);
            continue;
        }
        EQ(find(to, token), evb__token_moved(from, number[i]));
        has_bytes(to, evb__token_moved(from, number[i]), token);
        EQ(evb__token_at(to, evb__token_moved(from, number[i]))->references, 2);
        has_bytes(from, number[i], token); /* readers of the old map see no difference */
    }
    EQ(evb__token_moved(from, EVB__TOKEN_STAR), EVB__TOKEN_STAR);
    EQ(evb__token_moved(from, EVB__TOKEN_HASH), EVB__TOKEN_HASH);
    evb__token_map_free(from);
    evb__token_map_free(to);
}

TEST(a_map_beyond_the_limits_is_refused_without_asking_for_memory)
{
    struct evb__token_map *map = evb__token_map_create(1, 1);
    uint64_t calls = evb_test_alloc_calls();

    CHECK(evb__token_map_create(UINT32_MAX, 0) == NULL);
    CHECK(evb__token_map_create(0, UINT32_MAX) == NULL);
    CHECK(evb__token_map_grow(map, UINT32_MAX, 0) == NULL);
    CHECK(evb__token_map_grow(map, 0, UINT32_MAX) == NULL);
    EQ(evb_test_alloc_calls(), calls);
    evb__token_map_free(map);
}

TEST(without_memory_there_is_no_map_and_the_old_one_is_whole)
{
    struct evb__token_map *map = evb__token_map_create(1, 1);
    uint32_t a = intern(map, "a");

    evb_test_alloc_fail_from(1);
    CHECK(evb__token_map_create(1, 1) == NULL);
    CHECK(evb__token_map_grow(map, 100, 100) == NULL);
    evb_test_alloc_fail_off();
    EQ(find(map, "a"), a);
    evb__token_map_free(map);
    evb__token_map_free(NULL);
}

static void keep(void *arg, struct evb__limbo *block)
{
    *(struct evb__limbo **)arg = block;
}

TEST(a_retired_map_is_freed_by_its_keeper)
{
    struct evb__token_map *map = evb__token_map_create(1, 1);
    struct evb__limbo *block = NULL;

    EQ(evb_test_alloc_live_bytes(), evb__token_map_bytes(map));
    evb__token_map_retire(map, (struct evb__retirer){.retire = keep, .arg = &block});
    CHECK(block != NULL);
    EQ(block->hazard, 0); /* only readers that look names up may see it */
    EQ(evb_test_alloc_live(), 1);
    block->free(block);
    EQ(evb_test_alloc_live(), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bytes_get_the_same_number_and_others_another),
        cmocka_unit_test(tokens_of_every_size_are_kept_whole),
        cmocka_unit_test(tokens_with_the_same_hash_are_told_apart_by_their_bytes),
        cmocka_unit_test(a_token_without_references_stays_and_comes_back_under_its_number),
        cmocka_unit_test(wildcards_are_not_counted),
        cmocka_unit_test(a_map_says_when_it_is_full),
        cmocka_unit_test(growth_keeps_numbers_and_references),
        cmocka_unit_test(compaction_leaves_behind_what_nobody_refers_to_and_tells_the_new_numbers),
        cmocka_unit_test(a_map_beyond_the_limits_is_refused_without_asking_for_memory),
        cmocka_unit_test(without_memory_there_is_no_map_and_the_old_one_is_whole),
        cmocka_unit_test(a_retired_map_is_freed_by_its_keeper),
    };
    return EVB_TEST_MAIN("tokens", tests, argc, argv);
}
