# SPDX-License-Identifier: MIT
# Checks that the public headers are a manual: awk -f manual_text.awk HEADER... names every function whose text lacks something and ends
# with 1. What an entry has to look like stands in include/evbus/base.h, THE WORDS OF EACH ENTRY.
#
# With -v list=1 it checks nothing and prints the functions marked "Status: not in", one a line: name, what it says it answers
# (nothing for void), and a call of it with 0 for every parameter.

function complain(what) {
    if (list) return
    print FILENAME ":" FNR ": " what
    bad++
}

# The text of a tag in the current comment, its lines joined; "" if it is not there.
function tag(name) { return (name in text) ? text[name] : "" }

function begin_comment() {
    comment = 1
    complete = 0
    prose = ""
    words = ""
    current = ""
    order = ""
    for (name in text) delete text[name]
}

# One line of a comment, without its asterisk.
function comment_line(line,    name) {
    words = words " " line
    if (match(line, /^(Parameters|Returns|Ownership|Threads|Cost|Errors|Status|Since):/)) {
        name = substr(line, 1, RLENGTH - 1)
        if (name in text) twice = name
        text[name] = substr(line, RLENGTH + 2)
        order = order name " "
        current = name
    } else if (current != "") {
        sub(/^ +/, "", line)
        text[current] = text[current] " " line
    } else {
        prose = prose " " line
    }
}

function check_prose(f) {
    sub(/^ */, "", prose)
    if (prose !~ /^[A-Z]/ || prose !~ /\./) complain(f ": does not begin with a sentence")
}

function check_order(f, returns,    wanted, seen) {
    wanted = "Parameters " (returns == "void" ? "" : "Returns ") "Ownership Threads Cost Errors Since "
    seen = order
    sub(/Status /, "", seen)
    if (twice != "") complain(f ": " twice ": stands there twice")
    else if (seen != wanted) complain(f ": has " seen "but wants " wanted)
    if (order ~ /Status / && order !~ /Errors Status Since $/) complain(f ": Status: stands before Since:")
    for (name in text) if (text[name] ~ /^[ ]*$/) complain(f ": " name ": is empty")
    twice = ""
}

function check_words(f, returns,    t) {
    t = tag("Threads")
    if (t !~ /^ *(any thread|owner)(, not from a callback)?([ .,;:]|$)/) complain(f ": Threads: not in the vocabulary:" t)
    t = tag("Cost")
    if (t !~ /^ *(does not block|may block).*(does not allocate|may allocate|allocates).*(no system calls|may make system calls)/)
        complain(f ": Cost: does not say whether it blocks, allocates, makes system calls")
    t = tag("Errors")
    if (t !~ /EVB_E[A-Z]+/ && t !~ /^ *(none|NULL)/) complain(f ": Errors: names no error")
    t = tag("Since")
    if (t !~ /^ *[0-9]+\.[0-9]+\.[0-9]+ *$/) complain(f ": Since: is no version")
    t = tag("Status")
    if (t != "" && t !~ /^ *not in [0-9]+\.[0-9]+\.[0-9]+: (answers (EVB_ENOTSUP|NULL|0)|does nothing)/)
        complain(f ": Status: not in the fixed form")
}

# A parameter that is a function becomes its name: what it gets is not ours.
function plain(params,    name) {
    while (match(params, /\(\*[a-z_]+\)\([^()]*\)/)) {
        name = substr(params, RSTART + 2)
        sub(/\).*/, "", name)
        params = substr(params, 1, RSTART - 1) name substr(params, RSTART + RLENGTH)
    }
    return params
}

function print_put_off(f, params,    answer, zeros) {
    answer = tag("Status")
    if (answer !~ /not in/) return
    answer = answer ~ /answers/ ? answer : ""
    sub(/.*answers /, "", answer)
    sub(/[,.].*/, "", answer)
    zeros = params
    gsub(/[^,]+/, "0", zeros)
    print f, answer, f "(" (params == "void" ? "" : zeros) ")"
}

