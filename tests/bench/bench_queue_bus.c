/* SPDX-License-Identifier: MIT */
/* Queued subscriptions of a bus: the program bench_queue. The harness is bench_queue.c.
 *
 *      by    evbus           evb_topic_publish; a queue that blocks when it is full; a handler on a pool
 *            evbus-emit      evb_topic_emit instead
 *            evbus-name      evb_publish, by name
 *            evbus-many      evb_publish_many, 64 at once
 *            evbus-key       with a key of 16 bytes, always the same
 *            evbus-8-keys, -1k-keys, -1m-keys    with one of so many keys of 8 bytes, in a random order
 *            evbus-header    with two headers
 *            evbus-once      at most once
 *            evbus-own       the pool that the bus makes for itself: a thread for each CPU, free to move
 *            evbus-reject    a queue that rejects when it is full: the publisher pauses and tries again
 *            evbus-newest    a queue that drops the newest; one thread only
 *            evbus-oldest    a queue that drops the oldest; one thread only
 *            evbus-listener  a listener replies to the request, in the requester's thread
 *            evbus-next      pulled by evb_sub_next, settled by evb_ack
 *            evbus-unleased  the same with a lease that never ends; one thread only
 *            evbus-take      pulled by evb_sub_take; one thread only
 *
 * In one thread (queue/one-N) the handler runs in evb_sub_dispatch. At its end each measurement drains the
 * bus and compares the counters of every subscription with what has been published.
 */
#include <evbus.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench_queue.h"

#include "bench_flow.h"
#include "bench_queue_systems.h"

#define DRAIN_NS INT64_C(20000000000)
#define TOPIC    "bench.queue.events"
#define ANSWERS  "bench.queue.answers"
#define PACKED   (128 + POST_BYTES_MAX) /* one record of evb_sub_take */
#define PATIENCE 32                     /* pauses between two tries of a rejected publisher */

/* param[0], [1], [2] of a system */
enum {
    BY_TOPIC,
    BY_EMIT,
    BY_NAME,
    BY_MANY,
    WITH_KEY,
    WITH_HEADERS,
    BY_REQUEST,
    OF_8_KEYS,
    OF_1K_KEYS,
    OF_1M_KEYS
};
enum {
    BLOCK = EVB_OVERFLOW_BLOCK,
    REJECT = EVB_OVERFLOW_REJECT,
    OLDEST = EVB_OVERFLOW_DROP_OLDEST,
    NEWEST = EVB_OVERFLOW_DROP_NEWEST
};
enum { HANDLER, HANDLER_ONCE, HANDLER_OWN, LISTENER, NEXT, NEXT_UNLEASED, TAKE };

struct sender {
    evb_publish_opts opts;
    uint64_t key; /* of the next event, of so many: */
    uint32_t keys;
    evb_header headers[2];
    evb_message messages[POST_CHUNK];
    char *data; /* POST_CHUNK payloads */
};

struct office;

struct place { /* user of a subscription */
    struct office *office;
    struct post_tally *tally;
};

struct office {
    struct post *post;
    struct place place[POST_FAN];
    uint32_t how, overflow, consume;
    evb_pool *pool;
    evb_bus *bus;
    evb_topic *topic, *answers;
    evb_sub *sub[POST_FAN], *answer_sub;
    const evb_event *reply;
    uint32_t tallies; /* given to threads so far, atomic */
    struct sender sender[POST_SENDERS];
    pthread_t puller;
    bool pulls;
    uint64_t room[16 * PACKED / 8];
};

/* ---- handlers ---- */

static int32_t handle(const evb_event *ev, void *user)
{
    const struct place *place = user;

    post_got(place->office->post, place->tally, ev->data, ev->size);
    return EVB_OK;
}

/* Of several at once: each thread has a tally of its own. */
static int32_t handle_among_others(const evb_event *ev, void *user)
{
    static _Thread_local struct post_tally *own;
    struct office *office = ((const struct place *)user)->office;

    if (own == NULL) /* the threads end with the measurement */
        own =
            &office->post->tally[__atomic_fetch_add(&office->tallies, 1, __ATOMIC_RELAXED) % POST_CONSUMERS];
    post_got(office->post, own, ev->data, ev->size);
    return EVB_OK;
}

static int32_t handle_stamp(const evb_event *ev, void *user)
{
    post_got_stamp(((const struct place *)user)->office->post, ev->data, ev->size);
    return EVB_OK;
}

static int32_t handle_and_answer(const evb_event *ev, void *user)
{
    const struct place *place = user;

    post_got(place->office->post, place->tally, ev->data, ev->size);
    return evb_topic_publish(place->office->answers, ev->data, ev->size, NULL) == 1 ? EVB_OK : EVB_REJECT;
}

