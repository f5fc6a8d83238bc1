/** What a user may do with a consumer, in any order, while connections break. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fill, textConsumer } from './reading.ts';
import { world } from './world.ts';

const partitions = 3;
const partition = fc.nat(partitions - 1);
const offset = fc.bigInt(0n, 199n);
const action = fc.oneof(
  fc.record({ kind: fc.constant('seek' as const), partition, offset }),
  fc.record({
    kind: fc.constant('assign' as const),
    // Without an offset the position is kept, of a partition that was assigned before.
    wanted: fc.uniqueArray(fc.record({ partition, offset: fc.option(offset) }), {
      selector: (each) => each.partition,
      maxLength: partitions,
    }),
  }),
  fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const), partition }),
  fc.record({ kind: fc.constant('break' as const) }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(60) }),
  fc.record({ kind: fc.constant('poll' as const), maxRecords: fc.integer({ min: 1, max: 40 }), ms: fc.nat(30) }),
  fc.record({ kind: fc.constant('poll' as const), maxRecords: fc.integer({ min: 1, max: 40 }), ms: fc.nat(30) }),
);
const shape = fc.record({
  latencyMs: fc.integer({ min: 1, max: 20 }),
  perBatch: fc.integer({ min: 1, max: 20 }),
  size: fc.nat(80),
  window: fc.integer({ min: 300, max: 4_000 }),
});

test('every record from each position on is handed out, once and in order, in whatever order seeks, assignments, pauses and breaks come', async () => {
  await fc.assert(
    fc.asyncProperty(
      shape,
      fc.array(action, { maxLength: 50 }),
      async ({ latencyMs, perBatch, size, window }, actions) => {
        await using w = await world({ latencyMs });
        for (const each of w.cluster.createTopic('t', partitions).partitions) fill(w, each, 250, perBatch, size);
        const consumer = textConsumer(w, { maxPartitionFetchBytes: window });
        const next = new Map<number, bigint>();
        const at = (index: number) => ({ topic: 't', partition: index });
        const poll = async (maxRecords: number, timeoutMs: number): Promise<number> => {
          const records = await consumer.poll({ maxRecords, timeoutMs });
          for (const record of records) {
            assert.equal(record.offset, next.get(record.partition), `partition ${record.partition}`);
            assert.equal(record.value?.trim(), `${record.offset}`);
            next.set(record.partition, record.offset + 1n);
          }
          return records.length;
        };
        for (const each of actions) {
          switch (each.kind) {
            case 'seek':
              if (!next.has(each.partition)) break;
              consumer.seek(at(each.partition), each.offset);
              next.set(each.partition, each.offset);
              break;
            case 'assign': {
              const from = each.wanted.map(
                (one) => [one.partition, one.offset ?? next.get(one.partition) ?? 0n] as const,
              );
              await consumer.assign(
                each.wanted.map((one, index) => {
                  const keeps = one.offset === null && next.has(one.partition);
                  return keeps ? at(one.partition) : { ...at(one.partition), offset: from[index]?.[1] };
                }),
              );
              next.clear();
              for (const [index, position] of from) next.set(index, position);
              break;
            }
            case 'pause':
            case 'resume':
              if (next.has(each.partition)) consumer[each.kind]([at(each.partition)]);
              break;
            case 'break':
              w.network.breakStreams();
              break;
            case 'pass':
              await w.pass(each.ms);
              break;
            case 'poll':
              await poll(each.maxRecords, each.ms);
              break;
          }
        }
        consumer.resume([...next.keys()].map(at));
        while ([...next.values()].some((position) => position < 250n))
          assert.ok((await poll(500, 20_000)) > 0, `no more comes at ${[...next].join(' and ')}`);
      },
    ),
    { numRuns: 100 },
  );
});
