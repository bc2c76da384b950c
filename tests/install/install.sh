#!/bin/sh
# SPDX-License-Identifier: MIT
# make install, what a user's compiler finds afterwards, and make uninstall.
. tests/support/house.sh

hello=examples/c/hello.c
says='Received: Hello, Event-Driven World!'

run_make() {
    $make --no-print-directory BUILD="$build" CC="$cc" "$@" >"$work/log" 2>&1 && return 0
    cat "$work/log"
    return 1
}

# One staged installation below /usr and one into a prefix of its own.
root=$work/root
opt=$work/opt
install_both() {
    run_make install DESTDIR="$root" PREFIX=/usr && run_make install PREFIX="$opt" LIBDIR="$opt/lib64"
}

files_of() {
    (cd "$1" && find . ! -type d | sort)
}

everything_is_there() {
    version=$(sed -n 's/^#define EVB_VERSION_[MP][AI][A-Z]* *\([0-9]*\)$/\1/p' include/evbus/base.h | paste -sd . -)
    {
        (cd include && find . -name '*.h' | sed 's|^\.|./usr/include|')
        printf './usr/lib/%s\n' libevbus.a libevbus.so libevbus.so.0 "libevbus.so.$version" pkgconfig/evbus.pc
    } | sort >"$work/expected"
    files_of "$root" | diff "$work/expected" - || return 1
    grep -q "^Version: $version\$" "$root/usr/lib/pkgconfig/evbus.pc"
}

# prints PROGRAM: it runs and says hello.
prints() {
    [ "$(LD_LIBRARY_PATH=$opt/lib64 "$1")" = "$says" ]
}

with_pkg_config() {
    command -v pkg-config >/dev/null || skip 'pkg-config is missing'
    PKG_CONFIG_PATH=$opt/lib64/pkgconfig
    export PKG_CONFIG_PATH
}

shared_by_pkg_config() {
    with_pkg_config
    # shellcheck disable=SC2046
    $cc $hello $(pkg-config --cflags --libs evbus) -o "$work/shared" || return 1
    prints "$work/shared" || return 1
    # Without the library's directory the loader must miss it: the program really took the shared one.
    ! env -u LD_LIBRARY_PATH "$work/shared" >/dev/null 2>&1
}

static_by_pkg_config() {
    with_pkg_config
    echo 'int main(void) { return 0; }' | $cc -static -x c - -o "$work/probe" 2>/dev/null || skip 'there is no static libc'
    # shellcheck disable=SC2046
    $cc -static $hello $(pkg-config --static --cflags --libs evbus) -o "$work/static" || return 1
    env -u LD_LIBRARY_PATH "$work/static" | grep -qxF "$says"
}

archive_by_path() {
    $cc -I"$opt/include" $hello "$opt/lib64/libevbus.a" -pthread -o "$work/archive" && prints "$work/archive"
}

cxx_program() {
    command -v g++ >/dev/null || skip 'g++ is missing'
    cat >"$work/hello.cc" <<'END'
#include <evbus.h>
static int32_t add(const evb_event *ev, void *user) { *static_cast<size_t *>(user) += ev->size; return EVB_OK; }
int main()
{
    evb_bus *bus = nullptr;
    size_t bytes = 0;
    if (evb_bus_create(nullptr, &bus) < 0 || evb_on(bus, "a.*", add, &bytes) < 0 || evb_emit(bus, "a.b", "12345", 5) != 1) return 1;
    evb_bus_destroy(bus);
    return bytes == 5 ? 0 : 2;
}
END
    g++ -std=c++11 -I"$opt/include" "$work/hello.cc" "$opt/lib64/libevbus.a" -pthread -o "$work/cxx" && "$work/cxx"
}

pc_file_moves_with_its_prefix() {
    grep -qxF "prefix=$opt" "$opt/lib64/pkgconfig/evbus.pc" || return 1
    # The prefix is written once: whoever moves the tree changes one line.
    [ "$(grep -cF "$opt" "$opt/lib64/pkgconfig/evbus.pc")" = 1 ]
}

nothing_is_left() {
    run_make uninstall DESTDIR="$root" PREFIX=/usr && run_make uninstall PREFIX="$opt" LIBDIR="$opt/lib64" || return 1
    left=$(files_of "$root"; files_of "$opt")
    [ -z "$left" ] || { echo "$left"; return 1; }
    [ ! -e "$root/usr/include/evbus" ]
}

install_both || exit 1
check everything_is_where_it_belongs everything_is_there
check a_program_builds_against_the_shared_library_through_pkg_config shared_by_pkg_config
check a_program_builds_statically_through_pkg_config static_by_pkg_config
check a_program_builds_against_the_archive_by_path archive_by_path
check a_cxx_program_builds_and_runs cxx_program
check the_pc_file_names_its_prefix_once pc_file_moves_with_its_prefix
check uninstall_leaves_nothing nothing_is_left
finish
