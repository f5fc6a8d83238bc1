import { keyOf, type PartitionKey } from '../clients/routes.ts';
import {
  brokerAddress,
  brokerProgram,
  controllerProgram,
  DATA_DIRECTORY,
  type Deployment,
  embeddedProgram,
  METADATA_DIRECTORY,
} from '../cluster.ts';
import { decodeFile } from '../../../services/broker/src/log/checkpoint-file.ts';
import { PartitionHistory } from '../history.ts';
import { BrokerInvariants, folderOf, type KnownTopic } from '../invariants.ts';
import type { ProcessEnd, ProcessMain, SimulatedProcess } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Machine, World } from '../world.ts';
import { isCompactedTopic, topics } from './topics.ts';

/** A program that cannot start so many times in a row has no way back. */
const FAILED_STARTS_MAX = 400;

/** Whoever reads, as far as the end of a run is concerned. */
export interface Reading {
  /** Next offsets by partition. */
  progress(): ReadonlyMap<PartitionKey, bigint>;
}

/** One machine with controller and broker, and another with the clients: what the faults act on and the judge looks at. */
export class Scene {
  readonly world: World;
  readonly server: Machine;
  readonly clients: Machine;
  readonly deployment: Deployment;
  readonly invariants: BrokerInvariants;
  readonly random: SeededRandom;
  readonly bootstrap: string;
  readonly consumers: Reading[] = [];
  readonly #histories = new Map<string, PartitionHistory>();
  readonly #programs = new Map<string, SimulatedProcess>();
  /** Programs whose end is not followed by a new start. */
  #isOver = false;
  /** Something has been done to the disk that a process may rightly give up on. */
  diskTrouble = false;
  /** Consumers no longer go back: the end is near. */
  isCalm = false;
  lossyStops = 0;
  crashes = 0;

  constructor(world: World, diskBytes: number) {
    this.world = world;
    this.random = world.random.stream('scene');
    this.deployment = this.random.chance(0.5) ? 'apart' : 'embedded';
    this.server = world.machine('b', { capacity: diskBytes });
    for (const path of [DATA_DIRECTORY, METADATA_DIRECTORY]) this.server.disk.provision(path);
    this.clients = world.machine('c');
    this.bootstrap = brokerAddress('b');
    this.invariants = new BrokerInvariants(world, this.server);
  }

  history(topic: string, partition: number): PartitionHistory {
    const name = keyOf(topic, partition);
    let history = this.#histories.get(name);
    if (history === undefined) {
      const plan = topics.find((each) => each.name === topic);
      const hasRetention = Object.keys(plan?.configs ?? {}).some((key) => key.startsWith('retention.'));
      const flushPolicy = plan?.flushPolicy ?? 'commit';
      const isCompacted = isCompactedTopic(topic);
      history = new PartitionHistory({ name, flushPolicy, hasRetention, isCompacted }, (rule, what) =>
        this.world.broken(rule, what),
      );
      this.#histories.set(name, history);
    }
    return history;
  }

  get histories(): Iterable<PartitionHistory> {
    return this.#histories.values();
  }

  /** An `async` topic may have lost what it knew of a producer. */
  mayForget(topic: string): boolean {
    const plan = topics.find(({ name }) => name === topic);
    const mayRot = Array.from(
      { length: plan?.partitions ?? 1 },
      (_, partition) => this.history(topic, partition).isRotten,
    );
    return (plan?.flushPolicy === 'async' && this.lossyStops > 0) || mayRot.includes(true);
  }

  topicCreated(topic: KnownTopic): void {
    this.invariants.topicCreated(topic);
    this.#created.push(topic);
  }

  readonly #created: KnownTopic[] = [];

  /** Topics as the cluster has them. */
  get created(): readonly KnownTopic[] {
    return this.#created;
  }

  /** `controller`, `broker`, or both as `tributary`. */
  startServers(): void {
    if (this.deployment === 'embedded') this.#keepRunning('tributary', embeddedProgram('b'));
    else {
      this.#keepRunning('controller', controllerProgram('b'));
      this.#keepRunning('broker', brokerProgram('b'));
    }
  }

  /** The process that holds the broker, while it runs. */
  get broker(): SimulatedProcess | undefined {
    return this.#programs.get(this.deployment === 'embedded' ? 'tributary' : 'broker');
  }

