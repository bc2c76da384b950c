/* SPDX-License-Identifier: MIT */
/* Which listeners belong to an owner: a chained hash, so that evb_off_owner costs what the owner has, not
 * what the bus has. */
#include "bus/bus.h"

#include "base/alloc.h"
#include "base/hash.h"

static struct evb__extra **bucket_of(struct evb__extra **owners, uint32_t buckets, const void *owner)
{
    /* buckets is a power of two; addresses differ in their middle bits, so they are mixed first */
    return &owners[evb__mix((uint64_t)(uintptr_t)owner, EVB__HASH_K0) & (buckets - 1)];
}

static void link_extra(struct evb__extra **bucket, struct evb__extra *extra)
{
    extra->owner_next = *bucket;
    extra->owner_link = bucket;
    if (*bucket != NULL) (*bucket)->owner_link = &extra->owner_next;
    *bucket = extra;
}

/* Doubles the table; without memory the chains only get longer, unless there is no table at all. */
static int32_t grow(evb_bus *bus)
{
    uint32_t buckets = bus->owner_buckets != 0 ? bus->owner_buckets * 2 : EVB__OWNER_BUCKETS_MIN;
    struct evb__extra **owners = evb__zalloc(sizeof *owners * buckets, EVB__ALIGN_MIN);

    if (owners == NULL) return bus->owner_buckets != 0 ? EVB_OK : EVB_ENOMEM;
    for (uint32_t i = 0; i < bus->owner_buckets; i++) {
        for (struct evb__extra *extra = bus->owners[i], *next; extra != NULL; extra = next) {
            next = extra->owner_next;
            link_extra(bucket_of(owners, buckets, extra->owner), extra);
        }
    }
    evb__free(bus->owners, sizeof *owners * bus->owner_buckets);
    bus->owners = owners;
    bus->owner_buckets = buckets;
    return EVB_OK;
}

int32_t evb__owner_add_locked(evb_bus *bus, struct evb__extra *extra)
{
    if (bus->owned >= bus->owner_buckets && grow(bus) != EVB_OK) return EVB_ENOMEM;
    link_extra(bucket_of(bus->owners, bus->owner_buckets, extra->owner), extra);
    bus->owned++;
    return EVB_OK;
}

void evb__owner_remove_locked(evb_bus *bus, struct evb__extra *extra)
{
    if (extra->owner_link == NULL) return;
    *extra->owner_link = extra->owner_next;
    if (extra->owner_next != NULL) extra->owner_next->owner_link = extra->owner_link;
    extra->owner_link = NULL;
    bus->owned--;
}

struct evb__extra *evb__owner_first_locked(const evb_bus *bus, const void *owner)
{
    struct evb__extra *extra;

    if (bus->owner_buckets == 0) return NULL;
    extra = *bucket_of(bus->owners, bus->owner_buckets, owner);
    while (extra != NULL && extra->owner != owner)
        extra = extra->owner_next;
    return extra;
}
