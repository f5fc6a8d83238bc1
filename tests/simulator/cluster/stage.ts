/** Brokers, controllers and, where a story has groups, coordinators on machines of their own, the metadata store, and one machine with all clients: what faults act on and rules look at. */
import { keyOf } from '../clients/routes.ts';
import { brokerAddress, brokerProgram, controllerProgram, coordinatorProgram, DATA_DIRECTORY } from '../cluster.ts';
import { PartitionHistory } from '../history.ts';
import type { ProcessEnd } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Machine, World } from '../world.ts';
import { Member, type MemberObserver } from './member.ts';
import {
  ELECTION_TIMEOUT_MS,
  isCompacted,
  REPLICA_LAG_MS,
  SESSION_TIMEOUT_MS,
  someTopics,
  topicNamed,
  type TopicPlan,
} from './plan.ts';
import { DurabilityRules } from './rules/durability.ts';
import { DeathRules } from './rules/deaths.ts';
import { MetadataRules } from './rules/metadata.ts';
import { ReplicationRules } from './rules/replication.ts';
import { Truth } from './truth.ts';

const DISK_BYTES = 2_000_000;
/** Node ids of controllers begin here. */
const CONTROLLERS_FROM = 101;
const COORDINATORS_FROM = 201;

export interface KnownPartition {
  readonly topic: string;
  readonly partition: number;
  readonly folder: string;
}

/** Whoever reads, as far as the end of a run is concerned. */
export interface Reading {
  progress(): ReadonlyMap<string, bigint>;
}

/** What a story adds. */
export interface StageOptions {
  readonly coordinators?: number;
  /** Instead of those of the seed. */
  readonly topics?: readonly TopicPlan[];
}

export class Stage {
  readonly world: World;
  readonly random: SeededRandom;
  readonly truth: Truth;
  readonly brokers: readonly Member[];
  readonly controllers: readonly Member[];
  readonly coordinators: readonly Member[];
  readonly clients: Machine;
  readonly topics: readonly TopicPlan[];
  readonly bootstrap: readonly [string, ...string[]];
  readonly durability: DurabilityRules;
  readonly consumers: Reading[] = [];
  readonly #histories = new Map<string, PartitionHistory>();
  readonly #partitions = new Map<string, KnownPartition>();
  /** Consumers no longer go back: the end is near. */
  isCalm = false;
  /** Programs whose end is not followed by a new start. */
  isOver = false;
  crashes = 0;
  /** What members log, as the stage hears it. */
  onLogged: ((event: string, fields: Readonly<Record<string, unknown>>) => void) | undefined;

