/* SPDX-License-Identifier: MIT */
/* The text of a log line: quoting, escaping, cutting. */
#include "base/log_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "base/platform.h"

/* Writes the escaped form of c to out (at most 4 bytes) and answers its length. */
static size_t log_escape(unsigned char c, char out[4])
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\n\t\r\"\\", letters[] = "ntr\"\\";
    const char *known = c != '\0' ? strchr(plain, c) : NULL;

    if (known != NULL) {
        out[0] = '\\';
        out[1] = letters[known - plain];
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

/* The length of text without a UTF-8 character that was cut in two at its end; `next` is the byte that
 * follows. */
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
        /* Escapes are never split: fits lies between two of them. Characters are looked at here. */
        at = log_whole_chars(buf, fits, (unsigned char)(fits < at ? buf[fits] : text[i]));
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

void evb__log_format(char line[EVB__LOG_LINE], uint32_t suppressed, const char *format, va_list args)
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
    /* Room was left for the tail; without pairs before it, it begins without the blank. */
    strcpy(line + strlen(line), tail[0] != '\0' && line[0] == '\0' ? tail + 1 : tail);
}
