/* SPDX-License-Identifier: MIT */
/* The two sides of a power cut on a file system of its own (loop_image.sh).
 *
 *      power write DIR os|group       appends until it is stopped; each acknowledged one is a byte on stdout
 *      power verify DIR ACKNOWLEDGED  what is there: all that was acknowledged, in order, and whole
 */
#include <evbus/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS = 3, SEGMENT = 256 * 1024, PAYLOAD = 1500 };

/* Bytes of record i that follow from i alone; its size. */
static size_t fill(char *payload, uint64_t i)
{
    size_t size = 8 + (size_t)(i * 2654435761u % (PAYLOAD - 8));

    for (size_t k = 0; k < size; k++)
        payload[k] = (char)(i * 31 + k);
    memcpy(payload, &i, 8);
    return size;
}

static int say(const char *what, int32_t rc)
{
    fprintf(stderr, "power: %s: %s\n", what, evb_err_name(rc));
    return 1;
}

static int write_on(const char *dir, uint32_t level)
{
    static char payload[RECORDS][PAYLOAD];
    evb_record records[RECORDS];
    evb_store *store;
    /* A new segment is a sync: many of them where each has to hold, none where the loss is to be seen. */
    uint64_t segment = level == EVB_SYNC_OS ? 64 * SEGMENT : SEGMENT;
    int32_t rc = evb_store_open(dir, &(evb_store_opts){.sync = level, .segment_bytes = segment}, &store);

    if (rc != EVB_OK) return say("open", rc);
    for (uint64_t i = 0;; i += RECORDS) {
        for (uint32_t k = 0; k < RECORDS; k++)
            records[k] = (evb_record){.topic = "t", .data = payload[k], .size = fill(payload[k], i + k)};
        rc = evb_store_append(store, "s", (int64_t)i, records, RECORDS, NULL);
        if (rc == EVB_ENOSPC) break; /* the image is full */
        if (rc != EVB_OK) return say("append", rc);
        if (write(STDOUT_FILENO, "a", 1) != 1) return 1;
    }
    pause();
    return 0;
}

static int verify(const char *dir, uint64_t acknowledged)
{
    char expected[PAYLOAD];
    evb_verify_report report = {.struct_size = sizeof report};
    evb_reader *reader;
    evb_record record;
    evb_store *store;
    uint64_t count = 0;
    int32_t rc = evb_store_verify(dir, &report);

    if (rc != EVB_OK && (rc != EVB_ENOTFOUND || acknowledged != 0)) return say("verify", rc);
    rc = evb_store_open(dir, &(evb_store_opts){.segment_bytes = SEGMENT}, &store);
    if (rc != EVB_OK) return say("open", rc);
    rc = evb_store_read(store, NULL, &reader);
    if (rc != EVB_OK) return say("read", rc);
    while ((rc = evb_reader_next(reader, 0, &record)) == EVB_OK) {
        size_t size = fill(expected, count);

        count++;
        if (record.position != count || record.version != (int64_t)count || record.size != size ||
            memcmp(record.data, expected, size) != 0) {
            fprintf(stderr, "power: the record at position %llu is another one\n",
                    (unsigned long long)record.position);
            return 1;
        }
    }
    if (rc != EVB_EEMPTY) return say("next", rc);
    evb_reader_close(reader);
    rc = evb_store_close(store);
    if (rc != EVB_OK) return say("close", rc);
    printf("%llu records, %llu acknowledged\n", (unsigned long long)count,
           (unsigned long long)(acknowledged * RECORDS));
    if (count % RECORDS != 0) fprintf(stderr, "power: a part of an append\n");
    if (count < acknowledged * RECORDS) fprintf(stderr, "power: acknowledged records are missing\n");
    return count % RECORDS != 0 || count < acknowledged * RECORDS;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0)
        return write_on(argv[2], strcmp(argv[3], "os") == 0 ? EVB_SYNC_OS : EVB_SYNC_GROUP);
    if (argc == 4 && strcmp(argv[1], "verify") == 0) return verify(argv[2], strtoull(argv[3], NULL, 10));
    fprintf(stderr, "usage: power write DIR os|group | power verify DIR ACKNOWLEDGED\n");
    return 2;
}
