/* SPDX-License-Identifier: MIT */
/* Which calls fail, how many there were, and what they were. */
#include "fault_fs_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const call_names[FAULT_FS_CALLS + 1] = {
    "open",   "close", "pread", "pwrite", "datasync", "truncate", "allocate", "size", "rename",
    "unlink", "mkdir", "lock",  "list",   "map",      "unmap",    "forget",   "any",
};

const char *fault_fs_call_name(uint32_t call)
{
    return call <= FAULT_FS_CALLS ? call_names[call] : "?";
}

/* ---- the plan ---- */

void fault_fs_plan(struct fault_fs *fs, const struct fault_fs_fault *fault)
{
    struct planned *planned;

    fault_fs_enter();
    fs->plan = fault_fs_more(fs->plan, fs->plan_count, &fs->plan_room, sizeof *planned);
    planned = &fs->plan[fs->plan_count++];
    *planned = (struct planned){.fault = *fault};
    if (planned->fault.nth == 0) planned->fault.nth = 1;
    fault_fs_leave();
}

void fault_fs_plan_clear(struct fault_fs *fs)
{
    fault_fs_enter();
    fs->plan_count = 0;
    fault_fs_leave();
}

uint64_t fault_fs_hits(struct fault_fs *fs)
{
    uint64_t hits;

    fault_fs_enter();
    hits = fs->hits;
    fault_fs_leave();
    return hits;
}

/* The kinds of calls that a fault can happen to. */
static uint32_t sufferers(uint32_t what)
{
    switch (what) {
    case FAULT_FS_SHORT_ONE:
    case FAULT_FS_SHORT_HALF:
        return FAULT_FS_KIND(FAULT_FS_PREAD) | FAULT_FS_KIND(FAULT_FS_PWRITE);
    case FAULT_FS_GATE:
        return FAULT_FS_KIND(FAULT_FS_DATASYNC);
    case FAULT_FS_LOST:
    case FAULT_FS_MISDIRECTED:
        return FAULT_FS_KIND(FAULT_FS_PWRITE);
    default:
        return FAULT_FS_KIND(FAULT_FS_CALLS) - 1;
    }
}

static bool meant(const struct fault_fs_fault *fault, const struct call *call)
{
    uint32_t kinds = fault->kinds == FAULT_FS_ANY ? UINT32_MAX : fault->kinds;

    if ((kinds & sufferers(fault->what) & FAULT_FS_KIND(call->kind)) == 0) return false;
    return fault->path == NULL || strstr(call->path, fault->path) != NULL ||
           strstr(call->to_path, fault->path) != NULL;
}

const struct fault_fs_fault *fault_fs_begin(struct fault_fs *fs, struct call *call)
{
    const struct fault_fs_fault *first = NULL;

    fs->counts.calls[call->kind]++;
    fs->counts.calls[FAULT_FS_CALLS]++;
    for (uint32_t i = 0; i < fs->plan_count; i++) { /* each counts, the first one that is due happens */
        struct planned *planned = &fs->plan[i];
        const struct fault_fs_fault *fault = &planned->fault;

        if (!meant(fault, call)) continue;
        planned->seen++;
        if (planned->seen < fault->nth) continue;
        if (fault->times > 0 && planned->seen - fault->nth >= fault->times) continue;
        if (first == NULL) first = fault;
    }
    if (first == NULL) return NULL;
    fs->hits++;
    call->fault = true;
    return first;
}

/* ---- the record ---- */

int64_t fault_fs_end(struct fault_fs *fs, struct call *call, int64_t result)
{
    struct call *kept;

    call->result = result;
    if (result > 0 && call->kind == FAULT_FS_PREAD) fs->counts.bytes_read += (uint64_t)result;
    if (result > 0 && call->kind == FAULT_FS_PWRITE) fs->counts.bytes_written += (uint64_t)result;
    if (!fs->recording) { /* a ring, and the bytes are not needed */
        fault_fs_blob_drop(call->effect.blob);
        call->effect.blob = NULL;
        if (fs->call_count < TRACE_KEPT)
            fs->calls = fault_fs_more(fs->calls, fs->call_count, &fs->call_room, sizeof *kept);
        fs->calls[fs->call_count++ % TRACE_KEPT] = *call;
        return result;
    }
    fs->calls = fault_fs_more(fs->calls, fs->call_count, &fs->call_room, sizeof *kept);
    fs->calls[fs->call_count++] = *call;
    return result;
}

