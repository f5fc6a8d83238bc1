export { nodeFileSystem } from './file-system/node-file-system.ts';
export { nodeClock } from './node-clock.ts';
export { crashExitCode, nodeHost } from './node-host.ts';
export { nodeRandom } from './node-random.ts';
export { grpcTransport } from './transport/grpc-transport.ts';
