/* SPDX-License-Identifier: MIT */
/* A second answer to "does this pattern match this topic?": slow, written from the definitions, sharing
 * nothing with the library.
 *
 * Names are cut into a list of strings; validity and matching are the sentences of the dialects'
 * specifications, one after the other; `#` of AMQP tries every number of words it may stand for. Exponential,
 * so for short names only. Beside it the runners that compare the library with it and with tables of cases.
 */
#ifndef TOPIC_ORACLE_H
#define TOPIC_ORACLE_H

#include <stddef.h>
#include <stdint.h>

/* As evb_topic_matches: 1, 0 or EVB_EINVAL. */
int32_t topic_oracle_matches(uint32_t dialect, const char *pattern, const char *topic);

/* One case of a conformance table. */
struct topic_case {
    const char *pattern, *topic;
    int32_t expected; /* 1, 0 or EVB_EINVAL */
    const char *why;  /* the rule that says so */
};

/* Asks evb_topic_matches and the oracle. Fails the test with the first row that differs from its expectation.
 * */
void topic_cases_hold(uint32_t dialect, const struct topic_case *cases, size_t count);

/* `pairs` random patterns and topics of up to max_size bytes of the alphabet, half of the topics derived from
 * the pattern so that they often match. Fails the test where evb_topic_matches and the oracle differ, or
 * where hardly any pair was valid or matched. */
void topic_pairs_agree(uint32_t dialect, const char *alphabet, size_t max_size, uint32_t pairs);

#endif
