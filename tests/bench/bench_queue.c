/* SPDX-License-Identifier: MIT */
/* Runs a system with publishers in threads, and checks that every event came out once a subscription.
 *
 * One measurement opens the system, starts the publishers once and lets them run several times; the first run
 * warms up. A run ends when the last event has been handled. With a thread on each CPU the median of short
 * runs counts, and of those only the ones in which no thread of this process waited for its CPU; else one
 * long run.
 */
#include "bench_queue.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench_flow.h"

#define RUNS       8u
#define RUNS_MAX   24u /* tries, where runs are dropped */
#define RUNS_LEAST 3u
#define LOST_NS    INT64_C(20000000000) /* nothing comes any more: events are lost */
#define WAKE_NS    200000               /* of rest before a wake */

enum { ONE, STREAM, PINGPONG, WAKE };

struct post_case {
    const struct post_system *system;
    struct post setup;
    uint32_t kind;
    uint32_t burst;     /* 0: none */
    bool pinned;        /* a thread on each CPU */
    uint64_t published; /* ONE: events so far, by the open system below */
    struct post *post;
    void *state;
};

struct lane {
    uint64_t value; /* the last one sent */
    uint64_t count; /* sent in this run */
    bool failed;
    int64_t start, end;
};

struct team {
    const struct post_case *c;
    struct post *post;
    void *state;
    struct lane lane[POST_SENDERS];
    uint64_t sent, sum; /* in all runs, before this one; times fan is what handlers have had */
    bool lost;
    bool quit; /* written before the barrier */
    pthread_barrier_t begin, over;
    _Alignas(128) uint32_t stop; /* atomic */
    _Alignas(128) uint32_t left; /* atomic; publishers that have not ended */
};

struct member {
    struct team *team;
    uint32_t which;
    pthread_t thread;
};

/* ---- what came out ---- */

static uint64_t handled(const struct post *post)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < POST_CONSUMERS; i++)
        count += __atomic_load_n(&post->tally[i].count, __ATOMIC_ACQUIRE); /* pairs with post_got */
    return count;
}

/* With pauses only where every thread has its CPU. false: it never comes. */
static bool wait_handled(const struct post *post, uint64_t count, bool pauses)
{
    int64_t start = 0;

    for (uint32_t turn = 0; handled(post) < count; turn++) {
        if (pauses && turn % 1024 != 1023) {
            flow_pause();
            continue;
        }
        sched_yield();
        if (turn % 4096 != 4095) continue;
        if (start == 0) start = bench_now_ns();
        if (bench_now_ns() - start > LOST_NS) return false;
    }
    return true;
}

static void check(const struct post *post, uint64_t sent, uint64_t sum, struct bench_result *ret)
{
    uint64_t count = 0, got = 0, torn = 0;

    for (uint32_t i = 0; i < POST_CONSUMERS; i++) {
        count += __atomic_load_n(&post->tally[i].count, __ATOMIC_ACQUIRE); /* pairs with post_got */
        got += post->tally[i].sum;
        torn |= post->tally[i].torn;
    }
    if (count != sent * post->fan)
        bench_wrong(ret, "%llu events published to %u subscriptions, %llu handled", (unsigned long long)sent,
                    post->fan, (unsigned long long)count);
    if (got != sum * post->fan) bench_wrong(ret, "the sums of what was published and handled differ");
    if (torn != 0) bench_wrong(ret, "a payload came out different from how it went in");
    if (sent == 0) bench_wrong(ret, "nothing was published");
}

/* ---- the machine ---- */

/* How long the threads of this process have been ready to run without a CPU, all together. */
static int64_t waited_ns(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    int64_t sum = 0;

    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        char path[300], text[96];
        long long waited;
        ssize_t size;
        int fd;

        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", task->d_name);
        if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) continue;
        size = read(fd, text, sizeof text - 1);
        close(fd);
        text[size > 0 ? size : 0] = '\0';
        if (sscanf(text, "%*d %lld", &waited) == 1) sum += waited;
    }
    if (tasks != NULL) closedir(tasks);
    return sum;
}

static int64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- publishers ---- */

static void publish(struct team *team, struct lane *lane, uint32_t which)
{
    const struct post_system *system = team->c->system;
    uint32_t burst = team->c->burst, n = burst != 0 ? burst : POST_CHUNK;
    uint64_t first = lane->value, due = team->sent * team->post->fan;

    do {
        lane->failed = !system->send(team->state, which, lane->value, n);
        lane->value += n;
        if (burst == 0) continue;
        due += (uint64_t)n * team->post->fan; /* one publisher */
        if (!wait_handled(team->post, due, team->c->pinned)) lane->failed = true;
    } while (!lane->failed && __atomic_load_n(&team->stop, __ATOMIC_RELAXED) == 0);
    lane->count = lane->value - first;
}

