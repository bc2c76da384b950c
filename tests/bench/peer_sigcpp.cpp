// SPDX-License-Identifier: MIT
// Peer: libsigc++ (2.0 or 3.0). Not thread-safe, so it has no rows with threads: it does less than the others.
#include <sigc++/sigc++.h>
#include <sigc++config.h>

#include <cstdio>

#include "bench.h"

namespace
{
const char *const impl = "sigc++";

#if SIGCXX_MAJOR_VERSION >= 3
using signal = sigc::signal<void(const uint64_t *)>;
#else
using signal = sigc::signal<void, const uint64_t *>;
#endif

struct emit_state {
    signal sig;
    uint64_t counter = 0;
    uint32_t listeners = 0;

    void add(const uint64_t *value)
    {
        counter += *value;
    }
};

bool emit_batch(void *arg, uint64_t n)
{
    emit_state *s = static_cast<emit_state *>(arg);
    uint64_t one = 1, before = s->counter;

    for (uint64_t i = 0; i < n; i++) s->sig.emit(&one);
    return s->counter - before == n * s->listeners;
}

bool pair_batch(void *arg, uint64_t n)
{
    emit_state *s = static_cast<emit_state *>(arg);

    for (uint64_t i = 0; i < n; i++) {
        sigc::connection connection = s->sig.connect(sigc::mem_fun(*s, &emit_state::add));

        connection.disconnect();
    }
    return emit_batch(s, 1); // the four that stay are all there is
}
} // namespace

int main(int argc, char **argv)
{
    static emit_state states[5];
    const uint32_t counts[] = {0, 1, 4, 16, 64};
    char name[32];

    std::snprintf(name, sizeof name, "%d.%d.%d", SIGCXX_MAJOR_VERSION, SIGCXX_MINOR_VERSION, SIGCXX_MICRO_VERSION);
    bench_info("sigc++", name);
    for (unsigned i = 0; i < 5; i++) {
        emit_state *s = &states[i];

        s->listeners = counts[i];
        for (uint32_t k = 0; k < counts[i]; k++) s->sig.connect(sigc::mem_fun(*s, &emit_state::add));
        std::snprintf(name, sizeof name, "emit/%u", counts[i]);
        bench_add(name, impl, emit_batch, s);
        if (counts[i] == 4) bench_add("onoff/plain", impl, pair_batch, s);
    }
    return bench_main(argc, argv);
}
