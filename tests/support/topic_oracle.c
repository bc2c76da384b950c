/* SPDX-License-Identifier: MIT */
/* The slow matcher and the runners around it. */
#include "topic_oracle.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <evbus/bus.h>
#include "evb_test.h"

#define MAX_BYTES 255

/* ---- the definitions ---- */

struct list {
    char token[MAX_BYTES + 1][MAX_BYTES + 1];
    uint32_t count;
};

static void cut(struct list *list, const char *name, char separator)
{
    uint32_t length = 0;

    list->count = 0;
    if (*name == '\0') return; /* a name without bytes has no tokens */
    for (;; name++) {
        if (*name != separator && *name != '\0') {
            list->token[list->count][length++] = *name;
            continue;
        }
        list->token[list->count++][length] = '\0';
        length = 0;
        if (*name == '\0') return;
    }
}

static bool equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* DOT: no empty name, no empty token. In a pattern `>` only as the last token; in a topic neither wildcard as
 * a token. */
static bool dot_valid(const struct list *list, bool pattern)
{
    if (list->count == 0) return false;
    for (uint32_t i = 0; i < list->count; i++) {
        if (equal(list->token[i], "")) return false;
        if (!pattern && (equal(list->token[i], "*") || equal(list->token[i], ">"))) return false;
        if (equal(list->token[i], ">") && i + 1 != list->count) return false;
    }
    return true;
}

/* MQTT: no empty name. In a topic no `+` or `#` at all; in a pattern each of them alone in its level, `#`
 * only in the last. */
static bool mqtt_valid(const struct list *list, bool pattern)
{
    if (list->count == 0) return false;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *level = list->token[i];
        bool wild = strchr(level, '+') || strchr(level, '#');

        if (wild && !pattern) return false;
        if (wild && strlen(level) != 1) return false;
        if (equal(level, "#") && i + 1 != list->count) return false;
    }
    return true;
}

static bool dot_matches(const struct list *p, uint32_t i, const struct list *t, uint32_t j)
{
    if (i == p->count) return j == t->count;
    if (j == t->count) return false;
    if (equal(p->token[i], ">")) return true;
    return (equal(p->token[i], "*") || equal(p->token[i], t->token[j])) && dot_matches(p, i + 1, t, j + 1);
}

static bool mqtt_matches(const struct list *p, uint32_t i, const struct list *t, uint32_t j)
{
    if (i == 0 && t->token[0][0] == '$' && (equal(p->token[0], "+") || equal(p->token[0], "#"))) return false;
    if (i == p->count) return j == t->count;
    if (equal(p->token[i], "#")) return true;
    if (j == t->count) return false;
    return (equal(p->token[i], "+") || equal(p->token[i], t->token[j])) && mqtt_matches(p, i + 1, t, j + 1);
}

static bool amqp_matches(const struct list *p, uint32_t i, const struct list *t, uint32_t j)
{
    if (i == p->count) return j == t->count;
    if (equal(p->token[i], "#"))
        return amqp_matches(p, i + 1, t, j) || (j < t->count && amqp_matches(p, i, t, j + 1));
    if (j == t->count) return false;
    return (equal(p->token[i], "*") || equal(p->token[i], t->token[j])) && amqp_matches(p, i + 1, t, j + 1);
}

int32_t topic_oracle_matches(uint32_t dialect, const char *pattern, const char *topic)
{
    static struct list p, t; /* too large for a stack; one thread */

    if (strlen(pattern) > MAX_BYTES || strlen(topic) > MAX_BYTES) return EVB_EINVAL;
    cut(&p, pattern, dialect == EVB_TOPICS_MQTT ? '/' : '.');
    cut(&t, topic, dialect == EVB_TOPICS_MQTT ? '/' : '.');
    switch (dialect) {
    case EVB_TOPICS_DOT:
        if (!dot_valid(&p, true) || !dot_valid(&t, false)) return EVB_EINVAL;
        return dot_matches(&p, 0, &t, 0);
    case EVB_TOPICS_MQTT:
        if (!mqtt_valid(&p, true) || !mqtt_valid(&t, false)) return EVB_EINVAL;
        return mqtt_matches(&p, 0, &t, 0);
    default:
        return amqp_matches(&p, 0, &t, 0);
    }
}

/* ---- the runners ---- */

void topic_cases_hold(uint32_t dialect, const struct topic_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct topic_case *c = &cases[i];
        int32_t got = evb_topic_matches(dialect, c->pattern, c->topic);
        int32_t oracle = topic_oracle_matches(dialect, c->pattern, c->topic);

        if (got != c->expected)
            evb_test_fail(__FILE__, __LINE__, "row %zu: pattern \"%s\" topic \"%s\": got %d, expected %d: %s",
                          i, c->pattern, c->topic, (int)got, (int)c->expected, c->why);
        if (oracle != c->expected)
            evb_test_fail(__FILE__, __LINE__,
                          "row %zu: pattern \"%s\" topic \"%s\": the oracle says %d, expected %d: %s", i,
                          c->pattern, c->topic, (int)oracle, (int)c->expected, c->why);
        for (size_t k = 0; k < i; k++)
            if (equal(cases[k].pattern, c->pattern) && equal(cases[k].topic, c->topic))
                evb_test_fail(__FILE__, __LINE__, "row %zu repeats row %zu: pattern \"%s\" topic \"%s\"", i,
                              k, c->pattern, c->topic);
    }
}

static void random_name(char *name, const char *alphabet, size_t max_size)
{
    size_t size = (size_t)evb__rng_below(evb_test_rng(), max_size + 1);

    for (size_t i = 0; i < size; i++)
        name[i] = alphabet[evb__rng_below(evb_test_rng(), strlen(alphabet))];
    name[size] = '\0';
}

/* The pattern with some of its bytes replaced: wildcards become text, and the rest stays much the same. */
static void derived_name(char *name, const char *pattern, const char *alphabet)
{
    size_t i = 0;

    for (; pattern[i] != '\0'; i++) {
        bool replace = strchr("*>+#", pattern[i]) || evb__rng_below(evb_test_rng(), 8) == 0;

        name[i] = replace ? alphabet[evb__rng_below(evb_test_rng(), strlen(alphabet))] : pattern[i];
    }
    name[i] = '\0';
}

void topic_pairs_agree(uint32_t dialect, const char *alphabet, size_t max_size, uint32_t pairs)
{
    char pattern[64], topic[64];
    uint32_t valid = 0, matched = 0;

    for (uint32_t i = 0; i < pairs; i++) {
        int32_t got, want;

        random_name(pattern, alphabet, max_size);
        if (evb__rng_below(evb_test_rng(), 2) == 0)
            random_name(topic, alphabet, max_size);
        else
            derived_name(topic, pattern, alphabet);
        got = evb_topic_matches(dialect, pattern, topic);
        want = topic_oracle_matches(dialect, pattern, topic);
        if (got != want)
            evb_test_fail(__FILE__, __LINE__,
                          "pair %u, seed %llu: pattern \"%s\" topic \"%s\": got %d, the definition says %d",
                          i, (unsigned long long)evb_test_seed(), pattern, topic, (int)got, (int)want);
        valid += want >= 0;
        matched += want == 1;
    }
    /* a comparison of nothing but refusals would prove little */
    printf("%u pairs, %u valid, %u matched, seed %llu\n", pairs, valid, matched,
           (unsigned long long)evb_test_seed());
    CHECK(valid > pairs / 20 && matched > pairs / 100);
}
