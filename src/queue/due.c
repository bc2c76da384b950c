/* SPDX-License-Identifier: MIT */
/* What is due next: a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, Algorithmica 1986) linked through
 * the deliveries, so that waiting for a time never needs memory. Adding is constant, taking out logarithmic
 * (amortized).
 *
 * Invariant: a delivery is not due before its parent. next: the sibling to the right; prev: the one to the
 * left, or the parent of the first child; the root has neither. Threads: under the queue's lock.
 */
#include "queue/queue.h"

/* What is due at the same moment comes up as it was published. */
static bool is_before(const struct evb__delivery *a, const struct evb__delivery *b)
{
    if (a->due_ns != b->due_ns) return a->due_ns < b->due_ns;
    return a->message->event.sequence < b->message->event.sequence;
}

/* The earlier root gets the other one as its first child. */
static struct evb__delivery *meld(struct evb__delivery *a, struct evb__delivery *b)
{
    struct evb__delivery *t;

    if (a == NULL) return b;
    if (b == NULL) return a;
    if (is_before(b, a)) {
        t = a;
        a = b;
        b = t;
    }
    b->next = a->child;
    if (a->child != NULL) a->child->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* One heap of a list of siblings, in two passes: pairs from left to right, then all from right to left. */
static struct evb__delivery *meld_siblings(struct evb__delivery *first)
{
    struct evb__delivery *pairs = NULL, *root = NULL;

    while (first != NULL) {
        struct evb__delivery *a = first, *b = first->next;

        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL) b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        struct evb__delivery *rest = pairs->next;

        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

void evb__due_add(struct evb__delivery **heap, struct evb__delivery *d)
{
    d->next = d->prev = d->child = NULL;
    *heap = meld(*heap, d);
}

void evb__due_remove(struct evb__delivery **heap, struct evb__delivery *d)
{
    struct evb__delivery *children = meld_siblings(d->child);

    if (*heap == d) {
        *heap = children;
    } else {
        if (d->prev->child == d)
            d->prev->child = d->next;
        else
            d->prev->next = d->next;
        if (d->next != NULL) d->next->prev = d->prev;
        *heap = meld(*heap, children);
    }
    d->next = d->prev = d->child = NULL;
}
