/* SPDX-License-Identifier: MIT */
/* A bus whose listeners say a letter each, so that a test reads as the order of calls: EQ_STR(heard("a.b"),
 * "xyz"). One bus at a time. */
#ifndef EVB_TEST_HEARD_H
#define EVB_TEST_HEARD_H

#include <evbus.h>
#include <stdint.h>

extern evb_bus *bus;
extern char trace[256]; /* what was heard: a letter for each call */

void begin(void); /* DOT */
void begin_dialect(uint32_t dialect);
void end(void);

int32_t say(const evb_event *ev, void *user); /* appends the first letter of user to what was heard */
int32_t ignore(const evb_event *ev, void *user);
void *letter(const char *text);       /* the user of say */
const char *heard(const char *topic); /* what one emit calls, in order */
int64_t listen_to(const char *pattern, const char *text, evb_listen_opts opts);

#endif
