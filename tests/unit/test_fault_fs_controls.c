/* SPDX-License-Identifier: MIT */
/* Is the harness blind? A small log that does everything right passes every crash point and every failing
 * call; the same log with one duty left out is found out. Each control is an error that shipped in somebody's
 * store. */
#include "evb_test.h"

#include <string.h>
#include "base/platform.h"
#include "fault_fs.h"

/* ---- the log: a header of one sector, then frames of 256 bytes; rotating starts it anew ---- */

enum {                    /* duties left out */
       NO_SYNC = 1,       /* acknowledges without datasync */
       NO_DIR_SYNC = 2,   /* makes files without datasync of the directory */
       IGNORES_ERROR = 4, /* of datasync */
       EARLY_RENAME = 8,  /* before the datasync of what is renamed */
       KEEPS_TAIL = 16,   /* appends before stale frames without cutting them off */
       NO_SALT = 32,      /* every generation of the file sums up alike */
       TRUSTS_CACHE = 64, /* believes at open that what it reads is on the medium */
       EARLY_ACK = 128,   /* acknowledges when the frame is written, and then syncs */
       LEAVES_OPEN = 256  /* a descriptor */
};

/* A tenth of the images: what sanitizers find is in each of them. */
#define SLOW   (EVB__TSAN || EVB_TEST_ASAN)
#define FRAMES 64
#define START  512

struct header {
    uint64_t magic, salt, base, sum;
};

struct frame {
    uint64_t sum, value;
    uint8_t bytes[240];
};

struct log {
    uint32_t without;
    int32_t dir, fd;
    struct header header;
    uint64_t values[FRAMES];
    uint32_t count;
};

static uint64_t salts; /* no two alike in the life of the test */

/* Of whole words: most of the time of this program is spent here. */
static uint64_t sum_of(const void *bytes, size_t size, uint64_t salt)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325) ^ salt, words[sizeof(struct frame) / 8];

    memcpy(words, bytes, size);
    for (size_t i = 0; i < size / 8; i++) {
        sum = (sum ^ words[i]) * UINT64_C(0x100000001b3); /* FNV-1a, as far as it goes */
        sum ^= sum >> 32;
    }
    return sum;
}

static struct frame frame_of(const struct log *log, uint64_t value)
{
    struct frame frame = {.value = value};

    memset(frame.bytes, (int)(value * 7 % 256), sizeof frame.bytes);
    frame.sum = sum_of(&frame.value, sizeof frame - sizeof frame.sum, log->header.salt);
    return frame;
}

static int32_t sync_fd(const struct log *log, int32_t fd)
{
    int32_t rc = evb__files()->datasync(fd, evb__files()->arg);

    return (log->without & IGNORES_ERROR) != 0 ? EVB_OK : rc;
}

static void close_fd(int32_t *fd)
{
    if (*fd > 0) (void)evb__files()->close(*fd, evb__files()->arg);
    *fd = 0;
}

/* A new, empty file in the place of the old one, if any. */
static int32_t log_start(struct log *log, uint64_t base)
{
    const struct evb__files *files = evb__files();
    struct header header = {.magic = 1234567, .base = base};
    int32_t rc, fd = files->open("/d/tmp", EVB__FILE_READ | EVB__FILE_WRITE | EVB__FILE_CREATE, files->arg);

    if (fd < 0) return fd;
    header.salt = (log->without & NO_SALT) != 0 ? 1 : ++salts;
    header.sum = sum_of(&header, offsetof(struct header, sum), 0);
    rc = files->truncate(fd, 0, files->arg);
    if (rc == EVB_OK) rc = evb__pwrite_full(fd, &header, sizeof header, 0);
    if (rc == EVB_OK) rc = files->truncate(fd, START, files->arg);
    if (rc == EVB_OK && (log->without & EARLY_RENAME) == 0) rc = sync_fd(log, fd);
    if (rc == EVB_OK) rc = files->rename("/d/tmp", "/d/log", files->arg);
    if (rc == EVB_OK && (log->without & NO_DIR_SYNC) == 0) rc = sync_fd(log, log->dir);
    if (rc != EVB_OK) {
        close_fd(&fd);
        return rc;
    }
    if ((log->without & LEAVES_OPEN) == 0) close_fd(&log->fd);
    log->fd = fd;
    log->header = header;
    log->count = 0;
    return EVB_OK;
}

