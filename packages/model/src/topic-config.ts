// pure
import { TributaryError } from './errors.ts';
import { limits } from './limits.ts';

/** A topic's settings as code uses them. Names on the outside are Kafka's; see {@link topicConfigKeys}. */
export interface TopicConfig {
  /** `commit`: durable means flushed; `async`: durable means written (L2). */
  readonly flushPolicy: 'commit' | 'async';
  /** Milliseconds that a record stays at least; undefined: for ever. */
  readonly retentionMs: number | undefined;
  /** Bytes of a partition that stay at least; undefined: all. */
  readonly retentionBytes: number | undefined;
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly indexIntervalBytes: number;
  readonly maxMessageBytes: number;
  readonly timestampType: 'CreateTime' | 'LogAppendTime';
  /** How far ahead of the broker's clock a timestamp may be (P3). */
  readonly timestampAfterMaxMs: number;
  readonly minInsyncReplicas: number;
  /** A replica that may lack acknowledged records may lead where nobody else is left (R5). */
  readonly uncleanLeaderElection: boolean;
  readonly fileDeleteDelayMs: number;
  /** `delete`: retention removes old segments; `compact`: the newest value of each key stays (L5). Both may hold. */
  readonly cleanup: { readonly delete: boolean; readonly compact: boolean };
  /** Compaction begins when this share of the log has not been compacted. */
  readonly minCleanableDirtyRatio: number;
  /** A record is not compacted away before this age, ms. */
  readonly minCompactionLagMs: number;
  /** Compaction begins, whatever the ratio, when a record has waited so long, ms; undefined: never for that reason. */
  readonly maxCompactionLagMs: number | undefined;
  /** A tombstone stays at least so long after compaction has first met it, ms. */
  readonly deleteRetentionMs: number;
  /** A tombstone goes after this, ms, even if a replica or link has not passed it (L5). */
  readonly tombstoneHoldMaxMs: number;
}

/** One setting: its default, its meaning, what it may be. */
export interface ConfigKey {
  readonly default: string;
  /** Name of the broker setting that is the default of this one, Kafka's; none: there is no such setting. */
  readonly brokerKey?: string;
  /** Words between commas: operations append and subtract apply. */
  readonly isList?: boolean;
  readonly doc: string;
  /** What is allowed, for the error sentence. */
  readonly allowed: string;
  readonly valid: (value: string) => boolean;
}

/** What Kafka's users write for "never": its own defaults are this number. */
const int64Most = 2n ** 63n - 1n;

/** A setting as a number: what is beyond the exact ones (285,000 years, 8 PiB) is no different from the largest of them. */
export const settingNumber = (value: string): number => Math.min(Number(value), Number.MAX_SAFE_INTEGER);

/** @param most the default: all that 64 bits hold. */
export const integer = (least: number, most: number = Number.MAX_SAFE_INTEGER) => ({
  allowed: most === Number.MAX_SAFE_INTEGER ? `a whole number ≥ ${least}` : `a whole number from ${least} to ${most}`,
  valid: (value: string): boolean =>
    /^-?\d{1,19}$/.test(value) &&
    BigInt(value) >= least &&
    BigInt(value) <= (most === Number.MAX_SAFE_INTEGER ? int64Most : most),
});
export const decimal = (least: number, most: number) => ({
  allowed: `a number from ${least} to ${most}`,
  valid: (value: string): boolean =>
    /^\d{1,3}(\.\d{1,16})?$/.test(value) && Number(value) >= least && Number(value) <= most,
});
const listOf = (...values: readonly string[]) => ({
  isList: true,
  allowed: `one or more of ${values.join(', ')}, separated by commas`,
  valid: (value: string): boolean => {
    const words = value.split(',').map((word) => word.trim());
    return words.every((word) => values.includes(word)) && new Set(words).size === words.length;
  },
});
const oneOf = (...values: readonly string[]) => ({
  allowed: values.join(' or '),
  valid: (value: string): boolean => values.includes(value),
});