static int32_t handle_and_reply(const evb_event *ev, void *user)
{
    const struct place *place = user;

    post_got(place->office->post, place->tally, ev->data, ev->size);
    return evb_reply(ev, ev->data, ev->size);
}

static evb_handler handler_of(const struct post *post)
{
    if (post->requests) return handle_and_reply;
    if (post->answers) return handle_and_answer;
    if (post->stamps) return handle_stamp;
    return post->consumers > post->fan ? handle_among_others : handle;
}

/* ---- pulling ---- */

/* false: there was nothing, for as long as the call waits. */
static bool next_and_ack(struct office *office, int64_t timeout_ns)
{
    evb_sub *sub = office->sub[0];
    const evb_event *ev;
    uint64_t delivery;

    if (evb_sub_next(sub, timeout_ns, &delivery, &ev) != EVB_OK) return false;
    post_handle(office->post, &office->post->tally[0], ev->data, ev->size);
    return evb_ack(sub, delivery) == EVB_OK;
}

static void *pull(void *arg)
{
    struct office *office = arg;

    post_settle_in(office->post);
    while (next_and_ack(office, EVB_FOREVER)) {
    }
    return NULL; /* the bus has drained */
}

static bool take(struct office *office, uint32_t n)
{
    while (n > 0) {
        const char *at = (const char *)office->room;
        int32_t got = evb_sub_take(office->sub[0], office->room, sizeof office->room, n);

        if (got <= 0) return false;
        n -= (uint32_t)got;
        for (; got > 0; got--) {
            const evb_packed *head = (const void *)at;

            post_handle(office->post, &office->post->tally[0],
                        at + sizeof *head + head->topic_len + 1 + head->key_len, head->data_len);
            at += head->size;
        }
    }
    return true;
}

static bool office_take(void *state, uint32_t n)
{
    struct office *office = state;

    if (office->consume == TAKE) return take(office, n);
    if (office->consume < NEXT) return evb_sub_dispatch(office->sub[0], n) == (int32_t)n;
    for (uint32_t i = 0; i < n; i++)
        if (!next_and_ack(office, 0)) return false;
    return true;
}

static bool office_await(void *state, uint64_t value)
{
    struct office *office = state;
    const evb_event *ev;
    uint64_t delivery;
    bool ok;

    if (office->reply != NULL) {
        ok = post_value(office->reply->data) == value;
        evb_event_release(office->reply);
        office->reply = NULL;
        return ok;
    }
    if (evb_sub_next(office->answer_sub, DRAIN_NS, &delivery, &ev) != EVB_OK) return false;
    ok = post_value(ev->data) == value;
    return evb_ack(office->answer_sub, delivery) == EVB_OK && ok;
}

/* ---- publishing ---- */

static int32_t publish_one(struct office *office, const struct sender *sender, uint32_t size)
{
    switch (office->how) {
    case BY_EMIT:
        return evb_topic_emit(office->topic, sender->data, size);
    case BY_NAME:
        return evb_publish(office->bus, TOPIC, sender->data, size, NULL);
    case BY_TOPIC:
        return evb_topic_publish(office->topic, sender->data, size, NULL);
    default:
        return evb_topic_publish(office->topic, sender->data, size, &sender->opts);
    }
}

static bool office_send(void *state, uint32_t which, uint64_t value, uint32_t n)
{
    struct office *office = state;
    struct sender *sender = &office->sender[which];
    uint32_t size = office->post->bytes;
    int32_t fan = (int32_t)office->post->fan;

    if (office->how == BY_REQUEST) { /* one, and its reply */
        post_fill(sender->data, size, value + 1);
        return evb_request(office->bus, TOPIC, sender->data, size, DRAIN_NS, &office->reply) == EVB_OK;
    }
    if (office->how == BY_MANY) {
        for (uint32_t i = 0; i < n; i++)
            post_fill(sender->data + i * size, size, ++value);
        return evb_publish_many(office->bus, sender->messages, n, NULL) == fan * (int32_t)n;
    }
    for (uint32_t i = 0; i < n; i++) {
        int32_t reached;

        post_fill(sender->data, size, ++value);
        if (sender->keys != 0) sender->key = (value * 2654435761u >> 16) % sender->keys;
        while ((reached = publish_one(office, sender, size)) == EVB_EFULL)
            for (uint32_t pause = 0; pause < PATIENCE; pause++)
                flow_pause();
        if (reached != fan) return false;
    }
    return true;
}

