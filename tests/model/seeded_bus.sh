#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the bus.
. tests/model/seeded.sh

found_all 'bus_*'
finish