/** Kafka's names, defaults and meanings; `flush.policy` is Tributary's own. */
export const topicConfigKeys = {
  'cleanup.policy': {
    default: 'delete',
    brokerKey: 'log.cleanup.policy',
    doc: 'delete: old segments go by time and size; compact: the newest value of each key stays; both may be set.',
    ...listOf('delete', 'compact'),
  },
  'flush.policy': {
    brokerKey: 'log.flush.policy',
    default: 'commit',
    doc: 'commit: acknowledged after fdatasync; async: after the write, as Kafka.',
    ...oneOf('commit', 'async'),
  },
  'retention.ms': {
    brokerKey: 'log.retention.ms',
    default: '604800000',
    doc: 'A record stays at least this long; -1: for ever.',
    ...integer(-1),
  },
  'retention.bytes': {
    brokerKey: 'log.retention.bytes',
    default: '-1',
    doc: 'At least so many bytes of a partition stay; -1: all.',
    ...integer(-1),
  },
  'segment.bytes': {
    brokerKey: 'log.segment.bytes',
    default: '1073741824',
    doc: 'A segment is closed at this size.',
    ...integer(1024, 2_147_483_647),
  },
  'segment.ms': {
    brokerKey: 'log.roll.ms',
    default: '604800000',
    doc: 'A segment is closed at this age of its first record.',
    ...integer(1),
  },
  'index.interval.bytes': {
    brokerKey: 'log.index.interval.bytes',
    default: '4096',
    doc: 'One index entry for each so many bytes of log.',
    ...integer(0, 1 << 30),
  },
  'max.message.bytes': {
    brokerKey: 'message.max.bytes',
    default: String(limits.batchBytesDefault),
    doc: 'Largest batch, header included.',
    ...integer(0, limits.batchBytesMax),
  },
  'message.timestamp.type': {
    brokerKey: 'log.message.timestamp.type',
    default: 'CreateTime',
    doc: "The producer's time, or the time of appending.",
    ...oneOf('CreateTime', 'LogAppendTime'),
  },
  'message.timestamp.after.max.ms': {
    brokerKey: 'log.message.timestamp.after.max.ms',
    default: '3600000',
    doc: 'How far ahead of the broker a timestamp may be.',
    ...integer(0),
  },
  'min.insync.replicas': {
    brokerKey: 'min.insync.replicas',
    default: '1',
    doc: 'acks=all needs so many in-sync replicas.',
    ...integer(1),
  },
  'unclean.leader.election.enable': {
    brokerKey: 'unclean.leader.election.enable',
    default: 'false',
    doc: 'true: where every replica with all acknowledged records is gone, another leads, and what only those had is lost.',
    ...oneOf('true', 'false'),
  },
  'file.delete.delay.ms': {
    brokerKey: 'log.segment.delete.delay.ms',
    default: '60000',
    doc: 'Delay before the files of a removed segment go.',
    ...integer(0),
  },
  'min.cleanable.dirty.ratio': {
    brokerKey: 'log.cleaner.min.cleanable.ratio',
    default: '0.5',
    doc: 'Compaction begins when this share of the log has not been compacted.',
    ...decimal(0, 1),
  },
  'min.compaction.lag.ms': {
    brokerKey: 'log.cleaner.min.compaction.lag.ms',
    default: '0',
    doc: 'A record is not compacted away before this age.',
    ...integer(0),
  },
  'max.compaction.lag.ms': {
    brokerKey: 'log.cleaner.max.compaction.lag.ms',
    default: String(Number.MAX_SAFE_INTEGER),
    doc: 'Compaction begins when a record has waited so long for it.',
    ...integer(1),
  },
  'delete.retention.ms': {
    brokerKey: 'log.cleaner.delete.retention.ms',
    default: '86400000',
    doc: 'A tombstone stays at least so long after compaction has first met it.',
    ...integer(0),
  },
  'tombstone.hold.max.ms': {
    default: '604800000',
    doc: 'A tombstone goes after this even if a replica or a mirror has not passed it.',
    ...integer(0),
  },
} as const satisfies Record<string, ConfigKey>;

export type TopicConfigKey = keyof typeof topicConfigKeys;

export function isTopicConfigKey(key: string): key is TopicConfigKey {
  return Object.hasOwn(topicConfigKeys, key);
}

