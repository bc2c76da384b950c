// SPDX-License-Identifier: MIT
// What the bench needs of the package `server`, whose subscriptions and match results are private. The build adds this file to that
// package with -overlay (rules.mk); the package itself is used as it is installed.
package server

import "unsafe"

// BenchRecordBytes is the size of one subscription record, which is allocated before memory is measured.
const BenchRecordBytes = unsafe.Sizeof(subscription{})

// BenchList is a sublist and the subscriptions in it. The number of a subscription is kept in a field that matching does not use.
type BenchList struct {
	list *Sublist
	subs []subscription
}

// NewBenchList makes the records and an empty sublist.
func NewBenchList(patterns [][]byte, cache bool) *BenchList {
	b := &BenchList{list: NewSublist(cache), subs: make([]subscription, len(patterns))}
	for i := range patterns {
		b.subs[i].subject = patterns[i]
		b.subs[i].nm = int64(i) + 1
	}
	return b
}

// Insert adds the i-th subscription.
func (b *BenchList) Insert(i int) error { return b.list.Insert(&b.subs[i]) }

// Remove takes it out.
func (b *BenchList) Remove(i int) error { return b.list.Remove(&b.subs[i]) }

// Match answers how many subscriptions a topic matches, and the sum of their numbers.
func (b *BenchList) Match(topic string) (count, sum uint64) {
	r := b.list.Match(topic)
	for _, sub := range r.psubs {
		count++
		sum += uint64(sub.nm)
	}
	return count, sum
}
