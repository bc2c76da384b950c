/* SPDX-License-Identifier: MIT */
/* Publish: one event to the queues and the listeners of its topic, all or nothing (SEMANTICS of the order of
 * operations: bus/publish.h). An emit whose topic has queues ends up here, too, inside its own announcement.
 *
 * Everything happens under one announcement, which keeps the topic, its snapshot and the sinks in it; only a
 * publish that waits for room leaves it, holding a reference of the queue it waits for and of the bus'
 * memory.
 */
#include "bus/persist.h"
#include "bus/publish.h"

#include "base/clock.h"
#include "base/hash.h"

#include <string.h>

/* ---- announcing ---- */

int32_t evb__publish_enter(struct evb__publish *p, uintptr_t hazard)
{
    if (evb__unlikely(evb__slot_depth(p->slot) >= EVB__EMIT_DEPTH)) return EVB_ERECURSION;
    p->entry = evb__reader_enter_plain(p->slot, hazard);
    p->plain = p->entry != NULL;
    if (evb__unlikely(!p->plain)) p->entry = evb__reader_enter(p->slot, hazard);
    return EVB_OK;
}

/* Finishes what was deferred: the bus may be gone. */
void evb__publish_leave(struct evb__publish *p)
{
    void *mark;

    if (evb__unlikely(!p->plain))
        mark = evb__reader_leave(p->slot, p->entry);
    else if (evb__unlikely((mark = evb__reader_leave_plain(p->slot, p->entry)) != NULL))
        mark = evb__reader_take_mark(p->entry);
    if (evb__unlikely(mark != NULL)) evb__emit_left(evb__self(), mark);
}

static int32_t target_topic(evb_topic *topic, struct evb__target *target)
{
    struct evb__snapshot *snapshot = evb__ld_acq(&topic->snapshot); /* as in emit.c */

    target->topic = topic;
    target->snapshot = snapshot;
    target->count = 0;
    if (snapshot == NULL) return EVB_OK;
    if (evb__unlikely((snapshot->flags & EVB__SNAPSHOT_CLOSED) != 0)) return EVB_ECLOSED;
    target->count = evb__ld_acq(&snapshot->count); /* as in emit.c */
    return EVB_OK;
}

/* The bus is announced in entry, which goes over to the topic's record where there is one; or everything is,
 * and entry is NULL. A bus that is not closed now stays until the announcement ends. */
int32_t evb__publish_find(const struct evb__publish *p, struct evb__slot_entry *entry, const char *name,
                          size_t length, struct evb__target *target)
{
    const evb_bus *bus = p->bus;
    struct evb__named *named;
    int32_t status;

    /* pairs with evb_bus_destroy, which then sees the announcement */
    if (evb__unlikely(evb__ld_acq(&bus->closed) != 0)) return EVB_ECLOSED;
    named = evb__names_find(&bus->names, name, length, (uint32_t)evb__hash(name, length, bus->seed));
    if (named != NULL) {
        evb_topic *topic = EVB__CONTAINER(named, evb_topic, named);

        if (entry != NULL) evb__reader_move(p->slot, entry, (uintptr_t)topic);
        return target_topic(topic, target);
    }
    status = evb__topic_split(bus->dialect, name, length, &target->tokens);
    if (status != EVB_OK) return status;
    target->topic = NULL;
    target->snapshot = NULL;
    target->count = 0;
    target->registered = evb__ld_acq(&bus->registered); /* as evb__emit_unlisted */
    return EVB_OK;
}

/* ---- the queues ---- */

int32_t evb__publish_filter(const struct evb__publish *p, const struct evb__draft *draft,
                            struct evb__takers *takers)
{
    uint32_t kept = 0;
    bool asked = false;

    /* pairs with evb_bus_destroy and evb_bus_drain */
    if (evb__bus_refuses(p->bus)) return EVB_ECLOSED;
    for (uint32_t i = 0; i < takers->count; i++) {
        struct evb__sink *sink = takers->sink[i];

        if (sink->ops->wants != NULL) {
            struct evb__origin origin = {.bus = p->bus,
                                         .headers = draft->headers,
                                         .header_count = draft->header_count,
                                         .request = draft->request};
            struct evb__view view = {.event = draft->event, .origin = &origin};

            asked = true;
            if (!sink->ops->wants(sink, &view.event)) continue;
        }
        takers->sink[kept++] = sink;
    }
    takers->count = kept;
    /* a filter may have destroyed the bus; as above */
    return asked && evb__bus_refuses(p->bus) ? EVB_ECLOSED : EVB_OK;
}

