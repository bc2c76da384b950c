/* SPDX-License-Identifier: MIT */
/* What the files of the fault file system share. Tests include fault_fs.h only.
 *
 *      fault_fs.c          the calls of the table            fault_fs_plan.c     which of them fail, the
 * trace fault_fs_pages.c    bytes: pages, shared by disks     fault_fs_crash.c    images, kill, evict
 *      fault_fs_names.c    directories                       fault_fs_damage.c   what is found broken
 *      fault_fs_effect.c   what a call does to a disk        fault_fs_drive.c    every crash point, every
 * fault
 *
 * A call is first turned into an effect, which is then applied. Effects are recorded: applied again one by
 * one to an empty disk they give the disk as it was after the kth call, without running the script again.
 *
 * Threads: everything here under the one mutex (fault_fs_enter), unless it says otherwise.
 */
#ifndef EVB_TEST_FAULT_FS_INTERNAL_H
#define EVB_TEST_FAULT_FS_INTERNAL_H

#include "fault_fs.h"

#include <evbus/base.h>

#define NO_INODE     UINT32_MAX
#define NAME_ROOM    64
#define PATH_ROOM    96 /* what the trace shows and plans compare; longer paths are cut there */
#define LARGEST_FILE (UINT64_C(1) << 30)
#define TRACE_KEPT   256u /* calls, when nothing is recorded */
#define NOTE_KEYS    16u
#define FIRST_FD     1000

/* ---- bytes ---- */

struct page {
    uint32_t refs; /* tables that have it; who writes to a shared one gets a copy */
    uint8_t bytes[FAULT_FS_PAGE];
};

struct table {
    uint32_t refs, count;
    struct page *at[]; /* NULL: a hole; fault_fs_zeros: allocated and never written */
};

/* Bytes at and behind `size` are zeros, so that growing shows none of the past. */
struct content {
    struct table *table; /* NULL: no pages */
    uint64_t size;
};

struct blob { /* what a write has brought; the record and un-synced operations share it */
    uint32_t refs;
    size_t size;
    uint8_t bytes[];
};

extern struct page fault_fs_zeros;

void *fault_fs_more(void *array, uint32_t count, uint32_t *room, size_t item); /* room for one more item */
struct blob *fault_fs_blob(const void *bytes, size_t size);
struct blob *fault_fs_blob_ref(struct blob *blob);
void fault_fs_blob_drop(struct blob *blob);
struct content fault_fs_share(const struct content *content);
void fault_fs_drop(struct content *content);
void fault_fs_read(const struct content *content, uint64_t offset, void *buf, size_t size);
void fault_fs_write(struct content *content, uint64_t offset, const void *bytes,
                    size_t size);                                             /* the size stays */
void fault_fs_erase(struct content *content, uint64_t offset, uint64_t size); /* zeros; holes stay holes */
void fault_fs_resize(struct content *content, uint64_t size);
void fault_fs_reserve(struct content *content, uint64_t offset, uint64_t size);
void fault_fs_take_page(struct content *content, const struct content *from, uint32_t index);
bool fault_fs_is_hole(const struct content *content, uint32_t index); /* allocated and unwritten included */
uint64_t fault_fs_pages_used(const struct content *content);
uint64_t fault_fs_pages_missing(const struct content *content, uint64_t offset, uint64_t size);

/* ---- files and names ---- */

enum op_kind { OP_WRITE, OP_ERASE, OP_SIZE };

/* One operation that the medium has not seen. */
struct op {
    enum op_kind kind;
    bool gone; /* counts as clean: datasync does not bring it. It lies within one page then */
    bool lost; /* nor does anything else */
    struct blob *blob;
    size_t from; /* in the blob */
    uint64_t offset, size;
    uint64_t size_after; /* of the file */
};

struct inode {
    bool dir;
    bool linked; /* programs see a name of it */
    uint32_t fds;
    int32_t lock_fd; /* 0: nobody */
    struct content cache, disk;
    struct op *ops;
    uint32_t op_count, op_room;
    uint64_t bad_offset, bad_size;
    char path[PATH_ROOM]; /* as it was opened first or renamed last */
};

struct entry {
    uint32_t dir, ino;
    char name[NAME_ROOM];
};

struct entries {
    struct entry *at;
    uint32_t count, room;
};

enum name_op_kind { NAME_ADD, NAME_REMOVE, NAME_MOVE };

struct name_op {
    enum name_op_kind kind;
    uint32_t ino;
    uint32_t dir, to_dir; /* the second pair: NAME_MOVE */
    char name[NAME_ROOM], to_name[NAME_ROOM];
};

/* ---- what calls do ---- */

enum effect_kind {
    EFFECT_NONE,
    EFFECT_CREATE,
    EFFECT_MKDIR,
    EFFECT_UNLINK,
    EFFECT_RENAME,
    EFFECT_WRITE,
    EFFECT_LOST_WRITE,
    EFFECT_TRUNCATE,
    EFFECT_ALLOCATE,
    EFFECT_SYNC,
    EFFECT_GATE,
    EFFECT_FORGET
};

struct effect {
    enum effect_kind kind;
    uint32_t ino; /* of CREATE and MKDIR: the number that the new one gets */
    uint32_t dir, to_dir;
    char name[NAME_ROOM], to_name[NAME_ROOM];
    struct blob *blob;
    uint64_t offset, size;
};

struct call {
    uint32_t kind; /* FAULT_FS_OPEN .. */
    int32_t fd;
    uint64_t offset, size;
    int64_t result;
    bool fault; /* the plan had a hand in it */
    char path[PATH_ROOM], to_path[PATH_ROOM];
    struct effect effect;
};

