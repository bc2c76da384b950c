/* SPDX-License-Identifier: MIT */
/* Does the explorer allow what C11 allows, and no more? Litmus tests, each with the outcomes that must and
 * must not happen. */
#include "base/atomic.h"
#include "base/barrier.h"
#include "explore.h"

static EVB__ATOMIC(uint32_t) x, y, z;
static uint32_t r1, r2, r3, r4;
static int payload;

/* ---- store buffering ---- */

static void sb_left_sc(void)
{
    evb__st_sc(&x, 1);
    r1 = evb__ld_sc(&y);
}

static void sb_right_sc(void)
{
    evb__st_sc(&y, 1);
    r2 = evb__ld_sc(&x);
}

static void sb_left_ra(void)
{
    evb__st_rel(&x, 1);
    r1 = evb__ld_acq(&y);
}

static void sb_right_ra(void)
{
    evb__st_rel(&y, 1);
    r2 = evb__ld_acq(&x);
}

static void sb_left_xchg(void)
{
    (void)evb__xchg_sc(&x, 1);
    r1 = evb__ld_sc(&y);
}

static void sb_finish(void)
{
    explore_check(r1 != 0 || r2 != 0, "both missed the other's store");
    if (r1 == 0) explore_cover("left first");
    if (r2 == 0) explore_cover("right first");
    if (r1 != 0 && r2 != 0) explore_cover("both saw");
}

static void xchg_right_then_acquire(void)
{
    (void)evb__xchg_sc(&y, 1);
    r2 = evb__ld_acq(&x);
}

/* ---- message passing ---- */

static void mp_write_rel(void)
{
    EVB__PLAIN_WRITE(payload, 7);
    evb__st_rel(&x, 1);
}

static void mp_write_rlx(void)
{
    EVB__PLAIN_WRITE(payload, 7);
    evb__st_rlx(&x, 1);
}

static void mp_read_acq(void)
{
    if (evb__ld_acq(&x) == 0) return;
    explore_cover("published");
    explore_check(EVB__PLAIN_READ(payload) == 7, "old payload");
}

static void mp_read_rlx(void)
{
    if (evb__ld_rlx(&x) != 0) (void)EVB__PLAIN_READ(payload);
}

/* All atomic, so no race gives it away: only the stale read does. */
static void mp_atomic_write(void)
{
    evb__st_rlx(&y, 1);
    evb__st_rlx(&x, 1);
}

static void mp_atomic_read(void)
{
    if (evb__ld_acq(&x) == 1) explore_check(evb__ld_rlx(&y) == 1, "flag seen, data not");
}

/* A relaxed read-modify-write continues the release sequence of the store that it read. */
static void mp_modify(void)
{
    (void)evb__add_rlx(&x, 1);
}

static void mp_read_two(void)
{
    if (evb__ld_acq(&x) != 2) return;
    explore_cover("published");
    explore_check(EVB__PLAIN_READ(payload) == 7, "old payload");
}

/* A relaxed store of another thread does not. */
static void mp_overwrite(void)
{
    if (evb__ld_rlx(&x) == 1) evb__st_rlx(&x, 2);
}

/* Through a third thread: happens-before is transitive. */
static void mp_forward(void)
{
    if (evb__ld_acq(&x) != 0) evb__st_rel(&y, 1);
}

static void mp_read_forwarded(void)
{
    if (evb__ld_acq(&y) == 0) return;
    explore_cover("published");
    explore_check(EVB__PLAIN_READ(payload) == 7, "old payload");
}

/* ---- coherence ---- */

static void co_write(void)
{
    evb__st_rlx(&x, 1);
    evb__st_rlx(&x, 2);
}

static void co_read(void)
{
    uint32_t a = evb__ld_rlx(&x), b = evb__ld_rlx(&x);

    explore_check(b >= a, "read backwards");
    if (a == 0 && b == 2) explore_cover("jumped ahead");
    if (a == 1 && b == 1) explore_cover("stayed");
}

