/* SPDX-License-Identifier: MIT */
/* The log sink: who gets a line, how many of a kind, and what it looks like on stderr. */
#include "base/log.h"

#include <evbus/base.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/atomic.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log_text.h"
#include "base/reader.h"
#include "base/thread.h"

/* ---- the sink: function, user and level, read as one without a lock ----
 *
 * A version that is odd while somebody writes. A reader takes the fields between two equal even versions, so
 * that a line costs no lock. A child of fork may find it odd for ever: evb__log_after_fork.
 */
struct log_sink {
    evb_log_fn fn; /* NULL: stderr */
    void *user;
};

static EVB__ATOMIC(uint32_t) log_sink_version;
static EVB__ATOMIC(evb_log_fn) log_sink_fn;
static EVB__ATOMIC(void *) log_sink_user;
static EVB__ATOMIC(int32_t) log_sink_level = EVB_LOG_WARN;

void evb_set_log(evb_log_fn fn, void *user, int32_t min_level)
{
    uint32_t version = evb__ld_rlx(&log_sink_version); /* relaxed: the CAS checks it */

    /* acqrel: one writer at a time, after all the one before wrote. Pairs with the release at the end. */
    while ((version & 1) != 0 || !evb__cas_acqrel(&log_sink_version, &version, version + 1)) {
        evb__thread_yield();
        version = evb__ld_rlx(&log_sink_version); /* relaxed: as above */
    }
    /* release each: who reads a new field sees the odd version at the latest. Pairs with the acquire loads in
     * log_sink_now. */
    evb__st_rel(&log_sink_fn, fn);
    evb__st_rel(&log_sink_user, user);
    evb__st_rlx(&log_sink_level, min_level); /* relaxed: read alone, before everything else */
    /* release: all fields first. Pairs with the first load in log_sink_now. */
    evb__st_rel(&log_sink_version, version + 2);
}

void evb__log_after_fork(void)
{
    uint32_t version = evb__ld_rlx(&log_sink_version); /* relaxed, all: the child has one thread */

    if ((version & 1) == 0) return;
    evb__st_rlx(&log_sink_fn, NULL);
    evb__st_rlx(&log_sink_user, NULL);
    evb__st_rel(&log_sink_version, version + 1); /* pairs with the first load in log_sink_now */
}

static struct log_sink log_sink_now(void)
{
    for (;;) {
        /* acquire: the fields of this version or newer. Pairs with the end of evb_set_log. */
        uint32_t before = evb__ld_acq(&log_sink_version);
        /* acquire, both: the version below is not read earlier, and a new field comes with the odd version.
         */
        evb_log_fn fn = evb__ld_acq(&log_sink_fn);
        void *user = evb__ld_acq(&log_sink_user);

        /* relaxed: ordered by the two acquires above. */
        if ((before & 1) == 0 && evb__ld_rlx(&log_sink_version) == before) return (struct log_sink){fn, user};
        evb__thread_yield(); /* the writer is a few stores away from its end */
    }
}

/* ---- the limit per name ---- */

#define LOG_LINES_PER_SECOND 10
#define LOG_NAMES            64 /* kinds of lines; SEMANTICS names about 25 */

/* window: milliseconds at which it began, 28 bits, and the lines in it, 4 bits. 32 bits, because 64-bit
 * atomics need a library on some 32-bit hosts. The milliseconds come round after three days: a kind of line
 * that was too loud and then silent for exactly that long may wait up to LOG_LATE_MS more. */
struct log_limit {
    EVB__ATOMIC(const char *) name;
    EVB__ATOMIC(uint32_t) window;
    EVB__ATOMIC(uint32_t) suppressed;
};
static struct log_limit log_limits[LOG_NAMES];

#define LOG_WINDOW(ms, lines) (((ms) << 4) | (lines))
#define LOG_WINDOW_MS(w)      ((w) >> 4)
#define LOG_WINDOW_LINES(w)   ((w)&15)
#define LOG_MS_MASK           UINT32_C(0x0fffffff)
#define LOG_LATE_MS           60000 /* how old the time in a thread's hand may be */

/* Names are told apart by their text: the same literal has several addresses in a program. */
static struct log_limit *log_limit_of(const char *name)
{
    uint64_t start = evb__hash(name, strlen(name), 0);

    for (uint32_t i = 0; i < LOG_NAMES; i++) {
        struct log_limit *limit = &log_limits[(start + i) % LOG_NAMES];
        /* acquire: the text of the one who came first. Pairs with the CAS below. */
        const char *seen = evb__ld_acq(&limit->name);

        if (seen == NULL && evb__cas_acqrel(&limit->name, &seen, name))
            return limit; /* pairs with the load */
        if (seen != NULL && strcmp(seen, name) == 0) return limit;
    }
    return &log_limits[start % LOG_NAMES]; /* table full: shares the limit of another name */
}

