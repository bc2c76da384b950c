/* SPDX-License-Identifier: MIT */
/* The parts of bench_ring. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

void ring_add_references(void); /* bench_ring_refs.c */

#endif
