/* SPDX-License-Identifier: MIT */
/* backpressure: what happens when a consumer is slower than its publishers, one policy after the other.
 *
 * Six prices go into a queue with room for three while nobody takes any out; then the consumer takes what is
 * there. What the policies do to the publisher and to the events stands in the output, beside the queue's own
 * counters. The last step is the usual one between threads: a publisher that waits for room, as long as it
 * takes, so that the slow end sets the pace and nothing is lost.
 *
 * Introduces: evb_sub_opts.capacity and overflow, EVB_NOWAIT, evb_publish_opts.timeout_ns and ret_refused,
 * EVB_SUB_PAUSED, evb_sub_resume, evb_sub_stats, evb_bus_drain.
 *
 * It prints a paragraph for each policy.
 */
#include <evbus.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 3, PRICES = 6, MANY = 1000 };

static int64_t must(int64_t result, const char *call)
{
    if (result >= 0) return result;
    fprintf(stderr, "backpressure: %s: %s\n", call, evb_strerror((int32_t)result));
    exit(1);
}
#define MUST(call) must((call), #call)

/* Gold and silver in turn, and says what the publisher is told. */
static void publish_prices(evb_bus *bus, const evb_publish_opts *opts)
{
    for (int32_t price = 1; price <= PRICES; price++) {
        const char *topic = price % 2 != 0 ? "price.gold" : "price.silver";
        int32_t result = evb_publish(bus, topic, &price, sizeof price, opts);
        printf(" %s=%" PRId32 ":%s", topic + sizeof "price." - 1, price,
               result > 0    ? "taken"
               : result == 0 ? "dropped"
                             : evb_err_name(result));
    }
    puts("");
}

static void consume_prices(evb_sub *sub)
{
    uint64_t delivery;
    const evb_event *ev;
    printf("  consumed: ");
    while (evb_sub_next(sub, 0, &delivery, &ev) == EVB_OK) {
        int32_t price;
        memcpy(&price, ev->data, sizeof price);
        printf(" %s=%" PRId32, ev->topic + sizeof "price." - 1, price);
        MUST(evb_ack(sub, delivery));
    }
    evb_queue_stats s = {.struct_size = sizeof s};
    MUST(evb_sub_stats(sub, &s));
    printf("\n  counted:   enqueued %" PRIu64 " = acked %" PRIu64 " + dropped %" PRIu64
           " + conflated %" PRIu64 "\n",
           s.enqueued, s.acked, s.dropped, s.conflated);
}

static void show(evb_bus *bus, const char *title, uint32_t overflow, const evb_publish_opts *opts)
{
    evb_sub_opts sub_opts = {.name = "slow", .capacity = ROOM, .overflow = overflow};
    evb_sub *sub = NULL;
    MUST(evb_subscribe(bus, "price.*", &sub_opts, &sub));
    printf("%s\n  published:", title);
    publish_prices(bus, opts);
    consume_prices(sub);
    MUST(evb_unsubscribe(sub));
}

/* ---- a handler that is slower than its publisher ---- */

typedef struct consumer {
    int32_t next; /* the number that must come: order is kept */
    int32_t wrong;
} consumer;

static int32_t consume(const evb_event *ev, void *user)
{
    consumer *c = user;
    int32_t number;
    memcpy(&number, ev->data, sizeof number);
    c->wrong += number != c->next++;
    return EVB_OK;
}

static void show_waiting(evb_bus *bus)
{
    consumer c = {.next = 0};
    evb_sub_opts opts = {.handler = consume,
                         .user = &c,
                         .capacity = ROOM,
                         .overflow = EVB_OVERFLOW_BLOCK,
                         .flags = EVB_SUB_PAUSED}; /* as slow as can be, until it is resumed */
    evb_sub *sub = NULL;
    uint64_t most = 0;
    puts("BLOCK without a limit: the publisher waits until there is room");
    MUST(evb_subscribe(bus, "number", &opts, &sub));
    for (int32_t i = 0; i < MANY; i++) {
        if (i == ROOM) MUST(evb_sub_resume(sub)); /* full: from here on the handler sets the pace */
        MUST(evb_publish(bus, "number", &i, sizeof i, NULL));
        evb_queue_stats s = {.struct_size = sizeof s};
        MUST(evb_sub_stats(sub, &s));
        if (s.ready + s.in_flight > most) most = s.ready + s.in_flight;
    }
    MUST(evb_bus_drain(bus, EVB_FOREVER)); /* ends publishing, waits for the handler */
    printf("  published %d, handled %" PRId32 ", out of order %" PRId32 ", more than %d in the queue: %s\n",
           MANY, c.next, c.wrong, ROOM, most > ROOM ? "yes" : "never");
    MUST(evb_unsubscribe(sub));
}

int main(void)
{
    char full[32] = "nobody";
    evb_bus *bus = NULL;
    evb_set_log(NULL, NULL,
                EVB_LOG_ERROR); /* dropped events are a warning on stderr; here they are expected */
    MUST(evb_bus_create(NULL, &bus));

    show(bus, "REJECT, the default: the publisher is told, and decides", EVB_OVERFLOW_REJECT,
         &(evb_publish_opts){.ret_refused = full, .refused_cap = sizeof full});
    printf("  full:      %s\n", full); /* the name of the subscription that refused */
    show(bus, "DROP_OLDEST: the latest events matter", EVB_OVERFLOW_DROP_OLDEST, NULL);
    show(bus, "DROP_NEWEST: the first events matter", EVB_OVERFLOW_DROP_NEWEST, NULL);
    show(bus, "CONFLATE: of each topic (or key) only the latest matters", EVB_OVERFLOW_CONFLATE, NULL);
    show(bus, "BLOCK with EVB_NOWAIT: as REJECT, for this publish", EVB_OVERFLOW_BLOCK,
         &(evb_publish_opts){.flags = EVB_NOWAIT});
    show(bus, "BLOCK with a timeout of a millisecond", EVB_OVERFLOW_BLOCK,
         &(evb_publish_opts){.timeout_ns = 1000000});
    show_waiting(bus);

    evb_bus_destroy(bus);
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    perror("backpressure: cannot write");
    return 1;
}
