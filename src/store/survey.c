/* SPDX-License-Identifier: MIT */
/* Looking through a closed store, past damage; evb_store_verify. */
#include "store/survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/file.h"

/* ---- what is found ---- */

static void found_damage(struct evb__survey *s, uint64_t base, uint64_t offset, uint64_t position)
{
    s->findings[s->index].damaged = true;
    if (s->report.damaged != 0) return;
    s->report.damaged = 1;
    s->report.first_bad_position = position;
    s->report.offset = offset;
    (void)snprintf(s->report.segment, sizeof s->report.segment, "%020" PRIu64 ".seg", base);
}

static void found_bad_file(struct evb__survey *s, const char *name)
{
    if (s->report.damaged != 0) return;
    s->report.damaged = 1;
    (void)snprintf(s->report.segment, sizeof s->report.segment, "%s", name);
}

/* The stream of a good frame, or NULL; made if only an earlier survey knows its name. */
static int32_t stream_of(struct evb__survey *s, uint32_t number, struct evb__stream **ret)
{
    const struct evb__stream *known;
    int32_t rc;

    *ret = evb__stream_by_number(&s->store->streams, number);
    known = *ret == NULL && s->names != NULL ? evb__stream_by_number(s->names, number) : NULL;
    if (known == NULL) return EVB_OK;
    rc = evb__stream_add(&s->store->streams, known->name, known->name_size, number, ret);
    return rc == EVB_ENOMEM ? rc : EVB_OK;
}

static bool events_are_sound(const struct evb__frame *frame, const unsigned char *bytes)
{
    size_t at = EVB__FRAME_HEADER;

    for (uint32_t i = 0; i < frame->count; i++) {
        struct evb__event_view event;
        int64_t size = evb__event_take(bytes + at, frame->len - at, &event);

        if (size < 0) return false;
        at += (size_t)size;
    }
    return frame->count != 0 && at == frame->len;
}

static int32_t tell_keeper(struct evb__survey *s, const struct evb__frame *frame, const unsigned char *bytes,
                           const struct evb__stream *stream, bool declared)
{
    s->findings[s->index].kept = true;
    return s->keep != NULL ? s->keep(s, frame, bytes, stream, declared) : EVB_OK;
}

/* 1: a frame that makes sense here; 0: none. */
static int32_t take_frame(struct evb__survey *s, const struct evb__frame *frame, const unsigned char *bytes)
{
    struct evb__stream *stream;
    const char *name;
    size_t size;
    bool declared;
    int32_t rc = EVB_OK;

    if (frame->position < s->expected) return 0;
    if (frame->kind == EVB__FRAME_SEAL) s->sealed = true;
    if (frame->kind == EVB__FRAME_DECL) {
        if (evb__decl_take(bytes, frame->len, &name, &size) != EVB_OK || frame->stream == 0) return 0;
        stream = evb__stream_by_number(&s->store->streams, frame->stream);
        if (stream == NULL) rc = evb__stream_add(&s->store->streams, name, size, frame->stream, &stream);
        if (rc == EVB_ENOMEM) return rc;
        if (rc != EVB_OK || stream->name_size != size || memcmp(stream->name, name, size) != 0) return 0;
        if (frame->version > stream->version) stream->version = frame->version;
        rc = tell_keeper(s, frame, bytes, stream, true);
        if (rc != EVB_OK) return rc;
        stream->declared = s->header.number;
    } else if (frame->kind == EVB__FRAME_DATA) {
        rc = stream_of(s, frame->stream, &stream);
        if (rc != EVB_OK) return rc;
        if (stream == NULL || frame->version <= stream->version || !events_are_sound(frame, bytes)) return 0;
        declared = stream->declared == s->header.number;
        rc = tell_keeper(s, frame, bytes, stream, declared);
        if (rc != EVB_OK) return rc;
        stream->declared = s->header.number;
        stream->version = frame->version + frame->count - 1;
        s->report.lost_positions += frame->position - s->expected;
        s->expected = frame->position + frame->count;
        s->report.records += frame->count;
    }
    if (frame->durable > s->durable) s->durable = frame->durable;
    if (frame->kind != EVB__FRAME_SEAL) s->last_crc = frame->crc;
    return 1;
}

