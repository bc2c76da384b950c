/* SPDX-License-Identifier: MIT */
/* evbus/ring_inline.h: the single-producer, single-consumer ring compiled into the caller, for the last
 * nanoseconds.
 *
 * evb_ring_try_push_inline and evb_ring_try_pop_inline take every kind of ring and answer what
 * evb_ring_try_push and evb_ring_try_pop answer. For EVB_RING_SPSC rings the usual case runs in place: a few
 * loads and stores and no call. Everything else (other kinds, a full, empty or closed ring, a waiting thread)
 * is the call. The library's own SPSC functions are built from this text too.
 *
 * GUARANTEES
 * - Both are wait-free for SPSC rings. A program may mix inline and called operations on one ring.
 *
 * WHAT IT DOES NOT DO
 * - It does not check its arguments: ring and element must not be NULL, and with EVB_RING_POINTERS neither
 *   may be the pointer pushed.
 * - It does not notice fork: in the child use the functions, which answer EVB_EFORKED.
 * - It does not look for a second thread at a single end, in debug builds either.
 *
 * CAVEATS
 * - What stands here is compiled into your program: rebuild it when the library's SONAME changes.
 * - Compilers other than gcc and clang get the calls. So does a library built for ThreadSanitizer, and a
 *   kernel without membarrier(2).
 *
 * A PROGRAM
 *
 *     #include <stdio.h>
 *     #include <evbus/ring_inline.h>
 *
 *     int main(void)
 *     {
 *         evb_ring_opts opts = { 0 };
 *         evb_ring *ring;
 *         int here = 42;
 *         void *in = &here, *out = NULL;
 *
 *         opts.mode = EVB_RING_SPSC;
 *         opts.capacity = 1024;
 *         opts.flags = EVB_RING_POINTERS;
 *         if (evb_ring_create(&opts, &ring) < 0) return 1;
 *         if (evb_ring_try_push_inline(ring, &in) < 0) return 1;
 *         if (evb_ring_try_pop_inline(ring, &out) < 0) return 1;
 *         evb_ring_destroy(ring);
 *         printf("%d\n", *(int *)out);
 *         return 0;
 *     }
 *
 * It prints:
 *
 *     42
 */
#ifndef EVBUS_RING_INLINE_H
#define EVBUS_RING_INLINE_H

#include <string.h>

#include <evbus/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes every thread that waits in evb_ring_push or evb_ring_pop of this ring look again. The inline
 * operations call it when they have seen a waiting thread; nobody else needs it.
 *
 * Parameters: ring: NULL is nothing.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; may make system calls (to wake).
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_ring_notify(evb_ring *ring);

/* ---- Atomics --------------------------------------------------------------------------------------------
 * Plain objects and the builtins of gcc and clang, because this text is C99 and C++ too. The model checker's
 * build of the library brings its own. */
#ifndef EVB__RING_ATOMICS
#if defined(__GNUC__)
#define EVB__RING_ATOMICS             1
#define EVB__RING_LD_RLX(p)           __atomic_load_n((p), __ATOMIC_RELAXED)
#define EVB__RING_LD_ACQ(p)           __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define EVB__RING_ST_RLX(p, v)        __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define EVB__RING_ST_REL(p, v)        __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define EVB__RING_XCHG_ACQREL(p, v)   __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define EVB__RING_ADD_ACQREL(p, v)    __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define EVB__RING_COMPILER_BARRIER()  __atomic_signal_fence(__ATOMIC_SEQ_CST)
#define EVB__RING_INLINE              static inline __attribute__((always_inline))
#define EVB__RING_LIKELY(x)           __builtin_expect(!!(x), 1)
#define EVB__RING_MEMCPY(to, from, n) memcpy((to), (from), (n))
#define EVB__RING_HOLD(to, from, n)                                                                          \
    (__builtin_object_size((to), 0) >= (n) && __builtin_object_size((from), 0) >= (n))
/* Without optimization the branches for other sizes stay, and the compiler would warn of them: it must not
 * see which object a pointer points into. */
#ifdef __OPTIMIZE__
#define EVB__RING_HIDE(p) ((void)0)
#else
#define EVB__RING_HIDE(p) __asm__("" : "+r"(p))
#endif
/* Element bytes inside the ring: the model checker looks at these copies for races. */
#define EVB__RING_COPY_IN(room, elem, n)  evb__ring_copy((room), (elem), (n))
#define EVB__RING_COPY_OUT(elem, room, n) evb__ring_copy((elem), (room), (n))
#else
#define EVB__RING_ATOMICS 0
#endif
#endif

#if EVB__RING_ATOMICS

