/* SPDX-License-Identifier: MIT */
/* evbus/bus.h: the bus: topics, wildcards, listeners in the publisher's thread, emit, publish, requests.
 *
 * A bus connects code that says that something happened with code that wants to know. A listener is a
 * function registered for a pattern; an emit on a topic calls every listener whose pattern matches, one
 * after the other, in the emitting thread, and returns when they have returned. That is Node's
 * EventEmitter, in C, for any number of threads. A bus with listeners only starts no thread, opens no
 * file and allocates nothing for an event. Queued subscriptions (queue.h) and a store (store.h) join the
 * same bus and are reached by the same emit; evb_publish does so with options.
 *
 * Not in 0.1.0, so that the call answers EVB_ENOTSUP: a bus with schemas.
 *
 * TOPICS AND PATTERNS
 * A topic is a name in tokens: "flight.JFK.LAX". A pattern is a topic that may contain wildcards. Names have
 * up to 255 bytes and 16 tokens; bytes are compared as they are. The dialect is chosen for each bus:
 *
 *                                        EVB_TOPICS_DOT    EVB_TOPICS_MQTT     EVB_TOPICS_AMQP
 *     separator, one token, many         .   *   >         /   +   #           .   *   #
 *     "many" stands for                  one or more       zero or more        zero or more
 *     "many" may stand                   at the end only   at the end only     anywhere, at most twice
 *     empty tokens ("a..b", ".a")        EVB_EINVAL        valid               valid
 *     empty name                         EVB_EINVAL        EVB_EINVAL          valid: no token at all
 *     wildcard inside a token ("fo*")    plain text        EVB_EINVAL          plain text
 *     wildcard token in a topic          EVB_EINVAL        EVB_EINVAL          plain text
 *     topic that begins with $           EVB_EINVAL        hidden from a       an ordinary topic
 *                                        in an emit        leading wildcard
 *
 * In DOT the names that begin with "$" are the bus' own: nobody else may publish on them, and their events
 * reach only patterns that begin with that literal token. The rules are those of NATS subjects, of MQTT 3.1.1
 * section 4.7, and of AMQP 0-9-1 topic exchanges as RabbitMQ has them. MQTT's shared subscriptions ($share)
 * are groups here, see queue.h.
 *
 * GUARANTEES
 * - Order: listeners run by priority, higher first, then in the order of registration, literal and wildcard
 *   patterns alike. A listener registered for two patterns that both match is two listeners and is called
 *   twice.
 * - Any thread may do anything at any time, also inside a listener: no lock is held while user code runs.
 * - An emit to listeners takes no lock, makes no system call, reads no clock and allocates nothing; evb_emit
 *   tells the exceptions. It waits for nobody. Emits of two threads on one topic run their listeners at the
 *   same time.
 * - The payload is not copied for listeners: they see the emitter's own bytes. For queues it is copied
 *   once.
 * - A publish is all or nothing across queues: room is reserved in every matching one first, and if one
 *   refuses nobody is reached. The queues have the event when the first listener runs.
 * - A publish on a name that somebody registered or opened takes no lock of the bus, however many topics
 *   and publishers there are.
 * - Wildcards cost when a listener is registered or a topic is opened; an emit on a handle does not pay for
 *   them. A name that no one has registered or opened is matched and forgotten: emitting on ever new names
 *   keeps no memory.
 *
 * CHANGES DURING AN EMIT
 * Node calls a listener that was removed during an emit once more; in C its context may be gone, so it is not
 * called here (boost::signals2, eventpp, sigslot and GSignal agree). A listener added is not called by the
 * emit that runs (Node, DOM and eventpp agree). Row by row; each row is a test of the same words in
 * tests/unit/test_mutation.c, run through a handle, a name with a record, and a name without one:
 * - A listener added during an emit is not called in it.
 * - A listener prepended during an emit is not called in it.
 * - A matching wildcard added during an emit is not called in it.
 * - A nested emit calls a listener added before it.
 * - A listener that removes itself finishes and the next is not skipped.
 * - A listener removed during an emit is not called any more.
 * - Removing a listener that has been called changes nothing in the emit.
 * - A listener removed and added again waits for the next emit.
 * - Off all of the pattern during an emit stops it.
 * - Off all of the bus during an emit stops it.
 * - Off owner during an emit removes all that the owner has.
 * - Off wait inside a callback refuses to wait and has behaved as off.
 * - A once is removed before its call so a nested emit does not call it again.
 * - A once is not registered any more while it runs.
 * - A once that registers itself again is called once per emit.
 * - A nested emit runs at once and depth first.
 * - Emits nest 64 deep and the next is refused.
 * - A bus destroyed inside a callback calls nobody else and ends when it returns.
 * - A bus destroyed in a nested emit ends with the outermost.
 * - Another bus destroyed inside a callback is gone when the callback has returned.
 * - A handle closed inside its own emit lets the emit finish.
 * - A topic opened and closed inside its own emit changes nothing in it.
 * - Free user runs before off returns when no emit is under way.
 * - Free user of another listener runs before off returns inside a callback too.
 * - Free user of a listener that removes itself waits for its own call.
 * - Free user of a once runs after its call.
 * - Free user may register emit and remove but not wait.
 * - A bus destroyed by free user ends when the call that removed returns.
 * - A filter that removes its listener keeps it from being called.
 * - An error hook may change listeners but neither emit nor wait.
 * - Patterns walks over a copy.
 * - A fork inside a callback leaves the parent alone and refuses the child.
 *
 * WHAT IT DOES NOT DO
 * - Listeners have no queue: a slow one keeps its emitter. For work in the background subscribe a queue.
 * - Nobody is punished for an error that nobody listens to: a listener's non-zero return is counted and
 *   reported to the hook (EVB_HOOK_ERROR), and the other listeners run. (Node's 'error' event ends the
 *   process.)
 * - There is no order between the listeners of emits that different threads make at the same time.
 * - evb_off and its kin do not touch queues: evb_unsubscribe does.
 *
 * CAVEATS
 * - user must live until free_user has run, or evb_off_wait has returned: after a bare evb_off another thread
 *   may still be inside the listener.
 * - Waiting inside callbacks is refused (EVB_EDEADLK): two listeners that wait for each other's removal
 *   cannot be helped.
 * - Every emit runs on the emitter's stack: nesting, filters and hooks included.
 * - An emit on a topic with queues is a publish: it copies, and waits without limit for a full blocking
 *   queue, but never inside a callback. Where that must not be, publish with EVB_NOWAIT or timeout_ns.
 * - A publish that has waited for room begins anew and asks the filters again.
 * - What is removed under the eyes of an emit is freed when that emit ends: a listener that runs for ever and
 *   in which listeners of its own topic come and go keeps their memory. Other topics are not concerned.
 * - Ten thousand listeners on one topic are fine; a registration that is not the last in order (prepend, a
 *   higher priority) and a removal cost time in proportion to them, and an emit on a name that nobody
 *   registered or opened is matched again for every 32 wildcard listeners it reaches.
 * - The place of a removed listener is used again; its memory, a cache line, is given back with the bus.
 * - fork, signals, exit, dlclose: as in base.h.
 *
 * A PROGRAM
 *
 *     #include <evbus/bus.h>
 *     #include <stdio.h>
 *
 *     static int32_t departed(const evb_event *ev, void *user)
 *     {
 *         printf("%s: %s is %d minutes late\n", (const char *)user, ev->topic, *(const int *)ev->data);
 *         return EVB_OK;
 *     }
 *
 *     int main(void)
 *     {
 *         evb_bus *bus;
 *         int late = 7;
 *
 *         if (evb_bus_create(NULL, &bus) < 0) return 1;
 *         evb_on(bus, "flight.JFK.*", departed, (void *)"from JFK");
 *         evb_on(bus, "flight.>", departed, (void *)"any");
 *         printf("%d listeners\n", (int)evb_emit(bus, "flight.JFK.LAX", &late, sizeof late));
 *         evb_bus_destroy(bus);
 *         return 0;
 *     }
 *
 * It prints:
 *
 *     from JFK: flight.JFK.LAX is 7 minutes late
 *     any: flight.JFK.LAX is 7 minutes late
 *     2 listeners
 */
