/* SPDX-License-Identifier: MIT */
/* evbus/schema.h: typed payloads that evolve: schemas, encoding, compatibility, upcasters.
 *
 * A schema is one version of one payload type: named fields with ids, types and defaults. A writer encodes a
 * C struct with his schema; a reader decodes it into his own struct with his own schema, older or newer, and
 * the differences are resolved by rule: unknown fields are skipped, missing ones get their default. A
 * registry refuses a version that would make old data unreadable. No code generator: schemas are static
 * tables in C (their macros come with this part) or text that is parsed at run time.
 *
 * THE SHORT NOTATION
 * evb_schema_parse reads it and evb_schema_print writes it:
 *
 *     Name{[id ]field[~alias]:type[=json default], ...}      a record; Name is the type that is registered
 *     boolean int long float double string bytes             types, Avro's names
 *     i32 u32 i64 u64 f32 f64                                types, ours
 *     [T]   <T>   A|B|C   null|T   (T)                       list, map of string to T, union, optional, one
 *     enum E{A,B}   enum E{A,B;default=A}   fixed F(16)      enumeration, bytes of fixed length
 *     Name{...} inside, or the name of a record around it    nested, recursive
 *
 * Without ids fields match by name, with ids by id. Nesting goes to depth 32; a record has up to 256 fields.
 *
 * Status of this part: declared, exported and not in 0.1.0. Every call answers EVB_ENOTSUP, NULL or nothing;
 * the text says what it will do.
 *
 * GUARANTEES
 * - Resolution follows Avro's specification of schema resolution, by id where there are ids; every difference
 *   is reported with its path.
 * - Decoding never allocates behind the caller's back and never reads past the end of what it is given:
 *   hostile bytes are an error.
 * - Every field that is not optional is written, defaults too: changing a default never rewrites history.
 *
 * WHAT IT DOES NOT DO
 * - It does not narrow (long to int), does not turn numbers into enumerations, does not rename by number.
 * - It does not validate values beyond their type.
 *
 * CAVEATS
 * - A default repairs a missing field, never a type that does not fit.
 * - fork, signals, threads, exit, dlclose: as in base.h; schemas are constant once made and may be shared by
 *   any threads.
 *
 * A PROGRAM
 *
 *     #include <evbus/schema.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         evb_schema *v1, *v2;
 *         char why[256];
 *
 *         if (evb_schema_parse("Order{id:u64}", &v1, why, sizeof why) < 0) return 1;
 *         if (evb_schema_parse("Order{id:u64, currency:string=\"EUR\"}", &v2, why, sizeof why) < 0) return 1;
 *         printf("v2 reads v1: %d\n", (int)evb_schema_check(v2, v1, why, sizeof why));
 *         evb_schema_free(v2);
 *         evb_schema_free(v1);
 *         return 0;
 *     }
 */
#ifndef EVBUS_SCHEMA_H
#define EVBUS_SCHEMA_H

#include <evbus/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What evb_schema_register demands of a new version; Confluent's words. TRANSITIVE: against all versions,
 * else the last */
enum {
    EVB_COMPAT_BACKWARD_TRANSITIVE = 0, /* the new one reads what all before wrote: stores keep it all */
    EVB_COMPAT_BACKWARD = 1,            /* the new one reads what the last wrote */
    EVB_COMPAT_FORWARD = 2,             /* the last one reads what the new one writes */
    EVB_COMPAT_FORWARD_TRANSITIVE = 3,  /* all before read what the new one writes */
    EVB_COMPAT_FULL = 4,                /* both, with the last */
    EVB_COMPAT_FULL_TRANSITIVE = 5,     /* both, with all */
    EVB_COMPAT_NONE = 6                 /* anything goes */
};

/* ---- Calls: the registry ------------------------------------------------------------------------------- */

