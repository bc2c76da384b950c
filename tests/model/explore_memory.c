/* SPDX-License-Identifier: MIT */
/* The explorer's memory: stores with views, which of them a load may read, and races. */
#include "explore_engine.h"

#include <string.h>

void x_memory_reset(void)
{
    ex.loc_count = 0;
    ex.atomic_count = 0;
    ex.store_count = 0;
    ex.word_count = 0;
}

/* ---- views ---- */

static inline void join(int16_t *restrict to, const int16_t *restrict from, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = to[i] > from[i] ? to[i] : from[i];
}

void x_view_join(struct x_view *view, const struct x_view *other)
{
    join(view->clock, other->clock, X_FIBERS);
    join(view->time, other->time, ex.atomic_count);
}

void x_acquire(struct x_view *view, const struct x_message *message)
{
    if (message == NULL) return;
    join(view->clock, message->clock, X_FIBERS);
    join(view->time, message->time, message->count);
}

/* A message with what the view holds, and with what `and` holds if that is not NULL. */
static const struct x_message *message_of(const struct x_view *view, const struct x_message *and)
{
    struct x_message *m = (struct x_message *)(void *)&ex.words[ex.word_count];
    size_t size = sizeof *m + sizeof m->time[0] * (size_t)ex.atomic_count;

    ex.word_count += (uint32_t)((size + 15) / 16 * 8);
    if (ex.word_count > X_VIEW_WORDS - X_ATOMICS - 64)
        x_bug("explorer: too many released views in one execution");
    memcpy(m->clock, view->clock, sizeof m->clock);
    m->count = ex.atomic_count;
    memcpy(m->time, view->time, sizeof m->time[0] * (size_t)ex.atomic_count);
    if (and != NULL) {
        join(m->clock, and->clock, X_FIBERS);
        join(m->time, and->time, and->count);
    }
    return m;
}

/* What comes after a release belongs to a later epoch: nobody who acquires this one has seen it. */
static const struct x_message *release_with(struct x_fiber *f, const struct x_message *and)
{
    const struct x_message *m = message_of(&f->view, and);

    f->view.clock[f->id]++;
    return m;
}

const struct x_message *x_release(struct x_fiber *f)
{
    return release_with(f, NULL);
}

/* An SC fence of this fiber. Happens-before comes from the acquire and release halves alone; the SC half
 * carries only which stores may no longer be missed, as two SC fences do not synchronise. */
void x_fence(struct x_fiber *f)
{
    x_view_join(&f->view, &f->pending);
    for (int i = 0; i < ex.atomic_count; i++) {
        int16_t newest = f->view.time[i] > ex.sc[i] ? f->view.time[i] : ex.sc[i];

        f->view.time[i] = ex.sc[i] = newest;
    }
    memcpy(f->fenced.clock, f->view.clock, sizeof f->view.clock);
    memcpy(f->fenced.time, f->view.time, sizeof f->view.time[0] * (size_t)ex.atomic_count);
    f->has_fenced = true;
    f->view.clock[f->id]++;
}

/* ---- locations ---- */

static inline uint64_t raw_read(const void *addr, size_t size)
{
    uint64_t value = 0;

    switch (size) { /* constant sizes become single instructions */
    case 8:
        memcpy(&value, addr, 8);
        break;
    case 4:
        memcpy(&value, addr, 4);
        break;
    case 2:
        memcpy(&value, addr, 2);
        break;
    default:
        memcpy(&value, addr, 1);
        break;
    }
    return value;
}

static inline void raw_write(void *addr, uint64_t value, size_t size)
{
    switch (size) {
    case 8:
        memcpy(addr, &value, 8);
        break;
    case 4:
        memcpy(addr, &value, 4);
        break;
    case 2:
        memcpy(addr, &value, 2);
        break;
    default:
        memcpy(addr, &value, 1);
        break;
    }
}

