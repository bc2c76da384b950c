/* SPDX-License-Identifier: MIT */
/* evbus/store.h: the event store: an append-only log of streams, with replay and snapshots.
 *
 * A store is a directory. Records are appended to streams; each gets a version within its stream (1, 2, 3,
 * ...) and a position within the store, which rises but may have gaps. A writer says which version he expects
 * and learns if somebody was faster: event sourcing. Readers read a stream, a pattern of topics or
 * everything, forward or backward, from a version, a position or a time, and can go on with what is appended
 * later. Usable without a bus; a bus with a store can persist topics and keep durable subscriptions.
 *
 *
 * GUARANTEES
 * - An append is one unit: after a crash all of its records are there or none.
 * - What an acknowledged append can lose is in the name of the level: EVB_SYNC_GROUP (the default) and
 *   EVB_SYNC_EACH nothing; EVB_SYNC_OS nothing at kill -9 and about 30 s at a power cut; EVB_SYNC_INTERVAL
 *   nothing at kill -9 and the interval at a power cut; EVB_SYNC_MEM up to the interval at kill -9.
 * - Every append carries a CRC32C. A torn tail is given up when the store is opened, and logged; damage before
 *   it is EVB_ECORRUPT, logged with segment and offset, never skipped in silence. The two are told apart: every
 *   append says how far the log was durable when it was written.
 * - A reader sees what is durable (EVB_SYNC_GROUP, EVB_SYNC_EACH), or what is written (the weaker levels; with
 *   EVB_SYNC_MEM a reader that comes to the end has what is in memory written first).
 * - Following never loses or doubles a record where catching up ends and live begins: it is one loop.
 *
 * WHAT IT DOES NOT DO
 * - It does not replicate, compact or encrypt. It has no transactions over several streams.
 * - It does not trust a failed fsync: Linux may have dropped the data. The store is poisoned until it is
 *   opened again. What was written is readable up to the last good sync.
 * - It keeps no index of streams on the disk: all names of streams and 8 bytes for each append are in memory.
 *
 * CAVEATS
 * - One process writes to a directory (flock); others may open it read-only. Network file systems are not
 *   supported.
 * - fork: the child's handle is dead (EVB_EFORKED); the parent's goes on. A child that does not exec keeps the
 *   directory locked as long as it lives. Signals: not async-signal-safe.
 * - exit without evb_store_close loses what the level allows and nothing else.
 * - Threads: levels INTERVAL and MEM start one thread for a store, the others none.
 *
 * A PROGRAM
 *
 *     #include <evbus/store.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         evb_record record = { 0 };
 *         evb_reader *reader;
 *         evb_store *store;
 *
 *         record.topic = "account.deposited";
 *         record.data = "100";
 *         record.size = 3;
 *         if (evb_store_open("accounts", NULL, &store) < 0) return 1;
 *         evb_store_append(store, "account-7", EVB_NO_STREAM, &record, 1, NULL);
 *         if (evb_store_append(store, "account-7", EVB_NO_STREAM, &record, 1, NULL) == EVB_ECONFLICT)
 *             printf("somebody was faster\n");
 *         if (evb_store_read(store, NULL, &reader) < 0) return 1;
 *         while (evb_reader_next(reader, 0, &record) == EVB_OK)
 *             printf("%s %d: %s %.*s\n", record.stream, (int)record.version, record.topic, (int)record.size,
 *                    (const char *)record.data);
 *         evb_reader_close(reader);
 *         return evb_store_close(store) < 0;
 *     }
 *
 * It prints:
 *
 *     somebody was faster
 *     account-7 1: account.deposited 100
 */
#ifndef EVBUS_STORE_H
#define EVBUS_STORE_H

#include <evbus/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* evb_store_opts.sync: when an append is acknowledged */
enum {
    EVB_SYNC_GROUP = 0,    /* after an fdatasync that all waiting appends share */
    EVB_SYNC_EACH = 1,     /* after an fdatasync of its own */
    EVB_SYNC_INTERVAL = 2, /* after the write; fdatasync every interval_ns */
    EVB_SYNC_OS = 3,       /* after the write */
    EVB_SYNC_MEM = 4       /* in memory; written every interval_ns */
};

/* evb_store_opts.flags */
enum {
    EVB_STORE_READ_ONLY = 1, /* beside a writer in another process; appends answer EVB_ENOTSUP */
    EVB_STORE_ZERO_FILL = 2  /* new segments are filled with zeros first: shorter commits, twice the bytes */
};

