import type { Transport } from '@tributary/ports';
import { GrpcPeer } from './grpc-client.ts';
import { serveGrpc } from './grpc-server.ts';

/**
 * gRPC over HTTP/2 in plain text, straight on Node's HTTP/2: any gRPC client or server can be at the other end. Beside the usual library it
 * carries several times as many small messages and copies large ones once less; the windows of both ends are ours to set (DESIGN §5).
 */
export const grpcTransport: Transport = {
  connect: (address) => new GrpcPeer(address),
  serve: serveGrpc,
};
