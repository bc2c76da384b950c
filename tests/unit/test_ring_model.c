/* SPDX-License-Identifier: MIT */
/* Random programs of one thread, every kind of ring, next to where counters wrap: each answer must be that of
 * a slow, obvious model. */
#include "ring_now.h"

#include <string.h>

#include "base/rng.h"

#define PROGRAMS (EVB__TSAN ? 60u : EVB_TEST_ASAN ? 150u : 300u) /* of each kind */
#define STEPS    250

static struct {
    uint64_t fifo[512]; /* numbers, the oldest first */
    uint32_t count;
    uint64_t dropped;
    bool closed;
    uint32_t reserved; /* room that reserve gave; 0: none */
    bool shown_known;  /* nothing was popped since the last peek */
    uint32_t shown;
    struct evb__rng rng;
} m;

static uint32_t below(uint32_t n)
{
    return (uint32_t)evb__rng_below(&m.rng, n);
}

/* now.in is the number of the next element; what is inside need not be consecutive (dropped). */
static void model_push(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (m.count == now.room) {
            memmove(m.fifo, m.fifo + 1, (m.count - 1) * sizeof m.fifo[0]);
            m.count--;
            m.dropped++;
        }
        m.fifo[m.count++] = now.in++;
    }
}

static void model_pop(uint32_t n)
{
    memmove(m.fifo, m.fifo + n, (m.count - n) * sizeof m.fifo[0]);
    m.count -= n;
    now.out += n;
    m.shown_known = false;
}

static uint32_t model_room(void)
{
    return overwrites(now.kind) ? batch_limit() : now.room - m.count;
}

static void random_push(void)
{
    static const int64_t timeouts[] = {0, 1, 700, EVB_FOREVER};
    bool full = model_room() == 0;
    uint32_t how = below(5);
    int64_t timeout = timeouts[below(full && !m.closed ? 3 : 4)];
    int32_t rc;

    write_element(now.one.bytes, now.in);
    if (how < 4)
        rc = try_push(now.ring, now.one.bytes);
    else
        rc = evb_ring_push(now.ring, now.one.bytes, timeout);
    memset(now.one.bytes, 0xEE, now.elem_bytes);
    if (m.closed)
        FAILS(rc, EVB_ECLOSED);
    else if (full)
        FAILS(rc, how < 4 || timeout == 0 ? EVB_EFULL : EVB_ETIMEDOUT);
    else
        OK(rc);
    if (rc == EVB_OK) model_push(1);
}

static void random_pop(void)
{
    static const int64_t timeouts[] = {0, 1, 700, EVB_FOREVER};
    uint32_t how = below(5);
    int64_t timeout = timeouts[below(m.count == 0 && !m.closed ? 3 : 4)];
    int32_t rc;

    if (how < 4)
        rc = try_pop(now.ring, now.one.bytes);
    else
        rc = evb_ring_pop(now.ring, now.one.bytes, timeout);
    if (m.count == 0) {
        FAILS(rc, m.closed ? EVB_ECLOSED : how < 4 || timeout == 0 ? EVB_EEMPTY : EVB_ETIMEDOUT);
        return;
    }
    OK(rc);
    is_element(now.one.bytes, m.fifo[0]);
    model_pop(1);
}

static void random_push_batch(void)
{
    uint32_t n = 1 + below(batch_limit()), room = model_room();
    int32_t rc;

    if (below(2) == 0) n = lesser(n, 3);
    write_many(n);
    rc = evb_ring_try_push_many(now.ring, now.many.bytes, n);
    memset(now.many.bytes, 0xEE, (size_t)n * now.elem_bytes);
    if (m.closed)
        FAILS(rc, EVB_ECLOSED);
    else if (room == 0)
        FAILS(rc, EVB_EFULL);
    else
        EQ(rc, lesser(n, room));
    if (rc > 0) model_push((uint32_t)rc);
}

static void random_pop_batch(void)
{
    uint32_t n = 1 + below(batch_limit());
    int32_t rc;

    if (below(2) == 0) n = lesser(n, 3);
    rc = evb_ring_try_pop_many(now.ring, now.many.bytes, n);
    if (m.count == 0) {
        FAILS(rc, m.closed ? EVB_ECLOSED : EVB_EEMPTY);
        return;
    }
    EQ(rc, lesser(n, m.count));
    for (int32_t i = 0; i < rc; i++)
        is_element(many_at((uint32_t)i), m.fifo[i]);
    model_pop((uint32_t)rc);
}

