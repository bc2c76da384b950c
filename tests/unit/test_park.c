/* SPDX-License-Identifier: MIT */
/* Park and wake. test_park_fallback.c runs the same tests on the pthread back end. */
#include "evb_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "base/atomic.h"
#include "base/park.h"
#include "base/platform.h"

#ifndef PARK_SUITE
#define PARK_SUITE "park"
#endif

static int64_t now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- one thread ---- */

TEST(park_returns_at_once_when_the_word_has_changed)
{
    EVB__ATOMIC(uint32_t) word;

    evb__init(&word, 5);
    FAILS(evb__park(&word, 4, EVB_FOREVER), EVB_EAGAIN);
    FAILS(evb__park(&word, 4, 0), EVB_EAGAIN);
    FAILS(evb__park(&word, 4, INT64_MAX), EVB_EAGAIN);
    FAILS(evb__park(&word, 6, 1), EVB_EAGAIN);
    FAILS(evb__park(&word, UINT32_MAX, EVB_FOREVER), EVB_EAGAIN);
}

TEST(a_timeout_of_zero_looks_once)
{
    EVB__ATOMIC(uint32_t) word;

    evb__init(&word, 5);
    FAILS(evb__park(&word, 5, 0), EVB_ETIMEDOUT);
    FAILS(evb__park(&word, 5, -2), EVB_ETIMEDOUT); /* a negative other than forever counts as 0 */
    FAILS(evb__park(&word, 5, INT64_MIN), EVB_ETIMEDOUT);
}

TEST(a_timeout_is_reported_only_after_it_has_passed)
{
    static const int64_t timeouts[] = {1, 999, 1000000, 20000000};
    EVB__ATOMIC(uint32_t) word;

    evb__init(&word, 5);
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        int64_t began;
        int32_t rc;

        do {
            began = now_ns();
            rc = evb__park(&word, 5, timeouts[i]);
        } while (rc == EVB_OK); /* spurious */
        FAILS(rc, EVB_ETIMEDOUT);
        CHECK(now_ns() - began >= timeouts[i]);
    }
}

TEST(parking_and_waking_keep_errno)
{
    EVB__ATOMIC(uint32_t) word;

    evb__init(&word, 5);
    errno = 77;
    FAILS(evb__park(&word, 5, 1), EVB_ETIMEDOUT);
    EQ(errno, 77);
    FAILS(evb__park(&word, 4, 1), EVB_EAGAIN);
    EQ(errno, 77);
    evb__wake_all(&word);
    EQ(errno, 77);
}

TEST(a_wake_up_with_nobody_there_is_nothing_and_is_not_kept)
{
    EVB__ATOMIC(uint32_t) word;

    evb__init(&word, 5);
    evb__wake_one(&word);
    evb__wake_all(&word);
    FAILS(evb__park(&word, 5, 0), EVB_ETIMEDOUT);
}

TEST(a_wake_up_for_a_word_that_is_gone_is_nothing)
{
    void *page;

    if (evb_test_plain_alloc()) SKIP("valgrind calls it an error to name such a word to the kernel");
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    EQ(munmap(page, 4096), 0);
    errno = 77;
    evb__wake_one(page);
    evb__wake_all(page);
    EQ(errno, 77);
}

/* ---- sleepers ---- */

/* Waits until the word is not `old` any more; any answer but these three is wrong. */
static void wait_while(EVB__ATOMIC(uint32_t) * word, uint32_t old, int64_t timeout_ns)
{
    while (evb__ld_acq(word) == old) { /* acquire: pairs with the release store of whoever changes the word */
        int32_t rc = evb__park(word, old, timeout_ns);

        CHECK(rc == EVB_OK || rc == EVB_EAGAIN || (rc == EVB_ETIMEDOUT && timeout_ns != EVB_FOREVER));
    }
}

struct ping_pong {
    EVB__ATOMIC(uint32_t) word[2];
    uint32_t plain; /* written by whose turn it is: a lost order shows as a race */
    uint32_t rounds;
    int64_t timeout_ns;
};

