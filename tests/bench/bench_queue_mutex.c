/* SPDX-License-Identifier: MIT */
/* Reference: what one writes first. An array of pointers under a mutex with two condition variables, an event
 * a block of malloc, threads that wait, call a handler outside the lock and free. With four subscriptions
 * there are four such queues, and a copy for each. */
#include "bench_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "bench_queue_systems.h"

struct box {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    uint32_t head, count;
    bool closed;
    void *event[POST_CAPACITY];
};

struct consumer {
    struct office *office;
    struct box *box;
    struct post_tally *tally;
    pthread_t thread;
};

struct office {
    struct post *post;
    struct box box[POST_FAN];
    struct box answer;
    struct consumer consumer[POST_CONSUMERS];
};

static void put(struct box *box, void *event)
{
    pthread_mutex_lock(&box->lock);
    while (box->count == POST_CAPACITY)
        pthread_cond_wait(&box->not_full, &box->lock);
    box->event[(box->head + box->count) % POST_CAPACITY] = event;
    box->count++;
    pthread_mutex_unlock(&box->lock);
    pthread_cond_signal(&box->not_empty);
}

static void *get(struct box *box) /* NULL: closed and empty */
{
    void *event = NULL;

    pthread_mutex_lock(&box->lock);
    while (box->count == 0 && !box->closed)
        pthread_cond_wait(&box->not_empty, &box->lock);
    if (box->count != 0) {
        event = box->event[box->head];
        box->head = (box->head + 1) % POST_CAPACITY;
        box->count--;
    }
    pthread_mutex_unlock(&box->lock);
    pthread_cond_signal(&box->not_full);
    return event;
}

/* The publisher's payload is copied, as everybody else does. */
static bool put_value(struct box *box, uint32_t bytes, uint64_t value)
{
    static _Thread_local char data[POST_BYTES_MAX];
    void *event = malloc(bytes);

    if (event == NULL) return false;
    post_fill(data, bytes, value);
    memcpy(event, data, bytes);
    put(box, event);
    return true;
}

static void *consume(void *arg)
{
    struct consumer *c = arg;
    struct post *post = c->office->post;
    void *event;

    post_settle_in(post);
    while ((event = get(c->box)) != NULL) {
        post_handle(post, c->tally, event, post->bytes);
        if (post->answers) put_value(&c->office->answer, post->bytes, post_value(event));
        free(event);
    }
    return NULL;
}

static void box_init(struct box *box)
{
    pthread_mutex_init(&box->lock, NULL); /* the default kinds: glibc's and musl's never fail */
    pthread_cond_init(&box->not_empty, NULL);
    pthread_cond_init(&box->not_full, NULL);
}

static void box_close(struct box *box)
{
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    pthread_mutex_unlock(&box->lock);
    pthread_cond_broadcast(&box->not_empty);
}

static void box_destroy(struct box *box)
{
    pthread_cond_destroy(&box->not_full);
    pthread_cond_destroy(&box->not_empty);
    pthread_mutex_destroy(&box->lock);
}

static void *office_open(const struct post_system *system, struct post *post, const char **ret_why)
{
    struct office *office = calloc(1, sizeof *office);

    (void)system;
    (void)ret_why;
    bench_require(office != NULL, "no memory");
    office->post = post;
    box_init(&office->answer);
    for (uint32_t i = 0; i < post->fan; i++)
        box_init(&office->box[i]);
    for (uint32_t i = 0; i < post->consumers; i++) {
        struct consumer *c = &office->consumer[i];

        c->office = office;
        c->box = &office->box[i % post->fan];
        c->tally = &post->tally[i];
        bench_require(pthread_create(&c->thread, NULL, consume, c) == 0, "pthread_create");
    }
    return office;
}

static bool office_send(void *state, uint32_t which, uint64_t value, uint32_t n)
{
    struct office *office = state;
    bool ok = true;

    (void)which;
    for (uint32_t i = 0; i < n; i++) {
        value++;
        for (uint32_t k = 0; k < office->post->fan; k++)
            ok = put_value(&office->box[k], office->post->bytes, value) && ok;
    }
    return ok;
}

static bool office_take(void *state, uint32_t n)
{
    struct office *office = state;

    for (uint32_t i = 0; i < n; i++) {
        void *event = get(&office->box[0]);

        post_handle(office->post, &office->post->tally[0], event, office->post->bytes);
        free(event);
    }
    return true;
}

static bool office_await(void *state, uint64_t value)
{
    struct office *office = state;
    void *event = get(&office->answer);
    bool ok = post_value(event) == value;

    free(event);
    return ok;
}

static bool office_close(void *state, uint64_t published)
{
    struct office *office = state;

    (void)published;
    for (uint32_t i = 0; i < office->post->fan; i++)
        box_close(&office->box[i]);
    for (uint32_t i = 0; i < office->post->consumers; i++)
        pthread_join(office->consumer[i].thread, NULL);
    for (uint32_t i = 0; i < office->post->fan; i++)
        box_destroy(&office->box[i]);
    box_destroy(&office->answer);
    free(office);
    return true;
}

void queue_add_mutex(void)
{
    static const struct post_system system = {.impl = "mutex",
                                              .open = office_open,
                                              .send = office_send,
                                              .take = office_take,
                                              .await = office_await,
                                              .close = office_close};

    post_add_all(&system, 16);
    post_add_all(&system, 1024);
    post_add_stream(&system, "1-4x4", 16);
    post_add_stream(&system, "1-4x4", 1024);
    post_add_wake(&system, 16);
}
