/* SPDX-License-Identifier: MIT */
/* The heavy half of the asymmetric barrier: membarrier(2), or nothing where readers order for themselves. */
#include "base/barrier.h"

#include <evbus/base.h>
#include "base/atomic.h"
#include "base/log.h"
#include "base/platform.h"

#if defined(__linux__) && !defined(EVB__NO_MEMBARRIER) && !EVB__TSAN
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(SYS_membarrier)
#define BARRIER_MEMBARRIER 1
#endif
#endif
#ifndef BARRIER_MEMBARRIER
#define BARRIER_MEMBARRIER 0
#endif

/* Written by evb__barrier_init before any reader exists, constant from then on. */
enum { BARRIER_UNDECIDED, BARRIER_ASYMMETRIC, BARRIER_SEQ_CST };
static EVB__ATOMIC(uint32_t) barrier_choice;

enum { BARRIER_REFUSED_NEVER, BARRIER_REFUSED_UNSAID, BARRIER_REFUSED_SAID };
static EVB__ATOMIC(uint32_t) barrier_refused;

#if BARRIER_MEMBARRIER

static long barrier_call(int command)
{
    int saved = errno; /* the caller may be an emit of somebody who looks at errno afterwards */
    long answer = syscall(SYS_membarrier, command, 0, 0);

    if (answer < 0) answer = -errno;
    errno = saved;
    return answer;
}

/* The command must be known to the kernel (4.14) and be let through by whatever filters system calls: both
 * show in the answer. */
static bool barrier_register(void)
{
    long known = barrier_call(MEMBARRIER_CMD_QUERY);

    if (known < 0 || (known & MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return false;
    if (barrier_call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0) return false;
    return barrier_call(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0; /* tried here: filters may look at it */
}

static bool barrier_all_threads(void)
{
    return barrier_call(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

#else

static bool barrier_register(void)
{
    return false;
}

static bool barrier_all_threads(void)
{
    return false;
}

#endif

void evb__barrier_init(void)
{
    bool registered;

    registered = barrier_register();
    /* A forked child is registered now, but the choice stands. Relaxed, both: the library's once (or the fork
     * handler) runs this, and orders it before every reader. */
    if (evb__ld_rlx(&barrier_choice) != BARRIER_UNDECIDED) return;
    evb__st_rlx(&barrier_choice, registered ? BARRIER_ASYMMETRIC : BARRIER_SEQ_CST);
}

bool evb__barrier_asymmetric(void)
{
    /* relaxed: constant since init, which the library's once ordered before us */
    return evb__ld_rlx(&barrier_choice) == BARRIER_ASYMMETRIC;
}

void evb__barrier_force_seq_cst(bool force)
{
    /* relaxed: tests, before any reader exists */
    evb__st_rlx(&barrier_choice, force ? BARRIER_SEQ_CST : BARRIER_UNDECIDED);
}

int32_t evb__barrier_heavy(void)
{
    uint32_t never = BARRIER_REFUSED_NEVER;

    if (!evb__barrier_asymmetric()) return EVB_OK; /* both sides modify one word (reader.h): nothing to do */
    if (evb__likely(barrier_all_threads())) return EVB_OK;
    /* Not registered (so a process restored from a checkpoint may find itself) or a filter: try once more. */
    if (barrier_register() && barrier_all_threads()) return EVB_OK;
    (void)evb__cas_rlx(&barrier_refused, &never, BARRIER_REFUSED_UNSAID); /* relaxed: publishes nothing */
    return EVB_ENOTSUP;
}

void evb__barrier_report(void)
{
    uint32_t unsaid = BARRIER_REFUSED_UNSAID;

    /* relaxed, both: a flag; one thread wins and says it for all, nothing else travels. */
    if (evb__likely(evb__ld_rlx(&barrier_refused) != BARRIER_REFUSED_UNSAID)) return;
    if (!evb__cas_rlx(&barrier_refused, &unsaid, BARRIER_REFUSED_SAID)) return;
    evb__log(EVB_LOG_ERROR, "barrier_refused", "call=membarrier effect=slow_removal");
}
