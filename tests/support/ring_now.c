/* SPDX-License-Identifier: MIT */
/* The ring of a test of one thread, see ring_now.h. */
#include "ring_now.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring/ring.h"

struct ring_now now;

/* ---- the two forms of the calls ---- */

int32_t (*try_push)(evb_ring *ring, const void *elem) = evb_ring_try_push;
int32_t (*try_pop)(evb_ring *ring, void *ret_elem) = evb_ring_try_pop;

static int32_t push_inline(evb_ring *ring, const void *elem)
{
    return evb_ring_try_push_inline(ring, elem);
}

static int32_t pop_inline(evb_ring *ring, void *ret_elem)
{
    return evb_ring_try_pop_inline(ring, ret_elem);
}

int by_call(void **state)
{
    (void)state;
    try_push = evb_ring_try_push;
    try_pop = evb_ring_try_pop;
    return 0;
}

int by_inline_call(void **state)
{
    (void)state;
    try_push = push_inline;
    try_pop = pop_inline;
    return 0;
}

/* ---- buffers of the caller ---- */

#define GUARD      33
#define GUARD_BYTE 0xC7

static void box_make(struct box *box, size_t size, bool aligned)
{
    size_t lead = aligned ? GUARD - 1 : GUARD;

    box->block = malloc(lead + size + GUARD);
    if (box->block == NULL) abort();
    box->bytes = box->block + lead;
    box->size = size;
    memset(box->block, GUARD_BYTE, lead + size + GUARD);
}

static void box_check(const struct box *box)
{
    const unsigned char *end = box->bytes + box->size;

    for (const unsigned char *p = box->block; p < box->bytes; p++)
        EQ(*p, GUARD_BYTE);
    for (const unsigned char *p = end; p < end + GUARD; p++)
        EQ(*p, GUARD_BYTE);
}

/* ---- the ring ---- */

uint32_t lesser(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t rounded(uint32_t capacity)
{
    uint32_t room = 2;

    while (room < capacity)
        room *= 2;
    return room;
}

uint32_t batch_limit(void)
{
    return 2 * now.room + 3;
}

uint32_t to_the_end(uint64_t position)
{
    return now.room - (uint32_t)(position % now.room);
}

void open_at(const struct kind *kind, uint32_t elem_bytes, uint32_t capacity, uint64_t start)
{
    evb_ring_opts opts = opts_of(kind, elem_bytes, capacity);

    now.kind = kind;
    now.elem_bytes = elem_bytes;
    now.capacity = capacity;
    now.room = rounded(capacity);
    now.start = start;
    now.in = now.out = 0;
    if (start == 0)
        OK(evb_ring_create(&opts, &now.ring));
    else
        OK(evb__ring_create_at(&opts, start, &now.ring));
    EQ(evb_ring_capacity(now.ring), now.room);
    EQ(evb_ring_count(now.ring), 0);
    EQ(evb_ring_dropped(now.ring), 0);
    box_make(&now.one, elem_bytes, of_pointers(kind));
    box_make(&now.many, (size_t)batch_limit() * elem_bytes, of_pointers(kind));
    box_make(&now.want, elem_bytes, false);
}

void end_ring(void)
{
    box_check(&now.one);
    box_check(&now.many);
    evb_ring_destroy(now.ring);
    free(now.one.block);
    free(now.many.block);
    free(now.want.block);
    memset(&now, 0, sizeof now);
}

int say_where(void **state)
{
    (void)state;
    if (now.kind != NULL) {
        fprintf(stderr, "the ring: %s, elements of %u bytes, capacity %u, first position 0x%" PRIx64 "\n",
                now.kind->name, (unsigned)now.elem_bytes, (unsigned)now.capacity, now.start);
    }
    memset(&now, 0, sizeof now);
    return 0;
}

void in_shape(const struct kind *kind, uint32_t elem_bytes, uint32_t capacity, void (*test)(void))
{
    open_at(kind, elem_bytes, capacity, 0);
    test();
    end_ring();
}

void in_each_shape(bool (*chosen)(const struct kind *kind), void (*test)(void))
{
    static const uint32_t sizes[] = {1, 3, 4, 8, 12, 16, 24, 32, 33, 40, 64, 100, 4096};
    static const uint32_t capacities[] = {1, 2, 3, 64, 1000};

    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (!chosen(&kinds[k])) continue;
        for (size_t c = 0; c < COUNT(capacities); c++) {
            if (of_pointers(&kinds[k])) in_shape(&kinds[k], sizeof(void *), capacities[c], test);
            for (size_t s = 0; s < COUNT(sizes) && !of_pointers(&kinds[k]); s++) {
                if (SANITIZED && sizes[s] * capacities[c] > 300000) continue;
                if (EVB__TSAN && sizes[s] * capacities[c] > 2500) continue; /* one thread, ten times slower */
                in_shape(&kinds[k], sizes[s], capacities[c], test);
            }
        }
        if (!of_pointers(&kinds[k])) in_shape(&kinds[k], EVB__TSAN ? MIB / 64 : MIB, 2, test);
    }
}

void in_each_kind(bool (*chosen)(const struct kind *kind), uint32_t capacity, void (*test)(void))
{
    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (chosen(&kinds[k])) in_shape(&kinds[k], sizeof(void *), capacity, test);
    }
}

