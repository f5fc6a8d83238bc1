/**
 * One owned partition of `__consumer_offsets` (ADR 9): `fencing` → `loading` → `serving` → `over`.
 *
 * Requests are decided one at a time upon what the log holds and what is on its way there; their changes are applied at once and their answers parked
 * until the write that holds them, and all before, is acknowledged. What arrives while a write is under way goes out together as the next one.
 */
import { limits, type NodeId, TributaryError } from '@tributary/model';
import { Alarm, Bell, LinkedAbort } from '@tributary/metadata';
import type { Change } from '../group/change.ts';
import type { Circumstances, Decision, Reply, Told } from '../group/decision.ts';
import { Groups, type GroupsOptions } from '../group/groups.ts';
import { decodeChange, encodeChange } from '../group/journal-codec.ts';
import { Sessions } from '../group/sessions.ts';
import type { TopicView } from '../group/topic-view.ts';
import type { Beat } from '../journal/beat.ts';
import { LogRestarted, readJournal } from '../journal/journal-reader.ts';
import type { JournalRecord } from '../journal/journal-record.ts';
import { Fenced, fenceRecord, type JournalPlace, type JournalPorts, JournalWriter } from '../journal/journal-writer.ts';
import type { Leaders } from '../journal/leaders.ts';
import type { CoordinatorFacts } from '../facts.ts';
import { Freshness } from './freshness.ts';
import { ParkedAnswers } from './parked.ts';
import { Staged } from './staged.ts';

/**
 * - `fencing`: its fence is being written; nothing is known yet.
 * - `loading`: what lies before the fence is read.
 * - `serving`: requests are decided.
 * - `over`: somebody else owns it, or this coordinator stops; nothing is answered but NOT_COORDINATOR.
 */
export type ShardPhase = 'fencing' | 'loading' | 'serving' | 'over';

/** What follows from a decision, beside its answer. */
export interface Following<T> {
  /** At once, from one that accepts. */
  readonly accepted?: ((value: T, sessions: Sessions, nowMs: number) => void) | undefined;
  /** When it holds, before anything later is told to anybody: a promise would be heard too late for that. */
  readonly answered?: ((reply: Reply<T>) => void) | undefined;
}

export interface ShardOptions extends GroupsOptions {
  readonly coordinatorId: NodeId;
}

export interface ShardPorts extends JournalPorts {
  readonly leaders: Leaders;
  readonly beat: Beat;
  readonly facts: CoordinatorFacts;
  readonly topics: () => TopicView;
}

export class Shard {
  readonly place: JournalPlace;
  readonly #options: ShardOptions;
  readonly #ports: ShardPorts;
  readonly #writer: JournalWriter;
  readonly #stopping = new AbortController();
  /** Aborted with it. What goes on with each write listens here: on `over` every member's stream does, and taking a listener off a signal looks at all of them. */
  readonly #loops = new AbortController();
  readonly #serving = Promise.withResolvers<void>();
  readonly #parked = new ParkedAnswers();
  readonly #staged = new Staged();
  readonly #freshness = new Freshness();
  /** Something is to be written. */
  readonly #toWrite = new Bell();
  /** A deadline may be nearer than it was. */
  readonly #toLook = new Bell();
  /** Rings them by the clock. */
  readonly #alarms: { readonly toWrite: Alarm; readonly toLook: Alarm };
  readonly #listeners = new Map<string, Set<(told: Told) => void>>();
  readonly #concerned = new Set<string>();
  #groups: Groups;
  #sessions: Sessions;
  #phase: ShardPhase = 'fencing';
  #acknowledged = 0;
  #renewalWanted = false;
  /** The shortest session timeout when the newest write was acknowledged; undefined: there were no members. */
  #timeoutMs: number | undefined;
  #waiting = 0;
  /** Why the journal could not be read; '': it could, as far as is known. */
  #unreadable = '';

