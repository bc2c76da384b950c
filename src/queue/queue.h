/* SPDX-License-Identifier: MIT */
/* A queue: what a group of subscriptions with one name shares. Where its events are, and who takes them out.
 *
 *      publishers --credits--> mailbox (lock-free) --under lock--> ready --> in flight --> gone
 *                                                                   ^  ^        |  |
 *                                                        due: delayed and       |  +--> dead
 *                                                        retrying <--- failed --+
 *
 * An event with a key is handed out when it leads the lane of its key (lanes.h); one that expires goes from
 * wherever it is but in flight.
 *
 * A publisher takes credits (credit.h), pushes the delivery into the mailbox and looks at `tell` (mailbox.h).
 * Everything behind the mailbox is under the queue's lock (bias.h): whoever takes an event out or counts
 * first empties the mailbox into `ready`, so that all happens in the order of acceptance. Consumers are
 * members (struct evb_sub): a handler's runners on the pool, pullers, dispatching threads.
 *
 * Invariant: (1) a delivery is in exactly one place: a publisher's hand, mailbox, ready, due, in flight (a
 * handling has it; with a lease it is in due, too), dead, or gone; it has credits in all but the last two.
 * (2) The conservation law of evb_queue_stats, whenever the lock is free and the mailbox empty. (3) When
 * there is something to hand out and somebody idle who may take it, one of them is on his way, or tell is 1
 * and whoever hands the next event over looks again. Every unlock sees to that (wake.c). (4) No user code
 * runs and nobody waits under the lock. Threads: any; functions with _locked under the lock.
 */
#ifndef EVB__QUEUE_QUEUE_H
#define EVB__QUEUE_QUEUE_H

#include <evbus/queue.h>
#include <evbus/ring.h>
#include <evbus/stats.h>
#include "base/rng.h"
#include "bus/bus.h"
#include "bus/message.h"
#include "pool/pool.h"
#include "pool/timer.h"
#include "queue/bias.h"
#include "queue/credit.h"
#include "queue/lanes.h"
#include "queue/mailbox.h"

#define EVB__CONCURRENCY_MAX 1024u
#define EVB__MAILBOX_MAX     1024u
#define EVB__OPEN_MAX        (1u << 20) /* deliveries with a number: bits of a slot */
#define EVB__OPEN_CHUNK      8u

/* evb__delivery.state */
enum {
    EVB__READY = 0,
    EVB__DELAYED,   /* in due */
    EVB__IN_FLIGHT, /* in due while leased */
    EVB__DEAD
};

/* A doubly linked list of deliveries; zero is empty. */
struct evb__deliveries {
    struct evb__delivery *head, *tail;
    uint64_t count, bytes;
};

/* A delivery that has been handed out, and what user code sees of it. A runner has one for the handler it
 * runs; a pulled or deferred one is *open*: settled by its number. It stays where it is: user code has the
 * address of its event. */
struct evb__handling {
    struct evb__view view;
    struct evb__origin origin;
    struct evb__delivery *delivery; /* NULL: free */
    struct evb__message *message;   /* at most once: its own reference, the delivery is settled */
    evb_sub *member;
    struct evb__handling *next; /* free, or of its member's open ones */
    struct evb__handling **link;
    uint32_t slot, epoch;
    bool open;
    bool leased;
    bool lapsed;                  /* in the queue's list of those */
    struct evb__delivery *leader; /* at most once: keeps its key until the handler has returned; or NULL */
    struct evb__call *call;       /* whose handler runs with it; NULL: none, or it has been deferred */
};

/* Who runs handlers, one at a time: a runner, or a dispatch. */
struct evb__call {
    struct evb__handling
        *handling; /* for the next event; evb_defer takes it away and puts another one here */
    bool deferred; /* by the handler that has just run */
};

/* One handler at a time: idle in the queue's list, queued in the pool, or running. */
struct evb__runner {
    struct evb__runnable runnable; /* first */
    evb_sub *member;
    struct evb__runner *next; /* idle, or about to be scheduled */
    struct evb__call call;
    uint32_t rest, rests;        /* pauses at a look around before going idle; how often */
    EVB__ATOMIC(uint32_t) calls; /* odd while a handler runs */
    uint32_t calls_seen, looks;  /* by the look for stuck handlers */
};