static void ping(uint32_t index, void *arg)
{
    struct ping_pong *game = arg;

    for (uint32_t i = 0; i < game->rounds; i++) {
        if (index == 1) wait_while(&game->word[0], i, game->timeout_ns);
        game->plain++;
        evb__st_rel(&game->word[index], i + 1); /* pairs with wait_while's acquire */
        evb__wake_one(&game->word[index]);
        if (index == 0) wait_while(&game->word[1], i, game->timeout_ns);
    }
}

TEST(no_wake_up_is_lost_between_two_threads)
{
    struct ping_pong game = {.rounds = 5000, .timeout_ns = EVB_FOREVER};

    evb_test_run_threads(2, ping, &game);
    EQ(game.plain, 10000);
}

TEST(the_longest_timeout_is_a_sleep_and_not_an_error)
{
    struct ping_pong game = {.rounds = 500, .timeout_ns = INT64_MAX};

    evb_test_run_threads(2, ping, &game);
    EQ(game.plain, 1000);
}

TEST(time_outs_and_wake_ups_that_meet_lose_nothing)
{
    struct ping_pong game = {.rounds = 2000, .timeout_ns = 20000};

    evb_test_run_threads(2, ping, &game);
    EQ(game.plain, 4000);
}

struct crowd {
    EVB__ATOMIC(uint32_t) here, gate, through;
    uint32_t size;
};

static void crowd_member(uint32_t index, void *arg)
{
    struct crowd *crowd = arg;

    if (index == crowd->size) {
        /* acquire: nothing travels with it; it only tells that all are about to park */
        while (evb__ld_acq(&crowd->here) != crowd->size)
            evb__spin_pause(0);
        evb__st_rel(&crowd->gate, 1); /* pairs with wait_while's acquire */
        evb__wake_all(&crowd->gate);
    } else {
        (void)evb__add_rel(&crowd->here, 1); /* pairs with the acquire above */
        wait_while(&crowd->gate, 0, EVB_FOREVER);
        (void)evb__add_rlx(&crowd->through, 1); /* relaxed: read after the joins */
    }
}

TEST(wake_all_wakes_everybody)
{
    for (int round = 0; round < 20; round++) {
        struct crowd crowd = {.size = 7};

        evb_test_run_threads(crowd.size + 1, crowd_member, &crowd);
        EQ(evb__ld_rlx(&crowd.through), crowd.size); /* relaxed: joined */
    }
}

/* A semaphore on park and wake_one: with one wake-up lost among several sleepers and wakers it hangs. */
struct semaphore {
    EVB__ATOMIC(uint32_t) count;
    EVB__ATOMIC(uint32_t) taken;
};

#define POSTS 3000

static void post_or_take(uint32_t index, void *arg)
{
    struct semaphore *s = arg;

    for (int i = 0; i < POSTS; i++) {
        uint32_t n;

        if (index % 2 == 0) {
            (void)evb__add_rel(&s->count, 1); /* pairs with the CAS below */
            evb__wake_one(&s->count);
            continue;
        }
        for (n = evb__ld_acq(&s->count);;) { /* acquire: as the CAS, which checks it */
            if (n == 0) {
                (void)evb__park(&s->count, 0, EVB_FOREVER);
                n = evb__ld_acq(&s->count);                     /* as above */
            } else if (evb__cas_acqrel(&s->count, &n, n - 1)) { /* acqrel: pairs with the posts */
                break;
            }
        }
        (void)evb__add_rlx(&s->taken, 1); /* relaxed: read after the joins */
    }
}

TEST(wake_one_reaches_one_of_several_sleepers_each_time)
{
    struct semaphore s = {0};

    evb_test_run_threads(4, post_or_take, &s);
    EQ(evb__ld_rlx(&s.taken), 2 * POSTS); /* relaxed: joined */
    EQ(evb__ld_rlx(&s.count), 0);
}

