#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the workers: who sleeps and who looks for work.
. tests/model/seeded.sh
found_all 'pool_idle_*'
finish
