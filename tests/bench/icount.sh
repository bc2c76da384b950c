#!/bin/sh
# SPDX-License-Identifier: MIT
# Instructions per operation, counted by valgrind's callgrind: icount.sh PROGRAM [CASE IMPL]...
#
# Two runs of different length and the difference between them, so that start and end of the program do not count. The count does
# not depend on the machine's load, unlike a time, and the loop that repeats the operation is in it.
set -eu

program=$1
shift
if ! command -v valgrind >/dev/null; then
    echo "skipped: valgrind is not installed"
    exit 77
fi
[ $# -gt 0 ] || set -- emit/0 raw emit/0 evbus emit/1 raw emit/1 evbus emit/4 raw emit/4 evbus emit/16 raw emit/16 evbus \
    name/1 evbus name/100 evbus onoff/plain evbus onoff/free_user evbus

instructions() { # CASE IMPL N
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" --once "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

printf '%-26s %-13s %s\n' case by 'instructions an operation'
while [ $# -ge 2 ]; do
    short=$(instructions "$1" "$2" 10000)
    long=$(instructions "$1" "$2" 20000)
    [ -n "$short" ] && [ -n "$long" ] || { echo "$1 $2: no count from callgrind" >&2; exit 1; }
    awk -v c="$1" -v i="$2" -v a="$short" -v b="$long" 'BEGIN { printf "%-26s %-13s %.1f\n", c, i, (b - a) / 10000 }'
    shift 2
done
