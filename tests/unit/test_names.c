/* SPDX-License-Identifier: MIT */
/* The name table: look-up without a lock, insert, remove, rebuilding. */
#include "topic/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <evbus/base.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "evb_test.h"

#define SEED UINT64_C(0x5eed)

struct record {
    _Alignas(EVB__ALIGN_MIN) struct evb__named named;
    bool present; /* what the model thinks */
    char name[32];
};

/* The owner's side: keeps what is retired until `release`, counts it. */
struct owner {
    struct evb__limbo *retired;
    uint32_t count;
};

static void retire(void *arg, struct evb__limbo *block)
{
    struct owner *owner = arg;

    block->next = owner->retired;
    owner->retired = block;
    owner->count++;
}

static void release(struct owner *owner)
{
    struct evb__limbo *block;

    while ((block = owner->retired) != NULL) {
        owner->retired = block->next;
        block->free(block);
    }
}

static void start(struct evb__names *names, struct owner *owner)
{
    *owner = (struct owner){0};
    evb__names_init(names, SEED, (struct evb__retirer){.retire = retire, .arg = owner});
}

static void finish(struct evb__names *names, struct owner *owner)
{
    evb__names_fini(names);
    release(owner); /* what is left now is a leak, which the runner reports */
}

static uint32_t hash_of(const char *name)
{
    return (uint32_t)evb__hash(name, strlen(name), SEED);
}

static void make(struct record *record, const char *name, uint32_t hash)
{
    memset(record, 0, sizeof *record);
    record->named.hash = hash;
    record->named.size = (uint16_t)strlen(name);
    record->named.name_offset = offsetof(struct record, name);
    memcpy(record->name, name, strlen(name) + 1);
}

static struct record *make_many(uint32_t n)
{
    struct record *records = aligned_alloc(EVB__ALIGN_MIN, n * sizeof *records);
    char name[32];

    assert_non_null(records);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "topic.%u.of.many", i);
        make(&records[i], name, hash_of(name));
    }
    return records;
}

static void insert(struct evb__names *names, struct record *record)
{
    OK(evb__names_reserve(names));
    evb__names_insert(names, &record->named);
    record->present = true;
}

static void remove_record(struct evb__names *names, struct record *record)
{
    evb__names_remove(names, &record->named);
    record->present = false;
}

static const void *find(const struct evb__names *names, const char *name)
{
    return evb__names_find(names, name, strlen(name), hash_of(name));
}

static void check_all(const struct evb__names *names, const struct record *records, uint32_t n)
{
    uint32_t present = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct record *r = &records[i];

        EQ_PTR(evb__names_find(names, r->name, r->named.size, r->named.hash),
               r->present ? (const void *)r : NULL);
        present += r->present;
    }
    EQ(names->live, present);
    CHECK(evb__names_valid(names));
}

TEST(an_empty_table_finds_nothing_and_has_no_memory)
{
    struct evb__names names;
    struct owner owner;

    start(&names, &owner);
    CHECK(find(&names, "a") == NULL);
    CHECK(find(&names, "") == NULL);
    EQ(evb_test_alloc_live(), 0);
    finish(&names, &owner);
}

TEST(a_name_is_found_as_long_as_it_is_in_the_table)
{
    struct evb__names names;
    struct owner owner;
    struct record r;

    start(&names, &owner);
    make(&r, "flight.JFK", hash_of("flight.JFK"));
    insert(&names, &r);
    EQ_PTR(find(&names, "flight.JFK"), &r);
    remove_record(&names, &r);
    CHECK(find(&names, "flight.JFK") == NULL);
    insert(&names, &r);
    EQ_PTR(find(&names, "flight.JFK"), &r);
    finish(&names, &owner);
}

/* Every length the comparison treats differently, and for each a name that differs in one byte only, at every
 * place, under the same hash. */
