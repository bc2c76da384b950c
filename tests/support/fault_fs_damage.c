/* SPDX-License-Identifier: MIT */
/* What is found broken on a disk, and files put there and looked at from outside. */
#include "fault_fs_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A test that damages a file which is not there tests nothing. */
static uint32_t must_find(const struct fault_fs *fs, const char *path)
{
    struct where at;

    if (fault_fs_find(fs, path, &at) == EVB_OK && at.ino != NO_INODE) return at.ino;
    (void)fprintf(stderr, "fault_fs: there is no %s\n", path);
    abort();
}

/* What is un-synced stays so, over bytes that have changed. */
static void poke(struct fault_fs *fs, uint32_t ino, uint64_t offset, const void *bytes, size_t size)
{
    struct inode *inode = &fs->inodes[ino];

    if (inode->dir || offset + size > inode->cache.size) {
        (void)fprintf(stderr, "fault_fs: %s has no byte %" PRIu64 "\n", inode->path, offset + size - 1);
        abort();
    }
    fault_fs_write(&inode->cache, offset, bytes, size);
    if (offset < inode->disk.size) {
        if (size > inode->disk.size - offset) size = (size_t)(inode->disk.size - offset);
        fault_fs_write(&inode->disk, offset, bytes, size);
    }
    fault_fs_show_maps(fs, ino, offset, size);
}

/* The bytes of a sector that the file has: 0..512. */
static size_t sector_size(const struct fault_fs *fs, uint32_t ino, uint64_t sector)
{
    uint64_t size = fs->inodes[ino].cache.size, from = sector * FAULT_FS_SECTOR;

    if (from >= size) return 0;
    return size - from < FAULT_FS_SECTOR ? (size_t)(size - from) : FAULT_FS_SECTOR;
}

static void get_sector(const struct fault_fs *fs, uint32_t ino, uint64_t sector,
                       uint8_t bytes[FAULT_FS_SECTOR])
{
    memset(bytes, 0, FAULT_FS_SECTOR); /* behind the end */
    fault_fs_read(&fs->inodes[ino].cache, sector * FAULT_FS_SECTOR, bytes, sector_size(fs, ino, sector));
}

static void put_sector(struct fault_fs *fs, uint32_t ino, uint64_t sector,
                       const uint8_t bytes[FAULT_FS_SECTOR])
{
    size_t size = sector_size(fs, ino, sector);

    poke(fs, ino, sector * FAULT_FS_SECTOR, bytes, size > 0 ? size : FAULT_FS_SECTOR);
}

void fault_fs_flip(struct fault_fs *fs, const char *path, uint64_t bit)
{
    uint32_t ino;
    uint8_t byte;

    fault_fs_enter();
    ino = must_find(fs, path);
    fault_fs_read(&fs->inodes[ino].cache, bit / 8, &byte, 1);
    byte = (uint8_t)(byte ^ (1u << bit % 8));
    poke(fs, ino, bit / 8, &byte, 1);
    fault_fs_leave();
}

void fault_fs_zero(struct fault_fs *fs, const char *path, uint64_t sector)
{
    static const uint8_t zeros[FAULT_FS_SECTOR];

    fault_fs_enter();
    put_sector(fs, must_find(fs, path), sector, zeros);
    fault_fs_leave();
}

void fault_fs_swap(struct fault_fs *fs, const char *path, uint64_t sector, uint64_t other)
{
    uint8_t one[FAULT_FS_SECTOR], two[FAULT_FS_SECTOR];
    uint32_t ino;

    fault_fs_enter();
    ino = must_find(fs, path);
    get_sector(fs, ino, sector, one);
    get_sector(fs, ino, other, two);
    put_sector(fs, ino, sector, two);
    put_sector(fs, ino, other, one);
    fault_fs_leave();
}

