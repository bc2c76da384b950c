/* SPDX-License-Identifier: MIT */
/* LevelDB as an event store, and with -DBENCH_ROCKSDB RocksDB, whose calls in C have the same names:
 * position, most significant byte first -> data, one write batch an append; sync on for what survives a
 * power cut. No stream, no version. Scans check checksums.
 *
 * No row for opening after kill -9: the open itself changes what the next one finds.
 */
#include "bench_store.h"

#ifdef BENCH_ROCKSDB
#include <rocksdb/c.h>
#define DB(name) rocksdb_##name
#define DB_NAME  "rocksdb"
#else
#include <leveldb/c.h>
#define DB(name) leveldb_##name
#define DB_NAME  "leveldb"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct level {
    DB(t) * db;
    DB(options_t) * options;
    DB(writeoptions_t) * write;
    DB(readoptions_t) * read;
    uint64_t next; /* atomic */
};

static void level_close(void *store)
{
    struct level *l = store;

    if (l->db != NULL) DB(close)(l->db);
    DB(readoptions_destroy)(l->read);
    DB(writeoptions_destroy)(l->write);
    DB(options_destroy)(l->options);
    free(l);
}

static void *level_open(const char *dir, uint32_t level, const char **ret_why)
{
    struct level *l = calloc(1, sizeof *l);
    char *error = NULL;

    bench_require(l != NULL, "no memory");
    l->options = DB(options_create)();
    l->write = DB(writeoptions_create)();
    l->read = DB(readoptions_create)();
    l->next = 1;
    DB(options_set_create_if_missing)(l->options, 1);
    DB(options_set_compression)(l->options, 0); /* the events are all alike: nobody's data is */
    DB(writeoptions_set_sync)(l->write, level == STORE_DURABLE);
    DB(readoptions_set_verify_checksums)(l->read, 1);
    l->db = DB(open)(l->options, dir, &error);
    if (l->db != NULL && error == NULL) return l;
    free(error);
    *ret_why = DB_NAME " refuses";
    level_close(l);
    return NULL;
}

static bool level_append(void *store, uint32_t which, const void *data, uint32_t size, uint32_t n)
{
    struct level *l = store;
    uint64_t position = __atomic_fetch_add(&l->next, n, __ATOMIC_RELAXED);
    DB(writebatch_t) *batch = DB(writebatch_create)();
    char *error = NULL;

    (void)which;
    for (uint32_t i = 0; i < n; i++, position++) {
        char key[8];

        for (uint32_t k = 0; k < 8; k++)
            key[k] = (char)(position >> (56 - 8 * k));
        DB(writebatch_put)(batch, key, sizeof key, data, size);
    }
    DB(write)(l->db, l->write, batch, &error);
    DB(writebatch_destroy)(batch);
    if (error == NULL) return true;
    free(error);
    return false;
}

static bool level_scan(void *store, struct store_scan *ret)
{
    struct level *l = store;
    DB(iterator_t) *it = DB(create_iterator)(l->db, l->read);
    char *error = NULL;

    for (DB(iter_seek_to_first)(it); DB(iter_valid)(it); DB(iter_next)(it)) {
        size_t size;
        const char *data = DB(iter_value)(it, &size);

        ret->events++;
        ret->bytes += size;
        ret->sum += (unsigned char)*data;
    }
    DB(iter_get_error)(it, &error);
    DB(iter_destroy)(it);
    if (error == NULL) return true;
    free(error);
    return false;
}

static bool level_sync(void *store)
{
    (void)store; /* a close makes it so, as far as a scan is concerned */
    return true;
}

static const struct store_system level = {.impl = DB_NAME,
                                          .open = level_open,
                                          .append = level_append,
                                          .scan = level_scan,
                                          .sync = level_sync,
                                          .close = level_close};

int main(int argc, char **argv)
{
    bench_info(DB_NAME, BENCH_DB_VERSION);
    store_add_appends(&level, STORE_DURABLE);
    store_add_appends(&level, STORE_KILL);
    store_add_scans(&level);
    return store_main(argc, argv);
}
