/* SPDX-License-Identifier: MIT */
/* Emit: the fast path. No lock, no read-modify-write, no allocation, no clock; one loop over function and
 * context.
 *
 * Announce the topic, load its snapshot, take its count, call, leave (base/reader.h). What is rare is out of
 * line: the first emit of a thread, a forked child, nesting deeper than the slot, a non-zero answer, a mark.
 * The loop is compiled with aligned loops (Makefile): without, its speed depends on where the linker puts it,
 * by a quarter.
 */
#include "bus/bus.h"

#include "base/hash.h"
#include "bus/message.h"

#include <string.h>

static EVB__COLD int32_t refuse_payload(const evb_bus *bus, size_t size)
{
    return size > bus->max_payload ? EVB_ETOOBIG : EVB_EINVAL;
}

EVB__INLINE bool payload_is_bad(const evb_bus *bus, const void *data, size_t size)
{
    return size > bus->max_payload || (data == NULL && size != 0);
}

/* Runs through the topic's snapshot as it is now. The topic is announced. */
EVB__INLINE int32_t call_listeners(struct evb__slot *slot, struct evb__slot_entry *at, evb_topic *topic,
                                   const void *data, size_t size)
{
    struct evb__snapshot *snapshot = evb__ld_acq(&topic->snapshot); /* pairs with publish in snapshot.c */
    struct evb__view view = {
        .event = {.data = data, .size = size, .topic = topic->name, .topic_len = topic->named.size}};
    struct evb__entry *entry, *end;
    uint32_t called;

    if (evb__unlikely(snapshot == NULL)) return 0;
    if (evb__unlikely(snapshot->flags != 0)) /* closed, or there are queues */
        return evb__emit_special(slot, at, topic, snapshot, data, size);
    /* pairs with the append in snapshot.c: entries below it are complete */
    called = evb__ld_acq(&snapshot->count);
    entry = (struct evb__entry *)(void *)(snapshot + 1);
    end = entry + called;
    for (; entry < end; entry++) {
        /* relaxed: a removal is seen as soon as the processor sees it */
        int32_t answer = evb__ld_rlx(&entry->fn)(&view.event, EVB__PLAIN_READ(entry->user));

        if (evb__unlikely(answer != 0)) called -= evb__odd_answer(topic->bus, &view.event, answer);
    }
    return (int32_t)called;
}

static EVB__COLD void left_a_mark(struct evb__slot_entry *entry)
{
    void *mark = evb__reader_take_mark(entry);

    if (mark != NULL) evb__emit_left(evb__self(), mark);
}

/* Nested too deep for a depth of its own, or no heavy barrier on this system. */
static EVB__COLD int32_t emit_topic_slow(struct evb__slot *slot, evb_topic *topic, const void *data,
                                         size_t size)
{
    struct evb__slot_entry *entry;
    int32_t status;
    void *mark;

    if (evb__slot_depth(slot) >= EVB__EMIT_DEPTH) return EVB_ERECURSION;
    entry = evb__reader_enter(slot, (uintptr_t)topic);
    status = call_listeners(slot, entry, topic, data, size);
    mark = evb__reader_leave(slot, entry);
    if (mark != NULL) evb__emit_left(evb__self(), mark);
    return status;
}

/* Apart from evb_topic_emit, so that an emit to nobody saves no registers. */
static EVB__NOINLINE int32_t emit_topic(struct evb__slot *slot, evb_topic *topic, const void *data,
                                        size_t size)
{
    struct evb__slot_entry *entry = evb__reader_enter_plain(slot, (uintptr_t)topic);
    int32_t status;

    if (evb__unlikely(entry == NULL)) return emit_topic_slow(slot, topic, data, size);
    status = call_listeners(slot, entry, topic, data, size);
    if (evb__unlikely(evb__reader_leave_plain(slot, entry) != NULL)) left_a_mark(entry);
    return status;
}

/* The first emit of a thread, or one on a handle of the parent process. Ends: ready makes the generations
 * equal or answers an error. */
static EVB__COLD int32_t topic_emit_unready(evb_topic *topic, const void *data, size_t size)
{
    int32_t status = evb__reader_ready(evb__self(), topic->bus->generation);

    return status == EVB_OK ? evb_topic_emit(topic, data, size) : status;
}

