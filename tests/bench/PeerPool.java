// SPDX-License-Identifier: MIT
// Peer: Java's executors, in a process of its own that speaks the line protocol of bench.h. Workloads and checks as in bench_pool_run.c.
//
//      java        ForkJoinPool in asynchronous mode (that of event-style tasks), its RecursiveAction; ScheduledThreadPoolExecutor for timers
//      java-exec   Executors.newFixedThreadPool: one linked queue for all threads
//
// Each task is an object of its own, as a program would make it. CPU is that of the pool's threads; wake-ups cannot be counted from here.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinWorkerThread;
import java.util.concurrent.RecursiveAction;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

public final class PeerPool {
    static final int RUNS = 5, TREE_DEPTH = 16, WAKES = 40, CPU_TASKS = 100;
    static final long BATCH_NS = 1_000_000L * batchMs(), WARM_NS = 30 * BATCH_NS, LOOK_NS = 20_000, WAKE_GAP_NS = 300_000;

    /** A thread's own counts, 128 bytes of padding before and behind; read by the main thread while they are written. */
    static final class Tally {
        static final VarHandle COUNT, SUM;
        long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, pa, pb, pc, pd, pe, pf;
        long count, sum;
        long q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, qa, qb, qc, qd, qe, qf;

        static {
            try {
                COUNT = MethodHandles.lookup().findVarHandle(Tally.class, "count", long.class);
                SUM = MethodHandles.lookup().findVarHandle(Tally.class, "sum", long.class);
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        void add(long number) {
            SUM.setOpaque(this, sum + number);
            COUNT.setOpaque(this, count + 1);
        }
    }

    static final ThreadLocal<Tally> TALLY = new ThreadLocal<>();

    static final class Worker extends ForkJoinWorkerThread {
        final Tally tally;

        Worker(ForkJoinPool pool, Tally tally) {
            super(pool);
            this.tally = tally;
        }
    }

    static void task(long number) {
        Thread thread = Thread.currentThread();
        (thread instanceof Worker ? ((Worker) thread).tally : TALLY.get()).add(number);
    }

    /** A pool, the counts of its threads, and the threads. */
    static final class Pool {
        final List<Tally> tallies = new ArrayList<>();
        final List<Thread> threads = new ArrayList<>();
        final ExecutorService service;

        Pool(boolean forkJoin, int workers) {
            service = forkJoin
                ? new ForkJoinPool(workers, p -> {
                      Worker worker = new Worker(p, newTally());
                      return remember(worker);
                  }, null, true)
                : Executors.newFixedThreadPool(workers, r -> {
                      Tally tally = newTally();
                      return remember(new Thread(() -> {
                          TALLY.set(tally);
                          r.run();
                      }));
                  });
        }

        synchronized Tally newTally() {
            Tally tally = new Tally();
            tallies.add(tally);
            return tally;
        }

        synchronized <T extends Thread> T remember(T thread) {
            threads.add(thread);
            return thread;
        }

        synchronized long count() {
            long n = 0;
            for (Tally t : tallies) n += (long) Tally.COUNT.getOpaque(t);
            return n;
        }

        synchronized long sum() {
            long n = 0;
            for (Tally t : tallies) n += (long) Tally.SUM.getOpaque(t);
            return n;
        }

        void waitFor(long n) {
            while (count() < n) {
                long until = System.nanoTime() + LOOK_NS;
                while (System.nanoTime() < until) Thread.yield();
            }
        }

        void end() throws InterruptedException {
            service.shutdown();
            if (!service.awaitTermination(1, TimeUnit.MINUTES)) throw new IllegalStateException("the pool did not end");
        }
    }

    interface Case {
        /** ns an operation; throws when the result is not what it should be. */
        double measure() throws Exception;
    }

    static final class Branch extends RecursiveAction {
        final int depth;

        Branch(int depth) {
            this.depth = depth;
        }

        @Override protected void compute() {
            task(0);
            if (depth > 1) {
                new Branch(depth - 1).fork();
                new Branch(depth - 1).fork();
            }
        }
    }

    /** Producers bring tasks until all have run; producers 0: one tree after the other from outside. */
    static final class Stream implements Case {
        final boolean forkJoin;
        final int producers, workers;
        long n;

        Stream(boolean forkJoin, int producers, int workers) {
            this.forkJoin = forkJoin;
            this.producers = producers;
            this.workers = workers;
            this.n = producers == 0 ? 1 << TREE_DEPTH : 64;
        }

        static void submit(Executor to, long first, long n) {
            for (long i = first; i < first + n; i++) {
                long number = i;
                to.execute(() -> task(number));
            }
        }

        /** ns; brought[0]: how many tasks so far. */
        long run(Pool pool, long[] brought) throws InterruptedException {
            long start, first = brought[0];
            if (producers == 0) {
                long trees = n >> TREE_DEPTH;
                start = System.nanoTime();
                for (long i = 0; i < trees; i++) ((ForkJoinPool) pool.service).execute(new Branch(TREE_DEPTH));
                brought[0] += trees * ((1L << TREE_DEPTH) - 1);
            } else if (producers == 1) {
                start = System.nanoTime();
                submit(pool.service, first, n);
                brought[0] += n;
            } else {
                Thread[] threads = new Thread[producers];
                CountDownLatch line = new CountDownLatch(producers + 1);
                for (int i = 0; i < producers; i++) {
                    long mine = first + i * n;
                    threads[i] = new Thread(() -> {
                        line.countDown();
                        while (line.getCount() > 0) Thread.yield();
                        submit(pool.service, mine, n);
                    });
                    threads[i].start();
                }
                while (line.getCount() > 1) Thread.yield();
                start = System.nanoTime();
                line.countDown();
                for (Thread t : threads) t.join();
                brought[0] += producers * n;
            }
            pool.waitFor(brought[0]);
            return System.nanoTime() - start;
        }

        @Override public double measure() throws Exception {
            Pool pool = new Pool(forkJoin, workers);
            long[] brought = new long[1];
            double[] values = new double[RUNS];
            if (n <= 1 << TREE_DEPTH) { /* the first time: the compiler's turn, then enough for a slice of a number's time */
                for (long end = System.nanoTime() + WARM_NS; System.nanoTime() < end;) run(pool, brought);
                while (run(pool, brought) < BATCH_NS / RUNS) n *= 2;
                if (n <= 1 << TREE_DEPTH) n = 2 << TREE_DEPTH;
            }
            run(pool, brought);
            for (int i = 0; i < RUNS; i++) {
                long before = brought[0], ns = run(pool, brought);
                values[i] = (double) ns / (brought[0] - before);
            }
            pool.end();
            if (pool.count() != brought[0]) throw new IllegalStateException("more tasks run than submitted");
            if (producers > 0 && pool.sum() != brought[0] * (brought[0] - 1) / 2)
                throw new IllegalStateException("the sums of what was submitted and run differ");
            return median(values);
        }
    }

    static volatile long began;

    static Case wakeCase(boolean forkJoin, int workers) {
        return new Case() {
            boolean warm;

            double once() throws Exception {
                Pool pool = new Pool(forkJoin, workers);
                double[] values = new double[WAKES];
                for (int i = 0; i < WAKES; i++) {
                    began = 0;
                    for (long until = System.nanoTime() + WAKE_GAP_NS; System.nanoTime() < until;) Thread.yield();
                    long at = System.nanoTime(), then;
                    pool.service.execute(() -> began = System.nanoTime());
                    while ((then = began) == 0) Thread.yield();
                    values[i] = then - at;
                }
                pool.end();
                return median(values);
            }

            @Override public double measure() throws Exception {
                for (int i = 0; i < 50 && !warm; i++) once();
                warm = true;
                return once();
            }
        };
    }

    static long cpuOf(Pool pool) {
        ThreadMXBean bean = ManagementFactory.getThreadMXBean();
        long ns = 0;
        for (Thread t : pool.threads) ns += Math.max(0, bean.getThreadCpuTime(t.getId()));
        return ns;
    }

    static Case cpuCase(boolean forkJoin, int workers) {
        return new Case() {
            boolean warm;

            double once() throws Exception {
                Pool pool = new Pool(forkJoin, workers);
                long next, before, after;
                for (int i = 0; i < workers; i++) {
                    pool.service.execute(() -> began = System.nanoTime());
                    Thread.sleep(2);
                }
                before = cpuOf(pool);
                next = System.nanoTime();
                for (int i = 0; i < CPU_TASKS; i++) {
                    for (long left; (left = next - System.nanoTime()) > 0;) LockSupport.parkNanos(left);
                    pool.service.execute(() -> began = System.nanoTime());
                    next += 1_000_000;
                }
                Thread.sleep(1);
                after = cpuOf(pool);
                pool.end();
                return (double) (after - before) / CPU_TASKS;
            }

            @Override public double measure() throws Exception {
                for (int i = 0; i < 5 && !warm; i++) once();
                warm = true;
                return once();
            }
        };
    }

    /** Timers between one second and one hour, stopped in an order of its own. */
    static final class Timers implements Case {
        final int n;
        final boolean stop;
        final ScheduledThreadPoolExecutor pool = new ScheduledThreadPoolExecutor(1);
        final long[] delay;
        final int[] order;
        final ScheduledFuture<?>[] future;
        boolean warm;

        Timers(int n, boolean stop) {
            Random random = new Random(12345);
            this.n = n;
            this.stop = stop;
            delay = new long[n];
            order = new int[n];
            future = new ScheduledFuture<?>[n];
            for (int i = 0; i < n; i++) {
                int k = random.nextInt(i + 1);
                delay[i] = 1_000_000_000L + random.nextInt(3_599_000) * 1_000_000L;
                order[i] = order[k];
                order[k] = i;
            }
            pool.setRemoveOnCancelPolicy(true); /* otherwise a stopped timer keeps its memory until it is due */
        }

        double run(int times) {
            long took = 0;
            for (int t = 0; t < times; t++) {
                boolean ok = true;
                long start = System.nanoTime(), middle;
                for (int i = 0; i < n; i++) future[i] = pool.schedule(() -> task(0), delay[i], TimeUnit.NANOSECONDS);
                middle = System.nanoTime();
                for (int i = 0; i < n; i++) ok &= future[order[i]].cancel(false);
                took += stop ? System.nanoTime() - middle : middle - start;
                if (!ok) throw new IllegalStateException("a timer was not there any more");
            }
            return (double) took / n / times;
        }

        @Override public double measure() {
            List<Double> values = new ArrayList<>();
            long start = System.nanoTime();
            int times = 1 + 10_000 / n;
            while (!warm && System.nanoTime() - start < WARM_NS) run(times);
            warm = true;
            start = System.nanoTime();
            while (values.size() < 3 || (values.size() < 64 && System.nanoTime() - start < 2 * BATCH_NS)) values.add(run(times));
            return median(values.stream().mapToDouble(v -> v).toArray());
        }
    }

    static double median(double[] values) {
        Arrays.sort(values);
        int half = values.length / 2;
        return values.length % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
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
        for (boolean forkJoin : new boolean[] {true, false}) {
            String by = forkJoin ? " java" : " java-exec";
            for (int[] shape : new int[][] {{1, 1}, {1, 2}, {1, 4}, {2, 1}, {2, 2}})
                cases.put("pool/submit/" + shape[0] + "p" + shape[1] + "w" + by, new Stream(forkJoin, shape[0], shape[1]));
            for (int workers = 1; workers <= 2 && forkJoin; workers++) cases.put("pool/tree/" + workers + "w" + by, new Stream(true, 0, workers));
            cases.put("pool/wake/2w" + by, wakeCase(forkJoin, 2));
            cases.put("pool/cpu/4w" + by, cpuCase(forkJoin, 4));
        }
        for (int n = 1000; n <= 100_000; n *= 100) {
            cases.put("pool/timer/add/" + n / 1000 + "k java", new Timers(n, false));
            cases.put("pool/timer/stop/" + n / 1000 + "k java", new Timers(n, true));
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String text; (text = in.readLine()) != null; ) {
            String[] word = text.split(" ");
            String key = word.length > 2 ? word[1] + " " + word[2] : "";
            if (word[0].equals("list")) {
                System.out.println("info java " + System.getProperty("java.version"));
                for (String name : cases.keySet()) System.out.println("case " + name + " 1");
                System.out.println("end");
            } else if (cases.containsKey(key)) {
                try {
                    System.out.println(String.format(Locale.ROOT, "ok %.4f busy=0", cases.get(key).measure()));
                } catch (IllegalStateException e) {
                    System.out.println("wrong " + e.getMessage());
                }
            } else {
                System.out.println("wrong no such case");
            }
            System.out.flush();
        }
        System.exit(0); /* the timers' threads are no daemons */
    }
}
