/* SPDX-License-Identifier: MIT */
/* The calls of the table, as the system's answer them. */
#include "fault_fs_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t the_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct fault_fs *all_disks;

void fault_fs_enter(void)
{
    (void)pthread_mutex_lock(&the_mutex);
}

void fault_fs_leave(void)
{
    (void)pthread_mutex_unlock(&the_mutex);
}

/* ---- descriptors ---- */

uint32_t fault_fs_new_inode(struct fault_fs *fs, bool dir, const char *path)
{
    struct inode *inode;

    fs->inodes = fault_fs_more(fs->inodes, fs->inode_count, &fs->inode_room, sizeof *inode);
    inode = &fs->inodes[fs->inode_count];
    memset(inode, 0, sizeof *inode);
    inode->dir = dir;
    (void)snprintf(inode->path, sizeof inode->path, "%s", path);
    return fs->inode_count++;
}

/* The open file with these flags, or NULL and the answer. From before a crash: EVB_EIO. */
struct inode *fault_fs_opened(struct fault_fs *fs, struct call *call, uint32_t flags, int64_t *ret_answer)
{
    struct descriptor *file = NULL;
    struct inode *inode;

    *ret_answer = EVB_EIO;
    if (call->fd >= FIRST_FD && call->fd < fs->first_fd) return NULL;
    if (call->fd >= fs->first_fd && call->fd - fs->first_fd < (int32_t)fs->fd_count)
        file = &fs->fds[call->fd - fs->first_fd];
    if (file == NULL || !file->open || (file->flags & flags) != flags) {
        fs->misuses++;
        *ret_answer = EVB_EINVAL; /* EBADF */
        return NULL;
    }
    inode = &fs->inodes[file->ino];
    if (call->path[0] == '\0') (void)strcpy(call->path, inode->path);
    call->effect.ino = file->ino;
    return inode;
}

/* The path of an open file has to be known before the plan is asked. */
struct call fault_fs_call_on(const struct fault_fs *fs, uint32_t kind, int32_t fd)
{
    struct call call = {.kind = kind, .fd = fd};

    if (fd >= fs->first_fd && fd - fs->first_fd < (int32_t)fs->fd_count)
        (void)strcpy(call.path, fs->inodes[fs->fds[fd - fs->first_fd].ino].path);
    return call;
}

struct call fault_fs_call_at(uint32_t kind, const char *path)
{
    struct call call = {.kind = kind};

    (void)snprintf(call.path, sizeof call.path, "%s", path);
    return call;
}

/* Enters, counts, asks the plan. false: `call->result` is the answer already. */
bool fault_fs_start(struct fault_fs *fs, struct call *call, const struct fault_fs_fault **ret_fault)
{
    const struct fault_fs_fault *fault = fault_fs_begin(fs, call);

    if (ret_fault != NULL) *ret_fault = fault;
    if (fault == NULL || (fault->what != FAULT_FS_FAIL && fault->what != FAULT_FS_FAIL_LINUX)) return true;
    if (fault->what == FAULT_FS_FAIL_LINUX && call->kind == FAULT_FS_DATASYNC) return true;
    call->result = fault->status;
    return false;
}

/* Applies what is to be done, keeps the call, leaves. */
int64_t fault_fs_finish(struct fault_fs *fs, struct call *call)
{
    int64_t result;

    fault_fs_apply(fs, &call->effect);
    result = fault_fs_end(fs, call, call->result);
    fault_fs_leave();
    return result;
}

/* Bytes in use by files that have a name or a descriptor. */
uint64_t fault_fs_used_entered(const struct fault_fs *fs)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < fs->inode_count; i++)
        if (fs->inodes[i].linked || fs->inodes[i].fds > 0) pages += fault_fs_pages_used(&fs->inodes[i].cache);
    return pages * FAULT_FS_PAGE;
}

/* ---- disks ---- */

struct fault_fs *fault_fs_new_entered(void)
{
    struct fault_fs *fs = calloc(1, sizeof *fs);

