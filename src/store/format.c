/* SPDX-License-Identifier: MIT */
/* META, segment headers, frames and events as bytes. */
#include "store/format.h"

#include <evbus/bus.h>
#include <string.h>
#include "store/crc32c.h"
#include "topic/dialect.h"

#define CRC_AT      124u
#define SECOND_COPY 2048u

/* Event flags. */
enum {
    HAS_ID = 1,
    HAS_TIME = 2,
    HAS_SCHEMA = 4,
    HAS_TOPIC = 8,
    HAS_KEY = 16,
    HAS_HEADERS = 32,
    KNOWN = 63 /* all of them */
};

/* ---- numbers ---- */

void evb__put16(unsigned char *to, uint16_t v)
{
    to[0] = (unsigned char)v;
    to[1] = (unsigned char)(v >> 8);
}

void evb__put32(unsigned char *to, uint32_t v)
{
    evb__put16(to, (uint16_t)v);
    evb__put16(to + 2, (uint16_t)(v >> 16));
}

void evb__put64(unsigned char *to, uint64_t v)
{
    evb__put32(to, (uint32_t)v);
    evb__put32(to + 4, (uint32_t)(v >> 32));
}

/* ---- META and segment headers ---- */

static void format_put(unsigned char *to, const char *magic, const struct evb__format *f)
{
    memset(to, 0, EVB__META_BYTES);
    memcpy(to, magic, 8);
    evb__put16(to + 8, EVB__STORE_MAJOR);
    evb__put16(to + 10, EVB__STORE_MINOR);
    evb__put32(to + 12, f->incompat);
    evb__put32(to + 16, f->ro_compat);
    evb__put32(to + 20, f->compat);
    memcpy(to + 24, f->uuid, 16);
}

static void format_end(unsigned char *to)
{
    evb__put32(to + CRC_AT, evb__crc32c(0, to, CRC_AT));
}

/* Features that this version knows: none yet. */
static int32_t format_take(const unsigned char *from, const char *magic, struct evb__format *ret)
{
    if (memcmp(from, magic, 8) != 0) return EVB_ECORRUPT;
    if (evb__get32(from + CRC_AT) != evb__crc32c(0, from, CRC_AT)) return EVB_ECORRUPT;
    if (evb__get16(from + 8) != EVB__STORE_MAJOR || evb__get32(from + 12) != 0) return EVB_ENOTSUP;
    ret->incompat = 0;
    ret->ro_compat = evb__get32(from + 16);
    ret->compat = evb__get32(from + 20);
    memcpy(ret->uuid, from + 24, 16);
    return EVB_OK;
}

void evb__meta_encode(unsigned char to[EVB__META_BYTES], const struct evb__format *meta)
{
    format_put(to, "EVBSTORE", meta);
    evb__put64(to + 40, (uint64_t)meta->created);
    format_end(to);
}

int32_t evb__meta_decode(const void *from, size_t size, struct evb__format *ret)
{
    int32_t rc = size < EVB__META_BYTES ? EVB_ECORRUPT : format_take(from, "EVBSTORE", ret);

    if (rc == EVB_OK) ret->created = (int64_t)evb__get64((const unsigned char *)from + 40);
    return rc;
}

void evb__segment_encode(unsigned char to[EVB__SEGMENT_HEADER], const struct evb__segment_header *header)
{
    memset(to, 0, EVB__SEGMENT_HEADER);
    format_put(to, "EVBSEGMT", &header->format);
    evb__put64(to + 40, header->base);
    evb__put64(to + 48, header->prev_end);
    evb__put32(to + 56, header->prev_crc);
    evb__put32(to + 60, header->salt);
    evb__put64(to + 64, (uint64_t)header->format.created);
    evb__put32(to + 72, header->flags);
    evb__put32(to + 76, header->number);
    format_end(to);
    memcpy(to + SECOND_COPY, to, EVB__META_BYTES); /* in another sector: one that goes bad is no loss */
}

static int32_t segment_take(const unsigned char *from, struct evb__segment_header *ret)
{
    struct evb__segment_header h;
    int32_t rc = format_take(from, "EVBSEGMT", &h.format);

    if (rc != EVB_OK) return rc;
    h.base = evb__get64(from + 40);
    h.prev_end = evb__get64(from + 48);
    h.prev_crc = evb__get32(from + 56);
    h.salt = evb__get32(from + 60);
    h.format.created = (int64_t)evb__get64(from + 64);
    h.flags = evb__get32(from + 72);
    h.number = evb__get32(from + 76);
    if (h.base == 0 || h.prev_end > h.base) return EVB_ECORRUPT;
    *ret = h;
    return EVB_OK;
}

