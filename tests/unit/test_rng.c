/* SPDX-License-Identifier: MIT */
/* The random generator: published values, fair bounds, and seeds that differ. */
#include "evb_test.h"

#include <errno.h>
#if defined(__linux__)
#include <stddef.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif
#include "base/rng.h"

TEST(the_sequence_is_splitmix64s)
{
    /* Published for seed 1234567 (Rosetta Code, Pseudo-random numbers/Splitmix64). */
    static const uint64_t published[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                         4593380528125082431u, 16408922859458223821u};
    struct evb__rng rng;

    evb__rng_init(&rng, 1234567);
    for (int i = 0; i < 5; i++)
        EQ(evb__rng_next(&rng), published[i]);
    evb__rng_init(&rng, 0);
    EQ(evb__rng_next(&rng), 16294208416658607535u);
}

TEST(the_same_seed_gives_the_same_bounded_numbers)
{
    struct evb__rng a, b;

    evb__rng_init(&a, evb_test_seed());
    evb__rng_init(&b, evb_test_seed());
    for (uint64_t i = 1; i < 1000; i++)
        EQ(evb__rng_below(&a, i), evb__rng_below(&b, i));
}

TEST(below_stays_below_and_reaches_every_value)
{
    for (uint64_t bound = 1; bound <= 20; bound++) {
        uint32_t seen[20] = {0};

        for (int i = 0; i < 2000; i++) {
            uint64_t r = evb__rng_below(evb_test_rng(), bound);

            CHECK(r < bound);
            seen[r]++;
        }
        for (uint64_t i = 0; i < bound; i++)
            CHECK(seen[i] > 0); /* 0.95^2000: once in 10^44 */
    }
}

TEST(below_nothing_is_zero_and_draws_nothing)
{
    struct evb__rng rng;

    evb__rng_init(&rng, 7);
    EQ(evb__rng_below(&rng, 0), 0);
    EQ(rng.state, 7);
}

/* 2^64 is three halves of this bound: without rejection the lower half of the values came twice as often. */
TEST(below_a_bound_that_does_not_divide_is_unbiased)
{
    const uint64_t bound = (UINT64_C(1) << 63) + (UINT64_C(1) << 61);
    struct evb__rng rng;
    uint32_t lower = 0;

    evb__rng_init(&rng, 1); /* fixed: no game of chance */
    for (int i = 0; i < 10000; i++) {
        uint64_t r = evb__rng_below(&rng, bound);

        CHECK(r < bound);
        lower += r < bound / 2;
    }
    CHECK(lower > 4800 && lower < 5200); /* four standard deviations; biased: about 6000 */
}

TEST(random_seeds_differ)
{
    uint64_t seeds[16];

    for (int i = 0; i < 16; i++) {
        seeds[i] = evb__rng_seed_random();
        for (int j = 0; j < i; j++)
            NE(seeds[i], seeds[j]);
    }
}

TEST(asking_for_a_seed_keeps_errno)
{
    errno = 77;
    (void)evb__rng_seed_random();
    EQ(errno, 77);
}

#if defined(__linux__) && defined(SYS_getrandom)
static int seeds_without_getrandom(void *arg)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    uint64_t first, second;

    (void)arg;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 77;
    errno = 77;
    first = evb__rng_seed_random();
    second = evb__rng_seed_random();
    EQ(errno, 77);
    NE(first, 0);
    NE(first, second); /* the clock has moved on */
    return 0;
}

TEST(without_getrandom_there_still_is_a_seed)
{
    int rc = evb_test_in_child(seeds_without_getrandom, NULL);

    if (rc == 77) SKIP("system call filters cannot be installed here");
    EQ(rc, 0);
}
#endif

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_is_splitmix64s),
        cmocka_unit_test(the_same_seed_gives_the_same_bounded_numbers),
        cmocka_unit_test(below_stays_below_and_reaches_every_value),
        cmocka_unit_test(below_nothing_is_zero_and_draws_nothing),
        cmocka_unit_test(below_a_bound_that_does_not_divide_is_unbiased),
        cmocka_unit_test(random_seeds_differ),
        cmocka_unit_test(asking_for_a_seed_keeps_errno),
#if defined(__linux__) && defined(SYS_getrandom)
        cmocka_unit_test(without_getrandom_there_still_is_a_seed),
#endif
    };

    return EVB_TEST_MAIN("rng", tests, argc, argv);
}