/* The last publisher waits for the handlers. */
static void finish(struct team *team)
{
    uint64_t sent = team->sent;

    /* acq_rel: what the others have written before they ended */
    if (__atomic_sub_fetch(&team->left, 1, __ATOMIC_ACQ_REL) != 0) return;
    for (uint32_t i = 0; i < team->post->senders; i++)
        sent += team->lane[i].count;
    team->lost = !wait_handled(team->post, sent * team->post->fan, team->c->pinned);
}

static void *member_main(void *arg)
{
    struct member *m = arg;
    struct team *team = m->team;
    struct lane *lane = &team->lane[m->which];

    if (team->post->cpu >= 0)
        bench_pin(m->which); /* the consumer's, too, where there is but one CPU */
    else
        bench_unpin();
    for (;;) {
        pthread_barrier_wait(&team->begin);
        if (team->quit) break;
        lane->start = bench_now_ns();
        publish(team, lane, m->which);
        finish(team);
        lane->end = bench_now_ns();
        pthread_barrier_wait(&team->over);
    }
    return NULL;
}

static void team_start(struct team *team, struct member *members)
{
    uint32_t senders = team->post->senders;

    bench_require(pthread_barrier_init(&team->begin, NULL, senders + 1) == 0, "pthread_barrier_init");
    bench_require(pthread_barrier_init(&team->over, NULL, senders + 1) == 0, "pthread_barrier_init");
    for (uint32_t i = 0; i < senders; i++) {
        team->lane[i].value = (uint64_t)i << 48;
        members[i].team = team;
        members[i].which = i;
        bench_require(pthread_create(&members[i].thread, NULL, member_main, &members[i]) == 0,
                      "pthread_create");
    }
}

static void team_end(struct team *team, struct member *members)
{
    team->quit = true;
    pthread_barrier_wait(&team->begin);
    for (uint32_t i = 0; i < team->post->senders; i++)
        pthread_join(members[i].thread, NULL);
    pthread_barrier_destroy(&team->begin);
    pthread_barrier_destroy(&team->over);
}

/* ---- one run ---- */

struct sample {
    double ns, cpu; /* an event */
    double waited;  /* share of the time that threads had no CPU */
};

