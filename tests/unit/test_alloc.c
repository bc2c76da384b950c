/* SPDX-License-Identifier: MIT */
/* The allocator hook: who is asked, for what, and until when it can be changed. */
#include "evb_test.h"

#include <string.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "base/platform.h"

/* An allocator that hands out one fixed place and writes down what it was asked. */
static struct notebook {
    size_t size, align, freed_size;
    void *freed;
    uint32_t allocs, frees;
} book;
static _Alignas(64) char place[4096];

static void *note_alloc(size_t size, size_t align, void *user)
{
    struct notebook *b = user;

    b->size = size;
    b->align = align;
    b->allocs++;
    return place;
}

static void note_free(void *ptr, size_t size, void *user)
{
    struct notebook *b = user;

    b->freed = ptr;
    b->freed_size = size;
    b->frees++;
}

static evb_allocator noting(void)
{
    memset(&book, 0, sizeof book);
    return (evb_allocator){.alloc = note_alloc, .free = note_free, .user = &book};
}

/* Each test of this file sets allocators of its own. The runner's has given nothing that lives, so it can be
 * taken out; the tests do not need it back. */
static int unpinned(void **state)
{
    (void)state;
    evb__alloc_unpin_for_tests();
    return 0;
}

TEST(the_hook_gets_size_alignment_and_user)
{
    evb_allocator mine = noting();

    OK(evb_set_allocator(&mine));
    EQ_PTR(evb__alloc(100, 32), place);
    EQ(book.size, 100);
    EQ(book.align, 32);
    evb__free(place, 100);
    EQ_PTR(book.freed, place);
    EQ(book.freed_size, 100);
    EQ(book.allocs, 1);
    EQ(book.frees, 1);
}

TEST(freeing_nothing_does_not_reach_the_hook)
{
    evb_allocator mine = noting();

    OK(evb_set_allocator(&mine));
    evb__free(NULL, 0);
    EQ(book.frees, 0);
}

TEST(zeroed_memory_is_zeroed_whatever_the_hook_gives)
{
    evb_allocator mine = noting();

    OK(evb_set_allocator(&mine));
    memset(place, 0x5A, sizeof place);
    EQ_PTR(evb__zalloc(100, 16), place);
    for (int i = 0; i < 100; i++)
        EQ(place[i], 0);
    EQ(place[100], 0x5A);
}

static void *no_memory(size_t size, size_t align, void *user)
{
    (void)size;
    (void)align;
    (void)user;
    return NULL;
}

TEST(no_memory_is_null)
{
    evb_allocator mine = noting();

    mine.alloc = no_memory;
    OK(evb_set_allocator(&mine));
    EQ_PTR(evb__alloc(1, 16), NULL);
    EQ_PTR(evb__zalloc(1, 16), NULL);
}

TEST(half_a_hook_is_refused_and_the_old_one_stays)
{
    evb_allocator mine = noting(), half = mine;

    OK(evb_set_allocator(&mine));
    half.alloc = NULL;
    FAILS(evb_set_allocator(&half), EVB_EINVAL);
    half = mine;
    half.free = NULL;
    FAILS(evb_set_allocator(&half), EVB_EINVAL);
    half.alloc = NULL;
    FAILS(evb_set_allocator(&half), EVB_EINVAL); /* "no functions" is not "back to libc": NULL is */
    EQ_PTR(evb__alloc(1, 16), place);
}

TEST(a_struct_of_another_size_follows_the_rule_of_option_structs)
{
    struct {
        evb_allocator known;
        void *newer;
    } bigger = {noting(), &bigger};
    evb_allocator mine = noting();

    mine.struct_size = 4;
    FAILS(evb_set_allocator(&mine), EVB_EINVAL);
    mine.struct_size = sizeof mine;
    OK(evb_set_allocator(&mine));
    bigger.known.struct_size = sizeof bigger;
    FAILS(evb_set_allocator(&bigger.known), EVB_ENOTSUP);
    bigger.newer = NULL;
    OK(evb_set_allocator(&bigger.known));
}

TEST(null_brings_libc_back)
{
    evb_allocator mine = noting();
    char *p;

    OK(evb_set_allocator(&mine));
    OK(evb_set_allocator(NULL));
    p = evb__alloc(100, 16);
    CHECK(p != NULL);
    CHECK(p != place);
    EQ(book.allocs, 0);
    memset(p, 1, 100);
    evb__free(p, 100);
}

