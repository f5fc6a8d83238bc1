// Clients that mean harm, against a server with little to give: each is stopped, with a status where it can be told, and others are served meanwhile.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { brokerSettings, limits, MemoryBudget, TributaryError } from '@tributary/model';
import type { Codec, ServerLimits, Stream, StreamMethod, UnaryMethod } from '@tributary/ports';
import { grpcTransport } from '../src/index.ts';
import { Visitor } from '../src/transport/visitor.ts';

const bytes: Codec<Uint8Array> = { encode: (each) => each, decode: (each) => each };
const ask: UnaryMethod<Uint8Array, Uint8Array> = {
  kind: 'unary',
  path: '/test.Service/Ask',
  request: bytes,
  response: bytes,
  requestBytesMax: 100_000,
};
const pour: StreamMethod<Uint8Array, Uint8Array> = {
  kind: 'stream',
  path: '/test.Service/Pour',
  request: bytes,
  response: bytes,
};
const measure: StreamMethod<Uint8Array, Uint8Array> = { ...pour, path: '/test.Service/Measure' };
const store: StreamMethod<Uint8Array, Uint8Array> = { ...pour, path: '/test.Service/Store' };
const hoard: StreamMethod<Uint8Array, Uint8Array> = { ...pour, path: '/test.Service/Hoard' };
const mebibyte = 1024 * 1024;
const small = Buffer.from('x');

interface Bounds extends ServerLimits {
  connectionsMax: number;
  connectionIdleMs: number;
}

function bounds(total = 4 * mebibyte): Bounds {
  return {
    memory: new MemoryBudget(total, total),
    connectionsMax: 100,
    connectionIdleMs: 60_000,
    use: { connections: 0, connectionsRefused: 0, calls: 0, callsRefused: 0 },
  };
}

/** Answers what it is asked; says how long each message of Measure and Store is, works on those of Store for a while; pours without end to whoever opens Pour; never reads what is sent to Hoard. */
async function serving(limited: Bounds, story: (address: string) => Promise<void>): Promise<void> {
  await using server = await grpcTransport.serve(
    '127.0.0.1:0',
    (handlers) => {
      handlers.unary(ask, async (question) => question);
      handlers.stream(pour, async (stream: Stream<Uint8Array, Uint8Array>, { signal }) => {
        while (!signal.aborted) {
          stream.send(Buffer.alloc(256 * 1024));
          if (stream.queuedBytes >= limits.streamQueue) await stream.writable();
        }
      });
      handlers.stream(measure, async (stream: Stream<Uint8Array, Uint8Array>) => {
        for await (const message of stream) stream.send(Buffer.from(String(message.length)));
      });
      handlers.stream(store, async (stream: Stream<Uint8Array, Uint8Array>, { memory }) => {
        for await (const { length } of stream) {
          const isRoom = memory?.take(length);
          void sleep(500).then(() => {
            stream.send(Buffer.from(isRoom === true ? String(length) : 'no room'));
            memory?.give(length);
          });
        }
        while (limited.memory.used > 0) await sleep(20);
      });
      handlers.stream(hoard, async (_stream, { signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      });
    },
    limited,
  );
  await story(server.address);
  // Whatever happened, a new client is served, and nothing is held any more.
  await served(server.address);
}

async function served(address: string): Promise<void> {
  await using peer = grpcTransport.connect(address);
  assert.deepEqual(Buffer.from(await peer.unary(ask, small, { deadlineMs: 5_000 })), small);
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    assert.ok(waited < 8_000, what);
    await sleep(20);
  }
}

const isError =
  (error: string) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof TributaryError, String(thrown));
    assert.equal(thrown.error, error, thrown.message);
    return true;
  };

async function rawSession(address: string): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(`http://${address}`);
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  return session;
}

function rawCall(
  session: http2.ClientHttp2Session,
  path: string,
  more: Readonly<Record<string, string>> = {},
): http2.ClientHttp2Stream {
  const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request({ ...headers, ...more });
  stream.on('error', () => undefined);
  return stream;
}

