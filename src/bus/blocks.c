/* SPDX-License-Identifier: MIT */
/* The caches of blocks: taking, giving, exchanging chains, closing. */
#include "bus/blocks.h"

#include <evbus/base.h>
#include <stdbool.h>
#include "base/alloc.h"
#include "base/barrier.h"
#include "base/reader.h"
#include "base/thread.h"

/* The explorer follows every block to its end, and has threads of its own. */
#ifdef EVB__EXPLORE

void evb__blocks_hold(void)
{
}

void evb__blocks_release(void)
{
}

void *evb__block_alloc(size_t *size)
{
    return evb__alloc(*size, EVB__ALIGN_MIN);
}

void evb__block_free(void *block, size_t size)
{
    evb__free(block, size);
}

#else

#if defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#endif
#ifdef POISONS
#include <sanitizer/asan_interface.h>
#define POISON(block, size)                                                                                  \
    ASAN_POISON_MEMORY_REGION((char *)(block) + sizeof(struct block), (size) - sizeof(struct block))
#define UNPOISON(block, size) ASAN_UNPOISON_MEMORY_REGION((block), (size))
#else
#define POISON(block, size)   ((void)0)
#define UNPOISON(block, size) ((void)0)
#endif

#define UNIT    128u /* sizes are multiples of it */
#define SIZES   9
#define CHAIN   32u
#define FETCHED 512u /* bytes of the next block: more would be late anyway */
#define THREADS 64   /* with a cache: those with the smallest numbers (base/reader.h) */

static const uint16_t size_of[SIZES] = {256, 384, 512, 768, 1024, 1536, 2048, 3072, EVB__BLOCK_MAX};
/* By size in units, rounded up. */
static const uint8_t class_of[EVB__BLOCK_MAX / UNIT + 1] = {0, 0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6,
                                                            7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8};

/* What is written into a block that is not in use. */
struct block {
    struct block *next;
    struct block *next_chain; /* of the first block of a chain in the depot */
};

struct chain {
    struct block *first;
    uint32_t count;
};

/* One thread's. Changed by its thread, inside; by the last release when nobody can be inside. */
struct cache {
    _Alignas(128) EVB__ATOMIC(uint32_t) inside;
    struct chain loaded[SIZES], spare[SIZES];
};

static struct {
    EVB__ATOMIC(uint32_t) open;       /* the process' generation, or 0 */
    EVB__ATOMIC(uint32_t) asymmetric; /* as evb__barrier_asymmetric, which is a call; 0 is always right */
    /* Holding and releasing, one at a time: generation and a bit. No mutex, because a fork in between would
     * leave it locked in the child for ever; the child's first holder begins anew. */
    EVB__ATOMIC(uint64_t) turn;
    uint32_t holders;
    struct evb__mutex lock; /* of the depot */
    struct {
        struct block *chains;        /* under lock, full ones */
        EVB__ATOMIC(uint32_t) count; /* written under lock */
    } depot[SIZES];
    struct cache cache[THREADS];
} blocks;

static uint32_t class_for(size_t size)
{
    return class_of[(size + UNIT - 1) / UNIT];
}

/* ---- inside ---- */

/* NULL: this thread has no cache, or they are closed. */
EVB__INLINE struct cache *enter(void)
{
    const struct evb__self *self = evb__self();
    struct cache *cache;

    if (evb__unlikely(self->slot == NULL || self->number >= THREADS)) return NULL;
    cache = &blocks.cache[self->number];
    if (evb__likely(evb__ld_rlx(&blocks.asymmetric) != 0)) { /* constant once it is not 0 */
        evb__st_rlx(&cache->inside,
                    1); /* ordered before the load by the heavy barrier of evb__blocks_release */
        evb__compiler_barrier();
    } else {
        (void)evb__xchg_acqrel(&cache->inside, 1); /* pairs with the fetch_add in wait_until_out */
    }
    /* pairs with evb__blocks_hold: the caches are empty, or as their thread has left them */
    if (evb__likely(evb__ld_acq(&blocks.open) == self->generation)) return cache;
    evb__st_rel(&cache->inside, 0);
    return NULL;
}

static void leave(struct cache *cache)
{
    evb__st_rel(&cache->inside, 0); /* what was done inside; pairs with wait_until_out */
}

/* ---- the depot ---- */

