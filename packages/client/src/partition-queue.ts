// pure
/**
 * One partition's batches on the producer's side, in order: under construction, waiting, on their way; and what an answer, a broken connection or
 * a deadline makes of them. It decides; the sender does.
 *
 * Order and single copies rest on sequences (P1). The reasoning behind recovery:
 * - A batch refused without doubt was never appended, so nothing sent after it under the same identity can ever be: its sequence does not
 *   follow. Such batches may take new places under a new identity.
 * - A batch given up in doubt may yet be appended, and with it everything sent after it. Sending those again under a new identity could double
 *   them, so they are given up too, their outcome unknown; what was never sent goes on under a new identity (P4).
 * - Identities belong to a partition: a new one for this partition leaves the others' batches and sequences alone.
 */
import { assert, limits, type Offset, TributaryError } from '@tributary/model';
import { sequenceAfter } from '@tributary/record';
import { type ProducerBatch, type ProducerIdentity, splitBatch } from './batch.ts';
import { expiredError, givenUpWithError, leavesDoubt, refusedError, settlesDoubt, verdict } from './batch-verdict.ts';
import type { BatchOutcome } from './delivery.ts';

/** What a broker said about one batch. */
export type BatchAnswer =
  | {
      readonly kind: 'acknowledged';
      readonly baseOffset: Offset | undefined;
      readonly logAppendTimeMs: number | undefined;
    }
  | { readonly kind: 'refused'; readonly error: TributaryError };

/** A batch that left the queue. */
export interface EndedBatch {
  readonly batch: ProducerBatch;
  readonly outcome: BatchOutcome;
  /** Its last sending was not answered: its bytes may still lie in a connection's buffer and must not be written over. */
  readonly unanswered: boolean;
}

export type NextStep =
  /** The batch may go out; if it is still under construction, `seal` it first. */
  | { readonly kind: 'send'; readonly batch: ProducerBatch }
  /** Nothing can be sent before `renew` has been called. */
  | { readonly kind: 'needs-identity' }
  | { readonly kind: 'nothing' };

const nothing: NextStep = { kind: 'nothing' };
const needsIdentity: NextStep = { kind: 'needs-identity' };
const offsetUnknown: BatchOutcome = { kind: 'acknowledged', baseOffset: undefined, logAppendTimeMs: undefined };

