#!/bin/sh
# SPDX-License-Identifier: MIT
# What the program examples/c/flights.c promises about its input, its numbers and its exit codes.
#
# That every example prints what examples/expected says is tools/run_examples.sh; here the numbers are computed a second time, by awk, and
# the input is bad on purpose. Every case runs twice, with listeners and with queues (--workers): the program promises the same bytes. Usage: tests/install/examples.sh [PATTERN of case names]; EVB_BUILD is the tree to test.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
root=$PWD
build=${EVB_BUILD:-build}
if ! made=$("${MAKE:-make}" -s BUILD="$build" SAN="${EVB_SAN:-}" "$build/examples/flights" 2>&1); then
    echo "$made"
    exit 1
fi
case $build in /*) ;; *) build=$root/$build ;; esac
program=$build/examples/flights
data=$root/examples/data/flights.csv
work=$(mktemp -d "${TMPDIR:-/tmp}/evb_examples.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work" || exit 1

# ---- the second opinion: both read well-formed rows only

cat >csv.awk <<'AWK'
# What flights --csv must print, but for the order.
function fixed(format, value,   text) {
    text = sprintf(format, value)
    return text ~ /^-0\.0*$/ ? substr(text, 2) : text
}
BEGIN { FS = "," }
{ sub(/\r$/, "") }
NR == 1 && /^date,/ { next }
{ flights[$2]++; sum[$2] += $4; late[$2] += ($4 > 15) }
END { for (a in flights) printf "%s,%d,%s,%s\n", a, flights[a], fixed("%.3f", sum[a] / flights[a]), fixed("%.4f", late[a] / flights[a]) }
AWK
cat >table.awk <<'AWK'
# The rows of flights --all, fields apart by one blank, but for the order.
function fixed(format, value,   text) {
    text = sprintf(format, value)
    return text ~ /^-0\.0*$/ ? substr(text, 2) : text
}
BEGIN { FS = "," }
NR == 1 && /^date,/ { next }
{ flights[$2]++; sum[$2] += $4; late[$2] += ($4 > 15) }
END { for (a in flights) printf "%s %d %s %s%%\n", a, flights[a], fixed("%.1f", sum[a] / flights[a]), fixed("%.1f", 100 * late[a] / flights[a]) }
AWK
csv_of() { echo airport,flights,mean_delay,late_share; awk -f csv.awk "$1" | sort; }
rows_of_table() { sed -n '2,/^$/p' "$1" | awk 'NF { print $1, $2, $3, $4 }'; }

# ---- helpers: OK and FAILS run the program; what it printed is in out and err

mode= # arguments that every run gets, from the runner below
# shellcheck disable=SC2086 # none when it is empty
flights() { "$program" $mode "$@"; }
OK() {
    flights "$@" >out 2>err && return 0
    echo "flights $*: exit $?, expected 0"
    cat err
    return 1
}
FAILS() {
    expected=$1
    shift
    run flights "$@" >out 2>err
    [ $code = "$expected" ] && return 0
    echo "flights $*: exit $code, expected $expected"
    cat err
    return 1
}
# same FILE: FILE is what standard input says.
same() { diff -u - "$1"; }
empty() { [ ! -s "$1" ] || { echo "$1 is not empty:"; cat "$1"; return 1; }; }
says() { grep -q -e "$2" "$1" || { echo "$1 does not say: $2"; cat "$1"; return 1; }; }
# run COMMAND...: its exit code in $code. Unlike a command of its own it does not end the case, and redirections are the caller's.
run() { code=0; "$@" || code=$?; }
# bytes N TEXT: TEXT over and over, cut at N bytes.
bytes() { yes "$2" | tr -d '\n' | head -c "$1"; }
row=2001-01-01,AAA,BBB,5,100

# ---- numbers

csv_of_the_real_data_equals_a_second_computation() {
    OK --csv "$data"
    empty err
    csv_of "$data" | same out
    [ "$(wc -l <out)" = 221 ] # 220 airports: the second opinion read something
}

all_lists_every_airport_by_flights_then_code() {
    OK --all "$data"
    awk -f table.awk "$data" | sort -k2,2nr -k1,1 >expected
    rows_of_table out | same expected
    says out '^total: 20000 flights, 220 airports, mean delay 7\.7 min, 21\.7% over 15 min late$'
    says out '^events per second: [0-9]* (20000 events in [0-9.]* ms, reading and parsing included)$'
}

table_shows_the_ten_airports_with_most_flights() {
    OK "$data"
    awk -f table.awk "$data" | sort -k2,2nr -k1,1 | head -n 10 >expected
    rows_of_table out | same expected
    if grep malformed out; then return 1; fi
}

equal_flights_are_ordered_by_code_and_ten_is_a_limit() {
    for code in KAA ABA ZZZ AAB BAA AAA CCC DDD EEE FFF GGG; do echo "2001-01-01,$code,XXX,0,1"; done >in
    OK in
    rows_of_table out | cut -d' ' -f1 | tr '\n' ' ' >order
    printf 'AAA AAB ABA BAA CCC DDD EEE FFF GGG KAA ' | same order
    says out '^total: 11 flights, 11 airports, mean delay 0\.0 min, 0\.0% over 15 min late$'
}

sixteen_minutes_are_late_fifteen_are_not() {
    printf '2001-01-01,AAA,BBB,15,1\n2001-01-01,AAA,BBB,16,1\n' >in
    OK --csv in
    printf 'airport,flights,mean_delay,late_share\nAAA,2,15.500,0.5000\n' | same out
}

negative_zero_is_never_printed() {
    awk 'BEGIN { for (i = 0; i < 3000; i++) print "2001-01-01,AAA,BBB," (i == 0 ? -1 : 0) ",1" }' >in
    OK --csv in
    printf 'airport,flights,mean_delay,late_share\nAAA,3000,0.000,0.0000\n' | same out
    OK in
    rows_of_table out >rows
    echo 'AAA 3000 0.0 0.0%' | same rows
    says out 'mean delay 0\.0 min'
}

sums_do_not_end_at_32_bits() {
    awk 'BEGIN { for (i = 0; i < 1000; i++) print "2001-01-01,AAA,BBB,2147483647,1\n2001-01-01,BBB,AAA,-2147483648,1" }' >in
    OK --csv in
    empty err
    printf 'airport,flights,mean_delay,late_share\nAAA,1000,2147483647.000,1.0000\nBBB,1000,-2147483648.000,0.0000\n' | same out
}

ten_times_the_data_is_ten_times_the_flights() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do cat "$data"; done >big
    OK --csv big
    # The header is one only on line 1.
    { head -n 1 big; grep -v '^date,' big; } >clean
    csv_of clean | same out
    awk 'NR > 1 && /^date,/ { print "big:" NR ": the date is not YYYY-MM-DD [HH:MM[:SS]]" }' big | same err
    [ "$(wc -l <err)" = 9 ]
}

# ---- lines

standard_input_is_read_for_a_dash() {
    OK --csv "$data"
    cp out expected
    flights --csv - <"$data" >out 2>err
    empty err
    same out <expected
    # shellcheck disable=SC2002 # a pipe on purpose
    cat "$data" | flights - --csv >out 2>err
    empty err
    same out <expected
    printf 'x\n' | flights --csv - >out 2>err
    echo '<stdin>:1: fewer than five fields' | same err
}

crlf_gives_what_lf_gives() {
    awk '{ printf "%s\r\n", $0 }' "$data" >crlf
    OK --csv crlf
    empty err
    csv_of "$data" | same out
    printf '%s\r\r\n' $row >in # one CR belongs to the end of the line, the second to the row
    OK in
    echo 'in:1: the distance is not a 32-bit integer' | same err
}

last_line_needs_no_newline() {
    for end in '' '\n' '\r' '\r\n'; do
        printf "date,\\n%s\\n%s$end" $row $row >in
        OK --csv in
        empty err
        printf 'airport,flights,mean_delay,late_share\nAAA,2,5.000,0.0000\n' | same out
    done
}

file_without_rows_is_no_error() {
    : >nothing
    echo date,origin,destination,delay_min,distance_mi >header
    for file in nothing header /dev/null; do
        OK --csv $file
        empty err
        echo airport,flights,mean_delay,late_share | same out
        OK $file
        empty err
        says out '^total: 0 flights, 0 airports$'
        if grep -i nan out; then return 1; fi
    done
}

only_line_one_may_be_a_header() {
    printf 'date,what,ever\n%s\ndate,origin,destination,delay_min,distance_mi\n' $row >in
    OK --csv in
    echo 'in:3: the date is not YYYY-MM-DD [HH:MM[:SS]]' | same err
    printf 'Date,origin\n%s\n' $row >in
    OK --csv in
    echo 'in:1: fewer than five fields' | same err
    printf '%s\n' $row >in # and line 1 may be a row
    OK --csv in
    empty err
    says out '^AAA,1,'
}

empty_lines_are_malformed_also_at_the_end() {
    printf '\n%s\n\n\r\n%s\n\n' $row $row >in
    OK in
    printf 'in:%d: empty line\n' 1 3 4 6 | same err
    says out '^total: 2 flights, 1 airports, mean delay 5\.0 min, 0\.0% over 15 min late$'
    says out '^malformed rows: 4$'
}

malformed_rows_are_reported_and_counted() {
    cat >in <<'ROWS'
2001-01-01,AAA,BBB,5,100
2001-01-01,AAA,BBB,5
2001-01-01,AAA,BBB,5,100,
2001-01-01,AAA,BBB,5,100,7
2001-01-01,AAa,BBB,5,100
2001-01-01,AA,BBB,5,100
2001-01-01,AAAA,BBB,5,100
2001-01-01,,BBB,5,100
2001-01-01, AA,BBB,5,100
2001-01-01,AAA,B1B,5,100
2001-01-01,AAA,*,5,100
2001-01-01,"AAA",BBB,5,100
2001-01-01,AAA,BBB,,100
2001-01-01,AAA,BBB, 5,100
2001-01-01,AAA,BBB,5 ,100
2001-01-01,AAA,BBB,5.0,100
2001-01-01,AAA,BBB,0x5,100
2001-01-01,AAA,BBB,-,100
2001-01-01,AAA,BBB,+-5,100
2001-01-01,AAA,BBB,5,1e2
2001-01-01,AAA,BBB,5,
;2001-01-01,AAA,BBB,5,100
,,,,
words
2001-01-01,AAA,BBB,5,100
ROWS
    OK in
    cat >expected <<'LINES'
in:2: fewer than five fields
in:3: more than five fields
in:4: more than five fields
in:5: the origin is not three capital letters
in:6: the origin is not three capital letters
in:7: the origin is not three capital letters
in:8: the origin is not three capital letters
in:9: the origin is not three capital letters
in:10: the destination is not three capital letters
in:11: the destination is not three capital letters
in:12: the origin is not three capital letters
in:13: the delay is not a 32-bit integer
in:14: the delay is not a 32-bit integer
in:15: the delay is not a 32-bit integer
in:16: the delay is not a 32-bit integer
in:17: the delay is not a 32-bit integer
in:18: the delay is not a 32-bit integer
in:19: the delay is not a 32-bit integer
in:20: the distance is not a 32-bit integer
in:21: the distance is not a 32-bit integer
in:22: the date is not YYYY-MM-DD [HH:MM[:SS]]
in:23: the date is not YYYY-MM-DD [HH:MM[:SS]]
in:24: fewer than five fields
LINES
    same err <expected
    says out '^total: 2 flights, 1 airports, mean delay 5\.0 min, 0\.0% over 15 min late$'
    says out '^malformed rows: 23$'
}

integers_have_32_bits_and_an_optional_sign() {
    for number in 0 -0 +0 7 -7 +7 007 -2147483648 2147483647 +2147483647 0000000000000000000002147483647; do
        printf '2001-01-01,AAA,BBB,%s,%s\n' $number $number
    done >in
    OK --csv in
    empty err
    says out '^AAA,11,'
    for number in 2147483648 -2147483649 +2147483648 99999999999 18446744073709551617 340282366920938463463374607431768211457; do
        printf '2001-01-01,AAA,BBB,%s,1\n' $number
    done >in
    OK --csv in
    printf 'in:%d: the delay is not a 32-bit integer\n' 1 2 3 4 5 6 | same err
    echo airport,flights,mean_delay,late_share | same out
}

dates_exist_in_the_calendar() {
    for date in 2001-01-01 '2001-01-31 00:00' 2001-12-31T23:59 '2001-04-30 23:59:59' 2000-02-29 2004-02-29 2400-02-29 0001-01-01 9999-12-31; do
        echo "$date,AAA,BBB,1,1"
    done >in
    OK --csv in
    empty err
    says out '^AAA,9,'
    n=0
    for date in '' 2001 2001-13-01 2001-00-01 2001-01-00 2001-01-32 2001-04-31 2001-02-29 1900-02-29 2100-02-29 0000-01-01 2001-1-01 2001/01/01 \
        01-01-2001 20010101 '2001-01-01 24:00' '2001-01-01 00:60' '2001-01-01 00:00:60' '2001-01-01 ' '2001-01-01 00' '2001-01-01  0:47' \
        '2001-01-01x00:47' '2001-01-01 00:47Z' '2001-01-01 00-47' '2001-01-01 00:47.30' ' 2001-01-01' '2001-01-01T-1:00' '+001-01-01' ; do
        echo "$date,AAA,BBB,1,1"
        n=$((n + 1))
    done >in
    OK --csv in
    awk -v n=$n 'BEGIN { for (i = 1; i <= n; i++) print "in:" i ": the date is not YYYY-MM-DD [HH:MM[:SS]]" }' | same err
    echo airport,flights,mean_delay,late_share | same out
}

nul_bytes_make_a_row_malformed() {
    printf '%s\n2001-01-01,AAA,BBB,5,100\0\n2001-01-01,A\0A,BBB,5,100\n\0\n%s\0' $row $row >in
    OK in
    printf 'in:%d: NUL byte in the line\n' 2 3 4 5 | same err
    says out '^total: 1 flights'
    says out '^malformed rows: 4$'
}

overlong_lines_are_one_malformed_row_each() {
    zeros=$(bytes 65513 0) # with 2001-01-01,AAA,BBB, and 5,1 around it: 65535 bytes, the longest line that is read
    {
        echo "2001-01-01,AAA,BBB,${zeros}"5,1
        echo "2001-01-01,AAA,BBB,${zeros}"05,1
        bytes 400000 ,
        printf '\r\n%s\n' $row
        bytes 65536 x
        printf '\n%s\n' $row
        bytes 131072 x
        printf '\n%s\n' $row
        bytes 200000 '2001-01-01,AAA,BBB,5,100 '
    } >in
    OK in
    printf 'in:%d: the line is longer than 65535 bytes\n' 2 3 5 7 9 | same err
    says out '^total: 4 flights, 1 airports, mean delay 5\.0 min'
    says out '^malformed rows: 5$'
    { printf date,; bytes 300000 x; printf '\n%s\n' $row; } >in # a header may be of any length
    OK in
    empty err
    says out '^total: 1 flights'
}

rows_across_the_end_of_the_buffer_are_whole() {
    # The first line ends `left` bytes before the end of the buffer of 65536; with 27 its end falls between CR and LF of the second.
    left=0
    while [ $left -le 28 ]; do
        {
            printf 2001-01-01,AAA,BBB,
            bytes $((65536 - left - 24)) 0
            printf '5,1\r\n2001-01-02,CCC,DDD,123,100\r\n%s' "$row"
        } >in
        OK --csv in
        empty err
        printf 'airport,flights,mean_delay,late_share\nAAA,2,5.000,0.0000\nCCC,1,123.000,1.0000\n' | same out
        left=$((left + 1))
    done
}

# ---- what can go wrong around it

unreadable_files_are_exit_1() {
    FAILS 1 no/such/file
    empty out
    echo 'flights: cannot open no/such/file: No such file or directory' | same err
    FAILS 1 --csv .
    empty out
    echo 'flights: cannot read .: Is a directory' | same err
    run flights - <&- >out 2>err
    [ $code = 1 ]
    says err '^flights: cannot read <stdin>: '
}

bad_arguments_are_exit_2_with_the_usage() {
    for bad in --nonsense -x --csv=1 --all-; do
        FAILS 2 "$bad" "$data"
        empty out
        says err "^flights: unexpected argument: $bad\$"
        says err '^usage: flights '
    done
    FAILS 2 "$data" "$data"
    says err '^usage: flights '
    OK --help
    empty err
    says out '^usage: flights '
    printf '%s\n' $row >--csv
    OK --csv -- --csv
    says out '^AAA,1,'
}

write_errors_are_exit_1_with_a_message() {
    echo $row >small # all of its output waits in the buffer until the end
    if [ -c /dev/full ]; then
        for how in --csv --all ''; do
            for file in "$data" small; do
                # shellcheck disable=SC2086 # no argument when it is empty
                run flights $how "$file" >/dev/full 2>err
                [ $code = 1 ]
                echo 'flights: cannot write: No space left on device' | same err
            done
        done
    fi
    run flights --csv "$data" >&- 2>err
    [ $code = 1 ]
    echo 'flights: cannot write: Bad file descriptor' | same err
    # A pipe whose reader has left for certain: open both ends, then close the reading one.
    mkfifo pipe
    exec 3<>pipe
    exec 4>pipe 3<&-
    run flights --csv "$data" >&4 2>err
    exec 4>&-
    [ $code = 1 ]
    echo 'flights: cannot write: Broken pipe' | same err
}

# shellcheck disable=SC2086 # $mode is several words, or none
default_file_is_found_here_or_beside_the_program() {
    mkdir -p tree/build/examples tree/examples/data tree/somewhere here/examples/data
    cp "$program" tree/build/examples/flights
    printf '2001-01-01,AAA,BBB,1,1\n' >tree/examples/data/flights.csv
    printf '2001-01-01,CCC,BBB,1,1\n' >here/examples/data/flights.csv
    (cd tree/somewhere && ../build/examples/flights $mode --csv) >out
    says out '^AAA,1,'
    (cd here && ../tree/build/examples/flights $mode --csv) >out # here wins
    says out '^CCC,1,'
    rm tree/examples/data/flights.csv
    cd tree/somewhere
    run ../build/examples/flights $mode --csv >../../out 2>../../err
    cd ../..
    [ $code = 1 ]
    echo 'flights: cannot open examples/data/flights.csv: No such file or directory' | same err
}

progress_is_shown_on_a_terminal_only() {
    OK --csv "$data"
    empty err
    if ! script -qec true /dev/null >/dev/null 2>&1; then
        echo 'skip: progress_is_shown_on_a_terminal_only: no script(1) that makes a terminal'
        return 77
    fi
    script -qec "'$program' $mode --csv '$data' >rows" /dev/null >screen </dev/null
    says screen '\[####.*\] 100%'
    csv_of "$data" | same rows
    # The bar has left the screen at the end: blanks between two CR are the last thing.
    tr '\r' '|' <screen | grep -q '| \{48\}|$'
    script -qec "cat '$data' | '$program' $mode --csv - >rows" /dev/null >screen </dev/null
    if grep '%' screen; then return 1; fi # the size of a pipe is not known
}

# ---- queues and threads beside listeners, in one case

# compare ARGUMENT...: with listeners it ends well, and any number of workers prints the same on both outputs. Rates differ.
compare() {
    OK "$@"
    sed 's/^events per second: .*(\([0-9]* events\) .*/\1/' out >expected
    cp err expected.err
    for workers in $numbers; do
        OK --workers "$workers" "$@"
        sed 's/^events per second: .*(\([0-9]* events\) .*/\1/' out | same expected
        same err <expected.err
    done
}

