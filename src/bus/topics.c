/* SPDX-License-Identifier: MIT */
/* Topic records: made by the first handle or literal listener of a name, gone with the last. */
#include "bus/bus.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <string.h>

_Static_assert(sizeof(void *) != 8 || offsetof(evb_topic, name) == 38,
               "a topic begins with 38 bytes without a gap");

static size_t topic_size(size_t name_size)
{
    return offsetof(evb_topic, name) + name_size + 1;
}

void evb__topic_free(evb_topic *topic)
{
    evb__snapshot_free_left(topic);
    evb__free(topic, topic_size(topic->named.size));
}

evb_topic *evb__topic_find_locked(const evb_bus *bus, const char *name, size_t size)
{
    struct evb__named *named =
        evb__names_find(&bus->names, name, size, (uint32_t)evb__hash(name, size, bus->seed));

    return named != NULL ? EVB__CONTAINER(named, evb_topic, named) : NULL;
}

/* ---- the wildcard listeners that a new topic begins with ---- */

struct gather {
    const evb_bus *bus;
    uint32_t *numbers; /* NULL: only count */
    uint32_t count;
};

static void gather_list(uint32_t head, void *arg)
{
    struct gather *g = arg;

    /* under the lock */
    for (uint32_t number = head; number != 0; number = evb__ld_rlx(&evb__listener(g->bus, number)->next)) {
        if (g->numbers != NULL) g->numbers[g->count] = number;
        g->count++;
    }
}

/* In AMQP a list may be reported more than once; evb__snapshot_make_locked drops the repetitions. */
static int32_t resolve_wildcards(evb_bus *bus, evb_topic *topic, const struct evb__tokens *tokens)
{
    struct gather g = {.bus = bus};
    struct evb__snapshot_block *block;
    size_t bytes;

    evb__trie_match(&bus->trie, tokens, gather_list, &g);
    if (g.count == 0) return EVB_OK;
    bytes = g.count * sizeof *g.numbers;
    g.numbers = evb__alloc(bytes, EVB__ALIGN_MIN);
    if (g.numbers == NULL) return EVB_ENOMEM;
    g.count = 0;
    evb__trie_match(&bus->trie, tokens, gather_list, &g);
    block = evb__snapshot_make_locked(bus, topic, g.numbers, g.count);
    evb__free(g.numbers, bytes);
    if (block == NULL) return EVB_ENOMEM;
    evb__st_rlx(&topic->snapshot, &block->head); /* published with the topic */
    return EVB_OK;
}

int32_t evb__topic_make_locked(evb_bus *bus, const char *name, size_t size, evb_topic **ret_topic)
{
    evb_topic *topic = evb__topic_find_locked(bus, name, size);
    struct evb__tokens tokens;
    int32_t status;

    if (topic != NULL) {
        *ret_topic = topic;
        return EVB_OK;
    }
    status = evb__topic_split(bus->dialect, name, size, &tokens);
    if (status != EVB_OK) return status;
    if (evb__names_reserve(&bus->names) != EVB_OK || evb__index_reserve(&bus->index, name, size) != EVB_OK)
        return EVB_ENOMEM;
    topic = evb__zalloc(topic_size(size), EVB__ALIGN_MIN);
    if (topic == NULL) return EVB_ENOMEM;
    topic->bus = bus;
    topic->named.hash = (uint32_t)evb__hash(name, size, bus->seed);
    topic->named.size = (uint16_t)size;
    topic->named.name_offset = (uint16_t)offsetof(evb_topic, name);
    memcpy(topic->name, name, size);
    status = resolve_wildcards(bus, topic, &tokens);
    if (status != EVB_OK) {
        evb__topic_free(topic);
        return status;
    }
    evb__names_insert(&bus->names, &topic->named);
    evb__index_insert(&bus->index, &topic->named);
    bus->topics++;
    *ret_topic = topic;
    return EVB_OK;
}

void evb__topic_settle_locked(evb_bus *bus, evb_topic *topic)
{
    if (topic->refs != 0 || topic->u.list.listeners != 0) return;
    evb__names_remove(&bus->names, &topic->named);
    evb__index_remove(&bus->index, &topic->named);
    /* Its snapshot goes with it: an emit that has just found the record still reaches everybody. */
    evb__limbo_topic_locked(bus, topic);
    bus->topics--;
}

/* ---- handles ---- */

int32_t evb_topic_open(evb_bus *bus, const char *name, evb_topic **ret_topic)
{
    int32_t status = evb__bus_enter(bus);
    evb_topic *topic = NULL;
    size_t size;

    if (status != EVB_OK) return status;
    if (name == NULL || ret_topic == NULL) return EVB_EINVAL;
    size = strnlen(name, EVB__NAME_MAX + 1);
    if (size > EVB__NAME_MAX || (unsigned char)name[0] == bus->reserved_first) return EVB_EINVAL;

    evb__bus_lock(bus);
    if (evb__ld_rlx(&bus->closed) != 0) { /* under the lock */
        status = EVB_ECLOSED;
    } else {
        status = evb__topic_make_locked(bus, name, size, &topic);
    }
    if (status == EVB_OK && topic->refs == UINT32_MAX) status = EVB_EFULL;
    /* the bus' memory stays for its handles; ours is held */
    if (status == EVB_OK && topic->refs++ == 0) (void)evb__add_rlx(&bus->refs, 1);
    evb__bus_unlock(bus);
    if (status == EVB_OK) *ret_topic = topic;
    return status;
}

void evb_topic_close(evb_topic *topic)
{
    evb_bus *bus;
    bool last, finished;

    if (topic == NULL) return;
    bus = topic->bus;
    /* of the parent process: its memory stays as it is */
    if (bus->generation != evb__process_generation()) return;
    evb__bus_lock(bus);
    last = --topic->refs == 0;
    finished = bus->finished;
    /* under the lock */
    if (last && !finished && evb__ld_rlx(&bus->closed) == 0) evb__topic_settle_locked(bus, topic);
    evb__bus_unlock(bus);
    if (!last) return;
    if (finished) {
        evb__readers_lock(); /* an observer of another bus may be reading the topic's bus right now */
        evb__topic_free(topic);
        evb__readers_unlock();
    }
    evb__bus_unref(bus);
}