int32_t evb__segment_decode(const void *from, size_t size, struct evb__segment_header *ret)
{
    const unsigned char *bytes = from;
    int32_t rc;

    if (size < EVB__SEGMENT_HEADER) return EVB_ECORRUPT;
    rc = segment_take(bytes, ret);
    return rc == EVB_ECORRUPT ? segment_take(bytes + SECOND_COPY, ret) : rc;
}

/* ---- frames ---- */

void evb__frame_put(unsigned char *to, const struct evb__frame *frame)
{
    evb__assert(frame->len >= EVB__FRAME_HEADER && frame->len % 8 == 0);
    evb__put32(to, frame->len);
    evb__put32(to + 4, 0);
    evb__put64(to + 8, frame->position);
    evb__put64(to + 16, 0);
    evb__put64(to + 24, (uint64_t)frame->time);
    evb__put64(to + 32, (uint64_t)frame->version);
    evb__put32(to + 40, frame->stream);
    evb__put16(to + 44, frame->count);
    to[46] = frame->kind;
    to[47] = frame->flags;
}

static uint32_t frame_crc(const unsigned char *frame, uint32_t len, uint32_t salt)
{
    return evb__crc32c(evb__crc32c(salt, frame, 4), frame + 8, len - 8);
}

void evb__frame_seal(unsigned char *frame, uint64_t durable, uint32_t salt)
{
    evb__put64(frame + 16, durable);
    evb__put32(frame + 4, frame_crc(frame, evb__get32(frame), salt));
}

int32_t evb__frame_take(const void *from, size_t size, struct evb__frame *ret)
{
    const unsigned char *p = from;

    if (size < EVB__FRAME_HEADER) return EVB_ECORRUPT;
    ret->len = evb__get32(p);
    if (ret->len < EVB__FRAME_HEADER || ret->len % 8 != 0) return EVB_ECORRUPT;
    ret->crc = evb__get32(p + 4);
    ret->position = evb__get64(p + 8);
    ret->durable = evb__get64(p + 16);
    ret->time = (int64_t)evb__get64(p + 24);
    ret->version = (int64_t)evb__get64(p + 32);
    ret->stream = evb__get32(p + 40);
    ret->count = evb__get16(p + 44);
    ret->kind = p[46];
    ret->flags = p[47];
    return EVB_OK;
}

bool evb__frame_fits(const void *from, const struct evb__frame *frame, uint32_t salt)
{
    return frame_crc(from, frame->len, salt) == frame->crc;
}

size_t evb__decl_bytes(size_t name_size)
{
    return EVB__FRAME_HEADER + evb__round8(2 + name_size);
}

void evb__decl_put(unsigned char *to, uint64_t position, int64_t time, int64_t version, uint32_t stream,
                   const char *name, size_t name_size)
{
    struct evb__frame frame = {.len = (uint32_t)evb__decl_bytes(name_size),
                               .position = position,
                               .time = time,
                               .version = version,
                               .stream = stream,
                               .kind = EVB__FRAME_DECL};

    memset(to + frame.len - 8, 0, 8); /* the padding is within */
    evb__frame_put(to, &frame);
    evb__put16(to + EVB__FRAME_HEADER, (uint16_t)name_size);
    memcpy(to + EVB__FRAME_HEADER + 2, name, name_size);
}

int32_t evb__decl_take(const void *frame, uint32_t len, const char **ret_name, size_t *ret_size)
{
    const unsigned char *body = (const unsigned char *)frame + EVB__FRAME_HEADER;
    size_t size;

    if (len < EVB__FRAME_HEADER + 8) return EVB_ECORRUPT;
    size = evb__get16(body);
    if (size == 0 || size > EVB__STREAM_NAME_MAX || 2 + size > len - EVB__FRAME_HEADER) return EVB_ECORRUPT;
    *ret_name = (const char *)body + 2;
    *ret_size = size;
    return EVB_OK;
}

/* ---- events: writing ---- */