describe('a server in the face of', () => {
  it('more connections than it allows closes the further ones at once, counts them, and has room again when others go', async () => {
    const limited = bounds();
    limited.connectionsMax = 3;
    await serving(limited, async (address) => {
      const sessions = await Promise.all([1, 2, 3].map(() => rawSession(address)));
      await using peer = grpcTransport.connect(address);
      await assert.rejects(peer.unary(ask, small, { deadlineMs: 2_000 }), isError('NETWORK_EXCEPTION'));
      assert.ok(limited.use.connectionsRefused >= 1);
      assert.equal(limited.use.connections, 3);
      for (const session of sessions) session.destroy();
      await until(() => limited.use.connections === 0, 'connections that went are still counted');
    });
  });

  it('a connection that is idle closes it; one with a call goes on', async () => {
    const limited = bounds();
    limited.connectionIdleMs = 100;
    await serving(limited, async (address) => {
      const idle = await rawSession(address);
      const busy = await rawSession(address);
      rawCall(busy, hoard.path);
      await Promise.race([once(idle, 'close'), sleep(6_000)]);
      assert.ok(idle.closed);
      assert.ok(!busy.closed && !busy.destroyed);
      busy.destroy();
    });
  });

  it('a connection that never says that it speaks HTTP/2 ends it', async () => {
    const server = http2.createServer();
    const visitors: Visitor[] = [];
    server.on('session', (session) =>
      visitors.push(new Visitor(session, new MemoryBudget(mebibyte, mebibyte).connection())),
    );
    server.on('sessionError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const at = server.address() as net.AddressInfo;
    const socket = net.connect(at.port, '127.0.0.1').on('error', () => undefined);
    socket.resume();
    const greeted = await rawSession(`127.0.0.1:${at.port}`);
    await until(() => visitors.length === 2, 'two connections');
    await sleep(100);
    for (const visitor of visitors) visitor.check(performance.now() + limits.handshakeMs + 1, 60_000);
    await once(socket, 'close');
    assert.ok(!greeted.destroyed);
    greeted.destroy();
    server.close();
  });

  it('metadata of a mebibyte refuses it', async () => {
    await serving(bounds(), async (address) => {
      const session = http2.connect(`http://${address}`, { maxSendHeaderBlockLength: 2 * mebibyte });
      session.on('error', () => undefined);
      await once(session, 'remoteSettings');
      const call = rawCall(session, ask.path, { 'x-large': 'a'.repeat(mebibyte) });
      const outcome = await new Promise<string>((resolve) => {
        call.once('response', (headers) => resolve(`status ${String(headers['grpc-status'])}`));
        call.once('close', () => resolve(`reset ${call.rstCode}`));
        session.once('close', () => resolve('connection closed'));
      });
      assert.notEqual(outcome, 'status 0');
      session.destroy();
    });
  });

  it('calls that are broken off as fast as they are begun ends the connection (CVE-2023-44487)', async () => {
    const limited = bounds();
    await serving(limited, async (address) => {
      const session = await rawSession(address);
      const ended = new Promise((resolve) => session.once('close', resolve));
      for (let begun = 0; begun < 20_000 && !session.closed && !session.destroyed; begun++) {
        rawCall(session, hoard.path).close(http2.constants.NGHTTP2_CANCEL);
        if (begun % 100 === 99) await sleep(1);
      }
      await Promise.race([ended, sleep(3_000)]);
      assert.ok(session.closed || session.destroyed, 'the connection goes on');
      await until(() => limited.use.calls === 0, `${limited.use.calls} calls are left`);
    });
  });

  it('pings without end goes on', async () => {
    await serving(bounds(), async (address) => {
      const session = await rawSession(address);
      for (let sent = 0; sent < 50_000 && !session.destroyed; sent++) session.ping(() => undefined);
      await served(address);
      session.destroy();
    });
  });

  it('a unary request beyond its size says so, before it has come', async () => {
    await serving(bounds(), async (address) => {
      await using peer = grpcTransport.connect(address);
      const large = Buffer.alloc((ask.requestBytesMax ?? 0) + 1);
      await assert.rejects(peer.unary(ask, large, { deadlineMs: 5_000 }), isError('MESSAGE_TOO_LARGE'));
    });
  });

  for (const pieces of [64 * 1024, 1] as const) {
    it(`a message that is never finished, in pieces of ${pieces}, takes no more than there is, and its sender is told`, async () => {
      const limited = bounds(pieces === 1 ? mebibyte : 4 * mebibyte);
      let most = 0;
      const watching = setInterval(() => (most = Math.max(most, limited.memory.used)), 1);
      await serving(limited, async (address) => {
        const session = await rawSession(address);
        const call = rawCall(session, hoard.path);
        const told = once(call, 'response');
        call.write(Buffer.from([0, 3, 0, 0, 0]));
        const garbage = Buffer.alloc(pieces);
        let isOver = false;
        call.once('close', () => (isOver = true));
        for (let sent = 0; sent < 20_000 && !isOver; sent++) {
          if (!call.write(garbage)) await Promise.race([once(call, 'drain'), once(call, 'close')]);
          else if (pieces === 1) await new Promise((resolve) => setImmediate(resolve));
        }
        const [headers] = await told;
        assert.equal(headers['grpc-status'], '8', JSON.stringify(headers));
        session.destroy();
        await until(() => limited.memory.used === 0, `${limited.memory.used} bytes are still held`);
      });
      clearInterval(watching);
      assert.ok(limited.memory.refused >= 1);
      assert.ok(most <= limited.memory.total, `${most} of ${limited.memory.total} were held`);
    });
  }

  it('unary requests that are never ended, many at a time, takes what they hold away like that of any other', async () => {
    const limited = bounds(mebibyte);
    await serving(limited, async (address) => {
      const sessions = await Promise.all(Array.from({ length: 20 }, () => rawSession(address)));
      const request = Buffer.alloc(5 + 90_000);
      request.writeUInt32BE(90_000, 1);
      for (const session of sessions) rawCall(session, ask.path).write(request);
      await until(() => limited.memory.refused > 5, `${limited.memory.refused} were given up`);
      assert.ok(limited.memory.used <= limited.memory.total, `${limited.memory.used} bytes are held`);
      await served(address);
      for (const session of sessions) session.destroy();
      await until(() => limited.memory.used === 0, `${limited.memory.used} bytes are still held`);
    });
  });

  it('calls of methods that it has not, broken off as fast as they are begun, goes on', async () => {
    await serving(bounds(), async (address) => {
      const session = await rawSession(address);
      for (let begun = 0; begun < 500; begun++) rawCall(session, '/no/Method').close(http2.constants.NGHTTP2_CANCEL);
      await served(address);
      session.destroy();
    });
  });

  it('readers that never read gives up those that hold most, and serves the others', async () => {
    const limited = bounds(8 * mebibyte);
    await serving(limited, async (address) => {
      const sessions = await Promise.all(Array.from({ length: 20 }, () => rawSession(address)));
      const calls = sessions.map((session) => rawCall(session, pour.path).pause());
      await until(() => limited.memory.refused > 5, `${limited.memory.refused} were given up`);
      assert.ok(limited.memory.used <= limited.memory.total, `${limited.memory.used} bytes are held`);
      await served(address);
      const codes = calls.filter(({ closed }) => closed).map(({ rstCode }) => rstCode);
      assert.ok(codes.length > 0 && codes.every((code) => code === http2.constants.NGHTTP2_ENHANCE_YOUR_CALM));
      for (const session of sessions) session.destroy();
      await until(() => limited.memory.used === 0, `${limited.memory.used} bytes are still held`);
    });
  });
});

describe('a client whose call the server gave up', () => {
  it('learns that there was no room', async () => {
    const limited = bounds(mebibyte / 2);
    await serving(limited, async (address) => {
      await using peer = grpcTransport.connect(address);
      const stream = peer.stream(pour, new AbortController().signal);
      await assert.rejects(async () => {
        for await (const _message of stream) await sleep(50);
      }, isError('THROTTLING_QUOTA_EXCEEDED'));
    });
  });
});

describe('a message of the largest size', () => {
  it('is taken, one after the other, within what one connection may hold by default', async () => {
    const { requestBytesPerConnection } = brokerSettings({});
    const limited = { ...bounds(), memory: new MemoryBudget(128 * mebibyte, requestBytesPerConnection) };
    await serving(limited, async (address) => {
      await using peer = grpcTransport.connect(address);
      const stream = peer.stream(measure, new AbortController().signal);
      const answers = stream[Symbol.asyncIterator]();
      for (const size of [60 * mebibyte, limits.messageBytesMax]) {
        stream.send(Buffer.alloc(size));
        const { value: answer } = await answers.next();
        assert.equal(String(Buffer.from(answer ?? [])), String(size));
      }
      stream.end();
      await until(() => limited.memory.used === 0, `${limited.memory.used} bytes are still held`);
      assert.equal(limited.memory.refused, 0);
    });
  });

  it('waits, where its client sends ahead, until what came before it is done', async () => {
    const { requestBytesPerConnection } = brokerSettings({});
    const limited = { ...bounds(), memory: new MemoryBudget(128 * mebibyte, requestBytesPerConnection) };
    await serving(limited, async (address) => {
      await using peer = grpcTransport.connect(address);
      const stream = peer.stream(store, new AbortController().signal);
      const answers = stream[Symbol.asyncIterator]();
      for (let sent = 0; sent < 4; sent++) stream.send(Buffer.alloc(40 * mebibyte));
      for (let answered = 0; answered < 4; answered++) {
        const { value: answer } = await answers.next();
        assert.equal(String(Buffer.from(answer ?? [])), String(40 * mebibyte));
      }
      stream.end();
      await until(() => limited.memory.used === 0, `${limited.memory.used} bytes are still held`);
      assert.equal(limited.memory.refused, 0);
    });
  });
});