/* Makes a registry, in memory or kept in a store.
 *
 * Parameters: store: NULL = in memory; else what it holds is read in. ret_schemas: not NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_schemas_destroy. The store is in use until then.
 * Threads: any thread.
 * Cost: may block (disk); allocates; may make system calls.
 * Errors: EVB_EINVAL: ret_schemas is NULL. EVB_ENOMEM: no memory. EVB_ECORRUPT, EVB_EIO: the store could not
 *   be read. EVB_EFORKED: opened before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_schemas_create(evb_store *store, evb_schemas **ret_schemas);

/* Ends a registry; while a bus uses it, when that bus is destroyed.
 *
 * Parameters: schemas: NULL is nothing.
 * Ownership: ends here for the caller.
 * Threads: owner (no other call on the registry may run or begin, but those of a bus that uses it).
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Status: not in 0.1.0: does nothing.
 * Since: 0.1.0
 */
EVB_API void evb_schemas_destroy(evb_schemas *schemas);

/* Registers a schema as the next version of its type, if it fits those before. The same schema again is the
 * same version.
 *
 * Parameters: schemas, schema: not NULL. mode: EVB_COMPAT_*. ret_text: on EVB_ESCHEMA where and why, cap
 *   bytes; may be NULL.
 * Returns: the version, from 1.
 * Ownership: the schema is copied.
 * Threads: any thread.
 * Cost: may block (disk); allocates; may make system calls.
 * Errors: EVB_ESCHEMA: not compatible: the registry is unchanged. EVB_EINVAL: a NULL argument, an unknown
 *   mode. EVB_ENOMEM: no memory. EVB_ENOSPC, EVB_EIO, EVB_EPOISONED: the store could not write. EVB_EFORKED:
 *   made before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_schema_register(evb_schemas *schemas, const evb_schema *schema, uint32_t mode,
                                    char *ret_text, size_t cap);

/* ---- Calls: one schema --------------------------------------------------------------------------------- */

/* Tells whether a reader's schema reads everything that a writer's schema can write.
 *
 * Parameters: reader, writer: not NULL. ret_text: when not, every difference with its path, cap bytes; may be
 *   NULL.
 * Returns: 1 = readable, 0 = not.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); may allocate; no system calls.
 * Errors: EVB_EINVAL: a NULL schema. EVB_ENOMEM: no memory.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_schema_check(const evb_schema *reader, const evb_schema *writer, char *ret_text,
                                 size_t cap);

/* Makes a schema from text in the short notation.
 *
 * Parameters: text: not NULL. ret_schema: not NULL. ret_text: on EVB_ESCHEMA what was expected at which
 *   column, cap bytes; may be NULL.
 * Returns: EVB_OK.
 * Ownership: the caller's, until evb_schema_free.
 * Threads: any thread.
 * Cost: does not block (takes no lock); allocates; no system calls.
 * Errors: EVB_ESCHEMA: not a schema. EVB_EINVAL: a NULL argument. EVB_ENOMEM: no memory.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_schema_parse(const char *text, evb_schema **ret_schema, char *ret_text, size_t cap);

/* Writes a schema in the short notation.
 *
 * Parameters: schema: not NULL. buf: cap bytes; NULL only when cap is 0.
 * Returns: bytes needed, without the NUL.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: EVB_EINVAL: a NULL argument.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_schema_print(const evb_schema *schema, char *buf, size_t cap);

/* Frees a schema made by evb_schema_parse. A static one is left alone.
 *
 * Parameters: schema: NULL is nothing.
 * Ownership: ends here.
 * Threads: owner (nobody else may use the schema any more).
 * Cost: does not block; does not allocate; no system calls.
 * Errors: none.
 * Status: not in 0.1.0: does nothing.
 * Since: 0.1.0
 */
EVB_API void evb_schema_free(evb_schema *schema);

/* ---- Calls: upcasters ---------------------------------------------------------------------------------- */

/* Turns a record of version n into one of version n + 1, by its fields. Pure: the same in, the same out.
 * Returns EVB_OK, 1 = drop this event, or an error ("upcast_failed"). */
typedef int32_t (*evb_upcast_fn)(evb_generic *record, void *user);

