/** Asking leaders how far readers are behind (G7): one question per leader, however many partitions and readers. */
import { limits, type Offset, type PartitionIndex, type TopicId, TributaryError } from '@tributary/model';
import type { ImageSource } from '@tributary/metadata';
import { type LagQuestion, methods, type PartitionLag } from '@tributary/wire';
import type { GroupPartition } from '../group/change.ts';
import type { Leaders } from '../journal/leaders.ts';

export interface Question {
  readonly place: GroupPartition;
  /** Of the next record that each reader will read. */
  readonly offsets: readonly Offset[];
}

/** The leader's answer, or why there is none. */
export type Measured =
  | { readonly kind: 'measured'; readonly lag: PartitionLag }
  | { readonly kind: 'unreachable'; readonly why: TributaryError };

/** @returns one for each question, in that order. Never rejects, but with the signal's reason. */
export async function measure(
  questions: readonly Question[],
  leaders: Leaders,
  images: Pick<ImageSource, 'current'>,
  signal: AbortSignal,
  deadlineMs: number = limits.internalCallMs,
): Promise<readonly Measured[]> {
  const answers: Measured[] = questions.map(({ place }) => nobody(place.topicId, place.partition));
  const byLeader = new Map<string, number[]>();
  const image = images.current;
  for (const [index, { place }] of questions.entries()) {
    const leader = leaders.of(place.topicId, place.partition, image);
    if (leader === undefined) continue;
    const asked = byLeader.get(leader.address);
    if (asked === undefined) byLeader.set(leader.address, [index]);
    else asked.push(index);
  }
  const asking = [...byLeader].flatMap(([address, indexes]) =>
    portions(indexes, questions).map((portion) => ask(address, portion)),
  );
  await Promise.all(asking);
  signal.throwIfAborted();
  return answers;

  async function ask(address: string, portion: readonly number[]): Promise<void> {
    const partitions = portion.map((index) => wireQuestion(questions[index]));
    try {
      const request = { context: leaders.context, partitions };
      const answer = await leaders.ask(address, methods.measureLag, request, signal, deadlineMs);
      for (const [at, index] of portion.entries()) {
        const lag = answer.partitions[at];
        if (lag !== undefined) answers[index] = measured(lag);
      }
    } catch (thrown) {
      const why = TributaryError.from(thrown);
      for (const index of portion) answers[index] = { kind: 'unreachable', why };
    }
  }
}

/** Below what one question may hold. */
function portions(indexes: readonly number[], questions: readonly Question[]): readonly (readonly number[])[] {
  const all: number[][] = [];
  let last: number[] = [];
  let offsets = 0;
  for (const index of indexes) {
    const count = questions[index]?.offsets.length ?? 0;
    if (last.length > 0 && (offsets + count > limits.lagOffsetsAsked || last.length >= limits.lagPartitionsAsked)) {
      all.push(last);
      last = [];
      offsets = 0;
    }
    last.push(index);
    offsets += count;
  }
  if (last.length > 0) all.push(last);
  return all;
}

function wireQuestion(question: Question | undefined): LagQuestion {
  const { topicId = '', partition = 0 } = question?.place ?? {};
  return { topicId, partition, offsets: [...(question?.offsets ?? [])] };
}

function measured(lag: PartitionLag): Measured {
  if (lag.errorCode === 0) return { kind: 'measured', lag };
  return { kind: 'unreachable', why: TributaryError.fromAnswer(lag.errorCode, lag.errorMessage) };
}

function nobody(topicId: TopicId, partition: PartitionIndex): Measured {
  const what = `Nobody leads partition ${partition} of topic ${topicId} now.`;
  return { kind: 'unreachable', why: new TributaryError('LEADER_NOT_AVAILABLE', what) };
}
