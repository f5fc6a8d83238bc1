/** Serves `/test.Service/Ask` at a free port, asks the server at the first argument the same, says its own address, and lives until it is killed. */
import type { Codec, UnaryMethod } from '@tributary/ports';
import { grpcTransport } from '../../src/index.ts';

const texts: Codec<string> = { encode: (text) => Buffer.from(text), decode: (bytes) => Buffer.from(bytes).toString() };
const ask: UnaryMethod<string, string> = { kind: 'unary', path: '/test.Service/Ask', request: texts, response: texts };

const server = await grpcTransport.serve('127.0.0.1:0', (handlers) =>
  handlers.unary(ask, (question) => Promise.resolve(question)),
);
await grpcTransport.connect(process.argv[2] ?? '').unary(ask, 'there?', { deadlineMs: 10_000 });
process.stdout.write(`${server.address}\n`);
setInterval(() => undefined, 1_000_000);
