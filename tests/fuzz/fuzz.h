/* SPDX-License-Identifier: MIT */
/* What a fuzzer gives, and what every decoder of the store makes of it: anything but a wrong access, a leak,
 * or a loop without an end.
 *
 * Each target is a function fuzz_NAME in fuzz_NAME.c. tests/unit/test_store_fuzz.c runs all of them over the
 * corpus and over mutations of it, under any compiler; libfuzzer.c makes one of them LLVMFuzzerTestOneInput
 * (make fuzz T=NAME SECONDS=60). corpus/NAME holds inputs.
 *
 * Everything on the disk has a checksum, which no mutation gets right. So the first byte of most inputs says
 * whether checksums are put right first (bit 0): then what the fuzzer plays with is what is behind them.
 */
#ifndef EVB_FUZZ_H
#define EVB_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_MOST 65536u /* bytes of an input that are looked at */

#define FUZZ_TARGETS(X) X(meta) X(segment) X(frame) X(event) X(decl) X(heads) X(idx) X(snapshot) X(store)

#define FUZZ_DECLARE(name) int fuzz_##name(const uint8_t *data, size_t size);
FUZZ_TARGETS(FUZZ_DECLARE)

/* A copy of its own, so that the sanitizer watches its ends. Freed with free. */
unsigned char *fuzz_copy(const uint8_t *data, size_t size);
/* Ends the process: what the target promises does not hold. */
void fuzz_must(bool condition, const char *what);

/* ---- checksums put right ---- */

void fuzz_fix_header(unsigned char *bytes, size_t size); /* META, or one copy of a segment's header */

/* Of a whole file of this kind. */
void fuzz_fix(uint32_t kind, unsigned char *bytes, size_t size);

/* ---- a store of such files, on a disk in memory ---- */

enum { FUZZ_META, FUZZ_HEADS, FUZZ_SEGMENT, FUZZ_INDEX, FUZZ_SNAPSHOT, FUZZ_KINDS };

struct fault_fs;
struct fault_fs *fuzz_disk(void); /* in force, an empty /d with a LOCK */
void fuzz_put(struct fault_fs *disk, uint32_t kind, const unsigned char *bytes, size_t size);
/* Verify, read-only, read every way, open, append, salvage; the disk is freed. */
void fuzz_use(struct fault_fs *disk);

/* A small store of two segments with everything in it: its file of this kind, the which-th; NULL: there is
 * none. It lives as long as the process. */
const unsigned char *fuzz_sample(uint32_t kind, uint32_t which, size_t *ret_size);
/* All its files on the disk, but of the kind `without`. */
void fuzz_put_sample(struct fault_fs *disk, uint32_t without);

#endif