struct evb_sub { /* a member */
    struct evb__queue *queue;
    uint32_t generation;
    EVB__ATOMIC(uint32_t) refs; /* the handle, one until finished, each active runner and dispatch */
    evb_handler handler;
    void *user;
    evb_free_fn free_user;
    uint32_t concurrency;
    uint32_t flags;                   /* EVB_SUB_DISPATCH */
    struct evb__runner *runners;      /* concurrency of them; NULL: pulled or dispatched */
    EVB__ATOMIC(uint32_t) idle_epoch; /* steps when `running` falls to 0 */
    /* under lock */
    evb_sub *next, **link;      /* of the queue's members */
    struct evb__handling *open; /* what it has pulled or deferred */
    uint32_t running;           /* handlers that run now */
    bool left;
    bool filtering; /* its filter may be asked */
    bool waited;    /* who has made it leave waits for its handlers and will finish it */
    bool finished;  /* no callback will run any more: free_user is due or over */
    bool told;      /* a byte has been sent to fd[0] since the last EVB_EEMPTY */
    int fd[2];      /* a socketpair; -1: none. fd[0] is the user's */
};

struct evb__queue {
    struct evb__sink sink; /* first */

    /* constant */
    evb_bus *bus; /* a reference of its memory */
    uint32_t generation;
    uint16_t tag; /* in its delivery numbers */
    bool named;   /* others may join */
    char *name;   /* as given, or made up */
    char *pattern;
    evb_sub_opts opts;      /* with defaults filled in; what is a member's own is zero */
    evb_sub *filter_member; /* whose filter and user it is */
    evb_filter_fn filter;
    void *filter_user;

    EVB__ATOMIC(uint32_t) refs; /* its bus, its members, its sink's listener, waiting publishers, its alarm */
    EVB__ATOMIC(uint32_t) closed; /* takes nothing any more */
    EVB__ATOMIC(uint32_t) ended;  /* the bus has been destroyed: calls answer EVB_ECLOSED */
    struct evb__credit credit;
    struct evb__mailbox mailbox;
    uint32_t room_waiters; /* publishers waiting for room: ring/eventcount.h */
    EVB__ATOMIC(uint32_t) room_epoch;
    EVB__ATOMIC(uint32_t) pull_epoch; /* evb_sub_next sleeps on it */
    EVB__ATOMIC(uint32_t)
    once_running; /* at most once: handlers that run; their events are settled already */

    struct evb__bias lock;
    /* under lock */
    int64_t listener; /* its sink's */
    struct evb__deliveries ready, dead;
    struct evb__due *due; /* heap: delayed, retrying, leased, and what is ready and expires */
    struct evb__lanes lanes;
    uint64_t delayed, in_flight;
    uint64_t open; /* pulled and deferred: within max_in_flight */
    evb_sub *members;
    uint32_t member_count, pullers /* asleep */, watchers /* members with a descriptor */;
    struct evb__runner *idle;
    uint32_t active; /* runners queued or running */
    bool sole;       /* one member, one runner: it may have the bias */
    bool paused;
    bool stopped; /* closed and emptied: what still comes is discarded */
    bool redriving;
    bool pool_gone;                  /* the user has shut the pool down */
    bool room;                       /* credits have been given back since the last unlock */
    uint32_t buried, dropped, stuck; /* since the last unlock */
    struct evb__handling **table;    /* chunks of EVB__OPEN_CHUNK */
    uint32_t table_chunks, table_room;
    struct evb__handling *free_handlings;
    struct evb__handling *lapsed, **lapsed_end; /* leases have run out, their events may still be read */
    uint32_t lapsed_count;
    struct evb__delivery **hash; /* conflating: ready ones by key or topic */
    uint32_t hash_mask;
    EVB__ATOMIC(uint32_t) timed; /* pool and alarm are there */
    struct evb__rng rng;
    evb_pool *pool; /* the bus', once it is needed */
    struct evb__alarm *alarm;
    int64_t alarm_ns; /* set for; INT64_MAX: not set */
    int64_t look_ns;  /* next look for stuck handlers; INT64_MAX: none */
    evb_queue_stats counted;
    int64_t letters;    /* dead letters ever: their order */
    uint64_t forgotten; /* dead letters that gave way to newer ones */

