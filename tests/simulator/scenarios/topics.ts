/** What the log-and-produce scenario keeps in its topics, and who writes and reads them. */
import type { OperatorPlan, Setting } from '../clients/operator.ts';
import type { RawConsumerPlan } from '../clients/raw-consumer.ts';
import type { RawProducerPlan } from '../clients/raw-producer.ts';
import type { SeededRandom } from '../seeded-random.ts';

export interface TopicPlan {
  readonly name: string;
  readonly partitions: number;
  readonly flushPolicy: 'commit' | 'async';
  readonly configs: Readonly<Record<string, string>>;
}

export const topics: readonly TopicPlan[] = [
  { name: 'ledger', partitions: 2, flushPolicy: 'commit', configs: { 'segment.bytes': '6000' } },
  {
    name: 'rolling',
    partitions: 1,
    flushPolicy: 'commit',
    configs: {
      'segment.bytes': '3000',
      'retention.bytes': '9000',
      'file.delete.delay.ms': '200',
      'index.interval.bytes': '512',
    },
  },
  {
    name: 'logs',
    partitions: 1,
    flushPolicy: 'commit',
    configs: { 'segment.bytes': '8000', 'retention.ms': '4000', 'segment.ms': '1000' },
  },
  {
    name: 'metrics',
    partitions: 1,
    flushPolicy: 'async',
    configs: { 'segment.bytes': '8000', 'flush.policy': 'async', 'message.timestamp.type': 'LogAppendTime' },
  },
  {
    name: 'accounts',
    partitions: 1,
    flushPolicy: 'commit',
    configs: {
      'cleanup.policy': 'compact',
      'segment.bytes': '3000',
      'index.interval.bytes': '512',
      'min.cleanable.dirty.ratio': '0.2',
    },
  },
  // Nobody writes into it: partitions are added.
  { name: 'growing', partitions: 1, flushPolicy: 'commit', configs: {} },
];

export const isCompactedTopic = (name: string): boolean =>
  topics.find((topic) => topic.name === name)?.configs['cleanup.policy'] === 'compact';

/** What the operator does to them: nothing that a promise to clients hangs on, but for records that go. */
export function operatorPlan(bootstrap: string, random: SeededRandom): OperatorPlan {
  const flushing: Setting = { topic: 'metrics', name: 'flush.policy', values: ['commit', 'async'] };
  const settings: OperatorPlan['settings'] = [
    // More often than others: much hangs on it.
    flushing,
    flushing,
    flushing,
    { topic: 'ledger', name: 'segment.bytes', values: ['3000', '6000', '20000'] },
    { topic: 'ledger', name: 'min.insync.replicas', values: ['1', '2'] },
    { topic: 'rolling', name: 'retention.bytes', values: ['5000', '9000', '20000'] },
    { topic: 'logs', name: 'retention.ms', values: ['2000', '4000', '100000'] },
    { topic: 'accounts', name: 'min.cleanable.dirty.ratio', values: ['0.05', '0.5', '0.9'] },
    { topic: 'accounts', name: 'segment.bytes', values: ['2000', '3000', '9000'] },
    { topic: '', name: 'log.retention.check.interval.ms', values: ['200', '400'] },
    { topic: '', name: 'log.index.interval.bytes', values: ['256', '1024'] },
  ];
  const deleted: OperatorPlan['topics'] = ['ledger', 'ledger', 'rolling', 'logs', 'metrics'];
  return { bootstrap, topics: deleted, growing: 'growing', settings, pauseMsMax: random.pick([300, 1_000, 3_000]) };
}

type ProducerShape = Pick<RawProducerPlan, 'name' | 'topic' | 'acks' | 'idempotent'>;

const always: ProducerShape = { name: 'bank', topic: 'ledger', acks: 'all', idempotent: true };
const others: readonly [ProducerShape, ...ProducerShape[]] = [
  { name: 'rival', topic: 'ledger', acks: 'all', idempotent: true },
  { name: 'roller', topic: 'rolling', acks: 'all', idempotent: true },
  { name: 'logger', topic: 'logs', acks: 'leader', idempotent: false },
  { name: 'careless', topic: 'logs', acks: 'none', idempotent: false },
  { name: 'meter', topic: 'metrics', acks: 'all', idempotent: true },
  { name: 'teller', topic: 'accounts', acks: 'all', idempotent: true },
];

/** Keys of a compacted topic: few, so that most records are replaced. */
const accounts = 5;

/** Two to four producers. */
export function producerPlans(bootstrap: readonly [string], random: SeededRandom): readonly RawProducerPlan[] {
  const chosen = new Set<ProducerShape>([always]);
  const count = random.between(2, 4);
  while (chosen.size < count) chosen.add(random.pick(others));
  return [...chosen].map((shape) => {
    const partitions = topics.find(({ name }) => name === shape.topic)?.partitions ?? 1;
    const pauseMsMax = random.pick([100, 300, 600]);
    const keys = isCompactedTopic(shape.topic) ? accounts : undefined;
    return { ...shape, bootstrap, partitions, batches: 150, pauseMsMax, keys };
  });
}

/** @param isCalm towards the end nobody goes back any more. */
export function consumerPlans(
  bootstrap: readonly [string],
  random: SeededRandom,
  isCalm: () => boolean,
): readonly RawConsumerPlan[] {
  const never = (): number => 0;
  return [
    {
      name: 'auditor',
      bootstrap,
      topics: ['ledger', 'rolling', 'accounts'],
      windowBytes: random.pick([3_000, 20_000, 200_000]),
      seekChance: never,
    },
    {
      name: 'wanderer',
      bootstrap,
      topics: ['ledger', 'accounts'],
      windowBytes: random.pick([500, 5_000]),
      seekChance: () => (isCalm() ? 0 : 0.01),
    },
    { name: 'watcher', bootstrap, topics: ['logs', 'metrics'], windowBytes: 50_000, seekChance: never },
  ];
}
