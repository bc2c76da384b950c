/* SPDX-License-Identifier: MIT */
/* Compiler and platform words that every other file uses. No state, no functions of the library.
 *
 * evb__assert checks what we ourselves promise (never what a caller gives): on under EVB_DEBUG, gone
 * otherwise. evb__likely / evb__unlikely mark only branches that a measurement showed to matter.
 */
#ifndef EVB__BASE_PLATFORM_H
#define EVB__BASE_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define evb__likely(x)    __builtin_expect(!!(x), 1)
#define evb__unlikely(x)  __builtin_expect(!!(x), 0)
#define EVB__COLD         __attribute__((cold, noinline))
#define EVB__NOINLINE     __attribute__((noinline))
#define EVB__INLINE       static inline __attribute__((always_inline))
#define EVB__PREFETCH(p)  __builtin_prefetch(p)
#define EVB__PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define evb__likely(x)   (x)
#define evb__unlikely(x) (x)
#define EVB__COLD
#define EVB__NOINLINE
#define EVB__INLINE      static inline
#define EVB__PREFETCH(p) ((void)(p))
#define EVB__PRINTF(a, b)
#endif

/* Initial-exec: one instruction to reach, and the few bytes fit the static TLS reserve that a dlopen'ed
 * library gets. Build with -DEVB__TLS_MODEL= for a loader that has no such reserve. */
#ifndef EVB__TLS_MODEL
#if defined(__GNUC__)
#define EVB__TLS_MODEL __attribute__((tls_model("initial-exec")))
#else
#define EVB__TLS_MODEL
#endif
#endif

#define EVB__CACHE_LINE 64

/* For a line that is about to be written. gcc makes __builtin_prefetch(p, 1) a prefetch for reading unless it is told
 * that prefetchw may be used; every x86-64 since 2014 has it, and the older ones take it for nothing. */
#if defined(__GNUC__) && defined(__x86_64__)
#define EVB__PREFETCH_WRITE(p) __asm__("prefetchw %0" : : "m"(*(const char *)(p)))
#elif defined(__GNUC__)
#define EVB__PREFETCH_WRITE(p) __builtin_prefetch((p), 1)
#else
#define EVB__PREFETCH_WRITE(p) ((void)(p))
#endif

#if defined(__SANITIZE_THREAD__)
#define EVB__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EVB__TSAN 1
#endif
#endif
#ifndef EVB__TSAN
#define EVB__TSAN 0
#endif

#ifdef EVB_DEBUG
#include <assert.h>
#define evb__assert(x) assert(x)
#else
#define evb__assert(x) ((void)0)
#endif

#define EVB__CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