/**
 * Checks what a user set. @throws TributaryError INVALID_CONFIG naming the key, the value and what is allowed; an unknown key names the
 * nearest known one.
 */
export function checkTopicConfigs(configs: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(configs)) {
    if (!isTopicConfigKey(key)) {
      throw new TributaryError(
        'INVALID_CONFIG',
        `Unknown topic config "${key}"; the nearest known one is "${nearest(key, Object.keys(topicConfigKeys))}".`,
      );
    }
    const known: ConfigKey = topicConfigKeys[key];
    if (!known.valid(value))
      throw new TributaryError(
        'INVALID_CONFIG',
        `Bad value "${value}" for topic config ${key}: allowed is ${known.allowed}.`,
      );
  }
  const { minCompactionLagMs, maxCompactionLagMs } = topicConfig(configs);
  if (minCompactionLagMs > (maxCompactionLagMs ?? Number.MAX_SAFE_INTEGER)) {
    throw new TributaryError(
      'INVALID_CONFIG',
      `min.compaction.lag.ms (${minCompactionLagMs}) is above max.compaction.lag.ms (${maxCompactionLagMs}): no record could be compacted in time.`,
    );
  }
}

/** Effective settings: what was set, else the default. @param configs checked before; those of the brokers already beneath the topic's own. */
export function topicConfig(configs: Readonly<Record<string, string>>): TopicConfig {
  const text = (key: TopicConfigKey): string => configs[key] ?? topicConfigKeys[key].default;
  const number = (key: TopicConfigKey): number => settingNumber(text(key));
  const optional = (key: TopicConfigKey): number | undefined => (number(key) < 0 ? undefined : number(key));
  return {
    flushPolicy: text('flush.policy') === 'async' ? 'async' : 'commit',
    retentionMs: optional('retention.ms'),
    retentionBytes: optional('retention.bytes'),
    segmentBytes: number('segment.bytes'),
    segmentMs: number('segment.ms'),
    indexIntervalBytes: number('index.interval.bytes'),
    maxMessageBytes: number('max.message.bytes'),
    timestampType: text('message.timestamp.type') === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
    timestampAfterMaxMs: number('message.timestamp.after.max.ms'),
    minInsyncReplicas: number('min.insync.replicas'),
    uncleanLeaderElection: text('unclean.leader.election.enable') === 'true',
    fileDeleteDelayMs: number('file.delete.delay.ms'),
    cleanup: cleanupOf(text('cleanup.policy')),
    minCleanableDirtyRatio: number('min.cleanable.dirty.ratio'),
    minCompactionLagMs: number('min.compaction.lag.ms'),
    maxCompactionLagMs:
      number('max.compaction.lag.ms') === Number.MAX_SAFE_INTEGER ? undefined : number('max.compaction.lag.ms'),
    deleteRetentionMs: number('delete.retention.ms'),
    tombstoneHoldMaxMs: number('tombstone.hold.max.ms'),
  };
}

function cleanupOf(policy: string): TopicConfig['cleanup'] {
  const words = policy.split(',').map((word) => word.trim());
  return { delete: words.includes('delete'), compact: words.includes('compact') };
}

/** @throws TributaryError INVALID_TOPIC_EXCEPTION saying which rule the name breaks. */
export function checkTopicName(name: string): void {
  const refuse = (why: string): never => {
    throw new TributaryError('INVALID_TOPIC_EXCEPTION', `Bad topic name "${name.slice(0, 300)}": ${why}.`);
  };
  if (name === '') refuse('it is empty');
  if (name === '.' || name === '..') refuse('"." and ".." are not allowed');
  if (name.length > limits.topicNameLength)
    refuse(`it has ${name.length} characters, at most ${limits.topicNameLength} are allowed`);
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) refuse('only letters, digits, ".", "_" and "-" are allowed');
}

/** The known word with the smallest edit distance. */
export function nearest(word: string, known: readonly string[]): string {
  const compared = word.slice(0, limits.comparedNameLength);
  let best = known[0] ?? '';
  let distance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const d = editDistance(compared, candidate);
    if (d < distance) [best, distance] = [candidate, d];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
