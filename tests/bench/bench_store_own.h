/* SPDX-License-Identifier: MIT */
/* What only evb_store can do, measured beside bare system calls: bench_store_own.c. */
#ifndef BENCH_STORE_OWN_H
#define BENCH_STORE_OWN_H

#include <evbus/store.h>
#include "bench_store.h"

extern const struct store_system own_system;
bool own_scan_as(void *store, const evb_read_opts *opts, struct store_scan *ret);

/* Versions, streams, patterns, following, opening after a close, snapshots. */
void own_add(void);
/* bench_store_raw.c */
void raw_add(void);

#endif
