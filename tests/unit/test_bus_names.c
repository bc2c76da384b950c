/* SPDX-License-Identifier: MIT */
/* Names on a bus: what each dialect accepts in every call that takes one, the limits of 255 bytes and 16
 * tokens, `$`, and which listeners an emit in each dialect reaches. The matcher itself has its tables in
 * test_conformance_*.c. */
#include "evb_test.h"
#include "heard.h"

#include <evbus.h>
#include <stdio.h>
#include <string.h>

/* ---- names ---- */

/* A name is valid in all calls or in none. */
static void pattern_is(const char *pattern, bool valid)
{
    if (valid) {
        int64_t id = ID(evb_on(bus, pattern, ignore, NULL));

        EQ(evb_off_all(bus, pattern), 1);
        FAILS(evb_off(bus, id), EVB_ENOTFOUND);
        OK(evb_off(bus, ID(evb_once(bus, pattern, ignore, NULL))));
        OK(evb_off(bus, ID(evb_prepend(bus, pattern, ignore, NULL))));
        OK(evb_off_wait(bus, ID(evb_listen(bus, pattern, NULL, ignore, NULL))));
    } else {
        FAILS(evb_on(bus, pattern, ignore, NULL), EVB_EINVAL);
        FAILS(evb_once(bus, pattern, ignore, NULL), EVB_EINVAL);
        FAILS(evb_prepend(bus, pattern, ignore, NULL), EVB_EINVAL);
        FAILS(evb_listen(bus, pattern, NULL, ignore, NULL), EVB_EINVAL);
        FAILS(evb_off_all(bus, pattern), EVB_EINVAL);
    }
}

static void topic_is(const char *name, bool valid)
{
    evb_topic *topic = (evb_topic *)&trace;

    if (valid) {
        EQ(evb_emit(bus, name, NULL, 0), 0);
        EQ(evb_listener_count(bus, name), 0);
        OK(evb_topic_open(bus, name, &topic));
        EQ(evb_emit(bus, name, NULL, 0), 0);
        EQ(evb_topic_emit(topic, NULL, 0), 0);
        evb_topic_close(topic);
    } else {
        FAILS(evb_emit(bus, name, NULL, 0), EVB_EINVAL);
        FAILS(evb_listener_count(bus, name), EVB_EINVAL);
        FAILS(evb_topic_open(bus, name, &topic), EVB_EINVAL);
        EQ_PTR(topic, (evb_topic *)&trace);
    }
}

TEST(names_of_the_dot_dialect)
{
    static const char *const good[] = {"a",    "a.b.c", " ",        "fo*", "*o",   "a.b>", ">>", "**",
                                       "a.**", "A",     "\xc3\xa4", "a$",  "a.$b", "/",    "+",  "#"};
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "..", "a.b."};
    static const char *const wild[] = {"*", ">", "a.*", "a.>", "*.*.*", "*.>", "*.a"};
    static const char *const misplaced[] = {">.a", "a.>.b", ">.>", ">.*"};

    begin();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        pattern_is(good[i], true), topic_is(good[i], true);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        pattern_is(bad[i], false), topic_is(bad[i], false);
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++)
        pattern_is(wild[i], true), topic_is(wild[i], false);
    for (size_t i = 0; i < sizeof misplaced / sizeof misplaced[0]; i++)
        pattern_is(misplaced[i], false), topic_is(misplaced[i], false);
    end();
}

TEST(names_of_the_mqtt_dialect)
{
    static const char *const good[] = {"a", "a/b/c", "/", "//", "a/", "/a",     "a//b",
                                       " ", ".",     "*", ">",  "$",  "$SYS/a", "a.b"};
    static const char *const bad[] = {"", "a+", "+a", "a/b#", "#a", "a/#b", "++", "##", "a/+b/c"};
    static const char *const wild[] = {"+",  "#",  "a/+",    "a/#", "+/+",  "+/#",
                                       "/+", "/#", "$SYS/#", "+/",  "a/+/b"};
    static const char *const misplaced[] = {"#/a", "a/#/b", "#/#", "#/"};

    begin_dialect(EVB_TOPICS_MQTT);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        pattern_is(good[i], true), topic_is(good[i], true);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        pattern_is(bad[i], false), topic_is(bad[i], false);
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++)
        pattern_is(wild[i], true), topic_is(wild[i], false);
    for (size_t i = 0; i < sizeof misplaced / sizeof misplaced[0]; i++)
        pattern_is(misplaced[i], false), topic_is(misplaced[i], false);
    end();
}

