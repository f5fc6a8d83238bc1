import { setTimeout as sleep } from 'node:timers/promises';
import type { Transport } from '@tributary/ports';
import { grpcTransport } from '@tributary/runtime';
import { grpcJsTransport } from '@tributary/runtime/transport-grpc-js';
import { Cable } from './cable.ts';
import { type RunTransportStory, transportContract } from './transport.contract.ts';

function between(server: Transport, client: Transport): RunTransportStory {
  return async (story) => {
    await using cables = new AsyncDisposableStack();
    const open: Cable[] = [];
    await story({
      server,
      client,
      address: '127.0.0.1:0',
      reach: (served) => {
        const cable = cables.use(new Cable(Number(served.split(':').at(-1))));
        open.push(cable);
        return cable.listen();
      },
      breakConnections: () => {
        for (const cable of open) cable.cut();
      },
      sleep: (ms) => sleep(ms),
    });
  };
}

transportContract('gRPC over HTTP/2', between(grpcTransport, grpcTransport));
transportContract('grpc-js', between(grpcJsTransport, grpcJsTransport));
// Any gRPC client or server can be at the other end: grpc-js stands for all of them.
transportContract('a grpc-js client of our server', between(grpcTransport, grpcJsTransport));
transportContract('our client of a grpc-js server', between(grpcJsTransport, grpcTransport));
