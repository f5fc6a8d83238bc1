/**
 * Writing one owned partition of `__consumer_offsets` (G1). What is written names the owner's writer epoch, which is its producer id, too: a write is
 * repeated, identical, until it is acknowledged or fenced, wherever the partition is led meanwhile, and is in the log once (P1). There is no third outcome.
 */
import {
  errorName,
  type LeaderEpoch,
  limits,
  type NodeId,
  type Offset,
  offset,
  type PartitionIndex,
  producerEpoch,
  producerId,
  type TopicId,
  TributaryError,
  type WriterEpoch,
} from '@tributary/model';
import { Alarm, type ImageSource, LinkedAbort } from '@tributary/metadata';
import type { Clock, Logger } from '@tributary/ports';
import { encodeBatch, type NewRecord, sequenceAfter } from '@tributary/record';
import { FenceValue, JournalKey, type ProduceResult } from '@tributary/wire';
import type { JournalRecord } from './journal-record.ts';
import type { Leader, Leaders } from './leaders.ts';

/** Which journal, and by which right. */
export interface JournalPlace {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly writerEpoch: WriterEpoch;
}

export interface JournalPorts {
  readonly clock: Clock;
  readonly images: ImageSource;
  readonly logger: Logger;
}

export interface Written {
  /** Of the first record. */
  readonly offset: Offset;
  /** On the monotonic clock, ms: when the write was sent that is acknowledged, or an identical one before it (G2). */
  readonly sentMs: number;
}

/** Somebody else owns the partition: its fence is newer. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

/** The log refuses what can only be refused when records of it were lost, or by a bug. */
class JournalBroken extends Error {
  override readonly name = 'JournalBroken';
}

const fenceKey = JournalKey.encode({ key: { $case: 'fence', value: true } }).finish();

/** Always the same key: compaction keeps one. */
export function fenceRecord(writerEpoch: WriterEpoch, coordinatorId: NodeId): JournalRecord {
  return { key: fenceKey, value: FenceValue.encode({ writerEpoch, coordinatorId }).finish() };
}

/** A write on its way. */
interface Attempt {
  readonly leader: Leader;
  readonly sentMs: number;
  readonly outcome: PromiseWithResolvers<Outcome>;
}

