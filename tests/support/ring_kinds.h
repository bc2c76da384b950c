/* SPDX-License-Identifier: MIT */
/* The twelve kinds of rings that programs can make, for tests that hold for all or for some of them. */
#ifndef RING_KINDS_H
#define RING_KINDS_H

#include <evbus/ring.h>
#include <stdbool.h>
#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { RING_KINDS = 12 };

struct kind {
    const char *name;
    uint32_t mode, progress, flags;
    uint32_t pushers, poppers; /* how many threads a test has at each end; 1 where there may be one only */
};

extern const struct kind kinds[RING_KINDS];
extern const struct kind *const spsc, *const mpmc, *const mpmc_sequenced;

/* Which of them a test is about. */
bool any(const struct kind *kind);
bool overwrites(const struct kind *kind);
bool refuses_when_full(const struct kind *kind);
bool of_pointers(const struct kind *kind);
bool of_values(const struct kind *kind);
bool in_place(const struct kind *kind); /* has reserve, commit, peek, consume */
bool many_push(const struct kind *kind);
bool many_pop(const struct kind *kind);

evb_ring_opts opts_of(const struct kind *kind, uint32_t elem_bytes, uint32_t capacity);

#endif
