/* SPDX-License-Identifier: MIT */
/* The explorer: choices, the scheduler of fibers, and the search over executions. */
#include "explore_engine.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct explore_state ex __attribute__((section("explore_state")));

/* ---- choices ---- */

static uint64_t rng_next(void)
{
    uint64_t z = (ex.rng += 0x9e3779b97f4a7c15u); /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Replays or records one choice; fresh is what to take when there is nothing to replay. */
static unsigned choice(unsigned options, unsigned fresh)
{
    uint32_t i = ex.trail_length++;

    if (i >= X_CHOICES) x_bug("explorer: more than %d choices in one execution", X_CHOICES);
    if (i < ex.trail_known) {
        /* A replay string carries no counts: 0 stands for unknown. */
        if (ex.trail[i].options == 0) ex.trail[i].options = (uint8_t)options;
        if (ex.trail[i].options != options || ex.trail[i].taken >= options)
            x_bug("explorer: the program took another way on replay (choice %u has %u options, had %u): not "
                  "deterministic, "
                  "or a replay string of other source",
                  i, options, ex.trail[i].options);
        return ex.trail[i].taken;
    }
    ex.trail[i] = (struct x_choice){.taken = (uint8_t)fresh, .options = (uint8_t)options};
    return fresh;
}

unsigned x_choose(unsigned options)
{
    unsigned fresh = 0;

    if (!ex.exploring || options <= 1) return 0;
    if (options > 200) options = 200; /* the newest 200 stores; nothing that small keeps more */
    /* Half of the time the tame answer: else long executions would drown in stale reads. */
    if (ex.how.mode == EXPLORE_RANDOM || ex.how.mode == EXPLORE_PCT) {
        uint64_t r = rng_next();

        if (r & 1) fresh = (unsigned)((r >> 1) % options);
    }
    return choice(options, fresh);
}

/* PCT: the highest priority runs; at a few random steps the running fiber falls below all others. */
static unsigned pct_pick(const uint8_t *candidates, unsigned count, enum x_why why)
{
    unsigned best = 0;

    for (unsigned i = 0; i < sizeof ex.change_at / sizeof ex.change_at[0]; i++)
        if (ex.change_at[i] == ex.switches) ex.cur->priority = --ex.lowest_priority;
    if (why == X_YIELD) ex.cur->priority = --ex.lowest_priority;
    for (unsigned i = 1; i < count; i++)
        if (ex.fibers[candidates[i]].priority > ex.fibers[candidates[best]].priority) best = i;
    return best;
}

static unsigned choose_fiber(const uint8_t *candidates, unsigned count, enum x_why why)
{
    unsigned fresh = 0;

    if (!ex.exploring || count <= 1) return 0;
    ex.switches++;
    if (ex.how.mode == EXPLORE_RANDOM) fresh = (unsigned)(rng_next() % count);
    if (ex.how.mode == EXPLORE_PCT) fresh = pct_pick(candidates, count, why);
    return choice(count, fresh);
}

/* ---- bugs ---- */

void x_bug(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(ex.result->bug, sizeof ex.result->bug, fmt, args);
    va_end(args);
    x_trace(NULL, NULL, "BUG: %s", ex.result->bug);
    _longjmp(ex.home, 2);
}

void evb__x_check(bool ok, const char *text, const char *file, int line)
{
    if (!ok) x_bug("check failed: %s (%s:%d)", text, x_base(file), line);
}

/* Memory that was reached without the seam and is not there: freed blocks are filled with what is no address.
 * The execution is lost, the explorer is not. */
static void crashed(int signal_number)
{
    if (!ex.active) {
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
        return;
    }
    x_bug("crash: signal %d in %s, last seen near %s:%d", signal_number, x_fiber_name(ex.cur),
          ex.cur->site != NULL ? x_base(ex.cur->site->file) : "?",
          ex.cur->site != NULL ? ex.cur->site->line : 0);
}

static void catch_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    stack_t stack = {.ss_sp = ex.signal_stack, .ss_size = X_STACK};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_NODEFER};

    if (sigaltstack(&stack, NULL) != 0) abort(); /* a fiber's stack may be what ran out */
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        (void)sigaction(signals[i], &action, NULL);
}