TEST(names_of_the_same_hash_and_length_are_told_apart_by_every_byte)
{
    struct evb__names names;
    struct owner owner;
    struct record r;
    char name[32], other[32];

    for (size_t size = 0; size < 30; size++) {
        for (size_t i = 0; i < size; i++)
            name[i] = (char)('a' + i % 26);
        name[size] = '\0';
        start(&names, &owner);
        make(&r, name, 77);
        insert(&names, &r);
        EQ_PTR(evb__names_find(&names, name, size, 77), &r);
        for (size_t i = 0; i < size; i++) {
            memcpy(other, name, sizeof name);
            other[i] = '!';
            CHECK(evb__names_find(&names, other, size, 77) == NULL);
        }
        CHECK(evb__names_find(&names, name, size, 78) == NULL);      /* another tag */
        CHECK(evb__names_find(&names, name, size, 77 + 16) == NULL); /* the same tag and home */
        if (size > 0) CHECK(evb__names_find(&names, name, size - 1, 77) == NULL);
        finish(&names, &owner);
    }
}

TEST(the_empty_name_is_a_name)
{
    struct evb__names names;
    struct owner owner;
    struct record r;

    start(&names, &owner);
    make(&r, "", hash_of(""));
    insert(&names, &r);
    EQ_PTR(find(&names, ""), &r);
    CHECK(find(&names, "a") == NULL);
    finish(&names, &owner);
}

/* The last slots of the table, so that probing goes on at its start. */
TEST(probing_wraps_around_the_end)
{
    struct evb__names names;
    struct owner owner;
    struct record r[12];
    char name[8];

    start(&names, &owner);
    for (uint32_t i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "n%u", i);
        make(&r[i], name, UINT32_MAX - 12 + i);
        insert(&names, &r[i]);
    }
    check_all(&names, r, 12);
    for (uint32_t i = 0; i < 12; i += 2)
        remove_record(&names, &r[i]);
    check_all(&names, r, 12);
    for (uint32_t i = 0; i < 12; i += 2)
        insert(&names, &r[i]);
    check_all(&names, r, 12);
    finish(&names, &owner);
}

TEST(a_removal_in_the_middle_of_a_run_hides_nobody_behind_it)
{
    struct evb__names names;
    struct owner owner;
    struct record r[8];
    char name[8];

    for (uint32_t gone = 0; gone < 8; gone++) {
        start(&names, &owner);
        for (uint32_t i = 0; i < 8; i++) {
            snprintf(name, sizeof name, "n%u", i);
            make(&r[i], name, 5); /* one home, one tag */
            insert(&names, &r[i]);
        }
        remove_record(&names, &r[gone]);
        check_all(&names, r, 8);
        insert(&names, &r[gone]);
        check_all(&names, r, 8);
        finish(&names, &owner);
    }
}

TEST(a_name_that_comes_and_goes_leaves_no_dead_slots_and_allocates_nothing)
{
    struct evb__names names;
    struct owner owner;
    struct record r[3];
    uint64_t calls;

    start(&names, &owner);
    make(&r[0], "always", 0);
    make(&r[1], "now and then", UINT32_C(1) << 31);
    make(&r[2], "sometimes",
         UINT32_C(1) << 31); /* behind the other: dead in front of the living for a while */
    insert(&names, &r[0]);
    calls = evb_test_alloc_calls();
    for (uint32_t i = 0; i < 1000; i++) {
        insert(&names, &r[1]);
        insert(&names, &r[2]);
        remove_record(&names, &r[1]);
        remove_record(&names, &r[2]);
    }
    EQ(evb_test_alloc_calls(), calls);
    EQ(names.used, 1);
    check_all(&names, r, 3);
    finish(&names, &owner);
}

/* Twelve of one home die in front of one that stays, so they cannot be buried. Of 32 slots 16 may be used. */
TEST(dead_slots_that_pile_up_go_with_a_rebuild)
{
    struct evb__names names;
    struct owner owner;
    struct record r[17];
    char name[8];

    start(&names, &owner);
    for (uint32_t i = 0; i < 17; i++) {
        snprintf(name, sizeof name, "n%u", i);
        make(&r[i], name, i < 13 ? 0 : UINT32_C(1) << 31);
    }
    for (uint32_t i = 0; i < 13; i++)
        insert(&names, &r[i]);
    for (uint32_t i = 0; i < 12; i++)
        remove_record(&names, &r[i]);
    EQ(names.used, 13);
    for (uint32_t i = 13; i < 16; i++)
        insert(&names, &r[i]);
    EQ(names.used, 16);
    EQ(owner.count, 0);
    insert(&names, &r[16]);
    EQ(owner.count, 1);
    EQ(names.used, 5);
    check_all(&names, r, 17);
    finish(&names, &owner);
}

