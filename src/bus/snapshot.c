/* SPDX-License-Identifier: MIT */
/* Snapshots: what an emit runs through. Written in place where readers cannot be misled, copied where they
 * could be.
 *
 * In place: appending (the entry first, then the count with release: an emit under way keeps the count it
 * took) and killing (fn becomes evb__dead_listener). Everything else (a place in the middle, no room, too
 * many dead) makes a new block, publishes it and puts the old one into limbo. A literal listener alone on its
 * topic serves as the snapshot itself ({one, entry} in its record): most topics have one listener, and no
 * block.
 */
#include "bus/bus.h"

#include "base/alloc.h"

#define CAPACITY_MIN 2

/* One for all topics whose bus is gone. Never written to. */
struct evb__snapshot evb__closed_snapshot = {.flags = EVB__SNAPSHOT_CLOSED};

int32_t evb__dead_listener(const evb_event *event, void *user)
{
    (void)event;
    (void)user;
    return evb__skip(evb__self()->slot);
}

struct evb__entry *evb__snapshot_entries(struct evb__snapshot *snapshot)
{
    return (struct evb__entry *)(void *)(snapshot + 1);
}

static struct evb__snapshot_block *block_of(struct evb__snapshot *snapshot)
{
    return EVB__CONTAINER(snapshot, struct evb__snapshot_block, head);
}

static bool is_closed(const struct evb__snapshot *snapshot)
{
    return (snapshot->flags & EVB__SNAPSHOT_CLOSED) != 0;
}

static uint32_t *index_of(struct evb__snapshot_block *block)
{
    return (uint32_t *)(void *)(evb__snapshot_entries(&block->head) + block->capacity);
}

static size_t block_size(uint32_t capacity)
{
    return sizeof(struct evb__snapshot_block) + capacity * (sizeof(struct evb__entry) + sizeof(uint32_t));
}

static struct evb__snapshot_block *block_of_limbo(struct evb__limbo *limbo)
{
    return EVB__CONTAINER(limbo, struct evb__snapshot_block, limbo);
}

static void free_block(struct evb__limbo *limbo)
{
    struct evb__snapshot_block *block = block_of_limbo(limbo);

    evb__free(block, block_size(block->capacity));
}

void evb__snapshot_drop(struct evb__snapshot_block *block)
{
    free_block(&block->limbo);
}

static struct evb__snapshot_block *new_block(const evb_topic *topic, uint32_t capacity)
{
    struct evb__snapshot_block *block;

    block = evb__alloc(block_size(capacity), EVB__ALIGN_MIN);
    if (block == NULL) return NULL;
    block->limbo = (struct evb__limbo){.hazard = (uintptr_t)topic, .free = free_block};
    block->capacity = capacity;
    block->dead = 0;
    block->head.flags = 0;
    evb__init(&block->head.count, 0);
    return block;
}

/* The topic's snapshot is the only literal listener's own record. */
static bool is_embedded(const evb_bus *bus, const evb_topic *topic, const struct evb__snapshot *snapshot)
{
    return topic->u.list.first != 0 && snapshot == &evb__listener(bus, topic->u.list.first)->one;
}

static struct evb__snapshot *current(evb_topic *topic)
{
    return evb__ld_rlx(&topic->snapshot); /* writers are under the lock */
}

static void publish(evb_topic *topic, struct evb__snapshot *snapshot)
{
    /* the entries; pairs with the load of topic->snapshot in emit.c */
    evb__st_rel(&topic->snapshot, snapshot);
}

/* Fills the next entry of a block nobody sees yet, or the one behind the count. */
static void put_entry(struct evb__snapshot_block *block, uint32_t at, struct evb__listener *listener,
                      uint32_t number)
{
    struct evb__entry *entry = evb__snapshot_entries(&block->head) + at;

    /* relaxed: published by the count or by the block's publication */
    evb__st_rlx(&entry->fn, evb__ld_rlx(&listener->entry.fn));
    EVB__PLAIN_WRITE(entry->user, listener->entry.user);
    index_of(block)[at] = number;
    /* A block that emits see has the flag already: evb__snapshot_fits_locked. */
    if (evb__listener_is_sink(listener) && block->head.flags == 0) block->head.flags = EVB__SNAPSHOT_QUEUES;
}

static uint32_t count_of(struct evb__snapshot_block *block)
{
    return evb__ld_rlx(&block->head.count); /* writers are under the lock */
}

/* The last live listener of a block, or NULL. Dead entries at the end are few: a block with many is
 * compacted. */
static const struct evb__listener *last_of(const evb_bus *bus, struct evb__snapshot_block *block)
{
    for (uint32_t i = count_of(block); i-- > 0;)
        if (index_of(block)[i] != 0) return evb__listener(bus, index_of(block)[i]);
    return NULL;
}