TEST(libc_memory_is_aligned_as_asked)
{
    OK(evb_set_allocator(NULL));
    for (size_t align = sizeof(void *); align <= 65536; align *= 2) {
        for (size_t size = 1; size <= 300; size += 23) {
            unsigned char *p = evb__zalloc(size, align);

            CHECK(p != NULL);
            EQ((uintptr_t)p % align, 0);
            EQ(p[0], 0);
            EQ(p[size - 1], 0);
            evb__free(p, size);
        }
    }
}

TEST(libc_answers_null_when_it_cannot)
{
    if (EVB_TEST_ASAN || EVB__TSAN) SKIP("a sanitizer ends the program at an allocation this big");
    OK(evb_set_allocator(NULL));
    EQ_PTR(evb__alloc(PTRDIFF_MAX - 4096, 16), NULL);
    EQ_PTR(evb__alloc(PTRDIFF_MAX - 4096, 64), NULL);
}

TEST(pinned_the_hook_cannot_be_changed)
{
    evb_allocator mine = noting();

    OK(evb_set_allocator(&mine));
    OK(evb_set_allocator(&mine)); /* as often as one likes before the first object */
    evb__alloc_pin();
    evb__alloc_pin(); /* each object does it */
    FAILS(evb_set_allocator(NULL), EVB_EBUSY);
    FAILS(evb_set_allocator(&mine), EVB_EBUSY);
    EQ_PTR(evb__alloc(1, 16), place);
    evb__alloc_unpin_for_tests();
    OK(evb_set_allocator(NULL));
}

TEST(the_first_allocation_pins_too)
{
    evb_allocator mine = noting();

    OK(evb_set_allocator(&mine));
    (void)evb__alloc(1, 16);
    FAILS(evb_set_allocator(NULL), EVB_EBUSY);
}

/* Setters and pinners at once: exactly those that answered EVB_OK took effect, and after the pin nothing
 * changes. */
static EVB__ATOMIC(uint32_t) set_count;

static void set_or_pin(uint32_t index, void *arg)
{
    evb_allocator *mine = arg;
    int32_t rc;

    if (index % 2 == 0) {
        evb__alloc_pin();
        EQ_PTR(evb__alloc(1, 16), place);
        return;
    }
    rc = evb_set_allocator(mine);
    CHECK(rc == EVB_OK || rc == EVB_EBUSY);
    if (rc == EVB_OK) (void)evb__add_rlx(&set_count, 1); /* relaxed: read after the joins */
}

static void *place_alloc(size_t size, size_t align, void *user)
{
    (void)size;
    (void)align;
    (void)user;
    return place;
}

static void place_free(void *ptr, size_t size, void *user)
{
    (void)ptr;
    (void)size;
    (void)user;
}

TEST(threads_that_set_and_pin_at_once_see_one_hook)
{
    evb_allocator mine = {.alloc = place_alloc, .free = place_free};

    for (int round = 0; round < 50; round++) {
        evb__alloc_unpin_for_tests();
        OK(evb_set_allocator(&mine));
        evb_test_run_threads(4, set_or_pin, &mine);
        FAILS(evb_set_allocator(NULL), EVB_EBUSY);
    }
    CHECK(evb__ld_rlx(&set_count) <= 100); /* relaxed: joined */
}

#define WITH_UNPIN(name) cmocka_unit_test_setup(name, unpinned)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        WITH_UNPIN(the_hook_gets_size_alignment_and_user),
        WITH_UNPIN(freeing_nothing_does_not_reach_the_hook),
        WITH_UNPIN(zeroed_memory_is_zeroed_whatever_the_hook_gives),
        WITH_UNPIN(no_memory_is_null),
        WITH_UNPIN(half_a_hook_is_refused_and_the_old_one_stays),
        WITH_UNPIN(a_struct_of_another_size_follows_the_rule_of_option_structs),
        WITH_UNPIN(null_brings_libc_back),
        WITH_UNPIN(libc_memory_is_aligned_as_asked),
        WITH_UNPIN(libc_answers_null_when_it_cannot),
        WITH_UNPIN(pinned_the_hook_cannot_be_changed),
        WITH_UNPIN(the_first_allocation_pins_too),
        WITH_UNPIN(threads_that_set_and_pin_at_once_see_one_hook),
    };

    return EVB_TEST_MAIN("alloc", tests, argc, argv);
}
