#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library as a plugin: loaded, used by two threads and unloaded 200 times (dl_cycle.c).
. tests/support/house.sh

compile() {
    $cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -O1 -g -Iinclude -pthread "$@"
}

cycle_runs() {
    compile tests/install/dl_cycle.c -ldl -o "$work/cycle" && "$work/cycle" "$1" 200
}

# leaky DEFINE SAYING
leaky_is_noticed() {
    compile tests/install/dl_cycle.c -ldl -o "$work/cycle" || return 1
    compile -shared -fPIC "-D$1" tests/install/dl_leaky.c -o "$work/leaky.so" || return 1
    refuses "$2" "$work/cycle" "$work/leaky.so" 20
}

clean_stand_in_passes() {
    compile tests/install/dl_cycle.c -ldl -o "$work/cycle" && compile -shared -fPIC tests/install/dl_leaky.c -o "$work/leaky.so" &&
        "$work/cycle" "$work/leaky.so" 20
}

files_leak() {
    [ -d /proc/self/fd ] || skip 'there is no /proc'
    leaky_is_noticed LEAK_FILE 'files leaked'
}

case $build in /*) library=$build/libevbus.so ;; *) library=$PWD/$build/libevbus.so ;; esac
check the_library_loads_works_and_unloads_200_times_while_its_threads_live_on cycle_runs "$library"
check a_library_that_leaks_a_thread_key_is_noticed leaky_is_noticed LEAK_KEY 'thread keys leaked'
check a_library_that_leaks_a_file_is_noticed files_leak
check a_library_that_leaks_nothing_passes clean_stand_in_passes
finish
