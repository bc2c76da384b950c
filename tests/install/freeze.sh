#!/bin/sh
# SPDX-License-Identifier: MIT
# Lock-freedom, looked at: a thread is stopped before each machine instruction of a ring operation, and the others must pass six laps of the
# ring, or close and drain it, all the same. Beside each line stands how many instructions the operation takes. tests/freeze says how.
. tests/support/house.sh

# examined GROUP: what is printed shows the numbers also when all is well.
examined() {
    [ -z "${EVB_SAN:-}" ] || skip 'a sanitizer adds instructions that stop others'
    case $(uname -s)-$(uname -m) in
    Linux-x86_64) ;;
    *) skip 'single steps are known for x86-64 Linux only' ;;
    esac
    # -z now: no call may have to find its function while it is stepped.
    [ -x "$work/freeze" ] ||
        $cc -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Wpedantic -Iinclude -Isrc tests/freeze/*.c "$build/libevbus.a" -pthread -Wl,-z,now \
            -o "$work/freeze" || return 1
    "$work/freeze" "$1"
}

check a_ring_behind_a_mutex_is_seen_to_block examined control
check the_instructions_of_wait_free_operations_are_counted examined spsc
check a_thread_stopped_anywhere_in_a_lock_free_ring_stops_nobody examined lock-free
check a_thread_stopped_in_a_sequenced_ring_is_seen_to_stop_others examined sequenced
finish
