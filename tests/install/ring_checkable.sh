#!/bin/sh
# SPDX-License-Identifier: MIT
# The ring algorithms stay fit for model checkers of C11 programs (GenMC and its like): each compiles as it stands, alone, and wants nothing of
# libc. What they do want is a short list of seams, each of which a harness can stand in for.
. tests/support/house.sh

seams='evb__barrier_heavy evb__park evb__wake_all evb__eventcount_wake evb__swap_far_cell evb__swap_far_spare evb_ring_try_push evb_ring_try_pop evb_ring_notify'

# wants_only_seams FILE.c: compiled with fixed element sizes, its undefined symbols are seams.
wants_only_seams() {
    $cc -std=c11 -D_GNU_SOURCE -O1 -Iinclude -Isrc -pthread -c "$1" -o "$work/one.o" || return 1
    nm -u "$work/one.o" | awk '{ print $NF }' | sort >"$work/wanted"
    echo "$(wc -l <"$work/wanted") symbols wanted"
    echo "$seams" | tr ' ' '\n' | sort >"$work/seams"
    comm -23 "$work/wanted" "$work/seams" >"$work/others"
    [ ! -s "$work/others" ] || { cat "$work/others"; return 1; }
    nm "$work/one.o" | grep -q ' T ' || { echo 'nothing was compiled'; return 1; }
}

spsc() {
    cat <<'END'
#include "ring/ring.h"
int32_t a(struct evb__ring_front *r, void *p, uint32_t how) { return evb__spsc_push_pointer(r, p, how); }
void *b(struct evb__ring_front *r) { return evb__spsc_pop_pointer(r); }
int c(struct evb__ring_front *r) { return evb__spsc_over(r); }
uint32_t d(struct evb__ring_front *r) { return evb__spsc_room(r, 1) + evb__spsc_filled(r, 1); }
int32_t e(struct evb__ring_front *r, uint32_t how) { return evb__spsc_commit(r, 1, how); }
void f(struct evb__ring_front *r) { evb__spsc_consume(r, 1); }
END
}

seq() {
    cat <<'END'
#include "ring/seq.h"
int32_t a(evb_ring *r, const uint64_t *v, uint32_t n) { return evb__seq_push_mp(r, v, n, 8, 16); }
int32_t b(evb_ring *r, const uint64_t *v, uint32_t n) { return evb__seq_push_sp(r, v, n, 8, 16, false); }
int32_t c(evb_ring *r, uint64_t *v, uint32_t n) { return evb__seq_pop_mc(r, v, n, 8, 16, false); }
int32_t d(evb_ring *r, uint64_t *v, uint32_t n) { return evb__seq_pop_mc(r, v, n, 8, 16, true); }
int32_t e(evb_ring *r, uint64_t *v, uint32_t n) { return evb__seq_pop_sc(r, v, n, 8, 16); }
END
}

swap() {
    cat <<'END'
#include "ring/swap.h"
int32_t a(evb_ring *r, const uint64_t *v, uint32_t n) { return evb__swap_push(r, 0, v, n, 8, 8, EVB__SWAP_WORDS, true); }
int32_t b(evb_ring *r, const uint64_t *v, uint32_t n) { return evb__swap_push(r, 0, v, n, 8, 8, EVB__SWAP_TAKEN, false); }
int32_t c(evb_ring *r, uint64_t *v, uint32_t n) { return evb__swap_pop(r, 0, v, n, 8, 8, EVB__SWAP_WORDS); }
int32_t d(evb_ring *r, uint64_t *v, uint32_t n) { return evb__swap_pop(r, 0, v, n, 8, 8, EVB__SWAP_TAKEN); }
int32_t e(evb_ring *r, uint64_t *v, uint32_t n) { return evb__swap_pop(r, 0, v, n, 8, 8, EVB__SWAP_ALONE) + evb__swap_filled(r); }
END
}

eventcount() {
    cat <<'END'
#include "ring/eventcount.h"
void a(evb_ring *r) { evb__ring_notify_poppers(r); evb__ring_notify_pushers(r); }
uint32_t b(evb_ring *r, bool *sure) { return evb__eventcount_prepare(&r->front.c.s.pop_waiters, &r->pop_epoch, 1, sure); }
END
}

algorithm() {
    "$1" >"$work/$1.c"
    wants_only_seams "$work/$1.c"
}

a_call_of_libc() {
    { spsc; echo '#include <stdlib.h>'; echo 'void g(void *p) { free(p); }'; } >"$work/bad.c"
    refuses free wants_only_seams "$work/bad.c"
}

an_empty_file() {
    : >"$work/empty.c"
    echo 'extern int nothing;' >"$work/empty.c"
    refuses 'nothing was compiled' wants_only_seams "$work/empty.c"
}

for name in spsc seq swap eventcount; do
    check "${name}_wants_nothing_of_libc" algorithm $name
done
check a_call_of_libc_is_refused a_call_of_libc
check a_file_without_code_is_refused an_empty_file
finish
