/* SPDX-License-Identifier: MIT */
/* A gate that holds tasks: what a test needs to say "while this one runs".
 *
 *      struct gate gate = GATE_SHUT;
 *
 *      OK(evb_pool_submit(pool, gate_hold, &gate, 0));
 *      gate_wait_held(&gate, 1);    // it runs, and will run until
 *      ...
 *      gate_open(&gate);
 *
 * Threads: any. Once open it holds nobody; gate_shut shuts it again.
 */
#ifndef EVB_TEST_GATE_H
#define EVB_TEST_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t came; /* that have come in, ever */
    bool open;
};

#define GATE_SHUT                                                                                            \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                               \
    }

void gate_hold(void *gate); /* the task */
void gate_wait_held(struct gate *gate, uint32_t n);
bool gate_is_open(struct gate *gate);
void gate_open(struct gate *gate);
void gate_shut(struct gate *gate);

#endif