  constructor(world: World, { coordinators = 0, topics }: StageOptions = {}) {
    this.world = world;
    this.random = world.random.stream('stage');
    this.truth = new Truth(world.metadata, world.trace);
    const count = this.random.pick([3, 3, 3, 4, 5]);
    this.brokers = Array.from({ length: count }, (_, index) => this.#broker(index + 1));
    this.controllers = Array.from({ length: this.random.pick([2, 2, 3]) }, (_, index) => this.#controller(index + 1));
    this.coordinators = Array.from({ length: coordinators }, (_, index) => this.#coordinator(index + 1));
    this.clients = world.machine('c');
    this.topics = topics ?? someTopics(this.random.stream('topics'));
    const [first = 'b1:9095', ...rest] = this.brokers.map(({ name }) => brokerAddress(name));
    this.bootstrap = [first, ...rest];
    // Whoever waits for an answer that is lost does nothing else for seconds.
    world.metadata.onLost = ({ machine }) => this.member(machine)?.shaken();
    this.durability = new DurabilityRules(this);
    // They listen by themselves.
    for (const rules of [new MetadataRules(this), new DeathRules(this), new ReplicationRules(this)]) rules.begin();
  }

  get members(): readonly Member[] {
    return [...this.brokers, ...this.controllers, ...this.coordinators];
  }

  broker(nodeId: number): Member | undefined {
    return this.brokers.find((each) => each.nodeId === nodeId);
  }

  /** On a machine of this name. */
  member(machine: string): Member | undefined {
    return this.members.find(({ name }) => name === machine);
  }

  /** The controller that the store says is active. */
  get active(): Member | undefined {
    const nodeId = this.truth.image.controller?.nodeId;
    return this.controllers.find((each) => each.nodeId === nodeId);
  }

  start(): void {
    for (const member of this.members) member.keepRunning(() => this.isOver);
  }

  topicCreated(topic: string, topicId: string, partitions: number): void {
    for (let partition = 0; partition < partitions; partition++) {
      const folder = `${topicId}-${partition}`;
      this.#partitions.set(folder, { topic, partition, folder });
    }
  }

  /** Of topics whose creation has been answered. */
  get partitions(): Iterable<KnownPartition> {
    return this.#partitions.values();
  }

  /** By its folder in a data directory. */
  partition(folder: string): KnownPartition | undefined {
    return this.#partitions.get(folder);
  }

  /** For sentences. */
  nameOf(folder: string): string {
    const known = this.#partitions.get(folder);
    return known === undefined ? folder : keyOf(known.topic, known.partition);
  }

  history(topic: string, partition: number): PartitionHistory {
    const name = keyOf(topic, partition);
    let history = this.#histories.get(name);
    if (history === undefined) {
      const plan = topicNamed(topic);
      const flushPolicy = plan?.flushPolicy ?? 'commit';
      const promise = { name, flushPolicy, hasRetention: false, isCompacted: isCompacted(plan), isReplicated: true };
      history = new PartitionHistory(promise, (rule, what) => this.world.broken(rule, what));
      this.#histories.set(name, history);
    }
    return history;
  }

  get histories(): Iterable<PartitionHistory> {
    return this.#histories.values();
  }

  /** An `async` partition that shows possible loss may have lost what it knew of a producer. */
  mayForget(topic: string): boolean {
    const ids = [...this.#partitions.values()].filter((each) => each.topic === topic);
    return ids.some(({ folder }) => this.truth.partition(folder)?.possibleLoss === true);
  }

  /** What a client tells of itself. */
  observers() {
    return {
      history: (topic: string, partition: number) => this.history(topic, partition),
      count: (what: string) => this.world.coverage.count(what),
      broken: (rule: string, what: string) => this.world.broken(rule, what),
      mayForget: (topic: string) => this.mayForget(topic),
    };
  }

  #broker(nodeId: number): Member {
    const machine = this.world.machine(`b${nodeId}`, { capacity: DISK_BYTES });
    machine.disk.provision(DATA_DIRECTORY);
    const program = brokerProgram({
      machine: machine.name,
      nodeId,
      rack: `rack ${nodeId % 2}`,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      configs: { 'replica.lag.time.max.ms': String(REPLICA_LAG_MS) },
    });
    return new Member(this.world, 'broker', nodeId, machine, program, this.#observer);
  }

  #controller(index: number): Member {
    const machine = this.world.machine(`k${index}`);
    const nodeId = CONTROLLERS_FROM + index - 1;
    const program = controllerProgram({
      machine: machine.name,
      nodeId,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      replicationFactor: 3,
      minInsyncReplicas: 2,
    });
    return new Member(this.world, 'controller', nodeId, machine, program, this.#observer);
  }

  #coordinator(index: number): Member {
    const machine = this.world.machine(`g${index}`);
    const nodeId = COORDINATORS_FROM + index - 1;
    const program = coordinatorProgram({
      machine: machine.name,
      nodeId,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
    });
    return new Member(this.world, 'coordinator', nodeId, machine, program, this.#observer);
  }

  readonly #observer: MemberObserver = {
    starts: (member) => this.durability.starts(member),
    ended: (member, end) => this.#ended(member, end),
    logged: (member, event, fields) => this.#logged(member, event, fields),
    revision: () => this.truth.image.revision,
  };

  #logged(member: Member, event: string, fields: Readonly<Record<string, unknown>>): void {
    this.onLogged?.(event, fields);
    if (event === 'log-recovered') this.world.coverage.count(`recovery: ${String(fields['how'])}`);
    if (event !== 'compaction-stopped') return;
    this.world.broken(
      'L5',
      `${member.name}: ${String(fields['partition'])} cannot be compacted: ${String(fields['why'])}`,
    );
  }

  #ended(member: Member, end: ProcessEnd): void {
    switch (end.how) {
      case 'killed':
      case 'power lost':
        this.crashes += 1;
        return;
      case 'finished':
        return;
      case 'crashed':
        this.crashes += 1;
        member.lostUnflushed();
        this.world.coverage.count('world: process crashed itself');
        if (!member.diskTrouble)
          this.world.broken(
            'assertion',
            `${member.name} crashed itself although nothing was wrong there: ${end.reason}`,
          );
        return;
      case 'failed':
        this.world.coverage.count('world: program could not start');
        if (isBug(end.thrown))
          this.world.broken(
            'assertion',
            `${member.name}: ${end.thrown instanceof Error ? end.thrown.stack : end.reason}`,
          );
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