/* evb__assert of the shipped source ends here (EVB_DEBUG). */
_Noreturn void __assert_fail(const char *text, const char *file, unsigned line, const char *function);
_Noreturn void __assert_fail(const char *text, const char *file, unsigned line, const char *function)
{
    if (ex.active) x_bug("assertion failed: %s in %s (%s:%u)", text, function, x_base(file), line);
    (void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
    abort();
}

/* Nothing can run: says of every fiber why. */
static _Noreturn void stuck(void)
{
    static const char *const why[] = {
        [X_LOCKING] = "waits for a mutex",
        [X_PARKED] = "sleeps",
        [X_SPINNING] = "spins",
        [X_JOINING] = "joins",
        [X_WAITING] = "waits for the threads",
    };
    char text[400] = "";
    size_t used = 0;
    bool only_spinning = true;

    for (unsigned i = 0; i < X_FIBERS && used < sizeof text; i++) {
        const struct x_fiber *f = &ex.fibers[i];

        if (f->state == X_UNUSED || f->state == X_DONE || f->state == X_WAITING) continue;
        only_spinning = only_spinning && f->state == X_SPINNING;
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%s %s near %s:%d", used != 0 ? ", " : "",
                             x_fiber_name(f), why[f->state], f->site != NULL ? x_base(f->site->file) : "?",
                             f->site != NULL ? f->site->line : 0);
    }
    x_bug("%s: %s", only_spinning ? "livelock" : "deadlock", text);
}

/* ---- fibers ---- */

static void shape_body(void *arg)
{
    ex.shape->threads[(uintptr_t)arg]();
}

static void thread_end(struct x_fiber *me)
{
    struct x_fiber *main_fiber = &ex.fibers[0];

    if (ex.shape->thread_exit != NULL) ex.shape->thread_exit();
    if (me->locks != 0) x_bug("%s ends holding a mutex", x_fiber_name(me));
    me->state = X_DONE;
    ex.enabled &= (uint8_t)~X_BIT(me);
    x_wrote(me); /* whoever spins may look again */
    for (unsigned i = 0; i < X_FIBERS; i++) {
        struct x_fiber *f = &ex.fibers[i];

        if (f->state != X_JOINING || f->joining != me->id) continue;
        f->state = X_READY;
        ex.enabled |= X_BIT(f);
    }
    if (me->body != shape_body) return; /* its joiner waits for it */
    x_view_join(&main_fiber->view, &me->view);
    if (--ex.shape_running != 0) return;
    main_fiber->state = X_READY;
    ex.enabled |= X_BIT(main_fiber);
    ex.exploring = false;
}

/* Bodies return here; the fiber stays where it is until the next execution wants it again, so that starting
 * one costs a jump. */
static void fiber_main(void)
{
    for (;;) {
        struct x_fiber *f = ex.cur;

        f->resting = false;
        f->body(f->arg);
        if (f->id != 0) thread_end(f);
        f->resting = true;
        if (f->id != 0)
            x_reschedule(X_BLOCK);
        else if (_setjmp(f->at) == 0)
            _longjmp(ex.home, 1);
    }
}

static __attribute__((noinline)) void enter(struct x_fiber *f)
{
    ex.cur = f;
    if (f->fresh) {
        f->fresh = false;
        (void)setcontext(&f->start);
    }
    _longjmp(f->at, 1);
}

static __attribute__((noinline)) void switch_to(struct x_fiber *f)
{
    if (_setjmp(ex.cur->at) == 0) enter(f);
}

static void fiber_prepare(struct x_fiber *f)
{
    (void)getcontext(&f->start);
    f->start.uc_stack.ss_sp = f->stack;
    f->start.uc_stack.ss_size = X_STACK;
    f->start.uc_link = NULL;
    makecontext(&f->start, fiber_main, 0);
    f->fresh = true;
}

static void fiber_begin(struct x_fiber *f, void (*body)(void *arg), void *arg)
{
    f->body = body;
    f->arg = arg;
    f->state = X_READY;
    f->stale_left = ex.how.stale_reads;
    f->spurious_left = ex.how.spurious;
    f->stale_since_yield = f->turn_begins = false;
    f->own_writes = 0;
    f->others_writes = ex.writes;
    f->locks = 0;
    f->no_memory = false;
    f->site = NULL;
    f->has_fenced = false;
    f->priority = (int)(rng_next() & 0xffffff);
    memset(f->local, 0, sizeof f->local);
    ex.enabled |= X_BIT(f);
}

/* A new fiber knows what its creator knows. */
struct x_fiber *x_spawn(void (*body)(void *arg), void *arg)
{
    for (unsigned i = 1; i < X_FIBERS; i++) {
        struct x_fiber *f = &ex.fibers[i];

        if (f->state != X_UNUSED) continue;
        if (!f->resting && !f->fresh) fiber_prepare(f);
        memset(&f->view, 0, offsetof(struct x_view, time));
        memset(&f->pending, 0, offsetof(struct x_view, time));
        memset(f->pending.time, 0, sizeof f->pending.time[0] * (size_t)ex.atomic_count);
        memset(f->view.time, 0, sizeof f->view.time[0] * (size_t)ex.atomic_count);
        x_view_join(&f->view, &ex.cur->view);
        f->view.clock[i] = 1;
        ex.cur->view.clock[ex.cur->id]++; /* a release */
        fiber_begin(f, body, arg);
        return f;
    }
    return NULL;
}

