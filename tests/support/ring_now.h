/* SPDX-License-Identifier: MIT */
/* The one ring that a test of one thread is about: made, used and checked element by element.
 *
 *      static void one_in_one_out(void)
 *      {
 *          OK(push_next());
 *          count_is(1);
 *          OK(pop_next());
 *      }
 *
 *      TEST(what_is_pushed_comes_out)
 *      {
 *          in_each_shape(any, one_in_one_out);
 *      }
 *      ...
 *          RING_TEST_IN_BOTH_FORMS(what_is_pushed_comes_out),
 *
 * Element number n is made of bytes that follow from n. The caller's buffers lie at odd addresses between
 * guard bytes, so that every push and pop of every test also shows that nothing beside the element is read
 * for alignment's sake or written. A failing check prints the ring it was about.
 *
 * try_push and try_pop are the functions of ring.h, or the inline calls of ring_inline.h: the same contract,
 * so a test stands in its program twice, the second time as NAME_inline. What the inline calls do not look at
 * (NULL arguments, fork) is asked of the functions by their own names.
 */
#ifndef RING_NOW_H
#define RING_NOW_H

#include "evb_test.h"

#include <evbus/ring_inline.h> /* its locals have the name of `now` below */

#include "base/platform.h"
#include "ring_kinds.h"

#define SANITIZED (EVB_TEST_ASAN || EVB__TSAN)
#define MIB       (1u << 20)

/* Rows of a program's table of tests. */
#define RING_TEST(test)                                                                                      \
    {                                                                                                        \
        .name = #test, .test_func = test, .setup_func = by_call, .teardown_func = say_where                  \
    }
#define RING_TEST_IN_BOTH_FORMS(test)                                                                        \
    RING_TEST(test),                                                                                         \
    {                                                                                                        \
        .name = #test "_inline", .test_func = test, .setup_func = by_inline_call, .teardown_func = say_where \
    }
int by_call(void **state);
int by_inline_call(void **state);
int say_where(void **state); /* the teardown: a test that ended has no ring */

extern int32_t (*try_push)(evb_ring *ring, const void *elem);
extern int32_t (*try_pop)(evb_ring *ring, void *ret_elem);

/* ---- the ring ---- */

struct box { /* a buffer of the caller */
    unsigned char *block, *bytes;
    size_t size;
};

struct ring_now {
    const struct kind *kind;             /* NULL: none */
    uint32_t elem_bytes, capacity, room; /* room: the capacity as rounded */
    uint64_t start;
    evb_ring *ring;
    uint64_t in, out; /* numbers of the next element to push and to pop */
    struct box one, many, want;
};
extern struct ring_now now;

void open_at(const struct kind *kind, uint32_t elem_bytes, uint32_t capacity, uint64_t start);
void end_ring(void); /* looks at the guard bytes, too */

void in_shape(const struct kind *kind, uint32_t elem_bytes, uint32_t capacity, void (*test)(void));
/* Every chosen kind, many sizes, many capacities. */
void in_each_shape(bool (*chosen)(const struct kind *kind), void (*test)(void));
/* Every chosen kind once, with elements of one size: for what does not depend on it. */
void in_each_kind(bool (*chosen)(const struct kind *kind), uint32_t capacity, void (*test)(void));

uint32_t lesser(uint32_t a, uint32_t b);
uint32_t rounded(uint32_t capacity);
uint32_t batch_limit(void); /* batches of the tests are at most this long: more than twice the ring */
uint32_t to_the_end(uint64_t position);

/* A first position: of which counter of which width it is the last lap. */
#define STARTS 6
uint64_t start_near_a_wrap(uint32_t which, uint32_t room);

/* ---- elements by their number ---- */

void write_element(unsigned char *to, uint64_t number);
void is_element(const unsigned char *bytes, uint64_t number);
unsigned char *many_at(uint32_t i);
void write_many(uint32_t n);                 /* the next n, into now.many */
void write_reserved(void *room, uint32_t n); /* the next n, in place */

/* Every push copies: what the caller does to the buffer afterwards is not seen. */
int32_t push_next(void);
/* The element must be the next one in order; on failure the buffer must be as it was. */
int32_t pop_next(void);
int32_t push_batch(uint32_t n);
int32_t pop_batch(uint32_t n);

void count_is(uint32_t n);
void fill(void);
void drain(void);
void shift(uint32_t n); /* moves on by n positions */

/* Every call of the end, of a ring that was closed; of one that is drained, too. */
void pushes_answer_closed(void);
void pops_answer_closed(void);

#endif
