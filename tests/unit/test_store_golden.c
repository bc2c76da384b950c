/* SPDX-License-Identifier: MIT */
/* Format version 1 stays what it is: the files of tests/golden/store-v1 are what this version writes with
 * clock and seeds pinned, byte for byte, and they read as store-v1.txt says. When the format changes on
 * purpose, store-v1 stays, is read for ever, and a store-v2 stands beside it.
 */
#include "evb_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault_fs.h"
#include "store/crc32c.h"
#include "store/format.h"
#include "store_golden.h"

#define GOLDEN "tests/golden/store-v1"
#define MOST   32768

static const char *const folders[] = {"", "/seg", "/snap"};

static size_t read_file(const char *path, unsigned char buf[MOST])
{
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL)
        evb_test_fail(__FILE__, __LINE__, "%s cannot be read (tests run in the source tree)", path);
    if (file == NULL) return 0;
    size = fread(buf, 1, MOST, file);
    CHECK(size < MOST);
    (void)fclose(file);
    return size;
}

/* fn for each file of the golden store; how many there are. */
static uint32_t each_file(void (*fn)(const char *path, const unsigned char *bytes, size_t size, void *arg),
                          void *arg)
{
    static unsigned char bytes[MOST];
    uint32_t n = 0;

    for (size_t i = 0; i < sizeof folders / sizeof(folders[0]); i++) {
        char folder[64];
        const struct dirent *entry;
        DIR *dir;

        (void)snprintf(folder, sizeof folder, GOLDEN "%s", folders[i]);
        dir = opendir(folder);
        CHECK(dir != NULL);
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            char path[400], name[400];

            (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            (void)snprintf(name, sizeof name, "/d%s/%s", folders[i], entry->d_name);
            if (entry->d_name[0] == '.' || (folders[i][0] == '\0' && strlen(entry->d_name) < 4)) continue;
            if (strcmp(entry->d_name, "snap") == 0) continue;
            fn(name, bytes, read_file(path, bytes), arg);
            n++;
        }
        if (dir != NULL) (void)closedir(dir);
    }
    return n;
}

static void put_file(const char *path, const unsigned char *bytes, size_t size, void *fs)
{
    fault_fs_put(fs, path, bytes, size);
}

static struct fault_fs *golden_disk(void)
{
    struct fault_fs *fs = fault_fs_new();

    CHECK(each_file(put_file, fs) >= 7);
    fault_fs_put(fs, "/d/LOCK", "", 0);
    fault_fs_use(fs);
    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    return fs;
}

/* ---- what is written ---- */

static void is_same(const char *path, const unsigned char *bytes, size_t size, void *fs)
{
    static unsigned char written[MOST];
    int64_t has = fault_fs_get(fs, path, written, sizeof written);

    if (has != (int64_t)size || memcmp(bytes, written, size) != 0)
        evb_test_fail(__FILE__, __LINE__, "%s has other bytes than before", path);
}

static int32_t count_name(const char *name, void *count)
{
    (void)name;
    ++*(uint32_t *)count;
    return 0;
}

TEST(with_clock_and_seeds_pinned_the_same_bytes_are_written_as_ever)
{
    struct fault_fs *fs = fault_fs_new();
    uint32_t files = 0;

    evb_set_log(NULL, NULL, EVB_LOG_NONE);
    fault_fs_use(fs);
    EQ_PTR(store_golden_write("/d"), NULL);
    for (size_t i = 0; i < sizeof folders / sizeof(folders[0]); i++) {
        char folder[16];

        (void)snprintf(folder, sizeof folder, "/d%s", folders[i]);
        OK(evb__files()->list(folder, count_name, &files, evb__files()->arg));
    }
    EQ(each_file(is_same, fs), files - 3); /* LOCK and two directories */
}

/* ---- what is read ---- */

