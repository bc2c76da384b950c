#!/bin/sh
# SPDX-License-Identifier: MIT
# Seeded bugs of the rings of one producer and one consumer.
. tests/model/seeded.sh

found_all 'ring_spsc_*'
finish
