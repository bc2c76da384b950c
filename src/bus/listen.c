/* SPDX-License-Identifier: MIT */
/* Putting listeners in: on, once, prepend, listen, and the leak guard.
 *
 * Everything that can fail happens first (record, extra, topic or trie path, a new block for each snapshot
 * that has no room); then all of it is published, which cannot. So a failed call changes nothing that anyone
 * can see.
 */
#include "bus/bus.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/opts.h"

#include <string.h>

/* One registration in the making. */
struct making {
    evb_bus *bus;
    struct evb__tokens tokens;
    evb_listen_opts opts;
    evb_handler fn;
    void *user;
    struct evb__sink *sink; /* NULL: a listener */
    struct evb__listener *listener;
    uint32_t number;
    struct evb__extra *extra;
    evb_topic *topic;                   /* literal */
    uint32_t place;                     /* wildcard */
    struct evb__snapshot_block *blocks; /* prepared, linked by limbo.next */
    bool in_place;                      /* some topic has room without */
    bool quiet;                         /* it is to be shown what topics keep, first */
    struct evb__newcomer newcomer;      /* then */
};

static bool needs_extra(const struct making *m)
{
    const evb_listen_opts *o = &m->opts;

    return m->sink != NULL || m->quiet || (o->flags & (EVB_ONCE | EVB_MONITOR)) != 0 || o->priority != 0 ||
           o->free_user != NULL || o->owner != NULL || o->filter != NULL;
}

/* Priority and owner cost nothing at the call; the others need the thunk. A sink is not called. */
static bool needs_thunk(const struct making *m)
{
    const evb_listen_opts *o = &m->opts;

    if (m->sink != NULL) return false;
    return m->quiet || (o->flags & (EVB_ONCE | EVB_MONITOR)) != 0 || o->free_user != NULL ||
           o->filter != NULL;
}

static int32_t make_extra(struct making *m)
{
    uint32_t text_size = m->tokens.wild != 0 ? m->tokens.size : 0;
    struct evb__extra *extra = evb__zalloc(sizeof *extra + text_size + 1, EVB__ALIGN_MIN);

    if (extra == NULL) return EVB_ENOMEM;
    extra->bus = m->bus;
    extra->fn = m->fn;
    extra->user = m->user;
    extra->free_user = m->opts.free_user;
    extra->filter = m->opts.filter;
    extra->sink = m->sink;
    extra->owner = m->opts.owner;
    extra->priority = m->opts.priority;
    extra->flags = m->opts.flags;
    evb__init(&extra->shown_to, m->quiet ? UINT64_MAX : 0);
    extra->number = m->number;
    extra->text_size = text_size;
    if (text_size != 0) memcpy(extra->text, m->tokens.name, text_size);
    m->extra = extra;
    return EVB_OK;
}

static int32_t make_listener_locked(struct making *m)
{
    evb_bus *bus = m->bus;
    struct evb__listener *l;
    int32_t status = evb__listener_alloc_locked(bus, &m->number);

    if (status != EVB_OK) return status;
    l = m->listener = evb__listener(bus, m->number);
    if (needs_extra(m) && make_extra(m) != EVB_OK) return EVB_ENOMEM;
    l->extra = m->extra;
    l->wild = m->tokens.wild != 0;
    l->in_limbo = 0;
    l->u.order = (m->opts.flags & EVB_PREPEND) != 0 ? -(bus->order + 1) : bus->order + 1;
    evb__st_rlx(&l->one.count, 1); /* the record is nobody else's yet; published by snapshot or trie */
    l->one.flags = m->sink != NULL ? EVB__SNAPSHOT_QUEUES : 0;
    evb__st_rlx(&l->entry.fn, needs_thunk(m) ? evb__thunk : m->fn); /* as above */
    EVB__PLAIN_WRITE(l->entry.user, needs_thunk(m) ? (void *)l : m->user);
    if (m->extra != NULL && m->extra->owner != NULL) return evb__owner_add_locked(bus, m->extra);
    return EVB_OK;
}

static int32_t prepare_topic(evb_topic *topic, struct making *m)
{
    struct evb__snapshot_block *block;
    int32_t status = evb__snapshot_prepare_locked(m->bus, topic, m->listener, m->number, &block);

    if (status == EVB_OK && block == NULL) m->in_place = true;
    if (status == EVB_OK && block != NULL) {
        block->limbo.next = m->blocks != NULL ? &m->blocks->limbo : NULL;
        m->blocks = block;
    }
    return status;
}

static int32_t prepare_indexed(struct evb__named *named, void *making)
{
    return prepare_topic(EVB__CONTAINER(named, evb_topic, named), making);
}

static struct evb__snapshot_block *take_block(struct making *m)
{
    struct evb__snapshot_block *block = m->blocks;

    if (block != NULL) {
        struct evb__limbo *next = block->limbo.next;

        m->blocks = next != NULL ? EVB__CONTAINER(next, struct evb__snapshot_block, limbo) : NULL;
    }
    return block;
}

