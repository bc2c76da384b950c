# SPDX-License-Identifier: MIT
# C text without comments, strings and character constants, line by line as it was: `FILE:LINE:text`. For gates that grep code and
# must not trip over what a comment says. awk -f strip.awk FILE...
FNR == 1 { in_comment = 0 }
{
    line = $0
    out = ""
    while (line != "") {
        if (in_comment) {
            at = index(line, "*/")
            if (at == 0) break
            line = substr(line, at + 2)
            in_comment = 0
            continue
        }
        if (!match(line, /\/\*|\/\/|"|'/)) { out = out line; break }
        out = out substr(line, 1, RSTART - 1)
        token = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        if (token == "/*") { in_comment = 1; out = out " " }
        else if (token == "//") break
        else {
            # An include keeps its file name: the gates ask for it.
            if (out ~ /^[ \t]*#[ \t]*include/) { out = out token line; break }
            while (line != "") {
                c = substr(line, 1, 1)
                line = substr(line, c == "\\" ? 3 : 2)
                if (c == token) break
            }
            out = out token token
        }
    }
    if (out ~ /[^ \t]/) print FILENAME ":" FNR ":" out
}
