#!/bin/sh
# SPDX-License-Identifier: MIT
# Writes the whole library as two files, evbus.c and evbus.h, into the directory $1 (build/amalgamation when absent).
#
# evbus.h is the umbrella with every public header in place of its include line. evbus.c is every source, ground floor first; each internal header
# stands before the first source that includes it.
#
# In separate files two sources may both have a `static int push(...)` or a `struct walk`; in one file they may not. Such names, and only they, get the
# file's name added by a #define in front of that source (push is push__topic_index there), which ends with the source; so do its
# macros. What this misses (a member of a shared struct that is called like a clashing static) does not compile:
# tests/install/amalgamation.sh compiles the result.
set -eu
out=${1:-build/amalgamation}
mkdir -p "$out"

# The floors of src/README.md. Within a floor by name.
sources=
for folder in base ring pool topic store bus queue schema stats; do
    for f in src/"$folder"/*.c; do [ ! -e "$f" ] || sources="$sources $f"; done
done
for f in src/*.c; do [ ! -e "$f" ] || sources="$sources $f"; done
[ -n "$sources" ] || { echo 'no sources' >&2; exit 1; }

# Common to both: lines of a file, and what an include line includes. A file that cannot be read ends the generator: half a
# library must not look like a whole one.
library='
function read_file(path, line,    n, status) {
    n = 0
    while ((status = (getline line[n + 1] < path)) > 0) n++
    if (status < 0) { print "cannot read " path > "/dev/stderr"; exit 1 }
    close(path)
    return n
}
function included(line) {
    if (line !~ /^[ \t]*#[ \t]*include[ \t]*["<]/) return ""
    sub(/^[^"<]*["<]/, "", line)
    sub(/[">].*/, "", line)
    return line
}
function is_public(name) { return name ~ /^evbus(\/|\.h$)/ }
'

public_header() {
    awk "$library"'
    function put(path,    line, n, i) {
        if (path in seen) return
        seen[path] = 1
        n = read_file(path, line)
        printf "\n/* ---- %s ---- */\n", path
        for (i = 1; i <= n; i++) {
            if (is_public(included(line[i]))) put("include/" included(line[i]))
            else print line[i]
        }
    }
    BEGIN { put("include/evbus.h") }'
}

one_source() {
    awk "$library"'
    # An internal include of ours: not public, not the system, not the explorer (never compiled here).
    function internal(line,    name) {
        name = included(line)
        return line ~ /"/ && name != "" && !is_public(name) && name !~ /^explore_/ ? name : ""
    }
    # The name that a line at the left margin defines for its file alone, or "".
    function defined_name(line) {
        if (line ~ /^(struct|union|enum) [a-z_0-9]+ \{/) { split(line, word, " "); return word[2] }
        if (line ~ /^\} [a-z_0-9]+( =|;|\[)/) { sub(/^\} /, "", line); sub(/[^a-z_0-9].*/, "", line); return line }
        if (line !~ /^(static|EVB__INLINE|EVB__COLD|_Thread_local)[ \t]/ || line ~ /^static (struct|enum|union)( [a-z_0-9]+)? \{/) return ""
        gsub(/__attribute__ *\(\([^)]*\)\)|EVB__ATOMIC\([^)]*\)/, "", line)
        if (!match(line, /[a-zA-Z_0-9]+ *(\(|=|;|\[)/)) return ""
        line = substr(line, RSTART, RLENGTH)
        sub(/[^a-zA-Z_0-9].*/, "", line)
        return line ~ /^(evb__|EVB__)/ ? "" : line
    }
    function macro_name(line) {
        if (line !~ /^[ \t]*#[ \t]*define[ \t]/) return ""
        sub(/^[ \t]*#[ \t]*define[ \t]+/, "", line)
        sub(/[^a-zA-Z_0-9].*/, "", line)
        return line
    }
    function scan(path,    line, n, i, name, depth, outermost) {
        n = read_file(path, line)
        depth = 0
        for (i = 1; i <= n; i++) {
            if (line[i] ~ /^[ \t]*#[ \t]*if/ && depth++ == 0) outermost = i
            if (line[i] ~ /^[ \t]*#[ \t]*endif/) depth--
            name = defined_name(line[i])
            if (name == "") continue
            # The #defines stand before the first definition, outside any #if, and so after the system headers.
            if (!(path in first)) first[path] = depth > 0 ? outermost : i
            if (!((path, name) in mine)) { mine[path, name] = 1; owners[name]++; names[path] = names[path] " " name }
        }
    }
    function put_header(name,    path, line, n, i) {
        path = "src/" name
        if (path in seen) return
        seen[path] = 1
        n = read_file(path, line)
        for (i = 1; i <= n; i++) if (internal(line[i]) != "") put_header(internal(line[i]))
        printf "\n/* ---- %s ---- */\n", path
        for (i = 1; i <= n; i++) if (internal(line[i]) == "" && !is_public(included(line[i]))) print line[i]
    }
    # Ends a name with its source: once each, in order of appearance.
    function end_later(name) {
        if (name in ending || name ~ /^_/) return # _FILE_OFFSET_BITS and its like hold for the whole file
        ending[name] = 1
        undo[++undos] = name
    }
    function put_source(path,    line, n, i, j, m, word, tag) {
        split("", ending)
        undos = 0
        n = read_file(path, line)
        for (i = 1; i <= n; i++) if (internal(line[i]) != "") put_header(internal(line[i]))
        printf "\n/* ---- %s ---- */\n", path
        tag = path
        sub(/^src\//, "", tag)
        sub(/\.c$/, "", tag)
        gsub(/[^a-z0-9]/, "_", tag)
        for (i = 1; i <= n; i++) {
            if (i == first[path]) {
                m = split(names[path], word, " ")
                for (j = 1; j <= m; j++) {
                    if (owners[word[j]] < 2) continue
                    print "#define " word[j] " " word[j] "__" tag
                    end_later(word[j])
                }
            }
            if (macro_name(line[i]) != "") end_later(macro_name(line[i]))
            if (internal(line[i]) == "" && !is_public(included(line[i]))) print line[i]
        }
        for (j = 1; j <= undos; j++) print "#undef " undo[j]
    }
    BEGIN {
        for (i = 1; i < ARGC; i++) scan(ARGV[i])
        for (i = 1; i < ARGC; i++) put_source(ARGV[i])
    }' "$@"
}

version=$(awk '/^#define EVB_VERSION_(MAJOR|MINOR|PATCH) / { v = v (v == "" ? "" : ".") $3 } END { print v }' include/evbus/base.h)
{
    printf '/* evbus %s, the public headers in one. Made from include/ by tools/amalgamate.sh: edit there.\n *\n' "$version"
    sed 's/^/ * /; s/ *$//' LICENSE
    printf ' */\n'
    public_header
} >"$out/evbus.h.new"
{
    printf '/* evbus %s, the library in one file: cc -std=c11 -pthread -c evbus.c. Made from src/ by tools/amalgamate.sh: edit there.\n' "$version"
    printf ' * Licence: MIT, its text is in evbus.h. */\n'
    # What the Makefile or a source says before the first system header.
    printf '#ifndef %s\n#define %s\n#endif\n' _GNU_SOURCE _GNU_SOURCE _FILE_OFFSET_BITS '_FILE_OFFSET_BITS 64'
    printf '#include "evbus.h"\n'
    # shellcheck disable=SC2086
    one_source $sources
} >"$out/evbus.c.new"
mv "$out/evbus.h.new" "$out/evbus.h"
mv "$out/evbus.c.new" "$out/evbus.c"
