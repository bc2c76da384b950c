/* SPDX-License-Identifier: MIT */
/* The reader slots of src/base/reader.{h,c} as a unit: emits that read an object against writers that take it
 * away and free it.
 *
 * The object is reached through `published`, read as plain data while its topic is announced, and freed by
 * whoever finds last that nobody is in the way: the writer, or the emit that it has marked. Freed too early
 * is a use after free or a race; marked and never served is an object left over in finish.
 */
#include <evbus/base.h>
#include "base/alloc.h"
#include "base/atomic.h"
#include "base/park.h"
#include "base/reader.h"
#include "base/thread.h"
#include "explore.h"

enum { TOPICS = 3, GARBAGE_MOST = 4, VALUE = 77 };

struct object {
    int value;
};

/* A topic: what is announced is its address. */
static struct topic {
    EVB__ATOMIC(struct object *) published;
} topics[TOPICS];

/* Under the readers' lock. */
static struct {
    struct object *object;
    struct topic *topic;
    uint64_t ticket;
    bool urgent; /* somebody waits for it: emits in its way are marked */
} garbage[GARBAGE_MOST];
static uint32_t marks_put, marks_taken_back, services, freed;

static struct evb__self selves[EXPLORE_THREADS];
static int marker; /* its address is the mark */

static uintptr_t hazard_of(const struct topic *topic)
{
    return (uintptr_t)topic;
}

/* ---- the writer's side ---- */

static bool covers(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg)
{
    (void)slot;
    (void)entry;
    return hazard == EVB__HAZARD_ALL || hazard == hazard_of(arg);
}

/* Marks those in the way of one object until all that are left will find their mark. Answers whether marks
 * were taken back: they may have been another object's, and what they stood for is now ours to do. */
static bool mark_locked(const struct evb__readers_query *query)
{
    bool refused = false;
    uint32_t put, taken = 0;

    while ((put = evb__readers_mark(query, &marker, &refused)) != 0) {
        marks_put += put;
        evb__readers_settle();
        taken += evb__readers_unmark(&marker);
    }
    explore_check(!refused, "one marker: no entry can be taken by another");
    marks_taken_back += taken;
    return taken != 0;
}

/* Frees what nobody is in the way of. With marking, those in the way are told, and looked at again. */
static void sweep_locked(bool marking)
{
    for (uint32_t i = 0; i < GARBAGE_MOST; i++) {
        struct evb__readers_query query = {covers, garbage[i].topic, garbage[i].ticket};
        bool again = false;

        if (garbage[i].object == NULL) continue;
        if (marking && garbage[i].urgent && evb__readers_blocked(&query)) {
            explore_cover("writer was blocked");
            again = mark_locked(&query);
        }
        if (!evb__readers_blocked(&query)) {
            evb__free(garbage[i].object, sizeof(struct object));
            garbage[i].object = NULL;
            freed++;
        }
        if (again) i = UINT32_MAX; /* from the start */
    }
}

/* A mark was found: somebody's object may be free now. */
static void serve(void *mark)
{
    explore_check(mark == &marker, "a mark nobody put");
    explore_cover("emit served its mark");
    evb__readers_lock();
    services++;
    sweep_locked(false);
    evb__readers_unlock();
}

static void retire_locked(struct topic *topic, struct object *object, uint64_t ticket, bool urgent)
{
    for (uint32_t i = 0; i < GARBAGE_MOST; i++) {
        if (garbage[i].object != NULL) continue;
        garbage[i].object = object;
        garbage[i].topic = topic;
        garbage[i].ticket = ticket;
        garbage[i].urgent = urgent;
        return;
    }
    explore_check(false, "too much garbage");
}

/* Unpublishes the object of the topic and frees it, or leaves it to the emit in the way. */
static void take_away_as(struct topic *topic, bool urgent)
{
    struct object *object;

    evb__readers_lock();
    object = evb__ld_rlx(&topic->published); /* one writer at a time */
    if (object != NULL) {
        uint32_t before = freed;

        evb__st_rel(&topic->published, NULL); /* as snapshot.c publishes */
        retire_locked(topic, object, evb__readers_observe(), urgent);
        sweep_locked(true);
        if (freed > before) explore_cover("writer freed at once");
    }
    evb__readers_unlock();
}

static void take_away(struct topic *topic)
{
    take_away_as(topic, true);
}

/* ---- the reader's side ---- */

static struct evb__slot *slot_of_thread(void)
{
    struct evb__self *self = evb__self();

    if (self->slot == NULL) *self = selves[explore_thread()];
    return self->slot;
}

struct emit {
    struct evb__slot_entry *entry;
    bool plain;
};

