/* SPDX-License-Identifier: MIT */
/* A pool's timers: records in chunks, found by id, armed in a wheel of milliseconds.
 *
 *      FREE --submit--> ARMED --due--> QUEUED --run--> RUNNING --> FREE, or ARMED again (periodic)
 *                         |              |                |
 *                         +---- cancel: FREE, FREE when it would run, FREE after the run that is under way
 *
 * Invariant: all of it is under the pool's lock, which is never held while a task runs. An id is a record's
 * number and the generation it had; a record's generation steps when it becomes FREE, so an old id finds
 * nothing. next_due is the wheel's next tick as other threads may read it. A timer is never early: its tick
 * is rounded up. Nobody sleeps for timers but one parked worker, the keeper (worker.c); busy ones look now
 * and then. Threads: any.
 */
#ifndef EVB__POOL_TIMER_H
#define EVB__POOL_TIMER_H

#include "pool/pool.h"

int32_t evb__timers_create(evb_pool *pool);
void evb__timers_destroy(evb_pool *pool);

/* Queues what is due on this worker, a bounded number at a time. */
void evb__timers_look(struct evb__worker *worker);
int64_t evb__timers_left(const evb_pool *pool); /* nanoseconds to the next one; EVB_FOREVER: none */
bool evb__timers_outstanding(
    evb_pool *pool); /* a one-shot that has not begun, or any that is queued or running */
void evb__timers_cancel_all(evb_pool *pool); /* shutdown: args of one-shots go to on_discard */

#endif