bool evb__snapshot_fits_locked(const evb_bus *bus, evb_topic *topic, const struct evb__listener *listener)
{
    struct evb__snapshot *snapshot = current(topic);
    struct evb__snapshot_block *block;
    const struct evb__listener *last;

    if (snapshot == NULL) return !listener->wild; /* embedded: nothing to allocate */
    if (is_embedded(bus, topic, snapshot)) return false;
    block = block_of(snapshot);
    if (count_of(block) == block->capacity) return false;
    if (evb__listener_is_sink(listener) && snapshot->flags == 0) return false; /* the flag is from birth */
    last = last_of(bus, block);
    return last == NULL || evb__listener_before(last, listener);
}

/* A copy of the live entries with room to grow; with listener != NULL it is merged in at its place. */
static struct evb__snapshot_block *copy_with(const evb_bus *bus, evb_topic *topic,
                                             struct evb__listener *listener, uint32_t number)
{
    struct evb__snapshot *snapshot = current(topic);
    uint32_t alone = 0, count = 0, live = 0, capacity = CAPACITY_MIN, at = 0;
    const uint32_t *numbers = NULL;
    struct evb__snapshot_block *block;

    if (snapshot != NULL && is_embedded(bus, topic, snapshot)) {
        alone = topic->u.list.first;
        numbers = &alone;
        count = live = 1;
    } else if (snapshot != NULL) {
        numbers = index_of(block_of(snapshot));
        count = count_of(block_of(snapshot));
        live = count - block_of(snapshot)->dead;
    }
    while (capacity < live + (listener != NULL) + live / 4)
        capacity += capacity / 2;
    block = new_block(topic, capacity);
    if (block == NULL) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct evb__listener *other = numbers[i] != 0 ? evb__listener(bus, numbers[i]) : NULL;

        if (other == NULL) continue;
        if (listener != NULL && evb__listener_before(listener, other)) {
            put_entry(block, at++, listener, number);
            listener = NULL;
        }
        put_entry(block, at++, other, numbers[i]);
    }
    if (listener != NULL) put_entry(block, at++, listener, number);
    evb__st_rlx(&block->head.count, at); /* published with the block */
    return block;
}

int32_t evb__snapshot_prepare_locked(evb_bus *bus, evb_topic *topic, const struct evb__listener *listener,
                                     uint32_t number, struct evb__snapshot_block **ret_block)
{
    *ret_block = NULL;
    if (evb__snapshot_fits_locked(bus, topic, listener)) return EVB_OK;
    *ret_block = copy_with(bus, topic, evb__listener(bus, number), number);
    return *ret_block != NULL ? EVB_OK : EVB_ENOMEM;
}

/* Publishes another snapshot (or none); the block before it goes to limbo. An embedded one lives in its
 * listener's record. */
static void replace(evb_bus *bus, evb_topic *topic, struct evb__snapshot *snapshot)
{
    struct evb__snapshot *old = current(topic);
    bool own_memory = old != NULL && !is_closed(old) && !is_embedded(bus, topic, old);

    publish(topic, snapshot);
    if (own_memory) evb__limbo_block_locked(bus, &block_of(old)->limbo);
}

void evb__snapshot_commit_locked(evb_bus *bus, evb_topic *topic, struct evb__listener *listener,
                                 uint32_t number, struct evb__snapshot_block *block)
{
    struct evb__snapshot *snapshot = current(topic);
    uint32_t count;

    if (block != NULL) {
        replace(bus, topic, &block->head);
    } else if (snapshot == NULL) {
        publish(topic, &listener->one);
    } else {
        block = block_of(snapshot);
        count = count_of(block);
        put_entry(block, count, listener, number);
        evb__st_rel(&block->head.count, count + 1); /* the entry; pairs with the count's load in emit.c */
    }
}

/* Shell sort: no allocation behind the user's back (qsort may), and the lists come nearly sorted. */
static void sort_numbers(const evb_bus *bus, uint32_t *numbers, uint32_t count)
{
    uint32_t gap = 1;

    while (gap < count / 3)
        gap = gap * 3 + 1;
    for (; gap > 0; gap /= 3) {
        for (uint32_t i = gap; i < count; i++) {
            uint32_t number = numbers[i], j = i;

            for (; j >= gap &&
                   evb__listener_before(evb__listener(bus, number), evb__listener(bus, numbers[j - gap]));
                 j -= gap)
                numbers[j] = numbers[j - gap];
            numbers[j] = number;
        }
    }
}

struct evb__snapshot_block *evb__snapshot_make_locked(evb_bus *bus, evb_topic *topic, uint32_t *numbers,
                                                      uint32_t count)
{
    struct evb__snapshot_block *block = new_block(topic, count < CAPACITY_MIN ? CAPACITY_MIN : count);
    uint32_t at = 0;

    if (block == NULL) return NULL;
    sort_numbers(bus, numbers, count);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || numbers[i] != numbers[i - 1])
            put_entry(block, at++, evb__listener(bus, numbers[i]), numbers[i]);
    evb__st_rlx(&block->head.count, at); /* published with the block */
    return block;
}

