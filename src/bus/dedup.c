/* SPDX-License-Identifier: MIT */
/* Ids that have been published: a hash table of chains, and a list in the order in which they came. */
#include "bus/dedup.h"

#include <evbus/base.h>
#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/park.h"

#include <string.h>

#define BUCKETS_MIN 64u
#define BUCKETS_MAX (1u << 26) /* with more ids than that chains grow longer */

struct evb__dedup_id {
    struct evb__dedup_id *chain;
    struct evb__dedup_id *next; /* the one remembered after it */
    int64_t expires_ns;         /* monotonic */
    uint64_t sequence;
    uint32_t hash;
    uint8_t pending, size;
    char bytes[];
};

static size_t id_bytes(size_t size)
{
    return sizeof(struct evb__dedup_id) + size;
}

/* ---- the table ---- */

static struct evb__dedup_id **bucket_of(const struct evb__dedup *d, uint32_t hash)
{
    return &d->table[hash & (d->buckets - 1)];
}

static struct evb__dedup_id *find_locked(const struct evb__dedup *d, const char *id, size_t size,
                                         uint32_t hash)
{
    if (d->buckets == 0) return NULL;
    for (struct evb__dedup_id *i = *bucket_of(d, hash); i != NULL; i = i->chain)
        if (i->hash == hash && i->size == size && memcmp(i->bytes, id, size) == 0) return i;
    return NULL;
}

/* Only the first table is needed: without memory for a larger one chains are longer for a while. */
static int32_t make_room_locked(struct evb__dedup *d)
{
    uint32_t buckets = d->buckets == 0 ? BUCKETS_MIN : 2 * d->buckets, old_buckets = d->buckets;
    struct evb__dedup_id **table, **old = d->table;

    if (d->remembered + d->pending < d->buckets || d->buckets == BUCKETS_MAX) return EVB_OK;
    table = evb__zalloc(buckets * sizeof(struct evb__dedup_id *), EVB__ALIGN_MIN);
    if (table == NULL) return d->buckets == 0 ? EVB_ENOMEM : EVB_OK;
    d->table = table;
    d->buckets = buckets;
    for (uint32_t b = 0; b < old_buckets; b++) {
        while (old[b] != NULL) {
            struct evb__dedup_id *i = old[b], **at = bucket_of(d, i->hash);

            old[b] = i->chain;
            i->chain = *at;
            *at = i;
        }
    }
    if (old_buckets != 0) evb__free(old, old_buckets * sizeof(struct evb__dedup_id *));
    return EVB_OK;
}

static void remove_locked(struct evb__dedup *d, struct evb__dedup_id *i)
{
    struct evb__dedup_id **at = bucket_of(d, i->hash);

    while (*at != i)
        at = &(*at)->chain;
    *at = i->chain;
    evb__free(i, id_bytes(i->size));
}

/* ---- the window ---- */

static void forget_oldest_locked(struct evb__dedup *d)
{
    struct evb__dedup_id *i = d->oldest;

    d->oldest = i->next;
    if (d->oldest == NULL) d->newest = NULL;
    d->remembered--;
    remove_locked(d, i);
}

static void expire_locked(struct evb__dedup *d, int64_t now)
{
    while (d->oldest != NULL && d->oldest->expires_ns <= now)
        forget_oldest_locked(d);
}

static void remember_locked(struct evb__dedup *d, struct evb__dedup_id *i)
{
    if (d->newest != NULL)
        d->newest->next = i;
    else
        d->oldest = i;
    d->newest = i;
    if (++d->remembered > d->window) forget_oldest_locked(d);
}

/* Answers whether somebody is to be woken, once the lock is free. */
static bool step_locked(struct evb__dedup *d)
{
    if (d->sleepers == 0) return false;
    (void)evb__add_rel(&d->epoch, 1); /* pairs with the load in evb__dedup_wait */
    return true;
}

/* ---- the calls ---- */

void evb__dedup_init(struct evb__dedup *d, uint32_t window, uint64_t seed)
{
    evb__mutex_init(&d->lock);
    d->window = window == 0 ? EVB__DEDUP_WINDOW : window;
    d->seed = seed;
}

void evb__dedup_forget(struct evb__dedup *d)
{
    evb__mutex_lock(&d->lock);
    while (d->oldest != NULL)
        forget_oldest_locked(d);
    evb__mutex_unlock(&d->lock);
}