#ifndef EVBUS_BUS_H
#define EVBUS_BUS_H

#include <evbus/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The dialects of topics and patterns; see TOPICS AND PATTERNS above */
enum {
    EVB_TOPICS_DOT = 0,  /* flight.JFK.*  flight.> */
    EVB_TOPICS_MQTT = 1, /* flight/JFK/+  flight/# */
    EVB_TOPICS_AMQP = 2  /* flight.JFK.*  flight.# */
};

typedef struct evb_bus_opts {
    uint32_t struct_size;       /* sizeof(evb_bus_opts), or 0 */
    uint32_t workers;           /* of the own pool, made by the first queue with a handler; 0 = as pool.h */
    evb_pool *pool;             /* instead of an own one; in use until the bus is destroyed. NULL = own */
    evb_store *store;           /* for durable subscriptions and evb_bus_persist; likewise. NULL = none */
    evb_schemas *schemas;       /* for typed payloads; likewise. NULL = none */
    evb_hook_fn hook;           /* told what happens; NULL = nobody */
    void *hook_user;            /* handed to hook; must outlive the bus */
    uint32_t hook_mask;         /* sum of 1u << EVB_HOOK_*; 0 = EVB_HOOK_ERROR only */
    uint32_t dialect;           /* EVB_TOPICS_*; default EVB_TOPICS_DOT */
    uint32_t max_payload_bytes; /* largest payload; 0 = 1 MiB, UINT32_MAX = no limit */
    uint32_t listener_warning;  /* listeners of one pattern that are no leak; 0 = 64, UINT32_MAX = any */
    uint32_t dedup_window;      /* ids remembered to recognise duplicates; 0 = 65536. See dedup_id */
    uint32_t flags;             /* 0: none is defined yet */
    int64_t drain_timeout_ns;   /* for queues to finish in evb_bus_destroy; 0 = 5 s, INT64_MAX = no limit */
    const char *name;           /* for logs and pictures, copied, cut at 63 bytes; NULL = none */
} evb_bus_opts;

/* ---- Calls: make and end a bus ------------------------------------------------------------------------- */

/* Makes a bus. Any number of them may exist; they know nothing of each other.
 *
 * Parameters: opts: may be NULL. ret_bus: not NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_bus_destroy. opts is copied with its name; pool, store and schemas are
 *   kept in use: evb_pool_destroy, called before, takes effect when the last bus of the pool has ended.
 * Threads: any thread.
 * Cost: does not block; allocates; may make system calls (for the random seed of its hash tables; the first
 *   object of the process also registers for membarrier(2)).
 * Errors: EVB_EINVAL: ret_bus is NULL, an unknown dialect, flags that are not 0, or a drain_timeout_ns
 *   below -1. EVB_ENOMEM: no memory. EVB_EFORKED: the pool was made before fork. EVB_ENOTSUP: struct_size
 *   as in base.h; in 0.1.0 also store and schemas, since none can be made.
 * Since: 0.1.0
 */
EVB_API int32_t evb_bus_create(const evb_bus_opts *opts, evb_bus **ret_bus);

