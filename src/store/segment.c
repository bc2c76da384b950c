/* SPDX-License-Identifier: MIT */
/* Segments in memory, and the making of their files. */
#include "store/store.h"

#include <string.h>
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

struct evb__segment *evb__segment_last(const evb_store *store)
{
    evb__assert(store->segment_count > 0);
    return store->segments[store->segment_count - 1];
}

uint32_t evb__segment_index(const evb_store *store, uint64_t position)
{
    uint32_t low = 0, high = store->segment_count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (store->segments[mid]->end_position <= position) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct evb__segment *evb__segment_by_number(const evb_store *store, uint32_t number)
{
    uint32_t low = 0, high = store->segment_count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (store->segments[mid]->number < number) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < store->segment_count && store->segments[low]->number == number ? store->segments[low] : NULL;
}

struct evb__segment *evb__segment_make(const struct evb__segment_header *header)
{
    struct evb__segment *segment = evb__zalloc(sizeof *segment, EVB__ALIGN_MIN);

    if (segment == NULL) return NULL;
    segment->base = segment->end_position = header->base;
    segment->number = header->number;
    segment->salt = header->salt;
    segment->flags = header->flags;
    segment->prev_crc = header->prev_crc;
    segment->prev_end = header->prev_end;
    segment->end_offset = EVB__SEGMENT_HEADER;
    segment->max_time = INT64_MIN;
    return segment;
}

void evb__segment_free(struct evb__segment *segment)
{
    if (segment == NULL) return;
    evb__free(segment->marks, segment->mark_room * sizeof *segment->marks);
    evb__free(segment, sizeof *segment);
}

int32_t evb__segment_push(evb_store *store, struct evb__segment *segment)
{
    if (store->segment_count == store->segment_room) {
        uint32_t room = store->segment_room == 0 ? 16 : store->segment_room * 2;
        struct evb__segment **segments = evb__alloc(room * sizeof(*segments), EVB__ALIGN_MIN);

        if (segments == NULL) return EVB_ENOMEM;
        if (store->segment_count != 0)
            memcpy(segments, store->segments, store->segment_count * sizeof(*segments));
        evb__free(store->segments, store->segment_room * sizeof(*segments));
        store->segments = segments;
        store->segment_room = room;
    }
    store->segments[store->segment_count++] = segment;
    return EVB_OK;
}

/* ---- landmarks ---- */

int32_t evb__segment_reserve(struct evb__segment *segment, uint32_t more)
{
    uint32_t room = segment->mark_room == 0 ? 16 : segment->mark_room;
    struct evb__landmark *marks;

    while (room - segment->mark_count < more)
        room *= 2; /* bounded by the bytes of a segment */
    if (room == segment->mark_room) return EVB_OK;
    marks = evb__alloc(room * sizeof *marks, EVB__ALIGN_MIN);
    if (marks == NULL) return EVB_ENOMEM;
    if (segment->mark_count != 0) memcpy(marks, segment->marks, segment->mark_count * sizeof *marks);
    evb__free(segment->marks, segment->mark_room * sizeof *marks);
    segment->marks = marks;
    segment->mark_room = room;
    return EVB_OK;
}

void evb__segment_note(struct evb__segment *segment, uint64_t offset, uint64_t position)
{
    struct evb__landmark *mark;

    if (segment->mark_count != 0 &&
        offset - segment->marks[segment->mark_count - 1].offset < EVB__LANDMARK_EVERY)
        return;
    evb__assert(segment->mark_count < segment->mark_room);
    mark = &segment->marks[segment->mark_count++];
    mark->offset = offset;
    mark->position = position;
    mark->time_before = segment->max_time;
}

/* ---- files ---- */

int32_t evb__segment_header_write(int32_t fd, const struct evb__segment_header *header)
{
    const struct evb__files *files = evb__files();
    unsigned char *bytes = evb__alloc(EVB__SEGMENT_HEADER, EVB__ALIGN_MIN);
    int32_t rc;

    if (bytes == NULL) return EVB_ENOMEM;
    evb__segment_encode(bytes, header);
    /* Shorter first: what a segment of this name held before must not stand behind the new header. */
    rc = files->truncate(fd, 0, files->arg);
    if (rc == EVB_OK) rc = files->datasync(fd, files->arg);
    if (rc == EVB_OK) rc = evb__pwrite_full(fd, bytes, EVB__SEGMENT_HEADER, 0);
    if (rc == EVB_OK) rc = files->datasync(fd, files->arg);
    evb__free(bytes, EVB__SEGMENT_HEADER);
    return rc;
}

int32_t evb__segment_create(evb_store *store, const struct evb__segment_header *header, int32_t *ret_fd)
{
    const struct evb__files *files = evb__files();
    struct evb__path path, dir;
    int32_t fd, rc;

    (void)evb__segment_path(&path, store->dir, header->base, "seg");
    (void)evb__path(&dir, store->dir, "seg");
    fd = files->open(path.text, EVB__FILE_READ | EVB__FILE_WRITE | EVB__FILE_CREATE, files->arg);
    if (fd < 0) return fd;
    rc = evb__segment_header_write(fd, header);
    if (rc == EVB_OK) rc = evb__dir_sync(dir.text);
    if (rc == EVB_OK) {
        *ret_fd = fd;
        return EVB_OK;
    }
    (void)files->close(fd, files->arg);
    /* It must be gone for good before the segment before it grows on: else both would claim the same
     * positions. */
    if (files->unlink(path.text, files->arg) != EVB_OK || evb__dir_sync(dir.text) != EVB_OK) return EVB_EIO;
    return rc;
}
