/* SPDX-License-Identifier: MIT */
/* Who stops whom: a thread is stopped before every single machine instruction of a ring operation, and the
 * others must go on all the same.
 *
 * A case is a kind of ring, an operation of the victim and what lies in the ring. For each instruction of the
 * operation: a new ring, a new victim that is stopped there, and two others who push and pop until LAPS laps
 * of the ring have gone through (or close it and drain it). Where they do not get through is a blocking
 * point. Then the victim goes on, the ring is drained, and every element must have come out once.
 *
 *      freeze lock-free     no blocking point may be found
 *      freeze sequenced     each operation must show at least one: the weakness that ring.h states
 *      freeze control       a ring behind a mutex: this program must see that it blocks
 *
 * Blocked is a matter of looks, not of time: both others have tried STUCK times since anything last succeeded
 * (nothing else runs, so trying again would change nothing). Only a call that does not come back, as of the
 * mutex, needs a time limit. Linked with the release library. Exit 77: cannot be done here.
 */
#include "step.h"

#include <stdio.h>

#if !STEP_THERE

int main(void)
{
    puts("skip: single steps are known for x86-64 Linux only");
    return 77;
}

#else

#include <evbus/ring.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"

enum { CAPACITY = 64, LAPS = 6, GOAL = LAPS * CAPACITY, STUCK = 3000, MANY = 2, MAX_BYTES = 64 };
enum { MAIN, PUSHER, POPPER, VICTIM, THREADS };
enum { MAX_IDS = 1024, MAX_INSTRUCTIONS = 20000 };

enum operation { PUSH, POP, PUSH_MANY, POP_MANY, CLOSE };
enum others { PASS_LAPS, BOTH_DO_BOTH, CLOSE_AND_DRAIN };

/* The calls of a ring; evb_ring_*, or those of the control. */
struct calls {
    int32_t (*push)(evb_ring *ring, const void *elem);
    int32_t (*pop)(evb_ring *ring, void *ret_elem);
    int32_t (*push_many)(evb_ring *ring, const void *elems, uint32_t n);
    int32_t (*pop_many)(evb_ring *ring, void *ret_elems, uint32_t n);
    void (*close)(evb_ring *ring);
};

struct kind {
    const char *name;
    uint32_t mode, progress, flags;
};

struct freeze_case {
    const struct kind *kind;
    uint32_t elem_bytes, inside;
    enum operation operation;
    enum others others;
    bool cold; /* the victim has never used a ring before */
};

/* What a thread did; read by others after it has finished. By pushing thread and number of the element. */
struct deeds {
    uint32_t pushed; /* numbers 0 to pushed - 1 */
    uint8_t popped[THREADS][MAX_IDS];
    uint32_t last[THREADS]; /* number popped last, plus one: they must grow */
    bool wrong;             /* torn, or out of order */
};

static struct {
    const struct freeze_case *c;
    const struct calls *calls;
    evb_ring *ring;
    struct deeds deeds[THREADS];
    unsigned char elems[MANY * MAX_BYTES]; /* the victim's */
    int32_t answer;                        /* the victim's */
    uint64_t before, instructions;
} now;

/* The two others, all the time the same threads. */
static struct {
    pthread_t thread[2];
    sem_t go[2], done;
    EVB__ATOMIC(uint32_t) progress;    /* operations that succeeded, from 1 on */
    EVB__ATOMIC(uint32_t) attempts;    /* calls that came back */
    EVB__ATOMIC(uint32_t) stuck_at[2]; /* the progress at which each tried STUCK times in vain; 0 = none */
    EVB__ATOMIC(uint32_t) finished[2];
    EVB__ATOMIC(uint32_t) stop, quit;
} others;

/* ---- the control: a ring behind a mutex ---- */

