/* SPDX-License-Identifier: MIT */
/* graceful_shutdown: what a service does on SIGTERM: takes no new work, finishes what it has, within a time,
 * and says what is left.
 *
 * The signal is blocked in every thread and read from a descriptor: nothing of evbus is called in a signal
 * handler. evb_bus_drain then refuses publishes (the producer sees EVB_ECLOSED and ends), lets the queues run
 * dry and waits for the handlers. One job here waits an hour for its next attempt, so the drain runs out of
 * time and the job is reported as left. A second signal ends the process at once.
 *
 * Introduces: evb_bus_drain with a timeout, EVB_ECLOSED as the end of a producer, evb_queue_stats, signalfd.
 *
 * It prints what happened to the jobs. (Here the program sends itself the signal after 100 jobs.)
 */
#define _GNU_SOURCE

#include <evbus.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { JOBS_BEFORE_SIGNAL = 100, UNLUCKY_JOB = 7 };

#define MS         INT64_C(1000000)
#define GRACE_NS   (200 * MS) /* what the service manager allows, less what exit needs */
#define AN_HOUR_NS (3600 * 1000 * MS)

/* Runs on four threads at once. */
static int32_t handle(const evb_event *ev, void *user)
{
    uint64_t number;
    (void)user;
    if (ev->size != sizeof number) return EVB_REJECT;
    memcpy(&number, ev->data, sizeof number);
    return number == UNLUCKY_JOB ? EVB_EAGAIN : EVB_OK; /* failed: again in an hour */
}

typedef struct producer {
    evb_bus *bus;
    uint64_t accepted;
    int32_t last; /* what ended it */
} producer;

static void *produce(void *arg)
{
    producer *p = arg;
    while ((p->last = evb_publish(p->bus, "job", &p->accepted, sizeof p->accepted, NULL)) >= 0) {
        p->accepted++;
        if (p->accepted == JOBS_BEFORE_SIGNAL) kill(getpid(), SIGTERM); /* as an operator would */
    }
    if (p->last != EVB_ECLOSED) kill(getpid(), SIGTERM); /* cannot go on: the service ends in order, too */
    return NULL;
}

/* Sleeps until somebody wants the service to end. */
static bool wait_for_signal(int fd, const sigset_t *signals)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info) return false;
    printf("signal %s: no new jobs; those accepted are finished\n",
           info.ssi_signo == SIGTERM ? "TERM" : "INT");
    return pthread_sigmask(SIG_UNBLOCK, signals, NULL) == 0; /* who asks twice does not want to wait */
}

/* False: not even the counters could be read. */
static bool report(const producer *p, evb_sub *sub, int32_t drained)
{
    evb_queue_stats s = {.struct_size = sizeof s};
    int32_t status = evb_sub_stats(sub, &s);
    if (status < 0) {
        fprintf(stderr, "graceful_shutdown: cannot count: %s\n", evb_strerror(status));
        return false;
    }
    uint64_t left = s.ready + s.delayed + s.in_flight;
    printf("the producer ended: %s\n", evb_err_name(p->last));
    printf("drain: %s\n", drained >= 0 ? "done" : evb_err_name(drained));
    printf("done + given up + left = accepted: %s\n",
           s.acked + s.dead_lettered + left == p->accepted ? "yes" : "no");
    printf("given up: %" PRIu64 "\n", s.dead_lettered);
    printf("left: %" PRIu64 " ready, %" PRIu64 " waiting for another attempt, %" PRIu64 " in flight\n",
           s.ready, s.delayed, s.in_flight);
    return p->last == EVB_ECLOSED;
}

int main(void)
{
    sigset_t signals;
    int fd = -1;
    evb_bus *bus = NULL;
    evb_sub *sub = NULL;
    pthread_t thread;
    bool ok = false;

    /* Before the first thread: they all inherit the mask. (The workers of evbus block every signal anyway.)
     */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0 || (fd = signalfd(-1, &signals, SFD_CLOEXEC)) < 0) {
        perror("graceful_shutdown: signalfd");
        return 1;
    }
    evb_sub_opts opts = {.name = "jobs",
                         .handler = handle,
                         .concurrency = 4,
                         .capacity = 16, /* what there is to finish at the end, at most */
                         .overflow = EVB_OVERFLOW_BLOCK,
                         .retry = {.jitter = EVB_JITTER_NONE, .base_ns = AN_HOUR_NS, .cap_ns = AN_HOUR_NS}};
    int32_t status = evb_bus_create(NULL, &bus);
    if (status == EVB_OK) status = evb_subscribe(bus, "job", &opts, &sub);
    if (status < 0) {
        fprintf(stderr, "graceful_shutdown: cannot set up: %s\n", evb_strerror(status));
        goto out;
    }
    producer p = {.bus = bus};
    if (pthread_create(&thread, NULL, produce, &p) != 0) {
        fprintf(stderr, "graceful_shutdown: cannot start the producer\n");
        goto out;
    }
    ok = wait_for_signal(fd, &signals);
    if (!ok) perror("graceful_shutdown: signalfd");
    status = evb_bus_drain(bus, GRACE_NS);
    (void)pthread_join(thread, NULL); /* its publish answers EVB_ECLOSED by now */
    ok = report(&p, sub, status) && ok;
out:
    /* What is left goes here: a service that must not lose it would write it down first. */
    if (sub != NULL) (void)evb_unsubscribe(sub);
    evb_bus_destroy(bus);
    close(fd);
    if (fflush(stdout) == 0 && !ferror(stdout)) return !ok;
    perror("graceful_shutdown: cannot write");
    return 1;
}
