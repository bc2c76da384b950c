/* SPDX-License-Identifier: MIT */
/* A descriptor that becomes readable when somebody says so: a socketpair, because every event loop takes one
 * (an eventfd is refused by some).
 *
 * Invariant: both ends are non-blocking and close-on-exec. Telling twice may leave one byte or two; nobody
 * counts them, and anybody may read them away. Threads: any may tell and clear; one opens and closes.
 */
#ifndef EVB__BASE_WAKEFD_H
#define EVB__BASE_WAKEFD_H

#include <stdint.h>

int32_t
evb__wakefd_open(int fd[2]); /* EVB_OK, or EVB_EAGAIN: the system has none left. fd[0] is the one to watch */
void evb__wakefd_tell(const int fd[2]);
void evb__wakefd_clear(const int fd[2]); /* reads away what is there */
void evb__wakefd_close(int fd[2]);       /* and sets both to -1; no descriptors: nothing */

#endif
