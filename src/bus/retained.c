/* SPDX-License-Identifier: MIT */
/* What topics keep: a table by name, a list by sequence; and how newcomers get through it. */
#include "bus/retained.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "bus/message.h"

#include <string.h>

#define BUCKETS_MIN 16u

struct evb__retained_event {
    struct evb__retained_event *chain;
    struct evb__retained_event *older, *newer; /* spare: newer */
    struct evb__message *message;              /* its topic is the name */
    int64_t expires_ns;                        /* monotonic; INT64_MAX: never */
    uint32_t hash;
};

static uint64_t sequence_of(const struct evb__retained_event *e)
{
    return e->message->event.sequence;
}

static bool clears(const struct evb__retained_event *e)
{
    return e->message->event.size == 0;
}

/* ---- the table ---- */

static struct evb__retained_event **bucket_of(const struct evb__retained *r, uint32_t hash)
{
    return &r->table[hash & (r->buckets - 1)];
}

static struct evb__retained_event *find_locked(const struct evb__retained *r, const char *topic,
                                               size_t length, uint32_t hash)
{
    struct evb__retained_event *e = r->buckets != 0 ? *bucket_of(r, hash) : NULL;

    for (; e != NULL; e = e->chain) {
        const evb_event *ev = &e->message->event;

        if (e->hash == hash && ev->topic_len == length && memcmp(ev->topic, topic, length) == 0) return e;
    }
    return NULL;
}

static uint32_t hash_of(const struct evb__retained *r, const char *topic, size_t length)
{
    return (uint32_t)evb__hash(topic, length, r->seed);
}

/* As in dedup.c: without memory for a larger table chains are longer for a while. */
static int32_t make_room_locked(struct evb__retained *r)
{
    uint32_t buckets = r->buckets == 0 ? BUCKETS_MIN : 2 * r->buckets, old_buckets = r->buckets;
    struct evb__retained_event **table, **old = r->table;

    if (r->count < r->buckets) return EVB_OK; /* bounded: the topics are */
    table = evb__zalloc(buckets * sizeof(struct evb__retained_event *), EVB__ALIGN_MIN);
    if (table == NULL) return r->buckets == 0 ? EVB_ENOMEM : EVB_OK;
    r->table = table;
    r->buckets = buckets;
    for (uint32_t b = 0; b < old_buckets; b++) {
        while (old[b] != NULL) {
            struct evb__retained_event *e = old[b], **at = bucket_of(r, e->hash);

            old[b] = e->chain;
            e->chain = *at;
            *at = e;
        }
    }
    if (old_buckets != 0) evb__free(old, old_buckets * sizeof(struct evb__retained_event *));
    return EVB_OK;
}

/* ---- the list ---- */

static void unlink_locked(struct evb__retained *r, struct evb__retained_event *e)
{
    *(e->older != NULL ? &e->older->newer : &r->oldest) = e->newer;
    *(e->newer != NULL ? &e->newer->older : &r->newest) = e->older;
}

static void append_locked(struct evb__retained *r, struct evb__retained_event *e)
{
    evb__assert(r->newest == NULL || sequence_of(r->newest) < sequence_of(e));
    e->older = r->newest;
    e->newer = NULL;
    *(e->older != NULL ? &e->older->newer : &r->oldest) = e;
    r->newest = e;
}

/* The message is set or about to go: what is counted of it. */
static void count_locked(struct evb__retained *r, const struct evb__retained_event *e, uint32_t by)
{
    if (e->expires_ns != INT64_MAX) r->timed += by;
    if (clears(e)) r->cleared += by;
}

/* Out of table and list; its memory is spare. */
static void detach_locked(struct evb__retained *r, struct evb__retained_event *e)
{
    struct evb__retained_event **at = bucket_of(r, e->hash);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlink_locked(r, e);
    count_locked(r, e, (uint32_t)-1);
    r->count--;
    evb__message_unref(e->message);
    e->newer = r->spare;
    r->spare = e;
}

static void free_spare_locked(struct evb__retained *r)
{
    while (r->spare != NULL) {
        struct evb__retained_event *e = r->spare;

        r->spare = e->newer;
        evb__free(e, sizeof *e);
    }
}

static void remove_locked(struct evb__retained *r, struct evb__retained_event *e)
{
    detach_locked(r, e);
    free_spare_locked(r);
}

/* ---- the whole ---- */

void evb__retained_init(struct evb__retained *r, const struct evb__dialect *dialect, uint64_t seed)
{
    evb__mutex_init(&r->lock);
    r->dialect = dialect;
    r->seed = seed;
}

void evb__retained_forget(struct evb__retained *r)
{
    evb__retained_lock(r);
    while (r->oldest != NULL)
        remove_locked(r, r->oldest);
    evb__retained_unlock(r);
}

void evb__retained_fini(struct evb__retained *r)
{
    evb__assert(r->showing == 0);
    evb__retained_forget(r);
    if (r->buckets != 0) evb__free(r->table, r->buckets * sizeof(struct evb__retained_event *));
    evb__mutex_destroy(&r->lock);
}

/* ---- publishers ---- */

int32_t evb__retained_begin(struct evb__retained *r, uint32_t newcomers)
{
    evb__retained_lock(r);
    if (evb__ld_rlx(&r->newcomers) == newcomers) return EVB_OK; /* changes under the lock */
    evb__retained_unlock(r);
    return EVB_EAGAIN;
}

