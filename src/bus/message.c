/* SPDX-License-Identifier: MIT */
/* Messages: made in one piece, counted, given back by whoever is last. And loans, which are messages whose
 * payload was there first.
 *
 *      plain          | message, first delivery | payload | topic | rest |
 *      of a publish   | message, first delivery | more | deliveries | payload | topic | key | headers | rests
 * | of a loan      | message, first delivery | more | mark | payload | aside   | deliveries | topic | key |
 * headers | rests |
 *
 * Where there are several queues none uses the first delivery.
 *
 * A packed header: sizes, name with its NUL, and the value at a multiple of 8, so that it may hold anything.
 */
#include "bus/message.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "bus/blocks.h"
#include "bus/bus.h"

#include <string.h>

struct packed_header {
    uint32_t size;      /* of all of it: the next one begins there */
    uint32_t name_size; /* without NUL */
    uint32_t value_at;  /* from the start of this */
    uint32_t value_len;
};

/* Before a loan's payload: how a loan is told from any other address. */
struct loan_mark {
    uint64_t word; /* 0: no loan any more */
    uint64_t size; /* lent */
};

_Static_assert(sizeof(void *) != 8 || sizeof(struct evb__message) == 128, "two lines");
_Static_assert(sizeof(struct evb__message) % EVB__ALIGN_MIN == 0, "what follows a message is aligned");
_Static_assert(sizeof(struct loan_mark) == EVB__ALIGN_MIN, "a loan's payload stays aligned");

const struct evb__message_more evb__message_nothing;

static size_t round_up(size_t size, size_t align)
{
    return (size + align - 1) & ~(align - 1);
}

/* ---- headers ---- */

static size_t value_at(size_t name_size)
{
    return sizeof(struct packed_header) + round_up(name_size + 1, 8);
}

/* Bounded: every header has a name of a byte at least, and all of them fit into EVB__HEADERS_MAX. */
static int32_t measure_headers(struct evb__draft *draft, size_t *ret_text)
{
    size_t text = 0, packed = 0;

    for (uint32_t i = 0; i < draft->header_count; i++) {
        const evb_header *h = &draft->headers[i];
        size_t name_size;

        if (h->name == NULL || h->name[0] == '\0' || h->reserved != 0) return EVB_EINVAL;
        if (h->value == NULL && h->value_len != 0) return EVB_EINVAL;
        name_size = strnlen(h->name, EVB__HEADERS_MAX + 1);
        if (h->value_len > EVB__HEADERS_MAX) return EVB_ETOOBIG; /* before the sum, which may be of 32 bits */
        text += name_size + h->value_len;
        if (text > EVB__HEADERS_MAX) return EVB_ETOOBIG;
        packed += value_at(name_size) + round_up(h->value_len, 8);
    }
    draft->header_bytes = (uint32_t)packed;
    *ret_text = text;
    return EVB_OK;
}

int32_t evb__draft_check(struct evb__draft *draft)
{
    size_t text = 0;

    if (draft->event.key == NULL && draft->event.key_len != 0) return EVB_EINVAL;
    if (draft->headers == NULL && draft->header_count != 0) return EVB_EINVAL;
    if (draft->event.key_len > EVB__KEY_MAX) return EVB_ETOOBIG;
    draft->header_bytes = 0;
    if (draft->header_count != 0) {
        int32_t status = measure_headers(draft, &text);

        if (status != EVB_OK) return status;
    }
    draft->bytes = draft->event.size + draft->event.key_len + text;
    return EVB_OK;
}

static void pack_headers(const struct evb__draft *draft, char *to)
{
    for (uint32_t i = 0; i < draft->header_count; i++) {
        const evb_header *h = &draft->headers[i];
        size_t name_size = strlen(h->name);
        struct packed_header p = {.name_size = (uint32_t)name_size,
                                  .value_at = (uint32_t)value_at(name_size),
                                  .value_len = h->value_len};

        p.size = p.value_at + (uint32_t)round_up(h->value_len, 8);
        memcpy(to, &p, sizeof p);
        memcpy(to + sizeof p, h->name, name_size + 1);
        if (h->value_len != 0) memcpy(to + p.value_at, h->value, h->value_len);
        to += p.size;
    }
}

