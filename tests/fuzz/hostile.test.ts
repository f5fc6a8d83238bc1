// What a stub in any language can get wrong, by hand or on purpose: each is told so by a typed status, and the broker is none the worse.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createZstdCompress } from 'node:zlib';
import { connect, type Tributary } from '@tributary/client';
import { type ErrorName, errorTable, type TopicId } from '@tributary/model';
import type { UnaryMethod } from '@tributary/ports';
import { encodeBatch, stampCrc } from '@tributary/record';
import { methods } from '@tributary/wire';
import { DevProcess } from '../end-to-end/dev-process.ts';
import { frame, type RawAnswer, RawClient } from './raw-call.ts';
import { type Seeds, seeds } from './seeds.ts';

const mebibyte = 2 ** 20;
const unknownEnum = 99;

/** HTTP/2's own refusal: the request was not even taken. */
const enhanceYourCalm = 11;

let dev: DevProcess;
let cluster: Tributary;
let raw: RawClient;
let id: TopicId;
let right: Seeds;

before(async () => {
  dev = await DevProcess.begin();
  cluster = await connect({ bootstrap: dev.bootstrap });
  await cluster.admin.createTopic({ name: 'victim', partitions: 2 });
  ({ id } = await cluster.admin.describeTopic('victim'));
  right = seeds('victim', id);
  raw = new RawClient(dev.bootstrap);
});

after(async () => {
  raw[Symbol.dispose]();
  await cluster.close();
  await dev[Symbol.asyncDispose]();
});

/** The request goes out as it is, whatever its type says. */
function callWith<Request, Response>(method: UnaryMethod<Request, Response>, request: object): Promise<RawAnswer> {
  return raw.call({ path: method.path, body: [frame(method.request.encode(request as Request))] });
}

function refusedAs(answer: RawAnswer, error: ErrorName, sentence: RegExp): void {
  assert.deepEqual(
    { errorCode: answer.errorCode, status: answer.status !== 0 },
    { errorCode: errorTable[error].code, status: true },
    answer.message,
  );
  assert.match(answer.message, sentence);
}

/** Of a Publish whose call went through. */
function resultsOf(answer: RawAnswer): readonly { readonly errorCode: number; readonly errorMessage: string }[] {
  assert.equal(answer.status, 0, answer.message);
  return answer.messages.flatMap((bytes) => methods.publish.response.decode(bytes).records);
}

describe('publish: what is wrong with the whole request is its status', () => {
  const wrong: readonly [string, object, ErrorName, RegExp][] = [
    ['no topic', { topic: '' }, 'INVALID_TOPIC_EXCEPTION', /empty/],
    ['a topic that is not there', { topic: 'absent' }, 'UNKNOWN_TOPIC_OR_PARTITION', /absent.*topic create/s],
    ['no records', { records: [] }, 'INVALID_REQUEST', /record/],
    ['acks that do not exist', { acks: unknownEnum }, 'INVALID_REQUIRED_ACKS', /acks/i],
  ];
  for (const [title, part, error, sentence] of wrong) {
    test(title, async () => {
      refusedAs(await callWith(methods.publish, { ...right.publish, ...part }), error, sentence);
    });
  }
});

describe('publish: what is wrong with one record is said of that record, and the others are appended', () => {
  const wrong: readonly [string, object, ErrorName, RegExp][] = [
    ['a negative partition', { partition: -3 }, 'UNKNOWN_TOPIC_OR_PARTITION', /-3/],
    ['a partition that is not there', { partition: 7 }, 'UNKNOWN_TOPIC_OR_PARTITION', /7/],
    ['a key of 4 MiB', { key: Buffer.alloc(4 * mebibyte, 'k') }, 'MESSAGE_TOO_LARGE', /41943\d\d.*1048588/s],
    ['a time to come', { timestampMs: BigInt(Date.now()) + 7_200_000n }, 'INVALID_TIMESTAMP', /ahead|future/],
  ];
  for (const [title, part, error, sentence] of wrong) {
    test(title, async () => {
      const good = { headers: [], value: Buffer.from('good'), partition: 0 };
      const records = [good, { ...good, partition: 1, ...part }, good];
      const results = resultsOf(await callWith(methods.publish, { ...right.publish, records }));
      assert.deepEqual(
        results.map(({ errorCode }) => errorCode),
        [0, errorTable[error].code, 0],
        results[1]?.errorMessage ?? '',
      );
      assert.match(results[1]?.errorMessage ?? '', sentence);
    });
  }
});

