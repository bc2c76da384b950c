#!/bin/sh
# SPDX-License-Identifier: MIT
# The table "CHANGES DURING AN EMIT" of the manual and the tests in test_mutation.c are the same sentences.
. tests/support/house.sh

# rows HEADER: the table's sentences, one a line, as test names.
rows() {
    awk '/^ \* CHANGES DURING AN EMIT/ { on = 1 } /^ \* WHAT IT DOES NOT DO/ { on = 0 }
         on && /^ \* - / { if (row != "") print row; row = substr($0, 6); next }
         on && /^ \*   / && row != "" { row = row " " substr($0, 6) }
         on && /^ \*$/ && row != "" { print row; row = "" }' "$1" |
        sed 's/\.$//; s/ /_/g' | tr 'A-Z' 'a-z' | sort
}

registered() {
    sed -n 's/^ *cmocka_unit_test(\([a-z0-9_]*\)).*/\1/p' "$1" | sort
}

# same HEADER TEST
same() {
    rows "$1" >"$work/rows"
    registered "$2" >"$work/tests"
    [ -s "$work/rows" ] || { echo "no row found"; return 1; }
    diff "$work/rows" "$work/tests"
}

a_row_without_a_test_is_refused() {
    sed 's/^ \* - A nested emit runs/ * - A nested emit walks/' include/evbus/bus.h >"$work/bus.h"
    refuses a_nested_emit_walks same "$work/bus.h" tests/unit/test_mutation.c
}

check every_row_of_the_mutation_table_is_a_test same include/evbus/bus.h tests/unit/test_mutation.c
check a_row_without_a_test_is_refused a_row_without_a_test_is_refused
finish
