# SPDX-License-Identifier: MIT
# The test layer of the shell programs in tests/unit and tests/install; they begin with
#
#     . tests/support/house.sh
#     check the_behaviour_as_a_sentence function [arguments]    once per test
#     finish
#
# A test is a function: 0 = passed, 77 = skipped (it printed `skip: why`), else failed. $1 of the program chooses tests by name (* and ?). Output
# and exit codes are those of the C programs, see tests/run.sh. $work is a directory of the program's own, gone at its end. $EVB_BUILD is
# the tree that `make all` has built, $CC the compiler.
set -u

filter=${1:-*}
passed=0 failed=0 left_out=0
build=${EVB_BUILD:-build}
cc=${CC:-cc}
make=${MAKE:-make}
work=$(mktemp -d "${TMPDIR:-/tmp}/evb_house.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

check() {
    name=$1
    shift
    # shellcheck disable=SC2254
    case $name in $filter) ;; *) return 0 ;; esac
    echo "[ RUN      ] $name"
    ("$@")
    case $? in
    0)
        passed=$((passed + 1))
        echo "[       OK ] $name"
        ;;
    77)
        left_out=$((left_out + 1))
        echo "[  SKIPPED ] $name"
        ;;
    *)
        failed=$((failed + 1))
        echo "[  FAILED  ] $name"
        ;;
    esac
}

finish() {
    echo "[  PASSED  ] $passed test(s)."
    [ $left_out = 0 ] || echo "[  SKIPPED ] $left_out test(s)."
    [ $failed = 0 ] || { echo "[  FAILED  ] $failed test(s)."; exit 1; }
    [ $passed -gt 0 ] && exit 0
    [ $left_out -gt 0 ] && exit 77
    exit 1
}

# skip WHY: leaves the test.
skip() {
    echo "skip: $name: $*"
    exit 77
}

# refuses TEXT COMMAND...: the command fails and says TEXT. What a negative control asks of a checker.
refuses() {
    wanted=$1
    shift
    if "$@" >"$work/refused" 2>&1; then
        echo "accepted what it must refuse: $wanted"
        return 1
    fi
    grep -qF -- "$wanted" "$work/refused" && return 0
    echo "refused, but without saying: $wanted"
    cat "$work/refused"
    return 1
}
