// pure
/** A broker's dynamic settings: of one broker, of all of them, or the defaults of its topics' settings. Names are Kafka's where Kafka has them. */
import { type ConfigKey, decimal, integer, nearest, settingNumber, topicConfigKeys } from './topic-config.ts';
import { TributaryError } from './errors.ts';

/** What a broker keeps to while it runs. */
export interface BrokerSettings {
  /** Share of the file system in use from which produce is refused. */
  readonly diskHighWatermarkRatio: number;
  /** Free bytes that are enough, whatever that share says. */
  readonly diskFreeEnough: number;
  /** Bytes of requests and answers that this broker holds in memory, in all and per connection. */
  readonly requestBytes: number;
  readonly requestBytesPerConnection: number;
  readonly connections: number;
  /** A connection without a call for so long is closed, ms. */
  readonly connectionIdleMs: number;
  /** Files of logs that may be open at once. */
  readonly openFiles: number;
  readonly retentionCheckMs: number;
  /** How long the cleaner rests when nothing is to be compacted, ms. */
  readonly cleanerBackoffMs: number;
  /** Bytes a second that compaction may read and write; undefined: as fast as it goes. */
  readonly cleanerBytesPerSecond: number | undefined;
  /** Memory for the keys of one round of compaction. */
  readonly cleanerBuffer: number;
  /** How long a follower may be behind before it is out of sync, ms. */
  readonly replicaLagMs: number;
  /** Bytes a second to followers that are far behind; undefined: as fast as it goes. */
  readonly catchUpBytesPerSecond: number | undefined;
}

export const brokerConfigKeys = {
  'disk.high.watermark.ratio': {
    default: '0.95',
    doc: 'From this share of the file system in use on, produce is refused; reads, deletes and retention go on.',
    ...decimal(0.01, 1),
  },
  'disk.free.enough.bytes': {
    default: '1073741824',
    doc: 'With so much free, produce is not refused, whatever the share in use: five per cent of a large disk is much.',
    ...integer(0),
  },
  'queued.max.request.bytes': {
    default: '402653184',
    doc: 'Memory for requests and answers in all, 256 MiB of it for what was let go and is not yet collected: what goes beyond is refused.',
    ...integer(16 * 1024 * 1024),
  },
  'connection.max.request.bytes': {
    default: '83886080',
    doc: 'The same of one connection: a batch of the largest size, in the pieces in which it comes, and what its client sends ahead.',
    ...integer(1024 * 1024),
  },
  'max.connections': { default: '10000', doc: 'Connections at once: further ones are closed.', ...integer(1) },
  'connections.max.idle.ms': {
    default: '600000',
    doc: 'A connection without a call for so long is closed.',
    ...integer(1000),
  },
  'open.files.max': {
    default: '4096',
    doc: 'Files of logs that may be open at once: the least recently read are closed.',
    ...integer(64),
  },
  'log.retention.check.interval.ms': {
    default: '300000',
    doc: 'How often retention looks for segments to remove.',
    ...integer(100),
  },
  'log.cleaner.backoff.ms': {
    default: '15000',
    doc: 'How long the cleaner rests when nothing is to be compacted.',
    ...integer(10),
  },
  'log.cleaner.io.max.bytes.per.second': {
    default: '335544320',
    doc: 'Bytes a second that compaction may read and write, so that those who produce hardly notice.',
    ...integer(1024),
  },
  'log.cleaner.dedupe.buffer.size': {
    default: '67108864',
    doc: 'Memory for the keys of one round of compaction.',
    ...integer(64 * 1024),
  },
  'replica.lag.time.max.ms': {
    default: '10000',
    doc: 'A follower that has not caught up with its leader for so long leaves the in-sync replicas, for which acks=all would else wait.',
    ...integer(100),
  },
  'leader.replication.throttled.rate': {
    default: '9223372036854775807',
    doc: 'Bytes a second for followers that are far behind, so that those in step hardly notice.',
    ...integer(1024),
  },
} as const satisfies Record<string, ConfigKey>;

/** Settings of new topics, for all brokers only. */
export const clusterConfigKeys = {
  'num.partitions': { default: '1', doc: 'Partitions of a topic that names no number.', ...integer(1, 10_000) },
  'default.replication.factor': {
    default: '1',
    doc: 'Copies of each partition of a topic that names no number.',
    ...integer(1, 100),
  },
} as const satisfies Record<string, ConfigKey>;

type BrokerConfigKey = keyof typeof brokerConfigKeys;

