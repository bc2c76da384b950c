/* SPDX-License-Identifier: MIT */
/* flights_store.h: what `--store DIR` and `--replay DIR` add to flights.c: every flight is an event in a
 * store before it is counted, and the table can be made from the store alone.
 *
 * A flight is a record in the stream of its airport, `airport-<ORIGIN>`, with its topic, `flight.X.Y`, and a
 * text as payload, which every machine reads alike: `DELAY,DISTANCE`. Its event id is the number of its line.
 *
 * Killed at any moment and started again: a store keeps a beginning of what was appended, in the order of
 * the appends, whatever the moment (at EVB_SYNC_OS, after a power cut, perhaps a shorter one). So the second
 * run reads file and store side by side: while the store has a next flight, it must be the one in the file,
 * which is counted and not appended again; from then on the rows are new.
 *
 * Introduces: evb_store_open, evb_store_append, evb_store_read, evb_reader_next, evb_store_sync,
 * EVB_STORE_READ_ONLY.
 */
#ifndef FLIGHTS_STORE_H
#define FLIGHTS_STORE_H

#include "flights_csv.h"

#include <evbus.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct flight_store {
    evb_store *store;   /* NULL: none */
    evb_reader *reader; /* at the next flight that is there already; NULL: there is none */
} flight_store;

enum { FLIGHT_TOPIC = sizeof "flight.XXX.XXX", FLIGHT_TEXT = sizeof "-2147483648,-2147483648" };

static const char *store_trouble(int32_t status)
{
    switch (status) {
    case EVB_EBUSY:
        return "another process writes to it; wait for its end, or take another directory";
    case EVB_ENOTFOUND:
        return "there is no store";
    case EVB_ECONFLICT:
        return "it holds the flights of another file; take another directory";
    case EVB_ECORRUPT:
        return "it is damaged; evb_store_verify says where, evb_store_salvage keeps the rest";
    default:
        return evb_strerror(status);
    }
}

/* For the rows of a file: what is there already comes first. */
static int32_t open_flights(flight_store *s, const char *dir)
{
    int32_t status = evb_store_open(dir, &(evb_store_opts){.sync = EVB_SYNC_OS}, &s->store);
    return status < 0 ? status : evb_store_read(s->store, NULL, &s->reader);
}

static void close_flights(flight_store *s)
{
    evb_reader_close(s->reader);                           /* NULL is fine */
    if (s->store != NULL) (void)evb_store_close(s->store); /* what matters has been synced */
}

/* Line numbers as 16 bytes, in the same order on every machine. */
static void id_of_line(int64_t line, unsigned char id[16])
{
    memset(id, 0, 16);
    for (int i = 0; i < 8; i++)
        id[i] = (unsigned char)((uint64_t)line >> 8 * i);
}

static bool is_this_flight(const evb_record *r, const evb_record *other)
{
    return strcmp(r->topic, other->topic) == 0 && r->size == other->size &&
           memcmp(r->data, other->data, r->size) == 0 && r->event_id != NULL &&
           memcmp(r->event_id, other->event_id, 16) == 0;
}

/* Appends the flight in this line, or finds it. EVB_ECONFLICT: something else stands in its place. */
static int32_t store_flight(flight_store *s, const flight *f, int64_t line)
{
    char stream[sizeof "airport-XXX"], topic[FLIGHT_TOPIC], text[FLIGHT_TEXT];
    unsigned char id[16];
    evb_record record = {.topic = topic, .data = text, .event_id = id}, next;

    snprintf(stream, sizeof stream, "airport-%.3s", f->origin);
    snprintf(topic, sizeof topic, "flight.%.3s.%.3s", f->origin, f->destination);
    record.size = (size_t)snprintf(text, sizeof text, "%" PRId32 ",%" PRId32, f->delay_min, f->distance_mi);
    id_of_line(line, id);
    if (s->reader != NULL) {
        int32_t status = evb_reader_next(s->reader, 0, &next);
        if (status == EVB_OK) return is_this_flight(&next, &record) ? EVB_OK : EVB_ECONFLICT;
        if (status != EVB_EEMPTY) return status;
        evb_reader_close(s->reader);
        s->reader = NULL;
    }
    return evb_store_append(s->store, stream, EVB_ANY_VERSION, &record, 1, NULL);
}

/* After the last row: all of them are on the disk, and nothing else is in the store. */
static int32_t finish_store(flight_store *s)
{
    evb_record next;
    if (s->reader != NULL) {
        int32_t status = evb_reader_next(s->reader, 0, &next);
        if (status == EVB_OK) return EVB_ECONFLICT;
        if (status != EVB_EEMPTY) return status;
    }
    return evb_store_sync(s->store);
}

/* ---- from the store alone ---- */

/* Beside a writer, too. */
static int32_t open_replay(flight_store *s, const char *dir)
{
    int32_t status = evb_store_open(dir, &(evb_store_opts){.flags = EVB_STORE_READ_ONLY}, &s->store);
    return status < 0 ? status : evb_store_read(s->store, NULL, &s->reader);
}

/* EVB_OK: *ret is the next one. EVB_EEMPTY: that was all. EVB_EINVAL: not a flight. */
static int32_t next_flight(flight_store *s, flight *ret)
{
    char text[FLIGHT_TEXT];
    evb_record r;
    int end = -1;
    int32_t status = evb_reader_next(s->reader, 0, &r);
    if (status != EVB_OK) return status;
    if (strlen(r.topic) != FLIGHT_TOPIC - 1 || strncmp(r.topic, "flight.", 7) != 0 || r.size == 0 ||
        r.size >= sizeof text)
        return EVB_EINVAL;
    memcpy(text, r.data, r.size);
    text[r.size] = '\0';
    memcpy(ret->origin, r.topic + 7, CODE_LEN);
    memcpy(ret->destination, r.topic + 11, CODE_LEN);
    if (!is_code(ret->origin, CODE_LEN) || r.topic[10] != '.' || !is_code(ret->destination, CODE_LEN))
        return EVB_EINVAL;
    if (sscanf(text, "%" SCNd32 ",%" SCNd32 "%n", &ret->delay_min, &ret->distance_mi, &end) != 2)
        return EVB_EINVAL;
    return end == (int)r.size ? EVB_OK : EVB_EINVAL;
}

#endif
