/* SPDX-License-Identifier: MIT */
/* flights_csv.h: reads a file of flights row by row, for flights.c. Nothing here knows of events.
 *
 * A row is `date,origin,destination,delay_min,distance_mi`: exactly five fields, a date, two codes of three
 * capital letters, two 32-bit integers, ended by LF or CRLF; the last one may lack it. No quotes, no blanks.
 * Line 1 is left out when it begins with `date,`. Any other line, an empty one too, is malformed: csv_next
 * says why and goes on behind it. What follows the last newline is a line only when it is not empty. Memory
 * grows neither with the file nor with its lines.
 */
#ifndef FLIGHTS_CSV_H
#define FLIGHTS_CSV_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CODE_LEN = 3, CSV_BUFFER_BYTES = 64 * 1024 };

typedef struct flight {
    char origin[CODE_LEN + 1], destination[CODE_LEN + 1];
    int32_t delay_min, distance_mi;
} flight;

/* Exactly n digits to a number; -1 when they are not digits. */
static int digits(const char *s, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

/* YYYY-MM-DD, or with a time of day after a blank or a T: HH:MM or HH:MM:SS. The day must exist in the
 * calendar. */
static bool is_date(const char *s, size_t len)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (len != 10 && len != 16 && len != 19) return false;
    int year = digits(s, 4), month = digits(s + 5, 2), day = digits(s + 8, 2);
    if (s[4] != '-' || s[7] != '-' || year < 1 || month < 1 || month > 12) return false;
    bool leap_day = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day < 1 || day > month_days[month - 1] + leap_day) return false;
    if (len == 10) return true;
    int hour = digits(s + 11, 2), minute = digits(s + 14, 2);
    if ((s[10] != ' ' && s[10] != 'T') || s[13] != ':') return false;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
    if (len == 16) return true;
    int second = digits(s + 17, 2);
    return s[16] == ':' && second >= 0 && second <= 59;
}

static bool is_code(const char *s, size_t len)
{
    if (len != CODE_LEN) return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] < 'A' || s[i] > 'Z') return false;
    return true;
}

/* An optional sign and digits, nothing else; strtol would take blanks and needs a NUL behind the field. */
static bool parse_int32(const char *s, size_t len, int32_t *ret_value)
{
    bool negative = len > 0 && s[0] == '-';
    size_t i = len > 0 && (s[0] == '-' || s[0] == '+');
    int64_t value = 0;
    if (i == len) return false;
    for (; i < len; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        value = value * 10 + (s[i] - '0');
        if (value > (int64_t)INT32_MAX + negative) return false;
    }
    *ret_value = (int32_t)(negative ? -value : value);
    return true;
}

/* NULL when the row is well-formed, else what is wrong with it. */
static const char *parse_row(const char *line, size_t len, flight *ret_flight)
{
    const char *field[5], *end = line + len, *at = line;
    size_t length[5];
    if (len == 0) return "empty line";
    if (memchr(line, '\0', len) != NULL) return "NUL byte in the line";
    for (int i = 0; i < 5; i++) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        if (comma == NULL && i < 4) return "fewer than five fields";
        if (comma != NULL && i == 4) return "more than five fields";
        field[i] = at;
        length[i] = (size_t)((comma != NULL ? comma : end) - at);
        if (comma != NULL) at = comma + 1;
    }
    if (!is_date(field[0], length[0])) return "the date is not YYYY-MM-DD [HH:MM[:SS]]";
    if (!is_code(field[1], length[1])) return "the origin is not three capital letters";
    if (!is_code(field[2], length[2])) return "the destination is not three capital letters";
    *ret_flight = (flight){.delay_min = 0};
    if (!parse_int32(field[3], length[3], &ret_flight->delay_min)) return "the delay is not a 32-bit integer";
    if (!parse_int32(field[4], length[4], &ret_flight->distance_mi))
        return "the distance is not a 32-bit integer";
    memcpy(ret_flight->origin, field[1], CODE_LEN);
    memcpy(ret_flight->destination, field[2], CODE_LEN);
    return NULL;
}

/* One fixed buffer whatever the file holds: a line that does not fit is one malformed row, not a bigger
 * buffer. */
typedef struct csv_input {
    FILE *file;
    const char *name;
    int64_t line;           /* number of the line last read, from 1 */
    bool at_end, skip_rest; /* skip_rest: the line last read was too long, its tail is still to come */
    bool show_progress;     /* standard error is a terminal and the size of the file is known */
    int percent_shown;      /* -1: no bar on the screen */
    int64_t bytes_total, bytes_read;
    size_t start, end; /* what is read and not yet used: buffer[start..end) */
    char buffer[CSV_BUFFER_BYTES];
} csv_input;

