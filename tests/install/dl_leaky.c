/* SPDX-License-Identifier: MIT */
/* Stands in for the library in the negative controls of dlopen.sh: the four functions that dl_cycle.c calls,
 * working well enough, and with -DLEAK_KEY or -DLEAK_FILE leaving something behind in every life. */
#include <fcntl.h>
#include <pthread.h>

#include <evbus.h>

static evb_handler handler;
static void *handler_user;

int32_t evb_bus_create(const evb_bus_opts *opts, evb_bus **ret_bus)
{
    (void)opts;
    *ret_bus = (evb_bus *)&handler;
#ifdef LEAK_KEY
    static pthread_key_t key;
    return pthread_key_create(&key, NULL) == 0 ? EVB_OK : EVB_ENOMEM;
#elif defined(LEAK_FILE)
    return open("/dev/null", O_RDONLY) >= 0 ? EVB_OK : EVB_EIO;
#else
    return EVB_OK;
#endif
}

int64_t evb_on(evb_bus *bus, const char *pattern, evb_handler fn, void *user)
{
    (void)bus;
    (void)pattern;
    handler = fn;
    handler_user = user;
    return 1;
}

int32_t evb_emit(evb_bus *bus, const char *topic, const void *data, size_t size)
{
    evb_event event = {.data = data, .size = size, .topic = topic};

    (void)bus;
    (void)handler(&event, handler_user);
    return 1;
}

void evb_bus_destroy(evb_bus *bus)
{
    (void)bus;
}
