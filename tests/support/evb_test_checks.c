/* SPDX-License-Identifier: MIT */
/* The checks: what they compare, what they print, and how a failed one ends the test. */
#include "evb_test_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void evb_test_fail(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (evb_test_is_child()) {
        fprintf(stderr, "%s:%d: failed in a forked child: %s\n", file, line, text);
        fflush(NULL);
        _exit(99); /* cmocka's longjmp would go on with the parent's tests in this process */
    }
    if (!evb_test_in_own_thread()) {
        fprintf(stderr, "%s:%d: failed in another thread: %s\n", file, line, text);
        evb_test_failed_elsewhere();
        return; /* nowhere to jump to in this thread */
    }
    print_error("%s\n", text);
    _fail(file, line);
}

/* Any number is printed as what it may be: the name of a status, or itself. */
static const char *status_text(int64_t value, char buf[64])
{
    const char *name = value <= 0 && value >= INT32_MIN ? evb_err_name((int32_t)value) : "";

    (void)snprintf(buf, 64, "%s%s%" PRId64 "%s", name, name[0] != '\0' ? " (" : "", value,
                   name[0] != '\0' ? ")" : "");
    return buf;
}

void evb_test_status(int64_t got, int64_t want, const char *text, const char *file, int line)
{
    char a[64], b[64];

    if (got == want) return;
    evb_test_fail(file, line, "%s answered %s, expected %s", text, status_text(got, a), status_text(want, b));
}

int64_t evb_test_id(int64_t got, const char *text, const char *file, int line)
{
    char a[64];

    if (got <= 0) evb_test_fail(file, line, "%s answered %s, expected an id", text, status_text(got, a));
    return got;
}

void evb_test_eq(int64_t a, int64_t b, bool equal, const char *text, const char *file, int line)
{
    if ((a == b) == equal) return;
    evb_test_fail(file, line, "%s: left %" PRId64 " (0x%" PRIx64 "), right %" PRId64 " (0x%" PRIx64 ")", text,
                  a, (uint64_t)a, b, (uint64_t)b);
}

void evb_test_eq_ptr(const void *a, const void *b, const char *text, const char *file, int line)
{
    if (a == b) return;
    evb_test_fail(file, line, "%s: left %p, right %p", text, a, b);
}

void evb_test_eq_str(const char *a, const char *b, const char *text, const char *file, int line)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0)) return;
    evb_test_fail(file, line, "%s:\n  left  \"%s\"\n  right \"%s\"", text, a != NULL ? a : "(NULL)",
                  b != NULL ? b : "(NULL)");
}

void evb_test_eq_mem(const void *a, const void *b, size_t size, const char *text, const char *file, int line)
{
    const unsigned char *x = a, *y = b;

    for (size_t i = 0; i < size; i++) {
        if (x[i] == y[i]) continue;
        evb_test_fail(file, line, "%s: byte %zu of %zu is 0x%02x on the left, 0x%02x on the right", text, i,
                      size, x[i], y[i]);
        return;
    }
}

void evb_test_check(bool condition, const char *text, const char *file, int line)
{
    if (!condition) evb_test_fail(file, line, "not true: %s", text);
}

bool evb_test_ok_or_nomem(int64_t got, const char *text, const char *file, int line)
{
    char a[64];

    if (got >= 0) return true;
    if (got != EVB_ENOMEM) {
        evb_test_fail(file, line, "%s answered %s, expected success or EVB_ENOMEM", text,
                      status_text(got, a));
    } else if (evb_test_alloc_faults() == 0) {
        evb_test_fail(file, line, "%s answered EVB_ENOMEM, but no allocation has failed", text);
    }
    return false;
}