static void say_refused(const struct evb__publish *p, const struct evb__sink *sink)
{
    const char *name;
    size_t size;

    if (p->ret_refused == NULL) return;
    name = sink->ops->name(sink);
    size = strnlen(name, p->refused_cap - 1);
    memcpy(p->ret_refused, name, size);
    p->ret_refused[size] = '\0';
}

/* What a publish answers when a sink has refused and everything is undone. */
EVB__COLD int32_t evb__publish_refused(struct evb__publish *p, struct evb__sink *sink, int32_t status,
                                       size_t bytes, uint32_t n)
{
    if (status == EVB_EAGAIN && (p->flags & EVB_NOWAIT) == 0 && p->may_wait) {
        sink->ops->ref(sink); /* alive: announced */
        p->full = sink;
        p->full_bytes = bytes;
        p->full_events = n;
        return EVB__RETRY;
    }
    if (status == EVB_EAGAIN) status = (p->flags & EVB_NOWAIT) != 0 ? EVB_EFULL : EVB_EDEADLK;
    say_refused(p, sink);
    return status;
}

static void undo_all(const struct evb__takers *takers, uint32_t reserved, size_t bytes)
{
    while (reserved-- > 0)
        takers->sink[reserved]->ops->undo(takers->sink[reserved], bytes, 1);
}

/* In every sink, or in none. Those that take nothing any more are dropped. */
static int32_t reserve_all(struct evb__publish *p, struct evb__takers *takers)
{
    size_t bytes = p->draft.bytes;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < takers->count; i++) {
        struct evb__sink *sink = takers->sink[i];
        int32_t status = sink->ops->reserve(sink, bytes, 1);

        if (evb__likely(status == EVB_OK)) {
            takers->sink[kept++] = sink;
        } else if (status != EVB_ECLOSED) {
            undo_all(takers, kept, bytes);
            return evb__publish_refused(p, sink, status, bytes, 1);
        }
    }
    takers->count = kept;
    if (kept != 0 && evb__bus_refuses(p->bus)) { /* who drains has not seen the reservations */
        undo_all(takers, kept, bytes);
        return EVB_ECLOSED;
    }
    return EVB_OK;
}

static int32_t make_message(struct evb__publish *p, uint32_t queues, bool keep,
                            struct evb__message **ret_message)
{
    struct evb__message *message = evb__message_new(&p->draft, queues, keep);

    if (evb__unlikely(message == NULL)) return EVB_ENOMEM;
    /* relaxed: only the numbers matter, and that a thread's rise */
    p->draft.event.sequence = message->event.sequence = evb__add_rlx(&p->bus->sequence, 1) + 1;
    message->time_ns = evb__clock_wall_coarse();
    *ret_message = message;
    return EVB_OK;
}

/* Into the store, and its position into the message, which goes again if it is refused. */
static EVB__COLD int32_t append_message(struct evb__publish *p, struct evb__message *message,
                                        struct evb__persisted *persisted)
{
    int32_t status = evb__persist_event(p, persisted);

    if (status == EVB_OK)
        message->event.position = p->draft.event.position;
    else if (p->draft.loan != NULL)
        evb__loan_again(p->bus, message);
    else
        evb__message_drop(message);
    return status;
}

/* Of an event that its topic keeps. EVB__RETRY: somebody has come who has to get it, too. */
static EVB__COLD int32_t make_kept_message(struct evb__publish *p, uint32_t queues, bool persist,
                                           struct evb__message **ret_message,
                                           struct evb__persisted *persisted)
{
    struct evb__retained *retained = &p->bus->retained;
    const evb_event *ev = &p->draft.event;
    int32_t status;

    if (evb__retained_begin(retained, p->newcomers) != EVB_OK) {
        p->at_once = true;
        return EVB__RETRY;
    }
    status = evb__retained_reserve_locked(retained, ev->topic, ev->topic_len, ev->size == 0);
    if (status == EVB_OK) status = make_message(p, queues, true, ret_message);
    if (status == EVB_OK && persist) status = append_message(p, *ret_message, persisted);
    if (status == EVB_OK) evb__retained_keep_locked(retained, *ret_message);
    evb__retained_end(retained);
    return status;
}

