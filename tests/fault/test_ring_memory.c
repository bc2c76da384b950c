/* SPDX-License-Identifier: MIT */
/* Rings when memory runs out: what answers EVB_ENOMEM has done nothing, works when there is memory again, and
 * what the manual says allocates nothing cannot fail.
 *
 * A lock-free ring has spare cells for some threads from the start and adds more for a thread that comes
 * beyond them. So the tests here keep more threads alive at once than that.
 */
#include "evb_test.h"

#include <string.h>

#include "base/atomic.h"
#include "ring_kinds.h"

#define MIB      (1u << 20)
#define NEAR     60 /* threads that a ring has room for; the program's others count, too */
#define CROWD    80
#define ELEM_MAX 64

static int32_t create(const struct kind *kind, uint32_t elem_bytes, uint32_t capacity, evb_ring **ret_ring)
{
    evb_ring_opts opts = opts_of(kind, elem_bytes, capacity);

    return evb_ring_create(&opts, ret_ring);
}

/* ---- every allocation of a ring's life fails once, and from there on ---- */

struct life {
    const struct kind *kind;
    uint32_t elem_bytes;
};

static unsigned char in[MIB], out[MIB];

static void whole_life(void *arg)
{
    const struct life *life = arg;
    evb_ring *untouched = (evb_ring *)(void *)in, *ring = untouched;

    if (!OK_OR_NOMEM(create(life->kind, life->elem_bytes, 2, &ring))) {
        EQ_PTR(ring, untouched);
        return;
    }
    memset(in, 0x5A, sizeof in);
    memset(out, 0, sizeof out);
    for (uint32_t i = 0; i < 3; i++) {
        if (OK_OR_NOMEM(evb_ring_try_push(ring, in))) {
            EQ(evb_ring_count(ring), 1);
            OK(evb_ring_try_pop(ring, out));
            EQ_MEM(out, in, life->elem_bytes);
        }
        EQ(evb_ring_count(ring), 0);
        FAILS(evb_ring_try_pop(ring, out), EVB_EEMPTY);
    }
    evb_ring_destroy(ring);
}

TEST(a_ring_that_cannot_be_made_leaves_nothing_behind)
{
    static const uint32_t sizes[] = {1, 8, 16, 40, 64, MIB};

    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t s = 0; s < COUNT(sizes); s++) {
            struct life life = {.kind = &kinds[k], .elem_bytes = sizes[s]};

            if (kinds[k].flags & EVB_RING_POINTERS) life.elem_bytes = sizeof(void *);
            CHECK(evb_test_alloc_sweep(whole_life, &life) > 0);
        }
    }
}

/* ---- a thread beyond those that a ring has room for ---- */

static struct {
    evb_ring *ring;
    uint32_t elem_bytes;
    struct evb_test_line line;
    EVB__ATOMIC(uint32_t) refused;
} crowd;

static void write_number(unsigned char *elem, uint32_t number)
{
    memset(elem, (int)(number & 0xFF), crowd.elem_bytes);
    memcpy(elem, &number, sizeof number);
}

/* The allocator is switched while nobody is inside a call. */
static void switch_memory(uint32_t index, bool on)
{
    evb_test_line_wait(&crowd.line);
    if (index == 0 && on) evb_test_alloc_fail_off();
    if (index == 0 && !on) evb_test_alloc_fail_from(1);
    evb_test_line_wait(&crowd.line);
}

/* Every form of the push answers the same; true: pushed, once. */
static bool push_without_memory(const unsigned char *elem)
{
    int32_t rc = evb_ring_push(crowd.ring, elem, EVB_FOREVER);

    if (rc == EVB_OK) return true;
    FAILS(rc, EVB_ENOMEM);
    FAILS(evb_ring_try_push(crowd.ring, elem), EVB_ENOMEM);
    FAILS(evb_ring_try_push_many(crowd.ring, elem, 1), EVB_ENOMEM);
    FAILS(evb_ring_push(crowd.ring, elem, 1000000), EVB_ENOMEM);
    (void)evb__add_rlx(&crowd.refused, 1); /* relaxed: read after the join */
    return false;
}

static void crowd_push(uint32_t index, void *arg)
{
    unsigned char elem[ELEM_MAX];
    bool pushed = false;

    (void)arg;
    write_number(elem, index);
    if (index < NEAR) OK(evb_ring_push(crowd.ring, elem, EVB_FOREVER));
    switch_memory(index, false);
    if (index >= NEAR) pushed = push_without_memory(elem);
    switch_memory(index, true);
    if (index >= NEAR && !pushed) OK(evb_ring_push(crowd.ring, elem, EVB_FOREVER));
    evb_test_line_wait(&crowd.line); /* nobody ends, and gives his number back, before all are through */
}

