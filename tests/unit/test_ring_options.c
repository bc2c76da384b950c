/* SPDX-License-Identifier: MIT */
/* What evb_ring_create makes of its options, and which it refuses. */
#include "ring_now.h"

#include <string.h>

/* An address that no create answers. */
static evb_ring *untouched(void)
{
    static int place;

    return (evb_ring *)(void *)&place;
}

static void create_fails(const evb_ring_opts *opts, int32_t status)
{
    evb_ring *ring = untouched();

    FAILS(evb_ring_create(opts, &ring), status);
    EQ_PTR(ring, untouched());
}

TEST(create_refuses_null_arguments_and_leaves_ret_alone)
{
    evb_ring_opts opts = {.capacity = 8};

    create_fails(NULL, EVB_EINVAL);
    FAILS(evb_ring_create(&opts, NULL), EVB_EINVAL);
    FAILS(evb_ring_create(NULL, NULL), EVB_EINVAL);
}

TEST(create_refuses_each_option_out_of_range_and_leaves_ret_alone)
{
    enum { SEQ = EVB_RING_SEQUENCED, PTR = EVB_RING_POINTERS, OW = EVB_RING_OVERWRITE };
    static const evb_ring_opts wrong[] = {
        {.capacity = 0},
        {.mode = EVB_RING_SPSC, .capacity = 0},
        {.mode = EVB_RING_MPSC, .capacity = 0, .progress = SEQ},
        {.capacity = (1u << 19) + 1},
        {.mode = EVB_RING_MPSC, .capacity = (1u << 19) + 1, .elem_bytes = 1},
        {.mode = EVB_RING_SPMC, .capacity = 1u << 20, .elem_bytes = 1},
        {.mode = EVB_RING_MPMC, .capacity = (1u << 31) + 1, .elem_bytes = 1, .progress = SEQ},
        {.mode = EVB_RING_SPSC, .capacity = (1u << 31) + 1, .elem_bytes = 1},
        {.mode = EVB_RING_SPSC, .capacity = UINT32_MAX, .elem_bytes = 1},
        {.mode = EVB_RING_MPSC, .capacity = UINT32_MAX, .elem_bytes = 1, .progress = SEQ},
        {.capacity = 2, .elem_bytes = MIB + 1},
        {.mode = EVB_RING_SPSC, .capacity = 2, .elem_bytes = MIB + 1},
        {.capacity = 2, .elem_bytes = UINT32_MAX, .progress = SEQ},
        {.mode = 4, .capacity = 2},
        {.mode = UINT32_MAX, .capacity = 2},
        {.capacity = 2, .progress = 2},
        {.capacity = 2, .progress = UINT32_MAX},
        {.mode = EVB_RING_SPSC, .capacity = 2, .progress = 2},
        {.capacity = 2, .flags = 4},
        {.mode = EVB_RING_SPSC, .capacity = 2, .flags = PTR | 1u << 31},
        {.mode = EVB_RING_MPMC, .capacity = 2, .flags = PTR},
        {.mode = EVB_RING_MPSC, .capacity = 2, .progress = SEQ, .flags = PTR},
        {.mode = EVB_RING_SPMC, .capacity = 2, .flags = PTR},
        {.mode = EVB_RING_MPMC, .capacity = 2, .flags = PTR | OW},
        {.mode = EVB_RING_SPSC, .capacity = 2, .flags = PTR | OW},
        {.mode = EVB_RING_SPSC, .capacity = 2, .elem_bytes = sizeof(void *) - 1, .flags = PTR},
        {.mode = EVB_RING_SPSC, .capacity = 2, .elem_bytes = sizeof(void *) * 2, .flags = PTR},
        {.mode = EVB_RING_SPSC, .capacity = 2, .flags = OW},
        {.mode = EVB_RING_SPMC, .capacity = 2, .flags = OW},
        {.mode = EVB_RING_SPMC, .capacity = 2, .progress = SEQ, .flags = OW},
    };

    for (size_t i = 0; i < COUNT(wrong); i++)
        create_fails(&wrong[i], EVB_EINVAL);
}

TEST(create_reads_option_structs_of_any_size)
{
    struct {
        evb_ring_opts known;
        uint32_t more[3];
    } opts;
    evb_ring *ring;

    memset(&opts, 0, sizeof opts);
    opts.known.capacity = 5;
    OK(evb_ring_create(&opts.known, &ring)); /* 0 is the first layout */
    evb_ring_destroy(ring);
    opts.known.struct_size = sizeof(evb_ring_opts);
    opts.more[0] = 7; /* not part of it */
    OK(evb_ring_create(&opts.known, &ring));
    EQ(evb_ring_capacity(ring), 8);
    evb_ring_destroy(ring);
    opts.known.struct_size = sizeof opts;
    create_fails(&opts.known, EVB_ENOTSUP);
    opts.more[0] = 0;
    OK(evb_ring_create(&opts.known, &ring));
    evb_ring_destroy(ring);
    opts.more[2] = UINT32_C(1) << 31;
    create_fails(&opts.known, EVB_ENOTSUP);
    for (uint32_t size = 1; size < sizeof(evb_ring_opts); size++) {
        opts.known.struct_size = size;
        create_fails(&opts.known, EVB_EINVAL);
    }
}

