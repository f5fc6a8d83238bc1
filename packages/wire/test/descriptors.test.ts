import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Descriptors, methods } from '../src/index.ts';

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('latin1');

it('every service of the table is found by its name, with all that its file needs', () => {
  const descriptors = new Descriptors();
  for (const { path } of Object.values(methods)) {
    const [, service = '', method = ''] = path.split('/');
    for (const symbol of [service, `${service}.${method}`]) {
      const files = descriptors.fileOf(symbol);
      assert.ok(files !== undefined && files.length >= 2, symbol);
      assert.ok(text(files[0]).includes(method));
      assert.ok(files.some((file) => text(file).includes('tributary/v1alpha/common.proto')));
    }
  }
});

it('messages, fields, enums and their values are found; what is not there is not', () => {
  const descriptors = new Descriptors();
  for (const symbol of [
    'tributary.v1alpha.RecordMetadata',
    'tributary.v1alpha.RecordMetadata.offset',
    'tributary.v1alpha.StartPosition.position',
    'tributary.v1alpha.Acks',
    'tributary.v1alpha.ACKS_ALL',
    'grpc.health.v1.HealthCheckResponse.ServingStatus',
    'grpc.health.v1.HealthCheckResponse.SERVING',
  ])
    assert.ok(descriptors.fileOf(symbol) !== undefined, symbol);
  for (const symbol of ['', 'tributary', 'RecordMetadata', 'tributary.v1alpha.Nothing'])
    assert.equal(descriptors.fileOf(symbol), undefined, symbol);
  assert.equal(descriptors.file('absent.proto'), undefined);
  assert.equal(descriptors.file('tributary/v1alpha/common.proto')?.length, 1);
  assert.ok(descriptors.isMessage('tributary.v1alpha.RecordMetadata'));
  assert.ok(!descriptors.isMessage('tributary.v1alpha.Acks'));
});
