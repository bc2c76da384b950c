/* SPDX-License-Identifier: MIT */
/* The owner of tries in tests. */
#include "trie_owner.h"

#include <evbus/base.h>
#include "evb_test.h"
#include "topic/trie_table.h"
#include "topic_oracle.h"

#include <stdlib.h>
#include <string.h>

#define SEED UINT64_C(0x7121e5eed)

static void retire(void *arg, struct evb__limbo *block)
{
    struct trie_owner *o = arg;

    EQ(block->hazard, 0); /* only readers that look names up */
    o->retirements++;
    if (o->free_at_once) {
        block->free(block);
        return;
    }
    block->next = o->retired;
    o->retired = block;
}

static void moved(void *arg, uint32_t head, uint32_t place)
{
    struct trie_owner *o = arg;

    CHECK(head >= 1 && head <= o->entries);
    CHECK(o->entry[head - 1].place != 0);
    o->entry[head - 1].place = place;
    o->moves++;
}

void trie_owner_start(struct trie_owner *o, uint32_t dialect, uint32_t entries)
{
    *o = (struct trie_owner){.dialect = dialect, .entries = entries, .free_at_once = true};
    o->entry = calloc(entries, sizeof *o->entry);
    CHECK(o->entry != NULL);
    OK(evb__trie_init(&o->trie, evb__dialect(dialect), SEED,
                      (struct evb__retirer){.retire = retire, .arg = o}, moved, o));
}

void trie_owner_finish(struct trie_owner *o)
{
    struct evb__limbo *block;

    evb__trie_fini(&o->trie);
    while ((block = o->retired) != NULL) {
        o->retired = block->next;
        block->free(block);
    }
    free(o->entry);
}

struct evb__tokens trie_pattern(const struct trie_owner *o, const char *text)
{
    struct evb__tokens tokens;

    OK(evb__pattern_split(evb__dialect(o->dialect), text, strlen(text), &tokens));
    CHECK(tokens.wild > 0);
    return tokens;
}

struct evb__tokens trie_topic(const struct trie_owner *o, const char *text)
{
    struct evb__tokens tokens;

    OK(evb__topic_split(evb__dialect(o->dialect), text, strlen(text), &tokens));
    return tokens;
}

bool trie_owner_add(struct trie_owner *o, uint32_t index)
{
    struct trie_entry *e = &o->entry[index];
    struct evb__tokens pattern = trie_pattern(o, e->text);

    e->place = evb__trie_add(&o->trie, &pattern);
    if (e->place == 0) return false;
    EQ(evb__trie_head(&o->trie, e->place), 0);
    evb__trie_set_head(&o->trie, e->place, index + 1);
    return true;
}

void trie_owner_drop(struct trie_owner *o, uint32_t index)
{
    uint32_t place = o->entry[index].place;

    evb__trie_set_head(&o->trie, place, 0);
    o->entry[index].place = 0;
    evb__trie_release(&o->trie, place);
}

static void count_report(uint32_t head, void *arg)
{
    struct trie_owner *o = arg;

    CHECK(head >= 1 && head <= o->entries);
    o->entry[head - 1].reports++;
}

uint32_t trie_matches_as_defined(struct trie_owner *o, const char *topic)
{
    struct evb__tokens tokens = trie_topic(o, topic);
    uint32_t matches = 0;

    for (uint32_t i = 0; i < o->entries; i++)
        o->entry[i].reports = 0;
    evb__trie_match(&o->trie, &tokens, count_report, o);
    for (uint32_t i = 0; i < o->entries; i++) {
        const struct trie_entry *e = &o->entry[i];
        uint32_t expected = e->place != 0 && topic_oracle_matches(o->dialect, e->text, topic) == 1;

        if (e->reports != expected)
            evb_test_fail(__FILE__, __LINE__, "pattern \"%s\" topic \"%s\": %u reports, expected %u", e->text,
                          topic, e->reports, expected);
        matches += expected;
    }
    return matches;
}

bool trie_owner_has(const struct trie_owner *o, const char *text)
{
    for (uint32_t i = 0; i < o->entries; i++)
        if (o->entry[i].place != 0 && strcmp(o->entry[i].text, text) == 0) return true;
    return false;
}

static int32_t count_place(uint32_t place, uint32_t head, void *arg)
{
    struct trie_owner *o = arg;

    EQ(o->entry[head - 1].place, place);
    o->entry[head - 1].reports++;
    return 0;
}

void trie_reads_back(struct trie_owner *o)
{
    char text[EVB__NAME_MAX + 1];

    for (uint32_t i = 0; i < o->entries; i++)
        o->entry[i].reports = 0;
    EQ(evb__trie_each(&o->trie, count_place, o), 0);
    for (uint32_t i = 0; i < o->entries; i++) {
        struct trie_entry *e = &o->entry[i];
        struct evb__tokens pattern;

        EQ(e->reports, e->place != 0);
        if (e->place == 0 && trie_owner_has(o, e->text)) continue; /* somebody else's by now */
        if (e->text[0] == '\0') continue;                          /* none yet */
        pattern = trie_pattern(o, e->text);
        EQ(evb__trie_find(&o->trie, &pattern), e->place);
        if (e->place == 0) continue;
        EQ(evb__trie_head(&o->trie, e->place), i + 1);
        EQ(evb__trie_text(&o->trie, e->place, text), strlen(e->text));
        EQ_STR(text, e->text);
    }
}

size_t trie_smallest_bytes(void)
{
    return sizeof(struct evb__trie_table) + (EVB__TRIE_BUCKETS_MIN + 1) * sizeof(struct evb__trie_bucket) +
           sizeof(struct evb__token_map) + EVB__TOKEN_SLOTS_MIN * sizeof(struct evb__token_slot) +
           EVB__TOKEN_UNITS_MIN * sizeof(uint32_t);
}

void trie_is_empty(const struct trie_owner *o)
{
    EQ(o->trie.nodes, 0);
    EQ(evb__trie_tokens(&o->trie), 0);
    CHECK(evb__trie_bytes(&o->trie) <= trie_smallest_bytes());
}
