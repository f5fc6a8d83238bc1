/** What is said about a partition, against what the disks of its members hold at that very moment. */
import { batchHeaderBytes, crc32c, scanBatches } from '@tributary/record';
import { Acks, type FetchedPartition, methods, type ProduceResult } from '@tributary/wire';
import type { Call } from '../../network/connection.ts';
import type { Member } from '../member.ts';
import { type Depth, endOn, findOn } from '../on-disk.ts';
import { isCompacted, topicNamed } from '../plan.ts';
import type { KnownPartition, Stage } from '../stage.ts';
import { described } from '../truth.ts';

/** What a leader knows of the others is not older than this: it hears of them, or leads no longer. */
const STALE_MS_MAX = 10_000;

/** A batch as it reached a broker. */
interface AskedBatch {
  readonly folder: string;
  readonly acks: Acks;
  /** Without the header, which the leader stamps. */
  readonly records: Uint8Array;
  /** Nobody was ever asked for it before: what is there of it was appended for this request. */
  readonly isFirst: boolean;
}

/**
 * P5, P2, L2: what is acknowledged with acks=all is on the platter (under `async`: in the files) of every member of the ISR, and on as many
 * replicas as the effective min ISR says. R3: no high watermark that anybody was ever shown is beyond what a member of the ISR or ELR has; so it
 * is when somebody joins, too (R4). R6: what a broker appends is of an epoch that was decided after it started, and decided for it.
 */
export class DurabilityRules {
  readonly #stage: Stage;
  readonly #asked = new WeakMap<Call, Map<number, AskedBatch>>();
  /** The highest high watermark that anybody was shown, by folder. */
  readonly #shown = new Map<string, bigint>();
  /** Epochs in which partitions were when a broker's process started, by broker and folder. */
  readonly #epochsAtStart = new Map<Member, ReadonlyMap<string, number>>();
  readonly #startedAt = new Map<Member, bigint>();

  /** What a leader says to a follower. */
  onReplicate: ((call: Call, bytes: Uint8Array) => void) | undefined;

  constructor(stage: Stage) {
    this.#stage = stage;
    stage.world.network.onAsked = (call, bytes) => this.#reached(call, bytes);
    stage.world.network.onAnswered = (call, message) => this.#answered(call, message.bytes());
  }

