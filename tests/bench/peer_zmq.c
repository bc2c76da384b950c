/* SPDX-License-Identifier: MIT */
/* Peer: ZeroMQ over inproc, in the harness of the queues. `zmq` is a pipeline (PUSH, PULL), in one thread and
 * for an answer a pair, for requests REQ and REP; `zmq-pubsub` is publish and subscribe with XPUB, told to
 * wait instead of dropping (ZMQ_XPUB_NODROP). The two high-water marks of a connection together are the
 * capacity. Consumers are threads that receive and call the handler; one thread with four subscribers asks
 * each in turn, and polls when all are empty. zmq_send and zmq_recv copy, as a publish does. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "bench_queue.h"

struct office;

struct consumer {
    struct office *office;
    void *socket[POST_FAN];
    struct post_tally *tally[POST_FAN];
    uint32_t sockets;
    bool started;
    pthread_t thread;
};

struct office {
    struct post *post;
    void *context;
    void *out[POST_SENDERS]; /* pingpong: both ends of the pair are sockets in turn */
    struct consumer consumer[POST_CONSUMERS];
    char data[POST_SENDERS][POST_BYTES_MAX], got[POST_BYTES_MAX];
};

/* ---- consumers ---- */

/* false: the context ends. */
static bool receive(struct consumer *c, uint32_t which, char *data, int flags, bool *ret_got)
{
    int size = zmq_recv(c->socket[which], data, POST_BYTES_MAX, flags);

    *ret_got = size >= 0;
    if (size < 0) return zmq_errno() != ETERM;
    post_handle(c->office->post, c->tally[which], data, (size_t)size);
    if (c->office->post->answers) return zmq_send(c->socket[which], data, (size_t)size, 0) == size;
    return true;
}

static bool receive_any(struct consumer *c, char *data)
{
    zmq_pollitem_t items[POST_FAN];
    bool any = false, got;

    if (c->sockets == 1) return receive(c, 0, data, 0, &got);
    for (uint32_t i = 0; i < c->sockets; i++) {
        if (!receive(c, i, data, ZMQ_DONTWAIT, &got)) return false;
        any = any || got;
        items[i] = (zmq_pollitem_t){.socket = c->socket[i], .events = ZMQ_POLLIN};
    }
    return any || zmq_poll(items, (int)c->sockets, -1) >= 0;
}

static void *consume(void *arg)
{
    struct consumer *c = arg;
    char data[POST_BYTES_MAX];

    post_settle_in(c->office->post);
    while (receive_any(c, data)) {
    }
    for (uint32_t i = 0; i < c->sockets; i++)
        zmq_close(c->socket[i]);
    return NULL;
}

/* ---- sockets ---- */

static void *new_socket(struct office *office, int type)
{
    void *socket = zmq_socket(office->context, type);
    int half = POST_CAPACITY / 2, none = 0, yes = 1;

    bench_require(socket != NULL, "zmq_socket");
    zmq_setsockopt(socket, ZMQ_SNDHWM, &half, sizeof half);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &half, sizeof half);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    if (type == ZMQ_XPUB) { /* waits for room; tells of each subscription, also of those to the same */
        bench_require(zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &yes, sizeof yes) == 0, "ZMQ_XPUB_NODROP");
        bench_require(zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &yes, sizeof yes) == 0, "ZMQ_XPUB_VERBOSE");
    }
    if (type == ZMQ_SUB) bench_require(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) == 0, "ZMQ_SUBSCRIBE");
    return socket;
}

static const char *endpoint(uint32_t sender)
{
    return sender == 0 ? "inproc://events-0" : "inproc://events-1";
}

/* A receiving socket, connected with all publishers. */
static void add_socket(struct office *office, struct consumer *c, int type, struct post_tally *tally)
{
    void *socket = new_socket(office, type);

    for (uint32_t i = 0; i < office->post->senders; i++)
        bench_require(zmq_connect(socket, endpoint(i)) == 0, "zmq_connect");
    c->office = office;
    c->tally[c->sockets] = tally;
    c->socket[c->sockets++] = socket;
}

static void start(struct office *office)
{
    for (uint32_t i = 0; i < office->post->consumers; i++) {
        struct consumer *c = &office->consumer[i];

        c->started = true;
        bench_require(pthread_create(&c->thread, NULL, consume, c) == 0, "pthread_create");
    }
}

