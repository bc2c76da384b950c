/* SPDX-License-Identifier: MIT */
/* What the events of the random program look like, and whether one that is handed out still looks so.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

const char *const topic_names[TOPICS] = {"a.x", "a.y", "b.x", "b.y.z", "d", "e.only"};
const char *const pattern_names[PATTERNS] = {"a.*", "a.x", ">", "b.>", "*.x", "d", "e.*", "nobody.*"};

/* A key may look like a topic, and may be there and empty: neither is the same as having none. */
static const char *const keys[FEW_KEYS] = {NULL, "k1", "k2", "a.x", ""};

static uint8_t byte_at(uint32_t number, uint32_t i)
{
    return (uint8_t)((i < 4 ? number >> (8 * i) : number * 31 + i) & 0xff);
}

const void *payload(uint32_t number)
{
    static uint8_t bytes[PAYLOAD_MAX];

    for (uint32_t i = 0; i < w.message[number].size; i++)
        bytes[i] = byte_at(number, i);
    return bytes;
}

const void *key_of(uint32_t key, uint32_t *ret_len)
{
    static char many[KEYS][12];
    const char *text = key < FEW_KEYS ? keys[key] : many[key];

    if (key >= FEW_KEYS) (void)snprintf(many[key], sizeof many[key], "%u", key);
    *ret_len = text != NULL ? (uint32_t)strlen(text) : 0;
    return text;
}

uint32_t headers_of(const struct message *m, uint32_t number, evb_header *ret_headers)
{
    static const char text[] = "a longer header value";

    if (!m->headers) return 0;
    ret_headers[0] = (evb_header){.name = "weight", .value = text, .value_len = number % 20};
    ret_headers[1] = (evb_header){.name = "w", .value = text + 3, .value_len = 1};
    return 2;
}

uint32_t number_in(const evb_event *ev)
{
    const uint8_t *bytes = ev->data;
    uint32_t number;

    if (ev->size < 4 || ev->size > PAYLOAD_MAX) return MESSAGES;
    number =
        (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    return number < w.messages ? number : MESSAGES;
}

/* Rising in the order of commits, and unique. */
void saw_sequence(uint32_t number, uint64_t sequence)
{
    struct message *m = &w.message[number];

    if (m->sequence == sequence) return;
    if (m->sequence != 0) {
        differs("message %u had sequence %llu, now %llu", number, (unsigned long long)m->sequence,
                (unsigned long long)sequence);
        return;
    }
    if (m->order == 0) {
        differs("message %u reached no queue and has sequence %llu", number, (unsigned long long)sequence);
        return;
    }
    m->sequence = sequence;
    for (uint32_t i = 0; i < w.messages; i++) {
        const struct message *o = &w.message[i];

        if (i == number || o->sequence == 0) continue;
        if (o->sequence == sequence || (o->order < m->order) != (o->sequence < sequence))
            differs("message %u has sequence %llu, message %u, which was handed over %s it, %llu", number,
                    (unsigned long long)sequence, i, o->order < m->order ? "before" : "after",
                    (unsigned long long)o->sequence);
    }
}

static bool check_headers(const evb_event *ev, uint32_t number)
{
    evb_header headers[4];
    uint32_t n = headers_of(&w.message[number], number, headers), len = 77;

    for (uint32_t i = 0; i < n; i++) {
        const void *value = evb_event_header(ev, headers[i].name, &len);

        if (value == NULL || len != headers[i].value_len || memcmp(value, headers[i].value, len) != 0)
            return false;
    }
    if (n == 0 && evb_event_header(ev, "weight", NULL) != NULL) return false;
    return evb_event_header(ev, "no such header", NULL) == NULL;
}

bool check_event(const evb_event *ev, uint32_t number, const char *where)
{
    const struct message *m = &w.message[number];
    const uint8_t *bytes = ev->data;
    uint32_t key_len;
    const void *key = key_of(m->key, &key_len);
    const char *what = NULL;

    for (uint32_t i = 0; i < ev->size && ev->size == m->size; i++)
        if (bytes[i] != byte_at(number, i)) what = "payload";
    if (ev->size != m->size) what = "size";
    if (strcmp(ev->topic, topic_names[m->topic]) != 0 || ev->topic_len != strlen(ev->topic)) what = "topic";
    if ((ev->key == NULL) != (key == NULL) || ev->key_len != key_len) what = "key";
    if (what == NULL && key_len != 0 && memcmp(ev->key, key, key_len) != 0) what = "key";
    if (what == NULL && !check_headers(ev, number)) what = "headers";
    if (ev->position != 0) what = "position";
    if (what != NULL) differs("%s: message %u has another %s", where, number, what);
    return what == NULL;
}