/* The point of no return is behind the message and the append. */
static int32_t hand_over(struct evb__publish *p, struct evb__takers *takers, bool keep,
                         struct evb__message **ret_message, uint32_t *ret_taken)
{
    struct evb__persisted persisted = {0};
    struct evb__message *message = NULL;
    struct evb__delivery *deliveries;
    uint32_t taken = 0;
    int32_t status;

    if (evb__unlikely((p->flags & EVB_RETAIN) != 0))
        status = make_kept_message(p, takers->count, takers->persisted, &message, &persisted);
    else
        status = make_message(p, takers->count, keep, &message);
    if (evb__unlikely(takers->persisted) && (p->flags & EVB_RETAIN) == 0 && status == EVB_OK)
        status = append_message(p, message, &persisted);
    if (evb__unlikely(status != EVB_OK)) {
        undo_all(takers, takers->count, p->draft.bytes);
        return evb__persist_refused(p->bus, &persisted, status);
    }
    evb__persist_wait(p->bus, &persisted);
    deliveries = evb__message_deliveries(message);
    for (uint32_t i = 0; i < takers->count; i++)
        taken += takers->sink[i]->ops->commit(takers->sink[i], &deliveries[i]) ? 1 : 0;
    evb__persist_pass(p->bus, &persisted);
    for (uint32_t i = 0; evb__unlikely(takers->persisted) && i < takers->count; i++)
        evb__sink_report(takers->sink[i]);
    *ret_message = keep ? message : NULL;
    *ret_taken = taken;
    return EVB_OK;
}

/* Into the store and nowhere else, but perhaps to listeners. */
static EVB__COLD int32_t append_only(struct evb__publish *p)
{
    struct evb__persisted persisted;
    int32_t status = evb__persist_event(p, &persisted);

    return evb__persist_refused(p->bus, &persisted, status); /* or not: its turn is over */
}

/* ---- the listeners ---- */

static uint32_t call_entries(evb_bus *bus, const struct evb__target *target, const evb_event *event)
{
    struct evb__entry *entry = evb__snapshot_entries(target->snapshot), *end = entry + target->count;
    uint32_t called = target->count;

    for (; entry < end; entry++) {
        evb_handler fn = evb__ld_rlx(&entry->fn); /* as in emit.c */
        int32_t answer;

        if (fn == evb__sink_listener || fn == evb__dead_listener) {
            called--;
            continue;
        }
        answer = fn(event, EVB__PLAIN_READ(entry->user));
        if (evb__unlikely(answer != 0)) called -= evb__odd_answer(bus, event, answer);
    }
    return called;
}

/* Announced for the target; message: NULL, or kept by the caller. */
uint32_t evb__publish_tell(struct evb__publish *p, const struct evb__draft *draft,
                           const struct evb__target *target, struct evb__message *message)
{
    struct evb__origin origin = {.bus = p->bus,
                                 .message = message,
                                 .headers = draft->headers,
                                 .header_count = draft->header_count,
                                 .request = draft->request};
    struct evb__view view = {.event = draft->event, .origin = &origin};

    if (target->topic != NULL)
        return target->snapshot != NULL ? call_entries(p->bus, target, &view.event) : 0;
    return (uint32_t)evb__emit_unlisted(p->bus, p->slot, p->entry, &target->tokens, &view.event,
                                        target->registered);
}

/* An event that no queue was offered. Relaxed: statistics. */
void evb__publish_count(struct evb__publish *p, uint32_t reached)
{
    if (p->counted) (void)evb__add_rlx(reached != 0 ? &p->bus->published : &p->bus->unroutable, 1);
}

/* A loan that no queue has made a message of is over when it has been published. */
static uint32_t tell(struct evb__publish *p, const struct evb__target *target, struct evb__message *message,
                     bool offered, bool listeners)
{
    struct evb__message *loan = offered ? NULL : p->draft.loan;
    uint32_t called = 0;

    if (loan != NULL) evb__loan_take(loan);
    if (listeners) called = evb__publish_tell(p, &p->draft, target, message);
    if (loan != NULL) evb__message_unref(loan);
    if (message != NULL) evb__message_unref(message);
    return called;
}

/* ---- one queue and nothing else ---- */

/* An event for a topic with one queue, which has no filter, and no listener: attempt, with everything left
 * out that is not needed then. draft: what it is made of, and gets its sequence; NULL: of data, size and the
 * topic alone. EVB__RETRY: not done, take the long way; with what the queue has answered, or EVB_OK: it was
 * not asked. */
