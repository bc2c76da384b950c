/* SPDX-License-Identifier: MIT */
/* The bytes on the disk: golden ones, what comes back, and decoders that are given rubbish. */
#include "evb_test.h"

#include <stdlib.h>
#include <string.h>
#include "store/format.h"

static const evb_header two_headers[2] = {{.name = "a", .value = "xyz", .value_len = 3},
                                          {.name = "long-name", .value = NULL, .value_len = 0}};

static evb_record full_record(void)
{
    return (evb_record){.topic = "order.made",
                        .data = "payload!!",
                        .size = 9,
                        .key = "k1",
                        .key_len = 2,
                        .headers = two_headers,
                        .header_count = 2,
                        .event_id = "0123456789abcdef",
                        .time_ns = INT64_C(0x1122334455667788),
                        .schema_type = 7,
                        .schema_version = 3};
}

TEST(an_event_has_exactly_these_bytes)
{
    static const unsigned char golden[] = {
        9,    0,    0,    0,    72,   0,    63,   0, /* lengths, flags */
        '0',  '1',  '2',  '3',  '4',  '5',  '6',  '7',  '8', '9', 'a', 'b', 'c', 'd', 'e',
        'f', /* id */
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 7,   0,   0,   0,   3,   0,   0,
        0,                                                                                 /* time, schema */
        10,   'o',  'r',  'd',  'e',  'r',  '.',  'm',  'a', 'd', 'e', 0,   2,   'k', '1', /* topic, key */
        2,    0,    1,    0,    3,    0,    'a',  0,    'x', 'y', 'z', 9,   0,   0,   0,   /* headers */
        'l',  'o',  'n',  'g',  '-',  'n',  'a',  'm',  'e', 0,

        'p',  'a',  'y',  'l',  'o',  'a',  'd',  '!',  '!', 0,   0,   0,   0,   0,   0,
        0};
    unsigned char bytes[256];
    evb_record record = full_record();
    size_t size;

    memset(bytes, 0xA5, sizeof bytes);
    OK(evb__event_measure(&record, "order-1", &size));
    EQ(size, sizeof golden);
    EQ(evb__event_put(bytes, &record, "order-1") - bytes, size);
    EQ_MEM(bytes, golden, sizeof golden);
    EQ(bytes[size], 0xA5);
}

TEST(a_frame_and_a_declaration_have_exactly_these_bytes)
{
    static const unsigned char golden[48] = {48, 0, 0, 0, 0x86, 0x37, 0x40, 0x85, 8, 7, 6, 5, 4, 3, 2, 1,
                                             9,  0, 0, 0, 0,    0,    0,    0,    5, 0, 0, 0, 0, 0, 0, 0,
                                             6,  0, 0, 0, 0,    0,    0,    0,    3, 0, 0, 0, 2, 1, 1, 0};
    struct evb__frame frame = {.len = 48,
                               .position = UINT64_C(0x0102030405060708),
                               .time = 5,
                               .version = 6,
                               .stream = 3,
                               .count = 0x0102,
                               .kind = EVB__FRAME_DATA};
    struct evb__frame back;
    unsigned char bytes[64];
    const char *name;
    size_t size;

    evb__frame_put(bytes, &frame);
    evb__frame_seal(bytes, 9, UINT32_C(0xdeadbeef));
    EQ_MEM(bytes, golden, 4);
    EQ_MEM(bytes + 8, golden + 8, 40);
    OK(evb__frame_take(bytes, sizeof bytes, &back));
    CHECK(evb__frame_fits(bytes, &back, UINT32_C(0xdeadbeef)));
    CHECK(!evb__frame_fits(bytes, &back, UINT32_C(0xdeadbeee)));
    EQ_MEM(bytes + 4, golden + 4, 4);
    EQ(back.durable, 9);
    EQ(back.position, frame.position);
    EQ(back.version, 6);
    EQ(back.count, 0x0102);

    EQ(evb__decl_bytes(7), 64);
    evb__decl_put(bytes, 4, 5, 6, 7, "order-1", 7);
    evb__frame_seal(bytes, 1, 0);
    EQ_MEM(bytes + 48, "\x07\0order-1\0\0\0\0\0\0", 16);
    OK(evb__frame_take(bytes, sizeof bytes, &back));
    EQ(back.kind, EVB__FRAME_DECL);
    OK(evb__decl_take(bytes, back.len, &name, &size));
    EQ(size, 7);
    EQ_MEM(name, "order-1", 7);
}

