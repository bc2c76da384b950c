/* SPDX-License-Identifier: MIT */
/* The log sink: who gets a line and what is in it, quoting and cutting, the limit per name, and a stderr that
 * is not there. */
#include "evb_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "base/log.h"
#include "base/reader.h"

#define SECOND INT64_C(1000000000)

/* ---- a sink that remembers ---- */

static struct {
    uint32_t lines;
    int32_t level;
    char name[64];
    char line[EVB__LOG_LINE];
    uint32_t callbacks;
} last;

static void remember(int32_t level, const char *name, const char *line, void *user)
{
    CHECK(strlen(line) < EVB__LOG_LINE);
    CHECK(strlen(name) < sizeof last.name);
    last.lines++;
    last.level = level;
    strcpy(last.name, name);
    strcpy(last.line, line);
    last.callbacks = evb__self()->callbacks;
    if (user != NULL) ++*(uint32_t *)user;
}

static void remember_from(int32_t min_level)
{
    memset(&last, 0, sizeof last);
    evb_set_log(remember, NULL, min_level);
}

/* ---- stderr as a row of datagrams: one write, one datagram ---- */

static struct {
    int saved[2], ends[2];
} captured;

static void capture(int fd)
{
    fflush(NULL);
    captured.saved[0] = dup(fd);
    EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, captured.ends), 0);
    CHECK(dup2(captured.ends[1], fd) == fd);
}

/* Ends the capture and answers the first datagram; *ret_more is how many bytes came after it. */
static const char *captured_text(int fd, size_t *ret_more)
{
    static char text[4096];
    ssize_t n, more;

    fflush(NULL);
    n = recv(captured.ends[0], text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    for (*ret_more = 0; (more = recv(captured.ends[0], text + sizeof text / 2, 1000, MSG_DONTWAIT)) > 0;)
        *ret_more += (size_t)more;
    (void)dup2(captured.saved[0], fd);
    (void)close(captured.saved[0]);
    (void)close(captured.ends[0]);
    (void)close(captured.ends[1]);
    return text;
}

/* ---- who gets a line ---- */

TEST(without_a_sink_a_line_is_one_write_of_logfmt_to_stderr)
{
    const char *text;
    size_t more;

    evb_test_clock_install(0);
    evb_test_clock_advance(1234567890); /* 1.234 s after the virtual clock's start */
    capture(STDERR_FILENO);
    evb__log(EVB_LOG_WARN, "queue_full", "depth=%d limit=%u", 5, 6u);
    text = captured_text(STDERR_FILENO, &more);
    EQ_STR(text, "ts=2026-01-01T00:00:01.234Z level=warn event=queue_full depth=5 limit=6\n");
    EQ(more, 0);
}

TEST(every_level_has_its_word)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};

    evb_set_log(NULL, NULL, EVB_LOG_DEBUG);
    for (int32_t level = EVB_LOG_DEBUG; level <= EVB_LOG_ERROR; level++) {
        char expected[32];
        const char *text;
        size_t more;

        (void)snprintf(expected, sizeof expected, " level=%s event=", words[level]);
        capture(STDERR_FILENO);
        evb__log(level, "x", "a=1");
        text = captured_text(STDERR_FILENO, &more);
        CHECK(strstr(text, expected) != NULL);
    }
}

TEST(a_line_without_pairs_ends_after_its_name)
{
    const char *text;
    size_t more;

    evb_test_clock_install(0);
    capture(STDERR_FILENO);
    evb__log(EVB_LOG_ERROR, "bare", "%s", "");
    text = captured_text(STDERR_FILENO, &more);
    EQ_STR(text, "ts=2026-01-01T00:00:00.000Z level=error event=bare\n");
}

TEST(nothing_ever_goes_to_stdout)
{
    const char *text;
    size_t more;

    capture(STDOUT_FILENO);
    evb__log(EVB_LOG_ERROR, "this_line_belongs_on_stderr", "a=1");
    text = captured_text(STDOUT_FILENO, &more);
    EQ_STR(text, "");
    EQ(more, 0);
}

TEST(by_default_warnings_and_errors_are_written)
{
    const char *text;
    size_t more;

    capture(STDERR_FILENO);
    evb__log(EVB_LOG_DEBUG, "x", "a=1");
    evb__log(EVB_LOG_INFO, "x", "a=2");
    text = captured_text(STDERR_FILENO, &more);
    EQ_STR(text, "");
    capture(STDERR_FILENO);
    evb__log(EVB_LOG_WARN, "x", "a=3");
    text = captured_text(STDERR_FILENO, &more);
    CHECK(strstr(text, "a=3") != NULL);
}

