/* SPDX-License-Identifier: MIT */
/* The buses of the shapes have no store: what the bus wants of one, for the linker. */
#include <stdlib.h>

#include "store/store.h"

int32_t evb__store_enter(const evb_store *store)
{
    (void)store;
    return EVB_EINVAL;
}

void evb__store_hold(evb_store *store)
{
    (void)store;
    abort();
}

void evb__store_release(evb_store *store)
{
    (void)store;
    abort();
}

void evb__store_tell(evb_store *store)
{
    (void)store;
    abort();
}

int32_t evb__store_append_all(evb_store *store, struct evb__append *appends, uint32_t count, bool sync,
                              struct evb__turns *turns, uint64_t *ret_turn)
{
    (void)store;
    (void)appends;
    (void)count;
    (void)sync;
    (void)turns;
    (void)ret_turn;
    abort();
}

int32_t evb_store_read(evb_store *store, const evb_read_opts *opts, evb_reader **ret_reader)
{
    (void)store;
    (void)opts;
    (void)ret_reader;
    abort();
}

int32_t evb_reader_next(evb_reader *reader, int64_t timeout_ns, evb_record *ret_record)
{
    (void)reader;
    (void)timeout_ns;
    (void)ret_record;
    abort();
}

void evb_reader_close(evb_reader *reader)
{
    (void)reader;
    abort();
}

uint64_t evb_store_last_position(evb_store *store)
{
    (void)store;
    abort();
}
