/* SPDX-License-Identifier: MIT */
/* Cases, calibration and the line protocol of a bench program. */
#include "bench.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CASES_MAX 384
#define INFOS_MAX 8

struct bench_case {
    char name[40], impl[24];
    uint32_t every;
    bench_batch_fn batch;
    bench_measure_fn measure;
    void *state;
    uint64_t slice; /* operations in a slice, 0 = not calibrated yet */
};

static struct bench_case cases[CASES_MAX];
static uint32_t case_count;
static char infos[INFOS_MAX][160];
static uint32_t info_count;

int64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static _Thread_local int schedstat = -1;

/* The kernel's own account of it, where it keeps one; else a guess of a millisecond for each involuntary
 * switch. Time in which a hypervisor takes the CPU away is seen by neither. */
int64_t bench_waited_ns(void)
{
    char text[96];
    struct rusage usage;
    long long waited;
    ssize_t size;

    if (schedstat == -1) schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    size = schedstat >= 0 ? pread(schedstat, text, sizeof text - 1, 0) : -1;
    if (size > 0) {
        text[size] = '\0';
        if (sscanf(text, "%*d %lld", &waited) == 1) return waited;
    }
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw * 1000000LL : 0;
}

void bench_waited_close(void)
{
    if (schedstat >= 0) close(schedstat);
    schedstat = -1;
}

uint32_t bench_batch_ms(void)
{
    const char *text = getenv("BENCH_BATCH_MS");
    int ms = text != NULL ? atoi(text) : 0;

    return ms > 0 && ms <= 10000 ? (uint32_t)ms : 20;
}

void bench_require(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "bench: set-up failed: %s\n", what);
    exit(1);
}

static struct bench_case *add(const char *name, const char *impl, void *state)
{
    struct bench_case *c = &cases[case_count];

    bench_require(case_count < CASES_MAX, "CASES_MAX");
    case_count++;
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->impl, sizeof c->impl, "%s", impl);
    c->every = 1;
    c->state = state;
    return c;
}

void bench_add(const char *name, const char *impl, bench_batch_fn batch, void *state)
{
    add(name, impl, state)->batch = batch;
}

void bench_add_measured(const char *name, const char *impl, uint32_t every, bench_measure_fn measure,
                        void *state)
{
    struct bench_case *c = add(name, impl, state);

    c->every = every;
    c->measure = measure;
}

void bench_info(const char *key, const char *value)
{
    bench_require(info_count < INFOS_MAX, "INFOS_MAX");
    snprintf(infos[info_count++], sizeof infos[0], "%s %s", key, value);
}

void bench_extra(struct bench_result *ret, const char *name, double value)
{
    bench_require(ret->extras < BENCH_EXTRAS, "BENCH_EXTRAS");
    snprintf(ret->extra[ret->extras].name, sizeof ret->extra[0].name, "%s", name);
    ret->extra[ret->extras++].value = value;
}

void bench_wrong(struct bench_result *ret, const char *format, ...)
{
    va_list args;

    if (ret->wrong[0] != '\0') return; /* the first one is the cause */
    va_start(args, format);
    vsnprintf(ret->wrong, sizeof ret->wrong, format, args);
    va_end(args);
}

