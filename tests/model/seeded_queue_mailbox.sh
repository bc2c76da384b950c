#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the mailbox: who tells whom that something has come.
. tests/model/seeded.sh
found_all 'queue_mailbox_*'
finish