TEST(names_of_the_amqp_dialect)
{
    static const char *const any[] = {"",    ".",   "a",       "a.",  ".a", "a..b", "*", "#",
                                      "a.*", "#.#", "a.#.b.#", "fo#", "$a", "a#b*", "/", ">"};
    static const char *const many[] = {"#.#.#", "#.a.#.b.#", "a.#.#.#.b"};

    begin_dialect(EVB_TOPICS_AMQP);
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++)
        pattern_is(any[i], true), topic_is(any[i], true);
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
        pattern_is(many[i], false), topic_is(many[i], true);
    end();
}

/* Names at the limits: 255 bytes and 16 tokens are the most. */
static void limits_of(uint32_t dialect, char separator, const char *one)
{
    char name[400], tokens[64] = "", wild[64];

    begin_dialect(dialect);
    memset(name, 'x', sizeof name);
    name[255] = '\0';
    pattern_is(name, true);
    topic_is(name, true);
    name[255] = 'x';
    name[256] = '\0';
    pattern_is(name, false);
    topic_is(name, false);
    name[256] = 'x';
    name[399] = '\0';
    pattern_is(name, false);
    topic_is(name, false);
    name[255] = '\0';
    name[254] = one[0]; /* a wildcard pattern of 255 bytes */
    name[253] = separator;
    pattern_is(name, true);

    for (int n = 1; n <= 17; n++) {
        size_t at = strlen(tokens);

        (void)snprintf(tokens + at, sizeof tokens - at, "%sa", n == 1 ? "" : (char[]){separator, '\0'});
        (void)snprintf(wild, sizeof wild, "%s", tokens);
        wild[0] = one[0];
        pattern_is(tokens, n <= 16);
        pattern_is(wild, n <= 16);
        topic_is(tokens, n <= 16);
    }
    end();
}

TEST(names_have_at_most_255_bytes_and_16_tokens)
{
    limits_of(EVB_TOPICS_DOT, '.', "*");
    limits_of(EVB_TOPICS_MQTT, '/', "+");
    limits_of(EVB_TOPICS_AMQP, '.', "*");
}

TEST(a_long_name_and_many_tokens_are_heard)
{
    char name[256], deep[64] = "t";

    begin();
    memset(name, 'x', sizeof name);
    name[255] = '\0';
    name[100] = '.';
    (void)ID(evb_on(bus, name, say, letter("l")));
    (void)ID(evb_on(bus, "*.*", say, letter("w")));
    EQ_STR(heard(name), "lw");
    for (int i = 0; i < 15; i++)
        strcat(deep, ".t");
    (void)ID(evb_on(bus, deep, say, letter("d")));
    (void)ID(evb_on(bus, "*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*", say, letter("s")));
    (void)ID(evb_on(bus, "t.t.t.t.t.t.t.t.t.t.t.t.t.t.t.>", say, letter("m")));
    EQ_STR(heard(deep), "dsm");
    end();
}

/* ---- $ ---- */

TEST(dollar_names_of_the_dot_dialect_are_the_bus_own)
{
    evb_topic *topic;

    begin();
    FAILS(evb_emit(bus, "$", NULL, 0), EVB_EINVAL);
    FAILS(evb_emit(bus, "$bus.dead", NULL, 0), EVB_EINVAL);
    FAILS(evb_topic_open(bus, "$bus.dead", &topic), EVB_EINVAL);
    FAILS(evb_listener_count(bus, "$bus.dead"), EVB_EINVAL);
    EQ(evb_emit(bus, "a.$bus", NULL, 0), 0); /* only the first token counts */
    pattern_is("$bus.dead", true);
    pattern_is("$bus.*", true);
    pattern_is("$bus.>", true);
    (void)ID(evb_on(bus, "$bus.dead", say, letter("x")));
    FAILS(evb_emit(bus, "$bus.dead", NULL, 0), EVB_EINVAL); /* also when somebody listens */
    EQ_STR(trace, "");
    end();
}

