/* SPDX-License-Identifier: MIT */
/* Whose turn it is: what comes after an append happens in the order of the positions.
 *
 * An append that asks for it draws a number in the same moment in which it gets its position
 * (evb__store_append_all). Many wait for the same sync and come back in any order; each then waits for
 * its turn, does its part, and passes the turn on.
 *
 * Invariant: numbers are drawn from 1 without a gap; everybody who has drawn waits for his turn and passes
 * it exactly once, also when his append has failed; nobody waits for anything else in between but the
 * append itself, and runs no user code. So every turn comes. Threads: any; `drawn` is under the lock of
 * the store.
 */
#ifndef EVB__STORE_TURNS_H
#define EVB__STORE_TURNS_H

#include <stdint.h>
#include "base/atomic.h"
#include "base/thread.h"

struct evb__turn_waiter;

struct evb__turns {
    uint64_t drawn;
    struct evb__mutex lock;
    uint64_t passed;                /* turns that are over */
    struct evb__turn_waiter *first; /* rising by number */
};

void evb__turns_init(struct evb__turns *turns);
void evb__turns_destroy(struct evb__turns *turns);
void evb__turns_wait(struct evb__turns *turns, uint64_t number);
void evb__turns_pass(struct evb__turns *turns);

#endif