/* What stands in the file up to the first bad frame; the rest is cut off. */
static int32_t log_read(struct log *log)
{
    const struct evb__files *files = evb__files();
    struct frame frame;
    uint64_t end = START;
    int32_t rc = evb__pread_full(log->fd, &log->header, sizeof log->header, 0);

    if (rc == EVB_ETRUNCATED) return EVB_ECORRUPT;
    if (rc != EVB_OK) return rc;
    if (log->header.sum != sum_of(&log->header, offsetof(struct header, sum), 0)) return EVB_ECORRUPT;
    while ((rc = evb__pread_full(log->fd, &frame, sizeof frame, end)) == EVB_OK && log->count < FRAMES) {
        if (frame.sum != sum_of(&frame.value, sizeof frame - sizeof frame.sum, log->header.salt)) break;
        /* After a failed datasync the medium may know nothing of it: written again it is dirty again. */
        if ((log->without & TRUSTS_CACHE) == 0) rc = evb__pwrite_full(log->fd, &frame, sizeof frame, end);
        if (rc != EVB_OK) return rc;
        log->values[log->count++] = frame.value;
        end += sizeof frame;
    }
    if (rc != EVB_OK && rc != EVB_ETRUNCATED) return rc;
    rc = EVB_OK;
    if ((log->without & KEEPS_TAIL) == 0) rc = files->truncate(log->fd, end, files->arg);
    return rc == EVB_OK ? sync_fd(log, log->fd) : rc;
}

static void log_close(struct log *log)
{
    close_fd(&log->fd);
    close_fd(&log->dir);
}

static int32_t log_open(struct log *log, uint32_t without)
{
    const struct evb__files *files = evb__files();
    int32_t rc, root;

    *log = (struct log){.without = without};
    rc = files->mkdir("/d", files->arg);
    if (rc != EVB_OK && rc != EVB_EEXIST) return rc;
    root = files->open("/", EVB__FILE_DIR, files->arg);
    if (root < 0) return root;
    rc = (without & NO_DIR_SYNC) == 0 ? sync_fd(log, root) : EVB_OK;
    close_fd(&root);
    if (rc != EVB_OK) return rc;
    log->dir = files->open("/d", EVB__FILE_DIR, files->arg);
    if (log->dir < 0) return log->dir;
    log->fd = files->open("/d/log", EVB__FILE_READ | EVB__FILE_WRITE, files->arg);
    if (log->fd == EVB_ENOTFOUND)
        rc = log_start(log, 0);
    else
        rc = log->fd < 0 ? log->fd : log_read(log);
    if (rc == EVB_OK && (without & NO_DIR_SYNC) == 0)
        rc = sync_fd(log, log->dir); /* a rename may be un-synced */
    if (rc != EVB_OK) log_close(log);
    return rc;
}

static uint64_t log_last(const struct log *log)
{
    return log->header.base + log->count;
}

static int32_t log_write(struct log *log, uint64_t value)
{
    struct frame frame = frame_of(log, value);
    int32_t rc = evb__pwrite_full(log->fd, &frame, sizeof frame, START + log->count * sizeof frame);

    if (rc == EVB_OK) log->values[log->count++] = value;
    return rc;
}

static int32_t log_sync(struct log *log)
{
    return (log->without & NO_SYNC) != 0 ? EVB_OK : sync_fd(log, log->fd);
}

/* ---- the script and the oracle ---- */

enum { BEGUN, ACKED };

/* Values 1, 2, 3, ... in groups that share a datasync. */
static int32_t group(struct fault_fs *fs, struct log *log, uint32_t n)
{
    int32_t rc = EVB_OK;

    fault_fs_note(fs, BEGUN, log_last(log) + n);
    for (uint32_t i = 0; i < n && rc == EVB_OK; i++)
        rc = log_write(log, log_last(log) + 1);
    if (rc == EVB_OK && (log->without & EARLY_ACK) != 0) fault_fs_note(fs, ACKED, log_last(log));
    if (rc == EVB_OK) rc = log_sync(log);
    if (rc == EVB_OK) fault_fs_note(fs, ACKED, log_last(log));
    return rc;
}