void bench_skip(struct bench_result *ret, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(ret->skip, sizeof ret->skip, format, args);
    va_end(args);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double bench_median(double *values, uint32_t count)
{
    if (count == 0) return 0;
    qsort(values, count, sizeof values[0], by_value);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Doubles or better until a slice is long enough; the growth stops at 10x so that one disturbed probe does no
 * harm. */
static bool calibrate(bench_batch_fn batch, void *state, uint64_t *slice)
{
    int64_t want = (int64_t)bench_batch_ms() * 1000000 / BENCH_SLICES;
    uint64_t n = 1;

    for (;;) {
        int64_t start = bench_now_ns(), took;

        if (!batch(state, n)) return false;
        took = bench_now_ns() - start;
        if (took >= want) break;
        n = took < want / 10 ? n * 10 : n * 2;
    }
    *slice = n;
    return true;
}

void bench_time(bench_batch_fn batch, void *state, uint64_t *slice, struct bench_result *ret)
{
    double clean[BENCH_SLICES], any[BENCH_SLICES];
    uint32_t cleans = 0, slices = 0;
    int64_t begin;

    if (*slice == 0 && !calibrate(batch, state, slice)) goto wrong;
    if (!batch(state, *slice) || !batch(state, *slice)) goto wrong; /* warm-up */
    begin = bench_now_ns();
    while (cleans < BENCH_SLICES) {
        int64_t waited = bench_waited_ns(), start = bench_now_ns(), took;
        double ns;

        if (!batch(state, *slice)) goto wrong;
        took = bench_now_ns() - start;
        ns = (double)took / (double)*slice;
        any[slices++ % BENCH_SLICES] = ns;
        if ((bench_waited_ns() - waited) * 50 <= took) clean[cleans++] = ns;
        /* Enough of a batch with long slices (one operation may take a whole batch), and of one never left
         * alone. */
        took = start + took - begin;
        if (took > (int64_t)bench_batch_ms() * (cleans >= 3 ? 3 : 10) * 1000000) break;
    }
    ret->busy = 1 - (double)cleans / (double)slices;
    ret->ns = cleans >= 3 ? bench_median(clean, cleans)
                          : bench_median(any, slices < BENCH_SLICES ? slices : BENCH_SLICES);
    return;
wrong:
    bench_wrong(ret, "the batch did not do what it should");
}

static void answer(const struct bench_result *r)
{
    if (r->wrong[0] != '\0') {
        printf("wrong %s\n", r->wrong);
    } else if (r->skip[0] != '\0') {
        printf("skip %s\n", r->skip);
    } else if (r->crowded) {
        printf("busy\n");
    } else {
        printf("ok %.4f busy=%.3f", r->ns, r->busy);
        for (uint32_t i = 0; i < r->extras; i++)
            printf(" %s=%.4f", r->extra[i].name, r->extra[i].value);
        printf("\n");
    }
    fflush(stdout);
}

static struct bench_case *find(const char *name, const char *impl)
{
    for (uint32_t i = 0; i < case_count; i++) {
        if (strcmp(cases[i].name, name) == 0 && strcmp(cases[i].impl, impl) == 0) return &cases[i];
    }
    return NULL;
}

static void run(const char *name, const char *impl)
{
    struct bench_result r;
    struct bench_case *c = find(name, impl);

    memset(&r, 0, sizeof r);
    if (c == NULL)
        bench_wrong(&r, "no case %s of %s", name, impl);
    else if (c->measure != NULL)
        c->measure(c->state, &r);
    else
        bench_time(c->batch, c->state, &c->slice, &r);
    answer(&r);
}

static void list(int cpu)
{
    for (uint32_t i = 0; i < info_count; i++)
        printf("info %s\n", infos[i]);
    if (cpu >= 0)
        printf("info pinned cpu%d\n", cpu);
    else
        printf("info pinned no\n");
    for (uint32_t i = 0; i < case_count; i++)
        printf("case %s %s %u\n", cases[i].name, cases[i].impl, cases[i].every);
    printf("end\n");
    fflush(stdout);
}

bool bench_wants(int argc, char **argv, const char *prefix)
{
    return argc != 5 || strcmp(argv[1], "--once") != 0 || strncmp(argv[2], prefix, strlen(prefix)) == 0;
}

int bench_main(int argc, char **argv)
{
    char line[256], name[64], impl[64];
    int cpu = bench_pin(0);

    if (argc == 5 && strcmp(argv[1], "--once") == 0) {
        struct bench_case *c = find(argv[2], argv[3]);

        bench_require(c != NULL && c->batch != NULL, "no such case");
        return c->batch(c->state, strtoull(argv[4], NULL, 10)) ? 0 : 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strncmp(line, "list", 4) == 0)
            list(cpu);
        else if (sscanf(line, "run %63s %63s", name, impl) == 2)
            run(name, impl);
        else
            return 2;
    }
    return 0;
}