const void *evb__message_header(const struct evb__message *message, const char *name, uint32_t *ret_len)
{
    const struct evb__message_more *more = evb__message_more(message);
    const char *at = more->headers, *end;
    size_t size;

    if (at == NULL) return NULL;
    size = strnlen(name, EVB__HEADERS_MAX + 1);
    end = at + more->header_bytes;
    while (at < end) {
        const struct packed_header *p = (const void *)at;

        if (p->name_size == size && memcmp(at + sizeof *p, name, size) == 0) {
            if (ret_len != NULL) *ret_len = p->value_len;
            return at + p->value_at;
        }
        at += p->size;
    }
    return NULL;
}

/* ---- making ---- */

/* What follows the payload: topic, key, headers; and then the rests. */
static size_t tail_size(const struct evb__draft *draft)
{
    return round_up((size_t)draft->event.topic_len + 1 + draft->event.key_len, 8) + draft->header_bytes;
}

static size_t rests_size(uint32_t queues)
{
    return queues * sizeof(struct evb__delivery_rest);
}

static struct evb__message_more *more_of(struct evb__message *m)
{
    return (struct evb__message_more *)(void *)(m + 1);
}

static void fill_tail(struct evb__message *m, const struct evb__draft *draft, char *at)
{
    struct evb__message_more *more = more_of(m);
    const evb_event *from = &draft->event;
    char *key = at + from->topic_len + 1;

    memcpy(at, from->topic, from->topic_len);
    key[-1] = '\0';
    m->event.topic = at;
    if (from->key != NULL) {
        if (from->key_len != 0) memcpy(key, from->key, from->key_len);
        m->event.key = key;
    }
    more->headers = NULL;
    more->header_bytes = draft->header_bytes;
    if (draft->header_count == 0) return;
    at += round_up((size_t)from->topic_len + 1 + from->key_len, 8);
    pack_headers(draft, at);
    more->headers = at;
}

/* Word by word: what gcc makes of a memset of this size takes longer to start than this does. */
static inline void clear(struct evb__delivery *delivery, struct evb__message *message,
                         struct evb__delivery_rest *rest)
{
    const struct evb__delivery zero = {.message = message, .rest = rest};

    *delivery = zero;
}

static void fill_head(struct evb__message *m, const struct evb__draft *draft, uint32_t queues, bool keep,
                      void *rests)
{
    struct evb__message_more *more = more_of(m);

    m->event = draft->event;
    evb__init(&m->refs, queues + (keep ? 1 : 0));
    m->bytes = draft->bytes;
    m->time_ns = 0;
    more->ttl_ns = draft->ttl_ns;
    more->delay_ns = draft->delay_ns;
    more->request = draft->request;
    more->key_hash = draft->key_hash;
    for (uint32_t i = 0; i < queues; i++)
        clear(&more->deliveries[i], m, (struct evb__delivery_rest *)rests + i);
}

static size_t deliveries_size(uint32_t queues)
{
    return queues > 1 ? queues * sizeof(struct evb__delivery) : 0;
}

static struct evb__message *complete_loan(const struct evb__draft *draft, uint32_t queues, bool keep)
{
    struct evb__message *m = draft->loan;
    size_t aside = deliveries_size(queues), tail = tail_size(draft);
    size_t size = aside + tail + rests_size(queues);
    struct evb__message_more *more = more_of(m);
    uint8_t kind;
    char *block;

