import { limits } from '@tributary/model';
import { type Clock, type WatchRevision, CompactedError, MetadataStoreError } from '@tributary/ports';
import { LinkedAbort, unlessAborted } from '@tributary/metadata';
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import { etcdFailure } from './etcd-failure.ts';
import { keyRange, type KeyRange } from './requests.ts';
import { RevisionAssembly } from './revisions.ts';

/** A watch's stream; ends when disposed. */
export interface WatchStream extends Disposable {
  send(request: IWatchRequest): void;
  readonly responses: AsyncIterator<IWatchResponse>;
}

/** What a watch needs of one member. */
export interface WatchedMember {
  readonly address: string;
  watch(): Promise<WatchStream>;
  /** Of the store; linearizable. */
  revision(key: Buffer): Promise<bigint>;
  /** @returns the store's revision if the keys of the range are now as they were at `revision`, with no other revisions; linearizable. */
  unchangedSince(range: KeyRange, revision: bigint): Promise<bigint | undefined>;
}

/** What a watch needs of all members. */
export interface WatchedMembers {
  /** One that has just been seen to have a majority behind it. */
  forStream(key: Buffer): Promise<WatchedMember>;
  distrust(member: WatchedMember): void;
}

/**
 * Whole revisions from `fromRevision` on, on one stream to one member.
 *
 * Progress is ours. etcd answers a request for it with a revision of which events may still be on their way (etcd issue 15220, in every 3.4
 * before .25 and 3.5 before .8), and a member that is cut off answers with an old one for ever. So the answer counts as a sign of life only, and
 * the revision is that of a linearizable read at which the watched keys are seen to be as they were. A watch that lost an event cannot show that
 * and ends, like a silent one, after `limits.watchSilenceMs`.
 *
 * @throws CompactedError; MetadataStoreError when the stream broke, fell silent or is not allowed; the signal's reason.
 */
export async function* watchEtcd(
  members: WatchedMembers,
  clock: Clock,
  prefix: string,
  fromRevision: bigint,
  signal: AbortSignal,
): AsyncGenerator<WatchRevision, never> {
  signal.throwIfAborted();
  const member = await unlessAborted(members.forStream(keyRange(prefix).key), signal);
  try {
    using stream = await member.watch();
    const watch = new Watch(member, stream, clock, prefix, fromRevision, signal);
    for (;;) yield* await watch.next();
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof CompactedError) throw thrown;
    members.distrust(member);
    const failure = etcdFailure(member.address, thrown);
    if (failure.kind === 'final') throw failure.error;
    throw new MetadataStoreError('unreachable', `The watch at etcd ${member.address} broke: ${failure.what}.`, {
      cause: thrown,
    });
  }
}

/** Two questions without an answer. Before the reader gives up, as it does not know that another member may be better. */
const patienceMs = limits.watchSilenceMs - limits.watchProgressMs / 2;

class Watch {
  readonly #member: WatchedMember;
  readonly #stream: WatchStream;
  readonly #clock: Clock;
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  readonly #assembly: RevisionAssembly;
  /** When the reader was last given something. */
  #spokeMs: number;
  /** When the store is asked next how far it is. */
  #askMs: number;
  /** Known to have been reached, and told once the stream shows that it lives. */
  #proven: bigint | undefined;
  #response: Promise<IteratorResult<IWatchResponse>> | undefined;

  constructor(
    member: WatchedMember,
    stream: WatchStream,
    clock: Clock,
    prefix: string,
    fromRevision: bigint,
    signal: AbortSignal,
  ) {
    this.#member = member;
    this.#stream = stream;
    this.#clock = clock;
    this.#prefix = prefix;
    this.#signal = signal;
    this.#assembly = new RevisionAssembly(fromRevision - 1n);
    this.#spokeMs = clock.monotonicMs();
    this.#askMs = this.#spokeMs + limits.watchProgressMs;
    // One revision earlier than wanted: etcd lets one begin at the revision of the compaction, where the deletions are gone (etcd issue 18089).
    const start = fromRevision > 1n ? fromRevision - 1n : 1n;
    stream.send({ create_request: { ...keyRange(prefix), start_revision: String(start), fragment: true } });
  }

  /** What to tell the reader next. */
  async next(): Promise<readonly WatchRevision[]> {
    // The time that the reader took is not the watch's silence.
    this.#spokeMs = this.#clock.monotonicMs();
    this.#askMs = this.#spokeMs + limits.watchProgressMs;
    for (;;) {
      this.#signal.throwIfAborted();
      const response = await this.#received();
      const told = response === undefined ? await this.#quiet() : this.#heard(response);
      if (told.length > 0) return told;
    }
  }

  /** Nothing came for so long that it is time to ask, or to give up. */
  async #quiet(): Promise<readonly WatchRevision[]> {
    if (this.#clock.monotonicMs() >= this.#spokeMs + patienceMs)
      throw new Error(`nothing was to be learnt from it for ${patienceMs} ms`);
    this.#proven = (await unlessAborted(this.#prove(), this.#signal)) ?? this.#proven;
    this.#stream.send({ progress_request: {} });
    this.#askMs = this.#clock.monotonicMs() + limits.watchProgressMs;
    return [];
  }

  #heard(response: IWatchResponse): readonly WatchRevision[] {
    if (response.canceled) throw this.#cancelled(response);
    const revisions = this.#assembly.add(response);
    if (revisions.length > 0 || this.#assembly.isHalfDone) {
      this.#proven = undefined;
      return revisions;
    }
    const proven = this.#proven;
    if (response.created || response.events.length > 0 || proven === undefined) return [];
    this.#proven = undefined;
    return [{ revision: proven, changes: [] }];
  }

  /** How far the store is, if all that the watch would show up to there has been shown. */
  async #prove(): Promise<bigint | undefined> {
    const range = keyRange(this.#prefix);
    const reached = this.#assembly.reached;
    const revision = await this.#member.revision(range.key);
    // The same, or even less: an etcd that was restored from a backup. The reader is told and judges (M6).
    if (revision <= reached) return revision;
    if (this.#assembly.isHalfDone) return undefined;
    const unchanged = await this.#member.unchangedSince(range, reached);
    if (unchanged !== undefined) this.#assembly.reach(unchanged);
    return unchanged;
  }

  #cancelled({ compact_revision, cancel_reason }: IWatchResponse): Error {
    if (compact_revision === '0') return new Error(cancel_reason === '' ? 'etcd cancelled it' : cancel_reason);
    return new CompactedError(
      `The revision after ${this.#assembly.reached} is compacted at etcd ${this.#member.address}, which keeps what came after ${compact_revision}.`,
    );
  }

  /** @returns undefined when it is time to ask. */
  async #received(): Promise<IWatchResponse | undefined> {
    using waiting = new LinkedAbort(this.#signal);
    this.#response ??= this.#stream.responses.next();
    const dueMs = Math.min(this.#askMs, this.#spokeMs + patienceMs);
    const time = this.#clock.sleep(dueMs - this.#clock.monotonicMs(), waiting.signal).then(() => undefined);
    try {
      const result = await Promise.race([this.#response, time]);
      if (result === undefined) return undefined;
      this.#response = undefined;
      if (result.done === true) throw new Error('etcd ended the stream');
      return result.value;
    } finally {
      time.catch(() => undefined);
      this.#response?.catch(() => undefined);
      waiting.abort(new Error('no longer waited for'));
    }
  }
}
