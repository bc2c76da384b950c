/* SPDX-License-Identifier: MIT */
/* The table and bench.json. */
#include "bench_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_stats.h"

#define BYTES_GOAL 160 /* a subscription, everything included */

struct bench_row *report_find(struct bench_report *r, const char *name, const char *impl)
{
    for (uint32_t i = 0; i < r->rows; i++) {
        if (strcmp(r->row[i].name, name) == 0 && strcmp(r->row[i].impl, impl) == 0) return &r->row[i];
    }
    return NULL;
}

uint32_t report_wrong(const struct bench_report *r)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < r->rows; i++)
        n += r->row[i].wrong[0] != '\0';
    return n;
}

/* ---- table ---- */

struct section {
    const char *prefix, *title, *ratio; /* ratio: what the column "ratio" divides by */
};

#define RING_RATIO "spsc: rigtorp, block: mutex, else Vyukov"

#define QUEUE_RATIO "ZeroMQ inproc"

static const struct section sections[] = {
    {"emit/", "emit by handle, N listeners: ns an emit", "raw loop"},
    {"threads/", "emit by handle, 4 listeners, N threads on one topic: ns an emit in each thread",
     "1 thread"},
    {"churn/", "emit, 4 listeners, while another thread adds and removes a listener", "1 thread"},
    {"loop/", "what the loop of the two tables below costs by itself: pick one of N names, call nothing",
     NULL},
    {"handle/", "emit by handle, a random one of N topics, 1 listener: ns an emit, loop included", NULL},
    {"name/", "emit by name, a random one of N names, 1 listener: ns an emit, loop included", "by handle"},
    {"onoff/", "add and remove a listener, nobody emits: ns a pair", "plain"},
    {"match/1k/", "wildcard match, 1 000 patterns: ns a topic, a replacement, a subscription", "NATS"},
    {"match/100k/", "wildcard match, 100 000 patterns", "NATS"},
    {"match/1M/", "wildcard match, 1 000 000 patterns", "NATS"},
    {"ring/pair/", "ring, one thread, capacity 1024, element bytes: ns for a push and a pop", RING_RATIO},
    {"ring/1-1/", "ring, a pusher and a popper, each on its CPU: ns an element", RING_RATIO},
    {"ring/batch/", "ring, the same, 16 or 64 elements a call: ns an element", "DPDK"},
    {"ring/4-1/", "ring, 4 pushers, 1 popper, not pinned: ns an element", RING_RATIO},
    {"ring/1-4/", "ring, 1 pusher, 4 poppers, not pinned: ns an element", RING_RATIO},
    {"ring/4-4/", "ring, 4 pushers, 4 poppers, not pinned: ns an element, all together", RING_RATIO},
    {"ring/pingpong/", "two rings there and back, each thread on its CPU: ns a round trip",
     "two bare cache lines"},
    {"queue/one-", "queued publish, one thread: N published, then handled: ns of CPU an event", QUEUE_RATIO},
    {"queue/1cpu/", "queued publish, a publisher and a worker on one CPU: ns of CPU an event", QUEUE_RATIO},
    {"queue/1-1/", "queued publish, a publisher and a worker, each on its CPU: ns an event", QUEUE_RATIO},
    {"queue/burst-", "the same, N events at once and the next when they are handled: ns an event",
     QUEUE_RATIO},
    {"queue/1-4/", "queued publish, 4 subscriptions, one worker, pinned: ns an event to all", QUEUE_RATIO},
    {"queue/1-4x4/", "queued publish, 4 subscriptions, 4 workers, not pinned: ns an event to all",
     QUEUE_RATIO},
    {"queue/2-1/", "queued publish, 2 publishers, one worker, not pinned: ns an event", QUEUE_RATIO},
    {"queue/2-c4/", "queued publish, 2 publishers, 4 handlers of one subscription at once, not pinned: ns",
     QUEUE_RATIO},
    {"queue/pingpong/", "to a handler that publishes an answer, each on its CPU: ns there and back, median",
     QUEUE_RATIO},
    {"queue/request/", "a request to a handler that replies, each on its CPU: ns there and back, median",
     QUEUE_RATIO},
    {"queue/wake/", "from a publish to the handler, its thread asleep: ns, median", QUEUE_RATIO},
    {"queue/idle/", "a bus with N workers and nothing to do: wake-ups a second", NULL},
    {"pool/submit/", "pool, P producers, W workers, empty tasks until all have run: ns a task",
     "mutex and condition variable"},
    {"pool/many/", "pool, the same, 64 tasks a call: ns a task", NULL},
    {"pool/tree/", "pool, W workers, tasks that each submit two more: ns a task", NULL},
    {"pool/strand", "1000 strands by turns, one message or 8 a call: ns a message", NULL},
    {"pool/hop/", "a message to and fro between two strands: ns a hop", NULL},
    {"pool/wake/", "from a submit to sleeping workers until the task begins: ns", NULL},
    {"pool/cpu/", "a task a millisecond: ns of CPU a task, submit not included", NULL},
    {"pool/idle/", "a pool without work: ns of CPU a second", NULL},
    {"pool/timer/", "timers between a second and an hour, set and stopped in an order of its own: ns each",
     NULL},
    {"store/durable/", "append, 100 bytes, safe on the disk: one, 100 at once, 16 threads: ns an event",
     "pwrite, fdatasync"},
    {"store/kill/", "append, 100 bytes, survives kill -9, not a power cut: ns an event", "pwrite"},
    {"store/version/", "the same with an exact expected version: ns", "any version"},
    {"store/interval/", "append, synced every 10 ms: ns an event", "synced by the system"},
    {"store/mem/", "append, written by a thread later: ns an event", "written at once"},
    {"store/scan/", "read all, events of 100 bytes or 1 KiB, checksums checked: ns an event", "pread"},
    {"store/stream/", "read one stream of 100: ns an event of it", "reading all"},
    {"store/pattern/", "read all for a pattern, one topic of 100 matches: ns an event passed", "no pattern"},
    {"store/follow/", "from an append to a reader that sleeps: ns, median", "a pipe"},
    {"store/open/", "open with a log (after kill -9 in a new process): ns", "SQLite"},
    {"store/snapshot/", "a state of 4 KiB, replaced and synced, loaded: ns", "a file"},
};

