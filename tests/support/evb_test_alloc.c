/* SPDX-License-Identifier: MIT */
/* The counting allocator: sizes, guards, poison, a short quarantine, and failures on demand.
 *
 *      base                      user pointer
 *      | lead: padding  header   | size bytes         | guard |
 *
 * The counters are relaxed atomics and nothing else is shared: a lock in here would order the threads that
 * allocate, and ThreadSanitizer would no longer see the races that the lock happens to hide.
 * EVB_TEST_ALLOC=libc leaves allocation to libc (for valgrind, which knows more than we do): then nothing is
 * counted, and tests that inject failures skip themselves.
 */
#include "evb_test_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/atomic.h"
#include "base/platform.h"

#define MAGIC_LIVE UINT64_C(0x65766275734c4956)
#define MAGIC_FREE UINT64_C(0x6576627573465245)
#define BYTE_NEW   0xA5 /* fresh memory: nobody may count on zeros */
#define BYTE_FREE  0xDD
#define BYTE_GUARD 0xFB
/* AddressSanitizer guards the end itself, and names the culprit; a guard of ours would only move its border
 * away. */
#define GUARD (EVB_TEST_ASAN ? 0u : 16u)
/* Freed blocks wait here so that a write after free has something to spoil. With a sanitizer they go at once:
 * it keeps its own. */
#define QUARANTINE (EVB_TEST_ASAN || EVB__TSAN ? 0u : 64u)

struct header {
    uint64_t magic;
    size_t size, align;
    void *base;
};

static struct {
    EVB__ATOMIC(int64_t) blocks, bytes;
    EVB__ATOMIC(uint64_t) calls;
    EVB__ATOMIC(int64_t) fuse; /* allocations until the first failure; <= 0: burnt down */
    EVB__ATOMIC(int32_t) mode; /* FAIL_* */
    EVB__ATOMIC(uint64_t) faults;
    EVB__ATOMIC(const char *) wrong; /* the first thing found wrong in this test */
    EVB__ATOMIC(struct header *) quarantine[QUARANTINE + 1];
    EVB__ATOMIC(uint32_t) next;
    int64_t blocks_before; /* the test's own thread only, as are the two below */
    int64_t kept;
    bool installed;
} state;

enum { FAIL_OFF, FAIL_ONCE, FAIL_FROM };

/* All relaxed: counters and flags that order nothing, on purpose (see above). */
#define GET(field)    evb__ld_rlx(&state.field)
#define SET(field, v) evb__st_rlx(&state.field, (v))
#define ADD(field, v) evb__add_rlx(&state.field, (v))

static void found(const char *what)
{
    const char *none = NULL;

    (void)evb__cas_rlx(&state.wrong, &none, what); /* relaxed: static text */
}

/* Does this allocation fail? */
static bool burnt(void)
{
    int32_t mode = GET(mode);
    int64_t left;

    if (mode == FAIL_OFF) return false;
    left = ADD(fuse, -1) - 1;
    if (mode == FAIL_ONCE ? left != 0 : left > 0) return false;
    (void)ADD(faults, 1);
    return true;
}

static void *counted_alloc(size_t size, size_t align, void *user)
{
    size_t lead = align > sizeof(struct header) ? align : (sizeof(struct header) + align - 1) / align * align;
    struct header *h;
    void *base;
    char *ptr;

    (void)user;
    (void)ADD(calls, 1);
    if (size == 0) found("allocation of 0 bytes");
    if (align < sizeof(void *) || (align & (align - 1)) != 0)
        found("alignment that is no power of two or below a pointer's");
    if (burnt()) return NULL;
    if (posix_memalign(&base, align, lead + size + GUARD) != 0) return NULL;
    ptr = (char *)base + lead;
    h = (struct header *)(void *)(ptr - sizeof *h);
    h->magic = MAGIC_LIVE;
    h->size = size;
    h->align = align;
    h->base = base;
    memset(ptr, BYTE_NEW, size);
    memset(ptr + size, BYTE_GUARD, GUARD);
    (void)ADD(blocks, 1);
    (void)ADD(bytes, (int64_t)size);
    return ptr;
}

static bool all_bytes(const void *ptr, size_t size, unsigned char byte)
{
    const unsigned char *p = ptr;

    for (size_t i = 0; i < size; i++) {
        if (p[i] != byte) return false;
    }
    return true;
}

static void release(struct header *h)
{
    if (h == NULL) return;
    if (h->magic != MAGIC_FREE || !all_bytes(h + 1, h->size, BYTE_FREE))
        found("memory written after it was freed");
    free(h->base);
}

