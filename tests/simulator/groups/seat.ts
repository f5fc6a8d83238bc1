/** A place in a group: a machine on which one member after the other runs, with the client library, until the end of the run. */
import { TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import type { Consumer } from '../../../packages/client/src/consumer.ts';
import type { PartitionRecords } from '../../../packages/client/src/hand-out.ts';
import type { TopicPartition } from '../../../packages/client/src/topic-partition.ts';
import { connected } from '../clients/library-producer.ts';
import { Peers } from '../clients/peers.ts';
import { contextOf, keyOf } from '../clients/routes.ts';
import type { Stage } from '../cluster/stage.ts';
import type { ProcessPorts, SimulatedProcess } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Machine } from '../world.ts';
import type { GroupJudge } from './group-judge.ts';
import { ownAssignor } from './own-assignor.ts';
import type { GroupPlan, SeatPlan } from './plan.ts';

const POLL_MS = 300;
const POLL_RECORDS = 20;
/** How long one life lasts, ms, while things go wrong. */
const LIFE_MS = [200, 9_000] as const;
const ABSENCE_MS = [10, 3_000] as const;

interface FirstCommit {
  readonly memberId: string;
  readonly memberEpoch: number;
  readonly offsets: readonly { readonly topic: string; readonly partition: number; readonly offset: bigint }[];
}

export class Seat {
  readonly #stage: Stage;
  readonly #group: GroupPlan;
  readonly #plan: SeatPlan;
  readonly #judge: GroupJudge;
  readonly #machine: Machine;
  readonly #random: SeededRandom;
  #process: SimulatedProcess | undefined;
  #lives = 0;
  #isOver = false;
  /** The first commit of the present membership that was acknowledged. */
  #first: FirstCommit | undefined;

  constructor(stage: Stage, group: GroupPlan, plan: SeatPlan, judge: GroupJudge) {
    this.#stage = stage;
    this.#group = group;
    this.#plan = plan;
    this.#judge = judge;
    this.#machine = stage.world.machine(`m${plan.name}`);
    this.#random = stage.random.stream(`seat ${plan.name}`);
  }

  get name(): string {
    return this.#machine.name;
  }

  get runs(): boolean {
    return this.#process?.alive === true && !this.#process.paused;
  }

  /** The run is over: whoever sits here is of no interest any more. */
  finish(): void {
    this.#isOver = true;
    this.#process?.kill();
  }

