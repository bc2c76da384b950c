#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the lock-free ring.
. tests/model/seeded.sh
# The many instances of the algorithms are what compiling takes: each inline function once is enough here.
EVB_MODEL_COMPILE="$EVB_MODEL_COMPILE -g0 -Dalways_inline=unused"
found_all 'ring_swap_*'
finish
