#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the sequenced rings.
. tests/model/seeded.sh

found_all 'ring_seq_*'
finish
