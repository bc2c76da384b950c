/* SPDX-License-Identifier: MIT */
/* SQLite as an event store: a table of (position, stream, version, data) and an index that keeps
 * versions of a stream apart, one transaction an append; WAL, synchronous FULL for what survives a
 * power cut, NORMAL for what survives kill -9. One connection under a mutex, which is its own advice for
 * writers. Opened after kill -9 it has a WAL as long as the log, because nobody checkpointed: with its
 * default it would have some megabytes of one, and have paid while appending.
 */
#include "bench_store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lite {
    sqlite3 *db;
    sqlite3_stmt *begin, *insert, *commit;
    pthread_mutex_t lock;
    int64_t version[STORE_STREAMS];
    bool unsafe;
};

static bool run(struct lite *lite, const char *sql)
{
    return sqlite3_exec(lite->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool prepare(struct lite *lite, const char *sql, sqlite3_stmt **ret)
{
    return sqlite3_prepare_v2(lite->db, sql, -1, ret, NULL) == SQLITE_OK;
}

static void lite_close(void *store)
{
    struct lite *lite = store;

    sqlite3_finalize(lite->begin);
    sqlite3_finalize(lite->insert);
    sqlite3_finalize(lite->commit);
    sqlite3_close(lite->db);
    pthread_mutex_destroy(&lite->lock);
    free(lite);
}

static void *lite_open(const char *dir, uint32_t level, const char **ret_why)
{
    struct lite *lite = calloc(1, sizeof *lite);
    char path[600];

    bench_require(lite != NULL, "no memory");
    pthread_mutex_init(&lite->lock, NULL);
    snprintf(path, sizeof path, "%s/db", dir);
    lite->unsafe = level == STORE_UNSAFE;
    if (sqlite3_open(path, &lite->db) == SQLITE_OK && run(lite, "PRAGMA journal_mode=WAL") &&
        run(lite, level == STORE_DURABLE ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL") &&
        (level != STORE_UNSAFE || run(lite, "PRAGMA wal_autocheckpoint=0")) &&
        run(lite, "CREATE TABLE IF NOT EXISTS e(pos INTEGER PRIMARY KEY, stream INTEGER, version INTEGER, "
                  "data BLOB)") &&
        run(lite, "CREATE UNIQUE INDEX IF NOT EXISTS v ON e(stream, version)") &&
        prepare(lite, "BEGIN IMMEDIATE", &lite->begin) &&
        prepare(lite, "INSERT INTO e(stream, version, data) VALUES(?,?,?)", &lite->insert) &&
        prepare(lite, "COMMIT", &lite->commit))
        return lite;
    *ret_why = "sqlite3 refuses";
    lite_close(lite);
    return NULL;
}

static bool step(sqlite3_stmt *statement)
{
    return sqlite3_step(statement) == SQLITE_DONE && sqlite3_reset(statement) == SQLITE_OK;
}

static bool lite_append(void *store, uint32_t which, const void *data, uint32_t size, uint32_t n)
{
    struct lite *lite = store;
    bool ok;

    pthread_mutex_lock(&lite->lock);
    ok = n == 1 || step(lite->begin);
    for (uint32_t i = 0; i < n && ok; i++) {
        sqlite3_bind_int64(lite->insert, 1, which);
        sqlite3_bind_int64(lite->insert, 2, ++lite->version[which]);
        sqlite3_bind_blob(lite->insert, 3, data, (int)size, SQLITE_STATIC);
        ok = step(lite->insert);
    }
    ok = ok && (n == 1 || step(lite->commit));
    pthread_mutex_unlock(&lite->lock);
    return ok;
}

static bool lite_scan(void *store, struct store_scan *ret)
{
    struct lite *lite = store;
    sqlite3_stmt *select;
    int rc;

    if (!prepare(lite, "SELECT pos, stream, version, data FROM e ORDER BY pos", &select)) return false;
    while ((rc = sqlite3_step(select)) == SQLITE_ROW) {
        ret->events++;
        ret->bytes += (uint64_t)sqlite3_column_bytes(select, 3);
        ret->sum += *(const unsigned char *)sqlite3_column_blob(select, 3);
    }
    sqlite3_finalize(select);
    return rc == SQLITE_DONE;
}

/* A log that is closed afterwards is in the database then; one that is not stays in the WAL. */
static bool lite_sync(void *store)
{
    return run(store, "PRAGMA synchronous=FULL");
}

/* An open reads nothing: the first question does. */
static void *lite_open_ask(const char *dir, uint32_t level, const char **ret_why)
{
    struct lite *lite = lite_open(dir, level, ret_why);

    if (lite != NULL && run(lite, "SELECT max(pos) FROM e")) return lite;
    return NULL;
}

static const struct store_system lite = {.impl = "sqlite",
                                         .open = lite_open_ask,
                                         .append = lite_append,
                                         .scan = lite_scan,
                                         .sync = lite_sync,
                                         .close = lite_close};

int main(int argc, char **argv)
{
    bench_info("sqlite", sqlite3_libversion());
    store_add_appends(&lite, STORE_DURABLE);
    store_add_appends(&lite, STORE_KILL);
    store_add_scans(&lite);
    store_add_open(&lite);
    return store_main(argc, argv);
}
