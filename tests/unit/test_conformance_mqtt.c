/* SPDX-License-Identifier: MIT */
/* The MQTT dialect, case by case, from MQTT 3.1.1 section 4.7: `/` separates levels, `+` is one level, `#`
 * any number and only last, the parent included; empty levels are levels; wildcards stand alone in their
 * level; topics that begin with `$` are hidden from filters that begin with a wildcard. `$share/...` is a
 * subscription option of brokers and has no meaning here: plain text. */
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
    {"a", "aa", NO, "a prefix is not the level"},
    {"a/b", "a/b", YES, "two levels"},
    {"a/b", "a", NO, "a level is missing"},
    {"a", "a/b", NO, "a level too many"},
    {"a/b", "a/c", NO, "the last differs"},
    {"a/b", "c/b", NO, "the first differs"},
    {"a/b/c", "a/b/c", YES, "three levels"},
    {"ab/c", "a/bc", NO, "where the separator stands counts"},
    {"Room/1", "room/1", NO, "case counts"},
    {"living room/lamp", "living room/lamp", YES, "spaces are text"},
    {"a.b", "a.b", YES, "`.` is text"},
    {"a.b", "a/b", NO, "`.` does not separate"},
    {"a.*", "a.x", NO, "`*` is text"},
    {"a.*", "a.*", YES, "and allowed in a topic"},
    {"a/>", "a/b", NO, "`>` is text"},
    {"a/>", "a/>", YES, "and allowed in a topic, too"},
    {"\xe2\x82\xac/x", "\xe2\x82\xac/x", YES, "UTF-8 as bytes"},
    {"\xe2\x82\xac", "\xe2\x82\xad", NO, "which differ"},

    /* empty levels */
    {"/", "/", YES, "two empty levels"},
    {"/", "//", NO, "are not three"},
    {"//", "/", NO, "nor the other way round"},
    {"/a", "/a", YES, "an empty first level"},
    {"/a", "a", NO, "is a level"},
    {"a", "/a", NO, "on either side"},
    {"a/", "a/", YES, "an empty last level"},
    {"a/", "a", NO, "is a level as well"},
    {"a", "a/", NO, "on either side, too"},
    {"a//b", "a//b", YES, "an empty level in the middle"},
    {"a//b", "a/b", NO, "cannot be left out"},
    {"a/b", "a//b", NO, "nor put in"},

    /* one level */
    {"+", "a", YES, "one level"},
    {"+", "a/b", NO, "exactly one"},
    {"+", "/", NO, "`/` has two levels"},
    {"+/+", "/", YES, "both empty"},
    {"+/+", "/a", YES, "the first empty"},
    {"/+", "/a", YES, "behind an empty literal"},
    {"+", "/a", NO, "two levels"},
    {"+/+", "a", NO, "one level only"},
    {"+/+", "a/b", YES, "two of two"},
    {"+/+", "a/b/c", NO, "two of three"},
    {"a/+", "a/b", YES, "last"},
    {"a/+", "a", NO, "not none"},
    {"a/+", "a/", YES, "but an empty level"},
    {"a/+", "a/b/c", NO, "not two"},
    {"a/+", "a/b/", NO, "the empty third counts"},
    {"a/+", "b/b", NO, "the literal counts"},
    {"+/b", "a/b", YES, "first"},
    {"+/b", "/b", YES, "an empty first level"},
    {"+/b", "b", NO, "not none"},
    {"a/+/c", "a/b/c", YES, "in the middle"},
    {"a/+/c", "a//c", YES, "an empty level in the middle"},
    {"a/+/c", "a/c", NO, "not none, in the middle"},
    {"a/+/c", "a/b/b/c", NO, "not two, in the middle"},
    {"a/+/c", "a/b/d", NO, "what follows counts"},
    {"+/b/+", "a/b/c", YES, "around a literal"},
    {"+/b/+", "a/c/b", NO, "in its place"},
    {"a/+/+/d", "a/b/c/d", YES, "two in a row"},
    {"a/+/", "a/b/", YES, "before an empty literal"},
    {"a/+/", "a/b", NO, "that is missing"},

    /* many levels */
    {"#", "a", YES, "one"},
    {"#", "a/b/c/d", YES, "several"},
    {"#", "/", YES, "empty ones"},
    {"#", "/a", YES, "an empty first one"},
    {"a/#", "a/b", YES, "one below"},
    {"a/#", "a/b/c", YES, "two below"},
    {"a/#", "a", YES, "the parent itself"},
    {"a/#", "a/", YES, "an empty level below"},
    {"a/#", "ab", NO, "the parent is a whole level"},
    {"a/#", "b/a", NO, "and stands first"},
    {"a/b/#", "a/b", YES, "a longer parent"},
    {"a/b/#", "a", NO, "but not the parent's parent"},
    {"a/b/#", "a/b/c/d", YES, "below the longer one"},
    {"a/b/#", "a/c/b", NO, "only there"},
    {"/#", "/", YES, "an empty level and another"},
    {"/#", "/a/b", YES, "below an empty level"},
    {"/#", "a", NO, "the first level must be empty"},
    {"+/#", "a", YES, "`+` takes the parent"},
    {"+/#", "a/b/c", YES, "and `#` the rest"},
    {"+/#", "/", YES, "of empty ones as well"},
    {"a/+/#", "a/b", YES, "the parent is matched by `+`"},
    {"a/+/#", "a", NO, "which needs its level"},
    {"a/+/#", "a/b/c/d", YES, "and everything below"},
    {"+/b/#", "a/b", YES, "a literal between"},
    {"+/b/#", "a/c", NO, "that counts"},

    /* wildcards that do not stand alone or not last */
    {"a/b#", "a/b", BAD, "`#` behind text"},
    {"a/#b", "a/b", BAD, "before text"},
    {"a#", "a", BAD, "in the only level"},
    {"##", "a", BAD, "twice in a level"},
    {"a/#/b", "a/x/b", BAD, "`#` not last"},
    {"#/a", "b/a", BAD, "first and not last"},
    {"#/", "a/", BAD, "followed by an empty level"},
    {"#/#", "a/b", BAD, "the first one is not last"},
    {"#/+", "a/b", BAD, "followed by `+`"},
    {"a+", "a+", BAD, "`+` behind text"},
    {"+a", "ba", BAD, "before text"},
    {"a/b+/c", "a/b+/c", BAD, "in a middle level"},
    {"++", "a", BAD, "twice in a level"},
    {"+#", "a", BAD, "both in a level"},
    {"a/+b/#", "a/b", BAD, "though `#` is right"},
    {"abcdefghijk+", "a", BAD, "beyond the eighth byte"},

    /* wildcards in a topic, empty names */
    {"a/+", "a/+", BAD, "`+` in a topic"},
    {"a/#", "a/#", BAD, "`#` in a topic"},
    {"#", "a+b", BAD, "`+` inside a level of a topic"},
    {"#", "a/b#", BAD, "`#` inside a level of a topic"},
    {"b", "abcdefghijklmnop/q+", BAD, "far behind"},
    {"", "a", BAD, "an empty filter"},
    {"a", "", BAD, "an empty topic"},
    {"", "", BAD, "both"},
    {"#", "", BAD, "not even for `#`"},

    /* `$` */
    {"#", "$SYS/load", NO, "hidden from `#`"},
    {"#", "$SYS", NO, "a single level"},
    {"#", "$", NO, "the character alone"},
    {"+", "$SYS", NO, "hidden from `+`"},
    {"+/load", "$SYS/load", NO, "whatever follows"},
    {"+/#", "$SYS/load", NO, "whatever follows, wild"},
    {"$SYS/#", "$SYS/load", YES, "a literal first level sees it"},
    {"$SYS/#", "$SYS", YES, "and the parent"},
    {"$SYS/+", "$SYS/load", YES, "the wildcard is not the first level"},
    {"$SYS/load", "$SYS/load", YES, "all literal"},
    {"$SYS/+/x", "$SYS/load/x", YES, "in the middle"},
    {"#", "a/$b", YES, "only the first level counts"},
    {"a/+", "a/$b", YES, "for `+` as well"},
    {"+/$b", "a/$b", YES, "`$` in a later level of both"},
    {"#", "/$b", YES, "the first level is empty"},
    {"#", "a$", YES, "`$` is not the first character"},
    {"$/+", "$/a", YES, "a first level of `$` only"},
    {"$share/g/a", "a", NO, "no shared subscriptions here"},
    {"$share/g/a", "$share/g/a", YES, "only text"},
};

#define COUNT (sizeof(cases) / sizeof(cases[0]))
_Static_assert(COUNT >= 100, "a hundred cases at least");

TEST(every_row_holds)
{
    topic_cases_hold(EVB_TOPICS_MQTT, cases, COUNT);
}

TEST(random_pairs_agree_with_the_definition)
{
    topic_pairs_agree(EVB_TOPICS_MQTT, "aab//+#$", 9, 250000);
}

TEST(random_pairs_of_longer_names_agree_with_the_definition)
{
    topic_pairs_agree(EVB_TOPICS_MQTT, "aaaaaabbb$////////+", 40, 50000);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_holds),
        cmocka_unit_test(random_pairs_agree_with_the_definition),
        cmocka_unit_test(random_pairs_of_longer_names_agree_with_the_definition),
    };

    return EVB_TEST_MAIN("conformance_mqtt", tests, argc, argv);
}
