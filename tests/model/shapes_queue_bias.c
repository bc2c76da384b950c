/* SPDX-License-Identifier: MIT */
/* A queue's biased lock, src/queue/bias.h, as a unit: one owner who passes through with plain stores, others
 * who take the mutex and recall him.
 *
 * What is done inside reads and writes plain data: two threads at once, or one that does not see what the one
 * before it wrote, is a race. An owner and a locker who wait for each other are a deadlock.
 *
 * A thread's script:
 *      g  becomes the owner if nobody is
 *      e  enters and leaves as the owner; who is not the owner: as l
 *      l  locks and unlocks
 *      r  gives it up; who is not the owner: as l
 */
#include "explore.h"

#include <evbus/base.h>
#include <string.h>
#include "base/barrier.h"
#include "base/park.h"

static int32_t case_heavy(void);
static uint32_t case_pause(uint32_t turn);

/* `turn` is the counter of the loop that waits: a long wait may be cut short. */
#define evb__barrier_heavy       case_heavy
#define evb__spin_pause(counter) ((counter) = case_pause(counter))
#include "queue/bias.h"
#undef evb__barrier_heavy
#undef evb__spin_pause

enum { CASE_THREADS = 3, NOBODY = CASE_THREADS };

struct bias_case {
    const char *name, *script[CASE_THREADS];
    bool granted; /* thread 0 is the owner from the start */
    bool may_refuse;
    int preemptions, stale_reads;
    enum explore_barrier barrier; /* 0: both */
    uint64_t executions;
    const char *covers[EXPLORE_COVERS];
};

extern const struct bias_case cases[];

/* Plain words are no part of the model: one fiber runs at a time. */
static struct {
    struct evb__bias bias;
    uint64_t data;
    uint32_t inside, works, owner;
    bool refused[CASE_THREADS];
    EVB__ATOMIC(uint32_t) clock; /* nobody ever changes it */
} st;

static const struct bias_case *this_case(void)
{
    return &cases[explore_variant()];
}

/* ---- stand-ins ---- */

static int32_t case_heavy(void)
{
    int32_t rc = evb__barrier_heavy();

    st.refused[explore_thread()] = rc != EVB_OK;
    return rc;
}

/* Who has no barrier waits so many turns that stores become visible meanwhile: one time-out stands for them.
 */
static uint32_t case_pause(uint32_t turn)
{
    explore_cover("waited for the owner");
    if (st.refused[explore_thread()] && turn < 4095) {
        while (evb__park(&st.clock, 0, 1) != EVB_ETIMEDOUT)
            continue;
        return 4095;
    }
    evb__spin_pause(turn);
    return turn;
}

/* ---- what is protected ---- */

static void work(void)
{
    uint64_t seen;

    explore_check(++st.inside == 1, "two inside");
    seen = EVB__PLAIN_READ(st.data);
    explore_point();
    explore_check(seen == st.works, "not what the one before wrote");
    EVB__PLAIN_WRITE(st.data, seen + 1);
    st.works++;
    st.inside--;
}

static void lock_and_unlock(void)
{
    evb__bias_lock(&st.bias);
    work();
    evb__bias_unlock(&st.bias);
}

static void become_owner(uint32_t me)
{
    evb__bias_lock(&st.bias);
    work();
    if (st.owner == NOBODY) {
        explore_cover("granted");
        st.owner = me;
        evb__bias_grant(&st.bias);
    }
    evb__bias_unlock(&st.bias);
}

static void enter_and_leave(void)
{
    bool slow = evb__bias_enter(&st.bias);

    explore_cover(slow ? "slow" : "fast");
    if (!slow && st.works != 0) explore_cover("fast again");
    work();
    evb__bias_leave(&st.bias, slow);
}

static void give_up(void)
{
    evb__bias_revoke(&st.bias);
    work();
    st.owner = NOBODY;
    evb__bias_unlock(&st.bias);
}

/* ---- threads ---- */

static void thread(void)
{
    uint32_t me = explore_thread();

    for (const char *script = this_case()->script[me]; *script != '\0'; script++) {
        if (*script == 'g')
            become_owner(me);
        else if (*script == 'l' || st.owner != me)
            lock_and_unlock();
        else if (*script == 'e')
            enter_and_leave();
        else
            give_up();
    }
}