/* Answers true when the listener was in the block. */
static bool kill_in(struct evb__snapshot_block *block, uint32_t number)
{
    uint32_t *index = index_of(block), count = count_of(block);

    for (uint32_t i = 0; i < count; i++) {
        if (index[i] != number) continue;
        /* relaxed: promptness only. That the context may go is decided by the observation that follows. */
        evb__st_rlx(&evb__snapshot_entries(&block->head)[i].fn, evb__dead_listener);
        index[i] = 0;
        block->dead++;
        return true;
    }
    return false;
}

static void kill_block(struct evb__snapshot_block *block)
{
    for (uint32_t i = 0, count = count_of(block); i < count; i++)
        /* relaxed: as in kill_in */
        evb__st_rlx(&evb__snapshot_entries(&block->head)[i].fn, evb__dead_listener);
}

/* The last sink has gone: a block without the flag gives emits their fast path back. */
static bool is_flagged_in_vain(const evb_bus *bus, struct evb__snapshot_block *block)
{
    if (block->head.flags == 0) return false;
    for (uint32_t i = 0; i < count_of(block); i++)
        if (index_of(block)[i] != 0 && evb__listener_is_sink(evb__listener(bus, index_of(block)[i])))
            return false;
    return true;
}

static void compact(evb_bus *bus, evb_topic *topic, struct evb__snapshot_block *block)
{
    uint32_t live = count_of(block) - block->dead, first = topic->u.list.first;

    if (live == 0) {
        replace(bus, topic, NULL);
    } else if (live == 1 && topic->u.list.listeners == 1 &&
               last_of(bus, block) == evb__listener(bus, first)) {
        publish(topic, &evb__listener(bus, first)->one); /* alone again: needs no block and no memory */
        evb__limbo_block_locked(bus, &block->limbo);
        /* a dead entry costs an emit several live ones: it goes through the cold path */
    } else if (block->dead > live / 4 || is_flagged_in_vain(bus, block)) {
        struct evb__snapshot_block *copy = copy_with(bus, topic, NULL, 0);

        if (copy != NULL) replace(bus, topic, &copy->head); /* no memory: the dead stay a little longer */
    }
}

void evb__snapshot_kill_locked(evb_bus *bus, evb_topic *topic, const struct evb__listener *listener,
                               uint32_t number)
{
    struct evb__snapshot *snapshot = current(topic);

    if (snapshot == &listener->one)
        publish(topic, NULL);
    else if (snapshot != NULL && !is_closed(snapshot) && !is_embedded(bus, topic, snapshot) &&
             kill_in(block_of(snapshot), number))
        compact(bus, topic, block_of(snapshot));
}

/* The block of a topic in limbo: what it had when its record went, for emits that had found the record
 * before. */
static struct evb__snapshot_block *left_block(evb_topic *topic)
{
    struct evb__snapshot *snapshot = current(topic);

    return snapshot != NULL && !is_closed(snapshot) ? block_of(snapshot) : NULL;
}

void evb__snapshot_kill_limbo_locked(evb_bus *bus, uint32_t number)
{
    for (struct evb__limbo *limbo = bus->limbo_blocks; limbo != NULL; limbo = limbo->next)
        if (limbo->free == free_block) (void)kill_in(block_of_limbo(limbo), number);
    for (evb_topic *topic = bus->limbo_topics; topic != NULL; topic = topic->u.next)
        if (left_block(topic) != NULL) (void)kill_in(left_block(topic), number);
}

void evb__snapshot_silence_limbo_locked(evb_bus *bus)
{
    for (struct evb__limbo *limbo = bus->limbo_blocks; limbo != NULL; limbo = limbo->next)
        if (limbo->free == free_block) kill_block(block_of_limbo(limbo));
    for (evb_topic *topic = bus->limbo_topics; topic != NULL; topic = topic->u.next)
        if (left_block(topic) != NULL) kill_block(left_block(topic));
}

void evb__snapshot_close_locked(evb_bus *bus, evb_topic *topic)
{
    replace(bus, topic, &evb__closed_snapshot);
}

void evb__snapshot_free_left(evb_topic *topic)
{
    if (left_block(topic) != NULL) evb__snapshot_drop(left_block(topic));
}

uint32_t evb__snapshot_count_locked(const evb_bus *bus, evb_topic *topic)
{
    struct evb__snapshot *snapshot = current(topic);
    struct evb__snapshot_block *block;
    uint32_t count = 0;

    if (snapshot == NULL) return 0;
    if (is_embedded(bus, topic, snapshot))
        return evb__listener_counts(evb__listener(bus, topic->u.list.first)) ? 1 : 0;
    block = block_of(snapshot);
    for (uint32_t i = 0; i < count_of(block); i++)
        if (index_of(block)[i] != 0 && evb__listener_counts(evb__listener(bus, index_of(block)[i]))) count++;
    return count;
}
