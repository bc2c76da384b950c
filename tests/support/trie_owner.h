/* SPDX-License-Identifier: MIT */
/* An owner for pattern tries in tests, and the comparison of what a trie reports with the definition
 * (topic_oracle.h).
 *
 * The list of a pattern is one number: the pattern's index in `entry`, plus one. Places are kept right by the
 * trie's `moved`. One thread, but for matching.
 */
#ifndef TRIE_OWNER_H
#define TRIE_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "topic/trie.h"

struct trie_entry {
    char text[EVB__NAME_MAX + 1];
    uint32_t place; /* 0: not in the trie */
    uint32_t reports;
};

struct trie_owner {
    struct evb__trie trie;
    uint32_t dialect;
    struct trie_entry *entry;
    uint32_t entries, moves;
    struct evb__limbo *retired; /* kept until trie_owner_finish */
    uint32_t retirements;
    bool free_at_once; /* no reader on another thread: what is retired goes at once (at first: true) */
};

void trie_owner_start(struct trie_owner *o, uint32_t dialect, uint32_t entries);
void trie_owner_finish(struct trie_owner *o);

/* The pattern in entry[index].text comes (false: no memory) and goes. */
bool trie_owner_add(struct trie_owner *o, uint32_t index);
void trie_owner_drop(struct trie_owner *o, uint32_t index);

/* Of a valid pattern with a wildcard, and of a valid topic: views into text. */
struct evb__tokens trie_pattern(const struct trie_owner *o, const char *text);
struct evb__tokens trie_topic(const struct trie_owner *o, const char *text);

bool trie_owner_has(const struct trie_owner *o, const char *text);

/* Every pattern in the trie is reported once if the definition says that it matches, and never if not.
 * Answers the number of matches. */
uint32_t trie_matches_as_defined(struct trie_owner *o, const char *topic);
/* Places, heads and texts of all entries agree with what was put in. */
void trie_reads_back(struct trie_owner *o);
/* What a trie needs that holds hardly anything. */
size_t trie_smallest_bytes(void);
/* Nothing is in use, and what is still allocated is what the smallest trie needs. */
void trie_is_empty(const struct trie_owner *o);

#endif
