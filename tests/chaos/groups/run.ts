/** A group at work in a cluster: a producer, members that are processes of their own, and what has been heard of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Producer } from '@tributary/client';
import type { ChaosCluster } from '../cluster.ts';
import { nowMs } from './line.ts';
import { type Commit, Seat, type Told } from './seat.ts';
import { judgeGroup } from './verdict.ts';

/** To each partition a record so often, ms. */
const paceMs = 20;
const seatNames: readonly string[] = ['member-1', 'member-2', 'member-3'];
/** The shortest that coordinators allow here: a run waits for several to end. */
export const memberSessionMs = 3_000;
const closeMs = 2_000;

export interface GroupShape {
  readonly groupId: string;
  readonly isStrict: boolean;
  readonly members: number;
  /** A planted bug. */
  readonly commitsFirst?: boolean;
}

export class GroupRun implements AsyncDisposable {
  readonly cluster: ChaosCluster;
  readonly shape: GroupShape;
  readonly topic: string;
  readonly seats: readonly Seat[];
  readonly errors: string[] = [];
  readonly #told: Told[] = [];
  readonly #acknowledged = new Map<number, bigint>();
  /** The next offset after what anybody has handed out, and when that was last, by partition. */
  readonly #handed = new Map<number, { readonly end: number; readonly at: number; readonly by: string }>();
  readonly #committedAt = new Map<number, number>();
  readonly #stop = new AbortController();
  #listeners: (() => void)[] = [];
  #producer: Producer | undefined;
  #producing: Promise<void> = Promise.resolve();
  #unsettled = 0;

