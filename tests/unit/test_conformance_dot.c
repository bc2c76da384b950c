/* SPDX-License-Identifier: MIT */
/* The DOT dialect, case by case: `.` separates, `*` is one token, `>` is one or more and only last. The rules
 * are those of NATS subjects. Where a NATS server would answer differently the row says so: it lets malformed
 * subjects through to its matcher, which treats wildcards in a published subject as text and answers "no" for
 * empty tokens; here both are errors. */
#include <evbus/bus.h>
#include "evb_test.h"
#include "topic_oracle.h"

#define YES 1
#define NO  0
#define BAD EVB_EINVAL

static const struct topic_case cases[] = {
    /* literals */
    {"a", "a", YES, "the same text"},
    {"a", "b", NO, "another text"},
    {"a", "ab", NO, "a prefix of a token is not the token"},
    {"ab", "a", NO, "the token is a prefix of the pattern's"},
    {"a.b", "a.b", YES, "the same two tokens"},
    {"a.b", "a.c", NO, "the second token differs"},
    {"a.b", "c.b", NO, "the first token differs"},
    {"a.b", "a", NO, "a token is missing"},
    {"a", "a.b", NO, "a token too many"},
    {"a.b.c", "a.b", NO, "the last of three is missing"},
    {"a.b", "a.b.c", NO, "one behind the last"},
    {"a.b", "b.a", NO, "order counts"},
    {"ab.c", "a.bc", NO, "where the separator stands counts"},
    {"flight.JFK.LAX", "flight.JFK.LAX", YES, "three longer tokens"},
    {"flight.JFK.LAX", "flight.JFK.LAS", NO, "the last byte differs"},
    {"flight.JFK", "flight.jfk", NO, "case counts"},
    {"a b.c", "a b.c", YES, "a space is a byte like any other"},
    {"\xc3\xa9t\xc3\xa9.x", "\xc3\xa9t\xc3\xa9.x", YES, "UTF-8 is compared as bytes"},
    {"\xc3\xa9", "e\xcc\x81", NO, "no normalization: composed and decomposed differ"},
    {"\xff\xfe.a", "\xff\xfe.a", YES, "bytes that are no UTF-8 are fine"},
    {"a/b", "a/b", YES, "`/` is text here"},
    {"a/b", "a.b", NO, "`/` does not separate"},
    {"1.2.3", "1.2.3", YES, "digits"},
    {"a-b_c:d.e", "a-b_c:d.e", YES, "punctuation is text"},

    /* one token */
    {"*", "a", YES, "one token"},
    {"*", "abc", YES, "however long"},
    {"*", "a.b", NO, "exactly one"},
    {"*", "$x", YES, "`$` is a byte like any other"},
    {"a.*", "a.b", YES, "in the last place"},
    {"a.*", "a", NO, "not none"},
    {"a.*", "a.b.c", NO, "not two"},
    {"a.*", "b.c", NO, "the literal still counts"},
    {"*.b", "a.b", YES, "in the first place"},
    {"*.b", "b", NO, "not none, at the start"},
    {"*.b", "a.c", NO, "the literal behind it counts"},
    {"*.b", "x.a.b", NO, "not two, at the start"},
    {"a.*.c", "a.b.c", YES, "in the middle"},
    {"a.*.c", "a.c", NO, "not none, in the middle"},
    {"a.*.c", "a.b.b.c", NO, "not two, in the middle"},
    {"a.*.c", "a.b.d", NO, "the tail counts"},
    {"*.*", "a.b", YES, "each takes one"},
    {"*.*", "a", NO, "two are needed"},
    {"*.*", "a.b.c", NO, "three are too many"},
    {"*.*.*", "a.b.c", YES, "three of three"},
    {"*.b.*", "a.b.c", YES, "around a literal"},
    {"*.b.*", "a.c.b", NO, "the literal has its place"},
    {"flight.*.LAX", "flight.JFK.LAX", YES, "any origin"},
    {"flight.*.LAX", "flight.JFK.SFO", NO, "but that destination"},
    {"flight.JFK.*", "flight.JFK.SFO", YES, "any destination"},

    /* many tokens */
    {">", "a", YES, "one"},
    {">", "a.b", YES, "two"},
    {">", "a.b.c.d.e.f.g.h", YES, "eight"},
    {">", "$SYS.x", YES, "`$` is a byte like any other; that the bus hides its own events is the bus' rule"},
    {"a.>", "a.b", YES, "one behind the prefix"},
    {"a.>", "a.b.c.d", YES, "several behind the prefix"},
    {"a.>", "a", NO, "one at least: the parent does not match, other than in MQTT"},
    {"a.>", "b.c", NO, "the prefix counts"},
    {"a.>", "ab.c", NO, "and is a whole token"},
    {"a.b.>", "a.b.c", YES, "a longer prefix"},
    {"a.b.>", "a.b", NO, "the longer parent"},
    {"a.b.>", "a.c.d", NO, "another second token"},
    {"*.>", "a.b", YES, "two at least"},
    {"*.>", "a.b.c", YES, "or more"},
    {"*.>", "a", NO, "`*` has taken the only one"},
    {"a.*.>", "a.b.c", YES, "three at least"},
    {"a.*.>", "a.b", NO, "nothing left for `>`"},
    {"*.*.>", "a.b.c.d", YES, "two fixed, two more"},
    {"*.*.>", "a.b", NO, "two are not three"},
    {"*.b.>", "a.b.c", YES, "a literal between"},
    {"*.b.>", "a.c.b", NO, "in its place"},
    {"$SYS.>", "$SYS.a.b", YES, "a literal that begins with `$`"},
    {"$SYS.>", "SYS.a", NO, "`$` is part of the token"},
    {"$SYS.*", "$SYS.a", YES, "`$` and one token"},

    /* `>` elsewhere */
    {">.a", "b.a", BAD, "`>` first but not last"},
    {"a.>.b", "a.x.b", BAD, "`>` in the middle"},
    {">.>", "a.b", BAD, "the first `>` is not last"},
    {"a.>.*", "a.b.c", BAD, "followed by a wildcard"},
    {"a.>.>", "a.b.c", BAD, "twice at the end"},

    /* wildcard characters inside a token are text */
    {"fo*", "foo", NO, "no wildcard"},
    {"fo*", "fo*", YES, "the text itself"},
    {"*o", "fo", NO, "no wildcard at the start either"},
    {"f*o", "f*o", YES, "nor in the middle"},
    {"**", "a", NO, "two stars are a text"},
    {"**", "**", YES, "equal to itself, in a topic too"},
    {"a.b*", "a.bc", NO, "in the last token"},
    {"a.b*.c", "a.b*.c", YES, "in the middle token"},
    {"a>", "a>", YES, "`>` inside a token, last"},
    {"a>.b", "a>.b", YES, "`>` inside a token is not \"`>` not last\""},
    {">>", "a.b", NO, "a text of two"},
    {">>", ">>", YES, "equal to itself"},
    {"*>", "a.b", NO, "a text of both"},
    {"*>.a", "*>.a", YES, "and valid anywhere"},
    {"*", "a*", YES, "a topic's token may hold the character beside others"},
    {"a.>", "a.b>", YES, "that one too"},
    {"a.+", "a.+", YES, "MQTT's wildcards are text"},
    {"a.#", "a.b.c", NO, "AMQP's too"},
    {"a.#", "a.#", YES, "and equal themselves"},

    /* wildcards in a topic */
    {"a.*", "a.*", BAD, "a token `*` in a topic; NATS compares it as text and answers yes"},
    {"*", "*", BAD, "alone; NATS: yes"},
    {"a.>", "a.>", BAD, "a token `>` in a topic; NATS: yes"},
    {">", ">", BAD, "alone; NATS: yes"},
    {"a.b", "a.*", BAD, "also where the pattern would not match; NATS: no"},
    {"*.b", ">.b", BAD, "first; NATS: yes"},

    /* empty tokens */
    {"", "a", BAD, "an empty pattern"},
    {"a", "", BAD, "an empty topic; NATS: no"},
    {"", "", BAD, "both"},
    {".", "a.b", BAD, "a pattern of two empty tokens"},
    {".a", "x.a", BAD, "empty first"},
    {"a.", "a.x", BAD, "empty last"},
    {"a..b", "a.x.b", BAD, "empty in the middle"},
    {"a..>", "a.b.c", BAD, "before a wildcard"},
    {"a.>.", "a.b", BAD, "behind `>`"},
    {"*.", "a.b", BAD, "behind `*`"},
    {"a.b", ".", BAD, "a topic of two empty tokens; NATS: no"},
    {">", ".a", BAD, "a topic that begins with the separator; NATS: no, not even `>`"},
    {">", "a.", BAD, "one that ends with it; NATS: no"},
    {">", "a..b", BAD, "one with two in a row; NATS: no"},
    {"a.*.b", "a..b", BAD, "`*` does not stand for nothing; NATS: no"},
};

#define COUNT (sizeof(cases) / sizeof(cases[0]))
_Static_assert(COUNT >= 100, "a hundred cases at least");

TEST(every_row_holds)
{
    topic_cases_hold(EVB_TOPICS_DOT, cases, COUNT);
}

TEST(random_pairs_agree_with_the_definition)
{
    topic_pairs_agree(EVB_TOPICS_DOT, "aab..*>$", 9, 250000);
}

TEST(random_pairs_of_longer_names_agree_with_the_definition)
{
    topic_pairs_agree(EVB_TOPICS_DOT, "aaaaaaabbbb.*>", 40, 50000);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_holds),
        cmocka_unit_test(random_pairs_agree_with_the_definition),
        cmocka_unit_test(random_pairs_of_longer_names_agree_with_the_definition),
    };

    return EVB_TEST_MAIN("conformance_dot", tests, argc, argv);
}
