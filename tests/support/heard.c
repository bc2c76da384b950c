/* SPDX-License-Identifier: MIT */
/* A bus whose listeners say a letter each. */
#include "heard.h"

#include <string.h>

#include "evb_test.h"

evb_bus *bus;
char trace[256]; /* a letter for each call */

void begin_dialect(uint32_t dialect)
{
    trace[0] = '\0';
    OK(evb_bus_create(&(evb_bus_opts){.dialect = dialect, .listener_warning = UINT32_MAX}, &bus));
}

void begin(void)
{
    begin_dialect(EVB_TOPICS_DOT);
}

void end(void)
{
    evb_bus_destroy(bus);
}

int32_t say(const evb_event *ev, void *user)
{
    size_t n = strlen(trace);

    (void)ev;
    if (n + 1 < sizeof trace) {
        trace[n] = *(const char *)user;
        trace[n + 1] = '\0';
    }
    return EVB_OK;
}

int32_t ignore(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_OK;
}

void *letter(const char *text)
{
    return (void *)(uintptr_t)text;
}

/* What one emit calls, in order. */
const char *heard(const char *topic)
{
    trace[0] = '\0';
    (void)evb_emit(bus, topic, NULL, 0);
    return trace;
}

int64_t listen_to(const char *pattern, const char *text, evb_listen_opts opts)
{
    return ID(evb_listen(bus, pattern, &opts, say, letter(text)));
}
