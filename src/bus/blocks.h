/* SPDX-License-Identifier: MIT */
/* The memory of messages: blocks of a few sizes, kept for the next message instead of given back at once.
 *
 *      thread 1 (publishes)   loaded: b b b -        spare: -         takes a full magazine when it has none
 *                                 \                                             |
 *      depot, short lock            full magazines of 32:  [b] [b] [b] [b]      |  <--+
 *                                                                                     |
 *      thread 2 (consumes)    loaded: b b            spare: b b ... b       gives one when both are full
 *
 * Messages are made by one thread and freed by another, which is what an allocator is slowest at. So every
 * thread keeps what it has freed, up to two magazines of each size, and threads exchange whole magazines
 * through the depot, one visit for 32 blocks; the pointers lie in one of those blocks meanwhile. The depot
 * holds up to EVB__BLOCKS_KEPT bytes of a size; beyond, blocks go back to the allocator. Every block was
 * allocated by itself and can be freed by itself, in the cache or not.
 *
 * What a block of another thread costs is the time that its lines take to come over, several times what a
 * publish costs. A thread knows the next ones it will take without looking into them: it asks for the lines
 * of one that it will need some events later, and nothing is ever written into a block that is free.
 *
 * The caches are open while somebody holds them (buses that have had queues). With the last release
 * everything goes back to the allocator, what is in the caches of other threads, too: a thread says that it
 * is inside its cache as an emit announces itself (base/reader.h, Orders), and the last release closes, puts
 * a barrier into every thread, and waits until nobody is inside. Blocks that are freed later go straight to
 * the allocator.
 *
 * Invariant: a block is in use or in exactly one magazine; a thread touches its own cache only, inside, while
 * `open` is its process' generation. Threads: any. In a forked child the parent's caches are left as they
 * are.
 */
#ifndef EVB__BUS_BLOCKS_H
#define EVB__BUS_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#define EVB__BLOCK_MAX   4096u /* larger ones are allocated and freed as asked */
#define EVB__BLOCKS_KEPT ((size_t)2 << 20)

void evb__blocks_hold(void);
void evb__blocks_release(void);

#define EVB__BLOCK_LARGE 255u /* *ret_kind of what is larger */

/* size: what is needed; touched: how much of it, from the start, will be written. *ret_kind is to be said
 * again when it is freed, and with EVB__BLOCK_LARGE the size, too. Aligned to a cache line, a large one as
 * EVB__ALIGN_MIN. NULL: no memory. */
void *evb__block_alloc(size_t size, size_t touched, uint8_t *ret_kind);
void evb__block_free(void *block, uint32_t kind, size_t size); /* does not allocate */

#endif