TEST(meta_and_segment_headers_come_back_and_one_bad_sector_of_a_header_is_no_loss)
{
    struct evb__format meta = {.compat = 5, .ro_compat = 0, .created = 77, .uuid = "0123456789abcde"},
                       meta_back;
    struct evb__segment_header header = {.format = meta,
                                         .base = 1000,
                                         .prev_end = 999,
                                         .prev_crc = 3,
                                         .salt = 4,
                                         .flags = 1,
                                         .number = 6},
                               back;
    unsigned char bytes[EVB__SEGMENT_HEADER];

    evb__meta_encode(bytes, &meta);
    OK(evb__meta_decode(bytes, EVB__META_BYTES, &meta_back));
    EQ(meta_back.compat, 5);
    EQ(meta_back.created, 77);
    EQ_MEM(meta_back.uuid, meta.uuid, 16);
    FAILS(evb__segment_decode(bytes, sizeof bytes, &back), EVB_ECORRUPT);

    evb__segment_encode(bytes, &header);
    for (size_t at = 0; at < sizeof bytes; at += 512) { /* each sector in turn, and the ones before it */
        struct evb__segment_header sound = {.base = 0};

        if (at == 2048) evb__segment_encode(bytes, &header);
        memset(bytes + at, (int)at / 2, 512);
        OK(evb__segment_decode(bytes, sizeof bytes, &sound));
        EQ(sound.base, 1000);
        EQ(sound.prev_end, 999);
        EQ(sound.prev_crc, 3);
        EQ(sound.salt, 4);
        EQ(sound.flags, 1);
        EQ(sound.number, 6);
        EQ(sound.format.created, 77);
    }
    memset(bytes, 0, 512);
    FAILS(evb__segment_decode(bytes, sizeof bytes, &back), EVB_ECORRUPT);
    FAILS(evb__segment_decode(bytes, sizeof bytes - 1, &back), EVB_ECORRUPT);
}

TEST(every_flipped_bit_of_meta_is_seen_and_a_later_format_is_said_to_be_one)
{
    struct evb__format meta = {.uuid = "x"}, back;
    unsigned char bytes[EVB__META_BYTES];

    evb__meta_encode(bytes, &meta);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        FAILS(evb__meta_decode(bytes, sizeof bytes, &back), EVB_ECORRUPT);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    OK(evb__meta_decode(bytes, sizeof bytes, &back));
    meta.incompat = 1;
    evb__meta_encode(bytes, &meta);
    FAILS(evb__meta_decode(bytes, sizeof bytes, &back), EVB_ENOTSUP);
    meta.incompat = 0;
    meta.ro_compat = 2; /* may be read: who opens it decides */
    evb__meta_encode(bytes, &meta);
    OK(evb__meta_decode(bytes, sizeof bytes, &back));
    EQ(back.ro_compat, 2);
}

/* ---- what goes in comes out ---- */

static uint32_t below(uint32_t n)
{
    return (uint32_t)evb__rng_below(evb_test_rng(), n);
}

static void same_text(const void *a, size_t a_size, const void *b, size_t b_size)
{
    EQ(a_size, b_size);
    if (a_size != 0) EQ_MEM(a, b, a_size);
}