static void fill_sender(struct office *office, struct sender *sender)
{
    static const char key[16] = "customer-0000042", trace[16] = "4bf92f3577b34da6";
    uint32_t size = office->post->bytes;

    sender->data = calloc(POST_CHUNK, size);
    bench_require(sender->data != NULL, "no memory");
    for (uint32_t i = 0; i < POST_CHUNK; i++)
        sender->messages[i] = (evb_message){.topic = TOPIC, .data = sender->data + i * size, .size = size};
    sender->opts.struct_size = sizeof sender->opts;
    if (office->how == WITH_KEY) {
        sender->opts.key = key;
        sender->opts.key_len = sizeof key;
    }
    if (office->how >= OF_8_KEYS) {
        sender->keys = office->how == OF_8_KEYS ? 8 : office->how == OF_1K_KEYS ? 1000 : 1000000;
        sender->opts.key = &sender->key;
        sender->opts.key_len = sizeof sender->key;
    }
    if (office->how == WITH_HEADERS) {
        sender->headers[0] = (evb_header){.name = "content-type", .value = "text/csv", .value_len = 8};
        sender->headers[1] = (evb_header){.name = "traceparent", .value = trace, .value_len = sizeof trace};
        sender->opts.headers = sender->headers;
        sender->opts.header_count = 2;
    }
}

/* ---- opening and closing ---- */

static void settle_in(void *post)
{
    post_settle_in(post);
}

static void open_bus(struct office *office)
{
    evb_bus_opts opts = {.struct_size = sizeof opts};

    bench_unpin(); /* threads are counted and started by what this thread may use */
    if (office->consume <= HANDLER_ONCE && office->post->consumers != 0) {
        evb_pool_opts pool = {.struct_size = sizeof pool,
                              .threads = office->post->consumers,
                              .on_thread_start = settle_in,
                              .thread_user = office->post};

        bench_require(evb_pool_create(&pool, &office->pool) == EVB_OK, "evb_pool_create");
        opts.pool = office->pool;
    }
    bench_require(evb_bus_create(&opts, &office->bus) == EVB_OK, "evb_bus_create");
    bench_require(evb_topic_open(office->bus, TOPIC, &office->topic) == EVB_OK, "evb_topic_open");
    if (office->post->answers && !office->post->requests)
        bench_require(evb_topic_open(office->bus, ANSWERS, &office->answers) == EVB_OK, "evb_topic_open");
}

static void subscribe(struct office *office)
{
    const struct post *post = office->post;
    evb_sub_opts opts = {.struct_size = sizeof opts, .capacity = POST_CAPACITY};

    if (post->answers && !post->requests)
        bench_require(evb_subscribe(office->bus, ANSWERS, &opts, &office->answer_sub) == EVB_OK,
                      "evb_subscribe");
    opts.overflow = office->overflow;
    opts.concurrency = post->consumers > post->fan ? post->consumers : 1;
    if (office->consume == HANDLER_ONCE) opts.flags |= EVB_SUB_AT_MOST_ONCE;
    if (office->consume == NEXT_UNLEASED) opts.lease_ns = INT64_MAX;
    if (office->consume < NEXT) {
        opts.handler = handler_of(post);
        if (post->consumers == 0) opts.flags |= EVB_SUB_DISPATCH;
    }
    for (uint32_t i = 0; i < post->fan; i++) {
        office->place[i] = (struct place){office, &office->post->tally[i]};
        opts.user = &office->place[i];
        if (office->consume == LISTENER) {
            bench_require(evb_on(office->bus, TOPIC, handler_of(post), opts.user) > 0, "evb_on");
            continue;
        }
        bench_require(evb_subscribe(office->bus, TOPIC, &opts, &office->sub[i]) == EVB_OK, "evb_subscribe");
    }
}

static void *office_open(const struct post_system *system, struct post *post, const char **ret_why)
{
    struct office *office = calloc(1, sizeof *office);

    (void)ret_why;
    bench_require(office != NULL, "no memory");
    office->post = post;
    office->how = system->param[0];
    office->overflow = system->param[1];
    office->consume = system->param[2];
    open_bus(office);
    subscribe(office);
    for (uint32_t i = 0; i < post->senders; i++)
        fill_sender(office, &office->sender[i]);
    bench_pin(0);
    office->pulls = office->consume >= NEXT && post->consumers != 0;
    if (office->pulls)
        bench_require(pthread_create(&office->puller, NULL, pull, office) == 0, "pthread_create");
    return office;
}

static bool settled(evb_sub *sub, uint64_t published)
{
    evb_queue_stats stats = {.struct_size = sizeof stats};

    return evb_sub_stats(sub, &stats) == EVB_OK && stats.enqueued == published && stats.acked == published;
}

