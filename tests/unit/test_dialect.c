/* SPDX-License-Identifier: MIT */
/* Cutting names into tokens and the limits around it; what matches is in test_conformance_*.c. */
#include <stdlib.h>
#include <string.h>

#include <evbus/bus.h>
#include "evb_test.h"
#include "topic/dialect.h"

#define LONG_ENOUGH 300

/* "a<separator>a<separator>..." of n tokens. */
static void tokens_of(char *name, char separator, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        name[2 * i] = 'a';
        name[2 * i + 1] = separator;
    }
    name[2 * n - 1] = '\0';
}

TEST(only_the_three_dialects_are_known)
{
    for (uint32_t d = EVB_TOPICS_DOT; d <= EVB_TOPICS_AMQP; d++)
        CHECK(evb__dialect(d) != NULL);
    CHECK(evb__dialect(EVB_TOPICS_AMQP + 1) == NULL);
    CHECK(evb__dialect(UINT32_MAX) == NULL);
    FAILS(evb_topic_matches(EVB_TOPICS_AMQP + 1, "a", "a"), EVB_EINVAL);
    FAILS(evb_topic_matches(UINT32_MAX, "a", "a"), EVB_EINVAL);
}

TEST(a_null_name_is_refused)
{
    for (uint32_t d = EVB_TOPICS_DOT; d <= EVB_TOPICS_AMQP; d++) {
        FAILS(evb_topic_matches(d, NULL, "a"), EVB_EINVAL);
        FAILS(evb_topic_matches(d, "a", NULL), EVB_EINVAL);
        FAILS(evb_topic_matches(d, NULL, NULL), EVB_EINVAL);
    }
}

TEST(a_pattern_is_cut_into_its_tokens)
{
    struct evb__tokens t;
    const char *name = "flight.*.LAX.>";

    OK(evb__pattern_split(evb__dialect(EVB_TOPICS_DOT), name, strlen(name), &t));
    EQ_PTR(t.name, name);
    EQ(t.size, strlen(name));
    EQ(t.count, 4);
    EQ(t.wild, 2);
    EQ(t.start[0], 0);
    EQ(t.length[0], 6);
    EQ(t.start[1], 7);
    EQ(t.length[1], 1);
    EQ(t.start[2], 9);
    EQ(t.length[2], 3);
    EQ(t.start[3], 13);
    EQ(t.length[3], 1);
    EQ(t.kind[0], EVB__TOKEN_LITERAL);
    EQ(t.kind[1], EVB__TOKEN_ONE);
    EQ(t.kind[2], EVB__TOKEN_LITERAL);
    EQ(t.kind[3], EVB__TOKEN_MANY);
}

TEST(a_topic_has_only_literal_tokens)
{
    struct evb__tokens t;

    OK(evb__topic_split(evb__dialect(EVB_TOPICS_AMQP), "a.*.#", 5, &t));
    EQ(t.count, 3);
    EQ(t.wild, 0);
    for (uint32_t i = 0; i < 3; i++)
        EQ(t.kind[i], EVB__TOKEN_LITERAL);
    FAILS(evb__topic_split(evb__dialect(EVB_TOPICS_DOT), "a.*", 3, &t), EVB_EINVAL);
    FAILS(evb__topic_split(evb__dialect(EVB_TOPICS_MQTT), "a/b+c", 5, &t), EVB_EINVAL);
}

TEST(empty_levels_are_tokens_where_the_dialect_has_them)
{
    struct evb__tokens t;

    OK(evb__topic_split(evb__dialect(EVB_TOPICS_MQTT), "/a//", 4, &t));
    EQ(t.count, 4);
    EQ(t.length[0], 0);
    EQ(t.start[1], 1);
    EQ(t.length[2], 0);
    EQ(t.start[3], 4);
    EQ(t.length[3], 0);
    OK(evb__pattern_split(evb__dialect(EVB_TOPICS_AMQP), ".", 1, &t));
    EQ(t.count, 2);
    EQ(t.wild, 0);
}

TEST(the_empty_amqp_name_has_no_tokens)
{
    struct evb__tokens t;

    memset(&t, 0xff, sizeof t);
    OK(evb__pattern_split(evb__dialect(EVB_TOPICS_AMQP), "", 0, &t));
    EQ(t.count, 0);
    EQ(t.wild, 0);
    EQ(t.size, 0);
    OK(evb__topic_split(evb__dialect(EVB_TOPICS_AMQP), "", 0, &t));
    FAILS(evb__topic_split(evb__dialect(EVB_TOPICS_DOT), "", 0, &t), EVB_EINVAL);
    FAILS(evb__topic_split(evb__dialect(EVB_TOPICS_MQTT), "", 0, &t), EVB_EINVAL);
}