/* ---- one segment ---- */

/* The header of the segment behind this one; number 0: it was still being made, and only its name
 * says where this one ends. EVB_ENOTFOUND, EVB_ECORRUPT: there is none. */
static int32_t next_header(struct evb__survey *s, struct evb__segment_header *ret)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    uint64_t base;
    int64_t size;
    int32_t fd, rc;

    if (s->index + 1 >= s->count) return EVB_ENOTFOUND;
    base = s->r.bases[s->index + 1];
    fd = files->open(evb__segment_path(&path, s->store->dir, base, "seg"), EVB__FILE_READ, files->arg);
    if (fd < 0) return fd;
    rc = evb__segment_header_read(fd, ret);
    if (rc == EVB_ECORRUPT && s->index + 2 == s->count) {
        size = files->size(fd, files->arg);
        rc = size < 0 ? (int32_t)size : evb__half_made(&s->r, base, fd, (uint64_t)size);
        *ret = (struct evb__segment_header){.base = base, .prev_end = base};
        if (rc >= 0) rc = rc == 1 ? EVB_OK : EVB_ECORRUPT;
    }
    (void)files->close(fd, files->arg);
    return rc;
}

/* Everything up to the next segment is there, as that one has it. */
static bool is_followed_by(const struct evb__survey *s, const struct evb__segment_header *next)
{
    return s->expected == next->prev_end && (next->number == 0 || s->last_crc == next->prev_crc);
}

/* The tail, at a place where no frame is: 1: damage; 0: a clean end or a torn one, whose bytes are
 * counted.
 */
static int32_t judge(struct evb__survey *s, uint64_t covered)
{
    uint64_t offset = s->r.scan.offset;
    struct evb__frame frame;
    int32_t rc = evb__scan_zeros(&s->r.scan);

    if (offset < covered) return 1;
    if (rc != 0) return rc == 1 ? 0 : rc;
    while ((rc = evb__scan_resync(&s->r.scan, s->expected, &frame)) == EVB_OK && frame.durable <= s->expected)
        s->r.scan.offset += frame.len;
    s->r.scan.offset = offset;
    if (rc == EVB_OK) return 1;
    if (rc != EVB_EEMPTY) return rc;
    s->report.torn_bytes = s->r.scan.limit - offset;
    return 0;
}

/* Behind which offset something has been durable, as an index has it. */
static int32_t covered_by_index(struct evb__survey *s, uint64_t *ret)
{
    uint32_t salt = 0;
    int32_t rc = evb__index_covers(s->store, s->header.base, &salt, ret);

    if (rc == EVB_OK && salt != s->header.salt) *ret = 0; /* of an earlier file of this name */
    return rc;
}

/* Frames up to the end, past what is none. next: the header behind, or NULL. */
static int32_t walk(struct evb__survey *s, const struct evb__segment_header *next, bool last)
{
    uint64_t covered = 0;
    bool behind = false; /* damage in this segment */
    int32_t asked = last ? covered_by_index(s, &covered) : EVB_OK;

    if (asked != EVB_OK) return asked;
    while (!s->sealed) {
        uint64_t offset = s->r.scan.offset;
        struct evb__frame frame;
        const unsigned char *bytes;
        int32_t rc = evb__scan_next(&s->r.scan, &frame, &bytes);

        if (rc == EVB_OK) {
            rc = take_frame(s, &frame, bytes);
            if (rc == 1) continue;
            if (rc == 0) rc = EVB_ECORRUPT;
        }
        s->r.scan.offset = offset;
        if (rc == EVB_EEMPTY && offset >= covered) break;
        if (rc != EVB_ECORRUPT && rc != EVB_EEMPTY) return rc;
        if (!behind) {
            if (next != NULL && is_followed_by(s, next)) break;
            rc = last ? judge(s, covered) : 1;
            if (rc < 0) return rc;
            if (rc == 0) break;
            found_damage(s, s->header.base, offset, s->expected);
            behind = true;
        }
        s->r.scan.offset = offset + 8;
        rc = evb__scan_resync(&s->r.scan, s->expected, &frame);
        if (rc == EVB_EEMPTY) break;
        if (rc != EVB_OK) return rc;
    }
    return EVB_OK;
}

