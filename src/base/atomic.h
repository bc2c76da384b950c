/* SPDX-License-Identifier: MIT */
/* The atomics seam: every access to memory that two threads share goes through one of these names.
 *
 * The name carries the memory order, so that a reader sees it at the operation and a mutation of one order
 * changes one word. The comment at the operation names its partner ("pairs with ..."). Stand-alone fences do
 * not exist here: sanitizers cannot see them, so orders stand on operations. Two back ends: C11
 * <stdatomic.h>, and with EVB__EXPLORE the interleaving explorer of tests/model, which compiles the shipped
 * source unchanged and decides what every load returns.
 *
 *   ld  load            rlx  relaxed           cas  compare and swap, strong; *expected is reloaded on
 * failure st  store           acq  acquire           cas_ORDER: success ORDER, failure acquire (relaxed for
 * cas_rlx) xchg  exchange      rel  release           add/sub/or  fetch-and-op, answer the old value sc
 * sequentially consistent, acqrel  acquire and release
 */
#ifndef EVB__BASE_ATOMIC_H
#define EVB__BASE_ATOMIC_H

#ifdef EVB__EXPLORE
#include "explore_atomic.h" /* tests/model: same names */
#else

#include <stdatomic.h>

#define EVB__ATOMIC(T) _Atomic(T)

#define evb__ld_rlx(p) atomic_load_explicit((p), memory_order_relaxed)
#define evb__ld_acq(p) atomic_load_explicit((p), memory_order_acquire)
#define evb__ld_sc(p)  atomic_load_explicit((p), memory_order_seq_cst)

#define evb__st_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define evb__st_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define evb__st_sc(p, v)  atomic_store_explicit((p), (v), memory_order_seq_cst)

#define evb__xchg_acqrel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define evb__xchg_sc(p, v)     atomic_exchange_explicit((p), (v), memory_order_seq_cst)

#define evb__cas_rlx(p, e, d)                                                                                \
    atomic_compare_exchange_strong_explicit((p), (e), (d), memory_order_relaxed, memory_order_relaxed)
#define evb__cas_acqrel(p, e, d)                                                                             \
    atomic_compare_exchange_strong_explicit((p), (e), (d), memory_order_acq_rel, memory_order_acquire)
#define evb__cas_sc(p, e, d)                                                                                 \
    atomic_compare_exchange_strong_explicit((p), (e), (d), memory_order_seq_cst, memory_order_acquire)

#define evb__add_rlx(p, v)              atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define evb__add_rel(p, v)              atomic_fetch_add_explicit((p), (v), memory_order_release)
#define evb__add_acqrel(p, v)           atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define evb__sub_rel(p, v)              atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define evb__sub_acqrel(p, v)           atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define evb__or_rlx(p, v)               atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define evb__or_acqrel(p, v)            atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)

/* Before the object is shared: no other thread can see it yet. */
#define evb__init(p, v)                 atomic_init((p), (v))

/* Keeps the compiler, not the processor, from moving accesses across it: the reader's half of barrier.h. */
#define evb__compiler_barrier()         atomic_signal_fence(memory_order_seq_cst)

/* Plain data that an atomic publishes. In the explorer these are checked for races; here they are the bare
 * access. */
#define EVB__PLAIN_READ(lvalue)         (lvalue)
#define EVB__PLAIN_WRITE(lvalue, value) ((lvalue) = (value))

#endif /* EVB__EXPLORE */
#endif
