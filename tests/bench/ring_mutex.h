/* SPDX-License-Identifier: MIT */
/* Reference: what one writes first, an array of 8-byte elements under one mutex with two condition variables.
 */
#ifndef RING_MUTEX_H
#define RING_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct mutex_ring {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    uint32_t capacity, head, count;
    uint64_t elem[];
};

static inline struct mutex_ring *mutex_ring_create(uint32_t capacity)
{
    struct mutex_ring *ring = calloc(1, sizeof *ring + capacity * sizeof ring->elem[0]);

    if (ring == NULL) return NULL;
    pthread_mutex_init(&ring->lock, NULL); /* the default kinds: glibc's and musl's never fail */
    pthread_cond_init(&ring->not_empty, NULL);
    pthread_cond_init(&ring->not_full, NULL);
    ring->capacity = capacity;
    return ring;
}

static inline void mutex_ring_destroy(void *arg)
{
    struct mutex_ring *ring = arg;

    if (ring == NULL) return;
    pthread_cond_destroy(&ring->not_full);
    pthread_cond_destroy(&ring->not_empty);
    pthread_mutex_destroy(&ring->lock);
    free(ring);
}

static inline void mutex_ring_push(struct mutex_ring *ring, uint64_t value)
{
    pthread_mutex_lock(&ring->lock);
    while (ring->count == ring->capacity)
        pthread_cond_wait(&ring->not_full, &ring->lock);
    ring->elem[(ring->head + ring->count) % ring->capacity] = value;
    ring->count++;
    pthread_mutex_unlock(&ring->lock);
    pthread_cond_signal(&ring->not_empty);
}

static inline uint64_t mutex_ring_pop(struct mutex_ring *ring)
{
    uint64_t value;

    pthread_mutex_lock(&ring->lock);
    while (ring->count == 0)
        pthread_cond_wait(&ring->not_empty, &ring->lock);
    value = ring->elem[ring->head];
    ring->head = (ring->head + 1) % ring->capacity;
    ring->count--;
    pthread_mutex_unlock(&ring->lock);
    pthread_cond_signal(&ring->not_full);
    return value;
}

#endif