    block = evb__block_alloc(size, 0, &kind);
    if (block == NULL) return NULL;
    evb__loan_take(m);
    more->aside = block;
    more->aside_size = size;
    more->aside_block = kind;
    more->deliveries = aside != 0 ? (struct evb__delivery *)(void *)block : &m->first;
    fill_head(m, draft, queues, keep, block + aside + tail);
    fill_tail(m, draft, block + aside);
    return m;
}

#define FULL_HEAD                                                                                            \
    ((sizeof(struct evb__message) + sizeof(struct evb__message_more) + EVB__ALIGN_MIN - 1) &                 \
     ~(size_t)(EVB__ALIGN_MIN - 1))

static void begin(struct evb__message *m, uint8_t kind, size_t size)
{
    struct evb__message_more *more = more_of(m);

    m->block = kind;
    m->plain = false;
    more->block_size = size;
    more->aside = NULL;
    more->aside_size = 0;
    more->deliveries = &m->first;
}

struct evb__message *evb__message_new(const struct evb__draft *draft, uint32_t queues, bool keep)
{
    size_t size = draft->event.size, head, block, rests;
    struct evb__message *m;
    uint8_t kind;

    evb__assert(queues != 0 || keep);
    if (draft->loan != NULL) return complete_loan(draft, queues, keep);
    head = round_up(FULL_HEAD + deliveries_size(queues), EVB__ALIGN_MIN);
    rests = head + round_up(size, 8) + tail_size(draft);
    block = rests + rests_size(queues);
    if (block < size) return NULL; /* a payload of nearly all there can be */
    m = evb__block_alloc(block, rests, &kind);
    if (m == NULL) return NULL;
    begin(m, kind, block);
    if (queues > 1) more_of(m)->deliveries = (struct evb__delivery *)(void *)((char *)m + FULL_HEAD);
    fill_head(m, draft, queues, keep, (char *)m + rests);
    if (size != 0) memcpy((char *)m + head, draft->event.data, size);
    m->event.data = size != 0 ? (char *)m + head : NULL;
    fill_tail(m, draft, (char *)m + head + round_up(size, 8));
    return m;
}

/* Larger than what a plain one can be: it has to say how large. */
static EVB__NOINLINE struct evb__message *large_message(const evb_topic *topic, const void *data, size_t size)
{
    const struct evb__draft draft = {
        .event = {.data = data, .size = size, .topic = topic->name, .topic_len = topic->named.size},
        .bytes = size};

    return evb__message_new(&draft, 1, false);
}

struct evb__message *evb__message_plain(const evb_topic *topic, const void *data, size_t size)
{
    uint32_t topic_len = topic->named.size;
    size_t rest = round_up(sizeof(struct evb__message) + size + topic_len + 1, 8);
    struct evb__message *m;
    uint8_t kind;
    char *at;

    if (evb__unlikely(size > EVB__BLOCK_MAX || rest + rests_size(1) > EVB__BLOCK_MAX))
        return large_message(topic, data, size);
    m = evb__block_alloc(rest + rests_size(1), rest, &kind);
    if (evb__unlikely(m == NULL)) return NULL;
    at = (char *)(m + 1);
    evb__init(&m->refs, 1);
    m->block = kind;
    m->plain = true;
    m->bytes = size;
    clear(&m->first, m, (struct evb__delivery_rest *)(void *)((char *)m + rest));
    /* field by field, as in clear */
    m->event.data = size != 0 ? at : NULL;
    m->event.size = size;
    m->event.topic = at + size;
    m->event.topic_len = topic_len;
    m->event.flags = m->event.attempt = m->event.key_len = 0;
    m->event.key = NULL;
    m->event.position = 0;
    if (size != 0) memcpy(at, data, size);
    memcpy(at + size, topic->name, topic_len + 1); /* with its NUL */
    return m;
}

struct evb__message *evb__message_again(struct evb__message *first, int64_t ttl_ns)
{
    size_t rest = FULL_HEAD, block = rest + rests_size(1);
    const struct evb__message_more *from = evb__message_more(first);
    struct evb__message_more *more;
    struct evb__message *m;
    uint8_t kind;

