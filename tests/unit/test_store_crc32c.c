/* SPDX-License-Identifier: MIT */
/* CRC32C against the vectors of RFC 3720 and against one bit at a time. */
#include "evb_test.h"

#include <string.h>
#include "store/crc32c.h"

/* The definition: polynomial 0x1EDC6F41, reflected, one bit at a time. */
static uint32_t by_bits(uint32_t seed, const unsigned char *data, size_t size)
{
    uint32_t crc = ~seed;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? UINT32_C(0x82F63B78) : 0);
    }
    return ~crc;
}

static void is_crc(const void *data, size_t size, uint32_t want)
{
    EQ(by_bits(0, data, size), want);
    EQ(evb__crc32c(0, data, size), want);
    EQ(evb__crc32c_tables(0, data, size), want);
}

TEST(the_vectors_of_rfc_3720_hold)
{
    unsigned char bytes[48];
    /* B.4: an iSCSI SCSI Read (10) command PDU */
    static const unsigned char command[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};

    memset(bytes, 0, sizeof bytes);
    is_crc(bytes, 32, UINT32_C(0x8a9136aa));
    memset(bytes, 0xff, sizeof bytes);
    is_crc(bytes, 32, UINT32_C(0x62a8ab43));
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    is_crc(bytes, 32, UINT32_C(0x46dd794e));
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    is_crc(bytes, 32, UINT32_C(0x113fdb5c));
    is_crc(command, sizeof command, UINT32_C(0xd9963a56));
    is_crc("123456789", 9, UINT32_C(0xe3069283));
    is_crc("", 0, 0);
}

static unsigned char random_bytes[4096 + 64];

static void fill(void)
{
    for (size_t i = 0; i < sizeof random_bytes; i++)
        random_bytes[i] = (unsigned char)evb__rng_next(evb_test_rng());
}

TEST(every_way_gives_the_same_value_at_every_alignment_and_length)
{
    fill();
    for (size_t start = 0; start < 16; start++) {
        for (size_t size = 0; size < 200; size++) {
            uint32_t seed = (uint32_t)evb__rng_next(evb_test_rng()),
                     want = by_bits(seed, random_bytes + start, size);

            EQ(evb__crc32c(seed, random_bytes + start, size), want);
            EQ(evb__crc32c_tables(seed, random_bytes + start, size), want);
        }
    }
    for (size_t size = 200; size < 4096; size += size < 1600 ? 13 : 97) { /* pieces of every length */
        EQ(evb__crc32c(11, random_bytes + 3, size), by_bits(11, random_bytes + 3, size));
    }
    for (size_t size = 4000; size < 4096; size += 7) {
        EQ(evb__crc32c(7, random_bytes + 5, size), by_bits(7, random_bytes + 5, size));
        EQ(evb__crc32c_tables(7, random_bytes + 5, size), by_bits(7, random_bytes + 5, size));
    }
}

TEST(bytes_may_be_cut_anywhere)
{
    uint32_t whole;

    fill();
    whole = evb__crc32c(99, random_bytes, 300);
    for (size_t cut = 0; cut <= 300; cut++) {
        EQ(evb__crc32c(evb__crc32c(99, random_bytes, cut), random_bytes + cut, 300 - cut), whole);
        EQ(evb__crc32c_tables(evb__crc32c(99, random_bytes, cut), random_bytes + cut, 300 - cut), whole);
    }
}

TEST(every_single_flipped_bit_changes_the_value_and_so_does_the_seed)
{
    uint32_t good;

    fill();
    good = evb__crc32c(1, random_bytes, 160);
    for (size_t bit = 0; bit < 160 * 8; bit++) {
        random_bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        NE(evb__crc32c(1, random_bytes, 160), good);
        random_bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (int bit = 0; bit < 32; bit++)
        NE(evb__crc32c(1 ^ UINT32_C(1) << bit, random_bytes, 160), good);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_3720_hold),
        cmocka_unit_test(every_way_gives_the_same_value_at_every_alignment_and_length),
        cmocka_unit_test(bytes_may_be_cut_anywhere),
        cmocka_unit_test(every_single_flipped_bit_changes_the_value_and_so_does_the_seed),
    };

    return EVB_TEST_MAIN("store_crc32c", tests, argc, argv);
}