static struct chain take_chain(uint32_t class)
{
    struct chain chain = {NULL, 0};

    if (evb__ld_rlx(&blocks.depot[class].count) == 0) return chain; /* a hint: spares the lock */
    evb__mutex_lock(&blocks.lock);
    chain.first = blocks.depot[class].chains;
    if (chain.first != NULL) {
        blocks.depot[class].chains = chain.first->next_chain;
        chain.count = CHAIN;
        evb__st_rlx(&blocks.depot[class].count, evb__ld_rlx(&blocks.depot[class].count) - 1); /* under lock */
    }
    evb__mutex_unlock(&blocks.lock);
    return chain;
}

static void free_chain(struct chain chain, uint32_t class)
{
    while (chain.first != NULL) {
        struct block *next = chain.first->next;

        UNPOISON(chain.first, size_of[class]);
        evb__free(chain.first, size_of[class]);
        chain.first = next;
    }
}

static void give_chain(struct chain chain, uint32_t class)
{
    uint32_t most = (uint32_t)(EVB__BLOCKS_KEPT / size_of[class] / CHAIN), count;

    evb__mutex_lock(&blocks.lock);
    count = evb__ld_rlx(&blocks.depot[class].count); /* under lock */
    if (count < most) {
        chain.first->next_chain = blocks.depot[class].chains;
        blocks.depot[class].chains = chain.first;
        evb__st_rlx(&blocks.depot[class].count, count + 1); /* likewise */
        chain.first = NULL;
    }
    evb__mutex_unlock(&blocks.lock);
    free_chain(chain, class);
}

/* ---- taking and giving ---- */

/* The next message's memory: another thread had it last. Its first lines. */
EVB__INLINE void fetch(struct block *block, size_t size)
{
    char *at = (char *)block;

    for (size_t line = 0; line < FETCHED && line < size; line += EVB__CACHE_LINE)
        EVB__PREFETCH_WRITE(at + line);
}

static void *take(struct cache *cache, struct chain *chain, size_t size)
{
    struct block *block = chain->first;

    chain->first = block->next;
    chain->count--;
    if (chain->first != NULL) fetch(chain->first, size);
    leave(cache);
    UNPOISON(block, size);
    return block;
}

/* What is rare comes last, in functions of its own that are jumped to: the others need no registers saved. */
static EVB__NOINLINE void *alloc_anew(size_t size)
{
    return evb__alloc(size, EVB__ALIGN_MIN);
}

static EVB__NOINLINE void *refill(struct cache *cache, uint32_t class)
{
    struct chain *loaded = &cache->loaded[class];

    *loaded = cache->spare[class];
    cache->spare[class] = (struct chain){NULL, 0};
    if (loaded->count == 0) *loaded = take_chain(class);
    if (loaded->count != 0) return take(cache, loaded, size_of[class]);
    leave(cache);
    return alloc_anew(size_of[class]);
}

void *evb__block_alloc(size_t *size)
{
    struct cache *cache;
    struct chain *chain;
    uint32_t class;

    if (evb__unlikely(*size > EVB__BLOCK_MAX)) return alloc_anew(*size);
    class = class_for(*size);
    *size = size_of[class]; /* also for a block that is allocated: it may be freed into a cache */
    cache = enter();
    if (evb__unlikely(cache == NULL)) return alloc_anew(size_of[class]);
    chain = &cache->loaded[class];
    if (evb__unlikely(chain->count == 0)) return refill(cache, class);
    return take(cache, chain, size_of[class]);
}

static void give(struct cache *cache, struct chain *chain, struct block *block, size_t size)
{
    block->next = chain->first;
    POISON(block, size);
    chain->first = block;
    chain->count++;
    leave(cache);
    (void)size;
}

static EVB__NOINLINE void give_to_full(struct cache *cache, uint32_t class, struct block *block)
{
    if (cache->spare[class].count != 0) give_chain(cache->spare[class], class);
    cache->spare[class] = cache->loaded[class];
    cache->loaded[class] = (struct chain){NULL, 0};
    give(cache, &cache->loaded[class], block, size_of[class]);
}

