/** What the cluster's topics are, and who writes and reads them. */
import type { RawConsumerPlan } from '../clients/raw-consumer.ts';
import type { RawProducerPlan } from '../clients/raw-producer.ts';
import type { SeededRandom } from '../seeded-random.ts';

/** The shortest that the product allows. */
export const SESSION_TIMEOUT_MS = 3_000;
export const ELECTION_TIMEOUT_MS = 2_000;
/** Shorter than in production, so that a run sees the ISR shrink. */
export const REPLICA_LAG_MS = 1_500;

export interface TopicPlan {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly flushPolicy: 'commit' | 'async';
  readonly configs: Readonly<Record<string, string>>;
}

/** Of any other topic than the first. */
const TOPIC_CHANCE = 0.6;

const topics: readonly TopicPlan[] = [
  {
    name: 'ledger',
    partitions: 2,
    replicationFactor: 3,
    flushPolicy: 'commit',
    configs: { 'segment.bytes': '6000', 'min.insync.replicas': '2' },
  },
  {
    name: 'metrics',
    partitions: 1,
    replicationFactor: 3,
    flushPolicy: 'async',
    configs: { 'segment.bytes': '8000', 'min.insync.replicas': '2', 'flush.policy': 'async' },
  },
  // One copy is enough to go on: the in-sync replicas may be a single one.
  {
    name: 'thin',
    partitions: 1,
    replicationFactor: 2,
    flushPolicy: 'commit',
    configs: { 'segment.bytes': '8000', 'min.insync.replicas': '1' },
  },
  {
    name: 'accounts',
    partitions: 1,
    replicationFactor: 3,
    flushPolicy: 'commit',
    configs: {
      'cleanup.policy': 'compact',
      'segment.bytes': '3000',
      'index.interval.bytes': '512',
      'min.cleanable.dirty.ratio': '0.2',
      'min.insync.replicas': '2',
    },
  },
];

/** Those of one run. */
export function someTopics(random: SeededRandom): readonly TopicPlan[] {
  return topics.filter(({ name }) => name === 'ledger' || random.chance(TOPIC_CHANCE));
}

export const topicNamed = (name: string): TopicPlan | undefined => topics.find((topic) => topic.name === name);

export const isCompacted = (topic: TopicPlan | undefined): boolean => topic?.configs['cleanup.policy'] === 'compact';

type Bootstrap = readonly [string, ...string[]];

interface Shape {
  readonly name: string;
  readonly topic: string;
  readonly partition: number;
  readonly acks: 'leader' | 'all';
  readonly idempotent: boolean;
}

const always: Shape = { name: 'bank', topic: 'ledger', partition: 0, acks: 'all', idempotent: true };
const others: readonly [Shape, ...Shape[]] = [
  { name: 'rival', topic: 'ledger', partition: 0, acks: 'all', idempotent: true },
  { name: 'branch', topic: 'ledger', partition: 1, acks: 'all', idempotent: true },
  { name: 'clerk', topic: 'ledger', partition: 1, acks: 'leader', idempotent: false },
  { name: 'meter', topic: 'metrics', partition: 0, acks: 'all', idempotent: true },
  { name: 'meter', topic: 'metrics', partition: 0, acks: 'all', idempotent: true },
  { name: 'scout', topic: 'thin', partition: 0, acks: 'all', idempotent: true },
  { name: 'teller', topic: 'accounts', partition: 0, acks: 'all', idempotent: true },
];

/** Keys of a compacted topic: few, so that most records are replaced. */
const accounts = 5;

/** Two to four producers. */
export function producerPlans(
  bootstrap: Bootstrap,
  random: SeededRandom,
  among: readonly TopicPlan[],
): readonly RawProducerPlan[] {
  const chosen = new Map([[always.name, always]]);
  const count = random.between(2, 4);
  while (chosen.size < count) {
    const shape = random.pick(others);
    if (among.some(({ name }) => name === shape.topic)) chosen.set(shape.name, shape);
  }
  return [...chosen.values()].map((shape) => ({
    ...shape,
    bootstrap,
    partitions: topicNamed(shape.topic)?.partitions ?? 1,
    batches: 120,
    pauseMsMax: random.pick([100, 300, 600]),
    keys: isCompacted(topicNamed(shape.topic)) ? accounts : undefined,
  }));
}

/** One reader of each partition that somebody writes to, and a second of the first, who goes back now and then. */
export function consumerPlans(
  bootstrap: Bootstrap,
  producers: readonly RawProducerPlan[],
  random: SeededRandom,
  isCalm: () => boolean,
): readonly RawConsumerPlan[] {
  const read = new Map<string, RawConsumerPlan>();
  for (const { topic, partition = 0 } of producers) {
    const name = `reader of ${topic}-${partition}`;
    const windowBytes = random.pick([3_000, 20_000, 200_000]);
    read.set(name, { name, bootstrap, topics: [topic], partition, windowBytes, seekChance: () => 0 });
  }
  const seekChance = (): number => (isCalm() ? 0 : 0.02);
  const wanderer = { name: 'wanderer', bootstrap, topics: ['ledger'], partition: 0, windowBytes: 5_000, seekChance };
  return [...read.values(), wanderer];
}
