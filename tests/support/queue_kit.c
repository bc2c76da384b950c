/* SPDX-License-Identifier: MIT */
/* The kit: the bus, the catcher, the sleeper. */
#include "queue_kit.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include "evb_test_internal.h"

struct kit kit;

/* ---- the bus ---- */

void kit_open_with(evb_bus_opts opts)
{
    OK(evb_bus_create(&opts, &kit.bus));
}

void kit_open(uint32_t workers)
{
    kit_open_with((evb_bus_opts){.workers = workers, .drain_timeout_ns = 1});
}

/* Workers do not spin: they would until we move the clock. */
void kit_open_by_hand_with(uint32_t workers)
{
    evb_test_clock_install(1000 * MS);
    OK(evb_pool_create(&(evb_pool_opts){.threads = workers, .spin_us = UINT32_MAX}, &kit.pool));
    kit_open_with((evb_bus_opts){.pool = kit.pool, .drain_timeout_ns = 1});
}

void kit_open_by_hand(void)
{
    kit_open_by_hand_with(1);
}

void kit_close(void)
{
    evb_bus_destroy(kit.bus);
    kit.bus = NULL;
    if (kit.pool == NULL) return;
    evb_pool_destroy(kit.pool);
    kit.pool = NULL;
    evb_test_clock_remove();
}

static struct gate passed = GATE_SHUT; /* always open: it counts who has come */

static void look(void)
{
    gate_shut(&passed);
    gate_open(&passed);
    OK(evb_pool_submit(kit.pool, gate_hold, &passed, EVB_FOREVER));
    gate_wait_held(&passed, 1);
}

void kit_pass(int64_t ns)
{
    evb_test_clock_advance(ns);
    for (int i = 0; i < 3; i++)
        look();
}

/* ---- waiting ---- */

static double seconds_now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

bool kit_poll_again(struct kit_poll *poll, const char *text, const char *file, int line)
{
    const struct timespec pause = {0, 100000};

    if (poll->turns++ == 0) {
        double limit = evb_test_time_limit();

        poll->until = seconds_now() + (limit > 0 ? limit / 2 : 3600);
    } else if (seconds_now() > poll->until) {
        evb_test_fail(file, line, "never came true: %s", text);
        return false;
    }
    if (kit.pool != NULL) look();
    (void)nanosleep(&pause, NULL); /* not synchronisation: the condition is asked again until it holds */
    return true;
}

static void *sleeper_main(void *arg)
{
    struct sleeper *s = arg;
    long tid = 1;

#if defined(__linux__)
    tid = (long)syscall(SYS_gettid);
#endif
    evb__st_rel(&s->tid, tid); /* pairs with sleeps */
    s->fn(s->arg);
    evb__st_rel(&s->over, 1); /* pairs with sleeper_is_over */
    return NULL;
}

/* By the system: it waits for something. */
static bool sleeps(struct sleeper *s)
{
    char path[64], line[512] = "";
    const char *state;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/self/task/%ld/stat", evb__ld_acq(&s->tid));
    if ((file = fopen(path, "r")) == NULL) return true; /* nobody can tell */
    (void)!fgets(line, sizeof line, file);
    (void)fclose(file);
    state = strrchr(line, ')');
    return state == NULL || state[2] == 'S';
}

bool sleeper_is_over(struct sleeper *s)
{
    return evb__ld_acq(&s->over) != 0; /* pairs with sleeper_main */
}

void sleeper_start(struct sleeper *s, void (*fn)(void *arg), void *arg)
{
    s->fn = fn;
    s->arg = arg;
    evb__st_rlx(&s->tid, 0);
    evb__st_rlx(&s->over, 0);
    if (pthread_create(&s->thread, NULL, sleeper_main, s) != 0) abort();
    while (evb__ld_acq(&s->tid) == 0) /* pairs with sleeper_main */
        (void)sched_yield();
    /* A short wait for a lock looks the same: so it must be seen a few times. */
    for (uint32_t seen = 0; seen < 5 && !sleeper_is_over(s);) {
        const struct timespec pause = {0, 200000};

        seen = sleeps(s) ? seen + 1 : 0;
        (void)nanosleep(&pause,
                        NULL); /* not synchronisation: a thread that sleeps later is waited for as well */
    }
}

