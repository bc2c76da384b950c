/* SPDX-License-Identifier: MIT */
/* delayed_jobs: work for later, work that comes back, and work that is worth nothing when it is late.
 *
 * Reminders are published with delays and come when they are due, whatever the order of publication. A job
 * that has to wait for something (a printer that warms up) is given back with a delay of its own. A one-time
 * code lives for a millisecond while nobody is at the desk: it expires in the queue, by the timer, and
 * becomes a dead letter because that is asked for.
 *
 * Introduces: evb_publish_opts.delay_ns and ttl_ns, evb_nack with a delay, evb_sub_opts.ttl_ns,
 * EVB_SUB_DEAD_LETTER_EXPIRED, evb_sub_pause.
 *
 * It prints each job when it is done. Delays are never shorter than asked for; on a busy machine longer.
 */
#include <evbus.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS INT64_C(1000000)

static int32_t later(evb_bus *bus, const char *job, int64_t delay_ns, int64_t ttl_ns)
{
    return evb_publish(bus, "desk.job", job, strlen(job) + 1,
                       &(evb_publish_opts){.delay_ns = delay_ns, .ttl_ns = ttl_ns});
}

/* Does the next `count` deliveries, and waits for them. */
static int32_t work(evb_sub *sub, int count)
{
    for (; count > 0; count--) {
        const evb_event *ev;
        uint64_t delivery;
        int32_t status = evb_sub_next(sub, EVB_FOREVER, &delivery, &ev);
        if (status < 0) return status;
        const char *job = ev->data;
        if (strcmp(job, "print") == 0 && ev->attempt < 3) {
            printf("  %s: the printer is warming up\n", job);
            status = evb_nack(sub, delivery, 2 * MS); /* again in two milliseconds */
        } else {
            printf("  %s: done\n", job);
            status = evb_ack(sub, delivery);
        }
        if (status < 0) return status;
    }
    return EVB_OK;
}

static int32_t print_death(const evb_event *ev, const evb_death *death, void *user)
{
    (void)user;
    printf("  %s: %s, handed out %" PRIu32 " times\n", (const char *)ev->data, death->reason,
           death->attempts);
    return 0;
}

static int32_t run(evb_bus *bus, evb_sub *sub)
{
    const struct timespec pause = {0, 1000000};
    int32_t status;

    puts("published out of order, done when due:");
    if ((status = later(bus, "print", 40 * MS, 0)) < 0) return status;
    if ((status = later(bus, "call back", 30 * MS, 0)) < 0) return status;
    if ((status = later(bus, "water the flowers", 20 * MS, 0)) < 0) return status;
    if ((status = later(bus, "open the mail", 0, 0)) < 0) return status;
    if ((status = work(sub, 6)) < 0) return status;

    puts("nobody at the desk, a code that lives for 1 ms and one for 10 minutes:");
    if ((status = evb_sub_pause(sub)) < 0) return status;
    if ((status = later(bus, "code 1234", 0, MS)) < 0) return status;
    if ((status = later(bus, "code 5678", 0, 0)) < 0) return status; /* the subscription's time */
    while (evb_dlq_count(sub) == 0)
        (void)nanosleep(&pause, NULL);
    if ((status = evb_dlq_browse(sub, print_death, NULL)) < 0) return status;
    if ((status = evb_sub_resume(sub)) < 0) return status;
    if ((status = work(sub, 1)) < 0) return status;

    evb_queue_stats s = {.struct_size = sizeof s};
    if ((status = evb_sub_stats(sub, &s)) < 0) return status;
    printf("%" PRIu64 " jobs = %" PRIu64 " done + %" PRIu64 " dead letter; %" PRIu64 " attempts\n",
           s.enqueued, s.acked, s.dead_lettered, s.delivered);
    return EVB_OK;
}

int main(void)
{
    evb_bus *bus = NULL;
    evb_sub *sub = NULL;
    evb_sub_opts opts = {.name = "desk",
                         .ttl_ns = 600 * 1000 * MS, /* of every job; an event's own time may be shorter */
                         .flags = EVB_SUB_DEAD_LETTER_EXPIRED};

    evb_set_log(NULL, NULL, EVB_LOG_ERROR); /* a dead letter is a warning on stderr; here one is expected */
    int32_t status = evb_bus_create(NULL, &bus);
    if (status == EVB_OK) status = evb_subscribe(bus, "desk.job", &opts, &sub);
    if (status == EVB_OK) status = run(bus, sub);
    if (status < 0) fprintf(stderr, "delayed_jobs: %s\n", evb_strerror(status));
    if (sub != NULL) (void)evb_unsubscribe(sub);
    evb_bus_destroy(bus);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status < 0;
    perror("delayed_jobs: cannot write");
    return 1;
}