TEST(the_users_function_gets_level_name_and_pairs_and_stderr_nothing)
{
    uint32_t calls = 0;
    const char *text;
    size_t more;

    remember_from(EVB_LOG_INFO);
    evb_set_log(remember, &calls, EVB_LOG_INFO);
    capture(STDERR_FILENO);
    evb__log(EVB_LOG_INFO, "topic_created", "topic=%s", "\"a.b\"");
    text = captured_text(STDERR_FILENO, &more);
    EQ_STR(text, "");
    EQ(calls, 1);
    EQ(last.level, EVB_LOG_INFO);
    EQ_STR(last.name, "topic_created");
    EQ_STR(last.line, "topic=\"a.b\"");
}

TEST(lines_below_the_level_are_not_made)
{
    for (int32_t min = EVB_LOG_DEBUG; min <= EVB_LOG_NONE; min++) {
        evb__log_reset_for_tests();
        remember_from(min);
        for (int32_t level = EVB_LOG_DEBUG; level <= EVB_LOG_ERROR; level++)
            evb__log(level, "x", "a=1");
        EQ(last.lines, EVB_LOG_NONE - min);
    }
}

TEST(the_users_function_counts_as_a_callback)
{
    uint32_t before = evb__self()->callbacks;

    remember_from(EVB_LOG_WARN);
    evb__log(EVB_LOG_WARN, "x", "a=1");
    EQ(last.callbacks, before + 1);
    EQ(evb__self()->callbacks, before);
}

TEST(logging_keeps_errno_and_allocates_nothing)
{
    uint64_t calls = evb_test_alloc_calls();
    size_t more;

    capture(STDERR_FILENO);
    errno = 77;
    evb__log(EVB_LOG_WARN, "x", "a=1");
    EQ(errno, 77);
    (void)captured_text(STDERR_FILENO, &more);
    remember_from(EVB_LOG_WARN);
    errno = 77;
    evb__log(EVB_LOG_WARN, "x", "a=1");
    EQ(errno, 77);
    EQ(evb_test_alloc_calls(), calls);
}

/* ---- the user's function does things ---- */

static void log_again(int32_t level, const char *name, const char *line, void *user)
{
    remember(level, name, line, user);
    evb__log(EVB_LOG_ERROR, "inner", "a=1");
    evb__log(EVB_LOG_ERROR, name, "a=2");
}

TEST(a_line_about_a_line_is_suppressed_and_counted)
{
    remember_from(EVB_LOG_WARN);
    evb_set_log(log_again, NULL, EVB_LOG_WARN);
    evb__log(EVB_LOG_WARN, "outer", "a=0");
    EQ(last.lines, 1);
    EQ_STR(last.line, "a=0");
    evb_set_log(remember, NULL, EVB_LOG_WARN);
    evb__log(EVB_LOG_WARN, "inner", "a=3");
    EQ_STR(last.line, "a=3 suppressed=1");
    evb__log(EVB_LOG_WARN, "outer", "a=4");
    EQ_STR(last.line, "a=4 suppressed=1");
}

static void replace_sink(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)name;
    (void)line;
    (void)user;
    evb_set_log(remember, NULL, EVB_LOG_WARN);
}

TEST(the_users_function_may_set_another_one)
{
    memset(&last, 0, sizeof last);
    evb_set_log(replace_sink, NULL, EVB_LOG_WARN);
    evb__log(EVB_LOG_WARN, "x", "a=1");
    EQ(last.lines, 0);
    evb__log(EVB_LOG_WARN, "x", "a=2");
    EQ(last.lines, 1);
}

/* ---- the limit per name ---- */

TEST(ten_lines_a_second_leave_per_name_and_the_next_says_how_many_did_not)
{
    evb_test_clock_install(5 * SECOND);
    remember_from(EVB_LOG_WARN);
    for (int i = 0; i < 25; i++)
        evb__log(EVB_LOG_WARN, "noisy", "i=%d", i);
    EQ(last.lines, 10);
    EQ_STR(last.line, "i=9");
    evb_test_clock_advance(SECOND - 1000000);
    evb__log(EVB_LOG_WARN, "noisy", "i=25");
    EQ(last.lines, 10); /* the second that began with the first line is not over */
    evb_test_clock_advance(1000000);
    evb__log(EVB_LOG_WARN, "noisy", "i=26");
    EQ(last.lines, 11);
    EQ_STR(last.line, "i=26 suppressed=16");
    evb__log(EVB_LOG_WARN, "noisy", "i=27");
    EQ_STR(last.line, "i=27"); /* said once */
}

