/* SPDX-License-Identifier: MIT */
/* The caches of blocks: taking, giving, exchanging magazines, closing. */
#include "bus/blocks.h"

#include <evbus/base.h>
#include <stdbool.h>
#include "base/alloc.h"
#include "base/barrier.h"
#include "base/reader.h"
#include "base/thread.h"

#include <string.h>

#define UNIT     128u /* sizes are multiples of it */
#define SIZES    9
#define MAGAZINE 32u

static const uint16_t size_of[SIZES] = {256, 384, 512, 768, 1024, 1536, 2048, 3072, EVB__BLOCK_MAX};
/* By size in units, rounded up. */
static const uint8_t class_of[EVB__BLOCK_MAX / UNIT + 1] = {0, 0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6,
                                                            7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8};

static uint32_t class_for(size_t size)
{
    return class_of[(size + UNIT - 1) / UNIT];
}

/* What is rare is in functions of its own that are jumped to: the others need no registers saved. */
static EVB__NOINLINE void *alloc_large(size_t size, uint8_t *ret_kind)
{
    *ret_kind = EVB__BLOCK_LARGE;
    return evb__alloc(size, EVB__ALIGN_MIN);
}

static EVB__NOINLINE void *alloc_anew(uint32_t class)
{
    return evb__alloc(size_of[class], EVB__CACHE_LINE); /* it may be freed into a cache */
}

static EVB__NOINLINE void free_at_once(void *block, uint32_t kind, size_t size)
{
    evb__free(block, kind == EVB__BLOCK_LARGE ? size : size_of[kind]);
}

/* The explorer follows every block to its end, and has threads of its own. */
#ifdef EVB__EXPLORE

void evb__blocks_hold(void)
{
}

void evb__blocks_release(void)
{
}

void *evb__block_alloc(size_t size, size_t touched, uint8_t *ret_kind)
{
    (void)touched;
    if (size > EVB__BLOCK_MAX) return alloc_large(size, ret_kind);
    *ret_kind = (uint8_t)class_for(size);
    return alloc_anew(*ret_kind);
}

void evb__block_free(void *block, uint32_t kind, size_t size)
{
    free_at_once(block, kind, size);
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
#define POISON(block, size)   ASAN_POISON_MEMORY_REGION((block), (size))
#define UNPOISON(block, size) ASAN_UNPOISON_MEMORY_REGION((block), (size))
#else
#define POISON(block, size)   ((void)(block), (void)(size))
#define UNPOISON(block, size) ((void)(block), (void)(size))
#endif

#define AHEAD   3u    /* blocks: so many publishes take longer than a line takes to come */
#define FETCHED 1280u /* bytes of each: there are only so many lines on their way at a time */
#define THREADS 64    /* with a cache: those with the smallest numbers (base/reader.h) */

/* The first block of a magazine in the depot has the others' addresses. */
struct carrier {
    struct carrier *next;
    void *other[MAGAZINE - 1];
};

_Static_assert(sizeof(struct carrier) <= 256, "it fits into the smallest block");

struct magazine {
    uint32_t count;
    void *block[MAGAZINE];
};

/* One thread's. Changed by its thread, inside; by the last release when nobody can be inside. */
struct cache {
    _Alignas(128) EVB__ATOMIC(uint32_t) inside;
    struct magazine *loaded[SIZES], *spare[SIZES];
    struct magazine magazines[SIZES][2];
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
        struct carrier *full;        /* under lock */
        EVB__ATOMIC(uint32_t) count; /* written under lock */
    } depot[SIZES];
    struct cache cache[THREADS];
} blocks;

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

/* Into an empty magazine. */
static void take_magazine(struct magazine *to, uint32_t class)
{
    struct carrier *carrier;

    if (evb__ld_rlx(&blocks.depot[class].count) == 0) return; /* a hint: spares the lock */
    evb__mutex_lock(&blocks.lock);
    carrier = blocks.depot[class].full;
    if (carrier != NULL) {
        blocks.depot[class].full = carrier->next;
        evb__st_rlx(&blocks.depot[class].count, evb__ld_rlx(&blocks.depot[class].count) - 1); /* under lock */
    }
    evb__mutex_unlock(&blocks.lock);
    if (carrier == NULL) return;
    memcpy(to->block, carrier->other, sizeof carrier->other);
    to->block[MAGAZINE - 1] = carrier; /* its lines are here */
    to->count = MAGAZINE;
    POISON(carrier, sizeof *carrier);
}

static void free_all(struct magazine *magazine, uint32_t class)
{
    while (magazine->count != 0) {
        void *block = magazine->block[--magazine->count];

        UNPOISON(block, size_of[class]);
        evb__free(block, size_of[class]);
    }
}