/* A slot that died is used again: what comes and goes in front of somebody needs no rebuild either. */
TEST(a_dead_slot_is_used_again)
{
    struct evb__names names;
    struct owner owner;
    struct record r[3];

    start(&names, &owner);
    make(&r[0], "first", 9);
    make(&r[1], "behind", 9);
    make(&r[2], "another", 9);
    insert(&names, &r[0]);
    insert(&names, &r[1]);
    for (uint32_t i = 0; i < 1000; i++) {
        remove_record(&names, &r[i % 2 == 0 ? 0 : 2]);
        insert(&names, &r[i % 2 == 0 ? 2 : 0]);
        EQ(names.used, 2);
    }
    EQ(owner.count, 0);
    check_all(&names, r, 3);
    finish(&names, &owner);
}

/* At every moment of growing to 100 000, once the table is past its small sizes: 8 bytes a slot, half to two
 * thirds of them full. */
TEST(a_name_costs_at_most_16_bytes_in_a_large_table)
{
    const uint32_t n = 100000, small = 33000;
    struct evb__names names;
    struct owner owner;
    struct record *r = make_many(n);
    int64_t total = 0;

    start(&names, &owner);
    for (uint32_t i = 0; i < n; i++) {
        insert(&names, &r[i]);
        release(&owner);
        if (i < small) continue;
        CHECK(names.used <= (uint64_t)evb__ld_rlx(&names.table)->slots * 2 / 3);
        CHECK(evb_test_alloc_live_bytes() <= 16 * (int64_t)(i + 1) + 64);
        total += evb_test_alloc_live_bytes() / (i + 1);
    }
    CHECK(total / (n - small) <= 14);
    check_all(&names, r, n);
    finish(&names, &owner);
    free(r);
}

TEST(a_table_that_emptied_becomes_small_again)
{
    const uint32_t n = 50000;
    struct evb__names names;
    struct owner owner;
    struct record *r = make_many(n);

    start(&names, &owner);
    for (uint32_t i = 0; i < n; i++)
        insert(&names, &r[i]);
    for (uint32_t i = 0; i < n - 10; i++)
        remove_record(&names, &r[i]);
    release(&owner);
    CHECK(evb_test_alloc_live_bytes() <= 2048);
    check_all(&names, r, n);
    finish(&names, &owner);
    free(r);
}

TEST(every_replaced_table_is_retired_once_and_not_touched_again)
{
    struct evb__names names;
    struct owner owner;
    struct record *r = make_many(1000);
    struct evb__names_table *table = NULL;
    uint32_t replaced = 0;

    start(&names, &owner);
    for (uint32_t i = 0; i < 1000; i++) {
        struct evb__names_table *now;

        OK(evb__names_reserve(&names));
        now = evb__ld_rlx(&names.table);
        if (now != table && table != NULL) {
            replaced++;
            EQ_PTR(owner.retired, &table->limbo);
            release(&owner); /* the runner reports a write to freed memory */
        }
        table = now;
        evb__names_insert(&names, &r[i].named);
        r[i].present = true;
    }
    EQ(owner.count, replaced);
    CHECK(replaced >= 5);
    check_all(&names, r, 1000);
    finish(&names, &owner);
    free(r);
}

struct seen {
    uint32_t count, stop_at;
    const struct record *first;
    uint8_t times[100];
};

static int32_t see(struct evb__named *named, void *arg)
{
    struct seen *seen = arg;

    seen->times[(struct record *)(void *)named - seen->first]++;
    return ++seen->count == seen->stop_at ? -5 : 0;
}

TEST(each_shows_every_name_once_and_stops_when_told)
{
    struct evb__names names;
    struct owner owner;
    struct record *r = make_many(100);
    struct seen seen = {.first = r};

    start(&names, &owner);
    EQ(evb__names_each(&names, see, &seen), 0);
    EQ(seen.count, 0);
    for (uint32_t i = 0; i < 100; i++)
        insert(&names, &r[i]);
    for (uint32_t i = 0; i < 100; i += 3)
        remove_record(&names, &r[i]);
    EQ(evb__names_each(&names, see, &seen), 0);
    for (uint32_t i = 0; i < 100; i++)
        EQ(seen.times[i], i % 3 != 0);
    seen = (struct seen){.first = r, .stop_at = 7};
    EQ(evb__names_each(&names, see, &seen), -5);
    EQ(seen.count, 7);
    finish(&names, &owner);
    free(r);
}