static struct {
    pthread_mutex_t mutex;
    uint64_t head, tail;
    unsigned char slot[CAPACITY][MAX_BYTES];
    bool repeats; /* the 100th element comes out twice */
} locked = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int32_t locked_push(evb_ring *ring, const void *elem)
{
    int32_t rc = EVB_EFULL;

    (void)ring;
    (void)pthread_mutex_lock(&locked.mutex);
    if (locked.tail - locked.head < CAPACITY) {
        memcpy(locked.slot[locked.tail++ % CAPACITY], elem, now.c->elem_bytes);
        rc = EVB_OK;
    }
    (void)pthread_mutex_unlock(&locked.mutex);
    return rc;
}

static int32_t locked_pop(evb_ring *ring, void *ret_elem)
{
    int32_t rc = EVB_EEMPTY;

    (void)ring;
    (void)pthread_mutex_lock(&locked.mutex);
    if (locked.tail != locked.head) {
        memcpy(ret_elem, locked.slot[locked.head % CAPACITY], now.c->elem_bytes);
        locked.head++;
        if (locked.repeats && locked.head % 100 == 0) {
            locked.repeats = false;
            locked.head--;
        }
        rc = EVB_OK;
    }
    (void)pthread_mutex_unlock(&locked.mutex);
    return rc;
}

static const struct calls locked_calls = {.push = locked_push, .pop = locked_pop};

static const struct calls ring_calls = {evb_ring_try_push, evb_ring_try_pop, evb_ring_try_push_many,
                                        evb_ring_try_pop_many, evb_ring_close};

/* Calls that do nothing, to know what the harness itself takes. */
static int32_t no_push(evb_ring *ring, const void *elem)
{
    (void)ring;
    (void)elem;
    return 0;
}

static int32_t no_pop(evb_ring *ring, void *ret_elem)
{
    (void)ring;
    (void)ret_elem;
    return 0;
}

static int32_t no_push_many(evb_ring *ring, const void *elems, uint32_t n)
{
    (void)ring;
    (void)elems;
    (void)n;
    return 0;
}

static int32_t no_pop_many(evb_ring *ring, void *ret_elems, uint32_t n)
{
    (void)ring;
    (void)ret_elems;
    (void)n;
    return 0;
}

static void no_close(evb_ring *ring)
{
    (void)ring;
}

static const struct calls no_calls = {no_push, no_pop, no_push_many, no_pop_many, no_close};

/* ---- elements: who pushed it, its number, and words that follow from both ---- */

static void make_element(unsigned char *elem, uint32_t thread, uint32_t number)
{
    for (uint32_t i = 0; i < now.c->elem_bytes / 8; i++) {
        uint64_t word = ((uint64_t)(thread + 1) << 32 | number) ^ (UINT64_C(0x9e3779b97f4a7c15) * i);

        memcpy(elem + (size_t)i * 8, &word, 8);
    }
}

static void note_popped(struct deeds *d, const unsigned char *elem)
{
    unsigned char expected[MAX_BYTES];
    uint64_t word;
    uint32_t thread, number;

    memcpy(&word, elem, 8);
    thread = (uint32_t)(word >> 32) - 1, number = (uint32_t)word;
    if (thread >= THREADS || number >= MAX_IDS) {
        d->wrong = true;
        return;
    }
    make_element(expected, thread, number);
    if (memcmp(expected, elem, now.c->elem_bytes) != 0 || d->last[thread] > number) d->wrong = true;
    d->popped[thread][number]++;
    d->last[thread] = number + 1;
}

/* EVB_OK or the error. */
static int32_t push_one(uint32_t thread)
{
    unsigned char elem[MAX_BYTES];
    int32_t rc;

    make_element(elem, thread, now.deeds[thread].pushed);
    rc = now.calls->push(now.ring, elem);
    if (rc == EVB_OK) now.deeds[thread].pushed++;
    return rc;
}

static int32_t pop_one(uint32_t thread)
{
    unsigned char elem[MAX_BYTES];
    int32_t rc = now.calls->pop(now.ring, elem);

    if (rc == EVB_OK) note_popped(&now.deeds[thread], elem);
    return rc;
}

/* ---- the victim ---- */

