/* SPDX-License-Identifier: MIT */
/* The explorer's side of base/atomic.h: the same names, each access a call into the explorer. Test code,
 * gnu11.
 *
 * EVB__ATOMIC(T) is plain T: the memory holds the newest value, the explorer knows the older ones.
 */
#ifndef EXPLORE_ATOMIC_H
#define EXPLORE_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values travel in the low bytes of a uint64_t");

enum evb__x_order {
    X_RLX = 0,
    X_ACQ = 1,
    X_REL = 2,
    X_ACQREL = 3,
    X_SC = 7
}; /* bits: acquire, release, SC */
enum evb__x_rmw { X_XCHG, X_ADD, X_SUB, X_OR };

/* Where an access stands in the source. */
struct evb__x_site {
    const char *file;
    int line;
    const char *expr, *op;
};

uint64_t evb__x_load(const void *addr, size_t size, enum evb__x_order order, const struct evb__x_site *site);
void evb__x_store(void *addr, size_t size, uint64_t value, enum evb__x_order order,
                  const struct evb__x_site *site);
uint64_t evb__x_rmw(void *addr, size_t size, enum evb__x_rmw rmw, uint64_t operand, enum evb__x_order order,
                    const struct evb__x_site *site);
bool evb__x_cas(void *addr, size_t size, uint64_t *expected, uint64_t desired, enum evb__x_order order,
                const struct evb__x_site *site);
void evb__x_init(void *addr, size_t size, uint64_t value, const struct evb__x_site *site);
void evb__x_plain(const void *addr, size_t size, bool write, const struct evb__x_site *site);

#define EVB__ATOMIC(T) __typeof__(T)

/* text: the operand as it stands in the source, so made by # in the outermost macro. */
#define X__SITE(what, text)                                                                                  \
    ({                                                                                                       \
        static const struct evb__x_site x_site_ = {__FILE__, __LINE__, text, what};                          \
        &x_site_;                                                                                            \
    })
/* The unqualified type of *p: the comma operator drops qualifiers. */
#define X__TYPE(p) __typeof__((void)0, *(p))
#define X__BITS(var)                                                                                         \
    ({                                                                                                       \
        uint64_t x_bits_ = 0;                                                                                \
        _Static_assert(sizeof(var) <= sizeof x_bits_, "no wide atomics");                                    \
        memcpy(&x_bits_, &(var), sizeof(var));                                                               \
        x_bits_;                                                                                             \
    })
#define X__VALUE(p, bits)                                                                                    \
    ({                                                                                                       \
        uint64_t x_from_ = (bits);                                                                           \
        X__TYPE(p) x_to_;                                                                                    \
        memcpy(&x_to_, &x_from_, sizeof x_to_);                                                              \
        x_to_;                                                                                               \
    })

#define X__LD(p, order, what, text)                                                                          \
    ({                                                                                                       \
        __typeof__(p) x_p_ = (p);                                                                            \
        X__VALUE(x_p_, evb__x_load(x_p_, sizeof *x_p_, order, X__SITE(what, text)));                         \
    })
#define X__ST(p, v, order, what, text)                                                                       \
    ({                                                                                                       \
        __typeof__(p) x_p_ = (p);                                                                            \
        X__TYPE(x_p_) x_v_ = (v);                                                                            \
        evb__x_store(x_p_, sizeof *x_p_, X__BITS(x_v_), order, X__SITE(what, text));                         \
    })
#define X__RMW(p, v, rmw, order, what, text)                                                                 \
    ({                                                                                                       \
        __typeof__(p) x_p_ = (p);                                                                            \
        X__TYPE(x_p_) x_v_ = (v);                                                                            \
        X__VALUE(x_p_, evb__x_rmw(x_p_, sizeof *x_p_, rmw, X__BITS(x_v_), order, X__SITE(what, text)));      \
    })
