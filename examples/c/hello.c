/* SPDX-License-Identifier: MIT */
/* hello: the smallest whole program. One bus, one listener, one event.
 * Introduces: evb_bus_create, evb_on, evb_emit, evb_bus_destroy, evb_strerror. */
#include <evbus.h>

#include <stdint.h>
#include <stdio.h>

static int32_t greet(const evb_event *ev, void *user)
{
    (void)user;
    /* The payload is bytes with a length, not a C string: nothing terminates it. */
    printf("Received: %.*s\n", (int)ev->size, (const char *)ev->data);
    return EVB_OK;
}

int main(void)
{
    static const char text[] = "Hello, Event-Driven World!";
    evb_bus *bus = NULL;
    int exit_code = 1;

    int32_t status = evb_bus_create(NULL, &bus);
    if (status < 0) {
        fprintf(stderr, "hello: cannot create a bus: %s\n", evb_strerror(status));
        return 1;
    }
    /* Registering answers an id (always above zero), which evb_off would take; a failure is negative. */
    int64_t id = evb_on(bus, "message", greet, NULL);
    if (id < 0) {
        fprintf(stderr, "hello: cannot listen: %s\n", evb_strerror((int32_t)id));
        goto out;
    }
    /* greet runs inside this call, on this thread; the answer says how many listeners ran. */
    int32_t reached = evb_emit(bus, "message", text, sizeof text - 1);
    if (reached < 0) {
        fprintf(stderr, "hello: cannot emit: %s\n", evb_strerror(reached));
        goto out;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("hello: cannot write");
        goto out;
    }
    exit_code = 0;
out:
    evb_bus_destroy(bus);
    return exit_code;
}
