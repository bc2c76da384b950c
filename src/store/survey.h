/* SPDX-License-Identifier: MIT */
/* Looking through a closed store from end to end, past damage: what evb_store_verify reports and
 * evb_store_salvage keeps.
 *
 * Unlike recovery it stops at nothing: behind a bad place it looks for the next frame whose checksum
 * fits and whose position is later. What counts as damage and what as a torn tail is recovery's
 * rule. Invariant: nothing on the disk is changed. Threads: the caller's; the store is locked
 * against writers meanwhile.
 */
#ifndef EVB__STORE_SURVEY_H
#define EVB__STORE_SURVEY_H

#include "store/recover.h"

/* A segment, as found. */
struct evb__finding {
    uint64_t base;
    uint64_t end_position; /* behind its last good event */
    bool readable;         /* it has a header */
    bool kept;             /* a frame of it is good */
    bool damaged;          /* inside, or what follows it does not follow */
};

struct evb__survey {
    evb_store *store; /* never opened: a directory, a format, and the table of streams found so far */
    const struct evb__streams
        *names; /* of an earlier survey: streams whose names this one may miss; or NULL */
    struct evb__recovery r;
    evb_verify_report report;
    struct evb__finding *findings;
    uint32_t count, first; /* of r.bases; the first that is not trimmed */
    bool meta_damaged, heads_damaged;
    /* Is told each good frame. declared: the name of its stream stands in its segment. */
    int32_t (*keep)(struct evb__survey *survey, const struct evb__frame *frame, const unsigned char *bytes,
                    const struct evb__stream *stream, bool declared);
    void *arg;

    /* the segment that is being looked through */
    uint32_t index;
    struct evb__segment_header header;
    uint64_t expected; /* position of the next event */
    uint64_t durable;  /* the highest watermark */
    uint32_t last_crc;
    bool sealed;
};

/* The store is made, locked; EVB_ENOTFOUND, EVB_EBUSY, EVB_ENOTSUP .. */
int32_t evb__survey_begin(struct evb__survey *survey, const char *dir);
/* Everything. EVB_OK, whatever there is; EVB_EIO, EVB_ENOMEM. */
int32_t evb__survey_run(struct evb__survey *survey);
void evb__survey_end(struct evb__survey *survey);
/* As far as the caller's struct goes. */
void evb__report_copy(evb_verify_report *ret, const evb_verify_report *report);

#endif