uint64_t start_near_a_wrap(uint32_t which, uint32_t room)
{
    uint64_t lap_bits = UINT64_C(1) << 43;

    switch (which) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX - 3;
    case 2:
        return (UINT64_C(1) << 32) - 3;
    case 3:
        return lap_bits * room - 3; /* modulo 2^64 */
    case 4:
        return (UINT64_C(1) << 31) - 3;
    default:
        return (UINT64_C(1) << 63) - 3;
    }
}

/* ---- elements by their number ---- */

void write_element(unsigned char *to, uint64_t number)
{
    uint64_t x = (number + 1) * UINT64_C(0x9E3779B97F4A7C15);

    if (of_pointers(now.kind)) {
        void *pointer = (void *)(uintptr_t)(8 * number + 8);

        memcpy(to, &pointer, sizeof pointer);
        return;
    }
    for (uint32_t i = 0; i < now.elem_bytes; i += 8, x += UINT64_C(0x0101010101010101))
        memcpy(to + i, &x, lesser(8, now.elem_bytes - i));
}

void is_element(const unsigned char *bytes, uint64_t number)
{
    write_element(now.want.bytes, number);
    if (memcmp(bytes, now.want.bytes, now.elem_bytes) != 0) EQ_MEM(bytes, now.want.bytes, now.elem_bytes);
}

unsigned char *many_at(uint32_t i)
{
    return now.many.bytes + (size_t)i * now.elem_bytes;
}

void write_many(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        write_element(many_at(i), now.in + i);
}

void write_reserved(void *room, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        write_element((unsigned char *)room + (size_t)i * now.elem_bytes, now.in + i);
}

int32_t push_next(void)
{
    int32_t rc;

    write_element(now.one.bytes, now.in);
    rc = try_push(now.ring, now.one.bytes);
    memset(now.one.bytes, 0xEE, now.elem_bytes);
    if (rc == EVB_OK) now.in++;
    return rc;
}

int32_t pop_next(void)
{
    int32_t rc;

    memset(now.one.bytes, 0x11, now.elem_bytes);
    rc = try_pop(now.ring, now.one.bytes);
    if (rc == EVB_OK) {
        is_element(now.one.bytes, now.out);
        now.out++;
    } else {
        memset(now.want.bytes, 0x11, now.elem_bytes);
        EQ_MEM(now.one.bytes, now.want.bytes, now.elem_bytes);
    }
    return rc;
}

int32_t push_batch(uint32_t n)
{
    int32_t rc;

    write_many(n);
    rc = evb_ring_try_push_many(now.ring, now.many.bytes, n);
    if (rc > 0) now.in += (uint32_t)rc;
    return rc;
}

int32_t pop_batch(uint32_t n)
{
    int32_t rc;

    memset(now.many.bytes, 0x11, (size_t)n * now.elem_bytes);
    rc = evb_ring_try_pop_many(now.ring, now.many.bytes, n);
    for (int32_t i = 0; i < rc; i++)
        is_element(many_at((uint32_t)i), now.out + (uint32_t)i);
    memset(now.want.bytes, 0x11, now.elem_bytes);
    for (uint32_t i = rc > 0 ? (uint32_t)rc : 0; i < n; i++)
        EQ_MEM(many_at(i), now.want.bytes, now.elem_bytes);
    if (rc > 0) now.out += (uint32_t)rc;
    return rc;
}

void count_is(uint32_t n)
{
    EQ(evb_ring_count(now.ring), n);
    EQ(now.in - now.out, n);
}

void fill(void)
{
    while (evb_ring_count(now.ring) < now.room)
        OK(push_next());
}

void drain(void)
{
    while (now.out < now.in)
        OK(pop_next());
    count_is(0);
}

void shift(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        OK(push_next());
        OK(pop_next());
    }
}

/* ---- a closed ring ---- */

void pushes_answer_closed(void)
{
    static const int64_t timeouts[] = {0, 1, EVB_FOREVER};
    uint32_t inside = evb_ring_count(now.ring);
    void *room = &now;

    FAILS(push_next(), EVB_ECLOSED);
    FAILS(push_batch(1), EVB_ECLOSED);
    FAILS(push_batch(batch_limit()), EVB_ECLOSED);
    write_element(now.one.bytes, now.in);
    for (size_t i = 0; i < COUNT(timeouts); i++)
        FAILS(evb_ring_push(now.ring, now.one.bytes, timeouts[i]), EVB_ECLOSED);
    if (in_place(now.kind)) FAILS(evb_ring_reserve(now.ring, 1, &room), EVB_ECLOSED);
    EQ_PTR(room, &now);
    EQ(evb_ring_dropped(now.ring), 0);
    count_is(inside);
}

void pops_answer_closed(void)
{
    static const int64_t timeouts[] = {0, 1, EVB_FOREVER};
    const void *shown = &now;

    for (uint32_t again = 0; again < 3; again++) { /* final: also when asked again */
        FAILS(pop_next(), EVB_ECLOSED);
        FAILS(pop_batch(1), EVB_ECLOSED);
        FAILS(pop_batch(now.room), EVB_ECLOSED);
        for (size_t i = 0; i < COUNT(timeouts); i++)
            FAILS(evb_ring_pop(now.ring, now.one.bytes, timeouts[i]), EVB_ECLOSED);
        if (in_place(now.kind)) FAILS(evb_ring_peek(now.ring, 1, &shown), EVB_ECLOSED);
        pushes_answer_closed();
    }
    EQ_PTR(shown, &now);
}
