#!/bin/sh
# SPDX-License-Identifier: MIT
# What is declared is exported and the other way round: the headers, the version script and the shared library name the same functions, and
# the static library puts nothing into a program's name space but evb_ names.
. tests/support/house.sh

declared() {
    awk -f tests/support/declared.awk include/evbus.h include/evbus/*.h | sort
}

listed() {
    sed -n 's/^ *\(evb_[a-z0-9_]*\);.*/\1/p' src/evbus.map | sort
}

# exported LIBRARY: dynamic symbols, without the node of their version.
exported() {
    nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}

# same NAME_A FILE_A NAME_B FILE_B
same() {
    [ -s "$2" ] || { echo "$1: nothing found"; return 1; }
    comm -23 "$2" "$4" | sed "s|^|only in $1: |" >"$work/differences"
    comm -13 "$2" "$4" | sed "s|^|only in $3: |" >>"$work/differences"
    uniq -d "$2" | sed "s|^|twice in $1: |" >>"$work/differences"
    [ -s "$work/differences" ] || { echo "$(wc -l <"$2") names"; return 0; }
    cat "$work/differences"
    return 1
}

exported_is_declared() {
    declared >"$work/declared"
    exported "$1" >"$work/exported"
    same 'the headers' "$work/declared" "$1" "$work/exported"
}

listed_is_declared() {
    declared >"$work/declared"
    listed >"$work/listed"
    same 'the headers' "$work/declared" src/evbus.map "$work/listed"
}

# Every prototype that the compiler sees carries EVB_API. The compiler reads the headers with EVB_API turned into nothing, so this list is
# made without looking for the mark.
every_prototype_is_marked() {
    echo '#include <evbus.h>' | $cc -E -P -std=c11 -Iinclude -DEVB_API= -x c - >"$work/text" || return 1
    tr '\n' ' ' <"$work/text" | sed 's/{[^{}]*}/ /g; s/{[^{}]*}/ /g; s/;/;\n/g' |
        grep -vE '^ *(typedef|static|extern "C")' | grep -oE '(^|[ *])evb_[a-z0-9_]+ *\(' | tr -d ' *(' | sort >"$work/prototypes"
    declared >"$work/declared"
    same 'the prototypes' "$work/prototypes" 'functions with EVB_API' "$work/declared"
}

# only_our_names ARCHIVE: external symbols, defined ones.
only_our_names() {
    nm -g --defined-only "$1" | awk 'NF == 3 { n++; if ($3 !~ /^evb_/) { print "not an evb_ name: " $3; bad = 1 } }
        END { print n + 0 " external names"; exit bad || n == 0 }'
}

# A name that only our own files use is written evb__; one underscore means public.
internal_names_say_so() {
    declared >"$work/declared"
    nm -g --defined-only "$1" | awk 'NF == 3 && $3 !~ /^evb__/ { print $3 }' | sort >"$work/one_underscore"
    same 'the headers' "$work/declared" "$1" "$work/one_underscore"
}

refuses_stranger() {
    echo 'int helper(void); int helper(void) { return 1; }' | $cc -x c -c - -o "$work/stranger.o" || return 1
    refuses 'not an evb_ name: helper' only_our_names "$work/stranger.o"
}

refuses_missing_export() {
    declared | sed 1d >"$work/fewer"
    declared >"$work/declared"
    refuses "only in the headers: $(head -n 1 "$work/declared")" same 'the headers' "$work/declared" library "$work/fewer"
}

versioned() {
    nm -D --defined-only "$1" | grep -q ' evb_version@@EVBUS_0\.1$' && return 0
    nm -D --defined-only "$1" | grep evb_version
    return 1
}

soname_is() {
    command -v readelf >/dev/null || skip 'readelf is missing'
    readelf -d "$2" | grep -q "SONAME.*\\[$1\\]"
}

needs_only_libc() {
    command -v readelf >/dev/null || skip 'readelf is missing'
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort >"$work/needed"
    [ -s "$work/needed" ] || return 1
    cat "$work/needed"
    ! grep -vE '^(libc|libpthread|ld-linux[^ ]*|libc\.musl[^ ]*)\.so' "$work/needed"
}

check exported_is_declared exported_is_declared "$build/libevbus.so"
check the_version_script_lists_what_is_declared listed_is_declared
check every_prototype_is_marked_as_public every_prototype_is_marked
check the_static_library_holds_only_evb_names only_our_names "$build/libevbus.a"
check internal_names_have_two_underscores internal_names_say_so "$build/libevbus.a"
check a_strange_name_is_refused refuses_stranger
check a_missing_export_is_refused refuses_missing_export
check symbols_carry_the_version_node versioned "$build/libevbus.so"
check the_soname_is_that_of_0_x soname_is libevbus.so.0 "$build/libevbus.so"
check the_shared_library_needs_libc_only needs_only_libc "$build/libevbus.so"
finish