/* ---- The ring as the two ends see it --------------------------------------------------------------------
 *
 *       producer.next ---v
 *      +---+---+---+---+---+---+---+---+
 *      |   |   | A | B |   |   |   |   |        pointers: a free slot is NULL, and the slot is all the two
 *      +---+---+---+---+---+---+---+---+        ends share. values: tail and head say what is full; each end
 *       consumer.next ^                         remembers what it saw of the other's.
 *
 * Invariant: positions count elements since the ring was made, modulo 2^32; at most 2^31 lie between two of
 * them. The slot of position p is p & mask. The producer stores producer.next = p + n before it looks at
 * closed and publishes positions below p + n only if that was 0; else it takes the store back. evb_ring_close
 * stores closed, puts a barrier into the producer and stores settled. So once settled is 1, producer.next ==
 * consumer.next says that nothing will come any more. Threads: producer and tail are written by the producer
 * only, consumer and head by the consumer only (after the slot-flag ring of FastForward, Giacomoni, Moseley,
 * Vachharajani, PPoPP 2008, and the cached indices of MCRingBuffer, Lee, Bu, Chandranmenon, IPDPS 2010).
 */
enum {
    EVB__RING_OF_POINTERS = 1, /* evb__ring_front.form; others are the library's business */
    EVB__RING_OF_VALUES = 2,   /* the same */
    EVB__RING_LINE = 128       /* two cache lines: adjacent ones are fetched in pairs */
};

/* One end's own line. */
struct evb__ring_end {
    uint32_t next;    /* atomic; the position of its next operation */
    uint32_t seen;    /* values: what it last saw of the other end */
    uint32_t granted; /* values: what reserve or peek has answered */
    char pad[EVB__RING_LINE - 12];
};

struct evb__ring_index {
    uint32_t position; /* atomic */
    char pad[EVB__RING_LINE - 4];
};

struct evb__ring_front {
    /* constant, and what changes seldom: one line that both ends read */
    union {
        struct {
            void *slots;
            const void *calls; /* the library's functions for this kind */
            uint32_t form;
            uint32_t mask; /* capacity - 1 */
            uint32_t elem_bytes;
            uint32_t generation;   /* of the process that made the ring */
            uint32_t asymmetric;   /* waiting and closing threads put the barrier: base/barrier.h */
            uint32_t closed;       /* atomic; 1: pushes are refused */
            uint32_t settled;      /* atomic; 1: and what had not seen it can be seen */
            uint32_t over;         /* atomic; 1: a pop has found nothing under way; a late push that announces
                                      itself to be refused must not make it look open again */
            uint32_t pop_waiters;  /* atomic; not 0: somebody sleeps, or is about to */
            uint32_t push_waiters; /* atomic */
        } s;
        char pad[EVB__RING_LINE];
    } c;
    struct evb__ring_end producer;
    struct evb__ring_end consumer;
    struct evb__ring_index tail; /* values: published by the producer */
    struct evb__ring_index head;
};

/* The usual sizes as fixed ones, which compilers make a few moves of; the branch is the same every time.
 * Where the compiler knows that an object is smaller it drops the branch, instead of warning of it. */
EVB__RING_INLINE void evb__ring_copy(void *to, const void *from, size_t n)
{
    if (n == 8 && EVB__RING_HOLD(to, from, 8))
        memcpy(to, from, 8);
    else if (n == 16 && EVB__RING_HOLD(to, from, 16))
        memcpy(to, from, 16);
    else if (n == 32 && EVB__RING_HOLD(to, from, 32))
        memcpy(to, from, 32);
    else if (n == 64 && EVB__RING_HOLD(to, from, 64))
        memcpy(to, from, 64);
    else
        EVB__RING_MEMCPY(to, from, n);
}

/* ---- The producer ---------------------------------------------------------------------------------------
 */

/* Says that positions below `next` are about to be published. 0: the ring is closed, and it is not said. */
EVB__RING_INLINE int evb__spsc_announce(struct evb__ring_front *ring, uint32_t now, uint32_t next,
                                        uint32_t asymmetric)
{
    if (EVB__RING_LIKELY(asymmetric)) {
        EVB__RING_ST_RLX(&ring->producer.next, next); /* pairs with the heavy barrier in evb_ring_close */
        EVB__RING_COMPILER_BARRIER();
    } else {
        /* pairs with the read-modify-write of the same word in evb_ring_close */
        (void)EVB__RING_XCHG_ACQREL(&ring->producer.next, next);
    }
    /* relaxed: either the barrier or the exchange has ordered it after the close that it must see */
    if (EVB__RING_LIKELY(EVB__RING_LD_RLX(&ring->c.s.closed) == 0)) return 1;
    EVB__RING_ST_RLX(&ring->producer.next, now); /* pairs with evb__spsc_over */
    return 0;
}

