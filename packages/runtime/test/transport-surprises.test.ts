import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '@tributary/model';
import type { Codec, StreamMethod, UnaryMethod } from '@tributary/ports';
import { crashExitCode, grpcTransport } from '../src/index.ts';
import { keepAlive } from '../src/transport/session.ts';
import { Program } from './programs.ts';

const texts: Codec<string> = { encode: (text) => Buffer.from(text), decode: (bytes) => Buffer.from(bytes).toString() };
const ask: UnaryMethod<string, string> = { kind: 'unary', path: '/test.Service/Ask', request: texts, response: texts };
const talk: StreamMethod<string, string> = {
  kind: 'stream',
  path: '/test.Service/Talk',
  request: texts,
  response: texts,
};

async function listening(server: net.Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  return `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
}

/** Calls what listens there; @returns the error's name and sentence. */
async function callError(address: string, deadlineMs = 20_000): Promise<{ error: string; message: string }> {
  await using peer = grpcTransport.connect(address);
  try {
    await peer.unary(ask, 'x', { deadlineMs });
  } catch (thrown) {
    assert.ok(thrown instanceof Error && 'error' in thrown);
    return { error: String(thrown.error), message: thrown.message };
  }
  throw new Error('the call succeeded');
}

describe('a client that meets', () => {
  it('nobody at the address says so, and what to do', async () => {
    const server = net.createServer();
    const address = await listening(server);
    server.close();
    await once(server, 'close');
    const { error, message } = await callError(address);
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.equal(
      message,
      `Nothing listens at ${address} (connection refused): check the address, or start the server.`,
    );
  });

  it('a host that does not exist says so', async () => {
    const { error, message } = await callError('no-such-host.invalid:9095');
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.match(message, /host of no-such-host\.invalid:9095 cannot be resolved/);
  });

  it('an HTTP/1 server says that it is none of ours', async () => {
    const server = http.createServer((_, response) => response.end('hello'));
    const { error, message } = await callError(await listening(server));
    server.close();
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.match(message, /does not speak gRPC in plain text/);
  });

  it('what answers in another protocol, as a TLS server does, says so', async () => {
    // A TLS server answers what is no handshake with an alert.
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 10])));
    });
    const { error, message } = await callError(await listening(server));
    server.close();
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.match(message, /does not speak gRPC in plain text.*TLS/);
  });

  it('a connection that is closed at once says so', async () => {
    const server = net.createServer((socket) => socket.destroy());
    const { error, message } = await callError(await listening(server));
    server.close();
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.match(message, /closed the connection|does not speak gRPC/);
  });

  it('silence gives up in time, however patient the caller is', async () => {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => sockets.add(socket));
    const address = await listening(server);
    const begin = performance.now();
    const { error, message } = await callError(address);
    const waited = performance.now() - begin;
    for (const socket of sockets) socket.destroy();
    server.close();
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.match(message, /did not answer in time/);
    assert.ok(waited >= limits.connectTimeoutMs - 50 && waited < limits.connectTimeoutMs + 5_000, `${waited} ms`);
  });

  it('silence under a short deadline gives up at the deadline', async () => {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => sockets.add(socket));
    const { error } = await callError(await listening(server), 50);
    for (const socket of sockets) socket.destroy();
    server.close();
    assert.equal(error, 'REQUEST_TIMED_OUT');
  });

  it('an HTTP/2 server that is no gRPC server says so', async () => {
    const server = http2.createServer((_, response) => {
      response.writeHead(404);
      response.end('no such page');
    });
    const { error, message } = await callError(await listening(server));
    server.close();
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.match(message, /HTTP status 404/);
  });
});

describe('an answer that is cut off within a message', () => {
  it('is an error, though the server says that all went well', async () => {
    const server = http2.createServer();
    server.on('stream', (stream: http2.ServerHttp2Stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 9, 1, 2]));
    });
    const { error, message } = await callError(await listening(server));
    server.close();
    assert.equal(error, 'NETWORK_EXCEPTION');
    assert.match(message, /within a message/);
  });
});

describe('a server that meets', () => {
  it('clients that speak nonsense goes on serving the others', async () => {
    await using server = await grpcTransport.serve('127.0.0.1:0', (handlers) =>
      handlers.unary(ask, async (question) => question),
    );
    const port = Number(server.address.split(':')[1]);
    for (const nonsense of [
      'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
      Buffer.from([0x16, 3, 1, 2, 0]),
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense that is no frame',
    ]) {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(nonsense);
      await Promise.race([once(socket, 'close'), sleep(200)]);
      socket.destroy();
    }
    await using peer = grpcTransport.connect(server.address);
    assert.equal(await peer.unary(ask, 'still there?', { deadlineMs: 5_000 }), 'still there?');
  });

  it('requests that are no gRPC, or have no method, refuses them by HTTP status', async () => {
    await using server = await grpcTransport.serve('127.0.0.1:0', () => undefined);
    const session = http2.connect(`http://${server.address}`);
    const request = session.request({
      ':method': 'POST',
      ':path': '/test.Service/Ask',
      'content-type': 'application/json',
    });
    request.end('{}');
    const [headers]: http2.IncomingHttpHeaders[] = await once(request, 'response');
    session.destroy();
    assert.equal(Number(headers?.[':status']), 415);
  });

  it('a message of a length that it never gets, and a client that leaves, goes on', async () => {
    const left = Promise.withResolvers<unknown>();
    await using server = await grpcTransport.serve('127.0.0.1:0', (handlers) => {
      handlers.stream(talk, async (stream) => {
        const reader = stream[Symbol.asyncIterator]();
        left.resolve(await reader.next().catch((thrown: unknown) => thrown));
      });
    });
    const session = http2.connect(`http://${server.address}`);
    session.on('error', () => undefined);
    const request = session.request({ ':method': 'POST', ':path': talk.path, 'content-type': 'application/grpc' });
    request.on('error', () => undefined);
    request.write(Buffer.from([0, 3, 0, 0, 0, 1]));
    await sleep(50);
    session.destroy();
    const error = await left.promise;
    assert.ok(error instanceof Error && 'error' in error);
    assert.equal(error.error, 'NETWORK_EXCEPTION');
  });

  it('an orderly end within a message calls it what it is', async () => {
    const seen = Promise.withResolvers<unknown>();
    await using server = await grpcTransport.serve('127.0.0.1:0', (handlers) => {
      handlers.stream(talk, async (stream) => {
        const reader = stream[Symbol.asyncIterator]();
        seen.resolve(await reader.next().catch((thrown: unknown) => thrown));
      });
    });
    const session = http2.connect(`http://${server.address}`);
    const request = session.request({ ':method': 'POST', ':path': talk.path, 'content-type': 'application/grpc' });
    request.resume();
    request.end(Buffer.from([0, 0, 0, 0, 9, 1]));
    const error = await seen.promise;
    session.destroy();
    assert.ok(error instanceof Error && 'error' in error);
    assert.equal(error.error, 'INVALID_REQUEST');
  });
});

