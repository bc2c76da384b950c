/* SPDX-License-Identifier: MIT */
/* Sleeping until a 32-bit word changes: futex on Linux, a table of mutex and condition variable elsewhere
 * (and with -DEVB__NO_FUTEX, which tests build).
 *
 * Invariant: evb__park returns EVB_EAGAIN at once if *word != expected at the time it would sleep, so a waker
 * that first changes the word and then wakes never loses a sleeper. Wake-ups may be spurious: callers loop
 * over their own condition. Neither side orders memory: the word does, by the orders with which the callers
 * write and read it. A waker uses the word's address only, never what is there, so the woken thread may free
 * the word before evb__wake_* has returned. Threads: any. Neither call allocates. The wait uses the system's
 * monotonic clock; timeout_ns as in the API (-1 = forever, 0 = look once).
 */
#ifndef EVB__BASE_PARK_H
#define EVB__BASE_PARK_H

#include <stdint.h>
#include "base/atomic.h"

/* EVB_OK: woken (or spurious). EVB_EAGAIN: the word had another value. EVB_ETIMEDOUT: the time ran out. */
int32_t evb__park(EVB__ATOMIC(uint32_t) *word, uint32_t expected, int64_t timeout_ns);
void evb__wake_one(EVB__ATOMIC(uint32_t) *word);
void evb__wake_all(EVB__ATOMIC(uint32_t) *word);

/* The child handler of fork: threads that slept in the parent do not exist in the child, and what they held
 * is open again. */
void evb__park_after_fork(void);

/* One polite turn of a spin loop, counted by the caller from 0: a pause instruction; every so often a yield,
 * because the other side may need this core. */
void evb__spin_pause(uint32_t turn);

#endif
