#!/bin/sh
# SPDX-License-Identifier: MIT
# The runner itself: tests/run.sh must not call a run good that was not.
. tests/support/house.sh

# program NAME BODY: a test program made of shell.
program() {
    printf '#!/bin/sh\n%s\n' "$2" >"$work/$1"
    chmod +x "$work/$1"
}

program good 'echo "[  PASSED  ] 3 test(s)."'
program more 'echo "[  PASSED  ] 2 test(s)."; echo "skip: windy: no wind today"; echo "[  SKIPPED ] 1 test(s), listed below:"; echo "[  PASSED  ] 5 test(s)."'
program bad 'echo "detail one"; echo "[  PASSED  ] 1 test(s)."; echo "[  FAILED  ] 1 test(s), listed below:"; exit 1'
program liar 'echo "all is well"'
program crash 'echo "[  PASSED  ] 9 test(s)."; kill -SEGV $$'
program skips 'echo "there is no moon"; exit 77'
program wordy 'echo "setting up"; echo "[ RUN      ] good"; echo noise; echo "[       OK ] good"; echo "[ RUN      ] bad"; echo "what happened"; echo "[  FAILED  ] bad"; echo "[  FAILED  ] 1 test(s)."; exit 1'
# Two that only end when they run at once.
for pair in 'first second' 'second first'; do
    program "${pair% *}" "echo >$work/here_${pair% *}; until [ -e $work/here_${pair#* } ]; do sleep 0.02; done; echo '[  PASSED  ] 1 test(s).'"
done
program hangs 'echo "[  PASSED  ] 1 test(s)."; exec sleep 60'
program picky 'case ${1:-} in "" | wrap*) echo "[  PASSED  ] 1 test(s).";; *) echo "[  PASSED  ] 0 test(s)."; exit 1;; esac'

# run PROGRAM...: its output in $work/out, its exit code the answer.
run() {
    list=
    for p in "$@"; do list="$list $work/$p"; done
    # shellcheck disable=SC2086
    K=${K:-} EVB_TEST_SUMMARY=$work/summary EVB_TEST_TIMEOUT_SCALE=${scale:-1} tests/run.sh $list >"$work/out" 2>&1
}

says() {
    grep -q -- "$1" "$work/out" && return 0
    echo "missing: $1"
    cat "$work/out"
    return 1
}

passes() {
    run good more && says '^10 tests in 2 programs, 1 skipped, 0 failed$' && says 'no wind today' && ! grep -q detail "$work/out"
}
failure() {
    ! run good bad && says '^FAILED  bad .*exit 1$' && says 'detail one' && says '^5 tests in 2 programs, 0 skipped, 1 failed$'
}
brief() {
    ! run wordy && says 'setting up' && says 'what happened' && ! grep -q noise "$work/out" && ! grep -q good "$work/out"
}
at_once() {
    EVB_TEST_JOBS=2 run first second good && says '^5 tests in 3 programs, 0 skipped, 0 failed$'
}
silence() {
    ! run good liar && says '^FAILED  liar .*counted no test'
}
death() {
    ! run good crash && says '^FAILED  crash .*killed by signal 11$'
}
hang() {
    command -v timeout >/dev/null || skip 'timeout is missing'
    scale=0.01 && ! run good hangs && says '^FAILED  hangs .*stopped after 1.2 s$'
}
skipped() {
    run good skips && says '^skip    skips .*there is no moon$' && says ' 1 skipped, 0 failed$'
}
nothing() {
    ! run && says 'no test ran' && ! run skips && says 'no test ran'
}
chosen() {
    K='wrap*' run picky && says '^1 tests in 1 programs' && ! K='other*' run picky && says "no test ran (K='other\*')"
}
gone() {
    ! run good no_such_program && says '^FAILED  no_such_program'
}
summary() {
    rm -f "$work/summary"
    run good more
    run good skips
    [ "$(cat "$work/summary")" = "$(printf '10 2 1 0\n3 2 1 0')" ]
}

# cmocka missing and no way to get it: the message says what to do, and the answer is no.
no_cmocka() {
    mkdir -p "$work/bin"
    for tool in sh id mktemp rm tail cat printf; do ln -sf "$(command -v $tool)" "$work/bin/$tool"; done
    printf '#!/bin/sh\nexit 1\n' >"$work/bin/cc" && chmod +x "$work/bin/cc"
    ! PATH=$work/bin CC=cc sh tools/need_cmocka.sh >"$work/out" 2>&1 && says 'apt-get install libcmocka-dev'
}
have_cmocka() {
    CC=$cc tools/need_cmocka.sh
}

check the_tests_of_all_programs_are_added_up passes
check a_failure_is_shown_whole_and_fails_the_run failure
check of_a_failure_the_tests_that_passed_are_left_out brief
check programs_run_at_once_when_asked at_once
check a_program_that_counted_nothing_has_failed silence
check a_crash_after_a_good_count_is_a_failure death
check a_program_that_hangs_is_stopped_and_has_failed hang
check a_skipped_program_says_why skipped
check a_run_without_any_test_is_a_failure nothing
check a_filter_leaves_out_programs_it_does_not_choose chosen
check a_program_that_is_not_there_has_failed gone
check the_summary_has_one_line_a_run summary
check missing_cmocka_is_a_clear_message no_cmocka
check present_cmocka_is_found have_cmocka
finish
