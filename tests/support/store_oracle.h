/* SPDX-License-Identifier: MIT */
/* What a process that appends was promised, kept by another one that outlives it.
 *
 * Writers 0 to 3 append to a stream of their own, "own-K", at exact versions, and to one that all
 * share. What append `seq` of a writer brings follows from the two numbers. The process that appends
 * writes a note before each call and one after it, into a pipe; who holds the oracle hears them, and
 * when the other one is dead the store is checked: acknowledged is there, where it was said to be;
 * begun is there whole or not at all; nothing else is; what was once seen or not seen stays so.
 *
 * Threads: one.
 */
#ifndef EVB_TEST_STORE_ORACLE_H
#define EVB_TEST_STORE_ORACLE_H

#include <evbus/store.h>
#include <stdbool.h>

#define ORACLE_WRITERS 4u
#define ORACLE_RECORDS 6u   /* of one append, at most */
#define ORACLE_PAYLOAD 320u /* bytes, at most */
#define ORACLE_SHARED  "shared"

enum {
    ORACLE_BEGUN,
    ORACLE_ACKED,
    ORACLE_REFUSED, /* another version: nothing was appended */
    ORACLE_TRIM,    /* position: up to where; begun */
    ORACLE_TRIMMED, /* position: the first that is kept */
    ORACLE_SNAP,    /* version; of the own stream; begun */
    ORACLE_SNAPPED,
    ORACLE_OPENING,
    ORACLE_OPENED
};

/* Small enough to go through a pipe in one piece. */
struct oracle_note {
    uint32_t what, writer, seq;
    uint32_t duplicate; /* ACKED: it had been there already */
    int64_t expected;   /* BEGUN */
    int64_t version;    /* ACKED: of its last record */
    uint64_t position;  /* likewise */
};

/* What a writer goes on with after a crash. */
struct oracle_plan {
    uint32_t seq;
    bool again; /* this append was begun, and nobody knows: once more, at `expected` */
    int64_t expected;
    int64_t version; /* of its own stream: what the first new append expects */
};

/* ---- what append seq of a writer is ---- */

bool oracle_is_shared(uint32_t writer, uint32_t seq);
uint32_t oracle_count(uint32_t writer, uint32_t seq); /* records */
const char *oracle_own(uint32_t writer);              /* its own stream */
struct oracle_bytes {
    char topic[16];
    unsigned char id[16], data[ORACLE_PAYLOAD];
};
void oracle_record(uint32_t writer, uint32_t seq, uint32_t index, struct oracle_bytes *bytes,
                   evb_record *ret);
/* The state of its own stream at a version, for a snapshot. */
size_t oracle_state(uint32_t writer, int64_t version, char *buf, size_t room);

/* ---- the oracle ---- */

struct oracle;
struct oracle *oracle_new(void);
void oracle_free(struct oracle *oracle);
/* NULL, or what is wrong with it. */
const char *oracle_hear(struct oracle *oracle, const struct oracle_note *note);
/* The process is dead, the store open: compared with what was heard. NULL, or what is wrong. */
const char *oracle_check(struct oracle *oracle, evb_store *store);
struct oracle_plan oracle_plan(const struct oracle *oracle, uint32_t writer);

struct oracle_totals {
    uint64_t acked, kept, vanished; /* appends: acknowledged; begun and found there, begun and not */
    uint64_t again, refused, snapshots, trims;
};
struct oracle_totals oracle_totals(const struct oracle *oracle);

#endif
