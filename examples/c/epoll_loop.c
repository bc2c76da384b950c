/* SPDX-License-Identifier: MIT */
/* epoll_loop: a program with an event loop of its own gets its events there, in its own thread, beside its
 * sockets and pipes.
 *
 * The subscription has no handler. Its descriptor becomes readable when there is something to take: a hint,
 * not a count, so the loop takes until EVB_EEMPTY each time, many events a call, copied into its own buffer;
 * nobody has to read the descriptor. The queue is bounded: a publisher that is faster than the loop waits. A
 * pipe stands for everything else that a loop watches; its end of file says that the publisher is done.
 *
 * Introduces: evb_sub_fd, evb_sub_take, evb_packed; EVB_OVERFLOW_BLOCK between a thread and a loop.
 *
 * It prints how many readings of each sensor came, and their sum.
 */
#define _GNU_SOURCE

#include <evbus.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SENSORS = 3, READINGS = 500, ROOM = 64, BATCH_BYTES = 4096 };

/* ---- a thread that measures: it knows the bus and nothing of the loop ---- */

typedef struct probe {
    evb_bus *bus;
    int done_fd; /* its end of the pipe */
    int32_t status;
} probe;

static void *measure(void *arg)
{
    probe *p = arg;
    char topic[] = "sensor.0";
    for (int32_t i = 0; i < SENSORS * READINGS && p->status >= 0; i++) {
        topic[sizeof topic - 2] = (char)('0' + i % SENSORS);
        p->status = evb_publish(p->bus, topic, &i, sizeof i, NULL); /* waits while the queue is full */
    }
    close(p->done_fd);
    return NULL;
}

/* ---- the loop: one thread, no lock ---- */

typedef struct totals {
    uint32_t readings[SENSORS];
    int64_t sum[SENSORS];
} totals;

/* A record: the header, the topic with its NUL, the key, the data, padding up to size. */
static void add_record(totals *t, const unsigned char *record, const evb_packed *head)
{
    const unsigned char *topic = record + sizeof *head, *data = topic + head->topic_len + 1 + head->key_len;
    int32_t reading;
    unsigned number = (unsigned)topic[sizeof "sensor." - 1] - '0';
    if (head->data_len != sizeof reading || number >= SENSORS) return;
    memcpy(&reading, data, sizeof reading); /* data begins anywhere */
    t->readings[number]++;
    t->sum[number] += reading;
}

/* Takes until the queue is empty: what was taken is acknowledged. */
static int32_t take_all(evb_sub *sub, totals *t)
{
    static uint64_t buf[BATCH_BYTES / sizeof(uint64_t)]; /* 8-aligned */
    int32_t n;
    while ((n = evb_sub_take(sub, buf, sizeof buf, UINT32_MAX)) > 0) {
        const unsigned char *at = (const unsigned char *)buf;
        for (evb_packed head; n > 0; n--, at += head.size) {
            memcpy(&head, at, sizeof head);
            add_record(t, at, &head);
        }
    }
    return n == EVB_EEMPTY ? EVB_OK : n;
}

/* False: the reason has been printed. */
static bool loop(int epoll_fd, int pipe_fd, evb_sub *sub, totals *t)
{
    for (bool done = false; !done;) {
        struct epoll_event events[2];
        int n = epoll_wait(epoll_fd, events, 2, -1);
        if (n < 0 && errno != EINTR) {
            perror("epoll_loop: epoll_wait");
            return false;
        }
        for (int i = 0; i < n; i++)
            done = done || events[i].data.fd == pipe_fd; /* end of file: it has closed its end */
        int32_t status = take_all(sub, t);               /* also after the end: what came before it */
        if (status < 0) {
            fprintf(stderr, "epoll_loop: cannot take: %s\n", evb_strerror(status));
            return false;
        }
    }
    return true;
}

static bool watch(int epoll_fd, int fd)
{
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd}) ==
           0;
}

int main(void)
{
    static totals t;
    pthread_t thread;
    int ends[2] = {-1, -1}, epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    evb_bus *bus = NULL;
    evb_sub *sub = NULL;
    bool ok = false;

    int32_t status = evb_bus_create(NULL, &bus);
    evb_sub_opts opts = {.capacity = ROOM, .overflow = EVB_OVERFLOW_BLOCK};
    if (status == EVB_OK) status = evb_subscribe(bus, "sensor.*", &opts, &sub);
    int32_t sub_fd = status == EVB_OK ? evb_sub_fd(sub) : status;
    if (sub_fd < 0) {
        fprintf(stderr, "epoll_loop: cannot subscribe: %s\n", evb_strerror(sub_fd));
        goto out;
    }
    if (epoll_fd < 0 || pipe(ends) != 0 || !watch(epoll_fd, sub_fd) || !watch(epoll_fd, ends[0])) {
        perror("epoll_loop: cannot set up the loop");
        goto out;
    }
    probe p = {.bus = bus, .done_fd = ends[1]};
    if (pthread_create(&thread, NULL, measure, &p) != 0) {
        fprintf(stderr, "epoll_loop: cannot start a thread\n");
        goto out;
    }
    ok = loop(epoll_fd, ends[0], sub, &t);
    (void)evb_unsubscribe(sub); /* if the loop has failed: who waits for room goes on */
    sub = NULL;
    (void)pthread_join(thread, NULL);
    ends[1] = -1; /* the thread has closed it */
    if (p.status < 0) fprintf(stderr, "epoll_loop: cannot publish: %s\n", evb_strerror(p.status));
    ok = ok && p.status >= 0;
    for (uint32_t i = 0; ok && i < SENSORS; i++)
        printf("sensor %" PRIu32 ": %" PRIu32 " readings, sum %" PRId64 "\n", i, t.readings[i], t.sum[i]);
out:
    if (sub != NULL) (void)evb_unsubscribe(sub);
    evb_bus_destroy(bus);
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0) close(ends[i]);
    if (epoll_fd >= 0) close(epoll_fd);
    if (fflush(stdout) == 0 && !ferror(stdout)) return !ok;
    perror("epoll_loop: cannot write");
    return 1;
}
