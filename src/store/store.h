/* SPDX-License-Identifier: MIT */
/* evb_store inside: who may write, what is on its way to the disk, and what readers may see.
 *
 *      append --encode--> fill group --(role)--> pwrite, fdatasync --> visible --> readers
 *                         under `lock`           nothing held
 *
 * An append checks the version and writes its frame into the *fill group*, a buffer, under the lock;
 * then it waits. Whoever finds nobody in the *role* takes it: he is the leader, swaps the groups,
 * writes the full one at its offset with one pwrite, syncs it with one fdatasync, wakes everybody in it
 * and hands the role to the first of those who came meanwhile. Frames get their checksum and watermark
 * from the leader, outside the lock.
 *
 * Invariant: there is one holder of the role at a time; only he does I/O on the segment that is being
 * written, changes the list of segments, or trims. The lock guards everything else in the struct and is
 * held for bookkeeping only. Frames lie in the file in the order of their positions; [visible] moves
 * forward only, to the end of a group that has come as far as the level asks: durable for GROUP and
 * EACH, written for the others (MEM: a reader that comes to the end has it written first). `poisoned`
 * is for good.
 *
 * A group that could not be written (no room) takes everybody with it who came after: their positions
 * build on it. The table of streams is taken back by the groups' undo lists, the file by truncate and
 * sync, so that no frame of a failed append can turn up behind a later one.
 */
#ifndef EVB__STORE_STORE_H
#define EVB__STORE_STORE_H

#include <evbus/store.h>
#include <stdbool.h>
#include "base/atomic.h"
#include "base/thread.h"
#include "store/files.h"
#include "store/format.h"
#include "store/scan.h"
#include "store/streams.h"
#include "store/turns.h"

#define EVB__SEGMENT_MIN      (16u * 1024)
#define EVB__SEGMENT_MAX      (UINT32_C(1) << 30)
#define EVB__SEGMENT_DEFAULT  (64u * 1024 * 1024)
#define EVB__INTERVAL_DEFAULT INT64_C(10000000)
#define EVB__GROUP_MAX        (4u * 1024 * 1024) /* bytes that one write takes, unless one append is larger */
#define EVB__LANDMARK_EVERY   (64u * 1024)       /* bytes of a segment */

/* A frame that can be found without walking there. */
struct evb__landmark {
    uint64_t position;
    uint64_t offset;
    int64_t time_before; /* the latest time of an event before it in this segment; INT64_MIN: none */
};

struct evb__segment {
    uint64_t base; /* position of its first event */
    uint32_t number, salt, flags;
    uint32_t prev_crc;
    uint64_t prev_end;
    uint64_t end_offset;   /* behind its last frame, buffered ones included */
    uint64_t end_position; /* of the event after its last one */
    uint32_t last_crc;     /* of its last frame, a SEAL not counted; 0: it has none */
    bool sealed;           /* there is a SEAL: another segment follows */
    int64_t max_time;      /* of its events; INT64_MIN: none */
    struct evb__landmark *marks;
    uint32_t mark_count, mark_room;
};

struct evb__waiter {
    struct evb__waiter *next;
    EVB__ATOMIC(uint32_t) state; /* EVB__WAITING .. */
    int32_t status;
};
enum { EVB__WAITING = 0, EVB__LEAD = 1, EVB__DONE = 2 };

struct evb__waiters {
    struct evb__waiter *head, **tail;
};

/* Frames on their way to the disk. */
struct evb__group {
    unsigned char *bytes;
    size_t used, room;
    uint64_t offset; /* in the segment */
    bool sync;       /* somebody asks for more than the level does */
    uint32_t appends;
    struct evb__waiters waiters;
    struct evb__stream_undo *undo; /* one for each append */
    uint32_t undo_count, undo_room;
    /* before the first append of the group */
    uint64_t position;
    int64_t max_time;
    uint32_t mark_count;
};

