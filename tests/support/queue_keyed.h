/* SPDX-License-Identifier: MIT */
/* Events with keys in one line: put("A1 A2 -1 B1") publishes four to topic k, each with itself as payload and
 * its first letter as key; "-1" has none. Threads: any. */
#ifndef EVB_TEST_QUEUE_KEYED_H
#define EVB_TEST_QUEUE_KEYED_H

#include <string.h>

#include "queue_kit.h"

/* What evb_publish answers for one of them. opts: all but key. */
static inline int32_t try_put(const char *text, size_t size, evb_publish_opts opts)
{
    opts.key = text[0] != '-' ? text : NULL;
    opts.key_len = text[0] != '-' ? 1 : 0;
    return evb_publish(kit.bus, "k", text, size, &opts);
}

static inline void put_with(const char *texts, evb_publish_opts opts)
{
    while (*texts != '\0') {
        size_t size = strcspn(texts, " ");

        EQ(try_put(texts, size, opts), 1);
        texts += size + strspn(texts + size, " ");
    }
}

static inline void put(const char *texts)
{
    put_with(texts, (evb_publish_opts){0});
}

#endif