EVB__RING_INLINE int32_t evb__spsc_full(const struct evb__ring_front *ring)
{
    /* relaxed: who knows of the close by other means sees it here too */
    return EVB__RING_LD_RLX(&ring->c.s.closed) == 0 ? EVB_EFULL : EVB_ECLOSED;
}

EVB__RING_INLINE int32_t evb__spsc_push_pointer(struct evb__ring_front *ring, void *pointer,
                                                uint32_t asymmetric)
{
    uint32_t now = EVB__RING_LD_RLX(&ring->producer.next); /* our own */
    void **slot = (void **)ring->c.s.slots + (now & ring->c.s.mask);

    if (EVB__RING_LD_ACQ(slot) != NULL)
        return evb__spsc_full(ring); /* pairs with pop: it has read the slot */
    if (!evb__spsc_announce(ring, now, now + 1, asymmetric)) return EVB_ECLOSED;
    EVB__RING_ST_REL(slot, pointer); /* pairs with pop: what the pointer points at */
    return EVB_OK;
}

/* How many elements fit, up to wanted. */
EVB__RING_INLINE uint32_t evb__spsc_room(struct evb__ring_front *ring, uint32_t wanted)
{
    uint32_t capacity = ring->c.s.mask + 1, now = EVB__RING_LD_RLX(&ring->producer.next); /* our own */
    uint32_t room = capacity - (now - ring->producer.seen);

    if (room < wanted) {
        ring->producer.seen = EVB__RING_LD_ACQ(&ring->head.position); /* pairs with evb__spsc_consume */
        room = capacity - (now - ring->producer.seen);
    }
    return room < wanted ? room : wanted;
}

EVB__RING_INLINE char *evb__spsc_at(const struct evb__ring_front *ring, uint32_t position)
{
    return (char *)ring->c.s.slots + (size_t)(position & ring->c.s.mask) * ring->c.s.elem_bytes;
}

EVB__RING_INLINE int32_t evb__spsc_commit(struct evb__ring_front *ring, uint32_t n, uint32_t asymmetric)
{
    uint32_t now = EVB__RING_LD_RLX(&ring->producer.next); /* our own */

    ring->producer.granted = 0;
    if (!evb__spsc_announce(ring, now, now + n, asymmetric)) return EVB_ECLOSED;
    EVB__RING_ST_REL(&ring->tail.position, now + n); /* pairs with evb__spsc_filled: the elements */
    return EVB_OK;
}

EVB__RING_INLINE int32_t evb__spsc_push_value(struct evb__ring_front *ring, const void *elem,
                                              uint32_t asymmetric)
{
    if (evb__spsc_room(ring, 1) == 0) return evb__spsc_full(ring);
    EVB__RING_COPY_IN(evb__spsc_at(ring, EVB__RING_LD_RLX(&ring->producer.next)), elem, ring->c.s.elem_bytes);
    return evb__spsc_commit(ring, 1, asymmetric);
}

/* ---- The consumer ---------------------------------------------------------------------------------------
 */

/* The ring was found empty at the consumer's position: 1 when it is closed and nothing can come any more. The
 * caller looks at the ring once more after a 0. */
EVB__RING_INLINE int evb__spsc_over(struct evb__ring_front *ring)
{
    uint32_t next = EVB__RING_LD_RLX(&ring->consumer.next); /* our own */

    /* acquire: what closing made visible comes with it; pairs with evb_ring_close */
    if (EVB__RING_LIKELY(EVB__RING_LD_ACQ(&ring->c.s.settled) == 0)) return 0;
    if (EVB__RING_LD_RLX(&ring->c.s.over) != 0) return 1;         /* our own */
    if (EVB__RING_LD_ACQ(&ring->producer.next) != next) return 0; /* pairs with evb__spsc_announce */
    EVB__RING_ST_RLX(&ring->c.s.over, 1u);
    return 1;
}

/* The pointer, or NULL: empty. */
EVB__RING_INLINE void *evb__spsc_pop_pointer(struct evb__ring_front *ring)
{
    uint32_t now = EVB__RING_LD_RLX(&ring->consumer.next); /* our own */
    void **slot = (void **)ring->c.s.slots + (now & ring->c.s.mask);
    void *pointer = EVB__RING_LD_ACQ(slot); /* pairs with evb__spsc_push_pointer */

    if (pointer != NULL) {
        EVB__RING_ST_REL(slot, (void *)0); /* pairs with the look at the slot in evb__spsc_push_pointer */
        EVB__RING_ST_RLX(&ring->consumer.next, now + 1); /* for evb_ring_count */
    }
    return pointer;
}

