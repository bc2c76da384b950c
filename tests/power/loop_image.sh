#!/bin/bash
# SPDX-License-Identifier: MIT
# Power cuts below a real file system: the store lies on an image that is mounted, the writer is stopped at a random moment, and the image is copied:
# what the device had got by then. The copy is mounted (its journal is replayed) and compared with what had been acknowledged. Needs root and loop
# devices. EVB_POWER_CUTS: cuts for each file system, 8 unless said.
. tests/support/house.sh

cuts=${EVB_POWER_CUTS:-8}
mounted=()
clean_up() {
    for m in "${mounted[@]}"; do umount "$m" 2>/dev/null; done
    rm -rf "$work"
}
trap clean_up EXIT

power() {
    "$cc" -std=c11 -D_GNU_SOURCE -O1 -Iinclude -o "$work/power" tests/power/power.c "$build/libevbus.a" -pthread
}

mount_image() {
    mkdir -p "$2" && mount -o loop "$1" "$2" 2>"$work/said" || return 1
    mounted+=("$2")
}

# one_cut FILE-SYSTEM LEVEL: 0: nothing acknowledged is missing; 1: something is; 2: it could not be tried.
one_cut() {
    local image=$work/image copy=$work/copy writer acknowledged said=1
    rm -f "$image" "$copy" "$work/acks"
    truncate -s "${size[$1]}" "$image" && "mkfs.$1" "${quiet[$1]}" "$image" >"$work/said" 2>&1 || return 2
    mount_image "$image" "$work/mnt" || return 2
    sync -f "$work/mnt"
    "$work/power" write "$work/mnt/store" "$2" >"$work/acks" 2>"$work/errors" &
    writer=$!
    sleep "0.$((RANDOM % 400 + 100))" # the moment of the cut, whatever the writer has come to
    kill -STOP "$writer" 2>/dev/null
    acknowledged=$(wc -c <"$work/acks")
    cp --sparse=always "$image" "$copy"
    kill -KILL "$writer" 2>/dev/null
    wait "$writer" 2>/dev/null
    umount "$work/mnt" || return 2
    [ ! -s "$work/errors" ] || { cat "$work/errors"; return 2; }
    mount_image "$copy" "$work/again" || return 2
    if [ -d "$work/again/store" ] || [ "$acknowledged" != 0 ]; then
        "$work/power" verify "$work/again/store" "$acknowledged" >>"$work/lines" 2>>"$work/lines"
        said=$?
    else
        said=0
    fi
    umount "$work/again" || return 2
    return $said
}

declare -A size=([ext4]=64M [xfs]=512M [btrfs]=256M) quiet=([ext4]=-q [xfs]=-q [btrfs]=-q)

able() {
    command -v "mkfs.$1" >/dev/null || skip "no mkfs.$1"
    [ "$(id -u)" = 0 ] || skip 'mounting needs root'
    [ -e /dev/loop-control ] || skip 'no loop devices'
    truncate -s "${size[$1]}" "$work/probe" && "mkfs.$1" "${quiet[$1]}" "$work/probe" >/dev/null 2>&1 && mount_image "$work/probe" "$work/mnt" ||
        skip "an image of $1 cannot be mounted here: $(tail -1 "$work/said")"
    umount "$work/mnt"
    rm -f "$work/probe"
    power || exit 1
}

nothing_is_lost() {
    local lost=0 tried=0
    able "$1"
    : >"$work/lines"
    for _ in $(seq "$cuts"); do
        one_cut "$1" group
        case $? in
        0) tried=$((tried + 1)) ;;
        1) lost=$((lost + 1)) tried=$((tried + 1)) ;;
        *) cat "$work/said"; return 1 ;;
        esac
    done
    cat "$work/lines"
    echo "$tried cuts, $lost with a loss"
    [ "$lost" = 0 ] && [ "$tried" = "$cuts" ]
}

# Negative control: what is acknowledged before it is synced must be seen to get lost.
loss_is_seen() {
    able ext4
    : >"$work/lines"
    for _ in $(seq 40); do
        one_cut ext4 os
        case $? in
        1) cat "$work/lines"; return 0 ;;
        2) return 1 ;;
        esac
    done
    cat "$work/lines"
    return 1
}

check nothing_acknowledged_is_lost_on_ext4 nothing_is_lost ext4
check nothing_acknowledged_is_lost_on_xfs nothing_is_lost xfs
check nothing_acknowledged_is_lost_on_btrfs nothing_is_lost btrfs
check what_is_acknowledged_without_a_sync_is_seen_to_get_lost loss_is_seen
finish