static void victims_operation(void *arg)
{
    evb_ring *ring = now.ring;

    (void)arg;
    switch (now.c->operation) {
    case PUSH:
        now.answer = now.calls->push(ring, now.elems);
        break;
    case POP:
        now.answer = now.calls->pop(ring, now.elems);
        break;
    case PUSH_MANY:
        now.answer = now.calls->push_many(ring, now.elems, MANY);
        break;
    case POP_MANY:
        now.answer = now.calls->pop_many(ring, now.elems, MANY);
        break;
    case CLOSE:
        now.calls->close(ring);
        break;
    }
}

/* A thread's number and its slot are given out at its first operation on any ring. */
static void warm_up(void)
{
    evb_ring *scratch;
    uint64_t word = 0;

    if (evb_ring_create(&(evb_ring_opts){.capacity = 2, .elem_bytes = 8}, &scratch) < 0) abort();
    if (evb_ring_try_push(scratch, &word) < 0 || evb_ring_try_pop(scratch, &word) < 0) abort();
    evb_ring_destroy(scratch);
}

static void *victim_main(void *arg)
{
    struct deeds *d = &now.deeds[VICTIM];
    uint32_t bytes = now.c->elem_bytes;
    bool push = now.c->operation == PUSH || now.c->operation == PUSH_MANY;

    (void)arg;
    for (uint32_t i = 0; i < MANY && push; i++)
        make_element(now.elems + (size_t)i * bytes, VICTIM, i);
    if (!now.c->cold) warm_up();
    now.instructions = step_run(now.before, victims_operation, NULL);
    if (now.c->operation == CLOSE || now.answer < 0) return NULL;
    if (now.answer == EVB_OK) now.answer = 1; /* single: one element */
    for (int32_t i = 0; i < now.answer; i++) {
        if (push)
            d->pushed++;
        else
            note_popped(d, now.elems + (size_t)i * bytes);
    }
    return NULL;
}

/* ---- the others ---- */

struct patience {
    uint32_t progress, tries;
};

/* After each attempt; who gets nowhere lets others run. All accesses pair with others_get_through. */
static void attempted(uint32_t self, bool success, struct patience *p)
{
    uint32_t progress = evb__add_acqrel(&others.progress, success ? 1 : 0);

    (void)evb__add_acqrel(&others.attempts, 1);
    if (success) return;
    if (progress != p->progress) *p = (struct patience){progress, 0};
    if (++p->tries == STUCK) evb__st_rel(&others.stuck_at[self], progress);
    if (p->tries % 16 == 0) (void)sched_yield();
}

static bool stopped(void)
{
    return evb__ld_acq(&others.stop) != 0; /* pairs with let_all_go */
}

static void pass_laps(uint32_t self)
{
    uint32_t thread = self == 0 ? PUSHER : POPPER, pushes = 0, pops = 0;
    uint32_t push_goal = self == 0 ? GOAL : 0, pop_goal = GOAL - push_goal;
    struct patience patience = {0, 0};

    if (now.c->others == BOTH_DO_BOTH) push_goal = pop_goal = GOAL / 2;
    /* most goes to waste, but the ring is full at the end */
    if ((now.c->kind->flags & EVB_RING_OVERWRITE) != 0 && self == 1) pop_goal = CAPACITY / 2;
    for (bool turn = true; !stopped() && (pushes < push_goal || pops < pop_goal); turn = !turn) {
        bool push = pushes < push_goal && (turn || pops == pop_goal);
        bool success = (push ? push_one(thread) : pop_one(thread)) == EVB_OK;

        pushes += success && push;
        pops += success && !push;
        attempted(self, success, &patience);
    }
}

/* One pushes until it is told that the ring is closed; the other closes after a lap and drains. */
static void close_and_drain(uint32_t self)
{
    struct patience patience = {0, 0};
    uint32_t pops = 0;

    while (!stopped()) {
        int32_t rc = self == 0 ? push_one(PUSHER) : pop_one(POPPER);

        if (rc == EVB_ECLOSED) return;
        pops += rc == EVB_OK;
        attempted(self, rc == EVB_OK, &patience);
        if (self == 1 && rc == EVB_OK && pops == CAPACITY) evb_ring_close(now.ring);
    }
}