static void setup(void)
{
    evb__bias_init(&st.bias);
    st.owner = NOBODY;
    if (this_case()->granted) {
        st.owner = 0;
        evb__bias_lock(&st.bias);
        evb__bias_grant(&st.bias);
        evb__bias_unlock(&st.bias);
    }
    explore_name(&st.bias.inside, sizeof st.bias.inside, "inside");
    explore_name(&st.bias.recalled, sizeof st.bias.recalled, "recalled");
    explore_name(&st.bias.mutex, sizeof st.bias.mutex, "mutex");
    explore_name(&st.data, sizeof st.data, "data");
}

static void finish(void)
{
    uint32_t works = 0;

    for (uint32_t t = 0; t < CASE_THREADS && this_case()->script[t] != NULL; t++)
        works += (uint32_t)strlen(this_case()->script[t]);
    explore_check(st.works == works && st.data == works, "a work is lost");
    explore_check(st.bias.granted == (st.owner != NOBODY), "granted, and nobody is the owner");
    explore_check(st.bias.recalled == 0, "nobody is inside, and the owner stays recalled");
    explore_check(st.bias.inside == 0, "the owner has left, and seems to be inside");
    evb__bias_destroy(&st.bias);
}

const struct bias_case cases[] = {
    {.name = "owner_enters_twice_against_a_locker",
     .granted = true,
     .script = {"ee", "l"},
     .covers = {"slow", "fast again", "waited for the owner"}},
    {.name = "owner_enters_twice_against_one_who_locks_twice",
     .granted = true,
     .script = {"ee", "ll"},
     .covers = {"slow", "fast again", "waited for the owner"}},
    {.name = "owner_enters_against_two_lockers",
     .granted = true,
     .script = {"ee", "l", "l"},
     .covers = {"slow", "fast again", "waited for the owner"}},
    {.name = "grant_enter_and_give_up_against_a_locker",
     .script = {"geer", "l"},
     .covers = {"granted", "slow", "fast", "waited for the owner"}},
    {.name = "grant_enter_and_give_up_against_one_who_locks_twice",
     .script = {"ger", "ll"},
     .covers = {"granted", "slow", "fast", "waited for the owner"}},
    {.name = "give_up_against_two_lockers",
     .granted = true,
     .script = {"er", "l", "l"},
     .covers = {"slow", "fast", "waited for the owner"}},
    {.name = "two_who_become_the_owner_in_turn",
     .script = {"ger", "ger"},
     .covers = {"granted", "slow", "fast", "waited for the owner"}},
    {.name = "two_who_become_the_owner_against_a_locker",
     .script = {"ger", "ger", "l"},
     .executions = EXPLORE_ENOUGH,
     .covers = {"granted", "slow", "fast", "waited for the owner"}},
    {.name = "barrier_refused_owner_enters_twice_against_a_locker",
     .granted = true,
     .may_refuse = true,
     .barrier = EXPLORE_MEMBARRIER,
     .script = {"ee", "l"},
     .covers = {"barrier refused", "slow", "fast again", "waited for the owner"}},
    {.name = "barrier_refused_owner_gives_up_against_two_lockers",
     .granted = true,
     .may_refuse = true,
     .barrier = EXPLORE_MEMBARRIER,
     .script = {"er", "l", "l"},
     .covers = {"barrier refused", "slow", "fast", "waited for the owner"}},
};

int main(int argc, char **argv)
{
    static struct explore_shape shapes[sizeof cases / sizeof cases[0]];
    size_t count = sizeof cases / sizeof cases[0];

    for (size_t i = 0; i < count; i++) {
        const struct bias_case *c = &cases[i];

        shapes[i] = (struct explore_shape){.name = c->name,
                                           .setup = setup,
                                           .finish = finish,
                                           .variant = (int)i,
                                           .preemptions = c->preemptions,
                                           .stale_reads = c->stale_reads,
                                           .barrier = c->barrier != 0 ? c->barrier : EXPLORE_BOTH,
                                           .barrier_may_refuse = c->may_refuse,
                                           .executions = c->executions};
        for (uint32_t t = 0; t < CASE_THREADS && c->script[t] != NULL; t++)
            shapes[i].threads[t] = thread;
        memcpy(shapes[i].covers, c->covers, sizeof c->covers);
    }
    return explore_main(argc, argv, shapes, count);
}
