#!/bin/sh
# SPDX-License-Identifier: MIT
# The seams: memory, threads, clocks, files and atomics are reached through src/base only, so that tests can stand in for each of them. Some
# things are used nowhere: fences that sanitizers cannot see, volatile, standard output, the end of the process.
. tests/support/house.sh

# Function names, as calls. `->free(` and `.free(` are calls through a table, which is the seam itself.
memory='malloc calloc realloc reallocarray free aligned_alloc posix_memalign strdup strndup alloca'
threads='pthread_[a-z_]+ thrd_[a-z]+ mtx_[a-z]+ cnd_[a-z]+ sched_yield syscall'
clocks='clock_gettime clock_nanosleep gettimeofday time nanosleep usleep sleep'
files='open openat creat close read write pread pwrite readv writev lseek fsync fdatasync ftruncate mmap munmap rename unlink mkdir fopen fclose fread fwrite fprintf vfprintf
       fputs fputc putc perror        getrandom getenv'
nowhere='printf vprintf puts putchar exit _exit _Exit abort signal sigaction atexit atomic_thread_fence __sync_[a-z_]+ __atomic_[a-z_]+'
nowhere_words='volatile stdout'

alternatives() {
    echo "$*" | tr -s ' \n' '||' | sed 's/|$//'
}

# through_the_seams ROOT: what stands in ROOT/src and does not belong there.
through_the_seams() {
    find "$1/src" "$1/include" -name '*.[ch]' 2>/dev/null | sort | xargs awk -f tests/support/strip.awk >"$work/code" || return 1
    lines=$(wc -l <"$work/code")
    echo "$lines lines of code"
    [ "$lines" -gt 0 ] || return 1

    grep -vE '^[^:]*/src/base/' "$work/code" >"$work/outside"
    grep -vE '^[^:]*/src/base/atomic\.h:' "$work/code" >"$work/no_atomic"
    # One public header is compiled into programs, C++ ones too: it has the builtins, as macros that the explorer replaces.
    grep -vE '^[^:]*/include/evbus/ring_inline\.h:[0-9]*: *# *define EVB__RING_[A-Z_]+(\(p(, v)?\)|\(\)) +__atomic_[a-z_]+\([^()]*(\([pv]\)[^()]*)*\)$' "$work/code" >"$work/builtins"
    before='(^|[^A-Za-z0-9_.>])'
    {
        grep -E "$before($(alternatives "$memory $threads $clocks $files")) *\\(" "$work/outside"
        grep -E "$before($(alternatives "$nowhere")) *\\(" "$work/builtins"
        grep -E "$before($(alternatives "$nowhere_words"))([^A-Za-z0-9_]|\$)" "$work/code"
        # The orders are named in one header; beside it there is no other way to an atomic.
        grep -E "stdatomic\\.h|$before(atomic_[a-z_]+|_Atomic|memory_order_[a-z_]+)([^A-Za-z0-9_]|\$)" "$work/no_atomic"
    } | sort -u >"$work/found"
    [ -s "$work/found" ] || return 0
    cat "$work/found"
    return 1
}

# house_with FILE LINE: a clean small house, and one line more.
house_with() {
    rm -rf "$work/house"
    mkdir -p "$work/house/src/base" "$work/house/src/bus" "$work/house/include/evbus"
    cat >"$work/house/src/bus/fine.c" <<'END'
/* malloc( is a word in a comment, volatile too */
static const char *text = "printf(stdout)"; // free(x)
static void give_back(struct limbo *block) { block->free(block); files.open(text); evb__free(block, 1); evb_emit_open(0); }
END
    printf '%s\n' '#include <stdatomic.h>' '#define evb__ld_acq(p) atomic_load_explicit((p), memory_order_acquire)' >"$work/house/src/base/atomic.h"
    echo 'void *evb__alloc(size_t n) { return malloc(n); }' >"$work/house/src/base/alloc.c"
    through_the_seams "$work/house" || return 1
    mkdir -p "$(dirname "$work/house/$1")"
    printf '%s\n' "$2" >>"$work/house/$1"
}

refuses_line() {
    house_with "$1" "$2" || return 1
    refuses "$2" through_the_seams "$work/house"
}

# Every name of the lists above must be caught, not only the ones that somebody thought of: one line of code for each, one answer for each.
refuses_every_name() {
    words="pthread_create pthread_mutex_lock thrd_create sched_yield syscall $(echo "$memory $clocks $files $nowhere" | tr -s ' \n' '\n\n' | grep -v '\[')"
    house_with src/bus/x.c '' || return 1
    for word in $words; do echo "    x = $word (1);"; done >"$work/house/src/bus/x.c"
    refuses 'malloc (1)' through_the_seams "$work/house" || return 1
    for word in $words; do
        grep -q " = $word (1);" "$work/refused" || { echo "not refused: $word"; return 1; }
    done
    echo "$(echo "$words" | wc -w) names"
}

check everything_goes_through_the_seams through_the_seams .
check every_direct_call_outside_base_is_refused refuses_every_name
check a_fence_is_refused_even_in_base refuses_line src/base/x.c 'atomic_thread_fence(memory_order_seq_cst);'
check volatile_is_refused_even_in_a_public_header refuses_line include/evbus/x.h 'extern volatile int evb_x;'
check standard_output_is_refused_even_in_base refuses_line src/base/x.c 'fputs(line, stdout);'
check a_builtin_beside_its_macro_is_refused refuses_line include/evbus/ring_inline.h 'x = __atomic_load_n(p, __ATOMIC_RELAXED);'
check a_bare_atomic_operation_is_refused refuses_line src/base/x.c 'atomic_store(&x, 1);'
check an_atomic_type_beside_the_seam_is_refused refuses_line src/bus/x.c 'static _Atomic int x;'
check stdatomic_beside_the_seam_is_refused refuses_line src/ring/x.c '#include <stdatomic.h>'
finish
