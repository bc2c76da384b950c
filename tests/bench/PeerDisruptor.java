// SPDX-License-Identifier: MIT
// Peer: the LMAX Disruptor, in a process of its own that speaks the line protocol of bench.h. Workloads and checks as in
// bench_flow.c; threads are not pinned, and an element counts when it is published: up to a ring full of them is popped after the
// clock has stopped. A publisher that finds the ring full waits in the Disruptor's own way (LockSupport.parkNanos).
//
//      spin     BusySpinWaitStrategy        yield    YieldingWaitStrategy        block    BlockingWaitStrategy

import com.lmax.disruptor.*;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;

public final class PeerDisruptor {
    static final int CAPACITY = 1024, CHUNK = 64, RUNS = 4;
    static final long BATCH_NS = 1_000_000L * batchMs();

    static final class Element {
        long value;
    }

    /** Counts on lines of its own: 128 bytes of padding before and behind. */
    static final class Tally implements EventHandler<Element>, WorkHandler<Element>, LifecycleAware {
        long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, pa, pb, pc, pd, pe, pf;
        long count, sum;
        long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, qa, qb, qc, qd, qe, qf;
        final CountDownLatch line;

        Tally(CountDownLatch line) {
            this.line = line;
        }

        @Override public void onStart() {
            line.countDown(); /* the pushers begin when all have started */
        }

        @Override public void onShutdown() {
        }

        @Override public void onEvent(Element e, long sequence, boolean last) {
            count++;
            sum += e.value;
        }

        @Override public void onEvent(Element e) {
            count++;
            sum += e.value;
        }
    }

    static volatile boolean stop;

    /** Pushes until stop, singly or in batches. */
    static final class Pusher extends Thread {
        final RingBuffer<Element> ring;
        final int batch;
        final CountDownLatch line;
        final long first;
        long count, sum, start, end;

        Pusher(RingBuffer<Element> ring, int batch, int index, CountDownLatch line) {
            this.ring = ring;
            this.batch = batch;
            this.first = (long) index << 48;
            this.line = line;
        }

        @Override public void run() {
            long value = first;
            line.countDown();
            while (line.getCount() > 0) Thread.yield();
            start = System.nanoTime();
            while (!stop) {
                if (batch == 1) {
                    for (int i = 0; i < CHUNK; i++) {
                        long sequence = ring.next();
                        ring.get(sequence).value = ++value;
                        ring.publish(sequence);
                    }
                } else {
                    long last = ring.next(batch);
                    for (long s = last - batch + 1; s <= last; s++) ring.get(s).value = ++value;
                    ring.publish(last - batch + 1, last);
                }
            }
            end = System.nanoTime();
            count = value - first;
            for (long v = first + 1; v <= value; v++) sum += v;
        }
    }

    interface Case {
        /** ns an operation; throws when the result is not what it should be. */
        double measure() throws Exception;
    }

    static WaitStrategy strategy(String wait) {
        switch (wait) {
        case "spin": return new BusySpinWaitStrategy();
        case "yield": return new YieldingWaitStrategy();
        default: return new BlockingWaitStrategy();
        }
    }

    static double run(int pushers, int poppers, String wait, int batch, long ns) throws Exception {
        RingBuffer<Element> ring = pushers == 1
            ? RingBuffer.createSingleProducer(Element::new, CAPACITY, strategy(wait))
            : RingBuffer.createMultiProducer(Element::new, CAPACITY, strategy(wait));
        return stream(ring, pushers, poppers, batch, ns);
    }

    static double stream(RingBuffer<Element> ring, int pushers, int poppers, int batch, long ns) throws Exception {
        Tally[] tallies = new Tally[poppers];
        CountDownLatch line = new CountDownLatch(pushers + poppers);
        for (int i = 0; i < poppers; i++) tallies[i] = new Tally(line);
        ExecutorService threads = Executors.newCachedThreadPool();
        BatchEventProcessor<Element> alone = null;
        WorkerPool<Element> pool = null;
        if (poppers == 1) {
            alone = new BatchEventProcessor<>(ring, ring.newBarrier(), tallies[0]);
            ring.addGatingSequences(alone.getSequence());
            threads.execute(alone);
        } else {
            pool = new WorkerPool<>(ring, ring.newBarrier(), new FatalExceptionHandler(), tallies);
            ring.addGatingSequences(pool.getWorkerSequences());
            pool.start(threads);
        }
        stop = false;
        List<Pusher> all = new ArrayList<>();
        for (int i = 0; i < pushers; i++) all.add(new Pusher(ring, batch, i, line));
        for (Pusher p : all) p.start();
        line.await();
        Thread.sleep(ns / 1_000_000, (int) (ns % 1_000_000));
        stop = true;
        long start = Long.MAX_VALUE, end = Long.MIN_VALUE, in = 0, inSum = 0, out = 0, outSum = 0;
        for (Pusher p : all) {
            p.join();
            start = Math.min(start, p.start);
            end = Math.max(end, p.end);
            in += p.count;
            inSum += p.sum;
        }
        if (pool != null) {
            pool.drainAndHalt();
        } else {
            while (alone.getSequence().get() < ring.getCursor()) Thread.yield();
            alone.halt();
        }
        threads.shutdown();
        threads.awaitTermination(1, java.util.concurrent.TimeUnit.MINUTES); /* also makes the tallies visible */
        for (Tally t : tallies) {
            out += t.count;
            outSum += t.sum;
        }
        if (in != out || inSum != outSum) throw new IllegalStateException(in + " elements pushed, " + out + " popped, or the sums differ");
        return (double) (end - start) / in;
    }

