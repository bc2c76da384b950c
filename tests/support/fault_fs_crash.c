/* SPDX-License-Identifier: MIT */
/* What power cuts, kills and the system's hunger for memory leave. */
#include "fault_fs_internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const mode_names[FAULT_FS_MODES] = {"sectors", "torn", "garbled",
                                                       "nothing", "all",  "recycled"};

const char *fault_fs_mode_name(uint32_t mode)
{
    return mode < FAULT_FS_MODES ? mode_names[mode] : "?";
}

uint64_t fault_fs_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a + UINT64_C(0x9E3779B97F4A7C15) * (b + 1); /* splitmix64's finish, twice */

    for (int i = 0; i < 2; i++) {
        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
        x ^= x >> 31;
    }
    return x;
}

/* ---- the choices of one image ---- */

struct dice {
    uint64_t seed;
    uint32_t mode;
    uint32_t keep_data, keep_size, keep_names; /* of 16: how likely something is kept whole */
};

static struct dice dice_of(uint64_t seed, uint32_t mode)
{
    /* Mostly lost and mostly kept find other bugs than half and half. */
    static const uint32_t chances[] = {1, 4, 8, 8, 12, 15};
    uint64_t r = fault_fs_mix(seed, 0xD1CE);

    return (struct dice){.seed = seed,
                         .mode = mode,
                         .keep_data = chances[r % 6],
                         .keep_size = chances[(r >> 8) % 6],
                         .keep_names = chances[(r >> 16) % 6]};
}

static uint64_t throw_for(const struct dice *dice, uint64_t what, uint64_t where)
{
    return fault_fs_mix(fault_fs_mix(dice->seed, what), where);
}

/* How many of `count` operations, in their order, are kept: all, none, or some. */
static uint32_t kept_of(uint64_t r, uint32_t count, uint32_t keep)
{
    if (count > 1 && r % 4 == 0) return (uint32_t)((r >> 8) % (count + 1));
    return (r >> 2) % 16 < keep ? count : 0;
}

/* What becomes of one sector. */
struct fate {
    uint32_t kept, kept_behind; /* operations kept before the byte `tear`, and from it on */
    uint32_t tear;              /* FAULT_FS_SECTOR: not torn */
    uint32_t garble;            /* 0: no; else how */
};

static struct fate fate_of(const struct dice *dice, uint32_t ino, uint64_t sector, uint32_t count)
{
    uint64_t r = throw_for(dice, ino, sector), odd = fault_fs_mix(r, 1);
    struct fate fate = {.kept = kept_of(r, count, dice->keep_data), .tear = FAULT_FS_SECTOR};

    fate.kept_behind = fate.kept;
    if (dice->mode == FAULT_FS_TORN && odd % 3 == 0) {
        fate.tear = (uint32_t)((odd >> 8) % FAULT_FS_SECTOR);
        fate.kept_behind = fate.kept > 0 ? 0 : count;
    } else if (dice->mode == FAULT_FS_GARBLED && odd % 3 == 0) {
        fate.kept = fate.kept_behind = count;
        fate.garble = 1 + (uint32_t)((odd >> 8) % 3);
    }
    return fate;
}

/* ---- one file ---- */

/* The part [from, to) of the operation, which lies in one sector. */
static void keep_part(struct content *content, const struct op *op, uint64_t from, uint64_t to,
                      uint32_t garble, uint64_t noise)
{
    uint8_t bytes[FAULT_FS_SECTOR];
    size_t size = (size_t)(to - from);
    const uint8_t *brought;

    if (from >= to) return;
    if (op->kind == OP_ERASE) {
        fault_fs_erase(content, from, size);
        return;
    }
    brought = op->blob->bytes + op->from + (from - op->offset);
    if (garble == 0) {
        fault_fs_write(content, from, brought, size);
        return;
    }
    fault_fs_read(content, from, bytes, size);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == brought[i]) continue; /* else what was written again as it was could be lost */
        bytes[i] = garble == 1 ? 0 : garble == 2 ? 0xFF : (uint8_t)fault_fs_mix(noise, from + i);
    }
    fault_fs_write(content, from, bytes, size);
}

