#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header alone, and the umbrella, in C99, C11, C++11 and C++20 under every compiler that is here, with all
# warnings as errors.
. tests/support/house.sh

warnings='-Wall -Wextra -Wpedantic -Werror'

# compiles COMPILER LANGUAGE STANDARD FILE [DIRECTORY]: the header is included twice, and used before anything else.
compiles() {
    printf '#include <%s>\n#include <%s>\nint main(void) { return EVB_OK; }\n' "$4" "$4" >"$work/one.$2"
    # shellcheck disable=SC2086
    $1 -x "$2" -std="$3" $warnings -I"${5:-include}" -fsyntax-only "$work/one.$2"
}

all_headers() {
    command -v "$1" >/dev/null || skip "$1 is missing"
    echo 'int main(void) { return 0; }' >"$work/probe"
    $1 -x "$2" -std="$3" -fsyntax-only "$work/probe" 2>/dev/null || skip "$1 does not know -std=$3"
    count=0
    for header in include/evbus.h include/evbus/*.h; do
        compiles "$1" "$2" "$3" "${header#include/}" || { echo "$header"; return 1; }
        count=$((count + 1))
    done
    echo "$count headers"
    [ $count -ge 9 ] # eight parts and the umbrella
}

# refuses_header LANGUAGE COMPILER STANDARD LINE SAYING: the check sees what it is for.
refuses_header() {
    command -v "$2" >/dev/null || skip "$2 is missing"
    mkdir -p "$work/include"
    printf 'enum { EVB_OK };\n%s\n' "$4" >"$work/include/bad.h"
    refuses bad.h compiles "$2" "$1" "$3" bad.h "$work/include"
}

# The inline calls are compiled into programs: no element type and no optimization may bring a warning.
inline_calls() {
    command -v "$1" >/dev/null || skip "$1 is missing"
    cat >"$work/inline.$2" <<'END'
#include <evbus/ring_inline.h>
struct three { char c[3]; };
struct many { double d[3]; };
struct big { char c[4096]; };
#define CALLS(name, type)                                                   \
    int name(evb_ring *ring, type in);                                      \
    int name(evb_ring *ring, type in)                                       \
    {                                                                       \
        type out;                                                           \
        int rc = evb_ring_try_push_inline(ring, &in);                       \
        return rc | evb_ring_try_pop_inline(ring, &out) | *(char *)&out;    \
    }
CALLS(of_char, char)
CALLS(of_int, int)
CALLS(of_pointer, void *)
CALLS(of_three, struct three)
CALLS(of_many, struct many)
CALLS(of_big, struct big)
END
    for level in -O0 -Og -O1 -O2 -O3 -Os; do
        # shellcheck disable=SC2086
        $1 -x "$2" -std="$3" $warnings $level -Iinclude -c "$work/inline.$2" -o "$work/inline.o" || { echo "$level"; return 1; }
    done
}

c_compilers=$(printf '%s\n' "${cc%% *}" gcc clang | awk '!seen[$0]++')
for compiler in $c_compilers; do
    check "the_headers_are_c99_for_$(basename "$compiler")" all_headers "$compiler" c c99
    check "the_headers_are_c11_for_$(basename "$compiler")" all_headers "$compiler" c c11
    check "inline_calls_bring_no_warning_of_$(basename "$compiler")" inline_calls "$compiler" c c99
done
for compiler in g++ clang++; do
    check "the_headers_are_cxx11_for_$compiler" all_headers $compiler c++ c++11
    check "the_headers_are_cxx20_for_$compiler" all_headers $compiler c++ c++20
    check "inline_calls_bring_no_warning_of_$compiler" inline_calls $compiler c++ c++11
done
check a_header_that_needs_another_first_is_refused refuses_header c "${cc%% *}" c11 'static inline uint32_t one(void) { return 1; }'
check a_header_without_guard_is_refused refuses_header c "${cc%% *}" c99 'struct twice { int x; };'
check a_header_with_c_only_words_is_refused refuses_header c++ g++ c++11 'void f(int *restrict p);'
finish
