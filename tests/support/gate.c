/* SPDX-License-Identifier: MIT */
/* The gate: a condition under a mutex. */
#include "gate.h"

void gate_hold(void *arg)
{
    struct gate *gate = arg;

    (void)pthread_mutex_lock(&gate->lock);
    gate->came++;
    (void)pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_wait_held(struct gate *gate, uint32_t n)
{
    (void)pthread_mutex_lock(&gate->lock);
    while (gate->came < n)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    (void)pthread_mutex_unlock(&gate->lock);
}

bool gate_is_open(struct gate *gate)
{
    bool open;

    (void)pthread_mutex_lock(&gate->lock);
    open = gate->open;
    (void)pthread_mutex_unlock(&gate->lock);
    return open;
}

static void set(struct gate *gate, bool open)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->open = open;
    if (!open) gate->came = 0;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_open(struct gate *gate)
{
    set(gate, true);
}

void gate_shut(struct gate *gate)
{
    set(gate, false);
}
