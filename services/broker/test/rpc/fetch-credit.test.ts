import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterId, errorName, offset } from '@tributary/model';
import type { CallContext, Stream } from '@tributary/ports';
import type { FetchRequest, FetchResponse } from '@tributary/wire';
import type { Slice } from '../../src/partition/partition.ts';
import { fetchHandler, type FetchParts } from '../../src/rpc/fetch.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const request = (more: Partial<FetchRequest>): FetchRequest => ({
  context: undefined,
  rack: '',
  isolationLevel: 0,
  open: [],
  credit: [],
  fromFollower: false,
  close: [],
  ...more,
});

/** A Fetch stream of one partition, whose reads end when the test says so. */
function fetching() {
  const sent: FetchResponse[] = [];
  const reads: { readonly credit: number; readonly done: (slice: Slice) => void }[] = [];
  const requests: FetchRequest[] = [];
  let wake = (): void => undefined;
  const over = new AbortController();
  const stream: Stream<FetchResponse, FetchRequest> = {
    send: (message) => void sent.push(message),
    queuedBytes: 0,
    writable: () => Promise.resolve(),
    end: () => undefined,
    cancel: () => undefined,
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const next = requests.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
  const partition = {
    highWatermark: offset(10n),
    startOffset: offset(0n),
    onReadable: () => () => undefined,
    read: (_from: unknown, _target: number, credit: number) =>
      new Promise<Slice>((done) => reads.push({ credit, done })),
    state: { name: 't-0', role: { kind: 'leading' } },
    // Epoch 2 began at 7; epoch 1 ended there.
    log: {
      endOffsetFor: (epoch: number) => (epoch > 2 ? undefined : { epoch, end: offset(epoch === 2 ? 10n : 7n) }),
    },
  };
  const replicas = { clusterId: clusterId('c'), find: () => partition, leads: () => true, leaderOf: () => undefined };
  const context: CallContext = { peer: 'test', signal: over.signal };
  const observer = { fetched: () => undefined, refused: () => undefined };
  const turns = { run: async (work: () => number) => void work() };
  const neighbours = { forwarded: () => undefined };
  const parts = { replicas, neighbours, observer, turns } as unknown as FetchParts;
  void fetchHandler(parts)(stream, context).catch(() => undefined);
  const tell = async (message: Partial<FetchRequest>): Promise<void> => {
    requests.push(request(message));
    wake();
    await turn();
  };
  return { sent, reads, tell, over };
}

const position = { topicId: 't', partition: 0, generation: 1, offset: 0n, lastEpoch: -1, leaderEpoch: 0 };
const batch = Buffer.alloc(500);

test('E1: credit that came while the file was read is used; the client is not asked for what it has given', async () => {
  const { sent, reads, tell } = fetching();
  await tell({ open: [{ ...position, creditLimit: 100n }] });
  assert.deepEqual(
    reads.map(({ credit }) => credit),
    [100],
  );
  await tell({ credit: [{ topicId: 't', partition: 0, generation: 1, creditLimit: 600n }] });
  reads[0]?.done({ kind: 'too-large', size: batch.length });
  await turn();
  assert.equal(sent.length, 0);
  assert.deepEqual(
    reads.map(({ credit }) => credit),
    [100, 600],
  );
  reads[1]?.done({ kind: 'records', records: [batch], next: offset(5n) });
  await turn();
  assert.deepEqual(
    sent.map(({ partitions }) => partitions[0]?.records.length),
    [500],
  );
});

test('E1: without it, it is asked for what the next batch needs, once', async () => {
  const { sent, reads, tell } = fetching();
  await tell({ open: [{ ...position, creditLimit: 100n }] });
  reads[0]?.done({ kind: 'too-large', size: batch.length });
  await turn();
  assert.deepEqual(
    sent.map(({ partitions }) => partitions[0]?.creditNeeded),
    [500n],
  );
  await tell({ credit: [{ topicId: 't', partition: 0, generation: 1, creditLimit: 200n }] });
  reads[1]?.done({ kind: 'too-large', size: batch.length });
  await turn();
  assert.equal(sent.length, 1);
});

test('a stream that is over is read for no further, although nobody has told its handler yet', async () => {
  const { reads, tell, over, sent } = fetching();
  await tell({ open: [{ ...position, creditLimit: 1_000_000n }] });
  over.abort();
  reads[0]?.done({ kind: 'records', records: [batch], next: offset(5n) });
  await turn();
  assert.ok(reads.length === 1 && sent.length <= 1, `${reads.length} reads`);
});

test('E1: a reader whose last record is of an epoch that ended before it is told where the histories part', async () => {
  const { sent, reads, tell } = fetching();
  const open = async (from: bigint, lastEpoch: number): Promise<string> => {
    sent.length = 0;
    reads.length = 0;
    await tell({ open: [{ ...position, generation: ++generation, offset: from, lastEpoch, creditLimit: 100n }] });
    const begun = reads.length;
    for (const { done } of reads) done({ kind: 'end' });
    await turn();
    const answer = sent[0]?.partitions[0];
    return answer === undefined ? `${begun} read` : `${errorName(answer.errorCode)} ${answer.errorMessage}`;
  };
  let generation = 1;
  assert.match(await open(9n, 1), /OFFSET_OUT_OF_RANGE .*up to offset 9, of leader epoch 1.*both agree up to 7/);
  assert.equal(await open(7n, 1), '1 read');
  assert.equal(await open(9n, 2), '1 read');
  // Nothing was read yet, or nothing is known of the epoch.
  assert.equal(await open(9n, -1), '1 read');
  assert.equal(await open(9n, 3), '1 read');
});
