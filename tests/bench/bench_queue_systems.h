/* SPDX-License-Identifier: MIT */
/* The parts of bench_queue. */
#ifndef BENCH_QUEUE_SYSTEMS_H
#define BENCH_QUEUE_SYSTEMS_H

void queue_add_mutex(void); /* bench_queue_mutex.c */
void queue_add_idle(void);  /* bench_queue_idle.c */

#endif