static int32_t survey_file(struct evb__survey *s, int32_t fd, bool last)
{
    const struct evb__files *files = evb__files();
    uint64_t base = s->r.bases[s->index];
    struct evb__segment_header next;
    int64_t size = files->size(fd, files->arg);
    int32_t rc = next_header(s, &next);
    bool has_next = rc == EVB_OK;

    if (rc != EVB_OK && rc != EVB_ENOTFOUND && rc != EVB_ECORRUPT) return rc;
    rc = size < 0 ? (int32_t)size : evb__segment_header_read(fd, &s->header);

    if (rc == EVB_ECORRUPT || (rc == EVB_OK && s->header.base != base)) {
        rc = rc == EVB_ECORRUPT && last && base == s->expected
                 ? evb__half_made(&s->r, base, fd, (uint64_t)size)
                 : 0;
        if (rc == 0) found_damage(s, base, 0, base);
        return rc < 0 ? rc : EVB_OK;
    }
    if (rc != EVB_OK) return rc;
    s->findings[s->index].readable = true;
    if (base < s->expected) {
        found_damage(s, base, 0, base); /* two files claim the same positions */
        s->findings[s->index].readable = false;
        return EVB_OK;
    }
    s->report.lost_positions += base - s->expected;
    s->expected = base;
    s->sealed = false;
    s->last_crc = 0;
    evb__scan_start(&s->r.scan, fd, s->header.salt, EVB__SEGMENT_MAX, EVB__SEGMENT_HEADER, (uint64_t)size);
    rc = walk(s, has_next ? &next : NULL, last);
    if (rc != EVB_OK) return rc;
    s->findings[s->index].end_position = s->expected;
    if ((s->header.flags & EVB__SEGMENT_SALVAGED) != 0 && !last) return EVB_OK; /* gaps are known here */
    if (last ? s->sealed
             : !has_next || !is_followed_by(s, &next) ||
                   (next.number != 0 && next.number != s->header.number + 1))
        found_damage(s, base, s->r.scan.offset, s->expected);
    return EVB_OK;
}

static int32_t survey_segment(struct evb__survey *s, bool last)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    int32_t fd = files->open(evb__segment_path(&path, s->store->dir, s->r.bases[s->index], "seg"),
                             EVB__FILE_READ, files->arg);
    int32_t rc;

    if (fd < 0) return fd;
    memset(&s->header, 0, sizeof s->header);
    rc = survey_file(s, fd, last);
    (void)files->close(fd, files->arg);
    s->report.segments++;
    return rc;
}

/* ---- all of it ---- */

/* META, or what a segment says in its stead. */
static int32_t survey_meta(struct evb__survey *s)
{
    const struct evb__files *files = evb__files();
    struct evb__path path;
    int32_t rc = evb__store_meta(s->store);

    if (rc != EVB_ECORRUPT && rc != EVB_ENOTFOUND) return rc;
    if (s->r.count == 0) return rc;
    if (rc == EVB_ENOTFOUND) {
        rc = evb__store_leftover(s->store);
        if (rc != EVB_ECORRUPT) return rc == EVB_OK ? EVB_ENOTFOUND : rc; /* the next open begins it anew */
    }
    found_bad_file(s, "META");
    s->meta_damaged = true;
    for (uint32_t i = 0; i < s->r.count; i++) {
        struct evb__segment_header header;
        int32_t fd = files->open(evb__segment_path(&path, s->store->dir, s->r.bases[i], "seg"),
                                 EVB__FILE_READ, files->arg);

        if (fd < 0) return fd;
        rc = evb__segment_header_read(fd, &header);
        (void)files->close(fd, files->arg);
        if (rc == EVB_OK) {
            s->store->format = header.format;
            return EVB_OK;
        }
    }
    return rc;
}

