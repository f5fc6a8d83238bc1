/** Letting a group go on from elsewhere: where each partition would stand, and the commit of it. */
import { type Offset, offset, TributaryError } from '@tributary/model';
import { methods } from '@tributary/wire';
import { adminCall, type ChangeOptions } from './admin-call.ts';
import type { GroupDescription } from './admin-group-description.ts';
import { errorOf, retriableThrown } from './admin-group-answers.ts';
import type { TopicPartition } from './topic-partition.ts';
import { lookUpOffsets, type OffsetQuestion } from './offset-lookup.ts';
import type { CallOptions, Routing } from './routing.ts';

export interface OffsetReset {
  /** What lies beyond the beginning or the end of a log is moved there. */
  readonly to:
    | { readonly kind: 'earliest' }
    | { readonly kind: 'latest' }
    | { readonly kind: 'offset'; readonly offset: bigint }
    /** The first record at or after it, milliseconds since 1970; the end, where there is none. */
    | { readonly kind: 'time'; readonly timestampMs: number }
    /** So many offsets on, or back, from what is committed. */
    | { readonly kind: 'shift'; readonly by: bigint };
  /** `committed`: all for which the group has committed something. Of a topic without a list: all its partitions. */
  readonly of: 'committed' | readonly { readonly topic: string; readonly partitions?: readonly number[] | undefined }[];
}

export interface ResetOffset extends TopicPartition {
  /** undefined: nothing was committed. */
  readonly before: Offset | undefined;
  /** What is committed now; undefined: see the error. */
  readonly after: Offset | undefined;
  /** Why this partition stays as it is. */
  readonly error: TributaryError | undefined;
}

interface Wanted extends TopicPartition {
  readonly topicId: string;
  readonly before: Offset | undefined;
}

/** Members that an error names: a few tell who has to stop. */
const namedMax = 3;

export async function resetOffsets(
  routing: Routing,
  groupId: string,
  group: GroupDescription | undefined,
  { to, of }: OffsetReset,
  options: ChangeOptions,
): Promise<readonly ResetOffset[]> {
  refuseMembers(groupId, group);
  const call = adminCall(routing, `Resetting offsets of group "${groupId}"`, options);
  const wanted = await partitionsOf(routing, groupId, group, of, call);
  const targets = await targetsOf(routing, wanted, to, call);
  const known = wanted.flatMap((each, at) => {
    const target = targets[at];
    return target === undefined ? [] : [{ ...each, target }];
  });
  const results = known.length === 0 ? [] : await commit(routing, groupId, known, call, options);
  const errors = new Map(known.map(({ topic, partition }, at) => [`${topic}/${partition}`, errorOf(results[at])]));
  return wanted.map(({ topic, partition, before }, at) => {
    const target = targets[at];
    const error = target === undefined ? nothingToShift(topic, partition) : errors.get(`${topic}/${partition}`);
    return { topic, partition, before, after: error === undefined ? target : undefined, error };
  });
}

/** @throws TributaryError NON_EMPTY_GROUP naming who has to stop. */
function refuseMembers(groupId: string, group: GroupDescription | undefined): void {
  const members = group?.members ?? [];
  if (members.length === 0) return;
  const named = members
    .slice(0, namedMax)
    .map(({ memberId, clientId, host }) => `${memberId} (client ${clientId} at ${host})`);
  const more = members.length > namedMax ? ` and ${members.length - namedMax} more` : '';
  const count = members.length === 1 ? 'a member' : `${members.length} members`;
  throw new TributaryError(
    'NON_EMPTY_GROUP',
    `Group "${groupId}" has ${count}: ${named.join(', ')}${more}. Its offsets are theirs: stop them first.`,
  );
}

async function partitionsOf(
  routing: Routing,
  groupId: string,
  group: GroupDescription | undefined,
  of: OffsetReset['of'],
  call: CallOptions,
): Promise<readonly Wanted[]> {
  const committed = (group?.partitions ?? []).filter(({ committedOffset }) => committedOffset !== undefined);
  if (of === 'committed') {
    if (group === undefined) throw new TributaryError('GROUP_ID_NOT_FOUND', `There is no group "${groupId}".`);
    return committed.map(({ topic, topicId, partition, committedOffset: before }) => {
      return { topic, topicId, partition, before };
    });
  }
  const wanted: Wanted[] = [];
  for (const { topic, partitions } of of) {
    const { id, partitions: there } = await routing.waitForTopic(topic, call);
    for (const partition of partitions ?? there.map((view) => view.partition)) {
      const before = committed.find((each) => each.topicId === id && each.partition === partition)?.committedOffset;
      wanted.push({ topic, topicId: id, partition, before });
    }
  }
  return wanted;
}

/** undefined: there is nothing to count from. */
async function targetsOf(
  routing: Routing,
  wanted: readonly Wanted[],
  to: OffsetReset['to'],
  call: CallOptions,
): Promise<readonly (Offset | undefined)[]> {
  const ask = async (kind: OffsetQuestion['wanted']): Promise<readonly (Offset | undefined)[]> => {
    const questions = wanted.map(({ topic, partition }) => ({ topic, partition, wanted: kind }));
    return (await lookUpOffsets(routing, questions, call)).map((found) => found?.offset);
  };
  if (to.kind === 'earliest') return await ask({ kind: 'beginning' });
  const ends = await ask({ kind: 'end' });
  switch (to.kind) {
    case 'latest':
      return ends;
    case 'time': {
      const found = await ask({ kind: 'time', timestampMs: to.timestampMs });
      return found.map((each, at) => each ?? ends[at]);
    }
    case 'offset':
    case 'shift': {
      const beginnings = await ask({ kind: 'beginning' });
      return wanted.map(({ before }, at) => {
        const target = to.kind === 'offset' ? to.offset : before === undefined ? undefined : before + to.by;
        return target === undefined ? undefined : within(target, beginnings[at] ?? 0n, ends[at] ?? 0n);
      });
    }
  }
}

const within = (wanted: bigint, least: bigint, most: bigint): Offset =>
  offset(wanted < least ? least : wanted > most ? most : wanted);

function nothingToShift(topic: string, partition: number): TributaryError {
  return new TributaryError(
    'INVALID_REQUEST',
    `Nothing is committed for partition ${partition} of "${topic}", from which to shift: name an offset, or earliest or latest.`,
  );
}

async function commit(
  routing: Routing,
  groupId: string,
  known: readonly (Wanted & { readonly target: Offset })[],
  call: CallOptions,
  { validateOnly = false, signal }: ChangeOptions,
) {
  return await routing.retry(call, async (attempt, deadlineMs) => {
    const offsets = known.map(({ topicId, partition, target }) => {
      return { topicId, partition, offset: target, leaderEpoch: -1, metadata: '' };
    });
    const request = {
      context: routing.context,
      groupId,
      memberId: '',
      memberEpoch: 0,
      offsets,
      sequence: 0n,
      validateOnly,
    };
    const { results } = await routing.callOnce(methods.commitOffsets, request, attempt, deadlineMs, signal);
    return retriableThrown(results);
  });
}
