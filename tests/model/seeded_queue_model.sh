#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of queues and publishing: each patch of tests/model/bugs_queue is applied to a copy of the shipped source, and the model test of queues
# (tests/unit/test_queue_model.c) must find it. `make check-model` runs this with EVB_SINGLE_COMPILE, EVB_SINGLE_LINK and EVB_SINGLE_OBJS.
# Above the diff a patch says why the change is a bug.
. tests/support/house.sh

rounds=3000

# is_made_from OBJECT SOURCE...: does the object have one of the changed files in it?
is_made_from() {
    for changed in "$@"; do
        [ "$changed" = "$1" ] && continue
        if grep -q -F -w -e "$changed" "${1%.o}.d"; then return 0; fi
    done
    return 1
}

# build NAME PATCH: $work/NAME/test from the changed copy. What does not have a changed file in it is linked as it is.
build() {
    tree=$work/$1
    mkdir -p "$tree" && cp -r src include "$tree/" || return 1
    # No fuzz: a patch that only nearly fits may change another place than it says.
    patch -d "$tree" -p1 -s -f --fuzz=0 <"$2" || { echo "does not apply: $2"; return 1; }
    touched=$(sed -n 's/^+++ b\///p' "$2")
    compile=$(echo "$EVB_SINGLE_COMPILE" | sed "s| -Iinclude -Isrc | -I$tree/include -I$tree/src |")
    objects=
    for object in $EVB_SINGLE_OBJS; do
        # shellcheck disable=SC2086
        if is_made_from "$object" $touched; then
            source=${object#"$build"/*/}
            source=${source%.o}.c
            copy=$source
            [ -f "$tree/$source" ] && copy=$tree/$source
            object=$tree/$(echo "$source" | tr / _).o
            $compile -O1 -Wno-error -w -Itests/support -c "$copy" -o "$object" || return 1
        fi
        objects="$objects $object"
    done
    # shellcheck disable=SC2086
    $EVB_SINGLE_LINK $objects -lcmocka -o "$tree/test"
}

found() {
    build "$1" "$2" || return 1
    EVB_ROUNDS=$rounds EVB_SHORTEN=0 EVB_TEST_SEED=1 timeout 100 "$work/$1/test" >"$work/says" 2>&1
    status=$?
    rm -rf "${work:?}/$1"
    [ $status != 124 ] || { echo "no end"; return 1; }
    if [ $status = 0 ]; then
        echo "not found in $rounds rounds"
        return 1
    fi
    grep -a -m 1 -e 'EVB_SEED=' "$work/says" || { cat "$work/says"; return 1; }
    # The shipped source must not differ there: else it is another bug that was found.
    seed=$(sed -n 's/.*EVB_SEED=\(0x[0-9a-f]*\).*/\1/p' "$work/says" | head -n 1)
    EVB_SEED=$seed timeout 100 "$build/tests/test_queue_model" >"$work/says" 2>&1 || { cat "$work/says"; return 1; }
}

for p in tests/model/bugs_queue/*.patch; do
    name=$(basename "$p" .patch)
    check "${name}_is_found" found "$name" "$p"
done
finish
