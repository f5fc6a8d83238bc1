import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, TributaryError } from '@tributary/model';
import type { Codec, Handlers, StreamMethod, UnaryMethod } from '@tributary/ports';
import { Coverage } from '../coverage.ts';
import { type NetworkOptions, SimulatedNetwork } from '../network.ts';
import type { Endpoint } from '../network/endpoint.ts';
import { Scheduler } from '../scheduler.ts';
import { SeededRandom } from '../seeded-random.ts';

const texts: Codec<string> = {
  encode: (message) => Buffer.from(message),
  decode: (bytes) => Buffer.from(bytes).toString(),
};
/** Hands out what it was given, as a careless codec would. */
const raw: Codec<Uint8Array> = { encode: (message) => message, decode: (bytes) => bytes };
const ask: UnaryMethod<string, string> = { kind: 'unary', path: '/test/Ask', request: texts, response: texts };
const talk: StreamMethod<string, string> = { kind: 'stream', path: '/test/Talk', request: texts, response: texts };
const carry: StreamMethod<Uint8Array, Uint8Array> = {
  kind: 'stream',
  path: '/test/Carry',
  request: raw,
  response: raw,
};
const never = new AbortController().signal;

class Party implements Endpoint {
  readonly machine: string;
  alive = true;
  constructor(machine: string) {
    this.machine = machine;
  }
}

interface Bench {
  readonly network: SimulatedNetwork;
  readonly scheduler: Scheduler;
  readonly coverage: Coverage;
  readonly client: Party;
  readonly server: Party;
}

async function online(
  seed: number,
  story: (bench: Bench) => Promise<void>,
  options: NetworkOptions = {},
): Promise<Coverage> {
  const random = new SeededRandom(`network test ${seed}`);
  const scheduler = new Scheduler(random.stream('scheduler'));
  const coverage = new Coverage();
  const network = new SimulatedNetwork(scheduler, random.stream('network'), coverage, options);
  await scheduler.run(() => story({ network, scheduler, coverage, client: new Party('c'), server: new Party('s') }));
  return coverage;
}

/** Answers every question, and every line of a talk, in capitals. */
function loud(handlers: Handlers): void {
  handlers.unary(ask, (question) => Promise.resolve(question.toUpperCase()));
  handlers.stream(talk, async (stream) => {
    for await (const line of stream) stream.send(line.toUpperCase());
  });
}

const isNetworkError = (error: unknown): boolean =>
  error instanceof TributaryError && error.error === 'NETWORK_EXCEPTION';