/* Expected version of an append: one of these, or exactly the version the stream has */
enum {
    EVB_ANY_VERSION = -1,  /* whatever it has */
    EVB_NO_STREAM = 0,     /* none yet; the first version is 1 */
    EVB_STREAM_EXISTS = -2 /* at least one */
};

typedef struct evb_store_opts {
    uint32_t struct_size;   /* sizeof(evb_store_opts), or 0 */
    uint32_t sync;          /* EVB_SYNC_*; default group */
    int64_t interval_ns;    /* of EVB_SYNC_INTERVAL and EVB_SYNC_MEM; 0 = 10 ms */
    uint64_t segment_bytes; /* a file is closed at this size; 16 KiB to 1 GiB, 0 = 64 MiB */
    uint32_t flags;         /* EVB_STORE_* */
    uint32_t reserved;      /* 0 */
    uint64_t retain_bytes;  /* beyond it the oldest segments go that no subscription needs; 0 = none */
    int64_t retain_ns;      /* likewise for segments older than this; 0 = none */
} evb_store_opts;

/* A record, to append or as read. Its layout is frozen. */
typedef struct evb_record {
    const char *stream;        /* read: its stream. append: NULL, the call names it */
    const char *topic;         /* its type, and what patterns match; NUL-terminated. append: not NULL */
    const void *data;          /* payload; may be NULL when size is 0 */
    size_t size;               /* bytes; an append is at most a quarter of segment_bytes */
    const void *key;           /* as in evb_event; NULL = none */
    uint32_t key_len;          /* bytes, up to 255 */
    uint32_t header_count;     /* entries of headers */
    const evb_header *headers; /* up to 8 KiB in all */
    const void *event_id;      /* 16 bytes that name this event, for idempotent appends; NULL = none */
    uint64_t position;         /* read: place in the store. append: not used */
    int64_t version;           /* read: place in its stream. append: not used */
    int64_t time_ns;           /* realtime of the append. append: 0 = now */
    uint32_t schema_type;      /* of its payload in the registry, 0 = none (schema.h) */
    uint32_t schema_version;   /* likewise */
    uint32_t flags;            /* 0 */
    uint32_t reserved0;        /* 0 */
    uint64_t reserved[2];      /* 0 */
} evb_record;

/* evb_append_result.flags */
enum {
    EVB_APPEND_DUPLICATE = 1 /* these very events, by event_id, were there already: success */
};

/* What an append did. */
typedef struct evb_append_result {
    uint32_t struct_size; /* set by the caller: sizeof(evb_append_result) */
    uint32_t flags;       /* EVB_APPEND_DUPLICATE */
    uint64_t position;    /* of the last record */
    int64_t version;      /* of the last record; on EVB_ECONFLICT the stream's current version */
} evb_append_result;

/* ---- Calls: open and close ----------------------------------------------------------------------------- */

/* Opens the store in a directory, making it if it is not there, and recovers it: a torn tail is cut, the
 * stream index rebuilt from the last checkpoint.
 *
 * Parameters: dir: not NULL; its parent must exist. opts: may be NULL. ret_store: not NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_store_close. opts is copied.
 * Threads: any thread.
 * Cost: may block (reads the tail); allocates; may make system calls.
 * Errors: EVB_EBUSY: open already, here or in another process. EVB_ECORRUPT: damage before the tail: see
 *   evb_store_salvage; opened read-only, a damaged store shows what lies before. EVB_EINVAL: a NULL argument,
 *   a field out of range, dir above 3900 bytes. EVB_ENOTFOUND: no parent directory, or read-only and nothing
 *   there. EVB_ENOTSUP: a newer format, or struct_size as in base.h. EVB_ENOSPC: no room. EVB_EIO:
 *   the system refuses. EVB_EAGAIN: no thread for INTERVAL or MEM. EVB_ENOMEM: no memory.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_open(const char *dir, const evb_store_opts *opts, evb_store **ret_store);

/* Writes and syncs what is left, writes a checkpoint, and closes. Readers that are still open answer
 * EVB_ECLOSED.
 *
 * Parameters: store: not NULL.
 * Returns: EVB_OK.
 * Ownership: ends here, but with EVB_EBUSY; also when it answers EVB_EIO.
 * Threads: owner (no other call on the store may run or begin), not from a callback.
 * Cost: may block; does not allocate; may make system calls.
 * Errors: EVB_EBUSY: a bus or a registry uses it: nothing happened. EVB_EIO: the last sync failed.
 *   EVB_ENOSPC: no room for what EVB_SYNC_MEM had in memory; it is lost. EVB_EPOISONED: an earlier sync had
 *   failed. EVB_EDEADLK: inside a callback: nothing happened. EVB_EINVAL: NULL.
 *   EVB_EFORKED: opened before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_close(evb_store *store);

/* ---- Calls: append ------------------------------------------------------------------------------------- */

