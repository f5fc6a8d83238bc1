/**
 * A seeded life of one log, with a model beside it that knows what must still be there after a crash at any moment. The model learns of a fact
 * only when the call that promised it has returned.
 */
import assert from 'node:assert/strict';
import { leaderEpoch, offset, type TopicConfig, TributaryError } from '@tributary/model';
import type { FileSystem } from '@tributary/ports';
import type { SeededRandom } from '../../../../tests/simulator/seeded-random.ts';
import { batch, type Broker, config, readAll, start, type StartOptions, type TestClock, testClock } from './harness.ts';

export const storyConfig = (flushPolicy: 'commit' | 'async'): TopicConfig =>
  config({
    'segment.bytes': '1500',
    'index.interval.bytes': '150',
    'flush.policy': flushPolicy,
    'retention.bytes': '4000',
  });

export class Story {
  readonly #random: SeededRandom;
  readonly #options: StartOptions;
  readonly clock: TestClock = testClock();
  /** Every batch ever handed to the log, by base offset: after a crash in doubt any of them may be there. */
  readonly #versions = new Map<bigint, Buffer[]>();
  /** What the log has now, if all went well. */
  readonly #current = new Map<bigint, Buffer>();
  /** Flushed, and not asked to go since. */
  readonly #sure = new Map<bigint, Buffer>();
  #epoch = 0;
  #sureEnd = 0n;
  #sureStart = 0n;
  #highWatermark = 0n;
  #startMost = 0n;
  /** What happened, for the message of a failure. */
  readonly trace: string[] = [];

  constructor(random: SeededRandom, options: StartOptions) {
    this.#random = random;
    this.#options = options;
  }

  /** @param lives how often the log is closed and opened again. */
  async live(files: FileSystem, options: StartOptions, steps: number, lives: number): Promise<void> {
    for (let life = 0; life < lives; life++) {
      const broker = await this.open(files, options);
      for (let step = 0; step < steps; step++) await this.#step(broker);
      this.trace.push('close');
      await broker.directory.close();
      this.#flushed(broker, broker.log.endOffset);
    }
  }