/** The topic setting whose default a broker setting is, by the broker setting's name. */
export const topicKeyOfBrokerKey: ReadonlyMap<string, keyof typeof topicConfigKeys> = new Map(
  Object.entries(topicConfigKeys).flatMap(([name, key]: [string, ConfigKey]) =>
    key.brokerKey === undefined ? [] : [[key.brokerKey, name as keyof typeof topicConfigKeys] as const],
  ),
);

/** The rules of a broker setting. @param scope one broker has fewer settings than all of them. */
function brokerKey(name: string, scope: 'broker' | 'cluster'): ConfigKey | undefined {
  if (Object.hasOwn(brokerConfigKeys, name)) return brokerConfigKeys[name as BrokerConfigKey];
  if (scope === 'broker') return undefined;
  if (Object.hasOwn(clusterConfigKeys, name)) return clusterConfigKeys[name as keyof typeof clusterConfigKeys];
  const topicKey = topicKeyOfBrokerKey.get(name);
  return topicKey === undefined ? undefined : topicConfigKeys[topicKey];
}

/** Every name that `scope` knows. */
export function brokerConfigNames(scope: 'broker' | 'cluster'): readonly string[] {
  const own = Object.keys(brokerConfigKeys);
  return scope === 'broker' ? own : [...own, ...Object.keys(clusterConfigKeys), ...topicKeyOfBrokerKey.keys()];
}

/** @throws TributaryError INVALID_CONFIG naming the key, the value and what is allowed; an unknown key names the nearest known one. */
export function brokerConfigKey(name: string, scope: 'broker' | 'cluster'): ConfigKey {
  const known = brokerKey(name, scope);
  if (known !== undefined) return known;
  if (scope === 'broker' && brokerKey(name, 'cluster') !== undefined) {
    throw new TributaryError(
      'INVALID_CONFIG',
      `"${name}" is a setting of all brokers together, not of one: leave the broker out.`,
    );
  }
  throw new TributaryError(
    'INVALID_CONFIG',
    `Unknown broker config "${name}"; the nearest known one is "${nearest(name, brokerConfigNames(scope))}".`,
  );
}

/** @throws TributaryError INVALID_CONFIG, as {@link brokerConfigKey}. */
export function checkBrokerConfigs(configs: Readonly<Record<string, string>>, scope: 'broker' | 'cluster'): void {
  for (const [name, value] of Object.entries(configs)) {
    const known = brokerConfigKey(name, scope);
    if (!known.valid(value)) {
      throw new TributaryError(
        'INVALID_CONFIG',
        `Bad value "${value}" for broker config ${name}: allowed is ${known.allowed}.`,
      );
    }
  }
}

/** What a broker keeps to. @param configs checked: its own over those of all brokers. */
export function brokerSettings(configs: Readonly<Record<string, string>>): BrokerSettings {
  const number = (key: BrokerConfigKey): number => settingNumber(configs[key] ?? brokerConfigKeys[key].default);
  const rate = number('log.cleaner.io.max.bytes.per.second');
  const catchUp = number('leader.replication.throttled.rate');
  return {
    diskHighWatermarkRatio: number('disk.high.watermark.ratio'),
    diskFreeEnough: number('disk.free.enough.bytes'),
    requestBytes: number('queued.max.request.bytes'),
    requestBytesPerConnection: number('connection.max.request.bytes'),
    connections: number('max.connections'),
    connectionIdleMs: number('connections.max.idle.ms'),
    openFiles: number('open.files.max'),
    retentionCheckMs: number('log.retention.check.interval.ms'),
    cleanerBackoffMs: number('log.cleaner.backoff.ms'),
    cleanerBytesPerSecond: rate === Number.MAX_SAFE_INTEGER ? undefined : rate,
    cleanerBuffer: number('log.cleaner.dedupe.buffer.size'),
    replicaLagMs: number('replica.lag.time.max.ms'),
    catchUpBytesPerSecond: catchUp === Number.MAX_SAFE_INTEGER ? undefined : catchUp,
  };
}

/** A topic's settings over the defaults that brokers were given for them. @param cluster settings of all brokers. */
export function withBrokerDefaults(
  topic: Readonly<Record<string, string>>,
  cluster: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const defaults: Record<string, string> = {};
  for (const [brokerName, topicName] of topicKeyOfBrokerKey) {
    const value = cluster[brokerName];
    if (value !== undefined) defaults[topicName] = value;
  }
  return { ...defaults, ...topic };
}