/* How many elements are inside, up to wanted. */
EVB__RING_INLINE uint32_t evb__spsc_filled(struct evb__ring_front *ring, uint32_t wanted)
{
    uint32_t now = EVB__RING_LD_RLX(&ring->consumer.next); /* our own */
    uint32_t filled = ring->consumer.seen - now;

    if (filled < wanted) {
        ring->consumer.seen = EVB__RING_LD_ACQ(&ring->tail.position); /* pairs with evb__spsc_commit */
        filled = ring->consumer.seen - now;
    }
    return filled < wanted ? filled : wanted;
}

EVB__RING_INLINE void evb__spsc_consume(struct evb__ring_front *ring, uint32_t n)
{
    uint32_t next = EVB__RING_LD_RLX(&ring->consumer.next) + n; /* our own */

    ring->consumer.granted = 0;
    EVB__RING_ST_RLX(&ring->consumer.next, next);
    EVB__RING_ST_REL(&ring->head.position, next); /* pairs with evb__spsc_room: the elements have been read */
}

/* ---- What a program calls -------------------------------------------------------------------------------
 */

/* evb_ring_try_push, in place where the ring is SPSC. */
EVB__RING_INLINE int32_t evb_ring_try_push_inline(evb_ring *ring, const void *elem)
{
    struct evb__ring_front *front = (struct evb__ring_front *)(void *)ring;
    int32_t rc = EVB_ECLOSED;

    EVB__RING_HIDE(elem);
    if (front->c.s.asymmetric && front->c.s.form == EVB__RING_OF_POINTERS &&
        EVB__RING_HOLD(elem, elem, sizeof(void *))) {
        void *pointer;

        memcpy(&pointer, elem, sizeof pointer);
        rc = evb__spsc_push_pointer(front, pointer, 1);
    } else if (front->c.s.asymmetric && front->c.s.form == EVB__RING_OF_VALUES) {
        rc = evb__spsc_push_value(front, elem, 1);
    }
    if (rc == EVB_ECLOSED) return evb_ring_try_push(ring, elem); /* also wakes whom the close left waiting */
    EVB__RING_COMPILER_BARRIER(); /* pairs with the heavy barrier of a thread that goes to sleep */
    if (EVB__RING_LD_RLX(&front->c.s.pop_waiters) != 0) evb_ring_notify(ring);
    return rc;
}

/* evb_ring_try_pop, in place where the ring is SPSC. */
EVB__RING_INLINE int32_t evb_ring_try_pop_inline(evb_ring *ring, void *ret_elem)
{
    struct evb__ring_front *front = (struct evb__ring_front *)(void *)ring;

    EVB__RING_HIDE(ret_elem);
    if (front->c.s.asymmetric && front->c.s.form == EVB__RING_OF_POINTERS &&
        EVB__RING_HOLD(ret_elem, ret_elem, sizeof(void *))) {
        void *pointer = evb__spsc_pop_pointer(front);

        if (pointer == NULL) goto empty;
        memcpy(ret_elem, &pointer, sizeof pointer);
    } else if (front->c.s.asymmetric && front->c.s.form == EVB__RING_OF_VALUES) {
        if (evb__spsc_filled(front, 1) == 0) goto empty;
        EVB__RING_COPY_OUT(ret_elem, evb__spsc_at(front, EVB__RING_LD_RLX(&front->consumer.next)),
                           front->c.s.elem_bytes);
        evb__spsc_consume(front, 1);
    } else {
        return evb_ring_try_pop(ring, ret_elem);
    }
    EVB__RING_COMPILER_BARRIER(); /* pairs with the heavy barrier of a thread that goes to sleep */
    if (EVB__RING_LD_RLX(&front->c.s.push_waiters) != 0) evb_ring_notify(ring);
    return EVB_OK;
empty:
    /* relaxed: as in evb__spsc_full */
    return EVB__RING_LD_RLX(&front->c.s.closed) == 0 ? EVB_EEMPTY : evb_ring_try_pop(ring, ret_elem);
}

#else

static inline int32_t evb_ring_try_push_inline(evb_ring *ring, const void *elem)
{
    return evb_ring_try_push(ring, elem);
}

static inline int32_t evb_ring_try_pop_inline(evb_ring *ring, void *ret_elem)
{
    return evb_ring_try_pop(ring, ret_elem);
}

#endif

#ifdef __cplusplus
}
#endif

#endif
