/** Loading: the records of one partition of `__consumer_offsets` from its beginning to the owner's fence, wherever it is led meanwhile. */
import { limits, type LeaderEpoch, type Offset, TributaryError } from '@tributary/model';
import { LinkedAbort } from '@tributary/metadata';
import { BatchScanner, isControlBatch, nextOffsetOf, openBatch } from '@tributary/record';
import { type FetchedPartition, IsolationLevel, methods, OffsetSpec } from '@tributary/wire';
import type { JournalRecord } from './journal-record.ts';
import type { JournalPlace, JournalPorts } from './journal-writer.ts';
import type { Leader, Leaders } from './leaders.ts';

/** What was read so far is not the log any more: loading begins anew, with nothing. */
export class LogRestarted extends Error {
  override readonly name = 'LogRestarted';
}

export interface LoadedJournal {
  /** Records, those that newer ones replace included. */
  readonly records: number;
  readonly bytes: number;
}

/**
 * @param end read up to here, exclusive. @param apply told of each record, in order.
 * @throws LogRestarted; the signal's reason; TributaryError CORRUPT_MESSAGE.
 */
export async function readJournal(
  place: JournalPlace,
  end: Offset,
  apply: (record: JournalRecord) => void,
  leaders: Leaders,
  ports: JournalPorts,
  signal: AbortSignal,
): Promise<LoadedJournal> {
  const reading = new Reading(place, end, apply);
  let pauseMs: number = limits.journalRetryMsMin;
  while (!reading.isDone) {
    signal.throwIfAborted();
    const { topicId, partition } = place;
    const image = await ports.images.until((each) => leaders.of(topicId, partition, each) !== undefined, signal);
    const leader = leaders.of(topicId, partition, image);
    if (leader === undefined) continue;
    const before = reading.next;
    try {
      await readFrom(leader, reading, leaders, ports, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof TributaryError) || isFinal(thrown)) throw thrown;
      if (reading.next !== before) pauseMs = limits.journalRetryMsMin;
      await ports.clock.sleep(pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, limits.journalRetryMsMax);
    }
  }
  return { records: reading.records, bytes: reading.bytes };
}

const isFinal = ({ error }: TributaryError): boolean =>
  error === 'CORRUPT_MESSAGE' || error === 'UNSUPPORTED_FOR_MESSAGE_FORMAT' || error === 'UNSUPPORTED_COMPRESSION_TYPE';

/** How far it has come, over all leaders. */
class Reading {
  readonly place: JournalPlace;
  readonly end: Offset;
  readonly #apply: (record: JournalRecord) => void;
  /** undefined: not begun. */
  next: Offset | undefined;
  records = 0;
  bytes = 0;

  constructor(place: JournalPlace, end: Offset, apply: (record: JournalRecord) => void) {
    this.place = place;
    this.end = end;
    this.#apply = apply;
  }

  get isDone(): boolean {
    return this.next !== undefined && this.next >= this.end;
  }

  /** Whole batches; the first may begin below what was asked for. */
  take(bytes: Uint8Array): void {
    const scanner = new BatchScanner(bytes, 0, bytes.length);
    while (scanner.next() && !this.isDone) {
      const { at } = scanner;
      if (!isControlBatch(bytes, at)) this.#takeBatch(bytes, at);
      this.next = nextOffsetOf(bytes, at);
      this.bytes += scanner.size;
    }
  }

  #takeBatch(bytes: Uint8Array, at: number): void {
    const cursor = openBatch(bytes, at).cursor();
    for (let record = cursor.next(); record !== undefined; record = cursor.next()) {
      if (this.next !== undefined && record.offset < this.next) continue;
      if (record.offset >= this.end) return;
      this.records++;
      const { key, value } = record;
      if (key !== null) this.#apply({ key, value });
    }
  }
}

