/* SPDX-License-Identifier: MIT */
/* What calls do to a disk: the same for the running one and for the one that a record is played on. */
#include "fault_fs_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

static struct name_op *new_name_op(struct fault_fs *fs, enum name_op_kind kind, const struct effect *effect)
{
    struct name_op *op;

    fs->name_ops = fault_fs_more(fs->name_ops, fs->name_op_count, &fs->name_op_room, sizeof *op);
    op = &fs->name_ops[fs->name_op_count++];
    *op = (struct name_op){.kind = kind, .ino = effect->ino, .dir = effect->dir, .to_dir = effect->to_dir};
    memcpy(op->name, effect->name, NAME_ROOM);
    memcpy(op->to_name, effect->to_name, NAME_ROOM);
    return op;
}

static void apply_name(struct fault_fs *fs, enum name_op_kind kind, const struct effect *effect)
{
    const struct name_op *op = new_name_op(fs, kind, effect);

    if (kind == NAME_REMOVE) {
        fs->inodes[op->ino].linked = false;
    } else if (kind == NAME_MOVE) {
        for (uint32_t i = 0; i < fs->live.count; i++) { /* what the new name has named */
            const struct entry *entry = &fs->live.at[i];

            if (entry->dir != op->to_dir || entry->ino == op->ino || strcmp(entry->name, op->to_name) != 0)
                continue;
            fs->inodes[entry->ino].linked = false;
        }
    }
    fault_fs_apply_name(&fs->live, op);
}

/* ---- bytes ---- */

static struct op *new_op(struct inode *inode, enum op_kind kind, uint64_t offset, uint64_t size)
{
    struct op *op;

    inode->ops = fault_fs_more(inode->ops, inode->op_count, &inode->op_room, sizeof *op);
    op = &inode->ops[inode->op_count++];
    *op = (struct op){.kind = kind, .offset = offset, .size = size, .size_after = inode->cache.size};
    return op;
}

static void apply_write(struct inode *inode, const struct effect *effect, bool lost)
{
    uint64_t end = effect->offset + effect->blob->size;
    size_t from = 0;

    fault_fs_write(&inode->cache, effect->offset, effect->blob->bytes, effect->blob->size);
    if (end > inode->cache.size) inode->cache.size = end;
    while (from < effect->blob->size) { /* a lost one page by page: see `gone` */
        uint64_t offset = effect->offset + from;
        size_t size = effect->blob->size - from;
        struct op *op;

        if (lost && size > FAULT_FS_PAGE - offset % FAULT_FS_PAGE)
            size = FAULT_FS_PAGE - offset % FAULT_FS_PAGE;
        op = new_op(inode, OP_WRITE, offset, size);
        op->blob = fault_fs_blob_ref(effect->blob);
        op->from = from;
        op->gone = op->lost = lost;
        from += size;
    }
}

static void apply_truncate(struct inode *inode, uint64_t size)
{
    uint64_t had = inode->cache.size;

    fault_fs_resize(&inode->cache, size);
    if (size < had)
        (void)new_op(inode, OP_ERASE, size, had - size);
    else if (size > had)
        (void)new_op(inode, OP_SIZE, had, 0);
}

static void apply_allocate(struct inode *inode, uint64_t offset, uint64_t size)
{
    fault_fs_reserve(&inode->cache, offset, size);
    if (offset + size > inode->cache.size) inode->cache.size = offset + size;
    (void)new_op(inode, OP_SIZE, offset, 0); /* which pages are reserved dies with the budget of this disk */
}

/* ---- syncing ---- */

/* First and last page of what the operation changes; false: none. */
static bool op_pages(const struct op *op, uint32_t *ret_first, uint32_t *ret_last)
{
    if (op->size == 0) return false;
    *ret_first = (uint32_t)(op->offset / FAULT_FS_PAGE);
    *ret_last = (uint32_t)((op->offset + op->size - 1) / FAULT_FS_PAGE);
    return true;
}

static bool page_is_dirty(const struct inode *inode, uint32_t page)
{
    for (uint32_t i = 0; i < inode->op_count; i++) {
        uint32_t first, last;

        if (!inode->ops[i].gone && op_pages(&inode->ops[i], &first, &last) && first <= page && page <= last)
            return true;
    }
    return false;
}

/* Whole pages are written, as they are now: that is how a failed write comes back to life when somebody
 * writes to the same page. */
