#!/bin/sh
# SPDX-License-Identifier: MIT
# The program at the top of each public header is one: it compiles as it stands, and where the manual says what it prints, it prints that. A
# header whose part is not built yet ("Status of this part") may leave the output away.
. tests/support/house.sh

# chapter HEADER TITLE: the indented text below that line of the opening comment.
chapter() {
    awk -v title="$2" '
        $0 == " * " title { on = 1; next }
        on && /^ \*     / { print substr($0, 8); next }
        on && /^ \*$/ { print ""; next }
        on { exit }' "$1"
}

compiles() {
    chapter "$1" 'A PROGRAM' >"$work/program.c"
    grep -q 'int main(void)' "$work/program.c" || { echo "no program in $1"; return 1; }
    $cc -std=c99 -Wall -Wextra -Wpedantic -Werror -Iinclude -c "$work/program.c" -o "$work/program.o"
}

prints_what_it_says() {
    compiles "$1" || return 1
    chapter "$1" 'It prints:' | grep -v '^$' >"$work/wanted"
    if [ ! -s "$work/wanted" ]; then
        grep -q '^ \* Status of this part: ' "$1" && return 0
        echo "$1 does not say what its program prints"
        return 1
    fi
    $cc "$work/program.o" "$build/libevbus.a" -pthread -o "$work/program" || return 1
    (cd "$work" && ./program >got) || return 1
    diff "$work/wanted" "$work/got"
}

# broken SED SAYING: a program with one thing broken is refused.
broken() {
    sed "$1" include/evbus/bus.h >"$work/broken.h"
    cmp -s include/evbus/bus.h "$work/broken.h" && return 1
    refuses "$2" prints_what_it_says "$work/broken.h"
}

for header in include/evbus/*.h; do
    check "the_program_in_$(basename "$header" .h)_is_one" prints_what_it_says "$header"
done
check a_program_that_prints_something_else_is_refused broken 's/^ \*     2 listeners/ *     3 listeners/' '3 listeners'
check a_program_that_does_not_compile_is_refused broken 's/evb_bus_create(NULL, &bus)/evb_bus_create(\&bus)/' 'evb_bus_create'
check a_header_without_program_is_refused broken 's/^ \* A PROGRAM/ * A TEXT/' 'no program'
check a_program_without_output_is_refused broken 's/^ \* It prints:/ * Output:/' 'does not say what its program prints'
finish
