import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorName, limits, TributaryError } from '@tributary/model';
import fc from 'fast-check';
import type { ProducerOptions } from '../src/producer-options.ts';
import { connectWith } from '../src/connect.ts';
import { FakeCluster } from './fake-broker.ts';
import type { ProduceFault } from './fake-partition.ts';
import { FakeNetwork } from './fake-network.ts';
import { seededRandom, VirtualClock } from './virtual-clock.ts';

interface Sent {
  readonly value: string;
  readonly partition: number;
  readonly outcome: { readonly offset: bigint | undefined } | { readonly error: TributaryError };
}

const refusals: readonly ErrorName[] = [
  'NOT_ENOUGH_REPLICAS',
  'INVALID_TIMESTAMP',
  'NOT_LEADER_OR_FOLLOWER',
  'KAFKA_STORAGE_ERROR',
  'THROTTLING_QUOTA_EXCEEDED',
];
const afterwards: readonly ErrorName[] = [
  'REQUEST_TIMED_OUT',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'NOT_LEADER_OR_FOLLOWER',
];

interface Plan {
  readonly seed: number;
  /** Of a thousand batches. */
  readonly faulty: number;
  readonly deliveryTimeoutMs: number;
  readonly batchSize: number;
  readonly records: number;
  readonly encodesLate: boolean;
  readonly latencyMs: number;
  /** Broken connections may deliver what was on its way, late. */
  readonly late: boolean;
}

async function run(
  plan: Plan,
  options: ProducerOptions = {},
): Promise<{ cluster: FakeCluster; sent: readonly Sent[] }> {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock, plan.latencyMs);
  network.encodesLate = plan.encodesLate;
  const cluster = new FakeCluster(network, ['a:1', 'b:1']);
  const topic = cluster.createTopic('t', 2);
  const chance = seededRandom(plan.seed);
  const draw = (most: number): number => chance.nextU32() % most;
  cluster.produceFault = () => {
    if (draw(1000) >= plan.faulty) return undefined;
    const faults: readonly (() => ProduceFault)[] = [
      () => ({ kind: 'refuse', error: refusals[draw(refusals.length)] ?? 'NOT_ENOUGH_REPLICAS' }),
      () => ({ kind: 'append-and-refuse', error: afterwards[draw(afterwards.length)] ?? 'REQUEST_TIMED_OUT' }),
      () => ({ kind: 'append-and-break' }),
      () => ({ kind: 'break' }),
      () => ({ kind: 'swallow' }),
    ];
    return faults[draw(faults.length)]?.();
  };
  const client = await connectWith(
    { clock, random: seededRandom(plan.seed + 1), transport: network },
    { bootstrap: 'a:1', retryBackoffMs: 5, retryBackoffMsMax: 50, requestTimeoutMs: 200 },
  );
  const producer = client.producer({
    batchSize: plan.batchSize,
    deliveryTimeoutMs: plan.deliveryTimeoutMs,
    ...options,
  });
  if (plan.late) network.late = () => (draw(2) === 0 ? draw(100) : undefined);
  const outcomes: Promise<Sent>[] = [];
  for (let index = 0; index < plan.records; index++) {
    const partition = draw(2);
    const value = `${partition}-${index}`;
    outcomes.push(
      producer.send({ topic: 't', partition, value }).then(
        ({ offset }) => ({ value, partition, outcome: { offset } }),
        (error: unknown) => ({ value, partition, outcome: { error: TributaryError.from(error) } }),
      ),
    );
    if (draw(4) === 0) await clock.sleep(draw(6), new AbortController().signal);
    if (draw(40) === 0) network.breakStreams();
    if (draw(60) === 0) {
      for (const each of topic.partitions) {
        each.leader = 1 + draw(2);
        each.epoch++;
      }
    }
  }
  const sent = await Promise.all(outcomes);
  await client.close();
  return { cluster, sent };
}

function judge(cluster: FakeCluster, sent: readonly Sent[], late: boolean): void {
  for (const partition of [0, 1]) {
    const { values } = cluster.partition('t', partition);
    const mine = sent.filter((each) => each.partition === partition);
    const places = new Map(values.map((value, index) => [value, index]));
    assert.equal(places.size, values.length, 'no record is there twice');
    assert.ok(
      values.every((value) => value.startsWith(`${partition}-`)),
      'every record is in the partition that it was sent to',
    );
    for (const { value, outcome } of mine) {
      if (!('error' in outcome)) {
        if (outcome.offset !== undefined)
          assert.equal(values[Number(outcome.offset)], value, 'an acknowledged record is at its offset');
        else assert.ok(places.has(value), 'an acknowledged record is there');
      } else if (outcome.error.message.includes('They were not appended')) {
        assert.ok(!places.has(value), `a record reported as not appended is not there: ${outcome.error.message}`);
      }
    }
    // What was given up in doubt may come late, after what was sent later; nothing else may.
    const kept = mine.filter(({ outcome }) => !late || !('error' in outcome));
    const order = kept.map(({ value }) => value).filter((value) => places.has(value));
    const wanted = new Set(order);
    assert.deepEqual(
      values.filter((value) => wanted.has(value)),
      order,
      'records are in the order in which they were sent',
    );
  }
  // What comes late from a broken connection is no longer in flight for the client.
  if (!late) assert.ok(cluster.mostInFlight <= limits.batchesInFlight, `${cluster.mostInFlight} batches in flight`);
}

const plans = fc.record({
  seed: fc.integer(),
  faulty: fc.constantFrom(0, 50, 200, 500),
  deliveryTimeoutMs: fc.constantFrom(4, 60, 300, 2000, 60_000),
  batchSize: fc.constantFrom(1, 100, 200),
  records: fc.integer({ min: 1, max: 80 }),
  encodesLate: fc.boolean(),
  latencyMs: fc.constantFrom(1, 1, 5),
  late: fc.boolean(),
});

test('with idempotence every record is there at most once, in order, acknowledged ones exactly once, whatever the network and the leaders do (P1, P4)', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const { cluster, sent } = await run(plan);
      judge(cluster, sent, plan.late);
      if (plan.faulty === 0 && plan.deliveryTimeoutMs === 60_000)
        assert.ok(
          sent.every(({ outcome }) => !('error' in outcome)),
          'nothing failed for good',
        );
    }),
    { numRuns: 300 },
  );
});
