/* SPDX-License-Identifier: MIT */
/* Topic dialects: what separates tokens, which tokens are wildcards, what a valid name is, and whether a
 * pattern matches a topic.
 *
 *                separator  one  many  many may be empty  many only last  empty tokens  `$` is hidden
 *      DOT           .       *    >          no                yes             no          no
 *      MQTT          /       +    #          yes               yes             yes         yes
 *      AMQP          .       *    #          yes               no (<= 2)       yes         no
 *
 * A wildcard is a whole token. Inside a longer token its character is plain text in DOT and AMQP and an error
 * in MQTT. In a topic a wildcard token is an error in DOT, any wildcard character one in MQTT, and both are
 * plain text in AMQP, where every string is a topic. `$` has no meaning to DOT here: that nobody publishes
 * such names, and that leading wildcards do not see the bus' own, is the bus' rule.
 *
 * Invariant: a name is bytes, at most EVB__NAME_MAX; a pattern or topic that evb__pattern_split /
 * evb__topic_split accepted has at most EVB__TOKENS_MAX tokens and, in AMQP, at most two `#`. The empty AMQP
 * name has zero tokens. evb_topic_matches knows neither limit. Threads: any, no state, no allocation.
 * Sources: the NATS subject rules, MQTT 3.1.1 section 4.7, AMQP 0-9-1 topic exchange as RabbitMQ implements
 * it.
 */
#ifndef EVB__TOPIC_DIALECT_H
#define EVB__TOPIC_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVB__NAME_MAX   255
#define EVB__TOKENS_MAX 16
#define EVB__MANY_MAX   2 /* `#` in one AMQP pattern: what keeps a match cheap in the trie */

struct evb__dialect {
    char separator, one, many;
    bool many_may_be_empty, many_only_last, empty_tokens, hide_dollar;
    bool strict_wildcards; /* a wildcard character inside a longer token is an error */
    bool plain_topics;     /* wildcards in a topic are text */
    bool empty_name;
};

/* NULL for an unknown number (EVB_TOPICS_*). */
const struct evb__dialect *evb__dialect(uint32_t number);

enum evb__token_kind { EVB__TOKEN_LITERAL = 0, EVB__TOKEN_ONE = 1, EVB__TOKEN_MANY = 2 };

/* A name cut into tokens: views into the caller's bytes. */
struct evb__tokens {
    const char *name;
    uint32_t size;  /* bytes of the name */
    uint32_t count; /* tokens */
    uint32_t wild;  /* patterns: number of wildcard tokens; 0 = the pattern is a literal topic */
    uint16_t start[EVB__TOKENS_MAX], length[EVB__TOKENS_MAX];
    uint8_t kind[EVB__TOKENS_MAX]; /* enum evb__token_kind; topics: always literal */
};

/* EVB_OK, or EVB_EINVAL: not valid in this dialect, too long, too many tokens; *ret is then undefined. name
 * need not be NUL-terminated. */
int32_t evb__pattern_split(const struct evb__dialect *d, const char *name, size_t size,
                           struct evb__tokens *ret);
int32_t evb__topic_split(const struct evb__dialect *d, const char *name, size_t size,
                         struct evb__tokens *ret);

/* The same validity without the limits of split: any number of tokens and of `#`, up to EVB__NAME_MAX bytes.
 * EVB_OK or EVB_EINVAL. */
int32_t evb__pattern_check(const struct evb__dialect *d, const char *name, size_t size);
int32_t evb__topic_check(const struct evb__dialect *d, const char *name, size_t size);

/* Both names valid (split or check accepted them). Works on the bytes, any number of tokens, in time
 * O(pattern x topic) at worst: one backtrack point for the last `#`, as in glob matching, so never
 * exponential. */
bool evb__matches(const struct evb__dialect *d, const char *pattern, size_t pattern_size, const char *topic,
                  size_t topic_size);

#endif
