/* SPDX-License-Identifier: MIT */
/* What the shapes over the whole bus share: one bus, listeners whose contexts are watched, threads that emit.
 *
 * A context is a block of the explorer's heap that its listener reads at the begin and at the end of each
 * call, with a scheduling point between: a call after the context was freed, or one that the free is not
 * ordered after, is a bug that the explorer reports. Whoever frees it is either the shape (bus_drop, after
 * evb_off_wait) or the bus through free_user. What is counted here is plain and no part of the model.
 */
#ifndef BUS_SHAPE_H
#define BUS_SHAPE_H

#include <evbus/bus.h>
#include "base/atomic.h"
#include "bus/bus.h"
#include "explore.h"

enum { CONTEXTS = 6 };

extern evb_bus *bus;
extern int64_t ids[CONTEXTS];
extern uint32_t called[CONTEXTS], running[CONTEXTS], freed[CONTEXTS];
extern void (*inside[CONTEXTS])(void); /* what the listener does in its call; NULL: lets others go on */

/* setup: a bus and slots for so many emitting threads. */
void bus_make(unsigned emitters);
evb_topic *bus_topic(const char *name);
/* Listener n with a context of its own: plain, at the end or at the front; or with free_user and flags. */
void bus_on(const char *pattern, uint32_t n);
void bus_prepend(const char *pattern, uint32_t n);
void bus_listen(const char *pattern, uint32_t n, uint32_t flags);

/* A thread that emits calls it first: gives it the slot claimed in setup, so that claiming is no part of the
 * shape. */
void bus_here(void);
/* The thread is inside an emit on the topic from the start (said in setup) and only has to leave it: all that
 * is explored is the end. */
void bus_inside(unsigned thread, evb_topic *topic);
void bus_leave(void);
void bus_sweep(void);      /* a pass over all of limbo, as a full batch causes it */
void bus_drop(uint32_t n); /* frees the context: its listener can not be running and will not run */

/* finish: destroys the bus if the shape has not, wants every free_user to have run once, and gives back the
 * contexts that were nobody's. That nothing else is left is what the explorer checks. */
void bus_end(void);

#define BUS_SHAPE .trylock = true, .barrier = EXPLORE_BOTH

#endif
