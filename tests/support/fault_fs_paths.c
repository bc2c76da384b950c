/* SPDX-License-Identifier: MIT */
/* The calls on names, descriptors and locks. */
#include "fault_fs_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- descriptors ---- */

static int32_t do_open(struct fault_fs *fs, struct call *call, const char *path, uint32_t flags)
{
    uint32_t way = flags & (EVB__FILE_READ | EVB__FILE_WRITE);
    struct descriptor *file;
    struct where at;
    int32_t rc;

    if ((flags & EVB__FILE_DIR) != 0 && (flags & ~(uint32_t)EVB__FILE_READ) != EVB__FILE_DIR)
        return EVB_EINVAL;
    if ((flags & EVB__FILE_DIR) == 0 && way == 0) return EVB_EINVAL;
    rc = fault_fs_find(fs, path, &at);
    if (rc != EVB_OK) return rc;
    if (at.ino == NO_INODE) {
        if ((flags & EVB__FILE_CREATE) == 0) return EVB_ENOTFOUND;
        call->effect = (struct effect){.kind = EFFECT_CREATE, .ino = fs->inode_count, .dir = at.dir};
        memcpy(call->effect.name, at.name, NAME_ROOM);
        fault_fs_apply(fs, &call->effect);
        at.ino = call->effect.ino;
        (void)strcpy(fs->inodes[at.ino].path, call->path);
    } else {
        if ((flags & EVB__FILE_CREATE) != 0 && (flags & EVB__FILE_EXCL) != 0) return EVB_EEXIST;
        if (!fs->inodes[at.ino].dir && (flags & EVB__FILE_DIR) != 0) return EVB_ENOTFOUND; /* ENOTDIR */
        if (fs->inodes[at.ino].dir && (flags & (EVB__FILE_WRITE | EVB__FILE_CREATE)) != 0) return EVB_EINVAL;
    }
    fs->fds = fault_fs_more(fs->fds, fs->fd_count, &fs->fd_room, sizeof *file);
    file = &fs->fds[fs->fd_count];
    *file = (struct descriptor){.ino = at.ino, .flags = way, .open = true};
    fs->inodes[at.ino].fds++;
    return fs->first_fd + (int32_t)fs->fd_count++;
}

int32_t fault_fs_call_open(const char *path, uint32_t flags, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call = fault_fs_call_at(FAULT_FS_OPEN, path);

    fault_fs_enter();
    if (fault_fs_start(fs, &call, NULL)) {
        call.result = do_open(fs, &call, path, flags);
        if (call.result > 0) call.fd = (int32_t)call.result;
    }
    call.result = fault_fs_end(fs, &call, call.result); /* it is applied already */
    fault_fs_leave();
    return (int32_t)call.result;
}

