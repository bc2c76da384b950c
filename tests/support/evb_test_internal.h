/* SPDX-License-Identifier: MIT */
/* What the files of the test layer tell each other. Tests include evb_test.h only. */
#ifndef EVB_TEST_INTERNAL_H
#define EVB_TEST_INTERNAL_H

#include "evb_test.h"

#include <sys/types.h>

/* evb_test_alloc.c */
void evb_test_alloc_install(void);    /* once, before the first object */
void evb_test_alloc_begin(void);      /* a test begins: what is alive now is not its fault */
const char *evb_test_alloc_end(void); /* NULL = clean; else what is wrong, static text */

/* evb_test_runner.c */
double evb_test_time_limit(void);     /* seconds a test may take; 0 = no limit */
void evb_test_start_alarm(void);      /* the limit, from now; a forked child has none of its own */
bool evb_test_in_own_thread(void);    /* the thread that cmocka may longjmp in */
void evb_test_failed_elsewhere(void); /* another thread's check failed: the test fails at its end */

/* evb_test_tools.c */
bool evb_test_is_child(void);

/* evb_test_leaks.c: descriptors and threads of this process; nothing where there is no /proc. */
void evb_test_leaks_begin(void);
const char *evb_test_leaks_end(void); /* as above */

#endif