struct note {
    uint64_t call; /* made after so many calls */
    uint32_t key;
    uint64_t value;
};

struct descriptor {
    uint32_t ino, flags;
    bool open;
};

struct mapping {
    void *addr;
    size_t size;
    uint32_t ino; /* NO_INODE: from before a crash */
};

struct planned {
    struct fault_fs_fault fault;
    uint64_t seen;
};

struct fault_fs {
    struct evb__files files; /* its arg is the disk */
    struct fault_fs *next;   /* all disks there are */

    struct inode *inodes; /* by number; 0 is the root. Never given twice */
    uint32_t inode_count, inode_room;
    struct entries live, durable;
    struct name_op *name_ops;
    uint32_t name_op_count, name_op_room;

    struct descriptor *fds; /* by number - first_fd */
    uint32_t fd_count, fd_room;
    int32_t first_fd;
    struct mapping *maps;
    uint32_t map_count, map_room;

    struct planned *plan;
    uint32_t plan_count, plan_room;
    uint64_t budget; /* bytes */
    uint64_t hits, misuses;
    struct fault_fs_counts counts;

    bool recording;
    struct call *calls; /* all of them when recording, else the last TRACE_KEPT, in a ring */
    uint32_t call_count, call_room;
    uint64_t call_base; /* calls made before the recording began */
    struct note *notes;
    uint32_t note_count, note_room;
};

void fault_fs_enter(void);
void fault_fs_leave(void);

/* fault_fs.c */
struct fault_fs *fault_fs_new_entered(void);
/* The open file with these flags, or NULL and the answer. */
struct inode *fault_fs_opened(struct fault_fs *fs, struct call *call, uint32_t flags, int64_t *ret_answer);
struct call fault_fs_call_on(const struct fault_fs *fs, uint32_t kind, int32_t fd);
struct call fault_fs_call_at(uint32_t kind, const char *path);
bool fault_fs_start(struct fault_fs *fs, struct call *call, const struct fault_fs_fault **ret_fault);
int64_t fault_fs_finish(struct fault_fs *fs, struct call *call);
uint64_t fault_fs_used_entered(const struct fault_fs *fs);
uint32_t fault_fs_new_inode(struct fault_fs *fs, bool dir, const char *path);
void fault_fs_forget_open(struct fault_fs *fs); /* descriptors, locks and maps die */
void fault_fs_show_maps(struct fault_fs *fs, uint32_t ino, uint64_t offset, uint64_t size);
void fault_fs_free_state(struct fault_fs *fs); /* inodes, entries and un-synced operations */

/* fault_fs_io.c: the table */
int64_t fault_fs_call_pread(int32_t fd, void *buf, size_t size, uint64_t offset, void *arg);
int64_t fault_fs_call_pwrite(int32_t fd, const void *buf, size_t size, uint64_t offset, void *arg);
int32_t fault_fs_call_datasync(int32_t fd, void *arg);
int32_t fault_fs_call_truncate(int32_t fd, uint64_t size, void *arg);
int32_t fault_fs_call_allocate(int32_t fd, uint64_t offset, uint64_t size, void *arg);
int64_t fault_fs_call_size(int32_t fd, void *arg);
int32_t fault_fs_call_map(int32_t fd, size_t size, const void **ret_addr, void *arg);
int32_t fault_fs_call_forget(int32_t fd, uint64_t offset, uint64_t size, void *arg);
int32_t fault_fs_call_unmap(const void *addr, size_t size, void *arg);
/* fault_fs_paths.c: the table */
int32_t fault_fs_call_open(const char *path, uint32_t flags, void *arg);
int32_t fault_fs_call_close(int32_t fd, void *arg);
int32_t fault_fs_call_lock(int32_t fd, void *arg);
int32_t fault_fs_call_rename(const char *from, const char *to, void *arg);
int32_t fault_fs_call_unlink(const char *path, void *arg);
int32_t fault_fs_call_mkdir(const char *path, void *arg);
int32_t fault_fs_call_list(const char *dir, int32_t (*fn)(const char *name, void *user), void *user,
                           void *arg);

/* fault_fs_names.c */
struct where {
    uint32_t dir, ino; /* ino NO_INODE: no such name in dir. The root: dir NO_INODE */
    char name[NAME_ROOM];
};
int32_t fault_fs_find(const struct fault_fs *fs, const char *path, struct where *ret_where);
void fault_fs_apply_name(struct entries *entries, const struct name_op *op);
void fault_fs_sync_names(struct fault_fs *fs, uint32_t dir);
void fault_fs_keep_reachable(
    struct fault_fs *fs); /* live names are those of durable that the root leads to */

/* fault_fs_effect.c */
void fault_fs_apply(struct fault_fs *fs, const struct effect *effect);

/* fault_fs_plan.c */
/* Counts the call and asks the plan. NULL: nothing is planned for it. */
const struct fault_fs_fault *fault_fs_begin(struct fault_fs *fs, struct call *call);
int64_t fault_fs_end(struct fault_fs *fs, struct call *call, int64_t result); /* keeps it; the result again */
void fault_fs_record(struct fault_fs *fs);                                    /* from here on */
void fault_fs_drop_calls(struct fault_fs *fs);
void fault_fs_trace_range(struct fault_fs *fs, FILE *out, uint64_t from, uint64_t to); /* takes the mutex */

uint64_t fault_fs_mix(uint64_t a, uint64_t b); /* a number that nobody guesses from its two */

#endif
