/* SPDX-License-Identifier: MIT */
/* emitter: a tour of every listener call. Read it beside its output (examples/expected/emitter.txt).
 * Introduces: evb_on, evb_once, evb_prepend, evb_listen (priority, filter, monitor, owner, free_user),
 * evb_off, evb_off_wait, evb_off_all, evb_off_owner, evb_listener_count, evb_patterns, evb_topic_matches,
 * evb_emit, evb_topic_open, evb_topic_emit, evb_topic_close and the error hook. */
#include <evbus.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static evb_bus *bus;

/* Every call answers a negative status when it fails; this tour ends at the first one it did not expect. */
static int64_t must(int64_t result, const char *call)
{
    if (result >= 0) return result;
    fprintf(stderr, "emitter: %s: %s\n", call, evb_strerror((int32_t)result));
    exit(1);
}
#define MUST(call) must((call), #call)

/* The label given at registration comes back as `user`. */
static int32_t show(const evb_event *ev, void *user)
{
    printf("    %-10s got %.*s \"%.*s\"\n", (const char *)user, (int)ev->topic_len, ev->topic, (int)ev->size,
           (const char *)ev->data);
    return EVB_OK;
}

/* Listeners may emit. A nested event is delivered at once, depth first, before the outer emit goes on. */
static int32_t raise_alarm(const evb_event *ev, void *user)
{
    (void)show(ev, user);
    return evb_emit(bus, "alarm.raised", "door", 4) < 0 ? EVB_ECANCELED : EVB_OK;
}

static int32_t fail(const evb_event *ev, void *user)
{
    (void)show(ev, user);
    return EVB_EIO;
}

static int32_t is_front(const evb_event *ev, void *user)
{
    (void)user;
    return ev->size == 5 && memcmp(ev->data, "front", 5) == 0;
}

static void freed(void *user)
{
    printf("    free_user  ran for \"%s\"\n", (const char *)user);
}

static int32_t print_pattern(const char *pattern, uint32_t listeners, void *user)
{
    (void)user;
    printf("    %-10s %" PRIu32 "\n", pattern, listeners);
    return 0; /* non-zero would end the walk */
}

static void error_hook(const evb_hook_info *info, void *user)
{
    (void)user;
    printf("    error hook %s on %.*s\n", evb_err_name(info->status), (int)info->event->topic_len,
           info->event->topic);
}

static void emit(const char *topic, const char *text)
{
    printf("  emit %s \"%s\"\n", topic, text);
    int64_t reached = MUST(evb_emit(bus, topic, text, strlen(text)));
    printf("    = %" PRId64 " called\n", reached);
}

int main(void)
{
    /* The hook's mask is left zero: errors only. */
    MUST(evb_bus_create(&(evb_bus_opts){.hook = error_hook}, &bus));

    puts("1. on: in order of registration");
    int64_t first = MUST(evb_on(bus, "door.open", show, "first"));
    MUST(evb_on(bus, "door.open", show, "second"));
    emit("door.open", "front");
    emit("window.open", "left"); /* nobody there: not an error */

    puts("2. once: one event and gone; prepend: before all others");
    MUST(evb_once(bus, "door.open", show, "once"));
    MUST(evb_prepend(bus, "door.open", show, "prepended"));
    emit("door.open", "front");
    emit("door.open", "back");

    puts("3. wildcards: * is one token, > is the rest");
    MUST(evb_on(bus, "door.*", show, "door.*"));
    MUST(evb_on(bus, ">", show, ">"));
    emit("door.shut", "front");
    printf("  does door.* match door.lock.set? %d\n",
           (int)MUST(evb_topic_matches(EVB_TOPICS_DOT, "door.*", "door.lock.set")));
    printf("  an emit on door.open would reach %d\n", (int)MUST(evb_listener_count(bus, "door.open")));
    puts("  patterns and their listeners:");
    MUST(evb_patterns(bus, print_pattern, NULL));

    puts("4. off: by id, at once; off_all: by pattern; NULL = everything");
    MUST(evb_off(bus, first));
    printf("  off a second time: %s\n", evb_err_name(evb_off(bus, first)));
    printf("  off_all door.open: %d removed\n", (int)MUST(evb_off_all(bus, "door.open")));
    emit("door.open", "front");
    printf("  off_all NULL: %d removed\n", (int)MUST(evb_off_all(bus, NULL)));

    puts("5. listen: priority, filter, monitor (sees everything, is not counted)");
    static const int kitchen = 0; /* any address can be the owner */
    MUST(evb_listen(bus, "door.open", &(evb_listen_opts){.flags = EVB_MONITOR}, show, "monitor"));
    MUST(evb_on(bus, "door.open", show, "plain"));
    MUST(evb_listen(bus, "door.open", &(evb_listen_opts){.priority = 10, .owner = &kitchen}, show, "urgent"));
    MUST(evb_listen(bus, "door.open", &(evb_listen_opts){.filter = is_front, .owner = &kitchen}, show,
                    "front only"));
    emit("door.open", "front");
    emit("door.open", "back");

    puts("6. off_owner: all listeners of one owner");
    printf("  off_owner: %d removed\n", (int)MUST(evb_off_owner(bus, &kitchen)));
    emit("door.open", "front");

    puts("7. free_user: runs once, when no callback can run any more; off_wait returns after that");
    int64_t owned = MUST(evb_listen(bus, "door.open", &(evb_listen_opts){.free_user = freed}, show, "owned"));
    emit("door.open", "front");
    MUST(evb_off_wait(bus, owned));
    MUST(evb_off_all(bus, NULL));

    puts("8. nested emit, and a listener that fails: counted and told to the hook, the others still run");
    MUST(evb_on(bus, "door.open", raise_alarm, "guard"));
    MUST(evb_on(bus, "alarm.raised", fail, "siren"));
    MUST(evb_on(bus, "alarm.raised", show, "log"));
    MUST(evb_on(bus, "door.open", show, "last"));
    emit("door.open", "back");

    puts("9. topic handle: the name is looked up once, each emit is then a load and a loop");
    evb_topic *topic = NULL;
    MUST(evb_topic_open(bus, "alarm.raised", &topic));
    printf("    = %d called\n", (int)MUST(evb_topic_emit(topic, "test", 4)));
    evb_topic_close(topic);

    evb_bus_destroy(bus);
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    perror("emitter: cannot write");
    return 1;
}
