/* SPDX-License-Identifier: MIT */
/* The first difference, and the lines that tell what was done before it. Callbacks cannot end a test
 * (the library would stay inside its call), so a difference is noted, the callbacks fall silent, and
 * the round fails when its operation has returned. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "executor.h"

#define LINES 60
#define LINE  160

static struct {
    char wrong[512];
    char line[LINES][LINE];
    uint32_t lines;
} n;

void differs(const char *format, ...)
{
    va_list args;

    if (n.wrong[0] != '\0') return;
    va_start(args, format);
    (void)vsnprintf(n.wrong, sizeof n.wrong, format, args);
    va_end(args);
}

bool wrong(void)
{
    return n.wrong[0] != '\0';
}

const char *what_differs(void)
{
    return n.wrong;
}

void note(const char *format, ...)
{
    char *line = n.line[n.lines++ % LINES];
    int at = snprintf(line, LINE, "%12lld %*s", (long long)executor_now(), (int)(2 * w.depth), "");
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line + at, LINE - (size_t)at, format, args);
    va_end(args);
}

void notes_begin(void)
{
    memset(&n, 0, sizeof n);
}

void notes_print(void)
{
    uint32_t first = n.lines > LINES ? n.lines - LINES : 0;

    if (first != 0) fprintf(stderr, "    ... (%u lines before)\n", first);
    for (uint32_t i = first; i < n.lines; i++)
        fprintf(stderr, "    %s\n", n.line[i % LINES]);
}

const char *status(int64_t answer)
{
    static char text[8][32];
    static uint32_t next;
    char *t = text[next++ % 8];

    if (answer < 0 && answer >= INT32_MIN) return evb_err_name((int32_t)answer);
    (void)snprintf(t, 32, "%lld", (long long)answer);
    return t;
}

void want(const char *call, int64_t answer, int64_t expected)
{
    if (answer != expected) differs("%s answered %s, expected %s", call, status(answer), status(expected));
}
