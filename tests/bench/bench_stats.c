/* SPDX-License-Identifier: MIT */
/* References, ratios and goals. The goals are those the project set itself; nothing fails when one is missed.
 */
#include "bench_stats.h"

#include <math.h>
#include <string.h>

#include "bench.h"

struct bench_summary stats_of(const struct bench_series *s, uint32_t rounds)
{
    struct bench_summary sum = {0, NAN, NAN, NAN};
    double values[ROUNDS_MAX];

    for (uint32_t i = 0; i < rounds; i++) {
        if (!isnan(s->value[i])) values[sum.samples++] = s->value[i];
    }
    if (sum.samples == 0) return sum;
    sum.median = bench_median(values, sum.samples); /* sorts */
    sum.min = values[0];
    sum.max = values[sum.samples - 1];
    return sum;
}

double stats_ratio(const struct bench_series *a, const struct bench_series *b, uint32_t rounds)
{
    double values[ROUNDS_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        if (!isnan(a->value[i]) && !isnan(b->value[i]) && b->value[i] > 0)
            values[n++] = a->value[i] / b->value[i];
    }
    return n > 0 ? bench_median(values, n) : NAN;
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

struct bench_row *stats_ours(struct bench_report *r, const struct bench_row *row)
{
    /* A ring case has several of ours: the one that is most like its peers. */
    static const char *const impls[] = {"evbus", "evbus-ptr", "evbus-val", "evbus-seq"};

    for (uint32_t i = 0; i < sizeof impls / sizeof impls[0]; i++) {
        struct bench_row *ours = report_find(r, row->name, impls[i]);

        if (ours != NULL) return ours;
    }
    return NULL;
}

struct bench_row *stats_reference(struct bench_report *r, const struct bench_row *row)
{
    char name[48];

    if (starts(row->name, "ring/")) return stats_ring_reference(r, row);
    if (starts(row->name, "queue/")) return stats_queue_reference(r, row);
    if (starts(row->name, "store/")) return stats_store_reference(r, row);
    if (starts(row->name, "emit/")) return report_find(r, row->name, "raw");
    if (starts(row->name, "threads/2") || starts(row->name, "churn/"))
        return report_find(r, "threads/1", row->impl);
    if (starts(row->name, "onoff/")) return report_find(r, "onoff/plain", row->impl);
    if (starts(row->name, "match/")) return report_find(r, row->name, "nats");
    if (starts(row->name, "pool/")) return report_find(r, row->name, "mutex");
    if (starts(row->name, "name/")) {
        snprintf(name, sizeof name, "handle/%s", row->name + 5);
        return report_find(r, name, row->impl);
    }
    return NULL;
}

struct bench_goal stats_goal_from(const struct bench_report *r, const struct bench_row *row,
                                  const struct bench_row *other, double factor, double plus, const char *text)
{
    struct bench_goal g = {.known = false};
    double goal[ROUNDS_MAX], over[ROUNDS_MAX];
    uint32_t n = 0;

    if (other == NULL || other == row) return g;
    for (uint32_t i = 0; i < r->rounds; i++) {
        if (isnan(row->ns.value[i]) || isnan(other->ns.value[i])) continue;
        goal[n] = other->ns.value[i] * factor + plus;
        over[n] = row->ns.value[i] - goal[n];
        n++;
    }
    if (n == 0) return g;
    g.known = true;
    g.ns = bench_median(goal, n);
    g.over = bench_median(over, n);
    snprintf(g.text, sizeof g.text, "%s", text);
    return g;
}

struct bench_goal stats_goal_fixed(const struct bench_report *r, const struct bench_row *row, double ns,
                                   const char *text)
{
    struct bench_goal g = {.known = true, .ns = ns};

    g.over = stats_of(&row->ns, r->rounds).median - ns;
    snprintf(g.text, sizeof g.text, "%s", text);
    return g;
}

struct bench_goal stats_goal(struct bench_report *r, const struct bench_row *row, uint32_t which)
{
    static const struct {
        const char *name;
        double ns;
    } classes[] = {{"name/1", 10},
                   {"name/100", 13},
                   {"name/10k", 25},
                   {"churn/plain", 35},
                   {"onoff/plain", 500},
                   {"pool/submit/1p1w", 20},
                   {"pool/submit/1p2w", 20},
                   {"pool/submit/1p4w", 20},
                   {"pool/strand/1w", 25},
                   {"pool/strand/2w", 25},
                   {"pool/strand8/1w", 12},
                   {"pool/strand8/2w", 12},
                   {"pool/timer/both/1", 40},
                   {"pool/timer/add/1k", 20},
                   {"pool/timer/stop/1k", 20},
                   {"pool/timer/add/100k", 20},
                   {"pool/timer/stop/100k", 20}};
    const struct bench_goal none = {.known = false};

    if (strncmp(row->impl, "evbus", 5) != 0 || stats_of(&row->ns, r->rounds).samples == 0) return none;
    if (starts(row->name, "ring/")) return stats_ring_goal(r, row, which);
    if (starts(row->name, "queue/")) return stats_queue_goal(r, row, which);
    if (starts(row->name, "store/")) return stats_store_goal(r, row, which);
    if (which > 0) return none;
    if (strcmp(row->name, "emit/1") == 0)
        return stats_goal_from(r, row, report_find(r, row->name, "raw"), 1.05, 4, "raw x 1.05 + 4 ns");
    if (starts(row->name, "emit/"))
        return stats_goal_from(r, row, report_find(r, row->name, "raw"), 1.05, 3, "raw x 1.05 + 3 ns");
    if (strcmp(row->name, "threads/2") == 0)
        return stats_goal_from(r, row, report_find(r, "threads/1", row->impl), 1.10, 0, "one thread x 1.10");
    if (strcmp(row->name, "match/1k/cold") == 0)
        return stats_goal_from(r, row, report_find(r, row->name, "nats"), 1.0 / 3, 0, "NATS sublist / 3");
    if (starts(row->name, "match/") && strstr(row->name, "/cold") != NULL)
        return stats_goal_from(r, row, report_find(r, row->name, "nats"), 1.0 / 5, 0, "NATS sublist / 5");
    for (uint32_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strcmp(row->name, classes[i].name) == 0) return stats_goal_fixed(r, row, classes[i].ns, "class");
    }
    return none;
}
