/* SPDX-License-Identifier: MIT */
/* Files of a store as wholes: paths, small files replaced at once, what a directory has to be told.
 *
 *      DIR/LOCK              held while somebody writes
 *      DIR/META              who this store is; its last file to be made: with it the store exists
 *      DIR/HEADS             streams whose first events have been trimmed away
 *      DIR/seg/N.seg         events; N = position of the first one, 20 digits
 *      DIR/seg/N.idx         what a look through N.seg would find; maybe missing or old, never wrong
 *      DIR/snap/H.snap       snapshots; H = hash of the stream's name
 *      *.tmp                 being made; means nothing
 *
 * Invariant: a file that evb__file_replace has replaced holds either the old or the new bytes, whenever
 * the power goes, and after it has returned the new ones. Threads: any, no state; two replacing one
 * name at a time must not use the same turn.
 */
#ifndef EVB__STORE_FILES_H
#define EVB__STORE_FILES_H

#include <stddef.h>
#include <stdint.h>

#define EVB__STORE_DIR  3900u /* bytes of the store's directory name */
#define EVB__STORE_PATH 4096u

struct evb__path {
    char text[EVB__STORE_PATH];
};

/* DIR/NAME; name may contain '/'. Answers the text. */
const char *evb__path(struct evb__path *path, const char *dir, const char *name);
/* DIR/seg/N.KIND */
const char *evb__segment_path(struct evb__path *path, const char *dir, uint64_t base, const char *kind);

/* All of a file. EVB_ENOTFOUND, EVB_ECORRUPT when it is larger than most, EVB_EIO, EVB_ENOMEM. The
 * bytes are freed with evb__free(bytes, size); an empty file answers NULL. */
int32_t evb__file_read(const char *path, uint64_t most, unsigned char **ret_bytes, size_t *ret_size);

/* Temporary name, sync, rename, sync of the directory. turn: the temporary name, of which an
 * interrupted run leaves at most a few, since they are used again. */
int32_t evb__file_replace(const char *dir, const char *name, const void *bytes, size_t size, uint32_t turn);

/* What has been made, renamed or unlinked in dir is there, or gone, after the power has been. */
int32_t evb__dir_sync(const char *dir);
/* The same for dir itself. */
int32_t evb__dir_sync_parent(const char *dir);
/* Makes it if it is not there. */
int32_t evb__dir_make(const char *dir);

#endif
