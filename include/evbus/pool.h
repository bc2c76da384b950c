/* SPDX-License-Identifier: MIT */
/* evbus/pool.h: worker threads that run tasks: plain tasks, strands (serial lanes) and timers.
 *
 * A task is a function and a pointer. A pool has a fixed number of threads and bounded queues: work that does
 * not fit is refused, never piled up. A strand is a queue on a pool whose tasks run in order and never two at
 * once, on whichever thread is free. Timers need no thread of their own. Usable without a bus; a bus starts a
 * pool when its first queue has a handler.
 *
 * GUARANTEES
 * - Every argument that was accepted is run exactly once or handed to on_discard exactly once.
 * - Everything a thread wrote before a submit is visible to the task. A strand's task sees what the one
 *   before it wrote.
 * - Nothing is unbounded: queues have a capacity, scheduling a strand cannot fail.
 * - An idle pool does not wake up, and has no thread for its timers: a worker that sleeps anyway sleeps until
 *   the next one. Timers are never early; they run by the monotonic clock.
 * - Submitting a plain task is lock-free once the threads run, but for waking a worker that sleeps. No lock
 *   is held while a task runs.
 *
 * WHAT IT DOES NOT DO
 * - It does not order plain tasks: use a strand. It has no priorities.
 * - It is not lock-free everywhere: timers share one short lock, and a thread that is stopped in the middle
 *   of a strand's submit holds up what is behind it on that strand.
 * - It does not order timers that are due in the same millisecond.
 * - It does not run a task inside another one: a task that waits for a second one needs a second thread.
 * - It does not interrupt a task that runs, and never cancels or kills a thread.
 * - It does not grow when all its threads block.
 *
 * CAVEATS
 * - A task that waits for its own pool would wait for itself: such calls answer EVB_EDEADLK in a worker of
 *   that pool.
 * - fork: the child has no workers; every call answers EVB_EFORKED there, evb_pool_destroy does nothing.
 *   Signals: workers block all of them.
 * - exit: tasks still running when the process exits are cut off; shut the pool down first if that matters.
 * - A worker takes up to 32 tasks at a time from the common queue; others steal them when they have none.
 * - Timers are late when every worker is busy; a suspended machine's monotonic clock stands still.
 *
 * A PROGRAM
 *
 *     #include <evbus/pool.h>
 *     #include <stdio.h>
 *
 *     static void hello(void *arg)
 *     {
 *         printf("hello %s\n", (const char *)arg);
 *     }
 *
 *     int main(void)
 *     {
 *         evb_pool *pool;
 *
 *         if (evb_pool_create(NULL, &pool) < 0) return 1;
 *         evb_pool_submit(pool, hello, "task", EVB_FOREVER);
 *         evb_pool_submit_after(pool, 1000000, hello, "timer"); // in a millisecond
 *         evb_pool_wait_idle(pool, EVB_FOREVER);
 *         evb_pool_destroy(pool);
 *         return 0;
 *     }
 *
 * It prints:
 *
 *     hello task
 *     hello timer
 */
#ifndef EVBUS_POOL_H
#define EVBUS_POOL_H

#include <evbus/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A task, and the other functions a pool calls with one pointer. */
typedef void (*evb_task_fn)(void *arg);

/* How a pool is shut down */
enum {
    EVB_DRAIN = 0,  /* what is queued still runs */
    EVB_DISCARD = 1 /* what is queued goes to on_discard; what runs finishes */
};

