/* SPDX-License-Identifier: MIT */
/* Stored events once more, as events, in the caller's thread. */
#include "bus/bus.h"

#include "bus/message.h"

#include <evbus/store.h>
#include <string.h>

static int32_t begin(evb_bus *bus, const char *pattern, uint64_t from, evb_reader **ret_reader)
{
    evb_read_opts opts = {.from_position = from > 1 ? from : 0};

    /* Readers know one dialect; for the others every event is looked at here. */
    if (bus->dialect == evb__dialect(EVB_TOPICS_DOT)) opts.topic_pattern = pattern;
    return evb_store_read(bus->persist.store, &opts, ret_reader);
}

static bool is_wanted(const evb_bus *bus, const char *pattern, const evb_record *record)
{
    size_t size = strlen(record->topic);

    return bus->dialect == evb__dialect(EVB_TOPICS_DOT) ||
           (evb__topic_check(bus->dialect, record->topic, size) == EVB_OK &&
            evb__matches(bus->dialect, pattern, strlen(pattern), record->topic, size));
}

static int32_t call(evb_bus *bus, const evb_record *record, evb_handler fn, void *user)
{
    struct evb__self *self = evb__self();
    struct evb__origin origin = {.bus = bus,
                                 .headers = record->headers,
                                 .header_count = record->header_count,
                                 .time_ns = record->time_ns};
    struct evb__view view = {.event = {.data = record->data,
                                       .size = record->size,
                                       .topic = record->topic,
                                       .topic_len = (uint32_t)strlen(record->topic),
                                       .flags = EVB_EVENT_REPLAYING,
                                       .key = record->key,
                                       .key_len = record->key_len,
                                       .position = record->position},
                             .origin = &origin};
    int32_t answer;

    evb__callback_begin(self);
    answer = fn(&view.event, user);
    evb__callback_end(self); /* the bus may be gone but for its memory */
    return answer;
}

static int32_t replay(evb_bus *bus, evb_reader *reader, const char *pattern, evb_handler fn, void *user)
{
    uint64_t last = evb_store_last_position(bus->persist.store);
    int32_t count = 0, status = EVB_OK;

    while (status == EVB_OK && evb__ld_acq(&bus->closed) == 0) { /* pairs with evb_bus_destroy, by fn */
        evb_record record;

        status = evb_reader_next(reader, 0, &record);
        if (status != EVB_OK || record.position > last) break;
        if (!is_wanted(bus, pattern, &record)) continue;
        if (count < INT32_MAX) count++;
        if (call(bus, &record, fn, user) != 0) break;
    }
    return status == EVB_OK || status == EVB_EEMPTY ? count : status;
}

int32_t evb_bus_replay(evb_bus *bus, const char *pattern, uint64_t from_position, evb_handler fn, void *user)
{
    evb_reader *reader;
    int32_t status = evb__bus_enter(bus);

    if (status != EVB_OK) return status;
    if (pattern == NULL || fn == NULL || bus->persist.store == NULL) return EVB_EINVAL;
    if (evb__pattern_check(bus->dialect, pattern, strnlen(pattern, EVB__NAME_MAX + 1)) != EVB_OK)
        return EVB_EINVAL;
    if (evb__in_callback(evb__self())) return EVB_EDEADLK;
    if (evb__ld_acq(&bus->closed) != 0) return EVB_ECLOSED; /* pairs with evb_bus_destroy */
    status = begin(bus, pattern, from_position, &reader);
    if (status != EVB_OK) return status;
    (void)evb__add_rlx(&bus->refs, 1); /* for its memory; the owner's is there */
    status = replay(bus, reader, pattern, fn, user);
    evb_reader_close(reader);
    evb__bus_unref(bus);
    return status;
}