  constructor(place: JournalPlace, options: ShardOptions, ports: ShardPorts) {
    this.place = place;
    this.#options = options;
    this.#ports = ports;
    this.#writer = new JournalWriter(place, ports.leaders, ports);
    this.#groups = new Groups(options);
    this.#sessions = new Sessions(options.settings.sessionTimeoutMs);
    this.#serving.promise.catch(() => undefined);
    this.#alarms = {
      toWrite: new Alarm(ports.clock, () => this.#toWrite.ring()),
      toLook: new Alarm(ports.clock, () => this.#toLook.ring()),
    };
  }

  get phase(): ShardPhase {
    return this.#phase;
  }

  /** Aborted when it is over; its reason says why. */
  get over(): AbortSignal {
    return this.#stopping.signal;
  }

  /** What the staged decisions make of it: for metrics and snapshots whose readers bear that it may still go. */
  get groups(): Groups {
    return this.#groups;
  }

  get sessions(): Sessions {
    return this.#sessions;
  }

  get parkedCount(): number {
    return this.#parked.count;
  }

  /** Fences, loads, serves; resolves when it is over. @throws JournalBroken and what else is not to be gone on from. */
  async run(signal: AbortSignal): Promise<void> {
    using linked = new LinkedAbort(signal);
    const stop = (): void => this.#end(linked.signal.reason);
    linked.signal.addEventListener('abort', stop, { once: true });
    try {
      await this.#open();
      await Promise.all([this.#write(), this.#look()]);
    } catch (thrown) {
      const isOver = this.#stopping.signal.aborted || thrown instanceof Fenced;
      this.#end(thrown);
      if (!isOver) throw thrown;
      if (thrown instanceof Fenced) this.#ports.facts.fenced++;
    } finally {
      linked.signal.removeEventListener('abort', stop);
    }
  }

  /**
   * Decides now, and answers once that holds.
   * @throws TributaryError NOT_COORDINATOR; COORDINATOR_LOAD_IN_PROGRESS after `limits.shardReadyWaitMs`; THROTTLING_QUOTA_EXCEEDED.
   */
  async ask<T>(
    decide: (groups: Groups, at: Circumstances) => Decision<T>,
    { accepted, answered }: Following<T> = {},
  ): Promise<Reply<T>> {
    if (this.#phase !== 'serving') await this.#ready();
    this.#refuseFull();
    return await this.#decide(decide, { accepted, answered }, true);
  }

  /** As a decision that changes nothing: what is not in the log yet is not told. @param isFresh G2: told only by who is the owner. */
  async read<T>(look: (groups: Groups, sessions: Sessions) => T, isFresh: boolean): Promise<T> {
    if (this.#phase !== 'serving') await this.#ready();
    this.#refuseFull();
    const seen = look(this.#groups, this.#sessions);
    return await this.#park(() => seen, isFresh);
  }

  /** Told of what changes for a member beside its own requests, until disposed. */
  listen(groupId: string, memberId: string, tell: (told: Told) => void): Disposable {
    const key = memberKey(groupId, memberId);
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    listeners.add(tell);
    return {
      [Symbol.dispose]: () => {
        listeners.delete(tell);
        if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
      },
    };
  }

  /** A stream of a member has ended. */
  closed(groupId: string, memberId: string): void {
    this.#sessions.closed(groupId, memberId, this.#ports.clock.monotonicMs());
    this.#toLook.ring();
  }

  /** Topics have come, changed or gone: these groups look again. */
  concerns(groupIds: Iterable<string>): void {
    for (const id of groupIds) this.#concerned.add(id);
    if (this.#concerned.size > 0) this.#toLook.ring();
  }

  async #open(): Promise<void> {
    const { clock, logger, leaders, facts } = this.#ports;
    const { partition, writerEpoch } = this.place;
    const signal = this.#stopping.signal;
    const begunMs = clock.monotonicMs();
    const fence = await this.#append([fenceRecord(writerEpoch, this.#options.coordinatorId)]);
    this.#phase = 'loading';
    for (;;) {
      try {
        const loaded = await readJournal(
          this.place,
          fence,
          (record) => this.#load(record),
          leaders,
          this.#ports,
          signal,
        );
        facts.loaded(loaded, clock.monotonicMs() - begunMs);
        const took = { records: loaded.records, bytes: loaded.bytes, ms: Math.round(clock.monotonicMs() - begunMs) };
        logger.info('group-partition-loaded', { partition, writerEpoch: writerEpoch.toString(), ...took });
        break;
      } catch (thrown) {
        signal.throwIfAborted();
        await this.#readAgain(thrown);
      }
    }
    this.#sessions.grantAll(clock.monotonicMs());
    this.#phase = 'serving';
    this.#serving.resolve();
    this.concerns(this.#groups.ids());
  }

  /** With nothing. What cannot be read is no reason to let go of what the other partitions hold: this one waits for whoever mends it. */
  async #readAgain(thrown: unknown): Promise<void> {
    const { clock, logger } = this.#ports;
    const { partition } = this.place;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    this.#groups = new Groups(this.#options);
    this.#sessions = new Sessions(this.#options.settings.sessionTimeoutMs);
    if (thrown instanceof LogRestarted) {
      logger.warn('group-partition-read-again', { partition, why });
      return;
    }
    this.#unreadable = why;
    logger.error('group-partition-unreadable', { partition, why });
    await clock.sleep(limits.journalUnreadableMs, this.#stopping.signal);
  }

  #load(record: JournalRecord): void {
    const change = decodeChange(record.key, record.value);
    if (change !== undefined) this.#apply(change, this.#ports.clock.monotonicMs());
  }

  #apply(change: Change, nowMs: number): void {
    this.#groups.apply(change);
    this.#sessions.apply(change, nowMs);
  }

  /** @returns where the records are in the log. */
  async #append(records: readonly JournalRecord[]) {
    const { clock, facts } = this.#ports;
    const { offset, sentMs } = await this.#writer.append(records, this.#loops.signal);
    const nowMs = clock.monotonicMs();
    facts.wrote(records.length, nowMs - sentMs);
    const timeoutMs = this.#sessions.shortestTimeoutMs();
    // G2: nobody was answered meanwhile, so nobody's silence counts. Whoever has come since with a shorter timeout is no reason: it has just begun.
    const before = this.#timeoutMs;
    const lapsed =
      (before !== undefined && !this.#freshness.isFresh(nowMs, before)) ||
      (timeoutMs !== undefined && nowMs - sentMs > timeoutMs / 2);
    this.#timeoutMs = timeoutMs;
    this.#freshness.acknowledged(sentMs);
    if (lapsed) this.#sessions.grantAll(nowMs);
    this.#renewalWanted = false;
    return offset;
  }

  async #write(): Promise<never> {
    const { clock, facts, beat } = this.#ports;
    const signal = this.#loops.signal;
    for (;;) {
      signal.throwIfAborted();
      const renewalDueMs = this.#renewalDueMs();
      if (this.#staged.isEmpty && renewalDueMs > clock.monotonicMs()) {
        this.#alarms.toWrite.at(renewalDueMs);
        await this.#toWrite.heard(signal);
        continue;
      }
      const turn = beat.turn();
      if (turn !== undefined) await turn;
      signal.throwIfAborted();
      const next = this.#staged.take(limits.journalBatch);
      if (next === undefined) facts.fenceRenewals++;
      await this.#append(next?.records ?? [fenceRecord(this.place.writerEpoch, this.#options.coordinatorId)]);
      if (next !== undefined) this.#acknowledged = Math.max(this.#acknowledged, next.upTo);
      this.#release();
      this.#toLook.ring();
    }
  }

  /** On the monotonic clock, ms; Infinity: as long as nobody is a member. */
  #renewalDueMs(): number {
    if (this.#renewalWanted) return Number.NEGATIVE_INFINITY;
    const timeoutMs = this.#sessions.shortestTimeoutMs();
    return timeoutMs === undefined ? Number.POSITIVE_INFINITY : this.#freshness.renewalDueMs(timeoutMs);
  }

  #isFresh(): boolean {
    const timeoutMs = this.#sessions.shortestTimeoutMs() ?? this.#options.settings.sessionTimeoutMs;
    return this.#freshness.isFresh(this.#ports.clock.monotonicMs(), timeoutMs);
  }

  #release(): void {
    if (!this.#parked.release(this.#acknowledged, () => this.#isFresh())) return;
    this.#renewalWanted = true;
    this.#toWrite.ring();
  }

  /** Deadlines of members, topics that changed, offsets that expire. */
  async #look(): Promise<never> {
    const { clock } = this.#ports;
    const signal = this.#loops.signal;
    let sweepMs = clock.monotonicMs() + limits.offsetsSweepMs;
    let hasListened = false;
    for (;;) {
      signal.throwIfAborted();
      await this.#lookAtTopics();
      if (clock.monotonicMs() >= sweepMs) {
        await this.#sweep();
        sweepMs = clock.monotonicMs() + limits.offsetsSweepMs;
      }
      const deadlineMs = this.#sessions.nextDeadline() ?? Number.POSITIVE_INFINITY;
      const waitMs = Math.min(deadlineMs, sweepMs) - clock.monotonicMs();
      if (this.#concerned.size > 0) continue;
      if (waitMs > 0) {
        hasListened = false;
        this.#alarms.toLook.at(Math.min(deadlineMs, sweepMs));
        await this.#toLook.heard(signal);
        continue;
      }
      // What was said while this process stood still, or had too much to do, is heard first: nobody was silent for want of a listener.
      const lateMs = clock.monotonicMs() - deadlineMs;
      if (lateMs > limits.groupLateMs && !hasListened) {
        hasListened = true;
        await clock.sleep(Math.min(lateMs, limits.groupStreamGraceMs), signal);
        continue;
      }
      // G2: whoever cannot say that it is the owner ends nobody's session.
      if (this.#isFresh()) {
        hasListened = false;
        this.#expire();
      } else {
        this.#renewalWanted = true;
        this.#toWrite.ring();
        await this.#toLook.heard(signal);
      }
    }
  }

  #expire(): void {
    const nowMs = this.#ports.clock.monotonicMs();
    for (const expired of this.#sessions.expired(nowMs)) {
      this.#ports.facts.expiredMembers += expired.members.length;
      this.#decideAlone((groups, at) => groups.expired(expired, at));
    }
  }

  async #lookAtTopics(): Promise<void> {
    await this.#each(this.#concerned, (groupId) => {
      this.#concerned.delete(groupId);
      if (this.#groups.has(groupId)) this.#decideAlone((groups, at) => groups.topicsChanged(groupId, at));
    });
  }