  get controller(): SimulatedProcess | undefined {
    return this.#programs.get(this.deployment === 'embedded' ? 'tributary' : 'controller');
  }

  losePower(): void {
    this.crashes += 1;
    this.server.losePower();
    this.#lossyStop();
  }

  /** What the judge may no longer expect of `async` topics. */
  #lossyStop(): void {
    this.lossyStops += 1;
    for (const history of this.#histories.values()) history.lossyStop();
  }

  stopServers(): void {
    this.#isOver = true;
    for (const process of this.#programs.values()) process.askToStop();
  }

  restartServers(): void {
    this.#isOver = false;
    this.startServers();
  }

  /** A supervisor: whatever ends is started again after a while, as soon as the machine has power. */
  #keepRunning(name: string, program: ProcessMain): void {
    const random = this.random.stream(`supervisor ${name}`);
    let failedStarts = 0;
    const run = async (): Promise<void> => {
      while (!this.#isOver) {
        if (!this.server.isOn) {
          await this.world.scheduler.pause(20_000);
          continue;
        }
        const end = await this.#runOnce(name, program);
        this.#judge(name, end);
        failedStarts = end.how === 'failed' ? failedStarts + 1 : 0;
        if (failedStarts > FAILED_STARTS_MAX && end.how === 'failed')
          this.world.broken('convergence', `${name} cannot start: ${end.reason}`);
        await this.world.scheduler.pause(random.between(1_000, 300_000));
      }
    };
    run().catch((thrown: unknown) => this.world.scheduler.fail(thrown));
  }

  #runOnce(name: string, program: ProcessMain): Promise<ProcessEnd> {
    const holdsBroker = name !== 'controller';
    if (holdsBroker) {
      this.invariants.brokerStarts();
      this.#tellCheckpoints();
    }
    const process = this.server.start(name, program);
    process.onLog = (event, fields) => this.#noticed(event, fields);
    this.#programs.set(name, process);
    return process.ended;
  }

  #noticed(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (event === 'log-recovered') this.world.coverage.count(`recovery: ${String(fields['how'])}`);
    if (event !== 'compaction-stopped') return;
    const [topic = '', partition] = String(fields['partition']).split('-');
    if (!this.history(topic, Number(partition)).isRotten)
      this.world.broken('L5', `${topic}-${partition} cannot be compacted: ${String(fields['why'])}`);
  }

  #judge(name: string, end: ProcessEnd): void {
    switch (end.how) {
      case 'killed':
        this.crashes += 1;
        return;
      case 'power lost':
      case 'finished':
        return;
      case 'crashed':
        this.crashes += 1;
        this.world.coverage.count('world: process crashed itself');
        if (name !== 'controller') {
          this.#lossyStop();
          // What it had not flushed may be gone with the pages that the disk refused.
          for (const history of this.#histories.values()) if (history.flushPolicy === 'async') history.rotten();
        }
        if (!this.diskTrouble)
          this.world.broken(
            'assertion',
            `${name} crashed itself although nothing was wrong with its disk: ${end.reason}`,
          );
        return;
      case 'failed':
        this.world.coverage.count('world: program could not start');
        if (isBug(end.thrown))
          this.world.broken('assertion', `${name}: ${end.thrown instanceof Error ? end.thrown.stack : end.reason}`);
    }
  }

  /** Where the medium has decayed, only what lies below the checkpointed high watermark is still promised (L3). */
  #tellCheckpoints(): void {
    const file = [...this.server.disk.cachedFilesIn(DATA_DIRECTORY)].find(([name]) => name === 'checkpoints');
    const checkpoints = file === undefined ? undefined : decodeFile(file[1]);
    for (const { name, topicId } of this.#created) {
      const partitions = topics.find((each) => each.name === name)?.partitions ?? 1;
      for (let partition = 0; partition < partitions; partition++) {
        this.history(name, partition).restarted(checkpoints?.get(folderOf(topicId, partition))?.highWatermark ?? 0n);
      }
    }
  }
}

/** Errors that only a mistake in the code can cause. */
function isBug(thrown: unknown): boolean {
  return (
    thrown instanceof Error &&
    ['TypeError', 'ReferenceError', 'RangeError', 'SyntaxError', 'AssertionFailure'].includes(thrown.name)
  );
}