TEST(a_name_that_is_too_loud_does_not_silence_another)
{
    remember_from(EVB_LOG_WARN);
    evb_test_clock_install(0);
    for (int i = 0; i < 20; i++)
        evb__log(EVB_LOG_WARN, "noisy", "i=%d", i);
    evb__log(EVB_LOG_WARN, "quiet", "a=1");
    EQ_STR(last.name, "quiet");
    EQ_STR(last.line, "a=1");
}

TEST(a_line_below_the_level_does_not_count_toward_the_limit)
{
    remember_from(EVB_LOG_WARN);
    evb_test_clock_install(0);
    for (int i = 0; i < 20; i++)
        evb__log(EVB_LOG_INFO, "noisy", "i=%d", i);
    evb__log(EVB_LOG_WARN, "noisy", "a=1");
    EQ_STR(last.line, "a=1");
}

TEST(names_are_told_apart_by_their_text)
{
    char copy[] = "noisy";

    remember_from(EVB_LOG_WARN);
    evb_test_clock_install(0);
    for (int i = 0; i < 8; i++) {
        evb__log(EVB_LOG_WARN, "noisy", "i=%d", i);
        evb__log(EVB_LOG_WARN, copy, "i=%d", i);
    }
    EQ(last.lines, 10);
    evb__log_reset_for_tests(); /* `copy` is no static text */
}

TEST(more_kinds_of_lines_than_the_table_holds_share_limits)
{
    static char names[200][16];

    evb_test_clock_install(0);
    remember_from(EVB_LOG_WARN);
    for (int i = 0; i < 200; i++)
        (void)snprintf(names[i], sizeof names[i], "n%d", i);
    for (int i = 0; i < 64; i++)
        evb__log(EVB_LOG_WARN, names[i], "a=1");
    EQ(last.lines, 64);
    for (int i = 64; i < 200; i++)
        evb__log(EVB_LOG_WARN, names[i], "a=1");
    CHECK(last.lines > 64 && last.lines <= 200);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 200; i++)
            evb__log(EVB_LOG_WARN, names[i], "a=1");
    }
    EQ(last.lines, 640); /* 64 limits, each used up */
}

/* The milliseconds of a window have 28 bits: they come round after three days. */
TEST(the_limit_survives_that_its_clock_comes_round)
{
    remember_from(EVB_LOG_WARN);
    evb_test_clock_install(((INT64_C(1) << 28) - 500) * 1000000);
    for (int i = 0; i < 11; i++)
        evb__log(EVB_LOG_WARN, "noisy", "i=%d", i);
    EQ(last.lines, 10);
    evb_test_clock_advance(999 * 1000000); /* past the wrap, still in the same second */
    evb__log(EVB_LOG_WARN, "noisy", "i=11");
    EQ(last.lines, 10);
    evb_test_clock_advance(1000000);
    evb__log(EVB_LOG_WARN, "noisy", "i=12");
    EQ_STR(last.line, "i=12 suppressed=2");
}

/* A thread read the clock and was held up; meanwhile another began a window. Found by the counting test
 * below. */
TEST(a_thread_that_comes_late_begins_no_window_in_the_past)
{
    remember_from(EVB_LOG_WARN);
    evb_test_clock_install(100 * SECOND);
    for (int i = 0; i < 10; i++)
        evb__log(EVB_LOG_WARN, "noisy", "i=%d", i);
    evb_test_clock_advance(-SECOND);
    evb__log(EVB_LOG_WARN, "noisy", "i=10");
    evb_test_clock_advance(-58 * SECOND);
    evb__log(EVB_LOG_WARN, "noisy", "i=11");
    EQ(last.lines, 10);
    evb_test_clock_advance(60 * SECOND);
    evb__log(EVB_LOG_WARN, "noisy", "i=12");
    EQ_STR(last.line, "i=12 suppressed=2");
}

/* ---- quoting ---- */

static const char *quoted(const char *text, size_t cap)
{
    static char buf[256];

    memset(buf, 'Z', sizeof buf);
    EQ_PTR(evb__log_quote(buf, cap, text, strlen(text)), buf);
    EQ(buf[cap], 'Z'); /* nothing behind the buffer */
    return buf;
}

