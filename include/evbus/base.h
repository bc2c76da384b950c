/* SPDX-License-Identifier: MIT */
/* evbus/base.h: what all parts share: version, status codes, events, callbacks, allocator, log, hooks.
 *
 * evbus is an event bus inside one process: a C library that a program links and calls directly. The parts
 * are evb_ring (ring.h), evb_pool (pool.h), evb_bus (bus.h), evb_sub (queue.h) and evb_store (store.h);
 * schema.h and stats.h help them. <evbus.h> is all of it. This header also says how to read the others: the
 * headers are the manual.
 *
 * CONVENTIONS
 * - Results are int32_t or int64_t: zero or more is success (EVB_OK, a count or an id), negative is an EVB_E*
 *   code. Counts saturate at INT32_MAX. An error means that nothing was done; partial success is a count.
 *   There is no errno contract and no "last error" to fetch.
 * - Outputs come last and are named ret_*. They may be NULL unless the text says otherwise, and stay
 *   untouched on failure.
 * - Timeouts are int64_t nanoseconds. EVB_FOREVER waits without limit. 0 tries once and answers with the
 *   state's own code (EVB_EFULL, EVB_EEMPTY, EVB_EAGAIN). A positive timeout that has run out answers
 *   EVB_ETIMEDOUT. Other negative values are EVB_EINVAL.
 * - Option structs: NULL means all defaults, and so does zero in a field; UINT32_MAX or INT64_MAX means "off"
 *   or "no limit" where the field says so. struct_size = 0 is read as the layout of the first release, so
 *   that &(evb_bus_opts){ .name = "shop" } just works; a program that uses fields added later sets sizeof.
 *   Any other size below that of the first release is EVB_EINVAL. A larger struct than the library knows is
 *   accepted when the part it does not know is all zero, else EVB_ENOTSUP. Structs that the library fills in
 *   begin with a struct_size that the caller sets, and are filled up to it.
 * - Names (topics, patterns, subscriptions) are bytes in NUL-terminated strings; evbus does not interpret an
 *   encoding.
 * - Calls that copy text or bytes out return the number of bytes needed, without the NUL; they write at most
 *   cap bytes and end text with NUL when cap > 0.
 * - A callback that an iterating call gets stops the walk by returning non-zero; the call returns that value.
 * - Handles are opaque pointers; ids of listeners, timers and deliveries are numbers, and a stale one is
 *   refused.
 *
 * THE WORDS OF EACH ENTRY
 * Every function has one sentence, then: Parameters, Returns, Ownership, Threads, Cost, Errors, Since.
 * - Threads is one of "any thread" (at any time, also inside callbacks) and "owner" (the caller sees to it
 *   that no other thread uses the object, or that end of it, at the same time), with "not from a callback"
 *   added for calls that wait: inside an evbus callback they answer EVB_EDEADLK instead of waiting. An evbus
 *   callback is a listener, a filter, a queue handler, a hook, a free_user function, the log function, or the
 *   callback of an iterating call; of any bus.
 * - Cost says whether the call blocks, whether it allocates, whether it makes system calls. "Does not block"
 *   means: it waits for no event, no timeout and no user code. It may still take a lock that the library
 *   holds for bookkeeping only; where even that never happens, the text says "takes no lock".
 * - "Status: not in 0.1.0" marks a function that is declared and exported but arrives in a later version.
 *   Until then it answers as that line says and does nothing: it looks at no argument and writes nothing.
 *
 * GUARANTEES
 * - The library never aborts the process, never writes to stdout, installs no signal handler, opens no file
 *   and starts no thread unless a call says so.
 * - Failure to allocate is EVB_ENOMEM without partial effect; all memory comes from one allocator that can be
 *   replaced.
 * - No lock is held while user code runs: a callback may call any function whose entry allows it. The
 *   allocator's functions are the exception, see there.
 * - The numbers of status codes and constants never change; option and event structs grow at their end only.
 *
 * WHAT IT DOES NOT DO
 * - It does not reach other processes or machines: put a socket behind a listener or a queue.
 * - It does not protect itself from its user: a listener with a wild pointer takes the process with it.
 * - No function is async-signal-safe.
 *
 * CAVEATS
 * - fork: the child inherits the memory, not the threads. Every handle made before the fork answers
 *   EVB_EFORKED in the child; void calls on it do nothing and its memory stays. New objects may be made in
 *   the child. exec needs no care.
 * - Signals: do not call evbus from a signal handler. Write to a pipe or an eventfd there and emit from the
 *   thread that reads it. Threads that the library starts block every signal.
 * - Threads: none needs to be registered; what a thread used is given back when it ends. Callbacks must
 *   return: leaving one by longjmp or a C++ exception is not supported. A thread that ends inside a callback
 *   (pthread_exit, cancellation) takes its emits with it; nobody waits for them for ever. It must not end
 *   inside a free_user or the function of evb_patterns.
 * - exit: there is no atexit handler that frees anything; other threads may be inside evbus while the process
 *   exits.
 * - dlclose: destroy every object and let every call return first. Threads that have used the library may
 *   live on.
 *
 * A PROGRAM
 *
 *     #include <evbus/base.h>
 *     #include <stdio.h>
 *
 *     static void my_log(int32_t level, const char *name, const char *line, void *user)
 *     {
 *         fprintf((FILE *)user, "level %d, %s: %s\n", (int)level, name, line);
 *     }
 *
 *     int main(void)
 *     {
 *         if (evb_version() < EVB_VERSION_NUM) return 1; // linked against an older library than compiled for
 *         evb_set_log(my_log, stderr, EVB_LOG_INFO);
 *         printf("%s is %d\n", evb_err_name(EVB_EFULL), EVB_EFULL);
 *         return 0;
 *     }
 *
 * It prints:
 *
 *     EVB_EFULL is -3
 */