/* Stops a bus in order: refuses publishes from now on, waits until every queue is empty (what is ready,
 * delayed, retried and in flight), flushes the store. Handlers of the bus' own queues may still publish,
 * because the drain waits for their events: a chain of queues runs to its end. Consumers that pull get what is
 * left and then EVB_ECLOSED; what they do not take, and what a paused subscription holds, keeps the drain
 * waiting. Listeners stay, and so do emits that reach only listeners. Requests wait on until the drain is
 * over, and end with EVB_ECLOSED then. Calling it again goes on with it.
 *
 * Parameters: bus: not NULL. timeout_ns: nanoseconds for all of it, EVB_FOREVER, or 0 = only begin.
 * Returns: EVB_OK: nothing is left.
 * Ownership: nothing changes hands; the bus still has to be destroyed.
 * Threads: any thread, not from a callback.
 * Cost: may block; does not allocate; may make system calls.
 * Errors: EVB_ETIMEDOUT: not finished in time; the bus stays closed to publishes, evb_sub_stats tells what is
 *   left where, and evb_bus_destroy does not wait for it again. EVB_EAGAIN: not finished and timeout_ns is 0.
 *   EVB_EDEADLK: inside a callback. EVB_EINVAL: NULL bus, or a timeout below -1. EVB_EFORKED: the bus was made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_bus_drain(evb_bus *bus, int64_t timeout_ns);

/* Ends a bus: refuses publishes from now on, drains its queues for drain_timeout_ns and discards what is
 * left, removes every listener, waits for listeners that run on other threads, runs the free_user
 * functions that are left, and frees it. While it drains handlers may still emit to listeners. Inside a
 * callback all listeners are gone at once and the rest happens when the outermost callback of that thread
 * returns.
 *
 * Parameters: bus: NULL is nothing. In a forked child an inherited bus is left alone: its memory stays.
 * Ownership: ends here. Topic handles, subscriptions, retained events and loans that are still held answer
 *   EVB_ECLOSED and must be released as always; they may outlive the bus.
 * Threads: owner (no other call on the bus may run or begin; emits that are under way on other threads,
 *   their listeners, filters and hooks, are waited for, and requests that wait are sent home with
 *   EVB_ECLOSED. evb_topic_emit and evb_topic_publish on a handle that is still open, and what the handlers
 *   of its own queues call, may begin at any time: in the end they answer EVB_ECLOSED).
 * Cost: may block (while queues drain and callbacks run on other threads); does not allocate; may make
 *   system calls (to sleep, and membarrier).
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_bus_destroy(evb_bus *bus);

/* ---- Calls: listen ------------------------------------------------------------------------------------- */

typedef struct evb_listen_opts {
    uint32_t struct_size;  /* sizeof(evb_listen_opts), or 0 */
    uint32_t flags;        /* EVB_ONCE, EVB_PREPEND, EVB_MONITOR */
    int32_t priority;      /* higher runs first; default 0 */
    uint32_t reserved;     /* 0, else EVB_EINVAL */
    evb_free_fn free_user; /* gets user exactly once, when no call can run any more; NULL = nobody */
    const void *owner;     /* any address, for evb_off_owner; never looked at. NULL = none */
    evb_filter_fn filter;  /* asked first, with the same user; 0 = not for this listener. NULL = all events */
} evb_listen_opts;

/* evb_listen_opts.flags */
enum {
    EVB_ONCE = 1,    /* removed, then called: at most one call. A refusal of the filter does not use it up */
    EVB_PREPEND = 2, /* before all that are registered with its priority now, instead of after them */
    EVB_MONITOR = 4  /* called as any other, but not counted: in no result, not in evb_listener_count */
};

/* Registers a listener: fn is called for every event whose topic matches the pattern. Node's on(). The same
 * function may be registered any number of times; each registration has its own id. Inside this call fn gets
 * what the topics of the pattern keep (EVB_RETAIN, see RETAINED EVENTS), before the id is known; until it has
 * had all of it nothing else reaches it. Its results are reported as always. When a pattern gets more
 * than listener_warning listeners, one log line "listener_leak_suspected" says so, once for each pattern as
 * long as it has any.
 *
 * Parameters: bus, fn: not NULL. pattern: a topic, or with wildcards, in the bus' dialect. user: handed to
 *   fn, may be NULL.
 * Returns: the listener's id, greater than 0 and below 2^53 (exact in languages whose only number is a
 *   double). It holds a place of 22 bits and a generation of 31 bits: a place is used 2^31 - 1 times before
 *   an id comes again.
 * Ownership: pattern is copied. user must live until evb_off_wait has returned or the bus is destroyed; see
 *   evb_listen for a function that gives it back.
 * Threads: any thread.
 * Cost: does not block; allocates (a cache line a listener; wildcards also nodes for their tokens); may make
 *   system calls (membarrier; the log line). Once a publish has used EVB_RETAIN a wildcard also walks over the
 *   names of all topics that keep something, holding up such publishes meanwhile.
 * Errors: EVB_ERECURSION: there is something to show, and 64 emits of this thread are under way, or a hook
 *   runs. EVB_EINVAL: a NULL argument, or a pattern that is not valid in the dialect: see TOPICS AND
 *   PATTERNS. EVB_EFULL: the bus has 4 194 303 listeners. EVB_ENOMEM: no memory. EVB_ECLOSED: the bus is
 *   being destroyed. EVB_EFORKED: the bus was made before fork.
 * Since: 0.1.0
 */
EVB_API int64_t evb_on(evb_bus *bus, const char *pattern, evb_handler fn, void *user);

/* Registers a listener for one event: it is removed, then called. Node's once().
 *
 * Parameters: as evb_on.
 * Returns: the listener's id, as evb_on; after the call evb_off answers EVB_ENOTFOUND for it.
 * Ownership: as evb_on.
 * Threads: any thread.
 * Cost: does not block; allocates; may make system calls (membarrier).
 * Errors: EVB_EINVAL, EVB_EFULL, EVB_ENOMEM, EVB_ECLOSED, EVB_ERECURSION, EVB_EFORKED: as evb_on.
 * Since: 0.1.0
 */
