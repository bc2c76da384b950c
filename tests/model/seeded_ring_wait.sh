#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the blocking calls of the rings.
. tests/model/seeded.sh

found_all 'ring_wait_*'
finish
