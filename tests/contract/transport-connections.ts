/** Stories of the transport contract about slow readers and broken connections. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { limits } from '@tributary/model';
import type { CallContext, Service, Stream } from '@tributary/ports';
import {
  type TransportStage,
  ask,
  carry,
  collect,
  echo,
  isError,
  never,
  patterned,
  sendUntilHeld,
  served,
  soon,
  talk,
  type RunTransportStory,
} from './transport-audience.ts';

export function backPressure(run: RunTransportStory): void {
  const chunk = patterned(256 * 1024, 1);
  // More than the windows of both ends and the reader's queue can swallow together.
  const chunks = 4 * Math.ceil((limits.transportWindow + limits.receiveQueue + limits.streamQueue) / chunk.length);

  it('makes a fast client wait for a slow server, and loses nothing', async () => {
    const open = Promise.withResolvers<void>();
    const slow = async (stream: Stream<Uint8Array, Uint8Array>): Promise<void> => {
      await open.promise;
      let bytes = 0;
      for await (const message of stream) bytes += message.length;
      stream.send(Buffer.from(String(bytes)));
    };
    await served(
      run,
      (handlers) => handlers.stream(carry, slow),
      async ({ peer, stage }) => {
        const stream = peer.stream(carry, never());
        assert.equal(stream.queuedBytes, 0);
        await stream.writable();
        const sent = await sendUntilHeld(stream, chunk, chunks, stage);
        assert.ok(sent < chunks, 'the sender was never held back');
        assert.ok(stream.queuedBytes >= limits.streamQueue);
        open.resolve();
        for (let i = sent; i < chunks; i++) {
          await stream.writable();
          assert.ok(stream.queuedBytes < limits.streamQueue);
          stream.send(chunk);
        }
        stream.end();
        assert.equal(Buffer.concat(await collect(stream)).toString(), String(chunks * chunk.length));
      },
    );
  });

  it('makes a fast server wait for a slow client, and loses nothing', async () => {
    const held = Promise.withResolvers<number>();
    let stageOf: TransportStage | undefined;
    const pour = async (stream: Stream<Uint8Array, Uint8Array>): Promise<void> => {
      const sent = stageOf === undefined ? 0 : await sendUntilHeld(stream, chunk, chunks, stageOf);
      held.resolve(sent);
      for (let i = sent; i < chunks; i++) {
        await stream.writable();
        stream.send(chunk);
      }
    };
    await served(
      run,
      (handlers) => handlers.stream(carry, pour),
      async ({ peer, stage }) => {
        stageOf = stage;
        const stream = peer.stream(carry, never());
        assert.ok((await held.promise) < chunks, 'the sender was never held back');
        let bytes = 0;
        for await (const message of stream) bytes += message.length;
        assert.equal(bytes, chunks * chunk.length);
      },
    );
  });

  it('on one stream holds up no other', async () => {
    const stuck = async (_: Stream<Uint8Array, Uint8Array>, context: CallContext): Promise<void> =>
      new Promise((resolve) => context.signal.addEventListener('abort', () => resolve()));
    await served(
      run,
      (handlers) => {
        handlers.stream(carry, stuck);
        handlers.unary(ask, async (question) => question);
      },
      async ({ peer, stage }) => {
        const stream = peer.stream(carry, never());
        await sendUntilHeld(stream, chunk, chunks, stage);
        assert.equal(await peer.unary(ask, 'are you there?', soon), 'are you there?');
        stream.cancel();
      },
    );
  });

  it('ends with the stream: who waits to write is woken', async () => {
    const stuck = async (_: Stream<Uint8Array, Uint8Array>, context: CallContext): Promise<void> =>
      new Promise((resolve) => context.signal.addEventListener('abort', () => resolve()));
    await served(
      run,
      (handlers) => handlers.stream(carry, stuck),
      async ({ peer, stage }) => {
        const stream = peer.stream(carry, never());
        await sendUntilHeld(stream, chunk, chunks, stage);
        const woken = stream.writable();
        stream.cancel();
        await woken;
        await stream.writable();
      },
    );
  });
}

export function connections(run: RunTransportStory): void {
  it('to where nobody listens fail with the address, and are tried again by the next call', () =>
    run(async (stage) => {
      const first = await stage.server.serve(stage.address, () => undefined);
      await first[Symbol.asyncDispose]();
      await using peer = stage.client.connect(first.address);
      const namesIt = isError('NETWORK_EXCEPTION', (message) => message.includes(first.address));
      await assert.rejects(peer.unary(ask, 'x', soon), namesIt);
      await assert.rejects(collect(peer.stream(talk, never())), namesIt);
      await using _ = await stage.server.serve(first.address, (handlers) =>
        handlers.unary(ask, async () => 'here now'),
      );
      assert.equal(await peer.unary(ask, 'x', soon), 'here now');
    }));

  it('that break end what ran over them, on both sides, and the next call makes a new one', async () => {
    const reading = Promise.withResolvers<void>();
    const atServer = Promise.withResolvers<unknown>();
    const listen = async (stream: Stream<string, string>, context: CallContext): Promise<void> => {
      context.signal.addEventListener('abort', () => undefined);
      reading.resolve();
      atServer.resolve(await collect(stream).catch((thrown: unknown) => thrown));
    };
    const stall = (): Promise<string> => new Promise(() => undefined);
    const service: Service = (handlers) => {
      handlers.stream(talk, listen);
      handlers.unary(ask, (question) => (question === 'stall' ? stall() : Promise.resolve(question)));
    };
    await served(run, service, async ({ peer, stage }) => {
      const stream = peer.stream(talk, never());
      stream.send('hello');
      await reading.promise;
      const call = peer.unary(ask, 'stall', soon);
      await stage.sleep(20);
      stage.breakConnections();
      await Promise.all([
        assert.rejects(call, isError('NETWORK_EXCEPTION')),
        assert.rejects(collect(stream), isError('NETWORK_EXCEPTION')),
      ]);
      assert.ok(isError('NETWORK_EXCEPTION')(await atServer.promise));
      assert.equal(await peer.unary(ask, 'again', soon), 'again');
    });
  });

  it('closed by the client end its calls, and begin no other', async () => {
    const atServer = Promise.withResolvers<void>();
    const listen = async (stream: Stream<string, string>, context: CallContext): Promise<void> => {
      context.signal.addEventListener('abort', () => atServer.resolve());
      stream.send('ready');
      await collect(stream);
    };
    await served(
      run,
      (handlers) => handlers.stream(talk, listen),
      async ({ peer }) => {
        const reader = peer.stream(talk, never())[Symbol.asyncIterator]();
        await reader.next();
        const rest = assert.rejects(reader.next(), isError('NETWORK_EXCEPTION'));
        await peer[Symbol.asyncDispose]();
        await rest;
        await atServer.promise;
        await assert.rejects(peer.unary(ask, 'x', soon), isError('NETWORK_EXCEPTION'));
        await assert.rejects(collect(peer.stream(talk, never())), isError('NETWORK_EXCEPTION'));
      },
    );
  });

  it('closed by the server let unary calls finish and tell streams why they end', () =>
    run(async (stage) => {
      const answer = Promise.withResolvers<string>();
      const asked = Promise.withResolvers<void>();
      const server = await stage.server.serve(stage.address, (handlers) => {
        handlers.stream(talk, echo);
        handlers.unary(ask, () => {
          asked.resolve();
          return answer.promise;
        });
      });
      await using peer = stage.client.connect(await stage.reach(server.address));
      const reader = peer.stream(talk, never())[Symbol.asyncIterator]();
      const ended = assert.rejects(reader.next(), isError('BROKER_NOT_AVAILABLE', /shutting down/));
      const call = peer.unary(ask, 'last question', soon);
      await asked.promise;
      await stage.sleep(20);
      const closed = server[Symbol.asyncDispose]();
      await ended;
      answer.resolve('last answer');
      assert.equal(await call, 'last answer');
      await closed;
      await assert.rejects(peer.unary(ask, 'x', soon), isError('NETWORK_EXCEPTION'));
    }));

  it('cannot be served at an address that is taken, which the error names', () =>
    run(async (stage) => {
      await using server = await stage.server.serve(stage.address, () => undefined);
      const namesIt = isError('INVALID_CONFIG', (message) => message.includes(server.address));
      await assert.rejects(
        stage.server.serve(server.address, () => undefined),
        namesIt,
      );
    }));

  it('are served at the address that was given for port 0', () =>
    run(async (stage) => {
      await using server = await stage.server.serve(stage.address, (handlers) =>
        handlers.unary(ask, async () => 'yes'),
      );
      assert.match(server.address, /:[1-9]\d*$/);
      await using peer = stage.client.connect(server.address);
      assert.equal(peer.address, server.address);
      assert.equal(await peer.unary(ask, 'x', soon), 'yes');
    }));
}