#ifndef EVBUS_BASE_H
#define EVBUS_BASE_H

#ifndef EVB_FFI /* a generator of bindings preprocesses the headers and brings these types itself */
#include <stddef.h>
#include <stdint.h>
#endif

/* In front of every function. It makes the symbol visible where the library is compiled with hidden
 * visibility. Define EVB_STATIC to build the library into something that must not export it, or EVB_API
 * itself: empty is fine. */
#ifndef EVB_API
#if defined(__GNUC__) && !defined(EVB_STATIC)
#define EVB_API __attribute__((visibility("default")))
#else
#define EVB_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version ------------------------------------------------------------------------------------------- */

/* Of these headers. Semantic versioning; before 1.0.0 a minor version may change behaviour, never a
 * declaration. */
#define EVB_VERSION_MAJOR 0
#define EVB_VERSION_MINOR 1
#define EVB_VERSION_PATCH 0
#define EVB_VERSION_NUM   (EVB_VERSION_MAJOR * 1000000 + EVB_VERSION_MINOR * 1000 + EVB_VERSION_PATCH)

/* ---- Status codes -------------------------------------------------------------------------------------- */

/* The one table of status codes: name, value, text. It makes the enum below, evb_err_name and evb_strerror; a
 * binding may use it too: EVB_STATUS_MAP(X) expands to X(name, value, text) for every row. Distinct codes
 * stand for distinct remedies. */
