#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of requests: waking, numbers, who owns a reply, the end.
. tests/model/seeded.sh
found_all 'request_*'
finish