static struct office *new_office(struct post *post, int type)
{
    struct office *office = calloc(1, sizeof *office);

    bench_require(office != NULL, "no memory");
    office->post = post;
    office->context = zmq_ctx_new();
    bench_require(office->context != NULL, "zmq_ctx_new");
    bench_unpin(); /* its own threads, which the first socket starts, may run anywhere */
    for (uint32_t i = 0; i < post->senders; i++) {
        office->out[i] = new_socket(office, type);
        bench_require(zmq_bind(office->out[i], endpoint(i)) == 0, "zmq_bind");
    }
    bench_pin(0);
    return office;
}

static void *open_pipeline(const struct post_system *system, struct post *post, const char **ret_why)
{
    bool pair = post->answers || post->consumers == 0;
    struct office *office = new_office(post, post->requests ? ZMQ_REQ : pair ? ZMQ_PAIR : ZMQ_PUSH);
    int type = post->requests ? ZMQ_REP : pair ? ZMQ_PAIR : ZMQ_PULL;

    (void)system;
    (void)ret_why;
    for (uint32_t i = 0; i < (post->consumers != 0 ? post->consumers : 1); i++)
        add_socket(office, &office->consumer[i], type, &post->tally[i]);
    start(office);
    return office;
}

static void *open_pubsub(const struct post_system *system, struct post *post, const char **ret_why)
{
    struct office *office = new_office(post, ZMQ_XPUB);
    char subscription[8];

    (void)system;
    (void)ret_why;
    for (uint32_t i = 0; i < post->fan; i++)
        add_socket(office, &office->consumer[i % post->consumers], ZMQ_SUB, &post->tally[i]);
    for (uint32_t i = 0; i < post->fan; i++) /* each has arrived: nothing is missed */
        bench_require(zmq_recv(office->out[0], subscription, sizeof subscription, 0) == 1, "a subscription");
    start(office);
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
        if (zmq_send(office->out[which], data, bytes, 0) != (int)bytes) return false;
    }
    return true;
}

static bool office_take(void *state, uint32_t n)
{
    struct office *office = state;
    bool got = true;

    for (uint32_t i = 0; i < n && got; i++)
        if (!receive(&office->consumer[0], 0, office->got, 0, &got)) return false;
    return got;
}

static bool office_await(void *state, uint64_t value)
{
    struct office *office = state;
    int size = zmq_recv(office->out[0], office->got, sizeof office->got, 0);

    return size == (int)office->post->bytes && post_value(office->got) == value;
}

static bool office_close(void *state, uint64_t published)
{
    struct office *office = state;

    (void)published;
    zmq_ctx_shutdown(office->context); /* wakes the consumers, with ETERM */
    for (uint32_t i = 0; i < POST_CONSUMERS; i++)
        if (office->consumer[i].started) pthread_join(office->consumer[i].thread, NULL);
    for (uint32_t i = 0; i < office->post->senders; i++)
        zmq_close(office->out[i]);
    zmq_ctx_term(office->context);
    free(office);
    return true;
}

int main(int argc, char **argv)
{
    static const struct post_system pipeline = {.impl = "zmq",
                                                .open = open_pipeline,
                                                .send = office_send,
                                                .take = office_take,
                                                .await = office_await,
                                                .close = office_close};
    static const struct post_system pubsub = {
        .impl = "zmq-pubsub", .open = open_pubsub, .send = office_send, .close = office_close};
    static const uint32_t sizes[] = {16, 1024};
    int major, minor, patch;
    char version[32];

    zmq_version(&major, &minor, &patch);
    snprintf(version, sizeof version, "%d.%d.%d", major, minor, patch);
    bench_info("zmq", version);
    for (uint32_t i = 0; i < 2; i++) {
        post_add_all(&pipeline, sizes[i]);
        post_add_request(&pipeline, sizes[i]);
        post_add_stream(&pubsub, "1-1", sizes[i]);
        post_add_stream(&pubsub, "1-4", sizes[i]);
        post_add_stream(&pubsub, "1-4x4", sizes[i]);
    }
    post_add_wake(&pipeline, 16);
    return bench_main(argc, argv);
}
