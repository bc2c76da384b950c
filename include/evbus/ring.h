/* SPDX-License-Identifier: MIT */
/* evbus/ring.h: bounded lock-free queues of fixed-size elements, by value, between threads of one process.
 *
 * A ring is one block of memory with room for `capacity` elements of `elem_bytes`. Pushing copies an element
 * in, popping copies the oldest out. The mode says how many threads may push and pop at once; the progress
 * class says what a thread that is stopped in the middle of a call can do to the others. Usable without a
 * bus; the bus' own queues are built on it.
 *
 * KINDS
 *
 *      mode              progress     push        pop         full, empty    bytes, elements of n
 *      SPSC, pointers    either       wait-free   wait-free   exact          8 a slot
 *      SPSC              either       wait-free   wait-free   exact          n a slot
 *      MPMC MPSC SPMC    LOCK_FREE    lock-free   lock-free   exact          8 + n a slot, 64 + n a thread
 *      MPMC MPSC SPMC    SEQUENCED    blocking    blocking    may be early   8 + n a slot
 *
 * Wait-free: a call ends after a bounded number of its own steps. Lock-free: of the threads inside calls
 * some one always finishes, wherever the others have been stopped. Blocking: no lock is taken, but a
 * thread that is stopped between claiming a slot and publishing it holds up everything behind that slot
 * until it goes on. The words are about the try_ calls and the in-place calls; evb_ring_push and
 * evb_ring_pop wait by their nature, and a thread that is stopped while it wakes sleepers delays these. n
 * is rounded up to 8 bytes, but not for SPSC.
 *
 * GUARANTEES
 * - Order: elements pushed by one thread come out in that order; with one popper, in one order for all.
 *   Nothing is lost, doubled or torn. Everything a thread wrote before a push is visible to the thread
 *   that pops the element.
 * - The capacity is exact and hard: that many elements fit, never one more, and a ring never grows.
 * - Exact: EVB_EFULL and EVB_EEMPTY take into account everything that happened before the call, and the
 *   answers of all threads on an MPMC or SPMC ring fit into one order of the calls (linearizable): at
 *   one moment during the call all places were taken, or no element was inside. Where one thread has an
 *   end to itself (SPSC, the pops of MPSC) it works by plain stores, and the other end sees them when
 *   the processor has made them visible, nanoseconds later. May be early: a finished push may lie behind
 *   an unfinished one and not be seen, and a freed place behind one that is still being read.
 * - Close is final: once a pop has answered EVB_ECLOSED no push succeeds, and everything that was pushed
 *   has been popped.
 * - Lock-free rings are swap rings: every slot holds the number of a cell, a push fills its thread's
 *   spare cell and swaps it in by one compare-and-swap. The spare cell pays the lower bound on memory of
 *   Aksenov, Koval, Kuznetsov and Paramonov (arXiv 2104.15003). A test stops a thread before every
 *   machine instruction of every call and looks whether the others go on.
 * - Sequenced rings are those of Dmitry Vyukov (1024cores, "Bounded MPMC queue"): faster, and weaker as
 *   said.
 * - SPSC rings of pointers share nothing but the slots (FastForward, PPoPP 2008); those of values
 *   remember what they saw of the other end (MCRingBuffer, IPDPS 2010).
 *
 * WHAT IT DOES NOT DO
 * - It is not fair between threads that push at the same time, and has no order between them.
 * - It does not check in release builds that only one thread uses a single-producer or single-consumer
 *   end. A library built with -DEVB_DEBUG ends the process, with the log line ring_misuse, when two are
 *   there at once (the inline calls of ring_inline.h do not look).
 * - It does not work across processes.
 *
 * CAVEATS
 * - fork: EVB_EFORKED in the child; evb_ring_destroy and evb_ring_close do nothing there, the memory stays.
 *   Signals: not async-signal-safe, also the wait-free form.
 * - Threads: a thread's spare cell stays in the ring when the thread ends and serves the next one. A
 *   ring comes with spare cells for the threads that the library has numbered 0 to 63 (every thread
 *   that uses a lock-free ring or a bus has a number, the smallest free one), but with at most 64 KiB
 *   of them, at least one; a thread with a higher number brings, at its first push, cells for a group
 *   of threads, each group twice as large as the one before.
 * - A producer that is stopped for good inside a push of an SPSC or a sequenced ring keeps the pops of
 *   the closed ring at EVB_EEMPTY: its element may still come.
 * - Lock-free rings with many poppers, or with EVB_RING_OVERWRITE, copy an element of up to 32 bytes before
 *   they know that it is theirs, and again when another thread was faster; larger ones once, afterwards.
 * - Destroy a ring only when no thread is inside a call on it: close it, join, destroy.
 *
 * A PROGRAM
 *
 *     #include <stdio.h>
 *     #include <evbus/ring.h>
 *
 *     int main(void)
 *     {
 *         evb_ring_opts opts = { 0 };
 *         evb_ring *ring;
 *         uint64_t in = 42, out = 0;
 *
 *         opts.capacity = 1024;
 *         opts.elem_bytes = sizeof in;
 *         if (evb_ring_create(&opts, &ring) < 0) return 1;
 *         evb_ring_push(ring, &in, EVB_FOREVER);
 *         evb_ring_close(ring);
 *         while (evb_ring_pop(ring, &out, 1000000000) == EVB_OK)
 *             printf("%d\n", (int)out);
 *         evb_ring_destroy(ring);
 *         return 0;
 *     }
 *
 * It prints:
 *
 *     42
 */