static void reads_as_the_text_says(const char *how)
{
    static unsigned char want[MOST];
    size_t want_size = read_file(GOLDEN ".txt", want), size = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &size);

    CHECK(out != NULL);
    if (out == NULL) return;
    EQ_PTR(store_golden_print("/d", out), NULL);
    (void)fclose(out);
    if (size != want_size || memcmp(text, want, size) != 0)
        evb_test_fail(__FILE__, __LINE__, "%s: it reads as\n%s", how, text);
    free(text);
}

TEST(the_golden_store_reads_as_the_text_says_with_its_indexes_and_without)
{
    struct fault_fs *fs = golden_disk();
    evb_verify_report report = {.struct_size = sizeof report};

    reads_as_the_text_says("as it is");
    OK(evb_store_verify("/d", &report));
    EQ(report.segments, 2);
    EQ(report.torn_bytes, 0);
    fault_fs_delete(fs, "/d/seg/00000000000000000028.idx");
    fault_fs_delete(fs, "/d/seg/00000000000000000052.idx");
    reads_as_the_text_says("without indexes");
    OK(evb_store_verify("/d", &report));
}

TEST(the_golden_store_can_be_gone_on_with)
{
    struct fault_fs *fs = golden_disk();
    evb_store *store = NULL;
    uint64_t last;

    OK(evb_store_open("/d", &STORE_GOLDEN_OPTS, &store));
    last = evb_store_last_position(store);
    EQ(evb_store_version(store, "late"), 1);
    OK(evb_store_append(store, "late", 1, &(evb_record){.topic = "later"}, 1, NULL));
    OK(evb_store_close(store));
    OK(evb_store_open("/d", &STORE_GOLDEN_OPTS, &store));
    EQ(evb_store_last_position(store), last + 1);
    EQ(evb_store_version(store, "late"), 2);
    OK(evb_store_close(store));
    OK(evb_store_verify("/d", NULL));
    EQ(fault_fs_open_files(fs), 0);
}

/* ---- an index that cannot be ---- */

/* A checksum fits, as if the file had been made so: 32 bits at `at` are `value`. */
static void index_says(size_t at_or_place, uint32_t value, int32_t answer)
{
    static const char path[] = "/d/seg/00000000000000000052.idx";
    struct fault_fs *fs = golden_disk();
    unsigned char bytes[512];
    size_t size = (size_t)fault_fs_get(fs, path, bytes, sizeof bytes), at = at_or_place;
    evb_store *store;
    int32_t rc;

    CHECK(size <= sizeof bytes && evb__get32(bytes + 76) >= 1 && evb__get32(bytes + 84) >= 2);
    /* 0: the last place, before which all the others lie */
    if (at == 0) at = size - 8 - evb__round8(evb__get32(bytes + 84) * 4u) + (evb__get32(bytes + 84) - 1) * 4;
    evb__put32(bytes + at, value);
    evb__put32(bytes + size - 8, evb__crc32c(0, bytes, size - 8));
    fault_fs_put(fs, path, bytes, size);
    rc = evb_store_open("/d", &STORE_GOLDEN_OPTS, &store);
    EQ(rc, answer);
    if (rc == EVB_OK) OK(evb_store_close(store));
    fault_fs_use(NULL);
    fault_fs_free(fs);
}

TEST(an_index_that_points_where_no_frame_can_be_is_not_believed)
{
    index_says(96, 4096, EVB_OK);             /* the landmark's offset, as it is */
    index_says(96, 4097, EVB_ECORRUPT);       /* between the places of frames */
    index_says(96, 0x7ffffff8, EVB_ECORRUPT); /* behind the end */
    index_says(96, 8, EVB_ECORRUPT);          /* in the header */
    index_says(0, 0x0fffffff, EVB_ECORRUPT);  /* a frame's place, behind the end */
    index_says(48, 4097, EVB_ECORRUPT);       /* the end */
}

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(with_clock_and_seeds_pinned_the_same_bytes_are_written_as_ever),
        EACH(the_golden_store_reads_as_the_text_says_with_its_indexes_and_without),
        EACH(the_golden_store_can_be_gone_on_with),
        EACH(an_index_that_points_where_no_frame_can_be_is_not_believed),
    };

    return EVB_TEST_MAIN("store_golden", tests, argc, argv);
}
