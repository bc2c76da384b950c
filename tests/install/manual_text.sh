#!/bin/sh
# SPDX-License-Identifier: MIT
# The public headers are the manual: every function has its entry with all parts in order, every field and value its words, every header its
# chapters (manual_text.awk); and "Status: not in" stands exactly at the functions of src/later.c.
. tests/support/house.sh

manual() {
    awk -f tests/install/manual_text.awk "$@"
}

every_function_is_checked() {
    awk -f tests/support/declared.awk include/evbus/*.h | wc -l | tr -d ' ' >"$work/declared"
    manual include/evbus/*.h | sed -n 's/^\([0-9]*\) functions.*/\1/p' >"$work/checked"
    cat "$work/checked"
    cmp "$work/declared" "$work/checked"
}

# later_agrees FILE: the functions that FILE defines are those whose text puts them off.
later_agrees() {
    awk -v list=1 -f tests/install/manual_text.awk include/evbus/*.h | sed 's/ .*//' | sort >"$work/put_off"
    awk -f tests/support/strip.awk "$1" | sed 's/^[^:]*:[0-9]*://' | grep -oE '(^|[ *])evb_[a-z0-9_]+\(' | tr -d ' *(' | sort >"$work/defined"
    [ -s "$work/put_off" ] || return 1
    comm -23 "$work/put_off" "$work/defined" | sed 's/^/put off but not there: /' >"$work/differences"
    comm -13 "$work/put_off" "$work/defined" | sed 's/^/there but not put off: /' >>"$work/differences"
    cat "$work/differences"
    [ ! -s "$work/differences" ]
}

# answers_as_said LIE: every function that is put off answers what its text says, and looks at nothing: it gets NULL and 0 only. Of the
# function LIE something else is expected.
answers_as_said() {
    awk -v list=1 -f tests/install/manual_text.awk include/evbus/*.h >"$work/put_off"
    {
        printf '#include <evbus.h>\n#include <stdio.h>\nint main(void)\n{\n    int wrong = 0;\n\n'
        awk -v lie="$1" '{
            if (NF == 2) { print "    " $2 ";"; next }
            print "    if (" $3 " != " ($1 == lie ? "EVB_EAGAIN" : $2) ") { printf(\"" $1 "\\n\"); wrong = 1; }"
        }' "$work/put_off"
        printf '    return wrong;\n}\n'
    } >"$work/answers.c"
    $cc -std=c99 -Wall -Wextra -Wpedantic -Werror -Iinclude "$work/answers.c" "$build/libevbus.a" -pthread -o "$work/answers" || return 1
    "$work/answers"
}

refuses_later() {
    grep -v "$2" src/later.c >"$work/later.c"
    printf '%s\n' "$3" >>"$work/later.c"
    refuses "$1" later_agrees "$work/later.c"
}

# broken HEADER SED SAYING: the manual with one thing broken in HEADER is refused, and says what. The edit has to change something.
broken() {
    mkdir -p "$work/evbus"
    cp include/evbus/*.h "$work/evbus"
    sed "$2" "include/evbus/$1" >"$work/evbus/$1"
    if cmp -s "include/evbus/$1" "$work/evbus/$1"; then
        echo "this edit changes nothing: $2"
        return 1
    fi
    refuses "$3" manual "$work"/evbus/*.h
}

# Edits of one entry: from its first line to its declaration.
off='/^\/\* Removes a listener without waiting/,/evb_off(/'

check every_entry_has_its_parts_in_order manual include/evbus/*.h
check every_declared_function_is_checked every_function_is_checked
check what_is_put_off_is_what_later_c_answers later_agrees src/later.c
check what_is_put_off_answers_as_its_text_says answers_as_said ''
check a_put_off_function_that_answers_otherwise_is_found refuses evb_bus_dot answers_as_said evb_bus_dot
for part in Parameters Returns Ownership Threads Cost Errors Since; do
    check "an_entry_without_${part}_is_refused" broken bus.h "$off{/^ \* $part:/s/$part:/Something/;}" 'evb_off: has '
done
check an_empty_part_is_refused broken bus.h "$off{s/^ \* Returns:.*/ * Returns:/;}" 'evb_off: Returns: is empty'
check a_part_that_stands_twice_is_refused broken bus.h "$off{s/^ \* Cost:/ * Threads: any thread.\\
 * Cost:/;}" 'evb_off: Threads: stands there twice'
check a_missing_entry_is_refused broken bus.h "$off{s/^ \*\// *\/\\
/;}" 'evb_off: has no text right above it'
check an_entry_without_a_sentence_is_refused broken bus.h "$off{s/^\/\* Removes/\/* removes/;}" 'evb_off: does not begin with a sentence'
check a_thread_rule_in_other_words_is_refused broken bus.h "$off{s/Threads: any thread/Threads: every thread/;}" 'evb_off: Threads: not in the vocabulary'
check a_cost_without_system_calls_is_refused broken bus.h "$off{s/may make system calls.*/./;}" 'evb_off: Cost: does not say'
check a_version_in_other_words_is_refused broken bus.h "$off{s/Since: .*/Since: the beginning/;}" 'evb_off: Since: is no version'
check an_unnamed_parameter_is_refused broken bus.h "$off{s/ id: from/ from/;s/an id of 0/one of 0/;s/this id/it/;}" 'evb_off: Parameters: says nothing of id'
check an_error_that_is_no_status_is_refused broken bus.h "$off{s/EVB_ENOTFOUND/EVB_EMISSING/;}" 'EVB_EMISSING is no status'
check a_field_without_words_is_refused broken bus.h 's/^\( *uint32_t dialect;\).*/\1/' 'no text for     uint32_t dialect;'
check a_value_without_words_is_refused broken queue.h 's/^\( *EVB_NACK = 1,\).*/\1/' 'no text for     EVB_NACK = 1,'
check a_status_in_other_words_is_refused broken stats.h 's/^ \* Status: not in .*/ * Status: later/' 'evb_bus_dot: Status: not in the fixed form'
check a_header_without_caveats_is_refused broken pool.h 's/^ \* CAVEATS/ * NOTES/' 'pool.h: has no chapter CAVEATS'
check a_put_off_function_without_answer_is_refused refuses_later 'put off but not there: evb_bus_dot' '^int64_t evb_bus_dot(' ''
check an_answer_for_a_built_function_is_refused refuses_later 'there but not put off: evb_off' '^$' 'int32_t evb_off(evb_bus *bus, int64_t id)'
finish