#ifndef EVBUS_RING_H
#define EVBUS_RING_H

#include <evbus/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* evb_ring_opts.mode: how many threads push, how many pop */
enum {
    EVB_RING_MPMC = 0, /* many, many */
    EVB_RING_SPSC = 1, /* one, one */
    EVB_RING_MPSC = 2, /* many, one */
    EVB_RING_SPMC = 3  /* one, many */
};

/* evb_ring_opts.progress; SPSC is wait-free whatever it says */
enum {
    EVB_RING_LOCK_FREE = 0, /* a thread stopped inside a try_ call never keeps the others from progressing */
    EVB_RING_SEQUENCED = 1  /* faster; a thread stopped between claim and publish delays what is behind it */
};

/* evb_ring_opts.flags */
enum {
    EVB_RING_POINTERS = 1, /* SPSC: elements are non-NULL pointers: the fastest form */
    EVB_RING_OVERWRITE = 2 /* MPMC, MPSC: a full ring drops its oldest and counts it; see evb_ring_try_push */
};

typedef struct evb_ring_opts {
    uint32_t struct_size; /* sizeof(evb_ring_opts), or 0 */
    uint32_t mode;        /* EVB_RING_MPMC ... EVB_RING_SPMC; default MPMC */
    uint32_t capacity;   /* no default: 1 to 2^31, lock-free 2^19; rounded up to a power of two, at least 2 */
    uint32_t elem_bytes; /* bytes of an element, up to 1 MiB; 0 = sizeof(void *) */
    uint32_t progress;   /* EVB_RING_LOCK_FREE (default) or EVB_RING_SEQUENCED */
    uint32_t flags;      /* EVB_RING_POINTERS, EVB_RING_OVERWRITE */
} evb_ring_opts;

/* ---- Calls: make and end ------------------------------------------------------------------------------- */