static int32_t measure_headers(const evb_record *r, size_t *meta)
{
    size_t text = 0;

    if (r->headers == NULL) return EVB_EINVAL;
    *meta += 2;
    /* Bounded: every name is a byte at least, and all of them fit into EVB__RECORD_HEADERS. */
    for (uint32_t i = 0; i < r->header_count; i++) {
        const evb_header *h = &r->headers[i];
        size_t name_size;

        if (h->name == NULL || h->name[0] == '\0' || h->reserved != 0) return EVB_EINVAL;
        if (h->value == NULL && h->value_len != 0) return EVB_EINVAL;
        name_size = strnlen(h->name, EVB__RECORD_HEADERS + 1);
        if (h->value_len > EVB__RECORD_HEADERS) return EVB_ETOOBIG;
        text += name_size + h->value_len;
        if (text > EVB__RECORD_HEADERS) return EVB_ETOOBIG;
        *meta += 4 + name_size + 1 + h->value_len;
    }
    return EVB_OK;
}

static bool own_topic(const evb_record *record, const char *stream)
{
    return strcmp(record->topic, stream) != 0;
}

int32_t evb__event_measure(const evb_record *record, const char *stream, size_t *ret_bytes)
{
    size_t topic_size, meta = 0;
    int32_t rc = EVB_OK;

    if (record->topic == NULL || (record->data == NULL && record->size != 0)) return EVB_EINVAL;
    if (record->key == NULL && record->key_len != 0) return EVB_EINVAL;
    if (record->flags != 0 || record->reserved0 != 0) return EVB_EINVAL;
    topic_size = strnlen(record->topic, EVB__NAME_MAX + 1);
    if (topic_size > EVB__NAME_MAX) return EVB_EINVAL;
    if (record->key_len > EVB__RECORD_KEY_MAX || record->size > UINT32_MAX / 2) return EVB_ETOOBIG;
    if (record->event_id != NULL) meta += EVB__EVENT_ID;
    if (record->time_ns != 0) meta += 8;
    if (record->schema_type != 0 || record->schema_version != 0) meta += 8;
    if (own_topic(record, stream)) meta += 1 + topic_size + 1;
    if (record->key != NULL) meta += 1 + record->key_len;
    if (record->header_count != 0) rc = measure_headers(record, &meta);
    if (rc != EVB_OK) return rc;
    evb__assert(meta <= UINT16_MAX);
    *ret_bytes = EVB__EVENT_HEADER + evb__round8(meta) + evb__round8(record->size);
    return EVB_OK;
}

static unsigned char *put_headers(unsigned char *to, const evb_record *r)
{
    evb__put16(to, (uint16_t)r->header_count);
    to += 2;
    for (uint32_t i = 0; i < r->header_count; i++) {
        const evb_header *h = &r->headers[i];
        size_t name_size = strlen(h->name);

        evb__put16(to, (uint16_t)name_size);
        evb__put16(to + 2, (uint16_t)h->value_len);
        memcpy(to + 4, h->name, name_size + 1);
        to += 4 + name_size + 1;
        if (h->value_len != 0) memcpy(to, h->value, h->value_len);
        to += h->value_len;
    }
    return to;
}

static unsigned char *pad(unsigned char *from, unsigned char *to)
{
    while ((to - from) % 8 != 0)
        *to++ = 0;
    return to;
}

unsigned char *evb__event_put(unsigned char *to, const evb_record *r, const char *stream)
{
    unsigned char *meta = to + EVB__EVENT_HEADER, *p = meta;
    uint16_t flags = 0;

    if (r->event_id != NULL) {
        flags |= HAS_ID;
        memcpy(p, r->event_id, EVB__EVENT_ID);
        p += EVB__EVENT_ID;
    }
    if (r->time_ns != 0) {
        flags |= HAS_TIME;
        evb__put64(p, (uint64_t)r->time_ns);
        p += 8;
    }
    if (r->schema_type != 0 || r->schema_version != 0) {
        flags |= HAS_SCHEMA;
        evb__put32(p, r->schema_type);
        evb__put32(p + 4, r->schema_version);
        p += 8;
    }
    if (own_topic(r, stream)) {
        size_t topic_size = strlen(r->topic);

        flags |= HAS_TOPIC;
        *p++ = (unsigned char)topic_size;
        memcpy(p, r->topic, topic_size + 1);
        p += topic_size + 1;
    }
    if (r->key != NULL) {
        flags |= HAS_KEY;
        *p++ = (unsigned char)r->key_len;
        if (r->key_len != 0) memcpy(p, r->key, r->key_len);
        p += r->key_len;
    }
    if (r->header_count != 0) {
        flags |= HAS_HEADERS;
        p = put_headers(p, r);
    }
    evb__put32(to, (uint32_t)r->size);
    evb__put16(to + 4, (uint16_t)(p - meta));
    evb__put16(to + 6, flags);
    p = pad(meta, p);
    if (r->size != 0) memcpy(p, r->data, r->size);
    return pad(meta, p + r->size);
}

