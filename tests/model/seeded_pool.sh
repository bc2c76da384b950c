#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the strands.
. tests/model/seeded.sh
found_all 'pool_strand_*'
finish