    struct evb__queue *next, **link; /* of the bus, under its queues' lock */
};

/* What an unlock has to do once nobody is in its way. */
struct evb__wakes {
    struct evb__runner *schedule;
    bool pullers, room, drained;
    uint32_t buried, dropped, stuck;
};

/* ---- queue.c ---- */

/* The bus' pool, made when there is none; its threads run. EVB_ENOMEM, EVB_EAGAIN, EVB_ECLOSED. */
int32_t evb__queue_pool(struct evb__queue *queue);
void evb__queues_changed(evb_bus *bus); /* a queue may have run dry: who drains looks again */
void evb__queue_ref(struct evb__queue *queue);
void evb__queue_unref(struct evb__queue *queue);
void evb__member_unref(evb_sub *member);
void evb__member_finish(evb_sub *member); /* free_user, and its reference: no lock held */
bool evb__member_over_locked(
    evb_sub *member); /* true, once: no callback of it will run any more, the caller finishes it */
/* What every call on a handle begins with: EVB_EINVAL, EVB_EFORKED, EVB_ECLOSED or EVB_OK. */
int32_t evb__sub_enter(const evb_sub *sub);

/* ---- wake.c: the lock ---- */

void evb__queue_lock(struct evb__queue *queue);
void evb__queue_unlock(struct evb__queue *queue); /* wakes who can go on */
/* The two halves of an unlock, for who has the lock in another way. */
void evb__queue_look_locked(struct evb__queue *queue, struct evb__wakes *wakes);
void evb__queue_wake(struct evb__queue *queue, const struct evb__wakes *wakes);

/* ---- delivery.c: where deliveries are ---- */

void evb__ready_append_locked(struct evb__queue *queue, struct evb__delivery *d);
void evb__ready_prepend_locked(struct evb__queue *queue, struct evb__delivery *d);
void evb__ready_remove_locked(struct evb__queue *queue, struct evb__delivery *d);
void evb__mailbox_empty_locked(struct evb__queue *queue); /* into ready */
/* The next that may be handed out, still in its place; NULL: none. Looks into the mailbox only when nothing
 * else is ready. */
struct evb__delivery *evb__ready_next_locked(struct evb__queue *queue);
/* In ready, and nobody else of its key is in its way. */
EVB__INLINE bool evb__ready_is_empty_locked(const struct evb__queue *queue)
{
    return (queue->lanes.used ? queue->lanes.head : queue->ready.head) == NULL;
}
void evb__delay_locked(struct evb__queue *queue, struct evb__delivery *d, int64_t due_ns);
/* Accepted, but another one of its key is in its way: it has a place behind that. */
void evb__ready_wait_locked(struct evb__queue *queue, struct evb__delivery *d);
/* Starts its time to live: the event's or the queue's, the shorter one. */
void evb__expiry_begin(const struct evb__queue *queue, struct evb__delivery *d);
/* It is too old and in no list: counted, or a dead letter. */
void evb__expire_locked(struct evb__queue *queue, struct evb__delivery *d);
EVB__INLINE bool evb__expires_by(const struct evb__delivery *d, int64_t now_ns)
{
    return d->expires && d->rest->expires_ns <= now_ns;
}
void evb__credit_back_locked(struct evb__queue *queue, const struct evb__delivery *d);
void evb__gone_locked(struct evb__queue *queue,
                      struct evb__delivery *d); /* credit and message; counted by the caller */
void evb__list_append(struct evb__deliveries *list, struct evb__delivery *d);
void evb__list_remove(struct evb__deliveries *list, struct evb__delivery *d);
/* Empties ready and what is delayed; answers how many. */
uint64_t evb__remove_all_locked(struct evb__queue *queue);
/* The ready delivery of a conflating queue with that key (or topic), or NULL. */
struct evb__delivery *evb__conflated_locked(const struct evb__queue *queue, const struct evb__delivery *d);

/* due.c: a heap of deliveries by the time at which they are to be looked at. Nothing is allocated. */
void evb__due_add_locked(struct evb__queue *queue, struct evb__delivery *d, int64_t at_ns);
void evb__due_remove_locked(struct evb__queue *queue, struct evb__delivery *d); /* timed */

