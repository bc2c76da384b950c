/* SPDX-License-Identifier: MIT */
/* A disk in memory behind the table of base/file.h, which can lose power.
 *
 *      struct fault_fs *fs = fault_fs_new();
 *
 *      fault_fs_use(fs);                            // evb__files() is it now
 *      ... the code under test opens, writes, syncs ...
 *      image = fault_fs_crash(fs, seed, FAULT_FS_SECTORS);     // one disk that a power cut may leave
 *      fault_fs_use(image);
 *      ... the code under test opens again; what it finds is compared with what it promised ...
 *
 * What the disk knows of a file: the bytes that programs see (the page cache), the bytes that are on
 * the medium, and in order the operations between the two: writes, truncates, allocations. datasync on
 * the file moves them to the medium. Of a directory: the entries that programs see, those on the
 * medium, and in order the creates, renames, unlinks and mkdirs between, which datasync on the
 * directory moves. A file's own datasync does not save its name, as POSIX has it (ext4 is kinder).
 *
 * What a crash may leave, every choice drawn from the seed:
 *   - a sector of 512 bytes is as it was on the medium or as it was after any one of the writes to it
 *     since, whatever happened to the sectors beside it. Never a later write without an earlier one to
 *     the same sector: the page cache holds both;
 *   - the file's size is that of the medium or that after any one of the operations since, whatever
 *     happened to its data. Bytes below the size that nothing brought there are zeros;
 *   - each operation of a directory is kept or lost by itself. A rename is one operation: the old name
 *     or the new one, and the new one names what it named before or what was moved, never nothing;
 *   - what nobody names any more is gone; every descriptor, map and lock is.
 *
 * Calls answer as the system's table does (tests/unit/test_fault_fs.c compares them). Descriptors begin
 * at 1000 and none is given twice, also not in an image: a stale one is always noticed
 * (fault_fs_misuses). Paths are absolute, "a" is "/a", there is no ".."; a name is at most 63 bytes, a
 * file 1 GiB. A map shows later writes as the system's does; behind the end of the file, where the
 * system's raises SIGBUS, it reads 0xDD.
 *
 * Threads: any; one mutex for all disks. Randomness: from the seeds given, the same on every host.
 */
#ifndef EVB_TEST_FAULT_FS_H
#define EVB_TEST_FAULT_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/file.h"

#define FAULT_FS_SECTOR 512
#define FAULT_FS_PAGE   4096

struct fault_fs;

/* ---- disks ---- */

struct fault_fs *fault_fs_new(void); /* an empty directory "/" */
void fault_fs_free(struct fault_fs *fs);
const struct evb__files *fault_fs_files(struct fault_fs *fs);
void fault_fs_use(struct fault_fs *fs); /* evb__files_set; NULL: the system's again */
/* A teardown for cmocka: the system's table again, and what a failed test has left is freed. */
int fault_fs_after(void **state);

/* What is open or wrong: for the end of a test. */
uint32_t fault_fs_open_files(struct fault_fs *fs); /* descriptors and maps that nobody gave back */
uint64_t
fault_fs_misuses(struct fault_fs *fs); /* calls with a descriptor or map that is none, or not opened for it */
bool fault_fs_settled(struct fault_fs *fs); /* nothing is un-synced */

/* ---- the end of power, of the process, of memory ---- */

enum {
    FAULT_FS_SECTORS, /* whole sectors, as above */
    FAULT_FS_TORN,    /* and some are cut inside: on one side of a byte older than on the other */
    /* and in some the un-synced bytes are zeros, ones or noise; their neighbours stay, and so does what was
     * written again as it was */
    FAULT_FS_GARBLED,
    FAULT_FS_NOTHING, /* nothing un-synced is kept */
    FAULT_FS_ALL,     /* everything is, and is un-synced still: only the process was killed */
    /* Not for stores that need ordered data: sectors that a file has gained and nobody filled show what
     * deleted files had at the same place (ext4 data=writeback). What salts are for. */
    FAULT_FS_RECYCLED,
    FAULT_FS_MODES
};
const char *fault_fs_mode_name(uint32_t mode);

/* Another disk, as the power cut left it; `fs` goes on unharmed. Any number from one. */
struct fault_fs *fault_fs_crash(struct fault_fs *fs, uint64_t seed, uint32_t mode);
/* The same in place: descriptors are dead, the faults below are cleared, the counters go on. */
void fault_fs_crash_here(struct fault_fs *fs, uint64_t seed, uint32_t mode);
/* kill -9 and nothing more: descriptors and locks are gone, the cache is not, un-synced stays un-synced. */
void fault_fs_kill(struct fault_fs *fs);
/* The system needs memory: what it believes to be clean is read from the medium from now on,
 * as after `forget` of all files. After a failed
 * datasync that is the older data (FAULT_FS_GATE). */
