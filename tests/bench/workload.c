/* SPDX-License-Identifier: MIT */
/* Reads a workload file. */
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    long size;

    if (f == NULL) return NULL;
    if (fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0) goto out;
    text = malloc((size_t)size + 1);
    if (text == NULL) goto out;
    if (fread(text, 1, (size_t)size, f) != (size_t)size) {
        free(text);
        text = NULL;
        goto out;
    }
    text[size] = '\0';
out:
    fclose(f);
    return text;
}

/* Cuts the next line off and answers it, NULL at the end. */
static char *next_line(char **cursor)
{
    char *line = *cursor, *end = strchr(line, '\n');

    if (end == NULL) return NULL;
    *end = '\0';
    *cursor = end + 1;
    return line;
}

static bool parse(struct workload *w)
{
    char *cursor = w->text, *line = next_line(&cursor);

    if (line == NULL || sscanf(line, "patterns %u topics %u", &w->patterns, &w->topics) != 2) return false;
    w->pattern = calloc(w->patterns, sizeof *w->pattern);
    w->topic = calloc(w->topics, sizeof *w->topic);
    w->count_before = calloc((size_t)w->topics + 1, sizeof *w->count_before);
    w->sum_before = calloc((size_t)w->topics + 1, sizeof *w->sum_before);
    if (w->pattern == NULL || w->topic == NULL || w->count_before == NULL || w->sum_before == NULL)
        return false;
    for (uint32_t i = 0; i < w->patterns; i++) {
        if ((w->pattern[i] = next_line(&cursor)) == NULL) return false;
    }
    for (uint32_t i = 0; i < w->topics; i++) {
        char *space;

        if ((line = next_line(&cursor)) == NULL || (space = strchr(line, ' ')) == NULL) return false;
        *space = '\0';
        w->topic[i] = line;
        w->count_before[i + 1] = w->count_before[i] + strtoull(space + 1, &space, 10);
        w->sum_before[i + 1] = w->sum_before[i] + strtoull(space, NULL, 10);
    }
    return true;
}

bool workload_load(struct workload *w, const char *path)
{
    memset(w, 0, sizeof *w);
    w->text = read_all(path);
    if (w->text != NULL && parse(w)) return true;
    workload_free(w);
    return false;
}

void workload_free(struct workload *w)
{
    free(w->pattern);
    free(w->topic);
    free(w->count_before);
    free(w->sum_before);
    free(w->text);
    memset(w, 0, sizeof *w);
}

void workload_expect(const struct workload *w, uint64_t first, uint64_t n, uint64_t *ret_count,
                     uint64_t *ret_sum)
{
    uint64_t whole = n / w->topics, from = first % w->topics, to = from + n % w->topics;

    *ret_count = whole * w->count_before[w->topics];
    *ret_sum = whole * w->sum_before[w->topics];
    if (to > w->topics) { /* the end, and again from the start */
        *ret_count += w->count_before[w->topics] + w->count_before[to - w->topics];
        *ret_sum += w->sum_before[w->topics] + w->sum_before[to - w->topics];
    } else {
        *ret_count += w->count_before[to];
        *ret_sum += w->sum_before[to];
    }
    *ret_count -= w->count_before[from];
    *ret_sum -= w->sum_before[from];
}
