/** Asking leaders for offsets: the first, the end, or that of a time. */
import { type Offset, offset, TributaryError } from '@tributary/model';
import { type ListedOffset, methods, OffsetSpec } from '@tributary/wire';
import { type CallOptions, type Route, type Routing, routeOf } from './routing.ts';

export interface OffsetQuestion {
  readonly topic: string;
  readonly partition: number;
  /** `time`: of the first record at or after it; `newest`: of the first record with the newest timestamp. */
  readonly wanted:
    | { readonly kind: 'beginning' }
    | { readonly kind: 'end' }
    | { readonly kind: 'newest' }
    /** Milliseconds since 1970. */
    | { readonly kind: 'time'; readonly timestampMs: number };
}

export interface FoundOffset {
  readonly offset: Offset;
  /** Undefined for `beginning` and `end`. */
  readonly timestampMs: number | undefined;
}

/** Undefined: no record is that young. */
export type OffsetAnswer = FoundOffset | undefined;

/**
 * Answers in the order of the questions.
 * @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION; whatever a leader refuses with; what lasted when the deadline came.
 */
export async function lookUpOffsets(
  routing: Routing,
  questions: readonly OffsetQuestion[],
  options: CallOptions,
): Promise<readonly OffsetAnswer[]> {
  const answers = new Map<OffsetQuestion, OffsetAnswer>();
  await routing.retry(options, async (_, deadlineMs) => {
    const byLeader = new Map<string, { question: OffsetQuestion; route: Route }[]>();
    for (const question of questions) {
      if (answers.has(question)) continue;
      const topic = await routing.waitForTopic(question.topic, { ...options, deadlineMs });
      const route = routeOf(routing, question.topic, topic, question.partition);
      byLeader.set(route.address, [...(byLeader.get(route.address) ?? []), { question, route }]);
    }
    await Promise.all(
      [...byLeader].map(
        async ([address, asked]) => await ask(routing, address, asked, answers, deadlineMs, options.signal),
      ),
    );
  });
  return questions.map((question) => answers.get(question));
}

async function ask(
  routing: Routing,
  address: string,
  asked: readonly { question: OffsetQuestion; route: Route }[],
  answers: Map<OffsetQuestion, OffsetAnswer>,
  deadlineMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const partitions = asked.map(({ question, route }) => ({
    topicId: route.topicId,
    partition: question.partition,
    leaderEpoch: route.leaderEpoch,
    spec: specOf(question),
    timestampMs: question.wanted.kind === 'time' ? BigInt(question.wanted.timestampMs) : 0n,
  }));
  let listed: readonly ListedOffset[];
  try {
    const request = { context: routing.context, partitions };
    listed = (await routing.connections.ask(address, methods.listOffsets, request, deadlineMs, signal)).partitions;
  } catch (thrown) {
    routing.refreshAvoiding(address);
    throw TributaryError.from(thrown);
  }
  for (const [index, { question }] of asked.entries()) {
    const found = listed[index];
    if (found === undefined)
      throw new TributaryError(
        'UNKNOWN_SERVER_ERROR',
        `${address} answered about ${listed.length} of ${asked.length} partitions.`,
      );
    if (found.errorCode === 0) {
      answers.set(
        question,
        found.offset < 0n
          ? undefined
          : {
              offset: offset(found.offset),
              timestampMs: found.timestampMs < 0n ? undefined : Number(found.timestampMs),
            },
      );
      continue;
    }
    const error = TributaryError.fromAnswer(found.errorCode, found.errorMessage);
    if (error.refreshMetadata) routing.refresh();
    throw error;
  }
}

function specOf({ wanted }: OffsetQuestion): OffsetSpec {
  switch (wanted.kind) {
    case 'beginning':
      return OffsetSpec.EARLIEST;
    case 'end':
      return OffsetSpec.LATEST;
    case 'newest':
      return OffsetSpec.MAX_TIMESTAMP;
    case 'time':
      return OffsetSpec.TIMESTAMP;
  }
}
