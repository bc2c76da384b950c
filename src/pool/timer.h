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
int64_t evb__timers_left(uint64_t tick); /* nanoseconds to then; UINT64_MAX: EVB_FOREVER */
/* A one-shot that has not begun, or any that is queued or running; alarms too. */
bool evb__timers_outstanding(evb_pool *pool);
void evb__timers_cancel_all(evb_pool *pool); /* shutdown: args of one-shots go to on_discard */

/* ---- alarms: timers of the library's own objects, which cannot fail once they are made ---- */

struct evb__alarm;

/* fn(arg) runs on a worker, never two at once. Starts no thread. Keeps the pool's memory. NULL: no memory. */
struct evb__alarm *evb__alarm_make(evb_pool *pool, evb_task_fn fn, void *arg);
/* Starts the pool's threads, which the first set does otherwise: EVB_OK, or what evb__pool_admit answers, or
 * EVB_EFORKED. */
int32_t evb__alarm_ready(struct evb__alarm *alarm);
/* Not before due_ns (monotonic); a time set before is forgotten, whether earlier or later, and also when its
 * run was queued already. Inside fn too. Where no thread can be had it waits for one that another call
 * starts. When the pool has been shut down nothing happens. */
void evb__alarm_set(struct evb__alarm *alarm, int64_t due_ns);
void evb__alarm_stop(struct evb__alarm *alarm); /* forgets the time; a run that has been queued still comes */
/* Gives it back. true: fn will not run any more. false: it is queued (then it does not begin) or runs now
 * (perhaps in this very thread): `gone`, unless NULL, gets arg when that is over. */
bool evb__alarm_free(struct evb__alarm *alarm, evb_task_fn gone);

#endif
