/* SPDX-License-Identifier: MIT */
/* The interleaving explorer: runs a small concurrent program in every way that a bounded scheduler and a weak
 * memory allow.
 *
 * The shipped sources are compiled unchanged with -DEVB__EXPLORE; base/atomic.h and base/thread.h then take
 * their operations from explore_atomic.h and explore_thread.h, and the functions of
 * base/{alloc,barrier,park}.h come from here. Threads are fibers; before each shared access the explorer
 * decides who goes on, and at each load which store it reads.
 *
 *      shape.setup   ->   threads[0] | threads[1] | ...   ->   shape.finish          one execution
 *      unexplored         every interleaving                   unexplored
 *
 * Search: depth first over all choices with a bound on preemptions (Musuvathi, Qadeer: CHESS, PLDI 2007), or
 * a random walk, or PCT (Burckhardt et al., ASPLOS 2010), the last two from a printed seed. A failing
 * execution prints its choices as a string; --replay takes it back and prints the schedule. Before every
 * execution the program's static data are put back to what they were at the start and the heap is emptied, so
 * setup begins from scratch and addresses on the heap are the same each time.
 *
 * Memory: every store is kept with the view it releases. A load may read any store that is not older than the
 * thread's own view of that location; acquire joins the view; a read-modify-write reads the newest store and
 * continues its release sequence; plain accesses (EVB__PLAIN_*), initialisation, allocation and free are
 * checked for races with vector clocks.
 *
 * What a pass does not say:
 *  - Modification order is execution order: no load buffering, no store placed before one that was executed
 * earlier (2+2W).
 *  - seq_cst is slightly too strong: the SC order is the execution order, so an SC load never reads past an
 * SC store that was executed before it, even where no happens-before forces that (C11 would allow it when
 * only relaxed accesses connect the two). SC accesses give no more order to other locations than acquire and
 * release do. Barriers made by evb__barrier_heavy are SC fences.
 *  - Stale reads and spurious wake-ups are rationed per thread, preemptions per execution. No partial-order
 * reduction.
 *  - Plain accesses are no scheduling points: a race is found by the clocks, whatever the interleaving.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    EXPLORE_THREADS = 6,     /* of a shape; evb__thread_create can start the rest up to 7 in all */
    EXPLORE_COVERS = 8,      /* outcomes that a shape may demand */
    EXPLORE_NONE = -1,       /* a bound of zero, where 0 means the default */
    EXPLORE_PREEMPTIONS = 2, /* defaults */
    EXPLORE_STALE = 2,
    EXPLORE_SPURIOUS = 1,
};

/* Which back end of base/barrier.h the shape runs with. */
enum explore_barrier { EXPLORE_SEQ_CST = 0, EXPLORE_MEMBARRIER, EXPLORE_BOTH };

/* The least number of executions that lets an incomplete search pass. */
#define EXPLORE_ENOUGH 100000u

struct explore_shape {
    const char *name; /* a behaviour sentence */
    void (*setup)(void);
    void (*threads[EXPLORE_THREADS + 1])(void); /* up to the first NULL */
    void (*finish)(void);
    void (*thread_exit)(void); /* at the end of each thread, explored: what a pthread key destructor does */
    int variant;               /* explore_variant() */

    int preemptions; /* bounds; 0 = default, EXPLORE_NONE = 0 */
    int stale_reads; /* a thread */
    int spurious;    /* wake-ups without a waker and early time-outs, a thread */
    enum explore_barrier barrier;
    bool barrier_may_refuse; /* evb__barrier_heavy may answer EVB_ENOTSUP, from some call on; then a time-out
                                makes all earlier stores visible, on which the code behind a refusal counts.
                                Covers "barrier refused" */
    bool trylock;            /* evb__mutex_trylock is used: unlocking becomes a scheduling point too */

    uint64_t
        executions;  /* 0: the search must become complete. Else it may stop here; at least EXPLORE_ENOUGH */
    uint64_t random; /* further random executions, half of them PCT; 0 = 20 000, UINT64_MAX = none */
    const char *bug; /* NULL: there must be none. Else one must be found whose text contains this */
    const char *covers[EXPLORE_COVERS]; /* each must be reached (explore_cover) in some execution */
};

/* ---- inside a shape ---- */

#define explore_check(cond, text) evb__x_check((cond), (text), __FILE__, __LINE__)
void evb__x_check(bool ok, const char *text, const char *file, int line);

void explore_cover(const char *text); /* this outcome happened */
void explore_name(const void *ptr, size_t size, const char *fmt,
                  ...) /* what the schedule calls this memory */
    __attribute__((format(printf, 3, 4)));
int explore_variant(void);
unsigned explore_thread(void);              /* index in threads[]; setup and finish: UINT_MAX */
void explore_point(void);                   /* a scheduling point without an access */
bool explore_blocks_alive(const void *ptr); /* is ptr inside a block that has not been freed? */

/* ---- running one ---- */

enum explore_mode { EXPLORE_DFS, EXPLORE_RANDOM, EXPLORE_PCT, EXPLORE_REPLAY };

struct explore_how {
    enum explore_mode mode;
    int preemptions, stale_reads, spurious; /* as they are: -1 = no limit */
    bool asymmetric;
    uint64_t executions; /* stop after so many; 0 = never */
    uint64_t seed;       /* RANDOM, PCT */
    const char *replay;  /* REPLAY; its bounds replace the ones above */
    FILE *schedule;      /* REPLAY: prints every step */
};

struct explore_result {
    uint64_t executions; /* that ran to their end; the one that failed is not among them */
    bool complete;       /* DFS: nothing is left */
    char bug[512];       /* empty: none */
    char *replay;        /* of the bug; free() it */
    uint32_t covered;    /* bit i: covers[i] was reached */
};

void explore_how_default(const struct explore_shape *shape, struct explore_how *ret_how);
void explore_run(const struct explore_shape *shape, const struct explore_how *how,
                 struct explore_result *ret_result);

/* Runs shapes as a test program: explore_main prints what tests/run.sh counts. --help lists the options. */
int explore_main(int argc, char **argv, const struct explore_shape *shapes, size_t count);

#endif