typedef struct evb_pool_opts {
    uint32_t struct_size;        /* sizeof(evb_pool_opts), or 0 */
    uint32_t threads;            /* at most 48; 0 = the least of CPU affinity, cgroup quota, online CPUs */
    uint32_t queue_capacity;     /* tasks that wait; 0 = 4096; up to 2^19, rounded up to a power of two */
    uint32_t spin_us;            /* of looking for work before sleep; 0 = adaptive, UINT32_MAX = none */
    const char *name;            /* threads are called NAME-0, NAME-1, ..., cut at 15 bytes; NULL = "evbus" */
    size_t stack_bytes;          /* of each thread; 0 = the system's default */
    evb_task_fn on_thread_start; /* first thing on each worker, with thread_user; may be NULL */
    evb_task_fn on_thread_stop;  /* last thing on each worker; may be NULL */
    void *thread_user;           /* for the two above */
    evb_task_fn on_discard;      /* gets the arg of every task dropped unrun; may be NULL */
} evb_pool_opts;

/* ---- Calls: make a pool and give it work --------------------------------------------------------------- */

/* Makes a pool. Its threads start when there is work for them.
 *
 * Parameters: opts: may be NULL. ret_pool: not NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_pool_destroy. opts and name are copied; thread_user must outlive the
 *   pool.
 * Threads: any thread.
 * Cost: does not block; allocates; may make system calls (to look at affinity and quota).
 * Errors: EVB_EINVAL: ret_pool is NULL, or a field is out of range. EVB_ENOMEM: no memory. EVB_ENOTSUP:
 *   struct_size as in base.h.
 * Since: 0.1.0
 */
EVB_API int32_t evb_pool_create(const evb_pool_opts *opts, evb_pool **ret_pool);

/* Queues a task.
 *
 * Parameters: pool, fn: not NULL. arg: handed to fn. timeout_ns: nanoseconds to wait for room, EVB_FOREVER,
 *   or 0.
 * Returns: EVB_OK: the task will run, or its arg goes to on_discard.
 * Ownership: arg is the task's once accepted.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block (while the queue is full; never with timeout_ns 0); may allocate (a thread's first submit,
 *   when more than 64 threads use the library); may make system calls (to wake a worker that sleeps, to
 *   sleep itself; the first submit of a pool starts its threads).
 * Errors: EVB_EFULL: no room and timeout_ns is 0. EVB_ETIMEDOUT: no room in time. EVB_ECLOSED: the pool is
 *   shutting down (while it drains, its own tasks may still submit). EVB_EDEADLK: would wait inside a
 *   callback or in a worker of this pool. EVB_EAGAIN: the system refuses to start the first worker.
 *   EVB_ENOMEM: that one allocation failed. EVB_EINVAL: NULL pool or fn, or a timeout below -1; or the first
 *   worker cannot be started with stack_bytes. EVB_EFORKED: the pool was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_pool_submit(evb_pool *pool, evb_task_fn fn, void *arg, int64_t timeout_ns);

/* Queues as many of n tasks as there is room for now: one function, one argument each.
 *
 * Parameters: pool, fn: not NULL. args: n pointers; NULL only when n is 0.
 * Returns: how many were accepted, from the front: 1 to n; 0 only when n is 0.
 * Ownership: accepted args are the tasks'; the array stays the caller's.
 * Threads: any thread.
 * Cost: does not block; may allocate (as evb_pool_submit); may make system calls (to wake workers).
 * Errors: EVB_EFULL: no room for a single one. EVB_ECLOSED, EVB_EAGAIN, EVB_ENOMEM, EVB_EINVAL, EVB_EFORKED:
 *   as evb_pool_submit.
 * Since: 0.1.0
 */
EVB_API int32_t evb_pool_submit_many(evb_pool *pool, evb_task_fn fn, void *const *args, uint32_t n);

/* ---- Calls: timers ------------------------------------------------------------------------------------- */

