/* SPDX-License-Identifier: MIT */
/* A pool that is one thread and one random number: the schedule is the test's.
 *
 * A program that links executor.c instead of src/pool gets all that the bus and its queues want of a
 * pool, and no thread. What is scheduled stands in a list; executor_step takes one out at random and
 * runs it, here, to its end. It may be called inside a handler too: then one worker is in the middle of
 * its handler while another one works. Alarms fire when the virtual clock has passed them, in random
 * order, and in two steps as the pool's timers do: queued, then run; so that a set, a stop or a free
 * can come in between.
 *
 * The program is linked with --wrap for evb__park, evb__wake_one and evb__wake_all: a call that sleeps
 * runs steps, and lets the clock go on to the next alarm or to the end of its time, until somebody
 * wakes it. So nobody goes on by chance. One that would sleep for ever is a lost wake-up: executor_stuck
 * is called. A --wrap for evb__hand_out_locked tells the test when somebody takes an event out.
 * Threads: one.
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>

void executor_begin(uint64_t seed);  /* with the virtual clock, which begins at 1 s */
void executor_reseed(uint64_t seed); /* the choices from here on */
void executor_end(void);             /* nothing may be left: no pool, no alarm */
const char *executor_left(void);     /* NULL: nothing is left */

/* Runs one of what is scheduled or due. false: there is nothing. */
bool executor_step(void);
uint32_t executor_ready(void); /* how much there is to choose from */

int64_t executor_now(void);
void executor_advance(int64_t ns);
int64_t executor_next_alarm(void); /* when the first one is due; INT64_MAX: none is set */

/* A number for what is scheduled or the arg of an alarm (the other is NULL), so that the choice does
 * not depend on addresses. NULL: the order of scheduling. */
struct evb__runnable;
extern uint64_t (*executor_rank)(const struct evb__runnable *runnable, void *alarm_arg);
/* A worker asks whether there is work for others. NULL: nothing happens meanwhile. */
extern void (*executor_on_look)(const struct evb__runnable *runs);
/* A step of an alarm, before it runs: arg is what it was made with. */
extern void (*executor_on_alarm)(void *arg);
/* Somebody is about to take an event out: the moment at which a head that is too old has to go. */
struct evb_sub;
extern void (*executor_on_hand_out)(const struct evb_sub *member);
/* A call goes to sleep. */
extern void (*executor_on_sleep)(void);
bool executor_slept_in_vain(void); /* the last sleep: nobody has woken it */
/* Somebody sleeps for ever, and there is nobody to wake him. Does not come back. */
extern void (*executor_stuck)(void);

/* What a pool may refuse: the next n calls that would start threads answer EVB_EAGAIN. */
void executor_refuse_threads(uint32_t n);
bool executor_refused(void); /* one has since the last question */

#endif
