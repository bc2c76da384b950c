/* SPDX-License-Identifier: MIT */
/* The seeded hash: fixed values, every bit in play, and no input that makes it forget its seed. */
#include "evb_test.h"

#include <string.h>
#include "base/hash.h"
#include "base/rng.h"

/* Computed by a second implementation (Python integers) from the description, not copied from a run of the
 * first: hosts of the other byte order and compilers without a 128-bit type must get the same. */
static const struct {
    size_t size;
    uint64_t hash;
} known[] = {
    {0, 0xbae55b0e90abae41u},  {1, 0x6a74cbfe6a10748bu},  {2, 0x04e58a6b37ec002fu},
    {3, 0x916dd898ac9c2bd1u},  {4, 0xe4c158cea276ef04u},  {5, 0x5d6b35103e54133du},
    {7, 0x454b68a2a8dd15f7u},  {8, 0xae43bf74f3cc7ec8u},  {9, 0xd7e54ce9153a65abu},
    {15, 0xaf2043f91c26f281u}, {16, 0x5c922309e6736694u}, {17, 0x6157dcbb607faaa2u},
    {31, 0x1398d19068b5df78u}, {32, 0xb763ae2a71029d20u}, {33, 0x62bfcbe71d18aa7fu},
    {48, 0x9f2d65cd908e25ebu}, {64, 0xbbbd1c0f94a487ffu},
};

TEST(hashes_are_the_same_on_every_host)
{
    unsigned char bytes[64];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + 1);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        EQ(evb__hash(bytes, known[i].size, 42), known[i].hash);
    }
    EQ(evb__hash("flight.JFK.LAX", 14, 0), 0x30226cc01ce0b634u);
}

TEST(where_the_bytes_lie_makes_no_difference)
{
    char buf[80];

    for (size_t at = 0; at < 8; at++) {
        memcpy(buf + at, "orders.eu.created", 17);
        EQ(evb__hash(buf + at, 17, 7), evb__hash("orders.eu.created", 17, 7));
    }
}

TEST(every_input_bit_moves_about_half_of_the_output_bits)
{
    struct evb__rng rng;

    evb__rng_init(&rng, 1); /* fixed: the bounds below are not a game of chance */
    for (size_t size = 1; size <= 40; size++) {
        uint32_t flips[64] = {0}, rounds = 0;

        for (uint32_t sample = 0; sample < 8; sample++) {
            unsigned char bytes[40];
            uint64_t seed = evb__rng_next(&rng), before;

            for (size_t i = 0; i < size; i++)
                bytes[i] = (unsigned char)evb__rng_next(&rng);
            before = evb__hash(bytes, size, seed);
            for (size_t bit = 0; bit < size * 8; bit++) {
                uint64_t changed;

                bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
                changed = before ^ evb__hash(bytes, size, seed);
                bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
                NE(changed, 0);
                for (int out = 0; out < 64; out++)
                    flips[out] += (uint32_t)(changed >> out) & 1;
                rounds++;
            }
        }
        /* 64 samples at least per output bit: a third to two thirds is far outside chance for a bit that does
         * not depend, and wide enough for one that does. */
        for (int out = 0; out < 64; out++) {
            CHECK(flips[out] * 4 > rounds);
            CHECK(flips[out] * 4 < rounds * 3);
        }
    }
}

TEST(the_seed_moves_about_half_of_the_output_bits)
{
    uint32_t flips = 0;

    for (int bit = 0; bit < 64; bit++) {
        uint64_t changed = evb__hash("a.b.c", 5, 99) ^ evb__hash("a.b.c", 5, 99 ^ (UINT64_C(1) << bit));

        for (int out = 0; out < 64; out++)
            flips += (uint32_t)(changed >> out) & 1;
    }
    CHECK(flips > 64 * 64 * 2 / 5 && flips < 64 * 64 * 3 / 5);
}

TEST(the_length_counts_and_not_only_the_bytes)
{
    static const char zeros[40];
    uint64_t hashes[40];

    for (size_t size = 0; size < 40; size++) {
        hashes[size] = evb__hash(zeros, size, 3);
        for (size_t j = 0; j < size; j++)
            NE(hashes[size], hashes[j]);
    }
}

/* A product with 0 is 0, whatever the other factor. Input that cancels a constant of the hash must not lead
 * there: names built so collided under every seed when the first factor was hidden behind a constant alone.
 */
TEST(no_constant_of_the_hash_makes_it_forget_the_seed_or_the_rest)
{
    static const uint64_t constants[] = {EVB__HASH_K0, EVB__HASH_K1, 0, UINT64_MAX};

    for (size_t c = 0; c < sizeof constants / sizeof constants[0]; c++) {
        for (size_t word = 0; word < 4; word++) {
            unsigned char one[32], other[32];

            memset(one, 'a', sizeof one);
            for (size_t i = 0; i < 8; i++)
                one[word * 8 + i] = (unsigned char)(constants[c] >> (8 * i));
            memcpy(other, one, sizeof one);
            other[(word * 8 + 12) % 32] ^= 1; /* another name with the same word in it */
            NE(evb__hash(one, 32, 5), evb__hash(other, 32, 5));
            NE(evb__hash(one, 32, 5), evb__hash(one, 32, 6));
            NE(evb__hash(one + word / 2 * 16, 16, 5), evb__hash(one + word / 2 * 16, 16, 6));
        }
    }
}

TEST(names_that_differ_in_a_number_spread_over_a_small_table)
{
    enum { BUCKETS = 256, NAMES = 8192 };
    uint32_t low[BUCKETS] = {0}, high[BUCKETS] = {0};

    for (uint32_t i = 0; i < NAMES; i++) {
        char name[] = "sensor.00000.temperature";
        uint32_t n = i;
        uint64_t hash;

        for (int digit = 11; digit > 6; digit--, n /= 10)
            name[digit] = (char)('0' + n % 10);
        hash = evb__hash(name, sizeof name - 1, 1);
        low[hash % BUCKETS]++;
        high[hash >> 56]++;
    }
    /* 32 a bucket on average, standard deviation 5.7; 70 would be 6.7 deviations. The seed is fixed. */
    for (int b = 0; b < BUCKETS; b++) {
        CHECK(low[b] < 70);
        CHECK(high[b] < 70);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_the_same_on_every_host),
        cmocka_unit_test(where_the_bytes_lie_makes_no_difference),
        cmocka_unit_test(every_input_bit_moves_about_half_of_the_output_bits),
        cmocka_unit_test(the_seed_moves_about_half_of_the_output_bits),
        cmocka_unit_test(the_length_counts_and_not_only_the_bytes),
        cmocka_unit_test(no_constant_of_the_hash_makes_it_forget_the_seed_or_the_rest),
        cmocka_unit_test(names_that_differ_in_a_number_spread_over_a_small_table),
    };

    return EVB_TEST_MAIN("hash", tests, argc, argv);
}