    m = evb__block_alloc(block, rest, &kind);
    if (m == NULL) return NULL;
    evb__message_ref(first);
    begin(m, kind, block);
    m->event = first->event;
    evb__init(&m->refs, 1);
    m->bytes = first->bytes;
    m->time_ns = first->time_ns;
    more = more_of(m);
    more->header_bytes = from->header_bytes;
    more->headers = from->headers;
    more->ttl_ns = ttl_ns;
    more->delay_ns = 0;
    more->request = 0;
    more->key_hash = from->key_hash;
    more->aside = first;
    more->aside_size = 0; /* what tells it from a second block */
    clear(&m->first, m, (struct evb__delivery_rest *)(void *)((char *)m + rest));
    return m;
}

static EVB__COLD void free_aside(const struct evb__message_more *more)
{
    if (more->aside_size != 0)
        evb__block_free(more->aside, more->aside_block, more->aside_size);
    else
        evb__message_unref(more->aside); /* the first one, which is no again: this nests once */
}

static void free_message(struct evb__message *m)
{
    const struct evb__message_more *more = evb__message_more(m);

    if (evb__unlikely(more->aside != NULL)) free_aside(more);
    evb__block_free(m, m->block, more->block_size);
}

void evb__message_unref(struct evb__message *message)
{
    /* Most have one queue only, which is seen without a read-modify-write. acquire, acq_rel: what the other
     * holders have read and written comes first. */
    if (evb__ld_acq(&message->refs) == 1 || evb__sub_acqrel(&message->refs, 1) == 1) free_message(message);
}

void evb__message_drop(struct evb__message *message)
{
    free_message(message);
}

/* ---- loans ---- */

#define LOAN_PAYLOAD (FULL_HEAD + sizeof(struct loan_mark))

static struct loan_mark *mark_of(const void *data)
{
    return (struct loan_mark *)(void *)((char *)(uintptr_t)data - sizeof(struct loan_mark));
}

/* Of this address and this bus only. Never 0, which is no mark. */
static uint64_t mark_word(const evb_bus *bus, const void *data)
{
    return evb__mix(bus->seed ^ (uintptr_t)data, EVB__HASH_K1 ^ (uintptr_t)bus) | 1;
}

struct evb__message *evb__loan_new(const evb_bus *bus, size_t size, void **ret_data)
{
    size_t block = LOAN_PAYLOAD + size;
    struct evb__message *m;
    uint8_t kind;
    char *data;

    if (block < size) return NULL;
    m = evb__block_alloc(block, block, &kind);
    if (m == NULL) return NULL;
    data = (char *)m + LOAN_PAYLOAD;
    begin(m, kind, block);
    evb__init(&m->refs, 1);
    *mark_of(data) = (struct loan_mark){mark_word(bus, data), size};
    *ret_data = data;
    return m;
}

struct evb__message *evb__loan_of(const evb_bus *bus, void *data, size_t *ret_size)
{
    const struct loan_mark *mark;

    if (((uintptr_t)data & (EVB__ALIGN_MIN - 1)) != 0) return NULL;
    mark = mark_of(data);
    if (mark->word != mark_word(bus, data)) return NULL;
    *ret_size = (size_t)mark->size;
    return (struct evb__message *)(void *)((char *)data - LOAN_PAYLOAD);
}

void evb__loan_again(const evb_bus *bus, struct evb__message *message)
{
    struct evb__message_more *more = more_of(message);
    char *data = (char *)message + LOAN_PAYLOAD;

    free_aside(more); /* every loan that has become a message has one */
    more->aside = NULL;
    more->aside_size = 0;
    more->deliveries = &message->first;
    evb__init(&message->refs, 1);
    mark_of(data)->word = mark_word(bus, data);
}

void evb__loan_take(struct evb__message *loan)
{
    mark_of((char *)loan + LOAN_PAYLOAD)->word = 0;
}
