/* SPDX-License-Identifier: MIT */
/* Peer: GLib's GSignal. Emission by id and by name with the marshallers that make it fastest, one pointer
 * argument. */
#include <glib-object.h>

#include "bench.h"

#define IMPL      "gsignal"
#define LISTENERS 4
#define NAME_SIZE 16
#define NAMES_MAX 10000u

typedef GObject Peer;
typedef GObjectClass PeerClass;

GType peer_get_type(void);
G_DEFINE_TYPE(Peer, peer, G_TYPE_OBJECT)

static guint signal_new(const char *name)
{
    guint id = g_signal_new(name, peer_get_type(), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                            g_cclosure_marshal_VOID__POINTER, G_TYPE_NONE, 1, G_TYPE_POINTER);

    g_signal_set_va_marshaller(id, peer_get_type(), g_cclosure_marshal_VOID__POINTERv);
    return id;
}

static void peer_class_init(PeerClass *class)
{
    (void)class;
}

static void peer_init(Peer *self)
{
    (void)self;
}

static void add(GObject *self, gpointer arg, gpointer user)
{
    (void)self;
    *(uint64_t *)user += *(const uint64_t *)arg;
}

/* ---- by id ---- */

struct emit_state {
    GObject *object;
    guint signal;
    uint64_t counter;
    uint32_t listeners;
};

static bool emit_batch(void *arg, uint64_t n)
{
    struct emit_state *s = arg;
    uint64_t one = 1, before = s->counter;

    for (uint64_t i = 0; i < n; i++)
        g_signal_emit(s->object, s->signal, 0, &one);
    return s->counter - before == n * s->listeners;
}

static bool pair_batch(void *arg, uint64_t n)
{
    struct emit_state *s = arg;

    for (uint64_t i = 0; i < n; i++) {
        gulong id = g_signal_connect(s->object, "emit-4", G_CALLBACK(add), &s->counter);

        g_signal_handler_disconnect(s->object, id);
    }
    return emit_batch(s, 1); /* the four that stay are all there is */
}

static void add_emit_cases(void)
{
    static const uint32_t counts[] = {0, 1, 4, 16, 64};
    static struct emit_state states[5];

    for (uint32_t i = 0; i < 5; i++) {
        struct emit_state *s = &states[i];
        char name[32];

        g_snprintf(name, sizeof name, "emit-%u", counts[i]);
        s->listeners = counts[i];
        s->object = g_object_new(peer_get_type(), NULL);
        s->signal = signal_new(name);
        for (uint32_t k = 0; k < counts[i]; k++)
            g_signal_connect(s->object, name, G_CALLBACK(add), &s->counter);
        g_snprintf(name, sizeof name, "emit/%u", counts[i]);
        bench_add(name, IMPL, emit_batch, s);
        if (counts[i] == 4) bench_add("onoff/plain", IMPL, pair_batch, s);
    }
}

/* ---- by name ---- */

struct name_state {
    GObject *object;
    uint32_t count, random;
    uint64_t counter;
};

static char names[NAMES_MAX][NAME_SIZE];

static bool name_batch(void *arg, uint64_t n)
{
    struct name_state *s = arg;
    uint64_t one = 1, before = s->counter;

    for (uint64_t i = 0; i < n; i++)
        g_signal_emit_by_name(s->object, names[bench_pick(&s->random, s->count)], &one);
    return s->counter - before == n;
}

/* The signals belong to the class, so all three cases share the 10 000 and use the first of them. */
static void add_name_cases(void)
{
    static const struct {
        uint32_t count;
        const char *label;
    } sizes[] = {{1, "name/1"}, {100, "name/100"}, {NAMES_MAX, "name/10k"}};
    static struct name_state states[3];

    for (uint32_t k = 0; k < NAMES_MAX; k++) {
        g_snprintf(names[k], NAME_SIZE, "sensor-%05u-on", k);
        signal_new(names[k]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct name_state *s = &states[i];

        s->count = sizes[i].count;
        s->random = 2463534242u;
        s->object = g_object_new(peer_get_type(), NULL);
        for (uint32_t k = 0; k < s->count; k++)
            g_signal_connect(s->object, names[k], G_CALLBACK(add), &s->counter);
        bench_add(sizes[i].label, IMPL, name_batch, s);
    }
}

/* ---- threads ---- */

static _Thread_local uint64_t fixed_calls, guest_calls;
static struct emit_state shared;

static void count_fixed(GObject *self, gpointer arg, gpointer user)
{
    (void)self;
    (void)user;
    fixed_calls += *(const uint64_t *)arg;
}

static void count_guest(GObject *self, gpointer arg, gpointer user)
{
    (void)self;
    (void)user;
    guest_calls += *(const uint64_t *)arg;
}

static bool thread_batch(void *arg, uint64_t n)
{
    uint64_t one = 1, before = fixed_calls;

    (void)arg;
    for (uint64_t i = 0; i < n; i++)
        g_signal_emit(shared.object, shared.signal, 0, &one);
    return fixed_calls - before == n * LISTENERS;
}

static bool churn_batch(void *arg, uint64_t n)
{
    (void)arg;
    for (uint64_t i = 0; i < n; i++) {
        gulong id = g_signal_connect(shared.object, "threads", G_CALLBACK(count_guest), NULL);

        g_signal_handler_disconnect(shared.object, id);
    }
    return true;
}

static void emitters(void *state, struct bench_result *ret)
{
    uint32_t count = *(const uint32_t *)state;
    struct bench_worker w[2] = {{thread_batch, NULL, 1024, 0, false}, {thread_batch, NULL, 1024, 0, false}};

    if (!bench_parallel(w, count, ret)) return;
    ret->ns = count == 1 ? w[0].ns : (w[0].ns + w[1].ns) / 2;
}

static void under_churn(void *state, struct bench_result *ret)
{
    struct bench_worker w[2] = {{thread_batch, NULL, 1024, 0, false}, {churn_batch, NULL, 64, 0, false}};

    (void)state;
    if (!bench_parallel(w, 2, ret)) return;
    ret->ns = w[0].ns;
    bench_extra(ret, "pair_ns", w[1].ns);
}

static void add_thread_cases(void)
{
    static const uint32_t one = 1, two = 2;

    shared.object = g_object_new(peer_get_type(), NULL);
    shared.signal = signal_new("threads");
    for (uint32_t i = 0; i < LISTENERS; i++)
        g_signal_connect(shared.object, "threads", G_CALLBACK(count_fixed), NULL);
    bench_add_measured("threads/1", IMPL, 1, emitters, (void *)(uintptr_t)&one);
    bench_add_measured("threads/2", IMPL, 1, emitters, (void *)(uintptr_t)&two);
    bench_add_measured("churn/plain", IMPL, 1, under_churn, NULL);
}

int main(int argc, char **argv)
{
    char version[32];

    g_snprintf(version, sizeof version, "%u.%u.%u", glib_major_version, glib_minor_version,
               glib_micro_version);
    bench_info("glib", version);
    g_type_class_ref(peer_get_type());
    add_emit_cases();
    add_name_cases();
    add_thread_cases();
    return bench_main(argc, argv);
}
