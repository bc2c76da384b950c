/* SPDX-License-Identifier: MIT */
/* The explorer in words: the schedule of a failing execution, names of memory, and the replay string. */
#include "explore_engine.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void explore_name(const void *ptr, size_t size, const char *fmt, ...)
{
    struct x_named *n;
    va_list args;

    if (!ex.active || ex.name_count == X_NAMES) return;
    n = &ex.names[ex.name_count++];
    n->addr = (uintptr_t)ptr;
    n->size = size;
    if (ex.how.schedule == NULL) return; /* nobody will read it */
    va_start(args, fmt);
    (void)vsnprintf(n->text, sizeof n->text, fmt, args);
    va_end(args);
}

const char *x_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

const char *x_fiber_name(const struct x_fiber *f)
{
    static const char *const names[X_FIBERS] = {"main", "T1", "T2", "T3", "T4", "T5", "T6", "T7"};

    return names[f->id];
}

/* A given name, or which block and how far into it, or the address. */
const char *x_describe(const void *ptr, char *buf, size_t size)
{
    uintptr_t addr = (uintptr_t)ptr;
    const struct x_block *b = x_block_of(ptr);

    for (uint32_t i = ex.name_count; i-- > 0;) {
        const struct x_named *n = &ex.names[i];

        if (addr < n->addr || addr >= n->addr + n->size) continue;
        (void)snprintf(buf, size, addr != n->addr ? "%s+%zu" : "%s", n->text, (size_t)(addr - n->addr));
        return buf;
    }
    if (b != NULL)
        (void)snprintf(buf, size, "block %zu+%zu", (size_t)(b - ex.blocks), (size_t)(addr - b->start));
    else
        (void)snprintf(buf, size, "%p", ptr);
    return buf;
}

void x_trace_line(const struct evb__x_site *site, const void *addr, const char *fmt, ...)
{
    FILE *out = ex.how.schedule;
    char where[80] = "";
    va_list args;

    if (addr != NULL) (void)x_describe(addr, where, sizeof where);
    (void)fprintf(out, "%5u %-5s", ++ex.trace_line, x_fiber_name(ex.cur));
    if (site != NULL) (void)fprintf(out, "%-11s %s ", site->op, site->expr);
    if (addr != NULL) (void)fprintf(out, "[%s] ", where);
    va_start(args, fmt);
    (void)vfprintf(out, fmt, args);
    va_end(args);
    if (site != NULL) (void)fprintf(out, "  (%s:%d)", x_base(site->file), site->line);
    (void)fputc('\n', out);
}

/* ---- the replay string ---- */

/* "p2,s2,w1,m0:0x14.1.0.2x3": bounds and back end, then what was taken at each choice, runs as VALUExCOUNT.
 * Trailing zeros are left out. */
char *x_replay_write(void)
{
    uint32_t length = ex.trail_length, i = 0;
    size_t size = 64 + (size_t)length * 10, used;
    char *text = malloc(size);

    if (text == NULL) abort();
    used = (size_t)snprintf(text, size, "p%d,s%d,w%d,m%d:", ex.how.preemptions, ex.how.stale_reads,
                            ex.how.spurious, ex.how.asymmetric);
    while (length != 0 && ex.trail[length - 1].taken == 0)
        length--;
    while (i < length) {
        uint32_t run = 1;

        while (i + run < length && ex.trail[i + run].taken == ex.trail[i].taken)
            run++;
        used += (size_t)snprintf(text + used, size - used, run > 1 ? "%s%ux%u" : "%s%u", i != 0 ? "." : "",
                                 (unsigned)ex.trail[i].taken, run);
        i += run;
    }
    return text;
}

bool x_replay_read(const char *text)
{
    int preemptions, stale, spurious, asymmetric, used = 0;
    uint32_t count = 0;
    char *end;

    if (text == NULL ||
        sscanf(text, "p%d,s%d,w%d,m%d:%n", &preemptions, &stale, &spurious, &asymmetric, &used) != 4 ||
        used == 0)
        return false;
    ex.how.preemptions = preemptions;
    ex.how.stale_reads = stale;
    ex.how.spurious = spurious;
    ex.how.asymmetric = asymmetric != 0;
    for (text += used; *text != '\0'; text = *end == '.' ? end + 1 : end) {
        unsigned long taken = strtoul(text, &end, 10), run = 1;

        if (end == text || taken > UINT8_MAX) return false;
        if (*end == 'x') run = strtoul(end + 1, &end, 10);
        if (*end != '.' && *end != '\0') return false;
        if (run > X_CHOICES - count) return false;
        while (run-- != 0)
            ex.trail[count++] = (struct x_choice){.taken = (uint8_t)taken};
    }
    ex.trail_known = count;
    return true;
}