int32_t evb_topic_emit(evb_topic *topic, const void *data, size_t size)
{
    const struct evb__self *self = evb__self();
    const evb_bus *bus;

    if (evb__unlikely(topic == NULL)) return EVB_EINVAL;
    bus = topic->bus;
    if (evb__unlikely(self->generation != bus->generation)) return topic_emit_unready(topic, data, size);
    if (evb__unlikely(payload_is_bad(bus, data, size))) return refuse_payload(bus, size);
    if (evb__ld_rlx(&topic->snapshot) == NULL) return 0; /* nobody: not even announced, nothing is followed */
    return emit_topic(self->slot, topic, data, size);
}

/* No record of that name: it is checked, and matched against the wildcards. (Of a closed bus every record's
 * snapshot says so.) */
static EVB__COLD int32_t emit_without_record(evb_bus *bus, struct evb__slot *slot,
                                             struct evb__slot_entry *entry, const char *topic, size_t length,
                                             const void *data, size_t size)
{
    struct evb__view view = {
        .event = {.data = data, .size = size, .topic = topic, .topic_len = (uint32_t)length}};
    struct evb__tokens tokens;
    int32_t status = evb__topic_split(bus->dialect, topic, length, &tokens);

    if (status != EVB_OK) return status;
    if (evb__ld_acq(&bus->closed) != 0) return EVB_ECLOSED; /* pairs with evb_bus_destroy */
    /* relaxed: of a queue that is there already its subscriber has told this thread in some way */
    if (evb__ld_rlx(&bus->sinks) != 0)
        return evb__emit_special_unlisted(bus, slot, entry, &tokens, data, size);
    /* pairs with evb__register: what it counts is in the trie or newer */
    return evb__emit_unlisted(bus, slot, entry, &tokens, &view.event, evb__ld_acq(&bus->registered));
}

/* The bus is announced; goes over to the topic where there is one. */
EVB__INLINE int32_t emit_name(evb_bus *bus, struct evb__slot *slot, struct evb__slot_entry *entry, bool plain,
                              const char *topic, size_t length, const void *data, size_t size)
{
    uint32_t hash = (uint32_t)evb__hash(topic, length, bus->seed);
    struct evb__named *named = evb__names_find(&bus->names, topic, length, hash);
    evb_topic *record;

    if (evb__unlikely(named == NULL)) return emit_without_record(bus, slot, entry, topic, length, data, size);
    record = EVB__CONTAINER(named, evb_topic, named);
    if (plain) /* protected throughout: by the bus, then by itself */
        evb__reader_move_plain(entry, (uintptr_t)record);
    else
        evb__reader_move(slot, entry, (uintptr_t)record);
    return call_listeners(slot, entry, record, data, size);
}

static EVB__COLD int32_t emit_name_slow(evb_bus *bus, struct evb__slot *slot, const char *topic,
                                        size_t length, const void *data, size_t size)
{
    struct evb__slot_entry *entry;
    int32_t status;
    void *mark;

    if (evb__slot_depth(slot) >= EVB__EMIT_DEPTH) return EVB_ERECURSION;
    entry = evb__reader_enter(slot, evb__bus_hazard(bus));
    status = emit_name(bus, slot, entry, false, topic, length, data, size);
    mark = evb__reader_leave(slot, entry);
    if (mark != NULL) evb__emit_left(evb__self(), mark);
    return status;
}

static EVB__COLD int32_t emit_unready(evb_bus *bus, const char *topic, const void *data, size_t size)
{
    int32_t status = evb__reader_ready(evb__self(), bus->generation); /* as in topic_emit_unready */

    return status == EVB_OK ? evb_emit(bus, topic, data, size) : status;
}

int32_t evb_emit(evb_bus *bus, const char *topic, const void *data, size_t size)
{
    const struct evb__self *self = evb__self();
    struct evb__slot_entry *entry;
    struct evb__slot *slot;
    int32_t status;
    size_t length;

    if (evb__unlikely(bus == NULL || topic == NULL)) return EVB_EINVAL;
    if (evb__unlikely(self->generation != bus->generation)) return emit_unready(bus, topic, data, size);
    if (evb__unlikely(payload_is_bad(bus, data, size))) return refuse_payload(bus, size);
    length = strnlen(topic, EVB__NAME_MAX + 1);
    if (evb__unlikely(length > EVB__NAME_MAX || (unsigned char)topic[0] == bus->reserved_first))
        return EVB_EINVAL;
    slot = self->slot;
    entry = evb__reader_enter_plain(slot, evb__bus_hazard(bus));
    if (evb__unlikely(entry == NULL)) return emit_name_slow(bus, slot, topic, length, data, size);
    status = emit_name(bus, slot, entry, true, topic, length, data, size);
    if (evb__unlikely(evb__reader_leave_plain(slot, entry) != NULL)) left_a_mark(entry);
    return status;
}
