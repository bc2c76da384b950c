/* SPDX-License-Identifier: MIT */
/* The law, and copies that must be equal. */
#include "queue_law.h"

#include <inttypes.h>
#include <string.h>

#include "evb_test.h"

uint64_t queue_held(const evb_queue_stats *s)
{
    return s->ready + s->delayed + s->in_flight;
}

void queue_law_of(const evb_queue_stats *s, const char *file, int line)
{
    uint64_t gone =
        s->acked + s->dead_lettered + s->expired + s->dropped + s->conflated + s->purged + s->discarded;

    if (s->enqueued != gone + queue_held(s)) {
        evb_test_fail(file, line,
                      "the law is broken: enqueued %" PRIu64 " is not acked %" PRIu64
                      " + dead_lettered %" PRIu64 " + expired %" PRIu64 " + dropped %" PRIu64
                      " + conflated %" PRIu64 " + purged %" PRIu64 " + discarded %" PRIu64 " + ready %" PRIu64
                      " + delayed %" PRIu64 " + in_flight %" PRIu64,
                      s->enqueued, s->acked, s->dead_lettered, s->expired, s->dropped, s->conflated,
                      s->purged, s->discarded, s->ready, s->delayed, s->in_flight);
    }
    evb_test_check(queue_held(s) <= s->capacity, "ready + delayed + in_flight <= capacity", file, line);
    evb_test_check(s->redelivered <= s->delivered, "redelivered <= delivered", file, line);
    evb_test_check(s->acked <= s->delivered, "acked <= delivered", file, line);
    evb_test_check(s->in_flight <= s->delivered, "in_flight <= delivered", file, line);
}

evb_queue_stats queue_law_at(evb_sub *sub, const char *file, int line)
{
    evb_queue_stats s;

    memset(&s, 0, sizeof s);
    s.struct_size = sizeof s;
    evb_test_status(evb_sub_stats(sub, &s), EVB_OK, "evb_sub_stats(sub, &s)", file, line);
    queue_law_of(&s, file, line);
    return s;
}

void queue_unchanged_at(evb_sub *sub, const evb_queue_stats *before, const char *file, int line)
{
    evb_queue_stats was = *before, is = queue_law_at(sub, file, line);

    was.stale = is.stale = 0;
    was.oldest_age_ns = is.oldest_age_ns = 0; /* that changes by itself */
    evb_test_eq_mem(&is, &was, sizeof is, "the counters of the subscription", file, line);
}
