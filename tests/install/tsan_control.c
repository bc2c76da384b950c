/* SPDX-License-Identifier: MIT */
/* One thread registers a listener, another one emits: what it reads there was written by the first, and only
 * the library's own atomics say that the write comes before the read. tests/install/tsan.sh compiles this
 * with ThreadSanitizer, once with the library as it is and once with its publishing stores weakened. */
#include <evbus.h>

#include <pthread.h>
#include <sched.h>

#define ROUNDS 20

static evb_bus *bus;

static int32_t take(const evb_event *ev, void *user)
{
    (void)ev;
    ++*(int *)user; /* read by nobody else before the join */
    return EVB_OK;
}

/* Emits until somebody listens: the emit that finds the listener has met the other thread's writes. */
static void *emit_until_heard(void *topic)
{
    while (evb_emit(bus, topic, NULL, 0) == 0)
        (void)sched_yield();
    return NULL;
}

int main(void)
{
    int events = 0;

    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        int64_t id;

        if (evb_bus_create(NULL, &bus) < 0) return 1;
        if (pthread_create(&thread, NULL, emit_until_heard, "a.b") != 0) return 2;
        id = evb_on(bus, i % 2 == 0 ? "a.b" : "a.*", take, &events);
        if (id < 0) return 3;
        (void)pthread_join(thread, NULL);
        if (evb_off_wait(bus, id) < 0) return 4;
        evb_bus_destroy(bus);
    }
    return events == ROUNDS ? 0 : 5;
}