void fault_fs_drop_calls(struct fault_fs *fs)
{
    uint32_t count = fs->recording || fs->call_count < TRACE_KEPT ? fs->call_count : TRACE_KEPT;

    for (uint32_t i = 0; i < count; i++)
        fault_fs_blob_drop(fs->calls[i].effect.blob);
    fs->call_count = 0;
}

void fault_fs_record(struct fault_fs *fs)
{
    fault_fs_enter();
    fault_fs_drop_calls(fs);
    fs->recording = true;
    fs->call_base = fs->counts.calls[FAULT_FS_CALLS];
    fault_fs_leave();
}

void fault_fs_note(struct fault_fs *fs, uint32_t key, uint64_t value)
{
    struct note *note;

    if (key >= NOTE_KEYS) abort();
    fault_fs_enter();
    fs->notes = fault_fs_more(fs->notes, fs->note_count, &fs->note_room, sizeof *note);
    note = &fs->notes[fs->note_count++];
    *note =
        (struct note){.call = fs->counts.calls[FAULT_FS_CALLS] - fs->call_base, .key = key, .value = value};
    fault_fs_leave();
}

static uint64_t noted_in(const struct fault_fs *record, uint64_t call, uint32_t key)
{
    uint64_t value = 0;

    for (uint32_t i = 0; record != NULL && i < record->note_count; i++) {
        const struct note *note = &record->notes[i];

        if (note->call > call) break;
        if (note->key == key && note->value > value) value = note->value;
    }
    return value;
}

uint64_t fault_fs_noted(const struct fault_fs_point *at, uint32_t key)
{
    uint64_t one, two;

    fault_fs_enter();
    one = noted_in(at->record, at->call, key);
    two = at->second ? noted_in(at->record2, at->call2, key) : 0;
    fault_fs_leave();
    return one > two ? one : two;
}

/* ---- counts and trace ---- */

struct fault_fs_counts fault_fs_counts(struct fault_fs *fs)
{
    struct fault_fs_counts counts;

    fault_fs_enter();
    counts = fs->counts;
    fault_fs_leave();
    return counts;
}

uint64_t fault_fs_since(struct fault_fs *fs, const struct fault_fs_counts *then, uint32_t call)
{
    return fault_fs_counts(fs).calls[call] - then->calls[call];
}

static void print_call(FILE *out, uint64_t number, const struct call *call)
{
    (void)fprintf(out, "  #%" PRIu64 " %s %s", number, fault_fs_call_name(call->kind), call->path);
    switch (call->kind) {
    case FAULT_FS_RENAME:
        (void)fprintf(out, " to %s", call->to_path);
        break;
    case FAULT_FS_PREAD:
    case FAULT_FS_PWRITE:
    case FAULT_FS_ALLOCATE:
    case FAULT_FS_FORGET:
        (void)fprintf(out, " %" PRIu64 " bytes at %" PRIu64, call->size, call->offset);
        break;
    case FAULT_FS_TRUNCATE:
    case FAULT_FS_MAP:
    case FAULT_FS_UNMAP:
        (void)fprintf(out, " %" PRIu64 " bytes", call->size);
        break;
    default:
        break;
    }
    if (call->result < 0)
        (void)fprintf(out, " = %s", evb_err_name((int32_t)call->result));
    else
        (void)fprintf(out, " = %" PRId64, call->result);
    (void)fprintf(out, "%s%s\n", call->effect.kind == EFFECT_CREATE ? " (new)" : "",
                  call->fault ? " FAULT" : "");
}

/* Calls from + 1 to `to`. */
void fault_fs_trace_range(struct fault_fs *fs, FILE *out, uint64_t from, uint64_t to)
{
    fault_fs_enter();
    if (to > fs->call_count) to = fs->call_count;
    if (!fs->recording && to > TRACE_KEPT && from < to - TRACE_KEPT) from = to - TRACE_KEPT;
    for (uint64_t i = from; i < to; i++)
        print_call(out, i + 1, &fs->calls[fs->recording ? i : i % TRACE_KEPT]);
    fault_fs_leave();
}

void fault_fs_trace(struct fault_fs *fs, FILE *out, uint64_t last)
{
    uint64_t count = fs->call_count;

    fault_fs_trace_range(fs, out, last == 0 || last > count ? 0 : count - last, count);
}