/* Makes a ring.
 *
 * Parameters: opts: not NULL, since capacity has no default. ret_ring: not NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_ring_destroy. opts is copied.
 * Threads: any thread.
 * Cost: does not block; allocates (about 1.3 KiB and what KINDS says; lock-free 4 KiB and the first spare
 *   cells, see CAVEATS, more); may make system calls (the allocator's; the first object of a process
 *   registers with the kernel).
 * Errors: EVB_EINVAL: a NULL argument, capacity 0 or above its limit, elem_bytes above 1 MiB, an unknown
 *   mode, progress or flag, a flag that the mode does not have, or elem_bytes that is no pointer's with
 *   EVB_RING_POINTERS. EVB_ENOMEM: no memory. EVB_EINVAL, EVB_ENOTSUP: struct_size as in base.h.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_create(const evb_ring_opts *opts, evb_ring **ret_ring);

/* Frees a ring with what is still inside. Elements are bytes: whatever they point to is the caller's.
 *
 * Parameters: ring: NULL is nothing.
 * Ownership: ends here.
 * Threads: owner (no other call on the ring may run or begin).
 * Cost: does not block; does not allocate; may make system calls (the allocator's).
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_ring_destroy(evb_ring *ring);

/* ---- Calls: one element -------------------------------------------------------------------------------- */

/* Appends one element if there is room now. With EVB_RING_OVERWRITE there is: on a full ring the oldest
 * element goes, by the same compare-and-swap in a lock-free ring. In a sequenced one the call takes it out
 * first: an EVB_ECLOSED of a close at that moment comes after the drop, which is counted; and when another
 * thread is stopped in the middle of a call it looks on for some hundred microseconds and then answers
 * EVB_EFULL.
 *
 * Parameters: ring: not NULL. elem: points at elem_bytes bytes; with EVB_RING_POINTERS at a `void *` that is
 *   not NULL.
 * Returns: EVB_OK.
 * Ownership: the bytes are copied.
 * Threads: any thread; owner of the pushing end in SPSC and SPMC.
 * Cost: does not block (takes no lock); may allocate (lock-free: a thread's first push, when its cell did not
 *   come with the ring); may make system calls (one, when a waiting popper is to be woken). About one locked
 *   instruction in MPMC, MPSC and lock-free SPMC, none in SPSC and sequenced SPMC.
 * Errors: EVB_EFULL: no room. EVB_ECLOSED: evb_ring_close was called. EVB_EINVAL: a NULL argument, or a NULL
 *   element with EVB_RING_POINTERS. EVB_ENOMEM: that one allocation failed. EVB_EFORKED: the ring was made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_try_push(evb_ring *ring, const void *elem);

/* Takes the oldest element if there is one now.
 *
 * Parameters: ring: not NULL. ret_elem: room for elem_bytes bytes, not NULL.
 * Returns: EVB_OK.
 * Ownership: the bytes are the caller's copy.
 * Threads: any thread; owner of the popping end in SPSC and MPSC.
 * Cost: does not block (takes no lock); may allocate (lock-free MPMC, SPMC and overwriting rings, elements
 *   above 32 bytes: as a push); may make system calls (one, to wake a waiting pusher). One locked
 *   instruction in MPMC and SPMC, none in SPSC and MPSC (with EVB_RING_OVERWRITE: one).
 * Errors: EVB_EEMPTY: nothing inside. EVB_ECLOSED: closed and drained: nothing will come any more.
 *   EVB_EINVAL: a NULL argument. EVB_ENOMEM: that one allocation failed. EVB_EFORKED: the ring was made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_try_pop(evb_ring *ring, void *ret_elem);

/* Appends one element, waiting for room.
 *
 * Parameters: ring, elem: as evb_ring_try_push. timeout_ns: nanoseconds, EVB_FOREVER, or 0 =
 *   evb_ring_try_push.
 * Returns: EVB_OK.
 * Ownership: the bytes are copied.
 * Threads: any thread, not from a callback if it would wait; owner of the pushing end in SPSC and SPMC.
 * Cost: may block (spins for microseconds, then sleeps on a futex); may allocate (as evb_ring_try_push); may
 *   make system calls (to sleep and to wake; none while the ring is neither full nor waited for).
 * Errors: EVB_ETIMEDOUT: no room in time. EVB_EFULL: no room and timeout_ns is 0. EVB_ECLOSED: closed, also
 *   while waiting. EVB_EDEADLK: would wait inside a callback. EVB_EINVAL, EVB_ENOMEM, EVB_EFORKED: as
 *   evb_ring_try_push; EVB_EINVAL also for a timeout below -1.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_push(evb_ring *ring, const void *elem, int64_t timeout_ns);

/* Takes the oldest element, waiting for one.
 *
 * Parameters: ring, ret_elem: as evb_ring_try_pop. timeout_ns: nanoseconds, EVB_FOREVER, or 0 =
 *   evb_ring_try_pop.
 * Returns: EVB_OK.
 * Ownership: the bytes are the caller's copy.
 * Threads: any thread, not from a callback if it would wait; owner of the popping end in SPSC and MPSC.
 * Cost: may block (spins for microseconds, then sleeps on a futex); may allocate (as evb_ring_try_pop); may
 *   make system calls (to sleep and to wake).
 * Errors: EVB_ETIMEDOUT: nothing came in time. EVB_EEMPTY: nothing inside and timeout_ns is 0. EVB_ECLOSED:
 *   closed and drained, also while waiting. EVB_EDEADLK: would wait inside a callback. EVB_EINVAL: a NULL
 *   argument, or a timeout below -1. EVB_ENOMEM, EVB_EFORKED: as evb_ring_try_pop.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_pop(evb_ring *ring, void *ret_elem, int64_t timeout_ns);

/* ---- Calls: several elements --------------------------------------------------------------------------- */