/* ---- scheduling ---- */

/* Nothing runs by itself: sleepers with a time-out may run out of time. */
static unsigned timed_sleepers(uint8_t *candidates)
{
    unsigned count = 0;

    for (uint8_t i = 0; i < X_FIBERS; i++)
        if (ex.fibers[i].state == X_PARKED && ex.fibers[i].park_timed) candidates[count++] = i;
    return count;
}

void x_reschedule(enum x_why why)
{
    struct x_fiber *me = ex.cur, *next;
    uint8_t candidates[X_FIBERS];
    unsigned count = 0;

    if (why == X_POINT && ex.how.preemptions >= 0 && ex.preempted >= ex.how.preemptions) return;
    if (++ex.steps > X_STEPS) x_bug("livelock: more than %d steps in one execution", X_STEPS);
    if (why == X_POINT || why == X_FREE_POINT) candidates[count++] = me->id;
    for (uint8_t i = 0; i < X_FIBERS; i++)
        if (i != me->id && (ex.enabled & (1u << i)) != 0) candidates[count++] = i;
    if (why == X_YIELD) candidates[count++] = me->id; /* last: the others first */
    if (count == 0) count = timed_sleepers(candidates);
    if (count == 0) stuck();

    next = &ex.fibers[candidates[choose_fiber(candidates, count, why)]];
    if (next->state == X_PARKED) {
        next->state = X_READY;
        ex.enabled |= X_BIT(next);
        next->park_result = -1; /* timed out */
    }
    if (next == me) return;
    if (why == X_POINT) ex.preempted++;
    next->turn_begins = true;
    x_trace(NULL, NULL, "---- %s%s", x_fiber_name(next), why == X_POINT ? " (preemption)" : "");
    switch_to(next);
}

/* The main fiber: one execution from its point of view. */
static void main_body(void *arg)
{
    const struct explore_shape *shape = ex.shape;
    unsigned count = 0;

    (void)arg;
    if (shape->setup != NULL) shape->setup();
    while (count < EXPLORE_THREADS && shape->threads[count] != NULL) {
        if (x_spawn(shape_body, (void *)(uintptr_t)count) == NULL) x_bug("explorer: too many threads");
        count++;
    }
    ex.shape_threads = ex.shape_running = count;
    if (count != 0) {
        ex.cur->state = X_WAITING;
        ex.enabled &= (uint8_t)~X_BIT(ex.cur);
        ex.exploring = true;
        x_reschedule(X_BLOCK);
    }
    x_trace(NULL, NULL, "---- finish");
    if (shape->finish != NULL) shape->finish();
    for (unsigned i = 1; i < X_FIBERS; i++)
        if (ex.fibers[i].state != X_UNUSED && ex.fibers[i].state != X_DONE)
            x_bug("%s still runs at the end", x_fiber_name(&ex.fibers[i]));
    x_heap_check_leaks();
}

/* ---- one execution ---- */

extern char data_start[] __attribute__((weak)), _end[];
extern char __start_explore_state[], __stop_explore_state[];

/* The program's writable data but for the explorer's own: what the shape and the shipped source keep in
 * static variables. save = true takes the copy, before the first execution. */
static void statics(bool save)
{
    char *from[2] = {data_start, __stop_explore_state}, *to[2] = {__start_explore_state, _end};
    unsigned char *copy = ex.pristine;

    for (int i = 0; i < 2; i++) {
        size_t size = (size_t)(to[i] - from[i]);

        if (save)
            memcpy(copy, from[i], size);
        else
            memcpy(from[i], copy, size);
        copy += size;
    }
}

static void begin_execution(void)
{
    struct x_fiber *f = &ex.fibers[0];

    statics(false);
    x_memory_reset();
    x_heap_reset();
    ex.execution++;
    ex.steps = 0;
    ex.preempted = 0;
    ex.refused = false;
    ex.exploring = false;
    ex.enabled = ex.spinning = 0;
    ex.writes = 0;
    ex.switches = 0;
    ex.name_count = 0;
    ex.trace_line = 0;
    ex.trail_length = 0;
    ex.now = 1000000000;
    ex.lowest_priority = 0;
    for (unsigned i = 0; i < X_FIBERS; i++)
        ex.fibers[i].state = X_UNUSED;
    for (unsigned i = 0; i < sizeof ex.change_at / sizeof ex.change_at[0]; i++)
        ex.change_at[i] = (uint32_t)(rng_next() % (ex.switches_most + 1));
    ex.cur = f;
    if (!f->resting && !f->fresh) fiber_prepare(f);
    memset(&f->view, 0, offsetof(struct x_view, time));
    memset(&f->pending, 0, offsetof(struct x_view, time));
    f->view.clock[0] = 1;
    fiber_begin(f, main_body, NULL);
}

