/* SPDX-License-Identifier: MIT */
/* evb_store as a system of bench_store.h, and the program that measures it beside bare system calls. */
#include "bench_store.h"

#include <evbus/base.h>
#include <evbus/store.h>

#include <stdio.h>

#include "bench_store_own.h"

/* ---- ours ---- */

static const char *stream_name(uint32_t which)
{
    static char names[STORE_STREAMS][16];

    if (names[which][0] == '\0') snprintf(names[which], sizeof names[which], "orders.%u", (unsigned)which);
    return names[which];
}

static void *own_open(const char *dir, uint32_t level, const char **ret_why)
{
    static const uint32_t sync[] = {
        [STORE_DURABLE] = EVB_SYNC_GROUP,     [STORE_KILL] = EVB_SYNC_OS,   [STORE_MEM] = EVB_SYNC_MEM,
        [STORE_INTERVAL] = EVB_SYNC_INTERVAL, [STORE_UNSAFE] = EVB_SYNC_OS,
    };
    evb_store_opts opts = {.struct_size = sizeof opts, .sync = sync[level]};
    evb_store *store = NULL;
    int32_t rc;

    for (uint32_t i = 0; i < STORE_STREAMS; i++)
        (void)stream_name(i); /* before there are threads */
    rc = evb_store_open(dir, &opts, &store);
    if (rc != EVB_OK) *ret_why = evb_strerror(rc);
    return store;
}

static bool own_append(void *store, uint32_t which, const void *data, uint32_t size, uint32_t n)
{
    evb_record records[STORE_MANY];

    for (uint32_t i = 0; i < n; i++) {
        records[i] = (evb_record){.topic = stream_name(which), .data = data, .size = size};
    }
    return evb_store_append(store, stream_name(which), EVB_ANY_VERSION, records, n, NULL) == EVB_OK;
}

bool own_scan_as(void *store, const evb_read_opts *opts, struct store_scan *ret)
{
    evb_reader *reader;
    evb_record record;
    int32_t rc = evb_store_read(store, opts, &reader);

    if (rc != EVB_OK) return false;
    while ((rc = evb_reader_next(reader, 0, &record)) == EVB_OK) {
        ret->events++;
        ret->bytes += record.size;
        ret->sum += *(const unsigned char *)record.data;
    }
    evb_reader_close(reader);
    return rc == EVB_EEMPTY;
}

static bool own_scan(void *store, struct store_scan *ret)
{
    return own_scan_as(store, NULL, ret);
}

static bool own_sync(void *store)
{
    return evb_store_sync(store) == EVB_OK;
}

static void own_close(void *store)
{
    (void)evb_store_close(store);
}

const struct store_system own_system = {.impl = "evbus",
                                        .open = own_open,
                                        .append = own_append,
                                        .scan = own_scan,
                                        .sync = own_sync,
                                        .close = own_close};

int main(int argc, char **argv)
{
    bench_info("evbus", evb_version_string());
    store_add_appends(&own_system, STORE_DURABLE);
    store_add_appends(&own_system, STORE_KILL);
    store_add_append(&own_system, "store/interval/1", STORE_INTERVAL);
    store_add_append(&own_system, "store/mem/1", STORE_MEM);
    store_add_scans(&own_system);
    store_add_open(&own_system);
    own_add();
    raw_add();
    return store_main(argc, argv);
}
