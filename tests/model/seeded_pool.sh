#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the strands and of the pool's lock.
. tests/model/seeded.sh
found_all 'pool_strand_*'
found_all 'pool_lock_*'
finish