any_number_of_workers_gives_the_same_bytes() {
    numbers='1 2 4 7 48'
    for options in --csv --all ''; do
        # shellcheck disable=SC2086 # none when it is empty
        compare $options "$data"
    done
    [ "$(wc -l <expected)" = 14 ]
}

any_mixture_of_rows_gives_the_same_with_workers() {
    numbers='1 3 16'
    for seed in 1 2 3; do
        awk -v seed=$seed '
            function letter() { return substr("ABCDEFGHIJKLMNOPQRSTUVWXYZ", int(rand() * 26) + 1, 1) }
            BEGIN {
                srand(seed)
                for (i = 0; i < 4000; i++) {
                    row = "2001-02-" 10 + i % 19 "," (rand() < .5 ? "AA" letter() : letter() letter() letter()) ",BBB," int(rand() * 90) - 20 ",100"
                    if (rand() < .1) row = substr(row, 1, int(rand() * 20))
                    print row
                }
            }' >in
        compare --csv in
        [ "$(wc -l <expected)" -gt 500 ]
        [ "$(wc -l <expected.err)" -gt 300 ]
    done
}

numbers_of_workers_are_1_to_48() {
    for good in 1 48 04; do OK --workers $good --csv "$data"; done
    for bad in 0 00 49 480 99999999999999999999 -1 +4 4x x4 4.0 0x4 ' 4' '4 ' '' --csv; do
        FAILS 2 --workers "$bad" "$data"
        empty out
        says err "^flights: --workers needs a number from 1 to 48, not: $bad\$"
        says err '^usage: flights '
    done
    FAILS 2 "$data" --workers
    empty out
    says err '^flights: --workers needs a number from 1 to 48, not: nothing$'
    FAILS 2 --workers=4 "$data"
    says err '^flights: unexpected argument: --workers=4$'
}