/* Two stores from two threads, two readers: all agree on their order. */
static void co_write_one(void)
{
    evb__st_rlx(&x, 1);
}

static void co_write_two(void)
{
    evb__st_rlx(&x, 2);
}

static void co_read_left(void)
{
    r1 = evb__ld_rlx(&x);
    r2 = evb__ld_rlx(&x);
}

static void co_read_right(void)
{
    r3 = evb__ld_rlx(&x);
    r4 = evb__ld_rlx(&x);
}

static void co_finish(void)
{
    explore_check(!(r1 == 1 && r2 == 2 && r3 == 2 && r4 == 1), "two readers saw opposite orders");
}

/* ---- independent reads of independent writes ---- */

static void iriw_x_sc(void)
{
    evb__st_sc(&x, 1);
}

static void iriw_y_sc(void)
{
    evb__st_sc(&y, 1);
}

static void iriw_left_sc(void)
{
    r1 = evb__ld_sc(&x);
    r2 = evb__ld_sc(&y);
}

static void iriw_right_sc(void)
{
    r3 = evb__ld_sc(&y);
    r4 = evb__ld_sc(&x);
}

static void iriw_x_rel(void)
{
    evb__st_rel(&x, 1);
}

static void iriw_y_rel(void)
{
    evb__st_rel(&y, 1);
}

static void iriw_left_acq(void)
{
    r1 = evb__ld_acq(&x);
    r2 = evb__ld_acq(&y);
}

static void iriw_right_acq(void)
{
    r3 = evb__ld_acq(&y);
    r4 = evb__ld_acq(&x);
}

static void iriw_finish(void)
{
    explore_check(!(r1 == 1 && r2 == 0 && r3 == 1 && r4 == 0),
                  "the readers disagree on the order of the writes");
    if (r1 == 1 && r2 == 1 && r3 == 1 && r4 == 1) explore_cover("both saw both");
}

/* ---- read-modify-writes ---- */

static void add_twice(void)
{
    (void)evb__add_rlx(&x, 1);
    (void)evb__add_rlx(&x, 1);
}

static void added(void)
{
    explore_check(evb__ld_rlx(&x) == 4, "an increment was lost");
}

static void increment_by_load_and_store(void)
{
    evb__st_rlx(&x, evb__ld_rlx(&x) + 1);
    evb__st_rlx(&x, evb__ld_rlx(&x) + 1);
}

static void claim(void)
{
    uint32_t free = 0;

    if (evb__cas_acqrel(&x, &free, 1 + explore_thread())) {
        r1++;
    } else {
        explore_check(free != 0, "a failed strong CAS saw what it expected");
        explore_cover("refused");
    }
}

static void claimed_once(void)
{
    explore_check(r1 == 1, "claimed by two or by none");
}

/* ---- the asymmetric barrier ---- */

static void light_left(void)
{
    evb__st_rlx(&x, 1);
    evb__compiler_barrier();
    r1 = evb__ld_rlx(&y);
}

static void light_right(void)
{
    evb__st_rlx(&y, 1);
    evb__compiler_barrier();
    r2 = evb__ld_rlx(&x);
}

static void heavy_right(void)
{
    evb__st_rlx(&y, 1);
    (void)evb__barrier_heavy();
    r2 = evb__ld_rlx(&x);
}

static void heavy_alone(void)
{
    (void)evb__barrier_heavy();
}

/* The heavy side's barrier is also the light side's acquire and release fence. */
static void fence_publishes(void)
{
    EVB__PLAIN_WRITE(payload, 7);
    (void)evb__barrier_heavy();
    evb__st_rlx(&x, 1);
}

/* ---- initialisation ---- */

static EVB__ATOMIC(uint32_t) fresh;

