/* SPDX-License-Identifier: MIT */
/* META, segment headers, frames, events, declarations: decoders that look at bytes and at nothing else. What
 * they accept they also write, and take back as the same.
 */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "store/format.h"

int fuzz_meta(const uint8_t *data, size_t size)
{
    unsigned char *bytes = fuzz_copy(data, size), again[EVB__META_BYTES];
    struct evb__format meta, back;

    if (size > 0 && (bytes[size - 1] & 1) != 0) fuzz_fix_header(bytes, size);
    if (evb__meta_decode(bytes, size, &meta) == EVB_OK) {
        evb__meta_encode(again, &meta);
        fuzz_must(evb__meta_decode(again, sizeof again, &back) == EVB_OK, "a META that was written is one");
        fuzz_must(back.created == meta.created && back.compat == meta.compat &&
                      back.ro_compat == meta.ro_compat && memcmp(back.uuid, meta.uuid, 16) == 0,
                  "META comes back as it was");
    }
    free(bytes);
    return 0;
}

/* Inputs are short: the rest of the 4096 bytes is zeros. */
int fuzz_segment(const uint8_t *data, size_t size)
{
    unsigned char *bytes = calloc(1, EVB__SEGMENT_HEADER), again[EVB__SEGMENT_HEADER];
    struct evb__segment_header header, back;
    size_t taken = size > 0 ? size - 1 : 0;

    if (taken > EVB__SEGMENT_HEADER) taken = EVB__SEGMENT_HEADER;
    if (taken != 0) memcpy(bytes, data + 1, taken);
    if (taken > 128 && taken <= 256) memcpy(bytes + 2048, bytes + 128, taken - 128); /* the second copy */
    if (size > 0 && (data[0] & 1) != 0) {
        fuzz_fix_header(bytes, EVB__META_BYTES);
        fuzz_fix_header(bytes + 2048, EVB__META_BYTES);
    }
    if (evb__segment_decode(bytes, EVB__SEGMENT_HEADER, &header) == EVB_OK) {
        evb__segment_encode(again, &header);
        fuzz_must(evb__segment_decode(again, sizeof again, &back) == EVB_OK,
                  "a header that was written is one");
        fuzz_must(back.base == header.base && back.salt == header.salt && back.number == header.number &&
                      back.prev_end == header.prev_end && back.prev_crc == header.prev_crc &&
                      back.flags == header.flags,
                  "a header comes back as it was");
    }
    if (size < EVB__SEGMENT_HEADER)
        fuzz_must(evb__segment_decode(bytes, size, &header) == EVB_ECORRUPT, "a short header is none");
    free(bytes);
    return 0;
}

static void look_at_event(const struct evb__event_view *event)
{
    evb_header *headers = calloc(event->header_count + 1u, sizeof *headers);
    evb_record record = {.topic = event->topic != NULL ? event->topic : "stream",
                         .data = event->data,
                         .size = event->data_len,
                         .key = event->key,
                         .key_len = event->key_len,
                         .event_id = event->id,
                         .time_ns = event->has_time ? event->time : 0,
                         .schema_type = event->schema_type,
                         .schema_version = event->schema_version,
                         .headers = headers,
                         .header_count = event->header_count};
    struct evb__event_view back;
    size_t need;

    evb__event_headers(event, headers);
    if (evb__event_measure(&record, "stream", &need) == EVB_OK) {
        unsigned char *again = malloc(need);

        fuzz_must(evb__event_put(again, &record, "stream") == again + need, "as long as it was measured");
        fuzz_must(evb__event_take(again, need, &back) == (int64_t)need, "what was written is an event");
        fuzz_must(back.data_len == event->data_len && back.header_count == event->header_count &&
                      (back.data_len == 0 || memcmp(back.data, event->data, back.data_len) == 0),
                  "an event comes back as it was");
        free(again);
    }
    free(headers);
}

int fuzz_event(const uint8_t *data, size_t size)
{
    unsigned char *bytes = fuzz_copy(data, size);
    struct evb__event_view event;
    int64_t took = evb__event_take(bytes, size, &event);

    fuzz_must(took < 0 || (uint64_t)took <= size, "an event ends where the bytes do");
    if (took >= 0) look_at_event(&event);
    free(bytes);
    return 0;
}

int fuzz_frame(const uint8_t *data, size_t size)
{
    unsigned char *bytes = fuzz_copy(data, size);
    size_t at = 0;

    while (at < size) {
        struct evb__frame frame;
        struct evb__event_view event;
        size_t inside = EVB__FRAME_HEADER;
        const char *name;
        size_t name_size;

        if (evb__frame_take(bytes + at, size - at, &frame) != EVB_OK || frame.len > size - at) break;
        (void)evb__frame_fits(bytes + at, &frame, 7);
        if (frame.kind == EVB__FRAME_DECL &&
            evb__decl_take(bytes + at, frame.len, &name, &name_size) == EVB_OK)
            fuzz_must(name + name_size <= (const char *)bytes + at + frame.len, "a name is inside");
        for (uint32_t i = 0; i < frame.count && inside < frame.len; i++) {
            int64_t took = evb__event_take(bytes + at + inside, frame.len - inside, &event);

            if (took < 0) break;
            look_at_event(&event);
            inside += (size_t)took;
        }
        at += frame.len;
    }
    free(bytes);
    return 0;
}

int fuzz_decl(const uint8_t *data, size_t size)
{
    unsigned char *bytes = fuzz_copy(data, size);
    const char *name;
    size_t name_size;

    if (size >= EVB__FRAME_HEADER && evb__decl_take(bytes, (uint32_t)size, &name, &name_size) == EVB_OK) {
        unsigned char again[EVB__FRAME_HEADER + EVB__STREAM_NAME_MAX + 9];
        const char *back;
        size_t back_size;

        evb__decl_put(again, 1, 2, 3, 4, name, name_size);
        fuzz_must(evb__decl_take(again, (uint32_t)evb__decl_bytes(name_size), &back, &back_size) == EVB_OK &&
                      back_size == name_size && memcmp(back, name, name_size) == 0,
                  "a name comes back as it was");
    }
    free(bytes);
    return 0;
}
