/* SPDX-License-Identifier: MIT */
/* evbus/queue.h: queued subscriptions: workers or pull, settlement, groups, retries, dead letters.
 *
 * A subscription is a queue behind a pattern. Publishers put events in and go on; a handler on worker
 * threads, or a consumer that pulls, takes them out and settles each: done, failed, given back, rejected.
 * What fails is tried again later; what fails for good goes to the subscription's own dead-letter queue.
 * Subscriptions with the same name form a group whose members compete; a durable one survives the process, by
 * reading the bus' store with a cursor.
 *
 * Not in 0.1.0, so that evb_subscribe or the call answers EVB_ENOTSUP: durable subscriptions (evb_sub_seek,
 * evb_sub_forget) and schema.
 *
 * GUARANTEES
 * - Nothing vanishes silently: in every copy of the counters enqueued = acked + dead_lettered + expired +
 *   dropped + conflated + purged + discarded + ready + delayed + in_flight (stats.h).
 * - Capacity is hard and counts what is in flight, delayed and waiting for its retry. A publish into a full
 *   EVB_OVERFLOW_REJECT queue reaches nobody.
 * - At least once: an event is gone when it is settled, not when it is handed out. With EVB_SUB_AT_MOST_ONCE:
 *   when it is handed out.
 * - One thread's publishes to one topic arrive in order; a queue hands out what has no key in the order in
 *   which it accepted. What is tried again comes later, behind what has been accepted meanwhile.
 * - Events with the same key are handled one at a time, in the order in which the queue accepted them, whatever
 *   the number of handlers: while one is in flight or waits for its retry, the others of its key wait and those
 *   of all other keys go on. Keys take turns. Keys are compared as they are, not by a hash of theirs.
 * - An event that is older than its time to live is never handed out. In flight nothing expires.
 * - One slow subscription never delays another.
 *
 * WHAT IT DOES NOT DO
 * - No exactly once: a handler that did its work and died before it settled gets the event again, with
 *   attempt > 1.
 * - No order between keys, nor between a key and events without one, and with concurrency above 1 none between
 *   events without a key.
 * - A dead letter breaks the order of its key; EVB_SUB_KEY_HALT stops the key instead, until the letter is
 *   redriven (it comes first then), purged or has given way to newer ones, or until evb_sub_skip_key. An event
 *   that expires, or that overflow drops, does not stop its key. What waits behind a stopped key counts in the
 *   capacity, and a drain waits for it.
 *
 * CAVEATS
 * - A handler may publish, but not into a full blocking queue: EVB_EDEADLK. It may not wait for anything in
 *   evbus.
 * - A lease runs for pulled and deferred deliveries only: a handler that still runs is never given its event
 *   twice.
 * - A time to live begins when the event is published, and again when a dead letter is redriven; a retry keeps
 *   it. Delays and times to live of memory queues follow the monotonic clock; those of durable ones are stored
 *   as wall time and move with it.
 * - fork, signals, exit, dlclose: as in base.h.
 *
 * A PROGRAM
 *
 *     #include <evbus/queue.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         evb_sub_opts opts = { 0 }; // no handler: this program pulls
 *         evb_bus *bus;
 *         evb_sub *sub;
 *         uint64_t delivery;
 *         const evb_event *ev;
 *
 *         opts.capacity = 64;
 *         if (evb_bus_create(NULL, &bus) < 0) return 1;
 *         if (evb_subscribe(bus, "job.>", &opts, &sub) < 0) return 1;
 *         evb_publish(bus, "job.print", "report", 6, NULL);
 *         while (evb_sub_next(sub, 0, &delivery, &ev) == EVB_OK) {
 *             printf("%s: %.*s\n", ev->topic, (int)ev->size, (const char *)ev->data);
 *             evb_ack(sub, delivery);
 *         }
 *         evb_unsubscribe(sub);
 *         evb_bus_destroy(bus);
 *         return 0;
 *     }
 *
 * It prints:
 *
 *     job.print: report
 */
#ifndef EVBUS_QUEUE_H
#define EVBUS_QUEUE_H

#include <evbus/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/* evb_sub_opts.overflow: what a publish does to a full queue */
enum {
    EVB_OVERFLOW_REJECT = 0,      /* EVB_EFULL to the publisher, nobody is reached (JetStream DiscardNew) */
    EVB_OVERFLOW_BLOCK = 1,       /* the publisher waits, up to its timeout_ns */
    EVB_OVERFLOW_DROP_OLDEST = 2, /* the oldest ready event goes and is counted; what is in flight stays */
    EVB_OVERFLOW_DROP_NEWEST = 3, /* the new event is dropped and counted */
    EVB_OVERFLOW_CONFLATE = 4     /* replaces the ready event of its key or topic; full: drops the oldest */
};

/* What a handler returns: EVB_OK acks; any negative status fails the attempt and is recorded with it; or one
 * of these */
enum {
    EVB_NACK = 1,    /* failed: again later, as the retry policy says */
    EVB_REJECT = 2,  /* dead letter at once */
    EVB_RELEASE = 3, /* given back: soon again, not counted as an attempt */
    EVB_DEFER = 4    /* evb_defer was called: settled later by its delivery */
};

/* evb_retry.jitter: how the delay e = min(cap, base x 2^(failures - 1)) is made random */
enum {
    EVB_JITTER_FULL = 0, /* 0 to e */
    EVB_JITTER_NONE = 1, /* e */
    EVB_JITTER_EQUAL = 2 /* e/2 to e */
};

/* The retry policy of a subscription. Its layout is frozen: it lies inside evb_sub_opts. */
typedef struct evb_retry {
    uint32_t max_attempts; /* deliveries, first included, then dead letter; 0 = 5, UINT32_MAX = no limit */
    uint32_t jitter;       /* EVB_JITTER_*; default full */
    int64_t base_ns;       /* delay after the first failure; 0 = 100 ms */
    int64_t cap_ns;        /* the longest delay; 0 = 30 s. As base_ns: every delay is the same */
    int64_t min_ns;        /* the shortest delay, whatever the jitter says; default 0 */
} evb_retry;

/* evb_sub_opts.flags */
enum {
    EVB_SUB_DISPATCH = 1,             /* the handler runs only inside evb_sub_dispatch */
    EVB_SUB_AT_MOST_ONCE = 2,         /* settled when handed out: no retry, no dead letter */
    EVB_SUB_KEY_HALT = 4,             /* what fails for good stops its key, see evb_sub_skip_key */
    EVB_SUB_DEAD_LETTER_DROPS = 8,    /* what overflow drops becomes a dead letter, reason "maxlen" */
    EVB_SUB_DEAD_LETTER_EXPIRED = 16, /* what expires becomes a dead letter, reason "expired" */
    EVB_SUB_NO_ATTEMPT_RECORD = 32,   /* durable: attempts are not written; a crash does not count as one */
    EVB_SUB_PAUSED = 64               /* created paused, see evb_sub_resume */
};

/* evb_sub_opts.start of a new durable name, or a position in the store (inclusive) */
#define EVB_START_NEW   ((uint64_t)0)
#define EVB_START_BEGIN ((uint64_t)1)

typedef struct evb_sub_opts {
    uint32_t struct_size;     /* sizeof(evb_sub_opts), or 0 */
    uint32_t flags;           /* EVB_SUB_* */
    const char *name;         /* same name = same group, members compete; NULL = alone, and not durable */
    evb_handler handler;      /* runs on the pool; NULL = pulled with evb_sub_next or evb_sub_take */
    void *user;               /* handed to handler and filter */
    evb_free_fn free_user;    /* gets user when no callback of this member can run any more; NULL = nobody */
    evb_filter_fn filter;     /* asked in the publisher, before room is taken; NULL = all events */
    uint32_t concurrency;     /* handlers at once, 1 to 1024; 0 = 1 */
    uint32_t capacity;        /* events, in flight counted; 0 = 1024, UINT32_MAX = 2^24 - 1, the most */
    uint64_t capacity_bytes;  /* their payloads, keys and headers; 0 = 16 MiB; 2^40 - 1 at most */
    uint32_t overflow;        /* EVB_OVERFLOW_*; default reject */
    uint32_t max_in_flight;   /* of pulled and deferred deliveries; 0 = 256; up to 2^20 */
    evb_retry retry;          /* default: 5 attempts, 100 ms to 30 s, full jitter */
    int64_t lease_ns;         /* then a pulled or deferred delivery has failed; 0 = 30 s, INT64_MAX = never */
    int64_t ttl_ns;           /* events older than this expire, but in flight; 0 = never */
    uint32_t dlq_capacity;    /* dead letters kept; 0 = 10 000 */
    uint32_t durable;         /* 1 = kept in the store under name; matching topics are persisted */
    uint64_t start;           /* where a new durable name begins: EVB_START_* or a position; default new */
    uint64_t dlq_bytes;       /* of dead letters kept; 0 = 64 MiB */
    const evb_schema *schema; /* decode every event to this reader schema, see evb_event_object; NULL = no */
} evb_sub_opts;

/* ---- Calls: subscribe ---------------------------------------------------------------------------------- */

/* Subscribes a queue, or joins the group of that name. The first member's pattern and options hold for the
 * group; a later one's must be the same, but for handler, user, free_user, concurrency, EVB_SUB_DISPATCH and
 * EVB_SUB_PAUSED, which are its own. Members with handlers and members that pull may share a group. The first
 * member's queue begins with what the topics of its pattern keep (EVB_RETAIN, see RETAINED EVENTS in bus.h);
 * the filter is asked about that in this call.
 *
 * Parameters: bus: not NULL. pattern: as evb_on. opts: may be NULL. ret_sub: the member's handle; NULL = the
 *   bus keeps it (handlers on the pool only).
 * Returns: EVB_OK.
 * Ownership: opts and pattern are copied. The handle is the caller's until evb_unsubscribe and may outlive
 *   the bus; user is the subscription's until free_user. When this call fails, free_user does not run.
 * Threads: any thread.
 * Cost: may block (durable: its registration is written); allocates; may make system calls (the first handler
 *   starts the pool). A wildcard walks over the names of all topics that keep something, as evb_on.
 * Errors: EVB_EINVAL: a NULL argument, a pattern as evb_on, a name that is empty, above 255 bytes or has
 *   control characters, an unknown flag, policy or jitter, a negative time, base_ns above cap_ns, concurrency
 *   above 1024, capacity or max_in_flight above their limits, a pulled or dispatched subscription without
 *   ret_sub, EVB_SUB_DISPATCH without handler, durable without a name or a store, a lease with
 *   EVB_SUB_AT_MOST_ONCE. EVB_ECONFLICT: the group has another pattern or other options. EVB_ETRUNCATED:
 *   start lies before the first kept position. EVB_ENOMEM: no memory. EVB_EAGAIN: the system refuses a
 *   thread, or events are kept faster than the filter answers. EVB_ECLOSED: draining or destroyed, or the pool has been shut down. EVB_ENOSPC, EVB_EIO,
 *   EVB_EPOISONED: the store could not write. EVB_EFORKED: the bus was made before fork. EVB_ENOTSUP:
 *   struct_size as in base.h; what is not in 0.1.0, see the top.
 * Since: 0.1.0
 */
EVB_API int32_t evb_subscribe(evb_bus *bus, const char *pattern, const evb_sub_opts *opts, evb_sub **ret_sub);

/* Leaves and gives the handle back, after the member's running handlers have returned. What it held in flight
 * is released to the group; the last member of a memory group discards the rest and counts it; a durable name
 * stays, see evb_sub_forget.
 *
 * Parameters: sub: not NULL.
 * Returns: EVB_OK.
 * Ownership: the handle ends here, also with EVB_EDEADLK; free_user runs when the last handler has returned.
 * Threads: owner (no other call on this handle may run or begin; threads that sleep in evb_sub_next are sent
 *   home with EVB_ECLOSED), not from a callback.
 * Cost: may block (while handlers run); does not allocate; may make system calls (to sleep).
 * Errors: EVB_EDEADLK: inside a callback: has left without waiting. EVB_EINVAL: NULL. EVB_EFORKED: made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_unsubscribe(evb_sub *sub);

/* Deletes a durable name with its cursor, its backlog and its dead letters.
 *
 * Parameters: bus, name: not NULL. force: 0 = only when it has no members and nothing in flight; 1 = always:
 *   members' handles answer EVB_ECLOSED.
 * Returns: EVB_OK.
 * Ownership: handles still have to be given back.
 * Threads: any thread.
 * Cost: may block (writes to the store); does not allocate; may make system calls.
 * Errors: EVB_EBUSY: members or work in flight, and force is 0. EVB_ENOTFOUND: no such name. EVB_EINVAL: a
 *   NULL argument. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not write. EVB_ECLOSED: destroyed.
 *   EVB_EFORKED: made before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_forget(evb_bus *bus, const char *name, uint32_t force);

/* ---- Calls: steer a subscription ----------------------------------------------------------------------- */

/* Stops handing out events of the group; publishes are still accepted, handlers that run go on.
 *
 * Parameters: sub: not NULL.
 * Returns: EVB_OK, also when paused already.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: EVB_EINVAL: NULL. EVB_ECLOSED: the bus was destroyed. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_pause(evb_sub *sub);

/* Goes on handing out events.
 *
 * Parameters: sub: not NULL.
 * Returns: EVB_OK, also when not paused.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; may make system calls (to wake workers).
 * Errors: EVB_EINVAL: NULL. EVB_ECLOSED: the bus was destroyed. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_resume(evb_sub *sub);

/* Removes every event of the group that is ready or delayed. What is in flight goes on.
 *
 * Parameters: sub: not NULL.
 * Returns: how many were removed; they count as purged.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (durable: writes); does not allocate; may make system calls (to wake publishers).
 * Errors: EVB_EINVAL: NULL. EVB_ECLOSED: the bus was destroyed. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store
 *   could not write. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int64_t evb_sub_purge(evb_sub *sub);

/* Moves a durable subscription to a position in the store: everything from there on is delivered (again).
 * Outstanding deliveries become stale.
 *
 * Parameters: sub: durable. position: inclusive; EVB_START_NEW = the end, EVB_START_BEGIN = the first kept
 *   one.
 * Returns: EVB_OK.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (writes to the store); does not allocate; may make system calls.
 * Errors: EVB_ENOTSUP: not durable. EVB_ETRUNCATED: before the first kept position. EVB_EINVAL: NULL.
 *   EVB_ECLOSED: the bus was destroyed. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not write.
 *   EVB_EFORKED: made before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_seek(evb_sub *sub, uint64_t position);

/* Opens a key that EVB_SUB_KEY_HALT has stopped: its next events are delivered. The dead letter stays where
 * it is.
 *
 * Parameters: sub: not NULL. key: key_len bytes, not NULL.
 * Returns: EVB_OK.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (durable: writes); does not allocate; may make system calls.
 * Errors: EVB_ENOTFOUND: that key is not stopped. EVB_EINVAL: a NULL argument, key_len above 255.
 *   EVB_ECLOSED: the bus was destroyed. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not write.
 *   EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_skip_key(evb_sub *sub, const void *key, uint32_t key_len);

/* ---- Calls: pull and settle ---------------------------------------------------------------------------- */

/* Takes the next event of a subscription without handler. The delivery is a number with an epoch, never an
 * address: settling it twice, or after its lease has run out and the event went to somebody else, is
 * EVB_ESTALE and changes nothing.
 *
 * Parameters: sub: pulled. timeout_ns: nanoseconds, EVB_FOREVER, or 0. ret_delivery, ret_event: not NULL.
 * Returns: EVB_OK.
 * Ownership: the event stays readable until the delivery is settled or the handle is given back.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block; may allocate (a place for its number; the first with a lease: the pool that keeps the
 *   time); may make system calls (to sleep).
 * Errors: EVB_EEMPTY: nothing to hand out and timeout_ns is 0; a full window (max_in_flight) and a pause
 *   count as nothing. EVB_ETIMEDOUT: nothing in time. EVB_ECLOSED: left, drained or destroyed. EVB_EDEADLK:
 *   would wait inside a callback. EVB_ENOTSUP: it has a handler. EVB_ENOMEM: no memory. EVB_EAGAIN: the
 *   system refuses a thread for the pool. EVB_ETRUNCATED: retention has passed the cursor, which
 *   has been moved; reported once. EVB_EINVAL: a NULL argument, or a timeout below -1. EVB_EFORKED: made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_next(evb_sub *sub, int64_t timeout_ns, uint64_t *ret_delivery,
                             const evb_event **ret_event);

/* Settles a delivery: done. On a durable subscription it is written at level EVB_SYNC_OS when this returns:
 * kill -9 does not bring the event back, a power cut may, as a duplicate.
 *
 * Parameters: sub: not NULL. delivery: from evb_sub_next or evb_defer.
 * Returns: EVB_OK.
 * Ownership: the event is gone.
 * Threads: any thread.
 * Cost: may block (durable: a write); does not allocate; may make system calls (to wake publishers).
 * Errors: EVB_ESTALE: settled or redelivered already. EVB_EINVAL: NULL, or a delivery of another
 *   subscription. EVB_ECLOSED: left or destroyed. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not
 *   write. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_ack(evb_sub *sub, uint64_t delivery);

/* Settles a delivery: failed, to be tried again; after the last attempt a dead letter, reason
 * "delivery_limit".
 *
 * Parameters: sub, delivery: as evb_ack. delay_ns: nanoseconds until the next attempt, 0 = at once, behind
 *   what is ready; EVB_DELAY_POLICY = by the retry policy.
 * Returns: EVB_OK.
 * Ownership: the event is the queue's again.
 * Threads: any thread.
 * Cost: may block (durable: a write); may allocate (its timer); may make system calls.
 * Errors: EVB_ESTALE, EVB_EINVAL, EVB_ECLOSED, EVB_ENOSPC, EVB_EIO, EVB_EPOISONED, EVB_EFORKED: as evb_ack;
 *   EVB_EINVAL also for a delay below -1. EVB_ENOMEM: no memory.
 * Since: 0.1.0
 */
EVB_API int32_t evb_nack(evb_sub *sub, uint64_t delivery, int64_t delay_ns);

/* Settles a delivery: given back, not an attempt. It goes to whoever takes next, at the head, with the same
 * attempt number and EVB_EVENT_REDELIVERED.
 *
 * Parameters: sub, delivery: as evb_ack.
 * Returns: EVB_OK.
 * Ownership: the event is the queue's again.
 * Threads: any thread.
 * Cost: may block (durable: a write); does not allocate; may make system calls (to wake a consumer).
 * Errors: EVB_ESTALE, EVB_EINVAL, EVB_ECLOSED, EVB_ENOSPC, EVB_EIO, EVB_EPOISONED, EVB_EFORKED: as evb_ack.
 * Since: 0.1.0
 */
EVB_API int32_t evb_release(evb_sub *sub, uint64_t delivery);

/* Settles a delivery: a dead letter at once, reason "rejected".
 *
 * Parameters: sub, delivery: as evb_ack. code: kept with the letter. text: kept too, cut at 256 bytes; may be
 *   NULL.
 * Returns: EVB_OK.
 * Ownership: the event is the dead-letter queue's.
 * Threads: any thread.
 * Cost: may block (durable: a write); may allocate; may make system calls.
 * Errors: EVB_ESTALE, EVB_EINVAL, EVB_ECLOSED, EVB_ENOSPC, EVB_EIO, EVB_EPOISONED, EVB_EFORKED: as evb_ack.
 *   EVB_ENOMEM: no memory.
 * Since: 0.1.0
 */
EVB_API int32_t evb_reject(evb_sub *sub, uint64_t delivery, int32_t code, const char *text);

/* Starts the lease of a delivery anew. The delivery stays open.
 *
 * Parameters: sub, delivery: as evb_ack. lease_ns: nanoseconds from now; 0 = the subscription's lease_ns.
 * Returns: EVB_OK.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; may allocate; may make system calls (the first lease of a subscription without any:
 *   the pool that keeps the time).
 * Errors: EVB_ESTALE, EVB_ECLOSED, EVB_EFORKED: as evb_ack. EVB_EINVAL: as evb_ack, or a negative lease.
 *   EVB_ENOTSUP: EVB_SUB_AT_MOST_ONCE. EVB_ENOMEM: no memory. EVB_EAGAIN: the system refuses a thread.
 * Since: 0.1.0
 */
EVB_API int32_t evb_extend(evb_sub *sub, uint64_t delivery, int64_t lease_ns);

/* Inside a handler: takes the event over, to settle it later from anywhere. The handler's result is ignored
 * then; it should be EVB_DEFER. EVB_DEFER without this call is EVB_NACK.
 *
 * Parameters: ev: the event as the handler got it. ret_delivery: not NULL.
 * Returns: EVB_OK.
 * Ownership: the event stays readable until the delivery is settled, by another thread perhaps, and then not
 *   for the handler either; a lease begins.
 * Threads: any thread: the one that runs the handler.
 * Cost: does not block; may allocate; no system calls.
 * Errors: EVB_EFULL: max_in_flight deferred deliveries are open. EVB_ECLOSED: the member has left; what the
 *   handler returns settles the event. EVB_ENOTSUP: not a queue's event, or EVB_SUB_AT_MOST_ONCE. EVB_EEXIST:
 *   deferred already. EVB_EINVAL: a NULL argument. EVB_ENOMEM: no memory.
 *   EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_defer(const evb_event *ev, uint64_t *ret_delivery);

/* As delay_ns of evb_nack: by the retry policy. */
#define EVB_DELAY_POLICY ((int64_t)-1)

/* ---- Calls: drain in batches, watch a descriptor, run the handler here --------------------------------- */

/* What evb_sub_take writes for each event, 8-aligned: this header, the topic with its NUL, the key, the data,
 * padding. Its layout is frozen; host byte order. */
typedef struct evb_packed {
    uint32_t size;      /* of the whole record, a multiple of 8: the next one begins there */
    uint32_t topic_len; /* bytes of the topic, without its NUL */
    uint32_t key_len;   /* bytes of the key */
    uint32_t data_len;  /* bytes of the data */
    uint64_t sequence;  /* as evb_event */
    int64_t time_ns;    /* realtime of publication, 0 = none was taken */
    uint32_t flags;     /* EVB_EVENT_* */
    uint32_t attempt;   /* as evb_event */
} evb_packed;

/* Takes many events in one call, as packed records in the caller's memory: what a binding without callbacks
 * uses. They are acknowledged as they are taken.
 *
 * Parameters: sub: pulled. buf: cap bytes, 8-aligned. max: events at most, at least 1.
 * Returns: how many records lie in buf, at least 1.
 * Ownership: the records are copies.
 * Threads: any thread.
 * Cost: does not block (durable: one write for all); does not allocate; may make system calls (to wake
 *   publishers).
 * Errors: EVB_EEMPTY: nothing to take. EVB_ETOOBIG: the first record is larger than cap; it stays.
 *   EVB_ENOTSUP: it has a handler. EVB_ECLOSED: left, drained or destroyed. EVB_EINVAL: a NULL argument, buf
 *   not aligned, or max is 0. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not write. EVB_EFORKED:
 *   made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_take(evb_sub *sub, void *buf, size_t cap, uint32_t max);

/* Gives a descriptor that poll, epoll or an event loop can watch for reading: it becomes readable when there
 * is something to take. It is a hint, not a count: anybody may read its bytes away; after it fires take until
 * EVB_EEMPTY.
 *
 * Parameters: sub: pulled or EVB_SUB_DISPATCH.
 * Returns: the descriptor, one end of a socketpair: the same on every call.
 * Ownership: the subscription's; do not close it. It is closed by evb_unsubscribe.
 * Threads: any thread.
 * Cost: does not block; may allocate; may make system calls (the first call makes the pair).
 * Errors: EVB_ENOTSUP: its handler runs on the pool. EVB_EAGAIN: the system has no descriptor left.
 *   EVB_ECLOSED: left or destroyed. EVB_EINVAL: NULL. EVB_ENOMEM: no memory. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_fd(evb_sub *sub);

/* Runs the handler of an EVB_SUB_DISPATCH subscription here, in the calling thread, for up to max events.
 *
 * Parameters: sub: made with EVB_SUB_DISPATCH. max: events at most; 0 = 64.
 * Returns: how many handlers ran, at least 1.
 * Ownership: nothing changes hands.
 * Threads: any thread, not from a callback.
 * Cost: does not block (but runs the handler); does not allocate; may make system calls.
 * Errors: EVB_EEMPTY: nothing to run. EVB_ENOTSUP: made without EVB_SUB_DISPATCH. EVB_EDEADLK: inside a
 *   callback. EVB_ECLOSED: left, drained or destroyed. EVB_EINVAL: NULL. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED:
 *   the store could not write. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_dispatch(evb_sub *sub, uint32_t max);

/* ---- Calls: dead letters ------------------------------------------------------------------------------- */

/* Why an event died, as evb_dlq_browse shows it. The reasons: delivery_limit (after a crash with error_text
 * "crash"), rejected, expired, maxlen (RabbitMQ's four), decode_error, upcast_failed, unknown_type. */
typedef struct evb_death {
    uint32_t struct_size;     /* how far the library has filled it in */
    int32_t error_code;       /* the handler's last result, or the code given to evb_reject */
    const char *reason;       /* why, as a word, see above */
    const char *topic;        /* where it was published */
    const char *subscription; /* whose dead letter it is */
    const char *error_text;   /* from evb_reject; NULL = none */
    uint32_t attempts;        /* deliveries before it died */
    uint32_t redrives;        /* how often it was sent back before */
    uint32_t times;           /* how often it died of this reason here */
    uint32_t reserved;        /* 0 */
    uint64_t sequence;        /* as first published */
    int64_t first_time_ns;    /* realtime of its first death */
    int64_t last_time_ns;     /* realtime of its last */
} evb_death;

/* Counts the dead letters of a subscription.
 *
 * Parameters: sub: not NULL.
 * Returns: how many there are.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: EVB_EINVAL: NULL. EVB_ECLOSED: the bus was destroyed. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int64_t evb_dlq_count(evb_sub *sub);

/* Walks over the dead letters, oldest first; they stay.
 *
 * Parameters: sub, fn: not NULL. fn gets the event, its death and user; non-zero stops.
 * Returns: 0, or what fn returned to stop.
 * Ownership: event and death are valid until fn returns.
 * Threads: any thread.
 * Cost: may block (durable: reads the store); allocates; may make system calls.
 * Errors: EVB_EINVAL: NULL sub or fn. EVB_ENOMEM: no memory. EVB_EIO, EVB_ECORRUPT: the store could not be
 *   read. EVB_ECLOSED: the bus was destroyed. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_dlq_browse(evb_sub *sub, int32_t (*fn)(const evb_event *ev, const evb_death *death,
                               void *user),
                               void *user);

/* Sends dead letters back to this subscription only, oldest first, with attempts and expiry reset, id, key
 * and history kept. They go to the tail; one that still stops its key (EVB_SUB_KEY_HALT) comes next of its
 * key.
 *
 * Parameters: sub: not NULL. max: letters at most; UINT32_MAX = all.
 * Returns: how many were sent; fewer when the queue is full or a drain begins.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (durable: writes); does not allocate; may make system calls (to wake workers).
 * Errors: EVB_EFULL: no room for one. EVB_ETOOBIG: only letters larger than capacity_bytes are left (others
 *   pass them by). EVB_EBUSY: another redrive of this subscription runs. EVB_EINVAL: NULL.
 *   EVB_ECLOSED: draining or destroyed. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not write.
 *   EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_dlq_redrive(evb_sub *sub, uint32_t max);

/* Deletes every dead letter of a subscription; a key that one of them has stopped is opened.
 *
 * Parameters: sub: not NULL.
 * Returns: how many were deleted.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (durable: writes); does not allocate; may make system calls.
 * Errors: EVB_EINVAL: NULL. EVB_ECLOSED: the bus was destroyed. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store
 *   could not write. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int64_t evb_dlq_purge(evb_sub *sub);

#ifdef __cplusplus
}
#endif

#endif