void evb__dedup_fini(struct evb__dedup *d)
{
    evb__dedup_forget(d);
    evb__assert(d->pending == 0 && d->sleepers == 0);
    if (d->buckets != 0) evb__free(d->table, d->buckets * sizeof(struct evb__dedup_id *));
    evb__mutex_destroy(&d->lock);
}

uint64_t evb__dedup_duplicates(struct evb__dedup *d)
{
    uint64_t duplicates;

    evb__mutex_lock(&d->lock);
    duplicates = d->duplicates;
    evb__mutex_unlock(&d->lock);
    return duplicates;
}

static uint32_t hash_of(const struct evb__dedup *d, const char *id, size_t size)
{
    return (uint32_t)evb__hash(id, size, d->seed);
}

static int32_t add_locked(struct evb__dedup *d, const char *id, size_t size, uint32_t hash,
                          struct evb__dedup_id **ret_claim)
{
    struct evb__dedup_id *i, **at;

    if (make_room_locked(d) != EVB_OK) return EVB_ENOMEM;
    i = evb__zalloc(id_bytes(size), EVB__ALIGN_MIN);
    if (i == NULL) return EVB_ENOMEM;
    i->hash = hash;
    i->pending = 1;
    i->size = (uint8_t)size;
    memcpy(i->bytes, id, size);
    at = bucket_of(d, hash);
    i->chain = *at;
    *at = i;
    d->pending++;
    *ret_claim = i;
    return EVB_OK;
}

int32_t evb__dedup_claim(struct evb__dedup *d, const char *id, size_t size, struct evb__dedup_id **ret_claim,
                         uint64_t *ret_sequence)
{
    uint32_t hash = hash_of(d, id, size);
    struct evb__dedup_id *known;
    int32_t status;

    evb__assert(size != 0 && size <= EVB__DEDUP_ID_MAX);
    evb__mutex_lock(&d->lock);
    expire_locked(d, evb__clock_mono());
    known = find_locked(d, id, size, hash);
    if (known == NULL) {
        status = add_locked(d, id, size, hash, ret_claim);
    } else if (known->pending) {
        status = EVB_EAGAIN;
    } else {
        *ret_sequence = known->sequence;
        d->duplicates++;
        status = EVB_EEXIST;
    }
    evb__mutex_unlock(&d->lock);
    return status;
}

void evb__dedup_done(struct evb__dedup *d, struct evb__dedup_id *claim, uint64_t sequence)
{
    bool wake;

    evb__mutex_lock(&d->lock);
    claim->pending = 0;
    claim->sequence = sequence;
    claim->expires_ns = evb__clock_mono() + EVB__DEDUP_NS; /* under the lock: the list is in this order */
    d->pending--;
    remember_locked(d, claim);
    wake = step_locked(d);
    evb__mutex_unlock(&d->lock);
    if (wake) evb__wake_all(&d->epoch);
}

void evb__dedup_abandon(struct evb__dedup *d, struct evb__dedup_id *claim)
{
    bool wake;

    evb__mutex_lock(&d->lock);
    d->pending--;
    remove_locked(d, claim);
    wake = step_locked(d);
    evb__mutex_unlock(&d->lock);
    if (wake) evb__wake_all(&d->epoch);
}

int32_t evb__dedup_wait(struct evb__dedup *d, const char *id, size_t size, int64_t deadline_ns,
                        EVB__ATOMIC(uint32_t) *closed)
{
    uint32_t hash = hash_of(d, id, size);
    int32_t status = EVB_EAGAIN;

    evb__mutex_lock(&d->lock);
    for (;;) {
        const struct evb__dedup_id *known = find_locked(d, id, size, hash);
        uint32_t key = evb__ld_acq(&d->epoch); /* pairs with step_locked */
        int64_t left;

        if (known == NULL || !known->pending) status = EVB_OK;
        if (evb__ld_acq(closed) != 0) status = EVB_ECLOSED; /* pairs with who sets it, before the wake */
        left = evb__remaining(deadline_ns);
        if (status == EVB_EAGAIN && left == 0) status = EVB_ETIMEDOUT;
        if (status != EVB_EAGAIN) break;
        d->sleepers++;
        evb__mutex_unlock(&d->lock);
        (void)evb__park(&d->epoch, key, left);
        evb__mutex_lock(&d->lock);
        d->sleepers--;
    }
    evb__mutex_unlock(&d->lock);
    return status;
}

void evb__dedup_wake(struct evb__dedup *d)
{
    bool wake;

    evb__mutex_lock(&d->lock);
    wake = step_locked(d);
    evb__mutex_unlock(&d->lock);
    if (wake) evb__wake_all(&d->epoch);
}