export class JournalWriter implements Disposable {
  readonly #place: JournalPlace;
  readonly #leaders: Leaders;
  readonly #ports: JournalPorts;
  readonly #silence: Alarm;
  #attempt: Attempt | undefined;
  /** Whose end is awaited: an attempt hears of another epoch without a wait of its own. */
  #awaited: LeaderEpoch | undefined;
  #sequence = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  constructor(place: JournalPlace, leaders: Leaders, ports: JournalPorts) {
    this.#place = place;
    this.#leaders = leaders;
    this.#ports = ports;
    this.#silence = new Alarm(ports.clock, () => this.#listen());
  }

  /**
   * One at a time: what comes meanwhile goes out together as the next (group commit). Resolves once every in-sync replica has the records.
   * @throws Fenced; JournalBroken; the signal's reason: then nobody knows whether they are in the log.
   */
  async append(records: readonly JournalRecord[], signal: AbortSignal): Promise<Written> {
    const { writerEpoch } = this.#place;
    const timestamp = this.#ports.clock.wallMs();
    const bytes = records.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
    const producer = { id: producerId(writerEpoch), epoch: producerEpoch(0), baseSequence: this.#sequence };
    const compression = bytes > limits.journalCompressed ? 'lz4' : 'none';
    const batch = encodeBatch(
      records.map(({ key, value }): NewRecord => ({ timestamp, key, value })),
      { producer, compression },
    );
    let pauseMs: number = limits.journalRetryMsMin;
    for (;;) {
      signal.throwIfAborted();
      const leader = await this.#leader(signal);
      const sentMs = this.#ports.clock.monotonicMs();
      const outcome = await this.#send(leader, batch, sentMs, signal);
      signal.throwIfAborted();
      if (outcome.kind === 'acknowledged') {
        this.#sequence = sequenceAfter(this.#sequence, records.length);
        return { offset: outcome.offset, sentMs };
      }
      if (outcome.kind === 'moved') {
        pauseMs = limits.journalRetryMsMin;
        continue;
      }
      this.#say(leader, outcome.error);
      await this.#pause(leader, pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, limits.journalRetryMsMax);
    }
  }

  async #leader(signal: AbortSignal): Promise<Leader> {
    const { topicId, partition } = this.#place;
    const image = await this.#ports.images.until(
      (each) => this.#leaders.of(topicId, partition, each) !== undefined,
      signal,
    );
    const leader = this.#leaders.of(topicId, partition, image);
    if (leader === undefined) throw new TributaryError('LEADER_NOT_AVAILABLE', 'Nobody leads the partition.');
    return leader;
  }

  /** @throws Fenced; JournalBroken; the signal's reason. */
  async #send(leader: Leader, records: Uint8Array, sentMs: number, signal: AbortSignal): Promise<Outcome> {
    const { topicId, partition, writerEpoch } = this.#place;
    const { leaderEpoch } = leader;
    const attempt: Attempt = { leader, sentMs, outcome: Promise.withResolvers() };
    this.#attempt = attempt;
    this.#awaitEndOf(leaderEpoch, signal);
    this.#silence.at(sentMs + limits.journalSilenceMs);
    this.#leaders
      .pipe(leader.address)
      .send({ topicId, partition, leaderEpoch, records, writerEpoch })
      .then(
        (result) => attempt.outcome.resolve(outcomeOf(result)),
        (thrown: unknown) => attempt.outcome.resolve({ kind: 'failed', error: TributaryError.from(thrown) }),
      );
    try {
      return judge(await attempt.outcome.promise);
    } finally {
      this.#attempt = undefined;
    }
  }

  #awaitEndOf(leaderEpoch: LeaderEpoch, signal: AbortSignal): void {
    if (this.#awaited === leaderEpoch) return;
    this.#awaited = leaderEpoch;
    const { topicId, partition } = this.#place;
    const ended = (settle: ({ outcome }: Attempt) => void): void => {
      if (this.#awaited === leaderEpoch) this.#awaited = undefined;
      if (this.#attempt?.leader.leaderEpoch === leaderEpoch) settle(this.#attempt);
    };
    this.#ports.images
      .until((image) => image.partition(topicId, partition)?.leaderEpoch !== leaderEpoch, signal)
      .then(
        () => ended(({ outcome }) => outcome.resolve({ kind: 'moved' })),
        (thrown: unknown) => ended(({ outcome }) => outcome.reject(thrown)),
      );
  }

  /** Whoever has not answered for long is not waited for any more. */
  #listen(): void {
    if (this.#attempt === undefined) return;
    const { leader, sentMs, outcome } = this.#attempt;
    const dueMs = sentMs + limits.journalSilenceMs;
    if (this.#ports.clock.monotonicMs() < dueMs) {
      this.#silence.at(dueMs);
      return;
    }
    this.#leaders.reconnect(leader.address);
    const what = `${leader.address} has not answered for ${limits.journalSilenceMs} ms.`;
    outcome.resolve({ kind: 'failed', error: new TributaryError('REQUEST_TIMED_OUT', what) });
  }

  [Symbol.dispose](): void {
    this.#silence[Symbol.dispose]();
  }

  /** For so long, or until somebody else leads. */
  async #pause({ leaderEpoch }: Leader, ms: number, signal: AbortSignal): Promise<void> {
    const { topicId, partition } = this.#place;
    const { clock, images } = this.#ports;
    using waiting = new LinkedAbort(signal);
    const moved = images.until(
      (image) => image.partition(topicId, partition)?.leaderEpoch !== leaderEpoch,
      waiting.signal,
    );
    const either = [moved, clock.sleep(ms, waiting.signal)];
    for (const each of either) each.catch(() => undefined);
    await Promise.race(either);
    waiting.abort(new Error('Waited long enough.'));
  }

  /** Once, and again where it lasts. */
  #say({ address }: Leader, error: TributaryError): void {
    const nowMs = this.#ports.clock.monotonicMs();
    if (nowMs - this.#saidMs < limits.storeWaitSaidMs) return;
    this.#saidMs = nowMs;
    const { partition } = this.#place;
    this.#ports.logger.warn('journal-write-repeated', { partition, leader: address, why: error.message });
  }
}

type Outcome =
  | { readonly kind: 'acknowledged'; readonly offset: Offset }
  /** Another epoch has begun: the same again, there. */
  | { readonly kind: 'moved' }
  | { readonly kind: 'failed'; readonly error: TributaryError };

function outcomeOf({ errorCode, errorMessage, baseOffset }: ProduceResult): Outcome {
  if (errorCode === 0) return { kind: 'acknowledged', offset: offset(baseOffset) };
  return { kind: 'failed', error: TributaryError.fromAnswer(errorCode, `${errorName(errorCode)}: ${errorMessage}`) };
}

/** @throws Fenced; JournalBroken. */
function judge(outcome: Outcome): Outcome {
  if (outcome.kind !== 'failed') return outcome;
  const { error } = outcome;
  switch (error.error) {
    case 'PRODUCER_FENCED':
    case 'INVALID_PRODUCER_EPOCH':
      throw new Fenced(error.message);
    case 'OUT_OF_ORDER_SEQUENCE_NUMBER':
    case 'DUPLICATE_SEQUENCE_NUMBER':
    case 'UNKNOWN_PRODUCER_ID':
    case 'MESSAGE_TOO_LARGE':
    case 'RECORD_LIST_TOO_LARGE':
    case 'INVALID_RECORD':
      throw new JournalBroken(error.message);
    default:
      return outcome;
  }
}