#define EVB_STATUS_MAP(X)                                                                          \
    X(EVB_OK,               0, "success")                                                          \
    X(EVB_EINVAL,          -1, "invalid argument")                                                 \
    X(EVB_ENOMEM,          -2, "out of memory")                                                    \
    X(EVB_EFULL,           -3, "full")                                                             \
    X(EVB_EEMPTY,          -4, "empty")                                                            \
    X(EVB_ETIMEDOUT,       -5, "timed out")                                                        \
    X(EVB_ECLOSED,         -6, "closed")                                                           \
    X(EVB_ECANCELED,       -7, "canceled")                                                         \
    X(EVB_EDEADLK,         -8, "would wait inside a callback")                                     \
    X(EVB_ENOROUTE,        -9, "no listener and no subscription matches")                          \
    X(EVB_ENOTFOUND,      -10, "not found")                                                        \
    X(EVB_EEXIST,         -11, "exists already")                                                   \
    X(EVB_ESTALE,         -12, "no longer valid: settled or redelivered")                          \
    X(EVB_ECONFLICT,      -13, "conflicts with the current version or options")                    \
    X(EVB_ETOOBIG,        -14, "too big")                                                          \
    X(EVB_ENOSPC,         -15, "no space left")                                                    \
    X(EVB_EIO,            -16, "input/output error")                                               \
    X(EVB_ECORRUPT,       -17, "stored data is damaged")                                           \
    X(EVB_EBUSY,          -18, "in use")                                                           \
    X(EVB_EFORKED,        -19, "object belongs to the parent process")                             \
    X(EVB_ESCHEMA,        -20, "schema mismatch")                                                  \
    X(EVB_ERECURSION,     -21, "nested too deep")                                                  \
    X(EVB_ENORESPONDERS,  -22, "nobody answers requests on this topic")                            \
    X(EVB_ETRUNCATED,     -23, "starts before the first kept position")                            \
    X(EVB_ENOTSUP,        -24, "not supported")                                                    \
    X(EVB_EPOISONED,      -25, "store has failed: open it again")                                  \
    X(EVB_EAGAIN,         -26, "try again")

enum evb_status {
#define EVB__STATUS_ENUM(name, value, text) name = value,
    EVB_STATUS_MAP(EVB__STATUS_ENUM)
#undef EVB__STATUS_ENUM
};

/* As a timeout: wait without limit. */
#define EVB_FOREVER ((int64_t)-1)

/* ---- Objects ------------------------------------------------------------------------------------------- */

typedef struct evb_ring evb_ring;       /* ring.h: bounded queue of fixed-size elements */
typedef struct evb_pool evb_pool;       /* pool.h: worker threads */
typedef struct evb_strand evb_strand;   /* pool.h: a serial lane of tasks */
typedef struct evb_bus evb_bus;         /* bus.h: topics and listeners */
typedef struct evb_topic evb_topic;     /* bus.h: interned topic, the fast path of emit */
typedef struct evb_sub evb_sub;         /* queue.h: queued subscription */
typedef struct evb_store evb_store;     /* store.h: event store */
typedef struct evb_reader evb_reader;   /* store.h: a read through the store */
typedef struct evb_schemas evb_schemas; /* schema.h: registry of payload types */
typedef struct evb_schema evb_schema;   /* schema.h: one version of one payload type */
typedef struct evb_generic evb_generic; /* schema.h: a decoded record, as an upcaster sees it */

/* ---- Events and callbacks ------------------------------------------------------------------------------ */

/* One event, as a callback sees it. The library makes it; the pointer and everything it leads to are valid
 * until the callback returns. Hand on the pointer you were given: the library keeps more behind it, and a
 * copied struct is not an event. The struct grows only at its end. */
typedef struct evb_event {
    const void *data;   /* payload; NULL only if size is 0. For listeners the publisher's own, no copy */
    size_t size;        /* bytes of data */
    const char *topic;  /* the name published to, NUL-terminated */
    uint32_t topic_len; /* bytes of topic, without the NUL: 0 to 255 */
    uint32_t flags;     /* EVB_EVENT_*, 0 in an emit */
    uint32_t attempt;   /* queues: 1 on the first delivery, one more on each redelivery; 0 for listeners */
    uint32_t key_len;   /* bytes of key: 0 to 255 */
    const void *key;    /* as published; NULL without one and in an emit */
    uint64_t sequence;  /* unique on its bus, rising per publishing thread; 0 when only listeners match */
    uint64_t position;  /* place in the bus' store; 0: not persisted */
} evb_event;

