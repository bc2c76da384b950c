// SPDX-License-Identifier: MIT
// Peer: the subscription list of nats-server, with and without its cache: peer_nats DIRECTORY-OF-WORKLOADS.
// A process of its own that speaks the line protocol of bench.h, same slices and checks as bench.c. Not pinned: the collector
// keeps its helper threads.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/server"
)

const slices, hot = 16, 256

var (
	batch     = 20 * time.Millisecond
	schedstat *os.File
)

type workload struct {
	patterns               [][]byte
	topics                 []string
	countBefore, sumBefore []uint64
}

// load reads the format of workload.h.
func load(path string) (*workload, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(data, []byte("\n"))
	w := &workload{countBefore: []uint64{0}, sumBefore: []uint64{0}}
	var patterns, topics int
	if _, err = fmt.Sscanf(string(lines[0]), "patterns %d topics %d", &patterns, &topics); err != nil {
		return nil, err
	}
	w.patterns = lines[1 : 1+patterns]
	for i, line := range lines[1+patterns : 1+patterns+topics] {
		fields := strings.Fields(string(line))
		count, _ := strconv.ParseUint(fields[1], 10, 64)
		sum, _ := strconv.ParseUint(fields[2], 10, 64)
		w.topics = append(w.topics, fields[0])
		w.countBefore = append(w.countBefore, w.countBefore[i]+count)
		w.sumBefore = append(w.sumBefore, w.sumBefore[i]+sum)
	}
	return w, nil
}

// expect is what n topics from first on must have matched; n is at most the number of topics.
func (w *workload) expect(first, n int) (count, sum uint64) {
	to, all := first+n, len(w.topics)
	if to > all {
		count, sum = w.countBefore[all], w.sumBefore[all]
		to -= all
	}
	return count + w.countBefore[to] - w.countBefore[first], sum + w.sumBefore[to] - w.sumBefore[first]
}

type state struct {
	path               string
	cache              bool
	w                  *workload
	list               *server.BenchList
	position           int
	random             uint32
	slice              map[string]int
	buildNs            float64
	bytes, firstPassNs float64
}

func (s *state) cold(n int) bool {
	var count, sum uint64
	first := s.position
	for i := 0; i < n; i++ {
		c, m := s.list.Match(s.w.topics[s.position])
		count, sum = count+c, sum+m
		if s.position++; s.position == len(s.w.topics) {
			s.position = 0
		}
	}
	wantCount, wantSum := s.w.expect(first, n)
	return count == wantCount && sum == wantSum
}

func (s *state) hot(n int) bool {
	var count, sum uint64
	for i := 0; i < n; i++ {
		c, m := s.list.Match(s.w.topics[i%hot])
		count, sum = count+c, sum+m
	}
	w, rounds := s.w, uint64(n/hot)
	return count == rounds*w.countBefore[hot]+w.countBefore[n%hot] && sum == rounds*w.sumBefore[hot]+w.sumBefore[n%hot]
}