/* Appends as many of n elements as there is room for now, in their order; other pushers' elements may come
 * between them. With EVB_RING_OVERWRITE all of them, the oldest going as in evb_ring_try_push.
 *
 * Parameters: ring: not NULL. elems: n x elem_bytes bytes; NULL only when n is 0. n: elements.
 * Returns: how many were taken, from the front: 1 to n; 0 only when n is 0.
 * Ownership: the bytes are copied.
 * Threads: any thread; owner of the pushing end in SPSC and SPMC.
 * Cost: does not block (takes no lock); may allocate (as evb_ring_try_push); may make system calls (to wake
 *   poppers).
 * Errors: EVB_EFULL: no room for a single one. EVB_ECLOSED, EVB_EINVAL, EVB_ENOMEM, EVB_EFORKED: as
 *   evb_ring_try_push.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_try_push_many(evb_ring *ring, const void *elems, uint32_t n);

/* Takes up to n of the oldest elements, in their order.
 *
 * Parameters: ring: not NULL. ret_elems: room for n x elem_bytes bytes; NULL only when n is 0. n: elements.
 * Returns: how many were taken: 1 to n; 0 only when n is 0.
 * Ownership: the bytes are the caller's copy.
 * Threads: any thread; owner of the popping end in SPSC and MPSC.
 * Cost: does not block (takes no lock); may allocate (as evb_ring_try_pop); may make system calls (to wake
 *   pushers).
 * Errors: EVB_EEMPTY: nothing inside. EVB_ECLOSED, EVB_EINVAL, EVB_ENOMEM, EVB_EFORKED: as evb_ring_try_pop.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_try_pop_many(evb_ring *ring, void *ret_elems, uint32_t n);

/* ---- Calls: in place, without a copy (SPSC by value) --------------------------------------------------- */