/* evb_event.flags */
enum {
    EVB_EVENT_REDELIVERED = 1, /* attempt > 1, or the process died while it was handled */
    EVB_EVENT_REPLAYING = 2,   /* read from the store by a subscription or replay not yet caught up */
    EVB_EVENT_RETAINED = 4,    /* kept by its topic (EVB_RETAIN) and handed to a newcomer */
    EVB_EVENT_REDRIVEN = 8,    /* has been a dead letter */
    EVB_EVENT_REQUEST = 16     /* somebody waits for evb_reply */
};

/* Receives an event: a listener (bus.h) or the handler of a queue (queue.h). user is the pointer given at
 * registration. Listeners return EVB_OK, or anything else to report an error (EVB_HOOK_ERROR): the other
 * listeners run all the same. For queues the result settles the event, see queue.h. */
typedef int32_t (*evb_handler)(const evb_event *ev, void *user);

/* Gives user back: runs exactly once, when no callback with this user runs or can run any more. On any thread
 * that uses the bus; it counts as an evbus callback. */
typedef void (*evb_free_fn)(void *user);

/* Asked before an event goes to a listener or a queue: non-zero = wanted. It counts as an evbus callback,
 * runs in the publisher's thread, possibly in several at once, and should only look. */
typedef int32_t (*evb_filter_fn)(const evb_event *ev, void *user);

/* One header of an event: a name and a value. Its layout is frozen. */
typedef struct evb_header {
    const char *name;   /* NUL-terminated */
    const void *value;  /* NULL only when value_len is 0 */
    uint32_t value_len; /* bytes; all headers of an event together at most 8 KiB */
    uint32_t reserved;  /* 0 */
} evb_header;

/* ---- Memory -------------------------------------------------------------------------------------------- */

/* Where all memory of the library comes from. The functions may run on any thread and while the library holds
 * its own locks: they must not call evbus. */
typedef struct evb_allocator {
    uint32_t struct_size; /* sizeof(evb_allocator), or 0 */
    uint32_t reserved;    /* 0 */
    /* size bytes at a multiple of align, a power of two, at least sizeof(void *); NULL = no memory. */
    void *(*alloc)(size_t size, size_t align, void *user);
    /* ptr from alloc, never NULL, with the size it was asked for. */
    void (*free)(void *ptr, size_t size, void *user);
    void *user; /* handed to both */
} evb_allocator;

/* ---- Log ----------------------------------------------------------------------------------------------- */

/* Levels of log lines, rising. */
enum {
    EVB_LOG_DEBUG = 0, /* every retry, every member that comes and goes */
    EVB_LOG_INFO = 1,  /* the life of stores and subscriptions */
    EVB_LOG_WARN = 2,  /* something to look at: a suspected leak, dropped events, a full queue */
    EVB_LOG_ERROR = 3, /* something has failed */
    EVB_LOG_NONE = 4   /* as a limit: nothing at all */
};

/* Receives one log line. name says what happened ("listener_leak_suspected"); line holds the pairs that go
 * with it, logfmt: key=value key="a value", at most 511 bytes, no newline. Both are valid until it returns.
 * It runs on the thread that caused the line, several at once if need be, with no lock held, and counts as an
 * evbus callback. At most 10 lines a second leave for each name; the next one says suppressed=N. What happens
 * inside the function itself is not logged, only counted. */
typedef void (*evb_log_fn)(int32_t level, const char *name, const char *line, void *user);

/* ---- Hooks --------------------------------------------------------------------------------------------- */

/* What a bus can tell as it happens, chosen by evb_bus_opts.hook_mask (1u << kind). 0.1.0 reports
 * EVB_HOOK_ERROR; the others belong to queues and the store. */
