/* SPDX-License-Identifier: MIT */
/* The golden store: a fixed one, small, with everything in it that format version 1 has, written with the
 * clock and the seeds pinned, so that its files have the same bytes on every host and for ever.
 * tests/golden/store-v1 holds them, store-v1.txt what a reader sees in them.
 *
 * Without cmocka and the test layer: tests/golden/golden.c is built for other machines, too.
 */
#ifndef EVB_TEST_STORE_GOLDEN_H
#define EVB_TEST_STORE_GOLDEN_H

#include <evbus/store.h>
#include <stdio.h>

#define STORE_GOLDEN_OPTS ((evb_store_opts){.segment_bytes = 16384})

/* Clock and seeds are pinned from the call to its end. NULL or what went wrong. */
const char *store_golden_write(const char *dir);
/* Everything that a reader sees, and the snapshot, as text. */
const char *store_golden_print(const char *dir, FILE *out);

#endif
