/* SPDX-License-Identifier: MIT */
/* The pairs of one log line, for log.c; evb__log_quote is declared in log.h, for everybody.
 *
 * Invariant: whatever the format and its arguments, the result is one line of at most EVB__LOG_LINE - 1 bytes
 * without control characters; a line that was cut ends with "...", and with the quote of the value that was
 * open; no escape and no UTF-8 character is cut in two. Threads: any, no state.
 */
#ifndef EVB__BASE_LOG_TEXT_H
#define EVB__BASE_LOG_TEXT_H

#include <stdarg.h>
#include <stdint.h>
#include "base/log.h"

/* The pairs, and suppressed=N after them when N is not 0. */
void evb__log_format(char line[EVB__LOG_LINE], uint32_t suppressed, const char *format, va_list args)
    EVB__PRINTF(3, 0);

#endif
