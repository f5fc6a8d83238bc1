// pure
/** What a member of a group may be told, and what it may ask for. */
import { limits, TributaryError } from '@tributary/model';
import type { TopicPartition } from '../topic-partition.ts';

/** Whom an assignor of your own gives partitions to. */
export interface AssignorMember {
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  readonly rack: string;
  /** That it subscribes to. */
  readonly topics: readonly string[];
  /** What its `assignor.userData` says. */
  readonly userData: Uint8Array;
  /** What it has been given before. */
  readonly assigned: readonly TopicPartition[];
}

export interface AssignorTopic {
  readonly name: string;
  readonly partitions: number;
}

/**
 * An assignor of your own. One member of the group computes; all members should know it by the same name. Every partition of every subscribed topic goes to exactly
 * one member that subscribes to it: what fails that, or throws, leaves the assignment as it is, and is shown when the group is described.
 */
export interface Assignor {
  readonly name: string;
  /** Handed to whoever computes. */
  readonly userData?: Uint8Array | undefined;
  /** Partitions by member id. */
  assign(
    members: readonly AssignorMember[],
    topics: readonly AssignorTopic[],
  ): ReadonlyMap<string, readonly TopicPartition[]>;
}

/** Called and awaited while the application waits for records; after `maxPollIntervalMs` nobody waits for them any more. One that throws: `poll` says so once, and the group goes on. */
export interface RebalanceCallbacks {
  /** These partitions come to this consumer; their positions are known, and none of their records has been handed out. Seeking is possible. */
  readonly onAssigned?: ((partitions: readonly TopicPartition[]) => void | Promise<void>) | undefined;
  /** These partitions go to other members; nobody has them before this is over. Committing is possible. */
  readonly onRevoked?: ((partitions: readonly TopicPartition[]) => void | Promise<void>) | undefined;
  /** These partitions are gone, others may have them by now: committing is not possible. Default: as `onRevoked`. */
  readonly onLost?: ((partitions: readonly TopicPartition[]) => void | Promise<void>) | undefined;
}

export interface Subscription extends RebalanceCallbacks {
  /** Names. Those that do not exist yet are read once they do. */
  readonly topics?: readonly string[] | undefined;
  /** Beside the names, all topics whose whole name it matches, also those that are created later. Matched by the coordinator: no look-ahead, no back-references. */
  readonly pattern?: string | RegExp | undefined;
}

/** Of a member of a group; without `groupId` there is none. Times are milliseconds. */
export interface GroupOptions {
  /** Members of one group share the partitions of what they subscribe to, and commit how far they have come. */
  readonly groupId?: string;
  /** Static membership: whoever comes back under this name within the session timeout gets its partitions back, without a rebalance. */
  readonly groupInstanceId?: string;
  /** Silent for so long, a member is out. Default: the coordinator's, 10,000. */
  readonly sessionTimeoutMs?: number;
  /** The longest time from `poll` to `poll`, and for giving up partitions: after half of it the member is shown as stalled, after all of it it is out. Default 300,000. */
  readonly maxPollIntervalMs?: number;
  /** Commit what was taken and come back from, now and then, when partitions are given up, and on close. Default true. */
  readonly autoCommit?: boolean;
  /** Default 5,000. */
  readonly autoCommitIntervalMs?: number;
  /** Who gets what: spread evenly, moving little (`'sticky-uniform'`, the default); ranges of each topic (`'range'`); near replicas (`'rack'`); or one of your own. */
  readonly assignor?: 'sticky-uniform' | 'range' | 'rack' | Assignor;
  /**
   * Hand out no record once the session timeout has passed since the last sign of life that was answered had been sent: nobody else processes the partition at
   * the same time, at the price of standing still while no coordinator answers (`group.strict.ownership`). Default false.
   */
  readonly strictOwnership?: boolean;
  /** Told of commits that failed and that nobody awaits. Default: a warning in the log. */
  readonly onCommitError?: (error: TributaryError) => void;
}