static int32_t prepare_locked(struct making *m)
{
    int32_t status = make_listener_locked(m);

    if (status != EVB_OK) return status;
    if (m->tokens.wild == 0) {
        status = evb__topic_make_locked(m->bus, m->tokens.name, m->tokens.size, &m->topic);
        return status == EVB_OK ? prepare_topic(m->topic, m) : status;
    }
    m->place = evb__trie_add(&m->bus->trie, &m->tokens);
    if (m->place == 0) return EVB_ENOMEM;
    return evb__index_match(&m->bus->index, &m->tokens, prepare_indexed, m);
}

static void undo_locked(struct making *m)
{
    struct evb__snapshot_block *block;

    while ((block = take_block(m)) != NULL)
        evb__snapshot_drop(block);
    if (m->place != 0 && evb__trie_head(&m->bus->trie, m->place) == 0)
        evb__trie_release(&m->bus->trie, m->place);
    if (m->topic != NULL) evb__topic_settle_locked(m->bus, m->topic);
    if (m->extra != NULL) {
        evb__owner_remove_locked(m->bus, m->extra);
        evb__free(m->extra, sizeof *m->extra + m->extra->text_size + 1);
    }
    if (m->listener != NULL) {
        m->listener->extra = NULL;
        evb__listener_free_locked(m->bus, m->number);
    }
}

/* ---- publishing ---- */

static int32_t append_indexed(struct evb__named *named, void *making)
{
    struct making *m = making;
    evb_topic *topic = EVB__CONTAINER(named, evb_topic, named);

    /* Topics without room have a prepared block, which carries their name. */
    if (evb__snapshot_fits_locked(m->bus, topic, m->listener))
        evb__snapshot_commit_locked(m->bus, topic, m->listener, m->number, NULL);
    return 0;
}

static void link_newest(struct making *m, uint32_t head)
{
    if (head != 0) evb__listener(m->bus, head)->prev = m->number;
    /* published by the head (trie), or read under the lock only (topic) */
    evb__st_rlx(&m->listener->next, head);
    m->listener->prev = 0;
}

static void commit_literal_locked(struct making *m)
{
    evb_topic *topic = m->topic;

    evb__snapshot_commit_locked(m->bus, topic, m->listener, m->number, take_block(m));
    link_newest(m, topic->u.list.first);
    m->listener->home.topic = topic;
    topic->u.list.first = m->number;
    topic->u.list.listeners++;
}

static void commit_wild_locked(struct making *m)
{
    evb_bus *bus = m->bus;
    uint32_t head = evb__trie_head(&bus->trie, m->place);
    struct evb__snapshot_block *block;

    if (m->in_place) (void)evb__index_match(&bus->index, &m->tokens, append_indexed, m);
    while ((block = take_block(m)) != NULL)
        evb__snapshot_commit_locked(bus, (evb_topic *)block->limbo.hazard, m->listener, m->number, block);
    link_newest(m, head);
    m->listener->home.wild.place = m->place;
    m->listener->home.wild.rank = head != 0 ? evb__listener(bus, head)->home.wild.rank + 1 : 1;
    evb__trie_set_head(&bus->trie, m->place, m->number);
}

static void commit_locked(struct making *m)
{
    evb_bus *bus = m->bus;

    evb__st_rlx(&m->listener->state, EVB__LISTENER_LIVE); /* published with the record */
    bus->order++;
    if (m->sink != NULL) (void)evb__add_rlx(&bus->sinks, 1); /* before what publishes the sink */
    evb__st_rel(&bus->registered, (size_t)bus->order); /* pairs with the loads in emit.c and publish.c */
    if (m->tokens.wild == 0)
        commit_literal_locked(m);
    else
        commit_wild_locked(m);
    bus->listeners++;
}

/* ---- the leak guard ---- */

/* How many listeners the pattern has if that is news, else 0. A list's rank never falls below its length, so
 * it is counted only when the rank says that it may have passed the limit; the count then corrects the rank.
 * Speaks once per pattern. */
static uint32_t leak_locked(struct making *m)
{
    struct evb__listener *newest = m->listener;
    uint32_t limit = m->bus->listener_warning, count = 0, warned, number;

    if (m->tokens.wild == 0) {
        if (m->topic->u.list.listeners <= limit || m->topic->warned) return 0;
        m->topic->warned = 1;
        return m->topic->u.list.listeners;
    }
    warned = newest->home.wild.rank & EVB__RANK_WARNED; /* inherited from the one before */
    if (warned != 0 || newest->home.wild.rank <= limit) return 0;
    /* under the lock */
    for (number = m->number; number != 0; number = evb__ld_rlx(&evb__listener(m->bus, number)->next))
        count++;
    newest->home.wild.rank = count > limit ? count | EVB__RANK_WARNED : count;
    return count > limit ? count : 0;
}

/* Copied under the lock and said without it: the unlock may run a free_user that destroys the bus. */
struct leak {
    uint32_t listeners, limit;
    char name[72], pattern[EVB__NAME_MAX + 3];
};