/* Registers the step from one version of a type to the next; steps run in turn before resolution. It makes
 * that step acceptable to evb_schema_register whatever the mode.
 *
 * Parameters: schemas, type, fn: not NULL. from_version: from 1. user: handed to fn.
 * Returns: EVB_OK.
 * Ownership: type is copied; user must outlive the registry.
 * Threads: any thread.
 * Cost: does not block; allocates; no system calls.
 * Errors: EVB_EEXIST: that step has one. EVB_ESCHEMA: a link of the chain would be missing. EVB_EINVAL: a
 *   NULL argument, version 0. EVB_ENOMEM: no memory. EVB_EFORKED: made before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_upcaster(evb_schemas *schemas, const char *type, uint32_t from_version, evb_upcast_fn fn,
                             void *user);

/* ---- Calls: encode and decode -------------------------------------------------------------------------- */

/* Encodes a struct.
 *
 * Parameters: schemas: where the schema is registered. schema: with the layout of the struct. object: the
 *   struct. buf: cap bytes; NULL only when cap is 0.
 * Returns: bytes needed; the encoding is in buf when that is at most cap.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: EVB_ESCHEMA: not registered, or a value that its type does not allow. EVB_ETOOBIG: above 2 GiB.
 *   EVB_EINVAL: a NULL argument. EVB_EFORKED: made before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_encode(evb_schemas *schemas, const evb_schema *schema, const void *object, void *buf,
                           size_t cap);

/* Decodes bytes of any registered version into the reader's struct: writer's schema, upcasters, resolution.
 *
 * Parameters: schemas: the registry. reader: with the layout of the struct. data: size bytes from evb_encode.
 *   ret_object: the struct, not NULL. arena: for strings, lists and maps, arena_cap bytes, 8-aligned; may be
 *   NULL when arena_cap is 0.
 * Returns: bytes of the arena used.
 * Ownership: the struct points into arena and data.
 * Threads: any thread.
 * Cost: does not block; does not allocate (but upcasters do); no system calls.
 * Errors: EVB_ESCHEMA: unknown type or version, or the schemas do not fit. EVB_ECORRUPT: not an encoding.
 *   EVB_ETOOBIG: the arena is too small. EVB_ENOTFOUND: an upcaster dropped it. EVB_ENOMEM: no memory for
 *   upcasters. EVB_EINVAL: a NULL argument. EVB_EFORKED: made before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_decode(evb_schemas *schemas, const evb_schema *reader, const void *data, size_t size,
                           void *ret_object, void *arena, size_t arena_cap);

/* ---- Calls: objects on the bus ------------------------------------------------------------------------- */

/* Encodes a struct and publishes it.
 *
 * Parameters: bus: not NULL, with a registry. topic, opts: as evb_publish. schema, object: as evb_encode.
 * Returns: as evb_publish.
 * Ownership: everything is copied.
 * Threads: any thread, not from a callback if it would wait.
 * Cost: may block; may allocate; may make system calls: as evb_publish.
 * Errors: EVB_ESCHEMA: as evb_encode. EVB_EINVAL: a NULL argument, a bus without a registry. All others as
 *   evb_publish.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_publish_object(evb_bus *bus, const char *topic, const evb_schema *schema,
                                   const void *object, const evb_publish_opts *opts);

/* Gives the decoded struct of an event, for handlers of a subscription with evb_sub_opts.schema.
 *
 * Parameters: ev: the event as the handler got it; NULL answers NULL.
 * Returns: the struct of that schema; NULL when the subscription has none, and for listeners.
 * Ownership: valid as long as the event.
 * Threads: any thread.
 * Cost: does not block (takes no lock); does not allocate; no system calls.
 * Errors: NULL: no struct.
 * Status: not in 0.1.0: answers NULL, nothing happens.
 * Since: 0.1.0
 */
EVB_API const void *evb_event_object(const evb_event *ev);

#ifdef __cplusplus
}
#endif

#endif
