/* SPDX-License-Identifier: MIT */
/* The drivers: a script run once and cut off after each of its calls; a script run once for each of its calls
 * that can fail. */
#include "fault_fs_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_SHOWN 40u

struct run {
    const struct fault_fs_drive *drive;
    struct fault_fs_verdict verdict;
    const char *repeat; /* EVB_FAULT_FS: the one image that is wanted; NULL: all */
};

const char *fault_fs_wrong(const char *format, ...)
{
    static _Thread_local char text[200];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

/* ---- one image ---- */

/* What EVB_FAULT_FS has to be to come here again. */
static void address_of(const struct fault_fs_point *at, char *buf, size_t size)
{
    int n;

    if (at->fault != 0)
        n = snprintf(buf, size, "%s:%" PRIu64 ":%s:%s:%" PRIx64, evb_err_name(at->fault), at->nth,
                     at->sticky ? "on" : "once", fault_fs_mode_name(at->mode), at->seed);
    else
        n = snprintf(buf, size, "%" PRIu64 ":%s:%" PRIx64, at->call, fault_fs_mode_name(at->mode), at->seed);
    if (at->second && n > 0 && (size_t)n < size)
        (void)snprintf(buf + n, size - (size_t)n, ":%" PRIu64 ":%s:%" PRIx64, at->call2,
                       fault_fs_mode_name(at->mode2), at->seed2);
}

static void report(struct run *run, const struct fault_fs_point *at, struct fault_fs *image,
                   const char *wrong)
{
    struct fault_fs_verdict *verdict = &run->verdict;
    char address[120];

    if (verdict->violations++ > 0) return;
    address_of(at, address, sizeof address);
    (void)snprintf(verdict->first, sizeof verdict->first, "%s: %s", address, wrong);
    if (run->drive->expect_violations) return;
    (void)fprintf(stderr, "fault_fs: %s\nEVB_FAULT_FS=%s repeats it. The last calls before the fault:\n",
                  wrong, address);
    fault_fs_trace_range((struct fault_fs *)(uintptr_t)at->record, stderr,
                         at->call > TRACE_SHOWN ? at->call - TRACE_SHOWN : 0, at->call);
    if (at->second) {
        (void)fprintf(stderr, "and of recovery, before the second:\n");
        fault_fs_trace_range((struct fault_fs *)(uintptr_t)at->record2, stderr,
                             at->call2 > TRACE_SHOWN ? at->call2 - TRACE_SHOWN : 0, at->call2);
    }
    (void)fprintf(stderr, "and of the check:\n");
    fault_fs_trace(image, stderr, TRACE_SHOWN);
    fault_fs_print(image, stderr);
}

/* Is this the image that EVB_FAULT_FS names, or one that leads to it? */
static bool wanted(const struct run *run, const struct fault_fs_point *at, bool leads)
{
    char address[120];
    size_t length;

    if (run->repeat == NULL) return true;
    address_of(at, address, sizeof address);
    length = strlen(address);
    if (strncmp(run->repeat, address, length) != 0) return false;
    return run->repeat[length] == '\0' || (leads && run->repeat[length] == ':');
}

static const char *left_behind(struct fault_fs *fs)
{
    if (fault_fs_open_files(fs) > 0)
        return fault_fs_wrong("%u descriptors or maps left open", fault_fs_open_files(fs));
    if (fault_fs_misuses(fs) > 0)
        return fault_fs_wrong("%" PRIu64 " calls with a descriptor or map that is none",
                              fault_fs_misuses(fs));
    return NULL;
}

static void check_image(struct run *run, const struct fault_fs_point *at, struct fault_fs *image)
{
    const char *wrong;

    fault_fs_use(image);
    wrong = run->drive->check(image, at, run->drive->arg);
    fault_fs_use(NULL);
    if (wrong == NULL) wrong = left_behind(image);
    if (at->second)
        run->verdict.images2++;
    else
        run->verdict.images++;
    if (wrong != NULL) report(run, at, image, wrong);
}

static bool finished(const struct run *run)
{
    return run->drive->expect_violations && run->verdict.violations > 0;
}

/* The mode of the ith image of a crash point: nothing, everything, then as the dice fall. */
static uint32_t draw_mode(const struct fault_fs_drive *drive, uint32_t i, uint64_t seed)
{
    uint32_t modes = drive->modes, count = 0, pick;

    if (i < 2) return i == 0 ? FAULT_FS_NOTHING : FAULT_FS_ALL;
    if (modes == 0)
        modes =
            FAULT_FS_KIND(FAULT_FS_SECTORS) | FAULT_FS_KIND(FAULT_FS_TORN) | FAULT_FS_KIND(FAULT_FS_GARBLED);
    for (uint32_t mode = 0; mode < FAULT_FS_MODES; mode++)
        count += (modes & FAULT_FS_KIND(mode)) != 0;
    pick = (uint32_t)(fault_fs_mix(seed, 0x30DE) % count);
    for (uint32_t mode = 0;; mode++)
        if ((modes & FAULT_FS_KIND(mode)) != 0 && pick-- == 0) return mode;
}

/* ---- crash points of a record ---- */

/* Plays a record on a disk and calls fn after each call after which something is different: what is on the
 * disk, or what was promised. */
static void each_point(struct run *run, const struct fault_fs *record, struct fault_fs *disk,
                       void (*fn)(struct run *run, struct fault_fs *disk, uint64_t call, void *arg),
                       void *arg)
{
    uint32_t note = 0;

    for (uint32_t k = 0; k <= record->call_count && !finished(run); k++) {
        bool differs = k == 0;

        if (k > 0 && record->calls[k - 1].effect.kind != EFFECT_NONE) {
            fault_fs_enter();
            fault_fs_apply(disk, &record->calls[k - 1].effect);
            fault_fs_leave();
            differs = true;
        }
        for (; note < record->note_count && record->notes[note].call <= k; note++)
            differs = true;
        if (differs) fn(run, disk, k, arg);
    }
}

static void second_cut(struct run *run, struct fault_fs *disk, uint64_t call, void *arg)
{
    struct fault_fs_point at = *(const struct fault_fs_point *)arg;
    uint32_t images = fault_fs_settled(disk) ? 1 : run->drive->images2;

    at.second = true;
    at.call2 = call;
    for (uint32_t i = 0; i < images && !finished(run); i++) {
        struct fault_fs *image;

        at.seed2 = fault_fs_mix(at.seed, call << 16 | i);
        at.mode2 = draw_mode(run->drive, i, at.seed2);
        if (!wanted(run, &at, false)) continue;
        image = fault_fs_crash(disk, at.seed2, at.mode2);
        check_image(run, &at, image);
        fault_fs_free(image);
    }
}

/* Power goes again at each call of recovery from this image. */
static void during_recovery(struct run *run, struct fault_fs_point *at, struct fault_fs *image)
{
    struct fault_fs *record = fault_fs_clone(image);
    const char *wrong;

    fault_fs_record(record);
    fault_fs_use(record);
    run->drive->recover(record, run->drive->arg);
    fault_fs_use(NULL);
    at->record2 = record;
    wrong = left_behind(record);
    if (wrong != NULL) report(run, at, record, wrong);
    each_point(run, record, image, second_cut, at);
    at->record2 = NULL;
    fault_fs_free(record);
}

static void first_cut(struct run *run, struct fault_fs *disk, uint64_t call, void *arg)
{
    const struct fault_fs_drive *drive = run->drive;
    struct fault_fs_point at = {.call = call, .record = arg};
    uint32_t images = fault_fs_settled(disk) ? 1 : drive->images;

    run->verdict.points++;
    for (uint32_t i = 0; i < images && !finished(run); i++) {
        struct fault_fs *image;

        at.seed = fault_fs_mix(drive->seed, call << 16 | i);
        at.mode = draw_mode(drive, i, at.seed);
        if (!wanted(run, &at, true)) continue;
        image = fault_fs_crash(disk, at.seed, at.mode);
        if (wanted(run, &at, false)) check_image(run, &at, image);
        fault_fs_free(image);
        if (drive->recover == NULL || (run->verdict.images % (drive->every2 > 0 ? drive->every2 : 1)) != 0)
            continue;
        image = fault_fs_crash(disk, at.seed, at.mode);
        during_recovery(run, &at, image);
        fault_fs_free(image);
    }
}

struct fault_fs_verdict fault_fs_each_crash_point(const struct fault_fs_drive *drive)
{
    struct fault_fs_drive with = *drive;
    struct run run = {.drive = &with, .repeat = getenv("EVB_FAULT_FS")};
    struct fault_fs *record = fault_fs_new(), *disk = fault_fs_new();

    if (with.seed == 0) with.seed = 1;
    fault_fs_record(record);
    fault_fs_use(record);
    with.script(record, with.arg);
    fault_fs_use(NULL);
    run.verdict.calls = record->call_count;
    if (left_behind(record) != NULL)
        report(&run, &(struct fault_fs_point){.call = record->call_count, .record = record}, record,
               left_behind(record));
    each_point(&run, record, disk, first_cut, record);
    fault_fs_free(disk);
    fault_fs_free(record);
    return run.verdict;
}

/* ---- calls that fail ---- */

/* After one run with a fault: as the next process finds it, then after power cuts. */
static void after_failure(struct run *run, struct fault_fs_point *at, struct fault_fs *record)
{
    const struct fault_fs_drive *drive = run->drive;
    const char *wrong = left_behind(record);
    uint32_t images = fault_fs_settled(record) ? 1 : drive->images;

    if (wrong != NULL && run->repeat == NULL) report(run, at, record, wrong);
    for (uint32_t i = 0; i < images + 1 && !finished(run); i++) {
        struct fault_fs *image;

        at->seed = fault_fs_mix(drive->seed, at->nth << 16 | i);
        at->mode = i == 0 ? FAULT_FS_ALL : draw_mode(drive, i == 1 ? 0 : i, at->seed);
        if (!wanted(run, at, false)) continue;
        image = fault_fs_crash(record, at->seed, at->mode);
        check_image(run, at, image);
        fault_fs_free(image);
    }
}

struct fault_fs_verdict fault_fs_each_failure(const struct fault_fs_drive *drive, uint32_t kinds,
                                              int32_t status)
{
    struct fault_fs_drive with = *drive;
    struct run run = {.drive = &with, .repeat = getenv("EVB_FAULT_FS")};

    if (with.seed == 0) with.seed = 1;
    if (with.stride == 0) with.stride = 1;
    for (int sticky = 0; sticky < 2; sticky++) {
        bool met = true;

        for (uint64_t nth = 1; met && !finished(&run); nth += with.stride) {
            struct fault_fs_point at = {.fault = status, .nth = nth, .sticky = sticky != 0};
            struct fault_fs *record = fault_fs_new();

            fault_fs_record(record);
            fault_fs_plan(record, &(struct fault_fs_fault){.what = FAULT_FS_FAIL_LINUX,
                                                           .status = status,
                                                           .kinds = kinds,
                                                           .nth = nth,
                                                           .times = sticky != 0 ? 0 : 1});
            fault_fs_use(record);
            with.script(record, with.arg);
            fault_fs_use(NULL);
            fault_fs_plan_clear(record);
            met = fault_fs_hits(record) > 0;
            at.call = record->call_count;
            at.record = record;
            if (run.verdict.calls < at.call) run.verdict.calls = at.call;
            run.verdict.faults += met;
            run.verdict.points++;
            after_failure(&run, &at, record);
            fault_fs_free(record);
        }
    }
    return run.verdict;
}