export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  readonly #idempotent: boolean;
  /** Under construction. */
  #open: ProducerBatch | undefined;
  /** Complete and not on their way: those to be sent again, with their places, before those never sent. */
  #waiting: ProducerBatch[] = [];
  /** Sent, and not acknowledged; in order. */
  #window: ProducerBatch[] = [];
  /** Some batch of the window was refused: the others' answers are awaited, then all go again in order. */
  #recovering = false;
  #identity: ProducerIdentity | undefined;
  /** The last one it had: never to be used again. */
  #lastIdentity: ProducerIdentity | undefined;
  #nextSequence = 0;
  #nextOrdinal = 0;
  /** The topic as it was when its batches were made: another id is another topic of the same name. */
  topicId: string | undefined;
  /** Bytes of a batch above which the broker has refused some: the next ones are kept below. */
  batchBytesMost = Number.POSITIVE_INFINITY;
  /** Rounds of sending that failed in a row, for the backoff. */
  failures = 0;
  /** On the monotonic clock, ms: when the first of them failed. */
  failingSince: number | undefined;
  /** Of the leader that its batches were last sent to. */
  leaderEpoch = -1;
  /** On the monotonic clock, ms: nothing is sent before. */
  retryAt = 0;

  /** @param idempotent without it one batch at a time is sent, because nothing else would keep the order. */
  constructor(topic: string, partition: number, idempotent: boolean) {
    this.topic = topic;
    this.partition = partition;
    this.#idempotent = idempotent;
  }

  get open(): ProducerBatch | undefined {
    return this.#open;
  }

  /** Answers are awaited: the partition must not move to another connection, or batches could overtake each other. */
  get awaitsAnswers(): boolean {
    return this.#window.length > 0;
  }

  get idle(): boolean {
    return this.#open === undefined && this.#waiting.length === 0 && this.#window.length === 0;
  }

  /** On the monotonic clock, ms: when `expire` has something to do. */
  get deadline(): number {
    return (this.#window[0] ?? this.#waiting[0] ?? this.#open)?.deadline ?? Number.POSITIVE_INFINITY;
  }

  /** Records go into `batch` from now on. */
  begin(batch: ProducerBatch): void {
    assert(this.#open === undefined, 'one batch at a time is under construction');
    this.#open = batch;
  }

  /** The batch under construction, if any, is complete. */
  seal(): ProducerBatch | undefined {
    const batch = this.#open;
    this.#open = undefined;
    if (batch !== undefined) this.#waiting.push(batch);
    return batch;
  }

  /** @param now on the monotonic clock, ms. */
  next(now: number): NextStep {
    const batch = this.#waiting[0] ?? this.#open;
    if (batch === undefined || this.#recovering || now < this.retryAt) return nothing;
    if (!this.#idempotent) return this.#window.length === 0 ? { kind: 'send', batch } : nothing;
    if (batch.place === undefined && this.#identity === undefined)
      return this.#window.length === 0 ? needsIdentity : nothing;
    const ordinal = batch.place === undefined ? this.#nextOrdinal : batch.ordinal;
    // Counted from the oldest without an answer, not by how many lack one: the broker remembers the last five (P1, P2).
    const oldest = this.#window[0]?.ordinal ?? ordinal;
    return ordinal - oldest < limits.batchesInFlight ? { kind: 'send', batch } : nothing;
  }

  /** The batch that `next` answered goes out now, in the place it has or in the next one. */
  sending(batch: ProducerBatch): void {
    assert(this.#waiting[0] === batch, 'batches go in order');
    this.#waiting.shift();
    if (this.#idempotent && batch.place === undefined) {
      assert(this.#identity !== undefined, 'an idempotent batch has an identity');
      batch.moveTo({ identity: this.#identity, sequence: this.#nextSequence });
      batch.ordinal = this.#nextOrdinal++;
      this.#nextSequence = sequenceAfter(this.#nextSequence, batch.count);
    }
    batch.flying = true;
    this.#window.push(batch);
  }

  /** With acks=0 nobody will answer (P5): the batch ends with being sent. */
  handedOver(batch: ProducerBatch): EndedBatch {
    assert(this.#window.pop() === batch, 'the batch was sent last');
    batch.flying = false;
    return { batch, outcome: offsetUnknown, unanswered: true };
  }

  /** May `renew` be called with it? */
  canTake(identity: ProducerIdentity): boolean {
    return identity !== this.#lastIdentity;
  }

  /** A fresh identity: sequences begin at 0. */
  renew(identity: ProducerIdentity): void {
    assert(identity !== this.#lastIdentity, 'an identity serves a partition once');
    this.#identity = identity;
    this.#lastIdentity = identity;
    this.#nextSequence = 0;
    this.#nextOrdinal = 0;
  }

  /** The topic was deleted and made anew; what the old one had is gone, so everything goes to the new one. Call while no answers are awaited. */
  topicReplaced(): void {
    assert(this.#window.length === 0, 'no answers are awaited');
    for (const batch of this.#waiting) displace(batch);
    this.#identity = undefined;
  }

  /** @returns what ended; nothing for an answer that comes too late to matter. */
  answered(batch: ProducerBatch, answer: BatchAnswer): readonly EndedBatch[] {
    const index = this.#window.indexOf(batch);
    if (index < 0 || !batch.flying) return [];
    batch.flying = false;
    const ended: EndedBatch[] = [];
    if (answer.kind === 'acknowledged') {
      this.#window.splice(index, 1);
      this.failures = 0;
      ended.push({ batch, outcome: answer, unanswered: false });
    } else if (answer.error.error === 'DUPLICATE_SEQUENCE_NUMBER') {
      // The broker has it, from longer ago than it remembers offsets.
      this.#window.splice(index, 1);
      ended.push({ batch, outcome: offsetUnknown, unanswered: false });
    } else {
      batch.lastError = answer.error;
      batch.inDoubt ||= leavesDoubt(answer.error);
      this.#recovering = true;
    }
    this.#recoverOnceAnswered(ended);
    return ended;
  }

  /** The connection is gone: whatever was not answered is in doubt. */
  broken(error: TributaryError): readonly EndedBatch[] {
    const ended: EndedBatch[] = [];
    for (const batch of this.#window) {
      if (!batch.flying) continue;
      batch.flying = false;
      batch.inDoubt = true;
      batch.brokeOff = true;
      batch.lastError = error;
      this.#recovering = true;
    }
    this.#recoverOnceAnswered(ended);
    return ended;
  }

  /** Every batch of the window that is left was refused or lost: each is judged, in order. */
  #recoverOnceAnswered(ended: EndedBatch[]): void {
    if (!this.#recovering || this.#window.some((batch) => batch.flying)) return;
    const refused = this.#window;
    this.#window = [];
    this.#recovering = false;
    const again: ProducerBatch[] = [];
    let rest: Rest = 'keeps-its-places';
    let waits = false;
    for (const batch of refused) {
      if (rest === 'is-given-up') {
        ended.push(givenUpWith(batch));
        continue;
      }
      // What follows a batch that was never appended has not been either, whatever became of its own sendings.
      if (rest === 'is-renumbered') batch.inDoubt = false;
      const error = batch.lastError ?? new TributaryError('UNKNOWN_SERVER_ERROR', 'no reason was given');
      if (settlesDoubt(batch, error)) batch.inDoubt = false;
      const judged = verdict(batch, error, again.length > 0 || rest === 'is-renumbered');
      if (judged === 'give-up') {
        if (this.#idempotent) rest = batch.inDoubt ? 'is-given-up' : 'is-renumbered';
        ended.push({ batch, outcome: { kind: 'failed', error: refusedError(batch, error) }, unanswered: false });
        continue;
      }
      if (judged === 'renumber') rest = 'is-renumbered';
      if (rest === 'is-renumbered') displace(batch);
      if (judged === 'split') again.push(...this.#split(batch));
      else {
        again.push(batch);
        waits ||= again.length === 1;
      }
    }
    // Parts of a split batch need not wait: nothing is wrong with the broker.
    if (waits) this.failures++;
    this.#treatPlaced(rest, ended);
    this.#waiting = [...again, ...this.#waiting];
    this.#recount();
  }

  #split(batch: ProducerBatch): readonly ProducerBatch[] {
    const parts = split(batch);
    this.batchBytesMost = Math.min(this.batchBytesMost, Math.max(...parts.map(({ size }) => size)));
    return parts;
  }

  /** What becomes of batches that have places after the window, because they were about to be sent again. */
  #treatPlaced(rest: Rest, ended: EndedBatch[]): void {
    if (rest === 'keeps-its-places') return;
    this.#identity = undefined;
    const placed = this.#waiting.filter((batch) => batch.place !== undefined);
    if (rest === 'is-renumbered') {
      for (const batch of placed) displace(batch);
    } else {
      this.#waiting = this.#waiting.slice(placed.length);
      for (const batch of placed) ended.push(givenUpWith(batch));
    }
  }

  /** Parts of a split batch have one ordinal between them: what follows moves up. */
  #recount(): void {
    let previous = -1;
    for (const batch of this.#waiting) {
      if (batch.place === undefined) break;
      batch.ordinal = Math.max(batch.ordinal, previous + 1);
      previous = batch.ordinal;
    }
    this.#nextOrdinal = Math.max(this.#nextOrdinal, previous + 1);
  }

  /** Gives up what has run out of time. @param now on the monotonic clock, ms. @param why batches cannot be sent at all, where that is known. */
  expire(now: number, why: TributaryError | undefined): readonly EndedBatch[] {
    const ended: EndedBatch[] = [];
    if (this.deadline > now) return ended;
    const oldest = this.#window[0];
    if (oldest !== undefined) {
      // Refused without doubt, and the answers to what was sent after it will tell whether that may be renumbered: they come, or the connection ends.
      if (!oldest.flying && !oldest.inDoubt) return ended;
      this.#giveUpInDoubt(oldest, ended);
    }
    for (let batch = this.#waiting[0]; batch !== undefined && batch.deadline <= now; batch = this.#waiting[0]) {
      this.#waiting.shift();
      ended.push({ batch, outcome: { kind: 'failed', error: expiredError(batch, why) }, unanswered: false });
      if (batch.place !== undefined) this.#treatPlaced(batch.inDoubt ? 'is-given-up' : 'is-renumbered', ended);
    }
    if (
      this.#open !== undefined &&
      this.#open.deadline <= now &&
      this.#waiting.length === 0 &&
      this.#window.length === 0
    ) {
      ended.push({
        batch: this.#open,
        outcome: { kind: 'failed', error: expiredError(this.#open, why) },
        unanswered: false,
      });
      this.#open = undefined;
    }
    return ended;
  }

  #giveUpInDoubt(oldest: ProducerBatch, ended: EndedBatch[]): void {
    const { flying } = oldest;
    oldest.flying = false;
    oldest.inDoubt = true;
    ended.push({
      batch: oldest,
      outcome: { kind: 'failed', error: expiredError(oldest, undefined) },
      unanswered: flying,
    });
    for (const batch of this.#window.slice(1)) {
      ended.push(givenUpWith(batch));
      batch.flying = false;
    }
    this.#window = [];
    this.#recovering = false;
    if (this.#idempotent) this.#treatPlaced('is-given-up', ended);
  }

  /** Everything fails at once: the topic is gone, or the producer closes. */
  fail(error: (batch: ProducerBatch) => TributaryError): readonly EndedBatch[] {
    const all = [...this.#window, ...this.#waiting, ...(this.#open === undefined ? [] : [this.#open])];
    this.#window = [];
    this.#waiting = [];
    this.#open = undefined;
    this.#recovering = false;
    this.#identity = undefined;
    return all.map((batch) => {
      const unanswered = batch.flying;
      batch.inDoubt ||= unanswered;
      batch.flying = false;
      return { batch, outcome: { kind: 'failed', error: error(batch) }, unanswered };
    });
  }
}

/** Of the batches that have places: what becomes of those after one that was given up. */
type Rest = 'keeps-its-places' | 'is-renumbered' | 'is-given-up';

const givenUpWith = (batch: ProducerBatch): EndedBatch => ({
  batch,
  outcome: { kind: 'failed', error: givenUpWithError(batch) },
  unanswered: batch.flying,
});

/** Takes its place in the sequence away: only from what can no longer be appended there. */
function displace(batch: ProducerBatch): void {
  batch.moveTo(undefined);
  batch.inDoubt = false;
}

/** The parts share the place of the whole, so that what follows keeps its own. */
function split(batch: ProducerBatch): readonly ProducerBatch[] {
  const parts = splitBatch(batch);
  if (batch.place === undefined) return parts;
  const { identity } = batch.place;
  let { sequence } = batch.place;
  for (const part of parts) {
    part.moveTo({ identity, sequence });
    part.ordinal = batch.ordinal;
    sequence = sequenceAfter(sequence, part.count);
  }
  return parts;
}
