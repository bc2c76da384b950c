/* SPDX-License-Identifier: MIT */
/* Peer: nng over inproc, in the harness of the queues: a pipeline (PUSH, PULL), a pair in one thread and for
 * an answer, REQ and REP for requests. Its publish and subscribe drops what a subscriber has no room for, so
 * that four subscriptions are four pipelines here and an event is sent to each. Consumers are threads that
 * receive and call the handler. nng_send and nng_recv copy, as a publish does. */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench_queue.h"

struct office;

struct consumer {
    struct office *office;
    nng_socket socket;
    bool started;
    pthread_t thread;
};

struct office {
    struct post *post;
    uint32_t number; /* inproc names are those of the process */
    nng_socket out[POST_SENDERS][POST_FAN];
    struct consumer consumer[POST_CONSUMERS];
    char data[POST_SENDERS][POST_BYTES_MAX], got[POST_BYTES_MAX];
};

static void *consume(void *arg)
{
    struct consumer *c = arg;
    struct post *post = c->office->post;
    struct post_tally *tally = &post->tally[c - c->office->consumer];
    char data[POST_BYTES_MAX];
    size_t size = sizeof data;

    post_settle_in(post);
    while (nng_recv(c->socket, data, &size, 0) == 0) { /* until it is closed */
        post_handle(post, tally, data, size);
        if (post->answers && nng_send(c->socket, data, size, 0) != 0) break;
        size = sizeof data;
    }
    return NULL;
}

/* ---- sockets ---- */

static nng_socket new_socket(int (*open)(nng_socket *))
{
    nng_socket socket;

    bench_require(open(&socket) == 0, "nng: open");
    /* A protocol that has no such buffer refuses; all of them take what they have. */
    (void)nng_socket_set_int(socket, NNG_OPT_SENDBUF, POST_CAPACITY / 2);
    (void)nng_socket_set_int(socket, NNG_OPT_RECVBUF, POST_CAPACITY / 2);
    return socket;
}

/* A name for each publisher and subscription. */
static const char *address(const struct office *office, char *buf, size_t size, uint32_t sender, uint32_t fan)
{
    snprintf(buf, size, "inproc://events-%u-%u-%u", office->number, sender, fan);
    return buf;
}

static void add_senders(struct office *office, bool pair)
{
    int (*open)(nng_socket *) = office->post->requests ? nng_req0_open
                                : pair                 ? nng_pair0_open
                                                       : nng_push0_open;
    char name[64];

    for (uint32_t i = 0; i < office->post->senders; i++) {
        for (uint32_t k = 0; k < office->post->fan; k++) {
            office->out[i][k] = new_socket(open);
            bench_require(nng_listen(office->out[i][k], address(office, name, sizeof name, i, k), NULL, 0) ==
                              0,
                          "nng_listen");
        }
    }
}

/* The receiving socket of the i-th consumer: of the i-th subscription, or one of several of the only one. */
static void add_consumer(struct office *office, uint32_t i, bool pair)
{
    struct consumer *c = &office->consumer[i];
    char name[64];

    c->office = office;
    c->socket = new_socket(office->post->requests ? nng_rep0_open : pair ? nng_pair0_open : nng_pull0_open);
    for (uint32_t k = 0; k < office->post->senders; k++)
        bench_require(
            nng_dial(c->socket, address(office, name, sizeof name, k, i % office->post->fan), NULL, 0) == 0,
            "nng_dial");
    if (office->post->consumers == 0) return;
    c->started = true;
    bench_require(pthread_create(&c->thread, NULL, consume, c) == 0, "pthread_create");
}

static void *office_open(const struct post_system *system, struct post *post, const char **ret_why)
{
    static uint32_t number;
    struct office *office = calloc(1, sizeof *office);
    bool pair = post->answers || post->consumers == 0;

    (void)system;
    (void)ret_why;
    bench_require(office != NULL, "no memory");
    office->post = post;
    office->number = number++;
    add_senders(office, pair);
    for (uint32_t i = 0; i < (post->consumers != 0 ? post->consumers : 1); i++)
        add_consumer(office, i, pair);
    return office;
}

/* ---- the calls ---- */

static bool office_send(void *state, uint32_t which, uint64_t value, uint32_t n)
{
    struct office *office = state;
    uint32_t bytes = office->post->bytes;
    char *data = office->data[which];

    for (uint32_t i = 0; i < n; i++) {
        post_fill(data, bytes, ++value);
        for (uint32_t k = 0; k < office->post->fan; k++)
            if (nng_send(office->out[which][k], data, bytes, 0) != 0) return false;
    }
    return true;
}

static bool office_take(void *state, uint32_t n)
{
    struct office *office = state;

    for (uint32_t i = 0; i < n; i++) {
        size_t size = sizeof office->got;

        if (nng_recv(office->consumer[0].socket, office->got, &size, 0) != 0) return false;
        post_handle(office->post, &office->post->tally[0], office->got, size);
    }
    return true;
}

static bool office_await(void *state, uint64_t value)
{
    struct office *office = state;
    size_t size = sizeof office->got;

    if (nng_recv(office->out[0][0], office->got, &size, 0) != 0) return false;
    return size == office->post->bytes && post_value(office->got) == value;
}

static bool office_close(void *state, uint64_t published)
{
    struct office *office = state;
    uint32_t sockets = office->post->consumers != 0 ? office->post->consumers : 1;

    (void)published;
    for (uint32_t i = 0; i < sockets; i++)
        nng_close(office->consumer[i].socket);
    for (uint32_t i = 0; i < sockets; i++)
        if (office->consumer[i].started) pthread_join(office->consumer[i].thread, NULL);
    for (uint32_t i = 0; i < office->post->senders; i++)
        for (uint32_t k = 0; k < office->post->fan; k++)
            nng_close(office->out[i][k]);
    free(office);
    return true;
}

int main(int argc, char **argv)
{
    static const struct post_system system = {.impl = "nng",
                                              .open = office_open,
                                              .send = office_send,
                                              .take = office_take,
                                              .await = office_await,
                                              .close = office_close,
                                              .threads = true};
    nng_socket first;

    bench_info("nng", nng_version());
    /* It starts its threads now, before bench_main pins this one: they may run anywhere. */
    bench_require(nng_pair0_open(&first) == 0 && nng_close(first) == 0, "nng_pair0_open");
    post_add_all(&system, 16);
    post_add_all(&system, 1024);
    post_add_request(&system, 16);
    post_add_request(&system, 1024);
    post_add_stream(&system, "1-4x4", 16);
    post_add_stream(&system, "1-4x4", 1024);
    post_add_wake(&system, 16);
    return bench_main(argc, argv);
}