struct evb_store {
    /* constant */
    char *dir;
    size_t dir_bytes;
    uint32_t generation;
    evb_store_opts opts; /* with the defaults filled in */
    bool read_only;
    uint32_t max_frame;
    int32_t lock_fd;
    struct evb__format format;

    EVB__ATOMIC(uint32_t) refs;        /* the owner and each reader */
    EVB__ATOMIC(uint32_t) users;       /* buses and registries: it cannot be closed */
    EVB__ATOMIC(uint64_t) last, first; /* evb_store_last_position, evb_store_first_position */

    struct evb__mutex lock;
    EVB__ATOMIC(uint32_t) closed; /* set under the lock */
    bool poisoned;
    bool untold; /* and nobody has logged it yet */
    struct evb__streams streams;
    struct evb__segment **segments; /* rising; the last one is written to */
    uint32_t segment_count, segment_room;
    uint64_t next_position;    /* of the next append */
    uint64_t written, durable; /* all events before these positions are */
    uint32_t visible_segment;  /* number */
    uint64_t visible_offset, visible_position;
    bool salvaged; /* events may be missing */
    bool damaged;  /* read-only: behind what is visible something is wrong */
    struct evb__group groups[2];
    uint32_t fill;                /* groups[fill] takes appends */
    bool rolling;                 /* none may be taken now */
    bool stuck;                   /* MEM: groups[!fill] did not find room on the disk */
    bool busy;                    /* somebody has the role */
    struct evb__waiters entrants; /* for the role */
    uint32_t followers;           /* readers that sleep on `moved` */
    EVB__ATOMIC(uint32_t) moved;  /* steps when more is visible, and at close */

    /* the role's */
    int32_t fd;                 /* of the last segment */
    uint64_t allocated;         /* bytes of its file that are there */
    bool no_allocate;           /* this file system cannot */
    uint64_t hurried;           /* bytes of it that the system has been asked to write */
    bool indexed;               /* the last segment has an index */
    bool marked;                /* the last frame is a MARK, and it is durable */
    uint32_t last_group;        /* appends in the last group: linger? */
    unsigned char *zeros;       /* EVB_STORE_ZERO_FILL */
    EVB__ATOMIC(uint32_t) turn; /* of temporary names */

    /* INTERVAL and MEM */
    struct evb__thread thread;
    bool thread_runs, thread_idle, thread_ends;
    EVB__ATOMIC(uint32_t) thread_word;
};

/* ---- open.c ---- */
int32_t evb__store_enter(const evb_store *store); /* EVB_EINVAL, EVB_EFORKED */
/* Takes DIR/LOCK. EVB_EBUSY, EVB_ENOTFOUND. */
int32_t evb__store_lock(const char *dir, bool create, int32_t *ret_fd);
void evb__store_unref(evb_store *store);
/* A struct with the defaults, not opened. */
int32_t evb__store_make(const char *dir, evb_store **ret_store);
/* There is no META. EVB_OK: nor anything else but what an interrupted creation leaves in seg: at most
 * one file, and no frame in it. EVB_ECORRUPT: META has been lost. */
int32_t evb__store_leftover(evb_store *store);
/* META into store->format. */
int32_t evb__store_meta(evb_store *store);
/* A bus or a registry uses it: closing it answers EVB_EBUSY. */
void evb__store_hold(evb_store *store);
void evb__store_release(evb_store *store);

/* ---- append.c ---- */

/* Records for one stream: one frame. */
struct evb__append {
    const char *stream; /* 1 to 255 bytes */
    int64_t expected;   /* version, or EVB_ANY_VERSION .. */
    const evb_record *records;
    uint32_t n;

    uint64_t position; /* filled in: of the last record */
    int64_t version;   /* likewise; on EVB_ECONFLICT what the stream has */

    size_t name_size; /* append.c's */
    uint32_t bytes;   /* of the frame */
    bool ids;         /* every record has one */
    struct evb__stream *to;
};

