/* SPDX-License-Identifier: MIT */
/* workers: jobs out through one topic, done by several threads, results back through another.
 *
 * A subscription with a handler and concurrency 4 is a crowd of workers; a subscription without a handler is
 * pulled by whoever wants the results, here by main. No more than WINDOW jobs are out at any time: so the
 * queue of results cannot be full, and a handler, which may not wait, always gets rid of its own. Results
 * come in any order and, since delivery is at least once, perhaps twice: they are put in their place by
 * number.
 *
 * Introduces: evb_subscribe with concurrency and without a handler, evb_publish from inside a handler,
 * evb_sub_next, evb_ack, evb_dlq_count, evb_unsubscribe.
 *
 * It prints, in the order of the jobs, how many primes each range holds, and the sum.
 */
#include <evbus.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { JOBS = 10, WORKERS = 4, WINDOW = 6, RANGE = 10000 };

#define RESULT_TIMEOUT_NS (INT64_C(60) * 1000 * 1000 * 1000)

typedef struct job {
    uint32_t number, from, to;
} job;

typedef struct result {
    uint32_t number, primes;
} result;

static bool is_prime(uint32_t n)
{
    for (uint32_t d = 2; d * d <= n; d++)
        if (n % d == 0) return false;
    return n > 1;
}

/* Runs on four threads at once: everything it changes is its own. Its result settles the job: EVB_OK is done,
 * a negative status is a failed attempt, tried again after a while and a dead letter after five. */
static int32_t count_primes(const evb_event *ev, void *user)
{
    evb_bus *bus = user;
    job todo;
    if (ev->size != sizeof todo) return EVB_REJECT;
    memcpy(&todo, ev->data, sizeof todo);
    result done = {.number = todo.number};
    for (uint32_t n = todo.from; n < todo.to; n++)
        done.primes += is_prime(n);
    int32_t reached =
        evb_publish(bus, "primes.counted", &done, sizeof done, &(evb_publish_opts){.flags = EVB_MANDATORY});
    return reached < 0 ? reached : EVB_OK;
}

static int32_t publish_job(evb_bus *bus, uint32_t number)
{
    job todo = {.number = number, .from = number * RANGE, .to = (number + 1) * RANGE};
    int32_t reached =
        evb_publish(bus, "primes.wanted", &todo, sizeof todo, &(evb_publish_opts){.flags = EVB_MANDATORY});
    return reached < 0 ? reached : EVB_OK;
}

/* Sleeps until there is a result. The event is readable until the ack, which takes it out of the queue. */
static int32_t take_result(evb_sub *results, result *ret_result)
{
    uint64_t delivery;
    const evb_event *ev;
    int32_t status = evb_sub_next(results, RESULT_TIMEOUT_NS, &delivery, &ev);
    if (status < 0) return status;
    if (ev->size != sizeof *ret_result) return evb_reject(results, delivery, EVB_EINVAL, "not a result");
    memcpy(ret_result, ev->data, sizeof *ret_result);
    return evb_ack(results, delivery);
}

/* Publishes while there is room in the window, else waits for a result. */
static int32_t run(evb_bus *bus, evb_sub *results, uint32_t primes[JOBS])
{
    bool known[JOBS] = {false};
    uint32_t sent = 0, received = 0;
    while (received < JOBS) {
        result r = {.number = JOBS};
        int32_t status;
        if (sent < JOBS && sent - received < WINDOW) {
            status = publish_job(bus, sent++);
        } else {
            status = take_result(results, &r);
        }
        if (status < 0) return status;
        if (r.number < JOBS && !known[r.number]) {
            known[r.number] = true;
            primes[r.number] = r.primes;
            received++;
        }
    }
    return EVB_OK;
}

int main(void)
{
    uint32_t primes[JOBS] = {0}, sum = 0;
    evb_bus *bus = NULL;
    evb_sub *jobs = NULL, *results = NULL;

    int32_t status = evb_bus_create(&(evb_bus_opts){.workers = WORKERS}, &bus);
    /* A job holds its place until its handler has returned, a moment after its result is here: block. */
    evb_sub_opts work = {.handler = count_primes,
                         .user = bus,
                         .concurrency = WORKERS,
                         .capacity = WINDOW,
                         .overflow = EVB_OVERFLOW_BLOCK};
    evb_sub_opts pulled = {.capacity = WINDOW};
    if (status == EVB_OK) status = evb_subscribe(bus, "primes.wanted", &work, &jobs);
    if (status == EVB_OK) status = evb_subscribe(bus, "primes.counted", &pulled, &results);
    if (status == EVB_OK) status = run(bus, results, primes);
    if (status < 0) {
        fprintf(stderr, "workers: %s\n", evb_strerror(status));
        if (jobs != NULL) fprintf(stderr, "workers: %d jobs given up\n", (int)evb_dlq_count(jobs));
    } else {
        for (uint32_t i = 0; i < JOBS; i++) {
            printf("%5u to %5u: %4u primes\n", i * RANGE, (i + 1) * RANGE - 1, (unsigned)primes[i]);
            sum += primes[i];
        }
        printf("%d jobs, %d threads, never more than %d jobs out: %u primes\n", JOBS, WORKERS, WINDOW,
               (unsigned)sum);
    }
    /* Workers first, so that no result comes any more; the bus last. */
    if (jobs != NULL) (void)evb_unsubscribe(jobs);
    if (results != NULL) (void)evb_unsubscribe(results);
    evb_bus_destroy(bus);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status < 0;
    perror("workers: cannot write");
    return 1;
}
