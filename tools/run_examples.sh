#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every C example that was built in $EVB_BUILD/examples and counts them like a test program (tests/run.sh).
#
# examples/expected/NAME.txt, when it is there, is what NAME must print on standard output, line by line; a line `~ PATTERN` there is a shell pattern for
# a line that differs from run to run (a rate). examples/expected/NAME.args holds the arguments. Where there is a NAME-HOW.args, NAME runs
# once more, with these, against NAME-HOW.txt. Exit code 0 is asked of all.
set -u
build=${EVB_BUILD:-build}
out=$(mktemp "${TMPDIR:-/tmp}/evb_example.XXXXXX") || exit 1
trap 'rm -f "$out" "$out.err"' EXIT

# same EXPECTED ACTUAL: says where they differ first.
same() {
    exec 3<"$1" 4<"$2"
    line=0
    while :; do
        line=$((line + 1))
        IFS= read -r want <&3 && more_want=1 || more_want=0
        IFS= read -r got <&4 && more_got=1 || more_got=0
        [ "$more_want$more_got" = 00 ] && return 0
        if [ "$more_want" != "$more_got" ]; then break; fi
        case $want in
        '~ '*)
            # Unquoted on purpose: the expected line is a pattern.
            # shellcheck disable=SC2254
            case $got in ${want#\~ }) continue ;; esac
            break
            ;;
        *) [ "$want" = "$got" ] || break ;;
        esac
    done
    echo "$1:$line: expected: $want"
    echo "$1:$line: printed:  $got"
    return 1
}

passed=0 failed=0
# one PROGRAM RUN: RUN is the name of its files in expected
one() {
    expected=examples/expected/$2.txt
    arguments=
    [ ! -e "examples/expected/$2.args" ] || arguments=$(cat "examples/expected/$2.args")
    # shellcheck disable=SC2086
    if ! timeout "${EVB_EXAMPLE_TIMEOUT:-60}" "$build/examples/$1" $arguments >"$out" 2>"$out.err" </dev/null; then
        echo "[  FAILED  ] $2: ended with an error"
        cat "$out" "$out.err"
        failed=$((failed + 1))
    elif [ -e "$expected" ] && ! same "$expected" "$out"; then
        echo "[  FAILED  ] $2: printed something else"
        failed=$((failed + 1))
    else
        echo "[       OK ] $2$([ -e "$expected" ] || echo ' (ran; no expected output is recorded)')"
        passed=$((passed + 1))
    fi
}
for source in examples/c/*.c; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .c)
    one "$name" "$name"
    for again in examples/expected/"$name"-*.args; do
        [ ! -e "$again" ] || one "$name" "$(basename "$again" .args)"
    done
done
echo "[  PASSED  ] $passed test(s)."
[ $failed = 0 ] && [ $passed -gt 0 ]