static void init_then_publish(void)
{
    evb__init(&fresh, 5);
    if (explore_variant() == 0)
        evb__st_rel(&x, 1);
    else
        evb__st_rlx(&x, 1);
}

static void read_initialised(void)
{
    if (evb__ld_acq(&x) == 0) return;
    explore_cover("published");
    explore_check(evb__ld_rlx(&fresh) == 5, "not initialised");
}

/* ---- widths and types ---- */

enum colour { RED = 1, BLUE = 9 };
static EVB__ATOMIC(uint8_t) narrow;
static EVB__ATOMIC(int64_t) wide;
static EVB__ATOMIC(bool) flag;
static EVB__ATOMIC(enum colour) colour;
static EVB__ATOMIC(void *) pointer;
static EVB__ATOMIC(void (*)(void)) function;

static void typed(void)
{
    const EVB__ATOMIC(int64_t) *readable = &wide;

    explore_check(evb__add_acqrel(&narrow, 255) == 0 && evb__add_rlx(&narrow, 2) == 255, "8 bits");
    explore_check(evb__ld_acq(&narrow) == 1, "wraps at 8 bits");
    explore_check(evb__sub_acqrel(&wide, 3) == 0 && evb__ld_acq(readable) == -3, "64 bits, signed");
    explore_check(evb__or_rlx(&z, 0x80000001u) == 0 && evb__xchg_acqrel(&z, 2) == 0x80000001u, "32 bits");
    evb__st_rel(&flag, true);
    evb__st_sc(&colour, BLUE);
    evb__st_rlx(&pointer, &wide);
    evb__st_rel(&function, typed);
    explore_check(evb__ld_acq(&flag) && evb__ld_sc(&colour) == BLUE, "bool and enum");
    explore_check(evb__ld_rlx(&pointer) == &wide && evb__ld_acq(&function) == typed, "pointers");
    explore_check(evb__sub_rel(&z, 1) == 2 && evb__add_rel(&z, 4) == 1 && evb__ld_sc(&z) == 5,
                  "release adds");
}

static void behind_the_seam(void)
{
    (void)evb__ld_rlx(&x);
    x = 3; /* as a plain assignment in the shipped source would be */
    (void)evb__ld_rlx(&x);
}