/** From one leader, until it is done, is none any more, or has said nothing for long. @throws TributaryError; LogRestarted. */
async function readFrom(
  leader: Leader,
  reading: Reading,
  leaders: Leaders,
  { clock, images }: JournalPorts,
  signal: AbortSignal,
): Promise<void> {
  const { topicId, partition } = reading.place;
  reading.next ??= await logStart(leader, reading.place, leaders, signal);
  if (reading.isDone) return;
  using attempting = new LinkedAbort(signal);
  const ended = attempting.signal;
  const { leaderEpoch } = leader;
  const moved = (image: { partition: typeof images.current.partition }): boolean =>
    image.partition(topicId, partition)?.leaderEpoch !== leaderEpoch;
  const stop = (why: TributaryError): void => attempting.abort(why);
  images.until(moved, ended).then(
    () => stop(new TributaryError('NOT_LEADER_OR_FOLLOWER', 'Another broker leads the partition.')),
    () => undefined,
  );
  const heard = { atMs: clock.monotonicMs() };
  void watchSilence(heard, clock, ended, () => {
    leaders.reconnect(leader.address);
    stop(new TributaryError('REQUEST_TIMED_OUT', `${leader.address} has sent nothing.`));
  });
  const stream = leaders.peer(leader.address).stream(methods.fetch, ended);
  try {
    let limit = BigInt(limits.journalWindow);
    stream.send({ ...nothing, context: leaders.context, open: [position(reading, leaderEpoch, limit)] });
    for await (const { partitions } of stream) {
      heard.atMs = clock.monotonicMs();
      for (const frame of partitions) {
        refused(frame);
        reading.take(frame.records);
        limit += BigInt(frame.records.length);
        if (frame.creditNeeded > limit) limit = frame.creditNeeded;
      }
      if (reading.isDone) return;
      stream.send({ ...nothing, credit: [{ topicId, partition, generation: 1, creditLimit: limit }] });
    }
    throw new TributaryError('NETWORK_EXCEPTION', `${leader.address} ended the stream.`);
  } finally {
    stream.cancel();
    attempting.abort(new Error('Read.'));
  }
}

const nothing = {
  context: undefined,
  rack: '',
  isolationLevel: IsolationLevel.READ_UNCOMMITTED,
  open: [],
  credit: [],
  close: [],
  fromFollower: false,
};

function position({ place, next }: Reading, leaderEpoch: LeaderEpoch, creditLimit: bigint) {
  const { topicId, partition } = place;
  return { topicId, partition, generation: 1, offset: next ?? 0n, lastEpoch: -1, leaderEpoch, creditLimit };
}

async function logStart(leader: Leader, place: JournalPlace, leaders: Leaders, signal: AbortSignal): Promise<Offset> {
  const { topicId, partition } = place;
  const question = { topicId, partition, leaderEpoch: leader.leaderEpoch, spec: OffsetSpec.EARLIEST, timestampMs: 0n };
  const request = { context: leaders.context, partitions: [question] };
  const answer = await leaders.ask(leader.address, methods.listOffsets, request, signal);
  const listed = answer.partitions[0];
  if (listed === undefined) throw new TributaryError('UNKNOWN_SERVER_ERROR', 'The leader named no log start.');
  if (listed.errorCode !== 0) throw TributaryError.fromAnswer(listed.errorCode, listed.errorMessage);
  return listed.offset as Offset;
}

/** @throws TributaryError; LogRestarted. */
function refused({ errorCode, errorMessage }: FetchedPartition): void {
  if (errorCode === 0) return;
  const error = TributaryError.fromAnswer(errorCode, errorMessage);
  if (error.error === 'OFFSET_OUT_OF_RANGE') throw new LogRestarted(error.message);
  throw error;
}

async function watchSilence(
  heard: { readonly atMs: number },
  clock: JournalPorts['clock'],
  signal: AbortSignal,
  silent: () => void,
): Promise<void> {
  try {
    while (clock.monotonicMs() - heard.atMs < limits.journalSilenceMs)
      await clock.sleep(limits.journalSilenceMs, signal);
    silent();
  } catch {
    // Over.
  }
}