static struct x_loc *new_loc(uintptr_t addr, const struct evb__x_site *site)
{
    struct x_loc *l = &ex.locs[ex.loc_count];

    if (ex.loc_count + 1 >= X_LOCS) x_bug("explorer: more than %d locations", X_LOCS);
    memset(l, 0, sizeof *l);
    l->addr = addr;
    l->atomic = -1;
    l->block = x_block_of((const void *)addr);
    if (l->block == NULL && addr >= (uintptr_t)ex.arena && addr < (uintptr_t)ex.arena + X_ARENA) {
        x_trace(site, (const void *)addr, "%s outside of every block", site->op);
        x_bug("out of bounds: %s of %s touches no block (%s:%d)", site->op, site->expr, x_base(site->file),
              site->line);
    }
    return l;
}

struct x_loc *x_loc(const void *ptr, const struct evb__x_site *site)
{
    uintptr_t addr = (uintptr_t)ptr;
    uint32_t h = (uint32_t)((addr * 0x9e3779b97f4a7c15u) >> 50) % X_HASH;
    struct x_loc *l;

    while (ex.hash[h].execution == ex.execution) {
        l = &ex.locs[ex.hash[h].loc];
        if (l->addr == addr) goto found;
        h = (h + 1) % X_HASH;
    }
    l = new_loc(addr, site);
    ex.hash[h].execution = ex.execution;
    ex.hash[h].loc = ex.loc_count++;
found:
    ex.cur->site = site;
    if (l->block != NULL && l->block->freed) {
        x_trace(site, ptr, "%s of freed memory", site->op);
        x_bug("use after free: %s of %s by %s (%s:%d)", site->op, site->expr, x_fiber_name(ex.cur),
              x_base(site->file), site->line);
    }
    return l;
}

/* The newest store of an atomic location becomes this one. */
static struct x_store *append_store(struct x_loc *l, uint64_t value, const struct x_message *message)
{
    struct x_store *s = &ex.stores[ex.store_count];

    if (ex.store_count + 1 >= X_STORES) x_bug("explorer: more than %d stores", X_STORES);
    s->value = value;
    s->message = message;
    s->older = l->newest;
    s->time = (int16_t)(ex.stores[l->newest].time + 1);
    s->fiber = ex.cur->id;
    l->newest = ex.store_count++;
    return s;
}

/* Its first atomic access: the initial store is what the memory holds, and everybody may read it. */
static void become_atomic(struct x_loc *l, size_t size)
{
    int16_t a = ex.atomic_count;

    if (a + 1 >= X_ATOMICS) x_bug("explorer: more than %d atomic locations", X_ATOMICS);
    ex.atomic_count++;
    l->atomic = a;
    l->size = (uint16_t)size;
    l->newest = ex.store_count;
    ex.stores[ex.store_count++] = (struct x_store){.value = raw_read((const void *)l->addr, size)};
    ex.sc[a] = 0;
    for (unsigned i = 0; i < X_FIBERS; i++) {
        if (ex.fibers[i].state == X_UNUSED) continue; /* x_spawn does it */
        ex.fibers[i].view.time[a] = 0;
        ex.fibers[i].pending.time[a] = 0;
        ex.fibers[i].fenced.time[a] = 0;
    }
}

/* ---- races ---- */

static const char *const access_name[X_ACCESSES] = {"plain write", "plain read", "atomic write",
                                                    "atomic read"};

/* site NULL: the access is the free of its block. */
static void check_against(const struct x_loc *l, enum x_access other, const char *mine,
                          const struct evb__x_site *site)
{
    const struct x_fiber *f = ex.cur;
    unsigned by = l->by[other] & (unsigned)~X_BIT(f);

    for (; by != 0; by &= by - 1) {
        int i = __builtin_ctz(by);

        if (l->epoch[other][i] <= f->view.clock[i]) continue;
        if (site == NULL)
            x_bug("use after free: the free by %s is not ordered after the %s of %s by %s (%s:%d)",
                  x_fiber_name(f), access_name[other], l->last[other]->expr, x_fiber_name(&ex.fibers[i]),
                  x_base(l->last[other]->file), l->last[other]->line);
        x_bug("data race: %s of %s by %s (%s:%d) is not ordered after the %s by %s (%s:%d)", mine, site->expr,
              x_fiber_name(f), x_base(site->file), site->line, access_name[other],
              x_fiber_name(&ex.fibers[i]), x_base(l->last[other]->file), l->last[other]->line);
    }
}

