/* SPDX-License-Identifier: MIT */
/* The cases of bench_store.h. */
#include "bench_store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSTEMS_MAX 8
#define CASES_MAX   32
#define DIR_MAX     512

struct append_case {
    const struct store_system *system;
    uint32_t level, n, threads;
};

struct scan_case {
    const struct store_system *system;
    uint32_t size;
    void *log;
};

static const struct store_system *systems[SYSTEMS_MAX];
static uint32_t system_count;
static struct append_case appends[CASES_MAX];
static struct scan_case scans[CASES_MAX];
static uint32_t append_count, scan_count;
static unsigned char data[STORE_LARGE];

/* ---- places and sizes ---- */

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = text != NULL ? strtoull(text, NULL, 10) : 0;

    return value != 0 ? value : otherwise;
}

uint64_t store_megabytes(void)
{
    return setting("BENCH_STORE_MB", 64);
}

int64_t store_batch_ns(void)
{
    return (int64_t)setting("BENCH_STORE_MS", 5 * bench_batch_ms()) * 1000000;
}

uint64_t store_log_events(uint32_t size)
{
    uint64_t events = store_megabytes() * 1024 * 1024 / size;

    return events - events % (STORE_MANY * STORE_STREAMS) + STORE_MANY * STORE_STREAMS;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void store_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *store_path(char *buf, size_t size, const char *name)
{
    const char *parent = getenv("BENCH_STORE_DIR");

    if (parent == NULL || parent[0] == '\0') parent = "build/bench/store";
    snprintf(buf, size, "%s/%d", parent, (int)getpid());
    if (mkdir(parent, 0777) != 0) bench_require(errno == EEXIST, "cannot make BENCH_STORE_DIR");
    if (mkdir(buf, 0777) != 0) bench_require(errno == EEXIST, "cannot write into BENCH_STORE_DIR");
    snprintf(buf, size, "%s/%d/%s", parent, (int)getpid(), name);
    return buf;
}

const char *store_dir(char *buf, size_t size, const char *name)
{
    store_remove(store_path(buf, size, name));
    bench_require(mkdir(buf, 0777) == 0, "cannot make a directory");
    return buf;
}

static void remove_all(void)
{
    char dir[DIR_MAX];

    for (uint32_t i = 0; i < scan_count; i++) {
        if (scans[i].log != NULL) scans[i].system->close(scans[i].log);
    }
    store_path(dir, sizeof dir, "");
    dir[strlen(dir) - 1] = '\0';
    store_remove(dir);
}

static const char *text_of(char *buf, size_t size, const char *what, const struct store_system *system,
                           uint32_t number)
{
    snprintf(buf, size, "%s-%s-%u", what, system->impl, (unsigned)number);
    return buf;
}

/* ---- appends ---- */

struct appender {
    const struct append_case *c;
    void *store;
    uint32_t which;
    int64_t until;
    uint64_t events;
    bool wrong;
    pthread_barrier_t *start;
};

static void *append_until(void *arg)
{
    struct appender *a = arg;

    if (a->start != NULL) (void)pthread_barrier_wait(a->start);
    do {
        if (!a->c->system->append(a->store, a->which, data, STORE_SMALL, a->c->n)) {
            a->wrong = true;
            break;
        }
        a->events += a->c->n;
    } while (bench_now_ns() < a->until);
    return NULL;
}

/* All of them for the time, and until the last append has ended: ns an event. */
static double append_all(const struct append_case *c, void *store, int64_t time, bool *ret_wrong)
{
    struct appender a[STORE_THREADS];
    pthread_t thread[STORE_THREADS];
    pthread_barrier_t start;
    int64_t begin, end;
    uint64_t events = 0;

    pthread_barrier_init(&start, NULL, c->threads);
    begin = bench_now_ns();
    for (uint32_t i = 0; i < c->threads; i++) {
        a[i] = (struct appender){.c = c, .store = store, .which = i, .until = begin + time};
        if (c->threads > 1) {
            a[i].start = &start;
            bench_require(pthread_create(&thread[i], NULL, append_until, &a[i]) == 0, "pthread_create");
        } else {
            (void)append_until(&a[i]);
        }
    }
    for (uint32_t i = 0; i < c->threads; i++) {
        if (c->threads > 1) pthread_join(thread[i], NULL);
        events += a[i].events;
        *ret_wrong = *ret_wrong || a[i].wrong;
    }
    end = bench_now_ns();
    pthread_barrier_destroy(&start);
    return events == 0 ? 0 : (double)(end - begin) / (double)events;
}

static void measure_append(void *state, struct bench_result *ret)
{
    const struct append_case *c = state;
    char dir[DIR_MAX];
    const char *why = "it cannot be opened";
    bool wrong = false;
    void *store;

    bench_unpin(); /* stores start threads, and they are to run where they can */
    store = c->system->open(store_dir(dir, sizeof dir, "append"), c->level, &why);
    if (store == NULL) {
        bench_skip(ret, "%s", why);
        return;
    }
    (void)append_all(c, store, store_batch_ns() / 10, &wrong);
    ret->ns = append_all(c, store, store_batch_ns(), &wrong);
    c->system->close(store);
    store_remove(dir);
    if (wrong) bench_wrong(ret, "an append failed");
}

static void add_append(const struct store_system *system, const char *name, uint32_t level, uint32_t n,
                       uint32_t threads)
{
    bench_require(append_count < CASES_MAX, "CASES_MAX");
    appends[append_count] = (struct append_case){system, level, n, threads};
    bench_add_measured(name, system->impl, 1, measure_append, &appends[append_count++]);
}

void store_add_append(const struct store_system *system, const char *name, uint32_t level)
{
    add_append(system, name, level, 1, strstr(name, "/t16") != NULL ? STORE_THREADS : 1);
}

void store_add_appends(const struct store_system *system, uint32_t level)
{
    const char *group = level == STORE_DURABLE ? "durable" : "kill";
    char name[40];

    snprintf(name, sizeof name, "store/%s/1", group);
    add_append(system, name, level, 1, 1);
    snprintf(name, sizeof name, "store/%s/100", group);
    add_append(system, name, level, STORE_MANY, 1);
    snprintf(name, sizeof name, "store/%s/t16", group);
    add_append(system, name, level, 1, STORE_THREADS);
}

/* ---- a log to read ---- */

static bool fill(const struct store_system *system, void *store, uint32_t size, uint64_t events)
{
    for (uint64_t i = 0; i < events; i += STORE_MANY) {
        if (!system->append(store, (uint32_t)(i / STORE_MANY % STORE_STREAMS), data, size, STORE_MANY))
            return false;
    }
    return system->sync(store);
}

void *store_log(const struct store_system *system, uint32_t size, uint64_t *ret_events)
{
    char dir[DIR_MAX], name[64];
    const char *why = "it cannot be opened";
    void *store;

    for (uint32_t i = 0; i < scan_count; i++) {
        struct scan_case *c = &scans[i];

        if (strcmp(c->system->impl, system->impl) != 0 || c->size != size) continue;
        *ret_events = store_log_events(size);
        if (c->log != NULL) return c->log;
        bench_unpin();
        store_dir(dir, sizeof dir, text_of(name, sizeof name, "log", system, size));
        store = system->open(dir, STORE_UNSAFE, &why);
        bench_require(store != NULL, why);
        bench_require(fill(system, store, size, *ret_events), "a log cannot be written");
        system->close(store);
        c->log = system->open(dir, STORE_DURABLE, &why); /* as it is found by who reads it */
        bench_require(c->log != NULL, why);
        return c->log;
    }
    return NULL;
}

static void measure_scan(void *state, struct bench_result *ret)
{
    struct scan_case *c = state;
    struct store_scan found = {0, 0, 0};
    uint64_t events;
    double times[3];
    void *log = store_log(c->system, c->size, &events);

    bench_pin(0);
    for (uint32_t i = 0; i < 3; i++) { /* the first one warms up */
        int64_t start = bench_now_ns();

        memset(&found, 0, sizeof found);
        if (!c->system->scan(log, &found) || found.events != events || found.bytes != events * c->size ||
            found.sum != events * data[0]) {
            bench_wrong(ret, "a scan found %llu of %llu events", (unsigned long long)found.events,
                        (unsigned long long)events);
            return;
        }
        times[i] = (double)(bench_now_ns() - start) / (double)events;
    }
    ret->ns = bench_median(times + 1, 2);
}

void store_add_scans(const struct store_system *system)
{
    static const uint32_t sizes[] = {STORE_SMALL, STORE_LARGE};

    for (uint32_t i = 0; i < 2; i++) {
        bench_require(scan_count < CASES_MAX, "CASES_MAX");
        scans[scan_count] = (struct scan_case){.system = system, .size = sizes[i]};
        bench_add_measured(sizes[i] == STORE_SMALL ? "store/scan/100" : "store/scan/1k", system->impl, 1,
                           measure_scan, &scans[scan_count++]);
    }
}

/* ---- open after kill -9 ---- */

/* In a process of its own: appends one event after the other, and is killed among them. */
static int fill_and_die(const struct store_system *system, const char *dir)
{
    const char *why = "";
    void *store = system->open(dir, STORE_UNSAFE, &why);
    uint64_t events = store_log_events(STORE_LARGE);

    bench_require(store != NULL, why);
    for (uint64_t i = 0; i < events; i++)
        bench_require(system->append(store, (uint32_t)(i % STORE_STREAMS), data, STORE_LARGE, 1), "append");
    bench_require(system->sync(store), "sync"); /* the disk's own work is not what is measured */
    bench_require(system->append(store, 0, data, STORE_LARGE, 1), "append");
    raise(SIGKILL);
    return 1;
}

/* In a process of its own: opens, tells how long it took, and ends without a close, so that the next
 * one finds the same. */
static int open_and_end(const struct store_system *system, const char *dir)
{
    const char *why = "";
    int64_t start = bench_now_ns();
    void *store = system->open(dir, STORE_DURABLE, &why);

    if (store == NULL) return 1;
    printf("%lld\n", (long long)(bench_now_ns() - start));
    fflush(stdout);
    _exit(0);
}

/* Starts this program once more; what it prints as a number, or -1. */
static int64_t in_new_process(const char *what, const struct store_system *system, const char *dir)
{
    char text[64] = "";
    long long ns = -1;
    int pipes[2];
    pid_t pid;

    if (pipe(pipes) != 0) return -1;
    pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 1);
        close(pipes[0]);
        close(pipes[1]);
        execl("/proc/self/exe", "bench_store", what, system->impl, dir, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    for (size_t have = 0; have + 1 < sizeof text;) {
        ssize_t got = read(pipes[0], text + have, sizeof text - 1 - have);

        if (got <= 0) break;
        have += (size_t)got;
    }
    close(pipes[0]);
    if (pid > 0) waitpid(pid, NULL, 0);
    return sscanf(text, "%lld", &ns) == 1 ? ns : -1;
}

static void measure_open(void *state, struct bench_result *ret)
{
    const struct store_system *system = state;
    char dir[DIR_MAX], name[64];
    struct stat info;
    double times[3];

    bench_unpin();
    store_path(dir, sizeof dir, text_of(name, sizeof name, "killed", system, 0));
    if (stat(dir, &info) != 0) {
        store_dir(dir, sizeof dir, name);
        (void)in_new_process("--fill", system, dir);
        (void)in_new_process("--open", system, dir); /* warms up */
    }
    for (uint32_t i = 0; i < 3; i++) {
        times[i] = (double)in_new_process("--open", system, dir);
        if (times[i] < 0) bench_wrong(ret, "it does not open after kill -9");
    }
    ret->ns = bench_median(times, 3);
    bench_extra(ret, "MB", (double)store_megabytes());
}

void store_add_open(const struct store_system *system)
{
    bench_require(system_count < SYSTEMS_MAX, "SYSTEMS_MAX");
    systems[system_count++] = system;
    bench_add_measured("store/open/kill", system->impl, 1, measure_open, (void *)(uintptr_t)system);
}

/* ---- main ---- */

int store_main(int argc, char **argv)
{
    int rc;

    memset(data, 'e', sizeof data);
    for (uint32_t i = 0; i < system_count && argc == 4; i++) {
        if (strcmp(argv[2], systems[i]->impl) != 0) continue;
        if (strcmp(argv[1], "--fill") == 0) return fill_and_die(systems[i], argv[3]);
        if (strcmp(argv[1], "--open") == 0) return open_and_end(systems[i], argv[3]);
    }
    rc = bench_main(argc, argv);
    remove_all();
    return rc;
}
