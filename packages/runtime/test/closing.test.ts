import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '@tributary/model';
import type { Codec, UnaryMethod } from '@tributary/ports';
import { grpcTransport } from '../src/index.ts';
import { Program } from './programs.ts';

const texts: Codec<string> = { encode: (text) => Buffer.from(text), decode: (bytes) => Buffer.from(bytes).toString() };
const ask: UnaryMethod<string, string> = { kind: 'unary', path: '/test.Service/Ask', request: texts, response: texts };

test('neither a server nor a client waits for long for a process that stands still', { timeout: 20_000 }, async () => {
  const server = await grpcTransport.serve('127.0.0.1:0', (handlers) =>
    handlers.unary(ask, (question) => Promise.resolve(question)),
  );
  await using other = new Program('visit', server.address);
  const peer = grpcTransport.connect((await other.line()) ?? '');
  assert.equal(await peer.unary(ask, 'there?', { deadlineMs: 10_000 }), 'there?');
  other.process.kill('SIGSTOP');
  const begin = performance.now();
  await Promise.all([peer[Symbol.asyncDispose](), server[Symbol.asyncDispose]()]);
  assert.ok(performance.now() - begin < 2 * limits.closeGraceMs);
});
