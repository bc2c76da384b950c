/* SPDX-License-Identifier: MIT */
/* The kinds of rings, see ring_kinds.h. */
#include "ring_kinds.h"

const struct kind kinds[RING_KINDS] = {
    {"SPSC pointers", EVB_RING_SPSC, 0, EVB_RING_POINTERS, 1, 1},
    {"SPSC", EVB_RING_SPSC, 0, 0, 1, 1},
    {"MPMC lock-free", EVB_RING_MPMC, EVB_RING_LOCK_FREE, 0, 3, 3},
    {"MPSC lock-free", EVB_RING_MPSC, EVB_RING_LOCK_FREE, 0, 3, 1},
    {"SPMC lock-free", EVB_RING_SPMC, EVB_RING_LOCK_FREE, 0, 1, 3},
    {"MPMC sequenced", EVB_RING_MPMC, EVB_RING_SEQUENCED, 0, 3, 3},
    {"MPSC sequenced", EVB_RING_MPSC, EVB_RING_SEQUENCED, 0, 3, 1},
    {"SPMC sequenced", EVB_RING_SPMC, EVB_RING_SEQUENCED, 0, 1, 3},
    {"MPMC lock-free overwrite", EVB_RING_MPMC, EVB_RING_LOCK_FREE, EVB_RING_OVERWRITE, 4, 2},
    {"MPSC lock-free overwrite", EVB_RING_MPSC, EVB_RING_LOCK_FREE, EVB_RING_OVERWRITE, 4, 1},
    {"MPMC sequenced overwrite", EVB_RING_MPMC, EVB_RING_SEQUENCED, EVB_RING_OVERWRITE, 4, 2},
    {"MPSC sequenced overwrite", EVB_RING_MPSC, EVB_RING_SEQUENCED, EVB_RING_OVERWRITE, 4, 1},
};

const struct kind *const spsc = &kinds[1], *const mpmc = &kinds[2], *const mpmc_sequenced = &kinds[5];

bool any(const struct kind *kind)
{
    (void)kind;
    return true;
}

bool overwrites(const struct kind *kind)
{
    return (kind->flags & EVB_RING_OVERWRITE) != 0;
}

bool refuses_when_full(const struct kind *kind)
{
    return !overwrites(kind);
}

bool of_pointers(const struct kind *kind)
{
    return (kind->flags & EVB_RING_POINTERS) != 0;
}

bool of_values(const struct kind *kind)
{
    return !of_pointers(kind);
}

bool in_place(const struct kind *kind)
{
    return kind->mode == EVB_RING_SPSC && !of_pointers(kind);
}

bool many_push(const struct kind *kind)
{
    return kind->pushers > 1;
}

bool many_pop(const struct kind *kind)
{
    return kind->poppers > 1;
}

evb_ring_opts opts_of(const struct kind *kind, uint32_t elem_bytes, uint32_t capacity)
{
    return (evb_ring_opts){.mode = kind->mode,
                           .capacity = capacity,
                           .elem_bytes = elem_bytes,
                           .progress = kind->progress,
                           .flags = kind->flags};
}