void fault_fs_evict(struct fault_fs *fs);
void fault_fs_sync(struct fault_fs *fs); /* sync(2): everything is on the medium */
/* The same disk once more, un-synced operations included; nothing open, no faults, nothing recorded. */
struct fault_fs *fault_fs_clone(struct fault_fs *fs);

/* ---- counting ---- */

enum {
    FAULT_FS_OPEN,
    FAULT_FS_CLOSE,
    FAULT_FS_PREAD,
    FAULT_FS_PWRITE,
    FAULT_FS_DATASYNC,
    FAULT_FS_TRUNCATE,
    FAULT_FS_ALLOCATE,
    FAULT_FS_SIZE,
    FAULT_FS_RENAME,
    FAULT_FS_UNLINK,
    FAULT_FS_MKDIR,
    FAULT_FS_LOCK,
    FAULT_FS_LIST,
    FAULT_FS_MAP,
    FAULT_FS_UNMAP,
    FAULT_FS_FORGET,
    FAULT_FS_CALLS /* how many kinds there are; as an index: all calls */
};
#define FAULT_FS_ANY        0u /* a set of kinds: every one */
#define FAULT_FS_KIND(call) (1u << (call))
/* The kinds that can change the disk. */
#define FAULT_FS_CHANGING                                                                                    \
    (FAULT_FS_KIND(FAULT_FS_OPEN) | FAULT_FS_KIND(FAULT_FS_PWRITE) | FAULT_FS_KIND(FAULT_FS_DATASYNC) |      \
     FAULT_FS_KIND(FAULT_FS_TRUNCATE) | FAULT_FS_KIND(FAULT_FS_ALLOCATE) | FAULT_FS_KIND(FAULT_FS_RENAME) |  \
     FAULT_FS_KIND(FAULT_FS_UNLINK) | FAULT_FS_KIND(FAULT_FS_MKDIR))
const char *fault_fs_call_name(uint32_t call);

struct fault_fs_counts {
    uint64_t calls[FAULT_FS_CALLS + 1];
    uint64_t bytes_read, bytes_written;
};
struct fault_fs_counts fault_fs_counts(struct fault_fs *fs); /* since the disk was made */
/* Calls of the kind since `then`: EQ(fault_fs_since(fs, &then, FAULT_FS_PWRITE), 1). */
uint64_t fault_fs_since(struct fault_fs *fs, const struct fault_fs_counts *then, uint32_t call);
/* The last calls, oldest first: "#12 pwrite /d/0.seg 160 bytes at 4096 = 160". last 0: all that are kept. */
void fault_fs_trace(struct fault_fs *fs, FILE *out, uint64_t last);

/* ---- faults: what the next calls answer ---- */

enum {
    FAULT_FS_FAIL,       /* `status`, and nothing happens. A datasync leaves its data un-synced */
    FAULT_FS_SHORT_ONE,  /* pread, pwrite: one byte is moved */
    FAULT_FS_SHORT_HALF, /* half of the bytes, at least one */
    /* datasync answers `status`; the data counts as clean and is not on the medium, the next datasync
     * succeeds and does not bring it there. Exactly Linux: a later write to the same page does. The names
     * of a directory stay un-synced: they are in a journal. */
    FAULT_FS_GATE,
    FAULT_FS_FAIL_LINUX, /* FAULT_FS_GATE for a datasync, FAULT_FS_FAIL for everything else */
    FAULT_FS_LOST,       /* pwrite answers well, datasync too; the medium never hears of it */
    FAULT_FS_MISDIRECTED /* pwrite answers well and writes `shift` bytes further on instead (not below 0) */
};

struct fault_fs_fault {
    uint32_t what;    /* FAULT_FS_FAIL .. */
    int32_t status;   /* EVB_E* */
    uint32_t kinds;   /* which calls count: FAULT_FS_KIND(...) | ...; FAULT_FS_ANY. `what` may narrow it */
    const char *path; /* only calls on paths that contain this text (kept: a literal); NULL: every path */
    uint64_t nth;     /* the nth of them from now on is the first to fail; 0 as 1 */
    uint64_t times;   /* so many of them; 0: from then on */
    int64_t shift;    /* FAULT_FS_MISDIRECTED */
};
void fault_fs_plan(struct fault_fs *fs, const struct fault_fs_fault *fault); /* beside those planned before */
void fault_fs_plan_clear(struct fault_fs *fs); /* all is well again; the budget and bad sectors stay */
uint64_t fault_fs_hits(
    struct fault_fs *fs); /* faults delivered since the disk was made, bad reads and a full disk included */

/* Room for so many bytes, in pages of 4 KiB, what is there already included; a write that does not fit is
 * short, then EVB_ENOSPC. May be raised at any time. UINT64_MAX: no limit. An image
 * has none. */
void fault_fs_budget(struct fault_fs *fs, uint64_t bytes);
uint64_t fault_fs_used(struct fault_fs *fs);
/* Reads of these bytes answer EVB_EIO (short before them), until size 0 heals the file. */
void fault_fs_bad(struct fault_fs *fs, const char *path, uint64_t offset, uint64_t size);