void evb__block_free(void *block, size_t size)
{
    struct cache *cache = evb__likely(size <= EVB__BLOCK_MAX) ? enter() : NULL;
    struct chain *chain;
    uint32_t class;

    if (evb__unlikely(cache == NULL)) {
        evb__free(block, size);
        return;
    }
    class = class_for(size);
    evb__assert(size == size_of[class]);
    chain = &cache->loaded[class];
    if (evb__unlikely(chain->count == CHAIN))
        give_to_full(cache, class, block);
    else
        give(cache, chain, block, size);
}

/* ---- opening and closing ---- */

static void take_turn(uint32_t generation)
{
    uint64_t mine = (uint64_t)generation << 32;

    for (uint32_t tries = 0;; tries++) {
        uint64_t turn = evb__ld_acq(&blocks.turn); /* a hint: the CAS decides */

        if (turn == (mine | 1)) {
            evb__thread_yield(); /* somebody opens or closes: short */
            continue;
        }
        /* acq_rel: what the one before has done; pairs with end_turn */
        if (!evb__cas_acqrel(&blocks.turn, &turn, mine | 1)) continue;
        if (turn == mine) return;
        /* The first of this process. A parent's caches stay where they are: nobody may tell what was half
         * done. */
        blocks.holders = 0;
        evb__mutex_init(&blocks.lock);
        for (uint32_t c = 0; c < SIZES; c++) {
            blocks.depot[c].chains = NULL;
            evb__st_rlx(&blocks.depot[c].count, 0); /* published by open, as what follows */
        }
        for (uint32_t t = 0; t < THREADS; t++) {
            evb__st_rlx(&blocks.cache[t].inside, 0);
            for (uint32_t c = 0; c < SIZES; c++)
                blocks.cache[t].loaded[c] = blocks.cache[t].spare[c] = (struct chain){NULL, 0};
        }
        return;
    }
}

static void end_turn(uint32_t generation)
{
    evb__st_rel(&blocks.turn, (uint64_t)generation << 32); /* pairs with take_turn */
}

void evb__blocks_hold(void)
{
    uint32_t generation = evb__process_generation();

    take_turn(generation);
    if (blocks.holders++ == 0) {
        evb__st_rlx(&blocks.asymmetric, evb__barrier_asymmetric() ? 1 : 0); /* as in enter */
        evb__st_rel(&blocks.open, generation);                              /* pairs with enter */
    }
    end_turn(generation);
}

/* As evb__bias_lock of the queues does it: without a heavy barrier what is left is time. */
static void wait_until_out(struct cache *cache, bool sure)
{
    if (evb__barrier_asymmetric()) {
        /* acquire: what the thread did inside; pairs with leave */
        for (uint32_t turn = 0; evb__ld_acq(&cache->inside) != 0 || (!sure && turn < 4096); turn++)
            evb__thread_yield();
    } else {
        /* acq_rel: pairs with the exchange in enter; the later of the two sees the earlier */
        while (evb__add_acqrel(&cache->inside, 0) != 0)
            evb__thread_yield();
    }
}

static void free_depot(uint32_t class)
{
    struct block *first;

    evb__mutex_lock(&blocks.lock);
    first = blocks.depot[class].chains;
    blocks.depot[class].chains = NULL;
    evb__st_rlx(&blocks.depot[class].count, 0); /* under lock */
    evb__mutex_unlock(&blocks.lock);
    while (first != NULL) {
        struct block *next = first->next_chain;

        free_chain((struct chain){first, CHAIN}, class);
        first = next;
    }
}

static void close_all(void)
{
    bool sure;

    evb__st_sc(&blocks.open,
               0); /* seen by who enters after the barrier, or after the fetch_add of wait_until_out */
    sure = evb__barrier_heavy() == EVB_OK;
    for (uint32_t t = 0; t < THREADS; t++) {
        struct cache *cache = &blocks.cache[t];

        wait_until_out(cache, sure);
        for (uint32_t c = 0; c < SIZES; c++) {
            free_chain(cache->loaded[c], c);
            free_chain(cache->spare[c], c);
            cache->loaded[c] = cache->spare[c] = (struct chain){NULL, 0};
        }
    }
    for (uint32_t c = 0; c < SIZES; c++)
        free_depot(c);
}

void evb__blocks_release(void)
{
    uint32_t generation = evb__process_generation();

    take_turn(generation);
    if (--blocks.holders == 0) close_all();
    end_turn(generation);
}

#endif /* EVB__EXPLORE */
