/* SPDX-License-Identifier: MIT */
/* A slow, obvious model of a bus with queues, and what a random program of it shares.
 *
 *      program.c   which operation comes next        } every call of the library stands beside what the
 *      publish.c   publishes, filters, listeners     } model says it must do
 *      consume.c   handlers, pulling, settling       }
 *      steer.c     members, pause, purge, letters    }
 *      look.c      counters, descriptors, who sleeps }
 *      events.c    what events look like
 *      model.c     the model itself: calls nothing, plain arrays
 *      notes.c     the first difference, and what was done before it
 *
 * Every event carries its number in its payload, so that whoever is handed one knows which it is. Where
 * the schedule decides (which runner goes first) the model follows what happens and checks that it was
 * allowed: what is handed out must be the head of ready. Everything else it predicts: each answer, each
 * counter, each dead letter. Records of queues and members are never used again within a round.
 * Threads: one.
 */
#ifndef QUEUE_MODEL_WORLD_H
#define QUEUE_MODEL_WORLD_H

#include <evbus.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

struct evb__runnable;

#define QUEUES      40 /* of a round */
#define MEMBERS     80
#define LIVE_MAX    5   /* queues at a time */
#define ITEMS       400 /* of a queue, with its dead letters */
#define MESSAGES    6000
#define TOPICS      6
#define PATTERNS    8
#define KEYS        80
#define FEW_KEYS    5
#define LISTENERS   4
#define IDS         6 /* dedup ids; 0: none */
#define ID_SECONDS  120
#define OLD         256 /* numbers of deliveries that are settled */
#define LAPSED      64
#define KEPT        6  /* retained events */
#define MANY        5  /* messages of a publish_many */
#define PAYLOAD_MAX 96 /* bytes of a payload */
#define REASONS     8

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           INT64_C(1000000)
#define SECOND       (1000 * MS)
#define NEVER        INT64_MAX

struct message {
    uint32_t topic, key, size; /* key 0: none */
    bool headers;
    uint64_t order;           /* of its commit: 0 = only listeners got it */
    uint64_t sequence;        /* as soon as it is known, else 0 */
    int64_t delay_ns, ttl_ns; /* ttl_ns 0: none of its own */
};

enum item_state { FREE_ITEM, READY, DELAYED, IN_FLIGHT, DEAD, /* at most once, pulled: */ HANDED_OVER };
#define NO_TURN INT64_MAX
enum { DELIVERY_LIMIT = 1, REJECTED = 2, EXPIRED = 3, MAXLEN = 4 };

struct item {
    enum item_state state;
    uint32_t message, attempt;
    bool redelivered, redriven, retained;
    int64_t ttl_ns;     /* 0: none of its own */
    int64_t place;      /* among the ready ones, among the dead */
    int64_t turn;       /* ready: NO_TURN: it waits behind another one of its key */
    uint64_t lane;      /* when it entered the lane of its key: the first one leads. 0: it is in none */
    int64_t due_ns;     /* delayed, or its lease; NEVER: none */
    int64_t expires_ns; /* NEVER: not at all */
    /* in flight */
    int member;
    bool open;               /* pulled or deferred: has a number */
    uint64_t number, opened; /* opened: when, among all */
    const evb_event *event;
    /* history */
    int reason;
    int32_t code;
    char text[260];
    uint32_t redrives, times[REASONS];
    int64_t first_death_ns, last_death_ns;
};

enum { ALWAYS_WANTED = 0, FILTERED = 1 };

struct queue {
    bool live;
    const void *real; /* the library's */
    char name[24];    /* empty: the library makes one up */
    uint32_t pattern;
    evb_sub_opts opts; /* with defaults filled in */
    bool filtered;
    int filter_member;
    uint32_t members, open;
    bool paused;
    struct item item[ITEMS];
    int64_t first, last; /* places and turns */
    uint64_t entered;    /* lanes, by all events so far */
    evb_queue_stats want;
};

enum member_kind { RUNS, PULLS, DISPATCHED };

struct member {
    evb_sub *sub;
    int queue;
    enum member_kind kind;
    uint32_t concurrency, running;
    bool left, gives_back;
    bool handle; /* ours, not given back */
    bool kept;   /* the bus has it */
    uint32_t freed;
    int fd;
    bool fd_read; /* its bytes were read away: it fires again after an EVB_EEMPTY */
};