/* ---- damage: what is found on the disk. Both the medium and what programs see; the path must exist ---- */

void fault_fs_flip(struct fault_fs *fs, const char *path, uint64_t bit);
void fault_fs_zero(struct fault_fs *fs, const char *path, uint64_t sector);
void fault_fs_swap(struct fault_fs *fs, const char *path, uint64_t sector, uint64_t other);
/* The bytes of one sector over those of another, below the size of the file: from another file, another place
 * (a misdirected write), or the same place of an older clone (a stale sector). */
void fault_fs_copy_sector(struct fault_fs *fs, const char *path, uint64_t sector, struct fault_fs *from,
                          const char *from_path, uint64_t from_sector);
void fault_fs_cut(struct fault_fs *fs, const char *path, uint64_t size); /* shorter, or longer by zeros */
void fault_fs_delete(struct fault_fs *fs, const char *path);
void fault_fs_duplicate(struct fault_fs *fs, const char *from, const char *to);
/* A file made or replaced as a whole, with its directories; what a file holds. -1: no such file. */
void fault_fs_put(struct fault_fs *fs, const char *path, const void *bytes, size_t size);
int64_t fault_fs_get(struct fault_fs *fs, const char *path, void *buf, size_t room); /* its size */
bool fault_fs_same(struct fault_fs *a, struct fault_fs *b); /* programs see the same names and bytes */
void fault_fs_print(struct fault_fs *fs, FILE *out);        /* names, sizes, what is un-synced */

/* ---- every crash point of a script (fault_fs_drive.c) ---- */

/* Where an image is from. A script that has promised something notes it; whoever checks asks what had been
 * noted when the power went. Keys: any number below 16; values never fall. */
struct fault_fs_point {
    uint64_t call; /* calls of the script that were made */
    uint64_t seed;
    uint32_t mode;
    bool second;           /* and power went again while the first image was recovered: */
    uint64_t call2, seed2; /* after so many calls of that */
    uint32_t mode2;
    int32_t fault;                           /* fault_fs_each_failure: the status delivered, 0 = none */
    uint64_t nth;                            /* to which call of the script */
    bool sticky;                             /* and to all after it */
    const struct fault_fs *record, *record2; /* for fault_fs_noted */
};
void fault_fs_note(struct fault_fs *fs, uint32_t key, uint64_t value); /* in the script, as it happens */
uint64_t fault_fs_noted(const struct fault_fs_point *at,
                        uint32_t key); /* by script or recover; 0: nothing yet */

struct fault_fs_drive {
    /* Works on an empty disk, which is in force, and leaves. */
    void (*script)(struct fault_fs *fs, void *arg);
    /* Opens what is left, compares it with what was promised, leaves. NULL = all is well, else what is wrong
     * (fault_fs_wrong). The image is in force. */
    const char *(*check)(struct fault_fs *image, const struct fault_fs_point *at, void *arg);
    /* Opens and closes only: power goes a second time at each of its calls. NULL: no second time. What it
     * did not finish is check's business, as after the first time. */
    void (*recover)(struct fault_fs *image, void *arg);
    void *arg;
    uint64_t seed;    /* of everything; 0 = 1 */
    uint32_t images;  /* a crash point that has something to choose; the first two keep nothing and all */
    uint32_t images2; /* a crash point of recover, made of every every2-th image of the script */
    uint32_t every2;  /* 0 = 1 */
    uint32_t stride;  /* fault_fs_each_failure: every stride-th call only; 0 = 1 */
    uint32_t modes;   /* FAULT_FS_KIND(mode) | ... to draw from; 0 = SECTORS, TORN and GARBLED */
    bool expect_violations; /* a negative control: nothing is printed, the first violation ends it */
};
struct fault_fs_verdict {
    uint64_t calls;           /* of the script */
    uint64_t points;          /* crash points that differ */
    uint64_t images, images2; /* checked, of the first and the second cut */
    uint64_t faults;          /* fault_fs_each_failure: runs that met one */
    uint64_t violations;      /* the first one is printed with what repeats it */
    char first[256];          /* and stands here */
};
/* Runs the script once, then builds images after each of its calls and has them checked. A violation prints
 * seed, mode, trace and a line EVB_FAULT_FS=...; with that in the environment only this image is checked. */
struct fault_fs_verdict fault_fs_each_crash_point(const struct fault_fs_drive *drive);

/* Runs the script with the nth of its calls answering `status`, for n = 1, 2, ... until none is met any more:
 * once with only that one, once with all from it on; a datasync fails as FAULT_FS_GATE. Afterwards the faults
 * are gone, and check is asked about the disk as the next process finds it and about `images` power cuts
 * after that. The script is told nothing; it notes what it was promised. `kinds`: which calls. */
struct fault_fs_verdict fault_fs_each_failure(const struct fault_fs_drive *drive, uint32_t kinds,
                                              int32_t status);

/* Text for check to answer, valid until this thread's next. */
const char *fault_fs_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
