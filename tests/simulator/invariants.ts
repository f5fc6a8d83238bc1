/** What a broker says, against what its disk really holds at that very moment. */
import { baseOffsetOf, batchHeaderBytes, leaderEpochOf, openBatch, scanBatches } from '@tributary/record';
import { Acks, type FetchedPartition, methods, type ProduceResult } from '@tributary/wire';
import { DATA_DIRECTORY } from './cluster.ts';
import type { Call } from './network/connection.ts';
import type { Machine, World } from './world.ts';

/** A batch as it reached the broker. */
interface AskedBatch {
  readonly topicId: string;
  readonly partition: number;
  readonly acks: Acks;
  readonly records: Uint8Array;
}

export interface KnownTopic {
  readonly topicId: string;
  readonly name: string;
  readonly flushPolicy: 'commit' | 'async';
  readonly isCompacted: boolean;
}

/**
 * Rules checked as each answer leaves the broker, before anything else can happen:
 * P5, P2 (and L2): a batch is acknowledged with acks=all only when its bytes, and the name of their file, are on the platter; with acks=1,
 * when a process would see them; the original of a duplicate likewise. L6: it lies at the offset that was acknowledged. R6: in a leader epoch
 * that was decided after the process had started. R3: nothing is served that a loss of power could take back. E1 is the consumer's.
 */
export class BrokerInvariants {
  readonly #world: World;
  readonly #machine: Machine;
  /** What was asked for on each produce stream, by correlation id. */
  readonly #asked = new WeakMap<Call, Map<number, AskedBatch>>();
  readonly #byId = new Map<string, KnownTopic>();
  /** Batches that were there when the broker's process started, as `folder offset`. */
  #wasThere = new Set<string>();
  /** Newest leader epoch by folder when the broker's process started: it may append only in newer ones. */
  #epochAtStart = new Map<string, number>();
  /** Batches already found on the platter: what is durable stays so. */
  readonly #served = new Set<string>();
  readonly #rotten = new Set<string>();

  constructor(world: World, machine: Machine) {
    this.#world = world;
    this.#machine = machine;
    world.network.onAsked = (call, bytes) => this.#reached(call, bytes);
    world.network.onAnswered = (call, message) => this.#answered(call, message.bytes());
  }

  topicCreated(topic: KnownTopic): void {
    this.#byId.set(topic.topicId, topic);
  }

  /** Called with the disk as the new process will find it. */
  brokerStarts(): void {
    this.#wasThere = new Set();
    this.#epochAtStart = new Map();
    for (const [path, bytes] of this.#machine.disk.cachedFiles()) {
      const folder = path.split('/').at(-2);
      if (!path.endsWith('.log') || folder === undefined) continue;
      for (const at of batchesIn(bytes)) {
        this.#wasThere.add(`${folder} ${baseOffsetOf(bytes, at)}`);
        this.#epochAtStart.set(folder, Math.max(this.#epochAtStart.get(folder) ?? 0, leaderEpochOf(bytes, at)));
      }
    }
  }

  /** The medium under a partition decays: what is served from memory and what lies on the platter may differ from now on. */
  rotten(folder: string): void {
    this.#rotten.add(folder);
  }