/* On processors of their own, where there are two: threads that take turns on one wait for each other. */
static void choose_processor(uint32_t self)
{
    cpu_set_t allowed, chosen;
    uint32_t left = self;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || left-- != 0) continue;
        CPU_ZERO(&chosen);
        CPU_SET(cpu, &chosen);
        (void)sched_setaffinity(0, sizeof chosen, &chosen);
        return;
    }
}

static void *other_main(void *arg)
{
    uint32_t self = arg != NULL;

    choose_processor(self);
    for (;;) {
        while (sem_wait(&others.go[self]) != 0)
            ;
        if (evb__ld_acq(&others.quit) != 0) return NULL; /* pairs with the end of main */
        if (now.c->others == CLOSE_AND_DRAIN)
            close_and_drain(self);
        else
            pass_laps(self);
        evb__st_rel(&others.finished[self], 1); /* pairs with gave_up_or_finished */
        (void)sem_post(&others.done);
    }
}

static bool gave_up_or_finished(uint32_t self, uint32_t progress)
{
    return evb__ld_acq(&others.finished[self]) != 0 || evb__ld_acq(&others.stuck_at[self]) == progress;
}

/* Takes one of the two posts, or waits a few milliseconds for it. */
static bool one_is_done(void)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 3000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    return sem_timedwait(&others.done, &until) == 0;
}

static int64_t milliseconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Lets both others begin and waits until both have finished (true), or cannot. *ret_done: how many have. */
static bool others_get_through(uint32_t *ret_done)
{
    int64_t limit = now.calls == &locked_calls ? 300 : 10000, since = milliseconds();
    uint32_t attempts = 0;

    *ret_done = 0;
    (void)sem_post(&others.go[0]);
    (void)sem_post(&others.go[1]);
    while (*ret_done < 2) {
        uint32_t progress = evb__ld_acq(&others.progress);

        if (gave_up_or_finished(0, progress) && gave_up_or_finished(1, progress) &&
            evb__ld_acq(&others.finished[0]) + evb__ld_acq(&others.finished[1]) < 2)
            return false;
        if (evb__ld_acq(&others.attempts) != attempts) {
            attempts = evb__ld_acq(&others.attempts);
            since = milliseconds();
        } else if (milliseconds() - since > limit) {
            return false; /* a call that does not come back */
        }
        *ret_done += one_is_done();
    }
    return true;
}

/* ---- one instruction ---- */

static void make_ring(const struct freeze_case *c, const struct calls *calls, uint64_t before)
{
    memset(&now, 0, sizeof now);
    now.c = c, now.calls = calls, now.before = before;
    evb__st_rel(&others.progress, 1); /* the semaphores publish these */
    evb__st_rel(&others.attempts, 0);
    evb__st_rel(&others.stop, 0);
    for (uint32_t i = 0; i < 2; i++) {
        evb__st_rel(&others.stuck_at[i], 0);
        evb__st_rel(&others.finished[i], 0);
    }
    if (calls == &ring_calls && evb_ring_create(&(evb_ring_opts){.mode = c->kind->mode,
                                                                 .capacity = CAPACITY,
                                                                 .elem_bytes = c->elem_bytes,
                                                                 .progress = c->kind->progress,
                                                                 .flags = c->kind->flags},
                                                &now.ring) < 0) {
        puts("no ring could be made");
        exit(1);
    }
    /* somewhere in a lap */
    for (uint64_t i = 0; i < before % CAPACITY; i++)
        if (push_one(MAIN) != EVB_OK || pop_one(MAIN) != EVB_OK) now.deeds[MAIN].wrong = true;
    for (uint32_t i = 0; i < c->inside; i++)
        if (push_one(MAIN) != EVB_OK) now.deeds[MAIN].wrong = true;
}