enum { LINE_END, LINE_READ, LINE_TOO_LONG, LINE_ERROR };

static void progress_clear(csv_input *in)
{
    if (in->percent_shown >= 0) fprintf(stderr, "\r%48s\r", "");
    in->percent_shown = -1;
}

static void progress_draw(csv_input *in)
{
    static const char bar[] = "########################################";
    if (!in->show_progress) return;
    int64_t percent = in->bytes_read * 100 / in->bytes_total;
    if (percent > 100) percent = 100; /* the file grew while we read */
    if (percent == in->percent_shown) return;
    in->percent_shown = (int)percent;
    fprintf(stderr, "\r[%-40.*s] %3d%%", in->percent_shown * 40 / 100, bar, in->percent_shown);
}

/* Moves what is left to the front and reads on behind it. */
static bool refill(csv_input *in)
{
    size_t left = in->end - in->start;
    memmove(in->buffer, in->buffer + in->start, left);
    in->start = 0;
    size_t got = fread(in->buffer + left, 1, sizeof in->buffer - left, in->file);
    in->end = left + got;
    in->bytes_read += (int64_t)got;
    if (ferror(in->file)) return false;
    in->at_end = feof(in->file) != 0;
    progress_draw(in);
    return true;
}

/* Up to the next newline, the end of the file, or the end of a full buffer, whichever comes first. */
static int next_piece(csv_input *in, const char **ret_piece, size_t *ret_len)
{
    size_t scanned = 0;
    for (;;) {
        char *at = in->buffer + in->start;
        size_t have = in->end - in->start;
        char *newline = memchr(at + scanned, '\n', have - scanned);
        *ret_piece = at;
        *ret_len = newline != NULL ? (size_t)(newline - at) : have;
        if (newline != NULL) {
            in->start += *ret_len + 1;
            return LINE_READ;
        }
        if (in->at_end || have == sizeof in->buffer) {
            in->start = in->end;
            if (have == 0) return LINE_END;
            return in->at_end ? LINE_READ : LINE_TOO_LONG;
        }
        scanned = have;
        if (!refill(in)) return LINE_ERROR;
    }
}

/* The next line without its LF or CRLF; of a line that is too long only its beginning. */
static int next_line(csv_input *in, const char **ret_line, size_t *ret_len)
{
    for (;;) {
        int found = next_piece(in, ret_line, ret_len);
        if (found == LINE_END || found == LINE_ERROR) return found;
        bool tail = in->skip_rest;
        in->skip_rest = found == LINE_TOO_LONG;
        if (tail) continue; /* the rest of a line that was answered before */
        in->line++;
        if (found == LINE_READ && *ret_len > 0 && (*ret_line)[*ret_len - 1] == '\r') --*ret_len;
        return found;
    }
}

enum { CSV_END, CSV_ROW, CSV_MALFORMED, CSV_ERROR };

/* The next row, or why there is none. The progress bar is off the screen whenever the answer is not CSV_ROW.
 */
static int csv_next(csv_input *in, flight *ret_flight, const char **ret_reason)
{
    const char *line;
    size_t len;
    int found = next_line(in, &line, &len);
    if (found != LINE_END && found != LINE_ERROR && in->line == 1 && len >= 5 &&
        memcmp(line, "date,", 5) == 0)
        found = next_line(in, &line, &len);

    _Static_assert(CSV_BUFFER_BYTES == 65536, "the number in the text below");
    if (found == LINE_ERROR)
        *ret_reason = strerror(errno);
    else if (found == LINE_TOO_LONG)
        *ret_reason = "the line is longer than 65535 bytes";
    else if (found == LINE_READ && (*ret_reason = parse_row(line, len, ret_flight)) == NULL)
        return CSV_ROW;
    progress_clear(in);
    return found == LINE_END ? CSV_END : found == LINE_ERROR ? CSV_ERROR : CSV_MALFORMED;
}

/* `-` is standard input, which may be a file too: then its size is known. False: errno says why. */
static bool csv_open(csv_input *in, const char *name)
{
    struct stat st;
    bool standard = strcmp(name, "-") == 0;
    in->name = standard ? "<stdin>" : name;
    in->file = standard ? stdin : fopen(name, "rb");
    if (in->file == NULL) return false;
    in->percent_shown = -1;
    if (fstat(fileno(in->file), &st) == 0 && S_ISREG(st.st_mode)) in->bytes_total = st.st_size;
    in->show_progress = in->bytes_total > 0 && isatty(STDERR_FILENO);
    return true;
}

static void csv_close(csv_input *in)
{
    if (in->file != NULL && in->file != stdin) fclose(in->file);
    in->file = NULL;
}

#endif
