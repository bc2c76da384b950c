#!/bin/sh
# SPDX-License-Identifier: MIT
# Does ThreadSanitizer see our races? The tier check-tsan is silent; here the same library with its publishing stores weakened to relaxed, by
# one edit of the atomics seam, must make it speak, and name a function of the library.
. tests/support/house.sh

# Older ThreadSanitizers do not start where the kernel scatters mappings over more than 28 bits.
fixed=$(setarch -R true 2>/dev/null && echo setarch -R)

# build_control NAME [sed expression]: the two-file library, edited, and the control program.
build_control() {
    mkdir -p "$work/$1"
    tools/amalgamate.sh "$work/$1" || return 1
    [ -z "${2:-}" ] || {
        cp "$work/$1/evbus.c" "$work/$1/before.c"
        sed -e "$2" "$work/$1/before.c" >"$work/$1/evbus.c"
        ! cmp -s "$work/$1/before.c" "$work/$1/evbus.c" || { echo 'the edit changed nothing'; return 1; }
    }
    $cc -std=c11 -O1 -g -fsanitize=thread -pthread -I"$work/$1" "$work/$1/evbus.c" tests/install/tsan_control.c -o "$work/$1/control"
}

sanitizer_there() {
    echo 'int main(void) { return 0; }' | $cc -fsanitize=thread -x c - -o "$work/probe" 2>/dev/null || skip "$cc has no ThreadSanitizer here"
    $fixed "$work/probe" 2>/dev/null || skip 'ThreadSanitizer does not start here (address space layout?)'
}

silent_as_it_is() {
    sanitizer_there
    build_control sound && $fixed "$work/sound/control"
}

# The names of the seam keep their places, their orders go: stores and exchanges that publish become relaxed.
speaks_when_weakened() {
    sanitizer_there
    weaken='/^#define evb__\(st_rel\|st_sc\|xchg_acqrel\|xchg_sc\)(/s/memory_order_[a-z_]*)$/memory_order_relaxed)/'
    build_control weak "$weaken" || return 1
    [ "$(grep -cE '^#define evb__(st|xchg)_[a-z]*\(.*memory_order_relaxed\)$' "$work/weak/evbus.c")" -ge 5 ] || { echo 'not all stores were weakened'; return 1; }
    TSAN_OPTIONS=halt_on_error=0 $fixed "$work/weak/control" >"$work/report" 2>&1
    [ $? = 66 ] && grep -q 'WARNING: ThreadSanitizer: data race' "$work/report" && grep -qE '#[0-9]+ (evb_|evb__)[a-z_]+ .*evbus\.c' "$work/report" &&
        return 0
    echo 'no race was named:'
    head -n 40 "$work/report"
    return 1
}

check the_library_as_it_is_has_no_race silent_as_it_is
check weakened_publishing_stores_are_reported_as_a_race_in_the_library speaks_when_weakened
finish