static const char *number(char *buf, size_t size, double value, const char *suffix)
{
    if (isnan(value))
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, value < 100 ? "%.2f%s" : value < 100000 ? "%.1f%s" : "%.0f%s", value, suffix);
    return buf;
}

static void print_goal(struct bench_report *r, const struct bench_row *row, FILE *out)
{
    for (uint32_t i = 0; i < STATS_GOALS; i++) {
        struct bench_goal g = stats_goal(r, row, i);

        if (!g.known) continue;
        fprintf(out, "  %s = %.1f: ", g.text, g.ns);
        if (g.over <= 0)
            fprintf(out, "reached (%.1f)", g.over);
        else
            fprintf(out, "missed by %.1f", g.over);
    }
}

static void print_row(struct bench_report *r, const struct bench_row *row, FILE *out)
{
    struct bench_summary s = stats_of(&row->ns, r->rounds);
    struct bench_row *reference = stats_reference(r, row), *ours = stats_ours(r, row);
    char median[24], min[24], max[24], ratio[24], to_ours[24];

    if (s.samples == 0 && row->wrong[0] != '\0') {
        fprintf(out, "  %-26s %-13s WRONG RESULT: %s\n", row->name, row->impl, row->wrong);
        return;
    }
    if (s.samples == 0) {
        fprintf(out, "  %-26s %-13s %s\n", row->name, row->impl,
                row->skip[0] != '\0' ? row->skip
                : row->crowded > 0   ? "no number: the machine never had enough CPUs free at the same time"
                                     : "not measured");
        return;
    }
    fprintf(
        out, "  %-26s %-13s %10s %10s %10s %8s %8s", row->name, row->impl,
        number(median, sizeof median, s.median, ""), number(min, sizeof min, s.min, ""),
        number(max, sizeof max, s.max, ""),
        number(ratio, sizeof ratio,
               reference != NULL && reference != row ? stats_ratio(&row->ns, &reference->ns, r->rounds) : NAN,
               "x"),
        number(to_ours, sizeof to_ours,
               ours != NULL && ours != row ? stats_ratio(&row->ns, &ours->ns, r->rounds) : NAN, "x"));
    print_goal(r, row, out);
    fprintf(out, "\n");
    for (uint32_t i = 0; i < row->extras; i++) {
        s = stats_of(&row->extra[i], r->rounds);
        fprintf(out, "    %-38s %10s %10s %10s", row->extra[i].name,
                number(median, sizeof median, s.median, ""), number(min, sizeof min, s.min, ""),
                number(max, sizeof max, s.max, ""));
        if (strcmp(row->extra[i].name, "bytes_hook") == 0)
            fprintf(out, "                     at most %d: %s", BYTES_GOAL,
                    s.median <= BYTES_GOAL ? "reached" : "missed");
        fprintf(out, "\n");
    }
    if (row->wrong[0] != '\0') fprintf(out, "    WRONG RESULT: %s\n", row->wrong);
}

static void print_section(struct bench_report *r, const struct section *section, FILE *out)
{
    bool begun = false;

    for (uint32_t i = 0; i < r->rows; i++) {
        const struct bench_row *row = &r->row[i];
        bool seen = false;

        if (strncmp(row->name, section->prefix, strlen(section->prefix)) != 0) continue;
        if (!begun) {
            fprintf(out, "\n%s\n", section->title);
            fprintf(out, "  %-26s %-13s %10s %10s %10s %8s %8s", "case", "by", "median", "min", "max",
                    "ratio", "to evbus");
            fprintf(out, section->ratio != NULL ? "  (ratio: to %s)\n" : "\n", section->ratio);
            begun = true;
        }
        /* Rows of one case stand together, whatever program they come from: each name at its first
         * appearance. */
        for (uint32_t k = 0; k < i; k++)
            seen = seen || strcmp(r->row[k].name, row->name) == 0;
        if (seen) continue;
        for (uint32_t k = i; k < r->rows; k++) {
            if (strcmp(r->row[k].name, row->name) == 0) print_row(r, &r->row[k], out);
        }
    }
}