int32_t fault_fs_call_close(int32_t fd, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call;
    struct inode *inode;
    int64_t answer;
    bool well;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_CLOSE, fd);
    well = fault_fs_start(fs, &call, NULL);
    inode = fault_fs_opened(fs, &call, 0, &answer);
    if (inode != NULL) { /* gone whatever the answer */
        fs->fds[fd - fs->first_fd].open = false;
        inode->fds--;
        if (inode->lock_fd == fd) inode->lock_fd = 0;
        answer = EVB_OK;
    }
    if (well) call.result = answer;
    return (int32_t)fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_lock(int32_t fd, void *arg)
{
    struct fault_fs *fs = arg;
    struct inode *inode;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_LOCK, fd);
    if (fault_fs_start(fs, &call, NULL)) {
        inode = fault_fs_opened(fs, &call, 0, &call.result);
        if (inode != NULL) {
            call.result = inode->lock_fd != 0 && inode->lock_fd != fd ? EVB_EBUSY : EVB_OK;
            if (call.result == EVB_OK) inode->lock_fd = fd;
        }
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

/* ---- names ---- */

static int32_t do_rename(const struct fault_fs *fs, struct effect *effect, const char *from, const char *to)
{
    struct where a, b;
    int32_t rc = fault_fs_find(fs, from, &a);

    if (rc == EVB_OK) rc = fault_fs_find(fs, to, &b);
    if (rc != EVB_OK) return rc;
    if (a.ino == NO_INODE) return EVB_ENOTFOUND;
    if (a.dir == NO_INODE || b.dir == NO_INODE) return EVB_EBUSY; /* the root */
    if (a.ino == b.ino) return EVB_OK;
    if (b.ino != NO_INODE && fs->inodes[b.ino].dir != fs->inodes[a.ino].dir)
        return fs->inodes[b.ino].dir ? EVB_EINVAL : EVB_ENOTFOUND; /* EISDIR, ENOTDIR */
    if (b.ino != NO_INODE && fs->inodes[b.ino].dir)
        return EVB_EEXIST; /* an empty one would do; not made here */
    *effect = (struct effect){.kind = EFFECT_RENAME, .ino = a.ino, .dir = a.dir, .to_dir = b.dir};
    memcpy(effect->name, a.name, NAME_ROOM);
    memcpy(effect->to_name, b.name, NAME_ROOM);
    return EVB_OK;
}

int32_t fault_fs_call_rename(const char *from, const char *to, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call = fault_fs_call_at(FAULT_FS_RENAME, from);

    (void)snprintf(call.to_path, sizeof call.to_path, "%s", to);
    fault_fs_enter();
    if (fault_fs_start(fs, &call, NULL)) call.result = do_rename(fs, &call.effect, from, to);
    if (call.effect.kind == EFFECT_RENAME) (void)strcpy(fs->inodes[call.effect.ino].path, call.to_path);
    return (int32_t)fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_unlink(const char *path, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call = fault_fs_call_at(FAULT_FS_UNLINK, path);

    fault_fs_enter();
    if (fault_fs_start(fs, &call, NULL)) {
        struct where at;

        call.result = fault_fs_find(fs, path, &at);
        if (call.result == EVB_OK && at.ino == NO_INODE) call.result = EVB_ENOTFOUND;
        if (call.result == EVB_OK && fs->inodes[at.ino].dir) call.result = EVB_EINVAL; /* EISDIR */
        if (call.result == EVB_OK) {
            call.effect = (struct effect){.kind = EFFECT_UNLINK, .ino = at.ino, .dir = at.dir};
            memcpy(call.effect.name, at.name, NAME_ROOM);
        }
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_mkdir(const char *path, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call = fault_fs_call_at(FAULT_FS_MKDIR, path);

    fault_fs_enter();
    if (fault_fs_start(fs, &call, NULL)) {
        struct where at;

        call.result = fault_fs_find(fs, path, &at);
        if (call.result == EVB_OK && at.ino != NO_INODE) call.result = EVB_EEXIST;
        if (call.result == EVB_OK) {
            call.effect = (struct effect){.kind = EFFECT_MKDIR, .ino = fs->inode_count, .dir = at.dir};
            memcpy(call.effect.name, at.name, NAME_ROOM);
        }
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

/* In an order that is nobody's: not that of creation, not sorted. */
static uint32_t copy_names(const struct fault_fs *fs, uint32_t dir, struct entry **ret_names)
{
    uint32_t count = 0, room = 0;

    *ret_names = NULL;
    for (uint32_t i = 0; i < fs->live.count; i++) {
        if (fs->live.at[i].dir != dir) continue;
        *ret_names = fault_fs_more(*ret_names, count, &room, sizeof **ret_names);
        (*ret_names)[count++] = fs->live.at[i];
    }
    for (uint32_t i = 1; i < count; i++) {
        uint32_t other = (uint32_t)(fault_fs_mix(dir, i) % (i + 1));
        struct entry name = (*ret_names)[i];

        (*ret_names)[i] = (*ret_names)[other];
        (*ret_names)[other] = name;
    }
    return count;
}

int32_t fault_fs_call_list(const char *dir, int32_t (*fn)(const char *name, void *user), void *user,
                           void *arg)
{
    struct fault_fs *fs = arg;
    struct call call = fault_fs_call_at(FAULT_FS_LIST, dir);
    struct entry *names = NULL;
    uint32_t count = 0;
    int32_t rc;

    fault_fs_enter();
    if (fault_fs_start(fs, &call, NULL)) {
        struct where at;

        call.result = fault_fs_find(fs, dir, &at);
        if (call.result == EVB_OK && (at.ino == NO_INODE || !fs->inodes[at.ino].dir))
            call.result = EVB_ENOTFOUND;
        if (call.result == EVB_OK) count = copy_names(fs, at.ino, &names);
    }
    rc = (int32_t)fault_fs_finish(fs, &call);
    for (uint32_t i = 0; rc == EVB_OK && i < count; i++)
        rc = fn(names[i].name, user); /* it may call us */
    free(names);
    return rc;
}
