/* SPDX-License-Identifier: MIT */
/* retry_dead_letter: jobs that fail: what is tried again, what is given up, and how to get it back.
 *
 * Four mails: one can be delivered, one only at the third attempt (flaky), one not before somebody repairs
 * the server (every attempt fails, until they are used up), one never (its handler rejects it at once). What
 * was given up lies in the subscription's dead-letter queue with the reason. Then the server is repaired, the
 * dead letters are sent back to this subscription, and what dies again is looked at and thrown away.
 *
 * The handler runs in main, inside evb_sub_dispatch. Without EVB_SUB_DISPATCH it would run on the pool;
 * retries and dead letters are the same.
 *
 * Introduces: evb_retry, the results of a handler (EVB_OK, a negative status, EVB_REJECT), evb_event.attempt,
 * EVB_EVENT_REDRIVEN, evb_sub_dispatch, evb_dlq_browse, evb_death, evb_dlq_redrive, evb_dlq_purge.
 *
 * It prints what becomes of each attempt, and the dead letters.
 */
#include <evbus.h>

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPTS = 3 };

static int32_t attempt(const evb_event *ev, const char *address, bool server_works)
{
    if (strcmp(address, "nobody") == 0) return EVB_REJECT; /* given up: trying again cannot help */
    if (strcmp(address, "flaky") == 0 && ev->attempt < 3)
        return EVB_EAGAIN;                                               /* failed: again, after a while, */
    if (strcmp(address, "broken") == 0 && !server_works) return EVB_EIO; /* as often as the policy says */
    return EVB_OK;
}

static int32_t deliver(const evb_event *ev, void *user)
{
    const bool *server_works = user;
    int32_t result = attempt(ev, ev->data, *server_works); /* the text was published with its NUL */
    printf("  %-6s attempt %" PRIu32 "%s: %s\n", (const char *)ev->data, ev->attempt,
           (ev->flags & EVB_EVENT_REDRIVEN) != 0 ? ", sent back" : "",
           result == EVB_OK       ? "delivered"
           : result == EVB_REJECT ? "rejected"
                                  : evb_err_name(result));
    return result;
}

/* Runs the handler for everything that comes up until nothing is left, not even something that waits for its
 * next attempt. Returns EVB_OK. */
static int32_t work(evb_sub *sub)
{
    evb_queue_stats s = {.struct_size = sizeof s};
    struct pollfd fd = {.fd = evb_sub_fd(sub), .events = POLLIN};
    if (fd.fd < 0) return fd.fd;
    for (;;) {
        int32_t n;
        while ((n = evb_sub_dispatch(sub, 0)) > 0) {
        }
        if (n != EVB_EEMPTY) return n;
        if ((n = evb_sub_stats(sub, &s)) < 0) return n; /* after the dispatch: it takes what is due, too */
        if (s.ready + s.delayed == 0) return EVB_OK;
        if (s.ready == 0) (void)poll(&fd, 1, -1); /* readable when a delay is over; EINTR: we look again */
    }
}

static int32_t print_death(const evb_event *ev, const evb_death *death, void *user)
{
    (void)user;
    printf("  %-6s %s, attempts %" PRIu32 ", sent back %" PRIu32 " times, last result %s\n",
           (const char *)ev->data, death->reason, death->attempts, death->redrives,
           death->error_code == EVB_REJECT ? "EVB_REJECT" : evb_err_name(death->error_code));
    return 0; /* non-zero would end the walk */
}

static int32_t run(evb_bus *bus, evb_sub *sub, bool *server_works)
{
    static const char *const addresses[] = {"anna", "flaky", "broken", "nobody"};
    int32_t status = EVB_OK;
    puts("four mails:");
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0] && status >= 0; i++)
        status = evb_publish(bus, "mail.send", addresses[i], strlen(addresses[i]) + 1, NULL);
    if (status < 0 || (status = work(sub)) < 0) return status;
    puts("dead letters:");
    if ((status = evb_dlq_browse(sub, print_death, NULL)) < 0) return status; /* they stay where they are */

    *server_works = true;
    if ((status = evb_dlq_redrive(sub, UINT32_MAX)) < 0) return status;
    printf("the server is repaired, %" PRId32 " sent back:\n", status);
    if ((status = work(sub)) < 0) return status;
    puts("dead letters:");
    if ((status = evb_dlq_browse(sub, print_death, NULL)) < 0) return status;

    int64_t purged = evb_dlq_purge(sub);
    if (purged < 0) return (int32_t)purged;
    printf("thrown away: %" PRId64 ", left: %" PRId64 "\n", purged, evb_dlq_count(sub));
    return EVB_OK;
}

int main(void)
{
    bool server_works = false;
    evb_bus *bus = NULL;
    evb_sub *sub = NULL;
    evb_sub_opts opts = {
        .name = "mailer",
        .handler = deliver,
        .user = &server_works,
        .flags = EVB_SUB_DISPATCH,
        /* 1 ms after the first failure, 2 ms after the second; each made random, from 0 on, unless jitter
         * says otherwise: many that have failed together should not come back together. */
        .retry = {.max_attempts = ATTEMPTS,
                  .jitter = EVB_JITTER_NONE,
                  .base_ns = 1000000,
                  .cap_ns = 10000000},
    };

    evb_set_log(NULL, NULL,
                EVB_LOG_ERROR); /* each dead letter is a warning on stderr; here they are expected */
    int32_t status = evb_bus_create(NULL, &bus);
    if (status == EVB_OK) status = evb_subscribe(bus, "mail.send", &opts, &sub);
    if (status == EVB_OK) status = run(bus, sub, &server_works);
    if (status < 0) fprintf(stderr, "retry_dead_letter: %s\n", evb_strerror(status));
    if (sub != NULL) (void)evb_unsubscribe(sub);
    evb_bus_destroy(bus);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status < 0;
    perror("retry_dead_letter: cannot write");
    return 1;
}
