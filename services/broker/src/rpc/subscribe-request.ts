/** What a Subscribe asks for, checked. */
import { limits, type Offset, offset, TributaryError } from '@tributary/model';
import { IsolationLevel, type StartPosition, type SubscribeRequest, type TopicSelection } from '@tributary/wire';

/** Where reading begins. */
export type Start =
  | { readonly kind: 'beginning' }
  | { readonly kind: 'end' }
  | { readonly kind: 'offset'; readonly offset: Offset }
  /** Of the first record that is at least as new; milliseconds since 1970. */
  | { readonly kind: 'timestamp'; readonly timestampMs: number };

export interface Selection {
  readonly topic: string;
  /** undefined: all, also those that are added later. */
  readonly partitions: readonly number[] | undefined;
  readonly start: Start;
  /** Instead of `start`, by partition. */
  readonly positions: ReadonlyMap<number, Start>;
}

export const fromBeginning: Start = { kind: 'beginning' };

/** @throws TributaryError INVALID_REQUEST saying what is missing or contradicts itself. */
export function selectionsOf(request: SubscribeRequest): readonly Selection[] {
  if (request.topics.length === 0) throw invalid('A Subscribe names no topic: name at least one.');
  checkIsolation(request.isolationLevel);
  const names = new Set<string>();
  for (const { topic } of request.topics) {
    if (names.has(topic)) throw invalid(`A Subscribe names the topic "${topic.slice(0, 249)}" twice: name it once.`);
    names.add(topic);
  }
  return request.topics.map(selectionOf);
}

/** Below the high watermark all is committed until transactions exist: both levels read the same. */
function checkIsolation(level: IsolationLevel): void {
  switch (level) {
    case IsolationLevel.UNSPECIFIED:
    case IsolationLevel.READ_UNCOMMITTED:
    case IsolationLevel.READ_COMMITTED:
      return;
    default:
      throw invalid(`isolation_level is ${String(level)}: leave it out, or say one of the names of IsolationLevel.`);
  }
}

function selectionOf({ topic, partitions, start, positions }: TopicSelection): Selection {
  const named = [...new Set(partitions)];
  if (named.length !== partitions.length) throw invalid(`A Subscribe names a partition of ${topic} twice.`);
  if (named.length > limits.subscribePartitions)
    throw invalid(`A Subscribe names ${named.length} partitions; at most ${limits.subscribePartitions} are allowed.`);
  const byPartition = new Map<number, Start>();
  for (const position of positions) {
    if (byPartition.has(position.partition))
      throw invalid(`Two positions are given for ${topic}-${position.partition}.`);
    if (named.length > 0 && !named.includes(position.partition))
      throw invalid(`A position is given for ${topic}-${position.partition}, which is not among the partitions named.`);
    byPartition.set(position.partition, startOf(position.start));
  }
  return { topic, partitions: named.length === 0 ? undefined : named, start: startOf(start), positions: byPartition };
}

function startOf(start: StartPosition | undefined): Start {
  const position = start?.position;
  switch (position?.$case) {
    case undefined:
      return { kind: 'end' };
    case 'beginning':
    case 'end':
      if (!position.value) throw invalid(`start.${position.$case} is false: say true, or leave it out.`);
      return { kind: position.$case };
    case 'offset':
      return { kind: 'offset', offset: offset(position.value) };
    case 'timestampMs':
      return { kind: 'timestamp', timestampMs: Number(position.value) };
  }
}

function invalid(what: string): TributaryError {
  return new TributaryError('INVALID_REQUEST', what);
}