    if (fs == NULL) abort();
    fs->files = (struct evb__files){
        .open = fault_fs_call_open,
        .close = fault_fs_call_close,
        .pread = fault_fs_call_pread,
        .pwrite = fault_fs_call_pwrite,
        .datasync = fault_fs_call_datasync,
        .truncate = fault_fs_call_truncate,
        .allocate = fault_fs_call_allocate,
        .size = fault_fs_call_size,
        .rename = fault_fs_call_rename,
        .unlink = fault_fs_call_unlink,
        .mkdir = fault_fs_call_mkdir,
        .lock = fault_fs_call_lock,
        .list = fault_fs_call_list,
        .map = fault_fs_call_map,
        .unmap = fault_fs_call_unmap,
        .forget = fault_fs_call_forget,
        .arg = fs,
    };
    fs->budget = UINT64_MAX;
    fs->first_fd = FIRST_FD;
    (void)fault_fs_new_inode(fs, true, "/");
    fs->inodes[0].linked = true;
    fs->next = all_disks;
    all_disks = fs;
    return fs;
}

struct fault_fs *fault_fs_new(void)
{
    struct fault_fs *fs;

    fault_fs_enter();
    fs = fault_fs_new_entered();
    fault_fs_leave();
    return fs;
}

void fault_fs_free_state(struct fault_fs *fs)
{
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        struct inode *inode = &fs->inodes[i];

        fault_fs_drop(&inode->cache);
        fault_fs_drop(&inode->disk);
        for (uint32_t j = 0; j < inode->op_count; j++)
            fault_fs_blob_drop(inode->ops[j].blob);
        free(inode->ops);
    }
    free(fs->inodes);
    free(fs->live.at);
    free(fs->durable.at);
    free(fs->name_ops);
}

void fault_fs_free(struct fault_fs *fs)
{
    if (fs == NULL) return;
    fault_fs_enter();
    for (struct fault_fs **link = &all_disks; *link != NULL; link = &(*link)->next) {
        if (*link != fs) continue;
        *link = fs->next;
        break;
    }
    fault_fs_free_state(fs);
    fault_fs_drop_calls(fs);
    for (uint32_t i = 0; i < fs->map_count; i++)
        free(fs->maps[i].addr);
    free(fs->maps);
    free(fs->fds);
    free(fs->plan);
    free(fs->calls);
    free(fs->notes);
    free(fs);
    fault_fs_leave();
}

const struct evb__files *fault_fs_files(struct fault_fs *fs)
{
    return &fs->files;
}

void fault_fs_use(struct fault_fs *fs)
{
    evb__files_set(fs != NULL ? &fs->files : NULL);
}

int fault_fs_after(void **state)
{
    (void)state;
    evb__files_set(NULL);
    while (all_disks != NULL)
        fault_fs_free(all_disks);
    return 0;
}

void fault_fs_forget_open(struct fault_fs *fs)
{
    for (uint32_t i = 0; i < fs->inode_count; i++) {
        fs->inodes[i].fds = 0;
        fs->inodes[i].lock_fd = 0;
    }
    for (uint32_t i = 0; i < fs->map_count; i++)
        fs->maps[i].ino = NO_INODE;
    fs->first_fd += (int32_t)fs->fd_count;
    fs->fd_count = 0;
}

uint32_t fault_fs_open_files(struct fault_fs *fs)
{
    uint32_t open;

    fault_fs_enter();
    open = fs->map_count;
    for (uint32_t i = 0; i < fs->fd_count; i++)
        open += fs->fds[i].open;
    fault_fs_leave();
    return open;
}

uint64_t fault_fs_misuses(struct fault_fs *fs)
{
    uint64_t misuses;

    fault_fs_enter();
    misuses = fs->misuses;
    fault_fs_leave();
    return misuses;
}

void fault_fs_budget(struct fault_fs *fs, uint64_t bytes)
{
    fault_fs_enter();
    fs->budget = bytes;
    fault_fs_leave();
}

uint64_t fault_fs_used(struct fault_fs *fs)
{
    uint64_t bytes;

    fault_fs_enter();
    bytes = fault_fs_used_entered(fs);
    fault_fs_leave();
    return bytes;
}
