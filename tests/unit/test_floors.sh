#!/bin/sh
# SPDX-License-Identifier: MIT
# The floors of the house: a file includes and calls its own floor and lower ones only (src/README.md has the picture).
. tests/support/house.sh

# From the ground up. schema and stats share a floor: neither uses the other. What lies in src/ itself stands above all.
floors='base ring pool topic store bus queue schema,stats .'

# Shared awk: level[folder], floor_of(path relative to src), allowed(from, to).
common='
BEGIN {
    n = split(floors, row, " ")
    for (i = 1; i <= n; i++) {
        m = split(row[i], folder, ",")
        for (j = 1; j <= m; j++) level[folder[j]] = i
    }
}
function floor_of(path) { return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : "." }
function allowed(from, to) { return from == to || level[to] < level[from] }
'

# includes_point_down ROOT: the include lines of ROOT/src.
includes_point_down() {
    find "$1/src" -name '*.[ch]' | sort | xargs awk -v floors="$floors" -v prefix="$1/src/" "$common"'
    FNR == 1 {
        file = substr(FILENAME, length(prefix) + 1)
        from = floor_of(file)
        files++
        if (!(from in level)) { print "src/" file ": no such floor: " from; bad = 1 }
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        to_file = $0
        sub(/^[^"]*"/, "", to_file)
        sub(/".*/, "", to_file)
        if (to_file ~ /^explore_/) next # the explorer stands in for the seam; its files are in tests/model
        if (to_file ~ /^evbus\//) next  # a public header declares, it uses nothing; the call check sees the uses
        includes++
        to = floor_of(to_file)
        if (to == ".") { print "src/" file ":" FNR ": an include names its folder: " to_file; bad = 1 }
        else if (!(to in level)) { print "src/" file ":" FNR ": no such floor: " to_file; bad = 1 }
        else if (!allowed(from, to)) { print "src/" file ":" FNR ": " from " may not include " to_file; bad = 1 }
    }
    END {
        print files " files, " includes + 0 " includes"
        if (files == 0 || includes == 0) { print "nothing was looked at"; bad = 1 }
        exit bad
    }'
}

# calls_point_down DIRECTORY: the objects below DIRECTORY, laid out as src is. Includes can be got round by a declaration of
# one's own; symbols cannot.
calls_point_down() {
    find "$1" -name '*.o' | sort | xargs nm -A -P -g | awk -v floors="$floors" -v prefix="$1/" "$common"'
    {
        file = substr($1, length(prefix) + 1)
        sub(/:$/, "", file)
        if ($3 == "U") { uses++; user[uses] = file; used[uses] = $2 } else if ($2 ~ /^evb_/) home[$2] = file
    }
    END {
        for (i = 1; i <= uses; i++) {
            if (!(used[i] in home)) continue
            calls++
            if (!allowed(floor_of(user[i]), floor_of(home[used[i]]))) {
                print user[i] ": may not use " used[i] " of " home[used[i]]
                bad = 1
            }
        }
        print calls + 0 " uses between files"
        if (calls == 0) { print "nothing was looked at"; bad = 1 }
        exit bad
    }'
}

# refuses_include FILE LINE SAYING: a small house with one wrong line.
refuses_include() {
    rm -rf "$work/house"
    mkdir -p "$work/house/src/base" "$work/house/src/ring" "$work/house/src/bus"
    printf '#include "base/low.h"\n' >"$work/house/src/bus/high.c"
    : >"$work/house/src/base/low.h"
    includes_point_down "$work/house" || return 1
    mkdir -p "$(dirname "$work/house/src/$1")"
    printf '%s\n' "$2" >>"$work/house/src/$1"
    refuses "$3" includes_point_down "$work/house"
}

# every_file_is_on_the_map ROOT: src/README.md names each source in the table of its folder; `x.h` `.c` stands for both.
every_file_is_on_the_map() {
    awk '/^## / { folder = $2; sub(/:$/, "", folder) }
        /^\| `/ {
            n = split($0, cell, "|")
            m = split(cell[2], word, "`")
            for (i = 2; i <= m; i += 2) {
                if (word[i] ~ /^\./) { sub(/\..*/, "", last); word[i] = last word[i] }
                print folder "/" word[i]
                last = word[i]
            }
        }' "$1/src/README.md" | sort >"$work/on_map"
    (cd "$1/src" && ls ./*/*.[ch] | sed 's|^\./||' | sort) >"$work/there"
    [ -s "$work/there" ] || return 1
    comm -13 "$work/on_map" "$work/there" | sed 's/^/not on the map: /' >"$work/differences"
    comm -23 "$work/on_map" "$work/there" | sed 's/^/only on the map: /' >>"$work/differences"
    cat "$work/differences"
    [ ! -s "$work/differences" ]
}

refuses_map() {
    mkdir -p "$work/town/src/base"
    printf '%s\n' '## base: things' '| file | what |' '| `a.h` `.c` | one |' '| `c.c` | two |' >"$work/town/src/README.md"
    touch "$work/town/src/base/a.h" "$work/town/src/base/a.c" "$work/town/src/base/c.c"
    every_file_is_on_the_map "$work/town" || return 1
    touch "$work/town/src/base/b.c"
    refuses 'not on the map: base/b.c' every_file_is_on_the_map "$work/town" || return 1
    rm "$work/town/src/base/b.c" "$work/town/src/base/a.c"
    refuses 'only on the map: base/a.c' every_file_is_on_the_map "$work/town"
}

refuses_call() {
    rm -rf "$work/objects"
    mkdir -p "$work/objects/base" "$work/objects/bus"
    echo 'int evb__high(void); int evb__high(void) { return 0; }' | $cc -x c -c - -o "$work/objects/bus/high.o" || return 1
    echo 'int evb__high(void); int evb__low(void); int evb__low(void) { return evb__high(); }' |
        $cc -x c -c - -o "$work/objects/base/low.o" || return 1
    refuses 'base/low.o: may not use evb__high of bus/high.o' calls_point_down "$work/objects"
}

check every_include_points_at_its_own_floor_or_a_lower_one includes_point_down .
check every_call_points_at_its_own_floor_or_a_lower_one calls_point_down "$build/obj/src"
check an_include_of_a_higher_floor_is_refused refuses_include ring/x.c '#include "bus/high.h"' 'src/ring/x.c:1: ring may not include bus/high.h'
check an_include_from_base_of_topic_is_refused refuses_include base/low.h '# include "topic/trie.h"' 'base may not include topic/trie.h'
check schema_and_stats_do_not_include_each_other refuses_include schema/x.c '#include "stats/text.h"' 'schema may not include stats/text.h'
check an_include_without_its_folder_is_refused refuses_include base/x.c '#include "low.h"' 'an include names its folder'
check a_folder_that_is_no_floor_is_refused refuses_include cellar/x.c '#include "base/low.h"' 'no such floor: cellar'
check a_call_of_a_higher_floor_is_refused refuses_call
check every_source_file_is_on_the_map every_file_is_on_the_map .
check a_file_that_is_not_on_the_map_is_refused refuses_map
finish