static void run(struct team *team, int64_t ns, struct sample *ret_sample, struct bench_result *ret)
{
    const struct timespec nap = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    int64_t waited = waited_ns(), cpu = cpu_ns(), start, end;
    uint64_t count = 0;

    team->stop = 0;
    team->left = team->post->senders;
    pthread_barrier_wait(&team->begin);
    nanosleep(&nap, NULL);
    __atomic_store_n(&team->stop, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(&team->over);
    waited = waited_ns() - waited;
    cpu = cpu_ns() - cpu;

    start = team->lane[0].start;
    end = team->lane[0].end;
    for (uint32_t i = 0; i < team->post->senders; i++) {
        const struct lane *lane = &team->lane[i];

        count += lane->count;
        team->sum += flow_sum(lane->value - lane->count, lane->value);
        if (lane->start < start) start = lane->start;
        if (lane->end > end) end = lane->end;
        if (lane->failed) bench_wrong(ret, "a publish failed");
    }
    team->sent += count;
    if (team->lost) bench_wrong(ret, "events were lost: the handlers have nothing left to do");
    check(team->post, team->sent, team->sum, ret);
    if (count == 0) count = 1;
    *ret_sample = (struct sample){(double)(end - start) / (double)count, (double)cpu / (double)count,
                                  (double)waited / (double)(end - start + 1)};
}

/* ---- measurements ---- */

/* Pinned: short runs, of which those count in which all had their CPUs. */
static void run_pinned(struct team *team, struct bench_result *ret)
{
    int64_t ns = (int64_t)bench_batch_ms() * 1000000 / RUNS;
    double clean[RUNS], cpu[RUNS];
    uint32_t tries = 0, cleans = 0;
    struct sample s;

    run(team, ns, &s, ret); /* warm-up */
    while (ret->wrong[0] == '\0' && cleans < RUNS && tries++ < RUNS_MAX) {
        run(team, ns, &s, ret);
        /* Who sleeps waits a little each time he is woken. */
        if (s.waited > 0.5 && !team->c->system->threads) continue;
        clean[cleans] = s.ns;
        cpu[cleans++] = s.cpu;
    }
    ret->busy = tries > 0 ? 1 - (double)cleans / (double)(tries < RUNS_MAX ? tries : RUNS_MAX) : 0;
    ret->crowded = cleans < RUNS_LEAST;
    ret->ns = bench_median(clean, cleans);
    bench_extra(ret, "cpu_ns", bench_median(cpu, cleans));
}

static void run_free(struct team *team, struct bench_result *ret)
{
    int64_t ns = (int64_t)bench_batch_ms() * 1000000;
    struct sample s;

    run(team, ns, &s, ret); /* warm-up */
    if (ret->wrong[0] == '\0') run(team, 5 * ns, &s, ret);
    if (team->post->cpu == 0) { /* one CPU: its time is what is asked for, whoever else runs there */
        ret->ns = s.cpu;
        bench_extra(ret, "elapsed_ns", s.ns);
    } else {
        ret->ns = s.ns;
        bench_extra(ret, "cpu_ns", s.cpu);
    }
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void percentiles(int64_t *sample, uint32_t samples, struct bench_result *ret)
{
    uint32_t n = samples < POST_SAMPLES ? samples : POST_SAMPLES;

    if (n == 0) {
        bench_wrong(ret, "nothing was measured");
        return;
    }
    qsort(sample, n, sizeof sample[0], by_time);
    ret->ns = (double)sample[n / 2];
    bench_extra(ret, "p99", (double)sample[(uint64_t)n * 99 / 100]);
}

/* Both in the main thread, which is pinned to the first CPU. */
static void run_pingpong(const struct post_case *c, struct team *team, struct bench_result *ret)
{
    int64_t end = bench_now_ns() + (int64_t)bench_batch_ms() * 5000000, now = 0;
    struct post *post = team->post;

    do {
        int64_t start = bench_now_ns();

        if (!c->system->send(team->state, 0, team->sent, 1) ||
            !c->system->await(team->state, team->sent + 1)) {
            bench_wrong(ret, "an answer did not come, or was another's");
            break;
        }
        now = bench_now_ns();
        if (team->sent++ >= 64) post->sample[post->samples++ % POST_SAMPLES] = now - start;
    } while (now < end || post->samples < 16);
    team->sum = flow_sum(0, team->sent);
    percentiles(post->sample, post->samples, ret);
}

static void run_wakes(const struct post_case *c, struct team *team, struct bench_result *ret)
{
    int64_t end = bench_now_ns() + (int64_t)bench_batch_ms() * 5000000;
    const struct timespec nap = {0, WAKE_NS};

    do {
        int64_t now;

        nanosleep(&nap, NULL);
        now = bench_now_ns();
        if (!c->system->send(team->state, 0, (uint64_t)now - 1, 1) ||
            !wait_handled(team->post, ++team->sent, true)) {
            bench_wrong(ret, "an event did not arrive");
            break;
        }
        team->sum += (uint64_t)now;
    } while (bench_now_ns() < end || team->sent < 16);
    percentiles(team->post->sample, team->post->samples, ret);
}

static struct post *new_post(const struct post *setup)
{
    struct post *post;

    bench_require(posix_memalign((void **)&post, 128, sizeof *post) == 0, "no memory");
    *post = *setup;
    if (!post->stamps && !post->answers) return post;
    post->sample = calloc(POST_SAMPLES, sizeof *post->sample);
    bench_require(post->sample != NULL, "no memory");
    return post;
}

static void measure(void *arg, struct bench_result *ret)
{
    const struct post_case *c = arg;
    struct member members[POST_SENDERS];
    const char *why = "cannot be set up";
    struct team *team;

    if (c->pinned && bench_cpus() < 2) {
        bench_skip(ret, "needs 2 CPUs");
        return;
    }
    bench_require(posix_memalign((void **)&team, 128, sizeof *team) == 0, "no memory");
    memset(team, 0, sizeof *team);
    team->c = c;
    team->post = new_post(&c->setup);
    team->state = c->system->open(c->system, team->post, &why);
    if (team->state == NULL) {
        bench_skip(ret, "%s", why);
        goto out;
    }
    if (c->kind == PINGPONG) {
        run_pingpong(c, team, ret);
    } else if (c->kind == WAKE) {
        run_wakes(c, team, ret);
    } else {
        team_start(team, members);
        if (c->pinned)
            run_pinned(team, ret);
        else
            run_free(team, ret);
        team_end(team, members);
    }
    if (!c->system->close(team->state, team->sent)) bench_wrong(ret, "its own counters tell another story");
    if (ret->wrong[0] == '\0') check(team->post, team->sent, team->sum, ret); /* nothing came later */
out:
    free(team->post->sample);
    free(team->post);
    free(team);
}

/* One thread: `burst` in, `burst` out. The system stays open. */
static bool one_thread(void *arg, uint64_t n)
{
    struct post_case *c = arg;
    const char *why = "cannot be set up";
    struct bench_result ret;
    uint64_t end = c->published + n;

    if (c->state == NULL) {
        c->post = new_post(&c->setup);
        c->state = c->system->open(c->system, c->post, &why);
        bench_require(c->state != NULL, why);
    }
    while (c->published < end) {
        uint64_t left = end - c->published;
        uint32_t now = left < c->burst ? (uint32_t)left : c->burst;

        if (!c->system->send(c->state, 0, c->published, now) || !c->system->take(c->state, now)) return false;
        c->published += now;
    }
    ret.wrong[0] = '\0';
    check(c->post, c->published, flow_sum(0, c->published), &ret);
    if (ret.wrong[0] != '\0') fprintf(stderr, "%s: %s\n", c->system->impl, ret.wrong);
    return ret.wrong[0] == '\0';
}

/* ---- cases ---- */

static struct post_case *new_case(const struct post_system *system, uint32_t kind, uint32_t bytes)
{
    struct post_case *c;

    bench_require(posix_memalign((void **)&c, 128, sizeof *c) == 0, "no memory");
    memset(c, 0, sizeof *c);
    c->system = system;
    c->kind = kind;
    c->setup.bytes = bytes;
    c->setup.senders = c->setup.fan = c->setup.consumers = 1;
    c->setup.cpu = 1;
    c->pinned = true;
    return c;
}

static void add(struct post_case *c, const char *shape)
{
    char name[40];

    if (c->setup.bytes == 1024)
        snprintf(name, sizeof name, "queue/%s/1k", shape);
    else
        snprintf(name, sizeof name, "queue/%s/%u", shape, c->setup.bytes);
    if (c->kind == ONE)
        bench_add(name, c->system->impl, one_thread, c);
    else
        bench_add_measured(name, c->system->impl, 1, measure, c);
}

void post_add_one(const struct post_system *system, uint32_t bytes, uint32_t n)
{
    struct post_case *c = new_case(system, ONE, bytes);
    char shape[24];

    c->burst = n;
    c->setup.consumers = 0;
    c->setup.cpu = 0;
    snprintf(shape, sizeof shape, "one-%u", n);
    add(c, shape);
}

void post_add_1cpu(const struct post_system *system, uint32_t bytes)
{
    struct post_case *c = new_case(system, STREAM, bytes);

    c->setup.cpu = 0;
    c->pinned = false;
    add(c, "1cpu");
}

void post_add_burst(const struct post_system *system, uint32_t bytes, uint32_t n)
{
    struct post_case *c = new_case(system, STREAM, bytes);
    char shape[24];

    c->burst = n;
    snprintf(shape, sizeof shape, "burst-%u", n);
    add(c, shape);
}

void post_add_stream(const struct post_system *system, const char *shape, uint32_t bytes)
{
    struct post_case *c = new_case(system, STREAM, bytes);

    c->setup.senders = shape[0] == '2' ? 2 : 1;
    if (shape[2] == '4') c->setup.fan = 4;
    if (shape[2] == 'c' || shape[3] == 'x') c->setup.consumers = 4;
    if (c->setup.senders + c->setup.consumers > 2) {
        c->setup.cpu = -1;
        c->pinned = false;
    }
    add(c, shape);
}

void post_add_pingpong(const struct post_system *system, uint32_t bytes)
{
    struct post_case *c = new_case(system, PINGPONG, bytes);

    c->setup.answers = true;
    add(c, "pingpong");
}

void post_add_request(const struct post_system *system, uint32_t bytes)
{
    struct post_case *c = new_case(system, PINGPONG, bytes);

    c->setup.answers = c->setup.requests = true;
    add(c, "request");
}

void post_add_wake(const struct post_system *system, uint32_t bytes)
{
    struct post_case *c = new_case(system, WAKE, bytes);

    c->setup.stamps = true;
    add(c, "wake");
}

void post_add_all(const struct post_system *system, uint32_t bytes)
{
    post_add_one(system, bytes, 1);
    post_add_one(system, bytes, 64);
    post_add_1cpu(system, bytes);
    post_add_stream(system, "1-1", bytes);
    post_add_burst(system, bytes, 1);
    post_add_burst(system, bytes, 64);
    post_add_stream(system, "2-1", bytes);
    post_add_stream(system, "2-c4", bytes);
    post_add_pingpong(system, bytes);
}
