/* SPDX-License-Identifier: MIT */
/* The asymmetric barrier: readers pay a compiler barrier, the writer makes the kernel put a full memory
 * barrier into every running thread of the process (membarrier(2), PRIVATE_EXPEDITED).
 *
 * Invariant: if evb__barrier_asymmetric() is true, then for every reader a store made before
 * evb__compiler_barrier() is visible to the writer after evb__barrier_heavy(), or the reader's loads after
 * its barrier see what the writer stored before evb__barrier_heavy(). If it is false, readers announce
 * themselves by a read-modify-write and writers look by one of the same word (reader.h, Orders), and
 * evb__barrier_heavy() does nothing. The choice is made once, by evb__barrier_init(), before any reader exists: false where the call is missing or
 * refused, under ThreadSanitizer (which cannot see it), and with -DEVB__NO_MEMBARRIER. Threads: any.
 *
 * A child of fork inherits the choice: membarrier registers the address space, and the child's is a copy.
 * evb__barrier_init in the child registers again, which costs nothing, and keeps the choice even if that
 * fails: the thread's slot has it in it. A refused call then shows in evb__barrier_heavy.
 */
#ifndef EVB__BASE_BARRIER_H
#define EVB__BASE_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

void evb__barrier_init(void);       /* idempotent, called under the library's once; again in a forked child */
bool evb__barrier_asymmetric(void); /* constant after evb__barrier_init() */

/* EVB_OK, or EVB_ENOTSUP when the kernel took the call away after start-up (a seccomp filter installed
 * later): then nothing was ordered, and the caller waits for what the hardware does by itself (reader.c).
 * Logs nothing: internal locks are held. */
int32_t evb__barrier_heavy(void);

/* Writes the log line barrier_refused if evb__barrier_heavy was refused since the process began, once. Call
 * it with no lock held. */
void evb__barrier_report(void);

/* Tests only, while no reader exists: force = true takes the seq_cst back end whatever the kernel offers,
 * false goes back to the choice not being made. evb__barrier_init then chooses anew. */
void evb__barrier_force_seq_cst(bool force);

#endif
