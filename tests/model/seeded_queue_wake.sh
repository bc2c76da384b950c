#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of a whole queue: an event, room or an end that nobody hears of.
. tests/model/seeded.sh
found_all 'queue_wake_*'
finish