static void keep_sector(struct content *content, const struct inode *inode, uint32_t ino,
                        const struct dice *dice, uint32_t index, uint64_t from, uint64_t to)
{
    const struct op *op = &inode->ops[index];
    uint64_t sector = from / FAULT_FS_SECTOR, tear;
    struct fate fate = fate_of(dice, ino, sector, inode->op_count);

    tear = sector * FAULT_FS_SECTOR + fate.tear;
    if (index < fate.kept) keep_part(content, op, from, to < tear ? to : tear, fate.garble, dice->seed);
    if (index < fate.kept_behind)
        keep_part(content, op, from > tear ? from : tear, to, fate.garble, dice->seed);
}

/* Sectors that the file has gained and that nothing was kept of show what a dead file had there. */
static void recycle(const struct fault_fs *fs, struct content *content, uint32_t ino, const struct dice *dice)
{
    const struct inode *inode = &fs->inodes[ino];
    uint64_t end = content->size / FAULT_FS_SECTOR;

    for (uint64_t sector = 0; sector < end; sector++) {
        uint32_t page = (uint32_t)(sector * FAULT_FS_SECTOR / FAULT_FS_PAGE);
        uint8_t bytes[FAULT_FS_SECTOR];

        if (!fault_fs_is_hole(&inode->disk, page) || fault_fs_is_hole(&inode->cache, page)) continue;
        if (fate_of(dice, ino, sector, inode->op_count).kept > 0) continue;
        for (uint32_t i = 0; i < fs->inode_count; i++) {
            uint32_t dead = (uint32_t)((throw_for(dice, ino, 7) + i) % fs->inode_count);
            const struct inode *other = &fs->inodes[dead];

            if (other->dir || other->linked || dead == ino || fault_fs_is_hole(&other->disk, page)) continue;
            fault_fs_read(&other->disk, sector * FAULT_FS_SECTOR, bytes, sizeof bytes);
            fault_fs_write(content, sector * FAULT_FS_SECTOR, bytes, sizeof bytes);
            break;
        }
    }
}

static struct content file_after(const struct fault_fs *fs, uint32_t ino, const struct dice *dice)
{
    const struct inode *inode = &fs->inodes[ino];
    struct content content = fault_fs_share(&inode->disk);
    uint32_t sizes;

    if (dice->mode == FAULT_FS_NOTHING || inode->op_count == 0) return content;
    for (uint32_t i = 0; i < inode->op_count; i++) {
        const struct op *op = &inode->ops[i];
        uint64_t from = op->offset, end = op->offset + op->size;

        if (op->lost) continue;
        while (from < end) {
            uint64_t to = (from / FAULT_FS_SECTOR + 1) * FAULT_FS_SECTOR;
            uint64_t page_end = (from / FAULT_FS_PAGE + 1) * FAULT_FS_PAGE;

            if (to > end) to = end;
            if (op->kind == OP_ERASE && fault_fs_is_hole(&content, (uint32_t)(from / FAULT_FS_PAGE)))
                to = page_end < end ? page_end : end; /* a cut segment is many sectors of nothing */
            else
                keep_sector(&content, inode, ino, dice, i, from, to);
            from = to;
        }
    }
    sizes = kept_of(throw_for(dice, ino, UINT64_MAX), inode->op_count, dice->keep_size);
    fault_fs_resize(&content, sizes > 0 ? inode->ops[sizes - 1].size_after : inode->disk.size);
    if (dice->mode == FAULT_FS_RECYCLED) recycle(fs, &content, ino, dice);
    return content;
}

/* ---- disks ---- */

static void copy_entries(struct entries *to, const struct entries *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        to->at = fault_fs_more(to->at, to->count, &to->room, sizeof to->at[0]);
        to->at[to->count++] = from->at[i];
    }
}

/* A disk with the same files, empty, and no names. */
static struct fault_fs *new_like(const struct fault_fs *fs)
{
    struct fault_fs *image = fault_fs_new_entered();

    image->first_fd = fs->first_fd + (int32_t)fs->fd_count;
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        const struct inode *from = &fs->inodes[i];
        struct inode *to;

        if (i > 0) (void)fault_fs_new_inode(image, from->dir, from->path);
        to = &image->inodes[i];
        to->bad_offset = from->bad_offset;
        to->bad_size = from->bad_size;
    }
    return image;
}

static struct fault_fs *clone(const struct fault_fs *fs)
{
    struct fault_fs *image = new_like(fs);