describe('what no request may be', () => {
  test('a name that is no UTF-8', async () => {
    const name = methods.describeTopic.request.encode({ ...right.describeTopic, name: 'QQQQ' });
    const bytes = Buffer.from(name.map((byte) => (byte === 'Q'.charCodeAt(0) ? 0xff : byte)));
    const answer = await raw.call({ path: methods.describeTopic.path, body: [frame(bytes)] });
    refusedAs(answer, 'INVALID_REQUEST', /UTF-8/);
  });

  test('bytes that are no message', async () => {
    const answer = await raw.call({ path: methods.publish.path, body: [frame(Buffer.alloc(64, 0xff))] });
    refusedAs(answer, 'INVALID_REQUEST', /protobuf/);
  });

  test('no message at all', async () => {
    refusedAs(await raw.call({ path: methods.listTopics.path, body: [] }), 'INVALID_REQUEST', /without a request/);
  });

  test('a frame that says it is compressed', async () => {
    const answer = await raw.call({ path: methods.listTopics.path, body: [frame(Buffer.alloc(8), 1)] });
    assert.notEqual(answer.errorCode, undefined);
    assert.match(answer.message, /compress/);
  });

  test('a frame that says it has 4 GiB', async () => {
    const body = [frame(Buffer.alloc(8), 0, 0xffff_ffff)];
    refusedAs(await raw.call({ path: methods.listTopics.path, body }), 'MESSAGE_TOO_LARGE', /4294967295/);
  });

  test('a deadline in the past', async () => {
    const body = [frame(methods.listTopics.request.encode(right.listTopics))];
    const answer = await raw.call({ path: methods.listTopics.path, body, headers: { 'grpc-timeout': '0n' } });
    refusedAs(answer, 'REQUEST_TIMED_OUT', /deadline|0 ms|within/i);
  });

  test('metadata of 1 MiB', async () => {
    using own = new RawClient(dev.bootstrap);
    const headers = Object.fromEntries(Array.from({ length: 16 }, (_, at) => [`x-large-${at}`, 'x'.repeat(65_000)]));
    const body = [frame(methods.listTopics.request.encode(right.listTopics))];
    const answer = await own.call({ path: methods.listTopics.path, body, headers });
    assert.ok(
      answer.reset !== undefined || answer.errorCode !== undefined,
      `neither refused by HTTP/2 (${enhanceYourCalm}) nor by a status: ${answer.status}`,
    );
    assert.notEqual(answer.status, 0);
  });

  test('a method that is not there', async () => {
    refusedAs(
      await raw.call({ path: '/tributary.v1alpha.LogService/Compact', body: [] }),
      'UNSUPPORTED_VERSION',
      /Compact/,
    );
  });
});