static void there_and_back(const evb_record *r, const char *stream)
{
    struct evb__event_view e;
    evb_header headers[8];
    unsigned char *bytes;
    size_t size;

    OK(evb__event_measure(r, stream, &size));
    EQ(size % 8, 0);
    bytes = malloc(size); /* exactly: the sanitizer watches the ends */
    EQ(evb__event_put(bytes, r, stream) - bytes, size);
    EQ(evb__event_take(bytes, size, &e), size);
    same_text(e.data, e.data_len, r->data, r->size);
    EQ_STR(e.topic != NULL ? e.topic : stream, r->topic);
    EQ(e.topic == NULL, strcmp(stream, r->topic) == 0);
    EQ(e.key == NULL, r->key == NULL);
    same_text(e.key, e.key_len, r->key, r->key_len);
    EQ(e.id == NULL, r->event_id == NULL);
    if (r->event_id != NULL) EQ_MEM(e.id, r->event_id, 16);
    EQ(e.schema_type, r->schema_type);
    EQ(e.schema_version, r->schema_version);
    EQ(e.has_time, r->time_ns != 0);
    if (e.has_time) EQ(e.time, r->time_ns);
    EQ(e.header_count, r->header_count);
    evb__event_headers(&e, headers);
    for (uint32_t i = 0; i < r->header_count; i++) {
        EQ_STR(headers[i].name, r->headers[i].name);
        same_text(headers[i].value, headers[i].value_len, r->headers[i].value, r->headers[i].value_len);
    }
    /* Cut short anywhere it is no event. */
    for (size_t less = 0; less < size; less += less < 64 ? 1 : 13)
        CHECK(evb__event_take(bytes, less, &e) == EVB_ECORRUPT);
    free(bytes);
}

TEST(an_event_comes_back_as_it_went_in_whatever_it_has)
{
    static char data[3000];
    char key[255];

    memset(data, 'd', sizeof data);
    memset(key, 'k', sizeof key);
    for (uint32_t round = 0; round < 2000; round++) {
        evb_record r = {
            .topic = below(3) == 0 ? "the.stream" : "another.topic", .data = data, .size = below(300)};

        if (below(10) == 0) r.size = below(sizeof data);
        if (r.size == 0) r.data = NULL;
        if (below(2) == 0) {
            r.key = key;
            r.key_len = below(256);
        }
        if (below(2) == 0) r.event_id = data;
        if (below(2) == 0) r.time_ns = (int64_t)evb__rng_next(evb_test_rng());
        if (below(2) == 0) r.schema_type = below(UINT32_MAX);
        if (below(2) == 0) r.schema_version = below(UINT32_MAX);
        r.header_count = below(3);
        r.headers = r.header_count != 0 ? two_headers : NULL;
        there_and_back(&r, "the.stream");
    }
}

TEST(rubbish_is_refused_or_stays_within_its_bytes)
{
    evb_record record = full_record();
    unsigned char good[256], *bytes;
    size_t size;
    uint32_t refused = 0;

    OK(evb__event_measure(&record, "s", &size));
    (void)evb__event_put(good, &record, "s");
    bytes = malloc(size);
    for (uint32_t round = 0; round < 200000; round++) {
        struct evb__event_view e;
        int64_t took;

        memcpy(bytes, good, size);
        for (uint32_t flips = 1 + below(3); flips > 0; flips--)
            bytes[below(2) != 0 ? below(8) : below((uint32_t)size)] = (unsigned char)below(256);
        took = evb__event_take(bytes, size, &e);
        if (took < 0) {
            EQ(took, EVB_ECORRUPT);
            refused++;
            continue;
        }
        CHECK(took <= (int64_t)size && e.data + e.data_len <= bytes + size);
        if (e.header_count != 0) {
            evb_header *headers = malloc(e.header_count * sizeof *headers);

            evb__event_headers(&e, headers);
            free(headers);
        }
    }
    CHECK(refused > 1000);
    free(bytes);
}