EVB_API int64_t evb_once(evb_bus *bus, const char *pattern, evb_handler fn, void *user);

/* Registers a listener that runs before those that are registered with priority 0 now. Node's
 * prependListener().
 *
 * Parameters: as evb_on.
 * Returns: the listener's id, as evb_on.
 * Ownership: as evb_on.
 * Threads: any thread.
 * Cost: does not block; allocates; may make system calls (membarrier).
 * Errors: EVB_EINVAL, EVB_EFULL, EVB_ENOMEM, EVB_ECLOSED, EVB_ERECURSION, EVB_EFORKED: as evb_on.
 * Since: 0.1.0
 */
EVB_API int64_t evb_prepend(evb_bus *bus, const char *pattern, evb_handler fn, void *user);

/* Registers a listener with options: once, prepended, monitor, priority, owner, filter, free_user.
 *
 * Parameters: bus, pattern, fn, user: as evb_on. opts: NULL = evb_on.
 * Returns: the listener's id, as evb_on.
 * Ownership: opts is copied. user is the bus' until free_user(user) runs, exactly once: before evb_off
 *   returns when no emit on another thread can still see the listener (when a listener removes itself: as the
 *   emit that called it ends), else on the thread whose emit leaves last, or the one that is changing the bus
 *   at that moment, at the latest in evb_bus_destroy. When this call fails, free_user does not run.
 * Threads: any thread.
 * Cost: does not block; allocates; may make system calls (membarrier).
 * Errors: EVB_EINVAL: as evb_on, or an unknown flag. EVB_ENOTSUP: struct_size as in base.h. EVB_EFULL,
 *   EVB_ENOMEM, EVB_ECLOSED, EVB_ERECURSION, EVB_EFORKED: as evb_on.
 * Since: 0.1.0
 */
EVB_API int64_t evb_listen(evb_bus *bus, const char *pattern, const evb_listen_opts *opts, evb_handler fn,
                           void *user);

/* ---- Calls: stop listening ----------------------------------------------------------------------------- */

/* Removes a listener without waiting: no emit that has not reached it yet calls it any more. A call that is
 * under way on another thread may still run when this returns.
 *
 * Parameters: bus: not NULL. id: from evb_on and its kin.
 * Returns: EVB_OK.
 * Ownership: user is given back by free_user, see evb_listen; it may run before this returns.
 * Threads: any thread.
 * Cost: does not block (never waits for user code); may allocate (to tidy up; does without where there is no
 *   memory: a removal never fails for it); may make system calls (membarrier).
 * Errors: EVB_ENOTFOUND: no live listener has this id: never issued, removed already, or a once that has
 *   fired; harmless. EVB_EINVAL: NULL bus, or an id of 0 or less. EVB_EFORKED: the bus was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_off(evb_bus *bus, int64_t id);

/* Removes a listener and waits until it runs on no other thread: then user may be freed. It waits for the
 * emits that could still see the listener: those under way on topics that its pattern matches, so for their
 * other listeners too; emits on other topics do not delay it, unless they are nested more than 8 deep. So
 * hold no lock that a listener of these topics, or a free_user that is due, takes.
 *
 * Parameters: as evb_off.
 * Returns: EVB_OK: the listener is not running and never will again.
 * Ownership: user is the caller's again; a free_user has run.
 * Threads: any thread, not from a callback.
 * Cost: may block (while such emits run elsewhere); may allocate (as evb_off); may make system calls (membarrier, and
 *   to sleep).
 * Errors: EVB_EDEADLK: inside an evbus callback; the listener is removed as by evb_off, nothing was waited
 *   for. EVB_ENOTFOUND: no live listener has this id. When it was removed before and still runs elsewhere,
 *   that has been waited for all the same, but not inside a callback. EVB_EINVAL, EVB_EFORKED: as evb_off.
 * Since: 0.1.0
 */
EVB_API int32_t evb_off_wait(evb_bus *bus, int64_t id);

/* Removes all listeners of one pattern, or of the bus, without waiting. Queues stay. Node's
 * removeAllListeners().
 *
 * Parameters: bus: not NULL. pattern: exactly the text they were registered with ("a.*" does not remove
 *   "a.b"); NULL = every listener.
 * Returns: how many were removed, monitors included; 0 when there were none.
 * Ownership: users are given back by free_user, see evb_listen.
 * Threads: any thread.
 * Cost: does not block; may allocate (as evb_off); may make system calls (membarrier).
 * Errors: EVB_EINVAL: NULL bus, or a pattern that is not valid in the dialect. EVB_EFORKED: the bus was made
 *   before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_off_all(evb_bus *bus, const char *pattern);

/* Removes all listeners registered with this owner, without waiting: what an object does when it goes away.
 *
 * Parameters: bus: not NULL. owner: as in evb_listen_opts, not NULL.
 * Returns: how many were removed, monitors included; 0 when there were none.
 * Ownership: users are given back by free_user, see evb_listen.
 * Threads: any thread.
 * Cost: does not block (work in proportion to the owner's listeners); may allocate (as evb_off); may make system
 *   calls (membarrier).
 * Errors: EVB_EINVAL: NULL bus or owner. EVB_EFORKED: the bus was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_off_owner(evb_bus *bus, const void *owner);

/* ---- Calls: look at who listens ------------------------------------------------------------------------ */