EVB__INLINE int32_t hand_to_one(evb_bus *bus, const struct evb__target *target, struct evb__draft *draft,
                                const void *data, size_t size, int32_t *ret_refused)
{
    size_t bytes = draft != NULL ? draft->bytes : size;
    struct evb__entry *entry = (struct evb__entry *)(void *)(target->snapshot + 1);
    struct evb__message *message;
    struct evb__sink *sink;
    bool refuses;

    if (target->count != 1 || evb__ld_rlx(&entry->fn) != evb__sink_listener)
        return EVB__RETRY; /* as in emit.c */
    sink = EVB__PLAIN_READ(entry->user);
    if (sink->ops->wants != NULL) return EVB__RETRY;
    *ret_refused = sink->ops->reserve(sink, bytes, 1);
    if (evb__unlikely(*ret_refused != EVB_OK)) return EVB__RETRY;
    refuses = evb__bus_refuses(bus); /* as in reserve */
    message = refuses         ? NULL
              : draft != NULL ? evb__message_new(draft, 1, false)
                              : evb__message_plain(target->topic, data, size);
    if (evb__unlikely(message == NULL)) {
        sink->ops->undo(sink, bytes, 1);
        return refuses ? EVB_ECLOSED : EVB_ENOMEM;
    }
    message->event.sequence = evb__add_rlx(&bus->sequence, 1) + 1; /* as in hand_over */
    if (draft != NULL) draft->event.sequence = message->event.sequence;
    message->time_ns = evb__clock_wall_coarse();
    return sink->ops->commit(sink, &message->first) ? 1 : 0;
}

/* ---- duplicates ---- */

#define DUPLICATE (INT32_MIN + 1) /* no status and no count, as EVB__RETRY */

/* EVB_OK: nobody has published this id, and nobody else will while we try. */
static EVB__COLD int32_t claim_id(struct evb__publish *p)
{
    uint64_t sequence;
    int32_t status;

    if (p->claim != NULL) return EVB_OK; /* has waited for room with it */
    status = evb__dedup_claim(&p->bus->dedup, p->dedup_id, p->dedup_size, &p->claim, &sequence);
    if (status == EVB_EEXIST) {
        p->draft.event.sequence = sequence;
        return DUPLICATE;
    }
    if (status != EVB_EAGAIN || (p->flags & EVB_NOWAIT) != 0 || !p->may_wait) return status;
    p->full = NULL;
    return EVB__RETRY;
}

/* A claim that is still held keeps its bus' memory, announced or counted. */
static void give_claim_up(struct evb__publish *p)
{
    if (evb__likely(p->claim == NULL)) return;
    evb__dedup_abandon(&p->bus->dedup, p->claim);
    p->claim = NULL;
}

static void say_sequence(const struct evb__publish *p)
{
    if (p->ret_sequence != NULL) *p->ret_sequence = p->draft.event.sequence;
    if (p->ret_position != NULL) *p->ret_position = p->draft.event.position;
}

static int32_t answer_duplicate(struct evb__publish *p)
{
    struct evb__message *loan = p->draft.loan;

    say_sequence(p);
    if (loan != NULL) {
        evb__loan_take(loan);
        evb__message_unref(loan);
    }
    return 0;
}

/* From here on the publish cannot fail, and the listeners may publish the same id. */
static EVB__COLD void remember_id(struct evb__publish *p)
{
    evb__dedup_done(&p->bus->dedup, p->claim, p->draft.event.sequence);
    p->claim = NULL;
}

/* ---- once through ---- */