void sleeper_join(struct sleeper *s)
{
    (void)pthread_join(s->thread, NULL);
}

/* ---- subscribe, publish, pull ---- */

evb_sub *kit_sub(const char *pattern, evb_sub_opts opts)
{
    evb_sub *sub = NULL;

    OK(evb_subscribe(kit.bus, pattern, &opts, &sub));
    return sub;
}

void kit_leave(evb_sub *sub)
{
    (void)assert_law(sub);
    OK(evb_unsubscribe(sub));
}

int32_t kit_try(const char *topic, const char *text)
{
    return evb_publish(kit.bus, topic, text, strlen(text), NULL);
}

void kit_put(const char *topic, const char *text)
{
    EQ(kit_try(topic, text), 1);
}

int32_t kit_put_with(const char *topic, const char *text, evb_publish_opts opts)
{
    return evb_publish(kit.bus, topic, text, strlen(text), &opts);
}

int32_t kit_put_key(const char *topic, const char *text, const char *key)
{
    return kit_put_with(topic, text, (evb_publish_opts){.key = key, .key_len = (uint32_t)strlen(key)});
}

bool kit_is(const evb_event *ev, const char *text)
{
    return ev->size == strlen(text) && (ev->size == 0 || memcmp(ev->data, text, ev->size) == 0);
}

uint64_t kit_take_event(evb_sub *sub, const char *text, const evb_event **ret_event)
{
    uint64_t delivery = 0;

    OK(evb_sub_next(sub, 0, &delivery, ret_event));
    EQ((*ret_event)->size, strlen(text));
    if ((*ret_event)->size > 0) EQ_MEM((*ret_event)->data, text, strlen(text));
    return delivery;
}

uint64_t kit_take(evb_sub *sub, const char *text)
{
    const evb_event *ev;

    return kit_take_event(sub, text, &ev);
}

uint64_t kit_take_soon(evb_sub *sub, const char *text, const evb_event **ret_event)
{
    uint64_t delivery = 0;
    int32_t rc;

    SOON((rc = evb_sub_next(sub, 0, &delivery, ret_event)) != EVB_EEMPTY);
    OK(rc);
    EQ_MEM((*ret_event)->data, text, strlen(text));
    return delivery;
}

void kit_none(evb_sub *sub)
{
    uint64_t delivery = 77;
    const evb_event *ev = NULL;

    FAILS(evb_sub_next(sub, 0, &delivery, &ev), EVB_EEMPTY);
    EQ(delivery, 77);
    EQ_PTR(ev, NULL);
}

/* Appends a payload to a text: "a b c". */
static void append(char *text, size_t cap, const void *data, size_t size)
{
    size_t len = strlen(text);

    (void)snprintf(text + len, cap - len, "%s%.*s", len == 0 ? "" : " ", (int)size, (const char *)data);
}

const char *kit_rest(evb_sub *sub)
{
    static char text[4096];
    const evb_event *ev;
    uint64_t delivery;
    int32_t rc;

    text[0] = '\0';
    while ((rc = evb_sub_next(sub, 0, &delivery, &ev)) == EVB_OK) {
        append(text, sizeof text, ev->data, ev->size);
        OK(evb_ack(sub, delivery));
    }
    FAILS(rc, EVB_EEMPTY);
    return text;
}

bool kit_settled(evb_sub *sub)
{
    evb_queue_stats s = assert_law(sub);

    return queue_held(&s) == 0;
}

/* ---- the catcher ---- */

