/* SPDX-License-Identifier: MIT */
/* evb_store_salvage: what is good stays at its position, the rest is given up.
 *
 * A first survey finds out which segments are damaged and which names there are; a second one writes
 * the good frames of the damaged segments, as they are, into new files that say "salvaged" in their
 * headers. Then, one segment after the other: the old file is copied aside (N.seg.damaged), its
 * index goes, the new one takes its name. Invariant: after a power cut at any moment another salvage
 * finishes the work, and no good frame is in neither file.
 */
#include "store/survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/file.h"

#define COPY (256u * 1024)

/* The new file of a damaged segment. */
struct rescue {
    const struct evb__survey *first; /* the survey that found the damage */
    int32_t fd;
    uint32_t index; /* of the segment; UINT32_MAX: none yet */
    uint64_t offset;
    uint32_t salt;
};

static const struct evb__finding *finding(const struct rescue *rescue, uint32_t index)
{
    return &rescue->first->findings[index];
}

static bool is_rewritten(const struct rescue *rescue, uint32_t index)
{
    return finding(rescue, index)->damaged && finding(rescue, index)->readable;
}

static int32_t end_file(struct rescue *rescue)
{
    const struct evb__files *files = evb__files();
    int32_t rc, closed;

    if (rescue->fd < 0) return EVB_OK;
    rc = files->datasync(rescue->fd, files->arg);
    closed = files->close(rescue->fd, files->arg);
    rescue->fd = -1;
    return rc == EVB_OK ? closed : rc;
}

static int32_t begin_file(struct evb__survey *s, struct rescue *rescue, uint32_t index,
                          const struct evb__segment_header *from)
{
    const struct evb__files *files = evb__files();
    struct evb__segment_header header = *from;
    struct evb__path path;
    int32_t rc = end_file(rescue);

    if (rc != EVB_OK) return rc;
    rescue->fd = files->open(evb__segment_path(&path, s->store->dir, header.base, "salvage"),
                             EVB__FILE_READ | EVB__FILE_WRITE | EVB__FILE_CREATE, files->arg);
    if (rescue->fd < 0) return rescue->fd;
    header.flags |= EVB__SEGMENT_SALVAGED;
    rescue->index = index;
    rescue->offset = EVB__SEGMENT_HEADER;
    rescue->salt = header.salt;
    return evb__segment_header_write(rescue->fd, &header);
}

static int32_t write_bytes(struct rescue *rescue, const unsigned char *bytes, size_t size)
{
    int32_t rc = evb__pwrite_full(rescue->fd, bytes, size, rescue->offset);

    rescue->offset += size;
    return rc;
}

static int32_t keep_frame(struct evb__survey *s, const struct evb__frame *frame, const unsigned char *bytes,
                          const struct evb__stream *stream, bool declared)
{
    unsigned char decl[EVB__FRAME_HEADER + EVB__STREAM_NAME_MAX + 9];
    struct rescue *rescue = s->arg;
    int32_t rc = EVB_OK;

    if (!is_rewritten(rescue, s->index)) return EVB_OK;
    if (rescue->index != s->index) rc = begin_file(s, rescue, s->index, &s->header);
    if (rc == EVB_OK && !declared) { /* its declaration was among what is lost */
        evb__decl_put(decl, s->expected, frame->time, stream->version, stream->number, stream->name,
                      stream->name_size);
        evb__frame_seal(decl, frame->durable, rescue->salt);
        rc = write_bytes(rescue, decl, evb__decl_bytes(stream->name_size));
    }
    return rc == EVB_OK ? write_bytes(rescue, bytes, frame->len) : rc;
}

/* ---- files change places ---- */

static int32_t copy_file(int32_t from, int32_t to, unsigned char *buf)
{
    const struct evb__files *files = evb__files();
    uint64_t offset = 0;
    int32_t rc = files->truncate(to, 0, files->arg);

    while (rc == EVB_OK) {
        int64_t got = files->pread(from, buf, COPY, offset, files->arg);

        if (got < 0) rc = (int32_t)got;
        if (got <= 0) break;
        rc = evb__pwrite_full(to, buf, (size_t)got, offset);
        offset += (uint64_t)got;
    }
    return rc == EVB_OK ? files->datasync(to, files->arg) : rc;
}

/* N.seg.damaged is a copy: the old file keeps its name until the new one takes it. */
static int32_t set_aside(const char *dir, uint64_t base)
{
    const struct evb__files *files = evb__files();
    unsigned char *buf = evb__alloc(COPY, EVB__ALIGN_MIN);
    struct evb__path path;
    int32_t from, to, rc;

    if (buf == NULL) return EVB_ENOMEM;
    from = files->open(evb__segment_path(&path, dir, base, "seg"), EVB__FILE_READ, files->arg);
    to = from < 0 ? from
                  : files->open(evb__segment_path(&path, dir, base, "seg.damaged"),
                                EVB__FILE_WRITE | EVB__FILE_CREATE, files->arg);
    rc = to < 0 ? to : copy_file(from, to, buf);
    if (to >= 0) (void)files->close(to, files->arg);
    if (from >= 0) (void)files->close(from, files->arg);
    evb__free(buf, COPY);
    return rc;
}