static int32_t attempt(struct evb__publish *p, const struct evb__target *target)
{
    struct evb__message *message = NULL;
    struct evb__takers takers;
    uint32_t taken = 0, reached;
    bool retains = (p->flags & EVB_RETAIN) != 0, offered, listeners;
    int32_t status;

    evb__takers_init(&takers);
    p->draft.event.sequence = p->draft.event.position = 0;
    status = evb__takers_gather(&takers, p->bus, target);
    if (evb__unlikely(p->stream != NULL || (p->flags & EVB_DURABLE) != 0)) takers.persisted = true;
    listeners = takers.listeners && p->draft.delay_ns == 0;
    if (status == EVB_OK && takers.count != 0) status = evb__publish_filter(p, &p->draft, &takers);
    if (evb__unlikely(p->dedup_id != NULL) && status == EVB_OK) status = claim_id(p);
    if (status == EVB_OK) status = reserve_all(p, &takers);
    offered = takers.count != 0 || retains; /* there will be a message */
    if (status == EVB_OK && takers.count == 0 && (p->flags & EVB_MANDATORY) != 0 &&
        !(listeners && evb__target_listens(p->bus, target))) {
        evb__publish_count(p, 0);
        status = EVB_ENOROUTE;
    }
    if (status == EVB_OK && offered)
        status = hand_over(p, &takers, listeners || retains, &message, &taken);
    else if (status == EVB_OK && takers.persisted)
        status = append_only(p);
    evb__takers_free(&takers);
    if (evb__unlikely(status == DUPLICATE)) return answer_duplicate(p);
    if (status != EVB_OK) return status;

    say_sequence(p);
    if (evb__unlikely(p->claim != NULL)) remember_id(p);
    reached = taken + tell(p, target, message, offered, listeners);
    if (!offered) evb__publish_count(p, reached);
    return (int32_t)reached;
}

/* ---- waiting for room ---- */

/* Not announced; the bus' memory is there. */
static int32_t wait_until_it_may_work(struct evb__publish *p)
{
    struct evb__sink *sink = p->full;
    int32_t status;

    if (p->at_once) {
        p->at_once = false;
        return EVB_OK;
    }
    if (sink == NULL)
        return evb__dedup_wait(&p->bus->dedup, p->dedup_id, p->dedup_size, p->deadline_ns, &p->bus->draining);
    status = sink->ops->wait(sink, p->full_bytes, p->full_events, p->deadline_ns);
    if (status == EVB_ETIMEDOUT) say_refused(p, sink);
    sink->ops->unref(sink);
    return status == EVB_ECLOSED ? EVB_OK : status; /* it is not among those that match any more */
}

/* EVB_OK: announced again as hazard, and the bus is there. Else the bus may have ended meanwhile. */
int32_t evb__publish_wait(struct evb__publish *p, uintptr_t hazard)
{
    evb_bus *bus = p->bus;
    int32_t status;
    void *mark;

    if (p->deadline_ns == 0) p->deadline_ns = evb__deadline(p->timeout_ns);
    (void)evb__add_rlx(&bus->refs, 1); /* its owner's is still there: this call is under way */
    mark = evb__reader_leave(p->slot, p->entry);
    if (mark != NULL) evb__emit_left(evb__self(), mark);
    status = wait_until_it_may_work(p);
    (void)evb__reader_enter(p->slot, hazard); /* the same entry: no callback is under way */
    /* pairs with evb_bus_destroy, which sees the announcement if this does not see that it has closed */
    if (status == EVB_OK && evb__ld_acq(&bus->closed) != 0) status = EVB_ECLOSED;
    if (status != EVB_OK) give_claim_up(p); /* while its bus is surely there */
    if (status == EVB_OK) p->newcomers = evb__retained_newcomers(&bus->retained);
    evb__bus_unref(bus);
    return status;
}

/* The name is copied: the record it may come from is not announced while this waits. */
static EVB__COLD int32_t try_again(struct evb__publish *p)
{
    size_t length = p->draft.event.topic_len;
    char name[EVB__NAME_MAX + 1];
    struct evb__target target;
    int32_t status;

    memcpy(name, p->draft.event.topic, length);
    name[length] = '\0';
    p->draft.event.topic = name;
    do { /* ends: room, an error, or the deadline */
        status = evb__publish_wait(p, evb__bus_hazard(p->bus));
        if (status == EVB_OK) status = evb__publish_find(p, p->entry, name, length, &target);
        if (status == EVB_OK) status = attempt(p, &target);
    } while (status == EVB__RETRY);
    return status;
}

/* Announced. After a negative answer the bus may be gone. */
static int32_t run(struct evb__publish *p, const struct evb__target *target)
{
    int32_t status = attempt(p, target);

    if (evb__unlikely(status == EVB__RETRY)) status = try_again(p);
    if (evb__unlikely(status < 0)) give_claim_up(p);
    return status;
}