/* Whatever fails, the log is closed and that was it: an error is final until it is opened again. */
static void script(struct fault_fs *fs, void *arg)
{
    uint32_t without = *(const uint32_t *)arg;
    struct log log;

    for (uint32_t opened = 0; opened < 3; opened++) {
        int32_t rc = log_open(&log, without);

        if (rc != EVB_OK) continue; /* the next one may do better */
        for (uint32_t i = 0; i < 7 && rc == EVB_OK; i++)
            rc = group(fs, &log, 1 + i % 3);
        if (rc == EVB_OK && opened > 0) rc = log_start(&log, log_last(&log)); /* a rotation */
        for (uint32_t i = 0; i < 5 && rc == EVB_OK; i++)
            rc = group(fs, &log, 1 + i % 4);
        log_close(&log);
    }
}

static void recover(struct fault_fs *image, void *arg)
{
    struct log log;

    if (log_open(&log, *(const uint32_t *)arg) != EVB_OK) return;
    fault_fs_note(image, ACKED, log_last(&log)); /* what an opened log shows it keeps */
    log_close(&log);
}

/* Opens the log and compares it with values up to `least` .. `most`. */
static const char *open_and_compare(struct log *log, uint32_t without, uint64_t least, uint64_t most)
{
    int32_t rc = log_open(log, without);
    const char *wrong = NULL;

    if (rc != EVB_OK) return fault_fs_wrong("open: %s", evb_err_name(rc));
    for (uint32_t i = 0; i < log->count && wrong == NULL; i++) {
        if (log->values[i] == log->header.base + i + 1) continue;
        wrong = fault_fs_wrong("%d stands where %d should", (int)log->values[i],
                               (int)log->header.base + (int)i + 1);
    }
    if (wrong == NULL && log_last(log) < least)
        wrong = fault_fs_wrong("%d acknowledged, %d left", (int)least, (int)log_last(log));
    if (wrong == NULL && log_last(log) > most)
        wrong = fault_fs_wrong("%d appended, %d found", (int)most, (int)log_last(log));
    if (wrong != NULL) log_close(log);
    return wrong;
}

/* What was acknowledged is there, in order, and nothing else; it can be appended to; it is there again when
 * opened again, and after another power cut. */
static const char *check(struct fault_fs *image, const struct fault_fs_point *at, void *arg)
{
    uint32_t without = *(const uint32_t *)arg;
    struct fault_fs *again;
    struct log log;
    uint64_t last;
    int32_t rc;
    const char *wrong = open_and_compare(&log, without, fault_fs_noted(at, ACKED), fault_fs_noted(at, BEGUN));

    if (wrong != NULL) return wrong;
    last = log_last(&log) + 1;
    rc = log.count < FRAMES ? log_write(&log, last) : EVB_OK;
    if (rc == EVB_OK) rc = log_sync(&log);
    log_close(&log);
    if (rc != EVB_OK) return fault_fs_wrong("append: %s", evb_err_name(rc));
    wrong = open_and_compare(&log, without, last, last);
    if (wrong != NULL) return wrong;
    log_close(&log);
    again = fault_fs_crash(image, at->seed, FAULT_FS_NOTHING);
    fault_fs_use(again);
    wrong = open_and_compare(&log, without, last, last);
    if (wrong == NULL) log_close(&log);
    fault_fs_use(image);
    fault_fs_free(again);
    return wrong;
}

static struct fault_fs_drive drive_of(uint32_t *without)
{
    return (struct fault_fs_drive){.script = script,
                                   .check = check,
                                   .recover = recover,
                                   .arg = without,
                                   .seed = evb_test_seed(),
                                   .images = SLOW ? 12 : 40,
                                   .images2 = 3,
                                   .every2 = SLOW ? 100 : 30,
                                   .expect_violations = *without != 0};
}

/* ---- the log that forgets nothing ---- */

TEST(a_right_log_loses_nothing_at_any_crash_point)
{
    uint32_t without = 0;
    struct fault_fs_drive drive = drive_of(&without);
    struct fault_fs_verdict verdict = fault_fs_each_crash_point(&drive);

    EQ(verdict.violations, 0);
    CHECK(verdict.points > 100);
    CHECK(verdict.images > (SLOW ? 1000 : 4000));
    CHECK(verdict.images2 > (SLOW ? 500 : 6000));
}

TEST(a_right_log_with_salts_does_not_mind_recycled_sectors)
{
    uint32_t without = 0;
    struct fault_fs_drive drive = drive_of(&without);

    drive.modes = FAULT_FS_KIND(FAULT_FS_RECYCLED);
    drive.recover = NULL;
    EQ(fault_fs_each_crash_point(&drive).violations, 0);
}