/* Appends n records to a stream, all or none, if the stream has the expected version; returns when the level
 * of the store says so. With an exact expected version the same records with the same event ids appended
 * again are a success (EVB_APPEND_DUPLICATE).
 *
 * Parameters: store, stream: not NULL; stream up to 255 bytes. expected_version: EVB_ANY_VERSION,
 *   EVB_NO_STREAM, EVB_STREAM_EXISTS or a version. records: n of them, at least 1. ret_result: filled in on
 *   success and on EVB_ECONFLICT.
 * Returns: EVB_OK.
 * Ownership: everything is copied.
 * Threads: any thread. One that appends inside a callback blocks it.
 * Cost: may block (disk); may allocate; may make system calls (one write and sync for many appends).
 * Errors: EVB_ECONFLICT: another version. EVB_ETOOBIG: a record or the batch is above its limit. EVB_EINVAL:
 *   a NULL argument, n is 0, a bad name. EVB_ENOSPC: disk full, or retention may not delete; nothing
 *   appended, later ones may succeed. EVB_EAGAIN: no descriptor for the next segment; likewise. EVB_EIO: this
 *   append's write or sync failed. EVB_EPOISONED: an earlier one had.
 *   EVB_ENOTSUP: read-only. EVB_ENOMEM: no memory. EVB_EFORKED: opened before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_append(evb_store *store, const char *stream, int64_t expected_version,
                                 const evb_record *records, uint32_t n, evb_append_result *ret_result);

/* Makes everything appended so far durable, whatever the level.
 *
 * Parameters: store: not NULL.
 * Returns: EVB_OK.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (disk); does not allocate; may make system calls.
 * Errors: EVB_EIO, EVB_EPOISONED, EVB_ENOSPC, EVB_EFORKED: as evb_store_append. EVB_EINVAL: NULL.
 *   EVB_ENOTSUP: read-only.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_sync(evb_store *store);

/* Tells the version a stream has: that of its last record.
 *
 * Parameters: store, stream: not NULL.
 * Returns: the version, from 1; 0 = no such stream.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: EVB_EINVAL: a NULL argument, a bad name. EVB_EFORKED: opened before fork.
 * Since: 0.1.0
 */
EVB_API int64_t evb_store_version(evb_store *store, const char *stream);

/* Tells the position of the last record.
 *
 * Parameters: store: NULL answers 0.
 * Returns: the position, from 1; 0 = empty.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API uint64_t evb_store_last_position(evb_store *store);

/* Tells the position of the first record that is kept: what lies before has been trimmed.
 *
 * Parameters: store: NULL answers 0.
 * Returns: the position, from 1; 0 = nothing is kept.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API uint64_t evb_store_first_position(evb_store *store);

/* ---- Calls: read --------------------------------------------------------------------------------------- */

/* evb_read_opts.flags */
enum {
    EVB_READ_BACKWARDS = 1, /* newest first; not with EVB_READ_FOLLOW */
    EVB_READ_FOLLOW = 2     /* does not end at the end: evb_reader_next waits for more */
};

/* What to read. At most one of the three starts is set; none = from the first record, backwards from the
 * last. */
typedef struct evb_read_opts {
    uint32_t struct_size;      /* sizeof(evb_read_opts), or 0 */
    uint32_t flags;            /* EVB_READ_* */
    const char *stream;        /* this stream only; NULL = all */
    const char *topic_pattern; /* topics that match it, in the dialect EVB_TOPICS_DOT; NULL = all */
    uint64_t from_position;    /* inclusive; 0 = not set */
    int64_t from_version;      /* inclusive, with stream; 0 = not set */
    int64_t from_time_ns;      /* the first record of that time or later; 0 = not set. See evb_store_read */
} evb_read_opts;