describe('the simulated network', () => {
  test('brings a question there and its answer back', async () => {
    await online(1, async ({ network, client, server }) => {
      const served = await network.transport(server).serve('0.0.0.0:0', loud);
      const peer = network.transport(client).connect(served.address);
      assert.equal(await peer.unary(ask, 'hello', { deadlineMs: 1_000 }), 'HELLO');
    });
  });

  test('keeps the order of a stream in both directions, under every seed', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      await online(seed, async ({ network, client, server }) => {
        await network.transport(server).serve('s:1', loud);
        const stream = network.transport(client).connect('s:1').stream(talk, never);
        const lines = Array.from({ length: 40 }, (_, i) => `line ${i}`);
        for (const line of lines) stream.send(line);
        stream.end();
        const back: string[] = [];
        for await (const line of stream) back.push(line);
        assert.deepEqual(
          back,
          lines.map((line) => line.toUpperCase()),
        );
      });
    }
  });

  test('shares no byte between the two sides, and spoils what the sender still holds', async () => {
    await online(1, async ({ network, client, server }) => {
      const got: Uint8Array[] = [];
      await network.transport(server).serve('s:1', (handlers) => {
        handlers.stream(carry, async (stream) => {
          for await (const bytes of stream) got.push(bytes);
        });
      });
      const stream = network.transport(client).connect('s:1').stream(carry, never);
      const mine = Uint8Array.of(1, 2, 3);
      stream.send(mine);
      assert.notDeepEqual([...mine], [1, 2, 3]);
      stream.end();
      for await (const _ of stream) assert.fail('nothing is sent back');
      assert.deepEqual([...(got[0] ?? [])], [1, 2, 3]);
    });
  });

  test('memory that a codec sends from is read until it no longer counts as queued, and not later', async () => {
    const inPieces: StreamMethod<Uint8Array, Uint8Array> = {
      ...carry,
      request: { ...raw, pieces: (message) => [message.subarray(0, 1), message.subarray(1)] },
    };
    for (const tooEarly of [true, false]) {
      await online(1, async ({ network, scheduler, client, server }) => {
        const got: Uint8Array[] = [];
        await network.transport(server).serve('s:1', (handlers) => {
          handlers.stream(inPieces, async (stream) => {
            for await (const bytes of stream) got.push(bytes);
          });
        });
        const stream = network.transport(client).connect('s:1').stream(inPieces, never);
        const mine = Uint8Array.of(1, 2, 3);
        stream.send(mine);
        if (!tooEarly) while (stream.queuedBytes > 0) await scheduler.pause(1);
        mine.fill(9);
        await scheduler.pause(100_000);
        assert.deepEqual([...(got[0] ?? [])], tooEarly ? [9, 9, 9] : [1, 2, 3]);
      });
    }
  });

  test("carries the server's error as its number and sentence", async () => {
    await online(1, async ({ network, client, server }) => {
      await network.transport(server).serve('s:1', (handlers) => {
        handlers.unary(ask, () => Promise.reject(new TributaryError('TOPIC_ALREADY_EXISTS', 'there is one')));
        handlers.stream(talk, () => Promise.reject(new TributaryError('INVALID_REQUEST', 'no')));
      });
      const peer = network.transport(client).connect('s:1');
      await assert.rejects(peer.unary(ask, 'x', { deadlineMs: 1_000 }), {
        error: 'TOPIC_ALREADY_EXISTS',
        message: 'there is one',
      });
      await assert.rejects(Array.fromAsync(peer.stream(talk, never)), { error: 'INVALID_REQUEST', message: 'no' });
      await assert.rejects(peer.unary({ ...ask, path: '/test/Nothing' }, 'x', { deadlineMs: 1_000 }), {
        error: 'UNSUPPORTED_VERSION',
      });
    });
  });

  test('refuses where nobody listens, and connects once somebody does', async () => {
    const coverage = await online(1, async ({ network, client, server }) => {
      const peer = network.transport(client).connect('s:1');
      await assert.rejects(peer.unary(ask, 'x', { deadlineMs: 1_000 }), isNetworkError);
      await network.transport(server).serve('s:1', loud);
      assert.equal(await peer.unary(ask, 'x', { deadlineMs: 1_000 }), 'X');
    });
    assert.equal(coverage.of('network: connection refused'), 1);
  });

  test('a taken port is refused by its address', async () => {
    await online(1, async ({ network, client, server }) => {
      const first = await network.transport(server).serve('s:1', loud);
      await assert.rejects(network.transport(server).serve('s:1', loud), /s:1/);
      await first[Symbol.asyncDispose]();
      await using _again = await network.transport(server).serve('s:1', loud);
      await assert.rejects(
        network.transport(client).connect('s:2').unary(ask, 'x', { deadlineMs: 1_000 }),
        isNetworkError,
      );
    });
  });

  test('a lost reply looks like a lost request: the server did it once, the client knows nothing', async () => {
    for (const direction of ['up', 'down'] as const) {
      const coverage = await online(1, async ({ network, client, server }) => {
        let done = 0;
        await network.transport(server).serve('s:1', (handlers) => {
          handlers.unary(ask, (question) => {
            done += 1;
            return Promise.resolve(question);
          });
        });
        const peer = network.transport(client).connect('s:1');
        network.loseNext({ direction, path: 'Ask' });
        await assert.rejects(peer.unary(ask, 'x', { deadlineMs: 1_000 }), isNetworkError);
        assert.equal(done, direction === 'up' ? 0 : 1);
        assert.equal(await peer.unary(ask, 'again', { deadlineMs: 1_000 }), 'again');
      });
      assert.equal(coverage.of(direction === 'up' ? 'network: request lost' : 'network: reply lost'), 1);
    }
  });

  test('a broken connection ends the streams at both ends with an error', async () => {
    await online(1, async ({ network, scheduler, client, server }) => {
      let serverSaw: unknown;
      let aborted = false;
      await network.transport(server).serve('s:1', (handlers) => {
        handlers.stream(talk, async (stream, { signal }) => {
          signal.addEventListener('abort', () => (aborted = true));
          try {
            for await (const line of stream) stream.send(line);
          } catch (thrown) {
            serverSaw = thrown;
            throw thrown;
          }
        });
      });
      const stream = network.transport(client).connect('s:1').stream(talk, never);
      stream.send('one');
      const reader = stream[Symbol.asyncIterator]();
      assert.deepEqual(await reader.next(), { done: false, value: 'one' });
      assert.ok(network.breakOne());
      await assert.rejects(reader.next(), isNetworkError);
      await assert.rejects(reader.next(), isNetworkError);
      await scheduler.pause(1_000_000);
      assert.ok(isNetworkError(serverSaw));
      assert.ok(aborted);
    });
  });

  test('a killed server fails its calls soon, a dead machine only by silence or when it is back', async () => {
    const waits: number[] = [];
    for (const death of ['process', 'machine', 'machine and back'] as const) {
      await online(7, async ({ network, scheduler, client, server }) => {
        await network
          .transport(server)
          .serve('s:1', (handlers) => handlers.unary(ask, () => new Promise(() => undefined)));
        const asked = network.transport(client).connect('s:1').unary(ask, 'x', { deadlineMs: 60_000 });
        scheduler.after(1_000, () => {
          server.alive = false;
          if (death === 'process') network.processEnded(server);
          else network.machineOff('s');
        });
        if (death === 'machine and back') scheduler.after(2_000_000, () => network.machineOn('s'));
        await assert.rejects(asked, isNetworkError);
        waits.push(scheduler.nowMicros);
      });
    }
    const [process = 0, machine = 0, back = 0] = waits;
    assert.ok(process < 50_000, `${process}`);
    assert.ok(machine > 19_000_000 && machine < 21_000_000, `${machine}`);
    assert.ok(back > 2_000_000 && back < 2_100_000, `${back}`);
  });

  test('what was on its way when the network fell silent arrives when it heals', async () => {
    for (const [from, to] of [
      ['c', 's'],
      ['s', 'c'],
    ] as const) {
      await online(1, async ({ network, scheduler, client, server }) => {
        await network.transport(server).serve('s:1', loud);
        const peer = network.transport(client).connect('s:1');
        await peer.unary(ask, 'warm', { deadlineMs: 1_000 });
        network.silence(from, to);
        scheduler.after(3_000_000, () => network.heal());
        assert.equal(await peer.unary(ask, 'late', { deadlineMs: 10_000 }), 'LATE');
        assert.ok(scheduler.nowMicros > 3_000_000);
      });
    }
  });

  test('what a client said on a stalled connection arrives after what it said on the next one, and the server hears of the break after that', async () => {
    await online(5, async ({ network, scheduler, client, server }) => {
      const heard: string[] = [];
      await network.transport(server).serve('s:1', (handlers) => {
        handlers.stream(talk, async (stream) => {
          try {
            for await (const line of stream) heard.push(line);
          } catch {
            heard.push('broken');
          }
        });
      });
      const transport = network.transport(client);
      const first = transport.connect('s:1').stream(talk, never);
      first.send('one');
      await scheduler.pause(100_000);
      const stalled = network.stall('c', 's', talk.path);
      first.send('two');
      await scheduler.pause(100_000);
      stalled?.breakClientEnd();
      await assert.rejects(first[Symbol.asyncIterator]().next(), isNetworkError);
      transport.connect('s:1').stream(talk, never).send('three');
      await scheduler.pause(2_000_000);
      assert.deepEqual(heard, ['one', 'three']);
      stalled?.goOn();
      await scheduler.pause(2_000_000);
      assert.deepEqual(heard, ['one', 'three', 'two', 'broken']);
    });
  });

  test('a deadline ends a call on virtual time and tells the server', async () => {
    await online(1, async ({ network, scheduler, client, server }) => {
      let told = false;
      await network.transport(server).serve('s:1', (handlers) =>
        handlers.unary(ask, (_question, { signal }) => {
          signal.addEventListener('abort', () => (told = true));
          return new Promise(() => undefined);
        }),
      );
      const peer = network.transport(client).connect('s:1');
      const begun = scheduler.nowMicros;
      await assert.rejects(peer.unary(ask, 'x', { deadlineMs: 250 }), { error: 'REQUEST_TIMED_OUT' });
      assert.equal(scheduler.nowMicros, begun + 250_000);
      await scheduler.pause(10_000);
      assert.ok(told);
    });
  });

  test('who does not read makes the sender wait', async () => {
    await online(
      1,
      async ({ network, scheduler, client, server }) => {
        let read = 0;
        const mayRead = Promise.withResolvers<void>();
        await network.transport(server).serve('s:1', (handlers) =>
          handlers.stream(talk, async (stream) => {
            await mayRead.promise;
            for await (const _ of stream) read += 1;
          }),
        );
        const stream = network.transport(client).connect('s:1').stream(talk, never);
        const messages = 40;
        for (let i = 0; i < messages; i++) stream.send('x'.repeat(64 * 1024));
        await scheduler.pause(1_000_000);
        assert.ok(stream.queuedBytes > limits.streamQueue, `${stream.queuedBytes}`);
        let writable = false;
        const waited = stream.writable().then(() => (writable = true));
        await scheduler.pause(1_000_000);
        assert.equal(writable, false);
        mayRead.resolve();
        await waited;
        stream.end();
        await Array.fromAsync(stream);
        assert.equal(read, messages);
      },
      { windowBytes: 128 * 1024 },
    );
  });

  test('nothing reaches the code of a dead process', async () => {
    await online(1, async ({ network, scheduler, client, server }) => {
      await network.transport(server).serve('s:1', loud);
      const peer = network.transport(client).connect('s:1');
      let reached = false;
      const reach = (): void => {
        reached = true;
      };
      peer.unary(ask, 'x', { deadlineMs: 1_000 }).then(reach, reach);
      const stream = peer.stream(talk, never);
      stream.send('line');
      Array.fromAsync(stream).then(reach, reach);
      client.alive = false;
      network.processEnded(client);
      await scheduler.pause(60_000_000);
      assert.equal(reached, false);
    });
  });
});