static int32_t replace_segment(const char *dir, uint64_t base, bool with_new)
{
    const struct evb__files *files = evb__files();
    struct evb__path path, new_path, seg;
    int32_t rc = set_aside(dir, base);

    (void)evb__path(&seg, dir, "seg");
    if (rc != EVB_OK) return rc;
    rc = files->unlink(evb__segment_path(&path, dir, base, "idx"), files->arg);
    if (rc == EVB_OK || rc == EVB_ENOTFOUND) rc = evb__dir_sync(seg.text);
    if (rc != EVB_OK) return rc;
    (void)evb__segment_path(&path, dir, base, "seg");
    rc = with_new ? files->rename(evb__segment_path(&new_path, dir, base, "salvage"), path.text, files->arg)
                  : files->unlink(path.text, files->arg);
    return rc == EVB_OK ? evb__dir_sync(seg.text) : rc;
}

/* ---- all of it ---- */

/* Damaged segments of which no frame could be kept need a file, too: they hold the chain together. */
static int32_t write_empty(struct evb__survey *s, struct rescue *rescue)
{
    const struct evb__files *files = evb__files();
    int32_t rc = EVB_OK;

    for (uint32_t i = s->first; i < s->count && rc == EVB_OK; i++) {
        struct evb__segment_header header;
        struct evb__path path;
        int32_t fd;

        if (!is_rewritten(rescue, i) || s->findings[i].kept) continue;
        fd = files->open(evb__segment_path(&path, s->store->dir, s->r.bases[i], "seg"), EVB__FILE_READ,
                         files->arg);
        if (fd < 0) return fd;
        rc = evb__segment_header_read(fd, &header);
        (void)files->close(fd, files->arg);
        if (rc == EVB_OK) rc = begin_file(s, rescue, i, &header);
    }
    return rc == EVB_OK ? end_file(rescue) : rc;
}

/* The first segment that is there from now on, for HEADS; a new empty one if there is none. */
static int32_t first_segment(struct evb__survey *s, const struct evb__survey *first_survey,
                             uint64_t *ret_base)
{
    struct evb__segment_header header;
    int32_t fd, rc;

    for (uint32_t i = first_survey->first; i < first_survey->count; i++) {
        if (!first_survey->findings[i].readable) continue;
        *ret_base = first_survey->findings[i].base;
        return EVB_OK;
    }
    evb__segment_next(s->store, &header);
    header.base = header.prev_end = first_survey->expected > 1 ? first_survey->expected : 1;
    if (header.base == 1) header.prev_end = 0;
    /* Beside the file that cannot be read, which may have this name and is set aside first. */
    for (uint32_t i = first_survey->first; i < first_survey->count; i++) {
        rc = replace_segment(s->store->dir, first_survey->findings[i].base, false);
        if (rc != EVB_OK) return rc;
    }
    rc = evb__segment_create(s->store, &header, &fd);
    if (rc == EVB_OK) rc = evb__files()->close(fd, evb__files()->arg);
    *ret_base = header.base;
    return rc;
}

static int32_t repair(struct evb__survey *first, struct evb__survey *second, struct rescue *rescue)
{
    const char *dir = first->store->dir;
    uint64_t base = 1;
    bool any = false;
    int32_t rc;

    for (uint32_t i = first->first; i < first->count; i++)
        any = any || first->findings[i].readable;
    rc = first_segment(second, first, &base);
    if (rc == EVB_OK && (first->heads_damaged || base != evb__ld_rlx(&first->store->first) || !any))
        rc = evb__heads_save(first->store, base);
    for (uint32_t i = first->first; i < first->count && rc == EVB_OK && any; i++) {
        if (!first->findings[i].damaged) continue;
        rc = replace_segment(dir, first->findings[i].base, is_rewritten(rescue, i));
    }
    if (rc == EVB_OK && first->meta_damaged) {
        unsigned char meta[EVB__META_BYTES];

        evb__meta_encode(meta, &first->store->format);
        rc = evb__file_replace(dir, "META", meta, sizeof meta, 0);
    }
    return rc;
}

/* The second survey sees the same files under the lock of the first. */
static int32_t survey_again(struct evb__survey *second, struct evb__survey *first, struct rescue *rescue)
{
    int32_t rc;

    memset(second, 0, sizeof *second);
    second->r.fd = -1;
    evb__scan_init(&second->r.scan, EVB__SCAN_WINDOW);
    rc = evb__store_make(first->store->dir, &second->store);
    if (rc != EVB_OK) return rc;
    second->store->read_only = true;
    second->r.store = second->store;
    second->names = &first->store->streams;
    second->keep = keep_frame;
    second->arg = rescue;
    return evb__survey_run(second);
}

int32_t evb_store_salvage(const char *dir, evb_verify_report *ret_report)
{
    struct evb__survey first, second = {0};
    struct rescue rescue = {.first = &first, .fd = -1, .index = UINT32_MAX};
    int32_t rc;

    if (ret_report != NULL && ret_report->struct_size != 0 && ret_report->struct_size < 2 * sizeof(uint32_t))
        return EVB_EINVAL;
    rc = evb__survey_begin(&first, dir);
    if (rc == EVB_OK) rc = evb__survey_run(&first);
    if (rc == EVB_OK && first.report.damaged != 0) {
        rc = survey_again(&second, &first, &rescue);
        if (rc == EVB_OK) rc = end_file(&rescue);
        if (rc == EVB_OK) rc = write_empty(&second, &rescue);
        if (rc == EVB_OK) rc = repair(&first, &second, &rescue);
        if (rescue.fd >= 0) (void)evb__files()->close(rescue.fd, evb__files()->arg);
        first.report.records = second.report.records;
        first.report.lost_positions = second.report.lost_positions;
        evb__survey_end(&second);
    }
    if (rc == EVB_OK) evb__report_copy(ret_report, &first.report);
    evb__survey_end(&first);
    return rc;
}