dead_letters_are_the_last_hundred_thousand() {
    awk -v row=$row 'BEGIN { for (i = 1; i <= 100007; i++) print "x"; print row }' >in
    OK --workers 2 --csv in
    printf 'airport,flights,mean_delay,late_share\nAAA,1,5.000,0.0000\n' | same out
    echo 'in: only the last 100000 of 100007 malformed rows were kept' >expected
    awk 'BEGIN { for (i = 8; i <= 100007; i++) print "in:" i ": fewer than five fields" }' >>expected
    same err <expected
}

# ---- the store

# replays DIR: what --replay makes of it is what --csv makes of the data
replays() {
    OK --replay "$1" --csv
    empty err
    csv_of "$data" | same out
}

a_store_gives_the_same_table_while_it_is_made_found_and_replayed() {
    rm -rf store
    for _ in made found; do
        OK --store store --csv "$data"
        empty err
        csv_of "$data" | same out
    done
    replays store
    OK --replay store
    says out '^total: 20000 flights, 220 airports, mean delay 7\.7 min, 21\.7% over 15 min late$'
}

# What a kill has left is a beginning; the next run adds the rest, and only that.
killed_at_any_moment_it_ends_with_every_flight_once() {
    rm -rf store
    kills=0 tries=0 rounds=${EVB_TEST_LONG:+300}
    while [ $tries -lt "${rounds:-12}" ]; do
        tries=$((tries + 1))
        [ $((tries % 12)) != 0 ] || rm -rf store
        # shellcheck disable=SC2086 # none when it is empty
        "$program" $mode --store store --csv "$data" >out 2>err &
        sleep "0.0$(awk -v seed=$tries 'BEGIN { srand(seed); print int(rand() * 9) }')" # any moment will do
        kill -9 $! 2>/dev/null || true
        run wait $! 2>/dev/null
        [ $code != 137 ] || kills=$((kills + 1))
    done
    echo "$kills of $tries killed"
    [ $kills -gt 0 ]
    OK --store store --csv "$data"
    csv_of "$data" | same out
    replays store
}