static void write_down(struct caught *to, const evb_event *ev)
{
    size_t size = ev->size < sizeof to->data - 1 ? ev->size : sizeof to->data - 1;
    size_t key_len = ev->key_len < sizeof to->key - 1 ? ev->key_len : sizeof to->key - 1;

    memset(to, 0, sizeof *to);
    (void)snprintf(to->topic, sizeof to->topic, "%s", ev->topic);
    if (size > 0) memcpy(to->data, ev->data, size);
    if (key_len > 0) memcpy(to->key, ev->key, key_len);
    to->size = (uint32_t)ev->size;
    to->attempt = ev->attempt;
    to->flags = ev->flags;
    to->key_len = ev->key_len;
    to->sequence = ev->sequence;
}

void catcher_reset(struct catcher *c)
{
    memset(c, 0, sizeof *c);
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->changed, NULL);
}

int32_t catch_event(const evb_event *ev, void *catcher)
{
    struct catcher *c = catcher;
    uint32_t at;

    (void)pthread_mutex_lock(&c->lock);
    at = c->count++;
    if (at < CATCHER_LOG) write_down(&c->log[at], ev);
    if (++c->inside > c->most_inside) c->most_inside = c->inside;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    if (c->gate != NULL) gate_hold(c->gate);
    (void)pthread_mutex_lock(&c->lock);
    c->inside--;
    (void)pthread_mutex_unlock(&c->lock);
    return at < c->answer_count ? c->answers[at] : c->answer;
}

uint32_t catcher_count(struct catcher *c)
{
    uint32_t n;

    (void)pthread_mutex_lock(&c->lock);
    n = c->count;
    (void)pthread_mutex_unlock(&c->lock);
    return n;
}

void catcher_wait(struct catcher *c, uint32_t n)
{
    (void)pthread_mutex_lock(&c->lock);
    while (c->count < n)
        (void)pthread_cond_wait(&c->changed, &c->lock);
    (void)pthread_mutex_unlock(&c->lock);
}

const char *catcher_said(struct catcher *c)
{
    static char text[4096];

    text[0] = '\0';
    (void)pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->count && i < CATCHER_LOG; i++)
        append(text, sizeof text, c->log[i].data, strlen(c->log[i].data));
    (void)pthread_mutex_unlock(&c->lock);
    return text;
}

void count_freed(void *user)
{
    struct freed *f = user;

    (void)evb__add_acqrel(&f->times, 1); /* pairs with freed_times */
}

uint32_t freed_times(struct freed *f)
{
    return evb__ld_acq(&f->times); /* pairs with count_freed */
}

/* ---- dead letters ---- */

struct letters {
    struct letter *letters;
    uint32_t count, max;
};

static int32_t copy_letter(const evb_event *ev, const evb_death *death, void *user)
{
    struct letters *to = user;
    struct letter *l;

    if (to->count++ >= to->max) return 0;
    l = &to->letters[to->count - 1];
    memset(l, 0, sizeof *l);
    l->death = *death;
    (void)snprintf(l->reason, sizeof l->reason, "%s", death->reason);
    (void)snprintf(l->topic, sizeof l->topic, "%s", death->topic);
    (void)snprintf(l->subscription, sizeof l->subscription, "%s", death->subscription);
    l->has_text = death->error_text != NULL;
    if (l->has_text) (void)snprintf(l->text, sizeof l->text, "%s", death->error_text);
    write_down(&l->event, ev);
    return 0;
}

uint32_t kit_letters(evb_sub *sub, struct letter *letters, uint32_t max)
{
    struct letters to = {letters, 0, max};

    OK(evb_dlq_browse(sub, copy_letter, &to));
    EQ(evb_dlq_count(sub), to.count);
    EQ(assert_law(sub).dlq_depth, to.count);
    return to.count;
}

const char *kit_dead(evb_sub *sub)
{
    static struct letter letters[64];
    static char text[4096];
    uint32_t n = kit_letters(sub, letters, COUNT(letters));

    text[0] = '\0';
    for (uint32_t i = 0; i < n && i < COUNT(letters); i++)
        append(text, sizeof text, letters[i].event.data, strlen(letters[i].event.data));
    return text;
}
