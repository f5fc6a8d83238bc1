/** A compacted log beside what must be true of it: which records a reader finds, and which producers the log still knows, whatever happened in between. */
import assert from 'node:assert/strict';
import { producerEpoch, producerId, TributaryError } from '@tributary/model';
import type { FileSystem, Host } from '@tributary/ports';
import { compressions, encodeBatch, readBatchHeader } from '@tributary/record';
import { DataDirectory } from '../../src/log/data-directory.ts';
import type { PartitionLog } from '../../src/log/partition-log.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { config, partition, silent, testClock, testRandom, topic } from './harness.ts';
import { at, type FoundKeyed, type KeyedRecord, keyedBatch, readKeyed } from './keyed.ts';

export type Step =
  | {
      readonly do: 'write';
      /** Key number; size of the value, 0: a tombstone. */
      readonly records: readonly (readonly [key: number, size: number])[];
      /** 0: not idempotent. */
      readonly producer: number;
      readonly compression: number;
    }
  | { readonly do: 'commit' }
  | { readonly do: 'checkpoint' }
  | { readonly do: 'compact'; readonly waitMs: number; readonly buffer: number; readonly whileWriting: boolean }
  | { readonly do: 'delete records' }
  | { readonly do: 'reopen' };

const deleteRetentionMs = 1_000;
const settings = config({
  'cleanup.policy': 'compact',
  'segment.bytes': '1100',
  'index.interval.bytes': '120',
  'delete.retention.ms': String(deleteRetentionMs),
  'min.cleanable.dirty.ratio': '0',
});

interface Written extends KeyedRecord {
  readonly writtenMs: number;
}

interface WrittenBatch {
  readonly base: bigint;
  readonly last: bigint;
  readonly sequence: number;
  readonly producer: number;
}

interface Life {
  readonly directory: DataDirectory;
  readonly log: PartitionLog;
  readonly producers: ProducerState;
}

export class CompactionModel {
  readonly #clock = Object.assign(testClock(1_000_000), { sleep: () => Promise.resolve() });
  readonly #records = new Map<bigint, Written>();
  #batches: WrittenBatch[] = [];
  /** Flushed, and said to be committed. */
  #sureEnd = 0n;
  #start = 0n;
  /** A round of compaction reached up to here, and a crash may have ended it anywhere. */
  #begun = 0n;
  compacted = 0;
  tombstonesGone = 0;

  async open(files: FileSystem, host: Host): Promise<Life> {
    const directory = await DataDirectory.open(files, 'data', {
      host,
      clock: this.#clock,
      random: testRandom(),
      logger: silent,
    });
    const producers = new ProducerState();
    const log = await directory.openLog(topic, partition, { config: settings, role: 'sole', replay: producers });
    log.noteHighWatermark(at(this.#sureEnd > log.highWatermark ? this.#sureEnd : log.highWatermark));
    return { directory, log, producers };
  }

  async live(files: FileSystem, host: Host, steps: readonly Step[]): Promise<void> {
    let life = await this.open(files, host);
    for (const step of steps) {
      if (step.do !== 'reopen') await this.#take(life, step);
      else {
        await life.directory.close();
        this.#sureEnd = life.log.endOffset;
        life = await this.open(files, host);
      }
      if (step.do === 'compact' || step.do === 'reopen') await this.check(life);
    }
    await life.directory.close();
    this.#sureEnd = life.log.endOffset;
  }

  async #take(life: Life, step: Exclude<Step, { readonly do: 'reopen' }>): Promise<void> {
    switch (step.do) {
      case 'write':
        return await this.#write(life, step);
      case 'commit':
        return await this.#commit(life);
      case 'checkpoint':
        return await life.directory.checkpoint();
      case 'compact':
        return await this.#compact(life, step);
      case 'delete records': {
        const to = this.#start + (life.log.highWatermark - this.#start) / 4n;
        this.#start = to;
        await life.log.advanceStart(at(to));
      }
    }
  }

  async #write({ log, producers }: Life, step: Extract<Step, { readonly do: 'write' }>): Promise<void> {
    const base = log.endOffset as bigint;
    const records = step.records.map(
      ([key, size], index): KeyedRecord => ({
        key: `key ${key}`,
        value: size === 0 ? null : `${base + BigInt(index)} ${'v'.repeat(size)}`,
        timestamp: this.#clock.now - 5 * ((Number(base) + index) % 3),
      }),
    );
    const sequence = this.#nextSequence(step.producer);
    const made = keyedBatch({
      at: base,
      records,
      compression: compressions[step.compression] ?? 'none',
      ...(step.producer > 0 && { producer: { id: step.producer, sequence } }),
    });
    for (const [index, record] of records.entries())
      this.#records.set(base + BigInt(index), { ...record, writtenMs: this.#clock.now });
    this.#batches.push({ base, last: made.lastOffset, sequence, producer: step.producer });
    // As the partition does it: the state is ahead of the log.
    producers.batch(readBatchHeader(made.bytes, 0));
    await log.append([made]);
  }