/* Several appends with one write and one sync, at positions without a gap; all or none, but that a crash
 * may leave a beginning of them. Together at most a quarter of a segment, names included: EVB_ETOOBIG.
 * Any name of up to 255 bytes is a topic. sync: durable when it returns, whatever the level. turns: may
 * be NULL; where *ret_turn is then set, the turn is to be waited for and passed, also after an error. On
 * EVB_EIO evb__store_tell is the caller's. */
int32_t evb__store_append_all(evb_store *store, struct evb__append *appends, uint32_t count, bool sync,
                              struct evb__turns *turns, uint64_t *ret_turn);

/* ---- segment.c ---- */
struct evb__segment *evb__segment_last(const evb_store *store);
/* The index of the first segment with a position above this one behind its end, in store->segments. */
uint32_t evb__segment_index(const evb_store *store, uint64_t position);
struct evb__segment *evb__segment_by_number(const evb_store *store, uint32_t number);
struct evb__segment *evb__segment_make(const struct evb__segment_header *header);
void evb__segment_free(struct evb__segment *segment);
int32_t evb__segment_push(evb_store *store, struct evb__segment *segment);
/* Room for so many more landmarks, so that noting a frame cannot fail. */
int32_t evb__segment_reserve(struct evb__segment *segment, uint32_t more);
void evb__segment_note(struct evb__segment *segment, uint64_t offset, uint64_t position);
/* Makes the file of a new last segment, durable, and opens it. The role's; the segment is not in the
 * list. */
int32_t evb__segment_create(evb_store *store, const struct evb__segment_header *header, int32_t *ret_fd);
int32_t evb__segment_header_write(int32_t fd, const struct evb__segment_header *header);

/* ---- index.c: N.idx and HEADS ---- */
int32_t evb__index_save(const evb_store *store, const struct evb__segment *segment);
/* Takes what the index of a segment knows into the table and the segment. EVB_ENOTFOUND: nothing
 * that can be used, nothing changed. EVB_ECORRUPT: it contradicts what came before. EVB_ENOMEM: the
 * store is to be given up. */
int32_t evb__index_load(evb_store *store, struct evb__segment *segment);
/* How far the index of the segment of this base says that something was durable, and in a segment of
 * which salt; 0: there is none that says anything. EVB_EIO, EVB_ENOMEM: nobody knows. */
int32_t evb__index_covers(const evb_store *store, uint64_t base, uint32_t *ret_salt, uint64_t *ret_covered);
int32_t evb__heads_save(evb_store *store, uint64_t first); /* first: base of the first segment that is kept */
int32_t evb__heads_load(evb_store *store);                 /* EVB_ENOTFOUND */

/* ---- commit.c: the role and the groups ---- */
void evb__waiters_init(struct evb__waiters *waiters);
void evb__role_take_locked(evb_store *store);
void evb__role_pass_locked(evb_store *store);
/* Writes the fill group, and syncs if the level or `sync` asks for it. The role's, under the lock,
 * which it leaves for the I/O. EVB_OK, or what became of it. */
int32_t evb__commit_locked(evb_store *store, bool sync);
/* The fill group's waiters have one more: me, until the group is through. Under the lock, returns
 * without it.
 */
int32_t evb__commit_wait_locked(evb_store *store, struct evb__waiter *me);
void evb__groups_begin(evb_store *store); /* both empty, at the end of the last segment */
void evb__moved_locked(evb_store *store);
void evb__store_poison_locked(evb_store *store);
/* Logs that the store has failed, once; not under the lock. */
void evb__store_tell(evb_store *store);
void evb__store_thread(void *store);
void evb__store_thread_wake_locked(evb_store *store);

/* ---- roll.c ---- */
/* What the next segment begins with. */
void evb__segment_next(const evb_store *store, struct evb__segment_header *ret);
/* A new last segment. The role's, under the lock, with everything durable; leaves the lock. */
int32_t evb__roll_locked(evb_store *store);
/* Deletes segments before the first that is kept: those that end before position, or that retention
 * does not want. The role's, under the lock; leaves it. Count or error. */
int32_t evb__trim_locked(evb_store *store, uint64_t before_position, bool retention);

#endif