  async open(files: FileSystem, options: StartOptions): Promise<Broker> {
    const broker = await start(files, { clock: this.clock, ...this.#options, ...options });
    this.#epoch++;
    if (this.#highWatermark <= broker.log.endOffset) broker.log.noteHighWatermark(offset(this.#highWatermark));
    broker.log.beginEpoch(leaderEpoch(this.#epoch), broker.log.endOffset);
    return broker;
  }

  async #step(broker: Broker): Promise<void> {
    const choice = this.#random.below(20);
    if (choice < 10) await this.#append(broker);
    else if (choice < 15) await this.#sync(broker);
    else if (choice < 17) await this.#checkpoint(broker);
    else if (choice < 18) await this.#truncate(broker);
    else if (choice < 19) await this.#advance(broker);
    else await this.#retain(broker);
  }

  async #append(broker: Broker): Promise<void> {
    let at = broker.log.endOffset as bigint;
    const added = Array.from({ length: this.#random.between(1, 4) }, () => {
      const made = batch({
        at,
        records: this.#random.between(1, 3),
        valueBytes: this.#random.between(1, 200),
        epoch: this.#epoch,
        timestamp: this.clock.now + Number(at),
      });
      at = made.lastOffset + 1n;
      const versions = this.#versions.get(made.baseOffset) ?? [];
      this.#versions.set(made.baseOffset, [...versions, Buffer.from(made.bytes)]);
      return made;
    });
    this.trace.push(`append ${broker.log.endOffset}-${at}`);
    try {
      await broker.append(...added);
      for (const one of added) this.#current.set(one.baseOffset, Buffer.from(one.bytes));
    } catch (thrown) {
      assert.ok(thrown instanceof TributaryError && thrown.error === 'KAFKA_STORAGE_ERROR', String(thrown));
      this.trace.push('refused: full');
      assert.equal(broker.log.endOffset, added[0]?.baseOffset);
    }
  }

  async #sync(broker: Broker): Promise<void> {
    const before = broker.log.endOffset;
    this.trace.push(`sync to ${before}`);
    const flushed = await broker.log.sync();
    assert.ok(flushed >= before, `sync answered ${flushed}, ${before} was written before`);
    this.#flushed(broker, flushed);
    if (this.#random.chance(0.7)) {
      this.#highWatermark = this.#sureEnd;
      broker.log.noteHighWatermark(offset(this.#highWatermark));
    }
  }

  /** Batches below `end` will not go any more. */
  #flushed(broker: Broker, end: bigint): void {
    if (end > this.#sureEnd) this.#sureEnd = end;
    for (const [base, bytes] of this.#current) if (base < end) this.#sure.set(base, bytes);
    this.#sureStart = broker.log.startOffset;
  }

  async #checkpoint(broker: Broker): Promise<void> {
    this.trace.push('checkpoint');
    await broker.directory.checkpoint();
  }

  async #truncate(broker: Broker): Promise<void> {
    const span = Number(broker.log.endOffset - this.#highWatermark);
    if (span <= 0 || this.#highWatermark < broker.log.startOffset) return;
    const to = this.#highWatermark + BigInt(this.#random.below(span + 1));
    this.trace.push(`truncate to ${to} of ${broker.log.endOffset}`);
    // From here on a crash may leave either.
    this.#unsure(to);
    await broker.log.truncateTo(offset(to));
    assert.ok(broker.log.endOffset <= to);
    for (const base of [...this.#current.keys()]) if (base >= broker.log.endOffset) this.#current.delete(base);
    this.checkReplay(broker);
  }

  /** A batch that holds `from` goes as a whole. */
  #unsure(from: bigint): void {
    for (const base of [...this.#sure.keys()].sort((a, b) => (a < b ? 1 : -1))) {
      if (base < from && this.#endOf(base) <= from) break;
      this.#sure.delete(base);
      if (base < this.#sureEnd) this.#sureEnd = base;
    }
    if (from < this.#sureEnd) this.#sureEnd = from;
  }

  #endOf(base: bigint): bigint {
    const bytes = this.#sure.get(base);
    return bytes === undefined ? base : base + BigInt(bytes.readInt32BE(23)) + 1n;
  }

  async #advance(broker: Broker): Promise<void> {
    const span = Number(this.#highWatermark - broker.log.startOffset);
    if (span <= 0) return;
    const to = broker.log.startOffset + BigInt(this.#random.below(span + 1));
    this.trace.push(`advance to ${to}`);
    if (to > this.#startMost) this.#startMost = to;
    // Or not now: what is known of producers is above the high watermark (P3).
    if (await broker.log.advanceStart(offset(to))) this.#sureStart = to;
  }

  async #retain(broker: Broker): Promise<void> {
    this.trace.push(`retain, hw ${this.#highWatermark}`);
    if (this.#highWatermark > this.#startMost) this.#startMost = this.#highWatermark;
    await broker.log.enforceRetention(this.clock.now);
    this.#sureStart = broker.log.startOffset;
  }

  /**
   * After a start: everything promised is there, nothing else than what was written is, and the state fits the log.
   * @param mayDoubt the disk may have kept a later write and lost an earlier one: the log then rightly says that something may be lost.
   */
  async check(broker: Broker, mayDoubt = true): Promise<void> {
    const { log } = broker;
    assert.ok(mayDoubt || !log.health.possibleLoss, 'L3: nothing was lost, and yet the log says that something may be');
    assert.ok(log.endOffset >= this.#sureEnd, `L2: the log ends at ${log.endOffset}, ${this.#sureEnd} was flushed`);
    assert.ok(
      log.endOffset >= this.#highWatermark,
      `L6: the log ends at ${log.endOffset}, the HW was ${this.#highWatermark}`,
    );
    assert.ok(
      log.startOffset >= this.#sureStart,
      `L4: the log starts at ${log.startOffset}, ${this.#sureStart} was persisted`,
    );
    assert.ok(
      log.startOffset <= this.#startMost,
      `L4: the log starts at ${log.startOffset}, nobody asked for more than ${this.#startMost}`,
    );
    assert.equal(log.durableOffset, log.endOffset);
    assert.deepEqual(log.health.damaged, []);
    const read = await readAll(log, log.startOffset, log.endOffset);
    let at: bigint | undefined;
    const met = new Set<bigint>();
    for (const { base, next, bytes } of read) {
      assert.ok(at === undefined ? base <= log.startOffset : base === at, `a batch at ${base} follows ${at}`);
      assert.ok(
        this.#versions.get(base)?.some((version) => version.equals(bytes)),
        `batch ${base} was never written like that`,
      );
      const sure = this.#sure.get(base);
      assert.ok(sure === undefined || sure.equals(bytes), `batch ${base} is not the one that was flushed`);
      met.add(base);
      at = next;
    }
    if (read.length > 0) assert.equal(at, log.endOffset);
    for (const base of this.#sure.keys()) {
      assert.ok(met.has(base) || base < log.startOffset, `L2: batch ${base} was flushed and is gone`);
    }
    this.checkReplay(broker);
  }

  /** P3: every batch of the log once, in order, and the state ends where the log does. */
  checkReplay({ log, replay }: Broker): void {
    const seen = replay.seen.map(BigInt);
    assert.ok(
      seen.every((base, index) => index === 0 || base > (seen[index - 1] ?? 0n)),
      `state saw ${replay.seen.join(' ')}`,
    );
    assert.ok((seen.at(-1) ?? -1n) < log.endOffset, `state saw ${seen.at(-1)}, the log ends at ${log.endOffset}`);
    if (log.endOffset > log.startOffset) assert.equal(replay.end, log.endOffset);
  }

  /** What a restart found is now what there is: another crash may not take any of it. */
  async adopt(broker: Broker): Promise<void> {
    this.#sure.clear();
    this.#versions.clear();
    this.#current.clear();
    for (const { base, bytes } of await readAll(broker.log)) {
      this.#sure.set(base, bytes);
      this.#current.set(base, bytes);
      this.#versions.set(base, [bytes]);
    }
    this.#sureEnd = broker.log.endOffset;
    this.#sureStart = broker.log.startOffset;
    this.trace.push(`recovered ${broker.log.startOffset}-${broker.log.endOffset} (${broker.log.recovery.how})`);
  }
}
