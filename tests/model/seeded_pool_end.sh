#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the workers: who keeps the time, and how it ends.
. tests/model/seeded.sh
found_all 'pool_keeper_*'
found_all 'pool_next_due_*'
found_all 'pool_overflow_*'
found_all 'pool_end_*'
found_all 'pool_ends_*'
found_all 'pool_sleeps_*'
found_all 'pool_closed_*'
finish