TEST(create_copies_the_options)
{
    evb_ring_opts opts = {.capacity = 4, .elem_bytes = 3};
    unsigned char in[3] = "ab", out[4] = "zzz";
    evb_ring *ring;

    OK(evb_ring_create(&opts, &ring));
    memset(&opts, 0xFF, sizeof opts);
    OK(evb_ring_try_push(ring, in));
    OK(evb_ring_try_pop(ring, out));
    EQ_MEM(out, "ab\0", 4);
    EQ(evb_ring_capacity(ring), 4);
    evb_ring_destroy(ring);
}

TEST(create_takes_every_option_at_its_limit)
{
    const evb_ring_opts right[] = {
        {.mode = EVB_RING_MPMC, .capacity = 1u << 19, .elem_bytes = 1},
        {.mode = EVB_RING_SPSC, .capacity = 1u << 20, .elem_bytes = 1},
        {.mode = EVB_RING_MPSC, .capacity = 1u << 20, .elem_bytes = 1, .progress = EVB_RING_SEQUENCED},
        {.mode = EVB_RING_SPMC, .capacity = 1, .elem_bytes = MIB},
        {.mode = EVB_RING_SPSC, .capacity = 2, .elem_bytes = sizeof(void *), .flags = EVB_RING_POINTERS},
        {.mode = EVB_RING_SPSC, .capacity = 2, .flags = EVB_RING_POINTERS},
    };
    evb_ring *ring;

    for (size_t i = 0; i < COUNT(right); i++) {
        OK(evb_ring_create(&right[i], &ring));
        EQ(evb_ring_capacity(ring), rounded(right[i].capacity));
        evb_ring_destroy(ring);
    }
}

/* More memory than there is: that it is refused as such shows that the options are not. */
TEST(a_ring_too_big_for_the_memory_answers_enomem)
{
    const evb_ring_opts big[] = {
        {.mode = EVB_RING_SPSC, .capacity = 1u << 31},
        {.mode = EVB_RING_SPSC, .capacity = 1u << 31, .elem_bytes = MIB},
        {.mode = EVB_RING_SPSC, .capacity = 1u << 31, .flags = EVB_RING_POINTERS},
        {.mode = EVB_RING_MPMC, .capacity = 1u << 31, .elem_bytes = 1, .progress = EVB_RING_SEQUENCED},
        {.mode = EVB_RING_SPMC, .capacity = 1u << 31, .elem_bytes = MIB, .progress = EVB_RING_SEQUENCED},
        {.mode = EVB_RING_MPSC, .capacity = 1u << 19, .elem_bytes = MIB},
    };

    evb_test_alloc_fail_from(1);
    for (size_t i = 0; i < COUNT(big); i++)
        create_fails(&big[i], EVB_ENOMEM);
}

TEST(single_producer_single_consumer_takes_either_progress_class)
{
    for (uint32_t progress = 0; progress < 2; progress++) {
        evb_ring_opts opts = {
            .mode = EVB_RING_SPSC, .capacity = 1u << 20, .elem_bytes = 1, .progress = progress};
        evb_ring *ring;
        void *room;

        OK(evb_ring_create(&opts, &ring));
        EQ(evb_ring_reserve(ring, 3, &room), 3);
        evb_ring_destroy(ring);
    }
}

TEST(an_element_size_of_zero_is_that_of_a_pointer)
{
    for (size_t k = 0; k < COUNT(kinds); k++) {
        evb_ring_opts opts = opts_of(&kinds[k], 0, 4);
        unsigned char out[2 * sizeof(void *)], want[2 * sizeof(void *)];
        void *in = &opts;
        evb_ring *ring;

        OK(evb_ring_create(&opts, &ring));
        OK(evb_ring_try_push(ring, &in));
        memset(out, 0x5A, sizeof out);
        memset(want, 0x5A, sizeof want);
        memcpy(want, &in, sizeof in);
        OK(evb_ring_try_pop(ring, out));
        EQ_MEM(out, want, sizeof out);
        evb_ring_destroy(ring);
    }
}

TEST(the_capacity_is_rounded_up_to_a_power_of_two_and_at_least_two)
{
    static const uint32_t pairs[][2] = {{1, 2},       {2, 2},       {3, 4},      {4, 4},
                                        {5, 8},       {63, 64},     {64, 64},    {65, 128},
                                        {1000, 1024}, {1025, 2048}, {4095, 4096}};

    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t i = 0; i < COUNT(pairs); i++) {
            evb_ring_opts opts = opts_of(&kinds[k], 0, pairs[i][0]);
            evb_ring *ring;

            OK(evb_ring_create(&opts, &ring));
            EQ(evb_ring_capacity(ring), pairs[i][1]);
            evb_ring_destroy(ring);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        RING_TEST(create_refuses_null_arguments_and_leaves_ret_alone),
        RING_TEST(create_refuses_each_option_out_of_range_and_leaves_ret_alone),
        RING_TEST(create_reads_option_structs_of_any_size),
        RING_TEST_IN_BOTH_FORMS(create_copies_the_options),
        RING_TEST(create_takes_every_option_at_its_limit),
        RING_TEST(a_ring_too_big_for_the_memory_answers_enomem),
        RING_TEST(single_producer_single_consumer_takes_either_progress_class),
        RING_TEST_IN_BOTH_FORMS(an_element_size_of_zero_is_that_of_a_pointer),
        RING_TEST(the_capacity_is_rounded_up_to_a_power_of_two_and_at_least_two),
    };
    return EVB_TEST_MAIN("ring_options", tests, argc, argv);
}