static const struct explore_shape shapes[] = {
    {.name = "store_buffering_with_seq_cst_never_misses_both",
     .threads = {sb_left_sc, sb_right_sc},
     .finish = sb_finish,
     .covers = {"left first", "right first", "both saw"}},
    {.name = "store_buffering_with_seq_cst_exchange_never_misses_both",
     .threads = {sb_left_xchg, sb_right_sc},
     .finish = sb_finish,
     .covers = {"left first", "right first", "both saw"}},
    {.name = "store_buffering_with_acquire_release_misses_both",
     .threads = {sb_left_ra, sb_right_ra},
     .finish = sb_finish,
     .bug = "both missed"},
    {.name = "seq_cst_exchange_does_not_order_a_later_acquire_load",
     .threads = {sb_left_xchg, xchg_right_then_acquire},
     .finish = sb_finish,
     .bug = "both missed"},
    {.name = "message_passing_with_release_and_acquire_is_safe",
     .threads = {mp_write_rel, mp_read_acq},
     .covers = {"published"}},
    {.name = "message_passing_with_relaxed_store_races",
     .threads = {mp_write_rlx, mp_read_acq},
     .bug = "data race"},
    {.name = "message_passing_with_relaxed_load_races",
     .threads = {mp_write_rel, mp_read_rlx},
     .bug = "data race"},
    {.name = "relaxed_stores_to_two_places_are_seen_in_any_order",
     .threads = {mp_atomic_write, mp_atomic_read},
     .bug = "flag seen, data not"},
    {.name = "relaxed_modification_continues_the_release_sequence",
     .threads = {mp_write_rel, mp_modify, mp_read_two},
     .covers = {"published"}},
    {.name = "relaxed_store_of_another_thread_ends_the_release_sequence",
     .threads = {mp_write_rel, mp_overwrite, mp_read_two},
     .bug = "data race"},
    {.name = "happens_before_is_transitive",
     .threads = {mp_write_rel, mp_forward, mp_read_forwarded},
     .covers = {"published"}},
    {.name = "one_location_is_never_read_backwards",
     .threads = {co_write, co_read},
     .covers = {"jumped ahead", "stayed"}},
    {.name = "all_agree_on_the_order_of_two_stores_to_one_location",
     .threads = {co_write_one, co_write_two, co_read_left, co_read_right},
     .finish = co_finish},
    {.name = "independent_reads_agree_with_seq_cst",
     .threads = {iriw_x_sc, iriw_y_sc, iriw_left_sc, iriw_right_sc},
     .finish = iriw_finish,
     .covers = {"both saw both"}},
    {.name = "independent_reads_may_disagree_with_acquire_release",
     .threads = {iriw_x_rel, iriw_y_rel, iriw_left_acq, iriw_right_acq},
     .finish = iriw_finish,
     .bug = "disagree"},
    {.name = "relaxed_additions_lose_nothing", .threads = {add_twice, add_twice}, .finish = added},
    {.name = "load_and_store_lose_an_increment",
     .threads = {increment_by_load_and_store, increment_by_load_and_store},
     .finish = added,
     .bug = "increment was lost"},
    {.name = "compare_and_swap_has_one_winner",
     .threads = {claim, claim, claim},
     .finish = claimed_once,
     .covers = {"refused"}},
    {.name = "heavy_barrier_on_one_side_orders_the_light_side",
     .threads = {light_left, heavy_right},
     .finish = sb_finish,
     .barrier = EXPLORE_MEMBARRIER,
     .covers = {"left first", "right first", "both saw"}},
    {.name = "two_light_sides_are_ordered_with_the_heavy_side_each",
     .threads = {light_left, heavy_right, light_left},
     .finish = sb_finish,
     .barrier = EXPLORE_MEMBARRIER},
    {.name = "light_against_light_is_not_ordered",
     .threads = {light_left, light_right},
     .finish = sb_finish,
     .barrier = EXPLORE_MEMBARRIER,
     .bug = "both missed"},
    {.name = "light_against_light_is_not_ordered_by_a_heavy_third",
     .threads = {light_left, light_right, heavy_alone},
     .finish = sb_finish,
     .barrier = EXPLORE_MEMBARRIER,
     .bug = "both missed"},
    {.name = "heavy_barrier_does_nothing_in_the_seq_cst_back_end",
     .threads = {light_left, heavy_right},
     .finish = sb_finish,
     .barrier = EXPLORE_SEQ_CST,
     .bug = "both missed"},
    {.name = "refused_barrier_orders_nothing",
     .threads = {light_left, heavy_right},
     .finish = sb_finish,
     .barrier = EXPLORE_MEMBARRIER,
     .barrier_may_refuse = true,
     .bug = "both missed"},
    {.name = "heavy_barrier_is_a_release_fence_of_its_caller",
     .threads = {fence_publishes, mp_read_acq},
     .barrier = EXPLORE_MEMBARRIER,
     .covers = {"published"}},
    {.name = "initialisation_that_is_published_is_seen",
     .threads = {init_then_publish, read_initialised},
     .covers = {"published"}},
    {.name = "initialisation_that_is_not_published_races",
     .threads = {init_then_publish, read_initialised},
     .variant = 1,
     .bug = "data race"},
    {.name = "every_scalar_type_goes_through_the_seam", .threads = {typed}},
    {.name = "assignment_behind_the_seam_is_refused", .threads = {behind_the_seam}, .bug = "behind the seam"},
};

int main(int argc, char **argv)
{
    return explore_main(argc, argv, shapes, sizeof shapes / sizeof shapes[0]);
}