TEST(dollar_topics_of_the_mqtt_dialect_are_hidden_from_leading_wildcards)
{
    begin_dialect(EVB_TOPICS_MQTT);
    (void)ID(evb_on(bus, "#", say, letter("1")));
    (void)ID(evb_on(bus, "+/up", say, letter("2")));
    (void)ID(evb_on(bus, "$SYS/#", say, letter("3")));
    (void)ID(evb_on(bus, "$SYS/+", say, letter("4")));
    (void)ID(evb_on(bus, "a/#", say, letter("5")));
    EQ_STR(heard("$SYS/up"), "34");
    EQ_STR(heard("$SYS"), "3");
    EQ_STR(heard("a/$SYS"), "15");
    (void)ID(evb_on(bus, "$SYS/up", say, letter("6"))); /* now by its record */
    EQ_STR(heard("$SYS/up"), "346");
    EQ(evb_listener_count(bus, "$SYS/up"), 3);
    end();
}

TEST(dollar_topics_of_the_amqp_dialect_are_ordinary)
{
    begin_dialect(EVB_TOPICS_AMQP);
    (void)ID(evb_on(bus, "#", say, letter("1")));
    (void)ID(evb_on(bus, "*.x", say, letter("2")));
    EQ_STR(heard("$a.x"), "12");
    end();
}

/* ---- dialects on a bus ---- */

TEST(the_empty_amqp_topic_is_no_token_at_all)
{
    evb_topic *topic;

    begin_dialect(EVB_TOPICS_AMQP);
    (void)ID(evb_on(bus, "", say, letter("1")));
    (void)ID(evb_on(bus, "#", say, letter("2")));
    (void)ID(evb_on(bus, "*", say, letter("3")));
    (void)ID(evb_on(bus, "#.#", say, letter("4")));
    (void)ID(evb_on(bus, "*.#", say, letter("5")));
    (void)ID(evb_on(bus, ".", say, letter("6")));
    EQ_STR(heard(""), "124");
    EQ_STR(heard("."), "2456"); /* two empty words */
    EQ(evb_off_all(bus, ""), 1);
    EQ_STR(heard(""), "24"); /* without a record */
    OK(evb_topic_open(bus, "", &topic));
    trace[0] = '\0';
    EQ(evb_topic_emit(topic, "x", 1), 2);
    EQ_STR(trace, "24");
    EQ(evb_listener_count(bus, ""), 2);
    evb_topic_close(topic);
    end();
}

TEST(many_stands_for_one_or_more_in_dot_and_zero_or_more_elsewhere)
{
    begin();
    (void)ID(evb_on(bus, "a.>", say, letter("x")));
    EQ_STR(heard("a"), "");
    EQ_STR(heard("a.b.c.d"), "x");
    end();
    begin_dialect(EVB_TOPICS_MQTT);
    (void)ID(evb_on(bus, "a/#", say, letter("x")));
    EQ_STR(heard("a"), "x");
    EQ_STR(heard("a/b/c/d"), "x");
    EQ_STR(heard("a/"), "x");
    end();
    begin_dialect(EVB_TOPICS_AMQP);
    (void)ID(evb_on(bus, "a.#.z", say, letter("x")));
    EQ_STR(heard("a.z"), "x");
    EQ_STR(heard("a.b.c.z"), "x");
    EQ_STR(heard("a.b.c"), "");
    end();
}

TEST(wildcards_in_an_amqp_topic_are_text)
{
    begin_dialect(EVB_TOPICS_AMQP);
    (void)ID(evb_on(bus, "a.*", say, letter("w")));
    (void)ID(evb_on(bus, "a.b", say, letter("l")));
    EQ_STR(heard("a.*"), "w");
    EQ_STR(heard("a.#"), "w");
    end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_the_dot_dialect),
        cmocka_unit_test(names_of_the_mqtt_dialect),
        cmocka_unit_test(names_of_the_amqp_dialect),
        cmocka_unit_test(names_have_at_most_255_bytes_and_16_tokens),
        cmocka_unit_test(a_long_name_and_many_tokens_are_heard),
        cmocka_unit_test(dollar_names_of_the_dot_dialect_are_the_bus_own),
        cmocka_unit_test(dollar_topics_of_the_mqtt_dialect_are_hidden_from_leading_wildcards),
        cmocka_unit_test(dollar_topics_of_the_amqp_dialect_are_ordinary),
        cmocka_unit_test(the_empty_amqp_topic_is_no_token_at_all),
        cmocka_unit_test(many_stands_for_one_or_more_in_dot_and_zero_or_more_elsewhere),
        cmocka_unit_test(wildcards_in_an_amqp_topic_are_text),
    };
    return EVB_TEST_MAIN("bus_names", tests, argc, argv);
}