export interface GroupSettings {
  readonly groupId: string;
  readonly instanceId: string;
  /** 0: the coordinator's. */
  readonly sessionTimeoutMs: number;
  readonly maxPollIntervalMs: number;
  readonly autoCommit: boolean;
  readonly autoCommitIntervalMs: number;
  readonly assignor: string;
  readonly ownAssignor: Assignor | undefined;
  readonly strictOwnership: boolean;
  readonly rack: string;
  readonly onCommitError: ((error: TributaryError) => void) | undefined;
}

/** @returns undefined: it is no member of a group. @throws TributaryError INVALID_CONFIG naming the option, its value and what is allowed. */
export function groupSettings(options: GroupOptions & { readonly rack?: string }): GroupSettings | undefined {
  const { groupId, assignor = 'sticky-uniform' } = options;
  if (groupId === undefined) {
    for (const name of ['groupInstanceId', 'assignor', 'strictOwnership'] as const)
      if (options[name] !== undefined) refuse(name, options[name], 'one beside a groupId');
    return undefined;
  }
  checkGroupId(groupId);
  const isKnown = typeof assignor !== 'string' || ['sticky-uniform', 'range', 'rack'].includes(assignor);
  if (!isKnown) refuse('assignor', assignor, 'sticky-uniform, range, rack, or { name, assign }');
  if (typeof assignor !== 'string' && !/^[\w.-]{1,100}$/.test(assignor.name))
    refuse('assignor', assignor.name, 'a name of letters, digits, ".", "_" and "-"');
  if (options.groupInstanceId === '') refuse('groupInstanceId', '', 'a name');
  return {
    groupId,
    instanceId: options.groupInstanceId ?? '',
    sessionTimeoutMs:
      options.sessionTimeoutMs === undefined ? 0 : positive('sessionTimeoutMs', options.sessionTimeoutMs),
    maxPollIntervalMs: positive('maxPollIntervalMs', options.maxPollIntervalMs ?? limits.maxPollIntervalMs),
    autoCommit: options.autoCommit ?? true,
    autoCommitIntervalMs: positive('autoCommitIntervalMs', options.autoCommitIntervalMs ?? limits.autoCommitMs),
    assignor: typeof assignor === 'string' ? assignor : `client:${assignor.name}`,
    ownAssignor: typeof assignor === 'string' ? undefined : assignor,
    strictOwnership: options.strictOwnership ?? false,
    rack: options.rack ?? '',
    onCommitError: options.onCommitError,
  };
}

/** What a subscription asks for. @throws TributaryError INVALID_REQUEST for one to nothing. */
export function interestOf({ topics = [], pattern }: Subscription): {
  readonly topics: readonly string[];
  readonly topicPattern: string;
} {
  const topicPattern = pattern instanceof RegExp ? pattern.source : (pattern ?? '');
  if (pattern instanceof RegExp && pattern.flags.replaceAll(/[uvg]/g, '') !== '')
    throw new TributaryError('INVALID_REGULAR_EXPRESSION', `The pattern ${pattern} has flags: they do not travel.`);
  if (topics.length === 0 && topicPattern === '')
    throw new TributaryError(
      'INVALID_REQUEST',
      'The subscription names no topic and no pattern: it is one to nothing.',
    );
  if (topics.some((name) => name === ''))
    throw new TributaryError('INVALID_TOPIC_EXCEPTION', 'The subscription names a topic "": a name is not empty.');
  return { topics: [...new Set(topics)], topicPattern };
}

/** @throws TributaryError INVALID_GROUP_ID. */
function checkGroupId(groupId: string): void {
  if (groupId === '') throw new TributaryError('INVALID_GROUP_ID', 'The group id is empty.');
  if (groupId.length > limits.groupIdLength)
    throw new TributaryError(
      'INVALID_GROUP_ID',
      `The group id has ${groupId.length} characters, allowed are ${limits.groupIdLength}.`,
    );
}

function positive(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 31 - 1)
    refuse(name, value, 'a whole number of milliseconds from 1 to 2147483647');
  return value;
}

function refuse(name: string, value: unknown, allowed: string): never {
  throw new TributaryError(
    'INVALID_CONFIG',
    `Bad value ${JSON.stringify(value) ?? String(value)} for the consumer's option ${name}: allowed is ${allowed}.`,
  );
}