static int32_t survey_heads(struct evb__survey *s)
{
    int32_t rc = evb__heads_load(s->store);

    if (rc == EVB_ECORRUPT) {
        found_bad_file(s, "HEADS");
        s->heads_damaged = true;
        evb__st_rlx(&s->store->first, s->r.bases[0]); /* nobody else sees it */
        return EVB_OK;
    }
    if (rc == EVB_ENOTFOUND) evb__st_rlx(&s->store->first, 1); /* likewise */
    if (rc == EVB_ENOTFOUND) rc = EVB_OK;
    /* Versions are compared with what the segments say, from the first kept event on. */
    for (uint32_t i = 1; i < s->store->streams.next_number; i++)
        if (s->store->streams.numbers[i] != NULL) s->store->streams.numbers[i]->version = 0;
    return rc;
}

int32_t evb__survey_run(struct evb__survey *s)
{
    uint64_t first;
    int32_t rc = evb__segments_list(&s->r);

    if (rc != EVB_OK) return rc == EVB_ENOTFOUND ? EVB_OK : rc;
    rc = survey_meta(s);
    if (rc != EVB_OK) return rc;
    s->count = s->r.count;
    s->findings = evb__zalloc((s->count + 1) * sizeof *s->findings, EVB__ALIGN_MIN);
    if (s->findings == NULL) return EVB_ENOMEM;
    for (uint32_t i = 0; i < s->count; i++)
        s->findings[i].base = s->r.bases[i];
    if (s->count != 0) rc = survey_heads(s);
    if (rc != EVB_OK) return rc;
    first = s->expected = evb__ld_rlx(&s->store->first); /* nobody else sees it */
    while (s->first < s->count && s->r.bases[s->first] < first)
        s->first++;
    if (s->first == s->count || s->r.bases[s->first] != first) {
        found_bad_file(s, "seg");
        s->report.first_bad_position = first;
    }
    for (s->index = s->first; s->index < s->count && rc == EVB_OK; s->index++)
        rc = survey_segment(s, s->index + 1 == s->count);
    if (rc == EVB_OK && s->durable > s->expected) s->report.lost_positions += s->durable - s->expected;
    return rc;
}

int32_t evb__survey_begin(struct evb__survey *s, const char *dir)
{
    int32_t rc;

    memset(s, 0, sizeof *s);
    s->r.fd = -1;
    evb__scan_init(&s->r.scan, EVB__SCAN_WINDOW);
    if (dir == NULL || dir[0] == '\0' || strnlen(dir, EVB__STORE_DIR) == EVB__STORE_DIR) return EVB_EINVAL;
    rc = evb__store_make(dir, &s->store);
    if (rc != EVB_OK) return rc;
    s->store->read_only = true; /* listing cleans nothing up */
    s->r.store = s->store;
    return evb__store_lock(dir, false, &s->store->lock_fd);
}

void evb__survey_end(struct evb__survey *s)
{
    evb__recovery_end(&s->r);
    evb__free(s->findings, (s->count + 1) * sizeof *s->findings);
    if (s->store == NULL) return;
    if (s->store->lock_fd >= 0) (void)evb__files()->close(s->store->lock_fd, evb__files()->arg);
    evb__store_unref(s->store);
}

/* ---- verify ---- */

void evb__report_copy(evb_verify_report *ret, const evb_verify_report *report)
{
    evb_verify_report copy = *report;

    if (ret == NULL) return;
    copy.struct_size =
        ret->struct_size != 0 && ret->struct_size < sizeof copy ? ret->struct_size : (uint32_t)sizeof copy;
    memcpy(ret, &copy, copy.struct_size);
}

int32_t evb_store_verify(const char *dir, evb_verify_report *ret_report)
{
    struct evb__survey survey;
    int32_t rc;

    if (ret_report != NULL && ret_report->struct_size != 0 && ret_report->struct_size < 2 * sizeof(uint32_t))
        return EVB_EINVAL;
    rc = evb__survey_begin(&survey, dir);
    if (rc == EVB_OK) rc = evb__survey_run(&survey);
    survey.report.lost_positions = 0; /* salvage's word */
    if (rc == EVB_OK && survey.report.damaged != 0) rc = EVB_ECORRUPT;
    if (rc == EVB_OK || rc == EVB_ECORRUPT) evb__report_copy(ret_report, &survey.report);
    evb__survey_end(&survey);
    return rc;
}
