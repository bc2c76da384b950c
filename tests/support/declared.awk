# SPDX-License-Identifier: MIT
# Reads C text and prints the name of every function declared with EVB_API, one a line: awk -f declared.awk include/evbus/*.h
# A declaration may span lines. Comments and preprocessor lines are not declarations.
{
    text = text (FNR == 1 ? "\n" : "")
    if ($0 ~ /^[ \t]*#/ || in_directive) {
        in_directive = ($0 ~ /\\$/)
        next
    }
    text = text $0 "\n"
}
END {
    while ((start = index(text, "/*")) > 0) {
        rest = substr(text, start + 2)
        stop = index(rest, "*/")
        text = substr(text, 1, start - 1) " " substr(rest, stop + 2)
    }
    gsub(/\/\/[^\n]*/, "", text)
    gsub(/[\n\t ]+/, " ", text)
    n = split(text, part, /EVB_API /)
    for (i = 2; i <= n; i++) {
        head = substr(part[i], 1, index(part[i], "(") - 1)
        sub(/ +$/, "", head)
        sub(/.*[ *]/, "", head)
        print head
    }
}
