// SPDX-License-Identifier: MIT
// Peer: Asio's thread_pool, strands and steady_timer, in the harness of the pools. Asio by itself if it is
// there, else Boost's. It is unbounded, and has no call for many. A timer that is stopped still calls its
// handler, on the pool.
#if __has_include(<asio.hpp>)
#include <asio.hpp>
#else
#include <boost/asio.hpp>
namespace asio = boost::asio;
#define ASIO_VERSION BOOST_ASIO_VERSION
#endif

#include <chrono>
#include <cstdio>
#include <vector>

#include "bench_pool.h"

namespace
{
using strand = asio::strand<asio::thread_pool::executor_type>;

void *make(uint32_t threads)
{
    return new asio::thread_pool(threads);
}

asio::thread_pool *pool_of(void *of)
{
    return static_cast<asio::thread_pool *>(of);
}

void end(void *of)
{
    pool_of(of)->join();
    delete pool_of(of);
}

void submit(void *of, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        asio::post(*pool_of(of), [i] { work_task(reinterpret_cast<void *>(i)); });
}

void submit_one(void *of, void (*fn)(void *arg), void *arg)
{
    asio::post(*pool_of(of), [fn, arg] { fn(arg); });
}

void branch(asio::thread_pool &pool, uint32_t depth)
{
    work_task(nullptr);
    for (int child = 0; child < 2 && depth > 1; child++)
        asio::post(pool, [&pool, depth] { branch(pool, depth - 1); });
}

void tree(void *of, uint32_t depth)
{
    asio::post(*pool_of(of), [of, depth] { branch(*pool_of(of), depth); });
}

void *make_strands(void *of)
{
    auto *strands = new std::vector<strand>;

    for (uint32_t i = 0; i < WORK_STRANDS; i++)
        strands->emplace_back(pool_of(of)->get_executor());
    return strands;
}

std::vector<strand> &strands_of(void *of)
{
    return *static_cast<std::vector<strand> *>(of);
}

void end_strands(void *of)
{
    delete &strands_of(of);
}

void post(void *of, uint64_t first, uint64_t n)
{
    std::vector<strand> &strands = strands_of(of);

    for (uint64_t i = first; i < first + n; i++) {
        uint64_t message = work_nth(i, 1);

        asio::post(strands[message & 0xffff], [message] { work_message(message); });
    }
}

void hop_on(std::vector<strand> &strands, uint64_t left)
{
    work_task(reinterpret_cast<void *>(1));
    if (left > 1) asio::post(strands[left % 2], [&strands, left] { hop_on(strands, left - 1); });
}

void hop(void *of, uint64_t n)
{
    std::vector<strand> &strands = strands_of(of);

    asio::post(strands[0], [&strands, n] { hop_on(strands, n); });
}

void *make_timers(void *of, uint32_t n)
{
    auto *timers = new std::vector<asio::steady_timer>;

    timers->reserve(n);
    for (uint32_t i = 0; i < n; i++)
        timers->emplace_back(*pool_of(of));
    return timers;
}

std::vector<asio::steady_timer> &timers_of(void *of)
{
    return *static_cast<std::vector<asio::steady_timer> *>(of);
}

void end_timers(void *of)
{
    delete &timers_of(of);
}

bool add_timer(void *of, const int64_t *delay_ns, uint32_t n)
{
    std::vector<asio::steady_timer> &timers = timers_of(of);
    bool ok = true;

    for (uint32_t i = 0; i < n; i++) {
        ok = timers[i].expires_after(std::chrono::nanoseconds(delay_ns[i])) == 0 && ok;
        timers[i].async_wait([](const auto &) {});
    }
    return ok;
}

bool stop_timer(void *of, const uint32_t *number, uint32_t n)
{
    std::vector<asio::steady_timer> &timers = timers_of(of);
    bool ok = true;

    for (uint32_t i = 0; i < n; i++)
        ok = timers[number[i]].cancel() == 1 && ok;
    return ok;
}
} // namespace

int main(int argc, char **argv)
{
    static work_pool p = {};
    char version[32];

    p.impl = "asio";
    p.make = make;
    p.end = end;
    p.submit = submit;
    p.submit_one = submit_one;
    p.tree = tree;
    p.make_strands = make_strands;
    p.end_strands = end_strands;
    p.post = post;
    p.hop = hop;
    p.make_timers = make_timers;
    p.end_timers = end_timers;
    p.add_timer = add_timer;
    p.stop_timer = stop_timer;
    std::snprintf(version, sizeof version, "%d.%d.%d", ASIO_VERSION / 100000, ASIO_VERSION / 100 % 1000,
                  ASIO_VERSION % 100);
    bench_info("asio", version);
    work_add(&p);
    return bench_main(argc, argv);
}