/* Gives the pushing thread room inside the ring to write elements into; they become visible with
 * evb_ring_commit.
 *
 * Parameters: ring: SPSC without EVB_RING_POINTERS. n: elements wanted, at least 1. ret_elems: start of the
 *   room, not NULL.
 * Returns: how many elements fit there contiguously: 1 to n, fewer than n also at the ring's end.
 * Ownership: the room is the caller's to write until evb_ring_commit; reserving again before gives the same
 *   room. Elements lie elem_bytes apart from an address that is a multiple of 128 on.
 * Threads: owner (the pushing thread).
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: EVB_EFULL: no room. EVB_ECLOSED: closed. EVB_ENOTSUP: another kind of ring. EVB_EINVAL: a NULL
 *   argument, or n is 0. EVB_EFORKED: the ring was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_reserve(evb_ring *ring, uint32_t n, void **ret_elems);

/* Publishes the first n elements of the reserved room, all at once.
 *
 * Parameters: ring: as evb_ring_reserve. n: at most what it answered; 0 gives the room back.
 * Returns: EVB_OK.
 * Ownership: the room is the ring's again.
 * Threads: owner (the pushing thread).
 * Cost: does not block (takes no lock); does not allocate; may make system calls (to wake the popper).
 * Errors: EVB_ECLOSED: the ring was closed since: nothing is published, the room is given back. EVB_EINVAL:
 *   NULL, or n is more than is reserved (a push in between gives the room back). EVB_ENOTSUP: another kind of
 *   ring. EVB_EFORKED: the ring was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_commit(evb_ring *ring, uint32_t n);

/* Shows the popping thread the oldest elements where they lie; they leave with evb_ring_consume.
 *
 * Parameters: ring: SPSC without EVB_RING_POINTERS. n: elements wanted, at least 1. ret_elems: the oldest,
 *   not NULL.
 * Returns: how many lie there contiguously: 1 to n, fewer than n also at the ring's end.
 * Ownership: the caller may read them until evb_ring_consume.
 * Threads: owner (the popping thread).
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: EVB_EEMPTY: nothing inside. EVB_ECLOSED: closed and drained. EVB_ENOTSUP: another kind of ring.
 *   EVB_EINVAL: a NULL argument, or n is 0. EVB_EFORKED: the ring was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_peek(evb_ring *ring, uint32_t n, const void **ret_elems);

/* Removes the n oldest elements.
 *
 * Parameters: ring: as evb_ring_peek. n: at most what it answered; 0 removes nothing.
 * Returns: EVB_OK.
 * Ownership: the room is the pusher's again.
 * Threads: owner (the popping thread).
 * Cost: does not block (takes no lock); does not allocate; may make system calls (to wake the pusher).
 * Errors: EVB_EINVAL: NULL, or n is more than was shown. EVB_ENOTSUP: another kind of ring. EVB_EFORKED: the
 *   ring was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ring_consume(evb_ring *ring, uint32_t n);

/* ---- Calls: close and look ----------------------------------------------------------------------------- */

/* Ends pushing for good and wakes everybody who waits. What is inside can still be popped; then pops answer
 * EVB_ECLOSED. A push that runs at the same time succeeds, and is popped, or answers EVB_ECLOSED. Closing
 * again does nothing.
 *
 * Parameters: ring: NULL is nothing.
 * Ownership: nothing changes hands; the ring still has to be destroyed.
 * Threads: any thread.
 * Cost: does not block (where the kernel has taken membarrier away since the start it takes a hundredth of a
 *   second); does not allocate; may make system calls (to wake; with one producer membarrier).
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_ring_close(evb_ring *ring);

/* Tells about how many elements are inside: for watching, not for deciding.
 *
 * Parameters: ring: NULL answers 0.
 * Returns: 0 to the capacity; exact when nobody pushes or pops.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API uint32_t evb_ring_count(const evb_ring *ring);

/* Tells how many elements fit: the capacity asked for, rounded up to a power of two.
 *
 * Parameters: ring: NULL answers 0.
 * Returns: elements, at least 2.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API uint32_t evb_ring_capacity(const evb_ring *ring);

/* Tells how many elements EVB_RING_OVERWRITE has dropped since the ring was made.
 *
 * Parameters: ring: NULL answers 0.
 * Returns: elements; 0 for rings without that flag.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API uint64_t evb_ring_dropped(const evb_ring *ring);

#ifdef __cplusplus
}
#endif

#endif
