/* SPDX-License-Identifier: MIT */
/* Reading an option struct that a caller compiled against another release of the headers.
 *
 * The rule (evbus.h, conventions): the first field is uint32_t struct_size. 0 means the first released
 * layout. Less than known: the fields that are missing are zero, which is their default. More than known: a
 * newer program; fine as long as what we do not know is zero, else EVB_ENOTSUP. Less than the first layout is
 * a mistake: EVB_EINVAL. Threads: any, no state.
 */
#ifndef EVB__BASE_OPTS_H
#define EVB__BASE_OPTS_H

#include <stddef.h>
#include <stdint.h>

/* Copies the caller's struct (NULL: all defaults) into ret_opts of `known` bytes, struct_size set to known.
 * `first` is the size of the first released layout, known when there has been only one. On failure ret_opts
 * is untouched. */
int32_t evb__opts_read(void *ret_opts, size_t known, size_t first, const void *opts);

/* A struct with one released layout: int32_t rc = EVB__OPTS_READ(&mine, opts); */
#define EVB__OPTS_READ(ret_opts, opts)                                                                       \
    evb__opts_read((ret_opts), sizeof *(ret_opts), sizeof *(ret_opts), (opts))

#endif
