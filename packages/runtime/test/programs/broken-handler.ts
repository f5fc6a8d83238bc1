/** Serves a method whose handler breaks an invariant, and calls it. */
import { assert } from '@tributary/model';
import type { Codec, UnaryMethod } from '@tributary/ports';
import { grpcTransport, runProcess, untilAborted } from '../../src/index.ts';

const texts: Codec<string> = { encode: (text) => Buffer.from(text), decode: (bytes) => Buffer.from(bytes).toString() };
const ask: UnaryMethod<string, string> = { kind: 'unary', path: '/test.Service/Ask', request: texts, response: texts };

await runProcess('broker', async (stop) => {
  const server = await grpcTransport.serve('127.0.0.1:0', (handlers) =>
    handlers.unary(ask, async (question) => {
      assert(question === '', 'the high watermark never goes back');
      return question;
    }),
  );
  const peer = grpcTransport.connect(server.address);
  await peer.unary(ask, 'x', { deadlineMs: 5_000 }).catch(() => undefined);
  await untilAborted(stop);
});