static void note_leak_locked(struct making *m, struct leak *leak)
{
    leak->listeners = leak_locked(m);
    if (leak->listeners == 0) return;
    leak->limit = m->bus->listener_warning;
    (void)evb__log_quote(leak->name, sizeof leak->name, m->bus->name, strlen(m->bus->name));
    (void)evb__log_quote(leak->pattern, sizeof leak->pattern, m->tokens.name, m->tokens.size);
}

/* ---- the calls ---- */

static int32_t check(struct making *m, evb_bus *bus, const char *pattern, const evb_listen_opts *opts,
                     evb_handler fn, void *user)
{
    int32_t status = evb__bus_enter(bus);

    if (status != EVB_OK) return status;
    if (pattern == NULL || fn == NULL) return EVB_EINVAL;
    status = EVB__OPTS_READ(&m->opts, opts);
    if (status != EVB_OK) return status;
    if ((m->opts.flags & ~(uint32_t)(EVB_ONCE | EVB_PREPEND | EVB_MONITOR)) != 0 || m->opts.reserved != 0)
        return EVB_EINVAL;
    m->bus = bus;
    m->fn = fn;
    m->user = user;
    return evb__pattern_split(bus->dialect, pattern, strnlen(pattern, EVB__NAME_MAX + 1), &m->tokens);
}

/* A queue that is being drained takes no more members; listeners come and go as before. */
static bool refuses_locked(const struct making *m)
{
    if (evb__ld_rlx(&m->bus->closed) != 0) return true; /* under the lock, as the next one */
    return m->sink != NULL && evb__ld_rlx(&m->bus->draining) != 0;
}

static int32_t register_locked(struct making *m)
{
    int32_t status = refuses_locked(m) ? EVB_ECLOSED : prepare_locked(m);

    if (status == EVB_OK)
        commit_locked(m);
    else
        undo_locked(m);
    return status;
}

/* A listener, where topics keep events. Without one for it, it is in when this returns; else it is quiet, and
 * *ret_entry announces it. */
static EVB__COLD int32_t register_newcomer_locked(struct making *m, struct evb__slot_entry **ret_entry)
{
    struct evb__retained *retained = &m->bus->retained;
    int32_t status = EVB_OK;

    evb__retained_lock(retained);
    m->quiet = evb__newcomer_comes_locked(&m->newcomer, retained, &m->tokens);
    if (m->quiet) status = evb__newcomer_ready(m->bus);
    if (status == EVB_OK) status = register_locked(m);
    if (status == EVB_OK && m->quiet)
        *ret_entry = evb__newcomer_hold_locked(m->bus, m->listener, m->number);
    else if (m->quiet)
        evb__newcomer_ends_locked(&m->newcomer);
    else
        evb__newcomer_enters_locked(&m->newcomer);
    evb__retained_unlock(retained);
    return status;
}

int64_t evb__register(evb_bus *bus, const char *pattern, const evb_listen_opts *opts, evb_handler fn,
                      void *user, struct evb__sink *sink)
{
    struct making m = {.sink = sink};
    int32_t status = check(&m, bus, pattern, opts, fn, user);
    struct evb__slot_entry *entry = NULL;
    struct leak leak = {0};
    int64_t id = 0;

    if (status != EVB_OK) return status;
    evb__bus_lock(bus);
    /* under the lock. A queue is shown what topics keep when it opens (queue/arrivals.h) */
    if (evb__unlikely(evb__ld_rlx(&bus->retained.used) != 0) && sink == NULL)
        status = register_newcomer_locked(&m, &entry);
    else
        status = register_locked(&m);
    if (status == EVB_OK) {
        id = evb__listener_id(bus, m.number);
        if (sink == NULL) note_leak_locked(&m, &leak);
    }
    evb__bus_unlock(bus);
    if (status != EVB_OK) return status;
    if (evb__unlikely(entry != NULL)) evb__newcomer_show(bus, m.listener, &m.newcomer, entry);
    if (leak.listeners != 0)
        evb__log(EVB_LOG_WARN, "listener_leak_suspected", "bus=%s pattern=%s listeners=%u limit=%u",
                 leak.name, leak.pattern, leak.listeners, leak.limit);
    return id;
}

int64_t evb_listen(evb_bus *bus, const char *pattern, const evb_listen_opts *opts, evb_handler fn, void *user)
{
    return evb__register(bus, pattern, opts, fn, user, NULL);
}

int64_t evb_on(evb_bus *bus, const char *pattern, evb_handler fn, void *user)
{
    return evb_listen(bus, pattern, NULL, fn, user);
}

int64_t evb_once(evb_bus *bus, const char *pattern, evb_handler fn, void *user)
{
    return evb_listen(bus, pattern, &(evb_listen_opts){.flags = EVB_ONCE}, fn, user);
}

int64_t evb_prepend(evb_bus *bus, const char *pattern, evb_handler fn, void *user)
{
    return evb_listen(bus, pattern, &(evb_listen_opts){.flags = EVB_PREPEND}, fn, user);
}
