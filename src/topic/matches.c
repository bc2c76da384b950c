/* SPDX-License-Identifier: MIT */
/* evb_topic_matches: the question without a bus. */
#include <string.h>

#include <evbus/bus.h>
#include "topic/dialect.h"

/* Up to one byte more than a name may have: a string that nobody terminated is not read to its end. */
static size_t bounded_size(const char *name)
{
    const char *end = memchr(name, '\0', EVB__NAME_MAX + 1);

    return end ? (size_t)(end - name) : EVB__NAME_MAX + 1;
}

int32_t evb_topic_matches(uint32_t dialect, const char *pattern, const char *topic)
{
    const struct evb__dialect *d = evb__dialect(dialect);
    size_t pattern_size, topic_size;

    if (!d || !pattern || !topic) return EVB_EINVAL;
    pattern_size = bounded_size(pattern);
    topic_size = bounded_size(topic);
    if (evb__pattern_check(d, pattern, pattern_size) < 0) return EVB_EINVAL;
    if (evb__topic_check(d, topic, topic_size) < 0) return EVB_EINVAL;
    return evb__matches(d, pattern, pattern_size, topic, topic_size);
}
