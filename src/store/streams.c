/* SPDX-License-Identifier: MIT */
/* The table of streams. */
#include "store/streams.h"

#include <evbus/base.h>
#include <string.h>
#include "base/alloc.h"
#include "base/hash.h"
#include "base/platform.h"
#include "base/rng.h"

#define BUCKETS_FIRST 64u
#define NUMBERS_FIRST 64u
#define NUMBER_MAX    (UINT32_C(1) << 28) /* streams; the table of numbers stays below 2 GiB */

int32_t evb__streams_init(struct evb__streams *streams)
{
    memset(streams, 0, sizeof *streams);
    streams->seed = evb__rng_seed_random();
    streams->buckets = evb__zalloc(BUCKETS_FIRST * sizeof *streams->buckets, EVB__ALIGN_MIN);
    streams->numbers = evb__zalloc(NUMBERS_FIRST * sizeof *streams->numbers, EVB__ALIGN_MIN);
    streams->bucket_count = BUCKETS_FIRST;
    streams->room = NUMBERS_FIRST;
    streams->next_number = 1;
    return streams->buckets != NULL && streams->numbers != NULL ? EVB_OK : EVB_ENOMEM;
}

static size_t stream_bytes(const struct evb__stream *stream)
{
    return sizeof *stream + stream->name_size + 1u;
}

void evb__streams_free(struct evb__streams *streams)
{
    for (uint32_t i = 1; i < streams->next_number && streams->numbers != NULL; i++) {
        struct evb__stream *stream = streams->numbers[i];

        if (stream == NULL) continue;
        evb__free(stream->places, stream->room * sizeof *stream->places);
        evb__free(stream, stream_bytes(stream));
    }
    evb__free(streams->buckets, streams->bucket_count * sizeof *streams->buckets);
    evb__free(streams->numbers, streams->room * sizeof *streams->numbers);
    streams->buckets = streams->numbers = NULL;
}

struct evb__stream *evb__stream_find(const struct evb__streams *streams, const char *name, size_t size)
{
    uint64_t hash = evb__hash(name, size, streams->seed);
    struct evb__stream *stream = streams->buckets[hash & (streams->bucket_count - 1)];

    while (stream != NULL &&
           (stream->hash != hash || stream->name_size != size || memcmp(stream->name, name, size) != 0))
        stream = stream->next;
    return stream;
}

struct evb__stream *evb__stream_by_number(const struct evb__streams *streams, uint32_t number)
{
    return number < streams->next_number ? streams->numbers[number] : NULL;
}

/* A larger table. Without memory the old one does, with longer chains. */
static void grow_buckets(struct evb__streams *streams)
{
    uint32_t count = streams->bucket_count * 2;
    struct evb__stream **buckets = evb__zalloc(count * sizeof *buckets, EVB__ALIGN_MIN);

    if (buckets == NULL) return;
    for (uint32_t i = 0; i < streams->bucket_count; i++) {
        struct evb__stream *stream = streams->buckets[i], *next;

        for (; stream != NULL; stream = next) {
            next = stream->next;
            stream->next = buckets[stream->hash & (count - 1)];
            buckets[stream->hash & (count - 1)] = stream;
        }
    }
    evb__free(streams->buckets, streams->bucket_count * sizeof *buckets);
    streams->buckets = buckets;
    streams->bucket_count = count;
}

static int32_t room_for_number(struct evb__streams *streams, uint32_t number)
{
    uint32_t room = streams->room;
    struct evb__stream **numbers;

    if (number < room) return EVB_OK;
    while (room <= number)
        room *= 2;
    numbers = evb__zalloc(room * sizeof *numbers, EVB__ALIGN_MIN);
    if (numbers == NULL) return EVB_ENOMEM;
    memcpy(numbers, streams->numbers, streams->next_number * sizeof *numbers);
    evb__free(streams->numbers, streams->room * sizeof *numbers);
    streams->numbers = numbers;
    streams->room = room;
    return EVB_OK;
}

int32_t evb__stream_add(struct evb__streams *streams, const char *name, size_t size, uint32_t number,
                        struct evb__stream **ret_stream)
{
    uint32_t n = number != 0 ? number : streams->next_number;
    struct evb__stream *stream;

    if (n >= NUMBER_MAX) return number != 0 ? EVB_ECORRUPT : EVB_ENOMEM;
    if (evb__stream_by_number(streams, n) != NULL || evb__stream_find(streams, name, size) != NULL)
        return EVB_ECORRUPT;
    if (room_for_number(streams, n) != EVB_OK) return EVB_ENOMEM;
    stream = evb__zalloc(sizeof *stream + size + 1, EVB__ALIGN_MIN);
    if (stream == NULL) return EVB_ENOMEM;
    if (streams->count >= streams->bucket_count) grow_buckets(streams);
    stream->hash = evb__hash(name, size, streams->seed);
    stream->number = n;
    stream->name_size = (uint16_t)size;
    memcpy(stream->name, name, size);
    stream->next = streams->buckets[stream->hash & (streams->bucket_count - 1)];
    streams->buckets[stream->hash & (streams->bucket_count - 1)] = stream;
    streams->numbers[n] = stream;
    streams->count++;
    if (n >= streams->next_number) streams->next_number = n + 1;
    *ret_stream = stream;
    return EVB_OK;
}

int32_t evb__stream_reserve(struct evb__stream *stream, uint32_t more)
{
    uint32_t used = stream->count - stream->first, room = stream->room;
    uint64_t *places;

    if (room - stream->count >= more) return EVB_OK;
    /* What has been trimmed in front gives room only when it is most of it: else every append would
     * move all.
     */
    if (room - used >= more && stream->first > room / 2) {
        memmove(stream->places, stream->places + stream->first, used * sizeof *places);
        stream->count = used;
        stream->first = 0;
        return EVB_OK;
    }
    if (more > UINT32_MAX / 4 - used) return EVB_ENOMEM;
    room = room == 0 ? 4 : room;
    while (room - used < more)
        room *= 2;
    if (room == stream->room) room *= 2;
    places = evb__alloc(room * sizeof *places, EVB__ALIGN_MIN);
    if (places == NULL) return EVB_ENOMEM;
    if (used != 0) memcpy(places, stream->places + stream->first, used * sizeof *places);
    evb__free(stream->places, stream->room * sizeof *places);
    stream->places = places;
    stream->room = room;
    stream->count = used;
    stream->first = 0;
    return EVB_OK;
}

void evb__stream_place(struct evb__stream *stream, uint64_t place)
{
    evb__assert(stream->count < stream->room);
    evb__assert(stream->count == stream->first || stream->places[stream->count - 1] < place);
    stream->places[stream->count++] = place;
}

void evb__stream_back(const struct evb__stream_undo *undo)
{
    struct evb__stream *stream = undo->stream;

    stream->version = undo->version;
    stream->declared = undo->declared;
    while (stream->count > stream->first && stream->places[stream->count - 1] >= undo->place)
        stream->count--;
}

void evb__stream_trim(struct evb__stream *stream, uint32_t first_segment)
{
    while (stream->first < stream->count && EVB__PLACE_SEGMENT(stream->places[stream->first]) < first_segment)
        stream->first++;
}