/* Begins a read. Backwards, a read from a time begins before the first record of a later time.
 *
 * Parameters: store: not NULL. opts: NULL = everything, forward. ret_reader: not NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_reader_close. opts is copied.
 * Threads: any thread.
 * Cost: does not block; allocates; may make system calls.
 * Errors: EVB_ETRUNCATED: the start lies before the first kept position. EVB_EINVAL: a NULL argument, a bad
 *   name or pattern, several starts, an unknown flag, a version without a stream. EVB_ENOMEM: no memory.
 *   EVB_EIO: a file cannot be opened. EVB_EFORKED: opened before fork. EVB_ENOTSUP: struct_size as in base.h.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_read(evb_store *store, const evb_read_opts *opts, evb_reader **ret_reader);

/* Reads the next record.
 *
 * Parameters: reader: not NULL. timeout_ns: nanoseconds or EVB_FOREVER to wait at the end with
 *   EVB_READ_FOLLOW, or 0. ret_record: not NULL.
 * Returns: EVB_OK.
 * Ownership: the record's pointers are views, valid until the next call on this reader.
 * Threads: owner (of the reader), not from a callback if it would wait.
 * Cost: may block (disk; at the end with EVB_READ_FOLLOW); may allocate (a record larger than its buffer);
 *   may make system calls.
 * Errors: EVB_EEMPTY: the end; with EVB_READ_FOLLOW and timeout_ns 0 for now. EVB_EAGAIN: caught up, told
 *   once each time. EVB_ETIMEDOUT: nothing in time. EVB_ECORRUPT: damage at this place, which the reader does
 *   not pass. EVB_ETRUNCATED: trimmed away meanwhile; the next call goes on behind. EVB_EIO: the system
 *   refuses. EVB_ECLOSED: the store was closed. EVB_EDEADLK: would wait inside a callback. EVB_ENOMEM: no
 *   memory. EVB_EINVAL: a NULL argument, or a timeout below -1. EVB_EFORKED: opened before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_reader_next(evb_reader *reader, int64_t timeout_ns, evb_record *ret_record);

/* Ends a read.
 *
 * Parameters: reader: NULL is nothing.
 * Ownership: ends here.
 * Threads: owner (of the reader).
 * Cost: does not block; does not allocate; may make system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_reader_close(evb_reader *reader);

/* ---- Calls: snapshots ---------------------------------------------------------------------------------- */

/* Saves the state of a stream at a version, so that a replay can begin there. It replaces the stream's older
 * snapshot.
 *
 * Parameters: store, stream: not NULL. version: what the state includes, from 1 to the stream's.
 *   schema_version: yours; a load with another one finds nothing. data: size bytes.
 * Returns: EVB_OK: it has been renamed into place and synced.
 * Ownership: everything is copied.
 * Threads: any thread.
 * Cost: may block (disk); may allocate; may make system calls.
 * Errors: EVB_ECONFLICT: the stream has not reached that version. EVB_EINVAL: a NULL argument, a version
 *   below 1. EVB_ETOOBIG: too large. EVB_ENOSPC, EVB_EIO, EVB_ENOTSUP, EVB_ENOMEM, EVB_EFORKED: as
 *   evb_store_append.
 * Since: 0.1.0
 */
EVB_API int32_t evb_snapshot_save(evb_store *store, const char *stream, int64_t version,
                                  uint32_t schema_version,
                                  const void *data, size_t size);

/* Loads the snapshot of a stream. Damaged or of another schema version: replay instead, snapshots are not
 * upcast.
 *
 * Parameters: store, stream: not NULL. schema_version: the one saved with. ret_record: not NULL; data, size
 *   and version are set.
 * Returns: EVB_OK.
 * Ownership: the record's memory is the caller's until evb_record_free.
 * Threads: any thread.
 * Cost: may block (disk); allocates; may make system calls.
 * Errors: EVB_ENOTFOUND: none that fits. EVB_EINVAL: a NULL argument. EVB_EIO: the system refuses.
 *   EVB_ENOMEM: no memory. EVB_EFORKED: opened before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_snapshot_load(evb_store *store, const char *stream, uint32_t schema_version,
                                  evb_record *ret_record);

/* Frees the memory of a record that evb_snapshot_load filled, and clears it. No other record needs this.
 *
 * Parameters: record: NULL is nothing.
 * Ownership: of the record's pointers ends here; the struct is the caller's.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Since: 0.1.0
 */
EVB_API void evb_record_free(evb_record *record);

/* ---- Calls: retention, damage -------------------------------------------------------------------------- */

