#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the turns.
. tests/model/seeded.sh
found_all 'turns_*'
finish