TEST(text_is_quoted_and_what_could_end_or_split_it_is_escaped)
{
    EQ_STR(quoted("", 100), "\"\"");
    EQ_STR(quoted("orders.eu", 100), "\"orders.eu\"");
    EQ_STR(quoted("a b=c", 100), "\"a b=c\"");
    EQ_STR(quoted("say \"hi\"", 100), "\"say \\\"hi\\\"\"");
    EQ_STR(quoted("back\\slash", 100), "\"back\\\\slash\"");
    EQ_STR(quoted("two\nlines\r\n\ttab", 100), "\"two\\nlines\\r\\n\\ttab\"");
    EQ_STR(quoted("\x01\x1f\x7f", 100), "\"\\x01\\x1f\\x7f\"");
    EQ_STR(quoted("Gr\xc3\xbc\xc3\x9f"
                  "e",
                  100),
           "\"Gr\xc3\xbc\xc3\x9f"
           "e\"");
}

TEST(a_nul_inside_is_escaped_too)
{
    char buf[64];

    EQ_STR(evb__log_quote(buf, sizeof buf, "a\0b", 3), "\"a\\x00b\"");
}

TEST(text_that_does_not_fit_ends_with_dots_inside_the_quotes)
{
    EQ_STR(quoted("0123456789", 13), "\"0123456789\""); /* fits exactly, with both quotes and the NUL */
    EQ_STR(quoted("0123456789", 12), "\"012345...\"");
    EQ_STR(quoted("0123456789", 7), "\"0...\"");
    EQ_STR(quoted("0123456789", 6), "\"...\"");
    EQ_STR(quoted("", 6), "\"\"");
}

TEST(an_escape_is_never_cut_in_two)
{
    EQ_STR(quoted("\n\n\n\n\n\n", 12), "\"\\n\\n\\n...\"");
    EQ_STR(quoted("\n\n\n\n\n\n", 11), "\"\\n\\n...\"");
    EQ_STR(quoted("\x01\x01\x01\x01", 13), "\"\\x01...\"");
}

TEST(a_utf8_character_is_never_cut_in_two)
{
    static const char text[] = "a\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xbcxyz"; /* 1, 4, 3, 2 and 1 bytes */

    EQ_STR(quoted(text, 16), "\"a\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xbcxyz\"");
    EQ_STR(quoted(text, 15), "\"a\xf0\x9f\x98\x80\xe2\x82\xac...\"");
    EQ_STR(quoted(text, 13), "\"a\xf0\x9f\x98\x80...\"");
    EQ_STR(quoted(text, 11), "\"a\xf0\x9f\x98\x80...\"");
    EQ_STR(quoted(text, 10), "\"a...\"");
    EQ_STR(quoted(text, 7), "\"a...\"");
}

/* Undoes the escapes of what stands between quotes; false when it is not well-formed. */
static bool unquote(const char *text, char *out, size_t *ret_size)
{
    size_t n = 0;
    const char *p = text;

    if (*p++ != '"') return false;
    for (; *p != '"'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c < 0x20 || c == 0x7f) return false;
        if (c == '\\') {
            p++;
            if (*p == 'x') {
                char digits[3] = {p[1], p[2], '\0'}, *end;

                out[n++] = (char)strtol(digits, &end, 16);
                if (end != digits + 2) return false;
                p += 2;
                continue;
            }
            c = *p == 'n'                 ? '\n'
                : *p == 't'               ? '\t'
                : *p == 'r'               ? '\r'
                : *p == '"' || *p == '\\' ? (unsigned char)*p
                                          : 0;
            if (c == 0) return false;
        }
        out[n++] = (char)c;
    }
    *ret_size = n;
    return p[1] == '\0';
}

