/* SPDX-License-Identifier: MIT */
/* Turns: a sorted list of those who sleep. */
#include "store/turns.h"

#include <stddef.h>
#include "base/park.h"

struct evb__turn_waiter {
    struct evb__turn_waiter *next;
    uint64_t number;
    EVB__ATOMIC(uint32_t) mine; /* 1: it is my turn */
};

void evb__turns_init(struct evb__turns *turns)
{
    turns->drawn = turns->passed = 0;
    turns->first = NULL;
    evb__mutex_init(&turns->lock);
}

void evb__turns_destroy(struct evb__turns *turns)
{
    evb__mutex_destroy(&turns->lock);
}

void evb__turns_wait(struct evb__turns *turns, uint64_t number)
{
    struct evb__turn_waiter me = {.number = number}, **at = &turns->first;

    evb__mutex_lock(&turns->lock);
    if (turns->passed + 1 == number) {
        evb__mutex_unlock(&turns->lock);
        return;
    }
    evb__init(&me.mine, 0);
    while (*at != NULL && (*at)->number < number)
        at = &(*at)->next;
    me.next = *at;
    *at = &me;
    evb__mutex_unlock(&turns->lock);
    while (evb__ld_acq(&me.mine) == 0) /* pairs with evb__turns_pass */
        (void)evb__park(&me.mine, 0, -1);
}

void evb__turns_pass(struct evb__turns *turns)
{
    struct evb__turn_waiter *next;

    evb__mutex_lock(&turns->lock);
    turns->passed++;
    next = turns->first;
    if (next == NULL || next->number != turns->passed + 1) {
        evb__mutex_unlock(&turns->lock);
        return;
    }
    turns->first = next->next;
    evb__mutex_unlock(&turns->lock);
    evb__st_rel(&next->mine, 1u); /* pairs with evb__turns_wait: what came before in its turn */
    evb__wake_one(&next->mine);   /* it may be gone: only its address is used */
}