/* Hashes from a small set crowd homes and tags; phases of growing and of shrinking. */
static void random_walk(uint32_t hash_mask, uint32_t hash_factor, uint32_t n, uint32_t steps)
{
    struct evb__names names;
    struct owner owner;
    struct record *r = make_many(n);
    uint64_t chance = 50;

    start(&names, &owner);
    for (uint32_t i = 0; i < n; i++)
        r[i].named.hash = (r[i].named.hash & hash_mask) * hash_factor;
    for (uint32_t step = 0; step < steps; step++) {
        struct record *one = &r[evb__rng_below(evb_test_rng(), n)];

        if (step % (steps / 8) == 0) chance = 10 + evb__rng_below(evb_test_rng(), 80);
        EQ_PTR(evb__names_find(&names, one->name, one->named.size, one->named.hash),
               one->present ? (const void *)one : NULL);
        if (one->present == (evb__rng_below(evb_test_rng(), 100) < chance)) continue;
        if (one->present)
            remove_record(&names, one);
        else
            insert(&names, one);
        if (step % 64 == 0) release(&owner);
        if (step % (steps / 16) == 0) check_all(&names, r, n);
    }
    check_all(&names, r, n);
    for (uint32_t i = 0; i < n; i++)
        if (r[i].present) remove_record(&names, &r[i]);
    check_all(&names, r, n);
    EQ(names.used, 0);
    finish(&names, &owner);
    free(r);
}

TEST(random_operations_agree_with_a_list)
{
    random_walk(UINT32_MAX, 1, 3000, 60000);
}

TEST(random_operations_under_crowded_hashes_agree_with_a_list)
{
    random_walk(0x0f, 0x11111111, 300, 20000); /* 16 homes */
    random_walk(0xff, 0x01010100, 500, 20000); /* one tag, that of a dead slot's neighbour: 0 */
    random_walk(0x00, 1, 60, 5000);            /* one home */
    random_walk(0x01, 1, 60, 5000);            /* tags 0 and 1: DEAD looks like the latter */
}

/* Grows, loses most of it and grows again while allocations fail: a reserve that failed has changed nothing
 * and is tried again. */
static void scenario(void *arg)
{
    struct evb__names names;
    struct owner owner;
    struct record *r = arg;
    uint32_t n = 300;

    start(&names, &owner);
    for (uint32_t i = 0; i < n; i++)
        r[i].present = false;
    for (uint32_t i = 0; i < n; i++) {
        if (!OK_OR_NOMEM(evb__names_reserve(&names))) {
            check_all(&names, r, i);
            if (!OK_OR_NOMEM(evb__names_reserve(&names))) break; /* all fail from here on */
        }
        evb__names_insert(&names, &r[i].named);
        r[i].present = true;
    }
    for (uint32_t i = 0; i < n - 3; i++)
        if (r[i].present) remove_record(&names, &r[i]); /* becomes small again, or does not: no matter */
    for (uint32_t i = 0; i < n; i++)
        EQ_PTR(find(&names, r[i].name), r[i].present ? (const void *)&r[i] : NULL);
    evb__names_fini(&names);
    release(&owner);
}

TEST(failing_allocations_lose_nothing)
{
    struct record *r = make_many(300);

    CHECK(evb_test_alloc_sweep(scenario, r) >= 8);
    free(r);
}

/* ---- readers beside the writer ---- */

#define STEADY 64
#define COMING 400
#define ROUNDS 300

struct shared {
    struct evb__names names;
    struct owner owner;
    struct record *steady;
    struct record *wanted; /* what the readers ask for: constant */
    /* the writer's: a new record each time a name comes, so that its bytes reach readers through the table
     * alone */
    struct record *pool, *now[COMING];
    uint32_t used;
    EVB__ATOMIC(uint32_t) done;
    EVB__ATOMIC(uint32_t) finds;
};

static void come(struct shared *s, uint32_t i)
{
    struct record *r = &s->pool[s->used++];

    make(r, s->wanted[i].name, s->wanted[i].named.hash);
    insert(&s->names, r);
    s->now[i] = r;
}

