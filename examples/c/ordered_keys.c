/* SPDX-License-Identifier: MIT */
/* ordered_keys: bookings in order for each account, and all accounts side by side.
 *
 * Four handlers run at once, but an event's key is its account, and of a key only one is handled at a time,
 * in the order of publication: so an account is plain memory without a lock. Carl's bank does not answer
 * twice: his booking is tried again, his next ones wait for it, those of the others do not. Bert's and dora's
 * accounts are not covered: these bookings are rejected, and with EVB_SUB_KEY_HALT that stops their keys, so
 * that nothing is booked behind a gap. Then somebody decides: bert may overdraw, his dead letter is sent back
 * and comes first; dora's key is opened without it.
 *
 * Introduces: evb_publish_opts.key, EVB_SUB_KEY_HALT, evb_dlq_redrive with keys, evb_sub_skip_key.
 *
 * It prints for each account what was booked, in order.
 */
#include <evbus.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ANNA, BERT, CARL, DORA, ACCOUNTS };

struct account {
    const char *name;
    int32_t balance;
    bool may_overdraw;
    char log[120];
};
struct booking {
    int32_t account, amount;
};

static const struct booking bookings[] = {
    {ANNA, 100}, {BERT, 50},  {CARL, 70}, {DORA, 10}, {ANNA, -60}, {BERT, -80}, {CARL, -20},
    {DORA, -15}, {ANNA, -30}, {BERT, 40}, {CARL, 5},  {DORA, 20},  {BERT, -10}, {CARL, -9},
};
enum { BOOKINGS = sizeof bookings / sizeof bookings[0] };

/* On any worker; never two of one account at a time. */
static int32_t book(const evb_event *ev, void *user)
{
    struct booking b;
    memcpy(&b, ev->data, sizeof b);
    struct account *a = (struct account *)user + b.account;
    const char *what = "";
    int32_t result = EVB_OK;

    if (b.account == CARL && b.amount == -20 && ev->attempt < 3) {
        what = "(no answer)";
        result = EVB_EAGAIN; /* again, soon */
    } else if (a->balance + b.amount < 0 && !a->may_overdraw) {
        what = "(not covered)";
        result = EVB_REJECT; /* given up: a dead letter */
    } else {
        a->balance += b.amount;
    }
    size_t len = strlen(a->log);
    (void)snprintf(a->log + len, sizeof a->log - len, " %+" PRId32 "%s", b.amount, what);
    return result;
}

/* Until all but `waiting` events, which a stopped key holds, are done with. */
static int32_t settle(evb_sub *sub, uint64_t waiting)
{
    const struct timespec pause = {0, 1000000};
    evb_queue_stats s = {.struct_size = sizeof s};
    int32_t status;
    while ((status = evb_sub_stats(sub, &s)) == EVB_OK && s.ready + s.delayed + s.in_flight > waiting)
        (void)nanosleep(&pause, NULL);
    return status;
}

static void print(const char *title, const struct account *accounts)
{
    puts(title);
    for (int i = 0; i < ACCOUNTS; i++)
        printf("  %s: %3" PRId32 " =%s\n", accounts[i].name, accounts[i].balance, accounts[i].log);
}

static int32_t run(evb_bus *bus, evb_sub *sub, struct account *accounts)
{
    int32_t status = EVB_OK;
    for (int i = 0; i < BOOKINGS && status >= 0; i++) {
        const char *key = accounts[bookings[i].account].name;
        status = evb_publish(bus, "account.booked", &bookings[i], sizeof bookings[i],
                             &(evb_publish_opts){.key = key, .key_len = (uint32_t)strlen(key)});
    }
    if (status < 0 || (status = settle(sub, 3)) < 0) return status;
    print("bert and dora have come to a halt:", accounts);

    accounts[BERT].may_overdraw = true;
    if ((status = evb_sub_skip_key(sub, "dora", 4)) < 0) return status;
    if ((status = settle(sub, 2)) < 0) return status;
    if ((status = evb_dlq_redrive(sub, 1)) < 0) return status; /* the oldest letter is bert's */
    if ((status = settle(sub, 0)) < 0) return status;
    print("bert's booking was sent back, dora's was left out:", accounts);
    printf("%" PRId64 " dead letter left\n", evb_dlq_count(sub));
    return EVB_OK;
}

int main(void)
{
    struct account accounts[ACCOUNTS] = {
        {.name = "anna"}, {.name = "bert"}, {.name = "carl"}, {.name = "dora"}};
    evb_bus *bus = NULL;
    evb_sub *sub = NULL;
    evb_sub_opts opts = {.name = "ledger",
                         .handler = book,
                         .user = accounts,
                         .concurrency = 4,
                         .flags = EVB_SUB_KEY_HALT,
                         .retry = {.base_ns = 1000000, .cap_ns = 1000000}};

    evb_set_log(NULL, NULL, EVB_LOG_ERROR); /* a dead letter is a warning on stderr; here two are expected */
    int32_t status = evb_bus_create(&(evb_bus_opts){.workers = 4}, &bus);
    if (status == EVB_OK) status = evb_subscribe(bus, "account.*", &opts, &sub);
    if (status == EVB_OK) status = run(bus, sub, accounts);
    if (status < 0) fprintf(stderr, "ordered_keys: %s\n", evb_strerror(status));
    if (sub != NULL) (void)evb_unsubscribe(sub);
    evb_bus_destroy(bus);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status < 0;
    perror("ordered_keys: cannot write");
    return 1;
}