/* A topic that is cleared while nobody is being shown events needs no entry. */
int32_t evb__retained_reserve_locked(struct evb__retained *r, const char *topic, size_t length, bool clearing)
{
    struct evb__retained_event *e;

    if (clearing && r->showing == 0) return EVB_OK;
    if (find_locked(r, topic, length, hash_of(r, topic, length)) != NULL) return EVB_OK;
    if (make_room_locked(r) != EVB_OK) return EVB_ENOMEM;
    e = evb__zalloc(sizeof *e, EVB__ALIGN_MIN);
    if (e == NULL) return EVB_ENOMEM;
    e->newer = r->spare;
    r->spare = e;
    return EVB_OK;
}

/* There is one: what was there when it was reserved and is not any more has left its own. */
static struct evb__retained_event *take_spare_locked(struct evb__retained *r, uint32_t hash)
{
    struct evb__retained_event *e, **at = bucket_of(r, hash);

    if (r->count == EVB__RETAINED_MAX) detach_locked(r, r->oldest);
    e = r->spare;
    r->spare = e->newer;
    e->hash = hash;
    e->chain = *at;
    *at = e;
    r->count++;
    return e;
}

static int64_t expiry_of(const struct evb__message *message)
{
    int64_t ttl = evb__message_more(message)->ttl_ns, now;

    if (ttl == 0) return INT64_MAX;
    now = evb__clock_mono();
    return ttl < INT64_MAX - now ? now + ttl : INT64_MAX;
}

void evb__retained_keep_locked(struct evb__retained *r, struct evb__message *message)
{
    const evb_event *ev = &message->event;
    uint32_t hash = hash_of(r, ev->topic, ev->topic_len);
    struct evb__retained_event *e = find_locked(r, ev->topic, ev->topic_len, hash);

    r->last = ev->sequence;
    if (ev->size == 0 && r->showing == 0) {
        if (e != NULL) detach_locked(r, e);
        return;
    }
    if (e == NULL) {
        e = take_spare_locked(r, hash);
    } else {
        unlink_locked(r, e);
        count_locked(r, e, (uint32_t)-1);
        evb__message_unref(e->message);
    }
    evb__message_ref(message);
    e->message = message;
    e->expires_ns = expiry_of(message);
    append_locked(r, e);
    count_locked(r, e, 1);
}

void evb__retained_end(struct evb__retained *r)
{
    free_spare_locked(r);
    evb__retained_unlock(r);
}

/* ---- newcomers ---- */

static bool is_for(const struct evb__newcomer *n, const struct evb__retained_event *e)
{
    const evb_event *ev = &e->message->event;
    uint64_t sequence = ev->sequence;

    if (sequence <= n->seen || sequence > n->until) return false;
    if (clears(e) && sequence <= n->came) return false; /* for those who were there before */
    return n->pattern->wild == 0 ||
           evb__matches(n->retained->dialect, n->pattern->name, n->pattern->size, ev->topic, ev->topic_len);
}

/* The first one after those it has seen. Most come to see all there is, the others little: what has come
 * since. */
static struct evb__retained_event *start_of(const struct evb__newcomer *n)
{
    const struct evb__retained *r = n->retained;
    const struct evb__tokens *pattern = n->pattern;
    struct evb__retained_event *e;

    if (pattern->wild == 0)
        return find_locked(r, pattern->name, pattern->size, hash_of(r, pattern->name, pattern->size));
    if (n->seen == 0) return r->oldest;
    for (e = r->newest; e != NULL && sequence_of(e) > n->seen; e = e->older)
        if (e->older == NULL) return e;
    return e != NULL ? e->newer : NULL;
}

uint32_t evb__newcomer_look_locked(struct evb__newcomer *n, struct evb__kept *ret_kept, uint32_t max)
{
    struct evb__retained *r = n->retained;
    int64_t now = r->timed != 0 ? evb__clock_mono() : 0;
    struct evb__retained_event *e, *newer;
    uint32_t count = 0;

    if (n->seen >= n->came) n->rounds++;
    for (e = start_of(n); e != NULL && count < max; e = newer) {
        newer = n->pattern->wild != 0 ? e->newer : NULL;
        if (!is_for(n, e)) continue;
        if (e->expires_ns != INT64_MAX && e->expires_ns <= now) {
            remove_locked(r, e);
            continue;
        }
        evb__message_ref(e->message);
        ret_kept[count++] = (struct evb__kept){
            .message = e->message, .ttl_ns = e->expires_ns != INT64_MAX ? e->expires_ns - now : 0};
        n->seen = sequence_of(e);
    }
    return count;
}

bool evb__newcomer_misses_locked(const struct evb__newcomer *n)
{
    const struct evb__retained_event *e = start_of(n);

    while (e != NULL && !is_for(n, e))
        e = n->pattern->wild != 0 ? e->newer : NULL;
    return e != NULL;
}

bool evb__newcomer_has_waited(const struct evb__newcomer *n)
{
    return n->rounds > EVB__SHOW_ROUNDS;
}

bool evb__newcomer_comes_locked(struct evb__newcomer *n, struct evb__retained *r,
                                const struct evb__tokens *pattern)
{
    *n = (struct evb__newcomer){.retained = r, .pattern = pattern, .came = r->last, .until = UINT64_MAX};
    if (!evb__newcomer_misses_locked(n)) return false;
    r->showing++;
    return true;
}

void evb__newcomer_enters_locked(struct evb__newcomer *n)
{
    struct evb__retained *r = n->retained;

    n->until = r->last;
    /* release: who reads it finds the newcomer; pairs with evb__retained_newcomers */
    evb__st_rel(&r->newcomers, evb__ld_rlx(&r->newcomers) + 1);
}

void evb__newcomer_ends_locked(struct evb__newcomer *n)
{
    struct evb__retained *r = n->retained;
    struct evb__retained_event *e, *older;

    if (--r->showing != 0) return;
    for (e = r->newest; e != NULL && r->cleared != 0; e = older) { /* they are among the newest */
        older = e->older;
        if (clears(e)) remove_locked(r, e);
    }
}
