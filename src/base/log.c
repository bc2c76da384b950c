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
#include "base/reader.h"
#include "base/thread.h"

/* ---- the sink: function, user and level, read as one without a lock ----
 *
 * A version that is odd while somebody writes. A reader takes the fields between two equal even versions. No
 * mutex: a child of fork would find it locked for ever when another thread was setting the sink.
 */
struct log_sink {
    evb_log_fn fn; /* NULL: stderr */
    void *user;
};

static EVB__ATOMIC(uint32_t) log_sink_version;
static EVB__ATOMIC(evb_log_fn) log_sink_fn;
static EVB__ATOMIC(void *) log_sink_user;
static EVB__ATOMIC(int32_t) log_sink_level = EVB_LOG_WARN;

#define LOG_SINK_TRIES 10000 /* then its writer is not there any more (fork): stderr gets the line */

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
    evb__st_rel(&log_sink_version,
                version + 2); /* all fields first; pairs with the first load in log_sink_now */
}

static struct log_sink log_sink_now(void)
{
    struct log_sink sink = {NULL, NULL};

    for (uint32_t i = 0; i < LOG_SINK_TRIES; i++) {
        uint32_t before = evb__ld_acq(
            &log_sink_version); /* the fields of this version or newer; pairs with evb_set_log's end */

        if ((before & 1) == 0) {
            evb_log_fn fn =
                evb__ld_acq(&log_sink_fn); /* acquire both: the version below is not read earlier */
            void *user = evb__ld_acq(&log_sink_user);

            if (evb__ld_rlx(&log_sink_version) == before) { /* relaxed: ordered by the two acquires above */
                sink.fn = fn;
                sink.user = user;
                break;
            }
        }
        evb__thread_yield();
    }
    return sink;
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
#define LOG_LATE_MS           60000 /* how old the time in a thread's hand may be when it looks at the window */

/* Names are told apart by their text: the same literal has several addresses in a program. */
static struct log_limit *log_limit_of(const char *name)
{
    uint64_t start = evb__hash(name, strlen(name), 0);

    for (uint32_t i = 0; i < LOG_NAMES; i++) {
        struct log_limit *limit = &log_limits[(start + i) % LOG_NAMES];
        const char *seen =
            evb__ld_acq(&limit->name); /* pairs with the CAS below: the text of the one who came first */

        if (seen == NULL && evb__cas_acqrel(&limit->name, &seen, name))
            return limit; /* acqrel: see the load above */
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

/* ---- text ---- */

/* Writes the escaped form of c to out (at most 4 bytes) and answers its length. */
static size_t log_escape(unsigned char c, char out[4])
{
    static const char hex[] = "0123456789abcdef";
    char letter = c == '\n'               ? 'n'
                  : c == '\t'             ? 't'
                  : c == '\r'             ? 'r'
                  : c == '"' || c == '\\' ? (char)c
                                          : '\0';

    if (letter != '\0') {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (c < 0x20 || c == 0x7f) {
        out[0] = '\\';
        out[1] = 'x';
        out[2] = hex[c >> 4];
        out[3] = hex[c & 15];
        return 4;
    }
    out[0] = (char)c;
    return 1;
}

/* The length of text without a UTF-8 character that was cut in two at its end. Bytes that are no UTF-8 stay.
 */
static size_t log_whole_chars(const char *text, size_t size, unsigned char next)
{
    size_t n = size;

    if ((next & 0xc0) != 0x80) return size; /* what follows begins a character */
    while (n > 0 && size - n < 3 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
        n--;
    return n > 0 && (unsigned char)text[n - 1] >= 0xc0 ? n - 1 : size;
}

const char *evb__log_quote(char *buf, size_t cap, const char *text, size_t size)
{
    size_t at = 1, fits = 1; /* fits: up to here "..." and the closing quote still have room after it */
    size_t i;

    evb__assert(cap >= 6);
    buf[0] = '"';
    for (i = 0; i < size; i++) {
        char esc[4];
        size_t n = log_escape((unsigned char)text[i], esc);

        if (at + n + 2 > cap) break;
        memcpy(buf + at, esc, n);
        at += n;
        if (at + 5 <= cap) fits = at;
    }
    if (i < size) {
        /* Escapes are never split: fits lies between two of them. The next byte is the one that stood there.
         */
        at = fits < at ? log_whole_chars(buf, fits, (unsigned char)buf[fits])
                       : log_whole_chars(buf, fits, (unsigned char)text[i]);
        memcpy(buf + at, "...", 3);
        at += 3;
    }
    buf[at] = '"';
    buf[at + 1] = '\0';
    return buf;
}

/* Cuts a line that vsnprintf has filled to the brim: "..." at its end, and the closing quote if a value is
 * open. */
static void log_cut(char *line, size_t cap)
{
    size_t keep = cap - 1 - 4;
    bool quoted = false;
    size_t i, unit;

    for (i = 0; i < keep; i += unit) {
        unit = 1;
        if (quoted && line[i] == '\\') unit = line[i + 1] == 'x' ? 4 : 2;
        if (i + unit > keep) break;
        if (line[i] == '"') quoted = !quoted;
    }
    i = log_whole_chars(line, i, (unsigned char)line[i]);
    memcpy(line + i, "...", 3);
    i += 3;
    if (quoted) line[i++] = '"';
    line[i] = '\0';
}

static void log_format_pairs(char line[EVB__LOG_LINE], uint32_t suppressed, const char *format, va_list args)
    EVB__PRINTF(3, 0);

static void log_format_pairs(char line[EVB__LOG_LINE], uint32_t suppressed, const char *format, va_list args)
{
    char tail[32] = "";
    size_t cap = EVB__LOG_LINE;
    int wrote;

    if (suppressed != 0)
        cap -= (size_t)snprintf(tail, sizeof tail, " suppressed=%lu", (unsigned long)suppressed);
    wrote = vsnprintf(line, cap, format, args);
    if (wrote < 0) {
        line[0] = '\0'; /* the format is ours: only a broken locale gets here */
    } else if ((size_t)wrote >= cap) {
        log_cut(line, cap);
    }
    /* A control character that came around evb__log_quote must not make two lines of one. */
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    }
    strcpy(line + strlen(line),
           tail[0] != '\0' && line[0] == '\0' ? tail + 1 : tail); /* room was left for it */
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
    if (level < evb__ld_rlx(&log_sink_level))
        return; /* relaxed: a line more or less while the level changes */
    limit = log_limit_of(name);
    if (log_inside_sink) {
        (void)evb__add_rlx(&limit->suppressed, 1); /* relaxed: a counter */
        return;
    }
    if (!log_limit_admits(limit, &suppressed)) return;

    va_start(args, format);
    log_format_pairs(line, suppressed, format, args);
    va_end(args);
    sink = log_sink_now();
    if (sink.fn != NULL) {
        struct evb__self *self = evb__self();

        self->callbacks++; /* waiting is refused inside */
        log_inside_sink = true;
        sink.fn(level, name, line, sink.user);
        log_inside_sink = false;
        self->callbacks--;
    } else {
        log_write_stderr(level, name, line);
    }
    errno = saved;
}