/* Runs a task once, delay_ns from now or a little later, never earlier.
 *
 * Parameters: pool, fn: not NULL. delay_ns: nanoseconds, 0 or more; the wheel turns in steps of a
 *   millisecond.
 * Returns: the timer's id, greater than 0, for evb_pool_cancel.
 * Ownership: arg is the task's; a canceled timer hands it to nobody.
 * Threads: any thread.
 * Cost: does not block; may allocate (timers come in chunks); may make system calls (when it is the next one
 *   due).
 * Errors: EVB_EINVAL: NULL pool or fn, negative delay. EVB_ENOMEM: no memory. EVB_ECLOSED: the pool is
 *   shutting down. EVB_EAGAIN: the system refuses to start the first worker. EVB_EFORKED: the pool was made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int64_t evb_pool_submit_after(evb_pool *pool, int64_t delay_ns, evb_task_fn fn, void *arg);

/* Runs a task again and again, every period_ns, the first time after one period. Runs of one timer never
 * overlap; after a delay one missed run is made up for, the rest is skipped.
 *
 * Parameters: pool, fn: not NULL. period_ns: nanoseconds, greater than 0.
 * Returns: the timer's id, greater than 0, for evb_pool_cancel.
 * Ownership: arg must live until the timer is canceled and not running, see evb_pool_cancel_wait.
 * Threads: any thread.
 * Cost: does not block; may allocate (timers come in chunks); may make system calls (when it is the next one
 *   due).
 * Errors: EVB_EINVAL: NULL pool or fn, period not positive. EVB_ENOMEM, EVB_ECLOSED, EVB_EAGAIN, EVB_EFORKED:
 *   as evb_pool_submit_after.
 * Since: 0.1.0
 */
EVB_API int64_t evb_pool_submit_every(evb_pool *pool, int64_t period_ns, evb_task_fn fn, void *arg);

/* Stops a timer: no run of it begins any more. One that has begun goes on.
 *
 * Parameters: pool: not NULL. timer_id: from evb_pool_submit_after or evb_pool_submit_every.
 * Returns: EVB_OK.
 * Ownership: arg is the caller's again when nothing runs; a one-shot timer that was canceled did not run.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: EVB_ENOTFOUND: a one-shot that has started, or no such timer any more. EVB_EINVAL: NULL pool, or an
 *   id that is not positive. EVB_EFORKED: the pool was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_pool_cancel(evb_pool *pool, int64_t timer_id);

/* Stops a timer and waits until no run of it is under way.
 *
 * Parameters: as evb_pool_cancel.
 * Returns: EVB_OK.
 * Ownership: arg may be freed when it returns EVB_OK or EVB_ENOTFOUND.
 * Threads: any thread, not from a callback.
 * Cost: may block (while the timer's task runs); does not allocate; may make system calls (to sleep).
 * Errors: EVB_EDEADLK: inside a callback or in a worker of this pool; has behaved as evb_pool_cancel.
 *   EVB_ENOTFOUND, EVB_EINVAL, EVB_EFORKED: as evb_pool_cancel.
 * Since: 0.1.0
 */
EVB_API int32_t evb_pool_cancel_wait(evb_pool *pool, int64_t timer_id);

/* ---- Calls: wait and end ------------------------------------------------------------------------------- */

