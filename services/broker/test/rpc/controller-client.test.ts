import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTransaction, metadataKeys, openImageSource } from '@tributary/metadata';
import { incarnationId, limits, nodeId, TributaryError } from '@tributary/model';
import type { Peer, Transport } from '@tributary/ports';
import { methods } from '@tributary/wire';
import { type SimulatedBench, simulated } from '../../../../packages/metadata/test/simulated-bench.ts';
import { ControllerClient } from '../../src/rpc/controller-client.ts';

const keys = metadataKeys('test');
const never = new AbortController().signal;
const place = { kind: 'controller' } as const;
const request = { context: undefined };

interface Call {
  readonly address: string;
  readonly answer: PromiseWithResolvers<never>;
}

/** A broker's way to controllers that answer when they are told to, or when the call is given up. */
async function withClient(bench: SimulatedBench, story: (client: ControllerClient, calls: Call[]) => Promise<void>) {
  const calls: Call[] = [];
  const connect = (address: string): Peer => ({
    address,
    unary: async (_method, _request, { signal }) => {
      const answer = Promise.withResolvers<never>();
      signal?.addEventListener('abort', () => answer.reject(signal.reason));
      calls.push({ address, answer });
      return await answer.promise;
    },
    stream: () => assert.fail('no streams'),
    // One that stands still takes its time to close.
    [Symbol.asyncDispose]: () => bench.clock.sleep(limits.closeGraceMs, never),
  });
  const transport: Transport = { connect, serve: () => assert.fail('serves nothing') };
  await using images = await openImageSource(bench.store, keys, bench.clock, never);
  await using client = new ControllerClient(images, transport, bench.clock);
  await story(client, calls);
}

async function elect({ store }: SimulatedBench, id: number | undefined): Promise<void> {
  const value = { nodeId: nodeId(id ?? 0), incarnationId: incarnationId(`c${id}`), address: `c${id}:9096` };
  const put = id === undefined ? [] : [{ kind: 'controller', value } as const];
  await store.commit(encodeTransaction(keys, { expect: [], put, delete: id === undefined ? [place] : [] }));
}

const notController = (sentence: RegExp) => ({ error: 'NOT_CONTROLLER', message: sentence });

test('a request waits for an election, and says in time that there is none', () =>
  simulated(1, (bench) =>
    withClient(bench, async (client, calls) => {
      const begunMs = bench.clock.monotonicMs();
      await assert.rejects(client.call(methods.listTopics, request), notController(/No controller is elected/));
      assert.ok(bench.clock.monotonicMs() - begunMs < limits.controllerWaitMs + 100);
      const asked = client.call(methods.listTopics, request);
      await bench.clock.sleep(limits.controllerWaitMs / 2, never);
      await elect(bench, 1);
      while (calls.length === 0) await bench.clock.sleep(1, never);
      assert.equal(calls[0]?.address, 'c1:9096');
      calls[0]?.answer.resolve({ throttleMs: 0, topics: [] } as never);
      assert.deepEqual((await asked).topics, []);
    }),
  ));

test('one that is with a controller that is deposed, or cannot be reached, is answered when another is elected, and never sent twice', () =>
  simulated(2, (bench) =>
    withClient(bench, async (client, calls) => {
      await elect(bench, 1);
      const silent = client.call(methods.listTopics, request);
      while (calls.length < 1) await bench.clock.sleep(1, never);
      await elect(bench, undefined);
      await assert.rejects(silent, notController(/node 1, is one no longer/));
      await elect(bench, 2);
      const broken = client.call(methods.listTopics, request);
      while (calls.length < 2) await bench.clock.sleep(1, never);
      calls[1]?.answer.reject(new TributaryError('NETWORK_EXCEPTION', 'Nothing listens there.'));
      const settled = broken.then(
        () => assert.fail('it was answered'),
        (thrown: unknown) => thrown,
      );
      await bench.clock.sleep(limits.controllerWaitMs / 2, never);
      assert.equal(await Promise.race([settled, Promise.resolve('waits')]), 'waits');
      await elect(bench, undefined);
      const thrown = await settled;
      assert.ok(thrown instanceof TributaryError);
      assert.equal(thrown.error, 'NOT_CONTROLLER');
      assert.match(thrown.message, /node 2, does not answer.*Nothing listens there/);
      assert.equal(calls.length, 2);
    }),
  ));

test('a request to a new controller does not wait for the connection to one before, which may stand still, to be closed', () =>
  simulated(3, (bench) =>
    withClient(bench, async (client, calls) => {
      await elect(bench, 1);
      const first = client.call(methods.listTopics, request);
      while (calls.length < 1) await bench.clock.sleep(1, never);
      const deposed = assert.rejects(first, notController(/node 1, is one no longer/));
      await elect(bench, undefined);
      await deposed;
      await elect(bench, 2);
      const second = client.call(methods.listTopics, request);
      const begunMs = bench.clock.monotonicMs();
      while (calls.length < 2) await bench.clock.sleep(1, never);
      assert.ok(bench.clock.monotonicMs() - begunMs < limits.closeGraceMs / 2);
      calls[1]?.answer.resolve({ throttleMs: 0, topics: [] } as never);
      await second;
    }),
  ));