/* Every element came out once, or was dropped and counted. */
static bool conserved(void)
{
    uint64_t missing = 0;
    bool good = true;

    for (uint32_t by = 0; by < THREADS; by++) {
        good = good && !now.deeds[by].wrong;
        for (uint32_t number = 0; number < MAX_IDS; number++) {
            uint32_t times = 0;

            for (uint32_t t = 0; t < THREADS; t++)
                times += now.deeds[t].popped[by][number];
            if (times > (number < now.deeds[by].pushed ? 1 : 0)) good = false;
            missing += number < now.deeds[by].pushed && times == 0;
        }
    }
    return good && missing == (now.calls == &ring_calls ? evb_ring_dropped(now.ring) : 0);
}

enum outcome { BLOCKED, WENT_ON, NOT_REACHED, CORRUPT };

/* before = 0 stops the victim nowhere. */
static enum outcome stop_before(const struct freeze_case *c, const struct calls *calls, uint64_t before)
{
    enum outcome outcome = NOT_REACHED;
    pthread_t victim;
    uint32_t done = 2;

    make_ring(c, calls, before);
    if (pthread_create(&victim, NULL, victim_main, NULL) != 0) abort();
    if (step_wait_frozen()) {
        outcome = others_get_through(&done) ? WENT_ON : BLOCKED;
        evb__st_rel(&others.stop, 1); /* pairs with stopped */
        step_thaw();
        (void)step_wait_frozen(); /* its end */
    }
    (void)pthread_join(victim, NULL);
    for (; done < 2; done++)
        while (sem_wait(&others.done) != 0)
            ;
    /* The popper was told that nothing will come any more: that is final, for the victim's push too. */
    if (c->others == CLOSE_AND_DRAIN && outcome == WENT_ON && pop_one(MAIN) != EVB_ECLOSED) outcome = CORRUPT;
    while (pop_one(MAIN) == EVB_OK)
        ;
    if (!conserved()) outcome = CORRUPT;
    if (calls == &ring_calls) evb_ring_destroy(now.ring);
    return outcome;
}

/* ---- a case ---- */

static const char *operation_name(const struct freeze_case *c)
{
    static const char *const names[] = {"push", "pop", "push of 2", "pop of 2", "close"};

    return names[c->operation];
}

/* The instructions of the operation that stop_before(c, calls, 0) has just run: without the harness. */
static uint64_t instructions_of(const struct freeze_case *c)
{
    uint64_t all = now.instructions, harness;

    now.c = c, now.calls = &no_calls;
    harness = step_run(0, victims_operation, NULL);
    (void)step_wait_frozen(); /* its end */
    return all - harness;
}

/* Blocking points of a case, at most `enough`; -1 = something was lost, doubled or torn. */
static int64_t examine(const struct freeze_case *c, const struct calls *calls, int64_t enough)
{
    static const char *const what[] = {"", ", two that do both", ", others close and drain"};
    int64_t blocked = 0;
    uint64_t instructions, k;

    if (stop_before(c, calls, 0) != NOT_REACHED) {
        printf("%-26s %2u bytes, %2u inside, %s, stopped nowhere: not conserved\n", c->kind->name,
               c->elem_bytes, c->inside, operation_name(c));
        return -1;
    }
    instructions = instructions_of(c);
    for (k = 1; k < MAX_INSTRUCTIONS && blocked < enough; k++) {
        enum outcome outcome = stop_before(c, calls, k);

        if (outcome == NOT_REACHED) break;
        if (outcome == CORRUPT) {
            printf("stopped before instruction %llu: ", (unsigned long long)k);
            blocked = -1;
            break;
        }
        blocked += outcome == BLOCKED;
    }
    printf("%-26s %2u bytes, %2u inside, %s%s%s: blocking points %lld of %llu instructions\n", c->kind->name,
           c->elem_bytes, c->inside, operation_name(c), c->cold ? " (first call of a thread)" : "",
           what[c->others], (long long)blocked, (unsigned long long)instructions);
    (void)fflush(stdout);
    return blocked;
}

