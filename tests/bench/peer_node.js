// SPDX-License-Identifier: MIT
// Peer: Node's EventEmitter, in a process of its own that speaks the line protocol of bench.h. Same slices, same checks as
// bench.c. Not pinned: the runtime keeps its helper threads.
'use strict';
const { EventEmitter } = require('events');
const fs = require('fs');
const readline = require('readline');

const BATCH_NS = 1e6 * (Number(process.env.BENCH_BATCH_MS) || 20);
const SLICES = 16;
const cases = new Map();

function now() {
    return Number(process.hrtime.bigint());
}

// How long the main thread, which runs all this, has been ready to run without a CPU; 0 where the kernel keeps no account.
const text = Buffer.alloc(96);
let schedstat = -1;
try {
    schedstat = fs.openSync('/proc/self/schedstat');
} catch {
    // then no slice is dropped
}
function waited() {
    if (schedstat < 0) return 0;
    return Number(text.toString('latin1', 0, fs.readSync(schedstat, text, 0, 96, 0)).split(' ')[1]);
}

function median(values) {
    values.sort((a, b) => a - b);
    const half = values.length >> 1;
    return values.length % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Each case has a batch function of its own (made by a factory call per case), so that the JIT specialises it for that case alone.
function add(name, batch) {
    cases.set(name, { batch, slice: 0 });
}

function time(c) {
    if (c.slice === 0) {
        let n = 1;
        for (;;) {
            const start = now();
            if (!c.batch(n)) return NaN;
            const took = now() - start;
            if (took >= BATCH_NS / SLICES) break;
            n *= took < BATCH_NS / SLICES / 10 ? 10 : 2;
        }
        // What was calibrated was partly interpreted code: once more with what the JIT made of it.
        const start = now();
        if (!c.batch(n)) return NaN;
        c.slice = Math.max(1, Math.ceil(n * (BATCH_NS / SLICES) / (now() - start)));
    }
    if (!c.batch(c.slice) || !c.batch(c.slice)) return NaN;
    const clean = [], all = [], begin = now();
    while (clean.length < SLICES) {
        const before = waited(), start = now();
        if (!c.batch(c.slice)) return NaN;
        const took = now() - start;
        all.push(took / c.slice);
        if ((waited() - before) * 50 <= took) clean.push(took / c.slice);
        const spent = now() - begin;
        if (spent > 10 * BATCH_NS || (spent > 3 * BATCH_NS && clean.length >= 3)) break;
    }
    return median(clean.length >= 3 ? clean : all);
}

function emitCase(listeners) {
    const emitter = new EventEmitter();
    const state = { counter: 0 };
    emitter.setMaxListeners(0);
    for (let i = 0; i < listeners; i++) emitter.on('tick', (value) => { state.counter += value; });
    add(`emit/${listeners}`, (n) => {
        const before = state.counter;
        for (let i = 0; i < n; i++) emitter.emit('tick', 1);
        return state.counter - before === n * listeners;
    });
    return emitter;
}

function nameCase(count, label) {
    const emitter = new EventEmitter();
    const state = { counter: 0 };
    const names = [];
    let random = 2463534242 | 0;
    for (let i = 0; i < count; i++) {
        names.push(`sensor-${String(i).padStart(5, '0')}-on`);
        emitter.on(names[i], (value) => { state.counter += value; });
    }
    add(`name/${label}`, (n) => {
        const before = state.counter;
        for (let i = 0; i < n; i++) {
            random ^= random << 13;
            random ^= random >>> 17;
            random ^= random << 5;
            emitter.emit(names[Math.floor((random >>> 0) / 4294967296 * count)], 1);
        }
        return state.counter - before === n;
    });
}

for (const listeners of [0, 1, 4, 16, 64]) {
    const emitter = emitCase(listeners);
    if (listeners !== 4) continue;
    const guest = () => {};
    add('onoff/plain', (n) => {
        for (let i = 0; i < n; i++) {
            emitter.on('tick', guest);
            emitter.off('tick', guest);
        }
        return emitter.listenerCount('tick') === 4;
    });
}
nameCase(1, '1');
nameCase(100, '100');
nameCase(10000, '10k');

readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const [word, name] = line.split(' ');
    if (word === 'list') {
        const rows = [...cases.keys()].map((key) => `case ${key} node 1\n`);
        process.stdout.write(`info node ${process.versions.node}\n${rows.join('')}end\n`);
    } else if (word === 'run' && cases.has(name)) {
        const ns = time(cases.get(name));
        process.stdout.write(Number.isNaN(ns) ? 'wrong the counter is not what n emits give\n' : `ok ${ns.toFixed(4)} busy=0\n`);
    } else {
        process.stdout.write(`wrong no case ${name}\n`);
    }
});
