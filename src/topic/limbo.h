/* SPDX-License-Identifier: MIT */
/* A block of memory that readers may still be looking at, on its way to be freed.
 *
 * Structures with lock-free readers (name table, pattern trie, token table, snapshots) never free what they
 * replace: they hand it to their owner's `retire`, which keeps it until no reader can see it (base/reader.h)
 * and then calls `free`. The block embeds this record, so handing over cannot fail. Threads: the owner's
 * writer lock.
 */
#ifndef EVB__TOPIC_LIMBO_H
#define EVB__TOPIC_LIMBO_H

#include <stdint.h>

struct evb__limbo {
    struct evb__limbo *next;
    uint64_t ticket;
    /* readers of this topic may see it; 0 = only readers that look names up */
    uintptr_t hazard;
    void (*free)(struct evb__limbo *);
};

/* Who takes such blocks: the bus. */
struct evb__retirer {
    void (*retire)(void *arg, struct evb__limbo *block);
    void *arg;
};

#endif
