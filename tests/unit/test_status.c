/* SPDX-License-Identifier: MIT */
/* Status names and texts, the version, and the rule for option structs of other ages. */
#include "evb_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/opts.h"

/* Written out a second time, from the published table: the names and numbers are part of the ABI. */
static const struct {
    int32_t value;
    const char *name;
} published[] = {
    {0, "EVB_OK"},        {-1, "EVB_EINVAL"},      {-2, "EVB_ENOMEM"},         {-3, "EVB_EFULL"},
    {-4, "EVB_EEMPTY"},   {-5, "EVB_ETIMEDOUT"},   {-6, "EVB_ECLOSED"},        {-7, "EVB_ECANCELED"},
    {-8, "EVB_EDEADLK"},  {-9, "EVB_ENOROUTE"},    {-10, "EVB_ENOTFOUND"},     {-11, "EVB_EEXIST"},
    {-12, "EVB_ESTALE"},  {-13, "EVB_ECONFLICT"},  {-14, "EVB_ETOOBIG"},       {-15, "EVB_ENOSPC"},
    {-16, "EVB_EIO"},     {-17, "EVB_ECORRUPT"},   {-18, "EVB_EBUSY"},         {-19, "EVB_EFORKED"},
    {-20, "EVB_ESCHEMA"}, {-21, "EVB_ERECURSION"}, {-22, "EVB_ENORESPONDERS"}, {-23, "EVB_ETRUNCATED"},
    {-24, "EVB_ENOTSUP"}, {-25, "EVB_EPOISONED"},  {-26, "EVB_EAGAIN"},
};
#define PUBLISHED (sizeof published / sizeof published[0])

TEST(every_published_status_has_its_name)
{
    for (size_t i = 0; i < PUBLISHED; i++)
        EQ_STR(evb_err_name(published[i].value), published[i].name);
}

TEST(every_published_status_has_a_text_of_its_own)
{
    for (size_t i = 0; i < PUBLISHED; i++) {
        const char *text = evb_strerror(published[i].value);

        CHECK(strlen(text) > 0);
        CHECK(strcmp(text, "unknown status") != 0);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(text, evb_strerror(published[j].value)) != 0);
    }
}

#define COUNT_ONE(name, value, text) +1

TEST(no_status_is_missing_from_the_published_list)
{
    EQ(PUBLISHED, 0 EVB_STATUS_MAP(COUNT_ONE));
}

TEST(unknown_numbers_have_a_name_and_a_text_too)
{
    static const int32_t unknown[] = {1, 4, 77, -27, -1000, INT32_MAX, INT32_MIN};

    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        EQ_STR(evb_err_name(unknown[i]), "EVB_UNKNOWN");
        EQ_STR(evb_strerror(unknown[i]), "unknown status");
    }
}

TEST(the_version_is_that_of_the_header_in_both_forms)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%d.%d.%d", EVB_VERSION_MAJOR, EVB_VERSION_MINOR, EVB_VERSION_PATCH);
    EQ_STR(evb_version_string(), text);
    EQ(evb_version(), EVB_VERSION_NUM);
    EQ(evb_version(), EVB_VERSION_MAJOR * 1000000 + EVB_VERSION_MINOR * 1000 + EVB_VERSION_PATCH);
}

/* ---- option structs: three releases of one struct ---- */

struct first_opts {
    uint32_t struct_size, a;
};
struct second_opts { /* the one this library knows */
    uint32_t struct_size, a, b, c;
};
struct third_opts {
    uint32_t struct_size, a, b, c, d;
};

static int32_t read_second(struct second_opts *ret_opts, const void *opts)
{
    return evb__opts_read(ret_opts, sizeof *ret_opts, sizeof(struct first_opts), opts);
}

#define ALL(opts, A, B, C)                                                                                   \
    do {                                                                                                     \
        EQ((opts).struct_size, sizeof(struct second_opts));                                                  \
        EQ((opts).a, A);                                                                                     \
        EQ((opts).b, B);                                                                                     \
        EQ((opts).c, C);                                                                                     \
    } while (0)