/* Deletes whole segments that end before a position. What a durable subscription still needs stays.
 *
 * Parameters: store: not NULL. before_position: exclusive: this record stays.
 * Returns: how many segments were deleted.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (disk); allocates; may make system calls.
 * Errors: EVB_EIO: the system refuses. EVB_EINVAL: NULL. EVB_ENOTSUP: read-only. EVB_ENOMEM: no memory.
 *   EVB_ENOSPC, EVB_EPOISONED, EVB_EFORKED: as evb_store_append.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_trim(evb_store *store, uint64_t before_position);

/* What evb_store_verify and evb_store_salvage found. */
typedef struct evb_verify_report {
    uint32_t struct_size;        /* set by the caller: sizeof(evb_verify_report) */
    uint32_t damaged;            /* 1 = damage before the tail */
    uint64_t records;            /* that are good */
    uint64_t segments;           /* files looked at */
    uint64_t torn_bytes;         /* of the tail, cut by the next open */
    uint64_t first_bad_position; /* 0 = none */
    uint64_t lost_positions;     /* salvage: how many could not be saved */
    char segment[64];            /* file of the first damage */
    uint64_t offset;             /* byte in it */
} evb_verify_report;

/* Reads a closed store from end to end and checks everything; changes nothing.
 *
 * Parameters: dir: not NULL. ret_report: filled in also on EVB_ECORRUPT; may be NULL.
 * Returns: EVB_OK: no damage; a torn tail is none.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (reads all of it); allocates; may make system calls.
 * Errors: EVB_ECORRUPT: damage, see the report. EVB_EBUSY: open for writing. EVB_ENOTFOUND: no store there.
 *   EVB_ENOTSUP: a newer format. EVB_EIO: the system refuses. EVB_EINVAL: NULL dir. EVB_ENOMEM: no memory.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_verify(const char *dir, evb_verify_report *ret_report);

/* Makes a damaged store usable again: keeps every good record at its position, gives up the rest, keeps the
 * old files beside (*.damaged).
 *
 * Parameters: dir: not NULL. ret_report: may be NULL.
 * Returns: EVB_OK: it can be opened; lost_positions tells the price.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: may block (reads and writes all of it); allocates; may make system calls.
 * Errors: EVB_EBUSY: open. EVB_ENOTFOUND: no store there. EVB_ENOTSUP: a newer format. EVB_ENOSPC: no room
 *   for the copy. EVB_EIO: the system refuses. EVB_EINVAL: NULL dir. EVB_ENOMEM: no memory.
 * Since: 0.1.0
 */
EVB_API int32_t evb_store_salvage(const char *dir, evb_verify_report *ret_report);

/* ---- Calls: a bus and its store ------------------------------------------------------------------------ */

/* Persists topics: from now on events published or emitted on matching ones are appended to the bus' store
 * before anybody gets them, also when nobody is there. Each goes to the stream that is named like its topic,
 * or to evb_publish_opts.stream, and evb_event.position says where it is. Queues get persisted events in the
 * order of their positions, whoever publishes. If the store refuses, nobody gets the event and the publish
 * answers what evb_store_append would have. Messages of one evb_publish_many are appended with one write and
 * one sync, at positions that follow each other; a crash in the middle of it may leave a beginning of them.
 *
 * Parameters: bus: not NULL, with a store. pattern: as evb_on.
 * Returns: EVB_OK, also when it is persisted already.
 * Ownership: pattern is copied. Not remembered in the store: say it after each create.
 * Threads: any thread.
 * Cost: does not block; allocates; no system calls.
 * Errors: EVB_EINVAL: a NULL argument, a bus without a store, a pattern as evb_on. EVB_ENOMEM: no memory.
 *   EVB_ECLOSED: draining or destroyed. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_bus_persist(evb_bus *bus, const char *pattern);

/* Hands stored events to a function, in this thread, up to the last one at the moment of the call; each says
 * EVB_EVENT_REPLAYING, and evb_event_time_ns is when it was stored. Events that evb_store_append has brought
 * are among them.
 *
 * Parameters: bus: not NULL, with a store. pattern: as evb_on. from_position: inclusive; 0 or 1 = the first
 *   kept. fn: not NULL; non-zero stops. user: handed to fn.
 * Returns: how many events fn was called for, the one that stopped included.
 * Ownership: the event is valid until fn returns.
 * Threads: any thread, not from a callback.
 * Cost: may block (disk); allocates; may make system calls.
 * Errors: EVB_ETRUNCATED: from_position lies before the first kept one, or what comes next has been
 *   trimmed meanwhile. EVB_EINVAL: a NULL argument, a bus
 *   without a store, a pattern as evb_on. EVB_ECORRUPT: damage on the way. EVB_EIO: the system refuses.
 *   EVB_EDEADLK: inside a callback. EVB_ENOMEM: no memory. EVB_ECLOSED: destroyed. EVB_EFORKED: made before
 *   fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_bus_replay(evb_bus *bus, const char *pattern, uint64_t from_position, evb_handler fn,
                               void *user);

#ifdef __cplusplus
}
#endif

#endif
