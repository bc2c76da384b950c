#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of a queue's biased lock: the owner, those who recall him, and how he gives it up.
. tests/model/seeded.sh
found_all 'queue_bias_*'
finish