  /** One member after the other; the last one, once it is calm, stays. */
  keepRunning(): void {
    const run = async (): Promise<void> => {
      const { scheduler } = this.#stage.world;
      await scheduler.pause(this.#random.between(0, 2_000) * 1_000);
      while (!this.#isOver) {
        await this.#live();
        if (!this.#isOver) await scheduler.pause(this.#random.between(...ABSENCE_MS) * 1_000);
      }
    };
    run().catch((thrown: unknown) => this.#stage.world.scheduler.fail(thrown));
  }

  async #live(): Promise<void> {
    const member = `${this.name} life ${++this.#lives}`;
    const random = this.#random.stream(member);
    const process = this.#machine.start('member', (ports, stop) => this.#work(member, ports, stop, random));
    this.#process = process;
    this.#meddle(process, random).catch((thrown: unknown) => this.#stage.world.scheduler.fail(thrown));
    const end = await process.ended;
    this.#judge.gone(member);
    if (end.how === 'failed' && !this.#isOver) throw end.thrown;
  }

  /** What becomes of this life, while things go wrong. */
  async #meddle(process: SimulatedProcess, random: SeededRandom): Promise<void> {
    const { scheduler, coverage } = this.#stage.world;
    await scheduler.pause(random.between(...LIFE_MS) * 1_000);
    if (this.#stage.isCalm || !process.alive) return;
    const how = random.pick(['kill', 'close', 'pause', 'pause', 'stay'] as const);
    switch (how) {
      case 'kill':
        coverage.count('group: member killed');
        process.kill();
        break;
      case 'close':
        coverage.count('group: member closed');
        process.askToStop();
        break;
      case 'pause':
        coverage.count('group: member paused');
        this.#machine.pause(process);
        await scheduler.pause(random.between(100, 2 * this.#group.sessionTimeoutMs) * 1_000);
        this.#machine.resume(process);
        break;
      case 'stay':
        break;
    }
  }

  async #work(member: string, ports: ProcessPorts, stop: AbortSignal, random: SeededRandom): Promise<void> {
    const { groupId, isStrict, sessionTimeoutMs, assignor } = this.#group;
    const { instanceId, autoCommit, usesPattern } = this.#plan;
    await using cluster = await connected(member, this.#stage.bootstrap, ports, stop).catch((thrown: unknown) => {
      if (stop.aborted) return undefined;
      throw thrown;
    });
    if (cluster === undefined) return;
    await using consumer = cluster.consumer({
      groupId,
      sessionTimeoutMs,
      assignor: assignor === 'own' ? ownAssignor(random, (what) => this.#stage.world.coverage.count(what)) : assignor,
      autoCommit,
      autoCommitIntervalMs: 700,
      strictOwnership: isStrict,
      autoOffsetReset: 'earliest',
      maxPartitionFetchBytes: random.pick([2_000, 100_000]),
      rack: random.pick(['', 'rack 0', 'rack 1']),
      ...(instanceId !== undefined && { groupInstanceId: instanceId }),
    });
    const names = (partitions: readonly TopicPartition[]): string[] =>
      partitions.map(({ topic, partition }) => keyOf(topic, partition));
    const count = (what: string): void => this.#stage.world.coverage.count(what);
    const relinquish = (what: string) => (partitions: readonly TopicPartition[]) => {
      for (const name of names(partitions)) {
        count(what);
        this.#judge.relinquished(member, name);
      }
    };
    const subscription = {
      ...(usesPattern ? { pattern: 'ledger|orders' } : { topics: ['ledger', 'orders'] }),
      onAssigned: (partitions: readonly TopicPartition[]) => {
        for (const name of names(partitions)) this.#judge.assigned(member, name);
      },
      onRevoked: relinquish('group: partition revoked'),
      onLost: relinquish('group: partition lost'),
    };
    for (;;) {
      try {
        await consumer.subscribe(subscription, { signal: stop, timeoutMs: 5_000 });
        break;
      } catch (thrown) {
        if (stop.aborted) return;
        this.#failed(member, TributaryError.from(thrown));
      }
    }
    while (!stop.aborted) {
      try {
        const groups = await consumer.pollGrouped({ signal: stop, timeoutMs: POLL_MS, maxRecords: POLL_RECORDS });
        for (const group of groups) this.#took(member, group);
        if (random.chance(0.5)) await ports.clock.sleep(random.between(1, 60), stop);
        if (!autoCommit && groups.length > 0) {
          await this.#commit(member, consumer, groups, stop);
          if (random.chance(0.2)) await this.#repeatFirst(ports, random);
        }
      } catch (thrown) {
        if (stop.aborted) return;
        const error = TributaryError.from(thrown);
        this.#failed(member, error);
        // Its place is another's: each further poll would say so again, at once.
        if (error.error === 'FENCED_INSTANCE_ID') return;
      }
    }
  }

  #took(member: string, { topic, partition, records }: PartitionRecords<Uint8Array, Uint8Array>): void {
    this.#judge.handedOut(
      member,
      keyOf(topic, partition),
      records.map(({ offset }) => offset),
    );
  }

  async #commit(
    member: string,
    consumer: Consumer,
    groups: readonly PartitionRecords<Uint8Array, Uint8Array>[],
    signal: AbortSignal,
  ): Promise<void> {
    const offsets = groups.flatMap(({ topic, partition, records }) => {
      const last = records.at(-1);
      return last === undefined ? [] : [{ topic, partition, offset: last.offset + 1n }];
    });
    await consumer.commit(offsets, { signal, timeoutMs: 3_000 });
    for (const { topic, partition, offset } of offsets) this.#judge.committed(member, keyOf(topic, partition), offset);
    const { memberId = '', memberEpoch = 0 } = consumer.groupMetadata ?? {};
    if (this.#first?.memberId !== memberId) this.#first = { memberId, memberEpoch, offsets };
  }

  /** A copy of the first commit of this membership, which has been on its way all the time (G4): whatever is answered, nobody listens. */
  async #repeatFirst(ports: ProcessPorts, random: SeededRandom): Promise<void> {
    if (this.#first === undefined) return;
    const { memberId, memberEpoch } = this.#first;
    const offsets = this.#first.offsets.flatMap(({ topic, partition, offset }) => {
      const known = [...this.#stage.partitions].find((each) => each.topic === topic && each.partition === partition);
      const topicId = known?.folder.slice(0, known.folder.lastIndexOf('-'));
      return topicId === undefined ? [] : [{ topicId, partition, offset, leaderEpoch: -1, metadata: 'late' }];
    });
    const { groupId } = this.#group;
    const request = { context: contextOf(memberId), groupId, memberId, memberEpoch, offsets, sequence: 1n };
    await using peers = new Peers(ports.transport);
    const peer = peers.to(random.pick(this.#stage.bootstrap));
    this.#stage.world.coverage.count('group: late copy of a commit');
    await peer
      .unary(methods.commitOffsets, { ...request, validateOnly: false }, { deadlineMs: 500 })
      .catch(() => undefined);
  }

  /** Only what can happen to a member that has been slow or alone. */
  #failed(member: string, error: TributaryError): void {
    this.#stage.world.coverage.count(`group: failed with ${error.error}`);
    // INVALID_REQUEST: what it commits has been taken from it meanwhile.
    const isExpected =
      error.retriable ||
      [
        'INVALID_REQUEST',
        'STALE_MEMBER_EPOCH',
        'UNKNOWN_MEMBER_ID',
        'FENCED_MEMBER_EPOCH',
        'FENCED_INSTANCE_ID',
      ].includes(error.error);
    if (!isExpected) this.#stage.world.broken('judge', `${member}: ${error.error}: ${error.message}`);
  }
}