/* As in bus/emit.c: plain where the slot allows it, and left as it was entered. */
static struct emit enter(struct evb__slot *slot, uintptr_t hazard)
{
    struct emit emit = {.entry = evb__reader_enter_plain(slot, hazard), .plain = true};

    if (emit.entry == NULL) emit = (struct emit){.entry = evb__reader_enter(slot, hazard)};
    return emit;
}

static void leave(struct evb__slot *slot, struct emit emit)
{
    void *mark;

    if (!emit.plain)
        mark = evb__reader_leave(slot, emit.entry);
    else if ((mark = evb__reader_leave_plain(slot, emit.entry)) != NULL)
        mark = evb__reader_take_mark(emit.entry);
    if (mark != NULL) serve(mark);
}

static void read_object(const struct object *object)
{
    if (object == NULL) return;
    explore_cover("emit read the object");
    explore_check(EVB__PLAIN_READ(object->value) == VALUE, "not the object");
}

static void emit_on(struct topic *topic)
{
    struct evb__slot *slot = slot_of_thread();
    struct emit emit = enter(slot, hazard_of(topic));

    read_object(evb__ld_acq(&topic->published));
    leave(slot, emit);
}

/* ---- setup and finish ---- */

static void publish(struct topic *topic)
{
    struct object *object = evb__alloc(sizeof *object, EVB__ALIGN_MIN);

    EVB__PLAIN_WRITE(object->value, VALUE);
    evb__st_rel(&topic->published, object);
}

static void start(void)
{
    (void)evb__readers_init(serve, NULL); /* nothing is deferred */
    for (uint32_t i = 0; i < TOPICS; i++) {
        publish(&topics[i]);
        explore_name(&topics[i], sizeof topics[i], "topic[%u]", i);
    }
    explore_name(&marker, sizeof marker, "marker");
}

static void claim_slots(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        explore_check(evb__reader_ready(&selves[i], evb__process_generation()) == EVB_OK, "no slot");
        explore_name(selves[i].slot, sizeof *selves[i].slot, "slot[%u]", i);
    }
}

static void setup_none(void)
{
    start();
}

static void setup_one(void)
{
    start();
    claim_slots(1);
}

static void setup_two(void)
{
    start();
    claim_slots(2);
}

static uint32_t marks_standing(void)
{
    uint32_t standing = 0;

    for (uint32_t i = 0; i < EXPLORE_THREADS; i++) {
        struct evb__slot *slot = selves[i].slot;

        for (uint32_t d = 0; slot != NULL && d <= EVB__READER_DEPTHS; d++)
            standing += evb__ld_rlx(&slot->entry[d].mark) != NULL;
    }
    return standing;
}

static void finish(void)
{
    explore_check(marks_standing() == 0, "a mark is left");
    for (uint32_t i = 0; i < GARBAGE_MOST; i++)
        explore_check(garbage[i].object == NULL || !garbage[i].urgent, "lost service: garbage is left");
    sweep_locked(false);
    explore_check(marks_put == marks_taken_back + services, "each mark is served or taken back, once");
    for (uint32_t i = 0; i < TOPICS; i++) {
        struct object *object = evb__ld_rlx(&topics[i].published);

        if (object != NULL) evb__free(object, sizeof *object);
    }
}

/* ---- threads ---- */

static void emit_once(void)
{
    emit_on(&topics[0]);
}

static void emit_twice(void)
{
    emit_on(&topics[0]);
    emit_on(&topics[0]);
}

static void take_away_first(void)
{
    take_away(&topics[0]);
}

static void take_away_lazily(void)
{
    take_away_as(&topics[0], false);
}

static void take_away_second(void)
{
    take_away(&topics[1]);
}

static void replace_twice(void)
{
    take_away(&topics[0]);
    publish(&topics[0]);
    take_away(&topics[0]);
}

/* The outer emit reads its object before, between and after nested ones that end (modelcheck: one generation
 * per slot fails here). */
static void emit_nested(void)
{
    struct evb__slot *slot = slot_of_thread();
    struct emit outer = enter(slot, hazard_of(&topics[0]));
    struct object *object = evb__ld_acq(&topics[0].published);

    read_object(object);
    emit_on(&topics[1]);
    read_object(object);
    leave(slot, outer);
}