/* After hand_to_one: its queue, if it was asked, is not asked again. */
static int32_t run_the_long_way(struct evb__publish *p, const struct evb__target *target, int32_t refused)
{
    struct evb__sink *sink;
    int32_t status;

    if (refused == EVB_OK || refused == EVB_ECLOSED || evb__bus_refuses(p->bus)) return run(p, target);
    sink = EVB__PLAIN_READ(evb__snapshot_entries(target->snapshot)->user); /* still announced */
    status = evb__publish_refused(p, sink, refused, p->draft.bytes, 1);
    return status == EVB__RETRY ? try_again(p) : status;
}

/* ---- emits ---- */

static void begin_emit(struct evb__publish *p, evb_bus *bus, struct evb__slot *slot,
                       struct evb__slot_entry *entry, const void *data, size_t size)
{
    /* An emit that is not nested has the first entry, unless a hook emits, which has been refused. */
    *p = (struct evb__publish){.bus = bus,
                               .slot = slot,
                               .entry = entry,
                               .may_wait = entry == slot->entry && evb__self()->callbacks == 0,
                               .timeout_ns = EVB_FOREVER,
                               .draft = {.event = {.data = data, .size = size}, .bytes = size}};
}

/* Apart from evb__emit_special, which then needs no room for all that. */
static EVB__NOINLINE int32_t emit_the_long_way(struct evb__slot *slot, struct evb__slot_entry *entry,
                                               const struct evb__target *target, const void *data,
                                               size_t size, int32_t refused, bool counted)
{
    evb_topic *topic = target->topic;
    struct evb__publish p;

    begin_emit(&p, topic->bus, slot, entry, data, size);
    p.counted = counted;
    p.draft.event.topic = topic->name;
    p.draft.event.topic_len = topic->named.size;
    return run_the_long_way(&p, target, refused);
}

EVB__NOINLINE int32_t evb__emit_special(struct evb__slot *slot, struct evb__slot_entry *entry,
                                        evb_topic *topic, struct evb__snapshot *snapshot, const void *data,
                                        size_t size)
{
    struct evb__target target;
    int32_t refused = EVB_OK, status;

    if (evb__unlikely((snapshot->flags & EVB__SNAPSHOT_CLOSED) != 0)) return EVB_ECLOSED;
    target.topic = topic;
    target.snapshot = snapshot;
    target.count = evb__ld_acq(&snapshot->count); /* as in emit.c */
    status = hand_to_one(topic->bus, &target, NULL, data, size, &refused);
    return evb__likely(status != EVB__RETRY)
               ? status
               : emit_the_long_way(slot, entry, &target, data, size, refused, false);
}

EVB__NOINLINE int32_t evb__emit_special_unlisted(evb_bus *bus, struct evb__slot *slot,
                                                 struct evb__slot_entry *entry,
                                                 const struct evb__tokens *tokens, const void *data,
                                                 size_t size)
{
    struct evb__target target = {.tokens = *tokens};
    struct evb__publish p;

    target.registered = evb__ld_acq(&bus->registered); /* as evb__emit_unlisted */
    begin_emit(&p, bus, slot, entry, data, size);
    p.draft.event.topic = tokens->name;
    p.draft.event.topic_len = tokens->size;
    return run(&p, &target);
}

/* ---- the calls ---- */

static int32_t refuse_publish(const evb_bus *bus)
{
    return evb__bus_refuses(bus) ? EVB_ECLOSED : EVB_OK; /* pairs with destroy and drain */
}

/* Announced, without options. */
static int32_t run_quick(struct evb__publish *p, const struct evb__target *target, bool plain)
{
    int32_t refused = EVB_OK, status = EVB__RETRY;

    if (target->snapshot != NULL && p->dedup_id == NULL && p->draft.loan == NULL && p->stream == NULL &&
        (p->flags & (EVB_RETAIN | EVB_DURABLE)) == 0)
        status = plain ? hand_to_one(p->bus, target, NULL, p->draft.event.data, p->draft.event.size, &refused)
                       : hand_to_one(p->bus, target, &p->draft, NULL, 0, &refused);
    if (status == EVB__RETRY) return run_the_long_way(p, target, refused);
    if (status >= 0) say_sequence(p);
    return status;
}

/* Without options, to a topic that has one queue and no listener: EVB__RETRY when that is not all there is to
 * it, and nothing has happened. */
