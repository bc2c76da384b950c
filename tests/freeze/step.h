/* SPDX-License-Identifier: MIT */
/* Runs a function one machine instruction at a time and stops it before any one of them (x86-64 Linux).
 *
 * The processor's trap flag raises SIGTRAP after each instruction; the handler counts, and before the chosen
 * one it stays: the thread is then stopped in the middle of whatever it does, like a thread that the system
 * has taken off its processor, until step_thaw. One thread steps at a time.
 */
#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__linux__)
#define STEP_THERE 1
#else
#define STEP_THERE 0
#endif

/* Once, before the first step_run. false: instructions are not counted here (an emulator, a debugger). */
bool step_begin(void);

/* In the victim: fn(arg), stopped once after `before` - 1 instructions; 0 = never. Answers how many there
 * were, those of this call included, which step_overhead tells; after a stop it goes on at full speed, and
 * the answer is not known: 0. */
uint64_t step_run(uint64_t before, void (*fn)(void *arg), void *arg);

/* The instructions around an empty fn. */
uint64_t step_overhead(void);

/* In another thread: waits until the victim has stopped (true) or its step_run is through (false) ... */
bool step_wait_frozen(void);
/* ... and lets it go on. */
void step_thaw(void);

#endif
