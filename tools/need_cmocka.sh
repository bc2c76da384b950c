#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes sure that cmocka, the unit-test library, can be compiled and linked: looks, and installs it through the system's
# package manager when it is missing and we may. Exit 0 = it is there; else 1 with what to do by hand.
set -u
cc=${CC:-cc}

have_cmocka() {
    printf '%s\n' '#include <stdarg.h>' '#include <stddef.h>' '#include <setjmp.h>' '#include <stdint.h>' '#include <cmocka.h>' \
        'int main(void) { cmocka_set_test_filter("none"); return 0; }' |
        $cc -x c - -o /dev/null -lcmocka 2>/dev/null
}

# root runs the command itself; anybody else only if sudo does not ask for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
    # The package lists of a fresh container are empty: ask for them only when the first try fails.
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    as_root apt-get install -y --no-install-recommends libcmocka-dev ||
        { as_root apt-get update && as_root apt-get install -y --no-install-recommends libcmocka-dev; }
}

have_cmocka && exit 0

log=$(mktemp "${TMPDIR:-/tmp}/need_cmocka.XXXXXX") || exit 1
trap 'rm -f "$log"' EXIT
for manager in apt-get dnf apk pacman zypper brew; do
    command -v $manager >/dev/null 2>&1 || continue
    echo "cmocka is missing: installing it with $manager"
    case $manager in
    apt-get) apt_install ;;
    dnf) as_root dnf install -y libcmocka-devel ;;
    apk) as_root apk add cmocka-dev ;;
    pacman) as_root pacman -S --noconfirm cmocka ;;
    zypper) as_root zypper --non-interactive install libcmocka-devel ;;
    brew) brew install cmocka ;; # brew refuses to run as root
    esac >"$log" 2>&1
    have_cmocka && exit 0
    tail -n 5 "$log" >&2
    break
done

cat >&2 <<'END'
The tests need cmocka (https://cmocka.org), and it could not be installed from here. Install it yourself:
    Debian, Ubuntu    apt-get install libcmocka-dev        Fedora    dnf install libcmocka-devel
    Alpine            apk add cmocka-dev                   Arch      pacman -S cmocka
    openSUSE          zypper install libcmocka-devel       macOS     brew install cmocka
The library itself, `make demo` and `make examples` do not need it.
END
exit 1
