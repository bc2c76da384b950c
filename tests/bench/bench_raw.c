/* SPDX-License-Identifier: MIT */
/* The raw loop, in a file of its own: the compiler sees neither the callers nor the listeners, and the flags
 * are those of src/bus/emit.c, loop alignment included. At the default alignment loops of one source differ
 * by a quarter. */
#include "bench_raw.h"

void raw_emit(const struct raw_list *list, const evb_event *event)
{
    const struct raw_entry *entry = list->entries, *end = entry + list->count;

    for (; entry < end; entry++)
        entry->fn(event, entry->user);
}

void raw_nothing(const void *name)
{
    (void)name;
}
