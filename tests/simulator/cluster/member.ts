/** A broker, a controller or a coordinator of the cluster: its machine, the process that runs there, and what has become of its disk. */
import type { ProcessEnd, ProcessMain, SimulatedProcess } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Machine, World } from '../world.ts';

/** A program that cannot start so many times in a row has no way back. */
const FAILED_STARTS_MAX = 400;

export type MemberRole = 'broker' | 'controller' | 'coordinator';

export interface MemberObserver {
  starts(member: Member): void;
  ended(member: Member, end: ProcessEnd): void;
  logged(member: Member, event: string, fields: Readonly<Record<string, unknown>>): void;
  /** Of the metadata store. */
  revision(): bigint;
}

export class Member {
  readonly role: MemberRole;
  readonly nodeId: number;
  readonly machine: Machine;
  readonly #world: World;
  readonly #program: ProcessMain;
  readonly #random: SeededRandom;
  readonly #observer: MemberObserver;
  #process: SimulatedProcess | undefined;
  /** Somebody works on the machine: nothing is started. */
  isHeld = false;
  /** A process may rightly give up on its disk. */
  diskTrouble = false;
  /** What it once had is not all on its disk; until a registration that was made since has been let in. */
  lacks: 'nothing' | 'what was not flushed' | 'all' = 'nothing';
  /** Revision of the store when it lost that. */
  lostAt = 0n;
  /** True time at which its disk was last replaced, in virtual microseconds. */
  replacedMicros = Number.NEGATIVE_INFINITY;
  /** How often it lost what was not flushed, or more. */
  losses = 0;
  /** True time of the last thing that could keep others from hearing of it, in virtual microseconds. */
  troubledMicros = 0;
  /** The same of what is over as soon as it is noticed: a connection that broke, a lost answer, a lease that went. */
  shakenMicros = 0;

  constructor(
    world: World,
    role: MemberRole,
    nodeId: number,
    machine: Machine,
    program: ProcessMain,
    observer: MemberObserver,
  ) {
    this.#world = world;
    this.role = role;
    this.nodeId = nodeId;
    this.machine = machine;
    this.#program = program;
    this.#random = world.random.stream(`supervisor ${machine.name}`);
    this.#observer = observer;
  }

  get name(): string {
    return this.machine.name;
  }

  get process(): SimulatedProcess | undefined {
    return this.#process;
  }

  get runs(): boolean {
    return this.#process?.alive === true && !this.#process.paused;
  }

  troubled(): void {
    this.troubledMicros = this.#world.scheduler.nowMicros;
  }

  shaken(): void {
    this.shakenMicros = this.#world.scheduler.nowMicros;
  }

  losePower(): void {
    this.troubled();
    if (!this.machine.isOn) return;
    this.machine.losePower();
    this.lostUnflushed();
  }

  /** Its disk is another one. */
  lostAll(): void {
    this.replacedMicros = this.#world.scheduler.nowMicros;
    this.losses += 1;
    this.lostAt = this.#observer.revision();
    this.lacks = 'all';
  }

  /** The cache is gone, or a sync failed: what was written and not flushed may be lost. */
  lostUnflushed(): void {
    this.losses += 1;
    this.lostAt = this.#observer.revision();
    if (this.lacks === 'nothing') this.lacks = 'what was not flushed';
  }

  kill(): void {
    this.troubled();
    this.#process?.kill();
  }

  /** A supervisor: whatever ends is started again after a while, as soon as the machine has power. */
  keepRunning(isOver: () => boolean): void {
    let failedStarts = 0;
    const run = async (): Promise<void> => {
      while (!isOver()) {
        if (!this.machine.isOn || this.isHeld) {
          await this.#world.scheduler.pause(20_000);
          continue;
        }
        const end = await this.#runOnce();
        this.#observer.ended(this, end);
        failedStarts = end.how === 'failed' ? failedStarts + 1 : 0;
        if (failedStarts > FAILED_STARTS_MAX && end.how === 'failed')
          this.#world.broken('convergence', `${this.name} cannot start: ${end.reason}`);
        await this.#world.scheduler.pause(this.#random.between(1_000, 300_000));
      }
    };
    run().catch((thrown: unknown) => this.#world.scheduler.fail(thrown));
  }

  async #runOnce(): Promise<ProcessEnd> {
    this.troubled();
    this.#observer.starts(this);
    const process = this.machine.start(this.role, this.#program);
    process.onLog = (event, fields) => this.#observer.logged(this, event, fields);
    this.#process = process;
    const end = await process.ended;
    this.troubled();
    return end;
  }
}