TEST(whatever_is_quoted_can_be_read_back)
{
    struct evb__rng *rng = evb_test_rng();

    for (int round = 0; round < 20000; round++) {
        char text[60], back[300], buf[300];
        size_t size = (size_t)evb__rng_below(rng, sizeof text), cap = 6 + (size_t)evb__rng_below(rng, 250),
               n = 0;

        for (size_t i = 0; i < size; i++) {
            /* half of the bytes from those that matter */
            text[i] = evb__rng_below(rng, 2) != 0 ? "\"\\\n\x01\xc3\xbc\xe2\x82"[evb__rng_below(rng, 8)]
                                                  : (char)evb__rng_below(rng, 256);
        }
        memset(buf, 'Z', sizeof buf);
        (void)evb__log_quote(buf, cap, text, size);
        EQ(buf[cap], 'Z');
        CHECK(strlen(buf) < cap);
        CHECK(unquote(buf, back, &n));
        if (n == size && memcmp(back, text, n) == 0) continue;
        CHECK(n >= 3 && memcmp(back + n - 3, "...", 3) == 0); /* else it was cut */
        CHECK(n - 3 < size && memcmp(back, text, n - 3) == 0);
        CHECK(strlen(buf) + 12 >
              cap); /* and not for nothing: an escape and a character at most were left out */
    }
}

/* ---- long lines ---- */

static char many[2000];

TEST(a_line_too_long_ends_with_dots)
{
    remember_from(EVB_LOG_WARN);
    memset(many, 'x', sizeof many - 1);
    evb__log(EVB_LOG_WARN, "x", "v=%.*s", EVB__LOG_LINE - 3, many);
    EQ(strlen(last.line), EVB__LOG_LINE - 1); /* fits exactly */
    CHECK(strstr(last.line, "...") == NULL);
    evb__log(EVB_LOG_WARN, "x", "v=%.*s", EVB__LOG_LINE - 2, many);
    CHECK(strlen(last.line) < EVB__LOG_LINE && strlen(last.line) > EVB__LOG_LINE - 8);
    EQ_STR(last.line + strlen(last.line) - 4, "x...");
    evb__log(EVB_LOG_WARN, "x", "v=%s", many);
    EQ_STR(last.line + strlen(last.line) - 4, "x...");
}

TEST(a_line_cut_inside_a_quoted_value_closes_the_quote)
{
    char value[1200];

    remember_from(EVB_LOG_WARN);
    evb_test_clock_install(0);
    /* Each length puts another byte of an escape, of a character or of the closing quote at the cut. */
    for (int pad = 0; pad < 40; pad++) {
        char text[800];
        size_t size = 0, quotes = 0;

        while (size < sizeof text - 8) {
            memcpy(text + size, "\"\n\x02\xe2\x82\xac", 6);
            size += 6;
        }
        evb__log_reset_for_tests();
        evb__log(EVB_LOG_WARN, "x", "%.*s=1 v=%s", 1 + pad, many,
                 evb__log_quote(value, sizeof value, text, size));
        EQ_STR(last.line + strlen(last.line) - 4, "...\"");
        for (const char *p = last.line; *p != '\0'; p++) {
            if (*p == '\\') {
                p++;
            } else if (*p == '"') {
                quotes++;
            }
        }
        EQ(quotes, 2);
        /* before the dots stands a whole escape or a whole character */
        CHECK(strstr(last.line, "\xe2...") == NULL && strstr(last.line, "\xe2\x82...") == NULL);
        CHECK(strstr(last.line, "\\x...") == NULL && strstr(last.line, "\\x0...") == NULL);
    }
}

TEST(what_was_suppressed_has_room_on_a_long_line)
{
    remember_from(EVB_LOG_WARN);
    evb_test_clock_install(0);
    for (int i = 0; i < 12; i++)
        evb__log(EVB_LOG_WARN, "noisy", "v=%s", many);
    evb_test_clock_advance(SECOND);
    evb__log(EVB_LOG_WARN, "noisy", "v=%s", many);
    CHECK(strlen(last.line) < EVB__LOG_LINE);
    EQ_STR(last.line + strlen(last.line) - 16, "... suppressed=2");
    for (int i = 0; i < 11; i++)
        evb__log(EVB_LOG_WARN, "noisy", "%s", "");
    evb_test_clock_advance(SECOND);
    evb__log(EVB_LOG_WARN, "noisy", "%s", "");
    EQ_STR(last.line, "suppressed=2"); /* and no blank before it when it stands alone */
}

TEST(control_characters_that_came_around_the_quoting_do_not_split_the_line)
{
    remember_from(EVB_LOG_WARN);
    evb__log(EVB_LOG_WARN, "x", "v=%s", "one\ntwo\x1b[31m\x7f");
    EQ_STR(last.line, "v=one?two?[31m?");
}

/* ---- threads ---- */

static int left_pair, right_pair;

static void left_sink(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)name;
    (void)line;
    EQ_PTR(user, &left_pair);
}