/* A full one, which is empty then. */
static void give_magazine(struct magazine *from, uint32_t class)
{
    uint32_t most = (uint32_t)(EVB__BLOCKS_KEPT / size_of[class] / MAGAZINE), count;
    struct carrier *carrier = from->block[MAGAZINE - 1];

    UNPOISON(carrier, sizeof *carrier);
    memcpy(carrier->other, from->block, sizeof carrier->other);
    evb__mutex_lock(&blocks.lock);
    count = evb__ld_rlx(&blocks.depot[class].count); /* under lock */
    if (count < most) {
        carrier->next = blocks.depot[class].full;
        blocks.depot[class].full = carrier;
        evb__st_rlx(&blocks.depot[class].count, count + 1); /* likewise */
        from->count = 0;
    }
    evb__mutex_unlock(&blocks.lock);
    free_all(from, class);
}

/* ---- taking and giving ---- */

/* Another thread had it last: the lines that will be written. */
EVB__INLINE void fetch(const char *block, size_t touched)
{
    EVB__PREFETCH_WRITE(block);
    EVB__PREFETCH_WRITE(block + EVB__CACHE_LINE);
    EVB__PREFETCH_WRITE(block + 2 * EVB__CACHE_LINE);
    if (evb__likely(touched <= 3 * EVB__CACHE_LINE)) return;
    for (size_t line = 3 * EVB__CACHE_LINE; line < FETCHED && line < touched; line += EVB__CACHE_LINE)
        EVB__PREFETCH_WRITE(block + line);
}

EVB__INLINE void *take(struct cache *cache, struct magazine *loaded, size_t size, size_t touched)
{
    uint32_t left = loaded->count - 1;
    void *block = loaded->block[left];

    loaded->count = left;
    if (evb__likely(left >= AHEAD)) fetch(loaded->block[left - AHEAD], touched);
    leave(cache);
    UNPOISON(block, size);
    return block;
}

static EVB__NOINLINE void *refill(struct cache *cache, uint32_t class, size_t touched)
{
    struct magazine *loaded = cache->spare[class];

    cache->spare[class] = cache->loaded[class];
    cache->loaded[class] = loaded;
    if (loaded->count == 0) take_magazine(loaded, class);
    if (loaded->count != 0) {
        for (uint32_t i = 2; i <= AHEAD && i <= loaded->count; i++)
            fetch(loaded->block[loaded->count - i], touched);
        return take(cache, loaded, size_of[class], touched);
    }
    leave(cache);
    return alloc_anew(class);
}

void *evb__block_alloc(size_t size, size_t touched, uint8_t *ret_kind)
{
    struct cache *cache;
    struct magazine *loaded;
    uint32_t class;

    if (evb__unlikely(size > EVB__BLOCK_MAX)) return alloc_large(size, ret_kind);
    class = class_for(size);
    *ret_kind = (uint8_t) class;
    cache = enter();
    if (evb__unlikely(cache == NULL)) return alloc_anew(class);
    loaded = cache->loaded[class];
    if (evb__unlikely(loaded->count == 0)) return refill(cache, class, touched);
    return take(cache, loaded, size_of[class], touched);
}

EVB__INLINE void give(struct cache *cache, struct magazine *loaded, void *block, size_t size)
{
    POISON(block, size);
    loaded->block[loaded->count++] = block;
    leave(cache);
}

static EVB__NOINLINE void give_to_full(struct cache *cache, uint32_t class, void *block)
{
    struct magazine *full = cache->loaded[class], *loaded = cache->spare[class];

    if (loaded->count == MAGAZINE) give_magazine(loaded, class);
    cache->loaded[class] = loaded;
    cache->spare[class] = full;
    give(cache, loaded, block, size_of[class]);
}

void evb__block_free(void *block, uint32_t kind, size_t size)
{
    struct cache *cache = evb__likely(kind != EVB__BLOCK_LARGE) ? enter() : NULL;
    struct magazine *loaded;

    if (evb__unlikely(cache == NULL)) {
        free_at_once(block, kind, size);
        return;
    }
    loaded = cache->loaded[kind];
    if (evb__unlikely(loaded->count == MAGAZINE))
        give_to_full(cache, kind, block);
    else
        give(cache, loaded, block, size_of[kind]);
}

/* ---- opening and closing ---- */

static void empty_cache(struct cache *cache)
{
    for (uint32_t c = 0; c < SIZES; c++) {
        cache->loaded[c] = &cache->magazines[c][0];
        cache->spare[c] = &cache->magazines[c][1];
        cache->loaded[c]->count = cache->spare[c]->count = 0;
    }
}

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
            blocks.depot[c].full = NULL;
            evb__st_rlx(&blocks.depot[c].count, 0); /* published by open, as what follows */
        }
        for (uint32_t t = 0; t < THREADS; t++) {
            evb__st_rlx(&blocks.cache[t].inside, 0);
            empty_cache(&blocks.cache[t]);
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
    struct magazine all = {.count = 0};

    do {
        free_all(&all, class);
        take_magazine(&all, class);
    } while (all.count != 0);
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
            free_all(cache->loaded[c], c);
            free_all(cache->spare[c], c);
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