/* ---- which ---- */

static const struct kind mpmc = {"lock-free mpmc", EVB_RING_MPMC, EVB_RING_LOCK_FREE, 0};
static const struct kind mpsc = {"lock-free mpsc", EVB_RING_MPSC, EVB_RING_LOCK_FREE, 0};
static const struct kind spmc = {"lock-free spmc", EVB_RING_SPMC, EVB_RING_LOCK_FREE, 0};
static const struct kind mpmc_over = {"lock-free mpmc overwrite", EVB_RING_MPMC, EVB_RING_LOCK_FREE,
                                      EVB_RING_OVERWRITE};
static const struct kind mpsc_over = {"lock-free mpsc overwrite", EVB_RING_MPSC, EVB_RING_LOCK_FREE,
                                      EVB_RING_OVERWRITE};
static const struct kind seq_mpmc = {"sequenced mpmc", EVB_RING_MPMC, EVB_RING_SEQUENCED, 0};
static const struct kind seq_mpsc = {"sequenced mpsc", EVB_RING_MPSC, EVB_RING_SEQUENCED, 0};
static const struct kind seq_spmc = {"sequenced spmc", EVB_RING_SPMC, EVB_RING_SEQUENCED, 0};
static const struct kind spsc_values = {"spsc of values", EVB_RING_SPSC, 0, 0};
static const struct kind spsc_pointers = {"spsc of pointers", EVB_RING_SPSC, 0, EVB_RING_POINTERS};
static const struct kind behind_mutex = {"mutex", 0, 0, 0};

/* Only an end that others can take over: the pushing end of mpmc and mpsc, the popping end of mpmc and spmc.
 */
static bool can_be_replaced(const struct kind *kind, enum operation o)
{
    if (o == CLOSE) return true;
    if (o == PUSH || o == PUSH_MANY) return kind->mode == EVB_RING_MPMC || kind->mode == EVB_RING_MPSC;
    return kind->mode == EVB_RING_MPMC || kind->mode == EVB_RING_SPMC;
}

/* One case; wrong is set when it is not as promised. */
static void expect(struct freeze_case c, bool blocks, bool *wrong)
{
    int64_t blocked;

    if (!can_be_replaced(c.kind, c.operation)) return;
    blocked = examine(&c, &ring_calls, INT64_MAX);
    if (blocked < 0 || (blocked > 0) != blocks) {
        printf("^ %s\n", blocked < 0
                             ? "an element was lost, doubled, torn, out of order, or came after CLOSED"
                         : blocks ? "should block"
                                  : "must not block");
        *wrong = true;
    }
}

/* An empty ring but one, a full ring but one, a full ring: the code is the same for every size. */
static void other_fills(const struct kind *kind, bool *wrong)
{
    static const uint32_t fills[] = {1, CAPACITY - 1, CAPACITY};

    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
        struct freeze_case c = {.kind = kind, .elem_bytes = 8, .inside = fills[f]};

        if (c.inside < CAPACITY) expect(c, false, wrong);
        c.operation = POP;
        expect(c, false, wrong);
    }
}

static void closing(const struct kind *kind, bool *wrong)
{
    struct freeze_case c = {.kind = kind, .elem_bytes = 8, .inside = 8, .others = CLOSE_AND_DRAIN};

    expect(c, false, wrong);
    c.operation = POP;
    expect(c, false, wrong);
    c.elem_bytes = 64; /* popped by a swap of cells */
    expect(c, false, wrong);
    c.operation = CLOSE;
    expect(c, false, wrong);
}

/* Each operation takes as many steps as there are instructions, once for each of them: so the costly cases,
 * batches and the first call of a thread, are tried with one kind, which has all the code. */
