#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs test programs and counts what really ran: tests/run.sh PROGRAM...
#
# A program is an executable or a shell script. It prints `[  PASSED  ] N test(s).` for the tests that passed (cmocka does)
# and ends with 0 = all well, 77 = skipped as a whole with the reason as its last line, anything else = failed. A program that ends with
# 0 and counted nothing has failed: it ran nothing. A skipped test of a program says why on a line that begins with `skip:`.
#
# Environment: K = filter for the tests of each program (its argument); EVB_TEST_TIMEOUT_SCALE multiplies the limit of 120 s a program;
# EVB_TEST_JOBS = how many programs run at once (1);
# EVB_TEST_SUMMARY = file to which one line `tests programs skipped failed` is added. tests counts what ran, passed or failed.
# Exit: 0 = something ran and nothing failed.
set -u

limit=$(awk -v scale="${EVB_TEST_TIMEOUT_SCALE:-1}" 'BEGIN { print 120 * scale }')
if command -v timeout >/dev/null 2>&1; then limiter="timeout -k 5 $limit"; else limiter=; fi
work=$(mktemp -d "${TMPDIR:-/tmp}/evb_run.XXXXXX") || exit 1
out=$work/out
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# A make called by a test keeps the variables of the outer command line (other flags would rebuild the tree), but not its job server,
# which it cannot reach.
MAKEFLAGS=$(printf '%s\n' "${MAKEFLAGS:-}" | sed 's/ *-j[0-9]*//g; s/ *--jobserver-[a-z]*=[^ ]*//g')
export MAKEFLAGS
unset MFLAGS MAKELEVEL

tests=0 programs=0 skipped=0 failed=0

# sum_of WORD: the sum of the numbers in the lines "[  WORD  ] N test(s)" of the output.
sum_of() {
    sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$out" | awk '{ n += $1 } END { print n + 0 }'
}

# report STATUS NAME DETAIL
report() {
    printf '%-7s %-28s %s\n' "$1" "$2" "$3"
}

# A program that failed outside its tests (a crash, a time-out) counts as one failed test.
fail() {
    bad=$(sum_of FAILED)
    [ "$bad" != 0 ] || bad=1
    failed=$((failed + bad))
    tests=$((tests + bad))
    report FAILED "$1" "$2"
    # What a test printed stands between its RUN line and its verdict: that of the tests that passed is left out.
    awk '/^\[ RUN  / { held = $0 ORS; next }
         held != "" && /^\[       OK \]/ { held = ""; next }
         held != "" && /^\[  / { printf "%s", held; held = ""; print; next }
         held != "" { held = held $0 ORS; next }
         { print }
         END { printf "%s", held }' "$out" | sed 's/^/        | /'
}

run_one() {
    program=$1
    name=$(basename "$program" .sh)
    began=$(date +%s)
    # Without stdin: a test that asks the terminal would hang for the whole limit.
    $limiter "$program" ${K:+"$K"} >"$out" 2>&1 </dev/null
    rc=$?
    took=$(($(date +%s) - began))
    passed=$(sum_of PASSED)
    left_out=$(sum_of SKIPPED)

    if [ -n "${K:-}" ] && [ $rc -lt 124 ] && [ "$passed" = 0 ] && [ "$left_out" = 0 ] && ! grep -q '^\[  FAILED  \]' "$out"; then
        return # the filter chose none of its tests
    fi
    programs=$((programs + 1))
    tests=$((tests + passed))
    skipped=$((skipped + left_out))
    case $rc in
    0)
        if [ "$passed" = 0 ] && [ "$left_out" = 0 ]; then
            fail "$name" "ended well but counted no test"
            return
        fi
        report ok "$name" "$passed tests, $took s$([ "$left_out" = 0 ] || echo ", $left_out skipped")"
        grep '^skip:' "$out" | sed 's/^/        /'
        ;;
    77)
        [ "$left_out" != 0 ] || skipped=$((skipped + 1))
        report skip "$name" "$(sed -n '/./h; ${x;p;}' "$out")"
        ;;
    124 | 137) fail "$name" "stopped after $limit s" ;;
    *)
        if [ $rc -gt 128 ]; then fail "$name" "killed by signal $((rc - 128))"; else fail "$name" "exit $rc"; fi
        ;;
    esac
}

# For each program this script calls itself, so that several can run at once: `--count-in FILE PROGRAM` adds a line to FILE.
if [ "${1:-}" = --count-in ]; then
    run_one "$3" >"$work/report"
    cat "$work/report"
    echo "$tests $programs $skipped $failed" >>"$2"
    exit 0
fi
[ $# = 0 ] || printf '%s\0' "$@" | xargs -0 -n 1 -P "${EVB_TEST_JOBS:-1}" "$0" --count-in "$work/counts" || failed=1
# shellcheck disable=SC2046 # four numbers
set -- $(awk -v failed=$failed '{ t += $1; p += $2; s += $3; f += $4 } END { print t + 0, p + 0, s + 0, f + failed }' "$work/counts" 2>/dev/null || echo 0 0 0 0)
tests=$1 programs=$2 skipped=$3 failed=$4

echo "$tests tests in $programs programs, $skipped skipped, $failed failed"
[ -z "${EVB_TEST_SUMMARY:-}" ] || echo "$tests $programs $skipped $failed" >>"$EVB_TEST_SUMMARY"
if [ $tests = 0 ]; then
    echo "no test ran${K:+ (K='$K')}"
    exit 1
fi
[ $failed = 0 ]
