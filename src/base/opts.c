/* SPDX-License-Identifier: MIT */
/* Reading option structs of any age. */
#include "base/opts.h"

#include <evbus/base.h>
#include <string.h>
#include "base/platform.h"

int32_t evb__opts_read(void *ret_opts, size_t known, size_t first, const void *opts)
{
    const unsigned char *from = opts;
    unsigned char *to = ret_opts;
    uint32_t said, size = (uint32_t)known;
    size_t given, i;

    evb__assert(first >= sizeof said && first <= known && known <= UINT32_MAX);
    if (opts == NULL) {
        given = 0;
    } else {
        memcpy(&said, opts, sizeof said);
        given = said == 0 ? first : said;
        if (given < first) return EVB_EINVAL;
        /* Byte by byte: the tail of a struct we do not know has no type we could use. */
        for (i = known; i < given; i++) {
            if (from[i] != 0) return EVB_ENOTSUP;
        }
        if (given > known) given = known;
        memcpy(to, from, given);
    }
    memset(to + given, 0, known - given);
    memcpy(to, &size, sizeof size);
    return EVB_OK;
}
