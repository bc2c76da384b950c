/* SPDX-License-Identifier: MIT */
/* evbus.h: all of evbus. Each part can be included alone; evbus/base.h says how to read the manual in them.
 *
 *      evbus/base.h      status codes, version, events, allocator, log, hooks
 *      evbus/ring.h      evb_ring: bounded lock-free queues between threads
 *      evbus/ring_inline.h   the same, compiled into the caller where that pays
 *      evbus/pool.h      evb_pool: worker threads, strands, timers
 *      evbus/bus.h       evb_bus: topics, wildcards, listeners, emit and publish
 *      evbus/queue.h     evb_sub: queued subscriptions, settlement, retries, dead letters
 *      evbus/store.h     evb_store: streams with expected versions, replay, snapshots
 *      evbus/schema.h    payload types that evolve
 *      evbus/stats.h     counters, Prometheus text, pictures
 */
#ifndef EVBUS_H
#define EVBUS_H

#include <evbus/base.h>
#include <evbus/ring.h>
#include <evbus/ring_inline.h>
#include <evbus/pool.h>
#include <evbus/bus.h>
#include <evbus/queue.h>
#include <evbus/store.h>
#include <evbus/schema.h>
#include <evbus/stats.h>

#endif
