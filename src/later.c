/* SPDX-License-Identifier: MIT */
/* What the headers declare and a later version brings: every such function exists and says so.
 *
 * Why it exists: programs and bindings written against the whole API link and load today, and the rule "every
 * exported symbol is declared, every declared one is exported" holds from the first version on. A call here
 * looks at nothing it is given, changes nothing and leaves its out-parameters alone:
 *
 *      result                answer         meaning for the caller
 *      int32_t, int64_t      EVB_ENOTSUP    not in this version: the manual text says "Status: not in 0.1.0"
 *      pointer               NULL           there is none
 *      uint32_t, uint64_t    0              none, nothing
 *      void                  -              nothing to give back, since nothing was ever handed out
 *
 * A part that arrives defines its functions in its own folder and deletes them here; the linker refuses both
 * at once. Threads: any.
 */
#include <evbus/bus.h>
#include <evbus/queue.h>
#include <evbus/store.h>
#include <evbus/schema.h>
#include <evbus/stats.h>

/* Parameters keep the names of the headers and none is used: saying so once is clearer than two hundred casts
 * to void. */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif

/* ---- Queued subscriptions and their dead letters (queue.h). */

int32_t evb_sub_forget(evb_bus *bus, const char *name, uint32_t force)
{
    return EVB_ENOTSUP;
}

int32_t evb_sub_seek(evb_sub *sub, uint64_t position)
{
    return EVB_ENOTSUP;
}

/* ---- Typed payloads (schema.h). */

int32_t evb_schemas_create(evb_store *store, evb_schemas **ret_schemas)
{
    return EVB_ENOTSUP;
}

void evb_schemas_destroy(evb_schemas *schemas)
{
}

int32_t evb_schema_register(evb_schemas *schemas, const evb_schema *schema, uint32_t mode, char *ret_text,
                            size_t cap)
{
    return EVB_ENOTSUP;
}

int32_t evb_schema_check(const evb_schema *reader, const evb_schema *writer, char *ret_text, size_t cap)
{
    return EVB_ENOTSUP;
}

int32_t evb_schema_parse(const char *text, evb_schema **ret_schema, char *ret_text, size_t cap)
{
    return EVB_ENOTSUP;
}

int32_t evb_schema_print(const evb_schema *schema, char *buf, size_t cap)
{
    return EVB_ENOTSUP;
}

void evb_schema_free(evb_schema *schema)
{
}

int32_t evb_upcaster(evb_schemas *schemas, const char *type, uint32_t from_version, evb_upcast_fn fn,
                     void *user)
{
    return EVB_ENOTSUP;
}

int32_t evb_encode(evb_schemas *schemas, const evb_schema *schema, const void *object, void *buf, size_t cap)
{
    return EVB_ENOTSUP;
}

int32_t evb_decode(evb_schemas *schemas, const evb_schema *reader, const void *data, size_t size,
                   void *ret_object, void *arena, size_t arena_cap)
{
    return EVB_ENOTSUP;
}

int32_t evb_publish_object(evb_bus *bus, const char *topic, const evb_schema *schema, const void *object,
                           const evb_publish_opts *opts)
{
    return EVB_ENOTSUP;
}

const void *evb_event_object(const evb_event *ev)
{
    return NULL;
}

/* ---- Counters and pictures (stats.h). */

int32_t evb_bus_stats(evb_bus *bus, evb_stats *ret_stats)
{
    return EVB_ENOTSUP;
}

int64_t evb_metrics_text(evb_bus *bus, char *buf, size_t cap)
{
    return EVB_ENOTSUP;
}

int64_t evb_bus_dot(evb_bus *bus, char *buf, size_t cap)
{
    return EVB_ENOTSUP;
}