describe('a call', () => {
  it('whose handler has returned is over, even when the client never ends it', async () => {
    const server = await grpcTransport.serve('127.0.0.1:0', (handlers) => handlers.stream(talk, async () => undefined));
    const session = http2.connect(`http://${server.address}`);
    const request = session.request({ ':method': 'POST', ':path': talk.path, 'content-type': 'application/grpc' });
    request.resume();
    const closed = once(request, 'close');
    request.write(Buffer.from([0, 0, 0, 0, 0]));
    await Promise.race([closed, sleep(5_000, undefined, { ref: false }).then(() => assert.fail('still open'))]);
    assert.equal(request.rstCode, http2.constants.NGHTTP2_NO_ERROR);
    session.close();
    await server[Symbol.asyncDispose]();
  });

  it('whose client sent a deadline is ended by it at the server, whatever became of the client', async () => {
    await using server = await grpcTransport.serve('127.0.0.1:0', (handlers) =>
      handlers.unary(ask, () => new Promise(() => undefined)),
    );
    const session = http2.connect(`http://${server.address}`);
    const headers = { ':method': 'POST', ':path': ask.path, 'content-type': 'application/grpc', 'grpc-timeout': '50m' };
    const request = session.request(headers);
    request.end(Buffer.from([0, 0, 0, 0, 0]));
    const [answer]: http2.IncomingHttpHeaders[] = await once(request, 'response');
    session.destroy();
    assert.equal(answer?.['grpc-status'], '4');
  });

  it('whose deadline is further away than a timer of Node reaches is not ended at once', async () => {
    await using server = await grpcTransport.serve('127.0.0.1:0', (handlers) =>
      handlers.unary(ask, () => new Promise((resolve) => setTimeout(resolve, 50, 'answer'))),
    );
    const session = http2.connect(`http://${server.address}`);
    const headers = {
      ':method': 'POST',
      ':path': ask.path,
      'content-type': 'application/grpc',
      'grpc-timeout': '721H',
    };
    const request = session.request(headers).resume();
    request.end(Buffer.from([0, 0, 0, 0, 0]));
    let status: unknown;
    for (const headersOrTrailers of ['response', 'trailers'])
      request.on(headersOrTrailers, (received: http2.IncomingHttpHeaders) => (status = received['grpc-status']));
    await once(request, 'close');
    session.destroy();
    assert.equal(status, '0');
  });

  it('whose handler breaks an invariant ends the process: what it would say next cannot be trusted', async () => {
    await using program = new Program('broken-handler');
    const { code, errors } = await program.ended();
    assert.equal(code, crashExitCode);
    assert.match(
      errors,
      /^broker: an invariant broke, this is a bug: AssertionFailure: the high watermark never goes back/,
    );
  });
});

describe('a connection in use over which nothing comes any more', () => {
  it('is given up after an unanswered probe; a quiet one that answers is kept', async () => {
    const server = http2.createServer();
    const sockets: net.Socket[] = [];
    server.on('connection', (socket: net.Socket) => sockets.push(socket));
    server.on('sessionError', () => undefined);
    const address = await listening(server);
    const session = http2.connect(`http://${address}`);
    const broken = Promise.withResolvers<Error>();
    session.on('error', (failure: Error) => broken.resolve(failure));
    await once(session, 'remoteSettings');
    keepAlive(session, () => true, { everyMs: 20, timeoutMs: 60 });
    await sleep(200);
    assert.equal(session.destroyed, false);
    // The server's process is stopped, or the cable is cut: what arrives is not read.
    for (const socket of sockets) socket.pause();
    const [stopped] = sockets;
    assert.ok(stopped !== undefined);
    net.Socket.prototype.pause.call(stopped);
    // biome-ignore lint: the handle is what really reads.
    (stopped as unknown as { _handle?: { readStop(): void } })._handle?.readStop();
    const failure = await Promise.race([broken.promise, sleep(3_000, undefined, { ref: false }).then(() => undefined)]);
    server.close();
    for (const socket of sockets) socket.destroy();
    assert.match(failure?.message ?? 'the connection was kept', /no answer to a probe within 60 ms/);
  });
});