  #reached(call: Call, bytes: Uint8Array): void {
    if (call.path !== methods.produce.path) return;
    const { acks, batches } = methods.produce.request.decode(bytes);
    const asked = this.#asked.get(call) ?? new Map<number, AskedBatch>();
    this.#asked.set(call, asked);
    // The broker stamps the batch where it lies: what identifies it is copied.
    for (const { correlationId, topicId, partition, records } of batches) {
      asked.set(correlationId, { topicId, partition, acks, records: records.slice(batchHeaderBytes) });
    }
  }

  #answered(call: Call, bytes: Uint8Array): void {
    if (call.path === methods.produce.path) {
      for (const result of methods.produce.response.decode(bytes).results)
        if (result.errorCode === 0) this.#acknowledged(call, result);
    } else if (call.path === methods.fetch.path) {
      for (const partition of methods.fetch.response.decode(bytes).partitions)
        if (partition.errorCode === 0) this.#fetched(partition);
    }
  }

  #acknowledged(call: Call, result: ProduceResult): void {
    const batch = this.#asked.get(call)?.get(result.correlationId);
    if (batch === undefined || batch.acks === Acks.NONE) {
      this.#world.broken('P5', `an answer to correlation id ${result.correlationId}, which nobody waits for`);
      return;
    }
    this.#asked.get(call)?.delete(result.correlationId);
    // Topics that the scenario does not know yet are being created.
    const topic = this.#byId.get(batch.topicId);
    if (topic === undefined) return;
    const what = `${topic.name}-${batch.partition}: a batch`;
    const mustBeDurable = batch.acks === Acks.ALL && topic.flushPolicy === 'commit';
    const folder = folderOf(topic.topicId, batch.partition);
    if (this.#rotten.has(folder)) return;
    const found = this.#find(folder, batch.records, mustBeDurable);
    if (found.length === 0) {
      if (this.#mayBeGone(topic, folder, result.baseOffset)) return;
      const where = mustBeDurable ? 'on the platter' : 'in the log';
      this.#world.broken(
        mustBeDurable ? 'P5/P2/L2' : 'P5',
        `${what} is acknowledged at ${result.baseOffset} and is not ${where}`,
      );
      return;
    }
    // Without a sequence a retry may be there twice.
    const there = found.find(({ baseOffset }) => baseOffset === result.baseOffset);
    if (there === undefined) {
      const where = found.map(({ baseOffset }) => baseOffset).join(' and ');
      this.#world.broken('L6', `${what} is acknowledged at ${result.baseOffset}, it lies at ${where}`);
      return;
    }
    this.#world.coverage.count('checked: acknowledgement against the disk');
    const before = this.#epochAtStart.get(folder);
    // A duplicate's original may be of an earlier life.
    if (before === undefined || there.leaderEpoch > before || this.#wasThere.has(`${folder} ${there.baseOffset}`))
      return;
    this.#world.broken(
      'R6',
      `${what} was appended in leader epoch ${there.leaderEpoch}; before the broker's start there was epoch ${before}`,
    );
  }

  #find(folder: string, records: Uint8Array, durable: boolean) {
    const { disk } = this.#machine;
    const path = `${DATA_DIRECTORY}/${folder}`;
    const found: { readonly baseOffset: bigint; readonly leaderEpoch: number }[] = [];
    for (const [name, bytes] of durable ? disk.durableFilesIn(path) : disk.cachedFilesIn(path)) {
      if (!name.endsWith('.log')) continue;
      const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let at = file.indexOf(records); at >= 0; at = file.indexOf(records, at + 1)) {
        const header = at - batchHeaderBytes;
        if (header >= 0)
          found.push({ baseOffset: baseOffsetOf(bytes, header), leaderEpoch: leaderEpochOf(bytes, header) });
      }
    }
    return found;
  }

  #fetched(answer: FetchedPartition): void {
    const topic = this.#byId.get(answer.topicId);
    if (topic === undefined || topic.flushPolicy === 'async') return;
    const folder = folderOf(topic.topicId, answer.partition);
    if (this.#rotten.has(folder)) return;
    for (const { at, size } of scanBatches(answer.records)) {
      const baseOffset = baseOffsetOf(answer.records, at);
      const key = `${folder} ${baseOffset}`;
      if (this.#served.has(key)) continue;
      const batch = answer.records.subarray(at, at + size);
      if (!this.#isOnPlatter(folder, batch) && !this.#mayBeGone(topic, folder, baseOffset)) {
        const first = openBatch(batch).records[0]?.valueText()?.split(' ')[0];
        this.#world.broken(
          'R3/L2',
          `${topic.name}-${answer.partition}: offset ${baseOffset} (${first}) is served and is not on the platter`,
        );
        return;
      }
      this.#served.add(key);
    }
  }

  #isOnPlatter(folder: string, batch: Uint8Array): boolean {
    for (const [name, bytes] of this.#machine.disk.durableFilesIn(`${DATA_DIRECTORY}/${folder}`)) {
      if (name.endsWith('.log') && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(batch))
        return true;
    }
    return false;
  }

  /** Retention has removed its file; or it is a closed one, and compaction may have written it anew. */
  #mayBeGone({ isCompacted }: KnownTopic, folder: string, baseOffset: bigint): boolean {
    const bases = [...this.#machine.disk.cachedFilesIn(`${DATA_DIRECTORY}/${folder}`)]
      .filter(([name]) => name.endsWith('.log'))
      .map(([name]) => BigInt(name.slice(0, -'.log'.length)));
    if (isCompacted) return bases.some((base) => base > baseOffset);
    return bases.length > 0 && bases.every((base) => base > baseOffset);
  }
}

export const folderOf = (topicId: string, partition: number): string => `${topicId}-${partition}`;

function* batchesIn(bytes: Uint8Array): Generator<number> {
  try {
    for (const { at } of scanBatches(bytes)) yield at;
  } catch {
    // What a crash left at the end is no batch.
  }
}