/* Is `now` in the window? It may lie before its beginning: another thread began the window while this one
 * stood between reading the clock and getting here. Without this case it would begin a window of its own, in
 * the past, and everybody could talk again. */
static bool log_in_window(uint32_t window, uint32_t now)
{
    uint32_t age = (now - LOG_WINDOW_MS(window)) & LOG_MS_MASK;

    return window != 0 && (age < 1000 || age > LOG_MS_MASK - LOG_LATE_MS);
}

/* May a line leave now? Then *ret_suppressed is how many did not since the last one. */
static bool log_limit_admits(struct log_limit *limit, uint32_t *ret_suppressed)
{
    uint32_t now = (uint32_t)((uint64_t)evb__clock_mono() / 1000000) & LOG_MS_MASK;
    uint32_t old = evb__ld_rlx(&limit->window); /* relaxed: counters, nothing is published by them */
    uint32_t new;

    do {
        if (!log_in_window(old, now)) {
            new = LOG_WINDOW(now, 1);
        } else if (LOG_WINDOW_LINES(old) < LOG_LINES_PER_SECOND) {
            new = old + 1;
        } else {
            (void)evb__add_rlx(&limit->suppressed, 1); /* relaxed: a counter */
            return false;
        }
    } while (!evb__cas_rlx(&limit->window, &old, new)); /* relaxed: as above */
    *ret_suppressed = evb__xchg_acqrel(&limit->suppressed, 0);
    return true;
}

void evb__log_reset_for_tests(void)
{
    for (uint32_t i = 0; i < LOG_NAMES; i++) {
        evb__st_rlx(&log_limits[i].name, NULL); /* relaxed, all three: tests, no other thread logs */
        evb__st_rlx(&log_limits[i].window, 0);
        evb__st_rlx(&log_limits[i].suppressed, 0);
    }
}

/* ---- stderr ---- */

/* Whoever reads our stderr may have gone: then the line is lost, but the process does not die of SIGPIPE for
 * a log line. */
static void log_write_quietly(const char *text, size_t size)
{
    sigset_t pipe_only, before, pending;
    const struct timespec at_once = {0, 0};
    bool was_pending;

    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    if (pthread_sigmask(SIG_BLOCK, &pipe_only, &before) != 0) return;
    was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    /* One write: lines of several threads and processes do not mix. Short or interrupted: a torn line is
     * better than a second try that lands elsewhere. */
    if (write(STDERR_FILENO, text, size) < 0 && errno == EPIPE && !was_pending) {
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void log_write_stderr(int32_t level, const char *name, const char *line)
{
    static const char *const level_names[] = {"debug", "info", "warn", "error"};
    char text[EVB__LOG_LINE + 160];
    int64_t now_ms = evb__clock_wall() / 1000000;
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    char stamp[40] = "";
    int size;

    if (gmtime_r(&seconds, &tm) != NULL) (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    size = snprintf(text, sizeof text, "ts=%s.%03dZ level=%s event=%.64s%s%s\n", stamp, (int)(now_ms % 1000),
                    level_names[level], name, line[0] != '\0' ? " " : "", line);
    if (size > 0) log_write_quietly(text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

/* ---- the call ---- */

/* Set while this thread is in the user's function: a line about a line would call it again, and again. */
static EVB__TLS_MODEL _Thread_local bool log_inside_sink;

void evb__log(int32_t level, const char *name, const char *format, ...)
{
    char line[EVB__LOG_LINE];
    struct log_limit *limit;
    struct log_sink sink;
    uint32_t suppressed;
    int saved = errno;
    va_list args;

    evb__assert(level >= EVB_LOG_DEBUG && level <= EVB_LOG_ERROR);
    /* relaxed: a line more or less while the level changes. */
    if (level < evb__ld_rlx(&log_sink_level)) return;
    limit = log_limit_of(name);
    if (log_inside_sink) {
        (void)evb__add_rlx(&limit->suppressed, 1); /* relaxed: a counter */
        return;
    }
    if (!log_limit_admits(limit, &suppressed)) return;

    va_start(args, format);
    evb__log_format(line, suppressed, format, args);
    va_end(args);
    sink = log_sink_now();
    if (sink.fn != NULL) {
        struct evb__self *self = evb__self();

        evb__callback_begin(self); /* waiting is refused inside */
        log_inside_sink = true;
        sink.fn(level, name, line, sink.user);
        log_inside_sink = false;
        evb__callback_end(self);
    } else {
        log_write_stderr(level, name, line);
    }
    errno = saved;
}