/* Checks an access against those it conflicts with, then records it. */
static void check_access(struct x_loc *l, enum x_access mine, const struct evb__x_site *site)
{
    static const uint8_t conflicts[X_ACCESSES] = {
        [X_PLAIN_WRITE] = 1 << X_PLAIN_WRITE | 1 << X_PLAIN_READ | 1 << X_ATOMIC_WRITE | 1 << X_ATOMIC_READ,
        [X_PLAIN_READ] = 1 << X_PLAIN_WRITE | 1 << X_ATOMIC_WRITE,
        [X_ATOMIC_WRITE] = 1 << X_PLAIN_WRITE | 1 << X_PLAIN_READ,
        [X_ATOMIC_READ] = 1 << X_PLAIN_WRITE,
    };
    struct x_fiber *f = ex.cur;
    struct x_block *b = l->block;

    for (int other = 0; other < X_ACCESSES; other++)
        if ((conflicts[mine] >> other & 1) != 0 && (l->by[other] & ~X_BIT(f)) != 0)
            check_against(l, (enum x_access)other, access_name[mine], site);
    /* An allocation writes its whole block: who has the pointer without an acquire sees what was there
     * before. */
    if (b != NULL && b->epoch > f->view.clock[b->fiber])
        x_bug("data race: %s of %s by %s (%s:%d) is not ordered after the allocation of its block by %s",
              access_name[mine], site->expr, x_fiber_name(f), x_base(site->file), site->line,
              x_fiber_name(&ex.fibers[b->fiber]));
    l->by[mine] |= X_BIT(f);
    l->epoch[mine][f->id] = f->view.clock[f->id];
    l->last[mine] = site;
}

void x_check_free(struct x_block *block)
{
    for (uint32_t i = 0; i < ex.loc_count; i++) {
        struct x_loc *l = &ex.locs[i];

        if (l->block != block) continue;
        for (int other = 0; other < X_ACCESSES; other++)
            if (l->by[other] != 0) check_against(l, (enum x_access)other, NULL, NULL);
    }
}

void evb__x_plain(const void *addr, size_t size, bool write, const struct evb__x_site *site)
{
    const char *p = addr;
    const char *end = p + size;

    if (!ex.active) return;
    x_trace(site, addr, "(plain)");
    /* Wide accesses are noted by words, so that a struct and a field of it conflict; narrow ones where they
     * are. */
    do {
        check_access(x_loc(p, site), write ? X_PLAIN_WRITE : X_PLAIN_READ, site);
        p = (const char *)(((uintptr_t)p & ~(uintptr_t)3) + 4);
    } while (p < end);
}

/* ---- atomics ---- */

static struct x_loc *atomic_loc(const void *addr, size_t size, const struct evb__x_site *site)
{
    struct x_loc *l = x_loc(addr, site);

    if (l->atomic < 0) become_atomic(l, size);
    if (l->size != size)
        x_bug("explorer: %s is accessed with %zu and with %u bytes (%s:%d)", site->expr, size, l->size,
              x_base(site->file), site->line);
    if (raw_read(addr, size) != ex.stores[l->newest].value)
        x_bug("raw write: %s was written behind the seam (%s:%d)", site->expr, x_base(site->file),
              site->line);
    return l;
}

/* Wakes those that wait for something to change. */
void x_wrote(struct x_fiber *f)
{
    ex.writes++;
    f->own_writes++;
    if (ex.spinning != 0) {
        ex.enabled |= (uint8_t)(ex.spinning & ~X_BIT(f));
        ex.spinning &= X_BIT(f);
    }
}

