/**
 * Micro benchmark of the record format, one core: building and decoding batches, CRC, each codec.
 *
 *     node benchmarks/micro/record.ts [--output json] [--seconds 1]
 *
 * Figures are medians of rounds with their range; records/s and MiB/s count uncompressed values.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  BatchBuilder,
  checkBatch,
  compress,
  compressions,
  computeCrc,
  decodeBatch,
  decompress,
} from '@tributary/record';
import { publish, type Row, spread } from '../report.ts';

const { values: flags } = parseArgs({
  options: { output: { type: 'string', default: 'table' }, seconds: { type: 'string', default: '1' } },
});
const rounds = 5;
const roundMs = (Number(flags.seconds) * 1000) / rounds;

/** Swallows results so that the compiler cannot drop the work. */
let sink = 0;

/** @param run does the work for `records` records once. */
async function measure(name: string, records: number, bytes: number, run: () => number, ratio?: number): Promise<Row> {
  const speeds: number[] = [];
  for (let round = -1; round < rounds; round++) {
    let runs = 0;
    let elapsed = 0;
    while (elapsed < roundMs) {
      const start = performance.now();
      for (let burst = 0; burst < 8; burst++) sink ^= run();
      elapsed += performance.now() - start;
      runs += 8;
      // Native codecs give their memory back when the event loop turns, as it does in a client between batches.
      await turn();
    }
    // The first round warms the compiler up.
    if (round >= 0) speeds.push((runs / elapsed) * 1000);
  }
  const figures = {
    'M records/s': spread(speeds.map((speed) => (speed * records) / 1e6)),
    'MiB/s': spread(speeds.map((speed) => (speed * bytes) / 2 ** 20)),
    ...(ratio === undefined ? {} : { 'compressed to': spread([ratio]) }),
  };
  return { name, figures };
}

/** Text that compresses about as log lines do. */
function sampleText(length: number, seed: number): string {
  const words = [
    'GET',
    'POST',
    '/api/orders',
    '/api/users',
    'status=200',
    'status=404',
    'latency_ms=',
    'user=',
    'region=eu-west-1',
    'trace=',
  ];
  let state = seed + 1;
  let text = '';
  while (text.length < length) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    text += `${words[(state >>> 16) % words.length] ?? ''} ${(state >>> 8) % 100_000} `;
  }
  return text.slice(0, length);
}

const batchBytes = 256 * 1024;
const timestamp = 1_700_000_000_000;
const rows: Row[] = [];

for (const valueBytes of [100, 1024]) {
  const label = valueBytes === 100 ? '100 B' : '1 KiB';
  const texts = Array.from({ length: 64 }, (_, index) => sampleText(valueBytes, index));
  const buffers = texts.map((text) => Buffer.from(text));
  const builder = new BatchBuilder(batchBytes);
  const fill = (values: readonly (Uint8Array | string)[], key: string | null): void => {
    builder.reset();
    for (let index = 0; builder.append(timestamp + (index & 7), key, values[index & 63] ?? null); ) index++;
  };
  fill(buffers, null);
  const batch = builder.build({ copy: true });
  const records = builder.count;
  const bytes = records * valueBytes;
  const encode = (values: readonly (Uint8Array | string)[], key: string | null) => (): number => {
    fill(values, key);
    return builder.build().length;
  };
  rows.push(await measure(`encode ${label}, bytes`, records, bytes, encode(buffers, null)));
  const viaBuffers = (): number => {
    builder.reset();
    for (let index = 0; builder.append(timestamp, null, Buffer.from(texts[index & 63] ?? '')); ) index++;
    return builder.build().length;
  };
  rows.push(await measure(`encode ${label}, string through a Buffer`, records, bytes, viaBuffers));
  rows.push(await measure(`encode ${label}, string`, records, bytes, encode(texts, null)));
  rows.push(await measure(`encode ${label}, bytes, 8-character key`, records, bytes, encode(buffers, 'user-042')));
  rows.push(await measure(`decode ${label}, structure`, records, bytes, () => decodeBatch(batch).records.length));
  rows.push(
    await measure(`decode ${label}, check and values`, records, bytes, () => {
      checkBatch(batch, 0, batch.length, 'log');
      let sum = 0;
      for (const record of decodeBatch(batch).records) sum += record.value?.length ?? 0;
      return sum;
    }),
  );
  rows.push(
    await measure(`decode ${label}, check, offsets, text`, records, bytes, () => {
      checkBatch(batch, 0, batch.length, 'log');
      let sum = 0;
      for (const record of decodeBatch(batch).records)
        sum += (record.valueText()?.length ?? 0) + (record.offset === 5n ? 1 : 0);
      return sum;
    }),
  );
  if (valueBytes === 1024) {
    rows.push(await measure('CRC32C of a 256 KiB batch', records, bytes, () => computeCrc(batch, 0)));
    rows.push(
      await measure('checkBatch of a 256 KiB batch', records, bytes, () =>
        checkBatch(batch, 0, batch.length, 'producer'),
      ),
    );
  }
  for (const compression of compressions) {
    if (compression === 'none') continue;
    const section = batch.subarray(61);
    const packed = compress(compression, section);
    rows.push(
      await measure(
        `compress ${label}, ${compression}`,
        records,
        bytes,
        () => compress(compression, section).length,
        packed.length / section.length,
      ),
    );
    rows.push(
      await measure(
        `decompress ${label}, ${compression}`,
        records,
        bytes,
        () => decompress(compression, packed).length,
      ),
    );
  }
}

publish({ benchmark: `micro/record, batches of ${batchBytes / 1024} KiB`, rows }, flags.output);
if (sink === 1) process.exitCode = 0;
