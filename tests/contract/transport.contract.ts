/**
 * What every Transport keeps, the real network's and the simulated one's. An adapter calls {@link transportContract} with the way to run a
 * story on it.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits, TributaryError } from '@tributary/model';
import type { CallContext, Codec, Stream } from '@tributary/ports';
import {
  ask,
  carry,
  collect,
  echo,
  isError,
  misread,
  never,
  patterned,
  served,
  soon,
  talk,
  type RunTransportStory,
} from './transport-audience.ts';
import { backPressure, connections } from './transport-connections.ts';

export type { RunTransportStory } from './transport-audience.ts';

export function transportContract(name: string, run: RunTransportStory): void {
  describe(`${name} as a Transport`, () => {
    describe('unary calls', () => unaryCalls(run));
    describe('streams', () => streams(run));
    describe('the end of a stream', () => streamEnds(run));
    describe('back-pressure', () => backPressure(run));
    describe('connections', () => connections(run));
  });
}

function unaryCalls(run: RunTransportStory): void {
  it('bring the answer that belongs to each question, however many are under way', () =>
    served(
      run,
      (handlers) => handlers.unary(ask, async (question) => `re: ${question}`),
      async ({ peer }) => {
        const questions = Array.from({ length: 200 }, (_, i) => `question ${i}`);
        const answers = await Promise.all(questions.map((question) => peer.unary(ask, question, soon)));
        assert.deepEqual(
          answers,
          questions.map((question) => `re: ${question}`),
        );
      },
    ));

  it('carry an empty message, and one of several MiB', () =>
    served(
      run,
      (handlers) => handlers.unary(ask, async (question) => question),
      async ({ peer }) => {
        assert.equal(await peer.unary(ask, '', soon), '');
        const long = 'ä'.repeat(2_000_000);
        assert.equal(await peer.unary(ask, long, soon), long);
      },
    ));

  it("bring the handler's error by name, with its sentence", () => {
    const sentence = 'Topic „ä" is 100% gone:\n see %41 and 𝄞.';
    const refuse = async (): Promise<string> => {
      throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', sentence);
    };
    return served(
      run,
      (handlers) => handlers.unary(ask, refuse),
      async ({ peer }) => {
        await assert.rejects(peer.unary(ask, 'x', soon), isError('UNKNOWN_TOPIC_OR_PARTITION', sentence));
      },
    );
  });

  it('bring any other failure of the handler as UNKNOWN_SERVER_ERROR', () => {
    const fail = async (): Promise<string> => {
      throw new Error('the disk is on fire');
    };
    return served(
      run,
      (handlers) => handlers.unary(ask, fail),
      async ({ peer }) => {
        await assert.rejects(peer.unary(ask, 'x', soon), isError('UNKNOWN_SERVER_ERROR', /on fire/));
      },
    );
  });

  it('are refused when nobody serves the method, which the error names', () =>
    served(
      run,
      () => undefined,
      async ({ peer }) => {
        await assert.rejects(peer.unary(ask, 'x', soon), isError('UNSUPPORTED_VERSION', /\/contract\.Service\/Ask/));
      },
    ));

  it('are refused when the request cannot be decoded', () =>
    served(
      run,
      (handlers) => handlers.unary(misread, async () => 'understood'),
      async ({ peer }) => {
        await assert.rejects(peer.unary(misread, 'x', soon), isError('INVALID_REQUEST', /no such message/));
      },
    ));

  it('end at their deadline, for the handler too', async () => {
    const abandoned = Promise.withResolvers<void>();
    const stall = async (_: string, context: CallContext): Promise<string> => {
      context.signal.addEventListener('abort', () => abandoned.resolve());
      return new Promise(() => undefined);
    };
    await served(
      run,
      (handlers) => handlers.unary(ask, stall),
      async ({ peer }) => {
        await assert.rejects(peer.unary(ask, 'x', { deadlineMs: 100 }), isError('REQUEST_TIMED_OUT'));
        await abandoned.promise;
      },
    );
  });

  it("end when the caller's signal says so, for the handler too", async () => {
    const arrived = Promise.withResolvers<void>();
    const abandoned = Promise.withResolvers<void>();
    const stall = async (_: string, context: CallContext): Promise<string> => {
      context.signal.addEventListener('abort', () => abandoned.resolve());
      arrived.resolve();
      return new Promise(() => undefined);
    };
    await served(
      run,
      (handlers) => handlers.unary(ask, stall),
      async ({ peer }) => {
        const stop = new AbortController();
        const call = peer.unary(ask, 'x', { ...soon, signal: stop.signal });
        await arrived.promise;
        stop.abort();
        await assert.rejects(call, isError('NETWORK_EXCEPTION'));
        await abandoned.promise;
      },
    );
  });

  it('do not begin under a signal that is already aborted', () => {
    let calls = 0;
    const count = async (): Promise<string> => String(++calls);
    return served(
      run,
      (handlers) => handlers.unary(ask, count),
      async ({ peer }) => {
        await assert.rejects(
          peer.unary(ask, 'x', { ...soon, signal: AbortSignal.abort() }),
          isError('NETWORK_EXCEPTION'),
        );
        assert.equal(await peer.unary(ask, 'x', soon), '1');
      },
    );
  });

  it('belong to the last handler that was registered for the method', () =>
    served(
      run,
      (handlers) => {
        handlers.unary(ask, async () => 'first');
        handlers.unary(ask, async () => 'last');
      },
      async ({ peer }) => {
        assert.equal(await peer.unary(ask, 'x', soon), 'last');
      },
    ));
}

function streams(run: RunTransportStory): void {
  it('keep the order of messages, in both directions at once', () =>
    served(
      run,
      (handlers) => handlers.stream(talk, echo),
      async ({ peer }) => {
        const stream = peer.stream(talk, never());
        const lines = Array.from({ length: 5_000 }, (_, i) => `line ${i}`);
        for (const line of lines) stream.send(line);
        stream.end();
        assert.deepEqual(await collect(stream), lines);
      },
    ));

  it('do not mix with each other', () =>
    served(
      run,
      (handlers) => handlers.stream(talk, echo),
      async ({ peer }) => {
        const talks = Array.from({ length: 20 }, async (_, i) => {
          const stream = peer.stream(talk, never());
          const lines = Array.from({ length: 50 }, (__, j) => `${i}: ${j}`);
          for (const line of lines) stream.send(line);
          stream.end();
          assert.deepEqual(await collect(stream), lines);
        });
        await Promise.all(talks);
      },
    ));

  it('carry messages of all sizes byte for byte', () =>
    served(
      run,
      (handlers) => handlers.stream(carry, echo),
      async ({ peer }) => {
        const stream = peer.stream(carry, never());
        const sizes = [0, 1, 4, 5, 6, 4_095, 4_096, 4_097, 16_379, 16_384, 65_536, 262_144, 0, 3_000_000, 7, 1_048_577];
        const messages = sizes.map((size, i) => patterned(size, i));
        for (const message of messages) stream.send(message);
        stream.end();
        const back = await collect(stream);
        assert.deepEqual(
          back.map((bytes) => bytes.length),
          sizes,
        );
        for (const [i, bytes] of back.entries())
          assert.ok(Buffer.from(bytes).equals(messages[i] ?? Buffer.alloc(0)), `message ${i}`);
      },
    ));

  it('refuse a message over the limit at its sender, and go on', () =>
    served(
      run,
      (handlers) => handlers.stream(carry, echo),
      async ({ peer }) => {
        const stream = peer.stream(carry, never());
        const huge: Codec<Uint8Array> = {
          encode: () => new Uint8Array(new ArrayBuffer(limits.messageBytesMax + 1)),
          decode: (bytes) => bytes,
        };
        const oversized = peer.stream({ ...carry, request: huge }, never());
        assert.throws(() => oversized.send(new Uint8Array(0)), isError('MESSAGE_TOO_LARGE'));
        stream.send(Buffer.from('small'));
        stream.end();
        assert.equal(Buffer.concat(await collect(stream)).toString(), 'small');
      },
    ));

  it('deliver at once, without waiting for more', () =>
    served(
      run,
      (handlers) => handlers.stream(talk, echo),
      async ({ peer }) => {
        const stream = peer.stream(talk, never());
        const reader = stream[Symbol.asyncIterator]();
        for (const line of ['one', 'two', 'three']) {
          stream.send(line);
          assert.deepEqual(await reader.next(), { done: false, value: line });
        }
        stream.cancel();
      },
    ));

  it('go on where the last iteration stopped', () =>
    served(
      run,
      (handlers) => handlers.stream(talk, echo),
      async ({ peer }) => {
        const stream = peer.stream(talk, never());
        for (const line of ['one', 'two', 'three']) stream.send(line);
        stream.end();
        for await (const line of stream) {
          assert.equal(line, 'one');
          break;
        }
        assert.deepEqual(await collect(stream), ['two', 'three']);
      },
    ));
}

function streamEnds(run: RunTransportStory): void {
  it('by the client lets the server go on', () => {
    const summarize = async (stream: Stream<string, string>): Promise<void> => {
      const lines = await collect(stream);
      stream.send(`${lines.length} lines`);
      stream.send('goodbye');
    };
    return served(
      run,
      (handlers) => handlers.stream(talk, summarize),
      async ({ peer }) => {
        const stream = peer.stream(talk, never());
        stream.send('a');
        stream.send('b');
        stream.end();
        stream.send('dropped');
        assert.deepEqual(await collect(stream), ['2 lines', 'goodbye']);
      },
    );
  });

  it("by the handler's return comes after all that it sent", () => {
    const recite = async (stream: Stream<string, string>): Promise<void> => {
      for (let i = 0; i < 1_000; i++) stream.send(`verse ${i}`);
    };
    return served(
      run,
      (handlers) => handlers.stream(talk, recite),
      async ({ peer }) => {
        const verses = await collect(peer.stream(talk, never()));
        assert.equal(verses.length, 1_000);
        assert.equal(verses.at(-1), 'verse 999');
      },
    );
  });

  it("by the handler's rejection comes after all that it sent, as its error", () => {
    const stumble = async (stream: Stream<string, string>): Promise<void> => {
      stream.send('so far so good');
      throw new TributaryError('NOT_LEADER_OR_FOLLOWER', 'Broker 2 leads now.');
    };
    return served(
      run,
      (handlers) => handlers.stream(talk, stumble),
      async ({ peer }) => {
        const reader = peer.stream(talk, never())[Symbol.asyncIterator]();
        assert.deepEqual(await reader.next(), { done: false, value: 'so far so good' });
        await assert.rejects(reader.next(), isError('NOT_LEADER_OR_FOLLOWER', 'Broker 2 leads now.'));
      },
    );
  });

  it('by a rejection before anything was sent brings its error', () => {
    const refuse = async (): Promise<void> => {
      throw new TributaryError('INCONSISTENT_CLUSTER_ID', 'Another cluster.');
    };
    return served(
      run,
      (handlers) => handlers.stream(talk, refuse),
      async ({ peer }) => {
        await assert.rejects(
          collect(peer.stream(talk, never())),
          isError('INCONSISTENT_CLUSTER_ID', 'Another cluster.'),
        );
      },
    );
  });

  it('that the server announces is told when its handler returns; until then the client may go on', () => {
    const listen = async (stream: Stream<string, string>): Promise<void> => {
      stream.send('first and last');
      stream.end();
      stream.send('dropped');
      assert.deepEqual(await collect(stream), ['still', 'here']);
    };
    return served(
      run,
      (handlers) => handlers.stream(talk, listen),
      async ({ peer, stage }) => {
        const stream = peer.stream(talk, never());
        stream.send('still');
        await stage.sleep(20);
        stream.send('here');
        stream.end();
        assert.deepEqual(await collect(stream), ['first and last']);
      },
    );
  });

  for (const how of ['cancel', 'signal'] as const) {
    it(`by the client's ${how} breaks both sides`, async () => {
      const seen = Promise.withResolvers<{ readonly error: unknown; readonly aborted: boolean }>();
      const listen = async (stream: Stream<string, string>, context: CallContext): Promise<void> => {
        stream.send('ready');
        const error = await collect(stream).catch((thrown: unknown) => thrown);
        seen.resolve({ error, aborted: context.signal.aborted });
      };
      await served(
        run,
        (handlers) => handlers.stream(talk, listen),
        async ({ peer }) => {
          const stop = new AbortController();
          const stream = peer.stream(talk, stop.signal);
          const reader = stream[Symbol.asyncIterator]();
          await reader.next();
          if (how === 'cancel') stream.cancel();
          else stop.abort();
          await assert.rejects(reader.next(), isError('NETWORK_EXCEPTION'));
          await stream.writable();
          const { error, aborted } = await seen.promise;
          assert.ok(isError('NETWORK_EXCEPTION')(error));
          assert.ok(aborted);
        },
      );
    });
  }

  it("aborts the handler's signal once it has returned", async () => {
    const left = Promise.withResolvers<CallContext>();
    const brief = async (_: Stream<string, string>, context: CallContext): Promise<void> => left.resolve(context);
    await served(
      run,
      (handlers) => handlers.stream(talk, brief),
      async ({ peer }) => {
        await collect(peer.stream(talk, never()));
        assert.ok((await left.promise).signal.aborted);
      },
    );
  });

  it('comes to streams that begin under an aborted signal', () =>
    served(
      run,
      (handlers) => handlers.stream(talk, echo),
      async ({ peer }) => {
        const stream = peer.stream(talk, AbortSignal.abort());
        stream.send('dropped');
        await assert.rejects(collect(stream), isError('NETWORK_EXCEPTION'));
      },
    ));
}
