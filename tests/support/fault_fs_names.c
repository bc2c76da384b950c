/* SPDX-License-Identifier: MIT */
/* Directories: the entries that programs see, those on the medium, and the operations between. */
#include "fault_fs_internal.h"

#include <stdlib.h>
#include <string.h>

static struct entry *entry_find(const struct entries *entries, uint32_t dir, const char *name)
{
    for (uint32_t i = 0; i < entries->count; i++)
        if (entries->at[i].dir == dir && strcmp(entries->at[i].name, name) == 0) return &entries->at[i];
    return NULL;
}

static void entry_remove(struct entries *entries, struct entry *entry)
{
    *entry = entries->at[--entries->count];
}

static void entry_set(struct entries *entries, uint32_t dir, const char *name, uint32_t ino)
{
    struct entry *entry = entry_find(entries, dir, name);

    if (entry == NULL) {
        entries->at = fault_fs_more(entries->at, entries->count, &entries->room, sizeof *entry);
        entry = &entries->at[entries->count++];
        memset(entry, 0, sizeof *entry);
        entry->dir = dir;
        (void)strcpy(entry->name, name);
    }
    entry->ino = ino;
}

/* There are no hard links: a name kept without the operation that took it away would be one. */
static void entry_forget_inode(struct entries *entries, uint32_t ino)
{
    for (uint32_t i = 0; i < entries->count; i++) {
        if (entries->at[i].ino != ino) continue;
        entry_remove(entries, &entries->at[i]);
        return;
    }
}

int32_t fault_fs_find(const struct fault_fs *fs, const char *path, struct where *ret_where)
{
    struct where at = {.dir = NO_INODE, .ino = 0};

    for (;;) {
        const struct entry *entry;
        size_t length;

        path += strspn(path, "/");
        length = strcspn(path, "/");
        if (length == 0) break;
        if (length == 1 && path[0] == '.') {
            path++;
            continue;
        }
        if (length >= NAME_ROOM || (length == 2 && memcmp(path, "..", 2) == 0)) return EVB_EINVAL;
        if (at.ino == NO_INODE || !fs->inodes[at.ino].dir) return EVB_ENOTFOUND;
        at.dir = at.ino;
        memcpy(at.name, path, length);
        at.name[length] = '\0';
        entry = entry_find(&fs->live, at.dir, at.name);
        at.ino = entry != NULL ? entry->ino : NO_INODE;
        path += length;
    }
    *ret_where = at;
    return EVB_OK;
}

void fault_fs_apply_name(struct entries *entries, const struct name_op *op)
{
    struct entry *entry;

    switch (op->kind) {
    case NAME_ADD:
        entry_forget_inode(entries, op->ino);
        entry_set(entries, op->dir, op->name, op->ino);
        break;
    case NAME_REMOVE:
        entry = entry_find(entries, op->dir, op->name);
        if (entry != NULL && entry->ino == op->ino) entry_remove(entries, entry);
        break;
    case NAME_MOVE: /* also when the medium never had the old name */
        entry_forget_inode(entries, op->ino);
        entry_set(entries, op->to_dir, op->to_name, op->ino);
        break;
    }
}

static bool names(const struct name_op *op, uint32_t dir, const char *name)
{
    return (op->dir == dir && strcmp(op->name, name) == 0) ||
           (op->kind == NAME_MOVE && op->to_dir == dir && strcmp(op->to_name, name) == 0);
}

/* The earlier one would undo the later one if it came to the medium after it. */
static bool superseded(const struct name_op *early, const struct name_op *late)
{
    return early->ino == late->ino || names(early, late->dir, late->name) ||
           (late->kind == NAME_MOVE && names(early, late->to_dir, late->to_name));
}

/* A rename between two directories is one transaction of the journal: either one's datasync brings it. */
void fault_fs_sync_names(struct fault_fs *fs, uint32_t dir)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < fs->name_op_count; i++) {
        struct name_op *op = &fs->name_ops[i];
        uint32_t earlier = 0;

        if (op->dir != dir && (op->kind != NAME_MOVE || op->to_dir != dir)) {
            fs->name_ops[kept++] = *op;
            continue;
        }
        fault_fs_apply_name(&fs->durable, op);
        for (uint32_t j = 0; j < kept; j++)
            if (!superseded(&fs->name_ops[j], op)) fs->name_ops[earlier++] = fs->name_ops[j];
        kept = earlier;
    }
    fs->name_op_count = kept;
}

void fault_fs_keep_reachable(struct fault_fs *fs)
{
    uint32_t kept = 0;
    bool found = true;

    for (uint32_t i = 0; i < fs->inode_count; i++)
        fs->inodes[i].linked = i == 0;
    while (found) { /* a directory's entry may stand behind those of what is in it */
        found = false;
        for (uint32_t i = 0; i < fs->durable.count; i++) {
            const struct entry *entry = &fs->durable.at[i];

            if (!fs->inodes[entry->dir].linked || fs->inodes[entry->ino].linked) continue;
            fs->inodes[entry->ino].linked = true;
            found = true;
        }
    }
    for (uint32_t i = 0; i < fs->durable.count; i++)
        if (fs->inodes[fs->durable.at[i].ino].linked) fs->durable.at[kept++] = fs->durable.at[i];
    fs->durable.count = kept;
    free(fs->live.at);
    fs->live = (struct entries){.count = kept, .room = kept};
    if (kept > 0) {
        fs->live.at = calloc(kept, sizeof fs->live.at[0]);
        if (fs->live.at == NULL) abort();
        memcpy(fs->live.at, fs->durable.at, kept * sizeof fs->live.at[0]);
    }
}
