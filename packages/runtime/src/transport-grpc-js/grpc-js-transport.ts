import type { Transport } from '@tributary/ports';
import { GrpcJsPeer } from './grpc-js-client.ts';
import { serveGrpcJs } from './grpc-js-server.ts';

/** The same Transport over @grpc/grpc-js: for comparison and for interoperability tests (ADR 2). */
export const grpcJsTransport: Transport = {
  connect: (address) => new GrpcJsPeer(address),
  serve: serveGrpcJs,
};