  private constructor(cluster: ChaosCluster, shape: GroupShape, topic: string) {
    this.cluster = cluster;
    this.shape = shape;
    this.topic = topic;
    const plan = {
      ...{ bootstrap: cluster.processes.bootstrap, clientId: '', groupId: shape.groupId, topic },
      ...{ isStrict: shape.isStrict, sessionTimeoutMs: memberSessionMs, commitsFirst: shape.commitsFirst ?? false },
    };
    this.seats = seatNames
      .slice(0, shape.members)
      .map((name) => new Seat(name, cluster.placeOf(name), plan, (told) => this.#hear(told)));
  }

  /** Resolves when each partition is somebody's, is read, and is committed. */
  static async begin(cluster: ChaosCluster, shape: GroupShape): Promise<GroupRun> {
    const run = new GroupRun(cluster, shape, await cluster.newTopic());
    try {
      run.#producing = run.#produce();
      for (const seat of run.seats) seat.start();
      await run.goesOn(nowMs(), 30_000, 'the group is at work');
      return run;
    } catch (thrown) {
      await run[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** Resolves at once when any member has asked for a commit: it is on its way. @param seat any. */
  async commitAsked(withinMs: number, seat?: Seat): Promise<boolean> {
    return await this.#heard(
      (told) => told.kind === 'committing' && (seat === undefined || told.member.startsWith(`${seat.name} `)),
      withinMs,
    );
  }

  async commitAnswered(withinMs: number): Promise<boolean> {
    return await this.#heard(({ kind }) => kind === 'committed', withinMs);
  }

  /** Of one seat, or of all. */
  commits(seat?: Seat): readonly Commit[] {
    return (seat === undefined ? this.seats : [seat]).flatMap(({ commits }) => commits);
  }

  /** @param isWhole each partition also has one owner, and every seat a member. @throws saying what did not go on. @returns after how many ms it did. */
  async goesOn(since: number, withinMs: number, what: string, isWhole = true): Promise<number> {
    const missing = (): string | undefined => this.#missing(since, isWhole);
    await this.until(
      () => missing() === undefined,
      withinMs,
      () => `${what}: ${missing() ?? 'late'}`,
    );
    return Math.round(nowMs() - since);
  }

  async until(condition: () => boolean, withinMs: number, what: () => string): Promise<void> {
    const deadline = nowMs() + withinMs;
    while (!condition()) {
      if (nowMs() > deadline) {
        const said = this.seats.map((seat) => `${seat.name} has ${seat.assignment.join()} ${seat.said.slice(-500)}`);
        throw new Error(`${what()} (not within ${withinMs} ms). ${said.join('; ')}`);
      }
      await sleep(10);
    }
  }

  /** Produces no more, waits until everything has been read, ends the members, and judges. @returns what does not hold. */
  async finish(withinMs: number): Promise<{ readonly broken: readonly string[]; readonly told: string }> {
    this.#stop.abort();
    await this.#producing;
    await this.until(
      () => this.#unsettled === 0,
      withinMs,
      () => `${this.#unsettled} records have no outcome`,
    );
    const behind = (): number[] =>
      [...this.#acknowledged]
        .filter(([partition, end]) => (this.#handed.get(partition)?.end ?? 0) < Number(end))
        .map(([partition]) => partition);
    await this.until(
      () => behind().length === 0,
      withinMs,
      () => `partitions ${behind().join()} are not read to their end`,
    );
    for (const seat of this.seats) seat.kill();
    await Promise.all(this.seats.map((seat) => seat.gone()));
    const { groupId, isStrict } = this.shape;
    const { broken, counts } = judgeGroup({ groupId, isStrict }, this.#told, this.#acknowledged);
    const figures = [...counts].map(([what, count]) => `${what.replace('group: ', '')} ${count}`);
    return { broken: [...broken, ...this.errors], told: figures.join(', ') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const seat of this.seats) seat.kill();
    await Promise.all(this.seats.map((seat) => seat.gone()));
    await this.#producer?.close(AbortSignal.timeout(closeMs)).catch(() => undefined);
    await this.#producing;
  }

  async #produce(): Promise<void> {
    const producer = this.cluster.client.producer({ acks: 'all' });
    this.#producer = producer;
    while (!this.#stop.signal.aborted) {
      for (let partition = 0; partition < this.cluster.shape.partitions; partition++) {
        this.#unsettled++;
        producer.send({ topic: this.topic, partition, value: '.'.repeat(80) }).then(
          ({ offset }) => {
            this.#unsettled--;
            if (offset === undefined) return;
            const before = this.#acknowledged.get(partition) ?? 0n;
            if (offset >= before) this.#acknowledged.set(partition, offset + 1n);
          },
          (thrown: unknown) => {
            this.#unsettled--;
            this.errors.push(`producer: ${String(thrown)}`);
          },
        );
      }
      await sleep(paceMs);
    }
  }

  #missing(since: number, isWhole: boolean): string | undefined {
    if (isWhole) {
      const idle = this.seats.find(({ runs, assignment }) => !runs || assignment.length === 0);
      if (idle !== undefined) return `${idle.name} ${idle.runs ? 'has no share' : 'does not run'}`;
    }
    for (let partition = 0; partition < this.cluster.shape.partitions; partition++) {
      const owners = this.seats.filter(({ assignment }) => assignment.includes(partition)).map(({ name }) => name);
      if (isWhole && owners.length !== 1) return `partition ${partition} is owned by ${owners.join() || 'nobody'}`;
      const handed = this.#handed.get(partition);
      if (handed === undefined || handed.at < since) return `nothing of partition ${partition} is handed out`;
      if ((this.#committedAt.get(partition) ?? 0) < since && this.shape.commitsFirst !== true)
        return `nothing of partition ${partition} is committed`;
    }
    return undefined;
  }

  #hear(told: Told): void {
    this.#told.push(told);
    if (told.kind === 'handed') {
      const before = this.#handed.get(told.partition)?.end ?? 0;
      const end = Math.max(before, (told.offsets.at(-1) ?? -1) + 1);
      // Who repeats what another one has had does not go on.
      if (end > before) this.#handed.set(told.partition, { end, at: told.at, by: told.member });
    }
    if (told.kind === 'committed') for (const [partition] of told.offsets) this.#committedAt.set(partition, told.at);
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  async #heard(isIt: (told: Told) => boolean, withinMs: number): Promise<boolean> {
    const deadline = nowMs() + withinMs;
    for (let seen = this.#told.length; nowMs() < deadline; ) {
      for (; seen < this.#told.length; seen++) {
        const told = this.#told[seen];
        if (told !== undefined && isIt(told)) return true;
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, withinMs);
        this.#listeners.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return false;
  }
}