static bool lock_free(void)
{
    static const struct kind *const kinds[] = {&mpmc, &mpsc, &spmc}, *const over[] = {&mpmc_over, &mpsc_over};
    static const uint32_t sizes[] = {8, 24, 64};
    bool wrong = false;

    for (size_t s = 0; s < 3; s++) {
        for (size_t k = 0; k < 3; k++) {
            struct freeze_case c = {.kind = kinds[k], .elem_bytes = sizes[s], .inside = 8};

            for (c.operation = PUSH; c.operation <= POP; c.operation++)
                expect(c, false, &wrong);
        }
        for (size_t k = 0; k < 2; k++) {
            struct freeze_case c = {.kind = over[k], .elem_bytes = sizes[s], .inside = CAPACITY};

            for (c.operation = PUSH; c.operation <= POP; c.operation++)
                expect(c, false, &wrong);
        }
    }
    for (size_t k = 0; k < 3; k++) {
        other_fills(kinds[k], &wrong);
        closing(kinds[k], &wrong);
    }
    for (enum operation o = PUSH; o <= POP_MANY; o++) {
        struct freeze_case c = {.kind = &mpmc, .elem_bytes = 8, .inside = 8, .operation = o};

        c.others = BOTH_DO_BOTH;
        expect(c, false, &wrong);
        c.others = PASS_LAPS;
        c.cold = true;
        c.elem_bytes = 64; /* whose pop needs the thread's cell too */
        if (o <= POP) expect(c, false, &wrong);
    }
    return !wrong;
}

static bool sequenced(void)
{
    static const struct kind *const kinds[] = {&seq_mpmc, &seq_mpsc, &seq_spmc};
    static const uint32_t sizes[] = {8, 64};
    bool wrong = false;

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            struct freeze_case c = {.kind = kinds[k], .elem_bytes = sizes[s], .inside = 8};

            for (c.operation = PUSH; c.operation <= POP; c.operation++)
                expect(c, true, &wrong);
        }
    }
    return !wrong;
}

/* Both ends of an SPSC ring belong to one thread: nobody takes over. How many instructions its operations
 * take at most, whatever the other end does, is what wait-free means. */
static bool spsc(void)
{
    static const struct kind *const kinds[] = {&spsc_pointers, &spsc_values};

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (enum operation o = PUSH; o <= POP; o++) {
            struct freeze_case c = {.kind = kinds[k], .elem_bytes = 8, .inside = 8, .operation = o};

            if (stop_before(&c, &ring_calls, 0) != NOT_REACHED) return false;
            printf("%-26s %2u bytes, %2u inside, %s: %llu instructions\n", c.kind->name, c.elem_bytes,
                   c.inside, operation_name(&c), (unsigned long long)instructions_of(&c));
        }
    }
    return true;
}

static bool control(void)
{
    struct freeze_case c = {.kind = &behind_mutex, .elem_bytes = 8, .inside = 8};
    bool found;

    found = examine(&c, &locked_calls, 3) == 3;
    c.operation = POP;
    found = examine(&c, &locked_calls, 3) == 3 && found;
    locked.repeats = true; /* not only what blocks must be seen */
    return examine(&c, &locked_calls, 3) == -1 && found;
}

int main(int argc, char **argv)
{
    const char *group = argc > 1 ? argv[1] : "";
    bool good = false;

    if (!step_begin()) {
        puts("skip: the trap flag does not count instructions here");
        return 77;
    }
    (void)sem_init(&others.done, 0, 0);
    for (uintptr_t i = 0; i < 2; i++) {
        (void)sem_init(&others.go[i], 0, 0);
        if (pthread_create(&others.thread[i], NULL, other_main, i == 0 ? NULL : &others) != 0) abort();
    }
    if (strcmp(group, "lock-free") == 0) good = lock_free();
    if (strcmp(group, "sequenced") == 0) good = sequenced();
    if (strcmp(group, "spsc") == 0) good = spsc();
    if (strcmp(group, "control") == 0) good = control();
    evb__st_rel(&others.quit, 1); /* pairs with other_main */
    for (int i = 0; i < 2; i++) {
        (void)sem_post(&others.go[i]);
        (void)pthread_join(others.thread[i], NULL);
    }
    return good ? 0 : 1;
}

#endif
