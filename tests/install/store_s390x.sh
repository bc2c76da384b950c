#!/bin/sh
# SPDX-License-Identifier: MIT
# The store's files are the same bytes on every machine: a big-endian and a 32-bit build, where there is a compiler for one, write the golden store
# of tests/golden and read it. When the format changes on purpose, `golden write` of a native build makes the new files.
. tests/support/house.sh

# golden COMPILER FLAGS...: $work/golden from the shipped source, as much of it as a store needs.
golden() {
    compiler=$1
    shift
    command -v "$compiler" >/dev/null || skip "no $compiler"
    "$compiler" -std=c11 -D_GNU_SOURCE -O0 -pthread "$@" -Iinclude -Isrc -Itests/support -o "$work/golden" tests/golden/golden.c \
        tests/support/store_golden.c src/base/*.c src/topic/*.c src/store/*.c -latomic 2>"$work/said" || { cat "$work/said"; return 1; }
}

# native: the same with the library that was built.
native() {
    $cc -std=c11 -D_GNU_SOURCE -pthread -Iinclude -Isrc -Itests/support -o "$work/golden" tests/golden/golden.c tests/support/store_golden.c \
        "$build/libevbus.a"
}

# same RUNNER...: written there it is what stands in tests/golden, and that is read there.
same() {
    rm -rf "$work/store" "$work/copy"
    timeout 60 "$@" "$work/golden" write "$work/store" || return 1
    rm -f "$work/store/LOCK"
    diff -r "$work/store" tests/golden/store-v1 || return 1
    cp -r tests/golden/store-v1 "$work/copy"
    timeout 60 "$@" "$work/golden" print "$work/copy" >"$work/printed" || return 1
    diff "$work/printed" tests/golden/store-v1.txt >"$work/said" || { head -5 "$work/said"; return 1; }
    echo "$(wc -l <"$work/printed") lines"
}

here() {
    native && same env
}

big_endian() {
    command -v qemu-s390x >/dev/null || skip 'no qemu-s390x'
    golden s390x-linux-gnu-gcc -static && same qemu-s390x
}

narrow() {
    golden i686-linux-gnu-gcc -static || return
    "$work/golden" >/dev/null 2>&1
    [ $? = 1 ] || skip 'programs of i686 do not run here'
    same env
}

damage() {
    native || return 1
    "$work/golden" write "$work/other" || return 1
    for f in "$work"/other/seg/*.seg; do printf x | dd of="$f" bs=1 seek=5000 conv=notrunc 2>/dev/null; done
    refuses '' diff -r "$work/other" tests/golden/store-v1
}

check the_golden_store_is_written_and_read_here here
check the_same_on_a_big_endian_machine big_endian
check the_same_on_a_32_bit_machine narrow
check a_byte_that_differs_is_seen damage
finish