static void write_names(struct shared *s)
{
    struct evb__rng rng;

    evb__rng_init(&rng, evb_test_seed());
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t from = (uint32_t)evb__rng_below(&rng, COMING), n = (uint32_t)evb__rng_below(&rng, COMING);

        for (uint32_t k = 0; k < n; k++) {
            uint32_t i = (from + k) % COMING;

            if (s->now[i] == NULL) {
                come(s, i);
            } else {
                remove_record(&s->names, s->now[i]);
                s->now[i] = NULL;
            }
        }
    }
    evb__st_rel(&s->done, 1); /* pairs with the loads in read_names */
}

/* A steady name is found every time; another is found under its own name or not at all. */
static void read_names(struct shared *s, uint32_t index)
{
    uint32_t finds = 0;

    for (uint32_t i = index; !evb__ld_acq(&s->done); i++) { /* pairs with the end of write_names */
        const struct record *steady = &s->steady[i % STEADY], *wanted = &s->wanted[i % COMING];
        const struct evb__named *got;

        EQ_PTR(evb__names_find(&s->names, steady->name, steady->named.size, steady->named.hash), steady);
        got = evb__names_find(&s->names, wanted->name, wanted->named.size, wanted->named.hash);
        if (got == NULL) continue;
        EQ_STR(evb__named_name(got), wanted->name);
        finds++;
    }
    evb__add_rlx(&s->finds, finds); /* only a number, read after the threads are joined */
}

static void run(uint32_t index, void *arg)
{
    if (index == 0)
        write_names(arg);
    else
        read_names(arg, index);
}

TEST(readers_find_what_is_there_while_a_writer_inserts_removes_and_rebuilds)
{
    static struct shared s;

    memset(&s, 0, sizeof s);
    start(&s.names, &s.owner);
    s.steady = make_many(STEADY + COMING);
    s.wanted = s.steady + STEADY;
    s.pool = aligned_alloc(EVB__ALIGN_MIN, ROUNDS * COMING * sizeof *s.pool);
    assert_non_null(s.pool);
    for (uint32_t i = 0; i < STEADY; i++)
        insert(&s.names, &s.steady[i]);
    for (uint32_t i = 0; i < COMING; i += 2)
        come(&s, i); /* so that there is something to find from the start */
    evb_test_run_threads(3, run, &s);
    for (uint32_t i = 0; i < STEADY; i++)
        EQ_PTR(find(&s.names, s.steady[i].name), &s.steady[i]);
    for (uint32_t i = 0; i < COMING; i++)
        EQ_PTR(find(&s.names, s.wanted[i].name), s.now[i]);
    CHECK(s.owner.count > 0); /* it was rebuilt */
    printf("%u finds beside the writer\n", evb__ld_rlx(&s.finds));
    finish(&s.names, &s.owner);
    free(s.pool);
    free(s.steady);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nothing_and_has_no_memory),
        cmocka_unit_test(a_name_is_found_as_long_as_it_is_in_the_table),
        cmocka_unit_test(names_of_the_same_hash_and_length_are_told_apart_by_every_byte),
        cmocka_unit_test(the_empty_name_is_a_name),
        cmocka_unit_test(probing_wraps_around_the_end),
        cmocka_unit_test(a_removal_in_the_middle_of_a_run_hides_nobody_behind_it),
        cmocka_unit_test(a_name_that_comes_and_goes_leaves_no_dead_slots_and_allocates_nothing),
        cmocka_unit_test(dead_slots_that_pile_up_go_with_a_rebuild),
        cmocka_unit_test(a_dead_slot_is_used_again),
        cmocka_unit_test(a_name_costs_at_most_16_bytes_in_a_large_table),
        cmocka_unit_test(a_table_that_emptied_becomes_small_again),
        cmocka_unit_test(every_replaced_table_is_retired_once_and_not_touched_again),
        cmocka_unit_test(each_shows_every_name_once_and_stops_when_told),
        cmocka_unit_test(random_operations_agree_with_a_list),
        cmocka_unit_test(random_operations_under_crowded_hashes_agree_with_a_list),
        cmocka_unit_test(failing_allocations_lose_nothing),
        cmocka_unit_test(readers_find_what_is_there_while_a_writer_inserts_removes_and_rebuilds),
    };

    return EVB_TEST_MAIN("names", tests, argc, argv);
}
