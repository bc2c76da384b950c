#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests of the store are not blind: each patch of tests/mutants/store is applied to a copy of the shipped source, and the test that it names must
# fail with it. A few of them in `make check`, all with EVB_TEST_LONG.
#
# Above the diff a patch says in lines of its own:
#     Test: store_crash            the program that must find it
#     Key: a_power_cut_after*      which of its tests
#     Quick: yes                   it takes a second or two: also in `make check`
# and what goes wrong.
. tests/support/house.sh

field() {
    sed -n "/^--- /q; s/^$1: *//p" "$2"
}

# build NAME TEST FILE...: $work/NAME/test from the copy in $work/NAME, of which these files differ from the shipped ones.
build() {
    tree=$work/$1 program=$2
    shift 2
    source=$(ls tests/*/"test_$program.c")
    $make -s BUILD="$build" "$build/tests/test_$program" >"$work/said" 2>&1 || { cat "$work/said"; return 1; }
    objects=
    for f in "$@"; do
        object=$tree/$(basename "$f" .c).o
        # As the library that tests use. Without warnings: a mutant may leave something unused.
        $cc -std=c11 -D_GNU_SOURCE -DEVB_DEBUG -DEVB_TESTING -O2 -g -pthread -w -I"$tree/include" -I"$tree/src" -c "$tree/$f" -o "$object" || return 1
        objects="$objects $object"
    done
    # The changed objects come first: the archive is not asked for what they have.
    # shellcheck disable=SC2086
    $cc -pthread "$build/testobj/${source%.c}.o" "$build"/testobj/tests/support/*.o $objects "$build/testlib/libevbus.a" -lcmocka -o "$tree/test"
}

copy_of_source() {
    mkdir -p "$work/$1" && cp -r src include "$work/$1/"
}

# run NAME KEY: the answer of the test.
run() {
    EVB_TEST_LONG='' timeout 200 "$work/$1/test" "$2" >"$work/says" 2>&1
}

found() {
    name=$1 patch=$2
    program=$(field Test "$patch")
    copy_of_source "$name" || return 1
    # No fuzz: a patch that only nearly fits may change another place than it says.
    patch -d "$work/$name" -p1 -s -f --fuzz=0 <"$patch" || { echo "does not apply: $patch"; return 1; }
    # shellcheck disable=SC2046
    build "$name" "$program" $(sed -n 's/^+++ b\///p' "$patch") || return 1
    if run "$name" "$(field Key "$patch")"; then
        echo "$program does not find it"
        return 1
    fi
    # A test that failed, or an assertion of the library: not a program that could not start.
    grep -qE '^\[  FAILED  \]|Assertion|TIME LIMIT' "$work/says" || { cat "$work/says"; return 1; }
}

# The same machinery without a change: what is found is the change.
unchanged() {
    copy_of_source unchanged && build unchanged store_faults src/store/commit.c src/store/recover.c || return 1
    run unchanged '*' || { cat "$work/says"; return 1; }
    grep -q '^\[  PASSED  \]' "$work/says"
}

for p in tests/mutants/store/*.patch; do
    if [ -z "${EVB_TEST_LONG:-}" ] && [ -z "$(field Quick "$p")" ]; then continue; fi
    check "$(basename "$p" .patch)_is_found" found "$(basename "$p" .patch)" "$p"
done
check without_a_change_nothing_is_found unchanged
finish