describe('numbers that make no sense', () => {
  test('an offset spec that is not there', async () => {
    const partitions = right.listOffsets.partitions.map((one) => ({ ...one, spec: unknownEnum }));
    const answer = await callWith(methods.listOffsets, { ...right.listOffsets, partitions });
    const told = answer.messages.flatMap((bytes) => methods.listOffsets.response.decode(bytes).partitions);
    assert.ok(
      answer.errorCode === errorTable.INVALID_REQUEST.code || told[0]?.errorCode === errorTable.INVALID_REQUEST.code,
    );
  });

  test('negative and enormous counts of partitions', async () => {
    for (const partitions of [-1, -(2 ** 31), 2 ** 31 - 1]) {
      const answer = await callWith(methods.createTopic, { ...right.createTopic, name: 'odd', partitions });
      refusedAs(answer, 'INVALID_PARTITIONS', /partition/);
    }
  });

  test('a kind of setting that is not there', async () => {
    const answer = await callWith(methods.describeConfigs, { ...right.describeConfigs, resourceType: unknownEnum });
    refusedAs(answer, 'INVALID_REQUEST', /99|resource/);
  });

  test('an operation on a setting that is not there', async () => {
    const operations = [{ name: 'retention.ms', operation: unknownEnum, value: '1' }];
    const answer = await callWith(methods.alterConfigs, { ...right.alterConfigs, operations });
    refusedAs(answer, 'INVALID_REQUEST', /99|operation/);
  });
});

test('streams that are opened and left cost the others nothing', async () => {
  using idler = new RawClient(dev.bootstrap);
  const left = [methods.produce, methods.fetch, methods.subscribe].flatMap(({ path }) =>
    Array.from({ length: 50 }, () =>
      idler.call({ path, body: [], lingerMs: 60_000, headers: { 'grpc-timeout': '60S' } }),
    ),
  );
  await sleep(100);
  await using producer = cluster.producer();
  const { offset } = await producer.send({ topic: 'victim', partition: 0, value: 'still here' });
  assert.notEqual(offset, undefined);
  idler[Symbol.dispose]();
  await Promise.all(left);
});

test('records that decompress to 4 GiB are refused by limit wherever they are opened, and the broker stays small', async () => {
  await cluster.admin.createTopic({ name: 'bomb', partitions: 1 });
  const { id: bombId } = await cluster.admin.describeTopic('bomb');
  const batch = await bomb(4 * 2 ** 30);
  const place = { correlationId: 1, topicId: bombId, partition: 0, leaderEpoch: 0, records: batch };
  const request = { ...right.produce, batches: [place] };
  const appended = await raw.call({
    path: methods.produce.path,
    body: [frame(methods.produce.request.encode(request))],
    lingerMs: 500,
  });
  const results = appended.messages.flatMap((bytes) => methods.produce.response.decode(bytes).results);
  // Whole batches are not opened when they are appended (DESIGN §5): it is the reader who must not be harmed.
  assert.deepEqual(
    results.map(({ errorMessage }) => errorMessage),
    [''],
  );
  const subscribe = methods.subscribe.request.encode({
    ...right.subscribe,
    group: undefined,
    topics: [
      { topic: 'bomb', partitions: [0], start: { position: { $case: 'beginning', value: true } }, positions: [] },
    ],
    creditBytes: 0n,
  });
  const answer = await raw.call({ path: methods.subscribe.path, body: [frame(subscribe)] });
  const told = answer.messages.flatMap((bytes) => methods.subscribe.response.decode(bytes).partitions);
  const codes = told.map(({ errorCode }) => errorCode).filter((code) => code !== 0);
  assert.equal(codes.length, 1, `refused once, not read: ${JSON.stringify(codes)} ${answer.message}`);
  await using producer = cluster.producer();
  await producer.send({ topic: 'victim', partition: 0, value: 'still here' });
});

/** A batch whose CRC is right and whose records are so many zeros, in a few hundred KiB. */
async function bomb(bytes: number): Promise<Uint8Array> {
  const packer = createZstdCompress();
  const chunks: Buffer[] = [];
  packer.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise((resolve) => packer.on('end', resolve));
  const zeros = Buffer.alloc(8 * mebibyte);
  for (let written = 0; written < bytes; written += zeros.length)
    if (!packer.write(zeros)) await new Promise((resolve) => packer.once('drain', resolve));
  packer.end();
  await ended;
  const plain = encodeBatch([{ value: 'x' }], { compression: 'zstd' });
  const batch = Buffer.concat([plain.subarray(0, 61), ...chunks]);
  batch.writeInt32BE(batch.length - 12, 8);
  stampCrc(batch, 0);
  return batch;
}