static void right_sink(int32_t level, const char *name, const char *line, void *user)
{
    (void)level;
    (void)name;
    (void)line;
    EQ_PTR(user, &right_pair);
}

static EVB__ATOMIC(uint32_t) loggers_done;

static void set_or_log(uint32_t index, void *arg)
{
    (void)arg;
    if (index == 0) {
        for (int i = 0; i < 20000; i++) {
            evb_test_clock_advance(SECOND); /* so that every line leaves */
            evb__log(EVB_LOG_WARN, "x", "i=%d", i);
        }
        evb__st_rel(&loggers_done, 1); /* pairs with the load below */
    }
    while (evb__ld_acq(&loggers_done) == 0) { /* pairs with the store above */
        evb_set_log(left_sink, &left_pair, EVB_LOG_WARN);
        evb_set_log(right_sink, &right_pair, EVB_LOG_WARN);
    }
}

TEST(a_function_never_gets_the_user_pointer_of_another)
{
    evb_test_clock_install(0);
    evb_set_log(left_sink, &left_pair, EVB_LOG_WARN);
    evb_test_run_threads(3, set_or_log, NULL);
}

static EVB__ATOMIC(uint32_t) lines_seen, suppressed_seen;

static void count_lines(int32_t level, const char *name, const char *line, void *user)
{
    const char *tail = strstr(line, "suppressed=");

    (void)level;
    (void)name;
    (void)user;
    (void)evb__add_rlx(&lines_seen, 1); /* relaxed, both: counters, read after the joins */
    if (tail != NULL) (void)evb__add_rlx(&suppressed_seen, (uint32_t)strtoul(tail + 11, NULL, 10));
}

#define LINES_A_THREAD 5000

static void log_a_lot(uint32_t index, void *arg)
{
    (void)arg;
    for (int i = 0; i < LINES_A_THREAD; i++) {
        evb__log(EVB_LOG_WARN, "shared", "thread=%u", (unsigned)index);
        if (index == 0 && i % 100 == 99) evb_test_clock_advance(SECOND);
    }
}

TEST(every_line_left_or_was_counted_as_suppressed)
{
    evb_test_clock_install(0);
    evb_set_log(count_lines, NULL, EVB_LOG_WARN);
    evb_test_run_threads(3, log_a_lot, NULL);
    evb_test_clock_advance(SECOND);
    evb__log(EVB_LOG_WARN, "shared", "the=end"); /* carries what was suppressed last */
    /* relaxed loads: joined */
    EQ(evb__ld_rlx(&lines_seen) + evb__ld_rlx(&suppressed_seen), 3 * LINES_A_THREAD + 1);
    CHECK(evb__ld_rlx(&lines_seen) <=
          10 * (LINES_A_THREAD / 100 + 1) +
              1); /* ten in each of the virtual seconds, also when a thread comes late */
}

/* ---- fork ---- */

static EVB__ATOMIC(uint32_t) stop_setting;

static int log_after_fork(void *arg)
{
    (void)arg;
    evb__log_after_fork();
    evb_set_log(remember, NULL, EVB_LOG_WARN);
    memset(&last, 0, sizeof last);
    evb__log(EVB_LOG_WARN, "in_the_child", "a=1"); /* neither of the two may wait for a thread that is gone */
    EQ(last.lines, 1);
    evb__log_after_fork();
    evb__log(EVB_LOG_WARN, "in_the_child", "a=2");
    EQ(last.lines, 2); /* a sink that was set whole stays */
    return 0;
}

static void fork_or_set(uint32_t index, void *arg)
{
    (void)arg;
    if (index == 0) {
        for (int i = 0; i < 50; i++)
            EQ(evb_test_in_child(log_after_fork, NULL), 0);
        evb__st_rel(&stop_setting, 1); /* pairs with the load below */
    }
    while (evb__ld_acq(&stop_setting) == 0)
        evb_set_log(left_sink, &left_pair, EVB_LOG_WARN); /* pairs with the store */
}

TEST(a_child_can_log_while_its_parents_threads_were_setting_the_sink)
{
    evb_test_run_threads(3, fork_or_set, NULL);
}

/* ---- a stderr that is not there ---- */

static int log_into_closed_pipe(void *arg)
{
    sigset_t pending;
    int ends[2];

    (void)arg;
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) != STDERR_FILENO) return 2;
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)signal(SIGPIPE, SIG_DFL);
    errno = 77;
    evb__log(EVB_LOG_ERROR, "nobody_reads", "a=1"); /* would end the process here */
    if (errno != 77) return 3;
    (void)sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 0 ? 0 : 4;
}

