/* SPDX-License-Identifier: MIT */
/* Request and reply: a publish whose publisher waits in a place of its own until somebody answers. */
#include "bus/request.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/park.h"
#include "bus/bus.h"
#include "bus/message.h"
#include "bus/publish.h"

/* Looking around for as long as waking takes, before sleeping; as in ring/wait.c. Not in the explorer. */
#ifndef EVB__REQUEST_TURNS
#define EVB__REQUEST_TURNS 256u
#endif
#define SPIN_NS 20000

/* evb__request.state */
enum {
    UNUSED = 0,
    WAITING = 1,
    ASLEEP = 2, /* waiting, and whoever changes it has to wake */
    ANSWERED = 3,
    OVER = 4
};

#define PLACE_MASK ((UINT64_C(1) << EVB__REQUEST_PLACE_BITS) - 1)
#define EPOCH_ONE  (UINT64_C(1) << EVB__REQUEST_PLACE_BITS)

/* ---- the places ---- */

static uint32_t size_of(uint32_t chunk)
{
    return EVB__REQUEST_FIRST << chunk;
}

/* How many places the chunks before it have. */
static uint32_t first_of(uint32_t chunk)
{
    return EVB__REQUEST_FIRST * ((1u << chunk) - 1);
}

_Static_assert(EVB__REQUEST_FIRST *((1u << EVB__REQUEST_CHUNKS) - 1) <= 1u << EVB__REQUEST_PLACE_BITS,
               "every place has a number");

void evb__requests_init(struct evb__requests *rs)
{
    *rs = (struct evb__requests){.over = false};
    evb__mutex_init(&rs->lock);
}

void evb__requests_fini(struct evb__requests *rs)
{
    for (uint32_t i = 0; i < rs->chunks; i++)
        evb__free(rs->chunk[i], size_of(i) * sizeof(struct evb__request));
    evb__mutex_destroy(&rs->lock);
}

static int32_t grow_locked(struct evb__requests *rs)
{
    uint32_t size = size_of(rs->chunks), first = first_of(rs->chunks);
    struct evb__request *chunk;

    if (rs->chunks == EVB__REQUEST_CHUNKS) return EVB_ENOMEM;
    chunk = evb__zalloc(size * sizeof *chunk, EVB__CACHE_LINE);
    if (chunk == NULL) return EVB_ENOMEM;
    for (uint32_t i = size; i-- > 0;) {
        chunk[i].number = EPOCH_ONE | (first + i); /* never 0, which is no request */
        chunk[i].next = rs->free;
        rs->free = &chunk[i];
    }
    rs->chunk[rs->chunks++] = chunk;
    return EVB_OK;
}

/* NULL: nobody waits under that number any more. */
static struct evb__request *find_locked(const struct evb__requests *rs, uint64_t number)
{
    uint32_t place = (uint32_t)(number & PLACE_MASK), chunk = 0;
    struct evb__request *r;

    while (chunk < rs->chunks && place >= first_of(chunk + 1))
        chunk++;
    if (chunk == rs->chunks) return NULL;
    r = &rs->chunk[chunk][place - first_of(chunk)];
    return r->number == number ? r : NULL;
}

/* ---- waiting ---- */

int32_t evb__request_open(struct evb__requests *rs, struct evb__request **ret_request)
{
    struct evb__request *r;
    int32_t status;

    evb__mutex_lock(&rs->lock);
    status = rs->over ? EVB_ECLOSED : EVB_OK;
    if (status == EVB_OK && rs->free == NULL) status = grow_locked(rs);
    if (status == EVB_OK) {
        r = rs->free;
        rs->free = r->next;
        r->reply = NULL;
        evb__st_rlx(&r->state, WAITING); /* relaxed: under the lock, and the caller is who reads it */
        *ret_request = r;
    }
    evb__mutex_unlock(&rs->lock);
    return status;
}

static bool is_waiting(uint32_t state)
{
    return state == WAITING || state == ASLEEP;
}

static void look_around(struct evb__request *r)
{
    int64_t start = evb__clock_mono();

    for (uint32_t turn = 0; turn != EVB__REQUEST_TURNS; turn++) {
        evb__thread_yield();
        /* relaxed: a hint, the lock decides; so are those below */
        if (evb__ld_rlx(&r->state) != WAITING || evb__clock_mono() - start >= SPIN_NS) return;
    }
}

void evb__request_wait(struct evb__requests *rs, struct evb__request *r, int64_t deadline_ns)
{
    if (evb__ld_rlx(&r->state) != WAITING) return; /* answered by a listener */
    look_around(r);
    evb__mutex_lock(&rs->lock);
    if (evb__ld_rlx(&r->state) == WAITING) evb__st_rlx(&r->state, ASLEEP);
    evb__mutex_unlock(&rs->lock);
    while (evb__ld_rlx(&r->state) == ASLEEP) {
        int64_t left = evb__remaining(deadline_ns);

        if (left == 0) return;
        (void)evb__park(&r->state, ASLEEP, left);
    }
}