/* Each pair plays for itself. Once the words are neighbours, once they lie 4 MiB apart, which puts them into
 * one bucket of the pthread back end.
 */
static struct ping_pong *games[4];

static void ping_of_pair(uint32_t index, void *arg)
{
    (void)arg;
    ping(index % 2, games[index / 2]);
}

static void play_games(char *place, size_t apart, int64_t timeout_of_odd_ns)
{
    for (size_t i = 0; i < 4; i++) {
        games[i] = (struct ping_pong *)(void *)(place + i * apart);
        *games[i] =
            (struct ping_pong){.rounds = 1000, .timeout_ns = i % 2 == 0 ? EVB_FOREVER : timeout_of_odd_ns};
    }
    evb_test_run_threads(8, ping_of_pair, NULL);
    for (int i = 0; i < 4; i++)
        EQ(games[i]->plain, 2000);
}

TEST(sleepers_of_different_words_do_not_take_each_others_wake_ups)
{
    const size_t apart = (size_t)4 << 20;
    char *place = mmap(NULL, 4 * apart, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(place != MAP_FAILED);
    play_games(place, sizeof(struct ping_pong), EVB_FOREVER);
    play_games(place, apart, EVB_FOREVER);
    play_games(place, apart, 50000); /* some leave the queue by themselves */
    EQ(munmap(place, 4 * apart), 0);
}

/* The woken thread frees the word while the waker is still in evb__wake_one: the waker may not look at it. */
struct mail {
    EVB__ATOMIC(EVB__ATOMIC(uint32_t) *) word;
    uint32_t rounds;
};

static void free_when_woken(uint32_t index, void *arg)
{
    struct mail *mail = arg;

    for (uint32_t i = 0; i < mail->rounds; i++) {
        if (index == 0) {
            EVB__ATOMIC(uint32_t) *word = malloc(sizeof *word);

            CHECK(word != NULL);
            evb__init(word, 0);
            evb__st_rel(&mail->word, word); /* pairs with the exchange below */
            wait_while(word, 0, EVB_FOREVER);
            free(word);
        } else {
            EVB__ATOMIC(uint32_t) * word;

            while ((word = evb__xchg_acqrel(&mail->word, NULL)) == NULL)
                evb__spin_pause(63); /* pairs with the store above */
            evb__st_rel(word, 1);    /* pairs with wait_while's acquire; the word may be freed from here on */
            evb__wake_one(word);
        }
    }
}

TEST(the_woken_thread_may_free_the_word_at_once)
{
    struct mail mail = {.rounds = 2000};

    evb_test_run_threads(2, free_when_woken, &mail);
}

/* ---- signals ---- */

static EVB__ATOMIC(uint32_t) signals_seen;

static void on_signal(int number)
{
    (void)number;
    (void)evb__add_rlx(&signals_seen, 1); /* relaxed: a counter */
}

struct interrupted {
    EVB__ATOMIC(uint32_t) word;
    pthread_t thread;
    struct evb_test_line line;
};

static void sleep_or_disturb(uint32_t index, void *arg)
{
    struct interrupted *in = arg;

    if (index == 0) {
        in->thread = pthread_self();
        evb_test_line_wait(&in->line);
        wait_while(&in->word, 0, EVB_FOREVER);
    } else {
        evb_test_line_wait(&in->line);
        for (uint32_t i = 0; i < 50; i++) {
            uint32_t before = evb__ld_rlx(&signals_seen); /* relaxed: a counter */

            EQ(pthread_kill(in->thread, SIGUSR1), 0);
            /* ThreadSanitizer holds handlers back until a call that it knows: there the next signal goes out
             * unasked. */
            while (!EVB__TSAN && evb__ld_rlx(&signals_seen) == before)
                evb__spin_pause(63); /* relaxed: as above */
        }
        evb__st_rel(&in->word, 1); /* pairs with wait_while's acquire */
        evb__wake_one(&in->word);
    }
}

TEST(a_signal_is_a_spurious_wake_up_at_most)
{
    struct interrupted in = {0};
    struct sigaction action, before;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* without SA_RESTART: the wait is interrupted */
    EQ(sigaction(SIGUSR1, &action, &before), 0);
    evb_test_line_init(&in.line, 2);
    evb_test_run_threads(2, sleep_or_disturb, &in);
    evb_test_line_destroy(&in.line);
    EQ(sigaction(SIGUSR1, &before, NULL), 0);
    if (!EVB__TSAN) EQ(evb__ld_rlx(&signals_seen), 50); /* relaxed: joined */
}

/* ---- fork ---- */

struct noisy {
    EVB__ATOMIC(uint32_t) word, stop;
};

static int park_in_child(void *arg)
{
    struct noisy *noisy = arg;

    evb__park_after_fork();
    for (int i = 0; i < 10; i++) {
        int32_t rc;

        evb__wake_all(&noisy->word);
        rc = evb__park(&noisy->word, 0, 1000);
        if (rc != EVB_ETIMEDOUT && rc != EVB_OK) return 1;
    }
    return 0;
}

static void fork_or_make_noise(uint32_t index, void *arg)
{
    struct noisy *noisy = arg;

    if (index == 0) {
        for (int i = 0; i < 20; i++)
            EQ(evb_test_in_child(park_in_child, noisy), 0);
        evb__st_rel(&noisy->stop, 1); /* pairs with the load below */
    }
    while (evb__ld_acq(&noisy->stop) == 0) { /* pairs with the store above */
        (void)evb__park(&noisy->word, 0, 1000);
        evb__wake_one(&noisy->word);
    }
}

TEST(a_child_can_park_whatever_the_parents_threads_were_doing)
{
    struct noisy noisy = {0};

    evb_test_run_threads(4, fork_or_make_noise, &noisy);
}

/* ---- spinning ---- */

static void set_or_spin(uint32_t index, void *arg)
{
    EVB__ATOMIC(uint32_t) *word = arg;

    if (index == 0) {
        evb__st_rel(word, 1); /* pairs with the load below */
        return;
    }
    for (uint32_t turn = 0; evb__ld_acq(word) == 0; turn++)
        evb__spin_pause(turn); /* pairs with the store above */
}

TEST(a_polite_spin_ends_when_the_other_side_has_come)
{
    EVB__ATOMIC(uint32_t) word;

    evb__init(&word, 0);
    for (uint32_t turn = 0; turn < 200; turn++)
        evb__spin_pause(turn);
    evb__spin_pause(UINT32_MAX);
    evb_test_run_threads(3, set_or_spin, &word);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(park_returns_at_once_when_the_word_has_changed),
        cmocka_unit_test(a_timeout_of_zero_looks_once),
        cmocka_unit_test(a_timeout_is_reported_only_after_it_has_passed),
        cmocka_unit_test(parking_and_waking_keep_errno),
        cmocka_unit_test(a_wake_up_with_nobody_there_is_nothing_and_is_not_kept),
        cmocka_unit_test(a_wake_up_for_a_word_that_is_gone_is_nothing),
        cmocka_unit_test(no_wake_up_is_lost_between_two_threads),
        cmocka_unit_test(the_longest_timeout_is_a_sleep_and_not_an_error),
        cmocka_unit_test(time_outs_and_wake_ups_that_meet_lose_nothing),
        cmocka_unit_test(wake_all_wakes_everybody),
        cmocka_unit_test(wake_one_reaches_one_of_several_sleepers_each_time),
        cmocka_unit_test(sleepers_of_different_words_do_not_take_each_others_wake_ups),
        cmocka_unit_test(the_woken_thread_may_free_the_word_at_once),
        cmocka_unit_test(a_signal_is_a_spurious_wake_up_at_most),
        cmocka_unit_test(a_child_can_park_whatever_the_parents_threads_were_doing),
        cmocka_unit_test(a_polite_spin_ends_when_the_other_side_has_come),
    };

    return EVB_TEST_MAIN(PARK_SUITE, tests, argc, argv);
}
