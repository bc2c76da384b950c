/* SPDX-License-Identifier: MIT */
/* The measuring side of a bench program.
 *
 * A bench program is a process that holds some cases and measures one of them when it is asked to, so that
 * the runner (bench_run.c) can interleave the cases of several libraries and languages round by round. They
 * talk in lines:
 *
 *      runner                 program
 *      list              ->
 *                        <-   info KEY VALUE                 version of the library measured, pinned CPU
 *                        <-   case NAME IMPL EVERY           measured in each EVERY-th round only; one a line
 *                        <-   end
 *      run NAME IMPL     ->
 *                        <-   ok NS [KEY=VALUE]...           or: busy | wrong TEXT | skip TEXT
 *      end of input      ->   the program ends
 *
 * How one number is made: a batch of at least BENCH_BATCH_MS (20) is cut into slices of equal work. Slices in
 * which the thread waited for a CPU are dropped and made again, up to a limit; the number is the median of
 * the rest: work that shares the machine costs measurements, not truth. The size of a slice is found at the
 * first measurement, a warm-up of two slices precedes each. Every batch checks what it did: a wrong result is
 * reported as such and never as a time.
 *
 * Threads: one, except bench_parallel and bench_flow. Compiles as C11 and C++11 (peers).
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_EXTRAS  8
#define BENCH_SLICES  16
#define BENCH_THREADS 4

struct bench_result {
    double ns;       /* an operation */
    double busy;     /* share of slices dropped because the thread waited for a CPU */
    bool crowded;    /* the threads never had their CPUs at the same time: no number this time */
    char wrong[160]; /* not empty: what was not as it should be */
    char skip[160];  /* not empty: why this case cannot be measured here */
    uint32_t extras; /* further numbers of the same measurement */
    struct {
        char name[24];
        double value;
    } extra[BENCH_EXTRAS];
};

/* Does n operations. false: the result is not what n operations give. */
typedef bool (*bench_batch_fn)(void *state, uint64_t n);
/* Measures by itself, for cases that are no plain batch. */
typedef void (*bench_measure_fn)(void *state, struct bench_result *ret);

void bench_add(const char *name, const char *impl, bench_batch_fn batch, void *state);
void bench_add_measured(const char *name, const char *impl, uint32_t every, bench_measure_fn measure,
                        void *state);
void bench_info(const char *key, const char *value);
/* Serves the runner. `--once NAME IMPL N` does N operations instead and ends (icount.sh). */
int bench_main(int argc, char **argv);
/* false when `--once` asks for a case of another family: nothing of this one need be set up. */
bool bench_wants(int argc, char **argv, const char *prefix);

/* One number from a batch function; *slice is the calibrated size of a slice, 0 at first. */
void bench_time(bench_batch_fn batch, void *state, uint64_t *slice, struct bench_result *ret);
void bench_extra(struct bench_result *ret, const char *name, double value);
void bench_wrong(struct bench_result *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bench_skip(struct bench_result *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bench_require(bool condition, const char *what); /* ends the program when set-up fails */

/* Several threads at once, each on a CPU of its own, all for the time of one batch. */
struct bench_worker {
    bench_batch_fn batch;
    void *state;
    uint64_t n; /* operations between two looks at the clock, in: at least 1 */
    double ns;  /* out: an operation */
    bool wrong; /* out */
};
/* false: no number, and ret says why. */
bool bench_parallel(struct bench_worker *workers, uint32_t count, struct bench_result *ret);

int64_t bench_now_ns(void);
int64_t bench_waited_ns(void); /* how long the calling thread has been ready to run without a CPU, so far */
void bench_waited_close(void); /* at a thread's end */
double bench_median(double *values, uint32_t count); /* sorts them */
int bench_pin(uint32_t which); /* the calling thread to the which-th CPU allowed: its number, or -1 */
void bench_unpin(void);        /* the calling thread to all CPUs allowed */
uint32_t bench_cpus(void);     /* how many are allowed */
uint32_t bench_batch_ms(void);

/* A cheap generator for the choice inside a measured loop (Marsaglia's xorshift32; state never 0). */
static inline uint32_t bench_random(uint32_t *state)
{
    uint32_t x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return x;
}

/* Uniform in [0, bound) without a division. */
static inline uint32_t bench_pick(uint32_t *state, uint32_t bound)
{
    return (uint32_t)(((uint64_t)bench_random(state) * bound) >> 32);
}

#ifdef __cplusplus
}
#endif
#endif
