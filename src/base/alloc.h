/* SPDX-License-Identifier: MIT */
/* Every allocation of the library, through the user's hook or libc.
 *
 * Invariant: memory is given back with the size and to the allocator it came from. That is why the allocator
 * can be changed only before the first object exists: evb__alloc_pin marks the moment (the first allocation
 * marks it too), and evb_set_allocator answers EVB_EBUSY from then on, for the life of the process. Alignment
 * is a power of two, at least sizeof(void *); size is at least 1. Nothing is zeroed unless asked. NULL means
 * no memory: the caller answers EVB_ENOMEM and changes nothing. Threads: any. The hook is called while
 * internal locks are held: it must not call evbus.
 */
#ifndef EVB__BASE_ALLOC_H
#define EVB__BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

#define EVB__ALIGN_MIN                                                                                       \
    16 /* what malloc promises on every 64-bit platform we know; more than enough on the others */

void *evb__alloc(size_t size, size_t align);
void *evb__zalloc(size_t size, size_t align);
void evb__free(void *ptr, size_t size); /* NULL is nothing */
/* While true, evb__alloc answers NULL in this thread: for tidying that can be done later, inside an emit,
 * which promises not to allocate. Does not nest. */
void evb__alloc_pause(bool pause);
void evb__alloc_pin(void); /* the first object is about to exist */

/* Tests only: allows evb_set_allocator again. The caller knows that nothing which the present allocator gave
 * is still alive, and that no other thread is in the library. */
void evb__alloc_unpin_for_tests(void);

#endif
