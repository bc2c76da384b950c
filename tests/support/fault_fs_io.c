/* SPDX-License-Identifier: MIT */
/* The calls that move bytes, and maps. */
#include "fault_fs_internal.h"

#include <stdlib.h>
#include <string.h>

static size_t shorter(const struct fault_fs_fault *fault, size_t size)
{
    if (fault == NULL || size == 0) return size;
    if (fault->what == FAULT_FS_SHORT_ONE) return 1;
    return fault->what == FAULT_FS_SHORT_HALF ? (size + 1) / 2 : size;
}

static int64_t do_read(struct fault_fs *fs, const struct inode *inode, void *buf, size_t size,
                       uint64_t offset)
{
    uint64_t bad = inode->bad_offset, bad_end = bad + inode->bad_size;

    if (inode->dir || offset > INT64_MAX) return EVB_EINVAL;
    if (offset >= inode->cache.size) return 0;
    if (size > inode->cache.size - offset) size = (size_t)(inode->cache.size - offset);
    if (inode->bad_size > 0 && offset < bad_end && bad < offset + size) {
        fs->hits++;
        if (offset >= bad) return EVB_EIO;
        size = (size_t)(bad - offset);
    }
    fault_fs_read(&inode->cache, offset, buf, size);
    return (int64_t)size;
}

int64_t fault_fs_call_pread(int32_t fd, void *buf, size_t size, uint64_t offset, void *arg)
{
    struct fault_fs *fs = arg;
    const struct fault_fs_fault *fault;
    const struct inode *inode;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_PREAD, fd);
    call.offset = offset;
    call.size = size;
    if (fault_fs_start(fs, &call, &fault)) {
        inode = fault_fs_opened(fs, &call, EVB__FILE_READ, &call.result);
        if (inode != NULL) call.result = do_read(fs, inode, buf, shorter(fault, size), offset);
    }
    return fault_fs_finish(fs, &call);
}

/* Pages that the budget has left. */
static uint64_t room_left(const struct fault_fs *fs)
{
    uint64_t taken;

    if (fs->budget == UINT64_MAX) return UINT64_MAX;
    taken = fault_fs_used_entered(fs);
    return taken < fs->budget ? (fs->budget - taken) / FAULT_FS_PAGE : 0;
}

/* How many of the bytes there is room for. */
static uint64_t fitting(struct fault_fs *fs, const struct inode *inode, uint64_t offset, uint64_t size)
{
    uint64_t room = room_left(fs), fits = 0;

    while (fits < size) {
        uint64_t n = FAULT_FS_PAGE - (offset + fits) % FAULT_FS_PAGE;
        uint64_t missing = fault_fs_pages_missing(&inode->cache, offset + fits, 1);

        if (missing > room) {
            fs->hits++;
            return fits;
        }
        room -= missing;
        fits += n;
    }
    return size;
}

static int64_t do_write(struct fault_fs *fs, struct call *call, const struct inode *inode, const void *buf,
                        const struct fault_fs_fault *fault)
{
    size_t size = shorter(fault, (size_t)call->size);
    uint64_t offset = call->offset;

    if (offset > INT64_MAX) return EVB_EINVAL;
    if (size == 0) return 0;
    if (fault != NULL && fault->what == FAULT_FS_MISDIRECTED)
        offset = fault->shift < 0 && offset < (uint64_t)-fault->shift ? 0 : offset + (uint64_t)fault->shift;
    if (offset >= LARGEST_FILE) return EVB_ETOOBIG;
    if (size > LARGEST_FILE - offset) size = (size_t)(LARGEST_FILE - offset);
    size = (size_t)fitting(fs, inode, offset, size);
    if (size == 0) return EVB_ENOSPC;
    call->effect.kind = fault != NULL && fault->what == FAULT_FS_LOST ? EFFECT_LOST_WRITE : EFFECT_WRITE;
    call->effect.offset = offset;
    call->effect.blob = fault_fs_blob(buf, size);
    return (int64_t)size;
}

