/* SPDX-License-Identifier: MIT */
/* What stands on the disk, byte by byte: META, segment headers, frames, events.
 *
 * All numbers are little-endian and of fixed width, whatever the host; reserved bytes are written as
 * zero and ignored when read. Decoders look at nothing beyond the bytes they are given, trust no
 * length, and say EVB_ECORRUPT (it cannot be what it should be) or EVB_ENOTSUP (a later format).
 * Threads: any, no state.
 *
 *      META, 128 bytes                          segment header, 4096 bytes: 128, at 0 and at 2048
 *
 *       0  magic "EVBSTORE"                      0  magic "EVBSEGMT"
 *       8  major u16, minor u16                  8  major u16, minor u16
 *      12  incompat, ro_compat, compat u32      12  incompat, ro_compat, compat u32
 *      24  uuid 16                              24  uuid 16, of the store
 *      40  created i64                          40  base position u64: of its first event
 *                                               48  end u64, 56 last crc u32: of the one before
 *                                               60  salt u32: seed of the frames' checksums
 *                                               64  created i64
 *                                               72  flags u32, 76 number u32: rising
 *     124  crc32c of [0,124)                   124  crc32c of [0,124)
 *
 * Feature bits as in ext4: unknown incompat: refuse; unknown ro_compat: read only; unknown compat:
 * never mind.
 *
 *      frame: one append, all or nothing, a multiple of 8
 *       0  len u32, the whole frame              24  time i64: of its first event
 *       4  crc32c of [0,4) and [8,len), from     32  version i64: of its first event in its stream
 *          the salt of its segment               40  stream u32: named by a DECL in this segment
 *       8  position u64: of its first event      44  events u16
 *      16  durable u64: all events before this   46  kind u8
 *          position were safe on the disk        47  flags u8
 *          when this frame was written           48  events, or what the kind brings
 *
 *      event                                    DECL: version: what the stream has so far
 *       0  data_len u32                         48  name_len u16, name
 *       4  meta_len u16, flags u16
 *       8  by flags: id 16 | time i64 | schema type u32, version u32 | topic_len u8, topic, NUL |
 *          key_len u8, key | header count u16, { name_len u16, value_len u16, name, NUL, value } ...
 *          zeros up to a multiple of 8
 *          data, zeros up to a multiple of 8
 *
 * An event without a topic of its own has the name of its stream. A control frame has no events; its
 * position is that of the next event.
 */
#ifndef EVB__STORE_FORMAT_H
#define EVB__STORE_FORMAT_H

#include <evbus/store.h>
#include <stdbool.h>
#include "base/hash.h"
#include "base/platform.h"

#define EVB__STORE_MAJOR     1u
#define EVB__STORE_MINOR     0u
#define EVB__META_BYTES      128u
#define EVB__SEGMENT_HEADER  4096u
#define EVB__FRAME_HEADER    48u
#define EVB__EVENT_HEADER    8u
#define EVB__EVENT_ID        16u
#define EVB__STREAM_NAME_MAX 255u
#define EVB__RECORD_KEY_MAX  255u
#define EVB__RECORD_HEADERS  8192u  /* names and values of one record together, as of an event */
#define EVB__FRAME_EVENTS    65535u /* in one append */

enum { EVB__FRAME_DATA = 1, EVB__FRAME_DECL = 2, EVB__FRAME_MARK = 3, EVB__FRAME_SEAL = 4 };
#define EVB__FRAME_KIND_SKIP 0x80u /* of a kind with this bit a reader that does not know it may go past */

enum { EVB__SEGMENT_SALVAGED = 1 /* positions may be missing, here and up to the next segment */ };

/* META, and the part of it that segment headers repeat. */
struct evb__format {
    uint32_t incompat, ro_compat, compat;
    unsigned char uuid[16];
    int64_t created;
};

struct evb__segment_header {
    struct evb__format format;
    uint64_t base, prev_end;
    uint32_t prev_crc, salt, flags, number;
};

struct evb__frame {
    uint32_t len, crc;
    uint64_t position, durable;
    int64_t time, version;
    uint32_t stream;
    uint16_t count;
    uint8_t kind, flags;
};

/* An event inside a frame: views into it. */
struct evb__event_view {
    const unsigned char *data, *id, *key, *headers;
    const char *topic; /* NULL: the stream's name */
    uint32_t data_len, key_len, schema_type, schema_version;
    uint16_t header_count;
    bool has_time;
    int64_t time;
};

/* ---- numbers ---- */

void evb__put16(unsigned char *to, uint16_t v);
void evb__put32(unsigned char *to, uint32_t v);
void evb__put64(unsigned char *to, uint64_t v);

EVB__INLINE uint16_t evb__get16(const unsigned char *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

EVB__INLINE uint32_t evb__get32(const unsigned char *from)
{
    return (uint32_t)evb__read32(from);
}

EVB__INLINE uint64_t evb__get64(const unsigned char *from)
{
    return evb__read64(from);
}

EVB__INLINE size_t evb__round8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* ---- META and segment headers ---- */

void evb__meta_encode(unsigned char to[EVB__META_BYTES], const struct evb__format *meta);
int32_t evb__meta_decode(const void *from, size_t size, struct evb__format *ret);

void evb__segment_encode(unsigned char to[EVB__SEGMENT_HEADER], const struct evb__segment_header *header);
/* Either copy will do. */
int32_t evb__segment_decode(const void *from, size_t size, struct evb__segment_header *ret);

/* ---- frames ---- */

/* The header; crc and durable are filled in by evb__frame_seal, when the frame is about to be
 * written. */
void evb__frame_put(unsigned char *to, const struct evb__frame *frame);
void evb__frame_seal(unsigned char *frame, uint64_t durable, uint32_t salt);
/* The fields, of a header whose length is possible: EVB_ECORRUPT if not. Says nothing about the
 * checksum. */
int32_t evb__frame_take(const void *from, size_t size, struct evb__frame *ret);
/* frame->len bytes are there: are they those that were written? */
bool evb__frame_fits(const void *from, const struct evb__frame *frame, uint32_t salt);

size_t evb__decl_bytes(size_t name_size);
/* A whole DECL but for evb__frame_seal. */
void evb__decl_put(unsigned char *to, uint64_t position, int64_t time, int64_t version, uint32_t stream,
                   const char *name, size_t name_size);
/* The name in a DECL frame of len bytes; EVB_ECORRUPT. */
int32_t evb__decl_take(const void *frame, uint32_t len, const char **ret_name, size_t *ret_size);

/* ---- events ---- */

/* Checks a record to append and tells what it takes: EVB_EINVAL, EVB_ETOOBIG. */
int32_t evb__event_measure(const evb_record *record, const char *stream, size_t *ret_bytes);
/* Writes it, as measured, and answers the end. */
unsigned char *evb__event_put(unsigned char *to, const evb_record *record, const char *stream);
/* Bytes of the event that begins there, or EVB_ECORRUPT. */
int64_t evb__event_take(const unsigned char *from, size_t size, struct evb__event_view *ret);
/* Bytes of the event that begins there, if it has data and nothing else, or 0: then evb__event_take
 * says more. */
EVB__INLINE size_t evb__event_plain(const unsigned char *from, size_t size)
{
    size_t bytes;

    if (size < EVB__EVENT_HEADER || evb__get32(from + 4) != 0) return 0; /* meta_len and flags */
    bytes = EVB__EVENT_HEADER + evb__round8(evb__get32(from));
    return bytes <= size ? bytes : 0;
}
/* entry->header_count headers, as views. */
void evb__event_headers(const struct evb__event_view *entry, evb_header *ret_headers);

#endif