/* ---- handling.c: what is in flight ---- */

uint32_t evb__delivery_flags(const struct evb__delivery *d); /* as user code sees it */

struct evb__handling *evb__handling_get_locked(struct evb__queue *queue); /* NULL: no memory */
void evb__handling_put_locked(struct evb__queue *queue, struct evb__handling *h);
/* Has been settled (with keep) by somebody else than who has it: its event stays readable until he says
 * something, gives his handle back, or as many more have lapsed as may be in flight. */
void evb__handling_lapse_locked(struct evb__queue *queue, struct evb__handling *h);
void evb__handling_forget_locked(struct evb__queue *queue, const evb_sub *member);
/* Takes the head of ready. NULL: nothing to hand out. h becomes its handling. */
struct evb__delivery *evb__hand_out_locked(struct evb__queue *queue, evb_sub *member,
                                           struct evb__handling *h);
void evb__handling_open_locked(struct evb__handling *h); /* gets a number and, unless forever, a lease */
uint64_t evb__handling_number(const struct evb__handling *h);
/* EVB_OK, EVB_EINVAL (another queue's) or EVB_ESTALE (counted). */
int32_t evb__handling_find_locked(struct evb__queue *queue, uint64_t number, struct evb__handling **ret_h);
void evb__handling_lease_locked(struct evb__handling *h, int64_t now_ns, int64_t lease_ns);
void evb__handlings_free(struct evb__queue *queue);

/* ---- settle.c ---- */

/* What became of a delivery; h has it and gives it up. */
struct evb__outcome {
    int32_t result;   /* EVB_OK, EVB_NACK, EVB_REJECT, EVB_RELEASE, or what the handler returned */
    int64_t delay_ns; /* of a failure: EVB_DELAY_POLICY, or this long */
    const char *text; /* kept with a dead letter; may be NULL */
    int32_t code;     /* kept too */
    bool keep;        /* h keeps the message: its event can still be read */
};
void evb__settle_locked(struct evb__queue *queue, struct evb__handling *h,
                        const struct evb__outcome *outcome);
void evb__due_locked(struct evb__queue *queue,
                     int64_t now_ns);             /* delays that are over, leases that have run out */
void evb__alarm_locked(struct evb__queue *queue); /* sets the alarm for what is due next */
void evb__alarm_rang(void *queue);

/* ---- dead.c ---- */

void evb__bury_locked(struct evb__queue *queue, struct evb__delivery *d, enum evb__reason reason,
                      int32_t code, const char *text);
void evb__dead_free_locked(struct evb__queue *queue, struct evb__delivery *d);

/* ---- worker.c ---- */

void evb__runner_run(struct evb__runnable *runnable, bool discard);
/* Calls the handler of call->handling, outside the lock. The caller settles and then ends the callback. */
int32_t evb__call_handler(evb_sub *member, struct evb__call *call);
void evb__call_settle_locked(evb_sub *member, struct evb__call *call, int32_t result,
                             struct evb__handling *h);
void evb__stuck_look_locked(struct evb__queue *queue, int64_t now_ns);

/* ---- intake.c ---- */

const struct evb__sink_ops *evb__queue_sink_ops(uint32_t overflow, bool filtering);
/* An event that its topic has kept comes in, in the moment in which the queue opens (newcomer.h). */
void evb__queue_admit_locked(struct evb__queue *queue, struct evb__delivery *d);

/* ---- pull.c ---- */

/* full: the window is; only those who dispatch have something to do. */
void evb__tell_watchers_locked(struct evb__queue *queue, bool full);

/* ---- drain.c ---- */

void evb__queues_end(evb_bus *bus);
/* No event, none reserved, no handler of an event that was settled before. Credits first: whoever gives one
 * back for a handler that still runs has counted that before. */
EVB__INLINE bool evb__queue_is_dry(const struct evb__queue *queue)
{
    return evb__credit_used(&queue->credit) == 0 && evb__ld_acq(&queue->once_running) == 0;
}
bool evb__queue_is_over_locked(const struct evb__queue *queue); /* nothing will be handed out any more */

#endif
