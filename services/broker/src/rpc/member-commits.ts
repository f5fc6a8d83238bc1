/**
 * Offsets that a subscription commits for its client (`auto_commit_interval_ms`), never before they count as handled (ADR 9). With credit, a grant says what
 * the client has handled: all but the last `credit_bytes` of the limit. Without, all that the transport had passed on when the interval before ended. What
 * is not committed when a member goes is read again by the next one.
 */
import { limits, type Offset, TributaryError } from '@tributary/model';
import type { Clock, Stream } from '@tributary/ports';
import { methods, type OffsetCommit } from '@tributary/wire';
import type { Coordinators } from './coordinators.ts';
import type { MemberSession } from './member-session.ts';
import { SentMarks } from './sent-marks.ts';

export interface CommittedFor {
  readonly session: MemberSession;
  readonly coordinators: Coordinators;
  readonly clock: Clock;
  readonly stream: Pick<Stream<unknown, unknown>, 'queuedBytes'>;
  /** Bytes that the client's grants say it has handled; undefined: it has no credit to grant. */
  readonly granted: () => number | undefined;
}

export interface Place {
  readonly topicId: string;
  readonly partition: number;
}

export const keyOf = ({ topicId, partition }: Place): string => `${topicId}/${partition}`;

function placeOf(key: string): Place {
  const at = key.lastIndexOf('/');
  return { topicId: key.slice(0, at), partition: Number(key.slice(at + 1)) };
}

export class MemberCommits {
  readonly #for: CommittedFor;
  readonly #marks = new SentMarks();
  /** Handled, and not known to be committed. */
  readonly #due = new Map<string, Offset>();
  /** As far as is known. */
  readonly #committed = new Map<string, Offset>();
  /** Bytes of records that had left this process when the interval before ended. */
  #left = 0;
  #sequence = 0n;
  #committing: Promise<void> = Promise.resolve();

  constructor(committedFor: CommittedFor) {
    this.#for = committedFor;
  }

  /** The partition is read from here on. @param committed where it was committed; undefined: nowhere. */
  begun(place: Place, position: Offset, committed: Offset | undefined): void {
    const key = keyOf(place);
    if (committed !== undefined) this.#committed.set(key, committed);
    // What was sent of it before, in another tenure or by another leader, is no word on where the group stands now.
    this.#marks.forget(new Set([key]));
    this.#due.delete(key);
    this.#marks.add(key, 0, position);
  }

  /** Records up to the position are in the queue of the transport. */
  sent(place: Place, bytes: number, position: Offset): void {
    this.#marks.add(keyOf(place), bytes, position, 1);
  }

  /** Commits every so often, until aborted. */
  async run(intervalMs: number, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.#for.clock.sleep(intervalMs, signal);
        await this.flush(signal);
        // A record takes more bytes on the wire than counted here: what is queued is no less than what of these has not left.
        this.#left = this.#marks.sent - this.#for.stream.queuedBytes;
      }
    } catch {
      // The subscription is over.
    }
  }

  /** Commits what may be committed. Never rejects. */
  flush(signal: AbortSignal): Promise<void> {
    this.#committing = this.#committing.then(() => this.#commit(signal));
    return this.#committing;
  }

  /** Commits what may be of these, and no more of them. */
  async letGo(places: readonly Place[], signal: AbortSignal): Promise<void> {
    await this.flush(signal);
    const keys = new Set(places.map(keyOf));
    this.#marks.forget(keys);
    for (const key of keys) {
      this.#due.delete(key);
      this.#committed.delete(key);
    }
  }

  async #commit(signal: AbortSignal): Promise<void> {
    const { session, coordinators, granted } = this.#for;
    for (const [key, offset] of this.#marks.take(granted() ?? this.#left)) this.#due.set(key, offset);
    const entries = [...this.#due].filter(([key, offset]) => this.#committed.get(key) !== offset);
    this.#due.clear();
    if (entries.length === 0 || signal.aborted) return;
    const { groupId, memberId, context, host } = session.membership;
    const request = {
      context,
      groupId,
      memberId,
      memberEpoch: session.epoch,
      offsets: entries.map(
        ([key, offset]): OffsetCommit => ({ ...placeOf(key), offset, leaderEpoch: -1, metadata: '' }),
      ),
      sequence: ++this.#sequence,
      validateOnly: false,
    };
    const again = (key: string, offset: Offset): void => {
      if (!this.#due.has(key)) this.#due.set(key, offset);
    };
    try {
      const failureOf = (response: { readonly results: readonly { readonly errorCode: number }[] }): number =>
        response.results[0]?.errorCode ?? 0;
      const asking = { signal, peer: host };
      const { results } = await coordinators.call(groupId, methods.commitOffsets, request, asking, failureOf);
      for (const [index, [key, offset]] of entries.entries()) {
        const { errorCode = 0, errorMessage = '' } = results[index] ?? {};
        if (errorCode === 0) this.#committed.set(key, offset);
        else if (TributaryError.fromAnswer(errorCode, errorMessage).retriable) again(key, offset);
      }
    } catch (thrown) {
      // What is final the member's stream hears, too.
      if (TributaryError.from(thrown).retriable) for (const [key, offset] of entries) again(key, offset);
    }
  }
}

/** @throws TributaryError INVALID_REQUEST. */
export function checkInterval(intervalMs: number): void {
  if (intervalMs >= 0 && intervalMs <= limits.autoCommitMsMax) return;
  throw new TributaryError(
    'INVALID_REQUEST',
    `auto_commit_interval_ms is ${intervalMs}: say 0 for none, or at most ${limits.autoCommitMsMax}.`,
  );
}
