#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs: each patch of tests/model/bugs is applied to a copy of the shipped source, and the explorer must find it. Part of seeded_*.sh, which
# `make check-model` runs with EVB_MODEL_COMPILE, EVB_MODEL_DIR and EVB_MODEL_UNIT_<name>.
#
# Above the diff a patch says in lines of its own:
#     Unit: reader                  shapes_reader.c and the unit's sources
#     Shapes: two_emits*            which shapes may find it: one of them must
#     Expect: use after free        part of what the explorer says (optional)
# and why the change is a bug.
. tests/support/house.sh

field() {
    sed -n "/^--- /q; s/^$1: *//p" "$2"
}

# uses DEPENDENCIES SOURCE FILE...: is the source one of the files, or made from one of them?
uses() {
    dependencies=$1 source_file=$2
    shift 2
    for f in "$@"; do
        [ "$f" != "$source_file" ] || return 0
        if grep -q -F -w -e "$f" "$dependencies"; then return 0; fi
    done
    return 1
}

# build NAME PATCH: $work/NAME/shapes from the changed copy. Only what is made from a file that the patch touches is compiled again.
build() {
    tree=$work/$1
    unit=$(field Unit "$2")
    eval "sources=\${EVB_MODEL_UNIT_$unit:-}"
    [ -n "$sources" ] || { echo "no such unit: '$unit'"; return 1; }
    mkdir -p "$tree" && cp -r src include "$tree/" || return 1
    # No fuzz: a patch that only nearly fits may change another place than it says.
    patch -d "$tree" -p1 -s -f --fuzz=0 <"$2" || { echo "does not apply: $2"; return 1; }

    touched=$(sed -n 's/^+++ b\///p' "$2")
    # The changed copy's headers come before the shipped ones. -O0: it is compiled once and runs for a second. -Wno: a seeded bug may
    # leave something unused.
    compile=$(echo "$EVB_MODEL_COMPILE" | sed "s| -Iinclude | -I$tree/include |")
    objects=
    for source in tests/model/shapes_$unit.c $sources; do
        object=$EVB_MODEL_DIR/${source%.c}.o
        if uses "${object%.o}.d" "$source" $touched; then
            object=$tree/$(basename "$source" .c).o
            copy=$source
            [ -f "$tree/$source" ] && copy=$tree/$source
            $compile -O0 -Wno-error -w -I"$tree/src" -Itests/model -c "$copy" -o "$object" || return 1
        fi
        objects="$objects $object"
    done
    # shellcheck disable=SC2086
    $cc $objects "$EVB_MODEL_DIR/libexplore.a" -pthread -o "$tree/shapes"
}

found() {
    build "$1" "$2" || return 1
    shapes=$(field Shapes "$2")
    expect=$(field Expect "$2")
    set -f
    # shellcheck disable=SC2086
    set -- "$work/$1/shapes" $shapes
    set +f
    program=$1
    shift
    : >"$work/said"
    for pattern in "$@"; do
        timeout 100 "$program" "$pattern" --seeded >"$work/says" 2>&1
        status=$?
        if [ $status = 0 ] && grep "^BUG FOUND.*$expect" "$work/says"; then return 0; fi
        cat "$work/says" >>"$work/said"
    done
    cat "$work/said"
    return 1
}

# found_all PATTERN: the patches whose names match.
found_all() {
    for p in tests/model/bugs/$1.patch; do
        name=$(basename "$p" .patch)
        check "${name}_is_found" found "$name" "$p"
    done
}