int32_t evb__request_close(struct evb__requests *rs, struct evb__request *r, const evb_event **ret_reply)
{
    int32_t status;

    evb__mutex_lock(&rs->lock);
    if (evb__ld_rlx(&r->state) == ANSWERED) { /* also one that has come after the time, but before this */
        status = EVB_OK;
        *ret_reply = r->reply;
    } else {
        status = evb__ld_rlx(&r->state) == OVER ? EVB_ECLOSED : EVB_ETIMEDOUT;
    }
    evb__st_rlx(&r->state, UNUSED);
    r->number += EPOCH_ONE;
    if (r->number >= EPOCH_ONE) { /* else it has begun anew: the place rests for ever */
        r->next = rs->free;
        rs->free = r;
    }
    evb__mutex_unlock(&rs->lock);
    return status;
}

int32_t evb__request_answer(struct evb__requests *rs, uint64_t number, const evb_event *reply)
{
    struct evb__request *r;
    uint32_t state = UNUSED;

    evb__mutex_lock(&rs->lock);
    r = find_locked(rs, number);
    if (r != NULL) state = evb__ld_rlx(&r->state); /* relaxed, all of them: under the lock */
    if (is_waiting(state)) {
        r->reply = reply;
        evb__st_rlx(&r->state, ANSWERED);
    } else {
        rs->late++;
    }
    evb__mutex_unlock(&rs->lock);
    if (state == ASLEEP) evb__wake_all(&r->state);
    return is_waiting(state) ? EVB_OK : EVB_ESTALE;
}

void evb__requests_end(struct evb__requests *rs)
{
    evb__mutex_lock(&rs->lock);
    rs->over = true;
    for (uint32_t chunk = 0; chunk < rs->chunks; chunk++) {
        for (uint32_t i = 0; i < size_of(chunk); i++) {
            struct evb__request *r = &rs->chunk[chunk][i];
            uint32_t state = evb__ld_rlx(&r->state);

            if (is_waiting(state)) evb__st_rlx(&r->state, OVER);
            if (state == ASLEEP) evb__wake_all(&r->state);
        }
    }
    evb__mutex_unlock(&rs->lock);
}

/* ---- the calls ---- */

static int32_t ask(evb_bus *bus, const char *topic, const void *data, size_t size, int64_t timeout_ns,
                   const evb_event **ret_reply)
{
    int64_t deadline = evb__deadline(timeout_ns);
    const evb_event *reply = NULL;
    struct evb__request *r;
    int32_t status = evb__request_open(&bus->requests, &r), reached;

    if (status != EVB_OK) return status;
    reached = evb__publish_request(bus, topic, data, size, r->number, deadline);
    if (reached > 0) evb__request_wait(&bus->requests, r, deadline);
    status = evb__request_close(&bus->requests, r, &reply);
    if (reached < 0) { /* nobody has got it; a filter that has seen it may have replied all the same */
        evb_event_release(reply);
        return reached;
    }
    if (status == EVB_OK)
        *ret_reply = reply;
    else if (reached == 0)
        status = EVB_ENORESPONDERS;
    return status;
}

int32_t evb_request(evb_bus *bus, const char *topic, const void *data, size_t size, int64_t timeout_ns,
                    const evb_event **ret_reply)
{
    int32_t status = evb__bus_enter(bus);

    if (status != EVB_OK) return status;
    if (topic == NULL || ret_reply == NULL || timeout_ns == 0 || timeout_ns < EVB_FOREVER) return EVB_EINVAL;
    if (evb__in_callback(evb__self())) return EVB_EDEADLK;
    /* Whoever destroys the bus meanwhile sends us home and does not wait for us. Relaxed: the owner's
     * is still there. */
    (void)evb__add_rlx(&bus->refs, 1);
    status = ask(bus, topic, data, size, timeout_ns, ret_reply);
    evb__bus_unref(bus);
    return status;
}

int32_t evb_reply(const evb_event *request, const void *data, size_t size)
{
    const struct evb__origin *origin;
    const evb_event *reply;
    struct evb__draft draft;
    uint64_t number;
    int32_t status;
    evb_bus *bus;

    if (request == NULL || (data == NULL && size != 0)) return EVB_EINVAL;
    origin = evb__event_origin(request);
    number = evb__origin_request(origin);
    if (number == 0) return EVB_ENOTSUP;
    bus = origin->bus;
    if (bus->generation != evb__process_generation()) return EVB_EFORKED;
    if (size > bus->max_payload) return EVB_ETOOBIG;
    draft = (struct evb__draft){
        .event = {.data = data, .size = size, .topic = request->topic, .topic_len = request->topic_len},
        .bytes = size};
    reply = evb__event_new(&draft);
    if (reply == NULL) return EVB_ENOMEM;
    status = evb__request_answer(&bus->requests, number, reply);
    if (status == EVB_OK) return EVB_OK;
    evb_event_release(reply);
    /* pairs with evb_bus_destroy; nothing follows from it but the word */
    return evb__ld_acq(&bus->closed) != 0 ? EVB_ECLOSED : status;
}
