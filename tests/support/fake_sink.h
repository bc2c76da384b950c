/* SPDX-License-Identifier: MIT */
/* Queues as the bus sees them, without a queue: each says in `trace` (heard.h) what it is asked, so that a
 * test reads as the order of a publish: EQ_STR(trace, "a+b+a=b=x").
 *
 *      a?  the filter       a+  room reserved        a-  undone      a~  waited for     a!  free_user
 *                           a#  refused              a=  committed   a/  committed, dropped
 *
 * One thread. What a sink has taken it keeps until fake_take or its end. */
#ifndef EVB_TEST_FAKE_SINK_H
#define EVB_TEST_FAKE_SINK_H

#include "bus/bus.h"
#include "bus/message.h"
#include "heard.h"

#define FAKES 128

extern bool fake_quiet; /* they say nothing; until fake_end */

struct fake {
    struct evb__sink sink; /* first */
    char name[64];
    int64_t id;  /* 0: not listening */
    bool wanted; /* what its filter answers, see fake_filter */
    void (*in_filter)(struct fake *fake, const evb_event *event); /* called by it, may be NULL */
    int32_t refuse; /* what reserve answers, EVB_OK: as there is room */
    uint32_t room;  /* events; beyond: full_status */
    int32_t full_status;
    size_t bytes;                                               /* reserved now, taken included */
    uint32_t events;                                            /* likewise */
    bool drops;                                                 /* commit answers false */
    int32_t (*in_wait)(struct fake *fake, int64_t deadline_ns); /* NULL: EVB_ETIMEDOUT */
    uint32_t refs;
    bool freed; /* free_user has run */
    struct evb__delivery *first, *last;
};

/* The name's first letter is what it says. Listens for the pattern on `bus`. */
struct fake *fake_on(const char *name, const char *pattern);
int32_t fake_try_on(const char *name, const char *pattern, struct fake **ret_fake); /* or a status */
void fake_filter(struct fake *fake); /* gives it a filter, which says "a?" and answers whether `wanted` */
void fake_off(struct fake *fake);
/* The oldest event it has: the caller unrefs the message. NULL: none. */
struct evb__message *fake_take(struct fake *fake);
void fake_empty(struct fake *fake); /* takes and unrefs everything */
void fake_end(void);                /* all are off, empty and at rest; before end() */
void fake_restart(void);            /* in a forked child: the parent's are none of ours */
void fake_forget(void);             /* the same after the bus has gone */
const char *publish(const char *topic, const evb_publish_opts *opts); /* an empty payload; what was said */

#endif