static void saw(struct x_fiber *f, const struct x_loc *l, const struct x_store *s, enum evb__x_order order)
{
    if (f->view.time[l->atomic] < s->time) f->view.time[l->atomic] = s->time;
    if (order & X_ACQ)
        x_acquire(&f->view, s->message);
    else if (ex.how
                 .asymmetric) /* a later fence makes it an acquire; fences come from the heavy barrier only */
        x_acquire(&f->pending, s->message);
}

static const struct x_message *message_for_store(struct x_fiber *f, enum evb__x_order order,
                                                 const struct x_message *and)
{
    if (order & X_REL) return release_with(f, and);
    if (f->has_fenced) return message_of(&f->fenced, and);
    return and;
}

/* How many stores older than the newest this fiber may read. */
static unsigned stale_options(const struct x_fiber *f, const struct x_loc *l, bool sc)
{
    int16_t oldest = f->view.time[l->atomic];

    if (f->stale_left == 0 || !ex.exploring) return 0;
    if (sc && ex.sc[l->atomic] > oldest) oldest = ex.sc[l->atomic];
    return (unsigned)(ex.stores[l->newest].time - oldest);
}

static void stale_note(struct x_fiber *f)
{
    if (f->stale_left > 0) f->stale_left--;
    f->stale_since_yield = true;
}

uint64_t evb__x_load(const void *addr, size_t size, enum evb__x_order order, const struct evb__x_site *site)
{
    struct x_fiber *f = ex.cur;
    struct x_loc *l;
    const struct x_store *s;
    unsigned back;

    if (!ex.active) return raw_read(addr, size);
    x_point();
    l = atomic_loc(addr, size, site);
    check_access(l, X_ATOMIC_READ, site);
    s = &ex.stores[l->newest];
    back = stale_options(f, l, order == X_SC);
    if (back != 0 && (back = x_choose(back + 1)) != 0) {
        for (unsigned i = 0; i < back; i++)
            s = &ex.stores[s->older];
        stale_note(f);
    }
    saw(f, l, s, order);
    x_trace(site, addr, "-> %#llx%s", (unsigned long long)s->value, back != 0 ? " (stale)" : "");
    return s->value;
}

void evb__x_store(void *addr, size_t size, uint64_t value, enum evb__x_order order,
                  const struct evb__x_site *site)
{
    struct x_fiber *f = ex.cur;
    struct x_loc *l;
    struct x_store *s;

    if (!ex.active) {
        raw_write(addr, value, size);
        return;
    }
    x_point();
    l = atomic_loc(addr, size, site);
    check_access(l, X_ATOMIC_WRITE, site);
    s = append_store(l, value, NULL);
    f->view.time[l->atomic] = s->time;
    s->message = message_for_store(f, order, NULL);
    if (order == X_SC) ex.sc[l->atomic] = s->time;
    raw_write(addr, value, size);
    x_wrote(f);
    x_trace(site, addr, "= %#llx", (unsigned long long)value);
}

/* The write half of a read-modify-write that read the newest store. */
static void modify(struct x_loc *l, uint64_t value, enum evb__x_order order)
{
    struct x_fiber *f = ex.cur;
    uint32_t read = l->newest;
    struct x_store *s;

    saw(f, l, &ex.stores[read], order);
    s = append_store(l, value, NULL);
    f->view.time[l->atomic] = s->time;
    s->message = message_for_store(f, order, ex.stores[read].message);
    if (order == X_SC) ex.sc[l->atomic] = s->time;
    raw_write((void *)l->addr, value, l->size);
    x_wrote(f);
}

