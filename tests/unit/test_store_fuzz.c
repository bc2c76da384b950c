/* SPDX-License-Identifier: MIT */
/* The fuzz targets of tests/fuzz under any compiler: each over its corpus, over the files of a good store,
 * and over mutations of both. EVB_FUZZ_WRITE=DIR writes the seeds into DIR/TARGET, for another fuzzer.
 */
#include "evb_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../fuzz/fuzz.h"
#include "base/platform.h"
#include "fault_fs.h"

#define SEEDS_MOST 256u

struct target {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
    uint32_t rounds; /* mutations, in `make check` */
};

struct seed_input {
    unsigned char *bytes;
    size_t size;
};

static struct seed_input inputs[SEEDS_MOST];
static uint32_t input_count;

static void add_input(const unsigned char *bytes, size_t size)
{
    if (input_count == SEEDS_MOST) return;
    inputs[input_count].bytes = fuzz_copy(bytes, size);
    inputs[input_count++].size = size;
}

static void forget_inputs(void)
{
    while (input_count > 0)
        free(inputs[--input_count].bytes);
}

/* ---- where inputs come from ---- */

/* Those of the repository. */
static void add_corpus(const char *name)
{
    static unsigned char bytes[FUZZ_MOST];
    char folder[80], path[400];
    const struct dirent *entry;
    DIR *dir;

    (void)snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
    dir = opendir(folder);
    if (dir == NULL) evb_test_fail(__FILE__, __LINE__, "no %s (tests run in the source tree)", folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        FILE *file;

        if (entry->d_name[0] == '.') continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        file = fopen(path, "rb");
        if (file == NULL) continue;
        add_input(bytes, fread(bytes, 1, sizeof bytes, file));
        (void)fclose(file);
    }
    if (dir != NULL) (void)closedir(dir);
}

/* Files of the sample, with the byte in front that has checksums put right, and without. */
static void add_files(uint32_t kind)
{
    static unsigned char bytes[FUZZ_MOST];
    const unsigned char *file;
    size_t size;

    for (uint32_t which = 0; (file = fuzz_sample(kind, which, &size)) != NULL && size < FUZZ_MOST; which++) {
        memcpy(bytes + 1, file, size);
        for (unsigned char first = 0; first < 2; first++) {
            bytes[0] = first;
            add_input(bytes, size + 1);
        }
    }
}

static void add_store(void)
{
    static unsigned char bytes[FUZZ_MOST];
    const unsigned char *file;
    size_t size, at = 1;

    bytes[0] = 1;
    for (uint32_t kind = 0; kind < FUZZ_KINDS; kind++)
        for (uint32_t which = 0; (file = fuzz_sample(kind, which, &size)) != NULL; which++) {
            bytes[at] = (unsigned char)kind;
            bytes[at + 1] = (unsigned char)size;
            bytes[at + 2] = (unsigned char)(size >> 8);
            memcpy(bytes + at + 3, file, size);
            at += 3 + size;
        }
    add_input(bytes, at);
}

static void add_samples(const char *name)
{
    const unsigned char *segment;
    size_t size;

    if (strcmp(name, "store") == 0) add_store();
    if (strcmp(name, "heads") == 0) add_files(FUZZ_HEADS);
    if (strcmp(name, "idx") == 0) add_files(FUZZ_INDEX);
    if (strcmp(name, "snapshot") == 0) add_files(FUZZ_SNAPSHOT);
    if (strcmp(name, "meta") == 0) add_input(fuzz_sample(FUZZ_META, 0, &size), 128);
    segment = fuzz_sample(FUZZ_SEGMENT, 0, &size);
    if (strcmp(name, "segment") == 0) {
        unsigned char header[257] = {1};

        memcpy(header + 1, segment, 128);
        memcpy(header + 129, segment, 128);
        add_input(header, sizeof header);
    }
    if (strcmp(name, "frame") == 0) add_input(segment + 4096, size - 4096);
    if (strcmp(name, "decl") == 0) add_input(segment + 4096, 56);
    if (strcmp(name, "event") == 0) add_input(segment + 4096 + 56 + 48, size - 4096 - 56 - 48);
}

/* ---- mutations ---- */

static uint32_t below(size_t n)
{
    return (uint32_t)evb__rng_below(evb_test_rng(), n);
}

