/* SPDX-License-Identifier: MIT */
/* What the shapes over the whole bus share. */
#include "bus_shape.h"

#include "base/alloc.h"
#include "base/reader.h"
#include "pool/pool.h"

enum { VALUE = 77 };

struct context {
    int value;
    uint32_t n;
};

evb_bus *bus;
int64_t ids[CONTEXTS];
uint32_t called[CONTEXTS], running[CONTEXTS], freed[CONTEXTS];
void (*inside[CONTEXTS])(void);

static struct context *contexts[CONTEXTS];
static bool owned[CONTEXTS]; /* by the bus: it has free_user */
static struct evb__self selves[EXPLORE_THREADS];
static struct evb__slot_entry *entered[EXPLORE_THREADS]; /* bus_inside */

static void look_at(const struct context *context)
{
    explore_check(EVB__PLAIN_READ(context->value) == VALUE, "not the context");
}

static int32_t call(const evb_event *event, void *user)
{
    const struct context *context = user;
    uint32_t n;

    (void)event;
    look_at(context);
    n = context->n;
    called[n]++;
    running[n]++;
    if (inside[n] != NULL)
        inside[n]();
    else
        explore_point();
    running[n]--;
    look_at(context);
    return 0;
}

static void free_context(void *user)
{
    struct context *context = user;

    look_at(context); /* alive: a second time would be a use after free */
    freed[context->n]++;
    explore_check(running[context->n] == 0, "free_user while the listener runs");
    contexts[context->n] = NULL;
    evb__free(context, sizeof *context);
}

static struct context *new_context(uint32_t n)
{
    struct context *context = evb__alloc(sizeof *context, EVB__ALIGN_MIN);

    context->n = n;
    EVB__PLAIN_WRITE(context->value, VALUE);
    explore_name(context, sizeof *context, "context[%u]", n);
    contexts[n] = context;
    return context;
}

/* The buses of the shapes have no pool. */
void evb__pool_hold(evb_pool *pool)
{
    (void)pool;
}

void evb__pool_release(evb_pool *pool)
{
    (void)pool;
}

void evb_pool_destroy(evb_pool *pool)
{
    (void)pool;
}

void bus_make(unsigned emitters)
{
    explore_check(evb_bus_create(NULL, &bus) == EVB_OK, "no bus");
    explore_name(bus, sizeof *bus, "bus");
    for (unsigned i = 0; i < emitters; i++) {
        explore_check(evb__reader_ready(&selves[i], evb__process_generation()) == EVB_OK, "no slot");
        explore_name(selves[i].slot, sizeof *selves[i].slot, "slot[%u]", i);
    }
}

evb_topic *bus_topic(const char *name)
{
    evb_topic *topic;

    explore_check(evb_topic_open(bus, name, &topic) == EVB_OK, "no topic");
    explore_name(topic, sizeof *topic, "topic %s", name);
    return topic;
}

void bus_on(const char *pattern, uint32_t n)
{
    ids[n] = evb_on(bus, pattern, call, new_context(n));
    explore_check(ids[n] > 0, "no listener");
}

void bus_prepend(const char *pattern, uint32_t n)
{
    ids[n] = evb_prepend(bus, pattern, call, new_context(n));
    explore_check(ids[n] > 0, "no listener");
}

void bus_listen(const char *pattern, uint32_t n, uint32_t flags)
{
    evb_listen_opts opts = {.flags = flags, .free_user = free_context};

    owned[n] = true;
    ids[n] = evb_listen(bus, pattern, &opts, call, new_context(n));
    explore_check(ids[n] > 0, "no listener");
}

void bus_here(void)
{
    *evb__self() = selves[explore_thread()];
}

void bus_inside(unsigned thread, evb_topic *topic)
{
    entered[thread] = evb__reader_enter(selves[thread].slot, (uintptr_t)topic);
}

/* As in bus/emit.c. */
void bus_leave(void)
{
    struct evb__slot_entry *entry = entered[explore_thread()];
    struct evb__slot *slot;
    void *mark;

    bus_here();
    slot = evb__self()->slot;
    if (!evb__barrier_asymmetric())
        mark = evb__reader_leave(slot, entry);
    else if ((mark = evb__reader_leave_plain(slot, entry)) != NULL)
        mark = evb__reader_take_mark(entry);
    if (mark != NULL) evb__emit_left(evb__self(), mark);
}

void bus_sweep(void)
{
    evb__bus_lock(bus);
    bus->look_again = true;
    evb__bus_unlock(bus);
}

void bus_drop(uint32_t n)
{
    evb__free(contexts[n], sizeof *contexts[n]);
    contexts[n] = NULL;
}

void bus_end(void)
{
    if (bus != NULL) evb_bus_destroy(bus);
    for (uint32_t n = 0; n < CONTEXTS; n++) {
        if (owned[n])
            explore_check(freed[n] == 1, "free_user did not run exactly once");
        else if (contexts[n] != NULL)
            bus_drop(n);
    }
}
