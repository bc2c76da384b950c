#!/bin/sh
# SPDX-License-Identifier: MIT
# The seeded bugs of make check-model and of the mutation runs are patches of the sources. Here every one of them must still apply exactly, so that
# who changes a line hears of it now and not at the end of a long run.
. tests/support/house.sh

# applies PATCH...: says which ones do not.
applies() {
    stale=0
    for patch in "$@"; do
        patch -p1 --dry-run --fuzz=0 --force <"$patch" >"$work/said" 2>&1 && continue
        echo "$patch does not apply to the sources as they are:"
        sed 's/^/    /' "$work/said"
        stale=$((stale + 1))
    done
    [ $stale = 0 ]
}

seeded_bugs_of() {
    set -- "$@"/*.patch
    [ -e "$1" ] || { echo "no patch is there"; return 1; }
    echo "$# patches"
    applies "$@"
}

a_stale_patch_is_noticed() {
    printf '%s\n' '--- a/src/README.md' '+++ b/src/README.md' '@@ -1,2 +1,2 @@' ' this line is not there' '-nor this' '+one' >"$work/stale.patch"
    refuses 'does not apply' applies "$work/stale.patch"
}

command -v patch >/dev/null 2>&1 || { echo 'skip: patch is missing'; exit 77; }
for folder in $(find tests -name '*.patch' -exec dirname {} \; | sort -u); do
    check "every_patch_applies_in_$(echo "$folder" | tr '/' '_')" seeded_bugs_of "$folder"
done
check a_stale_patch_is_noticed a_stale_patch_is_noticed
finish