a_full_disk_is_an_error_and_a_later_run_goes_on() {
    rm -rf store
    # Files of 256 KiB at most, signals aside: about a tenth of the flights.
    # shellcheck disable=SC2086 # none when it is empty
    code=0
    (trap '' XFSZ; ulimit -f 256; exec "$program" $mode --store store --csv "$data") >out 2>err || code=$?
    [ $code = 1 ]
    empty out
    says err '^flights: .*flights.csv:[0-9]*: cannot go on with store: '
    OK --store store --csv "$data"
    replays store
}

a_store_of_another_file_or_of_none_is_refused() {
    rm -rf store empty.store
    printf '%s\n' $row >in
    printf '2001-01-01,AAA,BBB,6,100\n' >other
    printf '%s\n%s\n' $row $row >longer
    OK --store store --csv in
    FAILS 1 --store store --csv other
    says err '^flights: other:1: cannot go on with store: it holds the flights of another file'
    OK --store store --csv longer # the same beginning
    FAILS 1 --store store --csv in
    says err 'it holds the flights of another file'
    OK --replay store --csv
    says out '^AAA,2,'
    FAILS 1 --replay no.store
    echo 'flights: cannot open no.store: there is no store' | same err
    FAILS 1 --store no/such/dir in
    says err '^flights: cannot open no/such/dir: '
    FAILS 1 --store in in
    says err '^flights: cannot open in: '
}

