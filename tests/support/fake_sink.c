/* SPDX-License-Identifier: MIT */
#include "fake_sink.h"

#include <string.h>

#include "evb_test.h"

static struct fake fakes[FAKES];
static uint32_t used;
bool fake_quiet;

static void tell(const struct fake *f, char what)
{
    size_t at = strlen(trace);

    if (fake_quiet) return;
    CHECK(at + 2 < sizeof trace);
    trace[at] = f->name[0];
    trace[at + 1] = what;
    trace[at + 2] = '\0';
}

static struct fake *fake_of(struct evb__sink *sink)
{
    return (struct fake *)(void *)sink;
}

static bool wants(struct evb__sink *sink, const evb_event *event)
{
    struct fake *f = fake_of(sink);

    tell(f, '?');
    CHECK(evb__in_callback(evb__self()));
    if (f->in_filter != NULL) f->in_filter(f, event);
    return f->wanted;
}

static int32_t reserve(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    struct fake *f = fake_of(sink);
    int32_t status = f->refuse != EVB_OK ? f->refuse : f->events + n > f->room ? f->full_status : EVB_OK;

    CHECK(!f->freed);
    tell(f, status == EVB_OK ? '+' : '#');
    if (status != EVB_OK) return status;
    f->bytes += bytes;
    f->events += n;
    return EVB_OK;
}

static void undo(struct evb__sink *sink, size_t bytes, uint32_t n)
{
    struct fake *f = fake_of(sink);

    tell(f, '-');
    CHECK(f->bytes >= bytes && f->events >= n);
    f->bytes -= bytes;
    f->events -= n;
}

static void give_back(struct fake *f, struct evb__message *message)
{
    CHECK(f->bytes >= message->bytes && f->events >= 1);
    f->bytes -= message->bytes;
    f->events--;
}

/* Zero but for the message; gaps between the fields may hold anything. */
static void check_fresh(const struct evb__delivery *d)
{
    CHECK(d->message != NULL);
    CHECK(d->next == NULL && d->prev == NULL && d->handling == NULL);
    CHECK(d->rest != NULL && (uintptr_t)d->rest % _Alignof(struct evb__delivery_rest) == 0);
    memset(d->rest, 0xa5, sizeof *d->rest); /* it is the sink's, all of it */
    EQ(d->attempt, 0);
    EQ(d->state + d->reason + d->lane + d->redelivered + d->redriven + d->retained, 0);
    EQ(d->timed + d->expires + d->died, 0);
}

static bool commit(struct evb__sink *sink, struct evb__delivery *delivery)
{
    struct fake *f = fake_of(sink);

    CHECK(!f->freed);
    check_fresh(delivery);
    tell(f, f->drops ? '/' : '=');
    if (f->drops) {
        give_back(f, delivery->message);
        evb__message_unref(delivery->message);
        return false;
    }
    if (f->last != NULL)
        f->last->next = delivery;
    else
        f->first = delivery;
    f->last = delivery;
    return true;
}

static int32_t wait_for_room(struct evb__sink *sink, size_t bytes, uint32_t n, int64_t deadline_ns)
{
    struct fake *f = fake_of(sink);

    (void)bytes;
    (void)n;
    tell(f, '~');
    CHECK(!evb__in_callback(evb__self())); /* not announced */
    CHECK(f->refs > 0);
    return f->in_wait != NULL ? f->in_wait(f, deadline_ns) : EVB_ETIMEDOUT;
}

static void ref(struct evb__sink *sink)
{
    fake_of(sink)->refs++;
}

static void unref(struct evb__sink *sink)
{
    CHECK(fake_of(sink)->refs > 0);
    fake_of(sink)->refs--;
}

static const char *name_of(const struct evb__sink *sink)
{
    return ((const struct fake *)(const void *)sink)->name;
}

static const struct evb__sink_ops plain = {NULL, reserve, undo,    commit, wait_for_room,
                                           ref,  unref,   name_of, NULL};
static const struct evb__sink_ops filtering = {wants, reserve, undo,    commit, wait_for_room,
                                               ref,   unref,   name_of, NULL};

static void gone(void *sink)
{
    struct fake *f = sink;

    CHECK(!f->freed);
    tell(f, '!');
    f->freed = true;
}

int32_t fake_try_on(const char *name, const char *pattern, struct fake **ret_fake)
{
    struct fake *f = &fakes[used];
    int32_t status;

    CHECK(used < FAKES);
    *f = (struct fake){.sink = {&plain}, .wanted = true, .room = UINT32_MAX, .full_status = EVB_EFULL};
    strncpy(f->name, name, sizeof f->name - 1);
    status = evb__sink_listen(bus, pattern, &f->sink, gone, &f->id);
    if (status != EVB_OK) return status;
    used++;
    CHECK(f->id > 0);
    *ret_fake = f;
    return EVB_OK;
}

struct fake *fake_on(const char *name, const char *pattern)
{
    struct fake *f = NULL;

    OK(fake_try_on(name, pattern, &f));
    return f;
}

void fake_filter(struct fake *f)
{
    f->sink.ops = &filtering;
}

void fake_off(struct fake *f)
{
    if (f->id != 0) evb__sink_off(bus, f->id);
    f->id = 0;
}

struct evb__message *fake_take(struct fake *f)
{
    struct evb__delivery *d = f->first;

    if (d == NULL) return NULL;
    f->first = d->next;
    if (f->first == NULL) f->last = NULL;
    give_back(f, d->message);
    return d->message;
}

void fake_empty(struct fake *f)
{
    struct evb__message *message;

    while ((message = fake_take(f)) != NULL)
        evb__message_unref(message);
}

void fake_restart(void)
{
    used = 0;
    fake_quiet = false;
}

void fake_forget(void)
{
    for (uint32_t i = 0; i < used; i++) {
        fake_empty(&fakes[i]);
        EQ(fakes[i].events, 0); /* every reservation was used up or undone */
        EQ(fakes[i].bytes, 0);
        EQ(fakes[i].refs, 0);
        CHECK(fakes[i].freed);
    }
    fake_restart();
}

void fake_end(void)
{
    fake_quiet = true;
    for (uint32_t i = 0; i < used; i++)
        fake_off(&fakes[i]);
    EQ(bus->sinks, 0);
    fake_forget();
}

const char *publish(const char *topic, const evb_publish_opts *opts)
{
    trace[0] = '\0';
    (void)evb_publish(bus, topic, NULL, 0, opts);
    return trace;
}