    for (uint32_t i = 0; i < fs->inode_count; i++) {
        const struct inode *from = &fs->inodes[i];
        struct inode *to = &image->inodes[i];

        to->linked = from->linked;
        to->cache = fault_fs_share(&from->cache);
        to->disk = fault_fs_share(&from->disk);
        for (uint32_t j = 0; j < from->op_count; j++) {
            to->ops = fault_fs_more(to->ops, to->op_count, &to->op_room, sizeof to->ops[0]);
            to->ops[to->op_count++] = from->ops[j];
            (void)fault_fs_blob_ref(from->ops[j].blob);
        }
    }
    copy_entries(&image->live, &fs->live);
    copy_entries(&image->durable, &fs->durable);
    for (uint32_t i = 0; i < fs->name_op_count; i++) {
        image->name_ops = fault_fs_more(image->name_ops, image->name_op_count, &image->name_op_room,
                                        sizeof fs->name_ops[0]);
        image->name_ops[image->name_op_count++] = fs->name_ops[i];
    }
    return image;
}

static struct fault_fs *crash(const struct fault_fs *fs, uint64_t seed, uint32_t mode)
{
    struct dice dice = dice_of(seed, mode);
    struct fault_fs *image;

    if (mode >= FAULT_FS_MODES) abort();
    if (mode == FAULT_FS_ALL) return clone(fs);
    image = new_like(fs);
    copy_entries(&image->durable, &fs->durable);
    for (uint32_t i = 0; mode != FAULT_FS_NOTHING && i < fs->name_op_count; i++)
        if (throw_for(&dice, UINT64_C(0xD15C), i) % 16 < dice.keep_names)
            fault_fs_apply_name(&image->durable, &fs->name_ops[i]);
    fault_fs_keep_reachable(image);
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        struct inode *to = &image->inodes[i];

        if (!to->linked || to->dir) continue;
        to->disk = file_after(fs, i, &dice);
        to->cache = fault_fs_share(&to->disk);
    }
    return image;
}

struct fault_fs *fault_fs_crash(struct fault_fs *fs, uint64_t seed, uint32_t mode)
{
    struct fault_fs *image;

    fault_fs_enter();
    image = crash(fs, seed, mode);
    fault_fs_leave();
    return image;
}

struct fault_fs *fault_fs_clone(struct fault_fs *fs)
{
    return fault_fs_crash(fs, 0, FAULT_FS_ALL);
}

/* A record is played from effects of calls; what is done to the disk beside them would be missing in it. */
static void not_recorded(const struct fault_fs *fs)
{
    if (fs->recording) abort();
}

void fault_fs_crash_here(struct fault_fs *fs, uint64_t seed, uint32_t mode)
{
    struct fault_fs *image;

    fault_fs_enter();
    not_recorded(fs);
    image = crash(fs, seed, mode);
    fault_fs_forget_open(fs);
    fault_fs_free_state(fs);
    fs->inodes = image->inodes;
    fs->inode_count = image->inode_count;
    fs->inode_room = image->inode_room;
    fs->live = image->live;
    fs->durable = image->durable;
    fs->name_ops = image->name_ops;
    fs->name_op_count = image->name_op_count;
    fs->name_op_room = image->name_op_room;
    fs->plan_count = 0;
    image->inodes = NULL;
    image->inode_count = 0;
    image->live.at = image->durable.at = NULL;
    image->name_ops = NULL;
    fault_fs_leave();
    fault_fs_free(image);
}

void fault_fs_kill(struct fault_fs *fs)
{
    fault_fs_enter();
    not_recorded(fs);
    fault_fs_forget_open(fs);
    fault_fs_leave();
}

void fault_fs_evict(struct fault_fs *fs)
{
    fault_fs_enter();
    not_recorded(fs);
    for (uint32_t i = 0; i < fs->inode_count; i++)
        fault_fs_apply(fs, &(struct effect){.kind = EFFECT_FORGET, .ino = i});
    fault_fs_leave();
}

void fault_fs_sync(struct fault_fs *fs)
{
    fault_fs_enter();
    not_recorded(fs);
    for (uint32_t i = 0; i < fs->inode_count; i++)
        fault_fs_apply(fs, &(struct effect){.kind = EFFECT_SYNC, .ino = i});
    fault_fs_leave();
}

bool fault_fs_settled(struct fault_fs *fs)
{
    bool settled;

    fault_fs_enter();
    settled = fs->name_op_count == 0;
    for (uint32_t i = 0; i < fs->inode_count; i++)
        settled = settled && fs->inodes[i].op_count == 0;
    fault_fs_leave();
    return settled;
}