    static double median(double[] values) {
        Arrays.sort(values);
        int half = values.length / 2;
        return values.length % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
    }

    static Case streamCase(int pushers, int poppers, boolean many, String wait, int batch) {
        return new Case() {
            boolean warm;

            double once(long ns) throws Exception {
                if (!many) return run(pushers, poppers, wait, batch, ns);
                return stream(RingBuffer.createMultiProducer(Element::new, CAPACITY, strategy(wait)), pushers, poppers, batch, ns);
            }

            @Override public double measure() throws Exception {
                boolean crowd = pushers + poppers > 2;
                double[] values = new double[crowd ? 1 : RUNS];
                if (!warm) once(20 * BATCH_NS); /* the compiler's turn */
                warm = true;
                for (int i = 0; i < values.length; i++) values[i] = once(crowd ? 5 * BATCH_NS : BATCH_NS / 2);
                return median(values);
            }
        };
    }

    static Case pairCase(RingBuffer<Element> ring) {
        EventPoller<Element> poller = ring.newPoller();
        ring.addGatingSequences(poller.getSequence());
        long[] sum = new long[1];
        EventPoller.Handler<Element> handler = (e, sequence, last) -> {
            sum[0] += e.value;
            return true;
        };
        return new Case() {
            boolean warm;

            double once(long ns) throws Exception {
                long n = 0, want = 0, start = System.nanoTime(), now = start;
                sum[0] = 0;
                while (now - start < ns) {
                    for (int i = 0; i < 1024; i++) {
                        long sequence = ring.next();
                        ring.get(sequence).value = ++n;
                        ring.publish(sequence);
                        poller.poll(handler);
                        want += n;
                    }
                    now = System.nanoTime();
                }
                if (sum[0] != want) throw new IllegalStateException("the sums of what was pushed and popped differ");
                return (double) (now - start) / n;
            }

            @Override public double measure() throws Exception {
                double[] values = new double[RUNS];
                if (!warm) once(20 * BATCH_NS);
                warm = true;
                for (int i = 0; i < values.length; i++) values[i] = once(BATCH_NS / RUNS);
                return median(values);
            }
        };
    }

    static int batchMs() {
        try {
            return Math.max(1, Integer.parseInt(System.getenv("BENCH_BATCH_MS")));
        } catch (NumberFormatException e) {
            return 20;
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("ring/pair/spsc/8", pairCase(RingBuffer.createSingleProducer(Element::new, CAPACITY)));
        cases.put("ring/pair/mpsc/8", pairCase(RingBuffer.createMultiProducer(Element::new, CAPACITY)));
        cases.put("ring/1-1/spsc/8/spin", streamCase(1, 1, false, "spin", 1));
        cases.put("ring/1-1/spsc/8/block", streamCase(1, 1, false, "block", 1));
        cases.put("ring/1-1/mpsc/8/spin", streamCase(1, 1, true, "spin", 1));
        cases.put("ring/batch/spsc/8/16", streamCase(1, 1, false, "spin", 16));
        cases.put("ring/batch/spsc/8/64", streamCase(1, 1, false, "spin", 64));
        for (String wait : new String[] {"spin", "yield", "block"}) {
            cases.put("ring/4-1/mpsc/8/" + wait, streamCase(4, 1, true, wait, 1));
            cases.put("ring/4-4/mpmc/8/" + wait, streamCase(4, 4, true, wait, 1));
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String text; (text = in.readLine()) != null; ) {
            String[] word = text.split(" ");
            if (word[0].equals("list")) {
                System.out.println("info disruptor " + System.getProperty("bench.disruptor", "unknown") + ", Java " + System.getProperty("java.version"));
                for (String name : cases.keySet()) System.out.println("case " + name + " disruptor 1");
                System.out.println("end");
            } else if (word.length > 1 && cases.containsKey(word[1])) {
                try {
                    System.out.println(String.format(Locale.ROOT, "ok %.4f busy=0", cases.get(word[1]).measure()));
                } catch (IllegalStateException e) {
                    System.out.println("wrong " + e.getMessage());
                }
            } else {
                System.out.println("wrong no such case");
            }
            System.out.flush();
        }
    }
}
