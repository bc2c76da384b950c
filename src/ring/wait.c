/* SPDX-License-Identifier: MIT */
/* The blocking calls: try, look around for as long as waking a thread takes, then sleep. */
#include "base/clock.h"
#include "base/reader.h"
#include "base/thread.h"
#include "ring/check.h"
#include "ring/eventcount.h"
#include "ring/ring.h"

/* Looking around for less than a wake-up takes makes both ends fall asleep in turn, so it is measured in
 * time. Between two looks the pauses grow: who looks as fast as he can meets the other end in the same cache
 * lines, and both become slow. Soon the processor is offered to others between two looks: with more threads
 * than processors the one that is waited for may need just this one. The turns bound the loop when the clock
 * stands still. */
#define SPIN_NS        20000
#define SPIN_YIELD_NS  2000
#define SPIN_TURNS     256
#define SPIN_PAUSE_MAX 16

/* Where a wake-up may be missed (the kernel has taken the barrier away; an overwriting push waits for a
 * thread that wakes nobody) sleeps are this short. */
#define UNSURE_NS 1000000

/* A blocked operation: which, on what, and where it sleeps. */
struct waiting {
    evb_ring *ring;
    const void *elem; /* push, or NULL */
    void *ret_elem;
    uint32_t *waiters;
    EVB__ATOMIC(uint32_t) *epoch;
};

static int32_t attempt(const struct waiting *w)
{
    const struct evb__ring_calls *calls = w->ring->front.c.s.calls;

    return w->elem != NULL ? calls->push(w->ring, w->elem) : calls->pop(w->ring, w->ret_elem);
}

static bool undecided(int32_t rc)
{
    return rc == EVB_EFULL || rc == EVB_EEMPTY;
}

#ifdef EVB__EXPLORE
/* Looking again changes nothing but the number of schedules. */
static int32_t spin(const struct waiting *w, int64_t timeout_ns)
{
    (void)timeout_ns;
    return w->elem != NULL ? EVB_EFULL : EVB_EEMPTY;
}
#else
static int32_t spin(const struct waiting *w, int64_t timeout_ns)
{
    int64_t limit = timeout_ns != EVB_FOREVER && timeout_ns < SPIN_NS ? timeout_ns : SPIN_NS;
    int64_t start = evb__clock_mono(), spent = 0;
    uint32_t pauses = 1;
    int32_t rc;

    for (uint32_t i = 0; i < SPIN_TURNS; i++) {
        if (spent >= SPIN_YIELD_NS)
            evb__thread_yield();
        else
            for (uint32_t p = 0; p < pauses; p++)
                evb__spin_pause(p);
        rc = attempt(w);
        if (!undecided(rc)) return rc;
        if (pauses < SPIN_PAUSE_MAX) pauses *= 2;
        spent = evb__clock_mono() - start;
        if (spent >= limit) break;
    }
    return rc;
}
#endif

/* Sleeps until the operation is decided or the deadline is over. */
static int32_t sleep_until(const struct waiting *w, int64_t deadline)
{
    bool may_miss = w->elem != NULL && (w->ring->flags & EVB_RING_OVERWRITE) != 0;

    for (;;) {
        bool sure;
        uint32_t key = evb__eventcount_prepare(w->waiters, w->epoch, w->ring->front.c.s.asymmetric, &sure);
        int32_t rc = attempt(w); /* after the registration: what comes later wakes us */
        int64_t left;

        if (!undecided(rc)) return rc;
        left = evb__remaining(deadline);
        if (left == 0) return EVB_ETIMEDOUT; /* nothing to undo: at worst somebody is woken for nothing */
        if ((!sure || may_miss) && (left == EVB_FOREVER || left > UNSURE_NS)) left = UNSURE_NS;
        (void)evb__park(w->epoch, key, left); /* woken, timed out or changed: look */
    }
}

/* The operation has answered rc, which decides nothing. */
EVB__COLD static int32_t wait(const struct waiting *w, int32_t rc, int64_t timeout_ns)
{
    int64_t deadline;

    if (timeout_ns == 0) return rc;
    if (evb__in_callback(evb__self())) return EVB_EDEADLK;
    deadline = evb__deadline(timeout_ns);
    rc = spin(w, timeout_ns);
    return undecided(rc) ? sleep_until(w, deadline) : rc;
}

EVB__COLD static int32_t wait_for_room(evb_ring *ring, const void *elem, int64_t timeout_ns)
{
    struct waiting w = {.ring = ring, .elem = elem};

    w.waiters = &ring->front.c.s.push_waiters;
    w.epoch = &ring->push_epoch;
    return wait(&w, EVB_EFULL, timeout_ns);
}

EVB__COLD static int32_t wait_for_element(evb_ring *ring, void *ret_elem, int64_t timeout_ns)
{
    struct waiting w = {.ring = ring, .ret_elem = ret_elem};

    w.waiters = &ring->front.c.s.pop_waiters;
    w.epoch = &ring->pop_epoch;
    return wait(&w, EVB_EEMPTY, timeout_ns);
}

int32_t evb_ring_push(evb_ring *ring, const void *elem, int64_t timeout_ns)
{
    const struct evb__ring_calls *calls;
    int32_t rc;

    if (evb__unlikely(ring == NULL || elem == NULL || timeout_ns < EVB_FOREVER)) return EVB_EINVAL;
    if (evb__unlikely(!evb__ring_ours(ring))) return EVB_EFORKED;
    calls = ring->front.c.s.calls;
    evb__ring_enter_push(ring);
    rc = calls->push(ring, elem);
    if (evb__unlikely(rc == EVB_EFULL)) rc = wait_for_room(ring, elem, timeout_ns);
    evb__ring_leave_push(ring);
    return rc;
}

int32_t evb_ring_pop(evb_ring *ring, void *ret_elem, int64_t timeout_ns)
{
    const struct evb__ring_calls *calls;
    int32_t rc;

    if (evb__unlikely(ring == NULL || ret_elem == NULL || timeout_ns < EVB_FOREVER)) return EVB_EINVAL;
    if (evb__unlikely(!evb__ring_ours(ring))) return EVB_EFORKED;
    calls = ring->front.c.s.calls;
    evb__ring_enter_pop(ring);
    rc = calls->pop(ring, ret_elem);
    if (evb__unlikely(rc == EVB_EEMPTY)) rc = wait_for_element(ring, ret_elem, timeout_ns);
    evb__ring_leave_pop(ring);
    return rc;
}
