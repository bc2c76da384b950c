/* SPDX-License-Identifier: MIT */
/* The lock-free ring's memory for threads beyond the first ones: chunks of spare cells, added when such a
 * thread comes for the first time.
 *
 *      near_threads = t            cells [0, capacity + t)        spares [0, t)
 *      chunk 0: t threads          the next t cells               the next t spares
 *      chunk 1: 2t threads         ...
 */
#include "ring/swap.h"

#include "base/alloc.h"

/* The chunk with the i-th thread beyond the near ones, and which of its threads that is. */
static uint32_t chunk_of(const evb_ring *ring, uint32_t i, uint32_t *ret_within)
{
    uint32_t chunk = 0, threads = ring->near_threads;

    for (; i >= threads; threads *= 2) { /* ends: i < EVB__SWAP_CELL, so below EVB__SWAP_CHUNKS turns */
        i -= threads;
        chunk++;
    }
    *ret_within = i;
    return chunk;
}

char *evb__swap_far_cell(const evb_ring *ring, uint32_t cell)
{
    uint32_t within, chunk = chunk_of(ring, cell - (ring->front.c.s.mask + 1 + ring->near_threads), &within);
    /* acquire: the chunk's fields; pairs with add_chunk. Who has met the cell has met the chunk. */
    const struct evb__swap_chunk *at = evb__ld_acq(&ring->chunks[chunk]);

    return at->cells + (size_t)within * ring->stride;
}

/* Spares first: a line each, then the cells. */
static struct evb__swap_chunk *make_chunk(const evb_ring *ring, uint32_t first, uint32_t threads)
{
    size_t spares = (size_t)threads * sizeof(struct evb__spare);
    size_t head = (sizeof(struct evb__swap_chunk) + EVB__CACHE_LINE - 1) / EVB__CACHE_LINE * EVB__CACHE_LINE;
    size_t cells = (size_t)threads * ring->stride, bytes;
    struct evb__swap_chunk *made;

    if (threads != 0 && cells / threads != ring->stride) return NULL; /* 32 bits: more than there can be */
    bytes = head + spares + cells;
    if (bytes < cells) return NULL;
    made = evb__alloc(bytes, EVB__CACHE_LINE);
    if (made == NULL) return NULL;
    made->spares = (struct evb__spare *)(void *)((char *)made + head);
    made->cells = (char *)made + head + spares;
    made->bytes = bytes;
    for (uint32_t i = 0; i < threads; i++)
        EVB__PLAIN_WRITE(made->spares[i].cell, first + i);
    return made;
}

struct evb__spare *evb__swap_far_spare(evb_ring *ring, uint32_t thread)
{
    uint32_t near = ring->near_threads, capacity = ring->front.c.s.mask + 1;
    uint32_t within, chunk = chunk_of(ring, thread - near, &within);
    struct evb__swap_chunk *made, *there;

    there = evb__ld_acq(&ring->chunks[chunk]); /* pairs with the CAS below */
    if (there == NULL) {
        uint32_t threads = near << chunk, first = capacity + thread - within;

        if (thread - within + threads > EVB__SWAP_CELL - capacity) return NULL;
        made = make_chunk(ring, first, threads);
        if (made == NULL) return NULL;
        /* release: its fields; pairs with the loads of the chunk */
        if (evb__cas_acqrel(&ring->chunks[chunk], &there, made))
            there = made;
        else
            evb__free(made, made->bytes); /* another thread of the chunk was faster */
    }
    return &there->spares[within];
}

void evb__swap_free_chunks(evb_ring *ring)
{
    for (uint32_t i = 0; i < EVB__SWAP_CHUNKS; i++) {
        struct evb__swap_chunk *chunk = evb__ld_rlx(&ring->chunks[i]); /* no thread is inside any more */

        if (chunk != NULL) evb__free(chunk, chunk->bytes);
    }
}
