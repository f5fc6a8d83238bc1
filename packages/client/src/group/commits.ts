/**
 * Commits of one consumer: one request at a time, repeated until it is answered, so that they arrive in order; what is asked for meanwhile goes together into
 * the next one, the newest of each partition. Each request has a higher sequence than the one before: one that was lost on its way and arrives late changes
 * nothing (G4).
 */
import { limits, type Offset, TributaryError } from '@tributary/model';
import { type CommitOffsetsResponse, methods, type OffsetCommit } from '@tributary/wire';
import type { Routing } from '../routing.ts';
import type { CoordinatorLink } from './coordinator-link.ts';
import { type GroupPartition, keyOf } from './membership.ts';

export interface Committed {
  readonly place: GroupPartition;
  /** For errors: `partition 3 of "orders"`. */
  readonly label: string;
  readonly offset: Offset;
  /** Of the record before it; −1: unknown. */
  readonly leaderEpoch: number;
  readonly metadata: string;
}

/** Who commits. */
export interface Identity {
  /** '': nobody in particular, for a group without members. */
  readonly memberId: string;
  readonly memberEpoch: number;
}

interface Batch {
  readonly memberId: string;
  readonly entries: Map<string, Committed>;
  deadlineMs: number;
  /** By key: why it was not done. */
  readonly done: PromiseWithResolvers<ReadonlyMap<string, TributaryError>>;
}

export interface CommitParts {
  readonly routing: Routing;
  readonly link: CoordinatorLink;
  identity(): Identity;
  /** The coordinator does not know the member. */
  unknown(): void;
}

export class Commits {
  readonly #parts: CommitParts;
  /** Newest offsets that the coordinator is known to have, by key. */
  readonly #stored = new Map<string, Offset>();
  #sequence = 0n;
  #next: Batch | undefined;
  #isRunning = false;
  #membership = new AbortController();

  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  /** The coordinator has this offset of the partition. */
  stored(place: GroupPartition): Offset | undefined {
    return this.#stored.get(keyOf(place));
  }

  /** The coordinator has told it. */
  known(place: GroupPartition, offset: Offset): void {
    this.#stored.set(keyOf(place), offset);
  }

  /** The partition is somebody else's. */
  forget(place: GroupPartition): void {
    this.#stored.delete(keyOf(place));
  }

  /** The membership is over: what was asked for in its name is refused. */
  lost(error: TributaryError): void {
    this.#membership.abort(error);
    this.#membership = new AbortController();
    this.#next?.done.reject(error);
    this.#next = undefined;
    this.#stored.clear();
  }

  /** Resolves when all of these are durable. @throws TributaryError: of the first that is not. */
  async commit(offsets: readonly Committed[], deadlineMs: number): Promise<void> {
    if (offsets.length === 0) return;
    const { memberId } = this.#parts.identity();
    if (this.#next !== undefined && this.#next.memberId !== memberId) {
      const sentence = 'The membership in whose name this was to be committed is over.';
      this.#next.done.reject(new TributaryError('UNKNOWN_MEMBER_ID', sentence));
      this.#next = undefined;
    }
    this.#next ??= { memberId, entries: new Map(), deadlineMs, done: Promise.withResolvers() };
    const batch = this.#next;
    batch.deadlineMs = Math.max(batch.deadlineMs, deadlineMs);
    for (const each of offsets) batch.entries.set(keyOf(each.place), each);
    if (!this.#isRunning) void this.#run();
    const failures = await batch.done.promise;
    for (const { place } of offsets) {
      const failure = failures.get(keyOf(place));
      if (failure !== undefined) throw failure;
    }
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // What is asked for in the same tick goes together.
    await Promise.resolve();
    for (let batch = this.#next; batch !== undefined; batch = this.#next) {
      this.#next = undefined;
      const failures = new Map<string, TributaryError>();
      try {
        const entries = [...batch.entries.values()];
        for (let at = 0; at < entries.length; at += limits.offsetsPerCommit)
          await this.#send(batch, entries.slice(at, at + limits.offsetsPerCommit), failures);
        batch.done.resolve(failures);
      } catch (thrown) {
        batch.done.reject(TributaryError.from(thrown));
      }
    }
    this.#isRunning = false;
  }

  async #send(batch: Batch, entries: readonly Committed[], failures: Map<string, TributaryError>): Promise<void> {
    this.#sequence++;
    const sequence = this.#sequence;
    const { signal } = this.#membership;
    const { link, routing, identity } = this.#parts;
    let epoch = identity().memberEpoch;
    const request = () => {
      epoch = identity().memberEpoch;
      const { memberId } = batch;
      const offsets = entries.map(wireForm);
      const { context } = routing;
      return { context, groupId: link.groupId, memberId, memberEpoch: epoch, offsets, sequence, validateOnly: false };
    };
    const what = `Committing offsets of group "${link.groupId}"`;
    const call = { deadlineMs: batch.deadlineMs, signal, what };
    const { results } = await link.call(methods.commitOffsets, request, (answer) => checkAnswer(answer, entries), call);
    const again: Committed[] = [];
    for (const [index, entry] of entries.entries()) {
      const { errorCode = 0, errorMessage = '' } = results[index] ?? {};
      if (errorCode === 0) {
        this.#stored.set(keyOf(entry.place), entry.offset);
        continue;
      }
      const error = TributaryError.fromAnswer(errorCode, errorMessage);
      // The member has become one of a newer epoch since.
      if (error.error === 'STALE_MEMBER_EPOCH' && identity().memberEpoch > epoch) again.push(entry);
      else failures.set(keyOf(entry.place), named(error, entry));
      if (error.error === 'UNKNOWN_MEMBER_ID') this.#parts.unknown();
    }
    if (again.length > 0) await this.#send(batch, again, failures);
  }
}

/** @throws TributaryError what may be mended by asking again. */
function checkAnswer({ results }: CommitOffsetsResponse, entries: readonly Committed[]): void {
  if (results.length !== entries.length)
    throw new TributaryError('UNKNOWN_SERVER_ERROR', `${results.length} of ${entries.length} commits were answered.`);
  for (const { errorCode, errorMessage } of results) {
    const error = TributaryError.fromAnswer(errorCode, errorMessage);
    if (errorCode !== 0 && error.retriable && !error.error.startsWith('UNKNOWN_TOPIC')) throw error;
  }
}

const wireForm = ({ place, offset, leaderEpoch, metadata }: Committed): OffsetCommit => ({
  topicId: place.topicId,
  partition: place.partition,
  offset,
  leaderEpoch,
  metadata,
});

const named = (error: TributaryError, { label, offset }: Committed): TributaryError =>
  new TributaryError(error.error, `Offset ${offset} of ${label} was not committed: ${error.message}`, { cause: error });
