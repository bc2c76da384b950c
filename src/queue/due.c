/* SPDX-License-Identifier: MIT */
/* What is due next: a pairing heap (Fredman, Sedgewick, Sleator, Tarjan, Algorithmica 1986) linked through
 * the deliveries' own nodes, so that waiting for a time never needs memory. Adding is constant, taking out
 * logarithmic (amortized).
 *
 * Invariant: a node is not due before its parent. next: the sibling to the right; prev: the one to the
 * left, or the parent of the first child; the root has neither. Threads: under the queue's lock.
 */
#include "queue/queue.h"

/* What is due at the same moment comes up as it was published. */
static bool is_before(const struct evb__due *a, const struct evb__due *b)
{
    if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns;
    return a->order < b->order;
}

/* The earlier root gets the other one as its first child. */
static struct evb__due *meld(struct evb__due *a, struct evb__due *b)
{
    struct evb__due *t;

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
static struct evb__due *meld_siblings(struct evb__due *first)
{
    struct evb__due *pairs = NULL, *root = NULL;

    while (first != NULL) {
        struct evb__due *a = first, *b = first->next;

        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL) b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        struct evb__due *rest = pairs->next;

        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

void evb__due_add_locked(struct evb__queue *q, struct evb__delivery *d, int64_t at_ns)
{
    struct evb__due *due = &d->rest->due;

    *due = (struct evb__due){.at_ns = at_ns, .order = d->message->event.sequence, .delivery = d};
    q->due = meld(q->due, due);
    d->timed = true;
}

void evb__due_remove_locked(struct evb__queue *q, struct evb__delivery *d)
{
    struct evb__due *due = &d->rest->due, *children = meld_siblings(due->child);

    if (q->due == due) {
        q->due = children;
    } else {
        if (due->prev->child == due)
            due->prev->child = due->next;
        else
            due->prev->next = due->next;
        if (due->next != NULL) due->next->prev = due->prev;
        q->due = meld(q->due, children);
    }
    d->timed = false;
}