void fault_fs_copy_sector(struct fault_fs *fs, const char *path, uint64_t sector, struct fault_fs *from,
                          const char *from_path, uint64_t from_sector)
{
    uint8_t bytes[FAULT_FS_SECTOR];

    fault_fs_enter();
    get_sector(from, must_find(from, from_path), from_sector, bytes);
    put_sector(fs, must_find(fs, path), sector, bytes);
    fault_fs_leave();
}

void fault_fs_cut(struct fault_fs *fs, const char *path, uint64_t size)
{
    struct inode *inode;
    uint32_t ino;

    fault_fs_enter();
    ino = must_find(fs, path);
    inode = &fs->inodes[ino];
    fault_fs_resize(&inode->cache, size);
    for (uint32_t i = 0; i < inode->op_count; i++)
        fault_fs_blob_drop(inode->ops[i].blob);
    inode->op_count = 0;
    fault_fs_drop(&inode->disk);
    inode->disk = fault_fs_share(&inode->cache);
    fault_fs_show_maps(fs, ino, 0, UINT64_MAX);
    fault_fs_leave();
}

/* The name is gone here and on the medium, whatever was un-synced about it. */
static void remove_name(struct fault_fs *fs, const struct where *at)
{
    struct effect effect = {.kind = EFFECT_UNLINK, .ino = at->ino, .dir = at->dir};

    memcpy(effect.name, at->name, NAME_ROOM);
    fault_fs_apply(fs, &effect);
    fault_fs_sync_names(fs, at->dir);
}

void fault_fs_delete(struct fault_fs *fs, const char *path)
{
    struct where at;

    fault_fs_enter();
    if (must_find(fs, path) == 0 || fault_fs_find(fs, path, &at) != EVB_OK) abort();
    remove_name(fs, &at);
    fault_fs_leave();
}

static uint32_t make(struct fault_fs *fs, const struct where *at, bool dir, const char *path)
{
    struct effect effect = {
        .kind = dir ? EFFECT_MKDIR : EFFECT_CREATE, .ino = fs->inode_count, .dir = at->dir};

    memcpy(effect.name, at->name, NAME_ROOM);
    fault_fs_apply(fs, &effect);
    fault_fs_sync_names(fs, at->dir);
    (void)snprintf(fs->inodes[effect.ino].path, PATH_ROOM, "%s", path);
    return effect.ino;
}

/* A new file of this name and the directories above it. */
static uint32_t make_file(struct fault_fs *fs, const char *path)
{
    struct where at;
    char above[512];

    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)snprintf(above, sizeof above, "%.*s", (int)(slash - path), path);
        if (fault_fs_find(fs, above, &at) != EVB_OK) abort();
        if (at.ino == NO_INODE) (void)make(fs, &at, true, above);
    }
    if (fault_fs_find(fs, path, &at) != EVB_OK) abort();
    if (at.ino != NO_INODE) {
        if (fs->inodes[at.ino].dir) abort();
        remove_name(fs, &at);
    }
    return make(fs, &at, false, path);
}

void fault_fs_duplicate(struct fault_fs *fs, const char *from, const char *to)
{
    uint32_t source, ino;

    fault_fs_enter();
    source = must_find(fs, from);
    ino = make_file(fs, to);
    fs->inodes[ino].cache = fault_fs_share(&fs->inodes[source].cache);
    fs->inodes[ino].disk = fault_fs_share(&fs->inodes[source].cache);
    fault_fs_leave();
}

void fault_fs_put(struct fault_fs *fs, const char *path, const void *bytes, size_t size)
{
    struct inode *inode;
    uint32_t ino;

    fault_fs_enter();
    ino = make_file(fs, path); /* first: it may move them */
    inode = &fs->inodes[ino];
    fault_fs_write(&inode->cache, 0, bytes, size);
    inode->cache.size = size;
    inode->disk = fault_fs_share(&inode->cache);
    fault_fs_leave();
}