/* One element of each thread has come in. */
static void all_are_inside(void)
{
    unsigned char elem[ELEM_MAX], want[ELEM_MAX];
    bool seen[CROWD] = {false};
    uint32_t number;

    EQ(evb_ring_count(crowd.ring), CROWD);
    EQ(evb_ring_dropped(crowd.ring), 0);
    for (uint32_t i = 0; i < CROWD; i++) {
        OK(evb_ring_try_pop(crowd.ring, elem));
        memcpy(&number, elem, sizeof number);
        CHECK(number < CROWD && !seen[number]);
        seen[number] = true;
        write_number(want, number);
        EQ_MEM(elem, want, crowd.elem_bytes);
    }
    FAILS(evb_ring_try_pop(crowd.ring, elem), EVB_EEMPTY);
}

static void with_a_crowd(const struct kind *kind, uint32_t elem_bytes, void (*member)(uint32_t, void *))
{
    crowd.elem_bytes = elem_bytes;
    evb__init(&crowd.refused, 0);
    evb_test_line_init(&crowd.line, CROWD);
    OK(create(kind, elem_bytes, 128, &crowd.ring));
    evb_test_run_threads(CROWD, member, NULL);
    evb_test_line_destroy(&crowd.line);
}

/* Numbers for so many threads are the library's for the life of the process, and not the ring's. */
static void expect_kept(int64_t blocks)
{
    int64_t kept = evb_test_alloc_live() - blocks;

    CHECK(kept >= 0 && kept <= 3);
    evb_test_alloc_expect_kept(kept);
}

TEST(a_push_that_finds_no_memory_for_its_thread_does_nothing_and_works_later)
{
    int64_t blocks = evb_test_alloc_live();

    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (!many_push(&kinds[k])) continue;
        for (uint32_t elem_bytes = 8; elem_bytes <= ELEM_MAX; elem_bytes += 32) {
            with_a_crowd(&kinds[k], elem_bytes, crowd_push);
            if (kinds[k].progress == EVB_RING_LOCK_FREE)
                CHECK(evb__ld_rlx(&crowd.refused) > 0); /* relaxed, both: joined */
            else
                EQ(evb__ld_rlx(&crowd.refused), 0);
            all_are_inside();
            evb_ring_destroy(crowd.ring);
        }
    }
    expect_kept(blocks);
}

/* ---- pops of threads beyond those that a ring has room for ---- */

static struct {
    uint32_t first;      /* from this thread on they pop without memory, what is inside by turns */
    evb_ring *elsewhere; /* the threads before it have pushed here: they have been in the library */
    bool may_be_refused;
    EVB__ATOMIC(uint32_t) seen[CROWD];
} pops;

/* Which pops need a cell of their thread, says ring.h. */
static bool pop_may_allocate(const struct kind *kind, uint32_t elem_bytes)
{
    return (many_pop(kind) || overwrites(kind)) && kind->progress == EVB_RING_LOCK_FREE && elem_bytes > 32;
}

static void check_popped(const unsigned char *elem)
{
    unsigned char want[ELEM_MAX];
    uint32_t number = 0;

    memcpy(&number, elem, sizeof number);
    number--;
    CHECK(number < CROWD);
    if (number >= CROWD) return;
    write_number(want, number + 1);
    EQ_MEM(elem, want, crowd.elem_bytes);
    (void)evb__add_rlx(&pops.seen[number], 1); /* relaxed: read after the join */
}

/* Every form of the pop answers the same, and leaves the caller's room as it was; true: popped. */
static bool pop_without_memory(unsigned char *elem)
{
    unsigned char untouched[ELEM_MAX];
    uint32_t inside;
    int32_t rc;

    memset(elem, 0x11, ELEM_MAX);
    memset(untouched, 0x11, sizeof untouched);
    rc = evb_ring_try_pop(crowd.ring, elem);
    if (rc == EVB_OK) return true;
    CHECK(pops.may_be_refused);
    inside = evb_ring_count(crowd.ring);
    CHECK(inside > 0); /* of each of the others at most one has left */
    FAILS(rc, EVB_ENOMEM);
    FAILS(evb_ring_pop(crowd.ring, elem, EVB_FOREVER), EVB_ENOMEM);
    FAILS(evb_ring_pop(crowd.ring, elem, 1000000), EVB_ENOMEM);
    FAILS(evb_ring_try_pop_many(crowd.ring, elem, 1), EVB_ENOMEM);
    EQ_MEM(elem, untouched, sizeof untouched);
    (void)evb__add_rlx(&crowd.refused, 1); /* relaxed: read after the join */
    return false;
}

