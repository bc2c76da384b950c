/* SPDX-License-Identifier: MIT */
/* The AMQP dialect, case by case, from AMQP 0-9-1's topic exchange as RabbitMQ implements it: words separated
 * by `.`, `*` is exactly one word, `#` zero or more, anywhere and several times. Every string is a routing
 * key and a binding key. The empty string has no words; a separator has words, empty ones, on both sides. */
#include <string.h>

#include <evbus/bus.h>
#include "evb_test.h"
#include "topic_oracle.h"

#define YES        1
#define NO         0
#define NAME_BYTES 256

static const struct topic_case cases[] = {
    /* literals */
    {"a", "a", YES, "the same word"},
    {"a", "b", NO, "another word"},
    {"a", "ab", NO, "a prefix is not the word"},
    {"a.b", "a.b", YES, "two words"},
    {"a.b", "a", NO, "a word is missing"},
    {"a", "a.b", NO, "a word too many"},
    {"a.b", "a.c", NO, "the last differs"},
    {"a.b", "b.b", NO, "the first differs"},
    {"a.b.c", "a.b.c", YES, "three words"},
    {"ab.c", "a.bc", NO, "where the separator stands counts"},
    {"Error", "error", NO, "case counts"},
    {"a b", "a b", YES, "a space is text"},
    {"a/b", "a/b", YES, "`/` is text"},
    {"a/+", "a/b", NO, "`+` is text"},
    {"a.>", "a.b", NO, "`>` is text"},
    {"a.>", "a.>", YES, "and equals itself"},
    {"$SYS.a", "$SYS.a", YES, "`$` is text"},

    /* no words, empty words */
    {"", "", YES, "the empty binding matches the empty key"},
    {"", "a", NO, "and nothing else"},
    {"", ".", NO, "two empty words are not none"},
    {"a", "", NO, "a word does not match none"},
    {"*", "", NO, "`*` needs a word; the empty key has none (some matchers take it for one empty word)"},
    {"#", "", YES, "`#` needs none"},
    {".", "", NO, "two empty words need two"},
    {".", ".", YES, "two empty words"},
    {".", "..", NO, "are not three"},
    {"a.", "a.", YES, "a word and an empty one"},
    {"a.", "a", NO, "the empty one counts"},
    {"a", "a.", NO, "on either side"},
    {".a", ".a", YES, "an empty one first"},
    {".a", "a", NO, "counts as well"},
    {"a..b", "a..b", YES, "in the middle"},
    {"a..b", "a.b", NO, "cannot be left out"},
    {"a.b", "a..b", NO, "nor put in"},

    /* one word */
    {"*", "a", YES, "one word"},
    {"*", "abc", YES, "however long"},
    {"*", "a.b", NO, "exactly one"},
    {"*", ".", NO, "not two empty ones"},
    {"*", "$a", YES, "`$` hides nothing"},
    {"*.*", ".", YES, "each takes an empty word"},
    {"*.*", "a", NO, "two are needed"},
    {"*.*", "a.b", YES, "two of two"},
    {"*.*", "a.b.c", NO, "two of three"},
    {"a.*", "a.b", YES, "last"},
    {"a.*", "a", NO, "not none"},
    {"a.*", "a.", YES, "but an empty word"},
    {"a.*", "a.b.c", NO, "not two"},
    {"*.b", "a.b", YES, "first"},
    {"*.b", ".b", YES, "an empty first word"},
    {"*.b", "b", NO, "not none, at the start"},
    {"a.*.c", "a.b.c", YES, "in the middle"},
    {"a.*.c", "a..c", YES, "an empty word in the middle"},
    {"a.*.c", "a.c", NO, "not none, in the middle"},
    {"a.*.c", "a.b.b.c", NO, "not two, in the middle"},
    {"*.quick.*", "the.quick.fox", YES, "around a literal"},
    {"*.quick.*", "quick.the.fox", NO, "in its place"},

    /* zero or more words */
    {"#", "a", YES, "one"},
    {"#", "a.b.c.d", YES, "several"},
    {"#", ".", YES, "empty ones"},
    {"#", "$a.b", YES, "`$` hides nothing"},
    {"a.#", "a", YES, "none behind"},
    {"a.#", "a.b", YES, "one behind"},
    {"a.#", "a.b.c.d", YES, "three behind"},
    {"a.#", "a.", YES, "an empty one behind"},
    {"a.#", "b", NO, "the literal counts"},
    {"a.#", "ab", NO, "and is a whole word"},
    {"a.#", "", NO, "and must be there"},
    {"#.a", "a", YES, "none before"},
    {"#.a", "b.a", YES, "one before"},
    {"#.a", "c.b.a", YES, "two before"},
    {"#.a", ".a", YES, "an empty one before"},
    {"#.a", "a.b", NO, "the literal is last"},
    {"#.a", "a.a", YES, "`#` takes the first of two alike"},
    {"#.a", "a.b.a", YES, "or the first two"},
    {"a.#.b", "a.b", YES, "none between"},
    {"a.#.b", "a.x.b", YES, "one between"},
    {"a.#.b", "a.x.y.z.b", YES, "three between"},
    {"a.#.b", "a..b", YES, "an empty one between"},
    {"a.#.b", "a.b.b", YES, "`#` takes the first `b`"},
    {"a.#.b", "a", NO, "`b` is missing"},
    {"a.#.b", "b", NO, "`a` is missing"},
    {"a.#.b", "a.x", NO, "`b` is not last"},
    {"a.#.b", "a.b.x", NO, "something behind `b`"},
    {"a.#.a", "a", NO, "one word cannot be both"},
    {"a.#.a", "a.a", YES, "two can"},

    /* several `#` */
    {"#.#", "", YES, "both none"},
    {"#.#", "a", YES, "one or the other"},
    {"#.#", "a.b.c", YES, "shared somehow"},
    {"#.a.#", "a", YES, "nothing around"},
    {"#.a.#", "x.a", YES, "something before"},
    {"#.a.#", "a.x", YES, "something behind"},
    {"#.a.#", "x.y.a.z", YES, "on both sides"},
    {"#.a.#", "x.y", NO, "nowhere"},
    {"#.a.#", "", NO, "not in nothing"},
    {"#.a.b.#", "a.x.a.b", YES, "the first `a` was the wrong one"},
    {"#.a.b.#", "a.x.b", NO, "side by side or not at all"},
    {"#.a.#.b", "x.a.y.b", YES, "in order"},
    {"#.a.#.b", "b.a", NO, "not the other way round"},
    {"#.a.#.b", "a.b.c", NO, "`b` has to be last"},
    {"#.a.#.b", "a.b.a.b", YES, "the last `b`"},
    {"#.a.#.b.#.c.#", "x.a.b.y.c", YES, "four of them: no limit here"},
    {"#.a.#.b.#.c.#", "x.a.c.y.b", NO, "in order"},

    /* `*` beside `#` */
    {"*.#", "a", YES, "one at least"},
    {"*.#", "a.b.c", YES, "or more"},
    {"*.#", "", NO, "not none"},
    {"#.*", "a", YES, "the other way round"},
    {"#.*", "a.b.c", YES, "or more"},
    {"#.*", "", NO, "not none either"},
    {"#.*.#", "a", YES, "in the middle"},
    {"#.*.#", "", NO, "one is needed"},
    {"*.#.*", "a", NO, "two are needed"},
    {"*.#.*", "a.b", YES, "and enough"},
    {"*.#.*", "a.b.c.d", YES, "or more"},
    {"#.*.b", "b", NO, "one before `b`"},
    {"#.*.b", "a.b", YES, "is enough"},
    {"#.*.b", "c.a.b", YES, "or more"},
    {"a.*.#", "a", NO, "one behind `a`"},
    {"a.*.#", "a.b", YES, "is enough, behind"},
    {"a.*.#.z", "a.b.z", YES, "one, none, the end"},
    {"a.*.#.z", "a.z", NO, "`*` and `z` are two"},

    /* wildcards inside a word, in a key */
    {"a*", "ab", NO, "text inside a word"},
    {"a*", "a*", YES, "that equals itself"},
    {"a.#b", "a.x.b", NO, "so does `#`"},
    {"a.#b", "a.#b", YES, "equal to itself"},
    {"##", "a.b", NO, "two are a word"},
    {"**", "**", YES, "equal to itself, too"},
    {"a.b", "a.*", NO, "a wildcard in a key is text"},
    {"a.*", "a.*", YES, "which `*` takes like any word"},
    {"a.#", "#", NO, "`#` as a key is one word"},
    {"*", "#", YES, "for `*` to take"},
    {"#.b", "*.b", YES, "or `#`"},
};

