/* SPDX-License-Identifier: MIT */
/* The counters of a subscription, copied while nothing moves. */
#include "queue/queue.h"

#include "base/clock.h"

#include <string.h>

int32_t evb_sub_stats(evb_sub *sub, evb_queue_stats *ret_stats)
{
    int32_t rc = evb__sub_enter(sub);
    struct evb__queue *q;
    evb_queue_stats stats;
    uint32_t size;

    if (rc != EVB_OK) return rc;
    if (ret_stats == NULL) return EVB_EINVAL;
    size = ret_stats->struct_size;
    if (size == 0) size = sizeof stats;
    if (size < 2 * sizeof(uint32_t)) return EVB_EINVAL;
    q = sub->queue;
    evb__queue_lock(q);
    evb__mailbox_empty_locked(q);
    stats = q->counted;
    stats.capacity = q->opts.capacity;
    stats.ready = q->ready.count;
    stats.delayed = q->delayed;
    stats.in_flight = q->in_flight;
    stats.dlq_depth = q->dead.count;
    if (q->ready.head != NULL) {
        int64_t age = evb__clock_wall() - q->ready.head->message->time_ns;

        stats.oldest_age_ns = age > 0 ? (uint64_t)age : 0;
    }
    evb__queue_unlock(q);
    if (size > sizeof stats) size = sizeof stats;
    stats.struct_size = size;
    memcpy(ret_stats, &stats, size);
    return EVB_OK;
}