TEST(a_right_log_loses_nothing_at_any_failing_call)
{
    static const int32_t statuses[] = {EVB_EIO, EVB_ENOSPC};
    uint32_t without = 0;
    struct fault_fs_drive drive = drive_of(&without);

    drive.images = 6;
    for (size_t i = 0; i < 2; i++) {
        struct fault_fs_verdict verdict = fault_fs_each_failure(&drive, FAULT_FS_ANY, statuses[i]);

        EQ(verdict.violations, 0);
        CHECK(verdict.faults > 200);
        CHECK(verdict.images > 1000);
    }
}

/* ---- negative controls ---- */

static struct fault_fs_verdict cut_off(uint32_t without, uint32_t modes)
{
    struct fault_fs_drive drive = drive_of(&without);

    drive.modes = modes;
    drive.images = 40; /* as many as it takes to find it, whatever the build and the seed */
    if (without == NO_SALT) drive.images = 160;
    return fault_fs_each_crash_point(&drive);
}

/* Found, and for this reason. */
static void found(struct fault_fs_verdict verdict, const char *why)
{
    CHECK(verdict.violations > 0);
    if (strstr(verdict.first, why) == NULL)
        evb_test_fail(__FILE__, __LINE__, "found for another reason than \"%s\": %s", why, verdict.first);
}

TEST(a_log_that_acknowledges_without_datasync_is_found)
{
    found(cut_off(NO_SYNC, 0), "acknowledged");
}

TEST(a_log_that_acknowledges_before_datasync_is_found)
{
    found(cut_off(EARLY_ACK, 0), "acknowledged");
}

TEST(a_log_that_does_not_sync_the_directory_is_found)
{
    found(cut_off(NO_DIR_SYNC, 0), "acknowledged");
}

TEST(a_log_that_renames_before_datasync_is_found)
{
    found(cut_off(EARLY_RENAME, 0), "open: EVB_ECORRUPT");
}

TEST(a_log_that_appends_before_a_stale_tail_is_found)
{
    found(cut_off(KEEPS_TAIL, 0), "appended");
}

TEST(a_log_without_salt_is_found_where_sectors_are_recycled)
{
    found(cut_off(NO_SALT, FAULT_FS_KIND(FAULT_FS_RECYCLED)), "stands where");
}

TEST(a_log_that_leaves_descriptors_open_is_found)
{
    found(cut_off(LEAVES_OPEN, 0), "left open");
}

static struct fault_fs_verdict failing_syncs(uint32_t without)
{
    struct fault_fs_drive drive = drive_of(&without);

    return fault_fs_each_failure(&drive, FAULT_FS_KIND(FAULT_FS_DATASYNC), EVB_EIO);
}

TEST(a_log_that_ignores_an_error_of_datasync_is_found)
{
    found(failing_syncs(IGNORES_ERROR), "acknowledged");
}

TEST(a_log_that_trusts_the_cache_after_a_failed_datasync_is_found)
{
    found(failing_syncs(TRUSTS_CACHE), "acknowledged");
}

int main(int argc, char **argv)
{
#define AFTER(test) cmocka_unit_test_teardown(test, fault_fs_after)
    static const struct CMUnitTest tests[] = {
        AFTER(a_right_log_loses_nothing_at_any_crash_point),
        AFTER(a_right_log_with_salts_does_not_mind_recycled_sectors),
        AFTER(a_right_log_loses_nothing_at_any_failing_call),
        AFTER(a_log_that_acknowledges_without_datasync_is_found),
        AFTER(a_log_that_acknowledges_before_datasync_is_found),
        AFTER(a_log_that_does_not_sync_the_directory_is_found),
        AFTER(a_log_that_renames_before_datasync_is_found),
        AFTER(a_log_that_appends_before_a_stale_tail_is_found),
        AFTER(a_log_without_salt_is_found_where_sectors_are_recycled),
        AFTER(a_log_that_leaves_descriptors_open_is_found),
        AFTER(a_log_that_ignores_an_error_of_datasync_is_found),
        AFTER(a_log_that_trusts_the_cache_after_a_failed_datasync_is_found),
    };
    return EVB_TEST_MAIN("fault_fs_controls", tests, argc, argv);
}
