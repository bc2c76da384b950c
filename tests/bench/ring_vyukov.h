/* SPDX-License-Identifier: MIT */
/* Reference: the bounded MPMC queue of Dmitry Vyukov (1024cores.net), written by hand and by the book: a
 * sequence in front of each element, head and tail on lines of their own, nothing else. 16 bytes a slot for
 * elements of 8.
 *
 * Included once for each element type, after VYUKOV_ELEM (a type) and VYUKOV(name), which makes the names.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct VYUKOV(slot) {
    atomic_uint_fast64_t seq;
    VYUKOV_ELEM elem;
};

struct VYUKOV(ring) {
    struct VYUKOV(slot) * slots;
    uint64_t mask;
    _Alignas(128) atomic_uint_fast64_t tail;
    _Alignas(128) atomic_uint_fast64_t head;
};

static void VYUKOV(destroy)(void *arg)
{
    struct VYUKOV(ring) *ring = arg;

    if (ring == NULL) return;
    free(ring->slots);
    free(ring);
}

/* capacity: a power of two. */
static struct VYUKOV(ring) * VYUKOV(create)(uint32_t capacity)
{
    struct VYUKOV(ring) *ring = aligned_alloc(128, sizeof *ring);

    if (ring == NULL) return NULL;
    ring->slots = aligned_alloc(128, capacity * sizeof *ring->slots);
    if (ring->slots == NULL) {
        free(ring);
        return NULL;
    }
    ring->mask = capacity - 1;
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    for (uint32_t i = 0; i < capacity; i++)
        atomic_init(&ring->slots[i].seq, i);
    return ring;
}

static inline bool VYUKOV(push)(struct VYUKOV(ring) * ring, const VYUKOV_ELEM *elem)
{
    uint64_t position = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    for (;;) {
        struct VYUKOV(slot) *slot = &ring->slots[position & ring->mask];
        uint64_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);

        if (seq == position) {
            if (!atomic_compare_exchange_weak_explicit(&ring->tail, &position, position + 1,
                                                       memory_order_relaxed, memory_order_relaxed))
                continue;
            slot->elem = *elem;
            atomic_store_explicit(&slot->seq, position + 1, memory_order_release);
            return true;
        }
        if ((int64_t)(seq - position) < 0) return false;
        position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    }
}

static inline bool VYUKOV(pop)(struct VYUKOV(ring) * ring, VYUKOV_ELEM *elem)
{
    uint64_t position = atomic_load_explicit(&ring->head, memory_order_relaxed);

    for (;;) {
        struct VYUKOV(slot) *slot = &ring->slots[position & ring->mask];
        uint64_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);

        if (seq == position + 1) {
            if (!atomic_compare_exchange_weak_explicit(&ring->head, &position, position + 1,
                                                       memory_order_relaxed, memory_order_relaxed))
                continue;
            *elem = slot->elem;
            atomic_store_explicit(&slot->seq, position + ring->mask + 1, memory_order_release);
            return true;
        }
        if ((int64_t)(seq - (position + 1)) < 0) return false;
        position = atomic_load_explicit(&ring->head, memory_order_relaxed);
    }
}

#undef VYUKOV_ELEM