TEST(sixteen_tokens_are_the_limit_of_a_bus_and_not_of_topic_matches)
{
    char name[LONG_ENOUGH];
    struct evb__tokens t;

    for (uint32_t number = EVB_TOPICS_DOT; number <= EVB_TOPICS_AMQP; number++) {
        const struct evb__dialect *d = evb__dialect(number);

        tokens_of(name, d->separator, EVB__TOKENS_MAX);
        OK(evb__pattern_split(d, name, strlen(name), &t));
        EQ(t.count, EVB__TOKENS_MAX);
        OK(evb__topic_split(d, name, strlen(name), &t));
        tokens_of(name, d->separator, EVB__TOKENS_MAX + 1);
        FAILS(evb__pattern_split(d, name, strlen(name), &t), EVB_EINVAL);
        FAILS(evb__topic_split(d, name, strlen(name), &t), EVB_EINVAL);
        OK(evb__pattern_check(d, name, strlen(name)));
        OK(evb__topic_check(d, name, strlen(name)));
        EQ(evb_topic_matches(number, name, name), 1);
        tokens_of(name, d->separator, 128); /* 255 bytes */
        EQ(evb_topic_matches(number, name, name), 1);
    }
}

TEST(two_hashes_are_the_limit_of_an_amqp_bus_and_not_of_topic_matches)
{
    const struct evb__dialect *d = evb__dialect(EVB_TOPICS_AMQP);
    struct evb__tokens t;

    OK(evb__pattern_split(d, "#.a.#", 5, &t));
    FAILS(evb__pattern_split(d, "#.a.#.#", 7, &t), EVB_EINVAL);
    OK(evb__topic_split(d, "#.a.#.#", 7, &t)); /* text in a topic */
    EQ(evb_topic_matches(EVB_TOPICS_AMQP, "#.a.#.#", "a"), 1);
}

TEST(a_name_may_have_255_bytes_and_not_256)
{
    char name[LONG_ENOUGH];
    struct evb__tokens t;

    memset(name, 'x', sizeof name);
    for (uint32_t number = EVB_TOPICS_DOT; number <= EVB_TOPICS_AMQP; number++) {
        const struct evb__dialect *d = evb__dialect(number);

        name[EVB__NAME_MAX] = '\0';
        OK(evb__pattern_split(d, name, EVB__NAME_MAX, &t));
        EQ(t.length[0], EVB__NAME_MAX);
        EQ(evb_topic_matches(number, name, name), 1);
        name[EVB__NAME_MAX] = 'x';
        name[EVB__NAME_MAX + 1] = '\0';
        FAILS(evb__pattern_split(d, name, EVB__NAME_MAX + 1, &t), EVB_EINVAL);
        FAILS(evb__topic_split(d, name, EVB__NAME_MAX + 1, &t), EVB_EINVAL);
        FAILS(evb_topic_matches(number, name, "a"), EVB_EINVAL);
        FAILS(evb_topic_matches(number, "a", name), EVB_EINVAL);
        name[EVB__NAME_MAX + 1] = 'x';
    }
}

/* AddressSanitizer sees a read behind the 256 bytes, with or without a NUL there. */
TEST(a_string_without_end_is_read_no_further_than_256_bytes)
{
    char *name = malloc(EVB__NAME_MAX + 1);

    assert_non_null(name);
    memset(name, 'x', EVB__NAME_MAX + 1);
    FAILS(evb_topic_matches(EVB_TOPICS_DOT, name, "a"), EVB_EINVAL);
    FAILS(evb_topic_matches(EVB_TOPICS_DOT, "a", name), EVB_EINVAL);
    free(name);
}

/* A byte at a time, against which the eight at a time are held. */
static uint32_t slow_cut(const char *name, size_t size, char separator, size_t *start, size_t *length)
{
    uint32_t count = 0;
    size_t begin = 0;

    if (size == 0) return 0;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && name[i] != separator) continue;
        start[count] = begin;
        length[count++] = i - begin;
        begin = i + 1;
    }
    return count;
}

/* The name lies in a block of exactly its size, at each offset to the words that are read: a byte too many is
 * a report of AddressSanitizer. */