/* Tells how many an emit on this topic would reach if no filter refused: listeners of literal and wildcard
 * patterns, and queues.
 *
 * Parameters: bus: not NULL. topic: a name that evb_emit accepts.
 * Returns: listeners, monitors not counted, plus queued subscriptions; a moment later it may be another
 *   number.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (work in proportion to the count); does not allocate; may make system calls
 *   (membarrier).
 * Errors: EVB_EINVAL: a NULL argument, or a name that evb_emit refuses. EVB_ECLOSED: the bus is being
 *   destroyed. EVB_EFORKED: the bus was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_listener_count(evb_bus *bus, const char *topic);

/* Walks over the patterns that have live listeners or queues, each once, the one with the oldest listener
 * first. Node's eventNames(). The walk is over a copy made at the start: fn may register and remove.
 *
 * Parameters: bus, fn: not NULL. fn gets the pattern, how many live listeners it has (monitors and queues
 *   included) and user; non-zero stops.
 * Returns: 0, or what fn returned to stop.
 * Ownership: the pattern's text is valid until fn returns.
 * Threads: any thread.
 * Cost: does not block; allocates (the copy); may make system calls (membarrier).
 * Errors: EVB_EINVAL: NULL bus or fn. EVB_ENOMEM: no memory for the copy. EVB_ECLOSED: the bus is being
 *   destroyed. EVB_EFORKED: the bus was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_patterns(evb_bus *bus, int32_t (*fn)(const char *pattern, uint32_t listeners, void *user),
                             void *user);

/* Tells whether a pattern matches a topic, without a bus. Neither the tokens nor the # of AMQP are limited in
 * number here.
 *
 * Parameters: dialect: EVB_TOPICS_*. pattern, topic: not NULL, up to 255 bytes. In DOT "$" has no meaning
 *   here.
 * Returns: 1 or 0.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls. Time at most pattern bytes x
 *   topic bytes, also with many wildcards.
 * Errors: EVB_EINVAL: a NULL argument, an unknown dialect, or a name that is not valid in it: see TOPICS AND
 *   PATTERNS.
 * Since: 0.1.0
 */
EVB_API int32_t evb_topic_matches(uint32_t dialect, const char *pattern, const char *topic);

/* ---- Publishing: options ------------------------------------------------------------------------------- */

/* evb_publish_opts.flags */
enum {
    EVB_MANDATORY = 1, /* no queue that wants it and no listener, monitors not counted: EVB_ENOROUTE */
    EVB_RETAIN = 2,    /* the topic keeps the event for newcomers; an empty payload clears. 65 536 topics */
    EVB_NOWAIT = 4,    /* a full queue with EVB_OVERFLOW_BLOCK refuses instead of blocking */
    EVB_DURABLE = 8    /* persisted, and fdatasync'ed before the call returns, whatever the store's level */
};

typedef struct evb_publish_opts {
    uint32_t struct_size;      /* sizeof(evb_publish_opts), or 0 */
    uint32_t flags;            /* EVB_MANDATORY, EVB_RETAIN, EVB_NOWAIT, EVB_DURABLE */
    const void *key;           /* which thing the event is about, copied; NULL = none */
    uint32_t key_len;          /* bytes of key, up to 255; 0 with a key is a key, too */
    uint32_t header_count;     /* entries of headers */
    const evb_header *headers; /* up to 8 KiB in all; copied */
    int64_t delay_ns;          /* delivered later, up to 10 years, to queues only, not with a key. 0 = now */
    int64_t ttl_ns;            /* then it expires unless in flight; a queue's ttl_ns may be less. 0 = never */
    int64_t timeout_ns;        /* for all waiting for full blocking queues; 0 = no limit, see EVB_NOWAIT */
    const char *dedup_id;      /* 1 to 255 bytes, copied; see DUPLICATES. NULL = never one */
    const char *stream;        /* persisted, in this stream; NULL = in the topic's, if it is persisted */
    uint64_t *ret_sequence;    /* the event's sequence; of a duplicate: the first one's. May be NULL */
    uint64_t *ret_position;    /* its position in the store; 0: not persisted, or a duplicate. May be NULL */
    char *ret_refused;         /* when a queue refuses: the subscription's name, cut. May be NULL */
    uint32_t refused_cap;      /* bytes at ret_refused, NUL included */
    uint32_t reserved;         /* 0 */
} evb_publish_opts;

/* RETAINED EVENTS. With EVB_RETAIN the topic keeps the event: the last one, until an empty payload clears it
 * (which is published as any other), its ttl_ns is over, or it is the oldest of more than 65 536 topics. A
 * publish that fails changes nothing. A delay is EVB_EINVAL. Whoever comes later, a listener inside evb_on and
 * its kin, a queue with its first member, gets what the topics of its pattern keep, in order of publication,
 * marked EVB_EVENT_RETAINED, before anything else. While others publish with EVB_RETAIN it gets each event
 * once, shown or as everybody gets it, and of a topic never an older one after a newer; values that are
 * replaced before they are shown are left out. (Only if new ones have kept coming for 64 turns is it let in
 * before it has seen the last of them.) A queue drops by its overflow policy what does not fit, rejecting and
 * blocking ones the newer; dropped ones are counted. */

/* DUPLICATES. A publish whose dedup_id has been published before, on whatever topic of the bus, is a
 * duplicate: it answers 0 with the first one's sequence, reaches nobody, and EVB_MANDATORY does not apply to
 * it. An id is remembered when its publish has succeeded (also if it reached nobody), before the listeners
 * run; one that failed is not. The window is the last dedup_window ids of the bus and two minutes of the
 * monotonic clock, whichever is less. Of several threads that publish one id at the same time one goes first
 * and the others wait, up to their timeout_ns, for what becomes of it; with EVB_NOWAIT and inside a callback
 * they get EVB_EAGAIN instead. An id takes its bytes and about 60 more. */

/* One event of evb_publish_many. Its layout is frozen. */
typedef struct evb_message {
    const char *topic;         /* not NULL */
    const void *data;          /* may be NULL when size is 0 */
    size_t size;               /* bytes */
    const void *key;           /* as in evb_publish_opts */
    uint32_t key_len;          /* as in evb_publish_opts */
    uint32_t header_count;     /* as in evb_publish_opts */
    const evb_header *headers; /* as in evb_publish_opts */
    uint64_t reserved[2];      /* 0 */
} evb_message;

