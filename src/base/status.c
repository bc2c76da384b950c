/* SPDX-License-Identifier: MIT */
/* Names and texts of the status codes, made from the one table in the public header, and the version. */
#include <evbus/base.h>

/* Both look-ups answer for any number: a caller may print what a handler of somebody else's returned. */
const char *evb_strerror(int32_t status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                                       \
    case value:                                                                                              \
        return text;
        EVB_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

const char *evb_err_name(int32_t status)
{
    switch (status) {
#define STATUS_NAME(name, value, text)                                                                       \
    case value:                                                                                              \
        return #name;
        EVB_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    default:
        return "EVB_UNKNOWN";
    }
}

uint32_t evb_version(void)
{
    return EVB_VERSION_NUM;
}

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

const char *evb_version_string(void)
{
    return TEXT(EVB_VERSION_MAJOR) "." TEXT(EVB_VERSION_MINOR) "." TEXT(EVB_VERSION_PATCH);
}

#undef TEXT_OF
#undef TEXT