func (s *state) replace(n int) bool {
	ok := true
	for i := 0; i < n; i++ {
		s.random ^= s.random << 13
		s.random ^= s.random >> 17
		s.random ^= s.random << 5
		k := int(uint64(s.random) * uint64(len(s.w.patterns)) >> 32)
		ok = s.list.Remove(k) == nil && s.list.Insert(k) == nil && ok
	}
	return ok
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// build makes the list anew and walks all topics once, which checks every expectation.
func (s *state) build() (bool, error) {
	if s.w == nil {
		w, err := load(s.path)
		if err != nil {
			return false, err
		}
		s.w = w
	}
	s.list = server.NewBenchList(s.w.patterns, s.cache)
	before, start := heap(), time.Now()
	for i := range s.w.patterns {
		if err := s.list.Insert(i); err != nil {
			return false, err
		}
	}
	n := float64(len(s.w.patterns))
	s.buildNs = float64(time.Since(start)) / n
	s.bytes = (heap() - before) / n
	s.position, start = 0, time.Now()
	ok := s.cold(len(s.w.topics))
	s.firstPassNs = float64(time.Since(start)) / float64(len(s.w.topics))
	return ok, nil
}

// waited is how long this thread has been ready to run without a CPU; 0 where the kernel keeps no account of it.
func waited() int64 {
	var text [96]byte
	n, err := schedstat.ReadAt(text[:], 0)
	if fields := strings.Fields(string(text[:n])); (err == nil || err == io.EOF) && len(fields) >= 2 {
		ns, _ := strconv.ParseInt(fields[1], 10, 64)
		return ns
	}
	return 0
}

// measure is bench_time of bench.c.
func (s *state) measure(name string, f func(int) bool) (float64, bool) {
	n := s.slice[name]
	for want := batch / slices; n == 0; {
		for k := 1; ; k *= 2 {
			start := time.Now()
			if k > len(s.w.topics) || !f(k) {
				return 0, false
			}
			if time.Since(start) >= want || 2*k > len(s.w.topics) {
				n = k
				break
			}
		}
		s.slice[name] = n
	}
	if !f(n) || !f(n) {
		return 0, false
	}
	var clean, all []float64
	for begin := time.Now(); len(clean) < slices; {
		before, start := waited(), time.Now()
		if !f(n) {
			return 0, false
		}
		took := time.Since(start)
		all = append(all, float64(took)/float64(n))
		if (waited()-before)*50 <= int64(took) {
			clean = append(clean, float64(took)/float64(n))
		}
		if spent := time.Since(begin); spent > 10*batch || (spent > 3*batch && len(clean) >= 3) {
			break
		}
	}
	if len(clean) < 3 {
		clean = all
	}
	sort.Float64s(clean)
	return clean[len(clean)/2], true
}

func (s *state) run(kind string) string {
	var ns float64
	ok := true
	if s.list == nil || kind == "subscribe" {
		built, err := s.build()
		if err != nil {
			return "skip " + err.Error()
		}
		ok = built
	}
	switch kind {
	case "subscribe":
		if ok {
			return fmt.Sprintf("ok %.4f busy=0 first_pass_ns=%.4f bytes_heap=%.4f bytes_record=%d", s.buildNs, s.firstPassNs,
				s.bytes, server.BenchRecordBytes)
		}
	case "cold":
		ns, ok = s.measure(kind, s.cold)
	case "hot":
		ns, ok = s.measure(kind, s.hot)
	case "replace":
		ns, ok = s.measure(kind, s.replace)
	}
	if !ok {
		return "wrong matches differ from what is expected"
	}
	return fmt.Sprintf("ok %.4f busy=0", ns)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: peer_nats DIRECTORY")
		os.Exit(2)
	}
	if ms, err := strconv.Atoi(os.Getenv("BENCH_BATCH_MS")); err == nil && ms > 0 {
		batch = time.Duration(ms) * time.Millisecond
	}
	runtime.LockOSThread() // the file is that of the thread that opens it
	schedstat, _ = os.Open("/proc/thread-self/schedstat")
	states := map[string]*state{}
	list := fmt.Sprintf("info nats-server %s\ninfo go %s\n", server.VERSION, runtime.Version())
	for _, size := range []string{"1k", "100k", "1M"} {
		for impl, cache := range map[string]bool{"nats": false, "nats-cache": true} {
			states[size+impl] = &state{path: fmt.Sprintf("%s/match-%s.txt", os.Args[1], size), cache: cache, random: 2463534242,
				slice: map[string]int{}}
		}
		// Each list of a million costs a gigabyte and the collector's time for all others: both kinds only up to 100 000.
		for _, impl := range []string{"nats", "nats-cache"} {
			if size == "1M" && impl == "nats-cache" {
				continue
			}
			every := map[string]int{"1k": 1, "100k": 3, "1M": 5}[size]
			for _, kind := range []string{"cold", "hot", "replace"} {
				list += fmt.Sprintf("case match/%s/%s %s 1\n", size, kind, impl)
			}
			list += fmt.Sprintf("case match/%s/subscribe %s %d\n", size, impl, every)
		}
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		if len(words) == 1 && words[0] == "list" {
			fmt.Print(list + "end\n")
		} else if len(words) == 3 {
			parts := strings.Split(words[1], "/")
			fmt.Println(states[parts[1]+words[2]].run(parts[2]))
		}
	}
}
