/** What leaders are asked about the records of their partitions, and told to take away. */
import { type Offset, offset, TributaryError } from '@tributary/model';
import { type DeletedRecords as Answer, methods } from '@tributary/wire';
import { adminCall, type AdminOptions, type ChangeOptions } from './admin-call.ts';
import { type Route, type Routing, routeOf } from './routing.ts';

export interface RecordsToDelete {
  readonly topic: string;
  readonly partition: number;
  /** Records before this offset go; `end`: all that can be read. */
  readonly before: bigint | 'end';
}

/** What went, or would go. */
export interface DeletedRecords {
  readonly topic: string;
  readonly partition: number;
  /** The first offset that there is afterwards. */
  readonly logStartOffset: Offset;
  /** Offsets that are no longer readable; a compacted log has fewer records than that. */
  readonly records: number;
  /** Of the segments that go as a whole. */
  readonly bytes: number;
}

/**
 * All at once; where one fails, others may have been done: the error names the partition.
 * @throws TributaryError OFFSET_OUT_OF_RANGE, POLICY_VIOLATION, UNKNOWN_TOPIC_OR_PARTITION; what lasted when the deadline came.
 */
export async function deleteRecords(
  routing: Routing,
  wanted: readonly RecordsToDelete[],
  options: ChangeOptions,
): Promise<readonly DeletedRecords[]> {
  const done = new Map<RecordsToDelete, DeletedRecords>();
  const call = adminCall(routing, 'Deleting records', options);
  await routing.retry(call, async (_, deadlineMs) => {
    const byLeader = new Map<string, { wish: RecordsToDelete; route: Route }[]>();
    for (const wish of wanted) {
      if (done.has(wish)) continue;
      const topic = await routing.waitForTopic(wish.topic, { ...call, deadlineMs });
      const route = routeOf(routing, wish.topic, topic, wish.partition);
      byLeader.set(route.address, [...(byLeader.get(route.address) ?? []), { wish, route }]);
    }
    const asked = await Promise.allSettled(
      [...byLeader].map(([address, wishes]) => askLeader(routing, address, wishes, done, deadlineMs, options)),
    );
    for (const each of asked) if (each.status === 'rejected') throw each.reason;
  });
  return wanted.map((wish) => done.get(wish)).filter((each) => each !== undefined);
}

async function askLeader(
  routing: Routing,
  address: string,
  wishes: readonly { wish: RecordsToDelete; route: Route }[],
  done: Map<RecordsToDelete, DeletedRecords>,
  deadlineMs: number,
  options: ChangeOptions,
): Promise<void> {
  const partitions = wishes.map(({ wish, route }) => ({
    topicId: route.topicId,
    partition: wish.partition,
    leaderEpoch: route.leaderEpoch,
    beforeOffset: wish.before === 'end' ? -1n : wish.before,
  }));
  const request = { context: routing.context, partitions, validateOnly: options.validateOnly ?? false };
  const { signal } = options;
  let answers: readonly Answer[];
  try {
    answers = (await routing.connections.ask(address, methods.deleteRecords, request, deadlineMs, signal)).partitions;
  } catch (thrown) {
    routing.refreshAvoiding(address);
    throw TributaryError.from(thrown);
  }
  let failure: TributaryError | undefined;
  for (const [index, { wish }] of wishes.entries()) {
    const answer = answers[index];
    if (answer === undefined) {
      const count = `${answers.length} of ${wishes.length} partitions`;
      throw new TributaryError('UNKNOWN_SERVER_ERROR', `${address} answered about ${count}.`);
    }
    if (answer.errorCode === 0) done.set(wish, { ...gone(answer), topic: wish.topic });
    else failure ??= TributaryError.fromAnswer(answer.errorCode, answer.errorMessage);
  }
  if (failure?.refreshMetadata === true) routing.refresh();
  if (failure !== undefined) throw failure;
}

function gone(answer: Answer): Omit<DeletedRecords, 'topic'> {
  return {
    partition: answer.partition,
    logStartOffset: offset(answer.logStartOffset),
    records: Number(answer.records),
    bytes: Number(answer.bytes),
  };
}

/**
 * What retention would take from a topic under these settings; by partition.
 * @param settings in force, whole, by name. @throws TributaryError INVALID_CONFIG; what lasted when the deadline came.
 */
export async function previewRetention(
  routing: Routing,
  topic: { readonly name: string; readonly id: string },
  settings: Readonly<Record<string, string>>,
  options: AdminOptions,
): Promise<readonly DeletedRecords[]> {
  const call = adminCall(routing, `Previewing retention of topic "${topic.name}"`, options);
  return await routing.retry(call, async (attempt, deadlineMs) => {
    const request = { context: routing.context, topicId: topic.id, configs: { ...settings } };
    const { partitions } = await routing.callOnce(
      methods.previewRetention,
      request,
      attempt,
      deadlineMs,
      options.signal,
    );
    const found: DeletedRecords[] = [];
    for (const answer of partitions) {
      if (answer.errorCode !== 0) throw TributaryError.fromAnswer(answer.errorCode, answer.errorMessage);
      found.push({ ...gone(answer), topic: topic.name });
    }
    return found.toSorted((a, b) => a.partition - b.partition);
  });
}
