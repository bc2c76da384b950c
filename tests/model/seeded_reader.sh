#!/bin/sh
# SPDX-License-Identifier: MIT
# The machinery of seeded bugs, and those of the reader slots.
. tests/model/seeded.sh

# What the machinery itself must refuse.
change() {
    cat <<END
Unit: $1
Shapes: *nothing_else*
--- a/src/base/reader.c
+++ b/src/base/reader.c
@@ -1,2 +1,2 @@
-$2
+$3
 $(sed -n 2p src/base/reader.c)
END
}

harmless_change_is_refused() {
    change reader "$(sed -n 1p src/base/reader.c)" '/* a harmless change */' >"$work/harmless.patch"
    sed -i 's/^Shapes:.*/Shapes: object_is_freed*/' "$work/harmless.patch"
    refuses "no bug found" found harmless "$work/harmless.patch"
}

patch_that_does_not_apply_is_refused() {
    change reader '/* not what stands there */' '/* anything */' >"$work/stale.patch"
    refuses "does not apply" found stale "$work/stale.patch"
}

patch_without_a_unit_is_refused() {
    change nowhere a b >"$work/lost.patch"
    refuses "no such unit" found lost "$work/lost.patch"
}

check harmless_change_is_refused harmless_change_is_refused
check patch_that_does_not_apply_is_refused patch_that_does_not_apply_is_refused
check patch_without_a_unit_is_refused patch_without_a_unit_is_refused
found_all 'reader_*'
finish