uint64_t evb__x_rmw(void *addr, size_t size, enum evb__x_rmw rmw, uint64_t operand, enum evb__x_order order,
                    const struct evb__x_site *site)
{
    uint64_t mask = size == 8 ? UINT64_MAX : (1ull << (size * 8)) - 1, old, value;
    struct x_loc *l = NULL;

    if (ex.active) {
        x_point();
        l = atomic_loc(addr, size, site);
        check_access(l, X_ATOMIC_WRITE, site);
    }
    old = raw_read(addr, size);
    value = (rmw == X_ADD   ? old + operand
             : rmw == X_SUB ? old - operand
             : rmw == X_OR  ? old | operand
                            : operand) &
            mask;
    if (l != NULL) {
        modify(l, value, order);
        x_trace(site, addr, "%#llx -> %#llx", (unsigned long long)old, (unsigned long long)value);
    } else {
        raw_write(addr, value, size);
    }
    return old;
}

/* A strong CAS fails only on a value that differs, and that one may be stale: a failed one is a load. */
static const struct x_store *cas_reads(struct x_fiber *f, struct x_loc *l, uint64_t expected)
{
    const struct x_store *newest = &ex.stores[l->newest], *s = newest;
    unsigned back = stale_options(f, l, false), differing = 0, taken;

    for (unsigned i = 0; i < back; i++) {
        s = &ex.stores[s->older];
        differing += s->value != expected;
    }
    if (differing == 0 || (taken = x_choose(differing + 1)) == 0) return newest;
    for (s = newest; taken != 0;) {
        s = &ex.stores[s->older];
        taken -= s->value != expected;
    }
    stale_note(f);
    return s;
}

bool evb__x_cas(void *addr, size_t size, uint64_t *expected, uint64_t desired, enum evb__x_order order,
                const struct evb__x_site *site)
{
    struct x_fiber *f = ex.cur;
    const struct x_store *s;
    struct x_loc *l;

    if (!ex.active) {
        uint64_t old = raw_read(addr, size);

        if (old == *expected)
            raw_write(addr, desired, size);
        else
            *expected = old;
        return old == *expected;
    }
    x_point();
    l = atomic_loc(addr, size, site);
    s = cas_reads(f, l, *expected);
    if (s->value == *expected) {
        check_access(l, X_ATOMIC_WRITE, site);
        modify(l, desired, order);
        x_trace(site, addr, "%#llx -> %#llx", (unsigned long long)*expected, (unsigned long long)desired);
        return true;
    }
    check_access(l, X_ATOMIC_READ, site);
    saw(f, l, s, order == X_RLX ? X_RLX : X_ACQ);
    x_trace(site, addr, "refused: %#llx, not %#llx%s", (unsigned long long)s->value,
            (unsigned long long)*expected, s != &ex.stores[l->newest] ? " (stale)" : "");
    *expected = s->value;
    return false;
}

/* Not an atomic access: others must be ordered after it. */
void evb__x_init(void *addr, size_t size, uint64_t value, const struct evb__x_site *site)
{
    struct x_loc *l;

    if (!ex.active) {
        raw_write(addr, value, size);
        return;
    }
    l = x_loc(addr, site);
    check_access(l, X_PLAIN_WRITE, site);
    raw_write(addr, value, size);
    if (l->atomic >= 0) ex.cur->view.time[l->atomic] = append_store(l, value, NULL)->time;
    x_trace(site, addr, "= %#llx", (unsigned long long)value);
}

/* The kernel compares under its bucket's lock, after a full barrier of the waker: it cannot miss a store that
 * came before the wake. */
uint32_t x_word(struct x_fiber *f, const uint32_t *word)
{
    static const struct evb__x_site site = {"park", 0, "word", "park"};
    const struct evb__x_site *before = f->site;
    struct x_loc *l = atomic_loc(word, sizeof *word, &site);
    const struct x_store *s = &ex.stores[l->newest];

    check_access(l, X_ATOMIC_READ, &site);
    saw(f, l, s, X_RLX);
    if (before != NULL) f->site = before; /* tells more in a report */
    return (uint32_t)s->value;
}