#define X__CAS(p, e, d, order, what, text)                                                                   \
    ({                                                                                                       \
        __typeof__(p) x_p_ = (p);                                                                            \
        X__TYPE(x_p_) *x_e_ = (e), x_d_ = (d);                                                               \
        uint64_t x_seen_ = X__BITS(*x_e_);                                                                   \
        bool x_ok_ = evb__x_cas(x_p_, sizeof *x_p_, &x_seen_, X__BITS(x_d_), order, X__SITE(what, text));    \
        if (!x_ok_) *x_e_ = X__VALUE(x_p_, x_seen_);                                                         \
        x_ok_;                                                                                               \
    })

#define evb__ld_rlx(p) X__LD(p, X_RLX, "ld.rlx", #p)
#define evb__ld_acq(p) X__LD(p, X_ACQ, "ld.acq", #p)
#define evb__ld_sc(p)  X__LD(p, X_SC, "ld.sc", #p)

#define evb__st_rlx(p, v) X__ST(p, v, X_RLX, "st.rlx", #p)
#define evb__st_rel(p, v) X__ST(p, v, X_REL, "st.rel", #p)
#define evb__st_sc(p, v)  X__ST(p, v, X_SC, "st.sc", #p)

#define evb__xchg_acqrel(p, v) X__RMW(p, v, X_XCHG, X_ACQREL, "xchg.acqrel", #p)
#define evb__xchg_sc(p, v)     X__RMW(p, v, X_XCHG, X_SC, "xchg.sc", #p)

#define evb__cas_rlx(p, e, d)    X__CAS(p, e, d, X_RLX, "cas.rlx", #p)
#define evb__cas_acqrel(p, e, d) X__CAS(p, e, d, X_ACQREL, "cas.acqrel", #p)
#define evb__cas_sc(p, e, d)     X__CAS(p, e, d, X_SC, "cas.sc", #p)

#define evb__add_rlx(p, v)    X__RMW(p, v, X_ADD, X_RLX, "add.rlx", #p)
#define evb__add_rel(p, v)    X__RMW(p, v, X_ADD, X_REL, "add.rel", #p)
#define evb__add_acqrel(p, v) X__RMW(p, v, X_ADD, X_ACQREL, "add.acqrel", #p)
#define evb__sub_rel(p, v)    X__RMW(p, v, X_SUB, X_REL, "sub.rel", #p)
#define evb__sub_acqrel(p, v) X__RMW(p, v, X_SUB, X_ACQREL, "sub.acqrel", #p)
#define evb__or_rlx(p, v)     X__RMW(p, v, X_OR, X_RLX, "or.rlx", #p)
#define evb__or_acqrel(p, v)  X__RMW(p, v, X_OR, X_ACQREL, "or.acqrel", #p)

#define evb__init(p, v)                                                                                      \
    ({                                                                                                       \
        __typeof__(p) x_p_ = (p);                                                                            \
        X__TYPE(x_p_) x_v_ = (v);                                                                            \
        evb__x_init(x_p_, sizeof *x_p_, X__BITS(x_v_), X__SITE("init", #p));                                 \
    })

/* Orders nothing between threads by itself: the barrier's other half is evb__barrier_heavy. */
#define evb__compiler_barrier() ((void)0)

#define EVB__PLAIN_READ(lvalue)                                                                              \
    ({                                                                                                       \
        __typeof__(&(lvalue)) x_q_ = &(lvalue);                                                              \
        evb__x_plain(x_q_, sizeof *x_q_, false, X__SITE("read", #lvalue));                                   \
        *x_q_;                                                                                               \
    })
#define EVB__PLAIN_WRITE(lvalue, value)                                                                      \
    ({                                                                                                       \
        __typeof__(&(lvalue)) x_q_ = &(lvalue);                                                              \
        X__TYPE(x_q_) x_w_ = (value);                                                                        \
        evb__x_plain(x_q_, sizeof *x_q_, true, X__SITE("write", #lvalue));                                   \
        *x_q_ = x_w_;                                                                                        \
    })

/* Zeroed memory of the running fiber, the same at each call; stands for thread-local storage. */
void *evb__explore_local(size_t size);

#endif