/* Deeper than the slot has depths: the last entry is shared by all further emits and names everything. */
static void emit_deep(void)
{
    struct evb__slot *slot = slot_of_thread();
    struct emit emit[EVB__READER_DEPTHS + 1];
    struct object *object;

    for (uint32_t d = 0; d < EVB__READER_DEPTHS; d++)
        emit[d] = enter(slot, hazard_of(&topics[2]));
    emit[EVB__READER_DEPTHS] = enter(slot, hazard_of(&topics[0]));
    object = evb__ld_acq(&topics[0].published);
    emit_on(&topics[1]);
    read_object(object);
    for (uint32_t d = EVB__READER_DEPTHS + 1; d-- > 0;)
        leave(slot, emit[d]);
}

/* Announces one thing while it looks up another, then goes over to that one without a gap. */
static void emit_moving(void)
{
    struct evb__slot *slot = slot_of_thread();
    struct emit emit = enter(slot, hazard_of(&topics[0]));
    struct object *object = evb__ld_acq(&topics[0].published);

    if (object != NULL) evb__reader_move(slot, emit.entry, (uintptr_t)object);
    read_object(object);
    leave(slot, emit);
}

/* An emit by name: the table is announced while the topic is looked up, then the topic, and only then its
 * object is loaded. The table protects no object, so the second announcement must be as strong as the first.
 * Nobody waits for such garbage: an emit may come to be in its way after the writer has looked. */
static void emit_by_name(void)
{
    struct evb__slot *slot = slot_of_thread();
    struct emit emit = enter(slot, hazard_of(&topics[2]));

    evb__reader_move(slot, emit.entry, hazard_of(&topics[0]));
    read_object(evb__ld_acq(&topics[0].published));
    leave(slot, emit);
}

/* The object itself and the table it is found through: both protect it. */
static bool covers_moved(uintptr_t hazard, const struct evb__slot *slot, uint32_t entry, const void *arg)
{
    (void)slot;
    (void)entry;
    return hazard == (uintptr_t)arg || hazard == hazard_of(&topics[0]);
}

static void take_away_moved(void)
{
    struct object *object;
    struct evb__readers_query query = {.covers = covers_moved};

    evb__readers_lock();
    object = evb__ld_rlx(&topics[0].published);
    query.arg = object;
    evb__st_rel(&topics[0].published, NULL);
    query.ticket = evb__readers_observe();
    while (evb__readers_blocked(&query)) {
        explore_cover("writer was blocked");
        evb__readers_unlock();
        evb__thread_yield();
        evb__readers_lock();
    }
    evb__free(object, sizeof *object);
    evb__readers_unlock();
}

/* An emit on one topic is not in the way of another topic's garbage. */
static void take_away_unhindered(void)
{
    uint32_t before;

    take_away(&topics[1]);
    evb__readers_lock();
    before = freed;
    evb__readers_unlock();
    explore_check(before == 1, "an emit on another topic was in the way");
}

/* An emit that begins after the observation is not in the way: a look after a new emit has begun finds the
 * way free. */
static EVB__ATOMIC(uint32_t) phase;

static void emit_after_observation(void)
{
    emit_on(&topics[0]);
    while (evb__ld_acq(&phase) == 0)
        evb__thread_yield();
    struct evb__slot *slot = slot_of_thread();
    struct emit emit = enter(slot, hazard_of(&topics[0]));

    evb__st_rel(&phase, 2);
    while (evb__ld_acq(&phase) != 3)
        evb__thread_yield();
    leave(slot, emit);
}

static void observe_then_look(void)
{
    struct evb__readers_query query = {covers, &topics[0], 0};
    struct object *object;

    evb__readers_lock();
    object = evb__ld_rlx(&topics[0].published);
    evb__st_rel(&topics[0].published, NULL);
    query.ticket = evb__readers_observe();
    evb__readers_unlock();
    evb__st_rel(&phase, 1);
    while (evb__ld_acq(&phase) != 2)
        evb__thread_yield();
    evb__readers_lock();
    (void)evb__readers_observe(); /* sees the new emit first: later than our ticket */
    explore_check(!evb__readers_blocked(&query), "an emit that began later is in the way");
    evb__readers_unlock();
    evb__free(object, sizeof *object);
    evb__st_rel(&phase, 3);
}

/* The thread ends inside its callback, as by pthread_exit. */
static void emit_and_vanish(void)
{
    struct evb__slot *slot = slot_of_thread();

    (void)enter(slot, hazard_of(&topics[0]));
    read_object(evb__ld_acq(&topics[0].published));
}

static void exit_thread(void)
{
    evb__reader_thread_exit(evb__self());
}

/* The first emit of the thread: its slot is claimed while the writer looks. */
static void claim_and_emit(void)
{
    explore_check(evb__reader_ready(evb__self(), evb__process_generation()) == EVB_OK, "no slot");
    emit_on(&topics[0]);
}

