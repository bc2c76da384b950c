/* SPDX-License-Identifier: MIT */
/* Short words for tests of requests, on the bus of queue_kit.h.
 *
 *      int64_t id = ID(evb_on(kit.bus, "q", echo, NULL));
 *      request_gives("q", "hello", "hello");
 *
 *      struct asked a;
 *      asked_begin(&a, "q", "hello", EVB_FOREVER);   // a thread of its own, which sleeps now
 *      OK(evb_reply(kept(), "x", 1));
 *      asked_ends(&a, EVB_OK, "x");
 */
#ifndef EVB_TEST_REQUEST_KIT_H
#define EVB_TEST_REQUEST_KIT_H

#include "queue_kit.h"

/* What evb_request answers; the reply, if there is one, is released. */
int32_t request_try(const char *topic, const char *text, int64_t timeout_ns);
/* It answers EVB_OK, with this reply. */
void request_gives(const char *topic, const char *text, const char *reply);
/* It refuses, and has left its out-parameter alone. */
void request_fails(const char *topic, const char *text, int64_t timeout_ns, int32_t status);

struct asked {
    struct sleeper sleeper;
    const char *topic, *text;
    int64_t timeout_ns;
    int32_t status;
    const evb_event *reply;
};
void asked_begin(struct asked *a, const char *topic, const char *text, int64_t timeout_ns);
void asked_ends(struct asked *a, int32_t status,
                const char *reply); /* waits for it. reply: NULL when it fails */

int32_t echo(const evb_event *ev, void *user);    /* replies with what it got */
int32_t keep_it(const evb_event *ev, void *user); /* retains it, for kept() */
const evb_event *kept(void);                      /* the last one */
void forget_kept(void);                           /* it is the caller's */
void drop_kept(void);

uint64_t late_replies(void); /* of the kit's bus, so far */

#endif
