/* SPDX-License-Identifier: MIT */
/* A fixed history of appends, which every test of the store can write, and check wherever it was
 * interrupted.
 *
 * Append j (from 0) goes to stream "stream-K" and brings one to six records; the record at position
 * p has a topic, a key, a header, an id and bytes that follow from p alone. So whatever a test finds
 * in a store is either exactly a beginning of this history, at the end of an append, or wrong.
 */
#ifndef EVB_TEST_STORE_KIT_H
#define EVB_TEST_STORE_KIT_H

#include <evbus/store.h>
#include <stdbool.h>

#define STORE_KIT_STREAMS 5u
#define STORE_KIT_RECORDS 6u /* of one append, at most */
#define STORE_KIT_PAYLOAD 1024u

/* How many records append j has, and the position of its first one. */
uint32_t store_kit_count(uint32_t j);
uint64_t store_kit_position(uint32_t j);
const char *store_kit_stream(uint32_t j);

/* The status of append j, with the exact version expected (by the history) or any. */
int32_t store_kit_append(evb_store *store, uint32_t j, bool exact);

/* Is this record what the history has at record->position? NULL or what is wrong. */
const char *store_kit_is(const evb_record *record);

/* The store holds the appends [first, *ret_end) and nothing else, however it is read: forward,
 * backwards, by streams, by versions. NULL or what is wrong. */
const char *store_kit_check(evb_store *store, uint32_t first, uint32_t *ret_end);
/* Forward only. */
const char *store_kit_forward(evb_store *store, uint32_t first, uint32_t *ret_end);

/* A directory of one's own on the real disk, and away with it. */
const char *store_kit_dir(void);
int store_kit_setup(void **state);
int store_kit_teardown(void **state);

#endif