# Every parameter is named in the entry, unless the entry refers to another one's.
function check_parameters(f, params,    n, i, part, name, t) {
    t = tag("Parameters")
    n = split(params, part, ",")
    for (i = 1; i <= n; i++) {
        name = part[i]
        gsub(/[^A-Za-z0-9_]+/, " ", name)
        sub(/ +$/, "", name)
        sub(/.* /, "", name)
        if (name == "void" || name == "") {
            if (t !~ /^ *none/) complain(f ": Parameters: says something about none")
        } else if (words !~ ("(^|[^A-Za-z0-9_])" name "([^A-Za-z0-9_]|$)") && t !~ /as evb_/) {
            complain(f ": Parameters: says nothing of " name)
        }
    }
}

function check_function(    head, f, returns, params) {
    functions++
    head = substr(declaration, 1, index(declaration, "(") - 1)
    params = substr(declaration, index(declaration, "(") + 1)
    sub(/\) *; *$/, "", params)
    params = plain(params)
    f = head
    sub(/.*[ *]/, "", f)
    returns = substr(head, 1, length(head) - length(f))
    gsub(/EVB_API|const| /, "", returns)
    if (!complete) {
        complain(f ": has no text right above it")
    } else if (list) {
        print_put_off(f, params)
    } else {
        check_prose(f)
        check_order(f, returns)
        check_words(f, returns)
        check_parameters(f, params)
    }
}

function end_of_file(    i) {
    if (file == "") return
    n = split("GUARANTEES|WHAT IT DOES NOT DO|CAVEATS|A PROGRAM", chapter, "|")
    for (i = 1; i <= n; i++) if (!((file, chapter[i]) in seen_chapter)) {
        if (!list) print file ": has no chapter " chapter[i]
        bad++
    }
}

FNR == 1 {
    end_of_file()
    file = FILENAME
    complete = comment = 0
    inside = ""
}

# The table of status codes, and every use of a code in a text.
/^ *X\(EVB_/ {
    name = $0
    sub(/^ *X\(/, "", name)
    sub(/,.*/, "", name)
    status[name] = 1
    next
}
{
    line = $0
    while (match(line, /EVB_E[A-Z]+/)) {
        name = substr(line, RSTART, RLENGTH)
        if (name !~ /^EVB_(EVENT|EXTERN|ENQUEUE|EXPERIMENTAL)/) used[name] = FILENAME ":" FNR
        line = substr(line, RSTART + RLENGTH)
    }
}

# Comments that begin a line: the text of what comes next.
!comment && /^\/\*/ {
    begin_comment()
    line = substr($0, 4)
    if (line ~ /\*\/ *$/) { comment = 0; complete = 1; sub(/ *\*\/ *$/, "", line) }
    comment_line(line)
    next
}
comment {
    line = $0
    if (line ~ /\*\/ *$/) { comment = 0; complete = 1; sub(/ *\*\/ *$/, "", line) }
    sub(/^ \*? ?/, "", line)
    if (line ~ /^[A-Z][A-Z ]+$/) seen_chapter[FILENAME, line] = 1
    comment_line(line)
    next
}

# Fields and enumerators: each has its comment, on its line or on the one above.
/^(typedef struct|enum).*\{ *$/ { inside = $0; above = 0; next }
inside != "" && /^\}/ { inside = "" }
inside != "" && !/^#|EVB_STATUS_MAP/ {
    if ($0 ~ /^ *\/\*/) above = 1
    else {
        if ($0 !~ /\/\*.*\*\// && !above) complain("no text for " $0)
        fields++
        above = 0
    }
}

/^EVB_API / || declaration != "" {
    declaration = declaration (declaration == "" ? "" : " ") $0
    if ($0 ~ /;/) { gsub(/ +/, " ", declaration); check_function(); declaration = ""; complete = 0 }
    next
}
{ complete = 0 }

END {
    end_of_file()
    for (name in used) if (!(name in status) && !list) { print used[name] ": " name " is no status"; bad++ }
    if (!list) print functions + 0 " functions, " fields + 0 " fields and values, " bad + 0 " complaints"
    exit(!list && (bad > 0 || functions == 0 || fields == 0))
}
