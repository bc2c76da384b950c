/* SPDX-License-Identifier: MIT */
/* The yardstick of emit: what calling n function pointers costs when nothing is protected, looked up or
 * counted. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <evbus.h>

struct raw_entry {
    evb_handler fn;
    void *user;
};

struct raw_list {
    uint32_t count;
    struct raw_entry entries[64];
};

/* The event is prepared by the caller: the loop is all there is. */
void raw_emit(const struct raw_list *list, const evb_event *event);
/* For the cost of a measured loop by itself: looks at nothing. */
void raw_nothing(const void *name);

#endif