TEST(a_frame_whose_length_cannot_be_is_refused)
{
    struct evb__frame frame;
    unsigned char bytes[48] = {0};
    static const uint32_t wrong[] = {0, 8, 40, 47, 49, 52, UINT32_MAX};
    const char *name;
    size_t size;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        evb__put32(bytes, wrong[i]);
        FAILS(evb__frame_take(bytes, sizeof bytes, &frame), EVB_ECORRUPT);
    }
    evb__put32(bytes, 48);
    OK(evb__frame_take(bytes, sizeof bytes, &frame));
    FAILS(evb__frame_take(bytes, 47, &frame), EVB_ECORRUPT);
    FAILS(evb__decl_take(bytes, 48, &name, &size), EVB_ECORRUPT);
}

TEST(a_name_of_impossible_length_in_a_declaration_is_refused)
{
    unsigned char bytes[48 + 264];
    const char *name;
    size_t size;

    memset(bytes, 'n', sizeof bytes);
    evb__put16(bytes + 48, 0);
    FAILS(evb__decl_take(bytes, sizeof bytes, &name, &size), EVB_ECORRUPT);
    evb__put16(bytes + 48, 256);
    FAILS(evb__decl_take(bytes, sizeof bytes, &name, &size), EVB_ECORRUPT);
    evb__put16(bytes + 48, 255);
    OK(evb__decl_take(bytes, sizeof bytes, &name, &size));
    evb__put16(bytes + 48, 7);
    FAILS(evb__decl_take(bytes, 56, &name, &size), EVB_ECORRUPT);
    evb__put16(bytes + 48, 6);
    OK(evb__decl_take(bytes, 56, &name, &size));
}

/* ---- what may not go in ---- */

TEST(a_record_is_measured_only_if_every_part_is_in_range)
{
    static char big[8300];
    evb_header header = {.name = "n", .value = big};
    evb_record good = full_record(), r;
    size_t size = 77;

    memset(big, 'b', sizeof big - 1);
#define REFUSED(status, ...)                                                                                 \
    do {                                                                                                     \
        r = good;                                                                                            \
        __VA_ARGS__;                                                                                         \
        FAILS(evb__event_measure(&r, "s", &size), status);                                                   \
        EQ(size, 77);                                                                                        \
    } while (0)
    REFUSED(EVB_EINVAL, r.topic = NULL);
    REFUSED(EVB_EINVAL, r.topic = big);
    REFUSED(EVB_EINVAL, r.data = NULL);
    REFUSED(EVB_EINVAL, r.key = NULL);
    REFUSED(EVB_EINVAL, r.flags = 1);
    REFUSED(EVB_EINVAL, r.headers = NULL);
    REFUSED(EVB_EINVAL, r.headers = &(evb_header){.name = ""}, r.header_count = 1);
    REFUSED(EVB_EINVAL, r.headers = &(evb_header){.name = "n", .value_len = 1}, r.header_count = 1);
    REFUSED(EVB_ETOOBIG, r.key = big, r.key_len = 256);
    REFUSED(EVB_ETOOBIG, r.size = SIZE_MAX / 2);
    header.value_len = EVB__RECORD_HEADERS;
    REFUSED(EVB_ETOOBIG, r.headers = &header, r.header_count = 1);
    header.value_len = EVB__RECORD_HEADERS - 1;
    r = good;
    r.headers = &header;
    r.header_count = 1;
    OK(evb__event_measure(&r, "s", &size));
#undef REFUSED
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_has_exactly_these_bytes),
        cmocka_unit_test(a_frame_and_a_declaration_have_exactly_these_bytes),
        cmocka_unit_test(meta_and_segment_headers_come_back_and_one_bad_sector_of_a_header_is_no_loss),
        cmocka_unit_test(every_flipped_bit_of_meta_is_seen_and_a_later_format_is_said_to_be_one),
        cmocka_unit_test(an_event_comes_back_as_it_went_in_whatever_it_has),
        cmocka_unit_test(rubbish_is_refused_or_stays_within_its_bytes),
        cmocka_unit_test(a_frame_whose_length_cannot_be_is_refused),
        cmocka_unit_test(a_name_of_impossible_length_in_a_declaration_is_refused),
        cmocka_unit_test(a_record_is_measured_only_if_every_part_is_in_range),
    };

    return EVB_TEST_MAIN("store_format", tests, argc, argv);
}
