/* SPDX-License-Identifier: MIT */
/* ring: one thread hands out work, three do it. The ring between them is bounded, so a producer that is too
 * fast waits for room; closing the ring tells the workers that no more will come.
 * Introduces: evb_ring_create, evb_ring_push, evb_ring_pop, evb_ring_try_push, evb_ring_count,
 * evb_ring_capacity, evb_ring_close, evb_ring_destroy. */
#include <evbus/ring.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#define WORKERS 3
#define JOBS    1000

/* Elements are copied in and out: a struct needs no malloc and has no owner. */
struct job {
    uint32_t from, to;
};

struct worker {
    pthread_t thread;
    evb_ring *ring;
    uint32_t jobs, primes;
    int32_t last; /* the answer that ended its loop */
};

static uint32_t is_prime(uint32_t n)
{
    for (uint32_t d = 2; d * d <= n; d++) {
        if (n % d == 0) return 0;
    }
    return n > 1;
}

static void *work(void *arg)
{
    struct worker *self = arg;
    struct job job;

    /* Sleeps while the ring is empty. After the close it still gets what is inside; then EVB_ECLOSED, for
     * good. */
    while ((self->last = evb_ring_pop(self->ring, &job, EVB_FOREVER)) == EVB_OK) {
        for (uint32_t n = job.from; n < job.to; n++)
            self->primes += is_prime(n);
        self->jobs++;
    }
    return NULL;
}

int main(void)
{
    /* One thread pushes, many pop: SPMC. MPMC, the default, would do as well. */
    evb_ring_opts opts = {.mode = EVB_RING_SPMC, .capacity = 8, .elem_bytes = sizeof(struct job)};
    struct worker workers[WORKERS] = {{0}};
    uint32_t started = 0, jobs = 0, primes = 0, most = 0;
    evb_ring *ring = NULL;
    int exit_code = 1;

    int32_t status = evb_ring_create(&opts, &ring);
    if (status < 0) {
        fprintf(stderr, "ring: cannot create the ring: %s\n", evb_strerror(status));
        return 1;
    }
    for (; started < WORKERS; started++) {
        workers[started].ring = ring;
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0) {
            fprintf(stderr, "ring: cannot start a worker\n");
            goto out;
        }
    }
    for (uint32_t i = 0; i < JOBS; i++) {
        struct job job = {.from = i * 100, .to = (i + 1) * 100};

        /* Backpressure: with eight jobs inside this waits until a worker takes one. */
        status = evb_ring_push(ring, &job, EVB_FOREVER);
        if (status < 0) {
            fprintf(stderr, "ring: cannot push: %s\n", evb_strerror(status));
            goto out;
        }
        if (evb_ring_count(ring) > most) most = evb_ring_count(ring);
    }
    exit_code = 0;
out:
    /* Close, join, destroy: in this order no thread is inside a call when the ring goes. */
    evb_ring_close(ring);
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        if (workers[i].last != EVB_ECLOSED) exit_code = 1;
        jobs += workers[i].jobs;
        primes += workers[i].primes;
    }
    if (exit_code == 0) {
        struct job late = {0, 0};

        printf("%u jobs, each done once by one of %d workers\n", (unsigned)jobs, WORKERS);
        printf("never more than %u waited in the ring: %s\n", (unsigned)evb_ring_capacity(ring),
               most <= evb_ring_capacity(ring) ? "yes" : "no");
        printf("primes below %u: %u\n", JOBS * 100u, (unsigned)primes);
        printf("a push after the close: %s\n", evb_strerror(evb_ring_try_push(ring, &late)));
    }
    evb_ring_destroy(ring);
    if (fflush(stdout) == 0 && !ferror(stdout)) return exit_code;
    perror("ring: cannot write");
    return 1;
}