static void sync_file(struct inode *inode)
{
    uint32_t kept = 0, last_kept;

    for (uint32_t i = 0; i < inode->op_count; i++) {
        uint32_t first, last;

        if (!inode->ops[i].gone) continue;
        if (op_pages(&inode->ops[i], &first, &last) && !page_is_dirty(inode, first)) kept++;
    }
    if (kept == 0) {
        fault_fs_drop(&inode->disk);
        inode->disk = fault_fs_share(&inode->cache);
        for (uint32_t i = 0; i < inode->op_count; i++)
            fault_fs_blob_drop(inode->ops[i].blob);
        inode->op_count = 0;
        return;
    }
    for (uint32_t i = 0; i < inode->op_count; i++) {
        uint32_t first, last;

        if (inode->ops[i].gone || !op_pages(&inode->ops[i], &first, &last)) continue;
        for (uint32_t page = first; page <= last; page++)
            fault_fs_take_page(&inode->disk, &inode->cache, page);
    }
    fault_fs_resize(&inode->disk, inode->cache.size);
    /* From behind, so that page_is_dirty sees the dirty ones until the last moment: gone ones are moved to
     * the end, then the others are dropped. */
    last_kept = 0;
    for (uint32_t i = 0; i < inode->op_count; i++) {
        struct op *op = &inode->ops[i];
        uint32_t first, last;

        if (!op->gone || !op_pages(op, &first, &last)) continue;
        if (page_is_dirty(inode, first)) op->size = 0; /* came along */
    }
    for (uint32_t i = 0; i < inode->op_count; i++) {
        struct op *op = &inode->ops[i];

        if (op->gone && op->size > 0) {
            op->size_after = inode->cache.size; /* the inode is written, whatever became of its data */
            inode->ops[last_kept++] = *op;
        } else {
            fault_fs_blob_drop(op->blob);
        }
    }
    inode->op_count = last_kept;
}

/* The data is marked clean, page by page; the size stays dirty, as the inode does on Linux. */
static void gate_file(struct inode *inode)
{
    struct op *old = inode->ops;
    uint32_t count = inode->op_count;

    inode->ops = NULL;
    inode->op_count = inode->op_room = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t done = 0;

        do {
            uint64_t offset = old[i].offset + done, size = old[i].size - done;
            struct op *op;

            if (old[i].kind == OP_WRITE && size > FAULT_FS_PAGE - offset % FAULT_FS_PAGE)
                size = FAULT_FS_PAGE - offset % FAULT_FS_PAGE;
            op = new_op(inode, old[i].kind, offset, size);
            op->blob = fault_fs_blob_ref(old[i].blob);
            op->from = old[i].from + (size_t)done;
            op->gone = old[i].gone || old[i].kind == OP_WRITE;
            op->lost = old[i].lost;
            op->size_after = old[i].size_after;
            done += size;
        } while (done < old[i].size);
        fault_fs_blob_drop(old[i].blob);
    }
    free(old);
}

/* Whole pages that count as clean are read from the medium from now on. size 0: to the end of the file. */
static void forget(struct inode *inode, uint64_t offset, uint64_t size)
{
    uint64_t end = size > 0 ? offset + size : UINT64_MAX;

    if (end >= inode->cache.size) end = UINT64_MAX;
    for (uint32_t i = 0; i < inode->op_count; i++) {
        struct op *op = &inode->ops[i];
        uint32_t page, last;

        if (!op->gone || !op_pages(op, &page, &last) || page_is_dirty(inode, page)) continue;
        if ((uint64_t)page * FAULT_FS_PAGE < offset || (page + UINT64_C(1)) * FAULT_FS_PAGE > end) continue;
        fault_fs_take_page(&inode->cache, &inode->disk, page);
        fault_fs_blob_drop(op->blob); /* what is left of it is the size */
        *op = (struct op){.kind = OP_SIZE, .offset = op->offset, .size_after = op->size_after};
    }
}

void fault_fs_apply(struct fault_fs *fs, const struct effect *effect)
{
    struct inode *inode;

    if (effect->kind == EFFECT_CREATE || effect->kind == EFFECT_MKDIR) {
        uint32_t ino = fault_fs_new_inode(fs, effect->kind == EFFECT_MKDIR, effect->name);

        if (ino != effect->ino) abort(); /* the record does not fit the disk */
        fs->inodes[ino].linked = true;
        apply_name(fs, NAME_ADD, effect);
        return;
    }
    inode = &fs->inodes[effect->ino];
    switch (effect->kind) {
    case EFFECT_UNLINK:
        apply_name(fs, NAME_REMOVE, effect);
        break;
    case EFFECT_RENAME:
        apply_name(fs, NAME_MOVE, effect);
        break;
    case EFFECT_WRITE:
    case EFFECT_LOST_WRITE:
        apply_write(inode, effect, effect->kind == EFFECT_LOST_WRITE);
        fault_fs_show_maps(fs, effect->ino, effect->offset, effect->blob->size);
        break;
    case EFFECT_TRUNCATE:
        apply_truncate(inode, effect->size);
        fault_fs_show_maps(fs, effect->ino, 0, UINT64_MAX);
        break;
    case EFFECT_ALLOCATE:
        apply_allocate(inode, effect->offset, effect->size);
        break;
    case EFFECT_SYNC:
        if (inode->dir)
            fault_fs_sync_names(fs, effect->ino);
        else
            sync_file(inode);
        break;
    case EFFECT_GATE: /* names are in a journal, which does not call them clean when it could not write */
        if (!inode->dir) gate_file(inode);
        break;
    case EFFECT_FORGET:
        forget(inode, effect->offset, effect->size);
        fault_fs_show_maps(fs, effect->ino, 0, UINT64_MAX);
        break;
    default:
        break;
    }
}
