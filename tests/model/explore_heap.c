/* SPDX-License-Identifier: MIT */
/* The explorer's heap: evb__alloc and evb__free on an arena where no address is used twice within an
 * execution. */
#include "explore_engine.h"

#include <string.h>
#include "base/alloc.h"

enum { RED_ZONE = 16, FRESH = 0xa5, FREED = 0xdd };

void x_heap_reset(void)
{
    ex.arena_used = RED_ZONE;
    ex.block_count = 0;
}

/* Blocks lie in order of allocation. NULL: not in the arena, or between blocks. */
struct x_block *x_block_of(const void *addr)
{
    uintptr_t a = (uintptr_t)addr, base = (uintptr_t)ex.arena;
    uint32_t low = 0, high = ex.block_count;

    if (a < base || a >= base + X_ARENA) return NULL;
    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (a < ex.blocks[mid].start)
            high = mid;
        else if (a >= ex.blocks[mid].start + ex.blocks[mid].size)
            low = mid + 1;
        else
            return &ex.blocks[mid];
    }
    return NULL;
}

static void *take(size_t size, size_t align, int fill)
{
    size_t at;

    if (!ex.active || ex.cur->no_memory) return NULL;
    if (size == 0 || align == 0 || (align & (align - 1)) != 0)
        x_bug("evb__alloc(%zu, %zu): bad arguments", size, align);
    if (align < EVB__ALIGN_MIN) align = EVB__ALIGN_MIN;
    at = (ex.arena_used + align - 1) & ~(align - 1);
    if (at + size + RED_ZONE > X_ARENA || ex.block_count == X_BLOCKS) x_bug("explorer: its heap is full");
    ex.arena_used = at + size + RED_ZONE;
    ex.blocks[ex.block_count++] = (struct x_block){
        .start = (uintptr_t)ex.arena + at,
        .size = size,
        .fiber = ex.cur->id,
        .epoch = ex.cur->view.clock[ex.cur->id],
    };
    memset(ex.arena + at, fill, size);
    x_trace(NULL, ex.arena + at, "alloc %zu", size);
    return ex.arena + at;
}

void *evb__alloc(size_t size, size_t align)
{
    return take(size, align, FRESH);
}

void *evb__zalloc(size_t size, size_t align)
{
    return take(size, align, 0);
}

void evb__free(void *ptr, size_t size)
{
    struct x_block *b;

    if (ptr == NULL || !ex.active) return;
    x_trace(NULL, ptr, "free");
    b = x_block_of(ptr);
    if (b == NULL || b->start != (uintptr_t)ptr)
        x_bug("free of what was never allocated, by %s", x_fiber_name(ex.cur));
    if (b->freed) x_bug("double free by %s", x_fiber_name(ex.cur));
    if (b->size != size) x_bug("free with size %zu of a block of %zu", size, b->size);
    x_check_free(b);
    b->freed = true;
    /* Accesses that do not go through the seam go wrong, too. */
    memset(ptr, FREED, size);
}

void evb__alloc_pause(bool pause)
{
    ex.cur->no_memory = pause;
}

void evb__alloc_pin(void)
{
}

void x_heap_check_leaks(void)
{
    for (uint32_t i = 0; i < ex.block_count; i++) {
        char where[80];

        if (ex.blocks[i].freed) continue;
        x_bug("leak: a block of %zu bytes, %s, allocated by %s", ex.blocks[i].size,
              x_describe((void *)ex.blocks[i].start, where, sizeof where),
              x_fiber_name(&ex.fibers[ex.blocks[i].fiber]));
    }
}

bool explore_blocks_alive(const void *ptr)
{
    const struct x_block *b = x_block_of(ptr);

    return b != NULL && !b->freed;
}