a_directory_that_another_process_writes_to_is_refused() {
    rm -rf store
    mkfifo pipe
    # shellcheck disable=SC2086 # none when it is empty
    "$program" $mode --store store --csv pipe >first 2>first.err &
    exec 3>pipe # opened: the other one has its file, and soon its store
    n=0
    until [ -e store/META ] && [ -n "$(ls store/seg 2>/dev/null)" ]; do
        n=$((n + 1))
        [ $n -lt 100000 ]
    done
    FAILS 1 --store store --csv "$data"
    echo 'flights: cannot open store: another process writes to it; wait for its end, or take another directory' | same err
    echo $row >&3
    exec 3>&-
    wait
    says first '^AAA,1,'
}

store_and_replay_need_a_directory_and_do_not_mix() {
    for option in --store --replay; do
        FAILS 2 $option
        says err "^flights: $option needs a directory\$"
        FAILS 2 $option ''
        says err '^usage: flights '
    done
    FAILS 2 --replay store "$data"
    says err '^flights: --replay takes everything from the store: no file$'
    FAILS 2 --replay store --store store
    says err '^flights: --replay takes everything from the store: no --store$'
}

# ---- the runner: counts as a cmocka program does

passed=0 skipped=0 failed=0
names=$(sed -n 's/^\([a-z][a-z0-9_]*_[a-z0-9_]*\)() {$/\1/p' "$root/tests/install/examples.sh")

# attempt NAME TITLE
attempt() {
    # Not in a condition: set -e would be without effect there.
    (
        set -e
        rm -f pipe
        "$1"
    ) >log 2>&1
    case $? in
    0)
        echo "[       OK ] $2"
        passed=$((passed + 1))
        ;;
    77)
        cat log
        skipped=$((skipped + 1))
        ;;
    *)
        cat log
        echo "[  FAILED  ] $2"
        failed=$((failed + 1))
        ;;
    esac
}

for name in $names; do
    # shellcheck disable=SC2254 # the filter is a pattern
    case $name in ${1:-*}) ;; *) continue ;; esac
    mode=
    attempt "$name" "$name"
    case $name in *workers* | dead_letters_*) continue ;; esac
    mode='--workers 3'
    attempt "$name" "$name, with queues and 3 workers"
done
echo "[  PASSED  ] $passed test(s)."
[ $skipped = 0 ] || echo "[  SKIPPED ] $skipped test(s)"
[ $failed = 0 ] || echo "[  FAILED  ] $failed test(s)"
[ $failed = 0 ] && [ $((passed + skipped)) -gt 0 ]