static bool office_close(void *state, uint64_t published)
{
    struct office *office = state;
    bool ok = evb_bus_drain(office->bus, DRAIN_NS) == 0;

    if (office->pulls) pthread_join(office->puller, NULL);
    for (uint32_t i = 0; i < office->post->fan && office->sub[i] != NULL; i++) {
        ok = settled(office->sub[i], published) && ok;
        evb_unsubscribe(office->sub[i]);
    }
    if (office->answer_sub != NULL) {
        ok = settled(office->answer_sub, published) && ok;
        evb_unsubscribe(office->answer_sub);
        evb_topic_close(office->answers);
    }
    evb_topic_close(office->topic);
    evb_bus_destroy(office->bus);
    if (office->pool != NULL) evb_pool_destroy(office->pool);
    for (uint32_t i = 0; i < office->post->senders; i++)
        free(office->sender[i].data);
    free(office);
    return ok;
}

/* ---- cases ---- */

#define SYSTEM(name, how, overflow, consume)                                                                 \
    {                                                                                                        \
        .impl = name, .open = office_open, .send = office_send, .take = office_take, .await = office_await,  \
        .close = office_close, .param = {                                                                    \
            how,                                                                                             \
            overflow,                                                                                        \
            consume                                                                                          \
        }                                                                                                    \
    }

static const struct post_system plain = SYSTEM("evbus", BY_TOPIC, BLOCK, HANDLER);
/* Beside the plain one, wherever an event is measured by itself. */
static const struct post_system others[] = {
    SYSTEM("evbus-emit", BY_EMIT, BLOCK, HANDLER),        SYSTEM("evbus-name", BY_NAME, BLOCK, HANDLER),
    SYSTEM("evbus-many", BY_MANY, BLOCK, HANDLER),        SYSTEM("evbus-key", WITH_KEY, BLOCK, HANDLER),
    SYSTEM("evbus-header", WITH_HEADERS, BLOCK, HANDLER), SYSTEM("evbus-once", BY_TOPIC, BLOCK, HANDLER_ONCE),
    SYSTEM("evbus-reject", BY_TOPIC, REJECT, HANDLER),    SYSTEM("evbus-next", BY_TOPIC, BLOCK, NEXT),
};
/* Beside the plain one with one worker and with four. */
static const struct post_system keyed[] = {
    SYSTEM("evbus-8-keys", OF_8_KEYS, BLOCK, HANDLER),
    SYSTEM("evbus-1k-keys", OF_1K_KEYS, BLOCK, HANDLER),
    SYSTEM("evbus-1m-keys", OF_1M_KEYS, BLOCK, HANDLER),
};
static const struct post_system request = SYSTEM("evbus", BY_REQUEST, BLOCK, HANDLER);
static const struct post_system request_heard = SYSTEM("evbus-listener", BY_REQUEST, BLOCK, LISTENER);
static const struct post_system own_pool = SYSTEM("evbus-own", BY_TOPIC, BLOCK, HANDLER_OWN);
static const struct post_system in_one_thread[] = {
    SYSTEM("evbus-newest", BY_TOPIC, NEWEST, HANDLER),
    SYSTEM("evbus-oldest", BY_TOPIC, OLDEST, HANDLER),
    SYSTEM("evbus-unleased", BY_TOPIC, BLOCK, NEXT_UNLEASED),
    SYSTEM("evbus-take", BY_TOPIC, BLOCK, TAKE),
};

static void add_variants(uint32_t bytes)
{
    for (uint32_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        post_add_one(&others[i], bytes, 64);
        post_add_stream(&others[i], "1-1", bytes);
    }
    for (uint32_t i = 0; i < sizeof in_one_thread / sizeof in_one_thread[0]; i++)
        post_add_one(&in_one_thread[i], bytes, 64);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {16, 1024};

    bench_info("evbus", evb_version_string());
    for (uint32_t i = 0; i < 2; i++) {
        post_add_all(&plain, sizes[i]);
        add_variants(sizes[i]);
        post_add_stream(&plain, "1-4", sizes[i]);
        post_add_stream(&plain, "1-4x4", sizes[i]);
        post_add_stream(&own_pool, "1-1", sizes[i]);
        post_add_burst(&own_pool, sizes[i], 1);
        post_add_pingpong(&own_pool, sizes[i]);
        post_add_request(&request, sizes[i]);
        post_add_request(&request_heard, sizes[i]);
    }
    for (uint32_t i = 0; i < sizeof keyed / sizeof keyed[0]; i++) {
        post_add_one(&keyed[i], 16, 64);
        post_add_stream(&keyed[i], "1-1", 16);
        post_add_stream(&keyed[i], "2-c4", 16);
    }
    post_add_wake(&plain, 16);
    queue_add_mutex();
    queue_add_idle();
    return bench_main(argc, argv);
}