/* ---- events: reading ---- */

/* The bytes that are left of what is being taken apart; over: more was wanted than there was. */
struct cut {
    const unsigned char *at, *end;
    bool over;
};

static const unsigned char *cut(struct cut *c, size_t size)
{
    const unsigned char *here = c->at;

    if (c->over || (size_t)(c->end - c->at) < size) {
        c->over = true;
        return NULL;
    }
    c->at += size;
    return here;
}

static uint32_t cut8(struct cut *c)
{
    const unsigned char *p = cut(c, 1);

    return p != NULL ? *p : 0;
}

static uint16_t cut16(struct cut *c)
{
    const unsigned char *p = cut(c, 2);

    return p != NULL ? evb__get16(p) : 0;
}

/* A text of size bytes and the NUL behind it. */
static const unsigned char *cut_text(struct cut *c, size_t size)
{
    const unsigned char *p = cut(c, size + 1);

    if (p != NULL && p[size] != 0) c->over = true;
    return p;
}

static void take_headers(struct cut *c, struct evb__event_view *e)
{
    e->header_count = cut16(c);
    e->headers = c->at;
    for (uint32_t i = 0; i < e->header_count && !c->over; i++) {
        size_t name_size = cut16(c), value_len = cut16(c);

        (void)cut_text(c, name_size);
        (void)cut(c, value_len);
    }
}

static void take_meta(struct cut *c, uint16_t flags, struct evb__event_view *e)
{
    const unsigned char *p;

    if ((flags & HAS_ID) != 0) e->id = cut(c, EVB__EVENT_ID);
    if ((flags & HAS_TIME) != 0 && (p = cut(c, 8)) != NULL) {
        e->has_time = true;
        e->time = (int64_t)evb__get64(p);
    }
    if ((flags & HAS_SCHEMA) != 0 && (p = cut(c, 8)) != NULL) {
        e->schema_type = evb__get32(p);
        e->schema_version = evb__get32(p + 4);
    }
    if ((flags & HAS_TOPIC) != 0) {
        size_t topic_size = cut8(c);

        e->topic = (const char *)cut_text(c, topic_size);
    }
    if ((flags & HAS_KEY) != 0) {
        e->key_len = cut8(c);
        e->key = cut(c, e->key_len);
    }
    if ((flags & HAS_HEADERS) != 0) take_headers(c, e);
}

int64_t evb__event_take(const unsigned char *from, size_t size, struct evb__event_view *ret)
{
    struct cut meta;
    size_t meta_len, left;
    uint16_t flags;

    if (size < EVB__EVENT_HEADER) return EVB_ECORRUPT;
    *ret = (struct evb__event_view){.data_len = evb__get32(from)};
    meta_len = evb__get16(from + 4);
    flags = evb__get16(from + 6);
    left = size - EVB__EVENT_HEADER;
    if ((flags & ~KNOWN) != 0 || evb__round8(meta_len) > left) return EVB_ECORRUPT;
    left -= evb__round8(meta_len);
    if (ret->data_len > left || left - ret->data_len < evb__round8(ret->data_len) - ret->data_len)
        return EVB_ECORRUPT;
    meta.at = from + EVB__EVENT_HEADER;
    meta.end = meta.at + meta_len;
    meta.over = false;
    if (flags != 0) take_meta(&meta, flags, ret);
    if (meta.over || meta.at != meta.end) return EVB_ECORRUPT;
    ret->data = from + EVB__EVENT_HEADER + evb__round8(meta_len);
    return (int64_t)(EVB__EVENT_HEADER + evb__round8(meta_len) + evb__round8(ret->data_len));
}

void evb__event_headers(const struct evb__event_view *entry, evb_header *ret_headers)
{
    const unsigned char *p = entry->headers;

    for (uint32_t i = 0; i < entry->header_count; i++) {
        size_t name_size = evb__get16(p);

        ret_headers[i].value_len = evb__get16(p + 2);
        ret_headers[i].name = (const char *)p + 4;
        ret_headers[i].value = p + 4 + name_size + 1;
        ret_headers[i].reserved = 0;
        p += 4 + name_size + 1 + ret_headers[i].value_len;
    }
}
