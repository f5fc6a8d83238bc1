import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Service } from '@tributary/ports';
import { healthMethods, methods, reflectionMethods, ServingStatus } from '@tributary/wire';
import { grpcTransport, withStandardServices } from '../src/index.ts';

const deadlineMs = 10_000;
const metadataService = 'tributary.v1alpha.MetadataService';
const recordService = 'tributary.v1alpha.RecordService';
const service: Service = (handlers) => {
  handlers.unary(methods.initProducerId, () => Promise.reject(new Error('not asked for')));
  handlers.unary(methods.grantCredit, () => Promise.reject(new Error('not asked for')));
};

test('health follows the readiness of each service, and a watch tells its changes', async () => {
  const ready = new Set([metadataService]);
  await using server = await grpcTransport.serve(
    '127.0.0.1:0',
    withStandardServices(service, (name) => ready.has(name)),
  );
  await using peer = grpcTransport.connect(server.address);
  const check = async (name: string) =>
    (await peer.unary(healthMethods.check, { service: name }, { deadlineMs })).status;
  assert.equal(await check(metadataService), ServingStatus.SERVING);
  assert.equal(await check(recordService), ServingStatus.NOT_SERVING);
  assert.equal(await check('grpc.health.v1.Health'), ServingStatus.SERVING);
  assert.equal(await check(''), ServingStatus.NOT_SERVING);
  await assert.rejects(check('absent.Service'), { error: 'RESOURCE_NOT_FOUND' });
  const { statuses } = await peer.unary(healthMethods.list, {}, { deadlineMs });
  assert.equal(statuses[recordService]?.status, ServingStatus.NOT_SERVING);

  const watch = peer.stream(healthMethods.watch, new AbortController().signal);
  watch.send({ service: '' });
  watch.end();
  const told: number[] = [];
  for await (const { status } of watch) {
    told.push(status);
    if (told.length === 1) ready.add(recordService);
    if (told.length === 2) ready.delete(metadataService);
    if (told.length === 3) watch.cancel();
    if (told.length === 3) break;
  }
  assert.deepEqual(told, [ServingStatus.NOT_SERVING, ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
});

test('reflection, in both versions, lists exactly what is served and answers each question in order', async () => {
  await using server = await grpcTransport.serve(
    '127.0.0.1:0',
    withStandardServices(service, () => true),
  );
  await using peer = grpcTransport.connect(server.address);
  const questions = [
    { $case: 'listServices' as const, value: '' },
    { $case: 'fileByFilename' as const, value: 'tributary/v1alpha/common.proto' },
    { $case: 'fileContainingSymbol' as const, value: `${recordService}.GrantCredit` },
    { $case: 'fileContainingSymbol' as const, value: 'nothing' },
    { $case: 'allExtensionNumbersOfType' as const, value: 'tributary.v1alpha.RecordHeader' },
    undefined,
  ];
  for (const method of reflectionMethods) {
    const stream = peer.stream(method, new AbortController().signal);
    for (const messageRequest of questions) stream.send({ host: 'h', messageRequest });
    stream.end();
    const answers = [];
    for await (const { originalRequest, messageResponse } of stream) {
      assert.deepEqual(originalRequest?.messageRequest, questions[answers.length]);
      answers.push(messageResponse);
    }
    const [services, file, symbol, absent, extensions, nothing] = answers;
    assert.ok(services?.$case === 'listServicesResponse');
    const standard = [
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ];
    assert.deepEqual(
      services.value.service.map(({ name }) => name),
      [...standard, metadataService, recordService],
    );
    assert.ok(file?.$case === 'fileDescriptorResponse' && file.value.fileDescriptorProto.length === 1);
    assert.ok(symbol?.$case === 'fileDescriptorResponse' && symbol.value.fileDescriptorProto.length === 2);
    assert.ok(absent?.$case === 'errorResponse' && absent.value.errorCode === 5);
    assert.ok(extensions?.$case === 'allExtensionNumbersResponse');
    assert.ok(nothing?.$case === 'errorResponse' && nothing.value.errorCode === 3);
  }
});