enum {
    EVB_HOOK_PUBLISH = 1,     /* an event was accepted; count: how many it reached */
    EVB_HOOK_ENQUEUE = 2,     /* a queue took an event */
    EVB_HOOK_DELIVER = 3,     /* an attempt begins */
    EVB_HOOK_SETTLE = 4,      /* an attempt ended; status: as the handler answered */
    EVB_HOOK_RETRY = 5,       /* an event waits for its next attempt */
    EVB_HOOK_DEAD_LETTER = 6, /* an event was given up; text: the reason */
    EVB_HOOK_DROP = 7,        /* a queue lost events to its overflow policy; count: how many */
    EVB_HOOK_ERROR = 8,       /* a listener returned non-zero; status: its value; text: the topic */
    EVB_HOOK_STATE = 9        /* drain, recovery, failure of the store; text: which */
};

/* What a hook gets: valid until it returns. Grows at its end; struct_size says how far the library filled it
 * in. */
typedef struct evb_hook_info {
    uint32_t struct_size;   /* how far the library has filled it in */
    int32_t kind;           /* EVB_HOOK_* */
    int32_t status;         /* an EVB_E* code or what the user's function returned; 0 if none */
    uint32_t count;         /* as the kind says, else 0 */
    evb_bus *bus;           /* where it happened */
    evb_sub *sub;           /* the subscription, or NULL */
    const evb_event *event; /* the event, or NULL */
    const char *text;       /* as the kind says, or NULL */
    int64_t time_ns;        /* realtime of the report */
} evb_hook_info;

/* The hook of a bus. It runs on the thread where the thing happened, with no lock held, and counts as an
 * evbus callback. It may not publish: emits inside it answer EVB_ERECURSION, so that an error about an error
 * cannot go round in circles. */
typedef void (*evb_hook_fn)(const evb_hook_info *info, void *user);

/* ---- Calls: what a status means ------------------------------------------------------------------------ */

/* Says in English what a status means.
 *
 * Parameters: status: any number.
 * Returns: text, never NULL; "unknown status" for numbers that are no status.
 * Ownership: static, never freed.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API const char *evb_strerror(int32_t status);

/* Names a status as the source spells it: "EVB_EFULL".
 *
 * Parameters: status: any number.
 * Returns: text, never NULL; "EVB_UNKNOWN" for numbers that are no status.
 * Ownership: static, never freed.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API const char *evb_err_name(int32_t status);

/* ---- Calls: which library is this ---------------------------------------------------------------------- */

/* Tells the version of the library that is linked, which may be newer than the headers compiled against.
 *
 * Parameters: none.
 * Returns: major * 1000000 + minor * 1000 + patch, as EVB_VERSION_NUM.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API uint32_t evb_version(void);

/* Tells the version of the library that is linked, as "0.1.0".
 *
 * Parameters: none.
 * Returns: text, never NULL.
 * Ownership: static, never freed.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API const char *evb_version_string(void);

/* ---- Calls: set up the process ------------------------------------------------------------------------- */

/* Replaces the allocator of the whole library. Possible until the first object is made, since memory goes
 * back to where it came from.
 *
 * Parameters: alloc: both functions set; NULL = the C library's again.
 * Returns: EVB_OK.
 * Ownership: the struct is copied; alloc->user must live as long as the library is used.
 * Threads: owner (before other threads use evbus).
 * Cost: does not block; does not allocate; no system calls.
 * Errors: EVB_EINVAL: a function is NULL. EVB_EBUSY: an object has been made already, also one destroyed
 *   since. EVB_ENOTSUP: struct_size is larger than this library knows and the unknown part is not zero.
 * Since: 0.1.0
 */
EVB_API int32_t evb_set_allocator(const evb_allocator *alloc);

/* Says where log lines go, for the whole library.
 *
 * Parameters: fn: receives every line from min_level on, without time, level and name; NULL = logfmt lines on
 *   stderr, as at the start. user: handed to fn. min_level: EVB_LOG_*, at the start EVB_LOG_WARN;
 *   EVB_LOG_NONE = no lines.
 * Ownership: user must live until the last line: another thread may still be inside the old fn when this
 *   returns.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_set_log(evb_log_fn fn, void *user, int32_t min_level);

#ifdef __cplusplus
}
#endif

#endif