/* false: a bug, which is in ex.result. */
static bool execute(void)
{
    int how;

    begin_execution();
    ex.active = true;
    how = _setjmp(ex.home);
    if (how == 0) enter(&ex.fibers[0]);
    ex.active = false;
    if (ex.switches > ex.switches_most) ex.switches_most = ex.switches;
    if (how == 1) return true;
    /* The fibers stand where the bug left them; the one that met it has not even saved where it stands. */
    ex.cur->resting = false;
    for (unsigned i = 0; i < X_FIBERS; i++)
        if (!ex.fibers[i].resting) fiber_prepare(&ex.fibers[i]);
    return false;
}

/* ---- the search ---- */

static void *pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) abort();
    return p;
}

/* Once a process. */
static void start(void)
{
    size_t size = (size_t)(_end - (char *)data_start);

    if (ex.fibers != NULL) return;
    ex.fibers = pages(sizeof *ex.fibers * X_FIBERS);
    for (uint8_t i = 0; i < X_FIBERS; i++) {
        unsigned char *stack = pages(X_STACK + 4096);

        (void)mprotect(stack, 4096, PROT_NONE);
        ex.fibers[i].id = i;
        ex.fibers[i].stack = stack + 4096;
    }
    ex.trail = pages(sizeof *ex.trail * X_CHOICES);
    ex.hash = pages(sizeof *ex.hash * X_HASH);
    ex.locs = pages(sizeof *ex.locs * X_LOCS);
    ex.stores = pages(sizeof *ex.stores * X_STORES);
    ex.words = pages(sizeof *ex.words * X_VIEW_WORDS);
    ex.blocks = pages(sizeof *ex.blocks * X_BLOCKS);
    ex.names = pages(sizeof *ex.names * X_NAMES);
    /* A fixed place, where there is one, lets a replay string hold across processes even if addresses are
     * hashed. */
    ex.arena = mmap((void *)0x200000000000, X_ARENA, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ex.arena == MAP_FAILED) abort();
    ex.signal_stack = pages(X_STACK);
    catch_crashes();
    ex.pristine = pages(size);
    statics(true);
}

/* The next unexplored branch; false: there is none. */
static bool backtrack(void)
{
    uint32_t n = ex.trail_length;

    while (n != 0 && ex.trail[n - 1].taken + 1u >= ex.trail[n - 1].options)
        n--;
    ex.trail_known = n;
    if (n == 0) return false;
    ex.trail[n - 1].taken++;
    return true;
}

void explore_how_default(const struct explore_shape *shape, struct explore_how *ret_how)
{
    const int given[3] = {shape->preemptions, shape->stale_reads, shape->spurious};
    const int usual[3] = {EXPLORE_PREEMPTIONS, EXPLORE_STALE, EXPLORE_SPURIOUS};
    int out[3];

    for (int i = 0; i < 3; i++)
        out[i] = given[i] == 0 ? usual[i] : given[i] == EXPLORE_NONE ? 0 : given[i];
    *ret_how = (struct explore_how){
        .mode = EXPLORE_DFS,
        .preemptions = out[0],
        .stale_reads = out[1],
        .spurious = out[2],
        .asymmetric = shape->barrier == EXPLORE_MEMBARRIER,
        .executions = shape->executions,
    };
}

void explore_run(const struct explore_shape *shape, const struct explore_how *how,
                 struct explore_result *ret_result)
{
    struct explore_result result = {0};

    start();
    ex.shape = shape;
    ex.how = *how;
    ex.result = &result;
    ex.rng = how->seed;
    ex.trail_known = 0;
    ex.switches_most = 30;
    if (how->mode == EXPLORE_REPLAY && !x_replay_read(how->replay)) {
        (void)snprintf(result.bug, sizeof result.bug, "explorer: cannot read the replay string");
        *ret_result = result;
        return;
    }
    for (;;) {
        if (!execute()) {
            result.replay = x_replay_write();
            break;
        }
        result.executions++;
        if (how->mode == EXPLORE_REPLAY) break;
        if (how->mode == EXPLORE_DFS && !backtrack()) {
            result.complete = true;
            break;
        }
        if (how->executions != 0 && result.executions >= how->executions) break;
    }
    *ret_result = result;
    ex.result = NULL;
}

/* ---- what shapes ask ---- */

void explore_cover(const char *text)
{
    for (unsigned i = 0; i < EXPLORE_COVERS && ex.shape->covers[i] != NULL; i++) {
        if (strcmp(ex.shape->covers[i], text) == 0) {
            ex.result->covered |= 1u << i;
            return;
        }
    }
}

int explore_variant(void)
{
    return ex.shape->variant;
}

unsigned explore_thread(void)
{
    return ex.cur->body == shape_body ? (unsigned)(uintptr_t)ex.cur->arg : UINT_MAX;
}

void explore_point(void)
{
    x_point();
}