static int32_t publish_at_once(evb_topic *topic, const void *data, size_t size)
{
    const struct evb__self *self = evb__self();
    const evb_bus *bus = topic->bus;
    struct evb__slot_entry *entry;
    struct evb__target target;
    int32_t status = EVB__RETRY, refused = EVB_OK;
    void *mark;

    if (self->generation != bus->generation || size > bus->max_payload || (data == NULL && size != 0))
        return EVB__RETRY;
    entry = evb__reader_enter_plain(self->slot, (uintptr_t)topic);
    if (entry == NULL) return EVB__RETRY;
    if (target_topic(topic, &target) == EVB_OK && target.snapshot != NULL)
        status = hand_to_one(topic->bus, &target, NULL, data, size, &refused);
    if (evb__unlikely(status == EVB__RETRY && refused != EVB_OK))
        status = emit_the_long_way(self->slot, entry, &target, data, size, refused, true);
    mark = evb__reader_leave_plain(self->slot, entry);
    if (evb__unlikely(mark != NULL)) {
        mark = evb__reader_take_mark(entry);
        if (mark != NULL) evb__emit_left(evb__self(), mark);
    }
    return status;
}

int32_t evb_topic_publish(evb_topic *topic, const void *data, size_t size, const evb_publish_opts *opts)
{
    struct evb__target target;
    struct evb__publish p;
    int32_t status;

    if (topic == NULL) return EVB_EINVAL;
    if (opts == NULL) {
        status = publish_at_once(topic, data, size);
        if (evb__likely(status != EVB__RETRY)) return status;
    }
    status = evb__publish_check(&p, topic->bus, opts, false);
    if (status == EVB_OK)
        status = evb__publish_check_event(&p.draft, p.bus, topic->name, topic->named.size, data, size);
    if (status == EVB_OK) status = refuse_publish(p.bus);
    if (status == EVB_OK) status = evb__publish_enter(&p, (uintptr_t)topic);
    if (status != EVB_OK) return status;
    status = target_topic(topic, &target);
    if (status == EVB_OK) status = run_quick(&p, &target, false);
    evb__publish_leave(&p);
    return status;
}

static int32_t take_loan(struct evb__publish *p, void *data, size_t size)
{
    size_t lent;

    p->draft.loan = evb__loan_of(p->bus, data, &lent);
    return p->draft.loan != NULL && size <= lent ? EVB_OK : EVB_EINVAL;
}

/* Checked so far. plain: without options. */
EVB__INLINE int32_t publish_by_name(struct evb__publish *p, const char *topic, void *data, size_t size,
                                    bool loan, bool plain)
{
    size_t length = strnlen(topic, EVB__NAME_MAX + 1);
    struct evb__target target;
    int32_t status = EVB_OK;

    if (length > EVB__NAME_MAX || (unsigned char)topic[0] == p->bus->reserved_first) return EVB_EINVAL;
    if (loan) status = take_loan(p, data, size);
    if (status == EVB_OK) status = evb__publish_check_event(&p->draft, p->bus, topic, length, data, size);
    if (status == EVB_OK) status = refuse_publish(p->bus);
    if (status == EVB_OK) status = evb__publish_enter(p, evb__bus_hazard(p->bus));
    if (status != EVB_OK) return status;
    status = evb__publish_find(p, p->entry, topic, length, &target);
    if (status == EVB_OK) status = run_quick(p, &target, plain && !loan);
    evb__publish_leave(p);
    return status;
}

int32_t evb__publish_named(evb_bus *bus, const char *topic, void *data, size_t size,
                           const evb_publish_opts *opts, bool loan)
{
    struct evb__publish p;
    int32_t status;

    if (topic == NULL) return EVB_EINVAL;
    status = evb__publish_check(&p, bus, opts, false);
    return status == EVB_OK ? publish_by_name(&p, topic, data, size, loan, opts == NULL) : status;
}

int32_t evb__publish_request(evb_bus *bus, const char *topic, const void *data, size_t size, uint64_t number,
                             int64_t deadline_ns)
{
    struct evb__publish p;
    int32_t status = evb__publish_check(&p, bus, NULL, false);

    if (status != EVB_OK) return status;
    p.draft.event.flags = EVB_EVENT_REQUEST;
    p.draft.request = number;
    p.deadline_ns = deadline_ns;
    return publish_by_name(&p, topic, (void *)(uintptr_t)data, size, false, false);
}

int32_t evb_publish(evb_bus *bus, const char *topic, const void *data, size_t size,
                    const evb_publish_opts *opts)
{
    return evb__publish_named(bus, topic, (void *)(uintptr_t)data, size, opts, false);
}