TEST(random_names_of_every_size_are_cut_where_their_separators_are)
{
    const struct evb__dialect *d = evb__dialect(EVB_TOPICS_AMQP);
    size_t start[EVB__NAME_MAX + 1], length[EVB__NAME_MAX + 1];

    for (uint32_t round = 0; round < 20000; round++) {
        size_t size = evb__rng_below(evb_test_rng(), round % 4 == 0 ? EVB__NAME_MAX + 1 : 40);
        uint64_t often = 2 + evb__rng_below(evb_test_rng(), 30);
        char *name = malloc(size > 0 ? size : 1);
        struct evb__tokens t;
        uint32_t count;
        int32_t rc;

        assert_non_null(name);
        for (size_t i = 0; i < size;
             i++) /* '/' is one less than '.', which a careless formula would take for it */
            name[i] = evb__rng_below(evb_test_rng(), often) == 0
                          ? '.'
                          : (char)('-' + 2 * (char)evb__rng_below(evb_test_rng(), 2));
        rc = evb__topic_split(d, name, size, &t);
        count = slow_cut(name, size, '.', start, length);
        EQ(rc, count <= EVB__TOKENS_MAX ? EVB_OK : EVB_EINVAL);
        if (rc == EVB_OK) EQ(t.count, count);
        for (uint32_t i = 0; rc == EVB_OK && i < count; i++) {
            EQ(t.start[i], start[i]);
            EQ(t.length[i], length[i]);
        }
        free(name);
    }
}

/* Every byte value except the separator and the wildcards is text, wherever it stands. */
TEST(every_other_byte_is_text)
{
    char name[20];
    struct evb__tokens t;

    for (uint32_t number = EVB_TOPICS_DOT; number <= EVB_TOPICS_AMQP; number++) {
        const struct evb__dialect *d = evb__dialect(number);

        for (int byte = 1; byte <= UINT8_MAX; byte++) {
            char c = (char)byte;

            if (c == d->separator || c == d->one || c == d->many) continue;
            for (size_t at = 0; at < sizeof name; at++) {
                memset(name, 'x', sizeof name);
                name[at] = c;
                OK(evb__pattern_split(d, name, sizeof name, &t));
                EQ(t.count, 1);
                EQ(t.wild, 0);
                OK(evb__topic_split(d, name, sizeof name, &t));
                EQ(t.count, 1);
            }
        }
    }
}

/* split accepts what check accepts, within its limits; matches agrees with the public call. */
TEST(split_and_check_agree)
{
    static const char alphabet[] = "ab../*>+#$";
    char name[48];
    struct evb__tokens t;

    for (uint32_t round = 0; round < 100000; round++) {
        const struct evb__dialect *d = evb__dialect(round % 3);
        size_t size = evb__rng_below(evb_test_rng(), sizeof name), start[sizeof name + 1],
               length[sizeof name + 1];
        uint32_t count, many = 0;
        bool fits;

        for (size_t i = 0; i < size; i++)
            name[i] = alphabet[evb__rng_below(evb_test_rng(), sizeof alphabet - 1)];
        count = slow_cut(name, size, d->separator, start, length);
        for (uint32_t i = 0; i < count; i++)
            many += length[i] == 1 && name[start[i]] == d->many;
        fits = count <= EVB__TOKENS_MAX;
        EQ(evb__topic_split(d, name, size, &t),
           evb__topic_check(d, name, size) == EVB_OK && fits ? EVB_OK : EVB_EINVAL);
        EQ(evb__pattern_split(d, name, size, &t),
           evb__pattern_check(d, name, size) == EVB_OK && fits && many <= EVB__MANY_MAX ? EVB_OK
                                                                                        : EVB_EINVAL);
    }
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_three_dialects_are_known),
        cmocka_unit_test(a_null_name_is_refused),
        cmocka_unit_test(a_pattern_is_cut_into_its_tokens),
        cmocka_unit_test(a_topic_has_only_literal_tokens),
        cmocka_unit_test(empty_levels_are_tokens_where_the_dialect_has_them),
        cmocka_unit_test(the_empty_amqp_name_has_no_tokens),
        cmocka_unit_test(sixteen_tokens_are_the_limit_of_a_bus_and_not_of_topic_matches),
        cmocka_unit_test(two_hashes_are_the_limit_of_an_amqp_bus_and_not_of_topic_matches),
        cmocka_unit_test(a_name_may_have_255_bytes_and_not_256),
        cmocka_unit_test(a_string_without_end_is_read_no_further_than_256_bytes),
        cmocka_unit_test(random_names_of_every_size_are_cut_where_their_separators_are),
        cmocka_unit_test(every_other_byte_is_text),
        cmocka_unit_test(split_and_check_agree),
    };

    return EVB_TEST_MAIN("dialect", tests, argc, argv);
}
