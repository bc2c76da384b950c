/* SPDX-License-Identifier: MIT */
/* request_reply: ask, and wait for the answer.
 *
 * An event tells that something happened; nobody answers. A request is an event that wants an answer: who
 * publishes it with evb_request waits until somebody calls evb_reply with it. Here customers ask what things
 * cost. Two workers know the prices: a subscription to "price.of". The customers need not know who answers,
 * on which thread, or how many there are; and each gets the answer to his own question.
 *
 * Three things can go wrong, and each has a name: nobody is there who could answer (EVB_ENORESPONDERS, at
 * once), nobody answers in time (EVB_ETIMEDOUT), and, for him who answers too late, nobody waits any more
 * (EVB_ESTALE). That a thing is not for sale is none of them: that is an answer.
 *
 * Introduces: evb_request, evb_reply, evb_event_retain, evb_event_release, and their three errors.
 *
 * It prints what four customers pay, then the three things that go wrong.
 */
#include <evbus.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000000) /* times are in nanoseconds */

enum { CUSTOMERS = 4, BASKET = 3 };

/* What is asked is the name of a thing; this is what is answered. */
typedef struct price {
    bool for_sale;
    int32_t cents;
} price;

/* ---- who answers ---- */

static const struct {
    const char *name;
    int32_t cents;
} shelf[] = {{"apple", 35}, {"bread", 290}, {"cheese", 455}, {"honey", 620}};

/* Runs on the workers. The request is an event as any other, so what this returns settles it, too. */
static int32_t tell_price(const evb_event *request, void *user)
{
    price answer = {.for_sale = false};
    (void)user;
    for (size_t i = 0; i < sizeof shelf / sizeof shelf[0]; i++) {
        if (strlen(shelf[i].name) != request->size) continue;
        if (memcmp(shelf[i].name, request->data, request->size) != 0) continue;
        answer = (price){.for_sale = true, .cents = shelf[i].cents};
    }
    int32_t status = evb_reply(request, &answer, sizeof answer);
    return status == EVB_ESTALE ? EVB_OK : status; /* he has gone: nothing that another try would change */
}

/* A listener that cannot answer yet. It keeps the request: evb_reply takes it later, on any thread. */
static int32_t think_about_it(const evb_event *request, void *user)
{
    const evb_event **kept = user;
    *kept = evb_event_retain(request);
    return *kept != NULL ? EVB_OK : EVB_ENOMEM;
}

/* ---- who asks ---- */

static int32_t ask(evb_bus *bus, const char *topic, const char *thing, int64_t timeout_ns, price *ret_price)
{
    const evb_event *reply;
    int32_t status = evb_request(bus, topic, thing, strlen(thing), timeout_ns, &reply);
    if (status < 0) return status;
    if (reply->size == sizeof *ret_price)
        memcpy(ret_price, reply->data, sizeof *ret_price);
    else
        status = EVB_EINVAL;  /* not what was agreed on */
    evb_event_release(reply); /* ours since evb_request returned */
    return status;
}

typedef struct customer {
    evb_bus *bus;
    const char *basket[BASKET];
    int32_t cents, status;
    pthread_t thread;
} customer;

static void *buy(void *arg)
{
    customer *c = arg;
    for (int i = 0; i < BASKET && c->status == EVB_OK; i++) {
        price p = {.for_sale = false};
        c->status = ask(c->bus, "price.of", c->basket[i], EVB_FOREVER, &p);
        if (c->status == EVB_OK && p.for_sale) c->cents += p.cents;
    }
    return NULL;
}

/* Four threads ask at the same time. False: one could not be started, or got no answer. */
static bool shop(evb_bus *bus)
{
    customer customers[CUSTOMERS] = {{.basket = {"apple", "bread", "cheese"}},
                                     {.basket = {"honey", "bread", "bread"}},
                                     {.basket = {"apple", "unicorn", "apple"}}, /* not for sale */
                                     {.basket = {"cheese", "honey", "apple"}}};
    int started = 0;
    bool ok = true;
    for (; started < CUSTOMERS && ok; started += ok) {
        customers[started].bus = bus;
        ok = pthread_create(&customers[started].thread, NULL, buy, &customers[started]) == 0;
    }
    for (int i = 0; i < started; i++) {
        (void)pthread_join(customers[i].thread, NULL);
        printf("customer %d pays %d.%02d\n", i + 1, customers[i].cents / 100, customers[i].cents % 100);
        ok = ok && customers[i].status == EVB_OK;
    }
    return ok;
}

static int32_t say(const char *what, int32_t status)
{
    printf("%s: %s\n", what, status < 0 ? evb_err_name(status) : "EVB_OK");
    return status;
}

int main(void)
{
    const evb_event *kept = NULL;
    evb_bus *bus = NULL;
    bool ok = false;
    price p;

    evb_sub_opts workers = {.handler = tell_price, .concurrency = 2};
    int32_t status = evb_bus_create(&(evb_bus_opts){.workers = 2}, &bus);
    if (status == EVB_OK) status = evb_subscribe(bus, "price.of", &workers, NULL);
    if (status == EVB_OK && evb_on(bus, "price.of.art", think_about_it, &kept) < 0) status = EVB_ENOMEM;
    if (status < 0) {
        fprintf(stderr, "request_reply: cannot set up: %s\n", evb_strerror(status));
    } else {
        ok = shop(bus);
        ok =
            say("nobody sells cars", ask(bus, "price.of.car", "red", EVB_FOREVER, &p)) == EVB_ENORESPONDERS &&
            ok;
        ok = say("art takes time", ask(bus, "price.of.art", "poem", 20 * MS, &p)) == EVB_ETIMEDOUT && ok;
        ok = say("the answer, too late", evb_reply(kept, &p, 0)) == EVB_ESTALE && ok;
    }
    evb_event_release(kept); /* NULL is fine */
    evb_bus_destroy(bus);
    if (fflush(stdout) == 0 && !ferror(stdout)) return !ok;
    perror("request_reply: cannot write");
    return 1;
}