static void crowd_pop(uint32_t index, void *arg)
{
    unsigned char elem[ELEM_MAX];
    uint32_t turns = index < pops.first ? 0 : CROWD / (CROWD - pops.first), late = 0;
    uint64_t number = index + 1;

    (void)arg;
    for (uint32_t i = 1; index == 0 && i <= CROWD; i++) {
        write_number(elem, i);
        OK(evb_ring_try_push(crowd.ring, elem));
    }
    evb_test_line_wait(&crowd.line); /* now: a pusher beyond NEAR would bring cells for those who pop */
    if (index < pops.first) OK(evb_ring_try_push(pops.elsewhere, &number));
    switch_memory(index, false);
    for (uint32_t i = 0; i < turns; i++) {
        if (pop_without_memory(elem))
            check_popped(elem);
        else
            late++;
    }
    switch_memory(index, true);
    for (uint32_t i = 0; i < late; i++) {
        OK(evb_ring_try_pop(crowd.ring, elem));
        check_popped(elem);
    }
    evb_test_line_wait(&crowd.line);
}

/* Many pop where many may; else the last thread of all pops everything. */
static void one_crowd_of_poppers(const struct kind *kind, uint32_t elem_bytes)
{
    pops.first = many_pop(kind) ? NEAR : CROWD - 1;
    pops.may_be_refused = pop_may_allocate(kind, elem_bytes);
    for (uint32_t i = 0; i < CROWD; i++)
        evb__init(&pops.seen[i], 0);
    OK(create(mpmc, sizeof(uint64_t), 128, &pops.elsewhere));
    with_a_crowd(kind, elem_bytes, crowd_pop);
    for (uint32_t i = 0; i < CROWD; i++)
        EQ(evb__ld_rlx(&pops.seen[i]), 1); /* relaxed: joined */
    EQ(evb_ring_count(crowd.ring), 0);
    FAILS(evb_ring_try_pop(crowd.ring, (unsigned char[ELEM_MAX]){0}), EVB_EEMPTY);
    evb_ring_destroy(crowd.ring);
    evb_ring_destroy(pops.elsewhere);
    if (pops.may_be_refused)
        CHECK(evb__ld_rlx(&crowd.refused) > 0); /* relaxed, both: joined */
    else
        EQ(evb__ld_rlx(&crowd.refused), 0);
}

static void in_crowds_of_poppers(bool may_allocate)
{
    static const uint32_t sizes[] = {8, 16, 32, 33, 64};
    int64_t blocks = evb_test_alloc_live();

    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t s = 0; s < COUNT(sizes); s++) {
            if (of_pointers(&kinds[k]) && sizes[s] != sizeof(void *)) continue;
            if (pop_may_allocate(&kinds[k], sizes[s]) != may_allocate) continue;
            one_crowd_of_poppers(&kinds[k], sizes[s]);
        }
    }
    expect_kept(blocks);
}

TEST(a_lock_free_pop_of_many_that_finds_no_memory_for_its_thread_takes_nothing_and_works_later)
{
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    in_crowds_of_poppers(true);
}

TEST(every_other_pop_needs_no_memory_however_many_threads_there_are)
{
    if (evb_test_plain_alloc()) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    in_crowds_of_poppers(false);
}

/* ---- elements as large as they get: a spare cell is made when its thread comes ---- */

static void second_pusher(uint32_t index, void *arg)
{
    (void)index;
    (void)arg;
    if (!OK_OR_NOMEM(evb_ring_try_push(crowd.ring, in))) {
        EQ(evb_ring_count(crowd.ring), 1);
        FAILS(evb_ring_push(crowd.ring, in, EVB_FOREVER), EVB_ENOMEM);
        evb_test_alloc_fail_off();
        OK(evb_ring_try_push(crowd.ring, in));
    }
    evb_test_alloc_fail_off();
    FAILS(evb_ring_try_push(crowd.ring, in), EVB_EFULL);
}

TEST(a_large_element_that_finds_no_spare_cell_is_refused_and_taken_later)
{
    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (!many_push(&kinds[k]) || kinds[k].flags != 0) continue;
        memset(in, 1, sizeof in);
        OK(create(&kinds[k], MIB, 2, &crowd.ring));
        OK(evb_ring_try_push(crowd.ring, in));
        memset(in, 2, sizeof in);
        evb_test_alloc_fail_from(1);
        evb_test_run_threads(1, second_pusher, NULL);
        for (int i = 1; i <= 2; i++) {
            memset(in, i, sizeof in);
            OK(evb_ring_try_pop(crowd.ring, out));
            EQ(memcmp(out, in, sizeof in), 0);
        }
        evb_ring_destroy(crowd.ring);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_that_cannot_be_made_leaves_nothing_behind),
        cmocka_unit_test(a_push_that_finds_no_memory_for_its_thread_does_nothing_and_works_later),
        cmocka_unit_test(
            a_lock_free_pop_of_many_that_finds_no_memory_for_its_thread_takes_nothing_and_works_later),
        cmocka_unit_test(every_other_pop_needs_no_memory_however_many_threads_there_are),
        cmocka_unit_test(a_large_element_that_finds_no_spare_cell_is_refused_and_taken_later),
    };
    return EVB_TEST_MAIN("ring_memory", tests, argc, argv);
}
