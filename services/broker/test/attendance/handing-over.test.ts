import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTransaction, type ImageSource, metadataKeys, openImageSource, type Value } from '@tributary/metadata';
import { incarnationId, limits, nodeId, topicId } from '@tributary/model';
import type { Logger } from '@tributary/ports';
import type { LeaveProgress } from '@tributary/wire';
import { aPartition, aRegistration, aStatus, aTopic } from '../../../../packages/metadata/test/samples.ts';
import { type SimulatedBench, simulated } from '../../../../packages/metadata/test/simulated-bench.ts';
import { handOver } from '../../src/attendance/handing-over.ts';

const keys = metadataKeys('test');
const never = new AbortController().signal;
const me = nodeId(1);
const other = nodeId(2);
const topic = topicId('t');

interface Bench extends SimulatedBench {
  readonly images: ImageSource;
  readonly said: string[];
  /** undefined: it has not said that it leaves. */
  answer: ((progress: LeaveProgress) => void) | undefined;
  failure: string | undefined;
  put(...values: Value[]): Promise<void>;
  leave(): Promise<void>;
}

async function leaving(seed: number, story: (bench: Bench) => Promise<void>): Promise<void> {
  await simulated(seed, async (bench) => {
    const { store, clock } = bench;
    await using images = await openImageSource(store, keys, clock, never);
    const said: string[] = [];
    const say = (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      void said.push(`${event} ${JSON.stringify(fields)}`);
    const logger: Logger = { info: say, warn: say, error: () => assert.fail('no errors') };
    const attendance = {
      sayLeaving: (onProgress: (progress: LeaveProgress) => void) => void (all.answer = onProgress),
      get failure() {
        return all.failure;
      },
    };
    const all: Bench = {
      ...bench,
      images,
      said,
      answer: undefined,
      failure: undefined,
      put: async (...values) => {
        const { revision } = await store.commit(encodeTransaction(keys, { expect: [], put: values, delete: [] }));
        await images.reached(revision, never);
      },
      leave: () => handOver(attendance, me, { clock, logger, images }, never),
    };
    await story(all);
  });
}

/** Another broker runs, and this one leads a partition. */
async function withOther({ put, images }: Bench): Promise<void> {
  await put({ kind: 'registration', value: aRegistration(other) });
  const epoch = images.current.broker(other)?.registration?.createRevision ?? 0n;
  const status = aStatus(other, epoch);
  await put({ kind: 'broker-status', value: status });
  await put({ kind: 'topic', value: aTopic(topic) }, { kind: 'partition', value: aPartition(topic, 0) });
}

const isOver = async (bench: Bench, leaving: Promise<void>): Promise<boolean> => {
  let over = false;
  void leaving.then(() => (over = true));
  await bench.clock.sleep(50, never);
  return over;
};

test('a broker that is alone, or is in no ISR, leaves at once', () =>
  leaving(1, async (bench) => {
    await bench.put({ kind: 'topic', value: aTopic(topic) }, { kind: 'partition', value: aPartition(topic, 0) });
    await bench.leave();
    await withOther(bench);
    await bench.put({ kind: 'partition', value: aPartition(topic, 0, { leader: other, isr: [other] }) });
    await bench.leave();
    assert.equal(bench.answer, undefined);
  }));

test('a broker leaves once nobody needs it, and its own picture of the cluster shows that', () =>
  leaving(2, async (bench) => {
    await withOther(bench);
    const left = bench.leave();
    assert.equal(await isOver(bench, left), false);
    bench.answer?.({ toMove: 2, withoutSuccessor: 0, revision: 1n });
    assert.equal(await isOver(bench, left), false);
    const next = bench.images.current.revision + 1n;
    bench.answer?.({ toMove: 0, withoutSuccessor: 0, revision: next });
    assert.equal(await isOver(bench, left), false, 'clients that ask it must hear of the new leader');
    await bench.put({ kind: 'partition', value: aPartition(topic, 0, { leader: other }) });
    assert.equal(await isOver(bench, left), true);
    assert.match(bench.said.join(), /leaving {"toMove":2.*leaving {"toMove":0/);
  }));

test('partitions that nobody else can lead do not hold it up, and are named', () =>
  leaving(3, async (bench) => {
    await withOther(bench);
    const left = bench.leave();
    bench.answer?.({ toMove: 0, withoutSuccessor: 3, revision: 1n });
    assert.equal(await isOver(bench, left), true);
    assert.match(bench.said.join(), /leaves-partitions-unavailable.*Of 3 partitions no other replica is in sync/);
  }));

test('it waits no longer than is of use: neither for a controller that is gone, nor for leaderships that do not move, and says which', () =>
  leaving(4, async (bench) => {
    await withOther(bench);
    const unled = bench.clock.monotonicMs();
    await bench.leave();
    assert.ok(bench.clock.monotonicMs() - unled < limits.leaveUnledMs + 200);
    const elected = { nodeId: nodeId(9), incarnationId: incarnationId('c'), address: 'c:9096' };
    await bench.put({ kind: 'controller', value: elected });
    const begunMs = bench.clock.monotonicMs();
    bench.failure = 'Nothing listens there.';
    await bench.leave();
    const unanswered = bench.clock.monotonicMs() - begunMs;
    assert.ok(Math.abs(unanswered - limits.leaveUnansweredMs) < 100, `${unanswered}`);
    assert.match(bench.said.join(), /leaves-at-once.*No controller answers.*Nothing listens there/);
    bench.failure = undefined;
    const left = bench.leave();
    for (let ms = 0; !(await isOver(bench, left)) && ms < 60_000; ms += 50)
      bench.answer?.({ toMove: 4, withoutSuccessor: 0, revision: 1n });
    await left;
    const inAll = bench.clock.monotonicMs() - begunMs - unanswered;
    assert.ok(Math.abs(inAll - limits.leaveMsMax) < 200, `${inAll}`);
    assert.match(bench.said.join(), /After 20000 ms 4 partitions that others could lead have not moved/);
  }));
