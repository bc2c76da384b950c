/* SPDX-License-Identifier: MIT */
/* The allocator hook, and libc behind it. */
#include "base/alloc.h"

#include <evbus/base.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/atomic.h"
#include "base/opts.h"
#include "base/platform.h"
#include "base/reader.h"
#include "base/thread.h"

static void *alloc_libc_alloc(size_t size, size_t align, void *user)
{
    void *ptr;

    (void)user;
    if (align <= _Alignof(max_align_t)) return malloc(size);
    /* Not aligned_alloc: it wants a size that is a multiple of the alignment, and rounding up would hide an
     * overrun of up to align - 1 bytes from AddressSanitizer. */
    return posix_memalign(&ptr, align, size) == 0 ? ptr : NULL;
}

static void alloc_libc_free(void *ptr, size_t size, void *user)
{
    (void)size;
    (void)user;
    free(ptr);
}

/* OPEN: may be set. SETTING: one thread writes the hook. PINNED: the hook is constant and read without
 * further ado. No mutex, because a fork in between would leave it locked in the child for ever. */
enum { ALLOC_OPEN, ALLOC_SETTING, ALLOC_PINNED };

static EVB__ATOMIC(uint32_t) alloc_state;
static evb_allocator alloc_hook = {.alloc = alloc_libc_alloc, .free = alloc_libc_free};

int32_t evb_set_allocator(const evb_allocator *alloc)
{
    evb_allocator wanted;
    uint32_t expected = ALLOC_OPEN;
    int32_t rc = EVB__OPTS_READ(&wanted, alloc);

    if (rc < 0) return rc;
    if (alloc == NULL) {
        wanted.alloc = alloc_libc_alloc;
        wanted.free = alloc_libc_free;
    } else if (wanted.alloc == NULL || wanted.free == NULL) {
        return EVB_EINVAL; /* half a hook would hand memory of one allocator to the other's free */
    }
    /* acqrel: one setter at a time, and after the writes of the one before. Pairs with the release below. */
    if (!evb__cas_acqrel(&alloc_state, &expected, ALLOC_SETTING)) return EVB_EBUSY;
    alloc_hook = wanted;
    evb__st_rel(&alloc_state, ALLOC_OPEN); /* publishes the hook; pairs with the CAS above and in pin */
    return EVB_OK;
}

void evb__alloc_pin(void)
{
    for (;;) {
        uint32_t state = ALLOC_OPEN;

        /* acqrel: sees what the last setter wrote; who loads PINNED later sees the same hook. */
        if (evb__cas_acqrel(&alloc_state, &state, ALLOC_PINNED) || state == ALLOC_PINNED) return;
        evb__thread_yield(); /* SETTING: a few stores away from OPEN */
    }
}

void evb__alloc_unpin_for_tests(void)
{
    evb__st_rel(&alloc_state, ALLOC_OPEN); /* pairs with the CAS of the next setter or pin */
}

void evb__alloc_pause(bool pause)
{
    evb__self()->no_memory = pause;
}

void *evb__alloc(size_t size, size_t align)
{
    evb__assert(size > 0);
    evb__assert(align >= sizeof(void *) && (align & (align - 1)) == 0);
    /* acquire: pairs with the CAS that pinned: the hook read below is the pinned one. */
    if (evb__unlikely(evb__ld_acq(&alloc_state) != ALLOC_PINNED)) evb__alloc_pin();
    if (evb__unlikely(evb__self()->no_memory)) return NULL;
    return alloc_hook.alloc(size, align, alloc_hook.user);
}

void *evb__zalloc(size_t size, size_t align)
{
    void *ptr = evb__alloc(size, align);

    if (ptr != NULL) memset(ptr, 0, size);
    return ptr;
}

void evb__free(void *ptr, size_t size)
{
    if (ptr == NULL) return;
    /* Pinned since this was allocated, and the pointer reached this thread in order: the same hook. */
    alloc_hook.free(ptr, size, alloc_hook.user);
}