static void counted_free(void *ptr, size_t size, void *user)
{
    struct header *h = (struct header *)(void *)((char *)ptr - sizeof *h);

    (void)user;
    if (h->magic != MAGIC_LIVE) {
        found(h->magic == MAGIC_FREE ? "memory freed twice"
                                     : "a pointer freed that was not allocated here, or memory "
                                       "before it overwritten");
        return; /* there is nothing to give back */
    }
    if (h->size != size) found("memory given back with another size than it was asked for with");
    if (!all_bytes((char *)ptr + h->size, GUARD, BYTE_GUARD)) found("memory behind a block overwritten");
    (void)ADD(blocks, -1);
    (void)ADD(bytes, -(int64_t)h->size);
    h->magic = MAGIC_FREE;
    memset(ptr, BYTE_FREE, h->size);
    if (QUARANTINE != 0) {
        uint32_t place = ADD(next, 1) % (QUARANTINE + 1);

        /* acqrel: the one that comes out was filled by another thread; pairs with its own exchange. */
        h = evb__xchg_acqrel(&state.quarantine[place], h);
    }
    release(h);
}

bool evb_test_plain_alloc(void)
{
    const char *how = getenv("EVB_TEST_ALLOC");

    return how != NULL && strcmp(how, "libc") == 0;
}

void evb_test_alloc_install(void)
{
    int32_t rc;

    if (evb_test_plain_alloc()) return;
    rc = evb_set_allocator(
        &(evb_allocator){.struct_size = sizeof(evb_allocator), .alloc = counted_alloc, .free = counted_free});
    if (rc != EVB_OK) {
        fprintf(stderr, "the counting allocator was refused: %s\n", evb_err_name(rc));
        abort();
    }
    state.installed = true;
}

void evb_test_alloc_begin(void)
{
    state.blocks_before = GET(blocks);
    state.kept = 0;
    SET(wrong, NULL);
    evb_test_alloc_fail_off();
}

const char *evb_test_alloc_end(void)
{
    static char text[128];
    int64_t more;

    evb_test_alloc_fail_off();
    for (uint32_t i = 0; i <= QUARANTINE; i++)
        release(evb__xchg_acqrel(&state.quarantine[i], NULL)); /* as in counted_free */
    if (GET(wrong) != NULL) return GET(wrong);
    more = GET(blocks) - state.blocks_before;
    if (more == state.kept) return NULL;
    (void)snprintf(text, sizeof text,
                   "%" PRId64
                   " blocks of the library are alive that were not before the test, expected %" PRId64,
                   more, state.kept);
    return text;
}

int64_t evb_test_alloc_live(void)
{
    return GET(blocks);
}

int64_t evb_test_alloc_live_bytes(void)
{
    return GET(bytes);
}

uint64_t evb_test_alloc_calls(void)
{
    return GET(calls);
}

uint64_t evb_test_alloc_faults(void)
{
    return GET(faults);
}

void evb_test_alloc_expect_kept(int64_t blocks)
{
    if (state.installed) state.kept += blocks;
}

static void fail_at(uint64_t k, int32_t mode)
{
    if (!state.installed) SKIP("EVB_TEST_ALLOC=libc: no allocation can be made to fail");
    SET(faults, 0);
    SET(fuse, (int64_t)k);
    SET(mode, mode);
}

void evb_test_alloc_fail_once_at(uint64_t k)
{
    fail_at(k, FAIL_ONCE);
}

void evb_test_alloc_fail_from(uint64_t k)
{
    fail_at(k, FAIL_FROM);
}

void evb_test_alloc_fail_off(void)
{
    SET(mode, FAIL_OFF);
}

#define SWEEP_LIMIT 100000 /* a scenario that still fails at its 100 000th allocation does not end */

uint32_t evb_test_alloc_sweep(void (*scenario)(void *arg), void *arg)
{
    static const char *const names[] = {"", "only", "from"};
    uint32_t runs = 0;

    for (int32_t mode = FAIL_ONCE; mode <= FAIL_FROM; mode++) {
        for (uint64_t k = 1;; k++) {
            int64_t live = GET(blocks);
            uint64_t faults;

            fail_at(k, mode);
            scenario(arg);
            evb_test_alloc_fail_off();
            faults = GET(faults);
            if (GET(blocks) != live || GET(wrong) != NULL) {
                evb_test_fail(__FILE__, __LINE__,
                              "allocation %s %" PRIu64 " failed: %" PRId64 " blocks left over; %s",
                              names[mode], k, GET(blocks) - live,
                              GET(wrong) != NULL ? GET(wrong) : "nothing else wrong");
                return runs;
            }
            if (faults == 0) break;
            runs++;
            if (k >= SWEEP_LIMIT)
                evb_test_fail(__FILE__, __LINE__, "no end after %d allocations", SWEEP_LIMIT);
        }
    }
    return runs;
}