  starts(member: Member): void {
    const epochs = new Map<string, number>();
    for (const { topicId, partition, leaderEpoch } of this.#stage.truth.image.partitions())
      epochs.set(`${topicId}-${partition}`, leaderEpoch);
    this.#epochsAtStart.set(member, epochs);
    this.#startedAt.set(member, this.#stage.truth.image.revision);
  }

  /** The controller has let in a registration of this broker: whatever its disk lacks, the ISRs no longer count on it. */
  letIn(member: Member, registeredAt: bigint): void {
    if (registeredAt > member.lostAt) member.lacks = 'nothing';
  }

  /** Revision of the store when the broker's process last started. */
  startedAt(member: Member): bigint {
    return this.#startedAt.get(member) ?? 0n;
  }

  /** An `async` partition goes on from what is left. */
  begunAnew(folder: string): void {
    this.#shown.delete(folder);
  }

  /** In which epoch the partition was when the broker's process started. */
  epochAtStart(member: Member, folder: string): number {
    return this.#epochsAtStart.get(member)?.get(folder) ?? -1;
  }

  /** Where a replica's log must end if it says so. */
  durableEnd(member: Member, folder: string): bigint {
    return endOn(member.machine.disk, folder, this.#depth(folder)) ?? 0n;
  }

  /** Somebody joined or left, or the leader changed. */
  membersChanged(folder: string): void {
    this.#checkMembers(folder, 'as its members changed');
  }

  /** Somebody was told that all below `offset` is committed. */
  shown(folder: string, offset: bigint, how: string): void {
    if (offset <= (this.#shown.get(folder) ?? 0n)) return;
    this.#shown.set(folder, offset);
    this.#checkMembers(folder, how);
  }

  #checkMembers(folder: string, when: string): void {
    const shown = this.#shown.get(folder) ?? 0n;
    const partition = this.#stage.truth.partition(folder);
    if (partition === undefined || shown === 0n) return;
    for (const node of [...partition.isr, ...partition.eligibleLeaderReplicas]) {
      const member = this.#stage.broker(node);
      const replica = partition.replicas.find(({ nodeId }) => nodeId === node);
      if (member === undefined || replica === undefined || !this.#mustHave(member, folder)) continue;
      const end = endOn(member.machine.disk, folder, this.#depth(folder));
      this.#stage.world.coverage.count('checked: high watermark against the disk of a member');
      if ((end ?? 0n) >= shown) continue;
      const what = `${this.#stage.nameOf(folder)}, ${described(partition)}: ${shown} was shown (${when})`;
      this.#stage.world.broken('R3/R4', `${what}, and ${member.name} has it up to ${end ?? 'nothing'}`);
      return;
    }
  }

  /** What it lost in a way that the rules allow for is made up for when it registers. */
  #mustHave(member: Member, folder: string): boolean {
    if (member.lacks === 'all') return false;
    return member.lacks === 'nothing' || this.#depth(folder) === 'platter';
  }

  #depth(folder: string): Depth {
    return this.#stage.truth.partition(folder)?.effectiveFlushPolicy === 'async' ? 'cache' : 'platter';
  }

  #reached(call: Call, bytes: Uint8Array): void {
    if (call.path !== methods.produce.path) return;
    const { acks, batches } = methods.produce.request.decode(bytes);
    const asked = this.#asked.get(call) ?? new Map<number, AskedBatch>();
    this.#asked.set(call, asked);
    for (const { correlationId, topicId, partition, records: batch } of batches) {
      const folder = `${topicId}-${partition}`;
      const records = batch.slice(batchHeaderBytes);
      const mark = `${folder} ${records.length} ${crc32c(records)}`;
      asked.set(correlationId, { folder, acks, records, isFirst: !this.#everAsked.has(mark) });
      this.#everAsked.add(mark);
    }
  }

  #answered(call: Call, bytes: Uint8Array): void {
    if (call.path === methods.produce.path) {
      for (const result of methods.produce.response.decode(bytes).results)
        if (result.errorCode === 0) this.#acknowledged(call, result);
    } else if (call.path === methods.fetch.path) {
      for (const answer of methods.fetch.response.decode(bytes).partitions)
        if (answer.errorCode === 0) this.#fetched(call, answer);
    } else if (call.path === methods.replicate.path) this.onReplicate?.(call, bytes);
  }

  #acknowledged(call: Call, result: ProduceResult): void {
    const batch = this.#asked.get(call)?.get(result.correlationId);
    if (batch === undefined || batch.acks === Acks.NONE) {
      this.#stage.world.broken('P5', `an answer to correlation id ${result.correlationId}, which nobody waits for`);
      return;
    }
    this.#asked.get(call)?.delete(result.correlationId);
    const known = this.#stage.partition(batch.folder);
    const server = this.#stage.member(call.server);
    if (known === undefined || server === undefined) return;
    const isForAll = batch.acks === Acks.ALL;
    const depth: Depth = isForAll ? this.#depth(batch.folder) : 'cache';
    const there = this.#find(server, batch, result.baseOffset, depth);
    // Where it was forwarded, the one that answers need not be the one that has it.
    if (there !== undefined && batch.isFirst)
      this.#checkEpoch(server, batch.folder, there.leaderEpoch, result.baseOffset);
    if (!isForAll) return;
    this.#checkHolders(batch, result.baseOffset, known);
  }

  #checkHolders(batch: AskedBatch, baseOffset: bigint, known: KnownPartition): void {
    const { truth, world } = this.#stage;
    const { folder } = batch;
    const partition = truth.partition(folder);
    if (partition === undefined) return;
    const depth = this.#depth(folder);
    const has: number[] = [];
    const lacks: number[] = [];
    for (const { nodeId } of partition.replicas) {
      const member = this.#stage.broker(nodeId);
      if (member === undefined) continue;
      const isExcused = !this.#mustHave(member, folder);
      if (isExcused || this.#find(member, batch, baseOffset, depth) !== undefined) has.push(nodeId);
      else lacks.push(nodeId);
    }
    const what = `${this.#stage.nameOf(folder)}, ${described(partition)}: a batch is acknowledged at ${baseOffset}`;
    if (isCompacted(topicNamed(known.topic))) return this.shown(folder, baseOffset + 1n, 'an acknowledgement');
    const missing = partition.isr.filter((node) => lacks.includes(node));
    world.coverage.count('checked: acknowledgement against the disks');
    if (missing.length > 0) world.broken('P5', `${what} and is not durable on ${missing.join(', ')}`);
    // What was durable on a disk that has been replaced meanwhile was so when its broker said it; the leader may not have heard of it.
    const had = partition.replicas.filter(({ nodeId }) => !has.includes(nodeId) && this.#wasReplaced(nodeId)).length;
    if (has.length + had < truth.leastMinIsr(folder)) world.broken('P5', `${what} and is only on ${has.join(', ')}`);
    this.shown(folder, baseOffset + 1n, 'an acknowledgement');
  }

  #wasReplaced(node: number): boolean {
    const replacedMicros = this.#stage.broker(node)?.replacedMicros ?? Number.NEGATIVE_INFINITY;
    return this.#stage.world.scheduler.nowMicros - replacedMicros < STALE_MS_MAX * 1_000;
  }

  #find(member: Member, batch: AskedBatch, baseOffset: bigint, depth: Depth) {
    const found = findOn(member.machine.disk, batch.folder, batch.records, depth);
    return found.find((each) => each.baseOffset === baseOffset);
  }

  #checkEpoch(server: Member, folder: string, leaderEpoch: number, baseOffset: bigint): void {
    const { truth, world } = this.#stage;
    const what = `${this.#stage.nameOf(folder)}: the batch at ${baseOffset} is of leader epoch ${leaderEpoch}`;
    const decision = truth.decision(folder, leaderEpoch);
    if (decision?.leader === undefined) return world.broken('R6', `${what}, in which nobody was elected`);
    world.coverage.count('checked: epoch of a batch');
    // Where it was forwarded, it is another's.
    if (decision.leader === server.nodeId && leaderEpoch <= this.epochAtStart(server, folder))
      world.broken('R6', `${what}, and ${server.name} started after that`);
  }

  /** Of every batch that anybody was ever asked to append. */
  readonly #everAsked = new Set<string>();

  #fetched(call: Call, answer: FetchedPartition): void {
    const folder = `${answer.topicId}-${answer.partition}`;
    const known = this.#stage.partition(folder);
    if (known === undefined) return;
    for (const { at, size } of scanBatches(answer.records)) if (at + size > answer.records.length) return;
    this.shown(folder, answer.highWatermark, `a fetch answer of ${call.server}`);
  }
}