/* A publish under way. */
struct frame {
    struct frame *outer;
    uint32_t count, message[MANY];
    uint32_t looked_up;       /* messages whose queues have been looked up */
    bool sinks[MANY][QUEUES]; /* matched when it was looked up */
    int answer[MANY][QUEUES]; /* of the filter: -1 not asked, else 0 or 1 */
    uint32_t depth;           /* callbacks under way when it began */
    bool closed;              /* the bus drains, and it is not a handler that publishes */
    bool emit, inside, decided, refused;
    uint32_t id; /* dedup_id */
    bool duplicate;
    uint32_t first;             /* of which it is one */
    bool retains, anew, second; /* anew: a queue has come meanwhile; second: it has begun anew */
    bool slept;
    bool again;   /* it has slept: who matches is looked up again */
    bool may[32]; /* refusals that are allowed, by -status */
    bool any_sink;
    uint32_t flags;
    uint32_t took, called, at, listener; /* listener: next of message[at] */
};

/* A dedup id that has been published. */
struct known {
    uint32_t id, message;
    int64_t expires_ns;
};

struct listener {
    int64_t id;
    uint32_t pattern;
};

/* A delivery whose lease has run out: whoever has the event may read it until he has learnt that. */
struct lapsed {
    int queue, member;
    uint64_t number;
    const evb_event *event;
    uint32_t message;
};

struct kept {
    const evb_event *event;
    uint32_t message;
};

extern struct world {
    uint64_t seed;
    struct evb__rng rng;
    evb_bus *bus;
    evb_pool *pool; /* ours, or NULL */
    bool matches[PATTERNS][TOPICS];
    evb_topic *topic[TOPICS];
    struct queue queue[QUEUES];
    struct member member[MEMBERS];
    struct message message[MESSAGES];
    struct listener listener[LISTENERS];
    uint32_t queues, members, messages, listeners;
    uint64_t commits, opened;
    struct {
        uint64_t number;
        int queue;
    } old[OLD];
    uint32_t olds;
    struct lapsed lapsed[LAPSED]; /* oldest first */
    uint32_t lapses;
    struct kept kept[KEPT];
    struct {
        bool there;
        uint32_t message;
        int64_t expires_ns;
    } retained[TOPICS];
    const struct member *arriving; /* its queue is being made, with a filter */
    uint32_t asked[TOPICS], asks;
    bool wanted[TOPICS];
    struct known known[IDS]; /* oldest first */
    uint32_t knowns, id_window;
    struct frame *frame;
    uint32_t depth;      /* callbacks under way */
    uint32_t serving;    /* of these handlers: what they publish is taken while the bus drains */
    uint32_t keys;       /* that events have, no key being one of them */
    uint32_t fail_odds;  /* one in so many events fails for no reason */
    uint32_t key_odds;   /* one in so many events is not asked for a key */
    uint32_t look_odds;  /* one in so many operations is followed by a look at all counters */
    uint32_t budget;     /* operations that callbacks of this operation may still do */
    uint32_t dispatched; /* handlers of the dispatch under way */
    bool dispatching;
    int sleeper;     /* member whose next may sleep; -1 */
    bool slept;      /* that one has */
    bool pool_ended; /* ours has been shut down */
    bool draining;
    bool ending; /* callbacks only look */
    bool gone;   /* the bus has been destroyed */
    /* what was done, over all rounds: a model that does nothing agrees with everything */
    struct {
        uint64_t operations, nested, published, refused, handled, pulled, taken, dead, redriven, lapsed,
            duplicates, retained, expired, stopped, skipped, dropped, conflated, released, stale, steps,
            rounds;
    } total;
} w;

extern const char *const topic_names[TOPICS];
extern const char *const pattern_names[PATTERNS];

/* ---- notes.c ---- */

void differs(const char *format, ...) __attribute__((format(printf, 1, 2))); /* the first one is kept */
bool wrong(void);
const char *what_differs(void);
void note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a line of what is done */
void notes_begin(void);
void notes_print(void); /* the last ones */
const char *status(int64_t answer);
void want(const char *call, int64_t answer, int64_t expected);

/* ---- model.c ---- */