static void mutate(unsigned char *bytes, size_t *size)
{
    static const unsigned char telling[] = {0, 1, 7, 8, 0x7f, 0x80, 0xfe, 0xff};
    size_t at = *size != 0 ? below(*size) : 0, n = 1 + below(16);

    if (*size == 0) return;
    if (n > *size - at) n = *size - at;
    switch (below(7)) {
    case 0:
        bytes[at] ^= (unsigned char)(1u << below(8));
        break;
    case 1:
        bytes[at] = telling[below(sizeof telling)];
        break;
    case 2:
        memset(bytes + at, telling[below(sizeof telling)], n);
        break;
    case 3: /* from elsewhere in it */
        memmove(bytes + at, bytes + below(*size - n + 1), n);
        break;
    case 4: /* from another one */
    {
        const struct seed_input *other = &inputs[below(input_count)];

        if (other->size >= n) memcpy(bytes + at, other->bytes + below(other->size - n + 1), n);
        break;
    }
    case 5:
        if (below(4) == 0) *size = at;
        break;
    default: /* a number, plus or minus a little */
        bytes[at] = (unsigned char)(bytes[at] + 15 - below(31));
        break;
    }
}

static void write_seeds(const char *name)
{
    const char *dir = getenv("EVB_FUZZ_WRITE");

    for (uint32_t i = 0; dir != NULL && i < input_count; i++) {
        char path[400];
        FILE *file;

        (void)snprintf(path, sizeof path, "%s/%s/seed-%u", dir, name, (unsigned)i);
        file = fopen(path, "wb");
        if (file == NULL) continue;
        (void)fwrite(inputs[i].bytes, 1, inputs[i].size, file);
        (void)fclose(file);
    }
}

static void fuzz(const struct target *target)
{
    static unsigned char bytes[FUZZ_MOST];
    uint32_t rounds = target->rounds;

    if (getenv("EVB_TEST_LONG") != NULL) rounds *= 50;
    if (EVB__TSAN) rounds /= 10;
    add_samples(target->name);
    add_corpus(target->name);
    CHECK(input_count > 1);
    write_seeds(target->name);
    for (uint32_t i = 0; i < input_count; i++)
        (void)target->run(inputs[i].bytes, inputs[i].size);
    for (uint32_t round = 0; round < rounds; round++) {
        const struct seed_input *from = &inputs[below(input_count)];
        size_t size = from->size;

        memcpy(bytes, from->bytes, size);
        for (uint32_t n = 1 + below(4); n > 0; n--)
            mutate(bytes, &size);
        (void)target->run(bytes, size);
    }
    forget_inputs();
}

/* ---- the tests ---- */

#define TARGET_TEST(what, name_, rounds_)                                                                    \
    TEST(what)                                                                                               \
    {                                                                                                        \
        fuzz(&(struct target){.name = #name_, .run = fuzz_##name_, .rounds = (rounds_)});                    \
    }

TARGET_TEST(meta_of_any_bytes_is_decoded_or_refused, meta, 20000)
TARGET_TEST(a_segment_header_of_any_bytes_is_decoded_or_refused, segment, 10000)
TARGET_TEST(frames_of_any_bytes_are_decoded_or_refused, frame, 20000)
TARGET_TEST(an_event_of_any_bytes_is_decoded_or_refused, event, 20000)
TARGET_TEST(a_declaration_of_any_bytes_is_decoded_or_refused, decl, 20000)
TARGET_TEST(a_store_with_heads_of_any_bytes_is_opened_or_refused, heads, 300)
TARGET_TEST(a_store_with_an_index_of_any_bytes_is_opened_or_refused, idx, 400)
TARGET_TEST(a_store_with_a_snapshot_of_any_bytes_is_opened_or_refused, snapshot, 200)
TARGET_TEST(a_store_of_any_bytes_is_opened_or_refused, store, 600)

#define EACH(test) cmocka_unit_test_teardown(test, fault_fs_after)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(meta_of_any_bytes_is_decoded_or_refused),
        EACH(a_segment_header_of_any_bytes_is_decoded_or_refused),
        EACH(frames_of_any_bytes_are_decoded_or_refused),
        EACH(an_event_of_any_bytes_is_decoded_or_refused),
        EACH(a_declaration_of_any_bytes_is_decoded_or_refused),
        EACH(a_store_with_heads_of_any_bytes_is_opened_or_refused),
        EACH(a_store_with_an_index_of_any_bytes_is_opened_or_refused),
        EACH(a_store_with_a_snapshot_of_any_bytes_is_opened_or_refused),
        EACH(a_store_of_any_bytes_is_opened_or_refused),
    };

    return EVB_TEST_MAIN("store_fuzz", tests, argc, argv);
}