TEST(a_reader_of_stderr_that_has_gone_does_not_end_the_process)
{
    EQ(evb_test_in_child(log_into_closed_pipe, NULL), 0);
}

static int log_with_sigpipe_pending(void *arg)
{
    sigset_t set;
    int ends[2];

    (void)arg;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)raise(SIGPIPE);
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) != STDERR_FILENO) return 2;
    (void)close(ends[0]);
    evb__log(EVB_LOG_ERROR, "nobody_reads", "a=1");
    (void)sigpending(&set);
    if (sigismember(&set, SIGPIPE) != 1) return 3; /* the application's own, still there */
    (void)pthread_sigmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, SIGPIPE) == 1 ? 0 : 4; /* and still blocked */
}

TEST(a_sigpipe_that_the_application_has_pending_stays_its_own)
{
    EQ(evb_test_in_child(log_with_sigpipe_pending, NULL), 0);
}

static int log_without_stderr(void *arg)
{
    (void)arg;
    (void)close(STDERR_FILENO);
    errno = 77;
    evb__log(EVB_LOG_ERROR, "nobody_reads", "a=1");
    return errno == 77 ? 0 : 3;
}

TEST(a_closed_stderr_loses_the_line_and_nothing_else)
{
    EQ(evb_test_in_child(log_without_stderr, NULL), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_sink_a_line_is_one_write_of_logfmt_to_stderr),
        cmocka_unit_test(every_level_has_its_word),
        cmocka_unit_test(a_line_without_pairs_ends_after_its_name),
        cmocka_unit_test(nothing_ever_goes_to_stdout),
        cmocka_unit_test(by_default_warnings_and_errors_are_written),
        cmocka_unit_test(the_users_function_gets_level_name_and_pairs_and_stderr_nothing),
        cmocka_unit_test(lines_below_the_level_are_not_made),
        cmocka_unit_test(the_users_function_counts_as_a_callback),
        cmocka_unit_test(logging_keeps_errno_and_allocates_nothing),
        cmocka_unit_test(a_line_about_a_line_is_suppressed_and_counted),
        cmocka_unit_test(the_users_function_may_set_another_one),
        cmocka_unit_test(ten_lines_a_second_leave_per_name_and_the_next_says_how_many_did_not),
        cmocka_unit_test(a_name_that_is_too_loud_does_not_silence_another),
        cmocka_unit_test(a_line_below_the_level_does_not_count_toward_the_limit),
        cmocka_unit_test(names_are_told_apart_by_their_text),
        cmocka_unit_test(more_kinds_of_lines_than_the_table_holds_share_limits),
        cmocka_unit_test(the_limit_survives_that_its_clock_comes_round),
        cmocka_unit_test(a_thread_that_comes_late_begins_no_window_in_the_past),
        cmocka_unit_test(text_is_quoted_and_what_could_end_or_split_it_is_escaped),
        cmocka_unit_test(a_nul_inside_is_escaped_too),
        cmocka_unit_test(text_that_does_not_fit_ends_with_dots_inside_the_quotes),
        cmocka_unit_test(an_escape_is_never_cut_in_two),
        cmocka_unit_test(a_utf8_character_is_never_cut_in_two),
        cmocka_unit_test(whatever_is_quoted_can_be_read_back),
        cmocka_unit_test(a_line_too_long_ends_with_dots),
        cmocka_unit_test(a_line_cut_inside_a_quoted_value_closes_the_quote),
        cmocka_unit_test(what_was_suppressed_has_room_on_a_long_line),
        cmocka_unit_test(control_characters_that_came_around_the_quoting_do_not_split_the_line),
        cmocka_unit_test(a_function_never_gets_the_user_pointer_of_another),
        cmocka_unit_test(every_line_left_or_was_counted_as_suppressed),
        cmocka_unit_test(a_child_can_log_while_its_parents_threads_were_setting_the_sink),
        cmocka_unit_test(a_reader_of_stderr_that_has_gone_does_not_end_the_process),
        cmocka_unit_test(a_sigpipe_that_the_application_has_pending_stays_its_own),
        cmocka_unit_test(a_closed_stderr_loses_the_line_and_nothing_else),
    };

    return EVB_TEST_MAIN("log", tests, argc, argv);
}
