/* SPDX-License-Identifier: MIT */
/* The tests of park on its pthread back end, which Linux would not use: the shipped source, compiled once
 * more under other names. */
#define EVB__NO_FUTEX        1
#define evb__park            evb__fallback_park
#define evb__wake_one        evb__fallback_wake_one
#define evb__wake_all        evb__fallback_wake_all
#define evb__park_after_fork evb__fallback_park_after_fork
#define evb__spin_pause      evb__fallback_spin_pause

#include "base/park.c"

#define PARK_SUITE "park_fallback"
#include "test_park.c"