void report_print(struct bench_report *r, FILE *out)
{
    double busy = 0, measured = 0;

    for (uint32_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        print_section(r, &sections[i], out);
    for (uint32_t i = 0; i < r->rows; i++) {
        busy += r->row[i].busy;
        measured += stats_of(&r->row[i].ns, r->rounds).samples;
    }
    fprintf(out,
            "\n%u rounds, every case once a round in an order of its own (seed %llu). A number is the median "
            "over the rounds,\n"
            "a ratio the median of the ratios within the rounds. In %.0f %% of the slices the CPU was shared "
            "with other work.\n",
            r->rounds, (unsigned long long)r->seed, measured > 0 ? 100 * busy / measured : 0);
    for (uint32_t i = 0; i < r->notes; i++)
        fprintf(out, "  %s\n", r->note[i]);
    for (uint32_t i = 0; i < r->missing; i++)
        fprintf(out, "  missing peer: %s\n", r->missing_text[i]);
}

/* ---- JSON ---- */

static void json_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(f, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(f, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            fputc(*text, f);
    }
    fputc('"', f);
}

static void json_number(FILE *f, const char *key, double value)
{
    if (isnan(value))
        fprintf(f, ", \"%s\": null", key);
    else
        fprintf(f, ", \"%s\": %.4f", key, value);
}

static void json_row(struct bench_report *r, const struct bench_row *row, FILE *f)
{
    struct bench_summary s = stats_of(&row->ns, r->rounds);
    struct bench_row *reference = stats_reference(r, row), *ours = stats_ours(r, row);

    fprintf(f, "    {\"case\": \"%s\", \"by\": \"%s\", \"samples\": %u", row->name, row->impl, s.samples);
    json_number(f, "median_ns", s.median);
    json_number(f, "min_ns", s.min);
    json_number(f, "max_ns", s.max);
    if (reference != NULL && reference != row) {
        fprintf(f, ", \"reference\": {\"case\": \"%s\", \"by\": \"%s\"}", reference->name, reference->impl);
        json_number(f, "ratio", stats_ratio(&row->ns, &reference->ns, r->rounds));
    }
    if (ours != NULL && ours != row)
        json_number(f, "ratio_to_evbus", stats_ratio(&row->ns, &ours->ns, r->rounds));
    for (uint32_t i = 0; i < STATS_GOALS; i++) {
        struct bench_goal goal = stats_goal(r, row, i);
        const char *number = i == 0 ? "" : "2";

        if (!goal.known) continue;
        fprintf(f, ", \"goal%s\": ", number);
        json_text(f, goal.text);
        fprintf(f, ", \"goal%s_ns\": %.4f, \"over_goal%s_ns\": %.4f", number, goal.ns, number, goal.over);
    }
    for (uint32_t i = 0; i < row->extras; i++)
        json_number(f, row->extra[i].name, stats_of(&row->extra[i], r->rounds).median);
    if (row->skip[0] != '\0') {
        fprintf(f, ", \"skipped\": ");
        json_text(f, row->skip);
    }
    if (row->wrong[0] != '\0') {
        fprintf(f, ", \"wrong\": ");
        json_text(f, row->wrong);
    }
    fprintf(f, ", \"rounds_ns\": [");
    for (uint32_t i = 0; i < r->rounds; i++) {
        if (isnan(row->ns.value[i]))
            fprintf(f, "%snull", i == 0 ? "" : ", ");
        else
            fprintf(f, "%s%.4f", i == 0 ? "" : ", ", row->ns.value[i]);
    }
    fprintf(f, "]}");
}

bool report_write_json(struct bench_report *r, const char *path)
{
    FILE *f = fopen(path, "w");
    bool ok;

    if (f == NULL) return false;
    fprintf(f, "{\n  \"rounds\": %u,\n  \"seed\": %llu,\n  \"notes\": {", r->rounds,
            (unsigned long long)r->seed);
    for (uint32_t i = 0; i < r->notes; i++) {
        char *space = strchr(r->note[i], ' ');

        if (space == NULL) continue;
        *space = '\0';
        fprintf(f, "%s\n    ", i == 0 ? "" : ",");
        json_text(f, r->note[i]);
        fprintf(f, ": ");
        json_text(f, space + 1);
        *space = ' ';
    }
    fprintf(f, "\n  },\n  \"missing_peers\": [");
    for (uint32_t i = 0; i < r->missing; i++) {
        fprintf(f, "%s", i == 0 ? "" : ", ");
        json_text(f, r->missing_text[i]);
    }
    fprintf(f, "],\n  \"cases\": [\n");
    for (uint32_t i = 0; i < r->rows; i++) {
        json_row(r, &r->row[i], f);
        fprintf(f, i + 1 < r->rows ? ",\n" : "\n");
    }
    fprintf(f, "  ]\n}\n");
    ok = ferror(f) == 0;
    return fclose(f) == 0 && ok;
}
