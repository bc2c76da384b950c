// SPDX-License-Identifier: MIT
// Peer: oneTBB, in the harness of the pools. From outside tasks are enqueued in an arena that has a slot for
// each worker and none for the caller; trees spawn by a task_group; a strand is a flow graph's function_node
// with concurrency `serial`, which queues its messages. There are no timers and no call for many.
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <oneapi/tbb/version.h>

#include <memory>
#include <vector>

#include "bench_pool.h"

namespace
{
namespace tbb = oneapi::tbb;

struct pool {
    tbb::global_control control; // by default no more threads than CPUs, the caller's included
    tbb::task_arena arena;
    tbb::task_group group;

    explicit pool(uint32_t threads)
        : control(tbb::global_control::max_allowed_parallelism, threads + 1),
          arena(static_cast<int>(threads), 0)
    {
        arena.initialize();
    }
};

void *make(uint32_t threads)
{
    return new pool(threads);
}

void end(void *of)
{
    auto *p = static_cast<pool *>(of);

    p->arena.execute([p] { p->group.wait(); });
    delete p;
}

void submit(void *of, uint64_t first, uint64_t n)
{
    auto *p = static_cast<pool *>(of);

    for (uint64_t i = first; i < first + n; i++)
        p->arena.enqueue([i] { work_task(reinterpret_cast<void *>(i)); });
}

void submit_one(void *of, void (*fn)(void *arg), void *arg)
{
    static_cast<pool *>(of)->arena.enqueue([fn, arg] { fn(arg); });
}

void branch(tbb::task_group &group, uint32_t depth)
{
    work_task(nullptr);
    for (int child = 0; child < 2 && depth > 1; child++)
        group.run([&group, depth] { branch(group, depth - 1); });
}

void tree(void *of, uint32_t depth)
{
    auto *p = static_cast<pool *>(of);

    p->arena.enqueue([p, depth] { branch(p->group, depth); });
}

using lane = tbb::flow::function_node<uint64_t, tbb::flow::continue_msg, tbb::flow::queueing>;

// A graph belongs to the arena that it is made in.
struct strands {
    pool *of;
    std::unique_ptr<tbb::flow::graph> graph;
    std::vector<std::unique_ptr<lane>> lanes;
};

void *make_strands(void *of)
{
    auto *s = new strands{static_cast<pool *>(of), nullptr, {}};

    s->of->arena.execute([s] {
        s->graph = std::make_unique<tbb::flow::graph>();
        for (uint32_t i = 0; i < WORK_STRANDS; i++)
            s->lanes.push_back(std::make_unique<lane>(*s->graph, tbb::flow::serial, [](uint64_t message) {
                work_message(message);
                return tbb::flow::continue_msg();
            }));
    });
    return s;
}

void end_strands(void *of)
{
    auto *s = static_cast<strands *>(of);

    s->of->arena.execute([s] { s->graph->wait_for_all(); });
    delete s;
}

void post(void *of, uint64_t first, uint64_t n)
{
    auto *s = static_cast<strands *>(of);

    for (uint64_t i = first; i < first + n; i++) {
        uint64_t message = work_nth(i, 1);

        s->lanes[message & 0xffff]->try_put(message);
    }
}
} // namespace

int main(int argc, char **argv)
{
    static work_pool p = {};

    p.impl = "tbb";
    p.make = make;
    p.end = end;
    p.submit = submit;
    p.submit_one = submit_one;
    p.tree = tree;
    p.make_strands = make_strands;
    p.end_strands = end_strands;
    p.post = post;
    bench_info("tbb", TBB_VERSION_STRING);
    work_add(&p);
    return bench_main(argc, argv);
}