uint32_t below(uint32_t n);
bool one_in(uint32_t n);
size_t message_bytes(const struct message *m);
uint32_t held(const struct queue *q); /* events that take room */
uint32_t undone(const struct queue *q);
bool has_room(const struct queue *q, uint32_t events, size_t bytes);
bool has_place(const struct queue *q, uint32_t events, size_t bytes); /* ever */
/* false: the newcomer was dropped. */
bool accept(struct queue *q, uint32_t message);
void admit(struct queue *q, uint32_t message, int64_t ttl_ns); /* kept by its topic */
struct item *head(struct queue *q);                            /* whose turn it is */
void hand_out(struct queue *q, struct item *item, int member);
struct settling {
    int32_t result; /* EVB_OK, EVB_NACK, EVB_REJECT, EVB_RELEASE */
    int64_t delay_ns;
    int32_t code;
    const char *text;
};
void settle(struct queue *q, struct item *item, const struct settling *s);
void open_item(struct queue *q, struct item *item, uint64_t number, const evb_event *event);
void lease(struct queue *q, struct item *item, int64_t lease_ns);
void fall_due(struct queue *q, int64_t now);
void expire_heads(struct queue *q, int64_t now); /* what a worker does who is about to take one */
int64_t due_at(const struct item *item);         /* when it is to be looked at; NEVER */
int32_t skip_key(struct queue *q, uint32_t key);
int64_t purge(struct queue *q);
void free_item(struct queue *q, struct item *item);
uint32_t count_in(const struct queue *q, enum item_state state);
struct item *oldest_dead(struct queue *q);
int32_t redrive(struct queue *q, uint32_t max);
void leave(struct member *m);
struct item *find_number(struct queue *q, uint64_t number);
bool is_over(const struct queue *q); /* drained: nothing is left */
void remember_old(int queue, uint64_t number);
void forget_lapsed(int member, uint64_t number); /* of the member, or with that number */

/* ---- events.c ---- */

const void *payload(uint32_t message); /* of w.message[message]; valid until the next call */
const void *key_of(uint32_t key, uint32_t *ret_len);
uint32_t headers_of(const struct message *m, uint32_t number, evb_header *ret_headers);
bool check_event(const evb_event *ev, uint32_t message, const char *where);
uint32_t number_in(const evb_event *ev); /* which message it is; MESSAGES: none of ours */
void saw_sequence(uint32_t message, uint64_t sequence);

/* ---- publish.c, consume.c, steer.c, look.c ---- */

int32_t on_filter(const evb_event *ev, void *user);
int32_t on_filter_too(const evb_event *ev, void *user);
int32_t on_listener(const evb_event *ev, void *user);
int64_t some_time(void);
void newcomer(struct queue *q); /* it has been made: what it gets that topics keep */
void do_publish(void);
void do_publish_many(void);
void do_burst(void);

int32_t on_handler(const evb_event *ev, void *user);
void do_next(void);
void do_settle(void);
void do_take(void);
void do_dispatch(void);
void do_keep(const evb_event *ev, uint32_t message);
void do_forget(void);

void on_free(void *user);
bool filters(const struct member *m); /* the filter of a queue that takes events is its */
void on_alarm(void *queue);
void on_hand_out(const struct evb_sub *member);
uint64_t rank(const struct evb__runnable *runnable, void *alarm_arg);
bool is_locked(const struct evb__runnable *runnable); /* the queue of a runner that runs */
void do_subscribe(void);
void do_unsubscribe(void);
void do_pause(void);
void do_purge(void);
void do_letters(void);
void do_redrive(void);
void do_skip_key(void);
void do_descriptor(void);
void do_refused(void);     /* calls that must answer an error and change nothing */
void look(void);           /* all counters */
void look_quietly(void);   /* what can be seen without a call: nobody sleeps who should work */
bool refuses(void);        /* the bus drains, and no handler is under way */
int pick_member(int kind); /* -1: any */
struct queue *queue_of(const struct member *m);
bool leave_member(int member);

/* ---- program.c ---- */

void act(uint32_t most); /* inside a callback: some operations */
/* One round. steps: how many operations; skip[i]: leave the i-th one out; may be NULL. true: nothing
 * differs. */
bool run_round(uint64_t seed, uint32_t steps, const bool *skip, uint32_t *ret_done);

#endif