/* Waits until no task is queued or running, and no one-shot timer is due or outstanding.
 *
 * Parameters: pool: not NULL. timeout_ns: nanoseconds, EVB_FOREVER, or 0 = only look.
 * Returns: EVB_OK.
 * Ownership: nothing changes hands.
 * Threads: any thread, not from a callback.
 * Cost: may block; does not allocate; may make system calls (to sleep).
 * Errors: EVB_ETIMEDOUT: still busy. EVB_EAGAIN: busy and timeout_ns is 0. EVB_EDEADLK: inside a callback or
 *   in a worker of this pool. EVB_EINVAL: NULL pool, or a timeout below -1. EVB_EFORKED: the pool was made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_pool_wait_idle(evb_pool *pool, int64_t timeout_ns);

/* Closes the pool to new work and waits until its threads have ended. Timers are canceled; the args of
 * one-shot ones that had not begun go to on_discard.
 *
 * Parameters: pool: not NULL. mode: EVB_DRAIN or EVB_DISCARD. timeout_ns: nanoseconds, EVB_FOREVER, or 0.
 * Returns: EVB_OK; also when it was shut down before.
 * Ownership: the pool still has to be destroyed.
 * Threads: any thread, not from a callback.
 * Cost: may block; does not allocate; may make system calls (to wake, sleep and join).
 * Errors: EVB_ETIMEDOUT, with timeout_ns 0 EVB_EAGAIN: not yet over; the pool is closed and runs down.
 *   EVB_EDEADLK: inside a callback or in a worker of this pool. EVB_EINVAL: NULL pool, unknown mode, or a
 *   timeout below -1. EVB_EFORKED: the pool was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_pool_shutdown(evb_pool *pool, uint32_t mode, int64_t timeout_ns);

/* Ends a pool: shuts it down with EVB_DRAIN, without limit, and frees it. While a bus uses the pool this
 * takes effect when that bus is destroyed; called in one of its own workers, when the task returns.
 *
 * Parameters: pool: NULL is nothing.
 * Ownership: ends here for the caller.
 * Threads: owner (no other call on the pool may run or begin, but those of a bus that uses it).
 * Cost: may block (until queued tasks have run); does not allocate; may make system calls (to join).
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_pool_destroy(evb_pool *pool);

/* ---- Calls: strands ------------------------------------------------------------------------------------ */

/* Makes a strand: tasks of one strand run in the order of their submits and never two at once. The actor of
 * other libraries.
 *
 * Parameters: pool: not NULL. capacity: tasks that wait; 0 = 1024, rounded up to a power of two. ret_strand:
 *   not NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_strand_destroy. It keeps the pool.
 * Threads: any thread.
 * Cost: does not block; allocates; no system calls.
 * Errors: EVB_EINVAL: a NULL argument, or capacity above 2^31. EVB_ENOMEM: no memory. EVB_ECLOSED: the pool
 *   is shutting down. EVB_EFORKED: the pool was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_strand_create(evb_pool *pool, uint32_t capacity, evb_strand **ret_strand);

/* Queues a task on a strand.
 *
 * Parameters: strand, fn: not NULL. arg: handed to fn. timeout_ns: nanoseconds to wait for room, EVB_FOREVER,
 *   or 0.
 * Returns: EVB_OK.
 * Ownership: arg is the task's once accepted.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block (while the strand is full; never with timeout_ns 0); does not allocate; may make system
 *   calls (to wake a worker, to sleep itself).
 * Errors: EVB_EFULL, EVB_ETIMEDOUT, EVB_ECLOSED, EVB_EDEADLK, EVB_EAGAIN, EVB_EINVAL, EVB_EFORKED: as
 *   evb_pool_submit.
 * Since: 0.1.0
 */
EVB_API int32_t evb_strand_submit(evb_strand *strand, evb_task_fn fn, void *arg, int64_t timeout_ns);

/* Queues as many of n tasks on a strand as there is room for now.
 *
 * Parameters: strand, fn: not NULL. args: n pointers; NULL only when n is 0.
 * Returns: how many were accepted, from the front: 1 to n; 0 only when n is 0.
 * Ownership: accepted args are the tasks'; the array stays the caller's.
 * Threads: any thread.
 * Cost: does not block; does not allocate; may make system calls (to wake a worker).
 * Errors: EVB_EFULL: no room for a single one. EVB_ECLOSED, EVB_EAGAIN, EVB_EINVAL, EVB_EFORKED: as
 *   evb_pool_submit.
 * Since: 0.1.0
 */
EVB_API int32_t evb_strand_submit_many(evb_strand *strand, evb_task_fn fn, void *const *args, uint32_t n);

/* Gives a strand back. What is queued on it still runs; then it is freed.
 *
 * Parameters: strand: NULL is nothing.
 * Ownership: ends here for the caller.
 * Threads: owner (no other call on the strand may run or begin; its own tasks may run).
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_strand_destroy(evb_strand *strand);

#ifdef __cplusplus
}
#endif

#endif