/* ---- Calls: emit by name ------------------------------------------------------------------------------- */

/* Calls every listener whose pattern matches the topic, in this thread, and returns when they have returned.
 * Node's emit(), with a count. The event has no key, headers, sequence or time. A name that nobody registered
 * or opened is looked up and not kept. A listener that is removed while emits can see it is cleaned up by the
 * last of them as it leaves, which may run its free_user.
 *
 * Parameters: bus: not NULL. topic: valid in the dialect, without wildcards, see TOPICS AND PATTERNS. data:
 *   size bytes; may be NULL when size is 0. size: up to max_payload_bytes.
 * Returns: how many listeners were called, plus, when there are queues, groups that took the event: 0 =
 *   nobody. Monitors, listeners whose filter refused, onces that another emit won, and queues that
 *   dropped the event are not counted. A listener's own result does not matter here.
 * Ownership: data stays the caller's and must not change until this returns; only queues copy it.
 * Threads: any thread.
 * Cost: does not block (takes no lock; one that leaves something to clean up, a once that fired or a listener
 *   removed under its eyes, does so if the bus' lock is free and may wait for a walk over the reader slots,
 *   never for user code); does not allocate (but see EVB_ENOMEM); no system calls (but cleaning up may call
 *   membarrier, and a hook that hears of a listener's error is told the time). One hash look-up more than evb_topic_emit; where nobody
 *   has registered or opened the name itself, also a match against all wildcards. A topic with queues or a
 *   store costs as evb_publish.
 * Errors: EVB_EINVAL: NULL bus or topic, data NULL with size above 0, or a name that is not valid in the
 *   dialect or, in DOT, begins with "$". EVB_ETOOBIG: size is above max_payload_bytes. EVB_ERECURSION: 64
 *   emits of this thread are under way, on any bus, or a hook emits (an emit on a topic that nobody listens to
 *   may answer 0 all the same). EVB_ECLOSED: the bus is being destroyed.
 *   EVB_EFORKED: the bus was made before fork. EVB_ENOMEM: only when more than 64 threads emit at the same
 *   time, for the first emit of a thread, if the allocator refuses. With queues or a store also as evb_publish
 *   without options.
 * Since: 0.1.0
 */
EVB_API int32_t evb_emit(evb_bus *bus, const char *topic, const void *data, size_t size);

/* ---- Calls: publish ------------------------------------------------------------------------------------ */

/* Publishes an event to the queues and then to the listeners of its topic: evb_emit with options. All or
 * nothing: room is reserved in every matching queue first, and if one refuses, nobody is reached. Order:
 * validate; queue filters; duplicate?; reserve; sequence and append to the store if the topic is persisted;
 * hand over; listeners. (RabbitMQ would fill the queues that have room and refuse the publish.) A
 * publisher that waits for a blocking queue has nothing reserved anywhere; when there is room it starts
 * again. A delayed event reaches queues only.
 *
 * Parameters: bus, topic, data, size: as evb_emit. opts: may be NULL.
 * Returns: listeners called (as evb_emit counts) plus groups that took the event; 0 for a duplicate.
 * Ownership: payload, key and headers are copied once and shared by all queues. Listeners see the
 *   publisher's own, also where queues have their copy: nothing may change until this returns.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block (a full queue with EVB_OVERFLOW_BLOCK, an append that waits for the disk); may allocate
 *   (when a queue matches); may make system calls (to wake a worker).
 * Errors: EVB_EFULL: a rejecting queue is full, or a blocking one with EVB_NOWAIT; named in ret_refused,
 *   as for the next two. EVB_ETIMEDOUT: a blocking one stayed full, or another publish of dedup_id took as
 *   long. EVB_EDEADLK: would wait inside a callback. EVB_EAGAIN: another thread is publishing dedup_id, and
 *   this one may not wait: EVB_NOWAIT, or inside a callback. EVB_ENOROUTE: nobody there and EVB_MANDATORY.
 *   EVB_ECLOSED: draining or destroyed. EVB_ETOOBIG: payload, key, headers or dedup_id above their limit, or
 *   above what a queue can ever hold, which is named, too. EVB_EINVAL: as evb_emit, an unknown flag, a
 *   negative time, a delay with a key, with EVB_RETAIN or above ten years, a key or value that is NULL with a length, a header
 *   without name, an empty dedup_id, EVB_DURABLE or stream without a store, a stream that is empty or
 *   above 255 bytes. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not append (evb_store_append says
 *   why; EVB_ETOOBIG and EVB_EAGAIN may be its answers, too): nobody got it. EVB_ENOMEM: no memory for the copy. EVB_ERECURSION,
 *   EVB_EFORKED: as evb_emit. EVB_ENOTSUP: struct_size as in base.h; what is not in 0.1.0, see the top.
 * Since: 0.1.0
 */
EVB_API int32_t evb_publish(evb_bus *bus, const char *topic, const void *data, size_t size,
                            const evb_publish_opts *opts);

/* Publishes n events as one: one reservation a queue, one append, one sync; all or none. Every queue
 * takes its events in the order of the messages. The listeners run when all queues have theirs, message
 * by message.
 *
 * Parameters: bus: not NULL. msgs: n messages; NULL only when n is 0; n up to 16 777 216. opts: for all
 *   of them together: flags (EVB_MANDATORY: somebody for each), delay_ns, timeout_ns, ret_refused. key
 *   and headers are not used, each message has its own; nor is dedup_id. ret_sequence: of the last
 *   message that a queue was offered, 0 = of none; theirs rise by one from message to message. May be
 *   NULL.
 * Returns: the sum of what evb_publish would have answered for each, at most INT32_MAX. A listener that
 *   destroys the bus ends it: the queues have everything, the later messages' listeners are not called.
 * Ownership: everything is copied.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block; may allocate; may make system calls: as evb_publish.
 * Errors: EVB_EFULL, EVB_ETIMEDOUT, EVB_EDEADLK, EVB_ENOROUTE, EVB_ECLOSED, EVB_ETOOBIG, EVB_EINVAL,
 *   EVB_ENOSPC, EVB_EIO, EVB_EPOISONED, EVB_ENOMEM, EVB_ERECURSION, EVB_EFORKED, EVB_ENOTSUP: as evb_publish,
 *   of any message.
 * Since: 0.1.0
 */