static void random_reserve(void)
{
    uint32_t n = 1 + below(now.room + 2), room = now.room - m.count;
    void *to = &now;
    int32_t rc = evb_ring_reserve(now.ring, n, &to);

    if (m.closed || room == 0) {
        FAILS(rc, m.closed ? EVB_ECLOSED : EVB_EFULL);
        EQ_PTR(to, &now);
        return;
    }
    EQ(rc, lesser(lesser(n, room), to_the_end(now.start + now.in)));
    m.reserved = (uint32_t)rc;
    write_reserved(to, m.reserved);
}

static void random_commit(void)
{
    uint32_t n = below(m.reserved + 1);

    if (below(4) == 0) FAILS(evb_ring_commit(now.ring, m.reserved + 1 + below(3)), EVB_EINVAL);
    if (m.closed) {
        if (m.reserved > 0) FAILS(evb_ring_commit(now.ring, m.reserved), EVB_ECLOSED);
        m.reserved = 0;
        return;
    }
    OK(evb_ring_commit(now.ring, n));
    model_push(n);
    m.reserved = 0;
}

static void random_peek_or_consume(void)
{
    uint32_t n = 1 + below(now.room + 2);
    const void *shown = &now;
    int32_t rc;

    if (m.shown_known && below(2) == 0) {
        FAILS(evb_ring_consume(now.ring, m.shown + 1), EVB_EINVAL);
        n = below(m.shown + 1);
        OK(evb_ring_consume(now.ring, n));
        model_pop(n);
        return;
    }
    rc = evb_ring_peek(now.ring, n, &shown);
    if (m.count == 0) {
        FAILS(rc, m.closed ? EVB_ECLOSED : EVB_EEMPTY);
        return;
    }
    EQ(rc, lesser(lesser(n, m.count), to_the_end(now.start + now.out)));
    for (int32_t i = 0; i < rc; i++)
        is_element((const unsigned char *)shown + (uint32_t)i * (size_t)now.elem_bytes, m.fifo[i]);
    m.shown = (uint32_t)rc;
    m.shown_known = true;
}

static void random_step(uint32_t bias)
{
    bool push = below(8) < bias, here = in_place(now.kind);

    if (below(600) == 0) {
        evb_ring_close(now.ring);
        m.closed = true;
    }
    if (m.reserved > 0 && push) { /* between reserve and commit nothing else is pushed */
        if (below(3) == 0)
            random_reserve();
        else
            random_commit();
    } else if (here && below(3) == 0) {
        if (push)
            random_reserve();
        else
            random_peek_or_consume();
    } else if (below(3) == 0) {
        if (push)
            random_push_batch();
        else
            random_pop_batch();
    } else {
        if (push)
            random_push();
        else
            random_pop();
    }
    EQ(evb_ring_count(now.ring), m.count);
    EQ(evb_ring_dropped(now.ring), m.dropped);
}

static void random_program(const struct kind *kind, uint32_t program)
{
    static const uint32_t sizes[] = {1, 3, 8, 16, 33, 64, 100}, capacities[] = {1, 2, 3, 5, 8, 64};
    uint32_t bias = 4, size, capacity;

    memset(&m, 0, sizeof m);
    evb__rng_init(&m.rng, evb_test_seed() + program);
    size = of_pointers(kind) ? (uint32_t)sizeof(void *) : sizes[below(COUNT(sizes))];
    capacity = capacities[below(COUNT(capacities))];
    open_at(kind, size, capacity, start_near_a_wrap(below(STARTS), rounded(capacity)));
    for (uint32_t step = 0; step < STEPS; step++) {
        if (step % 16 == 0) bias = 1 + below(7); /* now mostly pushes, now mostly pops */
        random_step(bias);
    }
    end_ring();
}

TEST(random_programs_agree_with_a_slow_obvious_model)
{
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (uint32_t program = 0; program < PROGRAMS; program++)
            random_program(&kinds[k], program);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST_IN_BOTH_FORMS(random_programs_agree_with_a_slow_obvious_model),
    };
    return EVB_TEST_MAIN("ring_model", tests, argc, argv);
}