#define COUNT (sizeof(cases) / sizeof(cases[0]))
_Static_assert(COUNT >= 100, "a hundred cases at least");

TEST(every_row_holds)
{
    topic_cases_hold(EVB_TOPICS_AMQP, cases, COUNT);
}

TEST(random_pairs_agree_with_the_definition)
{
    topic_pairs_agree(EVB_TOPICS_AMQP, "aab...*##", 11, 250000);
}

TEST(random_pairs_of_longer_names_agree_with_the_definition)
{
    topic_pairs_agree(EVB_TOPICS_AMQP, "aaab.......*#", 26, 50000);
}

/* "#.a.#.a ... .#.b" against "a.a. ... .a": a matcher that tries every way to share the words between fifteen
 * `#` would not end: the test's time limit is the check. */
TEST(fifteen_hashes_against_thirty_one_words_are_answered_at_once)
{
    char pattern[NAME_BYTES] = "", topic[NAME_BYTES] = "a";

    for (int i = 0; i < 15; i++)
        strcat(pattern, i == 0 ? "#.a" : ".#.a");
    for (int i = 1; i < 31; i++)
        strcat(topic, ".a");
    for (int i = 0; i < 1000; i++)
        EQ(evb_topic_matches(EVB_TOPICS_AMQP, pattern, topic), 1);
    strcat(pattern, ".b");
    for (int i = 0; i < 1000; i++)
        EQ(evb_topic_matches(EVB_TOPICS_AMQP, pattern, topic), 0);
}

/* As many as fit into a name. */
TEST(a_hundred_and_twenty_eight_hashes_are_answered_at_once)
{
    char pattern[NAME_BYTES] = "#", topic[NAME_BYTES] = "a";

    for (int i = 1; i < 127; i++)
        strcat(pattern, ".#");
    for (int i = 1; i < 128; i++)
        strcat(topic, ".a");
    EQ(evb_topic_matches(EVB_TOPICS_AMQP, pattern, topic), 1);
    strcat(pattern, ".b");
    for (int i = 0; i < 1000; i++)
        EQ(evb_topic_matches(EVB_TOPICS_AMQP, pattern, topic), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_holds),
        cmocka_unit_test(random_pairs_agree_with_the_definition),
        cmocka_unit_test(random_pairs_of_longer_names_agree_with_the_definition),
        cmocka_unit_test(fifteen_hashes_against_thirty_one_words_are_answered_at_once),
        cmocka_unit_test(a_hundred_and_twenty_eight_hashes_are_answered_at_once),
    };

    return EVB_TEST_MAIN("conformance_amqp", tests, argc, argv);
}
