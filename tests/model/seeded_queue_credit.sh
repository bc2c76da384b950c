#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the credits: the limit, refusals, what a credit brings with it, wrapped words.
. tests/model/seeded.sh
found_all 'queue_credit_*'
finish
