/* SPDX-License-Identifier: MIT */
/* Listener records: numbered, never moved, reachable from readers by number. */
#include "bus/bus.h"

#include "base/alloc.h"

_Static_assert(sizeof(void *) != 8 || sizeof(struct evb__listener) == 64, "a listener is one cache line");
_Static_assert(offsetof(struct evb__listener, entry) ==
                   offsetof(struct evb__listener, one) + sizeof(struct evb__snapshot),
               "a listener begins with a snapshot of one entry");
_Static_assert((uint64_t)EVB__LISTENER_FAN *EVB__LISTENER_FAN *EVB__LISTENER_CHUNK ==
                   (uint64_t)EVB__LISTENER_MAX + 1,
               "every number has a place");

struct evb__listener *evb__listener(const evb_bus *bus, uint32_t number)
{
    uint32_t chunk = number / EVB__LISTENER_CHUNK;
    struct evb__listener_fan *fan;

    evb__assert(number != 0 && number <= EVB__LISTENER_MAX);
    fan = evb__ld_acq(&bus->fans[chunk / EVB__LISTENER_FAN]); /* pairs with add_chunk */
    return evb__ld_acq(&fan->chunk[chunk % EVB__LISTENER_FAN]) + number % EVB__LISTENER_CHUNK; /* likewise */
}

static int32_t add_chunk(evb_bus *bus, uint32_t number)
{
    uint32_t chunk = number / EVB__LISTENER_CHUNK;
    EVB__ATOMIC(struct evb__listener_fan *) *fan_at = &bus->fans[chunk / EVB__LISTENER_FAN];
    struct evb__listener_fan *fan = evb__ld_rlx(fan_at); /* writers are under the lock */
    struct evb__listener *listeners;

    if (fan == NULL) {
        fan = evb__zalloc(sizeof *fan, EVB__ALIGN_MIN);
        if (fan == NULL) return EVB_ENOMEM;
        /* pairs with evb__listener; stays until the bus ends, even if the next step fails */
        evb__st_rel(fan_at, fan);
    }
    listeners = evb__zalloc(sizeof *listeners * EVB__LISTENER_CHUNK, EVB__CACHE_LINE);
    if (listeners == NULL) return EVB_ENOMEM;
    evb__st_rel(&fan->chunk[chunk % EVB__LISTENER_FAN], listeners); /* pairs with evb__listener */
    return EVB_OK;
}

int32_t evb__listener_alloc_locked(evb_bus *bus, uint32_t *ret_number)
{
    uint32_t number = bus->free_listener;

    if (number != 0) {
        bus->free_listener = evb__listener(bus, number)->prev;
    } else {
        number = bus->high + 1; /* number 0 means none: the first record of the first chunk stays unused */
        if (number > EVB__LISTENER_MAX) return EVB_EFULL;
        if ((number == 1 || number % EVB__LISTENER_CHUNK == 0) && add_chunk(bus, number) != EVB_OK)
            return EVB_ENOMEM;
        bus->high = number;
        evb__listener(bus, number)->generation = 1;
    }
    *ret_number = number;
    return EVB_OK;
}

void evb__listener_free_locked(evb_bus *bus, uint32_t number)
{
    struct evb__listener *listener = evb__listener(bus, number);

    evb__st_rlx(&listener->state, EVB__LISTENER_FREE); /* no reader can see the record: it has left limbo */
    listener->in_limbo = 0;
    /* 31 bits: an id stays below 2^53, which a language with only doubles can hold. */
    listener->generation = listener->generation == INT32_MAX ? 1 : listener->generation + 1;
    listener->prev = bus->free_listener;
    bus->free_listener = number;
}

int64_t evb__listener_id(const evb_bus *bus, uint32_t number)
{
    return ((int64_t)evb__listener(bus, number)->generation << EVB__LISTENER_BITS) | number;
}

struct evb__listener *evb__listener_by_id_locked(const evb_bus *bus, int64_t id, uint32_t *ret_number)
{
    uint32_t number = (uint32_t)((uint64_t)id & EVB__LISTENER_MAX);
    struct evb__listener *listener;

    if (number == 0 || number > bus->high) return NULL;
    listener = evb__listener(bus, number);
    if (listener->generation != (uint64_t)id >> EVB__LISTENER_BITS) return NULL;
    /* under the lock; onces only go LIVE -> CLAIMED */
    if (evb__ld_rlx(&listener->state) == EVB__LISTENER_FREE) return NULL;
    *ret_number = number;
    return listener;
}

bool evb__listener_was_issued_locked(const evb_bus *bus, int64_t id)
{
    uint32_t number = (uint32_t)((uint64_t)id & EVB__LISTENER_MAX);

    /* Generations wrap after 2^31 uses of one record; then this errs, and an off_wait of an id that old waits
     * for nothing. */
    return number != 0 && number <= bus->high &&
           (uint64_t)id >> EVB__LISTENER_BITS < evb__listener(bus, number)->generation;
}

int32_t evb__listener_priority(const struct evb__listener *listener)
{
    return listener->extra != NULL ? listener->extra->priority : 0;
}

bool evb__listener_before(const struct evb__listener *a, const struct evb__listener *b)
{
    int32_t pa = evb__listener_priority(a), pb = evb__listener_priority(b);

    return pa != pb ? pa > pb : a->u.order < b->u.order;
}

bool evb__listener_counts(const struct evb__listener *listener)
{
    return listener->extra == NULL || (listener->extra->flags & EVB_MONITOR) == 0;
}

void evb__listeners_fini(evb_bus *bus)
{
    for (uint32_t f = 0; f < EVB__LISTENER_FAN; f++) {
        struct evb__listener_fan *fan = evb__ld_rlx(&bus->fans[f]); /* nobody else is left */

        if (fan == NULL) break;
        for (uint32_t c = 0; c < EVB__LISTENER_FAN; c++)
            /* as above */
            evb__free(evb__ld_rlx(&fan->chunk[c]), sizeof(struct evb__listener) * EVB__LISTENER_CHUNK);
        evb__free(fan, sizeof *fan);
        evb__st_rlx(&bus->fans[f], NULL); /* as above */
    }
}
