#!/bin/sh
# SPDX-License-Identifier: MIT
# The library as two files: made, compiled alone by every C compiler that is here, and used.
. tests/support/house.sh

two=$work/two
made() {
    tools/amalgamate.sh "$two" && [ "$(ls "$two" | tr '\n' ' ')" = 'evbus.c evbus.h ' ]
}

# works_with COMPILER: -Wall -Wextra like the library itself; nothing but the two files and the program in sight.
works_with() {
    command -v "${1%% *}" >/dev/null || skip "$1 is missing"
    $1 -std=c11 -O1 -Wall -Wextra -Werror -pthread -c "$two/evbus.c" -o "$work/evbus.o" || return 1
    $1 -std=c11 -pthread -I"$two" examples/c/hello.c "$work/evbus.o" -o "$work/hello" || return 1
    [ "$("$work/hello")" = 'Received: Hello, Event-Driven World!' ]
}

same_names() {
    nm -g --defined-only "$work/evbus.o" | awk '$3 !~ /^evb__/ { print $3 }' | sort >"$work/one"
    awk -f tests/support/declared.awk include/evbus.h include/evbus/*.h | sort | diff - "$work/one"
}

# A half library must not look like a whole one.
refuses_missing_file() {
    mkdir -p "$work/half/src/base" "$work/half/tools"
    cp -r include LICENSE "$work/half"
    cp tools/amalgamate.sh "$work/half/tools"
    echo '#include "base/gone.h"' >"$work/half/src/base/x.c"
    (cd "$work/half" && refuses 'cannot read src/base/gone.h' tools/amalgamate.sh "$work/half/out") && [ ! -e "$work/half/out/evbus.c" ]
}

check the_generator_makes_two_files made
for compiler in $(printf '%s\n' "${cc%% *}" gcc clang | awk '!seen[$0]++'); do
    check "the_two_files_compile_and_work_with_$(basename "$compiler")" works_with "$compiler"
done
check the_one_object_defines_the_public_functions same_names
check a_missing_internal_header_stops_the_generator refuses_missing_file
finish
