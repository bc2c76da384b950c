/* SPDX-License-Identifier: MIT */
/* The one bus that a test of queues is about, and short words for what such tests do again and again.
 *
 *      kit_open(1);
 *      sub = kit_sub("job.>", (evb_sub_opts){.capacity = 2});   // no handler: pulled
 *      kit_put("job.a", "first");
 *      OK(evb_ack(sub, kit_take(sub, "first")));
 *      kit_none(sub);
 *      kit_leave(sub);
 *      kit_close();
 *
 * With the clock in the test's hand (kit_open_by_hand) there is one worker, which sleeps by the
 * system's clock all the same: after the clock was moved it is given tasks, which make it look at the
 * time. Threads: any, but opening and closing.
 */
#ifndef EVB_TEST_QUEUE_KIT_H
#define EVB_TEST_QUEUE_KIT_H

#include <evbus.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/atomic.h"
#include "base/platform.h"
#include "evb_test.h"
#include "gate.h"
#include "queue_law.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           INT64_C(1000000)
#define SECOND       (INT64_C(1000) * MS)
#define HOUR         (INT64_C(3600) * SECOND)

/* ---- the bus ---- */

struct kit {
    evb_bus *bus;
    evb_pool *pool; /* the bus' while the clock is in our hand, else NULL */
};
extern struct kit kit;

void kit_open(uint32_t workers); /* evb_bus_destroy does not wait for what is left */
void kit_open_with(evb_bus_opts opts);
void kit_open_by_hand(void); /* one worker */
void kit_open_by_hand_with(uint32_t workers);
void kit_close(void); /* by hand: every queue must be empty or left */
/* Time goes on; what was due has been looked at a few times. Not a promise that it has happened:
 * SOON is. */
void kit_pass(int64_t ns);

/* ---- waiting for what others do ---- */

struct kit_poll {
    uint64_t turns;
    double until;
};
/* Asks again and again until it holds; a test that waits for ever fails here. */
#define SOON(condition)                                                                                      \
    do {                                                                                                     \
        struct kit_poll poll_ = {0};                                                                         \
        while (!(condition) && kit_poll_again(&poll_, #condition, __FILE__, __LINE__))                       \
            continue;                                                                                        \
    } while (0)
bool kit_poll_again(struct kit_poll *poll, const char *text, const char *file, int line);

/* A thread that waits in a call of the library. */
struct sleeper {
    pthread_t thread;
    void (*fn)(void *arg);
    void *arg;
    EVB__ATOMIC(long) tid; /* 0: has not begun */
    EVB__ATOMIC(uint32_t) over;
};
/* Runs fn(arg) on a thread of its own. Returns when that thread sleeps, or has come back; where the
 * system does not tell which threads sleep, when it has begun. */
void sleeper_start(struct sleeper *s, void (*fn)(void *arg), void *arg);
bool sleeper_is_over(struct sleeper *s);
void sleeper_join(struct sleeper *s);

/* ---- subscribe, publish, pull ---- */

evb_sub *kit_sub(const char *pattern, evb_sub_opts opts);
void kit_leave(evb_sub *sub); /* asserts the law, then evb_unsubscribe */

int32_t kit_try(const char *topic, const char *text); /* what evb_publish answers */
void kit_put(const char *topic, const char *text);    /* one is reached */
int32_t kit_put_with(const char *topic, const char *text, evb_publish_opts opts);
int32_t kit_put_key(const char *topic, const char *text, const char *key);

/* The next event is this one; answers its delivery. */
uint64_t kit_take(evb_sub *sub, const char *text);
uint64_t kit_take_event(evb_sub *sub, const char *text, const evb_event **ret_event);
/* As soon as there is one. */
uint64_t kit_take_soon(evb_sub *sub, const char *text, const evb_event **ret_event);
void kit_none(evb_sub *sub);        /* there is nothing to take */
const char *kit_rest(evb_sub *sub); /* takes and acks all there is: "a b c" */
bool kit_is(const evb_event *ev, const char *text);
bool kit_settled(evb_sub *sub); /* nothing ready, delayed or in flight */

/* ---- a handler that writes down what it gets ---- */

#define CATCHER_LOG 2048

struct caught {
    char topic[64], data[40], key[24];
    uint32_t size, attempt, flags, key_len;
    uint64_t sequence;
};

struct catcher {
    int32_t answer;         /* what the handler returns, */
    const int32_t *answers; /* but for the first calls */
    uint32_t answer_count;
    struct gate *gate; /* held here, once it is written down */
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t count, inside, most_inside;
    struct caught log[CATCHER_LOG]; /* the first ones */
};
void catcher_reset(struct catcher *c); /* all zero and valid; before each use */
int32_t catch_event(const evb_event *ev, void *catcher);
uint32_t catcher_count(struct catcher *c);
void catcher_wait(struct catcher *c, uint32_t n); /* until it has been called n times */
const char *catcher_said(struct catcher *c);      /* the payloads in order: "a b c" */

/* free_user that counts: user is a struct freed, or begins with one. */
struct freed {
    EVB__ATOMIC(uint32_t) times;
};
void count_freed(void *user);
uint32_t freed_times(struct freed *f);

/* ---- dead letters ---- */

struct letter {
    evb_death death; /* its pointers are not valid any more */
    char reason[32], topic[64], subscription[64], text[300];
    bool has_text;
    struct caught event;
};
/* Copies the letters, oldest first; checks that evb_dlq_count and the counters say so, too. */
uint32_t kit_letters(evb_sub *sub, struct letter *letters, uint32_t max);
const char *kit_dead(evb_sub *sub); /* their payloads: "a b c" */

#endif