TEST(no_options_are_all_defaults)
{
    struct second_opts mine = {9, 9, 9, 9};

    OK(read_second(&mine, NULL));
    ALL(mine, 0, 0, 0);
}

TEST(size_zero_means_the_first_released_layout)
{
    struct second_opts mine, given = {0, 1, 2, 3};

    OK(read_second(&mine, &given));
    ALL(mine, 1, 0, 0); /* b and c were not there in the first layout: what stands behind it is not read */
}

TEST(an_older_struct_leaves_newer_fields_at_their_defaults)
{
    struct second_opts mine, given = {offsetof(struct second_opts, c), 1, 2, 3};

    OK(read_second(&mine, &given));
    ALL(mine, 1, 2, 0);
}

TEST(the_same_struct_is_read_whole)
{
    struct second_opts mine, given = {sizeof given, 1, 2, 3};

    OK(read_second(&mine, &given));
    ALL(mine, 1, 2, 3);
}

TEST(a_newer_struct_is_read_as_long_as_it_asks_for_nothing_new)
{
    struct second_opts mine = {9, 9, 9, 9};
    struct third_opts given = {sizeof given, 1, 2, 3, 4};

    FAILS(read_second(&mine, &given), EVB_ENOTSUP);
    EQ(mine.a, 9); /* untouched on failure */
    given.d = 0;
    OK(read_second(&mine, &given));
    ALL(mine, 1, 2, 3);
}

/* Every byte of the unknown tail counts, the last one too. */
TEST(one_byte_of_an_unknown_tail_is_enough_to_refuse)
{
    unsigned char given[sizeof(struct second_opts) + 9];
    uint32_t size = sizeof given;
    struct second_opts mine;

    for (size_t i = sizeof(struct second_opts); i < sizeof given; i++) {
        memset(given, 0, sizeof given);
        memcpy(given, &size, sizeof size);
        OK(read_second(&mine, given));
        given[i] = 1;
        FAILS(read_second(&mine, given), EVB_ENOTSUP);
    }
}

TEST(a_struct_smaller_than_the_first_layout_is_refused)
{
    struct second_opts mine = {9, 9, 9, 9}, given = {sizeof(struct first_opts) - 1, 1, 2, 3};

    FAILS(read_second(&mine, &given), EVB_EINVAL);
    given.struct_size = 1;
    FAILS(read_second(&mine, &given), EVB_EINVAL);
    EQ(mine.a, 9);
}

/* The caller's memory may end where his struct ends: AddressSanitizer watches this one. */
TEST(nothing_is_read_behind_the_struct_the_caller_has)
{
    struct first_opts *given = malloc(sizeof *given);
    struct second_opts mine;

    CHECK(given != NULL);
    given->struct_size = 0;
    given->a = 1;
    OK(read_second(&mine, given));
    ALL(mine, 1, 0, 0);
    given->struct_size = sizeof *given;
    OK(read_second(&mine, given));
    ALL(mine, 1, 0, 0);
    free(given);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_published_status_has_its_name),
        cmocka_unit_test(every_published_status_has_a_text_of_its_own),
        cmocka_unit_test(no_status_is_missing_from_the_published_list),
        cmocka_unit_test(unknown_numbers_have_a_name_and_a_text_too),
        cmocka_unit_test(the_version_is_that_of_the_header_in_both_forms),
        cmocka_unit_test(no_options_are_all_defaults),
        cmocka_unit_test(size_zero_means_the_first_released_layout),
        cmocka_unit_test(an_older_struct_leaves_newer_fields_at_their_defaults),
        cmocka_unit_test(the_same_struct_is_read_whole),
        cmocka_unit_test(a_newer_struct_is_read_as_long_as_it_asks_for_nothing_new),
        cmocka_unit_test(one_byte_of_an_unknown_tail_is_enough_to_refuse),
        cmocka_unit_test(a_struct_smaller_than_the_first_layout_is_refused),
        cmocka_unit_test(nothing_is_read_behind_the_struct_the_caller_has),
    };

    return EVB_TEST_MAIN("status", tests, argc, argv);
}
