/* SPDX-License-Identifier: MIT */
/* LMDB as an event store: position -> data, appended, one transaction an append. No stream, no version,
 * no checksum. It syncs by itself for what survives a power cut; MDB_NOSYNC for what survives kill -9.
 */
#include "bench_store.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t next; /* position, under LMDB's own writer's lock */
};

static void memory_close(void *store)
{
    struct memory *m = store;

    mdb_env_close(m->env);
    free(m);
}

static bool prepare(struct memory *m)
{
    MDB_txn *txn;
    MDB_stat stat;

    if (mdb_txn_begin(m->env, NULL, 0, &txn) != 0) return false;
    if (mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &m->dbi) != 0 || mdb_stat(txn, m->dbi, &stat) != 0) {
        mdb_txn_abort(txn);
        return false;
    }
    m->next = stat.ms_entries + 1;
    return mdb_txn_commit(txn) == 0;
}

static void *memory_open(const char *dir, uint32_t level, const char **ret_why)
{
    struct memory *m = calloc(1, sizeof *m);

    bench_require(m != NULL && mdb_env_create(&m->env) == 0, "no memory");
    if (mdb_env_set_mapsize(m->env, (size_t)16 << 30) == 0 &&
        mdb_env_open(m->env, dir, level == STORE_DURABLE ? 0 : MDB_NOSYNC, 0666) == 0 && prepare(m))
        return m;
    *ret_why = "lmdb refuses";
    memory_close(m);
    return NULL;
}

static bool memory_append(void *store, uint32_t which, const void *data, uint32_t size, uint32_t n)
{
    struct memory *m = store;
    MDB_txn *txn;
    int rc = mdb_txn_begin(m->env, NULL, 0, &txn);

    (void)which;
    if (rc != 0) return false;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        uint64_t position = m->next++;
        MDB_val key = {sizeof position, &position}, value = {size, (void *)(uintptr_t)data};

        rc = mdb_put(txn, m->dbi, &key, &value, MDB_APPEND);
    }
    if (rc == 0) return mdb_txn_commit(txn) == 0;
    mdb_txn_abort(txn);
    return false;
}

static bool memory_scan(void *store, struct store_scan *ret)
{
    struct memory *m = store;
    MDB_cursor *cursor;
    MDB_txn *txn;
    MDB_val key, value;
    int rc;

    if (mdb_txn_begin(m->env, NULL, MDB_RDONLY, &txn) != 0) return false;
    rc = mdb_cursor_open(txn, m->dbi, &cursor);
    if (rc == 0) {
        while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
            ret->events++;
            ret->bytes += value.mv_size;
            ret->sum += *(const unsigned char *)value.mv_data;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND;
}

static bool memory_sync(void *store)
{
    return mdb_env_sync(((struct memory *)store)->env, 1) == 0;
}

static const struct store_system memory = {.impl = "lmdb",
                                           .open = memory_open,
                                           .append = memory_append,
                                           .scan = memory_scan,
                                           .sync = memory_sync,
                                           .close = memory_close};

int main(int argc, char **argv)
{
    bench_info("lmdb", mdb_version(NULL, NULL, NULL));
    store_add_appends(&memory, STORE_DURABLE);
    store_add_appends(&memory, STORE_KILL);
    store_add_scans(&memory);
    store_add_open(&memory);
    return store_main(argc, argv);
}
