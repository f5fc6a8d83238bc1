/** Who may answer where an etcd was expected. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import {
  type MethodDefinition,
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { limits } from '@tributary/model';
import { MetadataStoreError, type StoreFailure } from '@tributary/ports';
import { etcdFailure } from '../../src/etcd/etcd-failure.ts';
import { openEtcdStore } from '../../src/etcd/etcd-store.ts';

/** Answers any status with these bytes. */
async function statusServer(status: Buffer): Promise<{ endpoint: string } & Disposable> {
  const server = new Server();
  const method: MethodDefinition<Buffer, Buffer> = {
    path: '/etcdserverpb.Maintenance/Status',
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
  const answer = (_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void => done(null, status);
  server.addService({ status: method }, { status: answer });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { endpoint: `http://127.0.0.1:${port}`, [Symbol.dispose]: () => server.forceShutdown() };
}

const refusal = async (endpoint: string, failure: StoreFailure, message: RegExp): Promise<void> => {
  await assert.rejects(openEtcdStore({ endpoints: [endpoint] }), (thrown: unknown) => {
    assert.ok(thrown instanceof MetadataStoreError, String(thrown));
    assert.match(thrown.message, message);
    assert.equal(thrown.failure, failure);
    return true;
  });
};

test('an etcd older than 3.4 is refused by its version', async () => {
  const header = Buffer.of(0x0a, 2, 0x08, 7);
  for (const version of ['3.3.27', '2.3.8', 'unheard-of']) {
    const text = Buffer.from(version);
    using server = await statusServer(Buffer.concat([header, Buffer.of(0x12, text.length), text]));
    await refusal(server.endpoint, 'refused', new RegExp(`${server.endpoint} is version ${version}; 3.4 or newer`));
  }
});

test('a server that is no etcd is said not to answer as one', async () => {
  const server = http.createServer((_request, reply) => reply.end('hello'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const begunMs = performance.now();
  await refusal(`http://127.0.0.1:${address.port}`, 'unreachable', /No etcd answers .*Check that the addresses/);
  assert.ok(performance.now() - begunMs < 3 * limits.storeCallMs);
  server.closeAllConnections();
  server.close();
});

test("what is known after a failure follows from etcd's and gRPC's sentences; what is not recognised may have been done", () => {
  const kinds: Readonly<Record<string, string>> = {
    '14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1': 'not-sent',
    '14 UNAVAILABLE: Name resolution failed for target dns:nowhere:2379': 'not-sent',
    '8 RESOURCE_EXHAUSTED: etcdserver: too many requests': 'not-sent',
    '14 UNAVAILABLE: Connection dropped': 'unanswered',
    '14 UNAVAILABLE: read ECONNRESET': 'unanswered',
    '14 UNAVAILABLE: etcdserver: request timed out': 'unanswered',
    '14 UNAVAILABLE: etcdserver: leader changed': 'unanswered',
    '4 DEADLINE_EXCEEDED: Deadline exceeded after 3.000s': 'unanswered',
    'something new': 'unanswered',
    '11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted': 'compacted',
    '8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded': 'no-space',
    'EtcdLeaseInvalidError: 5 NOT_FOUND: etcdserver: requested lease not found': 'lease-lost',
    '7 PERMISSION_DENIED: etcdserver: permission denied': 'refused',
    '3 INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password': 'refused',
    '3 INVALID_ARGUMENT: etcdserver: request is too large': 'refused',
    '15 DATA_LOSS: etcdserver: corrupt cluster': 'refused',
  };
  for (const [message, kind] of Object.entries(kinds)) {
    const failure = etcdFailure('a:1', new Error(message));
    assert.equal(failure.kind === 'final' ? failure.error.failure : failure.kind, kind, message);
  }
});
