/* SPDX-License-Identifier: MIT */
/* config_retained: settings that everybody has, however late he comes. Each setting is a topic that keeps its
 * last value; a part of the program that starts later gets the present values inside evb_on, and every change
 * from then on through the same function. An id makes a change that is sent twice happen once.
 * Introduces: EVB_RETAIN, EVB_EVENT_RETAINED, evb_publish_opts.dedup_id. */
#include <evbus.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int32_t apply(const evb_event *ev, void *user)
{
    const char *how = (ev->flags & EVB_EVENT_RETAINED) != 0 ? "finds" : "hears";

    if (ev->size == 0)
        printf("%s %s %s is unset\n", (const char *)user, how, ev->topic);
    else
        printf("%s %s %s = %.*s\n", (const char *)user, how, ev->topic, (int)ev->size,
               (const char *)ev->data);
    return EVB_OK;
}

/* An empty value clears the setting. change: NULL, or the number of the change order. */
static int32_t set(evb_bus *bus, const char *topic, const char *value, const char *change)
{
    evb_publish_opts opts = {.struct_size = sizeof opts, .flags = EVB_RETAIN, .dedup_id = change};

    return evb_publish(bus, topic, value, strlen(value), &opts);
}

static int64_t run(evb_bus *bus)
{
    int64_t status;

    /* Nobody listens yet: the topics keep it. */
    if ((status = set(bus, "config.log.level", "info", NULL)) < 0) return status;
    if ((status = set(bus, "config.log.file", "app.log", NULL)) < 0) return status;
    if ((status = set(bus, "config.http.port", "8080", NULL)) < 0) return status;

    if ((status = evb_on(bus, "config.log.*", apply, (void *)(uintptr_t) "logger")) < 0) return status;

    /* The order comes twice, say after a timeout of the sender: it is carried out once. */
    if ((status = set(bus, "config.log.level", "debug", "order-7")) < 0) return status;
    if ((status = set(bus, "config.log.level", "debug", "order-7")) < 0) return status;
    if ((status = set(bus, "config.log.file", "", NULL)) < 0) return status;

    return evb_on(bus, "config.>", apply, (void *)(uintptr_t) "monitor");
}

int main(void)
{
    evb_bus *bus = NULL;
    int64_t status = evb_bus_create(NULL, &bus);

    if (status >= 0) status = run(bus);
    evb_bus_destroy(bus);
    if (status < 0) fprintf(stderr, "config_retained: %s\n", evb_strerror((int32_t)status));
    return status < 0 || fflush(stdout) != 0 || ferror(stdout) ? 1 : 0;
}
