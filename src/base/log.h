/* SPDX-License-Identifier: MIT */
/* The log sink: rare events in the life of the library, as logfmt lines, to the user's function or stderr.
 *
 * Invariant: the pairs are at most EVB__LOG_LINE - 1 bytes, cut with "..." when longer (inside a quoted
 * value: with the quote after it), and carry key=value pairs whose text values are quoted and escaped, so
 * that one event stays one line whatever the names in it. Per name at most 10 lines leave in a second that
 * begins with a line; the next one after it carries suppressed=N. (A name beyond the 64th shares its limit
 * with others.) The user's function runs with no lock held and counts as an evbus callback; what the library
 * would log inside it is suppressed. Never called from the fast path of emit, and never with an internal lock
 * held. errno is kept. Threads: any.
 *
 *      ts=2026-01-01T12:00:00.123Z level=warn event=listener_leak_suspected topic="a.b" listeners=65
 *      \___________________ stderr only ____________________________________/ \_ the line of evb_log_fn _/
 */
#ifndef EVB__BASE_LOG_H
#define EVB__BASE_LOG_H

#include <stddef.h>
#include <stdint.h>
#include "base/platform.h"

#define EVB__LOG_LINE 512

/* name: static text such as "listener_leak_suspected"; the pairs: printf. Text values through evb__log_quote.
 */
void evb__log(int32_t level, const char *name, const char *format, ...) EVB__PRINTF(3, 4);

/* Quotes text for a pair: cap bytes at most including quotes and NUL (cap >= 6), cut with ... before the
 * closing quote; answers buf. Quote, backslash and control characters become \", \\, \n, \t, \r and \xHH;
 * bytes from 0x80 on pass, as UTF-8 does. */
const char *evb__log_quote(char *buf, size_t cap, const char *text, size_t size);

/* The child handler of fork: another thread may have been setting the sink, and is gone. Then the child has
 * none: its lines go to stderr. */
void evb__log_after_fork(void);

/* Tests only: forgets what was counted per name. */
void evb__log_reset_for_tests(void);

#endif