/* The first thread is inside an emit from the start and only has to end. */
static void setup_inside(void)
{
    start();
    claim_slots(1);
    (void)enter(selves[0].slot, hazard_of(&topics[0]));
}

static void vanish(void)
{
    *evb__self() = selves[0];
}

#define BOTH .barrier = EXPLORE_BOTH

static const struct explore_shape shapes[] = {
    {.name = "object_is_freed_when_no_emit_reads_it",
     .setup = setup_one,
     .threads = {emit_once, take_away_first},
     .finish = finish,
     BOTH,
     .preemptions = 4,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark",
                "writer freed at once"}},
    {.name = "two_emits_in_a_row_against_a_writer",
     .setup = setup_one,
     .threads = {emit_twice, take_away_first},
     .finish = finish,
     BOTH,
     .preemptions = 3,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "nested_emit_that_ends_says_nothing_about_the_outer_one",
     .setup = setup_one,
     .threads = {emit_nested, take_away_first},
     .finish = finish,
     BOTH,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "nested_emit_protects_its_own_topic",
     .setup = setup_one,
     .threads = {emit_nested, take_away_second},
     .finish = finish,
     BOTH,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "deep_emit_outlives_a_deeper_one",
     .setup = setup_one,
     .threads = {emit_deep, take_away_first},
     .finish = finish,
     BOTH,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "deepest_emit_is_protected_by_the_shared_entry",
     .setup = setup_one,
     .threads = {emit_deep, take_away_second},
     .finish = finish,
     BOTH,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "two_readers_and_a_writer",
     .setup = setup_two,
     .threads = {emit_once, emit_once, take_away_first},
     .finish = finish,
     BOTH,
     .executions = 150000,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "two_writers_of_two_topics_and_a_nested_emit",
     .setup = setup_one,
     .threads = {emit_nested, take_away_first, take_away_second},
     .finish = finish,
     BOTH,
     .executions = 150000,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "second_object_of_one_topic_is_protected_as_well",
     .setup = setup_one,
     .threads = {emit_twice, replace_twice},
     .finish = finish,
     BOTH,
     .executions = 150000,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "hazard_that_moves_leaves_no_gap",
     .setup = setup_one,
     .threads = {emit_moving, take_away_moved},
     .finish = finish,
     BOTH,
     .preemptions = 3,
     .covers = {"emit read the object", "writer was blocked"}},
    {.name = "hazard_that_moves_protects_from_then_on",
     .setup = setup_one,
     .threads = {emit_by_name, take_away_lazily},
     .finish = finish,
     BOTH,
     .preemptions = 3,
     .covers = {"emit read the object", "writer freed at once"}},
    {.name = "emit_on_another_topic_is_not_in_the_way",
     .setup = setup_one,
     .threads = {emit_once, take_away_unhindered},
     .finish = finish,
     BOTH,
     .covers = {"emit read the object"}},
    {.name = "emit_that_began_later_is_not_in_the_way",
     .setup = setup_one,
     .threads = {emit_after_observation, observe_then_look},
     .finish = finish,
     BOTH,
     .covers = {"emit read the object"}},
    {.name = "thread_that_vanishes_inside_an_emit_serves_its_mark",
     .setup = setup_one,
     .threads = {emit_and_vanish, take_away_first},
     .thread_exit = exit_thread,
     .finish = finish,
     BOTH,
     .preemptions = 3,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "slot_claimed_while_a_writer_looks_is_seen",
     .setup = setup_none,
     .threads = {claim_and_emit, take_away_first},
     .thread_exit = exit_thread,
     .finish = finish,
     BOTH,
     .preemptions = 3,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "slot_passes_from_thread_to_thread",
     .setup = setup_none,
     .threads = {claim_and_emit, claim_and_emit, take_away_first},
     .thread_exit = exit_thread,
     .finish = finish,
     BOTH,
     .executions = 150000,
     .covers = {"emit read the object", "writer was blocked", "emit served its mark"}},
    {.name = "slot_of_a_vanished_thread_passes_on",
     .setup = setup_inside,
     .threads = {take_away_lazily, claim_and_emit, vanish},
     .thread_exit = exit_thread,
     .finish = finish,
     BOTH,
     .executions = 250000,
     .covers = {"emit read the object", "writer freed at once"}},
    {.name = "barrier_that_the_kernel_refuses_frees_nothing_too_early",
     .setup = setup_one,
     .threads = {emit_twice, replace_twice},
     .finish = finish,
     .barrier = EXPLORE_MEMBARRIER,
     .barrier_may_refuse = true,
     .spurious = 3, /* each refusal is a wait that may end early or late */
     .executions = 150000,
     .covers = {"emit read the object", "writer was blocked", "barrier refused"}},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