int64_t fault_fs_call_pwrite(int32_t fd, const void *buf, size_t size, uint64_t offset, void *arg)
{
    struct fault_fs *fs = arg;
    const struct fault_fs_fault *fault;
    const struct inode *inode;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_PWRITE, fd);
    call.offset = offset;
    call.size = size;
    if (fault_fs_start(fs, &call, &fault)) {
        inode = fault_fs_opened(fs, &call, EVB__FILE_WRITE, &call.result);
        if (inode != NULL) call.result = do_write(fs, &call, inode, buf, fault);
    }
    return fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_datasync(int32_t fd, void *arg)
{
    struct fault_fs *fs = arg;
    const struct fault_fs_fault *fault;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_DATASYNC, fd);
    if (fault_fs_start(fs, &call, &fault) && fault_fs_opened(fs, &call, 0, &call.result) != NULL) {
        call.effect.kind = fault != NULL ? EFFECT_GATE : EFFECT_SYNC;
        call.result = fault != NULL ? fault->status : EVB_OK;
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_truncate(int32_t fd, uint64_t size, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_TRUNCATE, fd);
    call.size = size;
    if (fault_fs_start(fs, &call, NULL) &&
        fault_fs_opened(fs, &call, EVB__FILE_WRITE, &call.result) != NULL) {
        call.result = size > LARGEST_FILE ? EVB_ETOOBIG : EVB_OK;
        if (call.result == EVB_OK) call.effect.kind = EFFECT_TRUNCATE;
        call.effect.size = size;
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_allocate(int32_t fd, uint64_t offset, uint64_t size, void *arg)
{
    struct fault_fs *fs = arg;
    const struct inode *inode;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_ALLOCATE, fd);
    call.offset = offset;
    call.size = size;
    inode = NULL;
    if (fault_fs_start(fs, &call, NULL)) inode = fault_fs_opened(fs, &call, EVB__FILE_WRITE, &call.result);
    if (inode != NULL) {
        call.result = EVB_OK;
        if (size == 0) {
            call.result = EVB_EINVAL;
        } else if (offset > LARGEST_FILE || size > LARGEST_FILE - offset) {
            call.result = EVB_ETOOBIG;
        } else if (fault_fs_pages_missing(&inode->cache, offset, size) > room_left(fs)) {
            call.result = EVB_ENOSPC;
            fs->hits++;
        } else {
            call.effect.kind = EFFECT_ALLOCATE;
            call.effect.offset = offset;
            call.effect.size = size;
        }
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_forget(int32_t fd, uint64_t offset, uint64_t size, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_FORGET, fd);
    call.offset = offset;
    call.size = size;
    if (fault_fs_start(fs, &call, NULL) && fault_fs_opened(fs, &call, 0, &call.result) != NULL) {
        call.result = offset > INT64_MAX || size > INT64_MAX ? EVB_EINVAL : EVB_OK;
        if (call.result == EVB_OK) call.effect.kind = EFFECT_FORGET;
        call.effect.offset = offset;
        call.effect.size = size;
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

int64_t fault_fs_call_size(int32_t fd, void *arg)
{
    struct fault_fs *fs = arg;
    const struct inode *inode;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_SIZE, fd);
    if (fault_fs_start(fs, &call, NULL)) {
        inode = fault_fs_opened(fs, &call, 0, &call.result);
        if (inode != NULL) call.result = inode->dir ? FAULT_FS_PAGE : (int64_t)inode->cache.size;
    }
    return fault_fs_finish(fs, &call);
}

/* ---- maps ---- */

/* From the cache into the map; behind the last page of the file 0xDD. */
void fault_fs_show_maps(struct fault_fs *fs, uint32_t ino, uint64_t offset, uint64_t size)
{
    const struct content *cache = &fs->inodes[ino].cache;

    for (uint32_t i = 0; i < fs->map_count; i++) {
        const struct mapping *map = &fs->maps[i];
        uint64_t n, there = (cache->size + FAULT_FS_PAGE - 1) / FAULT_FS_PAGE * FAULT_FS_PAGE;

        if (map->ino != ino || offset >= map->size) continue;
        n = size < map->size - offset ? size : map->size - offset;
        fault_fs_read(cache, offset, (uint8_t *)map->addr + offset, (size_t)n);
        if (offset + n == map->size && there < map->size)
            memset((uint8_t *)map->addr + there, 0xDD, (size_t)(map->size - there));
    }
}

int32_t fault_fs_call_map(int32_t fd, size_t size, const void **ret_addr, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call;

    fault_fs_enter();
    call = fault_fs_call_on(fs, FAULT_FS_MAP, fd);
    call.size = size;
    if (fault_fs_start(fs, &call, NULL) && fault_fs_opened(fs, &call, 0, &call.result) != NULL) {
        call.result = size == 0 || fs->inodes[call.effect.ino].dir ? EVB_EINVAL : EVB_OK;
        if (call.result == EVB_OK && (fs->fds[fd - fs->first_fd].flags & EVB__FILE_READ) == 0) {
            call.result = EVB_EIO; /* EACCES */
            fs->misuses++;
        }
        if (call.result == EVB_OK) {
            void *addr = NULL;

            if (posix_memalign(&addr, FAULT_FS_PAGE, size) != 0) abort();
            fs->maps = fault_fs_more(fs->maps, fs->map_count, &fs->map_room, sizeof fs->maps[0]);
            fs->maps[fs->map_count++] = (struct mapping){.addr = addr, .size = size, .ino = call.effect.ino};
            fault_fs_show_maps(fs, call.effect.ino, 0, size);
            *ret_addr = addr;
        }
    }
    return (int32_t)fault_fs_finish(fs, &call);
}

int32_t fault_fs_call_unmap(const void *addr, size_t size, void *arg)
{
    struct fault_fs *fs = arg;
    struct call call = {.kind = FAULT_FS_UNMAP, .size = size};

    fault_fs_enter();
    if (fault_fs_start(fs, &call, NULL)) {
        uint32_t i = 0;

        while (i < fs->map_count && (fs->maps[i].addr != addr || fs->maps[i].size != size))
            i++;
        call.result = i < fs->map_count ? EVB_OK : EVB_EINVAL;
        if (i == fs->map_count) {
            fs->misuses++;
        } else {
            free(fs->maps[i].addr);
            fs->maps[i] = fs->maps[--fs->map_count];
        }
    }
    return (int32_t)fault_fs_finish(fs, &call);
}
