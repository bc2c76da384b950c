// SPDX-License-Identifier: MIT
// Peer: Boost.Signals2 with its default mutex: thread-safe, as evbus is.
#include <boost/signals2.hpp>
#include <boost/version.hpp>

#include <cstdio>

#include "bench.h"

namespace
{
const char *const impl = "signals2";
const unsigned listeners = 4;

using signal = boost::signals2::signal<void(const uint64_t *)>;

struct emit_state {
    signal sig;
    uint64_t counter = 0;
    uint32_t listeners = 0;
};

bool emit_batch(void *arg, uint64_t n)
{
    emit_state *s = static_cast<emit_state *>(arg);
    uint64_t one = 1, before = s->counter;

    for (uint64_t i = 0; i < n; i++) s->sig(&one);
    return s->counter - before == n * s->listeners;
}

bool pair_batch(void *arg, uint64_t n)
{
    emit_state *s = static_cast<emit_state *>(arg);

    for (uint64_t i = 0; i < n; i++) s->sig.connect([s](const uint64_t *value) { s->counter += *value; }).disconnect();
    return emit_batch(s, 1); // the four that stay are all there is
}

void add_emit_cases()
{
    static emit_state states[5];
    const uint32_t counts[] = {0, 1, 4, 16, 64};

    for (unsigned i = 0; i < 5; i++) {
        emit_state *s = &states[i];
        char name[32];

        s->listeners = counts[i];
        for (uint32_t k = 0; k < counts[i]; k++) s->sig.connect([s](const uint64_t *value) { s->counter += *value; });
        std::snprintf(name, sizeof name, "emit/%u", counts[i]);
        bench_add(name, impl, emit_batch, s);
        if (counts[i] == 4) bench_add("onoff/plain", impl, pair_batch, s);
    }
}

thread_local uint64_t fixed_calls, guest_calls;
signal shared;

bool thread_batch(void *, uint64_t n)
{
    uint64_t one = 1, before = fixed_calls;

    for (uint64_t i = 0; i < n; i++) shared(&one);
    return fixed_calls - before == n * listeners;
}

bool churn_batch(void *, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) shared.connect([](const uint64_t *value) { guest_calls += *value; }).disconnect();
    return true;
}

void emitters(void *state, bench_result *ret)
{
    unsigned count = *static_cast<unsigned *>(state);
    bench_worker w[2] = {{thread_batch, nullptr, 1024, 0, false}, {thread_batch, nullptr, 1024, 0, false}};

    if (!bench_parallel(w, count, ret)) return;
    ret->ns = count == 1 ? w[0].ns : (w[0].ns + w[1].ns) / 2;
}

void under_churn(void *, bench_result *ret)
{
    bench_worker w[2] = {{thread_batch, nullptr, 1024, 0, false}, {churn_batch, nullptr, 64, 0, false}};

    if (!bench_parallel(w, 2, ret)) return;
    ret->ns = w[0].ns;
    bench_extra(ret, "pair_ns", w[1].ns);
}
} // namespace

int main(int argc, char **argv)
{
    static unsigned one = 1, two = 2;

    bench_info("boost", BOOST_LIB_VERSION);
    add_emit_cases();
    for (unsigned i = 0; i < listeners; i++) shared.connect([](const uint64_t *value) { fixed_calls += *value; });
    bench_add_measured("threads/1", impl, 1, emitters, &one);
    bench_add_measured("threads/2", impl, 1, emitters, &two);
    bench_add_measured("churn/plain", impl, 1, under_churn, nullptr);
    return bench_main(argc, argv);
}