  async #sweep(): Promise<void> {
    await this.#each([...this.#groups.ids()], (groupId) => {
      if (this.#groups.has(groupId)) this.#decideAlone((groups, at) => groups.sweep(groupId, at));
    });
  }

  /** With a turn for others now and then. */
  async #each(groupIds: Iterable<string>, act: (groupId: string) => void): Promise<void> {
    let count = 0;
    for (const groupId of groupIds) {
      act(groupId);
      if (++count % limits.groupsPerTurn === 0) await this.#ports.clock.sleep(0, this.#stopping.signal);
    }
  }

  /** Nobody waits for its answer. */
  #decideAlone(decide: (groups: Groups, at: Circumstances) => Decision<undefined>): void {
    this.#decide(decide, {}, false).catch(() => undefined);
  }

  #decide<T>(
    decide: (groups: Groups, at: Circumstances) => Decision<T>,
    { accepted, answered }: Following<T>,
    isFresh: boolean,
  ): Promise<Reply<T>> {
    const { clock, topics } = this.#ports;
    const { changes, reply, toTell } = decide(this.#groups, { wallMs: clock.wallMs(), topics: topics() });
    const nowMs = clock.monotonicMs();
    if (changes.length > 0) {
      for (const change of changes) {
        this.#apply(change, nowMs);
        if (change.kind === 'group') this.#ports.facts.rebalances++;
      }
      this.#staged.add(changes.map(encodeChange));
      this.#toWrite.ring();
    }
    if (reply.kind === 'ok') accepted?.(reply.value, this.#sessions, nowMs);
    if (changes.length > 0) this.#toLook.ring();
    const tell = (): Reply<T> => {
      answered?.(reply);
      for (const told of toTell) this.#tell(told);
      return reply;
    };
    return this.#park(tell, isFresh);
  }

  #tell(told: Told): void {
    for (const listener of this.#listeners.get(memberKey(told.groupId, told.memberId)) ?? []) listener(told);
  }

  #park<T>(answer: () => T, isFresh: boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.#phase === 'over') reject(this.#notCoordinator());
    else this.#parked.add({ after: this.#staged.last, isFresh, settle: () => resolve(answer()), refuse: reject });
    this.#release();
    return promise;
  }

  async #ready(): Promise<void> {
    if (this.#phase === 'over') throw this.#notCoordinator();
    const { clock } = this.#ports;
    if (this.#waiting >= limits.shardParked) throw this.#full();
    using waiting = new LinkedAbort(this.#stopping.signal);
    const late = clock.sleep(limits.shardReadyWaitMs, waiting.signal).catch(() => undefined);
    this.#waiting++;
    await Promise.race([this.#serving.promise.catch(() => undefined), late]);
    this.#waiting--;
    waiting.abort(new Error('Waited long enough.'));
    // It has changed meanwhile.
    const phase = this.#phase as ShardPhase;
    if (phase === 'serving') return;
    if (phase === 'over') throw this.#notCoordinator();
    const why = this.#unreadable === '' ? 'is still being read' : `cannot be read: ${this.#unreadable}`;
    const what = `Partition ${this.place.partition} of the groups' journal ${why} (${phase}); try again.`;
    throw new TributaryError('COORDINATOR_LOAD_IN_PROGRESS', what);
  }

  #refuseFull(): void {
    if (this.#parked.count >= limits.shardParked || this.#staged.bytes >= limits.shardStaged) throw this.#full();
  }

  #full(): TributaryError {
    const { partition } = this.place;
    const what = `Partition ${partition} of the groups' journal is written too slowly for what is asked: wait, then try again.`;
    return new TributaryError('THROTTLING_QUOTA_EXCEEDED', what);
  }

  #notCoordinator(): TributaryError {
    const what = `Coordinator ${this.#options.coordinatorId} does not own partition ${this.place.partition} of the groups any more: look the owner up.`;
    return new TributaryError('NOT_COORDINATOR', what);
  }

  #end(why: unknown): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    for (const alarm of Object.values(this.#alarms)) alarm[Symbol.dispose]();
    this.#writer[Symbol.dispose]();
    this.#stopping.abort(why);
    this.#loops.abort(why);
    const refusal = this.#notCoordinator();
    this.#serving.reject(refusal);
    this.#parked.refuseAll(refusal);
  }
}

const memberKey = (groupId: string, memberId: string): string => `${groupId}\0${memberId}`;