int64_t fault_fs_get(struct fault_fs *fs, const char *path, void *buf, size_t room)
{
    const struct content *cache;
    struct where at;
    int64_t size = -1;

    fault_fs_enter();
    if (fault_fs_find(fs, path, &at) == EVB_OK && at.ino != NO_INODE) {
        cache = &fs->inodes[at.ino].cache;
        size = (int64_t)cache->size;
        fault_fs_read(cache, 0, buf, room < cache->size ? room : (size_t)cache->size);
    }
    fault_fs_leave();
    return size;
}

void fault_fs_bad(struct fault_fs *fs, const char *path, uint64_t offset, uint64_t size)
{
    struct inode *inode;

    fault_fs_enter();
    inode = &fs->inodes[must_find(fs, path)];
    inode->bad_offset = offset;
    inode->bad_size = size;
    fault_fs_leave();
}

/* ---- comparing, showing ---- */

static bool same_bytes(const struct content *a, const struct content *b)
{
    uint8_t one[FAULT_FS_PAGE], two[FAULT_FS_PAGE];

    if (a->size != b->size) return false;
    if (a->table == b->table) return true;
    for (uint64_t i = 0; i * FAULT_FS_PAGE < a->size; i++) {
        if (fault_fs_is_hole(a, (uint32_t)i) && fault_fs_is_hole(b, (uint32_t)i)) continue;
        fault_fs_read(a, i * FAULT_FS_PAGE, one, sizeof one);
        fault_fs_read(b, i * FAULT_FS_PAGE, two, sizeof two);
        if (memcmp(one, two, sizeof one) != 0) return false;
    }
    return true;
}

static bool same_below(const struct fault_fs *a, uint32_t dir_a, const struct fault_fs *b, uint32_t dir_b)
{
    uint32_t count_a = 0, count_b = 0;

    for (uint32_t i = 0; i < b->live.count; i++)
        count_b += b->live.at[i].dir == dir_b;
    for (uint32_t i = 0; i < a->live.count; i++) {
        const struct entry *one = &a->live.at[i], *two = NULL;

        if (one->dir != dir_a) continue;
        count_a++;
        for (uint32_t j = 0; j < b->live.count && two == NULL; j++)
            if (b->live.at[j].dir == dir_b && strcmp(b->live.at[j].name, one->name) == 0)
                two = &b->live.at[j];
        if (two == NULL || a->inodes[one->ino].dir != b->inodes[two->ino].dir) return false;
        if (a->inodes[one->ino].dir ? !same_below(a, one->ino, b, two->ino)
                                    : !same_bytes(&a->inodes[one->ino].cache, &b->inodes[two->ino].cache))
            return false;
    }
    return count_a == count_b;
}

bool fault_fs_same(struct fault_fs *a, struct fault_fs *b)
{
    bool same;

    fault_fs_enter();
    same = same_below(a, 0, b, 0);
    fault_fs_leave();
    return same;
}

static void print_below(const struct fault_fs *fs, FILE *out, uint32_t dir, int depth)
{
    for (uint32_t i = 0; i < fs->live.count; i++) {
        const struct entry *entry = &fs->live.at[i];
        const struct inode *inode = &fs->inodes[entry->ino];

        if (entry->dir != dir) continue;
        if (inode->dir)
            (void)fprintf(out, "  %*s%s/\n", depth * 2, "", entry->name);
        else
            (void)fprintf(out,
                          "  %*s%s %" PRIu64 " bytes, %" PRIu64 " on the medium, %u operations un-synced\n",
                          depth * 2, "", entry->name, inode->cache.size, inode->disk.size, inode->op_count);
        if (inode->dir) print_below(fs, out, entry->ino, depth + 1);
    }
}

void fault_fs_print(struct fault_fs *fs, FILE *out)
{
    fault_fs_enter();
    print_below(fs, out, 0, 0);
    (void)fprintf(out, "  %u operations on names un-synced\n", fs->name_op_count);
    fault_fs_leave();
}
