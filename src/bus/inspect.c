/* SPDX-License-Identifier: MIT */
/* Questions to the registry: how many listeners an emit would reach, which patterns there are. */
#include "bus/bus.h"

#include "base/alloc.h"

#include <string.h>

/* ---- count ---- */

struct counting {
    const evb_bus *bus;
    uint32_t count;
};

/* In AMQP a list may be reported more than once: its newest listener remembers that it was counted. */
static void count_list(uint32_t head, void *arg)
{
    struct counting *c = arg;

    if (evb__listener(c->bus, head)->counted) return;
    evb__listener(c->bus, head)->counted = 1;
    /* under the lock */
    for (uint32_t number = head; number != 0; number = evb__ld_rlx(&evb__listener(c->bus, number)->next))
        if (evb__listener_counts(evb__listener(c->bus, number))) c->count++;
}

static void forget_list(uint32_t head, void *arg)
{
    evb__listener(((struct counting *)arg)->bus, head)->counted = 0;
}

static uint32_t count_wildcards_locked(const evb_bus *bus, const struct evb__tokens *tokens)
{
    struct counting c = {.bus = bus};

    evb__trie_match(&bus->trie, tokens, count_list, &c);
    evb__trie_match(&bus->trie, tokens, forget_list, &c);
    return c.count;
}

int32_t evb_listener_count(evb_bus *bus, const char *topic)
{
    int32_t status = evb__bus_enter(bus);
    struct evb__tokens tokens;
    evb_topic *record;
    uint32_t count = 0;

    if (status != EVB_OK) return status;
    if (topic == NULL || (unsigned char)topic[0] == bus->reserved_first) return EVB_EINVAL;
    status = evb__topic_split(bus->dialect, topic, strnlen(topic, EVB__NAME_MAX + 1), &tokens);
    if (status != EVB_OK) return status;
    evb__bus_lock(bus);
    record = evb__topic_find_locked(bus, tokens.name, tokens.size);
    if (evb__ld_rlx(&bus->closed) != 0) /* under the lock */
        status = EVB_ECLOSED;
    else if (record != NULL)
        count = evb__snapshot_count_locked(bus, record);
    else
        count = count_wildcards_locked(bus, &tokens);
    evb__bus_unlock(bus);
    return status != EVB_OK ? status : (int32_t)count;
}

/* ---- patterns ---- */

struct pattern_copy {
    uint64_t oldest; /* smallest registration number among its listeners */
    uint32_t listeners, text;
};

struct copying {
    evb_bus *bus;
    struct pattern_copy *patterns; /* NULL while counting; the texts follow the last one */
    char *texts;
    uint32_t count, bytes;
};

static struct pattern_copy measure(const evb_bus *bus, uint32_t head)
{
    struct pattern_copy p = {.oldest = UINT64_MAX};

    /* under the lock */
    for (uint32_t number = head; number != 0; number = evb__ld_rlx(&evb__listener(bus, number)->next)) {
        int64_t order = evb__listener(bus, number)->u.order;
        uint64_t registered = (uint64_t)(order < 0 ? -order : order);

        if (registered < p.oldest) p.oldest = registered;
        p.listeners++;
    }
    return p;
}

static void copy_pattern(struct copying *c, uint32_t head, const char *text, uint32_t size)
{
    if (c->patterns != NULL) {
        struct pattern_copy p = measure(c->bus, head);

        p.text = c->bytes;
        memcpy(c->texts + c->bytes, text, size + 1);
        c->patterns[c->count] = p;
    }
    c->count++;
    c->bytes += size + 1;
}

static int32_t copy_topic(struct evb__named *named, void *arg)
{
    const evb_topic *topic = EVB__CONTAINER(named, evb_topic, named);

    if (topic->u.list.listeners != 0) copy_pattern(arg, topic->u.list.first, topic->name, topic->named.size);
    return 0;
}

static int32_t copy_place(uint32_t place, uint32_t head, void *arg)
{
    struct copying *c = arg;
    char text[EVB__NAME_MAX + 1];
    uint32_t size = evb__trie_text(&c->bus->trie, place, text);

    copy_pattern(c, head, text, size);
    return 0;
}

static void copy_all(struct copying *c)
{
    c->count = c->bytes = 0;
    (void)evb__names_each(&c->bus->names, copy_topic, c);
    (void)evb__trie_each(&c->bus->trie, copy_place, c);
}

static void sort_patterns(struct pattern_copy *patterns, uint32_t count)
{
    uint32_t gap = 1;

    while (gap < count / 3)
        gap = gap * 3 + 1;
    for (; gap > 0; gap /= 3) {
        for (uint32_t i = gap; i < count; i++) {
            struct pattern_copy p = patterns[i];
            uint32_t j = i;

            for (; j >= gap && p.oldest < patterns[j - gap].oldest; j -= gap)
                patterns[j] = patterns[j - gap];
            patterns[j] = p;
        }
    }
}

int32_t evb_patterns(evb_bus *bus, int32_t (*fn)(const char *pattern, uint32_t listeners, void *user),
                     void *user)
{
    struct copying c = {.bus = bus};
    int32_t status = evb__bus_enter(bus), answer = 0;
    struct evb__self *self = evb__self();
    void *memory = NULL;
    size_t size = 0;

    if (status != EVB_OK) return status;
    if (fn == NULL) return EVB_EINVAL;
    evb__bus_lock(bus);
    copy_all(&c);
    if (evb__ld_rlx(&bus->closed) != 0) { /* under the lock */
        status = EVB_ECLOSED;
    } else if (c.count != 0) {
        size = c.count * sizeof *c.patterns + c.bytes;
        memory = evb__alloc(size, EVB__ALIGN_MIN);
        if (memory == NULL) {
            status = EVB_ENOMEM;
        } else {
            c.patterns = memory;
            c.texts = (char *)(c.patterns + c.count);
            copy_all(&c);
            sort_patterns(c.patterns, c.count);
        }
    }
    evb__bus_unlock(bus);
    if (status != EVB_OK || memory == NULL) return status;

    evb__callback_begin(self);
    for (uint32_t i = 0; i < c.count && answer == 0; i++)
        answer = fn(c.texts + c.patterns[i].text, c.patterns[i].listeners, user);
    evb__free(memory, size);
    evb__callback_end(self);
    return answer;
}