  #nextSequence(producer: number): number {
    const last = this.#batches.findLast((batch) => batch.producer === producer);
    return last === undefined ? 0 : last.sequence + Number(last.last - last.base) + 1;
  }

  async #commit({ log }: Life): Promise<void> {
    const flushed = await log.sync();
    log.noteHighWatermark(flushed);
    this.#sureEnd = flushed;
  }

  async #compact(life: Life, step: Extract<Step, { readonly do: 'compact' }>): Promise<void> {
    this.#clock.now += step.waitMs;
    const { log } = life;
    const cleanable = await log.cleanable(this.#clock.now);
    if (cleanable !== undefined && cleanable.to > this.#begun) this.#begun = cleanable.to;
    const compacting = log.compact({
      buffer: step.buffer,
      bytesPerSecond: undefined,
      random: testRandom(),
      passed: () => log.endOffset,
      signal: new AbortController().signal,
    });
    if (step.whileWriting) {
      await this.#write(life, { do: 'write', records: [[0, 40]], producer: 1, compression: 0 });
      await readKeyed(log);
      await this.#commit(life);
    }
    const report = await compacting.catch((thrown: unknown) => {
      assert.ok(thrown instanceof TributaryError && thrown.error === 'KAFKA_STORAGE_ERROR', String(thrown));
      return undefined;
    });
    if (report !== undefined && report.bytesAfter < report.bytesBefore) this.compacted++;
    this.tombstonesGone += report?.tombstonesGone ?? 0;
  }

  /** After a crash: what is not there any more was never promised. */
  adopt({ log }: Life): void {
    assert.ok(log.endOffset >= this.#sureEnd, `L2: the log ends at ${log.endOffset}, ${this.#sureEnd} was committed`);
    assert.ok(log.startOffset <= this.#start, `L4: the log starts at ${log.startOffset}, asked for was ${this.#start}`);
    this.#start = log.startOffset;
    for (const offset of [...this.#records.keys()]) if (offset >= log.endOffset) this.#records.delete(offset);
    this.#batches = this.#batches.filter(({ last }) => last < log.endOffset);
    if (log.highWatermark < log.endOffset) log.noteHighWatermark(log.endOffset);
    this.#sureEnd = log.endOffset;
  }

  async check({ log, producers }: Life): Promise<void> {
    assert.deepEqual(log.health.damaged, []);
    assert.equal(log.health.possibleLoss, false);
    const found = await readKeyed(log, log.startOffset, 250);
    this.#checkRecords(found, log.startOffset, log);
    await this.#checkSearches(found, log);
    this.#checkProducers(producers, log);
  }

  /** The tail in memory may still have what the files have not: more is no mistake, as long as it is what was written there. */
  #checkRecords(found: readonly FoundKeyed[], from: bigint, log: PartitionLog): void {
    let before = -1n;
    const newestFound = new Map<string | null, bigint>();
    for (const { offset, key, value, timestamp } of found) {
      const written = this.#records.get(offset);
      assert.ok(offset > before, `offset ${offset} follows ${before}`);
      before = offset;
      assert.deepEqual(
        { key, value, timestamp },
        written && { key: written.key, value: written.value, timestamp: written.timestamp },
        `L6: record ${offset}`,
      );
      newestFound.set(key, offset);
    }
    assert.ok(log.firstDirty <= this.#begun);
    const there = new Set(found.map(({ offset }) => offset));
    const newest = new Map<string | null, bigint>();
    for (const [offset, { key }] of this.#records) {
      if (offset < from) continue;
      newest.set(key, offset);
      assert.ok(
        offset < this.#begun || there.has(offset),
        `record ${offset} is missing, compacted is up to ${this.#begun}`,
      );
    }
    for (const [key, offset] of newest) {
      if (newestFound.get(key) === offset) continue;
      const written = this.#records.get(offset);
      assert.equal(written?.value, null, `L5: the newest record of ${key}, at ${offset}, is gone`);
      assert.equal(newestFound.get(key), undefined, `L5: ${key} was deleted at ${offset} and is back`);
      assert.ok(
        this.#clock.now - (written?.writtenMs ?? 0) >= deleteRetentionMs,
        `L5: the tombstone at ${offset} went after ${this.#clock.now - (written?.writtenMs ?? 0)} ms`,
      );
    }
  }

  /** From wherever one begins, by offset or by time, one meets the same records. */
  async #checkSearches(found: readonly FoundKeyed[], log: PartitionLog): Promise<void> {
    const some = (BigInt(this.#clock.now) + log.endOffset) % 13n;
    for (let from = log.startOffset + some; from < log.endOffset; from += 13n) {
      this.#checkRecords(await readKeyed(log, from, 400), from, log);
    }
    const times = [...new Set(found.map(({ timestamp }) => timestamp))];
    for (const timestamp of times.slice(-3)) {
      const first = found.find((record) => record.timestamp >= timestamp);
      const stored = await log.offsetForTimestamp(timestamp);
      if (first !== undefined)
        assert.ok(stored === undefined || (this.#records.get(stored.offset)?.timestamp ?? 0) >= timestamp);
    }
  }

  /** P3: what is next in order is taken, what came before is recognised. */
  #checkProducers(state: ProducerState, log: PartitionLog): void {
    for (const producer of [1, 2, 3]) {
      const batches = this.#batches.filter((batch) => batch.producer === producer && batch.base < log.endOffset);
      for (const { base, last, sequence } of batches.slice(-5)) {
        const verdict = state.check(header(producer, sequence, Number(last - base) + 1), 0);
        assert.equal(verdict.kind, 'duplicate', `P3: batch ${base} of producer ${producer} is ${verdict.kind}`);
        assert.ok(verdict.kind === 'duplicate' && verdict.baseOffset === base);
      }
      const next = state.check(header(producer, this.#nextSequence(producer), 1), 0);
      assert.equal(next.kind, 'append', `P3: producer ${producer} is not known at its next batch`);
    }
  }
}

function header(producer: number, sequence: number, count: number) {
  const bytes = encodeBatch(
    Array.from({ length: count }, () => ({ key: 'k', value: 'v' })),
    { producer: { id: producerId(BigInt(producer)), epoch: producerEpoch(0), baseSequence: sequence } },
  );
  return readBatchHeader(bytes, 0);
}