EVB_API int32_t evb_publish_many(evb_bus *bus, const evb_message *msgs, uint32_t n,
                                 const evb_publish_opts *opts);

/* ---- Calls: topics as handles, the fast path ----------------------------------------------------------- */

/* Opens a topic: a handle for names that are used again and again. Opening a name twice gives the same
 * handle; each open needs its close.
 *
 * Parameters: bus: not NULL. topic: a name that evb_emit accepts. ret_topic: not NULL.
 * Returns: EVB_OK.
 * Ownership: one reference of the caller's, until evb_topic_close. topic is copied. The handle may outlive
 *   the bus: it then answers EVB_ECLOSED.
 * Threads: any thread.
 * Cost: does not block; allocates (when nobody knows the name yet); may make system calls (membarrier).
 * Errors: EVB_EINVAL: a NULL argument, or a name that evb_emit refuses. EVB_ENOMEM: no memory. EVB_EFULL:
 *   opened 4 294 967 295 times. EVB_ECLOSED: the bus is being destroyed. EVB_EFORKED: the bus was made before
 *   fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_topic_open(evb_bus *bus, const char *topic, evb_topic **ret_topic);

/* Emits on an opened topic: evb_emit without the look-up. Wildcards cost nothing here.
 *
 * Parameters: topic: not NULL. data, size: as evb_emit.
 * Returns: as evb_emit.
 * Ownership: as evb_emit.
 * Threads: any thread.
 * Cost: does not block (takes no lock, as evb_emit); does not allocate (but see EVB_ENOMEM at evb_emit); no
 *   system calls (but as evb_emit).
 * Errors: EVB_EINVAL: NULL topic, or data NULL with size above 0. EVB_ECLOSED: the bus has been destroyed.
 *   EVB_ETOOBIG, EVB_ERECURSION, EVB_EFORKED, EVB_ENOMEM: as evb_emit.
 * Since: 0.1.0
 */
EVB_API int32_t evb_topic_emit(evb_topic *topic, const void *data, size_t size);

/* Publishes on an opened topic: evb_publish without the look-up.
 *
 * Parameters: topic: not NULL. data, size, opts: as evb_publish.
 * Returns: as evb_publish.
 * Ownership: everything is copied.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block; may allocate; may make system calls: as evb_publish.
 * Errors: EVB_EFULL, EVB_ETIMEDOUT, EVB_EDEADLK, EVB_EAGAIN, EVB_ENOROUTE, EVB_ECLOSED, EVB_ETOOBIG, EVB_EINVAL,
 *   EVB_ENOSPC, EVB_EIO, EVB_EPOISONED, EVB_ENOMEM, EVB_ERECURSION, EVB_EFORKED, EVB_ENOTSUP: as evb_publish.
 * Since: 0.1.0
 */
EVB_API int32_t evb_topic_publish(evb_topic *topic, const void *data, size_t size,
                                  const evb_publish_opts *opts);

/* Gives one reference of a topic handle back. The name is forgotten when nobody holds it and no listener
 * names it.
 *
 * Parameters: topic: NULL is nothing. In a forked child an inherited handle is left alone.
 * Ownership: the reference ends here; with the last one the handle.
 * Threads: any thread; owner for the last close: no other thread may be inside a call on this handle. One of
 *   its listeners may do it.
 * Cost: does not block; may allocate (as evb_off); may make system calls (membarrier).
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_topic_close(evb_topic *topic);

/* ---- Calls: payloads written in place ------------------------------------------------------------------ */

/* Lends memory of the library to write a payload into, so that publishing it copies nothing.
 *
 * Parameters: bus: not NULL. size: bytes, up to max_payload_bytes. ret_data: not NULL; aligned for any type.
 * Returns: EVB_OK.
 * Ownership: the caller's until evb_publish_loan succeeds or evb_loan_cancel. It keeps the memory of the
 *   bus, so that both may still be called when the bus has ended.
 * Threads: any thread.
 * Cost: does not block; allocates; no system calls.
 * Errors: EVB_ETOOBIG: above max_payload_bytes. EVB_ENOMEM: no memory. EVB_EINVAL: a NULL argument.
 *   EVB_ECLOSED: the bus is draining or destroyed. EVB_EFORKED: the bus was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_loan(evb_bus *bus, size_t size, void **ret_data);

/* Publishes a loan: evb_publish without the copy.
 *
 * Parameters: bus, topic, opts: as evb_publish. data: from evb_loan of the same bus. size: bytes used, up to
 *   those lent.
 * Returns: as evb_publish.
 * Ownership: on success, 0 included, the loan is the bus'; on failure it stays the caller's.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block; may allocate; may make system calls: as evb_publish.
 * Errors: EVB_EFULL, EVB_ETIMEDOUT, EVB_EDEADLK, EVB_EAGAIN, EVB_ENOROUTE, EVB_ECLOSED, EVB_ETOOBIG, EVB_EINVAL,
 *   EVB_ENOSPC, EVB_EIO, EVB_EPOISONED, EVB_ENOMEM, EVB_ERECURSION, EVB_EFORKED, EVB_ENOTSUP: as
 *   evb_publish; EVB_EINVAL also for more than was lent, and for data that is no loan of this bus, as far
 *   as the 16 bytes before it can tell.
 * Since: 0.1.0
 */
EVB_API int32_t evb_publish_loan(evb_bus *bus, const char *topic, void *data, size_t size,
                                 const evb_publish_opts *opts);

/* Gives a loan back unpublished.
 *
 * Parameters: bus: where it came from. data: the loan; NULL is nothing.
 * Ownership: ends here. What is no loan (published or canceled before) is left alone, as far as it can be
 *   told.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_loan_cancel(evb_bus *bus, void *data);

/* ---- Calls: keep an event, look into it ---------------------------------------------------------------- */

/* Keeps an event beyond the callback that got it. An event that only listeners get is copied for that, one
 * that queues hold too is counted.
 *
 * Parameters: ev: the pointer the callback was given, or one retained before; not NULL.
 * Returns: the kept event: one retained before is counted and comes back as it is, any other gets an
 *   address of its own. NULL = no memory.
 * Ownership: the caller's until evb_event_release; it may outlive the bus.
 * Threads: any thread.
 * Cost: does not block; may allocate; no system calls.
 * Errors: NULL: ev is NULL, or no memory.
 * Since: 0.1.0
 */
EVB_API const evb_event *evb_event_retain(const evb_event *ev);

/* Gives a kept event back. One that was not kept, as a callback got it, is left alone.
 *
 * Parameters: ev: from evb_event_retain or evb_request; NULL is nothing.
 * Ownership: ends here.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_event_release(const evb_event *ev);

/* Tells when an event was published.
 *
 * Parameters: ev: the pointer the callback was given, or one retained; NULL answers 0.
 * Returns: nanoseconds since 1970 by the realtime clock, as of the kernel's last tick (a few
 *   milliseconds), of a replayed one by that of the store; 0 for an event that only listeners get: no
 *   clock is read for it.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API int64_t evb_event_time_ns(const evb_event *ev);

/* Finds a header of an event by its name.
 *
 * Parameters: ev: the pointer the callback was given, or one retained. name: not NULL. ret_len: bytes of the
 *   value, may be NULL.
 * Returns: the value, the first one if there are several; NULL = no such header. An event of an emit has
 *   none.
 * Ownership: the event's; valid as long as it.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: NULL: a NULL argument, or no such header; ret_len is untouched.
 * Since: 0.1.0
 */
EVB_API const void *evb_event_header(const evb_event *ev, const char *name, uint32_t *ret_len);

/* ---- Calls: request and reply -------------------------------------------------------------------------- */

/* Publishes a request and waits for the first reply. NATS' request-reply, without a reply topic to invent:
 * the event has EVB_EVENT_REQUEST in its flags, and whoever gets it may answer with evb_reply: a listener or
 * a handler at once, anybody later, in any thread, with the event deferred, pulled or retained. Everything
 * else about it is as of any other event: a queue's handler that replies and then fails gets it again.
 * A responder is whoever evb_publish would have counted: a listener that is no monitor and whose filter
 * agrees, a group that took the event and did not drop it. Who was not counted may reply all the same.
 * While the bus drains, requests that wait go on waiting, because what the drain waits for may reply. When
 * the drain is over, done or out of time, whoever has no reply by then goes home with EVB_ECLOSED. (A drain
 * with a timeout of 0 that answers EVB_EAGAIN is not over.) evb_bus_destroy sends home whom it still finds
 * waiting when its queues have ended.
 *
 * Parameters: bus, topic, data, size: as evb_publish. timeout_ns: nanoseconds for all of it, waiting for room
 *   in blocking queues included, or EVB_FOREVER; 0 is EVB_EINVAL. ret_reply: the reply, not NULL.
 * Returns: EVB_OK.
 * Ownership: *ret_reply is the caller's until evb_event_release, and may outlive the bus: an event of its own
 *   with the request's topic, the reply's data and time, sequence 0. A reply that comes too late is dropped
 *   and counted.
 * Threads: any thread, not from a callback.
 * Cost: may block; allocates; may make system calls (to sleep).
 * Errors: EVB_ENORESPONDERS: there is no responder, said at once. EVB_ETIMEDOUT: no reply in time, or no room
 *   in a blocking queue. EVB_EDEADLK: inside a callback; nothing is published. EVB_ECLOSED: draining or
 *   destroyed, or that was over before a reply came. EVB_EFULL, EVB_ETOOBIG, EVB_EINVAL, EVB_ENOMEM,
 *   EVB_ENOSPC, EVB_EIO, EVB_EPOISONED, EVB_EFORKED: as evb_publish; EVB_ENOMEM also when 65 528 requests of
 *   this bus wait.
 * Since: 0.1.0
 */
EVB_API int32_t evb_request(evb_bus *bus, const char *topic, const void *data, size_t size,
                            int64_t timeout_ns, const evb_event **ret_reply);

/* Answers a request (EVB_EVENT_REQUEST in its flags). The first reply wins. It does not settle the event.
 *
 * Parameters: request: the event as the listener, handler or evb_sub_next got it, as long as it is valid
 *   there, or retained, as long as you like: also when nobody waits any more, or the bus has ended. data:
 *   size bytes; may be NULL when size is 0.
 * Returns: EVB_OK: it was in time, the requester gets it.
 * Ownership: data is copied. The request stays what it was.
 * Threads: any thread.
 * Cost: does not block; may allocate; may make system calls (to wake the requester).
 * Errors: EVB_ESTALE: replied already, or nobody waits any more. EVB_ENOTSUP: not a request. EVB_EINVAL: NULL
 *   request, or data NULL with size above 0. EVB_ETOOBIG: above max_payload_bytes. EVB_ENOMEM: no memory.
 *   EVB_ECLOSED: the bus was destroyed. EVB_EFORKED: the bus was made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_reply(const evb_event *request, const void *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif
